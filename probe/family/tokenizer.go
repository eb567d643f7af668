package family

import (
	"fmt"

	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// OpenTokenizer opens the tokenizer of a name and a SHA-256, which is "" where a
// key has none. It must return that very tokenizer or an error: with another one
// every number of a test would be noise. Nil opens the built-in ones.
type OpenTokenizer func(name, sha256 string) (watermark.Tokenizer, error)

// ForKey opens the tokenizer that a key names. Errors are of type [*InputError].
func (open OpenTokenizer) ForKey(k *watermark.Key) (watermark.Tokenizer, error) {
	if open == nil {
		open = builtin
	}
	t, err := open(k.Tokenizer, k.TokenizerSHA256)
	if err != nil {
		return nil, &InputError{fmt.Errorf("key %s: %w", k.ID, err)}
	}
	return t, nil
}

func builtin(name, sha256 string) (watermark.Tokenizer, error) {
	e, err := tokens.Get(name)
	if err != nil {
		return nil, err
	}
	if sha256 != "" && e.SHA256() != sha256 {
		return nil, fmt.Errorf("the built-in tokenizer %s has the SHA-256 %s, the key was made for one with %s", name, e.SHA256(), sha256)
	}
	return e, nil
}

// readers holds one reader per tokenizer.
type readers struct {
	open OpenTokenizer
	made map[[2]string]*reader // by name and SHA-256
}

// forKey is the reader of a key's tokenizer.
func (r *readers) forKey(k *watermark.Key) (*reader, error) {
	id := [2]string{k.Tokenizer, k.TokenizerSHA256}
	if got := r.made[id]; got != nil {
		return got, nil
	}
	t, err := r.open.ForKey(k)
	if err != nil {
		return nil, err
	}
	if r.made == nil {
		r.made = map[[2]string]*reader{}
	}
	r.made[id] = &reader{tokenizer: t, prompts: map[*ledger.Prompt][]int32{}}
	return r.made[id], nil
}
