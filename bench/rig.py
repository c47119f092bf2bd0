"""A rig file brought to life: grid, fleet, site, meters, PDUs and firmware faces on their addresses.

Owns what is wired to what while time goes by; who stands where is `bench/layout.py`. It plays no profile and attaches
no controller (`bench/play.py` does).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.config import ConfigError
from bench.layout import DISPATCH, POI, POOL
from bench.tap import Tap, Traffic
from emulator.dispatch import DispatchBlock
from emulator.faults import FaultPlan
from emulator.faulty_link import with_faults
from emulator.faulty_readings import metered, published
from emulator.faulty_site import apply_site_faults, miner_unit, outlet_port
from emulator.fleet import Fleet, MinerSpec
from emulator.grid import Grid, SwingResponse
from emulator.meters.meter import Meter
from emulator.network import Network
from emulator.pdus.pdu import Pdu
from emulator.pool.server import Pool
from emulator.pool.shares import ShareSource
from emulator.site import Site
from emulator.switched_load import SwitchedLoad
from emulator.timeline import Signal
from firmware_mocks.miners.base import HostInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from bench.layout import Layout
    from emulator.clock import Clock
    from emulator.faults import Fault, FaultHook
    from emulator.seed import Seed
    from emulator.wire import Device, Instant


class Rig:
    """A live rig on one clock. Raises ConfigError where a fault hits nothing, or where the site would feed in."""

    def __init__(
        self, layout: Layout, clock: Clock, seed: Seed, nominal_hz: float, faults: FaultPlan | None = None
    ) -> None:
        self.file = layout.file
        self.clock = clock
        self.layout = layout
        self.faults = FaultPlan((), seed) if faults is None else faults
        layout.check_faults(self.faults, layout.origin)
        self.on_fault: FaultHook | None = None
        """Hears (instant, fault, id) whenever a fault strikes."""
        self.traffic = Traffic()
        self.network = Network(clock)
        self.devices: dict[str, Device] = {}
        self.meters: dict[str, Meter] = {}
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
        self._build_miners(seed)
        if self.layout.dispatch is not None:
            block = DispatchBlock(self.published, self.nominal_w)
            self._attach(DISPATCH, "signal", self.layout.dispatch, block.device())
        self.pool: Pool | None = None
        if self.layout.pool is not None:
            self.pool = Pool(seed)
            self.pool.attach(ShareSource(self.fleet, seed), [place.id for place in self.layout.miners])
            self._attach(POOL, "pool", self.layout.pool, self.pool)
        apply_site_faults(self.faults, clock, self.fleet, self.site, self._struck)

    def play(self, signals: Mapping[str, Signal], at: Instant) -> None:
        """Put a profile on the run's axis with its zero at `at`."""
        self.grid.play(signals, at)
        if self.published is not self.grid:
            shifted = {name: self.grid.signals[name] for name in signals}
            self.published.play({name: published(self.faults, name, signal) for name, signal in shifted.items()}, 0)

    async def open(self) -> None:
        """Begin to answer on every address. Raises NetworkError."""
        await self.network.open()

    async def close(self) -> None:
        """Stop answering."""
        await self.network.close()

    def inventory(self) -> dict[str, Any]:
        """The site as a controller learns of it (docs/reference/inventory.md)."""
        return self.layout.inventory(self.nominal_w, self.grid.nominal_hz)

    def pool_report(self, start: Instant, stop: Instant) -> dict[str, float] | None:
        """What the pool saw of the site between two instants; None without a pool."""
        if self.pool is None:
            return None
        seen = self.pool.site_hash_rate(start, stop)
        return {"hash_rate_ths": seen.ths, "shares": seen.shares}

    def endpoints(self) -> Iterator[tuple[str, str, str, str]]:
        """(id, what, address, ports) of every device, for people."""
        return self.layout.endpoints()

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
            point = self.site.poi if place.measures == POI else self.site.feeders[place.measures]
            own, product = seed / "meter" / place.id, place.product
            longest_ns = max(refresh.period_ns for refresh in {**product.refresh, **place.refresh}.values())
            phase_ns = int((own / "phase").uniform() * longest_ns)
            measured, mains = metered(self.faults, place.id, point, self.published)
            meter = Meter(product, measured, mains, phase_ns, place.unit, own, exports=exports, refresh=place.refresh)
            self.meters[place.id] = meter
            self._attach(place.id, "meter", place.address, meter.device())

    def _build_pdus(self, seed: Seed) -> None:
        for place in self.layout.pdus:
            driven = place.drives_contactors
            outlets = [
                outlet_port(self.faults, self.site.outlets[spec.id], place.id, contactor=driven, heard=self._struck)
                for spec in place.outlets
            ]
            unit = Pdu(place.product, outlets, self.published, place.table.pdu.unit, seed / "pdu" / place.id)
            self._attach(place.id, "pdu", place.address, unit.device())

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
        self.devices[name] = device
        broken = with_faults(self.faults, name, kind, device, self._struck, self.devices.get)
        self.network.attach(address, Tap(broken, name, kind, self.traffic))

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
