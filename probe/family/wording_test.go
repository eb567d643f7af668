package family

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/probe/ledger"
)

var (
	allVerdicts = []ledger.Verdict{
		ledger.VerdictDependence, ledger.VerdictSingleRun, ledger.VerdictExploratory, ledger.VerdictWeak,
		ledger.VerdictNone, ledger.VerdictWithheld, ledger.VerdictInsufficient, ledger.VerdictUnverified,
		ledger.VerdictLead, ledger.VerdictNoLead, ledger.VerdictFewControls,
	}
	allTiers = []ledger.Tier{ledger.Exact, ledger.Exploratory, ledger.Comparative, ""}

	// What no sentence may say, whatever the numbers are.
	forbidden = regexp.MustCompile(`(?i)prove[sd]?\b|theft|thief|steal|stole|guilt|innocen|confidence|certain(ly|ty)\b|copied|infring|illegal|% (of it )?(was )?distilled|accus`)
	// A bare probability in place of its logarithm.
	bareP = regexp.MustCompile(`\bp\s*[<=>]+\s*[0-9.]+e?-?|[0-9]e-[0-9]`)
)

func TestEverySentence(t *testing.T) {
	t.Parallel()
	deep, zero, inf := -123.456, 0.0, math.Inf(-1)
	for _, fam := range Families() {
		sayEverything(t, fam.ID, []*float64{nil, &deep, &zero, &inf})
	}
}

// sayEverything checks every sentence that a family's findings can lead to.
func sayEverything(t *testing.T, family string, numbers []*float64) {
	t.Helper()
	ratio := 12.5
	for _, verdict := range allVerdicts {
		for _, tier := range allTiers {
			for _, holm := range numbers {
				f := &ledger.Finding{
					Family: family, Comparison: &ledger.Comparison{Rank: 1, Of: 21, Log10P: -1.32, LikelihoodRatio: &ratio, Cap: 21},
					Verdict: verdict, Tier: tier, HolmLog10P: holm, M: 12, N: 8412,
					Target: "acme-nova", Key: "k-3f2a", PRF: "philox-v1",
					Decoys:    &ledger.DecoyFinding{N: 999, RankP: 0.001},
					Committed: &ledger.CommitmentCheck{Leaves: 10, Declared: 2, SelectionLog10: .699},
					Power:     ledger.PowerRow{Effect: 0.0123, EffectUnit: "green rate above the null"},
				}
				codes := make([]Warning, 0, len(warningText))
				for code := range warningText {
					codes = append(codes, code)
				}
				f.Warnings = warn(codes, f)
				if !slices.ContainsFunc(f.Warnings, func(s string) bool {
					return strings.Contains(s, "10 keys, of which the plan tests 2 on this target: 0.70 is added")
				}) {
					t.Errorf("the charge is not named: %q", f.Warnings)
				}
				st := Say(f, -6)
				sentences := append([]string{st.Headline, st.Meaning}, st.NotShown...)
				sentences = append(sentences, st.Warnings...)
				if len(st.NotShown) == 0 {
					t.Errorf("%s at tier %q does not say what it does not show", verdict, tier)
				}
				for _, s := range sentences {
					if hit := forbidden.FindString(s); hit != "" {
						t.Errorf("%s at tier %q says %q: %s", verdict, tier, hit, s)
					}
					if hit := bareP.FindString(strings.ReplaceAll(s, "log10 p", "")); hit != "" {
						t.Errorf("%s at tier %q prints a bare probability %q: %s", verdict, tier, hit, s)
					}
					if !strings.HasSuffix(s, ".") || strings.ContainsAny(s, "{}") || strings.Contains(s, "..") || strings.Contains(s, "  ") {
						t.Errorf("%s at tier %q has a broken sentence: %q", verdict, tier, s)
					}
					if strings.Contains(s, "NaN") || strings.Contains(s, "Inf") {
						t.Errorf("%s at tier %q prints no number: %q", verdict, tier, s)
					}
				}
			}
		}
	}
}

// A verdict that is only defined at the exact tier must not keep its words at
// another.
func TestStrongWordsNeedTheExactTier(t *testing.T) {
	t.Parallel()
	p := -40.0
	for _, verdict := range []ledger.Verdict{ledger.VerdictDependence, ledger.VerdictSingleRun} {
		for _, tier := range allTiers {
			st := Say(&ledger.Finding{Verdict: verdict, Tier: tier, HolmLog10P: &p, Target: "t", Key: "k"}, -6)
			strong := strings.Contains(st.Headline, "once in 10^40 audits")
			if strong != (tier == ledger.Exact) {
				t.Errorf("%s at tier %q: %s", verdict, tier, st.Headline)
			}
		}
	}
}

func TestWordingNamesTheNumbers(t *testing.T) {
	t.Parallel()
	p := -12.97
	single := &ledger.Finding{Verdict: ledger.VerdictSingleRun, Tier: ledger.Exact, HolmLog10P: &p, Target: "nova", Key: "K1"}
	want := "no more than once in 10^12 audits if the replies were statistically independent of that key"
	if got := Say(single, -6).Headline; !strings.Contains(got, want) {
		t.Errorf("the exponent must be rounded in the target's favour: %s", got)
	}
	p = -0.30
	none := &ledger.Finding{
		Verdict: ledger.VerdictNone, Tier: ledger.Exact, HolmLog10P: &p, Target: "nova", Key: "K1", M: 3,
		Power: ledger.PowerRow{Effect: 0.0179, EffectUnit: "green rate above the null"},
	}
	st := Say(none, -6)
	if !strings.Contains(st.Meaning, "90 % power for is 0.0179 (green rate above the null)") {
		t.Errorf("no-trace must state its power: %s", st.Meaning)
	}
	if !strings.Contains(st.Meaning, "clears nobody") {
		t.Errorf("no-trace must not clear the target: %s", st.Meaning)
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	strong := Claim{
		Tier: ledger.Exact, Primary: true, KeyGiven: true, Powered: true, Gate: GatePassed,
		Log10P: -40, Log10Alpha: -6, Runs: 1,
	}
	change := func(f func(*Claim)) Claim { c := strong; f(&c); return c }
	for name, tc := range map[string]struct {
		claim Claim
		want  ledger.Verdict
	}{
		"one run":           {strong, ledger.VerdictSingleRun},
		"one run, -Inf":     {change(func(c *Claim) { c.Log10P = math.Inf(-1) }), ledger.VerdictSingleRun},
		"two runs":          {change(func(c *Claim) { c.Runs = 2 }), ledger.VerdictDependence},
		"exploratory":       {change(func(c *Claim) { c.Tier = ledger.Exploratory; c.Runs = 2 }), ledger.VerdictExploratory},
		"secondary":         {change(func(c *Claim) { c.Primary = false; c.Runs = 2 }), ledger.VerdictExploratory},
		"stopped by hand":   {change(func(c *Claim) { c.Open = true; c.Runs = 2 }), ledger.VerdictExploratory},
		"no decoys":         {change(func(c *Claim) { c.Gate = GateUnchecked; c.Runs = 2 }), ledger.VerdictExploratory},
		"gate failed":       {change(func(c *Claim) { c.Gate = GateFailed; c.Runs = 2 }), ledger.VerdictWithheld},
		"key withheld":      {change(func(c *Claim) { c.KeyGiven = false }), ledger.VerdictUnverified},
		"nothing to score":  {change(func(c *Claim) { c.Powered = false }), ledger.VerdictInsufficient},
		"at the threshold":  {change(func(c *Claim) { c.Log10P = -6 }), ledger.VerdictSingleRun},
		"just above":        {change(func(c *Claim) { c.Log10P = -5.999 }), ledger.VerdictWeak},
		"at the weak line":  {change(func(c *Claim) { c.Log10P = -2 }), ledger.VerdictWeak},
		"nothing":           {change(func(c *Claim) { c.Log10P = -1.99 }), ledger.VerdictNone},
		"not a number":      {change(func(c *Claim) { c.Log10P = math.NaN() }), ledger.VerdictNone},
		"a lax plan":        {change(func(c *Claim) { c.Log10Alpha = -3; c.Log10P = -4 }), ledger.VerdictWeak},
		"a stricter plan":   {change(func(c *Claim) { c.Log10Alpha = -9; c.Log10P = -8 }), ledger.VerdictWeak},
		"comparative, deep": {change(func(c *Claim) { c.Tier = ledger.Comparative; c.Runs = 9 }), ledger.VerdictExploratory},
	} {
		if got := Judge(tc.claim); got != tc.want {
			t.Errorf("%s: got %s, want %s", name, got, tc.want)
		}
	}
}
