package watermark

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// told is one call of Spill.Each, with the state of the run at that item.
type told struct {
	tag, tokens int
	units       int64
	score       float64
	log10P      float64
}

// entered runs items through a detector that holds so many units, decoys included.
func entered(t *testing.T, s Scheme, opt Options, units int, items []Item) (Detection, []told, []float64, bool) {
	t.Helper()
	var said []told
	var d *Detector
	opt.Spill = &Spill{Units: units, Each: func(tag, tokens int, n int64, score float64) {
		said = append(said, told{tag, tokens, n, score, d.Result().Tail.Log10P})
	}}
	d = NewDetector(s, opt)
	defer d.Close()
	for i, it := range items {
		if err := d.Enter(it, 3*i%200); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, scores, err := d.Decoys(t.Context(), [32]byte{5}, 40, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d.Result(), said, scores, d.disk != nil
}

// TestSpill: wherever a run goes to disk, and whether it does, every figure is the same
// to the last bit, of each item on its way, too.
func TestSpill(t *testing.T) {
	t.Parallel()
	specs := []Spec{scanSpec(Gumbel), scanSpec(GumbelDual), scanSpec(KGW), scanSpec(Tournament)}
	specs = append(specs, Spec{Scheme: KGW, PRF: Philox, Tokenizer: "toy", Vocab: 500}, Spec{Scheme: KGW, Tokenizer: "toy", Vocab: 500, Params: Params{Window: 3, Seeding: SelfHash}})
	for _, spec := range specs {
		for _, weights := range []string{WeightsNone, WeightsMin8, WeightsEntropy} {
			if _, err := ResolveWeights(weights, spec.Scheme); err != nil {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s/%s", spec.Scheme, spec.Params.Seeding, weights), func(t *testing.T) {
				t.Parallel()
				s := decoy(t, spec, 3)
				items := entropic(spec.Vocab)
				var first []int32
				for _, it := range items[:4] {
					first = append(first, it.Tokens...)
				}
				before := NewDetector(s, Options{})
				before.Add(Item{Tokens: first[:len(first)/2]})
				opt := Options{Weights: weights}
				if before.UnitIsPair() {
					opt.Skip = before.Has
				}
				want, told, decoys, disk := entered(t, s, opt, 1<<30, items)
				if disk || len(told) != len(items) {
					t.Fatalf("on disk: %v, %d items told", disk, len(told))
				}
				for _, units := range []int{0, 40, 150} {
					got, said, scores, disk := entered(t, s, opt, units, items)
					if disk != before.UnitIsPair() {
						t.Errorf("%d units in memory, of %d: on disk: %v", units, want.N, disk)
					}
					if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(said, told) || !reflect.DeepEqual(scores, decoys) {
						t.Errorf("%d units in memory: %+v, want %+v", units, got, want)
					}
				}
			})
		}
	}
}

// TestSpillBlocks: a run with streams of many blocks, and more units than are scored at
// a time, is the same on disk.
func TestSpillBlocks(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("half a million units")
	}
	s := decoy(t, benchSpec(Gumbel, AESCTR), 1)
	var items []Item
	for i := range 200 {
		items = append(items, Item{Tokens: randomTokens(4000, 2000, uint64(i))})
	}
	want, told, decoys, _ := entered(t, s, Options{}, 1<<30, items)
	got, said, scores, disk := entered(t, s, Options{}, 1<<12, items)
	if !disk || want.N < chunkUnits {
		t.Fatalf("on disk: %v, %d units", disk, want.N)
	}
	if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(said, told) || !reflect.DeepEqual(scores, decoys) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// full is a disk with so much space.
type full struct {
	*os.File
	space int64
}

func (f *full) WriteAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) > f.space {
		return 0, syscall.ENOSPC
	}
	return f.File.WriteAt(p, at)
}

// TestSpillFull: a disk that fills up at any point is an error of its own, with the exit
// code of storage and what to do.
func TestSpillFull(t *testing.T) {
	t.Parallel()
	s := decoy(t, benchSpec(KGW, AESCTR), 1)
	seen := map[string]bool{}
	for _, space := range []int64{0, 1 << 17, 1 << 20, 3 << 20} {
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		d := NewDetector(s, Options{Spill: &Spill{Units: 1000, Each: func(int, int, int64, float64) {}}})
		at := "entering"
		for i := range 60 {
			if d.disk != nil {
				if _, ok := d.disk.file.(*full); !ok {
					d.disk.file = &full{f, space}
				}
			}
			if err = d.Enter(Item{Tokens: randomTokens(4000, 2000, uint64(i))}, 0); err != nil {
				break
			}
		}
		if err == nil {
			at = "settling"
			err = d.Settle(t.Context())
		}
		d.Close()
		seen[at] = true
		var storage *SpillError
		if !errors.As(err, &storage) || !errors.Is(err, syscall.ENOSPC) || storage.ExitCode() != 24 || !strings.Contains(err.Error(), "TMPDIR") {
			t.Errorf("%d bytes of space, %s: %v", space, at, err)
		}
	}
	if len(seen) != 2 {
		t.Errorf("errors while %v", seen)
	}
}

// TestSpillNameless: the file has no name while it is in use.
func TestSpillNameless(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("open files keep their names there until they are closed")
	}
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	s, err := newSpool()
	if err != nil {
		t.Fatal(err)
	}
	defer s.drop()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
	t.Setenv("TMPDIR", dir+"/none")
	var storage *SpillError
	if _, err := newSpool(); !errors.As(err, &storage) {
		t.Errorf("without a folder: %v", err)
	}
}

// BenchmarkSpill is the cost of a token in memory and on disk, of a text half of whose
// pairs are distinct.
func BenchmarkSpill(b *testing.B) {
	s := decoy(b, benchSpec(KGW, AESCTR), 1)
	tokens := zipf(60_000, 1_000_000)
	for _, units := range []int{1 << 30, 1 << 16} {
		b.Run(fmt.Sprintf("units=%d", units), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d := NewDetector(s, Options{Spill: &Spill{Units: units, Each: func(int, int, int64, float64) {}}})
				for i := 0; i < len(tokens); i += 400 {
					if err := d.Enter(Item{Tokens: tokens[i : i+400]}, 0); err != nil {
						b.Fatal(err)
					}
				}
				if err := d.Settle(b.Context()); err != nil {
					b.Fatal(err)
				}
				d.Close()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(tokens)), "ns/token")
		})
	}
}
