package probe

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/endpoint"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
)

// DefaultJudgeTokens is the budget of a judge's answer: a label takes three tokens, and
// a model that reasons first some hundreds.
const DefaultJudgeTokens = 512

// JudgeEstimate is about what the labels may cost at most, if every reply comes in: bytes
// stand for tokens that nobody has counted.
type JudgeEstimate struct {
	Target           string  `json:"target"`
	Replies          int64   `json:"replies"`
	Requests         int64   `json:"requests"` // with those for second labels
	PromptTokens     int64   `json:"prompt_tokens"`
	CompletionTokens int64   `json:"completion_tokens"`
	Cost             float64 `json:"cost"`
	Priced           bool    `json:"priced"`
}

// addJudge seals who labels the replies, and how.
func (d *Draft) addJudge(in *PlanInput) error {
	if in.Judge == nil {
		return nil
	}
	t, p := *in.Judge, d.Plan
	t.Role, t.PreviousOf = ledger.JudgeRole, ""
	for i := range p.Targets {
		u := &p.Targets[i]
		switch {
		case t.Name == u.Name || family.SameModel(&t, u):
			return usage("Name another model as the judge", "the judge %s is the same model as %s, the %s: it would judge itself", t.Name, u.Name, u.Role)
		case t.Vendor != "" && strings.EqualFold(t.Vendor, u.Vendor) && u.Role != ledger.Control:
			d.Warnings = append(d.Warnings, fmt.Sprintf("The judge %s is of the same vendor as %s, the %s: models may read their kin kindly.", t.Name, u.Name, u.Role))
		}
	}
	switch {
	case in.StopOnEvidence:
		return usage("Leave one of the two out", "a judge labels what a plan collects once that is complete, and this plan stops on the evidence")
	case unsupported(&t, endpoint.CapChat):
		return usage("Name another model as the judge", "the judge %s does not support chats", t.Name)
	}
	rubrics, err := family.JudgeRubrics()
	if err != nil {
		return err
	}
	var seed [8]byte
	if _, err := io.ReadFull(in.Rand, seed[:]); err != nil {
		return fmt.Errorf("plan: draw the judge's seed: %w", err)
	}
	setDefault(&in.JudgeTokens, DefaultJudgeTokens)
	zero := 0.
	j := &ledger.Judge{
		Target: t, Params: ledger.Params{MaxTokens: in.JudgeTokens, Temperature: &zero}, Rubrics: rubrics,
		Double: family.JudgeDouble, Seed: binary.LittleEndian.Uint64(seed[:]), Clip: family.JudgeClip,
	}
	if unsupported(&t, endpoint.CapTemperatureZero) {
		d.Warnings = append(d.Warnings, fmt.Sprintf("The judge %s does not repeat itself at temperature 0 (%s).", t.Name, t.Capabilities.Support[endpoint.CapTemperatureZero].Detail))
		if strings.HasPrefix(t.Capabilities.Support[endpoint.CapTemperatureZero].Detail, "refused") {
			j.Params.Temperature = nil
		}
	}
	p.Judge = j
	p.Exclusions = append(p.Exclusions, "A judge's answer that is anything else than one of its labels is no label: it is counted, and the reply does not enter the tests that read the labels.")
	return nil
}

// addJudged declares beside a comparative test the same one as read by the judge, where
// the judge can read some of its prompts.
func (d *Draft) addJudged(test ledger.Test) error {
	if d.Plan.Judge == nil {
		return nil
	}
	reads := false
	for i := range d.Plan.Prompts {
		q := &d.Plan.Prompts[i]
		if len(q.Reading) == 0 || !test.Reads(q) {
			continue
		}
		x, err := reading.Parse(q.Reading)
		if err != nil {
			return fmt.Errorf("plan: prompt %s: %w", q.ID, err)
		}
		if reads = family.Judged(test.Family, x); reads {
			break
		}
	}
	if !reads {
		return nil
	}
	var opt family.CompareOptions
	if len(test.Options) > 0 {
		if err := json.Unmarshal(test.Options, &opt); err != nil {
			return fmt.Errorf("plan: test %s: %w", test.ID, err)
		}
	}
	opt.Labels = family.LabelsJudge
	var err error
	if test.Options, err = json.Marshal(opt); err != nil {
		return fmt.Errorf("plan: test %s: %w", test.ID, err)
	}
	test.ID += "/" + family.LabelsJudge
	test.Primary = false
	test.Null += " " + family.NullByJudge
	d.Plan.Tests = append(d.Plan.Tests, test)
	return nil
}

// estimateJudge works out what the labels may cost, and keeps of the rubrics those that
// are used.
func (d *Draft) estimateJudge() error {
	p := d.Plan
	if p.Judge == nil {
		return nil
	}
	jury, err := family.NewJury(p)
	if err != nil {
		return err
	}
	t := &p.Judge.Target
	e := &JudgeEstimate{Target: t.Name, Priced: t.Price != nil}
	for _, it := range jury.Items() {
		e.Requests++
		if it.Label == 1 {
			e.Replies++
		}
		e.PromptTokens += labelTokens(jury, &it)
		e.CompletionTokens += int64(p.Judge.Params.MaxTokens)
	}
	if e.Requests == 0 {
		return usage("Leave the judge out, or add a suite such as refusal-ladder or trap-open", "no test of the plan reads what a judge can label")
	}
	p.Judge.Rubrics = slices.DeleteFunc(p.Judge.Rubrics, func(r ledger.Rubric) bool { return !jury.Uses(r.Name) })
	e.Cost = money(t.Price, e.PromptTokens, e.CompletionTokens)
	d.Estimate.Judge = e
	d.Estimate.Requests += e.Requests
	d.Estimate.PromptTokens += e.PromptTokens
	d.Estimate.CompletionTokens += e.CompletionTokens
	d.Estimate.Cost += e.Cost
	d.Estimate.Priced = d.Estimate.Priced && e.Priced
	return d.currency(t)
}

// labelTokens estimates from above what a judge is sent for a label, in tokens.
func labelTokens(j *family.Jury, it *ledger.Item) int64 {
	return int64(float64(j.LongestPrompt(it))/bytesPerToken) + promptOverhead
}
