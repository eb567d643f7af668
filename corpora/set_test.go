package corpora

import (
	"slices"
	"strings"
	"testing"
)

func TestSets(t *testing.T) {
	t.Parallel()
	sets := Sets()
	if len(sets) != 3 || sets[0].Name != "smoke" || sets[1].Name != "standard" || sets[2].Name != "evidential" {
		t.Fatalf("sets %+v", sets)
	}
	smoke, standard, evidential := sets[0], sets[1], sets[2]
	if smoke.Verdict || !standard.Verdict || !evidential.Verdict {
		t.Error("only a rehearsal is no basis of a verdict")
	}
	if smoke.Requests > 350 {
		t.Errorf("a rehearsal of %d requests", smoke.Requests)
	}
	if evidential.Runs != 2 || evidential.DaysApart != 7 {
		t.Errorf("evidential runs %d times, %d days apart", evidential.Runs, evidential.DaysApart)
	}
	longform := 0
	for _, m := range standard.Members {
		if m.Family == "E1" {
			longform += m.Prompts * m.Samples
		}
		if m.Family == "E3" && m.Prompts*m.Samples != 1200*2*4 {
			t.Errorf("free choice has %d × %d requests", m.Prompts, m.Samples)
		}
	}
	if longform != 1500 {
		t.Errorf("%d long replies, want 1,500 over six languages", longform)
	}
	// Everything that an audit can ask is in the evidential set, and nothing that
	// a rehearsal asks.
	in := make(map[string]Member)
	for _, m := range evidential.Members {
		in[m.Suite] = m
	}
	for _, card := range List() {
		if _, ok := in[card.Name]; ok == (card.Name == "smoke-en") {
			t.Errorf("suite %s in the evidential set: %v", card.Name, ok)
		}
	}
	for suite, prompts := range map[string]int{"canary-en": 400, "nonce-en": 64, "rotation-en": 192} {
		if in[suite].Prompts != prompts || in[suite].Keyed != (suite != "rotation-en") {
			t.Errorf("%s: %+v, want %d prompts", suite, in[suite], prompts)
		}
	}
	if _, err := SetByName("smok"); err == nil || !strings.Contains(err.Error(), "smoke, standard, evidential") {
		t.Errorf("error %v", err)
	}
	if s, err := SetByName("standard"); err != nil || s.Name != "standard" {
		t.Errorf("%+v, error %v", s, err)
	}
}

func TestParseSetErrors(t *testing.T) {
	t.Parallel()
	good := "format: 1\nname: a\npurpose: b\nnever_use: c\nmembers: [{suite: smoke-en}, {family: E2}]\n"
	cards := List()
	if s, err := parseSet([]byte(good), cards); err != nil || len(s.Members) != 1 || s.Runs != 1 || !slices.Equal(s.Brought, []string{"E2"}) {
		t.Fatalf("%+v, error %v", s, err)
	}
	for name, tt := range map[string]struct{ old, new string }{
		"format":         {"format: 1", "format: 2"},
		"no name":        {"name: a", "name: ''"},
		"no purpose":     {"purpose: b\n", ""},
		"no never_use":   {"never_use: c\n", ""},
		"unknown suite":  {"smoke-en", "smok"},
		"unknown member": {"{family: E2}", "{families: E2}"},
		"unknown family": {"{family: E2}", "{family: E9}"},
		"not UTF-8":      {"purpose: b", "purpose: \xff"},
	} {
		if _, err := parseSet([]byte(strings.Replace(good, tt.old, tt.new, 1)), cards); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
