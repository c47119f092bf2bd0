"""A rig file brought to life: grid, fleet, site, meters, PDUs and firmware faces on their addresses, and the inventory.

Owns the address plan and who is wired to whom. It plays no profile and attaches no controller (`bench/play.py` does).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.config import ConfigError, did_you_mean
from bench.tap import Tap, Traffic
from emulator import catalogue, loads
from emulator import clock as clocks
from emulator.dispatch import DispatchBlock
from emulator.faults import FaultError, FaultPlan
from emulator.faulty_link import with_faults
from emulator.faulty_readings import metered, published
from emulator.faulty_site import apply_site_faults, miner_unit, outlet_port
from emulator.fleet import Fleet, MinerSpec
from emulator.grid import Grid
from emulator.meters.meter import Meter
from emulator.meters.product import load_product as load_meter
from emulator.modbus.products import ProductError
from emulator.network import Network
from emulator.pdus.pdu import Pdu
from emulator.pdus.product import load_product as load_pdu
from emulator.seed import Seed
from emulator.site import FeederSpec, OutletSpec, PduSpec, Site, SiteSpec, split
from emulator.timeline import Signal
from firmware_mocks import miners
from firmware_mocks.miners.base import Firmware, HostInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from bench.rig_file import FeederTable, LoadTable, MinersTable, RigFile
    from emulator.clock import Clock
    from emulator.faults import Fault, FaultHook
    from emulator.timeline import Signal
from emulator.wire import Device, Instant

MUTE = "mute"
_MODBUS_PORT = 502
_MINER_BLOCKS = 249
"""Third octets 1 to 249 are for miners; meters, PDUs and signals stand at 250, 251 and 252."""


@dataclass(frozen=True, slots=True)
class _Place:
    """One miner of the plan: where it hangs and what it is."""

    id: str
    address: str
    table: MinersTable
    feeder: str
    pdu: str
    outlet: str


class Rig:
    """A live rig on one clock. `file` is what it was built from; `origin` names that file in error messages.

    Raises ConfigError where the plan cannot stand: unknown product, model or firmware, two devices on one address.
    """

    def __init__(
        self, file: RigFile, origin: str, clock: Clock, seed: Seed, nominal_hz: float, faults: FaultPlan | None = None
    ) -> None:
        self.file = file
        self.clock = clock
        self.traffic = Traffic()
        self._origin = origin
        self._seed = seed
        self._places: list[_Place] = []
        self._pdu_addresses: dict[str, tuple[str, FeederTable]] = {}
        self._meter_addresses: dict[str, str] = {}
        self.network = Network(clock)
        self.faults = FaultPlan((), seed) if faults is None else faults
        self.on_fault: FaultHook | None = None
        """Hears (instant, fault, id) whenever a fault strikes."""
        self.grid = Grid(nominal_hz, 0.0)
        """What the grid really does."""
        self.published = Grid(nominal_hz, 0.0) if self.faults.faults else self.grid
        """What meters and the dispatch block see of it: the grid itself, unless a fault makes it stale or late."""
        self._taken: dict[str, str] = {}
        self._sorts: dict[str, str] = {}
        spec = self._plan()
        firmwares = self._firmwares()
        families = [self._family(place.table, firmwares) for place in self._places]
        specs = [
            MinerSpec(place.id, self._model(place.table), family)
            for place, family in zip(self._places, families, strict=True)
        ]
        self.commands: list[tuple[Instant, str, list[int]]] = []
        self.fleet = Fleet(
            specs, seed, on_command=lambda at, rows, name: self.commands.append((at, name, rows.tolist()))
        )
        self.site = Site(spec, self.fleet, self.grid, seed, on_mains=self._mains_moved)
        self.nominal_w = self.site.nominal_w()
        for grid in (self.grid, self.published):
            grid.signals["dispatch"] = Signal.constant(self.nominal_w)
        self.units = [miner_unit(self.faults, self.fleet, row, self._struck) for row in range(len(self.fleet))]
        self.meters: dict[str, Meter] = {}
        self.devices: dict[str, Device] = {}
        self._build_meters()
        self._build_pdus()
        self._build_miners(firmwares)
        if file.dispatch:
            block = DispatchBlock(self.published, self.nominal_w)
            self._attach("dispatch", "signals", self._host(252, 1), block.device())
        self._check_faults()
        apply_site_faults(self.faults, clock, self.fleet, self.site, self._struck)

    def play(self, signals: Mapping[str, Signal], at: Instant) -> None:
        """Put a profile on the run's axis with its zero at `at`."""
        self.grid.play(signals, at)
        if self.published is not self.grid:
            shifted = {name: self.grid.signals[name] for name in signals}
            self.published.play({name: published(self.faults, name, signal) for name, signal in shifted.items()}, 0)

    def _struck(self, at: Instant, fault: Fault, target: str) -> None:
        if self.on_fault is not None:
            self.on_fault(at, fault, target)

    def _check_faults(self) -> None:
        sorts = dict(self._sorts)
        for feeder in self.site.spec.feeders:
            sorts[feeder.id] = "feeder"
            sorts |= {outlet.id: "outlet" for pdu in feeder.pdus for outlet in pdu.outlets}
        sorts |= {f"signal:{name}": "signal" for name in self.grid.signals}
        try:
            self.faults.check(sorts)
        except FaultError as error:
            raise ConfigError(f"{self._origin}: {error}") from None

    async def open(self) -> None:
        """Begin to answer on every address."""
        await self.network.open()

    async def close(self) -> None:
        """Stop answering."""
        await self.network.close()

    def inventory(self) -> dict[str, Any]:
        """The site as a controller learns of it (docs/reference/inventory.md)."""
        firmwares = self._firmwares()
        return {
            "schema": 1,
            "site": {
                "name": self.file.name,
                "nominal_w": round(self.nominal_w, 1),
                "nominal_hz": self.grid.nominal_hz,
                "commitment_w": self.file.commitment,
            },
            "miners": [self._miner_entry(place, firmwares) for place in self._places],
            "meters": [
                {"id": name, "product": table.product, "address": self._meter_addresses[name], "port": _MODBUS_PORT,
                 "unit": table.unit, "measures": measures}
                for name, table, measures in self._meter_tables()
            ],
            "pdus": [
                {"id": name, "product": feeder.pdu.product, "address": address, "port": _MODBUS_PORT,
                 "unit": feeder.pdu.unit, "outlets": list(self._outlet_entries(name))}
                for name, (address, feeder) in self._pdu_addresses.items()
            ],
            "signals": [
                {"id": "dispatch", "kind": "dispatch", "product": "ramprig_dispatch", "address": self._host(252, 1),
                 "port": _MODBUS_PORT, "unit": 1}
            ] if self.file.dispatch else [],
        }  # fmt: skip

    def endpoints(self) -> Iterator[tuple[str, str, str, str]]:
        """(id, what, address, ports) of every device, for people."""
        for name, table, _ in self._meter_tables():
            yield name, table.product, self._meter_addresses[name], str(_MODBUS_PORT)
        for name, (address, feeder) in self._pdu_addresses.items():
            yield name, feeder.pdu.product, address, str(_MODBUS_PORT)
        if self.file.dispatch:
            yield "dispatch", "ramprig_dispatch", self._host(252, 1), str(_MODBUS_PORT)
        firmwares = self._firmwares()
        for place in self._places:
            if place.table.firmware != MUTE:
                ports = ", ".join(str(port) for port in firmwares[place.table.firmware].ports.values())
                yield place.id, f"{place.table.model} / {place.table.firmware}", place.address, ports

    # ---- plan -----------------------------------------------------------------------------------------------------

    def _plan(self) -> SiteSpec:
        row = 0
        feeders = []
        pdu_number = 0
        for number, feeder in enumerate(self.file.feeder):
            first = row
            for table in feeder.miners:
                for place in range(table.count):
                    address = self._miner_address(row) if table.address is None else _plus(table.address, place)
                    self._places.append(_Place(f"miner-{row + 1:04d}", address, table, feeder.id, "", ""))
                    row += 1
            pdu_specs = []
            per_pdu = self._outlets_of(feeder.pdu.product, f"feeder[{number}].pdu.product")
            groups = split(range(first, row), feeder.pdu.count * per_pdu)
            for unit in range(feeder.pdu.count):
                pdu_number += 1
                name = f"pdu-{pdu_number:02d}"
                address = self._host(251, pdu_number) if feeder.pdu.address is None else _plus(feeder.pdu.address, unit)
                self._pdu_addresses[name] = (address, feeder)
                outlets = []
                for index in range(per_pdu):
                    outlet = f"{name}.{index + 1}"
                    members = groups[unit * per_pdu + index]
                    for member in members:
                        was = self._places[member]
                        self._places[member] = _Place(was.id, was.address, was.table, feeder.id, name, outlet)
                    outlets.append(OutletSpec(outlet, members))
                contactor = feeder.pdu.drives == "contactor"
                pdu_specs.append(PduSpec(name, tuple(outlets), contactor, feeder.pdu.open, feeder.pdu.close))
            here = {load.id: self._load(load) for load in self.file.load if load.at == feeder.id}
            feeders.append(FeederSpec(feeder.id, tuple(pdu_specs), feeder.loss, here))
        site = self.file.site
        return SiteSpec(
            self.file.name, tuple(feeders), site.transformer_loss, site.idle, site.nominal_voltage,
            {load.id: self._load(load) for load in self.file.load if load.at == "poi"},
        )  # fmt: skip

    def _load(self, table: LoadTable) -> Signal:
        seed = self._seed / "load" / table.id
        match table.kind:
            case "house":
                return loads.house(table.power)
            case "ai_training":
                return loads.ai_training(table.power, table.duration, seed, iteration_s=table.iteration * 1e-9)
            case "solar":
                return loads.solar(table.power, 0, table.duration)
            case _:
                return loads.wind(table.power, table.duration, seed)

    def _outlets_of(self, product: str, key: str) -> int:
        try:
            return load_pdu(product).outputs
        except ProductError as error:
            raise ConfigError(f"{self._origin}: {key}: {error}") from None

    def _model(self, table: MinersTable) -> catalogue.MinerModel:
        try:
            return catalogue.model(table.model)
        except catalogue.CatalogueError as error:
            raise ConfigError(f"{self._origin}: {self._key(table)}.model: {error}") from None

    def _family(self, table: MinersTable, firmwares: dict[str, Firmware]) -> catalogue.PhaseFamily:
        if table.firmware != MUTE:
            return catalogue.family(firmwares[table.firmware].phases)
        if table.phases is None:
            raise ConfigError(
                f"{self._origin}: {self._key(table)}.phases: a mute miner needs it; say which timing it has"
            )
        try:
            return catalogue.family(table.phases)
        except catalogue.CatalogueError as error:
            raise ConfigError(f"{self._origin}: {self._key(table)}.phases: {error}") from None

    def _firmwares(self) -> dict[str, Firmware]:
        found: dict[str, Firmware] = {}
        for feeder in self.file.feeder:
            for table in feeder.miners:
                if table.firmware in (MUTE, *found):
                    continue
                if table.firmware not in miners.names():
                    hint = did_you_mean(table.firmware, [*miners.names(), MUTE])
                    raise ConfigError(
                        f"{self._origin}: {self._key(table)}.firmware: unknown firmware {table.firmware!r}{hint}"
                    )
                firmware = miners.load(table.firmware)
                model = self._model(table)
                if not firmware.runs_on(model):
                    raise ConfigError(
                        f"{self._origin}: {self._key(table)}: {firmware.name} does not run on {model.type_string}; "
                        f"it runs on {', '.join(sorted(firmware.models))}"
                    )
                found[table.firmware] = firmware
        return found

    def _key(self, table: MinersTable) -> str:
        for number, feeder in enumerate(self.file.feeder):
            for place, candidate in enumerate(feeder.miners):
                if candidate is table:
                    return f"feeder[{number}].miners[{place}]"
        return "feeder.miners"

    # ---- devices --------------------------------------------------------------------------------------------------

    def _meter_tables(self) -> Iterator[tuple[str, Any, str]]:
        yield "meter-poi", self.file.meter, "poi"
        for feeder in self.file.feeder:
            if feeder.meter is not None:
                yield f"meter-{feeder.id}", feeder.meter, feeder.id

    def _build_meters(self) -> None:
        for number, (name, table, measures) in enumerate(self._meter_tables(), start=1):
            try:
                product = load_meter(table.product)
            except ProductError as error:
                raise ConfigError(f"{self._origin}: meter {name}: {error}") from None
            seed = self._seed / "meter" / name
            point = self.site.poi if measures == "poi" else self.site.feeders[measures]
            phase_ns = int((seed / "phase").uniforms(1)[0] * max(r.period_ns for r in product.refresh.values()))
            exports = any(load.kind in ("solar", "wind") for load in self.file.load)
            measured, mains = metered(self.faults, name, point, self.published)
            meter = Meter(product, measured, mains, phase_ns, table.unit, seed, exports=exports)
            self.meters[name] = meter
            address = self._host(250, number) if table.address is None else table.address
            self._meter_addresses[name] = address
            self._attach(name, "meter", address, meter.device())

    def _build_pdus(self) -> None:
        for name, (address, feeder) in self._pdu_addresses.items():
            product = load_pdu(feeder.pdu.product)
            driven = feeder.pdu.drives == "contactor"
            outlets = [
                outlet_port(self.faults, outlet, name, contactor=driven, heard=self._struck)
                for key, outlet in self.site.outlets.items()
                if key.startswith(f"{name}.")
            ]
            unit = Pdu(product, outlets, self.published, feeder.pdu.unit, self._seed / "pdu" / name)
            self._attach(name, "pdu", address, unit.device())

    def _build_miners(self, firmwares: dict[str, Firmware]) -> None:
        for place, unit in zip(self._places, self.units, strict=True):
            if place.table.firmware == MUTE:
                continue
            seed = self._seed / "miner" / place.id
            digits = (seed / "mac").key
            mac = "02:" + ":".join(f"{(digits >> (8 * i)) & 255:02x}" for i in range(5))
            host = HostInfo(place.address, mac, place.id, f"RR{digits % 10**12:012d}", self.clock.wall)
            self._attach(place.id, "miner", place.address, firmwares[place.table.firmware].boot(unit, host, seed))

    def _attach(self, name: str, kind: str, address: str, device: Device) -> None:
        if address in self._taken:
            raise ConfigError(
                f"{self._origin}: {name} and {self._taken[address]} are both on {address}; "
                "give one of them another `address`, or leave it out to have it planned"
            )
        self._taken[address] = name
        self._sorts[name] = kind
        self.devices[name] = device
        broken = with_faults(self.faults, name, kind, device, self._struck)
        self.network.attach(address, Tap(broken, name, kind, self.traffic))

    def _mains_moved(self, at: Instant, rows: NDArray[np.int64], closed: bool) -> None:
        if not closed:
            for row in rows.tolist():
                self.clock.call_at(at, self._hang_up, row, at)

    def _hang_up(self, row: int, at: Instant) -> None:
        """A board without power holds no connection; the opening may have been taken back meanwhile."""
        place = self._places[row]
        if place.id in self.devices and self.units[row].powered_since_ns(at) is None:
            self.network.drop(place.address)

    # ---- addresses and inventory ----------------------------------------------------------------------------------

    def _host(self, third: int, number: int) -> str:
        base = ipaddress.IPv4Network(self.file.network.subnet).network_address
        if number > 254:
            raise ConfigError(f"{self._origin}: more than 254 devices at .{third} of the subnet; use a second rig")
        return str(base + third * 256 + number)

    def _miner_address(self, index: int) -> str:
        net = ipaddress.IPv4Network(self.file.network.subnet)
        block, host = divmod(index, 254)
        second, third = divmod(block, _MINER_BLOCKS)
        sixteens = 2 ** (16 - net.prefixlen)
        if second >= sixteens:
            raise ConfigError(
                f"{self._origin}: network.subnet: {net} holds {_MINER_BLOCKS * 254 * sixteens} miners; "
                "write a larger one, for example 127.16.0.0/12"
            )
        return str(net.network_address + second * 65536 + (third + 1) * 256 + host + 1)

    def _miner_entry(self, place: _Place, firmwares: dict[str, Firmware]) -> dict[str, Any]:
        model = self._model(place.table)
        mute = place.table.firmware == MUTE
        credentials = None if mute else firmwares[place.table.firmware].credentials
        return {
            "id": place.id,
            "address": place.address,
            "ports": {} if mute else dict(firmwares[place.table.firmware].ports),
            "make": model.make,
            "model": model.name,
            "firmware": place.table.firmware,
            "credentials": {
                "username": credentials.username if credentials else "",
                "password": credentials.password if credentials else "",
            },
            "feeder": place.feeder,
            "pdu": place.pdu,
            "outlet": place.outlet,
            "nominal_w": model.nominal_w,
            "nominal_ths": model.nominal_ths,
        }

    def _outlet_entries(self, pdu: str) -> Iterator[dict[str, Any]]:
        for key, outlet in self.site.outlets.items():
            if key.startswith(f"{pdu}."):
                members = [self._places[row].id for row in outlet.rows.tolist()]
                yield {"id": key, "index": int(key.rpartition(".")[2]), "miners": members}


def _plus(address: str, number: int) -> str:
    return str(ipaddress.IPv4Address(address) + number)


def check_rig(file: RigFile, origin: str) -> None:
    """Build the rig without opening a socket; raises ConfigError with what only building it shows."""

    async def main(clock: Clock) -> None:
        Rig(file, origin, clock, Seed(1), 60.0)

    clocks.run(main)
