"""Contacts over time: when a relay, a contactor or a breaker is closed, as the instants at which it moves.

Owns what one contact makes of another (a contactor of its coil, two in series of each other); who closes what, and
what stands behind it, is the site's.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from emulator.timeline import Signal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.wire import Instant

Move = tuple["Instant", bool]
"""(instant, closed from then on)."""


@dataclass(frozen=True, slots=True)
class History:
    """When a contact is closed: at first, and from each move to the next in turn. `instants` grow strictly."""

    instants: tuple[Instant, ...] = ()
    first: bool = field(default=True, kw_only=True)
    """The state before the first move: everything at a site is on when a run begins."""

    def at(self, instant: Instant) -> bool:
        """Whether the contact is closed at `instant`."""
        return self.first ^ (bisect_right(self.instants, instant) % 2 == 1)

    def moves(self, start: Instant | None = None) -> Iterator[Move]:
        """The moves at `start` and later."""
        begin = 0 if start is None else bisect_left(self.instants, start)
        for number, instant in enumerate(self.instants[begin:], start=begin):
            yield instant, self.first ^ (number % 2 == 0)

    def last(self, instant: Instant) -> Instant | None:
        """The latest move at or before `instant`."""
        position = bisect_right(self.instants, instant)
        return self.instants[position - 1] if position else None

    def next(self, instant: Instant) -> Instant | None:
        """The first move after `instant`."""
        position = bisect_right(self.instants, instant)
        return self.instants[position] if position < len(self.instants) else None

    def moved(self, closed: bool, at: Instant) -> History:
        """This history until `at`, from there on `closed` for good: whatever was to come later is dropped."""
        kept = self.instants[: bisect_left(self.instants, at)]
        stands = self.first ^ (len(kept) % 2 == 1)
        return History(kept if stands is closed else (*kept, at), first=self.first)

    def closed_ns(self, start: Instant, stop: Instant) -> int:
        """How long the contact is closed within [start, stop], nanoseconds."""
        total, since, state = 0, start, self.at(start)
        for instant, closed in self.moves(start + 1):
            if instant >= stop:
                break
            total += instant - since if state else 0
            since, state = instant, closed
        return total + (stop - since if state and stop > since else 0)

    def closings(self, start: Instant, stop: Instant) -> int:
        """How often the contact closes within (start, stop]."""
        return sum(closed and instant <= stop for instant, closed in self.moves(start + 1))


def followed(coil: History, open_ns: int, close_ns: int) -> History:
    """The contacts of a contactor whose coil has this history.

    The armature moves when the coil has been in its new state for the whole of the delay: a gap in the coil's voltage
    shorter than the drop-out time leaves the contacts closed, and a pulse shorter than the pull-in time leaves them
    open (GK: stored energy of coil and spring; what an inertial delay is in logic simulation).
    """
    state, due = coil.first, None
    moves: list[Instant] = []
    for instant, energised in coil.moves():
        if due is not None and due <= instant:
            moves.append(due)
            state, due = not state, None
        due = None if energised is state else instant + (close_ns if energised else open_ns)
    return History((*moves, due) if due is not None else tuple(moves), first=coil.first)


def in_series(one: History, other: History) -> History:
    """Closed where both are."""
    if not other.instants and other.first:
        return one
    state = one.first and other.first
    first, moves = state, []
    for instant in sorted({*one.instants, *other.instants}):
        now = one.at(instant) and other.at(instant)
        if now is not state:
            moves.append(instant)
            state = now
    return History(tuple(moves), first=first)


def switched(signal: Signal, contact: History) -> Signal:
    """What of `signal` goes through the contact: the signal while it is closed, 0 while it is open."""
    if not contact.instants and contact.first:
        return signal
    knots = signal.t_ns.tolist()
    begin = min([knots[0], *contact.instants]) - 1
    edges = [begin, *contact.instants, max([knots[-1], *contact.instants]) + 1]
    t_ns: list[int] = []
    value: list[float] = []
    for start, stop in pairwise(edges):
        if contact.at(start):
            inside = slice(bisect_right(knots, start), bisect_left(knots, stop))
            t_ns += [start, *knots[inside], stop]
            value += [signal.at(start), *signal.value[inside].tolist(), _before(signal, knots, stop)]
        else:
            t_ns += [start, stop]
            value += [0.0, 0.0]
    return Signal(t_ns, value)


def _before(signal: Signal, knots: list[int], instant: Instant) -> float:
    """The value a signal comes from at `instant`, which differs from its value there at a step."""
    position = bisect_left(knots, instant)
    on_knot = position < len(knots) and knots[position] == instant
    return float(signal.value[position]) if on_knot else signal.at(instant)
