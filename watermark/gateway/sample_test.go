package gateway

import (
	"crypto/rand"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/stillmark/stillmark/corpora/refmodel"
	"github.com/stillmark/stillmark/watermark"
)

// ladder is a distribution over n tokens, of which the first k are named.
func ladder(n, k int) (all []float64, named []candidate) {
	total := 0.0
	for i := range n {
		all = append(all, 1/float64(i+2))
		total += all[i]
	}
	for i := range all {
		all[i] /= total
		if i < k {
			named = append(named, candidate{int32(i), math.Log(all[i])})
		}
	}
	return all, named
}

// asked is the distribution that a request asks of the whole of p, by the definition:
// temperature, then min_p, top_k, top_p on what is sorted already.
func asked(p []float64, t truncation) []float64 {
	w := make([]float64, len(p))
	for i := range p {
		w[i] = math.Pow(p[i], 1/t.temperature)
	}
	for i := range w {
		if w[i] < t.minP*w[0] || t.topK > 0 && i >= t.topK {
			w[i] = 0
		}
	}
	total := 0.0
	for _, x := range w {
		total += x
	}
	if t.topP < 1 {
		mass := 0.0
		for i := range w {
			if mass >= t.topP*total {
				w[i] = 0
			}
			mass += w[i]
		}
	}
	total = 0
	for _, x := range w {
		total += x
	}
	for i := range w {
		w[i] /= total
	}
	return w
}

func TestStep(t *testing.T) {
	t.Parallel()
	const n, k = 400, 60
	all, named := ladder(n, k)
	for _, c := range []struct {
		name  string
		t     truncation
		exact bool // nothing that was asked for is lost
	}{
		{"plain", truncation{1, 1, 0, 0}, false},
		{"top_k inside", truncation{1, 1, 40, 0}, true},
		{"top_k at the end", truncation{1, 1, k, 0}, true},
		{"top_k beyond", truncation{1, 1, k + 5, 0}, false},
		{"nucleus inside", truncation{1, .5, 0, 0}, true},
		{"nucleus beyond", truncation{1, .95, 0, 0}, false},
		{"min_p inside", truncation{1, 1, 0, .09}, true},
		{"min_p beyond", truncation{1, 1, 0, .001}, false},
		{"cool", truncation{.6, 1, 0, 0}, false},
		{"cool and top_k", truncation{.6, .9, 30, 0}, true},
		{"hot", truncation{1.5, 1, 0, 0}, false},
		{"hot and top_k", truncation{1.5, .9, 50, 0}, true},
		{"hot with top_p alone", truncation{1.5, .9, 0, 0}, false},
		{"hot with a small nucleus", truncation{2, .3, 0, 0}, false},
		{"cool with top_p alone", truncation{.6, .97, 0, 0}, false},
		{"top_k beyond and top_p", truncation{1, .9, k + 5, 0}, false},
		{"min_p beyond and top_p", truncation{1, .9, 0, .02}, false},
		{"all of it", truncation{.8, .9, 40, .01}, true},
	} {
		var s step
		s.set(named, c.t, n)
		want := asked(all, c.t)
		if math.Abs(s.missing-(1-sum(all[:k]))) > 1e-9 {
			t.Errorf("%s: missing %v", c.name, s.missing)
		}
		kl := 0.0 // of what is drawn from what was asked for
		for i, id := range s.ids {
			p := math.Exp(float64(s.logits[i]))
			kl += p * math.Log(p/want[id])
			if want[id] == 0 {
				t.Errorf("%s: token %d may be drawn, and was not asked for", c.name, id)
			}
			if c.exact && math.Abs(p-want[id]) > 1e-6 {
				t.Errorf("%s: token %d has %v, want %v", c.name, id, p, want[id])
			}
		}
		switch {
		case c.exact && (s.kl != 0 || len(s.ids) != len(slices.DeleteFunc(slices.Clone(want), func(x float64) bool { return x == 0 }))):
			t.Errorf("%s: kl %v, %d candidates", c.name, s.kl, len(s.ids))
		case !c.exact && (s.kl < kl-1e-6 || kl < 1e-4):
			t.Errorf("%s: kl is %v, the bound says %v", c.name, kl, s.kl)
		case !c.exact && c.t.temperature == 1 && c.t.topK == 0 && c.t.minP == 0 && math.Abs(s.kl-kl) > .02:
			t.Errorf("%s: kl is %v, and at temperature 1 it is measured: %v", c.name, kl, s.kl)
		}
	}
}

// A server that names the token it sampled beside the K most probable ones names one
// that may lie far below them: what the others may have is still at most the K-th's.
func TestSampledBesideTheCandidates(t *testing.T) {
	t.Parallel()
	const n, k = 400, 20
	all, _ := ladder(n, n)
	model := func([]int32, int) []refmodel.Alt {
		var out []refmodel.Alt
		for i := range k {
			out = append(out, refmodel.Alt{ID: int32(i), Logprob: math.Log(all[i])})
		}
		return append(out, refmodel.Alt{ID: n - 1, Logprob: math.Log(all[n-1])})
	}
	up, err := newUpstream(UpstreamOptions{URL: startUpstream(t, model, nil).URL(), Wire: WireVLLM, Model: "nova", Candidates: k, StepTimeout: time.Minute, Connections: 1}, n)
	if err != nil {
		t.Fatal(err)
	}
	named, err := up.next(t.Context(), newSequence([]int32{1}, 0), nil)
	if err != nil || len(named) != k {
		t.Fatalf("%d candidates, %v", len(named), err)
	}
	for _, shape := range []truncation{{.6, 1, 0, 0}, {1, 1, k + 5, 0}} {
		var s step
		s.set(named, shape, n)
		want, inside := asked(all, shape), 0.0
		for _, id := range s.ids {
			inside += want[id]
		}
		if kl := -math.Log(inside); s.kl < kl {
			t.Errorf("%+v: kl is %v, the bound says %v", shape, kl, s.kl)
		}
	}
}

func sum(p []float64) float64 {
	total := 0.0
	for _, x := range p {
		total += x
	}
	return total
}

// Over random keys the schemes that do not distort draw from the distribution that
// was asked for.
func TestKeysFollowTheDistribution(t *testing.T) {
	t.Parallel()
	keys := 20_000
	if testing.Short() {
		keys = 5_000
	}
	all, named := ladder(400, 60)
	shape := truncation{.8, .95, 12, 0}
	want := asked(all, shape)
	for _, scheme := range []string{watermark.Gumbel, watermark.Tournament, ""} {
		got := make([]float64, 60)
		random := mathrand.New(mathrand.NewPCG(1, 2))
		var s step
		for range keys {
			var mark marker
			if scheme != "" {
				k, err := watermark.NewKey(watermark.Spec{Scheme: scheme, Tokenizer: "t", Vocab: 400}, rand.Reader)
				if err != nil {
					t.Fatal(err)
				}
				reply, err := k.NewRequest(watermark.RequestOptions{})
				if err != nil {
					t.Fatal(err)
				}
				reply.Append(3, 1, 4)
				mark = reply
			}
			s.set(named, shape, 400)
			id, err := s.draw(mark, false, random)
			if err != nil {
				t.Fatal(err)
			}
			got[id]++
		}
		chiSquare(t, scheme, got, want)
	}
}

// chiSquare compares counts with probabilities, at one in a million.
func chiSquare(t *testing.T, name string, got, want []float64) {
	t.Helper()
	chi, cells := 0.0, 0
	for i, n := range got {
		if want[i] == 0 {
			if n > 0 {
				t.Errorf("%s: token %d was cut off and drawn", name, i)
			}
			continue
		}
		e := want[i] * sum(got)
		chi += (n - e) * (n - e) / e
		cells++
	}
	if p := (distuv.ChiSquared{K: float64(cells - 1)}).Survival(chi); p < 1e-6 || cells < 8 {
		t.Errorf("%s: chi-square %.1f over %d tokens, p %.2g", name, chi, cells, p)
	}
}

func TestGreedy(t *testing.T) {
	t.Parallel()
	_, named := ladder(400, 60)
	var s step
	s.set(named, truncation{0, 1, 0, 0}, 400)
	if id, err := s.draw(nil, true, nil); err != nil || id != 0 || s.kl != 0 {
		t.Errorf("%d %v, kl %v", id, err, s.kl)
	}
}

// However a text is cut into tokens' bytes, what is sent is whole runes that end
// before the stop sequence, and together the text.
func TestText(t *testing.T) {
	t.Parallel()
	const whole = "Größe 東京🙂 stop STO"
	for _, c := range []struct {
		stops   []string
		want    string
		stopped bool
	}{
		{nil, whole, false},
		{[]string{"STOP"}, whole, false},
		{[]string{"stop"}, "Größe 東京🙂 ", true},
		{[]string{"京", "🙂"}, "Größe 東", true},
		{[]string{"ß", "röß"}, "G", true},
		{[]string{whole}, "", true},
	} {
		for size := 1; size <= len(whole); size++ {
			tx := text{stops: c.stops}
			var got strings.Builder
			stopped := false
			for b := []byte(whole); len(b) > 0 && !stopped; b = b[min(size, len(b)):] {
				var send string
				send, stopped = tx.push(b[:min(size, len(b))])
				if strings.ContainsRune(send, '\uFFFD') {
					t.Fatalf("a rune was cut: %q", send)
				}
				got.WriteString(send)
			}
			if !stopped {
				got.WriteString(tx.flush())
			}
			if got.String() != c.want || stopped != c.stopped {
				t.Errorf("%q in pieces of %d: %q, %t; want %q, %t", c.stops, size, got.String(), stopped, c.want, c.stopped)
			}
		}
	}
	tx := text{}
	tx.push([]byte("a\xe6\x9d"))
	if end := tx.flush(); end != "\uFFFD" {
		t.Errorf("what is left of a rune is %q", end)
	}
}

func FuzzNamedLogprobs(f *testing.F) {
	for _, s := range []string{`{"token_id:5":-0.25,"token_id:7":-1e-3}`, `{}`, `{"a":1}`, `{"token_id:5":null}`, `{"token_id:5,":"x"}`, `null`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var n namedLogprobs
		if n.UnmarshalJSON(b) == nil && len(n) > len(b)/len(`"token_id:1":0`)+1 {
			t.Errorf("%d candidates of %d bytes", len(n), len(b))
		}
	})
}

func FuzzParseRequest(f *testing.F) {
	for _, s := range []string{
		`{"prompt":"a","stop":["x","y"],"max_tokens":3,"stream":true,"stream_options":{"include_usage":true}}`,
		`{"prompt":[1,2,3],"temperature":0.5}`, `{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]}],"tools":[{}],"tool_choice":"auto"}`, `[]`, `{"prompt":null}`,
	} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, b []byte, chat bool) {
		r, err := parseRequest(b, chat, true)
		if err != nil {
			return
		}
		if e := r.truncation.check(); e != nil || len(r.stops) > maxStops || chat && len(r.turns) == 0 {
			t.Errorf("%q was taken: %v", b, e)
		}
		r.asked()
	})
}

func FuzzParseAccounts(f *testing.F) {
	f.Add("key_sha256,cohort\n*,a\n")
	f.Add("cohort,key_sha256,mark,account\nacme,5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8,never,x\n")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAccounts(strings.NewReader(s))
		if err != nil {
			return
		}
		n := 0
		for range a.All {
			n++
		}
		if n == 0 {
			t.Errorf("%q has no account", s)
		}
	})
}

// Through the whole gateway, over HTTP, the third token of a reply follows what the
// request asked of the upstream's distribution: a chi-square over accounts, each with a
// key of its own.
func TestAccountsFollowTheDistribution(t *testing.T) {
	t.Parallel()
	keys := 3000
	if testing.Short() {
		keys = 400
	}
	const letters = 32 // cl100k's id of "A"; the 25 that follow are the other letters
	all, _ := ladder(26, 26)
	model := func(ids []int32, n int) []refmodel.Alt {
		var out []refmodel.Alt
		for i, p := range all {
			a := refmodel.Alt{ID: letters + int32(i), Logprob: math.Log(p)}
			if len(ids) < 3 { // the two tokens of the window are always the same
				a.Logprob = -1e-9 - 100*float64(i)
			}
			out = append(out, a)
		}
		return out
	}
	var csv strings.Builder
	csv.WriteString("key_sha256,cohort\n")
	for i := range keys {
		fmt.Fprintf(&csv, "%s,cohort-%d\n", hashOf(fmt.Sprint("key", i)), i)
	}
	shape := truncation{.8, .95, 20, 0}
	for _, scheme := range []string{watermark.Gumbel, watermark.Tournament} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			url := start(t, Options{
				Upstream: UpstreamOptions{URL: startUpstream(t, model, nil).URL()}, Keys: OneKey(newKey(t, watermark.Spec{Scheme: scheme})), Accounts: accounts(t, csv.String()),
			})
			got := make([]float64, 26)
			for i := range keys {
				a := postAs(t, url, "/v1/completions", `{"prompt":[5],"max_tokens":3,"temperature":0.8,"top_p":0.95,"top_k":20}`, fmt.Sprint("key", i))
				if len(a.text) != 3 || a.text[:2] != "AA" {
					t.Fatalf("%+v", a)
				}
				got[a.text[2]-'A']++
			}
			chiSquare(t, scheme, got, asked(all, shape))
		})
	}
}
