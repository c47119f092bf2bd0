"""A site of four miners, a grid event of 30 s and a service of one check: the smallest case that passes or fails."""

from __future__ import annotations

from pathlib import Path

RIG = """
schema = 1
name = "four"
commitment = "10 kW"
network = { subnet = "127.44.0.0/16" }
analyser = { rate = "200 Hz" }
[[feeder]]
id = "f"
pdu = { product = "netio_powerpdu_4ps", count = 1 }
[[feeder.miners]]
model = "S21"
firmware = "luxos"
count = 4
"""
PROFILE = """
schema = 1
title = "A step below 59.85 Hz for 12 s"
nominal_frequency = "60 Hz"
duration = "30 s"
source = { text = "ours", grade = "D" }
[channel.frequency]
points = [["0 s", "60 Hz"], ["10 s", "60 Hz"], ["10 s", "59.8 Hz"], ["22 s", "59.8 Hz"], ["22 s", "60 Hz"]]
[channel.recall]
points = [["0 s", 0], ["22 s", 1]]
[[event]]
id = "deployment"
kind = "deployment"
start = "10 s"
stop = "22 s"
"""
SERVICE = """
schema = 1
title = "Off within {deadline}"
market = "none"
summary = "a service of one check"
events = ["deployment"]
clock = { starts = "frequency", level = "trigger", release = "recall" }
figure.trigger = { value = 59.85, unit = "Hz", grade = "D", source = "ours" }
figure.deadline = { value = 500, unit = "ms", grade = "D", source = "ours" }
figure.low = { value = 90, unit = "%", grade = "D", source = "ours" }
figure.arrival = { value = 5, unit = "s", grade = "D", source = "ours", method = true }
[[check]]
id = "reach"
title = "Full delivery"
sentence = "{low} within {deadline}"
formula = "reach"
with = { low = "low", deadline = "deadline", for_good = "arrival" }
limit = { high = "deadline" }
"""
_CASE = """
schema = 1
id = "%s"
rig = "four.toml"
profile = "step.toml"
services = ["ffr.toml"]
lead_in = "8 s"
"""
_REFERENCE = """
[sut]
kind = "python"
factory = "firmware_mocks.controllers.reference:controller"
config = { commitment = { power_w = 9000.0 }, paths = { allowed = ["%s"] } }
"""
PASSES = _CASE % "passes" + _REFERENCE % "contactor"
TOO_SLOW = _CASE % "too-slow" + _REFERENCE % "firmware"
NOBODY = _CASE % "nobody" + '[sut]\nkind = "null"\n'


def lay_out(folder: Path) -> Path:
    """Write rig, profile and service into `folder`, which is returned."""
    for name, text in (("four.toml", RIG), ("step.toml", PROFILE), ("ffr.toml", SERVICE)):
        (folder / name).write_text(text, encoding="utf-8")
    return folder
