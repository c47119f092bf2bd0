"""One output of a PDU: a relay with its own latency, and the moves it has been told to make.

Owns plain commands, pulses and pulse trains of one relay; what hangs behind it is the outlet's, what a register or a
coil means is `pdu.py`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.contacts import History

if TYPE_CHECKING:
    from emulator.site import OutletPort
    from emulator.wire import Instant

MOST_PULSES = 1000
"""A train is planned no further ahead than this; a longer or an endless one stops there."""


class Output:
    """One relay. A command replaces whatever an earlier one had planned for later."""

    __slots__ = ("latency_ns", "moves", "off_ns", "on_ns", "outlet", "pulses", "short_ns", "told")

    def __init__(self, outlet: OutletPort, latency_ns: int, short_ns: int, on_ns: int, off_ns: int) -> None:
        self.outlet = outlet
        self.latency_ns = latency_ns
        self.short_ns = short_ns
        self.on_ns = on_ns
        """How long a pulse of a train is on, and off after it."""
        self.off_ns = off_ns
        self.pulses = 1
        """How many pulses a train has; 0: endless."""
        self.moves: list[tuple[Instant, bool]] = []
        self.told = History()
        """What the relay has been told by this PDU."""

    def commanded(self, now: Instant) -> bool:
        """The state the last command asks for at `now`, whether or not the relay has got there."""
        for at, closed in reversed(self.moves):
            if now < at <= now + self.latency_ns:
                return closed
        return self.outlet.closed(now)

    def move(self, closed: bool, now: Instant, wait_ns: int = 0) -> None:
        """Go to a state, `wait_ns` later than it could, and stay.

        Nothing happens where the relay is, or is about to be, in that state for good.
        """
        pending = [move for move in self.moves if move[0] > now]
        if len(pending) < 2 and self.commanded(now) == closed and (not pending or pending[0][1] == closed):
            return
        self._plan([(now + self.latency_ns + wait_ns, closed)])

    def pulse(self, closed: bool, now: Instant, for_ns: int) -> None:
        """Go to a state for a time, then to the other one."""
        at = now + self.latency_ns
        self._plan([(at, closed), (at + for_ns, not closed)])

    def train(self, now: Instant) -> None:
        """Begin a pulse train: on, off, as often as is set; it ends off."""
        at = now + self.latency_ns
        moves = []
        for _ in range(min(self.pulses or MOST_PULSES, MOST_PULSES)):
            moves += [(at, True), (at + self.on_ns, False)]
            at += self.on_ns + self.off_ns
        self._plan(moves)

    def busy(self, now: Instant) -> bool:
        """Whether a pulse or a train is under way."""
        return len(self.moves) > 1 and now < self.moves[-1][0]

    def _plan(self, moves: list[tuple[Instant, bool]]) -> None:
        self.moves = moves
        for at, closed in moves:
            self.told = self.told.moved(closed, at)
            self.outlet.switch(closed, at)
