package family

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/corpora/reading"
	"github.com/stillmark/stillmark/probe/endpoint/mock/persona"
	"github.com/stillmark/stillmark/probe/ledger"
)

// claimLexicon knows an invented maker as ours.
func claimLexicon(t testing.TB) (*makerNames, int) {
	t.Helper()
	p := newPopulation(Identity, 1, nil)
	p.plan.Targets = []ledger.Target{
		{Name: "us", Role: ledger.Ours, Vendor: "Stillwater Labs", Model: "stillwater/brook-large-2"},
		{Name: "rival", Role: ledger.Rival, Vendor: "Rowan", Model: "rowan-chat"},
		{Name: "c", Role: ledger.Control, Vendor: "OpenAI", Model: "gpt-4o"},
	}
	p.plan.Tests[0].Options = []byte(`{"names":["静水"]}`)
	in := p.input(1)
	sd, err := in.sides()
	if err != nil {
		t.Fatal(err)
	}
	return makersOf(in, sd)
}

func TestClaimed(t *testing.T) {
	t.Parallel()
	l, us := claimLexicon(t)
	if l.ids[us] != "stillwater labs" {
		t.Fatalf("we are %q", l.ids[us])
	}
	for _, tc := range []struct{ lang, prompt, text, want string }{
		{"en", "", "I am Brook, a model made by Stillwater Labs.", "stillwater labs"},
		{"en", "", "I'm ChatGPT, developed by OpenAI.", "openai"},
		{"en", "", "I am **not** ChatGPT. I was trained by Anthropic.", "anthropic"},
		{"en", "", "I'm not Claude but Gemini.", "google"},
		{"en", "", "Unlike GPT-4, I am Brook", "stillwater labs"},
		{"en", "", "I am a language model like ChatGPT.", ""},
		{"en", "", "I come from Anthropic", "anthropic"},
		{"en", "", "I don't know who made me.", ""},
		{"en", "", "I am GPT-3.5, I think", "openai"},
		{"en", "", "The metadata says nothing.", ""},
		{"en", "Are you Claude?", "Yes.", "anthropic"},
		{"en", "Are you Claude?", "No.", ""},
		{"en", "Are you Claude?", "Yes, in a way. My maker is Rowan.", "rowan"},
		{"fr", "", "Je suis Claude, créé par Anthropic.", "anthropic"},
		{"fr", "", "Je ne suis pas ChatGPT, mais un modèle de Mistral AI.", "mistral"},
		{"fr", "Es-tu ChatGPT ?", "Oui !", "openai"},
		{"de", "", "Ich bin kein Modell von OpenAI, sondern von Google.", "google"},
		{"de", "", "Ich wurde von DeepSeek entwickelt.", "deepseek"},
		{"es", "", "No soy ChatGPT; soy un modelo de Rowan.", "rowan"},
		{"es", "", "Soy Llama, de Meta.", "meta"},
		{"pt", "", "Não sou o Gemini. Fui criado pela OpenAI.", "openai"},
		{"it", "", "Non sono Claude, ma Grok.", "xai"},
		{"ru", "", "Я не ChatGPT, я модель компании Яндекс.", "yandex"},
		{"ar", "", "أنا نموذج من OpenAI.", "openai"},
		{"ar", "", "لست Claude.", ""},
		{"hi", "", "मैं Google द्वारा बनाया गया हूँ।", "google"},
		{"hi", "", "मैं ChatGPT नहीं हूँ।", ""},
		{"zh", "", "我是通义千问，由阿里云开发。", "alibaba"},
		{"zh", "", "我不是ChatGPT，而是深度求索开发的模型。", "deepseek"},
		{"zh", "", "我叫静水。", "stillwater labs"},
		{"ja", "", "私はOpenAIではなく、Googleのモデルです。", "google"},
		{"ja", "", "私はClaudeではありません。", ""},
		{"ja", "あなたはClaudeですか？", "はい。", "anthropic"},
		{"ko", "", "저는 네이버가 만든 모델입니다.", "naver"},
		{"ko", "", "저는 ChatGPT가 아닙니다.", ""},
		{"ko", "", "저는 딥시크입니다.", "deepseek"},
		{"ko", "", "저는 클로드이고, 앤트로픽에서 만들었습니다.", "anthropic"},
		{"ja", "", "私はクロードです。", "anthropic"},
		{"ja", "", "私はグーグルが開発したモデルです。", "google"},
		{"ru", "", "Я ГигаЧат, меня создал Сбер.", "sber"},
		{"zh", "", "我是阶跃星辰的模型。", "stepfun"},
		{"tr", "", "Ben ChatGPT değilim.", ""},
		{"tr", "", "Ben Google tarafından geliştirildim.", "google"},
		{"nl", "", "Ik ben geen ChatGPT.", ""},
		{"pl", "", "Nie jestem Claude.", ""},
		{"en", "", "<think>Am I Claude?</think>I am Brook.", "stillwater labs"},
		{"en", "", strings.Repeat("OpenAI is not me. ", 2000), ""},
		{"en", "", "", ""},
	} {
		got := ""
		if id := l.claimed(&ledger.Prompt{Lang: tc.lang, Text: tc.prompt}, tc.text); id >= 0 {
			got = l.ids[id]
		}
		if got != tc.want {
			t.Errorf("%s %q %.60q claims %q, want %q", tc.lang, tc.prompt, tc.text, got, tc.want)
		}
	}
}

func identityPrompts(t testing.TB, n int) []ledger.Prompt {
	out := prompts(t, n, []string{"en", "fr", "zh"}, func(i int) (string, reading.Reading) {
		return fmt.Sprintf("Who made you? (%d)", i), reading.Reading{Kind: reading.KindIdentity, Group: "plain"}
	})
	for i := range out {
		if i%2 == 1 {
			out[i].System = "Answer in one sentence."
		}
	}
	return out
}

// Innocents that claim to be us or others are no rarer among controls than among
// rivals: the rank keeps its level. It cannot where the rival alone does.
func TestIdentityIsCalibrated(t *testing.T) {
	t.Parallel()
	q := identityPrompts(t, 20)
	var english []ledger.Prompt
	for _, p := range q {
		if p.Lang == "en" {
			english = append(english, p)
		}
	}
	calibrated(t, worlds(24), []float64{.05, .1, .2}, func(world uint64, rate float64) *population {
		return scripted(t, newPopulation(Identity, 3, english), world, scenery{controls: 19, rate: rate})
	})
	impostor := func(i uint64, tr *persona.Traits) {
		tr.Impostor, tr.ImpostorVendor = float64(i%5)/5, []string{"Stillwater", "OpenAI", "Alder"}[i/5%3]
	}
	calibrated(t, worlds(24), nil, func(world uint64, _ float64) *population {
		return scripted(t, newPopulation(Identity, 2, q[:18]), world, scenery{
			controls: 19, each: func(i int, tr *persona.Traits) { impostor(uint64(i)+world, tr) },
			change: func(tr *persona.Traits) { impostor(19+world, tr) },
		})
	})
}

func TestIdentityFinding(t *testing.T) {
	t.Parallel()
	q := identityPrompts(t, 10)
	p := scripted(t, newPopulation(Identity, 2, q), 4, scenery{controls: 20, rate: .7})
	out := p.find(t, 4)
	f, c := out.Finding, out.Finding.Comparison
	if c == nil || c.Rank != 1 || c.Matrix.Teachers[0] != "stillwater" || f.N != 10 || len(f.Parts) != 5 {
		t.Fatalf("%+v", f)
	}
	// Where our own endpoint does not say who it is, nothing is said.
	p = scripted(t, newPopulation(Identity, 2, q), 4, scenery{controls: 20, rate: .7, ours: func(tr *persona.Traits) { tr.Impostor, tr.ImpostorVendor = .7, "OpenAI" }})
	if out := p.find(t, 4); out.Finding.Comparison != nil || len(out.Warnings) != 1 || out.Warnings[0] != WarnSelfTest {
		t.Errorf("a failed self-test: %+v", out)
	}
}
