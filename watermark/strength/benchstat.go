package strength

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// WriteBenchmarks writes the run in Go's benchmark format (golang.org/design/
// 14313-benchmark-format), with units of our own and their direction, so that
// benchstat compares two runs. A quantile that was not reached has no line.
func (r *Run) WriteBenchmarks(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "model: %s\ntokenizer: %s\ntexts: %d\nseed: %d\n", r.Recorded.Model, r.Recorded.Tokenizer, r.Recorded.Texts, r.Recorded.Seed)
	for _, m := range Metrics() {
		switch {
		case m.Better > 0:
			fmt.Fprintf(&b, "Unit %s better=higher assume=exact\n", unit(m.Name))
		case m.Better < 0:
			fmt.Fprintf(&b, "Unit %s better=lower assume=exact\n", unit(m.Name))
		}
	}
	order := []string{}
	lines := map[string]string{}
	for _, m := range r.Measurements {
		if math.IsInf(float64(m.Value), 0) {
			continue
		}
		if _, seen := lines[m.Labels]; !seen {
			order = append(order, m.Labels)
		}
		lines[m.Labels] += fmt.Sprintf(" %.6g %s", float64(m.Value), unit(m.Metric))
	}
	for _, labels := range order {
		fmt.Fprintf(&b, "BenchmarkWatermark/%s 1%s\n", labels, lines[labels])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// unit is a metric's name as benchmark lines write it.
func unit(metric string) string {
	switch metric {
	case "z", "log10p":
		return metric + "/doc"
	case "kl":
		return "kl-nats/token"
	}
	return metric
}
