package family

import (
	"fmt"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
)

// RunsApart is how long the claim rule wants two runs to lie apart: long enough that
// a silent update, a fault or a lucky week is not met twice.
const RunsApart = 7 * 24 * time.Hour

// join sets the same test of the first run beside a finding, and judges the two
// together where they may be: the second run scored nothing that the first did, it
// began at least [RunsApart] after the last reply of the first, and either alone
// meets every other condition of the claim rule.
func (a *analysis) join(i int, claim Claim) {
	if a.earlier == nil {
		return
	}
	f, first := &a.results[i], &a.earlier.results[i]
	g, h := a.targets[f.Target], a.earlier.targets[f.Target]
	r := &ledger.RunResult{
		CaseID: a.earlier.plan.CaseID, First: h.first, Last: h.last, N: first.N,
		Effect: first.Effect, EffectLo: first.EffectLo, EffectHi: first.EffectHi,
		Log10P: first.Log10P, Log10E: first.Log10E, HolmLog10P: first.HolmLog10P, Tier: first.Tier, Verdict: first.Verdict,
	}
	gap := g.first.Sub(h.last)
	r.Days = gap.Hours() / 24
	f.Earlier = r
	switch {
	case !a.given[i]:
		r.Apart = "the key is withheld"
	case !a.joined[i]:
		r.Apart = "this test cannot tell what the first run scored already from what is new"
	case g.first.IsZero() || h.last.IsZero():
		r.Apart = "one of the runs has no reply"
	case gap < RunsApart:
		r.Apart = fmt.Sprintf("they lie %.1f days apart, and %.0f are asked for", r.Days, RunsApart.Hours()/24)
	case g.target.Cached != nil:
		r.Apart = "the replies were collected beforehand"
	case first.Verdict == ledger.VerdictSingleRun:
		claim.Runs = 2
		f.Verdict = Judge(claim)
	}
}
