/* SHA-256d the way public CPU miners and nodes compute it, written anew to be a peer in the same process: the midstate is
   kept, hashes go through SHA-NI one or two at a time or one in each lane of a vector, a result is judged by its last word.
   Compiled once for each form: WAYS=1 or 2 gives SHA-NI, LANES=8 or 16 vectors of the compiler's own. */
#include <string.h>

#include "../fastpath/sha256d.h"

#define EXPORT __attribute__((visibility("default")))
#define K fastpath_round_constants
#define IV fastpath_initial

static inline uint32_t swap32(uint32_t word) { return __builtin_bswap32(word); }

#if defined(WAYS)
#include <immintrin.h>

#include "../fastpath/kernels/batch_constants.h"

#define EACH _Pragma("GCC unroll 2") for (int i = 0; i < WAYS; i++)
#define WORDS(a, b, c, d) _mm_set_epi32((int)(d), (int)(c), (int)(b), (int)(a))

typedef struct {
    __m128i abef[WAYS], cdgh[WAYS];
} states;

static inline __attribute__((always_inline)) void begin(states *s, const uint32_t state[8]) {
    EACH s->abef[i] = WORDS(state[5], state[4], state[1], state[0]);
    EACH s->cdgh[i] = WORDS(state[7], state[6], state[3], state[2]);
}

static inline __attribute__((always_inline)) void compress(states *s, __m128i w[4][WAYS]) {
    states before = *s;
    __m128i with_k[WAYS];
    _Pragma("GCC unroll 16") for (int group = 0; group < 16; group++) {
        __m128i *now = w[group & 3];
        if (group >= 4) {
            const __m128i *next = w[(group + 1) & 3], *last = w[(group + 3) & 3], *between = w[(group + 2) & 3];
            EACH now[i] = _mm_sha256msg2_epu32(
                _mm_add_epi32(_mm_sha256msg1_epu32(now[i], next[i]), _mm_alignr_epi8(last[i], between[i], 4)), last[i]);
        }
        EACH with_k[i] = _mm_add_epi32(now[i], _mm_loadu_si128((const __m128i *)(K + 4 * group)));
        EACH s->cdgh[i] = _mm_sha256rnds2_epu32(s->cdgh[i], s->abef[i], with_k[i]);
        EACH s->abef[i] = _mm_sha256rnds2_epu32(s->abef[i], s->cdgh[i], _mm_shuffle_epi32(with_k[i], 0x0e));
    }
    EACH s->abef[i] = _mm_add_epi32(s->abef[i], before.abef[i]);
    EACH s->cdgh[i] = _mm_add_epi32(s->cdgh[i], before.cdgh[i]);
}

/* Words 0..3 and 4..7 of a digest. */
static inline __m128i lower_words(__m128i abef, __m128i cdgh) {
    return _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(abef), _mm_castsi128_ps(cdgh), 0xbb));
}
static inline __m128i upper_words(__m128i abef, __m128i cdgh) {
    return _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(abef), _mm_castsi128_ps(cdgh), 0x11));
}

/* The same on the second block of a 64-byte message, whose words are the same for all. */
static inline __attribute__((always_inline)) void compress_padding(states *s) {
    states before = *s;
    _Pragma("GCC unroll 16") for (int group = 0; group < 16; group++) {
        const __m128i with_k = _mm_load_si128((const __m128i *)(PADDING_WITH_K + 4 * group));
        EACH s->cdgh[i] = _mm_sha256rnds2_epu32(s->cdgh[i], s->abef[i], with_k);
        EACH s->abef[i] = _mm_sha256rnds2_epu32(s->abef[i], s->cdgh[i], _mm_shuffle_epi32(with_k, 0x0e));
    }
    EACH s->abef[i] = _mm_add_epi32(s->abef[i], before.abef[i]);
    EACH s->cdgh[i] = _mm_add_epi32(s->cdgh[i], before.cdgh[i]);
}

/* The second hash, from the states after the first. */
static inline __attribute__((always_inline)) void hash_digests(states *s) {
    __m128i w[4][WAYS];
    EACH w[0][i] = lower_words(s->abef[i], s->cdgh[i]), w[1][i] = upper_words(s->abef[i], s->cdgh[i]);
    EACH w[2][i] = WORDS(0x80000000, 0, 0, 0), w[3][i] = WORDS(0, 0, 0, 256);
    begin(s, IV);
    compress(s, w);
}

EXPORT uint32_t peer_scan(const uint32_t *midstate, const uint32_t *tail, uint32_t start, uint32_t count, uint32_t filter) {
    uint32_t found = 0;
    for (uint32_t done = 0; done + WAYS <= count; done += WAYS) {
        states s;
        __m128i w[4][WAYS];
        EACH w[0][i] = WORDS(tail[0], tail[1], tail[2], swap32(start + done + (uint32_t)i));
        EACH w[1][i] = WORDS(0x80000000, 0, 0, 0), w[2][i] = _mm_setzero_si128(), w[3][i] = WORDS(0, 0, 0, 640);
        begin(&s, midstate);
        compress(&s, w);
        hash_digests(&s);
        EACH found += ((uint32_t)_mm_cvtsi128_si32(s.cdgh[i]) & filter) == 0;
    }
    return found;
}

EXPORT void peer_batch(const uint8_t *messages, uint64_t size, uint64_t count, uint8_t *digests) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bll, 0x0405060700010203ll);
    for (uint64_t done = 0; done + WAYS <= count; done += WAYS, messages += WAYS * size, digests += WAYS * 32) {
        states s;
        __m128i w[4][WAYS];
        _Pragma("GCC unroll 4") for (uint64_t part = 0; part < 4; part++)
            EACH w[part][i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(messages + size * (uint64_t)i + 16 * part)), swap);
        begin(&s, IV);
        compress(&s, w);
        if (size == 64) {
            compress_padding(&s);
        } else {
            EACH w[0][i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(messages + 80 * i + 64)), swap);
            EACH w[1][i] = WORDS(0x80000000, 0, 0, 0), w[2][i] = _mm_setzero_si128(), w[3][i] = WORDS(0, 0, 0, 640);
            compress(&s, w);
        }
        hash_digests(&s);
        EACH _mm_storeu_si128((__m128i *)(digests + 32 * i), _mm_shuffle_epi8(lower_words(s.abef[i], s.cdgh[i]), swap));
        EACH _mm_storeu_si128((__m128i *)(digests + 32 * i + 16), _mm_shuffle_epi8(upper_words(s.abef[i], s.cdgh[i]), swap));
    }
}

#elif defined(LANES)
typedef uint32_t vector __attribute__((vector_size(4 * LANES), aligned(4 * LANES)));

#define ROR(x, bits) ((x) >> (bits) | (x) << (32 - (bits)))
#define S0(x) (ROR(x, 2) ^ ROR(x, 13) ^ ROR(x, 22))
#define S1(x) (ROR(x, 6) ^ ROR(x, 11) ^ ROR(x, 25))
#define s0(x) (ROR(x, 7) ^ ROR(x, 18) ^ (x) >> 3)
#define s1(x) (ROR(x, 17) ^ ROR(x, 19) ^ (x) >> 10)
#define ROUND(type, t, word)                                                                  \
    do {                                                                                      \
        type t1 = s[7] + S1(s[4]) + (s[6] ^ (s[4] & (s[5] ^ s[6]))) + K[t] + (word);          \
        type t2 = S0(s[0]) + ((s[0] & s[1]) | (s[2] & (s[0] | s[1])));                        \
        s[7] = s[6], s[6] = s[5], s[5] = s[4], s[4] = s[3] + t1;                              \
        s[3] = s[2], s[2] = s[1], s[1] = s[0], s[0] = t1 + t2;                                \
    } while (0)

/* Rounds `first` .. `last` - 1; each word of the schedule is made just before its round. */
static inline __attribute__((always_inline)) void compress(vector s[8], vector w[16], const int first, const int last) {
    _Pragma("GCC unroll 64") for (int t = first; t < last; t++) {
        if (t >= 16) w[t & 15] += s1(w[(t + 14) & 15]) + w[(t + 9) & 15] + s0(w[(t + 1) & 15]);
        ROUND(vector, t, w[t & 15]);
    }
}

EXPORT uint32_t peer_scan(const uint32_t *midstate, const uint32_t *tail, uint32_t start, uint32_t count, uint32_t filter) {
    const vector zero = {0};
    uint32_t found = 0, s_after_3[8];
    {
        uint32_t s[8];
        memcpy(s, midstate, sizeof s);
        for (int t = 0; t < 3; t++) ROUND(uint32_t, t, tail[t]);
        memcpy(s_after_3, s, sizeof s);
    }
    for (uint32_t done = 0; done + LANES <= count; done += LANES) {
        vector w[16], s[8], nonce;
        for (int i = 0; i < LANES; i++) nonce[i] = swap32(start + done + (uint32_t)i);
        for (int i = 0; i < 16; i++) w[i] = zero;
        for (int i = 0; i < 3; i++) w[i] += tail[i];
        w[3] = nonce, w[4] += 0x80000000u, w[15] += 640u;
        for (int i = 0; i < 8; i++) s[i] = zero + s_after_3[i];
        compress(s, w, 3, 64);
        for (int i = 0; i < 8; i++) w[i] = s[i] + midstate[i];
        for (int i = 8; i < 16; i++) w[i] = zero;
        w[8] += 0x80000000u, w[15] += 256u;
        for (int i = 0; i < 8; i++) s[i] = zero + IV[i];
        compress(s, w, 0, 61); /* the last word of the digest is e of round 60 */
        vector last = (s[4] + IV[7]) & filter;
        for (int i = 0; i < LANES; i++) found += last[i] == 0;
    }
    return found;
}
#endif
