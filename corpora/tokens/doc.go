// Package tokens turns text into token ids and back, offline.
//
// Watermark evidence is counted in tokens, so the tokenizer is part of the
// evidence: one id that differs from what the model's own server computed is a
// unit lost, and one byte that is silently replaced is a reply altered. Three
// rules follow.
//
//   - Same ids. Built-in encodings give the ids of the reference
//     implementation, the Rust core of tiktoken; testdata holds ids made by
//     it, also for every code point. Both have the tables of Unicode 15.0: what
//     became a letter or digit later is split as a symbol, and a server whose
//     tokenizer has newer tables gives other ids for such characters.
//   - Same bytes. Decode(Encode(s)) == s for every s, valid UTF-8 or not (its
//     normal form, where a tokenizer normalizes); see [Encoding.Encode] for what
//     happens to invalid bytes.
//   - Bounded work. Merging is O(n log n) in the length of a piece, so no
//     input is quadratic; texts and pieces beyond [MaxText] and [MaxPiece] are
//     refused with an error.
//
// Special tokens such as <|endoftext|> are never produced from text: what a
// rival writes cannot inject a control token.
//
// # Encodings
//
// [Get] gives the built-in ones, cl100k and o200k, built once per process and
// shared. Their rank tables are the files that tiktoken-go-loader embeds. Splitting
// and merging are ours, for three reasons: tiktoken-go's merge is quadratic,
// its splitter turns invalid bytes into U+FFFD, and importing it links net/http,
// which the verifier must not contain. tiktoken-go is the second opinion in
// this package's tests.
//
// [LoadTiktoken] reads any .tiktoken rank file with the split pattern that
// belongs to it (the file does not say which). [LoadTokenizerJSON] reads the
// tokenizer.json of byte-level models (Llama 3, Qwen, Kimi, DeepSeek, GPT-2), with
// merge rules of its own, and gives the ids of Hugging Face's library. That library's
// regular expressions know Unicode 16.0 (as of its version 0.23.2) and other
// versions of it older ones, so that a letter or digit assigned after 15.0 can
// get other ids.
//
// The package may import the standard library, the rank files, regexp2 and
// golang.org/x/text/unicode/norm, and
// nothing else of this module.
package tokens
