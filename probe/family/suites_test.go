package family

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/corpora"
	"github.com/stillmark/stillmark/corpora/reading"
)

// asked are all prompts of an embedded suite.
func asked(t *testing.T, suite string) []corpora.Prompt {
	t.Helper()
	s, err := corpora.Load(suite)
	if err != nil {
		t.Fatal(err)
	}
	prompts, err := s.Expand(5, 0)
	if err != nil {
		t.Fatal(err)
	}
	return prompts
}

// TestChoicesOfTheSuiteAreRead answers each trap question with each of its options
// in the ways that models do.
func TestChoicesOfTheSuiteAreRead(t *testing.T) {
	t.Parallel()
	for _, p := range asked(t, "trap-choice") {
		r := p.Reading
		for i, forms := range r.Options {
			want := "option " + strconv.Itoa(i)
			if i == *r.Correct {
				want = correctAnswer
			}
			letter := r.Letter(i)
			for _, reply := range []string{
				letter, letter + ".", "**" + letter + "**", "(" + letter + ")", letter + ") " + forms[0], strings.ToLower(letter),
				"Answer: " + letter, "The correct answer is " + letter + ".", "\\boxed{" + letter + "}", forms[0],
				"The first that comes to mind is wrong.\n\nThe answer is **" + letter + ") " + forms[0] + "**",
			} {
				if got := answered(r, p.Text, reply); got != want {
					t.Errorf("%s: %q is read as %q, want %q", p.ID, reply, got, want)
				}
			}
		}
		for _, reply := range []string{"", "I can't decide.", "Let me think about it"} {
			if got := answered(r, p.Text, reply); got != "" {
				t.Errorf("%s: %q is read as %q", p.ID, reply, got)
			}
		}
	}
}

// TestPicksOfTheSuiteAreRead does so with the random choices.
func TestPicksOfTheSuiteAreRead(t *testing.T) {
	t.Parallel()
	for _, p := range asked(t, "random-choice") {
		r := p.Reading
		if r.Kind == reading.KindNumber {
			for _, n := range []int{r.Low, (r.Low + r.High) / 2, r.High} {
				for _, reply := range []string{strconv.Itoa(n), "**" + strconv.Itoa(n) + "**", "I pick " + strconv.Itoa(n) + "."} {
					if got := pick(r, reply); got != strconv.Itoa(n) {
						t.Errorf("%s: %q is read as %q", p.ID, reply, got)
					}
				}
			}
			continue
		}
		for i, forms := range r.Options {
			for _, form := range forms {
				for _, reply := range []string{form, strings.ToUpper(form) + ".", "**" + form + "**", "« " + form + " »"} {
					if got := pick(r, reply); got != "option "+strconv.Itoa(i) {
						t.Errorf("%s: %q is read as %q, want option %d", p.ID, reply, got, i)
					}
				}
			}
		}
		if r.Kind == reading.KindPick {
			if got := pick(r, "Zzyzx"); got != "zzyzx" {
				t.Errorf("%s: an answer of its own is read as %q", p.ID, got)
			}
		}
	}
}

// TestOpenTrapsOfTheSuiteAreRead tells noticing from inventing, and one invention
// from another.
func TestOpenTrapsOfTheSuiteAreRead(t *testing.T) {
	t.Parallel()
	for _, p := range asked(t, "trap-open") {
		r := p.Reading
		replies := map[string]string{ // to what they are read as
			"I'm not aware of that.": correctAnswer, "This does not exist.": correctAnswer, "There is no such thing, as far as I know.": correctAnswer,
		}
		switch {
		case r.Kind == reading.KindOpen:
			replies["Edmund Price"], replies["**The Grey River**"] = "edmund price", "the grey river"
		case p.Category == "no-such-date":
			decade := r.Reject[0]
			replies[decade] = "made up " + decade
			replies["**"+decade[:3]+"7**"] = "made up " + decade[:3] + "7"
		case p.Category == "false-date":
			replies["It was in 1951, in the autumn."] = "made up 1951"
		default:
			replies["It was due to the winter of 1783."] = "made up 1783"
		}
		for reply, want := range replies {
			if got := answered(r, p.Text, reply); got != want {
				t.Errorf("%s: %q is read as %q, want %q", p.ID, reply, got, want)
			}
		}
	}
}
