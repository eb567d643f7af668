package persona

import (
	"math"
	"math/rand/v2"
	"sort"
	"sync"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/ledger"
)

// Traits are what is chosen of a model; the rest follows from the world's seed.
type Traits struct {
	Name   string
	Vendor string // what it says of its maker
	// School names the data that it shares with others of the school.
	School string
	// Ability is the chance that it knows an item of middling difficulty.
	Ability float64
	// Transfer is the share of items on which it answers as its teacher does, drawn
	// item by item. Everything else is its own.
	Transfer float64
	Teacher  *Model
	// Impostor is the share of its replies about itself in which it says that it is
	// the model of this vendor, without having learnt anything from it.
	Impostor       float64
	ImpostorVendor string
	// Tokenizer names how it counts tokens; models of one name count alike. Empty: as
	// no other does.
	Tokenizer string
	// Prefers and Responds make it follow what was planted under a canary key: the
	// rendering, 0 or 1, of an item of a suite, and the response to a trigger. Nil
	// for models that do not; placebos are followed by none.
	Prefers  func(suite, item string) int
	Responds func(item string) string
	// Speaks is the language in which it puts what it says of itself, and its refusals,
	// whatever it is asked in. Empty: that of the prompt.
	Speaks string
	// Moulds makes it write all prose from a few sentences, as service desks do.
	Moulds bool
	// Boundary shifts where it begins to refuse, in rungs of a ladder.
	Boundary float64
}

// World is a population of scripted models.
type World struct{ seed uint64 }

// NewWorld makes the population of a seed.
func NewWorld(seed uint64) *World { return &World{seed: seed} }

// Model is one scripted model.
type Model struct {
	Traits
	world *World

	mu    sync.Mutex
	known map[string][]float64 // tastes, by what they are about
	asked map[*ledger.Prompt]question
}

// Model makes a member of the population.
func (w *World) Model(t Traits) *Model {
	return &Model{Traits: t, world: w, known: map[string][]float64{}, asked: map[*ledger.Prompt]question{}}
}

// question is a prompt with how it is read.
type question struct {
	*reading.Reading
	suite, id, lang string
}

// hash is a number that is fixed for these words: FNV-1a over the seed and the words,
// each closed by a zero byte. Its high bits are poor on short inputs, so one step of
// PCG mixes them.
func (w *World) hash(words ...string) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset) ^ w.seed
	for _, s := range words {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * prime
		}
		h *= prime
	}
	return rand.NewPCG(h, w.seed).Uint64()
}

// share is uniform in [0,1) and fixed for these words.
func (w *World) share(words ...string) float64 { return float64(w.hash(words...)>>11) * 0x1p-53 }

// normal is a standard normal number that is fixed for these words.
func (w *World) normal(words ...string) float64 {
	n := w.hash(words...)
	u, v := float64(n>>32)+.5, float64(n&0xffffffff)+.5
	return math.Sqrt(-2*math.Log(u*0x1p-32)) * math.Cos(2*math.Pi*v*0x1p-32)
}

// taste is a preference that is common to all, shared in a school, and the model's
// own in the given parts, of variance 1 where their squares sum to 1.
func (m *Model) taste(common, school, own float64, about, what string) float64 {
	return common*m.world.normal("everybody", about, what) + school*m.world.normal("school", m.School, about, what) + own*m.world.normal("model", m.Name, about, what)
}

// tastes are the running sums of weights exp(x) of n things, made once.
func (m *Model) tastes(about string, n int, x func(i int) float64) []float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	sums, ok := m.known[about]
	if !ok {
		sums = make([]float64, n)
		sum := 0.
		for i := range sums {
			sum += math.Exp(x(i))
			sums[i] = sum
		}
		m.known[about] = sums
	}
	return sums
}

// author is who answers an item: the teacher on the transferred ones.
func (m *Model) author(item string) *Model {
	if m.Teacher != nil && m.world.share("transfer", m.Name, item) < m.Transfer {
		return m.Teacher
	}
	return m
}

// draw is the generator of one reply's own chance.
func (m *Model) draw(q question, sample int) *rand.Rand {
	return rand.New(rand.NewPCG(m.world.hash("sample", m.Name, q.suite, q.id), uint64(sample)))
}

// choose draws an index by running sums of weights.
func choose(rng *rand.Rand, sums []float64) int {
	last := len(sums) - 1
	return min(sort.SearchFloat64s(sums, rng.Float64()*sums[last]), last)
}
