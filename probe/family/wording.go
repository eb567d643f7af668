package family

import (
	"cmp"
	"math"
	"strconv"
	"strings"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/watermark/evidence"
)

// WordingVersion names the table below. A plan seals it, so that nobody can
// choose the words after having seen the numbers. Version 4 brought the ladder; cases
// of earlier ones are worded as they were.
const WordingVersion = wordingName + "4"

const wordingName = "stillmark-wording-"

// wordingLadder is the first table with the ladder of hypotheses.
const wordingLadder = 4

// wordingOf is the number of the table that a plan sealed; 0 where it is none of ours.
func wordingOf(p *ledger.Plan) int {
	n, err := strconv.Atoi(strings.TrimPrefix(p.Wording, wordingName))
	if err != nil || !strings.HasPrefix(p.Wording, wordingName) {
		return 0
	}
	return n
}

// Statement is what the program says about one finding.
type Statement struct {
	Headline string   // one sentence: the verdict and its number
	Meaning  string   // what would explain the result, or what follows from it
	NotShown []string // what the result does not establish
	Warnings []string // what limits it
}

// words are the templates of one verdict. The placeholders in braces are
// replaced by [Say]; anything else is printed as it stands.
type words struct{ headline, meaning string }

// wording is the table. A tier that a verdict does not name says what the empty
// tier says: it is never stronger than the exact one.
//
// The sentences keep to what the mathematics supports: how rarely a result
// would be met if the replies were statistically independent of the secret key.
// They never say how the text got there, or who did what.
var wording = map[ledger.Verdict]map[ledger.Tier]words{
	ledger.VerdictDependence: {
		ledger.Exact: {
			"On two runs, {days} days apart, of which the second scored only what the first had not, {subject} depended on secret key {key}: the weaker of the two results would be expected no more than once in 10^{k} audits if {they} were statistically independent of that key.",
			dependenceMeaning,
		},
		"": exploratoryWords,
	},
	ledger.VerdictSingleRun: {
		ledger.Exact: {
			"On one run, {subject} depend on secret key {key}: a result this strong would be expected no more than once in 10^{k} audits if {they} were statistically independent of that key.",
			dependenceMeaning,
		},
		"": exploratoryWords,
	},
	ledger.VerdictExploratory: {
		ledger.Comparative: {
			"As read by a judge model, {target} agrees in {family} with our model more than any of {controls} (rank 1 of {of}, log10 p of the rank = {rankp}); this is a secondary reading, and no lead.",
			"What counts is the test of the same replies as read by rules. A judge that reads otherwise than the rules says how far that result hangs on the reading, and supports no statement about {target}.{ratio}",
		},
		"": exploratoryWords,
	},
	ledger.VerdictWeak: {
		"": {
			"A weak signal of key {key} in {subject} ({result}), above the threshold that was fixed beforehand (log10 p = {alpha}).",
			"Results like this turn up by chance when many audits are made. It may be worth a larger run; it supports no statement about {target}.",
		},
	},
	ledger.VerdictNone: {
		"": {
			"No trace of key {key} was found in {subject} ({result}).",
			"{power} A smaller effect is not excluded, and inherited marks can be removed by paraphrase, so this clears nobody.",
		},
	},
	ledger.VerdictWithheld: {
		"": {
			"The analytic result for key {key} on {where} is withheld: {withheld}.",
			"{rankonly}",
		},
	},
	ledger.VerdictLead: {
		"": {
			"An internal lead: in {family}, {target} agrees with our model more than any of {controls} (rank 1 of {of}, log10 p of the rank = {rankp}, {holm} after correction for {m} comparative tests).",
			"A rank among control models is comparative evidence: it assumes that {target} would have been as likely as any control to come first, and its p cannot fall below 1/{of}. It may direct further tests; by itself it supports no statement about {target}.{ratio}",
		},
	},
	ledger.VerdictNoLead: {
		"": {
			"No lead in {family}: {target} has rank {rank} of {of} among the controls in agreement with our model (log10 p of the rank = {rankp}).",
			"A rank below the first says that at least one model without known access agrees with ours as much. {power} It clears nobody.{ratio}",
		},
	},
	ledger.VerdictFewControls: {
		"": {
			"Too few controls in {family} for {target}: with {controls} the rank cannot reach below a floor of 1/{of}, and at least 19 controls are needed for a word.",
			"The figures beside are descriptions; no statement rests on them.",
		},
	},
	ledger.VerdictRehearsal: {
		ledger.Comparative: {
			"A rehearsal: nothing is said about {target} in {family} (rank {rank} of {of}).",
			rehearsalMeaning,
		},
		"": {
			"A rehearsal: nothing is said about key {key} and {where} ({result}).",
			rehearsalMeaning,
		},
	},
	ledger.VerdictInsufficient: {
		ledger.Comparative: {
			"Nothing can be said about {target} in {family}: there is nothing to compare.",
			"This is neither a positive nor a negative result.",
		},
		"": {
			"Nothing can be said about key {key} and {where}: {n} scored units are too few for any effect to be found with 90 % power.",
			"This is neither a positive nor a negative result.",
		},
	},
	ledger.VerdictUnverified: {
		"": {
			"Key {key} is withheld, so its test on {where} was not computed.",
			"An expert who is given the key can compute it from the same replies.",
		},
	},
}

const dependenceMeaning = "The replies depend on key {key}: training on text generated under it, forwarding of requests to our service, use of our weights, or retrieval of such text would each explain this; other tests are needed to tell them apart."

const rehearsalMeaning = "The set of suites that was planned tries out the way from plan to report and is never to be used for a verdict, whatever its numbers are: the figures beside are descriptions."

const pooledMeaning = "It is said of some of the models that answered under this name, not of each: what each showed stands beside, uncorrected."

const singleRun = "The claim rule asks for a second run at least seven days later that scores only what the first did not; until then this is a lead."

var exploratoryWords = words{
	"An exploratory signal of key {key} in {subject}: {result}, at the threshold or beyond it (log10 p = {alpha}), but not under the conditions of exact evidence.",
	"It is a lead that a new run with a key committed beforehand can test; by itself it supports no statement about {target}.",
}

// What no finding of this kind establishes, by verdict.
var (
	notShownCompared = []string{
		"It does not show that {target} was trained on outputs of our model: shared training data and convergence lead to agreement, too.",
		"It carries no error rate: the controls are models that were chosen, not drawn.",
	}
	notShownPositive = []string{
		"It does not establish how the text was obtained, by whom, or any breach.",
		"It does not tell apart training on marked text, forwarding, use of weights and retrieval.",
		"It does not say what share of the training data came from the marked text.",
	}
	notShownNone = []string{
		"It does not show that {target} was trained without text generated under key {key}.",
		"It says nothing about text that was generated without the mark, or paraphrased.",
	}
	notShown = map[ledger.Verdict][]string{
		ledger.VerdictDependence:   notShownPositive,
		ledger.VerdictSingleRun:    notShownPositive,
		ledger.VerdictExploratory:  notShownPositive,
		ledger.VerdictWeak:         append(notShownPositive[:len(notShownPositive):len(notShownPositive)], notShownNone...),
		ledger.VerdictNone:         notShownNone,
		ledger.VerdictWithheld:     {"It shows neither that the replies depend on key {key} nor that they do not."},
		ledger.VerdictLead:         notShownCompared,
		ledger.VerdictNoLead:       append(notShownCompared[1:2:2], "It does not show that {target} was not trained on outputs of our model."),
		ledger.VerdictFewControls:  {"It shows neither that {target} was trained on outputs of our model nor that it was not."},
		ledger.VerdictInsufficient: {"It shows neither that the replies depend on key {key} nor that they do not."},
		ledger.VerdictRehearsal:    {"It shows neither that {target} was trained on outputs of our model nor that it was not."},
		ledger.VerdictUnverified:   {"Nothing about key {key} was verified."},
	}
)

// Warning is the code of a limitation. Its sentence stands in the table below.
type Warning string

// The warnings.
const (
	WarnDemo            Warning = "demo"
	WarnRehearsal       Warning = "rehearsal"
	WarnAbsent          Warning = "commitment-absent"
	WarnUnstamped       Warning = "commitment-unstamped"
	WarnLate            Warning = "commitment-late"
	WarnMismatch        Warning = "commitment-mismatch"
	WarnInconsistent    Warning = "serving-inconsistent"
	WarnServingUnknown  Warning = "serving-unknown"
	WarnServingDeclared Warning = "serving-declared"
	WarnSelection       Warning = "selection"
	WarnListAbsent      Warning = "list-absent"
	WarnListOther       Warning = "list-other"
	WarnListPartial     Warning = "list-partial"
	WarnPromptsFree     Warning = "prompts-free"
	WarnStampTrust      Warning = "stamp-trust"
	WarnPublished       Warning = "public-key"
	WarnPRF             Warning = "prf"
	WarnNoDecoys        Warning = "no-decoys"
	WarnDecoysPlan      Warning = "decoys-not-as-planned"
	WarnGate            Warning = "gate-failed"
	WarnRankStopped     Warning = "rank-stopped"
	WarnSecondary       Warning = "secondary"
	WarnOpen            Warning = "collection-open"
	WarnNoControl       Warning = "no-control"
	WarnControlHit      Warning = "control-hit"
	WarnReasoning       Warning = "reasoning"
	WarnDrift           Warning = "drift"
	WarnEpochs          Warning = "epochs"
	WarnSearch          Warning = "search"
	WarnImported        Warning = "imported"
	WarnVendors         Warning = "few-vendors"
	WarnNoPlacebo       Warning = "no-placebo"
	WarnWithheld        Warning = "withheld"
	WarnNothingOfOurs   Warning = "nothing-of-ours"
	WarnNothingInCommon Warning = "nothing-in-common"
	WarnNoTeachers      Warning = "no-other-teachers"
	WarnFewUnits        Warning = "few-units"
	WarnSelfTest        Warning = "self-test"
	WarnUnbounded       Warning = "missing-unbounded"
	WarnOthersUnbounded Warning = "others-missing-unbounded"
	WarnCuts            Warning = "cuts"
	WarnNoLogprobs      Warning = "no-logprobs"
	WarnNoOwnLift       Warning = "no-own-lift"
	NoteForwarding      Warning = "lift-forwarding"
	NoteTraining        Warning = "lift-training"
	NoteBetween         Warning = "lift-between"
	WarnNoLogs          Warning = "no-logs"
	WarnUndated         Warning = "undated"
	WarnLogsPartial     Warning = "logs-partial"
	WarnJudge           Warning = "judge"
	WarnJudgeUnread     Warning = "judge-unread"
	WarnJudgeOnce       Warning = "judge-once"
	WarnJudgeFew        Warning = "judge-few"
	WarnJudgeSelf       Warning = "judge-self"
	WarnJudgeRules      Warning = "judge-rules"
	WarnJudgeGap        Warning = "judge-gap"
	WarnJudgeKin        Warning = "judge-kin"
)

var warningText = map[Warning]string{
	WarnDemo:            "This is a demonstration: its keys were committed by a demonstration authority, and its targets are toy models that memorise; the figures predict nothing about large models.",
	WarnRehearsal:       "This is a rehearsal: the plan names a set of suites that is never to be used for a verdict.",
	WarnAbsent:          "The key was not committed before serving, so this result is exploratory: keys could have been tried on the replies until one fitted.",
	WarnUnstamped:       "The key's commitment bears no valid third-party timestamp, so this result is exploratory.",
	WarnLate:            "The key's commitment was timestamped only after serving began or after the first reply of this case, or too close to them for its accuracy, so this result is exploratory.",
	WarnMismatch:        "The key does not open its commitment, so this result is exploratory and the key's custody must be explained.",
	WarnServingUnknown:  "It was not declared when serving under the key began, so the commitment cannot be shown to come first and this result is exploratory.",
	WarnSelection:       "The commitment holds {leaves} keys, of which the plan tests {declared} on this target: {selection} is added to log10 p before the correction, as if the declared ones had been chosen after trying all.",
	WarnInconsistent:    "Serving under the key is said to begin only after the first reply of this case, and what was not yet served cannot have been learned: the date is wrong or the signal has another cause, so this result is exploratory.",
	WarnServingDeclared: "When serving under the key began was declared at plan time: the committed spec does not say it, or gives a later date, so the date rests on the operator's word.",
	WarnListAbsent:      "The commitment binds the key and not what is asked under it, so this result is exploratory: questions could have been chosen by the key's secret and the answers. A commitment that lists them (`stillmark corpora plant` makes one), stamped before serving, mends it for the next audit.",
	WarnListOther:       "What this test asks, or how it is tested, is not what was committed to with the key, so this result is exploratory: it could have been chosen by the key's secret and the answers. The plan has to ask all that is listed for its run, and nothing else of the family, with the same options.",
	WarnListPartial:     "Replies of {target} are missing, so this result is exploratory: which items were asked before collection ended follows from the plan's order and caps, and these were not committed to with the key.",
	WarnPromptsFree:     "The prompts were not committed to with the key: whoever had answers of {target} before could have chosen prompts by them. Who chose these, and when, is for the custody of the plan to show; a commitment that lists them (`stillmark key commit --suite`) settles it.",
	WarnStampTrust:      "The commitment's timestamp is checked here for its imprint and signature only; whether its authority is to be trusted is for the verification to say.",
	WarnPublished:       "Public key: forgeable, and not ours alone. It is printed in public code or papers, so this result is exploratory.",
	WarnPRF:             "The generator {prf} is not a cryptographic one: the p-value is exact if it behaves as random.",
	WarnNoDecoys:        "Validity not checked: no decoy keys were scored, so the claim rule cannot be met.",
	WarnDecoysPlan:      "Decoys not as planned: their number or the gate's tolerance is not what the plan sealed, so the gate counts as unchecked and the claim rule cannot be met.",
	WarnGate:            "The decoy gate failed: the spread or the distribution of the decoys' scores differs from the theory, so the analytic p-value and the e-value are withheld.",
	WarnRankStopped:     "Collection could stop on the evidence, so the rank among the decoys is a description here and no p-value.",
	WarnSecondary:       "A secondary result outside the corrected family of tests: its filter was built from text generated under the same key, so it is never at the exact tier.",
	WarnOpen:            "Replies are missing, and collection is not finished, was resumed, or was ended by hand, by a time limit, by a failure or by giving items up: a fixed-n p-value holds for a number of replies that nobody chose after a look at the result, so this result is exploratory.",
	WarnNoControl:       "No control was scored under the same key.",
	WarnControlHit:      "A control under the same key also reaches log10 p <= -2 by itself: shared data, the public web, or a leaked key must be considered.",
	WarnReasoning:       "Some replies carried separate reasoning text, which this test does not score.",
	WarnDrift:           "The target changed its model, fingerprint or provider while replies were collected.",
	WarnEpochs:          "{epochs} models answered under the name {target}, told apart by the names in their replies or by changed answers to sentinels. The result is over the replies of all: a dependence is one of some of these models, and not of each.",
	WarnWithheld:        "A check of the test's own assumptions failed ({withheld}), so nothing analytic is reported.",
	WarnNoOwnLift:       "The lift of our own service was not measured, so that this alone does not tell forwarding from training.",
	NoteForwarding:      "The lift is at least half of our own service's, as forwarding of requests makes it.",
	NoteTraining:        "The lift is between .5 and 5 per cent of our own service's, as training on its outputs makes it.",
	NoteBetween:         "The lift is neither half of our own service's, as forwarding makes it, nor .5 to 5 per cent of it, as training does.",
	WarnCuts:            "Passages were cut where our tokenizer splits their text: where our model had written the same text in other tokens, which is rare, a cut may depend on the token that followed.",
	WarnNoLogprobs:      "No reply held the log-probabilities that this test reads.",
	WarnNoLogs:          "No search of our own request logs is on record, so nothing can be said: put one into the case with `stillmark probe observe`.",
	WarnUndated:         "Some nonces were found without a time: that they were seen only after they had been sent rests on their secrecy.",
	WarnLogsPartial:     "The search of our request logs does not say that it covers the whole time of the requests: more nonces may have arrived.",
	WarnNoPlacebo:       "No placebo was read: whether items that were never planted show nothing was not checked.",
	WarnVendors:         "The controls come from fewer than 8 declared vendors: kin among them count as many where they are few.",
	WarnNothingOfOurs:   "Nothing of our own model was read to compare with: the plan needs a target of role ours that answers the same prompts.",
	WarnNothingInCommon: "No item could be read from both the target and our model in a way that this test compares.",
	WarnNoTeachers:      "No other teacher was read: what strong models have in common with ours is not taken off, and a control that is more like any teacher counts as more like us.",
	WarnSelfTest:        "The self-test failed: our own endpoint did not say who it is in half of its replies, so the test would not see a student that took over what it says.",
	WarnOthersUnbounded: "Replies of controls, of other teachers or of our own model are missing, and nothing bounds how far they could move the lead and the rank of {target}: a reply may also change how the others are measured, or who is compared.",
	WarnUnbounded:       "Replies of {target} are missing, and nothing bounds how far they could move its lead and its rank: a reply may also change how the others are measured, or who is compared.",
	WarnFewUnits:        "Fewer than 30 units were measured: kindred tokenizers are not told apart by so few.",
	WarnImported:        "Replies that this rests on were not acquired by this program: they were gathered elsewhere and imported from a file, and nothing here shows when, from whom and with what parameters. The result can be no more than a lead.",
	WarnJudge:           "A secondary reading of the same replies, by a judge model that was shown one request and one reply at a time and not told whose it was. It is no evidence by itself: models misread, and the primary test reads by rules.",
	WarnJudgeUnread:     "More than 5 per cent of the replies have no label: the judge did not answer, or answered something else than one label.",
	WarnJudgeOnce:       "No reply was labelled twice, so that it is not known whether the judge agrees with itself.",
	WarnJudgeFew:        "Too few replies were labelled twice, or all of them with one and the same label, to tell whether the judge agrees with itself.",
	WarnJudgeSelf:       "The judge does not agree with itself: Cohen's kappa of its first and second labels, with the whole of its 95 % interval, is below 0.8, which is asked of labels before conclusions are drawn from them.",
	WarnJudgeRules:      "Judge and rules read the replies differently: Cohen's kappa is below 0.667, which is asked of labels before even tentative conclusions are drawn. One of the two readings is wrong for these replies, or both are.",
	WarnJudgeGap:        "Judge and rules do not agree as often on the target's replies as on the controls' (99 % interval): one of them misreads one side more than the other, which biases a comparison.",
	WarnJudgeKin:        "The judge answered under the name of a model that is compared: it may have labelled replies of its own.",
	WarnSearch:          "Whether the target used search or tools could not be verified; with them on, a hit may be retrieval.",
}

// Say words a finding in English: its headline, what it means and what it does not
// show. The sentences depend on the verdict, the tier and the warnings alone; numbers
// are set into them. log10Alpha is the family-wise level of the plan in log10.
func Say(f *ledger.Finding, log10Alpha float64) Statement {
	return new(Book).Say(f, log10Alpha)
}

// Say words a finding in the book's language; see [Say].
func (b *Book) Say(f *ledger.Finding, log10Alpha float64) Statement {
	verdict := f.Verdict
	byTier, ok := wording[verdict]
	if !ok {
		verdict = ledger.VerdictUnverified
		byTier = wording[verdict]
	}
	w, ok := byTier[f.Tier]
	if !ok {
		w = byTier[""]
	}
	r := b.placeholders(f, log10Alpha)
	fam, _ := ByID(f.Family)
	meaning := []string{w.meaning}
	if positive(verdict) && w.meaning != "" {
		if fam.meaning != "" {
			meaning[0] = fam.meaning
		}
		if verdict == ledger.VerdictSingleRun && f.Tier == ledger.Exact {
			meaning = append(meaning, singleRun)
		}
	}
	if f.Epochs > 1 && signal(verdict) {
		meaning = append(meaning, pooledMeaning)
	}
	for i := range meaning {
		meaning[i] = b.phrase(meaning[i])
	}
	fill := strings.NewReplacer("{subject}", b.phrase(subject(&fam, f)), "{they}", b.phrase(they(fam.subject+f.Text)), "{where}", b.where(f))
	st := Statement{Headline: r.Replace(fill.Replace(b.phrase(w.headline))), Meaning: r.Replace(fill.Replace(strings.Join(meaning, " ")))}
	hidden := notShown[verdict]
	if verdict == ledger.VerdictExploratory && f.Tier == ledger.Comparative {
		hidden = notShownCompared
	}
	for _, s := range hidden {
		st.NotShown = append(st.NotShown, r.Replace(b.phrase(s)))
	}
	if fam.notShown != "" && signal(verdict) {
		st.NotShown = append(st.NotShown, r.Replace(b.phrase(fam.notShown)))
	}
	st.Warnings = b.Phrases(f.Warnings, f)
	return st
}

// What a family reads that does not say otherwise, of one model or of several.
const (
	replySubject  = "the replies of {target}"
	pooledSubject = "the pooled replies of {epochs} models that answered as {target}"

	reasoningWhere         = "{target} (reasoning text)"
	reasoningSubject       = "the reasoning texts of {target}"
	pooledReasoningSubject = "the pooled reasoning texts of {epochs} models that answered as {target}"
)

// subject is what depends on the key.
func subject(fam *Family, f *ledger.Finding) string {
	switch reasons := f.Text == PartReasoning; {
	case reasons && f.Epochs > 1:
		return pooledReasoningSubject
	case reasons:
		return reasoningSubject
	case f.Epochs > 1 && fam.subject == "":
		return pooledSubject
	}
	return cmp.Or(fam.subject, replySubject)
}

// where names what was read, for sentences that do not say what depends on the key.
func (b *Book) where(f *ledger.Finding) string {
	if f.Text == PartReasoning {
		return b.phrase(reasoningWhere)
	}
	return "{target}"
}

// positive reports whether a verdict at the exact tier says that there is a
// dependence.
func positive(v ledger.Verdict) bool {
	return v == ledger.VerdictDependence || v == ledger.VerdictSingleRun
}

// signal reports whether a verdict says that something was seen, however weak.
func signal(v ledger.Verdict) bool {
	return positive(v) || v == ledger.VerdictExploratory || v == ledger.VerdictWeak
}

// they is how a sentence takes up its subject again.
func they(subject string) string {
	if subject == "" {
		return "the replies"
	}
	return "they"
}

func (b *Book) placeholders(f *ledger.Finding, log10Alpha float64) *strings.Replacer {
	c := f.Committed
	if c == nil {
		c = &ledger.CommitmentCheck{}
	}
	family := f.Family
	if fam, ok := ByID(f.Family); ok {
		family = fam.ID + " (" + b.phrase(fam.Name) + ")"
	}
	compared := f.Comparison
	if compared == nil {
		compared = &ledger.Comparison{Of: 1}
	}
	return strings.NewReplacer(
		"{family}", family, "{controls}", b.count(len(compared.Controls), "control"), "{rank}", strconv.Itoa(compared.Rank), "{of}", strconv.Itoa(compared.Of),
		"{rankp}", b.log10(&compared.Log10P), "{holm}", b.log10(f.HolmLog10P), "{m}", strconv.Itoa(f.M),
		"{withheld}", b.Phrase(cmp.Or(f.Withheld, "the decoy keys did not behave as the theory says they should on this text"), f), "{rankonly}", b.rankOnly(f),
		"{target}", f.Target, "{key}", f.Key, "{prf}", f.PRF, "{epochs}", strconv.Itoa(f.Epochs),
		"{k}", b.phrase(audits(weaker(f))), "{days}", b.phrase(runDays(f)),
		"{result}", b.result(f), "{alpha}", b.log10(&log10Alpha), "{n}", strconv.FormatInt(f.N, 10),
		"{power}", b.powerSentence(f), "{ratio}", b.ratioSentence(f.Comparison),
		"{leaves}", strconv.Itoa(c.Leaves), "{declared}", strconv.Itoa(c.Declared), "{selection}", b.log10(&c.SelectionLog10),
	)
}

// fill sets values into a template in the book's language.
func (b *Book) fill(template string, pairs ...string) string {
	return strings.NewReplacer(pairs...).Replace(b.phrase(template))
}

// resultBeside names the tests of both tiers, where there are both.
const resultBeside = "log10 p = {p} after correction for {m} exact tests; comparative ones ({c}) are corrected apart"

// result is the number that a verdict rests on. An e-value enters as p = 1/e.
func (b *Book) result(f *ledger.Finding) string {
	if f.Primary || f.HolmLog10P != nil {
		template := "log10 p = {p} after correction for {m} tests"
		if f.Beside > 0 {
			template = resultBeside
		}
		return b.fill(template, "{p}", b.log10(f.HolmLog10P), "{m}", strconv.Itoa(f.M), "{c}", strconv.Itoa(f.Beside))
	}
	p := f.Log10P
	if p == nil && f.Log10E != nil {
		inverse := math.Min(0, -*f.Log10E)
		p = &inverse
	}
	return b.fill("log10 p = {p} without correction", "{p}", b.log10(p))
}

// count is a number with its noun.
func count(n int, noun string) string { return new(Book).count(n, noun) }

func (b *Book) count(n int, noun string) string {
	if n == 1 {
		return b.phrase("1 " + noun)
	}
	return b.fill("{n} "+noun+"s", "{n}", strconv.Itoa(n))
}

// weaker is the corrected log10 p that a verdict rests on: of two runs the larger.
func weaker(f *ledger.Finding) *float64 {
	if f.Verdict != ledger.VerdictDependence || f.Earlier == nil || f.HolmLog10P == nil || f.Earlier.HolmLog10P == nil {
		return f.HolmLog10P
	}
	v := math.Max(*f.HolmLog10P, *f.Earlier.HolmLog10P)
	return &v
}

// runDays says how far apart two runs are, in whole days, rounded down.
func runDays(f *ledger.Finding) string {
	if f.Earlier == nil {
		return "7 or more"
	}
	return strconv.FormatFloat(math.Floor(f.Earlier.Days), 'f', 0, 64)
}

// audits is the k of "once in 10^k audits", rounded down: in the target's favour.
func audits(log10p *float64) string {
	if log10p == nil || math.IsNaN(*log10p) || *log10p >= 0 {
		return "0"
	}
	if math.IsInf(*log10p, -1) {
		return "1000 or more"
	}
	return strconv.FormatFloat(math.Floor(-*log10p), 'f', 0, 64)
}

// log10 prints a logarithm with two decimals, or says that there is none.
func (b *Book) log10(v *float64) string {
	if v == nil || math.IsNaN(*v) || math.IsInf(*v, 0) {
		return b.phrase("not reported")
	}
	s := strconv.FormatFloat(*v, 'f', 2, 64)
	if s == "-0.00" {
		s = "0.00"
	}
	return b.decimal(s)
}

// rankOnly says what is left of a withheld result.
func (b *Book) rankOnly(f *ledger.Finding) string {
	if f.Decoys == nil {
		return b.fill("Only counts are reported; no statement about {target} rests on them.", "{target}", f.Target)
	}
	rank := math.Inf(1) // not reported
	if f.Decoys.RankP > 0 {
		rank = math.Log10(f.Decoys.RankP)
	}
	return b.fill("Only the rank of the true key among {d} decoy keys is reported (log10 p = {p}); it supports at most a lead.",
		"{d}", strconv.Itoa(f.Decoys.N), "{p}", b.log10(&rank))
}

// powerSentence states the power and what it supposes. Under the null the units
// are independent given the text, since the key is random; where there is an
// effect it may vary between replies, and then the power for it is lower. A rank's
// power follows from the spread of the controls that were seen.
func (b *Book) powerSentence(f *ledger.Finding) string {
	p := f.Power
	template := "The smallest effect that the test had 90 % power for is {effect} ({unit}), taking the scored units as independent of each other."
	switch {
	case p.Effect <= 0 || math.IsInf(p.Effect, 0) || math.IsNaN(p.Effect):
		template = "The test did not have 90 % power for any effect."
	case f.Tier == ledger.Comparative:
		template = "The smallest lead that would have come first with 90 % power is {effect} ({unit}), given the spread of these controls and taking it as normal."
	}
	return b.fill(template, "{effect}", b.significant(p.Effect), "{unit}", b.Phrase(p.EffectUnit, f))
}

// significant writes three significant digits.
func (b *Book) significant(v float64) string {
	return b.decimal(strconv.FormatFloat(v, 'g', 3, 64))
}

// ratioSentence words a calibrated likelihood ratio with the verbal scale; there is
// nothing to say without students of our own that calibrate it.
func (b *Book) ratioSentence(c *ledger.Comparison) string {
	if c == nil || c.LikelihoodRatio == nil {
		return ""
	}
	return " " + b.fill("Calibrated on known students of our model, the likelihood ratio is {lr} ({support}), cut at {cap}.",
		"{lr}", b.significant(*c.LikelihoodRatio), "{support}", b.phrase(evidence.Support(*c.LikelihoodRatio)), "{cap}", b.significant(c.Cap))
}

// warn turns codes into sentences.
func warn(codes []Warning, f *ledger.Finding) []string {
	out := make([]string, 0, len(codes))
	r := new(Book).placeholders(f, 0)
	for _, c := range codes {
		out = append(out, r.Replace(warningText[c]))
	}
	return out
}
