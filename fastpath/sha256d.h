/* SHA-256d in portable C: what the extension module calls. Every function is free of Python and may run without the GIL. */
#ifndef FASTPATH_SHA256D_H
#define FASTPATH_SHA256D_H

#include <stddef.h>
#include <stdint.h>

/* digest = SHA-256(SHA-256(data)). */
void fastpath_sha256d(const uint8_t *data, size_t size, uint8_t digest[32]);

/* The state after one 64-byte block from the initial value, as eight big-endian words. */
void fastpath_midstate(const uint8_t block[64], uint8_t state[32]);

/* Hash the nonces start .. start+count-1 of a block header and write those whose hash, read as a little-endian integer,
   is <= target (32 bytes, little-endian) to hits, in ascending order. The nonce field of the header is not read.
   hits must hold count values and start+count must not exceed 2^32. Returns the number of hits. */
size_t fastpath_scan(const uint8_t header[80], uint32_t start, uint32_t count, const uint8_t target[32], uint32_t *hits);

/* Fold count (>= 1) 32-byte hashes, side by side, into their merkle root. level is overwritten and must have room for
   one hash more than it holds: an odd level repeats its last hash. */
void fastpath_merkle_root(uint8_t *level, size_t count, uint8_t root[32]);

#endif
