// Package config reads stillmark.yaml: the targets of an audit and who ordered
// it. Reading is strict: the file must satisfy the published JSON schema
// ([Schema]), and an unknown member is answered with the nearest known one.
// The package may import probe/ledger, probe/endpoint (presets) and the YAML
// and JSON schema libraries; only the command imports it.
package config

import (
	_ "embed" // the schema
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/stillmark/stillmark/probe/ledger"
)

// Schema is the published JSON schema of stillmark.yaml.
//
//go:embed schema.json
var Schema []byte

// DefaultPath is read when no file is named and it exists.
const DefaultPath = "stillmark.yaml"

// maxSize bounds a configuration file: a thousand targets take 200 KiB.
const maxSize = 1 << 20

// File is the content of stillmark.yaml.
type File struct {
	Path      string `json:"-"` // "" where there is none
	Authority string `json:"authority"`
	Purpose   string `json:"purpose"`
	// TermsReviewedBy says who read the providers' terms of use, and when.
	TermsReviewedBy string `json:"terms_reviewed_by"`

	Targets []Target `json:"targets"`

	lines map[string]int // of every value, by its JSON pointer
}

// Line is the line of the value at a JSON pointer such as /targets/0/model, 0
// where the file does not have it.
func (f *File) Line(pointer string) int { return f.lines[pointer] }

// Target is one endpoint as configured.
type Target struct {
	Name      string        `json:"name"`
	Role      ledger.Role   `json:"role"`
	Preset    string        `json:"preset"`
	BaseURL   string        `json:"base_url"`
	Model     string        `json:"model"`
	APIKeyEnv string        `json:"api_key_env"`
	Price     *ledger.Price `json:"price"`
	// Vendor and PreviousOf are for comparative families: see ledger.Target.
	Vendor     string `json:"vendor"`
	PreviousOf string `json:"previous_of"`
	// Providers pins a router to the providers that may serve the model, in this
	// order and without others to fall back on (OpenRouter).
	Providers []string `json:"providers,omitempty"`
	// ExtraBody are further members of every request: see ledger.Target.
	ExtraBody map[string]json.RawMessage `json:"extra_body,omitempty"`
}

// Error is a mistake in a configuration file.
type Error struct {
	Path     string
	Problems []string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s is not a valid configuration: %s", e.Path, strings.Join(e.Problems, "; "))
}

// ExitCode is that of usage errors: nothing was sent.
func (e *Error) ExitCode() int { return 2 }

// Path is the file that is read when none is named: DefaultPath, or else the same
// name in the user's folder of configurations ($XDG_CONFIG_HOME/stillmark), or ""
// where neither exists.
func Path() string {
	candidates := []string{DefaultPath}
	if dir, err := os.UserConfigDir(); err == nil {
		candidates = append(candidates, filepath.Join(dir, "stillmark", DefaultPath))
	}
	for _, path := range candidates {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// Load reads the file at path; "" means [Path], and an empty configuration where
// that finds none.
func Load(path string) (*File, error) {
	if path == "" {
		if path = Path(); path == "" {
			return &File{}, nil
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	if info.Size() > maxSize {
		return nil, &Error{path, []string{fmt.Sprintf("%d bytes, more than the %d that a configuration may have", info.Size(), maxSize)}}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return Parse(path, data)
}

// Parse checks data against the schema and decodes it; path is for messages.
func Parse(path string, data []byte) (*File, error) {
	encoded, lines, problems := checker().Check(data)
	if problems != nil {
		return nil, &Error{path, problems}
	}
	f := &File{Path: path, lines: lines}
	if err := json.Unmarshal(encoded, f); err != nil {
		return nil, &Error{path, []string{err.Error()}}
	}
	seen := map[string]bool{}
	for i := range f.Targets {
		t := &f.Targets[i]
		if seen[t.Name] {
			return nil, &Error{path, []string{fmt.Sprintf("two targets are named %q", t.Name)}}
		}
		seen[t.Name] = true
		if t.Role == "" {
			t.Role = ledger.Rival
		}
		if t.Preset == "" && t.BaseURL == "" {
			return nil, &Error{path, []string{fmt.Sprintf("target %q has neither preset nor base_url", t.Name)}}
		}
	}
	return f, nil
}

var checker = sync.OnceValue(func() *Checker { return NewChecker(Schema) })

// Example is a commented configuration, as `stillmark config init` writes it.
const Example = `# Targets of an audit. Secrets never stand here: api_key_env names the
# environment variable that holds the key.
authority: Example AI, Evidence Desk
purpose: audit of a newly released model
# Who read the providers' terms of use before the audit, and when:
# terms_reviewed_by: J. Doe, counsel, 2026-11-20

targets:
  - name: acme-nova-1
    role: rival
    base_url: https://api.acme.example/v1
    model: nova-1
    api_key_env: ACME_API_KEY
    price: {input_per_mtok: 0.50, output_per_mtok: 1.50, currency: USD}
  # A preset knows the address and the variable of the key (stillmark target list). A
  # name that is none stands for a provider of yours: ACME_LABS_BASE_URL, ACME_LABS_API_KEY.
  - name: acme-via-router
    role: control
    preset: openrouter
    model: acme/nova-1
    providers: [Acme]                  # served by nobody else
    extra_body: {reasoning: {effort: low}}
  # What "stillmark mock --key key.json" serves, for a rehearsal without a rival.
  - name: local-student
    role: rival
    base_url: http://127.0.0.1:8461/v1
    model: student
  - name: local-reference
    role: control
    base_url: http://127.0.0.1:8461/v1
    model: reference
`
