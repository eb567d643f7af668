package watermark

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/stillmark/stillmark/watermark/evidence"
)

// MaxLabels bounds the keys of one identification: a million accounts are 24
// bytes each beside their labels.
const MaxLabels = 1 << 20

// Suspect is one key of an identification.
type Suspect struct {
	Label string  `json:"label"`
	Score float64 `json:"score"`
	// Log10P is of this key alone, under the run's weights. Log10Holm is adjusted
	// for all keys.
	Log10P    float64 `json:"log10_p"`
	Log10Holm float64 `json:"log10_p_holm"`
}

// Identification is which of many keys a run depends on.
type Identification struct {
	Keys    int             `json:"keys"`
	N       int64           `json:"n"` // distinct units
	Weights string          `json:"weights"`
	Counts  evidence.Counts `json:"-"`
	Method  string          `json:"log10_p_method"` // of the first suspect's tail
	Mean    float64         `json:"null_mean"`
	// Identified is the number of keys whose Holm-adjusted p is at most the level:
	// none is a normal result, several mean that texts of several accounts are mixed.
	Identified int `json:"identified"`
	// Gap is by how many decades the second key's p is above the first's.
	Gap float64 `json:"gap"`
	// Suspects are the identified keys and then the next ones, the strongest first.
	Suspects []Suspect `json:"suspects"`
}

const (
	// shownSuspects are listed whether they are identified or not: they show what
	// chance gives.
	shownSuspects = 5
	// maxIdentified bounds the list.
	maxIdentified = 1000
)

// Identify scores the run's units under the subkey of every label, under the
// run's weights. The detector must be under a key of the master's spec; the
// master is asked for the labels' subkeys in an epoch (its own if empty). With two
// channels the labels are accounts, and the detector must be under the tracing key
// of any account in that epoch: the route, which is all that it takes from the
// key, is the same for all of them.
//
// Under the null, that the texts are independent of all the keys, each key's p is
// that of [Detector.Result], and Holm's adjustment over the labels keeps the
// family-wise level 10^log10Alpha whatever the dependence. Texts of an account
// are evidence against its own key only: subkeys are independent.
//
// Keys are scored on GOMAXPROCS goroutines that share the units; each holds one
// key at a time. progress is called as by [Detector.Decoys].
func (d *Detector) Identify(ctx context.Context, master *Key, epoch string, labels []string, log10Alpha float64, progress func(done int)) (Identification, error) {
	if epoch == "" {
		epoch = master.Epoch
	}
	if err := d.checkIdentify(master, epoch, labels, log10Alpha); err != nil {
		return Identification{}, err
	}
	under, err := d.underKeys(ctx, len(labels), progress, func(i int) ([]byte, error) {
		k, err := master.subkeyOf(labels[i], epoch)
		if err != nil {
			return nil, fmt.Errorf("label %q: %w", labels[i], err)
		}
		return k.subkey(), nil
	})
	if err != nil {
		return Identification{}, fmt.Errorf("scoring the keys: %w", err)
	}
	// Keys with one law of the score are ordered by the score, and the tails of the
	// first few suffice. Where a key decides which pairs are one unit, each has a law.
	scores, tails := make([]float64, len(labels)), make([]float64, 0)
	for i, x := range under {
		scores[i] = x.score
		if d.seeded != nil {
			tails = append(tails, d.null.tail(x.score, x.counts).Log10P)
		}
	}
	return d.rankSuspects(labels, scores, tails, log10Alpha), nil
}

func (d *Detector) checkIdentify(master *Key, epoch string, labels []string, log10Alpha float64) error {
	own := d.scheme.Spec()
	scored := own
	own.Label, own.Account, own.Epoch, own.ServingFrom = master.Label, "", master.Epoch, master.ServingFrom
	switch {
	case master.Params.Tracing > 0 && (scored.Account == "" || scored.Epoch != epoch || scored.Label != master.Label):
		return errors.New("the texts were not scored over the tracing channel of that epoch: score them under the key of any account")
	case master.Kind != KindMaster:
		return fmt.Errorf("key %s holds one subkey and derives no others; identification needs the master key", master.ID)
	case own != master.Spec:
		return errors.New("the texts were scored under another specification than the master key's")
	case d.peer != "" || !d.null.analytic():
		return errors.New("identification needs the null law of the score, which decoys alone do not give")
	case len(labels) == 0 || len(labels) > MaxLabels:
		return fmt.Errorf("%d labels; identification takes 1 to %d", len(labels), MaxLabels)
	case !(log10Alpha < 0) || math.IsInf(log10Alpha, 0):
		return fmt.Errorf("%v is no log10 of a significance level", log10Alpha)
	}
	seen := make(map[string]bool, len(labels))
	for _, label := range labels {
		if label == "" {
			return errors.New("a label is empty: that would be the key of no account")
		}
		if seen[label] {
			return fmt.Errorf("label %q is listed twice", label)
		}
		seen[label] = true
	}
	return nil
}

// subkeyOf is the master asked for a label, without the commitment that a key of
// its own would carry.
func (k *Key) subkeyOf(label, epoch string) (*Key, error) {
	m := *k
	m.Spec.Epoch = epoch
	if m.Params.Tracing > 0 {
		m.Spec.Account = label
		return &m, m.validate()
	}
	m.Spec.Label = label
	return &m, m.check()
}

// rankSuspects orders the keys and adjusts their p-values. tails are empty where
// the score orders them.
func (d *Detector) rankSuspects(labels []string, scores, tails []float64, log10Alpha float64) Identification {
	mean, _ := d.null.moments(d.weight)
	id := Identification{Keys: len(labels), N: d.weight.N(), Weights: d.weights, Counts: d.weight, Mean: mean, Suspects: []Suspect{}}
	if id.N == 0 {
		return id
	}
	order := make([]int32, len(labels))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		if len(tails) > 0 {
			return cmp.Or(cmp.Compare(tails[a], tails[b]), cmp.Compare(labels[a], labels[b]))
		}
		return cmp.Or(cmp.Compare(scores[b], scores[a]), cmp.Compare(labels[a], labels[b]))
	})
	running := math.Inf(-1)
	rejecting := true
	for rank, i := range order {
		if rank >= shownSuspects && !rejecting || rank >= maxIdentified {
			break
		}
		tail := d.null.tail(scores[i], d.weight)
		s := Suspect{Label: labels[i], Score: scores[i], Log10P: tail.Log10P}
		if len(tails) > 0 {
			s.Log10P = tails[i]
		}
		// Holm: the p of rank r times the keys that are not yet rejected.
		running = max(running, min(0, math.Log10(float64(len(labels)-rank))+s.Log10P))
		s.Log10Holm = running
		if rejecting = rejecting && s.Log10Holm <= log10Alpha; rejecting {
			id.Identified++
		}
		if rank == 0 {
			id.Method = tail.Method
		}
		id.Suspects = append(id.Suspects, s)
	}
	if len(id.Suspects) > 1 {
		id.Gap = id.Suspects[1].Log10P - id.Suspects[0].Log10P
	}
	return id
}
