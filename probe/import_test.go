package probe

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// neuralKey is the published key that the replies of testdata/neural were marked
// under.
func neuralKey(t *testing.T) *watermark.Key {
	t.Helper()
	k, err := watermark.Import(watermark.Spec{Scheme: "hf-kgw-lefthash", Vocab: 2048}, nil, source(9))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func importInput(keys ...*watermark.Key) PlanInput {
	in := PlanInput{Decoys: -1, Now: testNow, Rand: source(2)}
	for _, k := range keys {
		in.Keys = append(in.Keys, PlanKey{Key: k})
	}
	in.Suites = []PlanSuite{{Ref: ledger.SuiteRef{Name: "pilot"}}}
	return in
}

// imported makes a case of files.
func imported(t *testing.T, in PlanInput, files ...ImportFile) string {
	t.Helper()
	im, err := PlanImport(t.Context(), in, files)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "case")
	if err := im.Write(t.Context(), dir, testSigner(), nil, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

// neuralScore is what a file of testdata/neural scores.
type neuralScore struct {
	name   string
	n      int64
	green  float64
	log10P float64
}

// neuralFiles are the files, the first of them a rival's, the others controls'.
func neuralFiles(of []neuralScore, ids bool) []ImportFile {
	var files []ImportFile
	for i, w := range of {
		role := ledger.Control
		if i == 0 {
			role = ledger.Rival
		}
		files = append(files, ImportFile{Target: ledger.Target{Name: w.name, Role: role}, Path: "testdata/neural/" + w.name + ".jsonl", IDs: ids})
	}
	return files
}

// TestImportNeural: real neural rivals, scored on their token ids, give the
// numbers of two independent implementations (testdata/neural/README.md), and no
// more than a lead.
func TestImportNeural(t *testing.T) {
	t.Parallel()
	want := []neuralScore{
		{"distilled", 17355, 5621, -105.25},
		{"light", 21269, 5486, -2.40},
		{"innocent", 21817, 5519, -.80},
		{"plain", 18108, 4494, -.14},
		{"teacher", 19612, 4853, -.10},
	}
	files := neuralFiles(want, true)
	key := neuralKey(t)
	dir := imported(t, importInput(key), files...)
	f := findings(t, dir, key)
	for i, w := range want {
		got := &f.Findings[i]
		if got.Target != w.name || got.N != w.n || got.Score != w.green || math.Abs(*got.Log10P-w.log10P) > .005 || got.Log10E != nil {
			t.Errorf("%s: n %d, green %g, log10 p %.4f; want %+v", got.Target, got.N, got.Score, *got.Log10P, w)
		}
		if got.Tier != ledger.Exploratory || got.Verdict == ledger.VerdictSingleRun || !strings.Contains(strings.Join(got.Warnings, " "), "were not acquired by this program") {
			t.Errorf("%s: tier %s, verdict %s, %q", w.name, got.Tier, got.Verdict, got.Warnings)
		}
		if a := f.Accounting[i]; a.Planned != 320 || a.Analysed != 320 || a.Sent != 0 || a.Missing != 0 {
			t.Errorf("%s: %+v", w.name, a)
		}
	}
	if said := strings.Join(f.Deviations, "\n"); !strings.Contains(said, `distilled: its 320 replies were not acquired by this program; they were imported from "distilled.jsonl", whose SHA-256 is`) {
		t.Errorf("%q", f.Deviations)
	}
	// Nothing can be added to such a case, and nothing is sent.
	sum, err := Run(t.Context(), dir, RunOptions{pace: quick})
	if err != nil || sum.SentNow != 0 || !sum.AlreadyDone {
		t.Errorf("run: %+v, %v", sum, err)
	}
}

// TestImportNeuralText: the same replies scored from their text, read with the models'
// own tokenizer, give the numbers that testdata/neural/README.md says for it.
func TestImportNeuralText(t *testing.T) {
	t.Parallel()
	const dir = "testdata/neural/"
	enc, err := tokens.LoadTiktoken(dir+"tiny.tiktoken", `'(?:s|t|re|ve|ll|d|m)| ?[A-Za-z]+| ?[0-9]| ?[^\sA-Za-z0-9]+|\s+`)
	if err != nil {
		t.Fatal(err)
	}
	key, err := watermark.Import(watermark.Spec{Scheme: "hf-kgw-lefthash", Vocab: 2048, Tokenizer: enc.Name(), TokenizerSHA256: enc.SHA256()}, nil, source(9))
	if err != nil {
		t.Fatal(err)
	}
	want := []neuralScore{
		{"distilled", 17695, 5631, -92.05},
		{"light", 21698, 5576, -2.04},
		{"innocent", 22151, 5618, -.97},
		{"plain", 18487, 4563, -.07},
	}
	files := neuralFiles(want, false)
	kase, err := ledger.Open(imported(t, importInput(key), files...))
	if err != nil {
		t.Fatal(err)
	}
	f, err := family.Analyze(t.Context(), kase, []*watermark.Key{key}, family.Options{
		Tokenizer: func(string, string) (watermark.Tokenizer, error) { return enc, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range want {
		got := &f.Findings[i]
		if got.Target != w.name || got.N != w.n || got.Score != w.green || math.Abs(*got.Log10P-w.log10P) > .005 {
			t.Errorf("%s: n %d, green %g, log10 p %.4f; want %+v", got.Target, got.N, got.Score, *got.Log10P, w)
		}
	}
}

func lines(t *testing.T, all ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "replies.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join(all, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestImportSamples: equal prompts are samples of one, with the ids that the lines
// agree on; what a target lacks is missing.
func TestImportSamples(t *testing.T) {
	t.Parallel()
	key := testKey(t, watermark.KGW)
	rival := lines(t, `{"id":"a","prompt":"one","text":"x"}`, "", `{"id":"b","prompt":"two","text":"y"}`, `{"id":"a","prompt":"one","text":"z"}`, "")
	control := lines(t, `{"id":"b","prompt":"two","text":"v"}`, `{"id":"b","prompt":"two","text":" "}`)
	dir := imported(t, importInput(key),
		ImportFile{Target: ledger.Target{Name: "r", Role: ledger.Rival}, Path: rival},
		ImportFile{Target: ledger.Target{Name: "c", Role: ledger.Control}, Path: control})
	c, err := ledger.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	err = c.Replies(func(rec ledger.ReplyRecord) error {
		texts[rec.Item.ID] = family.Decode(rec).Text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"r/pilot/a/0": "x", "r/pilot/a/1": "z", "r/pilot/b/0": "y", "c/pilot/b/0": "v", "c/pilot/b/1": " "} {
		if texts[id] != want {
			t.Errorf("%s is %q, want %q", id, texts[id], want)
		}
	}
	f := findings(t, dir, key)
	if a, b := f.Accounting[0], f.Accounting[1]; a.Planned != 4 || a.Analysed != 3 || a.Missing != 1 || b.Analysed != 1 || b.Missing != 2 || b.Classes[ledger.Empty] != 1 {
		t.Errorf("%+v", f.Accounting)
	}
	if sum, err := Run(t.Context(), dir, RunOptions{pace: quick}); err != nil || sum.SentNow != 0 || sum.Planned != 0 {
		t.Errorf("run: %+v, %v", sum, err)
	}
	// Ids that name two prompts are not used.
	dir = imported(t, importInput(key), ImportFile{Target: ledger.Target{Name: "r", Role: ledger.Rival}, Path: lines(t,
		`{"id":"a","prompt":"one","text":"x"}`, `{"id":"a","prompt":"two","text":"y"}`)})
	if c, err = ledger.Open(dir); err != nil || c.Plan().Prompts[1].ID != "p000002" {
		t.Errorf("%+v, %v", c.Plan().Prompts, err)
	}
}

// TestImportKnownSuite: lines of a known suite take their place in it.
func TestImportKnownSuite(t *testing.T) {
	t.Parallel()
	key := testKey(t, watermark.KGW)
	in := importInput(key)
	in.Suites[0] = PlanSuite{Ref: ledger.SuiteRef{Name: "s", Version: "3", SHA256: strings.Repeat("ab", 32), N: 3}, Prompts: []corpora.Prompt{
		{ID: "q1", Lang: "en", Text: "one"}, {ID: "q2", Lang: "fr", Text: "deux"}, {ID: "q3", Lang: "en", Text: "three"},
	}}
	file := func(path string) ImportFile {
		return ImportFile{Target: ledger.Target{Name: "r", Role: ledger.Rival}, Path: path}
	}
	dir := imported(t, in, file(lines(t, `{"prompt":"deux","text":"x"}`, `{"prompt":"three","text":"y"}`)))
	c, err := ledger.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if p := c.Plan(); len(p.Prompts) != 2 || p.Prompts[0].ID != "q2" || p.Prompts[0].Lang != "fr" || p.Suites[0].N != 2 || p.Suites[0].Version != "3" {
		t.Errorf("%+v, %+v", p.Prompts, p.Suites)
	}
	in = importInput(key)
	in.Suites[0] = PlanSuite{Ref: ledger.SuiteRef{Name: "s", SHA256: strings.Repeat("ab", 32)}, Prompts: []corpora.Prompt{{ID: "q1", Text: "one"}}}
	_, err = PlanImport(t.Context(), in, []ImportFile{file(lines(t, `{"prompt":"one","text":"x"}`, `{"prompt":"eins","text":"x"}`))})
	wantError(t, err, CodeUsage, `line 2 answers a prompt that suite s does not have: "eins"`)
}

// TestImportRefusals: a file that is no good leaves nothing behind.
func TestImportRefusals(t *testing.T) {
	t.Parallel()
	key := testKey(t, watermark.KGW)
	for name, tt := range map[string]struct {
		path string
		ids  bool
		want string
	}{
		"no such file":   {filepath.Join(t.TempDir(), "none"), false, "cannot be read"},
		"nothing in it":  {lines(t, "", " "), false, "holds no reply"},
		"no JSON":        {lines(t, `{"prompt":"one","text":"x"}`, "", "{"), false, "line 3 is no reply"},
		"misspelt":       {lines(t, `{"prompt":"one","txt":"x"}`), false, `unknown member "txt"`},
		"text, not ids":  {lines(t, `{"prompt":"one","text":"x"}`), true, "has no tokens or prompt_tokens"},
		"hostile length": {lines(t, strings.Repeat("x", maxImportLine+1)), false, "longer than 16 MiB"},
	} {
		_, err := PlanImport(t.Context(), importInput(key), []ImportFile{{Target: ledger.Target{Name: "r", Role: ledger.Rival}, Path: tt.path, IDs: tt.ids}})
		var own *Error
		if !errors.As(err, &own) || own.Code != CodeUsage || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	refused := lines(t, `{"prompt":"one","finish_reason":"refusal"}`, `{"prompt":"one","prompt_tokens":[1],"tokens":[2]}`)
	if _, err := PlanImport(t.Context(), importInput(key), []ImportFile{{Target: ledger.Target{Name: "r", Role: ledger.Rival}, Path: refused, IDs: true}}); err != nil {
		t.Errorf("a refusal has no tokens: %v", err)
	}
	var many []string
	for i := range 3 * importWait {
		many = append(many, fmt.Sprintf(`{"prompt":"p %d","text":"x"}`, i))
	}
	path := lines(t, many...)
	file := ImportFile{Target: ledger.Target{Name: "r", Role: ledger.Rival}, Path: path}
	im, err := PlanImport(t.Context(), importInput(key), []ImportFile{file})
	if err != nil {
		t.Fatal(err)
	}
	parent := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	err = im.Write(ctx, filepath.Join(parent, "case"), testSigner(), nil, func(int, int) { cancel() })
	if left, _ := os.ReadDir(parent); !errors.Is(err, context.Canceled) || len(left) != 0 {
		t.Errorf("interrupted: %v, left %v", err, left)
	}
	if err := os.WriteFile(path, []byte(strings.Join(many[1:], "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	err = im.Write(t.Context(), filepath.Join(parent, "case"), testSigner(), nil, nil)
	wantError(t, err, CodeUsage, "changed while it was read")
	if left, _ := os.ReadDir(parent); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}
