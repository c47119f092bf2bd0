"""The meter inside a PDU: power, current and energy of its outputs as means over the product's window.

Owns the electrical relations of single-phase outputs and the gain of one instance; when values are renewed and where
they stand is the register map's.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Protocol

from emulator.wire import SECOND, Instant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from emulator.pdus.product import PduProduct
    from emulator.seed import Seed
    from emulator.site import OutletPort

_JOULES_PER_WH = 3600.0


class Mains(Protocol):
    """What a PDU sees of the grid."""

    def frequency_hz(self, at: Instant) -> float:
        """True frequency."""
        ...

    def mean_frequency_hz(self, start: Instant, stop: Instant) -> float:
        """Exact mean."""
        ...


class Metering:
    """Measures the first `metered_outputs` outlets one by one, and all together where the product measures the total.

    What is not measured shows 0. `gain` is measured over true power, drawn from `seed` within the product's limit; 1
    without a seed.
    """

    def __init__(self, product: PduProduct, outlets: Sequence[OutletPort], grid: Mains, seed: Seed | None) -> None:
        self.product = product
        self.gain = 1.0
        self._tangent = math.tan(math.acos(product.power_factor))
        if seed is not None:
            error = (seed / "gain").normal() * product.power_sigma
            self.gain += min(product.power_limit, max(-product.power_limit, error))
        self._outlets = tuple(outlets[: product.metered_outputs])
        self._all = tuple(outlets) if product.metered_total else ()
        self._grid = grid

    def formula(self, name: str, output: int | None) -> Callable[[Instant], float]:
        """The function from an update tick to the quantity `name` of one output (from 0), or of all for None."""
        outlets = self._all if output is None else self._outlets[output : output + 1]
        if not outlets:
            return lambda _tick: 0.0
        return functools.partial(_FORMULAS[name], self, outlets)

    def frequency_hz(self, outlets: tuple[OutletPort, ...], tick: Instant) -> float:
        """Mean over the window before `tick`."""
        start = max(0, tick - self.product.window_ns)
        return self._grid.mean_frequency_hz(start, tick) if tick > start else self._grid.frequency_hz(0)

    def voltage_v(self, outlets: tuple[OutletPort, ...], tick: Instant) -> float:
        """Voltage at `tick`."""
        return outlets[0].voltage_v(max(0, tick))

    def power_w(self, outlets: tuple[OutletPort, ...], tick: Instant) -> float:
        """Mean over the window before `tick`."""
        start = max(0, tick - self.product.window_ns)
        if tick <= start:
            return self.gain * sum(outlet.power_w(0) for outlet in outlets)
        return self.gain * sum(outlet.energy_j(start, tick) for outlet in outlets) * SECOND / (tick - start)

    def current_a(self, outlets: tuple[OutletPort, ...], tick: Instant) -> float:
        """I = P / (V PF)."""
        voltage_v = self.voltage_v(outlets, tick)
        return self.power_w(outlets, tick) / (voltage_v * self.product.power_factor) if voltage_v > 0.0 else 0.0

    def energy_wh(self, outlets: tuple[OutletPort, ...], tick: Instant) -> float:
        """Energy since the start of the run."""
        if tick <= 0:
            return 0.0
        return self.gain * sum(outlet.energy_j(0, tick) for outlet in outlets) / _JOULES_PER_WH

    def power_factor(self, outlets: tuple[OutletPort, ...], tick: Instant) -> float:
        """The product's constant; 0 without power."""
        return self.product.power_factor if self.power_w(outlets, tick) else 0.0

    def phase_deg(self, outlets: tuple[OutletPort, ...], tick: Instant) -> float:
        """The angle of that power factor; 0 without power."""
        return math.degrees(math.acos(self.product.power_factor)) if self.power_w(outlets, tick) else 0.0

    def apparent_va(self, outlets: tuple[OutletPort, ...], tick: Instant) -> float:
        """S = P / PF."""
        return self.power_w(outlets, tick) / self.product.power_factor

    def reactive_var(self, outlets: tuple[OutletPort, ...], tick: Instant) -> float:
        """Q = P tan(phi)."""
        return self.power_w(outlets, tick) * self._tangent

    def reactive_energy_varh(self, outlets: tuple[OutletPort, ...], tick: Instant) -> float:
        """Since the start of the run."""
        return self.energy_wh(outlets, tick) * self._tangent

    def run_s(self, outlets: tuple[OutletPort, ...], tick: Instant) -> float:
        """Seconds since the start of the run, when the counters stood at 0."""
        return max(0, tick) / SECOND

    def inrush_current_a(self, outlets: tuple[OutletPort, ...], tick: Instant) -> float:
        """The highest peak among the latest closings."""
        return max(outlet.inrush_a(max(0, tick)) for outlet in outlets)


_FORMULAS: dict[str, Callable[[Metering, tuple[OutletPort, ...], Instant], float]] = {
    "frequency_hz": Metering.frequency_hz,
    "voltage_v": Metering.voltage_v,
    "power_w": Metering.power_w,
    "current_a": Metering.current_a,
    "energy_wh": Metering.energy_wh,
    "power_factor": Metering.power_factor,
    "phase_deg": Metering.phase_deg,
    "apparent_va": Metering.apparent_va,
    "reactive_var": Metering.reactive_var,
    "reactive_energy_varh": Metering.reactive_energy_varh,
    "run_s": Metering.run_s,
    "inrush_current_a": Metering.inrush_current_a,
}
