package mock

// Script says how the server's models behave and misbehave.
type Script struct {
	Models map[string]Personality `json:"models,omitempty"`
	Faults []Fault                `json:"faults,omitempty"`
}

// Personality is how a model differs from a fully capable one.
type Personality struct {
	IgnoreSeed    bool   `json:"ignore_seed,omitempty"`
	NoLogprobs    bool   `json:"no_logprobs,omitempty"`
	NoEcho        bool   `json:"no_echo,omitempty"`
	NoCompletions bool   `json:"no_completions,omitempty"`
	NoUsage       bool   `json:"no_usage,omitempty"`
	NoStream      bool   `json:"no_stream,omitempty"`
	NoSystem      bool   `json:"no_system,omitempty"`
	NoZeroTemp    bool   `json:"no_zero_temperature,omitempty"`
	IgnoreMax     bool   `json:"ignore_max_tokens,omitempty"`
	ContentParts  bool   `json:"content_parts,omitempty"` // content as an array of text parts
	ReportAs      string `json:"report_as,omitempty"`     // name in replies, if not the model's own
	Fingerprint   string `json:"system_fingerprint,omitempty"`
}

// Fault is one scripted fault. It is played at generation requests of a model
// that match At, Every or From; requests are counted per model from 1.
type Fault struct {
	Kind  string `json:"kind"`
	Model string `json:"model,omitempty"` // "" matches every model
	At    []int  `json:"at,omitempty"`    // these requests
	Every int    `json:"every,omitempty"` // every k-th
	From  int    `json:"from,omitempty"`  // this one and all after it

	Status      int               `json:"status,omitempty"`
	Header      map[string]string `json:"header,omitempty"`
	Body        string            `json:"body,omitempty"`
	AfterBytes  int               `json:"after_bytes,omitempty"`
	AfterPieces int               `json:"after_pieces,omitempty"`
	DelayMS     int               `json:"delay_ms,omitempty"`
	Count       int               `json:"count,omitempty"`
	As          string            `json:"as,omitempty"`
}

// ParseScript reads a script strictly: an unknown member is an error.
func ParseScript(data []byte) (*Script, error) { return &Script{}, nil }

// LoadScript reads a script file of at most 1 MiB.
func LoadScript(path string) (*Script, error) { return &Script{}, nil }
