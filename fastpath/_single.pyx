# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""One element of what numpy holds by the thousand; `_pure_single.py` is its twin, equal to the last bit.

Owns the arithmetic of a single segment and a single draw; what a segment or a draw is for is told to it.
"""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBuffer_Release, PyObject_GetBuffer
from libc.math cimport M_PI, cos, exp, expm1, log, sqrt

cdef double SECONDS_A_NS = 1e-9
cdef double FORGOTTEN = 40.0
cdef double LAST_PLACE = 2.0 ** -53

cdef enum:
    COLUMNS = 8

cdef class Curve:
    # Plain buffers, not Cython's memory views: what supports those takes longer to compile than all the rest.
    cdef Py_buffer _held[COLUMNS]
    cdef int _count
    cdef Py_ssize_t _rows
    cdef const long long *_latest
    cdef const long long *_t0
    cdef const long long *_previous
    cdef const double *_base
    cdef const double *_slope
    cdef const double *_amp
    cdef const double *_tau
    cdef const double *_total

    def __cinit__(self, latest, t0_ns, previous, base, slope, amp, tau_s, total):
        self._count = 0
        self._rows = len(latest)
        self._latest = <const long long *> self._hold(latest, "lq")
        self._t0 = <const long long *> self._hold(t0_ns, "lq")
        self._previous = <const long long *> self._hold(previous, "lq")
        self._base = <const double *> self._hold(base, "d")
        self._slope = <const double *> self._hold(slope, "d")
        self._amp = <const double *> self._hold(amp, "d")
        self._tau = <const double *> self._hold(tau_s, "d")
        self._total = <const double *> self._hold(total, "d")

    cdef void *_hold(self, column, str kinds) except? NULL:
        cdef Py_buffer *view = &self._held[self._count]
        PyObject_GetBuffer(column, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
        self._count += 1
        if view.itemsize != 8 or view.format.decode("ascii") not in kinds:
            raise ValueError(f"a column of {view.format.decode('ascii')!r} where 64 bits of {kinds[0]!r} are expected")
        return view.buf

    def __dealloc__(self):
        for place in range(self._count):
            PyBuffer_Release(&self._held[place])

    cpdef Py_ssize_t entry_at(self, Py_ssize_t row, long long instant) except -1:
        cdef Py_ssize_t entry, before
        if not 0 <= row < self._rows:
            raise IndexError(f"row {row} of {self._rows}")
        entry = self._latest[row]
        if entry < 0:
            raise IndexError(f"row {row} has no entry")
        while self._t0[entry] > instant:
            before = self._previous[entry]
            if before < 0:
                break
            entry = before
        return entry

    def value(self, Py_ssize_t row, long long instant):
        cdef Py_ssize_t entry = self.entry_at(row, instant)
        cdef double dt = <double>(instant - self._t0[entry]) * SECONDS_A_NS
        cdef double value = self._base[entry] + self._slope[entry] * dt
        cdef double height = self._amp[entry]
        if height != 0.0:
            value = value + height * exp(-dt / self._tau[entry])
        return value

    cdef double _until(self, Py_ssize_t entry, long long instant):
        cdef double dt = <double>(instant - self._t0[entry]) * SECONDS_A_NS
        cdef double value = self._total[entry] + dt * (self._base[entry] + self._slope[entry] * dt / 2.0)
        cdef double height = self._amp[entry]
        if height != 0.0:
            value = value - height * self._tau[entry] * expm1(-dt / self._tau[entry])
        return value

    def between(self, Py_ssize_t row, long long start, long long stop):
        cdef Py_ssize_t last = self.entry_at(row, stop), first = self.entry_at(row, start)
        return self._until(last, stop) - self._until(first, start)

    def lagged(self, Py_ssize_t row, long long instant, double tau_s):
        cdef Py_ssize_t entry = self.entry_at(row, instant)
        cdef double rate = 1.0 / tau_s, total = 0.0, begin, stop = 0.0, start, since, height, pace
        cdef double earliest = -FORGOTTEN * tau_s
        while True:
            start = <double>(self._t0[entry] - instant) * SECONDS_A_NS
            begin = earliest if self._previous[entry] < 0 or start < earliest else start
            since = begin - start
            total = total + (self._base[entry] + self._slope[entry] * (stop - start - tau_s)) * exp(stop * rate)
            total = total - (self._base[entry] + self._slope[entry] * (since - tau_s)) * exp(begin * rate)
            height = self._amp[entry]
            if height != 0.0:
                pace = rate - 1.0 / self._tau[entry]
                if pace > 0.0:
                    height = height * exp(-(stop - start) / self._tau[entry] + stop * rate)
                    height = height * -expm1(pace * (begin - stop)) / pace
                elif pace < 0.0:
                    height = height * exp(-since / self._tau[entry] + begin * rate)
                    height = height * expm1(pace * (stop - begin)) / pace
                else:
                    height = height * exp(-since / self._tau[entry] + begin * rate) * (stop - begin)
                total = total + height * rate
            if begin == earliest:
                return total
            stop, entry = begin, self._previous[entry]


cdef double _uniform(unsigned long long key, unsigned long long index) noexcept nogil:
    cdef unsigned long long z = key + (index + 1) * <unsigned long long>0x9E3779B97F4A7C15
    z = (z ^ (z >> 30)) * <unsigned long long>0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <unsigned long long>0x94D049BB133111EB
    return (<double>((z ^ (z >> 31)) >> 11) + 0.5) * LAST_PLACE


def uniform(unsigned long long key, long long index):
    return _uniform(key, <unsigned long long>index)


def normal(unsigned long long radius_key, unsigned long long angle_key, long long index):
    cdef double radius = sqrt(-2.0 * log(_uniform(radius_key, <unsigned long long>index)))
    return radius * cos(2.0 * M_PI * _uniform(angle_key, <unsigned long long>index))
