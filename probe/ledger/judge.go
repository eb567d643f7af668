package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// JudgeRole is that of a model that labels replies beside the rules: it is asked
// nothing of the suites, and is neither tested nor compared with.
const JudgeRole Role = "judge"

// Judge is the model that a plan has replies labelled by, after they are collected: it
// sees one prompt and one reply at a time, and never whose reply it is.
type Judge struct {
	Target  Target   `json:"target"`
	Params  Params   `json:"params"` // of every request, in place of the plan's
	Rubrics []Rubric `json:"rubrics"`
	// Double is the share of the replies that are labelled twice.
	Double float64 `json:"double"`
	// Seed draws these, the order of the requests, the order in which each of them lists
	// the labels, and the marks around the reply.
	Seed uint64 `json:"seed"`
	// Clip is how many bytes of a prompt, and of a reply, the judge is shown.
	Clip int `json:"clip"`
}

// Rubric says how the replies to prompts of some kinds are labelled.
type Rubric struct {
	Name    string        `json:"name"`
	Version string        `json:"version"`
	Kinds   []string      `json:"kinds"` // of readings
	Labels  []RubricLabel `json:"labels"`
	Text    string        `json:"text"` // what the judge is told
	SHA256  string        `json:"sha256"`
}

// RubricLabel is one of the words that the judge may answer.
type RubricLabel struct {
	Name    string `json:"name"`
	Meaning string `json:"meaning"`
}

// Sum is the hex SHA-256 of all that a rubric says.
func (r Rubric) Sum() (string, error) {
	r.SHA256 = ""
	data, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("rubric %s: %w", r.Name, err)
	}
	return hexSHA256(data), nil
}

// JudgeFinding is how far the labels can be relied on that a test reads.
type JudgeFinding struct {
	Judge  string           `json:"judge"`  // the target's name
	Models map[string]int64 `json:"models"` // as it named itself, by number of answers
	Rubric string           `json:"rubric"` // name and version
	// Of the replies that could be labelled: with a label, with an answer that is none,
	// and without an answer.
	Replies    int64 `json:"replies"`
	Labelled   int64 `json:"labelled"`
	Unreadable int64 `json:"unreadable"`
	Missing    int64 `json:"missing"`
	// Self compares the first with the second label of the same reply, Rules the judge
	// with the rules: over all, then over rival, ours, controls and others apart.
	Self  Reliability   `json:"self"`
	Rules []Reliability `json:"rules,omitempty"`
	Gap   *Gap          `json:"rival_minus_controls,omitempty"`
}

// Reliability is how far two readings of the same replies agree, with intervals of
// 95 %. Kappa is Cohen's, nil where it is not defined.
type Reliability struct {
	Of      string   `json:"of"`
	N       int64    `json:"n"` // replies with both readings
	Agree   int64    `json:"agree"`
	Share   float64  `json:"share"`
	ShareLo float64  `json:"share_lo"`
	ShareHi float64  `json:"share_hi"`
	Kappa   *float64 `json:"kappa,omitempty"`
	KappaLo *float64 `json:"kappa_lo,omitempty"`
	KappaHi *float64 `json:"kappa_hi,omitempty"`
}

// Gap is the share of the rival's replies on which judge and rules agree, minus that of
// the controls', with an interval of 99 %.
type Gap struct {
	Value float64 `json:"value"`
	Lo    float64 `json:"lo"`
	Hi    float64 `json:"hi"`
}

// Passes is how often a reply is labelled at most.
const Passes = 2

const labelMark = "/label-"

// LabelID is the id of the request to label the reply to an item for the pass-th
// time, from 1.
func LabelID(item string, pass int) string { return item + labelMark + strconv.Itoa(pass) }

// cutLabel parts the sample's number of an item's id from that of the pass: 0 where
// none is named. Only one spelling of it is taken.
func cutLabel(tail string) (sample string, pass int, ok bool) {
	sample, number, labels := strings.Cut(tail, labelMark)
	if !labels {
		return tail, 0, true
	}
	pass, err := strconv.Atoi(number)
	return sample, pass, err == nil && pass >= 1 && pass <= Passes && strconv.Itoa(pass) == number
}

// Of is the id of the item whose reply a label item is about; of others their own.
func (it *Item) Of() string {
	if it.Label == 0 {
		return it.ID
	}
	return strings.TrimSuffix(it.ID, labelMark+strconv.Itoa(it.Label))
}

// Settles reports whether an attempt that ended so settles the item. A label is the judge's
// that the plan names: what another model answers in its place is none, and it is asked
// for again.
func (it *Item) Settles(o Outcome) bool {
	return o.Final() && (it.Label == 0 || o != Drifted)
}

// Attempts of either sort are written down alike, under types of their own.
func isIntent(typ string) bool  { return typ == EventIntent || typ == EventLabelIntent }
func isSettled(typ string) bool { return typ == EventReply || typ == EventLabel }
func isLabel(typ string) bool {
	return typ == EventLabelIntent || typ == EventLabel || typ == EventLabelFailed
}

// Collects reports whether an event is part of an attempt, at a reply or at a label.
func (e *Event) Collects() bool {
	switch e.Type {
	case EventIntent, EventReply, EventAttemptFailed, EventLabelIntent, EventLabel, EventLabelFailed:
		return true
	}
	return false
}

// Labels calls yield for every label that the judge gave, with the raw bytes of its
// response, in ledger order, and stops at its first error.
func (c *Case) Labels(yield func(ReplyRecord) error) error {
	_, err := c.walk(EventLabel, c, func(*Event) error { return nil }, yield)
	return err
}

// Limits of a judge.
const (
	minClip, maxClip = 256, 1 << 16
	maxRubricText    = 1 << 14
	maxLabels        = 16
)

func (p *Plan) validateJudge() error {
	j := p.Judge
	if j == nil {
		return nil
	}
	t := &j.Target
	if err := p.validateTarget(t); err != nil {
		return err
	}
	switch {
	case t.Role != JudgeRole || !t.Live() || t.PreviousOf != "":
		return fmt.Errorf("target %q: a judge has the role %q and is asked by this case itself", t.Name, JudgeRole)
	case slices.ContainsFunc(p.Targets, func(o Target) bool { return o.Name == t.Name }):
		return fmt.Errorf("target %q is given twice: a judge is no other target", t.Name)
	case !(j.Double >= 0 && j.Double <= 1):
		return fmt.Errorf("the judge is to label a share of %g of the replies twice", j.Double)
	case j.Clip < minClip || j.Clip > maxClip:
		return fmt.Errorf("the judge is to be shown %d bytes of a reply; from %d to %d are possible", j.Clip, minClip, maxClip)
	case len(j.Rubrics) == 0:
		return errors.New("the judge has no rubric")
	}
	if err := j.Params.validate(); err != nil {
		return fmt.Errorf("the judge: %w", err)
	}
	if q := &j.Params; q.TopP != nil || q.Seed != nil || q.Stream || q.User != "" || len(q.Metadata) > 0 {
		return errors.New("the judge is sent max_tokens and a temperature, and no other parameter")
	}
	if j.Params.Echo || j.Params.Logprobs != nil || j.Params.PromptLogprobs != nil {
		return errors.New("the judge answers chats, without log-probabilities")
	}
	kinds := map[string]bool{}
	for i := range j.Rubrics {
		if err := j.Rubrics[i].validate(kinds); err != nil {
			return fmt.Errorf("rubric %q: %w", j.Rubrics[i].Name, err)
		}
	}
	return nil
}

func (r *Rubric) validate(kinds map[string]bool) error {
	sum, err := r.Sum()
	switch {
	case err != nil:
		return err
	case !namePattern.MatchString(r.Name) || !namePattern.MatchString(r.Version):
		return errors.New("its name or version is not of letters, digits, dots, hyphens and underscores")
	case r.SHA256 != sum:
		return fmt.Errorf("it has the SHA-256 %s, not %q", sum, r.SHA256)
	case r.Text == "" || len(r.Text) > maxRubricText || !utf8.ValidString(r.Text):
		return fmt.Errorf("its text is missing, longer than %d bytes or not valid UTF-8", maxRubricText)
	case len(r.Labels) < 2 || len(r.Labels) > maxLabels || len(r.Kinds) == 0:
		return fmt.Errorf("it needs kinds, and from 2 to %d labels", maxLabels)
	}
	for _, k := range r.Kinds {
		if kinds[k] {
			return fmt.Errorf("kind %q is read by two rubrics", k)
		}
		kinds[k] = true
	}
	seen := map[string]bool{}
	for _, l := range r.Labels {
		if !namePattern.MatchString(l.Name) || l.Name != strings.ToUpper(l.Name) || seen[l.Name] || !utf8.ValidString(l.Meaning) {
			return fmt.Errorf("label %q is no word in capitals, or given twice", l.Name)
		}
		seen[l.Name] = true
	}
	return nil
}
