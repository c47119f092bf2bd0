/* Tier portable: one hash at a time in plain C, with every trick that is arithmetic. The body comes from fastpath/gen. */
#include "kernel.h"
#include "portable_body.h"

size_t fastpath_portable_scan(const fastpath_job *job, uint32_t start, uint32_t count, uint32_t *candidates) {
    uint32_t constants[PORTABLE_JOB_CONSTANTS];
    portable_job(job->midstate, job->tail, constants);
    size_t found = 0;
    for (uint32_t i = 0; i < count; i++)
        if ((portable_last_word(constants, swap32(start + i)) & job->filter) == 0) candidates[found++] = start + i;
    return found;
}
