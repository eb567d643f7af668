package reports

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/stillmark/stillmark/reports/model"
)

// CSV is the table of all tests, one row each, for a spreadsheet or a script.
// Logarithms and effects have all their digits.
func CSV(r *model.Report) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write([]string{
		"test", "target", "role", "key", "scheme", "tier", "mode", "primary", "replies", "tokens", "n", "weights",
		"score", "null_mean", "null_sd", "effect", "effect_lo", "effect_hi", "effect_unit", "log10_p", "plain_log10_p",
		"log10_e", "holm_log10_p", "m", "decoys", "rank_p", "gate", "power_effect", "verdict",
	})
	for _, list := range [][]model.TestRow{r.Tests, r.Exploratory} {
		for _, t := range list {
			decoys, rankP, gate := "", "", ""
			if d := t.Decoys; d != nil {
				decoys, rankP, gate = strconv.Itoa(d.N), digits(&d.RankP), strconv.FormatBool(d.Pass)
			}
			w.Write([]string{
				cell(t.Test), cell(t.Target), cell(string(t.Role)), cell(t.Key), cell(t.Scheme), cell(string(t.Tier)), cell(t.Mode),
				strconv.FormatBool(t.Primary), strconv.FormatInt(t.Replies, 10), strconv.FormatInt(t.Tokens, 10), strconv.FormatInt(t.N, 10), cell(t.Weights),
				digits(&t.Score), digits(&t.NullMean), digits(&t.NullSD), digits(t.Effect), digits(t.EffectLo), digits(t.EffectHi), cell(t.EffectUnit),
				digits(t.Log10P), digits(t.PlainP), digits(t.Log10E), digits(t.Holm), strconv.Itoa(t.M), decoys, rankP, gate, digits(&t.Power.Effect), cell(string(t.Verdict)),
			})
		}
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return nil, fmt.Errorf("write the table: %w", err)
	}
	return b.Bytes(), nil
}

// cell keeps a spreadsheet from taking text for a formula.
func cell(s string) string {
	if strings.ContainsAny(s[:min(1, len(s))], "=+-@\t\r") {
		return "'" + s
	}
	return s
}

func digits(v *float64) string {
	if v == nil || math.IsNaN(*v) { // not measured
		return ""
	}
	return strconv.FormatFloat(*v, 'g', -1, 64)
}
