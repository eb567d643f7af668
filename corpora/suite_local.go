package corpora

import (
	"fmt"

	"go.yaml.in/yaml/v4"
)

// local is a value that may differ between languages: by BCP 47 tag, or under
// "" for all of them. In YAML it is the value itself or a mapping of languages
// to values; T is never a mapping.
type local[T any] map[string]T

// UnmarshalYAML implements yaml.Unmarshaler.
func (l *local[T]) UnmarshalYAML(node *yaml.Node) error {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind == yaml.MappingNode {
		return node.Decode((*map[string]T)(l))
	}
	var v T
	if err := node.Decode(&v); err != nil {
		return err
	}
	*l = local[T]{"": v}
	return nil
}

// in returns the value in a language.
func (l local[T]) in(lang string) (T, bool) {
	v, ok := l[lang]
	if !ok {
		v, ok = l[""]
	}
	return v, ok
}

// check refuses values for some of the languages only.
func (l local[T]) check(what string, langs []string) error {
	if len(l) == 0 {
		return nil
	}
	for _, lang := range langs {
		if _, ok := l.in(lang); !ok {
			return fmt.Errorf("%s is not given in %s", what, lang)
		}
	}
	return nil
}

// oneOrMore is a list that YAML may write as its only member.
type oneOrMore []string

// UnmarshalYAML implements yaml.Unmarshaler.
func (o *oneOrMore) UnmarshalYAML(node *yaml.Node) error {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind == yaml.SequenceNode {
		return node.Decode((*[]string)(o))
	}
	var v string
	if err := node.Decode(&v); err != nil {
		return err
	}
	*o = oneOrMore{v}
	return nil
}
