package integration_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/integration/llama"
	"github.com/stillmark/stillmark/watermark/integration/models"
	"github.com/stillmark/stillmark/watermark/integration/serve"
)

// audited is how many prompts a target gets; the trained rival shows some -0.8 of
// log10 p for each.
const audited = 32

// TestAudit is the whole way of an audit over HTTP, from the key to the verified case,
// with the program as it is, of three models in llama.cpp: one that was fine-tuned on
// replies that another model gave under a Hugging Face key, one that was not, and one
// that is served with our own mark. The first must show the first key (trained models
// only), the third the other, the second none.
func TestAudit(t *testing.T) {
	models.Init(t)
	set := models.Find(t)
	// The decoys' gate closes once in a thousand tests, by chance, and withholds the
	// result. Twice in a row is a fault.
	for range 2 {
		if audit(t, set) {
			return
		}
	}
	t.Error("a result was withheld in two audits")
}

// audit reports false where a result was withheld because its decoys' gate closed.
func audit(t *testing.T, set models.Set) bool {
	t.Helper()
	p := newProgram(t, set)
	own, err := watermark.LoadKey(p.key(t, "own.json", "tournament"))
	if err != nil {
		t.Fatal(err)
	}
	mark, err := own.Mark()
	if err != nil {
		t.Fatal(err)
	}
	url := listen(t,
		serve.Served{Name: "distilled", Model: open(t, set.Distilled, llama.Options{})},
		serve.Served{Name: "innocent", Model: open(t, set.Innocent, llama.Options{})},
		serve.Served{Name: "marked", Model: open(t, set.Teacher, llama.Options{}), Mark: mark})
	config := "authority: Evidence Desk\npurpose: audit of a server on loopback\ntargets:\n"
	for name, role := range map[string]string{"distilled": "rival", "innocent": "control", "marked": "rival"} {
		config += fmt.Sprintf("  - {name: %s, role: %s, base_url: %q, model: %s}\n", name, role, url+"/v1", name)
	}
	p.write(t, "stillmark.yaml", config)
	var suite strings.Builder
	for i, text := range prompts(t, set, audited) {
		line, err := json.Marshal(map[string]string{"id": fmt.Sprintf("p%d", i), "text": text, "lang": "en"})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&suite, "%s\n", line)
	}
	p.write(t, "suite.jsonl", suite.String())
	p.run(t, nil, append([]string{
		"key", "import", "-o", "hf.json", "--scheme", "hf-kgw-lefthash", "--param", "hashing_key=15485863",
		"--param", "greenlist_ratio=0.25", "--param", "bias=2.0", "--param", "context_width=1",
	}, p.tokenizer...)...)
	p.run(t, nil, "signer", "new", "-o", "signer.pem", "--name", "Evidence Desk")
	keys := []string{"--key", "hf.json", "--key", "own.json"}
	p.run(t, nil, "key", "commit", "hf.json")
	p.run(t, nil, "key", "commit", "own.json")
	with := func(args ...string) []string { return append(append(args, keys...), p.tokenizer...) }

	p.run(t, nil, with("probe", "plan", "--target", "distilled", "--target", "marked", "--control", "innocent",
		"--suite", "suite.jsonl", "-n", fmt.Sprint(audited), "--max-tokens", "160", "--temperature", "1", "--decoys", "199",
		"--commitment", "hf.commitment.json", "--commitment", "own.commitment.json", "--signer", "signer.pem", "-o", "case")...)
	var run struct {
		Settled int64                    `json:"settled"`
		Classes map[ledger.Outcome]int64 `json:"classes"`
	}
	p.run(t, &run, "probe", "run", "case")
	if run.Settled != 3*audited || run.Classes[ledger.OK] < 3*audited*95/100 {
		t.Fatalf("%d replies settled, %v", run.Settled, run.Classes)
	}
	var found ledger.Findings
	p.run(t, &found, with("analyze", "case")...)
	if len(found.Findings) != 6 || len(found.Deviations) != 0 {
		t.Fatalf("%d findings, deviations %q", len(found.Findings), found.Deviations)
	}
	for i := range found.Findings {
		f := &found.Findings[i]
		if f.Decoys == nil {
			t.Fatalf("%s under %s has no decoys", f.Target, f.Scheme)
		}
		if !f.Decoys.Pass {
			t.Logf("%s under %s: %+v", f.Target, f.Scheme, f.Decoys)
			return false
		}
		t.Logf("%s under %s: %d pairs, effect %+.4f, log10 p %.2f, Holm %.2f, rank %.3f, %s",
			f.Target, f.Scheme, f.N, f.Effect, *f.Log10P, *f.HolmLog10P, f.Decoys.RankP, f.Verdict)
		signal := f.Target == "marked" && f.Scheme == watermark.Tournament || f.Target == "distilled" && f.Scheme == "hf-kgw-lefthash" && set.Trained
		// At -6 a wrong finding is one in a million.
		if got := *f.HolmLog10P <= -6; got != signal {
			t.Errorf("%s under %s: log10 p %.2f (Holm), a finding is wanted: %t", f.Target, f.Scheme, *f.HolmLog10P, signal)
		}
		if signal != (f.Verdict == ledger.VerdictExploratory) {
			t.Errorf("%s under %s: verdict %s", f.Target, f.Scheme, f.Verdict)
		}
	}
	p.run(t, nil, with("report", "build", "case")...)
	p.run(t, nil, "report", "seal", "case", "--signer", "signer.pem", "--disclose", "hf.json", "--disclose", "own.json", "-o", "case.zip")
	var verified struct {
		State   string `json:"state"`
		Numbers struct {
			Recomputed int `json:"recomputed"`
			Total      int `json:"total"`
		} `json:"numbers"`
	}
	p.run(t, &verified, append([]string{"verify", "case.zip", "--trust", "signer.pem.pub"}, p.tokenizer...)...)
	if verified.State != "TRUSTED" || verified.Numbers.Recomputed != verified.Numbers.Total || verified.Numbers.Total == 0 {
		t.Errorf("state %s, %d of %d numbers recomputed", verified.State, verified.Numbers.Recomputed, verified.Numbers.Total)
	}
	return true
}
