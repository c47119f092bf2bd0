"""One frequency element of a protection relay (ANSI 81): pick-up, definite time, drop-out.

Owns when the element is picked up and when its time is over, as instants; what a relay makes of that is `relay.py`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.contacts import History, in_series
from emulator.protection.moving_mean import beyond

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.timeline import Signal
    from emulator.wire import Instant

_IDLE = History(first=False)


class FrequencyElement:
    """Set to a level and a delay; it is under-frequency where the level is below nominal, over-frequency otherwise.

    The measured frequency is the mean over `window_ns`; picked up is strictly beyond the level. Drop-out is at once and
    sets the timer back.
    """

    def __init__(self, nominal_hz: float, window_ns: int, level_hz: float, delay_ns: int, *, enabled: bool) -> None:
        self.nominal_hz = nominal_hz
        self.window_ns = window_ns
        self.level_hz = level_hz
        self.delay_ns = delay_ns
        self.enabled = enabled
        self.picked_up = _IDLE
        """When it is picked up, as far as is known."""

    def set(self, now: Instant, *, level_hz: float, delay_ns: int, enabled: bool) -> None:
        """New settings from `now` on: the timer begins anew, once somebody lets it `look`."""
        self.level_hz, self.delay_ns, self.enabled = level_hz, delay_ns, enabled
        self.picked_up = History(tuple(at for at in self.picked_up.instants if at < now), first=False).moved(False, now)

    def look(self, frequency: Signal, supervised: History, start: Instant, stop: Instant) -> None:
        """Take [start, stop] of the grid's frequency into account; what was known of `start` and later is replaced.

        `supervised` says when there is voltage enough to measure a frequency.
        """
        seen = _IDLE
        if self.enabled and self.level_hz != self.nominal_hz:
            under = self.level_hz < self.nominal_hz
            toggles = beyond(frequency, self.level_hz, under=under, window_ns=self.window_ns, start=start, stop=stop)
            seen = in_series(History(tuple(at for at, _ in toggles), first=False), supervised)
        known = self.picked_up.moved(seen.at(start), start)
        later = tuple(at for at in seen.instants if at > start)
        self.picked_up = History((*known.instants, *later), first=False)

    def timeouts(self, after: Instant) -> Iterator[Instant]:
        """The instants after `after` at which the delay is over with the element still picked up."""
        instants = self.picked_up.instants
        for number in range(0, len(instants), 2):
            due = instants[number] + self.delay_ns
            if due > after and (number + 1 == len(instants) or due < instants[number + 1]):
                yield due

    def timed_out(self, at: Instant) -> bool:
        """Whether the delay is over at `at` and the element still picked up (81DnT)."""
        since = self.picked_up.last(at)
        return since is not None and self.picked_up.at(at) and at >= since + self.delay_ns


def voltage_there(voltage_pu: Signal, level_pu: float, start: Instant, stop: Instant) -> History:
    """When the voltage is at or above `level_pu` within [start, stop]."""
    instants: list[Instant] = []
    state, at = False, start
    while True:
        found = voltage_pu.first_crossing(level_pu, falling=state, start=at, stop=stop)
        # at the level itself there is voltage; the first nanosecond below it comes one later
        if found is not None and state and voltage_pu.at(found) >= level_pu:
            found += 1
            if found <= stop and voltage_pu.at(found) >= level_pu:
                at = found
                continue
        if found is None or found > stop:
            return History(tuple(instants), first=False)
        instants.append(found)
        state, at = not state, found
