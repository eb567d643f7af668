package family

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/stillmark/stillmark/corpora/canary"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// What the families that draw from a canary key (E3 to E6) have in common.

// canarySecret is the secret that a test's key gives for a use.
func canarySecret(in *Input, use string) ([]byte, error) {
	secret, err := in.Key.CanarySecret(use)
	if err != nil {
		return nil, fmt.Errorf("test %s: %w", in.Test.ID, err)
	}
	return secret, nil
}

// decoySecret is the i-th secret that was never used for anything, drawn as the
// keys' own are: 32 bytes, here SHA-256("stillmark decoy secret" || 0x00 || use ||
// 0x00 || seed || i), i as four bytes, the highest first.
func decoySecret(seed [32]byte, use string, i int) []byte {
	message := append([]byte("stillmark decoy secret\x00"+use+"\x00"), seed[:]...)
	sum := sha256.Sum256(binary.BigEndian.AppendUint32(message, uint32(i)))
	return sum[:]
}

// drawVersion is the part of the version of a prompt's suite that enters its draws.
func (in *Input) drawVersion(p *ledger.Prompt) string {
	return canary.Version(version(in.plan, p.Suite))
}

// canaryFinding is what the findings of all canary keys say alike.
func canaryFinding(in *Input) ledger.Finding {
	return ledger.Finding{
		Scheme: watermark.Canary, PRF: watermark.HMAC, Weights: watermark.WeightsNone,
		Power: ledger.PowerRow{Test: in.Test.ID, Log10Alpha: in.Log10Alpha},
	}
}

// settle enters a result: nothing analytic where the gate fails, else p or e as the
// plan says.
func settle(in *Input, f ledger.Finding, tail evidence.Tail, log10E float64) *Output {
	if f.Withheld != "" || f.Decoys != nil && !f.Decoys.Pass {
		return &Output{Finding: f}
	}
	f.Log10E = number(log10E)
	if in.Test.Mode == ledger.ModeAnytime {
		return &Output{Finding: f, Log10P: math.Min(0, -log10E)}
	}
	f.Log10P, f.Log10PMethod = number(tail.Log10P), tail.Method
	return &Output{Finding: f, Log10P: tail.Log10P}
}

// part is a named share of the data as a description.
func part(name string, n int64, i evidence.Interval) ledger.Part {
	return ledger.Part{Name: name, N: n, Effect: i.Value, Lo: i.Lo, Hi: i.Hi}
}

// join adds the figures of both runs, each unit once, as one test.
func (o *Output) join(n int64, score, mean, sd, log10P float64) {
	j := &ledger.Joint{N: n, Score: score, Mean: mean, SD: sd}
	if o.Finding.Log10P != nil {
		j.Log10P = number(log10P)
	}
	o.Finding.Joint, o.Joined = j, true
}
