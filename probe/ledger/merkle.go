package ledger

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// Hash is a node of the Merkle tree (RFC 6962, SHA-256).
type Hash = tlog.Hash

// Tree is the Merkle tree of RFC 6962 over the lines of a ledger, without their
// newlines: leaf i is the event with Seq i. It can prove that a line is in it,
// and keeps all nodes for that (64 bytes a line). The zero value is empty.
type Tree struct {
	stored []Hash // in the order of tlog.StoredHashIndex
	n      int64
}

// Append adds a line.
func (t *Tree) Append(line []byte) {
	hashes, err := tlog.StoredHashes(t.n, line, tlog.HashReaderFunc(t.read))
	if err != nil {
		panic("ledger: " + err.Error()) // read never fails for hashes that were stored
	}
	t.stored = append(t.stored, hashes...)
	t.n++
}

func (t *Tree) read(indexes []int64) ([]Hash, error) {
	out := make([]Hash, len(indexes))
	for i, x := range indexes {
		if x < 0 || x >= int64(len(t.stored)) {
			return nil, fmt.Errorf("node %d is not in a tree of %d lines", x, t.n)
		}
		out[i] = t.stored[x]
	}
	return out, nil
}

// Size is the number of lines.
func (t *Tree) Size() int64 { return t.n }

// Root is the head of the tree; for an empty one the hash of nothing.
func (t *Tree) Root() Hash {
	root, err := tlog.TreeHash(t.n, tlog.HashReaderFunc(t.read))
	if err != nil {
		panic("ledger: " + err.Error()) // as above
	}
	return root
}

// Prove returns the audit path of line i (from 0): at most log2(size) hashes.
func (t *Tree) Prove(i int64) ([]Hash, error) {
	if i < 0 || i >= t.n {
		return nil, fmt.Errorf("line %d is not in a tree of %d lines", i, t.n)
	}
	return tlog.ProveRecord(t.n, i, tlog.HashReaderFunc(t.read))
}

// CheckInclusion checks the audit path of line i (from 0) in the tree with the
// given size and root.
func CheckInclusion(proof []Hash, size int64, root Hash, i int64, line []byte) error {
	if i < 0 || i >= size {
		return fmt.Errorf("line %d is not in a tree of %d lines", i, size)
	}
	if err := tlog.CheckRecord(proof, size, root, i, tlog.RecordHash(line)); err != nil {
		return fmt.Errorf("line %d is not proven to be in the tree: %w", i, err)
	}
	return nil
}

// Tree reads the ledger into a tree.
func (c *Case) Tree() (*Tree, error) {
	t := new(Tree)
	for l, err := range c.Lines() {
		if err != nil {
			return nil, err
		}
		t.Append(l.Raw)
	}
	return t, nil
}

// frontier is the tree reduced to the roots of its full subtrees, largest
// first: enough to go on and to give the root, in 32·log2(n) bytes.
type frontier struct {
	roots []Hash
	n     uint64
}

func (f *frontier) append(line []byte) {
	h := tlog.RecordHash(line)
	for n := f.n; n&1 == 1; n >>= 1 { // each set bit of n is a full subtree
		last := len(f.roots) - 1
		h = tlog.NodeHash(f.roots[last], h)
		f.roots = f.roots[:last]
	}
	f.roots = append(f.roots, h)
	f.n++
}

func (f *frontier) root() Hash {
	if len(f.roots) == 0 {
		return sha256.Sum256(nil)
	}
	h := f.roots[len(f.roots)-1]
	for i := len(f.roots) - 2; i >= 0; i-- {
		h = tlog.NodeHash(f.roots[i], h)
	}
	return h
}

func (f *frontier) clone() frontier { return frontier{slices.Clone(f.roots), f.n} }
