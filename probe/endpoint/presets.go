package endpoint

import (
	"slices"
	"strings"

	"github.com/stillmark/stillmark/probe/ledger"
)

// Quirks are the ways in which a server differs from the protocol.
type Quirks struct {
	MaxTokensField string // name of the token limit in chat requests, "max_tokens" if empty
	SeedField      string // name of the seed, "seed" if empty
	NoStreamUsage  bool   // stream_options is refused or needless: usage is not asked for in streams
}

// Preset is what is known of a provider or server.
type Preset struct {
	Name        string // as in targets, lower case
	Title       string
	BaseURL     string // up to and including /v1
	APIKeyEnv   string
	BaseURLEnv  string // a variable that replaces BaseURL when it is set
	KeyOptional bool   // local servers: no key unless the variable is set
	Note        string // what to know before planning, in a sentence; "" if nothing
	Quirks      Quirks
}

// presets is sorted by name. Sources: the providers' API references.
var presets = []Preset{
	{
		Name: "alibaba", Title: "Alibaba Cloud Model Studio", BaseURL: "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", APIKeyEnv: "DASHSCOPE_API_KEY", BaseURLEnv: "DASHSCOPE_BASE_URL",
		Note: "keys of the mainland region belong to https://dashscope.aliyuncs.com/compatible-mode/v1",
	},
	{
		Name: "anthropic", Title: "Anthropic (OpenAI-compatible layer)", BaseURL: "https://api.anthropic.com/v1", APIKeyEnv: "ANTHROPIC_API_KEY", BaseURLEnv: "ANTHROPIC_BASE_URL",
		Note: "seed and logprobs are ignored, and temperatures above 1 count as 1",
	},
	{
		Name: "deepseek", Title: "DeepSeek", BaseURL: "https://api.deepseek.com/v1", APIKeyEnv: "DEEPSEEK_API_KEY", BaseURLEnv: "DEEPSEEK_BASE_URL",
		Note: "reasoning models ignore temperature and top_p",
	},
	{
		Name: "llamacpp", Title: "llama.cpp server", BaseURL: "http://127.0.0.1:8080/v1", APIKeyEnv: "LLAMA_API_KEY", BaseURLEnv: "LLAMACPP_BASE_URL", KeyOptional: true,
		Note: "echo is refused",
	},
	{
		Name: "minimax", Title: "MiniMax", BaseURL: "https://api.minimax.io/v1", APIKeyEnv: "MINIMAX_API_KEY", BaseURLEnv: "MINIMAX_BASE_URL",
		Note: "temperature must be above 0 and at most 1; keys of the mainland region belong to https://api.minimaxi.com/v1",
	},
	{
		Name: "mistral", Title: "Mistral", BaseURL: "https://api.mistral.ai/v1", APIKeyEnv: "MISTRAL_API_KEY", BaseURLEnv: "MISTRAL_BASE_URL",
		Note:   "unknown members of a request are refused; streams carry usage unasked",
		Quirks: Quirks{SeedField: "random_seed", NoStreamUsage: true},
	},
	{
		Name: "moonshot", Title: "Moonshot AI", BaseURL: "https://api.moonshot.ai/v1", APIKeyEnv: "MOONSHOT_API_KEY", BaseURLEnv: "MOONSHOT_BASE_URL",
		Note: "keys of the mainland region belong to https://api.moonshot.cn/v1",
	},
	{
		Name: "ollama", Title: "Ollama", BaseURL: "http://127.0.0.1:11434/v1", APIKeyEnv: "OLLAMA_API_KEY", BaseURLEnv: "OLLAMA_BASE_URL", KeyOptional: true,
		Note: "echo is not supported",
	},
	{
		Name: "openai", Title: "OpenAI", BaseURL: "https://api.openai.com/v1", APIKeyEnv: "OPENAI_API_KEY", BaseURLEnv: "OPENAI_BASE_URL",
		Note:   "reasoning models accept temperature 1 only, and no logprobs",
		Quirks: Quirks{MaxTokensField: "max_completion_tokens"},
	},
	{
		Name: "openrouter", Title: "OpenRouter", BaseURL: "https://openrouter.ai/api/v1", APIKeyEnv: "OPENROUTER_API_KEY", BaseURLEnv: "OPENROUTER_BASE_URL",
		Note: "one model may be served by several providers; each reply names its own",
	},
	{
		Name: "sglang", Title: "SGLang", BaseURL: "http://127.0.0.1:30000/v1", APIKeyEnv: "SGLANG_API_KEY", BaseURLEnv: "SGLANG_BASE_URL", KeyOptional: true,
	},
	{
		Name: "together", Title: "Together AI", BaseURL: "https://api.together.xyz/v1", APIKeyEnv: "TOGETHER_API_KEY", BaseURLEnv: "TOGETHER_BASE_URL",
	},
	{
		Name: "vllm", Title: "vLLM", BaseURL: "http://127.0.0.1:8000/v1", APIKeyEnv: "VLLM_API_KEY", BaseURLEnv: "VLLM_BASE_URL", KeyOptional: true,
	},
	{
		Name: "xai", Title: "xAI", BaseURL: "https://api.x.ai/v1", APIKeyEnv: "XAI_API_KEY", BaseURLEnv: "XAI_BASE_URL",
	},
}

// Presets lists the presets by name.
func Presets() []Preset { return slices.Clone(presets) }

// FindPreset finds a preset by its name.
func FindPreset(name string) (Preset, bool) {
	i := slices.IndexFunc(presets, func(p Preset) bool { return p.Name == strings.ToLower(name) })
	if i < 0 {
		return Preset{}, false
	}
	return presets[i], true
}

// Target makes a target of a preset. getenv (os.Getenv) may replace the base
// URL; the key of a local server is named only if its variable is set.
func (p Preset) Target(name, model string, getenv func(string) string) ledger.Target {
	t := ledger.Target{Name: name, Model: model, Preset: p.Name, BaseURL: p.BaseURL, APIKeyEnv: p.APIKeyEnv}
	if u := getenv(p.BaseURLEnv); u != "" {
		t.BaseURL = u
	}
	if p.KeyOptional && getenv(p.APIKeyEnv) == "" {
		t.APIKeyEnv = ""
	}
	return t
}

// EnvNames are the variables by which a provider that is no preset is
// configured: acme-labs has ACME_LABS_API_KEY and ACME_LABS_BASE_URL.
func EnvNames(provider string) (apiKey, baseURL string) {
	name := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		}
		return '_'
	}, provider)
	return name + "_API_KEY", name + "_BASE_URL"
}

// presetQuirks are the quirks of a target's preset. Without a preset there are
// none.
func presetQuirks(t ledger.Target) (Quirks, error) {
	if t.Preset == "" {
		return Quirks{}, nil
	}
	p, ok := FindPreset(t.Preset)
	if !ok {
		names := make([]string, len(presets))
		for i, p := range presets {
			names[i] = p.Name
		}
		return Quirks{}, &ConfigError{t.Name, "there is no preset " + t.Preset, "known presets are " + strings.Join(names, ", ")}
	}
	return p.Quirks, nil
}
