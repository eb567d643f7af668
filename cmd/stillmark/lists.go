package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/corpora/canary"
	"github.com/stillmark/stillmark/probe"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// listFlags say how what a commitment lists will be asked.
type listFlags struct {
	runs, counterfactuals int
	seed                  uint64
}

func (o *listFlags) bind(f *pflag.FlagSet) {
	f.IntVar(&o.runs, "runs", 1, "runs in which what is listed will be asked, 1 or 2: of two, each asks half of the items")
	f.IntVar(&o.counterfactuals, "counterfactuals", 0, "E4: list what `probe plan` asks with the same number of counterfactual responses")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the draw of the prompts that are listed")
}

// lists are what is committed to of suites under a key.
func (o *listFlags) lists(key *watermark.Key, suites []*corpora.Suite, rotation *probe.Rotation) ([]watermark.CommittedList, error) {
	var out []watermark.CommittedList
	for _, suite := range suites {
		drawn, err := drawSuite(suite, o.seed, 0, key, o.counterfactuals)
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

// drawSuite draws prompts of a suite: those that a canary key draws or fills under
// that key, triggers with counterfactual responses where some are asked for.
func drawSuite(suite *corpora.Suite, seed uint64, n int, key *watermark.Key, counterfactuals int) (probe.PlanSuite, error) {
	if suite.Use() == "" {
		return probe.ExpandSuite(suite, seed, n)
	}
	drawn, err := probe.ExpandSuiteUnder(suite, seed, n, key)
	if err == nil && counterfactuals > 0 && suite.Use() == canary.UseTrigger {
		err = drawn.Counterfactual(key, counterfactuals)
	}
	return drawn, err
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

// listed finds what the commitments of the given keys list of a suite for this run, and
// under which of them; nil if none does.
func (o *planOptions) listed(suite *corpora.Suite, keys []probe.PlanKey) (*watermark.Key, *watermark.CommittedList) {
	run := 1
	if o.after != "" {
		run = 2
	}
	for i := range keys {
		k := keys[i].Key
		c, err := watermark.ParseCommitment(keys[i].Commitment)
		if err != nil { // there is none, or the plan will refuse it
			continue
		}
		for j := range c.Lists {
			l := &c.Lists[j]
			if name, _, _ := strings.Cut(l.Suite, "@"); name == suite.Name && l.KeyID == k.ID && l.Family == suite.Family && l.Run == run {
				return k, l
			}
		}
	}
	return nil, nil
}

// draw draws a suite for the plan, under the key if it has one. Where all of it is asked, and a
// commitment lists it, what is listed for this run is drawn: nothing else reaches the exact
// tier. keys are those under which it will be read.
func (o *planOptions) draw(suite *corpora.Suite, n int, key *watermark.Key, keys []probe.PlanKey) (probe.PlanSuite, error) {
	under, list := o.listed(suite, keys)
	seed := o.seed
	if list != nil && !o.seedGiven {
		seed = list.Seed
	}
	drawn, err := drawSuite(suite, seed, n, key, o.counterfactuals)
	if err != nil || list == nil {
		return drawn, err
	}
	if card := suite.Info(); n == 0 || n == card.Asked() {
		_, err = drawn.Keep(under, list) // what does not fit stays whole, and the plan warns
	}
	return drawn, err
}
