package gateway

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// metrics are what the gateway counts, for Prometheus. Labels are the gateway's own
// words, so that their number is bounded whatever is asked.
type metrics struct {
	mu       sync.Mutex
	requests map[outcome]uint64

	prompt, completion   atomic.Uint64 // tokens
	steps                atomic.Uint64
	missing, kl          atomicSum
	tapErrors            atomic.Uint64
	reloads, reloadFails atomic.Uint64

	request, first, upstream, own histogram
}

// outcome labels a request.
type outcome struct {
	route, policy string
	status        int
}

func newMetrics() *metrics {
	step := []float64{.0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10}
	return &metrics{
		requests: map[outcome]uint64{},
		request:  newHistogram([]float64{.01, .05, .1, .5, 1, 2, 5, 10, 30, 60, 120, 300, 600}),
		first:    newHistogram(step),
		upstream: newHistogram(step),
		own:      newHistogram([]float64{.000005, .00001, .00002, .00005, .0001, .0002, .0005, .001, .002, .005, .01, .05}),
	}
}

func (m *metrics) count(o outcome) {
	if o.policy == "" {
		o.policy = "none" // refused before one was chosen
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests[o]++
}

// atomicSum is a sum of float64.
type atomicSum struct{ bits atomic.Uint64 }

func (s *atomicSum) add(x float64) {
	for {
		old := s.bits.Load()
		if s.bits.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+x)) {
			return
		}
	}
}

func (s *atomicSum) value() float64 { return math.Float64frombits(s.bits.Load()) }

// histogram counts durations, in seconds, up to bounds.
type histogram struct {
	bounds []float64
	counts []atomic.Uint64 // one more than bounds
	sum    atomicSum
}

func newHistogram(bounds []float64) histogram {
	return histogram{bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

func (h *histogram) observe(d time.Duration) {
	i, _ := slices.BinarySearch(h.bounds, d.Seconds())
	h.counts[i].Add(1)
	h.sum.add(d.Seconds())
}

func (h *histogram) write(b *strings.Builder, name string) {
	total := uint64(0)
	for i := range h.counts {
		total += h.counts[i].Load()
		bound := "+Inf"
		if i < len(h.bounds) {
			bound = fmt.Sprint(h.bounds[i])
		}
		fmt.Fprintf(b, "%s_bucket{le=\"%s\"} %d\n", name, bound, total)
	}
	fmt.Fprintf(b, "%s_sum %.10g\n%s_count %d\n", name, h.sum.value(), name, total)
}

// Metrics serves what was counted in Prometheus' text format, version 0.0.4
// (https://prometheus.io/docs/instrumenting/exposition_formats/), at any path.
func (s *Server) Metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		fmt.Fprint(w, s.exposition())
	})
}

func (s *Server) exposition() string {
	m := s.metrics
	var b strings.Builder
	head := func(name, kind, help string) string {
		name = "stillmark_gateway_" + name
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
		return name
	}
	name := head("requests_total", "counter", "Requests that ended, by route, by what was done to the reply and by status (499: the client went away).")
	m.mu.Lock()
	requests := maps.Clone(m.requests)
	m.mu.Unlock()
	for _, o := range slices.SortedFunc(maps.Keys(requests), func(a, b outcome) int {
		return cmp.Or(cmp.Compare(a.route, b.route), cmp.Compare(a.policy, b.policy), cmp.Compare(a.status, b.status))
	}) {
		fmt.Fprintf(&b, "%s{route=%q,policy=%q,status=\"%d\"} %d\n", name, o.route, o.policy, o.status, requests[o])
	}
	for _, c := range []struct {
		name, kind, help string
		value            float64
	}{
		{"requests_in_flight", "gauge", "Requests under way.", float64(len(s.slots))},
		{"requests_limit", "gauge", "Requests under way at which others get 429.", float64(cap(s.slots))},
		{"prompt_tokens_total", "counter", "Tokens of prompts.", float64(m.prompt.Load())},
		{"completion_tokens_total", "counter", "Tokens of replies.", float64(m.completion.Load())},
		{"steps_total", "counter", "Distributions that the upstream gave.", float64(m.steps.Load())},
		{"missing_mass_total", "counter", "Sum over steps of the probability at temperature 1 that the upstream's candidates left out; divide by steps.", m.missing.value()},
		{"kl_nats_total", "counter", "Sum over steps of the divergence of what is drawn from what was asked for, an upper bound; divide by steps.", m.kl.value()},
		{"tap_errors_total", "counter", "Replies that could not be written to the tap.", float64(m.tapErrors.Load())},
		{"reloads_total", "counter", "Times that accounts or registry were read again.", float64(m.reloads.Load())},
		{"reload_errors_total", "counter", "Times that they could not be read, and the last good state stayed in force.", float64(m.reloadFails.Load())},
	} {
		fmt.Fprintf(&b, "%s %.10g\n", head(c.name, c.kind, c.help), c.value)
	}
	m.request.write(&b, head("request_seconds", "histogram", "Time of a request."))
	m.first.write(&b, head("first_token_seconds", "histogram", "Time to the first token of a reply."))
	m.upstream.write(&b, head("upstream_step_seconds", "histogram", "Time that the upstream took for a step, as seen from here."))
	m.own.write(&b, head("own_step_seconds", "histogram", "Time that the gateway itself took for a step: marking, drawing, writing to the client."))
	return b.String()
}

// Reloaded counts that accounts or registry were read again, or could not be. It says
// what can no longer be served with what was read: requests for it get 503.
func (s *Server) Reloaded(err error) error {
	if err != nil {
		s.metrics.reloadFails.Add(1)
		return nil
	}
	s.metrics.reloads.Add(1)
	return s.opt.servable()
}
