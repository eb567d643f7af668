package ledger

import (
	"archive/zip"
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// fill settles every item of the case and closes the writer.
func fillCase(t testing.TB, dir string) {
	t.Helper()
	w := openWriterT(t, dir, new(testClock).options())
	for i, it := range w.State().Pending() {
		if i%3 == 1 {
			attempt(t, w, it, 1, Transport)
			attempt(t, w, it, 2, OK)
			continue
		}
		attempt(t, w, it, 1, OK)
	}
	if _, err := w.Append(EventStop, "", 0, map[string]string{"reason": "complete"}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// zipOf packs a case folder with compressed entries, which cannot seek.
func zipOf(t testing.TB, dir string) *zip.Reader {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	if err := z.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCaseRoundTrip(t *testing.T) {
	t.Parallel()
	plan := testPlan(5)
	dir := createCase(t, plan)
	fillCase(t, dir)
	mapFS := fstest.MapFS{}
	if err := fs.WalkDir(os.DirFS(dir), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, p))
		mapFS[p] = &fstest.MapFile{Data: data}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for name, fsys := range map[string]fs.FS{"folder": os.DirFS(dir), "zip": zipOf(t, dir), "memory": mapFS} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := OpenFS(fsys)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			err = c.Replies(func(r ReplyRecord) error {
				seen[r.Item.ID] = true
				if want := responseTo(r.Item.ID); !bytes.Equal(r.Response, want) {
					t.Errorf("%s: response %q, want %q", r.Item.ID, r.Response, want)
				}
				if r.Attempt.Outcome != OK || r.Attempt.Target != r.Item.Target.Name {
					t.Errorf("%s: outcome %q of %q", r.Item.ID, r.Attempt.Outcome, r.Attempt.Target)
				}
				req, err := c.Blob(r.Request)
				if err != nil || !bytes.Contains(req, []byte(r.Item.Prompt.ID)) {
					t.Errorf("%s: request %q, %v", r.Item.ID, req, err)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(seen) != 10 {
				t.Errorf("%d replies, want 10", len(seen))
			}
			// 10 items, 3 of them with a second attempt: 13 requests and responses.
			if n, err := c.CheckBlobs(); n != 26 || err != nil {
				t.Errorf("CheckBlobs = %d, %v; want 26", n, err)
			}
			state, err := c.State()
			if err != nil {
				t.Fatal(err)
			}
			if !state.Stopped || state.Sealed || len(state.Orphans()) != 0 || len(state.Pending()) != 0 {
				t.Errorf("state: stopped %v, sealed %v, orphans %v, pending %d", state.Stopped, state.Sealed, state.Orphans(), len(state.Pending()))
			}
			// plan_sealed, 13 × (intent, outcome), stop
			if state.Head.Events != 28 {
				t.Errorf("%d events, want 28", state.Head.Events)
			}
			tree, err := c.Tree()
			if err != nil {
				t.Fatal(err)
			}
			if root := tree.Root(); state.Head.Root != hex.EncodeToString(root[:]) {
				t.Errorf("root of the state %s, of the tree %x", state.Head.Root, root)
			}
		})
	}
}

func TestReplyErrorStops(t *testing.T) {
	t.Parallel()
	dir := createCase(t, testPlan(2))
	fillCase(t, dir)
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("enough")
	n := 0
	if err := c.Replies(func(ReplyRecord) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
		t.Errorf("Replies = %v after %d replies; want %v after 1", err, n, stop)
	}
}

func TestPrefix(t *testing.T) {
	t.Parallel()
	dir := createCase(t, testPlan(2))
	fillCase(t, dir)
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	before, err := c.LedgerHead()
	if err != nil {
		t.Fatal(err)
	}
	w := openWriterT(t, dir, new(testClock).options())
	if _, err := w.Append(EventSeal, "", 0, nil); err != nil {
		t.Fatal(err)
	}
	live := w.State().Head
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	after, err := c.LedgerHead()
	if err != nil {
		t.Fatal(err)
	}
	if after != live || after.Events <= before.Events {
		t.Errorf("head read %+v, written %+v, before %+v", after, live, before)
	}
	if got, err := c.Prefix(before.Events).LedgerHead(); err != nil || got != before {
		t.Errorf("prefix head = %+v, %v; want %+v", got, err, before)
	}
}

func TestCreateRefusals(t *testing.T) {
	t.Parallel()
	dir := createCase(t, testPlan(1))
	if _, err := Create(dir, testPlan(1)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second Create = %v, want fs.ErrExist", err)
	}
	for _, name := range []string{"../x", "/x", "a/../b", "plan.json", "ledger.jsonl", "case.json", "blobs/x", `a\b`, "c:d", "", "."} {
		if _, err := Create(filepath.Join(t.TempDir(), "c"), testPlan(1), File{name, nil}); err == nil {
			t.Errorf("file %q was accepted", name)
		}
	}
	bad := testPlan(1)
	bad.Samples = 0
	fresh := filepath.Join(t.TempDir(), "c")
	if _, err := Create(fresh, bad); err == nil {
		t.Error("an invalid plan was accepted")
	}
	if _, err := os.Stat(fresh); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused case left a folder: %v", err)
	}
}

func TestCasePermissions(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no permission bits on windows")
	}
	dir := createCase(t, testPlan(1))
	fillCase(t, dir)
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		} else {
			files++
		}
		if st.Mode().Perm() != want {
			t.Errorf("%s has %04o, want %04o", path, st.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// case, plan, ledger, decoys, commitment, one segment: no reserve, no temporary file
	if files != 6 {
		t.Errorf("%d files, want 6", files)
	}
}

func TestOpenRefusals(t *testing.T) {
	t.Parallel()
	good := fstest.MapFS{}
	dir := createCase(t, testPlan(1))
	for _, name := range []string{"case.json", "plan.json", "ledger.jsonl"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		good[name] = &fstest.MapFile{Data: data}
	}
	tests := []struct {
		name   string
		change func(fstest.MapFS)
		want   string
		is     error
	}{
		{"no case.json", func(m fstest.MapFS) { delete(m, "case.json") }, "creation was interrupted", nil},
		{"no plan", func(m fstest.MapFS) { delete(m, "plan.json") }, "plan.json", fs.ErrNotExist},
		{"newer case", replaceIn("case.json", `"format": 1`, `"format": 3`), "newer stillmark", ErrNewerFormat},
		{"newer plan", replaceIn("plan.json", `"format": 1`, `"format": 9, "x": 1`), "newer stillmark", ErrNewerFormat},
		{"other id", replaceIn("case.json", "01JD8K7Q", "01JD8K7R"), "does not agree", nil},
		{"unknown member", replaceIn("plan.json", `"format": 1`, `"format": 1, "bonus": 1`), "unknown field", nil},
		{"member twice", replaceIn("plan.json", `"samples": 1`, `"samples": 2, "samples": 1`), "canonical", nil},
		{"member in capitals", replaceIn("plan.json", `"samples"`, `"Samples"`), "canonical", nil},
		{"spaces", replaceIn("plan.json", "{", "{ "), "canonical", nil},
		{"trailing text", func(m fstest.MapFS) {
			m["plan.json"] = &fstest.MapFile{Data: append(bytes.Clone(m["plan.json"].Data), "{}"...)}
		}, "after top-level value", nil},
		{"empty plan", func(m fstest.MapFS) { m["plan.json"] = &fstest.MapFile{} }, "not JSON", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := fstest.MapFS{}
			for k, v := range good {
				m[k] = v
			}
			tt.change(m)
			_, err := OpenFS(m)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("error %v is not %v", err, tt.is)
			}
		})
	}
	if _, err := Open(filepath.Join(dir, "plan.json")); err == nil {
		t.Error("a file was opened as a folder")
	}
}

func replaceIn(name, old, repl string) func(fstest.MapFS) {
	return func(m fstest.MapFS) {
		m[name] = &fstest.MapFile{Data: bytes.Replace(m[name].Data, []byte(old), []byte(repl), 1)}
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 23, 30, 0, 0, time.FixedZone("", -3600)) // the 21st in UTC
	tests := []struct{ name, want string }{
		{"ACME Nova/1", "2026-11-21_acme-nova-1_"},
		{"--a--b--", "2026-11-21_a-b_"},
		{"Ωμέγα", "2026-11-21_case_"},
		{strings.Repeat("long ", 30), "2026-11-21_long-long-long-long-long-long-long-long_"},
	}
	for _, tt := range tests {
		id, err := NewCaseID(tt.name, now, newRand(1))
		if err != nil {
			t.Fatal(err)
		}
		if got := id[:len(id)-8]; got != tt.want {
			t.Errorf("NewCaseID(%q) = %q, want %q and 8 characters", tt.name, id, tt.want)
		}
		if !namePattern.MatchString(id) {
			t.Errorf("%q would be refused as a case id", id)
		}
	}
	if _, err := NewCaseID("x", now, strings.NewReader("abc")); err == nil {
		t.Error("a short random source was accepted")
	}
}
