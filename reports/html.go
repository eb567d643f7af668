package reports

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

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
	"accounting", "exhibits", "custody", "howto", "limits", "build", "glossary",
}

// design is the parsed layout, read once.
type design struct {
	page   *template.Template
	style  string
	labels map[string]string
}

var loadDesign = sync.OnceValues(func() (*design, error) {
	d := &design{}
	style, err := layout.ReadFile("layout/style.css")
	if err != nil {
		return nil, err
	}
	d.style = string(style)
	text, err := layout.ReadFile("layout/en.json")
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &d.labels); err != nil {
		return nil, fmt.Errorf("layout/en.json: %w", err)
	}
	d.page, err = template.New("report.html.tmpl").Funcs(d.funcs()).ParseFS(layout, "layout/report.html.tmpl")
	return d, err
})

// HTML lays a report out as one self-contained page: no scripts, nothing loaded
// from elsewhere, the same bytes for the same report.
func HTML(r *model.Report) ([]byte, error) {
	d, err := loadDesign()
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
	p.StyleHash = template.HTMLAttr("sha256-" + base64.StdEncoding.EncodeToString(sum[:]))
	if len(r.Tests) > 0 {
		p.Threshold = &r.Tests[0].Threshold
	}
	drawn := figuresOf(r)
	p.Forest, p.Histograms, p.MoreHistograms, p.Curves = drawn.forest, drawn.histograms, drawn.more, drawn.curves
	p.CurveCaption = d.labels[drawn.caption]
	if len(r.Accounting) > 0 {
		f := accountingBars(r.Accounting)
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

func figuresOf(r *model.Report) drawn {
	d := drawn{caption: "curve.caption"}
	for i, panel := range r.Plots.Forest {
		d.forest = append(d.forest, forest(i, panel))
	}
	// The targets under audit come first where not all histograms fit.
	order := slices.Clone(r.Plots.Decoys)
	slices.SortStableFunc(order, func(a, b model.Histogram) int { return rank(a.Role) - rank(b.Role) })
	for i, h := range order {
		if i == maxHistograms {
			d.more = true
			break
		}
		d.histograms = append(d.histograms, histogram(i, h))
	}
	for i, panel := range r.Plots.Curves {
		if panel.Mode == ledger.ModeAnytime {
			d.caption = "curve.caption.e"
		}
		d.curves = append(d.curves, curves(i, panel))
	}
	return d
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
	fill := func(key string, pairs ...string) string {
		s := d.labels[key]
		for i := 0; i+1 < len(pairs); i += 2 {
			s = strings.ReplaceAll(s, "{"+pairs[i]+"}", pairs[i+1])
		}
		return s
	}
	line := fill("comparison.rank", "rank", integer(int64(c.Rank)), "of", integer(int64(c.Of)), "p", logarithm(c.Log10P), "floor", logarithm(c.Log10Floor),
		"t", logarithm(c.Log10Parametric), "vendors", integer(int64(c.Vendors)))
	if c.LikelihoodRatio != nil {
		line += "; " + fill("comparison.lr", "lr", significant(*c.LikelihoodRatio), "cap", significant(c.Cap))
	}
	return line
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// shared is a sentence with the tests that it is said of.
type shared struct{ Text, Tests string }

// sharedBy lists the distinct sentences of all rows.
func sharedBy(gs []group, of func(model.TestRow) []string) []shared {
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
			names = fmt.Sprintf("all %d tests", total)
		}
		out = append(out, shared{s, names})
	}
	return out
}

func (d *design) funcs() template.FuncMap {
	label := func(key string) (string, error) {
		if s, ok := d.labels[key]; ok {
			return s, nil
		}
		return "", fmt.Errorf("no label %q", key)
	}
	return template.FuncMap{
		"L": label,
		"fill": func(key string, pairs ...string) (string, error) {
			s, err := label(key)
			if err != nil || len(pairs)%2 != 0 {
				return "", errors.Join(err, fmt.Errorf("label %q: odd pairs", key))
			}
			for i := 0; i < len(pairs); i += 2 {
				s = strings.ReplaceAll(s, "{"+pairs[i]+"}", pairs[i+1])
			}
			return s, nil
		},
		"dict": func(pairs ...any) map[string]any {
			m := map[string]any{}
			for i := 0; i+1 < len(pairs); i += 2 {
				m[fmt.Sprint(pairs[i])] = pairs[i+1]
			}
			return m
		},
		"hash": func(s string) string { return s[:min(16, len(s))] + "…" },
		"int":  anyInteger,
		"p":    logarithm,
		"effect": func(v any) string {
			if p, ok := v.(*float64); ok {
				return effectText(*p)
			}
			return effectText(v.(float64))
		},
		"signed":  effectText,
		"sig":     significant,
		"fix1":    func(v float64) string { return minus(grouped(v, 1)) },
		"fix3":    fixed3,
		"pct":     percent,
		"time":    clock,
		"words":   func(s string) string { return strings.ReplaceAll(s, "_", " ") },
		"role":    func(r ledger.Role) (string, error) { return label(string(r)) },
		"verdict": model.VerdictLabel,
		"chip":    chip,
		"stateclass": func(s string) string {
			switch s {
			case model.StateTested, model.StateDesign:
				return "good"
			case model.StateOpen:
				return "open"
			}
			return ""
		},
		"counts":  counted,
		"classes": classList,
		"json": func(v any) (string, error) {
			b, err := json.Marshal(v)
			return string(b), err
		},
		"samples": func(n int) string {
			if n == 1 {
				return d.labels["sample"]
			}
			return strings.ReplaceAll(d.labels["samples"], "{n}", integer(int64(n)))
		},
		"caps":     d.caps,
		"joined":   joined,
		"compared": compared,
		"parted":   parted,
		"scored":   scored,
		"rankline": d.rankLine,
		"day":      day,
		"meanings": func(gs []group) []shared {
			return sharedBy(gs, func(r model.TestRow) []string { return []string{r.Sentence} })
		},
		"nulls": func(gs []group) []shared {
			return sharedBy(gs, func(r model.TestRow) []string { return []string{r.Null} })
		},
		"warnings": func(gs []group) []shared {
			return sharedBy(gs, func(r model.TestRow) []string { return r.Warnings })
		},
	}
}

func fixed3(v float64) string { return minus(strconv.FormatFloat(v, 'f', 3, 64)) }

func percent(v float64) string { return strconv.FormatFloat(100*v, 'f', 1, 64) + " %" }

// cmpOr writes a dash for nothing.
func cmpOr(s string) string {
	if s == "" {
		return "–"
	}
	return s
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

// minus writes a negative number with the minus sign of typography.
func minus(s string) string {
	if strings.HasPrefix(s, "-") {
		if strings.Trim(s, "-0.") == "" {
			return s[1:] // no negative zero
		}
		return "−" + s[1:]
	}
	return s
}

func clock(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04:05") + " UTC"
}

// logarithm writes log10 values with two decimals; nil, what is not reported,
// is a dash.
func logarithm(v any) string {
	switch v := v.(type) {
	case *float64:
		if v == nil {
			return "–"
		}
		return minus(grouped(*v, 2))
	case float64:
		return minus(grouped(v, 2))
	}
	return "–"
}

// effectText writes an effect with its sign and three decimals, or more where
// that would leave nothing to see.
func effectText(v float64) string {
	decimals := 3
	if a := math.Abs(v); a > 0 && a < .01 {
		decimals = 4
	}
	s := minus(strconv.FormatFloat(v, 'f', decimals, 64))
	if v > 0 && !strings.HasPrefix(s, "−") {
		return "+" + s
	}
	return s
}

// significant writes three significant digits without an exponent where that
// is short.
func significant(v float64) string {
	if a := math.Abs(v); a != 0 && (a < 1e-4 || a >= 1e6) {
		return minus(strconv.FormatFloat(v, 'g', 3, 64))
	}
	if math.Abs(v) >= 100 {
		return minus(grouped(v, 0))
	}
	s := strconv.FormatFloat(v, 'g', 3, 64)
	return minus(s)
}

// grouped writes a number with commas and the given decimals.
func grouped(v float64, decimals int) string {
	s := strconv.FormatFloat(v, 'f', decimals, 64)
	whole, fraction, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n > -1000 && n < 1000 {
		return s
	}
	s = plainMinus(integer(n))
	if fraction != "" {
		s += "." + fraction
	}
	return s
}

func plainMinus(s string) string { return strings.Replace(s, "−", "-", 1) }

// integer writes a whole number with commas.
func integer(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "−", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

func anyInteger(v any) (string, error) {
	switch v := v.(type) {
	case int:
		return integer(int64(v)), nil
	case int64:
		return integer(v), nil
	case uint64:
		return integer(int64(v)), nil
	}
	return "", fmt.Errorf("%T is no integer", v)
}

// caps lists the bounds of a run that are set.
func (d *design) caps(c ledger.Caps) string {
	var parts []string
	add := func(key, value string) {
		parts = append(parts, strings.ReplaceAll(d.labels["caps."+key], "{n}", value))
	}
	if c.MaxRequests > 0 {
		add("requests", integer(c.MaxRequests))
	}
	if c.MaxTokens > 0 {
		add("tokens", integer(c.MaxTokens))
	}
	if c.MaxCost > 0 {
		add("cost", significant(c.MaxCost))
	}
	if c.MaxTime > 0 {
		add("time", c.MaxTime.String())
	}
	if len(parts) == 0 {
		return d.labels["caps.none"]
	}
	return strings.Join(parts, ", ")
}
