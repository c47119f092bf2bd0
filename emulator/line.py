"""One connection to an emulated device: bytes of a transport in, actions of a `Conversation` out, each at its instant.

Owns delays, order, limits and the ends of a connection; who may connect is `emulator/network.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, TypeVar, cast

from emulator.clock import Clock
from emulator.standing import standing_of
from emulator.wire import SECOND, Action, Close, Conversation, Instant, Reach, Send, Speaker, speaker_of

OUTPUT_LIMIT_BYTES = 1 << 20
"""Output that may wait, queued or unread by the peer, before no more input is taken. estimate"""
SILENCE_NS = 60 * SECOND
"""Real time only: how long a caller of a silent device is held before he is reset. estimate"""
_LOOK_NS = SECOND
Ask = TypeVar("Ask")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

Contact: TypeAlias = Callable[[str, int, str, Instant], object]
"""A hook: (address, port, the peer's address, now)."""

_DEFECT = "%s failed; its connection is closed"
_logger = logging.getLogger("ramprig.network")


def reset(transport: asyncio.Transport) -> None:
    """End a connection with an RST: what the peer has not yet been sent is lost."""
    sock = transport.get_extra_info("socket")
    if sock is not None:  # datagrams have nothing to reset
        with contextlib.suppress(OSError):  # the peer may have been faster
            reset_on_close(sock)
    transport.abort()


def reset_on_close(sock: socket.socket) -> None:
    """Let the closing of `sock` be an RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)


class Owner(Protocol):
    """Who is told what becomes of a line."""

    def failed(self) -> None:
        """A conversation has raised an error."""
        ...

    def over(self, line: Line | Silence) -> None:
        """The connection has ended."""
        ...


class _Over:
    """What is left to say when a connection has ended."""

    idle_timeout_ns: int | None = None

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        return ()

    def ended(self, now: Instant) -> Sequence[Action]:
        return ()


_OVER = _Over()


class Line(asyncio.Protocol):
    """A caller and a conversation that began at `now`; `called` and `peer` are the addresses of both.

    `on_request` hears of bytes that arrive.

    An action waits `delay_ns` from the one before it, or from now when none is waiting; input that comes while
    actions wait is read at once and answered after them.
    """

    __slots__ = (
        "_attend", "_choked", "_clock", "_conversation", "_done", "_due_ns", "_ended", "_idle", "_last_ns", "_loop",
        "_lost", "_on_request", "_owner", "_paused", "_peer", "_queue", "_queued_bytes", "_speaker", "_timer",
        "_transport", "_wake", "_wake_ns", "_write_last", "called", "standing",
    )  # fmt: skip

    def __init__(
        self,
        clock: Clock,
        conversation: Conversation,
        now: Instant,
        owner: Owner,
        called: tuple[str, int],
        peer: str,
        on_request: Contact | None = None,
    ) -> None:
        self._clock = clock
        self._loop = clock.loop
        self._conversation = conversation
        self._speaker = speaker_of(conversation)
        self.standing = standing_of(conversation)
        self._owner = owner
        self.called = called
        self._peer = peer
        self.listen_in(on_request)
        self._transport: asyncio.Transport | None = None
        self._queue: deque[Action] = deque()
        self._queued_bytes = 0
        self._due_ns = 0
        self._last_ns = now
        self._timer: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._wake: asyncio.TimerHandle | None = None
        self._wake_ns = 0
        self._choked = self._paused = self._ended = self._done = False
        self._attend: Callable[[Callable[[], None]], object] | None = getattr(conversation, "attend", None)
        self._lost: Callable[[Instant], object] | None = getattr(conversation, "lost", None)

    def listen_in(self, on_request: Contact | None) -> None:
        """Let another one hear of bytes that arrive."""
        self._on_request = on_request
        if self.standing is not None:
            self.standing.told = None if on_request is None else self._tell

    def _tell(self, now: Instant) -> None:
        if self._on_request is not None:
            self._on_request(*self.called, self._peer, now)

    # --- what the transport says ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._write_last = getattr(transport, "write_last", self._transport.write)
        if self._done:  # dropped between connection and this call
            reset(self._transport)
            return
        self._transport.set_write_buffer_limits(high=OUTPUT_LIMIT_BYTES)
        self._watch_idleness()
        if self._attend is not None:
            self._guarded(self._attend, self._rouse)

    def data_received(self, data: bytes) -> None:
        if self._done:
            return
        self._last_ns = now = self._loop.now_ns
        if self._on_request is not None:
            self._tell(now)
        try:
            self._take(self._conversation.received(data, now), now)
            self._watch_wake()
        except Exception:
            _logger.exception(_DEFECT, type(self._conversation).__qualname__)
            self._fail()

    def eof_received(self) -> bool:
        self._ended = True
        if self._done:
            return False
        now = self._clock.now()
        try:
            self._take(self._conversation.ended(now), now)
        except Exception:
            _logger.exception(_DEFECT, type(self._conversation).__qualname__)
            self._fail()
        # True keeps our side open until the waiting actions are carried out.
        return bool(self._queue)

    def pause_writing(self) -> None:
        self._choked = True
        self._throttle()

    def resume_writing(self) -> None:
        self._choked = False
        self._throttle()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        self._owner.over(self)
        if self._lost is not None:
            self._guarded(self._lost, self._clock.now())
        # A conversation that attends knows us: let go of it, or a collection has to find both, in the middle of a run.
        self._conversation = _OVER
        self._speaker = self._attend = self._lost = None

    # --- what the device does ---------------------------------------------------------------------------------------

    def reset(self) -> None:
        """End the connection with an RST, whatever is still to be sent."""
        self._stop()
        if self._transport is not None:
            reset(self._transport)

    def _take(self, actions: Sequence[Action], now: Instant) -> None:
        queue = self._queue
        for place, action in enumerate(actions):
            if queue or action.delay_ns > 0:
                if not queue:
                    self._due_ns = now + action.delay_ns
                    self._timer = self._clock.call_at(self._due_ns, self._next)
                queue.append(action)
                if isinstance(action, Send):
                    self._queued_bytes += len(action.data)
            else:
                self._perform(action, actions[place + 1] if place + 1 < len(actions) else None)
                if self._done:
                    return
        if self._queued_bytes > OUTPUT_LIMIT_BYTES:
            self._throttle()

    def _watch_wake(self) -> None:
        speaker = self._speaker
        wake_ns = None if speaker is None or self._done else speaker.wake_ns
        if speaker is None or wake_ns is None:
            return
        if self._wake is not None:
            if self._wake_ns <= wake_ns:
                return
            self._wake.cancel()  # what it has to say now comes before what it had to say then
        self._wake_ns = wake_ns
        self._wake = self._clock.call_at(wake_ns, self._woken, speaker)

    def _rouse(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        self._watch_wake()

    def _guarded(self, tell: Callable[[Ask], object], what: Ask) -> None:
        try:
            tell(what)
        except Exception:
            _logger.exception(_DEFECT, type(self._conversation).__qualname__)
            self._fail()

    def _woken(self, speaker: Speaker) -> None:
        self._wake = None
        now = self._clock.now()
        try:
            self._take(speaker.woken(now), now)
            self._watch_wake()
        except Exception:
            _logger.exception(_DEFECT, type(self._conversation).__qualname__)
            self._fail()

    def _next(self) -> None:
        """The first waiting action is due; those right behind it, without a delay of their own, are too."""
        queue = self._queue
        self._last_ns = self._clock.now()
        try:
            while True:
                action = queue.popleft()
                if isinstance(action, Send):
                    self._queued_bytes -= len(action.data)
                self._perform(action, queue[0] if queue else None)
                if self._done:
                    return
                if not queue:
                    break
                if queue[0].delay_ns > 0:
                    # From the instant that was due, not from a late one: delays of a burst must not add up lateness.
                    self._due_ns += queue[0].delay_ns
                    self._timer = self._clock.call_at(self._due_ns, self._next)
                    break
        except Exception:
            _logger.exception(_DEFECT, type(self._conversation).__qualname__)
            self._fail()
            return
        if self._paused:
            self._throttle()
        if self._ended and not queue:
            self._finish()

    def _perform(self, action: Action, then: Action | None) -> None:
        transport: asyncio.Transport = self._transport  # type: ignore[assignment]  # only what is connected speaks
        if isinstance(action, Send):
            if transport.is_closing():
                return
            if isinstance(then, Close) and not then.delay_ns and not then.reset:
                self._write_last(action.data)
            else:
                transport.write(action.data)
        elif action.reset:
            self.reset()
        else:
            self._finish()

    def _finish(self) -> None:
        self._stop()
        cast(asyncio.Transport, self._transport).close()

    def _fail(self) -> None:
        """A conversation must take any bytes; one that raises is a bug of ours, and costs this connection only."""
        self._owner.failed()
        self._finish()

    def _stop(self) -> None:
        self._done = True
        self._queue.clear()
        for timer in (self._timer, self._idle, self._wake):
            if timer is not None:
                timer.cancel()
        self._timer = self._idle = self._wake = None

    def _throttle(self) -> None:
        """Take no input while too much output waits."""
        pause = self._choked or self._queued_bytes > OUTPUT_LIMIT_BYTES
        if pause is self._paused or self._transport is None:
            return
        self._paused = pause
        if pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _watch_idleness(self) -> None:
        idle_ns = self._conversation.idle_timeout_ns
        if idle_ns is not None and not self._done:
            self._idle = self._clock.call_at(self._last_ns + idle_ns, self._look_idle)

    def _look_idle(self) -> None:
        # One timer a connection, not one a message: bytes only note their instant, the timer looks at the note.
        idle_ns = self._conversation.idle_timeout_ns
        now = self._clock.now()
        if self.standing is not None:
            self._last_ns = max(self._last_ns, self.standing.last_ns)
        if self._queue:
            self._last_ns = now  # the device is still at work for the peer, who waits rightly
        if idle_ns is not None and now >= self._last_ns + idle_ns:
            self._finish()
        else:
            self._watch_idleness()


class Silence(asyncio.Protocol):
    """A caller of a device without power, in real time: the kernel has taken the call, nobody answers it.

    He is reset when `reach` says that the device is no longer silent, and after a minute in any case.
    """

    def __init__(
        self, clock: Clock, owner: Owner, called: tuple[str, int], *, reach: Callable[[Instant], Reach]
    ) -> None:
        self._clock = clock
        self._owner = owner
        self.called = called
        self._reach = reach
        self._ends_ns = clock.now() + SILENCE_NS
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = self._clock.call_at(self._clock.now() + _LOOK_NS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._owner.over(self)

    def reset(self) -> None:
        """End the connection with an RST."""
        if self._transport is not None:
            reset(self._transport)

    def _look(self) -> None:
        now = self._clock.now()
        if now >= self._ends_ns or self._reach(now) is not Reach.SILENT:
            self.reset()
        else:
            self._timer = self._clock.call_at(now + _LOOK_NS, self._look)
