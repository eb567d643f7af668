package reports

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/stillmark/stillmark/probe/ledger"
	"github.com/stillmark/stillmark/reports/model"
	"github.com/stillmark/stillmark/reports/verify/integrity"
	"github.com/stillmark/stillmark/watermark"
)

// The files of a seal. All but the first lie in the report's folder, and the
// three from envelope on are made from the manifest and cannot stand in it.
const (
	manifestName  = integrity.ManifestName
	signerName    = "signer.pem"
	envelopeName  = "report.dsse.json"
	tokenName     = "report.dsse.tsr"
	statementName = "statement.intoto.json"
	sshName       = integrity.SSHName
	allowedName   = integrity.AllowedName
	verifyName    = "VERIFY.md"
	disclosedDir  = "disclosed"
	planEnvelope  = "plan.dsse.json"
	planToken     = "plan.tsr"
)

// planPayload is the DSSE payload type of plan.dsse.json.
const planPayload = "application/vnd.stillmark.plan+json"

// Signer signs with Ed25519. *ledger.Signer is one; a key in hardware can be
// another.
type Signer interface {
	crypto.Signer
	PublicKey() ledger.PublicKey
}

// SealOptions says what is sealed and how.
type SealOptions struct {
	Report   string           // folder under reports/; "" means the newest
	Disclose []*watermark.Key // keys whose subkey goes into the case
	Document *DocumentSigner  // signs report.pdf; nil: it is sealed without a signature of its own
	// Stamp gets an RFC 3161 token for a SHA-256 digest from a timestamping
	// authority. Nil: the time of the seal is the signer's own claim.
	Stamp func(ctx context.Context, digest [32]byte) (token []byte, err error)
	Out   string               // path of the zip; "" means none
	Clock ledger.WriterOptions // of the seal event; the zero value is the system's
}

// SealResult says what was sealed.
type SealResult struct {
	Report         string   `json:"report"`
	Envelope       string   `json:"envelope"` // path
	EnvelopeSHA256 string   `json:"envelope_sha256"`
	Manifest       string   `json:"manifest"` // path
	Files          int      `json:"files"`
	Stamped        bool     `json:"stamped"`
	Disclosed      []string `json:"disclosed_keys"`
	Withheld       []string `json:"withheld_keys"` // keys of the plan that are not disclosed
	Zip            string   `json:"zip,omitempty"` // path
	ZipSHA256      string   `json:"zip_sha256,omitempty"`
}

// Seal closes a case: it discloses the given keys, writes VERIFY.md for this
// very case, appends the seal event to the ledger, lists every file in the
// manifest, signs a statement over all of them and, if asked to, has it
// timestamped and packs the case into one zip.
//
// A seal that was interrupted can be repeated. A sealed case can be sealed
// again, as with another report or a timestamp; the ledger then shows both, and
// witnesses of the earlier seal of the same report have to sign again.
func Seal(ctx context.Context, dir string, signer Signer, opt SealOptions) (*SealResult, error) {
	s, err := prepare(dir, signer, opt)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if err := s.signPDF(ctx, opt.Document, opt.Clock); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if err := s.disclose(opt.Disclose); err != nil {
		return nil, fmt.Errorf("seal: disclose keys: %w", err)
	}
	if err := s.describe(opt.Stamp != nil); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if err := s.enterCustody(opt.Clock); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if err := ledger.WriteCheckpoint(dir, &ledger.Checkpoints{Signer: signer}); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if err := s.closeLedger(opt.Clock); err != nil {
		return nil, fmt.Errorf("seal: close the ledger: %w", err)
	}
	result, err := s.sign(ctx, signer, opt.Stamp)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if opt.Out != "" {
		if result.ZipSHA256, err = writeZip(opt.Out, dir, s.c.Plan().CaseID); err != nil {
			return nil, fmt.Errorf("seal: %w", err)
		}
		result.Zip = opt.Out
	}
	return result, nil
}

// sealing is a seal in the making.
type sealing struct {
	dir    string
	folder string // reports/<id>, slash-separated
	c      *ledger.Case
	report *model.Report
	state  integrity.Predicate
	public ledger.PublicKey
}

// prepare checks everything that can be checked before the case is touched.
func prepare(dir string, signer Signer, opt SealOptions) (*sealing, error) {
	c, err := ledger.Open(dir)
	if err != nil {
		return nil, usage(err)
	}
	if c.Redaction() != nil {
		return nil, usage(fmt.Errorf("%s is a redacted copy: its seal is that of the whole case", dir))
	}
	if opt.Report == "" {
		newest, err := Newest(dir)
		if err != nil {
			return nil, err
		}
		opt.Report = filepath.Base(newest)
	}
	s := &sealing{dir: dir, folder: path.Join("reports", opt.Report), c: c, public: signer.PublicKey()}
	data, err := os.ReadFile(s.at(reportJSON))
	if err != nil {
		return nil, usage(err)
	}
	if s.report, err = model.Decode(data); err != nil {
		return nil, usage(err)
	}
	findings, sum, err := LoadFindings(os.DirFS(dir), s.report.Seal.AnalysisID)
	if err != nil {
		return nil, usage(err)
	}
	if sum != s.report.Seal.FindingsSHA256 || s.report.Seal.ReportID != opt.Report {
		return nil, usage(errors.New("the report is not about the findings beside it; build it again"))
	}
	if err := s.checkLayout(); err != nil {
		return nil, err
	}
	if err := s.checkPlan(); err != nil {
		return nil, err
	}
	if err := s.checkLater(findings.Events); err != nil {
		return nil, err
	}
	disclosed := s.toDisclose(opt.Disclose)
	if err := checkAnalysis(dir, s.report.Seal.AnalysisID, findings, disclosed); err != nil {
		return nil, fmt.Errorf("%w, and seal the one that it names (--report)", err)
	}
	if err := checkExhibits(dir, findings, s.report, disclosed); err != nil {
		return nil, err
	}
	if err := checkStray(dir); err != nil {
		return nil, err
	}
	if err := s.checkPlaces(); err != nil {
		return nil, err
	}
	if opt.Out != "" {
		if err := checkOutside(opt.Out, dir); err != nil {
			return nil, err
		}
	}
	s.state = integrity.Predicate{
		Format: integrity.PredicateFormat, CaseID: c.Plan().CaseID, Report: opt.Report, Analysis: s.report.Seal.AnalysisID,
		Demo: c.Plan().Demo, Signer: s.public.Name, KeyID: s.public.KeyID,
		PlanSHA256: c.PlanSHA256(), FindingsSHA256: sum, ReportSHA256: hexSum(data),
		Disclosed: []string{}, Withheld: []string{}, Verdicts: []integrity.Verdict{},
	}
	for _, f := range findings.Findings {
		s.state.Verdicts = append(s.state.Verdicts, integrity.Verdict{Test: f.Test, Target: f.Target, Tier: f.Tier, Verdict: f.Verdict})
	}
	return s, nil
}

func (s *sealing) at(name string) string {
	return filepath.Join(s.dir, filepath.FromSlash(s.folder), filepath.FromSlash(name))
}

// checkLayout refuses a page or a table that says something else than
// report.json: people read these.
func (s *sealing) checkLayout() error {
	files, err := Files(s.report)
	if err != nil {
		return usage(err)
	}
	for _, f := range files {
		have, err := os.ReadFile(s.at(f.Name))
		if errors.Is(err, fs.ErrNotExist) {
			return usage(fmt.Errorf("%s has no %s; move %s away and build the report again", s.folder, f.Name, s.folder))
		} else if err != nil {
			return usage(err)
		}
		same := bytes.Equal(have, f.Data)
		if f.Name == reportPDF && !same {
			_, err := CheckPDF(have, f.Data)
			same = err == nil
		}
		if !same {
			return usage(fmt.Errorf("%s/%s is not what this version lays out from report.json beside it; move %s away and build the report again", s.folder, f.Name, s.folder))
		}
	}
	return nil
}

// signPDF signs the paper, unless this signer has done so before: a seal that was
// interrupted is repeated over the same bytes.
func (s *sealing) signPDF(ctx context.Context, d *DocumentSigner, clock ledger.WriterOptions) error {
	if d == nil {
		return nil
	}
	have, err := os.ReadFile(s.at(reportPDF))
	if err != nil {
		return err
	}
	want, err := PDF(s.report)
	if err != nil {
		return err
	}
	by, err := CheckPDF(have, want)
	if err != nil {
		return err
	}
	if by != nil && by.Equal(d.Chain[0]) {
		return nil
	}
	now := time.Now
	if clock.Now != nil {
		now = clock.Now
	}
	signed, err := SignPDF(ctx, want, d, now(), "Evidence report of case "+s.c.Plan().CaseID)
	if err != nil {
		return err
	}
	return ledger.WriteFile(s.at(reportPDF), signed, 0o600)
}

// checkPlan demands that the key that signed the plan seals the case: otherwise
// a reader would have two strangers to trust.
func (s *sealing) checkPlan() error {
	data, err := os.ReadFile(filepath.Join(s.dir, planEnvelope))
	if err != nil {
		return usage(err)
	}
	_, _, err = ledger.VerifyDSSE(data, planPayload, []ed25519.PublicKey{s.public.Key})
	if errors.Is(err, ledger.ErrUnknownSigner) {
		return usage(fmt.Errorf("the plan was signed with another key than %q (%.16s); seal with the key that signed the plan", s.public.Name, s.public.KeyID))
	}
	if err != nil {
		return usage(fmt.Errorf("%s: %w", planEnvelope, err))
	}
	return nil
}

// checkLater refuses to seal a report that has not seen all replies.
func (s *sealing) checkLater(seen uint64) error {
	for e, err := range s.c.Events() {
		if err != nil {
			return err
		}
		if e.Seq < seen {
			continue
		}
		if e.Collects() {
			return usage(fmt.Errorf("replies came in after the analysis (event %d); analyze the case and build its report again", e.Seq))
		}
	}
	return nil
}

// checkStray refuses hidden files: an interrupted write left them, and a seal
// would keep them for ever.
func checkStray(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != dir && strings.HasPrefix(d.Name(), ".") {
			return usage(fmt.Errorf("%s is left over from an interrupted write, or in use; remove it and seal again", path))
		}
		return nil
	})
}

// checkOutside keeps the archive out of the folder that it packs.
func checkOutside(out, dir string) error {
	a, errA := filepath.Abs(out)
	b, errB := filepath.Abs(dir)
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	if inside, err := filepath.Rel(b, a); err == nil && filepath.IsLocal(inside) {
		return usage(fmt.Errorf("%s lies in the case; write the archive beside it", out))
	}
	return nil
}

// disclose lays the subkeys open, with the proof that they were committed to.
func (s *sealing) disclose(keys []*watermark.Key) error {
	refs := map[string]*ledger.KeyRef{}
	for i := range s.c.Plan().Keys {
		ref := &s.c.Plan().Keys[i]
		refs[ref.ID] = ref
	}
	for _, k := range keys {
		ref := refs[k.ID]
		if ref == nil {
			return usage(fmt.Errorf("key %s is not in the plan", k.ID))
		}
		d, err := s.disclosure(k, ref)
		if err != nil {
			return err
		}
		data, err := d.Encode()
		if err != nil {
			return err
		}
		file := filepath.Join(s.dir, disclosedDir, k.ID+".json")
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		if err := ledger.WriteFile(file, data, 0o600); err != nil {
			return err
		}
	}
	for _, ref := range s.c.Plan().Keys {
		if s.isDisclosed(ref.ID) { // by this seal or an earlier one
			s.state.Disclosed = append(s.state.Disclosed, ref.ID)
		} else {
			s.state.Withheld = append(s.state.Withheld, ref.ID)
		}
	}
	return nil
}

func (s *sealing) disclosure(k *watermark.Key, ref *ledger.KeyRef) (watermark.Disclosure, error) {
	if ref.Commitment == "" {
		return k.Disclose(), nil
	}
	data, err := os.ReadFile(filepath.Join(s.dir, "commitments", filepath.FromSlash(ref.Commitment)))
	if err != nil {
		return watermark.Disclosure{}, err
	}
	c, err := watermark.ParseCommitment(data)
	if err != nil {
		return watermark.Disclosure{}, err
	}
	return c.Disclose(k)
}

// describe writes the signer's public key and VERIFY.md.
func (s *sealing) describe(stamped bool) error {
	if err := ledger.WriteFile(s.at(signerName), s.public.PEM(), 0o600); err != nil {
		return fmt.Errorf("write the public key: %w", err)
	}
	if err := ledger.WriteFile(s.at(allowedName), s.public.AllowedSigner(integrity.SSHPrincipal), 0o600); err != nil {
		return fmt.Errorf("write the allowed signer: %w", err)
	}
	text, err := Instructions(os.DirFS(s.dir), s.report, s.public, stamped)
	if err != nil {
		return fmt.Errorf("write %s: %w", verifyName, err)
	}
	return ledger.WriteFile(filepath.Join(s.dir, verifyName), text, 0o600)
}

var verifyTemplate = template.Must(template.ParseFS(layout, "layout/VERIFY.md.tmpl"))

// Instructions is VERIFY.md for a case that is sealed with a report by a signer,
// with or without a timestamp of the seal.
func Instructions(fsys fs.FS, r *model.Report, signer ledger.PublicKey, stamped bool) ([]byte, error) {
	indent := func(commands string) string { return "    " + strings.ReplaceAll(commands, "\n", "\n    ") }
	folder := path.Join("reports", r.Seal.ReportID)
	inFolder := func(name string) string { return path.Join(folder, name) }
	_, err := fs.Stat(fsys, planToken)
	first := "a time that the ledger does not hold"
	if t := r.Prereg.FirstIntent; !t.IsZero() {
		first = t.UTC().Format(time.RFC3339)
	}
	command := r.Seal.Command
	if stamped {
		command = model.VerifyCommand(true)
	}
	paper, paperErr := fs.ReadFile(fsys, inFolder(reportPDF))
	var b bytes.Buffer
	err = verifyTemplate.Execute(&b, map[string]any{
		"PaperSigned": paperErr == nil && bytes.Contains(paper, []byte(subFilter)),
		"CaseID":      r.Seal.CaseID, "Command": command, "Folder": folder,
		"KeyID": signer.KeyID, "Signer": model.Inert(signer.Name),
		"Signature": indent(model.SignatureCommands(inFolder(envelopeName), inFolder(statementName), inFolder(signerName), ledger.PayloadInToto)),
		"SSH":       sshName, "Allowed": allowedName, "Principal": integrity.SSHPrincipal, "Namespace": ledger.SSHNamespace, "Statement": statementName,
		"PlanSignature": indent(model.SignatureCommands(planEnvelope, "plan.json", inFolder(signerName), planPayload)),
		"PlanStamp":     err == nil, "Stamp": stamped, "FirstIntent": first,
	})
	return b.Bytes(), err
}

// enterCustody begins the custody log, or goes on with it, and takes its head into
// what is signed.
func (s *sealing) enterCustody(clock ledger.WriterOptions) error {
	e := ledger.Custody{What: ledger.CustodySealed, Who: s.public.Name, Detail: "report " + s.state.Report, SHA256: s.state.ReportSHA256}
	if clock.Now != nil {
		e.Time = clock.Now()
	}
	if err := ledger.AppendCustody(s.dir, e); err != nil {
		return err
	}
	log, err := ledger.ReadCustody(os.DirFS(s.dir))
	s.state.Custody = ledger.HeadOf(log, uint64(len(log)))
	return err
}

// closeLedger appends the seal event, unless it is there already, over the same
// files, from a seal that did not come to its end; and reads the ledger's head.
func (s *sealing) closeLedger(clock ledger.WriterOptions) error {
	want := integrity.SealEvent{
		Report: s.state.Report, Analysis: s.state.Analysis, KeyID: s.state.KeyID,
		FindingsSHA256: s.state.FindingsSHA256, ReportSHA256: s.state.ReportSHA256,
	}
	last, err := s.lastEvent()
	if err != nil {
		return err
	}
	if want.FilesSHA256, err = s.files(); err != nil {
		return err
	}
	var have integrity.SealEvent
	if last.Type != ledger.EventSeal || json.Unmarshal(last.Data, &have) != nil || have != want {
		w, err := ledger.OpenWriter(s.dir, clock)
		if err != nil {
			return err
		}
		// The writer may have moved a torn line aside, to a file of its own.
		if want.FilesSHA256, err = s.files(); err == nil {
			last, err = w.Append(ledger.EventSeal, "", 0, want)
		}
		if err = errors.Join(err, w.Close()); err != nil {
			return err
		}
	}
	s.state.Sealed = last.Time.UTC()
	s.state.Ledger, err = s.c.LedgerHead()
	return err
}

// exempt are the files that the manifest cannot list.
func (s *sealing) exempt(name string) bool {
	dir, base := path.Split(name)
	return name == manifestName || name == ledger.CustodyName || dir == s.folder+"/" && (base == envelopeName || base == tokenName || base == statementName || base == sshName || integrity.IsWitness(base))
}

// files is the hash of the manifest without the ledger's line: what the seal
// event, which is in the ledger, can say of all other files.
func (s *sealing) files() (string, error) {
	manifest, err := ledger.BuildManifest(os.DirFS(s.dir), func(name string) bool {
		return s.exempt(name) || name == "ledger.jsonl" || strings.HasPrefix(name, ".") // the writer's reserve
	})
	return hexSum(manifest), err
}

func (s *sealing) lastEvent() (ledger.Event, error) {
	var last ledger.Event
	for e, err := range s.c.Events() {
		if err != nil {
			return last, err
		}
		last = e
	}
	return last, nil
}

// sign writes manifest, statement, envelope and token, in this order.
func (s *sealing) sign(ctx context.Context, signer Signer, stamp func(context.Context, [32]byte) ([]byte, error)) (*SealResult, error) {
	gone := []string{envelopeName, tokenName, statementName, sshName}
	entries, err := os.ReadDir(s.at(""))
	if err != nil {
		return nil, err
	}
	for _, e := range entries { // witnesses of another statement
		if integrity.IsWitness(e.Name()) {
			gone = append(gone, e.Name())
		}
	}
	for _, name := range gone {
		if err := os.Remove(s.at(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	manifest, err := ledger.BuildManifest(os.DirFS(s.dir), s.exempt)
	if err != nil {
		return nil, err
	}
	statement, err := s.statement(manifest)
	if err != nil {
		return nil, err
	}
	envelope, err := ledger.SignDSSE(ledger.PayloadInToto, statement, signer, s.public.KeyID)
	if err != nil {
		return nil, err
	}
	ssh, err := ledger.SignSSH(statement, signer)
	if err != nil {
		return nil, err
	}
	var token []byte
	if stamp != nil {
		if token, err = stamp(ctx, sha256.Sum256(envelope)); err != nil {
			return nil, fmt.Errorf("timestamp: %w; the case is closed, but not yet signed: run the same command again", err)
		}
	}
	for _, f := range []struct {
		path string
		data []byte
	}{
		{filepath.Join(s.dir, manifestName), manifest},
		{s.at(statementName), statement},
		{s.at(sshName), ssh},
		{s.at(tokenName), token},
		{s.at(envelopeName), envelope},
	} {
		if f.data == nil {
			continue
		}
		if err := ledger.WriteFile(f.path, f.data, 0o600); err != nil {
			return nil, err
		}
	}
	return &SealResult{
		Report: s.state.Report, Envelope: s.at(envelopeName), EnvelopeSHA256: hexSum(envelope),
		Manifest: filepath.Join(s.dir, manifestName), Files: bytes.Count(manifest, []byte{'\n'}), Stamped: token != nil,
		Disclosed: s.state.Disclosed, Withheld: s.state.Withheld,
	}, nil
}

// statement names every file of the manifest and the manifest itself.
func (s *sealing) statement(manifest []byte) ([]byte, error) {
	entries, err := ledger.ParseManifest(manifest)
	if err != nil {
		return nil, err
	}
	entries = append(slices.Clip(entries), ledger.ManifestEntry{SHA256: hexSum(manifest), Path: manifestName})
	st := ledger.Statement{PredicateType: integrity.PredicateType}
	for _, e := range entries {
		st.Subject = append(st.Subject, ledger.Subject{Name: e.Path, Digest: map[string]string{"sha256": e.SHA256}})
	}
	if st.Predicate, err = json.Marshal(s.state); err != nil {
		return nil, err
	}
	return ledger.EncodeStatement(st)
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
