package corpora

import (
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

const (
	// topicsPerDomain is the number of word orders of a domain. Sixteen give a
	// 1 MB text some ten documents on each of its topics.
	topicsPerDomain = 16
	// zipfShift is the shift of Mandelbrot's form of Zipf's law, weight
	// 1/(rank + shift) for ranks from 0, with the exponent one of natural text.
	// It keeps a class of fifty words from being mostly its first.
	zipfShift = 2
	// ownOrder is the share of draws in the topic's order; the others use the
	// lexicon's own, so that common words stay common everywhere.
	ownOrder = 50 // percent
	// returning is the share of draws that repeat a word the document has used
	// lately, which is what keeps a paragraph on its subject.
	returning = 20 // percent
	// recentWords is how many words of a class a document remembers.
	recentWords = 6
)

// textWriter writes documents. It belongs to one goroutine.
type textWriter struct {
	lexicon *textGrammar
	rng     *rand.Rand
	orders  map[orderKey][]uint16
	ranks   map[int][]uint64 // running sums of Zipf's weights by number of ranks

	// The document being written.
	domain    *domainGrammar
	topic     int
	buf       []byte
	tense     tense
	number    number // of the subject
	last      number // of the last noun
	registers map[string]*word
	recent    map[*wordClass][]*word
	lastAlt   map[*rule]int
	hero      character
	friend    character
	subject   *character // who a pronoun would stand for
	step      int
}

type character struct {
	first, family string
	female        bool
	known         bool
}

type orderKey struct {
	domain, topic int
	class         *wordClass
}

func (w *textWriter) document(d *domainGrammar) string {
	w.domain = d
	w.topic = w.zipf(topicsPerDomain)
	w.buf = w.buf[:0]
	w.tense, w.number, w.last = present, singular, singular
	w.registers = map[string]*word{}
	w.recent = map[*wordClass][]*word{}
	w.lastAlt = map[*rule]int{}
	// Hero and friend differ in gender, so that a pronoun is clear.
	w.hero = w.cast(w.rng.IntN(2) == 0)
	w.friend = w.cast(!w.hero.female)
	w.subject = nil
	w.step = 0
	w.expand(d.doc)
	return tidy(w.buf)
}

func (w *textWriter) cast(female bool) character {
	return character{first: w.draw(w.nameClass(female)).base, family: w.draw(w.lexicon.classes["name.last"]).base, female: female}
}

func (w *textWriter) nameClass(female bool) *wordClass {
	if female {
		return w.lexicon.classes["name.she"]
	}
	return w.lexicon.classes["name.he"]
}

// zipf draws a rank below n. The weights are whole numbers, so that the draw is
// the same on every processor.
func (w *textWriter) zipf(n int) int {
	sums := w.ranks[n]
	if sums == nil {
		sums = make([]uint64, n)
		total := uint64(0)
		for r := range sums {
			total += (1 << 40) / uint64(r+zipfShift)
			sums[r] = total
		}
		w.ranks[n] = sums
	}
	u := w.rng.Uint64N(sums[n-1])
	r, found := slices.BinarySearch(sums, u)
	if found {
		r++ // u belongs to the first rank whose sum exceeds it
	}
	return r
}

// draw takes a word of a class by rank.
func (w *textWriter) draw(c *wordClass) *word {
	if used := w.recent[c]; len(used) > 0 && w.rng.IntN(100) < returning {
		return used[w.rng.IntN(len(used))]
	}
	i := w.zipf(len(c.words))
	if w.rng.IntN(100) < ownOrder {
		i = int(w.order(c)[i])
	}
	chosen := &c.words[i]
	used := append(w.recent[c], chosen)
	if len(used) > recentWords {
		used = used[1:]
	}
	w.recent[c] = used
	return chosen
}

// order is the topic's order of a class: a property of the language, the same
// under every seed.
func (w *textWriter) order(c *wordClass) []uint16 {
	key := orderKey{w.domain.index, w.topic, c}
	if o := w.orders[key]; o != nil {
		return o
	}
	h := fnv.New64a()
	h.Write([]byte(w.domain.name + "\x00" + c.name))
	rng := rand.New(rand.NewPCG(h.Sum64(), uint64(w.topic)))
	o := make([]uint16, len(c.words))
	for i, v := range rng.Perm(len(o)) {
		o[i] = uint16(v)
	}
	w.orders[key] = o
	return o
}

func (w *textWriter) emit(s string) { w.buf = append(w.buf, s...) }

// expand writes one alternative of a rule.
func (w *textWriter) expand(r *rule) {
	alt := w.pickAlternative(r)
	// The same sentence frame twice running reads like a machine.
	if len(r.alts) > 3 && alt == w.lastAlt[r] {
		alt = w.pickAlternative(r)
	}
	w.lastAlt[r] = alt
	w.sequence(r.alts[alt].body)
}

func (w *textWriter) pickAlternative(r *rule) int {
	for {
		n := w.rng.IntN(r.total)
		for i := range r.alts {
			if n -= r.alts[i].weight; n < 0 {
				if t := r.alts[i].tense; t == anyTense || t == w.tense {
					return i
				}
				break // drawn in the wrong tense: draw again
			}
		}
	}
}

func (w *textWriter) sequence(nodes []node) {
	for i := range nodes {
		w.node(&nodes[i])
	}
}

func (w *textWriter) node(n *node) {
	switch n.op {
	case opText:
		w.emit(n.text)
		if strings.Contains(n.text, "\n") {
			w.subject = nil
		}
	case opChoice:
		w.sequence(n.parts[w.rng.IntN(len(n.parts))])
	case opOptional:
		if w.rng.IntN(2) == 0 {
			w.sequence(n.parts[0])
		}
	case opCall:
		times := n.lo + w.rng.IntN(n.hi-n.lo+1)
		for i := range times {
			if i > 0 {
				w.emit(" ")
			}
			w.call(n.rule)
		}
	case opSubject:
		t := w.tense
		w.expand(n.rule)
		w.tense = t
	case opWord:
		w.drawn(n)
	case opRecall:
		kept := w.registers[n.register]
		if kept == nil {
			panic("corpora: a rule of domain " + w.domain.name + " writes the register " + n.register + ", which nothing has filled")
		}
		w.inflected(n, kept)
	case opVerb:
		w.emit(w.verb(n.verb, n.form))
	case opTense:
		w.tense = n.tense
	case opNumber:
		if n.number == lastNoun {
			w.number = w.last
			break
		}
		w.number = n.number
		w.last = n.number
	case opPerson:
		w.person(n)
	case opInt:
		w.emit(strconv.Itoa(n.lo + w.rng.IntN(n.hi-n.lo+1)))
	case opStep:
		w.step++
		w.emit(strconv.Itoa(w.step))
	case opResetSteps:
		w.step = 0
	}
}

// call expands a rule whose tense and subject end with it.
func (w *textWriter) call(r *rule) {
	t, n := w.tense, w.number
	w.expand(r)
	w.tense, w.number = t, n
}

// drawn writes a new word of a class.
func (w *textWriter) drawn(n *node) {
	chosen := w.draw(n.class)
	if n.form == "cpl" || n.form == "csg" {
		for chosen.kind != countable {
			chosen = &n.class.words[w.rng.IntN(len(n.class.words))]
		}
	}
	if n.register != "" {
		w.registers[n.register] = chosen
	}
	if !n.silent {
		w.inflected(n, chosen)
	}
}

// inflected writes a word in a node's form, with its article and adjective.
func (w *textWriter) inflected(n *node, x *word) {
	if x.ing != "" {
		w.emit(w.verb(x, n.form))
		return
	}
	if x.plural == "" {
		w.emit(x.base)
		return
	}
	text := x.base
	w.last = singular
	switch n.form {
	case "pl", "thepl", "cpl":
		text = x.plural
		if x.kind != mass {
			w.last = plural
		}
	default:
		if x.kind == pluralOnly {
			w.last = plural
		}
	}
	number := w.last
	switch n.form {
	case "the", "thepl":
		w.emit("the ")
	case "a":
		if x.kind == countable {
			w.emit("a ")
		}
	}
	if (n.adj != nil || n.rule != nil) && (!n.maybe || w.rng.IntN(2) == 0) {
		if n.adj != nil {
			w.emit(w.draw(n.adj).base)
		} else {
			w.call(n.rule)
		}
		w.emit(" ")
	}
	w.emit(text)
	w.last = number
	w.subject = nil
}

// verb is a verb in a form, or in the current tense and person.
func (w *textWriter) verb(x *word, f form) string {
	t := w.tense
	switch f {
	case "i":
		return x.base
	case "g":
		return x.ing
	case "p":
		return x.past
	case "n":
		return x.part
	case "s":
		return x.third
	case "past":
		t = past
	case "pres":
		t = present
	case "fut":
		t = future
	}
	switch t {
	case future:
		switch x.base {
		case "do":
			return "will"
		case "can":
			return "can"
		}
		return "will " + x.base
	case past:
		if x.base == "be" && (w.number == plural || w.number == secondPerson) {
			return "were"
		}
		return x.past
	}
	switch {
	case w.number == singular:
		return x.third
	case x.base == "be" && w.number == firstPerson:
		return "am"
	case x.base == "be":
		return "are"
	}
	return x.base
}

// person writes a character and, as a subject, sets the number.
func (w *textWriter) person(n *node) {
	if n.text == "anyname" {
		w.emit(w.draw(w.nameClass(w.rng.IntN(2) == 0)).base)
		w.last, w.subject = singular, nil
		return
	}
	who := &w.hero
	if n.text == "friend" {
		who = &w.friend
	}
	pronoun := func(she, he string) string {
		if who.female {
			return she
		}
		return he
	}
	if !who.known && n.form != "full" && n.form != "his" {
		who.known = true
		w.emit(who.first)
		w.last, w.subject = singular, who
		if n.form == "" {
			w.number = singular
		}
		return
	}
	switch n.form {
	case "full":
		w.emit(who.first + " " + who.family)
		who.known = true
	case "name":
		w.emit(who.first)
	case "he":
		w.emit(pronoun("she", "he"))
	case "him":
		w.emit(pronoun("her", "him"))
	case "his":
		w.emit(pronoun("her", "his"))
		return
	default:
		if w.subject == who || w.subject == nil && w.rng.IntN(3) == 0 {
			w.emit(pronoun("she", "he"))
		} else {
			w.emit(who.first)
		}
		w.number = singular
	}
	w.last, w.subject = singular, who
}

// tidy resolves the markers of raw text, joins what optional parts left apart,
// chooses between "a" and "an" and sets capitals.
func tidy(raw []byte) string {
	var b strings.Builder
	b.Grow(len(raw))
	capital, ended := true, false
	var prev byte = '\n'
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case c == markCapital:
			capital = true
			continue
		case c == markSmall:
			capital, ended = false, false
			continue
		case c == markIndent:
			b.WriteString("    ")
			prev = '\n'
			continue
		case c == ' ' && (prev == ' ' || prev == '\n'):
			continue
		case c == ' ':
			j := i
			for j < len(raw) && (raw[j] == ' ' || raw[j] == markCapital) {
				j++
			}
			if j == len(raw) || strings.IndexByte(".,;:?!\n", raw[j]) >= 0 {
				continue
			}
			if ended {
				capital, ended = true, false
			}
		case c == '\n':
			capital, ended = true, false
		case c == '.' || c == '?' || c == '!':
			ended = true
		case c == '`':
			// Code keeps its case.
			capital, ended = false, false
		case c == '"':
			// A question in quotation marks does not end the sentence around it.
			ended = ended && prev == '.'
		case c >= 'a' && c <= 'z':
			ended = false
			if c == 'a' && (prev == ' ' || prev == '\n' || prev == '"') && i+1 < len(raw) && raw[i+1] == ' ' {
				if capital {
					b.WriteByte('A')
				} else {
					b.WriteByte('a')
				}
				capital = false
				if startsWithVowelSound(nextWord(raw[i+1:])) {
					b.WriteByte('n')
				}
				prev = 'a'
				continue
			}
			if capital {
				c -= 'a' - 'A'
				capital = false
			}
		default:
			ended = false
			if c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' {
				capital = false
			}
		}
		b.WriteByte(c)
		prev = c
	}
	return strings.TrimSpace(b.String())
}

func nextWord(b []byte) string {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '"') {
		b = b[1:]
	}
	for i, c := range b {
		if c == ' ' || c == '\n' {
			return string(b[:i])
		}
	}
	return string(b)
}
