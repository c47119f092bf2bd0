"""Case and suite files, and what the command line may say instead of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import library
from bench.attach import PythonSut, SubprocessSut
from bench.case_file import load_cases, overrides
from bench.config import ConfigError
from bench.play import plan, plan_all
from bench.verdict import Outcome
from tests.bench.small import CASE, PROFILE, RIG, write

SUITE = """
schema = 1
title = "Two"

[defaults]
rig = "rig.toml"
profile = "profile.toml"
services = ["service:ercot_rrs_ffr"]
sut = "null"
seeds = [1, 2]

[[case]]
id = "first"

[[case]]
id = "second"
seeds = [7]
expect = "FAIL"
"""


def suite(folder: Path, text: str = SUITE) -> str:
    write(folder)
    (folder / "suite.toml").write_text(text, encoding="utf-8")
    return str(folder / "suite.toml")


def problems(reference: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        plan_all(load_cases(reference)[1])
    return caught.value.problems


def test_a_file_with_one_case_is_that_case(tmp_path: Path) -> None:
    title, (case,) = load_cases(str(write(tmp_path)))
    assert (title, case.id, case.seed, case.expected) == ("case", "dip", 1, None)
    assert case.table.lead_in == 10_000_000_000
    assert plan(case).layout.file.name == "small"


def test_a_suite_lays_its_defaults_under_every_case_and_plays_each_seed(tmp_path: Path) -> None:
    title, cases = load_cases(suite(tmp_path))
    assert title == "Two"
    assert [(case.id, case.seed) for case in cases] == [("first.s1", 1), ("first.s2", 2), ("second", 7)]
    assert [case.expected for case in cases] == [None, None, Outcome.FAIL]


def test_paths_in_a_file_count_from_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = write(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert plan(load_cases(str(case))[1][0]).rig_path == tmp_path / "rig.toml"


@pytest.mark.parametrize("name", library.names("suite"))
def test_every_shipped_suite_can_be_planned(name: str) -> None:
    assert plan_all(load_cases(f"suite:{name}")[1])


# ---- what the command line says instead ------------------------------------------------------------------------------


def test_paths_on_the_command_line_count_from_where_the_user_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert overrides(rig="r.toml")["rig"] == str(tmp_path / "r.toml")
    assert overrides(rig="rig:yard")["rig"] == "rig:yard"
    assert overrides(sut="python:ctl/mine.py:controller")["sut"]["factory"] == f"{tmp_path}/ctl/mine.py:controller"
    assert overrides(sut="python:my.module:controller")["sut"]["factory"] == "my.module:controller"
    assert overrides(sut="subprocess:./ctl --fast")["sut"]["cwd"] == str(tmp_path)


def test_what_the_command_line_says_holds_for_every_case(tmp_path: Path) -> None:
    changes = overrides(rig="rig:yard", sut="subprocess:./ctl -v", time="real", seed=9)
    _, cases = load_cases(suite(tmp_path), changes)
    assert [(case.id, case.seed) for case in cases] == [("first", 9), ("second", 9)]
    for case in cases:
        assert (case.table.rig, case.table.time) == ("rig:yard", "real")
        assert isinstance(case.table.sut, SubprocessSut)
        assert case.table.sut.args == ("-v",)


def test_a_case_without_a_controller_takes_the_one_of_the_command_line(tmp_path: Path) -> None:
    path = write(tmp_path, case=CASE.partition("[sut]")[0])
    with pytest.raises(ConfigError, match=r"case\.toml: sut: is missing; add this key"):
        load_cases(str(path))
    _, (case,) = load_cases(str(path), overrides(sut="controller:reference"))
    assert isinstance(case.table.sut, PythonSut)


def test_nothing_said_changes_nothing() -> None:
    assert overrides() == {}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("controller:refrence", "--sut: controller 'refrence' does not ship with ramprig; did you mean \"reference\"?"),
        ("ctl.py", "--sut: 'ctl.py' names no controller; write null, network, controller:NAME"),
        ("subprocess:", "--sut: 'subprocess:' names no controller"),
        ("subprocess:./ctl 'x", "--sut: No closing quotation"),
    ],
)
def test_a_controller_that_cannot_be_named_is_the_options_mistake(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        overrides(sut=text)
    assert sentence in str(caught.value)


# ---- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("schema = 1", "", "schema: is missing; add this key"),
        ("schema = 1", "schema = 2", 'schema: unknown value "2"; known are 1'),
        ("lead_in", "leadin", 'leadin: unknown key; did you mean "lead_in"?'),
        ('"10 s"', '"10 sec"', "lead_in: '10 sec': unknown unit 'sec'; one of"),
        ('"10 s"', '"-10 s"', "lead_in: '-10 s': a duration cannot be negative"),
        ('"10 s"', "10", "lead_in: 10 is not a quantity; write a number and a unit, for example '250 ms'"),
        ('"dip"', '"Dip 1"', "id: 'Dip 1' is no name here; it must match"),
        ('"dip"', '"report.html"', "id: 'report.html' is the name of a report that stands beside the run folders"),
        ('["service:ercot_rrs_ffr"]', "[]", "services: is empty; give at least one"),
        ('["service:ercot_rrs_ffr"]', '"service:ercot_rrs_ffr"', "is not an array; write it in square brackets"),
        ("service:ercot_rrs_ffr", "service:ercot_ffr", "case dip: services[0]: service:ercot_ffr: no such service"),
        ("service:ercot_rrs_ffr", "profile:quiet", "services[0]: profile:quiet: a service is needed here"),
        ("service:ercot_rrs_ffr", "service:nordic_ffr_1_3", "case dip: profile and services are for 50 Hz and 60 Hz"),
        ('rig = "rig.toml"', 'rig = "rg.toml"', 'rg.toml: no such file; did you mean "rig.toml"?'),
        ('"profile.toml"', '"profile:gb"', "case dip: profile: profile:gb: no such profile ships with"),
        ('kind = "python"', 'kind = "pyton"', 'sut: unknown kind "pyton"; did you mean "python"?'),
        ("reference:controller", "reference:ctl", "case dip: sut.factory: firmware_mocks.controllers.reference has no"),
        ('lead_in = "10 s"', "seeds = []", "seeds: is empty; give at least one"),
        ('lead_in = "10 s"', "seeds = [1, 1]", "case id 'dip.s1' is used twice; ids name the run folders"),
        ('lead_in = "10 s"', 'time = "reel"', 'time: unknown value "reel"; did you mean "real"?'),
        ('lead_in = "10 s"', 'expect = "VOID"', 'expect: unknown value "VOID"; known are FAIL, INCONCLUSIVE, PASS'),
        ('lead_in = "10 s"', 'commitment = "0 kW"', "commitment: must be more than zero"),
        ('lead_in = "10 s"', 'patience = "0 s"', "patience: must be more than zero"),
        ('lead_in = "10 s"', "fault = [{ where = 'miner-*', kind = 'delai' }]", "fault[0]: unknown fault kind"),
        ('lead_in = "10 s"', "fault = [{ where = 'minr-*', kind = 'delay' }]", "fault[0].where: 'minr-*' matches"),
        ('lead_in = "10 s"', "fault = [{ kind = 'delay' }]", "fault[0].where: None is not text"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_case_is_one_sentence_with_file_key_and_remedy(
    old: str, new: str, sentence: str, tmp_path: Path
) -> None:
    assert old in CASE
    found = problems(str(write(tmp_path, case=CASE.replace(old, new, 1))))
    assert len(found) == 1
    assert found[0].startswith(f"{tmp_path / 'case.toml'}: ")
    assert sentence in found[0]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("[defaults]", "[defalts]", 'defalts: unknown key; did you mean "defaults"?'),
        ("seeds = [1, 2]", "seed = 1", 'defaults.seed: unknown key; did you mean "seeds"?'),
        ('id = "second"', "", "suite.toml: case[1]: id: is missing; add this key"),
        ('id = "second"', 'id = "first"', "case id 'first' is used twice"),
        ('expect = "FAIL"', "expct = 1", 'suite.toml: case[1]: expct: unknown key; did you mean "expect"?'),
    ],
)
def test_a_mistake_in_a_suite_names_the_case(old: str, new: str, sentence: str, tmp_path: Path) -> None:
    assert old in SUITE
    text = SUITE.replace(old, new, 1).replace("seeds = [1, 2]", "") if "first" in new else SUITE.replace(old, new, 1)
    found = problems(suite(tmp_path, text.replace("seeds = [7]", "") if "first" in new else text))
    assert len(found) == 1
    assert sentence in found[0]


def test_the_mistakes_of_all_cases_are_named_at_once_and_shared_ones_once(tmp_path: Path) -> None:
    path = suite(tmp_path, SUITE + 'profile = "profile:gb"\n')
    (tmp_path / "rig.toml").write_text(RIG.replace("S21", "S22"), encoding="utf-8")
    (tmp_path / "good.toml").write_text(RIG, encoding="utf-8")
    (tmp_path / "suite.toml").write_text(Path(path).read_text() + 'rig = "good.toml"\n', encoding="utf-8")
    found = problems(path)
    assert len(found) == 2
    assert found[0].startswith(f"{tmp_path / 'rig.toml'}: feeder[0].miners[1].model: unknown model 'S22'")
    assert found[1].startswith(f"{path}: case second: profile: profile:gb: no such profile")


def test_a_profile_that_is_wrong_is_named_by_its_own_file(tmp_path: Path) -> None:
    path = write(tmp_path, profile=PROFILE.replace('["5 s", "59.69 Hz"]', '["4 s", "59.69 Hz"]'))
    (problem,) = problems(str(path))
    assert problem.startswith(f"{tmp_path / 'profile.toml'}: channel.frequency.points[2]: '4 s' comes before")


def test_only_real_time_has_a_speed(tmp_path: Path) -> None:
    path = write(tmp_path, case=CASE.replace('lead_in = "10 s"', 'lead_in = "10 s"\nspeed = 10'))
    with pytest.raises(ConfigError, match='speed: only real time has one; write time = "real", or remove it'):
        load_cases(str(path))
    (case,) = load_cases(str(path), overrides(time="real", speed=5.0))[1]
    assert case.table.speed == 5.0


def test_a_restart_after_the_end_of_the_profile_is_named(tmp_path: Path) -> None:
    sut = '[sut]\nkind = "subprocess"\ncommand = "{python}"\nlockstep = true\n[[sut.restart]]\nat = "40 s"\n'
    path = write(tmp_path, case=CASE.partition("[sut]")[0] + sut)
    with pytest.raises(ConfigError, match=r"sut\.restart\[0\]\.at: 40 s comes after the profile's end at 40 s"):
        plan(load_cases(str(path))[1][0])


def test_an_address_of_a_device_that_is_not_on_the_rig_is_found_before_the_run(tmp_path: Path) -> None:
    sut = '[sut]\nkind = "subprocess"\ncommand = "{python}"\nargs = ["{address:meter-9}"]\nlockstep = true\n'
    path = write(tmp_path, case=CASE.partition("[sut]")[0] + sut)
    with pytest.raises(
        ConfigError, match=r"case dip: sut\.args\[0\]: '\{address:meter-9\}': no device 'meter-9' stands"
    ):
        plan(load_cases(str(path))[1][0])
