package corpora

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stillmark/stillmark/corpora/canary"
	"github.com/stillmark/stillmark/corpora/reading"
)

// Canary is one drawn trigger.
type Canary struct {
	Item     string
	Prompts  []Prompt // the trigger in all its languages and wordings
	Response string
}

// DrawTriggers draws n canaries and m placebos from a pool of triggers, without
// replacement: of the items in [canary.Order] the first n are canaries, the next
// m are placebos, which look like them and are never planted. A placebo's response is drawn too, so that
// both are read alike. The prompts' readings say which is which.
func DrawTriggers(secret []byte, pool []Prompt, n, m int) (canaries, placebos []Canary, err error) {
	prompts := make(map[string][]Prompt)
	for _, p := range pool {
		if p.Reading == nil || p.Reading.Kind != reading.KindTrigger {
			return nil, nil, fmt.Errorf("prompt %s is no trigger", p.ID)
		}
		prompts[p.Reading.Item] = append(prompts[p.Reading.Item], p)
	}
	if n < 1 || m < 0 || n+m > len(prompts) {
		return nil, nil, fmt.Errorf("%d canaries and %d placebos cannot be drawn from %d triggers", n, m, len(prompts))
	}
	for i, item := range canary.Order(secret, slices.Collect(maps.Keys(prompts)))[:n+m] {
		c := Canary{Item: item, Prompts: prompts[item], Response: canary.Response(secret, item)}
		for j := range c.Prompts {
			r := *c.Prompts[j].Reading
			r.Placebo = i >= n
			c.Prompts[j].Reading = &r
		}
		if i < n {
			canaries = append(canaries, c)
		} else {
			placebos = append(placebos, c)
		}
	}
	return canaries, placebos, nil
}

// The families that a suite's lint, draw or planting tells apart.
const (
	passageFamily    = "E2"
	freeChoiceFamily = "E3"
	triggerFamily    = "E4"
	nonceFamily      = "E5"
	rotationFamily   = "E6"
	identityFamily   = "C3" // the only one whose prompts ask for vendors' names
)

// ExpandUnder is [Suite.Expand] of a suite that a key draws or fills, under the
// secret for its use ([Suite.Use]): the drawn triggers of E4, canaries and
// placebos alike; the prompts of E5 with the nonces that are sent. The draw is
// that of the whole suite, so n prompts are a part of what was planted.
func (s *Suite) ExpandUnder(secret []byte, seed uint64, n int) ([]Prompt, error) {
	pool, err := s.pool(seed)
	if err != nil {
		return nil, err
	}
	switch s.Use() {
	case canary.UseTrigger:
		canaries, placebos, err := DrawTriggers(secret, pool, s.Draws, s.placebos)
		if err != nil {
			return nil, fmt.Errorf("suite %s: %w", s.Name, err)
		}
		var drawn []Prompt
		for _, c := range slices.Concat(canaries, placebos) {
			drawn = append(drawn, c.Prompts...)
		}
		sortByKey(drawn, seed, "drawn", itemOf)
		return s.first(drawn, n)
	case canary.UseNonce:
		// Which nonce stands in which prompt must not depend on the seed.
		slices.SortFunc(pool, func(a, b Prompt) int { return strings.Compare(a.ID, b.ID) })
		if len(pool) < s.Draws {
			return nil, fmt.Errorf("suite %s has %d prompts for %d nonces", s.Name, len(pool), s.Draws)
		}
		sent, _ := canary.Nonces(secret, s.Draws)
		pool = pool[:s.Draws]
		for i := range pool {
			pool[i].Text = strings.ReplaceAll(pool[i].Text, "{"+slotNonce+"}", sent[i])
		}
		sortByKey(pool, seed, "drawn", itemOf)
		return s.first(pool, n)
	}
	return nil, fmt.Errorf("suite %s of family %s is not drawn by a key", s.Name, s.Family)
}

// Use returns the use of the secret that draws or fills the suite, "" if none
// does. That of E3 and E6 only says what our API serves; their prompts are the
// same under every key.
func (s *Suite) Use() string {
	switch {
	case s.Draws == 0:
		return ""
	case s.Family == triggerFamily:
		return canary.UseTrigger
	case s.Family == nonceFamily:
		return canary.UseNonce
	}
	return ""
}
