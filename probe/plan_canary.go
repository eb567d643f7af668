package probe

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/corpora/canary"
	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark"
)

// ExpandSuiteUnder draws n prompts (0 means all) of a suite that a canary key draws or
// fills (corpora.Suite.Use): triggers, nonces that are sent. What is drawn is no
// secret once it is sent, and stands in the plan, as does which are placebos; responses
// and nonces that are held back stay with the key. The suite's name in the
// plan ends in @ and the key's id, and only tests under that key read it.
func ExpandSuiteUnder(s *corpora.Suite, seed uint64, n int, key *watermark.Key) (PlanSuite, error) {
	secret, err := key.CanarySecret(s.Use())
	if err != nil {
		return PlanSuite{}, fmt.Errorf("expand suite %s: %w", s.Name, err)
	}
	prompts, err := s.ExpandUnder(secret, seed, n)
	if err != nil {
		return PlanSuite{}, fmt.Errorf("expand suite %s under key %s: %w", s.Name, key.ID, err)
	}
	return PlanSuite{
		Ref:     ledger.SuiteRef{Name: s.Name + "@" + key.ID, Version: s.Version, SHA256: s.SHA256(), Seed: seed, N: len(prompts)},
		Family:  s.Family,
		Key:     key.ID,
		Draws:   s.Draws,
		Prompts: prompts,
	}, nil
}

// Counterfactual makes of a suite of triggers one whose planted replies are scored: each
// trigger, in its first wording, is put as a completion that ends in the planted reply,
// once with the drawn response and once with each of b counterfactual ones. Which is
// the drawn one stays with the key.
func (s *PlanSuite) Counterfactual(key *watermark.Key, b int) error {
	if s.Family != family.TriggerCanaries || s.Key != key.ID {
		return fmt.Errorf("suite %s holds no triggers of key %s", s.Ref.Name, key.ID)
	}
	secret, err := key.CanarySecret(canary.UseTrigger)
	if err != nil {
		return fmt.Errorf("suite %s: %w", s.Ref.Name, err)
	}
	var prompts []corpora.Prompt
	seen := map[string]bool{}
	for _, p := range s.Prompts {
		if seen[p.Item()] {
			continue
		}
		seen[p.Item()] = true
		for i, c := range canary.Candidates(secret, p.Item(), b) {
			q := p
			q.ID = fmt.Sprintf("%s-%03d", p.ID, i)
			q.System = ""
			q.Text += "\n\n" + strings.Replace(p.Reading.Reply, reading.ResponseSlot, c, 1)
			prompts = append(prompts, q)
		}
	}
	zero, one, no, yes := 0., 1, false, true
	s.Prompts, s.Ref.N, s.Counterfactuals = prompts, len(prompts), b
	s.Kind, s.Samples = ledger.KindCompletion, 1
	s.Params = &ledger.PromptParams{MaxTokens: 1, Temperature: &zero, Logprobs: &one, Echo: &yes, Stream: &no}
	return nil
}

// readFor lists the suites that a family's test under a key reads; the key is "" for
// families without one. None of them is about another key.
func readFor(suites []*PlanSuite, key string) []*PlanSuite {
	var out []*PlanSuite
	for _, s := range suites {
		if s.Key == "" || s.Key == key {
			out = append(out, s)
		}
	}
	return out
}

// names are those of suites; none where they are all of the plan.
func (in *PlanInput) names(suites []*PlanSuite) []string {
	if len(suites) == len(in.Suites) {
		return nil
	}
	var out []string
	for _, s := range suites {
		out = append(out, s.Ref.Name)
	}
	return out
}

// Rotation says when our service serves which arm; the order is the canary key's secret.
type Rotation struct {
	// Arms are the ids of the watermark keys that the schedule chooses among, in the
	// order in which they were named when it was planted.
	Arms  []string
	Start time.Time     // of slot 1
	Slot  time.Duration // length of each, whole seconds
	// Lags are by how many slots replies are compared with what was served earlier,
	// a test each; none means 0 alone, which is forwarding's.
	Lags []int
}

// times are when a prompt of a slot, counted from 1, may be put.
func (r *Rotation) times(slot int) (from, to time.Time) {
	o := family.E6Options{Start: r.Start.UTC(), Seconds: int64(r.Slot / time.Second)}
	return o.Times(slot)
}

// rotationOptions are the options of the tests of E6, whose arms are keys of the plan.
func (in *PlanInput) rotationOptions(suites []*PlanSuite) ([]family.E6Options, error) {
	options, err := in.Rotation.options(suites)
	if err != nil {
		return nil, err
	}
	for _, id := range in.Rotation.Arms {
		fits := func(k PlanKey) bool { return k.Key.ID == id && family.MarkKey.Fits(k.Key.Scheme) }
		if !slices.ContainsFunc(in.Keys, fits) {
			return nil, usage("Name its file with --key", "arm %s is no watermark key of the plan", id)
		}
	}
	return options, nil
}

// options are those of the tests of E6, one for each lag.
func (r *Rotation) options(suites []*PlanSuite) ([]family.E6Options, error) {
	switch {
	case r == nil || len(r.Arms) < 2 || r.Start.IsZero():
		return nil, usage("Say when the rotation starts and name its arms, two or more watermark keys", "family %s follows a rotation, and none is given", family.RotationLag)
	case r.Slot < time.Second || r.Slot%time.Second != 0:
		return nil, usage("Give whole seconds", "a slot of %s is not possible", r.Slot)
	}
	o := family.E6Options{Arms: r.Arms, Start: r.Start.UTC(), Seconds: int64(r.Slot / time.Second)}
	for _, s := range suites {
		o.Slots = max(o.Slots, s.Slots)
	}
	lags := r.Lags
	if len(lags) == 0 {
		lags = []int{0}
	}
	var out []family.E6Options
	for _, lag := range lags {
		if lag < 0 || lag >= o.Slots {
			return nil, usage("Give a smaller one", "a lag of %d slots is none of %d", lag, o.Slots)
		}
		o.Lag = lag
		out = append(out, o)
	}
	return out, nil
}

// familyOptions are what the plan lays down of a test beside key and target.
func (in *PlanInput) familyOptions(fam *family.Family, suites []*PlanSuite) (json.RawMessage, error) {
	var options any
	switch fam.ID {
	case family.TriggerCanaries:
		o := family.E4Options{Candidates: family.DefaultCandidates}
		for _, s := range suites {
			if s.Counterfactuals > 0 {
				o = family.E4Options{Counterfactuals: s.Counterfactuals}
			}
		}
		for _, s := range suites {
			if s.Counterfactuals != o.Counterfactuals {
				return nil, usage("Plan them apart", "suite %s reads replies, or compares with another number of counterfactuals than the others of its family", s.Ref.Name)
			}
		}
		options = o
	case family.RotationLag:
		all, err := in.rotationOptions(suites)
		if err != nil {
			return nil, err
		}
		options = all[0]
	case family.NonceForwarding:
		o := family.E5Options{}
		for _, s := range suites {
			o.Nonces = max(o.Nonces, s.Draws)
		}
		options = o
	default:
		if fam.Tier != ledger.Comparative {
			return nil, nil
		}
		o := family.CompareOptions{}
		for _, t := range in.Targets {
			if t.Role == ledger.Student {
				o.Students = append(o.Students, t.Name)
			}
		}
		if fam.ID == family.Identity {
			o.Names = in.Names
		}
		if len(o.Students)+len(o.Names) == 0 {
			return nil, nil
		}
		options = o
	}
	raw, err := json.Marshal(options)
	if err != nil {
		return nil, fmt.Errorf("plan: options of %s: %w", fam.ID, err)
	}
	return raw, nil
}

// addLags declares the tests of a rotation at further lags beside the first.
func (d *Draft) addLags(in *PlanInput, test ledger.Test, suites []*PlanSuite) error {
	all, err := in.rotationOptions(suites)
	if err != nil {
		return err
	}
	id, null := test.ID, test.Null
	for _, o := range all[1:] {
		test.ID = fmt.Sprintf("%s/lag-%d", id, o.Lag)
		test.Null = fmt.Sprintf("%s Compared is what was served %d slots before.", null, o.Lag)
		if test.Options, err = json.Marshal(o); err != nil {
			return fmt.Errorf("plan: options of %s: %w", test.ID, err)
		}
		d.Plan.Tests = append(d.Plan.Tests, test)
	}
	return nil
}

// soloTarget is the one target that is asked the i-th prompt of a suite whose family
// asks rivals alone: they take turns. Nobody is asked where all rivals' replies were
// gathered beforehand.
func soloTarget(targets []ledger.Target, i int) []string {
	var rivals []string
	for j := range targets {
		if targets[j].Role == ledger.Rival && targets[j].Live() {
			rivals = append(rivals, targets[j].Name)
		}
	}
	if len(rivals) == 0 {
		return nil
	}
	return rivals[i%len(rivals) : i%len(rivals)+1]
}
