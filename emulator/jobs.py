"""What runs beside a virtual loop: executor jobs, thread pools, threads; while any of it runs, time must stand still.

Owns the count of it and the order in which results come back; it does not know the time and moves nothing.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import thread as pools
from typing import TYPE_CHECKING, Any

_PATIENCE_S = 5.0
"""Real time after which a finished job no longer waits for an older one that still runs. estimate"""

if TYPE_CHECKING:

    class _WorkItem:
        def run(self, *args: Any) -> None: ...

    _pool_threads: weakref.WeakKeyDictionary[threading.Thread, object]
else:
    _WorkItem = vars(pools)["_WorkItem"]
    _pool_threads = vars(pools)["_threads_queues"]


class _CountedItem(_WorkItem):
    """A piece of work in a thread pool, counted from its submission until its callbacks have been called.

    Counting futures instead would let the last one drop out before `asyncio.wrap_future` has posted the result.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for jobs in _watching:
            jobs.items.add(self)

    def run(self, *args: Any) -> None:
        try:
            super().run(*args)
        finally:
            for jobs in _watching:
                jobs.items.discard(self)


_watching: list[Jobs] = []
_watching_lock = threading.Lock()


class Jobs:
    """All work outside the thread of one loop. `wake` makes the loop look again; it is called from any thread."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._pending: deque[tuple[concurrent.futures.Future[Any], asyncio.Future[Any]]] = deque()
        self._harmless: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        self._before: frozenset[threading.Thread] = frozenset()
        self._waiting = 0
        self.items: weakref.WeakSet[_CountedItem] = weakref.WeakSet()
        """Items a pool drops on shutdown are never run; weak references let go of those too."""

    def begin(self) -> None:
        """Start watching. Threads that live already are taken as harmless: this loop did not start them."""
        self._before = frozenset(threading.enumerate())
        with _watching_lock:
            _watching.append(self)
            vars(pools)["_WorkItem"] = _CountedItem

    def end(self) -> None:
        """Stop watching; the last watcher gives the thread pools their own class back."""
        with _watching_lock:
            _watching.remove(self)
            if not _watching:
                vars(pools)["_WorkItem"] = _WorkItem
        self._before = frozenset()

    def ignore(self, thread: threading.Thread) -> None:
        """Let time move although `thread` is alive."""
        self._harmless.add(thread)

    def add(self, source: concurrent.futures.Future[Any], result: asyncio.Future[Any]) -> asyncio.Future[Any]:
        """Deliver the outcome of `source` to `result` when the loop asks for it; returns `result`."""

        def forget(done: asyncio.Future[Any]) -> None:
            if done.cancelled():
                source.cancel()

        self._pending.append((source, result))
        result.add_done_callback(forget)
        source.add_done_callback(lambda _: self._wake())
        return result

    def deliver(self, waited_s: float) -> bool:
        """Hand over one finished job; True when there was one.

        Oldest first, so that the order of results does not depend on which thread was faster. A job that has kept a
        younger one waiting for a second is overtaken: it may itself be waiting for what the younger one brings.
        """
        pending = self._pending
        if not pending:
            return False
        place = 0
        if not pending[0][0].done():
            finished = (i for i, (source, _) in enumerate(pending) if source.done())
            place = next(finished, 0) if waited_s >= _PATIENCE_S else 0
            if place == 0:
                return False
        source, result = pending[place]
        del pending[place]
        if not result.done():
            if source.cancelled():
                result.cancel()
            elif error := source.exception():
                # A future refuses StopIteration, and an error here would end the loop.
                result.set_exception(RuntimeError(repr(error)) if isinstance(error, StopIteration) else error)
            else:
                result.set_result(source.result())
        return True

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """In the loop's thread: a job waits for what the loop does inside, and does not hold time."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def counts(self, thread: threading.Thread) -> bool:
        """Whether `thread` is one that works for this loop's run."""
        return thread not in self._before and thread not in self._harmless

    def busy(self) -> bool:
        """Whether anything runs that may still call the loop or write to one of its sockets."""
        if self._pending or len(self.items):
            under_way = sum(not source.done() for source, _ in self._pending)
            if under_way < len(self._pending) or max(under_way, len(self.items)) > self._waiting:
                return True
        threads = threading.enumerate()
        return not self._before.issuperset(threads) and bool(self._threads())

    def running(self) -> frozenset[object]:
        """What `busy` sees: threads, pending results, pieces of work."""
        return frozenset([*self._threads(), *(source for source, _ in self._pending), *self.items])

    def names(self) -> str:
        """What `busy` sees, in words."""
        names = sorted(thread.name for thread in self._threads())
        jobs = max(len(self._pending), len(self.items))
        if jobs:
            pool = sorted(thread.name for thread in threading.enumerate() if thread in _pool_threads)
            names.append(f"{jobs} job(s) of the pool {', '.join(pool) or 'of processes'}")
        return ", ".join(names)

    def _threads(self) -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread not in self._before and self._counts(thread)]

    def _counts(self, thread: threading.Thread) -> bool:
        # Idle pool threads wait for work for ever. Work in them is counted by item, by pending result, or, in anyio's
        # own pool, by absence from the list of idle workers, which only the loop's thread changes.
        if thread in self._harmless or thread in _pool_threads:
            return False
        idle = getattr(thread, "idle_workers", None)
        if idle is not None:
            return thread not in idle
        return not (
            type(thread).__module__ == "concurrent.futures.process"  # keeps house for a process pool
            or thread.name == "QueueFeederThread"
        )
