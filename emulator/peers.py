"""What a virtual loop knows of other processes that live in its time: whom it asks before every jump.

Owns the interface of such a peer and the waiting for it in real time; how a peer is spoken to is its own business
(`bench/lockstep.py`).
"""
# ruff: noqa: SLF001 - runs the handles of a selector, as asyncio's own round does

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import selectors
    from collections.abc import Callable, Iterable

    from emulator.wire import Instant


class Peer(Protocol):
    """Another process in step with a loop."""

    @property
    def wake_ns(self) -> Instant | None:
        """When it next wants to run of itself; None for never."""
        ...

    def turn(self, now_ns: Instant) -> bool:
        """Let it do all that it can do at this instant, and return when it has nothing left to do.

        False when there was no need to ask it: nothing has happened since it last came to rest.
        """
        ...


class _Timed(Protocol):
    def real_s(self) -> float: ...


def hold(
    loop: _Timed, selector: selectors.BaseSelector, alarm: int, descriptors: Callable[[], Iterable[int]],
    until: Callable[[], bool], limit_s: float,
) -> float:  # fmt: skip
    """Serve the readers of `descriptors()` and nothing else until `until()`, for at most `limit_s` of real time.

    `alarm` is the loop's own: when it rings (a signal, another thread), the wait ends early. A descriptor that has no
    reader is left out. Returns the real seconds that have passed.
    """
    began_s = loop.real_s()
    while not until():
        left_s = began_s + limit_s - loop.real_s()
        if left_s <= 0:
            break
        known = selector.get_map()
        watched = select.poll()
        for descriptor in (alarm, *descriptors()):
            if descriptor in known:
                watched.register(descriptor, select.POLLIN)
        ready = [descriptor for descriptor, _ in watched.poll(left_s * 1e3)]
        for descriptor in ready:
            key = known.get(descriptor)
            if key is not None and descriptor != alarm and key.data[0] is not None:
                key.data[0]._run()
        if alarm in ready:
            break
    return loop.real_s() - began_s
