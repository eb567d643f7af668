// Package monitor watches replies sampled from a service that should mark them, and
// raises an alarm when the mark weakens or is missing.
//
// # What is tested
//
// The unit is the reply: tokens of one marked reply depend on each other. Reply i has
// the statistic y_i in [0,1], the mean over its distinct (window, token) units of a
// bounded score: 1 or 0 for a green list, the share of ones for a tournament, and
// u = 1 - e^-Y for a Gumbel score Y. A position whose id is outside the key's
// vocabulary scores 0, so that a wrong tokenizer weakens the mark and does not hide
// it. [Statistic] computes y; a baseline of accepted replies is measured with it.
//
// The null hypothesis of a stream is that the mark is there at strength q or more:
// E[y_i | all replies before] >= q for every i. Nothing else is assumed: not the law
// of y, not that replies are independent, not how streams interleave. q is declared
// before. It is no statement about the key's null law, so that schemes whose scores
// have no known law are watched in the same way; the price is that q must be declared
// for the traffic that is watched (a service that turns to texts with less entropy
// carries a weaker mark, and that is an alarm).
//
// # Which guarantee holds
//
// For a bet c in [0,1], f_i = 1 + c (q - y_i)/(1-q) is non-negative with conditional
// mean at most 1 under the null (Waudby-Smith & Ramdas 2024, Estimating means of
// bounded random variables by betting). The mark may fail at any reply k, so the
// process is a mixture over bets c_j and over starts k with weights w_k that sum to 1:
//
//	E_n = mean_j ( Σ_{k<=n} w_k Π_{i=k..n} f_i(c_j) ) + Σ_{k>n} w_k
//	w_k = 1/ln(k+e-1) - 1/ln(k+e)
//
// a non-negative supermartingale that starts at 1. By Ville's inequality
// P(sup_n E_n >= 1/a) <= a under the null: the bound is on the whole life of the
// stream, not on a rate of false alarms (an e-detector of average run length, Shin,
// Ramdas & Rinaldo 2023, would only bound the latter). It is kept in constant space by
// A_j <- (A_j + w_n) f_n(c_j). What a late start costs is ln(1/w_k), about
// ln(k ln² k): 9 nats at reply 1,000; 19 at a million.
//
// The level is spent over streams by a fixed rule: the s-th stream to appear, in the
// order of its first reply, has a_s = α/(s(s+1)), whose sum over all s is α. A stream
// that is armed again after an alarm counts as a new one. Hence the probability that
// any stream whose mark is as declared ever raises an alarm is at most α.
//
// The room may import watermark, watermark/evidence and the standard library.
package monitor
