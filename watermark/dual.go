package watermark

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/stillmark/stillmark/watermark/evidence"
	"github.com/stillmark/stillmark/watermark/prf"
)

// dual is gumbel under two keys, as vLLM has it for speculative decoding: draft
// tokens are sampled under key A, recovered and bonus tokens under key B, and
// without speculation a step is B's with probability alpha. A token scores
//
//	(1-alpha)·Y_A + alpha·Y_B,  Y exponential with mean 1 under the null,
//
// whose tail is the exact convolution of two gammas. (The moment-matched gamma
// that vLLM reports overstates the evidence: at n = 100 it says 7.9e-7 for 1e-6
// and 2.2e-21 for 1e-20.)
type dual struct {
	a, b  *gumbel
	alpha float64
	role  Role
}

// Role says whose step the next token of a [Dual] scheme is.
type Role int

// The roles of speculative decoding.
const (
	// RoleMixed, the default, is decoding without speculation: a keyed coin of
	// the window gives the step to key B with probability alpha.
	RoleMixed  Role = iota
	RoleDraft       // a draft token: key A
	RoleTarget      // a recovered or bonus token: key B
)

// Dual is a Scheme under two keys.
type Dual interface {
	Scheme
	// SetRole says whose the steps are from now on.
	SetRole(r Role)
}

func newDual(s Spec, a, b prf.Source) *dual {
	conv := convention{width: s.Params.Window, first: s.Params.Window}
	return &dual{a: newGumbel(newCore(s, conv, a)), b: newGumbel(newCore(s, conv, b)), alpha: s.Params.Alpha}
}

// dualSources are the sources of keys A and B of a native subkey.
func dualSources(name string, subkey []byte) (a, b prf.Source) {
	if name == Philox {
		ka, kb := vllmDualKeys(binary.BigEndian.Uint64(subkey))
		return prf.NewPhilox(ka), prf.NewPhilox(kb)
	}
	return newSource(name, subkey[:32]), newSource(name, subkey[32:])
}

// vllmDualKeys derives vLLM's two keys from one: the first eight bytes of
// SHA-256 over a name and the key, all big-endian.
func vllmDualKeys(key uint64) (a, b uint64) {
	derive := func(name string) uint64 {
		d := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(name), key))
		return binary.BigEndian.Uint64(d[:])
	}
	return derive("key_a"), derive("key_b")
}

func (d *dual) Name() string      { return d.a.Name() }
func (d *dual) PRF() string       { return d.a.PRF() }
func (d *dual) Window() int       { return d.a.Window() }
func (d *dual) Spec() Spec        { return d.a.Spec() }
func (d *dual) SetRole(r Role)    { d.role = r }
func (d *dual) mixture() float64  { return d.alpha }
func (d *dual) Law() evidence.Law { return evidence.Exponential() }

// Format writes the scheme's name, whatever the verb.
func (d *dual) Format(s fmt.State, v rune) { d.a.Format(s, v) }

func (d *dual) WindowOf(history []int32) ([]int32, bool) { return d.a.WindowOf(history) }

func (d *dual) Score(window []int32, token int32) float64 {
	return (1-d.alpha)*d.a.Score(window, token) + d.alpha*d.b.Score(window, token)
}

// speaker is the key that the step after history is sampled under. The coin is
// the word of token -1, which no vocabulary has.
func (d *dual) speaker(history []int32) *gumbel {
	role := d.role
	if role == RoleMixed {
		role = RoleDraft
		if window, ok := d.a.WindowOf(history); ok && uniform(d.a.word(window, -1)) < d.alpha {
			role = RoleTarget
		}
	}
	if role == RoleTarget {
		return d.b
	}
	return d.a
}

func (d *dual) Process(history []int32, logits []float32) {
	d.speaker(history).Process(history, logits)
}

func (d *dual) ProcessCandidates(history, ids []int32, logits []float32) {
	d.speaker(history).ProcessCandidates(history, ids, logits)
}

func (d *dual) Clone() Scheme {
	return &dual{a: d.a.Clone().(*gumbel), b: d.b.Clone().(*gumbel), alpha: d.alpha, role: d.role}
}

// dualLog10E is the e-value of a sum of n dual scores: a mixture over s of
//
//	e^(s·T) · ((1-s(1-alpha))·(1-s·alpha))^n,
//
// each term a martingale of the first occurrences. The rates s are spread by
// factors of two below the pole, as small and large effects ask for.
func dualLog10E(n int64, alpha, score float64) float64 {
	pole := 1 / max(alpha, 1-alpha)
	const terms = 10
	var logs [terms]float64
	top := math.Inf(-1)
	for i := range logs {
		s := .9 * pole * math.Ldexp(1, -i)
		logs[i] = s*score + float64(n)*(math.Log1p(-s*(1-alpha))+math.Log1p(-s*alpha))
		top = max(top, logs[i])
	}
	var sum float64
	for _, l := range logs {
		sum += math.Exp(l - top)
	}
	return (top + math.Log(sum/terms)) * math.Log10E
}
