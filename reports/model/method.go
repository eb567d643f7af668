package model

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
)

// Upper 5 % and 1 % points of the normal law, for the decoys' table.
const (
	point95 = 1.6448536269514722
	point99 = 2.3263478740408408
)

func (b *builder) method() Method {
	t := b.text
	m := Method{Schemes: []SchemeInfo{}, Validation: []Validation{}}
	if b.scored() {
		for _, key := range []string{"unit", "null", "dedup", "weights"} {
			m.Paragraphs = append(m.Paragraphs, t.say("method."+key))
		}
	}
	if b.families() {
		m.Families = b.familyInfos()
		m.Paragraphs = append(m.Paragraphs, t.say("method.tiers"), t.say("method.comparative"))
	}
	if j := b.plan.Judge; j != nil {
		m.Paragraphs = append(m.Paragraphs, t.say("method.judge", "judge", j.Target.Name, "model", j.Target.Model, "url", j.Target.BaseURL,
			"share", t.Locale().Decimal(strconv.FormatFloat(100*j.Double, 'f', -1, 64))+t.say("format.percent")))
	}
	if b.plan.After != nil {
		m.Paragraphs = append(m.Paragraphs, t.say("method.runs", "days", strconv.Itoa(int(family.RunsApart.Hours()/24))))
	}
	if b.plan.Decoys.N > 0 || b.decoys() > 0 {
		m.Paragraphs = append(m.Paragraphs, t.say("method.decoys"))
	}
	for _, f := range b.f.Findings {
		if f.Decoys != nil {
			m.Paragraphs = append(m.Paragraphs, t.say("method.gate", "tol", t.Locale().Decimal(strconv.FormatFloat(100*f.Decoys.Tolerance, 'f', 1, 64))+t.say("format.percent")))
			break
		}
	}
	m.Paragraphs = append(m.Paragraphs, t.say("method.holm"), t.say("method.effect"))

	for _, k := range b.plan.Keys {
		s := b.specs[k.ID]
		law, marks := b.laws[k.ID]
		if !marks {
			continue
		}
		info := SchemeInfo{Scheme: s.Scheme, PRF: s.PRF, NullMean: law.Mean(), NullSD: math.Sqrt(law.Variance())}
		info.Statement, info.Unit = t.say("scheme.other"), ""
		if _, known := t["scheme."+s.Scheme]; known {
			info.Statement, info.Unit = t.say("scheme."+s.Scheme), t.say("unit."+s.Scheme)
		}
		if !slices.Contains(m.Schemes, info) {
			m.Schemes = append(m.Schemes, info)
		}
	}
	for i := range b.f.Findings {
		if f := &b.f.Findings[i]; f.Decoys != nil && len(f.Decoys.Scores) > 0 {
			m.Validation = append(m.Validation, validation(f))
		}
	}
	controls := b.of(ledger.Control, true)
	m.Controls = ControlRates{Tests: len(controls), Reached: b.reached(controls)}
	if best, p := strongest(controls); best != nil {
		m.Controls.Smallest, m.Controls.Test = &p, best.Test
	}
	return m
}

// familyInfos describes the families of the case, in the order of their tests.
func (b *builder) familyInfos() []FamilyInfo {
	var out []FamilyInfo
	reaches := map[string][]string{} // what a positive reaches, under each kind of key
	for i := range b.f.Findings {
		f := &b.f.Findings[i]
		at := slices.IndexFunc(out, func(x FamilyInfo) bool { return x.ID == f.Family })
		if at < 0 {
			info := FamilyInfo{ID: f.Family, Name: f.Family}
			if fam, ok := family.ByID(f.Family); ok {
				info.Name, info.Tier = b.book.Phrase(fam.Name, nil), fam.Tier
			}
			at, out = len(out), append(out, info)
		}
		if out[at].Statistic == "" {
			out[at].Statistic, out[at].Extractor = b.book.Phrase(f.Statistic, f), f.Extractor
		}
		if says := b.book.Phrase(f.Hypothesis, nil); says != "" && !slices.Contains(reaches[f.Family], says) {
			reaches[f.Family] = append(reaches[f.Family], says)
		}
		out[at].Tests++
	}
	for i := range out {
		out[i].Rung = strings.Join(reaches[out[i].ID], "; ")
	}
	return out
}

func validation(f *ledger.Finding) Validation {
	d := f.Decoys
	over := func(limit float64) float64 {
		n := 0
		for _, z := range d.Scores {
			if z >= limit {
				n++
			}
		}
		return float64(n) / float64(len(d.Scores))
	}
	return Validation{
		Test: f.Test, N: d.N, Over95: over(point95), Over99: over(point99),
		Ratio: d.SDRatio, RatioLo: d.SDRatioLo, RatioHi: d.SDRatioHi, Tolerance: d.Tolerance, KSP: d.KSP, Pass: d.Pass,
	}
}

func (b *builder) prereg() Prereg {
	p := b.plan
	r := Prereg{
		Authority: p.Authority, Purpose: p.Purpose, Terms: p.TermsReviewedBy,
		Propositions: orEmpty(b.book.Phrases(p.Propositions, nil)),
		Sealed:       b.rec.sealed, FirstIntent: b.rec.firstIntent, StampFile: b.planStamp(),
		Alpha: p.Alpha, Log10Alpha: b.alpha, Tests: len(p.Tests), Prompts: len(p.Prompts), Samples: p.Samples,
		Set: b.plan.Set, Suites: orEmpty(p.Suites), Params: p.Params, OrderSeed: p.OrderSeed, Decoys: p.Decoys, Stop: p.Stop, Caps: p.Caps,
		Exclusions: orEmpty(b.book.Phrases(p.Exclusions, nil)), Power: orEmpty(slices.Clone(p.Power)), Keys: []KeyRow{},
		Wording: p.Wording, Program: p.Program, Deviations: orEmpty(b.book.Phrases(b.f.Deviations, nil)),
	}
	for i := range r.Power {
		r.Power[i].EffectUnit = b.book.Phrase(r.Power[i].EffectUnit, nil)
	}
	for _, k := range p.Keys {
		s := b.specs[k.ID]
		r.Keys = append(r.Keys, KeyRow{
			ID: k.ID, Scheme: s.Scheme, PRF: s.PRF, Channel: s.Channel, Epoch: s.Epoch, Label: s.Label,
			Commitment: k.Commitment, ServingFrom: k.ServingFrom, Check: b.commitment(k.ID),
		})
	}
	return r
}
