/* Owns the table of tiers and asks the processor; compiled without any instruction-set flag. */
#define _POSIX_C_SOURCE 200809L
#include "dispatch.h"

#include <time.h>

enum { SHA = 1, AVX = 2, AVX2 = 4, AVX512F = 8, AVX512VL = 16, ARM_SHA2 = 32 };
const char *const fastpath_features[] = {"sha", "avx", "avx2", "avx512f", "avx512vl", "sha2", 0};

extern fastpath_scan_kernel fastpath_shani_ymm_scan, fastpath_shani_zmm_scan, fastpath_shani_scan, fastpath_avx512_scan,
    fastpath_avx2_scan, fastpath_portable_scan, fastpath_arm_scan;
extern fastpath_versions_kernel fastpath_shani_xmm_versions, fastpath_shani_ymm_versions, fastpath_shani_zmm_versions,
    fastpath_shani_versions, fastpath_avx512_versions, fastpath_avx2_versions;
extern fastpath_batch_kernel fastpath_shani_xmm_batch64, fastpath_shani_xmm_batch80, fastpath_shani_batch64,
    fastpath_shani_batch80, fastpath_arm_batch64, fastpath_arm_batch80;

const fastpath_tier fastpath_tiers[] = {
#if defined(__x86_64__)
    {"shani-xmm", SHA | AVX | AVX512F | AVX512VL, 0, fastpath_shani_xmm_versions, fastpath_shani_xmm_batch64,
     fastpath_shani_xmm_batch80, 24576},
    {"shani-ymm", SHA | AVX | AVX512F | AVX512VL, fastpath_shani_ymm_scan, fastpath_shani_ymm_versions, 0, 0, 24576},
    {"shani-zmm", SHA | AVX | AVX512F | AVX512VL, fastpath_shani_zmm_scan, fastpath_shani_zmm_versions, 0, 0, 24576},
    {"shani", SHA | AVX, fastpath_shani_scan, fastpath_shani_versions, fastpath_shani_batch64, fastpath_shani_batch80, 16384},
    {"avx512", AVX512F, fastpath_avx512_scan, fastpath_avx512_versions, 0, 0, 16384},
    {"avx2", AVX2, fastpath_avx2_scan, fastpath_avx2_versions, 0, 0, 8192},
#elif defined(__aarch64__)
    {"arm-sha2", ARM_SHA2, fastpath_arm_scan, 0, fastpath_arm_batch64, fastpath_arm_batch80, 8192},
#endif
    {"portable", 0, fastpath_portable_scan, 0, 0, 0, 2048},
};
const int fastpath_tier_count = sizeof fastpath_tiers / sizeof *fastpath_tiers;

#if defined(__x86_64__)
#include <cpuid.h>

uint32_t fastpath_processor(void) {
    uint32_t found = 0;
    unsigned a, b, c, d;
    __builtin_cpu_init(); /* its answers include whether the operating system saves the registers */
    if (__builtin_cpu_supports("avx")) found |= AVX;
    if (__builtin_cpu_supports("avx2")) found |= AVX2;
    if (__builtin_cpu_supports("avx512f")) found |= AVX512F;
    if (__builtin_cpu_supports("avx512vl")) found |= AVX512VL;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1)) found |= SHA;
    return found;
}
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>

uint32_t fastpath_processor(void) {
    return getauxval(AT_HWCAP) & 1 << 6 ? ARM_SHA2 : 0; /* HWCAP_SHA2 */
}
#else
uint32_t fastpath_processor(void) { return 0; }
#endif

int fastpath_tier_does(const fastpath_tier *tier, fastpath_work work) {
    if (work == FASTPATH_SCAN) return tier->scan != 0;
    if (work == FASTPATH_VERSIONS) return tier->versions != 0;
    return tier->batch64 != 0;
}

void fastpath_hash_items(const fastpath_tier *tier, const uint8_t *items, size_t size, size_t count, uint8_t *digests) {
    if (tier && size == 64 && tier->batch64) {
        tier->batch64(items, count, digests);
    } else if (tier && size == 80 && tier->batch80) {
        tier->batch80(items, count, digests);
    } else {
        for (size_t i = 0; i < count; i++) fastpath_sha256d(items + size * i, size, digests + 32 * i);
    }
}

double fastpath_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

double fastpath_time(const fastpath_tier *tier, fastpath_work work) {
    enum { MESSAGES = 256 };
    static const fastpath_job JOB = {.midstate = {1, 2, 3, 4, 5, 6, 7, 8}, .tail = {9, 10, 11}, .filter = 0xffffffff};
    uint32_t midstates[MAX_VERSIONS][8] = {{0}}, candidates[64]; /* one in 2^32 hashes is a candidate */
    uint8_t messages[64 * MESSAGES] = {0}, digests[32 * MESSAGES];
    double start = fastpath_now_ns();
    if (work == FASTPATH_SCAN) {
        tier->scan(&JOB, 0, tier->slice, candidates);
    } else if (work == FASTPATH_VERSIONS) {
        tier->versions(&JOB, midstates, MAX_VERSIONS, 0, tier->slice / MAX_VERSIONS, candidates);
    } else {
        for (uint32_t done = 0; done < tier->slice; done += MESSAGES) tier->batch64(messages, MESSAGES, digests);
    }
    return (fastpath_now_ns() - start) / tier->slice;
}
