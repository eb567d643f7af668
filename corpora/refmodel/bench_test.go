package refmodel_test

import (
	"context"
	"testing"

	"github.com/stillmark/stillmark/corpora/refmodel"
	"github.com/stillmark/stillmark/watermark"
)

// BenchmarkTrain reports the time for about 230,000 tokens, 1 MB of text.
func BenchmarkTrain(b *testing.B) {
	e := encoding(b)
	docs := base(b, e, 1, baseBytes)
	n := 0
	for _, doc := range docs {
		n += len(doc)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := refmodel.Train(docs, refmodel.Options{Vocab: e.VocabSize()}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
}

// BenchmarkGenerate draws replies of 1,000 tokens, unmarked and under every scheme.
func BenchmarkGenerate(b *testing.B) {
	e := encoding(b)
	m := train(b, e, base(b, e, 1, baseBytes))
	prompt := encode(b, e, "The first thing")
	run := func(name string, s refmodel.Sampling) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Seed++
				if err := m.Generate(context.Background(), prompt, s, func(refmodel.Token) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(s.MaxTokens)*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
	s := refmodel.DefaultSampling()
	s.MaxTokens = 1000
	run("unmarked", s)
	for _, scheme := range watermark.Schemes() {
		marked := s
		marked.Mark = mark(b, e, scheme, 1)
		run(scheme, marked)
	}
	warm := s
	warm.Temperature, warm.TopP = .8, .95
	run("temperature=0.8,top-p=0.95", warm)
	s.Logprobs = 5
	run("logprobs=5", s)
}

// BenchmarkLogprob scores held-out text token by token.
func BenchmarkLogprob(b *testing.B) {
	e := encoding(b)
	m := train(b, e, base(b, e, 1, baseBytes))
	ids := base(b, e, 2, 1<<16)[0]
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		m.Logprob(ids[max(0, i-3):i], ids[i])
		i = (i + 1) % len(ids)
	}
}
