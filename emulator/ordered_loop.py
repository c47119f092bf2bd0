"""What both loops of a run have in common: timers on integer nanoseconds, equal instants in the order they were set.

Owns the heap of timers; when they are due, and what a round of the loop is, is each loop's own.
"""
# ruff: noqa: SLF001 - a loop is built of asyncio's own parts; `_SelectorLoop` below lists them

from __future__ import annotations

import asyncio
import heapq
import itertools
import operator
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVarTuple

if TYPE_CHECKING:
    import socket
    from collections import deque
    from concurrent.futures import Executor

    class _SelectorLoop(asyncio.SelectorEventLoop):
        """What the loops rely on inside asyncio; the same in CPython 3.11 to 3.13, and held by a test."""

        _ready: deque[asyncio.Handle]
        _scheduled: list[Any]
        _timer_cancelled_count: int
        _stopping: bool
        _thread_id: int | None
        _selector: Any
        _ssock: socket.socket
        _default_executor: Executor | None

        def _check_closed(self) -> None: ...
        def _check_default_executor(self) -> None: ...
        def _process_events(self, event_list: list[Any]) -> None: ...
        def _write_to_self(self) -> None: ...
        def _add_reader(self, fd: int, callback: Callable[[*Ts], object], *args: *Ts) -> None: ...
        def _start_serving(self, *args: Any) -> None: ...
        def _stop_serving(self, sock: socket.socket) -> None: ...
        def _accept_connection2(self, *args: Any) -> Any: ...
        def _make_socket_transport(self, sock: socket.socket, protocol: asyncio.BaseProtocol) -> object: ...
        async def _ensure_resolved(self, address: Any, **kinds: Any) -> list[Any]: ...
else:
    _SelectorLoop = asyncio.SelectorEventLoop

Ts = TypeVarTuple("Ts")
Timer: TypeAlias = tuple[int, int, asyncio.TimerHandle]
"""Instant, place among those of the same instant, timer: a heap of these is sorted without a call of Python."""

_FEW_TIMERS = 100


class OrderedLoop(_SelectorLoop):
    """A selector event loop with a heap of `Timer` in place of asyncio's, which sorts equal instants at random."""

    _scheduled: list[Timer]

    def __init__(self, selector: Any = None) -> None:
        super().__init__(selector)
        self.work = 0
        """Callbacks run so far: what another process may not know of yet has happened in one of them."""
        self._order = itertools.count()

    def _set_timer(
        self, when_ns: int, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when_ns / 1e9, callback, args, self, context)
        heapq.heappush(self._scheduled, (when_ns, next(self._order), timer))
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def _pop_timer(self) -> asyncio.TimerHandle:
        timer = heapq.heappop(self._scheduled)[2]
        timer._scheduled = False  # type: ignore[attr-defined]
        if timer._cancelled:
            self._timer_cancelled_count -= 1
        return timer

    def _forget_cancelled(self) -> None:
        """Take cancelled timers off the top of the heap, and all of them when they are more than half of many."""
        timers = self._scheduled
        if len(timers) > _FEW_TIMERS and self._timer_cancelled_count * 2 > len(timers):
            for entry in timers:
                if entry[2]._cancelled:
                    entry[2]._scheduled = False  # type: ignore[attr-defined]
            self._scheduled = timers = [entry for entry in timers if not entry[2]._cancelled]
            heapq.heapify(timers)
            self._timer_cancelled_count = 0
        while timers and timers[0][2]._cancelled:
            self._pop_timer()

    def _run_due(self, now_ns: int) -> None:
        """The last part of a round: what is due joins what is ready, and what was ready then is run."""
        ready, timers = self._ready, self._scheduled
        while timers and timers[0][0] <= now_ns:
            timer = self._pop_timer()
            if not timer._cancelled:
                ready.append(timer)
        self.work += len(ready)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()


def whole(when_ns: int) -> int:
    """An instant as Python's own integer; NumPy's would make their way into the clock. Raises TypeError for others."""
    return operator.index(when_ns)
