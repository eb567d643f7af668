package family

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/ledger"
)

// maker is a vendor with the names under which it and its models are known. Names
// are found as whole words, in lower case.
type maker struct {
	id    string
	names []string
}

// knownMakers are vendors of widely known models, as they write themselves in Latin
// and Chinese. A name that is an ordinary word is left out unless a model would
// hardly use it otherwise when asked who it is.
var knownMakers = []maker{
	{"openai", []string{"openai", "open ai", "chatgpt", "chat gpt", "gpt", "gpt-3", "gpt-3.5", "gpt-4", "gpt-4o", "gpt-5"}},
	{"anthropic", []string{"anthropic", "claude"}},
	{"google", []string{"google", "gemini", "gemma", "bard", "deepmind", "google deepmind", "谷歌"}},
	{"deepseek", []string{"deepseek", "deep seek", "深度求索"}},
	{"alibaba", []string{"alibaba", "alibaba cloud", "qwen", "qwq", "tongyi", "通义", "通义千问", "千问", "阿里云", "阿里巴巴"}},
	{"mistral", []string{"mistral", "mistral ai", "mixtral", "magistral", "le chat"}},
	{"meta", []string{"meta", "meta ai", "llama"}},
	{"moonshot", []string{"moonshot", "moonshot ai", "kimi", "月之暗面"}},
	{"minimax", []string{"minimax", "稀宇"}},
	{"xai", []string{"xai", "x.ai", "grok"}},
	{"cohere", []string{"cohere", "command r"}},
	{"microsoft", []string{"microsoft", "copilot", "微软"}},
	{"nvidia", []string{"nvidia", "nemotron"}},
	{"amazon", []string{"amazon", "aws", "amazon nova"}},
	{"zhipu", []string{"zhipu", "z.ai", "chatglm", "glm", "智谱"}},
	{"baidu", []string{"baidu", "ernie", "文心", "文心一言", "百度"}},
	{"bytedance", []string{"bytedance", "doubao", "豆包", "字节跳动"}},
	{"tencent", []string{"tencent", "hunyuan", "混元", "腾讯"}},
	{"01.ai", []string{"01.ai", "零一万物"}},
	{"ai21", []string{"ai21", "ai21 labs", "jamba"}},
	{"ibm", []string{"ibm", "granite"}},
	{"yandex", []string{"yandex", "yandexgpt", "яндекс", "яндекса", "яндексом", "яндексе"}},
	{"sber", []string{"sber", "gigachat", "сбер", "сбера", "сбером", "сбере"}},
	{"naver", []string{"naver", "hyperclova", "네이버"}},
	{"upstage", []string{"upstage", "업스테이지"}},
	{"ai2", []string{"allen institute", "ai2", "olmo"}},
	{"reka", []string{"reka", "reka ai"}},
	{"databricks", []string{"databricks", "dbrx"}},
	{"perplexity", []string{"perplexity"}},
}

// genericNames are parts of models' names that name nobody.
var genericNames = []string{
	"model", "chat", "instruct", "base", "large", "small", "medium", "mini", "nano", "turbo", "latest", "assistant", "preview", "test", "beta",
	"thinking", "reasoner", "vision", "coder", "code", "fast", "lite", "plus", "flash", "ultra", "expert", "control", "rival", "teacher",
}

// makerNames finds makers in texts.
type makerNames struct {
	ids  []string
	read *reading.Reading // its options are the makers' names
}

// makersOf adds the plan's vendors and models to those that are known. ours is the
// number of our own maker, -1 where the plan does not name it.
func makersOf(in *Input, sd *sides) (l *makerNames, us int) {
	all := slices.Clone(knownMakers)
	enter := func(t *ledger.Target, more []string) int {
		v := vendor(t)
		if v == "" && len(more) == 0 {
			return -1
		}
		at := slices.IndexFunc(all, func(m maker) bool { return m.id == v || slices.Contains(m.names, v) })
		if at < 0 {
			at = len(all)
			all = append(all, maker{id: v})
		}
		names := slices.Clone(all[at].names)
		for _, n := range append([]string{v, modelName(t.Model)}, more...) {
			// A name that is another maker's, too, would settle nothing.
			n = reading.Fold(n)
			taken := slices.ContainsFunc(all, func(m maker) bool { return slices.Contains(m.names, n) })
			if n != "" && !taken && len(names) < 60 {
				names = append(names, n)
			}
		}
		all[at].names = names
		return at
	}
	us = -1
	if sd.ours != nil {
		us = enter(sd.ours, sd.names)
	}
	for _, t := range in.Targets() {
		if t.Role != ledger.Ours {
			enter(t, nil)
		}
	}
	l = &makerNames{read: &reading.Reading{}}
	for _, m := range all {
		l.ids = append(l.ids, m.id)
		l.read.Options = append(l.read.Options, withParticles(m.names))
	}
	return l, us
}

// withParticles adds Korean names with the particles that are written together with
// them.
func withParticles(names []string) []string {
	out := slices.Clone(names)
	for _, n := range names {
		if last, _ := utf8.DecodeLastRuneInString(n); !unicode.Is(unicode.Hangul, last) {
			continue
		}
		for _, particle := range []string{"가", "이", "는", "은", "의", "에서", "를", "을", "로", "와", "과", "입니다"} {
			out = append(out, n+particle)
		}
	}
	return out
}

// modelName is the first part of a model's name that may name it: of letters, at
// least four of them.
func modelName(model string) string {
	model = strings.ToLower(model[strings.LastIndexByte(model, '/')+1:])
	for part := range strings.FieldsFuncSeq(model, func(r rune) bool { return (r < 'a' || r > 'z') && r < 0x80 }) {
		if len(part) >= 4 && !slices.Contains(genericNames, part) {
			return part
		}
	}
	return ""
}
