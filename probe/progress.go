package probe

import (
	"maps"
	"slices"
	"time"
)

// rate counts what was settled in each of the last 60 seconds.
type rate struct {
	second [60]int64
	stamp  [60]int64 // Unix second that the count belongs to
	first  time.Time
}

func (r *rate) add(now time.Time) {
	if r.first.IsZero() {
		r.first = now
	}
	s := now.Unix()
	if i := s % 60; r.stamp[i] != s {
		r.second[i], r.stamp[i] = 1, s
	} else {
		r.second[i]++
	}
}

// perMinute is the rate over the last minute, or since the first one where that
// is less.
func (r *rate) perMinute(now time.Time) float64 {
	if r.first.IsZero() {
		return 0
	}
	var n int64
	for i, s := range r.stamp {
		if now.Unix()-s < 60 {
			n += r.second[i]
		}
	}
	span := min(max(now.Sub(r.first), time.Second), time.Minute)
	return float64(n) / span.Minutes()
}

// showProgress reports until the run is done.
func (r *runner) showProgress(done <-chan struct{}) {
	if r.opt.Progress == nil {
		return
	}
	ticker := time.NewTicker(r.opt.pace.progress)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case <-ticker.C:
			r.report("")
		}
	}
}

// nextDue is when the next item that waits for its time is due, once the others are
// done; zero where none waits.
func (r *runner) nextDue() time.Time {
	var due time.Time
	for _, l := range r.lanes {
		if l.next < len(l.queue) || l.open > 0 {
			return time.Time{}
		}
		if !l.due.IsZero() && (due.IsZero() || l.due.Before(due)) {
			due = l.due
		}
	}
	return due
}

// report sends one status; phase "" means whatever the run is doing.
func (r *runner) report(phase Phase) {
	if r.opt.Progress != nil {
		r.opt.Progress(r.status(phase))
	}
}

func (r *runner) status(phase Phase) Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	s := Status{
		Phase: phase, Planned: r.planned, Settled: r.settled, GivenUp: r.givenUp, Sent: r.sent,
		Classes: maps.Clone(r.classes), Failed: maps.Clone(r.failed), InFlight: r.inFlight,
		PerMinute: r.recent.perMinute(now), Tokens: r.spent.tokens, Cost: r.spent.cost,
		Currency: currencyOf(r.plan), MaxCost: r.plan.Caps.MaxCost, Drift: r.drift,
		Evidence: slices.Clone(r.evidence), Elapsed: now.Sub(r.began), Labels: r.docket.labels(),
	}
	waiting := 0
	var until time.Time
	for _, l := range r.lanes {
		limit, _ := l.limiter.State()
		s.Concurrency += limit
		s.Targets = append(s.Targets, TargetStatus{Name: l.target.Name, Planned: l.planned, Settled: l.settled, InFlight: l.inFlight, Limit: limit, Epoch: l.epoch})
		switch {
		case l.paused:
			s.Note = l.target.Name + ": " + l.pauseNote
			if phase == "" {
				s.Phase = PhasePaused
			}
		case l.inFlight == 0 && l.heldUntil.After(now):
			waiting++
			if l.heldUntil.After(until) {
				until = l.heldUntil
				if s.Phase != PhasePaused {
					s.Note = l.target.Name + " asks to wait " + brief(until.Sub(now))
				}
			}
		}
	}
	if due := r.nextDue(); s.InFlight == 0 && waiting == 0 && !due.IsZero() {
		waiting++
		s.Note = "the next prompts are put at " + due.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	switch {
	case s.Phase != "":
	case r.stopped:
		s.Phase = PhaseDraining
		if r.stopErr != nil {
			s.Note = r.stopErr.Happened
		}
	case waiting > 0 && s.InFlight == 0:
		s.Phase = PhaseWaiting
		s.PerMinute = 0 // says nothing of what is to come
	default:
		s.Phase, s.Note = PhaseRunning, ""
	}
	if s.PerMinute > 0 {
		s.ETA = time.Duration(float64(s.left()-r.skipped) / s.PerMinute * float64(time.Minute))
	}
	return s
}
