package verify

import (
	"context"
	crand "crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/timestamp"
	"github.com/stillmark/stillmark/reports"
	"github.com/stillmark/stillmark/watermark"
)

// caseTime is when the cases of these tests are collected.
var caseTime = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

var testBuild = ledger.Build{Version: "v0.0.0-test", Go: "go1.26", OS: "linux", Arch: "amd64"}

// stream is a deterministic source of key material.
func stream(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

// words are the ids of cl100k tokens that are a space and a lower-case word:
// texts of them are cut into the very same ids again.
var words = sync.OnceValue(func() []int32 {
	e, err := tokens.Get("cl100k")
	if err != nil {
		panic(err)
	}
	var ids []int32
	for id := int32(0); id < int32(e.VocabSize()) && len(ids) < 3000; id++ {
		piece, ok := e.Token(id)
		if ok && len(piece) > 3 && piece[0] == ' ' && strings.Trim(string(piece[1:]), "abcdefghijklmnopqrstuvwxyz") == "" {
			ids = append(ids, id)
		}
	}
	return ids
})

// speak makes a text of n words. With a mark, the best-scoring of four draws is
// taken, as a strong watermark would.
func speak(rng *rand.Rand, n int, mark watermark.Scheme) string {
	var ids []int32
	draw := func() int32 { u := rng.Float64(); return words()[int(u*u*float64(len(words())))] }
	for range n {
		best := draw()
		if mark != nil {
			if window, ok := mark.WindowOf(ids); ok {
				for range 3 {
					if other := draw(); mark.Score(window, other) > mark.Score(window, best) {
						best = other
					}
				}
			}
		}
		ids = append(ids, best)
	}
	e, err := tokens.Get("cl100k")
	if err != nil {
		panic(err)
	}
	return string(e.Decode(ids))
}

// fixture is a case that was planned, collected, analysed, reported and sealed,
// with everything that a tester wants to do it again.
type fixture struct {
	dir       string
	zip       string
	report    string // id
	analysis  string // id
	keys      []*watermark.Key
	signer    *ledger.Signer
	authority *timestamp.Authority
	roots     *x509.CertPool
	start     time.Time // of collection
}

// design varies a fixture. The zero value is a small case with two keys, a
// rival that learned from one of them and a control.
type design struct {
	prompts  int
	tokens   int // of a reply
	decoys   int
	hostile  string // put into replies
	withhold bool   // disclose no key
	late     bool   // commitments stamped after serving
	noStamps bool
	// noPaperKey leaves the PDF without a signature, which is random.
	noPaperKey bool
	mode       string
	broken     bool          // some replies fail
	lang       string        // of the report
	latePlan   bool          // the plan is stamped after the first request
	earlyPlan  bool          // the plan is stamped before it was made
	future     bool          // commitments stamped after the plan was made
	noServing  bool          // nobody says when serving began
	program    string        // version that builds the report; "" is this one
	plain      bool          // as earlier versions made cases: no salts
	after      *fixture      // the first run that this one repeats
	apart      time.Duration // after it
}

func (d design) defaults() design {
	if d.prompts == 0 {
		d.prompts = 8
	}
	if d.tokens == 0 {
		d.tokens = 60
	}
	if d.decoys == 0 {
		d.decoys = 19
	}
	if d.mode == "" {
		d.mode = ledger.ModeFixedN
	}
	return d
}

// build is the program that builds the report.
func (d design) build() ledger.Build {
	b := testBuild
	if d.program != "" {
		b.Version = d.program
	}
	return b
}

// steady gives a writer clocks that agree: a second and a half for each reading.
func steady(start time.Time) ledger.WriterOptions {
	var mu sync.Mutex
	now := start
	return ledger.WriterOptions{
		Now: func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			now = now.Add(1500 * time.Millisecond)
			return now
		},
		Mono: func() time.Duration {
			mu.Lock()
			defer mu.Unlock()
			return now.Sub(start)
		},
	}
}

// still gives clocks that stand, a while after the case was collected.
func still(after time.Duration) ledger.WriterOptions {
	return ledger.WriterOptions{
		Now:  func() time.Time { return caseTime.Add(after) },
		Mono: func() time.Duration { return 0 },
	}
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// build makes a fixture in a temporary folder.
func build(t testing.TB, d design) *fixture {
	t.Helper()
	d = d.defaults()
	f := &fixture{signer: must[*ledger.Signer](t)(ledger.NewSigner("Example AI, Evidence Desk", stream(9))), start: caseTime.Add(d.apart)}
	stampTime := caseTime.Add(-48 * time.Hour)
	if d.late {
		stampTime = caseTime.Add(-time.Hour)
	}
	f.authority = must[*timestamp.Authority](t)(timestamp.NewAuthority("Test Authority", func() time.Time { return stampTime }))
	f.roots = x509.NewCertPool()
	f.roots.AppendCertsFromPEM(f.authority.CertPEM())

	if d.future {
		stampTime = caseTime.Add(time.Hour)
	}
	plan, files := f.plan(t, d)
	if !d.plain {
		if err := plan.AddSalts(stream(8)); err != nil {
			t.Fatal(err)
		}
	}
	f.dir = filepath.Join(t.TempDir(), plan.CaseID)
	planBytes := must[[]byte](t)(ledger.EncodePlan(plan))
	envelope := must[[]byte](t)(f.signer.SignDSSE("application/vnd.stillmark.plan+json", planBytes))
	files = append(files, ledger.File{Name: "plan.dsse.json", Data: envelope})
	if !d.noStamps {
		stampTime = f.start.Add(-time.Minute)
		if d.earlyPlan {
			stampTime = f.start.Add(-time.Hour)
		}
		if d.latePlan {
			stampTime = f.start.Add(time.Minute)
		}
		files = append(files, ledger.File{Name: "plan.tsr", Data: must[[]byte](t)(f.authority.Stamp(sha256.Sum256(planBytes)))})
	}
	c := must[*ledger.Case](t)(ledger.Create(f.dir, plan, files...))
	if d.after != nil {
		f.roots.AppendCertsFromPEM(d.after.authority.CertPEM())
		inside := filepath.Join(f.dir, filepath.FromSlash(ledger.EarlierPath(plan.After.CaseID)))
		if err := os.MkdirAll(filepath.Dir(inside), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(inside, os.DirFS(d.after.dir)); err != nil {
			t.Fatal(err)
		}
		c = must[*ledger.Case](t)(ledger.Open(f.dir))
	}
	f.collect(t, c, d)

	findings := must[*ledger.Findings](t)(family.Analyze(t.Context(), c, f.keys, family.Options{}))
	encoded := must[[]byte](t)(family.Encode(findings))
	f.analysis = must[string](t)(ledger.SaveAnalysis(f.dir, encoded))
	built := must[*reports.Built](t)(reports.Build(t.Context(), f.dir, reports.BuildOptions{Keys: f.keys, Program: d.build(), Lang: d.lang}))
	f.report = built.ID
	stampTime = f.start.Add(3 * time.Hour)
	f.zip = f.dir + ".zip"
	options := reports.SealOptions{
		Out: f.zip, Clock: still(d.apart + 2*time.Hour), Disclose: f.keys,
	}
	if !d.noPaperKey {
		options.Document = must[*reports.DocumentSigner](t)(reports.NewDocumentSigner("test desk", time.Now(), crand.Reader))
	}
	if d.withhold {
		options.Disclose = nil
	}
	if !d.noStamps {
		options.Stamp = func(_ context.Context, digest [32]byte) ([]byte, error) { return f.authority.Stamp(digest) }
	}
	must[*reports.SealResult](t)(reports.Seal(t.Context(), f.dir, f.signer, options))
	return f
}

// plan declares both keys on both targets.
func (f *fixture) plan(t testing.TB, d design) (*ledger.Plan, []ledger.File) {
	t.Helper()
	e := must[*tokens.Encoding](t)(tokens.Get("cl100k"))
	seed := [32]byte{7}
	sum := sha256.Sum256(seed[:])
	temperature := 1.0
	p := &ledger.Plan{
		Format: ledger.PlanPlain, CaseID: "2026-11-20_acme-nova-1_01JD8K7Q", Created: f.start.Add(-2 * time.Minute),
		Authority: "Example AI, legal department", Purpose: "A test of the whole path.",
		Propositions: []string{
			"H0: the replies of acme-nova-1 are independent of the secret keys.",
			"H1: they depend on a secret key.",
		},
		Targets: []ledger.Target{
			{Name: "acme-nova-1", Role: ledger.Rival, BaseURL: "http://127.0.0.1:1/v1", Model: "nova-1", Capabilities: &ledger.Capabilities{
				TestedAt: f.start.Add(-3 * time.Minute), Model: "nova-1",
				Support: map[string]ledger.Support{"chat": {State: "yes"}, "seed": {State: "unknown"}, "logprobs": {State: "no"}},
			}},
			{Name: "control-reference", Role: ledger.Control, BaseURL: "http://127.0.0.1:1/v1", Model: "reference"},
		},
		Suites:  []ledger.SuiteRef{{Name: "longform-en", Version: "1", SHA256: strings.Repeat("ab", 32), Seed: 4, N: d.prompts}},
		Samples: 1, Params: ledger.Params{MaxTokens: 400, Temperature: &temperature}, OrderSeed: 5, Alpha: 1e-6,
		Decoys:  ledger.DecoyPlan{N: d.decoys, SeedCommitment: hex.EncodeToString(sum[:])},
		Wording: family.WordingVersion, Program: testBuild,
		Stop: ledger.StopRule{OnEvidence: d.mode == ledger.ModeAnytime},
	}
	if d.mode == ledger.ModeAnytime {
		p.Stop.CheckEvery = 4
	}
	for i := range d.prompts {
		p.Prompts = append(p.Prompts, ledger.Prompt{ID: fmt.Sprintf("p%03d", i), Suite: "longform-en", Lang: "en", Text: fmt.Sprintf("Describe harbour no. %d in a letter.", i)})
	}
	decoys := must[[]byte](t)(json.Marshal(family.DecoySeed{Format: 1, Seed: hex.EncodeToString(seed[:])}))
	files := []ledger.File{{Name: family.DecoySeedFile, Data: decoys}}
	serving := caseTime.Add(-24 * time.Hour)
	if d.noServing {
		serving = time.Time{}
	}
	for i, scheme := range []string{watermark.Gumbel, watermark.KGW} {
		k := must[*watermark.Key](t)(watermark.NewKey(watermark.Spec{
			Scheme: scheme, Model: "teacher", Tokenizer: "cl100k", TokenizerSHA256: e.SHA256(), Vocab: e.VocabSize(), ServingFrom: serving,
		}, stream(byte(i+1))))
		f.keys = append(f.keys, k)
		commitment := must[*watermark.Commitment](t)(k.Commit())
		data := must[[]byte](t)(commitment.Encode())
		ref := ledger.KeyRef{ID: k.ID, Spec: must[[]byte](t)(json.Marshal(k.Spec)), ServingFrom: serving, Commitment: k.ID + ".json"}
		files = append(files, ledger.File{Name: "commitments/" + k.ID + ".json", Data: data})
		if !d.noStamps {
			ref.Stamp = k.ID + ".tsr"
			files = append(files, ledger.File{Name: "commitments/" + ref.Stamp, Data: must[[]byte](t)(f.authority.Stamp(sha256.Sum256(data)))})
		}
		p.Keys = append(p.Keys, ref)
		weights := watermark.WeightsNone
		if d.mode == ledger.ModeFixedN {
			weights = must[string](t)(watermark.ResolveWeights(watermark.WeightsAuto, scheme))
		}
		for _, target := range p.Targets {
			p.Tests = append(p.Tests, ledger.Test{
				ID: "E1/" + k.ID + "/" + target.Name, Family: family.Radioactivity, Key: k.ID, Target: target.Name,
				Mode: d.mode, Weights: weights, Primary: true,
				Null: fmt.Sprintf("The replies of %s are independent of key %s.", target.Name, k.ID),
			})
		}
	}
	if d.after != nil {
		c := must[*ledger.Case](t)(ledger.Open(d.after.dir))
		p.CaseID = "2026-11-30_acme-nova-1_01JD8K7R"
		p.After = &ledger.Cached{
			CaseID: c.Plan().CaseID, Ledger: must[ledger.Head](t)(c.LedgerHead()), KeyID: f.signer.KeyID(), First: caseTime, Last: caseTime.Add(time.Hour),
		}
	}
	return p, files
}

// collect writes the ledger as a run would have.
func (f *fixture) collect(t testing.TB, c *ledger.Case, d design) {
	t.Helper()
	clock := steady(f.start)
	clock.Salts = stream(11)
	w := must[*ledger.Writer](t)(ledger.OpenWriter(f.dir, clock))
	mark := must[watermark.Scheme](t)(f.keys[0].Mark())
	rng := rand.New(rand.NewPCG(1, 2+uint64(d.apart)))
	event := func(typ, item string, attempt int, data any) {
		t.Helper()
		must[ledger.Event](t)(w.Append(typ, item, attempt, data))
	}
	event(ledger.EventConfigChange, "", 0, family.SessionEvent{Kind: family.KindSession, Number: 1, OnDrift: "stop"})
	for i, it := range c.Plan().Items() {
		request := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}],"max_tokens":400,"temperature":1}`, it.Target.Model, it.Prompt.Text)
		send := func(attempt int) {
			ref := must[ledger.BlobRef](t)(w.PutBlob([]byte(request)))
			event(ledger.EventIntent, it.ID, attempt, ledger.Intent{Target: it.Target.Name, Request: ref})
		}
		attempt := 1
		send(attempt)
		if d.broken && i%5 == 0 {
			event(ledger.EventAttemptFailed, it.ID, attempt, ledger.Attempt{Target: it.Target.Name, Outcome: ledger.RateLimited, Kind: "chat", Status: 429, Complete: true})
			attempt++
			send(attempt)
		}
		var marked watermark.Scheme
		if it.Target.Role == ledger.Rival {
			marked = mark
		}
		content := speak(rng, d.tokens, marked) + d.hostile
		finish := "stop"
		if d.broken && i%7 == 3 {
			content, finish = "", "content_filter"
		}
		body := must[[]byte](t)(json.Marshal(map[string]any{
			"id": fmt.Sprintf("resp-%d", i), "object": "chat.completion", "model": it.Target.Model, "system_fingerprint": "fp_1",
			"choices": []any{map[string]any{"index": 0, "message": map[string]any{"role": "assistant", "content": content}, "finish_reason": finish}},
			"usage":   map[string]any{"prompt_tokens": 9, "completion_tokens": d.tokens, "total_tokens": 9 + d.tokens},
		}))
		ref := must[ledger.BlobRef](t)(w.PutBlob(body))
		a := ledger.Attempt{
			Target: it.Target.Name, Kind: "chat", Status: 200, Complete: true, Response: &ref, Model: it.Target.Model,
			Fingerprint: "fp_1", RequestID: fmt.Sprintf("req-%d", i), TotalMS: 120.5 + float64(i), Headers: map[string]string{"server": "acme"},
		}
		a.Outcome = family.Decode(ledger.ReplyRecord{Attempt: a, Response: body}).Outcome
		if err := w.PutHeaders(&a); err != nil {
			t.Fatal(err)
		}
		event(ledger.EventReply, it.ID, attempt, a)
	}
	event(ledger.EventStop, "", 0, family.StopEvent{Reason: family.StopComplete})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// trust is the reader's list with the fixture's signer.
func (f *fixture) trust() Options {
	return Options{Trust: []ledger.PublicKey{f.signer.PublicKey()}, TSARoots: f.roots, Program: testBuild}
}

// verify runs a verification that must not fail as such.
func (f *fixture) verify(t testing.TB, path string, opt Options) *Result {
	t.Helper()
	return must[*Result](t)(Verify(t.Context(), path, opt))
}

// copyTo copies the case folder, so that a test can damage it.
func (f *fixture) copyTo(t testing.TB, dir string) string {
	t.Helper()
	to := filepath.Join(dir, filepath.Base(f.dir))
	if err := os.CopyFS(to, os.DirFS(f.dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// files lists the files of a folder, slash-separated.
func files(t testing.TB, dir string) []string {
	t.Helper()
	var names []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
