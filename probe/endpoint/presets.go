package endpoint

// Quirks are the ways in which a server differs from the protocol.
type Quirks struct {
	MaxTokensField string // name of the token limit in chat requests, "max_tokens" if empty
	SeedField      string // name of the seed, "seed" if empty
	NoStreamUsage  bool   // stream_options is refused: usage is not asked for in streams
}

// Preset is what is known of a provider or server.
type Preset struct {
	Name        string
	Title       string
	BaseURL     string
	APIKeyEnv   string
	KeyOptional bool   // local servers: no key unless the variable is set
	Note        string // a sentence for people
	Quirks      Quirks
}

// Presets lists the presets by name.
func Presets() []Preset { return nil }
