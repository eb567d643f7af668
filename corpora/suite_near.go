package corpora

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// nearOverlap is the Jaccard overlap of word triples from which two templates
// count as one. Reworded copies of a 25-word prompt (two words changed) have
// .6 and more; independent prompts of one genre ("Write a short story about
// ...") stay below .3 in our suites.
const nearOverlap = 0.6

// maxNear ends the search: a file with that many pairs is one text over and
// over, and comparing all would be quadratic.
const maxNear = 1000

// nearPair says that texts a < b have the given overlap.
type nearPair struct {
	a, b    int
	overlap float64
}

// nearDuplicates returns the pairs of texts, given as words, whose sets of word
// triples overlap by nearOverlap or more, by b and then a. Texts with equal
// words are left to the exact rule; only the first of them is compared.
//
// Exact, by prefix filtering (Bayardo, Ma and Srikant 2007, "Scaling up all
// pairs similarity search"): with each set sorted from the rarest triple to
// the commonest, two sets of overlap t share a triple within the first
// n - ceil(t·n) + 1 of both.
func nearDuplicates(texts [][]string) []nearPair {
	sets := tripleSets(texts)
	index := make(map[int][]int) // triple to the texts that have it in their prefix
	var pairs []nearPair
	for b, set := range sets {
		prefix := set[:len(set)-int(math.Ceil(nearOverlap*float64(len(set))-1e-9))+min(1, len(set))]
		seen := make(map[int]bool)
		for _, triple := range prefix {
			for _, a := range index[triple] {
				if seen[a] {
					continue
				}
				seen[a] = true
				if o := jaccard(sets[a], set); o >= nearOverlap {
					pairs = append(pairs, nearPair{a, b, o})
				}
			}
			index[triple] = append(index[triple], b)
		}
		if len(pairs) >= maxNear {
			break
		}
	}
	slices.SortFunc(pairs, func(x, y nearPair) int { return cmp.Or(cmp.Compare(x.b, y.b), cmp.Compare(x.a, y.a)) })
	return pairs
}

// tripleSets returns each text's set of word triples as numbers that grow with
// how many texts have the triple, sorted; nil for a repeated text. A text of
// fewer than three words is one triple.
func tripleSets(texts [][]string) [][]int {
	docs := make(map[string]int) // triple to number of texts
	sets := make([][]string, len(texts))
	whole := make(map[string]bool)
	for i, w := range texts {
		joined := strings.Join(w, " ")
		if whole[joined] || joined == "" {
			continue
		}
		whole[joined] = true
		set := []string{joined}
		if len(w) >= 3 {
			set = set[:0]
			for j := range len(w) - 2 {
				set = append(set, strings.Join(w[j:j+3], " "))
			}
			slices.Sort(set)
			set = slices.Compact(set)
		}
		for _, triple := range set {
			docs[triple]++
		}
		sets[i] = set
	}
	order := make([]string, 0, len(docs))
	for triple := range docs {
		order = append(order, triple)
	}
	slices.SortFunc(order, func(x, y string) int { return cmp.Or(cmp.Compare(docs[x], docs[y]), cmp.Compare(x, y)) })
	number := make(map[string]int, len(order))
	for n, triple := range order {
		number[triple] = n
	}
	out := make([][]int, len(sets))
	for i, set := range sets {
		for _, triple := range set {
			out[i] = append(out[i], number[triple])
		}
		slices.Sort(out[i])
	}
	return out
}

// jaccard is |x ∩ y| / |x ∪ y| of two sorted sets.
func jaccard(x, y []int) float64 {
	both := 0
	for i, j := 0, 0; i < len(x) && j < len(y); {
		switch {
		case x[i] < y[j]:
			i++
		case x[i] > y[j]:
			j++
		default:
			both, i, j = both+1, i+1, j+1
		}
	}
	if both == 0 {
		return 0
	}
	return float64(both) / float64(len(x)+len(y)-both)
}
