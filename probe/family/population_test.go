package family

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/endpoint/mock/persona"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// population is an audit of scripted models that is held in memory: what a family
// reads of a case, without the case.
type population struct {
	plan    *ledger.Plan
	targets map[string]*gathered
	replies []*ledger.ReplyRecord
	quick   bool             // ranks only
	whole   map[hole]attempt // what is held back
}

// newPopulation plans the prompts for a family.
func newPopulation(family string, samples int, prompts []ledger.Prompt) *population {
	return &population{
		plan: &ledger.Plan{
			Prompts: prompts, Samples: samples, Alpha: 1e-6,
			Tests: []ledger.Test{{ID: family + "/rival", Family: family, Target: "rival"}},
		},
		targets: map[string]*gathered{},
	}
}

// add asks a model every prompt. It is known under its own name.
func (p *population) add(t testing.TB, role ledger.Role, m *persona.Model) {
	t.Helper()
	target := ledger.Target{Name: m.Name, Role: role, Vendor: m.Vendor, Model: m.Name, BaseURL: "http://" + m.Name}
	p.answer(t, target, func(q *ledger.Prompt, sample int) (string, string) {
		text, err := m.Answer(q, sample)
		if err != nil {
			t.Fatal(err)
		}
		return text, fmt.Sprintf(`,"usage":{"prompt_tokens":%d,"completion_tokens":9,"total_tokens":9}`, 11+m.CountTokens(q.Text))
	})
}

// answer enters a target's replies: text, and further members of the body.
func (p *population) answer(t testing.TB, target ledger.Target, reply func(q *ledger.Prompt, sample int) (text, members string)) {
	t.Helper()
	if target.BaseURL == "" {
		target.BaseURL, target.Model = "http://"+target.Name, target.Name
	}
	p.plan.Targets = append(p.plan.Targets, target)
	g := &gathered{target: &target, prompts: p.plan.Prompts}
	p.targets[target.Name] = g
	for i := range p.plan.Prompts {
		q := &p.plan.Prompts[i]
		for s := range p.plan.SamplesOf(q) {
			text, members := reply(q, s)
			content, err := json.Marshal(text)
			if err != nil {
				t.Fatal(err)
			}
			body := `{"id":"r","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":` + string(content) + `},"finish_reason":"stop"}]` + members + `}`
			held := &ledger.ReplyRecord{
				Item: ledger.Item{ID: ledger.ItemID(target.Name, q.Suite, q.ID, s), Target: &target, Prompt: q, Sample: s},
				Attempt: ledger.Attempt{
					Target: target.Name, Outcome: ledger.OK, Kind: "chat", Status: 200, Complete: true, Headers: map[string]string{"server": "mock"},
				},
				Response: []byte(body),
			}
			p.replies = append(p.replies, held)
			g.held, g.attempts = append(g.held, held), append(g.attempts, attempt{})
			g.keep(len(g.held)-1, i, ledger.OK, false, nil, 0) // families decode the bytes by themselves
		}
	}
}

// input is what the family's run gets.
func (p *population) input(seed uint64) *Input {
	in := &Input{
		Test: &p.plan.Tests[0], plan: p.plan, targets: p.targets, Progress: func(int) {}, readers: &readers{},
		Log10Alpha: -6,
	}
	if p.quick {
		in.resamples = 19
	}
	in.Target = in.plannedTarget("rival")
	in.seed = sha256.Sum256(binary.LittleEndian.AppendUint64([]byte("population"), seed))
	return in
}

// rank runs the family for the sake of the rank, with hardly a bootstrap.
func (p *population) rank(t testing.TB, seed uint64) *Output {
	p.quick = true
	return p.find(t, seed)
}

// find runs the family on the population.
func (p *population) find(t testing.TB, seed uint64) *Output {
	t.Helper()
	fam, ok := ByID(p.plan.Tests[0].Family)
	if !ok {
		t.Fatalf("no family %s", p.plan.Tests[0].Family)
	}
	outs, err := fam.run(t.Context(), []*Input{p.input(seed)})
	if err != nil {
		t.Fatal(err)
	}
	return outs[0]
}

// prompts makes prompts of readings: one item each, in the given languages.
func prompts(t testing.TB, n int, langs []string, make func(i int) (text string, r reading.Reading)) []ledger.Prompt {
	t.Helper()
	var out []ledger.Prompt
	for i := range n {
		for _, lang := range langs {
			text, r := make(i)
			if r.Item == "" {
				r.Item = fmt.Sprintf("i%04d", i)
			}
			data, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := reading.Parse(data); err != nil {
				t.Fatal(err)
			}
			out = append(out, ledger.Prompt{
				ID: fmt.Sprintf("p%04d-%s", i, lang), Suite: "s", Lang: lang, Category: string(r.Kind), Text: text, Reading: data,
			})
		}
	}
	return out
}

// scenery says how the models of a scripted audit differ.
type scenery struct {
	controls int
	rate     float64                        // the rival's planted transfer from us
	change   func(t *persona.Traits)        // of the rival
	each     func(i int, t *persona.Traits) // of the controls, from 0
	ours     func(t *persona.Traits)
}

// vendorsOf are names of makers that do not exist.
var vendorsOf = strings.Fields("Alder Birch Cedar Dogwood Elder Fir Ginkgo Hazel Ivy Juniper")

// scripted makes an audit of scripted models: ours, two other teachers, the rival and
// controls of five schools.
func scripted(t testing.TB, p *population, world uint64, sc scenery) *population {
	t.Helper()
	w := persona.NewWorld(world)
	us := persona.Traits{Name: "us", Vendor: "Stillwater", School: "s0", Ability: .75}
	if sc.ours != nil {
		sc.ours(&us)
	}
	ours := w.Model(us)
	p.add(t, ledger.Ours, ours)
	for i, ability := range []float64{.7, .8} {
		p.add(t, ledger.Teacher, w.Model(persona.Traits{Name: fmt.Sprintf("teacher%d", i), Vendor: fmt.Sprintf("Teacher%d", i), School: fmt.Sprintf("s%d", 1+i), Ability: ability}))
	}
	rival := persona.Traits{Name: "rival", Vendor: "Rowan", School: "s3", Ability: .6, Transfer: sc.rate, Teacher: ours}
	if sc.change != nil {
		sc.change(&rival)
	}
	p.add(t, ledger.Rival, w.Model(rival))
	for i := range sc.controls {
		c := persona.Traits{
			Name: fmt.Sprintf("control%02d", i), Vendor: vendorsOf[i%len(vendorsOf)], School: fmt.Sprintf("s%d", i%5), Ability: .45 + .4*float64(i%7)/6,
		}
		if sc.each != nil {
			sc.each(i, &c)
		}
		p.add(t, ledger.Control, w.Model(c))
	}
	return p
}

// calibrated checks one family on scripted audits: at rate 0 the rank p-values are no
// smaller than they should be; at the other rates the rival comes first as often as
// the power that follows from its lead, how it varies, and the controls of the innocent
// audits; and their spread is what the planner supposes, within a factor of two.
// Without rates only the null is looked at.
func calibrated(t *testing.T, worlds int, rates []float64, audit func(world uint64, rate float64) *population) {
	t.Helper()
	var of int
	var planned ledger.PowerRow
	lead, first := map[float64][]float64{}, map[float64]int{}
	var pilot []float64 // the controls' residuals, centred, where the rival is innocent
	sd, below := 0., map[float64]int64{}
	for _, rate := range append([]float64{0}, rates...) {
		for w := range worlds {
			world := uint64(w) + uint64(1e6*rate)
			p := audit(world, rate)
			out := p.rank(t, world)
			c := out.Finding.Comparison
			if c == nil {
				t.Fatalf("rate %v, world %d: nothing was compared", rate, w)
			}
			of = c.Of
			lead[rate] = append(lead[rate], c.Rival-out.Finding.Mean)
			sd += out.Finding.SD / float64(worlds*(1+len(rates)))
			if c.Rank == 1 {
				first[rate]++
			}
			if rate > 0 {
				continue
			}
			for _, x := range c.Controls {
				pilot = append(pilot, x.Value-out.Finding.Mean)
			}
			for _, level := range []float64{.05, .1, .25, .5} {
				if math.Pow(10, c.Log10P) <= level+1e-9 {
					below[level]++
				}
			}
			if w == 0 {
				var err error
				if planned, err = PlannedPower(p.plan, &p.plan.Tests[0], -6); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for level, hits := range below {
		if tail := evidence.Log10BinomialSF(hits, int64(worlds), level); tail < -3 {
			t.Errorf("%d of %d innocents have p <= %v", hits, worlds, level)
		}
	}
	t.Logf("innocents: first in %d of %d among %d, mean lead %+.4f, spread of controls %.4f; planned for %d units: lead %.4f", first[0], worlds, of, stat.Mean(lead[0], nil), sd, planned.Units, planned.Effect)
	if need := evidence.RankShift(of-1, PowerLevel) * sd; len(rates) > 0 && (planned.Effect < need/2 || planned.Effect > 2*need) {
		t.Errorf("the plan promises a lead of %.4f, the spread of the controls asks for %.4f", planned.Effect, need)
	}
	for _, rate := range rates {
		mean, spread := stat.MeanStdDev(lead[rate], nil)
		planned := evidence.RankPowerAmong(pilot, of-1, mean, spread)
		lo, hi := interval95(int64(first[rate]), int64(worlds))
		t.Logf("rate %.2f: first in %d of %d (%.2f to %.2f), lead %.4f ± %.4f, planned power %.2f", rate, first[rate], worlds, lo, hi, mean, spread, planned)
		if planned < lo || planned > hi {
			t.Errorf("rate %v: the planned power %.3f lies outside the interval %.3f to %.3f of the seen rate", rate, planned, lo, hi)
		}
	}
}

// interval95 is Clopper and Pearson's interval of a rate.
func interval95(k, n int64) (lo, hi float64) {
	lo, hi = 0, 1
	if k > 0 {
		lo = mathext.InvRegIncBeta(float64(k), float64(n-k+1), .025)
	}
	if k < n {
		hi = mathext.InvRegIncBeta(float64(k+1), float64(n-k), .975)
	}
	return lo, hi
}

// worlds is how many scripted audits a rate is judged on: a few, a quarter of them
// with -short, or as many as the environment variable STILLMARK_WORLDS says.
func worlds(few int) int {
	if n, err := strconv.Atoi(os.Getenv("STILLMARK_WORLDS")); err == nil && n > 0 {
		return n
	}
	if testing.Short() {
		return few / 4
	}
	return few
}
