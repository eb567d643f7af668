package registry

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/stillmark/stillmark/watermark"
)

// ErrLocked: another process writes the registry.
var ErrLocked = errors.New("another process is writing the registry; try again")

// Options of a [Writer].
type Options struct {
	// Operator is who takes the steps, as the log will say.
	Operator string
	// VerifyStamp checks a third party's timestamp over a digest: the token's
	// form, imprint and signature. Without it nothing can be published.
	VerifyStamp func(token []byte, digest [sha256.Size]byte) (Stamp, error)
	// Now is the clock; nil for the system's.
	Now func() time.Time
}

// Writer takes steps in a registry. It holds the registry's lock until it is
// closed. Each step is on disk when its method returns, and after a failure it
// was not taken. A Writer is not safe for concurrent use.
type Writer struct {
	opt Options
	log *os.File
	r   *Registry
	// broken is set when the log is not known to be what r says.
	broken error
}

// Create makes an empty registry in a folder that does not exist or is empty.
func Create(dir, reason string, opt Options) error {
	if err := errors.Join(checkText("operator", opt.Operator), checkText("reason", reason)); err != nil {
		return err
	}
	if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
		return fmt.Errorf("%s is not empty and was left as it is: %w", dir, fs.ErrExist)
	}
	for _, path := range []string{dir, filepath.Join(dir, keysDir), filepath.Join(dir, commitsDir)} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return fmt.Errorf("creating the registry: %w", err)
		}
	}
	if err := checkFolders(dir); err != nil {
		return err
	}
	e := Event{Seq: 1, Time: opt.now(), Kind: EventCreated, Operator: opt.Operator, Reason: reason, Format: formatVersion}
	line, err := e.encode()
	if err != nil {
		return err
	}
	if err := watermark.WritePrivate(filepath.Join(dir, logName), append(line, '\n')); err != nil {
		return fmt.Errorf("creating the registry: %w", err)
	}
	return watermark.SyncDir(filepath.Dir(dir))
}

// now is the log's clock, to the millisecond: nothing a registry records is known
// better.
func (o Options) now() time.Time {
	now := time.Now
	if o.Now != nil {
		now = o.Now
	}
	return now().UTC().Truncate(time.Millisecond)
}

// Open opens a registry for writing. What an interrupted writer left of a line is
// cut off, and the log says so.
func Open(dir string, opt Options) (*Writer, error) {
	if err := checkText("operator", opt.Operator); err != nil {
		return nil, err
	}
	if err := checkFolders(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, logName)
	f, err := openLog(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is no key registry, it has no %s: %w", dir, logName, err)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the registry: %w", err)
	}
	w := &Writer{opt: opt, log: f}
	if err := w.open(dir); err != nil {
		f.Close()
		return nil, err
	}
	return w, nil
}

func (w *Writer) open(dir string) error {
	info, err := w.log.Stat()
	if err != nil {
		return fmt.Errorf("opening the registry: %w", err)
	}
	if err := watermark.CheckPrivate(w.log.Name(), info); err != nil {
		return err
	}
	if err := lock(w.log); err != nil {
		return fmt.Errorf("opening the registry: %w", err)
	}
	if w.r, err = read(dir, w.log, nil); err != nil {
		return err
	}
	if info, err = w.log.Stat(); err != nil {
		return fmt.Errorf("opening the registry: %w", err)
	}
	torn := info.Size() - w.r.size
	if torn == 0 {
		return nil
	}
	if err := w.log.Truncate(w.r.size); err != nil {
		return fmt.Errorf("cutting off the interrupted last line of the registry's log: %w", err)
	}
	return w.append(&Event{Kind: EventRecovered, Reason: "the last line had no end: its writer was interrupted", Torn: torn}, nil)
}

// Close gives the lock back.
func (w *Writer) Close() error { return errors.Join(unlock(w.log), w.log.Close()) }

// Registry is the registry as it stands; the next step changes it.
func (w *Writer) Registry() *Registry { return w.r }

// append checks an event, enters it, and writes its line.
func (w *Writer) append(e *Event, keys map[string]*watermark.Key) error {
	if w.broken != nil {
		return fmt.Errorf("an earlier step failed, open the registry again: %w", w.broken)
	}
	e.Seq, e.Time, e.Operator, e.Previous = int64(len(w.r.events)+1), w.opt.now(), w.opt.Operator, w.r.head
	if e.Kind == EventMoved && e.At.IsZero() {
		e.At = e.Time
	}
	if err := e.check(); err != nil {
		return &RefusedError{err.Error()}
	}
	line, err := e.encode()
	if err != nil {
		return err
	}
	if len(line) >= maxLine {
		return refuse("the entry would be longer than %d bytes", maxLine)
	}
	if err := w.r.apply(e, keys); err != nil {
		return err
	}
	if err := w.write(append(line, '\n')); err != nil {
		w.broken = err
		return fmt.Errorf("the step was not taken, the registry's log was not written: %w", err)
	}
	w.r.head = hashLine(line)
	return nil
}

// write adds bytes at the end of the log, or leaves it as it was.
func (w *Writer) write(line []byte) error {
	_, err := w.log.WriteAt(line, w.r.size)
	if err == nil {
		err = w.log.Sync()
	}
	if err != nil {
		return errors.Join(err, w.log.Truncate(w.r.size))
	}
	w.r.size += int64(len(line))
	return nil
}

// Add takes a key in, as planned. The key file is copied; whoever keeps the
// original keeps a second copy of the secret.
func (w *Writer) Add(k *watermark.Key, reason string) error {
	if err := checkText("reason", reason); err != nil {
		return &RefusedError{err.Error()}
	}
	if w.r.entries[k.ID] != nil {
		return refuse("key %s is in the registry already", k.ID)
	}
	return w.take([]*watermark.Key{k}, "", reason)
}

// Decoys draws n keys that are committed beside a key and never served, alike in
// all that a commitment shows, and takes them in. They must be committed together
// with it, and hide it the better the more they are.
func (w *Writer) Decoys(like string, n int, random io.Reader, reason string) ([]*watermark.Key, error) {
	e, err := w.r.Find(like)
	switch {
	case err != nil:
		return nil, err
	case checkText("reason", reason) != nil:
		return nil, &RefusedError{checkText("reason", reason).Error()}
	case n < 1 || n > maxDecoys:
		return nil, refuse("%d decoys are outside 1 .. %d", n, maxDecoys)
	case e.Decoy:
		return nil, refuse("key %s is a decoy itself", e.Key.ID)
	case len(e.Roots) > 0:
		return nil, refuse("key %s was committed already: decoys must stand beside it under the same root", e.Key.ID)
	}
	keys := make([]*watermark.Key, n)
	for i := range keys {
		if keys[i], err = e.Key.Alike(random); err != nil {
			return nil, fmt.Errorf("drawing a decoy: %w", err)
		}
	}
	return keys, w.take(keys, e.Key.ID, reason)
}

// maxDecoys bounds the decoys of one call.
const maxDecoys = 10_000

// take writes key files, then the line that names them. A file that is there
// already is of the same key, by a writer that was interrupted before its line.
func (w *Writer) take(keys []*watermark.Key, like, reason string) error {
	e := &Event{Kind: EventAdded, Like: like, Reason: reason}
	byID := map[string]*watermark.Key{}
	var written []string
	for _, k := range keys {
		path := w.r.keyPath(k.ID)
		err := k.Save(path)
		switch {
		case err == nil:
			written = append(written, path)
		case errors.Is(err, fs.ErrExist):
			_, err = w.r.open(k.ID, nil)
		}
		if err != nil {
			return fmt.Errorf("taking key %s in: %w", k.ID, err)
		}
		e.Keys = append(e.Keys, k.ID)
		byID[k.ID] = k
	}
	err := w.append(e, byID)
	if refused := (*RefusedError)(nil); errors.As(err, &refused) {
		for _, path := range written {
			err = errors.Join(err, os.Remove(path))
		}
	}
	return err
}

// Commit commits to keys of the registry under one Merkle root, in an order that
// says nothing about them, and to the subkeys that the masters among them derive
// for the labels: of a master with two channels the labels are accounts. No ids stand for all planned keys that were not committed
// yet; all of them must be planned.
func (w *Writer) Commit(ids, labels []string, reason string) (*watermark.Commitment, error) {
	var entries []*Entry
	if len(ids) == 0 {
		for _, e := range w.r.order {
			if e.State(w.opt.now()) == Planned && e.Serving.IsZero() && len(e.Roots) == 0 {
				entries = append(entries, e)
			}
		}
		if len(entries) == 0 {
			return nil, refuse("no planned key is without a commitment")
		}
	}
	for _, id := range ids {
		e, err := w.r.Find(id)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	if err := checkText("reason", reason); err != nil {
		return nil, &RefusedError{err.Error()}
	}
	event := &Event{Kind: EventCommitted, Reason: reason}
	var keys []*watermark.Key
	for _, e := range entries {
		if s := e.State(w.opt.now()); s != Planned {
			return nil, refuse("key %s is %s: a commitment made now would prove nothing", e.Key.ID, s)
		}
		event.Keys = append(event.Keys, e.Key.ID)
		keys = append(keys, e.Key)
		if len(labels) == 0 || e.Key.Kind != watermark.KindMaster {
			continue
		}
		for _, label := range labels {
			d, err := e.Key.DeriveFor(label)
			if err != nil {
				return nil, &RefusedError{err.Error()}
			}
			keys = append(keys, d)
		}
	}
	if len(labels) > 0 && len(keys) == len(entries) {
		return nil, refuse("labels are given, and none of the keys is a master that derives their subkeys")
	}
	slices.SortFunc(keys, func(a, b *watermark.Key) int { return cmp.Compare(a.ID, b.ID) })
	c, err := watermark.NewCommitment(keys...)
	if err != nil {
		return nil, &RefusedError{err.Error()}
	}
	data, err := c.Encode()
	if err != nil {
		return nil, fmt.Errorf("committing: %w", err)
	}
	if len(data) > maxCommitment {
		return nil, refuse("the commitment has %d bytes; the limit is %d: commit to fewer labels at a time", len(data), maxCommitment)
	}
	slices.Sort(event.Keys)
	sum := sha256.Sum256(data)
	event.Root, event.Leaves, event.SHA256 = c.Root, len(keys), hex.EncodeToString(sum[:])
	if err := writeSame(w.r.CommitmentPath(c.Root), data); err != nil {
		return nil, fmt.Errorf("writing the commitment: %w", err)
	}
	return c, w.append(event, nil)
}

// CommitmentDigest is the SHA-256 of a commitment's file, which is what gets
// timestamped. The file is checked against the log.
func (r *Registry) CommitmentDigest(root string) ([sha256.Size]byte, error) {
	c := r.byRoot[root]
	if c == nil {
		return [sha256.Size]byte{}, fmt.Errorf("commitment %s: %w", root, ErrUnknown)
	}
	data, err := watermark.ReadPrivate(r.CommitmentPath(root), maxCommitment)
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	sum := sha256.Sum256(data)
	if hex.EncodeToString(sum[:]) != c.SHA256 {
		return sum, fmt.Errorf("the file of the commitment %s is not what was committed: %w", root, watermark.ErrMalformed)
	}
	return sum, nil
}

// Publish enters the timestamp that a third party put on a commitment.
func (w *Writer) Publish(root string, token []byte, reason string) (Stamp, error) {
	if w.opt.VerifyStamp == nil {
		return Stamp{}, errors.New("timestamps cannot be verified here, so nothing is published")
	}
	digest, err := w.r.CommitmentDigest(root)
	if err != nil {
		return Stamp{}, err
	}
	stamp, err := w.opt.VerifyStamp(token, digest)
	if err != nil {
		return Stamp{}, &RefusedError{fmt.Sprintf("the timestamp does not belong to the commitment %s: %v", root, err)}
	}
	stamp.Time, stamp.Latest = stamp.Time.UTC(), stamp.Latest.UTC()
	if c := w.r.byRoot[root]; len(c.Stamps) > 0 {
		return Stamp{}, refuse("the commitment %s bears a timestamp already", root)
	}
	if err := checkText("reason", reason); err != nil {
		return Stamp{}, &RefusedError{err.Error()}
	}
	// An interrupted writer may have left another token: it was never entered.
	path := w.r.CommitmentPath(root) + stampSuffix
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Stamp{}, fmt.Errorf("writing the timestamp: %w", err)
	}
	if err := watermark.WritePrivate(path, token); err != nil {
		return Stamp{}, fmt.Errorf("writing the timestamp: %w", err)
	}
	return stamp, w.append(&Event{Kind: EventPublished, Reason: reason, Root: root, Stamp: &stamp}, nil)
}

// Move is a step of a key.
type Move struct {
	To     State
	Reason string
	// At is when the step takes effect; zero for now. It may lie in the future,
	// and in the past where the log comes late: both times are kept.
	At time.Time
	// Replaces is the key that serves the slot until then, and retires.
	Replaces string
	// Exploratory lets a key be served that no commitment published before
	// covers: nothing under it can be exact evidence, and the log says so.
	Exploratory bool
}

// Move takes a key to another state.
func (w *Writer) Move(id string, m Move) (*Entry, error) {
	k, err := w.r.Find(id)
	if err != nil {
		return nil, err
	}
	e := &Event{Kind: EventMoved, Keys: []string{k.Key.ID}, State: m.To, Reason: m.Reason}
	if !m.At.IsZero() {
		e.At = m.At.UTC().Truncate(time.Millisecond)
	}
	if m.Replaces != "" {
		other, err := w.r.Find(m.Replaces)
		if err != nil {
			return nil, err
		}
		e.Replaces = other.Key.ID
	}
	if m.To == Serving && m.Exploratory {
		at := e.At
		if at.IsZero() {
			at = w.opt.now()
		}
		_, e.Exploratory = w.r.Covered(k, at)
	}
	if err := w.append(e, nil); err != nil {
		return nil, err
	}
	return k, nil
}

// writeSame is WritePrivate that accepts a file which holds the data already.
func writeSame(path string, data []byte) error {
	err := watermark.WritePrivate(path, data)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	old, err := watermark.ReadPrivate(path, maxCommitment)
	if err == nil && !bytes.Equal(old, data) {
		err = fmt.Errorf("%s exists and holds something else: %w", path, fs.ErrExist)
	}
	return err
}
