package strength

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stillmark/stillmark/watermark"
)

// Setting is one way to mark that is measured.
type Setting struct {
	// Labels name it in every figure: scheme first, then what differs from
	// the scheme's defaults, as "scheme=kgw/delta=1".
	Labels string         `json:"labels"`
	Spec   watermark.Spec `json:"spec"`
}

// Settings are the native schemes with their defaults on top of base, which
// names tokenizer and vocabulary, and with variants also what is worth comparing:
// other biases, window widths, generators.
func Settings(base watermark.Spec, variants bool) []Setting {
	var out []Setting
	add := func(labels string, change func(*watermark.Spec)) {
		s := base
		for part := range strings.SplitSeq(labels, "/") {
			if name, ok := strings.CutPrefix(part, "scheme="); ok {
				s.Scheme = name
			}
		}
		if change != nil {
			change(&s)
		}
		// Defaults are written out, so that records say what was measured. What is
		// wrong with a spec, Measure says.
		if key, err := watermark.DecoyKey([32]byte{}, 0, s); err == nil {
			s = key.Spec()
		}
		out = append(out, Setting{labels, s})
	}
	for _, scheme := range watermark.NativeSchemes() {
		add("scheme="+scheme, nil)
		if !variants {
			continue
		}
		for _, h := range []int{1, 4} {
			add(fmt.Sprintf("scheme=%s/window=%d", scheme, h), func(s *watermark.Spec) { s.Params.Window = h })
		}
		add("scheme="+scheme+"/prf="+watermark.Philox, func(s *watermark.Spec) { s.PRF = watermark.Philox })
		switch scheme {
		case watermark.KGW:
			for _, delta := range []float64{1, 4} {
				add(fmt.Sprintf("scheme=kgw/delta=%g", delta), func(s *watermark.Spec) { s.Params.Delta = delta })
			}
			add("scheme=kgw/gamma=0.5", func(s *watermark.Spec) { s.Params.Gamma = .5 })
			add("scheme=kgw/seeding=self", func(s *watermark.Spec) { s.Params.Seeding = watermark.SelfHash })
		case watermark.Tournament:
			add("scheme=tournament/leaves=3", func(s *watermark.Spec) { s.Params.Leaves = 3 })
		}
	}
	return out
}

// OfSchemes keeps the settings of the schemes named; none named keeps all. An
// unknown name is an error.
func OfSchemes(settings []Setting, schemes []string) ([]Setting, error) {
	if len(schemes) == 0 {
		return settings, nil
	}
	var out []Setting
	for _, name := range schemes {
		before := len(out)
		for _, s := range settings {
			if s.Spec.Scheme == name {
				out = append(out, s)
			}
		}
		if len(out) == before {
			return nil, &UsageError{fmt.Sprintf("scheme %q is not measured here%s", name, nearest(name, watermark.NativeSchemes()))}
		}
	}
	return out, nil
}

// UsageError is a request that cannot be measured.
type UsageError struct{ Problem string }

func (e *UsageError) Error() string { return e.Problem }

// ExitCode is that of usage errors.
func (e *UsageError) ExitCode() int { return 2 }

// nearest is a hint at the known name that shares the longest beginning with a
// wrong one, or has its letters in another order, or else all of them.
func nearest(name string, known []string) string {
	letters := func(s string) string { return string(slices.Sorted(slices.Values([]byte(s)))) }
	best, shared := "", 2 // fewer common letters are chance
	for _, k := range known {
		n := 0
		if name != "" && letters(k) == letters(name) && k[0] == name[0] {
			n = len(k)
		}
		for n < min(len(k), len(name)) && k[n] == name[n] {
			n++
		}
		if n > shared {
			best, shared = k, n
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	known = slices.Clone(known)
	if len(known) > 12 { // a line of an error message
		known = append(known[:12], "…")
	}
	return "; known are " + strings.Join(known, ", ")
}
