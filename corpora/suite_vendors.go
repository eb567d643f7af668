package corpora

import (
	"regexp"
	"slices"
	"strings"

	"github.com/stillmark/stillmark/corpora/reading"
)

// hosted are patterns beside the vendors' own names: models whose names are common
// words only count with what makes them a model's (command r, phi-4, falcon-7b),
// and hosts of models count as well.
var hosted = []string{
	`gpts`, `dall-?e`, `palm 2`, `command[- ]r\+?`, `phi-\d\w*`, `falcon-?\d\w*`, `abab\d`, `bedrock`,
	`openrouter`, `together ai`, `fireworks ai`, `ollama`, `vllm`, `sglang`, `stillmark`,
}

// vendors matches the names of vendors and models: with a version number or
// without where letters and blanks separate words, anywhere in scripts without
// blanks. A few names that are also ordinary (claude, gemini, llama, mistral) count
// always, because a prompt can do without them. stems are what a text must contain
// for any of it to match: looking for them first spares most texts the expression.
var vendors, stems = vendorPatterns()

func vendorPatterns() (expression *regexp.Regexp, stems []string) {
	separated, unbroken := slices.Clone(hosted), []string{}
	for _, pattern := range hosted {
		stems = append(stems, strings.TrimRight(pattern[:strings.IndexAny(pattern+`\`, `-[? \`)], `-`))
	}
	for _, v := range reading.Vendors() {
		for _, name := range v.Names {
			stem, _, _ := strings.Cut(name, " ")
			stems = append(stems, stem)
			pattern := strings.ReplaceAll(regexp.QuoteMeta(name), " ", " ?")
			if strings.ContainsFunc(name, reading.Unbroken) {
				unbroken = append(unbroken, pattern)
			} else {
				separated = append(separated, pattern+`(?:-?\d[\w.-]*)?`)
			}
		}
	}
	slices.Sort(stems)
	return regexp.MustCompile(`(?i)(?:^|[^\pL\pN_])(` + strings.Join(separated, "|") + `)(?:$|[^\pL\pN_])|(` + strings.Join(unbroken, "|") + `)`),
		slices.Compact(stems)
}

// vendorName returns the first vendor's or model's name in text, or "".
func vendorName(text string) string {
	lower := strings.ToLower(text)
	if !slices.ContainsFunc(stems, func(stem string) bool { return strings.Contains(lower, stem) }) {
		return ""
	}
	m := vendors.FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	return m[1] + m[2]
}
