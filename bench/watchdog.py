"""Notices a controller that holds up the bench: one that lives in the bench's own loop and never gives way to it.

Owns the alarm clock and the exception that is raised inside such a controller. It cannot reach into compiled code that
never comes back to the interpreter; a run stuck there has to be stopped by hand, and reads as void.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.wire import SECOND, Instant

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

under_test: ContextVar[bool] = ContextVar("controller_under_test", default=False)
"""Set in the context in which the controller's own code runs."""
PATIENCE_NS = 30 * SECOND
"""Real time that a controller may run without giving way (estimate: far above any honest computation)."""
_LOOKS = 4
"""How often the watchdog looks within its limit, so that it is late by a quarter at most."""
_LOOP_WORK = asyncio.Handle._run.__code__  # noqa: SLF001 the frame that is there as long as one callback runs


class BlockedError(BaseException):
    """Raised inside a controller that holds up the bench; no `Exception`, for those are swallowed by many a loop."""


class Watchdog:
    """Raises BlockedError in whatever callback of the controller runs for `limit_ns` of real time, and tells `told`.

    Rests on SIGALRM: it sleeps outside the main thread, and where somebody else has that signal already.
    """

    def __init__(self, limit_ns: Instant, told: Callable[[str], object] = lambda _: None) -> None:
        self._limit_ns = limit_ns
        self._told = told
        self._awake = False
        self._work: FrameType | None = None
        self._seen = 0

    def start(self) -> None:
        """Begin to look."""
        main = threading.current_thread() is threading.main_thread()
        if not main or signal.getsignal(signal.SIGALRM) != signal.SIG_DFL:
            return
        self._awake = True
        signal.signal(signal.SIGALRM, self._look)
        period_s = self._limit_ns / SECOND / _LOOKS
        signal.setitimer(signal.ITIMER_REAL, period_s, period_s)

    def stop(self) -> None:
        """Look no more. May be called at any time, also twice."""
        if self._awake:
            self._awake = False
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            self._work = None

    def _look(self, _number: int, frame: FrameType | None) -> None:
        """Count the looks that find one and the same piece of the controller's work running."""
        work = _work(frame)
        if not under_test.get() or work is not self._work:
            self._work, self._seen = work, 0
            return
        self._seen += 1
        if self._seen < _LOOKS:
            return
        self._seen = 0
        where = "" if frame is None else f", in {Path(frame.f_code.co_filename).name} line {frame.f_lineno}"
        reason = f"held up the bench for {self._limit_ns / SECOND:g} s of real time without giving way{where}"
        self._told(reason)
        raise BlockedError(reason)


def _work(frame: FrameType | None) -> FrameType | None:
    """The frame of the loop's callback that is running, the same object as long as it runs; None outside a loop."""
    while frame is not None and frame.f_code is not _LOOP_WORK:
        frame = frame.f_back
    return frame
