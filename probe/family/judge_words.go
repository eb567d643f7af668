package family

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/stillmark/stillmark/probe/ledger"
)

// The sentences about a judge. Numbers are set into them.
const (
	judgeSaid    = "The judge {judge}, answering as {models}, gave a label to {labelled} of {replies} replies by the rubric {rubric}; {unreadable} of its answers are none of the labels, and {missing} are missing."
	judgeSelf    = "Asked a second time about {n} of them, with the labels in another order, it gave the same label to {agreement}."
	judgeRules   = "It gave the label that the rules give to {agreement}; apart: {groups}."
	judgeGap     = "Judge and rules agree on a share of the target's replies that differs from that of the controls' by {gap} (99 % interval from {lo} to {hi})."
	judgeNobody  = "nobody (no answer)"
	judgeAgree   = "{agree} of {n} (a share of {share}, from {lo} to {hi})"
	judgeKappa   = "{agree} of {n} (a share of {share}, from {lo} to {hi}; Cohen's kappa {kappa}, from {klo} to {khi})"
	groupRival   = "the target's"
	groupOurs    = "our model's"
	groupControl = "the controls'"
	groupTeacher = "other teachers'"
	groupStudent = "students'"
)

// judgeGroups are the groups of replies that are compared apart, by their names in
// findings.
var judgeGroups = map[string]string{"rival": groupRival, "ours": groupOurs, "controls": groupControl, "teachers": groupTeacher, "students": groupStudent}

// judgeWords are all templates of this file.
func judgeWords() []string {
	return append([]string{judgeSaid, judgeSelf, judgeRules, judgeGap, judgeNobody, judgeAgree, judgeKappa}, slices.Sorted(maps.Values(judgeGroups))...)
}

// SayJudge words how far the labels of a finding can be relied on; nothing where rules
// read the replies.
func (b *Book) SayJudge(f *ledger.Finding) []string {
	j := f.Judge
	if j == nil || j.Rubric == "" {
		return nil
	}
	models := slices.Sorted(maps.Keys(j.Models))
	if len(models) == 0 {
		models = []string{b.phrase(judgeNobody)}
	}
	whole := func(n int64) string { return strconv.FormatInt(n, 10) }
	out := []string{b.fill(judgeSaid,
		"{judge}", j.Judge, "{models}", strings.Join(models, ", "), "{labelled}", whole(j.Labelled), "{replies}", whole(j.Replies),
		"{rubric}", j.Rubric, "{unreadable}", whole(j.Unreadable), "{missing}", whole(j.Missing))}
	if j.Self.N > 0 {
		out = append(out, b.fill(judgeSelf, "{n}", whole(j.Self.N), "{agreement}", b.agreement(&j.Self)))
	}
	var groups []string
	for i := range j.Rules {
		if r := &j.Rules[i]; i > 0 {
			groups = append(groups, b.phrase(judgeGroups[r.Of])+" "+b.agreement(r))
		}
	}
	if len(groups) > 0 {
		out = append(out, b.fill(judgeRules, "{agreement}", b.agreement(&j.Rules[0]), "{groups}", strings.Join(groups, ", ")))
	}
	if g := j.Gap; g != nil {
		out = append(out, b.fill(judgeGap, "{gap}", b.signed(g.Value), "{lo}", b.signed(g.Lo), "{hi}", b.signed(g.Hi)))
	}
	return out
}

func (b *Book) agreement(r *ledger.Reliability) string {
	pairs := []string{
		"{agree}", strconv.FormatInt(r.Agree, 10), "{n}", strconv.FormatInt(r.N, 10),
		"{share}", b.cents(r.Share), "{lo}", b.cents(r.ShareLo), "{hi}", b.cents(r.ShareHi),
	}
	if r.Kappa == nil {
		return b.fill(judgeAgree, pairs...)
	}
	return b.fill(judgeKappa, append(pairs, "{kappa}", b.cents(*r.Kappa), "{klo}", b.cents(*r.KappaLo), "{khi}", b.cents(*r.KappaHi))...)
}

// signed writes a difference of shares with its sign.
func (b *Book) signed(v float64) string {
	if s := b.cents(v); v < 0 || s == b.cents(0) {
		return s
	}
	return "+" + b.cents(v)
}

// cents writes a share with three decimals.
func (b *Book) cents(v float64) string {
	s := strconv.FormatFloat(v, 'f', 3, 64)
	if s == "-0.000" {
		s = "0.000"
	}
	return b.decimal(s)
}
