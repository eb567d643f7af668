package model

import (
	"slices"
	"strconv"

	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
)

// unlisted reports whether a finding under a key that was committed to in time asked what
// was not.
func unlisted(f *ledger.Finding) bool {
	return f.Committed != nil && f.Committed.Lists != "" && f.Committed.Lists != family.ListCommitted
}

// alternatives lists what else would explain a dependence on the key.
func (b *builder) alternatives() []Answer {
	t := b.text
	answer := func(name, state, text string) Answer {
		return Answer{Name: t.say("alt." + name + ".name"), Claim: t.say("alt." + name + ".claim"), Answer: text, State: state}
	}
	rivals, controls := b.of(ledger.Rival, true), b.of(ledger.Control, true)
	chance := answer("chance", StateTested, t.say("alt.chance.nop"))
	var holm *float64
	for _, f := range rivals {
		if f.HolmLog10P != nil && (holm == nil || *f.HolmLog10P < *holm) {
			holm = f.HolmLog10P
		}
	}
	exact := slices.ContainsFunc(rivals, func(f *ledger.Finding) bool { return f.Tier == ledger.Exact })
	if holm != nil {
		key := "alt.chance.answer"
		if !exact {
			key, chance.State = "alt.chance.exploratory", StateBounded
			if slices.ContainsFunc(rivals, unlisted) {
				key = "alt.chance.unlisted"
			}
		}
		chance.Answer = t.say(key, "p", b.text.logp(*holm), "alpha", b.text.logp(b.alpha), "m", count(b.text, len(b.plan.Tests), "test"))
	}
	convergence := answer("convergence", StateDesign, t.say("alt.convergence.nocontrol"))
	if best, p := strongest(controls); best != nil {
		convergence.State = StateTested
		convergence.Answer = t.say("alt.convergence.answer", "n", count(b.text, len(controls), "test"), "p", b.text.logp(p))
	}
	if !exact {
		convergence.State = StateBounded
	}
	var keys []string
	for _, k := range b.plan.Keys {
		s := b.specs[k.ID]
		words := k.ID + " (" + s.Scheme
		if s.Label != "" {
			words += t.say("key.label", "label", s.Label)
		}
		keys = append(keys, words+")")
	}
	return []Answer{
		chance,
		convergence,
		answer("quoting", StateDesign, t.say("alt.quoting.answer", "n", b.text.group(b.dropped().Prompt))),
		answer("forwarding", StateOpen, t.say("alt.forwarding.answer")),
		answer("weights", StateOpen, t.say("alt.weights.answer")),
		answer("retrieval", StateOpen, t.say("alt.retrieval.answer")),
		answer("web", StateOpen, t.say("alt.web.answer", "keys", b.text.list(keys))),
		answer("leak", StateOpen, t.say("alt.leak.answer")),
		answer("wrapper", StateBounded, t.say("alt.wrapper.answer", "changes", b.changes())),
	}
}

// dropped sums the positions that no finding scored.
func (b *builder) dropped() ledger.Dropped {
	var d ledger.Dropped
	for _, f := range b.f.Findings {
		d.Prompt += f.Dropped.Prompt
		d.Repeat += f.Dropped.Repeat
	}
	return d
}

// changes says how often a target changed its name, fingerprint or provider.
func (b *builder) changes() string {
	n := 0
	for _, s := range b.rec.targets {
		n += s.changes()
	}
	if n == 0 {
		return b.text.say("changes.none")
	}
	return count(b.text, n, "change")
}

// limitations answers, by name, what an opposing expert attacks.
func (b *builder) limitations() []Answer {
	t := b.text
	answer := func(name, state, text string) Answer {
		return Answer{Name: t.say("lim." + name + ".name"), Claim: t.say("lim." + name + ".claim"), Answer: text, State: state}
	}
	out := []Answer{
		b.forking(answer),
		b.stopping(answer),
		b.multiplicity(answer),
		answer("repeats", StateDesign, t.say("lim.repeats.answer", "n", b.text.group(b.dropped().Repeat))),
		b.theory(answer),
		answer("controls", StateDesign, t.say("lim.controls.answer", "n", count(b.text, len(b.of(ledger.Control, false)), "test"))),
		answer("contamination", StateBounded, t.say("lim.contamination.answer")),
		b.retries(answer),
		b.drift(answer),
		b.params(answer),
		b.keyChosen(answer),
		answer("fabricated", StateOpen, t.say("lim.fabricated.answer", "ids", b.text.group(b.rec.replyIDs), "replies", b.text.group(b.analysed()))),
		b.bugs(answer),
		answer("paraphrase", StateBounded, t.say("lim.paraphrase.answer")),
	}
	if b.plan.Judge != nil {
		out = append(out, answer("misread", StateBounded, t.say("lim.misread.answer")))
	}
	return out
}

type answerFunc func(name, state, text string) Answer

func (b *builder) forking(answer answerFunc) Answer {
	t := b.text
	deviations := t.say("deviations.none")
	if n := len(b.f.Deviations); n > 0 {
		deviations = t.say("deviations.some", "n", count(b.text, n, "deviation"))
	}
	state, order := StateDesign, t.say("lim.forking.stamp")
	switch {
	case len(b.imported()) > 0:
		state, order = StateBounded, t.say("lim.forking.imported")
	case b.planStamp() == "":
		state, order = StateBounded, t.say("lim.forking.record")
	}
	said := []string{"plan", b.f.PlanSHA256[:16], "sealed", b.text.time(b.rec.sealed), "order", order, "deviations", deviations}
	if b.rec.firstIntent.IsZero() {
		return answer("forking", state, t.say("lim.forking.unsent", said...))
	}
	return answer("forking", state, t.say("lim.forking.answer", append(said, "first", b.text.time(b.rec.firstIntent))...))
}

func (b *builder) retries(answer answerFunc) Answer {
	text := b.text.say("lim.retries.answer", "retried", b.text.group(b.rec.failed))
	if len(b.imported()) > 0 {
		return answer("retries", StateBounded, text+" "+b.text.say("lim.retries.imported"))
	}
	return answer("retries", StateDesign, text)
}

func (b *builder) drift(answer answerFunc) Answer {
	changes := sentenceCase(b.changes())
	if apart := b.apart(); len(apart) > 0 {
		return answer("drift", StateBounded, b.text.say("lim.drift.apart", "changes", changes, "targets", b.text.list(apart)))
	}
	return answer("drift", StateTested, b.text.say("lim.drift.answer", "changes", changes))
}

func (b *builder) params(answer answerFunc) Answer {
	text := b.text.say("lim.params.answer", "requests", b.text.group(b.rec.requests), "variants", count(b.text, len(b.rec.variants), "set"))
	switch {
	case len(b.imported()) == 0:
		return answer("params", StateTested, text)
	case b.rec.requests == 0:
		return answer("params", StateOpen, b.text.say("lim.params.imported"))
	}
	return answer("params", StateBounded, text+" "+b.text.say("lim.params.imported"))
}

func (b *builder) stopping(answer answerFunc) Answer {
	if b.plan.Stop.OnEvidence {
		return answer("stopping", StateDesign, b.text.say("lim.stopping.anytime"))
	}
	var planned int64
	for _, a := range b.f.Accounting {
		planned += a.Planned
	}
	text := b.text.say("lim.stopping.fixed", "planned", b.text.group(planned), "analysed", b.text.group(b.analysed()))
	if len(b.imported()) > 0 {
		return answer("stopping", StateBounded, text+" "+b.text.say("lim.stopping.imported"))
	}
	return answer("stopping", StateDesign, text)
}

func (b *builder) analysed() int64 {
	var n int64
	for _, a := range b.f.Accounting {
		n += a.Analysed
	}
	return n
}

func (b *builder) multiplicity(answer answerFunc) Answer {
	primary := 0
	for _, test := range b.plan.Tests {
		if test.Primary {
			primary++
		}
	}
	return answer("multiplicity", StateDesign, b.text.say("lim.multiplicity.answer",
		"m", count(b.text, primary, "test"), "others", b.text.say("lim.multiplicity.analyses")))
}

// gates counts the tests with decoy keys, and those of them that passed the gate
// that the plan sealed.
func (b *builder) gates() (passed, tests int) {
	for _, f := range b.f.Findings {
		if f.Decoys != nil {
			tests++
			if family.GateOf(b.plan, f.Decoys) == family.GatePassed {
				passed++
			}
		}
	}
	return passed, tests
}

func (b *builder) bugs(answer answerFunc) Answer {
	text := b.text.say("lim.bugs.answer")
	if passed, tests := b.gates(); tests > 0 {
		text += " " + b.text.say("lim.bugs.decoys", "passed", strconv.Itoa(passed), "tests", count(b.text, tests, "test"))
	}
	return answer("bugs", StateBounded, text)
}

func (b *builder) theory(answer answerFunc) Answer {
	passed, tests := b.gates()
	if tests == 0 {
		return answer("theory", StateOpen, b.text.say("lim.theory.unchecked"))
	}
	return answer("theory", StateTested, b.text.say("lim.theory.answer",
		"passed", strconv.Itoa(passed), "tests", count(b.text, tests, "test")))
}

func (b *builder) keyChosen(answer answerFunc) Answer {
	inTime := 0
	for _, k := range b.plan.Keys {
		if check := b.commitment(k.ID); check != nil && check.State == "before-serving" {
			inTime++
		}
	}
	if inTime == 0 {
		return answer("key", StateOpen, b.text.say("lim.key.none"))
	}
	return answer("key", StateDesign, b.text.say("lim.key.exact",
		"committed", strconv.Itoa(inTime), "keys", count(b.text, len(b.plan.Keys), "key")))
}

// commitment is what the analysis found out about a key's commitment.
func (b *builder) commitment(key string) *ledger.CommitmentCheck {
	for i := range b.f.Findings {
		if f := &b.f.Findings[i]; f.Key == key && f.Committed != nil {
			return f.Committed
		}
	}
	return nil
}

// sentenceCase makes a first letter large that is plain Latin.
func sentenceCase(s string) string {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return string(s[0]-'a'+'A') + s[1:]
}
