"""Stages of a pipe: what one fault does to the output of one connection, time stamps travelling with the actions.

Owns order and time; what becomes of the bytes of a reply is `emulator/faulty_replies.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from emulator.asked import Asked
from emulator.faults import Dice, Fault
from emulator.faulty_replies import EDITS, NOTES, Occasion
from emulator.modbus.frames import Framing
from emulator.wire import Action, Close, Instant, Send


@dataclass(frozen=True, slots=True)
class Timed:
    """An action and the instant at which it is carried out."""

    at_ns: Instant
    action: Action


class Stage(Protocol):
    """What one fault does to a connection's output."""

    def output(self, actions: Sequence[Timed], asked: Asked) -> list[Timed]:
        """The actions as they leave; called only while the fault is active and the request one that it hits."""
        ...


class _Delay:
    """Everything leaves later; the connection keeps its order, so a reply waits for the one before it."""

    def __init__(self, fault: Fault, dice: Dice) -> None:
        self._fault, self._dice = fault, dice
        self._delay_ns, self._jitter_ns = fault.nanoseconds("delay_ns"), fault.nanoseconds("jitter_ns")

    def output(self, actions: Sequence[Timed], asked: Asked) -> list[Timed]:
        late = []
        for item in actions:
            by = 0
            if self._dice.hit(self._fault):
                by = self._delay_ns + int(self._jitter_ns * self._dice.share())
            late.append(Timed(item.at_ns + by, item.action))
        return late


class _Reset:
    """The connection breaks after so many bytes; one draw decides for the whole connection."""

    def __init__(self, fault: Fault, dice: Dice) -> None:
        self._is_rst = fault.text("by") == "rst"
        self._room: int | None = fault.nanoseconds("after_bytes") if dice.hit(fault) else None

    def output(self, actions: Sequence[Timed], asked: Asked) -> list[Timed]:
        if self._room is None:
            return list(actions)
        out: list[Timed] = []
        for item in actions:
            if not isinstance(item.action, Send):
                out.append(item)
            elif len(item.action.data) < self._room:
                self._room -= len(item.action.data)
                out.append(item)
            else:
                cut = Send(item.action.data[: self._room])
                return [*out, Timed(item.at_ns, cut), Timed(item.at_ns, Close(reset=self._is_rst))]
        return out


class Edited:
    """Each reply that is hit becomes what the function of its kind makes of it."""

    def __init__(self, fault: Fault, dice: Dice, seen: dict[str, Any], framing: Framing | None) -> None:
        self._occasion = Occasion(fault, dice, (), seen, {}, framing)
        self._edit, self._note = EDITS[fault.kind], NOTES.get(fault.kind)
        self.is_mute = False
        """Whether the connection has come to stand without an end."""

    def output(self, actions: Sequence[Timed], asked: Asked) -> list[Timed]:
        out: list[Timed] = []
        occasion = self._occasion
        occasion.names, occasion.request = asked.names, asked.data
        for item in actions:
            if not isinstance(item.action, Send) or not occasion.dice.hit(occasion.fault):
                out.append(item)
                continue
            instead = self._edit(occasion, item.action.data)
            if instead is None:
                self.is_mute = True
                return out
            if isinstance(instead, Close):
                return [*out, Timed(item.at_ns, instead)]
            if instead:
                out.append(Timed(item.at_ns, Send(instead)))
        return out

    def note(self, actions: Sequence[Timed], asked: Callable[[], Asked]) -> None:
        """Look at what passes by while the fault does not strike, where its kind wants to know."""
        if self._note is not None:
            self._occasion.names = asked().names
            for item in actions:
                if isinstance(item.action, Send):
                    self._note(self._occasion, item.action.data)


class _SlowLoris:
    """Replies in slices, one every interval."""

    def __init__(self, fault: Fault, dice: Dice) -> None:
        self._fault, self._dice = fault, dice
        self._size, self._interval_ns = fault.nanoseconds("slice_bytes"), fault.nanoseconds("interval_ns")

    def output(self, actions: Sequence[Timed], asked: Asked) -> list[Timed]:
        out: list[Timed] = []
        for item in actions:
            if not isinstance(item.action, Send) or not self._dice.hit(self._fault):
                out.append(item)
                continue
            data = item.action.data
            slices = [data[i : i + self._size] for i in range(0, len(data), self._size)]
            out += [Timed(item.at_ns + n * self._interval_ns, Send(part)) for n, part in enumerate(slices)]
        return out


class _Partial:
    """The first part of a reply at once, the rest later."""

    def __init__(self, fault: Fault, dice: Dice) -> None:
        self._fault, self._dice = fault, dice
        self._first, self._after_ns = fault.number("first"), fault.nanoseconds("after_ns")

    def output(self, actions: Sequence[Timed], asked: Asked) -> list[Timed]:
        out: list[Timed] = []
        for item in actions:
            cut = int(len(item.action.data) * self._first) if isinstance(item.action, Send) else 0
            if not isinstance(item.action, Send) or not cut or not self._dice.hit(self._fault):
                out.append(item)
                continue
            out.append(Timed(item.at_ns, Send(item.action.data[:cut])))
            if cut < len(item.action.data):
                out.append(Timed(item.at_ns + self._after_ns, Send(item.action.data[cut:])))
        return out


STAGES: dict[str, Callable[[Fault, Dice], Stage]] = {
    "delay": _Delay, "reset": _Reset, "slow_loris": _SlowLoris, "partial_reply": _Partial,
}  # fmt: skip
"""Kinds that work on the output of a connection as a whole; those on one reply are in `faulty_replies.EDITS`."""


def stage_of(fault: Fault, dice: Dice, seen: dict[str, Any], framing: Framing | None = None) -> Stage:
    """The stage of one fault on one connection; `seen` is what the fault has seen at this device."""
    return Edited(fault, dice, seen, framing) if fault.kind in EDITS else STAGES[fault.kind](fault, dice)
