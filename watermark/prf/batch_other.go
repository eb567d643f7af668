//go:build !amd64

package prf

type batchCipher struct{ blockCipher }
