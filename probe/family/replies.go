package family

import (
	"fmt"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/wire"
	"github.com/stillmark/stillmark/watermark"
)

// Decode reads a settled attempt's reply out of its raw bytes again. The class
// that the runner wrote down counts for one thing only: that another model
// answered, which the bytes alone cannot say.
func Decode(rec ledger.ReplyRecord) ledger.Reply {
	r := wire.Decode(wire.Exchange{
		Status: rec.Attempt.Status, Kind: rec.Attempt.Kind, Stream: rec.Attempt.Stream,
		Body: rec.Response, Complete: rec.Attempt.Complete,
	})
	if rec.Attempt.Outcome == ledger.Drifted && r.Outcome == ledger.OK {
		r.Outcome, r.Detail = ledger.Drifted, rec.Attempt.Detail
	}
	return r
}

// answer is one reply that enters: its outcome is OK.
type answer struct {
	prompt *ledger.Prompt
	text   string
}

// gathered is what the ledger holds of one target.
type gathered struct {
	target     *ledger.Target
	accounting ledger.Accounting
	answers    []*answer // by position among the target's items in the plan, nil where none entered
	first      time.Time // of its first reply, whatever the class
	reasoning  int64     // entering replies with separate reasoning text
	redecoded  int64     // replies whose bytes say otherwise than the runner did
	drift      int
	overlong   int64                 // replies beyond max_tokens, by the target's own count
	tokens     map[*reader][][]int32 // ids per answer, made on demand
}

// gather decodes all replies of a case. It returns the targets in the plan's
// order. Replies are put in the order of the plan's items, so that no result
// depends on the order in which they arrived.
func gather(c *ledger.Case) ([]*gathered, error) {
	plan := c.Plan()
	byName := make(map[string]*gathered, len(plan.Targets))
	targets := make([]*gathered, len(plan.Targets))
	for i := range plan.Targets {
		t := &plan.Targets[i]
		targets[i] = &gathered{
			target: t,
			accounting: ledger.Accounting{
				Target: t.Name, Classes: map[ledger.Outcome]int64{}, Failed: map[ledger.Outcome]int64{}, Models: map[string]int64{},
			},
			tokens: map[*reader][][]int32{},
		}
		byName[t.Name] = targets[i]
	}
	position := map[string]int{}
	for _, it := range plan.Items() {
		g := byName[it.Target.Name]
		position[it.ID] = len(g.answers)
		g.answers = append(g.answers, nil)
	}
	for _, g := range targets {
		g.accounting.Planned = int64(len(g.answers))
	}
	err := c.Replies(func(rec ledger.ReplyRecord) error {
		g := byName[rec.Item.Target.Name]
		g.take(rec, position[rec.Item.ID], int64(plan.ParamsOf(rec.Item.Prompt).MaxTokens))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the replies: %w", err)
	}
	for _, g := range targets {
		var settled int64
		for _, n := range g.accounting.Classes {
			settled += n
		}
		g.accounting.Missing = g.accounting.Planned - settled
	}
	return targets, nil
}

// take enters one settled attempt.
func (g *gathered) take(rec ledger.ReplyRecord, position int, maxTokens int64) {
	if t := rec.Event.Time; g.first.IsZero() || t.Before(g.first) {
		g.first = t.UTC()
	}
	r := Decode(rec)
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
		if u.CompletionTokens > maxTokens {
			g.overlong++
		}
	}
	if r.Outcome != ledger.OK || rec.Item.Prompt.Sentinel {
		return
	}
	g.accounting.Analysed++
	if r.Reasoning != "" {
		g.reasoning++
	}
	g.answers[position] = &answer{prompt: rec.Item.Prompt, text: r.Text}
}

// reader turns text into the ids of one tokenizer, prompts once each.
type reader struct {
	tokenizer watermark.Tokenizer
	prompts   map[*ledger.Prompt][]int32
}

// prompt returns the ids of system and prompt text, one after the other.
func (r *reader) prompt(p *ledger.Prompt) ([]int32, error) {
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

// items yields the target's entering replies as ids, in the plan's order.
func (g *gathered) items(r *reader, yield func(watermark.Item)) error {
	ids, ok := g.tokens[r]
	if !ok {
		ids = make([][]int32, len(g.answers))
		for i, a := range g.answers {
			if a == nil {
				continue
			}
			var err error
			if ids[i], err = r.tokenizer.Encode(a.text); err != nil {
				return fmt.Errorf("tokenise a reply of %s to %s: %w", g.target.Name, a.prompt.ID, err)
			}
		}
		g.tokens[r] = ids
	}
	for i, a := range g.answers {
		if a == nil {
			continue
		}
		prompt, err := r.prompt(a.prompt)
		if err != nil {
			return err
		}
		yield(watermark.Item{Prompt: prompt, Tokens: ids[i]})
	}
	return nil
}
