package endpoint

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/wire"
)

func TestSecretCannotPrint(t *testing.T) {
	t.Parallel()
	s := newSecret(planted)
	type holder struct {
		Open   Secret
		hidden Secret
		Ptr    *Secret
	}
	h := holder{s, s, &s}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p"} {
		fmt.Fprintf(&out, verb, s)
		fmt.Fprintf(&out, verb, &s)
		fmt.Fprintf(&out, verb, h)
		fmt.Fprintf(&out, verb, &h)
		fmt.Fprintf(&out, verb, []any{s, map[string]Secret{"k": s}})
	}
	for _, v := range []any{s, &s, h, map[string]any{"k": s}} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "key", s, "h", h)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", s, "h", h)
	fmt.Fprintln(&out, s.String(), s.GoString(), fmt.Errorf("bad key %v", s))
	leaks(t, "printing", planted, out.String())
	leaks(t, "printing in hex", fmt.Sprintf("%x", planted), out.String())
	if !strings.Contains(out.String(), mask) {
		t.Error("no mask was written")
	}
	if (Secret{}).key() != "" || fmt.Sprint(Secret{}) != mask {
		t.Error("the zero value")
	}
}

// leaks fails the test if the key, or a long part of it, is in the text.
func leaks(t *testing.T, where, key, text string) {
	t.Helper()
	if strings.Contains(text, key) || strings.Contains(text, key[:len(key)*2/3]) {
		t.Errorf("%s leaks the key: %.400s", where, text)
	}
}

func TestRedaction(t *testing.T) {
	t.Parallel()
	redact := newSecret(planted).redactor()
	quoted, _ := json.Marshal(planted)
	for _, form := range []string{
		planted, url.QueryEscape(planted), url.PathEscape(planted), strings.Trim(string(quoted), `"`),
		base64.StdEncoding.EncodeToString([]byte(planted)), base64.URLEncoding.EncodeToString([]byte(planted)),
	} {
		in := []byte("Bearer " + form + " and " + form + ".")
		before := string(in)
		got := string(redact(in))
		if strings.Contains(got, form) || strings.Count(got, mask) != 2 || !strings.HasPrefix(got, "Bearer ") {
			t.Errorf("%s -> %s", form, got)
		}
		if string(in) != before {
			t.Error("the input was changed")
		}
	}
	if got := newSecret("EMPTY").redactor()([]byte("EMPTY")); string(got) != "EMPTY" {
		t.Errorf("a word was redacted: %s", got)
	}
	if got := (Secret{}).redactor()([]byte("x")); string(got) != "x" {
		t.Errorf("%s", got)
	}
}

// TestPlantedKey lets servers echo the key in every way and looks for it in all
// that leaves the package.
func TestPlantedKey(t *testing.T) {
	t.Parallel()
	event := func(text string) string {
		b, _ := json.Marshal(text)
		return `data: {"choices":[{"index":0,"delta":{"content":` + string(b) + `},"finish_reason":null}]}` + "\n\n"
	}
	end := `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n"
	var letters, escaped strings.Builder
	for _, c := range plantedKey {
		letters.WriteString(event(string(c)))
		fmt.Fprintf(&escaped, `\u%04x`, c)
	}
	for _, tt := range []struct {
		name   string
		status int
		body   string
		stream bool
		want   ledger.Outcome
	}{
		{"error", 401, `{"error":{"message":"Incorrect API key provided: {key}."}}`, false, ledger.Auth},
		{"error in HTML", 403, `<html>{key}</html>`, false, ledger.Auth},
		{"error, base64", 500, `{"error":{"message":"` + base64.StdEncoding.EncodeToString([]byte(plantedKey)) + `"}}`, false, ledger.Transport},
		{"reply", 200, `{"id":"{key}","model":"{key}","system_fingerprint":"{key}","provider":"{key}","choices":[{"message":{"content":"your key is {key}"},"finish_reason":"stop"}]}`, false, ledger.OK},
		{"reply, escaped", 200, `{"choices":[{"message":{"content":"your key is ` + escaped.String() + `"},"finish_reason":"stop"}]}`, false, ledger.Malformed},
		{"stream", 200, event("a {key} b") + end, true, ledger.OK},
		{"stream in letters", 200, letters.String() + end, true, ledger.Malformed},
		{"garbage", 200, `{key}`, false, ledger.Malformed},
		{"garbage event", 200, "{key}\n\n", true, ledger.Malformed},
		{"error event", 200, "event: error\ndata: {key}\n\n", true, ledger.Malformed},
		{"redirect", 307, ``, false, ledger.Transport},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
				if key != plantedKey {
					t.Errorf("received key %q", key)
				}
				for _, name := range append(keptHeaders, "X-Ratelimit-Remaining", "Authorization", "Set-Cookie", "X-Ratelimit-"+key) {
					if name != "Content-Length" && name != "Date" {
						w.Header()[name] = []string{"Bearer " + key}
					}
				}
				w.WriteHeader(tt.status)
				fmt.Fprint(w, strings.ReplaceAll(tt.body, "{key}", key))
			}))
			defer srv.Close()
			tg := target(srv.URL + "/v1")
			tg.APIKeyEnv = "ACME_API_KEY"
			c := client(t, tg, Options{LookupEnv: func(string) string { return plantedKey }})
			a := c.Send(t.Context(), request(tt.stream))
			if a.Meta.Outcome != tt.want {
				t.Errorf("outcome %s (%s), want %s", a.Meta.Outcome, a.Meta.Detail, tt.want)
			}
			if a.Meta.Headers["server"] != "Bearer "+mask {
				t.Errorf("headers %v", a.Meta.Headers)
			}
			var out bytes.Buffer
			meta, err := json.Marshal(a)
			if err != nil {
				t.Fatal(err)
			}
			out.Write(meta)
			out.Write(a.Request)
			out.Write(a.Response)
			p, err := c.Prepare(request(tt.stream))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "%v %+v %#v %s %+v %#v %+v", a, a, a, a.Response, c, *c, p)
			slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "attempt", a, "client", c)
			leaks(t, tt.name, plantedKey, out.String())
			leaks(t, tt.name+", bytes as numbers", strings.Trim(fmt.Sprint([]byte(plantedKey)), "[]"), out.String())
			leaks(t, tt.name+", decoded", plantedKey, a.Reply.Text+a.Reply.Detail)
			// What verification will decode again has it neither.
			again := wire.Decode(wire.Exchange{Status: a.Meta.Status, Kind: a.Meta.Kind, Stream: a.Meta.Stream, Body: a.Response, Complete: a.Meta.Complete})
			leaks(t, tt.name+", decoded again", plantedKey, fmt.Sprintf("%+v", again))
		})
	}
}

func TestScriptedEchoOfTheKey(t *testing.T) {
	t.Parallel()
	s := start(t, mock.Options{APIKey: plantedKey, Script: &mock.Script{Faults: []mock.Fault{{
		Kind: mock.FaultStatus, At: []int{1}, Status: 500, Body: `{"error":{"message":"{authorization}"}}`, Header: map[string]string{"X-Request-Id": "{authorization}"},
	}}}})
	tg := target(s.URL())
	tg.APIKeyEnv = "ACME_API_KEY"
	c := client(t, tg, Options{LookupEnv: func(string) string { return plantedKey }})
	a := c.Send(t.Context(), request(false))
	leaks(t, "attempt", plantedKey, fmt.Sprintf("%+v %s", a, a.Response))
	if a.Meta.Detail != "HTTP 500: Bearer "+mask || a.Meta.RequestID != "Bearer "+mask {
		t.Errorf("%+v", a.Meta)
	}
	if a = c.Send(t.Context(), request(false)); a.Meta.Outcome != ledger.OK {
		t.Errorf("the key is not accepted: %+v", a.Meta)
	}
}
