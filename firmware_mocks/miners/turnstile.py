"""A cgminer socket that looks at one connection until it is closed, and only then at the next one.

Owns the order of callers; one who says nothing keeps everybody behind him waiting, as a single-threaded accept loop
does. What a command does and says is the face's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from emulator.wire import Action, Close, Instant, Send
from firmware_mocks.miners.cgminer import IDLE_NS, MAX_REQUEST, ApiConversation, Dialect, Host, Reply, answer

NO_REPLY = Reply("", 0, "")
"""What a command answers that only closes the connection."""


class Caller(Protocol):
    """Somebody in the line."""

    def has_turn(self) -> None:
        """Be looked at as soon as possible."""
        ...


class Turnstile:
    """Callers in the order in which they came, until each has been served or has gone."""

    __slots__ = ("_callers",)

    def __init__(self) -> None:
        self._callers: list[Caller] = []

    def enter(self, caller: Caller) -> None:
        """Stand at the end of the line, once."""
        if caller not in self._callers:
            self._callers.append(caller)

    def leave(self, caller: Caller) -> None:
        """Step out of the line; whoever was right behind the first is heard now."""
        if caller not in self._callers:
            return
        was_first = self._callers[0] is caller
        self._callers.remove(caller)
        if was_first and self._callers:
            self._callers[0].has_turn()

    def is_first(self, caller: Caller) -> bool:
        """Whether the server looks at this caller."""
        return bool(self._callers) and self._callers[0] is caller

    def is_taken(self) -> bool:
        """Whether somebody is being listened to."""
        return bool(self._callers)

    def clear(self) -> None:
        """The server has started anew."""
        self._callers.clear()

    def __deepcopy__(self, _memo: dict[int, Any]) -> Turnstile:
        """Itself: who stands in the line is the network's, no copy of a device can change it."""
        return self


class QueueHost(Host, Protocol):
    """The part of a device that a queued socket needs."""

    turnstile: Turnstile
    turns_away: bool
    """Whether a caller is reset while another one is listened to; otherwise he waits."""
    text_tail: bytes
    """What follows a text reply, before the NUL."""


D = TypeVar("D", bound=QueueHost)


class QueuedConversation(ApiConversation[D]):
    """One connection in the line: silent until it has its turn, then one request, one reply, close."""

    __slots__ = ("_rouse", "_turned_away", "idle_timeout_ns", "wake_ns")

    def __init__(self, device: D, dialect: Dialect[D]) -> None:
        super().__init__(device, dialect)
        self.idle_timeout_ns: int | None = IDLE_NS
        self.wake_ns: Instant | None = None
        self._rouse: Callable[[], None] | None = None
        self._turned_away = False

    def attend(self, rouse: Callable[[], None]) -> None:
        """The connection stands: get in line, or be turned away."""
        self._rouse = rouse
        if self._device.turns_away and self._device.turnstile.is_taken():
            self._turned_away = True
            self.has_turn()
        else:
            self._device.turnstile.enter(self)

    def has_turn(self) -> None:
        """Be looked at as soon as possible."""
        self.wake_ns = 0
        if self._rouse is not None:
            self._rouse()

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        """Serve the request when it is this caller's turn; keep what he says until then."""
        if self._served or not data:
            return []
        gone = self._gone(now)
        if gone is not None:
            return gone
        self._heard = (self._heard + data)[:MAX_REQUEST]
        self.idle_timeout_ns = None  # whoever has asked may wait for as long as he likes
        return self._look(now)

    def woken(self, now: Instant) -> Sequence[Action]:
        """It may be this caller's turn."""
        self.wake_ns = None
        if self._turned_away:
            return [Close(reset=True)]
        if self._served or not self._heard:
            return []
        gone = self._gone(now)
        return self._look(now) if gone is None else gone

    def ended(self, now: Instant) -> Sequence[Action]:
        """The peer closed his side: half a request is served as what it is; who does not wait his turn gets nothing."""
        if self._served or self._gone(now) is not None:
            return []
        if self._heard and self._device.turnstile.is_first(self):
            return self._serve(now)
        self._device.turnstile.leave(self)
        return [Close()]

    def lost(self, now: Instant) -> None:
        """The connection is gone."""
        self._device.turnstile.leave(self)

    def _gone(self, now: Instant) -> list[Action] | None:
        return self._device.gone(self._dialect.port, self._boot_ns, now)

    def _look(self, now: Instant) -> Sequence[Action]:
        turnstile = self._device.turnstile
        turnstile.enter(self)
        return self._serve(now) if turnstile.is_first(self) and self._has_all() else []

    def _serve(self, now: Instant) -> Sequence[Action]:
        self._served = True
        text, reply = answer(self._device, self._dialect, self._heard, now)
        self._heard = b""
        done = self._device.api_lane.serve(now, self._dialect.service_ns + reply.takes_ns)
        if reply.then is not None:
            reply.then(done)
        self._device.turnstile.leave(self)
        if not reply.status and not reply.bare:
            return [Close(done - now)]
        if not text.startswith(b"{"):
            text = text.removesuffix(b"\x00") + self._device.text_tail + b"\x00"
        return [Send(text, done - now), Close()]
