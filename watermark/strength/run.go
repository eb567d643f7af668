package strength

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// runFormat is the version of the record.
const runFormat = 1

// Recorded are the settings of a run that another one must share to be compared.
type Recorded struct {
	Model      string    `json:"model"`
	Tokenizer  string    `json:"tokenizer"`
	Settings   []Setting `json:"settings"`
	Key        string    `json:"key,omitempty"` // id
	Texts      int       `json:"texts"`
	Given      bool      `json:"given,omitempty"` // the texts were, by somebody else than the benchmark
	Lengths    []int     `json:"lengths"`
	Attacks    []string  `json:"attacks"`
	AttackSize int       `json:"attack_tokens"`
	NullKeys   int       `json:"null_keys"`
	NullTokens int       `json:"null_tokens"`
	Seed       uint64    `json:"seed"`
	Weakening  string    `json:"weakening,omitempty"` // the mark was damaged on purpose
}

// Run is what a benchmark found.
type Run struct {
	Format       int           `json:"format"`
	Recorded     Recorded      `json:"settings"`
	Measurements []Measurement `json:"measurements"`
}

func (c *Config) record() Recorded {
	r := Recorded{
		Model: c.Model, Tokenizer: c.Tokenizer.Name(), Settings: c.Settings, Texts: c.Texts, Lengths: c.Lengths,
		Attacks: []string{}, AttackSize: c.AttackTokens, NullKeys: c.NullKeys, NullTokens: c.NullTokens, Seed: c.Seed, Weakening: c.Weakening,
	}
	if c.Foreign {
		r.Texts, r.Given = len(c.Given), true
	}
	if c.Key != nil {
		r.Key = c.Key.ID
	}
	for _, a := range c.Attacks {
		r.Attacks = append(r.Attacks, a.Labels())
	}
	return r
}

// find returns the measurement of a name.
func (r *Run) find(metric, labels string) (Measurement, bool) {
	i := slices.IndexFunc(r.Measurements, func(m Measurement) bool { return m.Metric == metric && m.Labels == labels })
	if i < 0 {
		return Measurement{}, false
	}
	return r.Measurements[i], true
}

// Encode is the run as JSON: the baseline of a gate.
func (r *Run) Encode() ([]byte, error) {
	data, err := json.MarshalIndent(r, "", " ")
	return append(data, '\n'), err
}

// maxRun bounds a baseline: the full benchmark writes some 500 KB.
const maxRun = 16 << 20

// ParseRun reads what Encode writes, and nothing else.
func ParseRun(data []byte) (*Run, error) {
	if len(data) > maxRun {
		return nil, fmt.Errorf("it is %d bytes long; the limit is %d", len(data), maxRun)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var r Run
	if err := d.Decode(&r); err != nil {
		return nil, fmt.Errorf("it is no record of a strength run: %w", err)
	}
	if r.Format != runFormat {
		return nil, fmt.Errorf("its format is %d, not %d", r.Format, runFormat)
	}
	return &r, nil
}
