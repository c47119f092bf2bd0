"""Wrong views of the truth: gains, frozen registers, dead and late publishers, all of them exact in time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.faults import Fault, FaultPlan, Value
from emulator.faulty_link import with_faults
from emulator.faulty_readings import MismeasuredMains, MismeasuredPoint, late, metered, published, stale
from emulator.grid import Grid
from emulator.meters.meter import Meter
from emulator.meters.product import load_product
from emulator.seed import Seed
from emulator.timeline import Signal
from emulator.wire import Instant, Send

S = 1_000_000_000


class Point:
    """Power that rises by 1 W a second, from 1 kW; 230 V."""

    def power_w(self, at: Instant) -> float:
        return 1000.0 + at / S

    def energy_j(self, start: Instant, stop: Instant) -> float:
        return (self.power_w(start) + self.power_w(stop)) / 2 * (stop - start) / S

    def voltage_v(self, at: Instant) -> float:
        return 230.0 + 0.0 * at


def gain(factor: float, start: int = 0, stop: int | None = None, quantity: str = "power") -> Fault:
    parameters: dict[str, Value] = {"factor": factor, "quantity": quantity}
    return Fault("meter-poi", "gain", start * S, None if stop is None else stop * S, parameters)


# ---- gains ---------------------------------------------------------------------------------------------------------

gains = st.lists(
    st.builds(
        lambda factor, start, length: gain(factor, start, None if length is None else start + length),
        st.floats(-2, 2), st.integers(0, 50), st.none() | st.integers(1, 50),
    ),
    max_size=4,
)  # fmt: skip


@settings(deadline=None)
@given(gains, st.integers(0, 100), st.integers(0, 100))
def test_energy_measured_is_the_integral_of_power_measured(faults: list[Fault], a: int, b: int) -> None:
    point = MismeasuredPoint(Point(), faults)
    start, stop = sorted((a, b))
    middles = np.arange(start, stop) * S + S // 2  # power is linear within each second, and gains change on seconds
    total = sum(point.power_w(int(at)) for at in middles)
    assert point.energy_j(start * S, stop * S) == pytest.approx(total, rel=1e-9, abs=1e-6)


def test_a_gain_holds_in_its_window_and_touches_its_quantity() -> None:
    point = MismeasuredPoint(Point(), [gain(0.5, 10, 20), gain(1.1, quantity="voltage")])
    assert [point.power_w(at * S) for at in (9, 10, 19, 20)] == [1009.0, 505.0, 509.5, 1020.0]
    assert point.voltage_v(0) == pytest.approx(253.0)
    grid = Grid(60.0, 0.0)
    mains = MismeasuredMains(grid, [gain(1.01, 10, 20, "frequency"), gain(5.0)])
    assert mains.frequency_hz(0) == 60.0
    assert mains.frequency_hz(10 * S) == pytest.approx(60.6)
    assert mains.mean_frequency_hz(5 * S, 15 * S) == pytest.approx(60.3)
    assert mains.mean_frequency_hz(15 * S, 15 * S) == pytest.approx(60.6)


def test_a_meter_without_a_gain_measures_the_point_itself() -> None:
    point, grid = Point(), Grid(60.0, 0.0)
    never = Fault("meter-poi", "gain", parameters={"factor": 2.0, "probability": 0.0})
    plan = FaultPlan([never, Fault("meter-f1", "gain"), Fault("meter-poi", "freeze")], Seed(1))
    assert metered(plan, "meter-poi", point, grid) == (point, grid)
    assert metered(plan, "meter-f1", point, grid)[0] is not point


# ---- a real meter --------------------------------------------------------------------------------------------------


def poll(plan: FaultPlan, instants: list[int], registers: tuple[int, int] = (52, 2)) -> list[float]:
    """What a Modbus master reads of an SDM630 (total power at 52) at each second."""
    point, grid = metered(plan, "meter-poi", Point(), Grid(60.0, 0.0))
    meter = Meter(load_product("eastron_sdm630"), point, grid)
    talk = with_faults(plan, "meter-poi", "meter", meter.device()).converse(502, "peer", 0)
    read = []
    for at in instants:
        request = bytes([0, at % 256, 0, 0, 0, 6, 1, 4, 0, registers[0], 0, registers[1]])
        (reply,) = talk.received(request, at * S)
        assert isinstance(reply, Send)
        assert reply.data[:2] == request[:2]  # a fresh reply
        read.append(float(np.frombuffer(reply.data[9:13], ">f4")[0]))
    return read


def test_a_frozen_meter_gives_fresh_replies_with_old_values() -> None:
    frozen = poll(FaultPlan([Fault("meter-*", "freeze", 10 * S, 30 * S)], Seed(1)), [5, 12, 20, 29, 30, 40])
    true = poll(FaultPlan([], Seed(1)), [5, 10, 10, 10, 30, 40])
    assert frozen == true
    assert frozen[1] == frozen[3] != frozen[4]


def test_the_counters_of_a_reversed_meter_do_not_move_forward() -> None:
    imported = (72, 2)
    plan = FaultPlan([gain(-1.0)], Seed(1))
    assert poll(plan, [5], (52, 2))[0] < -900
    assert poll(plan, [900], imported) == [0.0]
    assert poll(FaultPlan([], Seed(1)), [900], imported)[0] > 0.2


# ---- signals -------------------------------------------------------------------------------------------------------

signals = st.lists(st.tuples(st.integers(0, 100), st.floats(-5, 5)), min_size=1, max_size=8).map(
    lambda points: Signal(sorted(t for t, _ in points), [v for _, v in points])
)
windows = st.tuples(st.integers(0, 100), st.none() | st.integers(1, 60)).map(
    lambda w: (w[0], None if w[1] is None else w[0] + w[1])
)


def inside(window: tuple[int, int | None], at: int) -> bool:
    return window[0] <= at and (window[1] is None or at < window[1])


@settings(deadline=None)
@given(signals, windows)
def test_a_dead_publisher_shows_its_last_value_and_then_the_truth(
    signal: Signal, window: tuple[int, int | None]
) -> None:
    shown = stale(signal, *window)
    for at in range(-5, 170):
        assert shown.at(at) == pytest.approx(signal.at(window[0] if inside(window, at) else at))
    assert np.all(np.isin(shown.t_ns, [*signal.t_ns, *(edge for edge in window if edge is not None)]))


@settings(deadline=None)
@given(signals, windows, st.integers(0, 60))
def test_a_late_signal_is_old_within_its_window_only(signal: Signal, window: tuple[int, int | None], by: int) -> None:
    shown = late(signal, by, *window)
    for at in range(-5, 170):
        assert shown.at(at) == pytest.approx(signal.at(at - by if inside(window, at) else at))


@settings(deadline=None)
@given(signals, windows)
def test_between_the_edges_a_spliced_signal_is_as_exact_as_its_parts(
    signal: Signal, window: tuple[int, int | None]
) -> None:
    wide = Signal(signal.t_ns * 1000, signal.value)
    start, stop = window[0] * 1000, None if window[1] is None else window[1] * 1000
    shown = late(wide, 7000, start, stop)
    for at in range(333, 160_000, 1777):
        expected = wide.at(at - 7000) if inside((start, stop), at) else wide.at(at)
        assert shown.at(at) == pytest.approx(expected)


def test_a_plan_changes_the_signals_it_names() -> None:
    ramp = Signal([0, 100], [0.0, 100.0])
    never = Fault("signal:*", "stale", 0, parameters={"probability": 0.0})
    plan = FaultPlan(
        [Fault("signal:price", "late", 20, 60, {"by_ns": 10}), Fault("signal:p*", "stale", 50), never], Seed(1)
    )
    assert published(plan, "frequency", ramp) is ramp
    shown = published(plan, "price", ramp)
    assert [shown.at(at) for at in (19, 20, 49, 50, 59, 99)] == [19.0, 10.0, 39.0, 40.0, 40.0, 40.0]
    assert late(ramp, 0, 0, None) is ramp
