package probe

import (
	"fmt"

	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
)

// bytesPerToken is the usual length of a token of English text in the
// vocabularies of 2026 (3.5 to 5). The low end is taken, so that estimates of
// what a prompt costs err on the dear side.
const bytesPerToken = 3.5

// promptOverhead is what a chat template adds to a prompt, in tokens.
const promptOverhead = 16

// promptTokens estimates what a target will count for a prompt.
func promptTokens(p *ledger.Prompt) int64 {
	return int64(float64(len(p.System)+len(p.Text))/bytesPerToken) + promptOverhead
}

// spend is what attempts cost, or may cost at most.
type spend struct {
	requests, tokens int64
	cost             float64
}

func (s *spend) add(o spend) {
	s.requests += o.requests
	s.tokens += o.tokens
	s.cost += o.cost
}

func (s *spend) sub(o spend) {
	s.requests -= o.requests
	s.tokens -= o.tokens
	s.cost -= o.cost
}

// atMost is what one attempt at an item may cost: its prompt and a reply that
// uses the whole budget.
func (r *runner) atMost(it *ledger.Item) spend {
	in, out := promptTokens(it.Prompt), int64(r.plan.ParamsFor(it).MaxTokens)
	if it.Label > 0 {
		in = labelTokens(r.docket.jury, it)
	}
	return spend{1, in + out, money(it.Target.Price, in, out)}
}

// billed is what an attempt did cost. A target that does not count tokens is
// taken at its estimate when it sent something or may bill us; a failed attempt
// without either is free.
func (r *runner) billed(it *ledger.Item, a *ledger.Attempt) spend {
	if u := a.Usage; u != nil {
		s := spend{1, u.PromptTokens + u.CompletionTokens, u.Cost}
		if s.cost <= 0 {
			s.cost = money(it.Target.Price, u.PromptTokens, u.CompletionTokens)
		}
		return s
	}
	if a.MayBeBilled || a.Outcome == ledger.OK || a.Outcome == ledger.Truncated {
		return r.atMost(it)
	}
	return spend{requests: 1}
}

func money(p *ledger.Price, in, out int64) float64 {
	if p == nil {
		return 0
	}
	return (float64(in)*p.Input + float64(out)*p.Output) / 1e6
}

// exceeds says which cap of the plan spending s would break, by its name and in
// words, or "".
func exceeds(c *ledger.Caps, s spend, currency string) (name, limit string) {
	switch {
	case c.MaxRequests > 0 && s.requests > c.MaxRequests:
		return family.CapRequests, group(c.MaxRequests) + " requests"
	case c.MaxTokens > 0 && s.tokens > c.MaxTokens:
		return family.CapTokens, group(c.MaxTokens) + " tokens"
	case c.MaxCost > 0 && s.cost > c.MaxCost:
		return family.CapCost, fmt.Sprintf("%s%.2f", currencySign(currency), c.MaxCost)
	}
	return "", ""
}
