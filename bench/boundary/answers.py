"""For each formula an answer with one knob: the quantity that the formula measures, known before it is measured.

Owns what a site does at a given value of the knob, in the unit of the check's limit's base; it computes no measurement
and knows no limit, so that measuring and judging are tried by something that shares nothing with them.
"""

# ruff: noqa: ARG001 - an answer takes what every answer takes

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from bench.boundary.site import Answer, Size, occurrence, phases_of
from bench.services.model import Check
from emulator.catalogue import Phase

_SOON_S, _PLENTY = 0.1, 1.05
"""A site that answers well has answered by then, and with that much of what was asked, in any service."""


@dataclass(frozen=True, slots=True)
class Case:
    """A check with what its formula takes, in base units, and the site it is tried on."""

    check: Check
    size: Size

    def __getitem__(self, name: str) -> float:
        return self.check.figures[name].value

    @property
    def limit(self) -> float:
        """The check's upper bound, in base units."""
        return 0.0 if self.check.high is None else self.check.high.value

    def get(self, name: str, default: float) -> float:
        """A figure that the check may not have."""
        figure = self.check.figures.get(name)
        return default if figure is None else figure.value


Make = Callable[[Case, float], Answer]


def _arrival_s(c: Case) -> float:
    """When arriving has been judged."""
    return c["deadline"] + c["for_good"]


def _reach(c: Case, x: float) -> Answer:
    end = _arrival_s(c) + 10.0
    return Answer([(0.0, 0.0), (x, 0.0), (x, _PLENTY)], end, end + 5.0, release_s=end)


def _hold(c: Case, x: float) -> Answer:
    begin = -3.0 if c["deadline"] == 0.0 else _SOON_S  # what is due at once has to be there before
    at = _arrival_s(c) + 20.0
    end = at + 60.0
    return Answer([(begin, 0.0), (begin, _PLENTY), (at, _PLENTY), (at, x), (end, x)], end, end + 5.0, release_s=end)


def _peak(c: Case, x: float) -> Answer:
    delivery = [(0.0, 0.0), (_SOON_S, 0.0), (_SOON_S, 1.0), (20.0, 1.0), (20.0, x), (30.0, x), (30.0, 1.0)]
    return Answer(delivery, 60.0, 65.0, release_s=60.0)


def _value_after(c: Case, x: float) -> Answer:
    end = c["after"] + 30.0
    return Answer([(0.0, 0.0), (_SOON_S, 0.0), (_SOON_S, x)], end, end + 5.0, release_s=end)


def _energy_after(c: Case, x: float) -> Answer:
    begin, end = c["after"] - x, c["after"] + 30.0
    return Answer([(0.0, 0.0), (begin, 0.0), (begin, 1.0)], end, end + 5.0, release_s=end)


def _sag(c: Case, x: float) -> Answer:
    at = c["after"] + 10.0
    return Answer(
        [(0.0, 0.0), (_SOON_S, 0.0), (_SOON_S, 1.0), (at, 1.0), (at, 1.0 + x)], at + 20.0, at + 25.0, at + 20.0
    )


def _steady(c: Case, x: float) -> Answer:
    end = c["window"] + 30.0
    return Answer([(0.0, 0.0), (_SOON_S, 0.0), (_SOON_S, 1.0 + x)], end, end + 5.0, release_s=end)


def _reaction(c: Case, x: float) -> Answer:
    return Answer([(0.0, 0.0), (x, 0.0), (x, 1.0)], 60.0, 65.0, release_s=60.0)


def _stay_after(c: Case, x: float) -> Answer:
    at = 60.0 + c["span"] / 2
    delivery = [(0.0, 0.0), (_SOON_S, 0.0), (_SOON_S, 1.0), (at, 1.0), (at, x), (at + c["span"], x)]
    return Answer(delivery, 60.0, 80.0 + 2 * c["span"], release_s=60.0)


def _restored(c: Case, x: float) -> Answer:
    at = 60.0 + c.get("delay", 0.0) + x
    return Answer([(0.0, 0.0), (_SOON_S, 0.0), (_SOON_S, 1.0), (at, 1.0), (at, 0.0)], 60.0, at + 60.0, release_s=60.0)


def _fall(c: Case, x: float) -> Answer:
    delivery = [(0.0, 0.0), (_SOON_S, 0.0), (_SOON_S, 1.0), (90.0, 1.0), (90.0, 1.0 - x)]
    return Answer(delivery, 60.0, 60.0 + 3 * c["window"] + 60.0, release_s=60.0)


def _rise(c: Case, x: float) -> Answer:
    return _risen(c, x / c.size.commitment_w, c.limit / c.size.commitment_w)


def _rise_share(c: Case, x: float) -> Answer:
    scale = c.size.nominal_w / c.size.commitment_w
    return _risen(c, x * scale, c.limit * scale)


def _risen(c: Case, share: float, limit: float) -> Answer:
    """A step back by `share`; what is left comes back at half of what is allowed."""
    begin = 90.0 + 1.5 * c["window"]
    end = begin + (1.0 - share) / (limit / 2) * c["window"]
    delivery = [
        (0.0, 0.0), (_SOON_S, 0.0), (_SOON_S, 1.0), (90.0, 1.0), (90.0, 1.0 - share), (begin, 1.0 - share), (end, 0.0)
    ]  # fmt: skip
    return Answer(delivery, 60.0, end + 10.0, release_s=60.0)


def _rebound(c: Case, x: float) -> Answer:
    over = (x - 1.0) * c.size.nominal_w / c.size.commitment_w
    delivery = [(0.0, 0.0), (_SOON_S, 0.0), (_SOON_S, 1.0), (90.0, 1.0), (90.0, -over), (150.0, -over), (150.0, 0.0)]
    return Answer(delivery, 60.0, 60.0 + c["span"] + 10.0, release_s=60.0)


def _support(c: Case, x: float) -> Answer:
    at = _SOON_S + x
    delivery = [(0.0, 0.0), (_SOON_S, 0.0), (_SOON_S, _PLENTY), (at, _PLENTY), (at, 0.0)]
    return Answer(delivery, 200.0, 220.0, release_s=200.0)


def _draw_back(c: Case, x: float) -> Answer:
    at = max(40.0, c["deadline"] + 10.0)
    dwell = min(c.get("span", 10.0), 10.0) / 2
    delivery = [
        (0.0, 0.0),
        (_SOON_S, 0.0),
        (_SOON_S, _PLENTY),
        (at, _PLENTY),
        (at, -x),
        (at + dwell, -x),
        (at + dwell, 0.0),
    ]
    return Answer(delivery, at, at + 60.0, release_s=at)


def _linear(c: Case, x: float) -> Answer:
    end, half = c["length"] + 10.0, c["zero"] - c["band"] / 2
    signals = {"frequency": [(0.0, c["zero"]), (0.0, half)]}
    return Answer([(0.0, 0.0), (_SOON_S, 0.0), (_SOON_S, 0.5 + x)], end, end + 5.0, release_s=end, signals=signals)


def _still(c: Case, x: float) -> Answer:
    over = x * c.size.nominal_w / c.size.commitment_w
    delivery = [(0.0, 0.0), (30.0, 0.0), (30.0, over), (60.0, over), (60.0, 0.0)]
    return Answer(delivery, c["span"], c["span"] + 10.0)


def _limited(c: Case, x: float) -> Answer:
    end = x + 100.0
    return Answer([(0.0, 0.0), (x, 0.0), (x, 1.0)], end, end + 10.0)


def _ridden_through(c: Case, x: float) -> Answer:
    missing = (1.0 - x) * c.size.nominal_w / c.size.commitment_w
    dip = [(0.0, 1.0), (10.0, 1.0), (10.0, 0.3), (10.2, 0.3), (10.2, 1.0)]
    delivery = [(0.0, 0.0), (10.0, 0.0), (10.0, missing), (40.0, missing)]
    return Answer(delivery, 40.0, 45.0, signals={"voltage": dip})


def _busiest_minute(c: Case, x: float) -> Answer:
    return replace(_QUIET, conduct={"busiest_minute": x})


def _busiest(c: Case, x: float) -> Answer:
    return replace(_QUIET, busiest={"pdu": ("pdu-01", round(x))})


def _highest(c: Case, x: float) -> Answer:
    least = (c.size.nominal_w - x) / c.size.commitment_w
    begin, stop = c["since"], c["until"]
    rise, fall = begin + (stop - begin) / 3, stop - (stop - begin) / 3
    lower = least + 0.2
    delivery = [(0.0, 0.0), (0.0, lower), (rise, lower), (rise, least), (fall, least), (fall, lower)]
    return Answer(delivery, stop + 10.0, stop + 15.0)


def _meter_silence(c: Case, x: float) -> Answer:
    return replace(_QUIET, conduct={"meter_silence_s": x})


def _cycles(c: Case, x: float, phase: Phase) -> Answer:
    cycles = [(10.0 * n + 1.0, 0, phase) for n in range(round(x))]
    cycles += [(10.0 * n + 5.0, 0, Phase.HASHING) for n in range(round(x))]
    return replace(_QUIET, phases=phases_of([(-5.0, 0, Phase.HASHING), (-5.0, 1, Phase.HASHING), *cycles], 2))


def _hard_cuts(c: Case, x: float) -> Answer:
    rows = range(4)
    entries = [(-5.0, row, Phase.HASHING) for row in rows]
    entries += [(10.0, row, Phase.OFF if row < round(x) else Phase.SLEEP) for row in rows]
    return replace(_QUIET, phases=phases_of(entries, len(rows)))


def _uncooled(c: Case, x: float) -> Answer:
    script = "sleep_no_cool" if round(x) else "sleep"
    return replace(_QUIET, occurrences=(occurrence(5.0, "miners", script=script, count=max(1, round(x)), miners=[]),))


def _load_off(c: Case, x: float) -> Answer:
    moves = (occurrence(10.0, "load", load="ai", closed=False), occurrence(10.0 + x, "load", load="ai", closed=True))
    return replace(_QUIET, occurrences=moves if x > 0.0 else ())


_QUIET = Answer([(0.0, 0.0), (10.0, 0.0), (10.0, 1.0), (50.0, 1.0), (50.0, 0.0)], 60.0, 70.0, release_s=60.0)

ANSWERS: Mapping[str, Make] = {
    "reach": _reach, "hold": _hold, "peak": _peak, "value_after": _value_after, "energy_after": _energy_after,
    "sag": _sag, "steady": _steady, "reaction": _reaction, "stay_after": _stay_after, "restored": _restored,
    "fall": _fall, "rise": _rise, "rise_share": _rise_share, "rebound": _rebound, "support": _support,
    "draw_back": _draw_back, "linear": _linear, "still": _still, "limited": _limited,
    "ridden_through": _ridden_through, "busiest_minute": _busiest_minute, "meter_silence": _meter_silence,
    "highest": _highest, "busiest": _busiest,
    "mains_cycles": lambda c, x: _cycles(c, x, Phase.OFF), "sleep_cycles": lambda c, x: _cycles(c, x, Phase.SLEEP),
    "hard_cuts": _hard_cuts, "uncooled": _uncooled, "load_off": _load_off,
}  # fmt: skip
"""The answer for each formula. A formula without one cannot ship: a test holds the two tables together."""

_SPAN = 0.2

COUNTS = frozenset({"busiest", "busiest_minute", "mains_cycles", "sleep_cycles", "hard_cuts", "uncooled"})
"""Formulas that count: between two whole numbers there is nothing to find."""


def size_for(check: Check) -> Size:
    """A site large enough for the check's limit to bind: limits in megawatts need megawatts."""
    bound = check.high
    if check.formula == "rise" and bound is not None:
        return Size(nominal_w=6 * bound.value, commitment_w=3 * bound.value)
    if check.formula == "limited":
        return Size(commitment_w=500e3)
    return Size()


def span_of(check: Check, bound: float) -> float:
    """How far to either side of a limit the search begins, in base units."""
    if check.formula in COUNTS:
        return 1.0
    return _SPAN * abs(bound) if bound else _SPAN
