// Package watermark marks the text of a language model under a secret key and
// finds that mark again, in any text.
package watermark
