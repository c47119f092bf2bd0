"""The formulas that market rules are made of: a deployment and some figures in, one measured quantity out.

Owns the few formulas; every number in them comes from a service file. Shares are of what was asked (`asked_w`) unless
a docstring says otherwise. A formula returns `Skip` where the event gave it nothing to judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bench import measure
from bench.facts import Series
from bench.services.deployment import Deployment
from bench.services.finding import IDLE, Arguments, Finding, Formula, Skip
from bench.services.treatment import TREATMENT
from bench.verdict import Band, Measured, NotComputable, NotReached, Quantity

_S = 10**9
MOVED = 0.05
"""A change of power below this share of what was asked is no movement (estimate)."""


def reach(d: Deployment, a: Arguments) -> Finding | Skip:
    """Seconds from the clock's start until at least `low` is delivered for good.

    "For good" is judged until `for_good` after the deadline; that it lasts longer is the business of `hold`.
    """
    late = _too_short(d, a["deadline"])
    if late:
        return Skip(late)
    stop = min(d.start_ns + _ns(a["deadline"] + a["for_good"]), d.until_ns)
    level = a["low"] * d.asked_w
    measured = measure.reach_time(d.reduction, d.start_ns, stop, level)
    doubtful, note = False, ""
    soonest = measure.reach_time(replace(d.reduction, u=0.0), d.start_ns, stop, level - 2 * d.reduction.u)
    # late by the most favourable reading of the trace is late, however near the level the site then hovers
    beyond = isinstance(soonest, Quantity) and a.most is not None and soonest.value - 2 * soonest.u > a.most
    if beyond and isinstance(soonest, Quantity) and d.reduction.u > 0:
        note = f"By the most favourable reading of the meter it took {soonest.value:.4g} s."
    first = measure.reaction_time(d.reduction, d.start_ns, stop, level)
    came = measured.value if isinstance(measured, Quantity) else np.inf
    if isinstance(first, Quantity) and first.value <= a["deadline"] < came:
        note = f"It was there after {first.value:.4g} s, but not for good."
    if isinstance(measured, Quantity) and measured.value == 0.0:
        note = "It was delivered already when the clock started."
    if isinstance(measured, NotReached):
        doubtful = d.reduction.u > 0 and isinstance(soonest, Quantity) and not beyond
        last = _share(measure.value_at(d.reduction, stop), d.asked_w)
        at_end = f"; at the end {last.value:z.1%} were delivered" if isinstance(last, Quantity) else ""
        measured = NotReached(f"not {a['low']:.0%} for good within {(stop - d.start_ns) / _S:g} s{at_end}")
    band = Band(f"at least {a['low']:.0%}", d.start_ns + _ns(a["deadline"]), stop, high_w=d.p0.value - level)
    return Finding(measured, (band,), note, doubtful=doubtful, beyond=beyond)


def hold(d: Deployment, a: Arguments) -> Finding | Skip:
    """The least share delivered until the obligation ends or `sustain` has passed.

    It begins where `reach` has finished judging the arrival, so that one late start is not two failures. `sustain`
    counts from the clock's start, or from `since` after it.
    """
    begin = d.start_ns + _ns(a["deadline"] + a["for_good"])
    if begin <= d.base_at_ns:
        return Skip("what is due at once is measured from the level before an earlier event, and the run has none")
    stop, unproven = _obligation(d, a.get("sustain"), a.get("since") or 0.0)
    if begin >= stop:
        return Skip(f"the event ended after {(stop - d.start_ns) / _S:g} s, before there was anything to hold")
    level = a["low"] * d.asked_w
    seen = measure.whole(d.reduction, begin, stop)
    inside = measure.share_inside(d.reduction, *seen, level)
    note = f"Inside for {inside.value:.2%} of {(stop - begin) / _S:g} s." if isinstance(inside, Quantity) else ""
    band = Band(f"at least {a['low']:.0%}", begin, stop, high_w=d.p0.value - level)
    return Finding(_share(measure.minimum(d.reduction, *seen), d.asked_w), (band,), note, unproven)


def peak(d: Deployment, a: Arguments) -> Finding | Skip:
    """The largest share delivered while the obligation lasts."""
    stop, _ = _obligation(d, a.get("sustain"))
    high = a.most
    band = () if high is None else (
        Band(f"at most {high:.0%}", d.start_ns, stop, low_w=d.p0.value - high * d.asked_w),
    )  # fmt: skip
    return Finding(_share(measure.maximum(d.reduction, d.start_ns, stop), d.asked_w), band)


def value_after(d: Deployment, a: Arguments) -> Finding | Skip:
    """The share delivered `after` the clock's start."""
    late = _too_short(d, a["after"])
    if late:
        return Skip(late)
    at = d.start_ns + _ns(a["after"])
    low = a.least
    band = () if low is None else (
        Band(f"at least {low:.0%} here", at, min(at + _S, d.until_ns), high_w=d.p0.value - low * d.asked_w),
    )  # fmt: skip
    return Finding(_share(measure.value_at(d.reduction, at), d.asked_w), band)


def energy_after(d: Deployment, a: Arguments) -> Finding | Skip:
    """Energy delivered until `after` the clock's start, in seconds of full delivery."""
    late = _too_short(d, a["after"])
    if late:
        return Skip(late)
    energy = measure.delivered_energy(d.reduction, d.start_ns, d.start_ns + _ns(a["after"]))
    return Finding(_scaled(energy, d.asked_w, "s"))


def sag(d: Deployment, a: Arguments) -> Finding | Skip:
    """How far delivery falls below its own value `after` the clock's start (negative), until the obligation ends."""
    late = _too_short(d, a["after"])
    if late:
        return Skip(late)
    at = d.start_ns + _ns(a["after"])
    stop = max(at, measure.whole(d.reduction, at, d.until_ns)[1])
    known = _known(measure.value_at(d.reduction, at), measure.minimum(d.reduction, at, stop))
    if isinstance(known, NotComputable):
        return Finding(known)
    then, least = known
    # both carry the same gain error, which cancels but for the change itself
    u = d.power.u * abs(then.value - least.value) / d.asked_w
    return Finding(_share(Quantity(least.value - then.value, "W", u), d.asked_w))


def steady(d: Deployment, a: Arguments) -> Finding | Skip:
    """Relative error of the mean delivery over the last `window` of the obligation."""
    late = _too_short(d, a["window"])
    if late:
        return Skip(late)
    seen = measure.whole(d.reduction, d.until_ns - _ns(a["window"]), d.until_ns)
    measured = _share(measure.mean(d.reduction, *seen), d.asked_w)
    if isinstance(measured, Quantity):
        measured = replace(measured, value=measured.value - 1.0)
    return Finding(measured)


def reaction(d: Deployment, a: Arguments) -> Finding | Skip:
    """Seconds from the clock's start until delivery exceeds `threshold` and stays for `dwell`."""
    level, dwell = a["threshold"] * d.asked_w, _ns(a["dwell"])
    return Finding(measure.reaction_time(d.reduction, d.start_ns, d.until_ns, level, dwell))


_BOOT_S = 180.0
"""A controller that means to return has shown it by then: a miner's cold boot takes 125 to 135 s (M)."""
_TAIL_NS = 50_000_000


def stay_after(d: Deployment, a: Arguments) -> Finding | Skip:
    """The least share delivered during `span` after the release instant: coming back too soon shows here."""
    if not d.released or d.release_ns + _ns(a["span"]) > d.end_ns:
        return Skip(f"{d.ended} before the return may begin")
    stop = d.release_ns + _ns(a["span"])
    low = a.least or 0.0
    band = Band("not yet", d.release_ns, stop, high_w=d.p0.value - low * d.asked_w)
    seen = measure.whole(d.reduction, d.release_ns, stop)
    return Finding(_share(measure.minimum(d.reduction, *seen), d.asked_w), (band,))


def restored(d: Deployment, a: Arguments) -> Finding | Skip:
    """Seconds from `delay` after the release until no more than `tolerance` is delivered, for good."""
    begin = d.release_ns + _ns(a.get("delay") or 0.0)
    if not d.released or begin >= d.end_ns:
        return Skip(f"{d.ended} before the site may return")
    if not moved(d):
        return Skip("the site never moved, so it had nothing to return from")
    measured = measure.reach_time(d.reduction, begin, d.end_ns, None, a["tolerance"] * d.asked_w)
    seen = (d.end_ns - begin) / _S
    if isinstance(measured, NotReached) and a.most is not None and seen < a.most:
        if seen >= _BOOT_S and not _begun(d, begin):
            reason = f"nothing had come back {seen:g} s after it could, where {d.ended}"
            return Finding(NotReached(f"{reason}; {a.most:g} s are allowed"), doubtful=True)
        return Skip(f"not back {seen:g} s after it could be, where {d.ended}; {a.most:g} s are allowed")
    return Finding(measured)


def _begun(d: Deployment, begin: int) -> bool:
    """Whether any of the delivery was given back between `begin` and the end of the recording."""
    before, last = measure.value_at(d.reduction, begin), measure.value_at(d.reduction, d.end_ns - _TAIL_NS)
    if isinstance(before, NotComputable) or isinstance(last, NotComputable):
        return True  # nothing is known against it
    return last.value < before.value - MOVED * d.asked_w


def fall(d: Deployment, a: Arguments) -> Finding | Skip:
    """The largest fall of delivery over any `window` after the release."""
    return _moving(d, d.reduction, a["window"], d.asked_w, rising=False)


def rise(d: Deployment, a: Arguments) -> Finding | Skip:
    """The largest rise of consumption over any `window` on the way back, in watts: from full delivery on, released
    or not."""
    return _moving(_back(d), d.power, a["window"], None, rising=True)


def rise_share(d: Deployment, a: Arguments) -> Finding | Skip:
    """As `rise`, as a share of the site's nominal consumption."""
    return _moving(_back(d), d.power, a["window"], d.facts.nominal_w, rising=True)


def rebound(d: Deployment, a: Arguments) -> Finding | Skip:
    """The highest consumption on the way back and until `span` after the release, as a share of the level before the
    event."""
    way = _back(d)
    stayed = _stayed(way)
    if stayed:
        return Skip(stayed)
    asked = d.release_ns + _ns(a["span"])
    stop = min(asked, d.end_ns)
    high = a.most or 1.0
    band = Band(f"at most {high:.0%} of before", way.release_ns, stop, high_w=high * d.p0.value)
    short = (
        "" if stop == asked else f"{(stop - d.release_ns) / _S:g} s of the {a['span']:g} s after the return were seen"
    )
    return Finding(measure.rebound(d.power, way.release_ns, stop, d.p0), (band,), unproven=short)


def support(d: Deployment, a: Arguments) -> Finding | Skip:
    """Seconds from full delivery until it falls below `low`. With `faster_than`, only if it returns faster."""
    arrived = reach(d, a)
    if isinstance(arrived, Skip):
        return arrived
    if not isinstance(arrived.measured, Quantity):
        return Finding(arrived.measured, doubtful=arrived.doubtful)
    begin = d.start_ns + _ns(arrived.measured.value)
    # while it arrives it has not left, whatever the last watts do; and it has not before its arrival was judged
    judged = min(d.start_ns + _ns(a["deadline"] + a["for_good"]), d.until_ns)
    settled = min(begin + _ns(4 * arrived.measured.u), max(begin, judged))
    ended = _falls_below(d, a["low"] * (1 - 1e-6), settled)
    left = None if ended is None else settled + _ns(ended.value)
    limit = a.get("faster_than")
    if limit is not None:
        if left is None:
            return Skip("the site did not return in this run")
        speed = _moving(replace(d, release_ns=left, released=True), d.reduction, 1.0, d.asked_w, rising=False)
        if isinstance(speed, Skip):
            return speed
        if isinstance(speed.measured, Quantity) and speed.measured.value <= limit:
            return Skip(f"it returned at {speed.measured.value:.1%} per second, no faster than {limit:.0%}")
    length = ((d.end_ns if left is None else left) - begin) / _S
    if left is None and a.least is not None and length < a.least:
        return Finding(NotComputable(f"{d.ended} {length:g} s after full delivery"))
    return Finding(Quantity(length, "s", float(np.hypot(arrived.measured.u, 0.0 if ended is None else ended.u))))


def draw_back(d: Deployment, a: Arguments) -> Finding | Skip:
    """The largest consumption above the level before, once delivery has ended; with `span`, only that long after."""
    begin = d.start_ns + _ns(a["deadline"])
    fallen = _falls_below(d, MOVED, begin)
    if fallen is None:
        return Skip("the site did not return in this run")
    ended = begin + _ns(fallen.value)
    span = a.get("span")
    stop = d.end_ns if span is None else min(d.end_ns, ended + _ns(span))
    least = measure.minimum(d.reduction, ended, stop)
    if isinstance(least, Quantity):
        least = replace(least, value=max(0.0, -least.value))
    return Finding(_share(least, d.asked_w))


def linear(d: Deployment, a: Arguments) -> Finding | Skip:
    """Error of the moving mean over `width` against a response in proportion to `zero` minus frequency over `band`.

    Judged from `settle` to `length` after the step; of the lowest and the highest error, the one nearer to its bound.
    """
    begin, stop = d.event.start_ns + _ns(a["settle"]), d.event.start_ns + _ns(a["length"])
    if stop > d.event.stop_ns:
        return Skip(f"the step lasts {(d.event.stop_ns - d.event.start_ns) / _S:g} s, {a['length']:g} s are judged")
    share = float(np.clip((a["zero"] - d.facts.signals["frequency"].at(begin)) / a["band"], 0.0, 1.0))
    found = measure.moving_mean_range(d.reduction, begin, stop, _ns(a["width"]))
    if isinstance(found, NotComputable):
        return Finding(found)
    low, high = (
        replace(one, value=one.value / d.asked_w - share, unit="fraction", u=one.u / d.asked_w) for one in found
    )
    below = np.inf if a.least is None else low.value - a.least
    above = np.inf if a.most is None else a.most - high.value
    note = f"At {d.facts.signals['frequency'].at(begin):g} Hz, {share:.0%} is due."
    return Finding(low if below < above else high, note=note)


def still(d: Deployment, a: Arguments) -> Finding | Skip:
    """The largest departure from the level before, as a share of it, during `span` of the event."""
    if d.p0.value <= 0:
        return Finding(NotComputable(IDLE))
    begin, asked = d.event.start_ns, d.event.start_ns + _ns(a["span"])
    stop = min(asked, d.event.stop_ns, d.end_ns)
    short = "" if stop == asked else f"{(stop - begin) / _S:g} s of the {a['span']:g} s of the rule were seen"
    known = _known(measure.minimum(d.power, begin, stop), measure.maximum(d.power, begin, stop))
    if isinstance(known, NotComputable):
        return Finding(known)
    low, high = known
    worst = max(high.value - d.p0.value, d.p0.value - low.value)
    u = float(np.hypot(high.u, d.p0.u))
    share = a.most or 0.0
    band = Band("no movement", begin, stop, d.p0.value * (1 - share), d.p0.value * (1 + share))
    return Finding(_scaled(Quantity(worst, "W", u), d.p0.value, "fraction"), (band,), unproven=short)


def highest(d: Deployment, a: Arguments) -> Finding | Skip:
    """The highest consumption from `since` to `until` after the event's start, in watts."""
    begin, stop = d.event.start_ns + _ns(a["since"]), d.event.start_ns + _ns(a["until"])
    if stop > d.end_ns:
        return Skip(f"{d.ended} {(d.end_ns - d.event.start_ns) / _S:g} s after the event's start")
    band = () if a.most is None else (Band(f"at most {a.most / 1e3:g} kW", begin, stop, high_w=a.most),)
    return Finding(measure.maximum(d.power, begin, stop), band)


def busiest(d: Deployment, _: Arguments) -> Finding | Skip:
    """The most requests that any one miner or PDU got within one minute of the run."""
    found = max((d.facts.busiest.get(kind, ("", 0)) for kind in ("miner", "pdu")), key=lambda one: one[1])
    note = f"{found[0]} got most." if found[0] else "Neither a miner nor a PDU was spoken to."
    return Finding(Quantity(found[1], "1"), note=note)


_DELIVERY = {"low": "fraction", "deadline": "s", "for_good": "s"}

FORMULAS: Mapping[str, Formula] = {
    "reach": Formula(reach, "s", _DELIVERY),
    "hold": Formula(hold, "fraction", _DELIVERY, {"sustain": "s", "since": "s"}),
    "peak": Formula(peak, "fraction", {}, {"sustain": "s"}),
    "value_after": Formula(value_after, "fraction", {"after": "s"}),
    "energy_after": Formula(energy_after, "s", {"after": "s"}),
    "sag": Formula(sag, "fraction", {"after": "s"}),
    "steady": Formula(steady, "fraction", {"window": "s"}),
    "reaction": Formula(reaction, "s", {"threshold": "fraction", "dwell": "s"}),
    "stay_after": Formula(stay_after, "fraction", {"span": "s"}),
    "restored": Formula(restored, "s", {"tolerance": "fraction"}, {"delay": "s"}),
    "fall": Formula(fall, "fraction", {"window": "s"}),
    "rise": Formula(rise, "W", {"window": "s"}),
    "rise_share": Formula(rise_share, "fraction", {"window": "s"}),
    "rebound": Formula(rebound, "fraction", {"span": "s"}),
    "support": Formula(support, "s", _DELIVERY, {"faster_than": "1/s"}),
    "draw_back": Formula(draw_back, "fraction", {"deadline": "s"}, {"span": "s"}),
    "linear": Formula(
        linear, "fraction", {"settle": "s", "length": "s", "width": "s", "zero": "Hz", "band": "Hz"}
    ),
    "still": Formula(still, "fraction", {"span": "s"}),
    "highest": Formula(highest, "W", {"since": "s", "until": "s"}),
    "busiest": Formula(busiest, "1", {}),
    **TREATMENT,
}  # fmt: skip
"""Every formula a service file may name."""


def _ns(seconds: float) -> int:
    return round(seconds * _S)


def _scaled(measured: Measured, by: float, unit: str) -> Measured:
    if not isinstance(measured, Quantity):
        return measured
    return Quantity(measured.value / by, unit, measured.u / by)


def _share(measured: Measured, asked_w: float) -> Measured:
    return _scaled(measured, asked_w, "fraction")


def _known(*measured: Measured) -> tuple[Quantity, ...] | NotComputable:
    """The quantities, or the first reason why one of them is none."""
    known: list[Quantity] = []
    for one in measured:
        if not isinstance(one, Quantity):
            return NotComputable(one.reason)
        known.append(one)
    return tuple(known)


def _too_short(d: Deployment, needed_s: float) -> str:
    """Why the obligation was over too soon for something due after `needed_s`; empty where it was not."""
    lasted = (d.until_ns - d.start_ns) / _S
    return f"the event ended after {lasted:g} s, {needed_s:g} s are needed" if lasted < needed_s else ""


def _obligation(d: Deployment, sustain_s: float | None, since_s: float = 0.0) -> tuple[int, str]:
    """Until when something must be held, and what of it the run was too short to show."""
    if sustain_s is None:
        return d.until_ns, "" if d.released else f"{d.ended} before the recall"
    begin = d.start_ns + _ns(since_s)
    if begin + _ns(sustain_s) <= d.until_ns:
        return begin + _ns(sustain_s), ""
    seen = max(0, d.until_ns - begin) / _S
    return d.until_ns, f"held for {seen:g} s until the release; the {sustain_s:g} s of the rule were not asked for"


def moved(d: Deployment) -> bool:
    """Whether the site's power moved at all while it was asked to."""
    most = measure.maximum(d.reduction, d.start_ns, max(d.until_ns, d.start_ns))
    return isinstance(most, Quantity) and most.value >= MOVED * d.asked_w


def _back(d: Deployment) -> Deployment:
    """The deployment as if it had been released when delivery was full: who returns unasked has returned as well.

    Full is what comes within `MOVED` of the most that was delivered. A site that waits is not changed by it: its
    consumption does not rise before the release.
    """
    most = measure.maximum(d.reduction, d.start_ns, max(d.until_ns, d.start_ns))
    if not isinstance(most, Quantity):
        return d
    full = measure.reaction_time(d.reduction, d.start_ns, d.until_ns, most.value - MOVED * d.asked_w)
    return replace(d, release_ns=d.start_ns + _ns(full.value), released=True) if isinstance(full, Quantity) else d


def _stayed(d: Deployment) -> str:
    """Why there is no return to judge; empty where there is one."""
    if not d.released or d.release_ns >= d.end_ns:
        return f"{d.ended} before the site may return"
    if not moved(d):
        return "the site never moved, so it had nothing to return from"
    known = _known(measure.value_at(d.power, d.release_ns), measure.maximum(d.power, d.release_ns, d.end_ns))
    if isinstance(known, tuple) and known[1].value - known[0].value < MOVED * d.asked_w:
        return "the site did not return in this run"
    return ""


def _falls_below(d: Deployment, share: float, begin: int) -> Quantity | None:
    """Seconds from `begin` until no more than `share` is delivered, for the first time."""
    taken = replace(d.reduction, value=-d.reduction.value)
    found = measure.reaction_time(taken, begin, d.end_ns, -share * d.asked_w)
    return found if isinstance(found, Quantity) else None


def _moving(d: Deployment, series: Series, window_s: float, of: float | None, *, rising: bool) -> Finding | Skip:
    """Largest change over a window after the release; before it, the level at the release is taken to hold."""
    stayed = _stayed(d)
    if stayed:
        return Skip(stayed)
    then = measure.value_at(series, d.release_ns)
    if not isinstance(then, Quantity):
        return Finding(then)
    window = _ns(window_s)
    after = series.t_ns > d.release_ns
    held = replace(
        series,
        t_ns=np.concatenate([[d.release_ns - window, d.release_ns], series.t_ns[after]]),
        value=np.concatenate([[then.value, then.value], series.value[after]]),
    )
    change = measure.largest_change(held, d.release_ns - window, d.end_ns, window, rising=rising)
    return Finding(change if of is None else _scaled(change, of, "fraction"))
