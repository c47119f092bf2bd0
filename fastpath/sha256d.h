/* SHA-256d in portable C: the reference every kernel is checked against. Every function is free of Python and may run
   without the GIL. */
#ifndef FASTPATH_SHA256D_H
#define FASTPATH_SHA256D_H

#include <stddef.h>
#include <stdint.h>

/* Initial value and round constants (FIPS 180-4, 5.3.3 and 4.2.2). */
extern const uint32_t fastpath_initial[8];
extern const uint32_t fastpath_round_constants[64];

/* digest = SHA-256(SHA-256(data)). */
void fastpath_sha256d(const uint8_t *data, size_t size, uint8_t digest[32]);

/* The state after one 64-byte block from the initial value, as eight numbers. */
void fastpath_midstate(const uint8_t block[64], uint32_t state[8]);

/* What a nonce's own hash says about it, whatever kernel proposed it. */
typedef enum { FASTPATH_MISS = 0, FASTPATH_HIT = 1, FASTPATH_NO_CANDIDATE = -1 } fastpath_verdict;

/* Hash the header with this nonce from scratch and compare it, as a little-endian integer, with target (32 bytes,
   little-endian). NO_CANDIDATE: the last word of the digest does not even pass filter. */
fastpath_verdict fastpath_judge(const uint8_t header[80], uint32_t nonce, uint32_t filter, const uint8_t target[32]);

/* The bits that are 0 in the last digest word (big-endian) of every hash <= target. */
uint32_t fastpath_filter(const uint8_t target[32]);

#endif
