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
// # In a sampler
//
// [Key.NewRequest] begins a reply: it keeps what a step needs beside the logits, and
// [Request.Record] says afterwards what was done, for the server's log. Its Process
// stands last before the draw:
//
//		logits → penalties → temperature → top-k, top-p, min-p → grammar mask → Process → softmax → draw
//
//	  - Logits are natural logarithms of probabilities, up to a constant, and -Inf for
//	    what cannot be drawn. Process never lets such a token through. gumbel leaves the
//	    chosen token's logit and sets all others to -Inf, so that any draw takes it;
//	    tournament writes log p of the modified distribution; kgw adds its bias.
//	  - Truncation and temperature come before, because the schemes are exact on the
//	    distribution that is drawn from. Hugging Face's green lists are added before
//	    both: to mark as they do, call Process there.
//	  - At temperature 0 nothing is drawn, and only green lists can mark: where
//	    [MarksGreedy] says so call Process on the raw logits and take the likeliest,
//	    otherwise do not call it. Other schemes would draw.
//	  - Every token of the reply is appended, in order, sampled or not: tokens that a
//	    grammar, a tool-call template or a stop sequence forced, too. Where a mask leaves
//	    one token Process may be called or not: nothing is marked, and the token's score
//	    follows the null law. Arguments of tool calls are text like any other; to keep
//	    the mark out of them leave Process out, which costs evidence and not validity.
//	  - Speculative decoding: what stands in for a rejected draft token must not be drawn
//	    with the noise that chose it. gumbel-dual has two keys for that: the draft model
//	    draws under [RoleDraft], what the target model puts in place of a rejected token
//	    or adds at the end under [RoleTarget], and [Request.Truncate] takes rejected
//	    tokens back. kgw and tournament mark the target's distribution: call Process on
//	    the logits that verification compares, each after the draft tokens before it were
//	    appended.
//	  - A window that occurred before in the reply is left alone where the key says so
//	    (Repeats): a scan of the history, under 1 ns a token, and no state.
//	  - Whoever opts out is served under RequestOptions.Unmarked, on record.
//	  - [Batcher] takes a step of many replies at once. A sampler elsewhere takes bit
//	    masks ([Lister]) or noise ([Noiser]); cmd/libstillmark has all of it for C.
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
