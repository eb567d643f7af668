package corpora

import (
	"fmt"
	"maps"
	"math"
	"math/big"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stillmark/stillmark/corpora/reading"
)

// row is one row of a template, in English.
type row map[string]string

func (r row) int(column string) int { return atoi(r[column]) }

func (r row) float(column string) float64 {
	v, err := strconv.ParseFloat(strings.ReplaceAll(r[column], ",", ""), 64)
	if err != nil {
		panic(err)
	}
	return v
}

// rat reads a whole number, a fraction or a decimal.
func rat(s string) *big.Rat {
	v, ok := new(big.Rat).SetString(strings.NewReplacer(",", "", "−", "-").Replace(s))
	if !ok {
		panic("no number: " + s)
	}
	return v
}

func (r row) rat(column string) *big.Rat { return rat(r[column]) }

// options are the right answer and the wrong ones.
func (r row) options() []string {
	out := []string{r["right"]}
	for i := 1; r[fmt.Sprint("w", i)] != ""; i++ {
		out = append(out, r[fmt.Sprint("w", i)])
	}
	return out
}

// only is the one option with the property, or says that there is not one.
func (r row) only(has func(option string) bool) string {
	var found []string
	for _, o := range r.options() {
		if has(o) {
			found = append(found, o)
		}
	}
	if len(found) != 1 {
		return fmt.Sprintf("not one option but %q", found)
	}
	return found[0]
}

// first is the option that comes before all others.
func (r row) first(before func(a, b string) bool) string {
	return r.only(func(o string) bool {
		return !slices.ContainsFunc(r.options(), func(p string) bool { return p != o && !before(o, p) })
	})
}

func atoi(s string) int {
	v, err := strconv.Atoi(strings.NewReplacer(",", "", "−", "-").Replace(s))
	if err != nil {
		panic(err)
	}
	return v
}

// num writes a number as the suite does: 1,234.5 and −7.
func num[T int | float64](v T) string {
	f := float64(v)
	text := strconv.FormatFloat(math.Abs(math.Round(f*1e6)/1e6), 'f', -1, 64)
	whole, rest, _ := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		whole += "." + rest
	}
	if f < 0 {
		return "−" + whole
	}
	return whole
}

func euros(v float64) string {
	if v != math.Trunc(v) {
		return num(math.Trunc(v)) + fmt.Sprintf("%.2f", v-math.Trunc(v))[1:] + " euros"
	}
	return num(v) + " euros"
}

func frac(v *big.Rat) string { return v.RatString() }

func pow(base, exponent int) *big.Int {
	return new(big.Int).Exp(big.NewInt(int64(base)), big.NewInt(int64(exponent)), nil)
}

func choose(n, k int) int { return int(new(big.Int).Binomial(int64(n), int64(k)).Int64()) }

func prime(n int) bool { return big.NewInt(int64(n)).ProbablyPrime(1) }

func countTo(n int, has func(int) bool) int {
	total := 0
	for i := 1; i <= n; i++ {
		if has(i) {
			total++
		}
	}
	return total
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// roman reads Roman numerals.
func roman(s string) int {
	values := map[rune]int{'I': 1, 'V': 5, 'X': 10, 'L': 50, 'C': 100, 'D': 500, 'M': 1000}
	total, last := 0, 0
	for _, c := range s {
		v := values[c]
		if total += v; v > last {
			total -= 2 * last
		}
		last = v
	}
	return total
}

// ordinals and small numbers in words.
var (
	cardinal = strings.Fields("none one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen")
	ordinal  = strings.Fields("zeroth first second third fourth fifth sixth seventh eighth ninth")
)

func inWords(n int) string   { return cardinal[n] }
func fromWords(s string) int { return slices.Index(cardinal, s) }
func unordinal(s string) int { return slices.Index(ordinal, s) }

// th writes "the 22nd".
func th(n int) string {
	suffix := "th"
	if n/10%10 != 1 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return fmt.Sprintf("the %d%s", n, suffix)
}

const (
	ordinaryYear = 2001
	leapYear     = 2004
)

// day reads "3 March", of the given year, or "3 March 1999".
func day(s string, year int) time.Time {
	if strings.Count(s, " ") == 1 {
		s += fmt.Sprint(" ", year)
	}
	d, err := time.Parse("2 January 2006", s)
	if err != nil {
		panic(err)
	}
	return d
}

func days(from, to time.Time) int { return int(to.Sub(from).Hours() / 24) }

func weekday(s string) time.Weekday {
	for d := time.Sunday; d <= time.Saturday; d++ {
		if d.String() == s {
			return d
		}
	}
	panic("no weekday: " + s)
}

func later(name string, days int) string {
	return time.Weekday(((int(weekday(name))+days)%7 + 7) % 7).String()
}

func leap(year int) bool { return time.Date(year, 12, 31, 0, 0, 0, 0, time.UTC).YearDay() == 366 }

// minutes of a day, from "15:04", and back.
func minutes(s string) int { return atoi(s[:2])*60 + atoi(s[3:]) }
func clock(m int) string   { return fmt.Sprintf("%02d:%02d", (m/60%24+24)%24, (m%60+60)%60) }
func hours(m int) string   { return fmt.Sprintf("%d h %02d min", m/60, m%60) }

// startsOn is an ordinary year whose first day is the weekday.
func startsOn(name string) int {
	for year := ordinaryYear; ; year++ {
		if first := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC); !leap(year) && first.Weekday().String() == name {
			return year
		}
	}
}

func shift(text string, by int) string {
	return strings.Map(func(c rune) rune { return 'a' + (c-'a'+rune(by)+26)%26 }, text)
}

func letters(text string) []string {
	l := strings.Split(text, "")
	slices.Sort(l)
	return l
}

func reversed(text string) string {
	r := []rune(text)
	slices.Reverse(r)
	return string(r)
}

// trapAnswers works out the right option of the computed templates.
var trapAnswers = map[string]func(r row) string{
	"a-product":      func(r row) string { return num(r.int("n") * r.int("m")) },
	"a-precedence":   func(r row) string { return num(r.int("a1") + r.int("b1")*r.int("c1") - r.int("d1")/r.int("e1")) },
	"a-minus-square": func(r row) string { return num(r.int("m") - r.int("n")*r.int("n")) },
	"a-odd-sum": func(r row) string {
		sum := 0
		for i := range r.int("n") {
			sum += 2*i + 1
		}
		return num(sum)
	},
	"a-range-sum": func(r row) string {
		sum := 0
		for i := r.int("n"); i <= r.int("m"); i++ {
			sum += i
		}
		return num(sum)
	},
	"a-percent-of": func(r row) string { return num(float64(r.int("p")*r.int("n")) / 100) },
	"a-up-down": func(r row) string {
		p := r.float("p") / 100
		return num(100*(1-(1+p)*(1-p))) + " per cent lower"
	},
	"a-two-discounts": func(r row) string {
		return num(100*(1-(1-r.float("p")/100)*(1-r.float("q")/100))) + " per cent"
	},
	"a-before-sale": func(r row) string { return euros(r.float("m") * 100 / (100 - r.float("p"))) },
	"a-tax-inside":  func(r row) string { return euros(r.float("m") * r.float("p") / (100 + r.float("p"))) },
	"a-round-trip": func(r row) string {
		return num(2/(1/r.float("n")+1/r.float("m"))) + " km/h"
	},
	"a-work-rate": func(r row) string { return num(1/(1/r.float("n")+1/r.float("m"))) + " hours" },
	"a-ratio": func(r row) string {
		parts := []int{r.int("a1"), r.int("b1"), r.int("c1")}
		return euros(r.float("m") / float64(parts[0]+parts[1]+parts[2]) * float64(slices.Max(parts)))
	},
	"a-mixture": func(r row) string {
		return num(math.Round(100*(r.float("m")*r.float("p")/r.float("q")-r.float("m")))/100) + " litres"
	},
	"a-fractions-add": func(r row) string {
		return frac(new(big.Rat).Add(rat(r["a1"]+"/"+r["b1"]), rat(r["c1"]+"/"+r["d1"])))
	},
	"a-fraction-divide": func(r row) string {
		return frac(new(big.Rat).Quo(r.rat("a1"), rat(r["b1"]+"/"+r["c1"])))
	},
	"a-fraction-largest": func(r row) string { return r.first(func(a, b string) bool { return rat(a).Cmp(rat(b)) > 0 }) },
	"a-decimal-largest":  func(r row) string { return r.first(func(a, b string) bool { return rat(a).Cmp(rat(b)) > 0 }) },
	"a-decimal-smallest": func(r row) string { return r.first(func(a, b string) bool { return rat(a).Cmp(rat(b)) < 0 }) },
	"a-decimal-product":  func(r row) string { return num(r.float("n") * r.float("m")) },
	"a-root-nearest": func(r row) string {
		return r.first(func(a, b string) bool {
			off := func(s string) float64 { return math.Abs(float64(atoi(s)) - math.Sqrt(r.float("n"))) }
			return off(a) < off(b)
		})
	},
	"a-last-digit": func(r row) string { s := pow(r.int("n"), r.int("m")).String(); return s[len(s)-1:] },
	"a-last-two":   func(r row) string { s := pow(r.int("n"), r.int("m")).String(); return s[len(s)-2:] },
	"a-power-of-two": func(r row) string {
		v := 1
		for range r.int("n") {
			v += v
		}
		return num(v)
	},
	"a-remainder": func(r row) string { return num(r.int("n") % r.int("m")) },
	"a-gcd": func(r row) string {
		return r.first(func(a, b string) bool {
			divides := func(s string) bool { return r.int("n")%atoi(s) == 0 && r.int("m")%atoi(s) == 0 }
			return divides(a) && atoi(a) == gcd(r.int("n"), r.int("m")) && (!divides(b) || atoi(b) < atoi(a))
		})
	},
	"a-lcm": func(r row) string {
		v := r.int("n")
		for v%r.int("m") != 0 {
			v += r.int("n")
		}
		return num(v)
	},
	"a-prime":     func(r row) string { return r.only(func(o string) bool { return prime(atoi(o)) }) },
	"a-not-prime": func(r row) string { return r.only(func(o string) bool { return !prime(atoi(o)) }) },
	"a-prime-count": func(r row) string {
		return num(countTo(r.int("m"), func(i int) bool { return i > r.int("n") && prime(i) }))
	},
	"a-divisors":     func(r row) string { return num(countTo(r.int("n"), func(i int) bool { return r.int("n")%i == 0 })) },
	"a-digits-power": func(r row) string { return num(len(pow(2, r.int("n")).String())) },
	"a-digit-sum": func(r row) string {
		sum := 0
		for _, c := range strconv.Itoa(r.int("n") * r.int("m")) {
			sum += int(c - '0')
		}
		return num(sum)
	},
	"a-binary-read": func(r row) string { v, _ := strconv.ParseInt(r["n"], 2, 32); return num(int(v)) },
	"a-binary-write": func(r row) string {
		return r.only(func(o string) bool { v, _ := strconv.ParseInt(o, 2, 32); return int(v) == r.int("n") })
	},
	"a-hex-read":    func(r row) string { v, _ := strconv.ParseInt(r["n"], 16, 32); return num(int(v)) },
	"a-roman-read":  func(r row) string { return strconv.Itoa(roman(r["n"])) },
	"a-roman-write": func(r row) string { return r.only(func(o string) bool { return roman(o) == r.int("n") }) },
	"a-trailing-zeros": func(r row) string {
		s := new(big.Int).MulRange(1, int64(r.int("n"))).String()
		return num(len(s) - len(strings.TrimRight(s, "0")))
	},
	"a-handshakes": func(r row) string { return num(choose(r.int("n"), 2)) },
	"a-word-orders": func(r row) string {
		v := new(big.Int).MulRange(1, int64(len(r["n"])))
		for c := 'A'; c <= 'Z'; c++ {
			v.Div(v, new(big.Int).MulRange(1, int64(strings.Count(r["n"], string(c)))))
		}
		return num(int(v.Int64()))
	},
	"a-choose": func(r row) string { return num(choose(r.int("n"), r.int("m"))) },
	"a-dice-sum": func(r row) string {
		hits := countTo(36, func(i int) bool { return (i-1)/6+(i-1)%6+2 == r.int("n") })
		return frac(big.NewRat(int64(hits), 36))
	},
	"a-at-least-one": func(r row) string {
		all := 1
		for range r.int("n") {
			all *= 6
		}
		without := countTo(all, func(i int) bool { return !strings.Contains(strconv.FormatInt(int64(i-1), 6), "5") })
		return frac(big.NewRat(int64(all-without), int64(all)))
	},
	"a-coins-exact": func(r row) string {
		all := 1 << r.int("n")
		hits := countTo(all, func(i int) bool {
			return strings.Count(strconv.FormatInt(int64(i-1), 2), "1") == r.int("m")
		})
		return frac(big.NewRat(int64(hits), int64(all)))
	},
	"a-marbles-both": func(r row) string {
		return frac(big.NewRat(int64(choose(r.int("n"), 2)), int64(choose(r.int("n")+r.int("m"), 2))))
	},
	"a-compound": func(r row) string {
		v := r.float("m")
		for range 2 {
			v += v * r.float("p") / 100
		}
		return euros(math.Round(v*100) / 100)
	},
	"a-doubling": func(r row) string { return num(1 << (r.int("m") * 60 / r.int("n"))) },
	"a-lily-pond": func(r row) string {
		return num(r.int("n") - map[string]int{"half": 1, "a quarter": 2, "an eighth": 3}[r["m"]])
	},
	"a-diagonals": func(r row) string { return num(choose(r.int("n"), 2) - r.int("n")) },
	"a-interior-angle": func(r row) string {
		return num(180-360/r.float("n")) + " degrees"
	},
	"a-scale-volume": func(r row) string { return num(math.Pow(r.float("n"), 3)) },
	"a-scale-area": func(r row) string {
		side := 2 * r.float("n") / 100 / 1000 // km
		return num(side*side) + " km²"
	},
	"a-hypotenuse": func(r row) string { return num(math.Hypot(r.float("n"), r.float("m"))) + " cm" },
	"a-box-diagonal": func(r row) string {
		return num(math.Hypot(math.Hypot(r.float("a1"), r.float("b1")), r.float("c1"))) + " cm"
	},
	"a-clock-angle": func(r row) string {
		h, m, _ := strings.Cut(r["n"], ":")
		angle := math.Mod(math.Abs(30*float64(atoi(h))+float64(atoi(m))/2-6*float64(atoi(m))), 360)
		return num(min(angle, 360-angle)) + "°"
	},
	"a-kmh-ms":      func(r row) string { return num(r.float("n") * 1000 / 3600) },
	"a-ms-kmh":      func(r row) string { return num(r.float("n") * 3600 / 1000) },
	"a-celsius":     func(r row) string { return num((r.float("n")-32)/1.8) + " degrees" },
	"a-fahrenheit":  func(r row) string { return num(r.float("n") * 1.8) },
	"a-hectare":     func(r row) string { return num(r.float("n") * 100 * 100) },
	"a-km-square":   func(r row) string { return num(r.float("n") * 1000 * 1000) },
	"a-cubic-cm":    func(r row) string { return num(r.float("n") * 100 * 100 * 100) },
	"a-cubic-litre": func(r row) string { return num(r.float("a1")*r.float("b1")*r.float("c1")/1000) + " litres" },
	"a-decimal-hours": func(r row) string {
		m := int(math.Round(r.float("n") * 60))
		return fmt.Sprintf("%d h %d min", m/60, m%60)
	},
	"a-seconds-day": func(r row) string { return num((r.int("n")*60 + r.int("m")) * 60) },
	"a-micrograms":  func(r row) string { return num(r.float("n") * 1000) },
	"a-mib":         func(r row) string { return num(r.int("n")<<20 - r.int("n")*1_000_000) },
	"a-download":    func(r row) string { return num(r.float("n")*8/r.float("m")) + " seconds" },
	"a-kwh":         func(r row) string { return num(r.float("n")/1000*r.float("m")*30) + " kWh" },
	"a-fuel":        func(r row) string { return num(100*r.float("m")/r.float("n")) + " km" },
	"a-density":     func(r row) string { return num(r.float("m")/r.float("n")) + " g/cm³" },
	"a-pace": func(r row) string {
		d, err := time.ParseDuration(strings.NewReplacer(" min", "m", " s", "s", " ", "").Replace(r["n"]))
		if err != nil {
			panic(err)
		}
		return num(1/d.Hours()) + " km/h"
	},
	"a-inches": func(r row) string { return num(r.float("n") * 2.54) },
	"a-feet-inches": func(r row) string {
		f := strings.Fields(r["n"])
		return num(math.Round(float64(atoi(f[0])*12+atoi(f[2])) * 2.54))
	},
	"a-nautical": func(r row) string { return num(r.float("n") * 1.852) },
	"a-fence":    func(r row) string { return num(countTo(r.int("n"), func(i int) bool { return i%r.int("m") == 0 }) + 1) },
	"a-log-cuts": func(r row) string {
		return num(r.float("m")/(r.float("n")-1)*(r.float("k")-1)) + " minutes"
	},
	"a-strokes": func(r row) string { return num(r.float("m") / (r.float("n") - 1) * (r.float("k") - 1)) },
	"a-floors": func(r row) string {
		return num(r.int("m")/(unordinal(r["n"])-1)*(unordinal(r["k"])-1)) + " seconds"
	},
	"a-page-digits": func(r row) string {
		digits := 0
		for i := 1; i <= r.int("n"); i++ {
			digits += len(strconv.Itoa(i))
		}
		return num(digits)
	},
	"a-digit-seven": func(r row) string {
		digits := 0
		for i := 1; i <= r.int("n"); i++ {
			digits += strings.Count(strconv.Itoa(i), r["m"])
		}
		return num(digits)
	},
	"a-pages-read": func(r row) string {
		return num(countTo(r.int("m"), func(i int) bool { return i >= r.int("n") }))
	},
	"a-bat-ball": func(r row) string { return euros((r.float("n") - r.float("m")) / 2) },
	"a-snail": func(r row) string {
		for day, at := 1, 0; ; day++ {
			if at += r.int("n"); at >= r.int("k") {
				return fmt.Sprint("day ", day)
			}
			at -= r.int("m")
		}
	},
	"a-machines": func(r row) string { return r["n"] + " minutes" },
	"a-heads-legs": func(r row) string {
		return r.only(func(o string) bool { return 4*atoi(o)+2*(r.int("n")-atoi(o)) == r.int("m") })
	},
	"a-meeting": func(r row) string {
		return hours(int(math.Round(60 * r.float("k") / (r.float("n") + r.float("m")))))
	},
	"a-catch-up": func(r row) string { return num(60*r.float("k")/(r.float("m")-r.float("n"))) + " minutes" },
	"a-mean-new": func(r row) string { return num((r.int("n")+1)*r.int("k") - r.int("n")*r.int("m")) },
	"a-median": func(r row) string {
		var v []float64
		for _, f := range strings.Fields(strings.NewReplacer(",", "", "and", "").Replace(r["n"])) {
			v = append(v, float64(atoi(f)))
		}
		slices.Sort(v)
		return num((v[len(v)/2-1] + v[len(v)/2]) / 2)
	},
	"a-weighted-mean": func(r row) string {
		return num((r.float("n")*r.float("m") + r.float("k")*r.float("l")) / (r.float("n") + r.float("k")))
	},
	"a-reversed": func(r row) string {
		return r.only(func(o string) bool {
			return atoi(o)-atoi(reversed(o)) == r.int("m") && int(o[0]-'0')+int(o[1]-'0') == r.int("n")
		})
	},
	"a-quiz-score": func(r row) string {
		return r.only(func(o string) bool { return atoi(o)*r.int("m")-(r.int("n")-atoi(o))*r.int("k") == r.int("l") })
	},
	"a-sum-difference": func(r row) string {
		return r.only(func(o string) bool { return 2*atoi(o) == r.int("n")+r.int("m") })
	},
	"a-consecutive": func(r row) string {
		return r.only(func(o string) bool {
			sum := 0
			for i := range fromWords(r["k"]) {
				sum += atoi(o) - i
			}
			return sum == r.int("n")
		})
	},
	"a-arithmetic-term": func(r row) string {
		v := r.int("n")
		for range r.int("k") - 1 {
			v += r.int("m") - r.int("n")
		}
		return num(v)
	},
	"a-sum-of-two": func(r row) string {
		a, b := r.int("n"), r.int("m")
		for range r.int("k") - 1 {
			a, b = b, a+b
		}
		return num(a)
	},
	"a-percent-points": func(r row) string { return num(100*(r.float("m")/r.float("n")-1)) + " per cent" },
	"a-rounding": func(r row) string {
		return map[string]string{"0.04962": "0.050", "7.995": "8.00", "149,950": "150,000"}[r["n"]]
	},
	"a-scientific": func(r row) string {
		v := new(big.Rat).Mul(r.rat("n"), r.rat("k"))
		e := r.int("m") + r.int("l")
		for v.Cmp(rat("10")) >= 0 {
			v.Quo(v, rat("10"))
			e++
		}
		f, _ := v.Float64()
		return fmt.Sprintf("%s × 10^%d", num(f), e)
	},
	"a-exponents": func(r row) string {
		want := new(big.Int).Div(new(big.Int).Exp(pow(r.int("n"), r.int("m")), big.NewInt(int64(r.int("k"))), nil), pow(r.int("n"), r.int("l")))
		return r.only(func(o string) bool {
			base, exponent, _ := strings.Cut(o, "^")
			return pow(atoi(base), atoi(exponent)).Cmp(want) == 0
		})
	},
	"a-cube-faces": func(r row) string {
		n, faces := r.int("n"), map[string]int{"no face": 0, "exactly one face": 1, "exactly two faces": 2}[r["m"]]
		return num(countTo(n*n*n, func(i int) bool {
			painted := 0
			for _, at := range []int{(i - 1) % n, (i - 1) / n % n, (i - 1) / n / n} {
				if at == 0 || at == n-1 {
					painted++
				}
			}
			return painted == faces
		}))
	},
	"a-hanoi": func(r row) string {
		moves := 0
		for range r.int("n") {
			moves = 2*moves + 1
		}
		return num(moves)
	},
	"a-socks-pair":  func(row) string { return "4" }, // one of each colour, and one more
	"a-socks-black": func(r row) string { return num(r.int("m") + r.int("k") + 2) },
	"a-knock-out":   func(r row) string { return num(r.int("n") - 1) },
	"a-home-away":   func(r row) string { return num(2 * choose(r.int("n"), 2)) },
	"a-false-coin": func(r row) string {
		weighings := 0
		for coins := r.int("n"); coins > 1; coins = (coins + 2) / 3 {
			weighings++
		}
		return num(weighings)
	},
	"a-palindrome-next": func(r row) string {
		for v := r.int("n") + 1; ; v++ {
			if s := strconv.Itoa(v); s == reversed(s) {
				return num(v)
			}
		}
	},
	"a-squares-between": func(r row) string {
		return num(countTo(r.int("m")-1, func(i int) bool { return i*i > r.int("n") && i*i < r.int("m") }))
	},
	"a-multiples": func(r row) string {
		return num(countTo(r.int("n"), func(i int) bool { return i%r.int("m") == 0 || i%r.int("k") == 0 }))
	},

	"d-weekday-later":  func(r row) string { return later(r["m"], days(day(r["n"], ordinaryYear), day(r["k"], ordinaryYear))) },
	"d-weekday-leap":   func(r row) string { return later(r["m"], days(day(r["n"], leapYear), day(r["k"], leapYear))) },
	"d-weekday-after":  func(r row) string { return later(r["m"], r.int("n")) },
	"d-weekday-before": func(r row) string { return later(r["m"], -r.int("n")) },
	"d-weekday-year": func(r row) string {
		if day(r["n"], 0).Weekday().String() != r["m"] {
			return "the question is wrong: " + r["n"]
		}
		return day(r["k"], 0).Weekday().String()
	},
	"d-weekday-of":     func(r row) string { return day(r["n"], 0).Weekday().String() },
	"d-days-between":   func(r row) string { return num(days(day(r["n"], ordinaryYear), day(r["k"], ordinaryYear))) },
	"d-days-inclusive": func(r row) string { return num(days(day(r["n"], ordinaryYear), day(r["k"], ordinaryYear)) + 1) },
	"d-date-after":     func(r row) string { return day(r["n"], ordinaryYear).AddDate(0, 0, r.int("m")).Format("2 January") },
	"d-date-before":    func(r row) string { return day(r["n"], ordinaryYear).AddDate(0, 0, -r.int("m")).Format("2 January") },
	"d-day-of-year":    func(r row) string { return fmt.Sprint("day ", day(r["n"], ordinaryYear).YearDay()) },
	"d-day-of-leap-year": func(r row) string {
		return r.only(func(o string) bool { return day(o, leapYear).YearDay() == r.int("n") })
	},
	"d-leap-year":     func(r row) string { return r.only(func(o string) bool { return leap(atoi(o)) }) },
	"d-not-leap-year": func(r row) string { return r.only(func(o string) bool { return !leap(atoi(o)) }) },
	"d-leap-count": func(r row) string {
		return num(countTo(r.int("m"), func(y int) bool { return y >= r.int("n") && leap(y) }))
	},
	"d-month-fridays": func(r row) string {
		return inWords(countTo(31, func(i int) bool { return later(r["n"], i-1) == r["m"] }))
	},
	"d-nth-weekday": func(r row) string {
		nth := 0
		for i := 1; ; i++ {
			if later(r["n"], i-1) == r["m"] {
				if nth++; nth == unordinal(r["k"]) {
					return th(i)
				}
			}
		}
	},
	"d-last-weekday": func(r row) string {
		for i := r.int("k"); ; i-- {
			if later(r["n"], i-1) == r["m"] {
				return num(i)
			}
		}
	},
	"d-age": func(r row) string {
		birthdays := 0
		for b := day(r["n"], 0).AddDate(1, 0, 0); !b.After(day(r["m"], 0)); b = b.AddDate(1, 0, 0) {
			birthdays++
		}
		return num(birthdays)
	},
	"d-century": func(r row) string { return th((r.int("n")-1)/100 + 1) },
	"d-bc-ad":   func(r row) string { return num(r.int("m") + r.int("n") - 1) }, // there is no year 0
	"d-bc-age":  func(r row) string { return num(r.int("m") + r.int("n") - 1) },
	"d-time-zone": func(r row) string {
		m := minutes(r["n"]) - 9*60 - 60*fromWords(r["k"])
		return later(r["m"], int(math.Floor(float64(m)/1440))) + " " + clock((m+2880)%1440)
	},
	"d-night-train":   func(r row) string { return hours(minutes(r["m"]) + 1440 - minutes(r["n"])) },
	"d-minutes-later": func(r row) string { return clock(minutes(r["n"]) + r.int("m")) },
	"d-slow-clock": func(r row) string {
		return r.only(func(o string) bool { // what the clock has counted since noon
			return (minutes(o)-720)*(60-r.int("n")) == (minutes(r["m"])-720)*60
		})
	},
	"d-friday-13": func(r row) string {
		year := startsOn(r["n"])
		return num(countTo(12, func(m int) bool {
			return time.Date(year, time.Month(m), 13, 0, 0, 0, 0, time.UTC).Weekday() == time.Friday
		}))
	},
	"d-quarter-days": func(r row) string {
		total := 0
		for _, f := range strings.Fields(strings.ReplaceAll(r["n"], ",", "")) {
			if m, err := time.Parse("January 2006", f+" "+strconv.Itoa(ordinaryYear)); err == nil {
				total += days(m, m.AddDate(0, 1, 0))
			}
		}
		return num(total)
	},
	"d-same-calendar": func(r row) string {
		first := func(y int) time.Weekday { return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC).Weekday() }
		for y := r.int("n") + 1; ; y++ {
			if first(y) == first(r.int("n")) && leap(y) == leap(r.int("n")) {
				return strconv.Itoa(y)
			}
		}
	},
	"d-month-pair": func(r row) string {
		first := func(m string) time.Weekday { return day("1 "+m, ordinaryYear).Weekday() }
		return r.only(func(o string) bool { return first(o) == first(r["n"]) })
	},
	"d-event-first":  func(r row) string { return r.first(func(a, b string) bool { return events[a] < events[b] }) },
	"d-event-last":   func(r row) string { return r.first(func(a, b string) bool { return events[a] > events[b] }) },
	"d-event-second": func(r row) string { return byYear(events, r.options())[1] },
	"d-event-year":   func(r row) string { return strconv.Itoa(events[r["n"]]) },
	"d-event-gap":    func(r row) string { return num(events[r["m"]] - events[r["n"]]) },
	"d-born-first":   func(r row) string { return r.first(func(a, b string) bool { return births[a] < births[b] }) },
	"d-born-last":    func(r row) string { return r.first(func(a, b string) bool { return births[a] > births[b] }) },

	"l-letter-count":  func(r row) string { return inWords(strings.Count(r["n"], strings.ToLower(r["m"]))) },
	"l-letter-phrase": func(r row) string { return inWords(strings.Count(r["n"], strings.ToLower(r["m"]))) },
	"l-word-length":   func(r row) string { return inWords(len(r["n"])) },
	"l-vowels":        func(r row) string { return inWords(len(regexp.MustCompile(`[aeiou]`).FindAllString(r["n"], -1))) },
	"l-nth-letter":    func(r row) string { return r["n"][unordinal(r["m"])-1:][:1] },
	"l-nth-last":      func(r row) string { return reversed(r["n"])[unordinal(r["m"])-1:][:1] },
	"l-middle-letter": func(r row) string {
		w := r["n"]
		for len(w) > 1 {
			w = w[1 : len(w)-1]
		}
		return w
	},
	"l-reverse":        func(r row) string { return reversed(r["n"]) },
	"l-alphabet-first": func(r row) string { return slices.Min(r.options()) },
	"l-alphabet-last":  func(r row) string { return slices.Max(r.options()) },
	"l-anagram": func(r row) string {
		return r.only(func(o string) bool { return slices.Equal(letters(o), letters(r["n"])) })
	},
	"l-not-anagram": func(r row) string {
		return r.only(func(o string) bool { return !slices.Equal(letters(o), letters(r["n"])) })
	},
	"l-no-repeat": func(r row) string {
		return r.only(func(o string) bool { return len(slices.Compact(letters(o))) == len(o) })
	},
	"l-alphabetical-letters": func(r row) string {
		return r.only(func(o string) bool { return strings.Join(letters(o), "") == o })
	},
	"l-drop-first": func(r row) string {
		return r.only(func(o string) bool { return slices.Contains([]string{"table", "lover", "rifle"}, o[1:]) })
	},
	"l-hidden": func(r row) string {
		text := strings.ToLower(regexp.MustCompile(`[^A-Za-z]`).ReplaceAllString(r["n"], ""))
		return r.only(func(o string) bool { return strings.Contains(text, o) })
	},
	"l-caesar": func(r row) string {
		return r.only(func(o string) bool { return shift(o, -fromWords(strings.Fields(r["m"])[0])) == r["n"] })
	},
	"l-halfway": func(r row) string {
		return r.only(func(o string) bool {
			o = strings.ToUpper(o)
			return o[0]-r["n"][0] == r["m"][0]-o[0]
		})
	},
	"l-alphabet-place": func(r row) string { return num(strings.Index("ABCDEFGHIJKLMNOPQRSTUVWXYZ", r["n"]) + 1) },
	"l-letter-values": func(r row) string {
		sum := 0
		for _, c := range r["n"] {
			sum += int(c-'A') + 1
		}
		return num(sum)
	},
	"l-word-count":      func(r row) string { return inWords(strings.Count(r["n"], " ") + 1) },
	"l-palindrome-word": func(r row) string { return r.only(func(o string) bool { return o == reversed(o) }) },
	"l-top-row": func(r row) string {
		return r.only(func(o string) bool { return strings.Trim(o, "qwertyuiop") == "" })
	},
	"l-same-ends": func(r row) string { return r.only(func(o string) bool { return o[0] == o[len(o)-1] }) },
	"l-consonant-run": func(r row) string {
		longest := func(w string) int {
			run := 0
			for _, part := range strings.FieldsFunc(w, func(c rune) bool { return strings.ContainsRune("aeiouy", c) }) {
				run = max(run, len(part))
			}
			return run
		}
		return r.first(func(a, b string) bool { return longest(a) > longest(b) })
	},
	"l-delete-every": func(r row) string {
		var left strings.Builder
		for i, c := range r["n"] {
			if i%2 == 0 {
				left.WriteRune(c)
			}
		}
		return left.String()
	},
	"l-initials": func(r row) string {
		return regexp.MustCompile(`(\w)\w* ?`).ReplaceAllString(r["n"], "$1")
	},

	"r-race": func(r row) string { return arranged(r["n"], `[A-Z]\w+`, raceClues)[unordinal(r["m"])-1] },
	"r-taller": func(r row) string {
		place := map[string]int{"the tallest": 0, "the second tallest": 1, "the third tallest": 2}
		return arranged(r["n"], `[A-Z]\w+`, heightClues)[place[r["m"]]]
	},
	"r-shelf": func(r row) string {
		books := arranged(r["n"], `red|blue|green|yellow|black`, shelfClues)
		place := map[string]int{"second from the left": 1, "in the middle": len(books) / 2, "at the right end": len(books) - 1}
		return "the " + books[place[r["m"]]] + " one"
	},
	"r-table": func(r row) string {
		var opposite []string
		arrangements(`Emil Fay Gus Hana Igor Jude`, r["n"], tableClues, func(seats []string) {
			opposite = append(opposite, seats[(slices.Index(seats, r["m"])+3)%6])
		})
		slices.Sort(opposite)
		return strings.Join(slices.Compact(opposite), " or ")
	},
	"r-knights-two":   func(r row) string { return knights(r["n"], "Ann", "Bob") },
	"r-knights-three": func(r row) string { return knights(r["n"], "Ann", "Bob", "Cid") },
	"r-syllogism": func(r row) string {
		return r.only(func(o string) bool {
			if o == "none of these" {
				return !slices.ContainsFunc(r.options(), func(p string) bool { return p != o && follows(r["n"], p) })
			}
			return follows(r["n"], o)
		})
	},
	"r-boolean": func(r row) string {
		return r.only(func(o string) bool {
			e := &expression{tokens: regexp.MustCompile(`\w+|[()]`).FindAllString(o, -1), values: map[string]bool{
				"p": r["n"] == "true", "q": r["m"] == "true", "r": r["k"] == "true",
			}}
			return e.or()
		})
	},
	"r-both-count": func(r row) string {
		return r.only(func(o string) bool { return r.int("m")+r.int("k")-atoi(o)+r.int("l") == r.int("n") })
	},
	"r-at-least-both": func(r row) string { return num(r.int("m") - (r.int("n") - r.int("k"))) },
	"r-ages": func(r row) string {
		return r.only(func(o string) bool {
			son := atoi(o)
			return fromWords(r["n"])*son+r.int("m") == fromWords(r["k"])*(son+r.int("m"))
		})
	},
	"r-lockers": func(r row) string {
		return num(countTo(r.int("n"), func(i int) bool {
			return countTo(i, func(d int) bool { return i%d == 0 })%2 == 1
		}))
	},
	"r-same-month": func(r row) string { return num(12*(fromWords(r["m"])-1) + 1) },
	"r-torch": func(r row) string {
		var v []int
		for _, f := range regexp.MustCompile(`\d+`).FindAllString(r["n"], -1) {
			v = append(v, atoi(f))
		}
		slices.Sort(v) // two ways to bring the slow pair over (Rote 2002, "Crossing the Bridge at Night")
		return fmt.Sprintf("%d minutes", min(v[1]+v[0]+v[3]+v[1]+v[1], v[1]+v[0]+v[2]+v[0]+v[3]))
	},
	"r-jugs": func(r row) string { return num(pours(r.int("n"), r.int("m"), r.int("k"))) },
	"r-last-match": func(r row) string {
		if r.int("n")%4 == 0 {
			return "no first move wins by force"
		}
		return inWords(r.int("n") % 4)
	},
	"r-circle": func(r row) string {
		last := 0 // Josephus' recurrence
		for n := 2; n <= r.int("n"); n++ {
			last = (last + unordinal(r["m"])) % n
		}
		return num(last + 1)
	},
	"r-facing": func(r row) string {
		winds := []string{"north", "east", "south", "west"}
		at := slices.Index(winds, strings.Trim(strings.Fields(r["n"])[1], ","))
		at += strings.Count(r["n"], "turns right") + 3*strings.Count(r["n"], "turns left") + 2*strings.Count(r["n"], "turns round")
		return winds[at%4]
	},
	"r-walk": func(r row) string {
		at := make(map[string]float64)
		for _, m := range regexp.MustCompile(`(\d+) km (\w+)`).FindAllStringSubmatch(r["n"], -1) {
			at[m[2]] += float64(atoi(m[1]))
		}
		return num(math.Hypot(at["north"]-at["south"], at["east"]-at["west"])) + " km"
	},
}

// readByPeople are templates whose rows are facts that no computation gives.
var readByPeople = []string{
	"g-highest", "g-official-language", "g-flag-stars", "s-deficiency",
	"l-spelling", "l-plural", "l-meaning", "l-adjective", "l-source-language", "l-alphabet-size",
}

// TestTrapAnswers works out the answer of every computed template of the trap
// questions again, by other means than those that made the rows.
func TestTrapAnswers(t *testing.T) {
	t.Parallel()
	s := load(t, "trap-choice")
	unused := maps.Clone(trapAnswers)
	for i := range s.templates {
		tm := &s.templates[i]
		if len(tm.rows) == 0 || tm.category == "code" || slices.Contains(readByPeople, tm.id) {
			continue
		}
		answer, ok := trapAnswers[tm.id]
		if !ok {
			t.Errorf("%s: nothing works out its answers", tm.id)
			continue
		}
		delete(unused, tm.id)
		for _, columns := range tm.rows {
			r := make(row)
			for name := range columns {
				r[name], _ = columns[name].in("en")
			}
			if got := answer(r); got != r["right"] {
				t.Errorf("%s, row %s: %q, the suite says %q", tm.id, r["id"], got, r["right"])
			}
		}
	}
	for id := range unused {
		t.Errorf("the suite has no template %s", id)
	}
}

// TestTrapOptions: one option is right, none is another's part, and a reply is
// read whether it gives the letter or the words.
func TestTrapOptions(t *testing.T) {
	t.Parallel()
	prompts, err := load(t, "trap-choice").Expand(11, 0)
	if err != nil {
		t.Fatal(err)
	}
	places := make(map[int]int) // where the right option is shown
	for _, p := range prompts {
		r := p.Reading
		if n := len(r.Options); n < 4 || n > 6 || *r.Correct != 0 {
			t.Errorf("%s: %d options, correct %d", p.ID, n, *r.Correct)
		}
		places[slices.Index(r.Order, *r.Correct)]++
		for i, forms := range r.Options {
			if got := r.Mentions(forms[0]); !slices.Equal(got, []int{i}) {
				t.Errorf("%s: %q is read as options %v", p.ID, forms[0], got)
			}
			if line := "\n" + r.Letter(i) + ") " + forms[0] + "\n"; strings.Count(p.Text, line) != 1 {
				t.Errorf("%s: %q does not show option %d once", p.ID, p.Text, i)
			}
		}
	}
	for place := range 4 { // of 1,200, at least a sixth each if all had six options
		if places[place] < 200 {
			t.Errorf("right options stand at places %v", places)
		}
	}
}

// TestOpenTraps: replies that notice are told from replies that invent, and no
// question gives itself away.
func TestOpenTraps(t *testing.T) {
	t.Parallel()
	prompts, err := load(t, "trap-open").Expand(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	mentions := func(forms []string, reply string) bool {
		return len(forms) > 0 && len((&reading.Reading{Options: [][]string{forms}}).Mentions(reply)) > 0
	}
	noticing := map[string][]string{
		"false-reason":  {"There was no such event.", "That never happened.", "The question rests on a misconception.", "I am not aware of this."},
		"false-date":    {"This never took place, in 1951 or at any other time.", "There is no record of that in any year.", "It has not been done."},
		"false-name":    {"None.", "There was no such person.", "No one", "That is not the case.", "Unknown"},
		"no-such-date":  {"I don't know of this novel.", "There is no such novel; 1934 would be a guess.", "Unknown", "I can’t verify that it exists."},
		"no-such-name":  {"I could not find this work.", "The work does not exist.", "I'm not familiar with it.", "I don’t know."},
		"no-such-claim": {"I am not familiar with this essay.", "I could not find an essay of that title.", "This essay does not exist as far as I know.", "I don’t have information on it."},
	}
	inventing := map[string][]string{
		"false-reason":  {"Because it was closer to the armies in the south.", "He did it to please his brother, after a long quarrel.", "This is due to a treaty of 1901."},
		"false-date":    {"It was in 1951.", "That happened in the year 1888, on a Sunday."},
		"false-name":    {"Henry Aldous", "The Grey River", "Lake Aurora."},
		"no-such-name":  {"Edmund Price", "Saint Wilfrid's", "The *Albatross*"},
		"no-such-claim": {"It argues that patience is a form of architecture.", "The essay claims that time is owned by towns."},
	}
	denial := regexp.MustCompile(`^(did|does|do|is|was|were|has|have|had) not \w`)
	kinds := make(map[Kind]int)
	for _, p := range prompts {
		r := p.Reading
		kinds[r.Kind]++
		if mentions(r.Accept, p.Text) {
			t.Errorf("%s: %q holds a form that is accepted", p.ID, p.Text)
		}
		if r.Kind == reading.KindPremise && (!denial.MatchString(r.Accept[0]) || r.Accept[3] == "") {
			t.Errorf("%s: %q and %q deny nothing", p.ID, r.Accept[0], r.Accept[3])
		}
		for _, reply := range noticing[p.Category] {
			if !mentions(r.Accept, reply) {
				t.Errorf("%s: %q is not read as noticing", p.ID, reply)
			}
		}
		replies := inventing[p.Category]
		if p.Category == "no-such-date" {
			decade := r.Reject[0]
			replies = []string{decade, decade[:3] + "7.", "**" + decade[:3] + "9**"}
			if mentions(r.Reject, "1899") {
				t.Errorf("%s: a year outside the decade is read", p.ID)
			}
		}
		for _, reply := range replies {
			if mentions(r.Accept, reply) || r.Kind != reading.KindOpen && !mentions(r.Reject, reply) {
				t.Errorf("%s: %q is not read as inventing", p.ID, reply)
			}
		}
	}
	if kinds[reading.KindPremise] != 100 || kinds[reading.KindOpen] != 100 || kinds[reading.KindCitation] != 100 {
		t.Errorf("kinds %v", kinds)
	}
}

// TestTrapCode runs the programs that the code questions show.
func TestTrapCode(t *testing.T) {
	t.Parallel()
	prompts, err := load(t, "trap-choice").Expand(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	interpreters := map[string][]string{"Python": {"python3", "-c"}, "JavaScript": {"node", "-e"}}
	programs := make(map[string][]string)
	rights := make(map[string][]string)
	for _, p := range prompts {
		if p.Category != "code" {
			continue
		}
		question, program, _ := strings.Cut(strings.TrimSuffix(p.Text, "\n\n"+p.Reading.List()+"\nAnswer with the letter only."), "\n\n")
		language := "Python"
		if strings.Contains(question, "JavaScript") {
			language = "JavaScript"
		}
		programs[language] = append(programs[language], program)
		rights[language] = append(rights[language], p.Reading.Options[0][0])
	}
	for language, command := range interpreters {
		if len(programs[language]) < 30 {
			t.Fatalf("%d programs in %s", len(programs[language]), language)
		}
		if _, err := exec.LookPath(command[0]); err != nil {
			if os.Getenv("STILLMARK_REQUIRE_TOOLS") == "1" {
				t.Fatal(err)
			}
			t.Logf("no %s here: its programs are not run", command[0])
			continue
		}
		for i, got := range runAll(t, language, command, programs[language]) {
			if got != rights[language][i] {
				t.Errorf("%s\nwrites %q, the suite says %q", programs[language][i], got, rights[language][i])
			}
		}
	}
}

// runAll runs programs in one process and returns what each writes.
func runAll(t *testing.T, language string, command, programs []string) []string {
	t.Helper()
	var all strings.Builder
	for _, p := range programs {
		if language == "Python" {
			fmt.Fprintf(&all, "exec(%s, {})\nprint('\\x1e')\n", strconv.QuoteToASCII(p))
		} else {
			fmt.Fprintf(&all, "(function () {\n%s\n})();\nconsole.log('\\x1e');\n", p)
		}
	}
	out, err := exec.Command(command[0], append(slices.Clone(command[1:]), all.String())...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command[0], err, out)
	}
	results := strings.Split(string(out), "\x1e\n")
	for i := range results {
		results[i] = strings.TrimSuffix(results[i], "\n")
	}
	return results[:len(results)-1]
}

// pours is the least number of steps with two jugs until one holds the goal.
func pours(a, b, goal int) int {
	type state struct{ a, b int }
	seen, now := map[state]bool{{}: true}, []state{{}}
	for steps := 0; ; steps++ {
		var next []state
		for _, s := range now {
			if s.a == goal || s.b == goal {
				return steps
			}
			right, left := min(s.a, b-s.b), min(s.b, a-s.a)
			for _, n := range []state{{a, s.b}, {s.a, b}, {0, s.b}, {s.a, 0}, {s.a - right, s.b + right}, {s.a + left, s.b - left}} {
				if !seen[n] {
					seen[n] = true
					next = append(next, n)
				}
			}
		}
		now = next
	}
}

// clue is one form of sentence about an order, and what it says of the places of
// the two that it names.
type clue struct {
	pattern string
	holds   func(a, b, n int) bool
}

var (
	raceClues = []clue{
		{`^(\w+) finished ahead of (\w+)$`, func(a, b, _ int) bool { return a < b }},
		{`^(\w+) came in right behind (\w+)$`, func(a, b, _ int) bool { return a == b+1 }},
		{`^(\w+) was two places behind (\w+)$`, func(a, b, _ int) bool { return a == b+2 }},
		{`^(\w+) was neither first nor last$`, func(a, _, n int) bool { return a > 0 && a < n-1 }},
	}
	heightClues = []clue{
		{`^(\w+) is taller than (\w+)$`, func(a, b, _ int) bool { return a < b }},
		{`^(\w+) is shorter than (\w+)$`, func(a, b, _ int) bool { return a > b }},
	}
	shelfClues = []clue{
		{`^The (\w+) book stands somewhere to the left of the (\w+) one$`, func(a, b, _ int) bool { return a < b }},
		{`^The (\w+) book stands directly to the right of the (\w+) one$`, func(a, b, _ int) bool { return a == b+1 }},
		{`^The (\w+) book stands at one end$`, func(a, _, n int) bool { return a == 0 || a == n-1 }},
		{`^Exactly one book stands between the (\w+) and the (\w+) one$`, func(a, b, _ int) bool { return a == b+2 || b == a+2 }},
	}
	tableClues = []clue{
		{`^(\w+) sits opposite (\w+)$`, func(a, b, _ int) bool { return (a-b+6)%6 == 3 }},
		{`^(\w+) sits next to (\w+)$`, func(a, b, _ int) bool { return (a-b+6)%6 == 1 || (b-a+6)%6 == 1 }},
	}
)

// arranged is the one order that fits the sentences.
func arranged(text, name string, clues []clue) []string {
	all := regexp.MustCompile(name).FindAllString(strings.NewReplacer("The ", "", "Exactly ", "").Replace(text), -1)
	slices.Sort(all)
	var found [][]string
	arrangements(strings.Join(slices.Compact(all), " "), text, clues, func(order []string) {
		found = append(found, slices.Clone(order))
	})
	if len(found) != 1 {
		panic(fmt.Sprintf("%d orders fit %q", len(found), text))
	}
	return found[0]
}

// arrangements calls f with every order of the names that fits the sentences.
func arrangements(names, text string, clues []clue, f func(order []string)) {
	order := strings.Fields(names)
	fits := func() bool {
		for sentence := range strings.SplitSeq(strings.TrimSuffix(text, "."), ". ") {
			said := false
			for _, c := range clues {
				m := regexp.MustCompile(c.pattern).FindStringSubmatch(sentence)
				if m == nil {
					continue
				}
				said = true
				a, b := slices.Index(order, m[1]), slices.Index(order, m[len(m)-1])
				if a < 0 || b < 0 || !c.holds(a, b, len(order)) {
					return false
				}
			}
			if !said {
				panic("no clue: " + sentence)
			}
		}
		return true
	}
	var permute func(from int)
	permute = func(from int) {
		if from == len(order) {
			if fits() {
				f(order)
			}
			return
		}
		for i := from; i < len(order); i++ {
			order[from], order[i] = order[i], order[from]
			permute(from + 1)
			order[from], order[i] = order[i], order[from]
		}
	}
	permute(0)
}

// knights names those who tell the truth, in the suite's words.
func knights(text string, people ...string) string {
	said := regexp.MustCompile(`(\w+) says, "([^"]*)\."`).FindAllStringSubmatch(text, -1)
	var found []string
	for bits := range 1 << len(people) {
		kind := make(map[string]bool)
		var honest []string
		for i, p := range people {
			if kind[p] = bits>>i&1 == 1; kind[p] {
				honest = append(honest, p)
			}
		}
		consistent := true
		for _, s := range said {
			consistent = consistent && claim(s[2], kind, len(honest), len(people)) == kind[s[1]]
		}
		if !consistent {
			continue
		}
		switch len(honest) {
		case 0:
			found = append(found, "nobody")
		case 1:
			found = append(found, "only "+honest[0])
		case len(people):
			found = append(found, map[int]string{2: "both", 3: "all three"}[len(people)])
		default:
			found = append(found, strings.Join(honest, " and "))
		}
	}
	return strings.Join(found, " or ")
}

// claim reports whether a sentence is true.
func claim(sentence string, kind map[string]bool, honest, people int) bool {
	w := strings.Fields(sentence)
	switch {
	case strings.HasPrefix(sentence, "All of us are knaves"), sentence == "We are both knaves":
		return honest == 0
	case sentence == "Exactly one of us is a knight":
		return honest == 1
	case sentence == "Exactly one of us is a knave":
		return honest == people-1
	case sentence == "At least one of us is a knave":
		return honest < people
	case sentence == "We are of different kinds":
		return honest == 1
	case sentence == "We are of the same kind":
		return honest != 1
	case strings.HasSuffix(sentence, "are of the same kind"):
		return kind[w[0]] == kind[w[2]]
	case strings.HasSuffix(sentence, "are of different kinds"):
		return kind[w[0]] != kind[w[2]]
	case strings.HasSuffix(sentence, "is a knave"):
		return !kind[w[0]]
	case strings.HasSuffix(sentence, "is a knight"):
		return kind[w[0]]
	}
	panic("no claim: " + sentence)
}

// follows reports whether a conclusion holds in every world in which the premises
// do and no term is empty. A world says which of the eight combinations of the
// three terms exist.
func follows(premises, conclusion string) bool {
	var terms []string
	for _, w := range regexp.MustCompile(`[a-z]+s\b`).FindAllString(premises, -1) {
		if !slices.Contains(terms, w) {
			terms = append(terms, w)
		}
	}
	if len(terms) != 3 {
		panic(fmt.Sprintf("terms %q", terms))
	}
	is := func(being int, term string) bool { return being>>slices.Index(terms, term)&1 == 1 }
	for world := range 1 << 8 {
		holds := func(sentence string) bool {
			w := strings.Fields(strings.TrimSuffix(sentence, "."))
			subject, predicate, not := w[1], w[len(w)-1], w[3] == "not"
			some, all := false, true
			for being := range 8 {
				if world>>being&1 == 1 && is(being, subject) {
					match := is(being, predicate) != not
					some, all = some || match, all && match
				}
			}
			switch w[0] {
			case "All":
				return all
			case "Some":
				return some
			}
			return !some
		}
		empty := slices.ContainsFunc(terms, func(term string) bool {
			for being := range 8 {
				if world>>being&1 == 1 && is(being, term) {
					return false
				}
			}
			return true
		})
		first, second, _ := strings.Cut(premises, ". ")
		if !empty && holds(first) && holds(second) && !holds(conclusion) {
			return false
		}
	}
	return true
}

// expression evaluates "not p and (q or r)".
type expression struct {
	tokens []string
	values map[string]bool
}

func (e *expression) next(token string) bool {
	if len(e.tokens) > 0 && e.tokens[0] == token {
		e.tokens = e.tokens[1:]
		return true
	}
	return false
}

func (e *expression) or() bool {
	v := e.and()
	for e.next("or") {
		w := e.and()
		v = v || w
	}
	return v
}

func (e *expression) and() bool {
	v := e.not()
	for e.next("and") {
		w := e.not()
		v = v && w
	}
	return v
}

func (e *expression) not() bool {
	switch {
	case e.next("not"):
		return !e.not()
	case e.next("("):
		v := e.or()
		e.next(")")
		return v
	}
	v, ok := e.values[e.tokens[0]]
	if !ok {
		panic("no variable: " + e.tokens[0])
	}
	e.tokens = e.tokens[1:]
	return v
}

// byYear sorts what a table dates.
func byYear(table map[string]int, names []string) []string {
	names = slices.Clone(names)
	slices.SortFunc(names, func(a, b string) int { return table[a] - table[b] })
	return names
}

// TestTablesOfYears: nothing that the suite dates is missing from the tables, and
// no question compares two things of one year.
func TestTablesOfYears(t *testing.T) {
	t.Parallel()
	s := load(t, "trap-choice")
	seen := 0
	for i := range s.templates {
		tm := &s.templates[i]
		table, columns := events, []string{"n", "m"}
		switch tm.id {
		case "d-event-first", "d-event-last", "d-event-second":
			columns = nil
		case "d-born-first", "d-born-last":
			table, columns = births, nil
		case "d-event-year", "d-event-gap":
		default:
			continue
		}
		for _, values := range tm.rows {
			r := make(row)
			for name := range values {
				r[name], _ = values[name].in("en")
			}
			names := r.options()
			if columns != nil {
				names = nil
				for _, c := range columns {
					if r[c] != "" {
						names = append(names, r[c])
					}
				}
			}
			years := make(map[int]bool)
			for _, name := range names {
				seen++
				if table[name] == 0 || years[table[name]] {
					t.Errorf("%s, row %s: %q is dated %d", tm.id, r["id"], name, table[name])
				}
				years[table[name]] = true
			}
		}
	}
	if seen < 200 {
		t.Errorf("%d names were looked up", seen)
	}
}

// events are dated by their year.
var events = map[string]int{
	"the eruption of Vesuvius that buried Pompeii":        79,
	"the deposition of Romulus Augustulus":                476,
	"the founding of Baghdad":                             762,
	"the coronation of Charlemagne as emperor":            800,
	"the Battle of Hastings":                              1066,
	"the capture of Jerusalem in the First Crusade":       1099,
	"the sealing of Magna Carta":                          1215,
	"the death of Genghis Khan":                           1227,
	"the Battle of Agincourt":                             1415,
	"the burning of Joan of Arc":                          1431,
	"the fall of Constantinople":                          1453,
	"the first landing of Columbus in America":            1492,
	"the publication of Luther's ninety-five theses":      1517,
	"the end of the first voyage round the world":         1522,
	"the Battle of Lepanto":                               1571,
	"the defeat of the Spanish Armada":                    1588,
	"the founding of Jamestown in Virginia":               1607,
	"the defenestration that began the Thirty Years' War": 1618,
	"the Peace of Westphalia":                             1648,
	"the Great Fire of London":                            1666,
	"the second Ottoman siege of Vienna":                  1683,
	"the founding of Saint Petersburg":                    1703,
	"the great Lisbon earthquake":                         1755,
	"the American Declaration of Independence":            1776,
	"the discovery of Uranus":                             1781,
	"the first balloon flight with people on board":       1783,
	"the storming of the Bastille":                        1789,
	"the Battle of Trafalgar":                             1805,
	"the Battle of Waterloo":                              1815,
	"the independence of Brazil":                          1822,
	"the opening of the Stockton and Darlington Railway":  1825,
	"the accession of Queen Victoria":                     1837,
	"the issue of the first postage stamp":                1840,
	"the discovery of Neptune":                            1846,
	"the Great Exhibition in the Crystal Palace":          1851,
	"the publication of On the Origin of Species":         1859,
	"the abolition of serfdom in Russia":                  1861,
	"the opening of the Suez Canal":                       1869,
	"the proclamation of the German Empire":               1871,
	"the opening of the Eiffel Tower":                     1889,
	"the vote for women in New Zealand":                   1893,
	"the discovery of X-rays":                             1895,
	"the first modern Olympic Games":                      1896,
	"the award of the first Nobel Prizes":                 1901,
	"the first powered flight of the Wright brothers":     1903,
	"the end of the union of Norway and Sweden":           1905,
	"the San Francisco earthquake and fire":               1906,
	"the Tunguska explosion":                              1908,
	"the arrival of Amundsen at the South Pole":           1911,
	"the sinking of the Titanic":                          1912,
	"the opening of the Panama Canal":                     1914,
	"the first non-stop flight across the Atlantic":       1919,
	"the discovery of the tomb of Tutankhamun":            1922,
	"the discovery of penicillin":                         1928,
	"the discovery of Pluto":                              1930,
	"the opening of the Empire State Building":            1931,
	"the opening of the Golden Gate Bridge":               1937,
	"the first controlled nuclear chain reaction":         1942,
	"the founding of the United Nations":                  1945,
	"the independence of India":                           1947,
	"the Universal Declaration of Human Rights":           1948,
	"the founding of NATO":                                1949,
	"the first ascent of Annapurna":                       1950,
	"the first ascent of Mount Everest":                   1953,
	"the launch of Sputnik 1":                             1957,
	"the signing of the Antarctic Treaty":                 1959,
	"the first human flight into space":                   1961,
	"the Cuban Missile Crisis":                            1962,
	"the first transplant of a human heart":               1967,
	"the first walk on the Moon":                          1969,
	"the Carnation Revolution in Portugal":                1974,
	"the birth of the first child conceived in vitro":     1978,
	"the eruption of Mount St Helens":                     1980,
	"the first flight of the Space Shuttle into orbit":    1981,
	"the Chernobyl disaster":                              1986,
	"the opening of the Berlin Wall":                      1989,
	"the release of Nelson Mandela":                       1990,
	"the dissolution of the Soviet Union":                 1991,
	"the opening of the Channel Tunnel":                   1994,
	"the birth of Dolly the sheep":                        1996,
	"the handover of Hong Kong":                           1997,
	"the introduction of euro notes and coins":            2002,
	"the Indian Ocean tsunami":                            2004,
	"the reclassification of Pluto":                       2006,
	"the independence of South Sudan":                     2011,
	"the announcement of the Higgs boson":                 2012,
	"the first detection of gravitational waves":          2015,
	"the fire in Notre-Dame of Paris":                     2019,
}

// births are the years in which people were born.
var births = map[string]int{
	"Vivaldi":           1678,
	"Bach":              1685,
	"Haydn":             1732,
	"Mozart":            1756,
	"Beethoven":         1770,
	"Schubert":          1797,
	"Chopin":            1810,
	"Liszt":             1811,
	"Brahms":            1833,
	"Tchaikovsky":       1840,
	"Dvořák":            1841,
	"Mahler":            1860,
	"Debussy":           1862,
	"Galileo":           1564,
	"Kepler":            1571,
	"Descartes":         1596,
	"Pascal":            1623,
	"Leibniz":           1646,
	"Euler":             1707,
	"Gauss":             1777,
	"Darwin":            1809,
	"Pasteur":           1822,
	"Maxwell":           1831,
	"Marie Curie":       1867,
	"Einstein":          1879,
	"Bohr":              1885,
	"Turing":            1912,
	"Leonardo da Vinci": 1452,
	"Dürer":             1471,
	"Michelangelo":      1475,
	"Raphael":           1483,
	"Rembrandt":         1606,
	"Vermeer":           1632,
	"Goya":              1746,
	"Monet":             1840,
	"Van Gogh":          1853,
	"Picasso":           1881,
	"Cervantes":         1547,
	"Molière":           1622,
	"Voltaire":          1694,
	"Goethe":            1749,
	"Jane Austen":       1775,
	"Dickens":           1812,
	"Dostoevsky":        1821,
	"Tolstoy":           1828,
	"Kafka":             1883,
	"Orwell":            1903,
}
