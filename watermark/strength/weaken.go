package strength

import (
	"fmt"
	"slices"

	"github.com/stillmark/stillmark/watermark"
)

// The ways to damage a mark on purpose, with which a gate proves that it can fail.
const (
	HalfBias        = "half-bias"        // kgw embeds with half its delta
	WrongKey        = "wrong-key"        // detection under another key
	ShuffledContext = "shuffled-context" // embedding under windows in another order
)

// Weakenings lists them.
func Weakenings() []string { return []string{HalfBias, WrongKey, ShuffledContext} }

func (c *Config) checkWeakening() error {
	if c.Weakening == "" {
		return nil
	}
	if !slices.Contains(Weakenings(), c.Weakening) {
		return &UsageError{fmt.Sprintf("weakening %q is not known%s", c.Weakening, nearest(c.Weakening, Weakenings()))}
	}
	if c.Foreign && c.Weakening != WrongKey {
		return &UsageError{"texts that are given were marked by somebody else: only " + WrongKey + " can be tried on them"}
	}
	for _, s := range c.Settings {
		if c.Weakening == HalfBias && s.Spec.Scheme != watermark.KGW {
			return &UsageError{fmt.Sprintf("%s has no bias to halve: give --scheme kgw", s.Spec.Scheme)}
		}
		if c.Weakening == ShuffledContext && s.Spec.Params.Window == 1 {
			return &UsageError{s.Labels + " has a window of one token, which has no other order"}
		}
	}
	return nil
}

// shuffled turns the last tokens of the history round before the mark sees them.
type shuffled struct {
	mark    watermark.Scheme
	history []int32
}

func (s *shuffled) ProcessCandidates(history, ids []int32, logits []float32) {
	s.history = append(s.history[:0], history...)
	slices.Reverse(s.history[max(len(history)-s.mark.Window(), 0):])
	s.mark.ProcessCandidates(s.history, ids, logits)
}
