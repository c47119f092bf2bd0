/* What a kernel is handed and what it hands back. Functions here are static: files of different instruction sets include
   this one, and the linker must not share their code. */
#ifndef FASTPATH_KERNEL_H
#define FASTPATH_KERNEL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../sha256d.h"

#define RESTRICT_TO_BLOCK 2048 /* nonces between two looks at the results: tables and results stay in the L1 cache */
#define MAX_VERSIONS 128        /* versions a kernel takes at once: they share one schedule per nonce */

/* A kernel reports candidates: hashes whose last word passes `filter`. The reference decides. */
typedef struct {
    uint32_t midstate[8]; /* after the first 64 bytes of the header */
    uint32_t tail[3];     /* big-endian words of bytes 64..75 */
    uint32_t filter;      /* candidate where (last digest word & filter) == 0 */
} fastpath_job;

/* Hash the nonces start .. start+count-1, write the candidates in ascending order, return their number (<= count). */
typedef size_t fastpath_scan_kernel(const fastpath_job *job, uint32_t start, uint32_t count, uint32_t *candidates);

/* The same for `versions` (1 .. MAX_VERSIONS) midstates at each nonce; the job's own midstate is not read. A candidate is
   (nonce - start) * versions + number of the midstate. */
typedef size_t fastpath_versions_kernel(const fastpath_job *job, const uint32_t (*midstates)[8], uint32_t versions,
                                        uint32_t start, uint32_t nonces, uint32_t *candidates);

/* digests[i] = sha256d of message i, for `count` messages side by side; may work in place where messages have 64 bytes. */
typedef void fastpath_batch_kernel(const uint8_t *messages, size_t count, uint8_t *digests);

static inline uint32_t ror32(uint32_t word, int bits) { return word >> bits | word << (32 - bits); }
static inline uint32_t swap32(uint32_t word) {
    return word >> 24 | (word >> 8 & 0xff00) | (word << 8 & 0xff0000) | word << 24;
}
static inline uint32_t small_sigma0(uint32_t x) { return ror32(x, 7) ^ ror32(x, 18) ^ x >> 3; }
static inline uint32_t small_sigma1(uint32_t x) { return ror32(x, 17) ^ ror32(x, 19) ^ x >> 10; }

/* One round on a..h, for the few rounds a job does once. */
static inline void one_round(uint32_t s[8], uint32_t k_plus_w) {
    uint32_t t1 = s[7] + (ror32(s[4], 6) ^ ror32(s[4], 11) ^ ror32(s[4], 25)) + (s[6] ^ (s[4] & (s[5] ^ s[6]))) + k_plus_w;
    uint32_t t2 = (ror32(s[0], 2) ^ ror32(s[0], 13) ^ ror32(s[0], 22)) + ((s[0] & s[1]) | (s[2] & (s[0] | s[1])));
    for (int i = 7; i > 0; i--) s[i] = s[i - 1];
    s[4] += t1;
    s[0] = t1 + t2;
}

/* The state after rounds 0..3 of the second block with nonce 0; the nonce word is then to be added to a and e. */
static inline void first_rounds(const uint32_t midstate[8], const uint32_t tail[3], uint32_t state[8]) {
    memcpy(state, midstate, 32);
    for (int t = 0; t < 3; t++) one_round(state, tail[t] + fastpath_round_constants[t]);
    one_round(state, fastpath_round_constants[3]);
}

/* The two halves of a state in the order sha256rnds2 wants them, lowest word first. */
static inline void order_abef(const uint32_t s[8], uint32_t out[4]) {
    out[0] = s[5], out[1] = s[4], out[2] = s[1], out[3] = s[0];
}
static inline void order_cdgh(const uint32_t s[8], uint32_t out[4]) {
    out[0] = s[7], out[1] = s[6], out[2] = s[3], out[3] = s[2];
}

/* What the schedule of the second block has that no nonce changes: words 16, 17, and the constant parts of 18 and 19. */
typedef struct {
    uint32_t word16, word17, part18, part19;
} fixed_words;

static inline fixed_words fix_words(const uint32_t tail[3]) {
    fixed_words fixed;
    fixed.word16 = small_sigma0(tail[1]) + tail[0];
    fixed.word17 = small_sigma1(640) + small_sigma0(tail[2]) + tail[1];
    fixed.part18 = small_sigma1(fixed.word16) + tail[2];
    fixed.part19 = small_sigma1(fixed.word17) + small_sigma0(0x80000000);
    return fixed;
}

/* Append to candidates those of `count` results (e after round 60) that pass the filter, numbered from `first`. */
static inline size_t collect(const uint32_t *results, uint32_t count, uint32_t filter, uint32_t first, uint32_t *candidates) {
    uint32_t any = 0;
    for (uint32_t i = 0; i < count; i++) any |= ((results[i] + fastpath_initial[7]) & filter) == 0;
    if (__builtin_expect(!any, 1)) return 0;
    size_t found = 0;
    for (uint32_t i = 0; i < count; i++)
        if (((results[i] + fastpath_initial[7]) & filter) == 0) candidates[found++] = first + i;
    return found;
}

#endif
