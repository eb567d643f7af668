package watermark

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/stillmark/stillmark/watermark/evidence"
)

func plainCounts(n int64) evidence.Counts { return evidence.Plain(n) }

// TestDropped is the order of the rules on small texts, windows of 2 tokens.
func TestDropped(t *testing.T) {
	t.Parallel()
	spec := Spec{Scheme: KGW, Tokenizer: "toy", Vocab: 100}.withDefaults()
	notNine := func(window []int32) bool { return window[0] != 9 }
	for _, c := range []struct {
		what  string
		items []Item
		keep  func([]int32) bool
		n     int64
		want  Dropped
	}{
		{"nothing", nil, nil, 0, Dropped{}},
		{"an empty item", []Item{{}}, nil, 0, Dropped{}},
		{"too short", []Item{{Tokens: []int32{1, 2}}}, nil, 0, Dropped{Short: 2}},
		{"one unit", []Item{{Tokens: []int32{1, 2, 3}}}, nil, 1, Dropped{Short: 2}},
		{"a repeat in a reply", []Item{{Tokens: []int32{1, 2, 3, 1, 2, 3}}}, nil, 3, Dropped{Short: 2, Repeat: 1}},
		{
			"a repeat across replies",
			[]Item{{Tokens: []int32{1, 2, 3}}, {Tokens: []int32{1, 2, 3, 4}}},
			nil, 2,
			Dropped{Short: 4, Repeat: 1},
		},
		{"same window, other token", []Item{{Tokens: []int32{1, 2, 3, 1, 2, 4}}}, nil, 4, Dropped{Short: 2}},
		{"swapped window", []Item{{Tokens: []int32{1, 2, 5}}, {Tokens: []int32{2, 1, 5}}}, nil, 2, Dropped{Short: 4}},
		{"window in the prompt", []Item{{Prompt: []int32{7, 1, 2}, Tokens: []int32{1, 2, 3, 4}}}, nil, 1, Dropped{Short: 2, Prompt: 1}},
		{"window in another item's prompt", []Item{{Prompt: []int32{1, 2}}, {Tokens: []int32{1, 2, 3}}}, nil, 1, Dropped{Short: 2}},
		{
			"dropped for the prompt, it has not been seen",
			[]Item{{Prompt: []int32{1, 2}, Tokens: []int32{1, 2, 3}}, {Tokens: []int32{1, 2, 3}}, {Tokens: []int32{1, 2, 3}}},
			nil, 1,
			Dropped{Short: 6, Prompt: 1, Repeat: 1},
		},
		{"prompt comes before repeat", []Item{{Tokens: []int32{1, 2, 3}}, {Prompt: []int32{1, 2}, Tokens: []int32{1, 2, 3}}}, nil, 1, Dropped{Short: 4, Prompt: 1}},
		{"prompt shorter than a window", []Item{{Prompt: []int32{1}, Tokens: []int32{1, 2, 3}}}, nil, 1, Dropped{Short: 2}},
		{"id beyond the vocabulary", []Item{{Tokens: []int32{1, 2, 3, 100, 4, 5, 6}}}, nil, 2, Dropped{Short: 2, OutOfVocab: 3}},
		{"negative id", []Item{{Tokens: []int32{-1, 2, 3, 4}}}, nil, 1, Dropped{Short: 2, OutOfVocab: 1}},
		{"filter", []Item{{Tokens: []int32{9, 2, 3, 4}}}, notNine, 1, Dropped{Short: 2, Filtered: 1}},
		{"prompt before filter", []Item{{Prompt: []int32{9, 2}, Tokens: []int32{9, 2, 3}}}, notNine, 0, Dropped{Short: 2, Prompt: 1}},
	} {
		d := NewDetector(decoy(t, spec, 1), Options{Keep: c.keep})
		var tokens int64
		for _, it := range c.items {
			d.Add(it)
			tokens += int64(len(it.Tokens))
		}
		r := d.Result()
		if r.N != c.n || r.Dropped != c.want || r.Tokens != tokens || r.Items != int64(len(c.items)) {
			t.Errorf("%s: n %d, dropped %+v, %d tokens, %d items", c.what, r.N, r.Dropped, r.Tokens, r.Items)
		}
	}
}

// TestWeights: the weighted score is the sum of min(count, 8) times the score.
func TestWeights(t *testing.T) {
	t.Parallel()
	for _, spec := range combinations() {
		for _, weights := range []string{"", WeightsAuto, WeightsNone, WeightsMin8} {
			s := decoy(t, spec, 2)
			d := NewDetector(s, Options{Weights: weights})
			r := rand.New(rand.NewPCG(3, 3))
			count := map[[3]int32]int{}
			for range 40 {
				tokens := make([]int32, 50)
				for i := range tokens {
					tokens[i] = int32(math.Exp(r.Float64()*4.6)) - 1 // small ids are frequent
					switch {
					case i >= 2:
						count[[3]int32(tokens[i-2:])]++
					case padded(spec) && i == 1:
						count[[3]int32{-1, tokens[0], tokens[1]}]++
					case padded(spec):
						count[[3]int32{-1, -1, tokens[0]}]++
					}
				}
				d.Add(Item{Tokens: tokens})
			}
			var plain, weighted float64
			var counts evidence.Counts
			for u, c := range count {
				x := s.Score(u[:2], u[2])
				w := min(c, 8)
				if weights == WeightsNone || weights != WeightsMin8 && spec.Scheme == KGW {
					w = 1
				}
				plain += x
				weighted += float64(w) * x
				counts[w]++
			}
			got := d.Result()
			if got.N != int64(len(count)) || got.Counts != counts ||
				math.Abs(got.Score-weighted) > 1e-9*weighted || math.Abs(got.Plain.Score-plain) > 1e-9*plain {
				t.Errorf("%s, weights %q: n %d, score %v, plain %v, counts %v; want %d, %v, %v, %v",
					name(spec), weights, got.N, got.Score, got.Plain.Score, got.Counts, len(count), weighted, plain, counts)
			}
			pairs := 0
			for p := range d.Pairs {
				if c := min(count[[3]int32{p.Window[0], p.Window[1], p.Token}], 8); c != p.Count {
					t.Fatalf("pair %+v: counted %d", p, c)
				}
				pairs++
			}
			if pairs != len(count) {
				t.Errorf("%d pairs of %d", pairs, len(count))
			}
			// The decoys score the same units under the same weights: the
			// run's own key, scored their way, must agree.
			if own := d.grouped().score(t.Context(), s).score; math.Abs(own-weighted) > 1e-9*weighted {
				t.Errorf("%s, weights %q: decoys would score %v", name(spec), weights, own)
			}
		}
	}
	if _, err := ResolveWeights("min9", Gumbel); err == nil {
		t.Error("weights min9 were accepted")
	}
}

func TestScoreTokens(t *testing.T) {
	t.Parallel()
	s := decoy(t, Spec{Scheme: Gumbel, Tokenizer: "toy", Vocab: 100}.withDefaults(), 1)
	it := Item{Prompt: []int32{2, 3}, Tokens: []int32{1, 2, 5, 4, 2, 3, 7, 100, 9, 8, 1, 2, 5}}
	got := ScoreTokens(s, it)
	want := []Fate{
		FateShort, FateShort, FateScored, FateScored, FateScored, FateScored, FatePrompt,
		FateOutOfVocab, FateOutOfVocab, FateOutOfVocab, FateScored, FateScored, FateRepeat,
	}
	if len(got) != len(want) {
		t.Fatalf("%d positions of %d", len(got), len(want))
	}
	for i, f := range want {
		var score float64
		if f != FateShort && f != FateOutOfVocab {
			score = s.Score(it.Tokens[i-2:i], it.Tokens[i])
		}
		if w := (TokenScore{Index: i, Token: it.Tokens[i], Fate: f, Score: score}); got[i] != w {
			t.Errorf("position %d: %+v, want %+v", i, got[i], w)
		}
	}
}

// nullText is unmarked text with the repetitions of a language: a fixed
// first-order toy, seven replies.
func nullText(vocab int) []Item {
	language, r := newToy(vocab, 4), rand.New(rand.NewPCG(5, 5))
	var items []Item
	for range 7 {
		items = append(items, Item{Tokens: language.generate(nil, 50, r, nil)})
	}
	return items
}

// TestCalibration: over random keys the p-values of one fixed unmarked text are
// uniform, for each scheme, PRF and weighting. The null is over the key: that
// is why the text stays and the key changes.
func TestCalibration(t *testing.T) {
	t.Parallel()
	keys := 10_000
	if testing.Short() {
		keys = 1000
	}
	for _, spec := range combinations() {
		for _, weights := range []string{WeightsNone, WeightsMin8} {
			t.Run(name(spec)+"/"+weights, func(t *testing.T) {
				t.Parallel()
				d := NewDetector(decoy(t, spec, 0), Options{Weights: weights})
				for _, it := range nullText(spec.Vocab) {
					d.Add(it)
				}
				r := d.Result()
				if r.Dropped.Repeat == 0 || weights == WeightsMin8 && r.Counts[2] == 0 {
					t.Fatalf("the text repeats nothing: %+v, %v", r.Dropped, r.Counts)
				}
				_, scores, err := d.Decoys(t.Context(), [32]byte{'c', 'a', 'l'}, keys, nil)
				if err != nil {
					t.Fatal(err)
				}
				coin := rand.New(rand.NewPCG(6, 6))
				p := make([]float64, keys)
				var below [3]int // 1e-1, 1e-2, 1e-3
				for i, x := range scores {
					p[i] = r.Law.RandomizedP(x, r.Counts, coin.Float64())
					for j := range below {
						if p[i] < math.Pow10(-1-j) {
							below[j]++
						}
					}
				}
				if stat, ks := evidence.KolmogorovSmirnov(p); !(ks > 1e-3) {
					t.Errorf("KS distance %v, p %v", stat, ks)
				}
				for j, n := range below {
					q := math.Pow10(-1 - j)
					mean, sd := q*float64(keys), math.Sqrt(q*(1-q)*float64(keys))
					if math.Abs(float64(n)-mean) > 4*sd+1 {
						t.Errorf("%d of %d p-values below %v; expected %.0f +- %.1f", n, keys, q, mean, sd)
					}
				}
			})
		}
	}
}

func TestDecoys(t *testing.T) {
	t.Parallel()
	spec := Spec{Scheme: Gumbel, Tokenizer: "toy", Vocab: 500}.withDefaults()
	d := NewDetector(decoy(t, spec, 0), Options{})
	for _, it := range nullText(spec.Vocab) {
		d.Add(it)
	}
	var mu sync.Mutex
	var calls []int
	judged, scores, err := d.Decoys(t.Context(), [32]byte{1}, 99, func(done int) {
		mu.Lock()
		calls = append(calls, done)
		mu.Unlock()
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(calls) != 99 || !slices.IsSorted(calls) || calls[98] != 99 {
		t.Errorf("progress %v", calls)
	}
	above := 0
	for _, x := range scores {
		if x >= d.Result().Score {
			above++
		}
	}
	if want := float64(1+above) / 100; judged.N != 99 || math.Abs(judged.RankP-want) > 1e-12 {
		t.Errorf("judged %+v, rank p should be %v", judged, want)
	}
	// Decoy i is DecoyKey(seed, i), whatever the parallelism.
	before := runtime.GOMAXPROCS(1)
	again, one, err := d.Decoys(t.Context(), [32]byte{1}, 99, nil)
	runtime.GOMAXPROCS(before)
	if err != nil || !slices.Equal(one, scores) || again != judged {
		t.Errorf("one worker gives other decoys (%v)", err)
	}
	s, err := DecoyKey([32]byte{1}, 42, spec)
	if err != nil {
		t.Fatal(err)
	}
	// One by one the logarithms are added, in a batch their arguments multiplied.
	if got := d.grouped().score(t.Context(), s).score; math.Abs(got/scores[42]-1) > 1e-12 {
		t.Errorf("decoy 42 scores %v, not %v", got, scores[42])
	}
	if _, other, err := d.Decoys(t.Context(), [32]byte{2}, 9, nil); err != nil || slices.Equal(other, scores[:9]) {
		t.Errorf("another seed gives the same decoys (%v)", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	_, _, err = d.Decoys(ctx, [32]byte{}, 1_000_000, func(int) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, _, err := d.Decoys(t.Context(), [32]byte{}, 0, nil); err == nil {
		t.Error("no decoys were scored")
	}
	if _, _, err := NewDetector(s, Options{}).Decoys(t.Context(), [32]byte{}, 19, nil); err != nil {
		t.Errorf("a run without units: %v", err)
	}
}

// TestFilterOnPairsIsInvalid is the reason why Keep is given windows only.
// Innocents speak the language of our traffic and never saw it. Keeping their
// pairs that occur in our marked traffic makes every one of them guilty;
// keeping their windows that do leaves uniform p-values. The traffic is
// generated afresh under every key, as the null over the key demands.
func TestFilterOnPairsIsInvalid(t *testing.T) {
	t.Parallel()
	keys := 150
	if testing.Short() {
		keys = 30
	}
	language := newToy(60, 1.5)
	innocent := language.generate(nil, 1500, rand.New(rand.NewPCG(8, 8)), nil)
	for _, scheme := range Schemes() {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			language := newToy(60, 1.5) // its cache is not for sharing
			spec := Spec{Scheme: scheme, Tokenizer: "toy", Vocab: 60}.withDefaults()
			coin := rand.New(rand.NewPCG(9, 9))
			var byWindow []float64
			guilty := 0
			for key := range keys {
				s := decoy(t, spec, key)
				served := NewWindowSet(2)
				pairs := NewWindowSet(3) // what must not be used
				traffic := language.generate(s, 1500, coin, nil)
				served.Add(traffic)
				pairs.Add(append(traffic, 0)) // a window of 3 is a pair; all but the last are kept

				d := NewDetector(s, Options{Weights: WeightsNone, Keep: served.Has})
				d.Add(Item{Tokens: innocent})
				r := d.Result()
				if r.Dropped.Filtered == 0 || r.N < 200 {
					t.Fatalf("the filter kept %d units and dropped %d", r.N, r.Dropped.Filtered)
				}
				byWindow = append(byWindow, r.Law.RandomizedP(r.Score, r.Counts, coin.Float64()))

				var n int64
				var score float64
				all := NewDetector(s, Options{Weights: WeightsNone})
				all.Add(Item{Tokens: innocent})
				for p := range all.Pairs {
					if pairs.Has(append(slices.Clone(p.Window), p.Token)) {
						n++
						score += s.Score(p.Window, p.Token)
					}
				}
				if r.Law.Tail(score, plainCounts(n)).Log10P < -3 {
					guilty++
				}
			}
			if guilty < keys*9/10 {
				t.Errorf("the invalid filter convicts only %d of %d innocents: the test shows nothing", guilty, keys)
			}
			if d, p := evidence.KolmogorovSmirnov(byWindow); !(p > 1e-3) {
				t.Errorf("filtered on windows: KS distance %v, p %v", d, p)
			}
		})
	}
}

func TestWindowSet(t *testing.T) {
	t.Parallel()
	s := NewWindowSet(2)
	s.Add([]int32{1, 2, 3, 1, 2, 4})
	for _, c := range []struct {
		window []int32
		want   bool
	}{
		{[]int32{1, 2}, true},
		{[]int32{2, 3}, true},
		{[]int32{3, 1}, true},
		{[]int32{2, 4}, false}, // nothing was served after it
		{[]int32{2, 1}, false},
		{[]int32{1}, false},
		{[]int32{1, 2, 3}, false},
	} {
		if got := s.Has(c.window); got != c.want {
			t.Errorf("Has(%v) = %v", c.window, got)
		}
	}
	if s.Len() != 3 {
		t.Errorf("%d windows", s.Len())
	}
}

// TestTuples compares with a map on many entries.
func TestTuples(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(4, 4))
	set := newTuples(3)
	for range 2 {
		entries := map[[3]int32]int{}
		for range 20_000 {
			key := [3]int32{r.Int32N(30), r.Int32N(30) - 15, r.Int32N(30)}
			want, known := entries[key]
			if set.has(key[:]) != known {
				t.Fatalf("has(%v) is %v", key, !known)
			}
			got, added := set.insert(key[:])
			if !known {
				want = len(entries)
				entries[key] = want
			}
			if got != want || added == known {
				t.Fatalf("insert(%v) = %d, %v; want %d, %v", key, got, added, want, !known)
			}
		}
		if set.len() != len(entries) {
			t.Fatalf("%d entries, want %d", set.len(), len(entries))
		}
		set.reset()
	}
}

// TestUnitMemory holds the doc comment's figure: at most 27 bytes a unit.
// TestStreamMemory: a text without new units adds nothing, however many come.
func TestStreamMemory(t *testing.T) {
	s, err := DecoyKey([32]byte{1}, 0, Spec{Scheme: KGW, Tokenizer: "t", Vocab: 1000})
	if err != nil {
		t.Fatal(err)
	}
	d := NewDetector(s, Options{Weights: WeightsMin8})
	it := Item{Tokens: make([]int32, 500), Prompt: []int32{1, 2, 3}}
	for i := range it.Tokens {
		it.Tokens[i] = int32(i * i % 997)
	}
	d.Add(it)
	if n := testing.AllocsPerRun(100, func() { d.Add(it) }); n != 0 {
		t.Errorf("%v allocations for a text that was seen before", n)
	}
	if r := d.Result(); r.Items != 102 || r.Effect.Lo >= r.Effect.Hi {
		t.Errorf("%+v", r)
	}
}

func TestUnitMemory(t *testing.T) {
	const n = 300_000
	s := decoy(t, benchSpec(KGW, AESCTR), 1)
	tokens := randomTokens(n, 200_019, 9)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	d := NewDetector(s, Options{})
	d.Add(Item{Tokens: tokens})
	runtime.GC()
	runtime.ReadMemStats(&after)
	units := d.Result().N
	per := (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / float64(units)
	t.Logf("%.1f bytes a unit", per)
	if units < n-100 || per > 28 {
		t.Errorf("%d units at %.1f bytes", units, per)
	}
}

// FuzzDetector feeds arbitrary ids, prompts and filters.
func FuzzDetector(f *testing.F) {
	f.Add([]byte{1, 0, 2, 0, 3, 0, 1, 0, 2, 0, 3, 0}, []byte{1, 0, 2, 0}, uint8(0))
	f.Add([]byte{255, 255, 2, 0, 3, 0}, []byte{}, uint8(3))
	f.Fuzz(func(t *testing.T, text, prompt []byte, choice uint8) {
		if len(text) > 1<<12 || len(prompt) > 1<<12 {
			return
		}
		all := combinations()
		spec := all[int(choice)%len(all)]
		opt := Options{}
		if choice&64 != 0 {
			opt.Keep = func(window []int32) bool { return window[0]%2 == 0 }
		}
		d := NewDetector(decoy(t, spec, 1), opt)
		it := Item{Prompt: ids(prompt), Tokens: ids(text)}
		d.Add(it)
		first := d.Result()
		x := first.Dropped
		if first.N+x.Short+x.Prompt+x.OutOfVocab+x.Filtered+x.Repeat != int64(len(it.Tokens)) {
			t.Fatalf("positions do not add up: %+v", first)
		}
		if first.Counts.N() != first.N || first.Score < first.Plain.Score || !(first.Tail.Log10P <= 0) {
			t.Fatalf("inconsistent: %+v", first)
		}
		d.Add(it)
		if again := d.Result(); again.N != first.N || again.Plain.Score != first.Plain.Score {
			t.Fatalf("the same item again added units: %+v, then %+v", first, again)
		}
		if n := len(ScoreTokens(decoy(t, spec, 1), it)); n != len(it.Tokens) {
			t.Fatalf("%d scores of %d tokens", n, len(it.Tokens))
		}
	})
}

// ids reads little-endian int16s: small ids, negative ones, and many repeats.
func ids(b []byte) (out []int32) {
	for ; len(b) >= 2; b = b[2:] {
		out = append(out, int32(int16(binary.LittleEndian.Uint16(b))))
	}
	return out
}

// ExampleDetector marks a text with a key and finds it.
func ExampleDetector() {
	key, err := NewKey(Spec{Scheme: Tournament, Tokenizer: "toy", Vocab: 500}, new(counting))
	if err != nil {
		panic(err)
	}
	scheme, err := key.Mark()
	if err != nil {
		panic(err)
	}
	marked := newToy(500, 2).generate(scheme, 200, rand.New(rand.NewPCG(1, 1)), nil)

	detector := NewDetector(scheme, Options{})
	detector.Add(Item{ID: "reply-1", Tokens: marked})
	r := detector.Result()
	fmt.Println(r.N, "units, marked:", r.Tail.Log10P < -20)
	// Output: 198 units, marked: true
}
