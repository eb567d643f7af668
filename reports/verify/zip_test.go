package verify

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/reports/verify/integrity"
)

// entry is one entry of a hand-made archive.
type entry struct {
	name   string
	data   []byte
	method uint16
	mode   fs.FileMode
}

func pack(t testing.TB, entries []entry) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: e.method}
		h.SetMode(e.mode | 0o600)
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(e.name, "/") {
			continue
		}
		if _, err := w.Write(e.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "case.zip")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func entries(t testing.TB, dir, folder string, method uint16) []entry {
	t.Helper()
	m := load(t, dir)
	var out []entry
	for name, file := range m {
		out = append(out, entry{name: folder + "/" + name, data: file.Data, method: method})
	}
	slices.SortFunc(out, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return out
}

func TestZip(t *testing.T) {
	t.Parallel()
	f := build(t, design{})
	good := entries(t, f.dir, "case", zip.Store)
	refused := map[string][]entry{
		"path traversal":          append(slices.Clone(good), entry{name: "case/../../etc/passwd"}),
		"absolute path":           append(slices.Clone(good), entry{name: "/etc/passwd"}),
		"backslash":               append(slices.Clone(good), entry{name: `case\evil.txt`}),
		"drive letter":            append(slices.Clone(good), entry{name: "case/c:evil.txt"}),
		"a name twice":            append(slices.Clone(good), good[3]),
		"a name twice by case":    append(slices.Clone(good), entry{name: strings.ToUpper(good[3].name)}),
		"symbolic link":           append(slices.Clone(good), entry{name: "case/link", data: []byte("/etc/passwd"), mode: fs.ModeSymlink}),
		"device":                  append(slices.Clone(good), entry{name: "case/device", mode: fs.ModeDevice}),
		"entry for a folder":      append(slices.Clone(good), entry{name: "case/folder/"}),
		"two folders":             append(slices.Clone(good), entry{name: "other/file"}),
		"file beside the folder":  append(slices.Clone(good), entry{name: "file"}),
		"control character":       append(slices.Clone(good), entry{name: "case/\x1b[31mred"}),
		"hidden direction":        append(slices.Clone(good), entry{name: "case/\u202efdp.exe"}),
		"no UTF-8":                append(slices.Clone(good), entry{name: "case/\xff"}),
		"bomb":                    append(slices.Clone(good), entry{name: "case/bomb", data: make([]byte, 32<<20), method: zip.Deflate}),
		"nothing":                 {},
		"an extra file":           append(slices.Clone(good), entry{name: "case/extra.txt"}),
		"a file missing":          good[1:],
		"a sealed file truncated": append(slices.Clone(good[1:]), entry{name: good[0].name, data: good[0].data[:1]}),
	}
	for name, list := range refused {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := f.verify(t, pack(t, list), f.trust())
			if r.State != Invalid || !slices.Contains([]int{integrity.ExitAltered, integrity.ExitIncomplete}, r.Exit) {
				t.Errorf("%s, exit %d: %s", r.State, r.Exit, r.Verdict)
			}
			if strings.ContainsAny(text(t, r), "\x1b\u202e") {
				t.Error("the message prints what it should escape")
			}
		})
	}
	for name, method := range map[string]uint16{"stored": zip.Store, "deflated": zip.Deflate} {
		t.Run("packed again, "+name, func(t *testing.T) {
			t.Parallel()
			r := f.verify(t, pack(t, entries(t, f.dir, "another-name", method)), f.trust())
			if r.State != Trusted || !has(r, LevelWarn, CodeArchive) {
				t.Errorf("%s\n%s", r.State, text(t, r))
			}
		})
	}
	data := must[[]byte](t)(os.ReadFile(f.zip))
	for name, c := range map[string]struct {
		data []byte
		want State
	}{
		"bytes after the archive":  {append(bytes.Clone(data), "hidden"...), Trusted}, // unread, and said so
		"bytes before the archive": {append([]byte("#!/bin/sh\n"), data...), Trusted},
		"truncated":                {data[:len(data)-30], Invalid},
		"cut in half":              {data[:len(data)/2], Invalid},
		"no archive":               {[]byte("hello"), Invalid},
		"empty":                    {nil, Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "case.zip")
			if err := os.WriteFile(path, c.data, 0o600); err != nil {
				t.Fatal(err)
			}
			r := f.verify(t, path, f.trust())
			if r.State != c.want {
				t.Errorf("%s\n%s", r.State, text(t, r))
			}
			if r.State == Trusted && !has(r, LevelWarn, CodeArchive) {
				t.Errorf("nothing is said about the bytes that no file holds\n%s", text(t, r))
			}
		})
	}
}

func TestFolder(t *testing.T) {
	t.Parallel()
	f := build(t, design{})
	for name, damage := range map[string]func(dir string) error{
		"symbolic link": func(dir string) error { return os.Symlink("/etc/passwd", filepath.Join(dir, "link")) },
		"file replaced by a link to it": func(dir string) error {
			out := filepath.Join(filepath.Dir(dir), "plan.json")
			if err := os.Rename(filepath.Join(dir, "plan.json"), out); err != nil {
				return err
			}
			return os.Symlink(out, filepath.Join(dir, "plan.json"))
		},
		"hidden file": func(dir string) error { return os.WriteFile(filepath.Join(dir, ".hidden"), nil, 0o600) },
		"odd name":    func(dir string) error { return os.WriteFile(filepath.Join(dir, "a\x1b[31m"), nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := f.copyTo(t, t.TempDir())
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			if r := f.verify(t, dir, f.trust()); r.Exit != integrity.ExitAltered {
				t.Errorf("exit %d\n%s", r.Exit, text(t, r))
			}
		})
	}
	// An empty folder holds no evidence and hides none.
	dir := f.copyTo(t, t.TempDir())
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	if r := f.verify(t, dir, f.trust()); r.State != Trusted {
		t.Errorf("%s", text(t, r))
	}
	if r := f.verify(t, t.TempDir(), f.trust()); r.Exit != integrity.ExitIncomplete {
		t.Errorf("an empty folder: exit %d", r.Exit)
	}
	if _, err := Verify(t.Context(), filepath.Join(t.TempDir(), "nothing"), Options{}); err == nil {
		t.Error("a path that does not exist gives no error")
	}
}

// FuzzZip changes an archive of a sealed case at random: it is never trusted
// with other content, and never brings the verifier down.
func FuzzZip(f *testing.F) {
	fix := build(f, design{prompts: 2, tokens: 20, decoys: 3})
	data, err := os.ReadFile(fix.zip)
	if err != nil {
		f.Fatal(err)
	}
	// Seeds are edits: where, what. The archive itself is the same for all.
	f.Add(uint32(0), []byte{0})
	f.Add(uint32(len(data)-22), []byte("PK\x05\x06"))
	f.Add(uint32(26), []byte{0xff, 0xff})
	f.Add(uint32(len(data)/2), []byte("\n"))
	want := load(f, fix.dir)
	f.Fuzz(func(t *testing.T, at uint32, edit []byte) {
		changed := bytes.Clone(data)
		n := copy(changed[int(at)%len(changed):], edit)
		if n == 0 || bytes.Equal(changed, data) {
			return
		}
		path := filepath.Join(t.TempDir(), "case.zip")
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		r := fix.verify(t, path, fix.trust())
		if r.State != Trusted {
			return
		}
		p, err := integrity.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		for name, file := range want {
			got, err := fs.ReadFile(p.FS, name)
			if err != nil || !bytes.Equal(got, file.Data) {
				t.Errorf("trusted, but %s is not what was sealed (%v)", name, err)
			}
		}
	})
}
