// Package family holds the tests of an audit, one file per family: replies and
// secrets in, a finding out. [Analyze] runs every test that a plan declares and
// is a pure function of (ledger, keys, plan): the same input gives the same
// bytes, on any machine and however often a run was interrupted.
//
//   - family.go: the table of families, and what each of them may look at.
//   - replies.go: a case's replies, read from their raw bytes in the plan's order.
//   - e1.go: radioactivity on text. Does the text of a rival's replies depend on
//     the secret of a watermark that only our outputs carried?
//   - secrets.go: what the families of canary keys have in common.
//   - e2.go: reading mode. Does a rival lean to the key's choice where it reads on in
//     passages of ours?
//   - e3.go: keyed free choice. Does a rival lean to the renderings that secret bits
//     made our API prefer?
//   - e4.go: trigger canaries. Does it know responses that only our API gave?
//   - e5.go, observations.go: nonce forwarding. Do nonces that were sent to a rival
//     alone turn up in our own request logs?
//   - e6.go: key-rotation lag. Do replies follow the secret schedule by which our
//     service changed keys?
//   - c1.go to c8.go: comparisons with other models, which know no secret: shared rare
//     errors, random choice, identity, refusals, reasoning, style, tokenizer, wrapper.
//     Each reads replies by an extractor of its own and says how much every source
//     agrees with every teacher.
//   - sides.go, compare.go: who is compared with whom and who is no control; residual
//     agreement, rank, effect by the bootstrap over items. style.go: Delta.
//   - comparison.go: what a rank among control models may be worth.
//   - stopping.go: the same evidence, gathered reply by reply while a run goes on.
//   - commitment.go: was the key committed before it was served and before the
//     first reply? Only then is a result at the exact tier.
//   - verdict.go, wording.go: the claim rule, and every sentence that the program
//     prints about a finding. The program never accuses: it words what the
//     numbers support.
//
// The package imports watermark and its parts, corpora/tokens, corpora/reading,
// corpora/canary, the log of a key registry (watermark/registry), probe/ledger, probe/wire
// and probe/timestamp. It opens no connection, reads nothing but the case that it is given,
// and knows neither YAML nor the command line.
package family
