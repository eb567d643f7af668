package ledger

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func custodyLog(t testing.TB) (dir string, data []byte) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ledgerName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for i, what := range []string{CustodySealed, CustodyNoted, CustodyExported} {
		e := Custody{Time: testTime.AddDate(0, 0, i), What: what, Who: "J. <Doe>", Why: "discovery", Detail: "n"}
		if err := AppendCustody(dir, e); err != nil {
			t.Fatal(err)
		}
	}
	return dir, readFileT(t, filepath.Join(dir, CustodyName))
}

func TestCustodyLog(t *testing.T) {
	t.Parallel()
	dir, data := custodyLog(t)
	log, err := ReadCustody(os.DirFS(dir))
	if err != nil || len(log) != 3 || log[1].Prev != log[0].Hash || log[2].Who != "J. <Doe>" || log[2].Seq != 2 {
		t.Fatalf("%+v, %v", log, err)
	}
	if h := HeadOf(log, 2); h == nil || h.Hash != log[1].Hash || HeadOf(log, 4) != nil || HeadOf(log, 0) != nil {
		t.Errorf("%+v", h)
	}
	lines := strings.SplitAfter(string(data), "\n")
	for name, bad := range map[string]string{
		"the first gone":   lines[1] + lines[2],
		"one gone":         lines[0] + lines[2],
		"swapped":          lines[1] + lines[0] + lines[2],
		"doubled":          lines[0] + lines[0] + lines[1],
		"no end":           string(data[:len(data)-1]),
		"a word changed":   strings.Replace(string(data), "discovery", "recovery", 1),
		"another spelling": strings.Replace(string(data), `{"seq":0`, `{ "seq":0`, 1),
	} {
		if _, err := ParseCustody([]byte(bad)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 1
		if _, err := ParseCustody(bad); !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d: %v", i, err)
		}
	}
	// Nothing is added to a log that is damaged, and none of these is an entry.
	for _, e := range []Custody{{What: CustodyNoted}, {Who: "me"}, {What: CustodyNoted, Who: "\xff"}, {What: CustodyNoted, Who: strings.Repeat("x", 3000)}} {
		if err := AppendCustody(dir, e); err == nil {
			t.Errorf("%+v was added", e)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, CustodyName), data[:len(data)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := AppendCustody(dir, Custody{What: CustodyNoted, Who: "me"}); !errors.Is(err, ErrDamaged) {
		t.Errorf("%v", err)
	}
}

// Writers of the log do not overwrite each other's entries, and none writes while the
// case is being collected.
func TestCustodyIsLocked(t *testing.T) {
	t.Parallel()
	dir := createCase(t, testPlan(1))
	var wg sync.WaitGroup
	var added atomic.Int32
	for range 8 {
		wg.Go(func() {
			for range 5 {
				switch err := AppendCustody(dir, Custody{What: CustodyNoted, Who: "me"}); {
				case err == nil:
					added.Add(1)
				case !errors.Is(err, ErrLocked):
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if log, err := ReadCustody(os.DirFS(dir)); err != nil || len(log) != int(added.Load()) || len(log) == 0 {
		t.Errorf("%d entries of %d, %v", len(log), added.Load(), err)
	}
	w := openWriterT(t, dir, (&testClock{}).options())
	if err := AppendCustody(dir, Custody{What: CustodyNoted, Who: "me"}); !errors.Is(err, ErrLocked) {
		t.Errorf("beside a writer: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func FuzzParseCustody(f *testing.F) {
	_, data := custodyLog(f)
	f.Add(data)
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		log, err := ParseCustody(data)
		if err == nil && len(log) != bytes.Count(data, []byte{'\n'}) {
			t.Errorf("%d entries of %q", len(log), data)
		}
	})
}

func FuzzParseRedaction(f *testing.F) {
	data, err := EncodeRedaction(&Redaction{CaseID: "x", Files: []string{"blobs/segment-000001.bin", PromptsName, "reports/1/report.html"}, Prompts: []string{"s/p"}, Requests: []uint64{2, 5}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseRedaction(data)
		if err != nil {
			return
		}
		if again, err := EncodeRedaction(r); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%q is accepted but written as %q, %v", data, again, err)
		}
	})
}
