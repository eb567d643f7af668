package main

import (
	"encoding/hex"
	"unicode/utf8"

	"github.com/stillmark/stillmark/corpora/tokens"
	"github.com/stillmark/stillmark/watermark"
)

// tokenLine is one position of a text under --tokens. Text is absent where the
// tokenizer is not at hand, and Bytes stands for it where a token ends within a
// character.
type tokenLine struct {
	ID       string         `json:"id"`
	Position int            `json:"position"`
	Token    int32          `json:"token"`
	Text     string         `json:"text,omitempty"`
	Bytes    string         `json:"bytes,omitempty"` // hex
	Fate     watermark.Fate `json:"fate"`
	Score    float64        `json:"score"`
}

// speller writes tokens as text; the zero speller knows none.
type speller struct{ encoding *tokens.Encoding }

// spellerOf uses the tokenizer that a key names, if it can be had.
func spellerOf(spec watermark.Spec, files *tokenizerFiles) speller {
	enc, err := tokenizerOf(spec, files)
	if err != nil {
		return speller{} // ids can be scored without
	}
	return speller{enc}
}

// bytes are a token's own; nil if unknown.
func (s speller) bytes(token int32) []byte {
	if s.encoding == nil || token < 0 || int(token) >= s.encoding.VocabSize() {
		return nil
	}
	return s.encoding.Decode([]int32{token})
}

// add scores an item, and with --tokens prints its positions.
func (s *scorer) add(run textRun, it watermark.Item) error {
	if s.entropies != nil {
		if err := s.entropies.attach(&it); err != nil {
			return err
		}
	}
	if run.served != nil {
		run.served.Add(it)
	}
	if !s.o.tokens {
		run.all.Add(it)
		return nil
	}
	spell := spellerOf(s.key.Spec, &s.o.tokenizers)
	s.reading.hide()
	for _, t := range run.all.AddScored(it) {
		line := tokenLine{ID: it.ID, Position: t.Index, Token: t.Token, Fate: t.Fate, Score: t.Score}
		if b := spell.bytes(t.Token); utf8.Valid(b) {
			line.Text = string(b)
		} else {
			line.Bytes = hex.EncodeToString(b)
		}
		if err := s.printJSON(line); err != nil {
			return err
		}
	}
	return nil
}
