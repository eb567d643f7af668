// Package probe makes the plan of an audit and carries it out.
//
// [NewPlan] turns targets, prompts and keys into a plan with its tests, their
// power and their cost, before anything is sent; [SealPlan] writes it into a new
// case folder, signed. [Run] sends what the plan says and nothing else, and
// writes down every attempt: an intent before it is sent, a reply (or why there
// is none) after. Running a case again continues it; a case that is done is left
// alone. Nothing here looks at what a reply says, except to stop early where the
// plan allows it.
//
// The rules that keep the sample honest:
//
//   - Transport errors are retried, content never is.
//   - The items of all targets are interleaved in an order that the plan's seed
//     fixes, and no target runs far ahead of another, so that a fault in time
//     hits all of them alike.
//   - What was sent but has no outcome in the ledger (a crash) is sent again as
//     another attempt, and both are on record.
//   - A run stops, with everything kept, when going on would spoil the sample or
//     the purse: drift, caps, a refused key, an empty account, a full disk.
//
// The package may import corpora, watermark and their parts, probe/endpoint,
// probe/family and probe/ledger.
package probe
