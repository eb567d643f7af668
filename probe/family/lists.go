package family

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/stillmark/stillmark/corpora/reading"
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
// E1 reads whatever text there is, mostly of audits whose prompts nobody listed; its findings
// say so where they are not, and the tier is that of the key. What is not laid down, since each try costs a run of its own and shows no single item:
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
	ListPartial   = "partial"   // replies are missing, of a family that needs them all
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

// listsRead reports whether what a test of the family asks is compared with the lists of a
// commitment that was stamped at the given time.
func listsRead(p *ledger.Plan, fam *Family, stamped time.Time) bool {
	return p.Rules >= ledger.RulesListed || fam.Listed && !stamped.Before(listsFrom)
}

// Lists says whether a test asks and tests what the commitment lists for its key.
func Lists(p *ledger.Plan, t *ledger.Test, key *watermark.Key, c *watermark.Commitment) (state string, err error) {
	run := 1
	if p.After != nil {
		run = 2
	}
	lists := map[string]*watermark.CommittedList{} // by suite
	of := func(run int) bool {
		found := false
		for i := range c.Lists {
			if l := &c.Lists[i]; l.KeyID == key.ID && l.Family == t.Family {
				found = true
				if l.Run == run {
					lists[l.Suite] = l
				}
			}
		}
		return found
	}
	if state = ListAbsent; of(run) {
		state = ListOther
	}
	if len(lists) == 0 && t.Family == Radioactivity {
		of(1) // other replies to the same prompts are new text
	}
	asked := map[string][]string{}
	var first *ledger.Prompt
	for i := range p.Prompts {
		if q := &p.Prompts[i]; len(lists) > 0 && t.Reads(q) {
			// Of all suites: each of them may have been listed with one item. Suites of
			// E1, in several languages, may leave room for replies of several lengths.
			if first == nil || t.Family == Radioactivity && q.Suite != first.Suite {
				first = q
			}
			if !alike(q, first, t) {
				return ListOther, nil
			}
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
		if !slices.Equal(asked[suite], l.Items) || version(p, suite) != l.Version || t.Family != Radioactivity && !tested(p, t, l.Options) {
			return ListOther, nil
		}
	}
	return ListCommitted, nil
}

// alike reports whether a prompt is put to the test's target as another one is:
// an item that is asked less often, with less room for an answer, or not at all, leaves the
// statistic as surely as one that was not listed. Which rival a prompt goes to where it goes
// to one alone, and the times of a schedule, follow from what is listed.
func alike(q, other *ledger.Prompt, t *ledger.Test) bool {
	fam, _ := ByID(t.Family)
	a, err := json.Marshal(q.Params)
	b, err2 := json.Marshal(other.Params)
	return err == nil && err2 == nil && bytes.Equal(a, b) && q.Samples == other.Samples && (fam.Solo || q.Asks(t.Target)) && inTime(q, t)
}

// inTime reports whether a prompt may be put at any time, or along a schedule in the slot that
// its reading names.
func inTime(q *ledger.Prompt, t *ledger.Test) bool {
	if t.Family != RotationLag {
		return q.NotBefore.IsZero() && q.NotAfter.IsZero()
	}
	o, err := e6Options(t)
	if err != nil {
		return false
	}
	r, err := reading.Parse(q.Reading)
	if err != nil {
		return false
	}
	from, to := o.Times(r.Slot)
	return q.NotBefore.Equal(from) && q.NotAfter.Equal(to)
}

// lacks reports whether a planned reply that the test reads is not there, of any class.
func (g *gathered) lacks(p *ledger.Plan, t *ledger.Test) bool {
	planned := 0
	for i := range p.Prompts {
		if q := &p.Prompts[i]; t.Reads(q) && q.Asks(t.Target) {
			planned += p.SamplesOf(q)
		}
	}
	for s := range g.settled() {
		if t.Reads(s.prompt) {
			planned--
		}
	}
	return planned > 0
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

// listWarning is the warning of a state in a family, "" for none.
func listWarning(family, state string) Warning {
	if family == Radioactivity && (state == ListAbsent || state == ListOther) {
		return WarnPromptsFree
	}
	switch state {
	case ListAbsent:
		return WarnListAbsent
	case ListOther:
		return WarnListOther
	case ListPartial:
		return WarnListPartial
	}
	return ""
}

// Unlisted says of a test what its lists leave open, and what to do about it; "" if
// nothing. It is for plans that are not sealed yet.
func Unlisted(p *ledger.Plan, t *ledger.Test, key *watermark.Key, c *watermark.Commitment, stamped time.Time) (string, error) {
	fam, ok := ByID(t.Family)
	if !ok || !t.Primary || !listsRead(p, &fam, stamped) {
		return "", nil
	}
	state, err := Lists(p, t, key, c)
	return warningText[listWarning(t.Family, state)], err
}
