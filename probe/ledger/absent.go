package ledger

import (
	"bytes"
	"encoding/json"
	"math"
)

// An effect that was not measured, and one that no test could have found, is not a
// number (NaN) in a finding, and null in JSON. Zeros would say something false. Cases of
// wording tables before the fourth hold zeros.

// MarshalJSON writes null for an effect that is not a number.
func (r PowerRow) MarshalJSON() ([]byte, error) {
	type plain PowerRow
	if !math.IsNaN(r.Effect) {
		return encodeRaw(plain(r))
	}
	return encodeRaw(struct {
		plain
		Effect *float64 `json:"effect"`
	}{plain: plain(r)})
}

// UnmarshalJSON reads what MarshalJSON wrote, and no unknown member.
func (r *PowerRow) UnmarshalJSON(data []byte) error {
	type plain PowerRow
	x := struct {
		*plain
		Effect *float64 `json:"effect"`
	}{plain: (*plain)(r)}
	if err := decodeStrict(data, &x); err != nil {
		return err
	}
	r.Effect = orNaN(x.Effect)
	return nil
}

// MarshalJSON writes null for an effect that is not a number.
func (f Finding) MarshalJSON() ([]byte, error) {
	type plain Finding
	if !math.IsNaN(f.Effect) {
		return encodeRaw(plain(f))
	}
	return encodeRaw(struct {
		plain
		Effect   *float64 `json:"effect"`
		EffectLo *float64 `json:"effect_lo"`
		EffectHi *float64 `json:"effect_hi"`
	}{plain: plain(f)})
}

// UnmarshalJSON reads what MarshalJSON wrote, and no unknown member.
func (f *Finding) UnmarshalJSON(data []byte) error {
	type plain Finding
	x := struct {
		*plain
		Effect   *float64 `json:"effect"`
		EffectLo *float64 `json:"effect_lo"`
		EffectHi *float64 `json:"effect_hi"`
	}{plain: (*plain)(f)}
	if err := decodeStrict(data, &x); err != nil {
		return err
	}
	f.Effect, f.EffectLo, f.EffectHi = orNaN(x.Effect), orNaN(x.EffectLo), orNaN(x.EffectHi)
	return nil
}

func orNaN(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}

// encodeRaw leaves characters of HTML as they are, for the encoder around to decide.
func encodeRaw(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), err
}
