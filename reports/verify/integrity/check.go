package integrity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/stillmark/stillmark/probe/ledger"
)

// Sealed is what a case states about itself once it has been found unaltered.
// Nothing in it says that the signer can be trusted.
type Sealed struct {
	Case      *ledger.Case
	Folder    string // reports/<id>
	Predicate Predicate
	Signer    ledger.PublicKey // that made the signature, as the case holds it
	Envelope  []byte           // what a timestamp of the seal is over
	Token     []byte           // RFC 3161 token over Envelope, nil if there is none
	Statement []byte
	Subjects  int
	Ledger    ledger.Head
	Resumes   int
	Before    uint64 // events before the seal event
}

// Check checks a package from the outside in and stops at the first problem.
// What is not listed, not canonical or not in order is a problem; so is what
// is missing. The checks, in order: every file against the manifest; the
// envelope and its signature; the statement against the manifest; the plan
// against the ledger's first event; the chain; the Merkle root; the raw bytes.
func Check(p *Package) (*Sealed, error) {
	folder, err := sealedFolder(p.FS)
	if err != nil {
		return nil, err
	}
	s := &Sealed{Folder: folder}
	manifest, err := s.checkFiles(p.FS)
	if err != nil {
		return nil, err
	}
	if err := s.checkEnvelope(p.FS, manifest); err != nil {
		return nil, err
	}
	c, err := ledger.OpenFS(p.FS)
	if err != nil {
		return nil, classify(err, CodePlan, "plan.json")
	}
	s.Case = c
	if err := s.checkPlan(p.FS); err != nil {
		return nil, err
	}
	if err := s.checkLedger(); err != nil {
		return nil, err
	}
	return s, nil
}

// sealedFolder finds the one report folder that holds an envelope. A case is
// sealed once.
func sealedFolder(fsys fs.FS) (string, error) {
	if _, err := fs.Stat(fsys, "plan.json"); err != nil {
		return "", problem(CodeMissing, ExitIncomplete, "plan.json", "not a case: the plan is missing")
	}
	found, err := fs.Glob(fsys, "reports/*/"+envelopeName)
	if err != nil {
		return "", fmt.Errorf("look for the envelope: %w", err)
	}
	switch len(found) {
	case 0:
		return "", problem(CodeUnsealed, ExitIncomplete, "reports/*/"+envelopeName, "the case is not sealed, or its signature was removed")
	case 1:
		return path.Dir(found[0]), nil
	}
	return "", problem(CodeUnlisted, ExitAltered, found[1], "a second signature; a case is sealed once")
}

// exempt reports whether the manifest cannot list the file, because it is the
// manifest or is made from it.
func (s *Sealed) exempt(file string) bool {
	if file == ManifestName {
		return true
	}
	dir, name := path.Split(file)
	return dir == s.Folder+"/" && (name == envelopeName || name == tokenName || name == statementName)
}

func (s *Sealed) checkFiles(fsys fs.FS) ([]byte, error) {
	manifest, err := readFile(fsys, ManifestName)
	if err != nil {
		return nil, err
	}
	err = ledger.CheckManifest(fsys, manifest, s.exempt)
	if err == nil {
		return manifest, nil
	}
	var m *ledger.ManifestError
	if !errors.As(err, &m) {
		return nil, fmt.Errorf("check manifest: %w", err)
	}
	p := &Problem{File: m.Path, Offset: m.Offset, Exit: ExitAltered}
	switch m.Kind {
	case "missing":
		p.Code, p.Exit, p.Detail = CodeMissing, ExitIncomplete, "listed in the manifest, but not there"
	case "unlisted":
		p.Code, p.Detail = CodeUnlisted, "not listed in the manifest"
	case "irregular":
		p.Code, p.Detail = CodeIrregular, "not a regular file"
	case "manifest":
		p.Code, p.Detail = CodeManifest, "the manifest is not in the form in which it was written"
	default:
		p.Code, p.Detail = CodeAltered, "not the hash in the manifest"
		locate(fsys, p)
	}
	if m.Err != nil {
		p.Detail += ": " + m.Err.Error()
	}
	return nil, p
}

// locate finds the first bad byte of an altered ledger: its chain tells the
// line. A plain hash tells the file only.
func locate(fsys fs.FS, p *Problem) {
	if p.File != "ledger.jsonl" || p.Offset >= 0 {
		return
	}
	c, err := ledger.OpenFS(fsys)
	if err != nil {
		return
	}
	if at, err := brokenAt(c); err != nil {
		p.Offset, p.Detail = at, err.Error()
	}
}

// brokenAt walks the chain and returns where the first bad line begins.
func brokenAt(c *ledger.Case) (int64, error) {
	var next int64
	for line, err := range c.Lines() {
		if err != nil {
			return next, err
		}
		next = line.Offset + int64(len(line.Raw)) + 1
	}
	return next, nil
}

func (s *Sealed) checkEnvelope(fsys fs.FS, manifest []byte) error {
	file := func(name string) string { return path.Join(s.Folder, name) }
	pem, err := readFile(fsys, file(signerName))
	if err != nil {
		return err
	}
	keys, err := ledger.ParsePublic(pem)
	if err != nil || len(keys) != 1 {
		return problem(CodeUnsealed, ExitBadSignature, file(signerName), "does not hold one public key: %v", err)
	}
	s.Signer = keys[0]
	if s.Envelope, err = readFile(fsys, file(envelopeName)); err != nil {
		return err
	}
	payload, _, err := ledger.VerifyDSSE(s.Envelope, ledger.PayloadInToto, []ed25519.PublicKey{s.Signer.Key})
	if err != nil {
		return problem(CodeSignature, ExitBadSignature, file(envelopeName), "%v", err)
	}
	if s.Statement, err = readFile(fsys, file(statementName)); err != nil {
		return err
	}
	if at := firstDifference(s.Statement, payload); at >= 0 {
		p := problem(CodeStatement, ExitAltered, file(statementName), "not the signed payload")
		p.Offset = at
		return p
	}
	if err := s.checkStatement(manifest); err != nil {
		return err
	}
	if s.Token, err = readFile(fsys, file(tokenName)); err != nil {
		s.Token = nil // a timestamp of the seal is optional
	}
	return nil
}

// checkStatement compares the signed statement with the manifest: the same
// files, the same hashes, and the manifest itself.
func (s *Sealed) checkStatement(manifest []byte) error {
	name := path.Join(s.Folder, statementName)
	st, err := ledger.DecodeStatement(s.Statement)
	if err != nil {
		return problem(CodeStatement, ExitBadSignature, name, "%v", err)
	}
	if st.PredicateType != PredicateType {
		return problem(CodeNewer, ExitIncomplete, name, "predicate type %q is not known to this program", st.PredicateType)
	}
	listed := map[string]string{ManifestName: sum(manifest)}
	for line := range strings.Lines(string(manifest)) {
		hash, file, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if !ok {
			return problem(CodeManifest, ExitAltered, ManifestName, "a line is not a hash, two spaces and a path")
		}
		listed[file] = hash
	}
	s.Subjects = len(st.Subject)
	for _, subject := range st.Subject {
		want, ok := listed[subject.Name]
		if !ok {
			return problem(CodeManifest, ExitAltered, ManifestName, "the signed statement names %s, the manifest does not", subject.Name)
		}
		if len(subject.Digest) != 1 || subject.Digest["sha256"] != want {
			file := subject.Name
			return problem(CodeManifest, ExitAltered, file, "not the signed hash")
		}
		delete(listed, subject.Name)
	}
	for file := range listed {
		return problem(CodeManifest, ExitAltered, ManifestName, "lists %s, which the signed statement does not name", file)
	}
	if err := decodeStrict(st.Predicate, &s.Predicate); err != nil {
		var format struct {
			Format int `json:"format"`
		}
		if json.Unmarshal(st.Predicate, &format) == nil && format.Format > PredicateFormat {
			return problem(CodeNewer, ExitIncomplete, name, "predicate format %d; this program knows %d", format.Format, PredicateFormat)
		}
		return problem(CodeStatement, ExitAltered, name, "predicate: %v", err)
	}
	if s.Predicate.Format != PredicateFormat {
		return problem(CodeNewer, ExitIncomplete, name, "predicate format %d; this program knows %d", s.Predicate.Format, PredicateFormat)
	}
	if s.Predicate.KeyID != s.Signer.KeyID {
		return problem(CodeStatement, ExitAltered, name, "names another signing key than %s", signerName)
	}
	if path.Join("reports", s.Predicate.Report) != s.Folder {
		return problem(CodeStatement, ExitAltered, name, "states the folder of another report")
	}
	return nil
}

func (s *Sealed) checkPlan(fsys fs.FS) error {
	if s.Case.PlanSHA256() != s.Predicate.PlanSHA256 || s.Case.Plan().CaseID != s.Predicate.CaseID {
		return problem(CodePlan, ExitAltered, "plan.json", "not the plan that the signed statement names")
	}
	if s.Case.Info().ID != s.Predicate.CaseID {
		return problem(CodePlan, ExitAltered, "case.json", "names another case than the signed statement")
	}
	envelope, err := readFile(fsys, "plan.dsse.json")
	if err != nil {
		return err
	}
	payload, _, err := ledger.VerifyDSSE(envelope, planPayload, []ed25519.PublicKey{s.Signer.Key})
	if err != nil {
		return problem(CodePlanSigned, ExitBadSignature, "plan.dsse.json", "not signed by the key that sealed the case: %v", err)
	}
	if !bytes.Equal(payload, s.Case.PlanBytes()) {
		return problem(CodePlanSigned, ExitBadSignature, "plan.dsse.json", "signs another plan than plan.json")
	}
	return nil
}

// checkLedger walks the ledger once: chain, first and last event, Merkle tree
// and every block of raw bytes.
func (s *Sealed) checkLedger() error {
	const file = "ledger.jsonl"
	var (
		tree ledger.Tree
		next int64
		last ledger.Line
	)
	fail := func(code Code, format string, args ...any) error {
		p := problem(code, ExitAltered, file, format, args...)
		p.Offset = next
		return p
	}
	for line, err := range s.Case.Lines() {
		if err != nil {
			p := classify(err, CodeChain, file)
			p.Offset = next
			return p
		}
		if last.Event.Type == ledger.EventSeal {
			return fail(CodeChain, "an event follows the seal event")
		}
		if tree.Size() == 0 {
			if err := s.checkFirst(line.Event); err != nil {
				return fail(CodePlan, "%v", err)
			}
		}
		if err := s.checkBlobs(line.Event); err != nil {
			return err
		}
		if line.Event.Type == ledger.EventResume {
			s.Resumes++
		}
		tree.Append(line.Raw)
		next = line.Offset + int64(len(line.Raw)) + 1
		last = line
	}
	if last.Event.Type != ledger.EventSeal {
		p := problem(CodeUnsealed, ExitIncomplete, file, "the last event is not the seal event")
		p.Offset = next
		return p
	}
	root := tree.Root()
	s.Ledger = ledger.Head{Events: uint64(tree.Size()), Hash: last.Hash, Root: hex.EncodeToString(root[:])}
	s.Before = s.Ledger.Events - 1
	if s.Ledger != s.Predicate.Ledger {
		return problem(CodeMerkle, ExitAltered, file, "the Merkle root over %d events is not the signed one", s.Ledger.Events)
	}
	var sealed SealEvent
	if err := decodeStrict(last.Event.Data, &sealed); err != nil {
		return fail(CodeStatement, "seal event: %v", err)
	}
	want := SealEvent{
		Report: s.Predicate.Report, Analysis: s.Predicate.Analysis, KeyID: s.Predicate.KeyID,
		FindingsSHA256: s.Predicate.FindingsSHA256, ReportSHA256: s.Predicate.ReportSHA256,
	}
	if sealed != want || !last.Event.Time.Equal(s.Predicate.Sealed) {
		return fail(CodeStatement, "the seal event and the signed statement disagree")
	}
	return nil
}

func (s *Sealed) checkFirst(e ledger.Event) error {
	var first ledger.PlanSealed
	if e.Type != ledger.EventPlanSealed {
		return errors.New("the ledger does not begin with the sealed plan")
	}
	if err := decodeStrict(e.Data, &first); err != nil {
		return err
	}
	if first.PlanSHA256 != s.Predicate.PlanSHA256 {
		return errors.New("the ledger begins with another plan")
	}
	return nil
}

func (s *Sealed) checkBlobs(e ledger.Event) error {
	var refs []ledger.BlobRef
	switch e.Type {
	case ledger.EventIntent:
		var intent ledger.Intent
		if err := decodeStrict(e.Data, &intent); err != nil {
			return problem(CodeChain, ExitAltered, "ledger.jsonl", "event %d: %v", e.Seq, err)
		}
		refs = append(refs, intent.Request)
	case ledger.EventReply, ledger.EventAttemptFailed:
		var attempt ledger.Attempt
		if err := decodeStrict(e.Data, &attempt); err != nil {
			return problem(CodeChain, ExitAltered, "ledger.jsonl", "event %d: %v", e.Seq, err)
		}
		if attempt.Response != nil {
			refs = append(refs, *attempt.Response)
		}
	}
	for _, ref := range refs {
		if _, err := s.Case.Blob(ref); err != nil {
			p := classify(err, CodeBlob, fmt.Sprintf("blobs/segment-%06d.bin", ref.Segment))
			p.Offset = ref.Offset
			return p
		}
	}
	return nil
}

// maxFile bounds files that are read whole: the manifest of a million files is
// the largest of them.
const maxFile = 256 << 20

// ReadFile reads a file of a package whole, within a bound.
func readFile(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, classify(err, CodeMissing, name)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, problem(CodeAltered, ExitAltered, name, "%v", err)
	}
	if len(data) > maxFile {
		return nil, problem(CodeAltered, ExitAltered, name, "larger than %d bytes", maxFile)
	}
	return data, nil
}

// decodeStrict refuses unknown members, doubled members and trailing data: the
// bytes must be what encoding the value gives.
func decodeStrict(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("data follows the value")
	}
	return nil
}

// firstDifference returns the first byte at which a and b differ, -1 if none.
func firstDifference(a, b []byte) int64 {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return int64(i)
		}
	}
	if len(a) != len(b) {
		return int64(n)
	}
	return -1
}

func sum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}
