package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/stillmark/stillmark/cmd/stillmark/internal/config"
	"github.com/stillmark/stillmark/probe/endpoint"
	"github.com/stillmark/stillmark/probe/ledger"
)

// setting is a value and where it came from.
type setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Origin string `json:"origin"`
}

// resolution turns a configured target into the one that a plan records, and
// notes where each value came from.
type resolution struct {
	file     *config.File
	target   ledger.Target
	settings []setting
}

func (r *resolution) set(name, value, origin string) {
	if value != "" {
		r.settings = append(r.settings, setting{name, value, origin})
	}
}

// resolve turns a name of the configuration, or PROVIDER/MODEL, into the target
// that the plan records: preset filled in, environment applied.
func resolve(f *config.File, name string) (ledger.Target, error) {
	r, err := resolveTarget(f, name)
	if err != nil {
		return ledger.Target{}, err
	}
	return r.target, nil
}

func resolveTarget(f *config.File, name string) (*resolution, error) {
	i := slices.IndexFunc(f.Targets, func(t config.Target) bool { return t.Name == name })
	r := &resolution{file: f}
	if i >= 0 {
		return r, r.configured(&f.Targets[i], func(member string) string {
			return r.at(fmt.Sprintf("/targets/%d/%s", i, member))
		})
	}
	if provider, model, ok := strings.Cut(name, "/"); ok && provider != "" && model != "" {
		c := config.Target{Name: slug(name), Preset: provider, Model: model, Role: ledger.Rival}
		return r, r.configured(&c, func(string) string { return "the name " + name })
	}
	names := make([]string, len(f.Targets))
	for j, t := range f.Targets {
		names[j] = t.Name
	}
	where := f.Path
	if where == "" {
		where = "the configuration (there is no " + config.DefaultPath + " here; write one with stillmark config init)"
	}
	return nil, usageError(fmt.Errorf("target %q is not in %s%s", name, where, didYouMean(name, names)))
}

// at is the place of a value in the file.
func (r *resolution) at(pointer string) string {
	if line := r.file.Line(pointer); line > 0 {
		return fmt.Sprintf("%s:%d", r.file.Path, line)
	}
	return "default"
}

// slug makes a target's name of PROVIDER/MODEL.
func slug(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '/' || r == ' ' {
			return '-'
		}
		return r
	}, strings.ToLower(name))
}

// configured fills in what the target itself does not say.
func (r *resolution) configured(c *config.Target, at func(member string) string) error {
	t := &r.target
	t.Name, t.Model, t.Role, t.Price, t.Vendor, t.PreviousOf = c.Name, c.Model, c.Role, c.Price, c.Vendor, c.PreviousOf
	r.set("name", t.Name, at("name"))
	r.set("model", t.Model, at("model"))
	r.set("role", string(t.Role), at("role"))
	r.set("vendor", t.Vendor, at("vendor"))
	r.set("previous_of", t.PreviousOf, at("previous_of"))
	r.set("preset", c.Preset, at("preset"))
	address, key, err := r.preset(c.Preset, c.BaseURL != "")
	if err != nil {
		return usageError(fmt.Errorf("target %q: %w", c.Name, err))
	}
	if c.BaseURL != "" {
		t.BaseURL, address = c.BaseURL, at("base_url")
	}
	if c.APIKeyEnv != "" {
		t.APIKeyEnv, key = c.APIKeyEnv, at("api_key_env")
	}
	r.set("base_url", t.BaseURL, address)
	r.set("api_key_env", t.APIKeyEnv, key)
	if t.APIKeyEnv != "" {
		// Never the key itself.
		state := "not set"
		if os.Getenv(t.APIKeyEnv) != "" {
			state = "set"
		}
		r.set("api_key", state, "$"+t.APIKeyEnv)
	}
	if p := c.Price; p != nil {
		r.set("price", fmt.Sprintf("%g in, %g out, %s per million tokens", p.Input, p.Output, p.Currency), at("price"))
	}
	return r.extra(c, at)
}

// preset fills in address and key of a known provider, or of one that the
// environment describes, and says where they came from.
func (r *resolution) preset(name string, addressed bool) (address, key string, err error) {
	if name == "" {
		return "", "", nil
	}
	t := &r.target
	if p, ok := endpoint.FindPreset(name); ok {
		filled := p.Target(t.Name, t.Model, os.Getenv)
		t.Preset, t.BaseURL, t.APIKeyEnv = filled.Preset, filled.BaseURL, filled.APIKeyEnv
		address = "preset " + p.Name
		if os.Getenv(p.BaseURLEnv) != "" {
			address = "$" + p.BaseURLEnv
		}
		return address, "preset " + p.Name, nil
	}
	keyEnv, urlEnv := endpoint.EnvNames(name)
	if url := os.Getenv(urlEnv); url != "" || addressed {
		t.BaseURL = url
		if os.Getenv(keyEnv) != "" {
			t.APIKeyEnv = keyEnv
		}
		return "$" + urlEnv, "$" + keyEnv + " is set", nil
	}
	var names []string
	for _, p := range endpoint.Presets() {
		names = append(names, p.Name)
	}
	return "", "", fmt.Errorf("preset %q is not known%s (for a provider of your own set %s, and %s if it asks for a key)", name, didYouMean(name, names), urlEnv, keyEnv)
}

// extra takes over what the requests hold beside the protocol's members.
func (r *resolution) extra(c *config.Target, at func(string) string) error {
	t := &r.target
	for name, value := range c.ExtraBody {
		if t.ExtraBody == nil {
			t.ExtraBody = map[string]json.RawMessage{}
		}
		t.ExtraBody[name] = value
	}
	if len(c.Providers) > 0 {
		switch _, twice := c.ExtraBody["provider"]; {
		case t.Preset != "openrouter":
			return usageError(fmt.Errorf("target %q: providers are for a router (preset: openrouter)", c.Name))
		case twice:
			return usageError(fmt.Errorf("target %q: providers and extra_body.provider say the same twice", c.Name))
		}
		pin, err := json.Marshal(struct {
			Order     []string `json:"order"`
			Fallbacks bool     `json:"allow_fallbacks"`
		}{c.Providers, false})
		if err != nil {
			return err
		}
		if t.ExtraBody == nil {
			t.ExtraBody = map[string]json.RawMessage{}
		}
		t.ExtraBody["provider"] = pin
		r.set("providers", strings.Join(c.Providers, ", "), at("providers"))
	}
	if len(c.ExtraBody) > 0 {
		body, err := json.Marshal(c.ExtraBody)
		if err != nil {
			return err
		}
		r.set("extra_body", string(body), at("extra_body"))
	}
	return nil
}
