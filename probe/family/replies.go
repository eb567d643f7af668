package family

import (
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/wire"
	"github.com/stillmark/stillmark/watermark"
)

// Decode reads a settled attempt's reply out of its raw bytes again. The class
// that the runner wrote down counts for one thing only: that another model
// answered, which the bytes alone cannot say. Of a reply whose bytes are withheld
// there is nothing but what the runner wrote down.
func Decode(rec ledger.ReplyRecord) ledger.Reply {
	if a := &rec.Attempt; rec.Withheld {
		return ledger.Reply{Outcome: a.Outcome, Detail: a.Detail, Model: a.Model, Fingerprint: a.Fingerprint, Provider: a.Provider, Usage: a.Usage}
	}
	r := wire.Decode(wire.Exchange{
		Status: rec.Attempt.Status, Kind: rec.Attempt.Kind, Stream: rec.Attempt.Stream,
		Body: rec.Response, Complete: rec.Attempt.Complete,
	})
	if rec.Attempt.Outcome == ledger.Drifted && r.Outcome == ledger.OK {
		r.Outcome, r.Detail = ledger.Drifted, rec.Attempt.Detail
	}
	return r
}

// attempt is what is kept of a settled attempt, which stays in the case: a million of
// them are 16 MB.
type attempt struct {
	offset    int64 // in its source
	prompt    int32 // its number in the plan, from 1; 0: none is settled
	source    uint8 // number in gathered.sources
	class     uint8 // number in gathered.classes, as the bytes say
	epoch     uint8 // number in gathered.epochs
	reasoning bool  // it has separate reasoning text
}

// settled is a settled attempt.
type settled struct {
	from      *gathered
	place     int // in the plan's order
	prompt    *ledger.Prompt
	class     ledger.Outcome
	epoch     int
	reasoning bool
}

// gathered is what the ledger holds of one target.
type gathered struct {
	target     *ledger.Target
	accounting ledger.Accounting
	prompts    []ledger.Prompt // of the plan
	attempts   []attempt       // by place in the plan's order
	sources    []*ledger.ReplySource
	classes    []ledger.Outcome
	held       []*ledger.ReplyRecord // by place, where there is no case
	first      time.Time             // of its first reply, whatever the class
	last       time.Time             // of its last one
	reasoning  int64                 // entering replies with separate reasoning text
	redecoded  int64                 // replies whose bytes say otherwise than the runner did
	drift      int
	overlong   int64 // replies beyond max_tokens, by the target's own count

	divides   bool     // epochs are told apart
	models    []string // as replies name them, in the order of the ledger
	answering int      // the last of them
	changes   []uint64 // events at which another model took over under the same name
	epochs    []epoch  // of replies that enter tests, in the order of the ledger
}

// settled are the target's settled attempts, in the order of the plan's items.
func (g *gathered) settled() iter.Seq[settled] {
	return func(yield func(settled) bool) {
		for i, a := range g.attempts {
			if a.prompt > 0 && !yield(settled{g, i, &g.prompts[a.prompt-1], g.classes[a.class], int(a.epoch), a.reasoning}) {
				return
			}
		}
	}
}

// keep enters a settled attempt at its place.
func (g *gathered) keep(place, prompt int, class ledger.Outcome, reasoning bool, source *ledger.ReplySource, offset int64) {
	g.attempts[place] = attempt{
		offset: offset, prompt: int32(prompt) + 1, reasoning: reasoning,
		source: number8(&g.sources, source), class: number8(&g.classes, class),
	}
}

// number8 is the number of v in a short list, to which it is added if it is new.
func number8[T comparable](list *[]T, v T) uint8 {
	i := slices.Index(*list, v)
	if i < 0 {
		i = len(*list)
		*list = append(*list, v)
	}
	return uint8(i)
}

// gather reads the ledger once: it decodes all replies, one at a time, for the accounting,
// and takes note of the collection's course. It returns the targets in the plan's order.
func gather(c *ledger.Case, report func(done, of int)) ([]*gathered, *history, ledger.Head, error) {
	plan := c.Plan()
	done, planned := 0, 0
	byName := make(map[string]*gathered, len(plan.Targets))
	targets := make([]*gathered, len(plan.Targets))
	for i := range plan.Targets {
		t := &plan.Targets[i]
		targets[i] = &gathered{
			target: t, divides: wordingOf(plan) >= wordingLadder, prompts: plan.Prompts, attempts: make([]attempt, plan.PerTarget()),
			accounting: ledger.Accounting{
				Target: t.Name, Classes: map[ledger.Outcome]int64{}, Failed: map[ledger.Outcome]int64{}, Models: map[string]int64{},
				Planned: int64(plan.Count(t)),
			},
		}
		byName[t.Name] = targets[i]
		planned += int(targets[i].accounting.Planned)
	}
	report(done, planned)
	numbers := make(map[*ledger.Prompt]int, len(plan.Prompts))
	for i := range plan.Prompts {
		numbers[&plan.Prompts[i]] = i
	}
	h := &history{pauses: map[string]int{}}
	owner := func(id string) *gathered {
		it, planned := c.Item(id)
		if !planned {
			return nil
		}
		return byName[it.Target.Name]
	}
	head, err := c.Walk(func(e *ledger.Event) error {
		if err := h.take(e, owner, byName); err != nil {
			return fmt.Errorf("read event %d of the ledger: %w", e.Seq, err)
		}
		return nil
	}, func(rec ledger.ReplyRecord) error {
		if done++; done%chunk == 0 {
			report(done, planned)
		}
		byName[rec.Item.Target.Name].take(rec, c.Place(rec.Item.ID), numbers[rec.Item.Prompt], int64(plan.ParamsOf(rec.Item.Prompt).MaxTokens))
		return nil
	})
	if err != nil {
		return nil, nil, head, fmt.Errorf("read the replies: %w", err)
	}
	for _, g := range targets {
		var settled int64
		for _, n := range g.accounting.Classes {
			settled += n
		}
		g.accounting.Missing = g.accounting.Planned - settled
	}
	return targets, h, head, readCached(c, byName)
}

// take enters one settled attempt.
func (g *gathered) take(rec ledger.ReplyRecord, place, prompt int, maxTokens int64) {
	if t := rec.Event.Time; g.first.IsZero() || t.Before(g.first) {
		g.first = t.UTC()
	}
	if t := rec.Event.Time.UTC(); t.After(g.last) {
		g.last = t
	}
	r := Decode(rec)
	g.keep(place, prompt, r.Outcome, r.Reasoning != "", rec.Source, rec.Offset)
	if r.Outcome != rec.Attempt.Outcome {
		g.redecoded++
	}
	g.accounting.Classes[r.Outcome]++
	if r.Model != "" {
		g.accounting.Models[r.Model]++
	}
	if u := r.Usage; u != nil {
		g.accounting.Usage.PromptTokens += u.PromptTokens
		g.accounting.Usage.CompletionTokens += u.CompletionTokens
		g.accounting.Usage.ReasoningTokens += u.ReasoningTokens
		g.accounting.Usage.Cost += u.Cost
		if u.CompletionTokens > maxTokens && g.target.Imported == nil {
			g.overlong++
		}
	}
	if r.Outcome != ledger.OK || rec.Item.Prompt.Sentinel {
		return
	}
	g.accounting.Analysed++
	if g.divides {
		g.attempts[place].epoch = g.enter(r.Model, rec.Event.Seq)
	}
	if r.Reasoning != "" {
		g.reasoning++
	}
}

// replies reads the target's settled attempts again, in the order of the plan's
// items, one at a time.
func (g *gathered) replies() iter.Seq2[*Answer, error] {
	return func(yield func(*Answer, error) bool) {
		for s := range g.settled() {
			a, err := s.answer()
			if !yield(a, err) || err != nil {
				return
			}
		}
	}
}

// answer reads an attempt with its bytes again and decodes it.
func (s settled) answer() (*Answer, error) {
	rec, err := s.from.record(s.place)
	if err != nil {
		return nil, err
	}
	return &Answer{
		Item: rec.Item, Reply: Decode(rec), Attempt: &rec.Attempt, Seq: rec.Event.Seq, At: rec.Event.Time, Raw: rec.Response,
	}, nil
}

func (g *gathered) record(place int) (ledger.ReplyRecord, error) {
	if g.held != nil {
		return *g.held[place], nil
	}
	a := &g.attempts[place]
	return g.sources[a.source].Read(a.offset)
}

// reader turns text into the ids of one tokenizer, prompts once each. It is safe
// for concurrent use.
type reader struct {
	tokenizer watermark.Tokenizer

	mu      sync.Mutex
	prompts map[*ledger.Prompt][]int32
}

// prompt returns the ids of system and prompt text, one after the other.
func (r *reader) prompt(p *ledger.Prompt) ([]int32, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ids, ok := r.prompts[p]; ok {
		return ids, nil
	}
	var ids []int32
	for _, text := range []string{p.System, p.Text} {
		if text == "" {
			continue
		}
		part, err := r.tokenizer.Encode(text)
		if err != nil {
			return nil, fmt.Errorf("tokenise prompt %s: %w", p.ID, err)
		}
		ids = append(ids, part...)
	}
	r.prompts[p] = ids
	return ids, nil
}

// item turns a reply's text into ids.
func (r *reader) item(it ledger.Item, text string) (watermark.Item, error) {
	prompt, err := r.prompt(it.Prompt)
	if err != nil {
		return watermark.Item{}, err
	}
	ids, err := r.tokenizer.Encode(text)
	if err != nil {
		return watermark.Item{}, fmt.Errorf("tokenise a reply of %s to %s: %w", it.Target.Name, it.Prompt.ID, err)
	}
	return watermark.Item{Prompt: prompt, Tokens: ids}, nil
}
