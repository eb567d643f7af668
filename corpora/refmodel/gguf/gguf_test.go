package gguf

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stillmark/stillmark/corpora/tokens"
)

// TestTiktoken: every word that a random model says is one token, under the id that
// the model has for it, and any bytes come back.
func TestTiktoken(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "random.tiktoken")
	if err := os.WriteFile(path, Tiktoken(), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := tokens.LoadTiktoken(path, `\s?\w+|\s+|[^\s\w]+`)
	if err != nil {
		t.Fatal(err)
	}
	vocabulary, _, speakable := bytePairs(words)
	for _, word := range words {
		id := int32(slices.Index(vocabulary, "Ġ"+word))
		if got, err := e.Encode(" " + word); err != nil || !slices.Equal(got, []int32{id}) || !speakable[id] {
			t.Errorf("%q is %v, want [%d], %v", word, got, id, err)
		}
	}
	for _, text := range []string{" stone riverx", "Größe\n\x00\xff"[:7], "a  b"} {
		ids, err := e.Encode(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Decode(ids); string(got) != text {
			t.Errorf("%q comes back as %q", text, got)
		}
	}
}

// TestRandom reads the header, and wants seeds to change weights and nothing else.
func TestRandom(t *testing.T) {
	t.Parallel()
	a, b, again := Random("m", 1), Random("m", 2), Random("m", 1)
	if !bytes.Equal(a, again) || bytes.Equal(a, b) || len(a) != len(b) {
		t.Errorf("%d and %d bytes; the same seed gives the same bytes: %t", len(a), len(b), bytes.Equal(a, again))
	}
	if string(a[:4]) != "GGUF" || binary.LittleEndian.Uint32(a[4:]) != 3 || binary.LittleEndian.Uint64(a[8:]) != 3+9*blocks {
		t.Errorf("header % x", a[:24])
	}
	if len(a)%alignment != 0 {
		t.Errorf("%d bytes, no multiple of %d", len(a), alignment)
	}
}
