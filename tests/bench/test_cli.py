"""The command line as a stranger uses it: results on stdout, one clear message on stderr, the right exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench import library, session
from bench.play import Plan
from emulator.clock import DeadlockError
from tests.bench.small import CASE, PROFILE, RIG, Ended, ramprig, write

Capture = pytest.CaptureFixture[str]

BAD = """
import asyncio, sys

def forever():
    return asyncio.Event().wait()

async def at_start(inventory, config):
    raise ValueError("no such meter")

def in_the_factory(inventory, config):
    raise RuntimeError("no config")

async def mid_run(inventory, config):
    await asyncio.sleep(20)
    raise OSError("connection lost")

async def by_exit(inventory, config):
    await asyncio.sleep(20)
    sys.exit(0)

async def by_exit_in_a_task(inventory, config):
    task = asyncio.create_task(by_exit(inventory, config))
    await forever()

async def by_returning(inventory, config):
    await asyncio.sleep(20)

def no_coroutine(inventory, config):
    return 5

def never_ready(inventory, config, *, ready):
    return forever()

async def never_connects(inventory, config):
    await forever()
"""


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small case in a folder of its own, where the user stands."""
    monkeypatch.chdir(tmp_path)
    return write(tmp_path)


def told(ended: Ended) -> dict[str, Any]:
    """The one JSON object of a result."""
    table: dict[str, Any] = json.loads(ended.out)
    return table


def usage(ended: Ended, *sentences: str) -> None:
    """A usage error: exit code 2, nothing on stdout, and these words in one message."""
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith("ramprig: ")
    for sentence in sentences:
        assert sentence in ended.err


# ---- run -------------------------------------------------------------------------------------------------------------


def test_a_run_that_passes_prints_one_object_and_leaves_its_renderings(case: Path, capsys: Capture) -> None:
    ended = ramprig(capsys, "run", case, "--out", "out", "--json")
    assert (ended.code, ended.err) == (0, "")
    table = told(ended)
    assert (table["outcome"], table["validity"], len(table["trace_sha256"])) == ("PASS", "VALID", 64)
    (one,) = table["cases"]
    assert (one["id"], one["outcome"], one["validity"], one["seed"]) == ("dip", "PASS", "VALID", 1)
    for check in one["checks"]:
        assert {"id", "service", "value", "unit", "limit", "outcome", "margin", "source"} <= check.keys()
        assert check["source"]["grade"]
    assert json.loads(Path("out/verdict.json").read_text()) == table
    for name in ("verdict.json", "junit.xml", "report.html"):
        assert Path("out", name).is_file()
        assert Path("out/dip", name).is_file()


def test_for_people_it_prints_a_table_where_the_report_is_and_progress_apart(case: Path, capsys: Capture) -> None:
    ended = ramprig(capsys, "run", case)
    assert ended.code == 0
    assert ended.err == "dip: PASS\n"
    assert ended.out.endswith(f"report: {Path('runs/case/report.html')}\n")
    assert max(len(line) for line in ended.out.splitlines()) > 80


def test_the_same_run_twice_gives_the_same_trace_and_replaces_the_first(case: Path, capsys: Capture) -> None:
    first = told(ramprig(capsys, "run", case, "--out", "out", "--json"))
    Path("out/other").mkdir()
    Path("out/other/thesis.doc").write_text("years of work")
    second = told(ramprig(capsys, "run", case, "--out", "out", "--json"))
    assert second == first
    assert Path("out/other/thesis.doc").read_text() == "years of work"


@pytest.mark.parametrize(
    ("out", "sentence"),
    [
        ("holds", "dip: holds notes.txt, which is no part of a run, and would be emptied"),
        ("foreign", "dip: is not empty and holds no run; choose another folder with --out"),
        ("reports", "report.html there is no report of ramprig; choose another folder with --out"),
        ("file", "file: is a file; choose a folder with --out"),
        ("file/deeper", "--out"),
    ],
)
def test_what_is_not_the_benchs_is_never_overwritten(case: Path, capsys: Capture, out: str, sentence: str) -> None:
    for name in ("holds/dip/notes.txt", "foreign/dip/data.csv", "reports/report.html", "file"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("precious")
    Path("holds/dip/run.json").write_text('{"schema": 1, "case": "dip"}')
    usage(ramprig(capsys, "run", case, "--out", out), sentence)
    for name in ("holds/dip/notes.txt", "foreign/dip/data.csv", "reports/report.html", "file"):
        assert Path(name).read_text() == "precious"


def test_what_the_command_line_says_goes_before_the_file(case: Path, capsys: Capture) -> None:
    Path("two.toml").write_text(RIG.replace("count = 4", "count = 2").replace("26 kW", "13 kW"))
    ended = ramprig(capsys, "run", case, "--rig", "two.toml", "--seed", 5, "--time", "virtual", "--out", "o", "--json")
    (one,) = told(ended)["cases"]
    assert (ended.code, one["seed"]) == (0, 5)
    info = json.loads(Path("o/dip/run.json").read_text())
    assert (info["rig"], info["seed"]) == (str(Path("two.toml").absolute()), 5)
    assert len(json.loads(Path("o/dip/sut/inventory.json").read_text())["miners"]) == 4


def test_without_a_controller_nothing_can_be_said(case: Path, capsys: Capture) -> None:
    ended = ramprig(capsys, "run", case, "--sut", "null", "--json")
    assert (ended.code, told(ended)["validity"]) == (3, "VOID")


def test_a_case_that_ends_as_declared_is_a_pass_of_the_suite(tmp_path: Path, case: Path, capsys: Capture) -> None:
    Path("bad.py").write_text(BAD)
    write(tmp_path, case=CASE.replace('lead_in = "10 s"', 'expect = "FAIL"'))
    ended = ramprig(capsys, "run", case, "--sut", "python:bad.py:at_start", "--json")
    assert (ended.code, told(ended)["outcome"], told(ended)["cases"][0]["outcome"]) == (0, "PASS", "FAIL")


# ---- the controller's fault ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("at_start", 1, "controller raised ValueError: no such meter at t = 0.0 s"),
        ("in_the_factory", 1, "controller raised RuntimeError: no config at t = 0.0 s"),
        ("mid_run", 1, "controller raised OSError: connection lost at t = 20.0 s"),
        ("by_exit", 1, "controller raised SystemExit: 0 at t = 20.0 s"),
        ("by_exit_in_a_task", 3, "controller ended the program with exit(0) outside its own coroutine"),
        ("by_returning", 1, "controller returned at t = 20.0 s"),
        ("no_coroutine", 1, "controller raised TypeError: object int can't be used in 'await' expression at t = 0.0 s"),
        (
            "never_ready",
            3,
            "void: Controller ready: never ready: controller was not ready after 10 s: no call of ready(); required:",
        ),
        ("never_connects", 3, "void: Controller spoke to the site: no request; required: at least one request"),
    ],
)
def test_a_controller_that_crashes_or_hangs_is_an_outcome_with_its_reason(
    case: Path, capsys: Capture, name: str, code: int, reason: str
) -> None:
    Path("bad.py").write_text(BAD)
    ended = ramprig(capsys, "run", case, "--sut", f"python:bad.py:{name}", "--out", "out", "--json")
    assert (ended.code, ended.err) == (code, "")
    (one,) = told(ended)["cases"]
    assert any(reason in line for line in one["reasons"]), one["reasons"]
    again = ramprig(capsys, "judge", "out", "--json")
    assert again.code == code
    assert told(again)["cases"][0]["reasons"] == one["reasons"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 / 0\n", "controller raised ZeroDivisionError: division by zero"),
        ("def controller(:\n", "controller raised SyntaxError: "),
        ("import a_library_that_is_not_there\n", "controller raised ModuleNotFoundError: No module named 'a_library"),
        ("import sys\nsys.exit('usage: ctl')\n", "controller raised SystemExit: usage: ctl"),
    ],
)
def test_a_controller_that_breaks_on_import_fails(case: Path, capsys: Capture, text: str, reason: str) -> None:
    Path("bad.py").write_text(text)
    ended = ramprig(capsys, "run", case, "--sut", "python:bad.py:controller", "--json")
    assert ended.code == 1
    assert any(reason in line for line in told(ended)["cases"][0]["reasons"])


def test_what_a_controller_prints_is_no_result(case: Path, capsys: Capture) -> None:
    text = "print('import')\nasync def controller(i, c):\n    print('{}')\n    raise ValueError('x')\n"
    Path("chatty.py").write_text(text)
    ended = ramprig(capsys, "run", case, "--sut", "python:chatty.py:controller", "--out", "out", "--json")
    assert told(ended)["outcome"] == "FAIL"
    assert Path("out/dip/sut/stdout.log").read_text().split() == ["0.000000", "{}"]


# ---- usage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentences"),
    [
        (["run", "nothing.toml"], ["nothing.toml: no such file; shipped suites are named suite:NAME"]),
        (["run", "suite:dmo"], ['suite:dmo: no such suite ships with ramprig; did you mean "demo"?']),
        (["run", "demo"], ["demo: no such file; the shipped suite is called suite:demo"]),
        (["run", "case.toml", "--rig", "rig:yrd"], ['rig: rig:yrd: no such rig ships with ramprig; did']),
        (["run", "case.toml", "--sut", "reference"], ["--sut: 'reference' names no controller; write null, network"]),
        (["run", "case.toml", "--sut", "python:no.py:c"], ["case dip: sut.factory: ", "no.py: no such file"]),
        (["run", "case.toml", "--sut", "subprocess:./ctl", "--time", "real"], ["sut.command: './ctl': no such"]),
        (["run", "case.toml", "--sut", "subprocess:no-such-ctl", "--time", "real"], ["no such program on the PATH;"]),
        (["run", "case.toml", "--sut", "subprocess:./rig.toml", "--time", "real"], ["is not executable; chmod +x"]),
        (["run", "case.toml", "--sut", "lockstep:ctl.py"], ["sut.args: 'ctl.py': no such file; the path counts from"]),
        (["run", "cse.toml"], ['cse.toml: no such file; did you mean "case.toml"?']),
        (["run", "rig.toml"], ["rig.toml: is a rig; a case or suite is needed here"]),
        (["run", "case.toml", "--rig", "case.toml"], ["case.toml: is a case; a rig is needed here"]),
        (["run", "case.toml", "--sut", "subprocess:./ctl"], ["sut.kind: a subprocess lives in real time; write time"]),
        (["judge", "."], [".: neither a run folder nor a folder of runs; name what `ramprig run` wrote"]),
        (["judge", "nothing"], ["nothing: neither a run folder nor a folder of runs"]),
        (["up", "rig:yrd"], ['rig:yrd: no such rig ships with ramprig; did you mean "yard"?']),
        (["up", "rig.toml", "--inventory", "no/such/inv.json"], ["--inventory no/such/inv.json: there is no folder"]),
        (["up", "rig.toml", "--inventory", "case.toml"], ["--inventory case.toml: something else stands there"]),
        (["up", "rig.toml", "--hz", "0"], ["--hz 0: is no frequency of a grid; write 50 or 60"]),
        (["profile", "show", "profile:gb"], ["profile:gb: no such profile ships with ramprig"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("as_json", [False, True])
def test_a_wrong_word_is_one_message_with_the_remedy(
    case: Path, capsys: Capture, words: list[str], sentences: list[str], as_json: bool
) -> None:
    ended = ramprig(capsys, *words, *(["--json"] if as_json else []))
    usage(ended, *sentences)
    assert ended.err.count("\n") == 1
    assert case.exists()


@pytest.mark.parametrize(
    "words", [["run"], ["run", "--sed", "1", "x"], ["rn"], ["list", "miners"], ["run", "x", "--seed", "one"], ["judge"]]
)
def test_a_wrong_option_is_answered_with_the_usage(capsys: Capture, words: list[str]) -> None:
    ended = ramprig(capsys, *words)
    assert (ended.code, ended.out) == (2, "")
    assert "--help" in ended.err


BAD_FILES = {
    "wrong key": ("rig", ("count = 2 }", "cout = 2 }"), 'feeder[0].pdu.cout: unknown key; did you mean "count"?'),
    "unit": ("rig", ('"26 kW"', '"26 kWh"'), "commitment: '26 kWh': unknown unit 'kWh'; did you mean 'kW'?"),
    "model": ("rig", ("S19j Pro", "S19 Prp"), "feeder[0].miners[0].model: unknown model 'S19 Prp'; did you mean"),
    "addresses": (
        "rig", ('firmware = "luxos"', 'firmware = "luxos"\naddress = "127.88.1.4"'),
        "miner-0005 and miner-0004 are both on 127.88.1.4; give one of them another `address`",
    ),
    "negative duration": ("case", ('"10 s"', '"-10 s"'), "lead_in: '-10 s': a duration cannot be negative"),
    "empty fleet": ("rig", ("count = 4", "count = 0"), "feeder[0].miners[0].count: 0 is too small; 1 or more"),
    "no feeder": ("rig", (RIG[RIG.index("[[feeder]]"):], ""), "feeder: is missing; add this key"),
    "no TOML": ("case", ('"dip"', "dip"), "not valid TOML"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", BAD_FILES)
@pytest.mark.parametrize("verb", ["run", "check"])
def test_a_mistake_in_a_file_is_named_by_run_and_check_alike(
    tmp_path: Path, case: Path, capsys: Capture, mistake: str, verb: str
) -> None:
    kind, (old, new), sentence = BAD_FILES[mistake]
    text = {"rig": RIG, "profile": PROFILE, "case": CASE}[kind]
    assert old in text
    write(tmp_path, **{kind: text.replace(old, new, 1)})
    ended = ramprig(capsys, verb, case)
    assert (ended.code, ended.out) == (2, "")
    assert f"{kind}.toml: " in ended.err
    assert sentence in ended.err
    assert not Path("runs").exists()


RECORD = "time,f\n0,60.0\n1,60.0\n2,59.7\n3,59.9\n"
CHANNEL = """
schema = 1
title = "a record"
source = { text = "written for a test", grade = "estimate" }
nominal_frequency = "60 Hz"

[channel.frequency]
csv = { file = "record.csv", time = "time", value = "f", unit = "Hz" }

[[event]]
id = "dip"
kind = "deployment"
start = "1 s"
"""


@pytest.mark.parametrize(
    ("record", "profile", "sentence"),
    [
        (RECORD, CHANNEL.replace('"f"', '"freq"'), 'has no column "freq"'),
        (RECORD.replace("59.7", "NaN"), CHANNEL, "record.csv, line 4: holds no number ('NaN'); repair it, or allow it"),
        (RECORD.replace("59.7", ""), CHANNEL, "record.csv, line 4: holds no number ('')"),
        (RECORD.replace("2,59.7", "0.5,59.7"), CHANNEL, "record.csv, line 4: is 0.5 s before the row above; sort the"),
        (RECORD, CHANNEL.replace("[channel", 'duration = "9 s"\n[channel', 1), "9 s is longer than the record"),
        (RECORD, CHANNEL.replace('"Hz" }', '"V" }'), "channel.frequency.csv.unit: '1 V': unknown unit 'V'"),
        (None, CHANNEL, "no such file: "),
    ],
)  # fmt: skip
def test_a_mistake_in_a_record_is_named_with_its_file_and_line(
    tmp_path: Path, case: Path, capsys: Capture, record: str | None, profile: str, sentence: str
) -> None:
    write(tmp_path, profile=profile)
    if record is not None:
        Path("record.csv").write_text(record)
    usage(ramprig(capsys, "run", case, "--json"), "profile.toml: ", sentence)


# ---- when the bench itself breaks ------------------------------------------------------------------------------------


def test_a_defect_of_the_bench_ends_its_case_with_4_and_the_next_one_goes_on(
    tmp_path: Path, case: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = session.play

    def play(what: Plan, folder: Path, progress: object = None) -> None:
        if what.case.seed == 1:
            raise DeadlockError("nothing can ever happen again")
        real(what, folder)

    monkeypatch.setattr(session, "play", play)
    write(tmp_path, case=CASE.replace('lead_in = "10 s"', "seeds = [1, 2]"))
    ended = ramprig(capsys, "run", case, "--out", "out", "--json")
    assert ended.code == 4
    first, second = told(ended)["cases"]
    assert (first["outcome"], second["outcome"]) == ("ERROR", "PASS")
    assert first["reasons"] == ["the bench broke: DeadlockError: nothing can ever happen again"]
    log = Path("out/dip.s1/bench.log")
    assert ended.err == f"ramprig: case dip.s1: {first['reasons'][0]}; please report it with {log}\n"
    assert "Traceback" in log.read_text()


def test_a_defect_elsewhere_is_one_message_that_names_where_the_traceback_is(
    case: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("division by zero\nsecond line")

    monkeypatch.setattr(session, "run_cases", broken)
    ended = ramprig(capsys, "run", case, "--json")
    assert (ended.code, ended.out, ended.err.count("\n")) == (4, "", 1)
    said, _, file = ended.err.strip().rpartition(" ")
    assert said == (
        "ramprig: the bench broke: ZeroDivisionError: division by zero; this is a defect of ramprig, report it with"
    )
    assert "Traceback" in Path(file).read_text()
    Path(file).unlink()


@pytest.mark.parametrize(("raised", "code"), [(KeyboardInterrupt(), 130), (SystemExit(143), 143)])
def test_a_suite_that_is_stopped_leaves_nothing_of_an_earlier_one(
    case: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int
) -> None:
    assert ramprig(capsys, "run", case, "--out", "out").code == 0
    assert Path("out/verdict.json").exists()

    def stopped(*_: object) -> None:
        raise raised

    monkeypatch.setattr(session, "play", stopped)
    ended = ramprig(capsys, "run", case, "--out", "out", "--json")
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.endswith("a run that was under way is void\n")
    assert [path.name for path in Path("out").rglob("*") if path.is_file()] == []


def test_a_place_that_cannot_be_written_is_one_message(case: Path, capsys: Capture) -> None:
    ramprig(capsys, "run", case, "--out", "out")
    usage(ramprig(capsys, "judge", "out", "--html", "no/such/folder.html"), "no/such/folder.html: No such file or dir")


# ---- judge -----------------------------------------------------------------------------------------------------------


def test_an_old_run_is_judged_again_as_it_was_and_under_another_rule(case: Path, capsys: Capture) -> None:
    first = told(ramprig(capsys, "run", case, "--out", "out", "--json"))["cases"][0]
    ended = ramprig(capsys, "judge", "out", "--json")
    (again,) = told(ended)["cases"]
    assert (ended.code, again["checks"]) == (0, first["checks"])
    ended = ramprig(capsys, "judge", "out/dip", "--service", "service:ercot_rrs_ufr", "--html", "again.html", "--json")
    (other,) = told(ended)["cases"]
    assert {check["service"] for check in other["checks"]} == {"ercot_rrs_ufr"}
    assert Path("again.html").read_text().startswith("<!doctype html>")


def test_a_service_of_another_system_is_void_for_this_run(case: Path, capsys: Capture) -> None:
    ramprig(capsys, "run", case, "--out", "out")
    assert ramprig(capsys, "judge", "out", "--service", "service:nordic_ffr_1_3").code == 3


# ---- check, list, profile, help --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [f"{kind}:{name}" for kind in library.KINDS for name in library.names(kind)])
def test_everything_that_ships_is_good(capsys: Capture, name: str) -> None:
    kind = name.partition(":")[0]
    ended = ramprig(capsys, "check", name)
    assert (ended.code, ended.out, ended.err) == (0, f"{name}: a good {kind}\n", "")


def test_files_are_checked_by_what_they_are_and_all_problems_are_told(
    tmp_path: Path, case: Path, capsys: Capture
) -> None:
    ended = ramprig(capsys, "check", "case.toml", "rig.toml", "profile.toml", "--json")
    assert [file["kind"] for file in told(ended)["files"]] == ["case", "rig", "profile"]
    write(tmp_path, rig=RIG.replace("S21", "S22").replace("luxos", "luxs"))
    ended = ramprig(capsys, "check", "rig.toml", "profile.toml", "nothing.toml", "small.txt", "--json")
    assert (ended.code, ended.err) == (2, "")
    assert [len(file["problems"]) for file in told(ended)["files"]] == [2, 0, 1, 1]
    Path("mine.toml").write_text(CASE.replace("[sut]", "[sutt]"))
    assert 'sutt: unknown key; did you mean "sut"?' in ramprig(capsys, "check", "mine.toml").err
    Path("other.toml").write_text("answer = 42\n")
    assert (
        "cannot tell what this file is; a rig, profile, suite, case, service or matrix has one of"
        in ramprig(capsys, "check", "other.toml").err
    )


@pytest.mark.parametrize(
    "kind", ["models", "firmware", "meters", "pdus", "relays", "services", "profiles", "rigs", "suites"]
)
def test_everything_that_ships_is_listed(capsys: Capture, kind: str) -> None:
    ended = ramprig(capsys, "list", kind, "--json")
    rows = told(ended)[kind]
    assert (ended.code, ended.err) == (0, "")
    assert rows
    assert all(all(row.values()) for row in rows)
    if kind == "meters":
        assert "[estimate]" in rows[0]["figures"]
        assert "estimate]" in ramprig(capsys, "list", kind).out
    shown = ramprig(capsys, "list", kind)
    first = next(iter(rows[0].values()))
    assert first in shown.out


def test_in_a_narrow_window_ids_stay_whole_and_sources_are_left_out(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.cli.results", lambda: Console(width=80))
    shown = ramprig(capsys, "list", "models")
    assert "bitaxe_gamma " in shown.out
    assert "nameplate" not in shown.out
    assert "--json" in shown.err


@pytest.mark.parametrize("kind", ["models", "meters", "pdus", "relays", "profiles"])
def test_figures_are_listed_with_their_grade_and_source(capsys: Capture, kind: str) -> None:
    for row in told(ramprig(capsys, "list", kind, "--json"))[kind]:
        assert row.get("grade") or row["grades"]
        assert row["source"]


def test_a_profile_is_drawn_or_told(capsys: Capture) -> None:
    assert "Great Britain" in ramprig(capsys, "profile", "show", "profile:gb_2019_08_09").out
    table = told(ramprig(capsys, "profile", "show", "profile:gb_2019_08_09", "--json"))
    assert table["channels"]["frequency"]["unit"] == "Hz"
    assert table["events"]


def test_every_verb_is_told_in_a_whole_sentence(capsys: Capture) -> None:
    assert "..." not in ramprig(capsys, "--help").out.partition("Commands:")[2]


def test_a_self_test_that_could_not_be_written_is_not_begun(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("bench.selftest.run", lambda *_, **__: pytest.fail("it has begun"))
    usage(ramprig(capsys, "selftest", "--out", str(tmp_path / "file" / "x")), "Not a directory; mend this")


def test_the_version_is_told(capsys: Capture) -> None:
    ended = ramprig(capsys, "--version")
    assert ended.code == 0
    assert ended.out.startswith("ramprig ")


def test_help_is_quick_because_it_imports_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from bench.cli import main\n"
        "try:\n    main(['--help'])\nfinally:\n    print(sorted(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "selftest" in done.stdout or "run" in done.stdout
    loaded = done.stderr
    for heavy in ("numpy", "pydantic", "pyarrow", "pymodbus", "httpx", "jinja2", "rich", "asyncio", "bench.report"):
        assert f"'{heavy}'" not in loaded, heavy
