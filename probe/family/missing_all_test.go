package family

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/endpoint/mock/persona"
	"github.com/stillmark/stillmark/probe/ledger"
)

// hole is a reply that is missing.
type hole struct {
	target string
	at     int
}

// filled is the finding with something said in each hole.
func (p *population) filled(t *testing.T, holes []hole, say func(hole) []byte) *ledger.Finding {
	t.Helper()
	whole := map[hole]*ledger.ReplyRecord{}
	for _, h := range holes {
		g := p.targets[h.target]
		held := *g.held[h.at]
		held.Response = say(h)
		whole[h] = g.held[h.at]
		g.held[h.at], g.attempts[h.at] = &held, p.whole[h]
	}
	defer func() {
		for _, h := range holes {
			g := p.targets[h.target]
			g.held[h.at], g.attempts[h.at] = whole[h], attempt{}
		}
	}()
	return &p.rank(t, 1).Finding
}

// Whatever the missing replies of rival, controls, teachers and ours had been, the lead
// and the rank lie within the bounds: what other models said to the same prompt, chosen
// for and against the rival and at random, what is read as nothing, and new names.
func TestMissingOfAll(t *testing.T) {
	t.Parallel()
	for family, q := range map[string][]ledger.Prompt{
		SharedErrors:    trapPrompts(t, 60),
		RandomChoice:    randomPrompts(t, 8),
		Identity:        identityPrompts(t, 2),
		RefusalBoundary: ladderPrompts(t, 1),
		Wrapper:         stylePrompts(t, 6, reading.KindProtocol),
	} {
		samples := map[string]int{SharedErrors: 1, RandomChoice: 4, Identity: 2, RefusalBoundary: 2, Wrapper: 3}[family]
		t.Run(family, func(t *testing.T) {
			t.Parallel()
			const trials = 6
			bounded, moved := 0, 0
			for trial := range trials {
				rng := rand.New(rand.NewPCG(uint64(trial), 9))
				shares, controls := []float64{.01, .04, .1}, 7
				if family == SharedErrors { // few can lack an answer before an error may be a common one
					shares, controls = []float64{.005, .01, .02}, 19
				}
				p := scripted(t, newPopulation(family, samples, q), 11+uint64(trial%2), scenery{
					controls: controls, rate: []float64{0, .5}[trial%2], ours: func(tr *persona.Traits) { tr.Ability = .55 },
				})
				who := []func(bool) bool{
					func(bool) bool { return rng.IntN(4) > 0 },
					func(teaches bool) bool { return teaches },
					func(teaches bool) bool { return !teaches },
				}[trial%3]
				b, m := fillIn(t, p, rng, who, shares[trial/2])
				bounded, moved = bounded+b, moved+m
			}
			if bounded < 2*trials/3 || moved == 0 {
				t.Errorf("%d of %d were bounded, and %d fillings lay outside what the rival's own missing replies allow", bounded, trials, moved)
			}
		})
	}
}

// fillIn makes holes at random in what some say and tries to leave the bounds. It says whether there are
// any, and how often the lead left those of the rival's own missing replies.
func fillIn(t *testing.T, p *population, rng *rand.Rand, who func(teaches bool) bool, share float64) (bounded, moved int) {
	t.Helper()
	var holes []hole
	p.whole = map[hole]attempt{}
	names := slices.Sorted(maps.Keys(p.targets))
	for _, name := range names {
		if teaches := name == "us" || strings.HasPrefix(name, "teacher"); !who(teaches) {
			continue // lacks nothing
		}
		for i, a := range p.targets[name].attempts {
			if rng.Float64() < share {
				h := hole{name, i}
				holes = append(holes, h)
				p.whole[h] = a
				p.targets[name].attempts[i] = attempt{}
			}
		}
	}
	out := p.rank(t, 1)
	c := out.Finding.Comparison
	// C3 reads no teacher, and ours for the self-test only.
	read := slices.DeleteFunc(slices.Clone(holes), func(h hole) bool {
		role := p.targets[h.target].target.Role
		return p.plan.Tests[0].Family == Identity && role != ledger.Rival && role != ledger.Control
	})
	if c == nil || c.MissingAll == nil {
		if c != nil && !slices.Contains(out.Warnings, WarnOthersUnbounded) && slices.ContainsFunc(read, func(h hole) bool { return h.target != "rival" }) {
			t.Errorf("replies of others are missing, and nothing is said: %v", out.Warnings)
		}
		return 0, 0
	}
	b := c.MissingAll
	if b.Replies != int64(len(read)) || b.Alike < b.Worst-1e-9 || b.Alike > b.Best+1e-9 || b.Lead < b.Worst-1e-9 || b.Lead > b.Best+1e-9 {
		t.Errorf("%d holes: %+v", len(holes), b)
	}
	if own := c.Missing; own != nil && (own.Worst < b.Worst-1e-9 || own.Best > b.Best+1e-9 || own.WorstRank > b.WorstRank || own.BestRank < b.BestRank) {
		t.Errorf("the rival's own missing replies allow more, %+v, than all: %+v", own, b)
	}
	// as is what a target said, or would have, in a place.
	as := func(name string, at int) []byte { return p.targets[name].held[at].Response }
	text := func(h hole, text string) []byte {
		content, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		return []byte(`{"id":"r","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":` + string(content) + `},"finish_reason":"stop"}]}`)
	}
	near := func(name string) string { return map[bool]string{true: "rival", false: "us"}[name == "us"] }
	fillings := []func(hole) []byte{
		func(h hole) []byte { return as(h.target, h.at) },
		func(h hole) []byte { return as(near(h.target), h.at) },
		func(h hole) []byte { // against the rival
			switch {
			case h.target == "rival":
				return as("teacher0", h.at)
			case strings.HasPrefix(h.target, "control"):
				return as("us", h.at)
			}
			return as("control01", h.at)
		},
		func(h hole) []byte { // for it
			if h.target == "rival" || h.target == "us" {
				return as(near(h.target), h.at)
			}
			return as("teacher1", h.at)
		},
		func(h hole) []byte { return text(h, "Hm.") },
		func(h hole) []byte { return text(h, "I was made by Mistral AI.") },
	}
	for range 3 {
		fillings = append(fillings, func(h hole) []byte {
			if n := rng.IntN(len(names) + 1); n < len(names) {
				return as(names[n], h.at)
			}
			return text(h, "Hm.")
		})
	}
	for i, say := range fillings {
		f := p.filled(t, holes, say)
		l := lead(f)
		if f.Comparison == nil || len(f.Comparison.Controls) != len(c.Controls) {
			t.Errorf("filling %d: others are compared", i)
			continue
		}
		if l < b.Worst-1e-9 || l > b.Best+1e-9 || f.Comparison.Rank > b.WorstRank || f.Comparison.Rank < b.BestRank {
			t.Errorf("filling %d: lead %v and rank %d lie outside %+v", i, l, f.Comparison.Rank, b)
		}
		own := c.Missing
		if own == nil {
			own = &ledger.MissingBounds{Worst: b.Lead, Best: b.Lead}
		}
		if l < own.Worst-1e-9 || l > own.Best+1e-9 {
			moved++
		}
	}
	return 1, moved
}

// Where a missing reply of others moves the scale on which all are measured, could change
// who is compared, or whether we say who we are, it is said to be without bounds.
func TestMissingOfOthersWithoutBounds(t *testing.T) {
	t.Parallel()
	// audit is one in which a target lacks its last replies.
	audit := func(family string, samples int, q []ledger.Prompt, target string, n int) *Output {
		p := scripted(t, newPopulation(family, samples, q), 5, scenery{controls: 5})
		a := p.targets[target].attempts
		clear(a[len(a)-n:])
		return p.rank(t, 1)
	}
	identity := identityPrompts(t, 1)
	for _, x := range []struct {
		what      string
		out       *Output
		unbounded bool
		all       int64
	}{
		{"a control moves the scale", audit(ReasoningStyle, 1, stylePrompts(t, 4, reading.KindPuzzle), "control01", 1), true, 0},
		{"a teacher moves the scale", audit(Stylometry, 1, stylePrompts(t, 4, reading.KindStyle), "teacher1", 1), true, 0},
		{"our tokenizer may be another", audit(TokenizerSlope, 1, unitPrompts(t, 6, 0, 8, 24), "us", 1), true, 0},
		{"a control is none for what it lacks", audit(RandomChoice, 2, randomPrompts(t, 12), "control01", 30), true, 0},
		{"a control stays one", audit(RandomChoice, 2, randomPrompts(t, 12), "control01", 3), false, 3},
		{"we say who we are, whatever we lack", audit(Identity, 2, identity, "us", 2), false, 0},
		{"we say who we are, perhaps", audit(Identity, 2, identity, "us", 2*len(identity)*2/3), true, 0},
	} {
		c := x.out.Finding.Comparison
		if c == nil {
			t.Errorf("%s: nothing is compared: %v", x.what, x.out.Warnings)
			continue
		}
		all := int64(0)
		if c.MissingAll != nil {
			all = c.MissingAll.Replies
		}
		if slices.Contains(x.out.Warnings, WarnOthersUnbounded) != x.unbounded || all != x.all || c.Missing != nil || slices.Contains(x.out.Warnings, WarnUnbounded) {
			t.Errorf("%s: %+v, %+v, %v", x.what, c.Missing, c.MissingAll, x.out.Warnings)
		}
	}
}
