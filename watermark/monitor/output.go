package monitor

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
)

// Metrics are the streams in Prometheus' text format, version 0.0.4
// (https://prometheus.io/docs/instrumenting/exposition_formats/).
func (m *Monitor) Metrics() []byte {
	var b bytes.Buffer
	for _, metric := range []struct {
		name, kind, help string
		value            func(*Watch) float64
	}{
		{"stillmark_monitor_replies_total", "counter", "Replies that count, since the program first saw the stream or armed it again.", func(w *Watch) float64 { return float64(w.Replies) }},
		{"stillmark_monitor_skipped_total", "counter", "Replies with too few units to count.", func(w *Watch) float64 { return float64(w.Skipped) }},
		{"stillmark_monitor_strength", "gauge", "Mean bounded score per unit, exponential average over some 64 replies.", func(w *Watch) float64 { return w.Recent }},
		{"stillmark_monitor_strength_expected", "gauge", "The declared least strength.", func(*Watch) float64 { return m.config.Expected }},
		{"stillmark_monitor_strength_unmarked", "gauge", "The strength of text without the mark.", func(*Watch) float64 { return m.config.Unmarked }},
		{"stillmark_monitor_log10_e", "gauge", "Evidence against the declared strength; an alarm at the threshold.", (*Watch).Log10E},
		{"stillmark_monitor_log10_e_threshold", "gauge", "The stream's threshold, by its share of the false-alarm probability.", m.Threshold},
		{"stillmark_monitor_alarm", "gauge", "1 once the mark was found weaker than declared, until armed again.", func(w *Watch) float64 {
			if w.Alarm != nil {
				return 1
			}
			return 0
		}},
	} {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", metric.name, metric.help, metric.name, metric.kind)
		for _, w := range m.watches {
			var labels []string
			for _, l := range w.Stream.labels() {
				labels = append(labels, l[0]+`="`+labelEscapes.Replace(l[1])+`"`)
			}
			fmt.Fprintf(&b, "%s{%s} %.10g\n", metric.name, strings.Join(labels, ","), metric.value(w))
		}
	}
	return b.Bytes()
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// Geometry of the figure, in pixels: one panel for each stream.
const (
	left, top     = 60., 50.
	width, height = 620., 120.
	pitch         = height + 64
	// maxPanels are as many streams as a page shows; those in alarm come first.
	maxPanels = 40
)

// SVG draws each stream's strength over time (in replies), with the declared and the
// unmarked strength. Without scripts or fonts of its own, on white.
func (m *Monitor) SVG() []byte {
	var shown []*Watch
	for _, alarmed := range []bool{true, false} {
		for _, w := range m.watches {
			if (w.Alarm != nil) == alarmed && len(shown) < maxPanels {
				shown = append(shown, w)
			}
		}
	}
	var b bytes.Buffer
	total := top + pitch*float64(max(len(shown), 1)) + 10
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%[1]g" height="%[2]g" viewBox="0 0 %[1]g %[2]g" font-family="sans-serif" font-size="12" role="img">`+"\n", left+width+110, total)
	fmt.Fprintf(&b, "<title>Strength of the mark over time</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n")
	text := func(x, y float64, attributes, s string) {
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f"%s>`, x, y, attributes)
		xml.EscapeText(&b, []byte(s)) // a Buffer does not fail
		b.WriteString("</text>\n")
	}
	title := "Strength of the mark over time (mean score per unit, by reply)"
	if len(shown) < len(m.watches) {
		title += fmt.Sprintf("; %d of %d streams", len(shown), len(m.watches))
	}
	text(left, 22, ` font-size="14"`, title)
	for i, w := range shown {
		m.panel(&b, text, w, top+pitch*float64(i))
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func (m *Monitor) panel(b *bytes.Buffer, text func(x, y float64, attributes, s string), w *Watch, at float64) {
	lo, hi, replies := m.config.Unmarked, m.config.Expected, int64(0)
	for _, p := range w.History {
		lo, hi, replies = min(lo, p.Mean), max(hi, p.Mean), replies+p.Replies
	}
	margin := (hi - lo) * .1
	lo, hi = lo-margin, hi+margin
	y := func(v float64) float64 { return at + height*(hi-v)/(hi-lo) }
	x := func(n float64) float64 { return left + width*n/float64(max(replies, 1)) }
	state, colour := "", "#4477aa"
	if w.Alarm != nil {
		state, colour = ": ALARM, weaker than declared", "#ee6677"
	}
	text(left, at-8, ` font-weight="bold"`, w.Stream.String()+state)
	fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="none" stroke="#dddddd"/>`+"\n", left, at, width, height)
	for _, line := range []struct {
		value float64
		name  string
	}{{m.config.Expected, "declared"}, {m.config.Unmarked, "unmarked"}} {
		fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#777777" stroke-dasharray="5 4"/>`+"\n", left, y(line.value), left+width, y(line.value))
		text(left+width+8, y(line.value)+4, "", line.name)
		text(left-8, y(line.value)+4, ` text-anchor="end"`, fmt.Sprintf("%.3f", line.value))
	}
	var points []string
	seen := 0.
	for _, p := range w.History {
		points = append(points, fmt.Sprintf("%.1f,%.1f", x(seen+float64(p.Replies)/2), y(p.Mean)))
		seen += float64(p.Replies)
	}
	if len(points) > 0 {
		fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"/>`+"\n", strings.Join(points, " "), colour)
	}
	text(left, at+height+16, "", "0")
	text(left+width, at+height+16, ` text-anchor="end"`, fmt.Sprintf("%d replies", replies))
}
