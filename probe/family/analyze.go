package family

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// FindingsFormat is the version of findings.json that this program writes.
const FindingsFormat = 1

// Options of an analysis. The zero value does what the plan says.
type Options struct {
	// Progress is told how far the analysis is, from several goroutines but one
	// call at a time.
	Progress func(Progress)
	// Decoys overrides the planned number of decoy keys; the difference is
	// listed as a deviation. Nil means as planned.
	Decoys *int
	// Tokenizer opens the tokenizers of the keys; nil means the built-in ones.
	Tokenizer OpenTokenizer
	// Skip leaves out tests, as if their key was not given: what they read is not there.
	Skip func(*ledger.Test) bool

	units int // see Input
}

// Progress says which test is being computed, and how far one of its steps is. A step
// begins with 0 done.
type Progress struct {
	Test         string
	Index, Tests int    // its place among the tests, from 1, in the order in which they are computed
	Step         string // what is counted: [StepDecoys] and so on
	Done, Of     int
}

// The steps of a test that take time.
const (
	StepDecoys    = "decoys"
	StepReplies   = "replies"
	StepIntervals = "intervals" // by language and category
)

// Analyze runs every test that the case's plan declares, on the replies that its
// ledger holds, under the given keys. It is a pure function of (ledger, keys,
// plan): the same input gives the same findings, byte for byte.
//
// It holds the plan, and 16 bytes of a reply, 48 more and an id where a judge reads it. E1's units go to a temporary file where a
// target has more than two million distinct ones ([watermark.Spill]).
//
// A test whose key is not given gets [ledger.VerdictUnverified]. Errors: a
// ledger or segment that is damaged, a key that is not what the plan says, a
// tokenizer that cannot be had, ctx cancelled.
func Analyze(ctx context.Context, c *ledger.Case, keys []*watermark.Key, opt Options) (*ledger.Findings, error) {
	a := &analysis{c: c, plan: c.Plan(), keys: keys, opt: opt, readers: readers{open: opt.Tokenizer}}
	if err := a.load(); err != nil {
		return nil, fmt.Errorf("analyse %s: %w", c.Plan().CaseID, err)
	}
	if err := a.computeEarlier(ctx); err != nil {
		return nil, fmt.Errorf("analyse %s: %w", c.Plan().CaseID, err)
	}
	if err := a.compute(ctx); err != nil {
		return nil, fmt.Errorf("analyse %s: %w", c.Plan().CaseID, err)
	}
	a.judge()
	return a.findings()
}

// InputError is about a key or a tokenizer that does not fit the case: the
// caller gave the wrong one.
type InputError struct{ Err error }

// Error is the sentence of the cause.
func (e *InputError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *InputError) Unwrap() error { return e.Err }

// ExitCode is that of wrong usage.
func (e *InputError) ExitCode() int { return 2 }

// Encode returns findings.json: indented, with a trailing newline, stable.
func Encode(f *ledger.Findings) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(f); err != nil {
		return nil, fmt.Errorf("encode the findings: %w", err)
	}
	return b.Bytes(), nil
}

type analysis struct {
	c       *ledger.Case
	plan    *ledger.Plan
	keys    []*watermark.Key
	opt     Options
	readers readers

	targets map[string]*gathered
	order   []*gathered
	history *history
	seed    [32]byte // of the decoys
	other   [32]byte // of everything else that is random
	decoys  int
	head    ledger.Head

	said *labels // by the judge; nil where no test reads them

	earlier *analysis // of the first run, judged; nil where the plan names none

	results []ledger.Finding
	joined  []bool      // the test was joined with the first run
	own     [][]Warning // of each test's family
	log10P  []float64   // of each test, as it enters Holm
	given   []bool      // the key was there, or none is needed
	begun   int         // tests that report their progress
}

func (a *analysis) load() error {
	var err error
	if a.order, a.history, a.head, err = gather(a.c, a.reading()); err != nil {
		return err
	}
	a.targets = map[string]*gathered{}
	for _, g := range a.order {
		a.targets[g.target.Name] = g
	}
	a.decoys = a.plan.Decoys.N
	if a.opt.Decoys != nil {
		a.decoys = *a.opt.Decoys
	}
	if a.decoys > 0 {
		if a.seed, err = decoySeed(a.c); err != nil {
			return err
		}
	}
	a.other = sha256.Sum256([]byte("stillmark analysis " + a.c.PlanSHA256()))
	if err := a.loadEarlier(); err != nil {
		return err
	}
	n := len(a.plan.Tests)
	a.joined = make([]bool, n)
	a.results, a.own = make([]ledger.Finding, n), make([][]Warning, n)
	a.log10P, a.given = make([]float64, n), make([]bool, n)
	return nil
}

// loadEarlier prepares the analysis of the first run under the same keys.
func (a *analysis) loadEarlier() error {
	c, err := a.c.Earlier()
	if err != nil || c == nil {
		return err
	}
	opt := a.opt
	opt.Progress, opt.Decoys = nil, nil
	a.earlier = &analysis{c: c, plan: c.Plan(), keys: a.keys, opt: opt, readers: readers{open: opt.Tokenizer}}
	if err := a.earlier.load(); err != nil {
		return fmt.Errorf("first run, case %s: %w", c.Plan().CaseID, err)
	}
	return nil
}

// computeEarlier judges the first run by itself.
func (a *analysis) computeEarlier(ctx context.Context) error {
	if a.earlier == nil {
		return nil
	}
	if err := a.earlier.compute(ctx); err != nil {
		return fmt.Errorf("first run, case %s: %w", a.earlier.plan.CaseID, err)
	}
	a.earlier.judge()
	return nil
}

// compute runs the declared tests: those of one family on one target together, and of
// the comparative tier all of a family, so that a family can read the replies once.
func (a *analysis) compute(ctx context.Context) error {
	done := make([]bool, len(a.plan.Tests))
	for i := range a.plan.Tests {
		if done[i] {
			continue
		}
		t := &a.plan.Tests[i]
		fam, ok := ByID(t.Family)
		if !ok {
			return fmt.Errorf("test %s: this program does not know family %q", t.ID, t.Family)
		}
		var together []int
		for j := i; j < len(a.plan.Tests); j++ {
			if u := &a.plan.Tests[j]; u.Family == t.Family && (u.Target == t.Target || fam.Tier == ledger.Comparative) {
				together = append(together, j)
				done[j] = true
			}
		}
		if err := a.tests(ctx, &fam, together); err != nil {
			return err
		}
	}
	return nil
}

// tests computes the tests with these numbers, which are of one family.
func (a *analysis) tests(ctx context.Context, fam *Family, numbers []int) error {
	var ins []*Input
	var computed []int
	for _, i := range numbers {
		in, err := a.prepare(fam, i)
		if err != nil {
			return err
		}
		if err := a.addLabels(ctx, in); err != nil {
			return err
		}
		if in != nil {
			ins, computed = append(ins, in), append(computed, i)
		}
	}
	if len(ins) == 0 {
		return nil
	}
	outs, err := fam.run(ctx, ins)
	if err != nil {
		return err
	}
	for k, i := range computed {
		if said := ins[k].judge; said != nil {
			if err := said.describe(ins[k], outs[k]); err != nil {
				return err
			}
		}
		a.enter(fam, i, outs[k])
	}
	return nil
}

// addLabels gives a test that reads them what the judge said.
func (a *analysis) addLabels(ctx context.Context, in *Input) error {
	if in == nil {
		return nil
	}
	by, err := ByJudge(in.Test)
	if err != nil || !by {
		return err
	}
	if a.said == nil {
		if a.said, err = a.readLabels(ctx); err != nil {
			return fmt.Errorf("test %s: %w", in.Test.ID, err)
		}
	}
	in.judge = a.said
	return nil
}

// prepare fills in what identifies a test's finding and returns what its family
// looks at: nil where the key is withheld.
func (a *analysis) prepare(fam *Family, i int) (*Input, error) {
	t := &a.plan.Tests[i]
	g := a.targets[t.Target]
	a.results[i] = ledger.Finding{
		Test: t.ID, Family: t.Family, Target: t.Target, Role: g.target.Role, Key: t.Key,
		Tier: ledger.Exploratory, Primary: t.Primary, Mode: t.Mode, Hypothesis: a.hypothesis(fam, t), Null: t.Null,
		Weights: t.Weights, Curve: []ledger.CurvePoint{}, Power: ledger.PowerRow{Test: t.ID}, M: a.m(t),
	}
	if wordingOf(a.plan) >= wordingLadder && !comparative(t) {
		a.results[i].Beside, a.results[i].Text = primaries(a.plan, true), TextOf(t)
	}
	if a.opt.Skip != nil && a.opt.Skip(t) {
		return nil, nil
	}
	in := a.input(i)
	if fam.Tier == ledger.Comparative {
		a.results[i].Tier = ledger.Comparative
	}
	if fam.Key == NoKey {
		a.given[i] = true
		return in, nil
	}
	key, err := findKey(a.plan, t.Key, a.keys)
	if err != nil || key == nil {
		return nil, err
	}
	if !fam.Key.Fits(key.Scheme) {
		return nil, fmt.Errorf("test %s: family %s needs a %s key, and key %s is of scheme %s", t.ID, fam.ID, fam.Key, key.ID, key.Scheme)
	}
	if in.others, err = a.others(fam, t); err != nil || in.others == nil {
		return nil, err
	}
	committed, err := checkCommitment(a.c, a.ref(t.Key), key, fam, t, g.first)
	if err != nil {
		return nil, err
	}
	if committed.Lists == ListCommitted && !a.listedBefore(i) {
		committed.Lists = ListOther
	}
	in.listed = committed.Lists == ListCommitted
	if in.listed && fam.Whole && g.accounting.Missing > 0 && g.lacks(a.plan, t) {
		committed.Lists = ListPartial
	}
	if exact(fam, committed) && t.Primary && !key.Published() && g.target.Imported == nil {
		a.results[i].Tier = ledger.Exact
	} else {
		committed.SelectionLog10 = 0 // charged at the exact tier only
	}
	a.results[i].Committed = committed
	a.given[i] = true
	in.Key = key
	in.Log10Alpha -= committed.SelectionLog10
	if first := a.earlier; first != nil {
		in.earlier = first.input(i) // plans that repeat each other have the same tests
		in.earlier.Key, in.earlier.others = key, in.others
		in.earlier.readers = in.readers // and so the replies of both are tokenised alike
	}
	return in, nil
}

// listedBefore reports whether the first run, if there is one, asked what was listed for it: it
// takes its items from the second, so that whoever chose those chose these.
func (a *analysis) listedBefore(i int) bool {
	if a.earlier == nil {
		return true
	}
	c := a.earlier.results[i].Committed
	return c != nil && (c.Lists == ListCommitted || c.Lists == ListPartial)
}

// input is what a test looks at, without its key.
func (a *analysis) input(i int) *Input {
	t := &a.plan.Tests[i]
	step := a.progress(i)
	return &Input{
		Test: t, Target: a.targets[t.Target].target, Log10Alpha: Log10Level(a.plan, t),
		Decoys: a.decoys, DecoySeed: a.seed, Files: a.c.FS(), Progress: func(done int) { step(StepDecoys, done, a.decoys) }, step: step,
		plan: a.plan, store: a.c, targets: a.targets, seed: a.other, readers: &a.readers, units: a.opt.units,
	}
}

// others are the further keys that a test needs: nil where one of them is withheld.
func (a *analysis) others(fam *Family, t *ledger.Test) (map[string]*watermark.Key, error) {
	found := map[string]*watermark.Key{}
	if fam.others == nil {
		return found, nil
	}
	ids, err := fam.others(t)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		key, err := findKey(a.plan, id, a.keys)
		if err != nil || key == nil {
			return nil, err
		}
		found[id] = key
	}
	return found, nil
}

// enter takes over what a family says.
func (a *analysis) enter(fam *Family, i int, out *Output) {
	id, f := a.results[i], out.Finding
	f.Test, f.Family, f.Target, f.Role, f.Key = id.Test, id.Family, id.Target, id.Role, id.Key
	f.Tier, f.Primary, f.Mode, f.Hypothesis, f.Null = id.Tier, id.Primary, id.Mode, id.Hypothesis, id.Null
	f.M, f.Committed = id.M, id.Committed
	if f.Weights == "" {
		f.Weights = id.Weights
	}
	if f.Curve == nil {
		f.Curve = id.Curve
	}
	f.Power.Test = id.Test
	if n := len(a.targets[f.Target].epochs); n > 1 {
		f.Epochs = n
	}
	f.Beside, f.Text = id.Beside, id.Text
	a.results[i], a.log10P[i], a.own[i], a.joined[i] = f, math.Min(0, out.Log10P), out.Warnings, out.Joined
}

// reading reports how many of the planned replies were read.
func (a *analysis) reading() func(done, of int) {
	report := a.opt.Progress
	if report == nil {
		return func(int, int) {}
	}
	return func(done, of int) {
		report(Progress{Tests: len(a.plan.Tests), Step: StepReplies, Done: done, Of: of})
	}
}

// progress reports on the steps of test i; it does nothing where nobody listens.
func (a *analysis) progress(i int) func(step string, done, of int) {
	report := a.opt.Progress
	if report == nil {
		return func(string, int, int) {}
	}
	var mu sync.Mutex
	a.begun++
	p := Progress{Test: a.plan.Tests[i].ID, Index: a.begun, Tests: len(a.plan.Tests)}
	return func(step string, done, of int) {
		mu.Lock()
		defer mu.Unlock()
		if p.Step != step {
			p.Step, p.Done, p.Of = step, 0, of
			report(p)
		}
		p.Done = done
		report(p)
	}
}

// m is the number of tests that a test is corrected for: the primary ones of its
// tier. The comparative tier stands apart, since it carries no error rate.
func (a *analysis) m(t *ledger.Test) int { return sharing(a.plan, comparative(t)) }

// comparative reports whether a test can only be of the comparative tier.
func comparative(t *ledger.Test) bool {
	fam, ok := ByID(t.Family)
	return ok && fam.Tier == ledger.Comparative
}

func (a *analysis) log10Alpha() float64 { return math.Log10(a.plan.Alpha) }

func (a *analysis) ref(id string) *ledger.KeyRef {
	for i := range a.plan.Keys {
		if a.plan.Keys[i].ID == id {
			return &a.plan.Keys[i]
		}
	}
	return &ledger.KeyRef{ID: id}
}

// judge corrects for the number of declared primary tests, rivals and controls
// alike, after the charge for keys that were committed to and not declared, and
// applies the claim rule. A test without a result (key withheld,
// nothing to score, gate failed) enters with p = 1: it may have been smaller, and
// then the others' corrected values would be smaller too, so this errs in the
// target's favour.
//
// Secondary tests stand outside: each is held to Bonferroni's share of all
// declared tests by itself.
func (a *analysis) judge() {
	a.correct(false)
	a.correct(true)
	for i := range a.results {
		f := &a.results[i]
		if f.Tier == ledger.Comparative {
			if f.Verdict = JudgeComparison(f.Comparison); f.Verdict == ledger.VerdictLead && !f.Primary {
				f.Verdict = ledger.VerdictExploratory // a lead rests on what was declared as the test
			}
			if a.plan.Rehearsal && f.Verdict != ledger.VerdictInsufficient {
				f.Verdict = ledger.VerdictRehearsal
			}
			f.Warnings = warn(a.warnings(i), f)
			f.NotShown = Say(f, a.log10Alpha()).NotShown
			continue
		}
		claim := Claim{
			Tier: f.Tier, Primary: f.Primary, KeyGiven: a.given[i], Powered: f.Power.Effect > 0,
			Log10Alpha: a.log10Alpha(), Runs: 1, Gate: a.gate(f), Open: a.open(i), Rehearsal: a.plan.Rehearsal,
		}
		if f.HolmLog10P != nil {
			claim.Log10P = *f.HolmLog10P
		} else if !f.Primary {
			claim.Log10P = math.Min(0, a.log10P[i]+math.Log10(float64(a.declared())))
		}
		f.Verdict = Judge(claim)
		a.join(i, claim)
		f.Warnings = warn(a.warnings(i), f)
		f.NotShown = Say(f, a.log10Alpha()).NotShown
	}
}

// correct applies Holm's correction to the primary tests of the comparative tier,
// or to those of the others.
func (a *analysis) correct(compared bool) {
	var primary []int
	var log10P []float64
	for i := range a.results {
		if a.results[i].Primary && comparative(&a.plan.Tests[i]) == compared {
			primary = append(primary, i)
			log10P = append(log10P, math.Min(0, a.log10P[i]+selection(&a.results[i])))
		}
	}
	corrected := evidence.Holm(log10P)
	for k, i := range primary {
		if f := &a.results[i]; f.Log10P != nil || f.Log10E != nil {
			f.HolmLog10P = number(corrected[k])
		}
	}
}

// declared counts the tests outside the comparative tier.
func (a *analysis) declared() int {
	n := 0
	for i := range a.plan.Tests {
		if !comparative(&a.plan.Tests[i]) {
			n++
		}
	}
	return n
}

// gate is the outcome of a finding's decoys: passed where the law of its family
// needs none, failed where the family's own check did.
func (a *analysis) gate(f *ledger.Finding) Gate {
	if f.Withheld != "" {
		return GateFailed
	}
	if fam, ok := ByID(f.Family); ok && fam.Lawful != "" && f.Decoys == nil {
		return GatePassed
	}
	return GateOf(a.plan, f.Decoys)
}

// selection is what a finding's log10 p is charged for the keys that were
// committed to and not declared.
func selection(f *ledger.Finding) float64 {
	if f.Committed == nil || f.Tier != ledger.Exact {
		return 0
	}
	return f.Committed.SelectionLog10
}

// open reports whether somebody could have looked at a fixed-n test's result and
// then decided whether to go on: replies are missing, and anything but one single
// session up to a cap that the plan fixed is on record. A second session means
// that the first was ended or gone on with by choice; when time is up, or which
// items are given up, can be steered from outside, and either invites one more
// try after a look. What other tests read is no business of this one, except under the
// rules of earlier plans.
func (a *analysis) open(i int) bool {
	f, g := &a.results[i], a.targets[a.results[i].Target]
	if f.Mode != ledger.ModeFixedN || g.accounting.Missing == 0 {
		return false
	}
	if a.plan.Rules >= ledger.RulesListed && !g.lacks(a.plan, &a.plan.Tests[i]) {
		return false
	}
	if f.Family == RotationLag && f.Committed != nil && f.Committed.Lists != "" {
		return true // which slots are missing is up to the plan's order and caps
	}
	return !a.history.fixedEnd(a.plan)
}

// fixedEnd reports whether collection was one session that a cap on requests,
// tokens or cost ended, as the plan says. A session that sent nothing, such as one
// that met the same cap again, changes nothing. A record without the name of its cap is
// of an earlier version of the program: it counts unless time may have been it.
func (h *history) fixedEnd(p *ledger.Plan) bool {
	if !h.collected || h.asking > 1 || h.stop.Reason != StopCap {
		return false
	}
	switch h.stop.Cap {
	case CapRequests:
		return p.Caps.MaxRequests > 0
	case CapTokens:
		return p.Caps.MaxTokens > 0
	case CapCost:
		return p.Caps.MaxCost > 0
	case "":
		return p.Caps.MaxTime == 0
	}
	return false
}

// GateOf is the outcome of the gate that a plan sealed, from a finding's decoys
// (nil: none). Passing another one, with a number of decoys or a tolerance chosen
// later, is no pass.
func GateOf(p *ledger.Plan, d *ledger.DecoyFinding) Gate {
	switch {
	case d == nil:
		return GateUnchecked
	case !d.Pass:
		return GateFailed
	case !asPlanned(p.Decoys, d):
		return GateUnchecked
	}
	return GatePassed
}

// asPlanned reports whether decoys were judged by the plan's own gate.
func asPlanned(sealed ledger.DecoyPlan, d *ledger.DecoyFinding) bool {
	if sealed.SDTolerance == 0 { // a plan of an earlier version
		sealed.SDTolerance, sealed.KSLevel = GateTolerance(sealed.N), GateKSLevel
	}
	return d.N == sealed.N && d.N >= ledger.MinDecoys && d.Tolerance == sealed.SDTolerance && sealed.KSLevel == GateKSLevel
}

// imported reports whether a finding rests on replies that were gathered
// elsewhere: its target's, or those of a target that it is compared with.
func (a *analysis) imported(f *ledger.Finding) bool {
	for _, g := range a.order {
		if g.target.Imported != nil && (g.target.Name == f.Target || f.Tier == ledger.Comparative) {
			return true
		}
	}
	return false
}

// warnings lists what limits a finding.
func (a *analysis) warnings(i int) []Warning {
	f := &a.results[i]
	var w []Warning
	add := func(on bool, code Warning) {
		if on {
			w = append(w, code)
		}
	}
	add(a.plan.Demo, WarnDemo)
	add(a.plan.Rehearsal, WarnRehearsal)
	add(a.imported(f), WarnImported)
	if !a.given[i] {
		return w
	}
	g := a.targets[f.Target]
	if f.Tier == ledger.Comparative {
		add(f.Comparison != nil && f.Comparison.Vendors < minVendors, WarnVendors)
		add(g.drift > 0, WarnDrift)
		add(f.Epochs > 1, WarnEpochs)
		return append(w, a.own[i]...)
	}
	control, hit := a.controls(f)
	gate := a.gate(f)
	if f.Primary {
		w = append(w, commitmentWarning(f.Committed.State))
		add(f.Committed.ServingSource == ledger.ServingDeclared, WarnServingDeclared)
		listed := listWarning(f.Family, f.Committed.Lists)
		add(listed != "", listed)
	}
	add(selection(f) > 0, WarnSelection)
	add(a.published(f.Key), WarnPublished)
	add(!f.Primary, WarnSecondary)
	add(f.PRF != watermark.AESCTR && f.PRF != watermark.HMAC, WarnPRF)
	add(f.Decoys == nil && f.N > 0 && gate != GatePassed, WarnNoDecoys)
	add(f.Decoys != nil && f.Decoys.Pass && gate == GateUnchecked, WarnDecoysPlan)
	add(gate == GateFailed && f.Withheld == "", WarnGate)
	add(f.Withheld != "", WarnWithheld)
	add(f.Decoys != nil && a.plan.Stop.OnEvidence, WarnRankStopped)
	add(a.open(i), WarnOpen)
	add(f.Role == ledger.Rival && !control && !solo(f), WarnNoControl)
	add(f.Role == ledger.Rival && hit, WarnControlHit)
	add(g.reasoning > 0 && f.Family == Radioactivity && !a.readsReasoning(f.Target), WarnReasoning)
	add(g.drift > 0, WarnDrift)
	add(f.Epochs > 1, WarnEpochs)
	switch f.Verdict {
	case ledger.VerdictDependence, ledger.VerdictSingleRun, ledger.VerdictExploratory, ledger.VerdictWeak:
		add(!a.plan.Demo, WarnSearch)
	}
	return append(w, a.own[i]...)
}

// solo reports whether a finding's family has its comparison inside the test.
func solo(f *ledger.Finding) bool {
	fam, _ := ByID(f.Family)
	return fam.Solo
}

// readsReasoning reports whether a declared test reads the reasoning text of a
// target.
func (a *analysis) readsReasoning(target string) bool {
	for i := range a.plan.Tests {
		t := &a.plan.Tests[i]
		if t.Family != Radioactivity || t.Target != target {
			continue
		}
		if o, err := e1Options(t); err == nil && o.Part == PartReasoning {
			return true
		}
	}
	return false
}

// published reports whether the given key of an id is printed in public code:
// anyone could have made the mark, whenever it was committed to.
func (a *analysis) published(id string) bool {
	for _, k := range a.keys {
		if k.ID == id {
			return k.Published()
		}
	}
	return false
}

// controls reports whether a control was scored under the finding's key, and
// whether one of them shows a signal by itself (log10 p <= -2, uncorrected).
func (a *analysis) controls(f *ledger.Finding) (scored, hit bool) {
	for i := range a.results {
		c := &a.results[i]
		if c.Role != ledger.Control || c.Key != f.Key || c.Family != f.Family || c.N == 0 {
			continue
		}
		scored = true
		hit = hit || a.log10P[i] <= Log10Weak
	}
	return scored, hit
}

func (a *analysis) findings() (*ledger.Findings, error) {
	if wordingOf(a.plan) >= wordingLadder {
		for i := range a.results {
			unmeasured(&a.results[i])
		}
	}
	f := &ledger.Findings{
		Format: FindingsFormat, CaseID: a.plan.CaseID, PlanSHA256: a.c.PlanSHA256(),
		LedgerHead: a.head.Hash, Events: a.head.Events, Findings: a.results, Ladder: a.ladder(), Deviations: a.deviations(),
	}
	if f.Findings == nil {
		f.Findings = []ledger.Finding{}
	}
	for _, g := range a.order {
		f.Accounting = append(f.Accounting, g.accounting)
	}
	return f, nil
}

// unmeasured makes effects that nothing was measured of what they are: no numbers.
func unmeasured(f *ledger.Finding) {
	if f.N == 0 {
		f.Effect, f.EffectLo, f.EffectHi = math.NaN(), math.NaN(), math.NaN()
	}
	if !(f.Power.Effect > 0) {
		f.Power.Effect = math.NaN()
	}
}

// findKey is the given key of an id, or nil. One whose public part is not what
// the plan says is an error: the plan was made for another key.
func findKey(p *ledger.Plan, id string, keys []*watermark.Key) (*watermark.Key, error) {
	for _, k := range keys {
		if k == nil || k.ID != id {
			continue
		}
		for i := range p.Keys {
			if p.Keys[i].ID != id {
				continue
			}
			var planned watermark.Spec
			if err := json.Unmarshal(p.Keys[i].Spec, &planned); err != nil {
				return nil, fmt.Errorf("the plan's spec of key %s: %w", id, err)
			}
			given, err := json.Marshal(k.Spec)
			if err != nil {
				return nil, fmt.Errorf("key %s: %w", id, err)
			}
			again, err := json.Marshal(planned)
			if err != nil {
				return nil, fmt.Errorf("the plan's spec of key %s: %w", id, err)
			}
			if !bytes.Equal(given, again) {
				return nil, &InputError{fmt.Errorf("key %s is not the key of the plan: its spec differs", id)}
			}
		}
		return k, nil
	}
	return nil, nil
}

// DecoySeedFile is where a case keeps the seed of its decoy keys.
const DecoySeedFile = "decoys.json"

// DecoySeed is that file.
type DecoySeed struct {
	Format int    `json:"format"`
	Seed   string `json:"seed"` // 64 hex digits
}

// decoySeed reads the seed and checks it against the plan's commitment: the
// SHA-256 of its 32 bytes.
func decoySeed(c *ledger.Case) ([32]byte, error) {
	var seed [32]byte
	data, err := readCaseFile(c.FS(), DecoySeedFile, maxCommitment)
	if err != nil {
		return seed, fmt.Errorf("read the decoys' seed: %w", err)
	}
	var file DecoySeed
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		return seed, fmt.Errorf("read the decoys' seed: %w", err)
	}
	raw, err := hex.DecodeString(file.Seed)
	if err != nil || len(raw) != len(seed) || file.Format != 1 {
		return seed, errors.New("read the decoys' seed: it is not 64 hex digits of format 1")
	}
	copy(seed[:], raw)
	sum := sha256.Sum256(seed[:])
	if hex.EncodeToString(sum[:]) != c.Plan().Decoys.SeedCommitment {
		return seed, errors.New("the decoys' seed is not the one that the plan commits to")
	}
	return seed, nil
}
