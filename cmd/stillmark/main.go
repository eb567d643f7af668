// Command stillmark tells whether a language model was trained on another
// model's outputs, in a form that the other side can verify alone.
//
// The commands follow the data's way: key, watermark, target, probe, analyze,
// report, verify. Each prints its result on standard output (text for people,
// or --json) and everything else on standard error. A first look, with no key
// and no network:
//
//	stillmark quickstart
package main

import (
	"os"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
