package served

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/stillmark/stillmark/watermark/prf"
)

// filterMagic begins a filter; FORMAT.md has the rest.
const filterMagic = "stillmark windows fuse16 1\n"

// Sizes of a filter's parts in bytes.
const (
	SecretBytes = 32
	saltBytes   = 16
	checkBytes  = 8
	headBytes   = len(filterMagic) + 4 + 4 + saltBytes + checkBytes + 4
	shardBytes  = 8 + 8 + 4 + 4
)

// Limits of a filter. The library that builds shards takes segments of at most 2^18
// fingerprints.
const (
	MaxShardBits    = 8
	maxSegment      = 1 << 18
	maxFingerprints = 1 << 32
)

// ErrSecret says that a filter needs a secret, or another one than was given.
var ErrSecret = errors.New("wrong secret for this filter")

// Head is what a filter says of itself.
type Head struct {
	Window    int // tokens
	Keyed     bool
	Salt      [saltBytes]byte
	Check     [checkBytes]byte
	ShardBits int
}

// Append appends the head's bytes.
func (h *Head) Append(b []byte) []byte {
	b = append(b, filterMagic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(h.Window))
	keyed := uint32(0)
	if h.Keyed {
		keyed = 1
	}
	b = binary.LittleEndian.AppendUint32(b, keyed)
	b = append(append(b, h.Salt[:]...), h.Check[:]...)
	return binary.LittleEndian.AppendUint32(b, uint32(h.ShardBits))
}

func parseHead(b []byte) (Head, error) {
	var h Head
	rest, ok := bytes.CutPrefix(b, []byte(filterMagic))
	if !ok {
		return h, errors.New("this is no filter of served windows")
	}
	if len(b) < headBytes {
		return h, errors.New("the file ends in its head")
	}
	window, keyed := binary.LittleEndian.Uint32(rest), binary.LittleEndian.Uint32(rest[4:])
	rest = rest[8:]
	rest = rest[copy(h.Salt[:], rest):]
	rest = rest[copy(h.Check[:], rest):]
	shardBits := binary.LittleEndian.Uint32(rest)
	if window < 1 || window > maxWindow || keyed > 1 || shardBits > MaxShardBits {
		return h, fmt.Errorf("windows of %d tokens in 2^%d shards (keyed %d) are outside the limits", window, shardBits, keyed)
	}
	h.Window, h.Keyed, h.ShardBits = int(window), keyed == 1, int(shardBits)
	if !h.Keyed && h.Check != [checkBytes]byte{} {
		return h, errors.New("it has no secret, but the check of one")
	}
	return h, nil
}

// Key is the hash under which the filter keeps its windows, keyed with the salt alone
// (secret nil) or with the secret and the salt, and the check value of the secret.
func (h *Head) Key(secret []byte) (*prf.WindowHash, [checkBytes]byte, error) {
	var check [checkBytes]byte
	if secret == nil {
		return prf.NewWindowHash(h.Salt), check, nil
	}
	if len(secret) != SecretBytes {
		return nil, check, fmt.Errorf("the secret has %d bytes, not %d", len(secret), SecretBytes)
	}
	out, err := hkdf.Key(sha256.New, secret, h.Salt[:], "stillmark served windows 1", 16+checkBytes)
	if err != nil {
		return nil, check, fmt.Errorf("deriving the hash's key: %w", err)
	}
	copy(check[:], out[16:])
	return prf.NewWindowHash([16]byte(out[:16])), check, nil
}

// Shard is the filter of the windows whose hashes begin with the shard's number.
type Shard struct {
	Seed          uint64
	N             uint64 // distinct hashes
	SegmentLength uint32 // a power of two
	SegmentCount  uint32 // without the last two
	at            int64  // of the fingerprints in the file
}

// Append appends the shard's entry in the directory.
func (s *Shard) Append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, s.Seed)
	b = binary.LittleEndian.AppendUint64(b, s.N)
	b = binary.LittleEndian.AppendUint32(b, s.SegmentLength)
	return binary.LittleEndian.AppendUint32(b, s.SegmentCount)
}

// fingerprints is their number.
func (s *Shard) fingerprints() uint64 { return (uint64(s.SegmentCount) + 2) * uint64(s.SegmentLength) }

// Filter is a binary fuse filter with 16-bit fingerprints (Graf and Lemire, "Binary
// fuse filters: fast and smaller than xor filters", J. Experimental Algorithmics 27,
// 2022), in shards. A window that was served is always found; one that was not, with
// probability 2^-16. It reads three fingerprints for a question and holds nothing
// but the directory, so that a filter of any size can be asked from its file.
type Filter struct {
	head   Head
	hash   *prf.WindowHash
	shards []Shard
	n      int
	r      io.ReaderAt
	err    error
	// What passes through an interface would escape to the heap if it were local.
	scratch [2]byte
}

// OpenFilter checks a filter's form and its SHA-256, for which it reads it once. The
// secret is nil for a filter that has none. ErrSecret says that it has one, or not
// this.
func OpenFilter(r io.ReaderAt, size int64, secret []byte) (*Filter, error) {
	f, err := openFilter(r, size, secret)
	if err != nil {
		return nil, fmt.Errorf("read filter of windows: %w", err)
	}
	return f, nil
}

func openFilter(r io.ReaderAt, size int64, secret []byte) (*Filter, error) {
	buffer := make([]byte, headBytes)
	n, err := r.ReadAt(buffer, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	head, err := parseHead(buffer[:n])
	if err != nil {
		return nil, err
	}
	f := &Filter{head: head, r: r, shards: make([]Shard, 1<<head.ShardBits)}
	directory := make([]byte, len(f.shards)*shardBytes+sha256.Size)
	at := size - int64(len(directory))
	if at < int64(headBytes) {
		return nil, errors.New("the file is cut off")
	}
	if _, err := r.ReadAt(directory, at); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	next := int64(headBytes)
	for i := range f.shards {
		d := directory[i*shardBytes:]
		s := Shard{
			Seed: binary.LittleEndian.Uint64(d), N: binary.LittleEndian.Uint64(d[8:]),
			SegmentLength: binary.LittleEndian.Uint32(d[16:]), SegmentCount: binary.LittleEndian.Uint32(d[20:]), at: next,
		}
		if bits.OnesCount32(s.SegmentLength) != 1 || s.SegmentLength > maxSegment || s.SegmentCount < 1 ||
			s.fingerprints() > maxFingerprints || s.N > s.fingerprints() {
			return nil, fmt.Errorf("shard %d is not of a valid shape", i)
		}
		next += 2 * int64(s.fingerprints())
		f.n += int(s.N)
		f.shards[i] = s
	}
	if next != at {
		return nil, fmt.Errorf("the shards end at byte %d, not at %d", next, at)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(r, 0, size-sha256.Size)); err != nil {
		return nil, err
	}
	if !bytes.Equal(sum.Sum(nil), directory[len(directory)-sha256.Size:]) {
		return nil, errors.New("its SHA-256 differs: the file was changed or damaged")
	}
	if head.Keyed && secret == nil {
		return nil, fmt.Errorf("%w: it was made with one, and none is given", ErrSecret)
	}
	if !head.Keyed && secret != nil {
		return nil, fmt.Errorf("%w: it was made without", ErrSecret)
	}
	hash, check, err := head.Key(secret)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(check[:], head.Check[:]) != 1 {
		return nil, ErrSecret
	}
	f.hash = hash
	return f, nil
}

// Window is the number of tokens of a window.
func (f *Filter) Window() int { return f.head.Window }

// Len is the number of distinct windows.
func (f *Filter) Len() int { return f.n }

// Keyed reports whether the filter has a secret, without which it cannot be asked.
func (f *Filter) Keyed() bool { return f.head.Keyed }

// Shards is their number.
func (f *Filter) Shards() int { return len(f.shards) }

// Has reports whether a window was served, or passes for it. After a failure to read
// the answer is no; see Err.
func (f *Filter) Has(window []int32) bool {
	if len(window) != f.head.Window || f.err != nil {
		return false
	}
	key := f.hash.Sum(window)
	s := &f.shards[key>>1>>(63-f.head.ShardBits)] // a shift by 64 would be by none
	// The library's hashing: murmur64 of key + seed, the three places, the fingerprint.
	x := murmur64(key + s.Seed)
	high, _ := bits.Mul64(x, uint64(s.SegmentCount)*uint64(s.SegmentLength))
	p0 := uint32(high)
	p1, p2 := p0+s.SegmentLength, p0+2*s.SegmentLength
	p1 ^= uint32(x>>18) & (s.SegmentLength - 1)
	p2 ^= uint32(x) & (s.SegmentLength - 1)
	return uint16(x^x>>32) == f.fingerprint(s, p0)^f.fingerprint(s, p1)^f.fingerprint(s, p2) && f.err == nil
}

func (f *Filter) fingerprint(s *Shard, i uint32) uint16 {
	if _, err := f.r.ReadAt(f.scratch[:], s.at+2*int64(i)); err != nil {
		f.err = fmt.Errorf("read filter of windows: %w", err)
	}
	return binary.LittleEndian.Uint16(f.scratch[:])
}

// Err is the first failure to read while the filter was asked.
func (f *Filter) Err() error { return f.err }

// murmur64 is the finaliser of MurmurHash3 (Appleby, public domain).
func murmur64(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
