package watermark

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// The stacks that keys are exported for.
const (
	StackVLLM        = "vllm"
	StackSGLang      = "sglang"
	StackTensorRT    = "tensorrt-llm"
	StackHuggingFace = "hf"
	// StackJSON is our own form: all that there is to know of the key, for
	// implementations of one's own.
	StackJSON = "json"
)

// Stacks lists the stacks that keys are exported for.
func Stacks() []string {
	return []string{StackVLLM, StackSGLang, StackTensorRT, StackHuggingFace, StackJSON}
}

// Export is a key in the form that another stack is served with.
type Export struct {
	Stack string `json:"stack"`
	// Config is the JSON that the stack takes. It holds the key: it belongs into a
	// file of mode 0600 and nowhere else.
	Config []byte `json:"-"`
	// Use says how the stack takes it, FILE standing for the file.
	Use string `json:"use"`
	// Source is where the names in Config were read, and Checked how far the
	// stack's text was compared with ours.
	Source  string `json:"source"`
	Checked string `json:"checked"`
	// Unproven says why it is not known that what the stack serves is what we
	// verify; empty where it is.
	Unproven string   `json:"unproven,omitempty"`
	Notes    []string `json:"notes,omitempty"`
}

// ErrNoCounterpart is wrapped where a stack has nothing that marks as the key does.
var ErrNoCounterpart = errors.New("it has no counterpart there")

// served is what one stack takes for one scheme.
type served struct {
	stack, scheme string // scheme: a preset
	// when, if set, says why a key with these values has no counterpart.
	when func(a args) string
	// constants are members that are the same for all keys.
	constants []member
	// fields are our parameters under their names there.
	fields []exportField
	use    string
	source string
	// runOf is empty where the stack's own numbers were compared.
	runOf    string
	unproven string
	notes    []string
}

type member struct {
	name  string
	value any
}

type exportField struct {
	ours, theirs string
	form         fieldForm
}

// fieldForm is how a parameter is written there.
type fieldForm int

const (
	formNumber fieldForm = iota // a JSON number, as we write it
	formHex                     // a string of 16 hex digits: a 64-bit key
	formList                    // a JSON list of numbers
	formText                    // a JSON string
)

// Where the names of options were read. What a source does not say was not
// assumed.
const (
	sourceVLLM     = "vllm-project/vllm at 01c268b: vllm/config/watermarking.py, docs/features/watermarking.md (the flag also in the documentation of v0.32.0)"
	sourceVLLMSBW  = "vllm-project/vllm at 01c268b: vllm/config/watermarking.py, docs/features/watermarking.md (pull request 56859; not in the documentation of v0.32.0)"
	sourceSGLang   = "sgl-project/sglang at 00a8963: docs/docs/advanced_features/text_watermarking.mdx; at 26cd7e8: python/sglang/srt/sampling/watermarking/config.py"
	sourceTensorRT = "nvidia.github.io/TensorRT-LLM/features/watermarking.html (prototype; read 2026-11)"
	sourceHF       = "huggingface/transformers at 008f5c8: src/transformers/generation/configuration_utils.py"

	useVLLM     = `vllm serve MODEL --watermark-config "$(cat FILE)"   (the key is then visible in the process list of that machine)`
	useSGLang   = "python -m sglang.launch_server --model-path MODEL --enable-watermark --watermark-config FILE"
	useTensorRT = `LLM(model=MODEL, watermark_config=WatermarkConfig(**json.load(open("FILE"))))   with: from tensorrt_llm.watermark import WatermarkConfig`
	useHFKGW    = `model.generate(…, watermarking_config=WatermarkingConfig.from_dict(json.load(open("FILE"))))   with: from transformers import WatermarkingConfig`
	useHFSynth  = `model.generate(…, do_sample=True, watermarking_config=SynthIDTextWatermarkingConfig.from_dict(json.load(open("FILE"))))   with: from transformers import SynthIDTextWatermarkingConfig`

	unprovenTensorRT = "the documentation names key and context_width and no pseudo-random function, and its code was not at hand: whether its words are vLLM's is not known. Serve a reply of 300 tokens and score it with stillmark watermark detect --ids before you rely on it"
)

// servedTable lists what is known. Schemes that stand in no row for a stack have
// no counterpart there.
func servedTable() []served {
	vllmKey := []exportField{{"key", "key", formNumber}, {"context_width", "context_width", formNumber}}
	philox := member{"prf", "philox"}
	greedy := "requests at temperature 0 are not marked"
	tensorKey := []string{"requests at temperature 0 and the rest of its limitations: see its page", "context_width is at most 64"}
	hfKGW := func(seeding string) served {
		return served{
			stack: StackHuggingFace, scheme: "hf-kgw-" + seeding, constants: []member{{"seeding_scheme", seeding}},
			fields: []exportField{{"hashing_key", "hashing_key", formNumber}, {"greenlist_ratio", "greenlist_ratio", formNumber}, {"bias", "bias", formNumber}, {"context_width", "context_width", formNumber}},
			use:    useHFKGW, source: sourceHF,
		}
	}
	additive := func(scheme string, when func(a args) string) served {
		return served{
			stack: StackHuggingFace, scheme: scheme, when: when, constants: []member{{"seeding_scheme", "lefthash"}, {"context_width", 1}},
			fields: []exportField{{"hash_key", "hashing_key", formNumber}, {"gamma", "greenlist_ratio", formNumber}, {"delta", "bias", formNumber}},
			use:    useHFKGW, source: sourceHF,
			notes: []string{"the lists of " + scheme + " at width 1 are Hugging Face's lefthash lists; read it back as hf-kgw-lefthash"},
		}
	}
	return []served{
		{
			stack: StackVLLM, scheme: "vllm-gumbel", constants: []member{{"algorithm", "gumbel"}, philox}, fields: vllmKey,
			use: useVLLM, source: sourceVLLM, notes: []string{greedy},
		},
		{
			stack: StackVLLM, scheme: VLLMGumbelDual, constants: []member{{"algorithm", "dual_key_gumbel"}, philox},
			fields: append(slices.Clone(vllmKey), exportField{"alpha", "alpha", formNumber}),
			use:    useVLLM, source: sourceVLLM, runOf: "not run against vLLM (the derivation of its two keys was)",
			notes: []string{greedy, "with speculative decoding the protocol gives each token its key, and alpha has no effect"},
		},
		{
			stack: StackVLLM, scheme: "vllm-sbw", constants: []member{{"algorithm", "sbw"}, philox},
			fields: append(slices.Clone(vllmKey), exportField{"seeding", "sbw_scheme", formText}, exportField{"gamma", "sbw_gamma", formNumber}, exportField{"delta", "sbw_delta", formNumber}),
			use:    useVLLM, source: sourceVLLMSBW, runOf: "not run against vLLM",
		},
		{
			stack: StackSGLang, scheme: "sglang-gumbel", constants: []member{{"default_enabled", true}},
			fields: []exportField{{"key", "key", formHex}, {"context_width", "context_window", formNumber}},
			use:    useSGLang, source: sourceSGLang,
			notes: []string{greedy, "a request marks at most 4,096 contexts", `"enforce_all": true refuses requests that opt out`, "a request may bring a key of its own: then this one does not mark it"},
		},
		{
			stack: StackTensorRT, scheme: "vllm-gumbel", constants: []member{{"algorithm", "gumbel"}}, fields: vllmKey,
			use: useTensorRT, source: sourceTensorRT, runOf: "not run against TensorRT-LLM", unproven: unprovenTensorRT, notes: tensorKey,
		},
		{
			stack: StackTensorRT, scheme: VLLMGumbelDual, constants: []member{{"algorithm", "gumbel_dual_key"}}, fields: vllmKey,
			when: func(a args) string {
				if a.text("alpha") != "0.1" {
					return "its page names no alpha: only vLLM's default of 0.1 can be meant"
				}
				return ""
			},
			use: useTensorRT, source: sourceTensorRT, runOf: "not run against TensorRT-LLM", unproven: unprovenTensorRT, notes: tensorKey,
		},
		hfKGW("lefthash"),
		hfKGW("selfhash"),
		additive("lm-watermarking", func(a args) string {
			if s := a.text("seeding"); s != "simple_1" && s != "lefthash" || a.text("list") != "first" {
				return "of its seedings only simple_1 (lefthash) is Hugging Face's: selfhash hashes with another table there, and the others do not exist"
			}
			return ""
		}),
		additive("tgi", nil),
		{
			stack: StackHuggingFace, scheme: "hf-synthid",
			when: func(a args) string {
				if a.int("leaves") != 2 {
					return "its tournament has two leaves"
				}
				return ""
			},
			fields: []exportField{
				{"keys", "keys", formList},
				{"ngram_len", "ngram_len", formNumber},
				{"context_history_size", "context_history_size", formNumber},
				{"sampling_table_size", "sampling_table_size", formNumber},
				{"sampling_table_seed", "sampling_table_seed", formNumber},
			},
			use: useHFSynth, source: sourceHF, notes: []string{greedy},
		},
	}
}

// Export writes a key in the form that a stack takes, so that what it serves is
// what the key reads. For a stack that has nothing that marks as the key does the
// error wraps [ErrNoCounterpart] and says why.
//
// A master is exported as its own subkey, under its epoch and label: export what
// [Key.Derive] gives for the others. gumbel and gumbel-dual on philox-v1 are
// vLLM's schemes and are exported as such.
func (k *Key) Export(stack string) (*Export, error) {
	if err := k.check(); err != nil {
		return nil, err
	}
	if k.Scheme == Canary {
		return nil, errCanary(k)
	}
	if stack == StackJSON {
		return k.exportJSON()
	}
	if !slices.Contains(Stacks(), stack) {
		return nil, fmt.Errorf("stack %q is not known; use one of %s", stack, strings.Join(Stacks(), ", "))
	}
	scheme, a, err := k.counterpart(stack)
	if err != nil {
		return nil, err
	}
	for _, s := range servedTable() {
		if s.stack != stack || s.scheme != scheme {
			continue
		}
		if s.when != nil {
			if why := s.when(a); why != "" {
				return nil, noCounterpart(k, stack, why)
			}
		}
		return k.serve(s, a)
	}
	return nil, noCounterpart(k, stack, whyNot(stack, k.Scheme))
}

func noCounterpart(k *Key, stack, why string) error {
	return fmt.Errorf("key %s (%s on %s) cannot be exported for %s: %w: %s", k.ID, k.Scheme, k.Spec.PRF, stack, ErrNoCounterpart, why)
}

// counterpart is the preset that the key is, and its parameters, secret ones
// among them.
func (k *Key) counterpart(stack string) (string, args, error) {
	if p, ok := PresetByName(k.Scheme); ok {
		return p.Name, p.args(k.Spec, Values{string(k.subkey())}), nil
	}
	native := map[string]string{Gumbel: "vllm-gumbel", GumbelDual: VLLMGumbelDual}[k.Scheme]
	switch {
	case k.Spec.PRF == AESCTR:
		return "", args{}, noCounterpart(k, stack, "no server has the generator aes-ctr-v1: draw the key on "+Philox+", which is vLLM's, or embed with our own library")
	case k.Params.Tracing > 0:
		return "", args{}, noCounterpart(k, stack, "no server marks over two channels")
	case native == "":
		return "", args{}, noCounterpart(k, stack, whyNot(stack, k.Scheme))
	case k.Params.Contexts == WithPrompt:
		return "", args{}, noCounterpart(k, stack, "its windows hold generated tokens only, and the key's reach into the prompt")
	}
	return native, args{map[string]string{
		"key":           strconv.FormatUint(binary.BigEndian.Uint64(k.subkey()), 10),
		"context_width": strconv.Itoa(k.Params.Window),
		"alpha":         strconv.FormatFloat(k.Params.Alpha, 'g', -1, 64),
	}}, nil
}

// whyNot says what a stack has instead of a scheme.
func whyNot(stack, scheme string) string {
	switch {
	case stack == StackSGLang && strings.Contains(scheme, "synthid"):
		return "SGLang serves a SynthID (docs.sglang.io, --watermark-algorithm synthid), and which of the two published g-functions it computes was not found out"
	case stack == StackSGLang:
		return "SGLang marks with its own Gumbel sampler on murmur3 (scheme sglang-gumbel)"
	case stack == StackVLLM && (scheme == Tournament || strings.Contains(scheme, "synthid")):
		return "vLLM plans SynthID and has no release of it"
	case stack == StackVLLM && scheme == KGW:
		return "vLLM's green list (scheme vllm-sbw) hashes otherwise"
	case stack == StackVLLM:
		return "vLLM marks with gumbel, dual_key_gumbel and sbw only (schemes vllm-gumbel, vllm-gumbel-dual, vllm-sbw)"
	case stack == StackTensorRT:
		return "TensorRT-LLM marks with gumbel and gumbel_dual_key only"
	}
	return "Hugging Face marks with its two green lists and with SynthID's first g-function only (schemes hf-kgw-lefthash, hf-kgw-selfhash, hf-synthid)"
}

// serve writes the members in the table's order.
func (k *Key) serve(s served, a args) (*Export, error) {
	members := slices.Clone(s.constants)
	for _, f := range s.fields {
		var value any = json.Number(a.text(f.ours))
		switch f.form {
		case formHex:
			value = fmt.Sprintf("%016x", a.key(f.ours))
		case formText:
			value = a.text(f.ours)
		case formList:
			value = json.RawMessage("[" + strings.ReplaceAll(a.text(f.ours), ",", ", ") + "]")
		}
		members = append(members, member{f.theirs, value})
	}
	e := &Export{Stack: s.stack, Use: s.use, Source: s.source, Checked: s.runOf, Unproven: s.unproven, Notes: slices.Clone(s.notes)}
	if e.Checked == "" {
		e.Checked = "scores reproduced from the stack's own numbers"
	}
	if s.stack == StackVLLM {
		// Whether a repeated window is marked changes nothing in detection.
		if _, isPreset := PresetByName(k.Scheme); isPreset {
			e.Notes = append(e.Notes, "repeated contexts are left to vLLM's default (single_turn): detection does not depend on it")
		} else if k.Params.Repeats == MaskRepeats {
			members = append(members, member{"deduplicate_contexts", "single_turn"}, member{"deduplicate_contexts_max_history", nil})
		} else {
			members = append(members, member{"deduplicate_contexts", "none"})
		}
	}
	if device := a.text("device"); device != "" {
		where := "the CPU: a GPU draws other lists and tables"
		if device != "cpu" {
			where = "a GPU that runs " + strings.TrimPrefix(device, "cuda:") + " threads at once"
		}
		e.Notes = append(e.Notes, "generate on "+where)
	}
	if k.Vocab > 0 && s.stack == StackHuggingFace {
		e.Notes = append(e.Notes, fmt.Sprintf("the model's logits must be %d wide", k.Vocab))
	}
	if k.Published() {
		e.Notes = append(e.Notes, PublicKeyWarning)
	}
	var err error
	e.Config, err = encodeMembers(members)
	return e, err
}

// encodeMembers writes a JSON object in the order given.
func encodeMembers(members []member) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("{\n")
	for i, m := range members {
		name, err := json.Marshal(m.name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		comma := ","
		if i == len(members)-1 {
			comma = ""
		}
		fmt.Fprintf(&b, "  %s: %s%s\n", name, value, comma)
	}
	b.WriteString("}\n")
	return b.Bytes(), nil
}

// plainExport is our own form.
type plainExport struct {
	Format int    `json:"format"`
	KeyID  string `json:"key_id"`
	Spec   Spec   `json:"spec"`
	// Subkey is what the generator of a native scheme is keyed with, in hex: for
	// aes-ctr-v1 the nonce and the token key, for philox-v1 64 bits, big-endian; with
	// two channels followed by the same of the route.
	Subkey string `json:"subkey,omitempty"`
	// Keys are the keys of a preset, by name.
	Keys Values `json:"keys,omitzero"`
}

func (k *Key) exportJSON() (*Export, error) {
	p := plainExport{Format: 1, KeyID: k.ID, Spec: k.Spec}
	e := &Export{
		Stack: StackJSON, Source: "this program", Checked: "the form is ours",
		Use: "for an implementation of your own: package watermark's documentation and testdata/vectors define the schemes",
	}
	if _, isPreset := PresetByName(k.Scheme); isPreset {
		p.Keys = Values{string(k.subkey())}
	} else {
		p.Subkey = hex.EncodeToString(k.subkey())
	}
	var err error
	e.Config, err = encodeJSON(p)
	return e, err
}

// ParseServed reads the configuration that a stack is served with: the preset and
// the parameters, key included, that [Import] makes a key of. It is the inverse of
// [Key.Export]. Members that do not change the mark are left out; any other that
// is not known is an error, since it might.
func ParseServed(stack string, data []byte) (scheme string, params map[string]string, err error) {
	fail := func(format string, a ...any) (string, map[string]string, error) {
		return "", nil, fmt.Errorf("the configuration of %s: %w: %s", stack, ErrMalformed, fmt.Sprintf(format, a...))
	}
	if len(data) > maxKeyFile {
		return fail("more than %d bytes", maxKeyFile)
	}
	given := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&given); err != nil || d.More() {
		return fail("it is no JSON object") // without the error: it may quote the key
	}
	for _, s := range servedTable() {
		if s.stack != stack || !s.matches(given) {
			continue
		}
		params = map[string]string{}
		for name, value := range given {
			i := slices.IndexFunc(s.fields, func(f exportField) bool { return f.theirs == name })
			switch {
			case i >= 0:
				text, ok := s.fields[i].parse(value)
				if !ok {
					return fail("%q has a value of another kind", name)
				}
				params[s.fields[i].ours] = text
			case slices.ContainsFunc(s.constants, func(m member) bool { return m.name == name }), slices.Contains(markless, name):
			default:
				return fail("%q is not known here and might change the mark", name)
			}
		}
		return s.scheme, params, nil
	}
	if !slices.ContainsFunc(servedTable(), func(s served) bool { return s.stack == stack }) {
		return fail("a key cannot be read from it")
	}
	return fail("it is none of the forms that are known here")
}

// markless are members that say which requests or repeated contexts are marked,
// not how.
var markless = []string{
	"deduplicate_contexts", "deduplicate_contexts_max_history", "allow_target_only_watermarking",
	"default_enabled", "enforce_all", "max_probability", "mixing_probability", "skip_first_ngram_calls", "debug_mode",
}

// matches reports whether a configuration is of this row: constants that tell
// schemes apart are there, or left to the stack's default.
func (s served) matches(given map[string]any) bool {
	for _, c := range s.constants {
		value, there := given[c.name]
		want := fmt.Sprint(c.value)
		switch {
		case slices.Contains(markless, c.name):
		case there && fmt.Sprint(value) != want:
			return false
		case !there && c.name == "algorithm" && want != "gumbel", !there && c.name == "seeding_scheme" && want != "lefthash":
			return false
		}
	}
	for _, f := range s.fields { // the key is in no default
		if _, there := given[f.theirs]; !there && (f.ours == "key" || f.ours == "keys") {
			return false
		}
	}
	_, list := given["keys"]
	return list == slices.ContainsFunc(s.fields, func(f exportField) bool { return f.ours == "keys" })
}

// parse is the canonical form of a field's value.
func (f exportField) parse(value any) (string, bool) {
	switch v := value.(type) {
	case json.Number:
		return v.String(), f.form == formNumber
	case string:
		if f.form == formHex {
			n, ok := new(big.Int).SetString(strings.TrimPrefix(strings.ToLower(v), "0x"), 16)
			return fmt.Sprint(n), ok && n.Sign() >= 0 && n.BitLen() <= 64
		}
		return v, f.form == formText
	case []any:
		var parts []string
		for _, x := range v {
			n, ok := x.(json.Number)
			if !ok {
				return "", false
			}
			parts = append(parts, n.String())
		}
		return strings.Join(parts, ","), f.form == formList && len(parts) > 0
	}
	return "", false
}
