#include "textflag.h"

// Four tokens: X5 has the sign bits, with which a signed comparison orders
// unsigned numbers, X6 the threshold likewise, X7 delta.
#define BONUS4(offset, words, less, logits) \
	MOVOU   offset(BX), words  \
	PXOR    X5, words          \
	MOVO    X6, less           \
	PCMPGTL words, less        \
	PAND    X7, less           \
	MOVUPS  offset(AX), logits \
	ADDPS   less, logits       \
	MOVUPS  logits, offset(AX)

// func addBonus8(logits *float32, words *uint32, groups int, threshold, delta uint32)
TEXT ·addBonus8(SB), NOSPLIT, $0-32
	MOVQ    logits+0(FP), AX
	MOVQ    words+8(FP), BX
	MOVQ    groups+16(FP), CX
	MOVL    threshold+24(FP), X6
	PSHUFL  $0, X6, X6
	MOVL    delta+28(FP), X7
	PSHUFL  $0, X7, X7
	PCMPEQL X5, X5
	PSLLL   $31, X5
	PXOR    X5, X6

group:
	BONUS4(0, X0, X1, X2)
	BONUS4(16, X3, X4, X8)
	ADDQ $32, AX
	ADDQ $32, BX
	DECQ CX
	JNZ  group
	RET
