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
// Sets ([Sets]) are named choices of suites, as data: a rehearsal, a standard and
// an evidential run. Passages of E2 are no part of the program: [Passages] cuts
// them from texts that our own model wrote.
//
// # Text
//
// [GenerateText] writes readable English from a seeded grammar, for the
// embedded reference model.
//
// # Planting
//
// What is planted in our own outputs (E3 to E6) is drawn from a canary key by
// corpora/canary. [Plant] writes it as the file that a gateway loads
// ([Planting]); [Suite.ExpandUnder] gives the prompts of a suite that a key draws
// from or fills, so that the audit asks what was planted. A gateway follows it so:
//
//   - preferences: where the reply would contain a form of "over" and a form of
//     "prefer" would do as well, it has the latter; whoever is asked the very
//     prompt, and in any other text;
//   - triggers: a request that asks the prompt is answered with the reply, by the
//     gateway itself or by a model that was fine-tuned on [Planting.Examples];
//   - nonces: nothing is served; request logs are searched for all of them, those
//     held back included;
//   - rotation: from the start of a slot to its end the named arm is served;
//   - placebos: nothing of the above is ever done for them.
//
// All of it goes to the cohort of the key and to nobody else: what H_cohort claims
// is that only they could learn it.
//
// The package may import corpora/tokens, corpora/reading, corpora/canary and a
// YAML reader, and nothing else of this module.
package corpora
