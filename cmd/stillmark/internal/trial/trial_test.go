package trial

import (
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/corpora/refmodel"
	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/wire"
	"github.com/stillmark/stillmark/watermark"
)

// TestSeeds repeats the experiment without the network: over five seeds every
// suspect stands out under its own key, no innocent and no control does, and no
// suspect does under another scheme's key. The bounds are the product's promise.
func TestSeeds(t *testing.T) {
	seeds := 5
	if testing.Short() {
		seeds = 1
	}
	bound := map[string]float64{watermark.Gumbel: -50, watermark.Tournament: -50, watermark.KGW: -20}
	const innocentBound = -4
	mixes := map[string][]float64{}
	suspects := map[string][]float64{}
	innocent := 0.0
	for seed := range uint64(seeds) {
		w, err := build(seed+1, t.Logf)
		if err != nil {
			t.Fatal(err)
		}
		if w.bits < 2.5 {
			t.Errorf("seed %d: the teacher's entropy is %.2f bits per token, less than 2.5", seed+1, w.bits)
		}
		for _, r := range w.rivals {
			texts := w.answers(t, r, seed+1)
			for _, k := range w.keys {
				p := score(t, w, k, texts)
				switch {
				case r.key == k && r.name == "suspect-"+k.Scheme:
					suspects[k.Scheme] = append(suspects[k.Scheme], p)
					if p > bound[k.Scheme] {
						t.Errorf("seed %d: %s has log10 p %.1f, above %.0f", seed+1, r.name, p, bound[k.Scheme])
					}
				case r.key == k:
					mixes[k.Scheme] = append(mixes[k.Scheme], p)
				default:
					innocent = math.Min(innocent, p)
					if p < innocentBound {
						t.Errorf("seed %d: %s has log10 p %.1f under the key of %s, which it never saw", seed+1, r.name, p, k.Scheme)
					}
				}
			}
		}
	}
	for _, scheme := range watermark.Schemes() {
		slices.Sort(suspects[scheme])
		slices.Sort(mixes[scheme])
		t.Logf("%s: suspect worst %.1f median %.1f, mix worst %.1f median %.1f", scheme,
			suspects[scheme][seeds-1], suspects[scheme][seeds/2], mixes[scheme][seeds-1], mixes[scheme][seeds/2])
	}
	t.Logf("smallest log10 p under a key that was never seen: %.2f", innocent)
}

// answers lets a rival answer the audit's prompts, as the server would.
func (w *world) answers(t *testing.T, r rival, seed uint64) []watermark.Item {
	t.Helper()
	s := &served{model: r.model, enc: w.enc}
	var items []watermark.Item
	for _, p := range w.audit.Prompts {
		var text []byte
		req := mock.GenRequest{Prompt: p.Text, MaxTokens: replyTokens, Temperature: 1, TopP: 1, Seed: seed, Logprobs: -1}
		if _, err := s.Generate(t.Context(), req, func(piece mock.Piece) error {
			text = append(text, piece.Text...)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		prompt, err := w.enc.Encode(p.Text)
		if err != nil {
			t.Fatal(err)
		}
		tokens, err := w.enc.Encode(string(text))
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, watermark.Item{ID: p.ID, Prompt: prompt, Tokens: tokens})
	}
	return items
}

func score(t *testing.T, w *world, k *watermark.Key, items []watermark.Item) float64 {
	t.Helper()
	mark, err := k.Mark()
	if err != nil {
		t.Fatal(err)
	}
	d := watermark.NewDetector(mark, watermark.Options{})
	for _, it := range items {
		d.Add(it)
	}
	return d.Result().Tail.Log10P
}

// TestDirectStrength detects the teacher's own marked texts at 200 tokens.
// TestEcho: completions of the reference model come with the very
// log-probabilities and alternatives that the model gives.
func TestEcho(t *testing.T) {
	t.Parallel()
	models, err := MockModels(1, nil)
	if err != nil {
		t.Fatal(err)
	}
	ref := models["reference"].(*served)
	server, err := mock.New(mock.Options{Models: models})
	if err != nil {
		t.Fatal(err)
	}
	const text = "The harbour was quiet in the morning."
	body := `{"model":"reference","prompt":"` + text + `","max_tokens":1,"temperature":0,"echo":true,"logprobs":3,"prompt_logprobs":3}`
	rec := httptest.NewRecorder()
	server.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/v1/completions", strings.NewReader(body)))
	x := wire.Exchange{Status: rec.Code, Kind: wire.Completion, Body: rec.Body.Bytes(), Complete: true}
	echoed, err := wire.DecodeLogprobs(x)
	if err != nil {
		t.Fatalf("%v: %s", err, rec.Body)
	}
	prompt, err := wire.DecodePromptLogprobs(x)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := ref.enc.Encode(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(echoed) != len(ids)+1 || len(prompt) != len(ids) || echoed[0].Known || len(prompt[0].Candidates) != 0 {
		t.Fatalf("%d and %d tokens for %d", len(echoed), len(prompt), len(ids))
	}
	for i := 1; i < len(ids); i++ {
		token, _ := ref.enc.Token(ids[i])
		top := ref.model.Top(ids[:i], 3)
		own, lp := prompt[i].Candidates[0], ref.model.Logprob(ids[:i], ids[i])
		if echoed[i].Token != string(token) || echoed[i].Logprob != lp || len(echoed[i].Top) != len(top) || own.ID != ids[i] || own.Logprob != lp {
			t.Errorf("token %d (%q, %g): %+v and %+v", i, token, lp, echoed[i], own)
		}
		// The arg-max, which reading mode scores, has rank 1.
		best := slices.IndexFunc(prompt[i].Candidates, func(c wire.Candidate) bool { return c.Rank == 1 })
		if best < 0 || prompt[i].Candidates[best].ID != top[0].ID {
			t.Errorf("token %d: %+v, want %d first", i, prompt[i].Candidates, top[0].ID)
		}
	}
}

func TestDirectStrength(t *testing.T) {
	t.Parallel()
	const texts = 25
	model, enc, _, err := reference(derived(1, streamTeacherText))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{enc: enc, teacher: model}
	keys, err := newKeys(1, enc)
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := newKeys(2, enc)
	if err != nil {
		t.Fatal(err)
	}
	prompts, err := w.trainingPrompts(1)
	if err != nil {
		t.Fatal(err)
	}
	bound := map[string]float64{watermark.Gumbel: -20, watermark.Tournament: -20, watermark.KGW: -6}
	for i, k := range keys {
		mark, err := k.Mark()
		if err != nil {
			t.Fatal(err)
		}
		var right, other []float64
		for j := range texts {
			ids := model.Complete(prompts[j], refmodel.Sampling{Temperature: 1, MaxTokens: 200, Seed: uint64(j), Mark: mark})
			item := []watermark.Item{{Prompt: prompts[j], Tokens: ids}}
			right = append(right, score(t, w, k, item))
			other = append(other, score(t, w, wrong[i], item))
		}
		slices.Sort(right)
		slices.Sort(other)
		t.Logf("%s: median log10 p %.1f, under the wrong key at least %.2f", k.Scheme, right[texts/2], other[0])
		if right[texts/2] >= bound[k.Scheme] {
			t.Errorf("%s: median log10 p %.1f at 200 tokens, not below %.0f", k.Scheme, right[texts/2], bound[k.Scheme])
		}
		if other[0] < -5 { // 25 texts: a smaller one would be met once in 4,000 test runs
			t.Errorf("%s: log10 p %.2f under the wrong key", k.Scheme, other[0])
		}
	}
}

// TestQuickstart runs the whole demonstration twice with one seed: what it finds
// is what the seed determines.
func TestQuickstart(t *testing.T) {
	if testing.Short() {
		t.Skip("trains, serves, audits and verifies twice")
	}
	run := func() *Outcome {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "demo")
		q := Quickstart{Seed: 5, Dir: dir, Said: func(line string) { t.Log(line) }, Progress: func(string) {}}
		out, err := q.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	first, second := run(), run()
	if first.Verified.Exit != 0 || first.Verified.State != "TRUSTED" {
		t.Errorf("the sealed case is %s, exit %d", first.Verified.State, first.Verified.Exit)
	}
	if a, b := numbers(t, first.Findings), numbers(t, second.Findings); a != b {
		t.Errorf("two runs of one seed differ:\n%s\n%s", a, b)
	}
	failed := map[ledger.Outcome]int64{}
	for _, a := range first.Findings.Accounting {
		for outcome, n := range a.Failed {
			failed[outcome] += n
		}
		if a.Analysed != auditPrompts {
			t.Errorf("%s: %d of %d replies analysed", a.Target, a.Analysed, auditPrompts)
		}
	}
	if failed[ledger.RateLimited] != 1 || failed[ledger.Truncated] != 1 {
		t.Errorf("injected one 429 and one dropped stream, the ledger has %v", failed)
	}
	for _, x := range first.Findings.Findings {
		if x.Decoys == nil || x.Decoys.N != decoyKeys || !x.Decoys.Pass {
			t.Errorf("%s: decoys %+v", x.Test, x.Decoys)
		}
		if x.Role == ledger.Control && x.Verdict != ledger.VerdictNone {
			t.Errorf("%s: verdict %s on a model that never saw a mark", x.Test, x.Verdict)
		}
		if x.Role == ledger.Control && !(x.Power.Effect > 0) {
			t.Errorf("%s: no trace is reported without the effect that could have been seen", x.Test)
		}
		if x.Tier != ledger.Exact {
			t.Errorf("%s: tier %s, although the key was committed before serving", x.Test, x.Tier)
		}
	}
	if html, err := os.ReadFile(first.Report); err != nil || len(html) < 10_000 {
		t.Errorf("report.html has %d bytes, %v", len(html), err)
	}
}

// numbers is the part of findings that does not depend on the clock.
func numbers(t *testing.T, f *ledger.Findings) string {
	t.Helper()
	var all []ledger.Finding
	for _, x := range f.Findings {
		x.Committed = nil
		all = append(all, x)
	}
	encoded, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

func BenchmarkBuild(b *testing.B) {
	for b.Loop() {
		if _, err := build(1, func(string, ...any) {}); err != nil {
			b.Fatal(err)
		}
	}
}
