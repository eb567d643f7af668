package probe

import (
	"context"
	"flag"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// How large a case TestReplies makes:
//
//	go test -run TestReplies -timeout 0 -v ./probe -replies 100000
var (
	flagReplies = flag.Int("replies", 0, "replies of the case that TestReplies collects and analyses")
	flagTokens  = flag.Int("reply-tokens", 400, "tokens of a reply in TestReplies")
	flagStreams = flag.Int("streams", 64, "attempts under way at each target in TestReplies")
	flagStream  = flag.Bool("stream", false, "whether replies are streamed in TestReplies")
	flagPause   = flag.Int("pause", 0, "milliseconds between the pieces of a stream in TestReplies")
	flagDecoys  = flag.Int("decoys", 99, "decoy keys in TestReplies")
)

// prose draws tokens as texts do: by Zipf's law, over thirty thousand words. About
// half of the pairs of a large case are distinct then.
type prose struct{ words []string }

func newProse(t testing.TB) prose {
	t.Helper()
	e, err := tokens.Get("cl100k")
	if err != nil {
		t.Fatal(err)
	}
	var p prose
	for id := int32(0); len(p.words) < 30_000; id++ {
		if b, ok := e.Token(id); ok && len(b) > 2 && b[0] == ' ' && strings.IndexFunc(string(b[1:]), func(r rune) bool { return r < 'a' || r > 'z' }) < 0 {
			p.words = append(p.words, string(b))
		}
		if int(id) == e.VocabSize()-1 {
			break
		}
	}
	return p
}

func (p prose) Generate(_ context.Context, req mock.GenRequest, emit func(mock.Piece) error) (string, error) {
	h := fnv.New64a()
	fmt.Fprint(h, req.Model, req.Prompt)
	rng := rand.New(rand.NewPCG(req.Seed, h.Sum64()))
	zipf := rand.NewZipf(rng, 1.3, 2, uint64(len(p.words)-1))
	for range req.MaxTokens {
		if err := emit(mock.Piece{Text: p.words[zipf.Uint64()]}); err != nil {
			return "", err
		}
	}
	return "length", nil
}

// peak is the most memory that a process had, in MiB.
func peak(state *os.ProcessState) int64 {
	use, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	return use.Maxrss >> 10 // KiB on Linux
}

// child runs this binary as another program: its memory is its own.
func child(t *testing.T, env ...string) (*os.ProcessState, time.Duration) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	begun := time.Now()
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v", env, err)
	}
	return cmd.ProcessState, time.Since(begun)
}

// analyseCase is the analysis as a program of its own.
func analyseCase(dir string) error {
	c, err := ledger.Open(dir)
	if err != nil {
		return err
	}
	k, err := watermark.LoadKey(os.Getenv(caseKey))
	if err != nil {
		return err
	}
	f, err := family.Analyze(context.Background(), c, []*watermark.Key{k}, family.Options{})
	if err != nil {
		return err
	}
	for _, x := range f.Findings {
		fmt.Fprintf(os.Stderr, "%s: %d replies, %d tokens, n %d\n", x.Target, x.Replies, x.Tokens, x.N)
	}
	return nil
}

// TestReplies collects and analyses a case of any size over real HTTP, and says how
// long it took and how much memory each program needed at most.
func TestReplies(t *testing.T) {
	if *flagReplies == 0 {
		t.Skip("a measurement: give -replies 100000")
	}
	var flying, most atomic.Int64
	var script *mock.Script
	if *flagPause > 0 {
		script = &mock.Script{Faults: []mock.Fault{{Kind: mock.FaultTrickle, Every: 1, DelayMS: *flagPause}}}
	}
	s, err := mock.New(mock.Options{Script: script, Models: map[string]mock.Generator{"nova": counted{newProse(t), &flying, &most}, "plain": counted{newProse(t), &flying, &most}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(0); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const samples = 16
	in := input(t, s.URL(), max(1, *flagReplies/2/samples))
	in.Samples, in.Params.MaxTokens, in.Params.Stream, in.Decoys = samples, *flagTokens, *flagStream, *flagDecoys
	dir := sealed(t, in)
	key := filepath.Join(t.TempDir(), "key.json")
	if err := in.Keys[0].Key.Save(key); err != nil {
		t.Fatal(err)
	}
	ran, took := child(t, runCase+"="+dir, caseJobs+"="+fmt.Sprint(*flagStreams))
	c, err := ledger.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	state, err := c.State()
	if err != nil {
		t.Fatal(err)
	}
	n := state.SettledItems()
	if want := 2 * len(in.Suites[0].Prompts) * samples; n != want {
		t.Fatalf("%d replies, want %d", n, want)
	}
	blobs, err := fs.Glob(c.FS(), "blobs/*")
	if err != nil {
		t.Fatal(err)
	}
	var bytes int64
	for _, name := range append(blobs, "ledger.jsonl") {
		info, err := fs.Stat(c.FS(), name)
		if err != nil {
			t.Fatal(err)
		}
		bytes += info.Size()
	}
	t.Logf("collected %d replies in %s (%.0f a second, at most %d at once), peak %d MiB; %d segments, %.1f GiB with the ledger",
		n, took.Round(time.Second), float64(n)/took.Seconds(), most.Load(), peak(ran), len(blobs), float64(bytes)/(1<<30))
	analysed, took := child(t, readCase+"="+dir, caseKey+"="+key)
	t.Logf("analysed in %s with %d decoys, peak %d MiB", took.Round(time.Second), *flagDecoys, peak(analysed))
}

// counted notes how many replies are being generated at once.
type counted struct {
	mock.Generator
	flying, most *atomic.Int64
}

func (c counted) Generate(ctx context.Context, req mock.GenRequest, emit func(mock.Piece) error) (string, error) {
	for n := c.flying.Add(1); ; {
		if old := c.most.Load(); n <= old || c.most.CompareAndSwap(old, n) {
			break
		}
	}
	defer c.flying.Add(-1)
	return c.Generator.Generate(ctx, req, emit)
}

// TestThousandStreams holds a thousand streams open at once, in a program whose
// memory is its own.
func TestThousandStreams(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("opens a thousand connections")
	}
	var flying, most atomic.Int64
	// Slow enough that all are open before the first one ends.
	s := serveModels(t, &mock.Script{Faults: []mock.Fault{{Kind: mock.FaultTrickle, Every: 1, DelayMS: 50}}}, map[string]mock.Generator{
		"nova": counted{mock.Words{}, &flying, &most}, "plain": counted{mock.Words{}, &flying, &most},
	})
	in := input(t, s.URL(), 600)
	dir := sealed(t, in)
	ran, took := child(t, runCase+"="+dir, caseJobs+"=500")
	t.Logf("%d streams, at most %d at once, in %s; peak %d MiB", 1200, most.Load(), took.Round(time.Millisecond), peak(ran))
	if most.Load() < 900 {
		t.Errorf("%d streams at once", most.Load())
	}
	// 300 KiB a stream is more than connection, buffers and reply take.
	if mib := peak(ran); mib > 300 {
		t.Errorf("%d MiB", mib)
	}
	c, err := ledger.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if state, err := c.State(); err != nil || state.SettledItems() != 1200 {
		t.Errorf("%d settled, %v", state.SettledItems(), err)
	}
}
