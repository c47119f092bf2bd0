/* Tier shani-xmm: SHA-NI rounds beside a SHA-NI schedule, in the 32 registers of AVX-512VL. */
#define VERSIONS fastpath_shani_xmm_versions
#define VERSIONS_LOOP fastpath_shani_xmm_versions_loop
#include "two_stream_xmm.h"
#define BATCH64 fastpath_shani_xmm_batch64
#define BATCH64_LOOP fastpath_shani_xmm_batch64_loop
#define BATCH80 fastpath_shani_xmm_batch80
#define BATCH80_LOOP fastpath_shani_xmm_batch80_loop
#include "shani_batch.h"
