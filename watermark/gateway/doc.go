// Package gateway marks what a model server serves: an OpenAI-compatible reverse proxy
// that draws each token itself, under a key, from the distribution that the server
// gives for it.
//
//	server, err := gateway.New(ctx, gateway.Options{
//		Upstream:  gateway.UpstreamOptions{URL: "http://127.0.0.1:8000"},
//		Keys:      gateway.OneKey(key),
//		Tokenizer: encoding, // the key's
//		Ends:      []int32{eos},
//	})
//	err = server.Run(ctx, listener, nil, 30*time.Second)
//
// # What an upstream must have
//
// [New] asks for all of it and refuses to start with a sentence that names what is
// missing. All bodies are JSON; members that are not named here are ignored.
//
// Wire "vllm" (vLLM's server; paths below the URL, which may end in /v1):
//
//	GET  /v1/models        {"data":[{"id":"nova","max_model_len":8192}]}; max_model_len may
//	                       be absent: then the context is not known
//	POST /v1/completions   {"model":"nova","max_tokens":1,"temperature":1,"top_p":1,"top_k":0,
//	                        "min_p":0,"repetition_penalty":1,"presence_penalty":0,
//	                        "frequency_penalty":0,"n":1,"stream":false,"logprobs":20,
//	                        "return_tokens_as_token_ids":true,"add_special_tokens":false,
//	                        "prompt":[791,4062]}
//	                    -> {"choices":[{"logprobs":{"top_logprobs":[{"token_id:14198":-1.9,…}]}}]}
//	                       as many as asked for (what is more, as where vLLM adds the token
//	                       that it sampled, is left out), the model's own natural
//	                       log-probabilities (vLLM's logprobs-mode raw_logprobs, its default;
//	                       processed_logprobs is the same at these settings)
//	POST /tokenize         {"model":"nova","prompt":"text","add_special_tokens":true}
//	                    -> {"tokens":[791,4062]}
//	                       404 where there is none: then Options.TrustTokenizer must be set,
//	                       and prompts are encoded here, without BOS
//	POST /tokenize         {"model":"nova","messages":[…],"tools":[…],"add_generation_prompt":true}
//	                    -> {"tokens":[…]}; for chats only; tools only where there are some
//
// Wire "llamacpp" (llama.cpp's server):
//
//	GET  /props            {"default_generation_settings":{"n_ctx":4096},"model_alias":"nova"}
//	POST /completion       {"n_predict":1,"n_probs":20,"post_sampling_probs":false,"temperature":1,
//	                        "samplers":[],"repeat_penalty":1,"presence_penalty":0,
//	                        "frequency_penalty":0,"cache_prompt":true,"stream":false,
//	                        "prompt":[791,4062]}
//	                    -> {"completion_probabilities":[{"top_logprobs":[{"id":14198,"logprob":-1.9},…]}]}
//	                       of the logits before any sampler; only the first entry is read
//	POST /tokenize         {"content":"text","add_special":true,"parse_special":true}
//	                    -> {"tokens":[791,4062]}; as for vllm where it is missing
//	POST /apply-template   {"messages":[…],"tools":[…]} -> {"prompt":"…"}; for chats only
//
// An error is a status from 400 on, with {"error":{"message":"…","code":"…"}}. 429 and 5xx are
// asked again, three times in all, after a Retry-After of at most five seconds.
//
// The check compares the upstream's tokenizer with the key's on a few texts, asks for
// the candidates of one step, and for the same again: log-probabilities that move by a
// quarter of a nat are no distribution to sample from.
//
// # What is drawn
//
// At each step the upstream names its K most probable tokens with their
// log-probabilities at temperature 1. The request's temperature, min_p, top_k and top_p
// are applied in this order, as vLLM does; the scheme marks what is left; the token is
// drawn. A request with top_k at most K, or at temperature 1 with a nucleus that lies
// within the K, gets exactly the distribution that it asks for. At other temperatures
// the share of what was not named is only bounded: top_p is then taken of the named
// tokens alone, so that none is drawn that it excludes, and a few may be lost that it
// would have kept. What is lost in all, two figures of every reply say: the probability
// at temperature 1 of what the upstream did not name (missing_mass, measured), and the
// Kullback-Leibler divergence of what is drawn from what was asked for (kl_nats: exact
// at temperature 1 without top_k and min_p, else an upper bound).
//
// Windows are built of generated tokens, unless the key says that they reach into the
// prompt; a window that occurred before in the reply is left alone where the key says
// so. At temperature 0 the most probable token is taken: a scheme that draws marks
// nothing then, and the log says so; one that adds to logits (kgw and the presets of
// green lists) adds to the logits of temperature 1, and the highest is taken. A seed
// fixes what is drawn, as far as the upstream's log-probabilities repeat; a reply is
// the same for the same key only. With top_k 1 there is nothing to choose, and nothing
// is marked.
//
// # What is never done
//
// A reply is not altered, and no part of one passes for a whole: characters and stop
// sequences are never cut across chunks, special tokens have no text, and when the
// upstream fails under way the stream ends with an error event, without a finish
// reason and without [DONE]. What would have to change a reply in a way that the
// gateway cannot follow is refused by name with status 400: n above 1, logprobs,
// response_format, penalties, logit_bias, and every member that is not known here.
// What the model writes comes back as it is: a call of a tool, or a passage of
// reasoning, which the upstream's own parsers would take out of the text, stays in it;
// tools are therefore refused unless the operator lets them through ([Options.Tools]).
// Nothing is served unmarked because a key is missing: that is status 503.
//
// Nothing of a request's or a reply's content is logged, nor any API key: of an
// upstream's error the status and the code are. Its message goes to the client whose
// request it is about, with a status from 400 to 499 other than 401 and 403, and never
// with the upstream's API key in it.
//
// # Whose key, and what else is served
//
// [Keyring] gives the key that serves a cohort at the moment of a request, from a
// registry that is read again as it changes, or what one master key derives. [Accounts]
// says of which cohort an API key is, and whether its replies are marked; under a key
// with two channels an account has a tracing key of its own. What was planted for a
// cohort is answered here ([Options.Planted]), and a rotation decides which cohort's key
// serves ([Options.Rotated]; every arm must have a key at start); preferences are the model's own part. A [Tap] writes the
// token ids of marked replies for the monitor. [Server.Metrics] are for Prometheus.
//
// # Upstreams that mark by themselves
//
// With [Options.Native] requests and replies are passed on byte for byte, streams as
// they come. The gateway puts one member in front of a request's body: SGLang gets
// "watermark": {"key": …, "context_window": …} of the cohort's key (scheme
// sglang-gumbel), or {"enabled": false}; vLLM, which has one key from its start, gets
// "watermarking": false where a reply shall not be marked, and nothing where it shall. A
// client's own member of that name is judged as an opt-out and replaced; a key of its
// own is refused, and so is another model than the upstream's. A key counts as served
// once its mark was found in three replies of 200 tokens that the gateway asks for
// (log10 p at most -6); a cohort whose key was not seen gets 503, and is looked at again
// half a minute later. Of a refusal of the upstream to a request with a watermark key
// only the status is passed on. What each record calls marked is what the upstream was
// told: whether it obeyed is for the monitor.
//
//	POST /v1/completions  {"model":"nova","prompt":"…","max_tokens":200,"temperature":1,"top_p":1,
//	                       "return_token_ids":true,…}
//	                   -> {"choices":[{"token_ids":[…],"prompt_token_ids":[…]}]}
//
// The room may import watermark, its registry and evidence, corpora/tokens and the
// standard library.
package gateway
