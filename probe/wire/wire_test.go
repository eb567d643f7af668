package wire

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stillmark/stillmark/probe/ledger"
)

const goodChat = `{"id":"c-1","object":"chat.completion","created":1,"model":"nova-1","system_fingerprint":"fp_7","provider":"acme",
"choices":[{"index":0,"message":{"role":"assistant","content":"Grüße, \u4f60\u597d \ud83d\ude00.","refusal":null},"logprobs":null,"finish_reason":"stop"}],
"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14,"completion_tokens_details":{"reasoning_tokens":2},"cost":0.25}}`

const goodStream = ": keep-alive\r\n\r\n" +
	"data: {\"id\":\"c-2\",\"model\":\"nova-1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\r\n\r\n" +
	"data: {\"id\":\"c-2\",\"model\":\"nova-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Grüße, 你\"},\"finish_reason\":null}],\"usage\":null}\n\n" +
	": OPENROUTER PROCESSING\n\n" +
	"id: 4\nevent: message\ndata: {\"id\":\"c-2\",\"model\":\"nova-1\",\"choices\":[{\"index\":0,\ndata: \"delta\":{\"content\":\"好 😀.\"},\"finish_reason\":null}]}\n\n" +
	"data:{\"id\":\"c-2\",\"model\":\"nova-1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n" +
	"data: {\"id\":\"c-2\",\"model\":\"nova-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":5}}\n\n" +
	"data: [DONE]\n\n"

const goodText = "Grüße, 你好 😀."

func TestDecodeGoodReplies(t *testing.T) {
	t.Parallel()
	r := Decode(Exchange{Status: 200, Kind: Chat, Body: []byte(goodChat), Complete: true})
	if r.Outcome != ledger.OK || r.Text != goodText || r.Finish != "stop" || r.Model != "nova-1" || r.Fingerprint != "fp_7" || r.Provider != "acme" || r.ResponseID != "c-1" || r.Detail != "" {
		t.Errorf("chat: %+v", r)
	}
	if u := r.Usage; u == nil || *u != (ledger.Usage{PromptTokens: 9, CompletionTokens: 5, ReasoningTokens: 2, Cost: .25}) {
		t.Errorf("usage: %+v", u)
	}
	r = Decode(Exchange{Status: 200, Kind: Chat, Stream: true, Body: []byte(goodStream), Complete: true})
	if r.Outcome != ledger.OK || r.Text != goodText || r.Finish != "stop" || r.ResponseID != "c-2" || r.Usage == nil || r.Usage.CompletionTokens != 5 {
		t.Errorf("stream: %+v", r)
	}
}

// TestCutAtEveryByte cuts a good stream and a good body at every byte: only the
// whole of it is ok, and what was whole before the cut is kept.
func TestCutAtEveryByte(t *testing.T) {
	t.Parallel()
	done := strings.Index(goodStream, "[DONE]") + len("[DONE]")
	for n := range len(goodStream) + 1 {
		for _, complete := range []bool{false, true} {
			r := Decode(Exchange{Status: 200, Kind: Chat, Stream: true, Body: []byte(goodStream[:n]), Complete: complete})
			end := done
			if !complete {
				end++ // the line must be ended, or more could have followed
			}
			if want := n >= end; (r.Outcome == ledger.OK) != want {
				t.Errorf("cut at %d of %d, complete %v: %s (%s)", n, len(goodStream), complete, r.Outcome, r.Detail)
			}
			if !strings.HasPrefix(goodText, r.Text) {
				t.Errorf("cut at %d: text %q", n, r.Text)
			}
			if r.Outcome != ledger.OK && !r.Outcome.Retryable() {
				t.Errorf("cut at %d: %s would not be tried again", n, r.Outcome)
			}
			if r.Outcome != ledger.OK && r.Detail == "" {
				t.Errorf("cut at %d: no detail", n)
			}
		}
	}
	if r := Decode(Exchange{Status: 200, Kind: Chat, Stream: true, Body: []byte(goodStream[:strings.Index(goodStream, "data:{")])}); r.Text != goodText || r.Outcome != ledger.Truncated {
		t.Errorf("the part is not kept: %+v", r)
	}
	for n := range len(goodChat) {
		for _, complete := range []bool{false, true} {
			if r := Decode(Exchange{Status: 200, Kind: Chat, Body: []byte(goodChat[:n]), Complete: complete}); r.Outcome == ledger.OK || !r.Outcome.Retryable() {
				t.Errorf("body cut at %d, complete %v: %s", n, complete, r.Outcome)
			}
		}
	}
	if r := Decode(Exchange{Status: 200, Kind: Chat, Body: []byte(goodChat)}); r.Outcome != ledger.Truncated || r.Text != goodText {
		t.Errorf("body without its end: %+v", r)
	}
}

func chatBody(message, finish string) string {
	return `{"model":"m","choices":[{"index":0,"message":` + message + `,"finish_reason":` + finish + `}]}`
}

func chunk(delta, finish string) string {
	return `data: {"model":"m","choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + finish + "}]}\n\n"
}

func TestDecodeOutcomes(t *testing.T) {
	t.Parallel()
	const doneLine = "data: [DONE]\n\n"
	hi := chunk(`{"content":"hi"}`, `null`)
	stop := chunk(`{}`, `"stop"`)
	tests := []struct {
		name      string
		stream    bool
		kind      string
		body      string
		outcome   ledger.Outcome
		text      string
		reasoning string
		detail    string // a part of it
	}{
		{name: "plain", body: chatBody(`{"content":"hi"}`, `"stop"`), outcome: ledger.OK, text: "hi"},
		{name: "length is whole", body: chatBody(`{"content":"hi"}`, `"length"`), outcome: ledger.OK, text: "hi"},
		{name: "leading white space keeps the connection alive", body: "\n\n  \n" + chatBody(`{"content":"hi"}`, `"stop"`) + "\n", outcome: ledger.OK, text: "hi"},
		{name: "null error member", body: `{"error":null,"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}`, outcome: ledger.OK, text: "hi"},
		{name: "array of text parts", body: chatBody(`{"content":[{"type":"text","text":"one "},{"type":"text","text":"two"}]}`, `"stop"`), outcome: ledger.OK, text: "one two"},
		{name: "thinking parts", body: chatBody(`{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"two"}]}`, `"stop"`), outcome: ledger.OK, text: "two", reasoning: "hm"},
		{name: "refusal part", body: chatBody(`{"content":[{"type":"refusal","refusal":"no"}]}`, `"stop"`), outcome: ledger.Refused},
		{name: "reasoning_content", body: chatBody(`{"content":"a","reasoning_content":"b","reasoning":"c"}`, `"stop"`), outcome: ledger.OK, text: "a", reasoning: "b"},
		{name: "reasoning", body: chatBody(`{"content":"a","reasoning":"c"}`, `"stop"`), outcome: ledger.OK, text: "a", reasoning: "c"},
		{name: "refusal", body: chatBody(`{"content":null,"refusal":"I cannot"}`, `"stop"`), outcome: ledger.Refused},
		{name: "filter", body: chatBody(`{"content":"hi"}`, `"content_filter"`), outcome: ledger.Filtered, text: "hi"},
		{name: "empty", body: chatBody(`{"content":""}`, `"stop"`), outcome: ledger.Empty},
		{name: "white space only", body: chatBody(`{"content":" \n"}`, `"stop"`), outcome: ledger.Empty, text: " \n"},
		{name: "null content", body: chatBody(`{"content":null}`, `"stop"`), outcome: ledger.Empty},
		{name: "tool call", body: chatBody(`{"content":null,"tool_calls":[{"id":"x","type":"function","function":{"name":"f","arguments":"{}"}}]}`, `"tool_calls"`), outcome: ledger.Empty, detail: "tool"},
		{name: "exhausted", body: chatBody(`{"content":"","reasoning_content":"let me"}`, `"length"`), outcome: ledger.Exhausted, reasoning: "let me"},
		{name: "no finish reason", body: chatBody(`{"content":"hi"}`, `null`), outcome: ledger.Truncated, text: "hi", detail: "finish"},
		{name: "empty finish reason", body: chatBody(`{"content":"hi"}`, `""`), outcome: ledger.Truncated, text: "hi"},
		{name: "broken off by the target", body: chatBody(`{"content":"hi"}`, `"insufficient_system_resource"`), outcome: ledger.Truncated, text: "hi"},
		{name: "completion", kind: Completion, body: `{"choices":[{"index":0,"text":"hi","finish_reason":"length"}]}`, outcome: ledger.OK, text: "hi"},
		{name: "completion where a chat was asked", body: `{"choices":[{"index":0,"text":"hi","finish_reason":"length"}]}`, outcome: ledger.Malformed, detail: "message"},

		{name: "empty body", body: "", outcome: ledger.Malformed, detail: "empty"},
		{name: "html", body: "<!doctype html><title>502</title>", outcome: ledger.Malformed, detail: "HTML"},
		{name: "text", body: "upstream gone", outcome: ledger.Malformed},
		{name: "trailing garbage", body: chatBody(`{"content":"hi"}`, `"stop"`) + "x", outcome: ledger.Malformed, text: "hi", detail: "trailing"},
		{name: "two bodies", body: chatBody(`{"content":"hi"}`, `"stop"`) + chatBody(`{"content":"hi"}`, `"stop"`), outcome: ledger.Malformed, text: "hi"},
		{name: "duplicate member", body: chatBody(`{"content":"hi","content":"ho"}`, `"stop"`), outcome: ledger.Malformed, text: "hi", detail: `duplicate member "content"`},
		{name: "duplicate member, escaped", body: chatBody(`{"content":"hi","c\u006fntent":"ho"}`, `"stop"`), outcome: ledger.Malformed, text: "hi", detail: "duplicate"},
		{name: "two choices", body: `{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"},{"index":1,"message":{"content":"b"},"finish_reason":"stop"}]}`, outcome: ledger.Malformed, text: "a"},
		{name: "no choices", body: `{"choices":[]}`, outcome: ledger.Malformed},
		{name: "no object", body: `{}`, outcome: ledger.Malformed},
		{name: "not UTF-8", body: chatBody("{\"content\":\"a\xff\"}", `"stop"`), outcome: ledger.Malformed, text: "a\xff", detail: "UTF-8"},
		{name: "lone surrogate", body: chatBody(`{"content":"a\ud83d"}`, `"stop"`), outcome: ledger.OK, text: "a\uFFFD"},
		{name: "negative usage", body: `{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":-1}}`, outcome: ledger.Malformed, text: "a"},
		{name: "colliding names in top_logprobs are no duplicates", kind: Completion, body: `{"choices":[{"text":"hi","logprobs":{"tokens":["a"],"token_logprobs":[-1],"top_logprobs":[{"\ufffd":-1,"\ufffd":-2}]},"finish_reason":"stop"}]}`, outcome: ledger.OK, text: "hi"},
		{name: "nested too deep", body: `{"x":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`, outcome: ledger.Malformed, detail: "deep"},

		{name: "200 with a server error", body: `{"error":{"message":"boom","type":"server_error"}}`, outcome: ledger.Transport, detail: "boom"},
		{name: "200 with an unknown error", body: `{"error":{"message":"boom"}}`, outcome: ledger.Malformed, detail: "boom"},
		{name: "200 with an error string", body: `{"error":"model not loaded"}`, outcome: ledger.Malformed, detail: "model not loaded"},
		{name: "200 with a status as code", body: `{"error":{"message":"slow down","code":429}}`, outcome: ledger.RateLimited},
		{name: "200 with quota gone", body: `{"error":{"message":"pay","code":"insufficient_quota"}}`, outcome: ledger.Quota},
		{name: "200 with a flat error", body: `{"object":"error","message":"bad","type":"BadRequestError","code":400}`, outcome: ledger.Rejected, detail: "bad"},
		{name: "200 with a detail", body: `{"detail":"Not Found"}`, outcome: ledger.Malformed, detail: "Not Found"},
		{name: "200 with base_resp", body: `{"choices":null,"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}`, outcome: ledger.Quota, detail: "balance"},
		{name: "base_resp of success", body: `{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"base_resp":{"status_code":0,"status_msg":""}}`, outcome: ledger.OK, text: "hi"},
		{name: "terminal escapes in an error", body: `{"error":{"message":"a\u001b[31mred\u202e\nb"}}`, outcome: ledger.Malformed, detail: "a [31mred b"},

		{name: "stream", stream: true, body: hi + stop + doneLine, outcome: ledger.OK, text: "hi"},
		{name: "stream, old Mac line ends", stream: true, body: strings.ReplaceAll(hi+stop+doneLine, "\n", "\r"), outcome: ledger.OK, text: "hi"},
		{name: "stream, CRLF", stream: true, body: strings.ReplaceAll(hi+stop+doneLine, "\n", "\r\n"), outcome: ledger.OK, text: "hi"},
		{name: "stream, byte order mark", stream: true, body: "\xef\xbb\xbf" + hi + stop + doneLine, outcome: ledger.OK, text: "hi"},
		{name: "stream, no line end at the end", stream: true, body: hi + stop + "data: [DONE]", outcome: ledger.OK, text: "hi"},
		{name: "stream, 5,000 keep-alives", stream: true, body: strings.Repeat(": ping\n\n", 5000) + hi + strings.Repeat("\n", 5000) + stop + doneLine, outcome: ledger.OK, text: "hi"},
		{name: "stream, ping event", stream: true, body: "event: ping\ndata: {\"type\":\"ping\"}\n\n" + hi + stop + doneLine, outcome: ledger.OK, text: "hi"},
		{name: "stream, no [DONE]", stream: true, body: hi + stop, outcome: ledger.Truncated, text: "hi", detail: "[DONE]"},
		{name: "stream, no finish reason", stream: true, body: hi + doneLine, outcome: ledger.Truncated, text: "hi", detail: "finish"},
		{name: "stream, events after [DONE]", stream: true, body: hi + stop + doneLine + hi, outcome: ledger.Malformed, text: "hi", detail: "after [DONE]"},
		{name: "stream, comments after [DONE]", stream: true, body: hi + stop + doneLine + ": bye\n\n", outcome: ledger.OK, text: "hi"},
		{name: "stream, garbage line", stream: true, body: hi + "<html>\n\n" + stop + doneLine, outcome: ledger.Malformed, text: "hi"},
		{name: "stream, bad JSON", stream: true, body: hi + "data: {\"choices\":[\n\n" + stop + doneLine, outcome: ledger.Malformed, text: "hi", detail: "event 2"},
		{name: "stream, text after the end", stream: true, body: hi + stop + hi + doneLine, outcome: ledger.Malformed, text: "hihi"},
		{name: "stream, usage repeats an empty choice", stream: true, body: hi + stop + chunk(`{"content":""}`, `null`) + doneLine, outcome: ledger.OK, text: "hi"},
		{name: "stream, two finish reasons", stream: true, body: hi + stop + chunk(`{}`, `"length"`) + doneLine, outcome: ledger.Malformed, text: "hi"},
		{name: "stream, two models", stream: true, body: hi + strings.Replace(stop, `"m"`, `"n"`, 1) + doneLine, outcome: ledger.Drifted, text: "hi"},
		{name: "stream, error at once", stream: true, body: `data: {"error":{"message":"overloaded","type":"overloaded_error"}}` + "\n\n", outcome: ledger.Transport, detail: "overloaded"},
		{name: "stream, error in the middle", stream: true, body: hi + `data: {"error":{"message":"overloaded","type":"overloaded_error"}}` + "\n\n", outcome: ledger.Truncated, text: "hi"},
		{name: "stream, error event", stream: true, body: hi + "event: error\ndata: {\"message\":\"key revoked\",\"code\":\"invalid_api_key\"}\n\n", outcome: ledger.Auth, text: "hi", detail: "key revoked"},
		{name: "stream, error field", stream: true, body: "error: {\"message\":\"kaput\",\"code\":500}\n\n", outcome: ledger.Transport, detail: "kaput"},
		{name: "stream, error event in words", stream: true, body: "event: error\ndata: kaput\n\n", outcome: ledger.Malformed, detail: "kaput"},
		{name: "stream, error as one body", stream: true, body: `{"error":{"message":"no","type":"invalid_request_error"}}`, outcome: ledger.Rejected, detail: "no"},
		{name: "stream asked, one body given", stream: true, body: chatBody(`{"content":"hi"}`, `"stop"`), outcome: ledger.OK, text: "hi"},
		{name: "body asked, stream given", body: hi + stop + doneLine, outcome: ledger.Malformed},
		{name: "stream of comments only", stream: true, body: ": ping\n\n", outcome: ledger.Malformed},
		{name: "stream, rune cut between raw deltas", stream: true, body: chunk("{\"content\":\"\xe4\xbd\"}", `null`) + chunk("{\"content\":\"\xa0\"}", `"stop"`) + doneLine, outcome: ledger.OK, text: "你"},
		{name: "stream, surrogates cut between deltas", stream: true, body: chunk(`{"content":"\ud83d"}`, `null`) + chunk(`{"content":"\ude00"}`, `"stop"`) + doneLine, outcome: ledger.OK, text: "😀"},
		{name: "stream, reasoning only", stream: true, body: chunk(`{"reasoning_content":"mm"}`, `"length"`) + doneLine, outcome: ledger.Exhausted, reasoning: "mm"},
		{name: "stream, completion", stream: true, kind: Completion, body: "data: {\"choices\":[{\"index\":0,\"text\":\"hi\",\"finish_reason\":\"stop\"}]}\n\n" + doneLine, outcome: ledger.OK, text: "hi"},
		{name: "stream, refusal", stream: true, body: chunk(`{"refusal":"no"}`, `null`) + stop + doneLine, outcome: ledger.Refused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			kind := tt.kind
			if kind == "" {
				kind = Chat
			}
			r := Decode(Exchange{Status: 200, Kind: kind, Stream: tt.stream, Body: []byte(tt.body), Complete: true})
			if r.Outcome != tt.outcome || r.Text != tt.text || r.Reasoning != tt.reasoning || !strings.Contains(r.Detail, tt.detail) {
				t.Errorf("got %s text %q reasoning %q (%s), want %s %q %q (%s)", r.Outcome, r.Text, r.Reasoning, r.Detail, tt.outcome, tt.text, tt.reasoning, tt.detail)
			}
			if (r.Outcome == ledger.OK) != (r.Detail == "") {
				t.Errorf("outcome %s with detail %q", r.Outcome, r.Detail)
			}
		})
	}
}

func TestStatusTable(t *testing.T) {
	t.Parallel()
	tests := []struct {
		status int
		body   string
		want   ledger.Outcome
	}{
		{0, "", ledger.Transport},
		{204, "", ledger.Malformed},
		{307, "", ledger.Transport},
		{400, `{"error":{"message":"no such parameter"}}`, ledger.Rejected},
		{400, `{"error":{"message":"Your credit balance is too low","type":"invalid_request_error"}}`, ledger.Quota},
		{400, `{"error":{"code":"content_filter","message":"x"}}`, ledger.Filtered},
		{400, `{"error":{"code":"Arrearage","message":"x"}}`, ledger.Quota},
		{401, `{"error":{"message":"bad key"}}`, ledger.Auth},
		{402, `{"error":{"message":"Insufficient Balance"}}`, ledger.Quota},
		{403, ``, ledger.Auth},
		{403, `{"error":{"code":403,"message":"flagged","metadata":{"reasons":["violence"]}}}`, ledger.Filtered},
		{404, `{"error":{"code":"model_not_found"}}`, ledger.Rejected},
		{408, ``, ledger.Transport},
		{409, ``, ledger.Transport},
		{413, ``, ledger.Rejected},
		{422, `{"detail":[{"loc":["body","seed"],"msg":"extra fields not permitted"}]}`, ledger.Rejected},
		{425, ``, ledger.Transport},
		{429, ``, ledger.RateLimited},
		{429, `{"error":{"message":"slow","type":"requests","code":"rate_limit_exceeded"}}`, ledger.RateLimited},
		{429, `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`, ledger.Quota},
		{429, `{"error":{"message":"x","type":"exceeded_current_quota_error"}}`, ledger.Quota},
		{500, `<html>`, ledger.Transport},
		{503, ``, ledger.Transport},
		{529, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, ledger.Transport},
	}
	for _, tt := range tests {
		r := Decode(Exchange{Status: tt.status, Kind: Chat, Body: []byte(tt.body), Complete: true})
		if r.Outcome != tt.want || r.Detail == "" || r.Text != "" {
			t.Errorf("%d %s: got %s (%s), want %s", tt.status, tt.body, r.Outcome, r.Detail, tt.want)
		}
	}
	r := Decode(Exchange{Status: 429, Kind: Chat, Body: []byte(`{"error":{"message":"You exceeded\u0007 your\ncurrent quota"}}`), Complete: true})
	if r.Detail != "HTTP 429: You exceeded your current quota" {
		t.Errorf("detail %q", r.Detail)
	}
}

func TestBodyCap(t *testing.T) {
	t.Parallel()
	body := append([]byte(chatBody(`{"content":"hi"}`, `"stop"`)), make([]byte, MaxBody)...)
	for i := len(chatBody(`{"content":"hi"}`, `"stop"`)); i < len(body); i++ {
		body[i] = ' '
	}
	if r := Decode(Exchange{Status: 200, Kind: Chat, Body: body, Complete: true}); r.Outcome != ledger.Malformed || !strings.Contains(r.Detail, "16 MiB") {
		t.Errorf("%+v", r)
	}
	if r := Decode(Exchange{Status: 200, Kind: Chat, Body: body[:MaxBody], Complete: true}); r.Outcome != ledger.OK {
		t.Errorf("%+v", r)
	}
}

func TestSameModel(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		expected, answered string
		want               bool
	}{
		{"nova", "nova", true},
		{"nova", "", true},
		{"gpt-4o", "gpt-4o-2024-08-06", true},
		{"gpt-4", "gpt-4-0613", true},
		{"acme/Nova", "nova", true},
		{"llama3", "llama3:latest", true},
		{"gemini-pro", "gemini-pro-001", true},
		{"gpt-4o", "gpt-4o-mini", false},
		{"gpt-4o", "gpt-4o-mini-2024-07-18", false},
		{"gpt-4", "gpt-4o", false},
		{"nova", "nova-2", false},
		{"llama-3", "llama-3-70b", false},
		{"nova-1-0613", "nova-1", false},
		{"nova", "other", false},
		{"", "nova", false},
	} {
		if got := SameModel(tt.expected, tt.answered); got != tt.want {
			t.Errorf("SameModel(%q, %q) = %v", tt.expected, tt.answered, got)
		}
	}
}

// FuzzDecode looks for panics, for replies that are ok without being whole, and
// for text that could harm a terminal in the sentences.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(goodChat), false, true, 200)
	f.Add([]byte(goodStream), true, true, 200)
	f.Add([]byte(goodStream), true, false, 200)
	f.Add([]byte(`{"error":{"message":"x","code":429}}`), true, true, 429)
	f.Add([]byte("event: error\ndata: {\"message\":1}\n\n"), true, true, 200)
	f.Add([]byte(`{"choices":[{"text":"x","logprobs":{"tokens":["a"],"token_logprobs":[null],"top_logprobs":[null],"text_offset":[0]},"finish_reason":"stop"}]}`), false, true, 200)
	f.Fuzz(func(t *testing.T, body []byte, stream, complete bool, status int) {
		for _, kind := range []string{Chat, Completion} {
			x := Exchange{Status: status, Kind: kind, Stream: stream, Body: body, Complete: complete}
			r := Decode(x)
			if r.Outcome == "" {
				t.Fatal("no outcome")
			}
			if r.Outcome == ledger.OK {
				if r.Finish == "" || strings.TrimSpace(r.Text) == "" || !utf8.ValidString(r.Text) || status/100 != 2 {
					t.Fatalf("ok, but %+v", r)
				}
				if !complete && !strings.Contains(string(body), "[DONE]") {
					t.Fatal("ok without an end")
				}
			} else if r.Detail == "" {
				t.Fatalf("%s without a sentence", r.Outcome)
			}
			for _, s := range []string{r.Detail, r.Model, r.Finish, r.ResponseID} {
				if clean(s) != s && len([]rune(s)) < maxDetail {
					t.Fatalf("not clean: %q", s)
				}
			}
			if fmt.Sprint(Decode(x)) != fmt.Sprint(r) && r.Usage == nil {
				t.Fatal("decoding twice differs")
			}
			if lps, err := DecodeLogprobs(x); err == nil {
				for _, l := range lps {
					if l.Known && l.Logprob > 1e-3 {
						t.Fatalf("probability above 1: %v", l)
					}
				}
			}
		}
	})
}
