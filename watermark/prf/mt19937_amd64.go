package prf

// mtGenerate is mtGeneratePairs four words at a time, in SSE2, which every
// amd64 machine has: more than twice as fast. A detector's decoy keys cost
// hundreds of permutations per token, and making words is most of that cost.
//
//go:noescape
func mtGenerate(x *[(mtN + mtChunk) / 2]uint64, out *[mtChunk / 2]uint64)
