package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// tinyLedger writes a case with two settled items, one failed attempt and one
// orphan, and returns its folder.
func tinyLedger(t testing.TB) string {
	t.Helper()
	return tinyLedgerIn(t, t.TempDir())
}

func tinyLedgerIn(t testing.TB, parent string) string {
	t.Helper()
	dir := createCaseIn(t, parent, testPlan(2))
	w := openWriterT(t, dir, new(testClock).options())
	items := w.State().Pending()
	attempt(t, w, items[0], 1, OK)
	attempt(t, w, items[1], 1, RateLimited)
	attempt(t, w, items[1], 2, Refused)
	attempt(t, w, items[2], 1, "")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func readFileT(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func writeFileT(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestResumeState(t *testing.T) {
	t.Parallel()
	dir := tinyLedger(t)
	w := openWriterT(t, dir, new(testClock).options())
	s := w.State()
	items := w.Case().Plan().Items()
	want := []ItemState{
		{Attempts: 1, Settled: true, Outcome: OK},
		{Attempts: 2, Settled: true, Outcome: Refused},
		{Attempts: 1, Orphan: true},
		{},
	}
	for i, it := range items {
		if got := s.Item(it.ID); got != want[i] {
			t.Errorf("item %d: %+v, want %+v", i, s.Item(it.ID), want[i])
		}
	}
	if o := s.Orphans(); len(o) != 1 || o[0] != items[2].ID {
		t.Errorf("orphans %v, want %s", o, items[2].ID)
	}
	if n := s.NextAttempt(items[2].ID); n != 2 {
		t.Errorf("next attempt of the orphan is %d, want 2", n)
	}
	if n := s.NextAttempt(items[3].ID); n != 1 {
		t.Errorf("next attempt of a fresh item is %d, want 1", n)
	}
	if p := s.Pending(); len(p) != 2 || p[0].ID != items[2].ID || p[1].ID != items[3].ID {
		t.Errorf("pending %v", p)
	}
	// The copy does not follow the writer.
	attempt(t, w, items[2], 2, OK)
	if s.Settled(items[2].ID) || !w.State().Settled(items[2].ID) {
		t.Error("State is no snapshot")
	}
}

// TestKilledAnywhere cuts the ledger at every byte, as a kill may, and opens it
// again: whole lines survive, the fragment is kept aside, and the run can be
// finished.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	dir := tinyLedgerIn(t, memoryDir(t))
	path := filepath.Join(dir, ledgerName)
	whole := readFileT(t, path)
	for cut := 0; cut <= len(whole); cut++ {
		writeFileT(t, path, whole[:cut])
		keep := bytes.LastIndexByte(whole[:cut], '\n') + 1
		w, err := OpenWriter(dir, new(testClock).options())
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		s := w.State()
		settled := bytes.Count(whole[:keep], []byte(`"type":"reply"`))
		if n := s.SettledItems(); n != settled {
			t.Fatalf("cut at %d: %d settled items, want %d", cut, n, settled)
		}
		// Finishing the run costs most of the time: at every seventh byte, and
		// around the ends of lines.
		finish := cut%7 == 0 || cut-keep < 2 || cut+1 < len(whole) && whole[cut+1] == '\n'
		if finish {
			for _, it := range s.Pending() {
				attempt(t, w, it, s.NextAttempt(it.ID), OK)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		now := readFileT(t, path)
		if !bytes.HasPrefix(now, whole[:keep]) {
			t.Fatalf("cut at %d: whole lines were changed", cut)
		}
		torn := filepath.Join(dir, "ledger.torn-1")
		if keep == cut {
			if _, err := os.Stat(torn); !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("cut at %d, the end of a line: %v", cut, err)
			}
		} else {
			if got := readFileT(t, torn); !bytes.Equal(got, whole[keep:cut]) {
				t.Fatalf("cut at %d: fragment %q, want %q", cut, got, whole[keep:cut])
			}
			if !bytes.Contains(now, []byte(FaultTornLine)) {
				t.Fatalf("cut at %d: the torn line is not recorded", cut)
			}
			if err := os.Remove(torn); err != nil {
				t.Fatal(err)
			}
		}
		if !finish {
			continue
		}
		c, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		replies := 0
		if err := c.Replies(func(r ReplyRecord) error {
			replies++
			if !bytes.Equal(r.Response, responseTo(r.Item.ID)) {
				return fmt.Errorf("%s: response %q", r.Item.ID, r.Response)
			}
			return nil
		}); err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if replies != 4 {
			t.Fatalf("cut at %d: %d replies in the end, want 4", cut, replies)
		}
	}
}

// TestTornIsNotDamage: a reader of a torn ledger gets every whole line and an
// error that says so.
func TestTornIsNotDamage(t *testing.T) {
	t.Parallel()
	dir := tinyLedger(t)
	path := filepath.Join(dir, ledgerName)
	whole := readFileT(t, path)
	writeFileT(t, path, whole[:len(whole)-5])
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	var last error
	for _, err := range c.Events() {
		if last = err; err == nil {
			lines++
		}
	}
	var torn *TornError
	if !errors.As(last, &torn) || !errors.Is(last, ErrTorn) || errors.Is(last, ErrDamaged) {
		t.Fatalf("error %v, want a TornError", last)
	}
	want := bytes.Count(whole, []byte{'\n'}) - 1
	if lines != want || torn.Line != want+1 || torn.Offset != int64(bytes.LastIndexByte(whole[:len(whole)-5], '\n')+1) {
		t.Errorf("%d lines, torn at %+v; want %d", lines, torn, want)
	}
	if s, err := c.State(); !errors.Is(err, ErrTorn) || s == nil || s.Head.Events != uint64(want) {
		t.Errorf("State = %+v, %v", s, err)
	}
}

// TestEveryFlip changes every byte of a ledger. In all lines but the last the
// chain finds it and names the line; in the last line either its form is found
// broken, or the head changes, which findings and seal hold.
func TestEveryFlip(t *testing.T) {
	t.Parallel()
	dir := tinyLedger(t)
	whole := readFileT(t, filepath.Join(dir, ledgerName))
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	head, err := c.LedgerHead()
	if err != nil {
		t.Fatal(err)
	}
	lastLine := bytes.Count(whole, []byte{'\n'})
	read := func(data []byte) (*State, error) {
		s := newState(c.index)
		r := newChainReader(bytes.NewReader(data))
		for {
			l, err := r.step()
			if err != nil {
				if err.Error() == "EOF" {
					return s, nil
				}
				return s, err
			}
			if _, err := s.add(l); err != nil {
				return s, err
			}
		}
	}
	for i := range whole {
		line := bytes.Count(whole[:i], []byte{'\n'}) + 1
		masks := []byte{0x01, 0x20, 0x80}
		if i%8 != 0 {
			masks = masks[i%3:][:1] // one change for each byte, and all for some
		}
		for _, mask := range masks {
			bad := bytes.Clone(whole)
			bad[i] ^= mask
			s, err := read(bad)
			if err == nil {
				if line < lastLine {
					t.Fatalf("line %d, byte %d, mask %#x: not found", line, i, mask)
				}
				if s.Head.Hash == head.Hash {
					t.Fatalf("byte %d, mask %#x: neither found nor in the head", i, mask)
				}
				continue
			}
			var damage *DamageError
			switch {
			case errors.As(err, &damage):
				// A change in the hash that line k holds of line k-1, where k is
				// the last, cannot be told from a change in line k-1.
				if damage.Line != line && !(line >= lastLine-1 && damage.Line >= lastLine-1) {
					t.Fatalf("line %d, byte %d, mask %#x: blamed line %d: %v", line, i, mask, damage.Line, err)
				}
			case errors.Is(err, ErrTorn):
				if i != len(whole)-1 {
					t.Fatalf("line %d, byte %d, mask %#x: torn: %v", line, i, mask, err)
				}
			case errors.Is(err, ErrOrder) || errors.Is(err, ErrSealed):
				if !strings.Contains(err.Error(), fmt.Sprintf("line %d ", line)) {
					t.Fatalf("line %d, byte %d, mask %#x: %v", line, i, mask, err)
				}
			default:
				t.Fatalf("line %d, byte %d, mask %#x: %v", line, i, mask, err)
			}
		}
	}
}

// TestDamageIsFatal: what is not a torn last line stops a writer, and nothing
// is changed.
func TestDamageIsFatal(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(t *testing.T, dir string, whole []byte)
		want   string
	}{
		{"flipped byte", func(t *testing.T, dir string, whole []byte) {
			i := bytes.Index(whole, []byte("rate_limited"))
			whole[i] ^= 1
			writeFileT(t, filepath.Join(dir, ledgerName), whole)
		}, "line 5 "},
		{"line removed", func(t *testing.T, dir string, whole []byte) {
			lines := bytes.SplitAfter(whole, []byte{'\n'})
			writeFileT(t, filepath.Join(dir, ledgerName), bytes.Join(append(lines[:3:3], lines[4:]...), nil))
		}, "line 4 (byte"},
		{"lines swapped", func(t *testing.T, dir string, whole []byte) {
			lines := bytes.SplitAfter(whole, []byte{'\n'})
			lines[3], lines[4] = lines[4], lines[3]
			writeFileT(t, filepath.Join(dir, ledgerName), bytes.Join(lines, nil))
		}, "line 4 (byte"},
		{"zeros at the end", func(t *testing.T, dir string, whole []byte) {
			writeFileT(t, filepath.Join(dir, ledgerName), append(append(whole, make([]byte, 100)...), '\n'))
		}, "line 9 "},
		{"line too long", func(t *testing.T, dir string, whole []byte) {
			writeFileT(t, filepath.Join(dir, ledgerName), append(whole, bytes.Repeat([]byte{'x'}, maxLine+10)...))
		}, "longer than"},
		{"segment cut", func(t *testing.T, dir string, _ []byte) {
			if err := os.Truncate(filepath.Join(dir, blobsName, segmentName(1)), 40); err != nil {
				t.Fatal(err)
			}
		}, "byte 40"},
		{"segment gone", func(t *testing.T, dir string, _ []byte) {
			if err := os.Remove(filepath.Join(dir, blobsName, segmentName(1))); err != nil {
				t.Fatal(err)
			}
		}, "segment-000001.bin"},
		{"another plan", func(t *testing.T, dir string, _ []byte) {
			p := testPlan(2)
			p.Alpha = 0.5
			data, err := EncodePlan(p)
			if err != nil {
				t.Fatal(err)
			}
			writeFileT(t, filepath.Join(dir, planName), data)
		}, "SHA-256"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := tinyLedger(t)
			path := filepath.Join(dir, ledgerName)
			tt.change(t, dir, readFileT(t, path))
			before := readFileT(t, path)
			_, err := OpenWriter(dir, new(testClock).options())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("OpenWriter: %v; want an error with %q", err, tt.want)
			}
			if !bytes.Equal(readFileT(t, path), before) {
				t.Error("the damaged ledger was changed")
			}
			// The lock is free again.
			f, err := openLocked(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := closeLocked(f); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestBlobDamageIsNamed(t *testing.T) {
	t.Parallel()
	dir := tinyLedger(t)
	name := filepath.Join(dir, blobsName, segmentName(1))
	data := readFileT(t, name)
	i := bytes.Index(data, []byte("reply to"))
	data[i] ^= 1
	writeFileT(t, name, data)
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var damage *DamageError
	if _, err := c.CheckBlobs(); !errors.As(err, &damage) || damage.File != "blobs/segment-000001.bin" || damage.Offset > int64(i) || damage.Offset < int64(i)-20 {
		t.Errorf("CheckBlobs: %v; want the blob around byte %d", err, i)
	}
	if err := c.Replies(func(ReplyRecord) error { return nil }); !errors.Is(err, ErrDamaged) {
		t.Errorf("Replies: %v", err)
	}
	for _, ref := range []BlobRef{
		{},
		{Segment: 1, Offset: -1, Length: 1, SHA256: zeroHash},
		{Segment: 1, Offset: 0, Length: -1, SHA256: zeroHash},
		{Segment: 1, Offset: 0, Length: 1 << 62, SHA256: zeroHash},
		{Segment: 1, Offset: 1 << 62, Length: 1, SHA256: zeroHash},
		{Segment: 1, Offset: 0, Length: 1, SHA256: "x"},
		{Segment: 1, Offset: segmentSize - 1, Length: 1, SHA256: zeroHash},
		{Segment: 7, Offset: 0, Length: 1, SHA256: zeroHash},
	} {
		if _, err := c.Blob(ref); err == nil {
			t.Errorf("Blob(%+v) succeeded", ref)
		}
	}
}

func TestSecondWriter(t *testing.T) {
	t.Parallel()
	dir := createCase(t, testPlan(1))
	w := openWriterT(t, dir, new(testClock).options())
	if _, err := OpenWriter(dir, new(testClock).options()); !errors.Is(err, ErrLocked) {
		t.Errorf("second writer: %v, want ErrLocked", err)
	}
	attempt(t, w, w.State().Pending()[0], 1, OK) // the first is not disturbed
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	openWriterT(t, dir, new(testClock).options())
	if _, err := w.Append(EventPause, "", 0, nil); err == nil {
		t.Error("a closed writer took an event")
	}
	if _, err := w.PutBlob(nil); err == nil {
		t.Error("a closed writer took a blob")
	}
}

func TestOrderIsKept(t *testing.T) {
	t.Parallel()
	dir := createCase(t, testPlan(2))
	w := openWriterT(t, dir, new(testClock).options())
	it, other := w.State().Pending()[0], w.State().Pending()[1]
	ref, err := w.PutBlob([]byte("body"))
	if err != nil {
		t.Fatal(err)
	}
	beyond := ref
	beyond.Offset += 100
	ok := Attempt{Target: it.Target.Name, Outcome: OK, Response: &ref}
	failed := ok
	failed.Outcome = Transport
	steps := []struct {
		name    string
		typ     string
		item    string
		attempt int
		data    any
		fails   error
	}{
		{"reply without intent", EventReply, it.ID, 1, ok, ErrOrder},
		{"intent of an unknown item", EventIntent, "x/y/z/0", 1, Intent{"x", ref}, ErrOrder},
		{"intent of the second attempt", EventIntent, it.ID, 2, Intent{it.Target.Name, ref}, ErrOrder},
		{"intent for another target", EventIntent, it.ID, 1, Intent{"other", ref}, ErrOrder},
		{"intent with an unwritten blob", EventIntent, it.ID, 1, Intent{it.Target.Name, beyond}, ErrOrder},
		{"intent with other data", EventIntent, it.ID, 1, map[string]int{"x": 1}, ErrOrder},
		{"intent", EventIntent, it.ID, 1, Intent{it.Target.Name, ref}, nil},
		{"reply that failed", EventReply, it.ID, 1, failed, ErrOrder},
		{"failure that is final", EventAttemptFailed, it.ID, 1, ok, ErrOrder},
		{"failure", EventAttemptFailed, it.ID, 1, failed, nil},
		{"reply after failure", EventReply, it.ID, 1, ok, ErrOrder},
		{"second intent", EventIntent, it.ID, 2, Intent{it.Target.Name, ref}, nil},
		{"reply to the first attempt", EventReply, it.ID, 1, ok, ErrOrder},
		{"reply", EventReply, it.ID, 2, ok, nil},
		{"intent of a settled item", EventIntent, it.ID, 3, Intent{it.Target.Name, ref}, ErrOrder},
		{"second plan", EventPlanSealed, "", 0, PlanSealed{w.Case().PlanSHA256()}, ErrOrder},
		{"unknown event", "party", "", 0, nil, ErrOrder},
		{"seal", EventSeal, "", 0, map[string]string{"report": "r"}, nil},
		{"intent after the seal", EventIntent, other.ID, 1, Intent{other.Target.Name, ref}, ErrSealed},
		{"pause after the seal", EventPause, "", 0, nil, ErrSealed},
		{"a second seal", EventSeal, "", 0, nil, nil},
	}
	events := w.State().Head.Events
	for _, s := range steps {
		_, err := w.Append(s.typ, s.item, s.attempt, s.data)
		if s.fails == nil {
			events++
		}
		if !errors.Is(err, s.fails) || (err == nil) != (s.fails == nil) {
			t.Errorf("%s: %v, want %v", s.name, err, s.fails)
		}
		if n := w.State().Head.Events; n != events {
			t.Fatalf("%s: %d events, want %d", s.name, n, events)
		}
	}
	if _, err := w.Append(EventSeal, "", 0, func() {}); err == nil {
		t.Error("a function was marshalled")
	}
	if _, err := w.Append(EventSeal, "", 0, strings.Repeat("x", maxLine)); err == nil {
		t.Error("a line beyond the limit was written")
	}
	if _, err := w.PutBlob(make([]byte, maxBlob+1)); err == nil {
		t.Error("a blob beyond the limit was stored")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err := w.Case().State(); err != nil || !s.Sealed || s.Head.Events != events {
		t.Errorf("read back: %+v, %v", s.Head, err)
	}
}

func TestConcurrentAppends(t *testing.T) {
	t.Parallel()
	const n = 64
	dir := createCase(t, testPlan(n/2))
	var syncs atomic.Int64
	opt := new(testClock).options()
	opt.wrap = func(_ string, f file) file { return countSync{f, &syncs} }
	w := openWriterT(t, dir, opt)
	before := syncs.Load()
	var wg sync.WaitGroup
	errs := make(chan error, n)
	for _, it := range w.State().Pending() {
		wg.Go(func() {
			err := tryAttempt(w, it, 1, Transport)
			if err == nil {
				err = tryAttempt(w, it, 2, OK)
			}
			errs <- err
		})
	}
	wg.Wait()
	for range n {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	// 4 events for each item would take 8 syncs each without sharing.
	if used := syncs.Load() - before; used > 8*n/4 {
		t.Errorf("%d syncs for %d events: they are not shared", used, 4*n)
	}
	live := w.State().Head
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if head, err := c.LedgerHead(); err != nil || head != live || head.Events != 1+4*n {
		t.Errorf("head %+v, %v; want %+v", head, err, live)
	}
	if blobs, err := c.CheckBlobs(); err != nil || blobs != 4*n {
		t.Errorf("%d blobs, %v", blobs, err)
	}
}

// countSync counts syncs and takes a millisecond for each, as a disk does.
type countSync struct {
	file
	n *atomic.Int64
}

func (c countSync) Sync() error {
	c.n.Add(1)
	time.Sleep(time.Millisecond)
	return nil
}

// script is a disk whose files fail when told to.
type script struct {
	mu      sync.Mutex
	room    int64 // bytes that still fit; < 0 = no limit
	syncErr error
	dir     string // where the reserve lies; when it goes, 4096 bytes fit again
	had     bool
	order   []string
}

type scriptFile struct {
	name string
	s    *script
	file
}

func (s *script) wrap(name string, f file) file { return scriptFile{name, s, f} }

func (f scriptFile) WriteAt(p []byte, off int64) (int, error) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	f.s.order = append(f.s.order, "write "+f.name)
	if f.s.room < 0 {
		return f.file.WriteAt(p, off)
	}
	if _, err := os.Stat(filepath.Join(f.s.dir, reserveName)); f.s.had && err != nil {
		f.s.had = false
		f.s.room += 4096
	}
	n := min(int64(len(p)), f.s.room)
	if _, err := f.file.WriteAt(p[:n], off); err != nil {
		return 0, err
	}
	f.s.room -= n
	if n < int64(len(p)) {
		return int(n), &fs.PathError{Op: "write", Path: f.name, Err: syscall.ENOSPC}
	}
	return int(n), nil
}

func (f scriptFile) Sync() error {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	f.s.order = append(f.s.order, "sync "+f.name)
	return f.s.syncErr
}

// TestDiskFull fills the disk at every byte of an attempt's writing: what is
// under way is still recorded from the reserve, with the fault, and then no
// intent is taken.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	for room := int64(0); room < 1500; room += 97 {
		dir := createCase(t, testPlan(4))
		s := &script{room: -1, dir: dir, had: true}
		opt := new(testClock).options()
		opt.wrap = s.wrap
		w := openWriterT(t, dir, opt)
		items := w.State().Pending()
		attempt(t, w, items[0], 1, "") // sent, and the disk fills while it is under way
		s.mu.Lock()
		s.room = room
		s.mu.Unlock()
		resp, err := w.PutBlob(responseTo(items[0].ID))
		if err != nil {
			t.Fatalf("room %d: the body under way was lost: %v", room, err)
		}
		if _, err := w.Append(EventReply, items[0].ID, 1, Attempt{Target: items[0].Target.Name, Outcome: OK, Response: &resp}); err != nil {
			t.Fatalf("room %d: the reply under way was lost: %v", room, err)
		}
		var stopped error
		for _, it := range items[1:] {
			if stopped = tryAttempt(w, it, 1, ""); stopped != nil {
				break
			}
		}
		if room < 1200 && !errors.Is(stopped, ErrStorage) {
			t.Errorf("room %d: intents go on: %v", room, stopped)
		}
		if _, err := w.Append(EventPause, "", 0, map[string]string{"why": "storage"}); err != nil {
			t.Errorf("room %d: the pause was not recorded: %v", room, err)
		}
		if err := w.Close(); err != nil {
			t.Errorf("room %d: %v", room, err)
		}
		data := readFileT(t, filepath.Join(dir, ledgerName))
		if stopped != nil && !bytes.Contains(data, []byte(FaultDiskFull)) {
			t.Errorf("room %d: the fault is not in the ledger", room)
		}
		again := openWriterT(t, dir, new(testClock).options())
		if !again.State().Settled(items[0].ID) {
			t.Errorf("room %d: the reply is not there after reopening", room)
		}
		if n, err := again.Case().CheckBlobs(); err != nil || n < 2 {
			t.Errorf("room %d: %d blobs, %v", room, n, err)
		}
	}
}

// TestDiskFullForGood: when even the reserve does not help, the writer says
// ErrStorage and the ledger keeps what was acknowledged.
func TestDiskFullForGood(t *testing.T) {
	t.Parallel()
	dir := createCase(t, testPlan(2))
	s := &script{room: -1, dir: dir}
	opt := new(testClock).options()
	opt.wrap = s.wrap
	w := openWriterT(t, dir, opt)
	items := w.State().Pending()
	attempt(t, w, items[0], 1, OK)
	kept := readFileT(t, filepath.Join(dir, ledgerName))
	s.mu.Lock()
	s.room = 10
	s.mu.Unlock()
	_, err := w.Append(EventPause, "", 0, nil)
	if !errors.Is(err, ErrStorage) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Append: %v, want ErrStorage and ENOSPC", err)
	}
	if _, err := w.Append(EventPause, "", 0, nil); !errors.Is(err, ErrStorage) {
		t.Errorf("Append after the failure: %v", err)
	}
	if _, err := w.PutBlob([]byte("x")); !errors.Is(err, ErrStorage) {
		t.Errorf("PutBlob after the failure: %v", err)
	}
	if err := w.Close(); !errors.Is(err, ErrStorage) {
		t.Errorf("Close: %v", err)
	}
	if got := readFileT(t, filepath.Join(dir, ledgerName)); !bytes.Equal(got, kept) {
		t.Errorf("the ledger has %d bytes, %d were acknowledged", len(got), len(kept))
	}
}

func TestFailedSyncEndsTheWriter(t *testing.T) {
	t.Parallel()
	dir := createCase(t, testPlan(1))
	s := &script{room: -1, dir: dir}
	opt := new(testClock).options()
	opt.wrap = s.wrap
	w := openWriterT(t, dir, opt)
	s.mu.Lock()
	s.syncErr = syscall.EIO
	s.mu.Unlock()
	if _, err := w.Append(EventPause, "", 0, nil); !errors.Is(err, ErrStorage) || !errors.Is(err, syscall.EIO) {
		t.Errorf("Append: %v", err)
	}
	s.mu.Lock()
	s.syncErr = nil
	s.mu.Unlock()
	// After a failed sync nobody knows what is on the disk: no second try.
	if _, err := w.Append(EventPause, "", 0, nil); !errors.Is(err, ErrStorage) {
		t.Errorf("Append after a failed sync: %v", err)
	}
}

// TestBlobsBeforeLines: a line is written only after the blobs that it refers to
// are synced.
func TestBlobsBeforeLines(t *testing.T) {
	t.Parallel()
	dir := createCase(t, testPlan(1))
	s := &script{room: -1, dir: dir}
	opt := new(testClock).options()
	opt.wrap = s.wrap
	w := openWriterT(t, dir, opt)
	s.mu.Lock()
	s.order = nil
	s.mu.Unlock()
	attempt(t, w, w.State().Pending()[0], 1, "")
	want := "write blobs/segment-000001.bin, sync blobs/segment-000001.bin, write ledger.jsonl, sync ledger.jsonl"
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := strings.Join(s.order, ", "); got != want {
		t.Errorf("order: %s; want %s", got, want)
	}
}

func TestSegmentsRollOver(t *testing.T) {
	t.Parallel()
	dir := createCase(t, testPlan(3))
	w := openWriterT(t, dir, new(testClock).options())
	big := bytes.Repeat([]byte("0123456789abcdef"), 25<<16) // 25 MiB: two in a segment
	for i, it := range w.State().Pending()[:3] {
		req, err := w.PutBlob([]byte("request"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Append(EventIntent, it.ID, 1, Intent{it.Target.Name, req}); err != nil {
			t.Fatal(err)
		}
		ref, err := w.PutBlob(big)
		if err != nil {
			t.Fatal(err)
		}
		if want := 1 + i/2; ref.Segment != want {
			t.Errorf("blob %d is in segment %d, want %d", i, ref.Segment, want)
		}
		if _, err := w.Append(EventReply, it.ID, 1, Attempt{Target: it.Target.Name, Outcome: OK, Response: &ref}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := OpenFS(sequential{os.DirFS(dir)})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := c.Replies(func(r ReplyRecord) error {
		n++
		if !bytes.Equal(r.Response, big) {
			return errors.New("the body differs")
		}
		if len(c.segments.cached) > cachedSegments {
			return fmt.Errorf("%d segments in memory", len(c.segments.cached))
		}
		return nil
	}); err != nil || n != 3 {
		t.Errorf("%d replies, %v", n, err)
	}
	// A new writer goes on in the newest segment, behind what is there.
	w = openWriterT(t, dir, new(testClock).options())
	if ref, err := w.PutBlob([]byte("more")); err != nil || ref.Segment != 2 || ref.Offset != int64(len(big)) {
		t.Errorf("PutBlob after reopening: %+v, %v", ref, err)
	}
}

// sequential is a file system whose files can only be read from the beginning,
// as in a zip.
type sequential struct{ fs.FS }

func (s sequential) Open(name string) (fs.File, error) {
	f, err := s.FS.Open(name)
	return struct{ fs.File }{f}, err
}

func TestClockJumps(t *testing.T) {
	t.Parallel()
	dir := createCase(t, testPlan(1))
	clock := &testClock{}
	w := openWriterT(t, dir, clock.options())
	pause := func() {
		t.Helper()
		if _, err := w.Append(EventPause, "", 0, nil); err != nil {
			t.Fatal(err)
		}
	}
	pause()
	clock.now = clock.now.Add(1900 * time.Millisecond) // within tolerance
	pause()
	clock.now = clock.now.Add(time.Hour)
	pause()
	pause()
	clock.now = clock.now.Add(-2 * time.Hour)
	pause()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	// The next writer's wall clock stands before the last event.
	late := &testClock{now: testTime.Add(-24 * time.Hour)}
	w = openWriterT(t, dir, late.options())
	pause()
	var jumps []float64
	var types []string
	for e, err := range w.Case().Events() {
		if err != nil {
			t.Fatal(err)
		}
		types = append(types, e.Type)
		if e.Type == EventClockJump {
			var d ClockJump
			if err := json.Unmarshal(e.Data, &d); err != nil {
				t.Fatal(err)
			}
			jumps = append(jumps, d.Seconds)
		}
	}
	want := []string{"plan_sealed", "pause", "pause", "clock_jump", "pause", "pause", "clock_jump", "pause", "clock_jump", "pause"}
	if strings.Join(types, " ") != strings.Join(want, " ") {
		t.Errorf("events %v, want %v", types, want)
	}
	// 3600 s and the 1.9 s before, which had not been recorded yet; then two
	// hours back; then a day less the hour that the clock was behind already.
	wantJumps := []float64{3601.9, -7200, -86400 + 7200 - 3601.9}
	for i, j := range jumps {
		if i >= len(wantJumps) || j-wantJumps[i] > 0.1 || wantJumps[i]-j > 0.1 {
			t.Errorf("jumps %v, want about %v", jumps, wantJumps)
			break
		}
	}
}

// TestGolden pins the format: a change of one byte here would make every sealed
// case unreadable.
func TestGolden(t *testing.T) {
	t.Parallel()
	dir := tinyLedger(t)
	for _, name := range []string{"case.json", "plan.json", "ledger.jsonl"} {
		golden := filepath.Join("testdata", "tiny", name)
		got := readFileT(t, filepath.Join(dir, name))
		if os.Getenv("STILLMARK_UPDATE_GOLDEN") != "" {
			if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
				t.Fatal(err)
			}
			writeFileT(t, golden, got)
		}
		if want := readFileT(t, golden); !bytes.Equal(got, want) {
			t.Errorf("%s differs from %s: %v", name, golden, sameBytes(got, want))
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, parallel := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("goroutines=%d", parallel), func(b *testing.B) {
			w := benchWriter(b)
			var wg sync.WaitGroup
			next := make(chan struct{})
			for range parallel {
				wg.Go(func() {
					for range next {
						if _, err := w.Append(EventPause, "", 0, map[string]int{"status": 200}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			b.ReportAllocs()
			for b.Loop() {
				next <- struct{}{}
			}
			close(next)
			wg.Wait()
		})
	}
}

// BenchmarkAttempt is a whole attempt: two blobs (300 bytes and 8 KiB), an
// intent and a reply.
func BenchmarkAttempt(b *testing.B) {
	for _, parallel := range []int{1, 64} {
		b.Run(fmt.Sprintf("goroutines=%d", parallel), func(b *testing.B) {
			w := benchWriter(b)
			items := w.Case().Plan().Items()
			request, response := make([]byte, 300), make([]byte, 8<<10)
			one := func(it Item) error {
				req, err := w.PutBlob(request)
				if err != nil {
					return err
				}
				if _, err := w.Append(EventIntent, it.ID, 1, Intent{it.Target.Name, req}); err != nil {
					return err
				}
				resp, err := w.PutBlob(response)
				if err != nil {
					return err
				}
				_, err = w.Append(EventReply, it.ID, 1, Attempt{Target: it.Target.Name, Outcome: OK, Response: &resp})
				return err
			}
			var wg sync.WaitGroup
			next := make(chan Item)
			for range parallel {
				wg.Go(func() {
					for it := range next {
						if err := one(it); err != nil {
							b.Error(err)
						}
					}
				})
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if i == len(items) {
					b.Fatal("the plan has too few items for this benchmark's time")
				}
				next <- items[i]
				i++
			}
			close(next)
			wg.Wait()
		})
	}
}

func benchWriter(b *testing.B) *Writer {
	b.Helper()
	p := testPlan(100)
	p.Samples = 2000
	dir := createCase(b, p)
	return openWriterT(b, dir, WriterOptions{})
}

// BenchmarkReplies reads a case of 1,000 replies of 8 KiB with every check.
func BenchmarkReplies(b *testing.B) {
	p := testPlan(500)
	dir := createCase(b, p)
	w := openWriterT(b, dir, new(testClock).options())
	for _, it := range w.State().Pending() {
		req, err := w.PutBlob(make([]byte, 300))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.Append(EventIntent, it.ID, 1, Intent{it.Target.Name, req}); err != nil {
			b.Fatal(err)
		}
		resp, err := w.PutBlob(make([]byte, 8<<10))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.Append(EventReply, it.ID, 1, Attempt{Target: it.Target.Name, Outcome: OK, Response: &resp}); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	c := w.Case()
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		if err := c.Replies(func(ReplyRecord) error { n++; return nil }); err != nil || n != 1000 {
			b.Fatal(n, err)
		}
	}
}
