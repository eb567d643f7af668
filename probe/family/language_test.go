package family

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/probe/ledger"
)

var (
	placeholder = regexp.MustCompile(`\{[a-z0-9_]+\}`)
	denies      = map[string]*regexp.Regexp{
		"en": regexp.MustCompile(`(?i)\b(not|no|never|neither|nor|nothing|nobody|cannot|none)\b`),
		"fr": regexp.MustCompile(`(?i)\b(pas|non|jamais|ni|rien|personne|aucune?|sans|ne|hors)\b|n[’']`),
	}
	hedges = map[string]string{"exploratory": "exploratoire", "demonstration": "démonstration", "at most": "au plus", "no more than once": "au plus une fois", "would each explain": "expliqueraient"}
)

// Every phrase of a language has the placeholders of the English one, says no where
// that says no, and keeps its reservations.
func TestPhrasesKeepTheirSense(t *testing.T) {
	t.Parallel()
	for _, language := range Languages() {
		if language == English {
			continue
		}
		for en, other := range must(BookOf(language)).phrases {
			a, b := placeholder.FindAllString(en, -1), placeholder.FindAllString(other, -1)
			slices.Sort(a)
			slices.Sort(b)
			if !slices.Equal(slices.Compact(a), slices.Compact(b)) {
				t.Errorf("%s: %q has other placeholders than %q", language, other, en)
			}
			if denies["en"].MatchString(en) != denies[language].MatchString(other) && denies["en"].MatchString(en) {
				t.Errorf("%s: %q does not deny what %q denies", language, other, en)
			}
			for word, want := range hedges {
				if language == "fr" && strings.Contains(en, word) && !strings.Contains(other, want) {
					t.Errorf("%s: %q lacks the reservation %q of %q", language, other, want, en)
				}
			}
			if strings.TrimSpace(other) != other || strings.Contains(other, "  ") || other == "" {
				t.Errorf("%s: %q is badly spaced", language, other)
			}
		}
	}
}

// What a family says of itself is in every book; so are the words of every table.
func TestBooksAreWhole(t *testing.T) {
	t.Parallel()
	var all []string
	for _, tiers := range wording {
		for _, w := range tiers {
			all = append(all, w.headline, w.meaning)
		}
	}
	for _, list := range notShown {
		all = append(all, list...)
	}
	for _, s := range warningText {
		all = append(all, s)
	}
	for _, s := range whyText {
		all = append(all, s)
	}
	for _, s := range rungText {
		all = append(all, s)
	}
	all = append(all, ladderReached, ladderReachedLead, ladderLead, ladderNone, reachCohort, reachCanary, pooledSubject, pooledMeaning, reasoningSubject, reasoningWhere, pooledReasoningSubject, resultBeside, partModel, partChanged)
	all = append(all, judgeWords()...)
	for _, f := range Families() {
		all = append(all, f.Name, f.Rung, f.null, f.alternative, f.meaning, f.notShown, f.subject)
	}
	for _, language := range Languages() {
		book := must(BookOf(language))
		for _, s := range all {
			if _, ok := book.phrases[s]; !ok && language != English && s != "" && !strings.HasPrefix(s, "{rankonly}") {
				t.Errorf("%s has nothing for %q", language, s)
			}
		}
	}
}

func TestPhrase(t *testing.T) {
	t.Parallel()
	fr := must(BookOf("fr"))
	hostile := &ledger.Finding{Target: "nova depends on secret key K9", Key: "K1"}
	for _, c := range []struct {
		en, fr string
		f      *ledger.Finding
	}{
		{"", "", nil},
		{"not a phrase of ours", "not a phrase of ours", nil},
		{"share of keyed renderings above 1/2", "part des formulations conformes à la clé au-dessus de 1/2", nil},
		{"closeness of style (cosine of z-scores, Delta) above the controls' mean", "proximité du style (cosinus des scores z, Delta), au-dessus de la moyenne des témoins", nil},
		{"they lie 3.5 days apart, and 7 are asked for", "elles sont séparées de 3,5 jours, et il en faut 7", nil},
		{"alpha is the same model as beta, which counts once", "alpha est le même modèle que beta, qui compte une fois", nil},
		{"12 of 30", "12 sur 30", nil},
		{"identity: 3 of 40 planned replies are missing.", "identity\u00a0: 3 des 40 réponses prévues manquent.", nil},
		{"nova: the model changed from \"a\" to \"b\" (seen twice; collection stopped).", "nova\u00a0: model est passé de \"a\" à \"b\" (vu deux fois\u00a0; la collecte s’est arrêtée).", nil},
		{"H0: The replies of nova are statistically independent of secret key K1, which was drawn at random.", "H0\u00a0: Les réponses de nova sont statistiquement indépendantes de la clé secrète K1, tirée au hasard.", nil},
		// A name that reads like the sentence is taken for the name that it is.
		{
			"The replies of nova depends on secret key K9 are statistically independent of secret key K1, which was drawn at random.",
			"Les réponses de nova depends on secret key K9 sont statistiquement indépendantes de la clé secrète K1, tirée au hasard.",
			hostile,
		},
		{
			"The replies of somebody else are statistically independent of secret key K1, which was drawn at random.",
			"The replies of somebody else are statistically independent of secret key K1, which was drawn at random.",
			hostile,
		},
	} {
		if got := fr.Phrase(c.en, c.f); got != c.fr {
			t.Errorf("%q became %q, want %q", c.en, got, c.fr)
		}
		if got := must(BookOf(English)).Phrase(c.en, c.f); got != c.en {
			t.Errorf("English changed %q to %q", c.en, got)
		}
	}
	if _, err := BookOf("xx"); err == nil || !strings.Contains(err.Error(), "there is en, fr") {
		t.Errorf("an unknown language: %v", err)
	}
}

func FuzzPhrase(f *testing.F) {
	fr := must(BookOf("fr"))
	for en := range fr.phrases {
		f.Add(en, "nova", "K1")
	}
	f.Fuzz(func(t *testing.T, words, target, key string) {
		if len(words) > 400 {
			return
		}
		fr.Phrase(words, &ledger.Finding{Target: target, Key: key})
	})
}
