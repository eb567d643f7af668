package registry

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write testdata/golden anew")

// golden is a registry whose keys, clock and authority are the tests': an epoch
// with two decoys, committed, published and served, then a handover, a retirement
// and a disclosure; a key that served without a commitment; an interrupted line.
func golden(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	first := b.add("2026-11", "cohort-a")
	_, err := b.w.Decoys(first, 2, b.random, "decoys of 2026-11")
	b.must(err)
	b.clock.pass(time.Minute)
	b.commit()
	b.clock.pass(time.Minute)
	b.must(b.move(first, Move{To: Serving, Reason: "release 7"}))
	b.clock.pass(time.Hour)
	second := b.add("2026-12", "cohort-a")
	b.must(b.move(second, Move{To: Serving, At: start.Add(24 * time.Hour), Replaces: first, Exploratory: true, Reason: "release 8, not committed"}))
	b.clock.pass(1500 * time.Millisecond)
	b.must(b.w.Close())
	f, err := os.OpenFile(filepath.Join(b.dir, logName), os.O_APPEND|os.O_WRONLY, 0o600)
	b.must(err)
	_, err = f.WriteString(`{"seq":10,"time":"2026`)
	b.must(err)
	b.must(f.Close())
	b.open()
	b.must(b.move(first, Move{To: Disclosed, At: start.Add(240 * time.Hour), Reason: "for the court"}))
	return b
}

// TestGolden compares every byte of every file with testdata/golden, which
// FORMAT.md explains: what was written years ago must be readable, and mean the
// same.
func TestGolden(t *testing.T) {
	t.Parallel()
	b := golden(t)
	const dir = "testdata/golden"
	if *update {
		b.must(os.RemoveAll(dir))
		b.must(os.CopyFS(dir, os.DirFS(b.dir)))
	}
	files := 0
	b.must(fs.WalkDir(os.DirFS(b.dir), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		got, err := os.ReadFile(filepath.Join(b.dir, path))
		b.must(err)
		want, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what it was (%v)", path, err)
		}
		return nil
	}))
	if files != 7 { // log, four keys, a commitment and its stamp
		t.Errorf("%d files", files)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	b.must(os.CopyFS(copied, os.DirFS(dir)))
	b.must(filepath.WalkDir(copied, func(path string, entry fs.DirEntry, err error) error {
		b.must(err)
		mode := fs.FileMode(0o600)
		if entry.IsDir() {
			mode = 0o700
		}
		return os.Chmod(path, mode)
	}))
	r, err := Load(copied)
	b.must(err)
	if r.head != b.w.r.head || len(r.events) != len(b.w.r.events) {
		t.Errorf("head %s, %d events", r.head, len(r.events))
	}
}
