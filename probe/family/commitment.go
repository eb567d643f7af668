package family

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/timestamp"
	"github.com/stillmark/stillmark/watermark"
)

// The states of a commitment.
const (
	CommitBeforeServing  = "before-serving"  // the only one of the exact tier
	CommitLate           = "late"            // stamped after serving began, or after the first reply
	CommitInconsistent   = "inconsistent"    // serving is said to begin only after the first reply
	CommitServingUnknown = "serving-unknown" // nobody declared when serving began
	CommitUnstamped      = "unstamped"       // no valid timestamp
	CommitAbsent         = "absent"
	CommitMismatch       = "mismatch" // the key does not open it
)

// CommitmentsDir is where commitments and their tokens lie in a case.
const CommitmentsDir = "commitments"

// maxCommitment bounds commitments, tokens and the decoys' seed: a commitment of
// a hundred thousand labels is 50 MB.
const maxCommitment = 64 << 20

// checkCommitment says whether the key was committed, under a third party's
// timestamp over the commitment file, before it was served and before the first
// reply of the target in this case; a token's own inaccuracy counts against it.
// Replies that were collected elsewhere are not known to it, nor is what came before the
// stamp: whoever commits chooses key and lists until then. What the test asks is compared
// with the lists of the commitment where its family needs them. An error is about a file
// that should be there and cannot be read.
//
// The token's imprint and signature are checked; whether its authority is to be
// trusted is left to the verification, which has the roots.
func checkCommitment(c *ledger.Case, ref *ledger.KeyRef, key *watermark.Key, fam *Family, t *ledger.Test, first time.Time) (*ledger.CommitmentCheck, error) {
	check := &ledger.CommitmentCheck{State: CommitAbsent, FirstReply: first}
	if ref.Commitment == "" {
		return check, nil
	}
	data, err := readCaseFile(c.FS(), path.Join(CommitmentsDir, ref.Commitment), maxCommitment)
	if err != nil {
		return nil, fmt.Errorf("read the commitment of key %s: %w", ref.ID, err)
	}
	commitment, err := watermark.ParseCommitment(data)
	if err != nil || commitment.Check(key) != nil {
		check.State = CommitMismatch
		return check, nil
	}
	check.Leaves, check.Declared, check.SelectionLog10 = Selection(c.Plan(), t.Target, commitment)
	check.State = CommitUnstamped
	if ref.Stamp == "" {
		return check, nil
	}
	token, err := readCaseFile(c.FS(), path.Join(CommitmentsDir, ref.Stamp), maxCommitment)
	if err != nil {
		return nil, fmt.Errorf("read the timestamp of key %s: %w", ref.ID, err)
	}
	stamp, err := timestamp.Verify(token, sha256.Sum256(data), nil)
	if err != nil {
		return check, nil
	}
	check.Time, check.Accuracy, check.Authority = stamp.Time.UTC(), stamp.Accuracy, stamp.Authority
	serving, source := servingFrom(ref, key)
	check.ServingFrom, check.ServingSource = serving.UTC(), source
	latest := stamp.Latest()
	switch {
	case serving.IsZero():
		check.State = CommitServingUnknown
	case !first.IsZero() && serving.After(first):
		// What was not yet served cannot have been learned: the date is wrong,
		// or the signal is none.
		check.State = CommitInconsistent
	case latest.Before(serving) && (first.IsZero() || latest.Before(first)):
		check.State = CommitBeforeServing
		if listsRead(c.Plan(), fam, check.Time) {
			check.Lists, err = Lists(c.Plan(), t, key, commitment)
		}
	default:
		check.State = CommitLate
	}
	return check, err
}

// exact reports whether a commitment leaves nothing to choose by the replies that the family
// forbids to choose.
func exact(fam *Family, c *ledger.CommitmentCheck) bool {
	return c.State == CommitBeforeServing && (!fam.Listed || c.Lists == "" || c.Lists == ListCommitted)
}

// Selection counts the keys of a commitment, and those of them that the plan
// tests as primary on a target. Whoever holds the keys could have tried them all
// and declared the best: log10 p of a declared key is charged
// log10(leaves/declared), as if all of them had been declared. Roots that are not
// in the case are not known to it.
func Selection(p *ledger.Plan, target string, c *watermark.Commitment) (leaves, declared int, log10Charge float64) {
	tested := map[string]bool{}
	for i := range p.Tests {
		if t := &p.Tests[i]; t.Primary && t.Target == target {
			tested[t.Key] = true
		}
	}
	distinct := map[string]bool{}
	for i := range c.Leaves {
		id := c.Leaves[i].KeyID
		if distinct[id] {
			continue
		}
		distinct[id] = true
		if tested[id] {
			declared++
		}
	}
	leaves = len(distinct)
	return leaves, declared, math.Log10(float64(leaves) / float64(max(declared, 1)))
}

// servingFrom is the earliest time at which serving is said to have begun: in
// the plan, or in the key file, where it is part of what was committed to; and
// which of them it is.
func servingFrom(ref *ledger.KeyRef, key *watermark.Key) (from time.Time, source string) {
	declared, committed := ref.ServingFrom, key.ServingFrom
	switch {
	case declared.IsZero() && committed.IsZero():
		return from, ""
	case declared.IsZero() || !committed.IsZero() && !declared.Before(committed):
		return committed, ledger.ServingCommitted
	}
	return declared, ledger.ServingDeclared
}

// commitmentWarning is the warning of a state, "" for none.
func commitmentWarning(state string) Warning {
	switch state {
	case CommitBeforeServing:
		return WarnStampTrust
	case CommitLate:
		return WarnLate
	case CommitInconsistent:
		return WarnInconsistent
	case CommitServingUnknown:
		return WarnServingUnknown
	case CommitUnstamped:
		return WarnUnstamped
	case CommitMismatch:
		return WarnMismatch
	}
	return WarnAbsent
}

// readCaseFile reads a file of a case of at most limit bytes.
func readCaseFile(fsys fs.FS, name string, limit int64) ([]byte, error) {
	if !fs.ValidPath(name) {
		return nil, fmt.Errorf("%q is not a path inside a case", name)
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, errors.New(name + " is larger than any file of its kind")
	}
	return data, nil
}
