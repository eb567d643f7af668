// Package served answers which context windows of a rival's text were served by us:
// a rival can only have learned what followed windows that it saw, so scoring those
// alone concentrates the evidence.
//
// It knows windows and never pairs of window and token. The token after a window of
// marked text is mostly one that the mark chose; keeping a rival's pair because the
// pair was served therefore picks high scores out of anybody's text and makes every
// innocent look marked. A result on served windows is a secondary one even so: which
// windows marked text has depends on the key through other positions, and the claim
// rests on the unfiltered test.
//
//   - [Join] asks the other way round: it hashes the rival's windows, which are few,
//     and streams the traffic once. Exact, and the memory is that of the rival's
//     windows, however large the traffic.
//   - A windows file ([Write], [Read]) is an exact set.
//   - A [Filter] is a binary fuse filter for who may not see the traffic: 2.25 bytes
//     a window, and one window in 65,536 that was not served passes for served.
//     Package served/fuse builds it. FORMAT.md has the bytes of both files, and what
//     a filter gives away.
//
// The package imports watermark, prf and the standard library: the verifier reads
// filters through it.
package served
