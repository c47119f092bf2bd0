/* Every tier this processor runs against the reference: random headers, starts up to the last nonce, odd counts, several
   candidates in one vector, unaligned batches. Run by the targets `sanitize` and `aarch64` of the Makefile and by a test. */
#include <stdio.h>
#include <stdlib.h>

#include "../../../fastpath/dispatch.h"

static uint64_t seed = 88172645463325252u;

static uint32_t draw(void) { /* xorshift: the same numbers on every machine */
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 16);
}

static void fill(uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)draw();
}

static fastpath_job job_of(const uint8_t header[80], uint32_t filter) {
    fastpath_job job = {.filter = filter};
    fastpath_midstate(header, job.midstate);
    for (int i = 0; i < 3; i++)
        for (int byte = 0; byte < 4; byte++) job.tail[i] = job.tail[i] << 8 | header[64 + 4 * i + byte];
    return job;
}

static int wrong(const fastpath_tier *tier, const char *work, uint32_t count) {
    printf("%s: %s of %u differs from the reference\n", tier->name, work, count);
    return 1;
}

static int passes(const uint8_t header[80], uint32_t nonce, uint32_t filter) {
    uint8_t any[32];
    memset(any, 0xff, sizeof any);
    return fastpath_judge(header, nonce, filter, any) == FASTPATH_HIT;
}

static int check_scan(const fastpath_tier *tier, uint32_t start, uint32_t count, uint32_t filter) {
    uint8_t header[80];
    fill(header, sizeof header);
    fastpath_job job = job_of(header, filter);
    uint32_t *candidates = malloc(sizeof *candidates * (count ? count : 1));
    size_t found = tier->scan(&job, start, count, candidates), next = 0;
    int good = 1;
    for (uint32_t i = 0; i < count; i++)
        if (passes(header, start + i, filter)) good &= next < found && candidates[next++] == start + i;
    free(candidates);
    return good && next == found ? 0 : wrong(tier, "scan", count);
}

static int check_versions(const fastpath_tier *tier, uint32_t versions, uint32_t start, uint32_t nonces, uint32_t filter) {
    uint8_t headers[MAX_VERSIONS][80];
    uint32_t midstates[MAX_VERSIONS][8];
    fill(headers[0], 80);
    for (uint32_t i = 0; i < versions; i++) {
        memcpy(headers[i], headers[0], 80);
        headers[i][1] = (uint8_t)i;
        fastpath_midstate(headers[i], midstates[i]);
    }
    fastpath_job job = job_of(headers[0], filter);
    uint32_t *candidates = malloc(sizeof *candidates * versions * nonces);
    size_t found = tier->versions(&job, (const uint32_t(*)[8])midstates, versions, start, nonces, candidates), next = 0;
    int good = 1;
    for (uint32_t i = 0; i < versions * nonces; i++)
        if (passes(headers[i % versions], start + i / versions, filter)) good &= next < found && candidates[next++] == i;
    free(candidates);
    return good && next == found ? 0 : wrong(tier, "versions", versions);
}

static int check_batch(const fastpath_tier *tier, size_t size, uint32_t count, uint32_t offset) {
    /* Exactly as large as needed, so that a sanitizer sees a byte too many. */
    uint8_t *messages = malloc(size * count + offset + 1), *digests = malloc(32 * count + 1), expected[32];
    fill(messages, size * count + offset);
    (size == 64 ? tier->batch64 : tier->batch80)(messages + offset, count, digests);
    int good = 1;
    for (uint32_t i = 0; i < count; i++) {
        fastpath_sha256d(messages + offset + size * i, size, expected);
        good &= memcmp(expected, digests + 32 * i, 32) == 0;
    }
    free(messages);
    free(digests);
    return good ? 0 : wrong(tier, "batch", count);
}

int main(int argc, char **argv) {
    static const uint32_t COUNTS[] = {0, 1, 2, 7, 8, 9, 15, 16, 17, 333, 2047, 2048, 2049};
    enum { COUNT_OF_COUNTS = sizeof COUNTS / sizeof *COUNTS };
    int trials = argc > 1 ? atoi(argv[1]) : 8, failures = 0, tiers = 0;
    uint32_t processor = fastpath_processor();
    for (int t = 0; t < fastpath_tier_count; t++) {
        const fastpath_tier *tier = fastpath_tiers + t;
        if (tier->needs & ~processor) {
            printf("%s: not on this processor\n", tier->name);
            continue;
        }
        tiers++;
        for (int trial = 0; trial < trials; trial++) {
            uint32_t filter = trial % 3 == 0 ? 0 : trial % 3 == 1 ? 0x3 : 0x80000007; /* all, many, few candidates */
            for (int i = 0; i < COUNT_OF_COUNTS; i++) {
                uint32_t count = COUNTS[i], start = trial % 2 ? 0u - count : draw() >> 1;
                if (tier->scan) failures += check_scan(tier, start, count, filter);
            }
            if (tier->versions) {
                failures += check_versions(tier, 1 + draw() % MAX_VERSIONS, draw() >> 1, 1 + draw() % 20, filter);
                failures += check_versions(tier, trial % 2 ? MAX_VERSIONS : 16, 0u - 17, 17, filter);
            }
            for (uint32_t count = 0; tier->batch64 && count < 264; count += count == 30 ? 223 : 1) { /* 0..30, 253..263 */
                failures += check_batch(tier, 64, count, draw() % 8);
                failures += check_batch(tier, 80, count, draw() % 8);
            }
        }
        printf("%s: checked\n", tier->name);
    }
    printf("%d tiers, %d failures\n", tiers, failures);
    return failures ? 1 : 0;
}
