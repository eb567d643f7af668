// Package timestamp makes and checks RFC 3161 timestamps: requests, responses,
// tokens, and an in-process authority for tests and the demo.
//
// It never opens a connection: whoever has a network carries the bytes of
// [Request] to an authority and those of its answer to [Accept]. [Verify] is
// what the offline verifier of a case runs; it needs nothing but the token, the
// digest and, for trust, the authority's root.
//
// Package github.com/digitorus/timestamp writes and parses the structures. It
// does not look at the signer's purpose, at the certificate that the signed
// attributes name, nor at what follows the token, and it verifies at the
// present time; those checks are in cms.go, by RFC 5652 and RFC 5816, at the
// token's own time.
//
// The package may import the standard library (net/http not) and
// github.com/digitorus/timestamp.
package timestamp
