package main

import (
	"context"
	"crypto/fips140"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
	"github.com/stillmark/stillmark/watermark/prf"
)

// checkup is what doctor prints.
type checkup struct {
	Build struct {
		ledger.Build
		Processors int    `json:"processors"`
		AES        string `json:"aes"` // what aes-ctr-v1 runs on
		FIPS140    bool   `json:"fips140"`
	} `json:"build"`
	Answers    []prf.Answer         `json:"known_answers"`
	Uniformity []uniformity         `json:"uniformity"`
	Tails      []evidence.TailCheck `json:"tails"`
	Timings    []timing             `json:"timings,omitempty"`
	OK         bool                 `json:"ok"`
}

type uniformity struct {
	Generator  string         `json:"generator"`
	Properties []prf.Property `json:"properties"`
	Limit      float64        `json:"limit"` // of |z|
	OK         bool           `json:"ok"`
}

type timing struct {
	Operation   string  `json:"operation"`
	Nanoseconds float64 `json:"ns"` // of the fastest of several runs
	Per         string  `json:"per"`
}

func (a *app) doctorCommand() *cobra.Command {
	var noTimings bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "check this build on this machine: known answers, uniformity, tails, timing",
		Long: `Runs on this machine what every result rests on: the generators against answers that
others computed, on every kind of AES instruction that there is; a battery of
uniformity tests on a million words of each native generator (bytes, agreement of
neighbouring tokens, windows and swapped windows, joint greens, dispersion), which an
additive hash fails; tail probabilities down to 1e-1066 against 96-digit arithmetic;
and the time that the main operations take here. It reads and sends nothing.

Exit code 0 says that all passed, 1 that something did not: then rely on no result of
this build on this machine.`,
		Example: "  stillmark doctor\n  stillmark doctor --json --no-timings",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.doctor(c.Context(), !noTimings) },
	}
	c.Flags().BoolVar(&noTimings, "no-timings", false, "leave the timings out: the same output every time")
	c.AddCommand(a.doctorCalibrateCommand())
	return c
}

func (a *app) doctor(ctx context.Context, timings bool) error {
	r := checkup{Answers: prf.KnownAnswers(), Tails: evidence.CheckTails(), OK: true}
	r.Build.Build, r.Build.Processors, r.Build.AES, r.Build.FIPS140 = build(), runtime.GOMAXPROCS(0), prf.AESPath(), fips140.Enabled()
	sources := []prf.Source{prf.NewAESCTR([16]byte{1}, [16]byte{2}), prf.NewPhilox(0x0123456789abcdef)}
	for _, s := range sources {
		words := make([]uint32, 0)
		u := uniformity{Generator: fmt.Sprint(s), Limit: prf.BatteryLimit}
		u.Properties = prf.Battery(func(x, y int32, n int) []uint32 {
			if cap(words) < n {
				words = make([]uint32, n)
			}
			s.SetWindow([]int32{x, y})
			s.Words(0, words[:n])
			return words[:n]
		})
		u.OK = math.Abs(prf.Worst(u.Properties).Z) < u.Limit
		r.OK = r.OK && u.OK
		r.Uniformity = append(r.Uniformity, u)
	}
	for _, x := range r.Answers {
		r.OK = r.OK && x.OK
	}
	for _, x := range r.Tails {
		r.OK = r.OK && x.OK
	}
	if timings {
		var err error
		if r.Timings, err = a.timings(ctx); err != nil {
			return err
		}
	}
	if a.asJSON {
		if err := a.printJSON(r); err != nil {
			return err
		}
	} else if err := a.writeCheckup(&r); err != nil {
		return err
	}
	switch {
	case r.OK:
		return nil
	case a.asJSON:
		return &codedError{codeBug, errSilent}
	}
	return &codedError{codeBug, errors.New("the self-test failed: rely on no result of this build on this machine")}
}

func (a *app) writeCheckup(r *checkup) error {
	b := r.Build
	fmt.Fprintf(a.out, "build: stillmark %s %s %s/%s, %d processors, aes-ctr-v1 on %s", b.Version, b.Go, b.OS, b.Arch, b.Processors, b.AES)
	if b.FIPS140 {
		fmt.Fprint(a.out, ", FIPS 140 mode")
	}
	passed := 0
	for _, x := range r.Answers {
		if x.OK {
			passed++
		}
	}
	fmt.Fprintf(a.out, "\nknown answers: %d of %d\n", passed, len(r.Answers))
	for _, x := range r.Answers {
		if !x.OK {
			fmt.Fprintf(a.out, "  FAILED %s: not the answer of %s\n", x.Generator, x.Source)
		}
	}
	for _, u := range r.Uniformity {
		w := prf.Worst(u.Properties)
		state := "passed"
		if !u.OK {
			state = "FAILED"
		}
		fmt.Fprintf(a.out, "uniformity of %s: %s, %d properties, largest |z| %.2f of %.0f (%s)\n", u.Generator, state, len(u.Properties), math.Abs(w.Z), u.Limit, w.Name)
	}
	passed, worst := 0, 0.
	for _, x := range r.Tails {
		if x.OK {
			passed++
		}
		worst = max(worst, x.Error)
	}
	fmt.Fprintf(a.out, "tails: %d of %d, largest relative error %.1e\n", passed, len(r.Tails), worst)
	for _, x := range r.Tails {
		if !x.OK {
			fmt.Fprintf(a.out, "  FAILED %s: log10 p %v, should be %v\n", x.Tail, x.Log10P, x.Reference)
		}
	}
	if len(r.Timings) > 0 {
		fmt.Fprintln(a.out, "timing, the fastest of several runs:")
		t := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
		for _, x := range r.Timings {
			fmt.Fprintf(t, "  %s\t%s per %s\n", x.Operation, nanoseconds(x.Nanoseconds), x.Per)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	if r.OK {
		_, err := fmt.Fprintln(a.out, "all passed")
		return err
	}
	return nil
}

func nanoseconds(x float64) string {
	switch {
	case x < 1e3:
		return fmt.Sprintf("%.3g ns", x)
	case x < 1e6:
		return fmt.Sprintf("%.3g µs", x/1e3)
	}
	return fmt.Sprintf("%.3g ms", x/1e6)
}

// doctorVocab is the width of Llama-3's logits.
const doctorVocab = 128_256

// timings measures the main operations on one processor, decoys on all.
func (a *app) timings(ctx context.Context) ([]timing, error) {
	m := a.newMeter()
	defer m.clear()
	r := rand.New(rand.NewPCG(1, 1))
	ids := make([]int32, 20_000)
	logits := make([]float32, doctorVocab)
	for i := range ids {
		ids[i] = int32(math.Exp(r.Float64()*math.Log(doctorVocab))) - 1
	}
	for i := range logits {
		logits[i] = float32(r.NormFloat64())
	}
	var out []timing
	measure := func(operation, per string, times int, f func(round int)) {
		m.set(operation)
		best := math.Inf(1)
		for round := range 5 {
			begun := time.Now()
			f(round)
			best = min(best, float64(time.Since(begun).Nanoseconds())/float64(times))
		}
		out = append(out, timing{operation, best, per})
	}
	marks := map[string]watermark.Scheme{}
	for name, spec := range map[string]watermark.Spec{
		"kgw":        {Scheme: watermark.KGW},
		"philox":     {Scheme: watermark.KGW, PRF: watermark.Philox},
		"tournament": {Scheme: watermark.Tournament},
		"gumbel":     {Scheme: watermark.Gumbel},
	} {
		spec.Vocab, spec.Tokenizer = doctorVocab, "doctor"
		var err error
		if marks[name], err = watermark.DecoyKey([32]byte{'d'}, 0, spec); err != nil {
			return nil, fmt.Errorf("timing: %w", err)
		}
	}
	k, err := watermark.Import(watermark.Spec{Scheme: "hf-kgw-lefthash", Vocab: doctorVocab}, map[string]string{"hashing_key": "15485863"}, crand.Reader)
	if err != nil {
		return nil, fmt.Errorf("timing: %w", err)
	}
	lists, err := k.Mark()
	if err != nil {
		return nil, fmt.Errorf("timing: %w", err)
	}
	score := func(s watermark.Scheme, n int) func(int) {
		window := make([]int32, s.Window())
		return func(round int) {
			for i := range n {
				window[0] = int32(round*n + i)
				s.Score(window, ids[i%len(ids)])
			}
		}
	}
	step := func(s watermark.Scheme, n int) func(int) {
		scratch := make([]float32, len(logits))
		return func(round int) {
			for i := range n {
				copy(scratch, logits)
				s.Process([]int32{int32(round), int32(i)}, scratch)
			}
		}
	}
	short := func(s watermark.Scheme, n int) func(int) {
		candidates, scratch := make([]int32, 200), make([]float32, 200)
		for i := range candidates {
			candidates[i] = int32(i * 641)
		}
		return func(round int) {
			for i := range n {
				copy(scratch, logits)
				s.ProcessCandidates([]int32{int32(round), int32(i)}, candidates, scratch)
			}
		}
	}
	measure("score under kgw, aes-ctr-v1", "token", 100_000, score(marks["kgw"], 100_000))
	measure("score under kgw, philox-v1", "token", 100_000, score(marks["philox"], 100_000))
	measure("walk through a permutation of 128,256 (Hugging Face KGW)", "token", 50, score(lists, 50))
	measure("detection under kgw, dedup included", "token", len(ids), func(int) {
		watermark.NewDetector(marks["kgw"], watermark.Options{}).Add(watermark.Item{Tokens: ids})
	})
	measure("embedding kgw over 128,256 ids", "step", 20, step(marks["kgw"], 20))
	measure("embedding gumbel over 128,256 ids", "step", 10, step(marks["gumbel"], 10))
	measure("embedding tournament over 128,256 ids", "step", 2, step(marks["tournament"], 2))
	measure("embedding gumbel on 200 candidates", "step", 500, short(marks["gumbel"], 500))
	measure("embedding tournament on 200 candidates", "step", 200, short(marks["tournament"], 200))
	d := watermark.NewDetector(marks["kgw"], watermark.Options{})
	d.Add(watermark.Item{Tokens: ids})
	var failed error
	measure("decoys under kgw, on all processors", "unit and key", 100*int(d.Result().N), func(int) {
		if _, err := d.RandomKeys(ctx, [32]byte{'d'}, 0, 100); err != nil {
			failed = err
		}
	})
	if failed != nil {
		return nil, failed
	}
	encoding, err := tokens.Get("cl100k")
	if err != nil {
		return nil, fmt.Errorf("timing: %w", err)
	}
	text := strings.Repeat(a.doctorCommand().Long, 20)
	measure("tokenizing English with cl100k", "byte", len(text), func(int) {
		if _, err := encoding.Encode(text); err != nil {
			failed = err
		}
	})
	return out, failed
}
