package verify

import (
	"errors"
	"fmt"
	"time"

	"github.com/stillmark/stillmark/probe/timestamp"
	"github.com/stillmark/stillmark/reports/verify/integrity"
)

// CodeProof and CodeCheckpoint are the codes of checks of proofs and of signed heads.
const (
	CodeProof      = string(integrity.CodeProof)
	CodeCheckpoint = string(integrity.CodeCheckpoint)
)

const proofNotProven = "that these are all the attempts at the item, when the plan was sealed, or anything that a report says: for that, verify the whole case."

// VerifyProof checks the proof of one item, offline and without the case. The states
// and exit codes are those of [Verify]; no numbers are computed.
func VerifyProof(data []byte, opt Options) *Result {
	v := newVerifier(opt)
	v.proof = true
	v.r.NotProven = proofNotProven
	p, err := integrity.CheckProof(data)
	if err != nil {
		var bad *integrity.Problem
		if !errors.As(err, &bad) {
			bad = &integrity.Problem{Code: integrity.CodeProof, Exit: integrity.ExitAltered, Offset: -1, Detail: err.Error()}
		}
		v.fail(bad.Exit, string(bad.Code), "proof", "", bad.Offset, "%s", bad.Detail)
		v.conclude()
		return v.r
	}
	v.r.Case, v.r.KeyID, v.r.Signer = p.CaseID, p.Key.KeyID, p.Key.Name
	v.line(LevelOK, CodeCheckpoint, "checkpoint", "the head of the first %s of case %s, signed with key %.16s…", plural(p.Head.Size, "event"), p.CaseID, p.Key.KeyID)
	for _, e := range p.Parsed {
		v.line(LevelOK, CodeProof, "in the ledger", "event %d, %s of %s, attempt %d, %s", e.Seq, e.Type, e.Item, e.Attempt, e.Time.Format(time.RFC3339))
	}
	if p.Parts > 0 {
		v.line(LevelOK, CodeProof, "raw bytes", "%s, as the events refer to them", verbal(p.Parts, "block", "blocks"))
	} else {
		v.line(LevelNote, CodeProof, "raw bytes", "none: the proof is about the lines")
	}
	v.known(p.Key)
	last := p.Parsed[len(p.Parsed)-1].Time
	v.r.Since = last
	if p.Token == nil {
		v.line(LevelNote, CodeCheckpoint, "checkpoint", "no timestamp: the times are the signer's own claim")
	} else if s, ok := v.stamp("checkpoint", "token", p.Token, []byte(p.Checkpoint)); ok {
		v.headTime("token", s, last)
		v.r.Since, v.r.Stamped = s.Time.UTC(), s.Trusted
	}
	v.conclude()
	return v.r
}

// headTime demands that a head was stamped after the last event under it.
func (v *verifier) headTime(file string, s timestamp.Stamp, last time.Time) {
	if s.Time.Before(last.Add(-clockSkew)) {
		v.fail(integrity.ExitTime, CodeCheckpoint, "checkpoint", file, -1, "stamped at %s, before an event at %s that it is over",
			s.Time.UTC().Format(stampLayout), last.UTC().Format(stampLayout))
		return
	}
	v.line(v.level(), CodeCheckpoint, "checkpoint", "RFC 3161 %s; %s", s.Time.UTC().Format(stampLayout), v.authority(s))
}

// checkpoints words the signed heads of the ledger, and checks their timestamps.
func (v *verifier) checkpoints() {
	list := v.sealed.Checkpoints
	if len(list) == 0 {
		v.line(LevelNote, CodeCheckpoint, "checkpoints", "none: only the seal signs the ledger")
		return
	}
	n := 0
	var first, last timestamp.Stamp
	for _, c := range list {
		if c.Token == nil {
			continue
		}
		s, ok := v.stamp("checkpoints", c.File+".tsr", c.Token, c.Note)
		if !ok {
			continue
		}
		if s.Time.Before(c.Last.Add(-clockSkew)) {
			v.fail(integrity.ExitTime, CodeCheckpoint, "checkpoints", c.File+".tsr", -1, "stamped at %s, before an event at %s that it is over",
				s.Time.UTC().Format(stampLayout), c.Last.UTC().Format(stampLayout))
			continue
		}
		if n == 0 {
			first = s
		}
		n, last = n+1, s
	}
	level, stamps := LevelOK, "no timestamps"
	if n > 0 {
		level = v.level()
		stamps = fmt.Sprintf("%s timestamped, %s to %s; %s", verbal(n, "of them", "of them"),
			first.Time.UTC().Format(stampLayout), last.Time.UTC().Format(stampLayout), v.authority(last))
	}
	v.line(level, CodeCheckpoint, "checkpoints", "%s, each that of the ledger's first lines, from %d to %d events; %s",
		verbal(len(list), "signed tree head", "signed tree heads"), list[0].Size, list[len(list)-1].Size, stamps)
}
