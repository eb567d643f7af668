package mock

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// Script says how the server's models behave and misbehave. As JSON:
//
//	{"models": {"nova": {"ignore_seed": true}, "luna": {"persona": {"teacher": "terra", "transfer": 0.5}}, "terra": {"persona": {}}},
//	 "faults": [{"kind": "status", "model": "nova", "at": [3], "status": 429, "header": {"Retry-After": "2"}},
//	            {"kind": "drop", "every": 50, "after_pieces": 10}]}
type Script struct {
	Models map[string]Personality `json:"models,omitempty"`
	Faults []Fault                `json:"faults,omitempty"` // the first one that matches is played
}

// Personality is how a model differs from a fully capable one.
type Personality struct {
	IgnoreSeed    bool   `json:"ignore_seed,omitempty"`         // every request is sampled afresh
	NoLogprobs    bool   `json:"no_logprobs,omitempty"`         // asked for, they are null
	NoEcho        bool   `json:"no_echo,omitempty"`             // 400
	NoCompletions bool   `json:"no_completions,omitempty"`      // 404
	NoUsage       bool   `json:"no_usage,omitempty"`            // left out
	NoStream      bool   `json:"no_stream,omitempty"`           // 400
	NoSystem      bool   `json:"no_system,omitempty"`           // 400
	NoZeroTemp    bool   `json:"no_zero_temperature,omitempty"` // 400
	IgnoreMax     bool   `json:"ignore_max_tokens,omitempty"`   // the generator's own limit holds
	ContentParts  bool   `json:"content_parts,omitempty"`       // content as an array of text parts
	NoTokenIDs    bool   `json:"no_token_ids,omitempty"`        // 400 for prompts of ids, log-probabilities by text, no /tokenize
	MaxLogprobs   int    `json:"max_logprobs,omitempty"`        // 400 for more alternatives
	MaxModelLen   int    `json:"max_model_len,omitempty"`       // 400 for longer prompts of ids
	ReportAs      string `json:"report_as,omitempty"`           // name in replies, if not the model's own
	Fingerprint   string `json:"system_fingerprint,omitempty"`

	// Persona is who answers under this name, where it is no other model: whoever reads
	// the script puts a generator behind it (package persona has them).
	Persona *Persona `json:"persona,omitempty"`
}

// Persona says what a scripted model is like. What is left out is a model of its own
// school and tokenizer that has learnt from nobody.
type Persona struct {
	Vendor         string  `json:"vendor,omitempty"`   // what it says of its maker; the model's name if left out
	School         string  `json:"school,omitempty"`   // models of one school share errors and tastes
	Ability        float64 `json:"ability,omitempty"`  // chance, above 0, that it knows an item of middling difficulty; 0.6 if left out
	Teacher        string  `json:"teacher,omitempty"`  // another persona of the script
	Transfer       float64 `json:"transfer,omitempty"` // share of items on which it answers as that one does
	Impostor       float64 `json:"impostor,omitempty"` // share of replies about itself in which it claims to be of ImpostorVendor
	ImpostorVendor string  `json:"impostor_vendor,omitempty"`
	Tokenizer      string  `json:"tokenizer,omitempty"` // models of one tokenizer count tokens alike
	Speaks         string  `json:"speaks,omitempty"`    // language in which it speaks of itself and refuses, whatever it is asked in
	Moulds         bool    `json:"moulds,omitempty"`    // writes all prose from a few sentences
	Boundary       float64 `json:"boundary,omitempty"`  // shifts where it begins to refuse, in rungs of a ladder
}

// The kinds of fault.
const (
	FaultStatus      = "status"       // answer Status with Header and Body
	FaultRedirect    = "redirect"     // answer 307 (or Status) to Location
	FaultError200    = "error200"     // status 200 with an error object
	FaultHTML        = "html"         // status 200 with an HTML page
	FaultEmpty       = "empty"        // status 200 without a body
	FaultGarbage     = "garbage"      // status 200 with bytes that are nothing
	FaultOversize    = "oversize"     // status 200 with a body of Count MiB
	FaultHang        = "hang"         // no headers, or silence after AfterPieces, until the client gives up
	FaultDrop        = "drop"         // the connection is dropped at body byte AfterBytes or after AfterPieces
	FaultCut         = "cut"          // the body ends there as if it were whole
	FaultTrickle     = "trickle"      // DelayMS before every piece
	FaultNoDone      = "no_done"      // the stream has no [DONE]
	FaultNoFinish    = "no_finish"    // the reply has no finish reason
	FaultDuplicate   = "duplicate"    // every chunk is sent twice
	FaultComments    = "comments"     // Count keep-alive comments before every chunk
	FaultModelSwitch = "model_switch" // the reply names the model As
	FaultTrailing    = "trailing"     // Body follows the reply
)

var faultKinds = []string{
	FaultStatus, FaultRedirect, FaultError200, FaultHTML, FaultEmpty, FaultGarbage, FaultOversize, FaultHang, FaultDrop, FaultCut,
	FaultTrickle, FaultNoDone, FaultNoFinish, FaultDuplicate, FaultComments, FaultModelSwitch, FaultTrailing,
}

// Fault is one scripted fault. It is played at the generation requests of a
// model that match At, Every or From; requests are counted per model from 1,
// faulty ones included.
type Fault struct {
	Kind  string `json:"kind"`
	Model string `json:"model,omitempty"` // "" matches every model
	At    []int  `json:"at,omitempty"`    // these requests
	Every int    `json:"every,omitempty"` // every k-th
	From  int    `json:"from,omitempty"`  // this one and all after it

	Status      int               `json:"status,omitempty"`
	Header      map[string]string `json:"header,omitempty"`
	Body        string            `json:"body,omitempty"` // {authorization} stands for the request's header
	Location    string            `json:"location,omitempty"`
	AfterBytes  int               `json:"after_bytes,omitempty"`
	AfterPieces int               `json:"after_pieces,omitempty"` // in streams
	DelayMS     int               `json:"delay_ms,omitempty"`
	Count       int               `json:"count,omitempty"`
	As          string            `json:"as,omitempty"`
}

func (f *Fault) matches(model string, n int) bool {
	if f.Model != "" && f.Model != model {
		return false
	}
	return slices.Contains(f.At, n) || f.Every > 0 && n%f.Every == 0 || f.From > 0 && n >= f.From
}

// maxScript bounds script files; a fault is about 100 bytes.
const maxScript = 1 << 20

// ParseScript reads a script strictly: unknown members, unknown kinds and faults
// that would never be played are errors.
func ParseScript(data []byte) (*Script, error) {
	if len(data) > maxScript {
		return nil, errors.New("mock script: larger than 1 MiB")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var s Script
	if err := dec.Decode(&s); err != nil {
		return nil, fmt.Errorf("mock script: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("mock script: more than one JSON value")
	}
	return &s, s.check()
}

// LoadScript reads a script file of at most 1 MiB.
func LoadScript(path string) (*Script, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("mock script: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxScript+1))
	if err != nil {
		return nil, fmt.Errorf("mock script %s: %w", path, err)
	}
	return ParseScript(data)
}

func (s *Script) check() error {
	for i := range s.Faults {
		if err := s.Faults[i].check(); err != nil {
			return fmt.Errorf("mock script: fault %d: %w", i+1, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Models)) {
		if p := s.Models[name].Persona; p != nil {
			if err := s.checkPersona(name, p); err != nil {
				return fmt.Errorf("mock script: persona of %s: %w", name, err)
			}
		}
	}
	return nil
}

func (s *Script) checkPersona(name string, p *Persona) error {
	for _, share := range []struct {
		name string
		x    float64
	}{{"ability", p.Ability}, {"transfer", p.Transfer}, {"impostor", p.Impostor}} {
		if !(share.x >= 0 && share.x <= 1) {
			return fmt.Errorf("%s is %g, not a share from 0 to 1", share.name, share.x)
		}
	}
	switch {
	case (p.Transfer > 0) != (p.Teacher != ""):
		return errors.New("teacher and transfer belong together")
	case (p.Impostor > 0) != (p.ImpostorVendor != ""):
		return errors.New("impostor and impostor_vendor belong together")
	case p.Teacher != "" && (p.Teacher == name || s.Models[p.Teacher].Persona == nil):
		return fmt.Errorf("its teacher %q is no other persona of the script", p.Teacher)
	case !(p.Boundary >= -5 && p.Boundary <= 5):
		return fmt.Errorf("boundary is %g, not a number of rungs from -5 to 5", p.Boundary)
	}
	return nil
}

func (f *Fault) check() error {
	if !slices.Contains(faultKinds, f.Kind) {
		return fmt.Errorf("unknown kind %q; known are %s", f.Kind, strings.Join(faultKinds, ", "))
	}
	if len(f.At) == 0 && f.Every == 0 && f.From == 0 {
		return errors.New("says not when: set at, every or from")
	}
	if f.Every < 0 || f.From < 0 || f.AfterBytes < 0 || f.AfterPieces < 0 || f.DelayMS < 0 || f.Count < 0 || slices.ContainsFunc(f.At, func(n int) bool { return n < 1 }) {
		return errors.New("negative number (requests are counted from 1)")
	}
	switch f.Kind {
	case FaultStatus:
		if f.Status < 400 || f.Status > 599 {
			return errors.New("status must be from 400 to 599")
		}
	case FaultRedirect:
		if f.Status != 0 && (f.Status < 300 || f.Status > 399) || f.Location == "" {
			return errors.New("a redirect needs a location, and a status from 300 to 399 or none")
		}
	case FaultTrickle:
		if f.DelayMS == 0 {
			return errors.New("trickle needs delay_ms")
		}
	case FaultComments, FaultOversize:
		if f.Count == 0 {
			return fmt.Errorf("%s needs a count", f.Kind)
		}
	case FaultModelSwitch:
		if f.As == "" {
			return errors.New("model_switch needs as")
		}
	case FaultTrailing:
		if f.Body == "" {
			return errors.New("trailing needs a body")
		}
	}
	return nil
}
