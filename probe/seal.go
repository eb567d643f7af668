package probe

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/stillmark/stillmark/probe/ledger"
)

// PlanPayload is the DSSE payload type of plan.dsse.json: the bytes of plan.json.
const PlanPayload = "application/vnd.stillmark.plan+json"

// The files beside plan.json.
const (
	planEnvelope = "plan.dsse.json"
	planStamp    = "plan.tsr"
)

// SealPlan makes the case folder dir, which must not exist, with the plan and
// all it refers to, and the signature over plan.json. stamp, if given, gets an
// RFC 3161 token for the SHA-256 of plan.json. From here on the plan cannot be
// changed without it showing.
func SealPlan(dir string, d *Draft, signer *ledger.Signer, stamp func(digest [32]byte) ([]byte, error)) (*ledger.Case, error) {
	plan, err := ledger.EncodePlan(d.Plan)
	if err != nil {
		return nil, fmt.Errorf("seal the plan: %w", err)
	}
	envelope, err := signer.SignDSSE(PlanPayload, plan)
	if err != nil {
		return nil, fmt.Errorf("seal the plan: %w", err)
	}
	files := append(slices.Clone(d.Files), ledger.File{Name: planEnvelope, Data: envelope})
	if stamp != nil {
		token, err := stamp(sha256.Sum256(plan))
		if err != nil {
			return nil, fmt.Errorf("timestamp the plan: %w", err)
		}
		files = append(files, ledger.File{Name: planStamp, Data: token})
	}
	if len(d.controls) == 0 && d.after == nil {
		return ledger.Create(dir, d.Plan, files...)
	}
	return createAround(dir, d, files)
}
