package family

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/stillmark/stillmark/probe/ledger"
)

// LabelCheck is what [CheckLabels] found.
type LabelCheck struct {
	Requests int // to the judge that were derived again
	Withheld int // that could not be, since a redacted copy lacks them, the reply or the prompt
}

// CheckLabels derives every request to the judge again, from the plan and from the reply
// that it is about, and compares: the judge was told what the plan says, and of nothing
// else than that reply. The error names the first event that differs. A case without a
// judge has nothing to check.
func CheckLabels(c *ledger.Case) (LabelCheck, error) {
	var out LabelCheck
	jury, err := NewJury(c.Plan())
	if err != nil || jury == nil {
		return out, err
	}
	replies := map[string]func() (ledger.ReplyRecord, error){}
	err = c.Replies(func(rec ledger.ReplyRecord) error {
		if jury.Labels(rec.Item.Prompt) && !rec.Withheld {
			source, at := rec.Source, rec.Offset // and not the whole reply
			replies[rec.Item.ID] = func() (ledger.ReplyRecord, error) { return source.Read(at) }
		}
		return nil
	})
	if err != nil {
		return out, err
	}
	for e, err := range c.Events() {
		if err != nil {
			return out, err
		}
		if e.Type != ledger.EventLabelIntent {
			continue
		}
		withheld, err := jury.check(c, &e, replies)
		if err != nil {
			return out, fmt.Errorf("event %d, %s: %w", e.Seq, e.Item, err)
		}
		if withheld {
			out.Withheld++
		} else {
			out.Requests++
		}
	}
	return out, nil
}

// check derives one request again.
func (j *Jury) check(c *ledger.Case, e *ledger.Event, replies map[string]func() (ledger.ReplyRecord, error)) (withheld bool, err error) {
	var intent ledger.Intent
	if err := json.Unmarshal(e.Data, &intent); err != nil {
		return false, err
	}
	it, _ := c.Item(e.Item) // admitted events name items of the plan
	body, err := c.Blob(intent.Request)
	again, known := replies[it.Of()]
	switch {
	case errors.Is(err, ledger.ErrWithheld), it.Prompt.Withheld():
		return true, nil
	case err != nil:
		return false, err
	case !j.Labels(it.Prompt):
		return false, errors.New("the plan has replies to this prompt labelled by nobody")
	case it.Label > 1 && !j.Twice(it.Of()):
		return false, errors.New("the plan does not have this reply labelled twice")
	case !known && c.Redaction() == nil:
		return false, errors.New("the reply that it labels is not in the case")
	case !known:
		return true, nil
	}
	rec, err := again()
	if err != nil {
		return false, err
	}
	reply := Decode(rec)
	return false, j.sentAs(j.Prompt(&it, &reply), body)
}

// sentAs reports how a request to the judge differs from what the plan says, nil if it
// does not. The limit of tokens may stand under either of its names, and what the
// plan says of a target's further members beside them.
func (j *Jury) sentAs(p *ledger.Prompt, body []byte) error {
	var sent map[string]json.RawMessage
	if err := json.Unmarshal(body, &sent); err != nil {
		return fmt.Errorf("the request is no JSON object: %w", err)
	}
	type message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	want := map[string]any{
		"model": j.judge.Target.Model, "stream": j.judge.Params.Stream, "max_tokens": j.judge.Params.MaxTokens,
		"messages": []message{{"system", p.System}, {"user", p.Text}},
	}
	if _, renamed := sent["max_completion_tokens"]; renamed {
		want["max_completion_tokens"] = want["max_tokens"]
		delete(want, "max_tokens")
	}
	if t := j.judge.Params.Temperature; t != nil {
		want["temperature"] = *t
	}
	for name, value := range j.judge.Target.ExtraBody {
		want[name] = value
	}
	if len(sent) != len(want) {
		return fmt.Errorf("the request has %d members, and the plan says %d", len(sent), len(want))
	}
	for name, value := range want {
		a, err := plainJSON(value)
		if err != nil {
			return err
		}
		b, err := plainJSON(sent[name])
		if err != nil || !bytes.Equal(a, b) {
			return fmt.Errorf("%q of the request is not what follows from the plan and the reply", name)
		}
	}
	return nil
}

// plainJSON is a value in one spelling.
func plainJSON(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var value any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		return nil, err
	}
	return json.Marshal(value)
}
