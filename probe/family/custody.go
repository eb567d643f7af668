package family

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"path"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark/registry"
)

// custody reports whether the log of a key registry, sealed with the plan, shows that
// text under a cohort's key went to that cohort alone: the key served, as no decoy, and
// was not disclosed before the target's last reply. A log that is missing, damaged or
// another than the plan says shows nothing. What a registry does not see, text that
// somebody passed on, it does not show either.
func (a *analysis) custody(f *ledger.Finding) bool {
	ref := a.ref(f.Key)
	if ref.Custody == "" {
		return false
	}
	data, err := readCaseFile(a.c.FS(), path.Join(CommitmentsDir, ref.Custody), maxCommitment)
	if err != nil {
		return false
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != ref.CustodySHA256 {
		return false
	}
	c, ok, err := registry.ReadCustody(bytes.NewReader(data), f.Key)
	if err != nil || !ok || c.Decoy || c.Served.IsZero() {
		return false
	}
	last := a.targets[f.Target].last
	return c.Disclosed.IsZero() || c.Disclosed.After(last)
}
