package corpora

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Limits on suite files: an order of magnitude above the largest suite that is
// planned (1,500 templates, 0.5 MB), and low enough that a hostile file cannot
// exhaust memory.
const (
	maxSource    = 8 << 20
	maxTemplates = 20_000
	maxFillings  = 10_000   // of one template
	maxPrompts   = 200_000  // of one suite
	maxFilled    = 64 << 20 // bytes of all prompts of one suite
	maxText      = 16 << 10 // bytes of one prompt
	maxID        = 64
)

// defaultMaxTokens is the length above which Lint objects to a prompt, in
// cl100k tokens with its system text: units whose window stands in the prompt
// are not scored, and a neutral prompt of one or two sentences fits.
const defaultMaxTokens = 60

// suiteFile is the YAML form of a suite; suites/README.md describes it.
type suiteFile struct {
	Format    int                 `yaml:"format"`
	Name      string              `yaml:"name"`
	Version   string              `yaml:"version"`
	Family    string              `yaml:"family"`
	Purpose   string              `yaml:"purpose"`
	NeverUse  string              `yaml:"never_use"`
	Languages []string            `yaml:"languages"`
	MaxTokens int                 `yaml:"max_tokens"`
	Types     map[string][]string `yaml:"types"`
	Groups    []struct {
		Category  string `yaml:"category"`
		Lang      string `yaml:"lang"`
		System    string `yaml:"system"`
		Templates []struct {
			ID    string              `yaml:"id"`
			Text  string              `yaml:"text"`
			Slots map[string][]string `yaml:"slots"`
		} `yaml:"templates"`
	} `yaml:"groups"`
}

func readSource(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("suite file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSource+1))
	if err != nil {
		return nil, fmt.Errorf("suite file: %w", err)
	}
	if len(data) > maxSource {
		return nil, fmt.Errorf("suite file %s: larger than %d bytes: cut it into several suites", path, maxSource)
	}
	return data, nil
}

func parseYAML(data []byte) (*Suite, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("the suite is not valid UTF-8")
	}
	var src suiteFile
	if err := yaml.Load(data, &src, yaml.WithV4Defaults(), yaml.WithKnownFields()); err != nil {
		return nil, fmt.Errorf("read suite: %w", err)
	}
	if src.Format != 1 {
		return nil, fmt.Errorf("format %d: this program reads format 1", src.Format)
	}
	if src.Name == "" || src.Version == "" {
		return nil, errors.New("name and version must be given: a plan cites both")
	}
	s := &Suite{
		Name: src.Name, Version: src.Version, Family: src.Family, Languages: src.Languages,
		Purpose: strings.TrimSpace(src.Purpose), NeverUse: strings.TrimSpace(src.NeverUse),
		types: src.Types, maxTokens: src.MaxTokens, hash: hashSource(data),
	}
	if s.maxTokens == 0 {
		s.maxTokens = defaultMaxTokens
	}
	if s.maxTokens < 0 {
		return nil, fmt.Errorf("max_tokens is %d; it must be positive", s.maxTokens)
	}
	for name := range s.types {
		if !slotName(name) {
			return nil, fmt.Errorf("type %q: a type's name is lower-case letters, digits and underscores", name)
		}
	}
	for _, g := range src.Groups {
		for _, t := range g.Templates {
			if len(t.Text) > maxText {
				return nil, fmt.Errorf("template %s: its text is longer than %d bytes", t.ID, maxText)
			}
			segments, err := parseText(strings.TrimSpace(t.Text))
			if err != nil {
				return nil, fmt.Errorf("template %s: %w", t.ID, err)
			}
			s.templates = append(s.templates, template{
				id: t.ID, lang: g.Lang, category: g.Category, system: strings.TrimSpace(g.System),
				segments: segments, slots: t.Slots,
			})
		}
	}
	return s, s.check()
}

func parseJSONL(name string, data []byte) (*Suite, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("the file is not valid UTF-8")
	}
	s := &Suite{
		Name: name, Version: "file", cardless: true, maxTokens: defaultMaxTokens, hash: hashSource(data),
		Purpose: "prompts brought by the user", NeverUse: "not stated by the file",
	}
	languages := make(map[string]bool)
	for n := 1; len(data) > 0; n++ {
		line, rest, _ := bytes.Cut(data, []byte{'\n'})
		data = rest
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var item struct {
			ID, Text, Lang, System, Category string
		}
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&item); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if _, err := dec.Token(); err != io.EOF {
			return nil, fmt.Errorf("line %d: more than one JSON value", n)
		}
		if len(item.Text) > maxText {
			return nil, fmt.Errorf("line %d: the text is longer than %d bytes", n, maxText)
		}
		if item.Lang != "" {
			languages[item.Lang] = true
		}
		if len(s.templates) == maxTemplates {
			return nil, fmt.Errorf("line %d: more than %d prompts: cut the file into several suites", n, maxTemplates)
		}
		s.templates = append(s.templates, template{
			id: item.ID, lang: item.Lang, category: item.Category, system: item.System,
			segments: []segment{{literal: item.Text}},
		})
	}
	s.Languages = slices.Sorted(maps.Keys(languages))
	return s, s.check()
}

func hashSource(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// check holds what both forms must satisfy before anything is expanded.
func (s *Suite) check() error {
	if len(s.templates) == 0 {
		return errors.New("the suite has no prompts")
	}
	if len(s.templates) > maxTemplates {
		return fmt.Errorf("the suite has %d templates, at most %d are read", len(s.templates), maxTemplates)
	}
	seen := make(map[string]bool, len(s.templates))
	for i := range s.templates {
		id := s.templates[i].id
		switch {
		case !validID(id):
			return fmt.Errorf("prompt %d has the id %q: an id is 1 to %d letters, digits, dots, hyphens or underscores", i+1, id, maxID)
		case seen[id]:
			return fmt.Errorf("the id %s occurs twice", id)
		}
		seen[id] = true
	}
	return nil
}

func validID(id string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	return id != "" && len(id) <= maxID && strings.Trim(id, allowed) == ""
}
