package family

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/endpoint/mock/persona"
	"github.com/stillmark/stillmark/probe/ledger"
)

func TestWrapperIsCalibrated(t *testing.T) {
	t.Parallel()
	q := stylePrompts(t, 12, reading.KindProtocol)
	calibrated(t, worlds(24), []float64{.15, .3, .6}, func(world uint64, rate float64) *population {
		return scripted(t, newPopulation(Wrapper, 6, q), world, scenery{controls: 19, rate: rate})
	})
}

// One that forwards to us is first, and its replies pass for ours; an innocent's do
// not. Surroundings are described.
func TestWrapperFinding(t *testing.T) {
	t.Parallel()
	q := stylePrompts(t, 20, reading.KindProtocol)
	for _, forwards := range []bool{true, false} {
		p := newPopulation(Wrapper, 8, q)
		w := persona.NewWorld(6)
		ours := w.Model(persona.Traits{Name: "us", School: "s0"})
		rate := 0.
		if forwards {
			rate = 1
		}
		scripted(t, p, 6, scenery{controls: 19, rate: rate})
		rival := w.Model(persona.Traits{Name: "rival", School: "s3", Transfer: rate, Teacher: ours})
		speak := func(m *persona.Model, id string) func(*ledger.Prompt, int) (string, string) {
			return func(q *ledger.Prompt, sample int) (string, string) {
				text, err := m.Answer(q, sample)
				if err != nil {
					t.Fatal(err)
				}
				return text, fmt.Sprintf(`,"system_fingerprint":%q,"usage":{"prompt_tokens":3,"completion_tokens":8}`, id)
			}
		}
		// The rival again, with a fingerprint.
		for i := range p.plan.Targets {
			if p.plan.Targets[i].Name == "rival" {
				p.plan.Targets = append(p.plan.Targets[:i], p.plan.Targets[i+1:]...)
				break
			}
		}
		p.answer(t, ledger.Target{Name: "rival", Role: ledger.Rival, Capabilities: &ledger.Capabilities{ContextLimit: 4096}}, speak(rival, "fp_1"))
		f := p.find(t, 2).Finding
		c := f.Comparison
		if c == nil || c.Permutation == nil || f.N != 20 || c.Permutation.N != 20 {
			t.Fatalf("%+v", f)
		}
		if first, same := c.Rank == 1, c.Permutation.Log10P > -2; first != forwards || same != forwards {
			t.Errorf("forwards %v: rank %d, log10 p of one distribution %.2f", forwards, c.Rank, c.Permutation.Log10P)
		}
		traits := map[string]ledger.Trait{}
		for _, x := range c.Traits {
			traits[x.Name] = x
		}
		if x := traits["fingerprint"]; x.Rival != "present" || x.Ours != "absent" || x.Alike != 19 || x.Of != 19 {
			t.Errorf("fingerprint: %+v", x)
		}
		if x := traits["members of the reply"]; x.Rival != "id model choices system_fingerprint usage" || x.Ours != "id model choices usage" {
			t.Errorf("members: %+v", x)
		}
		if x := traits["context limit, in tokens"]; x.Rival != "4096" || x.Ours != "not seen" {
			t.Errorf("context limit: %+v", x)
		}
	}
}

// The kernel is 1 for equal strings, small for others, and the observed discrepancy is
// that of the test.
func TestStringKernel(t *testing.T) {
	t.Parallel()
	a, b, c, d := embed("The answer is harbour."), embed("The answer is harbour."), embed("The answer is: harbour"), embed("**winter**")
	if math.Abs(inner(a, b)-1) > 1e-5 || inner(a, c) < .6 || inner(a, d) > .35 {
		t.Errorf("equal %.3f, alike %.3f, other %.3f", inner(a, b), inner(a, c), inner(a, d))
	}
	for _, text := range []string{"", "7", strings.Repeat("x", 1<<20), "\xff\xfe"} {
		if v := embed(text); math.Abs(inner(v, v)-1) > 1e-5 {
			t.Errorf("%.10q has length %v", text, inner(v, v))
		}
	}
	if got := discrepancy([]*embedding{a, b}, []*embedding{a, b}); math.Abs(got) > 1e-5 {
		t.Errorf("equal samples differ by %v", got)
	}
}

// What a server says is described without letting it speak.
func TestEnvelopeOfAHostileServer(t *testing.T) {
	t.Parallel()
	e := newEnvelope(&ledger.Target{Name: "x"})
	for i, raw := range []string{
		"data: {\"id\":\"a\",\"\x1b[2J\":1}\n\ndata: [DONE]\n\n", `{"error":{"message":"no"},"code":1}`, `{{{{`, "", strings.Repeat(`{"a":`, 1e5), `{"` + strings.Repeat("n", 1e5) + `":1}`,
	} {
		status := 200
		if i == 1 {
			status = 400
		}
		e.take(&Answer{Raw: []byte(raw), Attempt: &ledger.Attempt{Status: status, Stream: true, Headers: map[string]string{"Server": "evil\x07\u202e"}}})
	}
	for _, name := range envelopeTraits {
		if v := e.usual(name); len(v) > maxTrait+3 || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%s: %q", name, v)
		}
	}
	if got := e.usual(envelopeTraits[8]); got != "400 error code" {
		t.Errorf("refused requests: %q", got)
	}
	for range 2000 {
		e.note(0, fmt.Sprint(len(e.seen[envelopeTraits[0]])))
	}
	if n := len(e.seen[envelopeTraits[0]]); n > 1000 {
		t.Errorf("%d values are kept", n)
	}
}
