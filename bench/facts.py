"""The facts of one run in the form that measuring and judging want: arrays and signals, no files, no clock.

`bench/record.py` reads a run folder into a `RunFacts`; tests build one by hand. Times are integer nanoseconds since the
start of the run; the profile's time zero is `armed_ns`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from emulator.timeline import Signal


LINE_LOST = "line_lost"
"""The kind of occurrence that says that the bench has lost the port of a serial line."""
LATENESS_BUDGET_NS = 2_000_000
"""Lateness of the bench (99th percentile) above which a run in real time is suspect (estimate)."""


@dataclass(frozen=True, slots=True)
class Series:
    """Samples of one quantity. Each is the mean over `window_ns` centred on its time stamp.

    t_ns: int64, shape (n,), strictly increasing. value: float64, shape (n,), in `unit`; NaN marks a gap.
    u: standard uncertainty of one value, in `unit`. u_time_ns: standard uncertainty of the time stamps.
    """

    t_ns: NDArray[np.int64]
    value: NDArray[np.float64]
    unit: str = "W"
    window_ns: int = 0
    u: float = 0.0
    u_time_ns: float = 0.0


@dataclass(frozen=True, slots=True)
class ProfileEvent:
    """A stretch of the profile that a service judges. `stop_ns` is its end (recall, recovery) or the run's end."""

    id: str
    kind: str
    """deployment, dispatch, disturbance, return or quiet"""
    start_ns: int
    stop_ns: int
    label: str = ""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Something that happened during the run: a fault, a controller's life sign, a command, a log line."""

    t_ns: int
    kind: str
    data: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Power of every miner as a share of nominal: share[miner, column]; column k covers t_ns[k]..t_ns[k+1]."""

    t_ns: NDArray[np.int64]
    miners: tuple[str, ...]
    share: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Phases:
    """What each miner did: a row for each phase it entered, in order of time. Parallel arrays of shape (n,).

    t_ns: int64; row: int64, index into `miners`; phase: int8, values of `emulator.catalogue.Phase`.
    """

    t_ns: NDArray[np.int64]
    row: NDArray[np.int64]
    phase: NDArray[np.int8]
    miners: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Everything a verdict may rest on."""

    run_id: str
    title: str
    power: Series
    """Consumption at the point of interconnection, watts."""
    signals: Mapping[str, Signal]
    """What the grid did: `frequency` (Hz), `voltage` (pu), `dispatch` (W), `recall` (count), `price` (USD/MWh)."""
    events: tuple[ProfileEvent, ...]
    armed_ns: int
    stop_ns: int
    nominal_hz: float
    nominal_w: float
    """Site consumption with every miner hashing."""
    commitment_w: float
    """What the site has sold: watts of reduction."""
    complete: bool
    """The recording has its stop document."""
    time_mode: str = "virtual"
    seed: int = 0
    sut_ready: bool = True
    sut_exit: str = ""
    """Why the controller ended before the run did; empty when it did not."""
    sut_notes: tuple[str, ...] = ()
    """What was odd in how the controller behaved towards the bench."""
    contacts: Mapping[str, int] = field(default_factory=dict)
    """Requests answered, by device kind: `meter`, `pdu`, `miner`, `signal`."""
    busiest: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """By device kind: the one that got most requests within one minute, and how many."""
    occurrences: tuple[Occurrence, ...] = ()
    meter_gap_ns: int = 0
    judged_by: str = ""
    """The real meter that `power` comes from; empty where power is that of the emulation."""
    lateness_p99_ns: int = 0
    lateness_max_ns: int = 0
    lateness_budget_ns: int = LATENESS_BUDGET_NS
    device_defects: int = 0
    """Connections that the bench's own devices broke by an error of theirs."""
    trace_sha256: str = ""
    expected: str = ""
    heat: HeatMap | None = None
    phases: Phases | None = None
    conduct: Mapping[str, float] = field(default_factory=dict)
    """How the controller treated the devices (`bench/conduct.py`); empty where that was not taken down."""
    info: Mapping[str, object] = field(default_factory=dict)
    """Who, what, where: versions, commit, rig, profile, controller; printed in the report."""
