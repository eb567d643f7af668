package canary

import "testing"

// BenchmarkBit is one item's bit: a redraw of 1,000 items costs a thousand.
func BenchmarkBit(b *testing.B) {
	secret := drawSecret()
	for b.Loop() {
		Bit(secret, "order-sea-gulls-terns", "1")
	}
}

// BenchmarkRotation is one schedule of 48 slots. The exact law is a convolution
// over the slots; 1e7 redraws instead would cost ten million of these.
func BenchmarkRotation(b *testing.B) {
	secret := drawSecret()
	for b.Loop() {
		Rotation(secret, 48, 2)
	}
}

// BenchmarkReadResponses reads a reply of 2 kB that is full of numbers.
func BenchmarkReadResponses(b *testing.B) {
	var reply string
	for i := range 100 {
		reply += Response(drawSecret(), string(rune('a'+i%26))) + " and 1234, "
	}
	b.SetBytes(int64(len(reply)))
	for b.Loop() {
		ReadResponses(reply)
	}
}
