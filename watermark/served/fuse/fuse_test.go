package fuse

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/FastFilter/xorfilter"

	"github.com/stillmark/stillmark/watermark/prf"
	"github.com/stillmark/stillmark/watermark/served"
)

// salt is what a test's filter draws.
var salt = []byte("sixteen salty by")

// build makes a filter of windows, which four streams share.
func build(t testing.TB, window int, secret []byte, windows [][]int32, change func(b *Builder)) []byte {
	t.Helper()
	dir := t.TempDir()
	b, err := NewBuilder(window, secret, bytes.NewReader(salt), dir)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(b)
	}
	var work sync.WaitGroup
	for part := range slices.Chunk(windows, len(windows)/4+1) {
		work.Go(func() {
			s := b.Stream()
			for _, w := range part {
				if err := s.Add(w); err != nil {
					t.Error(err)
				}
			}
			if err := s.Flush(); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	var out bytes.Buffer
	n, err := b.Write(t.Context(), &out, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%d temporary files are left", len(left))
	}
	f, err := open(out.Bytes(), secret)
	if err != nil {
		t.Fatal(err)
	}
	if uint64(f.Len()) != n || f.Window() != window || f.Keyed() != (secret != nil) || f.Shards() != 1<<b.head.ShardBits {
		t.Errorf("the filter has %d windows of %d in %d shards, %d were written", f.Len(), f.Window(), f.Shards(), n)
	}
	return out.Bytes()
}

func open(data, secret []byte) (*served.Filter, error) {
	return served.OpenFilter(bytes.NewReader(data), int64(len(data)), secret)
}

// pairs are n distinct windows of two tokens, every third of them twice.
func pairs(n int) [][]int32 {
	var windows [][]int32
	for i := range int32(n) {
		windows = append(windows, []int32{i, i * 7 % 1000})
		if i%3 == 0 {
			windows = append(windows, windows[len(windows)-1])
		}
	}
	return windows
}

// TestFilter: what was served is found, in one shard and in many, from memory and
// from temporary files; what was not passes at the rate that is said.
func TestFilter(t *testing.T) {
	t.Parallel()
	many := func(b *Builder) { b.shardKeys = 3000 }
	for _, test := range []struct {
		name   string
		n      int
		secret []byte
		change func(b *Builder)
	}{
		{"empty", 0, nil, nil},
		{"one", 1, nil, nil},
		{"few", 10, nil, nil},
		{"keyed", 5000, bytes.Repeat([]byte{7}, served.SecretBytes), nil},
		{"shards", 50_000, nil, many},
		{"files", 400_000, nil, func(b *Builder) { b.bucketKeys, b.shardKeys = 300, 30_000 }},
	} {
		windows := pairs(test.n)
		data := build(t, 2, test.secret, windows, test.change)
		f, err := open(data, test.secret)
		if err != nil {
			t.Fatal(err)
		}
		if f.Len() != test.n {
			t.Errorf("%s: %d windows, want %d", test.name, f.Len(), test.n)
		}
		for i, w := range windows {
			if i%(1+test.n>>17) == 0 && !f.Has(w) {
				t.Fatalf("%s: %v is missing", test.name, w)
			}
		}
		const strangers = 1 << 20
		passed := 0
		for i := range int32(strangers) {
			if f.Has([]int32{-5 - i, i}) {
				passed++
			}
		}
		// 16 expected, standard deviation 4.
		if passed > 40 || test.n > 0 && passed == 0 {
			t.Errorf("%s: %d of 2^20 strangers passed, want 16", test.name, passed)
		}
		if f.Has([]int32{1}) || f.Has([]int32{0, 0, 0}) || f.Err() != nil {
			t.Errorf("%s: windows of other lengths pass (%v)", test.name, f.Err())
		}
		if size := float64(len(data)) / float64(test.n); test.n > 100_000 && size > 2.5 {
			t.Errorf("%s: %.2f bytes a window", test.name, size)
		}
	}
}

// TestFilterIsTheLibrarys: this reader and the library's own answer alike, on
// strangers too.
func TestFilterIsTheLibrarys(t *testing.T) {
	t.Parallel()
	windows := pairs(20_000)
	f, err := open(build(t, 2, nil, windows, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	hash := prf.NewWindowHash([16]byte(salt))
	var keys []uint64
	for _, w := range windows {
		keys = append(keys, hash.Sum(w))
	}
	slices.Sort(keys)
	lib, err := xorfilter.NewBinaryFuse[uint16](slices.Compact(keys))
	if err != nil {
		t.Fatal(err)
	}
	passed := 0
	for i := range int32(400_000) {
		w := []int32{i, -i - 2}
		has := f.Has(w)
		if want := lib.Contains(hash.Sum(w)); has != want {
			t.Fatalf("%v: %v, the library says %v", w, has, want)
		} else if has {
			passed++
		}
	}
	if passed == 0 {
		t.Error("no stranger passed: nothing was compared but the answer no")
	}
}

// TestFormat reads a filter by FORMAT.md, with nothing of the reader's.
func TestFormat(t *testing.T) {
	t.Parallel()
	secret := bytes.Repeat([]byte{1}, served.SecretBytes)
	data := build(t, 2, secret, pairs(1000), nil)
	le := binary.LittleEndian
	at := 27
	if string(data[:at]) != "stillmark windows fuse16 1\n" || le.Uint32(data[27:]) != 2 || le.Uint32(data[31:]) != 1 ||
		string(data[35:51]) != string(salt) || le.Uint32(data[59:]) != 0 {
		t.Fatalf("the head is %q", data[:63])
	}
	end := len(data) - 32 - 24
	entry := data[end:]
	length, count := le.Uint32(entry[16:]), le.Uint32(entry[20:])
	if le.Uint64(entry[8:]) != 1000 || int(2*(count+2)*length) != end-63 {
		t.Errorf("%d windows, %d segments of %d in %d bytes", le.Uint64(entry[8:]), count, length, end-63)
	}
	if sum := sha256.Sum256(data[:len(data)-32]); !bytes.Equal(sum[:], data[len(data)-32:]) {
		t.Error("the SHA-256 is another")
	}
	const golden = "35ff2b88266c0e3cee5ab866b786e6f88c00f171e794efabe3ea75deb8c9b13c" // of the whole file: the same traffic, secret and salt give the same bytes
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != golden {
		t.Errorf("the file's SHA-256 is %x", sum)
	}
}

// TestDamage: a filter with one bit changed anywhere, cut or lengthened is refused.
func TestDamage(t *testing.T) {
	t.Parallel()
	data := build(t, 3, nil, [][]int32{{1, 2, 3}, {4, 5, 6}}, nil)
	for i := range data {
		broken := bytes.Clone(data)
		broken[i] ^= 1 << (i % 8)
		if _, err := open(broken, nil); err == nil {
			t.Errorf("bit %d of byte %d was changed and nobody noticed", i%8, i)
		}
		if _, err := open(data[:i], nil); err == nil {
			t.Errorf("cut at byte %d and nobody noticed", i)
		}
	}
	if _, err := open(append(bytes.Clone(data), 0), nil); err == nil {
		t.Error("a byte behind the end and nobody noticed")
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	secret, other := bytes.Repeat([]byte{1}, served.SecretBytes), bytes.Repeat([]byte{2}, served.SecretBytes)
	plain, keyed := build(t, 2, nil, pairs(10), nil), build(t, 2, secret, pairs(10), nil)
	for _, c := range []struct{ data, secret []byte }{{plain, secret}, {keyed, nil}, {keyed, other}} {
		if _, err := open(c.data, c.secret); !errors.Is(err, served.ErrSecret) {
			t.Errorf("error %v, want ErrSecret", err)
		}
	}
	if _, err := open(keyed, secret[:31]); err == nil {
		t.Error("a short secret was taken")
	}
	if _, err := served.Read(keyed); !errors.Is(err, served.ErrSecret) {
		t.Errorf("Read of a keyed filter: %v", err)
	}
	if w, err := served.Read(plain); err != nil || !w.Has([]int32{0, 0}) || served.FalsePositives(w) != 1./65536 {
		t.Errorf("Read of a filter: %v", err)
	}
	f, err := open(keyed, secret)
	if err != nil {
		t.Fatal(err)
	}
	if printed := fmt.Sprintf("%v %+v %#v", f, f, f); strings.Contains(printed, "1, 1, 1, 1, 1, 1, 1") || strings.Contains(printed, "0x1, 0x1, 0x1") {
		t.Error("a filter prints its secret")
	}
}

func TestInterruption(t *testing.T) {
	t.Parallel()
	b, err := NewBuilder(2, nil, bytes.NewReader(salt), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Write(ctx, &bytes.Buffer{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	gone := t.TempDir() + "/gone"
	if b, err = NewBuilder(2, nil, bytes.NewReader(salt), gone); err != nil {
		t.Fatal(err)
	}
	s := b.Stream()
	for i := int32(0); err == nil && i < 5<<20; i++ {
		err = s.Add([]int32{i, i})
	}
	if err == nil || !strings.Contains(err.Error(), "temporary file") {
		t.Errorf("no folder for temporary files: error %v", err)
	}
}

func FuzzOpenFilter(f *testing.F) {
	var b bytes.Buffer
	builder, err := NewBuilder(2, nil, bytes.NewReader(salt), f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	s := builder.Stream()
	s.Add([]int32{1, 2})
	s.Flush()
	if _, err := builder.Write(context.Background(), &b, nil); err != nil {
		f.Fatal(err)
	}
	body := b.Bytes()[:b.Len()-32]
	f.Add(body)
	f.Add(body[:80])
	f.Fuzz(func(t *testing.T, body []byte) {
		sum := sha256.Sum256(body) // or hardly anything would get past it
		w, err := open(append(bytes.Clone(body), sum[:]...), nil)
		if err != nil {
			return
		}
		window := make([]int32, w.Window())
		for i := range int32(100) {
			window[0] = i
			w.Has(window)
		}
		if w.Err() != nil {
			t.Error(w.Err())
		}
	})
}

// BenchmarkBuild is a million windows, distinct ones, in one shard.
func BenchmarkBuild(b *testing.B) {
	const n = 1_000_000
	r := rand.New(rand.NewPCG(1, 1))
	windows := make([][2]int32, n)
	for i := range windows {
		windows[i] = [2]int32{r.Int32(), r.Int32()}
	}
	b.ReportAllocs()
	for b.Loop() {
		builder, err := NewBuilder(2, nil, bytes.NewReader(salt), b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		s := builder.Stream()
		for i := range windows {
			if err := s.Add(windows[i][:]); err != nil {
				b.Fatal(err)
			}
		}
		s.Flush()
		if _, err := builder.Write(b.Context(), &bytes.Buffer{}, nil); err != nil {
			b.Fatal(err)
		}
		builder.Close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/window")
}

// BenchmarkHas asks a filter of a million windows in memory.
func BenchmarkHas(b *testing.B) {
	f, err := open(build(b, 2, nil, pairs(1_000_000), nil), nil)
	if err != nil {
		b.Fatal(err)
	}
	window := []int32{0, 5}
	b.ReportAllocs()
	for i := int32(0); b.Loop(); i++ {
		window[0] = i * 7919
		f.Has(window)
	}
}
