#include "textflag.h"

// Byte distances in x: mtM words and mtN words.
#define MIDDLE 1588
#define NEW 2496

#define BROADCAST(value, reg) \
	MOVL   $value, AX   \
	MOVQ   AX, reg      \
	PSHUFD $0, reg, reg

// func mtGenerate(x *[(mtN + mtChunk) / 2]uint64, out *[mtChunk / 2]uint64)
//
// Four words per round, none of which depends on another round: mtChunk is
// below mtN - mtM. Words of a pair lie in memory as on a little-endian machine.
TEXT ·mtGenerate(SB), NOSPLIT, $0-16
	MOVQ x+0(FP), SI
	MOVQ out+8(FP), DI
	BROADCAST(0x80000000, X8)
	BROADCAST(0x7fffffff, X9)
	BROADCAST(0x9908b0df, X10)
	BROADCAST(0x9d2c5680, X11)
	BROADCAST(0xefc60000, X12)
	MOVQ $52, CX // mtChunk / 4

round:
	MOVOU (SI), X0
	MOVOU 4(SI), X1
	MOVOU MIDDLE(SI), X2

	// The twist: A where the next word is odd.
	MOVO  X1, X3
	PAND  X8, X0
	PAND  X9, X1
	POR   X1, X0
	PSRLL $1, X0
	PSLLL $31, X3
	PSRAL $31, X3
	PAND  X10, X3
	PXOR  X2, X0
	PXOR  X3, X0
	MOVOU X0, NEW(SI)

	// The tempering.
	MOVO  X0, X1
	PSRLL $11, X1
	PXOR  X1, X0
	MOVO  X0, X1
	PSLLL $7, X1
	PAND  X11, X1
	PXOR  X1, X0
	MOVO  X0, X1
	PSLLL $15, X1
	PAND  X12, X1
	PXOR  X1, X0
	MOVO  X0, X1
	PSRLL $18, X1
	PXOR  X1, X0
	MOVOU X0, (DI)

	ADDQ $16, SI
	ADDQ $16, DI
	SUBQ $1, CX
	JNZ  round
	RET
