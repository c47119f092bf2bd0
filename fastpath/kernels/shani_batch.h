/* sha256d of messages side by side, four at a time through SHA-NI: sha256rnds2 has latency 4 and throughput 1.
   The includer defines BATCH64, BATCH64_LOOP, BATCH80 and BATCH80_LOOP. Loops over the four are unrolled, so that all states stay in registers. */
#include <immintrin.h>

#include "kernel.h"

#include "batch_constants.h"

enum { WAYS = 4 };
#define EACH _Pragma("GCC unroll 4") for (int i = 0; i < WAYS; i++)
#define LOAD(words) _mm_load_si128((const __m128i *)(words))

typedef struct {
    __m128i abef[WAYS], cdgh[WAYS];
} states;

/* Four rounds of all ways on four words with K added. */
static inline __attribute__((always_inline)) void four_rounds(states *s, const __m128i words[WAYS]) {
    EACH s->cdgh[i] = _mm_sha256rnds2_epu32(s->cdgh[i], s->abef[i], words[i]);
    EACH s->abef[i] = _mm_sha256rnds2_epu32(s->abef[i], s->cdgh[i], _mm_shuffle_epi32(words[i], 0x0e));
}

/* The 64 rounds on a block of sixteen words, with its schedule kept in a ring of four vectors. */
static inline __attribute__((always_inline)) void compress(states *s, __m128i w[4][WAYS]) {
    __m128i with_k[WAYS];
    _Pragma("GCC unroll 16") for (int group = 0; group < 16; group++) {
        __m128i *now = w[group & 3];
        if (group >= 4) {
            const __m128i *next = w[(group + 1) & 3], *last = w[(group + 3) & 3], *before = w[(group + 2) & 3];
            EACH now[i] = _mm_sha256msg2_epu32(
                _mm_add_epi32(_mm_sha256msg1_epu32(now[i], next[i]), _mm_alignr_epi8(last[i], before[i], 4)), last[i]);
        }
        const __m128i k = LOAD(ROUND_CONSTANTS + 4 * group);
        EACH with_k[i] = _mm_add_epi32(now[i], k);
        four_rounds(s, with_k);
    }
}

/* The same on a block whose words, K added, are known. */
static inline __attribute__((always_inline)) void compress_known(states *s, const uint32_t words[64]) {
    _Pragma("GCC unroll 16") for (int group = 0; group < 16; group++) {
        EACH s->cdgh[i] = _mm_sha256rnds2_epu32(s->cdgh[i], s->abef[i], LOAD(words + 4 * group));
        EACH s->abef[i] =
            _mm_sha256rnds2_epu32(s->abef[i], s->cdgh[i], _mm_loadl_epi64((const __m128i *)(words + 4 * group + 2)));
    }
}

/* Words 0..3 and 4..7 of a digest, out of the two halves of a state. */
static inline __m128i lower_words(__m128i abef, __m128i cdgh) {
    return _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(abef), _mm_castsi128_ps(cdgh), 0xbb));
}
static inline __m128i upper_words(__m128i abef, __m128i cdgh) {
    return _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(abef), _mm_castsi128_ps(cdgh), 0x11));
}

static inline __attribute__((always_inline)) void hash_four(const uint8_t *messages, int size, uint8_t *digests) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bll, 0x0405060700010203ll);
    const __m128i abef = _mm_set_epi32((int)0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c);
    const __m128i cdgh = _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19);
    const __m128i one_bit = _mm_set_epi32(0, 0, 0, (int)0x80000000);
    __m128i w[4][WAYS];
    states s, before;

    _Pragma("GCC unroll 4") for (int part = 0; part < 4; part++) EACH w[part][i] =
        _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(messages + size * i + 16 * part)), swap);
    EACH s.abef[i] = abef, s.cdgh[i] = cdgh;
    compress(&s, w);
    EACH before.abef[i] = s.abef[i] = _mm_add_epi32(s.abef[i], abef);
    EACH before.cdgh[i] = s.cdgh[i] = _mm_add_epi32(s.cdgh[i], cdgh);
    if (size == 64) {
        compress_known(&s, PADDING_WITH_K);
    } else {
        EACH w[0][i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(messages + size * i + 64)), swap);
        EACH w[1][i] = one_bit, w[2][i] = _mm_setzero_si128(), w[3][i] = _mm_set_epi32(640, 0, 0, 0);
        compress(&s, w);
    }
    EACH s.abef[i] = _mm_add_epi32(s.abef[i], before.abef[i]);
    EACH s.cdgh[i] = _mm_add_epi32(s.cdgh[i], before.cdgh[i]);

    EACH w[0][i] = lower_words(s.abef[i], s.cdgh[i]), w[1][i] = upper_words(s.abef[i], s.cdgh[i]);
    EACH w[2][i] = one_bit, w[3][i] = _mm_set_epi32(256, 0, 0, 0);
    EACH s.abef[i] = abef, s.cdgh[i] = cdgh;
    compress(&s, w);
    EACH s.abef[i] = _mm_add_epi32(s.abef[i], abef);
    EACH s.cdgh[i] = _mm_add_epi32(s.cdgh[i], cdgh);
    EACH _mm_storeu_si128((__m128i *)(digests + 32 * i), _mm_shuffle_epi8(lower_words(s.abef[i], s.cdgh[i]), swap));
    EACH _mm_storeu_si128((__m128i *)(digests + 32 * i + 16), _mm_shuffle_epi8(upper_words(s.abef[i], s.cdgh[i]), swap));
}

static inline __attribute__((always_inline)) void batch(const uint8_t *messages, int size, size_t count, uint8_t *digests) {
    for (; count >= WAYS; count -= WAYS, messages += WAYS * size, digests += WAYS * 32)
        hash_four(messages, size, digests);
    if (count > 0) { /* the last few among copies of nothing */
        uint8_t rest[WAYS * 80] = {0}, hashed[WAYS * 32];
        memcpy(rest, messages, count * (size_t)size);
        hash_four(rest, size, hashed);
        memcpy(digests, hashed, count * 32);
    }
}

/* Many messages go through a two-stream loop, which needs two turns to fill and so is not for a few. */
typedef void batch_loop(const void *unused, const void *pairs, uint32_t *unused2, uint64_t iterations);
extern batch_loop BATCH64_LOOP, BATCH80_LOOP;

static inline __attribute__((always_inline)) void two_streams(batch_loop *loop, const uint8_t *messages, int size,
                                                              size_t count, uint8_t *digests) {
    enum { GROUPS = 64, FEW = 24 };
    uint8_t nothing[WAYS * 80] = {0}, nowhere[WAYS * 32];
    struct {
        const uint8_t *messages;
        uint8_t *digests;
    } work[GROUPS + 3]; /* the first is only looked back at */
    while (count >= FEW) {
        size_t groups = count / WAYS < GROUPS ? count / WAYS : GROUPS;
        for (size_t i = 0; i < groups + 3; i++) {
            work[i].messages = i > 0 && i <= groups ? messages + (i - 1) * WAYS * (size_t)size : nothing;
            work[i].digests = i < 3 ? nowhere : digests + (i - 3) * WAYS * 32;
        }
        loop(0, work + 1, 0, groups + 2);
        messages += groups * WAYS * (size_t)size, digests += groups * WAYS * 32, count -= groups * WAYS;
    }
    batch(messages, size, count, digests);
}

void BATCH64(const uint8_t *messages, size_t count, uint8_t *digests) {
    two_streams(BATCH64_LOOP, messages, 64, count, digests);
}
void BATCH80(const uint8_t *messages, size_t count, uint8_t *digests) {
    two_streams(BATCH80_LOOP, messages, 80, count, digests);
}
