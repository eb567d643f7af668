package corpora

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// Expand draws n distinct prompts without replacement; n = 0 means all. Equal
// arguments give equal prompts in equal order in every release: the order
// comes from SHA-256 over the seed and the ids, not from a random generator.
// The prompts for a smaller n are the first of those for a larger one.
//
// The draw is balanced. It goes in rounds, each of which takes one prompt of
// every template that has any left, alternating between the groups of equal
// language and category, and of equal system text where the suite says draw: 2. So n may be small without missing a category, and no
// template is used again before all have been. Prompts of one item are drawn in
// one round.
//
// Errors: n is negative or larger than the number of distinct prompts, a slot
// has no values, the slots have too many combinations, or the suite needs a key
// ([Suite.ExpandUnder]).
func (s *Suite) Expand(seed uint64, n int) ([]Prompt, error) {
	if s.Draws > 0 {
		return nil, fmt.Errorf("suite %s is drawn or filled by a canary key: name the key under which it was planted", s.Name)
	}
	pool, err := s.pool(seed)
	if err != nil {
		return nil, err
	}
	return s.first(pool, n)
}

// first returns the first n of the prompts, all if n is 0.
func (s *Suite) first(prompts []Prompt, n int) ([]Prompt, error) {
	switch {
	case n < 0:
		return nil, fmt.Errorf("suite %s: cannot draw %d prompts", s.Name, n)
	case n > len(prompts):
		return nil, fmt.Errorf("suite %s has %d distinct prompts, %d were asked for: ask for fewer or add another suite", s.Name, len(prompts), n)
	case n == 0:
		return prompts, nil
	}
	return prompts[:n:n], nil
}

// pool returns all prompts in the order of a seed.
func (s *Suite) pool(seed uint64) ([]Prompt, error) {
	rounds, err := s.rounds(seed)
	if err == nil && s.Family != triggerFamily {
		err = s.markPlacebos(rounds)
	}
	if err != nil {
		return nil, fmt.Errorf("suite %s: %w", s.Name, err)
	}
	var out []Prompt
	for r, prompts := range rounds {
		out = append(out, alternate(seed, r, prompts, s.draw > 1)...)
	}
	for i := range out {
		if s.Slots > 0 && out[i].Reading != nil {
			r := *out[i].Reading
			r.Slot = i%s.Slots + 1
			out[i].Reading = &r
		}
	}
	return out, nil
}

// rounds returns, for each round, one prompt of every strand that has any
// left, so that an item comes in all its languages, framings and lengths in one
// round. A text that an earlier template gives too is left out of the later.
func (s *Suite) rounds(seed uint64) ([][]Prompt, error) {
	type identity struct{ lang, system, text string }
	seen := make(map[identity]bool)
	var rounds [][]Prompt
	size := 0
	for i := range s.templates {
		strands, err := s.strands(&s.templates[i], seed)
		if err != nil {
			return nil, err
		}
		for _, prompts := range strands {
			prompts = slices.DeleteFunc(prompts, func(p Prompt) bool {
				key := identity{p.Lang, p.System, p.Text}
				dup := seen[key]
				seen[key] = true
				size += len(p.Text)
				return dup
			})
			if len(seen) > maxPrompts || size > maxFilled {
				return nil, fmt.Errorf("more than %d distinct prompts or %d bytes of them: cut it into several suites", maxPrompts, maxFilled)
			}
			sortByKey(prompts, seed, "prompt", itemOf)
			for r, p := range prompts {
				if r == len(rounds) {
					rounds = append(rounds, nil)
				}
				rounds[r] = append(rounds[r], p)
			}
		}
	}
	return rounds, nil
}

// markPlacebos says which items are never planted: those first by the hash of
// their names, whatever the seed.
func (s *Suite) markPlacebos(rounds [][]Prompt) error {
	if s.placebos == 0 {
		return nil
	}
	readings := make(map[string][]*Reading)
	for _, p := range slices.Concat(rounds...) {
		if p.Reading == nil {
			return fmt.Errorf("prompt %s cannot be a placebo: it has no reading", p.ID)
		}
		readings[p.Reading.Item] = append(readings[p.Reading.Item], p.Reading)
	}
	items := slices.Sorted(maps.Keys(readings))
	if s.placebos >= len(items) {
		return fmt.Errorf("%d placebos among %d items", s.placebos, len(items))
	}
	sortByKey(items, 0, "placebo", func(item string) string { return item })
	for _, item := range items[:s.placebos] {
		for _, r := range readings[item] {
			r.Placebo = true
		}
	}
	return nil
}

func itemOf(p Prompt) string { return p.Item() }

// alternate orders the prompts of one round: groups take turns, in an order
// drawn per round, as do the items within a group. Where framed, the prompts under one
// system text are a group of their own.
func alternate(seed uint64, round int, prompts []Prompt, framed bool) []Prompt {
	groups := make(map[string][]Prompt)
	var names []string
	for _, p := range prompts {
		name := p.Lang + "/" + p.Category
		if framed && p.System != "" {
			name += "/" + p.System
		}
		if _, ok := groups[name]; !ok {
			names = append(names, name)
		}
		groups[name] = append(groups[name], p)
	}
	sortByKey(names, seed, fmt.Sprintf("group %d", round), func(name string) string { return name })
	for _, name := range names {
		sortByKey(groups[name], seed, fmt.Sprintf("turn %d", round), itemOf)
	}
	out := make([]Prompt, 0, len(prompts))
	for turn := 0; len(out) < len(prompts); turn++ {
		for _, name := range names {
			if turn < len(groups[name]) {
				out = append(out, groups[name][turn])
			}
		}
	}
	return out
}

// sortByKey sorts items by SHA-256(label, seed, purpose, name), which nobody can
// predict without computing it and which no release may change. Items of one
// name keep their order.
func sortByKey[T any](items []T, seed uint64, purpose string, name func(T) string) {
	type keyed struct {
		key  [32]byte
		item T
	}
	all := make([]keyed, len(items))
	for i, item := range items {
		msg := binary.BigEndian.AppendUint64([]byte("stillmark suite order v1\x00"), seed)
		msg = append(append(append(msg, purpose...), 0), name(item)...)
		all[i] = keyed{sha256.Sum256(msg), item}
	}
	slices.SortStableFunc(all, func(a, b keyed) int { return bytes.Compare(a.key[:], b.key[:]) })
	for i := range all {
		items[i] = all[i].item
	}
}

// Texts returns the texts of all prompts, in the order of the suite's source; of a
// suite that a key draws from, those of the whole pool.
func (s *Suite) Texts() ([]string, error) {
	var out []string
	for i := range s.templates {
		strands, err := s.strands(&s.templates[i], 0)
		if err != nil {
			return nil, err
		}
		for _, p := range slices.Concat(strands...) {
			out = append(out, p.Text)
		}
	}
	return out, nil
}
