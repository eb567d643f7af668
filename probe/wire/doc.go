// Package wire decodes the raw bytes of recorded exchanges with
// OpenAI-compatible servers (chat completions and completions, one JSON body or
// a stream of server-sent events) into replies.
//
// The runner decodes what has just arrived; the verifier decodes the same bytes
// again years later and must come to the same reply. The package is therefore a
// pure function of the recorded bytes, imports the standard library and the
// ledger's types only, and never net/http.
//
// Decoding is strict: what is not wholly a reply of the protocol is not
// repaired but classed (malformed, truncated, …) with a sentence that says why,
// and the part that could be read is kept. "No answer" is never turned into an
// answer.
package wire
