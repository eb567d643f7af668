package endpoint

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/ledger"
)

// TestCapabilities asks mock servers of several personalities.
func TestCapabilities(t *testing.T) {
	t.Parallel()
	all := map[string]string{
		CapChat: Yes, CapCompletions: Yes, CapStream: Yes, CapUsage: Yes, CapStreamUsage: Yes, CapSeed: Yes, CapTemperatureZero: Yes,
		CapMaxTokens: Yes, CapLogprobs: Yes, CapEchoLogprobs: Yes, CapPromptLogprobs: Yes, CapSystemPrompt: Yes, CapModelName: Yes,
	}
	for _, tt := range []struct {
		name   string
		person mock.Personality
		faults []mock.Fault
		but    map[string]string // what differs from all yes
	}{
		{name: "capable"},
		{name: "busy at first", faults: []mock.Fault{{Kind: mock.FaultStatus, At: []int{1, 4}, Status: 429, Header: map[string]string{"Retry-After-Ms": "1"}}, {Kind: mock.FaultStatus, At: []int{7}, Status: 503, Header: map[string]string{"Retry-After": "0"}}}},
		{name: "ignores the seed", person: mock.Personality{IgnoreSeed: true}, but: map[string]string{CapSeed: No}},
		{name: "no logprobs", person: mock.Personality{NoLogprobs: true}, but: map[string]string{CapLogprobs: No, CapEchoLogprobs: No, CapPromptLogprobs: No}},
		{name: "no echo", person: mock.Personality{NoEcho: true}, but: map[string]string{CapEchoLogprobs: No}},
		{name: "chat only", person: mock.Personality{NoCompletions: true}, but: map[string]string{CapCompletions: No, CapEchoLogprobs: No}},
		{name: "no usage", person: mock.Personality{NoUsage: true}, but: map[string]string{CapUsage: No, CapStreamUsage: No}},
		{name: "no stream", person: mock.Personality{NoStream: true}, but: map[string]string{CapStream: No, CapStreamUsage: Unknown}},
		{name: "no system prompt", person: mock.Personality{NoSystem: true}, but: map[string]string{CapSystemPrompt: No}},
		{name: "no temperature 0", person: mock.Personality{NoZeroTemp: true}, but: map[string]string{CapTemperatureZero: No}},
		{name: "ignores max_tokens", person: mock.Personality{IgnoreMax: true}, but: map[string]string{CapMaxTokens: No}},
		{name: "another name", person: mock.Personality{ReportAs: "luna"}, but: map[string]string{CapModelName: No}},
		{name: "content parts", person: mock.Personality{ContentParts: true, Fingerprint: "fp_1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, mock.Options{Script: &mock.Script{Models: map[string]mock.Personality{"nova": tt.person}, Faults: tt.faults}})
			caps, err := Test(t.Context(), target(s.URL()), Options{})
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range all {
				if w, ok := tt.but[name]; ok {
					want = w
				}
				got := caps.Support[name]
				if got.State != want {
					t.Errorf("%s: %s (%s), want %s", name, got.State, got.Detail, want)
				}
				if got.State != Yes && got.Detail == "" {
					t.Errorf("%s: %s without a reason", name, got.State)
				}
			}
			if len(caps.Support) != len(all) || caps.Model == "" || caps.TestedAt.IsZero() || caps.LatencyMS <= 0 || caps.Fingerprint != tt.person.Fingerprint {
				t.Errorf("%+v", caps)
			}
			if n := len(s.Requests()); n > 14 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// refusing is a server that refuses requests with a member it does not know, and
// answers others with a fixed text.
func refusing(t *testing.T, refuse func(path, body string) (int, string), text string) *httptest.Server {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/models" {
			w.Write([]byte(`{"data":[{"id":"other","max_model_len":9},{"id":"nova","max_model_len":8192}]}`))
			return
		}
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		body := string(raw)
		if status, why := refuse(r.URL.Path, body); status != 0 {
			w.WriteHeader(status)
			w.Write([]byte(`{"error":{"message":"` + why + `"}}`))
			return
		}
		if strings.Contains(body, `"stream":true`) {
			w.Write([]byte(sseText + sseEnd + sseDone))
			return
		}
		if strings.HasSuffix(r.URL.Path, "/chat/completions") {
			w.Write([]byte(`{"model":"nova","choices":[{"message":{"content":"` + text + `"},"finish_reason":"stop"}]}`))
			return
		}
		w.Write([]byte(`{"model":"nova","choices":[{"text":"` + text + `","finish_reason":"stop"}]}`))
	}))
	t.Cleanup(srv.Close)
	return srv
}

func TestCapabilitiesOfOtherServers(t *testing.T) {
	t.Parallel()
	has := strings.Contains
	for _, tt := range []struct {
		name   string
		refuse func(path, body string) (int, string)
		want   map[string]string
	}{
		{
			name: "refuses the seed", refuse: func(_, body string) (int, string) {
				if has(body, `"seed"`) {
					return 422, "extra fields: seed"
				}
				return 0, ""
			}, want: map[string]string{CapChat: Yes, CapSeed: No, CapTemperatureZero: Yes, CapMaxTokens: Unknown},
		},
		{
			name: "refuses seed and temperature", refuse: func(_, body string) (int, string) {
				if has(body, `"seed"`) || has(body, `"temperature"`) {
					return 400, "unsupported"
				}
				return 0, ""
			}, want: map[string]string{CapChat: Yes, CapSeed: No, CapTemperatureZero: No, CapCompletions: Yes, CapLogprobs: No},
		},
		{
			name: "refuses stream_options", refuse: func(_, body string) (int, string) {
				if has(body, `"stream_options"`) {
					return 400, "stream_options"
				}
				return 0, ""
			}, want: map[string]string{CapStream: Yes, CapStreamUsage: No, CapSeed: No, CapSystemPrompt: Unknown, CapUsage: No},
		},
		{
			name: "completions only", refuse: func(path, _ string) (int, string) {
				if strings.HasSuffix(path, "/chat/completions") {
					return 400, "no chat template"
				}
				return 0, ""
			}, want: map[string]string{CapChat: No, CapCompletions: Yes, CapSystemPrompt: Unknown, CapEchoLogprobs: No},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := refusing(t, tt.refuse, "always the same")
			caps, err := Test(t.Context(), target(srv.URL+"/v1"), Options{})
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range tt.want {
				if got := caps.Support[name]; got.State != want {
					t.Errorf("%s: %s (%s), want %s", name, got.State, got.Detail, want)
				}
			}
			if caps.ContextLimit != 8192 {
				t.Errorf("context limit %d", caps.ContextLimit)
			}
		})
	}
}

func TestCapabilityErrors(t *testing.T) {
	t.Parallel()
	status := func(code int, why string) string {
		return refusing(t, func(string, string) (int, string) { return code, why }, "").URL + "/v1"
	}
	for _, tt := range []struct {
		url, says string
		want      ledger.Outcome
	}{
		{status(401, "bad key"), "HTTP 401: bad key; set ACME_API_KEY", ledger.Auth},
		{status(402, "no money"), "top up", ledger.Quota},
		{status(404, "no such model"), "neither chats nor completions (HTTP 404: no such model); check the base URL", ledger.Rejected},
		{"http://127.0.0.1:1/v1", "nothing listens", ledger.Transport},
	} {
		tg := target(tt.url)
		tg.APIKeyEnv = "ACME_API_KEY"
		_, err := Test(t.Context(), tg, Options{LookupEnv: func(string) string { return plantedKey }})
		var fault *TargetError
		if !errors.As(err, &fault) || fault.Outcome != tt.want || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", tt.url, err)
		}
	}
	var config *ConfigError
	if _, err := Test(t.Context(), ledger.Target{Name: "x"}, Options{}); !errors.As(err, &config) {
		t.Errorf("%v", err)
	}
}

func TestContextLength(t *testing.T) {
	t.Parallel()
	for list, want := range map[string]int{
		`{"data":[{"id":"nova","max_model_len":4096}]}`:        4096,
		`{"data":[{"id":"nova","context_length":32768}]}`:      32768,
		`{"data":[{"id":"nova","max_context_length":9}]}`:      9,
		`{"data":[{"id":"nova","meta":{"n_ctx_train":2048}}]}`: 2048,
		`{"data":[{"id":"nova"}]}`:                             0,
		`{"data":[{"id":"nova","max_model_len":-4}]}`:          0,
		`{"data":[{"id":"luna","max_model_len":4096}]}`:        -1,
		`{`: -1,
		``:  -1,
	} {
		n, err := contextLength([]byte(list), "nova")
		if (err != nil) != (want < 0) || err == nil && n != want {
			t.Errorf("%s: %d %v", list, n, err)
		}
	}
}
