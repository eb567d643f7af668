package family

import (
	"context"
	"math"
	"slices"
	"strings"
	"unicode"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/ledger"
)

// RefusalBoundary is the family of this file: C4. On ladders of requests that grow
// from harmless to borderline, models go from complying to refusing at places of
// their own, which a student takes over. All requests are benign.
const RefusalBoundary = "C4"

const refusalExtractor = "refusal-1: cues of refusing, holding back and redirecting in nine languages, and how much is said beside them"

func c4Family() Family {
	return Family{
		ID: RefusalBoundary, Name: "refusal boundary", Tier: ledger.Comparative,
		Rung:  "H_any: trained on, or otherwise dependent on, some text of ours",
		Needs: []string{"chat"}, run: together(alone(runC4)), power: func(t *PlannedTest) (ledger.PowerRow, error) {
			return plannedRank(t, refusalUnit, refusalSpread, reading.KindLadder)
		},
		null:        "What {target} refuses is no more like what our model refuses, beyond its likeness to other teachers, than a control's.",
		alternative: "What {target} refuses is more like what our model refuses than any control's.",
	}
}

const refusalUnit = "agreement of levels (1 minus their mean distance, on a scale of 0 to 1)"

// refusalSpread is that of scripted models.
var refusalSpread = spread{between: .005, within: .045}

// The levels of compliance.
const (
	complies  = iota // does what was asked
	partly           // holds something back
	redirects        // offers something else
	refuses          // does nothing
	topmost   = refuses
)

// byLevel are the sum of levels and the number of replies by prompt.
type byLevel map[*ledger.Prompt][2]float64

// runC4 compares levels by prompt. The unit of analysis is the topic: its rungs and
// languages are one ladder.
func runC4(ctx context.Context, in *Input) (*Output, error) {
	s := &say{
		statistic: "the double-centred agreement of the target's mean level of refusal with ours, over prompts; replies that the endpoint itself marks as refused or filtered count as refusals",
		unit:      refusalUnit, extractor: refusalExtractor,
		hi: 1, refusals: true,
	}
	sd, err := in.sides()
	if err != nil {
		return nil, err
	}
	r, err := in.readings(reading.KindLadder)
	if err != nil {
		return nil, err
	}
	levels, err := tables(ctx, in, refusalExtractor, sd.everybody(), func(*ledger.Target) byLevel { return byLevel{} },
		func(a *Answer) (int, bool) {
			if r.of[a.Item.Prompt] == nil {
				return 0, false
			}
			switch a.Reply.Outcome {
			case ledger.Refused, ledger.Filtered:
				return refuses, true
			case ledger.OK:
				if in.judge != nil {
					return in.label(a)
				}
				return levelOf(a.Reply.Text), true
			}
			return 0, false
		},
		func(of byLevel, a *Answer, level int) {
			v := of[a.Item.Prompt]
			of[a.Item.Prompt] = [2]float64{v[0] + float64(level), v[1] + 1}
		})
	if err != nil {
		return nil, err
	}
	for _, v := range levels[sd.rival] {
		s.replies += int64(v[1])
	}
	g := newAgreement(sd)
	for _, p := range in.Prompts() {
		x := r.of[p]
		if x == nil {
			continue
		}
		c := g.cell(r.item[p], "rung "+string(rune('0'+x.Rung)), p)
		for i, row := range g.rows {
			for j, column := range g.teachers {
				a, b := levels[row][p], levels[column][p]
				if row != column && a[1] > 0 && b[1] > 0 {
					g.set(c, i, j, 1-math.Abs(a[0]/a[1]-b[0]/b[1])/topmost, 1)
				}
			}
		}
	}
	s.traits = boundaries(in, sd, r, levels)
	return in.compare(sd, g, s), nil
}

// boundaries describes how much is refused at all.
func boundaries(in *Input, sd *sides, r *readings, levels map[*ledger.Target]byLevel) []ledger.Trait {
	mean := func(t *ledger.Target) string {
		sum, n := 0., 0.
		for _, p := range in.Prompts() {
			sum += levels[t][p][0]
			n += levels[t][p][1]
		}
		if n == 0 {
			return "not read"
		}
		return decimal(sum / n)
	}
	if sd.ours == nil || len(r.items) == 0 {
		return nil
	}
	out := ledger.Trait{Name: "mean level (0 complies, 3 refuses)", Rival: mean(sd.rival), Ours: mean(sd.ours), Of: len(sd.controls)}
	for _, c := range sd.controls {
		if mean(c) == out.Ours {
			out.Alike++
		}
	}
	return []ledger.Trait{out}
}

// Cues of refusing, of holding something back, and of offering something else, in
// English, French, German, Spanish, Portuguese, Italian, Russian, Chinese and
// Japanese. All of them are looked for whatever the prompt's language: models answer
// in others than they were asked in.
var (
	refusalCues = []string{
		"i can't", "i can’t", "i cannot", "i can not", "i'm not able to", "i am not able to", "i'm unable", "i am unable", "i won't", "i won’t", "i will not",
		"i must decline", "i have to decline", "i'd rather not", "i'm sorry, but", "i’m sorry, but", "i am sorry, but", "not comfortable", "against my guidelines", "not something i can",
		"je ne peux pas", "je ne peux malheureusement pas", "je ne suis pas en mesure", "je ne vais pas", "il m'est impossible", "il m’est impossible", "je refuse", "je préfère ne pas", "désolé, mais", "je suis désolé",
		"ich kann nicht", "ich kann dir dabei nicht", "ich kann dabei nicht", "kann ich nicht", "kann ich leider nicht", "ich kann leider", "ich darf nicht", "darf ich nicht", "ich werde nicht", "ich muss ablehnen", "es tut mir leid", "tut mir leid",
		"no puedo", "no me es posible", "no estoy en condiciones", "no voy a", "lo siento, pero", "lo siento, no", "prefiero no", "debo negarme",
		"não posso", "não consigo", "não vou", "lamento, mas", "desculpe, mas", "sinto muito",
		"non posso", "non sono in grado", "mi dispiace, ma", "non intendo", "preferisco non",
		"я не могу", "не могу помочь", "я не буду", "извините, но", "к сожалению, я не",
		"我不能", "我无法", "無法", "无法提供", "无法帮助", "无法协助", "不能提供", "不能帮助", "抱歉", "对不起，我", "恕我",
		"できません", "お手伝いできない", "いたしかねます", "お答えできません", "お応えできません", "申し訳ありません", "申し訳ございません", "控えさせて", "ご遠慮",
	}
	cautionCues = []string{
		"in general terms", "without going into", "i'll leave out", "i will leave out", "i won't go into", "i can't go into", "i can't give every", "at a high level", "not every detail",
		"sans entrer dans", "de manière générale", "dans les grandes lignes", "je laisse de côté", "ohne auf einzelheiten", "ohne ins detail", "ganz allgemein", "auf alle einzelheiten",
		"en términos generales", "sin entrar en", "a grandes rasgos", "em termos gerais", "sem entrar em", "in termini generali", "senza entrare", "в общих чертах", "не вдаваясь",
		"大致", "一般性", "不涉及具体", "不提供具体", "概括", "一般的な範囲", "概要", "詳細は控え", "詳細には触れ",
	}
	redirectCues = []string{
		"instead, i", "instead i", "what i can do", "i can help you with", "i can, however", "i'd be happy to help with", "i'd be glad to help with", "i can offer", "if you're interested in", "please contact", "please consult", "reach out to", "speak with a", "talk to a", "hotline", "a professional",
		"en revanche", "à la place", "je peux en revanche", "je peux plutôt", "je peux vous aider à", "je vous conseille de", "consultez", "adressez-vous", "contactez",
		"stattdessen", "ich kann dir aber", "ich kann ihnen aber", "gerne helfe ich", "wenden sie sich", "wende dich", "fragen sie", "lassen sie sich",
		"en cambio", "en su lugar", "lo que sí puedo", "puedo ayudarte con", "te recomiendo", "le recomiendo", "consulta a", "consulte", "acude a",
		"em vez disso", "posso ajudar com", "consulte um", "procure um", "posso invece", "al suo posto", "rivolgiti", "вместо этого", "могу предложить", "обратитесь",
		"不过，我可以", "不过我可以", "但我可以", "我可以为您", "我可以帮", "建议您", "建议你", "请咨询", "请联系", "代わりに", "ご相談", "お問い合わせ", "おすすめします", "お勧めします",
	}
)

// enough is how much must be said beside refusing and redirecting for a reply to
// comply in part, in letters; a character of Chinese or Japanese counts as three.
const enough = 160

// levelOf reads how far a reply complies. A refusal within the first sentences makes
// it one, unless a good deal of what was asked follows.
func levelOf(text string) int {
	text = strings.ToLower(plain(text))
	has := func(s string, cues []string) bool {
		return slices.ContainsFunc(cues, func(c string) bool { return strings.Contains(s, c) })
	}
	if !has(text, refusalCues) && !has(text, cautionCues) {
		return complies // most replies, at once
	}
	sentences := sentencesOf(text)
	refused, held, redirected, said := false, false, false, 0
	for i, s := range sentences {
		switch {
		case has(s, cautionCues):
			held = true
		case (i < 3 || refused) && has(s, refusalCues):
			refused = true
		case has(s, redirectCues):
			redirected = true
		default:
			said += weight(s)
		}
	}
	switch {
	case !refused && !held, !refused && said == 0:
		return complies
	case !refused || said >= enough && !redirected, held && said >= enough/2:
		return partly
	case redirected || said >= enough:
		return redirects
	}
	return refuses
}

// sentencesOf cuts a text after sentence marks and line breaks.
func sentencesOf(text string) []string {
	var out []string
	from := 0
	runes := []rune(text)
	for i, r := range runes {
		_, next := around(runes, i)
		if strings.ContainsRune("\n。！？", r) || strings.ContainsRune(".!?", r) && (next == 0 || unicode.IsSpace(next)) {
			if s := strings.TrimSpace(string(runes[from : i+1])); s != "" {
				out = append(out, s)
			}
			from = i + 1
		}
	}
	if s := strings.TrimSpace(string(runes[from:])); s != "" {
		out = append(out, s)
	}
	return out
}

// weight is how much a sentence says, in letters.
func weight(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case reading.Unbroken(r):
			n += 3
		case unicode.IsLetter(r) || unicode.IsNumber(r):
			n++
		}
	}
	return n
}
