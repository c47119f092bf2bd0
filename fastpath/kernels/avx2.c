/* Tier avx2: one hash in each lane of a vector. */
#define LANES 8
#define SCAN fastpath_avx2_scan
#define SCAN_LOOP fastpath_avx2_scan_loop
#define VERSIONS fastpath_avx2_versions
#define VERSIONS_LOOP fastpath_avx2_versions_loop
#include "kernel.h"

#include "avx2_body.h"

#include "lanes.h"
