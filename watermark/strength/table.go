package strength

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// table is a part of the report for people.
type table struct {
	title string
	head  []string
	rows  [][]string
}

// write lays the table out in columns.
func (t table) write(w io.Writer) error {
	fmt.Fprintln(w, t.title)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "  "+strings.Join(t.head, "\t"))
	for _, row := range t.rows {
		fmt.Fprintln(tw, "  "+strings.Join(row, "\t"))
	}
	return tw.Flush()
}

// markdown is the table without its title, line by line.
func (t table) markdown() []string {
	lines := []string{"| " + strings.Join(t.head, " | ") + " |", strings.Repeat("|---", len(t.head)) + "|"}
	for _, row := range t.rows {
		lines = append(lines, "| "+strings.Join(row, " | ")+" |")
	}
	return lines
}

// tables are strength by length, cost and null, and attacks.
func (r *Run) tables() []table {
	var out []table
	for _, l := range levels {
		t := table{title: fmt.Sprintf("Texts detected at a false-positive rate of %s (95 %% interval), by tokens", strings.TrimPrefix(l.name, "fpr")), head: []string{"setting"}}
		for _, n := range r.Recorded.Lengths {
			t.head = append(t.head, fmt.Sprint(n))
		}
		for _, s := range r.Recorded.Settings {
			row := []string{name(s.Labels)}
			for _, n := range r.Recorded.Lengths {
				row = append(row, r.cell("tpr@"+l.name, fmt.Sprintf("%s/tokens=%d", s.Labels, n), true))
			}
			t.rows = append(t.rows, row)
		}
		out = append(out, t)
	}
	cost := table{
		title: "Tokens to detect, cost and null calibration",
		head:  []string{"setting", "tokens 1e-3 median", "p95", "tokens 1e-6 median", "p95", "KL nats/token", "perplexity ×", "repetition", "distinct-2", "null KS p"},
	}
	labels := []string{}
	for _, s := range r.Recorded.Settings {
		labels = append(labels, s.Labels)
	}
	if _, ok := r.find("repetition", unmarked); ok {
		labels = append(labels, unmarked)
	}
	for _, l := range labels {
		row := []string{name(l)}
		for _, metric := range []string{"tokens50@fpr1e-3", "tokens95@fpr1e-3", "tokens50@fpr1e-6", "tokens95@fpr1e-6", "kl", "perplexity-ratio", "repetition", "distinct-2", "null-ks-p"} {
			row = append(row, r.cell(metric, l, false))
		}
		cost.rows = append(cost.rows, row)
	}
	out = append(out, cost)
	if len(r.Recorded.Attacks) == 0 {
		return out
	}
	attacks := table{title: fmt.Sprintf("Texts of %d tokens detected at 1e-3 after an attack (median log10 p)", r.Recorded.AttackSize), head: []string{"attack"}}
	for _, s := range r.Recorded.Settings {
		attacks.head = append(attacks.head, name(s.Labels))
	}
	for _, a := range r.Recorded.Attacks {
		row := []string{attackName(a)}
		for _, s := range r.Recorded.Settings {
			labels := fmt.Sprintf("%s/tokens=%d/%s", s.Labels, r.Recorded.AttackSize, a)
			row = append(row, r.cell("tpr@fpr1e-3", labels, false)+" ("+r.cell("log10p", labels, false)+")")
		}
		attacks.rows = append(attacks.rows, row)
	}
	return append(out, attacks)
}

// name is a setting as people read it.
func name(labels string) string {
	return strings.ReplaceAll(strings.TrimPrefix(strings.TrimPrefix(labels, "scheme="), "text="), "/", " ")
}

func attackName(labels string) string {
	return strings.NewReplacer("attack=", "", "/rate=", " ", "/through=", " ").Replace(labels)
}

func (r *Run) cell(metric, labels string, interval bool) string {
	m, ok := r.find(metric, labels)
	switch {
	case !ok:
		return "-"
	case interval:
		s := fmt.Sprintf("%s [%s, %s]", short(m.Value), short(m.Lo), short(m.Hi))
		if m.N != int64(r.Recorded.Texts) { // not all texts are so long
			s += fmt.Sprintf(" of %d", m.N)
		}
		return s
	case math.IsInf(float64(m.Value), 1):
		return fmt.Sprintf("> %d", slices.Max(r.Recorded.Lengths))
	}
	return short(m.Value)
}

// short is a number with three significant digits at most.
func short(n Number) string {
	s := fmt.Sprintf("%.3g", float64(n))
	if a := math.Abs(float64(n)); a >= 1000 && !math.IsInf(a, 0) {
		s = fmt.Sprintf("%.0f", float64(n))
	}
	return s
}

// WriteTable writes the run for people.
func (r *Run) WriteTable(w io.Writer) error {
	fmt.Fprintln(w, r.head())
	for _, t := range r.tables() {
		fmt.Fprintln(w)
		if err := t.write(w); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "\n%s\n", r.calibration())
	return err
}

// head says what was measured.
func (r *Run) head() string {
	per := "per setting"
	if r.Recorded.Given {
		per = "under key " + r.Recorded.Key
	}
	return fmt.Sprintf("%s, tokenizer %s, %d texts %s, seed %d%s", cmp.Or(r.Recorded.Model, "unnamed model"), r.Recorded.Tokenizer, r.Recorded.Texts, per, r.Recorded.Seed, r.weakened())
}

func (r *Run) weakened() string {
	if r.Recorded.Weakening == "" {
		return ""
	}
	return fmt.Sprintf("; mark damaged on purpose: %s", r.Recorded.Weakening)
}

// calibration is the verdict on the null in one sentence.
func (r *Run) calibration() string {
	if r.Recorded.NullKeys == 0 {
		return "Null calibration: not checked."
	}
	bad := r.Uncalibrated()
	if len(bad) == 0 {
		on := "unmarked text"
		if r.Recorded.Given {
			on = "text that knows nothing of them"
		}
		return fmt.Sprintf("Null calibration: %d random keys per setting on %s of %d tokens, uniform.", r.Recorded.NullKeys, on, r.Recorded.NullTokens)
	}
	var names []string
	for _, m := range bad {
		names = append(names, m.Name())
	}
	return "Null calibration FAILED, the figures mean nothing: " + strings.Join(names, ", ") + "."
}

// maxMarkdown bounds the summary: GitHub refuses step summaries above 1 MiB.
const maxMarkdown = 1<<20 - 1

// WriteMarkdown writes the run, and the verdicts of a gate if there are any, as
// Markdown of less than 1 MiB.
func (r *Run) WriteMarkdown(w io.Writer, verdicts []Verdict) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Watermark strength\n\n%s\n", r.head())
	var parts []table
	if len(verdicts) > 0 {
		gate := table{title: fmt.Sprintf("Gate: %s", Overall(verdicts)), head: []string{"outcome", "condition", "value", "95 % interval", "texts"}}
		for _, v := range verdicts {
			gate.rows = append(gate.rows, []string{string(v.Outcome), "`" + v.Condition + "`", short(v.Value), fmt.Sprintf("[%s, %s]", short(v.Lo), short(v.Hi)), fmt.Sprint(v.N)})
		}
		parts = append(parts, gate)
	}
	parts = append(parts, r.tables()...)
	const cut = "\n(cut at 1 MiB; the JSON file holds all)\n"
	for _, t := range parts {
		for _, line := range append([]string{"", "## " + t.title, ""}, t.markdown()...) {
			if b.Len()+len(line)+len(cut)+1000 > maxMarkdown { // room for the last sentence
				_, err := io.WriteString(w, b.String()+cut)
				return err
			}
			b.WriteString(line + "\n")
		}
	}
	fmt.Fprintf(&b, "\n%.900s\n", r.calibration())
	_, err := io.WriteString(w, b.String())
	return err
}
