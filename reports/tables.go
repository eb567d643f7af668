package reports

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports/model"
)

// table is one of the CSV files under tables/, for a spreadsheet or a script. Its form
// is the same in every language: English column names, a decimal point, all digits,
// times as RFC 3339. Every table is there, if only with its header.
type table struct {
	name   string
	header []string
	rows   func(r *model.Report, row func(cells ...any))
}

// Tables are the tables of a report, by the name of their file.
func Tables(r *model.Report) ([]File, error) {
	files := make([]File, 0, len(tables))
	for i := range tables {
		t := &tables[i]
		if t.name == "judge" && !hasJudge(r) {
			continue // cases of earlier versions have no such file, and few have a judge
		}
		data, err := t.encode(r)
		if err != nil {
			return nil, fmt.Errorf("write the table %s: %w", t.name, err)
		}
		files = append(files, File{Name: "tables/" + t.name + ".csv", Data: data})
	}
	return files, nil
}

func (t *table) encode(r *model.Report) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if err := w.Write(t.header); err != nil {
		return nil, err
	}
	var failed error
	t.rows(r, func(cells ...any) {
		texts := make([]string, len(cells))
		for i, c := range cells {
			text, err := cellOf(c)
			if err != nil && failed == nil {
				failed = err
			}
			texts[i] = text
		}
		if len(cells) != len(t.header) && failed == nil {
			failed = fmt.Errorf("a row has %d cells, the header %d", len(cells), len(t.header))
		}
		w.Write(texts)
	})
	w.Flush()
	if failed == nil {
		failed = w.Error()
	}
	return b.Bytes(), failed
}

// cellOf writes a value; what was not computed is empty.
func cellOf(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return cell(v), nil
	case ledger.Role:
		return cell(string(v)), nil
	case ledger.Tier:
		return cell(string(v)), nil
	case ledger.Verdict:
		return cell(string(v)), nil
	case ledger.Outcome:
		return cell(string(v)), nil
	case float64:
		return digits(&v), nil
	case *float64:
		return digits(v), nil
	case int:
		return strconv.Itoa(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case uint64:
		return strconv.FormatUint(v, 10), nil
	case bool:
		return strconv.FormatBool(v), nil
	case time.Time:
		if v.IsZero() {
			return "", nil
		}
		return v.UTC().Format(time.RFC3339Nano), nil
	}
	return "", fmt.Errorf("a table holds no %T", v)
}

// hasJudge reports whether a judge read replies for some test.
func hasJudge(r *model.Report) bool {
	has := false
	rows(r, func(t *model.TestRow) { has = has || t.Judge != nil })
	return has
}

// rows are all tests of a report, the exploratory ones last.
func rows(r *model.Report, each func(*model.TestRow)) {
	for _, list := range [][]model.TestRow{r.Tests, r.Exploratory} {
		for i := range list {
			each(&list[i])
		}
	}
}

var tables = []table{
	{
		"controls",
		[]string{"test", "control", "n", "effect", "effect_lo", "effect_hi", "log10_p", "log10_e", "rank_p"},
		func(r *model.Report, row func(...any)) {
			rows(r, func(t *model.TestRow) {
				for _, c := range t.Controls {
					row(t.Test, c.Target, c.N, c.Effect, c.EffectLo, c.EffectHi, c.Log10P, c.Log10E, c.RankP)
				}
			})
		},
	},
	{
		"comparisons",
		[]string{"test", "target", "vendor", "n", "value", "lead", "lead_lo", "lead_hi", "rank", "of", "log10_p", "log10_floor", "log10_p_parametric", "likelihood_ratio"},
		func(r *model.Report, row func(...any)) {
			rows(r, func(t *model.TestRow) {
				c := t.Comparison
				if c == nil {
					return
				}
				row(t.Test, t.Target, "", t.N, c.Rival, "", "", "", c.Rank, c.Of, c.Log10P, c.Log10Floor, c.Log10Parametric, c.LikelihoodRatio)
				for _, x := range c.Controls {
					row(t.Test, x.Target, x.Vendor, x.N, x.Value, x.Lead, x.LeadLo, x.LeadHi, "", "", "", "", "", "")
				}
			})
		},
	},
	{
		"traits",
		[]string{"test", "trait", "target_value", "our_value", "controls_alike", "controls"},
		func(r *model.Report, row func(...any)) {
			rows(r, func(t *model.TestRow) {
				if t.Comparison == nil {
					return
				}
				for _, x := range t.Comparison.Traits {
					row(t.Test, x.Name, x.Rival, x.Ours, x.Alike, x.Of)
				}
			})
		},
	},
	{
		"judge",
		[]string{"test", "readings", "n", "same", "share", "share_lo", "share_hi", "kappa", "kappa_lo", "kappa_hi"},
		func(r *model.Report, row func(...any)) {
			rows(r, func(t *model.TestRow) {
				if t.Judge == nil {
					return
				}
				for _, x := range readings(t.Judge) {
					row(t.Test, x.Of, x.N, x.Agree, x.Share, x.ShareLo, x.ShareHi, x.Kappa, x.KappaLo, x.KappaHi)
				}
				row(t.Test, "unreadable", t.Judge.Unreadable, "", "", "", "", "", "", "")
				row(t.Test, "missing", t.Judge.Missing, "", "", "", "", "", "", "")
			})
		},
	},
	{
		"parts",
		[]string{"test", "part", "n", "effect", "effect_lo", "effect_hi", "effect_unit", "log10_p"},
		func(r *model.Report, row func(...any)) {
			rows(r, func(t *model.TestRow) {
				for _, x := range t.Parts {
					row(t.Test, x.Name, x.N, x.Effect, x.Lo, x.Hi, t.EffectUnit, x.Log10P)
				}
			})
		},
	},
	{
		"runs",
		[]string{"test", "run", "case", "first_reply", "last_reply", "n", "effect", "effect_lo", "effect_hi", "log10_p", "holm_log10_p", "log10_e", "verdict"},
		func(r *model.Report, row func(...any)) {
			rows(r, func(t *model.TestRow) {
				e := t.Earlier
				if e == nil {
					return
				}
				row(t.Test, "first", e.CaseID, e.First, e.Last, e.N, e.Effect, e.EffectLo, e.EffectHi, e.Log10P, e.HolmLog10P, e.Log10E, e.Verdict)
				row(t.Test, "second", r.Seal.CaseID, "", "", t.N, t.Effect, t.EffectLo, t.EffectHi, t.Log10P, t.Holm, t.Log10E, t.Verdict)
				if j := t.Joint; j != nil {
					row(t.Test, "joint", "", "", "", j.N, "", "", "", j.Log10P, "", j.Log10E, "")
				}
			})
		},
	},
	{
		"decoys",
		[]string{"test", "target", "role", "decoys", "from", "to", "count", "observed", "largest_decoy", "rank_p"},
		func(r *model.Report, row func(...any)) {
			for _, h := range r.Plots.Decoys {
				put := func(from, to any, n int) {
					row(h.Test, h.Target, h.Role, h.N, from, to, n, h.Observed, h.Largest, h.RankP)
				}
				put("", h.From, h.Below)
				for i, n := range h.Bins {
					put(h.From+h.Width*float64(i), h.From+h.Width*float64(i+1), n)
				}
				put(h.From+h.Width*float64(len(h.Bins)), "", h.Above)
			}
		},
	},
	{
		"validation",
		[]string{"test", "decoys", "share_over_5_percent_limit", "share_over_1_percent_limit", "sd_ratio", "sd_ratio_lo", "sd_ratio_hi", "sd_tolerance", "ks_p", "pass"},
		func(r *model.Report, row func(...any)) {
			for _, v := range r.Method.Validation {
				row(v.Test, v.N, v.Over95, v.Over99, v.Ratio, v.RatioLo, v.RatioHi, v.Tolerance, v.KSP, v.Pass)
			}
		},
	},
	{
		"curves",
		[]string{"key", "scheme", "mode", "target", "role", "tokens", "log10_p", "log10_e"},
		func(r *model.Report, row func(...any)) {
			for _, p := range r.Plots.Curves {
				for _, c := range p.Curves {
					for _, x := range c.Points {
						row(p.Key, p.Scheme, p.Mode, c.Target, c.Role, x.Tokens, x.Log10P, x.Log10E)
					}
				}
			}
		},
	},
	{
		"power",
		[]string{"test", "expected_units", "log10_alpha", "effect", "effect_unit"},
		func(r *model.Report, row func(...any)) {
			for _, p := range r.Prereg.Power {
				row(p.Test, p.Units, p.Log10Alpha, p.Effect, p.EffectUnit)
			}
		},
	},
	{
		"accounting",
		[]string{"target", "role", "planned", "sent", "missing", "analysed", "prompt_tokens", "completion_tokens"},
		func(r *model.Report, row func(...any)) {
			for _, a := range r.Accounting {
				row(a.Target, a.Role, a.Planned, a.Sent, a.Missing, a.Analysed, a.Usage.PromptTokens, a.Usage.CompletionTokens)
			}
		},
	},
	{
		"outcomes",
		[]string{"target", "of", "class", "count"},
		func(r *model.Report, row func(...any)) {
			for _, a := range r.Accounting {
				for _, c := range a.Classes {
					row(a.Target, "items", c.Class, c.Count)
				}
				for _, c := range a.Failed {
					row(a.Target, "failed attempts", c.Class, c.Count)
				}
			}
		},
	},
	{
		"bounds",
		[]string{"test", "target", "missing_items", "assumed_units", "effect", "no_trace", "worst", "best", "effect_unit"},
		func(r *model.Report, row func(...any)) {
			for _, a := range r.Accounting {
				for _, b := range a.Bounds {
					row(b.Test, a.Target, b.Missing, b.Units, b.Effect, b.NoTrace, b.Worst, b.Best, b.Unit)
				}
			}
		},
	},
	{
		"targets",
		[]string{"target", "role", "base_url", "declared_model", "first_reply", "last_reply", "request_ids", "first_request_id", "last_request_id", "median_total_ms", "tls_cert_sha256"},
		func(r *model.Report, row func(...any)) {
			for _, t := range r.Acquisition.Targets {
				row(t.Target, t.Role, t.BaseURL, t.Declared, t.First, t.Last, t.RequestIDs, t.FirstID, t.LastID, t.MedianTotalMS, t.TLSCert)
			}
		},
	},
	{
		"fingerprints",
		[]string{"target", "model", "system_fingerprint", "provider", "from", "to", "replies"},
		func(r *model.Report, row func(...any)) {
			for _, t := range r.Acquisition.Targets {
				for _, e := range t.Epochs {
					row(t.Target, e.Model, e.Fingerprint, e.Provider, e.From, e.To, e.Replies)
				}
			}
		},
	},
	{
		"events",
		[]string{"ledger_event", "time", "type", "text"},
		func(r *model.Report, row func(...any)) {
			for _, e := range r.Acquisition.Events {
				row(e.Seq, e.Time, e.Type, e.Text)
			}
		},
	},
	{
		"exhibits",
		[]string{"test", "target", "group", "item", "ledger_event", "request_id", "units", "score", "standardised", "tokens", "tokens_shown", "prompt"},
		func(r *model.Report, row func(...any)) {
			for _, x := range r.Exhibits {
				for _, g := range x.Groups {
					for _, e := range g.Exhibits {
						row(x.Test, x.Target, g.Name, e.Item, e.Seq, e.RequestID, e.Units, e.Score, e.Std, e.Tokens, e.Shown, e.Prompt)
					}
				}
			}
		},
	},
}

// Expected is what the same tests on as many new replies should give, if nothing
// changed and chance alone tells the two runs apart: both have an interval of half
// width h, so that in 95 of 100 pairs of runs the effects differ by no more than
// sqrt(2) h. It is a table of the reproduction kit (package repro).
func Expected(r *model.Report) ([]byte, error) {
	t := table{
		"expected",
		[]string{"test", "target", "n", "effect", "effect_lo", "effect_hi", "effect_unit", "repeat_lo", "repeat_hi", "log10_p", "holm_log10_p", "verdict"},
		func(r *model.Report, row func(...any)) {
			rows(r, func(t *model.TestRow) {
				var lo, hi any = "", ""
				if e := t.Effect; e != nil {
					lo, hi = *e-math.Sqrt2*(*e-*t.EffectLo), *e+math.Sqrt2*(*t.EffectHi-*e)
				}
				row(t.Test, t.Target, t.N, t.Effect, t.EffectLo, t.EffectHi, t.EffectUnit, lo, hi, t.Log10P, t.Holm, t.Verdict)
			})
		},
	}
	return t.encode(r)
}
