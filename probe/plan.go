package probe

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/probe/timestamp"
	"github.com/stillmark/stillmark/watermark"
	"github.com/stillmark/stillmark/watermark/evidence"
	"github.com/stillmark/stillmark/watermark/registry"
	"github.com/stillmark/stillmark/watermark/served"
)

// Defaults of a plan.
const (
	// DefaultAlpha is the family-wise level at the exact tier. A plan may be
	// stricter; it may not be laxer.
	DefaultAlpha = 1e-6
	// DefaultDecoys resolves a rank to 1/1000 and the spread of the null to 9 %
	// (four standard errors).
	DefaultDecoys = 999
	// DefaultDistinct is the assumed share of a run's positions that are
	// distinct scored units. Long-form English under windows of two tokens has
	// .5 to .8, falling with the size of the run; the low side is assumed, so
	// that the promised effect errs on the modest side.
	DefaultDistinct = .5
	// defaultFill is the assumed length of a reply as a share of max_tokens.
	defaultFill = .75
)

// PlanSuite is a suite with the prompts that were drawn from it.
type PlanSuite struct {
	Ref     ledger.SuiteRef
	Family  string   // whose tests read it; empty: E1
	Also    []string // further families that read it
	Key     string   // id of the key that drew or filled it; empty: tests under any key read it
	Draws   int      // how many items that key draws, of which Prompts may be a part
	Slots   int      // of a schedule, over which the prompts are spread
	Prompts []corpora.Prompt
	// Samples and ReplyTokens are what the suite's family needs: replies to each
	// prompt, and how long one may be. 0 leaves them to the plan.
	Samples, ReplyTokens int
	// Kind and Params are how all its prompts are put: as the plan's where they do not
	// say. Counterfactuals is how many responses beside the planted one are put to
	// every trigger; see [PlanSuite.Counterfactual].
	Kind            string
	Params          *ledger.PromptParams
	Counterfactuals int
}

// ExpandSuite draws n prompts (0 means all) of a suite.
func ExpandSuite(s *corpora.Suite, seed uint64, n int) (PlanSuite, error) {
	prompts, err := s.Expand(seed, n)
	if err != nil {
		return PlanSuite{}, fmt.Errorf("expand suite %s: %w", s.Name, err)
	}
	return PlanSuite{
		Ref:     ledger.SuiteRef{Name: s.Name, Version: s.Version, SHA256: s.SHA256(), Seed: seed, N: len(prompts)},
		Family:  s.Family,
		Slots:   s.Slots,
		Prompts: prompts,
	}, nil
}

// PlanKey is a key with what proves that it was there before.
type PlanKey struct {
	Key         *watermark.Key
	Commitment  []byte    // the commitment file, nil if there is none
	Stamp       []byte    // RFC 3161 token over that file, nil if there is none
	ServingFrom time.Time // when the first token was served under it; zero if unknown
	// Custody is the log of the registry that the key is of, nil if there is none: it shows
	// that the key of a cohort served that cohort alone.
	Custody []byte
	// Served is a file of served windows (package served). It adds a
	// secondary test per target, which only scores windows that were served.
	Served  []byte
	windows served.Windows // what it holds
}

// PlanInput is what a plan is made of. Zero members mean the defaults that are
// named here; Targets, Suites, Keys, Params.MaxTokens, Now and Rand are needed.
type PlanInput struct {
	Name      string // of the case; the first rival's name if empty
	Demo      bool
	Authority string
	Purpose   string
	// TermsReviewedBy says who read the providers' terms of use, and when.
	TermsReviewedBy string
	Targets         []ledger.Target
	// Controls are sealed cases whose control targets are taken over with their
	// replies. A plan of controls alone, without rival, keys and tests, makes such a
	// case.
	Controls []ControlCase
	// After is the sealed case of the first run that this plan repeats, at least a
	// week before: what that scored is not scored again.
	After  *ControlCase
	Suites []PlanSuite
	// Set names the set that the suites are of, if they are of one. Of a Rehearsal no
	// finding has a verdict.
	Set       string
	Rehearsal bool
	Samples   int // 1
	Params    ledger.Params
	Keys      []PlanKey
	// Scored says which keys are tested on which targets; nil means all on all.
	Scored func(keyID, target string) bool
	// Reasoning declares a test of the separate reasoning text beside every test of
	// E1: a hypothesis of its own, which costs a share of the level.
	Reasoning bool
	// Names are further names of our own model and its maker, beside those that the target
	// of role ours bears: claims to be it count for C3.
	Names []string
	// Judge is a model that labels replies beside the rules, blind to whose they are; nil:
	// none does. JudgeTokens is the budget of its answers (DefaultJudgeTokens).
	Judge       *ledger.Target
	JudgeTokens int
	// Rotation is what suites of E6 are asked along; nil where there is none.
	Rotation *Rotation
	// Mode is fixed-n (default) or e-process. StopOnEvidence needs the latter.
	Mode           string
	StopOnEvidence bool
	CheckEvery     int
	Alpha          float64 // DefaultAlpha
	Decoys         int     // DefaultDecoys; also NoDecoys and AutoDecoys
	Caps           ledger.Caps
	// Put may say how a prompt is put: kind, samples, parameters of its own.
	Put func(*ledger.Prompt)
	// Sentinels is how many rounds of sentinels are put to every target: none by
	// default, as many as fit the plan if negative.
	Sentinels int
	// TokensPerReply and Distinct are assumptions of the power: tokens of the
	// marked model's tokenizer per reply (3/4 of max_tokens), and the share of
	// them that are distinct scored units (DefaultDistinct).
	TokensPerReply float64
	Distinct       float64
	Program        ledger.Build
	Now            time.Time
	Rand           io.Reader // crypto/rand.Reader outside tests and demonstrations
}

// Draft is a plan that has not been sealed.
type Draft struct {
	Plan     *ledger.Plan
	Files    []ledger.File // of the case: commitments, tokens, decoy seed, filters
	Estimate Estimate
	Warnings []string // why a result could not be what it might have been

	controls []ControlCase // to be copied into the case
	after    *ControlCase  // the same
}

// Estimate is what carrying out the plan may cost at most, retries apart.
type Estimate struct {
	Requests         int64            `json:"requests"`
	PromptTokens     int64            `json:"prompt_tokens"`
	CompletionTokens int64            `json:"completion_tokens"` // if every reply uses its whole budget
	Cost             float64          `json:"cost"`
	Currency         string           `json:"currency"`
	Priced           bool             `json:"priced"` // every target has a price
	Targets          []TargetEstimate `json:"targets"`
	// Judge is the share of the judge, which the sums above hold; nil where there is none.
	Judge *JudgeEstimate `json:"judge,omitempty"`
	// Families are the shares of the families: of a prompt that several read, each has
	// the whole. Sentinels are in none.
	Families    []FamilyEstimate `json:"families"`
	Assumptions []string         `json:"assumptions"` // of cost and power, in sentences
}

// TargetEstimate is one target's share.
type TargetEstimate struct {
	Target           string  `json:"target"`
	Requests         int64   `json:"requests"`
	PromptTokens     int64   `json:"prompt_tokens"`
	CompletionTokens int64   `json:"completion_tokens"`
	Cost             float64 `json:"cost"`
	Priced           bool    `json:"priced"`
}

// FamilyEstimate is what is asked for one family, of all targets.
type FamilyEstimate struct {
	Family           string  `json:"family"`
	Prompts          int     `json:"prompts"`
	Requests         int64   `json:"requests"`
	PromptTokens     int64   `json:"prompt_tokens"`
	CompletionTokens int64   `json:"completion_tokens"`
	Cost             float64 `json:"cost"` // of the targets that have a price
}

// NewPlan decides everything that has to be decided before the first request.
// Its errors are [*Error] with code 2: nothing was sent.
func NewPlan(in PlanInput) (*Draft, error) {
	if err := in.complete(); err != nil {
		return nil, err
	}
	timing, err := in.resolveDecoys()
	if err != nil {
		return nil, err
	}
	p := &ledger.Plan{
		Format: ledger.PlanPlain, Created: in.Now.UTC(), Demo: in.Demo, Authority: in.Authority, Purpose: in.Purpose, TermsReviewedBy: in.TermsReviewedBy,
		Targets: in.Targets, Samples: in.Samples, Params: in.Params, Alpha: in.Alpha, Caps: in.Caps,
		Stop: ledger.StopRule{OnEvidence: in.StopOnEvidence, CheckEvery: in.CheckEvery}, Wording: family.WordingVersion,
		Rules: ledger.RulesListed, Program: in.Program, Exclusions: exclusions(), Suites: []ledger.SuiteRef{}, Prompts: []ledger.Prompt{},
		Set: in.Set, Rehearsal: in.Rehearsal,
	}
	d := &Draft{Plan: p}
	if err := d.adopt(&in); err != nil {
		return nil, err
	}
	if err := d.draw(&in); err != nil {
		return nil, err
	}
	for _, s := range in.Suites {
		p.Suites = append(p.Suites, s.Ref)
		fam, _ := family.ByID(s.Family)
		for i, q := range s.Prompts {
			sealed, err := s.prompt(&q)
			if err != nil {
				return nil, fmt.Errorf("plan: %w", err)
			}
			if s.Samples != in.Samples {
				sealed.Samples = s.Samples
			}
			sealed.Params = s.Params
			if s.Params == nil && s.ReplyTokens > 0 && s.ReplyTokens != in.Params.MaxTokens {
				sealed.Params = &ledger.PromptParams{MaxTokens: s.ReplyTokens}
			}
			if fam.Solo {
				sealed.Targets = soloTarget(in.Targets, i)
			}
			if r := in.Rotation; r != nil && q.Reading != nil && q.Reading.Slot > 0 {
				sealed.NotBefore, sealed.NotAfter = r.times(q.Reading.Slot)
			}
			if in.Put != nil {
				in.Put(&sealed)
			}
			p.Prompts = append(p.Prompts, sealed)
		}
	}
	if err := d.addSentinels(in.Sentinels); err != nil {
		return nil, err
	}
	if err := d.addJudge(&in); err != nil {
		return nil, err
	}
	laws := map[string]evidence.Law{}
	for i := range in.Keys {
		if err := d.addKey(&in.Keys[i], laws); err != nil {
			return nil, err
		}
	}
	if in.hasRival() {
		if err := d.addTests(&in); err != nil {
			return nil, err
		}
	} else {
		d.Warnings = append(d.Warnings, "The plan has no rival: it collects controls, to be sealed and reused (--controls), and tests nothing.")
	}
	if err := d.checkAbilities(); err != nil {
		return nil, err
	}
	if err := d.checkControls(); err != nil {
		return nil, err
	}
	if err := d.follow(in.After); err != nil {
		return nil, err
	}
	if err := d.checkLists(&in); err != nil {
		return nil, err
	}
	if err := p.AddSalts(in.Rand); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	if err := p.Validate(); err != nil {
		return nil, &Error{Code: CodeUsage, Happened: err.Error(), Do: "Change the plan's configuration", Err: err}
	}
	if err := d.estimate(&in, laws); err != nil {
		return nil, err
	}
	if timing != "" {
		d.Estimate.Assumptions = append(d.Estimate.Assumptions, timing)
	}
	return d, nil
}

// complete fills in the defaults and refuses what cannot be meant.
func (in *PlanInput) complete() error {
	setDefault(&in.Samples, 1)
	setDefault(&in.Mode, ledger.ModeFixedN)
	setDefault(&in.Alpha, DefaultAlpha)
	setDefault(&in.Decoys, DefaultDecoys)
	if !in.hasRival() {
		in.Decoys = NoDecoys
		setDefault(&in.Name, "controls")
	}
	setDefault(&in.TokensPerReply, defaultFill*float64(in.Params.MaxTokens))
	setDefault(&in.Distinct, DefaultDistinct)
	rivals := 0
	for i := range in.Targets {
		t := &in.Targets[i]
		if t.Role == ledger.Rival {
			if setDefault(&in.Name, t.Name); rivals == 0 {
				rivals++
			}
		}
	}
	switch {
	case in.Rand == nil || in.Now.IsZero():
		return errors.New("probe: a plan needs a clock and a source of randomness") // a programmer's error
	case rivals == 0 && (len(in.Targets) == 0 || len(in.Keys) > 0 || len(in.Controls) > 0):
		return usage("Give at least one target the role rival", "the plan has no rival")
	case in.Params.MaxTokens < 1:
		return usage("Set max_tokens, 400 for example", "max_tokens is %d: the length of a reply must be bounded", in.Params.MaxTokens)
	case !(in.Alpha > 0) || in.Alpha > DefaultAlpha:
		return usage("Leave it out, or ask for less", "alpha is %g, which is laxer than the %g of exact evidence", in.Alpha, DefaultAlpha)
	case in.Decoys < ledger.MinDecoys && in.Decoys != NoDecoys && in.Decoys != AutoDecoys:
		return usage("Use 999, or none", "%d decoys say too little: the gate needs at least %d", in.Decoys, ledger.MinDecoys)
	case in.Mode != ledger.ModeFixedN && in.Mode != ledger.ModeAnytime:
		return usage("Use fixed-n or e-process", "mode %q is not known", in.Mode)
	case in.StopOnEvidence && in.Mode != ledger.ModeAnytime:
		return usage("Use mode e-process", "a fixed-n test cannot stop on the evidence: its p-value holds for a number of replies that was fixed beforehand")
	case !(in.TokensPerReply > 0) || !(in.Distinct > 0 && in.Distinct <= 1):
		return usage("Leave the assumptions out, or give positive ones", "assuming %g tokens per reply, of which a share of %g is distinct, is not possible", in.TokensPerReply, in.Distinct)
	}
	return nil
}

func (in *PlanInput) hasRival() bool {
	return slices.ContainsFunc(in.Targets, func(t ledger.Target) bool { return t.Role == ledger.Rival })
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// draw takes what is random: the case's id, the order of the items, the decoys.
func (d *Draft) draw(in *PlanInput) error {
	id, err := ledger.NewCaseID(in.Name, in.Now, in.Rand)
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	var order [8]byte
	var seed [32]byte
	for _, b := range [][]byte{order[:], seed[:]} {
		if _, err := io.ReadFull(in.Rand, b); err != nil {
			return fmt.Errorf("plan: draw the seeds: %w", err)
		}
	}
	d.Plan.CaseID, d.Plan.OrderSeed = id, binary.LittleEndian.Uint64(order[:])
	if in.Decoys == NoDecoys && !in.hasRival() {
		return nil
	}
	if in.Decoys == NoDecoys {
		d.Warnings = append(d.Warnings, "Without decoy keys the validity of the results is not checked, and the claim rule cannot be met.")
		return nil
	}
	return d.addDecoys(in.Decoys, seed)
}

// add puts a file into the case, once.
func (d *Draft) add(name string, data []byte) {
	for _, f := range d.Files {
		if f.Name == name {
			return
		}
	}
	d.Files = append(d.Files, ledger.File{Name: name, Data: data})
}

// addKey enters a key with its commitment, and says now what the analysis would
// say later about the tier.
func (d *Draft) addKey(k *PlanKey, laws map[string]evidence.Law) error {
	if k.Key.Scheme == watermark.Canary {
		if k.Served != nil {
			return usage("Leave it out", "key %s is a canary key: it has no served windows", k.Key.ID)
		}
		return d.addKeyRef(k)
	}
	mark, err := k.Key.Mark()
	if err != nil {
		return usage("Make the key file anew, or give another", "key %s cannot be used: %s", k.Key.ID, err)
	}
	laws[k.Key.ID] = mark.Law()
	if k.Served != nil {
		windows, err := served.Read(k.Served)
		if err == nil && windows.Window() != mark.Window() {
			err = fmt.Errorf("they are of %d tokens, the key's of %d", windows.Window(), mark.Window())
		}
		if err != nil {
			return usage("Write the file of served windows anew", "the served windows of key %s: %s", k.Key.ID, err)
		}
		k.windows = windows
		d.add(family.WindowsName(k.Served), k.Served)
	}
	return d.addKeyRef(k)
}

// addKeyRef enters what a plan says of a key, and its commitment.
func (d *Draft) addKeyRef(k *PlanKey) error {
	spec, err := json.Marshal(k.Key.Spec)
	if err != nil {
		return fmt.Errorf("plan: key %s: %w", k.Key.ID, err)
	}
	ref := ledger.KeyRef{ID: k.Key.ID, Spec: spec, ServingFrom: k.ServingFrom.UTC()}
	if k.Commitment != nil {
		if err := checkCommitmentFile(k); err != nil {
			return err
		}
		// Keys under one root share the file, which is named by its content.
		sum := sha256.Sum256(k.Commitment)
		ref.Commitment = hex.EncodeToString(sum[:8]) + ".json"
		d.add(family.CommitmentsDir+"/"+ref.Commitment, k.Commitment)
		if k.Stamp != nil {
			ref.Stamp = hex.EncodeToString(sum[:8]) + ".tsr"
			d.add(family.CommitmentsDir+"/"+ref.Stamp, k.Stamp)
		}
	}
	if k.Custody != nil {
		if _, ok, err := registry.ReadCustody(bytes.NewReader(k.Custody), k.Key.ID); err != nil || !ok {
			return usage("Give the registry.log of the registry that holds the key", "the custody log of key %s does not say anything of it: %v", k.Key.ID, cmp.Or(err, errors.New("it names other keys")))
		}
		sum := sha256.Sum256(k.Custody)
		ref.CustodySHA256 = hex.EncodeToString(sum[:])
		ref.Custody = ref.CustodySHA256[:16] + ".log"
		d.add(family.CommitmentsDir+"/"+ref.Custody, k.Custody)
	}
	if why := exploratory(k, d.Plan.Created); why != "" {
		d.Warnings = append(d.Warnings, fmt.Sprintf("Results under key %s will be exploratory: %s.", k.Key.ID, why))
	}
	d.Plan.Keys = append(d.Plan.Keys, ref)
	return nil
}

func checkCommitmentFile(k *PlanKey) error {
	c, err := watermark.ParseCommitment(k.Commitment)
	if err == nil {
		err = c.Check(k.Key)
	}
	if err != nil {
		return usage("Give the commitment that was made of this key, or none", "the commitment of key %s does not fit: %s", k.Key.ID, err)
	}
	if k.Stamp == nil {
		return nil
	}
	if _, err := timestamp.Verify(k.Stamp, sha256.Sum256(k.Commitment), nil); err != nil {
		return usage("Give the token of this very commitment file, or none", "the timestamp of key %s does not fit its commitment: %s", k.Key.ID, err)
	}
	return nil
}

// exploratory says why a key cannot give exact evidence, or "".
func exploratory(k *PlanKey, now time.Time) string {
	serving := k.ServingFrom
	if s := k.Key.ServingFrom; serving.IsZero() || !s.IsZero() && s.Before(serving) {
		serving = s
	}
	switch {
	case k.Commitment == nil:
		return "it was not committed before serving"
	case k.Stamp == nil:
		return "its commitment has no third-party timestamp"
	case serving.IsZero():
		return "it is not said when serving under it began"
	case serving.After(now):
		return "serving under it is to begin only after the plan was made, so nothing can have been learned from it"
	}
	stamp, err := timestamp.Verify(k.Stamp, sha256.Sum256(k.Commitment), nil)
	switch {
	case err != nil:
		return "its timestamp does not fit"
	case !stamp.Latest().Before(serving):
		return "its commitment was timestamped after serving began, or too close to it for the timestamp's accuracy"
	case stamp.Time.After(now):
		return "its timestamp lies in the future"
	}
	return ""
}

// addTests declares the hypotheses, family by family: every key of a family's kind
// on every target that it is scored on, controls included; a family without a key
// on every rival, since the controls are what it compares with.
func (d *Draft) addTests(in *PlanInput) error {
	of := map[string][]*PlanSuite{} // by family
	for i := range in.Suites {
		s := &in.Suites[i]
		id := s.Family
		if id == "" {
			id = family.Radioactivity
		}
		for _, id := range append([]string{id}, s.Also...) {
			of[id] = append(of[id], s)
		}
	}
	for _, fam := range family.Families() {
		suites := of[fam.ID]
		delete(of, fam.ID)
		if len(suites) == 0 {
			continue
		}
		if err := d.addFamily(in, &fam, suites); err != nil {
			return err
		}
	}
	for id, suites := range of {
		return usage("Leave it out, or use a program that knows the family", "suite %s belongs to family %q, which this program has no test for", suites[0].Ref.Name, id)
	}
	for i := range d.Plan.Tests {
		if !d.Plan.Tests[i].Primary {
			continue // what limits it limits the primary one, too
		}
		limits, err := family.Foresee(d.Plan, &d.Plan.Tests[i])
		if err != nil {
			return usage("Change the test's options", "%s", err)
		}
		d.Warnings = append(d.Warnings, limits...)
	}
	if len(d.Plan.Tests) == 0 && len(in.Suites) > 0 {
		return usage("Name the suites and keys of at least one family", "the plan declares no test")
	}
	return nil
}

// addFamily declares the tests of one family.
func (d *Draft) addFamily(in *PlanInput, fam *family.Family, suites []*PlanSuite) error {
	if fam.Key == family.NoKey {
		for i := range d.Plan.Targets {
			if t := &d.Plan.Targets[i]; t.Role == ledger.Rival {
				if err := d.addTest(in, fam, nil, t, readFor(suites, "")); err != nil {
					return err
				}
			}
		}
		return nil
	}
	fits := 0
	for i := range in.Keys {
		k := &in.Keys[i]
		read := readFor(suites, k.Key.ID)
		if !fam.Key.Fits(k.Key.Scheme) || len(read) == 0 {
			continue
		}
		fits++
		for j := range d.Plan.Targets {
			t := &d.Plan.Targets[j]
			if t.Role != ledger.Rival && (t.Role != ledger.Control || fam.Solo) || fam.Solo && !t.Live() || in.Scored != nil && !in.Scored(k.Key.ID, t.Name) {
				continue
			}
			if err := d.addTest(in, fam, k, t, read); err != nil {
				return err
			}
		}
	}
	if fits == 0 {
		return usage("Name a key file with --key", "there is no key for family %s, which needs a %s key", fam.ID, fam.Key)
	}
	return nil
}

// addTest declares one test, and a secondary one where served windows are given.
func (d *Draft) addTest(in *PlanInput, fam *family.Family, k *PlanKey, t *ledger.Target, suites []*PlanSuite) error {
	for _, need := range fam.Needs {
		if unsupported(t, need) {
			return usage("Leave the family's suites out, or the target", "family %s needs %s, which target %s does not have", fam.ID, need, t.Name)
		}
	}
	test := ledger.Test{ID: fam.ID + "/" + t.Name, Family: fam.ID, Target: t.Name, Mode: in.Mode, Primary: true, Suites: in.names(suites)}
	var err error
	if test.Options, err = in.familyOptions(fam, suites); err != nil {
		return err
	}
	if k != nil {
		test.ID, test.Key = strings.Join([]string{fam.ID, k.Key.ID, t.Name}, "/"), k.Key.ID
	}
	if !fam.Anytime {
		test.Mode = ledger.ModeFixedN
	}
	if fam.Key == family.MarkKey {
		// What is declared for an e-process are first occurrences, unweighted:
		// counts are not known before the run ends.
		test.Weights = watermark.WeightsNone
		if in.Mode == ledger.ModeFixedN && fam.ID == family.Radioactivity {
			test.Weights, _ = watermark.ResolveWeights(watermark.WeightsAuto, k.Key.Scheme) // auto always resolves
		}
	}
	null, alternative := fam.Propositions(t.Name, test.Key)
	test.Null = null
	d.Plan.Tests = append(d.Plan.Tests, test)
	if t.Role == ledger.Rival {
		d.Plan.Propositions = append(d.Plan.Propositions, "H0: "+null, "H1: "+alternative)
	}
	if fam.Tier == ledger.Comparative {
		if err := d.addJudged(test); err != nil {
			return err
		}
	}
	if fam.ID == family.RotationLag {
		if err := d.addLags(in, test, suites); err != nil {
			return err
		}
	}
	if fam.ID == family.Radioactivity && in.Reasoning {
		reasoning := test
		reasoning.ID += "/reasoning"
		reasoning.Null = strings.Replace(test.Null, "The replies", "The reasoning texts", 1)
		if reasoning.Options, err = json.Marshal(family.E1Options{Part: family.PartReasoning}); err != nil {
			return fmt.Errorf("plan: %w", err)
		}
		d.Plan.Tests = append(d.Plan.Tests, reasoning)
		if t.Role == ledger.Rival {
			d.Plan.Propositions = append(d.Plan.Propositions, "H0: "+reasoning.Null, "H1: "+strings.Replace(alternative, "The replies", "The reasoning texts", 1))
		}
	}
	if k != nil && k.Served != nil && fam.ID == family.Radioactivity {
		test.ID += "/served"
		test.Primary, test.Filter = false, family.WindowsName(k.Served)
		test.Null += " Only windows that were served are scored."
		if p := served.FalsePositives(k.windows); p > 0 {
			test.Null += fmt.Sprintf(" One in %.0f of those that were not served passes for served.", 1/p)
		}
		d.Plan.Tests = append(d.Plan.Tests, test)
	}
	return nil
}

func exclusions() []string {
	return []string{
		"Only replies of class ok enter; the others are counted by class.",
		"A position whose window occurs in its prompt or system text is dropped.",
		"A unit (window, token) counts once in the whole run; with weights min8 it counts as often as it occurs, at most 8 times.",
		"A position with fewer predecessors than the window is long, or with a token outside the key's vocabulary, is dropped.",
		"Separate reasoning text is scored only by a test that says so.",
	}
}

// estimate works out cost and power.
func (d *Draft) estimate(in *PlanInput, laws map[string]evidence.Law) error {
	p := d.Plan
	e := &d.Estimate
	e.Priced = true
	for i := range p.Targets {
		t := &p.Targets[i]
		row := TargetEstimate{Target: t.Name, Priced: t.Price != nil}
		for j := range p.Prompts {
			if q := &p.Prompts[j]; q.Asks(t.Name) {
				n := int64(p.SamplesOf(q))
				row.Requests += n
				row.PromptTokens += n * promptTokens(q)
				row.CompletionTokens += n * int64(p.ParamsOf(q).MaxTokens)
			}
		}
		if !t.Live() { // nothing is sent to it
			e.Targets = append(e.Targets, TargetEstimate{Target: t.Name, Priced: true})
			continue
		}
		row.Cost = money(t.Price, row.PromptTokens, row.CompletionTokens)
		e.Targets = append(e.Targets, row)
		e.Requests += row.Requests
		e.PromptTokens += row.PromptTokens
		e.CompletionTokens += row.CompletionTokens
		e.Cost += row.Cost
		e.Priced = e.Priced && row.Priced
		if err := d.currency(t); err != nil {
			return err
		}
		if unsupported(t, "max_tokens") {
			d.Warnings = append(d.Warnings, fmt.Sprintf("%s ignores max_tokens: its replies may cost more than estimated.", t.Name))
		}
	}
	if err := d.estimateJudge(); err != nil {
		return err
	}
	e.Families = familyShares(p)
	p.Power = []ledger.PowerRow{}
	type search struct {
		key    string
		charge float64
		units  int64
	}
	known := map[search]ledger.PowerRow{} // one search per law and level, not per target
	for _, t := range p.Tests {
		if !t.Primary {
			continue
		}
		level := family.Log10Level(p, &t)
		if t.Family == family.ReadingMode {
			row := family.PlannedReading(laws[t.Key], d.readBy(&t), t.Mode, level-d.charge(in, &t))
			row.Test = t.ID
			p.Power = append(p.Power, row)
			continue
		}
		if t.Family != family.Radioactivity {
			at := search{t.Family + string(t.Options) + strings.Join(t.Suites, "/"), d.charge(in, &t), d.readBy(&t)}
			row, ok := known[at]
			if !ok || t.Family != family.RotationLag { // which tries what it promises
				var err error
				if row, err = family.PlannedPower(p, &t, level-at.charge); err != nil {
					return err
				}
				known[at] = row
			}
			row.Test = t.ID
			p.Power = append(p.Power, row)
			continue
		}
		at := search{t.Key, d.charge(in, &t), int64(math.Round(float64(d.readBy(&t)) * in.TokensPerReply * in.Distinct))}
		row, ok := known[at]
		if !ok {
			row = family.PlannedUnits(laws[t.Key], at.units, t.Mode, level-at.charge)
			known[at] = row
		}
		row.Test = t.ID
		p.Power = append(p.Power, row)
	}
	if e.Requests > 0 {
		e.Assumptions = append(e.Assumptions,
			fmt.Sprintf("A prompt is taken to have a token per %.1f bytes and %d more for the chat's frame.", bytesPerToken, promptOverhead),
			fmt.Sprintf("The cost supposes that every reply uses its whole budget of tokens (%d where its suite says no other), and no retries.", p.Params.MaxTokens),
		)
	}
	of := func(id string) bool {
		return slices.ContainsFunc(p.Tests, func(t ledger.Test) bool { return t.Family == id })
	}
	if of(family.ReadingMode) {
		e.Assumptions = append(e.Assumptions, fmt.Sprintf("The power of reading mode supposes that %.0f %% of its positions are distinct scored units.", 100*family.DefaultFresh))
	}
	for i := range p.Tests {
		if t := &p.Tests[i]; t.Family == family.RotationLag {
			said, err := forwardingPower(p, t, family.Log10Level(p, t)-d.charge(in, t))
			if err != nil {
				return err
			}
			e.Assumptions = append(e.Assumptions, said)
			break
		}
	}
	if of(family.Radioactivity) {
		e.Assumptions = append(e.Assumptions,
			fmt.Sprintf("The power supposes replies of %.0f tokens, %.0f %% of which are distinct scored units, each counted once and independent of the others.", in.TokensPerReply, 100*in.Distinct),
		)
	}
	if _, limit := exceeds(&p.Caps, spend{e.Requests, e.PromptTokens + e.CompletionTokens, e.Cost}, e.Currency); limit != "" {
		warning := "The cap of " + limit + " is below the estimate: the run may end before the plan is done."
		if families := asksWhole(p); families != "" {
			warning += " Results of " + families + " are exploratory then, since not all that was committed to is asked."
		}
		d.Warnings = append(d.Warnings, warning)
	}
	return nil
}

// currency takes note of the currency of a target's price: there is one for all.
func (d *Draft) currency(t *ledger.Target) error {
	e := &d.Estimate
	if t.Price == nil {
		return nil
	}
	if e.Currency != "" && e.Currency != t.Price.Currency {
		return usage("Give all prices in one currency", "prices are in %s and %s", e.Currency, t.Price.Currency)
	}
	e.Currency = t.Price.Currency
	return nil
}

// forwardingPower says what a rotation finds of a rival that forwards a part of its
// requests: not what their mean lift suggests.
func forwardingPower(p *ledger.Plan, t *ledger.Test, log10Alpha float64) (string, error) {
	var said []string
	for _, share := range []float64{.1, .3, .6, 1} {
		power, err := family.PlannedForwarding(p, t, log10Alpha, share, 1, 0)
		if err != nil {
			return "", err
		}
		said = append(said, fmt.Sprintf("%.0f %% of its requests with power %.2f", 100*share, power))
	}
	return fmt.Sprintf("The power of key-rotation lag supposes the same lift in every slot. A rival that forwards whole requests, to a service whose lift is 1, is found where it forwards %s.", strings.Join(said, ", ")), nil
}

// familyShares works out what each family's prompts cost.
func familyShares(p *ledger.Plan) []FamilyEstimate {
	var out []FamilyEstimate
	for _, fam := range family.Families() {
		row := FamilyEstimate{Family: fam.ID}
		for i := range p.Prompts {
			q := &p.Prompts[i]
			if !slices.ContainsFunc(p.Tests, func(t ledger.Test) bool { return t.Family == fam.ID && t.Reads(q) }) {
				continue
			}
			row.Prompts++
			for j := range p.Targets {
				t := &p.Targets[j]
				if !t.Live() || !q.Asks(t.Name) {
					continue
				}
				n := int64(p.SamplesOf(q))
				sent, received := n*promptTokens(q), n*int64(p.ParamsOf(q).MaxTokens)
				row.Requests += n
				row.PromptTokens += sent
				row.CompletionTokens += received
				row.Cost += money(t.Price, sent, received)
			}
		}
		if row.Prompts > 0 {
			out = append(out, row)
		}
	}
	return out
}

// readBy counts the replies of one target that a test reads.
func (d *Draft) readBy(t *ledger.Test) int64 {
	var n int64
	for i := range d.Plan.Prompts {
		if q := &d.Plan.Prompts[i]; t.Reads(q) && q.Asks(t.Target) {
			n += int64(d.Plan.SamplesOf(q))
		}
	}
	return n
}

// charge is what a test's log10 p will be charged for the keys that were
// committed to beside its own and are not tested on its target.
func (d *Draft) charge(in *PlanInput, t *ledger.Test) float64 {
	for i := range in.Keys {
		k := &in.Keys[i]
		if k.Key.ID != t.Key || k.Commitment == nil || exploratory(k, d.Plan.Created) != "" {
			continue
		}
		if c, err := watermark.ParseCommitment(k.Commitment); err == nil {
			_, _, log10Charge := family.Selection(d.Plan, t.Target, c)
			return log10Charge
		}
	}
	return 0
}
