"""The reference controller as a program of its own, against a small site in real time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from bench import inventory
from bench.attach import Context, SubprocessSut, build
from bench.config import validate
from bench.layout import lay_out
from bench.rig import Rig
from bench.rig_file import RigFile
from emulator.clock import Clock, run
from emulator.network import PortPermissionError
from emulator.seed import Seed
from emulator.timeline import Signal
from emulator.wire import SECOND

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
SOLD_W = 6e3
SITE = {
    "schema": 1,
    "name": "four",
    "commitment": "6 kW",
    "network": {"subnet": "127.78.0.0/16"},
    "feeder": [
        {"id": "lux", "pdu": {"count": 1}, "miners": [{"model": "S21", "firmware": "luxos", "count": 4}]},
    ],
}


def test_the_program_says_ready_sheds_in_time_and_ends_when_told(tmp_path: Path) -> None:
    (tmp_path / "ctl.toml").write_text("[frequency]\ntrip_hz = 59.70\n")
    table = {
        "kind": "subprocess",
        "command": "{python}",
        "args": ["-m", "firmware_mocks.controllers.reference", "--config", "{config}", "--verbose"],
        "cwd": str(ROOT),
        "config": str(tmp_path / "ctl.toml"),
        "ready": {"log": "ready"},
    }

    async def main(clock: Clock) -> float:
        rig = Rig(lay_out(validate(SITE, RigFile, "four.toml"), "four.toml"), clock, Seed(3), 60.0)
        try:
            await rig.open()
        except PortPermissionError as error:
            pytest.skip(f"the vendors' ports cannot be bound here: {error}")
        site = tmp_path / "site.json"
        inventory.write(inventory.parse(rig.inventory()), site)
        contact = asyncio.Event()
        rig.traffic.on_first = lambda _now: contact.set()
        adapter = build(validate(table, SubprocessSut, "case.toml"), tmp_path, "real")
        try:
            await adapter.start(Context(clock, rig.inventory(), site, tmp_path, contact.wait))
            readiness = await adapter.ready(20 * SECOND)
            assert readiness.ok, readiness.reason
            step_ns = clock.now() + SECOND
            rig.grid.signals["frequency"] = Signal(np.array([step_ns, step_ns]), np.array([60.0, 59.6]))
            await clock.sleep_until(step_ns + SECOND)
        finally:
            await adapter.stop()
            await rig.close()
        assert (adapter.exit, adapter.stubborn) == ("", "")
        return (rig.site.poi.power_w(step_ns - 1) - rig.site.poi.power_w(step_ns + SECOND)) / SOLD_W

    assert run(main, mode="real") >= 0.95
    assert "hold 6120 W by contactor" in (tmp_path / "stderr.log").read_text()
