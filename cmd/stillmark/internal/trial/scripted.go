package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/gonum/stat"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/probe"
	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/endpoint/mock/persona"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// Scripted is one audit of several scripted rivals (package persona) whose planted
// transfer is known: by the comparative families among scripted controls, or by E3 to
// E6 with a service of ours that plants. It is a function of its seed and number, but for
// E6, which follows the clock.
type Scripted struct {
	stateID
	Results []ScriptedResult `json:"results"`
}

// ScriptedResult is what one test says of one rival.
type ScriptedResult struct {
	Family   string         `json:"family"`
	Kind     string         `json:"kind"`
	Rate     int            `json:"rate_percent"` // the planted transfer
	N        int64          `json:"n"`            // units
	Of       int            `json:"of,omitempty"` // sources that are ranked
	Log10P   float64        `json:"log10_p"`
	Found    bool           `json:"found"`              // first of all, or at the test's level
	Withheld bool           `json:"withheld,omitempty"` // the p-value, by the decoy gate
	Effect   float64        `json:"effect"`
	Needed   float64        `json:"effect_at_power_9"`       // as the plan promised it
	Power    float64        `json:"planned_power,omitempty"` // at the planted rate, where the plan can say it
	Pilot    []float64      `json:"controls,omitempty"`      // their values less their mean, where the rival is innocent
	Verdict  ledger.Verdict `json:"verdict"`
}

// QuickWorlds and QuickCanaries are what CI has time for; the others what a release needs.
const (
	ScriptedWorlds = 20
	CanaryAudits   = 20
	QuickWorlds    = 1
	QuickCanaries  = 1

	scriptedControls = ledger.MinControls
	student          = "student"
)

// TransferRates are the shares of items on which a scripted student answers as its
// teacher does, in percent.
var TransferRates = []int{20, 50, 100}

// scriptedInnocents vary what an innocent is like. None has met our model. The first
// stands in every world, the others take turns.
var scriptedInnocents = []string{"like the controls", "claims to be ours", "stronger, shares our right answers", "from templates", "answers in French"}

// scriptedSuites are what the comparative families read in a world, and how much of it.
var scriptedSuites = []struct {
	name       string
	n, samples int
}{
	{"trap-choice", 100, 1},
	{"random-choice", 12, 10},
	{"identity", 36, 2},
	{"refusal-ladder", 80, 1},
	{"reasoning-puzzle", 50, 1},
	{"style", 40, 1},
	{"tokenizer-units", 0, 1},
	{"protocol", 12, 5},
}

// makers are vendors that do not exist.
var makers = strings.Fields("Alder Birch Cedar Dogwood Elder Fir Ginkgo Hazel Ivy Juniper")

// cast is the models of a world by the names of their targets.
type cast struct {
	targets []ledger.Target
	models  map[string]*persona.Model
	kinds   map[string]ScriptedResult // of rivals: kind and rate
}

func (c *cast) add(role ledger.Role, m *persona.Model) {
	c.targets = append(c.targets, ledger.Target{Name: m.Name, Role: role, Vendor: m.Vendor, Model: m.Name})
	c.models[m.Name] = m
}

// newCast makes our model, two other teachers, controls of five schools, two innocents and
// the students of all rates. Controls and rivals are drawn alike.
func newCast(seed uint64, number int) *cast {
	c := &cast{models: map[string]*persona.Model{}, kinds: map[string]ScriptedResult{}}
	w := persona.NewWorld(seed)
	us := w.Model(persona.Traits{Name: "ours", Vendor: "Stillwater", School: "s0", Ability: .6})
	c.add(ledger.Ours, us)
	for i, ability := range []float64{.6, .7} {
		c.add(ledger.Teacher, w.Model(persona.Traits{Name: fmt.Sprintf("teacher-%d", i), Vendor: fmt.Sprintf("Teacher %d", i), School: fmt.Sprintf("s%d", 1+i), Ability: ability}))
	}
	for i := range scriptedControls {
		c.add(ledger.Control, w.Model(persona.Traits{
			Name: fmt.Sprintf("control-%02d", i), Vendor: makers[i%len(makers)], School: fmt.Sprintf("s%d", i%5), Ability: .45 + .4*float64(i%7)/6,
		}))
	}
	rival := func(kind string, rate int, change func(*persona.Traits)) {
		n := uint64(len(c.kinds)) + seed%35
		t := persona.Traits{
			Name: fmt.Sprintf("rival-%d", len(c.kinds)), Vendor: "Rowan", School: fmt.Sprintf("s%d", n%5), Ability: .45 + .4*float64(n%7)/6,
			Transfer: float64(rate) / 100, Teacher: us,
		}
		if change != nil {
			change(&t)
		}
		c.add(ledger.Rival, w.Model(t))
		c.kinds[t.Name] = ScriptedResult{Kind: kind, Rate: rate}
	}
	rival(scriptedInnocents[0], 0, nil)
	other := number % (len(scriptedInnocents) - 1)
	rival(scriptedInnocents[1+other], 0, []func(*persona.Traits){
		func(t *persona.Traits) { t.Impostor, t.ImpostorVendor = .9, us.Vendor },
		func(t *persona.Traits) { t.Ability = .95 },
		func(t *persona.Traits) { t.Moulds = true },
		func(t *persona.Traits) { t.Speaks = "fr" },
	}[other])
	for _, rate := range TransferRates {
		rival(student, rate, nil)
	}
	return c
}

// scripted audits a world by the comparative families: planned, asked over HTTP, analysed.
func (l *lab) scripted(ctx context.Context, id stateID, program ledger.Build) (*Scripted, error) {
	seed := derived(id.Seed, streamScripted+id.Number<<8)
	c := newCast(seed, id.Number)
	in := probe.PlanInput{Name: "scripted", Decoys: -1}
	for _, s := range scriptedSuites {
		drawn, err := expanded(s.name, seed, s.n)
		if err != nil {
			return nil, err
		}
		drawn.Samples = s.samples
		in.Suites = append(in.Suites, drawn)
	}
	models := map[string]mock.Generator{}
	prompts, err := sealedPrompts(in.Suites)
	if err != nil {
		return nil, err
	}
	for name, m := range c.models {
		models[name] = m.Generator(prompts)
	}
	in.Targets = c.targets
	plan, findings, err := l.carryOut(ctx, id, in, models, program, nil)
	if err != nil {
		return nil, err
	}
	results, err := compared(plan, findings, c.kinds)
	return &Scripted{id, results}, err
}

// compared takes over what plan and findings say of the rivals of these kinds, which are
// ranked among controls.
func compared(plan *ledger.Plan, findings *ledger.Findings, kinds map[string]ScriptedResult) ([]ScriptedResult, error) {
	var out []ScriptedResult
	for i := range findings.Findings {
		f := &findings.Findings[i]
		r, ok := kinds[f.Target]
		if !ok || f.Comparison == nil {
			return nil, fmt.Errorf("test %s compared nothing: %s", f.Test, strings.Join(f.Warnings, "; "))
		}
		r.Family, r.N, r.Of, r.Log10P, r.Verdict = f.Family, f.N, f.Comparison.Of, f.Comparison.Log10P, f.Verdict
		r.Found, r.Effect, r.Needed = f.Comparison.Rank == 1, f.Comparison.Rival-f.Mean, promised(plan, f.Test).Effect
		if r.Kind != student {
			for _, x := range f.Comparison.Controls {
				r.Pilot = append(r.Pilot, x.Value-f.Mean)
			}
		}
		out = append(out, r)
	}
	return out, nil
}

// promised is what a plan says of a test's power.
func promised(p *ledger.Plan, test string) ledger.PowerRow {
	i := slices.IndexFunc(p.Power, func(r ledger.PowerRow) bool { return r.Test == test })
	return p.Power[i]
}

// expanded draws prompts of an embedded suite.
func expanded(name string, seed uint64, n int) (probe.PlanSuite, error) {
	s, err := corpora.Load(name)
	if err != nil {
		return probe.PlanSuite{}, err
	}
	drawn, err := probe.ExpandSuite(s, seed, n)
	drawn.ReplyTokens = s.ReplyTokens
	return drawn, err
}

// carryOut does with a plan what an operator would: seal it, ask the models over HTTP, and
// analyse what the ledger holds. observed, where it is given, acts between the two.
func (l *lab) carryOut(ctx context.Context, id stateID, in probe.PlanInput, models map[string]mock.Generator, program ledger.Build, observed func(dir string) error) (*ledger.Plan, *ledger.Findings, error) {
	seed := derived(id.Seed, streamPlan+id.Number<<8)
	server, err := mock.New(mock.Options{Models: models, Seed: seed})
	if err != nil {
		return nil, nil, err
	}
	if err := server.Start(0); err != nil {
		return nil, nil, err
	}
	defer server.Close()
	for i := range in.Targets {
		in.Targets[i].BaseURL = server.URL()
	}
	first := int64(1) // the sample's number is added: a reply does not depend on when it is asked for
	in.Demo, in.Program, in.Now, in.Rand = true, program, time.Now(), seededReader(seed, streamPlan)
	if in.Params.MaxTokens == 0 {
		in.Params = ledger.Params{MaxTokens: 400, Seed: &first}
	}
	draft, err := probe.NewPlan(in)
	if err != nil {
		return nil, nil, err
	}
	dir := filepath.Join(l.dir, fmt.Sprintf("%s-%d", id.Part, id.Number))
	defer os.RemoveAll(dir)
	kase, err := probe.SealPlan(dir, draft, l.signer, nil)
	if err != nil {
		return nil, nil, err
	}
	_, err = probe.Run(ctx, dir, probe.RunOptions{Program: program, Concurrency: 8})
	var incomplete *probe.Error
	if in.Rotation != nil && errors.As(err, &incomplete) && incomplete.Code == probe.CodeIncomplete {
		err = nil // a machine that was too busy at a prompt's time: what is there is analysed
	}
	if err != nil {
		return nil, nil, err
	}
	if observed != nil {
		if err := observed(dir); err != nil {
			return nil, nil, err
		}
	}
	var keys []*watermark.Key
	for i := range in.Keys {
		keys = append(keys, in.Keys[i].Key)
	}
	findings, err := family.Analyze(ctx, kase, keys, family.Options{})
	return kase.Plan(), findings, err
}

// Rivals is how many were audited.
func (r *CalibrationReport) Rivals() int {
	seen := len(r.Trials) + len(r.styled)
	for _, x := range r.scripted {
		if x.Family == family.SharedErrors || x.Family == family.KeyedChoice { // one of its kind for each
			seen++
		}
	}
	return seen
}

// RankRow says of innocents of one kind how often they came first.
type RankRow struct {
	Family string  `json:"family"`
	Kind   string  `json:"kind"`
	N      int     `json:"n"`
	First  int     `json:"first"`
	Half   int     `json:"first_half"`
	Log10  float64 `json:"log10_p"`          // of so many firsts, at one in Of each
	Named  bool    `json:"known_confounder"` // it answers as we do by what it is: counted, and no failure
}

// RateRow says how often rivals of one rate were found by a family.
type RateRow struct {
	Family  string `json:"family"`
	Percent int    `json:"rate_percent"`
	Rate
	Flags  int     `json:"flags"` // exact p-values at 1e-6
	Effect float64 `json:"mean_effect"`
	Needed float64 `json:"effect_at_power_9"`
	Log10P float64 `json:"smallest_log10_p"`
	// Withheld is how many p-values the decoy gate withheld, which found nothing.
	Withheld int `json:"withheld"`
}

// confounded are innocents that a family takes for ours by what they are: C3 reads who
// they say they are. A finding says so; no count can excuse it.
func confounded(id, kind string) bool {
	return id == family.Identity && kind == scriptedInnocents[1]
}

func (r *CalibrationReport) sumScripted() {
	if len(r.scripted) == 0 {
		return
	}
	of := func(fam, kind string, rate int) []ScriptedResult {
		var own []ScriptedResult
		for _, x := range r.scripted {
			if x.Family == fam && x.Kind == kind && x.Rate == rate {
				own = append(own, x)
			}
		}
		return own
	}
	uneven, off, flags := []string{}, []string{}, 0
	var all, best, first, found int64 // innocents' ranks, and those of students at the highest rate
	for _, fam := range family.Families() {
		for _, kind := range scriptedInnocents {
			if own := of(fam.ID, kind, 0); len(own) > 0 && fam.Tier == ledger.Comparative {
				row := rankRow(fam.ID, kind, own)
				if r.Ranks = append(r.Ranks, row); row.Log10 < rateLog10 && !row.Named {
					uneven = append(uneven, fmt.Sprintf("%s: %q came first %d times in %d", fam.ID, kind, row.First, row.N))
				}
				if !confounded(fam.ID, kind) {
					all, first = all+int64(len(own)), first+int64(r.Ranks[len(r.Ranks)-1].First)
				}
			}
		}
		pilot := of(fam.ID, scriptedInnocents[0], 0)
		for _, rate := range append([]int{0}, TransferRates...) {
			own := of(fam.ID, student, rate)
			if len(own) == 0 {
				continue
			}
			row := rateRow(fam.ID, rate, own, pilot)
			if r.Rates = append(r.Rates, row); rate == 0 {
				flags += row.Flags
			}
			if fam.Tier == ledger.Comparative && rate == slices.Max(TransferRates) {
				best, found = best+int64(row.N), found+int64(row.Found)
			}
			if row.broken {
				off = append(off, fmt.Sprintf("%s at %d %%: %s", fam.ID, rate, &row.Rate))
			}
		}
	}
	chance := 1 / float64(scriptedControls+1)
	if evidence.Log10BinomialSF(first, all, chance) < rateLog10 {
		uneven = append(uneven, fmt.Sprintf("in all, %d of %d came first", first, all))
	}
	if best > 0 && evidence.Log10BinomialSF(found, best, chance) > rateLog10 {
		off = append(off, fmt.Sprintf("students at %d %% came first in %d of %d comparisons", slices.Max(TransferRates), found, best))
	}
	r.check(len(uneven) == 0, "scripted innocents rank no better than chance", "scripted innocents rank too high: %s", strings.Join(uneven, "; "))
	r.check(flags == 0, "no scripted innocent is flagged", "%d scripted innocents are flagged at 1e-6", flags)
	r.check(len(off) == 0, "scripted students are found as often as planned", "the planned power is not what is seen: %s", strings.Join(off, "; "))
}

// minAudits is how many audits a spread of effects is taken from at least.
const minAudits = 8

func rankRow(fam, kind string, own []ScriptedResult) RankRow {
	row := RankRow{Family: fam, Kind: kind, N: len(own), Named: confounded(fam, kind)}
	for _, x := range own {
		if x.Found {
			row.First++
		}
		if x.Log10P <= math.Log10(.5) {
			row.Half++
		}
	}
	row.Log10 = math.Min(
		evidence.Log10BinomialSF(int64(row.First), int64(row.N), 1/float64(own[0].Of)),
		evidence.Log10BinomialSF(int64(row.Half), int64(row.N), math.Floor(float64(own[0].Of)/2)/float64(own[0].Of)))
	return row
}

// rateRow takes the planned power from the plan where it says so, and for a comparative
// family from the leads of this rate and the controls of the innocent audits.
func rateRow(fam string, rate int, own, innocent []ScriptedResult) RateRow {
	row := RateRow{Family: fam, Percent: rate}
	var effects []float64
	promised, found := 0., 0
	for _, x := range own {
		if x.Found {
			found++
		}
		if x.Withheld {
			row.Withheld++
		}
		if x.Of == 0 && x.Log10P <= family.Log10Accusation {
			row.Flags++ // whatever the tier: one that missed prompts' times is not exact
		}
		row.Log10P = math.Min(row.Log10P, x.Log10P)
		promised += x.Power / float64(len(own))
		row.Needed += x.Needed / float64(len(own))
		effects = append(effects, x.Effect)
	}
	var pilot []float64
	for _, x := range innocent {
		pilot = append(pilot, x.Pilot...)
	}
	mean, sd := stat.MeanStdDev(effects, nil)
	row.Effect = mean
	power := &promised
	comparative := own[0].Of > 0
	if comparative {
		power = nil
		if len(own) >= minAudits {
			among := evidence.RankPowerAmong(pilot, own[0].Of-1, mean, sd)
			power = &among
		}
	}
	row.Rate = newRate(found, len(own), power, !comparative)
	return row
}

// scriptedTables writes the tables of scripted rivals.
func (r *CalibrationReport) scriptedTables(b *strings.Builder) {
	if len(r.Ranks) > 0 {
		fmt.Fprintf(b, "\n| innocents that came first among %d |", scriptedControls+1)
		for _, kind := range scriptedInnocents {
			fmt.Fprintf(b, " %s |", kind)
		}
		fmt.Fprintf(b, "\n|%s\n", strings.Repeat("---|", 1+len(scriptedInnocents)))
		for _, fam := range family.Families() {
			cells, any := "", false
			for _, kind := range scriptedInnocents {
				cell := " – |"
				for _, row := range r.Ranks {
					if row.Family == fam.ID && row.Kind == kind {
						cell, any = fmt.Sprintf(" %d of %d |", row.First, row.N), true
					}
				}
				cells += cell
			}
			if any {
				fmt.Fprintf(b, "| %s |%s\n", fam.ID, cells)
			}
		}
	}
	if len(r.Rates) > 0 {
		fmt.Fprintf(b, "\n| scripted students | transfer | n | found | 95 %% interval | planned power | mean effect | effect at power .9, as planned | smallest log10 p |\n|---|---|---|---|---|---|---|---|---|\n")
		for _, x := range r.Rates {
			fmt.Fprintf(b, "| %s | %d %% | %d | %d | %.2f–%.2f | %s | %.4f | %.4f | %.2f |\n", x.Family, x.Percent, x.N, x.Found, x.Lo, x.Hi, x.planned(), x.Effect, x.Needed, x.Log10P)
		}
		var withheld []string
		for _, x := range r.Rates {
			if x.Withheld > 0 {
				withheld = append(withheld, fmt.Sprintf("%s at %d %%: %d of %d", x.Family, x.Percent, x.Withheld, x.N))
			}
		}
		if len(withheld) > 0 {
			fmt.Fprintf(b, "\nThe decoy gate withheld p-values, which found nothing: %s.\n", strings.Join(withheld, "; "))
		}
	}
}

// sealedPrompts are the prompts of suites as a plan will seal them, so far as a scripted
// model looks at them: without the id of the key in the suite's name, which depends on
// the clock.
func sealedPrompts(suites []probe.PlanSuite) ([]ledger.Prompt, error) {
	var out []ledger.Prompt
	for _, s := range suites {
		name, _, _ := strings.Cut(s.Ref.Name, "@")
		for _, q := range s.Prompts {
			p := ledger.Prompt{ID: q.ID, Suite: name, Lang: q.Lang, System: q.System, Text: q.Text}
			if q.Reading != nil {
				reading, err := json.Marshal(q.Reading)
				if err != nil {
					return nil, err
				}
				p.Reading = reading
			}
			out = append(out, p)
		}
	}
	return out, nil
}
