package probe

import (
	"fmt"
	"strings"

	"github.com/stillmark/stillmark/probe/endpoint"
	"github.com/stillmark/stillmark/probe/ledger"
)

// needs are the capabilities that a prompt takes, by how it is put.
func needs(q *ledger.Prompt, params *ledger.Params) []string {
	out := []string{endpoint.CapChat}
	if q.Kind == ledger.KindCompletion {
		out[0] = endpoint.CapCompletions
	}
	if params.Stream {
		out = append(out, endpoint.CapStream)
	}
	switch {
	case params.Echo && params.Logprobs != nil:
		out = append(out, endpoint.CapEchoLogprobs)
	case params.Logprobs != nil:
		out = append(out, endpoint.CapLogprobs)
	}
	if params.PromptLogprobs != nil {
		out = append(out, endpoint.CapPromptLogprobs)
	}
	return out
}

// checkAbilities refuses prompts that are put in a way that a target, by its capability
// test, does not understand, and warns where it will answer a part of a suite, or
// otherwise than it is asked to.
func (d *Draft) checkAbilities() error {
	p := d.Plan
	type share struct{ system, all int }
	shares := map[[2]string]*share{} // of target and suite
	random := map[string]bool{}
	for i := range p.Prompts {
		q := &p.Prompts[i]
		params := p.ParamsOf(q)
		zero := params.Temperature != nil && *params.Temperature == 0 && !q.Sentinel
		for j := range p.Targets {
			t := &p.Targets[j]
			if !t.Live() || t.Capabilities == nil || !q.Asks(t.Name) {
				continue
			}
			for _, need := range needs(q, &params) {
				if !unsupported(t, need) {
					continue
				}
				do := "Leave the target or the prompt out"
				if need == endpoint.CapStream {
					do = "Plan without streaming"
				}
				return cannotPut(q, t, "support "+need, do)
			}
			if zero && refuses(t, endpoint.CapTemperatureZero) {
				return cannotPut(q, t, "take temperature 0", "Leave the target or the suite out")
			}
			if zero && unsupported(t, endpoint.CapTemperatureZero) && !random[t.Name] {
				random[t.Name] = true
				d.Warnings = append(d.Warnings, fmt.Sprintf("%s does not repeat itself at temperature 0 (%s): its answers there are not always its likeliest, and find less.",
					t.Name, t.Capabilities.Support[endpoint.CapTemperatureZero].Detail))
			}
			if !unsupported(t, endpoint.CapSystemPrompt) {
				continue
			}
			at := [2]string{t.Name, q.Suite}
			if shares[at] == nil {
				shares[at] = new(share)
			}
			if shares[at].all++; q.System != "" {
				shares[at].system++
			}
		}
	}
	for _, s := range p.Suites {
		for i := range p.Targets {
			t := &p.Targets[i]
			switch n := shares[[2]string{t.Name, s.Name}]; {
			case n == nil || n.system == 0:
			case n.system == n.all:
				return usage("Leave the suite or the target out", "all prompts of suite %s have a system text, which %s refuses", s.Name, t.Name)
			default:
				d.Warnings = append(d.Warnings, fmt.Sprintf("%d of the %d prompts of suite %s have a system text, which %s refuses: it will reject them.", n.system, n.all, s.Name, t.Name))
			}
		}
	}
	return nil
}

func cannotPut(q *ledger.Prompt, t *ledger.Target, what, do string) error {
	return usage(do, "prompt %s of suite %s cannot be put to %s, which does not %s", q.ID, q.Suite, t.Name, what)
}

// unsupported reports whether a capability test found that a target lacks something.
func unsupported(t *ledger.Target, what string) bool {
	return t.Capabilities != nil && t.Capabilities.Support[what].State == "no"
}

// refuses reports whether a capability test found that a target rejects something,
// rather than taking no notice of it.
func refuses(t *ledger.Target, what string) bool {
	return unsupported(t, what) && strings.HasPrefix(t.Capabilities.Support[what].Detail, endpoint.Refused)
}
