package prf

import (
	"fmt"
	"slices"
)

// Answer is a known answer of a generator, as this program and this machine give it.
type Answer struct {
	Generator string `json:"generator"`
	Source    string `json:"source"` // of the known answer
	OK        bool   `json:"ok"`
}

// KnownAnswers asks every generator for answers that others computed, aes-ctr-v1 by
// every kind of AES instruction that the machine has. It is what a user can run where
// the program runs; the tests ask for many more.
func KnownAnswers() []Answer {
	var out []Answer
	add := func(generator, source string, ok bool) { out = append(out, Answer{generator, source, ok}) }
	for _, level := range levels() {
		add(fmt.Sprintf("aes-ctr-v1 on %v", level), "openssl command line", aesAnswer(level))
	}
	const all = 0xffffffff
	add("philox-v1", "Random123, kat_vectors", philox10([4]uint32{}, 0, 0) == [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8} &&
		philox10([4]uint32{all, all, all, all}, all, all) == [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd})
	m := NewMurmur3(0x0123456789abcdef)
	m.SetWindow([]int32{464, 3290, 318, 845})
	add("sglang-murmur3", "SGLang's code", m.Context() == 4055973819 && m.Word(13) == 2630643664)
	const vocab = 50_257
	list := NewRandperm(vocab, vocab/4).List(nil, 4057296106)
	first := []int32{47375, 29106, 18490, 7127, 43201, 8728, 4306, 32882}
	add("torch randperm", "PyTorch on a CPU", slices.Equal(list[:len(first)], first))
	for _, g := range []struct {
		name  string
		table *SynthIDTable
		want  string
	}{
		{"synthid table", NewSynthIDTable(0), "010100110101101010101000100000"},
		{"synthid hash", nil, "011001001111001101011001100000"},
	} {
		s := NewSynthID([]int64{
			654, 400, 836, 123, 340, 443, 597, 160, 57, 29, 590, 639, 13, 715, 468,
			990, 966, 226, 324, 585, 118, 504, 421, 521, 129, 669, 732, 225, 90, 960,
		}, g.table)
		s.SetWindow([]int32{2, 651, 573, 8203})
		var got []byte
		for l := range len(g.want) {
			got = append(got, '0'+byte(s.G(235265)>>l&1))
		}
		add(g.name, "SynthID-Text's code", string(got) == g.want)
	}
	return append(out, Answer{"textseal", "textseal's code", TextSeal([]int32{464, 3290}, 318, 42) == 5149})
}

// aesAnswer compares words of one window alone, in a range and in a batch.
func aesAnswer(level aesLevel) bool {
	kn := [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	kt := [16]byte{16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31}
	a := &AESCTR{}
	a.nonce.setLevel(&kn, level)
	a.token.setLevel(&kt, level)
	a.SetWindow([]int32{5, 4, 3, 2, 1, 0, 9, 8})
	words := make([]uint32, 300)
	a.Words(0, words)
	return a.Word(200018) == 1402291740 && a.Word(128255) == 1865374201 &&
		slices.Equal(words[:5], []uint32{3685081445, 3919768394, 4077924029, 3211034706, 1297360199}) && words[262] == 1573436230
}

// AESPath names what aes-ctr-v1 runs on in this process: crypto/aes, or the machine's
// instructions.
func AESPath() string {
	all := levels()
	return fmt.Sprint(all[len(all)-1])
}
