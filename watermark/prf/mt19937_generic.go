//go:build !amd64

package prf

func mtGenerate(x *[(mtN + mtChunk) / 2]uint64, out *[mtChunk / 2]uint64) { mtGeneratePairs(x, out) }
