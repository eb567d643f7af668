package family

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"

	"github.com/stillmark/stillmark/watermark"
)

// The format of a file of served windows, all integers little-endian:
//
//	"stillmark windows 1\n"       20 bytes
//	window length h               uint32
//	number of windows n           uint64
//	n windows of h ids            int32, in ascending order, each once
//
// It holds context windows and nothing else. What followed a window is left out
// on purpose: marked pairs of window and token are high-scoring because the mark
// chose them, so a filter on pairs would pick high scores out of anybody's text
// and make every innocent look marked.
const windowsMagic = "stillmark windows 1\n"

// Limits of a windows file: the longest window of a scheme, and a size that an
// exact set in memory can bear (at h = 2 about 20 bytes each).
const (
	maxWindow      = 64
	maxWindows     = 1 << 28
	maxWindowsFile = 1 << 32
)

// WriteWindows writes the windows of h tokens that were followed by a token in
// any of the served replies (generated tokens only), and returns how many there
// are.
func WriteWindows(w io.Writer, h int, served iter.Seq[[]int32]) (int, error) {
	if h < 1 || h > maxWindow {
		return 0, fmt.Errorf("write windows: a length of %d tokens is outside 1 .. %d", h, maxWindow)
	}
	seen := map[string]struct{}{} // big-endian ids, so that strings sort as ids do
	for ids := range served {
		for i := h; i < len(ids); i++ {
			key := make([]byte, 0, 4*h)
			for _, id := range ids[i-h : i] {
				key = binary.BigEndian.AppendUint32(key, uint32(id)^1<<31)
			}
			seen[string(key)] = struct{}{}
		}
	}
	if len(seen) > maxWindows {
		return 0, fmt.Errorf("write windows: %d windows are more than the %d of one file", len(seen), maxWindows)
	}
	keys := make([]string, 0, len(seen))
	for k := range seen {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	out := bufio.NewWriter(w)
	out.WriteString(windowsMagic)
	out.Write(binary.LittleEndian.AppendUint32(nil, uint32(h)))
	out.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(keys))))
	for _, k := range keys {
		for i := 0; i < len(k); i += 4 {
			id := binary.BigEndian.Uint32([]byte(k[i:i+4])) ^ 1<<31
			out.Write(binary.LittleEndian.AppendUint32(nil, id))
		}
	}
	if err := out.Flush(); err != nil {
		return 0, fmt.Errorf("write windows: %w", err)
	}
	return len(keys), nil
}

// ReadWindows reads a file that WriteWindows wrote and returns the set and the
// length of its windows. Anything else is an error: another order, a window
// twice, trailing bytes.
func ReadWindows(data []byte) (*watermark.WindowSet, int, error) {
	rest, ok := bytes.CutPrefix(data, []byte(windowsMagic))
	if !ok {
		return nil, 0, errors.New("read windows: this is no file of windows")
	}
	if len(rest) < 12 {
		return nil, 0, errors.New("read windows: the file ends in its head")
	}
	h, n := binary.LittleEndian.Uint32(rest), binary.LittleEndian.Uint64(rest[4:])
	rest = rest[12:]
	if h < 1 || h > maxWindow || n > maxWindows {
		return nil, 0, fmt.Errorf("read windows: %d windows of %d tokens are outside the limits", n, h)
	}
	if uint64(len(rest)) != 4*uint64(h)*n {
		return nil, 0, fmt.Errorf("read windows: %d windows of %d tokens take %d bytes, not %d", n, h, 4*uint64(h)*n, len(rest))
	}
	set := watermark.NewWindowSet(int(h))
	// The set takes the windows of a text; with one token behind it a window is
	// the only one.
	text, last := make([]int32, h+1), make([]int32, h)
	for i := range n {
		for j := range h {
			text[j] = int32(binary.LittleEndian.Uint32(rest[4*(uint64(h)*i+uint64(j)):]))
		}
		if i > 0 && slices.Compare(last, text[:h]) >= 0 {
			return nil, 0, fmt.Errorf("read windows: window %d is out of order", i)
		}
		copy(last, text)
		set.Add(text)
	}
	return set, int(h), nil
}

// WindowsName is the name under which a windows file lies in a case: its content
// is part of the plan through it.
func WindowsName(data []byte) string {
	sum := sha256.Sum256(data)
	return "filters/" + hex.EncodeToString(sum[:]) + ".windows"
}

// loadFilter reads a test's filter and checks that it is the planned one.
func loadFilter(files fs.FS, name string) (*watermark.WindowSet, int, error) {
	data, err := readCaseFile(files, name, maxWindowsFile)
	if err != nil {
		return nil, 0, fmt.Errorf("read the filter: %w", err)
	}
	if WindowsName(data) != name {
		return nil, 0, fmt.Errorf("filter %s is not the file that the plan names: its hash differs", name)
	}
	return ReadWindows(data)
}
