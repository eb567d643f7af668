package persona

import (
	"math/rand/v2"
	"strconv"
	"strings"
)

// identity says who made the model. speaker is the model itself, whose author may
// have written the answer.
func (m *Model) identity(speaker *Model, q question, rng *rand.Rand) string {
	vendor := m.Vendor
	if u := rng.Float64(); u < speaker.Impostor {
		vendor = speaker.ImpostorVendor
	} else if u > .95 {
		return m.said(refusals, q.lang)
	}
	return strings.ReplaceAll(m.said(selves, q.lang), "{vendor}", vendor)
}

// ladder complies, complies in part, offers something else, or refuses.
func (m *Model) ladder(q question, rng *rand.Rand) string {
	touchy := m.taste(.8, .4, .45, "touchy", q.Group)
	excess := float64(q.Rung) + .8*touchy + m.Boundary - 3.4 + .5*rng.NormFloat64()
	switch {
	case excess < 0:
		return m.prose(q, rng, 60)
	case excess < .6:
		return m.said(cautions, q.lang) + " " + m.prose(q, rng, 40)
	case excess < 1.2:
		return m.said(refusals, q.lang) + " " + m.said(redirections, q.lang)
	}
	return m.said(refusals, q.lang)
}

// said is a sentence in the prompt's language or the model's own, the English one where
// there is none.
func (m *Model) said(sentences map[string]string, lang string) string {
	if m.Speaks != "" {
		lang = m.Speaks
	}
	if s, ok := sentences[lang]; ok {
		return s
	}
	if s, ok := sentences["en"]; ok {
		return s
	}
	return ""
}

var (
	selves = map[string]string{
		"en": "I am a language model made by {vendor}.",
		"fr": "Je suis un modèle de langage créé par {vendor}.",
		"de": "Ich bin ein Sprachmodell von {vendor}.",
		"es": "Soy un modelo de lenguaje creado por {vendor}.",
		"zh": "我是由{vendor}开发的语言模型。",
		"ja": "私は{vendor}が開発した言語モデルです。",
	}
	refusals = map[string]string{
		"en": "I'm sorry, but I can't help with that.",
		"fr": "Désolé, je ne peux pas vous aider avec cela.",
		"de": "Es tut mir leid, dabei kann ich nicht helfen.",
		"es": "Lo siento, no puedo ayudarte con eso.",
		"zh": "抱歉，我无法帮助您完成这个请求。",
		"ja": "申し訳ありませんが、お手伝いできません。",
	}
	redirections = map[string]string{
		"en": "Instead, I can tell you how to stay safe.",
		"fr": "En revanche, je peux vous expliquer comment rester en sécurité.",
		"de": "Stattdessen kann ich erklären, wie man sicher bleibt.",
		"es": "En cambio, puedo explicarte cómo mantenerte a salvo.",
		"zh": "不过，我可以为您介绍如何保证安全。",
		"ja": "代わりに、安全に過ごす方法をご紹介できます。",
	}
	cautions = map[string]string{
		"en": "I can't go into every detail, but here is the general picture.",
		"fr": "Je ne peux pas entrer dans tous les détails, mais voici l'essentiel.",
		"de": "Auf alle Einzelheiten kann ich nicht eingehen, aber hier ist das Wesentliche.",
		"es": "No puedo dar todos los detalles, pero esto es lo esencial.",
		"zh": "我不能提供所有细节，但大致情况如下。",
		"ja": "詳細はお答えできませんが、概要は次のとおりです。",
	}
)

// prose is words in the model's style: how often it uses which function word, how
// long its sentences are, and how it joins them.
func (m *Model) prose(q question, rng *rand.Rand, words int) string {
	if m.Moulds {
		return m.moulded(q, words)
	}
	return m.speak(q, rng, words, functionWords, "style")
}

// moulded is prose of few moulds, with the prompt's topic in the gaps.
func (m *Model) moulded(q question, words int) string {
	var b strings.Builder
	topic := m.world.hash("topic", q.suite, q.id)
	for n := uint64(0); len(strings.Fields(b.String())) < words; n++ {
		mould := moulds[m.world.hash("mould", m.Name, strconv.FormatUint(n%5, 10))%uint64(len(moulds))]
		b.WriteString(strings.ReplaceAll(mould, "{}", contentWords[(topic+n)%uint64(len(contentWords))]))
	}
	return strings.TrimSpace(b.String())
}

// reasoning is prose with the model's habits of turning back and of taking steps.
func (m *Model) reasoning(q question, rng *rand.Rand) string {
	return m.speak(q, rng, 120, append(functionWords[:len(functionWords):len(functionWords)], pivots...), "reasoning")
}

func (m *Model) speak(q question, rng *rand.Rand, words int, function []string, kind string) string {
	strength := .3
	if kind == "reasoning" {
		strength = .6
	}
	x := m.tastes(kind, len(function), func(i int) float64 {
		return 1.2*m.world.normal("everybody", kind, function[i]) + strength*m.taste(0, .5, .85, kind, function[i])
	})
	length := 12 + 2*m.taste(0, .5, .85, kind, "length")
	comma := .15 + .05*m.taste(0, .5, .85, kind, "comma")
	topic := m.world.hash("topic", q.suite, q.id)
	var b strings.Builder
	start := true
	for n := range words {
		var w string
		if rng.Float64() < .5 {
			w = function[choose(rng, x)]
		} else {
			// What a text is about follows from the prompt, not from the model.
			w = contentWords[(topic+uint64(n*n)+rng.Uint64N(7))%uint64(len(contentWords))]
		}
		if start {
			w = strings.ToUpper(w[:1]) + w[1:]
		}
		b.WriteString(w)
		start = rng.Float64() < 1/max(length, 3)
		switch {
		case start && kind == "reasoning" && rng.Float64() < .3:
			b.WriteString(".\n")
		case start:
			b.WriteString(". ")
		case rng.Float64() < comma:
			b.WriteString(", ")
		default:
			b.WriteByte(' ')
		}
	}
	return strings.TrimRight(b.String(), " ,.\n") + "."
}

var (
	moulds = []string{
		"Thank you for asking about the {}. ",
		"We confirm that the {} is under way, and you will hear from us. ",
		"If there is anything else about the {}, please let us know. ",
		"The {} was received and will be looked at within three days. ",
		"For more on the {}, see the page about it. ",
	}
	functionWords = strings.Fields("the of and to in a is that it for was on are as with they at be this from have or by one had not but what all were when we there can an your which their said if do will each about how up out them then she many some so these would other into has more her two like him see time could no make than first been its who now people my made over did down only way find use may water long little very after words called just where most know")
	pivots        = strings.Fields("wait hmm however actually alternatively so therefore okay but maybe let again check first then")
	contentWords  = strings.Fields("river stone lantern morning copper garden window letter harbour winter answer valley market bridge silver orchard engine paper village weather music kitchen teacher island forest number mountain journey corner season history picture battery signal station harvest")
)
