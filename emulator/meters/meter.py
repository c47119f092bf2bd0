"""A meter at work: what its registers read at an instant, and what writing them does.

Owns the update ticks and the register tables of one instance; what it measures is in `measuring.py`, its parameters
are in `settings.py`, the map comes from its product.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from emulator.meters.measuring import Gains, Mains, Sensor
from emulator.meters.quantities import GROUPS, QUANTITIES
from emulator.meters.settings import Settings
from emulator.modbus.pdu import READ_HOLDING_REGISTERS, READ_INPUT_REGISTERS, ExceptionCode, ModbusError, Model
from emulator.modbus.registers import Bank, RegisterMap, Row, Source, Ticks
from emulator.modbus.tcp import PORT, ModbusTcpDevice
from emulator.wire import Instant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from emulator.meters.product import MeterProduct, Refresh
    from emulator.seed import Seed
    from emulator.site import PowerPoint

_DIAGNOSTICS = 0x08
_ECHO_BYTES = 5
_HEADROOM = 2.0
"""Scale factors leave room for twice the rated power (estimate)."""


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
        unknown = set(refresh or {}) - set(product.refresh)
        if unknown:
            raise ValueError(f"unknown refresh group {unknown.pop()!r}; there are {', '.join(product.refresh)}")
        if base is not None and base not in product.bases:
            raise ValueError(f"base {base}: the map of {product.id} begins at {', '.join(map(str, product.bases))}")
        self.product = product
        self.unit = unit
        self.functions = product.functions
        self.identity = product.identity
        self.gains = Gains(product, seed, gain)
        self.refresh = {**product.refresh, **(refresh or {})}
        self.settings = Settings(product.settings, unit, seed, settings)
        self._point = point
        self._ticks = {group: Ticks(each.period_ns, phase_ns) for group, each in self.refresh.items()}
        power_factor = product.power_factor if power_factor is None else power_factor

        def sensor(frequency: str, power: str) -> Sensor:
            windows = {"frequency": self.refresh[frequency].window_ns, "power": self.refresh[power].window_ns}
            return Sensor(
                product, point, grid, self.settings, self.gains, windows, self._ticks,
                power_factor=power_factor, exports=exports, wall=wall,
            )  # fmt: skip

        self._sensor = sensor("frequency", "power")
        self._fast = {group: sensor(group, group) for group in self.refresh if group not in GROUPS}
        self.power_factor = power_factor
        self._set_factors(product.rated_w if rated_w is None else rated_w)
        base = product.bases[0] if base is None else base
        self._maps = {"input": self._placed(product.input, base)}
        same = product.holding is product.input
        self._maps["holding"] = self._maps["input"] if same else self._placed(product.holding, base)
        self._lay_out()

    def tables(self) -> dict[int, RegisterMap]:
        """What stands behind functions 3 and 4 at present."""
        return {READ_HOLDING_REGISTERS: self._holding.registers, READ_INPUT_REGISTERS: self._input.registers}

    def device(self, port: int = PORT) -> ModbusTcpDevice:
        """The meter on TCP."""
        return ModbusTcpDevice({self.unit: self}, self.product.link, port)

    def value(self, quantity: str, now: Instant) -> float:
        """What the meter shows of `quantity` at `now`, before the register's resolution.

        Raises KeyError for a name that `emulator.meters.quantities` does not have.
        """
        found = QUANTITIES[quantity]
        return found.at(self._sensor, self._ticks[found.group].last(now))

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

    def lasts_until(self, function: int, address: int, count: int, now: Instant) -> Instant:
        """Measured values read the same until the next update tick of one of them, parameters until the next write.

        Nothing is said of what the product answers apart from its tables.
        """
        single, bank = (
            (self.product.type_code_input, self._input)
            if function == READ_INPUT_REGISTERS
            else (self.product.type_code_holding, self._holding)
        )
        is_code = count == 1 and self.product.singles.get(address, single) is not None
        if is_code or function not in (READ_HOLDING_REGISTERS, READ_INPUT_REGISTERS):
            return now
        return bank.lasts_until(address, count, now)

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
        """Set parameters; exception 02 unless whole ones are covered, 03 when one is locked or refuses the value.

        Where the product lets a client write a part of a parameter, its other words stay as they are.
        """
        rows = self._holding.registers.covered(address, len(words) // 2)
        if not rows or (self.product.one_write and len(rows) > 1):
            raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
        start, stop = rows[0].address, rows[-1].address + rows[-1].registers
        if len(words) != 2 * (stop - start):
            if not self.product.partial_writes:
                raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
            present, at = self._holding.read(start, stop - start, now), 2 * (address - start)
            words = present[:at] + words + present[at + len(words) :]
        turned = self.settings.turned
        self.settings.write(rows, words, now)
        if self.settings.turned != turned:
            self._lay_out()
        self._input.forget()
        self._holding.forget()
        self.changes += 1  # also where the writer stands behind something that does not count

    def other(self, pdu: bytes, now: Instant) -> bytes:
        """Function 8: the meters that have it return what is sent with sub-function 0, and refuse the others."""
        if pdu[0] != _DIAGNOSTICS or pdu[1:3] != b"\x00\x00" or len(pdu) != _ECHO_BYTES:
            raise ModbusError(ExceptionCode.ILLEGAL_FUNCTION)
        return pdu

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

    def _source(self, quantity: str) -> Source:
        if quantity in self.product.settings:
            return Source("", lambda _now: self.settings[quantity])
        name, _, group = quantity.partition("@")
        found = QUANTITIES[name]
        sensor = self._fast[group] if group else self._sensor
        return Source(group or found.group, functools.partial(found.at, sensor))
