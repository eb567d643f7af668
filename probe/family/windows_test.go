package family

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestWindowsFile(t *testing.T) {
	t.Parallel()
	served := [][]int32{{5, 6, 7}, {5, 6, 8}, {1, 2}, {9, -1, 3, 4}}
	var a, b bytes.Buffer
	n, err := WriteWindows(&a, 2, slices.Values(served))
	if err != nil || n != 3 {
		t.Fatalf("%d windows, %v; want (5,6), (9,-1), (-1,3)", n, err)
	}
	slices.Reverse(served)
	if _, err := WriteWindows(&b, 2, slices.Values(served)); err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("the order of the replies changed the file")
	}
	set, h, err := ReadWindows(a.Bytes())
	if err != nil || h != 2 || set.Len() != 3 {
		t.Fatalf("read %d windows of %d: %v", set.Len(), h, err)
	}
	for _, w := range [][]int32{{5, 6}, {9, -1}, {-1, 3}} {
		if !set.Has(w) {
			t.Errorf("%v is missing", w)
		}
	}
	for _, w := range [][]int32{{6, 7}, {1, 2}, {3, 4}, {6, 5}} {
		if set.Has(w) {
			t.Errorf("%v was never followed by a token", w)
		}
	}
	whole := a.Bytes()
	for name, data := range map[string][]byte{
		"empty":     nil,
		"cut head":  whole[:len(windowsMagic)+5],
		"cut":       whole[:len(whole)-1],
		"trailing":  append(bytes.Clone(whole), 0),
		"other":     []byte(strings.Repeat("x", 40)),
		"unordered": slices.Concat(whole[:len(windowsMagic)+12], whole[len(whole)-8:], whole[len(windowsMagic)+12:len(whole)-8]),
	} {
		if _, _, err := ReadWindows(data); err == nil {
			t.Errorf("%s: was read", name)
		}
	}
	if _, err := WriteWindows(&a, 0, slices.Values(served)); err == nil {
		t.Error("windows of no tokens were written")
	}
}

func FuzzReadWindows(f *testing.F) {
	var b bytes.Buffer
	if _, err := WriteWindows(&b, 2, slices.Values([][]int32{{1, 2, 3}, {4, 5, 6, 7}})); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(windowsMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, h, err := ReadWindows(data)
		if err != nil {
			return
		}
		if want := len(windowsMagic) + 12 + 4*h*set.Len(); want != len(data) {
			t.Errorf("%d windows of %d tokens were read from %d bytes, want %d", set.Len(), h, len(data), want)
		}
	})
}
