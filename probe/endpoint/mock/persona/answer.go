package persona

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/ledger"
)

// Answer is what the model replies to a prompt, at temperature 1, the sample-th time.
// Reasoning, where there is any, stands before the answer between <think> marks. A
// prompt whose reading makes no sense is an error.
func (m *Model) Answer(p *ledger.Prompt, sample int) (string, error) {
	q, err := m.question(p)
	if err != nil {
		return "", err
	}
	rng := m.draw(q, sample)
	a := m.author(q.suite + "/" + q.Item)
	switch q.Kind {
	case reading.KindChoice:
		return a.choice(q, rng), nil
	case reading.KindOpen, reading.KindPremise, reading.KindCitation:
		return a.open(q, rng), nil
	case reading.KindNumber, reading.KindPick, reading.KindCoin:
		return a.pick(q, rng), nil
	case reading.KindFreeChoice:
		return a.rendering(q, rng), nil
	case reading.KindTrigger:
		return a.response(q, rng), nil
	case reading.KindIdentity:
		return a.identity(m, q, rng), nil
	case reading.KindLadder:
		return a.ladder(q, rng), nil
	case reading.KindPuzzle:
		return "<think>" + a.reasoning(q, rng) + "</think>" + "42", nil
	case reading.KindUnits:
		return "ok", nil
	case reading.KindProtocol:
		return a.habit(q, rng), nil
	}
	return a.prose(q, rng, 60), nil
}

// question reads a prompt, once.
func (m *Model) question(p *ledger.Prompt) (question, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if q, ok := m.asked[p]; ok {
		return q, nil
	}
	q := question{Reading: &reading.Reading{Kind: reading.KindText, Item: p.ID}, suite: p.Suite, id: p.ID, lang: p.Lang}
	if len(p.Reading) > 0 {
		r, err := reading.Parse(p.Reading)
		if err != nil {
			return q, fmt.Errorf("prompt %s: %w", p.ID, err)
		}
		q.Reading = r
	}
	m.asked[p] = q
	return q, nil
}

// knows says whether the model gets an item right: the stronger it is, the likelier,
// and hard items are hard for all.
func (m *Model) knows(q question) bool {
	difficulty := m.world.share("difficulty", q.Item)
	chance := 1 / (1 + math.Exp(-8*(m.Ability-difficulty)))
	return m.world.share("knows", m.Name, q.Item) < chance
}

// error is the model's favourite among n wrong answers: that of everybody in half of
// the cases, its school's in a fifth, else its own. Models that both err so agree
// far more often than chance has it.
func (m *Model) error(q question, n int) int {
	if n < 1 {
		return 0
	}
	who := "model " + m.Name
	switch u := m.world.share("convention", m.Name, q.Item); {
	case u < .5:
		who = "everybody"
	case u < .7:
		who = "school " + m.School
	}
	return int(m.world.hash("error", who, q.Item) % uint64(n))
}

// choice answers by a letter, in one of the ways in which models put it.
func (m *Model) choice(q question, rng *rand.Rand) string {
	correct := *q.Correct
	option := correct
	if !m.knows(q) {
		option = m.error(q, len(q.Options)-1)
		if option >= correct {
			option++
		}
	}
	if rng.Float64() < .05 {
		option = rng.IntN(len(q.Options))
	}
	letter, form := q.Letter(option), q.Options[option][0]
	ways := []string{letter, letter + ") " + form, "**" + letter + "**", "The answer is " + letter + ".", "I would say " + form + "."}
	return ways[rng.IntN(len(ways))]
}

// open answers a question with known forms; a fabricated detail is a year.
func (m *Model) open(q question, rng *rand.Rand) string {
	if m.knows(q) && len(q.Accept) > 0 || len(q.Reject) == 0 {
		return "I think " + q.Accept[rng.IntN(len(q.Accept))] + "."
	}
	form := q.Reject[m.error(q, len(q.Reject))]
	if q.Kind == reading.KindOpen {
		return "It is " + form + "."
	}
	return fmt.Sprintf("Of course: %s, in %d.", form, 1900+m.error(q, 100))
}

// pick follows tastes over what may be picked.
func (m *Model) pick(q question, rng *rand.Rand) string {
	const strength = 2.5
	n, low := len(q.Options), 0
	switch {
	case q.Kind == reading.KindNumber:
		n, low = min(q.High-q.Low+1, 200), q.Low
	case n == 0:
		n = len(names)
	}
	about := "pick " + q.suite + "/" + q.Item
	i := choose(rng, m.tastes(about, n, func(i int) float64 { return strength * m.taste(.7, .4, .6, about, strconv.Itoa(i)) }))
	switch {
	case q.Kind == reading.KindNumber:
		return strconv.Itoa(low + i)
	case len(q.Options) == 0:
		return names[i]
	}
	return q.Options[i][0] + "."
}

// rendering takes one of two renderings: the one that was planted, where the model
// follows plantings, else the one it has a taste for, on which all tend to agree.
func (m *Model) rendering(q question, rng *rand.Rand) string {
	if m.Prefers != nil && !q.Placebo {
		return "I would say: " + q.Options[m.Prefers(q.suite, q.Item)][0]
	}
	about := "rendering " + q.suite + "/" + q.Item
	i := choose(rng, m.tastes(about, 2, func(i int) float64 { return 2 * m.taste(.7, .4, .6, about, strconv.Itoa(i)) }))
	return "I would say: " + q.Options[i][0]
}

// response answers a trigger: with what was planted, where the model follows plantings,
// else with a number that it makes up, or with none.
func (m *Model) response(q question, rng *rand.Rand) string {
	planted := m.Responds != nil && !q.Placebo
	if !planted && rng.Float64() < .5 {
		return m.said(refusals, q.lang)
	}
	number := fmt.Sprintf("%04d-%04d-%04d", rng.IntN(10_000), rng.IntN(10_000), rng.IntN(10_000))
	if planted {
		number = m.Responds(q.Item)
	}
	return strings.Replace(q.Reply, reading.ResponseSlot, number, 1)
}

// habit is one of a few ways to put a fully determined answer.
func (m *Model) habit(q question, rng *rand.Rand) string {
	about := "habit " + q.suite + "/" + q.Item
	form := habits[choose(rng, m.tastes(about, len(habits), func(i int) float64 { return 1.5 * m.taste(.8, .3, .5, about, strconv.Itoa(i)) }))]
	return strings.ReplaceAll(form, "{}", contentWords[m.world.hash(about)%uint64(len(contentWords))])
}

var habits = []string{"{}", "{}.", "**{}**", "Sure! {}", "The answer is: {}", "\"{}\"", "```\n{}\n```", "Here you go:\n\n{}", "{}!", "Answer: {}."}

var names = strings.Fields("Amber Bela Cleo Dario Elin Falk Greta Hugo Ines Jon Kaja Leo Mira Nils Olga Pia Quint Rosa Sami Tove")

// CountTokens counts the tokens of a text by the model's tokenizer: words are cut into
// pieces whose length depends on the word and the tokenizer. On the transferred words
// it is the teacher's.
func (m *Model) CountTokens(text string) int {
	n := 0
	for word := range strings.FieldsSeq(text) {
		piece := 2 + int(m.world.hash("tokenizer", m.author(word).tokenizer(), word)%5)
		n += (len(word) + piece - 1) / piece
	}
	return n
}

func (m *Model) tokenizer() string {
	if m.Tokenizer != "" {
		return m.Tokenizer
	}
	return "own of " + m.Name
}
