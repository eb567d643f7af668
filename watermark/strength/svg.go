package strength

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strings"
)

// Geometry of the figure, in pixels.
const (
	plotLeft, plotTop     = 60, 50
	plotWidth, plotHeight = 400, 260
	plotGap               = 60 // between the two panels
	legendWidth           = 240
	cellWidth, cellHeight = 44, 18
	rowLabel              = 150
	headHeight            = 130 // slanted names above the map
)

// colours of the curves, distinguishable without red against green (P. Tol's
// "bright" scheme); beyond seven they repeat with dashes.
var colours = []string{"#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#777777"}

// picture is an SVG under way.
type picture struct {
	strings.Builder
	run *Run
}

func (p *picture) add(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (p *picture) text(x, y float64, attributes, text string) {
	fmt.Fprintf(p, `<text x="%.1f" y="%.1f"%s>`, x, y, attributes)
	xml.EscapeText(p, []byte(text)) // a Builder does not fail
	p.WriteString("</text>\n")
}

// WriteSVG draws the run: the true-positive rate against tokens, on a logarithmic
// axis, with its intervals, at 1e-3 and at 1e-6, one curve for each setting; below
// them what attacks leave of it. The figure is plain SVG, on white, without scripts
// or fonts of its own.
func (r *Run) WriteSVG(w io.Writer) error {
	p := &picture{run: r}
	settings, attacks := len(r.Recorded.Settings), len(r.Recorded.Attacks)
	width := plotLeft + 2*plotWidth + plotGap + legendWidth
	height := max(plotTop+plotHeight+70, plotTop+18*settings+40)
	mapTop := height
	if attacks > 0 {
		height += headHeight + cellHeight*attacks + 60
		width = max(width, 40+rowLabel+cellWidth*settings+headHeight)
	}
	p.add(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" role="img">`, width, height, width, height)
	p.add("<title>Texts detected, by tokens and after attacks</title>")
	p.add(`<rect width="%d" height="%d" fill="#ffffff"/>`, width, height)
	p.text(plotLeft, 20, ` font-size="14"`, "Texts detected by tokens, with 95 % intervals")
	for i, l := range levels {
		p.panel(float64(plotLeft+i*(plotWidth+plotGap)), "tpr@"+l.name, "false-positive rate "+strings.TrimPrefix(l.name, "fpr"))
	}
	p.legend(plotLeft + 2*plotWidth + plotGap + 24)
	if attacks > 0 {
		p.attacks(float64(mapTop))
	}
	p.add("</svg>")
	_, err := io.WriteString(w, p.String())
	return err
}

// style is the colour and dash of curve i.
func style(i int) (colour, dash string) {
	if k := i / len(colours); k > 0 {
		dash = fmt.Sprintf(` stroke-dasharray="%d 3"`, 8/k)
	}
	return colours[i%len(colours)], dash
}

// panel draws one rate by tokens.
func (p *picture) panel(left float64, metric, title string) {
	lengths, settings := p.run.Recorded.Lengths, p.run.Recorded.Settings
	lo, hi := math.Log(float64(lengths[0])), math.Log(float64(lengths[len(lengths)-1]))
	if hi == lo {
		hi = lo + 1
	}
	x := func(n int) float64 { return left + plotWidth*(math.Log(float64(n))-lo)/(hi-lo) }
	y := func(rate Number) float64 { return plotTop + plotHeight*(1-float64(rate)) }
	p.text(left+plotWidth/2, plotTop-12, ` text-anchor="middle"`, title)
	for i := 0; i <= 4; i++ {
		rate := Number(i) / 4
		p.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#dddddd"/>`, left, y(rate), left+plotWidth, y(rate))
		p.text(left-8, y(rate)+4, ` text-anchor="end"`, fmt.Sprintf("%.2f", float64(rate)))
	}
	for _, n := range lengths {
		p.text(x(n), plotTop+plotHeight+18, ` text-anchor="middle"`, fmt.Sprint(n))
	}
	p.text(left+plotWidth/2, plotTop+plotHeight+40, ` text-anchor="middle"`, "tokens")
	for i, s := range settings {
		colour, dash := style(i)
		// Many curves end at 1: a shift to the side keeps their intervals apart.
		shift := 14 * (float64(i) - float64(len(settings)-1)/2) / float64(len(settings))
		var points []string
		for _, n := range lengths {
			m, ok := p.run.find(metric, fmt.Sprintf("%s/tokens=%d", s.Labels, n))
			if !ok {
				continue
			}
			at := x(n) + shift
			points = append(points, fmt.Sprintf("%.1f,%.1f", at, y(m.Value)))
			p.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-opacity="0.5"/><circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`,
				at, y(m.Lo), at, y(m.Hi), colour, at, y(m.Value), colour)
		}
		p.add(`<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"%s/>`, strings.Join(points, " "), colour, dash)
	}
}

func (p *picture) legend(left float64) {
	for i, s := range p.run.Recorded.Settings {
		colour, dash := style(i)
		at := float64(plotTop + 18*i)
		p.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="2"%s/>`, left, at, left+24, at, colour, dash)
		p.text(left+30, at+4, "", name(s.Labels))
	}
}

// attacks draws the rate at 1e-3 after each attack as a map: the darker, the more
// texts are still detected.
func (p *picture) attacks(top float64) {
	p.text(plotLeft, top, ` font-size="14"`, fmt.Sprintf("Share of texts of %d tokens detected at 1e-3 after an attack", p.run.Recorded.AttackSize))
	left, first := float64(40+rowLabel), top+headHeight
	for i, s := range p.run.Recorded.Settings {
		x := left + cellWidth*(float64(i)+.5)
		p.text(x, first-8, fmt.Sprintf(` transform="rotate(-45 %.1f %.1f)"`, x, first-8), name(s.Labels))
	}
	for k, a := range p.run.Recorded.Attacks {
		y := first + cellHeight*float64(k)
		p.text(left-8, y+cellHeight-5, ` text-anchor="end"`, attackName(a))
		for i, s := range p.run.Recorded.Settings {
			m, ok := p.run.find("tpr@fpr1e-3", fmt.Sprintf("%s/tokens=%d/%s", s.Labels, p.run.Recorded.AttackSize, a))
			if !ok {
				continue
			}
			ink := "#000000"
			if m.Value > .6 {
				ink = "#ffffff"
			}
			x := left + cellWidth*float64(i)
			p.add(`<rect x="%.1f" y="%.1f" width="%d" height="%d" fill="#225588" fill-opacity="%.2f"/>`, x, y, cellWidth-2, cellHeight-2, float64(m.Value))
			p.text(x+(cellWidth-2)/2, y+cellHeight-5, ` text-anchor="middle" font-size="11" fill="`+ink+`"`, fmt.Sprintf("%.2f", float64(m.Value)))
		}
	}
}
