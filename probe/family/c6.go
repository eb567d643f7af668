package family

import (
	"context"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/ledger"
)

// Stylometry is the family of this file: C6. A student writes as its teacher does,
// in words that nobody chooses with care: function words, short sequences of
// characters, and the skeletons that function words and punctuation leave when the
// content is taken out.
const Stylometry = "C6"

const styleExtractor = "style-1: function words of eight languages, characters in threes to fives (4096 buckets), skeletons in threes (1024 buckets)"

func c6Family() Family {
	return Family{
		ID: Stylometry, Name: "stylometry", Tier: ledger.Comparative,
		Rung:  "H_any: trained on, or otherwise dependent on, some text of ours",
		Needs: []string{"chat"}, run: together(runC6), power: func(t *PlannedTest) (ledger.PowerRow, error) {
			return plannedRank(t, styleUnit, styleSpread)
		},
		null:        "The style of {target} is no closer to that of our model, beyond its closeness to other teachers, than a control's.",
		alternative: "The style of {target} is closer to that of our model than any control's.",
	}
}

const styleUnit = "closeness of style (cosine of z-scores, Delta)"

// styleSpread is that of scripted models with replies of 60 words.
var styleSpread = spread{between: .02, within: .05}

// The sizes of the blocks of features: function words by their place in the list of
// their language, hashed sequences of characters, hashed skeletons.
const (
	wordFeatures     = 512
	sequenceFeatures = 4096
	skeletonFeatures = 1024
)

// runC6 compares styles.
func runC6(ctx context.Context, ins []*Input) ([]*Output, error) {
	tests := make([]*styled, len(ins))
	for i, in := range ins {
		var err error
		tests[i], err = newStyled(in, &say{
			statistic: "the double-centred closeness of the target's style to ours: the mean over prompts of Delta in its cosine form, on function words, character sequences and function-word skeletons alike",
			unit:      styleUnit, extractor: styleExtractor, versus: true,
			shared: true, // in the scale of the z-scores
		})
		if err != nil {
			return nil, err
		}
	}
	return compareStyle(ctx, tests, &style{
		blocks:  []int{wordFeatures, wordFeatures + sequenceFeatures, wordFeatures + sequenceFeatures + skeletonFeatures},
		extract: func(a *Answer) []feature { return styleOf(a.Item.Prompt.Lang, a.Reply.Text) },
	})
}

// styleOf extracts the features of a text. Its form is left as it is: emphasis,
// headings and capitals are style.
func styleOf(lang, text string) []feature {
	_, text = splitThinking(clip(text))
	place := placesOf(lang)
	var known [wordFeatures]float64
	var skeletons [skeletonFeatures]float64
	var shape [3]uint64
	words := 0.
	eachToken(text, func(w string) {
		at, function := place[w]
		s := uint64(at + 2)
		switch r, _ := utf8.DecodeRuneInString(w); {
		case function:
			known[at]++
		case unicode.IsNumber(r):
			s = 0
		case unicode.IsLetter(r):
			s = 1
		default:
			s = uint64(r) << 16
		}
		shape[0], shape[1], shape[2] = shape[1], shape[2], s
		if words++; words >= 3 {
			h := mix(mix(mix(hashStart, shape[0]), shape[1]), shape[2])
			skeletons[fold(h)%skeletonFeatures]++
		}
	})
	var sequences [sequenceFeatures]float64
	n := countSequences(text, &sequences)
	f := rates(nil, 0, known[:], words)
	f = rates(f, wordFeatures, sequences[:], n)
	return rates(f, wordFeatures+sequenceFeatures, skeletons[:], words-2)
}

// placesOf numbers the function words of a language; the English ones where there is
// no list.
func placesOf(lang string) map[string]int {
	if p, ok := functionPlaces()[lang]; ok {
		return p
	}
	return functionPlaces()["en"]
}

// functionPlaces numbers the function words of every language, once.
var functionPlaces = sync.OnceValue(func() map[string]map[string]int {
	out := map[string]map[string]int{}
	for lang, list := range functionWords {
		out[lang] = map[string]int{}
		for i, w := range list {
			out[lang][w] = i
		}
	}
	return out
})

// eachToken calls do for the words of a text in lower case, single characters of
// scripts without blanks, punctuation marks and line breaks.
func eachToken(text string, do func(string)) {
	text = strings.ToLower(text)
	from := -1 // of the word
	for i, r := range text {
		in := (unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsNumber(r)) && !reading.Unbroken(r)
		if in {
			if from < 0 {
				from = i
			}
			continue
		}
		if from >= 0 {
			do(text[from:i])
			from = -1
		}
		if !unicode.IsSpace(r) || r == '\n' {
			do(text[i : i+utf8.RuneLen(r)])
		}
	}
	if from >= 0 {
		do(text[from:])
	}
}

// countSequences counts the sequences of three to five characters by bucket and
// returns how many there are. Runs of blanks count as one.
func countSequences(text string, counts *[sequenceFeatures]float64) float64 {
	runes := make([]rune, 0, len(text))
	for _, r := range text {
		if unicode.IsSpace(r) && r != '\n' {
			r = ' '
		}
		if r == ' ' && len(runes) > 0 && runes[len(runes)-1] == ' ' {
			continue
		}
		runes = append(runes, r)
	}
	n := 0.
	for i := range runes {
		h := uint64(hashStart)
		for k := 0; k < 5 && i+k < len(runes); k++ {
			h = mix(h, uint64(runes[i+k]))
			if k >= 2 {
				counts[fold(mix(h, uint64(k)))%sequenceFeatures]++
				n++
			}
		}
	}
	return n
}

// FNV-1a over numbers; fold mixes the high bits into the low ones, which name the
// bucket.
const hashStart, hashPrime = 14695981039346656037, 1099511628211

func mix(h, v uint64) uint64 { return (h ^ v) * hashPrime }

func fold(h uint64) uint64 { return h ^ h>>32 }
