package family

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stillmark/stillmark/corpora/canary"
	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// listsOf are the lists of a scenario's own plan, for a run.
func (s *scenario) listsOf(k *watermark.Key, run int) []watermark.CommittedList {
	s.t.Helper()
	var out []watermark.CommittedList
	for i := range s.plan.Suites {
		ref := &s.plan.Suites[i]
		t := &s.plan.Tests[0]
		l := watermark.CommittedList{KeyID: k.ID, Family: t.Family, Suite: ref.Name, Version: ref.Version, SHA256: ref.SHA256, Run: run}
		if t.Options != nil {
			l.Options = []json.RawMessage{t.Options}
		}
		for j := range s.plan.Prompts {
			if q := &s.plan.Prompts[j]; q.Suite == ref.Name {
				said, err := CommitPrompt(k, q)
				if err != nil {
					s.t.Fatal(err)
				}
				l.Items = append(l.Items, said)
			}
		}
		out = append(out, l)
	}
	return out
}

// Only what was committed to with the key, all of it and nothing else, is exact evidence.
func TestListsDecideTheTier(t *testing.T) {
	t.Parallel()
	k := newCanary(t, 5)
	for name, tc := range map[string]struct {
		lists  func([]watermark.CommittedList) []watermark.CommittedList // nil: none
		change func(*ledger.Plan)                                        // after committing
		state  string
	}{
		"what is listed":      {lists: asListed, state: ListCommitted},
		"no list":             {state: ListAbsent},
		"a plan of old rules": {change: func(p *ledger.Plan) { p.Rules = 0 }},
		"a list of another family": {state: ListAbsent, lists: func(l []watermark.CommittedList) []watermark.CommittedList {
			l[0].Family = TriggerCanaries
			return l
		}},
		"a list of the second run": {state: ListOther, lists: func(l []watermark.CommittedList) []watermark.CommittedList {
			l[0].Run = 2
			return l
		}},
		"fewer prompts": {state: ListOther, lists: asListed, change: func(p *ledger.Plan) { p.Prompts = p.Prompts[:len(p.Prompts)-2] }},
		"more prompts":  {state: ListOther, lists: func(l []watermark.CommittedList) []watermark.CommittedList { l[0].Items = l[0].Items[2:]; return l }},
		"another order of options": {state: ListOther, lists: asListed, change: func(p *ledger.Plan) {
			p.Prompts[0].Reading = json.RawMessage(strings.Replace(string(p.Prompts[0].Reading), `[["amberen"],["cobalten"]]`, `[["cobalten"],["amberen"]]`, 1))
		}},
		"another wording":                     {state: ListOther, lists: asListed, change: func(p *ledger.Plan) { p.Prompts[4].Text += " Please." }},
		"another name":                        {state: ListOther, lists: asListed, change: func(p *ledger.Plan) { p.Prompts[4].ID = "q9999" }},
		"an item that the rival is not asked": {state: ListOther, lists: asListed, change: func(p *ledger.Plan) { p.Prompts[0].Targets = []string{"control-a"} }},
		"an item with less room":              {state: ListOther, lists: asListed, change: func(p *ledger.Plan) { p.Prompts[3].Params = &ledger.PromptParams{MaxTokens: 1} }},
		"an item with fewer samples":          {state: ListOther, lists: asListed, change: func(p *ledger.Plan) { p.Prompts[3].Samples = 1 }},
		"an item at another time": {state: ListOther, lists: asListed, change: func(p *ledger.Plan) {
			p.Prompts[3].NotBefore, p.Prompts[3].NotAfter = testTime.Add(-time.Hour), testTime.Add(time.Hour)
		}},
		"a suite left out": {state: ListOther, lists: func(l []watermark.CommittedList) []watermark.CommittedList {
			other := l[0]
			other.Suite = "more"
			return append(l, other)
		}},
		"another version": {state: ListOther, lists: asListed, change: func(p *ledger.Plan) { p.Suites[0].Version = "2.0" }},
		"options that no test has": {state: ListOther, lists: func(l []watermark.CommittedList) []watermark.CommittedList {
			l[0].Options = []json.RawMessage{json.RawMessage(`{"candidates":10}`)}
			return l
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := choosing(t, k, 60, 6, 1, 1)
			s.plan.Rules = ledger.RulesListed
			var lists []watermark.CommittedList
			if tc.lists != nil {
				lists = tc.lists(s.listsOf(k, 1))
			}
			if tc.change != nil {
				tc.change(s.plan)
			}
			s.body = keepPlanned(s)
			s.commitLists(k, testTime.Add(-48*time.Hour), lists)
			f := analyze(t, s.build(), k).Findings[0]
			exact := tc.state == ListCommitted || tc.state == ""
			if f.Committed.State != CommitBeforeServing || f.Committed.Lists != tc.state || (f.Tier == ledger.Exact) != exact {
				t.Errorf("lists %q, tier %s, %+v", f.Committed.Lists, f.Tier, f.Committed)
			}
			said := strings.Join(f.Warnings, " ")
			if strings.Contains(said, warningText[WarnListAbsent]) != (tc.state == ListAbsent) || strings.Contains(said, warningText[WarnListOther]) != (tc.state == ListOther) {
				t.Errorf("warnings %q", f.Warnings)
			}
		})
	}
}

// A plan's own cap ends a fixed-n test lawfully; among listed items it is a choice, since the
// order of a plan can be drawn anew until those that fit come first.
func TestListedItemsAreAskedWhole(t *testing.T) {
	t.Parallel()
	k := newCanary(t, 5)
	for _, tc := range []struct {
		missing int
		rules   int
		state   string
	}{{0, ledger.RulesListed, ListCommitted}, {3, ledger.RulesListed, ListPartial}, {3, 0, ""}} {
		s := choosing(t, k, 60, 6, 1, 1)
		s.plan.Rules = tc.rules
		lists := s.listsOf(k, 1)
		for _, q := range s.plan.Prompts[:tc.missing] {
			delete(s.body, ledger.ItemID("rival", q.Suite, q.ID, 0))
		}
		if tc.missing > 0 {
			s.plan.Caps.MaxRequests, s.stop = int64(len(s.body)), "cap:"+CapRequests
		}
		s.commitLists(k, testTime.Add(-48*time.Hour), lists)
		f := analyze(t, s.build(), k).Findings[0]
		if f.Committed.Lists != tc.state || (f.Tier == ledger.Exact) != (tc.state != ListPartial) || positive(f.Verdict) != (tc.state != ListPartial) {
			t.Errorf("%d missing under rules %d: lists %q, tier %s, %s", tc.missing, tc.rules, f.Committed.Lists, f.Tier, f.Verdict)
		}
	}
}

// An e-process takes listed items in the order of their list, which nobody drew anew.
func TestListedItemsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	items := choiceData(40, rand.New(rand.NewPCG(4, 5)))
	secret := make([]byte, 32)
	asked := newKeyedChoice(items)
	signs := asked.signs(secret)
	for i, it := range items {
		it.got, it.planned, it.last = 1, 1, uint64(1000*asked.lean[i]*signs[i]+1_000_000) // misses first
	}
	first, listed := asked.anytime(signs, false), asked.anytime(signs, true)
	for i, it := range items {
		it.last = uint64(i + 1)
	}
	if inOrder := asked.anytime(signs, false); listed != inOrder || listed == first {
		t.Errorf("log10 e %v in the order of the list, %v in that of the replies, %v if they come in order", listed, first, inOrder)
	}
}

// keepPlanned are the replies to what is still planned.
func keepPlanned(s *scenario) map[string]string {
	out := map[string]string{}
	for it := range s.plan.Order() {
		if body, ok := s.body[it.ID]; ok {
			out[it.ID] = body
		}
	}
	return out
}

// commitLists is commit with lists.
func (s *scenario) commitLists(k *watermark.Key, at time.Time, lists []watermark.CommittedList) {
	s.t.Helper()
	c, err := k.Commit()
	if err == nil {
		err = c.Bind(lists...)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.stamped(k, c, at)
}

// A rival that knows nothing and always takes the first of two options is audited with
// items that were named after the key was committed to, each the one of two candidates
// whose bit fits. Its number is as small as a guilty one's; it is not exact evidence.
func TestChosenItemsAreNotExact(t *testing.T) {
	t.Parallel()
	k := newCanary(t, 17)
	secret, err := k.CanarySecret(canary.UseFreeChoice)
	if err != nil {
		t.Fatal(err)
	}
	audit := func(candidates int) *scenario {
		s := newScenario(t, []string{"rival"}, nil)
		s.plan.Rules = ledger.RulesListed
		s.declare(KeyedChoice, k, nil)
		for i := range 100 {
			var name string
			for c := range candidates {
				if name = fmt.Sprintf("item-%d-%d", i, c); canary.Bit(secret, name, "1") == 0 {
					break
				}
			}
			s.ask("en", "words", fmt.Sprintf("amber or cobalt, %d?", i), reading.Reading{Item: name, Kind: reading.KindFreeChoice, Options: [][]string{{"amber"}, {"cobalt"}}})
		}
		for i := range s.plan.Prompts {
			s.say("rival", &s.plan.Prompts[i], 0, "amber")
		}
		return s
	}
	honest := audit(1)
	lists := honest.listsOf(k, 1)
	honest.commitLists(k, testTime.Add(-48*time.Hour), lists)
	if f := analyze(t, honest.build(), k).Findings[0]; f.Tier != ledger.Exact || *f.Log10P < -4 {
		t.Errorf("the committed items: tier %s, log10 p %v", f.Tier, *f.Log10P)
	}
	for _, tc := range []struct {
		candidates int
		lists      []watermark.CommittedList
	}{{2, nil}, {2, lists}, {8, lists}} {
		chosen := audit(tc.candidates)
		chosen.commitLists(k, testTime.Add(-48*time.Hour), tc.lists)
		f := analyze(t, chosen.build(), k).Findings[0]
		if f.Tier != ledger.Exploratory || *f.Log10P > -5 || positive(f.Verdict) {
			t.Errorf("best of %d names: tier %s, log10 p %v, %s", tc.candidates, f.Tier, *f.Log10P, f.Verdict)
		}
	}
}

// Suites that each hold one listed item are asked alike, too; a prompt of a suite that the test
// does not read is no business of it.
func TestListedSuitesAreAskedAlike(t *testing.T) {
	t.Parallel()
	k := newCanary(t, 17)
	room := &ledger.PromptParams{MaxTokens: 1}
	for name, tc := range map[string]struct {
		params  func(i int) *ledger.PromptParams
		beside  bool // a prompt without a reply in another suite
		state   string
		verdict ledger.Verdict
	}{
		"alike":              {params: func(int) *ledger.PromptParams { return room }, state: ListCommitted, verdict: ledger.VerdictSingleRun},
		"some less":          {params: func(i int) *ledger.PromptParams { return []*ledger.PromptParams{nil, room}[i%2] }, state: ListOther, verdict: ledger.VerdictExploratory},
		"others are missing": {params: func(int) *ledger.PromptParams { return nil }, beside: true, state: ListCommitted, verdict: ledger.VerdictSingleRun},
	} {
		s := choosing(t, k, 60, 6, 1, 1)
		s.plan.Rules = ledger.RulesListed
		items := len(s.plan.Prompts)
		ref := s.plan.Suites[0]
		s.plan.Suites = nil
		body := map[string]string{}
		for i := range items {
			q := &s.plan.Prompts[i]
			was := q.Suite
			ref.Name = fmt.Sprint("words", i)
			q.Suite, q.Params = ref.Name, tc.params(i)
			s.plan.Suites = append(s.plan.Suites, ref)
			for _, target := range []string{"rival", "control-a"} {
				for sample := range 2 {
					body[ledger.ItemID(target, q.Suite, q.ID, sample)] = s.body[ledger.ItemID(target, was, q.ID, sample)]
				}
			}
			s.plan.Tests[0].Suites = append(s.plan.Tests[0].Suites, ref.Name)
		}
		s.body = body
		lists := s.listsOf(k, 1)
		if tc.beside {
			s.ask("en", "words", "Who are you?", reading.Reading{Item: "z", Kind: reading.KindFreeChoice, Options: [][]string{{"amber"}, {"cobalt"}}}).Suite = "other"
			ref.Name = "other"
			s.plan.Suites, s.stop = append(s.plan.Suites, ref), StopGivenUp
		}
		s.commitLists(k, testTime.Add(-48*time.Hour), lists)
		f := analyze(t, s.build(), k).Findings[0]
		if f.Committed.Lists != tc.state || f.Verdict != tc.verdict {
			t.Errorf("%s: lists %q, tier %s, %s, %q", name, f.Committed.Lists, f.Tier, f.Verdict, f.Warnings)
		}
	}
}

// Best of many subsets of a public suite: the number looks like a lead and stays one.
func TestChosenSubsetIsNotExact(t *testing.T) {
	t.Parallel()
	k := newCanary(t, 23)
	secret, err := k.CanarySecret(canary.UseFreeChoice)
	if err != nil {
		t.Fatal(err)
	}
	whole := newScenario(t, []string{"rival"}, nil)
	whole.plan.Rules = ledger.RulesListed
	whole.declare(KeyedChoice, k, nil)
	for i := range 400 {
		whole.ask("en", "words", fmt.Sprintf("amber or cobalt, %d?", i), reading.Reading{Item: fmt.Sprint("item-", i), Kind: reading.KindFreeChoice, Options: [][]string{{"amber"}, {"cobalt"}}})
	}
	lists := whole.listsOf(k, 1)
	var best []int
	most := 0
	for seed := range uint64(2000) {
		subset := rand.New(rand.NewPCG(seed, 1)).Perm(400)[:60]
		hits := 0
		for _, i := range subset {
			hits += 1 - canary.Bit(secret, fmt.Sprint("item-", i), "1")
		}
		if hits > most {
			best, most = subset, hits
		}
	}
	var prompts []ledger.Prompt
	for _, i := range best {
		prompts = append(prompts, whole.plan.Prompts[i])
	}
	whole.plan.Prompts = prompts
	for i := range prompts {
		whole.say("rival", &whole.plan.Prompts[i], 0, "amber")
	}
	whole.commitLists(k, testTime.Add(-48*time.Hour), lists)
	f := analyze(t, whole.build(), k).Findings[0]
	if f.Tier != ledger.Exploratory || *f.Log10P > -2 || f.Committed.Lists != ListOther {
		t.Errorf("best of 2,000 subsets: tier %s, log10 p %v, %+v", f.Tier, *f.Log10P, f.Committed)
	}
}

// A plan that says that it is of old rules is believed as long as an authority's
// token says so, too.
func TestOldRulesEnd(t *testing.T) {
	t.Parallel()
	for _, id := range []string{ReadingMode, KeyedChoice, TriggerCanaries, NonceForwarding, RotationLag} {
		fam, _ := ByID(id)
		for _, tc := range []struct {
			rules   int
			stamped time.Time
			want    bool
		}{{0, listsFrom.Add(-time.Second), false}, {0, listsFrom, true}, {ledger.RulesListed, testTime, true}} {
			if got := listsRead(&ledger.Plan{Rules: tc.rules}, &fam, tc.stamped); got != tc.want {
				t.Errorf("%s, rules %d, stamped %s: lists needed %v", id, tc.rules, tc.stamped, got)
			}
		}
	}
	fam, _ := ByID(Radioactivity)
	if listsRead(&ledger.Plan{}, &fam, listsFrom) || !listsRead(&ledger.Plan{Rules: ledger.RulesListed}, &fam, testTime) || fam.Listed {
		t.Error("E1 says of a new plan what was listed, and of no old one")
	}
}

func asListed(l []watermark.CommittedList) []watermark.CommittedList { return l }

// What is hashed of a prompt is pinned, however the plan writes its reading: a change here
// makes every list ever timestamped worthless.
func TestCommitPromptDefinition(t *testing.T) {
	t.Parallel()
	k := newCanary(t, 1)
	q := ledger.Prompt{ID: "a", Suite: "s", Lang: "en", Category: "words", Text: "this or <that>?", Reading: json.RawMessage(`{"item":"a","kind":"free-choice","options":[["this"],["<that>"]]}`)}
	want := k.CommitItem([]byte(`{"id":"a","lang":"en","category":"words","text":"this or \u003cthat\u003e?","reading":{"item":"a","kind":"free-choice","options":[["this"],["\u003cthat\u003e"]]}}`))
	for _, reading := range []string{string(q.Reading), strings.ReplaceAll(string(q.Reading), `,`, ",\n    "), strings.NewReplacer("<", `\u003c`, ">", `\u003e`).Replace(string(q.Reading))} {
		q.Reading = json.RawMessage(reading)
		if got, err := CommitPrompt(k, &q); err != nil || got != want {
			t.Errorf("%s: %s, want %s (%v)", reading, got, want, err)
		}
	}
}

// A second run counts what the first did not have: a first run that asked what nobody listed
// would choose the items of the second.
func TestFirstRunWasListed(t *testing.T) {
	t.Parallel()
	k := newCanary(t, 5)
	half := func(run int, listed bool) *scenario {
		s := choosing(t, k, 60, 6, 1, 1)
		s.plan.Rules = ledger.RulesListed
		if run == 1 {
			s.plan.Prompts = s.plan.Prompts[:60]
		} else {
			s.plan.Prompts = s.plan.Prompts[60:]
		}
		lists := s.listsOf(k, run)
		if !listed {
			lists = nil
		}
		s.body = keepPlanned(s)
		s.commitLists(k, testTime.Add(-48*time.Hour), lists)
		return s
	}
	const week = 8 * 24 * time.Hour
	for _, tc := range []struct {
		first bool
		state string
	}{{true, ListCommitted}, {false, ListOther}} {
		f := analyze(t, secondRun(t, half(1, tc.first).build(), half(2, true), week), k).Findings[0]
		if f.Committed.Lists != tc.state || (f.Tier == ledger.Exact) != tc.first || f.Verdict == ledger.VerdictDependence && !tc.first {
			t.Errorf("first run listed %v: lists %q, tier %s, %s", tc.first, f.Committed.Lists, f.Tier, f.Verdict)
		}
	}
}
