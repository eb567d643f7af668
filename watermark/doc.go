// Package watermark marks the text of a language model under a secret key and
// finds the mark again, in the model's own text or in that of a model that
// learned from it.
//
// A [Key] holds a [Spec], everything that embedding and detection must agree
// on, beside a secret. Key.Mark gives the [Scheme]: its Process changes the
// logits of a sampling step in place, its Score scores one token afterwards. A
// [Detector] scores the texts of a run as one stream and says how strong the
// result is; its Decoys repeats the run under keys that were never served.
//
//	key, err := watermark.LoadKey("teacher.key")
//	scheme, err := key.Mark()
//	scheme.Process(generated, logits) // at each step, before sampling
//
//	detector := watermark.NewDetector(scheme, watermark.Options{})
//	detector.Add(watermark.Item{Prompt: prompt, Tokens: reply})
//	fmt.Println(detector.Result().Tail.Log10P)
//
// # Which scheme
//
// All schemes read one 32-bit word for each (context window, token) from a
// package prf source and score a token by it:
//
//   - [Gumbel] chooses the token by a keyed Gumbel-max. Strongest per token on
//     the marked text itself; a step's distribution is unchanged over keys, but
//     a reply is repeatable: one window, one choice. Score Exp(1).
//   - [Tournament] reweights by thirty keyed coin flips per token. Unchanged
//     over keys, keeps the sampler's freedom, and is learned best by students.
//     Score Binomial(30, 1/2).
//   - [GumbelDual] is gumbel under two keys, for servers that decode
//     speculatively. Score (1-alpha)A + alpha·B of two such exponentials.
//   - [KGW] adds a bias to a keyed quarter of the vocabulary. It shifts the
//     distribution, and in return works at temperature 0 and is the most
//     studied. Score Bernoulli(gamma).
//
// Take [AESCTR] under them, a PRF, unless a server that speaks vLLM's
// philox4x32-10-v1 does the marking: then [Philox], with the key of that server
// through [NewImportedKey]. gumbel on philox-v1 is vLLM's scheme byte for byte:
// its uniform has 24 bits, and its windows are padded with -1, so that the first
// tokens are marked and scored as well.
//
// # Whose text it was
//
// Keys of labels, which a master derives, tell accounts apart: each account's text
// is marked under its own key, and [Detector.Identify] finds which. To say at the
// same time that the text is the model's, whoever asked for it, [TwoChannel] gives
// each window to one of two keys: a provenance key that all accounts share, and the
// account's tracing key. A test over the one channel has the tokens of that channel
// only.
//
// # Watermarks of other stacks
//
// A [Preset] is the watermark of another stack: Hugging Face's and
// lm-watermarking's green lists, SynthID-Text, vLLM, SGLang, three_bricks,
// textseal, MarkLLM. [Presets] lists them with their parameters, what must match
// the marking side, and how each was checked: against numbers that the peer
// itself made, or against a second implementation. [Import] makes a key of the
// parameters that the stack is served with. Four things differ from native
// schemes:
//
//   - The generator under a preset is no PRF: a p-value is exact if it behaves
//     as random.
//   - The unit is what the generator sees. Where that is a seed (a sum, a
//     product, a min-hash), windows with equal seeds are one unit, and decoy keys
//     find their own units.
//   - Scores whose layers correlate (SynthID's, textseal's two keys) have no
//     analytic law: Tail.Method is [MethodDecoysOnly] and the rank among decoys
//     is the result.
//   - Many of these stacks print a default key. [Key.Published] says so: such a
//     key is forgeable, and not its holder's alone.
//
// # What a result means
//
// The null hypothesis is that the text is independent of the secret. Then the
// words of distinct (window, token) pairs are independent and uniform, whatever
// the text, so the score of a run follows the law that Scheme.Law names
// (an [evidence.Law]), and p-values are exact up to the advantage against the
// PRF. Three rules of the Detector make that so, and a caller cannot turn them
// off: a pair counts once in the whole run, a window that occurs in the item's
// prompt is dropped first, and weights are functions of the text alone. The
// null is over the key, not over texts: texts of one run are pooled in one
// Detector, and their p-values under one key are never combined.
//
// That the key is secret, was drawn at random and was committed to before the
// first marked token was served is what the caller must see to. [Commitment] and
// [Disclosure] are the means: a salted hash of every subkey under one Merkle
// root, to be timestamped; later, one subkey laid open with its proof.
//
// # Errors and limits
//
// Parsers take nothing but what this package writes, wrap [ErrMalformed], and
// bound their input. Secrets are never part of an error, and a [Secret] prints
// as "[secret]" in every way that Go prints. Token ids are int32, logits
// float32, evidence is in log10. Schemes and detectors are for one goroutine
// each; Scheme.Clone is cheap.
//
// The package imports its own prf and evidence, the standard library and
// x/mod's Merkle tree: no tokenizer (see [Tokenizer]), no model, no network.
package watermark
