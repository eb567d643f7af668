package family

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/ledger"
)

// SharedErrors is the family of this file: C1. Where our model errs, a student errs
// alike; so do strangers, who share data and misconceptions, which is why only
// errors that few others make count, by their rarity, and why no chance law of equal
// answers is ever used: two models that both err agree in about 60 % of cases.
const SharedErrors = "C1"

const errorExtractor = "answer-1: stated letter, else the one option mentioned; accepted and rejected forms, with the year or name that is made up; short answers as they stand"

var (
	errorKinds = []reading.Kind{reading.KindChoice, reading.KindOpen, reading.KindPremise, reading.KindCitation}
	trapKinds  = []reading.Kind{reading.KindPremise, reading.KindCitation} // that a judge reads
)

func c1Family() Family {
	return Family{
		ID: SharedErrors, Name: "shared rare errors", Tier: ledger.Comparative,
		Rung:  "H_any: trained on, or otherwise dependent on, some text of ours",
		Needs: []string{"chat"}, run: together(alone(runC1)), power: func(t *PlannedTest) (ledger.PowerRow, error) {
			return plannedRank(t, errorUnit, errorSpread, errorKinds...)
		},
		null:        "Of our model's rare errors {target} makes no more, beyond those of other teachers, than a control does.",
		alternative: "{target} makes more of our model's rare errors than any control.",
	}
}

const (
	errorUnit = "share of our rare errors, by bits of rarity"
	// rareShare is how many of the others may make an error that counts as rare.
	rareShare = .1
	// correctAnswer stands for every right answer: agreeing on it is no evidence.
	correctAnswer = "right"
)

// errorSpread is that of scripted models of which a quarter of the items are rare
// errors of ours.
var errorSpread = spread{between: .01, within: .6}

// runC1 weighs the errors that each source shares with each teacher.
func runC1(ctx context.Context, in *Input) (*Output, error) {
	s := &say{
		statistic: "the double-centred share of our rare errors that the target makes, each weighed by -log2 of the share of other models that make it (a tenth of them at most)",
		unit:      errorUnit, extractor: errorExtractor,
		hi: 1,
	}
	sd, err := in.sides()
	if err != nil {
		return nil, err
	}
	kinds := errorKinds
	if in.judge != nil {
		kinds = trapKinds
	}
	r, err := in.readings(kinds...)
	if err != nil {
		return nil, err
	}
	given, err := countReadings(ctx, in, sd, r, s, func(x *reading.Reading, a *Answer) string {
		if in.judge != nil {
			return in.trapped(a)
		}
		return answered(x, a.Item.Prompt.Text, a.Reply.Text)
	})
	if err != nil {
		return nil, err
	}
	g := newAgreement(sd)
	for _, p := range in.Prompts() {
		if r.of[p] != nil {
			shareErrors(g, g.cell(r.item[p], p.Category, p), sd, answersTo(given, p))
		}
	}
	s.room = func(c *cell, lacks func(*ledger.Target) bool) []span {
		return roomForErrors(g, sd, answersTo(given, c.prompts[0]), lacks)
	}
	return in.compare(sd, g, s), nil
}

// answers are the counts of those that each model gave to a prompt.
type answers func(*ledger.Target) map[string]float64

func answersTo(p map[*ledger.Target]byPrompt, q *ledger.Prompt) answers {
	return func(t *ledger.Target) map[string]float64 { return p[t][q] }
}

// share is how much of a model's answers one is.
func (of answers) share(t *ledger.Target, answer string) float64 {
	given := of(t)
	if n := total(given); n > 0 {
		return given[answer] / n
	}
	return 0
}

// wrong are the errors of teachers, in order.
func (of answers) wrong(teachers []*ledger.Target) []string {
	var wrong []string
	for _, t := range teachers {
		for w := range of(t) {
			if w != correctAnswer && !slices.Contains(wrong, w) {
				wrong = append(wrong, w)
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

// shareErrors fills one prompt's cell from the answers that each model gave to it.
// How common an error is, is learnt from all others than the two that are compared,
// so that rival and controls are weighed alike; add-half keeps an error that nobody
// else makes from being infinitely rare.
func shareErrors(g *agreement, c *cell, sd *sides, given answers) {
	share, wrong := given.share, given.wrong(g.teachers)
	pool := sd.pool()
	all, have := 0., make([]float64, len(wrong))
	for _, t := range pool {
		if len(given(t)) == 0 {
			continue
		}
		all++
		for k, w := range wrong {
			have[k] += share(t, w)
		}
	}
	for i, row := range g.rows {
		if len(given(row)) == 0 {
			continue
		}
		for j, column := range g.teachers {
			if row == column || len(given(column)) == 0 {
				continue
			}
			among := all - 1 // without the teacher
			if i < len(g.rows)-len(sd.students) {
				among--
			}
			var num, den float64
			for k, w := range wrong {
				ours := share(column, w)
				if ours == 0 {
					continue
				}
				others := have[k] - ours
				if i < len(g.rows)-len(sd.students) { // students are in no pool
					others -= share(row, w)
				}
				q := (.5 + max(others, 0)) / (1 + among)
				if q > rareShare {
					continue
				}
				bits := -math.Log2(q)
				num += bits * ours * share(row, w)
				den += bits * ours
			}
			if den > 0 {
				g.set(c, i, j, num/den, den)
			}
		}
	}
}

// roomForErrors are the spans of a prompt's cell where some lack a reply. The weights of
// a source's own agreements do not depend on what it says; those of the others do, since
// it is one of the models from whom the rarity of an error is learnt. Where a teacher
// lacks one, nobody knows which errors it makes.
func roomForErrors(g *agreement, sd *sides, given answers, lacks func(*ledger.Target) bool) []span {
	room := make([]span, len(g.rows)*len(g.columns))
	wrong, pool := given.wrong(g.teachers), sd.pool()
	shares := map[*ledger.Target][]float64{}
	for _, t := range pool {
		for _, w := range wrong {
			shares[t] = append(shares[t], given.share(t, w))
		}
	}
	bits := func(q float64) float64 {
		if q > rareShare {
			return 0
		}
		return -math.Log2(q)
	}
	for i, row := range g.rows[:1+len(sd.controls)] {
		for j, column := range g.teachers {
			if row == column || !lacks(column) && len(given(column)) == 0 || !lacks(row) && len(given(row)) == 0 {
				continue
			}
			var among, open float64
			for _, t := range pool {
				switch {
				case t == row || t == column:
				case lacks(t):
					open++
				case len(given(t)) > 0:
					among++
				}
			}
			at := &room[i*len(g.columns)+j]
			if lacks(column) {
				*at = span{hi: 1, most: bits(.5 / (1 + among + open) * (1 - 1e-9))}
				continue
			}
			sp := span{lo: 1}
			for k := range wrong {
				ours := shares[column][k]
				if ours == 0 {
					continue
				}
				others := 0.
				for _, t := range pool {
					if t != row && t != column && !lacks(t) {
						others += shares[t][k]
					}
				}
				// Those who lack a reply all make another error, or all this one. A hair of
				// room for the order in which sums are taken.
				rarest, usual := (.5+others)/(1+among+open), (.5+others+open)/(1+among+open)
				most := bits(rarest * (1 - 1e-9))
				sp.least += bits(usual*(1+1e-9)) * ours
				sp.most += most * ours
				if most > 0 && !lacks(row) {
					sp.lo, sp.hi = min(sp.lo, shares[row][k]), max(sp.hi, shares[row][k])
				}
			}
			if lacks(row) {
				sp.lo, sp.hi, sp.least = 0, 1, 0
			}
			if sp.most > 0 {
				*at = sp
			}
		}
	}
	return room
}

// trapped is the answer of a reply of which the judge says whether it goes along with
// what does not exist; what it makes up then is read by the rules.
func (in *Input) trapped(a *Answer) string {
	switch label, ok := in.label(a); {
	case ok && label == trapCorrects:
		return correctAnswer
	case ok && label == trapGoesAlong:
		return "made up" + madeUp(a.Item.Prompt.Text, plain(a.Reply.Text))
	}
	return ""
}

// answered reads which answer a reply gives: correctAnswer, the name of a wrong one,
// or "" where it cannot be told.
func answered(x *reading.Reading, prompt, text string) string {
	answer := plain(text)
	if x.Kind != reading.KindChoice {
		return openAnswer(x, prompt, answer)
	}
	option := chosen(x, answer)
	switch {
	case option < 0:
		return ""
	case option == *x.Correct:
		return correctAnswer
	}
	return "option " + strconv.Itoa(option)
}

// openAnswer reads a free answer. An accepted form makes it right, and a rejected one
// wrong: which one, and for what does not exist, with which year or name. A short answer
// without a known form is wrong as it stands; a long one cannot be told.
func openAnswer(x *reading.Reading, prompt, answer string) string {
	if mentions(x.Accept, answer) {
		return correctAnswer
	}
	for i, form := range x.Reject {
		if !mentions([]string{form}, answer) {
			continue
		}
		if x.Kind == reading.KindOpen {
			return "form " + strconv.Itoa(i)
		}
		return "made up" + madeUp(prompt, answer)
	}
	if n := name(answer); n != "" && x.Kind == reading.KindOpen {
		return n
	}
	return ""
}

// mentions reports whether one of the forms stands in the text.
func mentions(forms []string, text string) bool {
	return len(forms) > 0 && len((&reading.Reading{Options: [][]string{forms}}).Mentions(text)) > 0
}

// madeUp is the first year or other number of three digits or more that the reply
// adds of its own, else the first name: what nobody can know, and two models seldom
// make up alike.
func madeUp(prompt, answer string) string {
	asked := numbers(prompt)
	for _, n := range numbers(answer) {
		if n >= 100 && !slices.Contains(asked, n) {
			return " " + strconv.Itoa(n)
		}
	}
	return properName(prompt, answer)
}

// properName is the first run of capitalised words within a sentence of the answer of
// which none stands in the prompt.
func properName(prompt, answer string) string {
	asked := reading.Fold(prompt)
	for _, sentence := range sentencesOf(answer) {
		var run []string
		for i, w := range strings.Fields(sentence) {
			w = strings.TrimFunc(w, func(r rune) bool { return !unicode.IsLetter(r) })
			first, _ := utf8.DecodeRuneInString(w)
			folded := strings.ToLower(w)
			if i > 0 && utf8.RuneCountInString(w) > 2 && unicode.IsUpper(first) && !mentions([]string{folded}, asked) {
				run = append(run, folded)
				continue
			}
			if len(run) > 0 {
				break
			}
		}
		if len(run) > 0 {
			return " " + strings.Join(run, " ")
		}
	}
	return ""
}

// answerCues are words after which a reply states its answer, in six languages;
// optionCues go before a letter that may be weighed only.
var (
	answerCues = []string{
		"answer", "correct", "boxed", "solution", "réponse", "correcte", "bonne", "antwort", "lösung", "richtig", "respuesta", "correcta", "solución",
		"答案", "正确", "正解", "答え", "解答", "回答",
	}
	optionCues = []string{"option", "choice", "choose", "pick", "select", "choix", "choisis", "wähle", "opción", "elijo", "选", "選"}
	notCues    = []string{"not", "n't", "isn", "pas", "nicht", "keine", "no es", "不", "ない", "wrong", "incorrect", "faux", "falsch"}
)

// cueReach is how far before a letter its cue may stand, in characters.
const cueReach = 40

// chosen reads which option a reply chooses, -1 where it cannot be told: the last
// letter that is stated to be the answer, else the letter that the reply begins with,
// else the only one that is set as a label, else the only one that a word such as
// "option" goes before, else the only option that is mentioned.
func chosen(x *reading.Reading, answer string) int {
	runes := []rune(answer)
	var stated, label, named []int
	opening, began := -1, false
	for i, r := range runes {
		previous, next := around(runes, i)
		option := -1
		switch alone := !wordy(previous) && !wordy(next); {
		case alone && r >= 'A' && int(r-'A') < len(x.Order):
			option = x.Order[r-'A']
		case alone && !began && r >= 'a' && int(r-'a') < len(x.Order) && (next == ')' || strings.TrimSpace(string(runes[i+1:])) == ""):
			option = x.Order[r-'a']
		}
		if option >= 0 {
			switch cue(strings.ToLower(string(runes[max(0, i-cueReach):i]))) {
			case "answer":
				stated = append(stated, option)
			case "option":
				named = append(named, option)
			}
			if !began && strings.ContainsRune(").:,;]}\n\x00-–—。、：，", next) {
				opening = option
			}
			if next == ')' || previous == '(' {
				label = append(label, option)
			}
		}
		began = began || unicode.IsLetter(r) || unicode.IsNumber(r)
	}
	if n := len(stated); n > 0 {
		return stated[n-1]
	}
	if opening >= 0 {
		return opening
	}
	for _, found := range [][]int{label, named, x.Mentions(answer)} {
		if len(found) > 0 && !slices.ContainsFunc(found, func(o int) bool { return o != found[0] }) {
			return found[0]
		}
	}
	return -1
}

// around are the characters before and after one, zero at the ends.
func around(runes []rune, i int) (previous, next rune) {
	if i > 0 {
		previous = runes[i-1]
	}
	if i+1 < len(runes) {
		next = runes[i+1]
	}
	return previous, next
}

// cue says which kind of cue goes before a letter in the same clause: "answer",
// "option", or "" for none or a denied one.
func cue(before string) string {
	if end := strings.LastIndexAny(before, ".!?\n;。！？；"); end >= 0 {
		before = before[end:]
	}
	at, kind, between := -1, "", ""
	for _, cues := range []struct {
		kind  string
		words []string
	}{{"answer", answerCues}, {"option", optionCues}} {
		for _, w := range cues.words {
			if i := strings.LastIndex(before, w); i > at {
				at, kind, between = i, cues.kind, before[i+len(w):]
			}
		}
	}
	if at < 0 || strings.ContainsAny(between, ",，、") || slices.ContainsFunc(notCues, func(w string) bool { return strings.Contains(before, w) }) {
		return ""
	}
	// "The answer is option B" states it, whatever word stands last.
	if kind == "option" && slices.ContainsFunc(answerCues, func(w string) bool { return strings.Contains(before, w) }) {
		return "answer"
	}
	return kind
}

// wordy reports whether a character glues a letter into a word. Those of scripts
// without blanks do not.
func wordy(r rune) bool {
	return (unicode.IsLetter(r) || unicode.IsNumber(r) || r == '\'' || r == '’' || r == '_') && !reading.Unbroken(r)
}
