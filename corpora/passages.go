package corpora

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/corpora/tokens"
)

// Passage lengths, in tokens of the marked model, that reading mode asks for: long
// enough that most windows have a whole past, short enough for every context.
const (
	MinPassage = 256
	MaxPassage = 512
)

// PassageOptions say how a suite of passages is made.
type PassageOptions struct {
	Name, Version, Lang string
	Tokenizer           *tokens.Encoding // of the model that wrote the texts
	N                   int              // passages wanted; 0: as many as there are
}

// PassageCount says what became of the texts.
type PassageCount struct {
	Passages int `json:"passages"`
	Short    int `json:"short"`    // texts of fewer than MinPassage tokens
	Repeated int `json:"repeated"` // texts that came before
}

// Passages makes a suite of E2 from texts that our own model has written under
// its key: JSON lines with id and text, as they are logged or generated; other
// members are ignored. A text is cut at the last blank within MaxPassage tokens
// (in scripts without blanks: at the last whole character), and left out if it is
// shorter than MinPassage. The result is a JSONL suite with its card, which says
// that its texts are the model's own: it is kept as those are.
func Passages(r io.Reader, o PassageOptions) ([]byte, PassageCount, error) {
	var count PassageCount
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(map[string]cardLine{"card": {
		Name: o.Name, Version: o.Version, Family: passageFamily, Origin: OriginModel, MaxTokens: 2 * MaxPassage, Samples: 1, ReplyTokens: 1,
		Purpose:  "Passages that our own model wrote under its key, read on by the rival: whether its next token leans to the key's choice where ours did.",
		NeverUse: "Never published and never sent to anybody but the target: whoever holds the texts can learn the key's choices from them.",
	}})
	if err != nil {
		return nil, count, err
	}
	seen := make(map[string]bool)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, MaxSource)
	for n := 1; lines.Scan() && (o.N == 0 || count.Passages < o.N); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		var in struct{ ID, Text string }
		if err := json.Unmarshal(line, &in); err != nil {
			return nil, count, fmt.Errorf("line %d: %w", n, err)
		}
		if in.Text == "" {
			return nil, count, fmt.Errorf("line %d: no text", n)
		}
		if !utf8.ValidString(in.Text) {
			return nil, count, fmt.Errorf("line %d: not valid UTF-8", n)
		}
		text, err := cutPassage(strings.TrimSpace(in.Text), o.Tokenizer)
		switch {
		case err != nil:
			return nil, count, fmt.Errorf("line %d: %w", n, err)
		case text == "":
			count.Short++
			continue
		case seen[text]:
			count.Repeated++
			continue
		}
		seen[text] = true
		count.Passages++
		id := fmt.Sprintf("passage-%05d", count.Passages)
		r, err := json.Marshal(&Reading{Item: id, Kind: reading.KindPassage})
		if err != nil {
			return nil, count, err
		}
		if err := enc.Encode(struct {
			ID      string          `json:"id"`
			Lang    string          `json:"lang"`
			Text    string          `json:"text"`
			Reading json.RawMessage `json:"reading"`
		}{id, o.Lang, text, r}); err != nil {
			return nil, count, err
		}
		if out.Len() > MaxSource {
			return nil, count, fmt.Errorf("the passages are more than %d bytes: ask for fewer", MaxSource)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, count, fmt.Errorf("read the texts: %w", err)
	}
	if count.Passages == 0 {
		return nil, count, errors.New("no text is long enough for a passage")
	}
	return out.Bytes(), count, nil
}

// cutPassage cuts a text to MaxPassage tokens at most, "" if it has fewer than
// MinPassage.
func cutPassage(text string, enc *tokens.Encoding) (string, error) {
	ids, err := enc.Encode(text)
	if err != nil || len(ids) < MinPassage {
		return "", err
	}
	if len(ids) <= MaxPassage && len(text) <= maxText {
		return text, nil
	}
	cut := enc.Decode(ids[:min(len(ids), MaxPassage)])
	text = string(cut[:min(len(cut), maxText)])
	for !utf8.ValidString(text) { // a character that the cut has split
		text = text[:len(text)-1]
	}
	if at := strings.LastIndexAny(text, " \n"); at > len(text)/2 {
		text = text[:at]
	}
	return strings.TrimSpace(text), nil
}
