/* The C around a lane-parallel loop. The includer includes its generated body and defines LANES, SCAN, SCAN_LOOP,
   VERSIONS, VERSIONS_LOOP. */

extern void SCAN_LOOP(const void *job, const void *nonce_vectors, uint32_t *results, uint64_t iterations);
extern void VERSIONS_LOOP(const void *job, const void *pairs, uint32_t *results, uint64_t iterations);

size_t SCAN(const fastpath_job *job, uint32_t start, uint32_t count, uint32_t *candidates) {
    uint32_t nonces[RESTRICT_TO_BLOCK] __attribute__((aligned(64)));
    uint32_t results[RESTRICT_TO_BLOCK] __attribute__((aligned(64)));
    uint32_t constants[SCAN_JOB_WORDS];
    scan_job(job->midstate, job->tail, constants);

    size_t found = 0;
    for (uint32_t done = 0; done < count;) {
        uint32_t block = count - done < RESTRICT_TO_BLOCK ? count - done : RESTRICT_TO_BLOCK;
        uint32_t iterations = (block + LANES - 1) / LANES;
        for (uint32_t i = 0; i < iterations * LANES; i++) nonces[i] = swap32(start + done + i);
        SCAN_LOOP(constants, nonces, results, iterations);
        found += collect(results, block, job->filter, start + done, candidates + found);
        done += block;
    }
    return found;
}

size_t VERSIONS(const fastpath_job *job, const uint32_t (*midstates)[8], uint32_t versions, uint32_t start, uint32_t nonces,
                uint32_t *candidates) {
    enum { NONCES = 16, GROUPS = MAX_VERSIONS / LANES };
    uint32_t lane_words[GROUPS][VERSIONS_LANE_WORDS * LANES] __attribute__((aligned(64)));
    uint32_t nonce_words[NONCES][VERSIONS_NONCE_WORDS], constants[VERSIONS_JOB_WORDS];
    uint32_t results[NONCES * MAX_VERSIONS] __attribute__((aligned(64)));
    struct {
        const void *nonce, *lanes;
    } work[NONCES * GROUPS];
    uint32_t groups = (versions + LANES - 1) / LANES, padded = groups * LANES;

    versions_job(job->tail, constants);
    for (uint32_t i = 0; i < padded; i++) /* lanes left over repeat the last version */
        versions_lane(midstates[i < versions ? i : versions - 1], constants, lane_words[i / LANES] + i % LANES);

    size_t found = 0;
    for (uint32_t done = 0; done < nonces;) {
        uint32_t block = nonces - done < NONCES ? nonces - done : NONCES, length = 0;
        for (uint32_t n = 0; n < block; n++) {
            versions_nonce(swap32(start + done + n), constants, nonce_words[n]);
            for (uint32_t group = 0; group < groups; group++, length++) {
                work[length].nonce = nonce_words[n];
                work[length].lanes = lane_words[group];
            }
        }
        VERSIONS_LOOP(constants, work, results, length);
        for (uint32_t n = 0; n < block; n++)
            found += collect(results + n * padded, versions, job->filter, (done + n) * versions, candidates + found);
        done += block;
    }
    return found;
}
