package registry

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stillmark/stillmark/watermark"
)

// ErrUnknown is wrapped where a key or commitment is not in the registry.
var ErrUnknown = errors.New("not in the registry")

// RefusedError is a step that the registry's rules do not allow. Nothing was
// written.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

func refuse(format string, args ...any) error { return &RefusedError{fmt.Sprintf(format, args...)} }

// apply checks an event against all rules, then enters it. An error leaves the
// registry as it was. keys are those that an added event takes in.
func (r *Registry) apply(e *Event, keys map[string]*watermark.Key) error {
	if n := len(r.events); n == 0 != (e.Kind == EventCreated) {
		return refuse("event %q cannot be number %d", e.Kind, n+1)
	} else if n > 0 && e.Time.Before(r.events[n-1].Time) {
		return refuse("the clock says %s, and the registry's last entry is of %s: set the clock right", e.Time.Format(time.RFC3339), r.events[n-1].Time.Format(time.RFC3339))
	}
	var err error
	switch e.Kind {
	case EventAdded:
		err = r.add(e, keys)
	case EventCommitted:
		err = r.commit(e)
	case EventPublished:
		err = r.publish(e)
	case EventMoved:
		err = r.move(e)
	}
	if err == nil {
		r.events = append(r.events, e)
	}
	return err
}

func (r *Registry) add(e *Event, keys map[string]*watermark.Key) error {
	if len(r.order)+len(e.Keys) > maxKeys {
		return refuse("a registry holds at most %d keys", maxKeys)
	}
	var like *Entry
	if e.Like != "" {
		if like = r.entries[e.Like]; like == nil || like.Decoy {
			return refuse("decoys are drawn after a key of the registry that is none itself; %s is not", e.Like)
		}
	}
	seen := make(map[string]bool, len(e.Keys))
	for _, id := range e.Keys {
		k := keys[id]
		if r.entries[id] != nil || seen[id] {
			return refuse("key %s is in the registry already", id)
		}
		seen[id] = true
		if k.Account != "" {
			return refuse("key %s is the tracing key of one account: take in the master with two channels, which derives it", id)
		}
		if like != nil && (k.Spec != like.Key.Spec || k.Kind != like.Key.Kind) {
			return refuse("decoy %s has another specification than the key %s: it could be told apart", id, like.Key.ID)
		}
	}
	for _, id := range e.Keys {
		entry := &Entry{Key: keys[id], Decoy: like != nil, Like: e.Like, Added: e.Time}
		r.entries[id] = entry
		r.order = append(r.order, entry)
	}
	return nil
}

func (r *Registry) commit(e *Event) error {
	if r.byRoot[e.Root] != nil {
		return refuse("the commitment %s is in the registry already", e.Root)
	}
	seen := make(map[string]bool, len(e.Keys))
	for _, id := range e.Keys {
		switch {
		case r.entries[id] == nil:
			return refuse("key %s is not in the registry", id)
		case seen[id]:
			return refuse("key %s is there twice", id)
		}
		seen[id] = true
	}
	c := &Commitment{Root: e.Root, Time: e.Time, Keys: e.Keys, Leaves: e.Leaves, SHA256: e.SHA256, Stamps: []Stamp{}}
	r.commits = append(r.commits, c)
	r.byRoot[c.Root] = c
	for _, id := range e.Keys {
		r.entries[id].Roots = append(r.entries[id].Roots, c.Root)
	}
	return nil
}

func (r *Registry) publish(e *Event) error {
	c := r.byRoot[e.Root]
	if c == nil {
		return refuse("the commitment %s is not in the registry", e.Root)
	}
	if len(c.Stamps) > 0 {
		return refuse("the commitment %s bears a timestamp already", e.Root)
	}
	c.Stamps = append(c.Stamps, *e.Stamp)
	return nil
}

// move takes a key to another state.
func (r *Registry) move(e *Event) error {
	k := r.entries[e.Keys[0]]
	if k == nil {
		return refuse("key %s is not in the registry", e.Keys[0])
	}
	if err := k.forward(e.State); err != nil {
		return err
	}
	switch e.State {
	case Serving:
		return r.serve(k, e)
	case Retired:
		if err := k.mayRetire(e.At, e.Time); err != nil {
			return err
		}
		k.Retired = e.At
	case Disclosed:
		// Laid open perhaps earlier than anybody noticed; it serves until now.
		end := e.At
		if end.Before(e.Time) {
			end = e.Time
		}
		if k.Retired.IsZero() || k.Retired.After(end) {
			k.Retired = end
		}
		k.Disclosed = e.At
	default:
		return refuse("a key is never taken to %q", e.State)
	}
	r.reslot(k)
	return nil
}

// forward refuses a step that was taken, or would go back.
func (e *Entry) forward(to State) error {
	for _, s := range []struct {
		state State
		at    time.Time
	}{{Disclosed, e.Disclosed}, {Retired, e.Retired}, {Serving, e.Serving}} {
		if s.at.IsZero() {
			continue
		}
		if slices.Index(States(), to) <= slices.Index(States(), s.state) {
			return refuse("key %s is %s from %s on: there is no going to %s", e.Key.ID, s.state, s.at.Format(time.RFC3339), to)
		}
		return nil
	}
	return nil
}

// mayRetire refuses an end of serving in the past, where the registry said until
// now that the key serves: text was marked under it since.
func (e *Entry) mayRetire(at, now time.Time) error {
	if e.Serving.IsZero() || !at.Before(now) || at.Before(e.servingLogged) && at.After(e.Serving) {
		return nil
	}
	return refuse("key %s serves, by this registry, until now (%s); it cannot have been retired at %s", e.Key.ID, now.Format(time.RFC3339), at.Format(time.RFC3339))
}

// serve begins to serve a key.
func (r *Registry) serve(k *Entry, e *Event) error {
	switch {
	case k.Decoy:
		return refuse("key %s is a decoy: it is committed and never served", k.Key.ID)
	case e.At.Before(k.Key.ServingFrom):
		return refuse("key %s promises not to be served before %s", k.Key.ID, k.Key.ServingFrom.Format(time.RFC3339))
	}
	ok, why := r.Covered(k, e.At)
	if ok != (e.Exploratory == "") {
		if ok {
			return refuse("key %s was committed and published before %s and is not exploratory", k.Key.ID, e.At.Format(time.RFC3339))
		}
		return refuse("key %s: %s, so that nothing served under it can be exact evidence", k.Key.ID, why)
	}
	var replaced *Entry
	if e.Replaces != "" {
		replaced = r.entries[e.Replaces]
		if replaced == nil || slotOf(replaced.Key) != slotOf(k.Key) || replaced.State(e.At) != Serving {
			return refuse("key %s does not serve %s at %s and cannot be replaced", e.Replaces, slotOf(k.Key), e.At.Format(time.RFC3339))
		}
		if err := replaced.mayRetire(e.At, e.Time); err != nil {
			return err
		}
	}
	for _, other := range r.slots[slotOf(k.Key)] {
		from, until, _ := other.Served()
		if other != replaced && (until.IsZero() || until.After(e.At)) {
			return refuse("key %s serves %s from %s on: one key at a time; replace it, or retire it before", other.Key.ID, slotOf(k.Key), from.Format(time.RFC3339))
		}
	}
	k.Serving, k.Exploratory, k.servingLogged = e.At, e.Exploratory, e.Time
	if replaced != nil {
		replaced.Retired = e.At
		r.reslot(replaced)
	}
	r.reslot(k)
	return nil
}

// reslot enters a key among those that serve its slot, or takes it out.
func (r *Registry) reslot(k *Entry) {
	s := slotOf(k.Key)
	list := slices.DeleteFunc(slices.Clone(r.slots[s]), func(e *Entry) bool { return e == k })
	if _, _, ok := k.Served(); ok {
		list = append(list, k)
		slices.SortStableFunc(list, func(a, b *Entry) int { return cmp.Compare(a.Serving.UnixNano(), b.Serving.UnixNano()) })
	}
	r.slots[s] = list
}
