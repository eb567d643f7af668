// Package timestamp makes and checks RFC 3161 timestamps: requests, responses,
// tokens and an in-process authority for tests and the demo. It never opens a
// connection; whoever has a network carries the bytes. It may import the
// standard library (not net/http) and github.com/digitorus/timestamp.
package timestamp
