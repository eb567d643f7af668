package corpora

import (
	"regexp"
	"strings"

	"github.com/stillmark/stillmark/corpora/reading"
)

// vendors matches the names of vendors and models: with a version number or
// without where letters and blanks separate words, anywhere in scripts without
// blanks. Names that are common words only count with what makes them a model's
// (command r, phi-4, falcon-7b), and hosts of models count as well. A few names
// that are also ordinary (claude, gemini, llama, mistral) count always, because a
// prompt can do without them.
var vendors = regexp.MustCompile(vendorPattern())

func vendorPattern() string {
	separated := []string{
		`gpts`, `dall-?e`, `palm 2`, `command[- ]r\+?`, `phi-\d\w*`, `falcon-?\d\w*`, `abab\d`, `bedrock`,
		`openrouter`, `together ai`, `fireworks ai`, `ollama`, `vllm`, `sglang`, `stillmark`,
	}
	var unbroken []string
	for _, v := range reading.Vendors() {
		for _, name := range v.Names {
			pattern := strings.ReplaceAll(regexp.QuoteMeta(name), " ", " ?")
			if strings.ContainsFunc(name, reading.Unbroken) {
				unbroken = append(unbroken, pattern)
			} else {
				separated = append(separated, pattern+`(?:-?\d[\w.-]*)?`)
			}
		}
	}
	return `(?i)(?:^|[^\pL\pN_])(` + strings.Join(separated, "|") + `)(?:$|[^\pL\pN_])|(` + strings.Join(unbroken, "|") + `)`
}

// vendorName returns the first vendor's or model's name in text, or "".
func vendorName(text string) string {
	m := vendors.FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	return m[1] + m[2]
}
