package corpora

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

//go:embed suites/sets/*.yaml
var embeddedSets embed.FS

// Set is a named choice of suites, made for one purpose.
type Set struct {
	Name      string   `json:"set"`
	Purpose   string   `json:"purpose"`
	NeverUse  string   `json:"never_use"`
	Verdict   bool     `json:"verdict"`              // whether its results may be more than a rehearsal
	Runs      int      `json:"runs"`                 // how often it is to be carried out
	DaysApart int      `json:"days_apart,omitempty"` // the least time between two runs
	Requests  int      `json:"requests"`             // to one target in one run
	Members   []Member `json:"members"`
	// Brought are families whose suite nobody but the user has: passages of their model.
	Brought []string `json:"brought,omitempty"`
}

// Member is one suite of a set.
type Member struct {
	Suite   string `json:"suite"`
	Family  string `json:"family"`
	Prompts int    `json:"prompts"` // to draw
	Samples int    `json:"samples"` // replies to each
	Keyed   bool   `json:"keyed,omitempty"`
}

// setFile is the YAML form of a set. A member is one suite, or all embedded
// suites of a family except some.
type setFile struct {
	Format    int    `yaml:"format"`
	Name      string `yaml:"name"`
	Purpose   string `yaml:"purpose"`
	NeverUse  string `yaml:"never_use"`
	Verdict   bool   `yaml:"verdict"`
	Runs      int    `yaml:"runs"`
	DaysApart int    `yaml:"days_apart"`
	Members   []struct {
		Suite   string   `yaml:"suite"`
		Family  string   `yaml:"family"`
		Except  []string `yaml:"except"`
		Prompts int      `yaml:"prompts"`
		Samples int      `yaml:"samples"`
	} `yaml:"members"`
}

// Sets returns the embedded sets: smoke, standard, evidential, in the order of
// their size.
func Sets() []Set {
	cards := List()
	files, err := fs.Glob(embeddedSets, "suites/sets/*.yaml")
	if err != nil {
		panic("corpora: " + err.Error()) // the pattern is a constant
	}
	var sets []Set
	for _, file := range files {
		data, err := embeddedSets.ReadFile(file)
		if err == nil {
			var s Set
			s, err = parseSet(data, cards)
			sets = append(sets, s)
		}
		if err != nil {
			panic("corpora: embedded set " + path.Base(file) + ": " + err.Error()) // kept from happening by a test
		}
	}
	slices.SortFunc(sets, func(a, b Set) int { return a.Requests - b.Requests })
	return sets
}

// SetByName returns an embedded set.
func SetByName(name string) (*Set, error) {
	var names []string
	for _, s := range Sets() {
		if s.Name == name {
			return &s, nil
		}
		names = append(names, s.Name)
	}
	return nil, fmt.Errorf("no set is named %q: there are %s", name, strings.Join(names, ", "))
}

// parseSet reads a set and resolves its members among the suites' cards.
func parseSet(data []byte, cards []Info) (Set, error) {
	var src setFile
	if !utf8.Valid(data) {
		return Set{}, errors.New("not valid UTF-8")
	}
	if err := yaml.Load(data, &src, yaml.WithV4Defaults(), yaml.WithKnownFields()); err != nil {
		return Set{}, err
	}
	if src.Format != 1 || src.Name == "" || src.Purpose == "" || src.NeverUse == "" {
		return Set{}, errors.New("a set has format 1, a name, a purpose and what it must never be used for")
	}
	s := Set{
		Name: src.Name, Purpose: strings.TrimSpace(src.Purpose), NeverUse: strings.TrimSpace(src.NeverUse),
		Verdict: src.Verdict, Runs: max(1, src.Runs), DaysApart: src.DaysApart, Members: []Member{},
	}
	for _, m := range src.Members {
		found := m.Family == passageFamily // whose suites are the user's
		if found {
			s.Brought = append(s.Brought, m.Family)
		}
		for _, card := range cards {
			if card.Name != m.Suite && (m.Family == "" || card.Family != m.Family) || slices.Contains(m.Except, card.Name) {
				continue
			}
			found = true
			member := Member{Suite: card.Name, Family: card.Family, Keyed: card.Draws > 0, Samples: max(1, card.Samples)}
			if m.Samples > 0 {
				member.Samples = m.Samples
			}
			member.Prompts = card.Asked()
			if m.Prompts > 0 {
				member.Prompts = min(m.Prompts, member.Prompts)
			}
			s.Requests += member.Prompts * member.Samples
			s.Members = append(s.Members, member)
		}
		if !found {
			return Set{}, fmt.Errorf("no suite is named %q, or of family %q", m.Suite, m.Family)
		}
	}
	return s, nil
}

// Asked is how many prompts are put if the suite is asked in full: all of them,
// or those of the items that a key draws.
func (i *Info) Asked() int {
	if i.Draws == 0 || i.Items == 0 {
		return i.Prompts
	}
	drawn := i.Draws
	if i.Family == triggerFamily {
		drawn += i.Placebos
	}
	return i.Prompts / i.Items * drawn
}
