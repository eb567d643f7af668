package strength

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Outcome is what a gate says.
type Outcome string

// The outcomes. A gate decides on the interval: where the interval straddles the
// threshold, more texts are needed and neither pass nor fail is claimed.
const (
	Pass         Outcome = "pass"
	Fail         Outcome = "fail"
	Inconclusive Outcome = "inconclusive"
)

// Threshold is a condition on one figure, or with "*" as a label's value on several.
type Threshold struct {
	Metric string
	Labels []string // name=value, in any order
	AtMost bool     // else at least
	Value  float64
	text   string
}

// ParseThreshold reads METRIC/LABEL=VALUE…>=NUMBER, as in
// tpr@fpr1e-3/tokens=200/scheme=kgw>=0.9. Labels come in any order; the figure
// is the one that has exactly these. An unknown metric is an error: a gate on a
// figure that does not exist would never fail.
func ParseThreshold(s string) (Threshold, error) {
	t := Threshold{text: s}
	i := max(strings.LastIndex(s, ">="), strings.LastIndex(s, "<="))
	if i < 0 {
		return t, &UsageError{fmt.Sprintf("threshold %q has no >= and no <=", s)}
	}
	t.AtMost = s[i] == '<'
	value, err := strconv.ParseFloat(strings.TrimSpace(s[i+2:]), 64)
	if err != nil || math.IsNaN(value) || math.IsInf(value, 0) {
		return t, &UsageError{fmt.Sprintf("threshold %q: %q is no number", s, s[i+2:])}
	}
	t.Value = value
	parts := strings.Split(strings.TrimSpace(s[:i]), "/")
	t.Metric, t.Labels = parts[0], parts[1:]
	if _, ok := metricNamed(t.Metric); !ok {
		var names []string
		for _, m := range Metrics() {
			names = append(names, m.Name)
		}
		return t, &UsageError{fmt.Sprintf("threshold %q: metric %q is not known%s", s, t.Metric, nearest(t.Metric, names))}
	}
	for i, l := range t.Labels {
		name, value, ok := strings.Cut(l, "=")
		if !ok || name == "" || value == "" {
			return t, &UsageError{fmt.Sprintf("threshold %q: %q is no label=value", s, l)}
		}
		for _, other := range t.Labels[:i] {
			if strings.HasPrefix(other, name+"=") {
				return t, &UsageError{fmt.Sprintf("threshold %q names %s twice", s, name)}
			}
		}
	}
	return t, nil
}

// selects reports whether the threshold is about a figure of these labels.
func (t Threshold) selects(labels string) bool {
	have := strings.Split(labels, "/")
	if len(have) != len(t.Labels) {
		return false
	}
	for _, want := range t.Labels {
		name, value, _ := strings.Cut(want, "=")
		if !slices.ContainsFunc(have, func(l string) bool {
			return l == want || value == "*" && strings.HasPrefix(l, name+"=")
		}) {
			return false
		}
	}
	return true
}

// Verdict is the outcome of one condition.
type Verdict struct {
	Outcome   Outcome `json:"outcome"`
	Condition string  `json:"condition"`
	Metric    string  `json:"metric"`
	Labels    string  `json:"labels"`
	Value     Number  `json:"value"`
	Lo        Number  `json:"lo"`
	Hi        Number  `json:"hi"`
	Threshold Number  `json:"threshold"`
	N         int64   `json:"n"`
}

// String is the verdict in one line: metric, interval, threshold.
func (v Verdict) String() string {
	return fmt.Sprintf("%s: %s/%s = %s [%s, %s], n %d, against %s", v.Outcome, v.Metric, v.Labels, short(v.Value), short(v.Lo), short(v.Hi), v.N, v.Condition)
}

// Overall is the worst outcome: one failure fails, else one open question leaves
// all open. A gate without conditions is inconclusive: it has shown nothing.
func Overall(verdicts []Verdict) Outcome {
	out := Inconclusive
	for i, v := range verdicts {
		switch {
		case v.Outcome == Fail:
			return Fail
		case i == 0:
			out = v.Outcome
		case v.Outcome == Inconclusive:
			out = Inconclusive
		}
	}
	return out
}

// Judge holds the run against thresholds. A threshold that selects no figure of
// the run is an error.
func (r *Run) Judge(thresholds []Threshold) ([]Verdict, error) {
	var out []Verdict
	for _, t := range thresholds {
		before := len(out)
		for _, m := range r.Measurements {
			if m.Metric != t.Metric || !t.selects(m.Labels) {
				continue
			}
			out = append(out, Verdict{t.judge(float64(m.Lo), float64(m.Hi)), t.text, m.Metric, m.Labels, m.Value, m.Lo, m.Hi, Number(t.Value), m.N})
		}
		if len(out) == before {
			return nil, t.unmet(r.Measurements)
		}
	}
	return out, nil
}

// judge decides on an interval: pass if all of it satisfies the threshold, fail
// if none of it does.
func (t Threshold) judge(lo, hi float64) Outcome {
	if t.AtMost {
		lo, hi = -hi, -lo
		t.Value = -t.Value
	}
	switch {
	case lo >= t.Value:
		return Pass
	case hi < t.Value:
		return Fail
	}
	return Inconclusive
}

func (t Threshold) unmet(measured []Measurement) error {
	var names []string
	for _, m := range measured {
		if m.Metric == t.Metric {
			names = append(names, m.Labels)
		}
	}
	asked := strings.Join(t.Labels, "/")
	if problem := t.unknownLabel(names); problem != "" {
		return &UsageError{fmt.Sprintf("threshold %q: %s was not measured at %q: %s", t.text, t.Metric, asked, problem)}
	}
	return &UsageError{fmt.Sprintf("threshold %q: %s was not measured at %q%s", t.text, t.Metric, asked, nearest(asked, names))}
}

// unknownLabel says which label no figure of the metric has; empty if each is there,
// on one figure or another.
func (t Threshold) unknownLabel(figures []string) string {
	values := map[string][]string{}
	for _, labels := range figures {
		for l := range strings.SplitSeq(labels, "/") {
			if name, value, _ := strings.Cut(l, "="); !slices.Contains(values[name], value) {
				values[name] = append(values[name], value)
			}
		}
	}
	for _, l := range t.Labels {
		name, value, _ := strings.Cut(l, "=")
		switch known := values[name]; {
		case len(figures) > 0 && known == nil:
			return fmt.Sprintf("its figures have no label %s%s", name, nearest(name, slices.Sorted(maps.Keys(values))))
		case len(known) > 0 && value != "*" && !slices.Contains(known, value):
			return fmt.Sprintf("no %s is %q%s", name, value, nearest(value, known))
		}
	}
	return ""
}

// Narrow leaves out of the configuration what no threshold asks for, and tells
// before anything is generated that one asks for what is not measured.
func (c *Config) Narrow(thresholds []Threshold) error {
	var settings []Setting
	attacks, lengths := map[string]bool{}, map[string]bool{}
	null, whole := false, false
	known := c.planned()
	for _, t := range thresholds {
		found := false
		for _, m := range known {
			if m.Metric != t.Metric || !t.selects(m.Labels) {
				continue
			}
			found = true
			null = null || strings.HasPrefix(t.Metric, "null-")
			if i := strings.Index(m.Labels, "attack="); i >= 0 {
				attacks[m.Labels[i:]] = true
			}
			if _, rest, ok := strings.Cut(m.Labels, "/tokens="); ok {
				length, _, _ := strings.Cut(rest, "/")
				lengths[length] = true
			} else {
				whole = true // a figure of the longest text
			}
		}
		if !found {
			return t.unmet(known)
		}
	}
	for _, s := range c.Settings {
		for _, m := range known {
			// The setting itself, or followed by the length: not a variant of it.
			if m.Labels != s.Labels && !strings.HasPrefix(m.Labels, s.Labels+"/tokens=") {
				continue
			}
			if slices.ContainsFunc(thresholds, func(t Threshold) bool { return t.Metric == m.Metric && t.selects(m.Labels) }) {
				settings = append(settings, s)
				break
			}
		}
	}
	if len(settings) == 0 { // figures of unmarked text alone
		settings = c.Settings[:1]
	}
	c.Settings = settings
	c.Attacks = slices.DeleteFunc(slices.Clone(c.Attacks), func(a Attack) bool { return !attacks[a.Labels()] })
	if !whole {
		c.Lengths = slices.DeleteFunc(slices.Clone(c.Lengths), func(n int) bool { return !lengths[strconv.Itoa(n)] })
	}
	if !null {
		c.NullKeys = 0
	}
	return nil
}

// planned are the names of the figures that the configuration gives, without values.
func (c *Config) planned() []Measurement {
	var out []Measurement
	blank := outcome{log10P: make([]float64, len(c.Lengths)), z: make([]float64, len(c.Lengths)), first: make([]float64, len(levels)), attacked: make([]float64, len(c.Attacks))}
	if c.Foreign && !c.Scored {
		blank.kl, blank.surprise = missing, missing
	}
	out = append(out, wording(unmarked, []outcome{blank})...)
	for _, s := range c.Settings {
		out = append(out, c.summary(s.Labels, []outcome{blank})...)
		if c.NullKeys > 0 {
			out = append(out, nullMeasurements(s.Labels, make([]float64, c.NullKeys))...)
		}
	}
	return out
}

// ErrBaseline says that a baseline does not fit the run.
var ErrBaseline = errors.New("the baseline cannot be compared")

// Fits says whether a baseline was measured under the run's settings. The error
// wraps ErrBaseline and names what differs.
func (r Recorded) Fits(baseline Recorded) error {
	a, b := reflect.ValueOf(baseline), reflect.ValueOf(r)
	var differ []string
	for i := range a.NumField() {
		field := a.Type().Field(i).Name
		if field == "Weakening" || field == "Texts" && r.Given && baseline.Given {
			continue // the number of texts that a server answers with is not the tester's choice
		}
		if !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			name, _, _ := strings.Cut(a.Type().Field(i).Tag.Get("json"), ",")
			differ = append(differ, name)
		}
	}
	if len(differ) == 0 {
		return nil
	}
	return fmt.Errorf("%w: it was measured with other %s; measure it again with gate baseline", ErrBaseline, strings.Join(differ, ", "))
}

// Compare holds the run's detection rates against those of a baseline measured
// under the same settings. The difference new - old has an interval from the two
// rates' own (G. Zou, A. Donner, "Construction of confidence limits about effect
// measures", Statistics in Medicine 27, 2008), at a confidence that all
// comparisons share (Bonferroni). A rate passes when it is for sure not lower by
// more than margin, or when nothing changed at all, as equal seeds give equal
// texts; else it fails when it is lower for sure.
func (r *Run) Compare(baseline *Run, margin float64) ([]Verdict, error) {
	if err := r.Recorded.Fits(baseline.Recorded); err != nil {
		return nil, err
	}
	type pair struct{ old, new Measurement }
	var pairs []pair
	for _, m := range r.Measurements {
		if metric, _ := metricNamed(m.Metric); metric.Better <= 0 || m.Hits == nil {
			continue
		}
		old, ok := baseline.find(m.Metric, m.Labels)
		if !ok || old.Hits == nil || old.N < 1 || *old.Hits < 0 || *old.Hits > old.N {
			return nil, fmt.Errorf("%w: %s is missing in it", ErrBaseline, m.Name())
		}
		pairs = append(pairs, pair{old, m})
	}
	var out []Verdict
	confidence := 1 - (1-level)/float64(max(len(pairs), 1))
	for _, p := range pairs {
		oldLo, oldHi := ClopperPearson(*p.old.Hits, p.old.N, confidence)
		newLo, newHi := ClopperPearson(*p.new.Hits, p.new.N, confidence)
		before, now := float64(*p.old.Hits)/float64(p.old.N), float64(*p.new.Hits)/float64(p.new.N)
		d := now - before
		lo := d - math.Hypot(now-newLo, oldHi-before)
		hi := d + math.Hypot(newHi-now, before-oldLo)
		v := Verdict{
			Condition: fmt.Sprintf("%s: new - baseline >= %g", p.new.Name(), -margin),
			Metric:    p.new.Metric + " - baseline", Labels: p.new.Labels, Value: Number(d), Lo: Number(lo), Hi: Number(hi), Threshold: Number(-margin), N: p.new.N,
		}
		switch {
		case lo >= -margin || *p.old.Hits == *p.new.Hits && p.old.N == p.new.N:
			v.Outcome = Pass
		case hi < 0:
			v.Outcome = Fail
		default:
			v.Outcome = Inconclusive
		}
		out = append(out, v)
	}
	return out, nil
}

// Fits says whether a baseline was measured under the settings of c, before
// anything is measured again; see Recorded.Fits.
func (c *Config) Fits(baseline *Run) error { return c.record().Fits(baseline.Recorded) }

// JudgeNull fails every null calibration of the run that failed: a gate may not
// pass on detection rates whose p-values are wrong.
func (r *Run) JudgeNull() []Verdict {
	var out []Verdict
	for _, m := range r.Uncalibrated() {
		out = append(out, Verdict{Outcome: Fail, Condition: "p-values are uniform on unmarked text", Metric: m.Metric, Labels: m.Labels, Value: m.Value, Lo: m.Lo, Hi: m.Hi, N: m.N})
	}
	return out
}
