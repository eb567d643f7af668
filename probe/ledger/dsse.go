package ledger

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// PayloadInToto is the DSSE payload type of an in-toto statement.
const PayloadInToto = "application/vnd.in-toto+json"

// maxEnvelope bounds an envelope: a statement over 100,000 files of 150 bytes
// each, in base64, with room to spare.
const maxEnvelope = 64 << 20

// envelope is the JSON form of https://github.com/secure-systems-lab/dsse
// (envelope.md, protocol version 1.0.2).
type envelope struct {
	PayloadType string              `json:"payloadType"`
	Payload     string              `json:"payload"`
	Signatures  []envelopeSignature `json:"signatures"`
}

type envelopeSignature struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"`
}

// preAuth is DSSE's pre-authentication encoding: type and body with their
// lengths, so that no pair can be read as another.
func preAuth(payloadType string, payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
}

// encode is the canonical form: one line, members in the order above, no HTML
// escapes, a newline at the end.
func (e *envelope) encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(e)
	return b.Bytes(), err
}

// SignDSSE signs a payload with an Ed25519 key and returns the canonical
// envelope. keyID is the [KeyID] of the key.
func SignDSSE(payloadType string, payload []byte, s crypto.Signer, keyID string) ([]byte, error) {
	pub, ok := s.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("signing an envelope: the key is %T, not Ed25519", s.Public())
	}
	if id, err := KeyID(pub); err != nil || id != keyID {
		return nil, errors.New("signing an envelope: the key id is not that of the key")
	}
	sig, err := s.Sign(nil, preAuth(payloadType, payload), crypto.Hash(0))
	if err != nil {
		return nil, fmt.Errorf("signing an envelope: %w", err)
	}
	e := envelope{
		PayloadType: payloadType,
		Payload:     base64.StdEncoding.EncodeToString(payload),
		Signatures:  []envelopeSignature{{KeyID: keyID, Sig: base64.StdEncoding.EncodeToString(sig)}},
	}
	return e.encode()
}

// VerifyDSSE checks an envelope with exactly one signature against the given
// keys and returns its payload and the key that signed it.
//
// The envelope must be byte for byte in the form of [SignDSSE]: an envelope is
// not listed in the manifest, so that any change of its own bytes, also one
// that leaves the signature valid, has to be found here. [ErrUnknownSigner]
// means that the named key is not among keys, and nothing was checked;
// [ErrSignature] that it is, and does not fit.
func VerifyDSSE(data []byte, payloadType string, keys []ed25519.PublicKey) (payload []byte, signer ed25519.PublicKey, err error) {
	fail := func(err error) ([]byte, ed25519.PublicKey, error) {
		return nil, nil, fmt.Errorf("envelope: %w", err)
	}
	if len(data) > maxEnvelope {
		return fail(fmt.Errorf("larger than %d MiB, the most that is read", maxEnvelope>>20))
	}
	var e envelope
	if err := decodeStrict(data, &e); err != nil {
		return fail(err)
	}
	if len(e.Signatures) != 1 {
		return fail(fmt.Errorf("%d signatures, where exactly one is expected", len(e.Signatures)))
	}
	again, err := e.encode()
	if err != nil {
		return fail(err)
	}
	if err := sameBytes(data, again); err != nil {
		return fail(err)
	}
	payload, err = canonicalBase64(e.Payload)
	if err != nil {
		return fail(fmt.Errorf("payload: %w", err))
	}
	sig, err := canonicalBase64(e.Signatures[0].Sig)
	if err != nil {
		return fail(fmt.Errorf("signature: %w", err))
	}
	if e.PayloadType != payloadType {
		return fail(fmt.Errorf("payload type is %q, not %q", e.PayloadType, payloadType))
	}
	i := slices.IndexFunc(keys, func(k ed25519.PublicKey) bool {
		id, err := KeyID(k)
		return err == nil && id == e.Signatures[0].KeyID
	})
	if i < 0 {
		return fail(fmt.Errorf("signed by key %.64q: %w", e.Signatures[0].KeyID, ErrUnknownSigner))
	}
	if !ed25519.Verify(keys[i], preAuth(payloadType, payload), sig) {
		return fail(ErrSignature)
	}
	return payload, keys[i], nil
}

// canonicalBase64 decodes standard base64 and refuses every second spelling of
// the same bytes: line breaks, missing padding, non-zero trailing bits.
func canonicalBase64(s string) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, err
	}
	if base64.StdEncoding.EncodeToString(b) != s {
		return nil, errors.New("base64 is not in canonical form")
	}
	return b, nil
}
