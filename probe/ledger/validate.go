package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// maxItems bounds a plan's requests. Ten million at ten a second are twelve
// days of sending; a larger number is a slip of the keyboard.
const maxItems = 10_000_000

// maxTestOptions bounds what a family's options may take: a few numbers and names.
const maxTestOptions = 1 << 16

// Weights of a test's units.
const (
	WeightsNone = "none"
	WeightsMin8 = "min8"
)

// maxVendor bounds the name of a vendor, which is printed in tables.
const maxVendor = 100

var (
	// A name is part of item ids, file names and tables.
	namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:@+-]{0,99}$`)
	// The name of an environment variable; an API key pasted by mistake has
	// hyphens or other characters and does not match.
	envPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)
)

// Validate checks the plan against itself: known references, unique ids, sane
// numbers. The error is one sentence about the first thing that is wrong.
func (p *Plan) Validate() error {
	for _, check := range []func() error{
		p.validateHead, p.validateTargets, p.validateJudge, p.validatePrompts, p.validateKeys, p.validateTests, p.validateLimits,
	} {
		if err := check(); err != nil {
			return fmt.Errorf("plan: %w", err)
		}
	}
	return nil
}

func (p *Plan) validateHead() error {
	switch {
	case p.Format != PlanPlain && p.Format != PlanSalted:
		return fmt.Errorf("format is %d, this program writes %d", p.Format, PlanSalted)
	case p.Rules < 0 || p.Rules > RulesListed:
		return fmt.Errorf("rules %d are not known to this program, which knows those up to %d", p.Rules, RulesListed)
	case !namePattern.MatchString(p.CaseID):
		return fmt.Errorf("case id %q is not a name of letters, digits, dots, hyphens and underscores", p.CaseID)
	case p.Created.IsZero():
		return errors.New("the time of creation is missing")
	}
	if err := p.After.validate(p.CaseID); err != nil {
		return fmt.Errorf("the first run: %w", err)
	}
	for _, s := range append([]string{p.Authority, p.Purpose, p.TermsReviewedBy, p.Wording, p.Set}, append(p.Propositions, p.Exclusions...)...) {
		if !utf8.ValidString(s) {
			return fmt.Errorf("%q is not valid UTF-8", s)
		}
	}
	return nil
}

func (p *Plan) validateTargets() error {
	if len(p.Targets) == 0 {
		return errors.New("there is no target")
	}
	seen := make(map[string]bool)
	for i := range p.Targets {
		t := &p.Targets[i]
		if seen[t.Name] {
			return fmt.Errorf("target %q is given twice", t.Name)
		}
		seen[t.Name] = true
		if roles := []Role{Rival, Control, Ours, Teacher, Student}; !slices.Contains(roles, t.Role) {
			return fmt.Errorf("target %q: role %q is none of %q", t.Name, t.Role, roles)
		}
		if err := p.validateTarget(t); err != nil {
			return err
		}
	}
	for i := range p.Targets {
		t := &p.Targets[i]
		if t.PreviousOf == "" {
			continue
		}
		if t.Role != Control || !slices.ContainsFunc(p.Targets, func(r Target) bool { return r.Name == t.PreviousOf && r.Role == Rival }) {
			return fmt.Errorf("target %q: previous_of %q must name a rival of the plan, and the target be a control", t.Name, t.PreviousOf)
		}
	}
	return nil
}

// validateTarget checks a target by itself.
func (p *Plan) validateTarget(t *Target) error {
	if !namePattern.MatchString(t.Name) {
		return fmt.Errorf("target %q: the name must be of letters, digits, dots, hyphens and underscores", t.Name)
	}
	if !utf8.ValidString(t.Vendor) || len(t.Vendor) > maxVendor {
		return fmt.Errorf("target %q: the vendor's name is not valid UTF-8 or longer than %d bytes", t.Name, maxVendor)
	}
	if t.Model == "" || !utf8.ValidString(t.Model) {
		return fmt.Errorf("target %q: the model's name is missing or not valid UTF-8", t.Name)
	}
	if err := t.validateImported(); err != nil {
		return fmt.Errorf("target %q: %w", t.Name, err)
	}
	if err := t.validateCached(p.CaseID); err != nil {
		return fmt.Errorf("target %q: %w", t.Name, err)
	}
	u, err := url.Parse(t.BaseURL)
	if t.Imported != nil {
		return nil
	}
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("target %q: base URL is not an http or https address", t.Name)
	}
	if u.User != nil {
		return fmt.Errorf("target %q: base URL holds a password; name an environment variable in api_key_env instead", t.Name)
	}
	if t.APIKeyEnv != "" && !envPattern.MatchString(t.APIKeyEnv) {
		// The value is not printed: it may be the key itself.
		return fmt.Errorf("target %q: api_key_env must be the name of an environment variable, not a key", t.Name)
	}
	if err := checkExtraBody(t.ExtraBody); err != nil {
		return fmt.Errorf("target %q: %w", t.Name, err)
	}
	if t.Price != nil && !(t.Price.Input >= 0 && t.Price.Output >= 0 && !math.IsInf(t.Price.Input+t.Price.Output, 0)) {
		return fmt.Errorf("target %q: a price is negative or not a number", t.Name)
	}
	return nil
}

func (p *Plan) validatePrompts() error {
	suites := make(map[string]bool)
	for _, s := range p.Suites {
		if !namePattern.MatchString(s.Name) {
			return fmt.Errorf("suite %q: the name must be of letters, digits, dots, hyphens and underscores", s.Name)
		}
		if suites[s.Name] {
			return fmt.Errorf("suite %q is given twice", s.Name)
		}
		if !isHexSHA256(s.SHA256) {
			return fmt.Errorf("suite %q: sha256 %q is not a SHA-256 in lower-case hex", s.Name, s.SHA256)
		}
		suites[s.Name] = true
	}
	if len(p.Prompts) == 0 {
		return errors.New("there is no prompt")
	}
	if err := p.validateSentinels(); err != nil {
		return err
	}
	seen := make(map[[2]string]bool, len(p.Prompts))
	for i := range p.Prompts {
		q := &p.Prompts[i]
		id := [2]string{q.Suite, q.ID}
		switch {
		case !suites[q.Suite]:
			return fmt.Errorf("prompt %q: suite %q is not among the plan's suites", q.ID, q.Suite)
		case !namePattern.MatchString(q.ID):
			return fmt.Errorf("prompt %q: the id must be of letters, digits, dots, hyphens and underscores", q.ID)
		case seen[id]:
			return fmt.Errorf("prompt %q of suite %q is given twice", q.ID, q.Suite)
		case (q.Leaf != "") != (p.Format == PlanSalted), q.Leaf != "" && !isHexSHA256(q.Leaf):
			return fmt.Errorf("prompt %q: a salted plan, and no other, has the salted hash of each prompt", q.ID)
		case strings.TrimSpace(q.Text) == "" && !q.Withheld():
			return fmt.Errorf("prompt %q is empty", q.ID)
		case !utf8.ValidString(q.Text) || !utf8.ValidString(q.System):
			return fmt.Errorf("prompt %q is not valid UTF-8", q.ID)
		}
		for j, name := range q.Targets {
			if !slices.ContainsFunc(p.Targets, func(t Target) bool { return t.Name == name }) || slices.Contains(q.Targets[:j], name) {
				return fmt.Errorf("prompt %q: target %q is not one of the plan, or named twice", q.ID, name)
			}
		}
		if err := p.validateAsking(q); err != nil {
			return fmt.Errorf("prompt %q: %w", q.ID, err)
		}
		seen[id] = true
	}
	if p.Samples < 1 {
		return fmt.Errorf("samples is %d: at least one reply per prompt and target is needed", p.Samples)
	}
	left := maxItems / len(p.Targets) // compared one by one, since a sum could overflow
	for i := range p.Prompts {
		if left -= min(p.SamplesOf(&p.Prompts[i]), left+1); left < 0 {
			return fmt.Errorf("%d targets and %d prompts of %d samples, or as many as they say, are more than %d requests", len(p.Targets), len(p.Prompts), p.Samples, maxItems)
		}
	}
	return nil
}

// maxRounds bounds the sentinels: a round a minute for a week.
const maxRounds = 10_080

func (p *Plan) validateSentinels() error {
	n := 0
	for i := range p.Prompts {
		if p.Prompts[i].Sentinel {
			n++
		}
	}
	s := p.Sentinels
	switch {
	case s == nil && n > 0:
		return errors.New("there are sentinel prompts, but it is not said how often they are put")
	case s == nil:
		return nil
	case n == 0:
		return errors.New("sentinels are planned, but no prompt is one")
	case s.Rounds < 3 || s.Rounds > maxRounds:
		return fmt.Errorf("%d rounds of sentinels are planned; from 3 to %d are possible", s.Rounds, maxRounds)
	case s.Unstable < 0 || s.Changed <= s.Unstable || s.Changed > n:
		return fmt.Errorf("sentinels: changed is %d and unstable %d of %d prompts; changed must be above unstable and at most all", s.Changed, s.Unstable, n)
	}
	return nil
}

// validateAsking checks how a prompt is put.
func (p *Plan) validateAsking(q *Prompt) error {
	if o := q.Params; o != nil && o.MaxTokens < 0 {
		return fmt.Errorf("max_tokens is %d", o.MaxTokens)
	}
	switch {
	case q.Samples < 0:
		return fmt.Errorf("samples is %d", q.Samples)
	case q.NotBefore.IsZero() != q.NotAfter.IsZero(), !q.NotBefore.IsZero() && !q.NotBefore.Before(q.NotAfter):
		return errors.New("the time at which it may be put needs a beginning and an end after it")
	case !q.NotBefore.IsZero() && (q.NotBefore.Location() != time.UTC || q.NotAfter.Location() != time.UTC):
		return errors.New("the time at which it may be put is not in UTC")
	case q.Samples > 0 && q.Sentinel:
		return errors.New("a sentinel's samples are its rounds")
	case len(q.Targets) > 0 && q.Sentinel:
		return errors.New("a sentinel is put to every target")
	}
	params := p.ParamsOf(q)
	switch q.Kind {
	case "", KindChat:
		if params.Echo {
			return errors.New("echo is for completions only")
		}
	case KindCompletion:
		if q.System != "" {
			return errors.New("completions have no system text")
		}
	default:
		return fmt.Errorf("kind %q is neither %q nor %q", q.Kind, KindChat, KindCompletion)
	}
	return params.validate()
}

// maxAlternatives is more than any server gives: OpenAI stops at 20, vLLM's limit
// is the operator's.
const maxAlternatives = 1000

// validate checks sampling parameters by themselves.
func (p *Params) validate() error {
	if p.MaxTokens < 1 {
		return fmt.Errorf("max_tokens is %d: at least one is needed", p.MaxTokens)
	}
	for _, f := range []*float64{p.Temperature, p.TopP} {
		if f != nil && !(*f >= 0 && *f <= 100) {
			return fmt.Errorf("temperature or top_p is %g", *f)
		}
	}
	for _, n := range []*int{p.Logprobs, p.PromptLogprobs} {
		if n != nil && (*n < 0 || *n > maxAlternatives) {
			return fmt.Errorf("%d alternatives per token are asked for; from 0 to %d are possible", *n, maxAlternatives)
		}
	}
	texts := []string{p.User}
	for k, v := range p.Metadata {
		texts = append(texts, k, v)
	}
	for _, s := range texts {
		if !utf8.ValidString(s) {
			return errors.New("user or metadata is not valid UTF-8")
		}
	}
	return nil
}

// maxFileName bounds the name of an imported file.
const maxFileName = 255

func (t *Target) validateImported() error {
	im := t.Imported
	switch {
	case im == nil:
		return nil
	case im.File == "" || len(im.File) > maxFileName || !utf8.ValidString(im.File):
		return errors.New("the imported file has no name, or one that is too long or not valid UTF-8")
	case !isHexSHA256(im.SHA256):
		return fmt.Errorf("the imported file's sha256 %q is not a SHA-256 in lower-case hex", im.SHA256)
	case im.Lines < 1:
		return fmt.Errorf("the imported file has %d lines", im.Lines)
	case t.APIKeyEnv != "" || t.BaseURL != "" || t.Capabilities != nil || len(t.ExtraBody) > 0:
		return errors.New("its replies were imported: it is never asked, and has no address, key or capabilities")
	}
	return nil
}

func (t *Target) validateCached(own string) error {
	if t.Cached != nil && t.Role == Rival {
		return errors.New("a rival is always asked anew; only other targets' replies can be reused")
	}
	return t.Cached.validate(own)
}

// validate checks what a plan says of a case inside its own.
func (c *Cached) validate(own string) error {
	switch {
	case c == nil:
		return nil
	case !namePattern.MatchString(c.CaseID) || c.CaseID == own:
		return fmt.Errorf("nothing can be taken from case %q", c.CaseID)
	case c.Ledger.Events == 0 || !isHexSHA256(c.Ledger.Hash) || !isHexSHA256(c.Ledger.Root):
		return fmt.Errorf("the ledger of case %s is not named by number of events, hash and root", c.CaseID)
	}
	return nil
}

// bodyMembers are the members of a request that the plan says by other means.
var bodyMembers = []string{
	"model", "messages", "prompt", "max_tokens", "max_completion_tokens", "temperature", "top_p", "seed", "random_seed", "stream",
	"stream_options", "logprobs", "top_logprobs", "prompt_logprobs", "echo", "user", "metadata", "n",
}

// checkExtraBody checks a target's further members.
func checkExtraBody(extra map[string]json.RawMessage) error {
	for name, value := range extra {
		switch {
		case name == "" || !utf8.ValidString(name):
			return errors.New("extra_body has a member without a name, or one that is not valid UTF-8")
		case slices.Contains(bodyMembers, name):
			return fmt.Errorf("extra_body holds %q, which the plan says elsewhere", name)
		case !json.Valid(value):
			return fmt.Errorf("extra_body: the value of %q is not JSON", name)
		}
	}
	return nil
}

func (p *Plan) validateKeys() error {
	seen := make(map[string]bool)
	for _, k := range p.Keys {
		if !namePattern.MatchString(k.ID) {
			return fmt.Errorf("key %q: the id must be of letters, digits, dots, hyphens and underscores", k.ID)
		}
		if seen[k.ID] {
			return fmt.Errorf("key %q is given twice", k.ID)
		}
		seen[k.ID] = true
		if k.Stamp != "" && k.Commitment == "" {
			return fmt.Errorf("key %q has a timestamp but no commitment", k.ID)
		}
		if (k.Custody != "") != isHexSHA256(k.CustodySHA256) {
			return fmt.Errorf("key %q needs both a custody log and its hash, or neither", k.ID)
		}
	}
	return nil
}

func (p *Plan) validateTests() error {
	keys, targets := make(map[string]bool), make(map[string]bool)
	for _, k := range p.Keys {
		keys[k.ID] = true
	}
	for _, t := range p.Targets {
		targets[t.Name] = true
	}
	suites := make(map[string]bool)
	for _, s := range p.Suites {
		suites[s.Name] = true
	}
	seen := make(map[string]bool)
	for _, t := range p.Tests {
		switch {
		case t.ID == "" || !utf8.ValidString(t.ID):
			return errors.New("a test has no id, or one that is not valid UTF-8")
		case seen[t.ID]:
			return fmt.Errorf("test %q is given twice", t.ID)
		case t.Family == "":
			return fmt.Errorf("test %q names no family", t.ID)
		case t.Key != "" && !keys[t.Key]:
			return fmt.Errorf("test %q: key %q is not among the plan's keys", t.ID, t.Key)
		case !targets[t.Target]:
			return fmt.Errorf("test %q: target %q is not among the plan's targets", t.ID, t.Target)
		case t.Mode != ModeFixedN && t.Mode != ModeAnytime:
			return fmt.Errorf("test %q: mode %q is neither %q nor %q", t.ID, t.Mode, ModeFixedN, ModeAnytime)
		case t.Weights != WeightsNone && t.Weights != WeightsMin8 && t.Weights != "":
			return fmt.Errorf("test %q: weights %q are neither %q nor %q", t.ID, t.Weights, WeightsNone, WeightsMin8)
		case len(t.Options) > maxTestOptions:
			return fmt.Errorf("test %q: its options are longer than %d bytes", t.ID, maxTestOptions)
		case t.Filter != "" && t.Primary:
			return fmt.Errorf("test %q: a filter by served windows makes a test secondary; it cannot be primary", t.ID)
		}
		for _, s := range t.Suites {
			if !suites[s] {
				return fmt.Errorf("test %q: suite %q is not among the plan's suites", t.ID, s)
			}
		}
		seen[t.ID] = true
	}
	return nil
}

func (p *Plan) validateLimits() error {
	if err := p.Params.validate(); err != nil {
		return err
	}
	switch {
	case !(p.Alpha > 0 && p.Alpha < 1):
		return fmt.Errorf("alpha is %g, it must lie between 0 and 1", p.Alpha)
	case p.Decoys.N < 0:
		return fmt.Errorf("the number of decoys is %d", p.Decoys.N)
	case p.Decoys.SDTolerance > 0 && p.Decoys.N > 0 && p.Decoys.N < MinDecoys:
		return fmt.Errorf("%d decoys say too little: the gate needs at least %d, or none", p.Decoys.N, MinDecoys)
	case !(p.Decoys.SDTolerance >= 0 && p.Decoys.SDTolerance < 1) || !(p.Decoys.KSLevel >= 0 && p.Decoys.KSLevel < 1) ||
		(p.Decoys.SDTolerance > 0) != (p.Decoys.KSLevel > 0) || p.Decoys.N == 0 && p.Decoys.SDTolerance > 0:
		return fmt.Errorf("the decoys' gate (sd_tolerance %g, ks_level %g) is not one of %d decoys", p.Decoys.SDTolerance, p.Decoys.KSLevel, p.Decoys.N)
	case p.Decoys.N > 0 && !isHexSHA256(p.Decoys.SeedCommitment):
		return errors.New("decoys are planned but their seed is not committed to (a SHA-256 in lower-case hex)")
	case p.Stop.CheckEvery < 0:
		return fmt.Errorf("stop.check_every is %d", p.Stop.CheckEvery)
	case p.Caps.MaxRequests < 0 || p.Caps.MaxTokens < 0 || p.Caps.MaxTime < 0 || !(p.Caps.MaxCost >= 0) || math.IsInf(p.Caps.MaxCost, 0):
		return errors.New("a cap is negative or not a number")
	}
	if p.Stop.OnEvidence {
		for _, t := range p.Tests {
			if t.Primary && t.Mode != ModeAnytime {
				return fmt.Errorf("test %q is %s, but collection stops on evidence: only e-process tests stay valid then", t.ID, t.Mode)
			}
		}
	}
	if p.Caps.MaxCost > 0 && p.Caps.MaxRequests == 0 && p.Caps.MaxTokens == 0 && p.Caps.MaxTime == 0 {
		priced := p.Targets
		if p.Judge != nil {
			priced = append(slices.Clone(priced), p.Judge.Target)
		}
		for _, t := range priced {
			if t.Price == nil {
				return fmt.Errorf("target %q has no price, so a cap on money alone cannot stop it: add a price or another cap", t.Name)
			}
		}
	}
	return nil
}
