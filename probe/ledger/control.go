package ledger

import (
	"encoding/json"
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

// EarlierDir holds, in a folder of its case id, the sealed case of the first run
// that a plan repeats.
const EarlierDir = "earlier"

// ControlPath is where the case with this id lies in another one.
func ControlPath(caseID string) string { return path.Join(ControlsDir, caseID) }

// EarlierPath is where the first run with this case id lies.
func EarlierPath(caseID string) string { return path.Join(EarlierDir, caseID) }

// Inside lists the folders of the sealed cases that lie in a case of the plan, each
// with what the plan says of it, once.
func (p *Plan) Inside() map[string]*Cached {
	dirs := map[string]*Cached{}
	if p.After != nil {
		dirs[EarlierPath(p.After.CaseID)] = p.After
	}
	for i := range p.Targets {
		if c := p.Targets[i].Cached; c != nil {
			dirs[ControlPath(c.CaseID)] = c
		}
	}
	return dirs
}

// utc is a copy with its times in UTC.
func (c *Cached) utc() *Cached {
	if c == nil {
		return nil
	}
	cc := *c
	cc.First, cc.Last = c.First.UTC(), c.Last.UTC()
	return &cc
}

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
	sub, err := c.inner(ControlPath(t.Cached.CaseID), t.Cached)
	if err != nil {
		return nil, err
	}
	for i := range sub.plan.Targets {
		if sub.plan.Targets[i].Cached != nil {
			return nil, &DamageError{
				File:   ControlPath(t.Cached.CaseID),
				Reason: "it takes replies from a further case: only those that were collected are reused",
			}
		}
	}
	return sub, nil
}

// Earlier opens the case of the first run, nil where the plan names none, and checks
// that it is the one that the plan names.
func (c *Case) Earlier() (*Case, error) {
	if c.plan.After == nil {
		return nil, nil
	}
	sub, err := c.inner(EarlierPath(c.plan.After.CaseID), c.plan.After)
	if err == nil && sub.plan.After != nil {
		err = &DamageError{File: EarlierPath(c.plan.After.CaseID), Reason: "it is itself a second run"}
	}
	return sub, err
}

// inner opens a case inside this one, once.
func (c *Case) inner(dir string, want *Cached) (*Case, error) {
	c.controls.mu.Lock()
	defer c.controls.mu.Unlock()
	if sub := c.controls.open[dir]; sub != nil {
		return sub, nil
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
	if head != want.Ledger || sub.plan.CaseID != want.CaseID {
		return nil, &DamageError{File: dir, Reason: "it is not the case that the plan names: its ledger has another head"}
	}
	c.controls.open[dir] = sub
	return sub, nil
}

// Repeats says why a plan is not a second run of another one, or nil: targets,
// suites, parameters, keys, tests, level and decoys must be the same. Prompts may be
// others of the same suites, and what is random is drawn anew. A suite of another version
// is a [*SuiteVersionError].
func (p *Plan) Repeats(first *Plan) error {
	targets := func(p *Plan) []string {
		var out []string
		for _, t := range p.Targets {
			out = append(out, fmt.Sprintf("%s %s %q at %s", t.Role, t.Name, t.Model, t.BaseURL))
		}
		return out
	}
	suites := func(p *Plan) []string {
		var out []string
		for _, s := range p.Suites {
			out = append(out, fmt.Sprintf("%s %s %s", s.Name, s.Version, s.SHA256))
		}
		return out
	}
	keys := func(p *Plan) []string {
		var out []string
		for _, k := range p.Keys {
			out = append(out, k.ID)
		}
		return out
	}
	tests := func(p *Plan) []string {
		var out []string
		for _, t := range p.Tests {
			t.Filter = ""
			data, err := json.Marshal(t)
			if err != nil {
				data = []byte(t.ID)
			}
			out = append(out, string(data))
		}
		return out
	}
	for _, part := range []struct {
		what string
		of   func(*Plan) []string
	}{{"targets", targets}, {"suites", suites}, {"keys", keys}, {"tests", tests}} {
		a, b := part.of(p), part.of(first)
		for i := range max(len(a), len(b)) {
			if i >= len(a) || i >= len(b) || a[i] != b[i] {
				if part.what == "suites" && i < len(a) && i < len(b) && p.Suites[i].Name == first.Suites[i].Name && p.Suites[i].Version != first.Suites[i].Version {
					return &SuiteVersionError{Suite: p.Suites[i].Name, First: first.Suites[i].Version, Here: p.Suites[i].Version}
				}
				return fmt.Errorf("its %s are not the same: number %d is %s there and %s here", part.what, i+1, at(b, i), at(a, i))
			}
		}
	}
	params := func(p *Plan) string {
		data, err := json.Marshal(p.Params)
		if err != nil {
			return err.Error()
		}
		return string(data)
	}
	judge := func(p *Plan) string {
		if p.Judge == nil {
			return "none"
		}
		j := *p.Judge
		j.Seed, j.Target.Capabilities = 0, nil
		data, err := json.Marshal(j)
		if err != nil {
			return err.Error()
		}
		return string(data)
	}
	switch {
	case judge(p) != judge(first):
		return fmt.Errorf("its judge is not the same: %.200s there and %.200s here", judge(first), judge(p))
	case params(p) != params(first):
		return fmt.Errorf("its parameters are not the same: %s there and %s here", params(first), params(p))
	case p.Alpha != first.Alpha || p.Decoys.N != first.Decoys.N || p.Stop != first.Stop:
		return errors.New("its level, number of decoys or stopping rule is not the same")
	}
	return nil
}

// SuiteVersionError says that a suite has changed since the first run.
type SuiteVersionError struct {
	Suite       string
	First, Here string // versions: of the first run, and of this plan
}

// Error names both versions.
func (e *SuiteVersionError) Error() string {
	return fmt.Sprintf("suite %s is version %s there and version %s here", e.Suite, e.First, e.Here)
}

// at is an element of a list, or that there is none.
func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return "(none)"
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
		_, err := sub.walk(EventReply, c, func(*Event) error { return nil }, func(rec ReplyRecord) error {
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
