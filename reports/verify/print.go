package verify

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/stillmark/stillmark/reports/model"
)

// WriteText writes the checklist for people. Text from the case is made inert.
func (r *Result) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, l := range r.Lines {
		fmt.Fprintf(&b, "  %-4s %-26s %s\n", l.Level, l.Check, l.place()+l.Detail)
	}
	fmt.Fprintf(&b, "VERDICT %s\nNOT PROVEN: %s\n", r.Verdict, r.NotProven)
	_, err := io.WriteString(w, model.Inert(b.String()))
	return err
}

// place is where a line's check failed.
func (l *Line) place() string {
	switch {
	case l.File == "":
		return ""
	case l.Offset == nil:
		return l.File + ": "
	}
	return fmt.Sprintf("%s, byte %d: ", l.File, *l.Offset)
}

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return group(n) + " " + noun + "s"
}

func verbal(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// group writes an integer with commas.
func group(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// size writes a number of bytes for people.
func size(n int64) string {
	switch {
	case n < 1<<10:
		return plural(n, "byte")
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}
