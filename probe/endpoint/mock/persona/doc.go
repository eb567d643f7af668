// Package persona holds scripted models for the calibration of comparative tests:
// personalities that answer the prompts of a plan from answer distributions of their
// own, share traits with each other as real models do, and take over a share of
// another's answers, the planted transfer rate.
//
// A [World] is a population. What is common to all (a popular wrong answer, a
// favourite number, which topics are touchy), what a school shares (models that
// learnt from the same data) and what is a model's own are drawn from the world's
// seed by hashing, so that any reply is a function of (seed, model, prompt, sample)
// and nothing has to be kept. A [Model] is a [mock.Generator], too, and can stand
// behind the scripted server.
//
// What such models show is that a test keeps its error rate and its planned power
// where traits are correlated in these ways. It says nothing about how correlated
// real models are.
//
// The package imports the standard library, corpora/reading, probe/ledger and
// probe/endpoint/mock.
package persona
