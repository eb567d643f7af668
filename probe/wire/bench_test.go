package wire

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/probe/ledger"
)

// benchReplies are a reply of 400 tokens as one body and as a stream.
func benchReplies() (body, stream string) {
	var text, events strings.Builder
	for i := range 400 {
		word := fmt.Sprintf(" word%d", i%97)
		text.WriteString(word)
		fmt.Fprintf(&events, "data: {\"id\":\"chatcmpl-123456\",\"object\":\"chat.completion.chunk\",\"created\":1764000000,\"model\":\"nova-1\",\"system_fingerprint\":\"fp_44709d6fcb\","+
			"\"choices\":[{\"index\":0,\"delta\":{\"content\":%q},\"logprobs\":null,\"finish_reason\":null}]}\n\n", word)
	}
	events.WriteString("data: {\"id\":\"chatcmpl-123456\",\"model\":\"nova-1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
	return chatBody(fmt.Sprintf(`{"role":"assistant","content":%q}`, text.String()), `"stop"`), events.String()
}

func BenchmarkDecode(b *testing.B) {
	body, stream := benchReplies()
	for _, x := range []Exchange{
		{Status: 200, Kind: Chat, Body: []byte(body), Complete: true},
		{Status: 200, Kind: Chat, Stream: true, Body: []byte(stream), Complete: true},
	} {
		b.Run(fmt.Sprintf("stream=%v", x.Stream), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(x.Body)))
			for b.Loop() {
				if r := Decode(x); r.Outcome != ledger.OK {
					b.Fatal(r)
				}
			}
		})
	}
}
