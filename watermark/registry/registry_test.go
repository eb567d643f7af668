package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stillmark/stillmark/watermark"
)

// start is the tests' first moment.
var start = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

// clock is a hand-moved clock.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func (c *clock) pass(d time.Duration) { c.t = c.t.Add(d) }

// stampOf makes the token of an authority that the tests invent: the digest, then
// the time. verifyStamp reads it. Accuracy is one second.
func stampOf(digest [32]byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint64(digest[:], uint64(t.Unix()))
}

func verifyStamp(token []byte, digest [32]byte) (Stamp, error) {
	if len(token) != 40 || !bytes.Equal(token[:32], digest[:]) {
		return Stamp{}, errors.New("it is for another file")
	}
	t := time.Unix(int64(binary.BigEndian.Uint64(token[32:])), 0).UTC()
	return Stamp{Time: t, Latest: t.Add(time.Second), Authority: "test authority"}, nil
}

// bench is a registry with its clock.
type bench struct {
	testing.TB
	dir    string
	clock  *clock
	random io.Reader
	w      *Writer
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{TB: t, dir: filepath.Join(t.TempDir(), "registry"), clock: &clock{start}, random: rand.NewChaCha8([32]byte{'r'})}
	if err := Create(b.dir, "test", b.options()); err != nil {
		t.Fatal(err)
	}
	b.open()
	return b
}

func (b *bench) options() Options {
	return Options{Operator: "ann", VerifyStamp: verifyStamp, Now: b.clock.now}
}

func (b *bench) open() {
	b.Helper()
	w, err := Open(b.dir, b.options())
	if err != nil {
		b.Fatal(err)
	}
	b.w = w
	b.Cleanup(func() { w.log.Close() })
}

func (b *bench) reopen() {
	b.Helper()
	if err := b.w.Close(); err != nil {
		b.Fatal(err)
	}
	b.open()
}

func (b *bench) key(epoch, cohort string) *watermark.Key {
	b.Helper()
	spec := watermark.Spec{Scheme: watermark.Gumbel, Model: "nova", Tokenizer: "toy", Vocab: 500, Epoch: epoch, Label: cohort}
	k, err := watermark.NewKey(spec, b.random)
	if err != nil {
		b.Fatal(err)
	}
	return k
}

// add takes a new key in.
func (b *bench) add(epoch, cohort string) string {
	b.Helper()
	k := b.key(epoch, cohort)
	if err := b.w.Add(k, "new epoch"); err != nil {
		b.Fatal(err)
	}
	return k.ID
}

// commit commits to all and has it stamped at the clock's time.
func (b *bench) commit(ids ...string) *watermark.Commitment {
	b.Helper()
	c, err := b.w.Commit(ids, nil, "before serving")
	if err != nil {
		b.Fatal(err)
	}
	digest, err := b.w.r.CommitmentDigest(c.Root)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := b.w.Publish(c.Root, stampOf(digest, b.clock.t), "stamped"); err != nil {
		b.Fatal(err)
	}
	return c
}

func (b *bench) move(id string, m Move) error {
	if m.Reason == "" {
		m.Reason = "test"
	}
	_, err := b.w.Move(id, m)
	return err
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// refused demands a refusal that says want.
func (b *bench) refused(err error, want string) {
	b.Helper()
	var refusal *RefusedError
	if !errors.As(err, &refusal) || !strings.Contains(err.Error(), want) {
		b.Errorf("error %v, want a refusal with %q", err, want)
	}
}

// same demands that what is on disk is what the writer knows.
func (b *bench) same() *Registry {
	b.Helper()
	r, err := Load(b.dir)
	if err != nil {
		b.Fatal(err)
	}
	if r.head != b.w.r.head || r.size != b.w.r.size || len(r.order) != len(b.w.r.order) {
		b.Fatalf("on disk head %s, %d bytes; the writer has %s, %d", r.head, r.size, b.w.r.head, b.w.r.size)
	}
	for i, e := range r.order {
		o := b.w.r.order[i]
		if e.Key.ID != o.Key.ID || e.Decoy != o.Decoy || e.Serving != o.Serving || e.Retired != o.Retired || e.Disclosed != o.Disclosed || e.Exploratory != o.Exploratory || !slices.Equal(e.Roots, o.Roots) {
			b.Errorf("on disk %+v, the writer has %+v", e, o)
		}
	}
	return r
}

func TestLifeOfAKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.add("2026-11", "a")
	state := func(want State) {
		t.Helper()
		if got := b.w.r.entries[id].State(b.clock.t); got != want {
			t.Errorf("state %s, want %s", got, want)
		}
	}
	state(Planned)
	b.clock.pass(time.Minute)
	b.commit()
	b.clock.pass(time.Minute)
	b.must(b.move(id, Move{To: Serving, Reason: "release 7"}))
	state(Serving)
	served := b.clock.t
	b.clock.pass(time.Hour)
	b.must(b.move(id, Move{To: Retired}))
	state(Retired)
	b.clock.pass(time.Hour)
	b.must(b.move(id, Move{To: Disclosed}))
	state(Disclosed)
	r := b.same()
	slot := Slot{Model: "nova", Channel: "text", Cohort: "a"}
	for at, want := range map[time.Time]bool{
		served.Add(-time.Nanosecond): false, served: true, served.Add(time.Hour - time.Nanosecond): true, served.Add(time.Hour): false, b.clock.t: false,
	} {
		e, ok := r.Serving(slot, at)
		if ok != want || ok && e.Key.ID != id {
			t.Errorf("at %s served: %v", at, ok)
		}
	}
	if _, ok := r.Serving(Slot{Model: "nova", Channel: "text", Cohort: "b"}, served); ok {
		t.Error("another cohort is served")
	}
	e := r.entries[id]
	if e.Exploratory != "" || len(e.Roots) != 1 {
		t.Errorf("entry %+v", e)
	}
	for _, f := range r.Check(verifyStamp) {
		if f.Problem != "" {
			t.Errorf("finding %+v", f)
		}
	}
	events := r.Events()
	if last := events[len(events)-1]; last.Kind != EventMoved || last.Operator != "ann" || last.Reason != "test" || !last.Time.Equal(b.clock.t) {
		t.Errorf("last event %+v", last)
	}
}

// TestNoGoingBack tries every step from every state.
func TestNoGoingBack(t *testing.T) {
	t.Parallel()
	for from := range States() {
		for to := range States() {
			b := newBench(t)
			id := b.add("1", "")
			b.commit()
			b.clock.pass(time.Minute)
			if from > 0 {
				b.must(b.move(id, Move{To: States()[from]}))
			}
			b.clock.pass(time.Minute)
			before := b.w.r.head
			err := b.move(id, Move{To: States()[to]})
			if (err == nil) != (to > from) {
				t.Errorf("%s to %s: %v", States()[from], States()[to], err)
			}
			if err != nil {
				b.refused(err, "")
				if b.w.r.head != before {
					t.Errorf("%s to %s was refused and is in the log", States()[from], States()[to])
				}
			}
			b.same()
			b.w.Close()
		}
	}
}

func TestServingNeedsACommitment(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	bare, late, early := b.add("1", "bare"), b.add("1", "late"), b.add("1", "early")
	b.refused(b.move(bare, Move{To: Serving}), "no commitment was published before serving")

	c, err := b.w.Commit([]string{late}, nil, "not published yet")
	b.must(err)
	b.refused(b.move(late, Move{To: Serving}), "bears no third party's timestamp")
	digest, err := b.w.r.CommitmentDigest(c.Root)
	b.must(err)
	_, err = b.w.Publish(c.Root, stampOf(sha256.Sum256(nil), b.clock.t), "stamped")
	b.refused(err, "it is for another file")
	_, err = b.w.Publish(c.Root, stampOf(digest, b.clock.t), "stamped")
	b.must(err)
	_, err = b.w.Publish(c.Root, stampOf(digest, b.clock.t), "stamped")
	b.refused(err, "bears a timestamp already")
	// The authority's clock is good to a second: at that second it is not earlier.
	b.clock.pass(time.Second)
	b.refused(b.move(late, Move{To: Serving}), "is not earlier than serving")
	b.refused(b.move(late, Move{To: Serving, At: start}), "is not earlier than serving")
	b.clock.pass(time.Millisecond)
	b.must(b.move(late, Move{To: Serving, Exploratory: true})) // allowed, and not needed
	if e := b.w.r.entries[late]; e.Exploratory != "" {
		t.Errorf("a covered key is exploratory: %s", e.Exploratory)
	}

	b.must(b.move(bare, Move{To: Serving, Exploratory: true, Reason: "trial run"}))
	if e := b.same().entries[bare]; e.Exploratory != "no commitment was published before serving" {
		t.Errorf("exploratory: %q", e.Exploratory)
	}
	// It stays so, whatever is committed afterwards.
	_, err = b.w.Commit([]string{bare}, nil, "too late")
	b.refused(err, "is serving: a commitment made now would prove nothing")
	problems := 0
	b.commit(early)
	for _, f := range b.same().Check(verifyStamp) {
		if f.Problem != "" {
			problems++
			if !strings.Contains(f.What, bare) || !strings.Contains(f.Problem, "exploratory") || f.Grave {
				t.Errorf("finding %+v", f)
			}
		}
	}
	if problems != 1 {
		t.Errorf("%d problems", problems)
	}
}

func TestServingFromIsAPromise(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	k, err := watermark.NewKey(watermark.Spec{Scheme: watermark.KGW, Tokenizer: "toy", Vocab: 50, ServingFrom: start.Add(time.Hour)}, b.random)
	b.must(err)
	b.must(b.w.Add(k, "new"))
	b.commit()
	b.clock.pass(time.Minute)
	b.refused(b.move(k.ID, Move{To: Serving}), "promises not to be served before 2026-11-20T11:00:00Z")
	b.must(b.move(k.ID, Move{To: Serving, At: start.Add(time.Hour)}))
}

// TestOneKeyAtATime: handovers leave neither a gap nor an overlap.
func TestOneKeyAtATime(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	slot := Slot{Model: "nova", Channel: "text", Cohort: "a"}
	one, two, three, other := b.add("1", "a"), b.add("2", "a"), b.add("3", "a"), b.add("1", "b")
	b.commit()
	b.clock.pass(time.Minute)
	b.must(b.move(one, Move{To: Serving}))
	b.must(b.move(other, Move{To: Serving}))
	b.refused(b.move(two, Move{To: Serving}), "one key at a time")
	b.refused(b.move(two, Move{To: Serving, Replaces: three}), "does not serve")
	b.refused(b.move(two, Move{To: Serving, Replaces: other}), "does not serve")
	b.refused(b.move(two, Move{To: Serving, Replaces: one, At: b.clock.t.Add(-time.Second)}), "does not serve")
	b.clock.pass(time.Hour)
	b.refused(b.move(two, Move{To: Serving, Replaces: one, At: b.clock.t.Add(-time.Second)}), "cannot have been retired at")
	handover := b.clock.t.Add(24 * time.Hour)
	b.must(b.move(two, Move{To: Serving, Replaces: one, At: handover}))
	b.refused(b.move(three, Move{To: Serving}), "one key at a time")
	r := b.same()
	for _, c := range []struct {
		at   time.Time
		want string
	}{{b.clock.t, one}, {handover.Add(-1), one}, {handover, two}, {handover.Add(1000 * time.Hour), two}} {
		if e, ok := r.Serving(slot, c.at); !ok || e.Key.ID != c.want {
			t.Errorf("at %s: %+v, want %s", c.at, e, c.want)
		}
	}
	// A key that was retired before its time never served.
	b.must(b.move(two, Move{To: Retired, Reason: "withdrawn"}))
	if _, _, ok := b.w.r.entries[two].Served(); ok {
		t.Error("a withdrawn key served")
	}
	if _, ok := b.same().Serving(slot, handover); ok {
		t.Error("somebody serves after the withdrawn handover")
	}
	b.must(b.move(three, Move{To: Serving, At: handover}))
	// A leak ends serving at once, whenever it happened, and the past stays.
	b.clock.pass(48 * time.Hour)
	b.must(b.move(three, Move{To: Disclosed, At: b.clock.t.Add(-time.Hour), Reason: "leaked"}))
	r = b.same()
	if e, ok := r.Serving(slot, b.clock.t.Add(-time.Minute)); !ok || e.Key.ID != three {
		t.Error("what a leaked key served until it was noticed is forgotten")
	}
	if _, ok := r.Serving(slot, b.clock.t); ok {
		t.Error("a leaked key serves on")
	}
}

// TestLateEntries: a registry that comes after serving records it truly.
func TestLateEntries(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.add("1", "")
	from, until := start.Add(-100*time.Hour), start.Add(-50*time.Hour)
	b.must(b.move(id, Move{To: Serving, At: from, Exploratory: true, Reason: "served before there was a registry"}))
	b.must(b.move(id, Move{To: Retired, At: until, Reason: "as above"}))
	slot := Slot{Model: "nova", Channel: "text"}
	if _, ok := b.same().Serving(slot, start.Add(-51*time.Hour)); !ok {
		t.Error("the late entry is not found")
	}
	if _, ok := b.same().Serving(slot, start.Add(-50*time.Hour)); ok {
		t.Error("the late end is not found")
	}
	b.clock.pass(-time.Hour)
	b.refused(b.w.Add(b.key("2", ""), "new"), "set the clock right")
}

// TestDecoys: alike to outsiders, refused to servers.
func TestDecoys(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	real := b.add("2026-11", "a")
	decoys, err := b.w.Decoys(real, 7, b.random, "decoys")
	b.must(err)
	c := b.commit()
	if len(decoys) != 7 || len(c.Leaves) != 8 {
		t.Fatalf("%d decoys, %d leaves", len(decoys), len(c.Leaves))
	}
	for i, l := range c.Leaves {
		if l.Spec != c.Leaves[0].Spec {
			t.Errorf("leaf %d can be told apart: %+v", i, l.Spec)
		}
		if i > 0 && l.KeyID <= c.Leaves[i-1].KeyID {
			t.Error("leaves are not in the order of their hashes")
		}
	}
	data, err := os.ReadFile(b.w.r.CommitmentPath(c.Root))
	b.must(err)
	if bytes.Contains(data, []byte("decoy")) {
		t.Error("the commitment names decoys")
	}
	b.clock.pass(time.Minute)
	for _, k := range decoys {
		b.refused(b.move(k.ID, Move{To: Serving}), "is a decoy")
		b.refused(b.move(k.ID, Move{To: Serving, Exploratory: true}), "is a decoy")
		if err := c.Check(k); err != nil {
			t.Error(err)
		}
	}
	b.must(b.move(real, Move{To: Serving}))
	b.must(b.move(decoys[0].ID, Move{To: Disclosed, Reason: "shown to the court"}))
	_, err = b.w.Decoys(real, 1, b.random, "more")
	b.refused(err, "committed already")
	_, err = b.w.Decoys(decoys[1].ID, 1, b.random, "more")
	b.refused(err, "a decoy itself")
	next := b.add("2026-12", "a")
	_, err = b.w.Decoys(next, maxDecoys+1, b.random, "more")
	b.refused(err, "outside 1 .. 10000")
	b.same()

	// Keys of every kind have decoys of their kind.
	master := b.key("3", "")
	sub, err := master.Derive("x", "3")
	b.must(err)
	imported, err := watermark.NewImportedKey(watermark.Spec{Scheme: watermark.Gumbel, PRF: watermark.Philox, Tokenizer: "toy", Vocab: 9}, 7, b.random)
	b.must(err)
	preset, err := watermark.Import(watermark.Spec{Scheme: "hf-synthid", Vocab: 500}, map[string]string{"keys": "9,8,7"}, b.random)
	b.must(err)
	for _, k := range []*watermark.Key{sub, imported, preset} {
		b.must(b.w.Add(k, "new"))
		alike, err := b.w.Decoys(k.ID, 2, b.random, "decoys")
		b.must(err)
		if alike[0].Kind != k.Kind || alike[0].Spec != k.Spec || alike[0].ID == alike[1].ID {
			t.Errorf("%s: decoy %+v", k.Kind, alike[0])
		}
	}
}

func TestCommitLabels(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.add("1", "")
	labels := []string{"account-1", "account-2", "account-3"}
	c, err := b.w.Commit([]string{id}, labels, "accounts")
	b.must(err)
	if len(c.Leaves) != 4 {
		t.Fatalf("%d leaves", len(c.Leaves))
	}
	master := b.w.r.entries[id].Key
	for _, label := range labels {
		d, err := master.Derive(label, "1")
		b.must(err)
		if err := c.Check(d); err != nil {
			t.Error(err)
		}
	}
	_, err = b.w.Commit([]string{id}, []string{"account-1", "account-1"}, "twice")
	b.refused(err, "twice")
	two, err := watermark.NewKey(watermark.Spec{Scheme: watermark.KGW, Tokenizer: "toy", Vocab: 50, Params: watermark.Params{Tracing: .5}}, b.random)
	b.must(err)
	b.must(b.w.Add(two, "two channels"))
	if c, err = b.w.Commit([]string{two.ID}, labels, "accounts"); err != nil || len(c.Leaves) != 4 {
		t.Fatalf("two channels: %v", err)
	}
	account, err := two.DeriveAccount("account-1", "1")
	b.must(err)
	b.must(c.Check(account))
	b.refused(b.w.Add(account, "an account"), "take in the master")
	sub, err := master.Derive("x", "9")
	b.must(err)
	b.must(b.w.Add(sub, "a subkey"))
	_, err = b.w.Commit([]string{sub.ID}, labels, "subkeys derive nothing")
	b.refused(err, "none of the keys is a master")
}

// TestTwoWriters: the second is refused while the first is there.
func TestTwoWriters(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if _, err := Open(b.dir, b.options()); !errors.Is(err, ErrLocked) {
		t.Errorf("a second writer: %v", err)
	}
	if _, err := Load(b.dir); err != nil {
		t.Errorf("a reader beside a writer: %v", err)
	}
	b.reopen()
	b.add("1", "")
}

// TestInterruptedWriter cuts the log at every byte of its last line: readers see
// the state before, and the next writer goes on from there.
func TestInterruptedWriter(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.add("1", "")
	b.commit()
	b.clock.pass(time.Minute)
	before := b.w.r.size
	b.must(b.move(id, Move{To: Serving}))
	b.must(b.w.Close())
	path := filepath.Join(b.dir, logName)
	whole, err := os.ReadFile(path)
	b.must(err)
	for cut := before; cut < int64(len(whole)); cut++ {
		b.must(os.WriteFile(path, whole[:cut], 0o600))
		r, err := Load(b.dir)
		if err != nil || r.entries[id].State(b.clock.t) != Planned {
			t.Fatalf("cut at byte %d: %v", cut, err)
		}
		if cut%40 != before%40 {
			continue // the writer is asked now and then
		}
		w, err := Open(b.dir, b.options())
		b.must(err)
		if n := len(w.r.events); cut > before && (w.r.events[n-1].Kind != EventRecovered || w.r.events[n-1].Torn != cut-before) {
			t.Errorf("cut at byte %d: last event %+v", cut, w.r.events[n-1])
		}
		_, err = w.Move(id, Move{To: Serving, Reason: "again"})
		b.must(err)
		b.must(w.Close())
		if r, err := Load(b.dir); err != nil || r.entries[id].State(b.clock.t) != Serving {
			t.Fatalf("cut at byte %d, gone on: %v", cut, err)
		}
	}
	// A writer that was stopped between the key file and its line.
	b.must(os.WriteFile(path, whole, 0o600))
	orphan := b.key("2", "")
	b.must(orphan.Save(b.w.r.keyPath(orphan.ID)))
	found := false
	r, err := Load(b.dir)
	b.must(err)
	for _, f := range r.Check(verifyStamp) {
		found = found || strings.Contains(f.What, orphan.ID) && strings.Contains(f.Problem, "add it again")
	}
	if !found {
		t.Error("the orphan is not found")
	}
	b.open()
	b.must(b.w.Add(orphan, "again"))
	b.same()
}

// failing is a log that a full disk ends.
func TestFailedWriteLeavesTheState(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.add("1", "")
	head := b.w.r.head
	good := b.w.log
	readOnly, err := os.Open(filepath.Join(b.dir, logName))
	b.must(err)
	defer readOnly.Close()
	b.w.log = readOnly // every write fails
	err = b.move(id, Move{To: Retired})
	if err == nil || !strings.Contains(err.Error(), "the step was not taken") {
		t.Errorf("error %v", err)
	}
	if err := b.move(id, Move{To: Disclosed}); err == nil || !strings.Contains(err.Error(), "open the registry again") {
		t.Errorf("after a failure: %v", err)
	}
	b.w.log = good
	b.reopen()
	if b.w.r.head != head || b.w.r.entries[id].State(b.clock.t) != Planned {
		t.Error("the failed step was taken")
	}
}

// TestTampering changes every byte of the log.
func TestTampering(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.add("1", "")
	b.commit()
	b.clock.pass(time.Minute)
	b.must(b.move(id, Move{To: Serving}))
	b.must(b.w.Close())
	path := filepath.Join(b.dir, logName)
	whole, err := os.ReadFile(path)
	b.must(err)
	lastLine := bytes.LastIndexByte(whole[:len(whole)-1], '\n') + 1
	for at := range whole {
		changed := bytes.Clone(whole)
		changed[at] ^= 1
		b.must(os.WriteFile(path, changed, 0o600))
		r, err := Load(b.dir)
		switch {
		case err == nil && at < lastLine:
			t.Errorf("byte %d (%q) changed unnoticed", at, whole[at])
		case err == nil && r.head == b.w.r.head:
			t.Errorf("byte %d (%q) changed and the head is the same", at, whole[at])
		case err != nil && !errors.Is(err, watermark.ErrMalformed):
			t.Errorf("byte %d: %v", at, err)
		}
	}
	lines := bytes.SplitAfter(whole, []byte{'\n'})
	for i := range len(lines) - 2 {
		b.must(os.WriteFile(path, bytes.Join(slices.Concat(lines[:i], lines[i+1:]), nil), 0o600))
		if _, err := Load(b.dir); !errors.Is(err, watermark.ErrMalformed) {
			t.Errorf("line %d taken out: %v", i+1, err)
		}
	}
	b.must(os.WriteFile(path, whole, 0o600))

	// Commitments and their stamps.
	r := b.same()
	root := r.commits[0].Root
	for _, name := range []string{r.CommitmentPath(root), r.CommitmentPath(root) + stampSuffix} {
		data, err := os.ReadFile(name)
		b.must(err)
		for _, at := range []int{0, len(data) / 2, len(data) - 1} {
			changed := bytes.Clone(data)
			changed[at] ^= 1
			b.must(os.WriteFile(name, changed, 0o600))
			if !slices.ContainsFunc(r.Check(verifyStamp), func(f Finding) bool { return f.Grave }) {
				t.Errorf("byte %d of %s changed unnoticed", at, filepath.Base(name))
			}
		}
		b.must(os.WriteFile(name, data, 0o600))
	}
	// A key file under another name.
	other := b.key("9", "")
	b.must(os.Remove(r.keyPath(id)))
	b.must(other.Save(r.keyPath(id)))
	if _, err := Load(b.dir); err == nil || !strings.Contains(err.Error(), "holds key "+other.ID) {
		t.Errorf("another key under the name: %v", err)
	}
}

// TestPermissions: whatever is open to others is refused.
func TestPermissions(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.add("1", "")
	c := b.commit()
	b.must(b.w.Close())
	for path, mode := range map[string]fs.FileMode{
		"": 0o750, keysDir: 0o701, commitsDir: 0o755, logName: 0o640, filepath.Join(keysDir, id+".json"): 0o604,
	} {
		path = filepath.Join(b.dir, path)
		info, err := os.Stat(path)
		b.must(err)
		b.must(os.Chmod(path, mode))
		if _, err := Load(b.dir); !errors.Is(err, watermark.ErrPermissions) {
			t.Errorf("%s with %#o: %v", path, mode, err)
		}
		if _, err := Open(b.dir, b.options()); !errors.Is(err, watermark.ErrPermissions) {
			t.Errorf("writing %s with %#o: %v", path, mode, err)
		}
		b.must(os.Chmod(path, info.Mode()))
	}
	r := b.same()
	err := filepath.WalkDir(b.dir, func(path string, entry fs.DirEntry, err error) error {
		b.must(err)
		info, err := entry.Info()
		b.must(err)
		return watermark.CheckPrivate(path, info)
	})
	b.must(err)
	if _, err := r.CommitmentDigest(c.Root); err != nil {
		t.Error(err)
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	opt := Options{Operator: "ann"}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Create(dir, "test", opt); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a folder in use: %v", err)
	}
	if err := Create(filepath.Join(dir, "new"), "", opt); err == nil {
		t.Error("without a reason")
	}
	if err := Create(filepath.Join(dir, "new"), "a\nb", opt); err == nil {
		t.Error("a reason of two lines")
	}
	if _, err := Load(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	b := newBench(t)
	b.must(b.w.Close())
	b.must(os.Remove(filepath.Join(b.dir, logName)))
	if _, err := Load(b.dir); err == nil || !strings.Contains(err.Error(), "is no key registry") {
		t.Errorf("without a log: %v", err)
	}
	if _, err := Open(b.dir, opt); err == nil || !strings.Contains(err.Error(), "is no key registry") {
		t.Errorf("without a log: %v", err)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.add("1", "")
	for _, name := range []string{id, id[:4], id[:9]} {
		if e, err := b.w.r.Find(name); err != nil || e.Key.ID != id {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", id[:3], "zzzz", id + "0"} {
		if _, err := b.w.r.Find(name); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestSecretsStayInKeyFiles greps everything else for the keys' secrets.
func TestSecretsStayInKeyFiles(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.add("1", "")
	_, err := b.w.Decoys(id, 2, b.random, "decoys")
	b.must(err)
	b.commit()
	b.clock.pass(time.Minute)
	b.must(b.move(id, Move{To: Disclosed}))
	var secrets []string
	for _, e := range b.w.r.order {
		d := e.Key.Disclose()
		secrets = append(secrets, d.Subkey, d.Salt)
	}
	looked := 0
	b.must(filepath.WalkDir(b.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Base(filepath.Dir(path)) == keysDir {
			return err
		}
		looked++
		data, err := os.ReadFile(path)
		for _, s := range secrets {
			raw, _ := hex.DecodeString(s)
			if bytes.Contains(data, []byte(s)) || bytes.Contains(data, raw) {
				t.Errorf("%s holds a secret", path)
			}
		}
		return err
	}))
	if looked != 3 {
		t.Errorf("looked at %d files", looked)
	}
	if s := fmt.Sprintf("%+v %#v", b.w.r, b.w.r.order[0]); strings.Contains(s, secrets[0]) {
		t.Error("printing shows a secret")
	}
}

// TestServingDoesNotAllocate: a gateway asks at every request.
func TestServingDoesNotAllocate(t *testing.T) {
	b := newBench(t)
	id := b.add("1", "a")
	b.commit()
	b.clock.pass(time.Minute)
	b.must(b.move(id, Move{To: Serving}))
	r, slot := b.same(), Slot{Model: "nova", Channel: "text", Cohort: "a"}
	if n := testing.AllocsPerRun(100, func() {
		if _, ok := r.Serving(slot, b.clock.t); !ok {
			t.Fatal("nobody serves")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkServing is a lookup among 1,000 cohorts with 12 epochs each.
func BenchmarkServing(b *testing.B) {
	r := &Registry{slots: map[Slot][]*Entry{}}
	var slots []Slot
	for i := range 1000 {
		s := Slot{Model: "nova", Channel: "text", Cohort: fmt.Sprint("cohort-", i)}
		slots = append(slots, s)
		for epoch := range 12 {
			e := &Entry{Serving: start.Add(time.Duration(epoch) * time.Hour)}
			if epoch < 11 {
				e.Retired = e.Serving.Add(time.Hour)
			}
			r.slots[s] = append(r.slots[s], e)
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, ok := r.Serving(slots[i%1000], start.Add(100*time.Hour)); !ok {
			b.Fatal("nobody serves")
		}
		i++
	}
}

func FuzzReadLog(f *testing.F) {
	b := newBench(f)
	id := b.add("1", "")
	b.commit()
	b.clock.pass(time.Minute)
	b.must(b.move(id, Move{To: Serving}))
	b.must(b.w.Close())
	data, err := os.ReadFile(filepath.Join(b.dir, logName))
	b.must(err)
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		events := 0
		whole, _, err := readLog(bytes.NewReader(data), func(e *Event) error {
			events++
			return e.check()
		})
		switch {
		case err != nil && !errors.Is(err, watermark.ErrMalformed):
			t.Errorf("error %v does not wrap ErrMalformed", err)
		case err == nil && (events == 0 || whole > int64(len(data))):
			t.Errorf("%d events in %d of %d bytes", events, whole, len(data))
		}
	})
}
