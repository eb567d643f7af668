package family

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// labelled is one reply that a judge was to label: the numbers of the labels that it
// gave, and of the one that the rules give.
type labelled struct {
	target *ledger.Target
	prompt *ledger.Prompt
	shown  bool // false: it says nothing that could be labelled
	rules  int
	given  [ledger.Passes]int
}

// What a label is that is none.
const (
	unlabelled = -2 // the judge was not asked, or did not answer
	unreadable = -1 // it answered something else
)

// labels are what the judge of a case said.
type labels struct {
	jury   *Jury
	of     map[string]*labelled // by the id of the item whose reply it is
	order  []*labelled          // by target, in the order of the plan
	models map[string]int64     // that answered, as they named themselves
	kin    string               // a target that named itself as the judge did
}

// readLabels reads what the judge said of a case's replies, and by what rules these are
// read beside it.
func (a *analysis) readLabels(ctx context.Context) (*labels, error) {
	jury, err := NewJury(a.plan)
	if err != nil {
		return nil, err
	}
	if jury == nil {
		return nil, fmt.Errorf("the plan has a test that reads the labels of a judge, but no judge")
	}
	l := &labels{jury: jury, of: map[string]*labelled{}, models: map[string]int64{}}
	for _, g := range a.order {
		var shown []settled
		for s := range g.settled() {
			if s.class == ledger.OK && jury.Labels(s.prompt) {
				shown = append(shown, s)
			}
		}
		ids, found := make([]string, len(shown)), make([]*labelled, len(shown))
		err := onAllCores(len(shown), func(i int) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			r, err := shown[i].answer()
			if err != nil {
				return err
			}
			x, err := reading.Parse(r.Item.Prompt.Reading)
			if err != nil {
				return err
			}
			ids[i] = r.Item.ID
			found[i] = &labelled{
				target: g.target, prompt: r.Item.Prompt, shown: jury.Shows(&r.Reply), given: [ledger.Passes]int{unlabelled, unlabelled},
				rules: byRules(jury.rubrics[r.Item.Prompt].Name, x, r.Reply.Text),
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		for i, f := range found {
			l.of[ids[i]] = f
			l.order = append(l.order, f)
		}
	}
	if err := a.c.Labels(l.enter); err != nil {
		return nil, fmt.Errorf("read the judge's labels: %w", err)
	}
	for _, g := range a.order {
		for said := range g.accounting.Models {
			for model := range l.models {
				if SameModel(&ledger.Target{Model: said}, &ledger.Target{Model: model}) && (l.kin == "" || g.target.Name < l.kin) {
					l.kin = g.target.Name
				}
			}
		}
	}
	return l, nil
}

// enter takes over one answer of the judge.
func (l *labels) enter(rec ledger.ReplyRecord) error {
	r := Decode(rec)
	if r.Model != "" {
		l.models[r.Model]++
	}
	f := l.of[rec.Item.Of()]
	if f == nil {
		return nil
	}
	at := &f.given[rec.Item.Label-1]
	if *at = unreadable; r.Outcome == ledger.OK {
		*at = ParseLabel(l.jury.rubrics[f.prompt].Labels, r.Text)
	}
	return nil
}

// byRules is the label that the rules give a reply, by the name of the rubric; unlabelled
// where they cannot tell.
func byRules(rubric string, x *reading.Reading, text string) int {
	switch rubric {
	case "refusal":
		return levelOf(text)
	case "trap":
		answer := plain(text)
		switch {
		case mentions(x.Accept, answer):
			return trapCorrects
		case mentions(x.Reject, answer):
			return trapGoesAlong
		}
		return trapNeither
	}
	return unlabelled
}

// The labels of the rubric trap.
const (
	trapCorrects = iota
	trapGoesAlong
	trapNeither
)

// label is what the judge read in a reply, if the test reads by the judge.
func (in *Input) label(a *Answer) (label int, ok bool) {
	f := in.judge.of[a.Item.ID]
	if f == nil || f.given[0] < 0 {
		return 0, false
	}
	return f.given[0], true
}

// unlabelled counts the replies of a target to a prompt that have no label.
func (l *labels) unlabelled(t *ledger.Target, count func(q *ledger.Prompt)) {
	for _, f := range l.order {
		if f.target == t && f.given[0] < 0 {
			count(f.prompt)
		}
	}
}

// missing counts the replies that were to be labelled and were not.
func (l *labels) missing() (missing, of int) {
	for _, f := range l.order {
		if f.shown {
			of++
			if f.given[0] == unlabelled {
				missing++
			}
		}
	}
	return missing, of
}

// Thresholds of what a judge's labels are worth, in kappa. Krippendorff (Content
// Analysis, 2nd ed. 2004, ch. 11) asks for .8 before conclusions are drawn from labels,
// and for .667 before tentative ones. One reader that does not reach .8 with itself at
// temperature 0 is none; two that read differently, by rules and by judgement, are held
// to the lower one.
const (
	kappaSelf  = .8
	kappaRules = .667
	// fewTwice replies with two labels that agree throughout still leave a share of
	// agreement of 84 % within Wilson's interval of 95 %: fewer tell nothing.
	fewTwice = 20
	// unreadShare of the replies without a label is more than the samples of one prompt
	// in twenty; what it could hide is bounded with the missing replies.
	unreadShare = .05
)

// describe adds to the finding of a test that reads labels how good these are.
func (l *labels) describe(in *Input, out *Output) error {
	var read []*labelled
	clusters := map[*ledger.Prompt]int{}
	r, err := in.readings()
	if err != nil {
		return err
	}
	j := &ledger.JudgeFinding{Judge: l.jury.judge.Target.Name, Models: l.models}
	var rubric *ledger.Rubric
	for _, f := range l.order {
		x := l.jury.rubrics[f.prompt]
		if !f.shown || !in.Test.Reads(f.prompt) || f.target.Role == ledger.Rival && f.target != in.Target || r.of[f.prompt] == nil || !Judged(in.Test.Family, r.of[f.prompt]) {
			continue
		}
		rubric = x
		clusters[f.prompt] = r.item[f.prompt]
		read = append(read, f)
		j.Replies++
		switch f.given[0] {
		case unlabelled:
			j.Missing++
		case unreadable:
			j.Unreadable++
		default:
			j.Labelled++
		}
	}
	out.Finding.Judge = j
	out.Finding.Extractor = "a judge's labels"
	out.Warnings = append(out.Warnings, WarnJudge)
	if rubric == nil {
		return nil
	}
	j.Rubric = rubric.Name + "-" + rubric.Version
	out.Finding.Extractor += ", by the rubric " + j.Rubric
	table := func(of string, keep func(*labelled) bool, pair func(*labelled) (x, y int)) *agreements {
		t := &agreements{of: of, labels: len(rubric.Labels), cells: make([][]pairCount, len(r.items))}
		for _, f := range read {
			if x, y := pair(f); x >= 0 && y >= 0 && keep(f) {
				t.add(clusters[f.prompt], x, y)
			}
		}
		return t
	}
	all := func(*labelled) bool { return true }
	role := func(role ledger.Role) func(*labelled) bool {
		return func(f *labelled) bool { return f.target.Role == role }
	}
	rules := func(f *labelled) (int, int) { return f.given[0], f.rules }
	j.Self = table("self", all, func(f *labelled) (int, int) { return f.given[0], f.given[1] }).summary(in)
	rival, controls := table("rival", role(ledger.Rival), rules), table("controls", role(ledger.Control), rules)
	for _, t := range []*agreements{
		table("all", all, rules), rival, table("ours", role(ledger.Ours), rules), controls,
		table("teachers", role(ledger.Teacher), rules), table("students", role(ledger.Student), rules),
	} {
		if t.n > 0 {
			j.Rules = append(j.Rules, t.summary(in))
		}
	}
	j.Gap = gap(in, rival, controls)
	warn := func(on bool, w Warning) {
		if on {
			out.Warnings = append(out.Warnings, w)
		}
	}
	low := func(a *ledger.Reliability, bar float64) bool { return a.N > 0 && a.Kappa != nil && *a.Kappa < bar }
	warn(float64(j.Missing+j.Unreadable) > unreadShare*float64(j.Replies), WarnJudgeUnread)
	w, say := ofSelf(&j.Self)
	warn(say, w)
	warn(len(j.Rules) > 0 && low(&j.Rules[0], kappaRules), WarnJudgeRules)
	warn(j.Gap != nil && (j.Gap.Lo > 0 || j.Gap.Hi < 0), WarnJudgeGap)
	warn(l.kin != "", WarnJudgeKin)
	return nil
}

// ofSelf is what there is to be warned of where a judge labelled replies twice: that it was
// not seen to agree with itself, which is another thing than that it does not.
func ofSelf(r *ledger.Reliability) (w Warning, say bool) {
	switch {
	case r.N == 0:
		return WarnJudgeOnce, true
	case r.N < fewTwice || r.Kappa == nil:
		return WarnJudgeFew, true
	}
	return WarnJudgeSelf, *r.KappaHi < kappaSelf
}

// pairCount is how often two readers gave two labels.
type pairCount struct {
	x, y int
	n    float64
}

// agreements are the pairs of labels of one group of replies, by cluster.
type agreements struct {
	of     string
	labels int
	n      int64
	agree  int64
	cells  [][]pairCount
}

func (t *agreements) add(cluster, x, y int) {
	t.n++
	if x == y {
		t.agree++
	}
	cells := t.cells[cluster]
	for i := range cells {
		if cells[i].x == x && cells[i].y == y {
			cells[i].n++
			return
		}
	}
	t.cells[cluster] = append(cells, pairCount{x, y, 1})
}

// measure is the share of equal labels and Cohen's kappa (Educational and Psychological
// Measurement 20, 1960), where a cluster counts so often. Kappa is no number where both
// readers give one and the same label throughout.
func (t *agreements) measure(count []float64) (share, kappa float64) {
	first, second := make([]float64, t.labels), make([]float64, t.labels)
	n, same := 0., 0.
	for k, cells := range t.cells {
		w := 1.
		if count != nil {
			w = count[k]
		}
		for _, c := range cells {
			n += w * c.n
			first[c.x] += w * c.n
			second[c.y] += w * c.n
			if c.x == c.y {
				same += w * c.n
			}
		}
	}
	share = same / n
	chance := 0.
	for i := range first {
		chance += first[i] / n * (second[i] / n)
	}
	if chance > 1-1e-12 {
		return share, math.NaN()
	}
	return share, (share - chance) / (1 - chance)
}

// clusters counts those that hold a pair.
func (t *agreements) clusters() int {
	n := 0
	for _, c := range t.cells {
		if len(c) > 0 {
			n++
		}
	}
	return n
}

// dense drops the clusters without a pair.
func (t *agreements) dense() *agreements {
	out := *t
	out.cells = slices.DeleteFunc(slices.Clone(t.cells), func(c []pairCount) bool { return len(c) == 0 })
	return &out
}

// summary states both measures with intervals of 95 %, by the bootstrap over items; that
// of the share is no narrower than Wilson's, which has a width where all agree, too.
func (t *agreements) summary(in *Input) ledger.Reliability {
	out := ledger.Reliability{Of: t.of, N: t.n, Agree: t.agree}
	if t.n == 0 {
		return out
	}
	d := t.dense()
	same, kappa := d.measure(nil)
	resampled := evidence.Bootstrap(in.Rand("judge "+t.of), len(d.cells), resamples, 2, func(count, out []float64) { out[0], out[1] = d.measure(count) })
	iv, wilson := evidence.Percentiles(same, resampled[0], len(d.cells), resamples, effectLevel), share(t.agree, t.n)
	out.Share, out.ShareLo, out.ShareHi = finite(same), clamp(min(iv.Lo, wilson.Lo), 0, 1), clamp(max(iv.Hi, wilson.Hi), 0, 1)
	if !math.IsNaN(kappa) {
		iv := evidence.Percentiles(kappa, resampled[1], len(d.cells), resamples, effectLevel)
		lo, hi := clamp(iv.Lo, -1, 1), clamp(iv.Hi, -1, 1)
		out.Kappa, out.KappaLo, out.KappaHi = &kappa, &lo, &hi
	}
	return out
}

// gap is how much more often judge and rules agree on the rival's replies than on the
// controls', with an interval of 99 %: misreading that is not the same on both sides is
// what biases a comparison. Nil where one side has none.
func gap(in *Input, rival, controls *agreements) *ledger.Gap {
	if rival.n == 0 || controls.n == 0 {
		return nil
	}
	diff := func(count []float64) float64 {
		a, _ := rival.measure(count)
		b, _ := controls.measure(count)
		return a - b
	}
	resampled := evidence.Bootstrap(in.Rand("judge gap"), len(rival.cells), resamples, 1, func(count, out []float64) { out[0] = diff(count) })
	iv := evidence.Percentiles(diff(nil), resampled[0], min(rival.clusters(), controls.clusters()), resamples, contrastLevel)
	return &ledger.Gap{Value: finite(iv.Value), Lo: clamp(iv.Lo, -1, 1), Hi: clamp(iv.Hi, -1, 1)}
}

func clamp(v, lo, hi float64) float64 { return min(max(v, lo), hi) }
