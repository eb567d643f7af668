/*
 * stillmark.h - the mark of a key file, for samplers in C, C++, Python and others.
 *
 * Build:  go build -buildmode=c-shared -o libstillmark.so ./cmd/libstillmark
 * Link:   cc sampler.c -L. -lstillmark
 *
 * All functions are safe to call from any thread, also at the same time on one
 * handle: each call takes one of the handle's private copies of the mark. None
 * allocates memory that the caller must free, none prints, none keeps a pointer.
 * They return STILLMARK_OK (0) or one of the errors below; outputs are only valid
 * with STILLMARK_OK.
 *
 * history is what was generated so far: token ids of the key's tokenizer, oldest
 * first, without the prompt, unless the key's contexts are "with-prompt": then it
 * begins with the prompt. Logits are natural logarithms up to a constant, after
 * temperature and truncation; -INFINITY stands for what cannot be sampled.
 *
 * marked becomes 0 where the step is not to be marked: too few tokens before it, or
 * a window that occurred before in the history. Sample such a step as ever.
 */
#ifndef STILLMARK_H
#define STILLMARK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef uint64_t stillmark_handle; /* 0 is no handle */

enum {
    STILLMARK_OK = 0,
    STILLMARK_E_ARGUMENT = 1,    /* a null pointer, or a length that does not fit */
    STILLMARK_E_HANDLE = 2,      /* no handle, or one that was closed */
    STILLMARK_E_KEY = 3,         /* the key file cannot be read, is open to others, or is malformed */
    STILLMARK_E_UNSUPPORTED = 4, /* the key's scheme has no such thing: a list per context, or noise */
    STILLMARK_E_TOKEN = 5,       /* a token id outside the vocabulary */
    STILLMARK_E_INTERNAL = 6     /* a defect of the library */
};

/* stillmark_message writes a sentence about an error into text, at most size bytes
 * with its final 0, and returns the length that the whole sentence has. */
size_t stillmark_message(int error, char *text, size_t size);

/* stillmark_open reads a key file (UTF-8 path, mode 0600) and makes a handle. */
int stillmark_open(const char *path, stillmark_handle *handle);

/* stillmark_close ends a handle. Calls under way end as they would have. */
int stillmark_close(stillmark_handle handle);

/* stillmark_spec writes what may be shown of the key (scheme, parameters, tokenizer,
 * vocabulary, id; no secret) as JSON, at most size bytes with the final 0; *length
 * becomes the length of the whole. */
int stillmark_spec(stillmark_handle handle, char *text, size_t size, size_t *length);

/* stillmark_vocab gives the number of tokens of the vocabulary, stillmark_window
 * that of a context window. */
int stillmark_vocab(stillmark_handle handle, int32_t *tokens);
int stillmark_window(stillmark_handle handle, int32_t *tokens);

/* stillmark_green_mask writes the green list of the next step: token t is bit t%32
 * (least significant first) of word t/32, the layout of the bit masks that kernels
 * of structured output apply on a GPU. words must be (vocab+31)/32. *bias is what a
 * green logit gains, in nats. Not for self-hashing schemes (STILLMARK_E_UNSUPPORTED). */
int stillmark_green_mask(stillmark_handle handle, const int32_t *history, size_t tokens,
                         int32_t *mask, size_t words, float *bias, int *marked);

/* stillmark_gumbel_noise writes the standard Gumbel variate of each candidate: take
 * the one whose logit plus noise is largest. Schemes gumbel and vllm-gumbel. */
int stillmark_gumbel_noise(stillmark_handle handle, const int32_t *history, size_t tokens,
                           const int32_t *ids, size_t candidates, float *noise, int *marked);

/* stillmark_process marks the logits of the next step in place, under any scheme:
 * logits[t] belongs to token t, vocab is the width of the key's vocabulary. */
int stillmark_process(stillmark_handle handle, const int32_t *history, size_t tokens,
                      float *logits, size_t vocab);

/* stillmark_process_candidates does so for a short list: logits[i] belongs to ids[i],
 * ids are distinct. */
int stillmark_process_candidates(stillmark_handle handle, const int32_t *history, size_t tokens,
                                 const int32_t *ids, float *logits, size_t candidates);

/* stillmark_score scores every token of a text under the key, as an exhibit: NaN
 * where it is not scored (no window yet, a window of the prompt, a repeat). prompt may
 * be null. The sum over a text is no p-value: detection is stillmark's own command. */
int stillmark_score(stillmark_handle handle, const int32_t *prompt, size_t prompt_tokens,
                    const int32_t *ids, size_t tokens, double *scores);

#ifdef __cplusplus
}
#endif

#endif
