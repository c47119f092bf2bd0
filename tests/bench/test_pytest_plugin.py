"""The pytest plug-in, in pytest runs of its own on a rig of four miners."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree as ET

import pyarrow.parquet as _parquet
import pytest

# Runs of pytest inside this one forget what they have imported; numpy and its like must not be loaded twice.
from bench import pytest_bench as _pytest_bench
from bench import pytest_plugin
from bench import session as _session
from firmware_mocks.controllers import reference as _reference
from tests.bench.four import NOBODY, PASSES, TOO_SLOW, lay_out

LOADED = (_parquet, _pytest_bench, _session, _reference)

pytest_plugins = ["pytester"]


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder with a rig, a profile and a service."""
    lay_out(pytester.path)
    return pytester


def cases(project: pytest.Pytester, **texts: str) -> None:
    for name, text in texts.items():
        (project.path / f"{name}.case.toml").write_text(text, encoding="utf-8")


def run(project: pytest.Pytester, *options: str, apart: bool = False) -> pytest.RunResult:
    """pytest in the project; the plug-in by its module, so that it does not matter how ramprig is installed.

    Without the plug-in of hypothesis, which would be imported anew for each summary.
    """
    plugins = ("-p", "no:ramprig", "-p", "bench.pytest_plugin", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")
    arguments = (*plugins, "-W", "ignore::pytest.PytestAssertRewriteWarning", *options)
    return project.runpytest_subprocess(*arguments) if apart else project.runpytest_inprocess(*arguments)


def junit(project: pytest.Pytester) -> dict[str, ET.Element]:
    report = ET.fromstring((project.path / "junit.xml").read_text(encoding="utf-8"))  # noqa: S314 written just now
    return {case.get("name", ""): case for case in report.iter("testcase")}


def properties(case: ET.Element) -> dict[str, str]:
    return {p.get("name", ""): p.get("value", "") for p in case.iter("property")}


def test_a_pass_passes_a_fail_fails_and_a_void_is_an_error_in_junit(project: pytest.Pytester) -> None:
    cases(project, a=PASSES, b=TOO_SLOW, c=NOBODY)
    result = run(project, "--junit-xml=junit.xml")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "a.case.toml .*",
            "b.case.toml F*",
            "c.case.toml V*",
            "*FAIL: too-slow*",
            "*VOID: the experiment did not take place*",
            "*1 void*",
        ]
    )
    found = junit(project)
    assert [child.tag for child in found["passes[1]"]] == ["properties"]
    assert found["too-slow[1]"].find("failure") is not None
    assert found["nobody[1]"].find("error") is not None
    assert found["nobody[1]"].find("failure") is None
    assert found["nobody[1]"].find("skipped") is None
    told = properties(found["passes[1]"])
    assert told["ramprig.outcome"] == "PASS"
    assert told["ramprig.seed"] == "1"
    assert len(told["ramprig.trace_sha256"]) == 64
    assert {"ramprig.run_id", "ramprig.version.ramprig", "ramprig.commit"} <= told.keys()
    assert (Path(told["ramprig.folder"]) / "report.html").is_file()


def test_a_session_of_void_cases_only_is_not_green(project: pytest.Pytester) -> None:
    cases(project, c=NOBODY)
    assert run(project).ret == pytest.ExitCode.TESTS_FAILED


def test_each_seed_is_an_item_of_its_own(project: pytest.Pytester) -> None:
    cases(project, a="seeds = [1, 2, 3]\n" + PASSES)
    result = run(project, "--collect-only", "-q")
    result.stdout.fnmatch_lines([f"a.case.toml::passes[[]{seed}]" for seed in (1, 2, 3)])


def test_a_case_declared_to_fail_that_fails_is_a_pass(project: pytest.Pytester) -> None:
    cases(project, b='expect = "FAIL"\n' + TOO_SLOW)
    run(project).assert_outcomes(passed=1)


def test_a_mistake_in_a_case_file_is_one_sentence_at_collection(project: pytest.Pytester) -> None:
    cases(project, a=PASSES.replace("services =", "servces ="))
    result = run(project)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(['*a.case.toml: servces: unknown key; did you mean "services"?*'])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_rig_that_is_not_there_is_an_error_and_no_failure(project: pytest.Pytester) -> None:
    cases(project, a=PASSES.replace("four.toml", "five.toml"))
    result = run(project, "--junit-xml=junit.xml")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*five.toml: no such file; shipped rigs are named rig:NAME*"])
    assert junit(project)["passes[1]"].find("error") is not None


def test_the_fixture_plays_measures_and_judges(project: pytest.Pytester) -> None:
    cases(project, a=PASSES)
    project.makepyfile(
        test_it="""
        def test_good(bench):
            run = bench.play("a.case.toml", seed=3)
            bench.verify("reach", run.reach("deployment", 0.9), most="500 ms")
            bench.verify("before", run.power(9), least="13 kW", most="15 kW")
            bench.measure("reaction", run.reaction("deployment"))
            bench.observe("note", "all well")

        def test_too_strict(bench):
            run = bench.play("a.case.toml")
            bench.verify("reach", run.reach("deployment", 0.9), most="1 ms")
            bench.verify("before", run.power(9), least="13 kW")

        def test_beyond_the_recording(bench):
            run = bench.play("a.case.toml")
            bench.verify("later", run.power(900), most="15 kW")
        """
    )
    result = run(project, "--junit-xml=junit.xml", "test_it.py")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*FAIL: reach: * s; limit x <= 0.001 s*", "*1 void*"])
    told = properties(junit(project)["test_good"])
    assert told["ramprig.seed"] == "3"
    assert told["ramprig.verify.reach"].startswith("PASS: reach: 0.")
    assert told["ramprig.measure.reaction"].endswith(" s")
    assert Path(told["ramprig.observe.note"]).read_text() == "all well"
    assert junit(project)["test_beyond_the_recording"].find("error") is not None


def test_a_run_with_evidence_can_be_played_again(project: pytest.Pytester) -> None:
    cases(project, c='expect = "FAIL"\n' + TOO_SLOW)
    project.makepyfile(
        test_it="def test_it(bench):\n    bench.play('c.case.toml')\n    bench.observe('table', {'a': 1})\n"
    )
    for _ in range(2):
        run(project, "test_it.py").assert_outcomes(passed=1)


def test_markers_say_what_is_played(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_it="""
        import pytest

        SUT = {"kind": "python", "factory": "firmware_mocks.controllers.reference:controller",
               "config": {"commitment": {"power_w": 9000.0}, "paths": {"allowed": ["contactor"]}}}

        @pytest.mark.rig("four.toml")
        @pytest.mark.profile("step.toml")
        @pytest.mark.faults({"where": "pdu-*", "kind": "silent", "start": "5 s", "stop": "15 s"})
        def test_a_silent_pdu_is_noticed(bench):
            run = bench.play(services=("ffr.toml",), sut=SUT, lead_in="8 s", expect="FAIL")
            assert any(one.kind == "fault" for one in run.facts.occurrences)

        @pytest.mark.rig("four.toml")
        def test_without_a_profile(bench):
            bench.play(services=("ffr.toml",), sut="null")
        """
    )
    result = run(project, "--strict-markers")
    result.stdout.fnmatch_lines(["*profile: is missing; add this key*"])
    result.assert_outcomes(passed=1, errors=1)


def test_services_are_found_beside_the_test(project: pytest.Pytester) -> None:
    inner = project.mkdir("inner")
    (inner / "test_it.py").write_text(
        'def test_it(bench):\n    bench.play("../a.case.toml", rig="../four.toml")\n', encoding="utf-8"
    )
    cases(project, a=PASSES)
    run(project, "inner").assert_outcomes(passed=1)


def test_a_test_that_judged_nothing_fails_only_under_strict(project: pytest.Pytester) -> None:
    project.makepyfile("def test_idle(bench):\n    pass\n")
    run(project).assert_outcomes(passed=1)
    result = run(project, "--ramprig-strict")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*DONE: the test asked for `bench` and judged nothing*"])


def test_a_limit_is_needed_and_a_name_is_used_once(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        from bench.verdict import Quantity

        def test_it(bench):
            with pytest.raises(ValueError, match="no limit"):
                bench.verify("a", 1.0)
            with pytest.raises(ValueError, match="verify 'a': '3 kW': unknown unit 'kW'"):
                bench.verify("a", Quantity(1.0, "s"), most="3 kW")
            bench.verify("zero is a limit", 0.0, most=0)
            with pytest.raises(ValueError, match="twice"):
                bench.verify("zero is a limit", 0.0, most=0)
        """
    )
    run(project).assert_outcomes(passed=1)


def test_runs_go_where_the_option_says(project: pytest.Pytester) -> None:
    cases(project, a=PASSES)
    run(project, "--ramprig-runs-dir=out").assert_outcomes(passed=1)
    (folder,) = (project.path / "out").iterdir()
    assert folder.name.startswith("a.case.toml_passes_1")
    assert (folder / "verdict.json").is_file()


def test_options_replace_rig_controller_and_seeds_of_files_and_tests(project: pytest.Pytester) -> None:
    cases(project, a=PASSES, b=TOO_SLOW)
    (project.path / "five.toml").write_text((project.path / "four.toml").read_text().replace('"four"', '"five"'))
    project.makepyfile(
        test_it="""
        def test_it(bench):
            run = bench.play("a.case.toml")
            assert run.facts.info["rig"].endswith("five.toml")
            assert bench.play("a.case.toml", seed=9).facts.seed == 9
        """
    )
    options = ("--ramprig-rig=five.toml", "--ramprig-seeds=4,7-8", "--ramprig-time=virtual")
    listed = run(project, *options, "--collect-only", "-q")
    wanted = [f"a.case.toml::passes[[]{seed}]" for seed in (4, 7, 8)]
    wanted += [f"b.case.toml::too-slow[[]{seed}]" for seed in (4, 7, 8)]
    listed.stdout.fnmatch_lines([*wanted, *(f"test_it.py::test_it[[]{seed}]" for seed in (4, 7, 8))])
    done = run(project, *options, "--junit-xml=junit.xml", "test_it.py")
    done.assert_outcomes(passed=3)
    told = properties(junit(project)["test_it[7]"])
    assert (told["ramprig.seed"], told["ramprig.2.seed"]) == ("7", "9")
    assert told["ramprig.rig"] == str(project.path / "five.toml")
    run(project, "--ramprig-sut=null", "a.case.toml").stdout.fnmatch_lines(["*1 void*"])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--ramprig-seeds=1,x", "*--ramprig-seeds: 'x' is no seed; write whole numbers, for example 1,2,10-19*"),
        ("--ramprig-seeds=9-2", "*--ramprig-seeds: 9-2: write the lower one first*"),
        ("--ramprig-sut=controller:refrence", '*--ramprig-sut: *; did you mean "reference"?*'),
    ],
)
def test_an_option_that_cannot_be_used_is_one_sentence(project: pytest.Pytester, option: str, message: str) -> None:
    result = run(project, option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


def test_a_failure_names_its_report_and_a_hook_hears_of_each_verdict(project: pytest.Pytester) -> None:
    cases(project, a=PASSES)
    project.makeconftest(
        "def pytest_ramprig_judged(item, verdict):\n    print('heard', item.name, verdict.outcome.name)\n"
    )
    project.makepyfile(test_it="def test_it(bench):\n    bench.play('a.case.toml')\n    assert False, 'not so'\n")
    result = run(project, "-s")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["*heard passes[[]1] PASS*", "*heard test_it PASS*", "passes, seed 1: PASS; *report.html"]
    )


def test_a_coroutine_is_told_to_be_a_function(project: pytest.Pytester) -> None:
    cases(project, a=PASSES)
    project.makepyfile(
        test_it="""
        from emulator import clock

        def test_it(bench):
            async def main(_clock):
                bench.play("a.case.toml")
            clock.run(main)
        """
    )
    result = run(project, "test_it.py", "--junit-xml=junit.xml")
    result.stdout.fnmatch_lines(["*play starts an event loop of its own; write `def`, not `async def`*"])
    assert junit(project)["test_it"].find("error") is not None


@pytest.mark.skipif(find_spec("xdist") is None, reason="pytest-xdist is not installed")
def test_workers_of_xdist_say_the_same(project: pytest.Pytester) -> None:
    cases(project, a=PASSES, c=NOBODY)
    result = run(project, "-n", "2", "--junit-xml=junit.xml", apart=True)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*VOID: the experiment did not take place*", "*nobody*", "*1 void*"])
    assert junit(project)["nobody[1]"].find("error") is not None
    assert sorted(path.name[-4:-1] for path in (project.path / "runs" / "pytest").iterdir()) == ["-gw", "-gw"]


def test_the_module_imports_pytest_and_the_standard_library_only() -> None:
    tree = ast.parse(Path(pytest_plugin.__file__).read_text(encoding="utf-8"))
    imported = {
        (node.module or "").partition(".")[0] if isinstance(node, ast.ImportFrom) else alias.name.partition(".")[0]
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported - {"pytest"} <= sys.stdlib_module_names


def test_importing_it_brings_none_of_the_heavy_packages_along() -> None:
    program = "import sys, pytest; was = set(sys.modules); import bench.pytest_plugin; print(*set(sys.modules) - was)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"bench", "bench.pytest_plugin"}
