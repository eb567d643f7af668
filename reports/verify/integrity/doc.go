// Package integrity answers one question about a sealed case: are these the
// very files that the signer sealed, complete and in order? It checks the
// archive or folder, the manifest, the signed statement, the sealed plan, the
// hash chain of the ledger, its Merkle root and every block of raw bytes.
//
// It imports the standard library, golang.org/x/mod and probe/ledger, and
// nothing else, so that an opposing expert can read in an afternoon all the
// code that "unaltered" rests on. It knows no statistics, no trust list and no
// clock: whether the signer is to be trusted, whether the times are in order and
// whether the numbers follow from the replies is for package verify.
//
// The reading side is written apart from the writing side (package reports) on
// purpose: a mistake in the one is not mirrored in the other. A test compares
// the two.
package integrity
