package tokens

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Limits on a tokenizer.json. The largest byte-level ones in use have 20 MB,
// 262,144 tokens, a few thousand added tokens and brackets five deep.
const (
	maxTokenizerFile = 64 << 20
	maxDepth         = 32
	maxAdded         = 1 << 16
	maxPart          = 64 << 10 // bytes of a normalizer or pre-tokenizer
	maxSplits        = 8        // DeepSeek's have three
)

// LoadTokenizerJSON reads a Hugging Face tokenizer.json that holds a byte-level
// BPE, the form of Llama 3, Qwen, Kimi, DeepSeek and GPT-2. The encoding's name
// is the file's base name without its ending, and its VocabSize the largest id,
// added tokens included, plus one; the model's logits may be wider.
//
// Encode gives the ids that the file's own library (tokenizers, in Rust) gives
// for the same text without special tokens. Three parts of the file are read
// accordingly:
//
//   - Added tokens, special or not, are known by Decode, Token and Special and
//     never encoded from text: "<think>" in a reply is ordinary text. The one
//     kind whose absence would change ordinary text, white space added without
//     the special mark, is refused.
//   - The post-processor, truncation and padding are not applied: they add
//     special tokens, or cut and fill batches.
//   - A normalizer NFC comes first, so that Decode gives back the normal form of
//     the text. It is applied to each valid span of a text that is not UTF-8.
//
// Taken are: model BPE, also with ignore_merges; normalizer none or NFC;
// pre-tokenizer ByteLevel with add_prefix_space false, alone or after Splits by
// regular expressions (isolated, not inverted; at most 8), each of which splits
// every piece of the one before as if it were a text of its own. Everything else
// is refused with an error that names it: other models, byte_fallback, dropout,
// prefixes and suffixes of subwords, other normalizers and pre-tokenizers,
// patterns with constructs that mean something else here, a vocabulary without
// all 256 bytes, duplicates, unknown fields, files over 64 MiB or nested deeper
// than 32.
//
// Its library's Unicode tables may be newer than Go's 15.0: see the package
// comment.
func LoadTokenizerJSON(path string) (*Encoding, error) {
	data, err := readLimited(path, maxTokenizerFile, "tokenizer.json")
	if err != nil {
		return nil, err
	}
	e, err := parseTokenizerJSON(baseName(path), data)
	if err != nil {
		return nil, fmt.Errorf("tokenizer file %s: %w", path, err)
	}
	return e, nil
}

// file is the outermost object. What is left raw is read by its type first.
type file struct {
	Version       json.RawMessage `json:"version"`
	Truncation    json.RawMessage `json:"truncation"`
	Padding       json.RawMessage `json:"padding"`
	AddedTokens   []addedToken    `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         json.RawMessage `json:"model"`
}

type addedToken struct {
	ID         int64  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

// bpe is the model. Files from before 2021 lack the type.
type bpe struct {
	Type                    string      `json:"type"`
	Dropout                 *float64    `json:"dropout"`
	UnkToken                *string     `json:"unk_token"` // never used where every byte has a token
	ContinuingSubwordPrefix string      `json:"continuing_subword_prefix"`
	EndOfWordSuffix         string      `json:"end_of_word_suffix"`
	FuseUnk                 bool        `json:"fuse_unk"`
	ByteFallback            bool        `json:"byte_fallback"`
	IgnoreMerges            bool        `json:"ignore_merges"`
	Vocab                   vocabulary  `json:"vocab"`
	Merges                  []mergePair `json:"merges"`
}

func parseTokenizerJSON(name string, data []byte) (*Encoding, error) {
	if err := checkDepth(data); err != nil {
		return nil, err
	}
	var f file
	if err := strict(data, &f); err != nil {
		return nil, err
	}
	normalize, err := readNormalizer(f.Normalizer)
	if err != nil {
		return nil, err
	}
	patterns, err := readPreTokenizer(f.PreTokenizer)
	if err != nil {
		return nil, err
	}
	if err := checkDecoder(f.Decoder); err != nil {
		return nil, err
	}
	model, err := readModel(f.Model)
	if err != nil {
		return nil, err
	}
	special, err := readAdded(f.AddedTokens, model.Vocab)
	if err != nil {
		return nil, err
	}
	t, err := newMergeTable(model, special)
	if err != nil {
		return nil, err
	}
	split, err := newIsolated(patterns)
	if err != nil {
		return nil, err
	}
	e := &Encoding{name: name, split: split, table: t, nfc: normalize, hash: t.hashMerges(model.IgnoreMerges, normalize, patterns)}
	e.addSpecial(special)
	for _, a := range f.AddedTokens {
		if !a.Special {
			delete(e.control, int32(a.ID))
		}
	}
	return e, nil
}

// strict decodes one JSON value without unknown fields.
func strict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("it is no tokenizer.json that this program knows: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the end of the JSON value")
	}
	return nil
}

// checkDepth refuses deep nesting before anything recurses.
func checkDepth(data []byte) error {
	depth, inString := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("brackets are nested deeper than %d, which no tokenizer.json needs", maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// absent tells whether an optional part is missing.
func absent(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// kindOf reads the type of a part.
func kindOf(raw json.RawMessage) (string, error) {
	if len(raw) > maxPart {
		return "", fmt.Errorf("it has %d bytes, at most %d are taken", len(raw), maxPart)
	}
	var kind struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(raw, &kind); err != nil {
		return "", err
	}
	if kind.Type == "" {
		return "", errors.New("it has no type")
	}
	return kind.Type, nil
}

// flatten takes the members of a part out of its Sequences, whose members are
// listed under the given field.
func flatten(raw json.RawMessage, field string) ([]json.RawMessage, error) {
	if absent(raw) {
		return nil, nil
	}
	kind, err := kindOf(raw)
	if err != nil {
		return nil, err
	}
	if kind != "Sequence" {
		return []json.RawMessage{raw}, nil
	}
	var sequence map[string]json.RawMessage
	var members []json.RawMessage
	if err := json.Unmarshal(raw, &sequence); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(sequence[field], &members); err != nil {
		return nil, fmt.Errorf("its Sequence has no %s: %w", field, err)
	}
	var out []json.RawMessage
	for _, m := range members {
		parts, err := flatten(m, field)
		if err != nil {
			return nil, err
		}
		out = append(out, parts...)
	}
	return out, nil
}

// readNormalizer tells whether text is brought into normalization form C.
func readNormalizer(raw json.RawMessage) (bool, error) {
	parts, err := flatten(raw, "normalizers")
	if err != nil {
		return false, fmt.Errorf("normalizer: %w", err)
	}
	for _, p := range parts {
		if kind, err := kindOf(p); err != nil || kind != "NFC" {
			return false, refusal("the normalizer", kind, err, "NFC or none is")
		}
	}
	return len(parts) > 0, nil
}

func refusal(what, kind string, err error, taken string) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s %s is not taken: %s", what, kind, taken)
}

// readPreTokenizer returns the patterns that text is split by, one after the
// other, as the file has them.
func readPreTokenizer(raw json.RawMessage) (patterns []string, err error) {
	parts, err := flatten(raw, "pretokenizers")
	if err != nil {
		return nil, fmt.Errorf("pre-tokenizer: %w", err)
	}
	const taken = "Splits by regular expressions and ByteLevel are, in this order"
	for i, p := range parts {
		kind, err := kindOf(p)
		switch last := i == len(parts)-1; {
		case err == nil && kind == "Split" && !last:
			if i >= maxSplits {
				return nil, fmt.Errorf("the pre-tokenizer has more than %d Splits", maxSplits)
			}
			pattern, err := readSplit(p)
			if err != nil {
				return nil, err
			}
			patterns = append(patterns, pattern)
		case err == nil && kind == "ByteLevel" && last:
			own, err := readByteLevel(p)
			if err != nil {
				return nil, err
			}
			return append(patterns, own...), nil
		default:
			return nil, refusal("the pre-tokenizer", kind, err, taken)
		}
	}
	return nil, errors.New("there is no pre-tokenizer: without ByteLevel the vocabulary is not byte-level")
}

func readSplit(raw json.RawMessage) (string, error) {
	var split struct {
		Type    string
		Pattern struct {
			Regex  *string
			String *string
		}
		Behavior string
		Invert   bool
	}
	if err := strict(raw, &split); err != nil {
		return "", fmt.Errorf("pre-tokenizer Split: %w", err)
	}
	switch {
	case split.Pattern.Regex == nil:
		return "", errors.New("the pre-tokenizer Split has no regular expression: a plain string is not taken")
	case split.Behavior != "Isolated":
		return "", fmt.Errorf("the pre-tokenizer Split has behavior %q: only Isolated is taken", split.Behavior)
	case split.Invert:
		return "", errors.New("the pre-tokenizer Split is inverted: only invert false is taken")
	}
	return *split.Pattern.Regex, nil
}

func readByteLevel(raw json.RawMessage) ([]string, error) {
	level := struct {
		Type           string
		AddPrefixSpace bool `json:"add_prefix_space"`
		TrimOffsets    bool `json:"trim_offsets"`
		UseRegex       bool `json:"use_regex"`
	}{AddPrefixSpace: true, UseRegex: true} // the library's defaults
	if err := strict(raw, &level); err != nil {
		return nil, fmt.Errorf("pre-tokenizer ByteLevel: %w", err)
	}
	if level.AddPrefixSpace {
		return nil, errors.New("the pre-tokenizer ByteLevel has add_prefix_space true, which puts a blank before every text: only false is taken")
	}
	if level.UseRegex {
		return []string{gpt2Pattern}, nil
	}
	return nil, nil
}

func checkDecoder(raw json.RawMessage) error {
	parts, err := flatten(raw, "decoders")
	if err != nil {
		return fmt.Errorf("decoder: %w", err)
	}
	for _, p := range parts {
		if kind, err := kindOf(p); err != nil || kind != "ByteLevel" {
			return refusal("the decoder", kind, err, "ByteLevel or none is")
		}
	}
	return nil
}

func readModel(raw json.RawMessage) (*bpe, error) {
	if absent(raw) {
		return nil, errors.New("it holds no model")
	}
	var kind struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(raw, &kind); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if kind.Type != "" && kind.Type != "BPE" {
		return nil, refusal("the model", kind.Type, nil, "byte-level BPE is")
	}
	var m bpe
	if err := strict(raw, &m); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	switch {
	case m.ByteFallback:
		return nil, errors.New("the model has byte_fallback: it is a BPE over characters, and only one over bytes is taken")
	case m.Dropout != nil && *m.Dropout != 0:
		return nil, fmt.Errorf("the model has dropout %v, so that a text has no fixed ids: only null is taken", *m.Dropout)
	case m.ContinuingSubwordPrefix != "":
		return nil, fmt.Errorf("the model has the continuing_subword_prefix %q: none is taken", m.ContinuingSubwordPrefix)
	case m.EndOfWordSuffix != "":
		return nil, fmt.Errorf("the model has the end_of_word_suffix %q: none is taken", m.EndOfWordSuffix)
	}
	m.Merges = slices.DeleteFunc(m.Merges, func(p mergePair) bool { return p == mergePair{} })
	return &m, nil
}

// readAdded returns the added tokens that are no ordinary ones: their text and
// id. One that the vocabulary holds, too, must have the same id there; without
// the special mark it stays an ordinary token.
func readAdded(added []addedToken, vocab vocabulary) (map[string]int32, error) {
	if len(added) > maxAdded {
		return nil, fmt.Errorf("it has %d added tokens, at most %d are taken", len(added), maxAdded)
	}
	special := make(map[string]int32, len(added))
	ids := make(map[int32]string, len(added))
	for _, a := range added {
		id := int32(a.ID)
		inVocab, known := vocab[a.Content]
		switch {
		case a.Content == "" || len(a.Content) > maxToken:
			return nil, fmt.Errorf("an added token has %d bytes: 1 to %d are taken", len(a.Content), maxToken)
		case a.ID < 0 || a.ID > maxRank:
			return nil, fmt.Errorf("the added token %q has id %d: 0 to %d are taken", a.Content, a.ID, maxRank)
		case known && inVocab != id:
			return nil, fmt.Errorf("the added token %q has id %d, the vocabulary gives it %d", a.Content, id, inVocab)
		case !a.Special && strings.TrimSpace(a.Content) == "":
			return nil, fmt.Errorf("the added token %q is white space without the special mark: it would be matched in ordinary text, and added tokens are never encoded here", a.Content)
		case ids[id] != "":
			return nil, fmt.Errorf("the added tokens %q and %q share id %d", ids[id], a.Content, id)
		}
		if _, twice := special[a.Content]; twice {
			return nil, fmt.Errorf("the added token %q occurs twice", a.Content)
		}
		ids[id] = a.Content
		if a.Special || !known {
			special[a.Content] = id
		}
	}
	for text, id := range vocab {
		if other := ids[id]; other != "" && other != text {
			return nil, fmt.Errorf("the added token %q and the vocabulary's %q share id %d", other, text, id)
		}
	}
	return special, nil
}

// vocabulary maps tokens as the file writes them to ids.
type vocabulary map[string]int32

// UnmarshalJSON refuses what a plain map would take: a token given twice, an id
// out of range.
func (v *vocabulary) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if first, err := d.Token(); err != nil || first != json.Delim('{') {
		return errors.New("the vocabulary is no object of token and id")
	}
	m := vocabulary{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		text := key.(string) // the decoder takes nothing else for a key
		value, err := d.Token()
		if err != nil {
			return err
		}
		number, _ := value.(json.Number)
		id, err := number.Int64()
		if err != nil || id < 0 || id > maxRank {
			return fmt.Errorf("token %q has id %v: whole numbers from 0 to %d are taken", text, value, maxRank)
		}
		if _, twice := m[text]; twice {
			return fmt.Errorf("token %q occurs twice in the vocabulary", text)
		}
		m[text] = int32(id)
	}
	*v = m
	return nil
}

// mergePair is "a b" or ["a", "b"].
type mergePair struct{ left, right string }

// UnmarshalJSON takes both forms.
func (p *mergePair) UnmarshalJSON(data []byte) error {
	var parts []string
	if data[0] == '[' {
		if err := json.Unmarshal(data, &parts); err != nil {
			return err
		}
	} else {
		var both string
		if err := json.Unmarshal(data, &both); err != nil {
			return err
		}
		if strings.HasPrefix(both, "#version") { // the header of a merges.txt, skipped by the library
			return nil
		}
		parts = strings.Split(both, " ")
	}
	if len(parts) != 2 || slices.Contains(parts, "") {
		return fmt.Errorf("the merge %s is no pair of tokens", clipped(data))
	}
	p.left, p.right = parts[0], parts[1]
	return nil
}

// clipped shows the beginning of hostile text in an error.
func clipped(data []byte) []byte { return data[:min(len(data), 80)] }
