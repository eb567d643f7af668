package strength

import (
	"strings"
	"unicode"
)

// synonyms are everyday words that stand for one another in most sentences, in
// pairs; each is replaced by the other. A thesaurus would reach more words and
// fit worse: what counts here is that words of all frequencies change and the
// tokens around them break.
var synonyms = pairs(`
	small little|old ancient|big large|quick fast|slow gradual|begin start|began started|end finish|ended finished
	quiet silent|difficult hard|easy simple|clever smart|rich wealthy|poor needy|strange odd|important vital
	happy glad|sad unhappy|angry cross|often frequently|sometimes occasionally|usually normally|almost nearly
	hardly barely|maybe perhaps|also too|but yet|because since|until till|while whereas|although though|about around
	over above|under below|near close|after following|before preceding|then afterwards|now presently|always forever
	house home|street road|forest wood|hill slope|river stream|town city|shop store|sea ocean|stone rock|path trail
	letter note|book volume|picture image|teacher tutor|doctor physician|child kid|people folk|nobody none
	ask inquire|asked inquired|answer reply|say state|says states|said stated|think believe|know understand
	need require|help aid|keep hold|make create|made created|get obtain|buy purchase|sell trade|take grab|see notice
	look glance|find locate|found located|show display|watch observe|hear listen|forget overlook|remember recall
	hope wish|like enjoy|love adore|fear dread|trust rely|change alter|move shift|stop halt|return come|fall drop
	new fresh|whole entire|empty vacant|dark dim|bright shiny|cold chilly|warm mild|hot boiling|wet damp|dry arid
	price cost|task job|goal aim|question query|problem issue|idea notion|plan scheme|meaning sense|story tale
	many several|few scarce|more extra|most greatest|every each|last final|first initial|later afterward|soon shortly
	very quite|fairly rather|extremely highly|slowly leisurely|carefully cautiously|only just|even still|without lacking
`)

func pairs(list string) map[string]string {
	out := map[string]string{}
	for _, pair := range strings.FieldsFunc(list, func(r rune) bool { return r == '|' || r == '\n' }) {
		if w := strings.Fields(pair); len(w) == 2 {
			out[w[0]], out[w[1]] = w[1], w[0]
		}
	}
	return out
}

// replaceWords replaces a share of the words that have a synonym.
func replaceWords(rate float64, v victim) ([]int32, error) {
	return edited(v, func(text string) string {
		words := wordsAndGaps(text)
		var at []int
		for i, w := range words {
			if synonyms[w] != "" {
				at = append(at, i)
			}
		}
		for i, yes := range chosen(v.random, len(at), share(rate, len(at))) {
			if yes {
				words[at[i]] = synonyms[words[at[i]]]
			}
		}
		return strings.Join(words, "")
	})
}

// wordsAndGaps cuts a text into runs of letters and runs of anything else.
func wordsAndGaps(text string) []string {
	var out []string
	start, inWord := 0, false
	for i, r := range text {
		if letter := unicode.IsLetter(r); letter != inWord {
			if i > start {
				out = append(out, text[start:i])
			}
			start, inWord = i, letter
		}
	}
	return append(out, text[start:])
}
