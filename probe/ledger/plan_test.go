package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestItemsOrder(t *testing.T) {
	t.Parallel()
	p := testPlan(50)
	p.Samples = 3
	p.Targets = append(p.Targets, Target{Name: "control-b", Role: Control, BaseURL: "http://x/v1", Model: "b"})
	items := p.Items()
	if len(items) != 450 {
		t.Fatalf("%d items, want 450", len(items))
	}
	seen := make(map[string]bool)
	first := make(map[string]int) // target -> how often it comes first in a block
	for i, it := range items {
		if seen[it.ID] {
			t.Fatalf("%s occurs twice", it.ID)
		}
		seen[it.ID] = true
		if it.ID != ItemID(it.Target.Name, it.Prompt.Suite, it.Prompt.ID, it.Sample) {
			t.Errorf("id %s of %s %s %d", it.ID, it.Target.Name, it.Prompt.ID, it.Sample)
		}
		block := items[i/3*3]
		if it.Prompt != block.Prompt || it.Sample != block.Sample {
			t.Fatalf("item %d is not in the block of its prompt", i)
		}
		if i%3 == 0 {
			first[it.Target.Name]++
		}
	}
	for _, target := range p.Targets {
		// Binomial(150, 1/3) has mean 50 and standard deviation 5.8: 25 is 4.3 of them away.
		if n := first[target.Name]; n < 25 || n > 75 {
			t.Errorf("%s is first in %d of 150 blocks", target.Name, n)
		}
	}
	again := p.Items()
	other := *p
	other.OrderSeed++
	moved := 0
	for i, it := range other.Items() {
		if again[i].ID != items[i].ID {
			t.Fatalf("item %d differs between two calls", i)
		}
		if it.ID != items[i].ID {
			moved++
		}
	}
	if moved < 400 {
		t.Errorf("another seed moved only %d of 450 items", moved)
	}
}

// TestItemsGolden pins the order: a sealed plan must be resumed by a later
// program in the order that it was begun in.
func TestItemsGolden(t *testing.T) {
	t.Parallel()
	p := testPlan(3)
	var got []string
	for _, it := range p.Items() {
		got = append(got, strings.Replace(it.ID, "/longform-en/p-00", ":", 1))
	}
	want := "control-a:0/0 acme-nova-1:0/0 acme-nova-1:2/0 control-a:2/0 control-a:1/0 acme-nova-1:1/0"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("order %s, want %s", s, want)
	}
}

// TestPlanOfThePast: a plan that uses none of the later members has the bytes
// that earlier versions wrote.
func TestPlanOfThePast(t *testing.T) {
	t.Parallel()
	data, err := EncodePlan(testPlan(3))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := hexSHA256(data), "a8cf9a7bd26a364cf37bb3f7a77bcc4b1447a4fdb3ffac7e10cecd8355ddf432"; got != want {
		t.Errorf("SHA-256 %s, want %s", got, want)
	}
}

// TestPromptsDiffer: samples, kind and parameters of a prompt go before the plan's.
func TestPromptsDiffer(t *testing.T) {
	t.Parallel()
	p := testPlan(4)
	p.Params.Seed = ptr(int64(5))
	p.Prompts[1].Samples = 3
	p.Prompts[2].Kind = KindCompletion
	p.Prompts[2].Params = &PromptParams{
		MaxTokens: 1, Temperature: ptr(.7), TopP: ptr(.9), Seed: ptr(int64(0)), Stream: ptr(false), Logprobs: ptr(0),
		PromptLogprobs: ptr(2), Echo: ptr(true), User: "u", Metadata: map[string]string{"a": "b"},
	}
	p.Targets[0].ExtraBody = map[string]json.RawMessage{"provider": json.RawMessage(`{"order":["x <y>"],"allow_fallbacks":false}`)}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	if n := p.Count(&p.Targets[0]); n != 6 {
		t.Errorf("%d replies per target, want 6", n)
	}
	counts := map[string]int{}
	for _, it := range p.Items() {
		counts[it.Prompt.ID]++
		if it.Sample >= p.SamplesOf(it.Prompt) {
			t.Errorf("%s is one sample too many", it.ID)
		}
	}
	if want := map[string]int{"p-000": 2, "p-001": 6, "p-002": 2, "p-003": 2}; !maps.Equal(counts, want) {
		t.Errorf("items by prompt %v, want %v", counts, want)
	}
	if got := p.ParamsOf(&p.Prompts[0]); !reflect.DeepEqual(got, p.Params) {
		t.Errorf("parameters %+v, want the plan's", got)
	}
	want := Params{
		MaxTokens: 1, Temperature: ptr(.7), TopP: ptr(.9), Seed: ptr(int64(0)), Logprobs: ptr(0), PromptLogprobs: ptr(2),
		Echo: true, User: "u", Metadata: map[string]string{"a": "b"},
	}
	if got := p.ParamsOf(&p.Prompts[2]); !reflect.DeepEqual(got, want) {
		t.Errorf("parameters %+v, want %+v", got, want)
	}
	data, err := EncodePlan(p)
	if err != nil {
		t.Fatal(err)
	}
	q, err := DecodePlan(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(q.Prompts, p.Prompts) || string(q.Targets[0].ExtraBody["provider"]) == "" {
		t.Errorf("decoded %+v", q.Prompts)
	}
}

// TestSentinelsAreInterleaved: two rounds first, one last, the others evenly
// between, for all targets alike; the order of the other items is what it was.
func TestSentinelsAreInterleaved(t *testing.T) {
	t.Parallel()
	p := testPlan(30)
	var before []string
	for _, it := range p.Items() {
		before = append(before, it.ID)
	}
	p.Suites = append(p.Suites, SuiteRef{Name: "sentinel", Version: "1", SHA256: strings.Repeat("ab", 32), N: 2})
	for _, id := range []string{"s1", "s2"} {
		p.Prompts = append(p.Prompts, Prompt{ID: id, Suite: "sentinel", Text: "?", Sentinel: true})
	}
	p.Sentinels = &Sentinels{Rounds: 5, Unstable: 0, Changed: 2}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	if n := p.Count(&p.Targets[0]); n != 40 {
		t.Errorf("%d replies per target, want 40", n)
	}
	var rounds, others []string
	for i, it := range p.Items() {
		if !it.Prompt.Sentinel {
			others = append(others, it.Prompt.ID)
			continue
		}
		if i%4 == 0 {
			rounds = append(rounds, fmt.Sprintf("%d@%d", it.Sample, len(others)/2))
		}
	}
	if got := strings.Join(rounds, " "); got != "0@0 1@0 2@10 3@20 4@30" {
		t.Errorf("rounds at %s", got)
	}
	for i, id := range others {
		if !strings.Contains(before[i], "/"+id+"/") {
			t.Fatalf("item %d is %s, was %s", i, id, before[i])
		}
	}
	for want, change := range map[string]func(*Plan){
		"not said how often": func(p *Plan) { p.Sentinels = nil },
		"no prompt is one":   func(p *Plan) { p.Prompts = p.Prompts[:30] },
		"2 rounds":           func(p *Plan) { p.Sentinels = &Sentinels{Rounds: 2, Changed: 1} },
		"changed must be":    func(p *Plan) { p.Sentinels = &Sentinels{Rounds: 3, Unstable: 2, Changed: 2} },
		"changed is 3":       func(p *Plan) { p.Sentinels = &Sentinels{Rounds: 3, Changed: 3} },
		"sentinel's samples": func(p *Plan) { p.Prompts[30].Samples = 2 },
	} {
		q := *p
		q.Prompts = append([]Prompt(nil), p.Prompts...)
		change(&q)
		if err := q.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func ptr[T any](v T) *T { return &v }

func TestPlanRoundTrip(t *testing.T) {
	t.Parallel()
	p := testPlan(4)
	p.Created = time.Date(2026, 11, 20, 10, 0, 0, 5, time.FixedZone("CET", 3600))
	p.Prompts[0].Text = "quotes \" and <tags> & ünïcödé \u2028 \x00 end"
	p.Targets[0].Capabilities = &Capabilities{TestedAt: p.Created, Support: map[string]Support{"seed": {"yes", ""}, "chat": {"no", "x"}}}
	p.Keys[0].ServingFrom = p.Created
	p.Caps.MaxTime = time.Hour
	a, err := EncodePlan(p)
	if err != nil {
		t.Fatal(err)
	}
	q, err := DecodePlan(a)
	if err != nil {
		t.Fatal(err)
	}
	b, err := EncodePlan(q)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Error("a second encoding differs")
	}
	if q.Prompts[0].Text != p.Prompts[0].Text || !q.Created.Equal(p.Created) || q.Created.Location() != time.UTC {
		t.Errorf("decoded %q, %v", q.Prompts[0].Text, q.Created)
	}
	if p.Created.Location() == time.UTC || p.Targets[0].Capabilities.TestedAt.Location() == time.UTC {
		t.Error("EncodePlan changed the caller's plan")
	}
	if !bytes.HasSuffix(a, []byte("}\n")) || !bytes.HasPrefix(a, []byte("{\n  \"format\": 1,\n")) {
		t.Errorf("form: %.40q … %q", a, a[len(a)-4:])
	}
	if _, err := DecodePlan(bytes.Replace(a, []byte(`"format": 1`), []byte(`"format": 3`), 1)); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("a newer plan: %v", err)
	}
	if _, err := DecodePlan(bytes.Replace(a, []byte(`"format": 1`), []byte(`"format": 0`), 1)); err == nil || errors.Is(err, ErrNewerFormat) {
		t.Errorf("an older plan: %v", err)
	}
	if _, err := DecodePlan(make([]byte, maxPlan+1)); err == nil {
		t.Error("an oversized plan was read")
	}
}

func TestPlanValidate(t *testing.T) {
	t.Parallel()
	if err := testPlan(3).Validate(); err != nil {
		t.Fatalf("a good plan: %v", err)
	}
	nan := math.NaN()
	tests := []struct {
		name   string
		change func(*Plan)
		want   string
	}{
		{"format", func(p *Plan) { p.Format = 3 }, "format is 3"},
		{"salted by word alone", func(p *Plan) { p.Format = PlanSalted }, "the salted hash of each prompt"},
		{"case id", func(p *Plan) { p.CaseID = "../x" }, `case id "../x"`},
		{"created", func(p *Plan) { p.Created = time.Time{} }, "time of creation"},
		{"purpose", func(p *Plan) { p.Purpose = "\xff" }, "UTF-8"},
		{"no target", func(p *Plan) { p.Targets = nil }, "no target"},
		{"target name", func(p *Plan) { p.Targets[0].Name = "a/b" }, `target "a/b"`},
		{"target twice", func(p *Plan) { p.Targets[1].Name = p.Targets[0].Name }, "given twice"},
		{"role", func(p *Plan) { p.Targets[0].Role = "judge" }, `role "judge"`},
		{"model", func(p *Plan) { p.Targets[0].Model = "" }, "model"},
		{"base url", func(p *Plan) { p.Targets[0].BaseURL = "ftp://x" }, "http"},
		{"password in url", func(p *Plan) { p.Targets[0].BaseURL = "http://u:hunter2@x/v1" }, "password"},
		{"key for its name", func(p *Plan) { p.Targets[0].APIKeyEnv = "sk-hunter2" }, "not a key"},
		{"price", func(p *Plan) { p.Targets[0].Price = &Price{Input: nan} }, "price"},
		{"suite name", func(p *Plan) { p.Suites[0].Name = "a b" }, `suite "a b"`},
		{"suite twice", func(p *Plan) { p.Suites = append(p.Suites, p.Suites[0]) }, "given twice"},
		{"suite hash", func(p *Plan) { p.Suites[0].SHA256 = "AB" }, "SHA-256"},
		{"no prompt", func(p *Plan) { p.Prompts = nil }, "no prompt"},
		{"prompt of no suite", func(p *Plan) { p.Prompts[1].Suite = "x" }, `suite "x"`},
		{"prompt id", func(p *Plan) { p.Prompts[1].ID = "a/b" }, `prompt "a/b"`},
		{"prompt twice", func(p *Plan) { p.Prompts[1].ID = p.Prompts[0].ID }, "given twice"},
		{"empty prompt", func(p *Plan) { p.Prompts[1].Text = " \n" }, "empty"},
		{"prompt's bytes", func(p *Plan) { p.Prompts[1].Text = "\xc3\x28" }, "UTF-8"},
		{"samples", func(p *Plan) { p.Samples = 0 }, "samples is 0"},
		{"too many", func(p *Plan) { p.Samples = math.MaxInt }, "more than 10000000 requests"},
		{"prompt's samples", func(p *Plan) { p.Prompts[1].Samples = -1 }, "samples is -1"},
		{"too many of one", func(p *Plan) { p.Prompts[1].Samples = math.MaxInt }, "more than 10000000 requests"},
		{"kind", func(p *Plan) { p.Prompts[1].Kind = "image" }, `kind "image"`},
		{"echo of a chat", func(p *Plan) { p.Params.Echo = true }, "completions only"},
		{"system text of a completion", func(p *Plan) { p.Prompts[1].Kind, p.Prompts[1].System = KindCompletion, "x" }, "no system text"},
		{"prompt's budget", func(p *Plan) { p.Prompts[1].Params = &PromptParams{MaxTokens: -1} }, "max_tokens is -1"},
		{"prompt's temperature", func(p *Plan) { p.Prompts[1].Params = &PromptParams{Temperature: &nan} }, "temperature"},
		{"alternatives", func(p *Plan) { p.Params.Logprobs = ptr(-1) }, "alternatives"},
		{"metadata", func(p *Plan) { p.Params.Metadata = map[string]string{"a": "\xff"} }, "UTF-8"},
		{"extra body says the model", func(p *Plan) { p.Targets[0].ExtraBody = map[string]json.RawMessage{"model": []byte(`1`)} }, "elsewhere"},
		{"extra body is no JSON", func(p *Plan) { p.Targets[0].ExtraBody = map[string]json.RawMessage{"x": []byte(`{`)} }, "not JSON"},
		{"key id", func(p *Plan) { p.Keys[0].ID = "" }, `key ""`},
		{"key twice", func(p *Plan) { p.Keys = append(p.Keys, p.Keys[0]) }, "given twice"},
		{"stamp alone", func(p *Plan) { p.Keys[0].Stamp = "x.tsr" }, "no commitment"},
		{"test id", func(p *Plan) { p.Tests[0].ID = "" }, "no id"},
		{"test twice", func(p *Plan) { p.Tests = append(p.Tests, p.Tests[0]) }, "given twice"},
		{"family", func(p *Plan) { p.Tests[0].Family = "" }, "family"},
		{"test's key", func(p *Plan) { p.Tests[0].Key = "k-9" }, `key "k-9"`},
		{"test's target", func(p *Plan) { p.Tests[0].Target = "x" }, `target "x"`},
		{"mode", func(p *Plan) { p.Tests[0].Mode = "both" }, `mode "both"`},
		{"weights", func(p *Plan) { p.Tests[0].Weights = "auto" }, `weights "auto"`},
		{"filtered primary", func(p *Plan) { p.Tests[0].Filter = "w.bin" }, "primary"},
		{"max_tokens", func(p *Plan) { p.Params.MaxTokens = 0 }, "max_tokens"},
		{"temperature", func(p *Plan) { p.Params.Temperature = &nan }, "temperature"},
		{"alpha 0", func(p *Plan) { p.Alpha = 0 }, "alpha"},
		{"alpha NaN", func(p *Plan) { p.Alpha = nan }, "alpha"},
		{"decoys", func(p *Plan) { p.Decoys.N = -1 }, "decoys"},
		{"few decoys", func(p *Plan) { p.Decoys.N, p.Decoys.SDTolerance, p.Decoys.KSLevel = 98, .3, 1e-3 }, "at least 99"},
		{"gate of none", func(p *Plan) { p.Decoys = DecoyPlan{SDTolerance: .1, KSLevel: 1e-3} }, "gate"},
		{"half a gate", func(p *Plan) { p.Decoys.SDTolerance = .1 }, "gate"},
		{"no tolerance", func(p *Plan) { p.Decoys.SDTolerance, p.Decoys.KSLevel = -1, 1e-3 }, "gate"},
		{"decoy seed", func(p *Plan) { p.Decoys.SeedCommitment = "" }, "committed"},
		{"check every", func(p *Plan) { p.Stop.CheckEvery = -1 }, "check_every"},
		{"stop under fixed n", func(p *Plan) { p.Stop.OnEvidence = true }, "only e-process tests"},
		{"cap", func(p *Plan) { p.Caps.MaxCost = -1 }, "cap"},
		{"money alone, no price", func(p *Plan) { p.Caps.MaxCost = 5 }, "no price"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := testPlan(3)
			tt.change(p)
			err := p.Validate()
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "plan: ") {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func BenchmarkItems(b *testing.B) {
	p := testPlan(1000)
	p.Samples = 10
	b.ReportAllocs()
	for b.Loop() {
		if n := len(p.Items()); n != 20_000 {
			b.Fatal(n)
		}
	}
}

// TestPromptsForSomeTargets: a prompt may be put to some of the targets only, and the
// order of what the others are asked stays as it was.
func TestPromptsForSomeTargets(t *testing.T) {
	t.Parallel()
	p := testPlan(6)
	others := func() (ids []string) {
		for _, it := range p.Items() {
			if it.Prompt.ID != "p-003" {
				ids = append(ids, it.ID)
			}
		}
		return ids
	}
	before := others()
	p.Prompts[3].Targets = []string{p.Targets[1].Name}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	if after := others(); !slices.Equal(before, after) {
		t.Errorf("the order of the others changed: %v, was %v", after, before)
	}
	if a, b := p.Count(&p.Targets[0]), p.Count(&p.Targets[1]); a != 5 || b != 6 || len(p.Items()) != 11 {
		t.Errorf("%d and %d replies, %d items", a, b, len(p.Items()))
	}
	for _, bad := range [][]string{{"nobody"}, {p.Targets[0].Name, p.Targets[0].Name}} {
		p.Prompts[3].Targets = bad
		if err := p.Validate(); err == nil {
			t.Errorf("targets %v are accepted", bad)
		}
	}
}
