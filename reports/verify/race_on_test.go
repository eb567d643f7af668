//go:build race

package verify

// raceDetector says that the tests run under it: see parallel.
const raceDetector = true
