"""The example controller in Node.js, attached as the program it is, delivers through the Modbus PDUs in real time."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.system

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "nodejs"
NODE = shutil.which("node")


@pytest.fixture(autouse=True)
def node() -> None:
    if NODE is None:
        pytest.skip("there is no node here")
    major = int(
        subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True).stdout[1:].split(".")[0]
    )
    if major < 18:
        pytest.skip(f"node {major} is older than the example's timers; 18 is needed")


@pytest.mark.slow
def test_it_passes_the_under_frequency_service_through_the_pdus(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "bench.cli",
        "run",
        str(EXAMPLE / "ufr.case.toml"),
        "--out",
        str(tmp_path),
        "--json",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False)
    if "in use" in done.stderr or "privileged" in done.stderr:
        pytest.skip(done.stderr.strip())
    (one,) = json.loads(done.stdout)["cases"]
    if done.returncode != 0 and any("Bench on time" in reason or "stood still" in reason for reason in one["reasons"]):
        pytest.skip(f"the machine was too busy for real time: {one['reasons']}")
    assert done.returncode == 0, one["reasons"]
    outcomes = {check["id"]: check["outcome"] for check in one["checks"]}
    assert outcomes == {"reach": "PASS", "stay_off": "PASS", "over_delivery": "PASS"}
    reach = next(check for check in one["checks"] if check["id"] == "reach")
    assert 100 < reach["value"] < 500  # no sooner than the meter shows the step

    frames = pq.read_table(tmp_path / "nodejs-ufr" / "frames.parquet").to_pylist()
    assert {frame["device"].partition("-")[0] for frame in frames} == {"meter", "dispatch", "pdu"}
    coils = [
        frame for frame in frames
        if frame["direction"] == "in" and frame["device"].startswith("pdu") and frame["bytes"][7] == 5
    ]  # fmt: skip
    opened = [frame for frame in coils if frame["bytes"][10:12] == b"\x00\x00"]
    closed = [frame for frame in coils if frame["bytes"][10:12] == b"\xff\x00"]
    assert len(opened) >= 6
    assert opened[-1]["t_ns"] - opened[0]["t_ns"] < 500_000_000
    assert len(closed) == 6
    gaps = [later["t_ns"] - earlier["t_ns"] for earlier, later in pairwise(closed)]
    assert min(gaps) > 900_000_000  # one stage a second


def test_it_needs_nothing_that_node_does_not_bring_along() -> None:
    imports = [line for line in (EXAMPLE / "controller.mjs").read_text().splitlines() if line.startswith("import ")]
    assert imports
    assert all('from "node:' in line for line in imports)
    assert not (EXAMPLE / "package.json").exists()
