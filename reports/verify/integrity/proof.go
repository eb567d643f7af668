package integrity

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/stillmark/stillmark/probe/ledger"
)

// Proof shows that what was asked and answered of one item stood in a ledger when its
// head was signed. It can be checked without the case.
type Proof struct {
	Format     int           `json:"format"` // 1
	CaseID     string        `json:"case_id"`
	Item       string        `json:"item"`
	Events     []ProvenEvent `json:"events"`
	Checkpoint string        `json:"checkpoint"`      // signed note over size and root of the tree
	Token      []byte        `json:"token,omitempty"` // RFC 3161, over the note
	// Signer is the key that signed the note, and the case: PEM, without a name, since
	// nobody would have signed that.
	Signer string `json:"signer"`
}

// ProvenEvent is a line of the ledger with its audit path.
type ProvenEvent struct {
	Line string        `json:"line"`       // without its newline; its seq is the leaf's number
	Path []ledger.Hash `json:"audit_path"` // RFC 6962, base64
	// Stored are the raw bytes that the line refers to, by part, with their salts.
	Stored map[string][]byte `json:"stored,omitempty"`
}

// proofFormat is the version of proofs.
const proofFormat = 1

// MaxProof bounds a proof: an attempt's bytes and their headers, a few times.
const MaxProof = 256 << 20

// Prove makes the proof of an item of a sealed case: of all its events, under the
// first checkpoint that is over all of them. bare leaves out the raw bytes.
func (s *Sealed) Prove(item string, bare bool) (*Proof, error) {
	p := &Proof{Format: proofFormat, CaseID: s.Predicate.CaseID, Item: item, Signer: string(WitnessKey(s.Signer))}
	var seqs []int64
	for l, err := range s.Case.Lines() {
		if err != nil {
			return nil, err
		}
		if l.Event.Item != item || item == "" {
			continue
		}
		e := ProvenEvent{Line: string(l.Raw)}
		refs, err := ledger.RefsOf(&l.Event)
		if err != nil {
			return nil, err
		}
		for part, ref := range refs {
			if bare {
				continue
			}
			stored, err := s.Case.Stored(ref)
			if errors.Is(err, ledger.ErrWithheld) {
				continue
			}
			if err != nil {
				return nil, err
			}
			if e.Stored == nil {
				e.Stored = map[string][]byte{}
			}
			e.Stored[part] = stored
		}
		p.Events = append(p.Events, e)
		seqs = append(seqs, int64(l.Event.Seq))
	}
	if len(seqs) == 0 {
		return nil, fmt.Errorf("the ledger has no event of item %q (an item is target/suite/prompt/sample)", item)
	}
	i := slices.IndexFunc(s.Checkpoints, func(c Checkpoint) bool { return c.Size > seqs[len(seqs)-1] })
	if i < 0 {
		return nil, errors.New("no checkpoint is over the item's events: an earlier version sealed this case")
	}
	c := s.Checkpoints[i]
	p.Checkpoint, p.Token = string(c.Note), c.Token
	tree, err := s.Case.Prefix(uint64(c.Size)).Tree()
	if err != nil {
		return nil, err
	}
	for k, seq := range seqs {
		if p.Events[k].Path, err = tree.Prove(seq); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Encode returns the file of a proof.
func (p *Proof) Encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(p); err != nil {
		return nil, fmt.Errorf("encode the proof: %w", err)
	}
	return b.Bytes(), nil
}

// Proven is what a proof was found to show.
type Proven struct {
	Proof
	Key    ledger.PublicKey // that signed the checkpoint
	Head   ledger.Checkpoint
	Parts  int // raw bytes that were held against their salted hashes
	Parsed []ledger.Event
}

// CheckProof checks a proof: the signature over the checkpoint, by the key that the
// proof names; that every line is under it; and that the raw bytes have the hashes
// that the lines hold. The error is a *Problem.
func CheckProof(data []byte) (*Proven, error) {
	const file = "proof"
	bad := func(exit int, format string, args ...any) error {
		return problem(CodeProof, exit, file, format, args...)
	}
	if len(data) > MaxProof {
		return nil, bad(ExitAltered, "larger than %d MiB", MaxProof>>20)
	}
	out := new(Proven)
	if err := decodeStrict(data, &out.Proof); err != nil {
		var format struct {
			Format int `json:"format"`
		}
		if json.Unmarshal(data, &format) == nil && format.Format > proofFormat {
			return nil, problem(CodeNewer, ExitIncomplete, file, "format %d; this program knows %d", format.Format, proofFormat)
		}
		return nil, bad(ExitAltered, "%v", err)
	}
	again, err := out.Proof.Encode()
	if at := firstDifference(data, again); err != nil || at >= 0 || out.Format != proofFormat {
		return nil, bad(ExitAltered, "not in the form in which proofs are written")
	}
	keys, err := ledger.ParsePublic([]byte(out.Signer))
	if err != nil || len(keys) != 1 || string(WitnessKey(keys[0])) != out.Signer {
		return nil, bad(ExitAltered, "does not hold one public key in the form in which it is written")
	}
	out.Key = keys[0]
	if out.Head, err = ledger.OpenCheckpoint(out.CaseID, []byte(out.Checkpoint), out.Key.Key); err != nil {
		return nil, bad(ExitBadSignature, "%v", err)
	}
	if len(out.Events) == 0 {
		return nil, bad(ExitAltered, "it proves nothing")
	}
	for i, e := range out.Events {
		parsed, err := ledger.ParseEvent([]byte(e.Line))
		if err != nil {
			return nil, bad(ExitAltered, "line %d: %v", i+1, err)
		}
		if parsed.Item != out.Item || i > 0 && parsed.Seq <= out.Parsed[i-1].Seq {
			return nil, bad(ExitAltered, "line %d is not the next one about the item", i+1)
		}
		if err := ledger.CheckInclusion(e.Path, out.Head.Size, out.Head.Root, int64(min(parsed.Seq, 1<<62)), []byte(e.Line)); err != nil {
			return nil, bad(ExitAltered, "%v", err)
		}
		refs, err := ledger.RefsOf(&parsed)
		if err != nil {
			return nil, bad(ExitAltered, "%v", err)
		}
		for part, stored := range e.Stored {
			ref, known := refs[part]
			if !known || sum(stored) != ref.SHA256 || int64(len(stored)) != ref.Length || ref.Salt > ref.Length || ref.Salt < 0 {
				return nil, bad(ExitAltered, "the raw bytes of the %s of event %d are not those that its line refers to", part, parsed.Seq)
			}
			out.Parts++
		}
		out.Parsed = append(out.Parsed, parsed)
	}
	return out, nil
}
