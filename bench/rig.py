"""A rig file brought to life: grid, fleet, site, meters, PDUs and firmware faces on their addresses.

Owns what is wired to what while time goes by; who stands where is `bench/layout.py`. It plays no profile and attaches
no controller (`bench/play.py` does).
"""

from __future__ import annotations

import contextlib
import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.config import ConfigError
from bench.interfaces import Interfaces
from bench.layout import DISPATCH, POI, POOL
from bench.record import Truth
from bench.relay_settings import settings_of
from bench.tap import Tap, Traffic
from bench.wiring import Wiring
from emulator.dispatch import DispatchBlock
from emulator.faults import FaultPlan
from emulator.faulty_link import with_faults
from emulator.faulty_readings import metered, published
from emulator.faulty_registers import with_register_faults
from emulator.faulty_site import apply_site_faults, miner_unit, outlet_port
from emulator.fleet import Fleet, MinerSpec
from emulator.grid import Grid, SwingResponse
from emulator.meters.meter import Meter
from emulator.network import Network
from emulator.pdus.pdu import Pdu
from emulator.pool.server import Pool
from emulator.pool.shares import ShareSource
from emulator.protection.relay import FeederRelay
from emulator.site import Site
from emulator.switched_load import SwitchedLoad
from emulator.timeline import Signal
from emulator.wire import SECOND
from firmware_mocks.miners.base import HostInfo

if TYPE_CHECKING:
    from asyncio import TimerHandle
    from collections.abc import Callable, Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from bench.layout import Layout
    from bench.real import RealSlots
    from emulator.clock import Clock
    from emulator.faults import Fault, FaultHook
    from emulator.meters.product import Refresh
    from emulator.seed import Seed
    from emulator.wire import Device, Instant


class Wakes:
    """Wakes a relay when it wants to be."""

    def __init__(self, clock: Clock, relay: FeederRelay) -> None:
        self._clock = clock
        self._relay = relay
        self._timer: TimerHandle | None = None

    def arm(self) -> None:
        """Set the timer for what the relay says now."""
        if self._timer is not None:
            self._timer.cancel()
        wake_ns = self._relay.wake_ns()
        self._timer = None if wake_ns is None else self._clock.call_at(wake_ns, self._wake)

    def _wake(self) -> None:
        self._relay.woken(self._clock.now())
        self.arm()


BUSY_NS = 60 * SECOND
"""Over which requests to one device are counted."""


class Rig:
    """A live rig on one clock; the bench is the master of the line `mastered`, if there is one.

    Raises ConfigError where a fault hits nothing, or where the site would feed in.
    """

    def __init__(
        self, layout: Layout, clock: Clock, seed: Seed, nominal_hz: float, faults: FaultPlan | None = None,
        mastered: str = "",
    ) -> None:  # fmt: skip
        self.file = layout.file
        self.clock = clock
        self.layout = layout
        self.faults = FaultPlan((), seed) if faults is None else faults
        layout.check_faults(self.faults, layout.origin)
        self.on_fault: FaultHook | None = None
        """Hears (instant, fault, id) whenever a fault strikes."""
        self.traffic = Traffic()
        where = layout.file.network
        self.network = Network(clock, allowed=where.allow, interface=where.interface)
        self.devices: dict[str, Device] = {}
        self.wiring = Wiring(layout, clock, self.network, self._wrapped, mastered)
        self.real: RealSlots | None = None
        """Real devices in slots of this rig; None where it has none."""
        if layout.real:
            from bench.real import RealSlots  # pymodbus, which few rigs need

            self.real = RealSlots(clock)
        self.meters: dict[str, Meter] = {}
        self.pdus: dict[str, Pdu] = {}
        self.relays: dict[str, FeederRelay] = {}
        self.commands: list[tuple[Instant, str, list[int]]] = []
        """(instant, script, rows) of everything that was done to miners."""
        self.grid = Grid(nominal_hz, 0.0)
        """What the grid really does."""
        self.published = Grid(nominal_hz, 0.0) if self.faults.faults else self.grid
        """What meters and the dispatch block see of it: the grid itself, unless a fault makes it stale or late."""
        self.fleet = Fleet(
            [MinerSpec(place.id, place.model, place.family) for place in self.layout.miners],
            seed,
            on_command=lambda at, rows, name: self.commands.append((at, name, rows.tolist())),
        )
        spec = self.layout.site_spec(seed)
        self.site = Site(spec, self.fleet, self.grid, seed, on_mains=self._mains_moved)
        self.switched_loads = self._wire_loads()
        """Loads behind outlets, by id."""
        self.nominal_w = self.site.nominal_w()
        if self.nominal_w <= 0:
            fed_w = -self.nominal_w
            raise ConfigError(f"{layout.origin}: load: the site feeds in {fed_w:g} W at its start; lower its plants")
        response = self._response()
        for grid in (self.grid, self.published):
            grid.signals["dispatch"] = Signal.constant(self.nominal_w)
            if response is not None:
                grid.close_loop(response)
        self.units = [miner_unit(self.faults, self.fleet, row, self._struck) for row in range(len(self.fleet))]
        self._build_meters(seed)
        self._build_pdus(seed)
        self._build_relays()
        self._build_miners(seed)
        self.interfaces = Interfaces(
            layout.interfaces, clock, seed, self.faults, self.grid, self.published, self.nominal_w, self.file.name,
            layout.origin, where.allow,
        )  # fmt: skip
        for name, address, device in self.interfaces.devices:
            self._attach(name, "signal", address, device)
        if self.layout.dispatch is not None:
            way = self.layout.dispatch
            block = DispatchBlock(self.interfaces.view(DISPATCH), self.nominal_w, way.unit)
            self.wiring.attach(DISPATCH, "signal", way, block.device(way.port))
        self.pool: Pool | None = None
        if self.layout.pool is not None:
            self.pool = Pool(seed)
            self.pool.attach(ShareSource(self.fleet, seed), [place.id for place in self.layout.miners])
            self._attach(POOL, "pool", self.layout.pool, self.pool)
        self.wiring.finish()
        apply_site_faults(self.faults, clock, self.fleet, self.site, self._struck)

    def play(self, signals: Mapping[str, Signal], at: Instant) -> None:
        """Put a profile on the run's axis with its zero at `at`."""
        self.grid.play(signals, at)
        if self.published is not self.grid:
            shifted = {name: self.grid.signals[name] for name in signals}
            nominal = {"dispatch": self.nominal_w}
            shown = {n: published(self.faults, n, signal, nominal=nominal.get(n)) for n, signal in shifted.items()}
            self.published.play(shown, 0)
        self.interfaces.play()
        for relay in self.relays.values():
            relay.foresee(self.clock.now())

    async def open(self) -> None:
        """Begin to answer on every address. Raises NetworkError."""
        await self.network.open()
        try:
            self.wiring.open()
            await self.interfaces.open()
            if self.real is not None:
                await self.real.open()
        except BaseException:
            await self._fall_silent()
            raise

    async def close(self) -> None:
        """Stop answering."""
        try:
            await self._fall_silent()
        finally:
            if self.real is not None:
                await self.real.close()

    async def _fall_silent(self) -> None:
        """Close all that is emulated, whatever one of them says to it."""
        async with contextlib.AsyncExitStack() as still_open:
            still_open.push_async_callback(self.network.close)
            still_open.callback(self.wiring.close)
            await self.interfaces.close()

    def inventory(self) -> dict[str, Any]:
        """The site as a controller learns of it (docs/reference/inventory.md)."""
        return self.layout.inventory(self.nominal_w, self.grid.nominal_hz, self.wiring.paths)

    def pool_report(self, start: Instant, stop: Instant) -> dict[str, float] | None:
        """What the pool saw of the site between two instants; None without a pool."""
        if self.pool is None:
            return None
        seen = self.pool.site_hash_rate(start, stop)
        return {"hash_rate_ths": seen.ths, "shares": seen.shares}

    def truth(self) -> Truth:
        """What the site's power has really been so far; `fleet.advance` says how far that is."""
        return Truth(
            log=self.fleet.log,
            weight=self.site.row_weights(),
            nominal_w=self.fleet.nominal_w,
            miners=tuple(spec.id for spec in self.fleet.specs),
            loads=self.site.loads(),
            idle_w=self.site.spec.idle_w,
        )

    def busiest(self) -> dict[str, tuple[str, int]]:
        """By kind of device (`miner`, `pdu`, ...): the one that got most requests within one minute, and how many."""
        sorts = self.layout.sorts()
        most: dict[str, tuple[str, int]] = {}
        for device, requests in self.traffic.most_requests(BUSY_NS).items():
            kind = sorts.get(device, "")  # the bench's own polls of a controller are nobody's requests
            if kind and requests > most.get(kind, ("", 0))[1]:
                most[kind] = (device, requests)
        return most

    async def switch(self, outlet: str, closed: bool) -> None:
        """Switch an outlet as the bench itself does: a button on an emulated PDU, a command to a real one.

        Raises NetworkError where a real PDU does not do it.
        """
        place = next(place for place in self.layout.pdus if any(one.id == outlet for one in place.outlets))
        index = next(index for index, one in enumerate(place.outlets) if one.id == outlet)
        if place.id in self.pdus:
            self.pdus[place.id].press(index, closed, self.clock.now())
        elif self.real is not None:
            await self.real.switch(outlet, closed)

    def endpoints(self) -> Iterator[tuple[str, str, str, str]]:
        """(id, what, address, ports) of every device, for people."""
        return self.layout.endpoints(self.wiring.paths)

    def _response(self) -> SwingResponse | None:
        """What the site does to the frequency of a small system; None where the file names none."""
        system = self.file.system
        if system is None:
            return None

        def change_w(start: Instant, stop: Instant) -> float:
            return self.site.poi.energy_j(start, stop) / ((stop - start) * 1e-9) - self.nominal_w

        return SwingResponse(self.grid.nominal_hz, system.kinetic_energy, system.damping, change_w)

    def _wire_loads(self) -> dict[str, SwitchedLoad]:
        """Hang every load that the file puts behind an outlet on it."""
        signals = dict(self.site.spec.loads)
        for feeder in self.site.spec.feeders:
            signals |= feeder.loads
        found = {}
        for outlet, tables in self.layout.switched_loads().items():
            for table in tables:
                load = signals[table.id]
                assert isinstance(load, SwitchedLoad)  # noqa: S101 the layout makes each load with an outlet one
                self.site.outlets[outlet].loads.append(load)
                found[table.id] = load
        return found

    # ---- devices --------------------------------------------------------------------------------------------------

    def _build_meters(self, seed: Seed) -> None:
        exports = any(load.kind in ("solar", "wind") for load in self.file.load)
        for place in self.layout.meters:
            if self.real is not None and place.real is not None:
                self.real.add_meter(place, place.real)
                continue
            point = self.site.poi if place.measures == POI else self.site.feeders[place.measures]
            own, product = seed / "meter" / place.id, place.product
            longest_ns = max(refresh.period_ns for refresh in {**product.refresh, **place.refresh}.values())
            phase_ns = int((own / "phase").uniform() * longest_ns)
            measured, mains = metered(self.faults, place.id, point, self.published)
            make = functools.partial(
                Meter, product, measured, mains, phase_ns, place.unit, own, exports=exports, settings=place.settings,
                base=place.base, rated_w=abs(point.power_w(0)), wall=self.clock.wall,
            )  # fmt: skip
            meter = make(refresh=place.refresh)
            self.meters[place.id] = meter
            device = with_register_faults(
                self.faults, place.id, "meter", meter.device(place.way.port), meter.tables, self._struck,
                functools.partial(_slower, make, meter.refresh),
            )  # fmt: skip
            self.wiring.attach(place.id, "meter", place.way, device)

    def _build_pdus(self, seed: Seed) -> None:
        for place in self.layout.pdus:
            driven = place.drives_contactors
            outlets = [
                outlet_port(self.faults, self.site.outlets[spec.id], place.id, contactor=driven, heard=self._struck)
                for spec in place.outlets
            ]
            if self.real is not None and place.real is not None:
                self.real.add_pdu(place, place.real, outlets)
                continue
            auxiliary = outlets[: place.product.inputs] if driven else []  # contacts that go with those of a contactor
            unit = Pdu(place.product, outlets, self.published, place.way.unit, seed / "pdu" / place.id, auxiliary)
            self.pdus[place.id] = unit
            device = unit.device(place.way.port)
            device = with_register_faults(self.faults, place.id, "pdu", device, unit.tables, self._struck)
            self.wiring.attach(place.id, "pdu", place.way, device)

    def _build_relays(self) -> None:
        """A relay measures the feeder's own voltage: the true frequency, whatever is published of it."""
        for place in self.layout.relays:
            relay = FeederRelay(
                place.product, self.site.feeders[place.protects], self.grid, settings_of(place.table), place.table.unit
            )
            self.relays[place.id] = relay
            relay.on_change = Wakes(self.clock, relay).arm
            relay.on_change()
            self._attach(place.id, "relay", place.address, relay.device())

    def _build_miners(self, seed: Seed) -> None:
        for place, unit in zip(self.layout.miners, self.units, strict=True):
            if place.firmware is None:
                continue
            own = seed / "miner" / place.id
            digits = (own / "mac").key
            mac = "02:" + digits.to_bytes(8, "little")[:5].hex(":")
            host = HostInfo(place.address, mac, place.id, f"RR{digits % 10**12:012d}", self.clock.wall)
            self._attach(place.id, "miner", place.address, place.firmware.boot(unit, host, own))

    def _attach(self, name: str, kind: str, address: str, device: Device) -> None:
        self.network.attach(address, self._wrapped(name, kind, device))

    def _wrapped(self, name: str, kind: str, device: Device) -> Device:
        """The device with its faults and its tap."""
        self.devices[name] = device
        broken = with_faults(self.faults, name, kind, device, self._struck, self.devices.get)
        return Tap(broken, name, kind, self.traffic)

    def _struck(self, at: Instant, fault: Fault, target: str) -> None:
        if self.on_fault is not None:
            self.on_fault(at, fault, target)

    def _mains_moved(self, at: Instant, rows: NDArray[np.int64], closed: bool) -> None:
        if not closed:
            for row in rows.tolist():
                self.clock.call_at(at, self._hang_up, row, at)

    def _hang_up(self, row: int, at: Instant) -> None:
        """A board without power holds no connection; the opening may have been taken back meanwhile."""
        place = self.layout.miners[row]
        if place.id in self.devices and self.units[row].powered_since_ns(at) is None:
            self.network.drop(place.address)


def _slower(make: Callable[..., Meter], refresh: Mapping[str, Refresh], window_ns: int) -> Meter:
    """The meter that `make` makes, with means over at least `window_ns`."""
    return make(refresh={name: replace(r, window_ns=max(r.window_ns, window_ns)) for name, r in refresh.items()})
