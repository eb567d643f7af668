package replies

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stillmark/stillmark/watermark"
)

// readParallel collects what four goroutines see, in the order of the ids.
func readParallel(input string, opt Options) ([]watermark.Item, error) {
	opt.Tokenizer = bytesTokenizer{}
	var (
		mu    sync.Mutex
		items []watermark.Item
	)
	yield := func(it watermark.Item) error {
		mu.Lock()
		defer mu.Unlock()
		it.Tokens, it.Prompt = slices.Clone(it.Tokens), slices.Clone(it.Prompt)
		items = append(items, it)
		return nil
	}
	err := ReadParallel(context.Background(), iotest.OneByteReader(strings.NewReader(input)), "in", opt, nil,
		[]func(watermark.Item) error{yield, yield, yield, yield})
	slices.SortFunc(items, func(a, b watermark.Item) int { return cmp.Compare(a.ID, b.ID) })
	return items, err
}

// TestReadParallel compares with Read, on lines that straddle blocks and on errors
// far into the input.
func TestReadParallel(t *testing.T) {
	t.Parallel()
	var ids, texts strings.Builder
	for i := range 3000 {
		list, _ := json.Marshal(make([]int32, i%200))
		fmt.Fprintf(&ids, "{\"id\":\"%06d\",\"tokens\":%s,\"prompt_tokens\":[%d, 2]}\n", i, list, i)
		fmt.Fprintf(&texts, "{\"id\":\"%06d\",\"text\":%q}\n\n", i, strings.Repeat("x", i%300))
	}
	huge := "{\"id\":\"huge\",\"tokens\":[" + strings.Repeat("1234,", blockBytes) + "5]}\n"
	for _, test := range []struct {
		name, input string
		opt         Options
	}{
		{"ids", ids.String(), Options{IDs: true}},
		{"texts", texts.String(), Options{}},
		{"plain", strings.Repeat("plain text ", 1000), Options{}},
		{"no newline at the end", "{\"id\":1,\"tokens\":[1,2]}", Options{IDs: true}},
		{"long line", ids.String() + huge + ids.String(), Options{IDs: true}},
		{"empty", "\n\n", Options{IDs: true}},
		{"broken", ids.String() + "{\"tokens\":[1,2}\n" + ids.String(), Options{IDs: true}},
		{"negative", ids.String() + "{\"tokens\":[1,-2]}\n", Options{IDs: true}},
		{"format", "x", Options{Format: "yaml"}},
	} {
		got, err := readParallel(test.input, test.opt)
		want, wantErr := read(test.input, test.opt)
		if fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Errorf("%s: error %v, want %v", test.name, err, wantErr)
		}
		slices.SortStableFunc(want, func(a, b watermark.Item) int { return cmp.Compare(a.ID, b.ID) })
		same := func(a, b watermark.Item) bool {
			return a.ID == b.ID && slices.Equal(a.Tokens, b.Tokens) && slices.Equal(a.Prompt, b.Prompt)
		}
		if err == nil && !slices.EqualFunc(got, want, same) {
			t.Errorf("%s: other items than one after another", test.name)
		}
	}
	stop := errors.New("stop")
	err := ReadParallel(t.Context(), strings.NewReader(ids.String()), "in", Options{IDs: true}, nil,
		[]func(watermark.Item) error{func(watermark.Item) error { return stop }})
	if !errors.Is(err, stop) {
		t.Errorf("error %v, want that of yield", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = ReadParallel(ctx, strings.NewReader(ids.String()), "in", Options{IDs: true}, nil,
		[]func(watermark.Item) error{func(watermark.Item) error { return nil }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

// idsLines are lines in every form that the fast reader knows or leaves alone.
var idsLines = []string{
	`{"id":"x","tokens":[1,2],"prompt_tokens":[3]}`,
	` { "tokens" : [ 1 , 2 ] , "id" : 7 , "other" : {"a":["]",{}],"b":"\"}"} , "n" : -1e5, "t": true } `,
	"{\"tokens\":[0],\"\xe7\":[]}", `{"tokens":[]}`, `{"tokens":[2147483647]}`, `{"tokens":[2147483648]}`, `{"tokens":[01]}`, `{"tokens":[1,]}`,
	`{"tokens":[-1]}`, `{"tokens":[1.0]}`, `{"tokens":[1e2]}`, `{"tokens":null}`, `{"tokens":[1],"tokens":[2]}`,
	`{"Tokens":[1]}`, `{"tok\u0065ns":[1]}`, `{}`, `{"id":"x"}`, `{"tokens":[1]}x`, `{"tokens":[1]`, `[]`, `{"tokens":[1],}`,
	`{"id":"a\"b\\","tokens":[1]}`, `{"id":{"a":1},"tokens":[1]}`, `{"tokens":"[1]"}`, "{\"tokens\":[1,\t2]}", `{"tokens":[1] "id":2}`,
}

// fieldOptions name other members than the usual ones.
var fieldOptions = []Options{
	{IDs: true},
	{IDs: true, Field: "other", PromptField: "tokens"},
	{IDs: true, Field: "tokens"},
	{IDs: true, PromptField: "n"},
	{IDs: true, Field: "other.a"},
	{IDs: true, Field: "id"},
}

// checkIDs: what the fast reader takes, encoding/json takes too, unless a member
// that nobody asked for is no JSON; and they see the same.
func checkIDs(t *testing.T, line []byte, opt Options) (fast bool) {
	var r idsReader
	if !r.names(opt) || !r.read(line) {
		return false
	}
	item, err := decode(line, opt)
	if err != nil {
		if json.Valid(line) {
			t.Errorf("%q: was read, but %v", line, err)
		}
		return true
	}
	if !slices.Equal(item.Tokens, r.item.Tokens) || !slices.Equal(item.Prompt, r.item.Prompt) || item.ID != r.item.ID {
		t.Errorf("%q: %+v, want %+v", line, r.item, item)
	}
	return true
}

func TestIDsReader(t *testing.T) {
	t.Parallel()
	taken := 0
	for _, line := range idsLines {
		if checkIDs(t, []byte(line), Options{IDs: true}) {
			taken++
		}
		for _, opt := range fieldOptions {
			checkIDs(t, []byte(line), opt)
		}
	}
	if taken != 7 {
		t.Errorf("%d lines taken, want 7", taken)
	}
	for _, digits := range []string{"0", "7", "12", "199", "2019", "50256", "200018", "1234567", "12345678", "2147483647", "99999999999"} {
		for _, behind := range []string{"", ",", "]", " ,12345678", "/", ":"} {
			want, _ := strconv.ParseUint(digits, 10, 64)
			if got, n := number([]byte(digits + behind)); n != len(digits) || n <= 10 && got != want {
				t.Errorf("%q: %d in %d digits", digits+behind, got, n)
			}
		}
	}
	// Both paths of a decoder, with memory that is used again.
	var d decoder
	for range 2 {
		for _, line := range append([]string{`{"other":[3],"tokens":[4,5],"id":"f"}`}, idsLines...) {
			for _, opt := range fieldOptions {
				got, err := d.decode([]byte(line), opt)
				want, wantErr := decode([]byte(line), opt)
				if (err == nil) != (wantErr == nil) {
					t.Errorf("%s, %+v: %v, want %v", line, opt, err, wantErr)
				}
				if err == nil && (!slices.Equal(got.Tokens, want.Tokens) || !slices.Equal(got.Prompt, want.Prompt) || got.ID != want.ID) {
					t.Errorf("%s, %+v: %v, want %v", line, opt, got, want)
				}
			}
		}
	}
}

func FuzzIDsReader(f *testing.F) {
	for _, line := range idsLines {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, opt := range fieldOptions {
			checkIDs(t, line, opt)
		}
	})
}

// BenchmarkReadParallel is lines of 500 ids on one goroutine, beside encoding/json.
func BenchmarkReadParallel(b *testing.B) {
	const items, length = 400, 500
	ids := make([]int32, length)
	var input bytes.Buffer
	random := rand.New(rand.NewPCG(1, 1))
	for i := range items {
		for j := range ids {
			ids[j] = int32(math.Exp(random.Float64()*math.Log(200_000))) - 1 // of all lengths, as in text
		}
		line, _ := json.Marshal(map[string]any{"id": fmt.Sprint(i), "tokens": ids})
		input.Write(append(line, '\n'))
	}
	yield := func(watermark.Item) error { return nil }
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(input.Len()))
		for b.Loop() {
			if err := ReadParallel(b.Context(), bytes.NewReader(input.Bytes()), "in", Options{IDs: true}, nil, []func(watermark.Item) error{yield}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/items/length, "ns/token")
	})
	b.Run("encoding/json", func(b *testing.B) {
		b.SetBytes(int64(input.Len()))
		for b.Loop() {
			for line := range bytes.Lines(input.Bytes()) {
				if _, err := decode(line, Options{IDs: true}); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/items/length, "ns/token")
	})
}
