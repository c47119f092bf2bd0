"""What a meter measures: means over a window before a tick, counters, gain errors.

Owns the way from the true power, voltage and frequency of a point to what one instance makes of them; which tick and
which window a register has is the meter's.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from emulator.wire import MINUTE, SECOND, Instant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from emulator.meters.product import MeterProduct
    from emulator.meters.settings import Settings
    from emulator.modbus.registers import Ticks
    from emulator.seed import Seed
    from emulator.site import PowerPoint

_NEVER = -(2**63)
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


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


class Sensor:
    """The measuring part of one meter (`quantities.Measuring`).

    `windows` are the averaging windows of frequency and power, ns; `energy` the ticks at which import and export are
    told apart where power may flow both ways (`exports`). `wall` gives the date at an instant.
    """

    def __init__(
        self,
        product: MeterProduct,
        point: PowerPoint,
        grid: Mains,
        settings: Settings,
        gains: Gains,
        windows: Mapping[str, int],
        ticks: Mapping[str, Ticks],
        *,
        power_factor: float,
        exports: bool,
        wall: Callable[[Instant], datetime] | None,
    ) -> None:
        self.phases = product.phases
        self.power_factor = power_factor
        self.constants = product.constants
        self._point = point
        self._grid = grid
        self._settings = settings
        self._gains = gains
        self._windows = windows
        self._ticks = ticks
        self._exports = exports
        self._wall = wall
        self._power: tuple[Instant, float] = (_NEVER, 0.0)
        self._voltage: tuple[Instant, float] = (_NEVER, 0.0)
        self._counted: tuple[Instant, float, float] = (0, 0.0, 0.0)

    def frequency_hz(self, tick: Instant) -> float:
        """Mean over the frequency window before `tick`."""
        start, grid = max(0, tick - self._windows["frequency"]), self._grid
        true_hz = grid.mean_frequency_hz(start, tick) if tick > start else grid.frequency_hz(0)
        return true_hz * self._gains.frequency

    def power_w(self, tick: Instant) -> float:
        """Mean over the power window before `tick`: a difference of two energies."""
        if tick != self._power[0]:
            start, point = max(0, tick - self._windows["power"]), self._point
            true_w = point.energy_j(start, tick) * SECOND / (tick - start) if tick > start else point.power_w(0)
            by_current, by_voltage = self._settings.errors(tick)
            self._power = (tick, true_w * self._gains.power * by_current * by_voltage)
        return self._power[1]

    def voltage_v(self, tick: Instant) -> float:
        """Mean of the voltages at both ends of the window before `tick`: exact for a ramp, half-way for a step."""
        if tick != self._voltage[0]:
            start = max(0, tick - self._windows["power"])
            true_v = 0.5 * (self._point.voltage_v(start) + self._point.voltage_v(max(0, tick)))
            self._voltage = (tick, true_v * self._gains.voltage * self._settings.errors(tick)[1])
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
        period_ns = round(self._settings.get("demand_period_min", 0.0) * MINUTE)
        start = max(0, tick - period_ns)
        if period_ns == 0 or tick <= start:
            return self.power_w(self._ticks["power"].last(tick))
        return self._metered_j(start, tick) * SECOND / (tick - start)

    def ratios(self, tick: Instant) -> tuple[float, float]:
        """Primary over secondary of the current and of the voltage transformers, as the meter is set."""
        return self._settings.ratios(tick)

    def wall(self, tick: Instant) -> datetime:
        """The meter's own clock; it stands at the beginning of 2026 when the run starts unless it was told the date."""
        return self._wall(tick) if self._wall is not None else _EPOCH + timedelta(microseconds=tick // 1000)

    def _metered_j(self, start: Instant, stop: Instant) -> float:
        """Net energy as the meter counts it, each part with the transformer ratios that were set then."""
        total_j = 0.0
        for since, until in pairwise([start, *self._settings.edges(start, stop), stop]):
            by_current, by_voltage = self._settings.errors(since)
            total_j += self._point.energy_j(since, until) * by_current * by_voltage
        return total_j * self._gains.power
