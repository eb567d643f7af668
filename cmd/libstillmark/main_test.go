//go:build cgo

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stillmark/stillmark/watermark"
)

// demanded says that missing tools fail a test instead of skipping it.
func demanded() bool { return os.Getenv("STILLMARK_REQUIRE_TOOLS") == "1" }

func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, name := range tools {
		if _, err := exec.LookPath(name); err != nil {
			if demanded() {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir = dir
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, errs.String())
	}
	return out.String()
}

// library builds the shared library once.
var library = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "libstillmark")
	if err != nil {
		return "", err
	}
	c := exec.Command("go", "build", "-buildmode=c-shared", "-o", filepath.Join(dir, "libstillmark.so"), ".")
	c.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := library(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

func keyFile(t *testing.T, s watermark.Spec) (string, *watermark.Key) {
	t.Helper()
	s.Tokenizer, s.Vocab = "ids", 1003
	k, err := watermark.NewKey(s, rand.NewChaCha8([32]byte{5}))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.json")
	if err := k.Save(path); err != nil {
		t.Fatal(err)
	}
	return path, k
}

// The C program gets what the package gives, bit for bit, from one thread and from
// eight, and the error codes of the header.
func TestC(t *testing.T) {
	need(t, "go", "gcc")
	dir, err := library()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "test")
	run(t, ".", "gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-I.", "-o", program, "testdata/test.c", "-L"+dir, "-Wl,-rpath,"+dir, "-lstillmark", "-lpthread", "-lm")
	for _, spec := range []watermark.Spec{
		{Scheme: watermark.KGW},
		{Scheme: watermark.KGW, PRF: watermark.Philox},
		{Scheme: watermark.KGW, Params: watermark.Params{Seeding: watermark.SelfHash}},
		{Scheme: watermark.Gumbel},
		{Scheme: watermark.Tournament},
		{Scheme: watermark.GumbelDual},
	} {
		path, key := keyFile(t, spec)
		said := map[string]string{}
		for line := range strings.Lines(run(t, ".", program, path)) {
			name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			said[name] = rest
		}
		compare(t, key, said)
	}
}

func compare(t *testing.T, key *watermark.Key, said map[string]string) {
	t.Helper()
	mark, err := key.Mark()
	if err != nil {
		t.Fatal(err)
	}
	history, ids := []int32{5, 9, 2, 7, 11, 3}, []int32{0, 1, 2, 3, 500, 999}
	text := []int32{4, 8, 15, 16, 23, 42, 4, 8, 15, 16}
	what := key.Scheme + " on " + key.Spec.PRF
	if said["vocab"] != "1003" || said["window"] != strconv.Itoa(mark.Window()) {
		t.Errorf("%s: vocab %s, window %s", what, said["vocab"], said["window"])
	}
	var shown struct {
		ID   string         `json:"id"`
		Spec watermark.Spec `json:"spec"`
	}
	if err := json.Unmarshal([]byte(said["spec"]), &shown); err != nil || shown.ID != key.ID || shown.Spec != key.Spec {
		t.Errorf("%s: spec %s: %v", what, said["spec"], err)
	}
	if l, ok := watermark.Lister(mark); ok {
		mask := make([]uint32, watermark.MaskWords(key.Vocab))
		marked := l.GreenMask(history, mask)
		fields := strings.Fields(said["mask"])
		if len(fields) != len(mask)+2 || fields[0] != strconv.Itoa(int(boolean(marked))) || number(t, fields[1]) != float64(l.Bias()) {
			t.Fatalf("%s: mask %.60s", what, said["mask"])
		}
		for i, f := range fields[2:] {
			if f != fmt.Sprintf("%08x", mask[i]) {
				t.Fatalf("%s: word %d of the mask is %s, not %08x", what, i, f, mask[i])
			}
		}
	} else if said["mask"] != "" {
		t.Errorf("%s has a mask", what)
	}
	if n, ok := mark.(watermark.Noiser); ok {
		noise := make([]float32, len(ids))
		n.Noise(history, ids, noise)
		same(t, what+" noise", strings.Fields(said["noise"])[1:], widen(noise))
	} else if said["noise"] != "" {
		t.Errorf("%s has noise", what)
	}
	logits := make([]float32, key.Vocab)
	mark.Process(history, logits)
	same(t, what+" process", strings.Fields(said["process"]), widen(logits))
	few := make([]float32, len(ids))
	mark.ProcessCandidates(history, ids, few)
	same(t, what+" candidates", strings.Fields(said["candidates"]), widen(few))
	var scores []float64
	for _, s := range watermark.ScoreTokens(mark, watermark.Item{Tokens: text}) {
		x := math.NaN()
		if s.Fate == watermark.FateScored {
			x = s.Score
		}
		scores = append(scores, x)
	}
	same(t, what+" score", strings.Fields(said["score"]), scores)
}

func widen(in []float32) []float64 {
	out := make([]float64, len(in))
	for i, x := range in {
		out[i] = float64(x)
	}
	return out
}

func number(t *testing.T, s string) float64 {
	t.Helper()
	x, err := strconv.ParseFloat(strings.TrimPrefix(s, "-nan"), 64)
	if strings.HasSuffix(s, "nan") {
		return math.NaN()
	}
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func same(t *testing.T, what string, got []string, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, not %d", what, len(got), len(want))
	}
	for i := range want {
		if x := number(t, got[i]); x != want[i] && !(math.IsNaN(x) && math.IsNaN(want[i])) {
			t.Fatalf("%s: number %d is %v, not %v", what, i, x, want[i])
		}
	}
}

// A sampler in Python that knows nothing but the mask writes text in which the
// detector finds the key, and no other.
func TestCtypes(t *testing.T) {
	need(t, "go", "gcc", "python3")
	dir, err := library()
	if err != nil {
		t.Fatal(err)
	}
	path, key := keyFile(t, watermark.Spec{Scheme: watermark.KGW})
	var ids []int32
	if err := json.Unmarshal([]byte(run(t, ".", "python3", "testdata/test.py", filepath.Join(dir, "libstillmark.so"), path)), &ids); err != nil {
		t.Fatal(err)
	}
	mark, err := key.Mark()
	if err != nil {
		t.Fatal(err)
	}
	found := watermark.NewDetector(mark, watermark.Options{})
	found.Add(watermark.Item{Tokens: ids})
	if r := found.Result(); r.N < 500 || r.Tail.Log10P > -20 {
		t.Errorf("n %d, log10 p %.1f", r.N, r.Tail.Log10P)
	}
	decoy, err := watermark.DecoyKey([32]byte{9}, 0, key.Spec)
	if err != nil {
		t.Fatal(err)
	}
	other := watermark.NewDetector(decoy, watermark.Options{})
	other.Add(watermark.Item{Tokens: ids})
	if r := other.Result(); r.Tail.Log10P < -4 {
		t.Errorf("another key has log10 p %.1f", r.Tail.Log10P)
	}
}

// Every function that the header declares is exported, and the other way round.
func TestHeader(t *testing.T) {
	need(t, "go", "gcc")
	dir, err := library()
	if err != nil {
		t.Fatal(err)
	}
	header, err := os.ReadFile("stillmark.h")
	if err != nil {
		t.Fatal(err)
	}
	made, err := os.ReadFile(filepath.Join(dir, "libstillmark.h"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(made)) {
		if name, _, ok := strings.Cut(strings.TrimPrefix(line, "extern "), "("); ok && strings.HasPrefix(line, "extern ") {
			name = name[strings.LastIndexByte(name, ' ')+1:]
			if !strings.Contains(name, "_GoString") && !strings.Contains(string(header), name+"(") {
				t.Errorf("%s is not in stillmark.h", name)
			}
		}
	}
	for _, word := range strings.FieldsFunc(string(header), func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz_(", r) }) {
		if name, isCall := strings.CutSuffix(word, "("); isCall && strings.HasPrefix(name, "stillmark_") && !strings.Contains(string(made), name+"(") {
			t.Errorf("%s is declared and not exported", name)
		}
	}
}
