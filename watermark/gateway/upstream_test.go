package gateway

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/corpora/refmodel"
	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/watermark"
)

// upstreamModel is a model behind the mock server: it answers one token at a time with
// the distribution that next gives.
type upstreamModel struct {
	*tokens.Encoding
	next func(ids []int32, n int) []refmodel.Alt
}

func (m *upstreamModel) Generate(_ context.Context, req mock.GenRequest, emit func(mock.Piece) error) (string, error) {
	p := mock.Piece{}
	// As vLLM does: beside those asked for the token that was sampled, here the next one.
	for _, alt := range m.next(req.PromptIDs, max(1, req.Logprobs)+1) {
		p.Top = append(p.Top, mock.Alt{Token: alt.ID, Logprob: alt.Logprob})
	}
	p.Token, p.Logprob = p.Top[0].Token, p.Top[0].Logprob
	return "length", emit(p)
}

// encoding is the tokenizer of the reference model.
var encoding = sync.OnceValue(func() *tokens.Encoding {
	enc, err := tokens.Get("cl100k")
	if err != nil {
		panic(err)
	}
	return enc
})

// reference is the reference model.
var reference = sync.OnceValue(func() *refmodel.Model {
	var docs [][]int32
	for part := range strings.SplitSeq(corpora.GenerateText(7, "", 600_000), corpora.DocumentBreak) {
		ids, err := encoding().Encode(part)
		if err != nil {
			panic(err)
		}
		docs = append(docs, ids)
	}
	m, err := refmodel.Train(docs, refmodel.Options{Vocab: encoding().VocabSize()})
	if err != nil {
		panic(err)
	}
	return m
})

func startUpstream(t testing.TB, next func(ids []int32, n int) []refmodel.Alt, script *mock.Script) *mock.Server {
	t.Helper()
	if next == nil {
		next = reference().Top
	}
	s, err := mock.New(mock.Options{Models: map[string]mock.Generator{"nova": &upstreamModel{encoding(), next}}, Script: script, NoLog: *overhead})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func newKey(t testing.TB, spec watermark.Spec) *watermark.Key {
	t.Helper()
	enc := encoding()
	spec.Model, spec.Tokenizer, spec.TokenizerSHA256, spec.Vocab = "nova", enc.Name(), enc.SHA256(), enc.VocabSize()
	k, err := watermark.NewKey(spec, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// start puts a gateway before an upstream and gives its URL.
func start(t testing.TB, o Options) string {
	t.Helper()
	return startServer(t, o).URL
}

func startServer(t testing.TB, o Options) *httptest.Server {
	t.Helper()
	o.Tokenizer = encoding()
	if o.Ends == nil {
		o.Ends = []int32{endOfText}
	}
	s, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return h
}

// endOfText is cl100k's <|endoftext|>.
const endOfText = 100257

// answer is what a client gets.
type answer struct {
	status int
	header http.Header
	text   string
	finish string
	usage  usage
	errMsg string
	done   bool // [DONE] came
	chunks []string
}

// post asks the gateway, and reads the reply, streamed or not.
func post(t testing.TB, url, path, body string) answer {
	t.Helper()
	return postAs(t, url, path, body, "")
}

func postAs(t testing.TB, url, path, body, key string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	a := answer{status: response.StatusCode, header: response.Header}
	if !strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		data, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		a.take(t, data)
		return a
	}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		switch {
		case data == "[DONE]":
			a.done = true
		case ok:
			a.take(t, []byte(data))
		case lines.Text() != "":
			t.Errorf("a line of no event: %q", lines.Text())
		}
	}
	return a
}

func (a *answer) take(t testing.TB, data []byte) {
	t.Helper()
	var in struct {
		Choices []struct {
			Text           string
			Message, Delta struct{ Content string }
			Finish         *string `json:"finish_reason"`
		}
		Usage *usage
		Error *struct{ Message string }
	}
	if err := json.Unmarshal(data, &in); err != nil {
		t.Fatalf("%v in %q", err, data)
	}
	for _, c := range in.Choices {
		text := c.Text + c.Message.Content + c.Delta.Content
		a.text += text
		a.chunks = append(a.chunks, text)
		if c.Finish != nil {
			a.finish = *c.Finish
		}
	}
	if in.Usage != nil {
		a.usage = *in.Usage
	}
	if in.Error != nil {
		a.errMsg = in.Error.Message
	}
}
