"""Who stands where on a rig: every miner, meter and PDU with its product, its address and its wiring.

Owns every check of a rig file that needs products, models or firmware, but no clock; which address is whose is
`bench/address_plan.py`'s. Bringing it to life is `bench/rig.py`; what a controller is told of it is
`bench/inventory.py`'s format.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.address_plan import FIRST_RELAY, GATEWAYS, METERS, PDUS, POOLS, SIGNALS, AddressPlan
from bench.config import ConfigError, did_you_mean
from bench.interfaces import SignalPlace
from bench.interfaces import check_faults as check_interfaces
from bench.places import MUTE, MeterPlace, MinerPlace, PduPlace, RelayPlace, miner_entry
from bench.relay_settings import problems_of
from bench.rig_signals import name_of
from bench.rig_wires import DispatchTable
from bench.ways import Ways, entry, serial_format, spoken
from emulator import catalogue, loads
from emulator.breaker import BreakerSpec
from emulator.faults import FaultError
from emulator.grid import CHANNELS
from emulator.meters.product import Refresh
from emulator.meters.product import load_product as load_meter
from emulator.meters.settings import Settings
from emulator.modbus.products import ProductError
from emulator.modbus.secure import SecurityError, server_context
from emulator.pdus.product import load_product as load_pdu
from emulator.pool.server import PORT as POOL_PORT
from emulator.protection.product import load_product as load_relay
from emulator.site import FeederSpec, OutletSpec, SiteSpec, split
from emulator.switched_load import SwitchedLoad
from firmware_mocks import miners

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

    from bench.rig_file import FeederTable, LoadTable, MeterTable, MinersTable, RigFile
    from bench.rig_wires import WireTable
    from bench.ways import Way
    from emulator.faults import FaultPlan
    from emulator.meters.product import MeterProduct
    from emulator.pdus.product import PduProduct
    from emulator.seed import Seed
    from emulator.timeline import Signal
    from firmware_mocks.miners.base import Firmware

POI = "poi"
DISPATCH = "dispatch"
POOL = "pool"


_ROOM = 1.1
"""Units differ, and the site has losses: so much more than nominal may be drawn at the most. estimate"""


@dataclass(frozen=True, slots=True)
class Layout:
    """A rig file with everything it names found, placed and addressed; `dispatch` and `pool` may be None.

    `origin` names the file in error messages.
    """

    file: RigFile
    origin: str
    miners: tuple[MinerPlace, ...]
    meters: tuple[MeterPlace, ...]
    pdus: tuple[PduPlace, ...]
    dispatch: Way | None
    pool: str | None
    gateways: Mapping[str, str]
    """Gateway -> its address."""
    tls: ssl.SSLContext | None
    relays: tuple[RelayPlace, ...] = ()
    interfaces: tuple[SignalPlace, ...] = ()
    """The operator's, besides the dispatch block."""

    def site_spec(self, seed: Seed) -> SiteSpec:
        """The electrical tree; `seed` draws what loads do."""
        feeders = []
        for table in self.file.feeder:
            specs = tuple(place.spec for place in self.pdus if place.table is table)
            breaker = BreakerSpec(table.breaker.open, table.breaker.close)
            feeders.append(FeederSpec(table.id, specs, table.loss, self._loads(table.id, seed), breaker))
        site = self.file.site
        return SiteSpec(
            self.file.name, tuple(feeders), site.transformer_loss, site.idle, site.nominal_voltage,
            self._loads(POI, seed), site.inrush,
        )  # fmt: skip

    def _loads(self, where: str, seed: Seed) -> dict[str, Signal]:
        return {load.id: _load(load, seed / "load" / load.id) for load in self.file.load if load.at == where}

    def switched_loads(self) -> dict[str, tuple[LoadTable, ...]]:
        """Loads besides miners that stand behind an outlet, by its id."""
        outlets = dict.fromkeys(load.outlet for load in self.file.load if load.outlet is not None)
        return {one: tuple(load for load in self.file.load if load.outlet == one) for one in outlets}

    def sorts(self) -> dict[str, str]:
        """What sort of thing each id is: what a fault can be aimed at."""
        sorts = {place.id: "miner" for place in self.miners}
        sorts |= {place.id: "meter" for place in self.meters if place.real is None}
        sorts |= {place.id: "pdu" for place in self.pdus if place.real is None}
        sorts |= {place.id: "relay" for place in self.relays}
        sorts |= {table.id: "feeder" for table in self.file.feeder}
        sorts |= {outlet.id: "outlet" for place in self.pdus for outlet in place.outlets}
        sorts |= {f"signal:{name}": "signal" for name in CHANNELS}
        sorts |= {place.id: "signal" for place in self.interfaces}
        if self.dispatch is not None:
            sorts[DISPATCH] = "signal"
        if self.pool is not None:
            sorts[POOL] = "pool"
        return sorts

    @property
    def real(self) -> tuple[str, ...]:
        """The slots with a real device."""
        places: tuple[MeterPlace | PduPlace, ...] = (*self.meters, *self.pdus)
        return tuple(place.id for place in places if place.real is not None)

    @property
    def judged_by(self) -> str:
        """The real meter at the point of interconnection that a verdict rests on; "" where that is emulated."""
        return next((place.id for place in self.meters if place.real is not None and place.id == f"meter-{POI}"), "")

    def check_faults(self, plan: FaultPlan, origin: str) -> None:
        """Raises ConfigError, which begins with `origin`, for a fault that hits nothing it can hit here."""
        try:
            plan.check(self.sorts())
            check_interfaces(plan, self.interfaces, CHANNELS, DISPATCH)
        except FaultError as error:
            raise ConfigError(f"{origin}: {str(error).replace('faults[', 'fault[', 1)}") from None

    def inventory(self, nominal_w: float, nominal_hz: float, paths: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The site as a controller learns of it (docs/reference/inventory.md); `paths` has the ports of its lines."""
        lines, opened = {line.id: line for line in self.file.line}, paths or {}
        loads = self.switched_loads()
        return {
            "schema": 1,
            "site": {
                "name": self.file.name,
                "nominal_w": round(nominal_w, 1),
                "nominal_hz": nominal_hz,
                "commitment_w": self.file.commitment,
            },
            "miners": [miner_entry(place) for place in self.miners],
            "meters": [
                {**entry(place.id, place.product.id, place.way, lines, opened), "measures": place.measures}
                for place in self.meters
                if _told(place)
            ],
            "pdus": [
                {**entry(place.id, place.product.id, place.way, lines, opened),
                 "outlets": [
                     {
                         "id": outlet.id, "index": index, "miners": [self.miners[row].id for row in outlet.rows],
                         "loads": [
                             {"id": load.id, "kind": load.kind, "nominal_w": load.power}
                             for load in loads.get(outlet.id, ())
                         ],
                     }
                     for index, outlet in enumerate(place.outlets, start=1)
                 ]}
                for place in self.pdus
                if _told(place)
            ],
            "relays": [
                {**entry(place.id, place.product.id, place.way, lines, opened), "protects": place.protects}
                for place in self.relays
            ],
            "signals": [
                *([
                    {**entry(DISPATCH, "ramprig_dispatch", self.dispatch, lines, opened), "kind": "dispatch"}
                ] if self.dispatch is not None else []),
                *(place.entry() for place in self.interfaces),
            ],
        }  # fmt: skip

    def endpoints(self, paths: Mapping[str, str] | None = None) -> Iterator[tuple[str, str, str, str]]:
        """(id, what, address, ports) of every device, for people; miners come last. `paths` has the ports of lines."""
        opened = paths or {}
        for line in self.file.line:
            yield line.id, f"serial line, {line.kind}", opened.get(line.id, line.port), serial_format(line).text
        for meter in self.meters:
            yield meter.id, meter.product.id, *spoken(meter.way, opened)
        for pdu in self.pdus:
            yield pdu.id, pdu.product.id, *spoken(pdu.way, opened)
        for relay in self.relays:
            yield relay.id, relay.product.id, *spoken(relay.way, opened)
        if self.dispatch is not None:
            yield DISPATCH, "ramprig_dispatch", *spoken(self.dispatch, opened)
        for place in self.interfaces:
            yield place.id, place.product, place.address, str(place.table.port)
        if self.pool is not None:
            yield POOL, "stratum", self.pool, str(POOL_PORT)
        for miner in self.miners:
            if miner.firmware is not None:
                ports = ", ".join(str(port) for port in miner.firmware.ports.values())
                yield miner.id, f"{miner.model.id} / {miner.firmware.name}", miner.address, ports


def _told(place: MeterPlace | PduPlace) -> bool:
    """Whether a controller is told of a device: not of a real one on a serial port, whose one master is the bench."""
    return place.real is None or not place.way.serial


def lay_out(file: RigFile, origin: str) -> Layout:
    """Find, place and address all that a rig file names.

    Raises ConfigError with every problem: unknown model, firmware or product, a firmware that does not run on a model,
    two devices on one address, a subnet that is too small. `origin` names the file in messages.
    """
    return _Planner(file, origin).layout()


class _Planner:
    """Collects problems while it goes, so that a file with five mistakes is mended in one round."""

    def __init__(self, file: RigFile, origin: str) -> None:
        self._file = file
        self._origin = origin
        self._problems: list[str] = []
        self._ways = Ways(file, self._wrong)
        self._plan = AddressPlan(file.network, {feeder.id: "a feeder" for feeder in file.feeder}, self._wrong)

    def layout(self) -> Layout:
        miners: list[MinerPlace] = []
        pdus: list[PduPlace] = []
        self._place_gateways()
        for number, feeder in enumerate(self._file.feeder):
            first = len(miners)
            keys = [f"feeder[{number}].miners[{i}]" for i in range(len(feeder.miners))]
            found = [self._group(key, table) for key, table in zip(keys, feeder.miners, strict=True)]
            groups = [group for group in found if group is not None]
            product = self._try(f"feeder[{number}].pdu.product", load_pdu, feeder.pdu.product)
            if product is None or len(groups) < len(found):
                continue
            rows = range(first, first + sum(table.count for table in feeder.miners))
            here = list(self._pdus(f"feeder[{number}].pdu", feeder, product, rows, len(pdus)))
            pdus += here
            fed = {row: (pdu.id, outlet.id) for pdu in here for outlet in pdu.outlets for row in outlet.rows}
            for key, table, group in zip(keys, feeder.miners, groups, strict=True):
                for place in range(table.count):
                    row = len(miners)
                    address = self._plan.address(key, table.address, place, *self._plan.miner(row))
                    name = self._plan.named(f"miner-{row + 1:04d}", "a miner", address)
                    miners.append(MinerPlace(name, address, *group, feeder.id, *fed[row]))
        meters = list(self._meters())
        relays = tuple(self._relays())
        dispatch = None
        if self._file.dispatch:
            block = self._file.dispatch if isinstance(self._file.dispatch, DispatchTable) else DispatchTable()
            address = self._modbus_address("dispatch", block, 0, SIGNALS, 1)
            self._plan.named(DISPATCH, "the dispatch block", address)
            dispatch = self._ways.of("dispatch", DISPATCH, block, address)
        interfaces = tuple(self._interfaces())
        pool = None
        if self._file.pool:
            pool = self._plan.address("network.subnet", None, 0, 0, POOLS, 1)
            self._plan.named(POOL, "the pool", pool)
        tls = self._certificates()
        self._check_loads(pdus)
        self._check_commitment(miners)
        if self._problems:
            raise ConfigError(*dict.fromkeys(self._problems))
        gateways = self._ways.gateway_addresses
        return Layout(
            self._file, self._origin, tuple(miners), tuple(meters), tuple(pdus), dispatch, pool, gateways, tls, relays,
            interfaces,
        )  # fmt: skip

    def _check_loads(self, pdus: list[PduPlace]) -> None:
        """A load is cut by an outlet of its own feeder, or, counted at the point of interconnection, by any."""
        feeds = {outlet.id: pdu.table.id for pdu in pdus for outlet in pdu.outlets}
        for number, load in enumerate(self._file.load):
            if load.outlet is None:
                continue
            if load.outlet not in feeds:
                hint = did_you_mean(load.outlet, [*feeds])
                self._wrong(f"load[{number}].outlet: no outlet {load.outlet!r} on this rig{hint}")
            elif load.at not in (POI, feeds[load.outlet]):
                there = feeds[load.outlet]
                self._wrong(
                    f'load[{number}].outlet: {load.outlet!r} is on feeder "{there}" and the load is at "{load.at}"; '
                    f'write at = "{there}"'
                )

    def _check_commitment(self, miners: list[MinerPlace]) -> None:
        """More than all of the site can draw cannot be shed; what is left of it is for the verdict to say."""
        most_w = sum(place.model.nominal_w for place in miners)
        for load in self._file.load:
            if load.kind in ("house", "ai_training"):
                most_w += max(load.power, *(power for _, power in load.points), 0.0)
        if miners and self._file.commitment > _ROOM * most_w:
            self._wrong(
                f"commitment: {self._file.commitment / 1e3:g} kW is more than all that stands on this rig draws, "
                f"{most_w / 1e3:.4g} kW; write less, or more miners"
            )

    # ---- what ------------------------------------------------------------------------------------------------------

    def _group(
        self, key: str, table: MinersTable
    ) -> tuple[catalogue.MinerModel, catalogue.PhaseFamily, Firmware | None] | None:
        """Model, timing and firmware of a group of miners; None where the file is wrong about one of them."""
        model = self._try(f"{key}.model", catalogue.model, table.model)
        if table.firmware == MUTE:
            if table.phases is None:
                known = ", ".join(catalogue.family_ids())
                self._wrong(f"{key}.phases: is missing; a mute miner needs its timing, one of {known}")
                return None
            family = self._try(f"{key}.phases", catalogue.family, table.phases)
            return None if model is None or family is None else (model, family, None)
        if table.phases is not None:
            self._wrong(f'{key}.phases: only a "{MUTE}" miner needs it; {table.firmware} has its own timing, remove it')
        if table.firmware not in miners.names():
            hint = did_you_mean(table.firmware, [*miners.names(), MUTE])
            self._wrong(f'{key}.firmware: unknown firmware "{table.firmware}"{hint}')
            return None
        firmware = self._try(f"{key}.firmware", miners.load, table.firmware)
        if model is None or firmware is None:
            return None
        if not firmware.runs_on(model):
            runs = ", ".join(sorted(firmware.models))
            self._wrong(f"{key}.firmware: {firmware.name} does not run on {model.type_string}; it runs on {runs}")
            return None
        return model, catalogue.family(firmware.phases), firmware

    def _try(self, key: str, load: Callable[[str], Any], name: str) -> Any:
        try:
            return load(name)
        except (catalogue.CatalogueError, ProductError, miners.FirmwareError) as error:
            self._wrong(f"{key}: {error}")
            return None

    def _wrong(self, problem: str) -> None:
        self._problems.append(f"{self._origin}: {problem}")

    # ---- where -----------------------------------------------------------------------------------------------------

    def _pdus(self, key: str, feeder: FeederTable, product: PduProduct, rows: range, before: int) -> Iterator[PduPlace]:
        """The PDUs of a feeder, its miners dealt over their outlets in order."""
        groups = split(rows, feeder.pdu.count * product.outputs)
        for unit in range(feeder.pdu.count):
            number = before + unit + 1
            address = self._modbus_address(key, feeder.pdu, unit, PDUS, number)
            name = self._plan.named(f"pdu-{number:02d}", "a PDU", address)
            outlets = tuple(
                OutletSpec(self._plan.named(f"{name}.{index + 1}", "an outlet"), groups[unit * product.outputs + index])
                for index in range(product.outputs)
            )
            way = self._ways.of(key, name, feeder.pdu, address, unit)
            yield PduPlace(name, way.address, product, feeder, outlets, way)

    def _meters(self) -> Iterator[MeterPlace]:
        tables: list[tuple[str, str, str, MeterTable | None]] = [("meter", POI, POI, self._file.meter)]
        tables += [
            (f"feeder[{i}].meter", feeder.id, feeder.id, feeder.meter) for i, feeder in enumerate(self._file.feeder)
        ]
        tables += [(f"submeter[{i}]", table.id, table.at, table) for i, table in enumerate(self._file.submeter)]
        number = 0
        for key, called, measures, table in tables:
            if table is None:
                continue
            number += 1
            product = self._try(f"{key}.product", load_meter, table.product)
            address = self._modbus_address(key, table, 0, METERS, number)
            name = self._plan.named(f"meter-{called}", "a meter", address)
            way = self._ways.of(key, name, table, address)
            if product is not None:
                given = table.refresh.model_dump(exclude_none=True)
                refresh = {group: Refresh(period_ns, period_ns) for group, period_ns in given.items()}
                self._check_meter(key, table, product)
                yield MeterPlace(
                    name, way.address, product, way.unit, measures, refresh, table.base, table.settings, way,
                    table.provider,
                )  # fmt: skip

    def _check_meter(self, key: str, table: MeterTable, product: MeterProduct) -> None:
        if table.base is not None and table.base not in product.bases:
            bases = ", ".join(map(str, product.bases))
            self._wrong(f"{key}.base: the map of {product.id} does not begin at {table.base}; write one of {bases}")
        try:
            Settings(product.settings, table.unit, None, table.settings)
        except ValueError as error:
            self._wrong(f"{key}.settings: {error}")

    def _place_gateways(self) -> None:
        for number, table in enumerate(self._file.gateway, start=1):
            address = self._plan.address(f"gateway[{number - 1}]", table.address, 0, 0, GATEWAYS, number)
            self._ways.gateway_addresses[table.id] = address
            self._plan.named(table.id, "a gateway", address)
        for line in self._file.line:
            self._plan.named(line.id, "a line")

    def _certificates(self) -> ssl.SSLContext | None:
        table = self._file.tls
        if table is None:
            return None
        folder = Path(self._origin).parent
        try:
            return server_context(*(folder / name for name in (table.certificate, table.key, table.client_ca)))
        except SecurityError as error:
            self._wrong(f"tls: {error}")
            return None

    def _modbus_address(self, key: str, table: WireTable, plus: int, third: int, number: int) -> str:
        """The address of a device that has one of its own; "" for one on a line or behind a gateway."""
        return self._plan.address(key, table.address, plus, 0, third, number) if self._ways.own_address(table) else ""

    def _relays(self) -> Iterator[RelayPlace]:
        number = 0
        for index, feeder in enumerate(self._file.feeder):
            table, key = feeder.relay, f"feeder[{index}].relay"
            if table is None:
                continue
            product = self._try(f"{key}.product", load_relay, table.product)
            address = self._plan.address(key, table.address, 0, 0, SIGNALS, FIRST_RELAY + number)
            number += 1
            name = self._plan.named(f"relay-{feeder.id}", "a relay", address)
            if product is not None:
                for problem in problems_of(key, table, product):
                    self._wrong(problem)
                yield RelayPlace(name, address, product, table, feeder.id)

    def _interfaces(self) -> Iterator[SignalPlace]:
        for number, table in enumerate(self._file.signal):
            address = self._plan.address(f"signal[{number}]", table.address, 0, 0, SIGNALS, number + 2)
            yield SignalPlace(self._plan.named(name_of(table), "a signal", address), address, table)


def _load(table: LoadTable, seed: Seed) -> Signal:
    drawn = _drawn(table, seed)
    return drawn if table.outlet is None else SwitchedLoad(drawn)


def _drawn(table: LoadTable, seed: Seed) -> Signal:
    match table.kind:
        case "house":
            return loads.house(table.power, table.points)
        case "ai_training":
            return loads.ai_training(table.power, table.duration, seed, iteration_s=table.iteration * 1e-9)
        case "solar":
            return loads.solar(table.power, 0, table.duration)
        case _:
            return loads.wind(table.power, table.duration, seed)
