package served

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/stillmark/stillmark/watermark"
)

func setOf(h int, texts ...[]int32) *watermark.WindowSet {
	set := watermark.NewWindowSet(h)
	for _, ids := range texts {
		set.Add(ids)
	}
	return set
}

func TestSetFile(t *testing.T) {
	t.Parallel()
	texts := [][]int32{{5, 6, 7}, {5, 6, 8}, {1, 2}, {9, -1, 3, 4}}
	var a, b bytes.Buffer
	if err := Write(&a, setOf(2, texts...)); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(texts)
	if err := Write(&b, setOf(2, texts...)); err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("the order of the texts changed the file")
	}
	set, err := Read(a.Bytes())
	if err != nil || set.Window() != 2 || set.Len() != 3 || FalsePositives(set) != 0 {
		t.Fatalf("read %d windows of %d: %v; want (5,6), (9,-1), (-1,3)", set.Len(), set.Window(), err)
	}
	for _, w := range [][]int32{{5, 6}, {9, -1}, {-1, 3}} {
		if !set.Has(w) {
			t.Errorf("%v is missing", w)
		}
	}
	for _, w := range [][]int32{{6, 7}, {1, 2}, {3, 4}, {6, 5}, {5}, {5, 6, 7}} {
		if set.Has(w) {
			t.Errorf("%v was never followed by a token", w)
		}
	}
	whole := a.Bytes()
	for name, data := range map[string][]byte{
		"empty":     nil,
		"cut head":  whole[:len(magic)+5],
		"cut":       whole[:len(whole)-1],
		"trailing":  append(bytes.Clone(whole), 0),
		"other":     []byte(strings.Repeat("x", 40)),
		"unordered": slices.Concat(whole[:len(magic)+12], whole[len(whole)-8:], whole[len(magic)+12:len(whole)-8]),
		"twice":     slices.Concat(whole[:len(magic)+12], whole[len(magic)+12:][:8], whole[len(magic)+12:][:8], whole[len(whole)-8:]),
	} {
		if _, err := Read(data); err == nil {
			t.Errorf("%s: was read", name)
		}
	}
	if err := Write(&a, watermark.NewWindowSet(65)); err == nil {
		t.Error("windows of 65 tokens were written")
	}
}

func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	if err := Write(&b, setOf(2, []int32{1, 2, 3}, []int32{4, 5, 6, 7})); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := Read(data)
		if err != nil {
			return
		}
		exact, ok := set.(*watermark.WindowSet)
		if !ok {
			return
		}
		var again bytes.Buffer
		if err := Write(&again, exact); err != nil || !bytes.Equal(again.Bytes(), data) {
			t.Errorf("%q was read and is written as %q (%v)", data, again.Bytes(), err)
		}
	})
}
