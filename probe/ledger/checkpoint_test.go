package ledger

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// A long run leaves signed heads behind: every thousand events, every ten minutes, and
// at its end. Each is that of the tree as it was then, and tools for signed notes
// accept it.
func TestCheckpoints(t *testing.T) {
	t.Parallel()
	s := testSigner(t, 1)
	clock := &testClock{}
	dir := createCaseIn(t, memoryDir(t), saltedPlan(t, 800))
	var stamped int
	opt := clock.options()
	opt.Checkpoints = &Checkpoints{Signer: s, Stamp: func(digest [32]byte) ([]byte, error) {
		if stamped++; stamped == 2 {
			return nil, errors.New("no authority today")
		}
		return digest[:], nil
	}}
	var failed []string
	opt.Checkpoints.Failed = func(err error) { failed = append(failed, err.Error()) }
	w := openWriterT(t, dir, opt)
	items := w.Case().Plan().Items()
	for i, it := range items[:1200] {
		if i == 1100 {
			clock.now, clock.mono = clock.now.Add(11*time.Minute), clock.mono+11*time.Minute
		}
		attempt(t, w, it, 1, OK)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	names, err := fs.Glob(os.DirFS(dir), "checkpoints/*.note")
	if err != nil {
		t.Fatal(err)
	}
	// 2,401 events: after 1,000 and 2,000, after the eleven minutes, and at the end.
	want := []string{CheckpointName(1000), CheckpointName(2000), CheckpointName(2202), CheckpointName(2401)}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		t.Fatalf("%q, want %q", names, want)
	}
	verifier, err := note.NewVerifier(CheckpointKey(c.Plan().CaseID, s.PublicKey().Key))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data := readFileT(t, filepath.Join(dir, name))
		if _, err := note.Open(data, note.VerifierList(verifier)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		cp, err := OpenCheckpoint(c.Plan().CaseID, data, s.PublicKey().Key)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := c.Prefix(uint64(cp.Size)).Tree()
		if err != nil || tree.Root() != cp.Root {
			t.Errorf("%s is not the head of the first %d lines: %v", name, cp.Size, err)
		}
	}
	if len(failed) != 1 || !strings.Contains(failed[0], "no authority today") {
		t.Errorf("%q", failed)
	}
	if tokens, _ := fs.Glob(os.DirFS(dir), "checkpoints/*.note.tsr"); len(tokens) != 3 {
		t.Errorf("%q", tokens)
	}
}

func TestOpenCheckpoint(t *testing.T) {
	t.Parallel()
	s, other := testSigner(t, 1), testSigner(t, 2)
	root := Hash{1, 2, 3}
	data, err := SignCheckpoint("case+1", 7, root, s)
	if err != nil {
		t.Fatal(err)
	}
	cp, err := OpenCheckpoint("case+1", data, s.PublicKey().Key)
	if err != nil || cp.Size != 7 || cp.Root != root {
		t.Fatalf("%+v, %v", cp, err)
	}
	foreign, err := note.Sign(&note.Note{Text: string(data[:bytes.Index(data, []byte("\n\n"))+1])}, noteKey{"else", other.PublicKey().Key, other})
	if err != nil {
		t.Fatal(err)
	}
	second := append(bytes.Clone(data), foreign[bytes.Index(foreign, []byte("\n\n"))+2:]...)
	for name, tt := range map[string]struct {
		caseID string
		data   []byte
		key    ed25519.PublicKey
	}{
		"another key":        {"case+1", data, other.PublicKey().Key},
		"another case":       {"case+2", data, s.PublicKey().Key},
		"a second signature": {"case+1", second, s.PublicKey().Key},
		"cut":                {"case+1", data[:len(data)-1], s.PublicKey().Key},
		"empty":              {"case+1", nil, s.PublicKey().Key},
		"huge":               {"case+1", append(bytes.Clone(data), make([]byte, maxCheckpoint)...), s.PublicKey().Key},
	} {
		if _, err := OpenCheckpoint(tt.caseID, tt.data, tt.key); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 1
		if _, err := OpenCheckpoint("case+1", bad, s.PublicKey().Key); err == nil {
			t.Errorf("byte %d (%q): accepted", i, data[i])
		}
	}
}

func FuzzOpenCheckpoint(f *testing.F) {
	s := testSigner(f, 1)
	data, err := SignCheckpoint("case", 7, Hash{1}, s)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, got []byte) {
		if _, err := OpenCheckpoint("case", got, s.PublicKey().Key); err == nil && !bytes.Equal(got, data) {
			t.Errorf("%q passes for a checkpoint", got)
		}
	})
}
