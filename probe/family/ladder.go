package family

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// The ladder of hypotheses: which rung the findings on a target reach. A rung is
// reached by evidence that meets the claim rule, on two runs, and by nothing less.
// Whatever else shows a signal is a lead towards a rung.

// Scope says whose text a key marks, by the labels that derived it.
type Scope string

// The scopes of a key.
const (
	ScopeGlobal Scope = "global" // all text of the model
	ScopeEpoch  Scope = "epoch"  // all text of a period
	ScopeCohort Scope = "cohort" // the text of one cohort, or account
)

// ScopeOf is the scope of a key's spec.
func ScopeOf(s *watermark.Spec) Scope {
	switch {
	case s.Label != "" || s.Account != "":
		return ScopeCohort
	case s.Epoch != "" && s.Epoch != "1":
		return ScopeEpoch
	}
	return ScopeGlobal
}

// scopeOf is the scope of a key that the plan names.
func scopeOf(p *ledger.Plan, id string) Scope {
	for i := range p.Keys {
		var s watermark.Spec
		if p.Keys[i].ID == id && json.Unmarshal(p.Keys[i].Spec, &s) == nil {
			return ScopeOf(&s)
		}
	}
	return ScopeGlobal
}

// Evidence is all that the ladder looks at of one finding.
type Evidence struct {
	Test, Family, Key string
	Tier              ledger.Tier
	Verdict           ledger.Verdict
	Scope             Scope   // of the key
	Controlled        bool    // a control was scored under the same key
	ControlHit        bool    // one of them shows a signal by itself, log10 p <= -2
	Custody           bool    // a log shows that what was served under the key went to its cohort alone
	Pooled            bool    // over several models that answered under the target's name
	Lift              Warning // of E6: NoteForwarding and so on
	Power             ledger.PowerRow
}

// The codes of reasons.
const (
	whyNothing       = "nothing"
	whyUntold        = "no-result"
	whyForwardHit    = "forwarding-control-hit"
	whyRehearsal     = "rehearsal"
	whyWeak          = "weak"
	whySingleRun     = "single-run"
	whyExploratory   = "exploratory"
	whyConvergence   = "convergence"
	whyLabel         = "label"
	whyTokenizer     = "tokenizer"
	whyWrapper       = "wrapper"
	whyPooled        = "pooled"
	whyScope         = "no-cohort-key"
	whyControlHit    = "control-hit"
	whyUncontrolled  = "no-control"
	whyCustody       = "no-custody-log"
	whyLift          = "lift"
	whyUnforwarded   = "no-forwarding"
	whyForwardOpen   = "forwarding-open"
	whyForwardUntold = "forwarding-untested"
	whyWeights       = "weights"
	whyExplained     = "forwarding-explains"
	whyPublicMiss    = "public-miss"
	whyPublicSignal  = "public-signal"
	whyPublicUntold  = "public-untested"
)

var whyText = map[string]string{
	whyUntold:        "No test gave a result that could support a rung ({tests}).",
	whyForwardHit:    "Not H_fwd: a control also shows key {key} at log10 p <= -2 ({tests}), so something else than forwarding by this target may explain it.",
	whyNothing:       "No test shows more than chance would at the level that was fixed beforehand.",
	whyRehearsal:     "A rehearsal supports no rung.",
	whyWeak:          "{tests}: a weak signal supports no rung.",
	whySingleRun:     "{tests}: a lead towards {rung}, on one run; a rung takes two, at least seven days apart.",
	whyExploratory:   "{tests}: a lead towards {rung}, not under the conditions of exact evidence.",
	whyConvergence:   "{tests}: a lead towards {rung}; convergence or shared data (H_conv) would explain a rank among controls, too.",
	whyLabel:         "{tests}: what a model says of its identity is a lead towards H_label and no higher.",
	whyTokenizer:     "{tests}: a lead towards H_wt; a tokenizer may be taken over without the weights.",
	whyWrapper:       "{tests}: a lead towards H_fwd; our weights (H_wt) or kindred training would lead to replies like those of our endpoint, too.",
	whyPooled:        "{tests}: over the replies of several models that answered under this name; it holds of some of them, not of each.",
	whyScope:         "Not H_cohort: key {key} is not that of a cohort, so {tests} cannot say to whom the text had been served.",
	whyControlHit:    "Not H_cohort: a control also shows key {key} at log10 p <= -2 ({tests}).",
	whyUncontrolled:  "Not H_cohort: no control was scored under key {key} ({tests}).",
	whyCustody:       "Not H_cohort: no custody log in the case shows that text under key {key} went to its cohort alone ({tests}).",
	whyLift:          "Not H_fwd: the lift of {tests} is not known to be half of our own service's or more, as forwarding makes it.",
	whyUnforwarded:   "Not H_fwd: {tests} found no trace of forwarding; the smallest effect that it had 90 % power for is {effect} ({unit}).",
	whyForwardOpen:   "Not H_fwd: {tests} gave no result that could say so.",
	whyForwardUntold: "Not H_fwd: forwarding was not tested, the plan has neither E5 nor E6.",
	whyWeights:       "Not H_wt: no test tells the use of our weights from training on what they wrote; a comparison may only lead there.",
	whyExplained:     "{tests}: forwarding would explain this dependence, too, so training is not shown beside it.",
	whyPublicMiss:    "Key {key}, whose text was not kept to one cohort, left no trace ({tests}); the smallest effect that the test had 90 % power for is {effect} ({unit}).",
	whyPublicSignal:  "Key {key}, whose text was not kept to one cohort, shows a signal as well ({tests}): text from the public may have come in beside.",
	whyPublicUntold:  "No key whose text was not kept to one cohort was tested beside, so nothing is said of text from the public.",
}

// rungText says what a rung is. None of them says how a text was obtained.
var rungText = map[ledger.Rung]string{
	ledger.RungForwarding:  "H_fwd (requests to it reach our own service)",
	ledger.RungWeights:     "H_wt (it uses our weights)",
	ledger.RungCohort:      "H_cohort (trained on, or otherwise dependent on, outputs that were served to one cohort)",
	ledger.RungAny:         "H_any (trained on, or otherwise dependent on, some outputs of ours, the public web included)",
	ledger.RungConvergence: "H_conv (convergence or shared data)",
	ledger.RungLabel:       "H_label (identity text or a system prompt)",
}

// The headlines of a standing.
const (
	ladderReached     = "Ladder of hypotheses, {target}: the rung reached is {rung}."
	ladderReachedLead = "Ladder of hypotheses, {target}: the rung reached is {rung}; there is a lead towards {leads}."
	ladderLead        = "Ladder of hypotheses, {target}: no rung is reached; there is a lead towards {leads}."
	ladderNone        = "Ladder of hypotheses, {target}: no rung is reached."
)

// rungs in their order.
var rungs = []ledger.Rung{
	ledger.RungForwarding, ledger.RungWeights, ledger.RungCohort, ledger.RungAny, ledger.RungConvergence, ledger.RungLabel,
}

func higher(a, b ledger.Rung) int { return cmp.Compare(slices.Index(rungs, a), slices.Index(rungs, b)) }

// dependence reports whether a family says that replies depend on text under a key.
func dependence(family string) bool {
	return slices.Contains([]string{Radioactivity, ReadingMode, KeyedChoice, TriggerCanaries}, family)
}

// tellsForwarding reports whether a family can tell that requests reach our service.
func tellsForwarding(family string) bool { return family == NonceForwarding || family == RotationLag }

// rung is what a finding reaches if it meets the claim rule, else leads to, and the
// code of why it is no higher one of its kind. Nonces that came in for a control, too, say
// nothing of the rival.
func (e *Evidence) rung() (ledger.Rung, string) {
	switch e.Family {
	case NonceForwarding:
		if e.ControlHit {
			return "", whyForwardHit
		}
		return ledger.RungForwarding, ""
	case RotationLag:
		switch {
		case e.ControlHit:
			return ledger.RungAny, whyForwardHit
		case e.Lift == NoteForwarding:
			return ledger.RungForwarding, ""
		}
		return ledger.RungAny, whyLift
	case Identity:
		return ledger.RungLabel, whyLabel
	case TokenizerSlope:
		return ledger.RungWeights, whyTokenizer
	case Wrapper:
		return ledger.RungForwarding, whyWrapper
	}
	switch {
	case e.Tier == ledger.Comparative:
		return ledger.RungAny, whyConvergence
	case e.Scope != ScopeCohort:
		return ledger.RungAny, whyScope
	case e.ControlHit:
		return ledger.RungAny, whyControlHit
	case !e.Controlled:
		return ledger.RungAny, whyUncontrolled
	case !e.Custody:
		return ledger.RungAny, whyCustody
	}
	return ledger.RungCohort, ""
}

// Climb says which rung the findings on one target reach, and why no higher one. It is
// a pure function.
func Climb(target string, all []Evidence) ledger.Standing {
	c := climb{Standing: ledger.Standing{Target: target, Tests: []string{}, Leads: []ledger.Rung{}, Why: []ledger.Reason{}}}
	for i := range all {
		if rung, _ := all[i].rung(); all[i].meets() && rung != "" && (c.Rung == "" || higher(rung, c.Rung) < 0) {
			c.Rung = rung
		}
	}
	for i := range all {
		c.weigh(&all[i])
	}
	for i := range all {
		if _, leads := all[i].leads(); leads && all[i].Pooled {
			c.why(whyPooled, &all[i], "")
		}
	}
	if c.Rung != "" {
		c.forwarding(all)
	}
	if c.Rung == ledger.RungCohort {
		c.public(all)
	}
	if c.Rung != "" && higher(ledger.RungWeights, c.Rung) < 0 {
		c.why(whyWeights, nil, "")
	}
	slices.SortFunc(c.Leads, higher)
	if c.Rung == "" && len(c.Why) == 0 {
		c.nothing(all)
	}
	var sentences []string
	c.Headline, sentences = new(Book).Stand(&c.Standing)
	for i := range c.Why {
		c.Why[i].Sentence = sentences[i]
	}
	return c.Standing
}

// nothing says that no finding shows anything, or that none could have.
func (c *climb) nothing(all []Evidence) {
	for i := range all {
		if v := all[i].Verdict; v == ledger.VerdictNone || v == ledger.VerdictNoLead {
			c.why(whyNothing, nil, "")
			return
		}
	}
	for i := range all {
		c.why(whyUntold, &all[i], "")
	}
}

// meets reports whether a finding meets the claim rule.
func (e *Evidence) meets() bool {
	return e.Tier == ledger.Exact && e.Verdict == ledger.VerdictDependence
}

// leads reports whether a finding is a lead, and why it is no more.
func (e *Evidence) leads() (string, bool) {
	switch {
	case e.Tier == ledger.Comparative:
		return "", e.Verdict == ledger.VerdictLead
	case e.Verdict == ledger.VerdictSingleRun:
		return whySingleRun, true
	case e.Verdict == ledger.VerdictExploratory, e.Verdict == ledger.VerdictDependence:
		return whyExploratory, true
	}
	return "", false
}

type climb struct{ ledger.Standing }

// why adds a reason, the tests of an equal one together.
func (c *climb) why(code string, e *Evidence, rung ledger.Rung) *ledger.Reason {
	r := ledger.Reason{Code: code, Rung: rung}
	if e != nil && strings.Contains(whyText[code], "{key}") {
		r.Key = e.Key
	}
	i := slices.IndexFunc(c.Why, func(x ledger.Reason) bool {
		return x.Code == r.Code && x.Key == r.Key && x.Rung == r.Rung && x.Effect == 0
	})
	if i < 0 {
		i = len(c.Why)
		c.Why = append(c.Why, r)
	}
	if e != nil {
		c.Why[i].Tests = append(c.Why[i].Tests, e.Test)
	}
	return &c.Why[i]
}

// weigh enters one finding: what it reaches or leads to, and why no more.
func (c *climb) weigh(e *Evidence) {
	rung, below := e.rung()
	lead, leads := e.leads()
	switch {
	case rung == "" && (e.meets() || leads):
		c.why(below, e, "")
	case e.meets() && rung == c.Rung:
		c.Tests = append(c.Tests, e.Test)
		if below != "" {
			c.why(below, e, "")
		}
	case e.meets() && c.Rung == ledger.RungForwarding:
		c.why(whyExplained, e, "")
	case e.meets(): // a lower rung than another finding reaches
	case leads && e.Tier == ledger.Comparative:
		c.lead(rung)
		if below == whyConvergence {
			c.why(below, e, rung)
		} else {
			c.why(below, e, "")
		}
	case leads:
		c.lead(rung)
		c.why(lead, e, rung)
		if below != "" && c.Rung == "" {
			c.why(below, e, "")
		}
	case e.Verdict == ledger.VerdictRehearsal:
		c.why(whyRehearsal, nil, "")
	case e.Verdict == ledger.VerdictWeak:
		c.why(whyWeak, e, "")
	}
}

// lead enters a rung that a finding leads to, if it is higher than what is reached.
func (c *climb) lead(rung ledger.Rung) {
	if (c.Rung == "" || higher(rung, c.Rung) < 0) && !slices.Contains(c.Leads, rung) {
		c.Leads = append(c.Leads, rung)
	}
}

// forwarding says why the rung is not that of forwarding.
func (c *climb) forwarding(all []Evidence) {
	if c.Rung == ledger.RungForwarding {
		return
	}
	tested := false
	for i := range all {
		e := &all[i]
		if !tellsForwarding(e.Family) {
			continue
		}
		tested = true
		switch {
		case e.meets():
		case e.Verdict == ledger.VerdictNone && e.Power.Effect > 0:
			c.measured(whyUnforwarded, e)
		default:
			if _, leads := e.leads(); !leads && e.Verdict != ledger.VerdictWeak {
				c.why(whyForwardOpen, e, "")
			}
		}
	}
	if !tested {
		c.why(whyForwardUntold, nil, "")
	}
}

// public says what the keys showed whose text was not kept to one cohort.
func (c *climb) public(all []Evidence) {
	tested := false
	for i := range all {
		e := &all[i]
		if !dependence(e.Family) || e.Scope == ScopeCohort {
			continue
		}
		_, leads := e.leads()
		switch {
		case e.Verdict == ledger.VerdictNone && e.Power.Effect > 0:
			tested = true
			c.measured(whyPublicMiss, e)
		case e.meets() || leads || e.Verdict == ledger.VerdictWeak:
			tested = true
			c.why(whyPublicSignal, e, "")
		}
	}
	if !tested {
		c.why(whyPublicUntold, nil, "")
	}
}

// measured adds a reason that states the power of a test by itself.
func (c *climb) measured(code string, e *Evidence) {
	r := ledger.Reason{Code: code, Tests: []string{e.Test}, Effect: e.Power.Effect, Unit: e.Power.EffectUnit}
	if strings.Contains(whyText[code], "{key}") {
		r.Key = e.Key
	}
	c.Why = append(c.Why, r)
}

// Stand words a standing in the book's language: one headline, and a sentence for each
// reason.
func (b *Book) Stand(s *ledger.Standing) (headline string, why []string) {
	headline = ladderNone
	switch {
	case s.Rung != "" && len(s.Leads) > 0:
		headline = ladderReachedLead
	case s.Rung != "":
		headline = ladderReached
	case len(s.Leads) > 0:
		headline = ladderLead
	}
	var leads []string
	for _, r := range s.Leads {
		leads = append(leads, b.phrase(rungText[r]))
	}
	headline = b.fill(headline, "{target}", s.Target, "{rung}", b.phrase(rungText[s.Rung]), "{leads}", strings.Join(leads, ", "))
	for i := range s.Why {
		r := &s.Why[i]
		why = append(why, b.fill(whyText[r.Code], "{tests}", strings.Join(r.Tests, ", "), "{key}", r.Key, "{rung}", string(r.Rung),
			"{effect}", b.significant(r.Effect), "{unit}", b.Phrase(r.Unit, nil)))
	}
	return headline, why
}

// What a positive reaches at most, by the scope of its key.
const (
	reachCohort = "H_cohort: trained on, or otherwise dependent on, replies of ours that were served to one cohort"
	reachCanary = "H_any: trained on, or otherwise dependent on, replies of ours that followed this key"
)

// Reach says what a positive of the family reaches at most under a key of a scope.
func (f *Family) Reach(s Scope) string {
	switch {
	case !dependence(f.ID):
		return f.Rung
	case s == ScopeCohort:
		return reachCohort
	case f.Key == CanaryKey:
		return reachCanary
	}
	return f.Rung
}

// hypothesis is what a positive of a test reaches at most.
func (a *analysis) hypothesis(fam *Family, t *ledger.Test) string {
	if wordingOf(a.plan) < wordingLadder {
		return fam.Rung
	}
	return fam.Reach(scopeOf(a.plan, t.Key))
}

// ladder places every rival.
func (a *analysis) ladder() []ledger.Standing {
	if wordingOf(a.plan) < wordingLadder {
		return nil
	}
	var out []ledger.Standing
	for i := range a.plan.Targets {
		t := &a.plan.Targets[i]
		var all []Evidence
		for j := range a.results {
			if f := &a.results[j]; f.Target == t.Name {
				all = append(all, a.evidence(j))
			}
		}
		if t.Role == ledger.Rival && len(all) > 0 {
			out = append(out, Climb(t.Name, all))
		}
	}
	return out
}

// evidence is what the ladder looks at of finding i.
func (a *analysis) evidence(i int) Evidence {
	f := &a.results[i]
	e := Evidence{
		Test: f.Test, Family: f.Family, Key: f.Key, Tier: f.Tier, Verdict: f.Verdict,
		Scope: scopeOf(a.plan, f.Key), Power: f.Power, Pooled: f.Epochs > 1,
	}
	e.Controlled, e.ControlHit = a.controls(f)
	e.Custody = e.Scope == ScopeCohort && a.custody(f)
	for _, w := range a.own[i] {
		if w == NoteForwarding || w == NoteTraining || w == NoteBetween {
			e.Lift = w
		}
	}
	return e
}
