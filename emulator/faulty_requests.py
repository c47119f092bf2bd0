"""What faults do to a request before the device hears it: it is lost, refused, answered by others, or made to wait.

Owns the kinds that stand between a caller and a device's ears; replies are the business of `emulator/faulty_stages.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from emulator.asked import Asked
from emulator.faults import Dice, Fault
from emulator.modbus.frames import Frame
from emulator.modbus.pdu import ExceptionCode, exception_reply
from emulator.wire import Action, Close, Instant, Send


@dataclass(slots=True)
class Entry:
    """One fault at the entrance of one connection. `seen` belongs to the fault at this device."""

    fault: Fault
    dice: Dice
    seen: dict[str, Any]
    since_ns: Instant
    """When the connection began."""

    def meets(self, asked: Asked, now: Instant) -> Sequence[Action] | None:
        """What the caller sees in the place of the device; None where the device hears the request."""
        return MEETINGS[self.fault.kind](self, asked, now)


def _refused(_entry: Entry, _asked: Asked, _now: Instant) -> Sequence[Action]:
    return (Close(reset=True),)


def _lost(_entry: Entry, _asked: Asked, _now: Instant) -> Sequence[Action]:
    return ()


def _exception(entry: Entry, asked: Asked, _now: Instant) -> Sequence[Action] | None:
    if asked.frame is None:
        return None
    return (refusal(asked.frame, entry.fault.nanoseconds("code"), entry.fault.nanoseconds("after_ns")),)


def refusal(frame: Frame, code: int, delay_ns: int = 0) -> Send:
    """The exception reply to a request frame."""
    pdu = exception_reply(frame.function, code)
    return Send(Frame(frame.framing, frame.unit, pdu, frame.transaction).sealed(), delay_ns)


def _too_early(entry: Entry, _asked: Asked, now: Instant) -> Sequence[Action] | None:
    return () if now < entry.since_ns + entry.fault.nanoseconds("pause_ns") else None


def _too_soon(entry: Entry, _asked: Asked, now: Instant) -> Sequence[Action] | None:
    last_ns = entry.seen.get("heard_ns")
    if last_ns is not None and now < last_ns + entry.fault.nanoseconds("gap_ns"):
        return (Close(reset=True),) if entry.fault.text("then") == "reset" else ()
    entry.seen["heard_ns"] = now
    return None


MEETINGS: dict[str, Callable[[Entry, Asked, Instant], Sequence[Action] | None]] = {
    "refuse": _refused,
    "silent": _lost,
    "exception_storm": _exception,
    "pause_after_connect": _too_early,
    "minimum_gap": _too_soon,
}
"""Kinds that meet a request before the device does."""


# ---- one at a time --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Waiting:
    """A request that waits for its turn: from `start_ns` on the line behind the gateway is its own."""

    start_ns: Instant
    service_ns: int
    data: bytes


@dataclass(slots=True)
class Gateway:
    """One connection's side of a gateway. The line behind it is one for all connections, so turns are given in `seen`.

    A turn is a request's for as long as it is under way, also when its caller has left meanwhile.
    """

    fault: Fault
    dice: Dice
    """The same one for all connections: requests draw in the order in which they come."""
    seen: dict[str, Any]
    waiting: deque[Waiting] = field(default_factory=deque)

    def admit(self, data: bytes, now: Instant) -> bool:
        """Give the request its turn; False where as many as the gateway holds for a caller wait already."""
        if len(self.waiting) >= self.fault.nanoseconds("queue"):
            return False
        service_ns = self.fault.nanoseconds("delay_ns")
        service_ns += int(self.fault.nanoseconds("jitter_ns") * self.dice.share())
        start_ns = max(now, self.seen.get("free_ns", 0))
        self.seen["free_ns"] = start_ns + service_ns
        self.waiting.append(Waiting(start_ns, service_ns, data))
        return True

    @property
    def wake_ns(self) -> Instant | None:
        """When the next turn of this connection begins."""
        return self.waiting[0].start_ns if self.waiting else None


FULL = int(ExceptionCode.SERVER_DEVICE_BUSY)
"""What a gateway says whose queue is full (Moxa MGate MB3000, sheet C.3; S)."""
