package gateway

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stillmark/stillmark/corpora/refmodel"
	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/watermark"
)

// detect is log10 p of a text under a key.
func detect(t *testing.T, k *watermark.Key, texts ...string) float64 {
	t.Helper()
	mark, err := k.Mark()
	if err != nil {
		t.Fatal(err)
	}
	d := watermark.NewDetector(mark, watermark.Options{})
	for _, text := range texts {
		ids, err := encoding().Encode(text)
		if err != nil {
			t.Fatal(err)
		}
		d.Add(watermark.Item{Tokens: ids})
	}
	return d.Result().Tail.Log10P
}

// Every scheme's mark is in the replies, streamed or not, under its own key and under
// no other.
func TestMarks(t *testing.T) {
	t.Parallel()
	upstream := startUpstream(t, nil, nil)
	for _, spec := range []watermark.Spec{
		{Scheme: watermark.Gumbel},
		{Scheme: watermark.GumbelDual, PRF: watermark.Philox},
		{Scheme: watermark.KGW, Params: watermark.Params{Delta: 4}},
		{Scheme: watermark.Tournament},
		{Scheme: watermark.Gumbel, Params: watermark.Params{Contexts: watermark.WithPrompt}},
	} {
		t.Run(spec.Scheme+spec.Params.Contexts, func(t *testing.T) {
			t.Parallel()
			key, other := newKey(t, spec), newKey(t, spec)
			url := start(t, Options{Upstream: UpstreamOptions{URL: upstream.URL(), Candidates: 100}, Keys: OneKey(key)})
			var texts []string
			for i := range 4 {
				a := post(t, url, "/v1/completions", fmt.Sprintf(`{"model":"nova","prompt":"The harbour of town %d is","max_tokens":80,"stream":%t,"stream_options":{"include_usage":true}}`, i, i%2 == 0))
				if a.status != 200 || a.finish != "length" || a.usage.Completion != 80 || a.done != (i%2 == 0) {
					t.Fatalf("%+v", a)
				}
				texts = append(texts, a.text)
			}
			if p := detect(t, key, texts...); p > -6 {
				t.Errorf("log10 p is %.1f under the key", p)
			}
			if p := detect(t, other, texts...); p < -3.5 {
				t.Errorf("log10 p is %.1f under another key", p)
			}
		})
	}
}

// What is not done rightly is refused, by name.
func TestRefuses(t *testing.T) {
	t.Parallel()
	url := start(t, Options{Upstream: UpstreamOptions{URL: startUpstream(t, nil, nil).URL()}, Keys: OneKey(newKey(t, watermark.Spec{Scheme: watermark.Gumbel})), MaxTokens: 50, MaxBody: 2000})
	for _, c := range []struct {
		path, body string
		status     int
		says       string
	}{
		{"completions", `{"prompt":"a","n":2}`, 400, "n is not supported"},
		{"completions", `{"prompt":"a","logprobs":1}`, 400, "before the mark"},
		{"completions", `{"prompt":"a","logprobs":0}`, 400, "before the mark"},
		{"chat/completions", `{"messages":[{"role":"user","content":"a"}],"logprobs":true}`, 400, "before the mark"},
		{"completions", `{"prompt":"a","frequency_penalty":0.5}`, 400, "frequency_penalty"},
		{"completions", `{"prompt":"a","logit_bias":{"5":1}}`, 400, "logit_bias"},
		{"completions", `{"prompt":"a","response_format":{"type":"json_object"}}`, 400, "response_format"},
		{"completions", `{"prompt":"a","guided_json":{}}`, 400, "guided_json"},
		{"completions", `{"prompt":["a","b"]}`, 400, "one request for each"},
		{"completions", `{"prompt":[[1,2],[3]]}`, 400, "one request for each"},
		{"completions", `{"prompt":[1,100277]}`, 400, "token 100277"},
		{"completions", `{"prompt":""}`, 400, "no tokens"},
		{"completions", `{"prompt":"a","max_tokens":0}`, 400, "at least 1"},
		{"completions", `{"prompt":"a","max_tokens":51}`, 400, "at most 50"},
		{"completions", `{"prompt":"a","temperature":-1}`, 400, "temperature"},
		{"completions", `{"prompt":"a","top_p":0}`, 400, "top_p"},
		{"completions", `{"prompt":"a","temperature":"hot"}`, 400, "wrong type"},
		{"completions", `{"prompt":"a","stop":[""]}`, 400, "stop sequence"},
		{"completions", `{"prompt":"a","watermarking":false}`, 403, "always marked"},
		{"completions", `{"prompt":"a","model":"other"}`, 404, "there is nova"},
		{"completions", `{"prompt":"a"`, 400, "no JSON object"},
		{"completions", `{"prompt":"` + strings.Repeat("a", 3000) + `"}`, 413, "larger"},
		{"chat/completions", `{"messages":[]}`, 400, "1 to"},
		{"chat/completions", `{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, 400, "image_url"},
		{"chat/completions", `{"messages":[{"role":"user","content":"a"}],"tools":[{}]}`, 400, "tools"},
		{"chat/completions", `{"messages":[{"role":"user","content":"a"}],"tool_choice":"required"}`, 400, "tool_choice"},
		{"embeddings", `{}`, 404, "no such path"},
	} {
		a := post(t, url, "/v1/"+c.path, c.body)
		if a.status != c.status || !strings.Contains(a.errMsg, c.says) {
			t.Errorf("%.80s: %d %q, want %d %q", c.body, a.status, a.errMsg, c.status, c.says)
		}
	}
	// What asks for nothing is served.
	a := post(t, url, "/v1/completions", `{"prompt":["The harbour"],"n":1,"best_of":1,"echo":false,"logprobs":null,"presence_penalty":0,"logit_bias":{},"response_format":{"type":"text"},"user":"u","top_k":-1}`)
	if a.status != 200 || a.usage.Completion != completionTokens {
		t.Errorf("%+v", a)
	}
}

// script answers with the given tokens, one after another, whatever the prompt of n
// ids was, and then with <|endoftext|>.
func script(prompt int, ids ...int32) func([]int32, int) []refmodel.Alt {
	return func(seen []int32, n int) []refmodel.Alt {
		next := int32(endOfText)
		if at := len(seen) - prompt; at >= 0 && at < len(ids) {
			next = ids[at]
		}
		out := []refmodel.Alt{{ID: next, Logprob: math.Log(.999)}}
		for id := int32(0); len(out) < n; id++ {
			if id != next {
				out = append(out, refmodel.Alt{ID: id, Logprob: -30 - float64(id)})
			}
		}
		return out
	}
}

// A reply ends where the model, a stop sequence or a limit ends it, and is text.
func TestEnds(t *testing.T) {
	t.Parallel()
	words, err := encoding().Encode("Grüße aus 東京🙂, stop it")
	if err != nil {
		t.Fatal(err)
	}
	prompt, err := encoding().Encode("Once upon")
	if err != nil {
		t.Fatal(err)
	}
	special, _ := encoding().Special("<|fim_prefix|>")
	model := script(len(prompt), slices.Insert(slices.Clone(words), 2, special)...)
	upstream := startUpstream(t, model, &mock.Script{Models: map[string]mock.Personality{"nova": {MaxModelLen: 40}}})
	url := start(t, Options{Upstream: UpstreamOptions{URL: upstream.URL()}, Keys: OneKey(newKey(t, watermark.Spec{Scheme: watermark.Gumbel}))})
	for _, c := range []struct{ set, text, finish string }{
		{`"max_tokens":30`, "Grüße aus 東京🙂, stop it", "stop"},
		{`"max_tokens":30,"temperature":0`, "Grüße aus 東京🙂, stop it", "stop"},
		{`"max_tokens":39`, "Grüße aus 東京🙂, stop it", "stop"}, // more than the context has room for
		{`"max_tokens":30,"stop":"stop"`, "Grüße aus 東京🙂, ", "stop"},
		{`"max_tokens":30,"stop":["xyz","京"]`, "Grüße aus 東", "stop"},
		{fmt.Sprintf(`"max_tokens":30,"stop_token_ids":[%d]`, words[1]), string(encoding().Decode(words[:1])), "stop"},
		{`"max_tokens":4`, strings.ToValidUTF8(string(encoding().Decode(words[:3])), "\uFFFD"), "length"},
	} {
		for _, stream := range []bool{false, true} {
			a := post(t, url, "/v1/completions", fmt.Sprintf(`{"prompt":"Once upon","stream":%t,%s}`, stream, c.set))
			if a.text != c.text || a.finish != c.finish || a.done != stream {
				t.Errorf("%s, stream %t: %q %s, want %q %s", c.set, stream, a.text, a.finish, c.text, c.finish)
			}
			for _, chunk := range a.chunks {
				if c.finish == "stop" && strings.ContainsRune(chunk, '\uFFFD') {
					t.Errorf("a rune was cut: %q", a.chunks)
				}
			}
		}
	}
	long := strings.Repeat("1,", 40) + "1"
	if a := post(t, url, "/v1/completions", `{"prompt":[`+long+`]}`); a.status != 400 || !strings.Contains(a.errMsg, "context holds 40") {
		t.Errorf("%+v", a)
	}
}

// A seed repeats a reply, and a scheme that draws marks nothing at temperature 0.
func TestSeedAndGreedy(t *testing.T) {
	t.Parallel()
	key := newKey(t, watermark.Spec{Scheme: watermark.Tournament})
	var log lockedBuffer
	url := start(t, Options{
		Upstream: UpstreamOptions{URL: startUpstream(t, nil, nil).URL(), Candidates: 100}, Keys: OneKey(key), Log: slog.New(slog.NewJSONHandler(&log, nil)),
	})
	seeded := func(seed int) string {
		return post(t, url, "/v1/completions", fmt.Sprintf(`{"prompt":"The harbour","max_tokens":40,"seed":%d}`, seed)).text
	}
	if a, b, c := seeded(5), seeded(5), seeded(6); a != b || a == c {
		t.Errorf("seeds 5, 5, 6:\n%s\n%s\n%s", a, b, c)
	}
	if !strings.Contains(log.String(), `"policy":"marked"`) || strings.Contains(log.String(), "harbour") {
		t.Errorf("log: %s", log.String())
	}
	greedy := post(t, url, "/v1/completions", `{"prompt":"The harbour","max_tokens":20,"temperature":0}`)
	ids, err := encoding().Encode("The harbour")
	if err != nil {
		t.Fatal(err)
	}
	var want []int32
	for range 20 {
		want = append(want, reference().Top(slices.Concat(ids, want), 1)[0].ID)
	}
	if a := post(t, url, "/v1/completions", `{"prompt":"The harbour","max_tokens":20,"top_k":1}`); a.text != greedy.text || !strings.Contains(log.String(), `"reason":"top_k 1"`) {
		t.Errorf("top_k 1: %q", a.text)
	}
	if greedy.text != string(encoding().Decode(want)) || !strings.Contains(log.String(), `"reason":"temperature 0"`) {
		t.Errorf("%q, want %q", greedy.text, encoding().Decode(want))
	}
}

// lockedBuffer takes a log.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// When the upstream fails under way, the end of a stream is an error and no reason to
// stop; what passes is asked again.
func TestUpstreamFails(t *testing.T) {
	t.Parallel()
	checks := 2 // generation requests of the check at start
	for _, c := range []struct {
		name   string
		faults []mock.Fault
		whole  bool
		says   string
	}{
		{"503 once", []mock.Fault{{Kind: mock.FaultStatus, Status: 503, At: []int{checks + 5}}}, true, ""},
		{"429 with a pause", []mock.Fault{{Kind: mock.FaultStatus, Status: 429, Header: map[string]string{"Retry-After": "0.1"}, At: []int{checks + 5}}}, true, ""},
		{"dropped twice", []mock.Fault{{Kind: mock.FaultDrop, AfterBytes: 20, At: []int{checks + 5, checks + 6}}}, true, ""},
		{"503 for good", []mock.Fault{{Kind: mock.FaultStatus, Status: 503, From: checks + 5}}, false, "HTTP 503"},
		{"400", []mock.Fault{{Kind: mock.FaultStatus, Status: 400, From: checks + 5}}, false, "HTTP 400"},
		{"cut", []mock.Fault{{Kind: mock.FaultCut, AfterBytes: 30, From: checks + 5}}, false, "the upstream's answer"},
		{"HTML", []mock.Fault{{Kind: mock.FaultHTML, From: checks + 5}}, false, "the upstream's answer"},
		{"garbage", []mock.Fault{{Kind: mock.FaultGarbage, From: checks + 5}}, false, "the upstream's answer"},
		{"an error with status 200", []mock.Fault{{Kind: mock.FaultError200, From: checks + 5}}, false, "log-probabilities"},
		{"redirect", []mock.Fault{{Kind: mock.FaultRedirect, Location: "/elsewhere", From: checks + 5}}, false, "HTTP 307"},
		{"silence", []mock.Fault{{Kind: mock.FaultHang, From: checks + 5}}, false, "did not answer within"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			upstream := startUpstream(t, nil, &mock.Script{Faults: c.faults})
			url := start(t, Options{
				Upstream: UpstreamOptions{URL: upstream.URL(), StepTimeout: 500 * time.Millisecond},
				Keys:     OneKey(newKey(t, watermark.Spec{Scheme: watermark.Gumbel})),
			})
			a := post(t, url, "/v1/completions", `{"prompt":"The harbour","max_tokens":10,"stream":true}`)
			if c.whole {
				if !a.done || a.finish != "length" || a.errMsg != "" {
					t.Errorf("%+v", a)
				}
				return
			}
			if a.done || a.finish != "" || !strings.Contains(a.errMsg, c.says) || len(a.chunks) == 0 {
				t.Errorf("%+v", a)
			}
			if a := post(t, url, "/v1/completions", `{"prompt":"The harbour","max_tokens":10}`); a.status != 502 || a.text != "" || !strings.Contains(a.errMsg, c.says) {
				t.Errorf("not streamed: %+v", a)
			}
		})
	}
}

// A client that goes away, after however many bytes, ends the asking, and its place is
// free for the next.
func TestClientGoesAway(t *testing.T) {
	t.Parallel()
	slow := func(ids []int32, n int) []refmodel.Alt {
		time.Sleep(2 * time.Millisecond)
		return reference().Top(ids, n)
	}
	upstream := startUpstream(t, slow, nil)
	var log lockedBuffer
	h := startServer(t, Options{
		Upstream: UpstreamOptions{URL: upstream.URL()}, Keys: OneKey(newKey(t, watermark.Spec{Scheme: watermark.Gumbel})),
		MaxConcurrent: 2, Log: slog.New(slog.NewJSONHandler(&log, nil)),
	})
	rounds := 0
	for cut := 0; cut < 1200; cut += 75 {
		c, err := net.Dial("tcp", h.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		const body = `{"prompt":"The harbour","max_tokens":5000,"stream":true}`
		fmt.Fprintf(c, "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		if _, err := io.ReadFull(c, make([]byte, cut)); err != nil {
			t.Fatal(err)
		}
		c.Close()
		rounds++
		for deadline := time.Now().Add(5 * time.Second); strings.Count(log.String(), `"status":499`) < rounds; {
			if time.Now().After(deadline) {
				t.Fatalf("after %d bytes the gateway goes on: %s", cut, log.String())
			}
			time.Sleep(time.Millisecond)
		}
	}
	if n := len(upstream.Requests()); n > rounds*100 {
		t.Errorf("the upstream was asked %d times by %d clients that went away", n, rounds)
	}
}

// What is more than the gateway takes gets 429, and is served when there is room.
func TestBackPressure(t *testing.T) {
	t.Parallel()
	hold, held := make(chan struct{}), make(chan struct{})
	var asked atomic.Int32
	model := func(ids []int32, n int) []refmodel.Alt {
		switch asked.Add(1) {
		case 1, 2: // the check at start
		case 3:
			close(held)
			<-hold
		}
		return reference().Top(ids, n)
	}
	url := start(t, Options{Upstream: UpstreamOptions{URL: startUpstream(t, model, nil).URL()}, Keys: OneKey(newKey(t, watermark.Spec{Scheme: watermark.Gumbel})), MaxConcurrent: 1})
	first := make(chan answer)
	go func() { first <- post(t, url, "/v1/completions", `{"prompt":"The harbour","max_tokens":1}`) }()
	<-held
	if a := post(t, url, "/v1/completions", `{"prompt":"The harbour","max_tokens":1}`); a.status != 429 || a.header.Get("Retry-After") != "1" {
		t.Errorf("%+v", a)
	}
	close(hold)
	if a := <-first; a.status != 200 {
		t.Errorf("%+v", a)
	}
	if a := post(t, url, "/v1/completions", `{"prompt":"The harbour","max_tokens":1}`); a.status != 200 {
		t.Errorf("%+v", a)
	}
}
