package verify

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// Options are the reader's own: what the case says of itself is not enough.
type Options struct {
	Trust    []ledger.PublicKey // signers that the reader trusts
	Keys     []*watermark.Key   // keys given beside the case, where it withholds them
	TSARoots *x509.CertPool     // nil: timestamps are checked, their authority is not
	Program  ledger.Build       // this program: report.html is compared if it wrote it
	Progress func(stage string, done, total int64)
}

// State is what a case comes to.
type State string

// The states.
const (
	Invalid State = "INVALID"
	Valid   State = "VALID"
	Trusted State = "TRUSTED"
)

// The levels of a line.
const (
	LevelOK   = "ok"
	LevelWarn = "warn"
	LevelNote = "note"
	LevelFail = "FAIL"
)

// Line is one line of the checklist.
type Line struct {
	Level  string `json:"level"`
	Code   string `json:"code"` // stable
	Check  string `json:"check"`
	Detail string `json:"detail"`
	File   string `json:"file,omitempty"`
	Offset *int64 `json:"offset,omitempty"` // first failing byte, where it is known
}

// Result is the outcome of a verification.
type Result struct {
	State    State     `json:"state"`
	Exit     int       `json:"exit"` // 0, or 30 to 35
	CaseID   string    `json:"case_id,omitempty"`
	Signer   string    `json:"signer,omitempty"`
	KeyID    string    `json:"key_id,omitempty"`
	Since    time.Time `json:"unaltered_since,omitzero"`
	Lines    []Line    `json:"checks"`
	Numbers  Numbers   `json:"numbers"`
	Verdict  string    `json:"verdict"`
	NotShown string    `json:"not_proven"`
}

// Numbers counts the numeric leaves of findings.json and report.json.
type Numbers struct {
	Total      int `json:"total"`
	Recomputed int `json:"recomputed"`
	Withheld   int `json:"withheld"` // need a key that was not given
	Exempt     int `json:"exempt"`   // listed in the report's schema with a reason
}

// Verify checks the case in a folder or a zip. The error is about path or the
// context; whatever is wrong with the case is in the result.
func Verify(ctx context.Context, path string, opt Options) (*Result, error) {
	return nil, errors.New("not written yet")
}

// WriteText writes the checklist for people.
func (r *Result) WriteText(w io.Writer) error {
	return errors.New("not written yet")
}
