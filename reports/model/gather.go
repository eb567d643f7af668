package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
)

// Bounds of what a report prints of a record of any length. What is cut is
// counted.
const (
	maxEpochs   = 50
	maxNoted    = 100
	maxVariants = 20
	maxName     = 200 // runes of a name that a target gave itself
)

// record is what one pass over the ledger finds out, findings apart.
type record struct {
	text        text
	sealed      time.Time
	firstIntent time.Time
	lastReply   time.Time
	resumes     int
	failed      int64
	segments    int
	targets     map[string]*seen
	noted       []NotedEvent
	unnoted     int
	requests    int64
	variants    map[string]int64
	replyIDs    int64 // analysed replies with an id of the provider's
}

// seen is one target as the record shows it.
type seen struct {
	models, providers, statuses map[string]int64
	epochs                      []Epoch
	stretches                   int // of replies with one model, fingerprint and provider
	current                     [3]string
	first, last                 time.Time
	withID                      int64
	firstID, lastID             string
	times                       []float64
}

// gather reads the ledger once.
func gather(c *ledger.Case, t text) (*record, error) {
	r := &record{
		text: t, targets: map[string]*seen{}, variants: map[string]int64{},
	}
	for _, t := range c.Plan().Targets {
		r.targets[t.Name] = &seen{models: map[string]int64{}, providers: map[string]int64{}, statuses: map[string]int64{}}
	}
	for e, err := range c.Events() {
		if err != nil {
			return nil, fmt.Errorf("read the ledger: %w", err)
		}
		if err := r.add(c, e); err != nil {
			return nil, fmt.Errorf("event %d of the ledger: %w", e.Seq, err)
		}
	}
	return r, r.gatherControls(c)
}

// gatherControls adds what the cases inside this one say of the targets whose
// replies are theirs. The course of their collection is not this case's.
func (r *record) gatherControls(c *ledger.Case) error {
	cases, names, err := c.Controls()
	if err != nil {
		return err
	}
	last := r.lastReply
	for k, sub := range cases {
		for e, err := range sub.Events() {
			if err != nil {
				return fmt.Errorf("read the ledger of case %s: %w", sub.Plan().CaseID, err)
			}
			it, planned := c.Item(e.Item)
			if e.Type != ledger.EventReply || !planned || !names[k][it.Target.Name] {
				continue
			}
			var a ledger.Attempt
			if err := json.Unmarshal(e.Data, &a); err != nil {
				return fmt.Errorf("event %d of the ledger of case %s: %w", e.Seq, sub.Plan().CaseID, err)
			}
			r.attempt(e, a)
		}
	}
	r.lastReply = last
	return nil
}

func (r *record) add(c *ledger.Case, e ledger.Event) error {
	switch e.Type {
	case ledger.EventPlanSealed:
		r.sealed = e.Time
	case ledger.EventIntent:
		if r.firstIntent.IsZero() {
			r.firstIntent = e.Time
		}
		var intent ledger.Intent
		if err := json.Unmarshal(e.Data, &intent); err != nil {
			return err
		}
		r.segments = max(r.segments, intent.Request.Segment+1)
		body, err := c.Blob(intent.Request)
		if errors.Is(err, ledger.ErrWithheld) {
			return nil
		}
		if err != nil {
			return err
		}
		r.sent(body)
	case ledger.EventReply, ledger.EventAttemptFailed:
		var a ledger.Attempt
		if err := json.Unmarshal(e.Data, &a); err != nil {
			return err
		}
		r.attempt(e, a)
	case ledger.EventLabelIntent, ledger.EventLabel, ledger.EventLabelFailed:
		// The judge is no target: what it was asked stands in the ledger, and what it
		// said in the findings.
		refs, err := ledger.RefsOf(&e)
		for _, ref := range refs {
			r.segments = max(r.segments, ref.Segment+1)
		}
		return err
	case ledger.EventSeal:
	default:
		r.note(e)
	}
	return nil
}

// sent counts the parameters of a request body: every member but those that
// differ between items by design.
func (r *record) sent(body []byte) {
	r.requests++
	var members map[string]json.RawMessage
	key := "not a JSON object"
	if json.Unmarshal(body, &members) == nil {
		for _, name := range []string{"model", "messages", "prompt", "seed"} {
			delete(members, name)
		}
		var b bytes.Buffer
		if data, err := json.Marshal(members); err == nil && json.Compact(&b, data) == nil {
			key = clip(b.String(), 1000)
		}
	}
	if _, known := r.variants[key]; !known && len(r.variants) >= maxVariants {
		key = "others"
	}
	r.variants[key]++
}

func (r *record) attempt(e ledger.Event, a ledger.Attempt) {
	s, ok := r.targets[a.Target]
	if !ok {
		return
	}
	status := "none"
	if a.Status != 0 {
		status = strconv.Itoa(a.Status)
	}
	s.statuses[status]++
	if a.Response != nil {
		r.segments = max(r.segments, a.Response.Segment+1)
	}
	if e.Type == ledger.EventAttemptFailed {
		r.failed++
		return
	}
	r.lastReply = e.Time
	if s.first.IsZero() {
		s.first = e.Time
	}
	s.last = e.Time
	if a.TotalMS > 0 {
		s.times = append(s.times, a.TotalMS)
	}
	if a.Model != "" {
		s.models[clip(a.Model, maxName)]++
	}
	if a.Provider != "" {
		s.providers[clip(a.Provider, maxName)]++
	}
	if id := clip(a.RequestID, maxName); id != "" {
		s.withID++
		if s.firstID == "" {
			s.firstID = id
		}
		s.lastID = id
	}
	s.epoch(e.Time, clip(a.Model, maxName), clip(a.Fingerprint, maxName), clip(a.Provider, maxName))
}

// epoch enters a reply into the timeline. Stretches beyond those that are
// printed are counted.
func (s *seen) epoch(at time.Time, model, fingerprint, provider string) {
	if now := [3]string{model, fingerprint, provider}; now != s.current || s.stretches == 0 {
		s.current = now
		s.stretches++
		if s.stretches <= maxEpochs {
			s.epochs = append(s.epochs, Epoch{Model: model, Fingerprint: fingerprint, Provider: provider, From: at})
		}
	}
	if s.stretches <= maxEpochs {
		last := &s.epochs[len(s.epochs)-1]
		last.To = at
		last.Replies++
	}
}

// changes is how often model, fingerprint or provider changed.
func (s *seen) changes() int { return max(0, s.stretches-1) }

func (r *record) note(e ledger.Event) {
	kind := e.Type
	if e.Type == ledger.EventResume || e.Type == ledger.EventConfigChange {
		var session family.SessionEvent
		if json.Unmarshal(e.Data, &session) == nil && session.Kind == family.KindSession {
			if kind = "session"; e.Type == ledger.EventResume {
				r.resumes++
			}
		}
	}
	if len(r.noted) >= maxNoted {
		r.unnoted++
		return
	}
	t := r.text
	detail := clip(t.describe(e), 300)
	text := clip(e.Type, 40)
	if _, known := t["event."+kind]; known {
		text = strings.TrimSpace(t.say("event."+kind, "detail", detail))
	}
	r.noted = append(r.noted, NotedEvent{Seq: e.Seq, Time: e.Time, Type: e.Type, Text: text})
}

// describe words the data of an event that is no attempt.
func (t text) describe(e ledger.Event) string {
	parse := func(v any) bool { return json.Unmarshal(e.Data, v) == nil }
	switch e.Type {
	case ledger.EventDrift:
		var d family.DriftEvent
		if parse(&d) {
			return t.say("detail.drift", "target", d.Target, "field", d.Field, "from", strconv.Quote(d.From), "to", strconv.Quote(d.To))
		}
	case ledger.EventPause:
		var p family.PauseEvent
		if parse(&p) {
			return t.say("detail.pause", "target", p.Target, "reason", p.Reason, "wait", (time.Duration(p.WaitMS) * time.Millisecond).String())
		}
	case ledger.EventStop:
		var s family.StopEvent
		if parse(&s) {
			return t.say("detail.stop", "reason", s.Reason, "settled", t.group(s.Settled), "missing", t.group(s.Missing), "detail", s.Detail)
		}
	case ledger.EventClockJump:
		var j ledger.ClockJump
		if parse(&j) {
			return t.say("detail.jump", "s", t.Locale().Decimal(strconv.FormatFloat(j.Seconds, 'f', 1, 64)))
		}
	case ledger.EventFault:
		var f ledger.Fault
		if parse(&f) {
			return t.say("detail.fault", "kind", f.Kind, "detail", f.Detail)
		}
	case ledger.EventResume, ledger.EventConfigChange:
		var s family.SessionEvent
		if parse(&s) && s.Kind == family.KindTarget {
			return t.say("detail.back", "target", s.Target)
		} else if parse(&s) {
			words := t.say("detail.session", "n", strconv.Itoa(s.Number), "settled", t.group(s.Settled))
			if len(s.Changed) > 0 {
				words += " " + t.say("detail.changed", "options", t.list(s.Changed))
			}
			return words
		}
	}
	return string(e.Data)
}

// median of an unsorted list, 0 if it is empty.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Clone(v)
	slices.Sort(v)
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}
