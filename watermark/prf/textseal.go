package prf

import "fmt"

// TextSealLevels is how many values [TextSeal] takes: 2^13 - 1.
const TextSealLevels = 1<<13 - 1

// MaxTextSealWindow is the longest window that TextSeal has primes for.
const MaxTextSealWindow = 10

// TextSeal is TextSeal's hash of a window, a token and a key
// (facebookresearch/textseal 2c63fb8, apps/common/watermark/pseudorandom.py), in
// 0 .. TextSealLevels-1. In wrapping signed 64-bit arithmetic,
//
//	h = (P_1*w_1 + ... + P_k*w_k + 100000007*token + 500001713*key) * 15485863 * 40499
//
// and the hash is h XOR (h >> 13), the shift keeping the sign, taken modulo 8191
// as Python does, never negative. TextSeal's uniform is hash/8191, in float32;
// a token is green when that is below gamma; tournament layer l hashes token+l
// at that commit. It panics when the window has more than 10 tokens.
//
// This is no PRF: it has 8191 levels and is linear in the key before the final
// mix, so that keys a small distance apart give correlated values.
func TextSeal(window []int32, token int32, key int64) int32 {
	if len(window) > MaxTextSealWindow {
		panic(fmt.Sprintf("prf: TextSeal of a window of %d, need at most %d", len(window), MaxTextSealWindow))
	}
	primes := [MaxTextSealWindow]int64{
		10000019, 10000247, 10000439, 10000643, 10000747,
		10000867, 10000993, 10001213, 10001357, 10001501,
	}
	h := 100000007*int64(token) + 500001713*key
	for i, w := range window {
		h += primes[i] * int64(w)
	}
	h = h * 15485863 * 40499
	h ^= h >> 13
	h %= TextSealLevels
	if h < 0 {
		h += TextSealLevels
	}
	return int32(h)
}
