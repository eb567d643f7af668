package family

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// Family is one kind of test: what it asks of a plan, and how it turns replies and
// secrets into a finding.
type Family struct {
	ID   string // such as "E1"
	Name string // the field's term
	// Tier is the best that a result can be: [ledger.Exact] where the null
	// hypothesis is about a secret that we randomised, else [ledger.Comparative].
	Tier ledger.Tier
	// Key is what secret it needs.
	Key KeyKind
	// Rung is what a positive reaches on the ladder of hypotheses.
	Rung string
	// Needs are capabilities of a target (ledger.Capabilities.Support) without
	// which the test cannot be planned.
	Needs []string
	// Anytime reports whether the family has an e-process beside its fixed-n test.
	Anytime bool
	// Lawful says why no decoys gate the result: the null law follows from the draw
	// of the secret alone, with no unit or repetition that could be counted wrongly.
	// Empty: the claim rule asks for a passed gate.
	Lawful string
	// Listed says that the exact tier asks for a commitment to what is asked, beside
	// that to the key: see [Lists].
	Listed bool
	// Whole says that a listed item without its replies leaves the statistic, so that who
	// orders the items and ends collection chooses among them: all must be asked.
	Whole bool
	// null and alternative are the propositions, with {target} and {key} for names.
	null, alternative string
	// others are the ids of further keys that a test needs; nil: none.
	others func(*ledger.Test) ([]string, error)
	// power is the planner's promise; nil for E1, whose power needs the law of a key.
	power func(*PlannedTest) (ledger.PowerRow, error)
	// Solo says that rivals alone are asked, each its own prompts: the comparison is
	// inside the test, with what was held back.
	Solo bool
	// subject is what depends on the key where that is not the target's replies.
	subject string
	// notShown is one more sentence of what a positive does not establish.
	notShown string
	// meaning replaces what the wording table says of a positive's causes.
	meaning string
	// run computes the tests that share a target, of the comparative tier all of the
	// family, so that replies are read once for all of them.
	run func(context.Context, []*Input) ([]*Output, error)
}

// KeyKind is the secret that a family needs.
type KeyKind string

// The kinds of keys.
const (
	NoKey     KeyKind = ""
	MarkKey   KeyKind = "watermark" // a key that marks text
	CanaryKey KeyKind = "canary"    // a key that draws the secrets of probes
)

// Fits reports whether a key of a scheme is of the kind.
func (k KeyKind) Fits(scheme string) bool {
	switch k {
	case MarkKey:
		return scheme != watermark.Canary
	case CanaryKey:
		return scheme == watermark.Canary
	}
	return false
}

// Families lists the known families in the order of the handbook's tables.
func Families() []Family {
	return []Family{
		e1Family(),
		e2Family(),
		e3Family(),
		e4Family(),
		e5Family(),
		e6Family(),
		c1Family(),
		c2Family(),
		c3Family(),
		c4Family(),
		c5Family(),
		c6Family(),
		c7Family(),
		c8Family(),
	}
}

// ByID finds a family.
func ByID(id string) (Family, bool) {
	all := Families()
	if i := slices.IndexFunc(all, func(f Family) bool { return f.ID == id }); i >= 0 {
		return all[i], true
	}
	return Family{}, false
}

// Propositions words a test's null hypothesis and its alternative.
func (f *Family) Propositions(target, key string) (null, alternative string) {
	r := strings.NewReplacer("{target}", target, "{key}", key)
	return r.Replace(f.null), r.Replace(f.alternative)
}

// PlannedTest is what the planner knows of a test before anything is sent.
type PlannedTest struct {
	*Input             // without replies, key and files
	Controls int       // controls in the plan
	Effects  []float64 // at which power is wanted; none: at those that the family states
}

// at are the effects at which power is wanted.
func at(wanted []float64, stated ...float64) []float64 {
	if len(wanted) > 0 {
		return wanted
	}
	return stated
}

// items counts the units of analysis among the test's prompts, placebos apart. A
// prompt of another kind is an error.
func (t *PlannedTest) items(kind reading.Kind) (int, error) {
	items := map[[2]string]bool{}
	for _, p := range t.Prompts() {
		r, err := t.Reading(p)
		if err != nil {
			return 0, err
		}
		if r == nil || r.Kind != kind {
			return 0, fmt.Errorf("prompt %s of suite %s is not of kind %s, which family %s reads", p.ID, p.Suite, kind, t.Test.Family)
		}
		if !r.Placebo {
			items[[2]string{r.Item, t.drawVersion(p)}] = true
		}
	}
	return len(items), nil
}

// PlannedPower is what a test of a family other than E1 promises at a level: at the given
// effects, in the row's unit, or at those that the family states.
func PlannedPower(p *ledger.Plan, t *ledger.Test, log10Alpha float64, effects ...float64) (ledger.PowerRow, error) {
	fam, ok := ByID(t.Family)
	if !ok || fam.power == nil {
		return ledger.PowerRow{}, fmt.Errorf("test %s: family %q promises no power", t.ID, t.Family)
	}
	planned := &PlannedTest{Input: &Input{Test: t, Log10Alpha: log10Alpha, plan: p}, Effects: effects}
	for i := range p.Targets {
		if p.Targets[i].Role == ledger.Control {
			planned.Controls++
		}
	}
	row, err := fam.power(planned)
	if err != nil {
		return ledger.PowerRow{}, fmt.Errorf("test %s: %w", t.ID, err)
	}
	row.Test = t.ID
	if fam.Tier != ledger.Comparative { // whose level is the floor of its rank
		row.Log10Alpha = log10Alpha
	}
	return row, nil
}

// Log10Level is a primary test's share of the family-wise level, in log10.
func Log10Level(p *ledger.Plan, t *ledger.Test) float64 {
	return math.Log10(p.Alpha) - math.Log10(float64(sharing(p, comparative(t))))
}

// Input is all that a test may look at: a finding is a pure function of it.
type Input struct {
	Test   *ledger.Test
	Target *ledger.Target // the one that is tested
	Key    *watermark.Key // nil where the family needs none
	// Log10Alpha is the level of this test, its share of the family-wise one.
	Log10Alpha float64
	// Decoys is how many decoy secrets are scored, drawn from DecoySeed.
	Decoys    int
	DecoySeed [32]byte
	// Files is the case's own file system, read-only: beside replies, what was
	// observed on our own side lies there.
	Files fs.FS
	// Progress is told how many decoys are done; never nil.
	Progress func(done int)

	others map[string]*watermark.Key // that the family's others named
	// earlier is the same test in the first run of a plan that names one; else nil.
	earlier *Input

	// step is told how far a step is, and nil where nobody listens. A comparative test has
	// read so many replies of so many.
	step        func(step string, done, of int)
	read, reads int
	// tables are what was read for comparative tests of the same prompts; see [tables].
	tables map[string]any

	judge   *labels // nil: the rules read the replies
	plan    *ledger.Plan
	store   *ledger.Case
	targets map[string]*gathered
	seed    [32]byte // of everything random that is no decoy
	readers *readers
	// listed says that the test asks what was committed to with its key.
	listed bool
	// units replaces unitsInMemory, where it is not 0.
	units int
	// resamples replaces the number of bootstrap resamples, for calibrations, which look
	// at ranks only; 0 leaves it.
	resamples int
}

// Targets lists the plan's targets of the given roles (none: all), in its order.
func (in *Input) Targets(roles ...ledger.Role) []*ledger.Target {
	var out []*ledger.Target
	for i := range in.plan.Targets {
		if t := &in.plan.Targets[i]; len(roles) == 0 || slices.Contains(roles, t.Role) {
			out = append(out, t)
		}
	}
	return out
}

// Prompts lists the prompts that the test reads of its target, in the plan's order.
func (in *Input) Prompts() []*ledger.Prompt {
	var out []*ledger.Prompt
	for i := range in.plan.Prompts {
		if p := &in.plan.Prompts[i]; in.Test.Reads(p) && p.Asks(in.Test.Target) {
			out = append(out, p)
		}
	}
	return out
}

// SamplesOf is how many replies the plan asks for of a prompt and target.
func (in *Input) SamplesOf(p *ledger.Prompt) int { return in.plan.SamplesOf(p) }

// Reading is what a prompt says of how its reply is read: nil where it says
// nothing. A reading that makes no sense is an error, of a plan that was made
// by another program.
func (in *Input) Reading(p *ledger.Prompt) (*reading.Reading, error) {
	if len(p.Reading) == 0 {
		return nil, nil
	}
	r, err := reading.Parse(p.Reading)
	if err != nil {
		return nil, fmt.Errorf("prompt %s of suite %s: %w", p.ID, p.Suite, err)
	}
	return r, nil
}

// Answer is one settled attempt. Only those of class [ledger.OK] enter an
// estimate, unless the family is about refusals.
type Answer struct {
	Item    ledger.Item
	Reply   ledger.Reply
	Attempt *ledger.Attempt
	Seq     uint64    // of its ledger event
	At      time.Time // of its ledger event
	Raw     []byte    // the response's body, owned by the callee
}

// Replies yields a target's settled attempts on the test's prompts, of every
// class, in the order of the plan's items, so that no result depends on the order
// in which they arrived. They are read from the raw bytes one at a time. An error
// ends the iteration.
func (in *Input) Replies(target string) iter.Seq2[*Answer, error] {
	return func(yield func(*Answer, error) bool) {
		g := in.targets[target]
		if g == nil {
			yield(nil, fmt.Errorf("target %q is not one of the plan", target))
			return
		}
		for a, err := range g.replies() {
			if err == nil && !in.Test.Reads(a.Item.Prompt) {
				continue
			}
			if !yield(a, err) || err != nil {
				return
			}
		}
	}
}

// OK yields what [Input.Replies] does, of class [ledger.OK] only.
func (in *Input) OK(target string) iter.Seq2[*Answer, error] {
	return func(yield func(*Answer, error) bool) {
		for a, err := range in.Replies(target) {
			if err == nil && a.Reply.Outcome != ledger.OK {
				continue
			}
			if !yield(a, err) {
				return
			}
		}
	}
}

// Tokenizer opens the tokenizer of the test's key.
func (in *Input) Tokenizer() (watermark.Tokenizer, error) {
	r, err := in.readers.forKey(in.Key)
	if err != nil {
		return nil, err
	}
	return r.tokenizer, nil
}

// Rand is a generator for one purpose (permutations, a bootstrap). Its seed is a
// hash of the sealed plan, the test's id and the purpose: fixed before the first
// reply, the same on every machine.
func (in *Input) Rand(purpose string) *rand.Rand {
	h := sha256.New()
	h.Write(in.seed[:])
	fmt.Fprintf(h, "%d:%s%s", len(in.Test.ID), in.Test.ID, purpose)
	return rand.New(rand.NewChaCha8([32]byte(h.Sum(nil))))
}

// alone makes the run of a family that computes one test at a time.
func alone(test func(context.Context, *Input) (*Output, error)) func(context.Context, []*Input) ([]*Output, error) {
	return func(ctx context.Context, ins []*Input) ([]*Output, error) {
		outs := make([]*Output, len(ins))
		for i, in := range ins {
			var err error
			if outs[i], err = test(ctx, in); err != nil {
				return nil, err
			}
		}
		return outs, nil
	}
}

// Output is what a family says: a finding without what identifies it (test,
// target, key, tier) and without what is judged over all tests.
type Output struct {
	Finding ledger.Finding
	// Log10P enters Holm's correction: of min(1, 1/e) where the plan says
	// e-process. 0 where nothing analytic is reported.
	Log10P   float64
	Warnings []Warning // of this family's own
	// Joined says that the finding counts nothing that the first run counted, so that
	// the two may be judged together; Finding.Joint then pools them.
	Joined bool
}
