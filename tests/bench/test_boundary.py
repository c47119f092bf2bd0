"""Boundaries: what the judge says flips where the limit stands, and a judge or a measure that is off is noticed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import measure
from bench.boundary import bisect
from bench.boundary.answers import ANSWERS, COUNTS
from bench.boundary.bisect import Boundary, Probe, boundary, bounds, families, found
from bench.boundary.drawing import drawing, unit_of
from bench.boundary.site import Answer, S, Size, facts
from bench.judge import judge
from bench.machine.script import Ceiling, Frame, Script, write
from bench.rounding import COVERAGE
from bench.services import load_service
from bench.services.checks import FORMULAS
from bench.services.model import Check, Figure, Service
from bench.verdict import Outcome, Quantity

Edge = tuple[Service, Check, str, Figure]
FAMILIES = list(families())


def edge_of(service: str, check: str) -> Edge:
    return next(bound for bound in bounds([service]) if bound[1].id == check)


MACHINES_OWN = {"highest", "busiest"}
"""Formulas that no shipped service uses: a rule machine writes services with them."""


def test_every_formula_has_an_answer_with_one_knob_and_ships_in_some_service() -> None:
    assert set(ANSWERS) == set(FORMULAS)
    assert {check.formula for _, check, _, _ in FAMILIES} | MACHINES_OWN == set(FORMULAS)


def test_what_a_rule_machine_demands_flips_where_it_says(tmp_path: Path) -> None:
    frame = Frame("found", "What was found", "rig:yard", {"factory": "mine:controller"}, 1, 0, 60.0, 60, {})
    script = Script(ceilings=[Ceiling(20 * S, 50 * S, 300e3, "somebody")], end_ns=60 * S)
    file = write(frame, script, "it drew too much", tmp_path).with_name("found.service.toml")
    edges = list(bounds([str(file)]))
    assert {edge[1].formula for edge in edges} == MACHINES_OWN
    for edge in edges:
        one = boundary(*edge)
        assert one.holds, one
        assert one.kills


@pytest.mark.parametrize("edge", FAMILIES, ids=[edge[1].formula for edge in FAMILIES])
def test_a_verdict_flips_within_the_stated_uncertainty_of_its_limit(edge: Edge) -> None:
    one = boundary(*edge)
    assert one.holds, one
    assert one.kills
    if edge[1].formula not in COUNTS:
        assert abs(one.flips - one.limit) < 0.05 * max(abs(one.limit), 1.0)


def test_a_boundary_can_be_asked_for_by_name() -> None:
    assert found("ercot_rrs_ffr", "over_delivery", "high") == boundary(*edge_of("ercot_rrs_ffr", "over_delivery"))


def test_a_measure_that_is_off_by_more_than_it_says_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = measure.reach_time

    def late(*arguments: object, **named: object) -> object:
        found = honest(*arguments, **named)  # type: ignore[arg-type]
        return replace(found, value=found.value - 0.02) if isinstance(found, Quantity) else found

    assert boundary(*edge_of("ercot_rrs_ffr", "reach")).holds
    monkeypatch.setattr(measure, "reach_time", late)
    assert not boundary(*edge_of("ercot_rrs_ffr", "reach")).holds


def test_a_measure_that_claims_no_uncertainty_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = measure.reach_time

    def sure(*arguments: object, **named: object) -> object:
        found = honest(*arguments, **named)  # type: ignore[arg-type]
        return replace(found, u=0.0) if isinstance(found, Quantity) else found

    monkeypatch.setattr(measure, "reach_time", sure)
    assert not boundary(*edge_of("ercot_rrs_ffr", "reach")).holds


def test_a_limit_that_is_never_compared_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def lenient(run: object, services: object, *, rule: str = "guarded") -> object:
        verdict = judge(run, services)  # type: ignore[arg-type]
        return replace(verdict, checks=tuple(replace(one, outcome=Outcome.PASS) for one in verdict.checks))

    monkeypatch.setattr(bisect, "judge", lenient)
    one = boundary(*edge_of("ercot_rrs_ffr", "over_delivery"))
    assert not one.kills
    assert not one.holds


EDGE = Boundary("s", "c", "high", 10.0, "s", 10.1, 9.8, 10.4, 0.15, 0.001, (Probe(9.0, Outcome.PASS),))


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({}, True),
        ({"flips": 10.31}, False),
        ({"passes": 9.39}, False),
        ({"passes": 10.1}, False),
        ({"fails": 10.61}, False),
        ({"fails": 9.9}, False),
        ({"side": "low", "passes": 10.4, "fails": 9.8}, True),
    ],
)
def test_a_flip_farther_off_than_the_uncertainty_or_on_the_wrong_side_does_not_hold(
    changes: dict[str, object], holds: bool
) -> None:
    assert replace(EDGE, **changes).holds is holds  # type: ignore[arg-type]


def test_the_picture_has_a_row_for_each_limit_and_nothing_that_is_not_escaped() -> None:
    text = drawing([EDGE, replace(EDGE, check="<c>", u=0.0, resolution=0.5)])
    assert text.count("<circle") == 1
    assert "s.&lt;c&gt; ≤" in text
    assert "10 s ± 0.3" in text
    assert "10 s, exact" in text
    assert unit_of(EDGE) == COVERAGE * 0.15


# ------------------------------------------------------------------------------------- the accuracy of the bench itself

FFR = load_service("ercot_rrs_ffr")
SHORT = replace(FFR, checks=(FFR.checks[0],))


def measured_delay(delay_s: float, size: Size) -> Quantity:
    """What the bench makes of a site that delivers all of it at once, so long after the trigger."""
    end = delay_s + 15.0
    answer = Answer([(0.0, 0.0), (delay_s, 0.0), (delay_s, 1.05)], end, end + 2.0, release_s=end)
    reach = judge(facts(SHORT, "deployment", answer, size), [_patient(delay_s)]).checks[0].measured
    assert isinstance(reach, Quantity)
    return reach


def _patient(delay_s: float) -> Service:
    """The service with a limit that the delay keeps: later than limit and arrival nothing is measured."""
    check = SHORT.checks[0]
    deadline = replace(check.figures["deadline"], value=delay_s + 1.0, shown=1e3 * (delay_s + 1.0))
    return replace(SHORT, checks=(replace(check, figures={**check.figures, "deadline": deadline}, high=deadline),))


@settings(max_examples=60, deadline=None)
@given(delay_us=st.integers(1_000, 10_000_000))
def test_a_delay_of_a_millisecond_to_ten_seconds_is_measured_within_the_analysers_own_model(delay_us: int) -> None:
    reach = measured_delay(delay_us / 1e6, Size(accuracy=0.0))
    assert abs(reach.value / 1e3 - delay_us / 1e6) <= COVERAGE * reach.u / 1e3
    assert COVERAGE * reach.u <= 10.0 + 7.0, "the analyser's window and the time between two samples, in milliseconds"


@pytest.mark.parametrize("delay_ms", [1, 10, 100, 1_000, 10_000])
def test_on_an_analyser_without_a_window_the_error_is_nothing_but_its_sampling(delay_ms: int) -> None:
    size = Size(accuracy=0.0, window_ns=0, rate_hz=1000.0)
    reach = measured_delay(delay_ms / 1e3, size)
    assert 0.0 <= reach.value - delay_ms <= 1e3 / min(1000.0, 8_000 / (delay_ms / 1e3 + 37.0)) + 1e-6
    assert np.isfinite(reach.u)
