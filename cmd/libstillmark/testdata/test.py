"""Samples under the key through ctypes, and prints the tokens: the Go test finds the mark in them."""
import ctypes
import json
import random
import sys

lib = ctypes.CDLL(sys.argv[1])
handle = ctypes.c_uint64()
assert lib.stillmark_open(sys.argv[2].encode(), ctypes.byref(handle)) == 0
vocab = ctypes.c_int32()
assert lib.stillmark_vocab(handle, ctypes.byref(vocab)) == 0
n = vocab.value
words = (n + 31) // 32
rng = random.Random(7)
out = []
for _ in range(600):
    history = (ctypes.c_int32 * len(out))(*out)
    mask = (ctypes.c_int32 * words)()
    bias, marked = ctypes.c_float(), ctypes.c_int()
    code = lib.stillmark_green_mask(
        handle, history, ctypes.c_size_t(len(out)), mask, ctypes.c_size_t(words), ctypes.byref(bias), ctypes.byref(marked))
    assert code == 0, code
    # A sampler of its own: weights of a few tokens, green ones raised by the bias.
    candidates = rng.sample(range(n), 20)
    weights = []
    for t in candidates:
        green = mask[t // 32] >> (t % 32) & 1
        weights.append(2.718281828 ** (rng.random() + (bias.value if green else 0)))
    out.append(rng.choices(candidates, weights)[0])
assert lib.stillmark_close(handle) == 0
print(json.dumps(out))
