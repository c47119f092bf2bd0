"""A meter at work: true power, voltage and frequency become what its registers read at an instant.

Owns the update ticks, averaging windows, gain errors, counters and settings of one instance; the register map comes
from its product, the truth from the point it measures and from the grid.
"""

from __future__ import annotations

import functools
import struct
from typing import TYPE_CHECKING, Protocol

from emulator.meters.quantities import GROUPS, QUANTITIES
from emulator.modbus.pdu import READ_INPUT_REGISTERS, ExceptionCode, ModbusError, Model
from emulator.modbus.registers import Bank, Source, Ticks
from emulator.modbus.tcp import PORT, ModbusTcpDevice
from emulator.wire import MINUTE, SECOND, Instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.meters.product import MeterProduct, Refresh
    from emulator.seed import Seed
    from emulator.site import PowerPoint

_NEVER = -(2**63)


class Mains(Protocol):
    """What a meter sees of the grid."""

    def frequency_hz(self, at: Instant) -> float:
        """True frequency."""
        ...

    def mean_frequency_hz(self, start: Instant, stop: Instant) -> float:
        """Exact mean."""
        ...


class Gains:
    """Measured over true value of one instance, each within the product's promise. Without a seed the meter is exact.

    Current is not measured apart: its gain is that of power over that of voltage.
    """

    __slots__ = ("frequency", "power", "voltage")

    def __init__(self, product: MeterProduct, seed: Seed | None, power: float | None = None) -> None:
        self.voltage = self.frequency = self.power = 1.0
        if seed is not None:
            promise = product.accuracy
            drawn = (seed / "gain").normals(3)
            self.voltage = 1.0 + _within(drawn[0] * promise.voltage_sigma, promise.voltage_limit)
            current = 1.0 + _within(drawn[1] * promise.current_sigma, promise.current_limit)
            self.power = 1.0 + _within(self.voltage * current - 1.0, promise.power_limit)
            self.frequency = 1.0 + _within(drawn[2] * promise.frequency_sigma, promise.frequency_limit)
        if power is not None:
            self.power = power


def _within(error: float, limit: float) -> float:
    return float(min(limit, max(-limit, error)))


class Meter(Model):
    """One meter. Everything it shows is a function of the instant asked for; nothing runs between two requests.

    `phase_ns` shifts its update ticks against the run's start. `gain` sets measured over true power, else it is drawn
    from `seed`. `exports` says that power may flow out here: import and export are then counted apart, update by
    update, which costs one energy query for each update since the last request. `refresh` replaces the product's
    periods and windows by group. Before the run everything is taken to have stood still as it was at its start.

    Raises ValueError for a power factor outside (0, 1] and for a refresh group that does not exist.
    """

    def __init__(
        self,
        product: MeterProduct,
        point: PowerPoint,
        grid: Mains,
        phase_ns: int = 0,
        unit: int = 1,
        seed: Seed | None = None,
        *,
        gain: float | None = None,
        power_factor: float | None = None,
        exports: bool = False,
        refresh: Mapping[str, Refresh] | None = None,
    ) -> None:
        if power_factor is not None and not 0.0 < power_factor <= 1.0:
            raise ValueError(f"power factor {power_factor} is outside 0 to 1")
        unknown = set(refresh or {}) - set(GROUPS)
        if unknown:
            raise ValueError(f"unknown refresh group {unknown.pop()!r}; there are {', '.join(GROUPS)}")
        self.product = product
        self.unit = unit
        self.functions = product.functions
        self.gains = Gains(product, seed, gain)
        self.power_factor = product.power_factor if power_factor is None else power_factor
        self.constants = product.constants
        self.refresh = {**product.refresh, **(refresh or {})}
        self._point = point
        self._grid = grid
        self._exports = exports
        self._ticks = {group: Ticks(self.refresh[group].period_ns, phase_ns) for group in GROUPS}
        self._bank = Bank(product.input, self._source, self._ticks)
        self._settings = {name: setting.initial for name, setting in product.settings.items()}
        for name, setting in product.settings.items():
            if setting.role == "unit":
                self._settings[name] = float(unit)
            elif setting.role == "serial" and seed is not None:
                self._settings[name] = float((seed / "serial").key % 100_000_000)
        self._unlocked = False
        self._power: tuple[Instant, float] = (_NEVER, 0.0)
        self._voltage: tuple[Instant, float] = (_NEVER, 0.0)
        self._counted: tuple[Instant, float, float] = (0, 0.0, 0.0)

    def device(self, port: int = PORT) -> ModbusTcpDevice:
        """The meter on TCP."""
        return ModbusTcpDevice({self.unit: self}, self.product.link, port)

    def value(self, quantity: str, now: Instant) -> float:
        """What the meter shows of `quantity` at `now`, before the register's resolution.

        Raises KeyError for a name that `emulator.meters.quantities` does not have.
        """
        found = QUANTITIES[quantity]
        return found.at(self, self._ticks[found.group].last(now))

    # What the registers read (DataModel) -----------------------------------------------------------------------------

    def read_input_registers(self, address: int, count: int, now: Instant) -> bytes:
        """The measured values, frozen since the last update tick."""
        if count == 1 and self.product.type_code_input is not None:
            return self.product.type_code_input.to_bytes(2, "big")
        if count > self.product.max_registers:
            raise ModbusError(self.product.over_limit_exception)
        return self._bank.read(address, count, now)

    def lasts_until(self, function: int, address: int, count: int, now: Instant) -> Instant:
        """Measured values read the same until the next update tick of one of them."""
        return self._bank.lasts_until(address, count, now) if function == READ_INPUT_REGISTERS else now

    def read_holding_registers(self, address: int, count: int, now: Instant) -> bytes:
        """The settings."""
        if count == 1 and self.product.type_code_holding is not None:
            return self.product.type_code_holding.to_bytes(2, "big")
        if count > self.product.max_registers:
            raise ModbusError(self.product.over_limit_exception)
        return self.product.holding.read(address, count, self._settings.__getitem__)

    def write_registers(self, address: int, words: bytes, now: Instant) -> None:
        """Set one parameter; exception 02 unless exactly one is covered, 03 when it is locked or refuses the value."""
        row = self.product.holding.row_at(address)
        if row is None or row.address != address or len(words) != 2 * row.registers:
            raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
        setting = self.product.settings[row.quantity]
        if setting.role == "serial":
            raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
        (value,) = struct.unpack(">f", words)
        if setting.role == "lock":
            self._unlocked = False
        elif setting.role == "password":
            self._unlocked = value == setting.initial
        elif not setting.accepts(value) or (setting.locked and not self._unlocked):
            raise ModbusError(ExceptionCode.ILLEGAL_DATA_VALUE)
        else:
            self._settings[row.quantity] = value

    # What it measures at a tick (quantities.Measuring) ---------------------------------------------------------------

    def frequency_hz(self, tick: Instant) -> float:
        """Mean over the frequency window before `tick`."""
        start, grid = max(0, tick - self.refresh["frequency"].window_ns), self._grid
        true_hz = grid.mean_frequency_hz(start, tick) if tick > start else grid.frequency_hz(0)
        return true_hz * self.gains.frequency

    def power_w(self, tick: Instant) -> float:
        """Mean over the power window before `tick`: a difference of two energies."""
        if tick != self._power[0]:
            start, point = max(0, tick - self.refresh["power"].window_ns), self._point
            true_w = point.energy_j(start, tick) * SECOND / (tick - start) if tick > start else point.power_w(0)
            self._power = (tick, true_w * self.gains.power)
        return self._power[1]

    def voltage_v(self, tick: Instant) -> float:
        """Mean of the voltages at both ends of the window before `tick`: exact for a ramp, half-way for a step."""
        if tick != self._voltage[0]:
            start = max(0, tick - self.refresh["power"].window_ns)
            true_v = 0.5 * (self._point.voltage_v(start) + self._point.voltage_v(max(0, tick)))
            self._voltage = (tick, true_v * self.gains.voltage)
        return self._voltage[1]

    def energy_j(self, tick: Instant) -> tuple[float, float]:
        """Imported and exported energy from the start of the run to `tick`; counters stand at 0 when the run starts."""
        if tick <= 0:
            return 0.0, 0.0
        if not self._exports:
            if tick != self._counted[0]:
                net_j = self._point.energy_j(0, tick) * self.gains.power
                self._counted = (tick, max(net_j, 0.0), max(-net_j, 0.0))
            return self._counted[1:]
        counted, imported_j, exported_j = self._counted if self._counted[0] <= tick else (0, 0.0, 0.0)
        step_ns = self._ticks["energy"].period_ns
        while counted < tick:
            stop = min(tick, self._ticks["energy"].last(counted) + step_ns)
            net_j = self._point.energy_j(counted, stop) * self.gains.power
            imported_j += max(net_j, 0.0)
            exported_j += max(-net_j, 0.0)
            counted = stop
        self._counted = (counted, imported_j, exported_j)
        return imported_j, exported_j

    def demand_w(self, tick: Instant) -> float:
        """Mean power over the demand period that ends at `tick`; the setting 0 means the present power."""
        period_ns = round(self._settings.get("demand_period_min", 0.0) * MINUTE)
        start = max(0, tick - period_ns)
        if period_ns == 0 or tick <= start:
            return self.power_w(self._ticks["power"].last(tick))
        return self._point.energy_j(start, tick) * SECOND / (tick - start) * self.gains.power

    def _source(self, quantity: str) -> Source:
        found = QUANTITIES[quantity]
        return Source(found.group, functools.partial(found.at, self))
