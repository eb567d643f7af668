package endpoint

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/probe/ledger"
)

func TestConfigErrors(t *testing.T) {
	t.Parallel()
	env := map[string]string{"GOOD": plantedKey, "SPACE": "sk-abc def-0123456789\n"}
	for _, tt := range []struct {
		name, says string
		change     func(*ledger.Target)
	}{
		{"no URL", "no base URL", func(t *ledger.Target) { t.BaseURL = "" }},
		{"no scheme", "no http or https", func(t *ledger.Target) { t.BaseURL = "api.acme.com/v1" }},
		{"another scheme", "no http or https", func(t *ledger.Target) { t.BaseURL = "ftp://api.acme.com/v1" }},
		{"unreadable", "no http or https", func(t *ledger.Target) { t.BaseURL = "http://a b" }},
		{"password", "user name or password", func(t *ledger.Target) { t.BaseURL = "https://me:hunter2@api.acme.com/v1" }},
		{"query", "query", func(t *ledger.Target) { t.BaseURL = "https://api.acme.com/v1?key=hunter2" }},
		{"whole path", "leave that off: https://api.acme.com/v1", func(t *ledger.Target) { t.BaseURL = "https://api.acme.com/v1/chat/completions" }},
		{"no model", "no model", func(t *ledger.Target) { t.Model = "" }},
		{"key not set", "ACME_API_KEY is not set; set it to the API key for https://api.acme.com/v1, then run the same command again", func(t *ledger.Target) { t.APIKeyEnv = "ACME_API_KEY" }},
		{"key with white space", "white space", func(t *ledger.Target) { t.APIKeyEnv = "SPACE" }},
		{"key over plain HTTP", "unencrypted", func(t *ledger.Target) { t.APIKeyEnv, t.BaseURL = "GOOD", "http://api.acme.com/v1" }},
		{"unknown preset", "known presets are alibaba, anthropic", func(t *ledger.Target) { t.Preset = "acme" }},
	} {
		tg := target("https://api.acme.com/v1")
		tt.change(&tg)
		_, err := New(tg, Options{LookupEnv: func(k string) string { return env[k] }})
		var config *ConfigError
		if !errors.As(err, &config) || config.Target != "acme-nova" || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if s := err.Error(); strings.Contains(s, "hunter2") || strings.Contains(s, "sk-") {
			t.Errorf("%s: the error shows a secret: %s", tt.name, s)
		}
	}
	for _, url := range []string{"http://127.0.0.1:8000/v1", "http://[::1]:8000/v1", "http://gpu-box:8000/v1", "http://10.1.2.3/v1", "http://llm.internal/v1", "https://api.acme.com/v1/"} {
		tg := target(url)
		tg.APIKeyEnv = "GOOD"
		if _, err := New(tg, Options{LookupEnv: func(k string) string { return env[k] }}); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestKeyFromTheEnvironment(t *testing.T) {
	t.Setenv("STILLMARK_TEST_KEY", plantedKey)
	tg := target("https://api.acme.com/v1")
	tg.APIKeyEnv = "STILLMARK_TEST_KEY"
	var got string
	c, err := New(tg, Options{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		got = r.Header.Get("Authorization")
		return response(r, 200, nil, 0, `{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}`), nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	if a := c.Send(t.Context(), request(false)); a.Meta.Outcome != ledger.OK || got != "Bearer "+plantedKey {
		t.Errorf("%+v", a.Meta)
	}
}

func TestPresets(t *testing.T) {
	t.Parallel()
	want := []string{"alibaba", "anthropic", "deepseek", "llamacpp", "minimax", "mistral", "moonshot", "ollama", "openai", "openrouter", "sglang", "together", "vllm", "xai"}
	all := Presets()
	if len(all) != len(want) {
		t.Fatalf("%d presets", len(all))
	}
	none := func(string) string { return "" }
	for i, p := range all {
		if p.Name != want[i] {
			t.Errorf("preset %d is %s, want %s", i, p.Name, want[i])
		}
		tg := p.Target("t", "m", none)
		if _, err := New(tg, Options{LookupEnv: func(string) string { return plantedKey }}); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		if p.KeyOptional != (tg.APIKeyEnv == "") || p.KeyOptional != strings.HasPrefix(p.BaseURL, "http://127.0.0.1:") {
			t.Errorf("%s: key %q, base URL %s", p.Name, tg.APIKeyEnv, p.BaseURL)
		}
		tg = p.Target("t", "m", func(k string) string {
			switch k {
			case p.BaseURLEnv:
				return "https://proxy.acme.com/v1"
			case p.APIKeyEnv:
				return "x"
			}
			return ""
		})
		if tg.BaseURL != "https://proxy.acme.com/v1" || tg.APIKeyEnv != p.APIKeyEnv || tg.Preset != p.Name {
			t.Errorf("%s: %+v", p.Name, tg)
		}
		if got, ok := FindPreset(strings.ToUpper(p.Name)); !ok || got != p {
			t.Errorf("%s is not found", p.Name)
		}
	}
	all[0].Name = "changed"
	if Presets()[0].Name != "alibaba" {
		t.Error("the list can be changed from outside")
	}
	if k, u := EnvNames("acme-labs.v2"); k != "ACME_LABS_V2_API_KEY" || u != "ACME_LABS_V2_BASE_URL" {
		t.Errorf("%s %s", k, u)
	}
	if _, ok := FindPreset("acme"); ok {
		t.Error("acme is a preset")
	}
}
