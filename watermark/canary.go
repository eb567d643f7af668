package watermark

import (
	"errors"
	"fmt"
)

// Canary is the scheme of a key that marks no text: it draws the secrets of the
// probes in which we randomise something else than tokens (which of two equally
// good renderings our API prefers, the response to a trigger, nonces, a rotation
// schedule). Such a key is made, derived, committed to and disclosed as any other.
const Canary = "canary"

// HMAC is the generator under a canary key: HMAC-SHA256 over labelled inputs,
// under the secret that [Key.CanarySecret] gives for each use.
const HMAC = "hmac-sha256"

// canaryBytes is the length of a canary's subkey and of the secrets made of it.
const canaryBytes = 32

// CanarySecret returns the 32 secret bytes of a canary key for one use, such as
// "free-choice": HKDF-SHA256 of the subkey (of a master: derived under its own
// epoch and label first) with info "canary use" and the use, each with its length
// as u16 before it. Disclosing the secret of one use shows nothing of the others.
// Any other key, and an empty use, is an error.
func (k *Key) CanarySecret(use string) ([]byte, error) {
	if k.Scheme != Canary {
		return nil, fmt.Errorf("key %s marks text under %s and draws no canaries: make a key of scheme %s", k.ID, k.Scheme, Canary)
	}
	if use == "" {
		return nil, errors.New("a canary secret needs a use")
	}
	if err := k.check(); err != nil {
		return nil, err
	}
	return expand(k.subkey(), fields("canary use", use), canaryBytes), nil
}

// errCanary is what a canary key says where a mark is wanted.
func errCanary(k *Key) error {
	return fmt.Errorf("key %s is a canary key: it draws the secrets of probes and marks no text", k.ID)
}

// withCanary fills what follows from the scheme.
func (s Spec) withCanary() Spec {
	setDefault(&s.PRF, HMAC)
	setDefault(&s.Channel, "canary")
	setDefault(&s.Epoch, "1")
	s.ServingFrom = s.ServingFrom.UTC()
	return s
}

// validateCanary refuses what a canary key has no use for.
func (s Spec) validateCanary() error {
	switch {
	case s.PRF != HMAC:
		return fmt.Errorf("%s runs on %s, not on %q", Canary, HMAC, s.PRF)
	case s.Tokenizer != "" || s.TokenizerSHA256 != "" || s.Vocab != 0:
		return errors.New("a canary key has no tokenizer and no vocabulary; leave them out")
	case s.Params != Params{}:
		return errors.New("a canary key has no parameters; leave them out")
	}
	return nil
}
