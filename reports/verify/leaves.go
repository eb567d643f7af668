package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/stillmark/stillmark/reports/verify/integrity"
)

// leafRule says what is done with a leaf.
type leafRule int

const (
	leafCompare    leafRule = iota // recomputed and compared
	leafConsistent                 // compared with sealed findings; not recomputed
	leafWithheld                   // needs a key that was not given
	leafExempt                     // exempt by the schema
)

// Numbers may differ by rounding between processors, since Go fuses
// multiplications and additions where the processor can. Sums over a million
// units lose at most ten digits of sixteen to that; whole numbers lose nothing.
const (
	relative = 1e-9
	absolute = 1e-12
)

// compare holds the sealed document against the computed one, leaf by leaf, and
// reports whether they agree. The first difference is named by its JSON pointer. Where
// another version of the program wrote the document, this one may word sentences
// otherwise and have more to say: that is counted, and keeps the case from being
// TRUSTED, since anybody can write another version into a report. Numbers, verdicts
// and names must be the same under every version.
func (v *verifier) compare(file string, sealed, computed []byte, by string, rule func(string) leafRule) bool {
	a, err := tree(sealed)
	if err != nil {
		v.fail(integrity.ExitDiffers, CodeNumbers, checkNumbers, file, -1, "%v", err)
		return false
	}
	b, err := tree(computed)
	if err != nil {
		v.fail(integrity.ExitDiffers, CodeNumbers, checkNumbers, file, -1, "%v", err)
		return false
	}
	c := comparison{rule: rule, numbers: &v.r.Numbers, other: by != v.opt.Program.Version}
	c.walk("", a, b)
	if c.found == "" && c.otherwise > 0 {
		v.line(LevelWarn, CodeNumbers, "wording", "%s of %s, the first at %s, this version words otherwise or adds; version %s wrote it; its numbers were compared",
			plural(int64(c.otherwise), "sentence"), path.Base(file), c.first, by)
		v.caps = append(v.caps, fmt.Sprintf("sentences of %s not compared: written by version %s", path.Base(file), by))
	}
	if c.found == "" {
		return true
	}
	v.fail(integrity.ExitDiffers, CodeNumbers, checkNumbers, file+"#"+c.found, -1, "%s", c.why)
	return false
}

func tree(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return v, nil
}

// comparison walks two JSON trees.
type comparison struct {
	rule    func(pointer string) leafRule
	numbers *Numbers
	found   string // pointer of the first difference
	why     string

	other     bool   // another version wrote what is sealed
	otherwise int    // differences that this explains
	first     string // pointer of the first of them
}

// explained reports whether that another version wrote the document explains a
// difference, and counts it.
func (c *comparison) explained(pointer string, yes bool) bool {
	if !c.other || !yes {
		return false
	}
	if c.otherwise++; c.otherwise == 1 {
		c.first = pointer
	}
	return true
}

// prose reports whether a value is a sentence and not a name, a verdict or a number.
func prose(v any) bool {
	s, ok := v.(string)
	return ok && strings.Contains(s, " ")
}

func (c *comparison) differ(pointer, format string, args ...any) {
	if c.found == "" {
		c.found, c.why = pointer, fmt.Sprintf(format, args...)
	}
}

// walk compares what is sealed with what was computed, up to the first
// difference. Numbers are counted on the sealed side.
func (c *comparison) walk(pointer string, sealed, computed any) {
	if c.found != "" {
		return
	}
	rule := c.rule(pointer)
	if rule == leafWithheld || rule == leafExempt {
		c.skip(rule, sealed)
		return
	}
	switch s := sealed.(type) {
	case map[string]any:
		m, ok := computed.(map[string]any)
		if !ok {
			c.differ(pointer, "an object is sealed, %s was computed", brief(computed))
			return
		}
		c.object(pointer, s, m)
	case []any:
		l, ok := computed.([]any)
		if !ok {
			c.differ(pointer, "a list is sealed, %s was computed", brief(computed))
			return
		}
		for i := range s {
			at := pointer + "/" + strconv.Itoa(i)
			if i >= len(l) {
				if r := c.rule(at); r == leafWithheld || r == leafExempt {
					c.skip(r, s[i])
					continue
				}
				if c.explained(at, prose(s[i])) {
					continue
				}
				c.differ(at, "sealed, but not computed: the list has %d entries", len(l))
				return
			}
			c.walk(at, s[i], l[i])
		}
		if at := pointer + "/" + strconv.Itoa(len(s)); len(l) > len(s) && c.rule(at) == leafCompare && !c.explained(at, true) {
			c.differ(at, "computed, but not sealed")
		}
	case json.Number:
		c.numbers.Total++
		n, ok := computed.(json.Number)
		if !ok || !sameNumber(s, n) {
			c.differ(pointer, "sealed %s, recomputed %s", s, brief(computed))
			return
		}
		if rule == leafConsistent {
			c.numbers.Withheld++
		} else {
			c.numbers.Recomputed++
		}
	default:
		if sealed != computed && !c.explained(pointer, prose(sealed) && prose(computed)) {
			c.differ(pointer, "sealed %s, recomputed %s", brief(sealed), brief(computed))
		}
	}
}

func (c *comparison) object(pointer string, sealed, computed map[string]any) {
	for _, k := range slices.Sorted(maps.Keys(sealed)) {
		at := pointer + "/" + escape(k)
		other, ok := computed[k]
		if !ok {
			if r := c.rule(at); r == leafWithheld || r == leafExempt {
				c.skip(r, sealed[k])
				continue
			}
			if !c.explained(at, prose(sealed[k])) {
				c.differ(at, "sealed, but not computed")
			}
			continue
		}
		c.walk(at, sealed[k], other)
	}
	for _, k := range slices.Sorted(maps.Keys(computed)) {
		at := pointer + "/" + escape(k)
		if _, ok := sealed[k]; !ok && c.rule(at) == leafCompare && !c.explained(at, true) {
			c.differ(at, "computed, but not sealed")
		}
	}
}

// skip counts the numbers of a part that is not compared.
func (c *comparison) skip(rule leafRule, v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, x := range v {
			c.skip(rule, x)
		}
	case []any:
		for _, x := range v {
			c.skip(rule, x)
		}
	case json.Number:
		c.numbers.Total++
		if rule == leafExempt {
			c.numbers.Exempt++
		} else {
			c.numbers.Withheld++
		}
	}
}

func sameNumber(a, b json.Number) bool {
	if a == b {
		return true
	}
	if !strings.ContainsAny(string(a)+string(b), ".eE") {
		return false // whole numbers are exact
	}
	x, errX := a.Float64()
	y, errY := b.Float64()
	return errX == nil && errY == nil && math.Abs(x-y) <= math.Max(absolute, relative*math.Max(math.Abs(x), math.Abs(y)))
}

// escape writes a member's name as a token of a JSON pointer (RFC 6901).
func escape(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "~", "~0"), "/", "~1")
}

// brief shows a value in a message.
func brief(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case string:
		if r := []rune(v); len(r) > 60 {
			v = string(r[:60]) + "…"
		}
		return strconv.Quote(v)
	}
	return fmt.Sprint(v)
}
