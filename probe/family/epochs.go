package family

import (
	"slices"
	"strconv"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/wire"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// Epochs: the models that answered under one target's name. They are told apart by the
// name that a reply bears, and by answers to sentinels that changed; a fingerprint or a
// provider tells nothing, since services balance over several.
//
// The null hypothesis of a test is about a key that was drawn at random, so it covers
// the replies of several models as well as those of one: a test over all of them keeps
// its error rate and its tier. What it says is less, that the replies of some of these
// models depend on the key, and so the sentences say of a pooled result. What each epoch
// showed by itself stands beside, without correction, as a description.

// epoch is one model under a target's name.
type epoch struct {
	model   int // among gathered.models
	changes int // of the sentinels' answers before it
}

// model numbers the name that a reply bears, in the order in which they turned up. One
// without a name is taken for the model before.
func (g *gathered) model(name string) int {
	if name == "" {
		return g.answering
	}
	i := slices.IndexFunc(g.models, func(m string) bool { return wire.SameModel(m, name) || wire.SameModel(name, m) })
	if i < 0 {
		i, g.models = len(g.models), append(g.models, name)
	}
	g.answering = i
	return i
}

// FieldSentinels is the Field of a [DriftEvent] of answers to sentinels: another model
// took over, whatever it calls itself.
const FieldSentinels = "sentinels"

// change notes at which event another model took over without another name.
func (g *gathered) change(d DriftEvent, seq uint64) {
	if d.Field == FieldSentinels {
		g.changes = append(g.changes, seq)
	}
}

// maxEpochs bounds the epochs that are told apart; what comes after them counts with the
// last.
const maxEpochs = 250

// enter is the number of the epoch of a reply that enters tests, from the name that it
// bears and its ledger event.
func (g *gathered) enter(name string, seq uint64) uint8 {
	after, _ := slices.BinarySearch(g.changes, seq)
	e := epoch{g.model(name), after}
	i := slices.Index(g.epochs, e)
	if i < 0 {
		if len(g.epochs) == maxEpochs {
			return maxEpochs - 1
		}
		i = len(g.epochs)
		g.epochs = append(g.epochs, e)
	}
	return uint8(i)
}

// name is what a finding calls an epoch.
func (g *gathered) name(i int) string {
	e, model := g.epochs[i], g.target.Model
	if e.model < len(g.models) {
		model = g.models[e.model]
	}
	b := new(Book)
	if len(g.changes) == 0 {
		return b.fill(partModel, "{name}", model)
	}
	return b.fill(partChanged, "{name}", model, "{n}", strconv.Itoa(e.changes))
}

// The parts of a finding by epoch.
const (
	partModel   = "epoch: model {name}"
	partChanged = "epoch: model {name}, after change {n} of its answers to sentinels"
)

// byEpoch is the effect by the model that answered, where there are several, with
// log10 p of the plain score. A unit that two of them share counts in the one that had
// it first in the plan's order.
func (e *e1) byEpoch(law evidence.Law, analytic bool) []ledger.Part {
	if e.epochs < 2 {
		return nil
	}
	out := make([]ledger.Part, e.epochs)
	for i := range out {
		p := e.merge(func(c stretch) bool { return c.epoch == i })
		out[i] = part(e.epochName(i), p.n, law.Effect(p.clusters))
		if analytic && p.n > 0 {
			out[i].Log10P = number(law.Tail(p.score, evidence.Plain(p.n)).Log10P)
		}
	}
	return out
}
