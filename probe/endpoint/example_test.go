package endpoint_test

import (
	"context"
	"fmt"

	"github.com/stillmark/stillmark/probe/endpoint"
	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/ledger"
)

// One attempt, with room between fixing its bytes and sending them: there the
// runner writes down what it is about to do.
func ExampleClient_Prepare() {
	server, err := mock.New(mock.Options{Models: map[string]mock.Generator{"nova": mock.Words{}}})
	if err != nil {
		panic(err)
	}
	if err := server.Start(0); err != nil {
		panic(err)
	}
	defer server.Close()

	client, err := endpoint.New(ledger.Target{Name: "acme-nova", BaseURL: server.URL(), Model: "nova"}, endpoint.Options{})
	if err != nil {
		panic(err)
	}
	defer client.Close()
	seed, cold := int64(7), 0.0
	prepared, err := client.Prepare(endpoint.Request{
		Prompt: "tell me a story",
		Params: ledger.Params{MaxTokens: 5, Temperature: &cold, Seed: &seed},
	})
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", prepared.Body)
	attempt := prepared.Do(context.Background())
	fmt.Println(attempt.Meta.Outcome, attempt.Meta.Status, attempt.Reply.Finish, attempt.Meta.Usage.CompletionTokens)
	// Output:
	// {"model":"nova","messages":[{"role":"user","content":"tell me a story"}],"max_tokens":5,"temperature":0,"seed":7,"stream":false}
	// ok 200 length 5
}
