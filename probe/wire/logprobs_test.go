package wire

import (
	"reflect"
	"strings"
	"testing"
)

func TestDecodePromptLogprobs(t *testing.T) {
	t.Parallel()
	list := `[null,{"560":{"logprob":-2.5,"rank":3,"decoded_token":" cat"},"11":{"logprob":-0.5,"rank":1,"decoded_token":" dog"}},{"9":{"logprob":0.0,"rank":null,"decoded_token":null}}]`
	want := []PromptToken{
		{},
		{Candidates: []Candidate{{ID: 560, Token: " cat", Logprob: -2.5, Rank: 3}, {ID: 11, Token: " dog", Logprob: -.5, Rank: 1}}},
		{Candidates: []Candidate{{ID: 9}}},
	}
	completion := `{"choices":[{"text":"x","finish_reason":"length","prompt_logprobs":LIST}]}`
	chat := `{"choices":[{"message":{"content":"x"},"finish_reason":"length"}],"prompt_logprobs":LIST}`
	for _, tt := range []struct {
		name, kind, body, err string
		want                  []PromptToken
	}{
		{name: "completion", kind: Completion, body: strings.Replace(completion, "LIST", list, 1), want: want},
		{name: "chat", kind: Chat, body: strings.Replace(chat, "LIST", list, 1), want: want},
		{name: "null", kind: Chat, body: strings.Replace(chat, "LIST", "null", 1)},
		{name: "above one", kind: Chat, body: strings.Replace(chat, "LIST", `[{"1":{"logprob":0.5}}]`, 1), err: "above 0"},
		{name: "no id", kind: Chat, body: strings.Replace(chat, "LIST", `[{"cat":{"logprob":-1}}]`, 1), err: "token id"},
		{name: "no log-probability", kind: Chat, body: strings.Replace(chat, "LIST", `[{"1":{}}]`, 1), err: "without a log-probability"},
		{name: "id twice", kind: Chat, body: strings.Replace(chat, "LIST", `[{"1":{"logprob":-1},"1":{"logprob":-2}}]`, 1), err: "duplicate"},
		{name: "list twice", kind: Completion, body: `{"choices":[{"text":"x","finish_reason":"length","prompt_logprobs":[]}],"prompt_logprobs":[]}`, err: "two lists"},
	} {
		x := Exchange{Status: 200, Kind: tt.kind, Body: []byte(tt.body), Complete: true}
		got, err := DecodePromptLogprobs(x)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: error %v, want %q", tt.name, err, tt.err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v (%v), want %+v", tt.name, got, err, tt.want)
		}
		if r := Decode(x); r.Outcome != "ok" || r.Text != "x" {
			t.Errorf("%s: decoded as %+v", tt.name, r)
		}
	}
}

func TestDecodeLogprobs(t *testing.T) {
	t.Parallel()
	completion := `{"model":"m","choices":[{"index":0,"text":" sat on","logprobs":{"tokens":["The"," cat"," sat"],"token_logprobs":[null,-2.5,0],` +
		`"top_logprobs":[null,{" cat":-2.5,"\ufffd":-3,"\ufffd":-4},{" sat":0}],"text_offset":[0,3,7]},"finish_reason":"length"}]}`
	want := []TokenLogprob{
		{Token: "The", Offset: 0},
		{Token: " cat", Logprob: -2.5, Known: true, Top: []Alt{{" cat", -2.5}, {"\uFFFD", -3}, {"\uFFFD", -4}}, Offset: 3},
		{Token: " sat", Logprob: 0, Known: true, Top: []Alt{{" sat", 0}}, Offset: 7},
	}
	chat := `{"choices":[{"message":{"content":"hé"},"logprobs":{"content":[{"token":"h","logprob":-0.5,"bytes":[104],"top_logprobs":[{"token":"h","logprob":-0.5,"bytes":[104]},{"token":"H","logprob":-1.5}]},` +
		`{"token":"é","logprob":-9999.0,"bytes":[195,169],"top_logprobs":[]}]},"finish_reason":"stop"}]}`
	chatWant := []TokenLogprob{
		{Token: "h", Bytes: []byte("h"), Logprob: -.5, Known: true, Top: []Alt{{"h", -.5}, {"H", -1.5}}, Offset: -1},
		{Token: "é", Bytes: []byte("é"), Logprob: -9999, Known: true, Offset: -1},
	}
	stream := "data: {\"choices\":[{\"text\":\"a\",\"logprobs\":{\"tokens\":[\"a\"],\"token_logprobs\":[-1]},\"finish_reason\":null}]}\n\n" +
		"data: {\"choices\":[{\"text\":\"b\",\"logprobs\":{\"tokens\":[\"b\"],\"token_logprobs\":[-2]},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
	streamWant := []TokenLogprob{{Token: "a", Logprob: -1, Known: true, Offset: -1}, {Token: "b", Logprob: -2, Known: true, Offset: -1}}
	tests := []struct {
		name string
		x    Exchange
		want []TokenLogprob
		err  string
	}{
		{name: "completion with echo", x: Exchange{Kind: Completion, Body: []byte(completion)}, want: want},
		{name: "chat", x: Exchange{Kind: Chat, Body: []byte(chat)}, want: chatWant},
		{name: "stream", x: Exchange{Kind: Completion, Stream: true, Body: []byte(stream)}, want: streamWant},
		{name: "none", x: Exchange{Kind: Chat, Body: []byte(goodChat)}},
		{name: "unequal", x: Exchange{Kind: Completion, Body: []byte(`{"choices":[{"text":"a","logprobs":{"tokens":["a","b"],"token_logprobs":[-1]},"finish_reason":"stop"}]}`)}, err: "unequal"},
		{name: "above one", x: Exchange{Kind: Completion, Body: []byte(`{"choices":[{"text":"a","logprobs":{"tokens":["a"],"token_logprobs":[0.5]},"finish_reason":"stop"}]}`)}, err: "above 0"},
		{name: "no number", x: Exchange{Kind: Completion, Body: []byte(`{"choices":[{"text":"a","logprobs":{"tokens":["a"],"token_logprobs":[-Infinity]},"finish_reason":"stop"}]}`)}, err: "JSON"},
		{name: "byte out of range", x: Exchange{Kind: Chat, Body: []byte(strings.Replace(chat, "104", "260", 1))}, err: "byte"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.x.Status, tt.x.Complete = 200, true
			got, err := DecodeLogprobs(tt.x)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v (%v), want %+v", got, err, tt.want)
			}
		})
	}
}
