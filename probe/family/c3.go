package family

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/ledger"
)

// Identity is the family of this file: C3. Asked who made them, students sometimes
// name their teacher. So do strangers, since the web is full of models' words about
// themselves: models of unrelated vendors misname themselves, whatever the rank
// says, so that the likelihood ratio is capped at ten, and a statement needs other
// families.
const Identity = "C3"

const claimExtractor = "claim-1: the first maker named that is neither denied nor compared with, in 15 languages; a bare yes or no to a name in the prompt"

const (
	// identityCap bounds the likelihood ratio of claims.
	identityCap = 10
	// selfShare is how often our own endpoint must say who it is for the test to mean
	// anything: where it does not, neither would a student.
	selfShare = .5
)

func c3Family() Family {
	return Family{
		ID: Identity, Name: "identity", Tier: ledger.Comparative,
		Rung:  "H_label: identity text or system prompt; more only together with other families",
		Needs: []string{"chat"}, run: together(alone(runC3)), power: func(t *PlannedTest) (ledger.PowerRow, error) {
			return plannedRank(t, claimUnit, claimSpread, reading.KindIdentity)
		},
		null:        "{target} says that it is our model no more often, beyond its claims to be another vendor's, than a control does.",
		alternative: "{target} says more often that it is our model, beyond its claims to be another vendor's, than any control.",
	}
}

const claimUnit = "share of replies that claim to be ours, minus that for the most-claimed other vendor"

// claimSpread is that of scripted models that say who they are.
var claimSpread = spread{between: .01, within: .23}

// runC3 counts claims.
func runC3(ctx context.Context, in *Input) (*Output, error) {
	s := &say{
		statistic: "the share of replies in which the target claims to be our model, minus that of its most-claimed other vendor, centred on the sources' mean",
		unit:      claimUnit, extractor: claimExtractor, cap: identityCap,
		hi: 1,
	}
	sd, err := in.sides()
	if err != nil {
		return nil, err
	}
	r, err := in.readings(reading.KindIdentity)
	if err != nil {
		return nil, err
	}
	lex, us := makersOf(in, sd)
	if us < 0 {
		return s.nothing(WarnNothingOfOurs), nil
	}
	type byMaker = map[*ledger.Prompt][]float64 // replies by maker, the last place for all replies
	// The names that are looked for depend on the plan, and on those that the test adds.
	claims, err := tables(ctx, in, strings.Join(sd.names, "\x00"), append(sd.rows(), sd.ours), func(*ledger.Target) byMaker { return byMaker{} },
		func(a *Answer) (int, bool) {
			if r.of[a.Item.Prompt] == nil || a.Reply.Outcome != ledger.OK {
				return 0, false
			}
			return lex.claimed(a.Item.Prompt, a.Reply.Text), true
		},
		func(of byMaker, a *Answer, id int) {
			if of[a.Item.Prompt] == nil {
				of[a.Item.Prompt] = make([]float64, len(lex.ids)+1)
			}
			of[a.Item.Prompt][len(lex.ids)]++
			if id >= 0 {
				of[a.Item.Prompt][id]++
			}
		})
	if err != nil {
		return nil, err
	}
	most := make([]float64, len(lex.ids))
	for _, of := range claims {
		for _, n := range of {
			for id := range most {
				most[id] += n[id]
			}
		}
	}
	for _, n := range claims[sd.rival] {
		s.replies += int64(n[len(lex.ids)])
	}
	own, read := 0., 0.
	for _, p := range in.Prompts() {
		if c := claims[sd.ours][p]; c != nil {
			own += c[us]
			read += c[len(lex.ids)]
		}
	}
	if read == 0 {
		return s.nothing(WarnNothingOfOurs), nil
	}
	if own < selfShare*read {
		s.traits = []ledger.Trait{{Name: "claims to be our model", Ours: fmt.Sprintf("%.0f of %.0f", own, read)}}
		return s.nothing(WarnSelfTest), nil
	}
	for p, n := range in.lacking(sd.ours, s) {
		if r.of[p] != nil {
			read += float64(n)
		}
	}
	s.unsure = own < selfShare*read
	g := &agreement{rows: sd.rows(), columns: []string{lex.ids[us]}, prefer: func(row []float64) float64 {
		if len(row) == 1 {
			return row[0]
		}
		return row[0] - slices.Max(row[1:])
	}}
	makers := []int{us}
	for id, n := range most {
		if id != us && n > 0 {
			makers = append(makers, id)
			g.columns = append(g.columns, lex.ids[id])
		}
	}
	for _, p := range in.Prompts() {
		if r.of[p] == nil {
			continue
		}
		system := "without a system text"
		if p.System != "" {
			system = "under a system text"
		}
		c := g.cell(r.item[p], system, p)
		for i, row := range g.rows {
			n := claims[row][p]
			if n == nil {
				continue
			}
			for j, id := range makers {
				all := n[len(lex.ids)]
				g.set(c, i, j, n[id]/all, 1)
			}
		}
	}
	return in.compare(sd, g, s), nil
}

// claimed is the maker that a reply claims as its own, -1 for none: the first one
// named that is neither denied nor merely compared with. A bare yes to a prompt that
// names one maker is a claim, too.
func (l *makerNames) claimed(prompt *ledger.Prompt, text string) int {
	answer := reading.Fold(apart(plain(text)))
	for _, clause := range clauses(answer) {
		for _, id := range l.read.Mentions(clause) {
			at, length := mentionOf(l.read.Options[id], clause)
			if at >= 0 && !denied(prompt.Lang, clause[:at], clause[at+length:]) {
				return id
			}
		}
	}
	if asked := l.read.Mentions(prompt.Text); len(asked) == 1 && affirms(answer) && len(l.read.Mentions(answer)) == 0 {
		return asked[0]
	}
	return -1
}

// apart puts a blank between a Latin letter and one of another script: particles of
// Korean and endings of other languages are written together with a foreign name.
func apart(text string) string {
	var b strings.Builder
	latin := false
	for _, r := range text {
		is := unicode.Is(unicode.Latin, r) || r < 0x80
		if latin && !is && unicode.IsLetter(r) {
			b.WriteByte(' ')
		}
		latin = is && unicode.IsLetter(r)
		b.WriteRune(r)
	}
	return b.String()
}

// clauses cuts a text where a denial or comparison ends. A dot within a name, as in
// gpt-3.5 or x.ai, cuts nothing.
func clauses(text string) []string {
	var out []string
	runes := []rune(text)
	from := 0
	for i, r := range runes {
		_, next := around(runes, i)
		end := strings.ContainsRune("!?;。！？；،؛।\n", r) || strings.ContainsRune(".,", r) && (next == 0 || unicode.IsSpace(next)) || r == '，'
		if end {
			out = append(out, string(runes[from:i+1]))
			from = i + 1
		}
	}
	out = append(out, string(runes[from:]))
	// "but" turns a clause around, comma or not.
	var cut []string
	for _, c := range out {
		for _, but := range []string{" but ", " mais ", " sondern ", " sino ", " mas ", " ma ", " но ", " а ", "而是"} {
			if i := strings.Index(c, but); i >= 0 {
				cut = append(cut, c[:i])
				c = c[i+len(but):]
			}
		}
		cut = append(cut, c)
	}
	return cut
}

// mentionOf is the place of the first of the names in a clause; the longest where
// several begin there.
func mentionOf(names []string, clause string) (at, length int) {
	at = -1
	for _, n := range names {
		if i := strings.Index(clause, n); i >= 0 && (at < 0 || i < at || i == at && len(n) > length) {
			at, length = i, len(n)
		}
	}
	return at, length
}

// Words before a name, and after it in languages that put them there, that deny it or
// only compare with it. Those of languages in Latin letters count in their own
// language only (the English ones everywhere), since "come" or "no" mean other
// things elsewhere; each begins where a word begins.
var (
	deniedBefore = map[string][]string{
		"en": {
			" not ", "n't ", "n’t ", " never ", " unlike ", " nor ", " neither ", " rather than ", " instead of ", " different from ", " similar to ",
			" such as ", " like ", " compared ", " no connection", " no relation", " unrelated",
		},
		"fr": {" pas ", " ni ", " non ", " contrairement ", " plutôt que ", " comme ", " différent", " jamais ", " aucun"},
		"de": {" nicht ", " kein", " weder ", " noch ", " anders als ", " im gegensatz ", " statt ", " ähnlich ", " wie ", " nie "},
		"es": {" no ", " ni ", " nunca ", " a diferencia ", " en lugar de ", " como ", " ningun", " similar a "},
		"pt": {" não ", " nem ", " nunca ", " ao contrário ", " em vez de ", " como ", " semelhante "},
		"it": {" non ", " né ", " mai ", " a differenza ", " invece di ", " come ", " simile "},
		"nl": {" niet ", " geen ", " noch ", " in tegenstelling ", " zoals ", " nooit "},
		"pl": {" nie ", " ani ", " w przeciwieństwie ", " jak ", " nigdy "},
		"tr": {" ne "},
		"": {
			" не ", " ни ", " в отличие ", " как ", "لست", "ليس", " لم ", " لا ", "بخلاف", " مثل ",
			"不是", "并非", "並非", "没有", "不属于", "不同于", "不像", "类似", "例如", "与", "和",
		},
	}
	deniedAfter = map[string][]string{
		"en": {" is not ", " isn't ", " did not ", " didn't ", " has not ", " had no "},
		"fr": {" n'est pas ", " n'a pas ", " n’est pas ", " n’a pas "},
		"tr": {" değil", " gibi "},
		"": {
			"ではありません", "ではない", "ではなく", "じゃない", "とは異なり", "とは関係", "とは別", "のような", "아닙니다", "아니라", "아니며", "아니고", "와 다르", "과 다르", "같은",
			"नहीं", "जैसे", "की तरह", "不同", "无关",
		},
	}
	yesWords = []string{
		"yes", "oui", "ja", "sí", "si", "sim", "sì", "да", "نعم", "evet", "हाँ", "हां", "是的", "是", "对", "はい", "네", "예", "tak", "correct", "exactly", "indeed", "exactement", "genau", "exacto", "没错",
	}
)

// denied reports whether what stands around a name in its clause denies it.
func denied(lang, before, after string) bool {
	before, after = " "+before+" ", " "+after+" "
	for _, l := range []string{"", "en", lang} {
		in := func(text string) func(string) bool { return func(w string) bool { return strings.Contains(text, w) } }
		if slices.ContainsFunc(deniedBefore[l], in(before)) || slices.ContainsFunc(deniedAfter[l], in(after)) {
			return true
		}
	}
	return false
}

// affirms reports whether an answer begins with a yes.
func affirms(answer string) bool {
	answer = strings.TrimLeftFunc(answer, func(r rune) bool { return !unicode.IsLetter(r) })
	return slices.ContainsFunc(yesWords, func(w string) bool {
		rest, ok := strings.CutPrefix(answer, w)
		if !ok {
			return false
		}
		runes := []rune(rest)
		return len(runes) == 0 || !unicode.IsLetter(runes[0]) && !unicode.IsMark(runes[0]) || reading.Unbroken([]rune(w)[0])
	})
}
