package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sync"
)

// ControlsDir holds, each in a folder of its case id, the sealed cases whose
// replies a case reuses. They are whole, so that the other side can check them
// alone.
const ControlsDir = "controls"

// ControlPath is where the case with this id lies in another one.
func ControlPath(caseID string) string { return path.Join(ControlsDir, caseID) }

// controls are the cases inside a case, opened on demand.
type controls struct {
	fsys fs.FS

	mu   sync.Mutex
	open map[string]*Case
}

// Control opens the case that a cached target's replies are read from, and checks
// that it is the one that the plan names: its ledger has the planned head.
func (c *Case) Control(t *Target) (*Case, error) {
	if t.Cached == nil {
		return nil, fmt.Errorf("the replies of %s are those of no other case", t.Name)
	}
	id := t.Cached.CaseID
	c.controls.mu.Lock()
	defer c.controls.mu.Unlock()
	if sub := c.controls.open[id]; sub != nil {
		return sub, nil
	}
	dir := ControlPath(id)
	damage := func(reason string) error {
		return &DamageError{File: dir, Reason: reason}
	}
	fsys, err := fs.Sub(c.fsys, dir)
	if err != nil {
		return nil, err
	}
	sub, err := OpenFS(fsys)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	head, err := sub.LedgerHead()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	for i := range sub.plan.Targets {
		if sub.plan.Targets[i].Cached != nil {
			return nil, damage("it takes replies from a further case: only those that were collected are reused")
		}
	}
	if head != t.Cached.Ledger || sub.plan.CaseID != id {
		return nil, damage("it is not the case that the plan names: its ledger has another head")
	}
	c.controls.open[id] = sub
	return sub, nil
}

// Controls opens the cases inside this one, in the order in which the plan first
// names them, with the targets whose replies they hold.
func (c *Case) Controls() ([]*Case, []map[string]bool, error) {
	var cases []*Case
	var names []map[string]bool
	at := map[string]int{}
	for i := range c.plan.Targets {
		t := &c.plan.Targets[i]
		if t.Cached == nil {
			continue
		}
		k, known := at[t.Cached.CaseID]
		if !known {
			sub, err := c.Control(t)
			if err != nil {
				return nil, nil, err
			}
			k = len(cases)
			at[t.Cached.CaseID] = k
			cases, names = append(cases, sub), append(names, map[string]bool{})
		}
		names[k][t.Name] = true
	}
	return cases, names, nil
}

// cachedReplies yields the replies of the cases inside this one that are to items
// of this plan.
func (c *Case) cachedReplies(yield func(ReplyRecord) error) error {
	cases, names, err := c.Controls()
	if err != nil {
		return err
	}
	for k, sub := range cases {
		err := sub.ownReplies(func(rec ReplyRecord) error {
			if !names[k][rec.Item.Target.Name] {
				return nil
			}
			it, planned := c.Item(rec.Item.ID)
			if !planned {
				return nil // more was collected there than is asked for here
			}
			rec.Item = it
			return yield(rec)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Reusable says why the replies of a target of another case cannot stand for what
// a plan asks of it, or nil: suites, prompts and the parameters of every prompt
// must be the same. Where replies were imported the parameters are not known, and
// not compared.
func Reusable(p, from *Plan, target string) error {
	known := true
	for _, q := range []*Plan{p, from} {
		for i := range q.Targets {
			known = known && q.Targets[i].Imported == nil
		}
	}
	have := map[[2]string]*Prompt{}
	for i := range from.Prompts {
		have[[2]string{from.Prompts[i].Suite, from.Prompts[i].ID}] = &from.Prompts[i]
	}
	suites := map[string]SuiteRef{}
	for _, s := range from.Suites {
		suites[s.Name] = s
	}
	for _, s := range p.Suites {
		if old, ok := suites[s.Name]; ok && (old.SHA256 != s.SHA256 || old.Seed != s.Seed) {
			return fmt.Errorf("suite %s has another definition or seed there", s.Name)
		}
	}
	for i := range p.Prompts {
		q := &p.Prompts[i]
		if q.Sentinel {
			continue
		}
		old := have[[2]string{q.Suite, q.ID}]
		switch {
		case old == nil:
			return fmt.Errorf("prompt %s of suite %s was not put there", q.ID, q.Suite)
		case old.Text != q.Text || old.System != q.System || kindOf(old) != kindOf(q):
			return fmt.Errorf("prompt %s of suite %s had another text or kind there", q.ID, q.Suite)
		case from.SamplesOf(old) < p.SamplesOf(q):
			return fmt.Errorf("prompt %s of suite %s was put %d times there, and %d are planned", q.ID, q.Suite, from.SamplesOf(old), p.SamplesOf(q))
		}
		if difference := from.ParamsOf(old).difference(p.ParamsOf(q)); known && difference != "" {
			return fmt.Errorf("prompt %s of suite %s was put with another %s there", q.ID, q.Suite, difference)
		}
	}
	for i := range from.Targets {
		if from.Targets[i].Name == target {
			return nil
		}
	}
	return errors.New("there is no such target")
}

func kindOf(q *Prompt) string {
	if q.Kind == "" {
		return KindChat
	}
	return q.Kind
}

// difference names the first parameter that differs and can change a reply:
// whether it is streamed, and under whose name it is asked, cannot.
func (p Params) difference(o Params) string {
	switch {
	case p.MaxTokens != o.MaxTokens:
		return "max_tokens"
	case !equal(p.Temperature, o.Temperature):
		return "temperature"
	case !equal(p.TopP, o.TopP):
		return "top_p"
	case !equal(p.Seed, o.Seed):
		return "seed"
	case !equal(p.Logprobs, o.Logprobs):
		return "logprobs"
	case !equal(p.PromptLogprobs, o.PromptLogprobs):
		return "prompt_logprobs"
	case p.Echo != o.Echo:
		return "echo"
	}
	return ""
}

func equal[T comparable](a, b *T) bool {
	return a == b || a != nil && b != nil && *a == *b
}
