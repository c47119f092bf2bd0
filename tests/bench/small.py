"""A site of eight miners, a profile of a minute and a case, as the files a user would write, and the command line."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from bench.cli import main

RIG = """
schema = 1
name = "small"
commitment = "26 kW"

[network]
subnet = "127.88.0.0/16"

[[feeder]]
id = "feeder-1"
pdu = { product = "netio_powerpdu_4ps", count = 2 }

[[feeder.miners]]
model = "S19j Pro"
firmware = "antminer-stock"
count = 4

[[feeder.miners]]
model = "S21"
firmware = "luxos"
count = 4
"""
PROFILE = """
schema = 1
title = "A dip of half a minute"
source = { text = "written for a test", grade = "estimate" }
nominal_frequency = "60 Hz"
duration = "40 s"

[channel.frequency]
points = [["0 s", "60 Hz"], ["5 s", "60 Hz"], ["5 s", "59.69 Hz"], ["25 s", "59.69 Hz"], ["26 s", "60 Hz"]]

[channel.recall]
points = [["0 s", 0], ["30 s", 1]]

[[event]]
id = "deployment"
kind = "deployment"
start = "5 s"
stop = "30 s"
"""
CASE = """
schema = 1
id = "dip"
rig = "rig.toml"
profile = "profile.toml"
services = ["service:ercot_rrs_ffr"]
lead_in = "10 s"

[sut]
kind = "python"
factory = "firmware_mocks.controllers.reference:controller"
config = { frequency = { trip_hz = 59.85, full_within_s = 0.25 }, paths = { allowed = ["contactor"] } }
"""


class Ended(NamedTuple):
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


def write(folder: Path, *, rig: str = RIG, profile: str = PROFILE, case: str = CASE) -> Path:
    """The three files in `folder`; the path of the case."""
    for name, text in (("rig", rig), ("profile", profile), ("case", case)):
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return folder / "case.toml"


def ramprig(capsys: pytest.CaptureFixture[str], *words: object) -> Ended:
    """Run one command line in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    code = ended.value.code
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return Ended(0 if code is None else int(code), out, err)
