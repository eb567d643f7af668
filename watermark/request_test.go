package watermark

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// specsOf are the native schemes with their options, for one vocabulary.
func specsOf(vocab int) []Spec {
	all := append(combinations(), options()...)
	for i := range all {
		all[i].Vocab = vocab
	}
	return all
}

func newTestKey(t testing.TB, s Spec) *Key {
	t.Helper()
	k, err := NewKey(s, rand.NewChaCha8([32]byte{'r'}))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func request(t testing.TB, k *Key, o RequestOptions) *Request {
	t.Helper()
	r, err := k.NewRequest(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A Request's steps are those of the scheme on the same history, prompt and all, also
// after tokens were taken back.
func TestRequest(t *testing.T) {
	t.Parallel()
	prompt := []int32{7, 3, 9, 11, 2, 5, 8, 1, 4}
	reply := randomTokens(30, 200, 4)
	for _, spec := range specsOf(200) {
		k := newTestKey(t, spec)
		s, err := k.Mark()
		if err != nil {
			t.Fatal(err)
		}
		r := request(t, k, RequestOptions{Prompt: prompt, Room: 30})
		plain := newToy(200, 2).logits(nil)
		check := func(n int) {
			t.Helper()
			history := slices.Clone(reply[:n])
			if k.Params.Contexts == WithPrompt {
				history = slices.Concat(prompt, history)
			}
			want, got, few := slices.Clone(plain), slices.Clone(plain), slices.Clone(plain[50:60])
			s.Process(history, want)
			r.Process(got)
			if !slices.Equal(got, want) {
				t.Fatalf("%s after %d tokens: other logits than the scheme's", name(spec), n)
			}
			ids := []int32{50, 51, 52, 53, 54, 55, 56, 57, 58, 59}
			wantFew := slices.Clone(few)
			s.ProcessCandidates(history, ids, wantFew)
			if r.ProcessCandidates(ids, few); !slices.Equal(few, wantFew) {
				t.Fatalf("%s after %d tokens: other candidates than the scheme's", name(spec), n)
			}
		}
		for n, id := range reply {
			check(n)
			r.Append(id)
		}
		r.Truncate(11)
		check(11)
		r.Append(reply[11:14]...)
		check(14)
		if !slices.Equal(r.Generated(), reply[:14]) {
			t.Errorf("%s: generated %v", name(spec), r.Generated())
		}
		want := Record{Key: k.ID, Scheme: k.Scheme, PRF: k.PRF, Epoch: k.Epoch, Tokens: 14}
		if got := r.Record(); got != want {
			t.Errorf("record %+v, want %+v", got, want)
		}
	}
}

// A reply that is not marked is left alone, and its record says why.
func TestRequestUnmarked(t *testing.T) {
	t.Parallel()
	k := newTestKey(t, Spec{Scheme: KGW, Tokenizer: "ids", Vocab: 50, Label: "cohort-a"})
	r := request(t, k, RequestOptions{Unmarked: "opted out"})
	logits := []float32{1, 2, 3}
	r.Append(1, 2, 3, 4)
	r.Process(logits)
	r.ProcessCandidates([]int32{4, 5, 6}, logits)
	if !slices.Equal(logits, []float32{1, 2, 3}) {
		t.Errorf("logits %v", logits)
	}
	text, err := json.Marshal(r.Record())
	if err != nil || string(text) != `{"unmarked":"opted out","tokens":4}` {
		t.Errorf("record %s, %v", text, err)
	}
	if r.SetRole(RoleDraft) {
		t.Error("what is not marked has roles")
	}
	if got := request(t, k, RequestOptions{}).Record().Label; got != "cohort-a" {
		t.Errorf("label %q", got)
	}
}

// With two channels the reply is marked under both keys; without an account it is
// refused, as is an account where there is one channel.
func TestRequestTwoChannels(t *testing.T) {
	t.Parallel()
	master := newTestKey(t, Spec{Scheme: Gumbel, Tokenizer: "ids", Vocab: 300, Params: Params{Tracing: .5}})
	for _, c := range []struct {
		key     *Key
		account string
		says    string
	}{
		{master, "", "needs an account"},
		{newTestKey(t, Spec{Scheme: Gumbel, Tokenizer: "ids", Vocab: 300}), "a", "one channel"},
		{account(t, master, "a"), "b", "an account's own"},
	} {
		if _, err := c.key.NewRequest(RequestOptions{Account: c.account}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("account %q: %v, want %q", c.account, err, c.says)
		}
	}
	r := request(t, master, RequestOptions{Account: "acme"})
	if r.Record().Account != "acme" {
		t.Errorf("record %+v", r.Record())
	}
	m, random := newToy(300, 1.5), rand.New(rand.NewPCG(1, 1))
	for range 400 {
		logits := m.logits(r.Generated())
		r.Process(logits)
		r.Append(sample(logits, random))
	}
	for _, k := range []*Key{master, account(t, master, "acme")} {
		s, err := k.Mark()
		if err != nil {
			t.Fatal(err)
		}
		d := NewDetector(s, Options{})
		d.Add(Item{Tokens: r.Generated()})
		if got := d.Result().Tail.Log10P; got > -10 {
			t.Errorf("account %q: log10 p %.1f", k.Account, got)
		}
	}
}

// Speculative decoding: rejected draft tokens are taken back, roles choose the key.
func TestRequestRoles(t *testing.T) {
	t.Parallel()
	k := newTestKey(t, Spec{Scheme: GumbelDual, Tokenizer: "ids", Vocab: 300})
	r := request(t, k, RequestOptions{})
	r.Append(5, 6, 7)
	chosen := map[Role]int{}
	for _, role := range []Role{RoleDraft, RoleTarget} {
		if !r.SetRole(role) {
			t.Fatal("gumbel-dual has no roles")
		}
		logits := make([]float32, 300)
		r.Process(logits)
		chosen[role] = slices.IndexFunc(logits, func(x float32) bool { return x == 0 })
	}
	if chosen[RoleDraft] == chosen[RoleTarget] {
		t.Errorf("both roles choose token %d", chosen[RoleDraft])
	}
}

// MarksGreedy is true of the schemes that add to logits, and of no other: those leave
// no logit at 0 where all are, or take candidates away.
func TestMarksGreedy(t *testing.T) {
	t.Parallel()
	check := func(s Scheme) {
		t.Helper()
		logits := make([]float32, s.Spec().Vocab)
		history := []int32{3, 1, 4, 15, 9, 2, 6, 5}
		s.Process(history, logits)
		added := true
		for _, x := range logits {
			if x < 0 || math.IsNaN(float64(x)) {
				added = false
			}
		}
		if slices.Max(logits) == slices.Min(logits) {
			t.Fatalf("%s does not mark", s.Name())
		}
		if MarksGreedy(s) != added {
			t.Errorf("%s: adds to logits %t, MarksGreedy %t", s.Name(), added, MarksGreedy(s))
		}
	}
	for _, spec := range specsOf(100) {
		check(decoy(t, spec, 1))
	}
	eachPreset(t, func(t *testing.T, p Preset, params map[string]string) { check(imported(t, p.Name, 500, params)) })
}

// A batch gives what its requests give one by one, on any number of workers.
func TestConcurrentBatcher(t *testing.T) {
	t.Parallel()
	const replies, steps, vocab = 13, 20, 300
	run := func(process func(all []Step)) (text [replies][]int32) {
		var all []Step
		random := rand.New(rand.NewPCG(9, 9))
		m := newToy(vocab, 2)
		for i, spec := range specsOf(vocab) {
			if i == replies {
				break
			}
			r := request(t, newTestKey(t, spec), RequestOptions{Prompt: []int32{1, 2, 3}})
			s := Step{Request: r}
			if i%3 == 0 {
				s.IDs = []int32{4, 8, 15, 16, 23, 42, 108, 299}
			}
			all = append(all, s)
		}
		for range steps {
			for i := range all {
				all[i].Logits = m.logits(all[i].Request.Generated())
				if all[i].IDs != nil {
					all[i].Logits = all[i].Logits[:len(all[i].IDs)]
				}
			}
			process(all)
			for i := range all {
				id := sample(all[i].Logits, random)
				if all[i].IDs != nil {
					id = all[i].IDs[id]
				}
				all[i].Request.Append(id)
			}
		}
		for i := range all {
			text[i] = all[i].Request.Generated()
		}
		return text
	}
	want := run(func(all []Step) {
		for _, s := range all {
			if s.IDs != nil {
				s.Request.ProcessCandidates(s.IDs, s.Logits)
			} else {
				s.Request.Process(s.Logits)
			}
		}
	})
	for _, workers := range []int{1, 2, 5, 40} {
		b := NewBatcher(workers)
		b.Process(nil)
		got := run(b.Process)
		b.Close()
		for i := range got {
			if !slices.Equal(got[i], want[i]) {
				t.Fatalf("%d workers: reply %d differs", workers, i)
			}
		}
	}
}

func TestRequestsDoNotAllocate(t *testing.T) {
	const vocab = 5000
	b := NewBatcher(2)
	defer b.Close()
	plain := newToy(vocab, 2).logits(nil)
	var steps []Step
	for _, spec := range specsOf(vocab) {
		r := request(t, newTestKey(t, spec), RequestOptions{Room: 100})
		r.Append(1, 2, 3, 4, 5, 6, 7, 8)
		steps = append(steps, Step{Request: r, Logits: slices.Clone(plain)})
	}
	step := func() {
		for i := range steps {
			copy(steps[i].Logits, plain)
			steps[i].Request.Append(int32(len(steps[i].Request.Generated()) % 7))
		}
		b.Process(steps)
	}
	step()
	if n := testing.AllocsPerRun(20, step); n != 0 {
		t.Errorf("%v allocations per batch", n)
	}
}

// BenchmarkBatcher is a step of 64 replies at once, ns per reply.
func BenchmarkBatcher(b *testing.B) {
	for _, scheme := range Schemes() {
		for _, workers := range []int{1, 2} {
			b.Run(scheme+"/workers="+string(rune('0'+workers)), func(b *testing.B) {
				k := newTestKey(b, benchSpec(scheme, AESCTR))
				plain := newToy(k.Vocab, 2.5).logits(nil)
				var steps []Step
				for i := range 64 {
					r := request(b, k, RequestOptions{Room: 1 << 16})
					r.Append(int32(i), 1)
					steps = append(steps, Step{Request: r, Logits: slices.Clone(plain)})
				}
				batch := NewBatcher(workers)
				defer batch.Close()
				batch.Process(steps)
				b.ReportAllocs()
				for b.Loop() {
					for i := range steps {
						copy(steps[i].Logits, plain)
						steps[i].Request.Append(int32(i))
					}
					batch.Process(steps)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/reply")
			})
		}
	}
}
