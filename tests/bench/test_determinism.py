"""The same seed gives the same trace, byte for byte, whatever else the machine is doing."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench.case_file import load_cases
from bench.play import plan, play

RIG = """
schema = 1
name = "small"
commitment = "15 kW"
[[feeder]]
id = "f"
pdu = { product = "netio_powerpdu_4ps", count = 1 }
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
title = "a dip"
description = "a dip"
nominal_frequency = "60 Hz"
duration = "50 s"
phase_jitter = "1 s"
[source]
text = "made for this test"
grade = "D"
[channel.frequency]
points = [["0 s", "60 Hz"], ["10 s", "60 Hz"], ["10 s", "59.6 Hz"], ["30 s", "59.6 Hz"], ["30 s", "60 Hz"]]
[channel.recall]
points = [["0 s", 0], ["35 s", 1]]
[[event]]
id = "dip"
kind = "deployment"
start = "10 s"
stop = "35 s"
"""
CASE = """
schema = 1
id = "dip"
rig = "rig.toml"
profile = "profile.toml"
services = ["service:ercot_rrs_ufr"]
lead_in = "5 s"
seeds = [1, 2]
[sut]
kind = "python"
factory = "firmware_mocks.controllers.reference:controller"
config = { frequency = { trip_hz = 59.7, full_within_s = 60.0 }, paths = { allowed = ["firmware"] } }
[[fault]]
where = "miner-000*"
kind = "drop"
probability = "20 %"
"""


@contextmanager
def busy_cores(count: int) -> Iterator[None]:
    """Other programs that want every core, ended when the block is left."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@pytest.fixture
def case_file(tmp_path: Path) -> Path:
    (tmp_path / "rig.toml").write_text(RIG)
    (tmp_path / "profile.toml").write_text(PROFILE)
    (tmp_path / "case.toml").write_text(CASE)
    return tmp_path / "case.toml"


def trace(case_file: Path, index: int, folder: Path) -> tuple[str, str]:
    """Trace hash, and a hash of when which bytes went where; a digest login draws its client nonce by itself."""
    folder.mkdir(parents=True)
    play(plan(load_cases(str(case_file))[1][index]), folder)
    stop = json.loads((folder / "documents.jsonl").read_text().splitlines()[-1])
    assert stop["network_defects"] == 0
    frames = pq.read_table(folder / "frames.parquet").to_pylist()
    traffic = [(f["t_ns"], f["device"], f["port"], f["direction"], len(f["bytes"])) for f in frames]
    return stop["trace_sha256"], hashlib.sha256(repr(traffic).encode()).hexdigest()


def test_the_same_seed_gives_the_same_trace_ten_times_out_of_ten_on_a_busy_machine(
    case_file: Path, tmp_path: Path
) -> None:
    quiet = {trace(case_file, 0, tmp_path / f"quiet{run}") for run in range(5)}
    with busy_cores(2):
        busy = {trace(case_file, 0, tmp_path / f"busy{run}") for run in range(5)}
    assert len(quiet | busy) == 1


def test_another_seed_gives_another_trace(case_file: Path, tmp_path: Path) -> None:
    assert trace(case_file, 0, tmp_path / "one")[0] != trace(case_file, 1, tmp_path / "two")[0]
