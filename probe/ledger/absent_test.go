package ledger

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
)

// What was not measured is null, and comes back as not a number; anything else is
// written as its fields say.
func TestAbsentEffects(t *testing.T) {
	t.Parallel()
	f := Finding{Test: "E1/k/nova", Null: "p <= .5 & more", Warnings: []string{}, NotShown: []string{}, Effect: .25, EffectHi: .5, Power: PowerRow{Effect: .1}}
	write := func(f Finding) string {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(f); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	whole := write(f)
	if !strings.Contains(whole, `"null":"p <= .5 & more"`) || !strings.Contains(whole, `"effect":0.25,"effect_lo":0,"effect_hi":0.5,"effect_unit"`) {
		t.Error(whole)
	}
	nan := math.NaN()
	f.Effect, f.EffectLo, f.EffectHi, f.Power.Effect = nan, nan, nan, nan
	absent := write(f)
	if strings.Count(absent, `"effect":null`) != 2 || !strings.Contains(absent, `"effect_lo":null`) || strings.Contains(absent, `"effect":0`) {
		t.Error(absent)
	}
	for _, text := range []string{whole, absent} {
		var back Finding
		d := json.NewDecoder(strings.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&back); err != nil {
			t.Fatal(err)
		}
		if again := write(back); again != text {
			t.Errorf("%s became\n%s", text, again)
		}
	}
	for _, bad := range []string{`{"effekt": 1}`, `{"power": {"effekt": 1}}`, `{"effect": "a"}`} {
		if err := json.Unmarshal([]byte(bad), new(Finding)); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}
