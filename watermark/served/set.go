package served

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/stillmark/stillmark/watermark"
)

// Windows are the context windows of served text. They are for one goroutine.
type Windows interface {
	// Window is the number of tokens of a window.
	Window() int
	// Len is the number of distinct windows.
	Len() int
	// Has reports whether a window was served. A window of another length never was.
	Has(window []int32) bool
}

// FalsePositives is the share of windows that were not served and pass for served:
// 0 for an exact set.
func FalsePositives(w Windows) float64 {
	if _, ok := w.(*Filter); ok {
		return FilterFalsePositives
	}
	return 0
}

// FilterFalsePositives is the rate of fingerprints of 16 bits.
const FilterFalsePositives = 0x1p-16

// magic begins a file of windows; FORMAT.md has the rest.
const magic = "stillmark windows 1\n"

// Limits of a file: the longest window of a scheme, and a size that an exact set in
// memory can bear (at h = 2 about 20 bytes each).
const (
	maxWindow  = 64
	MaxWindows = 1 << 28
	maxFile    = 1 << 32 // bytes
)

// Write writes an exact set.
func Write(w io.Writer, set *watermark.WindowSet) error {
	h, n := set.Window(), set.Len()
	if h > maxWindow || n > MaxWindows {
		return fmt.Errorf("write windows: %d windows of %d tokens are outside the limits of %d and %d", n, h, MaxWindows, maxWindow)
	}
	order := make([]uint32, n)
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return slices.Compare(set.At(int(a)), set.At(int(b))) })
	out := bufio.NewWriter(w)
	head := binary.LittleEndian.AppendUint32([]byte(magic), uint32(h))
	out.Write(binary.LittleEndian.AppendUint64(head, uint64(n)))
	var buffer []byte
	for _, i := range order {
		buffer = buffer[:0]
		for _, id := range set.At(int(i)) {
			buffer = binary.LittleEndian.AppendUint32(buffer, uint32(id))
		}
		out.Write(buffer)
	}
	if err := out.Flush(); err != nil { // of all writes the first error
		return fmt.Errorf("write windows: %w", err)
	}
	return nil
}

// Read reads a file of windows or a filter that needs no secret. Anything that this
// package does not write is an error: another order, a window twice, trailing bytes.
func Read(data []byte) (Windows, error) {
	if bytes.HasPrefix(data, []byte(filterMagic)) {
		return OpenFilter(bytes.NewReader(data), int64(len(data)), nil)
	}
	return readSet(data)
}

// Open opens a file of windows or a filter, which goes on to be asked from the file.
// secret is nil where there is none.
func Open(f *os.File, secret []byte) (Windows, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read windows: %w", err)
	}
	head := make([]byte, len(filterMagic))
	if n, _ := f.ReadAt(head, 0); string(head[:n]) == filterMagic {
		return OpenFilter(f, info.Size(), secret)
	}
	if secret != nil {
		return nil, fmt.Errorf("read windows: %w: it is no filter", ErrSecret)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("read windows: %d bytes are more than the %d of an exact set", info.Size(), int64(maxFile))
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("read windows: %w", err)
	}
	return readSet(data)
}

func readSet(data []byte) (*watermark.WindowSet, error) {
	rest, ok := bytes.CutPrefix(data, []byte(magic))
	if !ok {
		return nil, errors.New("read windows: this is no file of windows")
	}
	if len(rest) < 12 {
		return nil, errors.New("read windows: the file ends in its head")
	}
	h, n := binary.LittleEndian.Uint32(rest), binary.LittleEndian.Uint64(rest[4:])
	rest = rest[12:]
	if h < 1 || h > maxWindow || n > MaxWindows {
		return nil, fmt.Errorf("read windows: %d windows of %d tokens are outside the limits", n, h)
	}
	if uint64(len(rest)) != 4*uint64(h)*n {
		return nil, fmt.Errorf("read windows: %d windows of %d tokens take %d bytes, not %d", n, h, 4*uint64(h)*n, len(rest))
	}
	set := watermark.NewWindowSet(int(h))
	window, last := make([]int32, h), make([]int32, h)
	for i := range n {
		for j := range window {
			window[j] = int32(binary.LittleEndian.Uint32(rest[4*j:]))
		}
		rest = rest[4*h:]
		if i > 0 && slices.Compare(last, window) >= 0 {
			return nil, fmt.Errorf("read windows: window %d is out of order", i)
		}
		copy(last, window)
		set.Insert(window)
	}
	return set, nil
}
