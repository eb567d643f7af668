// Package strength measures how strong a watermark is: how many tokens it takes
// to find it, what it costs in quality, what it survives, and whether its
// p-values are uniform without it. A gate holds the figures against thresholds
// and against a baseline, so that a change that weakens the mark does not pass.
//
// [Measure] generates one text for each prompt and setting at the longest length,
// through a [Generator] that the caller gives, and takes every figure from these
// texts; or it takes texts that somebody else wrote and marked under a given key,
// from a file or a server, and leaves out what only their model could tell. A text is the unit of sampling: it has its own prompt, its own seed and
// (unless a key is given) its own key, so texts are independent and intervals
// over them are clustered by construction. Rates have exact intervals (Clopper
// and Pearson), quantiles order-statistic ones, means Student's.
//
// A text counts as detected at a false-positive rate alpha when the exact tail of
// its unweighted score is at most alpha: the rate is guaranteed by the null law,
// which the run checks with random keys on unmarked text.
//
// The figures belong to the generator. An n-gram model has other entropy than a
// large model has: its figures serve regression tests, not forecasts.
//
// [Calibrate] puts random keys by the million to texts that know nothing of them,
// for every scheme, and keeps what it drew, so that an interruption costs nothing.
//
// Everything is a function of the [Config]: equal configurations give equal
// bytes, whatever the parallelism.
//
// The package imports watermark and watermark/evidence, gonum for quantiles, and
// the standard library. Tokenizers and models enter through interfaces.
package strength
