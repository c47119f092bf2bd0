/* What the instructions of the generated loops mean, in plain C: a processor without them can still prove a kernel.
   `emulate.py` writes a loop as a table of these. */
#ifndef EMULATE_H
#define EMULATE_H

#include <stdint.h>

typedef enum {
    ADD, AND, DEC, JNZ, LEA, MOV, POP, PUSH, RET, SUB, XCHG, /* general registers */
    SHA256MSG1, SHA256MSG2, SHA256RNDS2,
    VMOVD, VMOVDQA, VMOVDQU, VMOVQ, VPADDD, VPALIGNR, VPAND, VPBROADCASTD, VPRORD, VPSHUFB, VPSLLD, VPSRLD, VPTERNLOGD,
    VPUNPCKHDQ, VPUNPCKHQDQ, VPUNPCKLDQ, VPUNPCKLQDQ, VPXOR, VSHUFPS, VZEROUPPER
} meaning;

typedef enum { NONE, NUMBER, GENERAL, VECTOR, MEMORY } operand_kind;

/* `number` is the register or the number; a place in memory is `table`, or the base register, plus `offset`. */
typedef struct {
    operand_kind kind;
    int64_t number;
    const void *table;
    int64_t offset;
    int broadcast;
} operand;

/* Operands in the order of the text, the target last. `size` is that of a vector in bytes; `target` is where JNZ goes. */
typedef struct {
    meaning what;
    int size;
    operand operands[4];
    int target;
} instruction;

void emulate(const instruction *code, const void *rdi, const void *rsi, void *rdx, uint64_t rcx, const void *r8);

#endif
