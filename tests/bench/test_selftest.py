"""The self-test: every shipped faulty controller is caught, and a bench that is not to be trusted is noticed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from bench import selftest
from bench.attach import controllers
from bench.cli import app
from bench.judge import judge
from bench.report.words import case_word
from bench.selftest import Fate, Mutant, SelfTest, Wiring
from bench.services import load_service
from bench.verdict import CaseVerdict, CheckResult, Limit, Outcome, Quantity, Source, Validity, Verdict
from emulator.timeline import Signal
from tests.bench.site import facts, shed

MUTANT = Mutant("slow", "dip", "reach")


def check(name: str, outcome: Outcome) -> CheckResult:
    return CheckResult(
        name, "ffr", name, "e", Quantity(1.0, "s"), Limit("s", high=0.5), outcome, -0.5, Source("ours", "D")
    )


def verdict(
    outcome: Outcome, *checks: CheckResult, trace: str = "a", validity: Validity = Validity.VALID
) -> CaseVerdict:
    return CaseVerdict("dip", "dip", outcome, validity, checks=checks, trace_sha256=trace)


PASSED = verdict(Outcome.PASS, check("reach", Outcome.PASS), check("hold", Outcome.PASS))
VOIDED = verdict(Outcome.FAIL, validity=Validity.VOID)


def fate(mutant: CaseVerdict) -> Fate:
    return selftest.fate(MUTANT, ["dip"], {("slow", "dip"): mutant, ("reference", "dip"): PASSED})


def result(**changes: Any) -> SelfTest:
    good = SelfTest(
        Verdict("reference", (PASSED,)),
        Verdict("null", (VOIDED,)),
        (Fate(MUTANT, "killed", "reach", (("dip", "ffr.reach"),)),),
        (Wiring("severed_meter", "no power", "VOID"),),
        None,
    )
    return replace(good, **changes)


@pytest.fixture(scope="module")
def quick() -> dict[str, Any]:
    """What `ramprig selftest --quick --json` prints, with its exit code."""
    done = CliRunner().invoke(app, ["selftest", "--quick", "--json"])
    said: dict[str, Any] = json.loads(done.stdout)
    return {**said, "exit_code": done.exit_code}


@pytest.mark.timeout(240)
@pytest.mark.slow
class TestTheShippedBench:
    def test_has_no_problem(self, quick: dict[str, Any]) -> None:
        assert quick["problems"] == []
        assert quick["exit_code"] == 0

    def test_passes_the_reference_and_never_passes_nothing_at_all(self, quick: dict[str, Any]) -> None:
        assert quick["reference"]["outcome"] == "PASS"
        assert quick["null"]["outcome"] == "VOID"

    def test_catches_every_faulty_controller_by_its_declared_check(self, quick: dict[str, Any]) -> None:
        assert sorted(m["id"] for m in quick["mutants"]) == sorted(set(controllers()) - {"reference"})
        assert all(m["killed"] and m["by_check"] == m["declared"] for m in quick["mutants"])

    def test_notices_every_cut_wire(self, quick: dict[str, Any]) -> None:
        ends = {wire["id"]: wire["outcome"] for wire in quick["wiring"]}
        assert ends == {
            "severed_meter": "VOID",
            "frozen_recorder": "VOID",
            "swapped_channels": "VOID",
            "ignored_limits": "VOID",
            "yesterdays_run": "ERROR",
        }


def test_a_mutant_is_killed_by_its_declared_check_and_by_no_other() -> None:
    both = fate(verdict(Outcome.FAIL, check("hold", Outcome.FAIL), check("reach", Outcome.FAIL), trace="b"))
    assert (both.status, both.by_check) == ("killed", "reach")
    other = fate(verdict(Outcome.FAIL, check("hold", Outcome.FAIL), check("reach", Outcome.PASS), trace="b"))
    assert (other.status, other.by_check) == ("killed by another check", "hold")
    assert not other.killed


@pytest.mark.parametrize("outcome", [Outcome.PASS, Outcome.INCONCLUSIVE])
def test_what_does_not_fail_survives(outcome: Outcome) -> None:
    alive = fate(verdict(outcome, check("reach", outcome), trace="b"))
    assert (alive.status, alive.by_check) == ("survived", "")


def test_a_void_run_kills_nobody() -> None:
    crashed = verdict(Outcome.FAIL, check("reach", Outcome.FAIL), trace="b", validity=Validity.VOID)
    assert fate(crashed).status == "survived"


def test_a_mutant_with_the_trace_of_the_reference_was_not_exercised() -> None:
    assert fate(PASSED).status == "not exercised"
    assert fate(verdict(Outcome.FAIL, check("reach", Outcome.FAIL), trace="a")).status == "not exercised"


def test_a_good_result_has_no_problem() -> None:
    assert result().problems == ()
    assert result(idle=tuple(selftest.UNPROVEN)).problems == ()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"reference": Verdict("reference", (verdict(Outcome.FAIL),))}, "the reference does not pass dip: FAIL"),
        ({"reference": Verdict("reference", (replace(PASSED, validity=Validity.SUSPECT),))}, "does not pass dip"),
        ({"null": Verdict("null", (PASSED,))}, "nothing attached passes dip"),
        ({"fates": (Fate(MUTANT, "survived", "", ()),)}, "slow: survived; reach was to catch it in dip"),
        ({"fates": (Fate(MUTANT, "not exercised", "reach", ()),)}, "slow: not exercised"),
        ({"wiring": (Wiring("severed_meter", "no power", "FAIL"),)}, "severed_meter: ends FAIL where VOID or ERROR"),
        ({"idle": (*selftest.UNPROVEN, "ffr.hold")}, "ffr.hold: no faulty controller fails it"),
        ({"idle": ()}, "take it out of UNPROVEN"),
    ],
)
def test_whatever_casts_doubt_on_the_bench_is_a_problem(changes: dict[str, Any], told: str) -> None:
    assert any(told in problem for problem in result(**changes).problems)


def test_one_passing_null_shows_among_void_ones() -> None:
    assert result(null=Verdict("null", (VOIDED, PASSED))).null_word == "PASS"
    assert result().null_word == "VOID"


def test_every_faulty_controller_declares_its_killer_in_a_scenario_that_exists() -> None:
    assert {mutant.id for mutant in selftest.mutants()} == set(controllers()) - {"reference"}


def test_a_cut_wire_turns_a_passing_run_void() -> None:
    service = load_service("ercot_rrs_ffr")
    run = facts("ercot_rrs_ffr_short", lambda timeline: shed(timeline, 0.2))
    run = replace(run, signals={**run.signals, "voltage": Signal.constant(1.0)})
    assert case_word(judge(run, [service])) == "PASS"
    for cut in (selftest.severed_meter, selftest.swapped_channels):
        assert case_word(judge(cut(run), [service])) == "VOID"
