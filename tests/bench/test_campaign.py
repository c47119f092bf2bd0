"""Campaigns: what a matrix multiplies to, what is played again, and what the summary says."""

from __future__ import annotations

import csv
import json
import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench import campaign
from bench.checkup import check_file
from bench.cli import app
from bench.config import ConfigError
from bench.verdict import CaseVerdict, Outcome
from tests.bench.four import NOBODY, PASSES, TOO_SLOW, lay_out


class Here:
    """An executor that does at once, in this process, what it is given."""

    def __init__(self) -> None:
        self.given: list[str] = []

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        self.given.append(arguments[0].id)
        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        return future


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lay_out(tmp_path)
    for name, text in (("passes", PASSES), ("slow", TOO_SLOW), ("nobody", NOBODY)):
        (tmp_path / f"{name}.case.toml").write_text(text, encoding="utf-8")
    return tmp_path


def matrix(folder: Path, text: str) -> Path:
    path = folder / "nightly.matrix.toml"
    path.write_text("schema = 1\n" + text, encoding="utf-8")
    return path


def ids(folder: Path, text: str) -> list[str]:
    return [cell.id for cell in campaign.load_matrix(matrix(folder, text))[1]]


def test_a_matrix_is_the_product_of_its_axes(folder: Path) -> None:
    (folder / "other.toml").write_text((folder / "four.toml").read_text())
    found = ids(
        folder,
        """
        cases = ["passes.case.toml", "slow.case.toml"]
        rigs = ["four.toml", "other.toml"]
        seeds = [1, 7]
        [controllers]
        nobody = "null"
        Ours = "controller:reference"
        """,
    )
    assert len(found) == 2 * 2 * 2 * 2
    assert found[0] == "passes.four.nobody.s1"
    assert found[-1] == "too-slow.other.ours.s7"


def test_a_matrix_is_checked_like_any_other_file(folder: Path) -> None:
    good = check_file(str(matrix(folder, 'title = "t"\ncases = ["passes.case.toml"]\n')))
    assert (good.kind, good.problems) == ("matrix", ())
    (problem,) = check_file(str(matrix(folder, 'title = "t"\ncases = ["pases.case.toml"]\n'))).problems
    assert problem.endswith('pases.case.toml: no such file; did you mean "passes.case.toml"?')


def test_an_axis_that_is_left_out_stays_as_the_cases_say(folder: Path) -> None:
    (folder / "passes.case.toml").write_text("seeds = [3, 4]\n" + PASSES)
    assert ids(folder, 'cases = ["passes.case.toml", "nobody.case.toml"]') == ["passes.s3", "passes.s4", "nobody.s1"]


def test_a_controller_of_the_matrix_is_found_beside_the_matrix(folder: Path) -> None:
    cases = folder / "cases"
    cases.mkdir()
    (cases / "passes.case.toml").write_text(PASSES.replace('"four', '"../four').replace('"step', '"../step'))
    lay_out(cases)
    (folder / "mine.py").write_text("def controller(inventory, config): ...")
    (cell,) = campaign.load_matrix(
        matrix(folder, 'cases = ["cases/passes.case.toml"]\ncontrollers.mine = "python:mine.py:controller"')
    )[1]
    assert cell.what.rig_path.samefile(folder / "four.toml")
    before = cell.fingerprint()
    (folder / "mine.py").write_text("def controller(inventory, config): return None")
    assert cell.fingerprint() != before


def test_two_runs_of_one_name_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"2 runs would be called 'passes\.s1'"):
        campaign.load_matrix(matrix(folder, 'cases = ["passes.case.toml", "passes.case.toml"]'))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('cases = ["passes.case.toml"]\nseed = [1]', 'unknown key; did you mean "seeds"'),
        ('cases = ["pases.case.toml"]', "no such file"),
        ('cases = ["passes.case.toml"]\ncontrollers.mine = "controler:mine"', "names no controller"),
        ("cases = []", "cases"),
    ],
)
def test_a_mistake_in_a_matrix_is_told_before_anything_is_played(folder: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        campaign.load_matrix(matrix(folder, text))


def test_finished_runs_are_kept_and_the_rest_is_played(folder: Path) -> None:
    path = matrix(folder, 'cases = ["passes.case.toml", "nobody.case.toml"]')
    title, cells = campaign.load_matrix(path)
    first, again = Here(), Here()
    one = campaign.run_campaign(title, cells, folder / "out", first)
    (folder / "out" / "nobody.s1" / "campaign.json").unlink()
    kept: list[str] = []
    two = campaign.run_campaign(title, cells, folder / "out", again, lambda cell, _, old: kept.extend([cell.id] * old))
    assert first.given == ["passes.s1", "nobody.s1"]
    assert again.given == ["nobody.s1"]
    assert kept == ["passes.s1"]
    assert one == two


def test_a_run_of_other_input_is_no_finished_run(folder: Path) -> None:
    path = matrix(folder, 'cases = ["nobody.case.toml"]')
    campaign.run_campaign("t", campaign.load_matrix(path)[1], folder / "out", Here())
    rig = folder / "four.toml"
    rig.write_text(rig.read_text().replace("10 kW", "9 kW"))
    again = Here()
    campaign.run_campaign("t", campaign.load_matrix(path)[1], folder / "out", again)
    assert again.given == ["nobody.s1"]


def test_a_damaged_run_is_played_again(folder: Path) -> None:
    path = matrix(folder, 'cases = ["nobody.case.toml"]')
    cells = campaign.load_matrix(path)[1]
    campaign.run_campaign("t", cells, folder / "out", Here())
    (folder / "out" / "nobody.s1" / "truth.parquet").write_bytes(b"")
    again = Here()
    campaign.run_campaign("t", cells, folder / "out", again)
    assert again.given == ["nobody.s1"]


def test_a_process_that_dies_is_an_error_of_its_run_and_no_end_of_the_campaign(folder: Path) -> None:
    class Dies(Here):
        def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
            if arguments[0].id != "passes.s1":
                return super().submit(function, *arguments)
            future: Future[Any] = Future()
            future.set_exception(BrokenProcessPool("killed"))
            return future

    cells = campaign.load_matrix(matrix(folder, 'cases = ["passes.case.toml", "nobody.case.toml"]'))[1]
    verdict = campaign.run_campaign("t", cells, folder / "out", Dies())
    assert verdict.cases[0].outcome is Outcome.ERROR
    assert "finished runs are kept" in verdict.cases[0].reasons[0]
    assert verdict.exit_code == 4


def test_the_summary_counts_outcomes_over_seeds(folder: Path) -> None:
    cells = campaign.load_matrix(matrix(folder, 'cases = ["nobody.case.toml"]\nseeds = [1, 2]'))[1]
    heard: list[CaseVerdict] = []
    verdict = campaign.run_campaign("t", cells, folder / "out", Here(), lambda _, case, __: heard.append(case))
    assert campaign.rows(cells, verdict) == [{"case": "nobody", "runs": "2", "outcomes": "2 VOID"}]
    assert {case.id for case in heard} == {"nobody.s1", "nobody.s2"}
    with (folder / "out" / "table.csv").open(encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [(row["case"], row["seed"], row["outcome"]) for row in table] == [
        ("nobody", "1", "VOID"),
        ("nobody", "2", "VOID"),
    ]
    assert {path.name for path in (folder / "out").iterdir()} >= {"verdict.json", "junit.xml", "report.html"}


def test_the_command_plays_in_processes_and_prints_one_object(folder: Path) -> None:
    path = matrix(folder, 'cases = ["passes.case.toml", "slow.case.toml"]')
    options = ["campaign", str(path), "-n", "2", "--out", str(folder / "out"), "--json"]
    done = CliRunner().invoke(app, options)
    said = json.loads(done.stdout)
    assert done.exit_code == 1
    assert said["outcome"] == "FAIL"
    assert [row["outcomes"] for row in said["table"]] == ["1 PASS", "1 FAIL"]
    again = json.loads(CliRunner().invoke(app, options).stdout)
    assert again["kept"] == ["passes.s1", "too-slow.s1"]
    assert again["cases"] == said["cases"]


def test_leaving_early_ends_the_processes() -> None:
    others = set(multiprocessing.active_children())
    with pytest.raises(KeyboardInterrupt), campaign.processes(2) as executor:  # noqa: PT012 the submit is the scene
        hangs = executor.submit(signal.pause)
        raise KeyboardInterrupt
    assert not hangs.done() or hangs.cancelled() or isinstance(hangs.exception(), BrokenProcessPool)
    for left in set(multiprocessing.active_children()) - others:
        left.join(30)  # told to end; a busy machine takes its time
    assert set(multiprocessing.active_children()) <= others
