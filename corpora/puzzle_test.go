package corpora

import (
	"fmt"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stillmark/stillmark/corpora/reading"
)

// least is the first whole number from 1 with the property, as digits.
func least(has func(n int) bool) string {
	for n := 1; n < 1_000_000; n++ {
		if has(n) {
			return strconv.Itoa(n)
		}
	}
	return "no number"
}

// exactly is the one number from..to with the property.
func exactly(from, to int, has func(n int) bool) string {
	var found []string
	for n := from; n <= to; n++ {
		if has(n) {
			found = append(found, strconv.Itoa(n))
		}
	}
	return strings.Join(found, " or ")
}

func count(from, to int, has func(n int) bool) string {
	total := 0
	for n := from; n <= to; n++ {
		if has(n) {
			total++
		}
	}
	return strconv.Itoa(total)
}

// whole writes a number that calculation with fractions has made whole.
func whole(v float64) string {
	if math.Abs(v-math.Round(v)) > 1e-9 {
		return fmt.Sprint("not whole: ", v)
	}
	return strconv.Itoa(int(math.Round(v)))
}

var (
	finishClues = []clue{
		{`^(\w+) finished before (\w+)$`, func(a, b, _ int) bool { return a < b }},
		{`^(\w+) finished right after (\w+)$`, func(a, b, _ int) bool { return a == b+1 }},
		{`^Exactly one person finished between (\w+) and (\w+)$`, func(a, b, _ int) bool { return a == b+2 || b == a+2 }},
		{`^(\w+) finished neither first nor last$`, func(a, _, n int) bool { return a > 0 && a < n-1 }},
		{`^(\w+) finished first or last$`, func(a, _, n int) bool { return a == 0 || a == n-1 }},
	}
	talkClues = []clue{
		{`^Talk (\w) is given before talk (\w)$`, func(a, b, _ int) bool { return a < b }},
		{`^Talk (\w) follows directly after talk (\w)$`, func(a, b, _ int) bool { return a == b+1 }},
		{`^Exactly one talk is given between (\w) and (\w)$`, func(a, b, _ int) bool { return a == b+2 || b == a+2 }},
		{`^Talk (\w) is neither the first nor the last$`, func(a, _, n int) bool { return a > 0 && a < n-1 }},
		{`^Talk (\w) is the first or the last$`, func(a, _, n int) bool { return a == 0 || a == n-1 }},
	}
)

// lies reports for which weekdays a text such as "Mondays and Tuesdays" stands.
func lies(text string) func(day int) bool {
	return func(day int) bool { return strings.Contains(text, time.Weekday((day+7)%7).String()) }
}

// ways counts the sequences of length n over 0..base-1 with the property.
func ways(base, n int, has func(v []int) bool) int {
	total, v := 0, make([]int, n)
	for {
		if has(v) {
			total++
		}
		i := 0
		for ; i < n; i++ {
			if v[i]++; v[i] < base {
				break
			}
			v[i] = 0
		}
		if i == n {
			return total
		}
	}
}

func sum(v []int) int {
	total := 0
	for _, x := range v {
		total += x
	}
	return total
}

func distinct(s string) bool { return len(slices.Compact(letters(s))) == len(s) }

// puzzleAnswers solves the puzzles, mostly by trying everything.
var puzzleAnswers = map[string]func(r row) string{
	"p-digits": func(r row) string {
		return exactly(10, 99, func(n int) bool {
			return n/10 > n%10 && n/10+n%10 == r.int("s") && n/10*(n%10) == r.int("p")
		})
	},
	"p-remainders": func(r row) string {
		return least(func(n int) bool {
			return n%r.int("p") == r.int("a") && n%r.int("q") == r.int("b") && n%r.int("r") == r.int("c")
		})
	},
	"p-consecutive": func(r row) string {
		return exactly(1, 1000, func(n int) bool { return (n*n-1)/4 == r.int("n") && n%2 == 1 })
	},
	"p-squares": func(r row) string { return exactly(1, 1000, func(n int) bool { return n*n-(n-1)*(n-1) == r.int("n") }) },
	"p-eggs": func(r row) string {
		number := map[string]int{"fours": 4, "fives": 5, "sevens": 7, "eights": 8, "elevens": 11}
		m, k := number[r["m"]], number[r["k"]]
		return least(func(n int) bool { return n > 1 && n%2 == 1 && n%3 == 1 && n%m == 1 && n%k == 0 })
	},
	"p-father": func(r row) string {
		return exactly(1, 99, func(n int) bool { return r.int("s")-n-r.int("k") == r.int("m")*(n-r.int("k")) })
	},
	"p-three": func(r row) string {
		return exactly(1, 999, func(n int) bool { // twice the first is n less d
			return (n-r.int("d"))%2 == 0 && (n-r.int("d"))/2+(n-r.int("d"))+n == r.int("s")
		})
	},
	"p-struck": func(r row) string { return exactly(100, 999, func(n int) bool { return n-n/10 == r.int("n") }) },
	"p-torn": func(r row) string {
		return exactly(1, 999, func(n int) bool { return n%2 == 1 && n+n+1 == r.int("n") })
	},
	"p-coins": func(r row) string {
		return exactly(0, r.int("n"), func(n int) bool { return 20*n+5*(r.int("n")-n) == r.int("v") })
	},
	"p-bridge": func(r row) string { return whole((r.float("l") + r.float("b")) / r.float("v")) },
	"p-bird":   func(r row) string { return whole(r.float("u") * r.float("d") / (r.float("a") + r.float("b"))) },
	"p-river": func(r row) string {
		return exactly(1, 50, func(n int) bool { // twice the current is what the two speeds differ by
			return 2*n*r.int("a")*r.int("b") == r.int("d")*(r.int("a")-r.int("b"))
		})
	},
	"p-leak": func(r row) string { return whole(1 / (1/r.float("a") - 1/r.float("b"))) },
	"p-candles": func(r row) string {
		return exactly(1, 600, func(n int) bool { // lengths after n minutes, times 60·a·b
			return r.int("a")*(60*r.int("b")-n) == 2*r.int("b")*(60*r.int("a")-n) && n < 60*r.int("a")
		})
	},
	"p-painters":  func(r row) string { return whole(60 * 2 / (1/r.float("x") + 1/r.float("y") + 1/r.float("z"))) },
	"p-escalator": func(r row) string { return whole(1 / (1/r.float("a") - 1/r.float("b"))) },
	"p-late": func(r row) string {
		return exactly(1, 50, func(n int) bool {
			return math.Abs(60*float64(n)/r.float("u")-r.float("a")-60*float64(n)/r.float("v")-r.float("b")) < 1e-9
		})
	},
	"p-clocks": func(r row) string { return least(func(n int) bool { return n*(r.int("a")+r.int("b"))%720 == 0 }) },
	"p-printers": func(r row) string {
		return whole(r.float("e") / r.float("d") / (r.float("b") / r.float("a") / r.float("c")))
	},
	"p-streets": func(r row) string {
		return strconv.Itoa(ways(2, r.int("n")+r.int("m"), func(v []int) bool { return sum(v) == r.int("m") }))
	},
	"p-stairs": func(r row) string {
		total := 0
		for steps := 1; steps <= r.int("n"); steps++ {
			total += ways(2, steps, func(v []int) bool { return steps+sum(v) == r.int("n") })
		}
		return strconv.Itoa(total)
	},
	"p-committee": func(r row) string {
		return strconv.Itoa(ways(2, r.int("n")+r.int("m"), func(v []int) bool {
			women := sum(v[:r.int("n")])
			return sum(v) == r.int("k") && women > 0 && women < r.int("k")
		}))
	},
	"p-apart": func(r row) string {
		n := r.int("n")
		return strconv.Itoa(ways(n, n, func(v []int) bool {
			seen := slices.Clone(v)
			slices.Sort(seen)
			gap := slices.Index(v, 0) - slices.Index(v, 1)
			return len(slices.Compact(seen)) == n && gap != 1 && gap != -1
		}))
	},
	"p-codes": func(r row) string {
		k, odd := r.int("k"), r["w"] == "odd"
		return count(int(math.Pow10(k-1)), int(math.Pow10(k))-1, func(n int) bool {
			s := strconv.Itoa(n)
			return distinct(s) && (strings.Trim(s, "13579") == "") == odd && (strings.Trim(s, "02468") == "") != odd
		})
	},
	"p-dice": func(r row) string {
		return strconv.Itoa(ways(6, 3, func(v []int) bool { return sum(v)+3 == r.int("s") }))
	},
	"p-drawer": func(r row) string {
		n := r.int("a") + r.int("b")
		same := ways(n, 2, func(v []int) bool { return v[0] != v[1] && (v[0] < r.int("a")) == (v[1] < r.int("a")) })
		return frac(big.NewRat(int64(same), int64(n*(n-1))))
	},
	"p-points": func(r row) string {
		games := r.int("n") * (r.int("n") - 1) / 2
		return exactly(0, games, func(draws int) bool { return 2*draws+3*(games-draws) == r.int("p") })
	},
	"p-divisible": func(r row) string {
		return count(1, r.int("n"), func(n int) bool { return n%r.int("a") == 0 && n%r.int("b") != 0 })
	},
	"p-chords": func(r row) string { // four points make one crossing
		return strconv.Itoa(ways(2, r.int("n"), func(v []int) bool { return sum(v) == 4 }))
	},
	"p-race": func(r row) string {
		return arranged(r["c"], `Eli|Kim|Lou|Max|Noa`, finishClues)[unordinal(r["w"])-1]
	},
	"p-talks": func(r row) string { return arranged(r["c"], `\b[A-E]\b`, talkClues)[unordinal(r["w"])-1] },
	"p-liars": func(r row) string {
		return exactly(0, r.int("n"), func(liars int) bool { // those whose number is too high lie
			return r.int("n")-liars == liars
		})
	},
	"p-balance": func(r row) string {
		return whole(r.float("e") * r.float("b") / r.float("a") * r.float("d") / r.float("c"))
	},
	"p-lock": func(r row) string {
		times := map[string]int{"twice": 2, "three times": 3}[r["w"]]
		return exactly(1, 999, func(n int) bool {
			x, y, z := n/100, n/10%10, n%10
			return y == x+r.int("a") && z == x*times && x+y+z == r.int("s") && x != y && y != z && x != z
		})
	},
	"p-month": func(r row) string {
		// Three even dates 14 days apart: the 2nd, the 16th and the 30th.
		return later(strings.TrimSuffix(r["w"], "s"), r.int("n")-2)
	},
	"p-yesterday": func(r row) string {
		lion, unicorn := lies(r["a"]), lies(r["b"])
		var found []string
		for day := range 7 {
			if lion(day-1) != lion(day) && unicorn(day-1) != unicorn(day) {
				found = append(found, time.Weekday(day).String())
			}
		}
		return strings.Join(found, " or ")
	},
	"p-square": func(r row) string {
		return exactly(-99, 99, func(n int) bool { // the other diagonal, whose sum is thrice the middle
			topRight := 3*r.int("c") - r.int("a") - r.int("b")
			return topRight+r.int("c")+n == 3*r.int("c")
		})
	},
	"p-boxes": func(r row) string {
		labels := regexp.MustCompile(`It is (not )?in box (\w)`).FindAllStringSubmatch(r["c"], -1)
		want := 1
		if strings.HasPrefix(r["w"], "exactly two") {
			want = 2
		}
		var found []string
		for _, box := range []string{"A", "B", "C"} {
			right := 0
			for _, l := range labels {
				if (l[1] == "") == (l[2] == box) {
					right++
				}
			}
			if right == want {
				found = append(found, box)
			}
		}
		return strings.Join(found, " or ")
	},
	"p-handshakes": func(r row) string {
		guests := 2 * r.int("n")
		return strconv.Itoa(ways(guests, 2, func(v []int) bool { return v[0] < v[1] && v[0]/2 != v[1]/2 }))
	},
	"p-rectangle": func(r row) string {
		short, _ := strconv.Atoi(exactly(1, 999, func(n int) bool { return 4*n+2*r.int("d") == r.int("p") }))
		return strconv.Itoa(short * (short + r.int("d")))
	},
	"p-path": func(r row) string {
		a, b, w := r.int("a"), r.int("b"), r.int("w")
		return count(0, (a+2*w)*(b+2*w)-1, func(tile int) bool {
			x, y := tile%(a+2*w), tile/(a+2*w)
			return x < w || x >= a+w || y < w || y >= b+w
		})
	},
	"p-block": func(r row) string {
		a, b, c := r.int("a"), r.int("b"), r.int("c")
		faces := map[string]int{"one face": 1, "two faces": 2}[r["w"]]
		return count(0, a*b*c-1, func(cube int) bool {
			painted := 0
			for _, at := range [][2]int{{cube % a, a}, {cube / a % b, b}, {cube / a / b, c}} {
				if at[0] == 0 || at[0] == at[1]-1 {
					painted++
				}
			}
			return painted == faces
		})
	},
	"p-ladder": func(r row) string {
		height := func(foot float64) float64 { return math.Sqrt(r.float("l")*r.float("l") - foot*foot) }
		return whole(height(r.float("d")) - height(r.float("e")))
	},
	"p-shadow": func(r row) string { return whole(r.float("u") * r.float("h") / r.float("s")) },
	"p-tank":   func(r row) string { return whole(10 * math.Pow(r.float("c"), 3) / (r.float("a") * r.float("b"))) },
	"p-triangle": func(r row) string {
		x := (180 - r.float("d")) / 4
		return whole(max(2*x, x+r.float("d")))
	},
	"p-flight": func(r row) string { return strconv.Itoa(minutes(r["b"]) + 60*r.int("z") - minutes(r["a"])) },
	"p-grid": func(r row) string {
		total := 0
		for x := range r.int("n") {
			for y := range r.int("m") {
				total += min(r.int("n")-x, r.int("m")-y) // squares whose corner is here
			}
		}
		return strconv.Itoa(total)
	},
	"p-rope": func(r row) string { return whole(math.Pow(r.float("l")/7, 2)) },
}

var frenchDays = map[string]string{
	"Monday": "lundi", "Tuesday": "mardi", "Wednesday": "mercredi", "Thursday": "jeudi", "Friday": "vendredi", "Saturday": "samedi", "Sunday": "dimanche",
}

func TestPuzzleAnswers(t *testing.T) {
	t.Parallel()
	s := load(t, "reasoning-puzzle")
	if len(s.templates) != len(puzzleAnswers) {
		t.Errorf("%d templates, %d are solved", len(s.templates), len(puzzleAnswers))
	}
	for i := range s.templates {
		tm := &s.templates[i]
		solve, ok := puzzleAnswers[tm.id]
		if !ok {
			t.Errorf("%s: nothing solves it", tm.id)
			continue
		}
		for _, columns := range tm.rows {
			r := make(row)
			for name := range columns {
				r[name], _ = columns[name].in("en")
			}
			got := solve(r)
			if got != r["right"] {
				t.Errorf("%s, row %s: %q, the suite says %q", tm.id, r["id"], got, r["right"])
			}
			if day, ok := frenchDays[got]; ok {
				got = day
			}
			if french, _ := columns["right"].in("fr"); french != got {
				t.Errorf("%s, row %s: %q, in French the suite says %q", tm.id, r["id"], got, french)
			}
		}
	}
}

// TestPuzzlesCorrespond: what a puzzle is about is the same in both languages, and
// an answer is read in the last line.
func TestPuzzlesCorrespond(t *testing.T) {
	t.Parallel()
	prompts, err := load(t, "reasoning-puzzle").Expand(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	given := regexp.MustCompile(`\d+|\b(Eli|Kim|Lou|Max|Noa|Anna|Ben|Carl)\b|\b(box|boîte|[Tt]alk|exposé|between|entre|and|et) [A-E]\b`)
	facts := make(map[string][]string) // by item, of the language that came first
	for _, p := range prompts {
		question, _, _ := strings.Cut(p.Text, "?")
		found := given.FindAllString(question, -1)
		for i := range found {
			found[i] = found[i][strings.LastIndex(found[i], " ")+1:]
		}
		slices.Sort(found)
		if other, ok := facts[p.Item()]; !ok {
			facts[p.Item()] = found
		} else if !slices.Equal(found, other) {
			t.Errorf("%s: one language has %q, the other %q", p.Item(), other, found)
		}
		r := p.Reading
		if r.Kind != reading.KindPuzzle || len(r.Accept) != 1 {
			t.Fatalf("%s: reading %+v", p.ID, r)
		}
		read := reading.Reading{Options: [][]string{r.Accept}}
		for line, want := range map[string]int{
			"Answer: " + r.Accept[0]: 1, "**Réponse : " + r.Accept[0] + "**": 1, "Answer: " + r.Accept[0] + ".": 1,
			"Answer: 1" + r.Accept[0]: 0, "Answer: " + r.Accept[0] + "0": 0, "Answer: none": 0,
		} {
			if got := len(read.Mentions(line)); got != want {
				t.Errorf("%s: %q is read %d times as the answer %q", p.ID, line, got, r.Accept[0])
			}
		}
	}
}
