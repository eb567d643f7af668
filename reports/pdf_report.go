package reports

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports/model"
)

// PDF lays a report out on paper: the same sentences and numbers as the page that
// [HTML] makes, in the same order, with embedded fonts and the same bytes for the
// same report. It has no signature; [SignPDF] appends one. The HTML is the
// accessible form, and the first page says so.
func PDF(r *model.Report) ([]byte, error) {
	d, err := designOf(r.Lang)
	if err != nil {
		return nil, fmt.Errorf("load the layout: %w", err)
	}
	s, err := newSheet(printableTitle(r.Title+" · "+r.Seal.CaseID), r.Lang, r.Prereg.Sealed.UTC())
	if err != nil {
		return nil, err
	}
	p := &paper{sheet: s, r: r, d: d}
	p.frame()
	s.page()
	p.front()
	for i, section := range sections {
		// The summary stands alone, for a reader who reads nothing else; the form is
		// taken out and filled in.
		if section == "tests" || section == "certificate" {
			s.page()
		}
		if section != "summary" {
			s.heading(i+1, p.l(section))
		}
		p.section(section)
	}
	p.unprintable()
	if p.err != nil {
		return nil, p.err
	}
	return s.bytes()
}

// paper writes a report onto a sheet.
type paper struct {
	*sheet
	r   *model.Report
	d   *design
	err error
}

// l is a label of the layout.
func (p *paper) l(key string, pairs ...string) string {
	text, err := p.d.label(key, pairs...)
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("lay the PDF out: %w", err)
	}
	return text
}

// frame sets what stands on every page.
func (p *paper) frame() {
	p.pdf.SetFooterFunc(func() {
		p.font(regular, 7)
		p.color(soft)
		y := paperH - 12.0
		p.stroke(hair, .2)
		p.pdf.Line(marginX, y-1.5, marginX+lineW, y-1.5)
		p.pdf.SetXY(marginX, y)
		p.pdf.CellFormat(lineW-30, 3, p.spell(regular, p.r.Seal.CaseID+" · "+p.r.Seal.ReportID), "", 0, "L", false, 0, "")
		p.pdf.SetXY(marginX+lineW-30, y)
		p.pdf.CellFormat(30, 3, fmt.Sprintf("%d / {pages}", p.pdf.PageNo()), "", 0, "R", false, 0, "")
	})
	p.pdf.SetHeaderFunc(func() {
		if p.pdf.PageNo() == 1 {
			return
		}
		p.font(regular, 7)
		p.color(soft)
		p.pdf.SetXY(marginX, 11)
		p.pdf.CellFormat(lineW, 3, p.spell(regular, p.l("kind")+" · "+p.r.Title), "", 0, "L", false, 0, "")
		p.pdf.SetXY(marginX, marginTop)
	})
}

// front is the first page: what identifies the report, and the summary.
func (p *paper) front() {
	r := p.r
	kind := p.l("kind")
	if r.Demo != "" {
		kind += " · " + p.l("demo")
	}
	if r.Rehearsal != "" {
		kind += " · " + p.l("rehearsal")
	}
	p.para(regular, 9, soft, marginX, lineW, kind)
	p.gap(1)
	p.para(bold, 17, black, marginX, lineW, r.Title)
	p.gap(1.5)
	p.facts([][2]string{
		{p.l("case"), r.Seal.CaseID},
		{p.l("report"), r.Seal.ReportID},
		{p.l("plan"), r.Seal.PlanSHA256},
		{p.l("head"), fmt.Sprintf("%s (%s %s)", r.Seal.LedgerHead, p.d.integer(int64(r.Seal.Events)), p.l("events"))},
		{p.l("command"), r.Seal.Command},
	})
	p.small(p.l("meta", "version", r.Build.Version) + " " + p.l("pdf.accessible"))
	if r.Demo != "" {
		p.box(warnBG, warnEdg, warnC, p.l("demo")+". "+r.Demo)
	}
	if r.Rehearsal != "" {
		p.box(warnBG, warnEdg, warnC, p.l("rehearsal")+". "+r.Rehearsal)
	}
	p.pdf.Bookmark(p.spell(bold, "1  "+p.l("summary")), 0, -1)
	p.subheading(p.l("propositions"))
	p.text(r.Summary.Question)
	p.subheading(p.l("results"))
	p.results()
	if len(r.Summary.Ladder) > 0 {
		p.subheading(p.l("ladder"))
	}
	for _, x := range r.Summary.Ladder {
		p.text(x.Headline)
		p.list(x.Why)
	}
	p.text(r.Summary.Controls)
	p.box(panel, seenC, black, p.l("limitation")+". "+r.Summary.Limitation)
	p.subheading(p.l("notshown"))
	p.list(r.Summary.NotShown)
	p.subheading(p.l("done"))
	p.list(r.Summary.Done)
}

// box is a paragraph on a ground, with an edge on its left.
func (p *paper) box(ground, edge, c ink, text string) {
	p.font(regular, 8.8)
	h := leading(8.8)
	lines := p.lines(text, lineW-10)
	p.gap(1)
	p.room(min(float64(len(lines))*h+4, bottomY-marginTop))
	for i, line := range lines {
		p.room(h + 2)
		y, pad := p.pdf.GetY(), 0.0
		if i == 0 || i == len(lines)-1 {
			pad = 1.8
		}
		p.fill(ground)
		p.pdf.Rect(marginX, y, lineW, h+pad, "F")
		p.fill(edge)
		p.pdf.Rect(marginX, y, 1.2, h+pad, "F")
		top := y
		if i == 0 {
			top += pad
		}
		p.font(regular, 8.8)
		p.color(c)
		p.pdf.SetXY(marginX+5, top)
		p.pdf.CellFormat(lineW-10, h, line, "", 0, "L", false, 0, "")
		p.pdf.SetXY(marginX, y+h+pad)
	}
	p.gap(2)
}

// results are the findings on rivals: a card each while they are few, else a table.
func (p *paper) results() {
	results := p.r.Summary.Results
	if len(results) > 6 {
		var rows [][]field
		for _, x := range results {
			rows = append(rows, []field{{x.Target, true}, {x.Scheme, false}, {p.d.logarithm(x.Number), true}, {p.d.verdict(x.Verdict), false}, {x.Headline, false}})
		}
		p.table([]column{{p.l("col.target"), 16, false}, {p.l("col.scheme"), 13, false}, {results[0].Measure, 13, true}, {p.l("col.verdict"), 18, false}, {p.l("pdf.words"), 60, false}}, rows)
		return
	}
	for _, x := range results {
		p.room(26)
		y := p.pdf.GetY()
		p.stroke(hair, .3)
		p.pdf.Line(marginX, y, marginX+lineW, y)
		p.pdf.SetY(y + 1.5)
		p.para(bold, 9.6, rivalC, marginX, lineW, x.Target+"  ·  "+x.Scheme)
		p.para(bold, 15, black, marginX, 60, p.d.logarithm(x.Number))
		end := p.pdf.GetY()
		p.pdf.SetY(y + 1.5 + leading(9.6) + 1.6)
		p.para(regular, 8.2, soft, marginX+44, lineW-44, x.Measure)
		p.para(bold, 8.6, warnOr(x.Verdict), marginX+44, lineW-44, p.d.verdict(x.Verdict))
		p.pdf.SetY(max(end, p.pdf.GetY()) + .6)
		p.text(x.Headline)
		if len(results) <= 4 { // more stand in the table of tests
			p.small(x.Sentence)
		}
		tier := p.l("tier") + " " + p.d.word("tier", string(x.Tier))
		if x.Verdict != ledger.VerdictInsufficient && x.Effect != nil {
			tier = fmt.Sprintf("%s %s · %s · %s", p.l("effect"), p.d.measured(x.Effect, x.EffectLo, x.EffectHi), x.Unit, tier)
		}
		p.small(tier)
	}
}

// warnOr is the colour of a verdict.
func warnOr(v ledger.Verdict) ink {
	switch chip(v) {
	case "strong", "signal":
		return rivalC
	case "weak":
		return warnC
	}
	return soft
}

func (p *paper) section(name string) {
	r := p.r
	switch name {
	case "summary": // the first page
	case "tests":
		if len(r.Tests) == 0 {
			p.text(p.l("tests.none"))
			return
		}
		p.text(p.l("threshold") + p.l("colon") + " " + p.l("threshold.text", "alpha", p.d.logarithm(r.Tests[0].Threshold)) + ".")
		p.tests(groups(r.Tests))
	case "exploratory":
		if len(r.Exploratory) == 0 {
			p.text(p.l("exploratory.none"))
			return
		}
		p.text(p.l("exploratory.text"))
		p.tests(groups(r.Exploratory))
	case "plots":
		p.plots()
	case "alternatives":
		p.answers(r.Explain)
	case "method":
		p.method()
	case "prereg":
		p.prereg()
	case "acquisition":
		p.acquisition()
	case "accounting":
		p.accounting()
	case "exhibits":
		p.exhibits()
	case "custody":
		p.subheading(p.l("custody.data"))
		p.chain(r.Custody.Data)
		p.subheading(p.l("custody.keys"))
		p.chain(r.Custody.Keys)
	case "howto":
		p.subheading(p.l("with"))
		for i, line := range r.HowTo.With {
			if i == 0 {
				p.code("$ " + line)
			} else {
				p.text(line)
			}
		}
		p.subheading(p.l("without"))
		p.text(r.HowTo.Intro)
		for _, c := range r.HowTo.Without {
			p.text(c.Shows)
			p.code(c.Command)
		}
	case "limits":
		p.answers(r.Limits)
	case "build":
		p.facts([][2]string{
			{p.l("built"), fmt.Sprintf("stillmark %s, %s, %s/%s", r.Build.Version, r.Build.Go, r.Build.OS, r.Build.Arch)},
			{p.l("plan"), r.Seal.PlanSHA256},
			{p.l("head"), r.Seal.LedgerHead},
			{"findings.json", r.Seal.FindingsSHA256 + " (" + r.Seal.AnalysisID + ")"},
		})
	case "annexplan":
		p.text(p.l("annexplan.text", "plan", r.Seal.PlanSHA256))
		var out [][]field
		rows(r, func(t *model.TestRow) {
			in := p.l("no")
			if t.Primary {
				in = p.l("yes")
			}
			out = append(out, fields(t.Test, t.Family, t.Target, cmpOr(t.Key), p.d.word("mode", t.Mode), cmpOr(t.Weights), in))
		})
		p.table([]column{
			{p.l("col.test"), 34, false},
			{p.l("col.family"), 10, false},
			{p.l("col.target"), 20, false},
			{p.l("col.key"), 22, false},
			{p.l("col.mode"), 12, false},
			{p.l("col.weights"), 15, false},
			{p.l("col.primary"), 14, false},
		}, out)
	case "checklist":
		p.text(p.l("checklist.text"))
		var out [][]field
		for _, c := range checks {
			out = append(out, fields("[  ]", p.l(c.Label), p.l(c.Section)))
		}
		p.table([]column{{"", 6, false}, {p.l("col.check"), 90, false}, {p.l("col.where"), 34, false}}, out)
	case "certificate":
		f := p.d.certificate(r)
		p.box(warnBG, warnEdg, warnC, f.Draft)
		p.para(bold, 9, black, marginX, lineW, f.Title)
		p.gap(1.5)
		for i, point := range f.Points {
			p.text(fmt.Sprintf("%d. %s", i+1, point))
		}
		p.text(f.Sign)
		p.subheading(f.KnowTitle)
		p.list(f.Know)
		p.text(f.Not)
	case "glossary":
		var rows [][2]string
		for _, t := range r.Glossary {
			rows = append(rows, [2]string{t.Term, t.Meaning})
		}
		p.facts(rows)
	default:
		if p.err == nil {
			p.err = fmt.Errorf("lay the PDF out: section %q is not known", name)
		}
	}
}

// tests are the tables of declared tests.
func (p *paper) tests(gs []group) {
	var results, basis, dropped [][]field
	for _, g := range gs {
		title := g.title(p.l("key"))
		results = append(results, []field{{text: title + " · " + g.Unit}})
		basis = append(basis, []field{{text: title}})
		if len(scored([]group{g})) > 0 {
			dropped = append(dropped, []field{{text: title}})
		}
		for _, t := range g.Rows {
			rival := t.Role == ledger.Rival
			name := t.Target
			if t.Text != "" {
				name += " (" + p.d.word("text", t.Text) + ")"
			}
			if !rival {
				name += " (" + p.l(string(t.Role)) + ")"
			}
			decoy, effect, score, law := "–", "–", "–", "–"
			if t.N > 0 {
				score, law = p.d.grouped(t.Score, 1), p.d.grouped(t.NullMean, 1)+" ± "+p.d.grouped(t.NullSD, 1)
				effect = p.d.measured(t.Effect, t.EffectLo, t.EffectHi)
			}
			if t.Decoys != nil {
				decoy = p.d.significant(t.Decoys.RankP)
			}
			results = append(results, []field{
				{name, rival},
				{p.d.integer(t.N), false},
				{effect, false},
				{p.d.logarithm(t.Log10P), rival},
				{p.d.logarithm(t.Holm), rival},
				{p.d.logarithm(t.Log10E), false},
				{decoy, false},
				{p.d.verdict(t.Verdict), false},
			})
			basis = append(basis, append([]field{{t.Target, rival}}, fields(
				score, law, cmpOr(t.Weights), cmpOr(t.Method),
				p.d.logarithm(t.Estimate), p.d.logarithm(t.PlainP), p.d.power(t.Power))...))
			if len(scored([]group{g})) == 0 {
				continue
			}
			dropped = append(dropped, append([]field{{t.Target, rival}}, fields(
				p.d.integer(t.Replies), p.d.integer(t.Tokens), p.d.integer(t.N), p.d.integer(t.Dropped.Repeat), p.d.integer(t.Dropped.Prompt),
				p.d.integer(t.Dropped.Short), p.d.integer(t.Dropped.Filtered), p.d.integer(t.Dropped.OutOfVocab))...))
		}
	}
	p.small(p.l("tests.caption"))
	p.table([]column{
		{p.l("col.target"), 24, false},
		{p.l("col.n"), 13, true},
		{p.l("col.effect"), 32, true},
		{p.l("col.p"), 12, true},
		{p.l("col.holm"), 13, true},
		{p.l("col.e"), 12, true},
		{p.l("col.rank"), 13, true},
		{p.l("col.verdict"), 22, false},
	}, results)
	p.subheading(p.l("basis"))
	p.small(p.l("basis.caption"))
	p.table([]column{
		{p.l("col.target"), 20, false},
		{p.l("col.score"), 16, true},
		{p.l("col.null"), 26, true},
		{p.l("col.weights"), 15, false},
		{p.l("col.method"), 18, false},
		{p.l("col.estimate"), 14, true},
		{p.l("col.plain"), 16, true},
		{p.l("col.power"), 14, true},
	}, basis)
	if len(dropped) > 0 {
		p.subheading(p.l("dropped"))
		p.small(p.l("dropped.caption"))
		p.table([]column{
			{p.l("col.target"), 22, false},
			{p.l("col.replies"), 12, true},
			{p.l("col.tokens"), 15, true},
			{p.l("col.n"), 14, true},
			{p.l("col.repeat"), 14, true},
			{p.l("col.prompt"), 14, true},
			{p.l("col.short"), 14, true},
			{p.l("col.filtered"), 14, true},
			{p.l("col.oov"), 17, true},
		}, dropped)
	}
	p.extras(gs)
	for _, part := range []struct {
		title string
		of    func(model.TestRow) []string
	}{
		{"meanings", func(t model.TestRow) []string { return []string{t.Sentence} }},
		{"nulls", func(t model.TestRow) []string { return []string{t.Null} }},
		{"warnings", func(t model.TestRow) []string { return t.Warnings }},
	} {
		said := p.d.sharedBy(gs, part.of)
		if len(said) == 0 {
			continue
		}
		p.subheading(p.l(part.title))
		var items []string
		for _, x := range said {
			items = append(items, x.Text+" ("+x.Tests+")")
		}
		p.list(items)
	}
}

// extras are the tables that only some tests have: two runs, comparisons, parts.
func (p *paper) extras(gs []group) {
	if rows := joined(gs); len(rows) > 0 {
		p.subheading(p.l("runs"))
		p.small(p.l("runs.caption"))
		var out [][]field
		for _, r := range rows {
			head := r.Test
			if r.Earlier.Apart != "" {
				head += " · " + p.l("runs.apart", "why", r.Earlier.Apart)
			}
			out = append(out, []field{{text: head}},
				fields(p.l("runs.first", "case", r.Earlier.CaseID, "from", p.d.day(r.Earlier.First), "to", p.d.day(r.Earlier.Last)), p.d.integer(r.Earlier.N),
					p.d.logarithm(r.Earlier.Log10P), p.d.logarithm(r.Earlier.HolmLog10P), p.d.logarithm(r.Earlier.Log10E), p.d.verdict(r.Earlier.Verdict)),
				fields(p.l("runs.second"), p.d.integer(r.N), p.d.logarithm(r.Log10P), p.d.logarithm(r.Holm), p.d.logarithm(r.Log10E), p.d.verdict(r.Verdict)))
			if j := r.Joint; j != nil {
				out = append(out, fields(p.l("runs.joint"), p.d.integer(j.N), p.d.logarithm(j.Log10P), "–", p.d.logarithm(j.Log10E), "–"))
			}
		}
		p.table([]column{
			{p.l("col.run"), 52, false},
			{p.l("col.n"), 14, true},
			{p.l("col.p"), 14, true},
			{p.l("col.holm"), 14, true},
			{p.l("col.e"), 14, true},
			{p.l("col.verdict"), 30, false},
		}, out)
	}
	if rows := compared(gs); len(rows) > 0 {
		p.subheading(p.l("comparison"))
		p.small(p.l("comparison.caption"))
		var out [][]field
		for _, r := range rows {
			out = append(out, []field{{text: r.Test + " · " + r.FamilyName + p.l("colon") + " " + p.d.rankLine(r.Comparison)}},
				[]field{{r.Target, true}, {"–", false}, {p.d.integer(r.N), false}, {p.d.significant(r.Comparison.Rival), true}})
			for _, c := range r.Comparison.Controls {
				out = append(out, fields(c.Target, cmpOr(c.Vendor), p.d.integer(c.N), p.d.significant(c.Value)))
			}
			if x := r.Comparison.Permutation; x != nil {
				out = append(out, []field{{text: p.d.permutation(x)}})
			}
			for _, why := range r.Comparison.NotControls {
				out = append(out, []field{{text: p.l("comparison.not", "why", why)}})
			}
		}
		p.table([]column{{p.l("col.target"), 50, false}, {p.l("col.vendor"), 40, false}, {p.l("col.n"), 18, true}, {p.l("col.value"), 22, true}}, out)
	}
	if list := traited(gs); len(list) > 0 {
		p.subheading(p.l("traits"))
		p.small(p.l("traits.caption"))
		var out [][]field
		for _, r := range list {
			out = append(out, []field{{text: r.Test + " · " + r.FamilyName}})
			for _, x := range r.Comparison.Traits {
				out = append(out, fields(x.Name, cmpOr(x.Rival), cmpOr(x.Ours), p.l("traits.of", "n", p.d.integer(int64(x.Alike)), "of", p.d.integer(int64(x.Of)))))
			}
		}
		p.table([]column{{p.l("col.trait"), 50, false}, {p.l("col.theirs"), 30, false}, {p.l("col.ours"), 30, false}, {p.l("col.alike"), 22, true}}, out)
	}
	if rows := judged(gs); len(rows) > 0 {
		p.subheading(p.l("judge"))
		p.small(p.l("judge.caption"))
		var out [][]field
		for _, r := range rows {
			out = append(out, []field{{text: r.Test + " · " + r.FamilyName + p.l("colon") + " " + r.JudgeSays[0]}})
			for _, x := range readings(r.Judge) {
				out = append(out, fields(p.d.word("judge", x.Of), p.d.integer(x.N), p.d.integer(x.Agree), p.d.agreed(x), p.d.kappa(x)))
			}
			if said := gapOf(r); said != "" {
				out = append(out, []field{{text: said}})
			}
		}
		p.table([]column{{p.l("col.readings"), 52, false}, {p.l("col.replies"), 18, true}, {p.l("col.same"), 20, true}, {p.l("col.share"), 40, true}, {p.l("col.kappa"), 40, true}}, out)
	}
	if rows := parted(gs); len(rows) > 0 {
		p.subheading(p.l("parts"))
		p.small(p.l("parts.caption"))
		var out [][]field
		for _, r := range rows {
			out = append(out, []field{{text: r.Test + " · " + r.EffectUnit}})
			for _, x := range r.Parts {
				out = append(out, fields(x.Name, p.d.integer(x.N), p.d.interval(x.Effect, x.Lo, x.Hi), p.d.logarithm(x.Log10P)))
			}
		}
		p.table([]column{{p.l("col.part"), 60, false}, {p.l("col.n"), 18, true}, {p.l("col.effect"), 40, true}, {p.l("col.p"), 18, true}}, out)
	}
}

func (p *paper) answers(list []model.Answer) {
	for _, a := range list {
		p.room(18)
		p.para(bold, 9, black, marginX, lineW, a.Name)
		p.para(italic, 8.6, soft, marginX, lineW, p.l("quote", "text", a.Claim))
		p.para(regular, 9, black, marginX, lineW, a.Answer)
		p.para(bold, 7.8, soft, marginX, lineW, p.l("state."+a.State))
		p.gap(2.4)
	}
}

func (p *paper) chain(steps []model.Step) {
	for _, s := range steps {
		p.room(10)
		if !s.Time.IsZero() {
			p.para(regular, 7.8, soft, marginX, lineW, p.d.clock(s.Time))
		}
		p.para(regular, 9, black, marginX, lineW, s.Text)
		if s.Hash != "" {
			p.para(mono, 7, soft, marginX, lineW, s.Hash)
		}
		p.gap(1.6)
	}
}

func (p *paper) method() {
	m := p.r.Method
	for _, text := range m.Paragraphs {
		p.text(text)
	}
	if len(m.Families) > 0 {
		p.subheading(p.l("families"))
		var rows [][]field
		for _, x := range m.Families {
			rows = append(rows, fields(x.ID+" "+x.Name, p.d.word("tier", string(x.Tier)), p.d.integer(int64(x.Tests)), cmpOr(x.Statistic), x.Rung, cmpOr(x.Extractor)))
		}
		p.table([]column{
			{p.l("col.family"), 24, false},
			{p.l("tier"), 16, false},
			{p.l("col.tests"), 9, true},
			{p.l("col.statistic"), 42, false},
			{p.l("col.rung"), 42, false},
			{p.l("col.extractor"), 20, false},
		}, rows)
	}
	if len(m.Schemes) > 0 {
		p.subheading(p.l("schemes"))
		var rows [][]field
		for _, s := range m.Schemes {
			rows = append(rows, fields(s.Scheme, s.PRF, s.Statement, p.d.significant(s.NullMean), p.d.significant(s.NullSD)))
		}
		p.table([]column{{p.l("col.scheme"), 18, false}, {p.l("col.prf"), 16, false}, {p.l("col.law"), 70, false}, {p.l("col.mean"), 12, true}, {p.l("col.sd"), 12, true}}, rows)
	}
	if len(m.Validation) > 0 {
		p.subheading(p.l("validation"))
		p.small(p.l("validation.caption"))
		var rows [][]field
		for _, v := range m.Validation {
			gate := p.l("gate.fail")
			if v.Pass {
				gate = p.l("gate.pass")
			}
			rows = append(rows, fields(v.Test, p.d.integer(int64(v.N)), p.d.percent(v.Over95), p.d.percent(v.Over99),
				p.d.fixed3(v.Ratio)+p.d.bounds(p.d.fixed3(v.RatioLo), p.d.fixed3(v.RatioHi)), "1 ± "+p.d.fixed3(v.Tolerance), p.d.fixed3(v.KSP), gate))
		}
		p.table([]column{
			{p.l("col.test"), 34, false},
			{p.l("col.decoys"), 12, true},
			{p.l("col.over95"), 14, true},
			{p.l("col.over99"), 14, true},
			{p.l("col.ratio"), 28, true},
			{p.l("col.tolerance"), 16, true},
			{p.l("col.ks"), 11, true},
			{p.l("col.gate"), 14, false},
		}, rows)
	}
	p.text(p.l("method.controls", "n", p.d.integer(int64(m.Controls.Tests)), "p", p.d.logarithm(m.Controls.Smallest), "reached", p.d.integer(int64(m.Controls.Reached))))
}

func (p *paper) prereg() {
	x := p.r.Prereg
	stamp, stop := x.StampFile, p.l("stop.fixed")
	if stamp == "" {
		stamp = p.l("stamp.none")
	}
	if x.Stop.OnEvidence {
		stop = p.l("stop.any")
	}
	var suites []string
	for _, s := range x.Suites {
		suites = append(suites, fmt.Sprintf("%s %s (n = %s, seed %d, %s)", s.Name, s.Version, p.d.integer(int64(s.N)), s.Seed, s.SHA256))
	}
	params, err := json.Marshal(x.Params)
	if err != nil && p.err == nil {
		p.err = err
	}
	terms := p.l("terms.none")
	if x.Terms != "" {
		terms = p.l("terms.by", "who", x.Terms)
	}
	p.facts([][2]string{
		{p.l("orderedby"), x.Authority},
		{p.l("purpose"), x.Purpose},
		{p.l("terms"), terms},
		{p.l("sealed"), p.d.clock(x.Sealed)},
		{p.l("first"), p.d.clock(x.FirstIntent)},
		{p.l("stamp"), stamp},
		{p.l("level"), "log10 = " + p.d.logarithm(x.Log10Alpha)},
		{p.l("declared"), p.d.integer(int64(x.Tests))},
		{p.l("design"), p.l("design.text", "prompts", p.d.integer(int64(x.Prompts)), "samples", p.d.samples(x.Samples))},
		{p.l("set"), cmpOr(x.Set)},
		{p.l("suites"), strings.Join(suites, "; ")},
		{p.l("params"), string(params)},
		{p.l("seed"), fmt.Sprint(x.OrderSeed)},
		{p.l("decoyplan"), p.l("decoyplan.text", "n", p.d.integer(int64(x.Decoys.N))) + " " + x.Decoys.SeedCommitment},
		{p.l("stop"), stop},
		{p.l("caps"), p.d.caps(x.Caps)},
		{p.l("exclusions"), strings.Join(x.Exclusions, " ")},
		{p.l("wording"), x.Wording},
		{p.l("program"), fmt.Sprintf("stillmark %s, %s, %s/%s", x.Program.Version, x.Program.Go, x.Program.OS, x.Program.Arch)},
	})
	if len(x.Propositions) > 0 {
		p.subheading(p.l("hypotheses"))
		p.list(x.Propositions)
	}
	if len(x.Keys) > 0 {
		p.subheading(p.l("keys"))
		p.small(p.l("keys.caption"))
		var rows [][]field
		for _, k := range x.Keys {
			state, stamped := "–", "–"
			if k.Check != nil {
				state, stamped = p.d.word("commit", k.Check.State), p.d.clock(k.Check.Time)
				if k.Check.Authority != "" {
					stamped += " " + p.l("authority", "name", k.Check.Authority)
				}
			}
			rows = append(rows, fields(k.ID, k.Scheme, k.PRF, cmpOr(k.Epoch), cmpOr(k.Label), state, stamped, p.d.clock(k.ServingFrom)))
		}
		p.table([]column{
			{p.l("col.key"), 22, false},
			{p.l("col.scheme"), 15, false},
			{p.l("col.prf"), 14, false},
			{p.l("col.epoch"), 11, false},
			{p.l("col.label"), 12, false},
			{p.l("col.state"), 18, false},
			{p.l("col.stamped"), 28, false},
			{p.l("col.serving"), 20, false},
		}, rows)
	}
	if len(x.Power) > 0 {
		p.subheading(p.l("power"))
		p.small(p.l("power.caption"))
		var rows [][]field
		for _, w := range x.Power {
			rows = append(rows, fields(w.Test, p.d.integer(w.Units), p.d.logarithm(w.Log10Alpha), p.d.significant(w.Effect)+" "+w.EffectUnit))
		}
		p.table([]column{{p.l("col.test"), 40, false}, {p.l("col.units"), 16, true}, {p.l("col.alpha"), 16, true}, {p.l("col.effectfound"), 52, false}}, rows)
	}
	p.subheading(p.l("deviations"))
	if len(x.Deviations) == 0 {
		p.text(p.l("deviations.none"))
	} else {
		p.list(x.Deviations)
	}
}

func (p *paper) acquisition() {
	x := p.r.Acquisition
	p.text(x.Order)
	p.subheading(p.l("targets"))
	var rows, epochs [][]field
	for _, t := range x.Targets {
		rival := t.Role == ledger.Rival
		rows = append(rows, append([]field{{t.Target + " (" + p.l(string(t.Role)) + ")", rival}}, fields(
			t.BaseURL, t.Declared, p.d.counted(t.Models), p.d.clock(t.First)+" – "+p.d.clock(t.Last), p.d.counted(t.Statuses), p.d.integer(t.RequestIDs), p.d.significant(t.MedianTotalMS))...))
		for _, e := range t.Epochs {
			epochs = append(epochs, append([]field{{t.Target, rival}}, fields(
				cmpOr(e.Model), cmpOr(e.Fingerprint), cmpOr(e.Provider), p.d.clock(e.From), p.d.clock(e.To), p.d.integer(e.Replies))...))
		}
		if t.MoreEpochs > 0 {
			epochs = append(epochs, []field{{text: t.Target + p.l("colon") + " " + p.l("more", "n", p.d.integer(int64(t.MoreEpochs)))}})
		}
	}
	p.table([]column{
		{p.l("col.target"), 20, false},
		{p.l("col.url"), 24, false},
		{p.l("col.declared"), 15, false},
		{p.l("col.models"), 20, false},
		{p.l("col.period"), 26, false},
		{p.l("col.status"), 13, false},
		{p.l("col.ids"), 11, true},
		{p.l("col.latency"), 11, true},
	}, rows)
	p.subheading(p.l("fingerprints"))
	p.table([]column{
		{p.l("col.target"), 20, false},
		{p.l("col.model"), 20, false},
		{p.l("col.fingerprint"), 22, false},
		{p.l("col.provider"), 15, false},
		{p.l("col.from"), 22, false},
		{p.l("col.to"), 22, false},
		{p.l("col.replies"), 12, true},
	}, epochs)
	if len(x.Matrix.Features) > 0 {
		p.subheading(p.l("capabilities"))
		rows = nil
		for i, feature := range x.Matrix.Features { // turned on its side: a paper is narrow
			row := fields(strings.ReplaceAll(feature, "_", " "))
			for _, t := range x.Matrix.Rows {
				row = append(row, field{text: p.l(t.States[i])})
			}
			rows = append(rows, row)
		}
		const most = 7 // targets beside each other
		for from := 0; from < len(x.Matrix.Rows); from += most {
			to := min(from+most, len(x.Matrix.Rows))
			cols := []column{{"", 24, false}}
			for _, t := range x.Matrix.Rows[from:to] {
				cols = append(cols, column{t.Target, 16, false})
			}
			part := make([][]field, len(rows))
			for i, row := range rows {
				part[i] = append(row[:1:1], row[1+from:1+to]...)
			}
			p.table(cols, part)
		}
	}
	if x.Params.Requests > 0 {
		p.subheading(p.l("params.sent"))
		p.small(p.l("params.caption", "n", p.d.integer(x.Params.Requests)))
		rows = nil
		for _, v := range x.Params.Variants {
			rows = append(rows, fields(v.Params, p.d.integer(v.Count)))
		}
		p.table([]column{{p.l("col.params"), 80, false}, {p.l("col.count"), 16, true}}, rows)
	}
	if len(x.Events) > 0 {
		p.subheading(p.l("events.noted"))
		rows = nil
		for _, e := range x.Events {
			rows = append(rows, fields(p.d.integer(int64(e.Seq)), p.d.clock(e.Time), e.Text))
		}
		p.table([]column{{p.l("col.event"), 12, true}, {p.l("col.time"), 26, false}, {p.l("col.what"), 80, false}}, rows)
		if x.More > 0 {
			p.text(p.l("more", "n", p.d.integer(int64(x.More))))
		}
	}
}

func (p *paper) accounting() {
	var rows, bounds [][]field
	for _, a := range p.r.Accounting {
		rows = append(rows, append([]field{{a.Target, a.Role == ledger.Rival}}, fields(
			p.d.integer(a.Planned), p.d.integer(a.Sent), p.d.integer(a.Analysed), p.d.integer(a.Missing), p.d.classList(a.Classes, string(ledger.OK)), p.d.classList(a.Failed, ""),
			p.d.integer(a.Usage.PromptTokens)+" + "+p.d.integer(a.Usage.CompletionTokens))...))
		for _, b := range a.Bounds {
			if b.Missing == 0 {
				continue
			}
			best := p.l("unbounded")
			if b.Best != nil {
				best = p.d.effectText(*b.Best)
			}
			bounds = append(bounds, fields(b.Test, p.d.integer(b.Missing), p.d.effectText(b.Effect), p.d.effectText(b.NoTrace), p.d.effectText(b.Worst), best))
		}
	}
	if len(p.r.Accounting) > 0 {
		p.figure(p.d.accountingBars(p.r.Accounting), 100)
		p.small("■ " + p.l("acc.analysed") + "   □ " + p.l("acc.settled") + ", " + p.l("acc.missing"))
	}
	p.small(p.l("accounting.caption"))
	p.table([]column{
		{p.l("col.target"), 22, false},
		{p.l("col.planned"), 13, true},
		{p.l("col.sent"), 13, true},
		{p.l("col.analysed"), 14, true},
		{p.l("col.missing"), 13, true},
		{p.l("col.classes"), 20, false},
		{p.l("col.failed"), 20, false},
		{p.l("col.usage"), 24, true},
	}, rows)
	p.subheading(p.l("bounds"))
	if len(bounds) == 0 {
		p.text(p.l("bounds.none"))
		return
	}
	p.small(p.l("bounds.caption"))
	p.table([]column{
		{p.l("col.test"), 36, false},
		{p.l("col.items"), 14, true},
		{p.l("effect"), 14, true},
		{p.l("col.notrace"), 18, true},
		{p.l("col.worst"), 18, true},
		{p.l("col.best"), 18, true},
	}, bounds)
}

// markGround is the ground of a scored token, by its level.
var markGround = [5]ink{white, white, {0xe3, 0xea, 0xfc}, {0xbc, 0xce, 0xfa}, {0x86, 0xa6, 0xf4}}

func (p *paper) exhibits() {
	if len(p.r.Exhibits) == 0 {
		p.text(p.l("exhibits.none"))
		return
	}
	p.text(p.r.Exhibits[0].Rule)
	p.text(p.l("legend") + " (" + p.l("mark.note") + "):")
	for level := range markGround {
		p.spans([]model.Span{{Text: "Abc", Level: level}, {Text: "  " + p.l(fmt.Sprintf("mark.%d", level)), Level: 1}})
	}
	for _, x := range p.r.Exhibits {
		p.subheading(x.Target + " · " + x.Scheme + " · " + x.Test)
		for _, g := range x.Groups {
			p.para(bold, 8.8, soft, marginX, lineW, g.Name)
			p.gap(1)
			for _, e := range g.Exhibits {
				head := fmt.Sprintf("%s · %s %s · %s %s · %s %s", e.Item, p.d.integer(e.Units), p.l("units"), p.l("std"), p.d.effectText(e.Std), p.l("event"), p.d.integer(int64(e.Seq)))
				if e.RequestID != "" {
					head += " · " + e.RequestID
				}
				if e.Shown < e.Tokens {
					head += " · " + p.l("shown", "shown", p.d.integer(int64(e.Shown)), "tokens", p.d.integer(int64(e.Tokens)))
				}
				p.room(20)
				p.para(bold, 7.6, black, marginX, lineW, head)
				p.para(regular, 7.8, soft, marginX, lineW, p.l("prompt")+p.l("colon")+" "+e.Prompt)
				p.gap(.8)
				p.spans(e.Spans)
				p.gap(2.6)
			}
		}
	}
}

// spans writes running text of which parts have a ground.
func (p *paper) spans(spans []model.Span) {
	const size = 8.2
	h := leading(size) + .5
	p.font(regular, size)
	p.room(h)
	x, y := marginX, p.pdf.GetY()
	next := func() {
		p.pdf.SetXY(marginX, y+h)
		p.room(h)
		x, y = marginX, p.pdf.GetY()
	}
	put := func(text string, level int) {
		w := p.width(text)
		if level >= 2 {
			p.fill(markGround[level])
			p.pdf.Rect(x, y+.3, w, h-.6, "F")
		}
		if level >= 3 { // not by colour alone
			p.stroke(rivalC, .15+.15*float64(level-3))
			p.pdf.Line(x, y+h-.4, x+w, y+h-.4)
		}
		p.color(black)
		if level == 0 {
			p.color(soft)
		}
		p.pdf.SetXY(x, y)
		p.pdf.CellFormat(w, h, text, "", 0, "L", false, 0, "")
		x += w
	}
	for _, span := range spans {
		level := min(max(span.Level, 0), len(markGround)-1)
		for i, par := range strings.Split(p.spell(regular, span.Text), "\n") {
			if i > 0 {
				next()
			}
			for par != "" {
				// A word with the blanks before it is what may go to the next line.
				cut := len(par)
				if at := strings.IndexByte(strings.TrimLeft(par, " "), ' '); at >= 0 {
					cut = len(par) - len(strings.TrimLeft(par, " ")) + at
				}
				word := par[:cut]
				par = par[cut:]
				if x+p.width(word) > marginX+lineW && x > marginX {
					next()
					word = strings.TrimLeft(word, " ")
				}
				for p.width(word) > lineW {
					at := p.fits(word, lineW)
					put(word[:at], level)
					word = word[at:]
					next()
				}
				if word != "" {
					put(word, level)
				}
			}
		}
	}
	p.pdf.SetXY(marginX, y+h)
}

// unprintable says how many characters stand as code points.
func (p *paper) unprintable() {
	total := 0
	for _, n := range p.missing {
		total += n
	}
	if total == 0 {
		return
	}
	p.gap(3)
	p.small(p.l("pdf.missing", "n", p.d.integer(int64(total)), "kinds", p.d.integer(int64(len(p.missing)))))
}

// counted lists the entries of a map with their counts.
func (d *design) counted(m map[string]int64) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s (%s)", k, d.integer(m[k])))
	}
	return cmpOr(strings.Join(parts, ", "))
}

// classList lists outcome classes but one.
func (d *design) classList(list []model.ClassCount, but string) string {
	var parts []string
	for _, c := range list {
		if string(c.Class) != but {
			parts = append(parts, fmt.Sprintf("%s %s", d.word("class", string(c.Class)), d.integer(c.Count)))
		}
	}
	return cmpOr(strings.Join(parts, ", "))
}
