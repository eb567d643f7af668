package tokens

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
)

// byteOf inverts GPT-2's table, which writes each byte as a visible character:
// the printable ones of Latin-1 stand for themselves, the other 68 are U+0100
// and up, in order. It gives -1 for characters that stand for no byte.
func byteOf(r rune) int {
	switch {
	case r >= '!' && r <= '~', r >= '¡' && r <= '¬', r >= '®' && r <= 'ÿ':
		return int(r)
	case r >= 0x100 && r < 0x100+33: // 0x00 to 0x20
		return int(r - 0x100)
	case r >= 0x100+33 && r < 0x100+67: // 0x7f to 0xa0
		return int(r-0x100-33) + 0x7f
	case r == 0x100+67:
		return 0xad
	}
	return -1
}

// rawBytes is what a token of the file stands for.
func rawBytes(token string) (string, error) {
	out := make([]byte, 0, len(token))
	for _, r := range token {
		b := byteOf(r)
		if b < 0 {
			return "", fmt.Errorf("token %q has the character %q, which stands for no byte: the vocabulary is not byte-level", token, r)
		}
		out = append(out, byte(b))
	}
	if len(out) == 0 || len(out) > maxToken {
		return "", fmt.Errorf("a token has %d bytes: 1 to %d are taken", len(out), maxToken)
	}
	return string(out), nil
}

// newMergeTable builds the table of a BPE model. Tokens in special are left out:
// text never becomes one of them.
func newMergeTable(m *bpe, special map[string]int32) (*table, error) {
	t := &table{ranks: make(map[string]int32, len(m.Vocab))}
	for token, id := range m.Vocab {
		if _, ok := special[token]; ok {
			continue
		}
		piece, err := rawBytes(token)
		if err != nil {
			return nil, err
		}
		if err := t.add(piece, id); err != nil {
			return nil, fmt.Errorf("vocabulary: %w", err)
		}
	}
	if err := t.index(); err != nil {
		return nil, err
	}
	t.merges = &mergeRules{pairs: newPairTable(len(m.Merges))}
	for i := range t.pairs {
		t.pairs[i] = none
	}
	for rank, p := range m.Merges {
		if err := t.addMerge(int32(rank), p, m.Vocab, special); err != nil {
			return nil, fmt.Errorf("merge %d, %q with %q: %w", rank, p.left, p.right, err)
		}
	}
	if !m.IgnoreMerges {
		t.keepMerged()
	}
	return t, nil
}

func (t *table) addMerge(rank int32, p mergePair, vocab vocabulary, special map[string]int32) error {
	var ids [3]int32
	for i, token := range []string{p.left, p.right, p.left + p.right} {
		id, ok := vocab[token]
		if !ok {
			return fmt.Errorf("%q is not in the vocabulary", token)
		}
		if _, ok := special[token]; ok {
			return fmt.Errorf("%q is a special token, and text never becomes one", token)
		}
		ids[i] = id
	}
	t.merges.pairs.set(ids[0], ids[1], rank)
	t.merges.results = append(t.merges.results, ids[2])
	if left, right := t.pieces[ids[0]], t.pieces[ids[1]]; len(left) == 1 && len(right) == 1 {
		t.pairs[int(left[0])<<8|int(right[0])] = rank
	}
	return nil
}

// keepMerged leaves in ranks, where whole pieces are looked up, only the tokens
// that merging makes of their own bytes, so that the shortcut changes no ids.
func (t *table) keepMerged() {
	m := merger{table: t}
	for piece, id := range t.ranks {
		m.ids = m.ids[:0]
		m.merge(piece)
		if len(m.ids) != 1 || m.ids[0] != id {
			delete(t.ranks, piece)
		}
	}
}

// hashMerges is documented at Encoding.SHA256.
func (t *table) hashMerges(ignoreMerges, normalize bool, patterns []string) string {
	h := sha256.New()
	h.Write([]byte("byte-level BPE with merges, 1\n"))
	line := make([]byte, 0, 2*maxToken)
	for id, piece := range t.pieces {
		if piece != "" {
			line = base64.StdEncoding.AppendEncode(line[:0], []byte(piece))
			line = append(line, ' ')
			line = strconv.AppendInt(line, int64(id), 10)
			h.Write(append(line, '\n'))
		}
	}
	for _, pair := range t.merges.ordered() {
		line = strconv.AppendInt(line[:0], int64(pair[0]), 10)
		line = append(line, ' ')
		line = strconv.AppendInt(line, int64(pair[1]), 10)
		h.Write(append(line, '\n'))
	}
	form := "none"
	if normalize {
		form = "NFC"
	}
	fmt.Fprintf(h, "ignore_merges %t\nnormalizer %s\n", ignoreMerges, form)
	for _, p := range patterns {
		fmt.Fprintf(h, "split %s\n", base64.StdEncoding.EncodeToString([]byte(p)))
	}
	return hex.EncodeToString(h.Sum(nil))
}
