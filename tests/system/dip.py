"""A dip below the trigger of ERCOT's under-frequency response that nobody recalls, as a profile for real time."""

from __future__ import annotations


def profile(begin: str, end: str) -> str:
    """The frequency falls at `begin` and stays low to the `end`, both durations as a profile has them."""
    return f"""
schema = 1
title = "A dip"
source = {{ text = "written for a test", grade = "estimate" }}
nominal_frequency = "60 Hz"
duration = "{end}"

[channel.frequency]
points = [["0 s", "60 Hz"], ["{begin}", "60 Hz"], ["{begin}", "59.69 Hz"], ["{end}", "59.69 Hz"]]

[channel.recall]
points = [["0 s", 0], ["{end}", 0]]

[[event]]
id = "deployment"
kind = "deployment"
start = "{begin}"
stop = "{end}"
"""
