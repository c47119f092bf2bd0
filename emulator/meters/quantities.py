"""The quantities a meter can show, by name, and how each follows from what it measures.

Owns the names (each ends in its unit) and the electrical relations of a balanced load; when and over which time things
are measured is the meter's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from emulator.wire import Instant

GROUPS = ("frequency", "power", "energy")
"""Values that are renewed together."""

ABSENT = "absent"
"""The quantity a product does not have: its register shows the map's pattern for "no value"."""

_JOULES_PER_KWH = 3.6e6
_MEAN_LINE_RATIO = {1: 1.0, 2: 2.0, 3: math.sqrt(3.0)}
"""Voltage between lines over voltage to neutral; one line has no other, two are the halves of a split phase."""


class Measuring(Protocol):
    """What a meter measures at an update tick; the arguments are ticks of the group the name belongs to."""

    phases: int
    """Lines that carry the load, 1 to 3; each carries the same share."""
    power_factor: float
    constants: Mapping[str, float]

    def frequency_hz(self, tick: Instant) -> float:
        """Mean over the window before `tick`."""
        ...

    def power_w(self, tick: Instant) -> float:
        """Mean active power over the window before `tick`; positive: consumption."""
        ...

    def voltage_v(self, tick: Instant) -> float:
        """Mean voltage, line to neutral."""
        ...

    def energy_j(self, tick: Instant) -> tuple[float, float]:
        """Imported and exported energy counted up to `tick`, both positive."""
        ...

    def demand_w(self, tick: Instant) -> float:
        """Mean power over the demand period."""
        ...

    def ratios(self, tick: Instant) -> tuple[float, float]:
        """Primary over secondary of the current and of the voltage transformers, as the meter is set."""
        ...

    def wall(self, tick: Instant) -> datetime:
        """The meter's own clock."""
        ...


Formula = Callable[[Measuring, Instant], float]


@dataclass(frozen=True, slots=True)
class Quantity:
    """A named value: the group it is renewed with and its formula. `counter`: it only grows, until it rolls over."""

    group: str
    at: Formula
    counter: bool = False


def _apparent_va(meter: Measuring, tick: Instant) -> float:
    return abs(meter.power_w(tick)) / meter.power_factor


def _angle_deg(meter: Measuring, _tick: Instant) -> float:
    return math.degrees(math.acos(meter.power_factor))


def _tangent(meter: Measuring) -> float:
    return math.tan(math.acos(meter.power_factor))


def _reactive_var(meter: Measuring, tick: Instant) -> float:
    return meter.power_w(tick) * _tangent(meter)


def _signed_power_factor(meter: Measuring, tick: Instant) -> float:
    # Eastron's note: the sign of the power factor tells the direction of the current.
    return math.copysign(meter.power_factor, meter.power_w(tick))


def _power_factor(meter: Measuring, _tick: Instant) -> float:
    return meter.power_factor


def _balanced(_meter: Measuring, _tick: Instant) -> float:
    """All lines carry the same: nothing is unbalanced."""
    return 0.0


def _current_sum_a(meter: Measuring, tick: Instant) -> float:
    """The lines' currents together, I = P / (V PF)."""
    voltage_v = meter.voltage_v(tick)
    return _apparent_va(meter, tick) / voltage_v if voltage_v > 0.0 else 0.0


def _neutral_a(meter: Measuring, tick: Instant) -> float:
    """A balanced load on two or three lines sends nothing home through the neutral."""
    return _current_sum_a(meter, tick) if meter.phases == 1 else 0.0


def _line_voltage_v(meter: Measuring, tick: Instant) -> float:
    return _MEAN_LINE_RATIO[meter.phases] * meter.voltage_v(tick)


def _each(formula: Formula) -> Formula:
    """One line's share."""
    return lambda meter, tick: formula(meter, tick) / meter.phases


def _import_kwh(meter: Measuring, tick: Instant) -> float:
    return meter.energy_j(tick)[0] / _JOULES_PER_KWH


def _export_kwh(meter: Measuring, tick: Instant) -> float:
    return meter.energy_j(tick)[1] / _JOULES_PER_KWH


def _total_kwh(meter: Measuring, tick: Instant) -> float:
    return sum(meter.energy_j(tick)) / _JOULES_PER_KWH


def _net_kwh(meter: Measuring, tick: Instant) -> float:
    return _import_kwh(meter, tick) - _export_kwh(meter, tick)


def _reactive(formula: Formula) -> Formula:
    return lambda meter, tick: formula(meter, tick) * _tangent(meter)


def _apparent(formula: Formula) -> Formula:
    return lambda meter, tick: formula(meter, tick) / meter.power_factor


def _constant(name: str) -> Formula:
    return lambda meter, _tick: meter.constants[name]


def _secondary(name: str, formula: Formula) -> Formula:
    """What flows in the meter itself: behind the transformers, before the ratios are multiplied in."""
    current = not name.startswith("voltage")
    voltage = not name.startswith("current")

    def at(meter: Measuring, tick: Instant) -> float:
        by_current, by_voltage = meter.ratios(tick)
        return formula(meter, tick) / ((by_current if current else 1.0) * (by_voltage if voltage else 1.0))

    return at


_POWER: Formula = lambda meter, tick: meter.power_w(tick)  # noqa: E731 - a protocol's method is no Formula
_VOLTAGE: Formula = lambda meter, tick: meter.voltage_v(tick)  # noqa: E731

_COUNTERS: Mapping[str, Formula] = {"import": _import_kwh, "export": _export_kwh, "total": _total_kwh, "net": _net_kwh}
_ENERGIES: Mapping[str, Formula] = {
    **{f"{name}{{}}_kwh": formula for name, formula in _COUNTERS.items()},
    **{f"{name}{{}}_kvarh": _reactive(formula) for name, formula in _COUNTERS.items()},
    **{f"{name}{{}}_kvah": _apparent(formula) for name, formula in _COUNTERS.items()},
}
_INSTANT: Mapping[str, Formula] = {
    "power_w": _POWER,
    "apparent_va": _apparent_va,
    "reactive_var": _reactive_var,
    "power_factor": _signed_power_factor,
    "power_factor_unsigned": _power_factor,
    "phase_angle_deg": _angle_deg,
    "voltage_mean_v": _VOLTAGE,
    "voltage_line_mean_v": _line_voltage_v,
    "current_mean_a": _each(_current_sum_a),
    "current_sum_a": _current_sum_a,
    "current_neutral_a": _neutral_a,
    "thd_voltage_mean_percent": _constant("thd_voltage_percent"),
    "unbalance_voltage_percent": _balanced,
    "unbalance_current_percent": _balanced,
}
_LINES: Mapping[str, Formula] = {
    "voltage_{}_v": _VOLTAGE,
    "current_{}_a": _each(_current_sum_a),
    "power_{}_w": _each(_POWER),
    "apparent_{}_va": _each(_apparent_va),
    "reactive_{}_var": _each(_reactive_var),
    "power_factor_{}": _signed_power_factor,
    "power_factor_unsigned_{}": _power_factor,
    "phase_angle_{}_deg": _angle_deg,
    "thd_voltage_{}_percent": _constant("thd_voltage_percent"),
    "thd_current_{}_percent": _constant("thd_current_percent"),
}
_PRIMARY: Mapping[str, Formula] = {
    **_INSTANT,
    **{name.format(f"l{line}"): formula for name, formula in _LINES.items() for line in (1, 2, 3)},
    **{f"voltage_{pair}_v": _line_voltage_v for pair in ("l1_l2", "l2_l3", "l3_l1")},
}
_CLOCK: Mapping[str, Callable[[datetime], int]] = {
    "clock_year": lambda now: now.year,
    "clock_year_of_century": lambda now: now.year % 100,
    "clock_month": lambda now: now.month,
    "clock_day": lambda now: now.day,
    "clock_hour": lambda now: now.hour,
    "clock_minute": lambda now: now.minute,
    "clock_second": lambda now: now.second,
    "clock_month_day": lambda now: now.month << 8 | now.isoweekday() % 7 + 1 << 5 | now.day,
    "clock_hour_minute": lambda now: now.hour << 8 | now.minute,
    "clock_millisecond": lambda now: now.second * 1000 + now.microsecond // 1000,
    "clock_unix_s": lambda now: int(now.timestamp()),
}


def _clock(read: Callable[[datetime], int]) -> Formula:
    return lambda meter, tick: float(read(meter.wall(tick)))


QUANTITIES: Mapping[str, Quantity] = {
    "frequency_hz": Quantity("frequency", lambda meter, tick: meter.frequency_hz(tick)),
    "demand_w": Quantity("energy", lambda meter, tick: meter.demand_w(tick)),
    **{name: Quantity("power", formula) for name, formula in _PRIMARY.items()},
    **{
        f"secondary_{name}": Quantity("power", _secondary(name, formula))
        for name, formula in _PRIMARY.items()
        if name.endswith(("_v", "_a", "_w", "_va", "_var"))
    },
    **{name.format(""): Quantity("energy", formula, counter=True) for name, formula in _ENERGIES.items()},
    **{
        name.format(f"_l{line}"): Quantity("energy", _each(formula), counter=True)
        for name, formula in _ENERGIES.items()
        for line in (1, 2, 3)
    },
    **{name: Quantity("power", _clock(read)) for name, read in _CLOCK.items()},
    ABSENT: Quantity("power", lambda _meter, _tick: math.nan),
}
"""Every quantity by name; the rows of a meter's map name one each."""
