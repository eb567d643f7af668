#include "textflag.h"

// func cpuid(leaf uint32) (eax, ebx, ecx uint32)
TEXT ·cpuid(SB), NOSPLIT, $0-20
	MOVL leaf+0(FP), AX
	XORL CX, CX
	CPUID
	MOVL AX, eax+8(FP)
	MOVL BX, ebx+12(FP)
	MOVL CX, ecx+16(FP)
	RET

// func xgetbv() uint32
TEXT ·xgetbv(SB), NOSPLIT, $0-4
	XORL CX, CX
	XGETBV
	MOVL AX, ret+0(FP)
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

// func aesExpand(key *[16]byte, keys *roundKeys)
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

#define ROUND1(instruction, offset) \
	MOVOU       offset(AX), X1 \
	instruction X1, X0

// func aesEncrypt1(keys *roundKeys, lo, hi uint64) (outLo, outHi uint64)
TEXT ·aesEncrypt1(SB), NOSPLIT, $0-40
	MOVQ   keys+0(FP), AX
	MOVQ   lo+8(FP), X0
	MOVHPS hi+16(FP), X0
	ROUND1(PXOR, 0)
	ROUND1(AESENC, 16)
	ROUND1(AESENC, 32)
	ROUND1(AESENC, 48)
	ROUND1(AESENC, 64)
	ROUND1(AESENC, 80)
	ROUND1(AESENC, 96)
	ROUND1(AESENC, 112)
	ROUND1(AESENC, 128)
	ROUND1(AESENC, 144)
	ROUND1(AESENCLAST, 160)
	MOVQ   X0, outLo+24(FP)
	MOVHPS X0, outHi+32(FP)
	RET

#define ROUND8(instruction, offset) \
	MOVOU       offset(AX), X8 \
	instruction X8, X0 \
	instruction X8, X1 \
	instruction X8, X2 \
	instruction X8, X3 \
	instruction X8, X4 \
	instruction X8, X5 \
	instruction X8, X6 \
	instruction X8, X7

#define ROUNDS8 \
	ROUND8(PXOR, 0) \
	ROUND8(AESENC, 16) \
	ROUND8(AESENC, 32) \
	ROUND8(AESENC, 48) \
	ROUND8(AESENC, 64) \
	ROUND8(AESENC, 80) \
	ROUND8(AESENC, 96) \
	ROUND8(AESENC, 112) \
	ROUND8(AESENC, 128) \
	ROUND8(AESENC, 144) \
	ROUND8(AESENCLAST, 160)

#define STORE8 \
	MOVOU X0, 0(BX) \
	MOVOU X1, 16(BX) \
	MOVOU X2, 32(BX) \
	MOVOU X3, 48(BX) \
	MOVOU X4, 64(BX) \
	MOVOU X5, 80(BX) \
	MOVOU X6, 96(BX) \
	MOVOU X7, 112(BX)

// func aesEncrypt8(keys *roundKeys, data *[2]uint64, groups int)
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
	ROUNDS8
	STORE8
	ADDQ $128, BX
	DECQ CX
	JNZ  group
	RET

// Counter block i of a group: X15 has the nonce, R8 the first counter.
#define COUNTER8(i, x) \
	LEAL   i(R8), R9  \
	BSWAPL R9         \
	MOVO   X15, x     \
	PINSRD $3, R9, x

// func aesCounter8(keys *roundKeys, lo uint64, hi, first uint32, words *uint32, groups int)
TEXT ·aesCounter8(SB), NOSPLIT, $0-40
	MOVQ   keys+0(FP), AX
	MOVQ   lo+8(FP), X15
	MOVL   hi+16(FP), R9
	PINSRD $2, R9, X15
	MOVL   first+20(FP), R8
	MOVQ   words+24(FP), BX
	MOVQ   groups+32(FP), CX

group:
	COUNTER8(0, X0)
	COUNTER8(1, X1)
	COUNTER8(2, X2)
	COUNTER8(3, X3)
	COUNTER8(4, X4)
	COUNTER8(5, X5)
	COUNTER8(6, X6)
	COUNTER8(7, X7)
	ROUNDS8
	STORE8
	ADDL $8, R8
	ADDQ $128, BX
	DECQ CX
	JNZ  group
	RET

// The rest is four blocks to a register.

#define LOADKEYS \
	VBROADCASTI32X4 0(AX), Z16   \
	VBROADCASTI32X4 16(AX), Z17  \
	VBROADCASTI32X4 32(AX), Z18  \
	VBROADCASTI32X4 48(AX), Z19  \
	VBROADCASTI32X4 64(AX), Z20  \
	VBROADCASTI32X4 80(AX), Z21  \
	VBROADCASTI32X4 96(AX), Z22  \
	VBROADCASTI32X4 112(AX), Z23 \
	VBROADCASTI32X4 128(AX), Z24 \
	VBROADCASTI32X4 144(AX), Z25 \
	VBROADCASTI32X4 160(AX), Z26

#define ROUND32(instruction, key) \
	instruction key, Z0, Z0 \
	instruction key, Z1, Z1 \
	instruction key, Z2, Z2 \
	instruction key, Z3, Z3 \
	instruction key, Z4, Z4 \
	instruction key, Z5, Z5 \
	instruction key, Z6, Z6 \
	instruction key, Z7, Z7

#define ROUNDS32 \
	ROUND32(VPXORD, Z16) \
	ROUND32(VAESENC, Z17) \
	ROUND32(VAESENC, Z18) \
	ROUND32(VAESENC, Z19) \
	ROUND32(VAESENC, Z20) \
	ROUND32(VAESENC, Z21) \
	ROUND32(VAESENC, Z22) \
	ROUND32(VAESENC, Z23) \
	ROUND32(VAESENC, Z24) \
	ROUND32(VAESENC, Z25) \
	ROUND32(VAESENCLAST, Z26)

#define STORE32 \
	VMOVDQU32 Z0, 0(BX)   \
	VMOVDQU32 Z1, 64(BX)  \
	VMOVDQU32 Z2, 128(BX) \
	VMOVDQU32 Z3, 192(BX) \
	VMOVDQU32 Z4, 256(BX) \
	VMOVDQU32 Z5, 320(BX) \
	VMOVDQU32 Z6, 384(BX) \
	VMOVDQU32 Z7, 448(BX)

// func aesEncrypt32(keys *roundKeys, data *[2]uint64, groups int)
TEXT ·aesEncrypt32(SB), NOSPLIT, $0-24
	MOVQ keys+0(FP), AX
	MOVQ data+8(FP), BX
	MOVQ groups+16(FP), CX
	LOADKEYS

group:
	VMOVDQU32 0(BX), Z0
	VMOVDQU32 64(BX), Z1
	VMOVDQU32 128(BX), Z2
	VMOVDQU32 192(BX), Z3
	VMOVDQU32 256(BX), Z4
	VMOVDQU32 320(BX), Z5
	VMOVDQU32 384(BX), Z6
	VMOVDQU32 448(BX), Z7
	ROUNDS32
	STORE32
	ADDQ $512, BX
	DECQ CX
	JNZ  group
	VZEROUPPER
	RET

// Bytes of a block whose last word is to be big-endian.
DATA bigEndianCounter<>+0(SB)/8, $0x0706050403020100
DATA bigEndianCounter<>+8(SB)/8, $0x0c0d0e0f0b0a0908
GLOBL bigEndianCounter<>(SB), RODATA|NOPTR, $16

// What the four blocks of the first register are ahead of the first, and every
// block of the next register of its place in this one.
DATA fourCounters<>+0(SB)/8, $0
DATA fourCounters<>+8(SB)/8, $0
DATA fourCounters<>+16(SB)/8, $0
DATA fourCounters<>+24(SB)/8, $0x0000000100000000
DATA fourCounters<>+32(SB)/8, $0
DATA fourCounters<>+40(SB)/8, $0x0000000200000000
DATA fourCounters<>+48(SB)/8, $0
DATA fourCounters<>+56(SB)/8, $0x0000000300000000
GLOBL fourCounters<>(SB), RODATA|NOPTR, $64
DATA addFour<>+0(SB)/8, $0
DATA addFour<>+8(SB)/8, $0x0000000400000000
GLOBL addFour<>(SB), RODATA|NOPTR, $16

#define COUNTER32(z) \
	VPSHUFB Z14, Z13, z   \
	VPADDD  Z15, Z13, Z13

// func aesCounter32(keys *roundKeys, lo uint64, hi, first uint32, words *uint32, groups int)
TEXT ·aesCounter32(SB), NOSPLIT, $0-40
	MOVQ keys+0(FP), AX
	MOVQ lo+8(FP), X13
	MOVL hi+16(FP), R9
	PINSRD $2, R9, X13
	MOVL first+20(FP), R9
	PINSRD $3, R9, X13
	VSHUFI32X4 $0, Z13, Z13, Z13
	VPADDD fourCounters<>(SB), Z13, Z13
	VBROADCASTI32X4 bigEndianCounter<>(SB), Z14
	VBROADCASTI32X4 addFour<>(SB), Z15
	LOADKEYS
	MOVQ words+24(FP), BX
	MOVQ groups+32(FP), CX

group:
	COUNTER32(Z0)
	COUNTER32(Z1)
	COUNTER32(Z2)
	COUNTER32(Z3)
	COUNTER32(Z4)
	COUNTER32(Z5)
	COUNTER32(Z6)
	COUNTER32(Z7)
	ROUNDS32
	STORE32
	ADDQ $512, BX
	DECQ CX
	JNZ  group
	VZEROUPPER
	RET
