package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stillmark/stillmark/corpora/refmodel/gguf"
	"github.com/stillmark/stillmark/probe"
	"github.com/stillmark/stillmark/probe/endpoint"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports/verify"
)

const (
	ollamaVersion   = "0.17.4" // what .ci/install-ollama builds
	ollamaPrompts   = 40
	ollamaMaxTokens = 160
)

// TestOllama audits a model server that nobody here wrote, from the target test
// to the verified case, with the program as it is. The models are the small
// trained transformers of the folder that STILLMARK_NEURAL names, or else two
// with random weights that the test writes. None of them ever saw the key.
func TestOllama(t *testing.T) {
	t.Parallel()
	server := startOllama(t, findOllama(t))
	models := server.load(t)
	config := "authority: Evidence Desk\npurpose: audit of a server on loopback\ntargets:\n"
	for i, model := range models {
		role := "rival"
		if i > 0 {
			role = "control"
		}
		config += fmt.Sprintf("  - {name: %s, role: %s, base_url: %q, model: %s}\n", model, role, server.url+"/v1", model)
	}
	t.Run("target test", func(t *testing.T) {
		p := newProgram(t, server, config)
		for _, model := range models {
			p.checkCapabilities(t, model)
		}
	})
	t.Run("audit", func(t *testing.T) {
		// A fresh key finds a weak signal in one audit of a hundred, and the decoys'
		// gate closes in one of a thousand, both by chance. Twice in a row is a fault.
		verdicts := newProgram(t, server, config).audit(t, models)
		if slices.ContainsFunc(verdicts, func(v ledger.Verdict) bool { return v != ledger.VerdictNone }) {
			t.Logf("verdicts %v: audited again under another key", verdicts)
			for i, verdict := range newProgram(t, server, config).audit(t, models) {
				if verdict != ledger.VerdictNone {
					t.Errorf("%s: verdict %s under a key that no model saw, a second time", models[i], verdict)
				}
			}
		}
	})
	if n := server.outbound.Load(); n != 0 {
		t.Errorf("%d connections were tried beyond loopback, want none", n)
	}
}

// findOllama returns the path of the server's program. Without one the test is
// skipped, or fails where integration is required.
func findOllama(t *testing.T) string {
	t.Helper()
	path := os.Getenv("STILLMARK_OLLAMA")
	if path == "" {
		// Where .ci/install-ollama puts it, on every system.
		cache := os.Getenv("XDG_CACHE_HOME")
		if cache == "" {
			cache = filepath.Join(os.Getenv("HOME"), ".cache")
		}
		path = filepath.Join(cache, "stillmark", "ollama")
	}
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return path
	}
	message := fmt.Sprintf("Ollama is not at %s: build it with .ci/install-ollama, or name the program in STILLMARK_OLLAMA", path)
	if os.Getenv("STILLMARK_REQUIRE_INTEGRATION") == "1" {
		t.Fatal(message)
	}
	t.Skip(message)
	return ""
}

// ollama is a running server on a free port of the loopback interface.
type ollama struct {
	program, dir, url string
	env               []string // for the server, its client, and the program under test
	outbound          atomic.Int64
}

// startOllama starts the server with its models in a temporary folder. Its way
// out, and that of the program under test, is a proxy that counts and refuses.
func startOllama(t *testing.T, program string) *ollama {
	t.Helper()
	o := &ollama{program: program, dir: t.TempDir()}
	proxy := listenLoopback(t)
	go func() {
		for {
			c, err := proxy.Accept()
			if err != nil {
				return
			}
			o.outbound.Add(1)
			c.Close()
		}
	}()
	t.Cleanup(func() { proxy.Close() })
	free := listenLoopback(t)
	address := free.Addr().String()
	free.Close()
	o.url = "http://" + address
	out := "http://" + proxy.Addr().String()
	o.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + o.dir, "TMPDIR=" + o.dir,
		"OLLAMA_HOST=" + address, "OLLAMA_MODELS=" + filepath.Join(o.dir, "models"),
		"OLLAMA_NO_CLOUD=1", "OLLAMA_KEEP_ALIVE=1h",
		"HTTP_PROXY=" + out, "HTTPS_PROXY=" + out, "NO_PROXY=127.0.0.1,localhost",
	}
	var log safeBuffer
	serve := exec.Command(program, "serve")
	serve.Env, serve.Stdout, serve.Stderr = o.env, &log, &log
	if err := serve.Start(); err != nil {
		t.Fatalf("Ollama does not start: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- serve.Wait() }()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of Ollama's log:\n%s", log.tail(4000))
		}
		serve.Process.Signal(os.Interrupt) // it ends its runners, too
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			serve.Process.Kill()
			<-ended
		}
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if version := o.version(); version != "" {
			t.Logf("Ollama %s at %s", version, o.url)
			if version != ollamaVersion {
				t.Errorf("Ollama %s, want %s: run .ci/install-ollama", version, ollamaVersion)
			}
			return o
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("Ollama ended at its start: %v\n%s", err, log.tail(2000))
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("Ollama does not answer after a minute")
		}
	}
}

func listenLoopback(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// version is what the server says of itself, "" while it does not answer.
func (o *ollama) version() string {
	response, err := http.Get(o.url + "/api/version")
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	var v struct{ Version string }
	if json.NewDecoder(io.LimitReader(response.Body, 1<<10)).Decode(&v) != nil {
		return ""
	}
	return v.Version
}

// load gives the models to the server and returns their names, the rival first.
func (o *ollama) load(t *testing.T) []string {
	t.Helper()
	var files []string
	if folder := os.Getenv("STILLMARK_NEURAL"); folder != "" {
		for _, name := range []string{"distilled", "innocent", "teacher"} {
			path, err := filepath.Abs(filepath.Join(folder, name+".gguf"))
			if err == nil {
				_, err = os.Stat(path)
			}
			if err != nil {
				t.Fatalf("STILLMARK_NEURAL does not hold the models: %v", err)
			}
			files = append(files, path)
		}
	} else {
		for seed, name := range []string{"random-a", "random-b"} {
			path := filepath.Join(o.dir, name+".gguf")
			if err := os.WriteFile(path, gguf.Random(name, uint64(seed)), 0o600); err != nil {
				t.Fatal(err)
			}
			files = append(files, path)
		}
	}
	names := make([]string, len(files))
	for i, path := range files {
		names[i] = strings.TrimSuffix(filepath.Base(path), ".gguf")
		// One thread: models this small spend several on waiting for each other.
		modelfile := fmt.Sprintf("FROM %s\nTEMPLATE \"{{ .Prompt }}\"\nPARAMETER num_ctx 1024\nPARAMETER num_thread 1\n", path)
		written := filepath.Join(o.dir, names[i]+".modelfile")
		if err := os.WriteFile(written, []byte(modelfile), 0o600); err != nil {
			t.Fatal(err)
		}
		create := exec.CommandContext(t.Context(), o.program, "create", names[i], "-f", written)
		create.Env = o.env
		if out, err := create.CombinedOutput(); err != nil {
			t.Fatalf("ollama create %s: %v\n%s", names[i], err, out)
		}
	}
	return names
}

// program is the program under test in a folder of its own.
type program struct {
	dir string
	env []string
}

func newProgram(t *testing.T, o *ollama, config string) *program {
	t.Helper()
	p := &program{dir: t.TempDir(), env: o.env}
	if err := os.WriteFile(filepath.Join(p.dir, "stillmark.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// run runs a command line, which must succeed. With a result the command prints
// JSON, which is decoded into it. It returns what the command took.
func (p *program) run(t *testing.T, result any, args ...string) time.Duration {
	t.Helper()
	if result != nil {
		args = append(args, "--json")
	}
	var out, errs bytes.Buffer
	command := exec.CommandContext(t.Context(), "stillmark", args...)
	command.Dir, command.Env, command.Stdout, command.Stderr = p.dir, p.env, &out, &errs
	began := time.Now()
	err := command.Run()
	took := time.Since(began)
	if err != nil {
		t.Fatalf("stillmark %s: %v\n%s%s", strings.Join(args, " "), err, out.String(), errs.String())
	}
	if result == nil {
		return took
	}
	if err := json.Unmarshal(out.Bytes(), result); err != nil {
		t.Fatalf("stillmark %s: %v in\n%s", strings.Join(args, " "), err, out.String())
	}
	return took
}

// checkCapabilities compares what `target test` finds with what is known of the
// server: seeds, and log-probabilities of chats only; no echo.
func (p *program) checkCapabilities(t *testing.T, model string) {
	t.Helper()
	var found ledger.Capabilities
	took := p.run(t, &found, "target", "test", model)
	var lines []string
	for name, s := range found.Support {
		lines = append(lines, strings.TrimRight(fmt.Sprintf("%s %s %s", name, s.State, s.Detail), " "))
	}
	slices.Sort(lines)
	t.Logf("%s in %.1f s: %s", model, took.Seconds(), strings.Join(lines, "; "))
	for name, want := range map[string]string{
		endpoint.CapChat: endpoint.Yes, endpoint.CapCompletions: endpoint.Yes,
		endpoint.CapStream: endpoint.Yes, endpoint.CapUsage: endpoint.Yes, endpoint.CapStreamUsage: endpoint.Yes,
		endpoint.CapSeed: endpoint.Yes, endpoint.CapTemperatureZero: endpoint.Yes, endpoint.CapMaxTokens: endpoint.Yes,
		endpoint.CapLogprobs: endpoint.Yes, endpoint.CapModelName: endpoint.Yes,
		// The template leaves system prompts out, and the test must see that.
		endpoint.CapSystemPrompt: endpoint.Unknown,
	} {
		if got := found.Support[name].State; got != want {
			t.Errorf("%s: %s is %q, want %q", model, name, got, want)
		}
	}
	if found.Support[endpoint.CapEchoLogprobs].State == endpoint.Yes {
		t.Errorf("%s: echoed log-probabilities were found, which this server does not have", model)
	}
	if found.Model != model || found.Fingerprint != "fp_ollama" {
		t.Errorf("%s: answers as %q, fingerprint %q", model, found.Model, found.Fingerprint)
	}
}

// audit goes the whole way from a new key to the verified case, checks every
// stage, and returns the verdicts in the order of the models.
func (p *program) audit(t *testing.T, models []string) []ledger.Verdict {
	t.Helper()
	p.run(t, nil, "signer", "new", "-o", "signer.pem", "--name", "Evidence Desk")
	p.run(t, nil, "key", "new", "-o", "key.json", "--scheme", "gumbel")
	p.run(t, nil, "key", "commit", "key.json", "-o", "key.commitment.json")
	plan := []string{
		"probe", "plan", "--target", models[0], "--suite", "longform-en", "-n", fmt.Sprint(ollamaPrompts),
		"--max-tokens", fmt.Sprint(ollamaMaxTokens), "--temperature", "1", "--key", "key.json", "--commitment", "key.commitment.json",
		"--signer", "signer.pem", "-o", "case",
	}
	for _, control := range models[1:] {
		plan = append(plan, "--control", control)
	}
	planning := p.run(t, nil, plan...)

	want := int64(ollamaPrompts * len(models))
	var run, again probe.Summary
	running := p.run(t, &run, "probe", "run", "case")
	if run.Planned != want || run.Settled != want || run.Missing != 0 || run.Drift != 0 {
		t.Fatalf("%d of %d replies settled, %d missing, %d drifts: %v, failed %v; want all %d", run.Settled, run.Planned, run.Missing, run.Drift, run.Classes, run.Failed, want)
	}
	if ok := run.Classes[ledger.OK]; ok < want*95/100 {
		t.Errorf("%d of %d replies are ok: %v", ok, want, run.Classes)
	}
	p.run(t, &again, "probe", "run", "case")
	if !again.AlreadyDone || again.SentNow != 0 {
		t.Errorf("the second run of a finished case sent %d requests", again.SentNow)
	}

	var found ledger.Findings
	analysing := p.run(t, &found, "analyze", "case", "--key", "key.json")
	if len(found.Findings) != len(models) || len(found.Deviations) != 0 {
		t.Fatalf("%d findings and deviations %q, want %d and none", len(found.Findings), found.Deviations, len(models))
	}
	for _, a := range found.Accounting {
		t.Logf("%s: %d planned, %d sent, settled %v, failed %v, %d prompt tokens and %d reply tokens by its own count",
			a.Target, a.Planned, a.Sent, a.Classes, a.Failed, a.Usage.PromptTokens, a.Usage.CompletionTokens)
	}
	verdicts := make([]ledger.Verdict, len(models))
	for i := range found.Findings {
		f := &found.Findings[i]
		verdicts[slices.Index(models, f.Target)] = f.Verdict
		if f.Decoys == nil || f.N < 10*ollamaPrompts || f.Power.Effect <= 0 {
			t.Fatalf("%s: %d scored units of %d tokens, decoys scored: %t, power %+v", f.Target, f.N, f.Tokens, f.Decoys != nil, f.Power)
		}
		t.Logf("%s: %s, %d replies, %d tokens, %d scored, log10 p %s (Holm %s), decoys' sd ratio %.3f, rank p %.3f, power .9 at %.4f",
			f.Target, f.Verdict, f.Replies, f.Tokens, f.N, number(f.Log10P), number(f.HolmLog10P), f.Decoys.SDRatio, f.Decoys.RankP, f.Power.Effect)
	}
	var verified verify.Result
	building := p.run(t, nil, "report", "build", "case", "--key", "key.json")
	sealing := p.run(t, nil, "report", "seal", "case", "--signer", "signer.pem", "--disclose", "key.json", "-o", "case.zip")
	verifying := p.run(t, &verified, "verify", "case.zip", "--trust", "signer.pem.pub")
	if verified.State != verify.Trusted || verified.Numbers.Recomputed != verified.Numbers.Total || verified.Numbers.Total == 0 {
		t.Errorf("state %s, %d of %d numbers recomputed", verified.State, verified.Numbers.Recomputed, verified.Numbers.Total)
	}
	t.Logf("plan %.1f s, run %.1f s (%d attempts, %d tokens), analyze %.1f s, build %.1f s, seal %.1f s, verify %.1f s (%s, %d numbers)",
		planning.Seconds(), running.Seconds(), run.Sent, run.Tokens, analysing.Seconds(), building.Seconds(), sealing.Seconds(), verifying.Seconds(), verified.State, verified.Numbers.Recomputed)
	return verdicts
}

// safeBuffer keeps what a process prints.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) tail(n int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.b.Bytes()
	return string(all[max(0, len(all)-n):])
}
