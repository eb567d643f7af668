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
		ledger.VerdictLead, ledger.VerdictNoLead, ledger.VerdictFewControls, ledger.VerdictRehearsal,
	}
	allTiers = []ledger.Tier{ledger.Exact, ledger.Exploratory, ledger.Comparative, ""}

	// What no sentence may say, whatever the numbers are.
	forbidden = map[string]*regexp.Regexp{
		"en": regexp.MustCompile(`(?i)prove[sd]?\b|theft|thief|steal|stole|guilt|innocen|confidence|certain(ly|ty)\b|copied|infring|illegal|% (of it )?(was )?distilled|accus`),
		"fr": regexp.MustCompile(`(?i)prouv|(^|[ ’(])preuve|(^|[ ’(])vol(s|é|ée|és|ées|er)?[ .,;]|voleu|dérob|coupable|culpab|innocen|(degré|niveau|intervalle) de confiance|certitude|certainement|copié|plagi|contrefa[çi]|enfrein|illégal|illicite|distillé|accus|démontr`),
	}
	// A bare probability in place of its logarithm.
	bareP = regexp.MustCompile(`\bp\s*[<=>]+\s*[0-9.,]+e?-?|[0-9]e-[0-9]`)
)

// The sentences of every verdict at every tier of every family with every warning,
// in every language: none claims more than its finding. Most are said again and
// again, so that each is looked at once.
func TestEverySentence(t *testing.T) {
	t.Parallel()
	deep, zero, inf := -123.456, 0.0, math.Inf(-1)
	numbers := []*float64{nil, &deep, &zero, &inf}
	families := []string{}
	for _, fam := range Families() {
		families = append(families, fam.ID)
	}
	codes := make([]Warning, 0, len(warningText))
	for code := range warningText {
		codes = append(codes, code)
	}
	for _, language := range Languages() {
		book := must(BookOf(language))
		looked := map[string]bool{}
		for _, id := range families {
			for _, verdict := range append(allVerdicts, "unheard-of") {
				for _, tier := range allTiers {
					for i, holm := range numbers {
						f := someFinding(id, verdict, tier, holm)
						if i == 0 {
							f.Decoys, f.Withheld = nil, "our request logs hold 12 of the nonces from before they were sent"
						}
						f.Warnings = warn(codes, f)
						st := book.Say(f, -6)
						if len(st.NotShown) == 0 {
							t.Errorf("%s at tier %q does not say what it does not show", verdict, tier)
						}
						if len(st.Warnings) != len(codes) {
							t.Errorf("%s: %d of %d warnings", language, len(st.Warnings), len(codes))
						}
						for _, s := range slices.Concat([]string{st.Headline, st.Meaning}, st.NotShown, st.Warnings) {
							if !looked[s] {
								looked[s] = true
								checkSentence(t, language, string(verdict)+" at tier "+string(tier), s)
							}
						}
					}
				}
			}
		}
		charge := map[string]string{"en": "10 keys, of which the plan tests 2 on this target: 0.70 is added", "fr": "10 clés, dont le plan teste 2 sur cette cible\u00a0: 0,70 est ajouté"}[language]
		named := false
		for s := range looked {
			named = named || strings.Contains(s, charge)
		}
		if !named {
			t.Errorf("%s: the charge is not named: %q", language, charge)
		}
	}
}

// someFinding is a finding with every number that a sentence can hold.
func someFinding(family string, verdict ledger.Verdict, tier ledger.Tier, holm *float64) *ledger.Finding {
	ratio := 12.5
	return &ledger.Finding{
		Family: family, Comparison: &ledger.Comparison{Rank: 1, Of: 21, Log10P: -1.32, LikelihoodRatio: &ratio, Cap: 21},
		Verdict: verdict, Tier: tier, HolmLog10P: holm, M: 12, N: 8412,
		Target: "acme-nova", Key: "k-3f2a", PRF: "philox-v1",
		Decoys:    &ledger.DecoyFinding{N: 999, RankP: 0.001},
		Committed: &ledger.CommitmentCheck{Leaves: 10, Declared: 2, SelectionLog10: .699},
		Power:     ledger.PowerRow{Effect: 0.0123, EffectUnit: "share of green tokens above the null rate"},
	}
}

// english are words that no sentence of another language has.
var english = regexp.MustCompile(`(?i)(^| )(the|of|and|was|were|with|that|which|not|this|by|from)( |$)`)

func checkSentence(t *testing.T, language, where, s string) {
	t.Helper()
	if hit := forbidden[language].FindString(s); hit != "" {
		t.Errorf("%s says %q: %s", where, hit, s)
	}
	if hit := bareP.FindString(strings.ReplaceAll(s, "log10 p", "")); hit != "" {
		t.Errorf("%s prints a bare probability %q: %s", where, hit, s)
	}
	if !strings.HasSuffix(s, ".") || strings.ContainsAny(s, "{}") || strings.Contains(s, "..") || strings.Contains(s, "  ") {
		t.Errorf("%s has a broken sentence: %q", where, s)
	}
	if strings.Contains(s, "NaN") || strings.Contains(s, "Inf") {
		t.Errorf("%s prints no number: %q", where, s)
	}
	if language == English {
		return
	}
	if hit := english.FindString(s); hit != "" {
		t.Errorf("%s in %s has the English word %q: %s", where, language, hit, s)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
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
		"a rehearsal":       {change(func(c *Claim) { c.Rehearsal = true; c.Runs = 2 }), ledger.VerdictRehearsal},
		"withheld of one":   {change(func(c *Claim) { c.Rehearsal, c.KeyGiven = true, false }), ledger.VerdictUnverified},
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
