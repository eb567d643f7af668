package probe

import (
	"fmt"

	"github.com/stillmark/stillmark/probe/endpoint"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
)

// LabelStatus is how far the judge is. Until every reply has come in, Planned is what
// it will have to do if all of them can be labelled.
type LabelStatus struct {
	Judge   string `json:"judge"`
	Planned int64  `json:"planned"`
	Settled int64  `json:"settled"` // answered, readably or not
}

// docket is the judge's part of a run. It is called after all replies are in: not
// before, so that the labels are asked for in one shuffled order over all targets, and
// nobody waits for the judge meanwhile.
type docket struct {
	jury   *family.Jury
	lane   *lane
	status LabelStatus
	filled bool // the lane's queue is what the replies need
}

// exhibit is a reply that is to be labelled, found again when its turn comes.
type exhibit struct {
	item   ledger.Item
	source *ledger.ReplySource
	offset int64
}

// newDocket prepares the judge's lane; nil where the plan has no judge.
func (r *runner) newDocket() error {
	jury, err := family.NewJury(r.plan)
	if err != nil || jury == nil {
		return err
	}
	r.docket = &docket{jury: jury, lane: newLane(r.plan, &r.plan.Judge.Target, r.opt.Concurrency), status: LabelStatus{Judge: r.plan.Judge.Target.Name}}
	r.docket.plan(int64(len(jury.Items())))
	return nil
}

func (d *docket) plan(n int64) { d.status.Planned, d.lane.planned = n, n }

// settle counts a label.
func (d *docket) settle() {
	d.status.Settled++
	d.lane.settled++
}

// labels is how far the judge is, nil where there is none.
func (d *docket) labels() *LabelStatus {
	if d == nil {
		return nil
	}
	s := d.status
	return &s
}

// planned is how many labels there are to be.
func (d *docket) planned() int64 {
	if d == nil {
		return 0
	}
	return d.status.Planned
}

// missing is how many labels are not there.
func (d *docket) missing() int64 {
	if d == nil {
		return 0
	}
	return d.status.Planned - d.status.Settled
}

// fill lists the labels that the replies need and do not have yet.
func (r *runner) fill() error {
	d := r.docket
	replies := map[string]exhibit{}
	err := r.w.Case().Replies(func(rec ledger.ReplyRecord) error {
		if !d.jury.Labels(rec.Item.Prompt) {
			return nil
		}
		if reply := family.Decode(rec); d.jury.Shows(&reply) {
			replies[rec.Item.ID] = exhibit{source: rec.Source, offset: rec.Offset}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the replies that are to be labelled: %w", err)
	}
	state, n := r.w.State(), int64(0)
	var queue []waiting
	for _, it := range d.jury.Items() {
		x, ok := replies[it.Of()]
		if !ok {
			continue
		}
		n++
		x.item = it
		if was := state.Item(it.ID); !was.Settled {
			queue = append(queue, waiting{
				prompt: it.Prompt, sample: int32(it.Sample), block: int32(n - 1), attempts: int32(was.Attempts), exhibit: &x,
			})
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	d.filled = true
	d.plan(n)
	d.lane.queue, d.lane.next = queue, 0
	return nil
}

// labelling reports whether labels may be asked for now: every reply that can still be had
// is there, and nothing stopped the run. While one is missing that another run may get, the
// labels would use up the caps that it needs.
func (r *runner) labelling() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.docket != nil && !r.docket.filled && !r.stopped && r.settled+r.missed == r.planned
}

// show is what the judge is asked about an exhibit.
func (d *docket) show(x *exhibit) (*ledger.Prompt, error) {
	rec, err := x.source.Read(x.offset)
	if err != nil {
		return nil, fmt.Errorf("read the reply of %s again: %w", x.item.Of(), err)
	}
	reply := family.Decode(rec)
	return d.jury.Prompt(&x.item, &reply), nil
}

// request is what a task sends.
func (r *runner) request(t *task) endpoint.Request {
	it := *t.item
	if t.asked != nil {
		it.Prompt = t.asked
	}
	return endpoint.RequestFor(it, r.plan)
}

// The types of the events of an attempt at an item.
func intentOf(it *ledger.Item) string {
	if it.Label > 0 {
		return ledger.EventLabelIntent
	}
	return ledger.EventIntent
}

func outcomeOf(it *ledger.Item, o ledger.Outcome) string {
	switch settles := it.Settles(o); {
	case it.Label > 0 && settles:
		return ledger.EventLabel
	case it.Label > 0:
		return ledger.EventLabelFailed
	case settles:
		return ledger.EventReply
	}
	return ledger.EventAttemptFailed
}
