package strength

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// stateFile keeps the p-values of a case. Its form is a header (8 bytes of magic,
// 32 of what was drawn) and then, for each shard in turn, the p-values as
// little-endian float64 and the CRC-32 (IEEE) of these bytes. A shard stands at a
// place of its own and has one content, so that a run that was killed in the
// middle of a shard, or two at once, leave nothing wrong behind.
type stateFile struct {
	f      *os.File
	record int64
}

const (
	stateMagic  = "stmkcal1"
	stateHeader = len(stateMagic) + sha256.Size
)

// identity is what a state file holds p-values of.
func (d *drawing) identity() ([]byte, error) {
	spec, err := json.Marshal(d.Spec)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%x %s %s %d %d", d.seed, spec, d.Weights, d.Units, d.shard))
	return append([]byte(stateMagic), sum[:]...), nil
}

// restore opens the case's file in a folder, makes it where there is none, and
// takes the shards that are in it.
func (d *drawing) restore(ctx context.Context, dir string) error {
	want, err := d.identity()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	path := filepath.Join(dir, strings.NewReplacer("/", ",", ":", "-").Replace(d.Labels)+".p")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	d.file = &stateFile{f, int64(8*d.shard + 4)}
	head := make([]byte, stateHeader)
	switch n, err := f.ReadAt(head, 0); {
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("reading %s: %w", path, err)
	case n < stateHeader && bytes.HasPrefix(want, head[:n]): // new, or killed at once
		_, err := f.WriteAt(want, 0)
		return err
	case !bytes.Equal(head, want):
		return &UsageError{fmt.Sprintf("%s holds keys of another seed or case; give another state folder, or remove that one", path)}
	}
	for len(d.p) < d.Keys {
		u, ok, err := d.file.read(len(d.p) / d.shard)
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		if !ok {
			break
		}
		d.p = append(d.p, u...)
	}
	if len(d.p) == 0 {
		return nil
	}
	again, err := d.draw(ctx, 0, min(d.shard, prefixKeys))
	if err != nil {
		return err
	}
	for i, u := range again {
		if !sameP(u, d.p[i]) {
			return &UsageError{fmt.Sprintf("%s was drawn by another version of the program, which gives other p-values; remove the state folder", path)}
		}
	}
	return nil
}

// sameP compares two computations of one p-value: processors that fuse
// multiplications and additions differ in the last digits.
func sameP(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Abs(b) }

func (s *stateFile) read(shard int) (u []float64, ok bool, err error) {
	record := make([]byte, s.record)
	if _, err := s.f.ReadAt(record, int64(stateHeader)+int64(shard)*s.record); err != nil {
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return nil, false, err
	}
	body := record[:len(record)-4]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(record[len(body):]) {
		return nil, false, nil
	}
	u = make([]float64, len(body)/8)
	for i := range u {
		u[i] = math.Float64frombits(binary.LittleEndian.Uint64(body[8*i:]))
	}
	return u, true, nil
}

func (s *stateFile) write(shard int, u []float64) error {
	record := make([]byte, 0, s.record)
	for _, x := range u {
		record = binary.LittleEndian.AppendUint64(record, math.Float64bits(x))
	}
	record = binary.LittleEndian.AppendUint32(record, crc32.ChecksumIEEE(record))
	if _, err := s.f.WriteAt(record, int64(stateHeader)+int64(shard)*s.record); err != nil {
		return fmt.Errorf("keeping what was drawn: %w", err)
	}
	return s.f.Sync()
}

func (d *drawing) close() {
	if d.file != nil {
		d.file.f.Close()
	}
}
