package corpora

// DocumentBreak separates the documents of a generated text; paragraphs
// inside a document are separated by one blank line. Splitting on it gives
// the training sequences of a model, so that no n-gram spans two documents.
const DocumentBreak = "\n\n\n"

// GenerateText writes at least bytes bytes of readable English in the given
// domain; the empty domain mixes all of them. Equal arguments give equal text.
func GenerateText(seed uint64, domain string, bytes int) string {
	return ""
}
