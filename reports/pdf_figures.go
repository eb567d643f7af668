package reports

import (
	"strconv"
	"strings"
)

// A figure is drawn from the same shapes as in the page; these are what its style
// sheet says of their classes.
type stroke struct {
	c     ink
	width float64 // units of the figure
	dash  []float64
}

var strokes = map[string]stroke{
	"axis":  {control, 1, nil},
	"grid":  {hair, 1, nil},
	"zero":  {black, 1, []float64{2, 3}},
	"limit": {seenC, 1.2, []float64{5, 4}},
	"law":   {black, 1.2, nil},
	"seen":  {seenC, 2.2, nil},
	"rl":    {rivalC, 2.2, nil},
	"cl":    {control, 1.6, []float64{5, 3}},
	"cf":    {control, 1.8, nil},
	"f4":    {control, 1, []float64{3, 2}},
	"brk":   {white, 5, nil},
}

var fills = map[string]ink{
	"bar": {0xb4, 0xba, 0xc2}, "rf": rivalC, "cf": white, "f0": rivalC, "f1": control, "f2": warnEdg, "f3": seenC,
}

// figure draws a figure at the given width in millimetres, on the left margin.
func (s *sheet) figure(f figure, w float64) {
	h := w * float64(f.H) / float64(f.W)
	s.gap(1)
	s.room(min(h+8, bottomY-marginTop))
	y := s.pdf.GetY()
	s.draw(f, marginX, y, w)
	s.pdf.SetXY(marginX, y+h+1)
}

// figures draws figures two by two, each with its caption.
func (s *sheet) figures(fs []figure) {
	const w = (lineW - 8) / 2
	for i := 0; i < len(fs); i += 2 {
		pair := fs[i:min(i+2, len(fs))]
		h := 0.0
		for _, f := range pair {
			h = max(h, w*float64(f.H)/float64(f.W))
		}
		s.room(min(h+8, bottomY-marginTop))
		y := s.pdf.GetY()
		for j, f := range pair {
			x := marginX + float64(j)*(w+8)
			s.draw(f, x, y, w)
			s.font(regular, 7.4)
			s.color(soft)
			s.pdf.SetXY(x, y+h+.5)
			line := s.lines(f.Name+" · "+f.Note, w)
			s.pdf.CellFormat(w, leading(7.4), line[0], "", 0, "L", false, 0, "")
		}
		s.pdf.SetXY(marginX, y+h+7)
	}
}

// draw puts the shapes of a figure on the page.
func (s *sheet) draw(f figure, x0, y0, w float64) {
	k := w / float64(f.W)
	num := func(t string) float64 {
		v, _ := strconv.ParseFloat(t, 64) // written by figure itself
		return v * k
	}
	for _, p := range f.Shapes {
		classes := strings.Fields(p.Class)
		pen, has := stroke{}, false
		var ground *ink
		for _, c := range classes {
			if st, ok := strokes[c]; ok {
				pen, has = st, true
			}
			if g, ok := fills[c]; ok {
				ground = &g
			}
		}
		style := ""
		if ground != nil {
			s.fill(*ground)
			style = "F"
		}
		if has {
			s.stroke(pen.c, pen.width*k)
			dash := make([]float64, len(pen.dash))
			for i := range dash {
				dash[i] = pen.dash[i] * k
			}
			s.pdf.SetDashPattern(dash, 0)
			style += "D"
		}
		switch p.Kind {
		case "line":
			s.pdf.Line(x0+num(p.X), y0+num(p.Y), x0+num(p.X2), y0+num(p.Y2))
		case "rect":
			s.pdf.Rect(x0+num(p.X), y0+num(p.Y), num(p.X2), num(p.Y2), style)
		case "circle":
			s.pdf.Circle(x0+num(p.X), y0+num(p.Y), num(p.X2), style)
		case "path":
			s.path(p.Text, x0, y0, num, style)
		case "text":
			s.label(p, classes, x0+num(p.X), y0+num(p.Y), 12*k/0.3528)
		}
		if len(pen.dash) > 0 {
			s.pdf.SetDashPattern([]float64{}, 0)
		}
	}
}

// path draws M and L commands.
func (s *sheet) path(d string, x0, y0 float64, num func(string) float64, style string) {
	for _, part := range strings.FieldsFunc(strings.ReplaceAll(d, "L", "|L"), func(r rune) bool { return r == '|' }) {
		x, y, _ := strings.Cut(part[1:], " ")
		if part[0] == 'M' {
			s.pdf.MoveTo(x0+num(x), y0+num(y))
		} else {
			s.pdf.LineTo(x0+num(x), y0+num(y))
		}
	}
	s.pdf.DrawPath(style)
}

// label writes a text at a point, aligned as its classes say.
func (s *sheet) label(p shape, classes []string, x, y, size float64) {
	f, c := regular, black
	align := 0.0
	for _, class := range classes {
		switch class {
		case "s":
			c = soft
		case "rt":
			f, c = bold, rivalC
		case "seentext":
			f, c = bold, seenC
		case "mid":
			align = .5
		case "end":
			align = 1
		}
	}
	s.font(f, size)
	s.color(c)
	text := s.spell(f, p.Text)
	s.pdf.Text(x-align*s.width(text), y, text)
}

// plots are the figures of the report.
func (p *paper) plots() {
	x := p.d.figuresOf(p.r)
	if len(x.forest) > 0 {
		p.subheading(p.l("forest"))
		p.small(p.l("forest.caption"))
		p.figures(x.forest)
	}
	if len(x.histograms) > 0 {
		p.subheading(p.l("histogram"))
		caption := p.l("histogram.caption")
		if x.more {
			caption += " " + p.l("others")
		}
		p.small(caption)
		p.figures(x.histograms)
	}
	if len(x.curves) > 0 {
		p.subheading(p.l("curve"))
		p.small(p.l(x.caption))
		p.figures(x.curves)
	}
}
