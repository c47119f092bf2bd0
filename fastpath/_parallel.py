"""One scan on several threads.

Owns the sharing of the range among threads; the back end's `scan` releases the GIL, so threads are all it takes.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, SupportsIndex

import fastpath
from fastpath._arguments import Stop, integer, scan_range, stop_check

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_SLICE = 1 << 21  # hashes a thread takes at a time: a slow thread holds the others up no longer than that
_SIBLINGS = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


def default_threads() -> int:
    """The physical cores this process may run on: threads that share a core share its vector units."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = set()
    for processor in allowed:
        path = Path(_SIBLINGS.format(processor))
        try:
            cores.add(path.read_text())
        except OSError:
            cores.add(str(processor))
    return max(1, len(cores))


class _EitherFlag:
    """Set when a thread failed or the caller's own flag is set."""

    def __init__(self, stop: Stop | None) -> None:
        self.failed = threading.Event()
        self._outer = None if stop is None else stop_check(stop)

    def is_set(self) -> bool:
        return self.failed.is_set() or (self._outer is not None and self._outer())


def scan_parallel(
    header80: ReadableBuffer,
    start: SupportsIndex,
    count: SupportsIndex,
    target: SupportsIndex,
    *,
    threads: SupportsIndex | None = None,
    kernel: str | None = None,
    stop: Stop | None = None,
) -> list[int]:
    """`scan` on several threads: the same hits in the same order.

    `threads` None takes the physical cores this process may use. The calling thread is one of them. Raises as `scan`
    does, and ValueError for fewer threads than one.
    """
    workers = default_threads() if threads is None else integer(threads, "threads")
    if workers < 1:
        raise ValueError(f"threads must be at least 1, not {workers}")
    first, hashes, _ = scan_range(start, count, target)
    if workers == 1 or hashes < 2 * workers:
        return fastpath.scan(header80, first, hashes, target, kernel=kernel, stop=stop)
    flag = _EitherFlag(stop)
    fastpath.scan(header80, first, 0, target, kernel=kernel, stop=flag)  # a wrong argument is raised here, once
    size = min(_SLICE, -(-hashes // workers))
    begins = iter(range(first, first + hashes, size))
    lock, found, errors = threading.Lock(), dict[int, list[int]](), list[BaseException]()

    def work() -> None:
        while not flag.is_set():
            with lock:
                begin = next(begins, None)
            if begin is None:
                return
            length = min(size, first + hashes - begin)
            found[begin] = fastpath.scan(header80, begin, length, target, kernel=kernel, stop=flag)

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - handed to the calling thread, which raises it
            errors.append(error)
            flag.failed.set()

    helpers = [threading.Thread(target=guarded, name=f"fastpath-{i}", daemon=True) for i in range(1, workers)]
    for helper in helpers:
        helper.start()
    try:
        work()
    except BaseException:
        flag.failed.set()
        raise
    finally:
        for helper in helpers:
            helper.join()
    if errors:
        raise errors[0]
    return [nonce for begin in sorted(found) for nonce in found[begin]]
