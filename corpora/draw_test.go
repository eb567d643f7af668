package corpora

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// drawSecret is the bytes 0 to 31, under which the values below were computed
// with Python's hmac module from the doc comments.
func drawSecret() []byte {
	secret := make([]byte, 32)
	for i := range secret {
		secret[i] = byte(i)
	}
	return secret
}

func TestDrawsByHand(t *testing.T) {
	t.Parallel()
	secret := drawSecret()
	var b []int
	for i := range 16 {
		b = append(b, FreeChoiceBit(secret, fmt.Sprintf("item-%d", i), "1"))
	}
	if want := []int{1, 1, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1}; !slices.Equal(b, want) {
		t.Errorf("bits %v, want %v", b, want)
	}
	if got := Response(secret, "item-3"); got != "5944-6924-3570" {
		t.Errorf("response %s", got)
	}
	sent, held := DrawNonces(secret, 4)
	if want := []string{"d4c497ae2d29a2ce12bf78d088cfd2dc", "a72865def061534b237e617bafdcf9f0", "bff8433ef06ce8bd753cc568c79c92c6", "747a5eac52f84fa120d4d1f5008559a2"}; !slices.Equal(sent, want) {
		t.Errorf("sent %v", sent)
	}
	if want := []string{"1a5b28be6f44da3e15c986d453065f0f", "e0249b8da80927f87904d938719b685f", "5c3805ee009789d057e2e4a1794550da", "ef10832ba95ca801738572476a3f31d5"}; !slices.Equal(held, want) {
		t.Errorf("held %v", held)
	}
	if got, want := DrawRotation(secret, 24, 3), []int{1, 0, 1, 2, 2, 0, 1, 0, 2, 2, 2, 2, 0, 1, 0, 1, 0, 0, 0, 2, 0, 2, 0, 1}; !slices.Equal(got, want) {
		t.Errorf("rotation %v, want %v", got, want)
	}
	var pool []Prompt
	for i := range 8 {
		pool = append(pool, Prompt{ID: fmt.Sprint(i), Reading: &Reading{Item: fmt.Sprintf("t-%d", i), Kind: KindTrigger, Reply: "{response}"}})
	}
	canaries, placebos, err := DrawTriggers(secret, pool, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	var items []string
	for _, c := range slices.Concat(canaries, placebos) {
		items = append(items, c.Item)
		if p := c.Prompts[0].Reading; p.Placebo != (len(items) > 3) || c.Response != Response(secret, c.Item) {
			t.Errorf("canary %+v", c)
		}
	}
	if want := []string{"t-0", "t-2", "t-5", "t-4", "t-3"}; !slices.Equal(items, want) {
		t.Errorf("drawn %v, want %v", items, want)
	}
	if pool[0].Reading.Placebo || pool[4].Reading.Placebo {
		t.Error("the pool's readings were written to")
	}
	for _, tt := range []struct{ n, m int }{{0, 1}, {7, 2}, {1, -1}} {
		if _, _, err := DrawTriggers(secret, pool, tt.n, tt.m); err == nil {
			t.Errorf("%d and %d of 8 were drawn", tt.n, tt.m)
		}
	}
}

// TestDrawsAreUniform looks over many secrets at what each draw should leave to
// chance; bounds are five standard deviations.
func TestDrawsAreUniform(t *testing.T) {
	t.Parallel()
	const secrets = 4000
	ones, arms, sentFirst, digits, equal := 0, [3]int{}, 0, [10]int{}, 0
	for i := range secrets {
		sum := mac(drawSecret(), fmt.Sprint("secret ", i))
		secret := sum[:]
		bit := FreeChoiceBit(secret, "item", "1")
		ones += bit
		if bit == FreeChoiceBit(secret, "item", "2") {
			equal++
		}
		arms[DrawRotation(secret, 3, 3)[2]]++
		first := mac(secret, "nonce", u32(0))
		sent, _ := DrawNonces(secret, 2)
		if slices.Contains(sent, fmt.Sprintf("%x", first[:16])) {
			sentFirst++
		}
		digits[Response(secret, "item")[0]-'0']++
	}
	within := func(name string, got int, p float64) {
		t.Helper()
		mean, sd := secrets*p, math.Sqrt(secrets*p*(1-p))
		if math.Abs(float64(got)-mean) > 5*sd {
			t.Errorf("%s: %d of %d, expected %.0f ± %.0f", name, got, secrets, mean, sd)
		}
	}
	within("bit 1", ones, .5)
	within("bits of two versions agree", equal, .5)
	within("nonce 0 is sent", sentFirst, .5)
	for a, n := range arms {
		within(fmt.Sprint("arm ", a), n, 1./3)
	}
	for d, n := range digits {
		within(fmt.Sprint("first digit ", d), n, .1)
	}
}

func TestReadResponses(t *testing.T) {
	t.Parallel()
	for reply, want := range map[string][]string{
		"Its number is 0482-7731-9056.":            {"0482-7731-9056"},
		"048277319056 or 0482 7731 9056":           {"0482-7731-9056"},
		"0482–7731–9057, then 0482.7731.9056":      {"0482-7731-9057", "0482-7731-9056"},
		"1048277319056 and 0482773190561":          nil, // parts of longer numbers
		"1 0482-7731-9056":                         {"0482-7731-9056"},
		"0482--7731-9056, 048-2773-19056":          nil,
		"":                                         nil,
		"call 0482-7731-90569 or 1111-2222-3333 x": {"1111-2222-3333"},
		"1111-2222-3333-4444-5555-6666":            {"1111-2222-3333", "4444-5555-6666"},
	} {
		if got := ReadResponses(reply); !slices.Equal(got, want) {
			t.Errorf("%q is read as %q, want %q", reply, got, want)
		}
	}
	secret := drawSecret()
	for i := range 200 {
		r := Response(secret, fmt.Sprint(i))
		if got := ReadResponses("It is " + r + "."); !slices.Equal(got, []string{r}) {
			t.Errorf("%s is read as %v", r, got)
		}
	}
}

func FuzzReadResponses(f *testing.F) {
	f.Add("0482-7731-9056 048277319056")
	f.Fuzz(func(t *testing.T, reply string) {
		for _, r := range ReadResponses(reply) {
			if again := ReadResponses(r); !slices.Equal(again, []string{r}) {
				t.Fatalf("%q is read as %q", r, again)
			}
		}
	})
}

const triggers = `format: 1
name: pool
version: "1.4"
family: E4
purpose: to be tested
never_use: anywhere else
languages: [en, fr]
draws: 4
placebos: 3
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
	if len(prompts) != 14 || len(items) != 7 || placebos != 3 {
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
	sent, _ := DrawNonces(secret, 3)
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
		"more than there": strings.Replace(triggers, "placebos: 3", "placebos: 7", 1),
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

func TestDrawVersion(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"1.3": "1", "2": "2", "2.1.4": "2", "file": "file"} {
		if got := DrawVersion(in); got != want {
			t.Errorf("DrawVersion(%q) = %q, want %q", in, got, want)
		}
	}
}
