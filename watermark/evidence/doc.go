// Package evidence answers one question: how strong is it? It holds log-space
// tails of the null laws, weighted sums, anytime-valid e-values, the judgement
// of decoy keys, Holm's correction, a one-sample Kolmogorov-Smirnov test, power
// and effect intervals; and for comparisons of models, which know no secret: ranks
// among controls, double-centred residuals, calibrated likelihood ratios, the
// bootstrap over clusters and permutation within pairs.
//
// It knows nothing of tokens, keys or schemes: a scheme tells it the null law of
// one scored unit ([Law]), how many distinct units carry which weight ([Counts])
// and the score, and gets back what that is worth.
//
// Conventions. Every p-value and e-value is a base-10 logarithm, because audits
// reach 1e-300 and below; 0 means p = 1, -Inf only an impossible score. Natural
// logarithms stay inside the package. Probabilities are float64, counts int64.
// Functions panic only on a programmer's error, with the prefix "evidence: ".
//
// Accuracy. The tails are sums of positive terms started from Loader's form of
// the probability mass function, so nothing cancels: the relative error of p is
// at most 1e-11 down to log10 p = -1200, which the tests establish against
// 96-digit arithmetic. Beyond that the float64 that holds log10 p limits it.
//
// The package imports the standard library alone; its tests compare with gonum
// where gonum is accurate.
package evidence
