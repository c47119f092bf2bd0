# Which tier does the work: forced, calibrated, or the first that runs here. Included by _sha256d.pyx, because the border
# asks at every call.

WORKS = ("scan", "versions", "batch")

cdef enum:
    # A job of so many hashes is worth the calibration, which takes about as long.
    WORTH_CALIBRATING = 1 << 20
    # Slices of which the fastest counts. A busy hyper-thread is there in all of them and is to be seen; a process that
    # took the core away in the middle of one is not.
    ROUNDS = 5

# After so long the neighbour may be another, and the next job worth it calibrates again.
cdef double STALE_NS = 60e9

cdef uint32_t _processor = fastpath_processor()
# The tier in use for each work: forced for all of them, else calibrated, else the first that runs here.
cdef int _forced = -1
cdef int _calibrated[3]
cdef double _calibrated_ns[3]
cdef int _first[3]
cdef dict _numbers = {fastpath_tiers[i].name.decode(): i for i in range(fastpath_tier_count)}
_rates = {}


cdef bint _runs(int tier) noexcept:
    return (fastpath_tiers[tier].needs & ~_processor) == 0


cdef void _find_first() noexcept:
    cdef int work, tier
    for work in range(FASTPATH_WORKS):
        _calibrated[work] = _first[work] = -1
        for tier in range(fastpath_tier_count):
            if _runs(tier) and fastpath_tier_does(&fastpath_tiers[tier], work):
                _first[work] = tier
                break


_find_first()


def tiers():
    """Each tier of this build as (name, needs, lacks, works), the one to be tried first in front."""
    found = []
    cdef int i, bit
    for i in range(fastpath_tier_count):
        needs, lacks = [], []
        bit = 0
        while fastpath_features[bit] != NULL:
            if fastpath_tiers[i].needs >> bit & 1:
                needs.append(fastpath_features[bit].decode())
                if not _processor >> bit & 1:
                    lacks.append(fastpath_features[bit].decode())
            bit += 1
        works = tuple([work for number, work in enumerate(WORKS) if fastpath_tier_does(&fastpath_tiers[i], number)])
        found.append((fastpath_tiers[i].name.decode(), tuple(needs), tuple(lacks), works))
    return found


def force(name):
    """Use this tier wherever none is named; None goes back to choosing."""
    global _forced
    _forced = -1 if name is None else _number(name, "FASTPATH_KERNEL")


def chosen(work):
    """(name of the tier in use, why: "forced", "calibrated" or "first"); ("", "") where no tier has that work."""
    cdef int number = WORKS.index(work)
    cdef int tier = _tier(number)
    if tier < 0:
        return "", ""
    why = "forced" if _forced >= 0 else "calibrated" if _calibrated[number] >= 0 else "first"
    return fastpath_tiers[tier].name.decode(), why


def rates():
    """Hashes per second of the last calibration: work -> tier -> rate."""
    return {work: dict(found) for work, found in _rates.items()}


def calibrate(work, stopped=None):
    """Time every tier that runs here and has this work, in rotating order, and use the one with the fastest slice.

    Where `stopped` says so, all stays as it was.
    """
    cdef int number = WORKS.index(work), tier, turn
    cdef double ns
    runners = [t for t in range(fastpath_tier_count) if _runs(t) and fastpath_tier_does(&fastpath_tiers[t], number)]
    times = {tier: [] for tier in runners}
    for turn in range(ROUNDS):
        for position in range(len(runners)):
            if stopped is not None and stopped():
                return
            tier = runners[(position + turn) % len(runners)]
            with nogil:
                ns = fastpath_time(&fastpath_tiers[tier], number)
            times[tier].append(ns)
    if runners:
        fastest = {tier: min(found) for tier, found in times.items()}
        _calibrated[number] = min(fastest, key=fastest.get)
        _calibrated_ns[number] = fastpath_now_ns()
        _rates[work] = {fastpath_tiers[<int>tier].name.decode(): 1e9 / ns for tier, ns in fastest.items()}


cdef int _number(object name, str argument) except -1:
    """The tier of that name, which must run here."""
    cdef int tier
    kernel_name(name, argument, [*_numbers, "pure"])
    tier = _numbers[name]
    if not _runs(tier):
        lacks = ", ".join(tiers()[tier][2])
        runs = ", ".join([known for known, number in _numbers.items() if _runs(number)])
        raise ValueError(f"{argument}: this processor cannot run {name!r}, it lacks {lacks}; it runs {runs}")
    return tier


cdef int _tier(int work) noexcept:
    if _forced >= 0 and fastpath_tier_does(&fastpath_tiers[_forced], work):
        return _forced
    if _forced >= 0:
        return -1
    return _calibrated[work] if _calibrated[work] >= 0 else _first[work]


cdef int _tier_for(int work, object kernel, uint64_t hashes, object stopped) except -2:
    """The tier to use, -1 where that tier has no kernel for this work; a long job is preceded by a calibration."""
    cdef int tier
    if kernel is not None:
        tier = _number(kernel, "kernel")
        return tier if fastpath_tier_does(&fastpath_tiers[tier], work) else -1
    if hashes >= WORTH_CALIBRATING and _forced < 0 and (
        _calibrated[work] < 0 or fastpath_now_ns() - _calibrated_ns[work] > STALE_NS
    ):
        calibrate(WORKS[work], stopped)
    return _tier(work)
