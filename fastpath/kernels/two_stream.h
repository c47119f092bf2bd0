/* The C around a two-stream loop with an eight- or sixteen-lane schedule: the job's context, the nonce tables, the check.
   The includer defines LANES, SCAN, SCAN_LOOP, VERSIONS, VERSIONS_LOOP; the loops come from fastpath/gen. */
#include "kernel.h"

/* Byte offsets are part of the generated code (gen/vector_schedule.py). */
typedef struct {
    uint32_t cdgh[4];      /* after four rounds */
    uint32_t words[14];    /* K+W of rounds 4..17 */
    uint32_t unused[6];
    uint32_t constants[6]; /* parts of words 18, 19; words 16, 17; sums of the scalar terms of words 31, 32 */
    uint32_t unused2[10];
    uint32_t midstate[8];
} __attribute__((aligned(64))) scan_context;
_Static_assert(offsetof(scan_context, words) == 16 && offsetof(scan_context, constants) == 96 &&
                   offsetof(scan_context, midstate) == 160,
               "the generated code reads these offsets");

extern void SCAN_LOOP(const void *context, const void *states, uint32_t *results, uint64_t iterations, const void *nonces);

size_t SCAN(const fastpath_job *job, uint32_t start, uint32_t count, uint32_t *candidates) {
    /* A result leaves two iterations after its schedule began. */
    enum { DELAY = 2 * LANES, ROOM = RESTRICT_TO_BLOCK + 8 * LANES };
    uint32_t states[ROOM / LANES][4] __attribute__((aligned(64))); /* of the first nonce of each iteration */
    uint32_t nonces[ROOM] __attribute__((aligned(64)));
    uint32_t results[ROOM] __attribute__((aligned(64)));
    scan_context context;
    memset(&context, 0, sizeof context);

    uint32_t state[8], abef[4];
    first_rounds(job->midstate, job->tail, state);
    order_abef(state, abef);
    order_cdgh(state, context.cdgh);
    fixed_words fixed = fix_words(job->tail);
    const uint32_t words[14] = {0x80000000, [11] = 640, fixed.word16, fixed.word17};
    for (int i = 0; i < 14; i++) context.words[i] = words[i] + fastpath_round_constants[4 + i];
    context.constants[0] = fixed.part18;
    context.constants[1] = fixed.part19;
    context.constants[2] = fixed.word16;
    context.constants[3] = fixed.word17;
    context.constants[4] = small_sigma0(fixed.word16) + 640;
    context.constants[5] = small_sigma0(fixed.word17) + fixed.word16;
    memcpy(context.midstate, job->midstate, sizeof context.midstate);

    size_t found = 0;
    uint32_t before = start % LANES; /* the loop counts nonces from a multiple of LANES on */
    for (uint32_t done = 0; done < count;) {
        uint32_t block = count - done < RESTRICT_TO_BLOCK - before ? count - done : RESTRICT_TO_BLOCK - before;
        uint32_t iterations = (before + block + LANES - 1) / LANES, first = start + done - before;
        for (uint32_t i = 0; i < iterations * LANES; i++) nonces[i] = swap32(first + i);
        for (uint32_t i = 0; i < iterations; i++) {
            uint32_t word = nonces[i * LANES], *state_of = states[1 + i]; /* the first iteration only fills the pipe */
            state_of[0] = abef[0], state_of[1] = abef[1] + word, state_of[2] = abef[2], state_of[3] = abef[3] + word;
        }
        SCAN_LOOP(&context, states, results, iterations + 2, nonces);
        found += collect(results + DELAY + before, block, job->filter, start + done, candidates + found);
        done += block;
        before = 0;
    }
    return found;
}

/* LANES versions: state after four rounds, then the midstates, lanes dealt the way the transposition leaves them. */
typedef struct {
    struct {
        uint32_t abef[4], cdgh[4];
    } state[LANES];
    uint32_t midstate[8][LANES];
} versions_context;

#define NAME_OF_VERSIONS VERSIONS
#define LOOP_OF_VERSIONS VERSIONS_LOOP
#define LANES_OF_VERSIONS LANES

static void fill_version(versions_context *contexts, uint32_t number, const uint32_t midstate[8], const uint32_t state[8]) {
    enum { QUARTERS = LANES / 4 };
    versions_context *context = contexts + number / LANES;
    uint32_t lane = number % LANES;
    order_abef(state, context->state[lane].abef);
    order_cdgh(state, context->state[lane].cdgh);
    for (int i = 0; i < 8; i++) context->midstate[i][lane % QUARTERS * 4 + lane / QUARTERS] = midstate[i];
}

#include "rolled_versions.h"
