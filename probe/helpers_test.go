package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/probe/endpoint"
	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// runCase names the case that this binary runs instead of its tests: the
// subprocess of the kill test.
const runCase = "STILLMARK_TEST_RUN_CASE"

// With these it analyses the case that is named, and runs with so many attempts
// under way, under the key in that file.
const (
	readCase = "STILLMARK_TEST_READ_CASE"
	caseJobs = "STILLMARK_TEST_JOBS"
	caseKey  = "STILLMARK_TEST_KEY"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(runCase); dir != "" {
		jobs, err := strconv.Atoi(os.Getenv(caseJobs))
		if err != nil {
			jobs = 4
		}
		if _, err := Run(context.Background(), dir, RunOptions{pace: quick, Concurrency: jobs}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(err.(*Error).Code)
		}
		os.Exit(0)
	}
	if dir := os.Getenv(readCase); dir != "" {
		if err := analyseCase(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var testNow = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

// quick waits milliseconds where a run waits seconds.
var quick = pace{
	backoff:  endpoint.Backoff{Base: time.Millisecond, Cap: 10 * time.Millisecond},
	probes:   []time.Duration{10 * time.Millisecond, 20 * time.Millisecond, 40 * time.Millisecond},
	drain:    time.Second,
	progress: 5 * time.Millisecond,
}

// oneIn draws the requests of a target that meet a fault: one in k of the first 100,000.
// Every k-th would not do: an item that failed queues behind as many others each time it
// is tried again, and may meet every one of its tries at the same place of the cycle.
func oneIn(k int) []int {
	rng := rand.New(rand.NewPCG(uint64(k), 0))
	var at []int
	for n := range 100_000 {
		if rng.IntN(k) == 0 {
			at = append(at, n+1)
		}
	}
	return at
}

func source(seed uint64) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}) }

func testKey(t testing.TB, scheme string) *watermark.Key {
	t.Helper()
	e, err := tokens.Get("cl100k")
	if err != nil {
		t.Fatal(err)
	}
	k, err := watermark.NewKey(watermark.Spec{
		Scheme: scheme, Model: "teacher", Tokenizer: "cl100k", TokenizerSHA256: e.SHA256(), Vocab: e.VocabSize(),
	}, source(1))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// input is a small plan: rival and control, prompts of a word or two.
func input(t testing.TB, url string, prompts int) PlanInput {
	t.Helper()
	suite := PlanSuite{Ref: ledger.SuiteRef{Name: "s", Version: "1", SHA256: strings.Repeat("ab", 32), N: prompts}}
	for i := range prompts {
		suite.Prompts = append(suite.Prompts, corpora.Prompt{ID: fmt.Sprintf("p%04d", i), Lang: "en", Text: fmt.Sprintf("Tell me about number %d.", i)})
	}
	seed := int64(7)
	return PlanInput{
		Targets: []ledger.Target{
			{Name: "nova", Role: ledger.Rival, BaseURL: url, Model: "nova"},
			{Name: "control", Role: ledger.Control, BaseURL: url, Model: "plain"},
		},
		Suites: []PlanSuite{suite}, Params: ledger.Params{MaxTokens: 24, Seed: &seed, Stream: true},
		Keys: []PlanKey{{Key: testKey(t, watermark.KGW)}}, Decoys: 99, Now: testNow, Rand: source(2),
	}
}

// serve starts a mock server with the models nova and plain.
func serve(t testing.TB, script *mock.Script) *mock.Server {
	t.Helper()
	return serveModels(t, script, map[string]mock.Generator{"nova": mock.Words{}, "plain": mock.Words{}})
}

func serveModels(t testing.TB, script *mock.Script, models map[string]mock.Generator) *mock.Server {
	t.Helper()
	s, err := mock.New(mock.Options{Models: models, Script: script})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

var testSigner = sync.OnceValue(func() *ledger.Signer {
	s, err := ledger.NewSigner("Test Desk", source(3))
	if err != nil {
		panic(err)
	}
	return s
})

// sealed plans and seals a case.
func sealed(t testing.TB, in PlanInput) string {
	t.Helper()
	d, err := NewPlan(in)
	if err != nil {
		t.Fatal(err)
	}
	return sealDraft(t, d)
}

func sealDraft(t testing.TB, d *Draft) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), d.Plan.CaseID)
	if _, err := SealPlan(dir, d, testSigner(), nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

// events reads the ledger, grouped by type.
func events(t testing.TB, dir string) map[string][]ledger.Event {
	t.Helper()
	c, err := ledger.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]ledger.Event{}
	for e, err := range c.Events() {
		if err != nil {
			t.Fatal(err)
		}
		all[e.Type] = append(all[e.Type], e)
	}
	return all
}

func decode[T any](t testing.TB, e ledger.Event) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(e.Data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// findings analyses a case under the key of input.
func findings(t testing.TB, dir string, keys ...*watermark.Key) *ledger.Findings {
	t.Helper()
	c, err := ledger.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := family.Analyze(t.Context(), c, keys, family.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// sameNumbers compares what must not depend on how a case was collected: every
// number of every finding, and the settled replies.
func sameNumbers(t *testing.T, got, want *ledger.Findings) {
	t.Helper()
	for _, f := range []*ledger.Findings{got, want} {
		for i := range f.Findings {
			// The time of the first reply is that of the collection.
			if c := f.Findings[i].Committed; c != nil {
				c.FirstReply = time.Time{}
			}
		}
		for i := range f.Accounting {
			f.Accounting[i].Sent, f.Accounting[i].Failed = 0, nil
		}
	}
	a, err := json.Marshal([]any{got.Findings, got.Accounting})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal([]any{want.Findings, want.Accounting})
	if err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) {
		t.Errorf("the findings differ:\n%s\n%s", a, b)
	}
}

// wantError checks code and sentence of a run's error.
func wantError(t *testing.T, err error, code int, parts ...string) *Error {
	t.Helper()
	e, ok := err.(*Error)
	if !ok {
		t.Fatalf("got %v (%T), want an *Error of code %d", err, err, code)
	}
	if e.Code != code || e.ExitCode() != code {
		t.Errorf("code %d, want %d: %v", e.Code, code, e)
	}
	for _, p := range parts {
		if !strings.Contains(e.Error(), p) {
			t.Errorf("%q does not say %q", e.Error(), p)
		}
	}
	return e
}
