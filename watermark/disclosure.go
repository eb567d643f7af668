package watermark

import (
	"encoding/hex"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// Disclosure is one subkey laid open for an evidence package: with it anyone
// can recompute every score, and check that it is what was committed to. It
// says nothing about the master key or about the subkeys of other labels.
//
// Unlike a [Key], a Disclosure is made to be published: it prints and marshals
// what it holds.
type Disclosure struct {
	Format int    `json:"format"`
	KeyID  string `json:"key_id"`
	Kind   Kind   `json:"kind"` // subkey or imported
	Spec   Spec   `json:"spec"`
	Subkey string `json:"subkey"`          // hex
	Salt   string `json:"salt"`            // hex
	Proof  *Proof `json:"proof,omitempty"` // that the leaf is under a committed root
}

// Proof is an RFC 6962 inclusion proof of a leaf.
type Proof struct {
	Root   string   `json:"root"`
	Leaf   int64    `json:"leaf"` // number of the leaf
	Leaves int64    `json:"leaves"`
	Hashes []string `json:"hashes"`
}

const disclosureFormat = 1

// Disclose lays the key's own subkey open, without a proof of commitment.
func (k *Key) Disclose() Disclosure {
	d := Disclosure{
		Format: disclosureFormat,
		KeyID:  k.ID,
		Kind:   k.Kind,
		Spec:   k.Spec,
		Subkey: hex.EncodeToString(k.subkey()),
		Salt:   hex.EncodeToString(k.subsalt()),
	}
	if k.Kind == KindMaster {
		d.Kind = KindSubkey
	}
	return d
}

// Disclose lays a key's subkey open with the proof that it is under the root.
func (c *Commitment) Disclose(k *Key) (Disclosure, error) {
	tree, i, err := c.find(k)
	if err != nil {
		return Disclosure{}, err
	}
	hashes, err := tlog.ProveRecord(tree.leaves, int64(i), tree)
	if err != nil {
		return Disclosure{}, fmt.Errorf("proving leaf %d: %w", i, err)
	}
	p := &Proof{Root: c.Root, Leaf: int64(i), Leaves: tree.leaves, Hashes: []string{}}
	for _, h := range hashes {
		p.Hashes = append(p.Hashes, hexHash(h))
	}
	d := k.Disclose()
	d.Proof = p
	return d, nil
}

// Encode returns the disclosure as the JSON that OpenDisclosure reads.
func (d Disclosure) Encode() ([]byte, error) { return encodeJSON(d) }

// OpenDisclosure reads a disclosure and checks all that it claims: subkey, salt
// and spec hash to the leaf that the id names, and the proof, if there is one,
// leads from that leaf to its root. Whether that root is the one that bears the
// timestamp is the caller's to compare. Errors wrap [ErrMalformed].
func OpenDisclosure(data []byte) (*Key, error) {
	var d Disclosure
	if err := decodeJSON(data, maxKeyFile, &d); err != nil {
		return nil, fmt.Errorf("disclosure: %w", err)
	}
	if d.Format != disclosureFormat || d.Kind == KindMaster {
		return nil, fmt.Errorf("disclosure: %w: format %d, kind %q", ErrMalformed, d.Format, d.Kind)
	}
	subkey, err := decodeHex("subkey", d.Subkey)
	if err != nil {
		return nil, fmt.Errorf("disclosure: %w", err)
	}
	salt, err := decodeHex("salt", d.Salt)
	if err != nil {
		return nil, fmt.Errorf("disclosure: %w", err)
	}
	k, err := reopen(Key{Format: keyFormat, ID: d.KeyID, Kind: d.Kind, Spec: d.Spec}, subkey, salt)
	if err != nil {
		return nil, fmt.Errorf("disclosure: %w", err)
	}
	if d.Proof != nil {
		if err := d.Proof.check(k.leaf()); err != nil {
			return nil, fmt.Errorf("disclosure: %w: %w", ErrMalformed, err)
		}
	}
	return k, nil
}

func (p *Proof) check(leaf tlog.Hash) error {
	root, err := parseHash(p.Root)
	if err != nil {
		return err
	}
	if p.Leaf < 0 || p.Leaf >= p.Leaves {
		return fmt.Errorf("leaf %d of %d", p.Leaf, p.Leaves)
	}
	proof := make(tlog.RecordProof, len(p.Hashes))
	for i, s := range p.Hashes {
		if proof[i], err = parseHash(s); err != nil {
			return err
		}
	}
	if err := tlog.CheckRecord(proof, p.Leaves, root, p.Leaf, leaf); err != nil {
		return fmt.Errorf("the proof does not lead to the root: %w", err)
	}
	return nil
}
