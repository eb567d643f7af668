package corpora

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// textGrammar is the parsed form of the files under text/. It is immutable.
type textGrammar struct {
	classes map[string]*wordClass
	verbs   map[string]*word // every verb of the lexicon by its infinitive
	domains []*domainGrammar
}

// domainGrammar holds the rules of one domain, its own before the common ones.
type domainGrammar struct {
	name  string
	index int
	rules map[string]*rule
	doc   *rule
}

type rule struct {
	name  string
	alts  []alternative
	total int
}

type alternative struct {
	weight int
	tense  tense // needed tense, anyTense for none
	body   []node
}

// node is one step of an alternative.
type node struct {
	op       op
	text     string // literal text, or whose name
	form     form
	rule     *rule      // rule to expand, or that stands before a noun
	class    *wordClass // class to draw from
	adj      *wordClass // class that stands before a noun
	verb     *word
	maybe    bool   // the adjective is optional
	register string // where the drawn word is kept
	silent   bool
	lo, hi   int
	tense    tense
	number   number
	parts    [][]node
}

type op uint8

const (
	opText     op = iota
	opChoice      // one of parts
	opOptional    // parts[0] or nothing
	opCall        // rule, lo to hi times
	opSubject     // rule that sets the subject
	opWord        // word of class
	opRecall      // word of register
	opVerb        // a given verb
	opTense
	opNumber
	opPerson // hero, friend or anyone
	opInt
	opStep
	opResetSteps
)

type tense uint8

const (
	anyTense tense = iota
	past
	present
	future
)

type number uint8

const (
	lastNoun number = iota
	singular
	plural
	firstPerson
	secondPerson
)

type form string

// markers are control characters in the raw text, resolved by tidy.
const (
	markCapital = '\x01'
	markSmall   = '\x02'
	markIndent  = '\x03'
)

func parseTextGrammar(files fs.FS) (*textGrammar, error) {
	read := func(name string) (string, error) {
		b, err := fs.ReadFile(files, name)
		return string(b), err
	}
	g := &textGrammar{classes: map[string]*wordClass{}, verbs: map[string]*word{}}
	for _, name := range []string{"nouns.txt", "verbs.txt", "adjectives.txt", "adverbs.txt", "names.txt"} {
		text, err := read(name)
		if err != nil {
			return nil, err
		}
		if err := parseLexicon(name, text, g.classes); err != nil {
			return nil, err
		}
	}
	for _, c := range g.classes {
		if len(c.words) == 0 {
			return nil, fmt.Errorf("class %s has no words", c.name)
		}
		if !strings.HasPrefix(c.name, "v.") {
			continue
		}
		for i := range c.words {
			x := &c.words[i]
			if known := g.verbs[x.base]; known != nil && *known != *x {
				return nil, fmt.Errorf("the verb %q is inflected in two ways", x.base)
			}
			g.verbs[x.base] = x
		}
	}
	common, err := read("common.txt")
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(files, "domain.*.txt")
	if err != nil {
		return nil, err
	}
	for _, file := range names {
		own, err := read(file)
		if err != nil {
			return nil, err
		}
		d := &domainGrammar{
			name:  strings.TrimSuffix(strings.TrimPrefix(file, "domain."), ".txt"),
			index: len(g.domains),
		}
		if err := g.parseDomain(d, file, own, common); err != nil {
			return nil, err
		}
		g.domains = append(g.domains, d)
	}
	return g, nil
}

// source is one alternative before parsing: rules may be used before they are
// defined, so names are collected first.
type source struct {
	file string
	line int
	rule *rule
	text string
}

func (g *textGrammar) parseDomain(d *domainGrammar, file, own, common string) error {
	d.rules = map[string]*rule{}
	var sources []source
	for _, part := range []struct{ file, text string }{{file, own}, {"common.txt", common}} {
		var here *rule
		mine := map[string]bool{}
		for n, line := range strings.Split(part.text, "\n") {
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			if name, ok := strings.CutPrefix(line, "= "); ok {
				if mine[name] {
					return fmt.Errorf("%s:%d: rule %s is defined twice", part.file, n+1, name)
				}
				mine[name] = true
				here = &rule{name: name}
				// A domain's own rule comes first and hides the common one.
				if d.rules[name] == nil {
					d.rules[name] = here
				}
				continue
			}
			if here == nil {
				return fmt.Errorf("%s:%d: an alternative before the first rule", part.file, n+1)
			}
			sources = append(sources, source{part.file, n + 1, here, line})
		}
	}
	for _, s := range sources {
		alt, err := g.parseAlternative(d, s.text)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", s.file, s.line, err)
		}
		s.rule.alts = append(s.rule.alts, alt)
		s.rule.total += alt.weight
	}
	for name, r := range d.rules {
		if len(r.alts) == 0 {
			return fmt.Errorf("%s: rule %s has no alternative", file, name)
		}
	}
	if d.doc = d.rules["Doc"]; d.doc == nil {
		return fmt.Errorf("%s: there is no rule Doc", file)
	}
	return nil
}

func (g *textGrammar) parseAlternative(d *domainGrammar, text string) (alternative, error) {
	alt := alternative{weight: 1}
	if rest, ok := strings.CutPrefix(text, "*"); ok {
		digits, body, ok := strings.Cut(rest, " ")
		w, err := strconv.Atoi(digits)
		if !ok || err != nil || w < 1 {
			return alt, fmt.Errorf("the weight in %q is not a whole number from 1 up", text)
		}
		alt.weight, text = w, body
	}
	for name, t := range map[string]tense{"{!past?}": past, "{!pres?}": present, "{!fut?}": future} {
		if rest, ok := strings.CutPrefix(text, name); ok {
			alt.tense, text = t, rest
		}
	}
	p := &altParser{grammar: g, domain: d, rest: text}
	body, err := p.sequence("")
	if err != nil {
		return alt, fmt.Errorf("in %q: %w", text, err)
	}
	alt.body = body
	return alt, nil
}

// altParser reads one alternative by recursive descent.
type altParser struct {
	grammar *textGrammar
	domain  *domainGrammar
	rest    string
}

// sequence reads up to one of the stop characters, which it leaves in place.
func (p *altParser) sequence(stop string) ([]node, error) {
	var nodes []node
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			nodes = append(nodes, node{op: opText, text: lit.String()})
			lit.Reset()
		}
	}
	for p.rest != "" {
		c := p.rest[0]
		if strings.IndexByte(stop, c) >= 0 {
			break
		}
		p.rest = p.rest[1:]
		switch c {
		case '\\':
			if p.rest == "" {
				return nil, errors.New("a backslash at the end")
			}
			lit.WriteByte(p.rest[0])
			p.rest = p.rest[1:]
		case '[', '(':
			flush()
			n, err := p.group(c)
			if err != nil {
				return nil, err
			}
			nodes = append(nodes, n)
		case ']', ')', '|', '}':
			return nil, fmt.Errorf("%q has no opening bracket", c)
		case '{':
			slot, rest, ok := strings.Cut(p.rest, "}")
			if !ok {
				return nil, errors.New("{ is never closed")
			}
			p.rest = rest
			n, err := p.slot(slot)
			if err != nil {
				return nil, err
			}
			if n.op == opText {
				lit.WriteString(n.text)
				continue
			}
			flush()
			nodes = append(nodes, n)
		default:
			lit.WriteByte(c)
		}
	}
	flush()
	return nodes, nil
}

// group reads the rest of [x] or (x|y).
func (p *altParser) group(open byte) (node, error) {
	n := node{op: opOptional}
	end, stop := byte(']'), "]"
	if open == '(' {
		n.op, end, stop = opChoice, ')', "|)"
	}
	for {
		part, err := p.sequence(stop)
		if err != nil {
			return n, err
		}
		if p.rest == "" {
			return n, fmt.Errorf("%q is never closed", open)
		}
		c := p.rest[0]
		p.rest = p.rest[1:]
		n.parts = append(n.parts, part)
		if c == end {
			return n, nil
		}
	}
}

// auxiliaries are the verbs whose agreement needs more than a word's forms.
var auxiliaries = map[string]*word{
	"be":   {base: "be", third: "is", past: "was", part: "been", ing: "being"},
	"have": {base: "have", third: "has", past: "had", part: "had", ing: "having"},
	"do":   {base: "do", third: "does", past: "did", part: "done", ing: "doing"},
	"can":  {base: "can", third: "can", past: "could", part: "been able to", ing: "being able to"},
}

// fixedSlots are the slots without arguments.
var fixedSlots = map[string]node{
	"!past": {op: opTense, tense: past},
	"!pres": {op: opTense, tense: present},
	"!fut":  {op: opTense, tense: future},
	"+":     {op: opNumber, number: lastNoun},
	"+sg":   {op: opNumber, number: singular},
	"+pl":   {op: opNumber, number: plural},
	"+I":    {op: opNumber, number: firstPerson},
	"+you":  {op: opNumber, number: secondPerson},
	"#":     {op: opStep},
	"#0":    {op: opResetSteps},
	"^":     {op: opText, text: string(markCapital)},
	"_":     {op: opText, text: string(markSmall)},
	"t":     {op: opText, text: string(markIndent)},
	"n":     {op: opText, text: "\n"},
	"p":     {op: opText, text: "\n\n"},
}

var (
	nounForms   = []form{"", "sg", "pl", "a", "the", "thepl", "cpl", "csg"}
	verbForms   = []form{"", "i", "g", "p", "n", "s", "past", "pres", "fut"}
	personForms = []form{"", "full", "name", "he", "him", "his"}
)

func knownForm(f form, known []form) error {
	if slices.Contains(known, f) {
		return nil
	}
	return fmt.Errorf("form %q is not one of %q", f, known)
}

func (p *altParser) slot(s string) (node, error) {
	if n, ok := fixedSlots[s]; ok {
		return n, nil
	}
	head, arg, _ := strings.Cut(s, ":")
	switch {
	case head == "int":
		lo, hi, err := parseRange(arg)
		return node{op: opInt, lo: lo, hi: hi}, err
	case head == "hero" || head == "friend" || head == "anyname":
		return node{op: opPerson, text: head, form: form(arg)}, knownForm(form(arg), personForms)
	case auxiliaries[head] != nil:
		return node{op: opVerb, verb: auxiliaries[head], form: form(arg)}, knownForm(form(arg), verbForms)
	case strings.HasPrefix(s, "~"):
		return p.verb(head[1:], form(arg))
	case strings.HasPrefix(s, "@"):
		return p.recall(s[1:])
	case strings.HasPrefix(s, ">"):
		r, err := p.ruleNamed(s[1:])
		return node{op: opSubject, rule: r}, err
	case s != "" && s[0] >= 'A' && s[0] <= 'Z':
		return p.call(s)
	}
	return p.word(s)
}

// verb parses a verb that a rule names itself.
func (p *altParser) verb(name string, f form) (node, error) {
	n := node{op: opVerb, form: f, verb: auxiliaries[name]}
	if n.verb == nil {
		n.verb = p.grammar.verbs[name]
	}
	if n.verb == nil {
		return n, fmt.Errorf("the verb %q is not in the lexicon", name)
	}
	return n, knownForm(f, verbForms)
}

func parseRange(s string) (lo, hi int, err error) {
	a, b, ok := strings.Cut(s, "-")
	if !ok {
		return 0, 0, fmt.Errorf("%q is not a range like 2-5", s)
	}
	if lo, err = strconv.Atoi(a); err != nil {
		return 0, 0, err
	}
	if hi, err = strconv.Atoi(b); err != nil {
		return 0, 0, err
	}
	if lo < 0 || hi < lo {
		return 0, 0, fmt.Errorf("the range %q is empty", s)
	}
	return lo, hi, nil
}

func (p *altParser) ruleNamed(name string) (*rule, error) {
	r := p.domain.rules[name]
	if r == nil {
		return nil, fmt.Errorf("there is no rule %q", name)
	}
	return r, nil
}

func (p *altParser) call(s string) (node, error) {
	name, times, repeated := strings.Cut(s, "*")
	n := node{op: opCall, lo: 1, hi: 1}
	var err error
	if n.rule, err = p.ruleNamed(name); err != nil {
		return n, err
	}
	if repeated {
		n.lo, n.hi, err = parseRange(times)
	}
	return n, err
}

// word parses {class:form,Adj?} with an optional register before it.
func (p *altParser) word(s string) (node, error) {
	n := node{op: opWord}
	if register, rest, ok := strings.Cut(s, "="); ok {
		n.register, n.silent = strings.CutSuffix(register, ":")
		s = rest
	}
	head, arg := cutForm(s)
	n.class = p.grammar.classes[head]
	if n.class == nil {
		return n, fmt.Errorf("there is no class %q", head)
	}
	return n, p.formAndAdjective(&n, arg, n.class.name)
}

// cutForm splits "class:form,Adj" or "class,Adj" after the class.
func cutForm(s string) (head, arg string) {
	i := strings.IndexAny(s, ":,")
	switch {
	case i < 0:
		return s, ""
	case s[i] == ':':
		return s[:i], s[i+1:]
	}
	return s[:i], s[i:]
}

func (p *altParser) recall(s string) (node, error) {
	head, arg := cutForm(s)
	n := node{op: opRecall, register: head}
	return n, p.formAndAdjective(&n, arg, "")
}

func (p *altParser) formAndAdjective(n *node, arg, class string) error {
	f, adj, _ := strings.Cut(arg, ",")
	n.form = form(f)
	if adj, n.maybe = strings.CutSuffix(adj, "?"); adj != "" {
		n.adj = p.grammar.classes[adj]
		n.rule = p.domain.rules[adj]
		if n.adj == nil && n.rule == nil {
			return fmt.Errorf("there is neither a class nor a rule %q", adj)
		}
	}
	switch {
	case strings.HasPrefix(class, "v."):
		return knownForm(n.form, verbForms)
	case strings.HasPrefix(class, "n."):
		return knownForm(n.form, nounForms)
	case class == "": // a register holds a noun or a verb
		return knownForm(n.form, slices.Concat(nounForms, verbForms))
	}
	return knownForm(n.form, []form{""})
}
