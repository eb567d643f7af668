package ledger

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// CheckpointsDir holds the signed heads of the ledger's Merkle tree.
const CheckpointsDir = "checkpoints"

// When a running writer signs a head. A thousand events are a few minutes of a fast
// run; ten minutes bound what a slow one can have forged behind the last head.
const (
	checkpointEvents   = 1000
	checkpointInterval = 10 * time.Minute
)

// maxCheckpoint bounds a checkpoint's file: three lines and a signature.
const maxCheckpoint = 4 << 10

// Checkpoints make a writer sign the head of the Merkle tree every 1,000 events or
// 10 minutes, and when it is closed, in the form of C2SP's tlog-checkpoint: a signed
// note. Whoever holds one can be shown that a line was in the ledger then.
type Checkpoints struct {
	Signer crypto.Signer // with an Ed25519 key: the one that signed the plan
	// Stamp gets an RFC 3161 token for the SHA-256 of a checkpoint. A failure is told
	// to Failed and keeps nothing from going on. Both may be nil.
	Stamp  func(digest [32]byte) (token []byte, err error)
	Failed func(error)
}

// Checkpoint is a signed head.
type Checkpoint struct {
	Size int64 // lines of the ledger
	Root Hash
	Note []byte // as signed
}

// CheckpointName is the name of a checkpoint's file in the case; its timestamp token
// has the same name with .tsr behind it.
func CheckpointName(size int64) string {
	return path.Join(CheckpointsDir, fmt.Sprintf("%010d.note", size))
}

var checkpointPattern = regexp.MustCompile(`^checkpoints/[0-9]{10}\.note(\.tsr)?$`)

// IsCheckpoint reports whether a file of a case is a checkpoint or a token over one.
func IsCheckpoint(name string) bool { return checkpointPattern.MatchString(name) }

// checkpointOrigin names the log, and the key that signs its heads. A plus would end
// a key's name.
func checkpointOrigin(caseID string) string {
	return "github.com/stillmark/stillmark/case/" + strings.ReplaceAll(caseID, "+", "%2B")
}

// noteKey is an Ed25519 key as notes know it.
type noteKey struct {
	name   string
	public ed25519.PublicKey
	signer crypto.Signer // nil: it only verifies
}

// algEd25519 is the type byte of Ed25519 keys in signed notes.
const algEd25519 = 1

func (k noteKey) Name() string { return k.name }

// KeyHash is the first four bytes of SHA-256 over name, newline, type and key.
func (k noteKey) KeyHash() uint32 {
	h := sha256.Sum256(append([]byte(k.name+"\n\x01"), k.public...))
	return binary.BigEndian.Uint32(h[:])
}

func (k noteKey) Sign(msg []byte) ([]byte, error) {
	return k.signer.Sign(rand.Reader, msg, crypto.Hash(0))
}

func (k noteKey) Verify(msg, sig []byte) bool { return ed25519.Verify(k.public, msg, sig) }

// CheckpointKey is the line by which tools for signed notes know a key (its "vkey").
func CheckpointKey(caseID string, key ed25519.PublicKey) string {
	k := noteKey{name: checkpointOrigin(caseID), public: key}
	return fmt.Sprintf("%s+%08x+%s", k.name, k.KeyHash(), base64.StdEncoding.EncodeToString(append([]byte{algEd25519}, key...)))
}

// SignCheckpoint signs the head of a case's ledger.
func SignCheckpoint(caseID string, size int64, root Hash, signer crypto.Signer) ([]byte, error) {
	public, ok := signer.Public().(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("checkpoint: the key is not an Ed25519 key")
	}
	text := fmt.Sprintf("%s\n%d\n%s\n", checkpointOrigin(caseID), size, root)
	signed, err := note.Sign(&note.Note{Text: text}, noteKey{checkpointOrigin(caseID), public, signer})
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return signed, nil
}

// OpenCheckpoint checks a checkpoint of a case against the key and reads it. It has
// this one signature and no other line. An error that is ErrSignature is about the
// signature alone.
func OpenCheckpoint(caseID string, data []byte, key ed25519.PublicKey) (Checkpoint, error) {
	if len(data) > maxCheckpoint {
		return Checkpoint{}, errors.New("checkpoint: too long")
	}
	k := noteKey{name: checkpointOrigin(caseID), public: key}
	n, err := note.Open(data, note.VerifierList(k))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: %w", ErrSignature, err)
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 4 || lines[0] != k.name || len(n.UnverifiedSigs) > 0 || len(n.Sigs) != 1 {
		return Checkpoint{}, errors.New("checkpoint: not three lines about this case and one signature")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 1 || strconv.FormatInt(size, 10) != lines[1] {
		return Checkpoint{}, errors.New("checkpoint: the size is not a number from 1 up")
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil || root.String() != lines[2] {
		return Checkpoint{}, errors.New("checkpoint: the root is not a hash")
	}
	again, err := note.Sign(&note.Note{Text: n.Text, Sigs: n.Sigs})
	if err != nil || string(again) != string(data) {
		return Checkpoint{}, errors.New("checkpoint: not in the form in which it is written")
	}
	return Checkpoint{Size: size, Root: root, Note: data}, nil
}

// write signs a head and writes it into the case, with a token where one can
// be had. One that is there already is left alone.
func (c *Checkpoints) write(dir, caseID string, size int64, root Hash) error {
	name := filepath.Join(dir, filepath.FromSlash(CheckpointName(size)))
	signed, err := SignCheckpoint(caseID, size, root, c.Signer)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return fmt.Errorf("checkpoint: %w", storage(err))
	}
	if err := WriteNewFile(name, signed, 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if c.Stamp == nil {
		return nil
	}
	token, err := c.Stamp(sha256.Sum256(signed))
	if err == nil {
		err = WriteNewFile(name+".tsr", token, 0o600)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) && c.Failed != nil {
		c.Failed(fmt.Errorf("checkpoint %d bears no timestamp: %w", size, err))
	}
	return nil
}

// WriteCheckpoint signs the present head of a case's ledger, if it has lines.
func WriteCheckpoint(dir string, c *Checkpoints) error {
	opened, err := Open(dir)
	if err != nil {
		return err
	}
	s, err := opened.State()
	if err != nil || s.Head.Events == 0 || s.Sealed {
		return err // of a sealed ledger the seal itself signs the head
	}
	return c.write(dir, opened.plan.CaseID, int64(s.Head.Events), s.tree.root())
}

// head is a state of the tree that is to be signed once its lines are on the disk.
type head struct {
	size int64
	root Hash
}

// checkpointer decides when heads are signed, and signs them apart from the writer:
// an authority may take its time.
type checkpointer struct {
	*Checkpoints
	dir, caseID string
	size        int64 // of the last head
	at          time.Time
	due         chan head
	done        chan struct{}
	err         error
}

func startCheckpoints(c *Checkpoints, dir, caseID string, size int64, now time.Time) *checkpointer {
	p := &checkpointer{Checkpoints: c, dir: dir, caseID: caseID, size: size, at: now, due: make(chan head, 64), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		for h := range p.due {
			if err := p.write(p.dir, p.caseID, h.size, h.root); err != nil && p.err == nil {
				p.err = err
			}
		}
	}()
	return p
}

// next reports whether the head of a tree of this size is to be signed now.
func (p *checkpointer) next(size int64, now time.Time) bool {
	if size-p.size < checkpointEvents && now.Sub(p.at) < checkpointInterval {
		return false
	}
	p.size, p.at = size, now
	return true
}

// stop signs the last head, if there are lines behind the one before, and waits.
func (p *checkpointer) stop(size int64, root Hash) error {
	if size > p.size {
		p.due <- head{size, root}
	}
	close(p.due)
	<-p.done
	return p.err
}
