package ledger

import (
	"errors"
	"os"
	"time"
)

// Errors of the ledger.
var (
	// ErrStorage: the disk is full or failing. What was acknowledged is kept.
	ErrStorage = errors.New("storage failed")
	// ErrLocked: another process writes to this case.
	ErrLocked = errors.New("case is in use by another process")
	// ErrSealed: the case is sealed, nothing can be added.
	ErrSealed = errors.New("case is sealed")
	// ErrTorn: the last line of the ledger is incomplete.
	ErrTorn = errors.New("the last line is incomplete")
	// ErrDamaged: the ledger or a segment is not what was written.
	ErrDamaged = errors.New("damaged")
	// ErrNewerFormat: written by a newer version of this program.
	ErrNewerFormat = errors.New("written in a newer format")
)

// WriterOptions are the clocks of a writer. The zero value is the system's.
type WriterOptions struct {
	Now  func() time.Time
	Mono func() time.Duration
}

// Writer appends to the ledger of a case. It is safe for concurrent use; there
// is one per case, across processes.
type Writer struct{}

// OpenWriter locks the case, checks its ledger and continues the chain. On an
// empty ledger it writes the plan_sealed event.
func OpenWriter(dir string, opt WriterOptions) (*Writer, error) { return nil, errSkeleton }

// State returns a copy of where collection stands.
func (w *Writer) State() *State { return nil }

// Case returns the case that is written to. Its plan is loaded.
func (w *Writer) Case() *Case { return nil }

// Append writes an event and returns when it is on the disk. Waiting appends
// share one fsync. data is marshalled to JSON; nil for none. Intents are
// refused with ErrStorage once the disk was full; other events still enter.
func (w *Writer) Append(typ, item string, attempt int, data any) (Event, error) {
	return Event{}, errSkeleton
}

// PutBlob stores raw bytes in the current segment. They are synced before the
// first event appended after PutBlob returns.
func (w *Writer) PutBlob(b []byte) (BlobRef, error) { return BlobRef{}, errSkeleton }

// Close waits for pending events and releases the case.
func (w *Writer) Close() error { return errSkeleton }

// WriteFile writes data to path through a temporary file in the same folder,
// synced and renamed, and syncs the folder. An existing file is replaced.
func WriteFile(path string, data []byte, perm os.FileMode) error { return errSkeleton }

// WriteNewFile is WriteFile, but fails with fs.ErrExist where path exists.
func WriteNewFile(path string, data []byte, perm os.FileMode) error { return errSkeleton }
