"""An earlier run is replaced; anything else is left alone, whatever --out names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.config import ConfigError
from bench.out_folder import REPORTS, fresh, prepare
from bench.record import RUN_FILES


def a_run(folder: Path) -> Path:
    """A folder as a run leaves it."""
    folder.mkdir(parents=True)
    for name in (*RUN_FILES, *REPORTS, "campaign.json"):
        if name in ("sut", "attachments"):
            (folder / name / "deep").mkdir(parents=True)
            (folder / name / "deep" / "log.txt").write_text("x")
        else:
            (folder / name).write_text("{}")
    (folder / "run.json").write_text(json.dumps({"schema": 1, "case": "x"}))
    return folder


def a_suite(out: Path) -> Path:
    a_run(out / "one")
    for name in REPORTS:
        (out / name).write_text("old")
    (out / "verdict.json").write_text(json.dumps({"schema": 1, "cases": []}))
    return out


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every path below `folder` with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def refused(act: object, *arguments: object) -> str:
    with pytest.raises(ConfigError) as caught:
        act(*arguments)  # type: ignore[operator]
    return str(caught.value)


# ---- one run folder --------------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    fresh(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_an_earlier_run_is_replaced(tmp_path: Path) -> None:
    fresh(a_run(tmp_path / "run"))
    assert list((tmp_path / "run").iterdir()) == []


def test_a_run_of_which_only_the_beginning_was_written_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json.part").write_text("{")
    fresh(tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("name", ["notes.txt", "my results", ".git", "truth.csv"])
def test_a_run_with_something_else_in_it_is_left_alone(tmp_path: Path, name: str) -> None:
    run = a_run(tmp_path / "run")
    (run / name).mkdir()
    before = tree(run)
    assert f"{run}: holds {name}, which is no part of a run" in refused(fresh, run)
    assert tree(run) == before


def test_a_folder_with_a_run_json_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"name": "my npm thing"}')
    assert "is not empty and holds no run" in refused(fresh, tmp_path / "run")
    assert (tmp_path / "run" / "run.json").exists()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    run = a_run(tmp_path / "precious")
    (tmp_path / "run").symlink_to(run)
    assert "is a link" in refused(fresh, tmp_path / "run")
    (tmp_path / "broken").symlink_to(tmp_path / "nothing")
    assert "is a link" in refused(fresh, tmp_path / "broken")
    assert (run / "run.json").exists()


def test_a_link_inside_a_run_is_removed_but_not_what_it_names(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "data").write_text("x")
    run = a_run(tmp_path / "run")
    (run / "sut" / "link").symlink_to(precious)
    (run / "frames.parquet").unlink()
    (run / "frames.parquet").symlink_to(precious / "data")
    fresh(run)
    assert (precious / "data").read_text() == "x"


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("x")
    assert "is a file where a run folder is wanted; choose another folder with --out" in refused(
        fresh, tmp_path / "run"
    )
    assert "--out" in refused(fresh, tmp_path / "run" / "deeper")
    assert (tmp_path / "run").read_text() == "x"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.sampled_from([*RUN_FILES, *REPORTS, "notes.txt", "src", "data.csv"])), st.booleans())
def test_whatever_a_folder_holds_a_stranger_in_it_survives(
    tmp_path_factory: pytest.TempPathFactory, names: set[str], ours: bool
) -> None:
    folder = tmp_path_factory.mktemp("folder")
    for name in names:
        (folder / name).write_text("x")
    if ours:
        (folder / "run.json").write_text(json.dumps({"schema": 1, "case": "x"}))
    before = tree(folder)
    strangers = names & {"notes.txt", "src", "data.csv"}
    try:
        fresh(folder)
    except ConfigError:
        assert tree(folder) == before
    else:
        assert not strangers
        assert tree(folder) == {}


# ---- the folder around them ------------------------------------------------------------------------------------------


def test_nothing_of_an_earlier_suite_is_left_to_be_mistaken_for_this_one(tmp_path: Path) -> None:
    out = a_suite(tmp_path / "out")
    a_run(out / "other")
    prepare(out, ["one", "two"])
    assert {path.name for path in out.iterdir()} == {"one", "two", "other"}
    assert list((out / "one").iterdir()) == []
    assert (out / "other" / "run.json").exists()


def test_an_unrelated_folder_keeps_everything_it_holds(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.c").write_text("x")
    (tmp_path / "README").write_text("x")
    before = tree(tmp_path)
    prepare(tmp_path, ["one"])
    assert tree(tmp_path) == {**before, "one": None}


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_of_somebody_else_is_not_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"not": "ours"}')
    assert f"{name} there is no report of ramprig; choose another folder with --out" in refused(
        prepare, tmp_path, ["a"]
    )
    assert tree(tmp_path) == {name: b'{"not": "ours"}'}


def test_nothing_is_removed_where_one_of_the_runs_cannot_be(tmp_path: Path) -> None:
    out = a_suite(tmp_path / "out")
    (out / "two").mkdir()
    (out / "two" / "thesis.doc").write_text("x")
    before = tree(out)
    assert "two: is not empty and holds no run" in refused(prepare, out, ["one", "two"])
    assert tree(out) == before


def test_a_run_is_no_place_for_runs(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run")
    before = tree(run)
    assert "is itself a run; name the folder above it with --out" in refused(prepare, run, ["a"])
    assert tree(run) == before


def test_a_file_is_no_place_for_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert "is a file; choose a folder with --out" in refused(prepare, tmp_path / "file", ["a"])
