package corpora

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// template is one prompt text with slots.
type template struct {
	id, lang, category, system string
	segments                   []segment
	slots                      map[string][]string // values of this template's own slots
}

// segment is literal text or the name of a slot.
type segment struct {
	literal, slot string
}

// parseText cuts "Explain {topic} to {audience}." into segments. {{ and }}
// stand for single braces.
func parseText(text string) ([]segment, error) {
	var segments []segment
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			segments = append(segments, segment{literal: literal.String()})
			literal.Reset()
		}
	}
	for i := 0; i < len(text); i++ {
		switch {
		case strings.HasPrefix(text[i:], "{{"), strings.HasPrefix(text[i:], "}}"):
			literal.WriteByte(text[i])
			i++
		case text[i] == '}':
			return nil, errors.New("a } without its {; write }} for a brace")
		case text[i] == '{':
			end := strings.IndexByte(text[i:], '}')
			if end < 0 {
				return nil, errors.New("a { without its }; write {{ for a brace")
			}
			name := text[i+1 : i+end]
			if !slotName(name) {
				return nil, fmt.Errorf("%q is no name for a slot: lower-case letters, digits and underscores", name)
			}
			flush()
			segments = append(segments, segment{slot: name})
			i += end
		default:
			literal.WriteByte(text[i])
		}
	}
	flush()
	return segments, nil
}

func slotName(s string) bool {
	return s != "" && len(s) <= 40 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// slotNames returns the template's slots in order of first use.
func (t *template) slotNames() []string {
	var names []string
	seen := make(map[string]bool)
	for _, seg := range t.segments {
		if seg.slot != "" && !seen[seg.slot] {
			seen[seg.slot] = true
			names = append(names, seg.slot)
		}
	}
	return names
}

// values returns what may stand in a slot: the template's own list, else the
// suite's type of that name.
func (s *Suite) values(t *template, slot string) []string {
	if v, ok := t.slots[slot]; ok {
		return v
	}
	return s.types[slot]
}

// prompts returns every filling of the template, in the order of its values.
// A slot used twice has one value.
func (s *Suite) prompts(t *template) ([]Prompt, error) {
	names := t.slotNames()
	total := 1
	for _, name := range names {
		n := len(s.values(t, name))
		if n == 0 {
			return nil, fmt.Errorf("template %s: slot {%s} has no values", t.id, name)
		}
		if total *= n; total > maxFillings {
			return nil, fmt.Errorf("template %s: its slots have more than %d combinations", t.id, maxFillings)
		}
	}
	out, size := make([]Prompt, 0, total), 0
	for i := range total {
		chosen, rest := make(map[string]string, len(names)), i
		for _, name := range names {
			v := s.values(t, name)
			chosen[name], rest = v[rest%len(v)], rest/len(v)
		}
		var text strings.Builder
		for _, seg := range t.segments {
			text.WriteString(seg.literal)
			text.WriteString(chosen[seg.slot])
		}
		if size += text.Len(); text.Len() > maxText || size > maxFilled {
			return nil, fmt.Errorf("template %s: filling its slots gives too much text", t.id)
		}
		p := Prompt{ID: t.id, Lang: t.lang, Category: t.category, System: t.system, Text: text.String()}
		if len(names) > 0 {
			sum := sha256.Sum256([]byte(p.Text))
			p.ID += "-" + hex.EncodeToString(sum[:idBytes])
		}
		out = append(out, p)
	}
	return out, nil
}

// idBytes of the text's hash go into a prompt's id: among maxFillings prompts
// of one template, two share them with probability 2e-7.
const idBytes = 6
