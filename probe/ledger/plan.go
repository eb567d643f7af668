package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sort"
	"strconv"
)

// maxPlan bounds plan.json: 20,000 prompts of 2 KiB each with room to spare.
const maxPlan = 64 << 20

// orderStream separates the item order from any other use of the same seed: it
// is the second seed word of the PCG generator ("order" in ASCII).
const orderStream = 0x6f72646572

// ParamsFor is what an item is sent with: a label what the judge's parameters are.
func (p *Plan) ParamsFor(it *Item) Params {
	if it.Label > 0 {
		return p.Judge.Params
	}
	return p.ParamsOf(it.Prompt)
}

// ItemID is target/suite/prompt/sample.
func ItemID(target, suite, prompt string, sample int) string {
	return target + "/" + suite + "/" + prompt + "/" + strconv.Itoa(sample)
}

// Items lists what the plan asks for in the order of [Plan.Order]. A million items
// take a hundred megabytes.
func (p *Plan) Items() []Item {
	items := make([]Item, 0, len(p.Targets)*p.PerTarget())
	for it := range p.Order() {
		items = append(items, it)
	}
	return items
}

// Order yields what the plan asks for, in the order of sending: every block holds
// one sample of one prompt for all targets that are asked it, in random order, and the
// blocks are shuffled, so that a fault in time hits rival and controls alike. The rounds of
// the sentinels stand between them. The order is a function of OrderSeed. The
// items point into the plan.
func (p *Plan) Order() iter.Seq[Item] {
	return func(yield func(Item) bool) {
		lay := p.layout()
		targets := make([]int, len(p.Targets))
		for i := range targets {
			targets[i] = i
		}
		rng := rand.NewPCG(p.OrderSeed, orderStream)
		for _, cell := range p.blocks(lay, rng) {
			q, sample := lay.find(p, cell)
			shuffle(rng, targets)
			for _, t := range targets {
				target := &p.Targets[t]
				if !p.has(target, q) {
					continue
				}
				id := ItemID(target.Name, q.Suite, q.ID, sample)
				if !yield(Item{ID: id, Target: target, Prompt: q, Sample: sample}) {
					return
				}
			}
		}
	}
}

// layout numbers the replies that are asked of one target: prompts in the plan's
// order, their samples side by side. The i-th entry is the number of the i-th
// prompt's first sample; the last one is how many there are.
type layout []int

func (p *Plan) layout() layout {
	l := make(layout, len(p.Prompts)+1)
	for i := range p.Prompts {
		l[i+1] = l[i] + p.SamplesOf(&p.Prompts[i])
	}
	return l
}

// find returns the prompt and sample of a number.
func (l layout) find(p *Plan, cell int) (*Prompt, int) {
	i := sort.Search(len(p.Prompts), func(i int) bool { return l[i+1] > cell })
	return &p.Prompts[i], cell - l[i]
}

// blocks are the numbers of a layout in the order of sending.
func (p *Plan) blocks(l layout, rng *rand.PCG) []int {
	var order, sentinels []int
	for i := range p.Prompts {
		q := &p.Prompts[i]
		if q.Sentinel {
			sentinels = append(sentinels, l[i])
			continue
		}
		for cell := l[i]; cell < l[i+1]; cell++ {
			order = append(order, cell)
		}
	}
	shuffle(rng, order)
	if len(sentinels) == 0 {
		return order
	}
	out := make([]int, 0, l[len(p.Prompts)])
	round := 0
	for i := range len(order) + 1 {
		for round < p.Sentinels.Rounds && p.Sentinels.before(round, len(order)) == i {
			for _, first := range sentinels {
				out = append(out, first+round)
			}
			round++
		}
		if i < len(order) {
			out = append(out, order[i])
		}
	}
	return out
}

// before is how many of n blocks come before a round: none before the first two,
// all before the last.
func (s *Sentinels) before(round, n int) int {
	return max(round-1, 0) * n / (s.Rounds - 2)
}

// Reads reports whether the replies to a prompt enter the test. Those to sentinels
// enter none.
func (t *Test) Reads(q *Prompt) bool {
	return !q.Sentinel && (len(t.Suites) == 0 || slices.Contains(t.Suites, q.Suite))
}

// SamplesOf is how often each target is asked a prompt.
func (p *Plan) SamplesOf(q *Prompt) int {
	if q.Sentinel {
		return p.Sentinels.Rounds
	}
	if q.Samples > 0 {
		return q.Samples
	}
	return p.Samples
}

// Asks reports whether a target is asked the prompt.
func (q *Prompt) Asks(target string) bool {
	return len(q.Targets) == 0 || slices.Contains(q.Targets, target)
}

// has reports whether a target has items of a prompt. Whoever is not asked by this case
// cannot change meanwhile: sentinels are for the others.
func (p *Plan) has(t *Target, q *Prompt) bool {
	return q.Asks(t.Name) && (t.Live() || !q.Sentinel)
}

// Count is how many items a target has: replies that are asked for, or that were
// gathered beforehand.
func (p *Plan) Count(t *Target) int {
	n := 0
	for i := range p.Prompts {
		if q := &p.Prompts[i]; p.has(t, q) {
			n += p.SamplesOf(q)
		}
	}
	return n
}

// PerTarget is how many replies the plan asks of a target that is asked every prompt.
func (p *Plan) PerTarget() int {
	n := 0
	for i := range p.Prompts {
		n += p.SamplesOf(&p.Prompts[i])
	}
	return n
}

// ParamsOf is what a prompt is sent with: the plan's parameters, where the prompt
// does not say otherwise.
func (p *Plan) ParamsOf(q *Prompt) Params {
	out, own := p.Params, q.Params
	if own == nil {
		return out
	}
	if own.MaxTokens > 0 {
		out.MaxTokens = own.MaxTokens
	}
	overrule(&out.Temperature, own.Temperature)
	overrule(&out.TopP, own.TopP)
	overrule(&out.Seed, own.Seed)
	overrule(&out.Logprobs, own.Logprobs)
	overrule(&out.PromptLogprobs, own.PromptLogprobs)
	if own.Stream != nil {
		out.Stream = *own.Stream
	}
	if own.Echo != nil {
		out.Echo = *own.Echo
	}
	if own.User != "" {
		out.User = own.User
	}
	if own.Metadata != nil {
		out.Metadata = own.Metadata
	}
	return out
}

func overrule[T any](value **T, own *T) {
	if own != nil {
		*value = own
	}
}

// shuffle is Fisher and Yates' with indices by rejection. It is written out
// because a sealed plan's order must not change with a later library.
func shuffle(rng *rand.PCG, a []int) {
	for i := len(a) - 1; i > 0; i-- {
		n := uint64(i + 1)
		limit := -n % n // 2^64 mod n: values below it would make low indices likelier
		v := rng.Uint64()
		for v < limit {
			v = rng.Uint64()
		}
		j := int(v % n)
		a[i], a[j] = a[j], a[i]
	}
}

// EncodePlan returns plan.json: indented, with a trailing newline, the same
// bytes for the same plan. Times are written in UTC.
func EncodePlan(p *Plan) ([]byte, error) {
	q := *p
	q.Created = q.Created.UTC()
	q.After = p.After.utc()
	q.Targets = append([]Target(nil), p.Targets...)
	for i := range q.Targets {
		q.Targets[i].Cached = q.Targets[i].Cached.utc()
		if c := q.Targets[i].Capabilities; c != nil {
			cc := *c
			cc.TestedAt = cc.TestedAt.UTC()
			q.Targets[i].Capabilities = &cc
		}
	}
	if p.Judge != nil {
		judge := *p.Judge
		if c := judge.Target.Capabilities; c != nil {
			cc := *c
			cc.TestedAt = cc.TestedAt.UTC()
			judge.Target.Capabilities = &cc
		}
		q.Judge = &judge
	}
	q.Keys = append([]KeyRef(nil), p.Keys...)
	for i := range q.Keys {
		q.Keys[i].ServingFrom = q.Keys[i].ServingFrom.UTC()
	}
	if p.Format == PlanSalted {
		q.Prompts = slices.Clone(p.Prompts)
		for i := range q.Prompts {
			s := &q.Prompts[i]
			if s.Salt != "" {
				line, err := s.line()
				if err != nil {
					return nil, err
				}
				s.Leaf = hexSHA256(line)
			}
			s.System, s.Text, s.Reading = "", "", nil
		}
	}
	data, err := encodeIndented(&q)
	if err != nil {
		return nil, fmt.Errorf("encoding the plan: %w", err)
	}
	if len(data) > maxPlan {
		return nil, fmt.Errorf("the plan has %d MiB, more than the %d MiB that are read", len(data)>>20, maxPlan>>20)
	}
	return data, nil
}

// DecodePlan reads what [EncodePlan] wrote, and nothing else: unknown members,
// trailing text and any other spelling of the same values are errors. A plan of
// a later program is ErrNewerFormat. The plan is not validated. What the prompts of a
// salted plan say is not in it.
func DecodePlan(data []byte) (*Plan, error) {
	if len(data) > maxPlan {
		return nil, fmt.Errorf("the plan is larger than %d MiB, the most that is read", maxPlan>>20)
	}
	if err := checkFormat(data, "the plan", PlanSalted); err != nil {
		return nil, err
	}
	p := new(Plan)
	if err := decodeStrict(data, p); err != nil {
		return nil, fmt.Errorf("reading the plan: %w", err)
	}
	again, err := EncodePlan(p)
	if err != nil {
		return nil, err
	}
	if err := sameBytes(data, again); err != nil {
		return nil, fmt.Errorf("reading the plan: %w", err)
	}
	return p, nil
}

// checkFormat looks at the member "format" before anything else is demanded of
// a document, so that a newer one is called newer and not malformed. known is the
// newest one that is read.
func checkFormat(data []byte, what string, known int) error {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return fmt.Errorf("%s is not JSON (byte %d): %w", what, syntax.Offset, err)
		}
		return fmt.Errorf("%s has no readable format number: %w", what, err)
	}
	if head.Format > known {
		return fmt.Errorf("%s has format %d, this program reads %d: use a newer stillmark: %w", what, head.Format, known, ErrNewerFormat)
	}
	if head.Format < 1 {
		return fmt.Errorf("%s has format %d, which there is not", what, head.Format)
	}
	return nil
}
