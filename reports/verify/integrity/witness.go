package integrity

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/stillmark/stillmark/probe/ledger"
)

// maxWitnesses bounds the co-signatures of a seal.
const maxWitnesses = 64

// witnessFile is the name of a co-signature, or of the key that made it.
var witnessFile = regexp.MustCompile(`^report\.dsse\.witness-[0-9a-f]{16}\.(json|pem)$`)

// WitnessName is the name of a witness's envelope, beside the one of the seal.
// The witness's public key lies under the same name with .pem for .json.
func WitnessName(keyID string) string { return "report.dsse.witness-" + keyID[:16] + ".json" }

// IsWitness says whether a file of a report's folder is a co-signature or its
// key. Both come after the seal, so that no manifest of that seal lists them.
func IsWitness(name string) bool { return witnessFile.MatchString(name) }

// WitnessKey is the file of a witness's key. It holds no name: nobody would have
// signed it.
func WitnessKey(k ledger.PublicKey) []byte {
	file := k.PEM()
	return file[bytes.Index(file, []byte("-----BEGIN ")):]
}

// checkWitnesses checks the co-signatures: each over the same statement, by a key
// of its own, in the one form in which they are written.
func (s *Sealed) checkWitnesses(fsys fs.FS) error {
	entries, err := fs.ReadDir(fsys, s.Folder)
	if err != nil {
		return fmt.Errorf("look for witnesses: %w", err)
	}
	for _, e := range entries { // sorted: .json, then .pem
		if !IsWitness(e.Name()) {
			continue
		}
		stem := strings.TrimSuffix(strings.TrimSuffix(e.Name(), ".json"), ".pem")
		if strings.HasSuffix(e.Name(), ".pem") {
			if n := len(s.Witnesses); n == 0 || strings.TrimSuffix(WitnessName(s.Witnesses[n-1].KeyID), ".json") != stem {
				return problem(CodeMissing, ExitIncomplete, path.Join(s.Folder, stem+".json"), "the key of a witness is there, but not the signature")
			}
			continue
		}
		if len(s.Witnesses) == maxWitnesses {
			return problem(CodeSignature, ExitBadSignature, path.Join(s.Folder, e.Name()), "more than %d witnesses", maxWitnesses)
		}
		key, err := s.checkWitness(fsys, path.Join(s.Folder, stem))
		if err != nil {
			return err
		}
		s.Witnesses = append(s.Witnesses, key)
	}
	return nil
}

// checkWitness checks the co-signature in stem.json with the key in stem.pem.
func (s *Sealed) checkWitness(fsys fs.FS, stem string) (ledger.PublicKey, error) {
	bad := func(ending, format string, args ...any) (ledger.PublicKey, error) {
		return ledger.PublicKey{}, problem(CodeSignature, ExitBadSignature, stem+ending, format, args...)
	}
	file, err := ReadFile(fsys, stem+".pem")
	if err != nil {
		return ledger.PublicKey{}, err
	}
	keys, err := ledger.ParsePublic(file)
	if err != nil || len(keys) != 1 || !bytes.Equal(WitnessKey(keys[0]), file) {
		return bad(".pem", "not the one public key of a witness, in the form in which it is written")
	}
	key := keys[0]
	if WitnessName(key.KeyID) != path.Base(stem)+".json" {
		return bad(".pem", "not the key that the file's name says")
	}
	if key.Key.Equal(s.Signer.Key) {
		return bad(".pem", "the signer of the seal is no witness of it")
	}
	envelope, err := ReadFile(fsys, stem+".json")
	if err != nil {
		return ledger.PublicKey{}, err
	}
	payload, _, err := ledger.VerifyDSSE(envelope, ledger.PayloadInToto, []ed25519.PublicKey{key.Key})
	if err != nil {
		return bad(".json", "%v", err)
	}
	if !bytes.Equal(payload, s.Statement) {
		return bad(".json", "a witness of another statement than the sealed one")
	}
	return key, nil
}
