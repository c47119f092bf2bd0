"""The reference controller on the rig with every firmware on every model: all go down in time, and all come back."""

from __future__ import annotations

from pathlib import Path

from bench import library
from bench.case_file import load_cases
from bench.play import plan
from bench.report.words import case_word
from bench.session import run_case
from emulator.catalogue import Phase

CASE = """
schema = 1
id = "mixed"
rig = "rig:mixed"
profile = "{selftest}/half_minute_and_back.toml"
services = ["service:neso_static_ffr", "{selftest}/prompt_return.toml"]
commitment = "{commitment} kW"

[sut]
kind = "python"
factory = "firmware_mocks.controllers.reference:controller"

[sut.config]
frequency = {{ trip_hz = 49.7, full_within_s = 30.0 }}
return = {{ on = "frequency", above_hz = 49.9, hold_off_s = 10.0 }}
paths = {{ allowed = ["firmware"] }}
poll = {{ meter_s = 0.5 }}
"""
MORE_THAN_ALL_KW = 134
"""A little more than all miners draw, so that none can be spared; 95 % of it are enough."""


def test_every_firmware_is_curtailed_over_the_wire_and_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "case.toml"
    file.write_text(CASE.format(selftest=library.folder("suite") / "selftest", commitment=MORE_THAN_ALL_KW))
    ((case),) = load_cases(str(file))[1]
    verdict, facts = run_case(plan(case), tmp_path / "run", reports=False)
    assert case_word(verdict) == "PASS", verdict.reasons
    assert facts is not None
    assert facts.phases is not None
    slept = set(facts.phases.row[facts.phases.phase == Phase.SLEEP].tolist())
    woken = {
        row
        for row in range(len(facts.phases.miners))
        if facts.phases.phase[facts.phases.row == row][-1] == Phase.HASHING
    }
    firmware = [place.firmware.name for place in plan(case).layout.miners if place.firmware is not None]
    assert {firmware[row] for row in slept} == set(firmware)
    assert len(slept) > 0.9 * len(firmware)
    assert woken == set(range(len(firmware)))
