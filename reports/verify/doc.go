// Package verify checks a sealed case for a reader who trusts nobody: offline,
// from the raw replies up. Integrity comes first (package integrity); then the
// signer, against the reader's own list; the order of times; and every number
// of the report, computed again and compared leaf by leaf.
//
// A case ends in one of three states: INVALID, VALID (the signer is unknown,
// a key is withheld, a key's tokenizer is not at hand, exact evidence rests on a
// timestamp whose authority was not checked, or a page was not compared) and
// TRUSTED.
//
// Besides the standard library it uses the analysis itself: gonum, tiktoken-go,
// the timestamp library and our own packages, by a list that a test guards.
// Neither go-openai nor cobra nor a YAML reader is among them, and no code of
// ours or of those opens a connection (tiktoken-go links net/http for a loader
// that is never used here).
package verify
