package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/watermark"
)

const (
	tokenizerUsage = "a built-in one (cl100k, o200k), a FILE.tiktoken with --pattern, or a tokenizer.json"
	patternUsage   = "split pattern of a .tiktoken file, which does not hold it"
)

// openTokenizer opens a tokenizer by what --tokenizer names: a built-in one, a
// tokenizer.json, or a rank file with its pattern.
func openTokenizer(name, pattern string) (*tokens.Encoding, error) {
	enc, err := openFileOrBuiltin(name, pattern)
	if err != nil {
		return nil, usageError(fmt.Errorf("--tokenizer %s: %w", name, err))
	}
	return enc, nil
}

func openFileOrBuiltin(name, pattern string) (*tokens.Encoding, error) {
	enc, unknown := tokens.Get(name)
	_, absent := os.Stat(name)
	switch {
	case unknown != nil && absent != nil && filepath.Ext(name) == "":
		return nil, errors.New("neither built in nor a file" + didYouMean(name, []string{"cl100k", "o200k"}))
	case unknown != nil && !isJSON(name) && pattern == "":
		return nil, errors.New("a rank file does not hold its split pattern: give it with --pattern")
	case unknown != nil && !isJSON(name):
		return tokens.LoadTiktoken(name, pattern)
	case pattern != "":
		return nil, errors.New("it has its own split pattern: leave --pattern out")
	case unknown != nil:
		return tokens.LoadTokenizerJSON(name)
	}
	return enc, nil
}

func isJSON(path string) bool { return strings.EqualFold(filepath.Ext(path), ".json") }

// tokenizerFiles are the tokenizers given for keys that name one that is not
// built in.
type tokenizerFiles struct{ names, patterns []string }

func (t *tokenizerFiles) bind(f *pflag.FlagSet) {
	f.StringArrayVar(&t.names, "tokenizer", nil, "file of a key's tokenizer where it is not built in: FILE.tiktoken or tokenizer.json (repeatable)")
	f.StringArrayVar(&t.patterns, "pattern", nil, patternUsage+"; the n-th belongs to the n-th such file (repeatable)")
}

// open reads all files.
func (t *tokenizerFiles) open() ([]*tokens.Encoding, error) {
	patterns := t.patterns
	var out []*tokens.Encoding
	for _, name := range t.names {
		var pattern string
		if _, unknown := tokens.Get(name); unknown != nil && !isJSON(name) && len(patterns) > 0 {
			pattern, patterns = patterns[0], patterns[1:]
		}
		enc, err := openTokenizer(name, pattern)
		if err != nil {
			return nil, err
		}
		out = append(out, enc)
	}
	if len(patterns) > 0 {
		return nil, usageError(fmt.Errorf("--pattern %q belongs to no .tiktoken file that --tokenizer names", patterns[0]))
	}
	return out, nil
}

// opener gives the analysis its tokenizers: nil, meaning the built-in ones, if no
// file was given.
func (t *tokenizerFiles) opener() (func(name, sha256 string) (watermark.Tokenizer, error), error) {
	given, err := t.open()
	if err != nil || len(given) == 0 {
		return nil, err
	}
	return func(name, sha256 string) (watermark.Tokenizer, error) {
		enc, err := choose(name, sha256, given)
		if err != nil {
			return nil, err // not enc: a nil pointer in an interface is not nil
		}
		return enc, nil
	}, nil
}

// tokenizerOf is the tokenizer that a key names, among the files given or built
// in. Any other than the very one that the key was made with is refused.
func tokenizerOf(spec watermark.Spec, files *tokenizerFiles) (*tokens.Encoding, error) {
	if spec.Tokenizer == "" {
		return nil, usageError(errors.New("the key names no tokenizer, so only token ids can be scored: give --ids, or import the key again with --tokenizer"))
	}
	given, err := files.open()
	if err != nil {
		return nil, err
	}
	enc, err := choose(spec.Tokenizer, spec.TokenizerSHA256, given)
	if err != nil {
		return nil, usageError(err)
	}
	if len(given) > 0 && !slices.ContainsFunc(given, func(g *tokens.Encoding) bool { return g.SHA256() == enc.SHA256() }) {
		return nil, usageError(fmt.Errorf("--tokenizer %s is not the key's, which was made for %s: text tokenised otherwise shows nothing of its mark", strings.Join(files.names, ", "), enc.Name()))
	}
	return enc, nil
}

// choose finds a tokenizer by its hash, or by its name where a key has no hash.
func choose(name, sha256 string, given []*tokens.Encoding) (*tokens.Encoding, error) {
	candidates := given
	builtin, err := tokens.Get(name)
	if err == nil {
		candidates = append([]*tokens.Encoding{builtin}, given...)
	}
	var others []string
	for _, enc := range candidates {
		if sha256 == enc.SHA256() || sha256 == "" && enc.Name() == name {
			return enc, nil
		}
		others = append(others, fmt.Sprintf("%s has %s", enc.Name(), enc.SHA256()))
	}
	if len(others) == 0 {
		return nil, fmt.Errorf("the key's tokenizer %q is not built in: give its file with --tokenizer, and with --pattern if it is a .tiktoken file", name)
	}
	if sha256 == "" {
		return nil, fmt.Errorf("the key's tokenizer is %q, and none of that name is built in or given", name)
	}
	return nil, fmt.Errorf("the key was made for another tokenizer %s: its ranks, pattern and normalizer have SHA-256 %s, %s", name, sha256, strings.Join(others, ", "))
}
