/* Tier shani: SHA-NI rounds beside a SHA-NI schedule, in sixteen registers. */
#define SCAN fastpath_shani_scan
#define SCAN_LOOP fastpath_shani_scan_loop
#define VERSIONS fastpath_shani_versions
#define VERSIONS_LOOP fastpath_shani_versions_loop
#include "two_stream_xmm.h"
#define BATCH64 fastpath_shani_batch64
#define BATCH64_LOOP fastpath_shani_batch64_loop
#define BATCH80 fastpath_shani_batch80
#define BATCH80_LOOP fastpath_shani_batch80_loop
#include "shani_batch.h"
