package trial

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/probe"
	"github.com/stillmark/stillmark/probe/endpoint/mock"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
)

// StyleAudits is what a release needs, QuickStyles what CI has time for.
const (
	StyleAudits = 20
	QuickStyles = 1
)

// Sizes of an audit of n-gram rivals by C6: a model is trained for every target.
const (
	stylePrompts     = 40
	styleTokens      = 120 // of a reply
	styleInnocents   = 2
	styleTeachers    = 2 // beside ours
	ngramInnocent    = "n-gram"
	styleSuite       = "style"
	styleSuiteLang   = "en" // the only language that n-gram models speak
	hottest, coldest = 1.1, .7
)

// bystander is a model that never met ours, of a corpus, a size and a temperature that are
// drawn: control, other teacher and innocent rival alike.
func (l *lab) bystander(seed uint64) (mock.Generator, error) {
	rng := rand.New(rand.NewPCG(seed, 2))
	domain := ""
	if domains := corpora.TextDomains(); rng.IntN(2) == 0 {
		domain = domains[rng.IntN(len(domains))]
	}
	m, err := l.train(corpora.GenerateText(rng.Uint64(), domain, baseBytes/(2+rng.IntN(4))))
	if err != nil {
		return nil, err
	}
	m.temperature = coldest + (hottest-coldest)*rng.Float64()
	return m, nil
}

// styled audits n-gram rivals by C6 among n-gram controls, with the calibration's teacher
// as our model: innocents, and students of its unmarked replies. The rates of the latter are
// how much of the usual text they copied.
func (l *lab) styled(ctx context.Context, id stateID, program ledger.Build) (*Scripted, error) {
	seed := derived(id.Seed, streamStyle+id.Number<<8)
	drawn, err := expanded(styleSuite, seed, 0)
	if err != nil {
		return nil, err
	}
	var prompts []corpora.Prompt
	for _, p := range drawn.Prompts {
		if p.Lang == styleSuiteLang && len(prompts) < stylePrompts {
			prompts = append(prompts, p)
		}
	}
	drawn.Prompts, drawn.Ref.N, drawn.ReplyTokens, drawn.Samples = prompts, len(prompts), styleTokens, 1
	in := probe.PlanInput{Name: "style", Suites: []probe.PlanSuite{drawn}, Decoys: -1}
	models := map[string]mock.Generator{"ours": &served{model: l.teacher, enc: l.enc}}
	kinds := map[string]ScriptedResult{}
	add := func(role ledger.Role, name, vendor string) {
		in.Targets = append(in.Targets, ledger.Target{Name: name, Role: role, Vendor: vendor, Model: name})
	}
	add(ledger.Ours, "ours", "Stillwater")
	for i := range styleTeachers + scriptedControls + styleInnocents {
		role, name, vendor := ledger.Control, fmt.Sprintf("control-%02d", i), makers[i%len(makers)]
		switch {
		case i < styleTeachers:
			role, name, vendor = ledger.Teacher, fmt.Sprintf("teacher-%d", i), fmt.Sprintf("Teacher %d", i)
		case i >= styleTeachers+scriptedControls:
			role, name, vendor = ledger.Rival, fmt.Sprintf("innocent-%d", i), "Rowan"
			kinds[name] = ScriptedResult{Kind: ngramInnocent}
		}
		add(role, name, vendor)
		if models[name], err = l.bystander(derived(seed, i)); err != nil {
			return nil, err
		}
	}
	for _, rate := range TransferRates {
		name := fmt.Sprintf("student-%d", rate)
		add(ledger.Rival, name, "Rowan")
		kinds[name] = ScriptedResult{Kind: student, Rate: rate}
		if models[name], err = l.student(nil, 0, markedTokens*rate/100, derived(seed, rate<<8)); err != nil {
			return nil, err
		}
	}
	plan, findings, err := l.carryOut(ctx, id, in, models, program, nil)
	if err != nil {
		return nil, err
	}
	results, err := compared(plan, findings, kinds)
	return &Scripted{id, results}, err
}

// StyleTable sums up the audits of n-gram rivals by C6.
type StyleTable struct {
	Innocents RankRow   `json:"innocents"`
	Students  []RateRow `json:"students"`
}

func (r *CalibrationReport) sumStyle() {
	if len(r.styled) == 0 {
		return
	}
	of := func(kind string, rate int) []ScriptedResult {
		var own []ScriptedResult
		for _, x := range r.styled {
			if x.Kind == kind && x.Rate == rate {
				own = append(own, x)
			}
		}
		return own
	}
	innocents := of(ngramInnocent, 0)
	t := &StyleTable{Innocents: rankRow(family.Stylometry, ngramInnocent, innocents)}
	var off []string
	for _, rate := range TransferRates {
		row := rateRow(family.Stylometry, rate, of(student, rate), innocents)
		if t.Students = append(t.Students, row); row.broken {
			off = append(off, fmt.Sprintf("%d %%: %s", rate, &row.Rate))
		}
	}
	r.Style = t
	r.check(t.Innocents.Log10 >= rateLog10, "C6: n-gram innocents rank no better than chance", "C6: n-gram innocents came first %d times in %d, in the first half %d times", t.Innocents.First, t.Innocents.N, t.Innocents.Half)
	r.check(len(off) == 0, "C6: n-gram students are found as often as planned", "C6: n-gram students are not found as often as the effect seen says: %s", strings.Join(off, "; "))
}

func (t *StyleTable) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "\n| n-gram innocents, C6 | n | first of %d | in the first half | log10 p of so many |\n|---|---|---|---|---|\n", scriptedControls+1)
	x := t.Innocents
	fmt.Fprintf(b, "| other text, size, temperature | %d | %d | %d | %.2f |\n", x.N, x.First, x.Half, x.Log10)
	fmt.Fprintf(b, "\n| n-gram students, C6 | copied | n | found | 95 %% interval | power at the effect seen | mean effect | effect at power .9, as planned |\n|---|---|---|---|---|---|---|---|\n")
	for _, x := range t.Students {
		fmt.Fprintf(b, "| unmarked text | %d %% | %d | %d | %.2f–%.2f | %s | %.4f | %.4f |\n", x.Percent, x.N, x.Found, x.Lo, x.Hi, x.planned(), x.Effect, x.Needed)
	}
}
