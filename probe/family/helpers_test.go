package family

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/timestamp"
	"github.com/stillmark/stillmark/watermark"
)

// testTime is when the cases of these tests are collected.
var testTime = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

// lexicon holds the ids of cl100k tokens that are a space and a lower-case word.
// Texts made of them are split into the very same ids again.
var lexicon = sync.OnceValue(func() []int32 {
	e, err := tokens.Get("cl100k")
	if err != nil {
		panic(err)
	}
	var ids []int32
	for id := int32(0); id < int32(e.VocabSize()) && len(ids) < 4000; id++ {
		piece, ok := e.Token(id)
		if !ok || len(piece) < 4 || piece[0] != ' ' || strings.Trim(string(piece[1:]), "abcdefghijklmnopqrstuvwxyz") != "" {
			continue
		}
		ids = append(ids, id)
	}
	return ids
})

func text(ids []int32) string {
	e, err := tokens.Get("cl100k")
	if err != nil {
		panic(err)
	}
	return string(e.Decode(ids))
}

// draw picks a word, frequent ones more often: the square of a uniform variate
// gives windows that repeat about as much as templated text does.
func draw(rng *rand.Rand) int32 {
	words := lexicon()
	u := rng.Float64()
	return words[int(u*u*float64(len(words)))]
}

// speak makes a text of n words. At a share of the positions the better-scoring
// of two draws is taken; mark nil means never.
func speak(rng *rand.Rand, n int, mark watermark.Scheme, share float64) []int32 {
	var ids []int32
	for range n {
		token := draw(rng)
		if mark != nil {
			if window, ok := mark.WindowOf(ids); ok && rng.Float64() < share {
				if other := draw(rng); mark.Score(window, other) > mark.Score(window, token) {
					token = other
				}
			}
		}
		ids = append(ids, token)
	}
	return ids
}

// reader of a deterministic stream, for keys.
func random(seed uint64) io.Reader {
	var b [32]byte
	b[0], b[1], b[2] = byte(seed), byte(seed>>8), byte(seed>>16)
	return rand.NewChaCha8(b)
}

func newKey(t testing.TB, scheme string, seed uint64, change ...func(*watermark.Spec)) *watermark.Key {
	t.Helper()
	e, err := tokens.Get("cl100k")
	if err != nil {
		t.Fatal(err)
	}
	spec := watermark.Spec{
		Scheme: scheme, Model: "teacher", Tokenizer: "cl100k", TokenizerSHA256: e.SHA256(), Vocab: e.VocabSize(),
		ServingFrom: testTime.Add(-24 * time.Hour),
	}
	for _, f := range change {
		f(&spec)
	}
	k, err := watermark.NewKey(spec, random(seed))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mark(t testing.TB, k *watermark.Key) watermark.Scheme {
	t.Helper()
	m, err := k.Mark()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// scenario builds a case in memory before it is written.
type scenario struct {
	t     testing.TB
	plan  *ledger.Plan
	files []ledger.File
	body  map[string]string    // item -> raw response body; items without one stay unasked
	order []string             // ledger order; nil means the plan's
	stop  string               // reason of the stop event; "" means complete, "none" no event; "cap:…" names the cap
	again bool                 // a second session ran
	idle  bool                 // another one came after and sent nothing
	late  time.Duration        // after testTime the replies come
	first string               // folder of the sealed first run, copied into the case
	seen  [][]byte             // observed nonces, recorded at the end
	kind  string               // of the requests; chat if empty
	when  map[string]time.Time // item -> when its reply arrives, in place of the order
}

var testSeed = [32]byte{1, 2, 3}

// newScenario plans the given targets, "rival" or "control…" by name, and prompts.
func newScenario(t testing.TB, targets []string, prompts []string) *scenario {
	sum := sha256.Sum256(testSeed[:])
	p := &ledger.Plan{
		Format: ledger.PlanPlain, CaseID: "2026-11-20_test_0000000A", Created: testTime,
		Suites:  []ledger.SuiteRef{{Name: "s", Version: "1", SHA256: strings.Repeat("ab", 32), N: len(prompts)}},
		Samples: 1, Params: ledger.Params{MaxTokens: 400}, OrderSeed: 5, Alpha: 1e-6,
		Decoys:  ledger.DecoyPlan{N: 99, SeedCommitment: hex.EncodeToString(sum[:]), SDTolerance: GateTolerance(99), KSLevel: GateKSLevel},
		Wording: WordingVersion,
	}
	for _, name := range targets {
		role := ledger.Rival
		if strings.HasPrefix(name, "control") {
			role = ledger.Control
		}
		p.Targets = append(p.Targets, ledger.Target{Name: name, Role: role, BaseURL: "http://127.0.0.1:1/v1", Model: "m"})
	}
	for i, q := range prompts {
		p.Prompts = append(p.Prompts, ledger.Prompt{ID: fmt.Sprintf("p%03d", i), Suite: "s", Lang: "en", Text: q})
	}
	seed, _ := json.Marshal(DecoySeed{Format: 1, Seed: hex.EncodeToString(testSeed[:])})
	return &scenario{t: t, plan: p, files: []ledger.File{{Name: DecoySeedFile, Data: seed}}, body: map[string]string{}, when: map[string]time.Time{}}
}

// neutral prompts have nothing in common with the lexicon's replies.
func neutral(n int) []string {
	prompts := make([]string, n)
	for i := range prompts {
		prompts[i] = fmt.Sprintf("Q%d?", i)
	}
	return prompts
}

// test declares a primary test of a key on every target.
func (s *scenario) test(k *watermark.Key, mode string) {
	s.key(k)
	weights := watermark.WeightsNone
	if mode == ledger.ModeFixedN {
		weights, _ = watermark.ResolveWeights(watermark.WeightsAuto, k.Scheme)
	}
	for _, t := range s.plan.Targets {
		s.plan.Tests = append(s.plan.Tests, ledger.Test{
			ID: "E1/" + k.ID + "/" + t.Name, Family: Radioactivity, Key: k.ID, Target: t.Name,
			Mode: mode, Weights: weights, Primary: true, Null: "Independent.",
		})
	}
}

func (s *scenario) key(k *watermark.Key) {
	spec, err := json.Marshal(k.Spec)
	if err != nil {
		s.t.Fatal(err)
	}
	s.plan.Keys = append(s.plan.Keys, ledger.KeyRef{ID: k.ID, Spec: spec})
}

// commit puts a stamped commitment of the last key into the case.
func (s *scenario) commit(k *watermark.Key, at time.Time, labels ...string) {
	s.t.Helper()
	c, err := k.Commit(labels...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.stamped(k, c, at)
}

// stamped puts a commitment into the case, with a token where a time is given.
func (s *scenario) stamped(k *watermark.Key, c *watermark.Commitment, at time.Time) {
	s.t.Helper()
	data, err := c.Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	s.files = append(s.files, ledger.File{Name: "commitments/" + k.ID + ".json", Data: data})
	ref := &s.plan.Keys[len(s.plan.Keys)-1]
	ref.Commitment = k.ID + ".json"
	if at.IsZero() {
		return
	}
	authority, err := timestamp.NewAuthority("Test Authority", func() time.Time { return at })
	if err != nil {
		s.t.Fatal(err)
	}
	token, err := authority.Stamp(sha256.Sum256(data))
	if err != nil {
		s.t.Fatal(err)
	}
	s.files = append(s.files, ledger.File{Name: "commitments/" + k.ID + ".tsr", Data: token})
	ref.Stamp = k.ID + ".tsr"
}

func chatBody(content string, extra string) string {
	b, _ := json.Marshal(content)
	return `{"id":"r","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":` +
		string(b) + extra + `},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":11,"total_tokens":18}}`
}

// reply sets the text of a target's reply to the i-th prompt.
func (s *scenario) reply(target string, i int, content string) {
	s.body[ledger.ItemID(target, "s", s.plan.Prompts[i].ID, 0)] = chatBody(content, "")
}

// build writes the case as a run would have.
func (s *scenario) build() *ledger.Case {
	s.t.Helper()
	dir := filepath.Join(s.t.TempDir(), s.plan.CaseID)
	c, err := ledger.Create(dir, s.plan, s.files...)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.first != "" {
		inside := filepath.Join(dir, filepath.FromSlash(ledger.EarlierPath(s.plan.After.CaseID)))
		if err := os.MkdirAll(filepath.Dir(inside), 0o700); err != nil {
			s.t.Fatal(err)
		}
		if err := os.CopyFS(inside, os.DirFS(s.first)); err != nil {
			s.t.Fatal(err)
		}
		if c, err = ledger.Open(dir); err != nil {
			s.t.Fatal(err)
		}
	}
	now := testTime.Add(s.late)
	w, err := ledger.OpenWriter(dir, ledger.WriterOptions{
		Now:  func() time.Time { now = now.Add(time.Millisecond); return now },
		Mono: func() time.Duration { return now.Sub(testTime) },
	})
	if err != nil {
		s.t.Fatal(err)
	}
	order := s.order
	if order == nil {
		for _, it := range s.plan.Items() {
			order = append(order, it.ID)
		}
	}
	if len(s.when) > 0 {
		slices.SortStableFunc(order, func(a, b string) int { return s.when[a].Compare(s.when[b]) })
	}
	put := func(b string) ledger.BlobRef {
		ref, err := w.PutBlob([]byte(b))
		if err != nil {
			s.t.Fatal(err)
		}
		return ref
	}
	// Appends wait for the disk together.
	var wg sync.WaitGroup
	appendEvent := func(typ, item string, data any) {
		if _, err := w.Append(typ, item, 1, data); err != nil {
			s.t.Error(err)
		}
	}
	appendEvent(ledger.EventConfigChange, "", SessionEvent{Kind: KindSession, Number: 1, OnDrift: "stop"})
	for i, id := range order {
		if s.again && i == len(order)/2 {
			wg.Wait()
			appendEvent(ledger.EventStop, "", StopEvent{Reason: StopOperator, Missing: 1})
			appendEvent(ledger.EventResume, "", SessionEvent{Kind: KindSession, Number: 2, OnDrift: "stop"})
		}
		body, ok := s.body[id]
		if !ok {
			continue
		}
		if at, timed := s.when[id]; timed && at.After(now) { // nothing is under way then
			now = at
		}
		wg.Go(func() {
			target, _, _ := strings.Cut(id, "/")
			appendEvent(ledger.EventIntent, id, ledger.Intent{Target: target, Request: put("{}")})
			ref := put(body)
			a := ledger.Attempt{Target: target, Kind: cmp.Or(s.kind, ledger.KindChat), Status: 200, Complete: true, Response: &ref}
			a.Outcome = Decode(ledger.ReplyRecord{Attempt: a, Response: []byte(body)}).Outcome
			appendEvent(ledger.EventReply, id, a)
		})
		if s.order != nil || len(s.when) > 0 {
			wg.Wait()
		}
	}
	wg.Wait()
	if s.idle {
		appendEvent(ledger.EventResume, "", SessionEvent{Kind: KindSession, Number: 3, OnDrift: "stop"})
	}
	switch s.stop {
	case "":
		appendEvent(ledger.EventStop, "", StopEvent{Reason: StopComplete})
	case "none":
	default:
		reason, limit, _ := strings.Cut(s.stop, ":")
		appendEvent(ledger.EventStop, "", StopEvent{Reason: reason, Cap: limit, Missing: 1})
	}
	for _, data := range s.seen {
		appendEvent(ledger.EventObservation, "", ledger.Observation{Kind: KindNonces, Content: put(string(data))})
	}
	if err := w.Close(); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// analyze runs the analysis and fails the test on an error.
func analyze(t testing.TB, c *ledger.Case, keys ...*watermark.Key) *ledger.Findings {
	t.Helper()
	f, err := Analyze(t.Context(), c, keys, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}
