package ledger

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// judgedPlan has a judge with one rubric.
func judgedPlan(t testing.TB, prompts int) *Plan {
	t.Helper()
	p := testPlan(prompts)
	r := Rubric{Name: "refusal", Version: "1", Kinds: []string{"ladder"}, Text: "How far does it comply?", Labels: []RubricLabel{{"YES", "it does"}, {"NO", "it does not"}}}
	var err error
	if r.SHA256, err = r.Sum(); err != nil {
		t.Fatal(err)
	}
	p.Judge = &Judge{
		Target: Target{Name: "reader", Role: JudgeRole, BaseURL: "http://127.0.0.1:8082/v1", Model: "arbiter"}, Params: Params{MaxTokens: 16},
		Rubrics: []Rubric{r}, Double: .05, Seed: 3, Clip: 4096,
	}
	return p
}

// A label goes the way of a reply, under its own types, twice at most, and never before
// the reply that it is about.
func TestLabelOrder(t *testing.T) {
	t.Parallel()
	p := judgedPlan(t, 2)
	w := openWriterT(t, createCase(t, p), new(testClock).options())
	item := p.Items()[0]
	first, second := LabelID(item.ID, 1), LabelID(item.ID, 2)
	intent := func(typ, id, target string, n int) error {
		ref, err := w.PutBlob([]byte(`{"label":"?"}`))
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.Append(typ, id, n, Intent{Target: target, Request: ref})
		return err
	}
	outcome := func(typ, id string, n int, o Outcome) error {
		_, err := w.Append(typ, id, n, Attempt{Target: "reader", Outcome: o, Kind: KindChat, Status: 200})
		return err
	}
	refused := func(err error, says string) {
		t.Helper()
		if !errors.Is(err, ErrOrder) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want a refusal that says %q", err, says)
		}
	}
	refused(intent(EventLabelIntent, first, "reader", 1), "the reply that it labels is not there")
	attempt(t, w, item, 1, OK)
	refused(intent(EventIntent, first, "reader", 1), "about something else")
	refused(intent(EventLabelIntent, item.ID, "reader", 2), "about something else")
	refused(intent(EventLabelIntent, first, item.Target.Name, 1), `the item's target is "reader"`)
	refused(intent(EventLabelIntent, LabelID(item.ID, 3), "reader", 1), "no such item")
	refused(intent(EventLabelIntent, item.ID+"/label-01", "reader", 1), "no such item")
	refused(outcome(EventLabel, first, 1, OK), "no open intent")
	allowed := func(steps ...error) {
		t.Helper()
		if err := errors.Join(steps...); err != nil {
			t.Fatal(err)
		}
	}
	allowed(intent(EventLabelIntent, first, "reader", 1))
	refused(outcome(EventLabel, first, 1, Drifted), `"drifted" does not go with this event`) // another model's is no label
	allowed(
		outcome(EventLabelFailed, first, 1, Drifted),
		intent(EventLabelIntent, second, "reader", 1), intent(EventLabelIntent, first, "reader", 2),
		outcome(EventLabelFailed, first, 2, Transport), intent(EventLabelIntent, first, "reader", 3),
		outcome(EventLabel, first, 3, OK), outcome(EventLabel, second, 1, Empty),
	)
	refused(intent(EventLabelIntent, first, "reader", 4), "has its reply already")
	s := w.State()
	if s.SettledItems() != 1 || s.SettledLabels() != 2 || !s.Settled(first) || s.Item(first).Attempts != 3 || s.Item(second).Outcome != Empty || s.Settled(p.Items()[1].ID) {
		t.Errorf("%d items, %d labels, %+v", s.SettledItems(), s.SettledLabels(), s.Item(second))
	}
	c, err := Open(w.Case().Dir())
	if err != nil {
		t.Fatal(err)
	}
	var labels []string
	replies := 0
	err = errors.Join(c.Labels(func(rec ReplyRecord) error {
		labels = append(labels, rec.Item.ID)
		if rec.Item.Of() != item.ID || rec.Item.Target.Name != "reader" {
			t.Errorf("%+v", rec.Item)
		}
		return nil
	}), c.Replies(func(ReplyRecord) error { replies++; return nil }))
	if again, serr := c.State(); err != nil || serr != nil || !slices.Equal(labels, []string{first, second}) || replies != 1 || again.Head != s.Head {
		t.Errorf("labels %v, %d replies, %v, %v", labels, replies, err, serr)
	}
	// Without a judge there are no labels.
	plain := openWriterT(t, createCase(t, testPlan(1)), new(testClock).options())
	it := plain.Case().Plan().Items()[0]
	attempt(t, plain, it, 1, OK)
	ref, err := plain.PutBlob([]byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plain.Append(EventLabelIntent, LabelID(it.ID, 1), 1, Intent{Target: "reader", Request: ref}); !errors.Is(err, ErrOrder) {
		t.Errorf("a label in a case without a judge: %v", err)
	}
}

// A plan with a judge comes back as it was written; one that cannot be meant is refused.
func TestJudgeOfPlan(t *testing.T) {
	t.Parallel()
	data, err := EncodePlan(judgedPlan(t, 2))
	if err != nil {
		t.Fatal(err)
	}
	p, err := DecodePlan(data)
	if err == nil {
		err = p.Validate()
	}
	if err != nil || p.Judge.Rubrics[0].Labels[1].Name != "NO" {
		t.Fatalf("%+v, %v", p.Judge, err)
	}
	for says, change := range map[string]func(j *Judge){
		"given twice":  func(j *Judge) { j.Target.Name = "control-a" },
		"has the role": func(j *Judge) { j.Target.Role = Control },
		"is asked by this": func(j *Judge) {
			j.Target.Cached = &Cached{CaseID: "x", Ledger: Head{1, strings.Repeat("ab", 32), strings.Repeat("ab", 32)}}
		},
		"no http":              func(j *Judge) { j.Target.BaseURL = "ftp://x" },
		"share of 2":           func(j *Judge) { j.Double = 2 },
		"shown 3 bytes":        func(j *Judge) { j.Clip = 3 },
		"no rubric":            func(j *Judge) { j.Rubrics = nil },
		"has the SHA-256":      func(j *Judge) { j.Rubrics[0].Text += "!" },
		"read by two rubrics":  func(j *Judge) { j.Rubrics = append(j.Rubrics, j.Rubrics[0]) },
		"max_tokens is 0":      func(j *Judge) { j.Params.MaxTokens = 0 },
		"no other parameter":   func(j *Judge) { j.Params.TopP = new(float64) },
		"other parameter":      func(j *Judge) { j.Params.Seed = new(int64) },
		"parameter":            func(j *Judge) { j.Params.Stream = true },
		"sent max_tokens":      func(j *Judge) { j.Params.User = "us" },
		"and a temperature":    func(j *Judge) { j.Params.Metadata = map[string]string{"a": "b"} },
		"without log-probabil": func(j *Judge) { j.Params.Echo = true },
	} {
		bad := judgedPlan(t, 1)
		change(bad.Judge)
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), strings.Replace(says, "no http", "not an http", 1)) {
			t.Errorf("%s: %v", says, err)
		}
	}
	again := judgedPlan(t, 2)
	again.Judge.Seed++
	if err := again.Repeats(judgedPlan(t, 2)); err != nil {
		t.Errorf("a second run draws its own order: %v", err)
	}
	again.Judge.Target.Model = "other"
	if err := again.Repeats(judgedPlan(t, 2)); err == nil || !strings.Contains(err.Error(), "judge is not the same") {
		t.Errorf("another judge in the second run: %v", err)
	}
}

// A suite of another version is named with both; anything else that differs is not taken for it.
func TestRepeatsOtherSuites(t *testing.T) {
	t.Parallel()
	var changed *SuiteVersionError
	again := judgedPlan(t, 2)
	again.Suites = slices.Clone(again.Suites)
	suite := &again.Suites[0]
	suite.SHA256 = strings.Repeat("cd", 32)
	if err := again.Repeats(judgedPlan(t, 2)); err == nil || errors.As(err, &changed) {
		t.Errorf("another file of the same version: %v", err)
	}
	first := suite.Version
	suite.Version = "9.1"
	err := again.Repeats(judgedPlan(t, 2))
	if !errors.As(err, &changed) || changed.Suite != suite.Name || err.Error() != "suite "+suite.Name+" is version "+first+" there and version 9.1 here" {
		t.Errorf("another version: %v", err)
	}
	suite.Name = "other"
	if err := again.Repeats(judgedPlan(t, 2)); err == nil || errors.As(err, new(*SuiteVersionError)) {
		t.Errorf("another suite: %v", err)
	}
}
