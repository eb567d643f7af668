package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/corpora/canary"
	"github.com/stillmark/stillmark/probe"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// drawing says how the prompts of a suite are made for a key, beside their number and seed.
type drawing struct {
	counterfactuals, cuts int
	tokenizers            tokenizerFiles
}

func (d *drawing) bindCuts(f *pflag.FlagSet) {
	f.IntVar(&d.cuts, "cuts", family.DefaultCuts().Most, "E2: positions of each passage that are asked, at most")
	d.tokenizers.bind(f)
}

// listFlags say how what a commitment lists will be asked.
type listFlags struct {
	runs int
	seed uint64
	drawing
}

func (o *listFlags) bind(f *pflag.FlagSet) {
	f.IntVar(&o.runs, "runs", 1, "runs in which what is listed will be asked, 1 or 2: of two, each asks half of the items")
	f.IntVar(&o.counterfactuals, "counterfactuals", 0, "E4: list what \"probe plan\" asks with the same number of counterfactual responses")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the draw of the prompts that are listed")
}

// lists are what is committed to of suites under a key, n prompts of each, 0 for all.
func (o *listFlags) lists(key *watermark.Key, suites []*corpora.Suite, n int, rotation *probe.Rotation) ([]watermark.CommittedList, error) {
	var out []watermark.CommittedList
	for _, suite := range suites {
		drawn, err := o.suite(suite, o.seed, n, key)
		if err != nil {
			return nil, usageError(err)
		}
		lists, err := drawn.Lists(key, o.runs, rotation)
		if err != nil {
			return nil, err
		}
		out = append(out, lists...)
	}
	return out, nil
}

// suite draws prompts of a suite: those that a canary key draws or fills under that key,
// triggers with counterfactual responses where some are asked for, passages cut for the key.
func (d *drawing) suite(suite *corpora.Suite, seed uint64, n int, key *watermark.Key) (probe.PlanSuite, error) {
	if suite.Use() != "" {
		drawn, err := probe.ExpandSuiteUnder(suite, seed, n, key)
		if err == nil && d.counterfactuals > 0 && suite.Use() == canary.UseTrigger {
			err = drawn.Counterfactual(key, d.counterfactuals)
		}
		return drawn, err
	}
	drawn, err := probe.ExpandSuite(suite, seed, n)
	if err != nil || suite.Family != family.ReadingMode {
		return drawn, err
	}
	open, err := d.tokenizers.opener()
	if err != nil {
		return drawn, err
	}
	cuts := family.DefaultCuts()
	cuts.Most = d.cuts
	return drawn, drawn.Cut(key, open, cuts)
}

// listedPrompts says what a commitment lists, "" if nothing.
func listedPrompts(c *watermark.Commitment) string {
	var out []string
	for i := range c.Lists {
		l := &c.Lists[i]
		out = append(out, fmt.Sprintf("%s %s run %d, %d prompts", l.Family, l.Suite, l.Run, len(l.Items)))
	}
	return strings.Join(out, "; ")
}

// writeCommitment writes a commitment file and, where an authority is named, its token
// beside it, whose name is returned. Nothing is written if the authority gives none.
func writeCommitment(ctx context.Context, name string, c *watermark.Commitment, tsa string) (stamp string, err error) {
	data, err := c.Encode()
	if err != nil {
		return "", err
	}
	var token []byte
	if tsa != "" {
		if token, err = requestStamp(ctx, tsa, sha256.Sum256(data)); err != nil {
			return "", fmt.Errorf("the commitment was not written: %w", err)
		}
	}
	if err := ledger.WriteNewFile(name, data, 0o644); err != nil {
		return "", fmt.Errorf("the commitment was not written: %w", err)
	}
	if token == nil {
		return "", nil
	}
	if err := ledger.WriteNewFile(name+".tsr", token, 0o644); err != nil {
		return "", fmt.Errorf("the timestamp was not written: %w", err)
	}
	return name + ".tsr", nil
}

// listed finds what the commitments of the given keys list of a suite for this run, under
// which of them, and how many prompts for all runs; nil if none does.
func (o *planOptions) listed(suite *corpora.Suite, keys []probe.PlanKey) (key *watermark.Key, list *watermark.CommittedList, all int) {
	run := 1
	if o.after != "" {
		run = 2
	}
	for i := range keys {
		c, err := watermark.ParseCommitment(keys[i].Commitment)
		if err != nil { // there is none, or the plan will refuse it
			continue
		}
		for j := range c.Lists {
			l := &c.Lists[j]
			name, _, _ := strings.Cut(l.Suite, "@")
			if name != suite.Name || l.KeyID != keys[i].Key.ID || l.Family != cmp.Or(suite.Family, family.Radioactivity) {
				continue
			}
			if all += len(l.Items); l.Run == run {
				key, list = keys[i].Key, l
			}
		}
		if list != nil {
			break
		}
		all = 0
	}
	return key, list, all
}

// draw draws a suite for the plan, under the key if it has one. Where all of it is asked, or as
// much as a commitment lists, what is listed for this run is drawn: nothing else reaches the exact
// tier. keys are those under which it will be read.
func (o *planOptions) draw(suite *corpora.Suite, n int, key *watermark.Key, keys []probe.PlanKey) (probe.PlanSuite, error) {
	under, list, all := o.listed(suite, keys)
	seed := o.seed
	if list != nil && !o.seedGiven {
		seed = list.Seed
	}
	drawn, err := o.suite(suite, seed, n, key)
	if err != nil || list == nil {
		return drawn, err
	}
	if card := suite.Info(); n == 0 || n == all || n == card.Asked() {
		_, err = drawn.Keep(under, list) // what does not fit stays whole, and the plan warns
	}
	return drawn, err
}
