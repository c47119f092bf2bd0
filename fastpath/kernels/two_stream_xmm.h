/* The C around a two-stream loop whose schedule is SHA-NI itself, four hashes an iteration.
   The includer defines VERSIONS, VERSIONS_LOOP and, where there is one, SCAN and SCAN_LOOP. */
#include "kernel.h"

enum { CHAINS = 4 };

#ifdef SCAN
/* Byte offsets are part of the generated code (gen/xmm_schedule.py). */
typedef struct {
    uint32_t cdgh[4];          /* after four rounds */
    uint32_t midstate_abef[4];
    uint32_t midstate_cdgh[4];
    uint32_t word20[4];        /* the constant parts of words 20..23 and 28..31 */
    uint32_t word28[4];
    uint32_t words[12];        /* K+W of rounds 4..15 */
} __attribute__((aligned(64))) xmm_context;
_Static_assert(offsetof(xmm_context, word20) == 48 && offsetof(xmm_context, words) == 80, "the generated code reads these");

extern void SCAN_LOOP(const void *context, const void *table, uint32_t *results, uint64_t iterations, const void *unused);

size_t SCAN(const fastpath_job *job, uint32_t start, uint32_t count, uint32_t *candidates) {
    enum { DELAY = 2 * CHAINS, ROOM = RESTRICT_TO_BLOCK + 8 * CHAINS };
    struct {
        uint32_t words[4], abef[4];
    } table[ROOM] __attribute__((aligned(64)));
    uint32_t results[ROOM] __attribute__((aligned(64)));
    xmm_context context;

    uint32_t state[8], abef[4];
    first_rounds(job->midstate, job->tail, state);
    order_abef(state, abef);
    order_cdgh(state, context.cdgh);
    order_abef(job->midstate, context.midstate_abef);
    order_cdgh(job->midstate, context.midstate_cdgh);
    fixed_words fixed = fix_words(job->tail);
    const uint32_t word20[4] = {0x80000000, 0, 640, fixed.word16};
    const uint32_t word28[4] = {0, 0, small_sigma0(640), 640 + small_sigma0(fixed.word16)};
    const uint32_t words[12] = {0x80000000, [11] = 640};
    memcpy(context.word20, word20, sizeof word20);
    memcpy(context.word28, word28, sizeof word28);
    for (int i = 0; i < 12; i++) context.words[i] = words[i] + fastpath_round_constants[4 + i];

    size_t found = 0;
    for (uint32_t done = 0; done < count;) {
        uint32_t block = count - done < RESTRICT_TO_BLOCK ? count - done : RESTRICT_TO_BLOCK;
        uint32_t iterations = (block + CHAINS - 1) / CHAINS;
        for (uint32_t i = 0; i < iterations * CHAINS; i++) {
            uint32_t word = swap32(start + done + i), *next = table[CHAINS + i].words, *now = table[CHAINS + i].abef;
            next[0] = fixed.word16, next[1] = fixed.word17;
            next[2] = fixed.part18 + small_sigma0(word), next[3] = fixed.part19 + word;
            now[0] = abef[0], now[1] = abef[1] + word, now[2] = abef[2], now[3] = abef[3] + word;
        }
        SCAN_LOOP(&context, table, results, iterations + 2, 0);
        found += collect(results + DELAY, block, job->filter, start + done, candidates + found);
        done += block;
    }
    return found;
}
#endif

typedef struct {
    struct {
        uint32_t abef[4], cdgh[4], midstate_abef[4], midstate_cdgh[4];
    } state[CHAINS];
} versions_context;

#define NAME_OF_VERSIONS VERSIONS
#define LOOP_OF_VERSIONS VERSIONS_LOOP
#define LANES_OF_VERSIONS CHAINS

static void fill_version(versions_context *contexts, uint32_t number, const uint32_t midstate[8], const uint32_t state[8]) {
    versions_context *context = contexts + number / CHAINS;
    uint32_t chain = number % CHAINS;
    order_abef(state, context->state[chain].abef);
    order_cdgh(state, context->state[chain].cdgh);
    order_abef(midstate, context->state[chain].midstate_abef);
    order_cdgh(midstate, context->state[chain].midstate_cdgh);
}

#include "rolled_versions.h"
