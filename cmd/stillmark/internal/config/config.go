// Package config reads stillmark.yaml: the targets of an audit and who ordered
// it. Reading is strict: the file must satisfy the published JSON schema
// ([Schema]), and an unknown member is answered with the nearest known one.
// The package may import probe/ledger, probe/endpoint (presets) and the YAML
// and JSON schema libraries; only the command imports it.
package config

import (
	"bytes"
	_ "embed" // the schema
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	yaml "go.yaml.in/yaml/v4"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

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
	var document any
	if err := yaml.Load(data, &document, yaml.WithUniqueKeys()); err != nil {
		return nil, &Error{path, []string{err.Error()}}
	}
	lines := map[string]int{}
	var root yaml.Node
	if err := yaml.Load(data, &root); err == nil {
		number(&root, "", lines)
	}
	encoded, err := json.Marshal(document)
	if err != nil {
		return nil, &Error{path, []string{"it holds a value that JSON cannot express: " + err.Error()}}
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
	if err != nil {
		return nil, &Error{path, []string{err.Error()}}
	}
	if err := schema().Validate(instance); err != nil {
		var invalid *jsonschema.ValidationError
		if errors.As(err, &invalid) {
			return nil, &Error{path, problems(invalid, lines)}
		}
		return nil, &Error{path, []string{err.Error()}}
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

var schema = sync.OnceValue(func() *jsonschema.Schema {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema))
	if err != nil {
		panic("config: the embedded schema is no JSON: " + err.Error())
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("stillmark.json", document); err != nil {
		panic("config: " + err.Error())
	}
	return c.MustCompile("stillmark.json")
})

// number notes the line of every value by its JSON pointer.
func number(n *yaml.Node, pointer string, lines map[string]int) {
	lines[pointer] = n.Line
	switch n.Kind {
	case yaml.DocumentNode:
		for _, c := range n.Content {
			number(c, pointer, lines)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			at := pointer + "/" + n.Content[i].Value
			number(n.Content[i+1], at, lines)
			lines[at] = n.Content[i].Line
		}
	case yaml.SequenceNode:
		for i, c := range n.Content {
			number(c, fmt.Sprintf("%s/%d", pointer, i), lines)
		}
	}
}

// problems flattens a validation error to one sentence per leaf.
func problems(e *jsonschema.ValidationError, lines map[string]int) []string {
	if len(e.Causes) > 0 {
		var all []string
		for _, cause := range e.Causes {
			all = append(all, problems(cause, lines)...)
		}
		sort.Strings(all)
		return all
	}
	where := "/" + strings.Join(e.InstanceLocation, "/")
	line := lines[strings.TrimSuffix(where, "/")]
	text := e.ErrorKind.LocalizedString(message.NewPrinter(language.English))
	if extra, ok := e.ErrorKind.(*kind.AdditionalProperties); ok {
		for _, name := range extra.Properties {
			line = max(line, lines[strings.TrimSuffix(where, "/")+"/"+name])
			if near := nearest(name); near != "" {
				text += fmt.Sprintf(" (did you mean %q?)", near)
			}
		}
	}
	if line > 0 {
		where = fmt.Sprintf("line %d, %s", line, where)
	}
	return []string{where + ": " + text}
}

// members are the names that the schema knows, for did-you-mean.
var members = []string{"authority", "purpose", "terms_reviewed_by", "targets", "name", "role", "preset", "base_url", "model", "api_key_env", "vendor", "previous_of", "providers", "extra_body", "price", "input_per_mtok", "output_per_mtok", "currency"}

// nearest finds the known member that shares the longest prefix or most letters.
func nearest(name string) string {
	plain := func(s string) string { return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s)) }
	best, most := "", 2
	for _, m := range members {
		a, b := plain(name), plain(m)
		common := 0
		for common < min(len(a), len(b)) && a[common] == b[common] {
			common++
		}
		if common > most {
			best, most = m, common
		}
	}
	return best
}

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
