"""Faults of the hardware: miners that reboot or do not obey, outlets that open or weld, feeders that trip.

Owns what these kinds do to the parts of a site; parts that are not hit are not wrapped. Which fault hits what and when
is `emulator/faults.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from emulator.catalogue import Phase
from emulator.faults import KINDS, Dice, Fault, FaultHook, FaultPlan
from emulator.fleet import Fleet, MinerUnit
from emulator.seed import Seed
from emulator.site import OutletPort, Site
from emulator.wire import Instant

if TYPE_CHECKING:
    from emulator.clock import Clock
    from emulator.contacts import History

Aimed = Sequence[tuple[Fault, Seed]]


_MINER_KINDS = ("ignore_commands", "slow_commands", "clamped_limit")
"""Kinds between a firmware and its hardware."""
_OUTLET_KINDS = ("outlet_welded", "outlet_ignores", "outlet_slow")
"""Kinds between a PDU and what hangs behind it."""

# ---- miners ---------------------------------------------------------------------------------------------------------


class FaultyMiner(MinerUnit):
    """A unit whose hardware follows its firmware not at all, late, or only in part."""

    __slots__ = ("_faults", "_heard")

    def __init__(self, fleet: Fleet, index: int, aimed: Aimed, heard: FaultHook | None = None) -> None:
        super().__init__(fleet, index)
        self._faults = _of_kinds(_MINER_KINDS, aimed)
        self._heard = heard

    def run(self, script: str, now: Instant, *, setpoint: float | None = None, hash_share: float | None = None) -> None:
        """Start a phase script as far as faults let it."""
        at = now
        for fault, dice in self._faults:
            if not fault.active(now) or not _concerns(fault, script, setpoint) or not dice.hit(fault):
                continue
            if self._heard is not None:
                self._heard(now, fault, self.id)
            if fault.kind == "ignore_commands":
                return
            if fault.kind == "slow_commands":
                at += fault.nanoseconds("delay_ns")
            else:
                setpoint, hash_share = fault.number("floor"), None
        super().run(script, at, setpoint=setpoint, hash_share=hash_share)


def miner_unit(plan: FaultPlan, fleet: Fleet, index: int, heard: FaultHook | None = None) -> MinerUnit:
    """The unit in one row of the fleet, with the plan's faults where it has any."""
    aimed = plan.aimed(fleet.specs[index].id, "miner")
    return FaultyMiner(fleet, index, aimed, heard) if _of_kinds(_MINER_KINDS, aimed) else MinerUnit(fleet, index)


def _concerns(fault: Fault, script: str, setpoint: float | None) -> bool:
    """Whether a command is one that the fault disturbs."""
    if fault.kind == "clamped_limit":
        return setpoint is not None and setpoint < fault.number("floor")
    return any(fnmatchcase(script, glob) for glob in fault.globs("scripts"))


# ---- outlets --------------------------------------------------------------------------------------------------------


class FaultyOutlet:
    """An outlet whose relay may not follow (`outlet_ignores`), or late (`outlet_slow`), or whose contact may weld.

    Over a welded contact (`outlet_welded`) the relay moves, the mains behind it stays. With
    `contactor` it is the contactor that welds: the outlet then carries no coil current while the relay is open.
    """

    def __init__(
        self, port: OutletPort, aimed: Aimed, *, contactor: bool = True, heard: FaultHook | None = None
    ) -> None:
        self.id = port.id
        self._port = port
        self._contactor = contactor
        self._heard = heard
        self._faults = _of_kinds(_OUTLET_KINDS, aimed)
        self._stuck: list[tuple[Instant, Instant | None]] = []
        """Spans in which the relay is open over a welded contact."""

    def closed(self, at: Instant) -> bool:
        """State of the relay."""
        return self._port.closed(at) and not any(self._overlap(at, at + 1))

    def switch(self, closed: bool, at: Instant) -> None:
        """Move the relay as far as faults let it; a welded contact does not follow it when it opens."""
        commanded_at, welded = at, False
        for fault, dice in self._faults:
            concerned = fault.kind != "outlet_welded" or not (closed or welded)
            if not concerned or not fault.active(commanded_at) or not dice.hit(fault):
                continue
            if self._heard is not None:
                self._heard(commanded_at, fault, self.id)
            if fault.kind == "outlet_ignores":
                return
            if fault.kind == "outlet_slow":
                at += fault.nanoseconds("delay_ns")
            else:
                welded = True
        # Like the port's own moves, what was planned for later than this command is dropped.
        self._stuck = [(a, at if b is None else min(at, b)) for a, b in self._stuck if a < at]
        if welded:
            self._stuck.append((at, None))
            return
        self._port.switch(closed, at)

    def contacts(self) -> History:
        """The contacts that carry the load: a welded one has not moved."""
        return self._port.contacts()

    def inrush_a(self, at: Instant) -> float:
        """Peak of the current at the latest closing: a welded contact has not closed again."""
        return self._port.inrush_a(at)

    def power_w(self, at: Instant) -> float:
        """What the outlet itself carries, watts."""
        return 0.0 if self._contactor and any(self._overlap(at, at + 1)) else self._port.power_w(at)

    def energy_j(self, start: Instant, stop: Instant) -> float:
        """Energy the outlet itself has carried over [start, stop], joules."""
        energy = self._port.energy_j(start, stop)
        if self._contactor:
            energy -= sum(self._port.energy_j(begin, end) for begin, end in self._overlap(start, stop))
        return energy

    def voltage_v(self, at: Instant) -> float:
        """Line-to-neutral voltage at the outlet, volts."""
        return self._port.voltage_v(at)

    def _overlap(self, start: Instant, stop: Instant) -> Iterable[tuple[Instant, Instant]]:
        """The parts of [start, stop) in which the contact is stuck."""
        for begin, end in self._stuck:
            low, high = max(start, begin), stop if end is None else min(stop, end)
            if low < high:
                yield low, high


def outlet_port(
    plan: FaultPlan, port: OutletPort, pdu: str, *, contactor: bool = True, heard: FaultHook | None = None
) -> OutletPort:
    """The outlet of the PDU `pdu`, with the plan's faults where it or the PDU has any."""
    aimed = plan.aimed(port.id, "outlet", pdu)
    return FaultyOutlet(port, aimed, contactor=contactor, heard=heard) if _of_kinds(_OUTLET_KINDS, aimed) else port


# ---- what happens by itself -----------------------------------------------------------------------------------------


def apply_site_faults(plan: FaultPlan, clock: Clock, fleet: Fleet, site: Site, heard: FaultHook | None = None) -> None:
    """Set the clock for what strikes by itself: `miner_reboot`, `miner_acts`, `outlet_opens`, `feeder_trip`.

    A PDU's id stands for its outlets. Call it once, before the run begins.
    """
    pdus = {outlet.id: pdu.id for feeder in site.spec.feeders for pdu in feeder.pdus for outlet in pdu.outlets}

    def hear(fault: Fault, target: str) -> None:
        if heard is not None:
            heard(clock.now(), fault, target)

    def act(fault: Fault, row: int, script: str) -> None:
        rows, now = np.array([row], dtype=np.int64), clock.now()
        asleep = bool(fleet.phases(now, rows)[0] == Phase.SLEEP)
        if script == "reboot" or asleep == (script == "wake"):
            fleet.run(rows, script, now)
            if script in ("sleep", "wake"):  # the settings stay, and the next boot obeys them
                fleet.advance(now)
                fleet.settle(rows, asleep)
            hear(fault, fleet.specs[row].id)

    def switch(fault: Fault, outlet: str, closed: bool) -> None:
        site.outlets[outlet].switch(closed, clock.now())
        hear(fault, outlet)

    def breaker(fault: Fault, feeder: str, closed: bool) -> None:
        site.feeders[feeder].breaker.stand(closed, clock.now())
        hear(fault, feeder)

    kinds = {fault.kind for fault in plan.faults}
    for row, spec in enumerate(fleet.specs if kinds & {"miner_reboot", "miner_acts"} else ()):
        aimed = plan.aimed(spec.id, "miner")
        for fault, at in _due("miner_reboot", aimed):
            clock.call_at(at, act, fault, row, "reboot")
        for fault, at in _due("miner_acts", aimed):
            clock.call_at(at, act, fault, row, str(fault.text("script")))
    for outlet, pdu in pdus.items():
        for fault, at in _due("outlet_opens", plan.aimed(outlet, "outlet", pdu)):
            clock.call_at(at, switch, fault, outlet, False)
            if fault.stop_ns is not None:
                clock.call_at(max(at, fault.stop_ns), switch, fault, outlet, True)
    for feeder in site.feeders:
        for fault, at in _due("feeder_trip", plan.aimed(feeder, "feeder")):
            clock.call_at(at, breaker, fault, feeder, False)
            if fault.stop_ns is not None:
                clock.call_at(fault.stop_ns, breaker, fault, feeder, True)


def _of_kind(kind: str, aimed: Aimed) -> list[tuple[Fault, Dice]]:
    return _of_kinds((kind,), aimed)


def _of_kinds(kinds: Sequence[str], aimed: Aimed) -> list[tuple[Fault, Dice]]:
    return [(fault, Dice(seed)) for fault, seed in aimed if fault.kind in kinds]


def _due(kind: str, aimed: Aimed) -> Iterator[tuple[Fault, Instant]]:
    """Each fault of the kind whose draw says that it strikes, and when."""
    for fault, dice in _of_kind(kind, aimed):
        if dice.hit(fault):
            spread_ns = fault.nanoseconds("spread_ns") if "spread_ns" in KINDS[kind].parameters else 0
            yield fault, fault.start_ns + int(spread_ns * dice.share())
