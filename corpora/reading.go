package corpora

import "github.com/stillmark/stillmark/corpora/reading"

// Reading is how the reply to a prompt is read. It lives in a package of its own,
// without YAML, because the verifier reads it, too.
type Reading = reading.Reading

// Kind says what sort of reply a prompt asks for.
type Kind = reading.Kind
