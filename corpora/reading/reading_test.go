package reading

import (
	"encoding/json"
	"reflect"
	"slices"
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
		for _, i := range r.Mentions(reply) {
			if i < 0 || i >= len(r.Options) {
				t.Fatalf("option %d of %d", i, len(r.Options))
			}
		}
	})
}
