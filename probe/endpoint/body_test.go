package endpoint

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/wire"
)

// TestBodyIsThePlan: nil is not sent, zeros are, and nothing else.
func TestBodyIsThePlan(t *testing.T) {
	t.Parallel()
	noUsage := &ledger.Capabilities{Support: map[string]ledger.Support{CapStreamUsage: {State: No}}}
	for _, tt := range []struct {
		name   string
		preset string
		caps   *ledger.Capabilities
		req    Request
		want   string
	}{
		{
			name: "least", req: Request{Prompt: "hi <b> & \u2028 ünï"},
			want: `{"model":"nova","messages":[{"role":"user","content":"hi <b> & \u2028 ünï"}],"max_tokens":0,"stream":false}`,
		},
		{
			name: "zeros", req: Request{Prompt: "hi", Params: ledger.Params{Temperature: ptr(0.0), TopP: ptr(0.0), Seed: ptr(int64(0))}},
			want: `{"model":"nova","messages":[{"role":"user","content":"hi"}],"max_tokens":0,"temperature":0,"top_p":0,"seed":0,"stream":false}`,
		},
		{
			name: "all", req: Request{
				System: "sys", Prompt: "hi", Sample: 3,
				Params: ledger.Params{
					MaxTokens: 9, Temperature: ptr(0.7), TopP: ptr(1.0), Seed: ptr(int64(-5)), Stream: true,
					Logprobs: ptr(0), PromptLogprobs: ptr(3), User: "u-1", Metadata: map[string]string{"b": "2", "a": "1"},
				},
				Extra: map[string]json.RawMessage{"z": json.RawMessage(`{"a":[1]}`), "b": json.RawMessage(`null`)},
			},
			want: `{"model":"nova","messages":[{"role":"system","content":"sys"},{"role":"user","content":"hi"}],"max_tokens":9,"temperature":0.7,"top_p":1,"seed":-2,"stream":true,` +
				`"stream_options":{"include_usage":true},"logprobs":true,"top_logprobs":0,"prompt_logprobs":3,"user":"u-1","metadata":{"a":"1","b":"2"},"b":null,"z":{"a":[1]}}`,
		},
		{
			name: "completion", req: Request{Kind: wire.Completion, Prompt: "hi", Params: ledger.Params{MaxTokens: 1, Echo: true, Logprobs: ptr(2)}},
			want: `{"model":"nova","prompt":"hi","max_tokens":1,"stream":false,"logprobs":2,"echo":true}`,
		},
		{
			name: "openai", preset: "openai", req: Request{Prompt: "hi", Params: ledger.Params{MaxTokens: 5}},
			want: `{"model":"nova","messages":[{"role":"user","content":"hi"}],"max_completion_tokens":5,"stream":false}`,
		},
		{
			name: "mistral", preset: "mistral", req: Request{Prompt: "hi", Params: ledger.Params{MaxTokens: 5, Seed: ptr(int64(1)), Stream: true}},
			want: `{"model":"nova","messages":[{"role":"user","content":"hi"}],"max_tokens":5,"random_seed":1,"stream":true}`,
		},
		{
			name: "tested without stream usage", caps: noUsage, req: Request{Prompt: "hi", Params: ledger.Params{MaxTokens: 5, Stream: true}},
			want: `{"model":"nova","messages":[{"role":"user","content":"hi"}],"max_tokens":5,"stream":true}`,
		},
	} {
		tg := target("http://127.0.0.1:1/v1")
		tg.Preset, tg.Capabilities = tt.preset, tt.caps
		p, err := client(t, tg, Options{}).Prepare(tt.req)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		// encoding/json writes U+2028 escaped whatever is asked of it.
		if got := string(p.Body); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
		if !json.Valid(p.Body) {
			t.Errorf("%s: not JSON", tt.name)
		}
	}
}

// TestWhatArrives: the server receives the very bytes that Prepare gave.
func TestWhatArrives(t *testing.T) {
	t.Parallel()
	s := start(t, mock.Options{})
	c := client(t, target(s.URL()+"/"), Options{})
	for _, kind := range []string{wire.Chat, wire.Completion} {
		for _, stream := range []bool{false, true} {
			r := request(stream)
			r.Kind = kind
			r.Params.Temperature = ptr(0.0)
			p, err := c.Prepare(r)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(s.Requests()); n > 0 && string(s.Requests()[n-1].Body) == string(p.Body) {
				t.Error("Prepare has sent the request")
			}
			a := p.Do(t.Context())
			log := s.Requests()
			if got := log[len(log)-1]; string(got.Body) != string(p.Body) || string(a.Request) != string(p.Body) || !strings.HasSuffix(p.URL, got.Path) {
				t.Errorf("sent %s to %s, received %s at %s", p.Body, p.URL, got.Body, got.Path)
			}
			if a.Meta.Outcome != ledger.OK || a.Meta.Kind != kind || a.Meta.Stream != stream || a.Meta.Status != 200 || !a.Meta.Complete {
				t.Errorf("%+v", a.Meta)
			}
		}
	}
}

func TestPrepareRefuses(t *testing.T) {
	t.Parallel()
	tg := target("http://127.0.0.1:1/v1")
	tg.APIKeyEnv = "K"
	c := client(t, tg, Options{LookupEnv: func(string) string { return plantedKey }})
	for name, r := range map[string]Request{
		"unknown kind":            {Kind: "image"},
		"echo of a chat":          {Params: ledger.Params{Echo: true}},
		"system of a completion":  {Kind: wire.Completion, System: "x"},
		"not UTF-8":               {Prompt: "\xff"},
		"negative limit":          {Params: ledger.Params{MaxTokens: -1}},
		"not a number":            {Params: ledger.Params{Temperature: ptr(math.NaN())}},
		"seed out of range":       {Sample: 1, Params: ledger.Params{Seed: ptr(int64(math.MaxInt64))}},
		"member said twice":       {Extra: map[string]json.RawMessage{"model": json.RawMessage(`"x"`)}},
		"broken member":           {Extra: map[string]json.RawMessage{"x": json.RawMessage(`{`)}},
		"the key in the prompt":   {Prompt: "use " + plantedKey},
		"the key in a member":     {Extra: map[string]json.RawMessage{"x": json.RawMessage(`"` + plantedKey + `"`)}},
		"the key in system words": {System: plantedKey},
	} {
		r.Item = "item-9"
		p, err := c.Prepare(r)
		if err == nil {
			t.Errorf("%s: %s", name, p.Body)
			continue
		}
		if !strings.Contains(err.Error(), "item-9") || strings.Contains(err.Error(), plantedKey) {
			t.Errorf("%s: %v", name, err)
		}
		if a := c.Send(t.Context(), r); a.Meta.Outcome != ledger.Rejected || a.Meta.Status != 0 || a.Meta.Detail == "" || a.Meta.Outcome != a.Reply.Outcome {
			t.Errorf("%s: sent: %+v", name, a.Meta)
		}
	}
}
