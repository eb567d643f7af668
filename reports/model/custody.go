package model

import (
	"fmt"
	"slices"

	"github.com/stillmark/stillmark/probe/family"
	"github.com/stillmark/stillmark/probe/ledger"
)

func (b *builder) custody() Custody {
	t := b.text
	stamp := t.say("custody.nostamp")
	if b.planStamp() != "" {
		stamp = t.say("custody.planstamp")
	}
	c := Custody{Keys: []Step{}}
	c.Data = []Step{
		{Time: b.rec.sealed, Text: t.say("custody.plan"), Hash: b.f.PlanSHA256},
		{Text: stamp},
		{Time: b.rec.firstIntent, Text: t.say("custody.first")},
		{Time: b.rec.lastReply, Text: t.say("custody.last")},
		{Text: t.say("custody.chain", "events", count(b.text, b.f.Events, "event"), "resumes", count(b.text, b.rec.resumes, "resumption"))},
		{Text: t.say("custody.head"), Hash: b.f.LedgerHead},
		{Text: t.say("custody.findings"), Hash: b.opt.FindingsSHA256},
		{Text: t.say("custody.seal")},
	}
	for _, k := range b.plan.Keys {
		c.Keys = append(c.Keys, b.keyStep(k), Step{Text: t.say("key.secret", "key", k.ID)})
	}
	return c
}

// lists is the state of what is asked under a key (family.ListCommitted and so on), that
// of a test which is not committed to before others; "" where none needs a list.
func (b *builder) lists(key string) (state string) {
	for i := range b.f.Findings {
		c := b.f.Findings[i].Committed
		if b.f.Findings[i].Key == key && c != nil && c.Lists != "" && (state == "" || state == family.ListCommitted) {
			state = c.Lists
		}
	}
	return state
}

func (b *builder) keyStep(k ledger.KeyRef) Step {
	t := b.text
	check := b.commitment(k.ID)
	if check == nil {
		return Step{Text: t.say("key.unknown", "key", k.ID)}
	}
	authority := t.say("authority.none")
	if check.Authority != "" {
		authority = t.say("authority.named", "name", check.Authority)
	}
	step := Step{Time: check.Time}
	switch check.State {
	case "before-serving":
		serving := t.say("time.none")
		if !k.ServingFrom.IsZero() {
			serving = b.text.time(k.ServingFrom)
		}
		step.Text = t.say("key.before-serving", "key", k.ID, "authority", authority, "serving", serving)
		if said := b.lists(k.ID); said != "" {
			step.Text += " " + t.say("key.lists-"+said)
		}
	case "late", "serving-unknown":
		step.Text = t.say("key."+check.State, "key", k.ID, "authority", authority)
	case "unstamped", "absent", "mismatch":
		step.Text = t.say("key."+check.State, "key", k.ID)
	default:
		step.Text = t.say("key.unknown", "key", k.ID)
	}
	return step
}

// Name gives a report the id of its folder: it stands in the seal strip and in
// the commands that a reader runs.
func (r *Report) Name(id string) {
	r.Seal.ReportID = id
	t, err := tableOf(r.Lang)
	if err != nil {
		t = english()
	}
	r.HowTo = howTo(t, r.Seal.Command, "reports/"+id)
}

// VerifyCommand is the command that checks a case, in every language. The names in it stand for the
// reader's own files; a root is asked for where there are timestamps to check.
func VerifyCommand(stamps bool) string {
	if stamps {
		return english().say("how.with.stamps")
	}
	return english().say("how.with.command")
}

// stamps reports whether the plan or a key bears a timestamp.
func (b *builder) stamps() bool {
	return b.planStamp() != "" || slices.ContainsFunc(b.plan.Keys, func(k ledger.KeyRef) bool { return k.Stamp != "" })
}

// howTo gives the commands with this case's names. VERIFY.md has them too, and
// more of them.
func howTo(t text, command, folder string) HowTo {
	return HowTo{
		With:  []string{command, t.say("how.with")},
		Intro: t.say("how.without"),
		Without: []Command{
			{Shows: t.say("how.sha"), Command: "sha256sum --check --quiet manifest-sha256.txt && echo OK"},
			{Shows: t.say("how.manifest"), Command: fmt.Sprintf(`grep -o "$(sha256sum manifest-sha256.txt | cut -c1-64)" %s/statement.intoto.json`, folder)},
			{Shows: t.say("how.sig"), Command: SignatureCommands(folder+"/report.dsse.json", folder+"/statement.intoto.json", folder+"/signer.pem", ledger.PayloadInToto)},
			{Shows: t.say("how.plan"), Command: `head -n 1 ledger.jsonl | grep -c "$(sha256sum plan.json | cut -c1-64)"`},
		},
	}
}

// SignatureCommands are shell commands that check a DSSE envelope with openssl:
// the signed bytes are built from the payload (DSSE's pre-authentication
// encoding), the signature is cut out of the envelope.
func SignatureCommands(envelope, payload, key, payloadType string) string {
	return fmt.Sprintf(`{ printf 'DSSEv1 %d %s %%d ' "$(wc -c < %s)"; cat %s; } > /tmp/signed.bin
sed 's/.*"sig":"\([^"]*\)".*/\1/' %s | base64 -d > /tmp/signature.bin
openssl pkeyutl -verify -pubin -inkey %s -rawin -in /tmp/signed.bin -sigfile /tmp/signature.bin`,
		len(payloadType), payloadType, payload, payload, envelope, key)
}

// glossary explains the terms that the first page uses first.
func (b *builder) glossary() []Term {
	var terms []Term
	for _, key := range []string{
		"accusation", "log10p", "log10e", "holm", "unit", "effect", "decoy", "rank",
		"tier", "control", "commitment", "ledger", "power", "verified",
	} {
		terms = append(terms, Term{Term: b.text.say("term." + key), Meaning: b.text.say("term." + key + ".text")})
	}
	return terms
}
