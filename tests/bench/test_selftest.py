"""The self-test: every shipped faulty controller is caught, and a bench that is not to be trusted is noticed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from bench import selftest
from bench.attach import controllers
from bench.boundary.bisect import Boundary, Probe, families
from bench.cli import app
from bench.judge import judge
from bench.report.words import case_word
from bench.selftest import Fate, Mutant, SelfTest, Wiring, matrix, page, report, wiring
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
    return matrix.fate(MUTANT, ["dip"], {("slow", "dip"): mutant, ("reference", "dip"): PASSED})


EDGE = Boundary(
    "ffr", "reach", "high", 0.25, "s", flips=0.251, passes=0.243, fails=0.259, u=0.004, resolution=0.0001,
    probes=(Probe(0.2, Outcome.PASS), Probe(0.25, Outcome.INCONCLUSIVE), Probe(0.3, Outcome.FAIL)),
)  # fmt: skip


def result(**changes: Any) -> SelfTest:
    good = SelfTest(
        Verdict("reference", (PASSED,)),
        Verdict("null", (VOIDED,)),
        (Fate(MUTANT, "killed", "reach", (("dip", "ffr.reach"),)),),
        (Wiring("severed_meter", "no power", "VOID"),),
        (EDGE,),
        (),
    )
    return replace(good, **changes)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `ramprig selftest --quick --json` prints, with its exit code."""
    folder = tmp_path_factory.mktemp("selftest")
    done = CliRunner().invoke(app, ["selftest", "--quick", "--json", "--out", str(folder)])
    said: dict[str, Any] = json.loads(done.stdout)
    return {**said, "exit_code": done.exit_code, "folder": folder}


@pytest.mark.timeout(900)
@pytest.mark.slow
class TestTheShippedBench:
    def test_has_no_problem(self, quick: dict[str, Any]) -> None:
        assert quick["problems"] == []
        assert quick["exit_code"] == 0

    def test_passes_the_reference_and_never_passes_nothing_at_all(self, quick: dict[str, Any]) -> None:
        assert quick["reference"]["outcome"] == "PASS"
        assert quick["null"]["outcome"] == "VOID"

    def test_catches_one_faulty_controller_for_every_check_that_is_declared(self, quick: dict[str, Any]) -> None:
        assert {m["declared"] for m in quick["mutants"]} == {one.check for one in selftest.mutants()}
        assert all(m["killed"] and m["by_check"] == m["declared"] for m in quick["mutants"])

    def test_finds_one_limit_of_every_formula_where_it_stands(self, quick: dict[str, Any]) -> None:
        assert len(quick["boundaries"]) == len(list(families()))
        assert all(edge["holds"] for edge in quick["boundaries"])

    def test_says_what_the_reference_page_says(self, quick: dict[str, Any]) -> None:
        published = {fate["id"]: fate for fate in json.loads(page.DATA.read_text(encoding="utf-8"))["mutants"]}
        for fate in quick["mutants"]:
            known = published[fate["id"]]
            here = [kill for kill in known["kills"] if kill["scenario"] == fate["scenario"]]
            assert fate["kills"] == here, "run: python -m bench.selftest.page"

    def test_writes_its_report(self, quick: dict[str, Any]) -> None:
        assert {path.name for path in quick["folder"].iterdir()} == {
            "report.html", "boundaries.svg", "selftest.json",
        }  # fmt: skip

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
    failed = verdict(Outcome.FAIL, check("reach", Outcome.FAIL), check("hold", Outcome.PASS), trace="a")
    assert fate(failed).status == "not exercised"


def test_a_mutant_that_differs_in_what_is_measured_beside_the_power_was_exercised() -> None:
    stormy = replace(check("reach", Outcome.FAIL), measured=Quantity(300.0, "requests"))
    assert fate(verdict(Outcome.FAIL, stormy, check("hold", Outcome.PASS), trace="a")).status == "killed"


def test_a_good_result_has_no_problem() -> None:
    assert result().problems == ()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"reference": Verdict("reference", (verdict(Outcome.FAIL),))}, "the reference does not pass dip: FAIL"),
        ({"reference": Verdict("reference", (replace(PASSED, validity=Validity.SUSPECT),))}, "does not pass dip"),
        ({"null": Verdict("null", (PASSED,))}, "nothing attached passes dip"),
        ({"fates": (Fate(MUTANT, "survived", "", ()),)}, "slow: survived; reach was to catch it in dip"),
        ({"fates": (Fate(MUTANT, "not exercised", "reach", ()),)}, "slow: not exercised"),
        ({"wiring": (Wiring("severed_meter", "no power", "FAIL"),)}, "severed_meter: ends FAIL where VOID or ERROR"),
        ({"unproven": ("ffr.hold",)}, "ffr.hold: no faulty controller fails it, and no boundary was found"),
        ({"boundaries": (replace(EDGE, flips=0.26),)}, "ffr.reach: flips at 0.26 s, 0.0082 s at most from its limit"),
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
    for cut in (wiring.severed_meter, wiring.swapped_channels):
        assert case_word(judge(cut(run), [service])) == "VOID"


def test_the_published_page_is_the_one_that_its_data_and_the_shipped_controllers_make() -> None:
    data = json.loads(page.DATA.read_text(encoding="utf-8"))
    assert data["ok"]
    declared = {(fate["id"], fate["scenario"], fate["declared"]) for fate in data["mutants"]}
    assert declared == {(one.id, one.scenario, one.check) for one in selftest.mutants()}
    assert page.PAGE.read_text(encoding="utf-8") == page.rendered(data), "run: python -m bench.selftest.page"


def test_the_quick_choice_has_one_mutant_for_each_check_in_the_shortest_scenario_there_is() -> None:
    faulty = [Mutant("a", "long", "reach"), Mutant("b", "short", "reach"), Mutant("c", "long", "hold")]
    chosen = matrix.quick_choice(faulty, {"long": 9, "short": 1})
    assert [one.id for one in chosen] == ["b", "c"]


def test_the_whole_matrix_plays_everybody_in_the_short_scenarios_and_the_long_ones_first() -> None:
    faulty = [Mutant("a", "long", "reach"), Mutant("b", "short", "reach")]
    asked = matrix.pairs(faulty, {"long": 2 * matrix.CROSS_NS, "short": matrix.CROSS_NS}, quick=False)
    assert set(asked) == {
        *((name, scenario) for name in ("reference", "null") for scenario in ("long", "short")),
        ("a", "long"), ("b", "short"), ("a", "short"),
    }  # fmt: skip
    assert [scenario for _, scenario in asked] == sorted((scenario for _, scenario in asked))


def test_a_scenario_that_no_chosen_mutant_needs_is_not_played() -> None:
    asked = matrix.pairs([Mutant("a", "one", "reach")], {"one": 5, "other": 5}, quick=True)
    assert {scenario for _, scenario in asked} == {"one"}


def test_the_report_escapes_what_it_shows_and_marks_who_was_caught() -> None:
    shown = report.html(
        result(fates=(Fate(replace(MUTANT, defect="<b>late</b>"), "killed", "reach", KILLS, ("dip",)),))
    )
    assert "&lt;b&gt;late" in shown
    assert "●" in shown
    assert "The bench can fail" in shown
    assert "is not to be trusted" in report.html(result(null=Verdict("null", (PASSED,))))


KILLS = (("dip", "ffr.reach"),)


def test_killers_name_those_first_that_declare_the_check() -> None:
    stray = Fate(Mutant("also", "other", "hold"), "killed", "hold", (("dip", "ffr.reach"), ("other", "ffr.hold")))
    own = Fate(MUTANT, "killed", "reach", KILLS)
    assert result(fates=(stray, own)).killers == {"ffr.hold": ("also",), "ffr.reach": ("slow", "also")}
