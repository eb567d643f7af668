// Package corpora holds what is asked and what small models learn from: prompt
// suites, and the grammar that writes training text.
//
// # Suites
//
// A suite is a set of original prompts for one family of tests, written as
// templates with slots and kept as YAML under suites/. Its card ([Info]) says
// what it is for and what it must never be used for. [Suite.Expand] draws
// distinct prompts by seed: the order depends on the seed and on the templates'
// ids and texts alone, so a plan made today can be made again by a later
// release, and the prompts for n are the first n of the prompts for n+1.
//
// [Suite.Lint] finds what makes a suite unfit as evidence: a prompt asked
// twice counts as two replies but gives one; a vendor's name in the prompt
// steers the reply; a long prompt costs units, because what the prompt itself
// contains is never scored. Users bring their own suites as YAML or JSON lines
// under the same rules ([Load]).
//
// # Text
//
// [GenerateText] writes readable English from a seeded grammar, for the
// embedded reference model.
//
// # Canaries
//
// What is planted in our own outputs (E3 to E6) is drawn from a key by
// corpora/canary; [Suite.ExpandUnder] gives the prompts of a suite that a key
// draws from or fills.
//
// The package may import corpora/tokens, corpora/reading, corpora/canary and a
// YAML reader, and nothing else of this module.
package corpora
