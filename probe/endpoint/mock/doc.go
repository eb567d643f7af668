// Package mock is an OpenAI-compatible server in front of any text generator:
// chat completions and completions, streamed and not, with log-probabilities,
// echo, usage and a model list. It serves the rivals of the first run and the
// tests, and it can misbehave as real servers do, by a script of faults. For
// generators with a tokenizer it also takes prompts of token ids, names the tokens
// of log-probabilities by their ids and has /tokenize and /detokenize, as vLLM does.
//
// Given model, prompt and seed the answer is always the same. The server listens
// on 127.0.0.1 only. It imports the standard library only.
package mock
