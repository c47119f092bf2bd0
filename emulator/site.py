"""The electrical tree of a site: point of interconnection, feeders, PDUs with outlets and contactors, miners.

Owns who is fed through what, losses, voltages and contactor delays; power comes from the fleet and from load signals.
Every point of the tree is a `PowerPoint` that a meter can be clamped on, exact at any instant.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import numpy as np

from emulator.wire import MILLISECOND, Instant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from emulator.fleet import Fleet
    from emulator.grid import Grid
    from emulator.seed import Seed
    from emulator.switched_load import SwitchedLoad
    from emulator.timeline import Floats, Signal

COIL_W = 8.0
"""Holding power of a contactor coil (estimate: 25-40 A modular contactor)."""


class PowerPoint(Protocol):
    """Something a meter can be clamped on."""

    def power_w(self, at: Instant) -> float:
        """Power at one instant, watts, consumption positive."""
        ...

    def energy_j(self, start: Instant, stop: Instant) -> float:
        """Energy over [start, stop], joules."""
        ...

    def voltage_v(self, at: Instant) -> float:
        """Line-to-neutral voltage, volts."""
        ...


class OutletPort(PowerPoint, Protocol):
    """An outlet as its PDU sees it: a relay, and what the outlet itself carries."""

    id: str

    def closed(self, at: Instant) -> bool:
        """State of the PDU's relay."""
        ...

    def switch(self, closed: bool, at: Instant) -> None:
        """Move the relay at `at`, which may lie ahead."""
        ...


@dataclass(frozen=True, slots=True)
class OutletSpec:
    """An outlet and the miners behind it, by row."""

    id: str
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PduSpec:
    """A PDU. With `contactor` its outlets drive contactor coils, otherwise they carry the miners themselves."""

    id: str
    outlets: tuple[OutletSpec, ...]
    contactor: bool = True
    open_ns: int = 25 * MILLISECOND
    """Coil off to contacts open (estimate: 10-30 ms for AC contactors, arc included)."""
    close_ns: int = 35 * MILLISECOND
    """Coil on to contacts closed (estimate: 15-40 ms)."""


@dataclass(frozen=True, slots=True)
class FeederSpec:
    """A feeder: PDUs, losses as a share of what it carries, and loads besides miners by name."""

    id: str
    pdus: tuple[PduSpec, ...]
    loss: float = 0.015
    loads: Mapping[str, Signal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SiteSpec:
    """A whole site. Losses are linear so that every power stays a closed form (docs/decisions/0003)."""

    name: str
    feeders: tuple[FeederSpec, ...]
    loss: float = 0.01
    """Transformer losses as a share of throughput (estimate: 0.8-1.2 % at full load)."""
    idle_w: float = 0.0
    """No-load losses of the transformer, watts."""
    nominal_v: float = 240.0
    """Line-to-neutral voltage at the miners (415Y/240)."""
    loads: Mapping[str, Signal] = field(default_factory=dict)
    """Loads at the point of interconnection by name: house, AI cluster, solar."""


class Site:
    """The live tree over one fleet and one grid; `on_mains` hears (instant, rows, closed) when miners are switched."""

    def __init__(
        self,
        spec: SiteSpec,
        fleet: Fleet,
        grid: Grid,
        seed: Seed,
        on_mains: Callable[[Instant, NDArray[np.int64], bool], None] | None = None,
    ) -> None:
        self.spec = spec
        self.fleet = fleet
        self.grid = grid
        self.on_mains = on_mains
        self.outlets: dict[str, Outlet] = {}
        self.feeders: dict[str, Branch] = {}
        fed: set[int] = set()
        for feeder in spec.feeders:
            rows: list[int] = []
            for pdu in feeder.pdus:
                for outlet in pdu.outlets:
                    if outlet.id in self.outlets:
                        raise ValueError(f"outlet {outlet.id!r} exists twice; outlet ids are unique in a site")
                    self.outlets[outlet.id] = Outlet(self, pdu, outlet, seed / "contactor" / outlet.id)
                    rows.extend(outlet.rows)
            twice = fed.intersection(rows)
            if twice or len(set(rows)) != len(rows):
                raise ValueError(f"a miner of feeder {feeder.id!r} is fed twice")
            fed.update(rows)
            self.feeders[feeder.id] = Branch(self, np.array(rows, dtype=np.int64), 1.0 + feeder.loss, feeder.loads)
        if len(fed) != len(fleet):
            raise ValueError(f"{len(fleet) - len(fed)} miners hang on no outlet")

    @property
    def poi(self) -> PointOfInterconnection:
        """The meter point everything is judged at."""
        return PointOfInterconnection(self)

    def nominal_w(self) -> float:
        """Power at the point of interconnection at instant 0, when every miner hashes."""
        return self.poi.power_w(0)

    def row_weights(self) -> Floats:
        """What one watt at each miner is at the point of interconnection, shape (rows,)."""
        weights: Floats = np.ones(len(self.fleet))
        for branch in self.feeders.values():
            weights[branch.rows] = branch.gain * (1.0 + self.spec.loss)
        return weights

    def loads(self) -> list[tuple[Signal, float]]:
        """Everything that is no miner, with what one watt of it is at the point of interconnection."""
        gain = 1.0 + self.spec.loss
        loads = [(signal, gain) for signal in self.spec.loads.values()]
        for feeder in self.spec.feeders:
            loads += [(signal, gain * (1.0 + feeder.loss)) for signal in feeder.loads.values()]
        return loads


class Branch:
    """A feeder at its head: its miners and loads with the feeder's own losses."""

    def __init__(self, site: Site, rows: NDArray[np.int64], gain: float, loads: Mapping[str, Signal]) -> None:
        self._site = site
        self.rows = rows
        self.gain = gain
        self._loads = tuple(loads.values())
        consecutive = rows.size > 0 and bool(np.all(np.diff(rows) == 1))
        self._pick: slice | NDArray[np.int64] = slice(int(rows[0]), int(rows[-1]) + 1) if consecutive else rows

    def power_w(self, at: Instant) -> float:
        """Power at the head of the feeder, watts."""
        miners = float(self._site.fleet.power_w(at, self._pick).sum()) if self.rows.size else 0.0
        return self.gain * (miners + sum(load.at(at) for load in self._loads))

    def energy_j(self, start: Instant, stop: Instant) -> float:
        """Energy at the head of the feeder over [start, stop], joules."""
        fleet = self._site.fleet
        miners = 0.0
        if self.rows.size:
            fleet.advance(stop)
            miners = float((fleet.energy_j(stop, self._pick) - fleet.energy_j(start, self._pick)).sum())
        return self.gain * (miners + sum(load.integral(start, stop) for load in self._loads))

    def voltage_v(self, at: Instant) -> float:
        """Line-to-neutral voltage, volts."""
        return self._site.spec.nominal_v * self._site.grid.voltage_pu(at)


class PointOfInterconnection:
    """The whole site as the grid sees it."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def power_w(self, at: Instant) -> float:
        """Power drawn from the grid, watts; negative when the site feeds in."""
        spec = self._site.spec
        feeders = sum(branch.power_w(at) for branch in self._site.feeders.values())
        loads = sum(signal.at(at) for signal in spec.loads.values())
        return (1.0 + spec.loss) * (feeders + loads) + spec.idle_w

    def energy_j(self, start: Instant, stop: Instant) -> float:
        """Energy drawn from the grid over [start, stop], joules."""
        spec = self._site.spec
        feeders = sum(branch.energy_j(start, stop) for branch in self._site.feeders.values())
        loads = sum(signal.integral(start, stop) for signal in spec.loads.values())
        return (1.0 + spec.loss) * (feeders + loads) + spec.idle_w * (stop - start) * 1e-9

    def voltage_v(self, at: Instant) -> float:
        """Line-to-neutral voltage at the low-voltage side, volts."""
        return self._site.spec.nominal_v * self._site.grid.voltage_pu(at)


class Outlet:
    """A PDU outlet: a relay that moves at once, and behind it a contactor that follows after its own delay."""

    def __init__(self, site: Site, pdu: PduSpec, spec: OutletSpec, seed: Seed) -> None:
        self.id = spec.id
        self.rows = np.array(spec.rows, dtype=np.int64)
        self._site = site
        self._pdu = pdu
        self._moves: list[tuple[Instant, bool]] = []
        self.loads: list[SwitchedLoad] = []
        """Loads besides miners that stand behind it, with the losses of the point they are counted at."""
        spread = 1.0 + 0.15 * min(2.0, max(-2.0, seed.normal()))  # estimate: 15 % between units
        self.open_ns = round(pdu.open_ns * spread) if pdu.contactor else 0
        self.close_ns = round(pdu.close_ns * spread) if pdu.contactor else 0

    def closed(self, at: Instant) -> bool:
        """State of the PDU's relay; every relay is closed when the run begins."""
        state = True
        for moved, closed in self._moves:
            if moved > at:
                break
            state = closed
        return state

    def switch(self, closed: bool, at: Instant) -> None:
        """Move the relay at `at`; the miners behind it lose or get their mains when the contactor has followed.

        Moves that were planned for later than `at` are dropped.
        """
        self._moves = [*(move for move in self._moves if move[0] <= at), (at, closed)]
        follows = at + (self.close_ns if closed else self.open_ns)
        self._site.fleet.switch_mains(self.rows, closed, follows)
        for load in self.loads:
            load.switch(closed, follows)
        if self._site.on_mains is not None:
            self._site.on_mains(follows, self.rows, closed)

    def power_w(self, at: Instant) -> float:
        """What the outlet itself carries: the coil, or the miners where there is no contactor."""
        if self._pdu.contactor:
            return COIL_W if self.closed(at) else 0.0
        return float(self._site.fleet.power_w(at, self.rows).sum())

    def energy_j(self, start: Instant, stop: Instant) -> float:
        """Energy the outlet itself has carried over [start, stop], joules."""
        if not self._pdu.contactor:
            fleet = self._site.fleet
            return float((fleet.energy_j(stop, self.rows) - fleet.energy_j(start, self.rows)).sum())
        total, since, state = 0, start, self.closed(start)
        for moved, closed in self._moves:
            if start < moved <= stop:
                total += (moved - since) if state else 0
                since, state = moved, closed
        return COIL_W * (total + ((stop - since) if state else 0)) * 1e-9

    def load_w(self, at: Instant) -> float:
        """Power of the miners behind the outlet, watts."""
        return float(self._site.fleet.power_w(at, self.rows).sum())

    def voltage_v(self, at: Instant) -> float:
        """Line-to-neutral voltage at the outlet, volts."""
        return self._site.spec.nominal_v * self._site.grid.voltage_pu(at)


def split(items: Sequence[int], parts: int) -> list[tuple[int, ...]]:
    """Deal `items` into `parts` consecutive groups whose sizes differ by one at most."""
    edges = np.linspace(0, len(items), parts + 1).astype(int)
    return [tuple(items[a:b]) for a, b in pairwise(edges)]
