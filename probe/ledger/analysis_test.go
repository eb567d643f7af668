package ledger

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSaveAnalysis(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	save := func(content string) string {
		t.Helper()
		id, err := SaveAnalysis(dir, []byte(content))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, "analysis", id, "findings.json"))
		if err != nil || string(got) != content {
			t.Fatalf("findings of %s are %q, %v", id, got, err)
		}
		return id
	}
	first, second := save("a"), save("b")
	if first >= second {
		t.Errorf("the newer analysis %s does not sort after %s", second, first)
	}
	if again := save("a"); again != first {
		t.Errorf("the same findings got a new id %s, were %s", again, first)
	}
}
