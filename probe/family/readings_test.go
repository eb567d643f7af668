package family

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/endpoint/mock/persona"
	"github.com/stillmark/stillmark/probe/ledger"
)

// several makes an audit of several rivals, each with a test of the family.
func several(t testing.TB, family string, samples int, q []ledger.Prompt, controls, rivals int) *population {
	t.Helper()
	p := scripted(t, newPopulation(family, samples, q), 7, scenery{controls: controls, rate: .5, ours: func(tr *persona.Traits) { tr.Ability = .55 }})
	w := persona.NewWorld(7)
	for i := 1; i < rivals; i++ {
		name := fmt.Sprintf("rival%d", i)
		p.add(t, ledger.Rival, w.Model(persona.Traits{Name: name, Vendor: "Rowan", School: fmt.Sprintf("s%d", i%5), Ability: .5}))
		p.plan.Tests = append(p.plan.Tests, ledger.Test{ID: family + "/" + name, Family: family, Target: name})
	}
	return p
}

// inputs are those of all tests.
func (p *population) inputs() []*Input {
	var ins []*Input
	for i := range p.plan.Tests {
		in := p.input(uint64(i))
		in.Test = &p.plan.Tests[i]
		in.Target = in.plannedTarget(in.Test.Target)
		ins = append(ins, in)
	}
	return ins
}

// said are the findings of tests that are computed together.
func said(t testing.TB, ins ...*Input) []string {
	t.Helper()
	fam, _ := ByID(ins[0].Test.Family)
	outs, err := fam.run(t.Context(), ins)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, out := range outs {
		data, err := json.Marshal(out)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(data))
	}
	return all
}

// comparedPrompts are some that each comparative family reads, with how often each is put.
func comparedPrompts(t testing.TB, n int) map[string]struct {
	prompts []ledger.Prompt
	samples int
} {
	return map[string]struct {
		prompts []ledger.Prompt
		samples int
	}{
		SharedErrors:    {trapPrompts(t, 10*n), 1},
		RandomChoice:    {randomPrompts(t, 2*n), 6},
		Identity:        {identityPrompts(t, n), 2},
		RefusalBoundary: {ladderPrompts(t, n), 2},
		ReasoningStyle:  {stylePrompts(t, 4*n, reading.KindPuzzle), 1},
		Stylometry:      {stylePrompts(t, 4*n, reading.KindStyle), 1},
		TokenizerSlope:  {unitPrompts(t, 6*n, 0, 8, 24), 1},
		Wrapper:         {stylePrompts(t, 2*n, reading.KindProtocol), 5},
	}
}

// Tests of several rivals that are computed together say what each says alone, byte for
// byte, and read every reply once (twice where the first reading gives the scale).
func TestTogetherAsAlone(t *testing.T) {
	t.Parallel()
	for family, q := range comparedPrompts(t, 3) {
		t.Run(family, func(t *testing.T) {
			t.Parallel()
			p := several(t, family, q.samples, q.prompts, 6, 3)
			p.quick = true
			var alone []string
			for _, in := range p.inputs() {
				alone = append(alone, said(t, in)...)
			}
			ins := p.inputs()
			if together := said(t, ins...); !slices.Equal(together, alone) {
				t.Errorf("together:\n%s\nalone:\n%s", strings.Join(together, "\n"), strings.Join(alone, "\n"))
			}
			want, read := 0, 0
			for _, g := range p.targets {
				passes := 1
				if style := family == ReasoningStyle || family == Stylometry; style && g.target.Role != ledger.Ours && g.target.Role != ledger.Teacher {
					passes = 2
				}
				if family == Identity && g.target.Role == ledger.Teacher {
					passes = 0
				}
				want += passes * len(g.attempts)
			}
			for _, in := range ins {
				if in.read != in.reads {
					t.Errorf("%s: read %d replies of %d", in.Test.ID, in.read, in.reads)
				}
				read += in.read
			}
			if read != want {
				t.Errorf("%d replies were read, not %d", read, want)
			}
		})
	}
}

// Tests that differ in more than the rival share nothing that they must not: others of
// the prompts, students, names, and rivals that are each other's controls.
func TestTogetherThoughUnlike(t *testing.T) {
	t.Parallel()
	for family, q := range comparedPrompts(t, 3) {
		t.Run(family, func(t *testing.T) {
			t.Parallel()
			p := several(t, family, q.samples, q.prompts, 6, 2)
			p.quick = true
			for i := range p.plan.Prompts[len(q.prompts)/2:] {
				p.plan.Prompts[len(q.prompts)/2+i].Suite = "more"
			}
			for id, x := range map[string]ledger.Test{
				"half":    {Target: "rival", Suites: []string{"s"}},
				"student": {Target: "rival", Options: json.RawMessage(`{"students":["control01"]}`)},
				"names":   {Target: "rival1", Options: json.RawMessage(`{"names":["Rowan","Alder"]}`)},
				"crossed": {Target: "control02"},
				"back":    {Target: "control03"},
			} {
				x.ID, x.Family = id, family
				p.plan.Tests = append(p.plan.Tests, x)
			}
			var alone []string
			for _, in := range p.inputs() {
				alone = append(alone, said(t, in)...)
			}
			if together := said(t, p.inputs()...); !slices.Equal(together, alone) {
				t.Errorf("together:\n%s\nalone:\n%s", strings.Join(together, "\n"), strings.Join(alone, "\n"))
			}
		})
	}
}

func TestMerged(t *testing.T) {
	t.Parallel()
	all := []*ledger.Target{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "d"}}
	of := func(names string) []*ledger.Target {
		var out []*ledger.Target
		for _, n := range names {
			out = append(out, all[n-'a'])
		}
		return out
	}
	for _, x := range []struct {
		lists string
		want  string
	}{{"abc", "abc"}, {"acd bcd", "abcd"}, {"abd cbd", "acbd"}, {"ab ba", ""}, {"abc cd da", ""}, {"a b a", "ab"}} {
		var lists [][]*ledger.Target
		for l := range strings.FieldsSeq(x.lists) {
			lists = append(lists, of(l))
		}
		got, ok := merged(lists)
		if ok != (x.want != "") || ok && !slices.Equal(got, of(x.want)) {
			t.Errorf("%s: %v, %v", x.lists, got, ok)
		}
	}
}

// Twenty controls and three rivals, without the bootstrap.
func BenchmarkRivals(b *testing.B) {
	for family, q := range comparedPrompts(b, 20) {
		p := several(b, family, q.samples, q.prompts, 20, 3)
		p.quick = true
		b.Run(family, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				said(b, p.inputs()...)
			}
			b.ReportMetric(float64(len(p.replies)), "replies")
		})
	}
}
