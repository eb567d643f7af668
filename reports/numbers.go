package reports

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
)

// Numbers and times as a reader of the report's language writes them. The files for
// programs, report.json and the tables, have Go's own forms.

// fixed writes a number with the given decimals.
func (d *design) fixed(v float64, decimals int) string {
	return d.decimal(minus(strconv.FormatFloat(v, 'f', decimals, 64)))
}

// fixed3 writes three decimals.
func (d *design) fixed3(v float64) string { return d.fixed(v, 3) }

// percent writes a share.
func (d *design) percent(v float64) string {
	return d.decimal(strconv.FormatFloat(100*v, 'f', 1, 64)) + "\u00a0%"
}

// cmpOr writes a dash for nothing.
func cmpOr(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// minus writes a negative number with the minus sign of typography.
func minus(s string) string {
	if strings.HasPrefix(s, "-") {
		if strings.Trim(s, "-0.") == "" {
			return s[1:] // no negative zero
		}
		return "−" + s[1:]
	}
	return s
}

// clock writes a time in UTC.
func (d *design) clock(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format(d.locale.Time)
}

// logarithm writes log10 values with two decimals; nil, what is not reported,
// is a dash.
func (d *design) logarithm(v any) string {
	switch v := v.(type) {
	case *float64:
		if v == nil {
			return "–"
		}
		return minus(d.grouped(*v, 2))
	case float64:
		return minus(d.grouped(v, 2))
	}
	return "–"
}

// effectText writes an effect with its sign and three decimals, or more where
// that would leave nothing to see.
func (d *design) effectText(v float64) string {
	decimals := 3
	if a := math.Abs(v); a > 0 && a < .01 {
		decimals = 4
	}
	s := d.decimal(minus(strconv.FormatFloat(v, 'f', decimals, 64)))
	if v > 0 && !strings.HasPrefix(s, "−") {
		return "+" + s
	}
	return s
}

// significant writes three significant digits without an exponent where that
// is short.
func (d *design) significant(v float64) string {
	if a := math.Abs(v); a != 0 && (a < 1e-4 || a >= 1e6) {
		return d.decimal(minus(strconv.FormatFloat(v, 'g', 3, 64)))
	}
	if math.Abs(v) >= 100 {
		return minus(d.grouped(v, 0))
	}
	return d.decimal(minus(strconv.FormatFloat(v, 'g', 3, 64)))
}

// grouped writes a number with a separator of thousands and the given decimals.
func (d *design) grouped(v float64, decimals int) string {
	s := strconv.FormatFloat(v, 'f', decimals, 64)
	whole, fraction, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n > -1000 && n < 1000 {
		return d.decimal(s)
	}
	s = d.locale.Integer(n)
	if fraction != "" {
		s += d.locale.Point + fraction
	}
	return s
}

// integer writes a whole number with a separator of thousands.
func (d *design) integer(n int64) string { return minus(d.locale.Integer(n)) }

func (d *design) anyInteger(v any) (string, error) {
	switch v := v.(type) {
	case int:
		return d.integer(int64(v)), nil
	case int64:
		return d.integer(v), nil
	case uint64:
		return d.integer(int64(v)), nil
	}
	return "", fmt.Errorf("%T is no integer", v)
}

// day writes a date.
func (d *design) day(t time.Time) string { return t.UTC().Format(d.locale.Date) }

// decimal puts the language's decimal separator into a number.
func (d *design) decimal(s string) string { return d.locale.Decimal(s) }

// interval writes an effect with the ends of its interval.
func (d *design) interval(v, lo, hi float64) string {
	return d.effectText(v) + d.bounds(d.effectText(lo), d.effectText(hi))
}

// measured is interval for an effect that there may not be.
func (d *design) measured(v, lo, hi *float64) string {
	if v == nil || lo == nil || hi == nil {
		return "–"
	}
	return d.interval(*v, *lo, *hi)
}

// bounds writes the ends of an interval after a blank.
func (d *design) bounds(lo, hi string) string {
	return " [" + lo + d.locale.Between + hi + "]"
}

// power writes the smallest effect that a test had power for; a dash where there is none.
func (d *design) power(p ledger.PowerRow) string {
	if !(p.Effect > 0) || math.IsInf(p.Effect, 0) {
		return "–"
	}
	return d.significant(p.Effect)
}
