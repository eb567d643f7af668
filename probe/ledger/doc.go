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
//	commitments/              key commitments and their timestamp tokens
//	decoys.json               the seed of the decoy keys; the plan holds its hash
//	ledger.jsonl              one event per line, each with the hash of the line before
//	blobs/segment-NNNNNN.bin  raw request and response bytes, addressed by the ledger
//	analysis/<id>/            findings.json
//	reports/<id>/             report.json, report.html, envelopes
//	disclosed/                subkeys that were disclosed with the report
//	manifest-sha256.txt       every file but the signature envelopes
//	VERIFY.md                 how to check this very case without the program
//
// Folders are 0700 and files 0600. Files are written to a temporary name,
// synced and renamed ([WriteFile]); the ledger and the segments are append-only.
package ledger
