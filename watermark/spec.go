package watermark

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Names of the native schemes and of the PRFs under them.
const (
	Gumbel     = "gumbel"
	GumbelDual = "gumbel-dual"
	KGW        = "kgw"
	Tournament = "tournament"

	AESCTR = "aes-ctr-v1"
	Philox = "philox-v1"
)

// Values of Params.Repeats.
const (
	// MaskRepeats leaves a position alone when its window occurred before in
	// the same reply: the same window would draw the same words again, and a
	// sampler driven by them falls into loops.
	MaskRepeats = "mask"
	// MarkRepeats marks every position.
	MarkRepeats = "mark"
)

// Values of Params.Contexts.
const (
	// GeneratedOnly builds windows of generated tokens only.
	GeneratedOnly = ""
	// WithPrompt lets the first windows of a reply reach back into the prompt.
	// History must then begin with the prompt, in Process as in detection.
	WithPrompt = "with-prompt"
)

// SelfHash, as Params.Seeding, is kgw's anchored min-hash: see kgw.
const SelfHash = "self"

// Spec is everything that embedding and detection must agree on. A key file
// holds all of it beside the secret.
type Spec struct {
	Scheme  string `json:"scheme"`  // a native scheme, or the name of a preset
	PRF     string `json:"prf"`     // aes-ctr-v1 (default) or philox-v1; a preset brings its own
	Channel string `json:"channel"` // what is marked: "text" (default), or a name of the operator's
	Model   string `json:"model"`   // the marked model's name
	// Tokenizer names the marked model's tokenizer; TokenizerSHA256, when
	// known, pins its ranks (64 hex digits). A preset may leave it open: then
	// only token ids can be scored.
	Tokenizer       string `json:"tokenizer"`
	TokenizerSHA256 string `json:"tokenizer_sha256,omitempty"`
	// Vocab is the width of the logits. Ids outside [0, Vocab) are never scored.
	Vocab int `json:"vocab"`
	// Epoch separates the keys of successive periods (default "1"), Label
	// those of accounts or cohorts (default none).
	Epoch string `json:"epoch"`
	Label string `json:"label,omitempty"`
	// Account names whose tracing key this is, where Params.Tracing divides the
	// windows between two channels; empty for the provenance key.
	Account string `json:"account,omitempty"`
	Params  Params `json:"params"`
	// ServingFrom is the promised time before which nothing is served under
	// the key. It is committed to and takes no part in deriving subkeys.
	ServingFrom time.Time `json:"serving_from,omitzero"`
}

// Params are the numbers of a scheme. The zero value of a field means its
// default; what a scheme does not use must stay zero.
type Params struct {
	// Window is the number of preceding tokens that seed a token's word.
	// Default 2: wider windows survive less of a student's learning, narrower
	// ones repeat more.
	Window int `json:"window"`
	// Gamma is the share of green words and Delta what green logits gain, in
	// nats. kgw only; defaults .25 and 2.
	Gamma float64 `json:"gamma,omitempty"`
	Delta float64 `json:"delta,omitempty"`
	// Repeats is MaskRepeats (default for gumbel and tournament) or
	// MarkRepeats (default for kgw, whose bias leaves the sampler its chance).
	Repeats string `json:"repeats"`
	// Contexts is GeneratedOnly or WithPrompt.
	Contexts string `json:"contexts,omitempty"`
	// Seeding is empty (the window as it is) or SelfHash. kgw only.
	Seeding string `json:"seeding,omitempty"`
	// Leaves is the number of draws that meet in a match of the tournament;
	// 0 stands for 2. More mark more strongly, and move the distribution: averaged over
	// the key, likely tokens lose to unlikely ones. tournament only.
	Leaves int `json:"leaves,omitempty"`
	// Alpha is the share of the second key. gumbel-dual only; default .1.
	Alpha float64 `json:"alpha,omitempty"`
	// Tracing is the share of windows that a tracing key marks, beside the
	// provenance key that marks the others; 0 for one key: see [TwoChannel]. Native
	// schemes other than gumbel-dual.
	Tracing float64 `json:"tracing,omitempty"`
	// Preset holds what a preset leaves to choose, its keys apart. Window and
	// Repeats of a preset follow from it.
	Preset Values `json:"preset,omitzero"`
}

// Limits of a spec. They keep key files small and printable; none is near what
// is served today (vocabularies end at 262,144, windows at 8).
const (
	maxField  = 256     // bytes of one name
	maxWindow = 64      // tokens
	maxVocab  = 1 << 24 // ids
	maxLeaves = 64      // draws of a match; SynthID-Text was studied with 2 and 3
)

// Schemes lists the native schemes of one key, the default first.
func Schemes() []string { return []string{Gumbel, KGW, Tournament} }

// NativeSchemes lists all native schemes.
func NativeSchemes() []string { return append(Schemes(), GumbelDual) }

// SchemeNames lists everything that marks text and that Spec.Scheme may name;
// [Canary] is the one beside.
func SchemeNames() []string { return append(NativeSchemes(), PresetNames()...) }

// PRFs lists the pseudo-random functions that a spec may name, the default first.
func PRFs() []string { return []string{AESCTR, Philox} }

// withDefaults fills what the spec leaves open.
func (s Spec) withDefaults() Spec {
	if s.Scheme == Canary {
		return s.withCanary()
	}
	if p, ok := PresetByName(s.Scheme); ok {
		return s.withPreset(p)
	}
	setDefault(&s.PRF, AESCTR)
	setDefault(&s.Channel, "text")
	setDefault(&s.Epoch, "1")
	setDefault(&s.Params.Window, 2)
	repeats := MaskRepeats
	if s.Scheme == KGW {
		repeats = MarkRepeats
		setDefault(&s.Params.Gamma, .25)
		setDefault(&s.Params.Delta, 2)
	}
	if s.Scheme == GumbelDual {
		setDefault(&s.Params.Alpha, .1) // vLLM's
	}
	setDefault(&s.Params.Repeats, repeats)
	s.ServingFrom = s.ServingFrom.UTC()
	return s
}

// withPreset fills what follows from a preset and its values.
func (s Spec) withPreset(p Preset) Spec {
	setDefault(&s.PRF, p.PRF)
	setDefault(&s.Channel, "text")
	setDefault(&s.Epoch, "1")
	s.ServingFrom = s.ServingFrom.UTC()
	if p.checkPublic(s.Params.Preset) != nil {
		return s // validate says what is wrong
	}
	c, err := p.frame(p.args(s, Values{}))
	if err != nil {
		return s
	}
	s.Params.Window = c.width
	s.Params.Contexts = c.contexts()
	setDefault(&s.Params.Repeats, c.repeats())
	return s
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// validate says what is wrong with a complete spec, or nil.
func (s Spec) validate() error {
	preset, isPreset := PresetByName(s.Scheme)
	canary := s.Scheme == Canary
	if !isPreset && !canary && !slices.Contains(NativeSchemes(), s.Scheme) {
		return fmt.Errorf("scheme %q is not known; use one of %s", s.Scheme, strings.Join(SchemeNames(), ", "))
	}
	if isPreset && s.PRF != preset.PRF {
		return fmt.Errorf("%s runs on %s, not on %q", s.Scheme, preset.PRF, s.PRF)
	}
	if !isPreset && !canary && !slices.Contains(PRFs(), s.PRF) {
		return fmt.Errorf("prf %q is not known; use one of %s", s.PRF, strings.Join(PRFs(), ", "))
	}
	for _, f := range []struct{ name, value string }{
		{"channel", s.Channel},
		{"model", s.Model},
		{"tokenizer", s.Tokenizer},
		{"epoch", s.Epoch},
		{"label", s.Label},
		{"account", s.Account},
	} {
		if err := validateName(f.value); err != nil {
			return fmt.Errorf("%s %w", f.name, err)
		}
	}
	if s.Account != "" && s.Params.Tracing == 0 {
		return errors.New("only keys with two channels (tracing) have an account; use the label")
	}
	if canary && s.Channel != "" && s.Epoch != "" {
		return s.validateCanary()
	}
	if s.Channel == "" || s.Epoch == "" || s.Tokenizer == "" && !isPreset {
		return errors.New("channel, tokenizer and epoch must be named")
	}
	if digest, err := hex.DecodeString(s.TokenizerSHA256); err != nil || len(digest) != 0 && len(digest) != 32 ||
		s.TokenizerSHA256 != strings.ToLower(s.TokenizerSHA256) {
		return errors.New("tokenizer_sha256 is not 64 lower-case hex digits")
	}
	if s.Vocab < 2 || s.Vocab > maxVocab {
		return fmt.Errorf("vocabulary width %d is outside 2 .. %d", s.Vocab, maxVocab)
	}
	if y := s.ServingFrom.Year(); y < 1 || y > 9999 {
		return errors.New("serving_from is outside the years 1 to 9999")
	}
	if isPreset {
		return s.validatePreset(preset)
	}
	return s.Params.validate(s.Scheme)
}

func (s Spec) validatePreset(p Preset) error {
	if err := p.checkPublic(s.Params.Preset); err != nil {
		return err
	}
	a := p.args(s, Values{})
	c, err := p.frame(a)
	if err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	want := Params{Window: c.width, Repeats: s.Params.Repeats, Contexts: c.contexts(), Preset: s.Params.Preset}
	if r := s.Params.Repeats; r != MaskRepeats && r != MarkRepeats || c.width > maxWindow || s.Params != want {
		return fmt.Errorf("%s has window %d and contexts %q by its parameters, and nothing of a native scheme", p.Name, c.width, c.contexts())
	}
	if a.has("gamma") || a.has("greenlist_ratio") {
		g := a.text("gamma") + a.text("greenlist_ratio") // one of them
		if f, err := strconv.ParseFloat(g, 64); err != nil || int(f*float64(s.Vocab)) < 1 {
			return fmt.Errorf("%s: a share of %s of %d ids leaves the green list empty", p.Name, g, s.Vocab)
		}
	}
	return nil
}

func (p Params) validate(scheme string) error {
	if p.Window < 1 || p.Window > maxWindow {
		return fmt.Errorf("window %d is outside 1 .. %d", p.Window, maxWindow)
	}
	if p.Repeats != MaskRepeats && p.Repeats != MarkRepeats {
		return fmt.Errorf("repeats %q is neither %q nor %q", p.Repeats, MaskRepeats, MarkRepeats)
	}
	if p.Contexts != GeneratedOnly && p.Contexts != WithPrompt {
		return fmt.Errorf("contexts %q is neither empty (generated tokens only) nor %q", p.Contexts, WithPrompt)
	}
	if !p.Preset.IsZero() {
		return fmt.Errorf("%s is a native scheme and takes no preset parameters", scheme)
	}
	if p.Seeding != "" && (scheme != KGW || p.Seeding != SelfHash) {
		return fmt.Errorf("seeding %q is not known; only kgw has one, empty or %q", p.Seeding, SelfHash)
	}
	if p.Leaves != 0 && (scheme != Tournament || p.Leaves < 3 || p.Leaves > maxLeaves) {
		return fmt.Errorf("leaves %d: only tournament has them, from 3 to %d, or 0 for 2", p.Leaves, maxLeaves)
	}
	if scheme == GumbelDual && !(p.Alpha > 0 && p.Alpha < 1) || scheme != GumbelDual && p.Alpha != 0 {
		return fmt.Errorf("alpha %v: only %s has it, between 0 and 1", p.Alpha, GumbelDual)
	}
	if p.Tracing != 0 && (scheme == GumbelDual || !(p.Tracing >= 1.0/256 && p.Tracing <= 255.0/256)) {
		return fmt.Errorf("tracing %v: a share of windows from 1/256 to 255/256, or 0 for one channel; %s has one", p.Tracing, GumbelDual)
	}
	if scheme != KGW {
		if p.Gamma != 0 || p.Delta != 0 {
			return fmt.Errorf("%s has no gamma and no delta; leave them out", scheme)
		}
		return nil
	}
	if !(p.Gamma >= 1.0/256 && p.Gamma <= 255.0/256) {
		return fmt.Errorf("gamma %v is outside 1/256 .. 255/256", p.Gamma)
	}
	if !(p.Delta > 0 && p.Delta <= 100) {
		return fmt.Errorf("delta %v is outside (0, 100]", p.Delta)
	}
	return nil
}

// validateName keeps names printable and unambiguous: they enter derivations
// byte by byte and are shown in terminals and reports.
func validateName(s string) error {
	if len(s) > maxField {
		return fmt.Errorf("is %d bytes long; the limit is %d", len(s), maxField)
	}
	if !utf8.ValidString(s) {
		return errors.New("is not valid UTF-8")
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("contains the unprintable character %U", r)
		}
	}
	return nil
}
