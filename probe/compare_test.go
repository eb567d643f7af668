package probe

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/endpoint/mock/persona"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
)

// Scripted models behind a real server, the program's own suites of every comparative
// family: what a plan declares is collected, read and ranked. The rival forwards
// nearly everything to our model and comes first nearly everywhere; the same audit
// without the transfer has no leads to speak of.
func TestComparativeRun(t *testing.T) {
	t.Parallel()
	const controls = 19
	for _, rate := range []float64{0, 1} {
		if rate == 0 && testing.Short() {
			continue
		}
		t.Run(fmt.Sprint("rate ", rate), func(t *testing.T) {
			t.Parallel()
			var suites []PlanSuite
			size := map[string]int{"trap-choice": 60, "random-choice": 8, "identity": 24, "refusal-ladder": 20, "reasoning-puzzle": 8, "style": 9, "tokenizer-units": 40, "protocol": 6}
			var prompts []ledger.Prompt
			for _, name := range []string{"trap-choice", "random-choice", "identity", "refusal-ladder", "reasoning-puzzle", "style", "tokenizer-units", "protocol"} {
				s, err := corpora.Load(name)
				if err != nil {
					t.Fatal(err)
				}
				p, err := ExpandSuite(s, 1, size[name])
				if err != nil {
					t.Fatal(err)
				}
				suites = append(suites, p)
			}
			world := persona.NewWorld(31)
			us := world.Model(persona.Traits{Name: "us", Vendor: "Stillwater", School: "s0", Ability: .4})
			models := []*persona.Model{
				us, world.Model(persona.Traits{Name: "other", Vendor: "Teacher", School: "s1", Ability: .5}),
				world.Model(persona.Traits{Name: "rival", Vendor: "Rowan", School: "s2", Ability: .5, Transfer: rate, Teacher: us}),
			}
			roles := []ledger.Role{ledger.Ours, ledger.Teacher, ledger.Rival}
			for i := range controls {
				models = append(models, world.Model(persona.Traits{
					Name: fmt.Sprintf("control%02d", i), Vendor: fmt.Sprint("Vendor", i%9), School: fmt.Sprint("s", i%4), Ability: .4 + .02*float64(i),
				}))
				roles = append(roles, ledger.Control)
			}
			in := PlanInput{
				Suites: suites, Params: ledger.Params{MaxTokens: 400}, Samples: 2, Decoys: -1, Now: testNow, Rand: source(2),
			}
			seed := int64(1)
			in.Params.Seed = &seed
			for i, m := range models {
				in.Targets = append(in.Targets, ledger.Target{Name: m.Name, Role: roles[i], Vendor: m.Vendor, BaseURL: "http://127.0.0.1:1/v1", Model: m.Name})
			}
			d, err := NewPlan(in)
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range d.Plan.Prompts {
				q.Samples = min(d.Plan.SamplesOf(&q), 2)
				prompts = append(prompts, q)
			}
			served := map[string]mock.Generator{}
			for _, m := range models {
				served[m.Name] = m.Generator(prompts)
			}
			server := serveModels(t, nil, served)
			for i := range in.Targets {
				in.Targets[i].BaseURL = server.URL()
			}
			in.Rand = source(2)
			if d, err = NewPlan(in); err != nil {
				t.Fatal(err)
			}
			for i := range d.Plan.Prompts {
				d.Plan.Prompts[i].Samples = prompts[i].Samples
			}
			dir := sealDraft(t, d)
			if _, err := Run(t.Context(), dir, RunOptions{pace: quick, Concurrency: 16}); err != nil {
				t.Fatal(err)
			}
			leads := 0
			var said []string
			f := findings(t, dir)
			if len(f.Findings) != 8 {
				t.Fatalf("%d findings, want one for each comparative family", len(f.Findings))
			}
			for _, x := range f.Findings {
				if x.Comparison == nil {
					t.Errorf("%s compares nothing: %v", x.Family, x.Warnings)
					continue
				}
				if x.Tier != ledger.Comparative || x.Comparison.Of != controls+1 || x.Extractor == "" || x.Statistic == "" || x.N == 0 {
					t.Errorf("%s: %+v", x.Family, x)
				}
				said = append(said, fmt.Sprintf("%s %d", x.Family, x.Comparison.Rank))
				if x.Verdict == ledger.VerdictLead {
					leads++
				}
			}
			t.Log(strings.Join(said, ", "))
			if rate == 1 && leads < 6 || rate == 0 && leads > 2 {
				t.Errorf("%d leads: ranks %s", leads, strings.Join(said, ", "))
			}
		})
	}
}

// What will limit a comparison is said before anything is sent.
func TestComparativePlanWarns(t *testing.T) {
	t.Parallel()
	s, err := corpora.Load("random-choice")
	if err != nil {
		t.Fatal(err)
	}
	suite, err := ExpandSuite(s, 1, 4)
	if err != nil {
		t.Fatal(err)
	}
	in := input(t, "http://127.0.0.1:1/v1", 0)
	in.Suites, in.Keys, in.Decoys = []PlanSuite{suite}, nil, -1
	d, err := NewPlan(in)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(d.Warnings, "\n")
	for _, want := range []string{
		"C2 on nova: there is no target of our own model (role ours), so there will be nothing to compare with.",
		"C2 on nova: 1 control of at least 19: the only verdict will be \"too few controls\".",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("the plan does not say %q: %q", want, d.Warnings)
		}
	}
	// A known student is neither control nor tested, and stands in the test's options with
	// the names that are ours.
	in.Targets = append(in.Targets, ledger.Target{Name: "kid", Role: ledger.Student, BaseURL: "http://127.0.0.1:1/v1", Model: "kid-1"})
	in.Names = []string{"Brook"}
	in.Suites[0].Also = []string{"C3"}
	with, err := NewPlan(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range with.Plan.Tests {
		var o family.CompareOptions
		if err := json.Unmarshal(test.Options, &o); err != nil {
			t.Fatal(err)
		}
		if test.Target == "kid" || len(o.Students) != 1 || o.Students[0] != "kid" || (len(o.Names) == 1) != (test.Family == "C3") {
			t.Errorf("%s: %+v", test.ID, o)
		}
	}
	if all := strings.Join(with.Warnings, " "); !strings.Contains(all, "1 control of at least 19") {
		t.Errorf("the student counts as a control: %q", all)
	}
	if len(d.Plan.Power) != 1 || d.Plan.Power[0].Log10Floor == 0 || d.Plan.Power[0].Log10Alpha != d.Plan.Power[0].Log10Floor {
		t.Errorf("power %+v", d.Plan.Power)
	}
}
