package watermark

import (
	"errors"
	"fmt"
	"math"

	"github.com/stillmark/stillmark/watermark/prf"
)

// route divides the windows of a text between two keys: a keyed coin of the window
// gives it to the tracing key with probability Params.Tracing, else to the
// provenance key. The coin has a subkey of its own, shared by the provenance key
// and all accounts of one epoch and label, so that a detector knows whose a window
// is whichever of the keys it holds.
type route struct {
	src     prf.Source
	below   int64 // coins below it are the tracing key's; at most 2^32
	tracing bool  // whose route this is
}

// channel is a scheme under one of two keys.
type channel interface {
	// ours reports whether a window belongs to the scheme's key.
	ours(window []int32) bool
}

func newRoute(s Spec, src prf.Source) *route {
	return &route{src: src, below: int64(math.Ceil(math.Ldexp(s.Params.Tracing, 32))), tracing: s.Account != ""}
}

func (r *route) clone() *route {
	if r == nil {
		return nil
	}
	c := *r
	c.src = r.src.Clone()
	return &c
}

// ours: the coin is the word of token 0.
func (c *core) ours(window []int32) bool {
	r := c.route
	if r == nil {
		return true
	}
	r.src.SetWindow(window)
	return (int64(r.src.Word(0)) < r.below) == r.tracing
}

// accountField is what an account adds to the derivation of its key and salt.
// Names end below 256 bytes, so that the length before it is no word's beginning.
func (s Spec) accountField() string {
	if s.Account == "" {
		return ""
	}
	return fields(s.Account)
}

// channelSubkey is the subkey of a master's spec with two channels:
//
//	provenance  HKDF info: fields … "provenance nonce", "provenance token"
//	tracing     HKDF info: fields …, account, "tracing nonce", "tracing token"
//
// followed by "route nonce", "route token" without the account. philox-v1 has the
// token keys alone, 64 bits each.
func (k *Key) channelSubkey() []byte {
	info, own := k.derivation(), "provenance "
	if k.Account != "" {
		own = "tracing "
	}
	var subkey []byte
	for _, name := range []string{info + k.accountField() + own, info + "route "} {
		if k.Spec.PRF == Philox {
			subkey = append(subkey, expand(k.secret.reveal(), name+"token", 8)...)
			continue
		}
		subkey = append(subkey, expand(k.secret.reveal(), name+"nonce", 16)...)
		subkey = append(subkey, expand(k.secret.reveal(), name+"token", 16)...)
	}
	return subkey
}

// DeriveAccount returns the tracing key of an account in an epoch, of a master with
// two channels. It holds the account's subkey and the route: who has it can mark
// and detect over the tracing channel for that account, and nothing else.
func (k *Key) DeriveAccount(account, epoch string) (*Key, error) {
	switch {
	case k.Params.Tracing == 0:
		return nil, fmt.Errorf("key %s has one channel: derive a label", k.ID)
	case account == "":
		return nil, errors.New("an account needs a name")
	}
	spec := k.Spec
	spec.Account, spec.Epoch = account, epoch
	return k.derive(spec)
}

// DeriveFor is the key of one label in the key's own epoch: of an account where
// the key has two channels.
func (k *Key) DeriveFor(label string) (*Key, error) {
	if k.Params.Tracing > 0 {
		return k.DeriveAccount(label, k.Epoch)
	}
	return k.Derive(label, k.Epoch)
}

// TwoChannel marks text under two keys at once: a provenance key, shared by an epoch,
// which says that the text is the model's, and a tracing key, an account's, which
// says whose it was. Each window belongs to one of them by a keyed coin, and to
// neither test what the other key marked: their units are disjoint, and each has
// the null law of its scheme, given the route. Each channel has the tokens of its
// share only.
//
// Disclosing an account's key shows its subkey and the route, from which neither
// the provenance key nor another account's follows.
type TwoChannel struct{ provenance, tracing Scheme }

// NewTwoChannel checks that the two are the keys of one model, epoch and label, and of
// one route.
func NewTwoChannel(provenance, tracing *Key) (*TwoChannel, error) {
	a, b := provenance.Spec, tracing.Spec
	if a.Params.Tracing == 0 || a.Account != "" || b.Account == "" {
		return nil, errors.New("two channels need a provenance key and an account's tracing key, in this order")
	}
	b.Account = ""
	sa, sb := provenance.subkey(), tracing.subkey()
	if a != b || string(sa[len(sa)/2:]) != string(sb[len(sb)/2:]) {
		return nil, fmt.Errorf("keys %s and %s are not of one model, epoch and master: they would not share the windows", provenance.ID, tracing.ID)
	}
	p := &TwoChannel{}
	var err error
	if p.provenance, err = provenance.Mark(); err != nil {
		return nil, err
	}
	if p.tracing, err = tracing.Mark(); err != nil {
		return nil, err
	}
	return p, nil
}

// TwoChannel is what marks the text of an account under a master with two channels.
func (k *Key) TwoChannel(account string) (*TwoChannel, error) {
	t, err := k.DeriveAccount(account, k.Epoch)
	if err != nil {
		return nil, err
	}
	return NewTwoChannel(k, t)
}

// Process marks the next step, as [Scheme].Process does: of the two schemes the
// one whose window it is.
func (p *TwoChannel) Process(history []int32, logits []float32) {
	p.provenance.Process(history, logits)
	p.tracing.Process(history, logits)
}

// ProcessCandidates is Process on a short list, as [Scheme].ProcessCandidates.
func (p *TwoChannel) ProcessCandidates(history, ids []int32, logits []float32) {
	p.provenance.ProcessCandidates(history, ids, logits)
	p.tracing.ProcessCandidates(history, ids, logits)
}

// Clone returns an independent TwoChannel under the same keys.
func (p *TwoChannel) Clone() *TwoChannel { return &TwoChannel{p.provenance.Clone(), p.tracing.Clone()} }

// Format writes the schemes' names, whatever the verb.
func (p *TwoChannel) Format(s fmt.State, v rune) {
	fmt.Fprint(s, "two channels of ")
	p.provenance.(fmt.Formatter).Format(s, v)
}
