// Package tokens holds the tokenizers.
package tokens
