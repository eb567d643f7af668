// Package ledger holds what an audit writes down: the types of plan, item,
// reply, outcome and finding; the hash-chained event log with its segment files
// of raw bytes; Merkle heads over it; DSSE envelopes; and the case folder that
// contains them all.
//
// It is the spine of the program: the probe runner writes a case, the analysis
// and the verifier read it, and nothing else passes between them. The package
// imports the standard library and golang.org/x/mod only, so that an opposing
// expert can read the whole of what "unaltered" means in one place.
//
// # Case folder
//
//	case.json                 identity of the case: id, authority, purpose, demo flag
//	plan.json, plan.dsse.json the sealed plan (plan.tsr: RFC 3161 token, if any)
//	prompts.jsonl             what the prompts say; the plan holds a salted hash of each line
//	commitments/              key commitments and their timestamp tokens
//	decoys.json               the seed of the decoy keys; the plan holds its hash
//	ledger.jsonl              one event per line, each with the hash of the line before
//	checkpoints/N.note        signed heads of the tree over the first N lines (.note.tsr: tokens)
//	blobs/segment-NNNNNN.bin  raw request and response bytes, addressed by the ledger
//	analysis/<id>/            findings.json
//	reports/<id>/             report.json, report.html, envelopes
//	disclosed/                subkeys that were disclosed with the report
//	manifest-sha256.txt       every file but the signature envelopes and the custody log
//	custody.jsonl             who did what to the case, when and why
//	redaction.json, redacted/ in a copy that withholds something: what, and what is left
//	VERIFY.md                 how to check this very case without the program
//
// Folders are 0700 and files 0600. Files are written to a temporary name,
// synced and renamed ([WriteFile]); the ledger and the segments are append-only.
// While a writer is open there is also .reserve, 64 MiB of disk space held back
// for the day the disk is full; after a kill there may be ledger.torn-<n>, the
// fragment of a line that was never acknowledged.
//
// # Format of the ledger
//
// ledger.jsonl is UTF-8, one JSON object per line, at most 1 MiB each, every
// line ended by one newline (0x0A). The members, in this order:
//
//	seq      number of the event, from 0: its line number less one
//	prev     hex SHA-256 of the line before, without its newline; 64 zeros for the first
//	time     UTC, RFC 3339 with up to nine decimals
//	mono_ns  nanoseconds of the monotonic clock since the writer was opened
//	type     one of the Event constants
//	item     target/suite/prompt/sample, absent where the event concerns no item
//	attempt  from 1, absent with item
//	data     an object that depends on the type, absent where there is none
//
// A line has exactly one spelling, that of encoding/json: another order, a
// member given twice, a space more are damage. The first event is plan_sealed
// with the SHA-256 of plan.json. An item goes intent, then attempt_failed or
// reply; after a reply it is settled. An intent without an outcome is an orphan:
// sent, perhaps, when the program died; the next attempt has the next number.
// Where the plan has a judge, each reply's labels are items of their own, with
// /label-1 or /label-2 behind the item's id and the types label_intent,
// label_failed and label; the reply comes first.
// An observation is a file of what was seen on our own side; its bytes lie in a
// segment, as those of a reply. After a seal only another seal may follow.
//
// # What can be withheld
//
// plan.json of a salted plan (format 2, which the planner makes) holds for each prompt
// the SHA-256 of its line in prompts.jsonl, and each line begins with 32 random
// bytes. A salted case stores requests, responses and response headers behind 32
// random bytes each, and the ledger's reference is the hash of both. So no line of
// plan or ledger says what was asked, answered or sent along, and none of their
// hashes confirms a guess of it; each can be withheld with its salt while plan,
// chain, tree and signatures stay as they are. What a line does say stays: items,
// times, outcomes, lengths, model names, provider request ids and usage. Cases of format
// 1 have prompts in the plan, headers in the line and plain hashes of bytes: they are
// read and verified as before, and nothing of them can be withheld.
//
// A segment is bare bytes without structure, at most 64 MiB. The ledger's blob
// references give segment, offset, length and SHA-256. Bytes that no event
// refers to are those of a writer that died between a body and its line.
//
// The Merkle tree of RFC 6962 has the lines, without newlines, as its leaves.
//
// # What protects what
//
// A changed byte in a line breaks the hash that the next line holds. The last
// line is protected by the head ([Head]), which findings and seal carry; bodies
// by the hashes in the ledger; the plan by the first event; all files together
// by the manifest, the manifest by the signature, and the signature's date by
// an RFC 3161 token.
package ledger
