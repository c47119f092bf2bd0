"""The quantities a meter can show, by name, and how each follows from what it measures.

Owns the names (each ends in its unit) and the electrical relations of a balanced three-phase load; when and over which
time things are measured is the meter's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from emulator.wire import Instant

GROUPS = ("frequency", "power", "energy")
"""Values that are renewed together."""

_JOULES_PER_KWH = 3.6e6


class Measuring(Protocol):
    """What a meter measures at an update tick; the arguments are ticks of the group the name belongs to."""

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


@dataclass(frozen=True, slots=True)
class Quantity:
    """A named value: the group it is renewed with and its formula. `counter`: it only grows, until it rolls over."""

    group: str
    at: Callable[[Measuring, Instant], float]
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


def _current_a(meter: Measuring, tick: Instant) -> float:
    """Each line's current, I = P / (3 V PF)."""
    voltage_v = meter.voltage_v(tick)
    return _apparent_va(meter, tick) / (3.0 * voltage_v) if voltage_v > 0.0 else 0.0


def _of(share: float, formula: Callable[[Measuring, Instant], float]) -> Callable[[Measuring, Instant], float]:
    return lambda meter, tick: share * formula(meter, tick)


def _import_kwh(meter: Measuring, tick: Instant) -> float:
    return meter.energy_j(tick)[0] / _JOULES_PER_KWH


def _export_kwh(meter: Measuring, tick: Instant) -> float:
    return meter.energy_j(tick)[1] / _JOULES_PER_KWH


def _total_kwh(meter: Measuring, tick: Instant) -> float:
    return sum(meter.energy_j(tick)) / _JOULES_PER_KWH


def _reactive(formula: Callable[[Measuring, Instant], float]) -> Callable[[Measuring, Instant], float]:
    return lambda meter, tick: formula(meter, tick) * _tangent(meter)


def _constant(name: str) -> Callable[[Measuring, Instant], float]:
    return lambda meter, _tick: meter.constants[name]


_COUNTERS = {"import": _import_kwh, "export": _export_kwh, "total": _total_kwh}
_WHOLE = {
    "frequency_hz": Quantity("frequency", lambda meter, tick: meter.frequency_hz(tick)),
    "power_w": Quantity("power", lambda meter, tick: meter.power_w(tick)),
    "apparent_va": Quantity("power", _apparent_va),
    "reactive_var": Quantity("power", _reactive_var),
    "power_factor": Quantity("power", _signed_power_factor),
    "phase_angle_deg": Quantity("power", _angle_deg),
    "voltage_mean_v": Quantity("power", lambda meter, tick: meter.voltage_v(tick)),
    "voltage_line_mean_v": Quantity("power", lambda meter, tick: math.sqrt(3.0) * meter.voltage_v(tick)),
    "current_mean_a": Quantity("power", _current_a),
    "current_sum_a": Quantity("power", _of(3.0, _current_a)),
    "demand_w": Quantity("energy", lambda meter, tick: meter.demand_w(tick)),
    "thd_voltage_mean_percent": Quantity("power", _constant("thd_voltage_percent")),
}
_LINES = {
    "voltage_{}_v": _WHOLE["voltage_mean_v"],
    "current_{}_a": _WHOLE["current_mean_a"],
    "power_{}_w": Quantity("power", _of(1 / 3, lambda meter, tick: meter.power_w(tick))),
    "apparent_{}_va": Quantity("power", _of(1 / 3, _apparent_va)),
    "reactive_{}_var": Quantity("power", _of(1 / 3, _reactive_var)),
    "power_factor_{}": _WHOLE["power_factor"],
    "phase_angle_{}_deg": _WHOLE["phase_angle_deg"],
    "thd_voltage_{}_percent": _WHOLE["thd_voltage_mean_percent"],
    "thd_current_{}_percent": Quantity("power", _constant("thd_current_percent")),
}

QUANTITIES: Mapping[str, Quantity] = {
    **_WHOLE,
    **{name.format(f"l{line}"): quantity for name, quantity in _LINES.items() for line in (1, 2, 3)},
    **{f"voltage_{pair}_v": _WHOLE["voltage_line_mean_v"] for pair in ("l1_l2", "l2_l3", "l3_l1")},
    **{f"{name}_kwh": Quantity("energy", formula, counter=True) for name, formula in _COUNTERS.items()},
    **{f"{name}_kvarh": Quantity("energy", _reactive(formula), counter=True) for name, formula in _COUNTERS.items()},
    **{
        f"{name}_l{line}_kwh": Quantity("energy", _of(1 / 3, formula), counter=True)
        for name, formula in _COUNTERS.items()
        for line in (1, 2, 3)
    },
    **{
        f"{name}_l{line}_kvarh": Quantity("energy", _of(1 / 3, _reactive(formula)), counter=True)
        for name, formula in _COUNTERS.items()
        for line in (1, 2, 3)
    },
}
"""Every quantity by name; the rows of a meter's map name one each."""
