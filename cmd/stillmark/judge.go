package main

import (
	"github.com/spf13/pflag"

	"github.com/stillmark/stillmark/cmd/stillmark/internal/config"
	"github.com/stillmark/stillmark/probe"
	"github.com/stillmark/stillmark/probe/ledger"
)

const judgeHelp = `Rules read the replies. With --judge a model that is neither tested nor compared with
labels them, too, where labels make sense: how far a reply complies (C4), and whether
it goes along with a question about what does not exist (C1). It is asked after all
replies are in, about one reply at a time, without being told whose it is, and a
twentieth of them twice. A secondary test of each of these families reads its labels;
how far judge and rules agree is in the findings. Its requests count under the caps.`

func (o *planOptions) bindJudge(f *pflag.FlagSet) {
	f.StringVar(&o.judge, "judge", "", "configured target, or PROVIDER/MODEL, that labels replies beside the rules; no other target may be the same model")
	f.IntVar(&o.in.JudgeTokens, "judge-max-tokens", probe.DefaultJudgeTokens, "token limit of the judge's answers, which are one word, and of its reasoning")
}

// resolveJudge looks up the judge that --judge names.
func (o *planOptions) resolveJudge(f *config.File) error {
	if o.judge == "" {
		return nil
	}
	t, err := resolve(f, o.judge)
	if err != nil {
		return err
	}
	t.Role = ledger.JudgeRole
	o.in.Judge = &t
	return nil
}

// everybody lists all that the case will ask.
func (o *planOptions) everybody() []*ledger.Target {
	var all []*ledger.Target
	for i := range o.in.Targets {
		all = append(all, &o.in.Targets[i])
	}
	if o.in.Judge != nil {
		all = append(all, o.in.Judge)
	}
	return all
}
