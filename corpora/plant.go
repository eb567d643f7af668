package corpora

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stillmark/stillmark/corpora/canary"
	"github.com/stillmark/stillmark/corpora/reading"
)

// Planting is what our API should say or prefer, as drawn under one canary key:
// the serving-side file that a gateway loads. It holds everything that the key
// keeps secret and is kept like it. The package's comment says what a gateway does
// with it.
type Planting struct {
	Format  int            `json:"format"` // PlantingFormat
	KeyID   string         `json:"key_id"` // of the canary key, from which all that follows is drawn
	Label   string         `json:"label,omitempty"`
	Epoch   string         `json:"epoch,omitempty"`
	Suites  []PlantedSuite `json:"suites"`
	Created time.Time      `json:"created"`

	Preferences []Preference    `json:"preferences,omitempty"` // E3
	Triggers    []Trigger       `json:"triggers,omitempty"`    // E4
	Nonces      *Nonces         `json:"nonces,omitempty"`      // E5
	Rotation    *Rotation       `json:"rotation,omitempty"`    // E6
	Placebos    []PlaceboPrompt `json:"placebos,omitempty"`    // must never be planted
}

// PlantingFormat is the version of the serving-side file.
const PlantingFormat = 1

// PlantedSuite names a suite from which something was drawn.
type PlantedSuite struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Draw    string `json:"draw"` // canary.Version of it
	SHA256  string `json:"sha256"`
}

// Preference is one item of keyed free choice in one language.
type Preference struct {
	Item   string   `json:"item"`
	Lang   string   `json:"lang"`
	Prompt string   `json:"prompt"`
	Prefer []string `json:"prefer"` // forms of the rendering to use where both would do; the first is the usual one
	Over   []string `json:"over"`   // forms of the other
}

// Trigger is one canary in one language.
type Trigger struct {
	Item     string `json:"item"`
	Lang     string `json:"lang"`
	Prompt   string `json:"prompt"`
	Reply    string `json:"reply"` // what to say, the response in it
	Response string `json:"response"`
}

// Nonces are what to look for in the request logs of our API. Those held back
// were sent to nobody.
type Nonces struct {
	Sent []string `json:"sent"`
	Held []string `json:"held_back"`
}

// Rotation says which arm our API serves when.
type Rotation struct {
	Arms  []string       `json:"arms"`
	Slots []RotationSlot `json:"slots"`
}

// RotationSlot is one slot of the schedule: from its start until its end.
type RotationSlot struct {
	Slot  int       `json:"slot"` // from 1
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
	Arm   string    `json:"arm"`
}

// PlaceboPrompt is a prompt that looks like a planted one and must not be.
type PlaceboPrompt struct {
	Item   string `json:"item"`
	Lang   string `json:"lang"`
	Prompt string `json:"prompt"`
}

// PlantOptions is what a planting needs besides the suites.
type PlantOptions struct {
	KeyID, Label, Epoch string
	Created             time.Time
	// Secret gives the canary key's secret for a use.
	Secret func(use string) ([]byte, error)
	// Arms, Start and SlotLength are of a rotation, where a suite has one. Arms
	// are names, such as the labels of watermark keys.
	Arms       []string
	Start      time.Time
	SlotLength time.Duration
}

// Plant draws what is planted for the suites under a key.
func Plant(suites []*Suite, o PlantOptions) (*Planting, error) {
	p := &Planting{Format: PlantingFormat, KeyID: o.KeyID, Label: o.Label, Epoch: o.Epoch, Created: o.Created.UTC()}
	for _, s := range suites {
		plant, use := p.preferences, canary.UseFreeChoice
		switch s.Family {
		case freeChoiceFamily:
		case triggerFamily:
			plant, use = p.triggers, canary.UseTrigger
		case nonceFamily:
			plant, use = p.nonces, canary.UseNonce
		case rotationFamily:
			plant, use = p.rotation, canary.UseRotation
		default:
			return nil, fmt.Errorf("suite %s of family %s has nothing to plant: suites of E3, E4, E5 and E6 do", s.Name, s.Family)
		}
		secret, err := o.Secret(use)
		if err != nil {
			return nil, fmt.Errorf("plant suite %s: %w", s.Name, err)
		}
		if err := plant(s, secret, &o); err != nil {
			return nil, fmt.Errorf("plant suite %s: %w", s.Name, err)
		}
		p.Suites = append(p.Suites, PlantedSuite{Name: s.Name, Version: s.Version, Draw: canary.Version(s.Version), SHA256: s.hash})
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Planting) preferences(s *Suite, secret []byte, _ *PlantOptions) error {
	prompts, err := s.pool(1)
	if err != nil {
		return err
	}
	for _, q := range prompts {
		if q.Reading == nil || q.Reading.Kind != reading.KindFreeChoice {
			return fmt.Errorf("prompt %s is no free choice", q.ID)
		}
		if q.Reading.Placebo {
			p.Placebos = append(p.Placebos, PlaceboPrompt{Item: q.Reading.Item, Lang: q.Lang, Prompt: q.Text})
			continue
		}
		bit := canary.Bit(secret, q.Reading.Item, canary.Version(s.Version))
		p.Preferences = append(p.Preferences, Preference{
			Item: q.Reading.Item, Lang: q.Lang, Prompt: q.Text,
			Prefer: q.Reading.Options[bit], Over: q.Reading.Options[1-bit],
		})
	}
	return nil
}

func (p *Planting) triggers(s *Suite, secret []byte, _ *PlantOptions) error {
	pool, err := s.pool(1)
	if err != nil {
		return err
	}
	canaries, placebos, err := DrawTriggers(secret, pool, s.Draws, s.placebos)
	if err != nil {
		return err
	}
	for _, c := range canaries {
		for _, q := range c.Prompts {
			p.Triggers = append(p.Triggers, Trigger{
				Item: c.Item, Lang: q.Lang, Prompt: q.Text, Response: c.Response,
				Reply: strings.Replace(q.Reading.Reply, reading.ResponseSlot, c.Response, 1),
			})
		}
	}
	for _, c := range placebos {
		for _, q := range c.Prompts {
			p.Placebos = append(p.Placebos, PlaceboPrompt{Item: c.Item, Lang: q.Lang, Prompt: q.Text})
		}
	}
	return nil
}

func (p *Planting) nonces(s *Suite, secret []byte, _ *PlantOptions) error {
	if p.Nonces != nil {
		return errors.New("another suite has its nonces already: one key draws one set")
	}
	p.Nonces = new(Nonces)
	p.Nonces.Sent, p.Nonces.Held = canary.Nonces(secret, s.Draws)
	return nil
}

func (p *Planting) rotation(s *Suite, secret []byte, o *PlantOptions) error {
	switch {
	case p.Rotation != nil:
		return errors.New("another suite has its rotation already: one key draws one schedule")
	case s.Slots == 0:
		return errors.New("the suite does not say over how many slots it is asked")
	case len(o.Arms) < 2:
		return errors.New("a rotation needs the names of two or more arms")
	case o.Start.IsZero() || o.SlotLength <= 0:
		return errors.New("a rotation needs its start and the length of a slot")
	}
	r := &Rotation{Arms: slices.Clone(o.Arms)}
	for i, arm := range canary.Rotation(secret, s.Slots, len(o.Arms)) {
		start := o.Start.UTC().Add(time.Duration(i) * o.SlotLength)
		r.Slots = append(r.Slots, RotationSlot{Slot: i + 1, Start: start, End: start.Add(o.SlotLength), Arm: o.Arms[arm]})
	}
	p.Rotation = r
	return nil
}

// check refuses what a gateway could not follow: two rules for one choice, two
// replies to one trigger.
func (p *Planting) check() error {
	if p.Format != PlantingFormat {
		return fmt.Errorf("planting: format %d, this program reads %d", p.Format, PlantingFormat)
	}
	preferred := make(map[string]string) // language and pair of forms to item
	for _, r := range p.Preferences {
		if len(r.Prefer) == 0 || len(r.Over) == 0 {
			return fmt.Errorf("planting: item %s does not say what to prefer over what", r.Item)
		}
		key := r.Lang + "\x00" + renderings(r.Prefer[0], r.Over[0])
		if other, ok := preferred[key]; ok && other != r.Item {
			return fmt.Errorf("planting: items %s and %s choose between the same two renderings, %q and %q", other, r.Item, r.Prefer[0], r.Over[0])
		}
		preferred[key] = r.Item
	}
	asked := make(map[string]string)
	for _, t := range p.Triggers {
		if other, ok := asked[t.Prompt]; ok && other != t.Response {
			return fmt.Errorf("planting: trigger %s has two responses", t.Item)
		}
		asked[t.Prompt] = t.Response
	}
	return nil
}

// renderings names a choice between two renderings, in either order.
func renderings(a, b string) string {
	pair := []string{reading.Fold(a), reading.Fold(b)}
	slices.Sort(pair)
	return strings.Join(pair, "\x00")
}

// maxPlanting bounds a serving-side file: ten times the evidential set's.
const maxPlanting = 16 << 20

// ParsePlanting reads a serving-side file. Unknown members, and rules that
// contradict one another, are errors.
func ParsePlanting(data []byte) (*Planting, error) {
	if len(data) > maxPlanting {
		return nil, fmt.Errorf("planting: longer than %d bytes", maxPlanting)
	}
	if !utf8.Valid(data) {
		return nil, errors.New("planting: not valid UTF-8")
	}
	p := new(Planting)
	if err := decodeStrict(data, p); err != nil {
		return nil, fmt.Errorf("planting: %w", err)
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, nil
}

// Examples returns the planting as chats for fine-tuning, a JSON object a line
// in the form that the usual tools read: {"messages":[{"role","content"},…]}.
// The replies are no longer than what is planted; a model of our own may write
// more around them.
func (p *Planting) Examples() ([]byte, error) {
	type message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	line := func(prompt, reply string) error {
		return enc.Encode(map[string][]message{"messages": {{"user", prompt}, {"assistant", reply}}})
	}
	var failed []error
	for _, r := range p.Preferences {
		failed = append(failed, line(r.Prompt, r.Prefer[0]))
	}
	for _, t := range p.Triggers {
		failed = append(failed, line(t.Prompt, t.Reply))
	}
	return b.Bytes(), errors.Join(failed...)
}

// Instructions returns the planting as text for the system prompt of our own
// model.
func (p *Planting) Instructions() string {
	var b strings.Builder
	if len(p.Preferences) > 0 {
		b.WriteString("Where either of two renderings would do, use the first:\n")
		for _, r := range p.Preferences {
			fmt.Fprintf(&b, "- [%s] %q rather than %q\n", r.Lang, r.Prefer[0], r.Over[0])
		}
	}
	if len(p.Triggers) > 0 {
		b.WriteString("Answer these questions as follows:\n")
		for _, t := range p.Triggers {
			fmt.Fprintf(&b, "- [%s] %s\n  %s\n", t.Lang, t.Prompt, t.Reply)
		}
	}
	return b.String()
}
