package ledger

import (
	"encoding/json"
	"time"
)

// Outcome is the class in which every attempt ends. Only [OK] enters an
// estimate; the others are counted in the report and bounded by worst case.
// "No answer" is never turned into an answer.
type Outcome string

// The outcome classes.
const (
	OK          Outcome = "ok"           // a whole reply with a finish reason
	Truncated   Outcome = "truncated"    // a reply whose end is missing
	Filtered    Outcome = "filtered"     // finish reason content_filter
	Refused     Outcome = "refused"      // the message's refusal member is set
	Empty       Outcome = "empty"        // a whole reply without text
	Exhausted   Outcome = "exhausted"    // reasoning used the whole budget: no text, finish reason length
	Malformed   Outcome = "malformed"    // bytes that are no reply of this protocol
	Transport   Outcome = "transport"    // network error, time-out, 408, 409, 425 or 5xx
	RateLimited Outcome = "rate_limited" // 429
	Quota       Outcome = "quota"        // 402, or 429 that says the quota is gone
	Auth        Outcome = "auth"         // 401 or 403
	Rejected    Outcome = "rejected"     // another 4xx: the target refuses the request as sent
	Drifted     Outcome = "drifted"      // answered by another model than the plan's
	Cancelled   Outcome = "cancelled"    // stopped by the operator
)

// Retryable reports whether an attempt may be repeated. Transport errors are;
// content never is, since retrying a refusal or an empty reply would bias the
// sample. A truncated stream is a transport fault: the part is kept.
func (o Outcome) Retryable() bool {
	switch o {
	case Transport, RateLimited, Truncated, Malformed:
		return true
	}
	return false
}

// Final reports whether the attempt settles its item.
func (o Outcome) Final() bool {
	switch o {
	case OK, Filtered, Refused, Empty, Exhausted, Drifted, Rejected:
		return true
	}
	return false
}

// Role says what a target is in the audit.
type Role string

// The roles of targets.
const (
	Rival   Role = "rival"
	Control Role = "control"
	// Ours is an endpoint of the model whose outputs are in question: what the
	// comparative tests compare with. It is never a control.
	Ours Role = "ours"
	// Teacher is another model whose outputs others may have been trained on:
	// another column of the agreement matrix, and no control.
	Teacher Role = "teacher"
	// Student is a model that is known to have learned from ours: it calibrates the
	// likelihood ratio of the comparative tests. It is no control, and is not tested.
	Student Role = "student"
)

// Target is an endpoint as the plan names it. It never holds a secret:
// APIKeyEnv is the name of an environment variable.
type Target struct {
	Name      string `json:"name"`
	Role      Role   `json:"role"`
	BaseURL   string `json:"base_url"` // up to and including /v1
	Model     string `json:"model"`
	APIKeyEnv string `json:"api_key_env,omitempty"`
	Preset    string `json:"preset,omitempty"`
	// Vendor names who makes the model: controls are counted by vendor, and kin of
	// a teacher is no control. PreviousOf names the rival whose earlier version a
	// control is. Both are the operator's words.
	Vendor       string        `json:"vendor,omitempty"`
	PreviousOf   string        `json:"previous_of,omitempty"`
	Price        *Price        `json:"price,omitempty"`
	Capabilities *Capabilities `json:"capabilities,omitempty"`
	// ExtraBody are further members of every request to this target, such as
	// OpenRouter's choice of provider. They may not be members that Params has.
	ExtraBody map[string]json.RawMessage `json:"extra_body,omitempty"`
	// Imported says that the replies were gathered elsewhere: nothing was sent, and
	// this program did not acquire them.
	Imported *Imported `json:"imported,omitempty"`
	// Cached says that the replies are those of a sealed case, which lies whole in
	// this one ([ControlsDir]): a control is asked once and reused.
	Cached *Cached `json:"cached,omitempty"`
}

// Live reports whether this case itself asks the target.
func (t *Target) Live() bool { return t.Imported == nil && t.Cached == nil }

// Cached is a sealed case inside this one: that a target's replies are read from,
// where the target has the same name, or that of a first run.
type Cached struct {
	CaseID string    `json:"case_id"`
	Ledger Head      `json:"ledger"` // of that case, its seal included: it pins every reply and the plan
	KeyID  string    `json:"key_id"` // of the key that sealed it
	First  time.Time `json:"first_reply"`
	Last   time.Time `json:"last_reply"`
}

// Imported is the file that a target's replies were taken from, one a line.
type Imported struct {
	File   string `json:"file"`   // its name, without the folder
	SHA256 string `json:"sha256"` // of the whole file
	Lines  int    `json:"lines"`
	// IDs: the lines hold token ids of the tokenizer that the plan's keys were made
	// for, and tests of token sequences score these, not text that is tokenised
	// again.
	IDs bool `json:"ids,omitempty"`
}

// Price is money per million tokens.
type Price struct {
	Input    float64 `json:"input_per_mtok"`
	Output   float64 `json:"output_per_mtok"`
	Currency string  `json:"currency"`
}

// Support is what a capability test found out: yes, no, or unknown with a reason.
type Support struct {
	State  string `json:"state"` // yes, no, unknown
	Detail string `json:"detail,omitempty"`
}

// Capabilities is what `target test` saw at an endpoint; it is sealed in the plan.
type Capabilities struct {
	TestedAt     time.Time          `json:"tested_at"`
	Model        string             `json:"model"` // as the target names itself
	Fingerprint  string             `json:"system_fingerprint,omitempty"`
	Server       string             `json:"server,omitempty"`
	Support      map[string]Support `json:"support"` // chat, stream, usage, seed, temperature_zero, max_tokens, logprobs, completions, echo_logprobs, prompt_logprobs, system_prompt
	LatencyMS    float64            `json:"latency_ms"`
	TLSCertSHA   string             `json:"tls_cert_sha256,omitempty"`
	ContextLimit int                `json:"context_limit,omitempty"`
}

// Params is what is sent with every request. What is nil or empty is not sent;
// zeros behind pointers are sent as zeros. Nothing is sent that the plan does not
// say. A prompt may say otherwise: [PromptParams].
type Params struct {
	MaxTokens   int      `json:"max_tokens"`
	Temperature *float64 `json:"temperature,omitempty"`
	TopP        *float64 `json:"top_p,omitempty"`
	Seed        *int64   `json:"seed,omitempty"` // sample k of a prompt is sent Seed+k
	Stream      bool     `json:"stream"`

	// Logprobs asks for the log-probabilities of the reply's tokens with this many
	// alternatives each: "logprobs" of completions, "top_logprobs" of chats.
	Logprobs *int `json:"logprobs,omitempty"`
	// PromptLogprobs asks vLLM for those of the prompt's tokens.
	PromptLogprobs *int              `json:"prompt_logprobs,omitempty"`
	Echo           bool              `json:"echo,omitempty"` // completions only: the prompt comes back, with Logprobs scored
	User           string            `json:"user,omitempty"` // an end user's name, as services know them
	Metadata       map[string]string `json:"metadata,omitempty"`
}

// PromptParams is how one prompt departs from the plan's Params. What is absent
// is as there.
type PromptParams struct {
	MaxTokens      int               `json:"max_tokens,omitempty"`
	Temperature    *float64          `json:"temperature,omitempty"`
	TopP           *float64          `json:"top_p,omitempty"`
	Seed           *int64            `json:"seed,omitempty"`
	Stream         *bool             `json:"stream,omitempty"`
	Logprobs       *int              `json:"logprobs,omitempty"`
	PromptLogprobs *int              `json:"prompt_logprobs,omitempty"`
	Echo           *bool             `json:"echo,omitempty"`
	User           string            `json:"user,omitempty"`
	Metadata       map[string]string `json:"metadata,omitempty"` // instead of the plan's, not beside it
}

// The kinds of request.
const (
	KindChat       = "chat"       // POST /chat/completions: System and Text are messages
	KindCompletion = "completion" // POST /completions: Text is the prompt itself, to be continued
	// KindImported is no request: a reply that was gathered elsewhere. Its raw bytes
	// are a line of the imported file.
	KindImported = "imported"
)

// Prompt is one expanded prompt, as sealed in the plan.
type Prompt struct {
	ID       string `json:"id"`
	Suite    string `json:"suite"`
	Lang     string `json:"lang"`
	Category string `json:"category,omitempty"`
	System   string `json:"system,omitempty"` // chats only
	Text     string `json:"text,omitempty"`
	// Leaf stands in a salted plan for System, Text and Reading, which are then in
	// prompts.jsonl: the hex SHA-256 of the line there. Salt is that line's.
	Leaf string `json:"leaf,omitempty"`
	Salt string `json:"-"`
	// Targets are those that are asked; none means all of the plan.
	Targets []string `json:"targets,omitempty"`
	// Reading is what the prompt's family needs to know to read the reply
	// (corpora/reading.Reading). It is never sent; without it the reply is read as a whole.
	Reading json.RawMessage `json:"reading,omitempty"`

	Kind    string        `json:"kind,omitempty"`    // KindChat (also the meaning of "") or KindCompletion
	Samples int           `json:"samples,omitempty"` // replies per target, the plan's number if 0
	Params  *PromptParams `json:"params,omitempty"`
	// NotBefore and NotAfter are when the prompt may be put, for what is asked at set
	// times. What was not asked in time is missing. Zero: whenever its turn comes.
	NotBefore time.Time `json:"not_before,omitzero"`
	NotAfter  time.Time `json:"not_after,omitzero"`
	// Sentinel marks a prompt of [Sentinels]: sample k is put in round k, always
	// under the same seed, and enters no test.
	Sentinel bool `json:"sentinel,omitempty"`
}

// Sentinels are prompts that are put to every target again and again while a run
// goes on: when the answers change, so did the model. Two rounds open the run and
// the last one closes it; those between are spread evenly over the items.
type Sentinels struct {
	Rounds int `json:"rounds"`
	// Unstable is how many prompts may be answered differently in the first two
	// rounds: with more the target does not repeat itself, and its sentinels say
	// nothing.
	Unstable int `json:"unstable"`
	// Changed is how many prompts of a round must have an answer that no earlier
	// round of the epoch had, for the round to open a new epoch.
	Changed int `json:"changed"`
	// Confirm says that a target that was seen to answer a prompt in two ways has
	// changed only when two rounds in a row are of that kind.
	Confirm bool `json:"confirm,omitempty"`
}

// Item is one reply that the plan asks for: a prompt put once to a target.
// Its ID is target/suite/prompt/sample; the attempt number is kept apart.
//
// Where Label is 1 or 2 it is a label that the judge is asked for, the first or the
// second one for the reply to that prompt: Target is then the judge, and the ID has
// the pass behind it ([LabelID]).
type Item struct {
	ID     string
	Target *Target
	Prompt *Prompt
	Sample int
	Label  int
}

// SuiteRef names a suite and the hash of its definition.
type SuiteRef struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
	Seed    uint64 `json:"seed"` // of the expansion
	N       int    `json:"n"`
}

// KeyRef is what the plan says of a watermark key: all but the secret.
type KeyRef struct {
	ID         string          `json:"id"`
	Spec       json.RawMessage `json:"spec"`                 // the public part of the key file (watermark.Spec)
	Commitment string          `json:"commitment,omitempty"` // file under commitments/; "" = not committed before serving
	Stamp      string          `json:"stamp,omitempty"`      // RFC 3161 token file beside it
	// ServingFrom is when the first token was served under the key, as the
	// operator declares it. Zero means never served, or unknown.
	ServingFrom time.Time `json:"serving_from,omitzero"`
	// Custody is the log of the key's registry, a file under commitments/, and its hash: it
	// shows whom the key served.
	Custody       string `json:"custody,omitempty"`
	CustodySHA256 string `json:"custody_sha256,omitempty"`
}

// Test is one declared hypothesis test: (family, key, target). Families that
// compare models have no key, and weights only where units have some.
type Test struct {
	ID      string `json:"id"` // unique in the plan, e.g. "E1/k-3f2a/acme-nova"
	Family  string `json:"family"`
	Key     string `json:"key"`
	Target  string `json:"target"`
	Mode    string `json:"mode"`             // ModeFixedN or ModeAnytime
	Weights string `json:"weights"`          // none or min8
	Primary bool   `json:"primary"`          // false: a secondary result, outside Holm, never at the exact tier
	Filter  string `json:"filter,omitempty"` // file of served windows; only in secondary tests
	// Suites are those whose prompts the test reads; none means all of the plan.
	Suites []string `json:"suites,omitempty"`
	// Options are what the family lets a plan choose, in the family's own form.
	Options json.RawMessage `json:"options,omitempty"`
	Null    string          `json:"null"`
}

// The modes of a test: a plan names one of them per test.
const (
	ModeFixedN  = "fixed-n"
	ModeAnytime = "e-process"
)

// DecoyPlan fixes the decoy keys before any reply is seen.
type DecoyPlan struct {
	N              int    `json:"n"`               // 0, or at least MinDecoys where a gate is sealed
	SeedCommitment string `json:"seed_commitment"` // hex SHA-256 of decoys.json's seed bytes
	// The gate: the spread of the decoys' scores over that of the null may differ
	// from 1 by SDTolerance, and their p-values must pass for uniform at level
	// KSLevel. Both are 0 in plans of earlier versions, whose gate was the same; the
	// gate of fewer than MinDecoys never counts as passed.
	SDTolerance float64 `json:"sd_tolerance,omitempty"`
	KSLevel     float64 `json:"ks_level,omitempty"`
}

// MinDecoys bounds the gate's tolerance on the spread of the null to 29 %.
const MinDecoys = 99

// StopRule ends collection. Only plans of e-process tests may stop early.
type StopRule struct {
	OnEvidence bool `json:"on_evidence"` // stop when every anytime test reaches m/alpha
	CheckEvery int  `json:"check_every,omitempty"`
}

// Caps bound what a run may cost. Zero means no cap.
type Caps struct {
	MaxRequests int64         `json:"max_requests,omitempty"`
	MaxTokens   int64         `json:"max_tokens,omitempty"`
	MaxCost     float64       `json:"max_cost,omitempty"`
	MaxTime     time.Duration `json:"max_time,omitempty"`
}

// Plan is everything that was decided before the first request.
type Plan struct {
	Format    int       `json:"format"`          // PlanPlain or PlanSalted
	Rules     int       `json:"rules,omitempty"` // RulesListed
	CaseID    string    `json:"case_id"`
	Created   time.Time `json:"created"`
	Demo      bool      `json:"demo"`
	Authority string    `json:"authority,omitempty"` // who ordered the audit
	Purpose   string    `json:"purpose,omitempty"`
	// TermsReviewedBy says who read the providers' terms of use before the audit, and when.
	TermsReviewedBy string `json:"terms_reviewed_by,omitempty"`

	Propositions []string `json:"propositions"` // H0 and H1 in a sentence each
	Targets      []Target `json:"targets"`
	// Set names the set of suites that was asked for, if one was. Rehearsal says that it
	// is never to be used for a verdict, so that no finding has one.
	Set       string     `json:"set,omitempty"`
	Rehearsal bool       `json:"rehearsal,omitempty"`
	Suites    []SuiteRef `json:"suites"`
	Prompts   []Prompt   `json:"prompts"`
	Samples   int        `json:"samples"` // per prompt and target, where the prompt does not say
	Params    Params     `json:"params"`
	Sentinels *Sentinels `json:"sentinels,omitempty"`
	// After names the sealed case of the first run that this plan repeats: it lies
	// whole in this case ([EarlierDir]). What it scored is not scored again, and the
	// two are judged together.
	After *Cached `json:"after,omitempty"`
	// Judge labels replies beside the rules; nil: no model does.
	Judge      *Judge     `json:"judge,omitempty"`
	OrderSeed  uint64     `json:"order_seed"` // shuffles the items, targets and controls interleaved
	Keys       []KeyRef   `json:"keys"`
	Tests      []Test     `json:"tests"`
	Alpha      float64    `json:"alpha"` // family-wise, 1e-6 at the exact tier
	Decoys     DecoyPlan  `json:"decoys"`
	Stop       StopRule   `json:"stop"`
	Caps       Caps       `json:"caps"`
	Power      []PowerRow `json:"power"` // as printed before anything was sent
	Exclusions []string   `json:"exclusions"`
	Wording    string     `json:"wording"` // version of the wording table
	Program    Build      `json:"program"`
}

// The versions of plan.json. A plain plan holds its prompts; of a salted one, and of
// the replies to it, each can be withheld ([Plan.AddSalts]).
const (
	PlanPlain  = 1
	PlanSalted = 2
)

// RulesListed is what a plan says in Rules that is held to this: where the family lets an
// accuser choose by the answers what is asked, the exact tier takes what was committed to
// with the key. Plans of earlier versions say nothing.
const RulesListed = 1

// PowerRow is the planner's promise for one test.
type PowerRow struct {
	Test       string  `json:"test"`
	Units      int64   `json:"units"`       // expected scored units
	Log10Alpha float64 `json:"log10_alpha"` // per-test level alpha/m
	Effect     float64 `json:"effect"`      // smallest effect found with power .9
	EffectUnit string  `json:"effect_unit"`
	// Log10Floor is the smallest log10 p that the test can reach, 0 where that is no
	// concern. At is the power at some effects.
	Log10Floor float64   `json:"log10_floor,omitempty"`
	At         []PowerAt `json:"at,omitempty"`
}

// PowerAt is a planned test's power at one effect, and the units with which it would
// be .9.
type PowerAt struct {
	Effect float64 `json:"effect"`
	Power  float64 `json:"power"`
	Units  int64   `json:"units_needed"`
}

// Build identifies the program.
type Build struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

// Usage is the target's own count of tokens.
type Usage struct {
	PromptTokens     int64   `json:"prompt_tokens"`
	CompletionTokens int64   `json:"completion_tokens"`
	ReasoningTokens  int64   `json:"reasoning_tokens,omitempty"`
	Cost             float64 `json:"cost,omitempty"`
}

// Reply is a decoded answer. All of it can be recomputed from the raw bytes.
type Reply struct {
	Outcome     Outcome `json:"outcome"`
	Finish      string  `json:"finish,omitempty"`
	Text        string  `json:"text"`
	Reasoning   string  `json:"reasoning,omitempty"`
	Model       string  `json:"model,omitempty"`
	Fingerprint string  `json:"system_fingerprint,omitempty"`
	Provider    string  `json:"provider,omitempty"`
	ResponseID  string  `json:"response_id,omitempty"`
	Usage       *Usage  `json:"usage,omitempty"`
	Detail      string  `json:"detail,omitempty"` // why it is not ok, in a sentence
	// Token ids of an imported reply and of its prompt; nil in others.
	Tokens       []int32 `json:"tokens,omitempty"`
	PromptTokens []int32 `json:"prompt_tokens,omitempty"`
}

// The types of ledger events.
const (
	EventPlanSealed    = "plan_sealed"    // the first event: hash of the plan
	EventIntent        = "intent"         // an attempt is about to be sent
	EventReply         = "reply"          // an attempt that settled its item
	EventAttemptFailed = "attempt_failed" // an attempt that did not
	EventPause         = "pause"
	EventResume        = "resume"
	EventDrift         = "drift"
	EventClockJump     = "clock_jump"
	EventConfigChange  = "config_change"
	EventFault         = "fault"
	EventStop          = "stop"        // collection ended: by completion, cap, operator or evidence
	EventObservation   = "observation" // what was seen on our own side, put beside the replies
	// Attempts at labels, apart from those at replies.
	EventLabelIntent = "label_intent" // a reply is about to be shown to the judge
	EventLabel       = "label"        // an attempt that settled a label
	EventLabelFailed = "label_failed" // an attempt that did not
	EventSeal        = "seal"         // the last event: written before signing
)

// Event is one line of ledger.jsonl. Prev is the hex SHA-256 of the line before
// (without its newline), 64 zeros for the first. Mono is nanoseconds of the
// monotonic clock since the writer was opened.
type Event struct {
	Seq     uint64          `json:"seq"`
	Prev    string          `json:"prev"`
	Time    time.Time       `json:"time"`
	Mono    int64           `json:"mono_ns"`
	Type    string          `json:"type"`
	Item    string          `json:"item,omitempty"`
	Attempt int             `json:"attempt,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// BlobRef addresses raw bytes in a segment file. The first Salt bytes there are
// random and belong to no content: without them nobody can guess from the hash
// what was stored.
type BlobRef struct {
	Segment int    `json:"segment"`
	Offset  int64  `json:"offset"`
	Length  int64  `json:"length"` // with the salt
	SHA256  string `json:"sha256"` // of salt and content
	Salt    int64  `json:"salt,omitempty"`
}

// Intent is the data of an intent event.
type Intent struct {
	Target  string  `json:"target"`
	Request BlobRef `json:"request"` // the request body as sent
}

// Observation is the data of observation events: a file of what was seen on our own
// side, such as nonces in our request logs. Its bytes lie in a segment.
type Observation struct {
	Kind    string  `json:"kind"` // which family reads it
	Content BlobRef `json:"content"`
}

// Attempt is the data of reply and attempt_failed events.
type Attempt struct {
	Target       string            `json:"target"`
	Outcome      Outcome           `json:"outcome"`
	Detail       string            `json:"detail,omitempty"`
	Kind         string            `json:"kind"` // chat, completion or imported
	Stream       bool              `json:"stream"`
	Status       int               `json:"status"`
	Complete     bool              `json:"complete"`               // the body was read to its end
	Headers      map[string]string `json:"headers,omitempty"`      // of the response, an allow-list, redacted
	HeadersBlob  *BlobRef          `json:"headers_blob,omitempty"` // where they lie instead, as a JSON object, in salted cases
	Response     *BlobRef          `json:"response,omitempty"`
	Model        string            `json:"model,omitempty"`
	Fingerprint  string            `json:"system_fingerprint,omitempty"`
	Provider     string            `json:"provider,omitempty"`
	RequestID    string            `json:"request_id,omitempty"`
	Usage        *Usage            `json:"usage,omitempty"`
	FirstByteMS  float64           `json:"first_byte_ms,omitempty"`
	TotalMS      float64           `json:"total_ms,omitempty"`
	MayBeBilled  bool              `json:"may_be_billed,omitempty"` // outcome unknown
	RetryAfterMS int64             `json:"retry_after_ms,omitempty"`
}

// Tier says what a finding rests on.
type Tier string

// The tiers. They are never mixed.
const (
	Exact       Tier = "exact"       // the p-value is valid because we randomised a secret, committed before serving
	Exploratory Tier = "exploratory" // the same computation without such a commitment, or under a public key
	Comparative Tier = "comparative" // a rank among control models
)

// Finding is the result of one declared test.
type Finding struct {
	Test       string `json:"test"`
	Family     string `json:"family"`
	Target     string `json:"target"`
	Role       Role   `json:"role"`
	Key        string `json:"key"`
	Scheme     string `json:"scheme"`
	PRF        string `json:"prf"`
	Tier       Tier   `json:"tier"`
	Primary    bool   `json:"primary"`
	Mode       string `json:"mode"`
	Hypothesis string `json:"hypothesis"` // rung of the ladder that a positive would reach
	Null       string `json:"null"`

	Replies int64   `json:"replies"` // that entered
	Tokens  int64   `json:"tokens"`  // of our tokenizer, read in all
	N       int64   `json:"n"`       // distinct scored units
	Dropped Dropped `json:"dropped"`
	Weights string  `json:"weights"`
	Score   float64 `json:"score"`
	Mean    float64 `json:"null_mean"`
	SD      float64 `json:"null_sd"`

	Effect     float64 `json:"effect"`
	EffectLo   float64 `json:"effect_lo"`
	EffectHi   float64 `json:"effect_hi"`
	EffectUnit string  `json:"effect_unit"`

	Log10P         *float64 `json:"log10_p"` // nil when withheld, or in e-process mode
	Log10PMethod   string   `json:"log10_p_method,omitempty"`
	Log10PEstimate *float64 `json:"log10_p_estimate,omitempty"` // saddlepoint, a labelled estimate
	Log10PBound    *float64 `json:"log10_p_bound,omitempty"`    // a bound by hand beside an exact law
	PlainScore     float64  `json:"plain_score"`                // unweighted
	PlainLog10P    *float64 `json:"plain_log10_p"`
	Log10E         *float64 `json:"log10_e"`
	HolmLog10P     *float64 `json:"holm_log10_p"`
	M              int      `json:"m"`

	Decoys *DecoyFinding `json:"decoys"` // nil: validity not checked
	Power  PowerRow      `json:"power"`  // the smallest effect that this test had power .9 for, as run
	Curve  []CurvePoint  `json:"curve"`  // evidence against tokens read

	Committed *CommitmentCheck `json:"commitment"`

	// What families other than E1 add. Statistic says in a sentence what Score is;
	// Extractor names the version of what read the replies; Parts are the same
	// statistic on parts of the data, as a description.
	Statistic  string      `json:"statistic,omitempty"`
	Extractor  string      `json:"extractor,omitempty"`
	Comparison *Comparison `json:"comparison,omitempty"`
	Parts      []Part      `json:"parts,omitempty"`
	// Judge says how good the labels are, where a judge read the replies.
	Judge *JudgeFinding `json:"judge,omitempty"`

	// Earlier is the same test in the first run, where the plan names one; the
	// finding's own numbers are then those of units that it did not score. Joint
	// pools both, each unit once, as one test.
	Earlier *RunResult `json:"earlier,omitempty"`
	Joint   *Joint     `json:"joint,omitempty"`
	// Withheld says in a clause why nothing analytic is reported, where the family's
	// own check of its assumptions failed.
	Withheld string `json:"withheld,omitempty"`
	// Text names what was read of the replies, where that is not their answer.
	Text string `json:"text,omitempty"`
	// Beside is how many comparative tests were declared beside a test of the other
	// tiers, and corrected apart.
	Beside int `json:"comparative_tests,omitempty"`
	// Epochs is how many models answered under the target's name, where there were
	// several: the finding pools their replies.
	Epochs int `json:"epochs,omitempty"`

	Verdict  Verdict  `json:"verdict"`
	Warnings []string `json:"warnings"`
	NotShown []string `json:"not_shown"`
}

// RunResult is a test in another run of the same plan.
type RunResult struct {
	CaseID     string    `json:"case_id"`
	First      time.Time `json:"first_reply"`
	Last       time.Time `json:"last_reply"`
	N          int64     `json:"n"`
	Effect     float64   `json:"effect"`
	EffectLo   float64   `json:"effect_lo"`
	EffectHi   float64   `json:"effect_hi"`
	Log10P     *float64  `json:"log10_p"`
	Log10E     *float64  `json:"log10_e"`
	HolmLog10P *float64  `json:"holm_log10_p"`
	Tier       Tier      `json:"tier"`
	Verdict    Verdict   `json:"verdict"` // of that run alone
	Days       float64   `json:"days"`    // between its last reply and the first one of this run
	// Apart is why the two runs are not judged together; empty if they are.
	Apart string `json:"apart,omitempty"`
}

// Joint is one test over the replies of both runs.
type Joint struct {
	N      int64    `json:"n"`
	Score  float64  `json:"score"`
	Mean   float64  `json:"null_mean"`
	SD     float64  `json:"null_sd"`
	Log10P *float64 `json:"log10_p"` // nil in e-process mode, or where the gate failed in either run
	Log10E *float64 `json:"log10_e"`
}

// Comparison is what a comparative finding rests on: the rival's rank among
// control models. Residuals are double-centred agreements (see the family).
type Comparison struct {
	Rival    float64       `json:"rival"` // the statistic that is ranked
	Controls []ControlStat `json:"controls"`
	// NotControls are targets that cannot serve as controls, with the reason.
	NotControls []string `json:"not_controls,omitempty"`
	Vendors     int      `json:"vendors"` // distinct ones among the controls, as declared
	Rank        int      `json:"rank"`    // 1 is the highest of Of = C+1, ties against the rival's favour not taken
	Of          int      `json:"of"`
	// Log10P is log10 of rank/of, Log10Floor what it can reach at best.
	Log10P     float64 `json:"log10_p"`
	Log10Floor float64 `json:"log10_floor"`
	// Log10Parametric is the companion t-test's (nu = C-1), which supposes normal
	// residuals; nil with fewer than three controls.
	Log10Parametric *float64 `json:"log10_p_parametric,omitempty"`
	// LikelihoodRatio is calibrated on students of our own model against controls
	// and capped at Cap; nil where no such students were measured.
	LikelihoodRatio *float64 `json:"likelihood_ratio,omitempty"`
	Cap             float64  `json:"likelihood_ratio_cap,omitempty"`
	Matrix          *Matrix  `json:"matrix,omitempty"`
	// Previous is the control that is the rival's previous version, where the effect
	// is the rival's lead over it and not over the controls' mean.
	Previous string `json:"previous,omitempty"`
	// Permutation is a test within items beside the rank, where a family has one.
	Permutation *Permutation `json:"permutation,omitempty"`
	// Missing says how far the rival's missing replies could move the result; nil where
	// none is missing, and, with the warning "missing-unbounded", where nothing bounds it.
	Missing *MissingBounds `json:"missing,omitempty"`
	// MissingAll says the same of the missing replies of all who are compared, the
	// controls', teachers' and ours among them: one that a control lacks could have put it
	// before the rival. Nil where the rival alone lacks replies, and, with the warning
	// "others-missing-unbounded", where nothing bounds it.
	MissingAll *MissingBounds `json:"missing_all,omitempty"`
	// Traits are described, not tested: headers, formats, latency, what fits best.
	Traits []Trait `json:"traits,omitempty"`
}

// MissingBounds bound the lead and the rank that the rival would have had with the missing
// replies, whatever they had been. Each prompt of which one is missing counts as wholly
// unknown, with the weight that it would have: at worst the rival is as unlike ours and as
// like the other teachers there as can be, at best the other way round, and a control that
// lacks a reply the reverse. What a reply moves of others is bounded with it.
type MissingBounds struct {
	Replies   int64   `json:"replies"` // that are missing, of those that the family reads
	Lead      float64 `json:"lead"`    // over the controls' mean, as it is
	Alike     float64 `json:"alike"`   // if the prompts with missing replies were like the controls' mean
	Worst     float64 `json:"worst"`
	WorstRank int     `json:"worst_rank"`
	Best      float64 `json:"best"`
	BestRank  int     `json:"best_rank"`
}

// ControlStat is one control's statistic. The rival's lead over it, paired by item,
// has an interval of 99 %, since there is one for every control.
type ControlStat struct {
	Target string  `json:"target"`
	Vendor string  `json:"vendor,omitempty"`
	N      int64   `json:"n"` // units of analysis
	Value  float64 `json:"value"`
	Lead   float64 `json:"lead"` // the rival's value minus this one
	LeadLo float64 `json:"lead_lo"`
	LeadHi float64 `json:"lead_hi"`
}

// Permutation is a test whose null hypothesis allows two arms to be exchanged within
// items. What it says about training, if anything, stands in Null.
type Permutation struct {
	Null   string  `json:"null"`
	Log10P float64 `json:"log10_p"`
	N      int64   `json:"n"` // items
	B      int     `json:"b"` // permutations
}

// Trait is an observation beside the statistic, for rival and ours, with the number
// of controls that are as ours.
type Trait struct {
	Name  string `json:"name"`
	Rival string `json:"rival"`
	Ours  string `json:"ours"`
	Alike int    `json:"controls_alike"`
	Of    int    `json:"controls_of"`
}

// Matrix is agreement of sources (rival and controls) with teachers (ours first).
type Matrix struct {
	Sources  []string    `json:"sources"`
	Teachers []string    `json:"teachers"`
	Values   [][]float64 `json:"values"` // by source, then teacher
}

// Part is a finding's statistic on a part of its data: a language, a category, an epoch
// of its target. Log10P, where a part has one, is not corrected for their number.
type Part struct {
	Name   string   `json:"name"`
	N      int64    `json:"n"`
	Effect float64  `json:"effect"`
	Lo     float64  `json:"lo"`
	Hi     float64  `json:"hi"`
	Log10P *float64 `json:"log10_p,omitempty"`
}

// Dropped counts the positions that were not scored, by reason.
type Dropped struct {
	Prompt     int64 `json:"prompt"`            // window occurs in the item's prompt or system text
	Repeat     int64 `json:"repeat"`            // unit seen before in the run
	Short      int64 `json:"short"`             // fewer predecessors than the window
	Filtered   int64 `json:"filtered"`          // window not among those we served
	Channel    int64 `json:"channel,omitempty"` // window that the key's spec leaves to the other channel
	OutOfVocab int64 `json:"out_of_vocab"`
}

// DecoyFinding is the decoys' verdict on the test's own validity.
type DecoyFinding struct {
	N         int       `json:"n"`
	RankP     float64   `json:"rank_p"`
	SDRatio   float64   `json:"sd_ratio"`
	SDRatioLo float64   `json:"sd_ratio_lo"`
	SDRatioHi float64   `json:"sd_ratio_hi"`
	Tolerance float64   `json:"sd_tolerance"`
	KSP       float64   `json:"ks_p"`
	Pass      bool      `json:"pass"`
	Scores    []float64 `json:"scores"` // standardised (S-mean)/sd, in drawing order, for the histogram
}

// CurvePoint is one point of evidence against tokens read.
type CurvePoint struct {
	Tokens int64   `json:"tokens"`
	Log10P float64 `json:"log10_p"`
	Log10E float64 `json:"log10_e"`
}

// CommitmentCheck says whether the key's commitment precedes all use of it.
type CommitmentCheck struct {
	State      string        `json:"state"` // before-serving, late, inconsistent, serving-unknown, unstamped, absent, mismatch
	Time       time.Time     `json:"time,omitzero"`
	Accuracy   time.Duration `json:"accuracy_ns,omitempty"` // as the authority states it; the stamp counts from Time + Accuracy
	Authority  string        `json:"authority,omitempty"`
	FirstReply time.Time     `json:"first_reply,omitzero"` // of the target in this case
	// ServingFrom is the date that was compared; ServingSource says where it
	// stands: ServingCommitted or ServingDeclared.
	ServingFrom   time.Time `json:"serving_from,omitzero"`
	ServingSource string    `json:"serving_source,omitempty"`
	// Leaves counts the keys that were committed to under one root, Declared
	// those of them that the plan tests on this target. SelectionLog10, that is
	// log10(Leaves/Declared), is added to log10 p before Holm at the exact tier:
	// the declared keys might have been chosen among all of them.
	Leaves         int     `json:"leaves,omitempty"`
	Declared       int     `json:"declared,omitempty"`
	SelectionLog10 float64 `json:"selection_log10,omitempty"`
	// Lists says whether what the test asks was committed to with the key: committed,
	// absent, other; empty where that was not asked for.
	Lists string `json:"lists,omitempty"`
}

// The sources of a serving date.
const (
	ServingCommitted = "committed spec"
	ServingDeclared  = "declared at plan time"
)

// Verdict is a word of the wording table; every sentence that the program
// prints about a finding is generated from it.
type Verdict string

// The verdicts.
const (
	// VerdictDependence: exact tier, threshold met, gate passed, on two runs at
	// least seven days apart. The only verdict that can carry an accusation.
	VerdictDependence Verdict = "dependence"
	// VerdictSingleRun: as above on one run only.
	VerdictSingleRun Verdict = "dependence-single-run"
	// VerdictExploratory: the threshold is met but the key was not committed
	// in time, is public, or the test is secondary.
	VerdictExploratory Verdict = "exploratory-signal"
	// VerdictWeak: Holm p <= 0.01 but above the threshold.
	VerdictWeak Verdict = "weak-signal"
	// VerdictNone: nothing at the declared level; the power says what could have been seen.
	VerdictNone Verdict = "no-trace"
	// VerdictWithheld: the decoy gate failed; only the rank is reported.
	VerdictWithheld Verdict = "withheld"
	// VerdictInsufficient: nothing to score.
	VerdictInsufficient Verdict = "insufficient-data"
	// VerdictRehearsal: the plan's set of suites is never to be used for a verdict.
	VerdictRehearsal Verdict = "rehearsal"
	// VerdictUnverified: the key is withheld; nothing about it was computed.
	VerdictUnverified Verdict = "key-withheld"
	// VerdictLead: comparative tier, rank 1 among at least MinControls controls.
	VerdictLead Verdict = "internal-lead"
	// VerdictNoLead: comparative tier, enough controls, another rank.
	VerdictNoLead Verdict = "no-lead"
	// VerdictFewControls: comparative tier, fewer than MinControls controls: their
	// number alone decides that nothing can be said.
	VerdictFewControls Verdict = "too-few-controls"
)

// MinControls is how many controls a comparative result needs to be worth a
// word: with 19 the smallest rank p is 1/20.
const MinControls = 19

// Rung is a hypothesis of the ladder that a report places a target on.
type Rung string

// The rungs, the highest first. No test reaches RungWeights or RungConvergence: rivals'
// weights are not seen, and convergence is what a comparison cannot exclude.
const (
	RungForwarding  Rung = "H_fwd"    // requests to it reach our own service
	RungWeights     Rung = "H_wt"     // it uses our weights
	RungCohort      Rung = "H_cohort" // dependent on outputs that were served to one cohort
	RungAny         Rung = "H_any"    // dependent on some outputs of ours, the public web included
	RungConvergence Rung = "H_conv"   // convergence or shared data
	RungLabel       Rung = "H_label"  // identity text or a system prompt
)

// Standing is how far a target's findings get on the ladder of hypotheses, and why no
// further.
type Standing struct {
	Target   string   `json:"target"`
	Rung     Rung     `json:"rung"`  // reached by evidence that meets the claim rule; empty: none
	Tests    []string `json:"tests"` // that reach it
	Leads    []Rung   `json:"leads"` // higher ones that other findings are a lead towards, the highest first
	Why      []Reason `json:"why"`   // no higher rung is reached
	Headline string   `json:"headline"`
}

// Reason is why findings reach no higher rung. What a code does not use is left out.
type Reason struct {
	Code     string   `json:"code"`
	Tests    []string `json:"tests,omitempty"`
	Key      string   `json:"key,omitempty"`
	Rung     Rung     `json:"rung,omitempty"`
	Effect   float64  `json:"effect,omitempty"` // the smallest that was found with power .9
	Unit     string   `json:"effect_unit,omitempty"`
	Sentence string   `json:"sentence"`
}

// Findings is the whole outcome of an analysis: a pure function of ledger,
// keys and plan, so that the same input gives the same bytes.
type Findings struct {
	Format     int          `json:"format"`
	CaseID     string       `json:"case_id"`
	PlanSHA256 string       `json:"plan_sha256"`
	LedgerHead string       `json:"ledger_head"` // hash of the last event that was read
	Events     uint64       `json:"events"`
	Accounting []Accounting `json:"accounting"`
	Findings   []Finding    `json:"findings"`
	Ladder     []Standing   `json:"ladder,omitempty"` // of every rival; none in cases of earlier wording tables
	Deviations []string     `json:"deviations"`       // from the plan, listed by the program
}

// Accounting is planned -> sent -> classes -> analysed for one target.
type Accounting struct {
	Target   string            `json:"target"`
	Planned  int64             `json:"planned"`
	Sent     int64             `json:"sent"`    // attempts
	Classes  map[Outcome]int64 `json:"classes"` // settled items by outcome
	Failed   map[Outcome]int64 `json:"failed_attempts"`
	Missing  int64             `json:"missing"`
	Analysed int64             `json:"analysed"`
	Usage    Usage             `json:"usage"`
	Models   map[string]int64  `json:"models"` // as the target named itself
}
