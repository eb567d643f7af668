// Package refmodel is the reference language model: an interpolated
// Kneser-Ney n-gram over token ids, in pure Go. It is the teacher, the
// students and the innocent rival of the first run, of the tests and of the
// benchmarks: a real model with a real vocabulary that trains in a tenth of a
// second, so that a whole distillation fits into a demonstration.
//
// It takes ids and gives ids; text belongs to corpora/tokens. It imports the
// standard library only, and knows a watermark as [Mark].
//
// What it is not: a stand-in for a large model. An n-gram memorises its
// training text, so a watermark passes from its training data into its replies
// far more readily than through gradient descent. Strengths measured with it
// say nothing about neural models; the calibration of a test under the null
// does carry over, because there the key alone is random.
//
// The estimate is Kneser and Ney's in its interpolated form with one absolute
// discount per level (Chen and Goodman, "An empirical study of smoothing
// techniques for language modeling", Computer Speech and Language 13, 1999,
// section 3, equations 21 to 24):
//
//	p_k(w | c) = max(n(c w) - D_k, 0) / n(c •)  +  D_k N(c •) / n(c •) · p_{k-1}(w | c')
//
// where n is the count at the top level and, below it, the number of distinct
// left neighbours; N(c •) is the number of distinct words after c; c' is c
// without its first token; D_k = n1/(n1 + 2 n2). Level zero is uniform over
// the vocabulary, so every probability is positive and they sum to one.
package refmodel
