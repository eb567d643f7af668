package family

import (
	"math"

	"github.com/stillmark/stillmark/probe/ledger"
)

// The thresholds of the claim rule, in log10.
const (
	// Log10Accusation is the family-wise level that exact evidence must meet on
	// every run. A plan may ask for more, never for less.
	Log10Accusation = -6
	// Log10Weak is where a corrected p-value is worth a word: one audit in a
	// hundred gets there by chance, so the word is "weak".
	Log10Weak = -2
)

// Gate is the outcome of the decoy keys.
type Gate int

// The outcomes of the gate.
const (
	GateUnchecked Gate = iota // no decoys were scored, or others than the plan fixed
	GatePassed
	GateFailed
)

// The thresholds of the decoy gate, which a plan seals; they are those that
// evidence.JudgeDecoys applies.
const (
	// GateKSLevel is the level of the uniformity test.
	GateKSLevel = 1e-3
	// gateSigmas: four standard errors of a spread, one false alarm in 16,000.
	gateSigmas = 4
)

// GateTolerance is how far the spread of n decoys' scores may be from the null's.
func GateTolerance(n int) float64 {
	if n < 2 {
		return 0
	}
	return gateSigmas / math.Sqrt(2*float64(n-1))
}

// Claim is all that the claim rule looks at.
type Claim struct {
	Tier       ledger.Tier
	Primary    bool
	KeyGiven   bool    // false: the key was withheld from the analysis
	Powered    bool    // some effect would have been found with power .9
	Gate       Gate    // of the decoys
	Open       bool    // a fixed-n test with missing replies whose end the plan did not fix: a look at its p may have come first
	Rehearsal  bool    // the plan's set of suites is never to be used for a verdict
	Log10P     float64 // after Holm; of min(1, 1/e) where the plan says e-process
	Log10Alpha float64 // family-wise level of the plan
	Runs       int     // that met the threshold, each at least seven days after the one before
}

// Judge applies the claim rule. One run is never enough for
// [ledger.VerdictDependence], whatever its number: the rule asks for a second
// one at least seven days later that scores only what the first did not.
func Judge(c Claim) ledger.Verdict {
	threshold := math.Min(c.Log10Alpha, Log10Accusation)
	switch {
	case !c.KeyGiven:
		return ledger.VerdictUnverified
	case !c.Powered:
		return ledger.VerdictInsufficient
	case c.Rehearsal:
		return ledger.VerdictRehearsal
	case c.Gate == GateFailed:
		return ledger.VerdictWithheld
	case c.Log10P > Log10Weak || math.IsNaN(c.Log10P):
		return ledger.VerdictNone
	case c.Log10P > threshold:
		return ledger.VerdictWeak
	case c.Tier != ledger.Exact || !c.Primary || c.Open || c.Gate != GatePassed:
		return ledger.VerdictExploratory
	case c.Runs >= 2:
		return ledger.VerdictDependence
	}
	return ledger.VerdictSingleRun
}
