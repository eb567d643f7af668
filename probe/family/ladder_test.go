package family

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// cohortHit is a finding that meets every condition of the rung of cohorts.
func cohortHit(change func(*Evidence)) Evidence {
	e := Evidence{
		Test: "E1/k/nova", Family: Radioactivity, Key: "k", Tier: ledger.Exact, Verdict: ledger.VerdictDependence,
		Scope: ScopeCohort, Controlled: true, Custody: true, Power: ledger.PowerRow{Effect: .02, EffectUnit: "share of green tokens above the null rate"},
	}
	if change != nil {
		change(&e)
	}
	return e
}

func other(family string, tier ledger.Tier, verdict ledger.Verdict) Evidence {
	return Evidence{Test: family + "/nova", Family: family, Key: "c", Tier: tier, Verdict: verdict, Scope: ScopeCohort, Controlled: true, Power: ledger.PowerRow{Effect: .25, EffectUnit: effectE5}}
}

func TestClimb(t *testing.T) {
	t.Parallel()
	exact, ranked := ledger.Exact, ledger.Comparative
	public := func(v ledger.Verdict) Evidence {
		return cohortHit(func(e *Evidence) { e.Test, e.Key, e.Scope, e.Verdict = "E1/g/nova", "g", ScopeGlobal, v })
	}
	for _, tt := range []struct {
		name  string
		all   []Evidence
		rung  ledger.Rung
		tests string
		leads []ledger.Rung
		why   string // the codes
	}{
		{"nothing", []Evidence{other(KeyedChoice, exact, ledger.VerdictNone), other(SharedErrors, ranked, ledger.VerdictNoLead)}, "", "", nil, whyNothing},
		{"nothing was computed", []Evidence{cohortHit(func(e *Evidence) { e.Verdict = ledger.VerdictUnverified }), other(KeyedChoice, exact, ledger.VerdictWithheld)}, "", "", nil, whyUntold},
		{"weak", []Evidence{cohortHit(func(e *Evidence) { e.Verdict = ledger.VerdictWeak })}, "", "", nil, whyWeak},
		{"one run", []Evidence{cohortHit(func(e *Evidence) { e.Verdict = ledger.VerdictSingleRun })}, "", "", []ledger.Rung{ledger.RungCohort}, whySingleRun},
		{"one run of a public key", []Evidence{public(ledger.VerdictSingleRun)}, "", "", []ledger.Rung{ledger.RungAny}, whySingleRun + " " + whyScope},
		{"exploratory", []Evidence{cohortHit(func(e *Evidence) { e.Tier, e.Verdict = ledger.Exploratory, ledger.VerdictExploratory })}, "", "", []ledger.Rung{ledger.RungCohort}, whyExploratory},
		{"a verdict above its tier", []Evidence{cohortHit(func(e *Evidence) { e.Tier = ledger.Exploratory })}, "", "", []ledger.Rung{ledger.RungCohort}, whyExploratory},

		{"cohort", []Evidence{cohortHit(nil)}, ledger.RungCohort, "E1/k/nova", nil, whyForwardUntold + " " + whyPublicUntold + " " + whyWeights},
		{"cohort, the public key missed", []Evidence{cohortHit(nil), public(ledger.VerdictNone)}, ledger.RungCohort, "E1/k/nova", nil, whyForwardUntold + " " + whyPublicMiss + " " + whyWeights},
		{"cohort, the public key too", []Evidence{cohortHit(nil), public(ledger.VerdictDependence)}, ledger.RungCohort, "E1/k/nova", nil, whyForwardUntold + " " + whyPublicSignal + " " + whyWeights},
		{"an epoch's key", []Evidence{cohortHit(func(e *Evidence) { e.Scope = ScopeEpoch })}, ledger.RungAny, "E1/k/nova", nil, whyScope + " " + whyForwardUntold + " " + whyWeights},
		{"a control shows it", []Evidence{cohortHit(func(e *Evidence) { e.ControlHit = true })}, ledger.RungAny, "E1/k/nova", nil, whyControlHit + " " + whyForwardUntold + " " + whyWeights},
		{"no control", []Evidence{cohortHit(func(e *Evidence) { e.Controlled = false })}, ledger.RungAny, "E1/k/nova", nil, whyUncontrolled + " " + whyForwardUntold + " " + whyWeights},
		{"no custody log", []Evidence{cohortHit(func(e *Evidence) { e.Custody = false })}, ledger.RungAny, "E1/k/nova", nil, whyCustody + " " + whyForwardUntold + " " + whyWeights},

		{"forwards", []Evidence{other(NonceForwarding, exact, ledger.VerdictDependence)}, ledger.RungForwarding, "E5/nova", nil, ""},
		{"forwards, which explains the mark", []Evidence{cohortHit(nil), other(NonceForwarding, exact, ledger.VerdictDependence)}, ledger.RungForwarding, "E5/nova", nil, whyExplained},
		{"forwarding on one run", []Evidence{cohortHit(nil), other(NonceForwarding, exact, ledger.VerdictSingleRun)}, ledger.RungCohort, "E1/k/nova", []ledger.Rung{ledger.RungForwarding}, whySingleRun + " " + whyPublicUntold + " " + whyWeights},
		{"no trace of forwarding", []Evidence{cohortHit(nil), other(NonceForwarding, exact, ledger.VerdictNone)}, ledger.RungCohort, "E1/k/nova", nil, whyUnforwarded + " " + whyPublicUntold + " " + whyWeights},
		{"forwarding without a result", []Evidence{cohortHit(nil), other(NonceForwarding, exact, ledger.VerdictInsufficient)}, ledger.RungCohort, "E1/k/nova", nil, whyForwardOpen + " " + whyPublicUntold + " " + whyWeights},
		{"rotation as forwarding makes it", []Evidence{lifted(NoteForwarding)}, ledger.RungForwarding, "E6/nova", nil, ""},
		{"rotation as training makes it", []Evidence{lifted(NoteTraining)}, ledger.RungAny, "E6/nova", nil, whyLift + " " + whyWeights},
		{"rotation, own lift unknown", []Evidence{lifted("")}, ledger.RungAny, "E6/nova", nil, whyLift + " " + whyWeights},

		{"shared errors", []Evidence{other(SharedErrors, ranked, ledger.VerdictLead)}, "", "", []ledger.Rung{ledger.RungAny}, whyConvergence},
		{"identity", []Evidence{other(Identity, ranked, ledger.VerdictLead)}, "", "", []ledger.Rung{ledger.RungLabel}, whyLabel},
		{"tokenizer", []Evidence{other(TokenizerSlope, ranked, ledger.VerdictLead)}, "", "", []ledger.Rung{ledger.RungWeights}, whyTokenizer},
		{"wrapper", []Evidence{other(Wrapper, ranked, ledger.VerdictLead)}, "", "", []ledger.Rung{ledger.RungForwarding}, whyWrapper},
		{"too few controls", []Evidence{other(Wrapper, ranked, ledger.VerdictFewControls)}, "", "", nil, whyUntold},
		{"forwarding that a control shows, too", []Evidence{hit(other(NonceForwarding, exact, ledger.VerdictDependence))}, "", "", nil, whyForwardHit},
		{"the same on one run", []Evidence{hit(other(NonceForwarding, exact, ledger.VerdictSingleRun))}, "", "", nil, whyForwardHit},
		{"the same beside a mark", []Evidence{cohortHit(nil), hit(other(NonceForwarding, exact, ledger.VerdictDependence))}, ledger.RungCohort, "E1/k/nova", nil, whyForwardHit + " " + whyPublicUntold + " " + whyWeights},
		{"rotation that a control follows, too", []Evidence{hit(lifted(NoteForwarding))}, ledger.RungAny, "E6/nova", nil, whyForwardHit + " " + whyWeights},
		{"leads in their order", []Evidence{other(Identity, ranked, ledger.VerdictLead), other(Stylometry, ranked, ledger.VerdictLead), other(Wrapper, ranked, ledger.VerdictLead)}, "", "", []ledger.Rung{ledger.RungForwarding, ledger.RungAny, ledger.RungLabel}, whyLabel + " " + whyConvergence + " " + whyWrapper},
		{"a lead below what is reached", []Evidence{cohortHit(nil), other(SharedErrors, ranked, ledger.VerdictLead)}, ledger.RungCohort, "E1/k/nova", nil, whyConvergence + " " + whyForwardUntold + " " + whyPublicUntold + " " + whyWeights},
	} {
		s := Climb("nova", tt.all)
		var codes []string
		for _, r := range s.Why {
			codes = append(codes, r.Code)
		}
		if s.Rung != tt.rung || strings.Join(s.Tests, " ") != tt.tests || !slices.Equal(s.Leads, tt.leads) || strings.Join(codes, " ") != tt.why {
			t.Errorf("%s: rung %q by %q, leads %v, because of %q", tt.name, s.Rung, s.Tests, s.Leads, codes)
		}
		if !strings.Contains(s.Headline, "nova") || !strings.Contains(s.Headline, string(tt.rung)) || (tt.rung == "") != strings.Contains(s.Headline, "no rung is reached") {
			t.Errorf("%s: %s", tt.name, s.Headline)
		}
		for _, language := range Languages() {
			headline, why := must(BookOf(language)).Stand(&s)
			for _, sentence := range append(why, headline) {
				checkSentence(t, language, tt.name, sentence)
			}
		}
	}
}

func hit(e Evidence) Evidence {
	e.ControlHit = true
	return e
}

func lifted(lift Warning) Evidence {
	e := other(RotationLag, ledger.Exact, ledger.VerdictDependence)
	e.Lift = lift
	return e
}

// Findings that are alike are told in one sentence; what differs in its number is not.
func TestReasonsAreToldOnce(t *testing.T) {
	t.Parallel()
	one := other(SharedErrors, ledger.Comparative, ledger.VerdictLead)
	two := other(Stylometry, ledger.Comparative, ledger.VerdictLead)
	s := Climb("nova", []Evidence{one, two})
	if len(s.Why) != 1 || s.Why[0].Sentence != "C1/nova, C6/nova: a lead towards H_any; convergence or shared data (H_conv) would explain a rank among controls, too." {
		t.Errorf("%+v", s.Why)
	}
	miss := func(key string, effect float64) Evidence {
		return cohortHit(func(e *Evidence) {
			e.Test, e.Key, e.Scope, e.Verdict, e.Power.Effect = "E1/"+key, key, ScopeGlobal, ledger.VerdictNone, effect
		})
	}
	s = Climb("nova", []Evidence{cohortHit(nil), miss("g", .01), miss("h", .03)})
	if len(s.Why) != 4 || s.Why[1].Sentence != "Key g, whose text was not kept to one cohort, left no trace (E1/g); the smallest effect that the test had 90 % power for is 0.01 (share of green tokens above the null rate)." || s.Why[2].Effect != .03 {
		t.Errorf("%+v", s.Why)
	}
}

func TestScopeOf(t *testing.T) {
	t.Parallel()
	for want, specs := range map[Scope][]watermark.Spec{
		ScopeGlobal: {{}, {Epoch: "1"}},
		ScopeEpoch:  {{Epoch: "2026-11"}},
		ScopeCohort: {{Label: "a"}, {Label: "a", Epoch: "2026-11"}, {Account: "a17"}},
	} {
		for _, s := range specs {
			if got := ScopeOf(&s); got != want {
				t.Errorf("%+v: %s, want %s", s, got, want)
			}
		}
	}
}

// Two runs that meet the claim rule reach a rung; the same case with an earlier wording
// table has no ladder, and its hypothesis is worded as before.
func TestLadderOfACase(t *testing.T) {
	t.Parallel()
	k := newKey(t, watermark.Gumbel, 31)
	c := twoRuns(t, k, markedTexts(t, k, 1, 40), markedTexts(t, k, 2, 40), 8*24*time.Hour)
	f := analyze(t, c, k)
	if len(f.Ladder) != 1 || f.Ladder[0].Rung != ledger.RungAny || f.Ladder[0].Target != "rival" || f.Ladder[0].Tests[0] != f.Findings[0].Test {
		t.Fatalf("%+v", f.Ladder)
	}
	one := analyze(t, must(c.Earlier()), k)
	if len(one.Ladder) != 1 || one.Ladder[0].Rung != "" || !slices.Equal(one.Ladder[0].Leads, []ledger.Rung{ledger.RungAny}) {
		t.Errorf("the first run alone: %+v", one.Ladder)
	}

	s := newScenario(t, []string{"rival"}, neutral(10))
	s.plan.Wording = wordingName + "3"
	s.test(newKey(t, watermark.Gumbel, 31), ledger.ModeFixedN)
	s.commit(k, testTime.Add(-48*time.Hour))
	if old := analyze(t, s.build(), k); old.Ladder != nil || old.Findings[0].Hypothesis != rung {
		t.Errorf("an earlier case: %+v, %q", old.Ladder, old.Findings[0].Hypothesis)
	}
}

// The hypothesis that a finding states is that of its key's scope.
func TestReach(t *testing.T) {
	t.Parallel()
	for _, fam := range Families() {
		cohort, global := fam.Reach(ScopeCohort), fam.Reach(ScopeGlobal)
		if strings.Contains(cohort, " else ") != (fam.ID == RotationLag) || dependence(fam.ID) != strings.HasPrefix(cohort, "H_cohort") || dependence(fam.ID) && !strings.HasPrefix(global, "H_any") {
			t.Errorf("%s: %q for a cohort, %q for all", fam.ID, cohort, global)
		}
	}
}
