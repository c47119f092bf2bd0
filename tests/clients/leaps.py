"""Waiting on real sockets without waiting: once everybody who is alive sleeps, the clock leaps to the first to wake.

Owns the leap. It moves the emulated site and nothing else: time-outs of clients and timers of connections go on in
real time, so a client that measures time must not be in the middle of it.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from emulator.wire import SECOND

if TYPE_CHECKING:
    from emulator.clock import RealLoop
    from emulator.wire import Instant

T = TypeVar("T")

_GRID_S = 5
"""Where several are alive, sleepers wake on a grid, so that many wake together and talk at the same time."""

_PARTING_S = 0.03
"""Connections that grew too old during a leap are closed after it; a client with a pool is given time to notice."""


class Leaps:
    """The sleepers of one real loop; `leapt_ns` is how far its clock is ahead of a clock on the wall."""

    def __init__(self, loop: RealLoop) -> None:
        self.leapt_ns = 0
        self._loop = loop
        self._busy = 0
        self._grid_ns = 1
        self._order = itertools.count()
        self._asleep: list[tuple[Instant, int, asyncio.Future[None]]] = []

    def alive(self, what: Sequence[Callable[[], Awaitable[T]]]) -> list[Awaitable[T]]:
        """Everything that may sleep, to be awaited at once."""
        self._busy += len(what)
        self._grid_ns = 1 if len(what) == 1 else _GRID_S * SECOND
        return [self._live(one) for one in what]

    async def _live(self, one: Callable[[], Awaitable[T]]) -> T:
        try:
            return await one()
        finally:
            self._busy -= 1
            self._loop.call_soon(self._leap)

    async def sleep(self, duration_ns: int) -> None:
        """Sleep for `duration_ns`, rounded up to the grid; only inside what is `alive`."""
        due = -(-(self._loop.now_ns + duration_ns) // self._grid_ns) * self._grid_ns
        awake: asyncio.Future[None] = self._loop.create_future()
        heapq.heappush(self._asleep, (due, next(self._order), awake))
        self._busy -= 1
        self._loop.call_soon(self._leap)  # what is ready by now happens before
        await awake
        await asyncio.sleep(_PARTING_S)

    def _leap(self) -> None:
        if self._busy or not self._asleep:
            return
        ahead_ns = max(self._asleep[0][0] - self._loop.now_ns, 0)
        self._loop.origin_ns -= ahead_ns
        self.leapt_ns += ahead_ns
        due = max(self._asleep[0][0], self._loop.now_ns)
        while self._asleep and self._asleep[0][0] <= due:
            _, _, awake = heapq.heappop(self._asleep)
            self._busy += 1
            awake.set_result(None)
