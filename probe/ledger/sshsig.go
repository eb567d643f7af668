package ledger

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// SSHNamespace is the namespace of the SSH signatures of this program: a signature
// of one namespace is none of another.
const SSHNamespace = "stillmark"

const (
	sshMagic = "SSHSIG"
	sshType  = "ssh-ed25519"
	sshHash  = "sha512"
	sshBegin = "-----BEGIN SSH SIGNATURE-----"
	sshEnd   = "-----END SSH SIGNATURE-----"
)

// sshString is a string as SSH writes it: its length in four bytes, then its bytes.
func sshString(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}

// sshKey is a public key as SSH writes it (RFC 8709).
func sshKey(key ed25519.PublicKey) string {
	return string(sshString(sshString(nil, sshType), string(key)))
}

// sshPreimage is what an SSH signature of a message signs (OpenSSH, PROTOCOL.sshsig).
func sshPreimage(message []byte) []byte {
	sum := sha512.Sum512(message)
	b := []byte(sshMagic)
	for _, s := range []string{SSHNamespace, "", sshHash, string(sum[:])} {
		b = sshString(b, s)
	}
	return b
}

// SignSSH signs a message in the form that ssh-keygen -Y verify reads, with an
// Ed25519 key.
func SignSSH(message []byte, signer crypto.Signer) ([]byte, error) {
	key, ok := signer.Public().(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("ssh signature: the key is not an Ed25519 key")
	}
	value, err := signer.Sign(rand.Reader, sshPreimage(message), crypto.Hash(0))
	if err != nil {
		return nil, fmt.Errorf("ssh signature: %w", err)
	}
	return encodeSSH(key, value), nil
}

// encodeSSH writes a signature with its armour: lines of 70 characters.
func encodeSSH(key ed25519.PublicKey, value []byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte(sshMagic), 1)
	for _, s := range []string{sshKey(key), SSHNamespace, "", sshHash, string(sshString(sshString(nil, sshType), string(value)))} {
		b = sshString(b, s)
	}
	var out bytes.Buffer
	out.WriteString(sshBegin + "\n")
	for text := base64.StdEncoding.EncodeToString(b); text != ""; {
		n := min(70, len(text))
		out.WriteString(text[:n] + "\n")
		text = text[n:]
	}
	out.WriteString(sshEnd + "\n")
	return out.Bytes()
}

// VerifySSH checks a signature that [SignSSH] made with the key, and no other form
// of one.
func VerifySSH(signature, message []byte, key ed25519.PublicKey) error {
	armour := strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(string(signature), sshBegin+"\n"), sshEnd+"\n"), "\n", "")
	raw, err := base64.StdEncoding.DecodeString(armour)
	if err != nil || len(raw) < ed25519.SignatureSize {
		return errors.New("ssh signature: it is not in the form of SSH signatures")
	}
	value := raw[len(raw)-ed25519.SignatureSize:]
	if !bytes.Equal(encodeSSH(key, value), signature) {
		return errors.New("ssh signature: it is of another key or namespace, or not in the form in which it is written")
	}
	if !ed25519.Verify(key, sshPreimage(message), value) {
		return errors.New("ssh signature: it does not fit what was signed")
	}
	return nil
}

// AllowedSigner is the line of the key in a file of allowed signers, which
// ssh-keygen -Y verify wants; principal is the name to give it there.
func (k PublicKey) AllowedSigner(principal string) []byte {
	return fmt.Appendf(nil, "%s namespaces=\"%s\" %s %s\n", principal, SSHNamespace, sshType, base64.StdEncoding.EncodeToString([]byte(sshKey(k.Key))))
}
