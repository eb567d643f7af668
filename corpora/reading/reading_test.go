package reading

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestMentions(t *testing.T) {
	t.Parallel()
	r := &Reading{Options: [][]string{{"Bruges"}, {"New Bruges", "la nouvelle  Bruges"}, {"i++"}, {"i += 1"}, {"巴黎"}}}
	for text, want := range map[string][]int{
		"I like Bruges.":                    {0},
		"bruges, then New\nBRUGES":          {0, 1},
		"New Bruges":                        {1, 0},
		"Brugesois or Zebruges":             {},
		"use i++ or i += 1":                 {2, 3},
		"我选巴黎吧":                             {4},
		"":                                  {},
		"La Nouvelle Bruges":                {1, 0},
		"Zebruges and Bruges and Brugesois": {0},
	} {
		if got := r.Mentions(text); !slices.Equal(got, want) {
			t.Errorf("Mentions(%q) = %v, want %v", text, got, want)
		}
	}
}

func TestFold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                "",
		"i += 1":          "i += 1",
		" i":              "i",
		"i ":              "i",
		"i  += 1":         "i += 1",
		"i\t+= 1":         "i += 1",
		"New\u00a0Bruges": "new bruges",
		"L’Été":           "l'été",
		"x.AI":            "x.ai",
	} {
		if got := Fold(text); got != want {
			t.Errorf("Fold(%q) = %q, want %q", text, got, want)
		}
		if !isFolded("l'ete de 9") || isFolded(text) && want != text {
			t.Errorf("%q counts as folded", text)
		}
	}
}

func BenchmarkMentions(b *testing.B) {
	r := &Reading{}
	for _, v := range vendors {
		r.Options = append(r.Options, v.Names)
	}
	const reply = "i am a language model, and i was made to help people with questions of every kind"
	b.ReportAllocs()
	for b.Loop() {
		r.Mentions(reply)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"item":"i","kind":"choice","options":[["x","y"],["z"]],"order":[1,0],"correct":0}`), "the Y or z")
	f.Add([]byte(`{"item":"i","kind":"units","unit":"ab","repeats":8}`), "")
	f.Fuzz(func(t *testing.T, data []byte, reply string) {
		r, err := Parse(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Parse(again); err == nil && !reflect.DeepEqual(back, r) {
			t.Fatalf("%s is read as %+v and then %+v", data, r, back)
		}
		if folded := Fold(reply); isFolded(reply) && folded != strings.ToLower(strings.Join(strings.Fields(reply), " ")) || Fold(folded) != folded {
			t.Fatalf("%q folds to %q", reply, folded)
		}
		for _, i := range r.Mentions(reply) {
			if i < 0 || i >= len(r.Options) {
				t.Fatalf("option %d of %d", i, len(r.Options))
			}
		}
	})
}
