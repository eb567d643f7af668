package replies

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// follow fills in what stands at the fields of the options.
func (l *line) follow(raw []byte, opt Options) error {
	if opt.Field != "" {
		value, err := at(raw, opt.Field)
		if err != nil {
			return err
		}
		l.Text, l.Tokens = new(string), []int64{}
		into := any(l.Text)
		if opt.IDs {
			into = &l.Tokens
		}
		if err := json.Unmarshal(value, into); err != nil {
			return fmt.Errorf("%q is not what is read there: %w", opt.Field, err)
		}
		if l.Tokens == nil { // null
			l.Tokens = []int64{}
		}
	}
	if opt.PromptField == "" {
		return nil
	}
	value, err := at(raw, opt.PromptField)
	if err != nil {
		return nil // not every line has one
	}
	into := any(&l.Prompt)
	if opt.IDs {
		into = &l.PromptTokens
	}
	if err := json.Unmarshal(value, into); err != nil {
		return fmt.Errorf("%q is not what is read there: %w", opt.PromptField, err)
	}
	return nil
}

// at is the value that a path leads to.
func at(raw json.RawMessage, path string) (json.RawMessage, error) {
	var gone []string
	for _, step := range steps(path) {
		gone = append(gone, step)
		where := strings.Join(gone, ".")
		if i, err := strconv.Atoi(step); err == nil {
			var list []json.RawMessage
			if json.Unmarshal(raw, &list) == nil && list != nil {
				if i < 0 || i >= len(list) {
					return nil, fmt.Errorf("there is no %q: the list has %d entries", where, len(list))
				}
				raw = list[i]
				continue
			}
		}
		var object map[string]json.RawMessage
		if json.Unmarshal(raw, &object) != nil || object == nil {
			return nil, fmt.Errorf("there is no %q: above it stands no object", where)
		}
		value, ok := object[step]
		if !ok {
			names := slices.Sorted(maps.Keys(object))
			return nil, fmt.Errorf("there is no %q; at that level are %s", where, short(names))
		}
		raw = value
	}
	return raw, nil
}

// short lists names, but not a page of them.
func short(names []string) string {
	const most = 12
	if len(names) > most {
		names = append(names[:most:most], "…")
	}
	return strings.Join(names, ", ")
}

// steps are the parts of a path. "\." is a dot within a part.
func steps(path string) []string {
	var out []string
	var part strings.Builder
	for i := 0; i < len(path); i++ {
		switch {
		case path[i] == '\\' && i+1 < len(path) && path[i+1] == '.':
			part.WriteByte('.')
			i++
		case path[i] == '.':
			out = append(out, part.String())
			part.Reset()
		default:
			part.WriteByte(path[i])
		}
	}
	return append(out, part.String())
}
