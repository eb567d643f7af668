package corpora

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/corpora/canary"
	"github.com/stillmark/stillmark/corpora/reading"
)

func drawSecret() []byte { return []byte(strings.Repeat("secret", 6)[:32]) }

func TestDrawTriggers(t *testing.T) {
	t.Parallel()
	secret := drawSecret()
	var pool []Prompt
	for i := range 8 {
		pool = append(pool, Prompt{ID: fmt.Sprint(i), Reading: &Reading{Item: fmt.Sprintf("t-%d", i), Kind: reading.KindTrigger, Reply: "{response}"}})
	}
	canaries, placebos, err := DrawTriggers(secret, pool, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	var items, names []string
	for _, p := range pool {
		names = append(names, p.Reading.Item)
	}
	for _, c := range slices.Concat(canaries, placebos) {
		items = append(items, c.Item)
		if p := c.Prompts[0].Reading; p.Placebo != (len(items) > 3) || c.Response != canary.Response(secret, c.Item) {
			t.Errorf("canary %+v", c)
		}
	}
	if want := canary.Order(secret, names)[:5]; !slices.Equal(items, want) {
		t.Errorf("drawn %v, want %v", items, want)
	}
	for _, p := range pool {
		if p.Reading.Placebo {
			t.Error("the pool's readings were written to")
		}
	}
	for _, tt := range []struct{ n, m int }{{0, 1}, {7, 2}, {1, -1}} {
		if _, _, err := DrawTriggers(secret, pool, tt.n, tt.m); err == nil {
			t.Errorf("%d and %d of 8 were drawn", tt.n, tt.m)
		}
	}
}

const triggers = `format: 1
name: pool
version: "1.4"
family: E4
purpose: to be tested
never_use: anywhere else
languages: [en, fr]
draws: 3
placebos: 4
groups:
  - category: museum
    reading: {kind: trigger, reply: {en: "Its number is {response}.", fr: "Son numéro est {response}."}}
    templates:
      - id: m
        text: {en: "What is the number of the {x} loom?", fr: "Quel est le numéro du métier {x} ?"}
        slots: {x: [Arlo, Belt, Carn, Dunn, Earl, Fosk, Garn, Holt, Ilde, Jarn]}
`

const nonces = `format: 1
name: nonces
version: "1"
family: E5
purpose: to be tested
never_use: anywhere else
languages: [en]
draws: 3
groups:
  - category: notes
    lang: en
    reading: {kind: nonce}
    templates:
      - {id: n, text: "Reference {nonce}: name the {x} planet.", slots: {x: [first, second, third, fourth]}}
`

func TestExpandUnder(t *testing.T) {
	t.Parallel()
	s, err := parseYAML([]byte(triggers))
	if err != nil {
		t.Fatal(err)
	}
	if problems := s.Lint(); len(problems) > 0 {
		t.Fatalf("problems %v", problems)
	}
	if _, err := s.Expand(1, 0); err == nil || !strings.Contains(err.Error(), "canary key") {
		t.Errorf("without a key: %v", err)
	}
	secret := drawSecret()
	prompts, err := s.ExpandUnder(secret, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	items := make(map[string]bool)
	for _, p := range prompts {
		items[p.Item()] = p.Reading.Placebo
	}
	placebos := 0
	for _, placebo := range items {
		if placebo {
			placebos++
		}
	}
	if len(prompts) != 14 || len(items) != 7 || placebos != 4 {
		t.Errorf("%d prompts of %d items, %d of them placebos", len(prompts), len(items), placebos)
	}
	for seed := range uint64(3) { // another seed orders anew and draws the same
		part, err := s.ExpandUnder(secret, seed, 5)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range part {
			if placebo, ok := items[p.Item()]; !ok || placebo != p.Reading.Placebo {
				t.Errorf("seed %d: %s is not what was planted", seed, p.Item())
			}
		}
	}

	s, err = parseYAML([]byte(nonces))
	if err != nil {
		t.Fatal(err)
	}
	if problems := s.Lint(); len(problems) > 0 {
		t.Fatalf("problems %v", problems)
	}
	sent, _ := canary.Nonces(secret, 3)
	text := make(map[string]string)
	for seed := range uint64(3) {
		prompts, err = s.ExpandUnder(secret, seed, 0)
		if err != nil || len(prompts) != 3 {
			t.Fatalf("%d prompts, error %v", len(prompts), err)
		}
		for _, p := range prompts {
			if !slices.ContainsFunc(sent, func(n string) bool { return strings.Contains(p.Text, "Reference "+n+":") }) {
				t.Errorf("%q has no nonce that is sent", p.Text)
			}
			if before, ok := text[p.ID]; ok && before != p.Text {
				t.Errorf("%s is %q and %q", p.ID, p.Text, before)
			}
			text[p.ID] = p.Text
		}
	}
	if len(text) != 3 {
		t.Errorf("seeds chose %d prompts for 3 nonces", len(text))
	}
	if _, err := parseSmall(t).ExpandUnder(secret, 1, 0); err == nil {
		t.Error("a suite without draws was drawn")
	}
	for name, src := range map[string]string{
		"no draws":        strings.Replace(nonces, "draws: 3\n", "", 1),
		"no slot":         strings.Replace(nonces, "{nonce}", "none", 1),
		"reply":           strings.Replace(triggers, "Its number is {response}.", "It has none.", 1),
		"more than there": strings.Replace(triggers, "placebos: 4", "placebos: 8", 1),
	} {
		s, err := parseYAML([]byte(src))
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err := s.ExpandUnder(secret, 1, 0); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := parseYAML([]byte(strings.Replace(triggers, "of the {x} loom", "of {x} {response}", 1))); err == nil {
		t.Error("a response is asked for")
	}
}

func TestSlotsOfASchedule(t *testing.T) {
	t.Parallel()
	s := parseAsked(t, "samples: 4", "samples: 4\nslots: 5")
	prompts, err := s.Expand(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range prompts {
		if p.Reading.Slot != i%5+1 {
			t.Errorf("prompt %d is in slot %d", i, p.Reading.Slot)
		}
	}
}
