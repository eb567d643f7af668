package ledger

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Head identifies the state of a ledger.
type Head struct {
	Events uint64 `json:"events"`
	Hash   string `json:"hash"` // hex SHA-256 of the last line
	Root   string `json:"root"` // hex Merkle root over all lines (RFC 6962)
}

// ItemState is what the ledger says about one item.
type ItemState struct {
	Attempts int     // intents seen, orphans included
	Orphan   bool    // the last intent has no outcome
	Settled  bool    // there is a reply
	Outcome  Outcome // of the reply, or else of the last failed attempt
	Request  BlobRef // of the last intent
}

// State is where collection stands: the ledger, folded. It also holds the rules
// of which event may follow which, for reader and writer alike.
type State struct {
	Head    Head
	First   time.Time // of the first event
	Last    time.Time // of the last event
	Sealed  bool      // the last event is a seal
	Stopped bool      // the last stop event was not followed by a resume
	Items   map[string]ItemState

	plan *planIndex
	tree frontier
	ends map[int]int64 // segment -> end of the last blob that an event refers to
}

// planIndex finds the plan's items by id. It is immutable.
type planIndex struct {
	items  []Item
	byID   map[string]int
	sha256 string
}

func indexPlan(p *Plan, sha256 string) *planIndex {
	x := &planIndex{items: p.Items(), sha256: sha256}
	x.byID = make(map[string]int, len(x.items))
	for i := range x.items {
		x.byID[x.items[i].ID] = i
	}
	return x
}

func newState(plan *planIndex) *State {
	return &State{
		Head:  Head{Hash: zeroHash},
		Items: make(map[string]ItemState),
		plan:  plan,
		ends:  make(map[int]int64),
	}
}

// Settled reports whether the item has its reply.
func (s *State) Settled(item string) bool { return s.Items[item].Settled }

// NextAttempt is the number of the item's next attempt, from 1. An orphan
// intent counts: its request may have been sent and billed.
func (s *State) NextAttempt(item string) int { return s.Items[item].Attempts + 1 }

// Orphans lists, sorted, the items whose last intent has no outcome: sent, or
// about to be sent, when the program died.
func (s *State) Orphans() []string {
	var ids []string
	for id, it := range s.Items {
		if it.Orphan {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Pending lists the items that wait for a reply in the plan's order.
func (s *State) Pending() []Item {
	var items []Item
	for _, it := range s.plan.items {
		if it.Target.Live() && !s.Settled(it.ID) {
			items = append(items, it)
		}
	}
	return items
}

// clone copies what later events change.
func (s *State) clone() *State {
	c := *s
	c.Items = maps.Clone(s.Items)
	c.ends = maps.Clone(s.ends)
	c.tree = s.tree.clone()
	c.setRoot()
	return &c
}

func (s *State) setRoot() {
	root := s.tree.root()
	s.Head.Root = hex.EncodeToString(root[:])
}

// change is what an event does to a state: found by admit, made by apply.
type change struct {
	item    ItemState
	attempt *Attempt // of reply and attempt_failed events
	blob    *BlobRef // that the event refers to
}

// admit checks that an event may come next. It does not change s.
func (s *State) admit(e *Event) (change, error) {
	if first := s.Head.Events == 0; first != (e.Type == EventPlanSealed) {
		return change{}, refusal(e, "plan_sealed is the first event, and only the first")
	}
	if s.Sealed && e.Type != EventSeal {
		return change{}, fmt.Errorf("%w: no %s event can be added", ErrSealed, e.Type)
	}
	switch e.Type {
	case EventPlanSealed:
		var d PlanSealed
		if err := decodeStrict(e.Data, &d); err != nil {
			return change{}, refusal(e, err.Error())
		}
		if d.PlanSHA256 != s.plan.sha256 {
			return change{}, refusal(e, fmt.Sprintf("the sealed plan has the SHA-256 %s, but %s has %s", d.PlanSHA256, planName, s.plan.sha256))
		}
		return change{}, nil
	case EventIntent:
		return s.admitIntent(e)
	case EventReply, EventAttemptFailed:
		return s.admitOutcome(e)
	case EventPause, EventResume, EventDrift, EventClockJump, EventConfigChange, EventFault, EventStop, EventSeal:
		return change{}, nil
	}
	return change{}, refusal(e, "there is no such event")
}

func refusal(e *Event, why string) error {
	if e.Item == "" {
		return fmt.Errorf("%w: %s: %s", ErrOrder, e.Type, why)
	}
	return fmt.Errorf("%w: %s of %s, attempt %d: %s", ErrOrder, e.Type, e.Item, e.Attempt, why)
}

// open returns the state of an attempt's item and the target it must name.
func (s *State) open(e *Event) (ItemState, *Target, error) {
	i, known := s.plan.byID[e.Item]
	if !known {
		return ItemState{}, nil, refusal(e, "the plan has no such item")
	}
	it := s.Items[e.Item]
	if it.Settled {
		return ItemState{}, nil, refusal(e, "the item has its reply already")
	}
	return it, s.plan.items[i].Target, nil
}

func (s *State) admitIntent(e *Event) (change, error) {
	it, target, err := s.open(e)
	if err != nil {
		return change{}, err
	}
	var d Intent
	if err := decodeStrict(e.Data, &d); err != nil {
		return change{}, refusal(e, err.Error())
	}
	if d.Target != target.Name {
		return change{}, refusal(e, fmt.Sprintf("the item's target is %q, not %q", target.Name, d.Target))
	}
	if !target.Live() {
		return change{}, refusal(e, "its target's replies were gathered beforehand: nothing is sent to it")
	}
	if e.Attempt != it.Attempts+1 {
		return change{}, refusal(e, fmt.Sprintf("the next attempt is %d", it.Attempts+1))
	}
	if err := d.Request.check(); err != nil {
		return change{}, refusal(e, err.Error())
	}
	it.Attempts++
	it.Orphan = true
	it.Request = d.Request
	return change{item: it, blob: &d.Request}, nil
}

func (s *State) admitOutcome(e *Event) (change, error) {
	it, target, err := s.open(e)
	if err != nil {
		return change{}, err
	}
	d := new(Attempt)
	if err := decodeStrict(e.Data, d); err != nil {
		return change{}, refusal(e, err.Error())
	}
	imported := target.Imported != nil
	switch {
	case d.Target != target.Name:
		return change{}, refusal(e, fmt.Sprintf("the item's target is %q, not %q", target.Name, d.Target))
	case target.Cached != nil:
		return change{}, refusal(e, "its target's replies are those of case "+target.Cached.CaseID)
	case (d.Kind == KindImported) != imported:
		return change{}, refusal(e, fmt.Sprintf("kind %q does not go with a target whose replies are imported: %v", d.Kind, imported))
	case imported:
		if e.Attempt != 1 || e.Type != EventReply {
			return change{}, refusal(e, "an imported reply is the only attempt at its item")
		}
		it.Attempts = 1
	case !it.Orphan || e.Attempt != it.Attempts:
		return change{}, refusal(e, "there is no open intent for it")
	}
	if d.Outcome == "" || d.Outcome.Final() != (e.Type == EventReply) {
		return change{}, refusal(e, fmt.Sprintf("outcome %q does not go with this event", d.Outcome))
	}
	if d.Response != nil {
		if err := d.Response.check(); err != nil {
			return change{}, refusal(e, err.Error())
		}
	}
	it.Orphan = false
	it.Settled = e.Type == EventReply
	it.Outcome = d.Outcome
	return change{item: it, attempt: d, blob: d.Response}, nil
}

// apply folds an admitted event and its line.
func (s *State) apply(e *Event, ch change, line []byte, hash string) {
	if s.Head.Events == 0 {
		s.First = e.Time
	}
	s.Last = e.Time
	s.Head.Events++
	s.Head.Hash = hash
	s.tree.append(line)
	s.Sealed = e.Type == EventSeal
	switch e.Type {
	case EventIntent, EventReply, EventAttemptFailed:
		s.Items[e.Item] = ch.item
	case EventStop:
		s.Stopped = true
	case EventResume:
		s.Stopped = false
	}
	if r := ch.blob; r != nil {
		s.ends[r.Segment] = max(s.ends[r.Segment], r.Offset+r.Length)
	}
}
