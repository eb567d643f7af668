package watermark

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/stillmark/stillmark/watermark/prf"
)

// keyFormat is the version of the key file.
const keyFormat = 1

// Kind says what secret a key holds.
type Kind string

const (
	// KindMaster holds 32 random bytes from which subkeys are derived.
	KindMaster Kind = "master"
	// KindSubkey holds one derived subkey and nothing that derives others.
	KindSubkey Kind = "subkey"
	// KindImported holds a key that another stack uses as it is: 64 bits under
	// philox-v1, the named keys of a preset.
	KindImported Kind = "imported"
)

// Key is a watermark key: the whole spec beside the secret, so that embedding
// and detection cannot disagree. Its exported fields may be shown to anyone;
// printing or marshalling a Key never shows the rest (see [Secret]). Use Save.
type Key struct {
	Format int `json:"format"`
	// ID is the first 8 bytes, in hex, of the key's commitment leaf: it names
	// the subkey together with its whole spec and gives neither away.
	ID   string `json:"id"`
	Kind Kind   `json:"kind"`
	Spec `json:"spec"`

	secret Secret // master: 32 bytes; subkey: nonce and token key, or the 64-bit key; imported: 64-bit key, or a preset's Values
	salt   Secret // 32 bytes: blinds the commitment of the subkey
}

const (
	masterBytes = 32
	saltBytes   = 32
)

// NewKey makes a master key for a spec, whose open fields get their defaults.
// random must be crypto/rand.Reader outside tests and demonstrations.
func NewKey(spec Spec, random io.Reader) (*Key, error) {
	seed := make([]byte, masterBytes+saltBytes)
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, fmt.Errorf("drawing the key: %w", err)
	}
	return makeKey(KindMaster, spec, seed[:masterBytes], seed[masterBytes:])
}

// NewImportedKey makes a key of the 64-bit key that a server with philox-v1
// already uses. random draws the salt of its commitment.
func NewImportedKey(spec Spec, key uint64, random io.Reader) (*Key, error) {
	if spec.PRF != Philox {
		return nil, fmt.Errorf("a 64-bit key can only be imported for prf %s, not %q", Philox, spec.PRF)
	}
	salt := make([]byte, saltBytes)
	if _, err := io.ReadFull(random, salt); err != nil {
		return nil, fmt.Errorf("drawing the salt: %w", err)
	}
	return makeKey(KindImported, spec, binary.BigEndian.AppendUint64(nil, key), salt)
}

// makeKey completes, checks and names a key. It owns secret and salt.
func makeKey(kind Kind, spec Spec, secret, salt []byte) (*Key, error) {
	spec = spec.withDefaults()
	k := &Key{Format: keyFormat, Kind: kind, Spec: spec, secret: newSecret(secret), salt: newSecret(salt)}
	if err := k.check(); err != nil {
		return nil, err
	}
	leaf := k.leaf()
	k.ID = hex.EncodeToString(leaf[:8])
	return k, nil
}

// check says whether spec, kind and lengths go together.
func (k *Key) check() error {
	if err := k.validate(); err != nil {
		return err
	}
	if p, ok := PresetByName(k.Scheme); ok {
		return k.checkPreset(p)
	}
	want := 0
	switch {
	case k.Kind == KindMaster && k.Account != "":
		return errors.New("a master key is the provenance key of its accounts and has none itself")
	case k.Kind == KindMaster:
		want = masterBytes
	case k.Kind != KindMaster && k.Kind != KindSubkey && k.Params.Tracing > 0:
		return fmt.Errorf("two channels need a master key; a key of kind %q has none to derive them from", k.Kind)
	case k.Kind == KindSubkey && k.Spec.PRF == AESCTR && (k.Scheme == GumbelDual || k.Params.Tracing > 0):
		want = 64
	case k.Kind == KindSubkey && k.Spec.PRF == Philox && k.Params.Tracing > 0:
		want = 16
	case k.Kind == KindSubkey && k.Spec.PRF == AESCTR:
		want = 32
	case k.Kind == KindSubkey && k.Scheme == Canary:
		want = canaryBytes
	case (k.Kind == KindSubkey || k.Kind == KindImported) && k.Spec.PRF == Philox:
		want = 8
	default:
		return fmt.Errorf("a key of kind %q cannot be used with prf %s", k.Kind, k.Spec.PRF)
	}
	if n := len(k.secret.reveal()); n != want {
		return fmt.Errorf("the secret is %d bytes long, not %d", n, want)
	}
	if n := len(k.salt.reveal()); n != saltBytes {
		return fmt.Errorf("the salt is %d bytes long, not %d", n, saltBytes)
	}
	return nil
}

func (k *Key) checkPreset(p Preset) error {
	if k.Kind != KindImported {
		return fmt.Errorf("a key of kind %q cannot be used with the preset %s, whose keys are imported", k.Kind, p.Name)
	}
	if err := p.checkSecret(Values{string(k.secret.reveal())}); err != nil {
		return err
	}
	if n := len(k.salt.reveal()); n != saltBytes {
		return fmt.Errorf("the salt is %d bytes long, not %d", n, saltBytes)
	}
	return nil
}

// derivation is the HKDF info of the spec's subkeys, up to its last word.
func (s Spec) derivation() string {
	return fields(s.Scheme, s.Channel, s.Model, s.Tokenizer, s.Epoch, s.Label)
}

// subkey is what the PRF is keyed with: 128-bit nonce and token keys for
// aes-ctr-v1 (gumbel-dual: two such pairs), a big-endian 64-bit key for
// philox-v1, the named keys of a preset; with two channels the channel's own,
// then those of the route. A master derives it under the spec; other keys are it.
func (k *Key) subkey() []byte {
	if k.Kind != KindMaster {
		return k.secret.reveal()
	}
	info := k.derivation()
	if k.Scheme == Canary {
		return expand(k.secret.reveal(), info+"canary", canaryBytes)
	}
	if k.Params.Tracing > 0 {
		return k.channelSubkey()
	}
	if k.Spec.PRF == Philox {
		return expand(k.secret.reveal(), info+"token", 8)
	}
	subkey := append(expand(k.secret.reveal(), info+"nonce", 16), expand(k.secret.reveal(), info+"token", 16)...)
	if k.Scheme == GumbelDual {
		subkey = append(subkey, expand(k.secret.reveal(), info+"nonce b", 16)...)
		subkey = append(subkey, expand(k.secret.reveal(), info+"token b", 16)...)
	}
	return subkey
}

// subsalt is the salt of the subkey's commitment. A master derives one for
// each subkey, so that disclosing one opens no other's commitment.
func (k *Key) subsalt() []byte {
	if k.Kind != KindMaster {
		return k.salt.reveal()
	}
	return expand(k.salt.reveal(), k.derivation()+k.accountField()+"salt", saltBytes)
}

// Derive returns the key of another label and epoch. It holds the derived
// subkey only: who has it can mark and detect under it, and nothing else. Only
// a master key derives.
func (k *Key) Derive(label, epoch string) (*Key, error) {
	spec := k.Spec
	spec.Label, spec.Epoch = label, epoch
	return k.derive(spec)
}

// derive is the key of a spec that differs from the master's in names only.
func (k *Key) derive(spec Spec) (*Key, error) {
	if k.Kind != KindMaster {
		return nil, fmt.Errorf("key %s holds one subkey and derives no others; derive from the master key", k.ID)
	}
	m := *k
	m.Spec = spec
	d, err := makeKey(KindSubkey, spec, m.subkey(), m.subsalt())
	if err != nil {
		return nil, fmt.Errorf("deriving label %q, account %q, epoch %q: %w", spec.Label, spec.Account, spec.Epoch, err)
	}
	return d, nil
}

// Alike draws a key of the same kind and spec: nothing but its secret, its salt
// and what follows from them tells it from k. random must be crypto/rand.Reader
// outside tests.
func (k *Key) Alike(random io.Reader) (*Key, error) {
	secret := make([]byte, len(k.secret.reveal()))
	p, isPreset := PresetByName(k.Scheme)
	if isPreset {
		secret = make([]byte, masterBytes)
	}
	salt := make([]byte, saltBytes)
	for _, b := range [][]byte{secret, salt} {
		if _, err := io.ReadFull(random, b); err != nil {
			return nil, fmt.Errorf("drawing the key: %w", err)
		}
	}
	if isPreset {
		drawn, err := p.drawKeys(k.Spec, secret)
		if err != nil {
			return nil, err
		}
		secret = []byte(drawn.list)
	}
	return makeKey(k.Kind, k.Spec, secret, salt)
}

// Mark returns the scheme under the key's subkeys. A canary key has none.
func (k *Key) Mark() (Scheme, error) {
	if err := k.check(); err != nil {
		return nil, err
	}
	if k.Scheme == Canary {
		return nil, errCanary(k)
	}
	return k.Spec.scheme(k.subkey())
}

// scheme builds the scheme of a valid spec under a subkey.
func (s Spec) scheme(subkey []byte) (Scheme, error) {
	if p, ok := PresetByName(s.Scheme); ok {
		return p.build(s, p.args(s, Values{string(subkey)}))
	}
	if s.Scheme == GumbelDual {
		a, b := dualSources(s.PRF, subkey)
		return newDual(s, a, b), nil
	}
	if s.Params.Tracing > 0 {
		own := len(subkey) / 2
		r := newRoute(s, newSource(s.PRF, subkey[own:]))
		return newScheme(s, newSource(s.PRF, subkey[:own]), r)
	}
	return newScheme(s, newSource(s.PRF, subkey), nil)
}

// newSource keys the PRF with a subkey of the right length.
func newSource(name string, subkey []byte) prf.Source {
	if name == Philox {
		return prf.NewPhilox(binary.BigEndian.Uint64(subkey))
	}
	return prf.NewAESCTR([16]byte(subkey[:16]), [16]byte(subkey[16:32]))
}

// DecoyKey returns decoy number i of a seed: a key that was never served, drawn
// as a real key of the spec is, from the master down. For an imported key this
// means uniform over all 64-bit keys, for a preset over the set that its Decoys
// names.
func DecoyKey(seed [32]byte, i int, spec Spec) (Scheme, error) {
	spec = spec.withDefaults()
	subkey, err := decoySubkey(seed, i, spec)
	if err != nil {
		return nil, err
	}
	return spec.scheme(subkey)
}

// decoySubkey is what Spec.scheme makes decoy i of.
func decoySubkey(seed [32]byte, i int, spec Spec) ([]byte, error) {
	if i < 0 {
		return nil, errors.New("decoys are numbered from 0")
	}
	info := binary.LittleEndian.AppendUint64([]byte("stillmark decoy key"), uint64(i))
	k := Key{Kind: KindMaster, Spec: spec.withDefaults(), secret: newSecret(expand(seed[:], string(info), masterBytes))}
	if err := k.validate(); err != nil {
		return nil, fmt.Errorf("drawing decoy %d: %w", i, err)
	}
	if k.Scheme == Canary {
		return nil, errors.New("a canary spec marks no text, so it has no decoy marks")
	}
	if p, ok := PresetByName(k.Scheme); ok {
		drawn, err := p.drawKeys(k.Spec, k.secret.reveal())
		return []byte(drawn.list), err
	}
	return k.subkey(), nil
}

// drawKeys draws all keys of a preset.
func (p Preset) drawKeys(spec Spec, seed []byte) (Values, error) {
	drawn := map[string]string{}
	for _, x := range p.Params {
		if !x.Secret {
			continue
		}
		n := 1
		if x.Kind == kindKeys {
			n = p.args(spec, Values{}).int("depth")
		}
		random := expand(seed, "preset key "+x.Name, 8*n)
		keys := make([]string, n)
		for i := range keys {
			keys[i] = x.decoy(binary.LittleEndian.Uint64(random[8*i:]))
		}
		drawn[x.Name] = strings.Join(keys, ",")
	}
	return NewValues(drawn)
}

// leaf is the salted commitment to the subkey and its spec: the RFC 6962 leaf
// hash, SHA-256(0x00 || data), of
//
//	"stillmark key commitment v1\n" || salt (32 bytes) || spec as canonical JSON, length-prefixed || subkey
func (k *Key) leaf() tlog.Hash {
	spec, err := json.Marshal(k.Spec)
	if err != nil {
		panic("watermark: " + err.Error()) // strings, numbers and a time of a valid year always marshal
	}
	data := []byte("stillmark key commitment v1\n")
	data = append(data, k.subsalt()...)
	data = append(data, fields(string(spec))...)
	data = append(data, k.subkey()...)
	return tlog.Hash(sha256.Sum256(append([]byte{0}, data...)))
}
