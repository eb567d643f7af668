package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// maxInfo bounds case.json: a few lines of text.
const maxInfo = 1 << 20

// Info is case.json: the identity of a case, taken from its plan.
type Info struct {
	Format    int       `json:"format"` // the plan's
	ID        string    `json:"id"`
	Created   time.Time `json:"created"`
	Authority string    `json:"authority,omitempty"`
	Purpose   string    `json:"purpose,omitempty"`
	Terms     string    `json:"terms_reviewed_by,omitempty"`
	Demo      bool      `json:"demo"`
}

func infoOf(p *Plan) Info {
	return Info{
		Format: p.Format, ID: p.CaseID, Created: p.Created.UTC().Round(0),
		Authority: p.Authority, Purpose: p.Purpose, Terms: p.TermsReviewedBy, Demo: p.Demo,
	}
}

// File is a file to be written into a new case, Name being its slash-separated
// path inside the case folder.
type File struct {
	Name string
	Data []byte
}

// Create makes the case folder dir, which must not exist (its parent must),
// with the plan, the given files and an empty ledger, and opens it. case.json
// is written last: a folder without it is an interrupted creation, and Open
// says so.
func Create(dir string, p *Plan, files ...File) (*Case, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	plan, err := EncodePlan(p)
	if err != nil {
		return nil, err
	}
	info, err := encodeIndented(infoOf(p))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if err := checkFileName(f.Name); err != nil {
			return nil, err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("creating the case: %s exists already and was left alone: %w", dir, fs.ErrExist)
		}
		return nil, fmt.Errorf("creating the case: %w", storage(err))
	}
	all := append([]File{{planName, plan}, {ledgerName, nil}}, files...)
	if p.Format == PlanSalted {
		prompts, err := EncodePrompts(p)
		if err != nil {
			return nil, fmt.Errorf("creating the case: %w", err)
		}
		all = append(all, File{PromptsName, prompts})
	}
	all = append(all, File{caseName, info})
	if err := os.Mkdir(filepath.Join(dir, blobsName), 0o700); err != nil {
		return nil, fmt.Errorf("creating the case: %w", storage(err))
	}
	for _, f := range all {
		name := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return nil, fmt.Errorf("creating the case: %w", storage(err))
		}
		if err := WriteNewFile(name, f.Data, 0o600); err != nil {
			return nil, fmt.Errorf("creating the case: %w", err)
		}
	}
	if err := syncDir(filepath.Dir(dir)); err != nil {
		return nil, fmt.Errorf("creating the case: %w", err)
	}
	return Open(dir)
}

// checkFileName keeps the files of a caller inside the case and away from those
// of this package.
func checkFileName(name string) error {
	switch {
	case !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "\\\r\n:"):
		return fmt.Errorf("%q is not a path inside a case", name)
	case name == caseName || name == planName || name == PromptsName || name == ledgerName || path.Dir(name) == blobsName:
		return fmt.Errorf("%s is written by the case itself", name)
	}
	return nil
}

// Case is a case opened for reading. It is safe for concurrent use, also while
// a [Writer] appends to it.
type Case struct {
	fsys      fs.FS
	dir       string
	info      Info
	plan      *Plan
	planBytes []byte
	index     *planIndex
	segments  *segments
	controls  *controls
	redaction *Redaction // nil: this is the whole case
	limit     uint64     // events that are seen; 0 = all
}

// Open opens a case folder. Plan and identity are read and checked; the ledger
// is read on demand.
func Open(dir string) (*Case, error) {
	st, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the case: %w", err)
	}
	if !st.IsDir() {
		return nil, fmt.Errorf("opening the case: %s is not a folder", dir)
	}
	c, err := OpenFS(os.DirFS(dir))
	if err != nil {
		return nil, fmt.Errorf("opening the case %s: %w", dir, err)
	}
	c.dir = dir
	return c, nil
}

// OpenFS opens a case in any file system, such as a zip.Reader whose root is
// the case folder.
func OpenFS(fsys fs.FS) (*Case, error) {
	raw, err := readLimited(fsys, caseName, maxInfo)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing: this is no case, or its creation was interrupted", caseName)
	}
	if err != nil {
		return nil, err
	}
	if err := checkFormat(raw, caseName, PlanSalted); err != nil {
		return nil, err
	}
	var info Info
	if err := decodeStrict(raw, &info); err != nil {
		return nil, fmt.Errorf("reading %s: %w", caseName, err)
	}
	redaction, err := readRedaction(fsys)
	if err != nil {
		return nil, err
	}
	if redaction != nil {
		fsys = redactedFS{fsys}
	}
	planBytes, err := readLimited(fsys, planName, maxPlan)
	if err != nil {
		return nil, err
	}
	plan, err := DecodePlan(planBytes)
	if err != nil {
		return nil, err
	}
	if plan.Format == PlanSalted {
		prompts, err := readLimited(fsys, PromptsName, maxPlan)
		if err != nil {
			return nil, err
		}
		if err := plan.addPrompts(prompts, redaction != nil); err != nil {
			return nil, err
		}
	}
	if err := plan.Validate(); err != nil {
		return nil, err
	}
	want, err := encodeIndented(infoOf(plan))
	if err != nil {
		return nil, err
	}
	if err := sameBytes(raw, want); err != nil {
		return nil, fmt.Errorf("%s does not agree with %s: %w", caseName, planName, err)
	}
	return &Case{
		fsys: fsys, info: info, plan: plan, planBytes: planBytes,
		index:    indexPlan(plan, hexSHA256(planBytes)),
		segments: &segments{fsys: fsys, redacted: redaction != nil}, redaction: redaction,
		controls: &controls{fsys: fsys, open: map[string]*Case{}},
	}, nil
}

// Dir is the folder, or "" when the case was opened with [OpenFS].
func (c *Case) Dir() string { return c.dir }

// FS is the file system of the case.
func (c *Case) FS() fs.FS { return c.fsys }

// Info returns case.json.
func (c *Case) Info() Info { return c.info }

// Plan returns the plan. The caller must not change it.
func (c *Case) Plan() *Plan { return c.plan }

// PlanBytes returns plan.json as it lies in the case. The caller must not
// change it.
func (c *Case) PlanBytes() []byte { return c.planBytes }

// PlanSHA256 is the hex SHA-256 of PlanBytes.
func (c *Case) PlanSHA256() string { return c.index.sha256 }

// Item finds an item of the plan by its id.
func (c *Case) Item(id string) (Item, bool) {
	_, it, ok := c.index.find(id)
	return it, ok
}

// Place is where an item stands among those of its target in the order of sending,
// from 0; -1 for an item that the plan does not have.
func (c *Case) Place(id string) int {
	n, _, ok := c.index.find(id)
	if !ok {
		return -1
	}
	return c.index.place(n)
}

// Number is a number of an item, by which [Case.ItemAt] finds it; -1 for an item that
// the plan does not have.
func (c *Case) Number(id string) int {
	n, _, ok := c.index.find(id)
	if !ok {
		return -1
	}
	return n
}

// ItemAt is the item with a number that [Case.Number] gave.
func (c *Case) ItemAt(number int) Item {
	target := &c.plan.Targets[number/c.index.perTarget()]
	q, sample := c.index.layout.find(c.plan, number%c.index.perTarget())
	return Item{ID: ItemID(target.Name, q.Suite, q.ID, sample), Target: target, Prompt: q, Sample: sample}
}

// Prefix returns a view of the case that ends after the first n events (n >= 1):
// what an earlier analysis saw before later events were added.
func (c *Case) Prefix(n uint64) *Case {
	view := *c
	view.limit = max(n, 1)
	return &view
}

// Lines streams the ledger and checks its chain: numbering, hashes, canonical
// form, and that the first event seals this plan. An error ends the iteration:
// a *[TornError] when only the last line is incomplete (all lines before it have
// been yielded), a *[DamageError] that names line and byte, or ErrOrder.
//
// The last line has no successor that would hold its hash: it is protected by
// the head, which findings and seal carry.
func (c *Case) Lines() iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		c.fold(func(l Line, _ change, err error) bool { return yield(l, err) })
	}
}

// Events streams the events of [Case.Lines].
func (c *Case) Events() iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for l, err := range c.Lines() {
			if !yield(l.Event, err) {
				return
			}
		}
	}
}

// fold reads the ledger into a state. yield sees every line and what it changed;
// it is called once more with an error if there is one.
func (c *Case) fold(yield func(Line, change, error) bool) *State {
	s := newState(c.index)
	f, err := c.fsys.Open(ledgerName)
	if err != nil {
		yield(Line{}, change{}, err)
		return s
	}
	defer f.Close()
	r := newChainReader(f)
	for c.limit == 0 || s.Head.Events < c.limit {
		l, err := r.step()
		if errors.Is(err, io.EOF) {
			return s
		}
		var ch change
		if err == nil {
			ch, err = s.add(l)
		}
		if err != nil {
			yield(Line{}, change{}, err)
			return s
		}
		if !yield(l, ch, nil) {
			return s
		}
	}
	return s
}

// add admits and applies a line that was read.
func (s *State) add(l Line) (change, error) {
	ch, err := s.admit(&l.Event)
	if err != nil {
		return change{}, fmt.Errorf("%s line %d (byte %d): %w", ledgerName, l.Event.Seq+1, l.Offset, err)
	}
	s.apply(&l.Event, ch, l.Raw, l.Hash)
	return ch, nil
}

// State reads the ledger once and says where collection stands. With a torn
// last line the state before it is returned beside the error.
func (c *Case) State() (*State, error) {
	var failed error
	s := c.fold(func(_ Line, _ change, err error) bool {
		failed = err
		return true
	})
	s.setRoot()
	if failed != nil && !errors.Is(failed, ErrTorn) {
		return nil, failed
	}
	return s, failed
}

// LedgerHead reads the ledger and returns its head.
func (c *Case) LedgerHead() (Head, error) {
	s, err := c.State()
	if err != nil {
		return Head{}, err
	}
	return s.Head, nil
}

// Blob loads raw bytes and checks their hash. A blob that is not what the
// ledger says is a *[DamageError]; one that a redacted copy lacks is [ErrWithheld].
func (c *Case) Blob(ref BlobRef) ([]byte, error) {
	data, err := c.segments.load(ref)
	if err != nil {
		return nil, err
	}
	return data[ref.Salt:], nil
}

// Stored loads raw bytes as [Case.Blob] does, with the salt before them.
func (c *Case) Stored(ref BlobRef) ([]byte, error) { return c.segments.load(ref) }

// ReplyRecord is one settled attempt with its raw bytes.
type ReplyRecord struct {
	Event    Event // its Data is Attempt
	Item     Item  // of the plan
	Attempt  Attempt
	Response []byte  // raw body, nil if none was stored; owned by the callee
	Withheld bool    // a body was stored, but is not in this copy of the case
	Request  BlobRef // of the intent; Case.Blob loads it
	// Source reads the record again, as that at Offset, without holding it.
	Source *ReplySource
	Offset int64
}

// ReplySource reads records again that one pass of [Case.Replies] over a ledger
// yielded. It is safe for concurrent use once that pass is over.
type ReplySource struct {
	asked *Case            // whose plan has the items
	from  *Case            // whose ledger has the events: another where replies are reused
	lines map[int64][]byte // by offset, where the ledger cannot be read at one
}

// Read reads a record again. Its Request is not known here.
func (s *ReplySource) Read(offset int64) (ReplyRecord, error) {
	raw := s.lines[offset]
	if raw == nil {
		var err error
		if raw, err = s.from.lineAt(offset); err != nil {
			return ReplyRecord{}, err
		}
	}
	damage := func(err error) error {
		return &DamageError{File: ledgerName, Offset: offset, Reason: "the line that was read before is no longer there: " + err.Error()}
	}
	e, err := parseEvent(raw)
	if err != nil {
		return ReplyRecord{}, damage(err)
	}
	rec := ReplyRecord{Event: e, Source: s, Offset: offset}
	var known bool
	if rec.Item, known = s.asked.Item(e.Item); !known || e.Type != EventReply {
		return ReplyRecord{}, damage(errors.New("it is about something else"))
	}
	if err := decodeStrict(e.Data, &rec.Attempt); err != nil {
		return ReplyRecord{}, damage(err)
	}
	return rec, s.from.fill(&rec)
}

// fill loads the bytes of a record.
func (c *Case) fill(rec *ReplyRecord) (err error) {
	if ref := rec.Attempt.Response; ref != nil {
		rec.Response, err = c.blobOf(&rec.Event, *ref)
		if rec.Withheld = errors.Is(err, ErrWithheld); !rec.Withheld && err != nil {
			return err
		}
	}
	rec.Attempt.Headers, err = c.Headers(&rec.Attempt)
	if errors.Is(err, ErrWithheld) {
		return nil
	}
	if err != nil {
		err = fmt.Errorf("event %d (%s): %w", rec.Event.Seq, rec.Event.Item, err)
	}
	return err
}

// Headers are the headers of an attempt's response, wherever they lie.
func (c *Case) Headers(a *Attempt) (map[string]string, error) {
	if a.HeadersBlob == nil {
		return a.Headers, nil
	}
	data, err := c.Blob(*a.HeadersBlob)
	if err != nil {
		return nil, err
	}
	var headers map[string]string
	if err := decodeStrict(data, &headers); err != nil {
		return nil, fmt.Errorf("headers: %w", err)
	}
	return headers, nil
}

// lineAt reads the line of the ledger that begins at an offset.
func (c *Case) lineAt(offset int64) ([]byte, error) {
	f, err := c.fsys.Open(ledgerName)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	at, ok := f.(io.ReaderAt)
	if !ok {
		return nil, fmt.Errorf("%s cannot be read at an offset", ledgerName)
	}
	r := newChainReader(io.NewSectionReader(at, offset, maxLine+1))
	line, err := r.readLine()
	if err != nil {
		return nil, fmt.Errorf("reading %s at byte %d: %w", ledgerName, offset, err)
	}
	return line, nil
}

// seekable reports whether the ledger can be read at an offset.
func (c *Case) seekable() bool {
	f, err := c.fsys.Open(ledgerName)
	if err != nil {
		return false
	}
	defer f.Close()
	_, ok := f.(io.ReaderAt)
	return ok
}

// Replies calls yield for every settled attempt, in ledger order, then for those
// of the sealed cases that lie in this one, and stops at its first error. One
// reply is in memory at a time, and at most two segments where the file system
// cannot seek. A ledger with a torn last line yields all its replies and then a
// *[TornError].
func (c *Case) Replies(yield func(ReplyRecord) error) error {
	_, err := c.Walk(func(*Event) error { return nil }, yield)
	return err
}

// Walk is one pass for all that a reader of the whole case wants: event is told of every
// event of the ledger, and reply, after it, of what [Case.Replies] yields. The head is the
// one that the ledger has.
func (c *Case) Walk(event func(*Event) error, reply func(ReplyRecord) error) (Head, error) {
	head, err := c.walk(EventReply, c, event, reply)
	if err != nil && !errors.Is(err, ErrTorn) {
		return Head{}, err
	}
	if cached := c.cachedReplies(reply); cached != nil {
		return Head{}, cached
	}
	return head, err
}

// walk reads this case's own ledger; its replies are to be read again as those to the
// items of asked. typ is the type of the events that settle what is yielded.
func (c *Case) walk(typ string, asked *Case, event func(*Event) error, reply func(ReplyRecord) error) (Head, error) {
	var failed error
	source := &ReplySource{asked: asked, from: c}
	if !c.seekable() {
		source.lines = map[int64][]byte{}
	}
	s := c.fold(func(l Line, ch change, err error) bool {
		if err == nil {
			err = event(&l.Event)
		}
		if err == nil && l.Event.Type == typ {
			rec := ReplyRecord{Event: l.Event, Attempt: *ch.attempt, Request: ch.request, Source: source, Offset: l.Offset}
			if source.lines != nil {
				source.lines[l.Offset] = bytes.Clone(l.Raw)
			}
			rec.Item, _ = c.Item(l.Event.Item) // admitted events name items of the plan
			if err = c.fill(&rec); err == nil {
				err = reply(rec)
			}
		}
		failed = err
		return err == nil
	})
	s.setRoot()
	return s.Head, failed
}

func (c *Case) blobOf(e *Event, ref BlobRef) ([]byte, error) {
	data, err := c.Blob(ref)
	if err != nil {
		return nil, fmt.Errorf("event %d (%s): %w", e.Seq, e.Item, err)
	}
	return data, nil
}

// CheckBlobs loads every blob that the ledger refers to, requests and failed
// attempts included, and returns how many there are. The error names the first
// that is missing or changed. Of a redacted copy just what it says may be withheld.
func (c *Case) CheckBlobs() (int, error) {
	n := 0
	var failed error
	lacking := absent{present: map[int][]span{}}
	c.fold(func(l Line, ch change, err error) bool {
		for _, ref := range ch.blobs {
			if err == nil && ref != nil {
				_, err = c.blobOf(&l.Event, *ref)
				if c.redaction != nil {
					err = lacking.note(&l.Event, ch.attempt, ref, err)
				}
				n++
			}
		}
		failed = err
		return err == nil
	})
	if failed == nil && c.redaction != nil {
		failed = lacking.check(c)
	}
	return n, failed
}
