package verify

import (
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/reports/verify/integrity"
)

// judge checks that the plan's judge was asked what the plan says, about the replies
// that are in the case, and told nothing else.
func (v *verifier) judge() {
	c := v.sealed.Case
	if c.Plan().Judge == nil {
		return
	}
	const check = "judge blinded"
	found, err := family.CheckLabels(c)
	switch {
	case err != nil:
		v.fail(integrity.ExitDiffers, CodeJudge, check, "ledger.jsonl", -1, "%s", err)
	case found.Withheld > 0:
		v.line(LevelNote, CodeJudge, check, "%s derived again from the plan and the replies; NOT CHECKED are %d, of which a part is withheld",
			plural(int64(found.Requests), "request"), found.Withheld)
	default:
		v.line(LevelOK, CodeJudge, check, "%s derived again from the plan and the replies, word for word", plural(int64(found.Requests), "request"))
	}
}
