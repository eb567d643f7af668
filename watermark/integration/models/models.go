// Package models finds what the tests of this module run on: llama.cpp's libraries,
// and models.
//
//	STILLMARK_LLAMA   folder of the libraries; default where .ci/install-llama puts them
//	STILLMARK_MODELS  folder with teacher.gguf, distilled.gguf, innocent.gguf, and
//	                  tiny.tiktoken in it or above it; default shared/neural/models
//	                  beside the repository; empty for none
//
// Where there are no trained models, tests write models with random weights.
package models

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stillmark/stillmark/corpora/refmodel/gguf"
	"github.com/stillmark/stillmark/watermark/integration/llama"
)

// Init loads llama.cpp. Without its libraries the test is skipped, or fails where
// STILLMARK_REQUIRE_INTEGRATION is 1.
func Init(t testing.TB) {
	t.Helper()
	dir := os.Getenv("STILLMARK_LLAMA")
	if dir == "" {
		cache := os.Getenv("XDG_CACHE_HOME")
		if cache == "" {
			cache = filepath.Join(os.Getenv("HOME"), ".cache")
		}
		dir = filepath.Join(cache, "stillmark", "llama")
	}
	_, err := os.Stat(filepath.Join(dir, "libllama.so"))
	if err == nil {
		err = llama.Init(dir)
	}
	if err == nil {
		return
	}
	if os.Getenv("STILLMARK_REQUIRE_INTEGRATION") == "1" {
		t.Fatalf("llama.cpp: %v; install it with .ci/install-llama", err)
	}
	t.Skipf("llama.cpp: %v; install it with .ci/install-llama", err)
}

// Set is three models over one vocabulary, as files.
type Set struct {
	// Trained says that the models are: Distilled was fine-tuned on replies that
	// Teacher gave under the published default key of hf-kgw-lefthash, gamma .25,
	// delta 2, and Innocent was not. Else their weights are random.
	Trained                      bool
	Teacher, Distilled, Innocent string
	// Tokenizer is their vocabulary as a .tiktoken file, Pattern how text is cut first.
	Tokenizer, Pattern string
}

// Pattern cuts text for both vocabularies. Of the letters it knows those of English.
const Pattern = `'(?:s|t|re|ve|ll|d|m)| ?[A-Za-z]+| ?[0-9]| ?[^\sA-Za-z0-9]+|\s+`

// Find returns the trained models, or writes random ones.
func Find(t testing.TB) Set {
	t.Helper()
	if s, ok := trained(t); ok {
		return s
	}
	dir := t.TempDir()
	s := Set{Pattern: Pattern}
	for seed, m := range []struct {
		name string
		path *string
	}{{"teacher", &s.Teacher}, {"distilled", &s.Distilled}, {"innocent", &s.Innocent}} {
		*m.path = write(t, dir, m.name+".gguf", gguf.Random(m.name, uint64(seed)))
	}
	s.Tokenizer = write(t, dir, "tiny.tiktoken", gguf.Tiktoken())
	return s
}

func write(t testing.TB, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// trained looks for the trained models. A folder that is named must hold them.
func trained(t testing.TB) (Set, bool) {
	t.Helper()
	dir, named := os.LookupEnv("STILLMARK_MODELS")
	if !named {
		dir = filepath.Join(Root(t), "..", "shared", "neural", "models")
	}
	s := Set{
		Trained: true, Pattern: Pattern,
		Teacher: filepath.Join(dir, "teacher.gguf"), Distilled: filepath.Join(dir, "distilled.gguf"), Innocent: filepath.Join(dir, "innocent.gguf"),
		Tokenizer: filepath.Join(dir, "tiny.tiktoken"),
	}
	if _, err := os.Stat(s.Tokenizer); err != nil {
		s.Tokenizer = filepath.Join(dir, "..", "tiny.tiktoken")
	}
	for _, path := range []string{s.Teacher, s.Distilled, s.Innocent, s.Tokenizer} {
		if _, err := os.Stat(path); err != nil {
			if named && dir != "" {
				t.Fatalf("STILLMARK_MODELS: %v", err)
			}
			return Set{}, false
		}
	}
	return s, true
}

// Root is the repository's folder: above that of the test.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, ".ci", "run")); err == nil {
			return dir
		}
	}
	t.Fatal("the test does not run in the repository")
	return ""
}
