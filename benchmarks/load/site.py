"""`python -m benchmarks.load.site COUNT`: a site of so many miners, all firmwares in equal parts, until it is ended.

Prints one line of JSON when every address answers. Every two seconds another twentieth of the fleet begins to ramp, so
that a twentieth of it always is.
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
    from emulator.clock import Clock

RAMP_EVERY_S = 2.0
RAMPING_SHARE = 0.05
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
    rows, first, asleep = max(1, int(count * RAMPING_SHARE)), 0, False
    while True:
        group = np.arange(first, min(first + rows, count))
        rig.fleet.run(group, "wake" if asleep else "sleep", clock.now())
        first += rows
        if first >= count:
            first, asleep = 0, not asleep
        await asyncio.sleep(RAMP_EVERY_S)


if __name__ == "__main__":
    clocks.run(_serve, mode="real")
