"""The run folder: what is read back is what the site did, to the bit; what breaks off or is damaged says so."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import record
from bench.case_file import load_cases
from bench.config import validate
from bench.layout import lay_out
from bench.play import plan, play
from bench.record import Recorder, RunFolderError, Truth, read_run
from bench.rig import Rig
from bench.rig_file import RigFile
from bench.services import load_service
from bench.session import judge_again, judge_folder
from bench.verdict import Outcome, Validity
from emulator.clock import Clock, run
from emulator.seed import Seed
from emulator.timeline import Signal
from emulator.wire import MILLISECOND, SECOND
from tests.bench.small import CASE, RIG, write

S = SECOND
ANALYSER = {"rate_hz": 100.0, "window_ns": 20 * MILLISECOND, "u_w": 0.0, "u_time_ns": 0.0}
LOADS = """
[site]
transformer_loss = "2 %"
idle = "321 W"

[[load]]
id = "job"
kind = "ai_training"
power = "5 kW"
at = "feeder-1"

[[load]]
id = "house"
kind = "house"
power = "700 W"
"""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the small case; do not write into it."""
    folder = tmp_path_factory.mktemp("played")
    case = load_cases(str(write(folder)))[1][0]
    play(plan(case), folder / "run")
    return folder / "run"


@pytest.fixture
def folder(played: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    shutil.copytree(played, tmp_path / "run")
    return tmp_path / "run"


def live_and_read(folder: Path, act: Callable[[Rig], object]) -> tuple[Rig, Any]:
    """A site that is switched about for a minute, and the facts read back from its recording."""

    async def main(clock: Clock) -> Rig:
        rig = Rig(lay_out(validate(tomllib.loads(RIG + LOADS), RigFile, "rig.toml"), "rig.toml"), clock, Seed(3), 60.0)
        recorder = Recorder(folder, {"case": "x", "title": "x"}, "")
        levels = {"nominal_hz": 60.0, "nominal_w": rig.nominal_w, "commitment_w": rig.file.commitment}
        recorder.describe(armed_ns=2 * S, lead_in_ns=2 * S, analyser=ANALYSER, **levels)
        act(rig)
        await clock.sleep(60 * S)
        rig.fleet.advance(clock.now())
        truth = Truth(
            rig.fleet.log, rig.site.row_weights(), rig.fleet.nominal_w, tuple(spec.id for spec in rig.fleet.specs),
            rig.site.loads(), rig.site.spec.idle_w,
        )  # fmt: skip
        recorder.finish(clock.now(), truth, rig.grid.signals)
        return rig

    rig = run(main)
    return rig, read_run(folder)


def switch_about(rig: Rig) -> None:
    rig.site.outlets["pdu-01.1"].switch(False, 20 * S)
    rig.site.outlets["pdu-02.3"].switch(False, 21 * S)
    rig.site.outlets["pdu-01.1"].switch(True, 40 * S)
    rig.units[5].run("sleep", 25 * S)


# ---- truth -----------------------------------------------------------------------------------------------------------


def test_what_is_read_is_what_the_site_drew(tmp_path: Path) -> None:
    rig, facts = live_and_read(tmp_path / "run", switch_about)
    series = facts.power
    assert series.t_ns[0] == 10 * MILLISECOND
    assert facts.stop_ns - series.t_ns[-1] < 20 * MILLISECOND
    half = 10 * MILLISECOND
    for index in np.linspace(0, series.t_ns.size - 1, 300).astype(int).tolist():
        at = int(series.t_ns[index])
        true_w = rig.site.poi.energy_j(at - half, at + half) / (2 * half * 1e-9)
        assert series.value[index] == pytest.approx(true_w, rel=1e-9)
    assert series.value.max() - series.value.min() > 5_000


def test_an_analyser_without_a_window_reads_instants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ANALYSER, "window_ns", 0)
    rig, facts = live_and_read(tmp_path / "run", switch_about)
    for index in range(0, facts.power.t_ns.size, 97):
        at = int(facts.power.t_ns[index])
        assert facts.power.value[index] == pytest.approx(rig.site.poi.power_w(at), rel=1e-9)


def test_a_very_long_run_is_sampled_more_coarsely_instead_of_filling_the_memory(
    played: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine = read_run(played).power
    monkeypatch.setattr(record, "_MOST_SAMPLES", 500)
    coarse = read_run(played).power
    assert fine.t_ns.size > 40_000
    assert 490 <= coarse.t_ns.size <= 500


def test_the_heat_map_has_a_row_for_each_miner_and_shows_who_was_off(tmp_path: Path) -> None:
    _, facts = live_and_read(tmp_path / "run", switch_about)
    heat = facts.heat
    assert heat.share.shape == (8, heat.t_ns.size)
    column = int(np.searchsorted(heat.t_ns, 30 * S))
    assert heat.share[0, column] == pytest.approx(0.0, abs=1e-6)
    assert heat.share[1, column] == pytest.approx(1.0, abs=0.1)


def test_a_run_that_took_no_time_has_no_heat_map_and_no_samples(folder: Path) -> None:
    edit_document(folder, "stop", lambda d: d.update(t_ns=0))
    facts = read_run(folder)
    assert (facts.heat, facts.power.t_ns.size, facts.complete) == (None, 0, True)


def test_the_grids_signals_come_back_as_they_were(played: Path) -> None:
    signals = read_run(played).signals
    assert sorted(signals) == ["dispatch", "frequency", "price", "recall", "voltage"]
    assert signals["frequency"].at(20 * S) == 59.69
    assert signals["recall"].at(39 * S) == 0
    assert signals["recall"].at(40 * S) == 1


def test_the_hash_of_what_was_read_is_the_hash_that_was_written(played: Path) -> None:
    truth = record._read_truth(played / "truth.parquet")
    signals = record._read_signals(played / "signals.parquet")
    assert truth.sha256(signals) == read_run(played).trace_sha256
    assert truth.sha256({**signals, "price": Signal.constant(1e-9)}) != read_run(played).trace_sha256


def test_the_same_case_and_seed_leave_the_same_recording(played: Path, tmp_path: Path) -> None:
    case = load_cases(str(write(tmp_path)))[1][0]
    play(plan(case), tmp_path / "run")
    for name in ("documents.jsonl", "config.toml", "truth.parquet", "signals.parquet", "frames.parquet"):
        assert (tmp_path / "run" / name).read_bytes() == (played / name).read_bytes(), name


# ---- judging it ------------------------------------------------------------------------------------------------------


def test_a_recording_judged_under_another_service_is_judged_as_if_it_had_been_run_for_it(
    played: Path, tmp_path: Path
) -> None:
    other = "service:ercot_rrs_ufr"
    case = load_cases(str(write(tmp_path, case=CASE.replace("service:ercot_rrs_ffr", other))))[1][0]
    play(plan(case), tmp_path / "run")
    first, _ = judge_folder(tmp_path / "run", [load_service("ercot_rrs_ufr")], case)
    (again,) = judge_again([played], [other])[0].cases
    assert again.checks
    assert again.checks == first.checks
    assert again.trace_sha256 == first.trace_sha256


def test_without_a_service_the_run_is_judged_under_its_own(played: Path) -> None:
    verdict, facts = judge_again([played], [])
    (case,) = verdict.cases
    assert {check.service for check in case.checks} == {"ercot_rrs_ffr"}
    assert (case.outcome, case.validity, verdict.exit_code) == (Outcome.PASS, Validity.VALID, 0)
    assert list(facts) == ["run"]


def test_runs_of_one_name_from_two_folders_are_told_apart(played: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(played, tmp_path / name / "run")
    verdict, facts = judge_again([tmp_path / "a", tmp_path / "b", tmp_path / "a" / "run"], [])
    assert [case.id for case in verdict.cases] == list(facts) == [str(tmp_path / n / "run") for n in ("a", "b")]


def test_the_folder_tells_everything_that_was_in_force(played: Path) -> None:
    config = tomllib.loads((played / "config.toml").read_text())
    assert config["case"]["lead_in"] == 10 * S
    assert config["rig"]["feeder"][0]["loss"] == 0.015
    info = record.read_info(played)
    assert info["services"] == ["service:ercot_rrs_ffr"]
    assert (info["case"], info["seed"], info["time"]) == ("dip", 1, "virtual")
    assert set(info["versions"]) == {"ramprig", "numpy", "pymodbus"}
    known = {path.name for path in played.iterdir()}
    assert known <= set(record.RUN_FILES)


# ---- what breaks off, and what is damaged ----------------------------------------------------------------------------


def cut_after(folder: Path, lines: int, rest: str = "") -> None:
    """Leave the folder as a kill would have, after so many documents."""
    file = folder / "documents.jsonl"
    kept = file.read_text().splitlines(keepends=True)[:lines]
    file.write_text("".join(kept) + rest)
    for name in ("truth.parquet", "signals.parquet", "frames.parquet"):
        (folder / name).unlink(missing_ok=True)


@pytest.mark.parametrize("lines", [0, 1, 2, 3])
@pytest.mark.parametrize("rest", ["", '{"document": "ev', '"half a line'])
def test_a_run_that_was_killed_is_read_and_void(folder: Path, lines: int, rest: str) -> None:
    cut_after(folder, lines, rest)
    verdict, _ = judge_again([folder], [])
    (case,) = verdict.cases
    assert (case.validity, verdict.exit_code) == (Validity.VOID, 3)
    assert case.outcome is Outcome.ABORTED
    assert any("Recording complete: breaks off" in reason for reason in case.reasons)


def test_a_run_that_was_killed_before_its_first_document_is_void_too(folder: Path) -> None:
    cut_after(folder, 0)
    (folder / "documents.jsonl").unlink()
    (folder / "config.toml").unlink()
    assert judge_again([folder], [])[0].exit_code == 3


def test_a_broken_off_run_says_why_the_controller_had_ended(folder: Path) -> None:
    line = json.dumps({"document": "event", "t_ns": 5 * S, "kind": "sut_exit", "reason": "controller blew up"}) + "\n"
    cut_after(folder, 2, line)
    (case,) = judge_again([folder], [])[0].cases
    assert case.validity is Validity.VOID
    assert case.reasons[0] == "the controller ended before the run did: controller blew up"


def rewrite_truth(folder: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    file = folder / "truth.parquet"
    pq.write_table(change(pq.read_table(file)), file)


def edit_json(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    table = json.loads(file.read_text())
    change(table)
    file.write_text(json.dumps(table))


def edit_document(folder: Path, kind: str, change: Callable[[dict[str, Any]], object]) -> None:
    lines = [json.loads(line) for line in (folder / "documents.jsonl").read_text().splitlines()]
    for document in lines:
        if document["document"] == kind:
            change(document)
    (folder / "documents.jsonl").write_text("".join(json.dumps(document) + "\n" for document in lines))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "run.json": lambda folder: (folder / "run.json").write_text("{"),
    "run.json no object": lambda folder: (folder / "run.json").write_text("[]"),
    "run.json bytes": lambda folder: (folder / "run.json").write_bytes(b"\xff\xfe"),
    "run.json schema": lambda folder: edit_json(folder / "run.json", lambda t: t.update(schema=99)),
    "run.json seed": lambda folder: edit_json(folder / "run.json", lambda t: t.update(seed="one")),
    "truth.parquet gone": lambda folder: (folder / "truth.parquet").unlink(),
    "truth.parquet empty": lambda folder: (folder / "truth.parquet").write_bytes(b""),
    "truth.parquet cut": lambda folder: (folder / "truth.parquet").write_bytes(
        (folder / "truth.parquet").read_bytes()[:-9]
    ),
    "truth.parquet column": lambda folder: rewrite_truth(folder, lambda t: t.drop_columns(["base_w"])),
    "truth.parquet metadata": lambda folder: rewrite_truth(folder, lambda t: t.replace_schema_metadata({})),
    "truth.parquet miners": lambda folder: rewrite_truth(
        folder, lambda t: t.replace_schema_metadata({"ramprig": '{"miners": []}'})
    ),
    "signals.parquet gone": lambda folder: (folder / "signals.parquet").unlink(),
    "signals.parquet other": lambda folder: shutil.copy(folder / "truth.parquet", folder / "signals.parquet"),
    "documents.jsonl descriptor": lambda folder: edit_document(
        folder, "descriptor", lambda d: d.update(document="other")
    ),
    "documents.jsonl commitment": lambda folder: edit_document(
        folder, "descriptor", lambda d: d.update(commitment_w=0)
    ),
    "documents.jsonl analyser": lambda folder: edit_document(folder, "descriptor", lambda d: d.pop("analyser")),
    "documents.jsonl events": lambda folder: edit_document(folder, "descriptor", lambda d: d.update(events=[{}])),
    "documents.jsonl instant": lambda folder: edit_document(folder, "stop", lambda d: d.update(t_ns="noon")),
    "documents.jsonl contacts": lambda folder: edit_document(folder, "stop", lambda d: d.update(contacts=3)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_with_the_remedy(folder: Path, damage: str) -> None:
    DAMAGES[damage](folder)
    with pytest.raises(RunFolderError) as caught:
        judge_again([folder], [])
    message = str(caught.value)
    assert message.startswith(f"{folder}/")
    assert "run it again" in message or "schema 99; this version reads schema 1" in message
    assert "\n" not in message


@pytest.fixture(scope="module")
def scratch(played: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    copy = tmp_path_factory.mktemp("scratch") / "run"
    shutil.copytree(played, copy)
    return copy


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_happens_to_the_documents_the_folder_is_read_or_refused_in_one_sentence(
    played: Path, scratch: Path, data: st.DataObject
) -> None:
    good = (played / "documents.jsonl").read_bytes()
    at = data.draw(st.integers(0, len(good)))
    stop = data.draw(st.integers(at, min(len(good), at + 40)))
    put = data.draw(st.binary(max_size=6) | st.sampled_from([b"null", b"{}", b"-1", b"1e99", b'"x"', b"\n"]))
    (scratch / "documents.jsonl").write_bytes(good[:at] + put + good[stop:])
    try:
        facts = read_run(scratch)
    except RunFolderError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert np.all(np.isfinite(facts.power.value))


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        RunFolderError, match=r"neither a run folder nor a folder of runs; name what `ramprig run` wrot"
    ):
        judge_again([tmp_path], [])
    with pytest.raises(RunFolderError, match=r"no run folder \(it has no run\.json\)"):
        read_run(tmp_path)
    with pytest.raises(RunFolderError, match="neither a run folder"):
        judge_again([tmp_path / "nothing"], [])
