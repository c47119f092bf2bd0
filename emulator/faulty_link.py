"""Faults between a device and its callers: a wrapped device, whose replies come late, cut, wrong, in slices, or never.

Owns what link faults do to connections; what is said on them goes through a pipe of stages
(`emulator/faulty_stages.py`), one for each fault, so delays compose. Which fault hits when is `emulator/faults.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, TypeAlias

from emulator.asked import MOST_BYTES, NOTHING, Asked, is_meant
from emulator.faults import Dice, Fault, FaultHook, FaultPlan, seeds_of
from emulator.faulty_firmware import taken_back
from emulator.faulty_replies import EDITS
from emulator.faulty_requests import FULL, MEETINGS, Entry, Gateway, refusal
from emulator.faulty_stages import STAGES, Edited, Timed, stage_of
from emulator.modbus.frames import Framing, whole
from emulator.seed import Seed
from emulator.wire import SECOND, Action, Close, Conversation, Device, Instant, Reach, Send

Find: TypeAlias = Callable[[str], Device | None]
"""Another device of the rig by its id."""


def with_faults(
    plan: FaultPlan, target: str, sort: str, device: Device, heard: FaultHook | None = None, find: Find | None = None
) -> Device:
    """`device` with the plan's faults for `target`; the device itself where there are none.

    `find` gives other devices by id, for `duplicate_address`.
    """
    faults = [fault for fault in plan.of(target, sort) if fault.kind in WIRE_KINDS]
    return FaultyDevice(device, faults, plan.seed_of(target), target, heard, find) if faults else device


class FaultyDevice:
    """A device behind faults: all of one target's, in the plan's order; those of other boundaries are not looked at.

    Draws belong to the fault and the number of the connection, so what happens on one connection changes no other.
    """

    def __init__(
        self,
        device: Device,
        faults: Sequence[Fault],
        seed: Seed,
        target: str = "",
        heard: FaultHook | None = None,
        find: Find | None = None,
    ) -> None:
        self.ports = device.ports
        self._device = device
        self._faults = list(zip(faults, seeds_of(faults, seed), strict=True))
        self._target = target
        self._heard = heard
        self._find = find
        self._calls = 0
        self._attempts = {fault_seed: Dice(fault_seed / "attempt") for _, fault_seed in self._faults}
        self._in_turn = {fault_seed: Dice(fault_seed / "turn") for _, fault_seed in self._faults}
        self._frozen = [f for f, s in self._faults if f.kind == "freeze" and Dice(s).hit(f)]
        self._seen: dict[Seed, dict[str, Any]] = {fault_seed: {} for _, fault_seed in self._faults}
        self._open: list[FaultyConversation] = []
        self._limited = any(fault.kind == "few_connections" for fault in faults)
        self._remembers = self._limited or any(fault.kind == "acknowledge_only" for fault in faults)

    def reach(self, port: int, now: Instant) -> Reach:
        """What the device says, unless a fault refuses the caller or keeps silent."""
        for fault, seed in self._faults:
            if fault.kind in _REACH and _meets(fault, port) and fault.active(now) and self._attempts[seed].hit(fault):
                self.report(now, fault)
                return _REACH[fault.kind]
        reach = self._answering(port, now).reach(port, now)
        if reach is Reach.ANSWERS and self._limited and self._surplus(port, now, "refused") is not None:
            return Reach.REFUSES
        return reach

    def converse(self, port: int, peer: str, now: Instant) -> Conversation:
        """Begin a conversation that these faults disturb."""
        self._calls += 1
        if self._limited:
            if self._surplus(port, now, "reset") is not None:
                return _TurnedAway()
            for talk in self._surplus(port, now, "replaces") or ():
                talk.replace()
        faults = [
            (f, Dice(s / "connection" / self._calls), self._seen[s], self._in_turn[s])
            for f, s in self._faults
            if _meets(f, port)
        ]
        device = self._answering(port, now)
        talk = FaultyConversation(device.converse(port, peer, now), faults, self, device, now)
        if self._remembers:
            self._open = [*self.lines(now), talk]
        return talk

    def seen_at(self, now: Instant) -> Instant:
        """The instant that the device takes for the present: that of the beginning of a freeze, while it lasts."""
        instants = [fault.start_ns for fault in self._frozen if fault.active(now)]
        return min(instants, default=now)

    def lines(self, now: Instant) -> list[FaultyConversation]:
        """The conversations that still stand, where a fault needs to know them."""
        return [talk for talk in self._open if not talk.finished(now)]

    def report(self, now: Instant, fault: Fault) -> None:
        """Tell that a fault did something."""
        if self._heard is not None:
            self._heard(now, fault, self._target)

    def _answering(self, port: int, now: Instant) -> Device:
        """Who has the address at `now`: a pure function of the instant, as an ARP entry holds for a while."""
        for fault, seed in self._faults:
            if fault.kind != "duplicate_address" or not _meets(fault, port) or not fault.active(now):
                continue
            span = now // max(1, fault.nanoseconds("every_ns"))
            other = self._find(str(fault.text("other"))) if self._find is not None else None
            if other is not None and Dice(seed / "span" / span).hit(fault):
                self.report(now, fault)
                return other
        return self._device

    def _surplus(self, port: int, now: Instant, then: str) -> list[FaultyConversation] | None:
        """The conversations that are too many once a further one comes; None where it is none too many."""
        for fault, seed in self._faults:
            if fault.kind != "few_connections" or fault.text("further") != then:
                continue
            if _meets(fault, port) and fault.active(now):
                standing = self.lines(now)
                surplus = len(standing) + 1 - fault.nanoseconds("at_most")
                if surplus > 0 and self._attempts[seed].hit(fault):
                    self.report(now, fault)
                    return standing[:surplus]
        return None


class FaultyConversation:
    """One connection with faults on it. Conversations that speak unasked (`wake_ns`, `woken`) still do."""

    __slots__ = (
        "_asked_for",
        "_device",
        "_drawn",
        "_entry",
        "_forgets",
        "_framing",
        "_gateways",
        "_inner_ns",
        "_is_forgotten",
        "_is_replaced",
        "_last_ns",
        "_mute",
        "_over",
        "_pieces",
        "_report",
        "_request",
        "_seen_at",
        "_sent_ns",
        "_stages",
        "_wrapper",
        "idle_timeout_ns",
        "inner",
    )

    def __init__(
        self,
        inner: Conversation,
        faults: Sequence[tuple[Fault, Dice, dict[str, Any], Dice]],
        wrapper: FaultyDevice,
        device: Device,
        now: Instant,
    ) -> None:
        self.inner = inner
        self._wrapper = wrapper
        self._seen_at = wrapper.seen_at
        self._report = wrapper.report
        self._device = device
        self._last_ns = now
        self._framing: Framing | None = getattr(device, "framing", None)
        self._pieces: Callable[[bytes], Iterator[bytes]] = getattr(device, "splitting", lambda: whole)()
        self._entry = [Entry(fault, die, seen, now) for fault, die, seen, _ in faults if fault.kind in MEETINGS]
        self._gateways = [Gateway(fault, die, seen) for fault, _, seen, die in faults if fault.kind == "slow_gateway"]
        hit = [
            f for f, die, _, _ in faults if f.kind in _MUTE and (f.kind == "hang" or f.start_ns > now) and die.hit(f)
        ]
        self._mute = [(f, f.start_ns, f.stop_ns if f.kind == "hang" else None) for f in hit]
        self._forgets = [(fault, die) for fault, die, _, _ in faults if fault.kind == "acknowledge_only"]
        self._stages = [
            (f, stage_of(f, die, seen, self._framing))
            for f, die, seen, _ in faults
            if f.kind in STAGES or f.kind in EDITS
        ]
        self._inner_ns: Instant = 0
        """When the last action would have been carried out without faults."""
        self._sent_ns: Instant = 0
        """When the last action is carried out."""
        self._request = b""
        """What was said since the last reply, as far as names are read from it; of Modbus, the one request."""
        self._asked_for: Asked | None = None
        self._drawn: list[Dice] = []
        """The dice that have said whether the firmware will forget this request."""
        self._is_forgotten = False
        self._is_replaced = False
        self._over = False
        self.idle_timeout_ns = inner.idle_timeout_ns
        self._notice_idleness(now, now)

    @property
    def wake_ns(self) -> Instant | None:
        """When the conversation next has something to say unasked; None when it has not, or is over."""
        if self._over:
            return None
        if self._gateways:  # only before devices that never speak unasked
            return min((g.wake_ns for g in self._gateways if g.wake_ns is not None), default=None)
        return getattr(self.inner, "wake_ns", None)

    def replace(self) -> None:
        """Another connection has taken this one's place; its caller learns of it when he speaks."""
        self._is_replaced = True

    def attend(self, rouse: Callable[[], None]) -> None:
        """Pass on that the connection stands."""
        attend: Callable[[Callable[[], None]], object] | None = getattr(self.inner, "attend", None)
        if attend is not None:
            attend(rouse)

    def lost(self, now: Instant) -> None:
        """Pass on that the connection is gone: no fault hides that from a device."""
        self._over, self._sent_ns = True, now
        lost: Callable[[Instant], object] | None = getattr(self.inner, "lost", None)
        if lost is not None:
            lost(now)

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        """Pass requests on, unless they are lost or meet a closed port, and disturb the replies."""
        self._last_ns = now
        if self._over or self._is_mute(now):
            return ()
        if self._is_replaced:
            self._over = True
            return (Close(reset=True),)
        if self._framing is None:
            return self._heard(data, now)
        self._notice_idleness(now, now)
        actions: list[Action] = []
        for request in self._pieces(data):
            actions += self._heard(request, now)
        return actions

    def _heard(self, data: bytes, now: Instant) -> Sequence[Action]:
        """One request, or a part of one where the protocol is not known here."""
        if self._over:
            return ()
        before = self._request
        self._request = (before + data)[:MOST_BYTES] if self._framing is None else data
        self._asked_for = None
        for entry in self._entry:
            fault = entry.fault
            if not fault.active(now) or not self._is_meant(fault) or not entry.dice.hit(fault):
                continue
            instead = entry.meets(self._asked(), now)
            if instead is None:
                continue
            self._report(now, fault)
            if instead and isinstance(instead[0], Send):
                return self._disturbed(instead, now)
            self._request, self._asked_for = before, None
            self._over = bool(instead)
            self._notice_idleness(now, fault.stop_ns if fault.kind in _REACH else now)
            return instead
        for gateway in self._gateways:
            fault = gateway.fault
            if fault.active(now) and self._is_meant(fault) and gateway.dice.hit(fault):
                self._report(now, fault)
                if not gateway.admit(data, now):
                    frame = self._asked().frame
                    return self._disturbed((refusal(frame, FULL),) if frame is not None else (), now)
                return self._in_turn(gateway, now)
        return self._answered(data, now)

    def _answered(self, data: bytes, now: Instant, service_ns: int = 0) -> Sequence[Action]:
        with self._forgetting(now):
            actions = self.inner.received(data, self._seen_at(now))
        if service_ns and actions:
            first = actions[0]
            actions = [replace(first, delay_ns=first.delay_ns + service_ns), *actions[1:]]
        return self._disturbed(actions, now)

    def _in_turn(self, gateway: Gateway, now: Instant) -> Sequence[Action]:
        """Ask the device what is due behind the gateway."""
        actions: list[Action] = []
        while gateway.waiting and gateway.waiting[0].start_ns <= now and not self._over:
            waiting = gateway.waiting.popleft()
            self._request, self._asked_for = waiting.data, None
            actions += self._answered(waiting.data, now, waiting.service_ns)
        return actions

    def ended(self, now: Instant) -> Sequence[Action]:
        """Pass the end on; what the device still says is disturbed like everything else."""
        if self._over or self._is_mute(now):
            self._over = True
            return ()
        with self._forgetting(now):
            actions = self.inner.ended(self._seen_at(now))
        return self._disturbed(actions, now)

    def woken(self, now: Instant) -> Sequence[Action]:
        """Pass on that the conversation may speak unasked."""
        if self._gateways and not self._over:
            return [action for gateway in self._gateways for action in self._in_turn(gateway, now)]
        woken: Callable[[Instant], Sequence[Action]] | None = getattr(self.inner, "woken", None)
        if self._over or woken is None:
            return ()
        said = woken(self._seen_at(now))
        return () if self._is_mute(now) else self._disturbed(said, now)

    def finished(self, now: Instant) -> bool:
        """Whether the connection is over: closed by either side, or idle for as long as the device lets it."""
        idle_ns = self.inner.idle_timeout_ns if self.inner.idle_timeout_ns is not None else _FORGOTTEN_NS
        return (
            self._is_replaced
            or (self._over and now >= self._sent_ns)
            or now - max(self._last_ns, self._sent_ns) > idle_ns
        )

    def _is_mute(self, now: Instant) -> bool:
        for fault, start_ns, stop_ns in self._mute:
            if start_ns <= now and (stop_ns is None or now < stop_ns):
                self._report(now, fault)
                return True
        return False

    def _notice_idleness(self, now: Instant, heard_ns: Instant | None) -> None:
        """When the device, which hears again from `heard_ns` on, will be heard to hang up; a mute one is not."""
        idle_ns = self.inner.idle_timeout_ns
        self.idle_timeout_ns = None
        if idle_ns is None or heard_ns is None:
            return
        ends_ns = heard_ns + idle_ns
        for _, start_ns, stop_ns in self._mute:
            if start_ns <= ends_ns and stop_ns is None:
                return
            if stop_ns is not None and start_ns <= ends_ns < stop_ns:
                ends_ns = stop_ns + idle_ns
        self.idle_timeout_ns = ends_ns - now

    def _forgetting(self, now: Instant) -> AbstractContextManager[None]:
        """One draw for each request, however many pieces it comes in."""
        for fault, dice in self._forgets:
            if dice in self._drawn or not fault.active(now) or not self._is_meant(fault):
                continue
            self._drawn.append(dice)
            if not self._is_forgotten and dice.hit(fault):
                self._report(now, fault)
                self._is_forgotten = True
        if not self._is_forgotten:
            return nullcontext()
        return taken_back(self._device, [talk.inner for talk in self._wrapper.lines(now)])

    def _asked(self) -> Asked:
        if self._asked_for is None:
            self._asked_for = Asked.of(self._request, self._framing) if self._request else NOTHING
        return self._asked_for

    def _is_meant(self, fault: Fault) -> bool:
        return not fault.is_narrow or is_meant(fault, self._asked())

    def _disturbed(self, actions: Sequence[Action], now: Instant) -> Sequence[Action]:
        """Stamp the actions, send them through the stages, and turn stamps into delays again."""
        self._notice_idleness(now, now)
        at = max(now, self._inner_ns)
        timed: list[Timed] = []
        for action in actions:
            at += action.delay_ns
            timed.append(Timed(at, action))
        self._inner_ns = at
        timed = self._staged(timed, now) if timed else timed
        if any(isinstance(stage, Edited) and stage.is_mute for _, stage in self._stages):
            self.idle_timeout_ns, self._over = None, True
        if any(isinstance(action, Send) for action in actions):
            self._request, self._asked_for, self._drawn, self._is_forgotten = b"", None, [], False
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

    def _staged(self, timed: list[Timed], now: Instant) -> list[Timed]:
        for fault, stage in self._stages:
            if timed and fault.active(now) and self._is_meant(fault):
                before, timed = timed, stage.output(timed, self._asked())
                if timed != before:
                    self._report(now, fault)
            elif isinstance(stage, Edited):
                stage.note(timed, self._asked)
        return timed


class _TurnedAway:
    """A connection more than the device serves: taken by the kernel, reset when it speaks."""

    idle_timeout_ns: int | None = None

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        return (Close(reset=True),)

    def ended(self, now: Instant) -> Sequence[Action]:
        return (Close(reset=True),)


_REACH = {"refuse": Reach.REFUSES, "silent": Reach.SILENT}
"""Kinds that meet the caller at the door."""

_MUTE = ("hang", "half_open")
"""Kinds under which a connection stands and says nothing."""

WIRE_KINDS = frozenset(
    {
        *MEETINGS, *_MUTE, *STAGES, *EDITS,
        "freeze", "few_connections", "duplicate_address", "acknowledge_only", "slow_gateway",
    }
)  # fmt: skip
"""Every kind that this module carries out."""

_FORGOTTEN_NS = 60 * SECOND
"""After this long without a word a connection without an idle time-out no longer counts. estimate"""


def _meets(fault: Fault, port: int) -> bool:
    return not fault.lets_by("ports", (str(port),))
