package wire

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/probe/ledger"
)

func TestParseLine(t *testing.T) {
	t.Parallel()
	full := `{"id":"p1","prompt":"Hi é","system":"s","lang":"en","text":"a\ud83d\ude00b","reasoning":"r","prompt_tokens":[1,2],"tokens":[],"finish_reason":"stop","model":"m","usage":{"prompt_tokens":3,"completion_tokens":4}}`
	for _, tt := range []struct {
		name, line, err string
		want            Line
	}{
		{name: "all members", line: full, want: Line{ID: "p1", Prompt: "Hi é", System: "s", Lang: "en", Reply: ledger.Reply{
			Outcome: ledger.OK, Text: "a😀b", Reasoning: "r", Finish: "stop", Model: "m", PromptTokens: []int32{1, 2}, Tokens: []int32{},
			Usage: &ledger.Usage{PromptTokens: 3, CompletionTokens: 4},
		}}},
		{name: "least", line: `{"prompt":"p","text":"t"}`, want: Line{Prompt: "p", Reply: ledger.Reply{Outcome: ledger.OK, Text: "t"}}},
		{name: "ids alone", line: `{"prompt":"p","tokens":[0,2147483647],"text":null}`, want: Line{Prompt: "p", Reply: ledger.Reply{Outcome: ledger.OK, Tokens: []int32{0, 1<<31 - 1}}}},
		{name: "no words", line: `{"prompt":"p","text":""}`, want: Line{Prompt: "p", Reply: ledger.Reply{Outcome: ledger.Empty, Detail: "the reply has no text"}}},
		{name: "no reply", line: `{"prompt":"p","text":null}`, want: Line{Prompt: "p", Silent: true, Reply: ledger.Reply{Outcome: ledger.Empty, Detail: "the reply has no text"}}},
		{name: "empty", line: `{"prompt":"p","text":" "}`, want: Line{Prompt: "p", Reply: ledger.Reply{Outcome: ledger.Empty, Text: " ", Detail: "the reply has no text"}}},
		{name: "filtered", line: `{"prompt":"p","text":"t","finish_reason":"content_filter"}`, want: Line{Prompt: "p", Reply: ledger.Reply{
			Outcome: ledger.Filtered, Text: "t", Finish: "content_filter", Detail: `finish reason "content_filter"`,
		}}},
		{name: "filtered without text", line: `{"prompt":"p","text":null,"finish_reason":"content_filter"}`, want: Line{Prompt: "p", Reply: ledger.Reply{
			Outcome: ledger.Filtered, Finish: "content_filter", Detail: `finish reason "content_filter"`,
		}}},
		{name: "refused without text", line: `{"prompt":"p","finish_reason":"refusal"}`, want: Line{Prompt: "p", Reply: ledger.Reply{
			Outcome: ledger.Refused, Finish: "refusal", Detail: "finish reason refusal",
		}}},
		{name: "unknown member", line: `{"prompt":"p","txt":"t"}`, err: `unknown member "txt"; known are id, prompt`},
		{name: "twice", line: `{"prompt":"p","text":"t","text":"u"}`, err: "duplicate member"},
		{name: "no prompt", line: `{"text":"t"}`, err: "no prompt"},
		{name: "trailing", line: `{"prompt":"p"} {}`, err: "trailing"},
		{name: "no object", line: `["p"]`, err: "expected an object"},
		{name: "no id", line: `{"prompt":"p","tokens":[-1]}`, err: "expected a count"},
		{name: "large id", line: `{"prompt":"p","tokens":[2147483648]}`, err: "expected a token id"},
		{name: "no UTF-8", line: "{\"prompt\":\"\xff\"}", err: "not UTF-8"},
	} {
		l, err := ParseLine([]byte(tt.line))
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: error %v, want %q", tt.name, err, tt.err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(l, tt.want) {
			t.Errorf("%s: %+v (%v), want %+v", tt.name, l, err, tt.want)
		}
	}
	if l, err := ParseLine([]byte("{\"prompt\":\"p\",\"text\":\"\xff\"}")); err != nil || l.Reply.Outcome != ledger.Malformed {
		t.Errorf("text that is no UTF-8: %+v, %v", l, err)
	}
}

// FuzzParseLine: whatever is accepted decodes to the same reply again.
func FuzzParseLine(f *testing.F) {
	f.Add([]byte(`{"id":"p","prompt":"a","text":"b","prompt_tokens":[1],"tokens":[2]}`))
	f.Add([]byte(`{"prompt":"a","text":"\ud83d","usage":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ParseLine(b)
		if err != nil {
			return
		}
		again := Decode(Exchange{Kind: ledger.KindImported, Body: b, Complete: true})
		if !reflect.DeepEqual(l.Reply, again) || l.Prompt == "" {
			t.Errorf("%+v, then %+v", l.Reply, again)
		}
	})
}
