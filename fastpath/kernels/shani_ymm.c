/* Tier shani-ymm: SHA-NI rounds beside a schedule in ymm registers. */
#define LANES 8
#define SCAN fastpath_shani_ymm_scan
#define SCAN_LOOP fastpath_shani_ymm_scan_loop
#define VERSIONS fastpath_shani_ymm_versions
#define VERSIONS_LOOP fastpath_shani_ymm_versions_loop
#include "two_stream.h"
