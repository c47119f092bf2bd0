"""`python -m benchmarks.load.site COUNT`: a site of so many miners, all firmwares in equal parts, until it is ended.

Prints one line of JSON when every address answers. From then on a twentieth of the fleet, the same share of every
firmware, is always in ramp: its mining process has been restarted, and when it is up the next twentieth's is.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.collection import standing
from bench.config import validate
from bench.layout import lay_out
from bench.rig import Rig
from bench.rig_file import RigFile
from emulator import clock as clocks
from emulator.seed import Seed
from firmware_mocks import miners

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.clock import Clock

RAMPING_SHARE = 0.05
RAMPS = ("restart", "wake")
RAMP_LASTS_S = 60.0
"""What the quickest of the restarts takes."""
API_PORT = 4028


def faces() -> list[str]:
    """The firmwares that speak cgminer's protocol in JSON on port 4028."""
    found = [miners.load(name) for name in miners.names()]
    return [face.name for face in found if face.ports.get("api") == API_PORT]


def rig_file(count: int, names: list[str]) -> RigFile:
    """One feeder with `count` miners, dealt over the firmwares, each on one model of its own."""
    shares = [count // len(names) + (number < count % len(names)) for number in range(len(names))]
    groups = [
        {"model": sorted(miners.load(name).models)[0], "firmware": name, "count": share}
        for name, share in zip(names, shares, strict=True)
        if share
    ]
    feeder = {"id": "f", "pdu": {"count": max(1, count // 100)}, "miners": groups}
    return validate({"schema": 1, "name": "load", "commitment": "1 kW", "feeder": [feeder]}, RigFile, "load.toml")


def resident_bytes() -> int:
    """Memory of this process that is in RAM."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


async def _serve(clock: Clock) -> None:
    count, names = int(sys.argv[1]), faces()
    with standing():
        Rig(lay_out(rig_file(len(names), names), "warm.toml"), clock, Seed(1), 60.0)  # loads every face once
    before, began = resident_bytes(), time.perf_counter()
    with standing():
        rig = Rig(lay_out(rig_file(count, names), "load.toml"), clock, Seed(1), 60.0)
    await rig.open()
    took_s = time.perf_counter() - began
    said = {
        "startup_s": took_s, "bytes_a_miner": (resident_bytes() - before) / count, "firmwares": names,
        "addresses": [place.address for place in rig.layout.miners],
    }  # fmt: skip
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
    every, turn = round(1 / RAMPING_SHARE), 0
    while True:
        for script, rows in _by_script(rig, range(turn % every, count, every)).items():
            rig.fleet.run(np.array(rows), script, clock.now())
        turn += 1
        await asyncio.sleep(RAMP_LASTS_S)


def _by_script(rig: Rig, rows: Iterable[int]) -> dict[str, list[int]]:
    """The rows by the first of `RAMPS` that their family has."""
    found: dict[str, list[int]] = {}
    for row in rows:
        scripts = rig.layout.miners[row].family.scripts
        found.setdefault(next(name for name in RAMPS if name in scripts), []).append(row)
    return found


if __name__ == "__main__":
    clocks.run(_serve, mode="real")
