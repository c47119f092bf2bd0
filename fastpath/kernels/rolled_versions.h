/* The C around a loop over rolled versions: one schedule of the second block per nonce, shared by all its versions.
   The includer defines versions_context, fill_version, NAME_OF_VERSIONS, LOOP_OF_VERSIONS and LANES_OF_VERSIONS. */

extern void LOOP_OF_VERSIONS(const void *unused, const void *pairs, uint32_t *results, uint64_t iterations);

size_t NAME_OF_VERSIONS(const fastpath_job *job, const uint32_t (*midstates)[8], uint32_t versions, uint32_t start,
                        uint32_t nonces, uint32_t *candidates) {
    enum { LANE_COUNT = LANES_OF_VERSIONS, NONCES = 16, GROUPS = MAX_VERSIONS / LANE_COUNT };
    versions_context contexts[GROUPS] __attribute__((aligned(64)));
    uint32_t pairs_of_words[NONCES][64] __attribute__((aligned(64))); /* K+W; 0..3 hold the nonce word in the places of a and e */
    struct {
        const void *words, *context;
    } work[NONCES * GROUPS + 4];
    uint32_t results[NONCES * MAX_VERSIONS + 4 * LANE_COUNT] __attribute__((aligned(64)));
    uint32_t groups = (versions + LANE_COUNT - 1) / LANE_COUNT, padded = groups * LANE_COUNT;

    for (uint32_t i = 0; i < padded; i++) {
        uint32_t state[8], number = i < versions ? i : versions - 1; /* lanes left over repeat the last version */
        first_rounds(midstates[number], job->tail, state);
        fill_version(contexts, i, midstates[number], state);
    }

    size_t found = 0;
    for (uint32_t done = 0; done < nonces;) {
        uint32_t block = nonces - done < NONCES ? nonces - done : NONCES;
        uint32_t w[64][NONCES];
        memset(w, 0, sizeof(w[0]) * 16);
        for (int n = 0; n < NONCES; n++) {
            for (int t = 0; t < 3; t++) w[t][n] = job->tail[t];
            w[3][n] = swap32(start + done + (uint32_t)n);
            w[4][n] = 0x80000000;
            w[15][n] = 640;
        }
        for (int t = 16; t < 64; t++)
            for (int n = 0; n < NONCES; n++)
                w[t][n] = small_sigma1(w[t - 2][n]) + w[t - 7][n] + small_sigma0(w[t - 15][n]) + w[t - 16][n];

        uint32_t length = 0;
        for (uint32_t n = 0; n < block; n++) {
            uint32_t *words = pairs_of_words[n];
            words[0] = words[2] = 0;
            words[1] = words[3] = w[3][n];
            for (int t = 4; t < 64; t++) words[t] = w[t][n] + fastpath_round_constants[t];
            for (uint32_t group = 0; group < groups; group++, length++) {
                work[length].words = words;
                work[length].context = contexts + group;
            }
        }
        work[length] = work[0]; /* a result leaves one iteration late */
        LOOP_OF_VERSIONS(0, work, results, length + 1);

        const uint32_t *late = results + LANE_COUNT;
        if (versions == padded) {
            found += collect(late, block * versions, job->filter, done * versions, candidates + found);
        } else {
            for (uint32_t n = 0; n < block; n++)
                found += collect(late + n * padded, versions, job->filter, (done + n) * versions, candidates + found);
        }
        done += block;
    }
    return found;
}
