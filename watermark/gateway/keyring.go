package gateway

import (
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/registry"
)

// Keyring says under which key a request is marked. It is safe for concurrent use.
type Keyring struct {
	// serving gives the key that serves a cohort at a time.
	serving func(cohort string, at time.Time) (*watermark.Key, error)
	spec    func() (watermark.Spec, error)

	tokenizer string // of all keys, by hash; empty: not bound yet
	vocab     int
	native    bool // the upstream marks: its tokenizer is its own affair

	mu    sync.Mutex
	ready map[signature]*signing
}

// signature names what a request is marked under.
type signature struct{ key, cohort, account string }

// signing is what marks the replies to an account.
type signing struct {
	key     *watermark.Key // the provenance key where there are two channels
	account string         // whose tracing key marks beside it; empty with one channel
	// greedy schemes add to logits and mark at temperature 0 too.
	greedy bool
}

// begin is the mark of one reply.
func (s *signing) begin(prompt []int32, room int) (*watermark.Request, error) {
	return s.key.NewRequest(watermark.RequestOptions{Prompt: prompt, Account: s.account, Room: room})
}

// maxReady bounds the keys that are kept ready: at a kilobyte each, a hundred thousand
// accounts are served without deriving a cohort's key at a request.
const maxReady = 1 << 17

// OneKey serves everybody under one key: cohorts and accounts under what it derives.
func OneKey(k *watermark.Key) *Keyring {
	return &Keyring{
		serving: func(string, time.Time) (*watermark.Key, error) { return k, nil },
		spec:    func() (watermark.Spec, error) { return k.Spec, nil },
		ready:   map[signature]*signing{},
	}
}

// FromRegistry serves each cohort of a model under the key that serves its slot in the
// registry at the time of the request. A cohort without a slot is served under what
// the master in the slot without a cohort derives.
func FromRegistry(live *registry.Live, model, channel string) *Keyring {
	find := func(cohort string, at time.Time) (*watermark.Key, error) {
		r := live.Registry()
		for _, c := range []string{cohort, ""} {
			if e, ok := r.Serving(registry.Slot{Model: model, Channel: channel, Cohort: c}, at); ok {
				return e.Key, nil
			}
		}
		return nil, fmt.Errorf("no key of the registry serves %s now", registry.Slot{Model: model, Channel: channel, Cohort: cohort})
	}
	return &Keyring{
		serving: find,
		spec: func() (watermark.Spec, error) {
			r := live.Registry()
			for _, slot := range r.Slots() {
				if e, ok := r.Serving(slot, time.Now()); ok && slot.Model == model && slot.Channel == channel {
					return e.Key.Spec, nil
				}
			}
			return watermark.Spec{}, fmt.Errorf("no key of the registry serves model %q and channel %q now", model, channel)
		},
		ready: map[signature]*signing{},
	}
}

// Spec is that of a key that serves now. All keys share its tokenizer and vocabulary,
// or are refused when their time comes.
func (k *Keyring) Spec() (watermark.Spec, error) { return k.spec() }

// key is what serves a cohort: the serving key itself, or what it derives.
func (k *Keyring) key(cohort string, at time.Time) (*watermark.Key, error) {
	key, err := k.serving(cohort, at)
	if err != nil || cohort == "" || key.Label == cohort {
		return key, err
	}
	if key.Kind != watermark.KindMaster {
		return nil, fmt.Errorf("key %s is no master key and serves no cohort %q", key.ID, cohort)
	}
	return key.Derive(cohort, key.Epoch)
}

// signing finds what marks the replies to an account.
func (k *Keyring) signing(a *Account, at time.Time) (*signing, error) {
	serving, err := k.serving(a.Cohort, at)
	if err != nil {
		return nil, err
	}
	name := signature{serving.ID, a.Cohort, a.Name}
	k.mu.Lock()
	s := k.ready[name]
	k.mu.Unlock()
	if s != nil {
		return s, nil
	}
	if s, err = k.make(a, at); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.ready) >= maxReady {
		clear(k.ready)
	}
	k.ready[name] = s
	return s, nil
}

func (k *Keyring) make(a *Account, at time.Time) (*signing, error) {
	key, err := k.key(a.Cohort, at)
	if err != nil {
		return nil, err
	}
	if !k.native && (key.Vocab != k.vocab || key.TokenizerSHA256 != k.tokenizer) {
		return nil, fmt.Errorf("key %s is for another tokenizer or vocabulary than the gateway was started with", key.ID)
	}
	mark, err := key.Mark()
	if err != nil {
		return nil, err
	}
	s := &signing{key: key, account: a.Name, greedy: watermark.MarksGreedy(mark)}
	_, err = s.begin(nil, 0) // says what does not fit
	return s, err
}

// signers yields whose replies are marked at a time, by cohort: some account of each, and
// the same in each arm that serves in the cohort's place.
func (o *Options) signers(at time.Time) iter.Seq[Account] {
	return func(yield func(Account) bool) {
		seen := map[signature]bool{}
		for a := range o.Accounts().All {
			cohorts := []string{a.Cohort}
			if a.Mark == MarkNever {
				continue
			}
			if o.Arms != nil {
				cohorts = append(cohorts, o.Arms(a.Cohort, at)...)
			}
			for _, a.Cohort = range cohorts {
				name := signature{cohort: a.Cohort}
				if a.Name != "" {
					name.account = "some"
				}
				if seen[name] {
					continue
				}
				seen[name] = true
				if !yield(a) {
					return
				}
			}
		}
	}
}

// servable says whether every cohort and every arm has a key now, or which has none.
func (o *Options) servable() error {
	now := time.Now()
	for a := range o.signers(now) {
		if _, err := o.Keys.signing(&a, now); err != nil {
			return err
		}
	}
	return nil
}
