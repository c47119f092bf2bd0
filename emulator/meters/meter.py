"""A meter at work: true power, voltage and frequency become what its registers read at an instant.

Owns the update ticks, averaging windows, gain errors and counters of one instance; the register map comes from its
product, its parameters are in `settings.py`, the truth comes from the point it measures and from the grid.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from emulator.meters.quantities import GROUPS, QUANTITIES
from emulator.meters.settings import Settings
from emulator.modbus.pdu import ExceptionCode, ModbusError, Model
from emulator.modbus.registers import Bank, RegisterMap, Row, Source, Ticks
from emulator.modbus.tcp import PORT, ModbusTcpDevice
from emulator.wire import MINUTE, SECOND, Instant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from emulator.meters.product import MeterProduct, Refresh
    from emulator.seed import Seed
    from emulator.site import PowerPoint

_NEVER = -(2**63)
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_HEADROOM = 2.0
"""Scale factors leave room for twice the rated power (estimate)."""


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
    periods and windows by group, `settings` the initial values of its parameters by name. `base` is the address its
    map begins at, `rated_w` the power its scale factors are chosen for, `wall` the date at an instant. Before the run
    everything is taken to have stood still as it was at its start.

    Raises ValueError for a power factor outside (0, 1], for a refresh group, a base or a parameter that the product
    does not have.
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
        settings: Mapping[str, float] | None = None,
        base: int | None = None,
        rated_w: float | None = None,
        wall: Callable[[Instant], datetime] | None = None,
    ) -> None:
        if power_factor is not None and not 0.0 < power_factor <= 1.0:
            raise ValueError(f"power factor {power_factor} is outside 0 to 1")
        unknown = set(refresh or {}) - set(GROUPS)
        if unknown:
            raise ValueError(f"unknown refresh group {unknown.pop()!r}; there are {', '.join(GROUPS)}")
        if base is not None and base not in product.bases:
            raise ValueError(f"base {base}: the map of {product.id} begins at {', '.join(map(str, product.bases))}")
        self.product = product
        self.unit = unit
        self.functions = product.functions
        self.identity = product.identity
        self.gains = Gains(product, seed, gain)
        self.phases = product.phases
        self.power_factor = product.power_factor if power_factor is None else power_factor
        self.constants = product.constants
        self.refresh = {**product.refresh, **(refresh or {})}
        self.settings = Settings(product.settings, unit, seed, settings)
        self._point = point
        self._grid = grid
        self._exports = exports
        self._wall = wall
        self._ticks = {group: Ticks(self.refresh[group].period_ns, phase_ns) for group in GROUPS}
        self._power: tuple[Instant, float] = (_NEVER, 0.0)
        self._voltage: tuple[Instant, float] = (_NEVER, 0.0)
        self._counted: tuple[Instant, float, float] = (0, 0.0, 0.0)
        self._set_factors(product.rated_w if rated_w is None else rated_w)
        base = product.bases[0] if base is None else base
        self._maps = {"input": self._placed(product.input, base)}
        same = product.holding is product.input
        self._maps["holding"] = self._maps["input"] if same else self._placed(product.holding, base)
        self._lay_out()

    def device(self, port: int = PORT) -> ModbusTcpDevice:
        """The meter on TCP."""
        return ModbusTcpDevice({self.unit: self}, self.product.link, port)

    def value(self, quantity: str, now: Instant) -> float:
        """What the meter shows of `quantity` at `now`, before the register's resolution.

        Raises KeyError for a name that `emulator.meters.quantities` does not have.
        """
        found = QUANTITIES[quantity]
        return found.at(self, self._ticks[found.group].last(now))

    # What the registers read and take (DataModel) --------------------------------------------------------------------

    def read_input_registers(self, address: int, count: int, now: Instant) -> bytes:
        """Measured values, frozen since the last update tick, and parameters as they are."""
        if count == 1:
            code = self.product.singles.get(address, self.product.type_code_input)
            if code is not None:
                return code.to_bytes(2, "big")
        if count > self.product.max_registers:
            raise ModbusError(self.product.over_limit_exception)
        return self._input.read(address, count, now)

    def read_holding_registers(self, address: int, count: int, now: Instant) -> bytes:
        """Measured values, frozen since the last update tick, and parameters as they are."""
        if count == 1:
            code = self.product.singles.get(address, self.product.type_code_holding)
            if code is not None:
                return code.to_bytes(2, "big")
        if count > self.product.max_registers:
            raise ModbusError(self.product.over_limit_exception)
        return self._holding.read(address, count, now)

    def write_register(self, address: int, word: int, now: Instant) -> None:
        """Set a parameter of one register."""
        self.write_registers(address, word.to_bytes(2, "big"), now)

    def write_registers(self, address: int, words: bytes, now: Instant) -> None:
        """Set parameters; exception 02 unless whole ones are covered, 03 when one is locked or refuses the value."""
        rows = self._holding.registers.covered(address, len(words) // 2)
        if rows is None or (self.product.one_write and len(rows) > 1):
            raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
        turned = self.settings.turned
        self.settings.write(rows, words, now)
        if self.settings.turned != turned:
            self._lay_out()
        self._input.forget()
        self._holding.forget()

    def _lay_out(self) -> None:
        """Put the tables together in the word order that is set; one that stands twice is computed once."""

        def bank(registers: RegisterMap) -> Bank:
            return Bank(registers.turned() if self.settings.turned else registers, self._source, self._ticks)

        first, second = self._maps["input"], self._maps["holding"]
        self._input = bank(first)
        self._holding = self._input if first is second else bank(second)

    def _placed(self, registers: RegisterMap, base: int) -> RegisterMap:
        """The product's table as it stands in this meter: from `base` on, with its scale factors."""

        def placed(row: Row) -> Row:
            scale = row.scale * 10.0 ** self.settings[row.factor] if row.factor else row.scale
            return replace(row, address=row.address + base, scale=scale)

        return registers.changed(placed) if base or any(row.factor for row in registers.rows) else registers

    def _set_factors(self, rated_w: float) -> None:
        """Choose each scale factor as small as the rated values allow."""
        for name, setting in self.product.settings.items():
            if setting.role != "factor":
                continue
            exponent = self.settings[name]
            rows = [row for row in self.product.holding.rows if row.factor == name]
            while exponent < setting.high and any(self._rating(row, rated_w) > 32767 * 10.0**exponent for row in rows):
                exponent += 1
            self.settings.factor(name, exponent)

    def _rating(self, row: Row, rated_w: float) -> float:
        """What `row` must be able to hold, as its register shows it with an exponent of 0."""
        voltage_v = _HEADROOM * self._point.voltage_v(0)
        sizes = {"w": _HEADROOM * rated_w, "va": _HEADROOM * rated_w / self.power_factor, "v": voltage_v}
        sizes |= {"var": sizes["va"], "a": 2.0 * _HEADROOM * sizes["va"] / voltage_v if voltage_v else 0.0}
        return sizes.get(row.quantity.rpartition("_")[2], 0.0) / row.scale

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
            by_current, by_voltage = self.settings.errors(tick)
            self._power = (tick, true_w * self.gains.power * by_current * by_voltage)
        return self._power[1]

    def voltage_v(self, tick: Instant) -> float:
        """Mean of the voltages at both ends of the window before `tick`: exact for a ramp, half-way for a step."""
        if tick != self._voltage[0]:
            start = max(0, tick - self.refresh["power"].window_ns)
            true_v = 0.5 * (self._point.voltage_v(start) + self._point.voltage_v(max(0, tick)))
            self._voltage = (tick, true_v * self.gains.voltage * self.settings.errors(tick)[1])
        return self._voltage[1]

    def energy_j(self, tick: Instant) -> tuple[float, float]:
        """Imported and exported energy from the start of the run to `tick`; counters stand at 0 when the run starts."""
        if tick <= 0:
            return 0.0, 0.0
        if not self._exports:
            net_j = self._metered_j(0, tick)
            return max(net_j, 0.0), max(-net_j, 0.0)
        counted, imported_j, exported_j = self._counted if self._counted[0] <= tick else (0, 0.0, 0.0)
        step_ns = self._ticks["energy"].period_ns
        while counted < tick:
            stop = min(tick, self._ticks["energy"].last(counted) + step_ns)
            net_j = self._metered_j(counted, stop)
            imported_j += max(net_j, 0.0)
            exported_j += max(-net_j, 0.0)
            counted = stop
        self._counted = (counted, imported_j, exported_j)
        return imported_j, exported_j

    def demand_w(self, tick: Instant) -> float:
        """Mean power over the demand period that ends at `tick`; the setting 0 means the present power."""
        period_ns = round(self.settings.get("demand_period_min", 0.0) * MINUTE)
        start = max(0, tick - period_ns)
        if period_ns == 0 or tick <= start:
            return self.power_w(self._ticks["power"].last(tick))
        return self._metered_j(start, tick) * SECOND / (tick - start)

    def ratios(self, tick: Instant) -> tuple[float, float]:
        """Primary over secondary of the current and of the voltage transformers, as the meter is set."""
        return self.settings.ratios(tick)

    def wall(self, tick: Instant) -> datetime:
        """The meter's own clock; it stands at the beginning of 2026 when the run starts unless it was told the date."""
        return self._wall(tick) if self._wall is not None else _EPOCH + timedelta(microseconds=tick // 1000)

    def _metered_j(self, start: Instant, stop: Instant) -> float:
        """Net energy as the meter counts it, each part with the transformer ratios that were set then."""
        total_j = 0.0
        for since, until in pairwise([start, *self.settings.edges(start, stop), stop]):
            by_current, by_voltage = self.settings.errors(since)
            total_j += self._point.energy_j(since, until) * by_current * by_voltage
        return total_j * self.gains.power

    def _source(self, quantity: str) -> Source:
        if quantity in self.product.settings:
            return Source("", lambda _now: self.settings[quantity])
        found = QUANTITIES[quantity]
        return Source(found.group, functools.partial(found.at, self))
