/* SHA-256 after FIPS 180-4 (section 6.2.2, constants 4.2.2 and 5.3.3) and the double hash of bitcoin on top of it.
   No intrinsic, no instruction-set flag and no trick: this is what every kernel is checked against. */
#include "sha256d.h"

#include <string.h>

const uint32_t fastpath_initial[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

const uint32_t fastpath_round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t rotate_right(uint32_t word, int bits) { return word >> bits | word << (32 - bits); }

static inline uint32_t load_be(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static inline void store_be(uint8_t *bytes, uint32_t word) {
    bytes[0] = (uint8_t)(word >> 24);
    bytes[1] = (uint8_t)(word >> 16);
    bytes[2] = (uint8_t)(word >> 8);
    bytes[3] = (uint8_t)word;
}

/* One round. The caller rotates the names of the eight working variables instead of moving their values. */
#define ROUND(a, b, c, d, e, f, g, h, k_plus_w)                                                                      \
    do {                                                                                                             \
        uint32_t t1 = h + (rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25)) + (g ^ (e & (f ^ g))) + (k_plus_w); \
        d += t1;                                                                                                     \
        h = t1 + (rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22)) + ((a & b) | (c & (a | b)));       \
    } while (0)

/* after = compression of block from before; the two may be the same array. The schedule is kept in a ring of 16 words. */
static inline void compress(const uint32_t before[8], const uint32_t block[16], uint32_t after[8]) {
    uint32_t w[16];
    memcpy(w, block, sizeof w);
    uint32_t a = before[0], b = before[1], c = before[2], d = before[3];
    uint32_t e = before[4], f = before[5], g = before[6], h = before[7];

    for (int base = 0; base < 64; base += 16) {
        if (base > 0) {
            for (int t = 0; t < 16; t++) {
                uint32_t w15 = w[(t + 1) & 15], w2 = w[(t + 14) & 15];
                w[t] += (rotate_right(w15, 7) ^ rotate_right(w15, 18) ^ w15 >> 3) + w[(t + 9) & 15] +
                        (rotate_right(w2, 17) ^ rotate_right(w2, 19) ^ w2 >> 10);
            }
        }
        const uint32_t *k = fastpath_round_constants + base;
        for (int t = 0; t < 16; t += 8) {
            ROUND(a, b, c, d, e, f, g, h, k[t] + w[t]);
            ROUND(h, a, b, c, d, e, f, g, k[t + 1] + w[t + 1]);
            ROUND(g, h, a, b, c, d, e, f, k[t + 2] + w[t + 2]);
            ROUND(f, g, h, a, b, c, d, e, k[t + 3] + w[t + 3]);
            ROUND(e, f, g, h, a, b, c, d, k[t + 4] + w[t + 4]);
            ROUND(d, e, f, g, h, a, b, c, k[t + 5] + w[t + 5]);
            ROUND(c, d, e, f, g, h, a, b, k[t + 6] + w[t + 6]);
            ROUND(b, c, d, e, f, g, h, a, k[t + 7] + w[t + 7]);
        }
    }

    after[0] = before[0] + a;
    after[1] = before[1] + b;
    after[2] = before[2] + c;
    after[3] = before[3] + d;
    after[4] = before[4] + e;
    after[5] = before[5] + f;
    after[6] = before[6] + g;
    after[7] = before[7] + h;
}

static void compress_bytes(uint32_t state[8], const uint8_t bytes[64]) {
    uint32_t block[16];
    for (int i = 0; i < 16; i++) block[i] = load_be(bytes + 4 * i);
    compress(state, block, state);
}

/* The second hash: block[0..7] holds the first digest as words, the rest is the padding of a 32-byte message. */
static inline void second_hash(uint32_t block[16], uint32_t state[8]) {
    static const uint32_t PADDING[8] = {0x80000000, 0, 0, 0, 0, 0, 0, 256};
    memcpy(block + 8, PADDING, sizeof PADDING);
    compress(fastpath_initial, block, state);
}

void fastpath_sha256d(const uint8_t *data, size_t size, uint8_t digest[32]) {
    uint32_t state[8];
    memcpy(state, fastpath_initial, sizeof state);

    size_t rest = size;
    for (; rest >= 64; rest -= 64, data += 64) compress_bytes(state, data);

    uint8_t tail[128] = {0};
    if (rest > 0) memcpy(tail, data, rest);
    tail[rest] = 0x80;
    size_t padded = rest < 56 ? 64 : 128;
    uint64_t bits = (uint64_t)size * 8;
    store_be(tail + padded - 8, (uint32_t)(bits >> 32));
    store_be(tail + padded - 4, (uint32_t)bits);
    for (size_t offset = 0; offset < padded; offset += 64) compress_bytes(state, tail + offset);

    uint32_t block[16];
    memcpy(block, state, sizeof state);
    second_hash(block, state);
    for (int i = 0; i < 8; i++) store_be(digest + 4 * i, state[i]);
}

void fastpath_midstate(const uint8_t block[64], uint32_t state[8]) {
    memcpy(state, fastpath_initial, sizeof fastpath_initial);
    compress_bytes(state, block);
}

fastpath_verdict fastpath_judge(const uint8_t header[80], uint32_t nonce, uint32_t filter, const uint8_t target[32]) {
    uint8_t tried[80], digest[32];
    memcpy(tried, header, 76);
    for (int i = 0; i < 4; i++) tried[76 + i] = (uint8_t)(nonce >> 8 * i);
    fastpath_sha256d(tried, sizeof tried, digest);
    if (load_be(digest + 28) & filter) return FASTPATH_NO_CANDIDATE;
    for (int i = 31; i >= 0; i--)
        if (digest[i] != target[i]) return digest[i] < target[i] ? FASTPATH_HIT : FASTPATH_MISS;
    return FASTPATH_HIT;
}

uint32_t fastpath_filter(const uint8_t target[32]) {
    uint32_t filter = 0;
    int zero = 1; /* all bits so far are */
    for (int i = 31; i >= 28; i--)
        for (int bit = 7; bit >= 0; bit--) {
            zero &= !(target[i] >> bit & 1);
            if (zero) filter |= (uint32_t)1 << bit << 8 * (31 - i);
        }
    return filter;
}
