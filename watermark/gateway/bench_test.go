package gateway

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stillmark/stillmark/corpora/refmodel"
	"github.com/stillmark/stillmark/watermark"
)

// overhead runs TestOverhead, which takes a minute: the figures of the README.
var overhead = flag.Bool("overhead", false, "measure the gateway's overhead at 1, 16 and 128 streams")

// stepTime is what the upstream of TestOverhead takes for a step, about an 8B model's
// on one accelerator.
const stepTime = 20 * time.Millisecond

// timed is the time of one token at a stream.
type timed struct {
	first []time.Duration // from the request to the first token
	gaps  []time.Duration // between tokens
	total time.Duration
	count int
}

// ask streams one completion of n tokens.
func (d *timed) ask(t testing.TB, client *http.Client, url string, n int) {
	began := time.Now()
	body := fmt.Sprintf(`{"model":"nova","prompt":"The harbour of the town is","max_tokens":%d,"stream":true}`, n)
	response, err := client.Post(url+"/v1/completions", "application/json", strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	last, tokens := began, 0
	for lines.Scan() {
		if !strings.HasPrefix(lines.Text(), `data: {"id"`) {
			continue
		}
		now := time.Now()
		if tokens++; tokens == 1 {
			d.first = append(d.first, now.Sub(last))
		} else {
			d.gaps = append(d.gaps, now.Sub(last))
		}
		last = now
	}
	d.count += n
	d.total += time.Since(began)
}

func percentile(d []time.Duration, q float64) time.Duration {
	slices.Sort(d)
	return d[min(len(d)-1, int(q*float64(len(d))))]
}

// TestOverhead measures, over real HTTP on loopback, what the gateway adds to a token:
// against an upstream that takes no time (how much the machine can do) and one that
// takes as long as a model (what a client sees). Run it with -v -overhead.
func TestOverhead(t *testing.T) {
	if !*overhead {
		t.Skip("measures for a minute: -v -overhead")
	}
	key := newKey(t, watermark.Spec{Scheme: watermark.Gumbel})
	for _, c := range []struct {
		name  string
		pause time.Duration
	}{{"at once", 0}, {"20 ms a step", stepTime}} {
		model := func(ids []int32, n int) []refmodel.Alt {
			time.Sleep(c.pause)
			return reference().Top(ids, n)
		}
		upstream := startUpstream(t, model, nil)
		for _, streams := range []int{1, 16, 128} {
			tokens := 60
			s, err := New(t.Context(), Options{Upstream: UpstreamOptions{URL: upstream.URL()}, Keys: OneKey(key), Tokenizer: encoding(), Ends: []int32{endOfText}})
			if err != nil {
				t.Fatal(err)
			}
			url := serveOn(t, s)
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: streams}}
			new(timed).ask(t, client, url, 5) // connections, caches
			var (
				mu   sync.Mutex
				all  timed
				wait sync.WaitGroup
			)
			began, used := time.Now(), cpuTime()
			for range streams {
				wait.Go(func() {
					var d timed
					for range max(1, 32/streams) {
						d.ask(t, client, url, tokens)
					}
					mu.Lock()
					defer mu.Unlock()
					all.first, all.gaps, all.count = append(all.first, d.first...), append(all.gaps, d.gaps...), all.count+d.count
				})
			}
			wait.Wait()
			took := time.Since(began)
			through := (cpuTime() - used) / time.Duration(all.count)
			used = cpuTime()
			direct, without := askDirectly(t, s.up, streams, max(1, 32/streams), tokens)
			bare := (cpuTime() - used) / time.Duration(len(direct))
			t.Logf("%-12s %4d streams  CPU a token: direct %s, through %s  tokens/s: direct %.0f, through %.0f  a token: direct p50 %s p99 %s, through p50 %s p99 %s, added p50 %s p99 %s  first token p50 %s p99 %s  own work %s",
				c.name, streams, micros(bare), micros(through), float64(all.count)/without.Seconds(), float64(all.count)/took.Seconds(),
				micros(percentile(direct, .5)), micros(percentile(direct, .99)), micros(percentile(all.gaps, .5)), micros(percentile(all.gaps, .99)),
				micros(percentile(all.gaps, .5)-percentile(direct, .5)), micros(percentile(all.gaps, .99)-percentile(direct, .99)),
				micros(percentile(all.first, .5)), micros(percentile(all.first, .99)),
				micros(time.Duration(s.metrics.own.sum.value()/float64(all.count)*1e9)))
			client.CloseIdleConnections()
		}
	}
}

// askDirectly asks the upstream for the same steps without a gateway, and takes the
// most probable token of each. It gives the times of the steps and of all.
func askDirectly(t *testing.T, up *upstream, streams, replies, tokens int) ([]time.Duration, time.Duration) {
	t.Helper()
	var (
		mu   sync.Mutex
		all  []time.Duration
		wait sync.WaitGroup
	)
	prompt, err := encoding().Encode("The harbour of the town is")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range streams {
		wait.Go(func() {
			var own []time.Duration
			for range replies {
				seq := newSequence(prompt, tokens)
				for range tokens {
					at := time.Now()
					cands, err := up.next(t.Context(), seq, nil)
					if err != nil {
						t.Error(err)
						return
					}
					own = append(own, time.Since(at))
					seq.add(cands[0].id)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, own...)
		})
	}
	wait.Wait()
	return all, time.Since(began)
}

func micros(d time.Duration) string { return fmt.Sprintf("%d µs", d.Microseconds()) }

// serveOn gives the URL of a running gateway.
func serveOn(t testing.TB, s *Server) string {
	t.Helper()
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return h.URL
}

// TestMemory measures what a stream holds while it waits for its upstream, client and
// upstream included: all three are in this process. Run it with -v -overhead.
func TestMemory(t *testing.T) {
	if !*overhead {
		t.Skip("measures: -v -overhead")
	}
	const streams = 128
	hold := make(chan struct{})
	var asked sync.WaitGroup
	asked.Add(streams)
	steps := make(chan struct{}, streams+2)
	model := func(ids []int32, n int) []refmodel.Alt {
		select {
		case steps <- struct{}{}:
			if len(steps) > 2 {
				asked.Done()
				<-hold
			}
		default:
		}
		return reference().Top(ids, n)
	}
	s, err := New(t.Context(), Options{Upstream: UpstreamOptions{URL: startUpstream(t, model, nil).URL()}, Keys: OneKey(newKey(t, watermark.Spec{Scheme: watermark.Gumbel})), Tokenizer: encoding()})
	if err != nil {
		t.Fatal(err)
	}
	url := serveOn(t, s)
	before := heap()
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	for range streams {
		wait.Go(func() {
			ids := strings.Repeat("11,", 999) + "11"
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/completions", strings.NewReader(`{"prompt":[`+ids+`],"max_tokens":5,"stream":true}`))
			if err != nil {
				t.Error(err)
				return
			}
			response, err := http.DefaultClient.Do(request)
			if err == nil {
				io.Copy(io.Discard, response.Body)
				response.Body.Close()
			}
		})
	}
	asked.Wait()
	t.Logf("%d streams of a prompt of 1,000 tokens: %.0f kB a stream, client, gateway and upstream together", streams, float64(heap()-before)/streams/1000)
	cancel()
	close(hold)
	wait.Wait()
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// BenchmarkStep is the gateway's work for a token apart from HTTP: reading the answer
// of the upstream, the distribution, the mark, the draw, the text.
func BenchmarkStep(b *testing.B) {
	for _, k := range []int{20, 100, 1000} {
		b.Run(fmt.Sprintf("candidates=%d", k), func(b *testing.B) {
			var body strings.Builder
			body.WriteString(`{"id":"cmpl-1","object":"text_completion","choices":[{"index":0,"text":"x","logprobs":{"tokens":["token_id:5"],"token_logprobs":[-1.5],"top_logprobs":[{`)
			_, named := ladder(100_000, k)
			for i, c := range named {
				if i > 0 {
					body.WriteByte(',')
				}
				fmt.Fprintf(&body, `"token_id:%d":%v`, c.id, c.logprob)
			}
			body.WriteString(`}],"text_offset":[0]},"finish_reason":"length"}]}`)
			answer := []byte(body.String())
			mark, err := newKey(b, watermark.Spec{Scheme: watermark.Gumbel}).NewRequest(watermark.RequestOptions{})
			if err != nil {
				b.Fatal(err)
			}
			up := &upstream{vocab: encoding().VocabSize(), opt: UpstreamOptions{Candidates: k}}
			var s step
			mark.Append(1, 2, 3, 4, 5)
			b.ReportAllocs()
			used := cpuTime()
			for b.Loop() {
				cands, err := vllm{}.candidates(answer)
				if err != nil {
					b.Fatal(err)
				}
				if cands, err = up.clean(cands); err != nil {
					b.Fatal(err)
				}
				s.set(cands, truncation{1, .95, 0, 0}, up.vocab)
				if _, err := s.draw(mark, false, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpuTime()-used)/float64(b.N), "cpu-ns/op")
		})
	}
}
