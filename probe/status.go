package probe

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
)

// Phase says what a run is doing.
type Phase string

// The phases.
const (
	PhaseRunning  Phase = "running"
	PhaseWaiting  Phase = "waiting"  // every target under way asks to wait
	PhasePaused   Phase = "paused"   // a target cannot be reached; it is tried again soon
	PhaseDraining Phase = "draining" // nothing new is sent, what is under way may end
	PhaseDone     Phase = "done"
	PhaseStopped  Phase = "stopped" // of a case on disk: an end is on record, and not that of the plan
	PhaseUnknown  Phase = "unknown" // of a case on disk: no end is on record, so it runs or was cut off
)

// Status is a run's progress. The counts include earlier runs of the case;
// rate, estimate and elapsed time are of this one.
type Status struct {
	Phase       Phase                    `json:"phase"`
	Note        string                   `json:"note,omitempty"`     // what is being waited for, or why the run drains or stopped
	Planned     int64                    `json:"planned"`            // items
	Settled     int64                    `json:"settled"`            // items with a final outcome
	GivenUp     int64                    `json:"given_up,omitempty"` // items left without one in this run
	Sent        int64                    `json:"sent"`               // attempts
	Classes     map[ledger.Outcome]int64 `json:"classes"`
	Failed      map[ledger.Outcome]int64 `json:"failed_attempts"` // attempts that did not settle their item
	InFlight    int                      `json:"in_flight"`
	Concurrency int                      `json:"concurrency"`        // limit in force, over all targets
	PerMinute   float64                  `json:"settled_per_minute"` // over the last minute
	Tokens      int64                    `json:"tokens"`             // read and written, by the targets' own count
	Cost        float64                  `json:"cost"`
	Currency    string                   `json:"currency,omitempty"`
	MaxCost     float64                  `json:"max_cost,omitempty"`
	Labels      *LabelStatus             `json:"labels,omitempty"`
	Drift       int                      `json:"drift"` // changes of model, fingerprint, provider, headers or sentinels
	Evidence    []Evidence               `json:"evidence,omitempty"`
	Elapsed     time.Duration            `json:"elapsed_ns"`
	ETA         time.Duration            `json:"eta_ns,omitempty"` // zero while unknown
	Targets     []TargetStatus           `json:"targets"`
}

// Evidence is the running e-value of an anytime test, where the plan lets the
// run look at it.
type Evidence struct {
	Test      string  `json:"test"`
	Log10E    float64 `json:"log10_e"`
	Threshold float64 `json:"threshold"` // log10 of m/alpha
}

// TargetStatus is the part of one target.
type TargetStatus struct {
	Name     string                   `json:"name"`
	Planned  int64                    `json:"planned"`
	Settled  int64                    `json:"settled"`
	InFlight int                      `json:"in_flight,omitempty"`
	Limit    int                      `json:"limit,omitempty"` // of attempts under way
	Sent     int64                    `json:"sent,omitempty"`
	Classes  map[ledger.Outcome]int64 `json:"classes,omitempty"`
	Failed   map[ledger.Outcome]int64 `json:"failed_attempts,omitempty"`
	Epoch    int                      `json:"epoch,omitempty"` // from 1; a drift opens the next
}

// lineClasses are the classes of the progress line; what is left is "err".
var lineClasses = []ledger.Outcome{ledger.OK, ledger.Refused, ledger.Filtered, ledger.Empty, ledger.Exhausted, ledger.Rejected, ledger.Drifted}

// Line is the progress in one line without its target's name, as in
//
//	8,412/20,000 42% | ok 8,120 refused 171 err 48 | 297 rpm j=18 | $51.20/120 | drift none | ETA 39m
func (s Status) Line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s/%s %d%% |", group(s.Settled), group(s.Planned), percent(s.Settled, s.Planned))
	for _, c := range lineClasses {
		if n := s.Classes[c]; n > 0 || c == ledger.OK {
			fmt.Fprintf(&b, " %s %s", c, group(n))
		}
	}
	var failed int64
	for outcome, n := range s.Failed {
		if outcome != ledger.Cancelled { // by the operator: no failure
			failed += n
		}
	}
	if failed > 0 {
		fmt.Fprintf(&b, " err %s", group(failed))
	}
	fmt.Fprintf(&b, " | %.0f rpm", s.PerMinute)
	if s.Concurrency > 0 {
		fmt.Fprintf(&b, " j=%d", s.Concurrency)
	} else if s.InFlight > 0 { // seen from outside
		fmt.Fprintf(&b, " %d under way", s.InFlight)
	}
	switch {
	case s.MaxCost > 0:
		fmt.Fprintf(&b, " | %s%.2f/%s", currencySign(s.Currency), s.Cost, strconv.FormatFloat(s.MaxCost, 'f', -1, 64))
	case s.Cost > 0:
		fmt.Fprintf(&b, " | %s%.2f", currencySign(s.Currency), s.Cost)
	default:
		fmt.Fprintf(&b, " | %s tok", group(s.Tokens))
	}
	if l := s.Labels; l != nil {
		fmt.Fprintf(&b, " | labels %s/%s", group(l.Settled), group(l.Planned))
	}
	if s.Drift == 0 {
		b.WriteString(" | drift none")
	} else {
		fmt.Fprintf(&b, " | drift %d", s.Drift)
	}
	for _, e := range s.Evidence {
		fmt.Fprintf(&b, " | log10 e %.1f of %.1f", e.Log10E, e.Threshold)
	}
	switch {
	case s.Phase != PhaseRunning && s.Note != "":
		fmt.Fprintf(&b, " | %s: %s", s.Phase, s.Note)
	case s.Phase != PhaseRunning:
		fmt.Fprintf(&b, " | %s", s.Phase)
	case s.ETA > 0:
		fmt.Fprintf(&b, " | ETA %s", brief(s.ETA))
	}
	return b.String()
}

// left is how many replies and labels are not there yet.
func (s *Status) left() int64 {
	n := s.Planned - s.Settled
	if s.Labels != nil {
		n += s.Labels.Planned - s.Labels.Settled
	}
	return n
}

func percent(n, of int64) int64 {
	if of == 0 {
		return 100
	}
	return 100 * n / of
}

// group writes thousands apart: 20,000.
func group(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func currencySign(currency string) string {
	switch currency {
	case "", "USD":
		return "$"
	case "EUR":
		return "€"
	}
	return currency + " "
}

// brief is a duration to the nearest sensible unit: 39m, 2h05m, 8s, 10ms.
func brief(d time.Duration) string {
	switch {
	case d > 0 && d < time.Second:
		return d.Round(time.Millisecond).String()
	case d >= time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	case d >= time.Minute:
		return fmt.Sprintf("%dm", int(d.Round(time.Minute).Minutes()))
	}
	return fmt.Sprintf("%ds", int(d.Round(time.Second).Seconds()))
}
