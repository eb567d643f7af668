package corpora

import (
	"reflect"
	"slices"
	"testing"
)

// exercise does with a parsed suite what a program would do.
func exercise(t *testing.T, s *Suite) {
	t.Helper()
	if problems := s.Lint(); !slices.Equal(problems, s.Lint()) {
		t.Fatal("two lints of one suite differ")
	}
	all, err := s.Expand(1, 0)
	if err != nil {
		return
	}
	if s.Info().Prompts != len(all) {
		t.Fatalf("the card counts %d prompts, there are %d", s.Info().Prompts, len(all))
	}
	if len(all) > 1 {
		some, err := s.Expand(1, len(all)/2)
		if err != nil || !reflect.DeepEqual(some, all[:len(all)/2]) {
			t.Fatalf("half of the prompts are not the first half (error %v)", err)
		}
	}
}

func FuzzParseYAML(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte("format: 1\nname: a\nversion: b\ngroups:\n- templates:\n  - {id: x, text: '{a}{b}', slots: &s {a: [1, 2], b: [~]}}\n  - {id: y, text: '{a}', slots: *s}\n"))
	f.Add([]byte(asked))
	f.Add([]byte(rowed))
	f.Add([]byte("a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := parseYAML(data); err == nil {
			exercise(t, s)
		}
	})
}

func FuzzParseJSONL(f *testing.F) {
	f.Add([]byte(`{"id":"one","text":"Tell a {story}.","lang":"en","system":"Be brief.","category":"story"}` + "\n"))
	f.Add([]byte(`{"card":{"name":"n","family":"E3","samples":2}}` + "\n" + `{"id":"a","text":"x"}`))
	f.Add([]byte(`{"id":"a","text":"x","reading":{"item":"i","kind":"coin","options":[["x"],["y"]]}}`))
	f.Add([]byte("{\"id\":\"a\",\"text\":\"x\"}\r\n\n{\"id\":\"b\",\"text\":\"x\",\"lang\":\"de\"}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := parseJSONL("fuzz", data); err == nil {
			exercise(t, s)
		}
	})
}
