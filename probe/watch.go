package probe

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
)

// ReadStatus says from a case's ledger how far collection is, also while another
// process goes on with it. Nothing is locked and nothing is written. What is under
// way cannot be seen from outside: attempts without an outcome are counted, be
// they sent just now or cut off.
func ReadStatus(c *ledger.Case, now time.Time) (Status, error) {
	w := watcher{plan: c.Plan(), at: map[string]int{}, r: runner{plan: c.Plan()}}
	w.s = Status{
		Classes: map[ledger.Outcome]int64{}, Failed: map[ledger.Outcome]int64{},
		Currency: currencyOf(w.plan), MaxCost: w.plan.Caps.MaxCost,
	}
	for i := range w.plan.Targets {
		t := &w.plan.Targets[i]
		if t.Cached != nil {
			continue // nothing of it is in this ledger
		}
		w.at[t.Name] = len(w.s.Targets)
		w.s.Targets = append(w.s.Targets, TargetStatus{
			Name: t.Name, Planned: int64(w.plan.Count(t)), Epoch: 1,
			Classes: map[ledger.Outcome]int64{}, Failed: map[ledger.Outcome]int64{},
		})
		w.s.Planned += w.s.Targets[w.at[t.Name]].Planned
	}
	if err := w.judge(); err != nil {
		return Status{}, err
	}
	for e, err := range c.Events() {
		if errors.Is(err, ledger.ErrTorn) {
			break // a line that is being written
		}
		if err != nil {
			return Status{}, err
		}
		if err := w.take(c, &e); err != nil {
			return Status{}, fmt.Errorf("read event %d of the ledger: %w", e.Seq, err)
		}
	}
	w.end(now)
	return w.s, nil
}

// judge adds the judge of the plan to the status, if there is one. How many labels the
// replies need is known to the run alone: what is planned is the most there can be.
func (w *watcher) judge() error {
	jury, err := family.NewJury(w.plan)
	if err != nil || jury == nil {
		return err
	}
	w.r.docket = &docket{jury: jury}
	t := &w.plan.Judge.Target
	w.s.Labels = &LabelStatus{Judge: t.Name, Planned: int64(len(jury.Items()))}
	w.at[t.Name] = len(w.s.Targets)
	w.s.Targets = append(w.s.Targets, TargetStatus{
		Name: t.Name, Planned: w.s.Labels.Planned, Epoch: 1, Classes: map[ledger.Outcome]int64{}, Failed: map[ledger.Outcome]int64{},
	})
	return nil
}

// watcher folds a ledger into a status.
type watcher struct {
	plan    *ledger.Plan
	at      map[string]int // of a target in s.Targets
	r       runner         // for what an attempt costs
	s       Status
	rate    rate
	session time.Time // when the last run began
	last    time.Time // of the last event
	stop    *family.StopEvent
}

func (w *watcher) take(c *ledger.Case, e *ledger.Event) error {
	w.last = e.Time
	switch e.Type {
	case ledger.EventIntent, ledger.EventLabelIntent:
		var d ledger.Intent
		if err := json.Unmarshal(e.Data, &d); err != nil {
			return err
		}
		w.s.Sent++
		w.s.InFlight++
		if i, ok := w.at[d.Target]; ok {
			w.s.Targets[i].Sent++
			w.s.Targets[i].InFlight++
		}
		w.stop = nil
	case ledger.EventReply, ledger.EventAttemptFailed, ledger.EventLabel, ledger.EventLabelFailed:
		var a ledger.Attempt
		if err := json.Unmarshal(e.Data, &a); err != nil {
			return err
		}
		w.attempt(c, e, &a)
	case ledger.EventDrift:
		var d family.DriftEvent
		if err := json.Unmarshal(e.Data, &d); err != nil {
			return err
		}
		w.s.Drift++
		if i, ok := w.at[d.Target]; ok {
			w.s.Targets[i].Epoch = max(w.s.Targets[i].Epoch, d.Epoch)
		}
	case ledger.EventResume, ledger.EventConfigChange:
		var s family.SessionEvent
		if err := json.Unmarshal(e.Data, &s); err != nil {
			return err
		}
		if s.Kind == family.KindSession {
			w.session, w.stop = e.Time, nil
			w.s.InFlight = 0 // what was open then was cut off
			for i := range w.s.Targets {
				w.s.Targets[i].InFlight = 0
			}
		}
	case ledger.EventStop:
		w.stop = new(family.StopEvent)
		return json.Unmarshal(e.Data, w.stop)
	}
	return nil
}

func (w *watcher) attempt(c *ledger.Case, e *ledger.Event, a *ledger.Attempt) {
	i, ok := w.at[a.Target]
	if !ok {
		return
	}
	t := &w.s.Targets[i]
	if a.Kind != ledger.KindImported {
		w.s.InFlight--
		t.InFlight--
	}
	if it, planned := c.Item(e.Item); planned && it.Target.Live() {
		cost := w.r.billed(&it, a)
		w.s.Tokens += cost.tokens
		w.s.Cost += cost.cost
	}
	if e.Type == ledger.EventAttemptFailed || e.Type == ledger.EventLabelFailed {
		w.s.Failed[a.Outcome]++
		t.Failed[a.Outcome]++
		return
	}
	if e.Type == ledger.EventLabel {
		w.s.Labels.Settled++
	} else {
		w.s.Settled++
		w.s.Classes[a.Outcome]++
	}
	t.Settled++
	t.Classes[a.Outcome]++
	w.rate.add(e.Time)
}

// end judges what the ledger's last events say.
func (w *watcher) end(now time.Time) {
	s := &w.s
	if !w.session.IsZero() {
		s.Elapsed = w.last.Sub(w.session)
	}
	switch {
	case w.stop != nil && w.stop.Reason == family.StopComplete, w.stop != nil && w.stop.Reason == family.StopEvidence:
		s.Phase, s.InFlight = PhaseDone, 0
	case w.stop != nil:
		s.Phase, s.Note = PhaseStopped, w.stop.Reason
		if w.stop.Detail != "" {
			s.Note = w.stop.Detail
		}
	case w.session.IsZero():
		s.Phase, s.Note = PhaseUnknown, "not begun"
	default:
		s.Phase, s.Note = PhaseUnknown, "last event "+brief(now.Sub(w.last))+" ago"
		if now.Sub(w.last) < alive {
			s.Phase = PhaseRunning
			s.PerMinute = w.rate.perMinute(now)
		}
	}
	if l := s.Labels; l != nil && s.Phase == PhaseDone {
		l.Planned = l.Settled
		s.Targets[w.at[l.Judge]].Planned = l.Settled
	}
	if s.PerMinute > 0 {
		s.ETA = time.Duration(float64(s.left()) / s.PerMinute * float64(time.Minute))
	}
}

// alive is how old the last event of a run may be that still goes on: half of the
// 120 s that an attempt may wait for its first header.
const alive = time.Minute
