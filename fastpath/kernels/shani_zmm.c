/* Tier shani-zmm: SHA-NI rounds beside a schedule in zmm registers. */
#define LANES 16
#define SCAN fastpath_shani_zmm_scan
#define SCAN_LOOP fastpath_shani_zmm_scan_loop
#define VERSIONS fastpath_shani_zmm_versions
#define VERSIONS_LOOP fastpath_shani_zmm_versions_loop
#include "two_stream.h"
