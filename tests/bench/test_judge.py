"""The judge: what is no experiment is void, what is outside is failed, what cannot be told is neither."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.facts import LINE_LOST, Occurrence, RunFacts, Series
from bench.judge import decide, judge
from bench.profile import Timeline
from bench.services import load_service
from bench.services.model import Service
from bench.verdict import (
    CaseVerdict,
    Gate,
    Limit,
    NotComputable,
    NotReached,
    Outcome,
    Quantity,
    Validity,
    Verdict,
)  # fmt: skip
from emulator.timeline import Signal
from tests.bench.site import COMMITMENT_W, NOMINAL_W, S, facts, shed

FFR = load_service("ercot_rrs_ffr")
UFR = load_service("ercot_rrs_ufr")
RAMP = load_service("return_ramp")
QUIET = load_service("no_uncommanded_step")
GOOD = facts("ercot_rrs_ffr_short", lambda timeline: shed(timeline, 0.2))
NULL = facts("ercot_rrs_ffr_short", [(0, 0)])


def gate(verdict: CaseVerdict, name: str) -> Gate:
    return next(one for one in verdict.gates if one.id == name or one.id.split(":")[0] == name)


def exit_code(verdict: CaseVerdict) -> int:
    return Verdict("t", (verdict,)).exit_code


# ------------------------------------------------------------------------------------------------------- decision rule


@pytest.mark.parametrize(
    ("value", "u", "guarded", "simple"),
    [
        (0.20, 0.00, Outcome.PASS, Outcome.PASS),
        (0.25, 0.00, Outcome.PASS, Outcome.PASS),
        (0.26, 0.00, Outcome.FAIL, Outcome.FAIL),
        (0.20, 0.025, Outcome.PASS, Outcome.PASS),
        (0.21, 0.025, Outcome.INCONCLUSIVE, Outcome.PASS),
        (0.29, 0.025, Outcome.INCONCLUSIVE, Outcome.FAIL),
        (0.31, 0.025, Outcome.FAIL, Outcome.FAIL),
        (float("nan"), 0.0, Outcome.FAIL, Outcome.FAIL),
        (0.20, float("inf"), Outcome.INCONCLUSIVE, Outcome.PASS),
    ],
)
def test_a_value_passes_only_with_twice_its_uncertainty_inside(
    value: float, u: float, guarded: Outcome, simple: Outcome
) -> None:
    limit = Limit("s", high=0.25)
    assert decide(Quantity(value, "s", u), limit) is guarded
    assert decide(Quantity(value, "s", u), limit, "simple") is simple


def test_zero_is_a_legal_limit() -> None:
    assert decide(Quantity(0.0, "%"), Limit("%", high=0.0)) is Outcome.PASS
    assert decide(Quantity(1e-3, "%"), Limit("%", high=0.0)) is Outcome.FAIL


def test_what_never_came_fails_and_what_is_unknown_decides_nothing() -> None:
    limit = Limit("s", low=0.0)
    assert decide(NotReached("never"), limit) is Outcome.FAIL
    assert decide(NotReached("never"), limit, doubtful=True) is Outcome.INCONCLUSIVE
    assert decide(NotReached("never"), limit, "simple", doubtful=True) is Outcome.FAIL
    assert decide(NotComputable("gap"), limit) is Outcome.DONE


@given(
    st.floats(min_value=-1e6, max_value=1e6), st.floats(min_value=0, max_value=1e5),
    st.floats(min_value=-1e6, max_value=1e6), st.floats(min_value=0, max_value=1e6),
)  # fmt: skip
def test_more_uncertainty_never_turns_a_doubt_into_a_verdict(value: float, u: float, low: float, width: float) -> None:
    limit = Limit("W", low, low + width)
    sure, unsure = decide(Quantity(value, "W", u), limit), decide(Quantity(value, "W", 2 * u + 1), limit)
    assert unsure in (sure, Outcome.INCONCLUSIVE)


# ----------------------------------------------------------------------------------------------------------- outcomes


def test_a_good_run_passes_and_shows_its_gates_numbers() -> None:
    verdict = judge(GOOD, [FFR])
    assert (verdict.outcome, verdict.validity, exit_code(verdict)) == (Outcome.PASS, Validity.VALID, 0)
    assert all(one.value and one.requirement for one in verdict.gates)
    assert verdict.reasons == ()


def test_every_check_has_sentence_limit_source_margin_and_bands() -> None:
    for check in judge(GOOD, [FFR, UFR, RAMP]).checks:
        assert check.sentence
        assert check.source.text
        assert isinstance(check.measured, Quantity)
        assert check.measured.unit == check.limit.unit
        assert check.margin == pytest.approx(check.limit.margin(check.measured.value))
    reach = judge(GOOD, [FFR]).checks[0]
    assert (str(reach.limit), reach.measured.unit) == ("x <= 250 ms", "ms")  # type: ignore[union-attr]
    assert reach.bands[0].high_w == pytest.approx(NOMINAL_W - 0.95 * COMMITMENT_W)
    assert reach.bands[0].start_ns == GOOD.events[0].start_ns + S // 4


def test_what_is_only_rounding_is_told_as_nothing() -> None:
    still = facts("ercot_rrs_ffr_short", [(0, 0), (60, 0), (60, -1e-12), (400, -1e-12)], u=1e-9)
    told = " ".join(judge(still, [FFR]).reasons)
    assert "e-" not in told
    assert "-0.0%" not in told


def test_an_uncertain_meter_makes_a_narrow_pass_inconclusive() -> None:
    narrow = facts("ercot_rrs_ffr_short", lambda timeline: shed(timeline, 0.2, 0.96), u=4000.0)
    verdict = judge(narrow, [FFR])
    assert (verdict.outcome, exit_code(verdict)) == (Outcome.INCONCLUSIVE, 3)
    assert judge(narrow, [FFR], rule="simple").outcome is Outcome.PASS


def test_a_plateau_just_under_the_level_is_inconclusive_for_an_uncertain_meter_and_a_fail_for_a_good_one() -> None:
    def reach(u: float) -> Outcome:
        run = facts("ercot_rrs_ffr_short", lambda timeline: shed(timeline, 0.2, 0.949), u=u)
        return judge(run, [FFR]).checks[0].outcome

    assert reach(0.0) is Outcome.FAIL
    assert reach(4000.0) is Outcome.INCONCLUSIVE


def test_a_reason_has_the_digits_that_tell_its_value_from_the_limit() -> None:
    close = facts("ercot_rrs_ffr_short", lambda timeline: shed(timeline, 0.25004))
    reason = judge(close, [FFR]).reasons[0]
    assert reason.startswith("FAIL: ercot_rrs_ffr.reach on deployment: 250.04 ms; limit x <= 250 ms"), reason
    gone = facts("ercot_rrs_ufr_short", lambda timeline: [*shed(timeline, 0.3)[:3], (60, 1), (60, 1e-12)])
    assert any("stay_off on deployment: 0 %; limit 95 % <= x" in one for one in judge(gone, [UFR]).reasons)


# ------------------------------------------------------------------------------------------------- the null controller


def test_a_controller_that_does_nothing_fails_where_something_was_asked() -> None:
    verdict = judge(NULL, [FFR])
    assert (verdict.outcome, exit_code(verdict)) == (Outcome.FAIL, 1)
    assert gate(verdict, "movement").validity is Validity.SUSPECT


@pytest.mark.parametrize("service", [FFR, UFR, RAMP], ids=lambda service: str(service.id))
def test_a_controller_that_does_nothing_never_passes(service: Service) -> None:
    verdict = judge(NULL, [service])
    assert exit_code(verdict) in (1, 3)


def test_a_ramp_limit_alone_is_void_when_nothing_moved() -> None:
    verdict = judge(NULL, [RAMP])
    assert verdict.validity is Validity.VOID
    assert gate(verdict, "movement").validity is Validity.VOID


def test_a_controller_that_never_spoke_makes_a_quiet_run_void() -> None:
    quiet = facts("quiet", [(0, 0)])
    assert judge(quiet, [QUIET]).outcome is Outcome.PASS
    assert exit_code(judge(quiet, [QUIET])) == 0
    silent = judge(replace(quiet, contacts={"meter": 0}), [QUIET])
    assert silent.validity is Validity.VOID
    assert gate(silent, "contact").value == "no request"
    assert judge(replace(quiet, contacts={}), [QUIET]).validity is Validity.VOID


def test_a_verdict_says_from_which_levels_its_checks_measured() -> None:
    (level,) = judge(GOOD, [FFR, RAMP]).levels
    event = GOOD.events[0]
    assert (level.event, level.at_ns, level.asked_w) == (event.id, event.start_ns, COMMITMENT_W)
    assert level.baseline_w == pytest.approx(NOMINAL_W)
    called = facts("ercot_ecrs_short", [(0, 0)])
    (dispatched,) = judge(called, [load_service("ercot_ecrs"), load_service("ai_last")]).levels
    lowest = called.signals["dispatch"].value.min()
    assert dispatched.asked_w == pytest.approx(NOMINAL_W - lowest), "what the dispatch asks, not what was sold"
    assert judge(facts("quiet", [(0, 0)]), [QUIET]).levels == ()


# ------------------------------------------------------------------------------------------------------ validity gates


def voided(run: RunFacts, name: str, *services: Service) -> str:
    """The value of the gate that voids this run."""
    verdict = judge(run, services or [FFR])
    assert verdict.validity is Validity.VOID
    assert exit_code(verdict) == 3
    assert any(one.id.split(":")[0] == name and one.validity is Validity.VOID for one in verdict.gates)
    return " ".join(one.value for one in verdict.gates if one.id.split(":")[0] == name)


def test_a_run_without_its_end_is_void_and_aborted() -> None:
    broken = replace(GOOD, complete=False, power=Series(np.zeros(0, np.int64), np.zeros(0)), signals={})
    assert voided(broken, "recording") == "breaks off"
    assert judge(broken, [FFR]).outcome is Outcome.ABORTED


def test_a_controller_that_was_never_ready_voids_the_run() -> None:
    assert voided(replace(GOOD, sut_ready=False), "controller") == "never ready"


def test_a_grid_that_never_reached_the_trigger_voids_the_run() -> None:
    assert "its lowest was 59.84 Hz" in voided(GOOD, "stimulus", UFR)


def test_a_run_without_an_event_of_the_services_kind_is_void() -> None:
    assert voided(GOOD, "stimulus", QUIET) == "no event of its kind"


def test_a_service_of_another_system_is_void() -> None:
    assert voided(GOOD, "system", load_service("nordic_ffr_1_3")) == "60 Hz"


def test_a_trigger_that_was_passed_before_the_event_is_no_stimulus() -> None:
    signal = GOOD.signals["frequency"]
    low = {**GOOD.signals, "frequency": type(signal).constant(59.5)}
    assert "before the event already" in voided(replace(GOOD, signals=low), "stimulus")


def test_a_dead_meter_voids_the_run() -> None:
    dead = replace(GOOD.power, value=np.full(GOOD.power.value.size, np.nan))
    assert "0 samples" in voided(replace(GOOD, power=dead), "meter")
    assert voided(replace(GOOD, meter_gap_ns=6 * S), "meter")
    assert judge(replace(GOOD, meter_gap_ns=2 * S), [FFR]).validity is Validity.SUSPECT


def test_a_meter_that_says_nothing_for_a_while_is_not_alive_although_its_stamps_go_on() -> None:
    def silent(seconds: float, begin: int = GOOD.events[0].stop_ns + 100 * S) -> RunFacts:
        gone = (GOOD.power.t_ns > begin) & (GOOD.power.t_ns < begin + round(seconds * S))
        return replace(GOOD, power=replace(GOOD.power, value=np.where(gone, np.nan, GOOD.power.value)))

    assert judge(silent(2.0), [FFR]).validity is Validity.SUSPECT
    assert "longest gap 8.02 s" in voided(silent(8.0), "meter")
    assert "longest gap 8 s" in voided(silent(100.0, int(GOOD.power.t_ns[-1]) - 8 * S), "meter")


def test_a_device_of_the_bench_that_broke_makes_the_run_suspect() -> None:
    verdict = judge(replace(GOOD, device_defects=2), [FFR])
    assert verdict.validity is Validity.SUSPECT
    assert "suspect: Emulated devices sound: 2 errors of their own; required: none" in verdict.reasons[0]


def test_a_gap_where_it_matters_makes_the_check_not_computable_and_the_run_void() -> None:
    value = GOOD.power.value.copy()
    begin = GOOD.events[0].start_ns
    value[(GOOD.power.t_ns > begin + S // 20) & (GOOD.power.t_ns < begin + S)] = np.nan
    run = replace(GOOD, power=replace(GOOD.power, value=value))
    assert "gap" in voided(run, "computable")
    assert judge(run, [FFR]).checks[0].outcome is Outcome.DONE


def test_a_recording_shorter_than_the_run_is_void() -> None:
    keep = GOOD.power.t_ns < GOOD.events[0].start_ns + S
    short = replace(GOOD.power, t_ns=GOOD.power.t_ns[keep], value=GOOD.power.value[keep])
    assert "not in the recording" in voided(replace(GOOD, power=short), "computable")


def test_an_unsteady_baseline_is_suspect_then_void() -> None:
    wobble = np.sin(GOOD.power.t_ns / S * 20)
    before = GOOD.power.t_ns < GOOD.events[0].start_ns

    def run(share: float) -> RunFacts:
        value = GOOD.power.value + np.where(before, wobble * share * COMMITMENT_W, 0.0)
        return replace(GOOD, power=replace(GOOD.power, value=value))

    assert judge(run(0.01), [FFR]).validity is Validity.VALID
    assert judge(run(0.05), [FFR]).validity is Validity.SUSPECT
    assert voided(run(0.2), "baseline")


def test_a_site_that_draws_less_than_it_sold_voids_the_run() -> None:
    assert "kW" in voided(replace(GOOD, commitment_w=2 * NOMINAL_W), "headroom")


def test_a_late_bench_is_suspect_then_void() -> None:
    assert judge(replace(GOOD, lateness_p99_ns=3_000_000), [FFR]).validity is Validity.SUSPECT
    assert voided(replace(GOOD, lateness_p99_ns=30_000_000), "lateness")


def test_a_run_judged_by_nothing_is_void() -> None:
    verdict = judge(GOOD, [])
    assert (verdict.outcome, verdict.validity) == (Outcome.DONE, Validity.VOID)
    assert gate(verdict, "judged").value == "0 checks"


def test_a_service_of_which_nothing_was_judged_has_not_passed_beside_another_that_has() -> None:
    def run(delay_s: float) -> RunFacts:
        whole = facts("ercot_rrs_ffr_short", lambda timeline: shed(timeline, delay_s)[:3])
        return replace(whole, stop_ns=whole.events[0].stop_ns + 10 * S)

    assert judge(run(0.2), [FFR]).validity is Validity.VALID
    assert voided(run(0.2), "judged", FFR, RAMP) == "3 checks 0 checks"
    late = judge(run(0.4), [FFR, RAMP])
    assert (late.outcome, late.validity, exit_code(late)) == (Outcome.FAIL, Validity.SUSPECT, 1)


# ----------------------------------------------------------------------------------------------- the controller's fault


def test_a_controller_that_crashed_has_failed_with_the_reason() -> None:
    verdict = judge(replace(GOOD, sut_exit="exit code 1: ValueError"), [FFR])
    assert (verdict.outcome, exit_code(verdict)) == (Outcome.FAIL, 1)
    assert verdict.reasons[0] == "the controller ended before the run did: exit code 1: ValueError"


def test_a_crash_before_ready_is_the_controllers_failure_not_a_void_run() -> None:
    crashed = replace(NULL, sut_ready=False, sut_exit="exit code 1", contacts={})
    verdict = judge(crashed, [RAMP])
    assert (verdict.outcome, verdict.validity, exit_code(verdict)) == (Outcome.FAIL, Validity.SUSPECT, 1)


def test_a_crash_in_a_run_that_breaks_off_is_void() -> None:
    assert voided(replace(GOOD, sut_exit="exit code 1", complete=False), "recording")


def test_a_line_that_the_bench_lost_voids_whatever_the_controller_seems_to_have_done() -> None:
    lost = (Occurrence(GOOD.armed_ns, LINE_LOST, {"reason": "line plc: /dev/ttyUSB1 is gone"}),)
    for run in (GOOD, NULL, replace(GOOD, sut_exit="stopped answering")):
        assert voided(replace(run, occurrences=lost), "lines") == "line plc: /dev/ttyUSB1 is gone"
    assert not any(one.id == "lines" for one in judge(GOOD, [FFR]).gates)


def test_a_declared_failure_is_carried_to_the_verdict() -> None:
    verdict = judge(replace(NULL, expected="fail"), [FFR])
    assert verdict.expected is Outcome.FAIL
    assert verdict.as_expected
    assert judge(replace(NULL, expected=""), [FFR]).expected is None


# --------------------------------------------------------------------------------------------------------------- laws


@settings(max_examples=25)
@given(st.integers(min_value=-20 * S + 1, max_value=10**15))
def test_a_verdict_does_not_depend_on_when_the_run_was(shift: int) -> None:
    moved = replace(
        GOOD,
        power=replace(GOOD.power, t_ns=GOOD.power.t_ns + shift),
        signals={name: signal.shifted(shift) for name, signal in GOOD.signals.items()},
        events=tuple(replace(e, start_ns=e.start_ns + shift, stop_ns=e.stop_ns + shift) for e in GOOD.events),
        armed_ns=GOOD.armed_ns + shift,
        stop_ns=GOOD.stop_ns + shift,
    )
    here, there = judge(GOOD, [FFR, RAMP]), judge(moved, [FFR, RAMP])
    assert [check.outcome for check in here.checks] == [check.outcome for check in there.checks]
    assert [check.margin for check in there.checks] == pytest.approx([check.margin for check in here.checks])
    assert here.validity == there.validity


@given(st.sampled_from([1e-3, 0.1, 10.0, 1e3]), st.sampled_from([0.1, 0.24, 0.26, 2.0]))
def test_a_verdict_does_not_depend_on_the_size_of_the_site(scale: float, delay_s: float) -> None:
    run = facts("ercot_rrs_ffr_short", lambda timeline: shed(timeline, delay_s))
    scaled = replace(
        run,
        power=replace(run.power, value=run.power.value * scale),
        nominal_w=run.nominal_w * scale,
        commitment_w=run.commitment_w * scale,
    )
    here, there = judge(run, [FFR, UFR]), judge(scaled, [FFR, UFR])
    assert [check.outcome for check in here.checks] == [check.outcome for check in there.checks]
    assert [check.margin for check in here.checks] == pytest.approx([check.margin for check in there.checks])


@settings(max_examples=25)
@given(st.floats(min_value=0.0, max_value=3.0), st.floats(min_value=0.0, max_value=3.0))
def test_a_slower_site_never_does_better(delay_s: float, more_s: float) -> None:
    def margin(delay: float) -> float:
        check = judge(facts("ercot_rrs_ffr_short", lambda timeline: shed(timeline, delay)), [FFR]).checks[0]
        return -np.inf if check.margin is None else check.margin

    assert margin(delay_s + more_s) <= margin(delay_s) + 1e-3


def test_judging_twice_gives_the_same_verdict_and_order_of_signals_does_not_matter() -> None:
    turned = replace(GOOD, signals=dict(reversed(list(GOOD.signals.items()))))
    assert judge(GOOD, [FFR, RAMP]) == judge(turned, [FFR, RAMP])


def test_a_site_of_which_nothing_comes_back_after_the_recall_is_not_passed() -> None:
    gone = facts("ercot_rrs_ufr_short", lambda t: shed(t, 0.3, 1.02)[:3])
    verdict = judge(gone, [UFR])
    restored = next(check for check in verdict.checks if check.id == "restored")
    assert restored.outcome is Outcome.INCONCLUSIVE
    assert isinstance(restored.measured, NotReached)
    assert "nothing had come back" in restored.measured.reason
    assert verdict.outcome is Outcome.INCONCLUSIVE


def test_a_site_that_is_on_its_way_back_when_the_recording_ends_is_not_doubted() -> None:
    slow = facts("ercot_rrs_ufr_short", lambda t: shed(t, 0.3, 1.02, ramp_s=4000.0))
    verdict = judge(slow, [UFR])
    assert "restored" not in {check.id for check in verdict.checks}
    assert any("restored" in reason for reason in verdict.not_judged)
    assert verdict.outcome is Outcome.PASS


def test_a_site_that_comes_back_without_any_recall_has_not_stayed_off() -> None:
    def early(timeline: Timeline) -> list[tuple[float, float]]:
        start = timeline.events[0].start_ns / S
        return [(0, 0), (start + 0.3, 0), (start + 0.3, 1.02), (start + 250.0, 1.02), (start + 280.0, 0)]

    base = facts("ercot_rrs_ufr_short", early)
    never = replace(base, signals={**base.signals, "recall": Signal.constant(0.0)})
    stayed = next(check for check in judge(never, [UFR]).checks if check.id == "stay_off")
    assert stayed.outcome is Outcome.FAIL


def test_a_bench_that_froze_across_the_event_has_run_no_experiment() -> None:
    assert voided(replace(GOOD, lateness_max_ns=3_000_000_000), "freeze")
    assert judge(replace(GOOD, lateness_max_ns=50_000_000), [FFR]).validity is Validity.SUSPECT


def test_what_was_odd_in_a_controllers_manners_is_told_and_makes_the_run_suspect() -> None:
    odd = ("ignored SIGTERM for 5 s and was killed", "wrote 9.0 MB to stdout, of which 8.4 MB are kept")
    verdict = judge(replace(GOOD, sut_notes=odd), [FFR])
    assert (verdict.outcome, verdict.validity) == (Outcome.PASS, Validity.SUSPECT)
    assert gate(verdict, "manners").value == "; ".join(odd)
    assert any("ignored SIGTERM" in reason for reason in verdict.reasons)


def test_why_a_controller_was_not_ready_stands_in_the_reason() -> None:
    why = Occurrence(0, "sut_not_ready", {"reason": "no 'ready' on stdout"})
    verdict = judge(replace(GOOD, sut_ready=False, occurrences=(why,)), [FFR])
    assert verdict.validity is Validity.VOID
    assert gate(verdict, "controller").value == "never ready: no 'ready' on stdout"
