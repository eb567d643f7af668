package family

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// A secret that was drawn at random is half of what makes a result exact. The other half
// is that nobody who knows it and the target's answers says what is asked. Of two items
// that differ in nothing but their name, E3 takes the one whose bit is the answer that
// the target gives anyway, and so on for all items: an innocent is found at any level.
// Suites, seeds, numbers of prompts, a schedule's start are such choices, too.
//
// Families that are marked Listed therefore reach the exact tier with that alone which
// was committed to with the key: all prompts of all lists of the family and run, read by
// every test that the lists name. Nothing is left to choose, so that nothing is charged.
// What is not laid down, since each try costs a run of its own and shows no single item:
// sampling parameters, the number of samples, the moment, and which target is asked at all.
//
// Plans of rules before [ledger.RulesListed] are held to what they were made under, as
// long as the stamp of their commitment is from before listsFrom: a plan may say that it
// is old, an authority's token does not.

// listsFrom is from when no plan is free of lists, whatever it says: it leaves time to
// replace programs that commit to none.
var listsFrom = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)

// The states of the lists of a test, "" where its family or its plan needs none.
const (
	ListCommitted = "committed" // the only one of the exact tier
	ListAbsent    = "absent"    // the commitment holds none for this family under this key
	ListOther     = "other"     // something else is asked or tested
)

// item is what is hashed of a prompt: all that decides what is asked, and how the
// answer is read.
type item struct {
	ID       string          `json:"id"`
	Kind     string          `json:"kind,omitempty"`
	Lang     string          `json:"lang"`
	Category string          `json:"category,omitempty"`
	System   string          `json:"system,omitempty"`
	Text     string          `json:"text"`
	Reading  json.RawMessage `json:"reading,omitempty"`
}

// CommitPrompt is what a commitment to a key says of a prompt that is asked under it.
func CommitPrompt(key *watermark.Key, q *ledger.Prompt) (string, error) {
	data, err := json.Marshal(item{q.ID, q.Kind, q.Lang, q.Category, q.System, q.Text, q.Reading})
	if err != nil {
		return "", fmt.Errorf("prompt %s of suite %s: %w", q.ID, q.Suite, err)
	}
	return key.CommitItem(data), nil
}

// listsNeeded reports whether a test of the family needs committed lists, under a stamp of
// the given time.
func listsNeeded(p *ledger.Plan, fam *Family, stamped time.Time) bool {
	return fam.Listed && (p.Rules >= ledger.RulesListed || !stamped.Before(listsFrom))
}

// Lists says whether a test asks and tests what the commitment lists for its key.
func Lists(p *ledger.Plan, t *ledger.Test, key *watermark.Key, c *watermark.Commitment) (state string, err error) {
	run := 1
	if p.After != nil {
		run = 2
	}
	state = ListAbsent
	lists := map[string]*watermark.CommittedList{} // by suite
	for i := range c.Lists {
		if l := &c.Lists[i]; l.KeyID == key.ID && l.Family == t.Family {
			state = ListOther
			if l.Run == run {
				lists[l.Suite] = l
			}
		}
	}
	asked := map[string][]string{}
	for i := range p.Prompts {
		if q := &p.Prompts[i]; len(lists) > 0 && t.Reads(q) {
			said, err := CommitPrompt(key, q)
			if err != nil {
				return "", fmt.Errorf("test %s: %w", t.ID, err)
			}
			asked[q.Suite] = append(asked[q.Suite], said)
		}
	}
	if len(lists) == 0 || len(asked) != len(lists) {
		return state, nil
	}
	for suite, l := range lists {
		if !slices.Equal(asked[suite], l.Items) || version(p, suite) != l.Version || !tested(p, t, l.Options) {
			return ListOther, nil
		}
	}
	return ListCommitted, nil
}

// version is that of a suite of the plan.
func version(p *ledger.Plan, suite string) string {
	for i := range p.Suites {
		if p.Suites[i].Name == suite {
			return p.Suites[i].Version
		}
	}
	return ""
}

// tested reports whether the primary tests of t's family, key and target have the listed
// options, each of them and no others.
func tested(p *ledger.Plan, t *ledger.Test, options []json.RawMessage) bool {
	left := make([]string, len(options))
	for i, o := range options {
		left[i] = compact(o)
	}
	for i := range p.Tests {
		u := &p.Tests[i]
		if !u.Primary || u.Family != t.Family || u.Key != t.Key || u.Target != t.Target || len(u.Options) == 0 && len(options) == 0 {
			continue
		}
		at := slices.Index(left, compact(u.Options))
		if at < 0 {
			return false
		}
		left = slices.Delete(left, at, at+1)
	}
	return len(left) == 0
}

// compact is JSON without blanks: a plan is indented.
func compact(data json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, data) != nil {
		return string(data)
	}
	return b.String()
}

// listWarning is the warning of a state, "" for none.
func listWarning(state string) Warning {
	switch state {
	case ListAbsent:
		return WarnListAbsent
	case ListOther:
		return WarnListOther
	}
	return ""
}

// Unlisted says of a test why its lists keep it from the exact tier, and what to do about
// it; "" if they do not. It is for plans that are not sealed yet.
func Unlisted(p *ledger.Plan, t *ledger.Test, key *watermark.Key, c *watermark.Commitment, stamped time.Time) (string, error) {
	fam, ok := ByID(t.Family)
	if !ok || !t.Primary || !listsNeeded(p, &fam, stamped) {
		return "", nil
	}
	state, err := Lists(p, t, key, c)
	return warningText[listWarning(state)], err
}
