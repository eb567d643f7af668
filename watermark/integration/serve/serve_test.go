package serve_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/watermark/integration/llama"
	"github.com/stillmark/stillmark/watermark/integration/models"
	"github.com/stillmark/stillmark/watermark/integration/serve"
)

// start serves the teacher on loopback.
func start(t *testing.T) (*llama.Model, string) {
	t.Helper()
	models.Init(t)
	m, err := llama.Open(models.Find(t).Teacher, llama.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(serve.New(serve.Served{Name: "teacher", Model: m}))
	t.Cleanup(func() {
		s.Close()
		m.Close()
	})
	return m, s.URL
}

func post(t *testing.T, url, body string) (int, []byte) {
	t.Helper()
	response, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, data
}

func decode[T any](t *testing.T, url, body string) (v T) {
	t.Helper()
	status, data := post(t, url, body)
	if status != http.StatusOK {
		t.Fatalf("%s: HTTP %d: %s", body, status, data)
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return v
}

type completion struct {
	Choices []struct {
		Text     string
		Message  struct{ Content string }
		Finish   string  `json:"finish_reason"`
		TokenIDs []int32 `json:"token_ids"`
		Logprobs struct {
			Tokens   []string
			Logprobs []float64            `json:"token_logprobs"`
			Top      []map[string]float64 `json:"top_logprobs"`
		}
	}
	Usage struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
	}
}

// The forms of the wire say the same: text and ids as prompt, completions and chats,
// whole and streamed, vLLM's names and llama.cpp's.
func TestForms(t *testing.T) {
	m, url := start(t)
	const text = " river market stone"
	prompt, err := m.Tokenize(text)
	if err != nil {
		t.Fatal(err)
	}
	ids, _ := json.Marshal(prompt)
	const rest = `"max_tokens":24,"temperature":1,"seed":7`
	byText := decode[completion](t, url+"/v1/completions", fmt.Sprintf(`{"prompt":%q,%s}`, text, rest))
	byIDs := decode[completion](t, url+"/v1/completions", fmt.Sprintf(`{"model":"teacher","prompt":%s,"return_token_ids":true,%s}`, ids, rest))
	chat := decode[completion](t, url+"/v1/chat/completions", fmt.Sprintf(`{"messages":[{"role":"user","content":%q}],%s}`, text, rest))
	if byText.Choices[0].Text == "" || byText.Choices[0].Text != byIDs.Choices[0].Text || byText.Choices[0].Text != chat.Choices[0].Message.Content {
		t.Errorf("text %q, ids %q, chat %q", byText.Choices[0].Text, byIDs.Choices[0].Text, chat.Choices[0].Message.Content)
	}
	if byIDs.Usage.Prompt != len(prompt) || byIDs.Usage.Completion != len(byIDs.Choices[0].TokenIDs) {
		t.Errorf("usage %+v of %d and %d tokens", byIDs.Usage, len(prompt), len(byIDs.Choices[0].TokenIDs))
	}

	_, stream := post(t, url+"/v1/chat/completions", fmt.Sprintf(`{"stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":%q}],%s}`, text, rest))
	var streamed strings.Builder
	events := strings.Split(strings.TrimSuffix(string(stream), "\n\n"), "\n\n")
	for _, event := range events[:len(events)-1] {
		var e struct {
			Choices []struct{ Delta struct{ Content string } }
			Usage   *struct{}
		}
		if err := json.Unmarshal([]byte(strings.TrimPrefix(event, "data: ")), &e); err != nil {
			t.Fatal(err)
		}
		for _, c := range e.Choices {
			streamed.WriteString(c.Delta.Content)
		}
	}
	if events[len(events)-1] != "data: [DONE]" || streamed.String() != byText.Choices[0].Text {
		t.Errorf("the stream says %q and ends in %q", streamed.String(), events[len(events)-1])
	}

	for _, body := range []string{fmt.Sprintf(`{"prompt":%q}`, text), fmt.Sprintf(`{"content":%q}`, text), fmt.Sprintf(`{"messages":[{"role":"user","content":[{"type":"text","text":%q}]}]}`, text)} {
		got := decode[struct{ Tokens []int32 }](t, url+"/tokenize", body)
		if !slices.Equal(got.Tokens, prompt) {
			t.Errorf("%s: tokens %v, want %v", body, got.Tokens, prompt)
		}
	}
	template := decode[struct{ Prompt string }](t, url+"/apply-template", fmt.Sprintf(`{"messages":[{"role":"system","content":"a"},{"role":"user","content":%q}]}`, text))
	if template.Prompt != "a\n"+text {
		t.Errorf("template %q", template.Prompt)
	}
}

// The log-probabilities are a distribution, the same on both wires, and do not depend
// on how the token was drawn.
func TestLogprobs(t *testing.T) {
	m, url := start(t)
	all := decode[completion](t, url+"/v1/completions", fmt.Sprintf(`{"prompt":[300,310],"max_tokens":1,"temperature":0,"logprobs":%d,"return_tokens_as_token_ids":true}`, m.Vocab()))
	top := all.Choices[0].Logprobs.Top[0]
	if len(top) != m.Vocab() {
		t.Fatalf("%d candidates of %d", len(top), m.Vocab())
	}
	var sum float64
	best := math.Inf(-1)
	for _, l := range top {
		sum += math.Exp(l)
		best = max(best, l)
	}
	if math.Abs(sum-1) > 1e-9 || all.Choices[0].Logprobs.Logprobs[0] != best || top[all.Choices[0].Logprobs.Tokens[0]] != best {
		t.Errorf("the probabilities sum to %v; the greedy token has %v, the best %v", sum, all.Choices[0].Logprobs.Logprobs[0], best)
	}
	other := decode[struct {
		Steps []struct {
			ID      int32
			Logprob float64
			Top     []struct {
				ID      int32
				Logprob float64
			} `json:"top_logprobs"`
		} `json:"completion_probabilities"`
	}](t, url+"/completion", `{"prompt":[300,310],"n_predict":1,"temperature":5,"n_probs":5}`)
	if len(other.Steps) != 1 || len(other.Steps[0].Top) != 5 {
		t.Fatalf("%+v", other)
	}
	for _, c := range append(other.Steps[0].Top, struct {
		ID      int32
		Logprob float64
	}{other.Steps[0].ID, other.Steps[0].Logprob}) {
		if want := top[fmt.Sprintf("token_id:%d", c.ID)]; math.Abs(want-c.Logprob) > 1e-4 {
			t.Errorf("token %d: %v and %v", c.ID, c.Logprob, want)
		}
	}
	if other.Steps[0].Top[0].Logprob != best && math.Abs(other.Steps[0].Top[0].Logprob-best) > 1e-4 {
		t.Errorf("the first candidate has %v, the best is %v", other.Steps[0].Top[0].Logprob, best)
	}
	few := decode[completion](t, url+"/v1/completions", `{"prompt":[300,310],"max_tokens":6,"seed":1,"logprobs":2,"return_tokens_as_token_ids":true}`)
	for i, c := range few.Choices[0].Logprobs.Top {
		if _, there := c[few.Choices[0].Logprobs.Tokens[i]]; !there || len(c) > 3 || len(c) < 2 {
			t.Errorf("candidates %v beside %s", c, few.Choices[0].Logprobs.Tokens[i])
		}
	}
}

// Whatever is not served is refused in a sentence.
func TestRefuses(t *testing.T) {
	m, url := start(t)
	long, _ := json.Marshal(make([]int32, m.Context()+1))
	for _, c := range []struct {
		path, body, says string
		status           int
	}{
		{"/v1/completions", `{"prompt":"a","model":"other"}`, "does not exist", 404},
		{"/v1/completions", `{"prompt":""}`, "no tokens", 400},
		{"/v1/completions", `{}`, "prompt is missing", 400},
		{"/v1/completions", `{"prompt":{}}`, "string or an array", 400},
		{"/v1/completions", `{"prompt":[99999999]}`, "outside the vocabulary", 400},
		{"/v1/completions", `{"prompt":` + string(long) + `}`, "does not fit", 400},
		{"/v1/completions", `{"prompt":"a\u0000"}`, "byte 0", 400},
		{"/v1/completions", `{"prompt":"a","n":2}`, "n must be 1", 400},
		{"/v1/completions", `{"prompt":"a","stop":["x"]}`, "not served", 400},
		{"/v1/completions", `{"prompt":"a","max_tokens":0}`, "max_tokens", 400},
		{"/v1/completions", `{"prompt":"a","temperature":-1}`, "temperature", 400},
		{"/v1/completions", `{"prompt":"a","presence_penalty":1}`, "penalties", 400},
		{"/v1/completions", `{"prompt":"a","logprobs":9999}`, "candidates", 400},
		{"/v1/completions", `{"prompt":`, "not valid", 400},
		{"/v1/chat/completions", `{"messages":[]}`, "empty", 400},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, "image_url", 400},
		{"/completion", `{"prompt":"a"}`, "n_predict", 400},
	} {
		status, data := post(t, url+c.path, c.body)
		if status != c.status || !bytes.Contains(data, []byte(c.says)) {
			t.Errorf("%s: HTTP %d %s, want %d and %q", c.body[:min(len(c.body), 60)], status, data, c.status, c.says)
		}
	}
}
