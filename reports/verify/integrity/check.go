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
	"maps"
	"path"
	"slices"
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
	Witnesses []ledger.PublicKey // others that signed the same statement, by key id; their files hold no names
	Subjects  int
	Ledger    ledger.Head
	Resumes   int
	Controls  []*Sealed       // cases inside this one, whose replies it takes over
	Earlier   *Sealed         // the first run, which lies inside this case; nil if there is none
	Blobs     int             // blocks of raw bytes
	Segments  map[string]bool // files of raw bytes that the ledger refers to
	Custody   []ledger.Custody
	// Checkpoints are the signed heads of the ledger, the smallest first.
	Checkpoints []Checkpoint
	Redaction   *ledger.Redaction // what this copy lacks; nil: it is the whole case

	redactionSHA256 string
}

// Check checks a package from the outside in and stops at the first problem.
// What is not listed, not canonical or not in order is a problem; so is what
// is missing. The checks, in order: the envelope and its signature, and those of witnesses; the signed
// statement against the manifest; every file against the manifest, but for those
// that a redacted copy says it lacks; the custody log; the plan;
// that every file is one that a case is made of; the sealed cases inside this
// one, in the same way; the ledger's chain and Merkle root; the raw bytes.
//
// The error is a *Problem, or about reading the package.
func Check(p *Package) (*Sealed, error) {
	if _, err := fs.Stat(p.FS, "plan.json"); err != nil {
		return nil, problem(CodeMissing, ExitIncomplete, "plan.json", "not a case, or its plan is missing")
	}
	manifest, err := ReadFile(p.FS, ManifestName)
	if err != nil {
		return nil, err
	}
	folder, err := sealedFolder(p.FS, manifest)
	if err != nil {
		return nil, err
	}
	s := &Sealed{Folder: folder}
	if err := s.checkEnvelope(p.FS, manifest); err != nil {
		return nil, err
	}
	if err := s.checkStatement(manifest); err != nil {
		return nil, err
	}
	if err := s.checkRedaction(p.FS); err != nil {
		return nil, err
	}
	if err := s.checkFiles(p.FS, manifest); err != nil {
		return nil, err
	}
	if err := s.checkCustody(p.FS); err != nil {
		return nil, err
	}
	if s.Case, err = ledger.OpenFS(p.FS); err != nil {
		return nil, classify(err, CodePlan, "plan.json")
	}
	if err := s.checkPlan(p.FS); err != nil {
		return nil, err
	}
	if err := s.checkPlaces(p.FS); err != nil {
		return nil, err
	}
	if err := s.checkInside(p.FS); err != nil {
		return nil, err
	}
	if err := s.checkLedger(p.FS, manifest); err != nil {
		return nil, err
	}
	return s, nil
}

// checkInside checks every case inside this one as what it is, and that it is the
// one that the plan names.
func (s *Sealed) checkInside(fsys fs.FS) error {
	plan := s.Case.Plan()
	inside := plan.Inside()
	for _, dir := range slices.Sorted(maps.Keys(inside)) {
		want := inside[dir]
		sub, err := fs.Sub(fsys, dir)
		if err != nil {
			return err
		}
		for i := range plan.Targets {
			if t := &plan.Targets[i]; t.Cached == want {
				if _, err := s.Case.Control(t); err != nil {
					return within(dir, classify(err, CodeChain, "ledger.jsonl"))
				}
			}
		}
		if want == plan.After {
			first, err := s.Case.Earlier()
			if err != nil {
				return within(dir, classify(err, CodeChain, "ledger.jsonl"))
			}
			if err := plan.Repeats(first.Plan()); err != nil {
				return problem(CodePlan, ExitAltered, "plan.json", "does not repeat the first run: %v", err)
			}
		}
		c, err := Check(&Package{FS: sub})
		var p *Problem
		switch {
		case errors.As(err, &p):
			return within(dir, p)
		case err != nil:
			return err
		case c.Redaction != nil:
			return problem(CodeRedaction, ExitAltered, path.Join(dir, ledger.RedactionName), "a case inside another one is whole")
		case c.Ledger != want.Ledger || c.Predicate.CaseID != want.CaseID || c.Signer.KeyID != want.KeyID:
			return problem(CodePlan, ExitAltered, dir, "not the sealed case that the plan names")
		}
		if want == plan.After {
			s.Earlier = c
		} else {
			s.Controls = append(s.Controls, c)
		}
	}
	return nil
}

// within places a problem of a case that lies in a folder of this one.
func within(dir string, p *Problem) *Problem {
	if !strings.HasPrefix(p.File, dir) {
		p.File = path.Join(dir, p.File)
	}
	return p
}

// sealedFolder finds the report folder whose envelope the manifest does not
// list. A case that was sealed again lists the envelopes of earlier seals.
func sealedFolder(fsys fs.FS, manifest []byte) (string, error) {
	found, err := fs.Glob(fsys, "reports/*/"+envelopeName)
	if err != nil {
		return "", fmt.Errorf("look for the envelope: %w", err)
	}
	found = slices.DeleteFunc(found, func(file string) bool {
		return bytes.Contains(manifest, []byte("  "+file+"\n"))
	})
	switch len(found) {
	case 0:
		return "", problem(CodeUnsealed, ExitIncomplete, "reports/*/"+envelopeName, "the case is not sealed, or its signature was removed")
	case 1:
		return path.Dir(found[0]), nil
	}
	return "", problem(CodeUnlisted, ExitAltered, found[1], "a second signature that is not listed in the manifest")
}

// exempt reports whether the manifest cannot list the file, because it is the
// manifest or is made from it.
func (s *Sealed) exempt(file string) bool {
	if file == ManifestName || file == ledger.CustodyName || s.ofRedaction(file) {
		return true
	}
	dir, name := path.Split(file)
	return dir == s.Folder+"/" && (name == envelopeName || name == tokenName || name == statementName || name == SSHName || IsWitness(name))
}

func (s *Sealed) checkFiles(fsys fs.FS, manifest []byte) error {
	manifest, err := s.listed(manifest)
	if err != nil {
		return err
	}
	err = ledger.CheckManifest(fsys, manifest, s.exempt)
	var m *ledger.ManifestError
	if err == nil || !errors.As(err, &m) {
		return err
	}
	p := problem(CodeAltered, ExitAltered, m.Path, "%s", m.Kind)
	p.Offset = m.Offset
	switch m.Kind {
	case ledger.ManifestMissing:
		p.Code, p.Exit, p.Detail = CodeMissing, ExitIncomplete, "listed in the manifest, but not there"
	case ledger.ManifestUnlisted:
		p.Code, p.Detail = CodeUnlisted, "not listed in the manifest"
	case ledger.ManifestIrregular:
		p.Code, p.Detail = CodeIrregular, "not a regular file with a plain name"
	case ledger.ManifestMalformed:
		p.Code, p.File, p.Detail = CodeManifest, ManifestName, "not in the form in which manifests are written"
	default:
		p.Detail = "not what was sealed: its SHA-256 is not the one in the manifest"
		locate(fsys, p)
	}
	if m.Err != nil {
		p.Detail += ": " + m.Err.Error()
	}
	return p
}

// locate finds the first bad byte where the case itself can tell: the chain of
// the ledger knows its lines, and the ledger knows the blocks of a segment. A
// plain hash knows the file only.
func locate(fsys fs.FS, p *Problem) {
	if p.Offset >= 0 || p.File != "ledger.jsonl" && path.Dir(p.File) != "blobs" {
		return
	}
	c, err := ledger.OpenFS(fsys)
	if err != nil {
		return
	}
	if _, err := c.CheckBlobs(); err != nil {
		if found := classify(err, p.Code, p.File); found.File == p.File && found.Offset >= 0 {
			p.Offset = found.Offset
			p.Detail += "; " + found.Detail
		}
	}
}

// checkEnvelope checks the signature with the key that the case holds.
func (s *Sealed) checkEnvelope(fsys fs.FS, manifest []byte) error {
	file := func(name string) string { return path.Join(s.Folder, name) }
	pem, err := ReadFile(fsys, file(signerName))
	if err != nil {
		return err
	}
	// Where the key cannot be read or does not fit, a changed key file is the
	// culprit, and not the signature that it cannot check.
	blame := func(code Code, culprit, format string, args ...any) error {
		if !bytes.Contains(manifest, []byte(sum(pem)+"  "+file(signerName)+"\n")) {
			return problem(CodeAltered, ExitAltered, file(signerName), "not what was sealed: its SHA-256 is not the one in the manifest")
		}
		return problem(code, ExitBadSignature, file(culprit), format, args...)
	}
	keys, err := ledger.ParsePublic(pem)
	if err != nil || len(keys) != 1 {
		return blame(CodeUnsealed, signerName, "does not hold one public key: %v", err)
	}
	s.Signer = keys[0]
	if s.Envelope, err = ReadFile(fsys, file(envelopeName)); err != nil {
		return err
	}
	payload, _, err := ledger.VerifyDSSE(s.Envelope, ledger.PayloadInToto, []ed25519.PublicKey{s.Signer.Key})
	if err != nil {
		return blame(CodeSignature, envelopeName, "%v", err)
	}
	if s.Statement, err = ReadFile(fsys, file(statementName)); err != nil {
		return err
	}
	if at := firstDifference(s.Statement, payload); at >= 0 {
		p := problem(CodeStatement, ExitAltered, file(statementName), "not the signed payload")
		p.Offset = at
		return p
	}
	if err := s.checkSSH(fsys, manifest); err != nil {
		return err
	}
	if err := s.checkWitnesses(fsys); err != nil {
		return err
	}
	if s.Token, err = ReadFile(fsys, file(tokenName)); err != nil {
		s.Token = nil // a timestamp of the seal is optional
	}
	return nil
}

// checkSSH checks the second form of the signature, for ssh-keygen, and the key
// beside it. Cases of earlier versions have neither.
func (s *Sealed) checkSSH(fsys fs.FS, manifest []byte) error {
	signature, allowed := path.Join(s.Folder, SSHName), path.Join(s.Folder, AllowedName)
	_, err := fs.Stat(fsys, signature)
	if !bytes.Contains(manifest, []byte("  "+allowed+"\n")) && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	data, err := ReadFile(fsys, signature)
	if err != nil {
		return err
	}
	if err := ledger.VerifySSH(data, s.Statement, s.Signer.Key); err != nil {
		return problem(CodeSignature, ExitBadSignature, signature, "%v", err)
	}
	key, err := ReadFile(fsys, allowed)
	if err != nil {
		return err
	}
	if !bytes.Equal(key, s.Signer.AllowedSigner(SSHPrincipal)) {
		return problem(CodeSignature, ExitBadSignature, allowed, "not the key that signed the statement")
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
	entries, err := ledger.ParseManifest(manifest)
	if err != nil {
		p := problem(CodeManifest, ExitAltered, ManifestName, "%v", err)
		var m *ledger.ManifestError
		if errors.As(err, &m) {
			p.Offset = m.Offset
		}
		return p
	}
	for _, e := range entries {
		listed[e.Path] = e.SHA256
	}
	s.Subjects = len(st.Subject)
	i := slices.IndexFunc(st.Subject, func(x ledger.Subject) bool { return x.Name == ManifestName })
	if i < 0 || st.Subject[i].Digest["sha256"] != listed[ManifestName] {
		return problem(CodeManifest, ExitAltered, ManifestName, "not the manifest that the signed statement names")
	}
	for _, subject := range st.Subject {
		want, ok := listed[subject.Name]
		if !ok {
			return problem(CodeManifest, ExitAltered, ManifestName, "the signed statement names %s, the manifest does not", subject.Name)
		}
		if len(subject.Digest) != 1 || subject.Digest["sha256"] != want {
			return problem(CodeManifest, ExitAltered, ManifestName, "lists another hash for %s than the signed statement", subject.Name)
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
	if s.Predicate.Format < 1 || s.Predicate.Format > PredicateFormat {
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
	envelope, err := ReadFile(fsys, "plan.dsse.json")
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

// checkLedger walks the ledger: chain, order of events and the Merkle tree,
// which is built here line by line and passes every head that was signed on the way; the
// seal event, which holds the hash of the
// manifest without the ledger's line; then every block of raw bytes.
func (s *Sealed) checkLedger(fsys fs.FS, manifest []byte) error {
	const file = "ledger.jsonl"
	var (
		tree ledger.Tree
		last ledger.Event
	)
	heads, err := s.readCheckpoints(fsys)
	if err != nil {
		return err
	}
	for line, err := range s.Case.Lines() {
		if err != nil {
			return classify(err, CodeChain, file)
		}
		if line.Event.Type == ledger.EventResume {
			s.Resumes++
		}
		s.refer(line.Event)
		tree.Append(line.Raw)
		if err := s.meet(heads, &tree, line.Event.Time); err != nil {
			return err
		}
		last, s.Ledger.Hash = line.Event, line.Hash
	}
	if last.Type != ledger.EventSeal {
		return problem(CodeUnsealed, ExitIncomplete, file, "the last event is not the seal event")
	}
	for _, c := range heads {
		return problem(CodeCheckpoint, ExitAltered, c.File, "of %d lines, and the ledger has %d", c.Size, tree.Size())
	}
	root := tree.Root()
	s.Ledger.Events, s.Ledger.Root = uint64(tree.Size()), hex.EncodeToString(root[:])
	if s.Ledger != s.Predicate.Ledger {
		return problem(CodeMerkle, ExitAltered, file, "the Merkle root over %d events is not the signed one", s.Ledger.Events)
	}
	var sealed SealEvent
	if err := decodeStrict(last.Data, &sealed); err != nil {
		return problem(CodeStatement, ExitAltered, file, "seal event: %v", err)
	}
	p := s.Predicate
	want := SealEvent{
		Report: p.Report, Analysis: p.Analysis, KeyID: p.KeyID,
		FindingsSHA256: p.FindingsSHA256, ReportSHA256: p.ReportSHA256, FilesSHA256: besideLedger(manifest),
	}
	if sealed.FilesSHA256 != want.FilesSHA256 {
		return problem(CodeStatement, ExitAltered, file, "the seal event was written over other files than the manifest lists")
	}
	if sealed != want || !last.Time.Equal(p.Sealed) {
		return problem(CodeStatement, ExitAltered, file, "the seal event and the signed statement disagree")
	}
	if s.Blobs, err = s.Case.CheckBlobs(); err != nil {
		return classify(err, CodeBlob, "blobs")
	}
	return nil
}

// refer takes note of the segments that an event refers to.
func (s *Sealed) refer(e ledger.Event) {
	refs, err := ledger.RefsOf(&e)
	if err != nil {
		return // CheckBlobs says why
	}
	if s.Segments == nil {
		s.Segments = map[string]bool{}
	}
	for _, ref := range refs {
		s.Segments[fmt.Sprintf("blobs/segment-%06d.bin", ref.Segment)] = true
	}
}

// besideLedger is the hash of the manifest without the line of the ledger, which
// the ledger's last event cannot hold.
func besideLedger(manifest []byte) string {
	var rest []byte
	for line := range bytes.Lines(manifest) {
		if !bytes.HasSuffix(line, []byte("  ledger.jsonl\n")) {
			rest = append(rest, line...)
		}
	}
	return sum(rest)
}

// maxFile bounds files that are read whole: the manifest of a million files is
// the largest of them.
const maxFile = 256 << 20

// ReadFile reads a file of a package whole, within a bound. The error is a
// *Problem.
func ReadFile(fsys fs.FS, name string) ([]byte, error) {
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
