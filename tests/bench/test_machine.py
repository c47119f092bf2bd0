"""The rule machine: it finds and shrinks planted defects, its cases do again what it did, good controllers pass."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest

from bench.case_file import load_cases
from bench.config import ConfigError
from bench.machine import QUICK, ControllerDefectError, ControllerMachine, find_defect
from bench.machine.live import NotReadyError
from bench.play import plan
from bench.session import run_case
from bench.verdict import Outcome
from tests.bench import four

RIG = four.RIG.replace("200 Hz", "20 Hz")
SETTINGS = {
    "frequency": {"trip_hz": 59.85},
    "dispatch": {"settle_s": 60.0},
    "return": {"stage_share": 0.1},
    "poll": {"meter_s": 5.0, "dispatch_s": 5.0, "baseline_s": 20.0},
}
CONTROLLERS = '''
import asyncio
from firmware_mocks.controllers.modbus_link import Links
from firmware_mocks.controllers import drivers


def device(entry):
    return drivers.ModbusUnit(Links(1.0).to(entry), entry["unit"])


async def fragile(inventory, config, *, ready):
    """Ends with the first reading it does not get."""
    block = device(inventory["signals"][0])
    while True:
        await block.registers(4, 0, 8)
        ready()
        await asyncio.sleep(5.0)


async def stormy(inventory, config, *, ready):
    """Asks a PDU for its relays twenty times a second."""
    pdu = device(inventory["pdus"][0])
    while True:
        await pdu.registers(3, 1, 1)
        ready()
        await asyncio.sleep(0.05)


async def mute(inventory, config, *, ready):
    """Is never ready."""
    await asyncio.sleep(1e6)


async def tireless(inventory, config, *, ready):
    """Begins a task whenever its connection ends, as client libraries do that connect anew."""

    class Again(asyncio.Protocol):
        def connection_lost(self, error):
            tasks.append(loop.create_task(asyncio.sleep(3600.0)))

    loop, tasks, meter = asyncio.get_running_loop(), [], inventory["meters"][0]
    await loop.create_connection(Again, meter["address"], meter["port"])
    ready()
    await asyncio.sleep(1e6)
'''

Make = Callable[..., type[ControllerMachine]]


@pytest.fixture
def machine(tmp_path: Path) -> Make:
    """Makes a machine for a controller that ships, or one of CONTROLLERS, on four miners."""
    (tmp_path / "four.toml").write_text(RIG)
    (tmp_path / "own.py").write_text(CONTROLLERS)

    def make(controller: str, **attributes: Any) -> type[ControllerMachine]:
        own = controller in CONTROLLERS
        factory = f"{tmp_path}/own.py:{controller}" if own else f"firmware_mocks.controllers.{controller}:controller"
        sut = {"kind": "python", "factory": factory, **({} if own else {"config": SETTINGS})}
        common = {"rig": str(tmp_path / "four.toml"), "sut": sut, "found": str(tmp_path / "found"), "trigger_hz": 59.85}
        return type("FourMiners", (ControllerMachine,), {"__module__": __name__, **common, **attributes})

    return make


def played(case: Path) -> Any:
    _, (one,) = load_cases(str(case))
    return run_case(plan(one), case.parent / "run", reports=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("controller", "does", "steps", "said"),
    [
        (
            "faulty.ignores_dispatch",
            ("limit", "kill"),
            ["the limit is 30 % of nominal", "90.013 s go by"],
            "the site drew",
        ),
        ("faulty.returns_early", ("dip",), None, "the site came back without being told to"),
    ],
)
def test_a_planted_defect_is_found_shrunk_and_becomes_a_case_that_fails_the_same_way(
    machine: Make, controller: str, does: tuple[str, ...], steps: list[str] | None, said: str
) -> None:
    defect = find_defect(machine(controller, does=does))
    assert defect is not None
    assert defect.said.startswith(said)
    done = [step.partition(": ")[2] for step in defect.steps]
    if steps is not None:
        assert done == steps
    assert len([step for step in done if not step.endswith("go by")]) == 1  # one thing done to the site, then time
    verdict, facts = played(defect.case)
    assert verdict.outcome is Outcome.FAIL
    failed = [check for check in verdict.checks if check.outcome is Outcome.FAIL]
    assert [check.id.partition("_")[0] for check in failed] == ["ceiling"]
    assert facts.seed == 1


@pytest.mark.slow
def test_nothing_is_found_in_the_reference(machine: Make, tmp_path: Path) -> None:
    assert find_defect(machine("reference"), hypothesis.settings(QUICK, max_examples=15)) is None
    assert not (tmp_path / "found").exists()


def test_a_task_that_begins_as_the_site_ends_is_ended_too(machine: Make, caplog: pytest.LogCaptureFixture) -> None:
    machine("tireless")().teardown()
    gc.collect()
    assert "destroyed but it is pending" not in caplog.text


def test_what_is_written_down_is_played_again_as_it_happened(machine: Make) -> None:
    live = machine("reference", most_requests=0)()
    try:
        live.publish_limit(tenths=4)
        live.advance(times=0.5)
        live.drop_link(pick=0)
        live.kill_miner(pick=2)
        live.advance(times=1.5)
        live.restart_controller()
        live.dip_frequency()
        live.advance(times=0.5)
        live.restore_link(pick=0)
        live.advance(times=1.5)
        live.cancel()
        live.advance(times=4.0)
        with pytest.raises(
            ControllerDefectError, match=r"got \d+ requests within a minute; 0 are allowed\n.*four-miners"
        ):
            live.no_storm_of_commands()
        happened = live.site.power(0, live.site.now_ns)
    finally:
        live.teardown()
    case = Path(live._folder) / "four-miners.case.toml"
    verdict, facts = played(case)
    again = facts.power
    recorded = np.interp(happened.t_ns, again.t_ns - facts.armed_ns, again.value)
    moving = np.abs(np.gradient(happened.value)) > 1.0  # the analyser's mean over 10 ms is late by half of it there
    assert np.abs(recorded - happened.value)[~moving].max() < 1.0
    assert np.ptp(happened.value) > 8_000.0
    assert [check.id for check in verdict.checks if check.outcome is Outcome.FAIL] == ["busiest"]
    assert len([check for check in verdict.checks if check.id.startswith("ceiling")]) == len(live.script.ceilings) > 0
    assert facts.busiest["pdu"][0] == "pdu-01"


def test_a_controller_that_ends_is_a_defect(machine: Make) -> None:
    defect = find_defect(machine("fragile", does=("link",), links=("signal",), trigger_hz=None))
    assert defect is not None
    assert defect.said.startswith("the controller ended: controller raised DeviceError: ")
    silent, *passing = [step.partition(": ")[2] for step in defect.steps]
    assert silent == "dispatch falls silent"
    assert len(passing) == 1
    verdict, _ = played(defect.case)
    assert verdict.outcome is Outcome.FAIL
    assert "controller raised DeviceError" in verdict.reasons[0]


def test_a_storm_of_requests_is_a_defect(machine: Make) -> None:
    live = machine("stormy", links=())()
    try:
        live.no_storm_of_commands()
        live.advance(times=1.5)
        with pytest.raises(ControllerDefectError, match=r"pdu-01 got 1[12]"):
            live.no_storm_of_commands()
    finally:
        live.teardown()


def test_nobody_is_asked_to_switch_what_is_behind_a_silent_link(machine: Make) -> None:
    live = machine("reference", most_faults=3)()
    try:
        assert live.allowed_w() is None
        live.publish_limit(tenths=3)
        free_w = live.allowed_w()
        live.drop_link(pick=0)
        live.drop_link(pick=0)
        behind_two_w = live.allowed_w()
        live.drop_link(pick=2)  # the PDU, and with it all four
        assert free_w is not None
        assert behind_two_w is not None
        assert free_w < 5_000.0 < behind_two_w < 9_000.0
        assert live.allowed_w() == pytest.approx(1.02 * live.site.rig.nominal_w)
        live.site.link("meter-poi", down=True)
        live._down["meter-poi"] = {}
        assert live.allowed_w() is None
    finally:
        live.teardown()


def test_a_controller_that_is_never_ready_or_lives_in_real_time_is_one_sentence(machine: Make) -> None:
    with pytest.raises(NotReadyError, match=r"controller was not ready after 20 s: no call of ready\(\)"):
        machine("mute")()
    with pytest.raises(ConfigError, match=r'FourMiners\.sut: kind "network" lives in real time; attach a "python" one'):
        machine("reference", sut="network")()
