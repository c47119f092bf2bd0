/* The tiers this build holds and what the processor at hand can run. */
#ifndef FASTPATH_DISPATCH_H
#define FASTPATH_DISPATCH_H

#include "kernels/kernel.h"

typedef enum { FASTPATH_SCAN = 0, FASTPATH_VERSIONS = 1, FASTPATH_BATCH = 2, FASTPATH_WORKS = 3 } fastpath_work;

/* Any kernel may be missing from a tier, and both batch kernels are there or none. */
typedef struct {
    const char *name;
    uint32_t needs; /* bits: fastpath_features[i] is bit i */
    fastpath_scan_kernel *scan;
    fastpath_versions_kernel *versions;
    fastpath_batch_kernel *batch64, *batch80;
    uint32_t slice; /* hashes of a calibration slice: well under a millisecond */
} fastpath_tier;

/* From the one to be tried first to the last; the last, portable, has no needs. */
extern const fastpath_tier fastpath_tiers[];
extern const int fastpath_tier_count;

/* Names of the features, ended by NULL. */
extern const char *const fastpath_features[];

/* The features the processor has and the operating system saves. */
uint32_t fastpath_processor(void);

int fastpath_tier_does(const fastpath_tier *tier, fastpath_work work);

/* digests[i] = sha256d of item i, through a batch kernel of the tier (NULL: none) where there is one for the size. In
   place where items have 64 bytes and digests are the same memory. */
void fastpath_hash_items(const fastpath_tier *tier, const uint8_t *items, size_t size, size_t count, uint8_t *digests);

/* Nanoseconds of a clock that only goes forward. */
double fastpath_now_ns(void);

/* Nanoseconds for one hash of a slice on made-up data. */
double fastpath_time(const fastpath_tier *tier, fastpath_work work);

#endif
