package integrity

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/stillmark/stillmark/probe/ledger"
)

// The exit codes of verification.
const (
	ExitAltered      = 30 // a file is not what was sealed
	ExitBadSignature = 31
	ExitUntrusted    = 32 // valid, but the signer is not among the trusted ones
	ExitTime         = 33 // a timestamp is bad, or the plan does not come first
	ExitIncomplete   = 34 // a part is missing, or written in a newer format
	ExitDiffers      = 35 // a number does not follow from the replies
)

// Code is the stable name of a problem.
type Code string

// The problems that this layer knows.
const (
	CodeArchive    Code = "archive"        // the zip is refused: bomb, traversal, duplicate, damaged
	CodeIrregular  Code = "file_irregular" // symbolic link, device, unsafe name
	CodeMissing    Code = "file_missing"   // listed, but not there
	CodeUnlisted   Code = "file_unlisted"  // there, but not listed
	CodeForeign    Code = "file_foreign"   // signed for, but no part of a case
	CodeAltered    Code = "file_altered"   // not the listed hash
	CodeManifest   Code = "manifest"       // the manifest itself is not canonical or not the signed one
	CodeUnsealed   Code = "not_sealed"     // no envelope, no signer, no seal event
	CodeSignature  Code = "signature"      // the envelope or its signature is bad
	CodeStatement  Code = "statement"      // the statement disagrees with the envelope or the files
	CodePlan       Code = "plan"           // the plan is not the one that the ledger began with
	CodePlanSigned Code = "plan_signature" // the plan's envelope is bad
	CodeChain      Code = "ledger_chain"   // a line of the ledger is damaged, missing or moved
	CodeMerkle     Code = "ledger_root"    // the Merkle root is not the signed one
	CodeBlob       Code = "raw_bytes"      // raw request or response bytes are not the recorded ones
	CodeRedaction  Code = "redaction"      // a redacted copy lacks something else than it says
	CodeCustody    Code = "custody_log"    // the custody log is damaged, or not the sealed one and its continuation
	CodeCheckpoint Code = "checkpoint"     // a signed tree head is not that of the ledger then
	CodeProof      Code = "proof"          // a proof of an item does not hold
	CodeNewer      Code = "newer_format"   // written by a newer program
)

// Problem is a reason for which a case does not verify.
type Problem struct {
	Code   Code   `json:"code"`
	Exit   int    `json:"exit"`
	File   string `json:"file,omitempty"`
	Offset int64  `json:"offset"` // first failing byte; -1 where a hash cannot tell
	Detail string `json:"detail"`
}

func (p *Problem) Error() string {
	at := p.File
	if at != "" && p.Offset >= 0 {
		at = fmt.Sprintf("%s, byte %d", at, p.Offset)
	}
	if at == "" {
		return p.Detail
	}
	return at + ": " + p.Detail
}

// ExitCode makes the command line end with the problem's code.
func (p *Problem) ExitCode() int { return p.Exit }

func problem(code Code, exit int, file, format string, args ...any) *Problem {
	return &Problem{Code: code, Exit: exit, File: file, Offset: -1, Detail: fmt.Sprintf(format, args...)}
}

// classify turns an error of the ledger about a file into a problem.
func classify(err error, code Code, file string) *Problem {
	var (
		p      *Problem
		damage *ledger.DamageError
		torn   *ledger.TornError
	)
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &damage):
		p = problem(code, ExitAltered, damage.File, "%s", damage.Reason)
		if damage.Line > 0 {
			p.Detail = fmt.Sprintf("line %d: %s", damage.Line, damage.Reason)
		}
		p.Offset = damage.Offset
		return p
	case errors.As(err, &torn):
		p = problem(code, ExitAltered, file, "line %d has no end", torn.Line)
		p.Offset = torn.Offset
		return p
	case errors.Is(err, ledger.ErrNewerFormat):
		return problem(CodeNewer, ExitIncomplete, file, "%v; use a newer version of this program", err)
	case errors.Is(err, fs.ErrNotExist):
		return problem(CodeMissing, ExitIncomplete, file, "the file is missing")
	}
	return problem(code, ExitAltered, file, "%v", err)
}
