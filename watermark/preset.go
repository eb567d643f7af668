package watermark

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Preset describes the watermark of another stack: what its key file must say
// so that text which that stack marked is text that we read.
type Preset struct {
	Name string `json:"name"`
	// PRF names the generator under it. Unlike aes-ctr-v1, none of them is a
	// PRF: every result is exact if the generator behaves as random.
	PRF    string  `json:"prf"`
	Params []Param `json:"params"`
	// Match is what must be as at the marking side beside the parameters.
	Match []string `json:"match"`
	// Peer is how the preset was checked: against numbers made by running the
	// peer, or against a second implementation of our own (RunAgainstPeer false).
	RunAgainstPeer bool `json:"run_against_peer"`
	// Decoys says from which set decoy keys are drawn, uniformly.
	Decoys string `json:"decoys"`
	// DecoysOnly marks scores whose null law is known through decoys only:
	// they get a rank, never an analytic p.
	DecoysOnly bool `json:"decoys_only"`
	// Approximate, if not empty, says why the generator is known not to behave as
	// random: p-values are right to a few per cent where decoys pass, not exact.
	Approximate string `json:"approximate,omitempty"`
	// PeerDedup is the peer's own rule of repetition; see Options.Dedup.
	PeerDedup string `json:"peer_dedup"`

	// frame gives the window convention from the parameters that are no secret.
	frame func(a args) (convention, error)
	// build makes the scheme; all parameters are checked and complete.
	build func(spec Spec, a args) (Scheme, error)
	// rewrite, if set, brings what the user gave into the form of Params.
	rewrite func(given map[string]string) error
	// derive, if set, adds values that follow from others (a number of keys).
	derive func(m map[string]string)
	// weak, if set, says what is weak about a key.
	weak func(a args) []string
	// words says that distinct units have independent words, as e-values need.
	words bool
	// min8 says that repeated units carry weight by default.
	min8 bool
}

// Param is a parameter of a preset.
type Param struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`              // int, float, key, keys, text
	Default string `json:"default,omitempty"` // none: required
	// Secret parameters are the key. They are kept beside the spec and never shown.
	Secret bool `json:"secret,omitempty"`
	// Published lists values of a secret that are printed in code or papers.
	Published []string `json:"published,omitempty"`
	Min       float64  `json:"min,omitempty"` // of int and float, both ends included
	Max       float64  `json:"max,omitempty"`
	Choices   []string `json:"choices,omitempty"`
	Doc       string   `json:"doc"`

	optional bool // no default and may be missing
	derived  bool // set by the preset itself
	// decoy draws a value of a secret from 64 random bits; keys: of each.
	decoy func(random uint64) string
	check func(value string) error
}

// Kinds of parameters.
const (
	kindInt   = "int"
	kindFloat = "float"
	kindKey   = "key"  // integer from -2^63 to 2^64-1, decimal or 0x…
	kindKeys  = "keys" // such integers, separated by commas
	kindText  = "text"
)

// Presets lists the presets in the order in which they are shown.
func Presets() []Preset {
	return slices.Concat(kirchenbauerPresets(), facebookPresets(), markllmPresets(), vllmPresets(), sglangPresets(), synthidPresets())
}

// PresetByName returns a preset.
func PresetByName(name string) (Preset, bool) {
	presetTable.once.Do(func() {
		presetTable.byName = map[string]Preset{}
		for _, p := range Presets() {
			presetTable.byName[p.Name] = p
		}
	})
	p, known := presetTable.byName[name]
	return p, known
}

// presetTable is the table by name, made at first use: every key and every decoy
// asks it. (Some presets look others up when they are used, so it cannot be an
// initialised variable.)
var presetTable struct {
	once   sync.Once
	byName map[string]Preset
}

// PresetNames lists the names of all presets.
func PresetNames() []string {
	var names []string
	for _, p := range Presets() {
		names = append(names, p.Name)
	}
	return names
}

// ParamNames lists the parameters that a user may give.
func (p Preset) ParamNames() []string {
	var names []string
	for _, x := range p.Params {
		if !x.derived {
			names = append(names, x.Name)
		}
	}
	return names
}

// Weights is how repeated units count by default: WeightsMin8 or WeightsNone.
func (p Preset) Weights() string {
	w, err := ResolveWeights(WeightsAuto, p.Name)
	if err != nil {
		panic("watermark: " + err.Error())
	}
	return w
}

// LawText is the null law of a unit in words.
func (p Preset) LawText() string {
	switch {
	case p.DecoysOnly:
		return "none: correlated layers"
	case p.Name == VLLMGumbelDual:
		return "(1-alpha)A + alpha B, both exponential"
	case p.Name == MarkLLMUnigram:
		return "hypergeometric: one list"
	case slices.ContainsFunc(p.Params, func(x Param) bool { return x.Name == "gamma" || x.Name == "greenlist_ratio" }):
		return "Bernoulli, at the list's true rate"
	}
	return "exponential, mean 1"
}

// complete checks given values and fills in what they leave open. Values come
// out in one canonical spelling.
func (p Preset) complete(given map[string]string) (map[string]string, error) {
	m := map[string]string{}
	if p.rewrite != nil {
		given = maps.Clone(given)
		if err := p.rewrite(given); err != nil {
			return nil, err
		}
	}
	for name := range given {
		if !slices.ContainsFunc(p.Params, func(x Param) bool { return x.Name == name }) {
			return nil, &UnknownParamError{Scheme: p.Name, Name: name, Known: p.ParamNames()}
		}
	}
	for _, x := range p.Params {
		value, ok := given[x.Name]
		if !ok {
			value = x.Default
		}
		if value == "" {
			if x.optional || x.derived {
				continue
			}
			return nil, fmt.Errorf("%s needs the parameter %s (%s)", p.Name, x.Name, x.Doc)
		}
		value, err := x.canonical(value)
		if err != nil {
			if x.Secret { // without the value
				return nil, fmt.Errorf("%s, parameter %s: not %s", p.Name, x.Name, err)
			}
			return nil, fmt.Errorf("%s, parameter %s: %q is not %w", p.Name, x.Name, value, err)
		}
		m[x.Name] = value
	}
	if p.derive != nil {
		p.derive(m)
	}
	return m, nil
}

// UnknownParamError is a parameter that a preset does not have.
type UnknownParamError struct {
	Scheme, Name string
	Known        []string
}

func (e *UnknownParamError) Error() string {
	return fmt.Sprintf("%s has no parameter %q; it has %s", e.Scheme, e.Name, strings.Join(e.Known, ", "))
}

// canonical is the one spelling of a value. Its errors complete "… is not".
func (x Param) canonical(value string) (string, error) {
	if len(value) > maxValue {
		return value, fmt.Errorf("at most %d bytes", maxValue)
	}
	switch x.Kind {
	case kindInt:
		n, err := strconv.ParseInt(value, 0, 64)
		if err != nil || float64(n) < x.Min || float64(n) > x.Max {
			return value, fmt.Errorf("an integer from %.0f to %.0f", x.Min, x.Max)
		}
		return strconv.FormatInt(n, 10), nil
	case kindFloat:
		f, err := strconv.ParseFloat(value, 64)
		if err != nil || !(f >= x.Min && f <= x.Max) {
			return value, fmt.Errorf("a number from %v to %v", x.Min, x.Max)
		}
		return strconv.FormatFloat(f, 'g', -1, 64), nil
	case kindKey:
		s, err := canonicalKey(value)
		if err != nil {
			return value, err
		}
		if n, _ := strconv.ParseFloat(s, 64); x.Max != 0 && (n < x.Min || n > x.Max) {
			return value, fmt.Errorf("a key from %.0f to %.0f", x.Min, x.Max)
		}
		return s, nil
	case kindKeys:
		parts := strings.Split(value, ",")
		for i, part := range parts {
			s, err := canonicalKey(strings.TrimSpace(part))
			if err != nil {
				return value, fmt.Errorf("a list of 64-bit integers separated by commas (number %d)", i+1)
			}
			parts[i] = s
		}
		if float64(len(parts)) > x.Max {
			return value, fmt.Errorf("a list of at most %.0f keys", x.Max)
		}
		return strings.Join(parts, ","), nil
	}
	if len(x.Choices) > 0 && !slices.Contains(x.Choices, value) {
		return value, fmt.Errorf("one of %s", strings.Join(x.Choices, ", "))
	}
	if x.check != nil {
		if err := x.check(value); err != nil {
			return value, err
		}
	}
	return value, nil
}

// canonicalKey writes a 64-bit key in decimal.
func canonicalKey(s string) (string, error) {
	n, ok := new(big.Int).SetString(s, 0)
	if len(s) > 40 || !ok || n.Cmp(big.NewInt(math.MinInt64)) < 0 || n.BitLen() > 64 {
		return "", errors.New("a 64-bit integer, decimal or 0x…")
	}
	return n.String(), nil
}

// args reads checked values.
type args struct{ m map[string]string }

func (a args) text(name string) string { return a.m[name] }

func (a args) has(name string) bool { return a.m[name] != "" }

func (a args) int(name string) int {
	n, err := strconv.Atoi(a.m[name])
	if err != nil {
		panic("watermark: parameter " + name + " was not checked")
	}
	return n
}

func (a args) float(name string) float64 {
	f, err := strconv.ParseFloat(a.m[name], 64)
	if err != nil {
		panic("watermark: parameter " + name + " was not checked")
	}
	return f
}

// key is a 64-bit key as its bits: a negative one as its two's complement.
func (a args) key(name string) uint64 { return keyBits(a.m[name]) }

func (a args) keys(name string) []uint64 {
	var keys []uint64
	for part := range strings.SplitSeq(a.m[name], ",") {
		keys = append(keys, keyBits(part))
	}
	return keys
}

func keyBits(s string) uint64 {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return uint64(n)
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		panic("watermark: a key was not checked") // without the value
	}
	return n
}

// args joins the public values of a spec with the secret ones.
func (p Preset) args(spec Spec, secret Values) args {
	m := map[string]string{}
	for _, v := range []Values{spec.Params.Preset, secret} {
		for name, value := range v.All() {
			m[name] = value
		}
	}
	return args{m}
}

// checkPublic says whether a spec's public values are complete and canonical.
func (p Preset) checkPublic(v Values) error {
	given := map[string]string{}
	for name, value := range v.All() {
		given[name] = value
	}
	for _, x := range p.Params {
		value, ok := given[x.Name]
		switch {
		case x.Secret && ok:
			return fmt.Errorf("%s is a key of %s and has no place among its public parameters", x.Name, p.Name)
		case x.Secret, x.optional && !ok:
		case !ok:
			return fmt.Errorf("parameter %s of %s is missing", x.Name, p.Name)
		default:
			c, err := x.canonical(value)
			if err != nil {
				return fmt.Errorf("parameter %s of %s: %q is not %w", x.Name, p.Name, value, err)
			}
			if c != value {
				return fmt.Errorf("parameter %s of %s: %q must be spelt %q", x.Name, p.Name, value, c)
			}
		}
		delete(given, x.Name)
	}
	for name := range given {
		return &UnknownParamError{Scheme: p.Name, Name: name, Known: p.ParamNames()}
	}
	return nil
}

// checkSecret says whether a secret holds exactly the preset's keys.
func (p Preset) checkSecret(secret Values) error {
	if made, err := NewValues(maps.Collect(secret.All())); err != nil || made != secret {
		return fmt.Errorf("the secret is not a list of the keys of %s", p.Name)
	}
	n := 0
	for name, value := range secret.All() {
		i := slices.IndexFunc(p.Params, func(x Param) bool { return x.Name == name && x.Secret })
		if i < 0 {
			return fmt.Errorf("the secret holds something that is no key of %s", p.Name)
		}
		if c, err := p.Params[i].canonical(value); err != nil || c != value {
			return fmt.Errorf("the secret's %s is not in its one spelling", name)
		}
		n++
	}
	for _, x := range p.Params {
		if x.Secret {
			n--
		}
	}
	if n != 0 {
		return fmt.Errorf("the secret does not hold all keys of %s", p.Name)
	}
	return nil
}

// Import makes a key of the parameters that another stack uses, secret ones
// among them. Missing parameters get the stack's defaults. random draws the salt
// of the key's commitment. A parameter that the preset does not have is an
// [UnknownParamError].
func Import(spec Spec, params map[string]string, random io.Reader) (*Key, error) {
	p, ok := PresetByName(spec.Scheme)
	if !ok {
		return nil, fmt.Errorf("preset %q is not known; use one of %s", spec.Scheme, strings.Join(PresetNames(), ", "))
	}
	for _, x := range p.Params {
		if _, ok := params[x.Name]; ok && x.derived {
			return nil, &UnknownParamError{Scheme: p.Name, Name: x.Name, Known: p.ParamNames()}
		}
	}
	m, err := p.complete(params)
	if err != nil {
		return nil, err
	}
	secret := map[string]string{}
	for _, x := range p.Params {
		if value, ok := m[x.Name]; ok && x.Secret {
			secret[x.Name] = value
			delete(m, x.Name)
		}
	}
	if spec.Params != (Params{}) {
		return nil, fmt.Errorf("%s takes its parameters by name; window, gamma and the like are those of native schemes", p.Name)
	}
	if spec.Params.Preset, err = NewValues(m); err != nil {
		return nil, err
	}
	hidden, err := NewValues(secret)
	if err != nil {
		return nil, fmt.Errorf("a key of %s has a form that cannot be stored", p.Name)
	}
	salt := make([]byte, saltBytes)
	if _, err := io.ReadFull(random, salt); err != nil {
		return nil, fmt.Errorf("drawing the salt: %w", err)
	}
	k, err := makeKey(KindImported, spec, []byte(hidden.list), salt)
	if err != nil {
		return nil, err
	}
	if _, err := k.Mark(); err != nil { // what only the scheme itself can refuse
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	return k, nil
}

// Published reports whether a part of the key is printed in public code or in a
// paper. Such a key is forgeable and not its holder's alone: nothing under it
// can reach the exact tier.
func (k *Key) Published() bool { return len(k.published()) > 0 }

// PublicKeyWarning is what a published key is marked with.
const PublicKeyWarning = "public key: forgeable, and not ours alone"

func (k *Key) published() []string {
	p, ok := PresetByName(k.Scheme)
	if !ok {
		return nil
	}
	var names []string
	for name, value := range (Values{string(k.secret.reveal())}).All() {
		for _, x := range p.Params {
			if x.Name != name {
				continue
			}
			public := slices.Contains(x.Published, value)
			if x.Kind == kindKeys { // a part of the list is as public as the whole
				known := strings.Split(strings.Join(x.Published, ","), ",")
				public = !slices.ContainsFunc(strings.Split(value, ","), func(v string) bool { return !slices.Contains(known, v) })
			}
			if public {
				names = append(names, name)
			}
		}
	}
	return names
}

// Warnings says what is weak about the key or left open by its file, one
// sentence each, without showing the key.
func (k *Key) Warnings() []string {
	p, ok := PresetByName(k.Scheme)
	if !ok {
		return nil
	}
	var w []string
	for _, name := range k.published() {
		w = append(w, fmt.Sprintf("%s (%s is printed in public code)", PublicKeyWarning, name))
	}
	a := p.args(k.Spec, Values{string(k.secret.reveal())})
	if len(w) == 0 {
		for _, x := range p.Params {
			if x.Kind == kindKey && x.Secret && int64(a.key(x.Name)) >= 0 && a.key(x.Name) < 1<<32 {
				w = append(w, fmt.Sprintf("%s is a small integer: anyone can try all keys below 2^32 on your text and forge the mark", x.Name))
			}
		}
	}
	if p.weak != nil {
		w = append(w, p.weak(a)...)
	}
	if device := a.text("device"); device != "" && device != "cpu" {
		w = append(w, "device "+device+": derived from pytorch's source, not run on hardware")
	}
	if k.Tokenizer == "" {
		w = append(w, "no tokenizer is named: only token ids can be scored (--ids)")
	}
	return w
}
