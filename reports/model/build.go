package model

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"

	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// Options are what a report needs beside the case and the findings.
type Options struct {
	Report         string               // id: the folder under reports/
	Analysis       string               // id: the folder under analysis/
	FindingsSHA256 string               // of analysis/<id>/findings.json
	Keys           []*watermark.Key     // for the exhibits; a test whose key is missing has none
	Tokenizer      family.OpenTokenizer // of Keys; nil means the built-in ones
	Program        ledger.Build         // that writes the report
	Lang           string               // of all sentences, as in [Languages]; "" is English
}

// Build makes the report of a case. It sees the case as the analysis saw it:
// events that came after it are not read. The ledger is read once for the
// record and the replies twice for the exhibits, one at a time.
func Build(ctx context.Context, c *ledger.Case, f *ledger.Findings, opt Options) (*Report, error) {
	c = c.Prefix(f.Events)
	p := c.Plan()
	if p == nil {
		return nil, fmt.Errorf("build report: the case has no plan")
	}
	if f.PlanSHA256 != c.PlanSHA256() {
		return nil, fmt.Errorf("build report: the findings are about another plan (%.12s, the case has %.12s); analyze this case first", f.PlanSHA256, c.PlanSHA256())
	}
	t, err := tableOf(opt.Lang)
	if err != nil {
		return nil, fmt.Errorf("build report: %w", err)
	}
	opt.Lang = cmp.Or(opt.Lang, family.English)
	book, err := family.BookOf(opt.Lang)
	if err != nil {
		return nil, fmt.Errorf("build report: %w", err)
	}
	rec, err := gather(c, t)
	if err != nil {
		return nil, fmt.Errorf("build report: %w", err)
	}
	exhibits, replyIDs, err := chooseExhibits(ctx, c, f, opt.Keys, opt.Tokenizer, t)
	if err != nil {
		return nil, fmt.Errorf("build report: %w", err)
	}
	rec.replyIDs = replyIDs
	b := &builder{c: c, plan: p, f: f, opt: opt, rec: rec, text: t, book: book, exhibits: exhibits}
	if err := b.prepare(); err != nil {
		return nil, fmt.Errorf("build report: %w", err)
	}
	r := b.report()
	inertAll(reflect.ValueOf(r))
	return r, nil
}

// Encode returns report.json: two spaces, no HTML escapes, a newline at the end.
func Encode(r *Report) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return nil, fmt.Errorf("encode report: %w", err)
	}
	return b.Bytes(), nil
}

// Decode reads what [Encode] wrote, and nothing else.
func Decode(data []byte) (*Report, error) {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	if head.Format > Format {
		return nil, fmt.Errorf("read report: format %d, this program knows %d: %w", head.Format, Format, ledger.ErrNewerFormat)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	r := new(Report)
	if err := d.Decode(r); err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	again, err := Encode(r)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, data) {
		return nil, fmt.Errorf("read report: the bytes are not in the form in which reports are written")
	}
	return r, nil
}

// builder holds what the sections share.
type builder struct {
	c        *ledger.Case
	plan     *ledger.Plan
	f        *ledger.Findings
	opt      Options
	rec      *record
	text     text
	book     *family.Book // of the sentences about findings
	exhibits []Exhibits

	alpha float64                   // log10 of the family-wise level
	specs map[string]watermark.Spec // by key id
	laws  map[string]evidence.Law
	roles map[string]ledger.Role
}

func (b *builder) prepare() error {
	b.alpha = math.Log10(b.plan.Alpha)
	b.specs, b.laws, b.roles = map[string]watermark.Spec{}, map[string]evidence.Law{}, map[string]ledger.Role{}
	for _, t := range b.plan.Targets {
		b.roles[t.Name] = t.Role
	}
	for _, k := range b.plan.Keys {
		var s watermark.Spec
		if err := json.Unmarshal(k.Spec, &s); err != nil {
			return fmt.Errorf("spec of key %s: %w", k.ID, err)
		}
		b.specs[k.ID] = s
		if s.Scheme == watermark.Canary {
			continue // it marks no text, so a token has no law
		}
		// The law is a function of the public spec; any key of it will do.
		m, err := watermark.DecoyKey([32]byte{}, 0, s)
		if err != nil {
			return fmt.Errorf("spec of key %s: %w", k.ID, err)
		}
		b.laws[k.ID] = m.Law()
	}
	return nil
}

func (b *builder) report() *Report {
	t := b.text
	r := &Report{
		Format: Format,
		Lang:   b.opt.Lang,
		Title:  b.title(),
		Seal: SealStrip{
			CaseID: b.f.CaseID, AnalysisID: b.opt.Analysis,
			PlanSHA256: b.f.PlanSHA256, LedgerHead: b.f.LedgerHead, Events: b.f.Events,
			FindingsSHA256: b.opt.FindingsSHA256,
			Command:        VerifyCommand(b.stamps()),
		},
		Exploratory: []TestRow{},
		Tests:       []TestRow{},
		Exhibits:    b.exhibits,
		Build:       b.opt.Program,
	}
	if b.plan.Demo {
		r.Demo = t.say("demo")
	}
	if b.plan.Rehearsal {
		r.Rehearsal = t.say("rehearsal", "set", b.plan.Set)
	}
	for i := range b.f.Findings {
		row := b.row(&b.f.Findings[i])
		if row.Primary && row.Tier != ledger.Exploratory {
			r.Tests = append(r.Tests, row)
		} else {
			r.Exploratory = append(r.Exploratory, row)
		}
	}
	r.Summary = b.summary()
	r.Plots = b.plots()
	r.Method = b.method()
	r.Prereg = b.prereg()
	r.Acquisition = b.acquisition()
	r.Accounting = b.accounting()
	r.Explain = b.alternatives()
	r.Custody = b.custody()
	r.Limits = b.limitations()
	r.Glossary = b.glossary()
	r.Name(b.opt.Report)
	return r
}

// title asks the question of the case. Many names are counted.
func (b *builder) title() string {
	rivals := b.targets(ledger.Rival)
	if len(rivals) > 2 {
		return b.text.say("title.many", "n", b.text.group(int64(len(rivals))))
	}
	return b.text.say("title", "rivals", b.text.list(rivals))
}

// targets names the targets of a role in the plan's order.
func (b *builder) targets(role ledger.Role) []string {
	return b.where(func(t *ledger.Target) bool { return t.Role == role })
}

// imported lists the targets whose replies this program did not acquire.
func (b *builder) imported() []string {
	return b.where(func(t *ledger.Target) bool { return t.Imported != nil })
}

// apart lists the targets that were not asked in this run.
func (b *builder) apart() []string {
	return b.where(func(t *ledger.Target) bool { return !t.Live() })
}

// where lists the names of some targets.
func (b *builder) where(is func(*ledger.Target) bool) []string {
	var names []string
	for i := range b.plan.Targets {
		if t := &b.plan.Targets[i]; is(t) {
			names = append(names, t.Name)
		}
	}
	return names
}

// of lists the findings of a role; primary ones only, if asked.
func (b *builder) of(role ledger.Role, primary bool) []*ledger.Finding {
	var out []*ledger.Finding
	for i := range b.f.Findings {
		if f := &b.f.Findings[i]; f.Role == role && (f.Primary || !primary) {
			out = append(out, f)
		}
	}
	return out
}

// row lays a finding out with its words and the controls under the same key.
func (b *builder) row(f *ledger.Finding) TestRow {
	said := b.book.Say(f, b.alpha)
	row := TestRow{
		Test: f.Test, Family: f.Family, Target: f.Target, Role: f.Role, Key: f.Key,
		Scheme: f.Scheme, PRF: f.PRF, Tier: f.Tier, Mode: f.Mode, Primary: f.Primary,
		Null: b.book.Phrase(f.Null, f), Hypothesis: b.book.Phrase(f.Hypothesis, f),
		Replies: f.Replies, Tokens: f.Tokens, N: f.N, Dropped: f.Dropped, Weights: f.Weights,
		Score: f.Score, NullMean: f.Mean, NullSD: f.SD,
		Effect: measured(f.Effect), EffectLo: measured(f.EffectLo), EffectHi: measured(f.EffectHi), EffectUnit: b.book.Phrase(f.EffectUnit, f),
		Log10P: f.Log10P, Method: b.book.Phrase(f.Log10PMethod, f), Estimate: f.Log10PEstimate,
		PlainScore: f.PlainScore, PlainP: f.PlainLog10P, Log10E: f.Log10E,
		Holm: f.HolmLog10P, M: f.M, Threshold: math.Min(b.alpha, family.Log10Accusation),
		Power: f.Power, Commitment: f.Committed, Verdict: f.Verdict,
		Headline: said.Headline, Sentence: said.Meaning,
		Warnings: orEmpty(said.Warnings), NotShown: orEmpty(said.NotShown), Controls: []ControlRow{},
	}
	if b.families() {
		row.FamilyName = b.familyName(f.Family)
	}
	row.Power.EffectUnit = b.book.Phrase(f.Power.EffectUnit, f)
	row.Statistic, row.Extractor = b.book.Phrase(f.Statistic, f), f.Extractor
	row.Judge, row.JudgeSays = f.Judge, b.book.SayJudge(f)
	row.Parts, row.Comparison, row.Earlier, row.Joint, row.Epochs = b.parts(f), b.comparison(f), b.earlier(f), f.Joint, f.Epochs
	row.Text, row.Beside = f.Text, f.Beside
	if d := f.Decoys; d != nil {
		row.Decoys = &DecoyRow{
			N: d.N, RankP: d.RankP, SDRatio: d.SDRatio, SDRatioLo: d.SDRatioLo, SDRatioHi: d.SDRatioHi,
			Tolerance: d.Tolerance, KSP: d.KSP, Pass: d.Pass,
		}
	}
	if f.Role == ledger.Rival && f.Tier != ledger.Comparative {
		for _, g := range b.of(ledger.Control, false) {
			if g.Key != f.Key || g.Family != f.Family || g.Primary != f.Primary {
				continue
			}
			control := ControlRow{
				Target: g.Target, N: g.N, Effect: measured(g.Effect), EffectLo: measured(g.EffectLo), EffectHi: measured(g.EffectHi),
				Log10P: g.Log10P, Log10E: g.Log10E,
			}
			if g.Decoys != nil {
				control.RankP = &g.Decoys.RankP
			}
			row.Controls = append(row.Controls, control)
		}
	}
	return row
}

// measured is an effect, nil where nothing was measured.
func measured(effect float64) *float64 {
	if math.IsNaN(effect) {
		return nil
	}
	return &effect
}

// families reports whether the case has other families than E1.
func (b *builder) families() bool {
	return slices.ContainsFunc(b.f.Findings, func(f ledger.Finding) bool { return f.Family != family.Radioactivity })
}

// scored reports whether the case has a test of E1, which reads every reply.
func (b *builder) scored() bool {
	return slices.ContainsFunc(b.f.Findings, func(f ledger.Finding) bool { return f.Family == family.Radioactivity })
}

func (b *builder) familyName(id string) string {
	if fam, ok := family.ByID(id); ok {
		return b.book.Phrase(fam.Name, nil)
	}
	return id
}

// parts, comparison and earlier are a finding's own, their words in the report's
// language.
func (b *builder) parts(f *ledger.Finding) []ledger.Part {
	parts := slices.Clone(f.Parts)
	for i := range parts {
		parts[i].Name = b.book.Phrase(parts[i].Name, f)
	}
	return parts
}

func (b *builder) comparison(f *ledger.Finding) *ledger.Comparison {
	if f.Comparison == nil {
		return nil
	}
	c := *f.Comparison
	c.NotControls = b.book.Phrases(c.NotControls, f)
	c.Traits = slices.Clone(c.Traits)
	for i := range c.Traits {
		t := &c.Traits[i]
		t.Name, t.Rival, t.Ours = b.book.Phrase(t.Name, f), b.book.Phrase(t.Rival, f), b.book.Phrase(t.Ours, f)
	}
	if c.Permutation != nil {
		p := *c.Permutation
		p.Null = b.book.Phrase(p.Null, f)
		c.Permutation = &p
	}
	return &c
}

func (b *builder) earlier(f *ledger.Finding) *ledger.RunResult {
	if f.Earlier == nil {
		return nil
	}
	r := *f.Earlier
	r.Apart = b.book.Phrase(r.Apart, f)
	return &r
}

// orEmpty makes a nil list an empty one, which JSON writes as [].
func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func (b *builder) summary() Summary {
	t := b.text
	var planned, analysed, sent int64
	apart := b.apart()
	for _, a := range b.f.Accounting {
		planned, analysed = planned+a.Planned, analysed+a.Analysed
		if !slices.Contains(apart, a.Target) {
			sent += a.Sent
		}
	}
	s := Summary{Question: t.say("question"), Results: []Result{}, NotShown: []string{}}
	asked := []string{"prompts", b.text.group(int64(len(b.plan.Prompts))), "samples", count(b.text, b.plan.Samples, "sample")}
	key := "done.unsent"
	if len(apart) < len(b.plan.Targets) {
		key, asked = "done.sent", append(asked, "sent", b.text.group(sent), "targets", b.parties())
		if len(apart) > 0 {
			key = "done.apart"
		}
	}
	s.Done = append(s.Done, t.say(key, asked...))
	if names := b.imported(); len(names) > 0 {
		s.Done = append(s.Done, t.say("done.imported", "targets", b.text.list(names)))
	}
	if names := b.where(func(t *ledger.Target) bool { return t.Cached != nil }); len(names) > 0 {
		s.Done = append(s.Done, t.say("done.cached", "targets", b.text.list(names)))
	}
	s.Done = append(s.Done, t.say("done.analysed", "analysed", b.text.group(analysed), "planned", b.text.group(planned)))
	m := count(b.text, len(b.plan.Tests), "test")
	if b.scored() {
		key := "done.scored"
		if len(b.where(func(t *ledger.Target) bool { return t.Imported != nil && t.Imported.IDs })) > 0 {
			key = "done.ids"
		}
		s.Done = append(s.Done, t.say(key, "keys", count(b.text, len(b.laws), "secret"), "m", m, "before", b.before()))
	} else {
		s.Done = append(s.Done, t.say("done.declared", "m", m, "before", b.before()))
	}
	if b.families() {
		var names []string
		for _, x := range b.familyInfos() {
			names = append(names, x.ID+" ("+x.Name+")")
		}
		s.Done = append(s.Done, t.say("done.families", "families", b.text.list(names)))
	}
	if after := b.plan.After; after != nil {
		s.Done = append(s.Done, t.say("done.after", "case", after.CaseID, "first", b.text.date(after.First), "last", b.text.date(after.Last)))
	}
	if n := b.decoys(); n > 0 {
		s.Done = append(s.Done, t.say("done.decoys", "n", b.text.group(int64(n))))
	} else {
		s.Done = append(s.Done, t.say("done.nodecoys"))
	}
	for _, f := range b.of(ledger.Rival, true) {
		s.Results = append(s.Results, b.result(f))
		for _, line := range b.book.Say(f, b.alpha).NotShown {
			if !slices.Contains(s.NotShown, line) {
				s.NotShown = append(s.NotShown, line)
			}
		}
	}
	s.Ladder = b.ladder()
	s.Controls = b.controls()
	s.Limitation = t.say(b.limitation())
	return s
}

// ladder words where the targets stand.
func (b *builder) ladder() []Rung {
	var out []Rung
	for i := range b.f.Ladder {
		x := &b.f.Ladder[i]
		headline, why := b.book.Stand(x)
		out = append(out, Rung{x.Target, x.Rung, orEmpty(x.Tests), orEmpty(x.Leads), headline, orEmpty(why)})
	}
	return out
}

// before says on whose word the plan came first.
func (b *builder) before() string {
	switch {
	case len(b.imported()) > 0:
		return b.text.say("before.imported")
	case b.planStamp() == "":
		return b.text.say("before.record")
	}
	return b.text.say("before.stamp")
}

// parties says who was asked in this run.
func (b *builder) parties() string {
	asked := func(role ledger.Role) int {
		return len(b.where(func(t *ledger.Target) bool { return t.Role == role && t.Live() }))
	}
	var words []string
	if rivals := asked(ledger.Rival); rivals > 0 {
		words = append(words, count(b.text, rivals, "audited"))
	}
	if controls := asked(ledger.Control); controls > 0 {
		words = append(words, count(b.text, controls, "control"))
	}
	return b.text.list(words)
}

// decoys is the largest number of decoys of any finding.
func (b *builder) decoys() int {
	n := 0
	for _, f := range b.f.Findings {
		if f.Decoys != nil {
			n = max(n, f.Decoys.N)
		}
	}
	return n
}

func (b *builder) result(f *ledger.Finding) Result {
	said := b.book.Say(f, b.alpha)
	r := Result{
		Target: f.Target, Test: f.Test, Scheme: f.Scheme, Tier: f.Tier, Verdict: f.Verdict,
		Headline: said.Headline, Sentence: said.Meaning, Measure: b.text.say("measure.none"),
		Effect: measured(f.Effect), EffectLo: measured(f.EffectLo), EffectHi: measured(f.EffectHi), Unit: b.book.Phrase(f.EffectUnit, f),
	}
	switch {
	case f.HolmLog10P != nil:
		key := "measure.holm"
		if f.Mode == ledger.ModeAnytime {
			key = "measure.holm.e"
		}
		r.Number, r.Measure = f.HolmLog10P, b.text.say(key, "m", count(b.text, f.M, "test"))
	case f.Log10E != nil:
		r.Number, r.Measure = f.Log10E, b.text.say("measure.e")
	case f.Decoys != nil:
		rank := math.Log10(f.Decoys.RankP)
		r.Number, r.Measure = &rank, b.text.say("measure.rank")
	}
	return r
}

// strongest returns the finding with the smallest log10 p before correction, and
// that number; nil where none has one. An e-value counts as p = min(1, 1/e).
func strongest(findings []*ledger.Finding) (*ledger.Finding, float64) {
	var best *ledger.Finding
	smallest := 0.0
	for _, f := range findings {
		var p float64
		switch {
		case f.Log10P != nil:
			p = *f.Log10P
		case f.Mode == ledger.ModeAnytime && f.Log10E != nil:
			p = math.Min(0, -*f.Log10E)
		default:
			continue
		}
		if best == nil || p < smallest {
			best, smallest = f, p
		}
	}
	return best, smallest
}

// controls sums the controls up in a sentence.
func (b *builder) controls() string {
	findings := b.of(ledger.Control, true)
	if len(findings) == 0 {
		return b.text.say("controls.none")
	}
	best, p := strongest(findings)
	n := count(b.text, len(findings), "test")
	if best == nil {
		return b.text.say("controls.nop", "n", n)
	}
	reached := b.text.list(nil)
	if k := b.reached(findings); k > 0 {
		reached = b.text.group(int64(k))
	}
	return b.text.say("controls.some", "n", n, "p", b.text.logp(p), "target", best.Target, "reached", reached)
}

// reached counts findings at or beyond the threshold.
func (b *builder) reached(findings []*ledger.Finding) int {
	n := 0
	for _, f := range findings {
		if f.HolmLog10P != nil && *f.HolmLog10P <= math.Min(b.alpha, family.Log10Accusation) {
			n++
		}
	}
	return n
}

// limitation chooses the one that a reader of the first page must not miss.
func (b *builder) limitation() string {
	if b.plan.Demo {
		return "limitation.demo"
	}
	if b.plan.Rehearsal {
		return "limitation.rehearsal"
	}
	has := map[ledger.Verdict]bool{}
	for _, f := range b.of(ledger.Rival, true) {
		has[f.Verdict] = true
	}
	switch {
	case has[ledger.VerdictDependence] || has[ledger.VerdictSingleRun]:
		return "limitation.positive"
	case has[ledger.VerdictExploratory] || has[ledger.VerdictWeak]:
		return "limitation.signal"
	case has[ledger.VerdictWithheld]:
		return "limitation.withheld"
	case has[ledger.VerdictUnverified]:
		return "limitation.unverified"
	}
	return "limitation.none"
}
