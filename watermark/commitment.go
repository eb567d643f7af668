package watermark

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// Commitment binds keys before anything is served under them, without showing
// them: one salted hash for each subkey with its whole spec, leaves of one
// RFC 6962 Merkle tree. Afterwards each subkey can be disclosed alone. It may also
// bind what will be asked under them. What gets timestamped is the whole file.
type Commitment struct {
	Format int              `json:"format"` // 1, or 2 where there are lists
	Root   string           `json:"root"`   // 64 hex digits
	Leaves []CommitmentLeaf `json:"leaves"`
	Lists  []CommittedList  `json:"lists,omitempty"`
}

// CommittedList is what will be asked under a key in one run of a probe, without
// showing it: an audit that asks something else could have chosen it when the key and
// the answers were known. The package does not look into it, but for its size.
type CommittedList struct {
	KeyID   string `json:"key_id"`
	Family  string `json:"family"`  // of the probe
	Suite   string `json:"suite"`   // as a plan names it
	Version string `json:"version"` // of the suite
	SHA256  string `json:"sha256"`  // of the suite's source
	Seed    uint64 `json:"seed"`    // of the draw of its prompts
	Run     int    `json:"run"`     // from 1
	// Options are those of the tests that will read the answers, one each, where the
	// family has any.
	Options []json.RawMessage `json:"options,omitempty"`
	Items   []string          `json:"items"` // a [Key.CommitItem] of each prompt, in order
}

// CommitmentLeaf is one committed subkey.
type CommitmentLeaf struct {
	KeyID string `json:"key_id"`
	Spec  Spec   `json:"spec"`
	Leaf  string `json:"leaf"` // RFC 6962 leaf hash, 64 hex digits
}

// The formats of a commitment.
const (
	commitmentOfKeys  = 1
	commitmentOfLists = 2 // with lists
)

// maxCommitment bounds a commitment file, in bytes: at about 500 bytes a leaf,
// a hundred thousand accounts.
const maxCommitment = 64 << 20

// Commit commits to the key itself and to the keys that it derives for the labels,
// in its own epoch: see [Key.DeriveFor].
func (k *Key) Commit(labels ...string) (*Commitment, error) {
	keys := []*Key{k}
	for _, label := range labels {
		d, err := k.DeriveFor(label)
		if err != nil {
			return nil, err
		}
		keys = append(keys, d)
	}
	return NewCommitment(keys...)
}

// NewCommitment commits to all the keys under one root, in their order. One
// subkey twice is an error.
func NewCommitment(keys ...*Key) (*Commitment, error) {
	if len(keys) == 0 {
		return nil, errors.New("a commitment needs at least one key")
	}
	c := &Commitment{Format: commitmentOfKeys}
	hashes := make([]tlog.Hash, len(keys))
	seen := make(map[string]bool, len(keys))
	for i, k := range keys {
		if err := k.check(); err != nil {
			return nil, fmt.Errorf("committing key %s: %w", k.ID, err)
		}
		if seen[k.ID] {
			return nil, fmt.Errorf("key %s (label %q, epoch %q) is there twice", k.ID, k.Label, k.Epoch)
		}
		seen[k.ID] = true
		hashes[i] = k.leaf()
		c.Leaves = append(c.Leaves, CommitmentLeaf{KeyID: k.ID, Spec: k.Spec, Leaf: hexHash(hashes[i])})
	}
	tree, err := newMerkle(hashes)
	if err != nil {
		return nil, err
	}
	c.Root = hexHash(tree.root)
	return c, nil
}

// Bind adds lists to the commitment, each of a key that it holds.
func (c *Commitment) Bind(lists ...CommittedList) error {
	bound := *c
	bound.Lists = append(slices.Clone(c.Lists), lists...)
	slices.SortStableFunc(bound.Lists, func(a, b CommittedList) int {
		return cmp.Or(cmp.Compare(a.KeyID, b.KeyID), cmp.Compare(a.Family, b.Family), cmp.Compare(a.Suite, b.Suite), cmp.Compare(a.Run, b.Run))
	})
	if bound.Format = commitmentOfKeys; len(bound.Lists) > 0 {
		bound.Format = commitmentOfLists
	}
	if err := bound.checkLists(); err != nil {
		return fmt.Errorf("commitment: %w", err)
	}
	*c = bound
	return nil
}

// checkLists refuses lists of no key, lists without items, and two lists for one use.
func (c *Commitment) checkLists() error {
	if (c.Format == commitmentOfLists) != (len(c.Lists) > 0) {
		return fmt.Errorf("format %d with %d lists", c.Format, len(c.Lists))
	}
	type use struct {
		key, family, suite string
		run                int
	}
	seen := map[use]bool{}
	for i := range c.Lists {
		l := &c.Lists[i]
		at := use{l.KeyID, l.Family, l.Suite, l.Run}
		switch {
		case !slices.ContainsFunc(c.Leaves, func(leaf CommitmentLeaf) bool { return leaf.KeyID == l.KeyID }):
			return fmt.Errorf("list %d is of key %s, which is not committed to", i, l.KeyID)
		case l.Family == "" || l.Suite == "" || l.Run < 1 || len(l.Items) == 0:
			return fmt.Errorf("list %d does not say family, suite, run and items", i)
		case seen[at]:
			return fmt.Errorf("suite %s has two lists for run %d of %s under key %s", l.Suite, l.Run, l.Family, l.KeyID)
		}
		seen[at] = true
		for _, item := range l.Items {
			if _, err := parseHash(item); err != nil {
				return fmt.Errorf("list %d: %w", i, err)
			}
		}
	}
	return nil
}

// CommitItem is what a commitment says of one item of a list, 64 hex digits:
// HMAC-SHA256 of the item under HKDF-SHA256 of the subkey's salt with info "committed
// item", which has its length as u16 before it. The salt is random, is committed to with
// the subkey and disclosed with it: until then the digits show nothing of the item, nor
// ever anything of the secret.
func (k *Key) CommitItem(item []byte) string {
	mac := hmac.New(sha256.New, expand(k.subsalt(), fields("committed item"), sha256.Size))
	mac.Write(item)
	return hex.EncodeToString(mac.Sum(nil))
}

// Encode returns the commitment as the JSON that ParseCommitment reads.
func (c *Commitment) Encode() ([]byte, error) { return encodeJSON(c) }

// ParseCommitment reads a commitment and checks that its root is that of its
// leaves. Errors wrap [ErrMalformed].
func ParseCommitment(data []byte) (*Commitment, error) {
	var c Commitment
	if err := decodeJSON(data, maxCommitment, &c); err != nil {
		return nil, fmt.Errorf("commitment: %w", err)
	}
	if _, err := c.merkle(); err != nil {
		return nil, fmt.Errorf("commitment: %w: %w", ErrMalformed, err)
	}
	return &c, nil
}

// merkle rebuilds the tree and checks root, ids and specs against it.
func (c *Commitment) merkle() (*merkle, error) {
	if c.Format != commitmentOfKeys && c.Format != commitmentOfLists {
		return nil, fmt.Errorf("format %d is none of the formats %d and %d of this program", c.Format, commitmentOfKeys, commitmentOfLists)
	}
	if len(c.Leaves) == 0 {
		return nil, errors.New("no leaves")
	}
	hashes := make([]tlog.Hash, len(c.Leaves))
	for i, l := range c.Leaves {
		h, err := parseHash(l.Leaf)
		if err != nil {
			return nil, fmt.Errorf("leaf %d: %w", i, err)
		}
		if l.KeyID != hex.EncodeToString(h[:8]) {
			return nil, fmt.Errorf("leaf %d: key id %q does not begin the leaf's hash", i, l.KeyID)
		}
		if err := l.Spec.validate(); err != nil {
			return nil, fmt.Errorf("leaf %d: %w", i, err)
		}
		hashes[i] = h
	}
	tree, err := newMerkle(hashes)
	if err != nil {
		return nil, err
	}
	if hexHash(tree.root) != c.Root {
		return nil, errors.New("the root is not the root of the leaves")
	}
	return tree, c.checkLists()
}

// Check reports whether the key opens its leaf: the very subkey, salt and spec
// were committed to under the root.
func (c *Commitment) Check(k *Key) error {
	_, _, err := c.find(k)
	return err
}

// find returns the tree and the number of the leaf that k opens.
func (c *Commitment) find(k *Key) (*merkle, int, error) {
	if err := k.check(); err != nil {
		return nil, 0, fmt.Errorf("key %s: %w", k.ID, err)
	}
	tree, err := c.merkle()
	if err != nil {
		return nil, 0, fmt.Errorf("the commitment does not hold together: %w", err)
	}
	leaf := hexHash(k.leaf())
	for i, l := range c.Leaves {
		if l.Leaf == leaf {
			if l.Spec != k.Spec {
				return nil, 0, fmt.Errorf("leaf %d of the commitment shows another spec than key %s", i, k.ID)
			}
			return tree, i, nil
		}
	}
	return nil, 0, fmt.Errorf("key %s opens no leaf of the commitment: it, or its spec, is not what was committed to", k.ID)
}

// merkle is an RFC 6962 tree in memory, as x/mod's tlog stores it.
type merkle struct {
	hashes []tlog.Hash // stored hashes, by tlog's index
	leaves int64
	root   tlog.Hash
}

func newMerkle(leaves []tlog.Hash) (*merkle, error) {
	m := &merkle{}
	for _, h := range leaves {
		stored, err := tlog.StoredHashesForRecordHash(m.leaves, h, m)
		if err != nil {
			return nil, fmt.Errorf("hashing the tree: %w", err)
		}
		m.hashes = append(m.hashes, stored...)
		m.leaves++
	}
	root, err := tlog.TreeHash(m.leaves, m)
	if err != nil {
		return nil, fmt.Errorf("hashing the tree: %w", err)
	}
	m.root = root
	return m, nil
}

// ReadHashes implements tlog.HashReader.
func (m *merkle) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x >= int64(len(m.hashes)) {
			return nil, fmt.Errorf("no stored hash %d", x)
		}
		out[i] = m.hashes[x]
	}
	return out, nil
}

func hexHash(h tlog.Hash) string { return hex.EncodeToString(h[:]) }

func parseHash(s string) (tlog.Hash, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(tlog.Hash{}) || hex.EncodeToString(b) != s {
		return tlog.Hash{}, errors.New("a hash is not 64 lower-case hex digits")
	}
	return tlog.Hash(b), nil
}
