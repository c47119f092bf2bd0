# cython: language_level=3, boundscheck=False, wraparound=False
"""The border between Python and the C kernels: memory, the GIL, Ctrl-C.

Owns no arithmetic (`sha256d.c` does) and no rule on arguments (`_arguments.py` does).
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from fastpath import _pure
from fastpath._arguments import buffer, scan_range

cdef extern from "sha256d.h" nogil:
    void fastpath_sha256d(const uint8_t *data, size_t size, uint8_t *digest)
    void fastpath_midstate(const uint8_t *block, uint8_t *state)
    size_t fastpath_scan(const uint8_t *header, uint32_t start, uint32_t count, const uint8_t *target, uint32_t *hits)
    void fastpath_merkle_root(uint8_t *level, size_t count, uint8_t *root)

cdef enum:
    # Below this many bytes, handing the GIL over costs more than the hash.
    GIL_BYTES = 2048
    # Hashes between two looks for Ctrl-C: some tens of milliseconds.
    CHUNK = 65536


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


def sha256d(data):
    cdef Py_buffer view
    cdef uint8_t digest[32]
    _take(data, "data", -1, &view)
    if view.len < GIL_BYTES:
        fastpath_sha256d(<const uint8_t *>view.buf, <size_t>view.len, digest)
    else:
        with nogil:
            fastpath_sha256d(<const uint8_t *>view.buf, <size_t>view.len, digest)
    PyBuffer_Release(&view)
    return PyBytes_FromStringAndSize(<char *>digest, 32)


def midstate(block64):
    cdef Py_buffer view
    cdef uint8_t state[32]
    _take(block64, "block64", 64, &view)
    fastpath_midstate(<const uint8_t *>view.buf, state)
    PyBuffer_Release(&view)
    return PyBytes_FromStringAndSize(<char *>state, 32)


def scan(header80, start, count, target):
    cdef Py_buffer view
    cdef uint8_t header[80]
    _take(header80, "header80", 80, &view)
    memcpy(header, view.buf, 80)
    PyBuffer_Release(&view)

    first, hashes, limit_bytes = scan_range(start, count, target)
    cdef uint64_t nonce = first, left = hashes
    cdef const uint8_t *limit = limit_bytes
    cdef uint32_t block
    cdef size_t found, i
    result = []
    if left == 0:
        return result
    cdef uint32_t *hits = <uint32_t *>malloc(sizeof(uint32_t) * min(left, <uint64_t>CHUNK))
    if hits == NULL:
        raise MemoryError
    try:
        while left > 0:
            block = <uint32_t>min(left, <uint64_t>CHUNK)
            with nogil:
                found = fastpath_scan(header, <uint32_t>nonce, block, limit, hits)
            for i in range(found):
                result.append(hits[i])
            nonce += block
            left -= block
            PyErr_CheckSignals()
    finally:
        free(hits)
    return result


def merkle_root(txids):
    cdef Py_buffer view
    cdef uint8_t root[32]
    cdef size_t count, i
    hashes = list(txids)
    count = len(hashes)
    if count == 0:
        raise ValueError("txids must hold at least one hash")
    cdef uint8_t *level = <uint8_t *>malloc(32 * (count + 1))
    if level == NULL:
        raise MemoryError
    try:
        for i in range(count):
            _take(hashes[i], f"txids[{i}]", 32, &view)
            memcpy(level + 32 * i, view.buf, 32)
            PyBuffer_Release(&view)
        with nogil:
            fastpath_merkle_root(level, count, root)
    finally:
        free(level)
    return PyBytes_FromStringAndSize(<char *>root, 32)


for _function in (sha256d, midstate, scan, merkle_root):
    _function.__doc__ = getattr(_pure, _function.__name__).__doc__
del _function
