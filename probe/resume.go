package probe

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stillmark/stillmark/probe/endpoint"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
)

// load makes the lanes of the plan and brings them to where the ledger ends.
func (r *runner) load() error {
	state := r.w.State()
	lanes := map[string]*lane{}
	for i := range r.plan.Targets {
		if !r.plan.Targets[i].Live() {
			continue
		}
		l := newLane(r.plan, &r.plan.Targets[i], r.opt.Concurrency)
		lanes[l.target.Name] = l
		r.lanes = append(r.lanes, l)
	}
	for it := range r.plan.Order() {
		l := lanes[it.Target.Name]
		if l == nil {
			continue // its replies are there, or will never be
		}
		l.planned++
		was := state.Item(it.ID)
		if was.Settled {
			l.settled++
			continue
		}
		if !r.opt.Limit.holds(int(l.planned - 1)) {
			r.skipped++
			continue
		}
		w := waiting{prompt: it.Prompt, sample: int32(it.Sample), block: int32(l.planned - 1), attempts: int32(was.Attempts)}
		switch {
		case it.Prompt.NotBefore.IsZero():
			l.queue = append(l.queue, w)
		case time.Now().After(it.Prompt.NotAfter):
			r.missed++
		default:
			l.timed = append(l.timed, w)
		}
	}
	for _, l := range r.lanes {
		slices.SortStableFunc(l.timed, func(a, b waiting) int { return a.prompt.NotBefore.Compare(b.prompt.NotBefore) })
		r.planned += l.planned
		r.settled += l.settled
	}
	if err := r.newDocket(); err != nil {
		return err
	}
	if d := r.docket; d != nil {
		lanes[d.lane.target.Name] = d.lane
		r.lanes = append(r.lanes, d.lane)
	}
	if err := r.replay(lanes); err != nil {
		return err
	}
	if r.pending() == 0 && !r.barred() && r.labelling() {
		if err := r.fill(); err != nil {
			return err
		}
	}
	return r.loadStopper()
}

// replay sums up what earlier runs did: classes, money, models, options.
func (r *runner) replay(lanes map[string]*lane) error {
	open := map[string]bool{} // items whose last intent has no outcome yet
	var mono, last time.Duration
	for e, err := range r.w.Case().Events() {
		if err != nil {
			return fmt.Errorf("read the ledger: %w", err)
		}
		// The writer's clock begins anew with every run.
		if m := time.Duration(e.Mono); m < last {
			mono += last
			last = m
		} else {
			last = m
		}
		item, planned := r.w.Case().Item(e.Item)
		it := &item
		switch e.Type {
		case ledger.EventIntent, ledger.EventLabelIntent:
			r.sent++
			open[e.Item] = true
			r.reason = ""
		case ledger.EventReply, ledger.EventAttemptFailed, ledger.EventLabel, ledger.EventLabelFailed:
			var a ledger.Attempt
			if err := json.Unmarshal(e.Data, &a); err != nil {
				return fmt.Errorf("read event %d of the ledger: %w", e.Seq, err)
			}
			if !planned {
				return fmt.Errorf("event %d of the ledger is about %q, which the plan does not ask for", e.Seq, e.Item)
			}
			delete(open, e.Item)
			if it.Target.Live() {
				r.spent.add(r.billed(it, &a))
			}
			if e.Type == ledger.EventAttemptFailed || e.Type == ledger.EventLabelFailed {
				r.failed[a.Outcome]++
				continue
			}
			if it.Label > 0 {
				r.docket.settle()
			} else {
				r.classes[a.Outcome]++
			}
			if !it.Target.Live() {
				continue
			}
			if err := r.meet(lanes[it.Target.Name], it, &a); err != nil {
				return fmt.Errorf("event %d of the ledger: %w", e.Seq, err)
			}
		case ledger.EventDrift:
			var d family.DriftEvent
			if err := json.Unmarshal(e.Data, &d); err != nil {
				return fmt.Errorf("read event %d of the ledger: %w", e.Seq, err)
			}
			if r.drift++; !d.Accepted {
				r.swapped = &d
			}
			l := lanes[d.Target]
			if l == nil {
				continue
			}
			l.epoch = max(l.epoch, d.Epoch)
			switch {
			case d.Field == fieldSentinels:
				l.unnoted, l.refused = nil, ""
				if !d.Accepted {
					l.refused = whyDrift(&d)
				}
			case d.Accepted:
				l.accept(d.Field, d.To)
			}
		case ledger.EventConfigChange, ledger.EventResume:
			var s family.SessionEvent
			if err := json.Unmarshal(e.Data, &s); err != nil {
				return fmt.Errorf("read event %d of the ledger: %w", e.Seq, err)
			}
			if s.Kind == family.KindSession {
				r.session, r.lastOpt = s.Number, s.OnDrift
			}
		case ledger.EventStop:
			var s family.StopEvent
			if err := json.Unmarshal(e.Data, &s); err != nil {
				return fmt.Errorf("read event %d of the ledger: %w", e.Seq, err)
			}
			r.reason = s.Reason
		}
	}
	// What was sent when the program died may have been billed.
	for id := range open {
		if it, planned := r.w.Case().Item(id); planned {
			r.spent.add(r.atMost(&it))
		}
	}
	r.before = mono + last
	r.already = r.reason == family.StopEvidence
	r.gaveUp = r.reason == family.StopGivenUp
	return nil
}

// openSession writes down that a run begins, and under which options. Options
// that differ from the last run's need the operator's word.
func (r *runner) openSession() error {
	data := family.SessionEvent{
		Kind: family.KindSession, Number: r.session + 1, OnDrift: r.opt.OnDrift, Settled: r.settled, Program: r.opt.Program,
	}
	typ := ledger.EventResume
	if r.session == 0 {
		typ = ledger.EventConfigChange
	} else if r.lastOpt != "" && r.lastOpt != r.opt.OnDrift { // an import says nothing of drift
		typ = ledger.EventConfigChange
		data.Changed = []string{fmt.Sprintf("on-drift: %s -> %s", r.lastOpt, r.opt.OnDrift)}
	}
	if len(data.Changed) > 0 && !r.opt.AcceptChanges {
		return &Error{
			Code:     CodeUsage,
			Happened: "the options differ from the case's last run: " + strings.Join(data.Changed, ", "),
			Kept:     r.kept(),
			Do:       "Use the same options, or accept the change with --accept-changes: it will be listed as a deviation from the plan",
		}
	}
	if _, err := r.w.Append(typ, "", 0, data); err != nil {
		return r.storage(err)
	}
	return r.openDrift()
}

// openDrift takes up changes that an earlier run met: it writes down one that it
// had no time to, and ends the run where the operator did not choose to go on.
func (r *runner) openDrift() error {
	for _, l := range r.lanes {
		if d := l.unnoted; d != nil {
			l.epoch = d.Epoch
			if _, err := r.w.Append(ledger.EventDrift, "", 0, d); err != nil {
				return r.storage(err)
			}
			if !d.Accepted {
				l.refused = whyDrift(d)
			}
		}
		if l.refused != "" && r.opt.OnDrift == DriftStop {
			r.halt(family.StopDrift, r.changed(l.target.Name, l.refused))
		}
	}
	return nil
}

// loadStopper brings the running evidence to where the ledger ends. It exists
// only where the plan lets the run look at its scores.
func (r *runner) loadStopper() error {
	if !r.plan.Stop.OnEvidence || len(r.opt.Keys) == 0 {
		return nil
	}
	s, err := family.NewStopper(r.plan, r.w.Case().FS(), r.opt.Keys, r.opt.Tokenizer)
	if err != nil {
		return usage("Give the keys of the plan with their tokenizers, or no key to collect everything", "cannot watch the evidence: %s", err)
	}
	r.stopper = s
	if r.settled == 0 {
		return nil
	}
	err = r.w.Case().Replies(func(rec ledger.ReplyRecord) error {
		if rec.Item.Prompt.Sentinel {
			return nil
		}
		return s.Add(rec.Item, family.Decode(rec))
	})
	if err != nil {
		return fmt.Errorf("read the replies of earlier runs: %w", err)
	}
	return nil
}

// waiting is an item that is not begun, in few bytes: there may be a million.
type waiting struct {
	prompt   *ledger.Prompt
	sample   int32
	block    int32    // position among the target's items
	attempts int32    // so far, in all runs
	exhibit  *exhibit // of a label
}

// task is an item that is being asked for.
type task struct {
	item     *ledger.Item
	attempts int            // so far, in all runs
	asked    *ledger.Prompt // in place of the item's, where it is a label
}

// begin begins an item.
func (r *runner) begin(l *lane, w *waiting) (task, error) {
	if x := w.exhibit; x != nil {
		asked, err := r.docket.show(x)
		return task{item: &x.item, attempts: int(w.attempts), asked: asked}, err
	}
	return l.task(w), nil
}

// task is an item that a target is asked.
func (l *lane) task(w *waiting) task {
	return task{attempts: int(w.attempts), item: &ledger.Item{
		ID: ledger.ItemID(l.target.Name, w.prompt.Suite, w.prompt.ID, int(w.sample)), Target: l.target, Prompt: w.prompt, Sample: int(w.sample),
	}}
}

// lane is the sending to one target. Its fields below limiter are guarded by
// the runner's mu.
type lane struct {
	target  *ledger.Target
	client  *endpoint.Client
	limiter *endpoint.AIMD

	queue    []waiting
	timed    []waiting // to be asked at set times, by these
	planned  int64
	settled  int64
	next     int // index into queue
	open     int // tasks begun and neither settled nor given up
	inFlight int
	due      time.Time // of the next item that waits for its time; zero for none

	transport    int  // transport failures in a row
	rejected     int  // rejections in a row
	answered     bool // something came back in this run
	touched      bool // an attempt of this run got as far as the target
	paused       bool
	pauseNote    string
	limitedSince time.Time // first of the 429s in a row
	limited      int       // how many
	heldUntil    time.Time

	expected string              // the model that replies name
	known    map[string][]string // values met, by field
	epoch    int                 // from 1
	watch    watch
	refused  string             // why a change of the sentinels stopped an earlier run
	unnoted  *family.DriftEvent // a change that the ledger has replies of, but no event
}

func newLane(p *ledger.Plan, t *ledger.Target, concurrency int) *lane {
	start, most := min(autoStart, autoMax), autoMax
	if concurrency > 0 {
		start, most = concurrency, concurrency
	}
	l := &lane{target: t, limiter: endpoint.NewAIMD(start, most), known: map[string][]string{}, epoch: 1, watch: newWatch(p)}
	if c := t.Capabilities; c != nil && c.Model != "" {
		l.accept(fieldModel, c.Model)
	}
	if c := t.Capabilities; c != nil && c.Fingerprint != "" {
		l.accept(fieldFingerprint, c.Fingerprint)
	}
	return l
}

// The fields whose change is drift.
const (
	fieldModel       = "model"
	fieldFingerprint = "fingerprint"
	fieldProvider    = "provider"
	fieldHeaders     = "headers"
	fieldSentinels   = family.FieldSentinels
)

// maxKnown bounds the values that are remembered per field, and so the drift
// events that a target can cause: some send a fresh fingerprint with every reply.
const maxKnown = 32

// accept makes value one of the values that are no drift any more; of models the
// last accepted one is expected from here on.
func (l *lane) accept(field, value string) {
	if field == fieldModel {
		l.expected = value
	}
	if known := l.known[field]; !slices.Contains(known, value) && len(known) < maxKnown {
		l.known[field] = append(known, value)
	}
}

// meet takes note of what an earlier run's reply says about its origin.
func (r *runner) meet(l *lane, it *ledger.Item, a *ledger.Attempt) error {
	if it.Prompt.Sentinel {
		rec := ledger.ReplyRecord{Attempt: *a}
		if a.Response != nil {
			var err error
			if rec.Response, err = r.w.Case().Blob(*a.Response); err != nil {
				return err
			}
		}
		reply := family.Decode(rec)
		if d := r.sentinel(l, it, &reply); d != nil {
			l.unnoted = &d[0]
		}
	}
	if a.Outcome == ledger.Drifted {
		return nil
	}
	if a.Model != "" && l.expected == "" {
		l.accept(fieldModel, a.Model)
	}
	headers, err := r.w.Case().Headers(a)
	if err != nil {
		return err
	}
	for field, value := range map[string]string{fieldFingerprint: a.Fingerprint, fieldProvider: a.Provider, fieldHeaders: identity(headers)} {
		if value != "" && len(l.known[field]) == 0 {
			l.accept(field, value)
		}
	}
	return nil
}
