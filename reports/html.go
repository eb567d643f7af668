package reports

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports/model"
)

//go:embed layout
var layout embed.FS

// maxHistograms bounds the figures of a report that declares many tests; the
// rest stand in report.json.
const maxHistograms = 12

// page is what the template lays out.
type page struct {
	R              *model.Report
	Style          template.CSS
	StyleHash      template.HTMLAttr
	Sections       []string
	Threshold      *float64
	Tests          []group
	Exploratory    []group
	Forest         []figure
	Histograms     []figure
	MoreHistograms bool
	Curves         []figure
	CurveCaption   string
	AccountFigure  *figure
	Bounds         []model.Bound
	Declared       []model.TestRow
	Checks         []check
	Certificate    form
}

// group is the tests of one key, targets under audit first.
type group struct {
	Key, Scheme, Unit string
	Family            string // empty where the case has none but E1
	Rows              []model.TestRow
}

// title names a group in a line.
func (g *group) title(key string) string {
	var parts []string
	if g.Family != "" {
		parts = append(parts, g.Family)
	}
	if g.Key != "" {
		parts = append(parts, key+" "+g.Key)
	}
	if g.Scheme != "" {
		parts = append(parts, g.Scheme)
	}
	return strings.Join(parts, " · ")
}

// sections in reading order; they are the anchors of the contents.
var sections = []string{
	"summary", "tests", "exploratory", "plots", "alternatives", "method", "prereg", "acquisition",
	"accounting", "exhibits", "custody", "howto", "limits", "build", "annexplan", "glossary", "checklist", "certificate",
}

// design is the parsed layout in one language.
type design struct {
	page   *template.Template
	style  string
	labels map[string]string
	lang   string
	locale model.Locale
}

// designs are read once each.
var designs sync.Map

// designOf returns the layout in a language: its labels stand in layout/<language>.json.
func designOf(language string) (*design, error) {
	if d, ok := designs.Load(language); ok {
		return d.(*design), nil
	}
	d := &design{lang: language}
	var err error
	if d.locale, err = model.LocaleOf(language); err != nil {
		return nil, err
	}
	style, err := layout.ReadFile("layout/style.css")
	if err != nil {
		return nil, err
	}
	d.style = string(style)
	name := "layout/" + cmp.Or(language, family.English) + ".json"
	text, err := layout.ReadFile(name)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &d.labels); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if d.page, err = template.New("report.html.tmpl").Funcs(d.funcs()).ParseFS(layout, "layout/report.html.tmpl"); err != nil {
		return nil, err
	}
	designs.Store(language, d)
	return d, nil
}

// label is a label of the layout with values set into it.
func (d *design) label(key string, pairs ...string) (string, error) {
	s, ok := d.labels[key]
	if !ok || len(pairs)%2 != 0 {
		return "", fmt.Errorf("no label %q for %d values", key, len(pairs)/2)
	}
	for i := 0; i < len(pairs); i += 2 {
		s = strings.ReplaceAll(s, "{"+pairs[i]+"}", pairs[i+1])
	}
	return s, nil
}

// fill is a label that is known to be there.
func (d *design) fill(key string, pairs ...string) string {
	s, _ := d.label(key, pairs...)
	return s
}

// word is the label of a value of a kind, or the value where it has none.
func (d *design) word(kind, value string) string {
	if s, ok := d.labels[kind+"."+value]; ok {
		return s
	}
	return value
}

// HTML lays a report out as one self-contained page: no scripts, nothing loaded
// from elsewhere, the same bytes for the same report.
func HTML(r *model.Report) ([]byte, error) {
	d, err := designOf(r.Lang)
	if err != nil {
		return nil, fmt.Errorf("load the layout: %w", err)
	}
	sum := sha256.Sum256([]byte(d.style))
	p := page{
		R:           r,
		Style:       template.CSS(d.style),
		Sections:    sections,
		Tests:       groups(r.Tests),
		Exploratory: groups(r.Exploratory),
	}
	rows(r, func(t *model.TestRow) { p.Declared = append(p.Declared, *t) })
	p.Checks, p.Certificate = checks, d.certificate(r)
	p.StyleHash = template.HTMLAttr("sha256-" + base64.StdEncoding.EncodeToString(sum[:]))
	if len(r.Tests) > 0 {
		p.Threshold = &r.Tests[0].Threshold
	}
	drawn := d.figuresOf(r)
	p.Forest, p.Histograms, p.MoreHistograms, p.Curves = drawn.forest, drawn.histograms, drawn.more, drawn.curves
	p.CurveCaption = d.labels[drawn.caption]
	if len(r.Accounting) > 0 {
		f := d.accountingBars(r.Accounting)
		p.AccountFigure = &f
	}
	for _, a := range r.Accounting {
		for _, b := range a.Bounds {
			if b.Missing > 0 {
				p.Bounds = append(p.Bounds, b)
			}
		}
	}
	var b bytes.Buffer
	if err := d.page.Execute(&b, p); err != nil {
		return nil, fmt.Errorf("lay the report out: %w", err)
	}
	return b.Bytes(), nil
}

// drawn are the figures of a report, for page and paper alike.
type drawn struct {
	forest, histograms, curves []figure
	more                       bool   // histograms that did not fit
	caption                    string // label of the curves' caption
}

func (d *design) figuresOf(r *model.Report) drawn {
	out := drawn{caption: "curve.caption"}
	for i, panel := range r.Plots.Forest {
		out.forest = append(out.forest, d.forest(i, panel))
	}
	// The targets under audit come first where not all histograms fit.
	order := slices.Clone(r.Plots.Decoys)
	slices.SortStableFunc(order, func(a, b model.Histogram) int { return rank(a.Role) - rank(b.Role) })
	for i, h := range order {
		if i == maxHistograms {
			out.more = true
			break
		}
		out.histograms = append(out.histograms, d.histogram(i, h))
	}
	for i, panel := range r.Plots.Curves {
		if panel.Mode == ledger.ModeAnytime {
			out.caption = "curve.caption.e"
		}
		out.curves = append(out.curves, d.curves(i, panel))
	}
	return out
}

func rank(r ledger.Role) int {
	if r == ledger.Rival {
		return 0
	}
	return 1
}

// groups puts the tests of one key together.
func groups(rows []model.TestRow) []group {
	var out []group
	for _, r := range rows {
		name := ""
		if r.FamilyName != "" {
			name = r.Family + " " + r.FamilyName
		}
		i := slices.IndexFunc(out, func(g group) bool { return g.Key == r.Key && g.Family == name })
		if i < 0 {
			i = len(out)
			out = append(out, group{Key: r.Key, Scheme: r.Scheme, Unit: r.EffectUnit, Family: name})
		}
		out[i].Rows = append(out[i].Rows, r)
	}
	for i := range out {
		slices.SortStableFunc(out[i].Rows, func(a, b model.TestRow) int { return rank(a.Role) - rank(b.Role) })
	}
	return out
}

// rowsOf lists the rows of all groups that have something.
func rowsOf(gs []group, has func(*model.TestRow) bool) []model.TestRow {
	var out []model.TestRow
	for _, g := range gs {
		for i := range g.Rows {
			if has(&g.Rows[i]) {
				out = append(out, g.Rows[i])
			}
		}
	}
	return out
}

func joined(gs []group) []model.TestRow {
	return rowsOf(gs, func(r *model.TestRow) bool { return r.Earlier != nil })
}

func compared(gs []group) []model.TestRow {
	return rowsOf(gs, func(r *model.TestRow) bool { return r.Comparison != nil })
}

func traited(gs []group) []model.TestRow {
	return rowsOf(gs, func(r *model.TestRow) bool { return r.Comparison != nil && len(r.Comparison.Traits) > 0 })
}

func judged(gs []group) []model.TestRow {
	return rowsOf(gs, func(r *model.TestRow) bool { return r.Judge != nil && len(r.JudgeSays) > 0 })
}

// readings are the pairs of readings of a judged test that there are.
func readings(j *ledger.JudgeFinding) []ledger.Reliability {
	var out []ledger.Reliability
	for _, r := range append([]ledger.Reliability{j.Self}, j.Rules...) {
		if r.N > 0 {
			out = append(out, r)
		}
	}
	return out
}

// gapOf is the sentence on how unlike target and controls are read, "" where there is
// none.
func gapOf(r model.TestRow) string {
	if r.Judge.Gap == nil {
		return ""
	}
	return r.JudgeSays[len(r.JudgeSays)-1]
}

// agreed and kappa write how far two readings agree.
func (d *design) agreed(r ledger.Reliability) string {
	return d.fixed3(r.Share) + d.bounds(d.fixed3(r.ShareLo), d.fixed3(r.ShareHi))
}

func (d *design) kappa(r ledger.Reliability) string {
	if r.Kappa == nil {
		return "–"
	}
	return d.fixed3(*r.Kappa) + d.bounds(d.fixed3(*r.KappaLo), d.fixed3(*r.KappaHi))
}

func parted(gs []group) []model.TestRow {
	return rowsOf(gs, func(r *model.TestRow) bool { return len(r.Parts) > 0 })
}

// scored lists the groups whose units are positions of text, which alone have
// positions that were not scored.
func scored(gs []group) []group {
	var out []group
	for _, g := range gs {
		if slices.ContainsFunc(g.Rows, func(r model.TestRow) bool { return r.Tokens > 0 || r.FamilyName == "" }) {
			out = append(out, g)
		}
	}
	return out
}

// rankLine says how a comparison came out.
func (d *design) rankLine(c *ledger.Comparison) string {
	line := d.fill("comparison.rank", "rank", d.integer(int64(c.Rank)), "of", d.integer(int64(c.Of)), "p", d.logarithm(c.Log10P), "floor", d.logarithm(c.Log10Floor),
		"t", d.logarithm(c.Log10Parametric), "vendors", d.integer(int64(c.Vendors)))
	if m := c.Missing; m != nil {
		line += "; " + d.fill("comparison.missing", "n", d.integer(m.Replies), "best", d.integer(int64(m.BestRank)), "worst", d.integer(int64(m.WorstRank)))
	}
	if m := c.MissingAll; m != nil {
		line += "; " + d.fill("comparison.missing.all", "n", d.integer(m.Replies), "best", d.integer(int64(m.BestRank)), "worst", d.integer(int64(m.WorstRank)))
	}
	if c.LikelihoodRatio != nil {
		line += "; " + d.fill("comparison.lr", "lr", d.significant(*c.LikelihoodRatio), "cap", d.significant(c.Cap))
	}
	return line
}

// permutation says how the test within items beside a rank came out.
func (d *design) permutation(p *ledger.Permutation) string {
	return d.fill("permutation", "n", d.integer(p.N), "b", d.integer(int64(p.B)), "p", d.logarithm(p.Log10P), "null", p.Null)
}

// shared is a sentence with the tests that it is said of.
type shared struct{ Text, Tests string }

// sharedBy lists the distinct sentences of all rows.
func (d *design) sharedBy(gs []group, of func(model.TestRow) []string) []shared {
	var order []string
	tests := map[string][]string{}
	total := 0
	for _, g := range gs {
		for _, r := range g.Rows {
			total++
			for _, s := range of(r) {
				if tests[s] == nil {
					order = append(order, s)
				}
				tests[s] = append(tests[s], r.Test)
			}
		}
	}
	var out []shared
	for _, s := range order {
		names := strings.Join(tests[s], ", ")
		if len(tests[s]) == total && total > 1 {
			names = d.fill("tests.all", "n", strconv.Itoa(total))
		}
		out = append(out, shared{s, names})
	}
	return out
}

func (d *design) funcs() template.FuncMap {
	return template.FuncMap{
		"L":    func(key string) (string, error) { return d.label(key) },
		"fill": d.label,
		"word": func(kind string, value any) string { return d.word(kind, fmt.Sprint(value)) },
		"dict": func(pairs ...any) map[string]any {
			m := map[string]any{}
			for i := 0; i+1 < len(pairs); i += 2 {
				m[fmt.Sprint(pairs[i])] = pairs[i+1]
			}
			return m
		},
		"hash": func(s string) string { return s[:min(16, len(s))] + "…" },
		"int":  d.anyInteger,
		"p":    d.logarithm,
		"effect": func(v any) string {
			if p, ok := v.(*float64); ok {
				return d.effectText(*p)
			}
			return d.effectText(v.(float64))
		},
		"interval": d.interval,
		"measured": d.measured,
		"bounds":   d.bounds,
		"power":    d.power,
		"signed":   d.effectText,
		"sig":      d.significant,
		"fix1":     func(v float64) string { return minus(d.grouped(v, 1)) },
		"fix3":     d.fixed3,
		"pct":      d.percent,
		"time":     d.clock,
		"words":    func(s string) string { return strings.ReplaceAll(s, "_", " ") },
		"role":     func(r ledger.Role) (string, error) { return d.label(string(r)) },
		"verdict":  d.verdict,
		"chip":     chip,
		"stateclass": func(s string) string {
			switch s {
			case model.StateTested, model.StateDesign:
				return "good"
			case model.StateOpen:
				return "open"
			}
			return ""
		},
		"counts":  d.counted,
		"classes": d.classList,
		"json": func(v any) (string, error) {
			b, err := json.Marshal(v)
			return string(b), err
		},
		"samples":  d.samples,
		"caps":     d.caps,
		"joined":   joined,
		"compared": compared,
		"parted":   parted,
		"traited":  traited,
		"judged":   judged,
		"readings": readings,
		"gap":      gapOf,
		"agreed":   d.agreed,
		"kappa":    d.kappa,
		"permuted": d.permutation,
		"scored":   scored,
		"rankline": d.rankLine,
		"day":      d.day,
		"meanings": func(gs []group) []shared {
			return d.sharedBy(gs, func(r model.TestRow) []string { return []string{r.Sentence} })
		},
		"nulls": func(gs []group) []shared {
			return d.sharedBy(gs, func(r model.TestRow) []string { return []string{r.Null} })
		},
		"warnings": func(gs []group) []shared {
			return d.sharedBy(gs, func(r model.TestRow) []string { return r.Warnings })
		},
	}
}

// verdict names a verdict in a few words.
func (d *design) verdict(v ledger.Verdict) string { return model.VerdictLabel(d.lang, v) }

// samples counts the samples of a prompt.
func (d *design) samples(n int) string {
	if n == 1 {
		return d.labels["sample"]
	}
	return d.fill("samples", "n", d.integer(int64(n)))
}

// chip is the style of a verdict: what carries evidence is filled, a signal is
// outlined, a warning is tinted, the rest is plain.
func chip(v ledger.Verdict) string {
	switch v {
	case ledger.VerdictDependence, ledger.VerdictSingleRun:
		return "strong"
	case ledger.VerdictExploratory, ledger.VerdictLead:
		return "signal"
	case ledger.VerdictWeak, ledger.VerdictWithheld:
		return "weak"
	}
	return ""
}

// caps lists the bounds of a run that are set.
func (d *design) caps(c ledger.Caps) string {
	var parts []string
	add := func(key, value string) {
		parts = append(parts, strings.ReplaceAll(d.labels["caps."+key], "{n}", value))
	}
	if c.MaxRequests > 0 {
		add("requests", d.integer(c.MaxRequests))
	}
	if c.MaxTokens > 0 {
		add("tokens", d.integer(c.MaxTokens))
	}
	if c.MaxCost > 0 {
		add("cost", d.significant(c.MaxCost))
	}
	if c.MaxTime > 0 {
		add("time", c.MaxTime.String())
	}
	if len(parts) == 0 {
		return d.labels["caps.none"]
	}
	return strings.Join(parts, ", ")
}
