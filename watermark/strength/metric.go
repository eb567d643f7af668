package strength

import "slices"

// Metric is a kind of figure.
type Metric struct {
	Name string
	// Better is +1 if more is better, -1 if less is, 0 if neither.
	Better int
	Unit   string
	Text   string // what it is
}

// Levels are the false-positive rates at which detection is measured, as log10.
var levels = []struct {
	name       string
	log10Alpha float64
}{{"fpr1e-3", -3}, {"fpr1e-6", -6}}

// Metrics is the catalogue, in the order of reports.
func Metrics() []Metric {
	var out []Metric
	add := func(name string, better int, unit, text string) { out = append(out, Metric{name, better, unit, text}) }
	for _, l := range levels {
		add("tpr@"+l.name, +1, "share of texts", "texts detected at this false-positive rate")
	}
	add("log10p", -1, "log10", "median of the texts' exact log10 p")
	add("z", +1, "sd", "mean standardised score; a description")
	for _, l := range levels {
		add("tokens50@"+l.name, -1, "tokens", "shortest prefix at which a text is first detected, median")
		add("tokens95@"+l.name, -1, "tokens", "the same, 95th percentile")
	}
	add("kl", -1, "nats/token", "KL divergence of the marked step from the unmarked one, given the key")
	add("perplexity-ratio", -1, "ratio", "perplexity under the unmarked model over that of unmarked text from the same prompts")
	add("repetition", -1, "share of 4-grams", "4-grams that occurred before in the text")
	for _, n := range []string{"1", "2", "3"} {
		add("distinct-"+n, +1, "share of n-grams", "distinct n-grams over n-grams, n = "+n)
	}
	add("null-ks-p", 0, "p", "Kolmogorov-Smirnov p of random keys' p-values on unmarked text")
	for _, t := range nullTails {
		add("null-tail@"+t.name, 0, "share of keys", "random keys whose p is at most this")
	}
	return out
}

// metricNamed finds a metric.
func metricNamed(name string) (Metric, bool) {
	all := Metrics()
	if i := slices.IndexFunc(all, func(m Metric) bool { return m.Name == name }); i >= 0 {
		return all[i], true
	}
	return Metric{}, false
}

// Measurement is one figure with its interval: 95 %, or 99.9 % for null tails.
type Measurement struct {
	Metric string `json:"metric"`
	Labels string `json:"labels"` // scheme=kgw/tokens=200
	Value  Number `json:"value"`
	Lo     Number `json:"lo"`
	Hi     Number `json:"hi"`
	N      int64  `json:"n"`              // texts, or keys for the null
	Hits   *int64 `json:"hits,omitempty"` // of N, if the figure is a rate
}

// Name is metric and labels, as thresholds and benchmark lines write them.
func (m Measurement) Name() string { return m.Metric + "/" + m.Labels }

func rate(metric, labels string, hits, n int64, confidence float64) Measurement {
	lo, hi := ClopperPearson(hits, n, confidence)
	return Measurement{metric, labels, Number(float64(hits) / float64(n)), Number(lo), Number(hi), n, &hits}
}

func ofMean(metric, labels string, values []float64) Measurement {
	m, lo, hi := mean(values)
	return Measurement{Metric: metric, Labels: labels, Value: Number(m), Lo: Number(lo), Hi: Number(hi), N: int64(len(values))}
}

func ofDifference(metric, labels string, a, b []float64) Measurement {
	d, lo, hi := difference(a, b)
	return Measurement{Metric: metric, Labels: labels, Value: Number(d), Lo: Number(lo), Hi: Number(hi), N: int64(len(a))}
}

func ofQuantile(metric, labels string, values []float64, q float64) Measurement {
	m, lo, hi := quantile(values, q)
	return Measurement{Metric: metric, Labels: labels, Value: Number(m), Lo: Number(lo), Hi: Number(hi), N: int64(len(values))}
}
