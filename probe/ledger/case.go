package ledger

import (
	"errors"
	"io"
	"io/fs"
	"iter"
	"time"
)

// Info is case.json: the identity of a case.
type Info struct {
	Format    int       `json:"format"`
	ID        string    `json:"id"`
	Created   time.Time `json:"created"`
	Authority string    `json:"authority,omitempty"`
	Purpose   string    `json:"purpose,omitempty"`
	Demo      bool      `json:"demo"`
}

// File is a file to be written into a new case, Name being its slash-separated
// path inside the case folder.
type File struct {
	Name string
	Data []byte
}

// Case is a case folder opened for reading. It is safe for concurrent use.
type Case struct {
	fsys fs.FS
	dir  string
	plan *Plan
}

var errSkeleton = errors.New("not written yet")

// NewCaseID returns an id such as 2026-11-20_acme-nova-1_01JD8K7Q: the day, a
// name made safe for file systems, and 40 random bits.
func NewCaseID(name string, now time.Time, rand io.Reader) (string, error) { return "", errSkeleton }

// Create makes the case folder dir (its parent must exist, dir itself must not)
// with the sealed plan, the given files and an empty ledger.
func Create(dir string, p *Plan, files ...File) (*Case, error) { return nil, errSkeleton }

// Open opens a case folder.
func Open(dir string) (*Case, error) { return nil, errSkeleton }

// OpenFS opens a case in any file system, such as a zip.Reader.
func OpenFS(fsys fs.FS) (*Case, error) { return nil, errSkeleton }

// Dir is the folder, or "" when the case was opened with [OpenFS].
func (c *Case) Dir() string { return c.dir }

// FS is the file system of the case.
func (c *Case) FS() fs.FS { return c.fsys }

// Info returns case.json.
func (c *Case) Info() Info { return Info{} }

// Plan returns the sealed plan. The caller must not change it.
func (c *Case) Plan() *Plan { return c.plan }

// PlanBytes returns plan.json as it lies in the case.
func (c *Case) PlanBytes() []byte { return nil }

// PlanSHA256 is the hex SHA-256 of PlanBytes.
func (c *Case) PlanSHA256() string { return "" }

// Prefix returns a view of the case that ends after the first n events: what
// an earlier analysis saw.
func (c *Case) Prefix(n uint64) *Case { return c }

// Line is one line of the ledger.
type Line struct {
	Event  Event
	Raw    []byte // without the newline; valid until the next iteration
	Hash   string // hex SHA-256 of Raw: the Prev of the next event
	Offset int64  // of the first byte in ledger.jsonl
}

// Lines streams the ledger with its chain checked. An error ends the iteration;
// it is ErrTorn when only the last line is incomplete.
func (c *Case) Lines() iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {}
}

// Events streams the events of [Case.Lines].
func (c *Case) Events() iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {}
}

// ReplyRecord is one settled attempt with its raw bytes.
type ReplyRecord struct {
	Event    Event
	Item     Item // of the plan
	Attempt  Attempt
	Response []byte  // raw body; owned by the caller
	Request  BlobRef // of the intent; load it with Case.Blob
}

// Replies calls yield for every settled attempt in ledger order. Memory is
// bounded by one reply, and two segments where the file system cannot seek.
func (c *Case) Replies(yield func(ReplyRecord) error) error { return errSkeleton }

// Blob loads raw bytes and checks their hash.
func (c *Case) Blob(ref BlobRef) ([]byte, error) { return nil, errSkeleton }

// State reads the ledger once and says where collection stands.
func (c *Case) State() (*State, error) { return nil, errSkeleton }

// Head identifies the state of a ledger.
type Head struct {
	Events uint64 `json:"events"`
	Hash   string `json:"hash"` // hex SHA-256 of the last line
	Root   string `json:"root"` // hex Merkle root over all lines (RFC 6962)
}

// LedgerHead reads the ledger and returns its head.
func (c *Case) LedgerHead() (Head, error) { return Head{}, errSkeleton }

// ItemState is what the ledger says about one item.
type ItemState struct {
	Attempts int // intents seen, orphans included; the next attempt is Attempts+1
	Orphan   bool
	Settled  bool
	Outcome  Outcome // of the reply, when settled; else of the last failed attempt
}

// State is where collection stands.
type State struct {
	Head    Head
	First   time.Time // of the first event
	Last    time.Time
	Sealed  bool
	Stopped bool // the last stop event was not followed by a resume
	Items   map[string]ItemState
}

// Settled reports whether the item has its reply.
func (s *State) Settled(item string) bool { return s.Items[item].Settled }

// NextAttempt is the number of the item's next attempt, from 1.
func (s *State) NextAttempt(item string) int { return s.Items[item].Attempts + 1 }

// Orphans lists, sorted, the items whose last intent has no outcome: sent, or
// about to be sent, when the program died.
func (s *State) Orphans() []string { return nil }
