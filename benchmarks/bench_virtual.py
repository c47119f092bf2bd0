"""Virtual time against the real one: 200 miners and the reference controller over its real protocols."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bench.layout import lay_out
from bench.rig import Rig
from bench.rig_file import load_rig
from benchmarks.rows import Row, seconds
from emulator import clock as clocks
from emulator.seed import Seed
from emulator.timeline import Signal
from firmware_mocks.controllers.reference import controller

if TYPE_CHECKING:
    from emulator.clock import Clock

S = 1_000_000_000
PLAY_S = 300
ROUNDS = 5
FIRMWARE_ONLY = {"paths": {"allowed": ["firmware"]}, "return": {"stage_share": 0.1}}


def rows() -> list[Row]:
    """A frequency event shed through PDU contactors, and one shed through every miner's own network API."""
    found = []
    for name, settings in (("PDU contactors", {}), ("miner APIs", FIRMWARE_ONLY)):
        times = sorted(
            seconds(lambda chosen=settings: clocks.run(lambda clock: _play(clock, chosen))) for _ in range(ROUNDS)
        )
        speed = PLAY_S / times[ROUNDS // 2]
        what = f"200 miners, controller polling at 20 Hz, shed through {name}, {PLAY_S} s"
        found.append(Row(what, speed, "simulated s a second", "real time", 1.0, speed))
    return found


async def _play(clock: Clock, settings: dict[str, dict[str, object]]) -> None:
    file, path = load_rig("rig:yard")
    rig = Rig(lay_out(file, str(path)), clock, Seed(1), 60.0)
    frequency = Signal.steps([(0, 60.0), (60 * S, 59.69), (90 * S, 60.0)])
    rig.play({"frequency": frequency, "recall": Signal.steps([(0, 0.0), (150 * S, 1.0)])}, 0)
    await rig.open()
    running = asyncio.ensure_future(controller(rig.inventory(), settings))
    await clock.sleep_until(PLAY_S * S)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    shed_w = rig.nominal_w - rig.site.poi.power_w(80 * S)
    if shed_w < file.commitment:
        raise RuntimeError(
            f"the controller shed {shed_w:.0f} W of {file.commitment:.0f} W; this benchmark measured nothing"
        )
    await rig.close()
