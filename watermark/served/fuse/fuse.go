// Package fuse builds the filters of package served, with the library of the binary
// fuse filters' authors. It stands apart so that who only reads filters, the verifier
// above all, is not built from that library.
//
// It may import watermark/served, watermark/prf and github.com/FastFilter/xorfilter.
package fuse

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/bits"
	"os"
	"slices"
	"sync"

	"github.com/FastFilter/xorfilter"

	"github.com/stillmark/stillmark/watermark/prf"
	"github.com/stillmark/stillmark/watermark/served"
)

const (
	// bucketBits: hashes are gathered in 256 buckets by their first byte, in memory
	// first and in temporary files then.
	bucketBits = served.MaxShardBits
	buckets    = 1 << bucketBits
	// bucketKeys are held in memory by a bucket, 8 bytes each: 32 MiB in all.
	bucketKeys = 1 << 14
	// shardKeys is what a shard has room for. Building one takes about 35 bytes a key,
	// 600 MB; with more than 256 such shards (4.3 billion windows) shards grow.
	shardKeys = 1 << 24
	// maxBucket: the library counts the keys of a filter in 32 bits.
	maxBucket = 1<<32 - 1
)

// Builder gathers the windows of traffic and writes a filter of them.
type Builder struct {
	head       served.Head
	key        func() *prf.WindowHash
	dir        string
	bucketKeys int
	shardKeys  uint64
	buckets    [buckets]bucket
}

type bucket struct {
	mu   sync.Mutex
	keys []uint64
	file *os.File
	n    uint64 // in the file
	err  error
}

// NewBuilder begins a filter of windows of so many tokens. secret is nil, or
// served.SecretBytes bytes without which the filter cannot be asked. random gives the
// salt: crypto/rand.Reader outside tests. Temporary files, 8 bytes for a window that
// was not seen lately, lie in dir until Close.
func NewBuilder(window int, secret []byte, random io.Reader, dir string) (*Builder, error) {
	b := &Builder{head: served.Head{Window: window, Keyed: secret != nil}, dir: dir, bucketKeys: bucketKeys, shardKeys: shardKeys}
	if _, err := io.ReadFull(random, b.head.Salt[:]); err != nil {
		return nil, fmt.Errorf("drawing the filter's salt: %w", err)
	}
	_, check, err := b.head.Key(secret)
	if err != nil {
		return nil, err
	}
	b.head.Check = check
	b.key = func() *prf.WindowHash {
		h, _, _ := b.head.Key(secret) // as above
		return h
	}
	return b, nil
}

// recent is the number of hashes that a stream remembers: half of a text's windows
// came a short while ago.
const recent = 1 << 16

// Stream takes windows, for one goroutine. Streams of one Builder may run side by side.
type Stream struct {
	b      *Builder
	hash   *prf.WindowHash
	recent []uint64
	local  [buckets][]uint64
	seen   int64
}

// Stream begins a stream.
func (b *Builder) Stream() *Stream {
	return &Stream{b: b, hash: b.key(), recent: make([]uint64, recent)}
}

// localKeys are handed to a bucket at a time, so that its lock is taken seldom.
const localKeys = 256

// Add takes a window.
func (s *Stream) Add(window []int32) error {
	s.seen++
	h := s.hash.Sum(window)
	if s.recent[h%recent] == h {
		return nil
	}
	s.recent[h%recent] = h
	i := h >> (64 - bucketBits)
	s.local[i] = append(s.local[i], h)
	if len(s.local[i]) < localKeys {
		return nil
	}
	return s.give(int(i))
}

func (s *Stream) give(i int) error {
	err := s.b.buckets[i].add(s.local[i], s.b.bucketKeys, s.b.dir)
	s.local[i] = s.local[i][:0]
	return err
}

// Flush hands over what Add has gathered. It ends a stream.
func (s *Stream) Flush() error {
	for i := range s.local {
		if err := s.give(i); err != nil {
			return err
		}
	}
	return nil
}

// Seen is the number of windows that the stream has taken.
func (s *Stream) Seen() int64 { return s.seen }

func (b *bucket) add(keys []uint64, most int, dir string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keys = append(b.keys, keys...)
	if len(b.keys) < most || b.err != nil {
		return b.err
	}
	if b.err = b.spill(dir); b.err != nil {
		b.err = fmt.Errorf("temporary file of the filter: %w", b.err)
	}
	return b.err
}

// spill moves the keys to the bucket's file.
func (b *bucket) spill(dir string) error {
	slices.Sort(b.keys)
	b.keys = slices.Compact(b.keys)
	if b.file == nil {
		f, err := os.CreateTemp(dir, ".stillmark-windows-*")
		if err != nil {
			return err
		}
		b.file = f
	}
	data := make([]byte, 0, 8*len(b.keys))
	for _, k := range b.keys {
		data = binary.LittleEndian.AppendUint64(data, k)
	}
	if _, err := b.file.Write(data); err != nil {
		return err
	}
	b.n += uint64(len(b.keys))
	b.keys = b.keys[:0]
	return nil
}

// take returns all keys of the bucket and forgets them.
func (b *bucket) take(keys []uint64) ([]uint64, error) {
	if b.file != nil {
		if _, err := b.file.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		r := bufio.NewReaderSize(b.file, 1<<16)
		var k [8]byte
		for range b.n {
			if _, err := io.ReadFull(r, k[:]); err != nil {
				return nil, err
			}
			keys = append(keys, binary.LittleEndian.Uint64(k[:]))
		}
	}
	return append(keys, b.keys...), b.close()
}

func (b *bucket) close() error {
	f := b.file
	b.keys, b.file = nil, nil
	if f == nil {
		return nil
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// Close removes the temporary files.
func (b *Builder) Close() error {
	var err error
	for i := range b.buckets {
		err = errors.Join(err, b.buckets[i].close())
	}
	return err
}

// Write builds the filter of what all streams have given and writes it. progress, if
// set, is called with the number of shards done. It returns the number of distinct
// windows.
func (b *Builder) Write(ctx context.Context, w io.Writer, progress func(done, shards int)) (n uint64, err error) {
	n, err = b.write(ctx, w, progress)
	if err != nil {
		return 0, fmt.Errorf("writing the filter: %w", err)
	}
	return n, nil
}

func (b *Builder) write(ctx context.Context, w io.Writer, progress func(done, shards int)) (uint64, error) {
	var most uint64 // windows with repetitions that the streams did not notice
	for i := range b.buckets {
		k := &b.buckets[i]
		if k.err != nil {
			return 0, k.err
		}
		most += k.n + uint64(len(k.keys))
	}
	b.head.ShardBits = min(bits.Len64(most/b.shardKeys), bucketBits)
	out := &summing{w: bufio.NewWriterSize(w, 1<<16), sum: sha256.New()}
	out.Write(b.head.Append(nil))
	var (
		distinct  uint64
		err       error
		builder   xorfilter.BinaryFuseBuilder
		keys      []uint64
		directory []byte
		buffer    []byte
	)
	shards := 1 << b.head.ShardBits
	for i := range shards {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		keys = keys[:0]
		for j := range buckets / shards {
			if keys, err = b.buckets[i*buckets/shards+j].take(keys); err != nil {
				return 0, err
			}
		}
		slices.Sort(keys)
		keys = slices.Compact(keys)
		if len(keys) > maxBucket {
			return 0, fmt.Errorf("%d windows are more than a shard has room for; build a filter for each part of the traffic", len(keys))
		}
		f, err := xorfilter.BuildBinaryFuse[uint16](&builder, keys)
		if err != nil {
			return 0, err
		}
		distinct += uint64(len(keys))
		s := served.Shard{Seed: f.Seed, N: uint64(len(keys)), SegmentLength: f.SegmentLength, SegmentCount: f.SegmentCount}
		directory = s.Append(directory)
		for prints := f.Fingerprints; len(prints) > 0; {
			part := prints[:min(len(prints), 1<<15)]
			buffer = buffer[:0]
			for _, x := range part {
				buffer = binary.LittleEndian.AppendUint16(buffer, x)
			}
			out.Write(buffer)
			prints = prints[len(part):]
		}
		if progress != nil {
			progress(i+1, shards)
		}
	}
	out.Write(directory)
	out.w.Write(out.sum.Sum(nil))
	return distinct, out.w.Flush()
}

// summing writes through a hash. A bufio.Writer keeps its first error.
type summing struct {
	w   *bufio.Writer
	sum hash.Hash
}

func (s *summing) Write(p []byte) {
	s.sum.Write(p)
	s.w.Write(p)
}
