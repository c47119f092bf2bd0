# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""One element of what numpy holds by the thousand; `_pure_single.py` is its twin, equal to the last bit.

Owns the arithmetic of a single segment and a single draw; what a segment or a draw is for is told to it.
"""

from libc.math cimport M_PI, cos, exp, expm1, log, sqrt

cdef double SECONDS_A_NS = 1e-9
cdef double LAST_PLACE = 2.0 ** -53

cdef class Curve:
    cdef const long long[::1] _latest, _t0, _previous
    cdef const double[::1] _base, _slope, _amp, _tau, _total

    def __init__(self, latest, t0_ns, previous, base, slope, amp, tau_s, total):
        self._latest, self._t0, self._previous = latest, t0_ns, previous
        self._base, self._slope, self._amp, self._tau, self._total = base, slope, amp, tau_s, total

    cpdef Py_ssize_t entry_at(self, Py_ssize_t row, long long instant) except -1:
        cdef Py_ssize_t entry, before
        if not 0 <= row < self._latest.shape[0]:
            raise IndexError(f"row {row} of {self._latest.shape[0]}")
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
