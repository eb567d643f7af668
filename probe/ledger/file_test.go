package ledger

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestWriteFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "x.json")
	for _, text := range []string{"one", "two"} {
		if err := WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		if got := string(readFileT(t, path)); got != text {
			t.Errorf("read %q, want %q", got, text)
		}
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("permissions %v, %v", st.Mode(), err)
	}
	if err := WriteNewFile(path, []byte("three"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("WriteNewFile on an existing file: %v", err)
	}
	if got := string(readFileT(t, path)); got != "two" {
		t.Errorf("WriteNewFile changed the file to %q", got)
	}
	noLinks := placeNew(func(string, string) error { return syscall.EPERM })
	if err := writeThrough(path, []byte("three"), 0o600, noLinks); !errors.Is(err, fs.ErrExist) {
		t.Errorf("without hard links, on an existing file: %v", err)
	}
	if got := string(readFileT(t, path)); got != "two" {
		t.Errorf("without hard links the file was changed to %q", got)
	}
	if err := writeThrough(filepath.Join(dir, "y"), []byte("y"), 0o600, noLinks); err != nil {
		t.Error(err)
	}
	if got := string(readFileT(t, filepath.Join(dir, "y"))); got != "y" {
		t.Errorf("without hard links the file holds %q", got)
	}
	if err := WriteFile(filepath.Join(dir, "no", "folder"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a folder: %v", err)
	}
	if err := WriteFile(dir, nil, 0o600); err == nil {
		t.Error("a folder was replaced")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("%d entries are left, %v: temporary files?", len(entries), err)
	}
}

// TestDependencies guards what an opposing expert has to read: the standard
// library and golang.org/x/mod, and no network.
func TestDependencies(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("the go command is not installed")
	}
	out, err := exec.CommandContext(t.Context(), tool, "list", "-deps", "-f", "{{if .Standard}}std {{end}}{{.ImportPath}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	own := 0
	for _, line := range strings.Fields(strings.ReplaceAll(string(out), "std ", "std:")) {
		switch {
		case line == "std:net/http":
			t.Error("net/http is among the dependencies")
		case strings.HasPrefix(line, "std:"), strings.HasPrefix(line, "golang.org/x/mod/"):
		case strings.HasSuffix(line, "/stillmark/probe/ledger"):
			own++
		default:
			t.Errorf("%s is among the dependencies", line)
		}
	}
	if own != 1 {
		t.Errorf("the list names this package %d times", own)
	}
}
