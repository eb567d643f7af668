package ledger

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
)

// PromptsName is the file of what the prompts of a salted plan say.
const PromptsName = "prompts.jsonl"

// saltSize is the length of a salt in bytes. Who does not know it cannot find out
// by guessing what a salted hash stands for, however short that is.
const saltSize = 32

// promptLine is a line of prompts.jsonl. Its SHA-256 is the prompt's leaf.
type promptLine struct {
	Suite   string          `json:"suite"`
	ID      string          `json:"id"`
	Salt    string          `json:"salt"` // hex, saltSize random bytes
	System  string          `json:"system,omitempty"`
	Text    string          `json:"text"`
	Reading json.RawMessage `json:"reading,omitempty"`
}

// withheldLine stands in prompts.jsonl for the line of a prompt that is withheld.
func withheldLine(leaf string) []byte { return []byte("withheld " + leaf) }

// AddSalts makes a plan whose prompts can be withheld one by one, and the replies to
// them: plan.json then names each prompt by a salted hash, and what it says stands
// in prompts.jsonl; raw bytes are stored with a salt each. r is a source of secrets.
func (p *Plan) AddSalts(r io.Reader) error {
	for i := range p.Prompts {
		salt := make([]byte, saltSize)
		if _, err := io.ReadFull(r, salt); err != nil {
			return fmt.Errorf("drawing the salt of a prompt: %w", err)
		}
		q := &p.Prompts[i]
		q.Salt = hex.EncodeToString(salt)
		line, err := q.line()
		if err != nil {
			return err
		}
		q.Leaf = hexSHA256(line)
	}
	p.Format = PlanSalted
	return nil
}

// Withheld reports whether what the prompt says is not known, but for its salted hash.
func (q *Prompt) Withheld() bool { return q.Leaf != "" && q.Salt == "" }

// line is the prompt's line of prompts.jsonl, without its newline.
func (q *Prompt) line() ([]byte, error) {
	if q.Withheld() {
		return withheldLine(q.Leaf), nil
	}
	line, err := json.Marshal(promptLine{q.Suite, q.ID, q.Salt, q.System, q.Text, q.Reading})
	if err != nil {
		return nil, fmt.Errorf("encoding prompt %s: %w", q.ID, err)
	}
	return line, nil
}

// EncodePrompts returns prompts.jsonl: a line for each prompt of a salted plan, in the
// plan's order.
func EncodePrompts(p *Plan) ([]byte, error) {
	var b bytes.Buffer
	for i := range p.Prompts {
		line, err := p.Prompts[i].line()
		if err != nil {
			return nil, err
		}
		b.Write(append(line, '\n'))
	}
	if b.Len() > maxPlan {
		return nil, fmt.Errorf("the prompts have %d MiB, more than the %d MiB that are read", b.Len()>>20, maxPlan>>20)
	}
	return b.Bytes(), nil
}

// addPrompts completes a plan that was decoded with what its prompts say. A line that
// does not have the hash in the plan is a *[DamageError]; of a redacted copy, lines may
// be withheld.
func (p *Plan) addPrompts(data []byte, redacted bool) error {
	if len(data) > maxPlan {
		return fmt.Errorf("%s is larger than %d MiB, the most that is read", PromptsName, maxPlan>>20)
	}
	offset := int64(0)
	for i := range p.Prompts {
		q := &p.Prompts[i]
		line, rest, whole := bytes.Cut(data, []byte{'\n'})
		damage := func(reason string) error {
			return &DamageError{File: PromptsName, Line: i + 1, Offset: offset, Reason: reason}
		}
		var in promptLine
		switch {
		case !whole:
			return damage("the file ends before the plan's prompts do")
		case redacted && bytes.Equal(line, withheldLine(q.Leaf)):
		case hexSHA256(line) != q.Leaf:
			return damage(fmt.Sprintf("it does not have the SHA-256 that the plan holds for prompt %s", q.ID))
		case decodeStrict(line, &in) != nil || in.Suite != q.Suite || in.ID != q.ID || !isHexSHA256(in.Salt):
			return damage(fmt.Sprintf("it is not a line for prompt %s of suite %s", q.ID, q.Suite))
		default:
			q.Salt, q.System, q.Text, q.Reading = in.Salt, in.System, in.Text, in.Reading
			again, err := q.line()
			if err != nil {
				return err
			}
			if err := sameBytes(line, again); err != nil {
				return damage(err.Error())
			}
		}
		offset += int64(len(line)) + 1
		data = rest
	}
	if len(data) > 0 {
		return &DamageError{File: PromptsName, Line: len(p.Prompts) + 1, Offset: offset, Reason: "text follows the last prompt of the plan"}
	}
	return nil
}
