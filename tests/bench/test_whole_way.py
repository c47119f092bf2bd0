"""The bench itself, from end to end in virtual time: a controller whose delay is known exactly, on a whole site.

It opens every contactor by Modbus so long after the frequency has crossed the trigger. When the power really fell
stands in the run's segments; what the judge says of it may be off by no more than it says itself.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.case_file import load_cases
from bench.play import plan
from bench.record import read_run
from bench.session import run_case
from bench.verdict import Quantity
from emulator.catalogue import Phase
from tests.bench.small import PROFILE, RIG

CONTROLLER = '''
import asyncio
from pymodbus.client import AsyncModbusTcpClient

COILS = 101
ZERO_S = 10.0 + 5.0  # lead-in, and the step of the profile


async def controller(inventory, config):
    """Connects in time, and opens all outputs at the instant it was told."""
    clients = [AsyncModbusTcpClient(pdu["address"], port=pdu["port"]) for pdu in inventory["pdus"]]
    for client in clients:
        await client.connect()
        await client.read_coils(COILS, count=4, device_id=1)
    loop = asyncio.get_running_loop()
    await asyncio.sleep(ZERO_S + config["delay_s"] - loop.time())
    await asyncio.gather(*(client.write_coils(COILS, [False] * 4, device_id=1) for client in clients))
    await asyncio.sleep(3600)
'''
CASE = """
schema = 1
id = "exact"
rig = "rig.toml"
profile = "profile.toml"
services = ["service:ercot_rrs_ffr"]
lead_in = "10 s"
sut = {{ kind = "python", factory = "controller.py:controller", config = {{ delay_s = {delay_s} }} }}
"""
ANALYSER = '\n[analyser]\nrate = "1 kHz"\nwindow = "10 ms"\n'
STEP_NS = 15_000_000_000


@pytest.mark.parametrize("delay_s", [0.001, 0.01, 0.1, 1.0, 10.0])
def test_what_is_measured_is_when_the_power_fell_and_what_is_commanded_is_when_it_was(
    tmp_path: Path, delay_s: float
) -> None:
    profile = PROFILE.replace('"59.69 Hz"], ["25 s"', '"59.69 Hz"], ["24 s"')
    for name, text in {
        "rig.toml": RIG + ANALYSER, "profile.toml": profile, "controller.py": CONTROLLER,
        "case.toml": CASE.format(delay_s=delay_s),
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text, encoding="utf-8")
    ((case),) = load_cases(str(tmp_path / "case.toml"))[1]
    verdict, _ = run_case(plan(case), tmp_path / "run", reports=False)
    run = read_run(tmp_path / "run")

    phases = run.phases
    assert phases is not None
    off_ns = phases.t_ns[phases.phase == Phase.OFF]
    assert off_ns.size == 8
    # relay 15 to 25 ms and contactor 25 ms ± 15 %, drawn for each output, behind a reply of 3 ms
    after_s = (off_ns - STEP_NS) / 1e9 - delay_s
    assert 0.015 <= after_s.min() <= after_s.max() <= 0.075

    reach = next(check for check in verdict.checks if check.id == "reach").measured
    assert isinstance(reach, Quantity)
    truth_s = float(off_ns.max() - STEP_NS) / 1e9  # 95 % of 26 kW are not there before the last of eight has gone
    assert reach.value / 1e3 == pytest.approx(truth_s, abs=2 * reach.u / 1e3)
    assert reach.u <= 4.0, "milliseconds: window and sampling of the analyser"
