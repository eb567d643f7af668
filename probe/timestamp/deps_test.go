package timestamp

import (
	"os/exec"
	"strings"
	"testing"
)

// TestImports guards what this package uses itself: the standard library
// without the network, and one library for the structures.
func TestImports(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("the go command is not installed")
	}
	out, err := exec.CommandContext(t.Context(), tool, "list", "-f", `{{join .Imports "\n"}}`, ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	library := false
	for _, path := range strings.Fields(string(out)) {
		switch {
		case path == "github.com/digitorus/timestamp":
			library = true
		case path == "net" || strings.HasPrefix(path, "net/"):
			t.Errorf("%s is imported: tokens are carried by others", path)
		case strings.Contains(path, "."):
			t.Errorf("%s is imported", path)
		}
	}
	if !library {
		t.Errorf("the list of imports is not that of this package: %s", out)
	}
}
