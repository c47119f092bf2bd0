/* Executes a table of instructions. A misaligned address, which the processor would refuse, ends the program, as does an
   instruction without a case. */
#include "emulate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RCX = 1, RDX = 2, RSP = 4, RSI = 6, RDI = 7, R8 = 8 };

typedef struct {
    uint32_t w[16];
} vector;

typedef struct {
    uint64_t general[16];
    vector vectors[32];
} processor;

uint32_t fastpath_processor(void) { return 0xffffffff; } /* every tier is to be tried */

static void refuse(const char *why, const instruction *now) {
    fprintf(stderr, "instruction %d: %s\n", (int)now->what, why);
    exit(3);
}

static unsigned char *address(const processor *p, const operand *o) {
    const unsigned char *base = o->table ? o->table : (const unsigned char *)(uintptr_t)p->general[o->number];
    return (unsigned char *)(uintptr_t)(base + o->offset);
}

static uint32_t ror(uint32_t x, int bits) { return bits ? x >> bits | x << (32 - bits) : x; }

/* A vector operand; `aligned` to the bytes that are read, as instructions without VEX and aligned moves ask. */
static vector read_vector(const processor *p, const instruction *now, const operand *o, int bytes, int aligned) {
    vector found = {{0}};
    if (o->kind == VECTOR) {
        memcpy(&found, &p->vectors[o->number], (size_t)bytes);
        return found;
    }
    if (o->kind != MEMORY) refuse("no vector operand", now);
    const unsigned char *place = address(p, o);
    if (aligned && (uintptr_t)place % (unsigned)bytes) refuse("misaligned", now);
    if (o->broadcast)
        for (int i = 0; i < bytes / 4; i++) memcpy(found.w + i, place, 4);
    else
        memcpy(&found, place, (size_t)bytes);
    return found;
}

static uint32_t ternary(int table, uint32_t a, uint32_t b, uint32_t c) {
    uint32_t found = 0;
    for (int i = 0; i < 8; i++)
        if (table >> i & 1) found |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
    return found;
}

/* Two rounds: dst is CDGH before and ABEF after, src is ABEF before; words from the highest to the lowest. */
static vector two_rounds(vector dst, vector src, vector words) {
    uint32_t a = src.w[3], b = src.w[2], e = src.w[1], f = src.w[0], c = dst.w[3], d = dst.w[2], g = dst.w[1], h = dst.w[0];
    for (int i = 0; i < 2; i++) {
        uint32_t t1 = h + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) + ((e & f) ^ (~e & g)) + words.w[i];
        uint32_t t2 = (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    return (vector){{f, e, b, a}};
}

static vector message_1(vector dst, vector src) {
    uint32_t next[5] = {dst.w[0], dst.w[1], dst.w[2], dst.w[3], src.w[0]};
    for (int i = 0; i < 4; i++) dst.w[i] += ror(next[i + 1], 7) ^ ror(next[i + 1], 18) ^ next[i + 1] >> 3;
    return dst;
}

static uint32_t sigma1(uint32_t x) { return ror(x, 17) ^ ror(x, 19) ^ x >> 10; }

static vector message_2(vector dst, vector src) {
    dst.w[0] += sigma1(src.w[2]);
    dst.w[1] += sigma1(src.w[3]);
    dst.w[2] += sigma1(dst.w[0]);
    dst.w[3] += sigma1(dst.w[1]);
    return dst;
}

/* What depends on each word alone. */
static uint32_t word_of(const instruction *now, uint32_t first, uint32_t second) {
    int bits = (int)now->operands[0].number;
    switch (now->what) {
    case VPADDD: return first + second;
    case VPAND: return first & second;
    case VPXOR: return first ^ second;
    case VPRORD: return ror(second, bits);
    case VPSLLD: return second << bits;
    case VPSRLD: return second >> bits;
    default: refuse("no meaning", now); return 0;
    }
}

static void write_vector(processor *p, const operand *o, vector value, int bytes) {
    if (o->kind == MEMORY) {
        memcpy(address(p, o), &value, (size_t)bytes);
    } else {
        memset(&p->vectors[o->number], 0, sizeof(vector));
        memcpy(&p->vectors[o->number], &value, (size_t)bytes);
    }
}

static void vectors(processor *p, const instruction *now) {
    const operand *o = now->operands;
    int last = 0, bytes = now->size;
    while (last < 3 && o[last + 1].kind != NONE) last++;
    const operand *to = o + last;
    vector x, y, found = {{0}};
    switch (now->what) {
    case SHA256RNDS2:
    case SHA256MSG1:
    case SHA256MSG2:
        x = read_vector(p, now, to, 16, 1);
        y = read_vector(p, now, to - 1, 16, 1);
        x = now->what == SHA256MSG1   ? message_1(x, y)
            : now->what == SHA256MSG2 ? message_2(x, y)
                                      : two_rounds(x, y, read_vector(p, now, o, 16, 1));
        memcpy(&p->vectors[to->number], &x, 16); /* the bits above stay */
        return;
    case VMOVDQA:
        if (to->kind == MEMORY && (uintptr_t)address(p, to) % (unsigned)bytes) refuse("misaligned", now);
        write_vector(p, to, read_vector(p, now, o, bytes, 1), bytes);
        return;
    case VMOVDQU: write_vector(p, to, read_vector(p, now, o, bytes, 0), bytes); return;
    case VMOVQ: write_vector(p, to, read_vector(p, now, o, 8, 0), 8); return;
    case VMOVD: write_vector(p, to, read_vector(p, now, o, 4, 0), 4); return;
    case VPBROADCASTD:
        x = read_vector(p, now, o, 4, 0);
        for (int i = 0; i < bytes / 4; i++) found.w[i] = x.w[0];
        write_vector(p, to, found, bytes);
        return;
    case VPTERNLOGD:
        found = read_vector(p, now, to, bytes, 0);
        x = read_vector(p, now, o + 2, bytes, 0);
        y = read_vector(p, now, o + 1, bytes, 0);
        for (int i = 0; i < bytes / 4; i++) found.w[i] = ternary((int)o->number, found.w[i], x.w[i], y.w[i]);
        write_vector(p, to, found, bytes);
        return;
    case VPRORD:
    case VPSLLD:
    case VPSRLD:
        y = read_vector(p, now, o + 1, bytes, 0);
        for (int i = 0; i < bytes / 4; i++) found.w[i] = word_of(now, 0, y.w[i]);
        write_vector(p, to, found, bytes);
        return;
    default: break;
    }
    x = read_vector(p, now, to - 1, bytes, 0); /* the first source is written last but one */
    y = read_vector(p, now, to - 2, bytes, 0);
    for (int lane = 0; lane < bytes / 16; lane++) {
        const uint32_t *first = x.w + 4 * lane, *second = y.w + 4 * lane;
        uint32_t *result = found.w + 4 * lane;
        int upper = now->what == VPUNPCKHDQ || now->what == VPUNPCKHQDQ ? 2 : 0, imm = (int)o->number;
        for (int i = 0; i < 4; i++) {
            if (now->what == VPUNPCKLDQ || now->what == VPUNPCKHDQ) {
                result[i] = (i & 1 ? second : first)[upper + i / 2];
            } else if (now->what == VPUNPCKLQDQ || now->what == VPUNPCKHQDQ) {
                result[i] = (i & 2 ? second : first)[upper + (i & 1)];
            } else if (now->what == VSHUFPS) {
                result[i] = (i & 2 ? second : first)[imm >> 2 * i & 3];
            } else if (now->what == VPALIGNR) {
                unsigned char both[32];
                memcpy(both, second, 16);
                memcpy(both + 16, first, 16);
                memcpy(result + i, both + imm + 4 * i, 4);
            } else if (now->what == VPSHUFB) {
                for (int byte = 0; byte < 4; byte++) {
                    unsigned char from = ((const unsigned char *)(second + i))[byte];
                    ((unsigned char *)(result + i))[byte] =
                        from & 0x80 ? 0 : ((const unsigned char *)first)[from & 15];
                }
            } else {
                result[i] = word_of(now, first[i], second[i]);
            }
        }
    }
    write_vector(p, to, found, bytes);
}

/* The value of an operand of 64 bits. */
static uint64_t general(const processor *p, const operand *o) {
    uint64_t value;
    if (o->kind == NUMBER) return (uint64_t)o->number;
    if (o->kind == GENERAL) return p->general[o->number];
    memcpy(&value, address(p, o), 8);
    return value;
}

void emulate(const instruction *code, const void *rdi, const void *rsi, void *rdx, uint64_t rcx, const void *r8) {
    static uint64_t stack[1 << 13];
    processor p;
    memset(&p, 0xa5, sizeof p); /* what a caller leaves behind is anything */
    p.general[RDI] = (uintptr_t)rdi, p.general[RSI] = (uintptr_t)rsi, p.general[RDX] = (uintptr_t)rdx;
    p.general[RCX] = rcx, p.general[R8] = (uintptr_t)r8, p.general[RSP] = (uintptr_t)(stack + (1 << 13));
    int zero = 0;
    for (const instruction *now = code; now->what != RET; now++) {
        const operand *from = now->operands, *to = now->operands + 1;
        uint64_t kept;
        switch (now->what) {
        case ADD: p.general[to->number] += general(&p, from); break;
        case SUB: p.general[to->number] -= general(&p, from); break;
        case AND: p.general[to->number] &= general(&p, from); break;
        case MOV: p.general[to->number] = general(&p, from); break;
        case LEA: p.general[to->number] = (uintptr_t)address(&p, from); break;
        case DEC: zero = --p.general[from->number] == 0; break;
        case JNZ:
            if (!zero) now = code + now->target - 1;
            break;
        case XCHG:
            kept = p.general[from->number];
            p.general[from->number] = p.general[to->number], p.general[to->number] = kept;
            break;
        case PUSH:
            p.general[RSP] -= 8;
            memcpy((void *)(uintptr_t)p.general[RSP], &p.general[from->number], 8);
            break;
        case POP:
            memcpy(&p.general[from->number], (void *)(uintptr_t)p.general[RSP], 8);
            p.general[RSP] += 8;
            break;
        case VZEROUPPER:
            for (int i = 0; i < 16; i++) memset(p.vectors[i].w + 4, 0, 48);
            break;
        default: vectors(&p, now);
        }
    }
    if (p.general[RSP] != (uintptr_t)(stack + (1 << 13))) {
        fprintf(stderr, "the stack is not what it was\n");
        exit(3);
    }
}
