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
	plotLeft, plotTop     = 60, 40
	plotWidth, plotHeight = 520, 300
	legendWidth           = 220
)

// colours of the curves, distinguishable without red against green (P. Tol's
// "bright" scheme); beyond seven they repeat with dashes.
var colours = []string{"#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#777777"}

// WriteSVG draws the true-positive rate at 1e-3 against tokens, on a logarithmic
// axis, with its intervals: one curve for each setting. The figure is plain SVG,
// on white, without scripts or fonts of its own.
func (r *Run) WriteSVG(w io.Writer) error {
	var b strings.Builder
	width, height := plotLeft+plotWidth+legendWidth, max(plotTop+plotHeight+60, plotTop+18*len(r.Recorded.Settings)+20)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" role="img">`+"\n", width, height, width, height)
	b.WriteString("<title>Texts detected at a false-positive rate of 1e-3, by tokens</title>\n")
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text x="%d" y="22" font-size="14">Texts detected at a false-positive rate of 1e-3</text>`+"\n", plotLeft)
	lengths := r.Recorded.Lengths
	lo, hi := math.Log(float64(lengths[0])), math.Log(float64(lengths[len(lengths)-1]))
	if hi == lo {
		hi = lo + 1
	}
	x := func(n int) float64 { return plotLeft + plotWidth*(math.Log(float64(n))-lo)/(hi-lo) }
	y := func(rate Number) float64 { return plotTop + plotHeight*(1-float64(rate)) }
	for i := 0; i <= 4; i++ {
		rate := Number(i) / 4
		fmt.Fprintf(&b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#dddddd"/><text x="%d" y="%.1f" text-anchor="end">%.2f</text>`+"\n",
			plotLeft, y(rate), plotLeft+plotWidth, y(rate), plotLeft-8, y(rate)+4, float64(rate))
	}
	for _, n := range lengths {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%d</text>`+"\n", x(n), plotTop+plotHeight+18, n)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">tokens</text>`+"\n", plotLeft+plotWidth/2, plotTop+plotHeight+40)
	for i, s := range r.Recorded.Settings {
		colour, dash := colours[i%len(colours)], ""
		if k := i / len(colours); k > 0 {
			dash = fmt.Sprintf(` stroke-dasharray="%d 3"`, 8/k)
		}
		var points []string
		for _, n := range lengths {
			m, ok := r.find("tpr@fpr1e-3", fmt.Sprintf("%s/tokens=%d", s.Labels, n))
			if !ok {
				continue
			}
			points = append(points, fmt.Sprintf("%.1f,%.1f", x(n), y(m.Value)))
			fmt.Fprintf(&b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-opacity="0.5"/><circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n",
				x(n), y(m.Lo), x(n), y(m.Hi), colour, x(n), y(m.Value), colour)
		}
		fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"%s/>`+"\n", strings.Join(points, " "), colour, dash)
		at := plotTop + 18*i
		fmt.Fprintf(&b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="%s" stroke-width="2"%s/><text x="%d" y="%d">`,
			plotLeft+plotWidth+20, at, plotLeft+plotWidth+44, at, colour, dash, plotLeft+plotWidth+50, at+4)
		if err := xml.EscapeText(&b, []byte(name(s.Labels))); err != nil {
			return err
		}
		b.WriteString("</text>\n")
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}
