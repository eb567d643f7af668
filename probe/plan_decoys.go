package probe

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// What [PlanInput.Decoys] may be beside a number.
const (
	// NoDecoys leaves the validity of the results unchecked.
	NoDecoys = -1
	// AutoDecoys are those of the first run in a second; else DefaultDecoys, or where a key is of another stack's scheme, the most of
	// 999, 199 and 99 with which a test ends within a minute on this machine.
	AutoDecoys = -2
)

const (
	decoyTime   = time.Minute
	timedTokens = 500 // on which one decoy is timed: under a second for the slowest scheme
)

// resolveDecoys takes a number for AutoDecoys, and says how long they take where it
// depends on that.
func (in *PlanInput) resolveDecoys() (said string, err error) {
	if in.Decoys != AutoDecoys {
		return "", nil
	}
	in.Decoys = DefaultDecoys
	if in.After != nil { // a second run is judged by as many as the first
		if c, err := ledger.OpenFS(in.After.FS); err == nil { // else follow says why not
			in.Decoys = c.Plan().Decoys.N
			if in.Decoys == 0 {
				in.Decoys = NoDecoys
			}
		}
		return "", nil
	}
	units := in.expectedUnits()
	for i := range in.Keys {
		k := in.Keys[i].Key
		if _, preset := watermark.PresetByName(k.Scheme); !preset || units == 0 {
			continue
		}
		mark, err := k.Mark()
		if err != nil {
			return "", usage("Make the key file anew, or give another", "key %s cannot be used: %s", k.ID, err)
		}
		d := watermark.NewDetector(mark, watermark.Options{Weights: watermark.WeightsNone})
		d.Add(watermark.Item{Tokens: anyTokens(k.Vocab, timedTokens+mark.Window())})
		times := float64(units) / timedTokens
		n, expected, err := d.AutoDecoys(context.Background(), sha256.Sum256([]byte("timing")), time.Duration(float64(decoyTime)/times))
		if err != nil {
			return "", fmt.Errorf("plan: %w", err)
		}
		if n <= in.Decoys {
			in.Decoys = n
			said = fmt.Sprintf("Every test is scored under %d decoy keys, which resolve a rank to 1/%d and take about %s a test under key %s on this machine.",
				n, n+1, brief(time.Duration(times*float64(expected))), k.ID)
		}
	}
	return said, nil
}

// expectedUnits is how many units the largest test under a watermark key scores.
func (in *PlanInput) expectedUnits() int64 {
	var units [2]float64 // of E1 and E2
	for i := range in.Suites {
		s := &in.Suites[i]
		switch n := float64(len(s.Prompts) * cmp.Or(s.Samples, in.Samples)); s.Family {
		case "", family.Radioactivity:
			units[0] += n * in.TokensPerReply * in.Distinct
		case family.ReadingMode:
			units[1] += n
		}
	}
	return int64(max(units[0], units[1]))
}

// anyTokens are n tokens that say nothing.
func anyTokens(vocab, n int) []int32 {
	from := rand.New(rand.NewPCG(1, 2))
	tokens := make([]int32, n)
	for i := range tokens {
		tokens[i] = int32(from.IntN(vocab))
	}
	return tokens
}

// addDecoys seals the number of decoys, their seed and the gate.
func (d *Draft) addDecoys(n int, seed [32]byte) error {
	sum := sha256.Sum256(seed[:])
	d.Plan.Decoys = ledger.DecoyPlan{
		N: n, SeedCommitment: hex.EncodeToString(sum[:]),
		SDTolerance: family.GateTolerance(n), KSLevel: family.GateKSLevel,
	}
	file, err := json.Marshal(family.DecoySeed{Format: 1, Seed: hex.EncodeToString(seed[:])})
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	d.add(family.DecoySeedFile, append(file, '\n'))
	return nil
}
