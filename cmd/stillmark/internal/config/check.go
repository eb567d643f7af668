package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	yaml "go.yaml.in/yaml/v4"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Checker holds YAML against a JSON schema, and answers an unknown member with the
// nearest one that the schema knows.
type Checker struct {
	schema  *jsonschema.Schema
	members []string
}

// NewChecker compiles a schema, which is part of the program: it panics where that is
// none.
func NewChecker(schema []byte) *Checker {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		panic("config: an embedded schema is no JSON: " + err.Error())
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", document); err != nil {
		panic("config: " + err.Error())
	}
	known := map[string]bool{}
	properties(document, known)
	return &Checker{c.MustCompile("schema.json"), slices.Sorted(maps.Keys(known))}
}

// properties collects the names of all members of a schema.
func properties(node any, known map[string]bool) {
	switch node := node.(type) {
	case map[string]any:
		for name, value := range node {
			if own, ok := value.(map[string]any); ok && name == "properties" {
				for member := range own {
					known[member] = true
				}
			}
			properties(value, known)
		}
	case []any:
		for _, value := range node {
			properties(value, known)
		}
	}
}

// Check returns the document as JSON with the line of every value by its JSON pointer,
// or what is wrong with it, a sentence each.
func (c *Checker) Check(data []byte) (encoded []byte, lines map[string]int, problems []string) {
	var document any
	if err := yaml.Load(data, &document, yaml.WithUniqueKeys()); err != nil {
		return nil, nil, []string{err.Error()}
	}
	lines = map[string]int{}
	var root yaml.Node
	if err := yaml.Load(data, &root); err == nil {
		number(&root, "", lines)
	}
	encoded, err := json.Marshal(document)
	if err != nil {
		return nil, nil, []string{"it holds a value that JSON cannot express: " + err.Error()}
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
	if err != nil {
		return nil, nil, []string{err.Error()}
	}
	if err := c.schema.Validate(instance); err != nil {
		var invalid *jsonschema.ValidationError
		if errors.As(err, &invalid) {
			return nil, nil, c.problems(invalid, lines)
		}
		return nil, nil, []string{err.Error()}
	}
	return encoded, lines, nil
}

// number notes the line of every value by its JSON pointer.
func number(n *yaml.Node, pointer string, lines map[string]int) {
	lines[pointer] = n.Line
	switch n.Kind {
	case yaml.DocumentNode:
		for _, c := range n.Content {
			number(c, pointer, lines)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			at := pointer + "/" + n.Content[i].Value
			number(n.Content[i+1], at, lines)
			lines[at] = n.Content[i].Line
		}
	case yaml.SequenceNode:
		for i, c := range n.Content {
			number(c, fmt.Sprintf("%s/%d", pointer, i), lines)
		}
	}
}

// problems flattens a validation error to one sentence per leaf.
func (c *Checker) problems(e *jsonschema.ValidationError, lines map[string]int) []string {
	if len(e.Causes) > 0 {
		var all []string
		for _, cause := range e.Causes {
			all = append(all, c.problems(cause, lines)...)
		}
		sort.Strings(all)
		return all
	}
	where := "/" + strings.Join(e.InstanceLocation, "/")
	line := lines[strings.TrimSuffix(where, "/")]
	text := e.ErrorKind.LocalizedString(message.NewPrinter(language.English))
	if extra, ok := e.ErrorKind.(*kind.AdditionalProperties); ok {
		for _, name := range extra.Properties {
			line = max(line, lines[strings.TrimSuffix(where, "/")+"/"+name])
			if near := nearest(name, c.members); near != "" {
				text += fmt.Sprintf(" (did you mean %q?)", near)
			}
		}
	}
	if line > 0 {
		where = fmt.Sprintf("line %d, %s", line, where)
	}
	return []string{where + ": " + text}
}

// nearest finds the known member that is fewest letters away, or shares the longest
// beginning; "" where none is near.
func nearest(name string, members []string) string {
	plain := func(s string) string { return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s)) }
	best, least := "", 1+len(plain(name))/2
	for _, m := range members {
		if d := EditDistance(plain(name), plain(m)); d < least {
			best, least = m, d
		}
	}
	if best != "" {
		return best
	}
	for most, i := 2, 0; i < len(members); i++ {
		common := 0
		for a, b := plain(name), plain(members[i]); common < min(len(a), len(b)) && a[common] == b[common]; {
			common++
		}
		if common > most {
			best, most = members[i], common
		}
	}
	return best
}

// EditDistance is Levenshtein's, for did-you-mean.
func EditDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
