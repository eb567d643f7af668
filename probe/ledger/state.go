package ledger

import (
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
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
}

// State is where collection stands: the ledger, folded. It also holds the rules
// of which event may follow which, for reader and writer alike. It takes eight
// bytes an item.
type State struct {
	Head    Head
	First   time.Time // of the first event
	Last    time.Time // of the last event
	Sealed  bool      // the last event is a seal
	Stopped bool      // the last stop event was not followed by a resume

	plan     *planIndex
	cells    []cell
	open     map[int]BlobRef // requests of items that are not settled
	settled  int
	labels   int       // that are settled
	outcomes []Outcome // that cells refer to by number
	tree     frontier
	ends     map[int]int64 // segment -> end of the last blob that an event refers to
}

// cell is the state of an item.
type cell struct {
	attempts uint32
	flags    uint8
	outcome  uint8 // in outcomes; 0 is none
}

// The flags of a cell.
const (
	cellOrphan uint8 = 1 << iota
	cellSettled
)

// maxOutcomes bounds the classes that are told apart. A ledger with more of them
// is not of this program; those beyond read as the last.
const maxOutcomes = 255

// planIndex finds the plan's items by id. It is immutable.
type planIndex struct {
	plan    *Plan
	sha256  string
	layout  layout
	targets map[string]int
	prompts map[[2]string]int

	ranked sync.Once
	places []int32
}

func indexPlan(p *Plan, sha256 string) *planIndex {
	x := &planIndex{
		plan: p, sha256: sha256, layout: p.layout(),
		targets: make(map[string]int, len(p.Targets)), prompts: make(map[[2]string]int, len(p.Prompts)),
	}
	for i := range p.Targets {
		x.targets[p.Targets[i].Name] = i
	}
	for i := range p.Prompts {
		x.prompts[[2]string{p.Prompts[i].Suite, p.Prompts[i].ID}] = i
	}
	return x
}

// perTarget is how many cells a target has.
func (x *planIndex) perTarget() int { return x.layout[len(x.plan.Prompts)] }

// find takes an item's id apart. No name holds a slash.
func (x *planIndex) find(id string) (number int, it Item, ok bool) {
	target, rest, ok1 := strings.Cut(id, "/")
	suite, rest, ok2 := strings.Cut(rest, "/")
	prompt, tail, ok3 := strings.Cut(rest, "/")
	t, known := x.targets[target]
	p, asked := x.prompts[[2]string{suite, prompt}]
	tail, pass, ok4 := cutLabel(tail)
	sample, err := strconv.Atoi(tail)
	if !ok1 || !ok2 || !ok3 || !ok4 || !known || !asked || err != nil || sample < 0 || strconv.Itoa(sample) != tail {
		return 0, Item{}, false
	}
	it = Item{ID: id, Target: &x.plan.Targets[t], Prompt: &x.plan.Prompts[p], Sample: sample, Label: pass}
	if sample >= x.layout[p+1]-x.layout[p] || !x.plan.has(it.Target, it.Prompt) {
		return 0, Item{}, false
	}
	number = t*x.perTarget() + x.layout[p] + sample
	if pass == 0 {
		return number, it, true
	}
	// The labels of all items come behind the items themselves.
	if x.plan.Judge == nil || it.Prompt.Sentinel {
		return 0, Item{}, false
	}
	it.Target = &x.plan.Judge.Target
	return len(x.plan.Targets)*x.perTarget() + Passes*number + pass - 1, it, true
}

// cells is how many states an index needs: of items, and of their labels where there
// is a judge.
func (x *planIndex) cells() int {
	n := len(x.plan.Targets) * x.perTarget()
	if x.plan.Judge != nil {
		n += Passes * n
	}
	return n
}

// place is where an item's block stands in the order of sending.
func (x *planIndex) place(number int) int {
	x.ranked.Do(func() {
		x.places = make([]int32, x.perTarget())
		for i, cell := range x.plan.blocks(x.layout, rand.NewPCG(x.plan.OrderSeed, orderStream)) {
			x.places[cell] = int32(i)
		}
	})
	return int(x.places[number%x.perTarget()])
}

func newState(plan *planIndex) *State {
	return &State{
		Head:     Head{Hash: zeroHash},
		plan:     plan,
		cells:    make([]cell, plan.cells()),
		open:     make(map[int]BlobRef),
		outcomes: []Outcome{""},
		ends:     make(map[int]int64),
	}
}

// Item is what the ledger says about an item: nothing, for one that the plan does
// not have.
func (s *State) Item(id string) ItemState {
	n, _, ok := s.plan.find(id)
	if !ok {
		return ItemState{}
	}
	c := s.cells[n]
	return ItemState{
		Attempts: int(c.attempts), Orphan: c.flags&cellOrphan != 0, Settled: c.flags&cellSettled != 0, Outcome: s.outcomes[c.outcome],
	}
}

// Settled reports whether the item has its reply.
func (s *State) Settled(item string) bool { return s.Item(item).Settled }

// SettledItems is how many items have their reply.
func (s *State) SettledItems() int { return s.settled }

// SettledLabels is how many labels the judge has given, readable or not.
func (s *State) SettledLabels() int { return s.labels }

// NextAttempt is the number of the item's next attempt, from 1. An orphan
// intent counts: its request may have been sent and billed.
func (s *State) NextAttempt(item string) int { return s.Item(item).Attempts + 1 }

// Orphans lists, sorted, the items whose last intent has no outcome: sent, or
// about to be sent, when the program died.
func (s *State) Orphans() []string {
	var ids []string
	for it := range s.plan.plan.Order() {
		if s.Item(it.ID).Orphan {
			ids = append(ids, it.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// Pending lists the items that wait for a reply in the plan's order.
func (s *State) Pending() []Item {
	var items []Item
	for it := range s.plan.plan.Order() {
		if it.Target.Live() && !s.Settled(it.ID) {
			items = append(items, it)
		}
	}
	return items
}

// clone copies what later events change.
func (s *State) clone() *State {
	c := *s
	c.cells = slices.Clone(s.cells)
	c.open = maps.Clone(s.open)
	c.outcomes = slices.Clone(s.outcomes)
	c.ends = maps.Clone(s.ends)
	c.tree = s.tree.clone()
	c.setRoot()
	return &c
}

// number is the cell's number for an outcome.
func (s *State) number(o Outcome) uint8 {
	i := slices.Index(s.outcomes, o)
	if i < 0 {
		if len(s.outcomes) > maxOutcomes {
			return maxOutcomes
		}
		i = len(s.outcomes)
		s.outcomes = append(s.outcomes, o)
	}
	return uint8(i)
}

func (s *State) setRoot() {
	root := s.tree.root()
	s.Head.Root = hex.EncodeToString(root[:])
}

// change is what an event does to a state: found by admit, made by apply.
type change struct {
	cell    int // of the event's item
	label   bool
	item    ItemState
	request BlobRef     // of the item's last intent
	attempt *Attempt    // of reply and attempt_failed events
	blobs   [2]*BlobRef // that the event refers to, nil where it does not
}

// blob takes note of what an event refers to. In a salted case all has a salt.
func (s *State) blob(e *Event, ch *change, ref *BlobRef) error {
	if ref == nil {
		return nil
	}
	if err := ref.check(); err != nil {
		return refusal(e, err.Error())
	}
	if (ref.Salt > 0) != (s.plan.plan.Format == PlanSalted) {
		return refusal(e, "raw bytes have a salt in the cases of salted plans, and in no others")
	}
	if ch.blobs[0] == nil {
		ch.blobs[0] = ref
	} else {
		ch.blobs[1] = ref
	}
	return nil
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
	case EventIntent, EventLabelIntent:
		return s.admitIntent(e)
	case EventReply, EventAttemptFailed, EventLabel, EventLabelFailed:
		return s.admitOutcome(e)
	case EventObservation:
		var d Observation
		if err := decodeStrict(e.Data, &d); err != nil {
			return change{}, refusal(e, err.Error())
		}
		if d.Kind == "" || e.Item != "" {
			return change{}, refusal(e, "it needs a kind and concerns no item")
		}
		var ch change
		return ch, s.blob(e, &ch, &d.Content)
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

// find returns the state of an attempt's item, and the item.
func (s *State) find(e *Event) (change, *Item, error) {
	n, item, known := s.plan.find(e.Item)
	if !known {
		return change{}, nil, refusal(e, "the plan has no such item")
	}
	if (item.Label > 0) != isLabel(e.Type) {
		return change{}, nil, refusal(e, "an event of this type is about something else")
	}
	ch := change{cell: n, item: s.Item(e.Item), request: s.open[n], label: item.Label > 0}
	if of, labelled, _ := s.plan.find(item.Of()); ch.label && labelled.Target.Cached == nil && s.cells[of].flags&cellSettled == 0 {
		return change{}, nil, refusal(e, "the reply that it labels is not there")
	}
	if ch.item.Settled {
		return change{}, nil, refusal(e, "the item has its reply already")
	}
	return ch, &item, nil
}

func (s *State) admitIntent(e *Event) (change, error) {
	ch, item, err := s.find(e)
	if err != nil {
		return change{}, err
	}
	it, target := &ch.item, item.Target
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
	it.Attempts++
	it.Orphan = true
	ch.request = d.Request
	return ch, s.blob(e, &ch, &d.Request)
}

func (s *State) admitOutcome(e *Event) (change, error) {
	ch, item, err := s.find(e)
	if err != nil {
		return change{}, err
	}
	it, target := &ch.item, item.Target
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
		if e.Attempt != 1 || !isSettled(e.Type) {
			return change{}, refusal(e, "an imported reply is the only attempt at its item")
		}
		it.Attempts = 1
	case !it.Orphan || e.Attempt != it.Attempts:
		return change{}, refusal(e, "there is no open intent for it")
	}
	if d.Outcome == "" || item.Settles(d.Outcome) != isSettled(e.Type) {
		return change{}, refusal(e, fmt.Sprintf("outcome %q does not go with this event", d.Outcome))
	}
	if d.HeadersBlob != nil && d.Headers != nil {
		return change{}, refusal(e, "its headers are given twice")
	}
	it.Orphan = false
	it.Settled = isSettled(e.Type)
	it.Outcome = d.Outcome
	ch.attempt = d
	if err := s.blob(e, &ch, d.Response); err != nil {
		return change{}, err
	}
	return ch, s.blob(e, &ch, d.HeadersBlob)
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
	case EventIntent, EventReply, EventAttemptFailed, EventLabelIntent, EventLabel, EventLabelFailed:
		s.set(ch)
	case EventStop:
		s.Stopped = true
	case EventResume:
		s.Stopped = false
	}
	for _, r := range ch.blobs {
		if r != nil {
			s.ends[r.Segment] = max(s.ends[r.Segment], r.Offset+r.Length)
		}
	}
}

// set stores the state of an item.
func (s *State) set(ch change) {
	c := cell{attempts: uint32(ch.item.Attempts), outcome: s.number(ch.item.Outcome)}
	if ch.item.Orphan {
		c.flags |= cellOrphan
	}
	s.open[ch.cell] = ch.request
	if ch.item.Settled {
		c.flags |= cellSettled
		if ch.label {
			s.labels++
		} else {
			s.settled++
		}
		delete(s.open, ch.cell)
	}
	s.cells[ch.cell] = c
}
