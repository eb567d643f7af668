package ledger

import (
	"errors"
	"fmt"
)

// Kinds of failure. Errors of this package wrap one of them where a caller
// would act on it.
var (
	// ErrStorage: the disk is full or failing. What was acknowledged is kept.
	ErrStorage = errors.New("storage failed")
	// ErrLocked: another writer has the case.
	ErrLocked = errors.New("case is in use by another process")
	// ErrSealed: the case is sealed, nothing but another seal can be added.
	ErrSealed = errors.New("case is sealed")
	// ErrTorn: the last line of the ledger is incomplete. Everything before it
	// is whole; opening the case for writing moves the fragment aside.
	ErrTorn = errors.New("the last line of the ledger is incomplete")
	// ErrDamaged: a file of the case is not what was written; see [DamageError].
	ErrDamaged = errors.New("case is damaged")
	// ErrOrder: an event that may not come here, such as a reply without an
	// intent. From [Writer.Append] it is a programmer's error.
	ErrOrder = errors.New("event out of order")
	// ErrNewerFormat: written by a newer version of this program.
	ErrNewerFormat = errors.New("written in a newer format than this program reads")
	// ErrSignature: an envelope's signature does not belong to its content.
	ErrSignature = errors.New("signature does not match")
	// ErrUnknownSigner: the envelope names a key that is not among those given.
	ErrUnknownSigner = errors.New("signer is unknown")
)

// DamageError names the place where a file is not what was written.
type DamageError struct {
	File   string // path inside the case
	Line   int    // from 1; 0 where the file has no lines
	Offset int64  // of the line's, or the blob's, first byte
	Reason string
}

func (e *DamageError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s is damaged at line %d (byte %d): %s", e.File, e.Line, e.Offset, e.Reason)
	}
	return fmt.Sprintf("%s is damaged at byte %d: %s", e.File, e.Offset, e.Reason)
}

// Is makes errors.Is(err, ErrDamaged) true.
func (e *DamageError) Is(target error) bool { return target == ErrDamaged }

// TornError says where an incomplete last line begins.
type TornError struct {
	Line   int
	Offset int64
	Bytes  int
}

func (e *TornError) Error() string {
	return fmt.Sprintf("%s: line %d of %s (byte %d) has no end: its writer was interrupted or is still running; run the same command again to go on",
		ErrTorn, e.Line, ledgerName, e.Offset)
}

// Is makes errors.Is(err, ErrTorn) true.
func (e *TornError) Is(target error) bool { return target == ErrTorn }
