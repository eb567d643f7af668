package probe

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/stillmark/stillmark/probe/endpoint"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/wire"
)

// feed begins the lane's tasks in the plan's order.
func (r *runner) feed(l *lane) {
	for i := range l.queue {
		if !r.admit(l, i) {
			return
		}
		task, err := r.begin(l, &l.queue[i])
		if err != nil {
			r.close(l)
			r.fail(err)
			return
		}
		r.items.Go(func() { r.settle(l, task) })
	}
	r.mu.Lock()
	l.next = len(l.queue)
	r.cond.Broadcast() // nobody needs to wait for this lane any more
	r.mu.Unlock()
}

// timeStep is how long a wait for a set time sleeps at most before it looks at the
// clock again: a machine may have been suspended meanwhile.
const timeStep = 30 * time.Second

// feedTimed begins what is to be asked at set times, when these come.
func (r *runner) feedTimed(l *lane) {
	for i := range l.timed {
		w := &l.timed[i]
		for wait := time.Until(w.prompt.NotBefore); wait > 0; wait = time.Until(w.prompt.NotBefore) {
			r.mu.Lock()
			l.due = w.prompt.NotBefore
			r.mu.Unlock()
			if !r.sleep(min(wait, timeStep)) {
				return
			}
		}
		task := l.task(w)
		r.mu.Lock()
		l.due = time.Time{}
		stopped := r.stopped
		l.open++
		r.mu.Unlock()
		if stopped {
			return
		}
		r.items.Go(func() { r.settle(l, task) })
	}
}

// tooLate notes an item whose time is over.
func (r *runner) tooLate(t *task) bool {
	if end := t.item.Prompt.NotAfter; t.asked != nil || end.IsZero() || time.Now().Before(end) {
		return false
	}
	r.mu.Lock()
	r.missed++
	r.mu.Unlock()
	return true
}

// admit waits until the lane may begin its i-th task, or the run is stopped.
// Tasks that wait for another try take precedence over new ones: at most twice
// the concurrency is open at a time.
func (r *runner) admit(l *lane, i int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	l.next = i
	r.cond.Broadcast()
	for !r.stopped && (l.paused || l.open >= l.openLimit() || int(l.queue[i].block) > r.slowest()+lead) {
		r.cond.Wait()
	}
	if r.stopped {
		return false
	}
	l.open++
	return true
}

func (l *lane) openLimit() int {
	limit, _ := l.limiter.State()
	return 2*limit + 4
}

// slowest is the block that the lane furthest behind is about to begin.
func (r *runner) slowest() int {
	least := math.MaxInt32 // blocks have numbers of 32 bits
	for _, l := range r.lanes {
		if l.next < len(l.queue) {
			least = min(least, int(l.queue[l.next].block))
		}
	}
	return least
}

// overloaded reports whether an attempt failed because the target was too busy:
// it took the request and never answered, or said so.
func overloaded(a *ledger.Attempt) bool {
	return a.Outcome == ledger.Transport &&
		(a.Status == 0 && a.MayBeBilled || a.Status == statusUnavailable || a.Status == statusOverloaded)
}

// HTTP's words for it; 529 is no standard, several providers use it.
const (
	statusUnavailable = 503
	statusOverloaded  = 529
)

// settle tries to get the item's reply until it has one, or has to give up.
func (r *runner) settle(l *lane, t task) {
	defer r.close(l)
	tries := 0
	var elapsed time.Duration // of attempts and the waits between them, not of waits that a target asked for
	for {
		slot, err := l.limiter.Acquire(r.sending)
		if err != nil {
			return
		}
		if !r.claim(l, &t, false) {
			slot.Release(ledger.Cancelled)
			return
		}
		if r.tooLate(&t) {
			r.settleAccount(l, &t, &endpoint.Attempt{Meta: ledger.Attempt{Outcome: ledger.Cancelled}}, r.atMost(t.item))
			slot.Release(ledger.Cancelled)
			return
		}
		t.attempts++
		begun := time.Now()
		att, err := r.attempt(l, &t)
		elapsed += time.Since(begun)
		follow := nextDone
		if err == nil {
			// Before the slot is free: a target that asks to wait is asked nothing
			// by the next in line either.
			follow = r.judge(l, &t, &att)
		}
		if overloaded(&att.Meta) {
			slot.Overloaded()
		} else {
			slot.Release(att.Meta.Outcome)
		}
		if err != nil {
			r.fail(err)
			return
		}
		if follow == nextProbe {
			follow = r.probe(l, &t)
		}
		switch follow {
		case nextDone:
			return
		case nextWait: // a 429 or an outage costs no try
			continue
		}
		tries++
		delay := r.opt.pace.backoff.Delay(t.item.ID, tries)
		elapsed += delay
		if tries >= endpoint.MaxTries || elapsed > endpoint.MaxElapsed {
			r.mu.Lock()
			r.givenUp++
			r.mu.Unlock()
			return
		}
		if asked := att.RetryAfter; asked <= endpoint.MaxRetryAfter {
			delay = max(delay, asked) // a 503 may say when to come back
		}
		if !r.sleep(delay) {
			return
		}
	}
}

func (r *runner) close(l *lane) {
	r.mu.Lock()
	l.open--
	r.cond.Broadcast()
	r.mu.Unlock()
}

// sleep waits, and reports whether the run still sends.
func (r *runner) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.sending.Done():
		return false
	}
}

// claim waits until a paused lane goes on and the attempt fits under the plan's
// caps, and sets aside what it may cost at most. It reports whether the attempt
// may be made. A probe is made although the lane is paused.
func (r *runner) claim(l *lane, t *task, probing bool) bool {
	cost := r.atMost(t.item)
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.stopped {
		total := r.spent
		total.add(r.reserved)
		total.add(cost)
		now := r.spentNow
		now.add(r.reserved)
		now.add(cost)
		name, limit := exceeds(&r.plan.Caps, total, currencyOf(r.plan))
		_, own := exceeds(&r.opt.Caps, now, currencyOf(r.plan))
		switch {
		case l.paused && !probing:
		case limit == "" && own == "":
			r.take(l, cost)
			return true
		case limit == "" && r.inFlight == 0:
			r.haltLocked(family.StopOperator, r.ownCap(own))
			return false
		case r.inFlight == 0:
			// Nothing under way can turn out cheaper than feared.
			if !r.stopped {
				r.cap = name
			}
			r.haltLocked(family.StopCap, r.capError(limit))
			return false
		}
		r.cond.Wait()
	}
	return false
}

func (r *runner) take(l *lane, cost spend) {
	r.reserved.add(cost)
	r.inFlight++
	l.inFlight++
}

// attempt makes one attempt and writes it down: the intent before, the outcome
// after. The error is the ledger's, or an *Error where the request itself is at
// fault.
func (r *runner) attempt(l *lane, t *task) (att endpoint.Attempt, err error) {
	att.Meta.Outcome = ledger.Cancelled
	cost := r.atMost(t.item)
	defer func() { r.settleAccount(l, t, &att, cost) }()
	prepared, err := l.client.Prepare(r.request(t))
	if err != nil {
		return att, &Error{Code: CodeUsage, Target: l.target.Name, Happened: err.Error(), Do: "Plan a new case", Err: err}
	}
	sent, err := r.w.PutBlob(prepared.Body)
	if err != nil {
		return att, err
	}
	if _, err = r.w.Append(intentOf(t.item), t.item.ID, t.attempts, ledger.Intent{Target: l.target.Name, Request: sent}); err != nil {
		return att, err
	}
	r.mu.Lock()
	r.sent++
	r.sentNow++
	r.mu.Unlock()
	att = prepared.Do(r.flying)
	drift := r.drifted(l, t.item, &att)
	if len(att.Response) > 0 {
		ref, err := r.w.PutBlob(att.Response)
		if err != nil {
			return att, err
		}
		att.Meta.Response = &ref
	}
	written := att.Meta
	if err = r.w.PutHeaders(&written); err != nil {
		return att, err
	}
	if _, err = r.w.Append(outcomeOf(t.item, att.Meta.Outcome), t.item.ID, t.attempts, written); err != nil {
		return att, err
	}
	for _, d := range drift {
		if _, err = r.w.Append(ledger.EventDrift, t.item.ID, t.attempts, d); err != nil {
			return att, err
		}
		if d.Field == fieldSentinels && !d.Accepted {
			r.halt(family.StopDrift, r.changed(d.Target, whyDrift(&d)))
		}
	}
	return att, nil
}

// settleAccount replaces what was set aside for an attempt by what it did cost.
func (r *runner) settleAccount(l *lane, t *task, att *endpoint.Attempt, reserved spend) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reserved.sub(reserved)
	r.inFlight--
	l.inFlight--
	if att.Meta.Status != 0 || att.Meta.MayBeBilled || att.Meta.Outcome != ledger.Cancelled {
		cost := r.billed(t.item, &att.Meta)
		r.spent.add(cost)
		r.spentNow.add(cost)
	}
	r.cond.Broadcast()
}

// drifted compares what a reply says about its origin with what was known, and
// decides what a change means: another model makes the reply Drifted unless the
// operator chose to split; fingerprint, provider and headers open an epoch and no
// more, since many services balance over several.
func (r *runner) drifted(l *lane, it *ledger.Item, att *endpoint.Attempt) []family.DriftEvent {
	m := &att.Meta
	if !m.Outcome.Final() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var events []family.DriftEvent
	if m.Model != "" {
		switch {
		case l.expected == "":
			l.accept(fieldModel, m.Model)
		case !wire.SameModel(l.expected, m.Model):
			split := r.opt.OnDrift == DriftSplit
			d := family.DriftEvent{Target: l.target.Name, Field: fieldModel, From: l.expected, To: m.Model, Accepted: split}
			switch {
			case !split:
				m.Outcome = ledger.Drifted
				m.Detail = whyDrift(&d)
				events = append(events, d)
			case !slices.Contains(l.known[fieldModel], m.Model):
				l.epoch++
				d.Epoch = l.epoch
				events = append(events, d)
				l.accept(fieldModel, m.Model)
			default:
				l.accept(fieldModel, m.Model) // back to a model that was seen before
			}
		}
	}
	events = l.note(events, fieldFingerprint, m.Fingerprint)
	events = l.note(events, fieldProvider, m.Provider)
	events = l.note(events, fieldHeaders, identity(m.Headers))
	events = append(events, r.sentinel(l, it, &att.Reply)...)
	r.drift += len(events)
	return events
}

// note records a value of a field that was not seen before; the first is no change.
func (l *lane) note(events []family.DriftEvent, field, value string) []family.DriftEvent {
	known := l.known[field]
	if value == "" || slices.Contains(known, value) || len(known) >= maxKnown {
		return events
	}
	l.accept(field, value)
	if len(known) == 0 {
		return events
	}
	l.epoch++
	return append(events, family.DriftEvent{
		Target: l.target.Name, Field: field, From: known[len(known)-1], To: value, Epoch: l.epoch, Accepted: true,
	})
}

// identity is what the headers of a response say about who served it.
func identity(headers map[string]string) string {
	var parts []string
	for _, name := range []string{"server", "openai-version", "openai-model", "x-model", "x-model-id", "x-served-model"} {
		if v := headers[name]; v != "" {
			parts = append(parts, name+": "+v)
		}
	}
	return strings.Join(parts, "; ")
}

// next is what follows an attempt.
type next int

const (
	nextDone  next = iota // the item is settled, or the run stops
	nextRetry             // the same again after a while
	nextWait              // the same again as soon as the target allows
	nextProbe             // the target seems to be down: this task finds out
)

// judge takes note of an attempt's outcome and says what follows.
func (r *runner) judge(l *lane, t *task, att *endpoint.Attempt) next {
	o := att.Meta.Outcome
	if o.Final() && r.stopper != nil && !t.item.Prompt.Sentinel {
		r.weigh(t.item, &att.Reply)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	name := l.target.Name
	switch {
	case !t.item.Settles(o):
		r.failed[o]++
	case t.item.Label > 0:
		r.docket.settle()
		r.recent.add(time.Now())
	default:
		r.settled++
		l.settled++
		r.classes[o]++
		r.recent.add(time.Now())
	}
	switch o {
	case ledger.RateLimited:
		return r.limitLocked(l, att.RetryAfter)
	case ledger.Transport, ledger.Truncated, ledger.Malformed:
		l.transport++
		// A target that nothing ever reached is not asked twenty times: a wrong
		// address or a server that was not started shows at once.
		absent := !l.answered && !l.reached(&att.Meta)
		if (l.transport >= inARow || absent) && !l.paused {
			l.paused = true
			l.pauseNote = att.Meta.Detail
			return nextProbe
		}
		return nextRetry
	case ledger.Auth:
		do := "Check the target's key"
		if env := l.target.APIKeyEnv; env != "" {
			do = "Set " + env
		}
		r.haltLocked(family.StopAuth, &Error{
			Code: CodeAuth, Target: name, Do: do + ", then run the same command again",
			Happened: fmt.Sprintf("HTTP %d from %s after %s replies", att.Meta.Status, name, group(r.settled)),
		})
	case ledger.Quota:
		r.haltLocked(family.StopQuota, &Error{
			Code: CodeQuota, Target: name, Do: "Top up the account, then run the same command again",
			Happened: fmt.Sprintf("HTTP %d from %s: the quota is used up after %s replies", att.Meta.Status, name, group(r.settled)),
		})
	case ledger.Drifted:
		r.haltLocked(family.StopDrift, r.changed(name, att.Meta.Detail))
	case ledger.Rejected:
		if l.rejected++; l.rejected >= inARow {
			r.haltLocked(family.StopUnavailable, &Error{
				Code: CodeUnavailable, Target: name,
				Happened: fmt.Sprintf("%s rejects every request: %s", name, strings.TrimSuffix(att.Meta.Detail, ".")),
				Do:       "Run `target test` to see what it accepts, then plan a new case",
			})
		}
	}
	l.limited, l.limitedSince = 0, time.Time{}
	if o != ledger.Cancelled {
		l.transport, l.answered = 0, true
	}
	if o != ledger.Rejected {
		l.rejected = 0
	}
	return nextDone
}

// reached notes and reports whether any attempt of this run got as far as the
// target: a connection that is refused, or a name that is not known, did not.
func (l *lane) reached(m *ledger.Attempt) bool {
	l.touched = l.touched || m.Status != 0 || m.MayBeBilled || m.Response != nil
	return l.touched
}

// limitLocked holds a lane that was told to wait.
func (r *runner) limitLocked(l *lane, wait time.Duration) next {
	now := time.Now()
	l.transport = 0
	if l.limitedSince.IsZero() {
		l.limitedSince = now
	}
	if wait > endpoint.MaxRetryAfter || now.Sub(l.limitedSince) > endpoint.MaxRetryAfter {
		happened := fmt.Sprintf("%s has let nothing through for %s", l.target.Name, brief(now.Sub(l.limitedSince)))
		if wait > endpoint.MaxRetryAfter {
			happened = fmt.Sprintf("%s asks to wait for %s", l.target.Name, brief(wait))
		}
		r.haltLocked(family.StopRateLimit, &Error{
			Code: CodeIncomplete, Target: l.target.Name, Happened: happened, Do: "Run the same command again later",
		})
		return nextDone
	}
	if wait <= 0 {
		if now.Before(l.heldUntil) {
			return nextWait // of the same burst
		}
		l.limited++
		wait = r.opt.pace.backoff.Delay(l.target.Name, min(l.limited, endpoint.MaxTries))
	}
	l.limiter.Hold(wait)
	if until := now.Add(wait); until.After(l.heldUntil) {
		l.heldUntil = until
	}
	return nextWait
}

// probe finds out whether a target that failed many times in a row is there:
// it waits and tries its own item again, a few times. Meanwhile nothing else is
// sent to the target. It says what follows for the item.
func (r *runner) probe(l *lane, t *task) next {
	waits := r.opt.pace.probes
	r.mu.Lock()
	if !l.answered {
		waits = waits[:1] // it never was there: no need to wait a minute
		if !l.touched {
			waits = []time.Duration{min(waits[0], absentWait)}
		}
	}
	failures, detail, answered := l.transport, l.pauseNote, false
	r.mu.Unlock()
	for _, wait := range waits {
		_, err := r.w.Append(ledger.EventPause, "", 0, family.PauseEvent{
			Target: l.target.Name, WaitMS: wait.Milliseconds(),
			Reason: fmt.Sprintf("%d attempts in a row failed, the last one: %s", failures, detail),
		})
		if err != nil {
			r.fail(err)
			return nextDone
		}
		if !r.sleep(wait) {
			return nextDone
		}
		// No slot is taken: those may all be held by tasks that wait for the
		// lane to go on.
		if !r.claim(l, t, true) {
			return nextDone
		}
		t.attempts++
		att, err := r.attempt(l, t)
		if err != nil {
			r.fail(err)
			return nextDone
		}
		r.mu.Lock()
		l.pauseNote = att.Meta.Detail
		r.mu.Unlock()
		failures, detail, answered = failures+1, att.Meta.Detail, att.Meta.Status != 0
		if o := att.Meta.Outcome; o == ledger.Transport || o == ledger.Truncated || o == ledger.Malformed {
			r.mu.Lock()
			r.failed[o]++
			r.mu.Unlock()
			continue
		}
		if att.Meta.Outcome == ledger.Cancelled {
			return r.judge(l, t, &att)
		}
		if _, err := r.w.Append(ledger.EventResume, "", 0, family.SessionEvent{Kind: family.KindTarget, Target: l.target.Name}); err != nil {
			r.fail(err)
			return nextDone
		}
		follow := r.judge(l, t, &att)
		r.mu.Lock()
		l.paused = false
		r.cond.Broadcast()
		r.mu.Unlock()
		return follow
	}
	what := "cannot be reached"
	if answered {
		what = "answers, but gives no whole reply"
	}
	r.halt(family.StopUnavailable, &Error{
		Code: CodeUnavailable, Target: l.target.Name,
		Happened: fmt.Sprintf("%s %s: %s", l.target.Name, what, strings.TrimSuffix(detail, ".")),
		Do:       "Check its address, the network and the server's own log, then run the same command again",
	})
	return nextDone
}

// weigh adds a reply to the running evidence and stops the run when every
// anytime test has reached its threshold.
func (r *runner) weigh(it *ledger.Item, reply *ledger.Reply) {
	err := r.stopper.Add(*it, *reply)
	if err != nil {
		// What cannot be scored now will be met again by the analysis, with an
		// error that says why; collection goes on.
		return
	}
	due, evidence, enough := r.stopper.Check()
	if !due {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.evidence = r.evidence[:0]
	for _, e := range evidence {
		r.evidence = append(r.evidence, Evidence{Test: e.Test, Log10E: e.Log10E, Threshold: e.Threshold})
	}
	if enough {
		r.haltLocked(family.StopEvidence, nil)
	}
}
