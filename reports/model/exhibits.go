package model

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// Bounds of the exhibits: five of each kind, and as much of each as fits a page
// with its neighbours. What is cut is counted.
const (
	exhibitsEach = 5
	maxShown     = 160 // tokens
	maxPrompt    = 300 // runes
)

// scorer scores the replies of one test for its exhibits.
type scorer struct {
	finding *ledger.Finding
	mark    watermark.Scheme
	tokens  watermark.Tokenizer // nil: the replies are ids, and the key names no tokenizer that is at hand
	ids     bool                // the replies' own ids are scored
	law     evidence.Law
	ranked  []ranked
	sources []*ledger.ReplySource
	groups  []ExhibitGroup
}

// ranked is a reply by its standardised score: a million of them are 24 MB.
type ranked struct {
	std    float64
	offset int64 // where its source reads it again
	number int32 // of its item
	source uint8 // number in scorer.sources
}

// chooseExhibits reads the replies to rank them, and the chosen ones again to show
// them. It also counts the analysed replies that bear an id of the
// provider's.
func chooseExhibits(ctx context.Context, c *ledger.Case, f *ledger.Findings, keys []*watermark.Key, open family.OpenTokenizer, t text) ([]Exhibits, int64, error) {
	scorers, err := newScorers(c.Plan(), f, keys, open)
	if err != nil {
		return nil, 0, err
	}
	var ids int64
	err = c.Replies(func(rec ledger.ReplyRecord) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		reply := family.Decode(rec)
		if reply.Outcome != ledger.OK {
			return nil
		}
		if rec.Attempt.RequestID != "" || reply.ResponseID != "" {
			ids++
		}
		for _, s := range scorers {
			if s.finding.Target == rec.Item.Target.Name {
				if err := s.rank(rec, &reply, c.Number(rec.Item.ID)); err != nil {
					return fmt.Errorf("exhibits of %s: %w", s.finding.Test, err)
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	for _, s := range scorers {
		for i, group := range s.choose(func(number int32) string { return c.ItemAt(int(number)).ID }) {
			g := ExhibitGroup{Name: t.say([]string{"exhibit.strongest", "exhibit.median", "exhibit.contrary"}[i])}
			for _, r := range group {
				rec, err := s.sources[r.source].Read(r.offset)
				if err != nil {
					return nil, 0, err
				}
				e, err := s.show(rec)
				if err != nil {
					return nil, 0, fmt.Errorf("exhibits of %s: %w", s.finding.Test, err)
				}
				g.Exhibits = append(g.Exhibits, e)
			}
			if len(g.Exhibits) > 0 {
				s.groups = append(s.groups, g)
			}
		}
	}
	out := []Exhibits{}
	for _, s := range scorers {
		if len(s.groups) > 0 {
			out = append(out, Exhibits{
				Test: s.finding.Test, Target: s.finding.Target, Scheme: s.finding.Scheme,
				Rule: t.say("exhibit.rule"), Groups: s.groups,
			})
		}
	}
	return out, ids, nil
}

// Shown reports whether a finding has exhibits: replies of a rival with their
// scored tokens, under the key of a primary test of their text.
func Shown(f *ledger.Finding) bool {
	return f.Primary && f.Role == ledger.Rival && f.Family == family.Radioactivity && f.Statistic == ""
}

// newScorers makes one scorer for each primary test of a rival whose key is at
// hand.
func newScorers(p *ledger.Plan, f *ledger.Findings, keys []*watermark.Key, open family.OpenTokenizer) ([]*scorer, error) {
	ids := map[string]bool{} // targets whose replies are ids
	for i := range p.Targets {
		im := p.Targets[i].Imported
		ids[p.Targets[i].Name] = im != nil && im.IDs
	}
	byID := map[string]*watermark.Key{}
	for _, k := range keys {
		byID[k.ID] = k
	}
	var out []*scorer
	for i := range f.Findings {
		finding := &f.Findings[i]
		key := byID[finding.Key]
		if !Shown(finding) || key == nil {
			continue
		}
		mark, err := key.Mark()
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", key.ID, err)
		}
		s := &scorer{finding: finding, mark: mark, law: mark.Law(), ids: ids[finding.Target]}
		if s.tokens, err = open.ForKey(key); err != nil {
			if !s.ids {
				return nil, err
			}
			s.tokens = nil
		}
		out = append(out, s)
	}
	return out, nil
}

// item turns a reply into ids, as the test does: system text and prompt make
// the windows that are not scored.
func (s *scorer) item(rec ledger.ReplyRecord, reply *ledger.Reply) (watermark.Item, error) {
	if s.ids {
		return watermark.Item{ID: rec.Item.ID, Prompt: reply.PromptTokens, Tokens: reply.Tokens}, nil
	}
	var it watermark.Item
	for _, part := range []string{rec.Item.Prompt.System, rec.Item.Prompt.Text} {
		if part == "" {
			continue
		}
		ids, err := s.tokens.Encode(part)
		if err != nil {
			return it, fmt.Errorf("tokenise the prompt of %s: %w", rec.Item.ID, err)
		}
		it.Prompt = append(it.Prompt, ids...)
	}
	ids, err := s.tokens.Encode(reply.Text)
	if err != nil {
		return it, fmt.Errorf("tokenise the reply to %s: %w", rec.Item.ID, err)
	}
	it.ID, it.Tokens = rec.Item.ID, ids
	return it, nil
}

// score sums up the scored tokens of a reply: how many, their score, and that in standard
// deviations of the null law above its mean.
func (s *scorer) score(tokens []watermark.TokenScore) (units int64, score, std float64) {
	for _, t := range tokens {
		if t.Fate == watermark.FateScored {
			units++
			score += t.Score
		}
	}
	n := float64(units)
	return units, score, (score - n*s.law.Mean()) / math.Sqrt(n*s.law.Variance())
}

func (s *scorer) rank(rec ledger.ReplyRecord, reply *ledger.Reply, number int) error {
	it, err := s.item(rec, reply)
	if err != nil {
		return err
	}
	units, _, std := s.score(watermark.ScoreTokens(s.mark, it))
	if units == 0 {
		return nil
	}
	source := slices.Index(s.sources, rec.Source)
	if source < 0 {
		source = len(s.sources)
		s.sources = append(s.sources, rec.Source)
	}
	s.ranked = append(s.ranked, ranked{std: std, offset: rec.Offset, number: int32(number), source: uint8(source)})
	return nil
}

// choose applies the rule: the highest, those around the median, the lowest, the most
// contrary of these first. Replies of one score are ordered by the names of their items.
func (s *scorer) choose(id func(number int32) string) [3][]ranked {
	higher := func(a, b ranked) int { return cmp.Compare(b.std, a.std) }
	slices.SortFunc(s.ranked, higher)
	n := len(s.ranked)
	k := min(exhibitsEach, (n+2)/3)
	from := max(k, (n-k)/2) // of the median group
	to := min(from+k, n)
	last := max(to, n-k)
	var groups [3][]ranked
	for i, part := range [][2]int{{0, min(k, n)}, {min(from, n), to}, {min(last, n), n}} {
		if part[0] == part[1] {
			continue
		}
		// Names are made for those alone whose order decides.
		first, _ := slices.BinarySearchFunc(s.ranked, s.ranked[part[0]], higher)
		end := part[1]
		for end < n && s.ranked[end].std == s.ranked[part[1]-1].std {
			end++
		}
		slices.SortFunc(s.ranked[first:end], func(a, b ranked) int {
			if c := higher(a, b); c != 0 {
				return c
			}
			return cmp.Compare(id(a.number), id(b.number))
		})
		groups[i] = slices.Clone(s.ranked[part[0]:part[1]])
	}
	slices.Reverse(groups[2])
	return groups
}

func (s *scorer) show(rec ledger.ReplyRecord) (Exhibit, error) {
	reply := family.Decode(rec)
	it, err := s.item(rec, &reply)
	if err != nil {
		return Exhibit{}, err
	}
	tokens := watermark.ScoreTokens(s.mark, it)
	e := Exhibit{Item: rec.Item.ID, Seq: rec.Event.Seq, Tokens: len(it.Tokens), Shown: min(len(it.Tokens), maxShown)}
	e.Units, e.Score, e.Std = s.score(tokens)
	e.RequestID = clip(cmp.Or(rec.Attempt.RequestID, reply.ResponseID), maxName)
	e.Prompt = clip(rec.Item.Prompt.Text, maxPrompt)
	e.Spans = s.spans(tokens[:e.Shown])
	return e, nil
}

// spans writes tokens as text. A character that is cut between tokens is one
// span with the highest mark of its tokens; equal neighbours are joined where
// nothing is lost, since only marked tokens need their own borders.
func (s *scorer) spans(scores []watermark.TokenScore) []Span {
	var (
		out     []Span
		pending []byte
		level   int
	)
	flush := func() {
		text := Inert(string(pending))
		if n := len(out); n > 0 && level <= 1 && out[n-1].Level == level {
			out[n-1].Text += text
		} else if text != "" {
			out = append(out, Span{Text: text, Level: level})
		}
		pending, level = nil, 0
	}
	for i, t := range scores {
		if s.tokens == nil {
			pending = fmt.Appendf(pending, "%d ", t.Token)
		} else {
			pending = append(pending, s.tokens.Decode([]int32{t.Token})...)
		}
		level = max(level, s.level(t))
		// A valid text has at most three bytes of a character outstanding.
		if whole(pending) || len(pending) > 64 || i == len(scores)-1 {
			flush()
		}
	}
	return orEmpty(out)
}

// whole reports whether bytes do not end inside a character.
func whole(b []byte) bool {
	for i := 1; i <= min(utf8.UTFMax, len(b)); i++ {
		if c := b[len(b)-i]; utf8.RuneStart(c) {
			return utf8.FullRune(b[len(b)-i:])
		}
	}
	return true
}

// The upper tail probabilities at which a scored token gets a stronger mark.
const (
	tailHalf    = 0.5
	tailQuarter = 0.25
	tailRare    = 0.05
)

// level of a token: see [Span].
func (s *scorer) level(t watermark.TokenScore) int {
	if t.Fate != watermark.FateScored {
		return 0
	}
	// The logarithm of a quarter and back is not a quarter to the last digit.
	tail := math.Pow(10, s.law.Tail(t.Score, evidence.Plain(1)).Log10P) * (1 - 1e-9)
	switch {
	case tail <= tailRare:
		return 4
	case tail <= tailQuarter:
		return 3
	case tail <= tailHalf:
		return 2
	}
	return 1
}
