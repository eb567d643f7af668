package reports

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports/model"
)

// Figures are drawn 440 units wide: one fills a phone, two stand side by side on
// a page, and 12-unit text stays readable in both.
const figureWidth = 440

// figure is an SVG as the template draws it. Shapes carry classes and no
// colours: the style sheet has one set for light, one for dark and one for print.
type figure struct {
	ID, Name, Note, Desc string
	W, H                 int
	Shapes               []shape
}

// shape is one element. Coordinates are strings with one decimal, so that the
// same data give the same bytes.
type shape struct {
	Kind, Class  string // line, rect, circle, path or text
	X, Y, X2, Y2 string
	Text         string
}

func at(v float64) string {
	s := strconv.FormatFloat(v, 'f', 1, 64)
	if s == "-0.0" {
		return "0.0"
	}
	return s
}

func (f *figure) line(class string, x1, y1, x2, y2 float64) {
	f.Shapes = append(f.Shapes, shape{Kind: "line", Class: class, X: at(x1), Y: at(y1), X2: at(x2), Y2: at(y2)})
}

func (f *figure) rect(class string, x, y, w, h float64) {
	f.Shapes = append(f.Shapes, shape{Kind: "rect", Class: class, X: at(x), Y: at(y), X2: at(w), Y2: at(h)})
}

func (f *figure) circle(class string, x, y, r float64) {
	f.Shapes = append(f.Shapes, shape{Kind: "circle", Class: class, X: at(x), Y: at(y), X2: at(r)})
}

func (f *figure) text(class string, x, y float64, text string) {
	f.Shapes = append(f.Shapes, shape{Kind: "text", Class: class, X: at(x), Y: at(y), Text: text})
}

func (f *figure) path(class string, points [][2]float64) {
	var b strings.Builder
	for i, p := range points {
		letter := "L"
		if i == 0 {
			letter = "M"
		}
		b.WriteString(letter + at(p[0]) + " " + at(p[1]))
	}
	f.Shapes = append(f.Shapes, shape{Kind: "path", Class: class, Text: b.String()})
}

// scale maps data to a range of pixels.
type scale struct{ lo, hi, from, to float64 }

func (s scale) at(v float64) float64 {
	if s.hi == s.lo {
		return (s.from + s.to) / 2
	}
	return s.from + (v-s.lo)/(s.hi-s.lo)*(s.to-s.from)
}

// ticks returns about n round values inside the scale.
func (s scale) ticks(n int) []float64 {
	span := s.hi - s.lo
	if !(span > 0) || math.IsInf(span, 0) {
		return nil
	}
	step := math.Pow(10, math.Floor(math.Log10(span/float64(n))))
	for _, m := range []float64{1, 2, 5, 10} {
		if span/(step*m) <= float64(n) {
			step *= m
			break
		}
	}
	var out []float64
	for i := math.Ceil(s.lo / step); i*step <= s.hi+step*1e-9; i++ {
		out = append(out, i*step)
	}
	return out
}

// tick writes a tick's value with as many decimals as its neighbours need.
func (d *design) tick(v float64, ticks []float64) string {
	decimals := 0
	if len(ticks) > 1 {
		if step := math.Abs(ticks[1] - ticks[0]); step < 1 {
			decimals = int(math.Ceil(-math.Log10(step) - 1e-9))
		}
	}
	return d.decimal(minus(strconv.FormatFloat(v, 'f', decimals, 64)))
}

// forest draws effects with their intervals, one panel per unit.
func (d *design) forest(i int, p model.ForestPanel) figure {
	const row, top, left, right = 25.0, 8.0, 150.0, 74.0
	f := figure{ID: fmt.Sprintf("forest-%d", i), Name: p.Scheme, Note: p.Unit, W: figureWidth}
	lo, hi := 0.0, 0.0
	for _, r := range p.Rows {
		lo, hi = math.Min(lo, r.Lo), math.Max(hi, r.Hi)
	}
	if lo == hi {
		hi = lo + 1
	}
	pad := (hi - lo) * .05
	x := scale{lo - pad, hi + pad, left, figureWidth - right}
	bottom := top + row*float64(len(p.Rows))
	f.H = int(bottom) + 26
	ticks := x.ticks(4)
	for _, v := range ticks {
		f.line("grid", x.at(v), top, x.at(v), bottom)
		f.text("s mid", x.at(v), bottom+17, d.tick(v, ticks))
	}
	f.line("zero", x.at(0), top-4, x.at(0), bottom+4)
	var said []string
	for j, r := range p.Rows {
		y := top + row*(float64(j)+.5)
		stroke, fill, text := "axis", "cf", "s end"
		if r.Role == ledger.Rival {
			stroke, fill, text = "rl", "rf", "rt end"
		}
		f.text(text, left-12, y+4, fit(r.Target, 19))
		f.line(stroke, x.at(r.Lo), y, x.at(r.Hi), y)
		if r.Role == ledger.Rival {
			c := x.at(r.Effect)
			f.path(fill, [][2]float64{{c, y - 5.5}, {c + 5.5, y}, {c, y + 5.5}, {c - 5.5, y}})
		} else {
			f.circle(fill, x.at(r.Effect), y, 4)
		}
		f.text("s", figureWidth-right+12, y+4, d.effectText(r.Effect))
		said = append(said, d.fill("fig.interval", "name", r.Target, "effect", d.effectText(r.Effect), "lo", d.effectText(r.Lo), "hi", d.effectText(r.Hi)))
	}
	f.Desc = strings.Join(said, "; ") + "."
	return f
}

// histogram draws the decoys and the real key.
func (d *design) histogram(i int, h model.Histogram) figure {
	const top, bottom, left, right = 26.0, 150.0, 40.0, 14.0
	f := figure{ID: fmt.Sprintf("decoys-%d", i), W: figureWidth, H: 184}
	f.Name = h.Target + ", " + h.Scheme
	f.Note = d.fill("fig.decoys", "n", d.integer(int64(h.N)), "p", d.significant(h.RankP))
	end := h.From + h.Width*float64(len(h.Bins))
	far := h.Observed > end+1
	x := scale{h.From, math.Max(end, h.Observed+.4), left, figureWidth - right}
	if far { // the axis is broken: the real key stands apart
		x = scale{h.From, end, left, figureWidth - 128}
	}
	most := 1
	for _, n := range h.Bins {
		most = max(most, n)
	}
	peak := float64(h.N) * h.Width / math.Sqrt(2*math.Pi)
	y := scale{0, math.Max(float64(most), peak) * 1.06, bottom, top}
	for _, v := range y.ticks(3) {
		if v > 0 {
			f.line("grid", left, y.at(v), figureWidth-right, y.at(v))
			f.text("s end", left-6, y.at(v)+4, d.integer(int64(v)))
		}
	}
	for j, n := range h.Bins {
		if n > 0 {
			from, to := x.at(h.From+h.Width*float64(j)), x.at(h.From+h.Width*float64(j+1))
			f.rect("bar", from+.4, y.at(float64(n)), to-from-.8, bottom-y.at(float64(n)))
		}
	}
	var law [][2]float64
	for z := h.From; z <= end+1e-9; z += h.Width / 2 {
		law = append(law, [2]float64{x.at(z), y.at(peak * math.Exp(-z*z/2))})
	}
	f.path("law", law)
	f.line("axis", left, bottom, figureWidth-right, bottom)
	for _, v := range []float64{-4, -2, 0, 2, 4} {
		f.text("s mid", x.at(v), bottom+17, minus(strconv.FormatFloat(v, 'f', 0, 64)))
	}
	f.text("s mid", (x.at(h.From)+x.at(end))/2, bottom+32, d.fill("fig.score"))
	seen := x.at(math.Max(h.Observed, h.From))
	align := "seentext mid"
	if far {
		seen = figureWidth - 62
		cut := figureWidth - 112.0
		f.line("brk", cut-5, bottom+5, cut+5, bottom-5)
		f.line("axis", cut-7, bottom+5, cut+1, bottom-5)
		f.line("axis", cut-1, bottom+5, cut+7, bottom-5)
	} else if seen > figureWidth-60 {
		align = "seentext end"
	} else if seen < left+50 {
		align = "seentext"
	}
	f.line("seen", seen, top-4, seen, bottom)
	f.text(align, seen, top-10, d.fill("fig.key", "z", d.fixed(h.Observed, 1)))
	f.Desc = d.fill("fig.histogram", "n", d.integer(int64(h.N)), "max", d.fixed(h.Largest, 2), "z", d.fixed(h.Observed, 2), "p", d.significant(h.RankP))
	return f
}

// curves draws evidence against tokens read for the targets under one key.
func (d *design) curves(i int, p model.CurvePanel) figure {
	const top, bottom, left, right = 12.0, 190.0, 44.0, 126.0
	f := figure{ID: fmt.Sprintf("curve-%d", i), Name: p.Scheme, Note: p.Key, W: figureWidth, H: 226}
	value := func(c ledger.CurvePoint) float64 {
		if p.Mode == ledger.ModeAnytime {
			return math.Max(c.Log10E, 0)
		}
		return math.Max(-c.Log10P, 0)
	}
	tokens, most := 1.0, p.Threshold*1.15
	for _, c := range p.Curves {
		for _, pt := range c.Points {
			tokens, most = math.Max(tokens, float64(pt.Tokens)), math.Max(most, value(pt))
		}
	}
	x, y := scale{0, tokens, left, figureWidth - right}, scale{0, most * 1.04, bottom, top}
	ticks := y.ticks(4)
	for _, v := range ticks {
		f.line("grid", left, y.at(v), figureWidth-right, y.at(v))
		f.text("s end", left-7, y.at(v)+4, d.tick(v, ticks))
	}
	for _, v := range x.ticks(4) {
		f.text("s mid", x.at(v), bottom+17, d.thousands(v))
	}
	f.line("axis", left, bottom, figureWidth-right, bottom)
	f.text("s mid", (left+figureWidth-right)/2, bottom+33, d.fill("fig.tokens"))
	if p.Threshold > 0 {
		f.line("limit", left, y.at(p.Threshold), figureWidth-right, y.at(p.Threshold))
	}

	// Names stand at the ends of their lines, pushed apart where ends are close.
	type end struct {
		y           float64
		name, class string
	}
	var ends []end
	var said []string
	for _, c := range p.Curves {
		class, text := "cl", "s"
		if c.Role == ledger.Rival {
			class, text = "rl", "rt"
		}
		points := [][2]float64{{x.at(0), y.at(0)}}
		last := 0.0
		for _, pt := range thin(c.Points) {
			last = value(pt)
			points = append(points, [2]float64{x.at(float64(pt.Tokens)), y.at(last)})
		}
		f.path(class, points)
		ends = append(ends, end{y.at(last), c.Target, text})
		said = append(said, d.fill("fig.ends", "name", c.Target, "v", d.fixed(last, 1)))
	}
	slices.SortStableFunc(ends, func(a, b end) int {
		switch {
		case a.y < b.y:
			return -1
		case a.y > b.y:
			return 1
		}
		return 0
	})
	const gap = 13
	for j := len(ends) - 1; j >= 0; j-- {
		limit := bottom + 2
		if j < len(ends)-1 {
			limit = ends[j+1].y - gap
		}
		ends[j].y = math.Min(ends[j].y, limit)
	}
	for _, e := range ends {
		f.text(e.class, figureWidth-right+6, e.y+4, fit(e.name, 18))
	}
	f.Desc = d.fill("fig.curve", "n", d.integer(int64(tokens)), "limit", d.fixed(p.Threshold, 1), "said", strings.Join(said, "; "))
	return f
}

// maxCurve bounds the points of a drawn line: more than one per unit of width
// cannot be seen.
const maxCurve = 300

func thin(points []ledger.CurvePoint) []ledger.CurvePoint {
	if len(points) <= maxCurve {
		return points
	}
	out := make([]ledger.CurvePoint, 0, maxCurve)
	for i := range maxCurve {
		out = append(out, points[i*(len(points)-1)/(maxCurve-1)])
	}
	return out
}

// accountingBars draws what became of the planned items.
func (d *design) accountingBars(accounts []model.Account) figure {
	const row, top, left, right = 26.0, 6.0, 150.0, 92.0
	f := figure{ID: "accounting-bars", Name: d.fill("accounting"), W: figureWidth}
	most := 1.0
	for _, a := range accounts {
		most = math.Max(most, float64(a.Planned))
	}
	x := scale{0, most, left, figureWidth - right}
	var said []string
	for i, a := range accounts {
		y := top + row*float64(i)
		settled := a.Planned - a.Analysed - a.Missing
		from := 0.0
		for _, part := range []struct {
			class string
			n     int64
		}{{"f0", a.Analysed}, {"f2", settled}, {"f4", a.Missing}} {
			if part.n > 0 {
				f.rect(part.class, x.at(from), y+4, x.at(from+float64(part.n))-x.at(from), row-10)
				from += float64(part.n)
			}
		}
		text := "s end"
		if a.Role == ledger.Rival {
			text = "rt end"
		}
		f.text(text, left-12, y+row/2+3, fit(a.Target, 19))
		f.text("s", figureWidth-right+10, y+row/2+3, fmt.Sprintf("%s / %s", d.integer(a.Analysed), d.integer(a.Planned)))
		said = append(said, d.fill("fig.account", "name", a.Target, "planned", d.integer(a.Planned), "analysed", d.integer(a.Analysed), "settled", d.integer(settled), "missing", d.integer(a.Missing)))
	}
	f.H = int(top+row*float64(len(accounts))) + 4
	f.Desc = strings.Join(said, "; ") + "."
	return f
}

// fit cuts a name to what the figure has room for.
func fit(s string, runes int) string {
	r := []rune(s)
	if len(r) <= runes {
		return s
	}
	return string(r[:runes-1]) + "…"
}

func (d *design) thousands(v float64) string {
	if v >= 1000 {
		return d.fill("fig.thousand", "n", d.decimal(strconv.FormatFloat(v/1000, 'f', -1, 64)))
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}
