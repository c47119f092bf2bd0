"""`python -m benchmarks.load.site COUNT [all]`: a site of so many miners on their addresses, until it is ended.

The firmwares have equal parts of it: those that speak cgminer's protocol, or all that ship.

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
from benchmarks.load.client import REQUEST
from emulator import clock as clocks
from emulator.seed import Seed
from emulator.wire import Send
from firmware_mocks import miners

if TYPE_CHECKING:
    from collections.abc import Iterable

    from emulator.clock import Clock

RAMPING_SHARE = 0.05
RAMPS = ("restart", "wake")
RAMP_LASTS_S = 60.0
"""What the quickest of the restarts takes."""
API_PORT = 4028


def faces(*, all_of_them: bool = False) -> list[str]:
    """The firmwares that answer cgminer's `summary` in JSON on port 4028, or all that ship."""
    names = list(miners.names())
    if all_of_them:
        return names

    def speaks(clock: Clock) -> list[str]:
        rig = Rig(lay_out(rig_file(len(names), names), "ask.toml"), clock, Seed(1), 60.0)
        found = []
        for place in rig.layout.miners:
            device, firmware = rig.devices[place.id], place.firmware
            if firmware is not None and API_PORT in device.ports:
                said = device.converse(API_PORT, "127.0.0.1", clock.now()).received(REQUEST, clock.now())
                if any(isinstance(action, Send) and action.data.startswith(b'{"STATUS"') for action in said):
                    found.append(firmware.name)
        return found

    async def ask(clock: Clock) -> list[str]:
        return speaks(clock)

    return clocks.run(ask)


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


async def _serve(clock: Clock, names: list[str]) -> None:
    count = int(sys.argv[1])
    with standing():
        Rig(lay_out(rig_file(len(names), names), "warm.toml"), clock, Seed(1), 60.0)  # loads every face once
    before, began = resident_bytes(), time.perf_counter()
    with standing(prompt=True):
        rig = Rig(lay_out(rig_file(count, names), "load.toml"), clock, Seed(1), 60.0)
    await rig.open()
    took_s = time.perf_counter() - began
    said = {
        "startup_s": took_s, "bytes_a_miner": (resident_bytes() - before) / count, "firmwares": names,
        "addresses": [place.address for place in rig.layout.miners],
        "ports": [_port(rig.devices[place.id].ports) for place in rig.layout.miners],
    }  # fmt: skip
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
    every, turn = round(1 / RAMPING_SHARE), 0
    while True:
        for script, rows in _by_script(rig, range(turn % every, count, every)).items():
            rig.fleet.run(np.array(rows), script, clock.now())
        turn += 1
        await asyncio.sleep(RAMP_LASTS_S)


def _port(ports: tuple[int, ...]) -> int:
    """Where a miner is asked: on its cgminer socket, else on its first port, which speaks HTTP."""
    return API_PORT if API_PORT in ports else ports[0]


def _by_script(rig: Rig, rows: Iterable[int]) -> dict[str, list[int]]:
    """The rows by the first of `RAMPS` that their family has."""
    found: dict[str, list[int]] = {}
    for row in rows:
        scripts = rig.layout.miners[row].family.scripts
        found.setdefault(next(name for name in RAMPS if name in scripts), []).append(row)
    return found


if __name__ == "__main__":
    chosen = faces(all_of_them=sys.argv[2:] == ["all"])
    clocks.run(lambda clock: _serve(clock, chosen), mode="real")
