"""Faults between a device and its callers: a wrapped device, whose replies come late, cut, in slices, or never.

Owns what link faults do to connections and bytes, each a small stage in a pipe; time stamps travel with the actions, so
delays compose. Which fault hits when is `emulator/faults.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from emulator.faults import Dice, Fault, FaultHook, FaultPlan, seeds_of
from emulator.seed import Seed
from emulator.wire import Action, Close, Conversation, Device, Instant, Reach, Send


@dataclass(frozen=True, slots=True)
class Timed:
    """An action and the instant at which it is carried out."""

    at_ns: Instant
    action: Action


class Stage(Protocol):
    """What one fault does to a connection's output."""

    def output(self, actions: Sequence[Timed]) -> list[Timed]:
        """The actions as they leave; called only while the fault is active."""
        ...


def with_faults(plan: FaultPlan, target: str, sort: str, device: Device, heard: FaultHook | None = None) -> Device:
    """`device` with the plan's faults for `target`; the device itself where there are none."""
    faults = [fault for fault in plan.of(target, sort) if fault.kind in _ENTRY or fault.kind in {"freeze", *STAGES}]
    return FaultyDevice(device, faults, plan.seed_of(target), target, heard) if faults else device


class FaultyDevice:
    """A device behind faults: all of one target's, in the plan's order; those of other boundaries are not looked at.

    Draws belong to the fault and the number of the connection, so what happens on one connection changes no other.
    """

    def __init__(
        self, device: Device, faults: Sequence[Fault], seed: Seed, target: str = "", heard: FaultHook | None = None
    ) -> None:
        self.ports = device.ports
        self._device = device
        self._faults = list(zip(faults, seeds_of(faults, seed), strict=True))
        self._target = target
        self._heard = heard
        self._calls = 0
        self._attempts = {fault_seed: Dice(fault_seed / "attempt") for _, fault_seed in self._faults}
        self._frozen = [f for f, s in self._faults if f.kind == "freeze" and Dice(s).hit(f)]

    def reach(self, port: int, now: Instant) -> Reach:
        """What the device says, unless a fault refuses the caller or keeps silent."""
        for fault, seed in self._faults:
            if fault.kind in _ENTRY and fault.active(now) and self._attempts[seed].hit(fault):
                self.report(now, fault)
                return _ENTRY[fault.kind]
        return self._device.reach(port, now)

    def converse(self, port: int, peer: str, now: Instant) -> FaultyConversation:
        """Begin a conversation that these faults disturb."""
        self._calls += 1
        faults = [(fault, seed / "connection" / self._calls) for fault, seed in self._faults]
        return FaultyConversation(self._device.converse(port, peer, now), faults, self.seen_at, self.report)

    def seen_at(self, now: Instant) -> Instant:
        """The instant that the device takes for the present: that of the beginning of a freeze, while it lasts."""
        instants = [fault.start_ns for fault in self._frozen if fault.active(now)]
        return min(instants, default=now)

    def report(self, now: Instant, fault: Fault) -> None:
        """Tell that a fault did something."""
        if self._heard is not None:
            self._heard(now, fault, self._target)


class FaultyConversation:
    """One connection with faults on it. Conversations that speak unasked (`wake_ns`, `woken`) still do."""

    __slots__ = (
        "_entry",
        "_inner",
        "_inner_ns",
        "_over",
        "_report",
        "_seen_at",
        "_sent_ns",
        "_stages",
        "idle_timeout_ns",
    )

    def __init__(
        self,
        inner: Conversation,
        faults: Sequence[tuple[Fault, Seed]],
        seen_at: Callable[[Instant], Instant],
        report: Callable[[Instant, Fault], None],
    ) -> None:
        self._inner = inner
        self._seen_at = seen_at
        self._report = report
        self._entry = [(fault, Dice(seed)) for fault, seed in faults if fault.kind in _ENTRY]
        self._stages = [(f, STAGES[f.kind](f, Dice(seed))) for f, seed in faults if f.kind in STAGES]
        self._inner_ns: Instant = 0
        """When the last action would have been carried out without faults."""
        self._sent_ns: Instant = 0
        """When the last action is carried out."""
        self._over = False
        self.idle_timeout_ns = inner.idle_timeout_ns

    @property
    def wake_ns(self) -> Instant | None:
        """When the conversation next has something to say unasked; None when it has not, or is over."""
        return None if self._over else getattr(self._inner, "wake_ns", None)

    def attend(self, rouse: Callable[[], None]) -> None:
        """Pass on that the connection stands."""
        attend: Callable[[Callable[[], None]], object] | None = getattr(self._inner, "attend", None)
        if attend is not None:
            attend(rouse)

    def lost(self, now: Instant) -> None:
        """Pass on that the connection is gone: no fault hides that from a device."""
        lost: Callable[[Instant], object] | None = getattr(self._inner, "lost", None)
        if lost is not None:
            lost(now)

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        """Pass a request on, unless it is lost or meets a closed port, and disturb the reply."""
        if self._over:
            return ()
        for fault, dice in self._entry:
            if fault.active(now) and dice.hit(fault):
                self._report(now, fault)
                if fault.kind == "silent":
                    return ()
                self._over = True
                return (Close(reset=True),)
        return self._disturbed(self._inner.received(data, self._seen_at(now)), now)

    def ended(self, now: Instant) -> Sequence[Action]:
        """Pass the end on; what the device still says is disturbed like everything else."""
        return () if self._over else self._disturbed(self._inner.ended(self._seen_at(now)), now)

    def woken(self, now: Instant) -> Sequence[Action]:
        """Pass on that the conversation may speak unasked."""
        woken: Callable[[Instant], Sequence[Action]] | None = getattr(self._inner, "woken", None)
        return () if self._over or woken is None else self._disturbed(woken(self._seen_at(now)), now)

    def _disturbed(self, actions: Sequence[Action], now: Instant) -> Sequence[Action]:
        """Stamp the actions, send them through the stages, and turn stamps into delays again."""
        self.idle_timeout_ns = self._inner.idle_timeout_ns
        at = max(now, self._inner_ns)
        timed: list[Timed] = []
        for action in actions:
            at += action.delay_ns
            timed.append(Timed(at, action))
        self._inner_ns = at
        for fault, stage in self._stages:
            if timed and fault.active(now):
                before, timed = timed, stage.output(timed)
                if timed != before:
                    self._report(now, fault)
        out: list[Action] = []
        sent = max(now, self._sent_ns)
        for item in timed:
            due = max(sent, item.at_ns)
            out.append(replace(item.action, delay_ns=due - sent))
            sent = due
            if isinstance(item.action, Close):
                self._over = True
                break
        if out:
            self._sent_ns = sent
        return out


# ---- the stages ------------------------------------------------------------------------------------------------------


class _Delay:
    """Everything leaves later; the connection keeps its order, so a reply waits for the one before it."""

    def __init__(self, fault: Fault, dice: Dice) -> None:
        self._fault, self._dice = fault, dice
        self._delay_ns, self._jitter_ns = fault.nanoseconds("delay_ns"), fault.nanoseconds("jitter_ns")

    def output(self, actions: Sequence[Timed]) -> list[Timed]:
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
        self._room: int | None = fault.nanoseconds("after_bytes") if dice.hit(fault) else None

    def output(self, actions: Sequence[Timed]) -> list[Timed]:
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
                return [*out, Timed(item.at_ns, cut), Timed(item.at_ns, Close(reset=True))]
        return out


class _EachReply(ABC):
    """A stage that turns the data of each reply that is hit into other data; no data takes the reply away."""

    def __init__(self, fault: Fault, dice: Dice) -> None:
        self.fault, self.dice = fault, dice

    def output(self, actions: Sequence[Timed]) -> list[Timed]:
        out: list[Timed] = []
        for item in actions:
            if not isinstance(item.action, Send) or not self.dice.hit(self.fault):
                out.append(item)
                continue
            data = self.turned(item.action.data)
            if data:
                out.append(Timed(item.at_ns, Send(data)))
        return out

    @abstractmethod
    def turned(self, data: bytes) -> bytes:
        """What is sent instead of `data`."""


class _Drop(_EachReply):
    def turned(self, _data: bytes) -> bytes:
        return b""


class _Truncate(_EachReply):
    def turned(self, data: bytes) -> bytes:
        return data[: int(len(data) * self.fault.number("keep"))]


class _Garbage(_EachReply):
    def turned(self, data: bytes) -> bytes:
        return self.dice.data(len(data))


class _LateReply(_EachReply):
    def __init__(self, fault: Fault, dice: Dice) -> None:
        super().__init__(fault, dice)
        self._held = b""

    def turned(self, data: bytes) -> bytes:
        held, self._held = self._held, data
        return held


class _SlowLoris:
    """Replies in slices, one every interval."""

    def __init__(self, fault: Fault, dice: Dice) -> None:
        self._fault, self._dice = fault, dice
        self._size, self._interval_ns = fault.nanoseconds("slice_bytes"), fault.nanoseconds("interval_ns")

    def output(self, actions: Sequence[Timed]) -> list[Timed]:
        out: list[Timed] = []
        for item in actions:
            if not isinstance(item.action, Send) or not self._dice.hit(self._fault):
                out.append(item)
                continue
            data = item.action.data
            slices = [data[i : i + self._size] for i in range(0, len(data), self._size)]
            out += [Timed(item.at_ns + n * self._interval_ns, Send(part)) for n, part in enumerate(slices)]
        return out


_ENTRY = {"refuse": Reach.REFUSES, "silent": Reach.SILENT}
"""Kinds that meet the caller at the door."""

STAGES: dict[str, Callable[[Fault, Dice], Stage]] = {
    "delay": _Delay,
    "reset": _Reset,
    "truncate": _Truncate,
    "drop": _Drop,
    "garbage": _Garbage,
    "slow_loris": _SlowLoris,
    "late_reply": _LateReply,
}
"""Kinds that work on the output of a connection; a new one is a class with `output` and a line here."""
