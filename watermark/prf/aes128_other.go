//go:build !amd64

package prf

// aes128 is AES-128 under one key in the three shapes that this package needs; see
// aes128_amd64.go.
type aes128 struct{ stdAES }

type aesLevel string

func levels() []aesLevel { return []aesLevel{stdPath} }

func (c *aes128) setLevel(key *[16]byte, _ aesLevel) { c.set(key) }
