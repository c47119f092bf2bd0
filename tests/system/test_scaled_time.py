"""Real time that runs a number of times as fast as the wall clock: one clock for the bench, timers never early."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import timedelta
from pathlib import Path

import pytest

from bench.attach import Context, SubprocessSut, build
from bench.case_file import load_cases
from bench.config import validate
from bench.play import plan, play
from emulator.clock import Clock, run
from emulator.wire import SECOND
from tests.bench.small import CASE, PROFILE, write

pytestmark = pytest.mark.system


def test_at_a_speed_every_clock_of_the_loop_runs_that_much_faster() -> None:
    async def main(clock: Clock) -> tuple[float, float, int]:
        began_s = asyncio.get_running_loop().time()
        for k in range(1, 101):
            await clock.sleep_until(k * 40_000_000)
            assert clock.now() >= k * 40_000_000
        await asyncio.sleep(2)
        async with asyncio.timeout(60):
            await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.01)
        before_ns, date, after_ns = clock.now(), clock.wall(), clock.now()
        assert before_ns // 1000 <= (date - clock.epoch) // timedelta(microseconds=1) <= after_ns // 1000
        return clock.speed, asyncio.get_running_loop().time() - began_s, clock.now()

    began = time.monotonic()
    speed, passed_s, now_ns = run(main, mode="real", speed=20)
    took_s = time.monotonic() - began
    assert speed == 20
    assert passed_s >= 6.0
    assert now_ns >= 6 * SECOND
    assert 0.3 <= took_s < passed_s / 2


def test_virtual_time_has_no_speed_and_a_speed_is_a_number_above_zero() -> None:
    async def main(clock: Clock) -> None:
        raise AssertionError

    for mode, speed in (("virtual", 2.0), ("real", 0.0), ("real", float("nan"))):
        with pytest.raises(ValueError, match="speed"):
            run(main, mode=mode, speed=speed)


def test_a_case_is_over_that_much_sooner_and_its_folder_says_why(tmp_path: Path) -> None:
    case = CASE.replace('lead_in = "10 s"', 'lead_in = "10 s"\ntime = "real"\nspeed = 10')
    write(tmp_path, profile=PROFILE, case=case.replace("ercot_rrs_ffr", "ercot_rrs_ufr"))
    out = tmp_path / "out"
    out.mkdir()
    began = time.monotonic()
    play(plan(load_cases(str(tmp_path / "case.toml"))[1][0]), out)
    assert 5.0 <= time.monotonic() - began < 30.0
    stop = json.loads((out / "documents.jsonl").read_text().splitlines()[-1])
    assert 50 * SECOND <= stop["t_ns"] < 51 * SECOND
    assert stop["contacts"]["meter"] > 200
    assert stop["contacts"]["pdu"] > 0
    assert json.loads((out / "run.json").read_text())["speed"] == 10.0


def test_a_program_is_told_the_speed_and_has_its_grace_in_real_time(tmp_path: Path) -> None:
    (tmp_path / "ctl.py").write_text(
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), print('saved'), sys.exit()))\n"
        "print('ready at', os.environ['RAMPRIG_SPEED'])\ntime.sleep(60)\n"
    )
    table = {"kind": "subprocess", "command": "{python}", "args": ["ctl.py"], "ready": {"log": "ready"}}
    sut = validate({**table, "stop_within": "20 s"}, SubprocessSut, "case.toml")

    async def main(clock: Clock) -> str:
        adapter = build(sut, tmp_path, "real")
        await adapter.start(Context(clock, {}, tmp_path / "site.json", tmp_path, asyncio.Event().wait))
        try:
            assert (await adapter.ready(3000 * SECOND)).ok
        finally:
            await adapter.stop()
        return adapter.stubborn

    assert run(main, mode="real", speed=100) == ""
    lines = (tmp_path / "stdout.log").read_text().splitlines()
    assert [line.split(maxsplit=1)[1] for line in lines] == ["ready at 100", "saved"]
