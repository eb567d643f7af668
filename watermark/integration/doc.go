// Package integration tests the watermark in a real serving stack: llama.cpp, run in
// this process through its prebuilt libraries, behind HTTP, with the program itself
// auditing it. README.md says how to run it and what it showed.
//
// It is a module of its own: stillmark does not depend on a binding of llama.cpp.
package integration
