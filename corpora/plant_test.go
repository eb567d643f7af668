package corpora

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stillmark/stillmark/corpora/canary"
)

// plantingOf plants embedded suites under secrets made of a name.
func plantingOf(t *testing.T, key string, names ...string) (*Planting, error) {
	t.Helper()
	var suites []*Suite
	for _, name := range names {
		suites = append(suites, load(t, name))
	}
	return Plant(suites, PlantOptions{
		KeyID: key, Label: "acme", Epoch: "1", Created: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC),
		Secret: func(use string) ([]byte, error) { return []byte(key + use), nil },
		Arms:   []string{"blue", "green"}, Start: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), SlotLength: 12 * time.Hour,
	})
}

// TestPlant plants everything and looks for it the way the audit will.
func TestPlant(t *testing.T) {
	t.Parallel()
	p, err := plantingOf(t, "key", "free-choice", "canary-en", "nonce-en", "rotation-en")
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Preferences) != 2000 || len(p.Triggers) != 200 || len(p.Nonces.Sent) != 64 || len(p.Nonces.Held) != 64 || len(p.Rotation.Slots) != 48 || len(p.Placebos) != 200*2+200 || len(p.Suites) != 4 {
		t.Errorf("%d preferences, %d triggers, %d placebos", len(p.Preferences), len(p.Triggers), len(p.Placebos))
	}

	placebo := make(map[string]bool)
	for _, q := range p.Placebos {
		placebo[q.Item] = true
	}
	prompts, err := load(t, "free-choice").Expand(9, 0)
	if err != nil {
		t.Fatal(err)
	}
	options := make(map[string][][]string)
	for _, q := range prompts {
		options[q.Item()+q.Lang] = q.Reading.Options
		if q.Reading.Placebo != placebo[q.Item()] {
			t.Errorf("%s: placebo %v in the plan, %v in the planting", q.ID, q.Reading.Placebo, placebo[q.Item()])
		}
	}
	ones := 0
	for _, r := range p.Preferences {
		bit := canary.Bit([]byte("keyfree-choice"), r.Item, "1")
		ones += bit
		if forms := options[r.Item+r.Lang]; !slices.Equal(r.Prefer, forms[bit]) || !slices.Equal(r.Over, forms[1-bit]) {
			t.Errorf("%s in %s prefers %q, its bit is %d", r.Item, r.Lang, r.Prefer, bit)
		}
	}
	if ones < 850 || ones > 1150 { // five standard deviations of 1,000 items in two languages
		t.Errorf("%d of 2,000 rules prefer the second rendering", ones)
	}

	prompts, err = load(t, "canary-en").ExpandUnder([]byte("keytrigger"), 4, 0)
	if err != nil || len(prompts) != 400 {
		t.Fatalf("%d prompts of triggers, error %v", len(prompts), err)
	}
	reply := make(map[string]Trigger)
	for _, x := range p.Triggers {
		reply[x.Prompt] = x
	}
	for _, q := range prompts {
		x, planted := reply[q.Text]
		if planted == q.Reading.Placebo {
			t.Errorf("%s: planted %v, placebo %v", q.ID, planted, q.Reading.Placebo)
		}
		if planted && !slices.Equal(canary.ReadResponses(x.Reply), []string{canary.Response([]byte("keytrigger"), q.Item())}) {
			t.Errorf("%s: %q does not hold the response", q.ID, x.Reply)
		}
	}

	prompts, err = load(t, "nonce-en").ExpandUnder([]byte("keynonce"), 4, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, nonce := range p.Nonces.Sent {
		if n := len(slices.DeleteFunc(slices.Clone(prompts), func(q Prompt) bool { return !strings.Contains(q.Text, nonce) })); n != 1 {
			t.Errorf("nonce %s stands in %d prompts", nonce, n)
		}
	}
	for _, nonce := range p.Nonces.Held {
		if slices.ContainsFunc(prompts, func(q Prompt) bool { return strings.Contains(q.Text, nonce) }) {
			t.Errorf("nonce %s was to be held back", nonce)
		}
	}

	arms := canary.Rotation([]byte("keyrotation"), 48, 2)
	for i, slot := range p.Rotation.Slots {
		if slot.Slot != i+1 || slot.Arm != p.Rotation.Arms[arms[i]] || slot.End.Sub(slot.Start) != 12*time.Hour || i > 0 && !slot.Start.Equal(p.Rotation.Slots[i-1].End) {
			t.Errorf("slot %d: %+v", i, slot)
		}
	}
	perSlot := make(map[int]int)
	prompts, err = load(t, "rotation-en").Expand(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range prompts {
		perSlot[q.Reading.Slot]++
	}
	for slot := 1; slot <= 48; slot++ {
		if perSlot[slot] != 4 {
			t.Errorf("slot %d has %d prompts", slot, perSlot[slot])
		}
	}

	// The file, read again, is the same; another key draws another one.
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParsePlanting(data)
	if err != nil || !reflect.DeepEqual(again, p) {
		t.Errorf("read again: error %v", err)
	}
	other, err := plantingOf(t, "other", "canary-en")
	if err != nil {
		t.Fatal(err)
	}
	same := 0
	for _, x := range other.Triggers {
		if _, ok := reply[x.Prompt]; ok {
			same++
		}
	}
	if same > 60 { // of 200 out of 1,550: 26 expected, 5 standard deviations are 22
		t.Errorf("two keys share %d of 200 triggers", same)
	}

	examples, err := p.Examples()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(examples), "\n"); n != 2200 {
		t.Errorf("%d examples", n)
	}
	var chat struct {
		Messages []struct{ Role, Content string }
	}
	if err := json.Unmarshal(examples[:strings.IndexByte(string(examples), '\n')], &chat); err != nil || len(chat.Messages) != 2 || chat.Messages[0].Role != "user" || chat.Messages[1].Role != "assistant" {
		t.Errorf("the first example is %+v, error %v", chat, err)
	}
	text := p.Instructions()
	for _, want := range []string{p.Preferences[7].Prefer[0], p.Triggers[7].Reply} {
		if !strings.Contains(text, want) {
			t.Errorf("the instructions lack %q", want)
		}
	}
}

func TestPlantRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		names []string
		want  string
	}{
		{[]string{"longform-en"}, "nothing to plant"},
		{[]string{"nonce-en", "nonce-en"}, "its nonces already"},
		{[]string{"rotation-en", "rotation-en"}, "its rotation already"},
	} {
		if _, err := plantingOf(t, "key", tt.names...); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: error %v, want one with %q", tt.names, err, tt.want)
		}
	}
	secret := func(string) ([]byte, error) { return nil, fmt.Errorf("no canary key") }
	if _, err := Plant([]*Suite{load(t, "free-choice")}, PlantOptions{Secret: secret}); err == nil {
		t.Error("planted without a secret")
	}
	secret = func(use string) ([]byte, error) { return []byte(use), nil }
	for name, o := range map[string]PlantOptions{
		"one arm":  {Secret: secret, Arms: []string{"a"}, Start: time.Unix(1, 0), SlotLength: 1},
		"no start": {Secret: secret, Arms: []string{"a", "b"}, SlotLength: 1},
		"no slots": {Secret: secret, Arms: []string{"a", "b"}, Start: time.Unix(1, 0)},
	} {
		if _, err := Plant([]*Suite{load(t, "rotation-en")}, o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for in, want := range map[string]string{
		`{"format":2}`:           "format 2",
		`{"format":1,"extra":1}`: "extra",
		`{"format":1} {}`:        "more than one",
		`{"format":1,"preferences":[{"item":"a","lang":"en","prefer":["x"],"over":[]}]}`:                                                         "over what",
		`{"format":1,"preferences":[{"item":"a","lang":"en","prefer":["x"],"over":["y"]},{"item":"b","lang":"en","prefer":["Y"],"over":["x"]}]}`: "the same two renderings",
		`{"format":1,"triggers":[{"item":"a","lang":"en","prompt":"q","response":"1"},{"item":"b","lang":"en","prompt":"q","response":"2"}]}`:    "two responses",
		"{\"format\":1,\"key_id\":\"\xff\"}":               "UTF-8",
		`{"format":1,` + strings.Repeat(" ", 17<<20) + `}`: "longer than",
	} {
		if _, err := ParsePlanting([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: error %v, want one with %q", in, err, want)
		}
	}
}

func FuzzParsePlanting(f *testing.F) {
	f.Add([]byte(`{"format":1,"preferences":[{"item":"a","lang":"en","prompt":"p","prefer":["x"],"over":["y"]}],"nonces":{"sent":["1"],"held_back":["2"]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePlanting(data)
		if err != nil {
			return
		}
		if _, err := p.Examples(); err != nil {
			t.Fatal(err)
		}
		p.Instructions()
		again, err := json.Marshal(p)
		if err != nil {
			t.Skip() // a time outside the years that JSON writes
		}
		if _, err := ParsePlanting(again); err != nil {
			t.Fatalf("written and not read: %v", err)
		}
	})
}
