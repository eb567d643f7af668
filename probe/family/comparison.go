package family

import "github.com/stillmark/stillmark/probe/ledger"

// minVendors is how many vendors the controls of an evidential run come from: with
// fewer, kin may stand for many.
const minVendors = 8

// JudgeComparison words a comparative result: rank 1 among at least
// [ledger.MinControls] controls is an internal lead, and nothing at this tier is
// ever more.
func JudgeComparison(c *ledger.Comparison) ledger.Verdict {
	switch {
	case c == nil:
		return ledger.VerdictInsufficient
	case len(c.Controls) < ledger.MinControls:
		return ledger.VerdictFewControls
	case c.Rank == 1:
		return ledger.VerdictLead
	}
	return ledger.VerdictNoLead
}
