// Package serve puts models that llama.cpp runs behind HTTP, on the part of two
// servers' wires that an audit and a gateway need:
//
//   - vLLM's: /v1/completions with text or token ids as prompt, logprobs of the
//     model's own distribution, return_tokens_as_token_ids and return_token_ids;
//     /v1/chat/completions, where the template of a base model is the messages'
//     text line by line; /v1/models; /tokenize.
//   - that of llama.cpp's server: /completion with token ids and n_probs, /tokenize,
//     /apply-template, /props.
//
// A model may be served with a mark. It is neither of these servers, and was never
// compared with a running one: names and meanings are those of their documents.
// What it does not have it refuses with status 400, so that nothing is silently
// left out.
package serve
