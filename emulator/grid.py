"""The grid as a controller meets it: frequency, voltage, price and the operator's instructions as signals over time.

Owns the signals of the running profile, placed on the run's time axis. It decides nothing and serves no bytes: meters
(`emulator/meters/`) and the dispatch block (`emulator/dispatch.py`) publish from it with their own lag and resolution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emulator.timeline import Floats, Instants, Signal
from emulator.wire import SECOND, Instant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from emulator.timeline import Instants

CHANNELS = {"frequency": "Hz", "voltage": "pu", "dispatch": "W", "recall": "1", "price": "USD/MWh"}
"""Channels every grid has, with their units: dispatch is the consumption allowed, recall counts messages."""


class Grid:
    """Signals by channel name. Before `play`, the grid is at rest: nominal frequency and voltage, no instruction.

    By default the site is too small to move the grid; `close_loop` lets it.
    """

    def __init__(self, nominal_hz: float, nominal_w: float) -> None:
        self.nominal_hz = nominal_hz
        self._response: SwingResponse | None = None
        self.signals: dict[str, Signal] = {
            "frequency": Signal.constant(nominal_hz),
            "voltage": Signal.constant(1.0),
            "dispatch": Signal.constant(nominal_w),
            "recall": Signal.constant(0.0),
            "price": Signal.constant(0.0),
        }

    def close_loop(self, response: SwingResponse) -> None:
        """From now on the frequency is the profile's plus what the site's own power does to it."""
        self._response = response

    def join(self, other: Grid) -> None:
        """Be moved by the site as another grid is."""
        self._response = other._response

    def observed(self, stop: Instant) -> dict[str, Signal]:
        """The signals as they were until `stop`, the site's own doing included: what a record of the run holds."""
        if self._response is None:
            return dict(self.signals)
        return {**self.signals, "frequency": self._response.added_to(self.signals["frequency"], stop)}

    @property
    def step_ns(self) -> int | None:
        """Where the site moves the frequency: how far that is worked out at a time. None: the signals say it all."""
        return None if self._response is None else self._response.step_ns

    def frequency_over(self, start: Instant, stop: Instant) -> Signal:
        """The frequency as it really is over [start, stop], the site's own doing included."""
        frequency = self.signals["frequency"]
        return frequency if self._response is None else self._response.over(frequency, start, stop)

    def play(self, signals: Mapping[str, Signal], at: Instant) -> None:
        """Put a profile's signals on the axis with their time zero at `at`; channels not named stay as they are."""
        for name, signal in signals.items():
            self.signals[name] = signal.shifted(at)

    def frequency_hz(self, at: Instant) -> float:
        """Frequency at one instant."""
        value = self.signals["frequency"].at(at)
        return value if self._response is None else value + self._response(at)

    def mean_frequency_hz(self, start: Instant, stop: Instant) -> float:
        """Mean frequency over [start, stop]."""
        value = self.signals["frequency"].mean(start, stop)
        return value if self._response is None else value + (self._response(start) + self._response(stop)) / 2

    def values(self, channel: str, instants: Instants) -> Floats:
        """A channel at many instants, same shape, the site's own doing included."""
        found = self.signals[channel].sample(instants)
        if channel == "frequency" and self._response is not None:
            found = found + np.array([self._response(at) for at in instants.tolist()])
        return found

    def voltage_pu(self, at: Instant) -> float:
        """Voltage at the point of interconnection, per unit."""
        return self.signals["voltage"].at(at)

    def dispatch_w(self, at: Instant) -> float:
        """Site consumption the operator allows, watts."""
        return self.signals["dispatch"].at(at)

    def recall(self, at: Instant) -> int:
        """Number of recall messages sent so far."""
        return int(self.signals["recall"].at(at))

    def price(self, at: Instant) -> float:
        """Energy price, USD/MWh."""
        return self.signals["price"].at(at)


class SwingResponse:
    """Frequency change that a small system makes of the site's own power change: df/dt = f0 dP / (2 E), damped.

    Aggregated swing equation, exact for a power that is constant over each step of `step_ns`. `energy_ws` is the
    kinetic energy of the system in watt-seconds, `damping_w_per_hz` its load damping plus primary response; `change_w`
    gives the site's mean power change over an interval (negative when it sheds). Evaluated lazily, forward only.
    """

    def __init__(
        self,
        nominal_hz: float,
        energy_ws: float,
        damping_w_per_hz: float,
        change_w: Callable[[Instant, Instant], float],
        step_ns: int = SECOND // 50,
    ) -> None:
        if energy_ws <= 0 or damping_w_per_hz <= 0:
            raise ValueError("a system needs positive kinetic energy and damping")
        self._gain_hz_per_w = 1.0 / damping_w_per_hz
        self._decay = 2.718281828459045 ** (-(step_ns * 1e-9) * damping_w_per_hz * nominal_hz / (2.0 * energy_ws))
        self._change_w = change_w
        self._step_ns = step_ns
        self._knots = [0.0]

    @property
    def step_ns(self) -> int:
        """How far the frequency is worked out at a time."""
        return self._step_ns

    def added_to(self, frequency: Signal, stop: Instant) -> Signal:
        """`frequency` with this change added, with a knot at every step until `stop`."""
        return self._added(frequency, np.arange(0, stop + self._step_ns, self._step_ns, dtype=np.int64), stop)

    def over(self, frequency: Signal, start: Instant, stop: Instant) -> Signal:
        """The same over [start, stop], looking no further ahead than `stop`."""
        first = max(0, start // self._step_ns * self._step_ns)
        return self._added(frequency, np.arange(first, max(first, stop) + 1, self._step_ns, dtype=np.int64), stop)

    def _added(self, frequency: Signal, knots: Instants, stop: Instant) -> Signal:
        within = (frequency.t_ns >= knots[0]) & (frequency.t_ns <= stop)
        corners = frequency.t_ns[within]
        knots = knots[~np.isin(knots, corners)]  # at a step both of its own points are kept, in their order
        t_ns = np.concatenate([knots, corners])
        value = np.concatenate([frequency.sample(knots), frequency.value[within]])
        order = np.argsort(t_ns, kind="stable")
        own = np.array([self(int(at)) for at in t_ns[order]])
        return Signal(t_ns[order], value[order] + own)

    def __call__(self, at: Instant) -> float:
        """Frequency change at `at`, Hz; zero before instant 0."""
        index = max(0, at // self._step_ns)
        while len(self._knots) <= index:
            start = (len(self._knots) - 1) * self._step_ns
            goal = -self._change_w(start, start + self._step_ns) * self._gain_hz_per_w
            self._knots.append(goal + (self._knots[-1] - goal) * self._decay)
        return self._knots[index]
