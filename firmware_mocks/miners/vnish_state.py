"""What a VNish miner says it is doing: the word of its status pane, since when, and the log of how it came there.

Owns the list of orders that took effect and the naming of states from them and the phase of the physics. The pane is
renewed once a refresh, so a read-back right after an order still shows the state before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from emulator.catalogue import Phase
from emulator.wire import Instant
from firmware_mocks.miners.base import MinerUnit

_KEPT = 24  # estimate: orders a miner remembers in its log


class State(StrEnum):
    """`miner_state` of status and summary."""

    MINING = "mining"
    TUNING = "auto-tuning"
    INITIALIZING = "initializing"
    STARTING = "starting"
    RESTARTING = "restarting"
    SHUTTING_DOWN = "shutting-down"
    STOPPED = "stopped"
    PAUSED = "paused"


HALTED = (State.STOPPED, State.PAUSED)
HALTS = {"stop": State.STOPPED, "pause": State.PAUSED}
"""Orders after which the miner stands, and the state it then shows."""


@dataclass(frozen=True, slots=True)
class Order:
    """Something that took effect at `at`: boot, start, stop, pause, restart, preset or reboot."""

    at: Instant
    name: str


class Orders:
    """The orders of one miner since its boot, oldest first."""

    __slots__ = ("kept",)

    def __init__(self) -> None:
        self.kept: deque[Order] = deque(maxlen=_KEPT)

    def note(self, name: str, at: Instant) -> None:
        """An order takes effect at `at`."""
        self.kept.append(Order(at, name))

    def at(self, now: Instant) -> Order | None:
        """The order in force at `now`; None before the first one."""
        return next((order for order in reversed(self.kept) if order.at <= now), None)

    def booted(self, at: Instant, halted: str | None) -> None:
        """Only what is written down is left: that the miner had been stopped."""
        self.kept.clear()
        self.note("boot", at)
        if halted is not None:
            self.note(halted, at)


def state_at(unit: MinerUnit, orders: Orders, reload_ns: int, tuned: Callable[[Instant], bool], at: Instant) -> State:
    """The state at one instant. `tuned` says whether the preset in force had been tuned by then."""
    phase, order = unit.phase(at), orders.at(at)
    name = "start" if order is None else order.name
    if phase is Phase.HASHING:
        return State.MINING if tuned(at) else State.TUNING
    if phase is Phase.STOPPING:
        return State.SHUTTING_DOWN if name in HALTS or name == "reboot" else State.RESTARTING
    if phase is Phase.SLEEP:
        return HALTS.get(name, State.STARTING)
    if phase is Phase.BOOT or order is None:
        return State.INITIALIZING
    return State.STARTING if at - order.at < reload_ns else State.INITIALIZING


def since(state: Callable[[Instant], State], begin: Instant, now: Instant) -> Instant:
    """When the state of `now` began, looked for between `begin` and `now`, to the nanosecond."""
    present = state(now)
    if state(begin) is present:
        return begin
    before, after = begin, now
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (before, middle) if state(middle) is present else (middle, after)
    return after
