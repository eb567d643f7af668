package model

import (
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
)

// Format is the version of report.json that this program writes.
const Format = 1

// Report is report.json: every number and every sentence of the report, in the
// order in which a reader meets them. HTML (and later PDF) only lay it out.
//
// Probabilities and e-values are decimal logarithms. A nil number was not
// computed, or is withheld; the verdict beside it says which.
type Report struct {
	Format      int          `json:"format" desc:"version of this structure"`
	Lang        string       `json:"lang" desc:"language of all sentences"`
	Title       string       `json:"title"`
	Demo        string       `json:"demo,omitempty" desc:"set in demonstration cases: what such a case does not show"`
	Rehearsal   string       `json:"rehearsal,omitempty" desc:"set where the plan's suites are never to be used for a verdict"`
	Seal        SealStrip    `json:"seal_strip" desc:"what identifies this report"`
	Summary     Summary      `json:"summary" desc:"one page for a reader who is no statistician"`
	Tests       []TestRow    `json:"tests" desc:"pre-registered tests, nulls included"`
	Exploratory []TestRow    `json:"exploratory" desc:"secondary tests, and tests of keys not committed in time"`
	Plots       Plots        `json:"plots" desc:"the figures as data"`
	Explain     []Answer     `json:"alternatives" desc:"other explanations and how each was tested"`
	Method      Method       `json:"method" desc:"method and validation"`
	Prereg      Prereg       `json:"preregistration" desc:"what was fixed before the first request, and deviations from it"`
	Acquisition Acquisition  `json:"acquisition" desc:"how the replies were collected"`
	Accounting  []Account    `json:"accounting" desc:"planned, sent, classes, analysed; bounds by worst case"`
	Exhibits    []Exhibits   `json:"exhibits" desc:"replies chosen by rule, scored tokens marked"`
	Custody     Custody      `json:"custody" desc:"chain of custody of the data and of the keys"`
	HowTo       HowTo        `json:"how_to_verify" desc:"with and without the program"`
	Limits      []Answer     `json:"limitations" desc:"as an opponent would write them, each answered"`
	Build       ledger.Build `json:"build" desc:"the program that wrote this report" exempt:"names the building program, not the evidence"`
	Glossary    []Term       `json:"glossary"`
}

// SealStrip identifies the report. The digest of the report itself stands in
// the manifest and in the signed statement, since no file can hold its own.
type SealStrip struct {
	CaseID         string `json:"case_id"`
	ReportID       string `json:"report_id"`
	AnalysisID     string `json:"analysis_id"`
	PlanSHA256     string `json:"plan_sha256"`
	LedgerHead     string `json:"ledger_head" desc:"hash of the last event analysed"`
	Events         uint64 `json:"events" desc:"events analysed"`
	FindingsSHA256 string `json:"findings_sha256" desc:"of analysis/<id>/findings.json"`
	Command        string `json:"verify_command"`
}

// Summary is the first page.
type Summary struct {
	Question   string   `json:"question"`
	Done       []string `json:"what_was_done"`
	Results    []Result `json:"results" desc:"one per pre-registered test of a rival"`
	Ladder     []Rung   `json:"ladder,omitempty" desc:"the rung of the hypothesis ladder that each rival's tests reach; none in cases of earlier wording tables"`
	Controls   string   `json:"controls" desc:"what the same tests gave for the controls, in a sentence"`
	NotShown   []string `json:"what_it_does_not_show"`
	Limitation string   `json:"main_limitation"`
}

// Rung is a target's place on the ladder of hypotheses, in words.
type Rung struct {
	Target   string        `json:"target"`
	Rung     ledger.Rung   `json:"rung" desc:"H_fwd, H_cohort or H_any; empty: none is reached"`
	Tests    []string      `json:"tests" desc:"that reach it"`
	Leads    []ledger.Rung `json:"leads" desc:"higher ones that other findings lead towards"`
	Headline string        `json:"headline"`
	Why      []string      `json:"why" desc:"no higher rung is reached"`
}

// Result is one finding in words, with the one number that carries it.
type Result struct {
	Target   string         `json:"target"`
	Test     string         `json:"test"`
	Scheme   string         `json:"scheme"`
	Tier     ledger.Tier    `json:"tier"`
	Verdict  ledger.Verdict `json:"verdict"`
	Headline string         `json:"headline"`
	Sentence string         `json:"sentence"`
	Measure  string         `json:"measure" desc:"what number is: log10 p, log10 e or decoy rank p"`
	Number   *float64       `json:"number"`
	Effect   *float64       `json:"effect"`
	EffectLo *float64       `json:"effect_lo"`
	EffectHi *float64       `json:"effect_hi"`
	Unit     string         `json:"effect_unit"`
}

// TestRow is one declared test with everything that its number rests on.
type TestRow struct {
	Test       string                  `json:"test"`
	Family     string                  `json:"family"`
	Target     string                  `json:"target"`
	Role       ledger.Role             `json:"role"`
	Key        string                  `json:"key"`
	Scheme     string                  `json:"scheme"`
	PRF        string                  `json:"prf"`
	Tier       ledger.Tier             `json:"tier"`
	Mode       string                  `json:"mode"`
	Primary    bool                    `json:"primary"`
	Null       string                  `json:"null"`
	Hypothesis string                  `json:"hypothesis" desc:"rung of the hypothesis ladder that a positive reaches"`
	Replies    int64                   `json:"replies"`
	Tokens     int64                   `json:"tokens"`
	N          int64                   `json:"n" desc:"distinct scored units"`
	Dropped    ledger.Dropped          `json:"dropped"`
	Weights    string                  `json:"weights"`
	Score      float64                 `json:"score"`
	NullMean   float64                 `json:"null_mean"`
	NullSD     float64                 `json:"null_sd"`
	Effect     *float64                `json:"effect" desc:"null where there was nothing to score"`
	EffectLo   *float64                `json:"effect_lo" desc:"95 % interval, clustered by reply"`
	EffectHi   *float64                `json:"effect_hi"`
	EffectUnit string                  `json:"effect_unit"`
	Log10P     *float64                `json:"log10_p"`
	Method     string                  `json:"log10_p_method,omitempty"`
	Estimate   *float64                `json:"log10_p_estimate,omitempty" desc:"saddlepoint, a labelled estimate"`
	PlainScore float64                 `json:"plain_score" desc:"unweighted"`
	PlainP     *float64                `json:"plain_log10_p"`
	Log10E     *float64                `json:"log10_e"`
	Holm       *float64                `json:"holm_log10_p"`
	M          int                     `json:"m" desc:"tests in the family that Holm corrects for"`
	Threshold  float64                 `json:"log10_threshold" desc:"fixed in the plan; for the Holm-adjusted p"`
	Decoys     *DecoyRow               `json:"decoys"`
	Power      ledger.PowerRow         `json:"power"`
	Commitment *ledger.CommitmentCheck `json:"commitment"`
	Verdict    ledger.Verdict          `json:"verdict"`
	Headline   string                  `json:"headline"`
	Sentence   string                  `json:"sentence"`
	Warnings   []string                `json:"warnings"`
	NotShown   []string                `json:"not_shown"`
	Controls   []ControlRow            `json:"controls" desc:"the same statistic under the same key for every control"`

	FamilyName string               `json:"family_name,omitempty" desc:"set where a case has other families than E1"`
	Statistic  string               `json:"statistic,omitempty" desc:"what the score is, where it is not a sum of a watermark's scores"`
	Extractor  string               `json:"extractor,omitempty" desc:"version of what read the replies"`
	Parts      []ledger.Part        `json:"parts,omitempty" desc:"the same statistic on parts of the data, as a description"`
	Comparison *ledger.Comparison   `json:"comparison,omitempty" desc:"rank among control models"`
	Judge      *ledger.JudgeFinding `json:"judge,omitempty" desc:"how good the labels are, where a judge read the replies"`
	JudgeSays  []string             `json:"judge_says,omitempty" desc:"the same in sentences"`
	Earlier    *ledger.RunResult    `json:"earlier,omitempty" desc:"the same test in the first run"`
	Joint      *ledger.Joint        `json:"joint,omitempty" desc:"both runs pooled, each unit once, as one test"`
	Text       string               `json:"text,omitempty" desc:"what was read of the replies, where that is not their answer"`
	Beside     int                  `json:"comparative_tests,omitempty" desc:"declared beside a test of the other tiers, and corrected apart"`
	Epochs     int                  `json:"epochs,omitempty" desc:"models that answered under the target's name, where there were several: their replies are pooled"`
}

// DecoyRow is the decoys' judgement without their scores (see Plots).
type DecoyRow struct {
	N         int     `json:"n"`
	RankP     float64 `json:"rank_p"`
	SDRatio   float64 `json:"sd_ratio"`
	SDRatioLo float64 `json:"sd_ratio_lo"`
	SDRatioHi float64 `json:"sd_ratio_hi"`
	Tolerance float64 `json:"sd_tolerance"`
	KSP       float64 `json:"ks_p"`
	Pass      bool    `json:"pass"`
}

// ControlRow is a control's result under the key of a rival's test.
type ControlRow struct {
	Target   string   `json:"target"`
	N        int64    `json:"n"`
	Effect   *float64 `json:"effect"`
	EffectLo *float64 `json:"effect_lo"`
	EffectHi *float64 `json:"effect_hi"`
	Log10P   *float64 `json:"log10_p"`
	Log10E   *float64 `json:"log10_e"`
	RankP    *float64 `json:"rank_p"`
}

// Plots holds the data of the figures.
type Plots struct {
	Forest []ForestPanel `json:"forest"`
	Decoys []Histogram   `json:"decoys"`
	Curves []CurvePanel  `json:"curves"`
}

// ForestPanel shows effects that share a unit.
type ForestPanel struct {
	Scheme string      `json:"scheme"`
	Unit   string      `json:"unit"`
	Rows   []ForestRow `json:"rows"`
}

// ForestRow is an effect with its 95 % interval.
type ForestRow struct {
	Target string      `json:"target"`
	Test   string      `json:"test"`
	Role   ledger.Role `json:"role"`
	Effect float64     `json:"effect"`
	Lo     float64     `json:"lo"`
	Hi     float64     `json:"hi"`
}

// Histogram is the decoy keys' standardised scores, (S - mean)/sd under the
// null law, and where the real key falls.
type Histogram struct {
	Test     string      `json:"test"`
	Target   string      `json:"target"`
	Role     ledger.Role `json:"role"`
	Scheme   string      `json:"scheme"`
	N        int         `json:"n"`
	From     float64     `json:"from" desc:"left edge of the first bin"`
	Width    float64     `json:"width"`
	Bins     []int       `json:"bins"`
	Below    int         `json:"below" desc:"decoys left of the first bin"`
	Above    int         `json:"above" desc:"decoys right of the last bin"`
	Largest  float64     `json:"largest" desc:"the highest decoy"`
	Observed float64     `json:"observed"`
	RankP    float64     `json:"rank_p"`
}

// CurvePanel is evidence against tokens read, for the tests of one key.
type CurvePanel struct {
	Key       string  `json:"key"`
	Scheme    string  `json:"scheme"`
	Mode      string  `json:"mode"`
	Threshold float64 `json:"threshold" desc:"decades of evidence that a test must reach by itself: alpha over the number of tests"`
	Curves    []Curve `json:"curves"`
}

// Curve is one target's evidence as tokens come in.
type Curve struct {
	Target string              `json:"target"`
	Role   ledger.Role         `json:"role"`
	Points []ledger.CurvePoint `json:"points"`
}

// Answer is an alternative explanation or an objection, and what the case's
// own data say about it.
type Answer struct {
	Name   string `json:"name"`
	Claim  string `json:"claim" desc:"in the opponent's words"`
	Answer string `json:"answer" desc:"how it was tested, with what result"`
	State  string `json:"state" desc:"tested, bounded, by design or open"`
}

// The states of an answer.
const (
	StateTested  = "tested"
	StateBounded = "bounded"
	StateDesign  = "by design"
	StateOpen    = "open"
)

// Method says how the numbers are made and how well the method keeps its word.
type Method struct {
	Paragraphs []string     `json:"paragraphs"`
	Schemes    []SchemeInfo `json:"schemes"`
	Families   []FamilyInfo `json:"families,omitempty" desc:"where a case has other families than E1"`
	Validation []Validation `json:"validation" desc:"wrong keys on this case's own replies"`
	Controls   ControlRates `json:"controls"`
}

// FamilyInfo describes a family of tests.
type FamilyInfo struct {
	ID        string      `json:"id"`
	Name      string      `json:"name"`
	Tier      ledger.Tier `json:"tier" desc:"the best that a result of the family can be"`
	Rung      string      `json:"hypothesis" desc:"what a positive reaches on the ladder of hypotheses"`
	Statistic string      `json:"statistic,omitempty"`
	Extractor string      `json:"extractor,omitempty"`
	Tests     int         `json:"tests"`
}

// SchemeInfo describes a scheme and the null law of one unit.
type SchemeInfo struct {
	Scheme    string  `json:"scheme"`
	PRF       string  `json:"prf"`
	Unit      string  `json:"unit"`
	NullMean  float64 `json:"null_mean" desc:"of one unit"`
	NullSD    float64 `json:"null_sd"`
	Statement string  `json:"statement"`
}

// Validation counts how often decoy keys exceed nominal limits.
type Validation struct {
	Test      string  `json:"test"`
	N         int     `json:"n"`
	Over95    float64 `json:"share_over_5_percent_limit" desc:"share of decoys above the null law's mean by 1.645 sd or more"`
	Over99    float64 `json:"share_over_1_percent_limit" desc:"2.326 sd or more"`
	Ratio     float64 `json:"sd_ratio"`
	RatioLo   float64 `json:"sd_ratio_lo"`
	RatioHi   float64 `json:"sd_ratio_hi"`
	Tolerance float64 `json:"sd_tolerance"`
	KSP       float64 `json:"ks_p"`
	Pass      bool    `json:"pass"`
}

// ControlRates says what the declared tests gave where nothing should be found.
type ControlRates struct {
	Tests    int      `json:"tests"`
	Smallest *float64 `json:"smallest_log10_p"`
	Test     string   `json:"test,omitempty"`
	Reached  int      `json:"reached_threshold"`
}

// Prereg is the sealed plan in a page.
type Prereg struct {
	Authority    string            `json:"authority,omitempty" desc:"who ordered the audit, as the plan says"`
	Purpose      string            `json:"purpose,omitempty" desc:"why, as the plan says"`
	Terms        string            `json:"terms_reviewed_by,omitempty" desc:"who read the providers' terms of use, as the plan says"`
	Propositions []string          `json:"propositions" desc:"as sealed: null hypothesis and alternative of every test"`
	Sealed       time.Time         `json:"sealed" desc:"time of the ledger's first event"`
	FirstIntent  time.Time         `json:"first_request,omitzero"`
	StampFile    string            `json:"stamp_file" desc:"RFC 3161 token of the plan; empty: the time is the signer's own claim"`
	Alpha        float64           `json:"alpha"`
	Log10Alpha   float64           `json:"log10_alpha"`
	Tests        int               `json:"tests"`
	Prompts      int               `json:"prompts"`
	Samples      int               `json:"samples"`
	Set          string            `json:"set,omitempty" desc:"of suites, that was asked for"`
	Suites       []ledger.SuiteRef `json:"suites"`
	Params       ledger.Params     `json:"params"`
	OrderSeed    uint64            `json:"order_seed"`
	Decoys       ledger.DecoyPlan  `json:"decoys"`
	Stop         ledger.StopRule   `json:"stop"`
	Caps         ledger.Caps       `json:"caps"`
	Exclusions   []string          `json:"exclusions"`
	Power        []ledger.PowerRow `json:"power"`
	Keys         []KeyRow          `json:"keys"`
	Wording      string            `json:"wording"`
	Program      ledger.Build      `json:"program"`
	Deviations   []string          `json:"deviations"`
}

// KeyRow says of a key what the plan says, and how its commitment stands.
type KeyRow struct {
	ID          string                  `json:"id"`
	Scheme      string                  `json:"scheme"`
	PRF         string                  `json:"prf"`
	Channel     string                  `json:"channel,omitempty"`
	Epoch       string                  `json:"epoch,omitempty"`
	Label       string                  `json:"label,omitempty"`
	Commitment  string                  `json:"commitment,omitempty"`
	ServingFrom time.Time               `json:"serving_from,omitzero"`
	Check       *ledger.CommitmentCheck `json:"check"`
}

// Acquisition says how the replies were collected.
type Acquisition struct {
	Order   string       `json:"order" desc:"how items were ordered"`
	Targets []Acquired   `json:"targets"`
	Matrix  CapMatrix    `json:"capabilities"`
	Events  []NotedEvent `json:"events" desc:"pauses, resumptions, drift, clock jumps, faults"`
	More    int          `json:"more_events" desc:"noted events beyond the ones listed"`
	Params  ParamsAsSent `json:"params_as_sent"`
}

// Acquired is one target as it answered.
type Acquired struct {
	Target        string           `json:"target"`
	Role          ledger.Role      `json:"role"`
	BaseURL       string           `json:"base_url"`
	Declared      string           `json:"declared_model" desc:"asked for"`
	Models        map[string]int64 `json:"models" desc:"as the target named itself, replies each"`
	Providers     map[string]int64 `json:"providers"`
	Epochs        []Epoch          `json:"fingerprints" desc:"timeline of model and fingerprint"`
	MoreEpochs    int              `json:"more_fingerprints" desc:"changes beyond the ones listed"`
	First         time.Time        `json:"first_reply,omitzero"`
	Last          time.Time        `json:"last_reply,omitzero"`
	Statuses      map[string]int64 `json:"statuses" desc:"HTTP status of every attempt"`
	RequestIDs    int64            `json:"request_ids" desc:"replies that bear the provider's own request id"`
	FirstID       string           `json:"first_request_id,omitempty"`
	LastID        string           `json:"last_request_id,omitempty"`
	MedianTotalMS float64          `json:"median_total_ms"`
	TLSCert       string           `json:"tls_cert_sha256,omitempty"`
}

// Epoch is a stretch of replies with one model and fingerprint.
type Epoch struct {
	Model       string    `json:"model"`
	Fingerprint string    `json:"system_fingerprint"`
	Provider    string    `json:"provider,omitempty"`
	From        time.Time `json:"from"`
	To          time.Time `json:"to"`
	Replies     int64     `json:"replies"`
}

// CapMatrix is the capability test's outcome, sealed in the plan.
type CapMatrix struct {
	Features []string `json:"features"`
	Rows     []CapRow `json:"rows"`
}

// CapRow is one target's capabilities in the order of Features.
type CapRow struct {
	Target string   `json:"target"`
	States []string `json:"states" desc:"yes, no, unknown or not tested"`
}

// ParamsAsSent compares every request body in the record with the plan.
type ParamsAsSent struct {
	Requests int64         `json:"requests"`
	Variants []SentVariant `json:"variants" desc:"distinct parameter sets found in the request bodies, messages apart"`
}

// SentVariant is one set of parameters as found in raw request bodies.
type SentVariant struct {
	Params string `json:"params" desc:"JSON members other than model, messages, prompt and seed"`
	Count  int64  `json:"count"`
}

// NotedEvent is a ledger event that an opponent would ask about.
type NotedEvent struct {
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
	Type string    `json:"type"`
	Text string    `json:"text"`
}

// Account is planned -> sent -> classes -> analysed for one target.
type Account struct {
	Target   string       `json:"target"`
	Role     ledger.Role  `json:"role"`
	Planned  int64        `json:"planned"`
	Sent     int64        `json:"sent" desc:"attempts"`
	Classes  []ClassCount `json:"classes" desc:"settled items"`
	Failed   []ClassCount `json:"failed_attempts"`
	Missing  int64        `json:"missing" desc:"planned items without a settled reply"`
	Analysed int64        `json:"analysed"`
	Usage    ledger.Usage `json:"usage"`
	Bounds   []Bound      `json:"bounds"`
}

// ClassCount is the number of items or attempts in an outcome class.
type ClassCount struct {
	Class ledger.Outcome `json:"class"`
	Count int64          `json:"count"`
}

// Bound is how far the items that could not be analysed can move an effect.
type Bound struct {
	Test    string   `json:"test"`
	Effect  float64  `json:"effect"`
	Unit    string   `json:"effect_unit"`
	Missing int64    `json:"missing_items"`
	Units   float64  `json:"assumed_units" desc:"units that the missing items would have added, at the mean of the analysed ones"`
	NoTrace float64  `json:"no_trace" desc:"effect if no missing unit carried any trace"`
	Worst   float64  `json:"worst" desc:"effect if every missing unit scored zero"`
	Best    *float64 `json:"best" desc:"effect if every missing unit scored the maximum; null where the score is unbounded"`
}

// Exhibits are the replies of one test, chosen by rule.
type Exhibits struct {
	Test   string         `json:"test"`
	Target string         `json:"target"`
	Scheme string         `json:"scheme"`
	Rule   string         `json:"rule"`
	Groups []ExhibitGroup `json:"groups"`
}

// ExhibitGroup is the strongest, the median or the contrary replies.
type ExhibitGroup struct {
	Name     string    `json:"name"`
	Exhibits []Exhibit `json:"exhibits"`
}

// Exhibit is one reply with its tokens marked.
type Exhibit struct {
	Item      string  `json:"item"`
	Seq       uint64  `json:"ledger_event"`
	RequestID string  `json:"request_id,omitempty"`
	Prompt    string  `json:"prompt"`
	Units     int64   `json:"units" desc:"scored positions, repeats inside the reply dropped"`
	Score     float64 `json:"score"`
	Std       float64 `json:"standardised" desc:"(score - null mean)/null sd of this reply alone; a sorting key, no test"`
	Tokens    int     `json:"tokens"`
	Shown     int     `json:"tokens_shown"`
	Spans     []Span  `json:"spans"`
}

// Span is consecutive text with one mark. Level is 0 for tokens that were not
// scored, 1 for a score in the upper half of the null law or below it, 2, 3, 4
// for scores that a wrong key reaches at most with probability 1/2, 1/4, 1/20.
type Span struct {
	Text  string `json:"t"`
	Level int    `json:"l"`
}

// Custody says who held what, and what the record shows of it.
type Custody struct {
	Data []Step `json:"data"`
	Keys []Step `json:"keys"`
}

// Step is one statement of custody with the time and hash it rests on.
type Step struct {
	Time time.Time `json:"time,omitzero"`
	Text string    `json:"text"`
	Hash string    `json:"hash,omitempty"`
}

// HowTo is how a reader checks the case.
type HowTo struct {
	With    []string  `json:"with"`
	Intro   string    `json:"without_intro"`
	Without []Command `json:"without"`
}

// Command is one shell command and what it shows.
type Command struct {
	Shows   string `json:"shows"`
	Command string `json:"command"`
}

// Term is a glossary entry.
type Term struct {
	Term    string `json:"term"`
	Meaning string `json:"meaning"`
}
