package probe

import (
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/watermark"
)

// words are ids of cl100k that are a space and a lower-case word: texts of them
// are split into the very same ids again.
var words = sync.OnceValue(func() []int32 {
	e, err := tokens.Get("cl100k")
	if err != nil {
		panic(err)
	}
	var ids []int32
	for id := int32(0); len(ids) < 3000; id++ {
		if p, ok := e.Token(id); ok && len(p) > 3 && p[0] == ' ' && strings.Trim(string(p[1:]), "abcdefghijklmnopqrstuvwxyz") == "" {
			ids = append(ids, id)
		}
	}
	return ids
})

// green makes n words that depend on the prompt; of two draws the one that the
// mark scores higher is taken.
func green(e *tokens.Encoding, mark watermark.Scheme, prompt string, n int) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(prompt))
	rng := rand.New(rand.NewPCG(h.Sum64(), 1))
	pick := func() int32 { return words()[rng.IntN(len(words()))] }
	var ids []int32
	if mark != nil {
		mark = mark.Clone() // requests come side by side
	}
	for range n {
		token := pick()
		if mark != nil {
			if window, ok := mark.WindowOf(ids); ok {
				if other := pick(); mark.Score(window, other) > mark.Score(window, token) {
					token = other
				}
			}
		}
		ids = append(ids, token)
	}
	return string(e.Decode(ids))
}

// redirect sends what is meant for one address to another: a target that was
// repaired without a change of its name.
func redirect(from, to string) http.RoundTripper {
	a, _ := url.Parse(from)
	b, _ := url.Parse(to)
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Host == a.Host {
			r = r.Clone(r.Context())
			r.URL.Host = b.Host
		}
		return http.DefaultTransport.RoundTrip(r)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
