#include "textflag.h"

// func hasAES() bool
TEXT ·hasAES(SB), NOSPLIT, $0-1
	MOVL $1, AX
	XORL CX, CX
	CPUID
	SHRL $25, CX
	ANDL $1, CX
	MOVB CX, ret+0(FP)
	RET

// X0: the last round key, then the next one.
#define EXPAND(rcon, offset) \
	AESKEYGENASSIST $rcon, X0, X1 \
	PSHUFD $0xff, X1, X1 \
	MOVO   X0, X2        \
	PSLLO  $4, X2        \
	PXOR   X2, X0        \
	PSLLO  $4, X2        \
	PXOR   X2, X0        \
	PSLLO  $4, X2        \
	PXOR   X2, X0        \
	PXOR   X1, X0        \
	MOVOU  X0, offset(BX)

// func aesExpand(key *[16]byte, keys *[176]byte)
TEXT ·aesExpand(SB), NOSPLIT, $0-16
	MOVQ  key+0(FP), AX
	MOVQ  keys+8(FP), BX
	MOVOU (AX), X0
	MOVOU X0, (BX)
	EXPAND(0x01, 16)
	EXPAND(0x02, 32)
	EXPAND(0x04, 48)
	EXPAND(0x08, 64)
	EXPAND(0x10, 80)
	EXPAND(0x20, 96)
	EXPAND(0x40, 112)
	EXPAND(0x80, 128)
	EXPAND(0x1b, 144)
	EXPAND(0x36, 160)
	RET

#define ROUND(instruction, offset) \
	MOVOU       offset(AX), X8 \
	instruction X8, X0 \
	instruction X8, X1 \
	instruction X8, X2 \
	instruction X8, X3 \
	instruction X8, X4 \
	instruction X8, X5 \
	instruction X8, X6 \
	instruction X8, X7

// func aesEncrypt8(keys *[176]byte, data *[4096]byte, groups int)
TEXT ·aesEncrypt8(SB), NOSPLIT, $0-24
	MOVQ keys+0(FP), AX
	MOVQ data+8(FP), BX
	MOVQ groups+16(FP), CX

group:
	MOVOU 0(BX), X0
	MOVOU 16(BX), X1
	MOVOU 32(BX), X2
	MOVOU 48(BX), X3
	MOVOU 64(BX), X4
	MOVOU 80(BX), X5
	MOVOU 96(BX), X6
	MOVOU 112(BX), X7
	ROUND(PXOR, 0)
	ROUND(AESENC, 16)
	ROUND(AESENC, 32)
	ROUND(AESENC, 48)
	ROUND(AESENC, 64)
	ROUND(AESENC, 80)
	ROUND(AESENC, 96)
	ROUND(AESENC, 112)
	ROUND(AESENC, 128)
	ROUND(AESENC, 144)
	ROUND(AESENCLAST, 160)
	MOVOU X0, 0(BX)
	MOVOU X1, 16(BX)
	MOVOU X2, 32(BX)
	MOVOU X3, 48(BX)
	MOVOU X4, 64(BX)
	MOVOU X5, 80(BX)
	MOVOU X6, 96(BX)
	MOVOU X7, 112(BX)
	ADDQ $128, BX
	DECQ CX
	JNZ  group
	RET
