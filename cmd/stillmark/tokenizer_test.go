package main

import (
	"strings"
	"testing"

	"github.com/stillmark/stillmark/corpora/tokens"
)

// TestTokenizerOpener: an analysis gets the very tokenizer of a key or an error,
// and the built-in ones without any file.
func TestTokenizerOpener(t *testing.T) {
	t.Parallel()
	none, err := (&tokenizerFiles{}).opener()
	if err != nil || none != nil {
		t.Fatalf("without files: an opener %t, error %v", none != nil, err)
	}
	files := tokenizerFiles{
		names:    []string{"../../corpora/tokens/testdata/json/qwen.json", "../../corpora/tokens/testdata/tiny.tiktoken"},
		patterns: []string{`\S+|\s+`},
	}
	open, err := files.opener()
	if err != nil {
		t.Fatal(err)
	}
	tiny, err := tokens.LoadTiktoken(files.names[1], files.patterns[0])
	if err != nil {
		t.Fatal(err)
	}
	builtin, err := tokens.Get("o200k")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, hash, want, problem string }{
		{"tiny", tiny.SHA256(), "tiny", ""},
		{"renamed", tiny.SHA256(), "tiny", ""}, // the hash decides
		{"tiny", "", "tiny", ""},
		{"o200k", builtin.SHA256(), "o200k", ""},
		{"o200k", "", "o200k", ""},
		{"o200k", tiny.SHA256(), "tiny", ""},
		{"tiny", strings.Repeat("0", 64), "", "made for another tokenizer tiny"},
		{"llama3", "", "", "none of that name"},
	} {
		got, err := open(tt.name, tt.hash)
		if tt.problem != "" {
			if got != nil || err == nil || !strings.Contains(err.Error(), tt.problem) {
				t.Errorf("%s %q: %v and error %v, want %q", tt.name, tt.hash, got, err, tt.problem)
			}
			continue
		}
		if err != nil || got.Name() != tt.want {
			t.Errorf("%s %q: %v and error %v, want %s", tt.name, tt.hash, got, err, tt.want)
		}
	}
}
