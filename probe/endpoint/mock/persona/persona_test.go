package persona

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/ledger"
)

func prompt(t testing.TB, i int, r reading.Reading) *ledger.Prompt {
	t.Helper()
	r.Item = fmt.Sprint("item", i)
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return &ledger.Prompt{ID: fmt.Sprint("p", i), Suite: "s", Lang: "en", Text: fmt.Sprintf("Question %d?", i), Reading: data}
}

func answer(t testing.TB, m *Model, p *ledger.Prompt, sample int) string {
	t.Helper()
	text, err := m.Answer(p, sample)
	if err != nil || text == "" {
		t.Fatalf("%q, %v", text, err)
	}
	return text
}

// The planted transfer is the share of items on which a model follows its teacher, and
// two strangers agree in their errors far more often than by chance.
func TestTransferAndSharedErrors(t *testing.T) {
	t.Parallel()
	w := NewWorld(7)
	teacher := w.Model(Traits{Name: "teacher", School: "a", Ability: .3})
	stranger := w.Model(Traits{Name: "stranger", School: "b", Ability: .3})
	q := func(i int) question {
		correct := 0
		return question{Reading: &reading.Reading{Item: fmt.Sprint(i), Options: make([][]string, 5), Correct: &correct}, suite: "s", id: fmt.Sprint(i)}
	}
	const n = 4000
	for _, rate := range []float64{0, .05, .3, 1} {
		student := w.Model(Traits{Name: fmt.Sprint("student", rate), School: "b", Ability: .3, Transfer: rate, Teacher: teacher})
		followed, both, alike := 0, 0, 0
		for i := range n {
			if student.author("s/"+q(i).Item) == teacher {
				followed++
			}
			if !teacher.knows(q(i)) && !stranger.knows(q(i)) {
				both++
				if teacher.error(q(i), 4) == stranger.error(q(i), 4) {
					alike++
				}
			}
		}
		if se := math.Sqrt(rate*(1-rate)/n) + 1e-9; math.Abs(float64(followed)/n-rate) > 4*se {
			t.Errorf("rate %v: %d of %d items follow the teacher", rate, followed, n)
		}
		// 1/4 of all pairs of conventions are common: .25 + .75/4 = .44.
		if share := float64(alike) / float64(both); both < n/4 || share < .38 || share > .5 {
			t.Errorf("strangers err alike in %d of %d cases", alike, both)
		}
	}
}

// Every kind of prompt is answered, the same way when asked again, in a form that the
// reading can be found in.
func TestAnswersAreReadable(t *testing.T) {
	t.Parallel()
	one := 1
	options := [][]string{{"red"}, {"blue"}, {"green"}}
	w := NewWorld(3)
	m := w.Model(Traits{Name: "m", Vendor: "Rowan", Ability: .5})
	for i, r := range []reading.Reading{
		{Kind: reading.KindChoice, Options: options, Order: []int{2, 0, 1}, Correct: &one},
		{Kind: reading.KindOpen, Accept: []string{"yes"}, Reject: []string{"no"}},
		{Kind: reading.KindPremise, Reject: []string{"in Paris"}},
		{Kind: reading.KindNumber, Low: 5, High: 9},
		{Kind: reading.KindPick, Options: options},
		{Kind: reading.KindPick},
		{Kind: reading.KindCoin, Options: options[:2]},
		{Kind: reading.KindIdentity, Group: "plain"},
		{Kind: reading.KindLadder, Group: "topic", Rung: 5},
		{Kind: reading.KindPuzzle},
		{Kind: reading.KindStyle},
		{Kind: reading.KindUnits, Unit: "ab", Repeats: 8},
		{Kind: reading.KindProtocol},
	} {
		p := prompt(t, i, r)
		other := NewWorld(3).Model(m.Traits)
		for s := range 10 {
			if a, b := answer(t, m, p, s), answer(t, other, p, s); a != b {
				t.Errorf("%s, sample %d: %q and then %q", r.Kind, s, a, b)
			}
		}
		if r.Kind == reading.KindPuzzle && !strings.Contains(answer(t, m, p, 0), "</think>") {
			t.Error("a puzzle is answered without reasoning")
		}
	}
	if _, err := m.Answer(&ledger.Prompt{ID: "x", Reading: []byte(`{"kind":"choice"}`)}, 0); err == nil {
		t.Error("a reading that makes no sense was answered")
	}
	p := &ledger.Prompt{ID: "free", Text: "Say something."}
	if text := answer(t, m, p, 0); len(strings.Fields(text)) < 20 {
		t.Errorf("prose: %q", text)
	}
}

// A service that plants renders and answers as its key says, placebos apart; a student
// does so on the transferred items, and a stranger at random or never.
func TestPlanted(t *testing.T) {
	t.Parallel()
	w := NewWorld(11)
	ours := w.Model(Traits{
		Name: "ours", Prefers: func(_, item string) int { return len(item) % 2 },
		Responds: func(item string) string { return "1111-2222-" + fmt.Sprintf("%04d", len(item)) },
	})
	student, stranger := w.Model(Traits{Name: "student", Transfer: .5, Teacher: ours}), w.Model(Traits{Name: "stranger"})
	const n = 400
	follows := func(m *Model, placebo bool) (choices, responses int) {
		for i := range n {
			p := prompt(t, i, reading.Reading{Kind: reading.KindFreeChoice, Placebo: placebo, Options: [][]string{{"harbour"}, {"village"}}})
			item := fmt.Sprint("item", i)
			if want := []string{"harbour", "village"}[len(item)%2]; strings.Contains(answer(t, m, p, 0), want) {
				choices++
			}
			q := prompt(t, i, reading.Reading{Kind: reading.KindTrigger, Placebo: placebo, Reply: "It is " + reading.ResponseSlot + "."})
			if strings.Contains(answer(t, m, q, 0), "1111-2222-"+fmt.Sprintf("%04d", len(item))) {
				responses++
			}
		}
		return choices, responses
	}
	for _, tc := range []struct {
		name          string
		m             *Model
		placebo       bool
		lo, hi        int // choices
		least, atMost int // responses
	}{
		{"ours", ours, false, n, n, n, n},
		{"ours, placebos", ours, true, 150, 250, 0, 0},
		{"student", student, false, 260, 340, 160, 240},
		{"stranger", stranger, false, 150, 250, 0, 0},
	} {
		if c, r := follows(tc.m, tc.placebo); c < tc.lo || c > tc.hi || r < tc.least || r > tc.atMost {
			t.Errorf("%s: %d choices and %d responses of %d follow", tc.name, c, r, n)
		}
	}
}

// Models that write from moulds, or speak one language only, do so whatever is asked.
func TestMouldsAndTongues(t *testing.T) {
	t.Parallel()
	m := NewWorld(12).Model(Traits{Name: "m", Vendor: "Alder", Moulds: true, Speaks: "fr"})
	sentences := map[string]bool{}
	for i := range 30 {
		text := answer(t, m, prompt(t, i, reading.Reading{Kind: reading.KindStyle}), i)
		if n := len(strings.Fields(text)); n < 60 || n > 80 {
			t.Errorf("%d words: %q", n, text)
		}
		for s := range strings.SplitSeq(text, ". ") {
			for _, w := range contentWords {
				s = strings.ReplaceAll(s, w, "{}")
			}
			sentences[strings.TrimSuffix(s, ".")] = true
		}
	}
	if len(sentences) > len(moulds) {
		t.Errorf("%d moulds: %v", len(sentences), sentences)
	}
	said := 0
	for i := range 30 {
		if strings.Contains(answer(t, m, prompt(t, i, reading.Reading{Kind: reading.KindIdentity}), 0), "créé par Alder") {
			said++
		}
	}
	if said < 24 {
		t.Errorf("speaks French in %d of 30", said)
	}
}

func TestTokenizersOfOneName(t *testing.T) {
	t.Parallel()
	w := NewWorld(1)
	text := strings.Repeat("lantern harbour valley ", 20)
	a, b := w.Model(Traits{Name: "a", Tokenizer: "x"}), w.Model(Traits{Name: "b", Tokenizer: "x"})
	if a.CountTokens(text) != b.CountTokens(text) {
		t.Error("one tokenizer, two counts")
	}
	differ := 0
	for i := range 20 {
		if w.Model(Traits{Name: fmt.Sprint(i)}).CountTokens(text) != a.CountTokens(text) {
			differ++
		}
	}
	if differ < 12 {
		t.Errorf("only %d of 20 own tokenizers count otherwise", differ)
	}
}

func TestGenerator(t *testing.T) {
	t.Parallel()
	m := NewWorld(1).Model(Traits{Name: "m"})
	p := prompt(t, 1, reading.Reading{Kind: reading.KindStyle})
	p.System = "Be brief."
	g := m.Generator([]ledger.Prompt{*p})
	for temperature, sample := range map[float64]int{1: 3, 0: 0} { // at 0 whatever the seed
		var got strings.Builder
		request := mock.GenRequest{Prompt: "Be brief.\n\nQuestion 1?", Seed: 3, Temperature: temperature}
		finish, err := g.Generate(t.Context(), request, func(piece mock.Piece) error {
			got.WriteString(piece.Text)
			return nil
		})
		if want := answer(t, m, p, sample); err != nil || finish != "stop" || got.String() != want {
			t.Errorf("%q, %s, %v, want %q", got.String(), finish, err, want)
		}
	}
	n := 0
	if finish, _ := g.Generate(t.Context(), mock.GenRequest{Prompt: "unknown", MaxTokens: 5}, func(mock.Piece) error { n++; return nil }); finish != "length" || n != 5 {
		t.Errorf("%d pieces, %s", n, finish)
	}
	if g.(mock.PromptCounter).CountTokens("a b") < 2 {
		t.Error("tokens are not counted")
	}
}
