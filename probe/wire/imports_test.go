package wire_test

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestImports keeps the package fit for the verifier: the standard library
// without the network, and the ledger's types.
func TestImports(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range f.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			foreign := strings.Contains(path, ".") && path != "github.com/stillmark/stillmark/probe/ledger"
			if foreign || path == "net" || strings.HasPrefix(path, "net/") || path == "os" {
				t.Errorf("%s imports %s", name, path)
			}
		}
	}
}
