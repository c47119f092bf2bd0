"""The way to each Modbus device of a rig: address and port, or serial line and unit.

Owns the checks that need the whole file (lines and gateways that exist, unit ids that are free) and what inventory and
listings say of a way; bringing it to life is `bench/wiring.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.config import did_you_mean
from bench.rig_wires import CharactersTable
from emulator.modbus import mbap, secure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.rig_file import RigFile
    from bench.rig_wires import GatewayTable, LineTable, RealTable, WireTable
    from emulator.modbus.serial_format import SerialFormat

_LAST_UNIT = 247


@dataclass(frozen=True, slots=True)
class Way:
    """How one device is reached. On a serial line there is neither address nor port; `bus` names line or gateway."""

    transport: str
    unit: int
    address: str = ""
    port: int = 0
    bus: str = ""

    @property
    def serial(self) -> bool:
        """Whether a program opens a serial port to reach it."""
        return self.transport in ("rtu", "ascii")


def plain(address: str, unit: int = 1) -> Way:
    """The ordinary way: Modbus TCP at an address of its own."""
    return Way("tcp", unit, address, mbap.PORT)


class Ways:
    """Finds the way to each device, and says what is wrong with it through `wrong`."""

    def __init__(self, file: RigFile, wrong: Callable[[str], None]) -> None:
        self.lines: dict[str, LineTable] = {line.id: line for line in file.line}
        self.gateways: dict[str, GatewayTable] = {gateway.id: gateway for gateway in file.gateway}
        self.gateway_addresses: dict[str, str] = {}
        self._has_tls = file.tls is not None
        self._wrong = wrong
        self._units: dict[tuple[str, int], str] = {}
        self._ports: dict[str, dict[str, object]] = {}
        """Serial port of the machine -> how the first real device on it is spoken to."""

    def own_address(self, table: WireTable) -> bool:
        """Whether the device stands on an address of its own."""
        return table.line is None and table.gateway is None and table.provider is None

    def of(self, key: str, name: str, table: WireTable, address: str, further: int = 0) -> Way:
        """The way to device `name`, the `further`-th of its table (from 0); `address` is its own, if it has one."""
        if table.provider is not None:
            return self._real(key, table, table.provider)
        if table.line is not None:
            line = self.lines.get(table.line)
            if line is None:
                self._wrong(f"{key}.line: there is no line {table.line!r}{did_you_mean(table.line, self.lines)}")
                return Way("rtu", table.unit)
            unit = self._unit(key, name, table.unit + further, line.id, shared=line.collisions)
            return Way(line.kind, unit, bus=line.id)
        if table.gateway is not None:
            gateway = self.gateways.get(table.gateway)
            if gateway is None:
                hint = did_you_mean(table.gateway, self.gateways)
                self._wrong(f"{key}.gateway: there is no gateway {table.gateway!r}{hint}")
                return Way("tcp", table.unit)
            unit = self._unit(key, name, table.unit + further, gateway.id, shared=False)
            return Way("tcp", unit, self.gateway_addresses.get(gateway.id, ""), gateway.port, gateway.id)
        if table.transport == "tls" and not self._has_tls:
            self._wrong(
                f'{key}.transport: "tls" needs a [tls] table with certificate, key, client_ca and roles; '
                "`ramprig certificates FOLDER` makes a set for trials"
            )
        port = table.port or (secure.PORT if table.transport == "tls" else mbap.PORT)
        return Way(table.transport, table.unit, address, port)

    def _real(self, key: str, table: WireTable, provider: RealTable) -> Way:
        """The way to a real device; the bench opens a serial port once, for all that hang on it."""
        if not provider.serial:
            return Way(provider.transport, table.unit, provider.address or "", provider.port)
        device = provider.device or ""
        spoken = {name: getattr(provider, name) for name in ("transport", *CharactersTable.model_fields, "timeout")}
        for name, value in self._ports.setdefault(device, spoken).items():
            if spoken[name] != value:
                self._wrong(f"{key}.provider.{name}: {device} is in use with another {name}; write the same for both")
        if device in {line.port for line in self.lines.values()}:
            self._wrong(f"{key}.provider.device: a [[line]] answers on {device}; a port has one use, name another")
        return Way(provider.transport, table.unit, bus=device)

    def _unit(self, key: str, name: str, unit: int, bus: str, *, shared: bool) -> int:
        if unit > _LAST_UNIT:
            self._wrong(f"{key}.unit: {name} would be unit {unit}; {_LAST_UNIT} is the last one, begin lower")
        taken = self._units.setdefault((bus, unit), name)
        if taken != name and not shared:
            self._wrong(
                f"{key}.unit: {name} and {taken} are both unit {unit} on {bus}; give one of them another unit"
                + (", or write collisions = true on the line if they are to speak at once" if bus in self.lines else "")
            )
        return unit


def serial_format(table: CharactersTable) -> SerialFormat:
    """The settings of a line as the emulator knows them."""
    from emulator.modbus.serial_format import Parity, SerialFormat

    return SerialFormat(table.baud, Parity(table.parity), table.stop_bits, table.data_bits)


def entry(
    name: str, product: str, way: Way, lines: Mapping[str, LineTable], paths: Mapping[str, str]
) -> dict[str, Any]:
    """What the inventory says of a device; `paths` has what a program opens to get at a line."""
    line = lines.get(way.bus) if way.serial else None
    return {
        "id": name,
        "product": product,
        "transport": way.transport,
        "address": way.address or None,
        "port": way.port or None,
        "unit": way.unit,
        "line": None
        if line is None
        else {
            "id": line.id,
            "path": paths.get(line.id, line.port),
            "baud": line.baud,
            "parity": line.parity,
            "data_bits": line.data_bits,
            "stop_bits": line.stop_bits,
        },
    }


def spoken(way: Way, paths: Mapping[str, str]) -> tuple[str, str]:
    """Where and how, for people: address and port, or port of the machine and unit."""
    if way.serial:
        return paths.get(way.bus, way.bus), f"{way.transport}, unit {way.unit}"
    how = str(way.port) if way.transport == "tcp" else f"{way.port} {way.transport}"
    return way.address, f"{how}, unit {way.unit}" if way.bus else how
