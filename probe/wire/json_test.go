package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"unicode/utf8"
)

// FuzzJSON compares the parser with encoding/json: what it accepts is valid
// there, and what is valid there and refused here is refused for duplicate
// names, depth or numbers beyond float64 only.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{goodChat, `[]`, `{"a":[1,-0.5e+3,true,false,null,"\u00e9\n"]}`, `1e999`, `01`, `"\ud83d\ude00"`, `"a`, `{"a":1,"a":2}`, " [ ] "} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p := parser{b: b, loose: true}
		err := p.skip()
		if err == nil {
			err = p.end()
		}
		if err == nil && !json.Valid(b) {
			t.Fatalf("accepted, but not JSON: %q", b)
		}
		if err != nil && json.Valid(b) && err.(*syntaxError).msg != "nested too deep" {
			t.Fatalf("%q: %v", b, err)
		}
		var want string
		if p := (parser{b: b}); json.Unmarshal(b, &want) == nil && p.peek() == '"' && utf8.Valid(b) {
			got, err := p.str()
			if err != nil || string(joinSurrogates(bytes.Clone(got))) != want {
				t.Fatalf("%q: got %q (%v), want %q", b, got, err, want)
			}
		}
	})
}

func TestDuplicatesInLargeObjects(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	b.WriteString(`{"k":0`)
	for i := range 3 * smallObject {
		fmt.Fprintf(&b, `,"k%d":1`, i)
	}
	ok := b.String() + `}`
	dup := b.String() + fmt.Sprintf(`,"k%d":2}`, 3*smallObject-1)
	early := b.String() + `,"k":2}`
	for s, want := range map[string]bool{ok: true, dup: false, early: false} {
		if p := (parser{b: []byte(s)}); (p.skip() == nil) != want {
			t.Errorf("%.40s…: want accepted %v", s, want)
		}
	}
}

func TestCounts(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int64{"0": 0, "12": 12, "1.2e1": 12, "12.0": 12, "-1": -1, "1.5": -1, "1e300": -1, "9007199254740993000": -1, "x": -1} {
		p := parser{b: []byte(s)}
		got, err := p.count()
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%s: %d %v", s, got, err)
		}
	}
	if p := (parser{b: []byte("-0.5")}); true {
		if f, err := p.float(); err != nil || math.Abs(f+.5) > 0 {
			t.Errorf("%v %v", f, err)
		}
	}
}
