/* Tier arm-sha2: the SHA2 extension of ARMv8, four hashes side by side. Loops over the four are unrolled. */
#include <arm_neon.h>

#include "kernel.h"

enum { WAYS = 4 };
#define EACH _Pragma("GCC unroll 4") for (int i = 0; i < WAYS; i++)

typedef struct {
    uint32x4_t abcd[WAYS], efgh[WAYS];
} states;

/* Four rounds of all ways on four words with K added. */
static inline __attribute__((always_inline)) void four_rounds(states *s, const uint32x4_t words[WAYS]) {
    EACH {
        uint32x4_t abcd = s->abcd[i];
        s->abcd[i] = vsha256hq_u32(abcd, s->efgh[i], words[i]);
        s->efgh[i] = vsha256h2q_u32(s->efgh[i], abcd, words[i]);
    }
}

/* The rounds from group `first` on (four rounds each) on a block whose schedule is kept in a ring of four vectors. */
static inline __attribute__((always_inline)) void compress_from(states *s, uint32x4_t w[4][WAYS], int first) {
    uint32x4_t with_k[WAYS];
    _Pragma("GCC unroll 16") for (int group = 0; group < 16; group++) {
        uint32x4_t *now = w[group & 3];
        if (group >= 4) {
            const uint32x4_t *next = w[(group + 1) & 3], *before = w[(group + 2) & 3], *last = w[(group + 3) & 3];
            EACH now[i] = vsha256su1q_u32(vsha256su0q_u32(now[i], next[i]), before[i], last[i]);
        }
        if (group < first) continue;
        const uint32x4_t k = vld1q_u32(fastpath_round_constants + 4 * group);
        EACH with_k[i] = vaddq_u32(now[i], k);
        four_rounds(s, with_k);
    }
}

static inline __attribute__((always_inline)) void add_states(states *s, const states *other) {
    EACH s->abcd[i] = vaddq_u32(s->abcd[i], other->abcd[i]);
    EACH s->efgh[i] = vaddq_u32(s->efgh[i], other->efgh[i]);
}

static inline __attribute__((always_inline)) void same(states *s, const uint32_t state[8]) {
    EACH s->abcd[i] = vld1q_u32(state), s->efgh[i] = vld1q_u32(state + 4);
}

/* The second hash: s holds the first digests and becomes the second, before the initial value is added. */
static inline __attribute__((always_inline)) void second_hash(states *s) {
    static const uint32_t PADDING[8] = {0x80000000, 0, 0, 0, 0, 0, 0, 256};
    uint32x4_t w[4][WAYS];
    EACH w[0][i] = s->abcd[i], w[1][i] = s->efgh[i], w[2][i] = vld1q_u32(PADDING), w[3][i] = vld1q_u32(PADDING + 4);
    same(s, fastpath_initial);
    compress_from(s, w, 0);
}

size_t fastpath_arm_scan(const fastpath_job *job, uint32_t start, uint32_t count, uint32_t *candidates) {
    static const uint32_t PADDING[12] = {0x80000000, [11] = 640};
    uint32_t results[RESTRICT_TO_BLOCK], base[8];
    first_rounds(job->midstate, job->tail, base);

    size_t found = 0;
    for (uint32_t done = 0; done < count;) {
        uint32_t block = count - done < RESTRICT_TO_BLOCK ? count - done : RESTRICT_TO_BLOCK;
        for (uint32_t n = 0; n < block; n += WAYS) {
            states s, midstate;
            uint32x4_t w[4][WAYS];
            same(&s, base);
            same(&midstate, job->midstate);
            EACH {
                uint32_t nonce = swap32(start + done + n + (uint32_t)i);
                const uint32_t words[4] = {job->tail[0], job->tail[1], job->tail[2], nonce};
                const uint32_t in_a_and_e[4] = {nonce, 0, 0, 0};
                w[0][i] = vld1q_u32(words);
                w[1][i] = vld1q_u32(PADDING), w[2][i] = vld1q_u32(PADDING + 4), w[3][i] = vld1q_u32(PADDING + 8);
                s.abcd[i] = vaddq_u32(s.abcd[i], vld1q_u32(in_a_and_e));
                s.efgh[i] = vaddq_u32(s.efgh[i], vld1q_u32(in_a_and_e));
            }
            compress_from(&s, w, 1);
            add_states(&s, &midstate);
            second_hash(&s);
            EACH results[n + (uint32_t)i] = vgetq_lane_u32(s.efgh[i], 3);
        }
        found += collect(results, block, job->filter, start + done, candidates + found);
        done += block;
    }
    return found;
}

static inline __attribute__((always_inline)) void hash_four(const uint8_t *messages, size_t size, uint8_t *digests) {
    uint8_t tail[WAYS][64] = {{0}};
    uint32x4_t w[4][WAYS];
    states s, before;
    same(&s, fastpath_initial);
    before = s;
    EACH {
        memcpy(tail[i], messages + size * (size_t)i + 64, size - 64);
        tail[i][size - 64] = 0x80;
        tail[i][62] = (uint8_t)(size * 8 >> 8);
        tail[i][63] = (uint8_t)(size * 8);
    }
    for (int block = 0; block < 2; block++) {
        _Pragma("GCC unroll 4") for (int part = 0; part < 4; part++) EACH {
            const uint8_t *from = block ? tail[i] + 16 * part : messages + size * (size_t)i + 16 * part;
            w[part][i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(from)));
        }
        compress_from(&s, w, 0);
        add_states(&s, &before);
        before = s;
    }
    second_hash(&s);
    same(&before, fastpath_initial);
    add_states(&s, &before);
    EACH vst1q_u8(digests + 32 * i, vrev32q_u8(vreinterpretq_u8_u32(s.abcd[i])));
    EACH vst1q_u8(digests + 32 * i + 16, vrev32q_u8(vreinterpretq_u8_u32(s.efgh[i])));
}

static inline __attribute__((always_inline)) void batch(const uint8_t *messages, size_t size, size_t count, uint8_t *digests) {
    for (; count >= WAYS; count -= WAYS, messages += WAYS * size, digests += WAYS * 32) hash_four(messages, size, digests);
    if (count > 0) { /* the last few among copies of nothing */
        uint8_t rest[WAYS * 80] = {0}, hashed[WAYS * 32];
        memcpy(rest, messages, count * size);
        hash_four(rest, size, hashed);
        memcpy(digests, hashed, count * 32);
    }
}

void fastpath_arm_batch64(const uint8_t *messages, size_t count, uint8_t *digests) { batch(messages, 64, count, digests); }
void fastpath_arm_batch80(const uint8_t *messages, size_t count, uint8_t *digests) { batch(messages, 80, count, digests); }
