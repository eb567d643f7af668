// Package corpora holds the prompt suites and the text grammar.
package corpora
