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

// knownMakers are the vendors of widely known models.
func knownMakers() []maker {
	var all []maker
	for _, v := range reading.Vendors() {
		all = append(all, maker{v.ID, slices.Concat(v.Names, v.Words)})
	}
	return all
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
	all := knownMakers()
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
