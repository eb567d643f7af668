package watermark_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/stillmark/stillmark/watermark"
)

// model is a stand-in for what computes logits in these examples: a fixed function of
// the last token over a vocabulary of 1,000.
func model(history []int32) []float32 {
	seed := uint64(0)
	if len(history) > 0 {
		seed = uint64(history[len(history)-1])
	}
	r := rand.New(rand.NewPCG(seed, 1))
	logits := make([]float32, 1000)
	for i := range logits {
		logits[i] = float32(2 * r.NormFloat64())
	}
	return logits
}

// exampleKey is a key that is the same every time. Real ones take crypto/rand.Reader.
func exampleKey(scheme string) *watermark.Key {
	key, err := watermark.NewKey(watermark.Spec{Scheme: scheme, Model: "nova", Tokenizer: "ids", Vocab: 1000, Epoch: "2026-11", Label: "cohort-a"},
		rand.NewChaCha8([32]byte{'e'}))
	if err != nil {
		panic(err)
	}
	return key
}

// The loop of a server: temperature, truncation, mark, draw. Then the text is found
// under its key.
func Example() {
	key := exampleKey(watermark.Gumbel)
	reply, err := key.NewRequest(watermark.RequestOptions{Room: 200})
	if err != nil {
		panic(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		logits := model(reply.Generated())
		for i := range logits {
			logits[i] /= .8 // temperature
			if logits[i] < 2 {
				logits[i] = float32(math.Inf(-1)) // truncation
			}
		}
		reply.Process(logits)
		reply.Append(int32(multinomial(distribution(logits), random)))
	}

	mark, err := key.Mark()
	if err != nil {
		panic(err)
	}
	detector := watermark.NewDetector(mark, watermark.Options{})
	detector.Add(watermark.Item{Tokens: reply.Generated()})
	fmt.Println("found:", detector.Result().Tail.Log10P < -20)
	// Output: found: true
}

// Whoever opts out gets an unmarked reply, and the record says so.
func ExampleKey_NewRequest() {
	key := exampleKey(watermark.Tournament)
	for _, optOut := range []string{"", "the account opted out"} {
		reply, err := key.NewRequest(watermark.RequestOptions{Unmarked: optOut})
		if err != nil {
			panic(err)
		}
		reply.Append(17, 4, 99)
		record := reply.Record()
		record.Key = record.Key[:min(4, len(record.Key))] // shorter here
		line, err := json.Marshal(record)
		if err != nil {
			panic(err)
		}
		fmt.Println(string(line))
	}
	// Output:
	// {"key":"8b80","scheme":"tournament","prf":"aes-ctr-v1","epoch":"2026-11","label":"cohort-a","tokens":3}
	// {"unmarked":"the account opted out","tokens":3}
}

// Speculative decoding: the draft model's tokens are drawn under one key, what the
// target model puts in their place and adds under the other. Rejected tokens are taken
// back.
func ExampleRequest_Truncate() {
	reply, err := exampleKey(watermark.GumbelDual).NewRequest(watermark.RequestOptions{})
	if err != nil {
		panic(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	next := func(role watermark.Role) {
		reply.SetRole(role)
		logits := model(reply.Generated())
		reply.Process(logits)
		reply.Append(int32(multinomial(distribution(logits), random)))
	}
	for len(reply.Generated()) < 120 {
		settled := len(reply.Generated())
		for range 4 {
			next(watermark.RoleDraft)
		}
		accepted := random.IntN(5) // what the target model agrees with
		reply.Truncate(settled + accepted)
		next(watermark.RoleTarget)
	}

	mark, err := exampleKey(watermark.GumbelDual).Mark()
	if err != nil {
		panic(err)
	}
	detector := watermark.NewDetector(mark, watermark.Options{})
	detector.Add(watermark.Item{Tokens: reply.Generated()})
	fmt.Println("found:", detector.Result().Tail.Log10P < -6)
	// Output: found: true
}

// Constrained decoding: the grammar's mask comes first. What it leaves is marked; where
// it leaves one token there is nothing to choose, and the step carries no mark.
func ExampleRequest_Process() {
	reply, err := exampleKey(watermark.KGW).NewRequest(watermark.RequestOptions{})
	if err != nil {
		panic(err)
	}
	reply.Append(12, 900) // {"
	logits := model(reply.Generated())
	allowed := map[int]bool{41: true, 42: true, 43: true}
	for i := range logits {
		if !allowed[i] {
			logits[i] = float32(math.Inf(-1))
		}
	}
	reply.Process(logits)
	for i, l := range logits {
		if !math.IsInf(float64(l), -1) && !allowed[i] {
			fmt.Println("the mark let a token through that the grammar forbids")
		}
	}
	fmt.Println(len(logits), "logits, three of them finite")
	// Output: 1000 logits, three of them finite
}

// A server with continuous batching has a step of every reply at the same time.
func ExampleBatcher() {
	key := exampleKey(watermark.Gumbel)
	batch := watermark.NewBatcher(0) // one worker for each processor
	defer batch.Close()
	steps := make([]watermark.Step, 8)
	for i := range steps {
		reply, err := key.NewRequest(watermark.RequestOptions{})
		if err != nil {
			panic(err)
		}
		reply.Append(int32(i), 5)
		steps[i].Request = reply
	}
	for range 3 {
		for i := range steps {
			steps[i].Logits = model(steps[i].Request.Generated())
		}
		batch.Process(steps)
		for i := range steps {
			// gumbel has left one token of each.
			for id, l := range steps[i].Logits {
				if !math.IsInf(float64(l), -1) {
					steps[i].Request.Append(int32(id))
				}
			}
		}
	}
	fmt.Println(len(steps), "replies of", len(steps[7].Request.Generated()), "tokens")
	// Output: 8 replies of 5 tokens
}

// A sampler on an accelerator takes the green list as a bit mask instead of logits.
func ExampleLister() {
	mark, err := exampleKey(watermark.KGW).Mark()
	if err != nil {
		panic(err)
	}
	lister, ok := watermark.Lister(mark)
	if !ok {
		panic("kgw has a list")
	}
	mask := make([]uint32, watermark.MaskWords(1000))
	marked := lister.GreenMask([]int32{12, 900}, mask)
	logits := model([]int32{12, 900})
	for id := range logits {
		if mask[id/32]>>(id%32)&1 == 1 {
			logits[id] += lister.Bias()
		}
	}
	same := model([]int32{12, 900})
	mark.Process([]int32{12, 900}, same)
	equal := true
	for id := range logits {
		equal = equal && logits[id] == same[id]
	}
	fmt.Println(marked, equal)
	// Output: true true
}
