package ledger

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

func manifestFS() fstest.MapFS {
	return fstest.MapFS{
		"a.txt":            {Data: []byte("alpha\n")},
		"a/b.txt":          {Data: []byte("beta\n")},
		"a-b":              {Data: []byte("gamma\n")},
		"sub dir/ünï.json": {Data: []byte("{}")},
		"empty":            {},
		"report.dsse.json": {Data: []byte("envelope")},
	}
}

func exemptEnvelopes(p string) bool { return strings.HasSuffix(p, ".dsse.json") }

func TestManifest(t *testing.T) {
	t.Parallel()
	m, err := BuildManifest(manifestFS(), exemptEnvelopes)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := ParseManifest(m)
	if err != nil || len(entries) != 5 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	var paths []string
	for _, e := range entries {
		paths = append(paths, e.Path)
	}
	if got := strings.Join(paths, "|"); got != "a-b|a.txt|a/b.txt|empty|sub dir/ünï.json" {
		t.Errorf("order %s", got)
	}
	if err := CheckManifest(manifestFS(), m, exemptEnvelopes); err != nil {
		t.Errorf("the intact files: %v", err)
	}
	tests := []struct {
		name   string
		change func(fstest.MapFS)
		path   string
		kind   string
		offset int64
	}{
		{"byte", func(m fstest.MapFS) { m["a/b.txt"] = &fstest.MapFile{Data: []byte("betb\n")} }, "a/b.txt", ManifestAltered, -1},
		{"emptied", func(m fstest.MapFS) { m["a/b.txt"] = &fstest.MapFile{} }, "a/b.txt", ManifestAltered, 0},
		{"removed", func(m fstest.MapFS) { delete(m, "a.txt") }, "a.txt", ManifestMissing, -1},
		{"last removed", func(m fstest.MapFS) { delete(m, "sub dir/ünï.json") }, "sub dir/ünï.json", ManifestMissing, -1},
		{"added", func(m fstest.MapFS) { m["a/c"] = &fstest.MapFile{} }, "a/c", ManifestUnlisted, -1},
		{"added last", func(m fstest.MapFS) { m["z"] = &fstest.MapFile{} }, "z", ManifestUnlisted, -1},
		{"link", func(m fstest.MapFS) { m["a.txt"] = &fstest.MapFile{Mode: fs.ModeSymlink, Data: []byte("a-b")} }, `"a.txt"`, ManifestIrregular, -1},
		{"device", func(m fstest.MapFS) { m["dev"] = &fstest.MapFile{Mode: fs.ModeDevice} }, `"dev"`, ManifestIrregular, -1},
		{"newline in a name", func(m fstest.MapFS) { m["a\nb"] = &fstest.MapFile{} }, `"a\nb"`, ManifestIrregular, -1},
		{"exempt file changed", func(m fstest.MapFS) { m["report.dsse.json"] = &fstest.MapFile{} }, "", "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			files := manifestFS()
			tt.change(files)
			err := CheckManifest(files, m, exemptEnvelopes)
			if tt.kind == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var me *ManifestError
			if !errors.As(err, &me) || me.Path != tt.path || me.Kind != tt.kind || me.Offset != tt.offset {
				t.Errorf("error %+v (%v), want %s %s %d", me, err, tt.path, tt.kind, tt.offset)
			}
			if err != nil && !strings.HasPrefix(err.Error(), tt.path+": ") {
				t.Errorf("the sentence does not begin with the file: %v", err)
			}
		})
	}
}

func TestManifestMalformed(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("0a", 32)
	good := sum + "  a\n" + sum + "  b\n"
	if _, err := ParseManifest([]byte(good)); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, text string
		offset     int64
	}{
		{"no end", good[:len(good)-1], 68},
		{"one space", sum + " a\n", 0},
		{"binary marker", sum + " *a\n", 0},
		{"capital hex", strings.ToUpper(sum) + "  a\n", 0},
		{"escaped", "\\" + sum + "  a\\nb\n", 0},
		{"absolute", sum + "  /a\n", 0},
		{"parent", sum + "  ../a\n", 0},
		{"dot", sum + "  .\n", 0},
		{"twice", sum + "  a\n" + sum + "  a\n", 68},
		{"out of order", sum + "  b\n" + sum + "  a\n", 68},
		{"carriage return", sum + "  a\r\n", 0},
		{"comment", "# x\n", 0},
		{"blank line", "\n" + good, 0},
	}
	for _, tt := range tests {
		_, err := ParseManifest([]byte(tt.text))
		var me *ManifestError
		if !errors.As(err, &me) || me.Kind != ManifestMalformed || me.Offset != tt.offset {
			t.Errorf("%s: %v, want malformed at byte %d", tt.name, err, tt.offset)
		}
	}
}

// TestManifestSha256sum lets coreutils check the manifest.
func TestManifestSha256sum(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("sha256sum")
	if err != nil {
		t.Skip("sha256sum is not installed")
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, manifestFS()); err != nil {
		t.Fatal(err)
	}
	m, err := BuildManifest(os.DirFS(dir), nil)
	if err != nil {
		t.Fatal(err)
	}
	check := func() ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), tool, "-c", "--strict", "-")
		cmd.Dir, cmd.Stdin = dir, bytes.NewReader(m)
		return cmd.CombinedOutput()
	}
	if out, err := check(); err != nil {
		t.Errorf("sha256sum: %v\n%s", err, out)
	}
	writeFileT(t, filepath.Join(dir, "a.txt"), []byte("alphb\n"))
	if out, err := check(); err == nil || !bytes.Contains(out, []byte("a.txt: FAILED")) {
		t.Errorf("sha256sum after a change: %v\n%s", err, out)
	}
}

func BenchmarkCheckManifest(b *testing.B) {
	files := fstest.MapFS{}
	for _, n := range []string{"a", "b", "c", "d"} {
		files[n] = &fstest.MapFile{Data: make([]byte, 1<<20)}
	}
	m, err := BuildManifest(files, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(4 << 20)
	for b.Loop() {
		if err := CheckManifest(files, m, nil); err != nil {
			b.Fatal(err)
		}
	}
}
