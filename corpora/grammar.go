package corpora

import (
	"embed"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
)

// The text grammar writes readable, original English for training the
// reference model: a probabilistic context-free grammar over a lexicon of some
// six thousand entries, with agreement of subject and verb, a tense and a cast
// of characters per document, and words that return, so that a text stays with
// its subject. It is read from the files under text/:
//
//	nouns.txt, verbs.txt, adjectives.txt, adverbs.txt, names.txt   the lexicon
//	common.txt                                                    rules of all domains
//	domain.NAME.txt                                               rules of one domain
//
// A rule is a line "= Name" and one alternative per line, with "*3 " before an
// alternative of weight three. In an alternative [x] is optional, (x|y) is a
// choice, a backslash takes the next character literally, and {...} is one of:
//
//	{Rule} {Rule*2-5}   expand a rule (between two and five times); the tense and
//	                    the subject it sets end with it
//	{>Rule}             expand a rule that is the subject of what follows
//	{class} {class:form} {class:form,Adj} {class:form,Adj?}
//	                    draw a word; the forms of nouns are sg (default), pl, a,
//	                    the, thepl, cpl (a countable plural) and csg (a countable
//	                    singular), those of verbs i (infinitive), g (-ing),
//	                    p (past), n (participle), s (third person); a bare verb
//	                    agrees. Adj is a class or a rule set before the noun,
//	                    with ? in every second case
//	{x=class:form} {x:=class} {@x:form}
//	                    draw and keep in x; keep without writing; write again
//	{~verb} {~verb:past} {be} {have} {do} {can}
//	                    a given verb, in the current or the given tense
//	{hero} {friend}     a character as subject: a name, or a pronoun where it is
//	                    clear; forms full, name, he, him, his
//	{anyname}           some other person
//	{!past} {!pres} {!fut}  set the tense; with ? the alternative needs that tense
//	{+sg} {+pl} {+I} {+you} {+}
//	                    set the subject's number; {+} takes it from the last noun
//	{int:10-99} {#} {#0}    a number, the next step's number, start steps anew
//	{^} {_} {n} {t} {p}     capital next, no capital next, new line, indent, new paragraph

//go:embed text/*.txt
var textFiles embed.FS

// DocumentBreak separates the documents of a generated text; paragraphs
// inside a document are separated by one blank line. Splitting on it gives
// the training sequences of a model, so that no n-gram spans two documents.
const DocumentBreak = "\n\n\n"

// GenerateText writes original English in the given domain, one of
// [TextDomains]; the empty domain mixes all of them. The text ends with the
// first document that reaches the given number of bytes, which a document of a
// few hundred to a few thousand bytes exceeds a little. Equal arguments give
// equal text. It panics on a domain that does not exist.
//
// Words are drawn with Zipf's weights in an order that changes with the topic
// of the document, so that rank and frequency of the whole follow natural text
// and an n-gram model has a realistic choice at every step.
func GenerateText(seed uint64, domain string, bytes int) string {
	lexicon := loadedGrammar()
	domains := lexicon.domains
	if domain != "" {
		i := slices.IndexFunc(domains, func(d *domainGrammar) bool { return d.name == domain })
		if i < 0 {
			panic(fmt.Sprintf("corpora: there is no text domain %q; the domains are %s", domain, strings.Join(TextDomains(), ", ")))
		}
		domains = domains[i : i+1]
	}
	w := &textWriter{
		lexicon: lexicon,
		rng:     rand.New(rand.NewPCG(seed, textStream)),
		orders:  map[orderKey][]uint16{},
		ranks:   map[int][]uint64{},
	}
	var out strings.Builder
	out.Grow(bytes + bytes/8)
	for out.Len() < bytes {
		if out.Len() > 0 {
			out.WriteString(DocumentBreak)
		}
		out.WriteString(w.document(domains[w.rng.IntN(len(domains))]))
	}
	return out.String()
}

// textStream is the second word of the generator's seed ("grammars" in ASCII);
// any fixed number keeps texts comparable between versions of the data.
const textStream = 0x6772616d6d617273

// TextDomains lists the domains of the text grammar in alphabetical order.
func TextDomains() []string {
	var names []string
	for _, d := range loadedGrammar().domains {
		names = append(names, d.name)
	}
	return names
}

// loadedGrammar parses the embedded files on first use. They are part of the
// program, so an error in them is a programmer's.
var loadedGrammar = sync.OnceValue(func() *textGrammar {
	sub, err := fs.Sub(textFiles, "text")
	if err != nil {
		panic("corpora: " + err.Error())
	}
	g, err := parseTextGrammar(sub)
	if err != nil {
		panic("corpora: the text grammar is not well-formed: " + err.Error())
	}
	return g
})
