package probe

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/stillmark/stillmark/probe/endpoint"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
)

// SentinelSuite is the suite that a plan's sentinels belong to.
const SentinelSuite = "sentinel"

// sentinelTexts have very many good answers, so that another model gives others
// even where both answer at temperature 0.
var sentinelTexts = []string{
	"Name a fruit, a city and a tool, and use all three in one sentence.",
	"Write the first two lines of a poem about a bridge in winter.",
	"What could a lighthouse keeper have in a drawer? List six things.",
	"Describe the taste of rain in one long sentence.",
	"Invent a proverb about patience and explain it briefly.",
	"Give a shop for second-hand clocks a name and a motto.",
	"Think of a small machine that nobody has built yet. What does it do?",
	"How would you explain the colour green to a fish? Answer in one sentence.",
}

const (
	// sentinelTokens is enough for eight answers of one model to differ from those
	// of another, and little to pay for.
	sentinelTokens = 32
	// Of eight prompts two may be answered differently in the first two rounds:
	// batched servers are not wholly deterministic. Another model gives six to eight
	// new answers; so does, by chance, a round in 43,000 of a target that answers
	// otherwise with probability .1, and one in 89 with .3, which is why a target that was
	// seen to do so must do it twice in a row. README.md has what comes of it.
	sentinelUnstable, sentinelChanged, sentinelConfirm = 2, 6, true
	// blocksPerRound spreads the rounds: at 100 prompts between two of them the
	// sentinels are 7 % of the requests, and far less of the tokens.
	blocksPerRound = 100
	maxAutoRounds  = 100
)

// AutoSentinels is the number of rounds for a plan of n replies per target: none
// for runs that are over within minutes.
func AutoSentinels(n int) int {
	if n < blocksPerRound {
		return 0
	}
	return min(2+n/blocksPerRound, maxAutoRounds)
}

// addSentinels adds the sentinel prompts to the plan.
func (d *Draft) addSentinels(rounds int) error {
	if rounds < 0 {
		most := 0
		for i := range d.Plan.Targets {
			most = max(most, d.Plan.Count(&d.Plan.Targets[i]))
		}
		rounds = AutoSentinels(most)
	}
	if rounds == 0 {
		return nil
	}
	p := d.Plan
	zero := 0.0
	params := &ledger.PromptParams{MaxTokens: sentinelTokens, Temperature: &zero}
	for i := range p.Targets {
		if t := &p.Targets[i]; unsupported(t, endpoint.CapTemperatureZero) {
			d.Warnings = append(d.Warnings, fmt.Sprintf("%s does not repeat itself at temperature 0 (%s): its sentinels may say nothing.",
				t.Name, t.Capabilities.Support[endpoint.CapTemperatureZero].Detail))
			if refuses(t, endpoint.CapTemperatureZero) {
				params.Temperature = nil // all targets are asked alike
			}
		}
	}
	var prompts []ledger.Prompt
	for i, text := range sentinelTexts {
		prompts = append(prompts, ledger.Prompt{
			ID: fmt.Sprintf("s%d", i+1), Suite: SentinelSuite, Lang: "en", Text: text, Params: params, Sentinel: true,
		})
	}
	definition, err := json.Marshal(sentinelTexts)
	if err != nil {
		return fmt.Errorf("plan: the sentinels: %w", err)
	}
	sum := sha256.Sum256(definition)
	p.Suites = append(p.Suites, ledger.SuiteRef{Name: SentinelSuite, Version: "1", SHA256: hex.EncodeToString(sum[:]), N: len(prompts)})
	p.Prompts = append(p.Prompts, prompts...)
	p.Exclusions = append(p.Exclusions, "Answers to sentinels enter no test.")
	p.Sentinels = &ledger.Sentinels{Rounds: rounds, Unstable: sentinelUnstable, Changed: sentinelChanged, Confirm: sentinelConfirm}
	return nil
}

// watch follows one target's answers to the sentinels. It sees them in the order
// of the ledger, so that a resumed run stands where the one before stood.
type watch struct {
	rule    *ledger.Sentinels // nil: the plan has none
	prompts int
	rounds  map[int]*round
	whole   int                        // rounds taken into account
	known   map[string]map[string]bool // answers of the epoch, by prompt
	// unstable: the first two rounds differ, so that later ones say nothing.
	unstable bool
	// noisy: a prompt was answered in two ways.
	noisy bool
	// suspect is the round before, if a noisy target's was of another model: this one
	// decides. Its answers are not known yet.
	suspect *round
}

// round is one round under way.
type round struct {
	settled int
	answers map[string]string // of class ok, by prompt
}

func newWatch(p *ledger.Plan) watch {
	w := watch{rule: p.Sentinels, rounds: map[int]*round{}, known: map[string]map[string]bool{}}
	for i := range p.Prompts {
		if p.Prompts[i].Sentinel {
			w.prompts++
		}
	}
	return w
}

// take notes the answer to a sentinel. When it completes a round whose answers
// are those of another model it says what changed.
func (w *watch) take(it *ledger.Item, r *ledger.Reply) (from, to string, changed bool) {
	rd := w.rounds[it.Sample]
	if rd == nil {
		rd = &round{answers: map[string]string{}}
		w.rounds[it.Sample] = rd
	}
	rd.settled++
	if r.Outcome == ledger.OK {
		rd.answers[it.Prompt.ID] = strings.Join(strings.Fields(r.Text), " ")
	}
	if rd.settled < w.prompts {
		return "", "", false
	}
	delete(w.rounds, it.Sample)
	if w.unstable || len(rd.answers) < w.rule.Changed {
		return "", "", false // nothing to compare, or too little
	}
	fresh := 0
	for id, answer := range rd.answers {
		if !w.known[id][answer] {
			fresh++
		}
	}
	w.whole++
	switch {
	case w.whole == 2 && fresh > w.rule.Unstable:
		w.unstable = true
		return "", "", false
	case w.whole > 2 && fresh >= w.rule.Changed:
		if w.rule.Confirm && w.noisy && w.suspect == nil {
			w.suspect = rd
			return "", "", false
		}
		clear(w.known)
		from, to = "answers seen before", fmt.Sprintf("%d of %d answers of round %d that were not", fresh, len(rd.answers), it.Sample+1)
		if w.suspect != nil {
			to += ", as in the round before"
		}
		changed = true
	}
	if changed { // of the new model only what both rounds show is known
		w.noisy = w.suspect != nil && !maps.Equal(w.suspect.answers, rd.answers)
	} else {
		w.noisy = w.noisy || w.whole >= 2 && fresh > 0
	}
	w.know(w.suspect)
	w.know(rd)
	w.suspect = nil
	return from, to, changed
}

// know enters the answers of a round into what is known of the epoch.
func (w *watch) know(rd *round) {
	if rd == nil {
		return
	}
	for id, answer := range rd.answers {
		if w.known[id] == nil {
			w.known[id] = map[string]bool{}
		}
		w.known[id][answer] = true
	}
}

// sentinel looks at a settled attempt if it is one of a sentinel.
func (r *runner) sentinel(l *lane, it *ledger.Item, reply *ledger.Reply) []family.DriftEvent {
	if !it.Prompt.Sentinel {
		return nil
	}
	from, to, changed := l.watch.take(it, reply)
	if !changed {
		return nil
	}
	l.epoch++
	return []family.DriftEvent{{
		Target: l.target.Name, Field: fieldSentinels, From: from, To: to, Epoch: l.epoch, Accepted: r.opt.OnDrift == DriftSplit,
	}}
}

// changed is the end of a run one of whose targets turned out to be another model.
func (r *runner) changed(target, why string) *Error {
	return &Error{
		Code: CodeDrift, Target: target,
		Happened: fmt.Sprintf("%s is no longer the model it was: %s", target, why),
		Do:       "Plan a new case for the new model, or go on with --on-drift split --accept-changes, which is listed as a deviation",
	}
}

// whyDrift says how a change showed that was not accepted.
func whyDrift(d *family.DriftEvent) string {
	if d.Field == fieldSentinels {
		return "its sentinels met " + d.To
	}
	return fmt.Sprintf("answered by %q, not by %q", d.To, d.From)
}
