package family

import (
	"fmt"
	"io/fs"
	"math"
	"path"
	"sync"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// RunningE is the evidence of one anytime test so far.
type RunningE struct {
	Test      string
	Log10E    float64
	Threshold float64 // log10(m/alpha)
}

// Stopper watches the e-values of a plan's anytime tests while replies come in,
// so that collection can stop when they suffice. Its evidence may be looked at
// after every reply: under the null the chance that an e-value ever reaches
// m/alpha is at most alpha/m (Ville's inequality), in whatever order the replies
// arrive. The threshold of a key whose commitment holds more keys than the plan
// tests is higher by that charge (see [Selection]). Tests on controls are scored by the analysis, but a run does not wait
// for evidence against them.
//
// It is safe for concurrent use.
type Stopper struct {
	mu    sync.Mutex
	tests []*running
	every int
	added int
	last  int
}

type running struct {
	test      *ledger.Test
	threshold float64
	process
}

// process is an e-process under way.
type process interface {
	// add enters a settled attempt of the test's target, of any class.
	add(*Answer) error
	log10E() float64
}

// runningMark is the e-process of radioactivity.
type runningMark struct{ e1 }

func (r *runningMark) add(a *Answer) error {
	if a.Reply.Outcome != ledger.OK {
		return nil
	}
	entering, ok, err := r.item(a)
	if ok && err == nil {
		r.detector.Add(entering)
	}
	return err
}

func (r *runningMark) log10E() float64 { return r.detector.Result().Log10E }

// checkEvery is how many replies lie between two looks where the plan does not
// say: a look costs less than a reply, and nothing is lost by looking late.
const checkEvery = 25

// NewStopper prepares the plan's primary anytime tests on rivals. A key that one
// of them needs and that is not given is an error, as is a tokenizer that cannot
// be opened.
//
// files is the case's own file system, where commitments lie; nil means none.
func NewStopper(p *ledger.Plan, files fs.FS, keys []*watermark.Key, open OpenTokenizer) (*Stopper, error) {
	s := &Stopper{every: p.Stop.CheckEvery}
	if s.every == 0 {
		s.every = checkEvery
	}
	roles := map[string]ledger.Role{}
	for i := range p.Targets {
		roles[p.Targets[i].Name] = p.Targets[i].Role
	}
	readers := readers{open: open}
	for i := range p.Tests {
		t := &p.Tests[i]
		if !t.Primary || t.Family != Radioactivity && t.Family != KeyedChoice || t.Mode != ledger.ModeAnytime || roles[t.Target] != ledger.Rival {
			continue
		}
		key, err := findKey(p, t.Key, keys)
		if err != nil {
			return nil, err
		}
		if key == nil {
			return nil, fmt.Errorf("test %s needs key %s", t.ID, t.Key)
		}
		charge, err := charged(p, files, t)
		if err != nil {
			return nil, err
		}
		r := &running{test: t, threshold: math.Log10(float64(sharing(p, false))) - math.Log10(p.Alpha) + charge}
		switch t.Family {
		case Radioactivity:
			r.process, err = newRunningMark(t, key, &readers)
		case KeyedChoice:
			var known map[[2]string]bool
			if known, err = firstItems(p, files, t); err == nil {
				r.process, err = newRunningChoice(&Input{Test: t, Key: key, plan: p}, known)
			}
		}
		if err != nil {
			return nil, err
		}
		s.tests = append(s.tests, r)
	}
	if len(s.tests) == 0 {
		return nil, fmt.Errorf("the plan has no anytime test on a rival")
	}
	return s, nil
}

func newRunningMark(t *ledger.Test, key *watermark.Key, readers *readers) (*runningMark, error) {
	mark, err := key.Mark()
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", key.ID, err)
	}
	r, err := readers.forKey(key)
	if err != nil {
		return nil, err
	}
	opt, err := e1Options(t)
	if err != nil {
		return nil, err
	}
	return &runningMark{e1{
		test: t, reader: r, part: opt.Part,
		detector: watermark.NewDetector(mark, watermark.Options{Weights: watermark.WeightsNone}),
	}}, nil
}

// firstItems are the items of keyed choice that the first run of a plan had, if it names
// one.
func firstItems(p *ledger.Plan, files fs.FS, t *ledger.Test) (map[[2]string]bool, error) {
	known := map[[2]string]bool{}
	if p.After == nil || files == nil {
		return known, nil
	}
	sub, err := fs.Sub(files, ledger.EarlierPath(p.After.CaseID))
	if err != nil {
		return nil, err
	}
	c, err := ledger.OpenFS(sub)
	if err != nil {
		return nil, fmt.Errorf("read the first run, case %s: %w", p.After.CaseID, err)
	}
	table, err := newChoiceTable(&Input{Test: t, plan: c.Plan()})
	if err != nil {
		return nil, err
	}
	for _, it := range table.items {
		known[[2]string{it.name, it.version}] = true
	}
	return known, nil
}

// charged is the charge of a test for the keys beside its own under one root.
func charged(p *ledger.Plan, files fs.FS, t *ledger.Test) (float64, error) {
	for i := range p.Keys {
		k := &p.Keys[i]
		if k.ID != t.Key || k.Commitment == "" || files == nil {
			continue
		}
		data, err := readCaseFile(files, path.Join(CommitmentsDir, k.Commitment), maxCommitment)
		if err != nil {
			return 0, fmt.Errorf("read the commitment of key %s: %w", k.ID, err)
		}
		c, err := watermark.ParseCommitment(data)
		if err != nil {
			return 0, nil // the analysis will call it a mismatch, and charge nothing
		}
		_, _, log10Charge := Selection(p, t.Target, c)
		return log10Charge, nil
	}
	return 0, nil
}

// Add enters a settled attempt. Only replies of class OK are scored; others complete an
// item that waits for all its samples.
func (s *Stopper) Add(it ledger.Item, r ledger.Reply) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tests {
		if t.test.Target != it.Target.Name || !t.test.Reads(it.Prompt) {
			continue
		}
		if err := t.add(&Answer{Item: it, Reply: r}); err != nil {
			return err
		}
	}
	s.added++
	return nil
}

// Check reports the evidence when a look is due, and whether every test has
// reached its threshold.
func (s *Stopper) Check() (due bool, evidence []RunningE, enough bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.added-s.last < s.every {
		return false, nil, false
	}
	s.last = s.added
	enough = true
	for _, t := range s.tests {
		e := RunningE{Test: t.test.ID, Log10E: t.log10E(), Threshold: t.threshold}
		evidence = append(evidence, e)
		enough = enough && e.Log10E >= e.Threshold
	}
	return true, evidence, enough
}

// sharing is m: the number of tests that the family-wise level is shared by, or that of
// the comparative tier; a test that stands outside counts as one.
func sharing(p *ledger.Plan, compared bool) int { return max(primaries(p, compared), 1) }

// primaries counts the primary tests of the comparative tier, or those of the others.
func primaries(p *ledger.Plan, compared bool) int {
	m := 0
	for i := range p.Tests {
		if t := &p.Tests[i]; t.Primary && comparative(t) == compared {
			m++
		}
	}
	return m
}
