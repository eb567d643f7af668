package probe

import (
	"fmt"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// Cut makes of a suite of passages, which our own model wrote under a key, the prompts
// of reading mode: each passage is cut at fresh positions of that key, and every prefix is
// put as a completion of one token at temperature 0, so that the target says its
// likeliest next token.
func (s *PlanSuite) Cut(key *watermark.Key, open family.OpenTokenizer, cuts family.Cuts) error {
	mark, err := key.Mark()
	if err != nil {
		return fmt.Errorf("suite %s: key %s: %w", s.Ref.Name, key.ID, err)
	}
	tokenizer, err := open.ForKey(key)
	if err != nil {
		return fmt.Errorf("suite %s: %w", s.Ref.Name, err)
	}
	texts := make([]string, len(s.Prompts))
	for i := range s.Prompts {
		texts[i] = s.Prompts[i].Text
	}
	prefixes, of, err := family.CutAll(mark, tokenizer, texts, cuts)
	if err != nil {
		return fmt.Errorf("suite %s: %w", s.Ref.Name, err)
	}
	prompts := make([]corpora.Prompt, len(prefixes))
	n := 0
	for i, prefix := range prefixes {
		if i > 0 && of[i] == of[i-1] {
			n++
		} else {
			n = 0
		}
		p := s.Prompts[of[i]]
		p.ID, p.System, p.Text = fmt.Sprintf("%s-%02d", p.ID, n), "", prefix
		prompts[i] = p
	}
	zero, no := 0., false
	s.Ref.Name, s.Ref.N, s.Key = s.Ref.Name+"@"+key.ID, len(prompts), key.ID
	s.Prompts, s.Kind, s.Samples, s.ReplyTokens = prompts, ledger.KindCompletion, 1, 0
	s.Params = &ledger.PromptParams{MaxTokens: 1, Temperature: &zero, Stream: &no}
	return nil
}
