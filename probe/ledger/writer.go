package ledger

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// maxClockSkew is how far the wall clock may move against the monotonic clock
// before it is recorded. NTP slews by at most 0.5 ms a second and steps beyond
// 0.128 s; two seconds is more than any healthy clock needs and less than
// anything that matters to the order of an audit's events.
const maxClockSkew = 2 * time.Second

// WriterOptions are the clocks of a writer, and where its salts come from. The zero
// value is the system's.
type WriterOptions struct {
	Now   func() time.Time
	Mono  func() time.Duration // from any origin
	Salts io.Reader            // a source of secrets
	// Checkpoints signs heads while the writer is open; nil: none is signed.
	Checkpoints *Checkpoints

	wrap    func(name string, f file) file // tests: failing files
	reserve int64                          // tests: smaller than reserveSize
}

// Writer appends to a case. It is safe for concurrent use. There is one per
// case, across processes; the lock dies with the process.
//
// # Durability
//
// [Writer.Append] returns when the event is on the disk. Appends that wait at
// the same time share their syncs: one for the segment, if blobs were put since
// the last, then one for the ledger. An event never reaches the disk before the
// blobs put before it. Measured on the ext4 disk of a two-core virtual machine: a
// lone append 0.17 ms, one of 64 concurrent appends 16 µs; a whole attempt (two
// blobs, intent, reply) 1.3 ms alone and 84 µs among 64 (BenchmarkAppend,
// BenchmarkAttempt), and up to five times that while other programs wrote. A model
// takes seconds to answer: syncing less often would gain nothing and lose
// replies that were paid for, and every loss has to be explained in court.
//
// # Full disk
//
// A reserve of 64 MiB is held while the writer is open. When the disk is full it
// is given back, the write is done again, a fault event is recorded, and from
// then on intents are refused with [ErrStorage] while the outcomes of requests
// under way still enter. Any other write error ends the writer: every later call
// returns it.
type Writer struct {
	c        *Case
	locked   *os.File // the ledger itself
	ledger   file     // the same, as written through
	segments *segmentWriter
	opt      WriterOptions
	wall0    time.Time
	mono0    time.Duration

	mu     sync.Mutex
	wake   *sync.Cond // the committer waits for batch or closing
	state  *State
	skew   time.Duration // of wall against monotonic clock, as last recorded
	batch  *batch        // lines not yet given to the committer
	signs  *checkpointer // nil: no head is signed
	failed error         // every later call returns it
	full   bool          // the reserve has been released
	closed bool
	done   chan struct{} // the committer has ended

	size int64 // of the ledger; the committer's own
}

// batch is a run of lines that become durable together.
type batch struct {
	lines []byte
	heads []head // to be signed once the lines are durable
	done  chan struct{}
	err   error // valid once done is closed
}

// OpenWriter locks the case, checks its whole ledger and continues the chain. On
// an empty ledger it writes the plan_sealed event. A torn last line, as a
// killed writer leaves it, is moved to ledger.torn-<n> and recorded; other
// damage is a *[DamageError], and nothing is changed. A second writer gets
// [ErrLocked].
func OpenWriter(dir string, opt WriterOptions) (*Writer, error) {
	c, err := Open(dir)
	if err != nil {
		return nil, err
	}
	if c.redaction != nil {
		return nil, fmt.Errorf("opening the ledger of %s for writing: this is a redacted copy, which nothing is added to", dir)
	}
	start := time.Now()
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Mono == nil {
		opt.Mono = func() time.Duration { return time.Since(start) }
	}
	if opt.Salts == nil {
		opt.Salts = rand.Reader
	}
	if opt.wrap == nil {
		opt.wrap = func(_ string, f file) file { return f }
	}
	if opt.reserve == 0 {
		opt.reserve = reserveSize
	}
	f, err := openLocked(filepath.Join(dir, ledgerName))
	if err != nil {
		return nil, fmt.Errorf("opening the ledger of %s for writing: %w", dir, err)
	}
	w, err := openWriter(c, f, opt)
	if err != nil {
		return nil, fmt.Errorf("opening the ledger of %s for writing: %w", dir, errors.Join(err, closeLocked(f)))
	}
	return w, nil
}

func openWriter(c *Case, f *os.File, opt WriterOptions) (*Writer, error) {
	w := &Writer{c: c, opt: opt, locked: f, done: make(chan struct{})}
	w.wake = sync.NewCond(&w.mu)
	state, err := c.State()
	var torn *TornError
	if err != nil && !errors.As(err, &torn) {
		return nil, err
	}
	w.state = state
	if w.segments, err = openSegments(filepath.Join(c.dir, blobsName), state.ends, opt.wrap); err != nil {
		return nil, err
	}
	if err := takeReserve(c.dir, opt.reserve); err != nil {
		return nil, errors.Join(err, w.segments.close())
	}
	var fault *Fault
	if torn != nil {
		if fault, err = moveTorn(c.dir, f, torn); err != nil {
			return nil, errors.Join(err, w.segments.close())
		}
	}
	if w.size, err = f.Seek(0, io.SeekEnd); err != nil {
		return nil, errors.Join(err, w.segments.close())
	}
	w.ledger = opt.wrap(ledgerName, f)
	w.wall0, w.mono0 = opt.Now(), opt.Mono()
	if back := state.Last.Sub(w.wall0); state.Head.Events > 0 && back > maxClockSkew {
		// Two writers have no common monotonic clock: that time ran backwards is
		// all that can be seen. The first append records it as a jump.
		w.skew = back
	}
	empty, sealed := state.Head.Events == 0, state.Sealed
	if opt.Checkpoints != nil && !sealed {
		w.signs = startCheckpoints(opt.Checkpoints, c.dir, c.plan.CaseID, int64(state.Head.Events), w.wall0)
	}
	go w.commitLoop()
	if empty {
		_, err = w.Append(EventPlanSealed, "", 0, PlanSealed{c.PlanSHA256()})
	}
	if err == nil && fault != nil && !sealed {
		_, err = w.Append(EventFault, "", 0, fault)
	}
	if err != nil {
		w.stop()
		return nil, errors.Join(err, w.finish())
	}
	return w, nil
}

// moveTorn copies the fragment behind the last whole line to a file of its own
// and then cuts it off.
func moveTorn(dir string, f *os.File, torn *TornError) (*Fault, error) {
	fragment, err := io.ReadAll(io.NewSectionReader(f, torn.Offset, maxLine+1))
	if err != nil {
		return nil, fmt.Errorf("reading the torn last line: %w", err)
	}
	for n := 1; ; n++ {
		name := fmt.Sprintf("ledger.torn-%d", n)
		err := WriteNewFile(filepath.Join(dir, name), fragment, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("moving the torn last line aside: %w", err)
		}
		if err := f.Truncate(torn.Offset); err != nil {
			return nil, fmt.Errorf("cutting off the torn last line: %w", err)
		}
		return &Fault{
			Kind: FaultTornLine, File: name, Bytes: int64(len(fragment)), SHA256: hexSHA256(fragment),
			Detail: fmt.Sprintf("line %d had no end, as after a kill or a power cut; it was never acknowledged", torn.Line),
		}, nil
	}
}

// Case returns the case that is written to, for reading.
func (w *Writer) Case() *Case { return w.c }

// State returns a copy of where collection stands.
func (w *Writer) State() *State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state.clone()
}

// Append writes an event and returns when it is on the disk. data is marshalled
// to JSON (nil for none): [Intent] for intents, [Attempt] for replies and failed
// attempts. An event that may not come next is [ErrOrder] and changes nothing.
func (w *Writer) Append(typ, item string, attempt int, data any) (Event, error) {
	e, durable, err := w.Start(typ, item, attempt, data)
	if err == nil {
		err = durable()
	}
	if err != nil {
		return Event{}, err
	}
	return e, nil
}

// Start is Append without the wait: durable waits until the event is on the disk,
// and with it every event before. A caller that has many events to write may wait
// for every thousandth only; what it has not waited for may be lost.
func (w *Writer) Start(typ, item string, attempt int, data any) (e Event, durable func() error, err error) {
	var raw json.RawMessage
	if data != nil {
		if raw, err = json.Marshal(data); err != nil {
			return Event{}, nil, fmt.Errorf("%s event: %w", typ, err)
		}
	}
	w.mu.Lock()
	e, b, err := w.enqueue(Event{Type: typ, Item: item, Attempt: attempt, Data: raw})
	w.mu.Unlock()
	if err != nil {
		return Event{}, nil, fmt.Errorf("%s event: %w", typ, err)
	}
	return e, func() error {
		<-b.done
		if b.err != nil {
			return fmt.Errorf("%s event: %w", typ, b.err)
		}
		return nil
	}, nil
}

// enqueue adds an event, and before it a clock_jump where one is due, to the
// current batch. The caller holds w.mu.
func (w *Writer) enqueue(e Event) (Event, *batch, error) {
	switch {
	case w.failed != nil:
		return e, nil, w.failed
	case w.closed:
		return e, nil, errors.New("the ledger is closed")
	case w.full && isIntent(e.Type):
		return e, nil, fmt.Errorf("the disk is full, all %d events are saved: %w", w.state.Head.Events, ErrStorage)
	}
	now := w.opt.Now().UTC().Round(0)
	mono := w.opt.Mono() - w.mono0
	e.Time, e.Mono = now, int64(mono)
	jump := now.Sub(w.wall0) - mono - w.skew
	if jump.Abs() > maxClockSkew && w.state.Head.Events > 0 && !w.state.Sealed {
		seconds := math.Round(jump.Seconds()*1e3) / 1e3
		data, err := json.Marshal(ClockJump{Seconds: seconds})
		if err != nil {
			return e, nil, err
		}
		if _, err := w.push(Event{Type: EventClockJump, Time: now, Mono: int64(mono), Data: data}); err != nil {
			return e, nil, err
		}
		w.skew += jump
	}
	e, err := w.push(e)
	if err != nil {
		return e, nil, err
	}
	w.wake.Signal()
	return e, w.batch, nil
}

// push numbers, chains and folds an event and adds its line to the batch.
func (w *Writer) push(e Event) (Event, error) {
	e.Seq, e.Prev = w.state.Head.Events, w.state.Head.Hash
	ch, err := w.state.admit(&e)
	if err != nil {
		return e, err
	}
	for _, ref := range ch.blobs {
		if ref != nil && !w.segments.holds(*ref) {
			return e, refusal(&e, "its blob was not put into this case")
		}
	}
	line, err := encodeEvent(e)
	if err != nil {
		return e, err
	}
	w.state.apply(&e, ch, line, hexSHA256(line))
	if w.batch == nil {
		w.batch = &batch{done: make(chan struct{})}
	}
	w.batch.lines = append(append(w.batch.lines, line...), '\n')
	if n := int64(w.state.Head.Events); w.signs != nil && w.signs.next(n, e.Time) {
		w.batch.heads = append(w.batch.heads, head{n, w.state.tree.root()})
	}
	return e, nil
}

// commitLoop makes batches durable, one after the other, until the writer is
// closed and nothing waits.
func (w *Writer) commitLoop() {
	defer close(w.done)
	for {
		w.mu.Lock()
		for w.batch == nil && !w.closed {
			w.wake.Wait()
		}
		b, err := w.batch, w.failed
		w.batch = nil
		w.mu.Unlock()
		if b == nil {
			return
		}
		if err == nil {
			err = w.commit(b.lines)
		}
		if err != nil {
			w.mu.Lock()
			w.failed = err
			w.mu.Unlock()
		} else {
			for _, h := range b.heads {
				w.signs.due <- h
			}
		}
		b.err = err
		close(b.done)
	}
}

// commit writes and syncs lines; when the disk is full, once more without the
// reserve. After an error that cannot be mended the ledger ends where it ended
// before.
func (w *Writer) commit(lines []byte) error {
	err := w.write(lines)
	if err != nil && w.release(err) {
		err = w.write(lines)
	}
	if err == nil {
		w.size += int64(len(lines))
		return nil
	}
	return fmt.Errorf("writing the ledger, which keeps its first %d bytes: %w: %w", w.size, ErrStorage, err)
}

func (w *Writer) write(lines []byte) error {
	if err := w.segments.sync(); err != nil {
		return err
	}
	_, err := w.ledger.WriteAt(lines, w.size)
	if err == nil {
		err = w.ledger.Sync()
	}
	if err != nil {
		// A part may have been written. If it cannot be cut off now, it is a
		// torn line to the next writer.
		return errors.Join(err, w.ledger.Truncate(w.size))
	}
	return nil
}

// release gives the reserve back if err is a full disk and it was not given
// back before, and records the fault. It reports whether to try again.
func (w *Writer) release(err error) bool {
	if !isFull(err) {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.full {
		// Another call released the reserve just now; one more try is due.
		return true
	}
	if freed, rerr := releaseReserve(w.c.dir); !freed || rerr != nil {
		return false
	}
	w.full = true
	if _, _, ferr := w.enqueue(faultEvent(err)); ferr != nil {
		// Only a sealed or failed ledger takes no fault, and says so itself.
		return w.failed == nil
	}
	return true
}

func faultEvent(err error) Event {
	data, _ := json.Marshal(Fault{Kind: FaultDiskFull, Detail: err.Error()}) // two strings
	return Event{Type: EventFault, Data: data}
}

// PutBlob stores raw bytes, at most 32 MiB, in the current segment, in a salted case
// behind a fresh salt. They are on the disk before any event that is appended after
// PutBlob has returned.
func (w *Writer) PutBlob(b []byte) (BlobRef, error) {
	if len(b) > maxBlob {
		return BlobRef{}, fmt.Errorf("storing %d bytes: at most %d MiB are stored in one piece", len(b), maxBlob>>20)
	}
	w.mu.Lock()
	err := w.failed
	if err == nil && w.closed {
		err = errors.New("the ledger is closed")
	}
	var salt []byte
	if err == nil && w.c.plan.Format == PlanSalted {
		salt = make([]byte, saltSize)
		_, err = io.ReadFull(w.opt.Salts, salt)
	}
	w.mu.Unlock()
	if err != nil {
		return BlobRef{}, fmt.Errorf("storing %d bytes: %w", len(b), err)
	}
	stored := b
	if salt != nil {
		stored = slices.Concat(salt, b)
	}
	ref, err := w.segments.put(stored)
	if err != nil && w.release(err) {
		ref, err = w.segments.put(stored)
	}
	if err != nil {
		return BlobRef{}, fmt.Errorf("storing %d bytes: %w: %w", len(b), ErrStorage, err)
	}
	ref.Salt = int64(len(salt))
	return ref, nil
}

// PutHeaders stores the headers of an attempt where they can be withheld: apart from
// the ledger's line, in a salted case. In a plain one they stay in the line.
func (w *Writer) PutHeaders(a *Attempt) error {
	if w.c.plan.Format != PlanSalted || len(a.Headers) == 0 {
		return nil
	}
	data, err := json.Marshal(a.Headers)
	if err != nil {
		return err
	}
	ref, err := w.PutBlob(data)
	if err != nil {
		return err
	}
	a.Headers, a.HeadersBlob = nil, &ref
	return nil
}

// Close waits for pending events, gives the reserve back and releases the case.
// It returns the error that ended the writer, if one did. Closing twice is
// harmless.
func (w *Writer) Close() error {
	if !w.stop() {
		return nil
	}
	if err := errors.Join(w.finish(), closeLocked(w.locked)); err != nil {
		return fmt.Errorf("closing the ledger: %w", err)
	}
	return nil
}

// stop refuses further events and waits until those before are durable. It
// reports whether this call was the first.
func (w *Writer) stop() bool {
	w.mu.Lock()
	first := !w.closed
	w.closed = true
	w.wake.Signal()
	w.mu.Unlock()
	<-w.done
	return first
}

// finish gives everything back but the lock, after stop.
func (w *Writer) finish() error {
	_, err := releaseReserve(w.c.dir)
	if w.signs != nil {
		size := int64(w.state.Head.Events)
		if w.failed != nil {
			size = 0 // what is on the disk is less than the state says
		}
		err = errors.Join(err, w.signs.stop(size, w.state.tree.root()))
	}
	return errors.Join(w.failed, w.segments.close(), err)
}
