# cython: language_level=3, boundscheck=False, wraparound=False
"""The border between Python and the C kernels: memory, the GIL, Ctrl-C and stop flags.

Owns no arithmetic (`sha256d.c` and `kernels/` do) no choice of a tier (`_tiers.pxi` does) and no rule
on arguments (`_arguments.py` does).
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from fastpath import _pure
from fastpath._arguments import (
    branch_index, buffer, item_count, kernel_name, rolled_versions, scan_range, stop_check,
)

cdef extern from "dispatch.h" nogil:
    enum:
        FASTPATH_SCAN, FASTPATH_VERSIONS, FASTPATH_BATCH, FASTPATH_WORKS
        FASTPATH_HIT, FASTPATH_NO_CANDIDATE
        MAX_VERSIONS
    ctypedef struct fastpath_job:
        uint32_t midstate[8]
        uint32_t tail[3]
        uint32_t filter
    ctypedef uint32_t state_words "uint32_t"
    ctypedef size_t (*scan_kernel)(const fastpath_job *, uint32_t, uint32_t, uint32_t *) noexcept nogil
    ctypedef size_t (*versions_kernel)(
        const fastpath_job *, const uint32_t (*)[8], uint32_t, uint32_t, uint32_t, uint32_t *) noexcept nogil
    ctypedef void (*batch_kernel)(const uint8_t *, size_t, uint8_t *) noexcept nogil
    ctypedef struct fastpath_tier:
        const char *name
        uint32_t needs
        scan_kernel scan
        versions_kernel versions
        batch_kernel batch64
        batch_kernel batch80
        uint32_t slice
    const fastpath_tier fastpath_tiers[]
    const int fastpath_tier_count
    const char *const fastpath_features[]
    uint32_t fastpath_processor() noexcept
    int fastpath_tier_does(const fastpath_tier *tier, int work) noexcept
    void fastpath_hash_items(
        const fastpath_tier *tier, const uint8_t *items, size_t size, size_t count, uint8_t *digests) noexcept
    double fastpath_now_ns() noexcept
    double fastpath_time(const fastpath_tier *tier, int work) noexcept
    void fastpath_sha256d(const uint8_t *data, size_t size, uint8_t *digest) noexcept
    void fastpath_midstate(const uint8_t *block, uint32_t *state) noexcept
    int fastpath_judge(const uint8_t *header, uint32_t nonce, uint32_t filter, const uint8_t *target) noexcept
    uint32_t fastpath_filter(const uint8_t *target) noexcept

cdef enum:
    # Below this many bytes, handing the GIL over costs more than the hash.
    GIL_BYTES = 2048
    # Calibration slices between two looks for Ctrl-C and the stop flag: some 5 ms of any tier.
    SLICES = 8
    # Hashes a candidate costs, about: it is hashed again by the reference.
    CANDIDATES = 4096

include "_tiers.pxi"


cdef int _take(object data, str name, Py_ssize_t size, Py_buffer *view) except -1:
    """Fill `view` from `data`, which must be `size` bytes long (any length where -1). The caller releases it."""
    try:
        PyObject_GetBuffer(data, view, PyBUF_SIMPLE)
    except (TypeError, ValueError, BufferError):
        buffer(data, name)  # says what is wrong with which argument
        raise
    if size >= 0 and view.len != size:
        PyBuffer_Release(view)
        buffer(data, name, size)
    return 0


cdef uint32_t _big_endian(const uint8_t *data) noexcept nogil:
    return <uint32_t>data[0] << 24 | <uint32_t>data[1] << 16 | <uint32_t>data[2] << 8 | data[3]


cdef int _failed(int tier, uint32_t nonce) except -1:
    raise RuntimeError(
        f"kernel {fastpath_tiers[tier].name.decode()!r} proposed nonce {nonce}, and its hash does not pass the kernel's "
        "own filter: results of this kernel cannot be trusted here; set FASTPATH_KERNEL=portable and report it"
    )


cdef const fastpath_tier *_batch_tier(int tier) noexcept nogil:
    return &fastpath_tiers[tier] if tier >= 0 else NULL


def sha256d(data):
    cdef Py_buffer view
    cdef uint8_t digest[32]
    _take(data, "data", -1, &view)
    if view.len < GIL_BYTES:
        fastpath_hash_items(
            _batch_tier(_tier(FASTPATH_BATCH)), <const uint8_t *>view.buf, <size_t>view.len, 1, digest)
    else:
        with nogil:
            fastpath_sha256d(<const uint8_t *>view.buf, <size_t>view.len, digest)
    PyBuffer_Release(&view)
    return PyBytes_FromStringAndSize(<char *>digest, 32)


def sha256d_many(buffer, item_size, *, kernel=None):
    cdef Py_buffer view
    if kernel == "pure":
        return _pure.sha256d_many(buffer, item_size)
    cdef int tier = _tier_for(FASTPATH_BATCH, kernel, 0, None)
    _take(buffer, "buffer", -1, &view)
    cdef size_t size, count
    cdef uint8_t *out
    try:
        size, count = item_count(view.len, item_size)
        digests = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>(32 * count))
        out = <uint8_t *>PyBytes_AS_STRING(digests)
        if view.len < GIL_BYTES:
            fastpath_hash_items(_batch_tier(tier), <const uint8_t *>view.buf, size, count, out)
        else:
            with nogil:
                fastpath_hash_items(_batch_tier(tier), <const uint8_t *>view.buf, size, count, out)
    finally:
        PyBuffer_Release(&view)
    return digests


def midstate(block64):
    cdef Py_buffer view
    cdef uint32_t words[8]
    cdef uint8_t state[32]
    cdef int i
    _take(block64, "block64", 64, &view)
    fastpath_midstate(<const uint8_t *>view.buf, words)
    PyBuffer_Release(&view)
    for i in range(32):
        state[i] = <uint8_t>(words[i // 4] >> (24 - 8 * (i % 4)))
    return PyBytes_FromStringAndSize(<char *>state, 32)


cdef int _make_job(const uint8_t *header, const uint8_t *target, fastpath_job *job) noexcept nogil:
    cdef int i
    fastpath_midstate(header, job.midstate)
    for i in range(3):
        job.tail[i] = _big_endian(header + 64 + 4 * i)
    job.filter = fastpath_filter(target)
    return 0


cdef uint32_t _chunk(int tier, uint32_t filter) noexcept nogil:
    """Hashes between two looks at the stop flag, fewer where many of them will be candidates."""
    cdef uint64_t likely = CANDIDATES
    cdef uint64_t most = <uint64_t>fastpath_tiers[tier].slice * SLICES
    while filter and likely < most:
        filter &= filter - 1
        likely <<= 1
    return <uint32_t>min(likely, most)


def scan(header80, start, count, target, *, kernel=None, stop=None):
    cdef Py_buffer view
    cdef uint8_t header[80]
    if kernel == "pure":
        return _pure.scan(header80, start, count, target, stop=stop)
    _take(header80, "header80", 80, &view)
    memcpy(header, view.buf, 80)
    PyBuffer_Release(&view)

    first, hashes, limit_bytes = scan_range(start, count, target)
    cdef uint64_t nonce = first, left = hashes
    stopped = None if stop is None else stop_check(stop)
    cdef int tier = _tier_for(FASTPATH_SCAN, kernel, left, stopped)
    if tier < 0:
        tier = _first[FASTPATH_SCAN]
    result = []
    if left == 0:
        return result

    cdef const uint8_t *limit = limit_bytes
    cdef fastpath_job job
    _make_job(header, limit, &job)
    cdef uint32_t room = _chunk(tier, job.filter), block
    cdef size_t found, i, kept
    cdef int verdict = 0
    cdef uint32_t *hits = <uint32_t *>malloc(sizeof(uint32_t) * min(left, <uint64_t>room))
    if hits == NULL:
        raise MemoryError
    try:
        while left > 0 and not (stopped is not None and stopped()):
            block = <uint32_t>min(left, <uint64_t>room)
            with nogil:
                found = fastpath_tiers[tier].scan(&job, <uint32_t>nonce, block, hits)
                kept = 0
                for i in range(found):
                    verdict = fastpath_judge(header, hits[i], job.filter, limit)
                    if verdict == FASTPATH_NO_CANDIDATE:
                        kept = i
                        break
                    if verdict == FASTPATH_HIT:
                        hits[kept] = hits[i]
                        kept += 1
            if verdict == FASTPATH_NO_CANDIDATE:
                _failed(tier, hits[kept])
            for i in range(kept):
                result.append(hits[i])
            nonce += block
            left -= block
            PyErr_CheckSignals()
    finally:
        free(hits)
    return result


def scan_versions(header80, mask, versions, start, count, target, *, kernel=None, stop=None):
    cdef Py_buffer view
    cdef uint8_t header[80]
    cdef int tier
    if kernel == "pure":
        return _pure.scan_versions(header80, mask, versions, start, count, target, stop=stop)
    _take(header80, "header80", 80, &view)
    memcpy(header, view.buf, 80)
    PyBuffer_Release(&view)

    rolled = rolled_versions(int.from_bytes(header[:4], "little"), mask, versions)
    first, hashes, limit_bytes = scan_range(start, count, target)
    stopped = None if stop is None else stop_check(stop)
    cdef size_t total = len(rolled)
    tier = _tier_for(FASTPATH_VERSIONS, kernel, <uint64_t>hashes * total, stopped)
    cdef uint64_t nonce = first, left = hashes
    if left == 0 or total == 0:
        return []
    if tier < 0 or (kernel is None and total < 4):
        return _one_by_one(header[:80], rolled, first, hashes, target, kernel, stop)

    cdef const uint8_t *limit = limit_bytes
    cdef fastpath_job job
    _make_job(header, limit, &job)
    # Groups of equal size, so that no group is mostly padding.
    cdef size_t groups = (total + MAX_VERSIONS - 1) // MAX_VERSIONS
    cdef size_t width = (total + groups - 1) // groups
    cdef uint32_t block, room = max(_chunk(tier, job.filter) // <uint32_t>width, <uint32_t>16)
    cdef size_t found, i, begin, here, kept
    cdef uint32_t number
    cdef int verdict = 0
    cdef uint32_t *midstates = <uint32_t *>malloc(32 * total)
    cdef uint32_t *words = <uint32_t *>malloc(sizeof(uint32_t) * total)
    cdef uint32_t *hits = <uint32_t *>malloc(sizeof(uint32_t) * width * min(left, <uint64_t>room))
    result = []
    try:
        if midstates == NULL or words == NULL or hits == NULL:
            raise MemoryError
        for i in range(total):
            words[i] = rolled[i]
        with nogil:
            for i in range(total):
                memcpy(header, &words[i], 4)
                fastpath_midstate(header, midstates + 8 * i)
        while left > 0:
            block = <uint32_t>min(left, <uint64_t>room)
            block_hits = []
            begin = 0
            while begin < total:
                if stopped is not None and stopped():
                    result += sorted(block_hits)
                    return [(rolled[place], nonce_hit) for nonce_hit, place in result]
                here = min(width, total - begin)
                with nogil:
                    found = fastpath_tiers[tier].versions(
                        &job, <const uint32_t (*)[8]>(midstates + 8 * begin), <uint32_t>here, <uint32_t>nonce, block, hits)
                    kept = 0
                    for i in range(found):
                        number = hits[i] % <uint32_t>here
                        memcpy(header, &words[begin + number], 4)
                        verdict = fastpath_judge(header, <uint32_t>nonce + hits[i] // <uint32_t>here, job.filter, limit)
                        if verdict == FASTPATH_NO_CANDIDATE:
                            kept = i
                            break
                        if verdict == FASTPATH_HIT:
                            hits[kept] = hits[i]
                            kept += 1
                if verdict == FASTPATH_NO_CANDIDATE:
                    _failed(tier, <uint32_t>nonce + hits[kept] // <uint32_t>here)
                for i in range(kept):
                    block_hits.append((nonce + hits[i] // here, begin + hits[i] % here))
                begin += here
                PyErr_CheckSignals()
            result += sorted(block_hits)
            nonce += block
            left -= block
    finally:
        free(midstates)
        free(words)
        free(hits)
    return [(rolled[place], nonce_hit) for nonce_hit, place in result]


def _one_by_one(header, rolled, first, hashes, target, kernel, stop):
    """The hits of `scan_versions` by a scan for each version."""
    result = []
    for place, version in enumerate(rolled):
        rolled_header = version.to_bytes(4, "little") + header[4:]
        hits = scan(rolled_header, first, hashes, target, kernel=kernel, stop=stop)
        result += [(nonce, place) for nonce in hits]
    return [(rolled[place], nonce) for nonce, place in sorted(result)]


cdef uint8_t *_gather(list hashes) except NULL:
    """The hashes side by side, with room for one more; the caller frees it."""
    cdef Py_buffer view
    cdef size_t i, count = len(hashes)
    if count == 0:
        raise ValueError("txids must hold at least one hash")
    cdef uint8_t *level = <uint8_t *>malloc(32 * (count + 1))
    if level == NULL:
        raise MemoryError
    try:
        for i in range(count):
            each = hashes[i]
            if type(each) is bytes and len(<bytes>each) == 32:
                memcpy(level + 32 * i, PyBytes_AS_STRING(each), 32)
                continue
            _take(each, f"txids[{i}]", 32, &view)
            memcpy(level + 32 * i, view.buf, 32)
            PyBuffer_Release(&view)
    except BaseException:
        free(level)
        raise
    return level


cdef void _climb(int tier, uint8_t *level, size_t count, size_t index, uint8_t *siblings) noexcept nogil:
    """Fold a level into its root at its own beginning, noting on the way the sibling of `index` on each level."""
    while count > 1:
        if count & 1:
            memcpy(level + 32 * count, level + 32 * (count - 1), 32)
            count += 1
        if siblings != NULL:
            memcpy(siblings, level + 32 * (index ^ 1), 32)
            siblings += 32
            index >>= 1
        count //= 2
        fastpath_hash_items(_batch_tier(tier), level, 64, count, level)


def merkle_root(txids):
    hashes = list(txids)
    cdef size_t count = len(hashes)
    cdef uint8_t *level = _gather(hashes)
    cdef int tier = _tier(FASTPATH_BATCH)
    with nogil:
        _climb(tier, level, count, 0, NULL)
    root = PyBytes_FromStringAndSize(<char *>level, 32)
    free(level)
    return root


def merkle_branch(txids, index=0):
    hashes = list(txids)
    cdef size_t count = len(hashes), place = branch_index(index, len(hashes)), i
    cdef uint8_t siblings[32 * 64]
    levels = (len(hashes) - 1).bit_length()
    cdef uint8_t *level = _gather(hashes)
    cdef int tier = _tier(FASTPATH_BATCH)
    with nogil:
        _climb(tier, level, count, place, siblings)
    free(level)
    return [PyBytes_FromStringAndSize(<char *>siblings + 32 * i, 32) for i in range(<size_t>levels)]


for _function in (sha256d, sha256d_many, midstate, scan, scan_versions, merkle_root, merkle_branch):
    _function.__doc__ = getattr(_pure, _function.__name__).__doc__
del _function
