package family

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/ledger"
)

// together makes the run of a comparative family: the tests that read the same prompts
// share what is read, however many rivals there are.
func together(tests func(context.Context, []*Input) ([]*Output, error)) func(context.Context, []*Input) ([]*Output, error) {
	return func(ctx context.Context, ins []*Input) ([]*Output, error) {
		outs := make([]*Output, len(ins))
		for i, first := range ins {
			if outs[i] != nil {
				continue
			}
			prompts, tables := first.Prompts(), map[string]any{}
			var alike []*Input
			var places []int
			for k := i; k < len(ins); k++ {
				if outs[k] == nil && slices.Equal(ins[k].Prompts(), prompts) {
					ins[k].tables = tables
					alike, places = append(alike, ins[k]), append(places, k)
				}
			}
			found, err := tests(ctx, alike)
			if err != nil {
				return nil, err
			}
			for n, k := range places {
				outs[k] = found[n]
			}
		}
		return outs, nil
	}
}

// readings are the prompts of a test that its family reads, sorted into items.
type readings struct {
	of    map[*ledger.Prompt]*reading.Reading
	item  map[*ledger.Prompt]int // number of its item
	items []string
}

// readings parses the readings of the test's prompts that are of one of the kinds;
// no kind means any prompt, with or without a reading.
func (in *Input) readings(kinds ...reading.Kind) (*readings, error) {
	r := &readings{of: map[*ledger.Prompt]*reading.Reading{}, item: map[*ledger.Prompt]int{}}
	numbers := map[string]int{}
	for _, p := range in.Prompts() {
		x, err := in.Reading(p)
		if err != nil {
			return nil, err
		}
		if len(kinds) > 0 && (x == nil || !slices.Contains(kinds, x.Kind)) {
			continue
		}
		name := p.Suite + "/" + p.ID
		switch {
		case x != nil && x.Kind == reading.KindLadder:
			name = p.Suite + "/" + x.Group // the rungs of a topic are one ladder
		case x != nil:
			name = p.Suite + "/" + x.Item
		}
		n, ok := numbers[name]
		if !ok {
			n = len(r.items)
			numbers[name] = n
			r.items = append(r.items, name)
		}
		r.of[p], r.item[p] = x, n
	}
	return r, nil
}

// expect says that the replies of some targets will be read.
func (in *Input) expect(targets []*ledger.Target) {
	for _, t := range targets {
		g := in.targets[t.Name]
		if g == nil {
			continue // readReplies says so
		}
		for s := range g.settled() {
			if in.Test.Reads(s.prompt) {
				in.reads++
			}
		}
	}
}

// tables are what a way of reading, by its name, makes of the replies of some targets. A
// table that another test of the same prompts has read is not read again: it is to be
// left as it is, and depends on nothing of the test but its prompts.
func tables[T, V any](ctx context.Context, in *Input, how string, targets []*ledger.Target, empty func(*ledger.Target) T, read func(*Answer) (V, bool), take func(T, *Answer, V)) (map[*ledger.Target]T, error) {
	if in.judge != nil {
		how += "\x00" + LabelsJudge
	}
	name := func(t *ledger.Target) string { return how + "\x00" + t.Name }
	out := map[*ledger.Target]T{}
	var unread []*ledger.Target
	for _, t := range targets {
		if table, ok := in.tables[name(t)]; ok {
			out[t] = table.(T)
		} else {
			unread = append(unread, t)
		}
	}
	in.expect(unread)
	for _, t := range unread {
		table := empty(t)
		if err := readReplies(ctx, in, t.Name, read, func(a *Answer, v V) { take(table, a, v) }); err != nil {
			return nil, err
		}
		out[t], in.tables[name(t)] = table, table
	}
	return out, nil
}

// readReplies reads a target's settled attempts on the test's prompts, on all cores, and
// hands what read makes of them to take in the order of the plan. read must not
// change anything shared.
func readReplies[T any](ctx context.Context, in *Input, target string, read func(*Answer) (T, bool), take func(*Answer, T)) error {
	g := in.targets[target]
	if g == nil {
		return fmt.Errorf("test %s: target %q is not one of the plan", in.Test.ID, target)
	}
	type result struct {
		answer *Answer
		value  T
		ok     bool
	}
	var batch []settled
	flush := func() error {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("test %s: %w", in.Test.ID, err)
		}
		results := make([]result, len(batch))
		err := onAllCores(len(batch), func(i int) error {
			a, err := batch[i].answer()
			if err != nil {
				return err
			}
			r := &results[i]
			r.answer = a
			r.value, r.ok = read(a)
			return nil
		})
		if err != nil {
			return err
		}
		for _, r := range results {
			if r.ok {
				take(r.answer, r.value)
			}
		}
		in.readSome(len(batch))
		batch = batch[:0]
		return nil
	}
	for s := range g.settled() {
		if !in.Test.Reads(s.prompt) {
			continue
		}
		if batch = append(batch, s); len(batch) == chunk {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// readSome reports that so many further replies were read.
func (in *Input) readSome(n int) {
	if in.read += n; in.step != nil {
		in.step(StepReplies, in.read, in.reads)
	}
}

// byPrompt are counts of what was read in a target's replies, by prompt.
type byPrompt map[*ledger.Prompt]map[string]float64

// replies are those in which anything was read.
func (b byPrompt) replies() int64 {
	n := 0.
	for _, counts := range b {
		n += total(counts)
	}
	return int64(n)
}

// countReadings counts, for everybody and each prompt that has a reading, how often each
// thing was read in the whole replies; what is read as "" does not count. It says how
// many replies of the rival entered.
func countReadings(ctx context.Context, in *Input, sd *sides, r *readings, s *say, read func(x *reading.Reading, a *Answer) string) (map[*ledger.Target]byPrompt, error) {
	counts, err := tables(ctx, in, s.extractor, sd.everybody(), func(*ledger.Target) byPrompt { return byPrompt{} },
		func(a *Answer) (string, bool) {
			x := r.of[a.Item.Prompt]
			if x == nil || a.Reply.Outcome != ledger.OK {
				return "", false
			}
			what := read(x, a)
			return what, what != ""
		},
		func(of byPrompt, a *Answer, what string) {
			if of[a.Item.Prompt] == nil {
				of[a.Item.Prompt] = map[string]float64{}
			}
			of[a.Item.Prompt][strings.Clone(what)]++ // a part of a reply would keep all of it
		})
	if err != nil {
		return nil, err
	}
	s.replies = counts[sd.rival].replies()
	return counts, nil
}
