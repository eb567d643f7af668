package integrity

import (
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
)

// PredicateType names what the signed statement says about its subjects.
const PredicateType = "https://github.com/stillmark/stillmark/evidence/v1"

// PredicateFormat is the newest version of the predicate that is understood. The
// first one has no head of the custody log.
const PredicateFormat = 2

// Predicate is what the signer states about the files, beside their hashes.
type Predicate struct {
	Format         int         `json:"format"`
	CaseID         string      `json:"case_id"`
	Report         string      `json:"report"`   // folder under reports/
	Analysis       string      `json:"analysis"` // folder under analysis/
	Demo           bool        `json:"demo"`
	Signer         string      `json:"signer"` // as the signer names itself
	KeyID          string      `json:"key_id"` // hex SHA-256 of the public key's SPKI DER
	Sealed         time.Time   `json:"sealed"` // time of the seal event: the signer's own claim
	PlanSHA256     string      `json:"plan_sha256"`
	Ledger         ledger.Head `json:"ledger"` // the seal event included
	FindingsSHA256 string      `json:"findings_sha256"`
	ReportSHA256   string      `json:"report_sha256"`
	Disclosed      []string    `json:"disclosed_keys"`
	Withheld       []string    `json:"withheld_keys"`
	Verdicts       []Verdict   `json:"verdicts"`
	// Custody is the head of the custody log, which goes on after the seal.
	Custody *ledger.CustodyHead `json:"custody,omitempty"`
}

// Verdict is a finding in a line.
type Verdict struct {
	Test    string         `json:"test"`
	Target  string         `json:"target"`
	Tier    ledger.Tier    `json:"tier"`
	Verdict ledger.Verdict `json:"verdict"`
}

// SealEvent is the data of the ledger's last event.
type SealEvent struct {
	Report         string `json:"report"`
	Analysis       string `json:"analysis"`
	KeyID          string `json:"key_id"`
	FindingsSHA256 string `json:"findings_sha256"`
	ReportSHA256   string `json:"report_sha256"`
	FilesSHA256    string `json:"files_sha256"` // of the manifest without the ledger's line
}

// The names of files in a sealed case.
const (
	ManifestName = "manifest-sha256.txt"

	envelopeName = "report.dsse.json"
	tokenName    = "report.dsse.tsr"
	// SSHName is the statement's signature in the form of ssh-keygen. Cases of
	// earlier versions have none.
	SSHName = "statement.intoto.json.sshsig"
	// AllowedName is the signer's key as ssh-keygen wants it, under the name
	// SSHPrincipal: a word, since a holder's name may have blanks.
	AllowedName   = "allowed_signers"
	SSHPrincipal  = "signer"
	statementName = "statement.intoto.json"
	signerName    = "signer.pem"
)

// planPayload is the DSSE payload type of plan.dsse.json: the plan itself.
const planPayload = "application/vnd.stillmark.plan+json"
