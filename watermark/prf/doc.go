// Package prf holds the pseudo-random functions under the watermark schemes:
// one 32-bit word for every (context window, token), the same word whether it
// is asked for alone (detection, a short candidate list) or as part of the
// whole vocabulary (dense embedding).
//
// Everything a scheme draws comes from that word: a green list is "word below
// gamma times 2^32", the Gumbel uniform is (word+0.5)/2^32 and the tournament's
// coin flips are the word's bits. Schemes therefore run on any Source, and the
// null law of their scores is exact as far as the words behave as independent
// and uniform:
//
//   - [AESCTR] (aes-ctr-v1, the default) is a PRF under the usual assumption on
//     AES. Its words are a counter-mode key stream, so a vocabulary costs tens
//     of microseconds and one token costs one block. On amd64 it runs on the
//     machine's AES instructions, which do not allocate and take many blocks
//     side by side; elsewhere, and in FIPS 140 mode, on crypto/aes.
//   - [Philox] (philox-v1) is the counter-based generator Philox4x32-10 in the
//     layout that vLLM serves as philox4x32-10-v1, so that text marked by that
//     server is text that stillmark reads. It is a statistical generator and
//     not a PRF: a result under it is exact if the generator behaves as random.
//
// The package imports the standard library only, and nothing of stillmark.
package prf
