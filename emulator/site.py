"""The electrical tree of a site: point of interconnection, feeders with their breakers, PDUs with outlets, miners.

Owns who is fed through what, losses, voltages, contactor delays and inrush; power comes from the fleet and from load
signals. Every point of the tree is a `PowerPoint` that a meter can be clamped on, exact at any instant.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from math import sqrt
from typing import TYPE_CHECKING, Protocol

import numpy as np

from emulator.breaker import Breaker, BreakerSpec
from emulator.contacts import History, followed, in_series, switched
from emulator.switched_load import SwitchedLoad
from emulator.wire import MILLISECOND, Instant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from emulator.closed_form import Form
    from emulator.fleet import Fleet
    from emulator.grid import Grid
    from emulator.seed import Seed
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

    def contacts(self) -> History:
        """When the contacts that carry the load are closed: the contactor's, or the relay's own where there is none."""
        ...

    def inrush_a(self, at: Instant) -> float:
        """Peak of the current at the latest closing, amperes; 0 where it has not closed, or carries but a coil."""
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
    return_ns: int = 0
    """When the feeder is alive again its outlets stay open for so long; 0 and no step: they have kept their state."""
    return_step_ns: int = 0
    """And each outlet for so much longer than the one before it."""


@dataclass(frozen=True, slots=True)
class FeederSpec:
    """A feeder: PDUs, losses as a share of what it carries, and loads besides miners by name."""

    id: str
    pdus: tuple[PduSpec, ...]
    loss: float = 0.015
    loads: Mapping[str, Signal] = field(default_factory=dict)
    breaker: BreakerSpec = field(default_factory=BreakerSpec)


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
    inrush_a: float = 45.0
    """Peak inrush of a cold power supply, amperes (estimate: 30-60 A, gone in under 10 ms)."""


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
        fleet.inrush_w[:] = spec.nominal_v * spec.inrush_a / sqrt(2.0)
        fed: set[int] = set()
        for feeder in spec.feeders:
            branch = Branch(self, feeder)
            rows: list[int] = []
            for pdu in feeder.pdus:
                for number, outlet in enumerate(pdu.outlets):
                    if outlet.id in self.outlets:
                        raise ValueError(f"outlet {outlet.id!r} exists twice; outlet ids are unique in a site")
                    built = Outlet(self, branch, pdu, number, seed / "contactor" / outlet.id)
                    self.outlets[outlet.id] = built
                    branch.outlets.append(built)
                    rows.extend(outlet.rows)
            twice = fed.intersection(rows)
            if twice or len(set(rows)) != len(rows):
                raise ValueError(f"a miner of feeder {feeder.id!r} is fed twice")
            fed.update(rows)
            branch.feed(rows)
            self.feeders[feeder.id] = branch
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
        """Everything that is no miner, with what one watt of it is at the point of interconnection.

        Breakers have cut their feeder's share by as much as has been commanded so far.
        """
        gain = 1.0 + self.spec.loss
        loads = [(signal, gain) for signal in self.spec.loads.values()]
        for branch in self.feeders.values():
            loads += [(signal, gain * branch.gain) for signal in branch.loads]
        return loads

    def replan(self, outlets: Sequence[Outlet], since: Instant) -> None:
        """Tell the fleet, and whoever listens, when mains come and go behind `outlets` from `since` on."""
        self.fleet.forget_mains([outlet.rows for outlet in outlets], since)
        moved: dict[tuple[Instant, bool], list[NDArray[np.int64]]] = {}
        for outlet in outlets:
            self.fleet.switch_mains(outlet.rows, outlet.mains.at(since), since)
            for at, closed in outlet.mains.moves(since):
                self.fleet.switch_mains(outlet.rows, closed, at)
                moved.setdefault((at, closed), []).append(outlet.rows)
        if self.on_mains is not None:
            for (at, closed), groups in sorted(moved.items(), key=lambda item: item[0]):
                self.on_mains(at, groups[0] if len(groups) == 1 else np.concatenate(groups), closed)


class Branch:
    """A feeder at its head: its breaker, and behind that its miners and loads with the feeder's own losses."""

    def __init__(self, site: Site, spec: FeederSpec) -> None:
        self.id = spec.id
        self.gain = 1.0 + spec.loss
        self.breaker = Breaker(spec.breaker, self._breaker_moved)
        self.outlets: list[Outlet] = []
        self.rows: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self.loads = tuple(spec.loads.values())
        """What goes through the breaker besides the miners."""
        self._site = site
        self._uncut = self.loads
        self._pick: slice | NDArray[np.int64] = slice(0, 0)
        self._latest: NDArray[np.int64] | None = None
        self._form: Form | None = None
        self._segments = 0

    def feed(self, rows: Sequence[int]) -> None:
        """Say which miners hang on it."""
        self.rows = np.array(rows, dtype=np.int64)
        consecutive = self.rows.size > 0 and bool(np.all(np.diff(self.rows) == 1))
        self._pick = slice(int(self.rows[0]), int(self.rows[-1]) + 1) if consecutive else self.rows
        self._latest = self._form = None

    def _breaker_moved(self, since: Instant) -> None:
        mine, own = self.breaker.contacts, SwitchedLoad  # what hangs on an outlet follows that outlet's mains
        self.loads = tuple(load if isinstance(load, own) else switched(load, mine) for load in self._uncut)
        for outlet in self.outlets:
            outlet.rewire()
        self._site.replan(self.outlets, since)

    def power_w(self, at: Instant) -> float:
        """Power at the head of the feeder, watts."""
        miners = float(self._site.fleet.power_w(at, self._pick).sum()) if self.rows.size else 0.0
        return self.gain * (miners + sum(load.at(at) for load in self.loads))

    def energy_j(self, start: Instant, stop: Instant) -> float:
        """Energy at the head of the feeder over [start, stop], joules."""
        miners = self._miners_j(start, stop) if self.rows.size else 0.0
        return self.gain * (miners + sum(load.integral(start, stop) for load in self.loads))

    def _miners_j(self, start: Instant, stop: Instant) -> float:
        fleet = self._site.fleet
        fleet.advance(stop)
        form = self._common_form()
        if form is not None and stop >= form.since_ns:
            if start >= form.since_ns:
                return form.between(start, stop)
            if start == 0:
                return form.total(stop)
        return float((fleet.energy_j(stop, self._pick) - fleet.energy_j(start, self._pick)).sum())

    def _common_form(self) -> Form | None:
        """All miners as one closed form, once nothing has happened to any of them between two questions."""
        log = self._site.fleet.log
        if self._latest is None or log.size != self._segments:
            self._segments = log.size
            latest = log.latest[self._pick]
            if self._latest is None or not np.array_equal(latest, self._latest):
                self._latest, self._form = latest.copy(), None
                return None
        if self._form is None and self._latest is not None:
            self._form = log.form(self._latest)
        return self._form

    def voltage_v(self, at: Instant) -> float:
        """Line-to-neutral voltage above the breaker, volts."""
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
    """A PDU outlet: a relay that moves at once, and behind it a contactor that follows after its own delay.

    The relay and the coil of the contactor live on a control supply of their own, so that both keep their state while
    the feeder's breaker is open; an outlet without a contactor carries the feeder's power and is dead with it.
    """

    def __init__(self, site: Site, branch: Branch, pdu: PduSpec, number: int, seed: Seed) -> None:
        self.id = pdu.outlets[number].id
        self.rows = np.array(pdu.outlets[number].rows, dtype=np.int64)
        self._site = site
        self._branch = branch
        self._contactor = pdu.contactor
        self._hold_ns = pdu.return_ns + number * pdu.return_step_ns
        self.loads: list[SwitchedLoad] = []
        """Loads besides miners that stand behind it, with the losses of the point they are counted at."""
        spread = 1.0 + 0.15 * min(2.0, max(-2.0, seed.normal()))  # estimate: 15 % between units
        self.open_ns = round(pdu.open_ns * spread) if pdu.contactor else 0
        self.close_ns = round(pdu.close_ns * spread) if pdu.contactor else 0
        self._told = History()
        """What the relay has been told, apart from any hold after a return of the mains."""
        self.relay = self._contacts = self.mains = History()
        """`relay`: the relay itself; `mains`: whether the miners behind have voltage."""

    def rewire(self) -> None:
        """Derive relay, contacts and mains anew from the commands and the breaker."""
        breaker = self._branch.breaker.contacts
        self.relay = in_series(self._told, followed(breaker, 0, self._hold_ns)) if self._hold_ns else self._told
        self._contacts = followed(self.relay, self.open_ns, self.close_ns) if self._contactor else self.relay
        self.mains = in_series(self._contacts, breaker)
        for load in self.loads:
            load.follow(self.mains)

    def closed(self, at: Instant) -> bool:
        """State of the PDU's relay; every relay is closed when the run begins."""
        return self.relay.at(at)

    def contacts(self) -> History:
        """When the contacts that carry the miners are closed, whether or not there is voltage on them."""
        return self._contacts

    def switch(self, closed: bool, at: Instant) -> None:
        """Move the relay at `at`; the miners behind it lose or get their mains when the contactor has followed.

        Moves that were planned for later than `at` are dropped. A contactor does not follow what is shorter than its
        own delay. While the outlet is held after a return of the mains, a command is remembered until that is over.
        """
        self._told = self._told.moved(closed, at)
        self.rewire()
        self._site.replan((self,), at)

    def power_w(self, at: Instant) -> float:
        """What the outlet itself carries: the coil, or what is behind it where there is no contactor."""
        if self._contactor:
            return COIL_W if self.closed(at) else 0.0
        return self.load_w(at)

    def energy_j(self, start: Instant, stop: Instant) -> float:
        """Energy the outlet itself has carried over [start, stop], joules."""
        if self._contactor:
            return COIL_W * self.relay.closed_ns(start, stop) * 1e-9
        fleet = self._site.fleet
        fleet.advance(stop)
        miners = float((fleet.energy_j(stop, self.rows) - fleet.energy_j(start, self.rows)).sum())
        return miners + sum(load.integral(start, stop) for load in self.loads)

    def load_w(self, at: Instant) -> float:
        """Power of everything behind the outlet, watts."""
        return float(self._site.fleet.power_w(at, self.rows).sum()) + sum(load.at(at) for load in self.loads)

    def inrush_a(self, at: Instant) -> float:
        """Peak of the current when the outlet last put its miners on the mains, amperes."""
        if self._contactor:
            return 0.0
        last = self.mains.last(at)
        if last is not None and not self.mains.at(at):
            last = self.mains.last(last - 1)
        return 0.0 if last is None else self._site.spec.inrush_a * self.rows.size * self._site.grid.voltage_pu(last)

    def voltage_v(self, at: Instant) -> float:
        """Line-to-neutral voltage at the outlet, volts; an outlet that carries the miners is dead with its feeder."""
        alive = self._contactor or self._branch.breaker.closed(at)
        return self._site.spec.nominal_v * self._site.grid.voltage_pu(at) if alive else 0.0


def split(items: Sequence[int], parts: int) -> list[tuple[int, ...]]:
    """Deal `items` into `parts` consecutive groups whose sizes differ by one at most."""
    edges = np.linspace(0, len(items), parts + 1).astype(int)
    return [tuple(items[a:b]) for a, b in pairwise(edges)]
