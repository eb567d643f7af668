package corpora

// Prompt is one expanded prompt.
type Prompt struct {
	ID       string `json:"id"`
	Lang     string `json:"lang"`
	Category string `json:"category,omitempty"`
	System   string `json:"system,omitempty"`
	Text     string `json:"text"`
}

// Suite is a set of prompt templates with its card.
type Suite struct {
	Name, Version, Family, Purpose, NeverUse string
	Languages                                []string
}

// CategoryCount is the number of prompts of one category.
type CategoryCount struct {
	Category string `json:"category"`
	Prompts  int    `json:"prompts"`
}

// Info is a suite's card.
type Info struct {
	Name       string          `json:"name"`
	Version    string          `json:"version"`
	Family     string          `json:"family"`
	Purpose    string          `json:"purpose"`
	NeverUse   string          `json:"never_use"`
	Languages  []string        `json:"languages"`
	Templates  int             `json:"templates"`
	Prompts    int             `json:"prompts"`
	Categories []CategoryCount `json:"categories"`
	SHA256     string          `json:"sha256"`
}

// Problem is one finding of Lint.
type Problem struct {
	Rule   string `json:"rule"`
	ID     string `json:"id"`
	Detail string `json:"detail"`
}

// List returns the cards of the embedded suites.
func List() []Info { return nil }

// Load returns an embedded suite by name, or reads a YAML or JSONL file.
func Load(name string) (*Suite, error) { return &Suite{Name: name}, nil }

// Info returns the suite's card.
func (s *Suite) Info() Info { return Info{Name: s.Name} }

// SHA256 returns the hash of the suite's source.
func (s *Suite) SHA256() string { return "" }

// Expand returns n distinct prompts drawn by seed; n = 0 means all.
func (s *Suite) Expand(seed uint64, n int) ([]Prompt, error) { return nil, nil }

// Lint returns what is wrong with the suite.
func (s *Suite) Lint() []Problem { return nil }
