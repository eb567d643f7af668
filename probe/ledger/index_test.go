package ledger

import (
	"strings"
	"testing"
)

// TestFind: every item of the plan is found by its id, with its place in the order,
// and nothing else is.
func TestFind(t *testing.T) {
	t.Parallel()
	p := testPlan(40)
	p.Samples = 2
	p.Prompts[3].Samples = 5
	p.Suites = append(p.Suites, SuiteRef{Name: "sentinel", Version: "1", SHA256: strings.Repeat("ab", 32), N: 1})
	p.Prompts = append(p.Prompts, Prompt{ID: "s", Suite: "sentinel", Text: "?", Sentinel: true})
	p.Sentinels = &Sentinels{Rounds: 4, Changed: 1}
	p.Targets[1] = Target{Name: "control-a", Role: Control, Model: "a", Imported: &Imported{File: "a", SHA256: strings.Repeat("ab", 32), Lines: 1}}
	x := indexPlan(p, "")
	c := &Case{plan: p, index: x}
	seen := map[int]bool{}
	last := map[string]int{}
	n := 0
	for it := range p.Order() {
		number, found, ok := x.find(it.ID)
		if !ok || found != it || seen[number] {
			t.Fatalf("%s: %+v, %v, number %d", it.ID, found, ok, number)
		}
		if back := c.ItemAt(c.Number(it.ID)); back != it {
			t.Fatalf("the number of %s leads to %+v", it.ID, back)
		}
		seen[number] = true
		if at, known := last[it.Target.Name]; known && x.place(number) <= at {
			t.Fatalf("%s has place %d, after %d", it.ID, x.place(number), at)
		}
		last[it.Target.Name] = x.place(number)
		n++
	}
	if want := p.Count(&p.Targets[0]) + p.Count(&p.Targets[1]); n != want || want != 83+4+83 {
		t.Errorf("%d items, want %d", n, want)
	}
	for _, id := range []string{
		"", "acme-nova-1", "acme-nova-1/longform-en/p-000", "acme-nova-1/longform-en/p-000/2", "acme-nova-1/longform-en/p-000/-1",
		"acme-nova-1/longform-en/p-000/00", "acme-nova-1/longform-en/p-000/+1", "acme-nova-1/longform-en/p-000/0/0", "x/longform-en/p-000/0",
		"acme-nova-1/x/p-000/0", "acme-nova-1/longform-en/x/0", "acme-nova-1/sentinel/s/4", "control-a/sentinel/s/0", "acme-nova-1/longform-en/p-000/ 0",
	} {
		if _, it, ok := x.find(id); ok || c.Number(id) != -1 {
			t.Errorf("%q found %+v", id, it)
		}
	}
}
