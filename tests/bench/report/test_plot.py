"""What the report draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from bench.facts import Occurrence, RunFacts, Series
from bench.report import plot
from bench.report.scene import Plot
from bench.report.thin import decode
from bench.report.twin import twin
from bench.verdict import Band, CaseVerdict, CheckResult, Level, Outcome
from emulator.timeline import Signal

S = 1_000_000_000


@pytest.fixture
def drawn(run: RunFacts, make_case: Callable[..., CaseVerdict]) -> Plot:
    built = plot.build(make_case(), run)
    assert built is not None
    return built


def test_every_drawn_thing_is_explained_once(drawn: Plot) -> None:
    said = [explained.tag for explained in drawn.explained]
    tags = [span.tag for span in drawn.spans] + [lane.label for lane in drawn.lanes if lane.ticks]
    for panel in drawn.panels:
        tags += [line.tag for line in panel.lines]
        tags += [level.tag for level in panel.levels] + [edge.tag for edge in panel.edges]
    assert sorted(tags) == sorted(said)
    assert len(set(said)) == len(said)


def test_the_limits_are_those_of_the_checks_and_carry_the_worst_outcome(
    run: RunFacts, make_case: Callable[..., CaseVerdict]
) -> None:
    case = make_case(reach_s=2.84)
    built = plot.build(case, run)
    assert built is not None
    bands = {band for check in case.checks for band in check.bands}
    edges = {(e.start, e.stop, e.low, e.high) for e in built.panels[0].edges}
    kilo = [None if w is None else w / 1e3 for band in bands for w in (band.low_w, band.high_w)]
    times = [(t - run.armed_ns) / S for band in bands for t in (band.start_ns, band.stop_ns)]
    assert edges == {(*times[2 * k : 2 * k + 2], *kilo[2 * k : 2 * k + 2]) for k in range(len(bands))}
    shared = next(e for e in built.panels[0].edges if e.label == "full response")
    assert shared.outcome == "FAIL"
    text = next(e.text for e in built.explained if e.tag == shared.tag)
    assert "ercot_rrs_ffr reach: FAIL" in text
    assert "ercot_rrs_ffr hold: PASS" in text
    assert "power ≤ 65 kW from 30.25 s to 330 s" in text


def test_the_drawn_power_is_the_recorded_power(drawn: Plot, run: RunFacts) -> None:
    panel = drawn.panels[0]
    t, power = decode(panel.t), decode(panel.lines[0].values)
    assert len(t) < 8300
    at = np.interp(t, (run.power.t_ns - run.armed_ns) / S, run.power.value / 1e3)
    assert power == pytest.approx(at, abs=0.002)
    assert power.max() == pytest.approx(run.power.value.max() / 1e3, abs=0.001)


def test_baseline_and_committed_level_are_those_of_the_verdict(
    drawn: Plot, run: RunFacts, make_case: Callable[..., CaseVerdict]
) -> None:
    levels = {level.tag: level.value for level in drawn.panels[0].levels}
    assert levels == {"N": 650, "B1": 650, "C1": pytest.approx(65)}
    told = {one.tag: one.text for one in drawn.explained}
    assert told["B1"] == "baseline of E1: mean power of the 5 s before it, 650 kW"
    assert told["C1"] == "committed level of E1: baseline less the 585 kW sold, 65 kW"
    bare = plot.build(replace(make_case(), levels=()), run)
    assert bare is not None
    assert [level.tag for level in bare.panels[0].levels] == ["N"], "what nothing was measured from is not drawn"


def test_a_level_that_a_dispatch_or_an_earlier_instant_set_says_so(
    run: RunFacts, make_case: Callable[..., CaseVerdict]
) -> None:
    at = run.armed_ns + 7 * S
    levels = (Level("dip", run.events[0].start_ns, 640e3, 200e3), Level("dip", at, 650e3, 585e3))
    drawn = plot.build(replace(make_case(), levels=levels), run)
    assert drawn is not None
    told = {one.tag: one.text for one in drawn.explained}
    assert told["C1"] == "dispatched level of E1: baseline less the 200 kW that the dispatch asked for, 440 kW"
    assert told["B1b"] == "baseline of E1: mean power of the 5 s before 7 s, 650 kW"
    assert {level.tag: level.value for level in drawn.panels[0].levels}["C1b"] == pytest.approx(65)


def test_dispatch_stands_in_the_power_panel_only_when_it_moves(
    drawn: Plot, run: RunFacts, make_case: Callable[..., CaseVerdict]
) -> None:
    allowed = next(line for line in drawn.panels[0].lines if line.tag == "D")
    t, value = decode(drawn.panels[0].t), decode(allowed.values)
    assert value[t < 29.9] == pytest.approx(650)
    assert value[(t > 30) & (t < 329.9)] == pytest.approx(65)
    still = replace(run, signals={**run.signals, "dispatch": Signal.constant(650_000.0)})
    built = plot.build(make_case(), still)
    assert built is not None
    assert [line.tag for line in built.panels[0].lines] == ["P"]


def test_frequency_has_its_own_panel_and_signals_that_do_not_move_have_none(drawn: Plot) -> None:
    assert [panel.id for panel in drawn.panels] == ["power", "frequency"]
    frequency = drawn.panels[1]
    assert decode(frequency.lines[0].values).min() == pytest.approx(59.74)
    assert [level.value for level in frequency.levels] == [60.0]


def test_events_and_faults_are_spans_and_the_rest_are_ticks(drawn: Plot) -> None:
    assert [lane.label for lane in drawn.lanes] == ["events", "faults", "recall", "sleep"]
    assert [(span.tag, span.start, span.stop) for span in drawn.spans] == [
        ("E1", 30, 330),
        ("E2", 330, 600),
        ("F1", 70, 100),
    ]
    recall = drawn.lanes[2].ticks
    assert recall is not None
    assert decode(recall) == pytest.approx([330])


def test_a_hundred_thousand_log_lines_stay_a_few_thousand_ticks(
    run: RunFacts, make_case: Callable[..., CaseVerdict]
) -> None:
    busy = replace(run, occurrences=tuple(Occurrence(k * 5_000_000, "log", {}) for k in range(100_000)))
    built = plot.build(make_case(), busy)
    assert built is not None
    ticks = built.lanes[-1].ticks
    assert ticks is not None
    assert 1000 < len(ticks.d) <= 2001
    assert any("100000 in all" in explained.text for explained in built.explained)


def test_the_onset_of_an_event_is_as_wide_as_its_first_limit_and_a_late_response_ask(
    drawn: Plot, run: RunFacts, make_case: Callable[..., CaseVerdict]
) -> None:
    onset = drawn.zooms[0]
    assert (onset.label, onset.start, onset.stop) == ("E1 onset", 29.75, 31.0)
    late = plot.build(make_case(reach_s=2.84), run)
    assert late is not None
    assert late.zooms[0].stop == pytest.approx(30 + 1.5 * 2.84)


def test_a_gap_in_the_recording_is_a_gap_in_the_line(run: RunFacts, make_case: Callable[..., CaseVerdict]) -> None:
    value = run.power.value.copy()
    value[200_000:210_000] = np.nan
    built = plot.build(make_case(), replace(run, power=replace(run.power, value=value)))
    assert built is not None
    t, power = decode(built.panels[0].t), decode(built.panels[0].lines[0].values)
    hole = np.isnan(power)
    assert hole.any()
    assert t[hole].min() == pytest.approx(140, abs=0.01)
    assert t[hole].max() <= 150
    assert not np.isnan(power[np.searchsorted(t, 139.999) - 1])


def test_a_recording_without_power_draws_nothing(run: RunFacts, make_case: Callable[..., CaseVerdict]) -> None:
    none = Series(np.zeros(0, np.int64), np.zeros(0))
    assert plot.build(make_case(), replace(run, power=none)) is None
    assert plot.build(make_case(), replace(run, power=Series(np.array([0]), np.array([np.nan])))) is None


def test_a_band_beyond_the_run_is_cut_and_one_without_a_finite_bound_is_left_out(
    run: RunFacts, make_case: Callable[..., CaseVerdict]
) -> None:
    def with_bands(check: CheckResult) -> CheckResult:
        return replace(check, bands=(Band("late", 0, 10**15, high_w=1e5), Band("open", 0, S, high_w=float("inf"))))

    case = make_case()
    built = plot.build(replace(case, checks=tuple(map(with_bands, case.checks))), run)
    assert built is not None
    (edge,) = built.panels[0].edges
    assert (edge.start, edge.stop) == (built.start, built.stop)
    assert edge.outcome == Outcome.PASS.name


@pytest.mark.parametrize(("watts", "unit"), [(900.0, "W"), (650e3, "kW"), (400e6, "MW")])
def test_power_is_shown_in_a_unit_that_reads_well(watts: float, unit: str) -> None:
    assert plot.power_unit(watts)[0] == unit


def test_the_table_twin_has_a_row_for_each_event_and_limit(
    run: RunFacts, make_case: Callable[..., CaseVerdict]
) -> None:
    table = twin(make_case(), run)
    assert table.heads[:2] == ["time [s]", "power, mean [kW]"]
    rows = {row[0]: row for row in table.rows}
    assert {"0", "30", "30.25", "330"} <= set(rows)
    assert float(rows["30.25"][1]) == pytest.approx(56, abs=1)
    assert rows["30.25"][-1] == "dip"
    assert all(len(row) == len(table.heads) for row in table.rows)
