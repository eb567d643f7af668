//go:build cgo

// Command libstillmark is the C interface to package watermark: a shared library
// for samplers that are not written in Go.
//
//	go build -buildmode=c-shared -o libstillmark.so ./cmd/libstillmark
//
// The contract stands in stillmark.h beside this file: opening a key file, the
// green list of a context as a bit mask, keyed Gumbel noise for candidate tokens,
// marking whole logits in place, scoring ids. Every function may be called from
// any thread, also on the same handle; none prints, and no error holds a secret.
//
// It imports watermark only.
package main
