"""Which services a machine can judge: the doctor's rule, held against the gates of a run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.doctor import rule
from bench.doctor.rule import Fit
from bench.doctor.spread import Spread
from bench.facts import LATENESS_BUDGET_NS
from bench.judge import LATE, judge
from bench.services import list_services, load_service
from bench.verdict import Validity
from tests.bench import site

MS = 1_000_000
SERVICES = [load_service(name) for name in list_services()]
ORDER = [Fit.NO, Fit.JUST, Fit.YES]


def spread(p99_ms: float, max_ms: float | None = None) -> Spread:
    return Spread(1000, 0, round(p99_ms * MS), round((p99_ms if max_ms is None else max_ms) * MS))


def fits(lateness: Spread, trip: Spread) -> dict[str, Fit]:
    return {one.service: one.fit for one in rule.judged(SERVICES, lateness, trip)}


def test_a_quiet_machine_judges_every_service_that_ships() -> None:
    assert set(fits(spread(0.4), spread(1.0)).values()) == {Fit.YES}


def test_the_tightest_time_of_a_service_is_of_the_rule_and_not_of_the_method() -> None:
    times = {service.id: rule.tightest(service) for service in SERVICES}
    found = times["ercot_rrs_ffr"]
    assert found is not None
    assert (found[0], str(found[1])) == ("reach", "250 ms")
    static = times["nordic_fcrd_static"]
    assert static is not None
    assert str(static[1]) == "1 s", "its dwell of 50 ms is how the bench measures"


def test_a_service_whose_rule_names_no_time_needs_the_gates_only() -> None:
    timeless = replace(SERVICES[0], checks=tuple(replace(c, figures={}, high=None) for c in SERVICES[0].checks))
    (one,) = rule.judged([timeless], spread(0.1), spread(500.0))
    assert (one.check, one.limit_s, one.times, one.fit) == (None, None, None, Fit.YES)
    assert one.why == "the rule names no time"


def test_a_slow_round_trip_takes_the_fast_services_first() -> None:
    found = fits(spread(0.5), spread(40.0))
    assert found["ercot_rrs_ffr"] is Fit.JUST
    assert found["ercot_rrs_ufr"] is Fit.YES
    found = fits(spread(0.5), spread(100.0))
    assert found["ercot_rrs_ffr"] is Fit.NO
    assert found["ercot_ecrs"] is Fit.YES


def test_ten_times_the_doubt_is_enough_and_four_times_is_only_just() -> None:
    doubt = rule.doubt_s(spread(1.0), spread(0.0))
    for times, fit in ((10.0, Fit.YES), (9.99, Fit.JUST), (4.0, Fit.JUST), (3.99, Fit.NO)):
        ffr = load_service("ercot_rrs_ffr")
        reach = next(check for check in ffr.checks if check.id == "reach")
        assert reach.high is not None
        limit = replace(reach.high, value=times * doubt * (1 + 1e-12))
        one = replace(reach, high=limit, figures={"deadline": limit})
        (found,) = rule.judged([replace(ffr, checks=(one,))], spread(1.0), spread(0.0))
        assert found.fit is fit, times


def test_what_a_verdict_allows_for_anyway_is_the_window_and_the_sampling_of_the_analyser() -> None:
    assert 1e-3 < rule.instant_u_s() < 5e-3, "a window of 10 ms, a rectangle of half of it at most"


@given(
    p99_ms=st.floats(0.0, 100.0), longest_ms=st.floats(0.0, 3000.0), trip_ms=st.floats(0.0, 50.0)
)  # fmt: skip
def test_the_doctor_never_calls_fit_what_a_run_as_late_calls_suspect(
    p99_ms: float, longest_ms: float, trip_ms: float
) -> None:
    lateness = spread(p99_ms, max(p99_ms, longest_ms))
    run = replace(
        site.facts("ercot_rrs_ffr", lambda timeline: site.shed(timeline, 0.1)),
        time_mode="real", lateness_p99_ns=lateness.p99_ns, lateness_max_ns=lateness.max_ns,
    )  # fmt: skip
    gates = {gate.id: gate for gate in judge(run, [load_service("ercot_rrs_ffr")]).gates}
    of_the_run = max(gates[name].validity for name in ("lateness", "freeze"))
    assert of_the_run is max(gate.validity for gate in rule.gates(lateness))
    best = {Validity.VALID: Fit.YES, Validity.SUSPECT: Fit.JUST, Validity.VOID: Fit.NO}[of_the_run]
    found = set(fits(lateness, spread(trip_ms)).values())
    assert all(ORDER.index(fit) <= ORDER.index(best) for fit in found)


@pytest.mark.parametrize(("p99_ns", "fit"), [
    (LATENESS_BUDGET_NS, Fit.YES), (LATENESS_BUDGET_NS + 1, Fit.JUST), (LATE * LATENESS_BUDGET_NS + 1, Fit.NO),
])  # fmt: skip
def test_the_budget_of_a_run_is_that_of_the_doctor(p99_ns: int, fit: Fit) -> None:
    assert fits(Spread(1000, 0, p99_ns, p99_ns), spread(0.1))["ercot_ecrs"] is fit
