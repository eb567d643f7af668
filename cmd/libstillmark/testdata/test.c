/* Prints what the library gives for a key; the Go test compares it with the package. */
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stillmark.h"

static const int32_t history[] = {5, 9, 2, 7, 11, 3};
static const int32_t ids[] = {0, 1, 2, 3, 500, 999};
static const int32_t text[] = {4, 8, 15, 16, 23, 42, 4, 8, 15, 16};

static void check(int code, int want, const char *what) {
    if (code != want) {
        char why[200];
        stillmark_message(code, why, sizeof why);
        fprintf(stderr, "%s: %d (%s), expected %d\n", what, code, why, want);
        exit(1);
    }
}

struct work {
    stillmark_handle h;
    int32_t vocab;
    float *want;
    int failed;
};

static void *many(void *p) {
    struct work *w = p;
    float *logits = malloc(sizeof(float) * w->vocab);
    for (int round = 0; round < 200; round++) {
        memset(logits, 0, sizeof(float) * w->vocab);
        if (stillmark_process(w->h, history, 6, logits, w->vocab) != STILLMARK_OK ||
            memcmp(logits, w->want, sizeof(float) * w->vocab) != 0)
            w->failed = 1;
        /* another context in between, so that a shared state would show */
        stillmark_process(w->h, history, 3 + round % 4, logits, w->vocab);
    }
    free(logits);
    return NULL;
}

int main(int argc, char **argv) {
    stillmark_handle h = 0;
    int32_t vocab = 0, window = 0;
    int marked = 0;
    float bias = 0;

    check(argc, 2, "arguments");
    check(stillmark_open("/nowhere/key.json", &h), STILLMARK_E_KEY, "open nothing");
    check(stillmark_open(NULL, &h), STILLMARK_E_ARGUMENT, "open null");
    check(stillmark_vocab(77, &vocab), STILLMARK_E_HANDLE, "no handle");
    check(stillmark_open(argv[1], &h), STILLMARK_OK, "open");
    check(stillmark_vocab(h, &vocab), STILLMARK_OK, "vocab");
    check(stillmark_window(h, &window), STILLMARK_OK, "window");
    printf("vocab %" PRId32 "\nwindow %" PRId32 "\n", vocab, window);

    size_t length = 0;
    check(stillmark_spec(h, NULL, 0, &length), STILLMARK_OK, "spec length");
    char *spec = malloc(length + 1);
    check(stillmark_spec(h, spec, length + 1, &length), STILLMARK_OK, "spec");
    printf("spec %s\n", spec);

    size_t words = (vocab + 31) / 32;
    int32_t *mask = malloc(4 * words);
    int code = stillmark_green_mask(h, history, 6, mask, words, &bias, &marked);
    if (code == STILLMARK_OK) {
        printf("mask %d %a", marked, bias);
        for (size_t i = 0; i < words; i++) printf(" %08" PRIx32, (uint32_t)mask[i]);
        printf("\n");
        check(stillmark_green_mask(h, history, 6, mask, words + 1, &bias, &marked), STILLMARK_E_ARGUMENT, "mask of another size");
    } else {
        check(code, STILLMARK_E_UNSUPPORTED, "mask");
    }

    float noise[6];
    code = stillmark_gumbel_noise(h, history, 6, ids, 6, noise, &marked);
    if (code == STILLMARK_OK) {
        printf("noise %d", marked);
        for (int i = 0; i < 6; i++) printf(" %a", noise[i]);
        printf("\n");
    } else {
        check(code, STILLMARK_E_UNSUPPORTED, "noise");
    }

    float *logits = calloc(vocab, sizeof(float));
    check(stillmark_process(h, history, 6, logits, vocab), STILLMARK_OK, "process");
    printf("process");
    for (int32_t i = 0; i < vocab; i++) printf(" %a", logits[i]);
    printf("\n");
    check(stillmark_process(h, history, 6, logits, vocab - 1), STILLMARK_E_ARGUMENT, "process another width");
    check(stillmark_process(h, history, 6, NULL, vocab), STILLMARK_E_ARGUMENT, "process null");
    int32_t strange[] = {1, 2, 1 << 30};
    check(stillmark_process(h, strange, 3, logits, vocab), STILLMARK_E_TOKEN, "process a strange token");

    float few[6] = {0};
    check(stillmark_process_candidates(h, history, 6, ids, few, 6), STILLMARK_OK, "candidates");
    printf("candidates");
    for (int i = 0; i < 6; i++) printf(" %a", few[i]);
    printf("\n");

    double scores[10];
    check(stillmark_score(h, NULL, 0, text, 10, scores), STILLMARK_OK, "score");
    printf("score");
    for (int i = 0; i < 10; i++) printf(" %a", scores[i]);
    printf("\n");

    /* One handle, eight threads. */
    float *want = calloc(vocab, sizeof(float));
    check(stillmark_process(h, history, 6, want, vocab), STILLMARK_OK, "process again");
    pthread_t threads[8];
    struct work works[8];
    for (int i = 0; i < 8; i++) {
        works[i] = (struct work){h, vocab, want, 0};
        pthread_create(&threads[i], NULL, many, &works[i]);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        check(works[i].failed, 0, "a thread saw another result");
    }

    check(stillmark_close(h), STILLMARK_OK, "close");
    check(stillmark_close(h), STILLMARK_E_HANDLE, "close twice");
    check(stillmark_process(h, history, 6, logits, vocab), STILLMARK_E_HANDLE, "process after closing");
    return 0;
}
