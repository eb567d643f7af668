package probe

import (
	"fmt"
	"strings"
)

// The exit codes of a run that did not end as planned.
const (
	CodeUsage       = 2   // the configuration cannot be used; nothing was sent
	CodeIncomplete  = 20  // incomplete, can go on
	CodeAuth        = 21  // a target refuses the key
	CodeQuota       = 22  // an account is empty
	CodeDrift       = 23  // a target is another model than it was
	CodeStorage     = 24  // the disk is full or failing
	CodeUnavailable = 25  // a target cannot be reached
	CodeAltered     = 30  // the ledger is damaged
	CodeNewerFormat = 34  // the case was made by a later version
	CodeInterrupted = 130 // the operator stopped the run
)

// Error is why a run, or a plan, did not come about. It reads as a sentence for
// each of: what happened, what was kept, what to do.
type Error struct {
	Code     int    // exit code
	Target   string // where it happened, "" for none in particular
	Happened string
	Kept     string
	Do       string
	Err      error // the cause, if there is one
}

// Error joins the sentences.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Happened)
	if e.Kept != "" {
		fmt.Fprintf(&b, " (%s)", e.Kept)
	}
	b.WriteString(".")
	if e.Do != "" {
		b.WriteString(" " + e.Do + ".")
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ExitCode is the exit code that the program should end with.
func (e *Error) ExitCode() int { return e.Code }

// usage is an error of configuration: nothing was sent.
func usage(do, format string, args ...any) *Error {
	return &Error{Code: CodeUsage, Happened: fmt.Sprintf(format, args...), Do: do}
}
