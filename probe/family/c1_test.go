package family

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/endpoint/mock/persona"
	"github.com/stillmark/stillmark/probe/ledger"
)

// How models put the letter of their choice, in six languages, and how hostile or
// undecided texts do not pass for one.
func TestChosen(t *testing.T) {
	t.Parallel()
	zero := 0
	// Shown as A) red, B) green, C) blue, D) white.
	x := &reading.Reading{Kind: reading.KindChoice, Options: [][]string{{"red"}, {"blue"}, {"green"}, {"white"}}, Order: []int{0, 2, 1, 3}, Correct: &zero}
	for text, want := range map[string]int{
		"B":                     2,
		"b":                     2,
		"b) green":              2,
		"(C)":                   1,
		"**D**":                 3,
		"D.":                    3,
		"Ｂ":                     2,
		"C) blue":               1,
		"A":                     0,
		"A cat is not a colour": -1,
		"The answer is B.":      2,
		"The correct answer is **C**, because A is wrong.": 1,
		"Option A is tempting, but the answer is D":        3,
		"The answer is not A but B":                        -1,
		"The answer is not A. It is B) green":              2,
		`\boxed{C}`:                                        1,
		`The answer is $\boxed{\text{D}}$`:                 3,
		"La réponse est B.":                                2,
		"La bonne réponse : C":                             1,
		"Die Antwort lautet C.":                            1,
		"Richtig ist D":                                    3,
		"La respuesta correcta es la B":                    2,
		"答案是C。":                                            1,
		"正确答案：B":                                           2,
		"正解はDです。":                                          3,
		"答えはB":                                             2,
		"我选择 C":                                            1,
		"<think>Maybe A? or B. The answer is A.</think>C":  1,
		"I would go for green.":                            2,
		"It is green or blue":                              -1,
		"I'd choose option D over the others":              3,
		"Both (A) and (B) are right":                       -1,
		"E":                                                -1,
		"":                                                 -1,
		"I cannot decide":                                  -1,
		"A) red\nB) green\nC) blue\nD) white":              0, // begins with it
		"Let me see. A) red? B) green? C) blue? D) white? All of them, I think": -1,
		"<think>A":                  -1,
		strings.Repeat("A B ", 1e5): -1,
		"First A seems right. Answer: B. On reflection, the final answer is C.": 1,
	} {
		if got := chosen(x, plain(text)); got != want {
			t.Errorf("%.60q chooses %d, want %d", text, got, want)
		}
	}
}

func TestOpenAnswers(t *testing.T) {
	t.Parallel()
	capital := &reading.Reading{Kind: reading.KindOpen, Accept: []string{"Canberra"}, Reject: []string{"Sydney", "Melbourne"}}
	book := &reading.Reading{Kind: reading.KindCitation, Accept: []string{"does not exist", "no such", "could not find"}, Reject: []string{"was published", "appeared in"}}
	prompt := "In which year of the 1960s did the book on 120 lakes appear?"
	for _, tc := range []struct {
		x          *reading.Reading
		text, want string
	}{
		{capital, "**Canberra**", correctAnswer},
		{capital, "Sydney, of course", "form 0"},
		{capital, "Melbourne.", "form 1"},
		{capital, "Not Sydney but Canberra", correctAnswer},
		{capital, "Perth", "perth"},
		{capital, "That is a question to which I have no answer that I would trust", ""},
		{book, "I could not find such a book.", correctAnswer},
		{book, "It was published in 1967 by a small press.", "made up 1967"},
		{book, "It appeared in the 1960s", "made up"},
		{book, "It was published by Harmon & Fisk in the 1960s", "made up harmon"},
		{book, "Lakes was published by Ada Lindqvist-Moore.", "made up ada lindqvist-moore"},
		{book, "It was published with 120 plates and 348 pages", "made up 348"},
		{book, "Lakes are nice", ""},
	} {
		if got := answered(tc.x, prompt, tc.text); got != tc.want {
			t.Errorf("%q is read as %q, want %q", tc.text, got, tc.want)
		}
	}
}

// trapPrompts are multiple choice, and one open question in four.
func trapPrompts(t testing.TB, n int) []ledger.Prompt {
	return prompts(t, n, []string{"en"}, func(i int) (string, reading.Reading) {
		correct := i % 5
		if i%4 == 3 {
			return fmt.Sprintf("Work %d?", i), reading.Reading{Kind: reading.KindCitation, Accept: []string{"no such work"}, Reject: []string{"it appeared"}}
		}
		return fmt.Sprintf("Trap %d?", i), reading.Reading{
			Kind: reading.KindChoice, Options: [][]string{{"red"}, {"blue"}, {"green"}, {"black"}, {"white"}}, Order: []int{3, 1, 4, 0, 2}, Correct: &correct,
		}
	})
}

func TestSharedErrorsAreCalibrated(t *testing.T) {
	t.Parallel()
	q := trapPrompts(t, 120)
	for name, change := range map[string]func(*persona.Traits){
		"like the controls": nil,
		// Much stronger than any control, and claiming to be us.
		"stronger, claims to be us": func(tr *persona.Traits) { tr.Ability, tr.Impostor, tr.ImpostorVendor = .8, .9, "Stillwater" },
	} {
		t.Run(name, func(t *testing.T) {
			rates := []float64{.05, .1, .2}
			if change != nil {
				rates = nil
			}
			calibrated(t, worlds(24), rates, func(world uint64, rate float64) *population {
				return scripted(t, newPopulation(SharedErrors, 1, q), world, scenery{controls: 19, rate: rate, change: change, ours: func(tr *persona.Traits) { tr.Ability = .55 }})
			})
		})
	}
}

func TestSharedErrorsFinding(t *testing.T) {
	t.Parallel()
	q := trapPrompts(t, 160)
	p := scripted(t, newPopulation(SharedErrors, 1, q), 2, scenery{controls: 20, rate: .4, ours: func(tr *persona.Traits) { tr.Ability = .5 }})
	f := p.find(t, 2).Finding
	c := f.Comparison
	if c.Rank != 1 || JudgeComparison(c) != ledger.VerdictLead || f.N < 10 || f.N > 80 {
		t.Errorf("rank %d, %s, %d rare errors", c.Rank, JudgeComparison(c), f.N)
	}
	for _, lead := range c.Controls {
		if !(lead.LeadLo <= lead.Lead && lead.Lead <= lead.LeadHi) || math.Abs(c.Rival-lead.Value-lead.Lead) > 1e-9 {
			t.Errorf("lead over %s: %+v", lead.Target, lead)
		}
	}
	// Where ours errs in nothing, nothing is said.
	p = newPopulation(SharedErrors, 1, q[:1])
	p.answer(t, ledger.Target{Name: "us", Role: ledger.Ours}, func(*ledger.Prompt, int) (string, string) { return "It is red.", "" })
	p.answer(t, ledger.Target{Name: "rival", Role: ledger.Rival}, func(*ledger.Prompt, int) (string, string) { return "It is blue.", "" })
	if out := p.find(t, 2); out.Finding.Comparison != nil || len(out.Warnings) != 1 || out.Warnings[0] != WarnNothingInCommon {
		t.Errorf("%+v", out)
	}
}

// Errors that everybody makes weigh nothing, whoever shares them.
func TestCommonErrorsDoNotCount(t *testing.T) {
	t.Parallel()
	q := trapPrompts(t, 3)
	p := newPopulation(SharedErrors, 1, q)
	same := func(letter string) func(*ledger.Prompt, int) (string, string) {
		return func(*ledger.Prompt, int) (string, string) { return letter, "" }
	}
	p.answer(t, ledger.Target{Name: "us", Role: ledger.Ours}, same("B"))
	p.answer(t, ledger.Target{Name: "rival", Role: ledger.Rival}, same("B"))
	for i := range 20 {
		letter := "B"
		if i > 3 {
			letter = "C"
		}
		p.answer(t, ledger.Target{Name: fmt.Sprint("c", i), Role: ledger.Control}, same(letter))
	}
	if out := p.find(t, 1); out.Finding.Comparison != nil || out.Finding.N != 0 {
		t.Errorf("an error that a fifth of the controls make was counted: %+v", out.Finding.Comparison)
	}
}
