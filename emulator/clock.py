"""The one clock of a run: virtual or real, the same interface, integer nanoseconds since the run began.

Owns every reading of the wall clock and every start of an event loop; what is done at an instant is the caller's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import select
import selectors
import signal
import threading
import time
from array import array
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextvars import Context
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, TypeVarTuple, cast

import numpy as np

from emulator.ordered_loop import OrderedLoop
from emulator.virtual_loop import ClockStalledError, DeadlockError, VirtualLoop, VirtualTimeError
from emulator.wire import MILLISECOND, SECOND

__all__ = [
    "Clock",
    "ClockStalledError",
    "DeadlockError",
    "Lateness",
    "RealLoop",
    "VirtualLoop",
    "VirtualTimeError",
    "resolution_ns",
    "run",
    "stepped",
    "tick_ns",
]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_logger = logging.getLogger("ramprig.clock")

VIRTUAL_EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
"""What a virtual run takes for its date unless told otherwise: always the same, for the trace must be."""
_REAL_ROUNDS = 10
"""Rounds of a real loop that count as settled: enough for both ends of a connection to close. estimate"""
_DESCRIPTORS_OF_SELECT = 1024
"""FD_SETSIZE, the first descriptor that select(2) cannot take. GK"""
_COARSE_NS = 2 * MILLISECOND
"""Waits longer than this begin with epoll's own whole milliseconds: one system call instead of two. estimate"""
_PATIENCE_NS = MILLISECOND // 2
"""How late a timer may be before what else is ready waits for it: each by itself they cost a sixth of the speed (M)."""
_LOOK_AFTER = 4
"""Callers between two looks at the timers: a look after each took a tenth off the rate of meters (M)."""
_CLOCK_MONOTONIC_COARSE = 6
"""Linux' number for it (clock_getres(2)); Python has no name. GK"""
_BEAT_NS = 10 * MILLISECOND
"""How often lateness is looked for where nobody's timer is due, in the wall's time: a standstill that voids a run shows
in twenty beats, and they cost a thousandth of a processor. estimate"""
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
"""Steps of this share of a period never fall into step with anything periodic."""
_LONGEST_WAIT_NS = 86_400 * SECOND
"""The loop looks again after a day: epoll_wait takes an int of milliseconds, not quite 25 days."""


class Lateness:
    """How late timers fired, in bounded memory: exact up to 65 536 timers, then from an even thinning of them."""

    KEPT = 65_536

    def __init__(self) -> None:
        self.count = 0
        self.max_ns = 0
        self._samples = array("q")
        self._stride = 1

    def record(self, late_ns: int) -> None:
        """Add one timer; one that seems early, by the rounding of a float, counts as on time."""
        late_ns = max(late_ns, 0)
        if self.count % self._stride == 0:
            if len(self._samples) == self.KEPT:
                self._samples = self._samples[::2]
                self._stride *= 2
            if self.count % self._stride == 0:
                self._samples.append(late_ns)
        self.count += 1
        self.max_ns = max(self.max_ns, late_ns)

    @property
    def p50_ns(self) -> int:
        """The median lateness."""
        return self.percentile_ns(50.0)

    @property
    def p99_ns(self) -> int:
        """The lateness that 99 % of the timers kept below."""
        return self.percentile_ns(99.0)

    def percentile_ns(self, percent: float) -> int:
        """The smallest kept lateness that `percent` of the kept ones do not exceed; 0 when nothing was recorded."""
        if not self._samples:
            return 0
        return int(np.percentile(np.asarray(self._samples), percent, method="inverted_cdf"))


class _Selector(selectors.EpollSelector):
    """Waits to the microsecond; epoll alone rounds up to a full millisecond, and every timer would be late by that."""

    def __init__(self) -> None:
        super().__init__()
        self.epoll: select.epoll = vars(self)["_selector"]

    def wait(self, timeout_ns: int | None) -> list[tuple[int, int]]:
        """Descriptors that are ready, each with its events as epoll knows them; None waits for ever."""
        if timeout_ns is None:
            return self.epoll.poll()
        if timeout_ns > _COARSE_NS:
            return self.epoll.poll((timeout_ns // MILLISECOND - 1) * 1e-3)
        if timeout_ns > 0:
            if self.fileno() >= _DESCRIPTORS_OF_SELECT:
                return self.epoll.poll(timeout_ns * 1e-9)
            select.select([self.fileno()], [], [], timeout_ns * 1e-9)
        return self.epoll.poll(0)


class RealLoop(OrderedLoop):
    """The ordinary selector loop on the monotonic clock; `now_ns` counts from the making of the loop.

    With a `speed` its time runs that many times as fast as the wall's. What serves many connections takes `watch`
    instead of asyncio's transports, whose handles and tasks cost more than most of our replies.
    """

    def __init__(self, speed: float = 1.0) -> None:
        super().__init__(_Selector())
        self.speed = speed
        self.monotonic_ns = time.monotonic_ns if speed == 1.0 else self._scaled_ns
        """The monotonic clock, or, at another speed, what it would show had it run at that speed all along."""
        self.origin_ns = time.monotonic_ns()
        self._watched: dict[int, Callable[[int], object]] = {}

    @property
    def now_ns(self) -> int:
        """Nanoseconds since the loop was made."""
        return self.monotonic_ns() - self.origin_ns

    def time(self) -> float:
        """`monotonic_ns` in seconds."""
        return super().time() if self.speed == 1.0 else self.monotonic_ns() / 1e9

    def _scaled_ns(self) -> int:
        return self.origin_ns + round((time.monotonic_ns() - self.origin_ns) * self.speed)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio's, but timers of one instant fire in the order in which they were set."""
        self._check_closed()
        if when == math.inf:
            return asyncio.TimerHandle(when, callback, args, self, context)
        return self._set_timer(math.ceil(when * 1e9) - self.origin_ns, callback, args, context)

    def call_at_ns(
        self, when_ns: int, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call `callback(*args)` when `now_ns` has reached `when_ns`."""
        self._check_closed()
        return self._set_timer(when_ns, callback, args, context)

    def watch(self, descriptor: int, events: int, call: Callable[[int], object]) -> None:
        """Call `call(events)` in every round in which one of `events` (select.EPOLLIN, ...), or an error, is there.

        Said again of the same descriptor it replaces what was said before. End it with `unwatch` before closing.
        """
        epoll = self._selector.epoll
        if descriptor in self._watched:
            epoll.modify(descriptor, events)
        else:
            epoll.register(descriptor, events)
        self._watched[descriptor] = call

    def unwatch(self, descriptor: int) -> None:
        """Watch it no more. Raises KeyError where it is not watched."""
        del self._watched[descriptor]
        self._selector.epoll.unregister(descriptor)

    def _run_once(self) -> None:
        """One round, in place of asyncio's."""
        self._forget_cancelled()
        timeout_ns = None
        if self._ready or self._stopping:
            timeout_ns = 0
        elif self._scheduled:
            timeout_ns = max(0, self._scheduled[0][0] - self.now_ns)
            if self.speed != 1.0:
                timeout_ns = math.ceil(timeout_ns / self.speed)
            timeout_ns = min(timeout_ns, _LONGEST_WAIT_NS)
        watched, monotonic_ns = self._watched, self.monotonic_ns
        for place, (descriptor, events) in enumerate(self._selector.wait(timeout_ns), 1):
            call = watched.get(descriptor)
            if call is None:
                self._pass_on(descriptor, events)
                continue
            try:
                call(events)
            except Exception:
                _logger.exception("%r failed; the loop goes on", call)
            # Hundreds of callers may be ready at once, and a timer is not to wait for all of their replies.
            if not place % _LOOK_AFTER:
                timers, now_ns = self._scheduled, monotonic_ns() - self.origin_ns
                if timers and timers[0][0] + _PATIENCE_NS <= now_ns:
                    self._run_due(now_ns)
        self._run_due(self.now_ns)

    def _pass_on(self, descriptor: int, events: int) -> None:
        """What asyncio itself waits for, as its own selector would have told it."""
        key = self._selector.get_map().get(descriptor)
        if key is not None:
            read = selectors.EVENT_READ if events & ~select.EPOLLOUT else 0
            write = selectors.EVENT_WRITE if events & ~select.EPOLLIN else 0
            self._process_events([(key, (read | write) & key.events)])


class Clock:
    """The time of one run. Instants are integer nanoseconds since the loop was made.

    `epoch` is the date at instant 0, aware; it is a label and never measured with. `lateness` is of the timers set
    through `call_at` and the sleeps below, and of the instants that `watch_lateness` looks at; it stays empty in
    virtual time, where every timer is exact.
    """

    def __init__(self, loop: VirtualLoop | RealLoop, epoch: datetime | None = None) -> None:
        if epoch is None:
            epoch = VIRTUAL_EPOCH
            if isinstance(loop, RealLoop):
                epoch = datetime.now(UTC) - timedelta(microseconds=loop.now_ns // 1000)
        if epoch.tzinfo is None:
            raise ValueError(f"epoch {epoch} has no time zone; give one, for example {epoch.isoformat()}+00:00")
        self.loop = loop
        self.mode = "virtual" if isinstance(loop, VirtualLoop) else "real"
        self.speed = 1.0 if isinstance(loop, VirtualLoop) else loop.speed
        """How many times as fast as the wall clock real time runs; 1 in virtual time."""
        self.epoch = epoch.astimezone(UTC)
        self.lateness = Lateness()

    def now(self) -> int:
        """The present instant, ns."""
        return self.loop.now_ns

    def wall(self, at: int | None = None) -> datetime:
        """The date at instant `at` (default: now), UTC, to the microsecond."""
        return self.epoch + timedelta(microseconds=(self.loop.now_ns if at is None else at) // 1000)

    def call_at(self, when: int, callback: Callable[[*Ts], object], *args: *Ts) -> asyncio.TimerHandle:
        """Call `callback(*args)` at instant `when`, or at once when it has passed; equal instants keep their order."""
        if self.mode == "virtual":
            return self.loop.call_at_ns(when, callback, *args)
        # A timer set for the past is the caller's lateness, not the loop's.
        return self.loop.call_at_ns(when, self._fire, max(when, self.loop.now_ns), callback, args)

    def _fire(self, due_ns: int, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.lateness.record(self.loop.now_ns - due_ns)
        callback(*args)

    def watch_lateness(self, start: int, stop: int) -> None:
        """Measure `lateness` from `start` to `stop` also where nobody has a timer; in virtual time, nothing.

        A hundred instants a second of the wall are each as late as the loop was then, so that a standstill counts for
        as long as it lasted and not as one timer that was late.
        """
        if self.mode == "real":
            self._beat(max(start, self.now()), stop, 0)

    def _beat(self, start: int, stop: int, beats: int) -> None:
        """Count what is due by now, and come again for the next beat."""
        period_ns, now = self.of_wall(_BEAT_NS), self.loop.now_ns
        while (due := start + beats * period_ns + round(beats * _GOLDEN % 1.0 * period_ns)) <= now:
            if due >= stop:
                return
            self.lateness.record(now - due)
            beats += 1
        if due < stop:
            self.loop.call_at_ns(due, self._beat, start, stop, beats)

    def of_wall(self, duration_ns: int) -> int:
        """A stretch of the wall's time as long as it is in the run's: what a machine needs knows no speed."""
        return round(duration_ns * self.speed)

    async def sleep_until(self, when: int) -> None:
        """Sleep until instant `when`; one that has passed only lets others run."""
        if when <= self.loop.now_ns:
            await asyncio.sleep(0)
            return
        awake = self.loop.create_future()
        timer = self.call_at(when, _wake, awake)
        try:
            await awake
        finally:
            timer.cancel()

    async def sleep(self, duration_ns: int) -> None:
        """Sleep for `duration_ns`. For a period, sleep until `start + k * period` instead: that does not drift."""
        await self.sleep_until(self.loop.now_ns + duration_ns)

    async def settle(self) -> None:
        """Let everything happen that can happen at this instant; in real time, what is ready already."""
        if isinstance(self.loop, VirtualLoop):
            await self.loop.at_rest()
            return
        for _ in range(_REAL_ROUNDS):
            await asyncio.sleep(0)


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)


def run(
    main: Callable[[Clock], Awaitable[T]], *, mode: str = "virtual", epoch: datetime | None = None, speed: float = 1.0
) -> T:
    """Run `main(clock)` in a loop of its own, cancel what it leaves behind, and return its result.

    As in `asyncio.run`, the first SIGINT cancels the main task and ends in KeyboardInterrupt; SIGTERM does the same and
    ends in SystemExit(143). `speed` is how many times as fast as the wall clock a real loop runs. Nothing global is
    set. Raises ValueError for an unknown mode, a speed that is none or has no meaning, or an epoch without time zone,
    DeadlockError and ClockStalledError in virtual time.
    """
    loops = {"virtual": VirtualLoop, "real": lambda: RealLoop(speed)}
    if mode not in loops:
        raise ValueError(f"time {mode!r} is not known; one of 'virtual', 'real' is expected")
    if not 0 < speed < math.inf or (speed != 1.0 and mode != "real"):
        raise ValueError(f"speed {speed:g}: a number above 0 is expected, and mode 'real': virtual time has no speed")
    with asyncio.Runner(loop_factory=loops[mode]) as runner:
        clock = Clock(cast(VirtualLoop | RealLoop, runner.get_loop()), epoch)

        async def body() -> T:
            task = cast("asyncio.Task[T]", asyncio.current_task())
            with _cancelled_by_sigterm(task):
                try:
                    return await main(clock)
                finally:
                    if not task.cancelling():
                        # Connections that main has closed end by themselves, not by the cancellation that follows.
                        await clock.settle()

        return runner.run(body())


def resolution_ns() -> int:
    """How finely the clock of a real loop tells instants apart, as the kernel says."""
    return max(1, round(time.clock_getres(time.CLOCK_MONOTONIC) * 1e9))


def tick_ns() -> int:
    """How far the scheduler's ticks lie apart: the kernel's coarse clock moves on with them."""
    return round(time.clock_getres(_CLOCK_MONOTONIC_COARSE) * 1e9)


@contextlib.contextmanager
def stepped() -> Iterator[tuple[Clock, Callable[[Coroutine[Any, Any, T]], T]]]:
    """A virtual clock that moves only while a coroutine given to the function beside it runs, and rests in between.

    For callers that are no coroutines and decide from step to step what happens next. What is left at the end is
    cancelled.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        yield Clock(cast(VirtualLoop, runner.get_loop())), runner.run


@contextlib.contextmanager
def _cancelled_by_sigterm(task: asyncio.Task[Any]) -> Iterator[None]:
    """SIGTERM cancels `task` once, then ends the program; left alone where somebody else handles it."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    asked = False

    def ask(number: int, _frame: object) -> None:
        nonlocal asked
        if asked or task.done():
            raise SystemExit(128 + number)
        asked = True
        task.cancel()
        task.get_loop().call_soon_threadsafe(lambda: None)  # wakes a loop that waits in select

    signal.signal(signal.SIGTERM, ask)
    try:
        yield
    except asyncio.CancelledError:
        if asked:
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
