package probe

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/timestamp"
	"github.com/stillmark/stillmark/watermark"
)

// prompt is what a plan seals of a prompt of the suite, and a commitment binds.
func (s *PlanSuite) prompt(q *corpora.Prompt) (ledger.Prompt, error) {
	sealed := ledger.Prompt{ID: q.ID, Suite: s.Ref.Name, Lang: q.Lang, Category: q.Category, System: q.System, Text: q.Text, Kind: s.Kind}
	if q.Reading == nil {
		return sealed, nil
	}
	reading, err := json.Marshal(q.Reading)
	if err != nil {
		return sealed, fmt.Errorf("prompt %s: %w", q.ID, err)
	}
	sealed.Reading = reading
	return sealed, nil
}

// Lists are what a commitment to the key says of the suite, if all its prompts are to be
// asked in so many runs: a list for each, of as many items as the others. Prompts of
// one item, or in one slot, are asked in one run, since a second one counts what is new.
// rotation is for E6 and nil else.
func (s *PlanSuite) Lists(key *watermark.Key, runs int, rotation *Rotation) ([]watermark.CommittedList, error) {
	fam, ok := family.ByID(cmp.Or(s.Family, family.Radioactivity))
	switch {
	case !ok || fam.Key == family.NoKey:
		return nil, usage("Leave it out", "suite %s: no list is committed to for family %q", s.Ref.Name, s.Family)
	case runs < 1 || runs > maxRuns:
		return nil, usage("Give 1 or 2", "%d runs are not possible", runs)
	case !fam.Key.Fits(key.Scheme):
		return nil, usage("Name a key of that kind", "suite %s is of family %s, which needs a %s key, and key %s is of scheme %s", s.Ref.Name, fam.ID, fam.Key, key.ID, key.Scheme)
	case fam.ID == family.RotationLag && (rotation == nil || len(rotation.Arms) == 0):
		return nil, usage("List it with `stillmark corpora plant` and the files of its keys as --arm", "suite %s follows a rotation, and none is given", s.Ref.Name)
	}
	options, err := s.listOptions(&fam, rotation)
	if err != nil {
		return nil, err
	}
	number, items := s.numbers()
	if items < runs {
		return nil, usage("Commit to one run", "suite %s has %d items for %d runs", s.Ref.Name, items, runs)
	}
	lists := make([]watermark.CommittedList, runs)
	for run := range lists {
		lists[run] = watermark.CommittedList{
			KeyID: key.ID, Family: fam.ID, Suite: s.Ref.Name, Version: s.Ref.Version, SHA256: s.Ref.SHA256, Seed: s.Ref.Seed,
			Run: run + 1, Options: options, Items: []string{},
		}
	}
	for i := range s.Prompts {
		said, err := s.committed(key, i)
		if err != nil {
			return nil, err
		}
		l := &lists[number[i]*runs/items]
		l.Items = append(l.Items, said)
	}
	return lists, nil
}

// numbers are the number from 0 of the item of each prompt, in the order of their first
// ones, and how many there are; along a schedule, of the slot.
func (s *PlanSuite) numbers() (of []int, items int) {
	known := map[string]int{}
	for i := range s.Prompts {
		q := &s.Prompts[i]
		if s.Slots > 0 && q.Reading != nil && q.Reading.Slot > 0 {
			of, items = append(of, q.Reading.Slot-1), s.Slots
			continue
		}
		n, ok := known[q.Item()]
		if !ok {
			n = items
			known[q.Item()] = n
			items++
		}
		of = append(of, n)
	}
	return of, items
}

// maxRuns is how many runs the claim rule speaks of.
const maxRuns = 2

func (s *PlanSuite) committed(key *watermark.Key, i int) (string, error) {
	q, err := s.prompt(&s.Prompts[i])
	if err != nil {
		return "", err
	}
	return family.CommitPrompt(key, &q)
}

// listOptions are the options that the tests of a suite will have.
func (s *PlanSuite) listOptions(fam *family.Family, rotation *Rotation) ([]json.RawMessage, error) {
	suites := []*PlanSuite{s}
	if fam.ID != family.RotationLag {
		options, err := new(PlanInput).familyOptions(fam, suites)
		if err != nil || options == nil {
			return nil, err
		}
		return []json.RawMessage{options}, nil
	}
	all, err := rotation.options(suites)
	if err != nil {
		return nil, err
	}
	var out []json.RawMessage
	for _, o := range all {
		raw, err := json.Marshal(o)
		if err != nil {
			return nil, fmt.Errorf("options of %s: %w", fam.ID, err)
		}
		out = append(out, raw)
	}
	return out, nil
}

// Keep leaves of the suite what a list of a commitment to the key names, and reports
// whether it holds all of that.
func (s *PlanSuite) Keep(key *watermark.Key, l *watermark.CommittedList) (bool, error) {
	listed := make(map[string]bool, len(l.Items))
	for _, item := range l.Items {
		listed[item] = true
	}
	var kept []corpora.Prompt
	var items []string
	for i := range s.Prompts {
		said, err := s.committed(key, i)
		if err != nil {
			return false, err
		}
		if listed[said] {
			kept, items = append(kept, s.Prompts[i]), append(items, said)
		}
	}
	if !slices.Equal(items, l.Items) {
		return false, nil
	}
	s.Prompts, s.Ref.N = kept, len(kept)
	return true, nil
}

// listLimit says what a test's lists leave open.
func listLimit(t *ledger.Test, why string) string {
	fam, _ := family.ByID(t.Family)
	if !fam.Listed {
		return fmt.Sprintf("Of %s under key %s every report will say: %s", t.Family, t.Key, strings.ReplaceAll(why, "{target}", t.Target))
	}
	return fmt.Sprintf("Results of %s under key %s will be exploratory. %s", t.Family, t.Key, why)
}

// asksWhole names the families of a plan that are exact only if all that was committed to is
// asked; "" for none.
func asksWhole(p *ledger.Plan) string {
	var out []string
	for i := range p.Tests {
		id := p.Tests[i].Family
		if fam, _ := family.ByID(id); (fam.Whole || id == family.RotationLag) && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return strings.Join(out, ", ")
}

// checkLists warns of tests whose lists leave something open, once for a family and key. Where the key alone makes them so, that was said before.
func (d *Draft) checkLists(in *PlanInput) error {
	said := map[[2]string]bool{}
	for i := range in.Keys {
		k := &in.Keys[i]
		if exploratory(k, d.Plan.Created) != "" {
			continue
		}
		c, err := watermark.ParseCommitment(k.Commitment)
		if err != nil {
			return err
		}
		stamp, err := timestamp.Verify(k.Stamp, sha256.Sum256(k.Commitment), nil)
		if err != nil {
			return err
		}
		for j := range d.Plan.Tests {
			t := &d.Plan.Tests[j]
			fam, _ := family.ByID(t.Family)
			if about := [2]string{t.Family, t.Key}; t.Key != k.Key.ID || said[about] {
				continue
			}
			why, err := family.Unlisted(d.Plan, t, k.Key, c, stamp.Time)
			if err != nil {
				return err
			}
			if why == "" && fam.Whole && d.Plan.Stop.OnEvidence {
				why = "Collection may stop on the evidence, before all that was committed to is asked."
			}
			if why != "" {
				said[[2]string{t.Family, t.Key}] = true
				d.Warnings = append(d.Warnings, listLimit(t, why))
			}
		}
	}
	return nil
}
