package corpora

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed suites/*.yaml
var embedded embed.FS

// Prompt is one expanded prompt. Text, System and Lang determine it; ID is
// unique in its suite and stays the same as long as the text does.
type Prompt struct {
	ID       string `json:"id"`
	Lang     string `json:"lang"` // BCP 47, such as "en"; empty if the source does not say
	Category string `json:"category,omitempty"`
	System   string `json:"system,omitempty"`
	Text     string `json:"text"`
	// Reading is how to read the reply; it is never sent. Nil means as a whole.
	Reading *Reading `json:"reading,omitempty"`
}

// Item is the unit of analysis to which the prompt belongs: its reading's, or
// the prompt itself.
func (p *Prompt) Item() string {
	if p.Reading != nil {
		return p.Reading.Item
	}
	return p.ID
}

// Suite is a set of prompt templates. It is immutable and safe for concurrent
// use.
type Suite struct {
	Name     string
	Version  string
	Family   string // id of the test family it serves, such as "E1"
	Purpose  string
	NeverUse string

	Languages []string

	// Samples is how many replies to each prompt the family needs, and
	// ReplyTokens how long a reply may be, in tokens; 0 if the suite does not say.
	Samples     int
	ReplyTokens int
	// Origin is where the texts come from: OriginWritten (also if empty) or
	// OriginModel.
	Origin string
	// Draws is how many items a key draws out of the suite, or fills; 0 if it
	// needs no key. See [Suite.ExpandUnder].
	Draws int
	// Slots is over how many slots of a schedule the prompts are spread; 0 if
	// they are asked at any time.
	Slots int

	types     map[string]local[[]string] // slot values that templates share
	templates []template
	draw      int // version of the order in which prompts are drawn; 0 is 1
	placebos  int // items that are never planted
	maxTokens int
	hash      string
	embedded  bool // in the program
	cardless  bool // read from a JSONL file, which has no card
}

// The origins of a suite's texts.
const (
	OriginWritten = "written" // by people, for this purpose
	OriginModel   = "model"   // by the model whose traces are looked for: passages of E2 only
)

// Info is the card of a suite.
type Info struct {
	Name        string          `json:"name"`
	Version     string          `json:"version"`
	Family      string          `json:"family"`
	Purpose     string          `json:"purpose"`
	NeverUse    string          `json:"never_use"`
	Languages   []string        `json:"languages"`
	Templates   int             `json:"templates"`
	Items       int             `json:"items"`                  // units of analysis; 0 if a slot has no values
	Placebos    int             `json:"placebos"`               // items among them that are never planted
	Prompts     int             `json:"prompts"`                // distinct, over all slots, languages and framings
	Samples     int             `json:"samples,omitempty"`      // replies to each prompt that the family needs
	ReplyTokens int             `json:"reply_tokens,omitempty"` // how long a reply may be
	Origin      string          `json:"origin"`
	Draws       int             `json:"draws,omitempty"` // items that a key draws or fills
	Slots       int             `json:"slots,omitempty"` // of a schedule, over which the prompts are spread
	Categories  []CategoryCount `json:"categories"`
	SHA256      string          `json:"sha256"`
}

// CategoryCount is a category's share of a suite.
type CategoryCount struct {
	Category  string `json:"category"`
	Templates int    `json:"templates"`
	Prompts   int    `json:"prompts"`
}

// List returns the cards of the embedded suites, by name.
func List() []Info {
	var cards []Info
	for _, name := range names() {
		s, err := Load(name)
		if err != nil {
			panic("corpora: embedded suite " + name + ": " + err.Error()) // kept from happening by a test
		}
		cards = append(cards, s.Info())
	}
	return cards
}

func names() []string {
	files, err := fs.Glob(embedded, "suites/*.yaml")
	if err != nil {
		panic("corpora: " + err.Error()) // the pattern is a constant
	}
	for i, file := range files {
		files[i] = strings.TrimSuffix(path.Base(file), ".yaml")
	}
	return files
}

// Load returns an embedded suite by its name, or reads a user's suite from a
// file whose name ends in .yaml or .yml (the format of the embedded suites,
// described in suites/README.md) or in .jsonl. Each line of a .jsonl file is
// an object with the string members id and text and, if wanted, lang, system,
// category and reading (see [Reading]), or on the first line the member card;
// other members are refused. An embedded name wins over a file.
//
// Structural faults are errors that name the line or template; what is merely
// unwise is left to Lint.
func Load(name string) (*Suite, error) {
	if slices.Contains(names(), name) {
		data, err := embedded.ReadFile("suites/" + name + ".yaml")
		if err != nil {
			return nil, fmt.Errorf("embedded suite %s: %w", name, err)
		}
		s, err := parseYAML(data)
		if err == nil {
			s.embedded = true
		}
		return s, err
	}
	ext := filepath.Ext(name)
	if !slices.Contains(suiteEndings, ext) {
		return nil, fmt.Errorf("no suite is named %q: the embedded ones are %s; a file of your own must end in .yaml, .yml or .jsonl", name, strings.Join(names(), ", "))
	}
	data, err := readSource(name)
	if err != nil {
		return nil, err
	}
	var s *Suite
	if ext == ".jsonl" {
		s, err = parseJSONL(strings.TrimSuffix(filepath.Base(name), ext), data)
	} else {
		s, err = parseYAML(data)
	}
	if err != nil {
		return nil, fmt.Errorf("suite file %s: %w", name, err)
	}
	return s, nil
}

// LoadAll is Load for a name that may also be that of a folder, all of whose
// .yaml, .yml and .jsonl files are read, by name. Two suites of one name are an
// error, because a plan names them apart.
func LoadAll(name string) ([]*Suite, error) {
	if info, err := os.Stat(name); err != nil || !info.IsDir() || slices.Contains(names(), name) {
		s, err := Load(name)
		if err != nil {
			return nil, err
		}
		return []*Suite{s}, nil
	}
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, fmt.Errorf("suite folder: %w", err)
	}
	var suites []*Suite
	seen := make(map[string]string)
	for _, e := range entries {
		if e.IsDir() || !slices.Contains(suiteEndings, filepath.Ext(e.Name())) {
			continue
		}
		s, err := Load(filepath.Join(name, e.Name()))
		if err != nil {
			return nil, err
		}
		if other, dup := seen[s.Name]; dup {
			return nil, fmt.Errorf("suite folder %s: %s and %s are both named %s", name, other, e.Name(), s.Name)
		}
		seen[s.Name] = e.Name()
		suites = append(suites, s)
	}
	if len(suites) == 0 {
		return nil, fmt.Errorf("suite folder %s: no file in it ends in .yaml, .yml or .jsonl", name)
	}
	return suites, nil
}

var suiteEndings = []string{".yaml", ".yml", ".jsonl"}

// Embedded reports whether the suite is one of the program's own.
func (s *Suite) Embedded() bool { return s.embedded }

// SHA256 returns the hexadecimal hash of the suite's source file, as sha256sum
// prints it.
func (s *Suite) SHA256() string { return s.hash }

// Info returns the suite's card.
func (s *Suite) Info() Info {
	card := Info{
		Name: s.Name, Version: s.Version, Family: s.Family, Purpose: s.Purpose, NeverUse: s.NeverUse,
		Languages: slices.Clone(s.Languages), Templates: len(s.templates), SHA256: s.hash,
		Samples: s.Samples, ReplyTokens: s.ReplyTokens, Origin: cmp.Or(s.Origin, OriginWritten), Draws: s.Draws, Slots: s.Slots,
	}
	at := make(map[string]int)
	count := func(category string) *CategoryCount {
		i, ok := at[category]
		if !ok {
			i = len(card.Categories)
			at[category] = i
			card.Categories = append(card.Categories, CategoryCount{Category: category})
		}
		return &card.Categories[i]
	}
	for _, t := range s.templates {
		count(t.category).Templates++
	}
	if prompts, err := s.pool(0); err == nil {
		card.Prompts = len(prompts)
		items := make(map[string]bool)
		for _, p := range prompts {
			count(p.Category).Prompts++
			item := p.Item()
			if !items[item] && p.Reading != nil && p.Reading.Placebo {
				card.Placebos++
			}
			items[item] = true
		}
		card.Items = len(items)
		if s.Family == triggerFamily {
			card.Placebos = s.placebos // which they are, a key draws
		}
	}
	return card
}
