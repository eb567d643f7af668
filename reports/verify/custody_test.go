package verify

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports"
	"github.com/stillmark/stillmark/reports/verify/integrity"
)

// Fsck names what is wrong, where, and what can be done, and changes nothing.
func TestFsck(t *testing.T) {
	t.Parallel()
	f := build(t, design{})
	for _, path := range []string{f.dir, f.zip} {
		h := must[*reports.Health](t)(reports.Fsck(path))
		if len(h.Troubles) != 0 || !h.Sealed || h.Events == 0 || h.Blobs != 3*16 || h.Entries != 1 {
			t.Errorf("%+v", h)
		}
	}
	report := "reports/" + f.report + "/report.html"
	m := load(t, f.dir)
	// One trouble does not hide another.
	several := f.copyTo(t, t.TempDir())
	write(t, several, ".x.tmp-1", nil)
	for _, name := range []string{report, "reports/" + f.report + "/findings.csv"} {
		write(t, several, name, append([]byte("x"), m[name].Data...))
	}
	if h := must[*reports.Health](t)(reports.Fsck(several)); len(h.Troubles) != 3 {
		t.Errorf("%+v", h)
	}
	segment := bytes.Clone(m["blobs/segment-000001.bin"].Data)
	segment[len(segment)/2] ^= 1
	lines := bytes.SplitAfter(m["ledger.jsonl"].Data, []byte("\n"))
	unsealed := bytes.Join(lines[:len(lines)-2], nil)
	for name, tt := range map[string]struct {
		files      map[string][]byte
		file       string
		offset     bool // is known
		repairable bool
		says       string
	}{
		"a byte of a reply": {map[string][]byte{"blobs/segment-000001.bin": segment}, "blobs/segment-000001.bin", true, false, "SHA-256 in the ledger"},
		"a line":            {map[string][]byte{"ledger.jsonl": bytes.Replace(m["ledger.jsonl"].Data, []byte(`"status":200`), []byte(`"status":201`), 1)}, "ledger.jsonl", true, false, "line "},
		"a torn line":       {map[string][]byte{"ledger.jsonl": unsealed[:len(unsealed)-9]}, "ledger.jsonl", true, true, "has no end"},
		"a prompt":          {map[string][]byte{"prompts.jsonl": bytes.Replace(m["prompts.jsonl"].Data, []byte("harbour"), []byte("hArbour"), 1)}, "prompts.jsonl", false, false, "prompt p000"},
		"a page":            {map[string][]byte{report: append([]byte("x"), m[report].Data...)}, report, false, false, "not what was sealed"},
		"the custody log":   {map[string][]byte{"custody.jsonl": bytes.Replace(m["custody.jsonl"].Data, []byte("sealed"), []byte("pealed"), 1)}, "custody.jsonl", false, false, "line 1"},
		"a stray":           {map[string][]byte{".x.tmp-1": nil}, ".x.tmp-1", false, true, "no part of a case"},
		"a file too many":   {map[string][]byte{"notes.txt": []byte("x")}, "notes.txt", false, true, "not listed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := f.copyTo(t, t.TempDir())
			for name, data := range tt.files {
				write(t, dir, name, data)
			}
			before := load(t, dir)
			h := must[*reports.Health](t)(reports.Fsck(dir))
			if len(h.Troubles) != 1 {
				t.Fatalf("%+v", h)
			}
			x := h.Troubles[0]
			if x.File != tt.file || tt.offset && x.Offset <= 0 || x.Repairable != tt.repairable || !strings.Contains(x.Detail, tt.says) || x.Repair == "" {
				t.Errorf("%+v", x)
			}
			after := load(t, dir)
			for name, file := range before {
				if after[name] == nil || !bytes.Equal(after[name].Data, file.Data) {
					t.Errorf("%s was changed", name)
				}
			}
		})
	}
	if _, err := reports.Fsck(filepath.Join(f.dir, "nowhere")); err == nil {
		t.Error("a path that is not there was looked at")
	}
}

// readBag reads a bag as RFC 8493 describes it, and nothing of ours.
func readBag(t testing.TB, dir string) {
	t.Helper()
	read := func(name string) string {
		return string(must[[]byte](t)(os.ReadFile(filepath.Join(dir, name))))
	}
	if got := read("bagit.txt"); got != "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n" {
		t.Errorf("bagit.txt: %q", got)
	}
	listed := map[string]bool{}
	for _, manifest := range []string{"manifest-sha256.txt", "tagmanifest-sha256.txt"} {
		for s := bufio.NewScanner(strings.NewReader(read(manifest))); s.Scan(); {
			sum, name, _ := strings.Cut(s.Text(), " ")
			name = strings.TrimLeft(name, " *")
			data := sha256.Sum256([]byte(read(name)))
			if hex.EncodeToString(data[:]) != sum || (manifest[0] == 'm') != strings.HasPrefix(name, "data/") {
				t.Errorf("%s lists %s otherwise", manifest, name)
			}
			listed[name] = true
		}
	}
	octets, streams := 0, 0
	for _, name := range files(t, dir) {
		if name != "tagmanifest-sha256.txt" && !listed[name] {
			t.Errorf("%s is not listed", name)
		}
		if strings.HasPrefix(name, "data/") {
			octets, streams = octets+len(read(name)), streams+1
		}
	}
	if oxum := fmt.Sprintf("Payload-Oxum: %d.%d\n", octets, streams); !strings.Contains(read("bag-info.txt"), oxum) {
		t.Errorf("bag-info.txt %q lacks %q", read("bag-info.txt"), oxum)
	}
}

// A bag is one for others' tools, and a case for verify.
func TestBag(t *testing.T) {
	t.Parallel()
	needTools(t, "sha256sum")
	f := build(t, design{})
	copied, _ := redactedCopy(t, f, "copy", reports.RedactOptions{Headers: true})
	opt := reports.ExportOptions{By: "J. Doe", Why: "deposit", Program: testBuild, Now: caseTime}
	for name, from := range map[string]string{"case": f.zip, "redacted copy": copied} {
		parent := t.TempDir()
		dir, zip := filepath.Join(parent, "bag"), filepath.Join(parent, "bag.zip")
		must[*reports.Exported](t)(reports.ExportBag(from, dir, opt))
		must[*reports.Exported](t)(reports.ExportBag(from, zip, opt))
		readBag(t, dir)
		for _, manifest := range []string{"manifest-sha256.txt", "tagmanifest-sha256.txt"} {
			c := exec.Command("sha256sum", "--check", "--quiet", "--strict", manifest)
			c.Dir = dir
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("%s: %s: %s", name, manifest, out)
			}
		}
		for _, path := range []string{dir, zip, filepath.Join(dir, "data")} {
			r := f.verify(t, path, f.trust())
			said := text(t, r)
			if r.State != Trusted || !strings.Contains(said, `exported by "J. Doe"`) || (path != filepath.Join(dir, "data")) != strings.Contains(said, "RFC 8493") {
				t.Errorf("%s, %s\n%s", name, path, said)
			}
		}
		m := load(t, dir)
		for i, file := range files(t, dir) {
			data := m[file].Data
			if len(data) == 0 || testing.Short() && strings.HasPrefix(file, "data/reports/") {
				continue
			}
			for k, change := range [][]byte{append([]byte{data[0] ^ 1}, data[1:]...), data[:len(data)-1], append(bytes.Clone(data), '\n'), nil} {
				label := []string{"flipped", "cut", "longer", "removed"}[k]
				if strings.HasPrefix(file, "data/") && (k != i%4 || from == copied) {
					continue // one change each will do: the tags list all of them alike
				}
				if file == "bagit.txt" && label == "removed" {
					continue // then it is a folder that holds a folder, and no case
				}
				if change != nil {
					write(t, dir, file, change)
				} else if err := os.Remove(filepath.Join(dir, file)); err != nil {
					t.Fatal(err)
				}
				p, err := integrity.Open(dir)
				write(t, dir, file, data)
				if err == nil {
					_, err = integrity.Check(p)
				}
				if err == nil {
					t.Errorf("%s: %s of the bag %s: not noticed", name, file, label)
				}
			}
		}
	}
	_, err := reports.ExportBag(f.dir, filepath.Join(t.TempDir(), "bag"), reports.ExportOptions{})
	wantUsage(t, err, "give a name")
	_, err = reports.ExportBag(f.dir, filepath.Join(f.dir, "bag"), opt)
	wantUsage(t, err, "lies in the case")
	out := filepath.Join(t.TempDir(), "bag")
	must[*reports.Exported](t)(reports.ExportBag(f.dir, out, opt))
	if log := must[[]ledger.Custody](t)(ledger.ReadCustody(os.DirFS(f.dir))); len(log) != 2 || log[1].What != ledger.CustodyExported || log[1].Why != "deposit" {
		t.Errorf("%+v", log)
	}
	if r := f.verify(t, f.dir, f.trust()); r.State != Trusted {
		t.Errorf("the case after its export: %s", text(t, r))
	}
}
