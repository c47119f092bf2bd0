/* Tier avx512: one hash in each lane of a vector. */
#define LANES 16
#define SCAN fastpath_avx512_scan
#define SCAN_LOOP fastpath_avx512_scan_loop
#define VERSIONS fastpath_avx512_versions
#define VERSIONS_LOOP fastpath_avx512_versions_loop
#include "kernel.h"

#include "avx512_body.h"

#include "lanes.h"
