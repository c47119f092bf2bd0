"""A rig whose meter and PDU are real: they are another process's emulated ones, reached over TCP and over its pty.

Process A is `ramprig up`; process B is `ramprig run` with providers that point at A. What A's physics does when its
outlets open is worked out here from A's rig and seed, and B's recording must agree within class and lag.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bench import inventory
from bench.facts import RunFacts
from bench.layout import lay_out
from bench.record import read_run
from bench.rig import Rig
from bench.rig_file import load_rig
from emulator.clock import Clock, run
from emulator.seed import Seed
from emulator.wire import SECOND
from tests.system import dip
from tests.system.test_cli_real import done, may_be_bound, started, until

pytestmark = pytest.mark.system

SITE_A = """
schema = 1
name = "there"
commitment = "5 kW"
dispatch = false
network.subnet = "127.91.0.0/16"

meter = { port = 1502, refresh.power = "40 ms" }

[[line]]
id = "rs485"
baud = 19200

[[submeter]]
id = "wired"
line = "rs485"
unit = 3
refresh.power = "40 ms"

[[load]]
id = "house"
kind = "house"
power = "2 kW"

[[feeder]]
id = "f"
meter = { port = 1502 }
pdu = { count = 1, port = 1502 }

[[feeder.miners]]
model = "S21"
firmware = "luxos"
count = 4
"""
"""The default meter, an SDM630 of class 1, on TCP and once more on the line. Both processes are on one machine, whose
port 502 the second one needs for its own devices."""

RIG_B = """
schema = 1
name = "here"
commitment = "14 kW"
network.subnet = "127.92.0.0/16"

[meter]
product = "eastron_sdm630"
unit = {unit}
refresh.power = "40 ms"
provider = {provider}

[[submeter]]
id = "grid"

[[load]]
id = "house"
kind = "house"
power = "2 kW"

[[feeder]]
id = "f"
meter = {{ provider = {{ kind = "real", address = "127.91.250.2", port = 1502, poll = "200 ms" }} }}
pdu = {{ count = 1, provider = {{ kind = "real", address = "127.91.251.1", port = 1502, poll = "50 ms" }} }}

[[feeder.miners]]
model = "S21"
firmware = "mute"
phases = "luxos"
count = 4
"""
TCP = '{ kind = "real", transport = "tcp", address = "127.91.250.1", port = 1502, poll = "50 ms", lag = "40 ms" }'
RTU = '{{ kind = "real", transport = "rtu", device = "{path}", baud = 19200, poll = "100 ms", lag = "40 ms" }}'

PROFILE = dip.profile("2 s", "7 s")
CASE = """
schema = 1
id = "dip"
rig = "here.toml"
profile = "profile.toml"
services = ["service:ercot_rrs_ufr"]
lead_in = "5 s"
time = "real"

[sut]
kind = "python"
factory = "shedder.py:controller"
"""
SHEDDER = '''
"""Opens every outlet of the PDU, which is a real one, when the meter of the bench shows less than 59.8 Hz."""

import asyncio
import struct

from pymodbus.client import AsyncModbusTcpClient


async def controller(inventory, config):
    grid = next(meter for meter in inventory["meters"] if meter["id"] == "meter-grid")
    (pdu,) = inventory["pdus"]
    meter = AsyncModbusTcpClient(grid["address"], port=grid["port"], timeout=1)
    switch = AsyncModbusTcpClient(pdu["address"], port=pdu["port"], timeout=1)
    await meter.connect()
    await switch.connect()
    try:
        while True:
            words = (await meter.read_input_registers(0x46, count=2, device_id=grid["unit"])).registers
            if struct.unpack(">f", struct.pack(">HH", *words))[0] < 59.8:
                await switch.write_coils(101, [False] * 4, device_id=pdu["unit"])
                break
            await asyncio.sleep(0.02)
        await asyncio.Event().wait()
    finally:
        meter.close()
        switch.close()
'''


@dataclass
class There:
    """Site A: its inventory, and its power before and after its outlets have opened, W."""

    told: inventory.Inventory
    process: object
    before_w: float
    after_w: float


def physics(rig_file: Path) -> tuple[float, float]:
    """Power at A's point of interconnection, with its outlets closed and long after they have opened."""
    file, path = load_rig(str(rig_file))

    async def main(clock: Clock) -> tuple[float, float]:
        rig = Rig(lay_out(file, str(path)), clock, Seed(1), 60.0)
        before_w = rig.site.poi.power_w(0)
        for outlet in rig.site.outlets.values():
            outlet.switch(False, SECOND)
        rig.fleet.advance(5 * SECOND)
        return before_w, rig.site.poi.power_w(5 * SECOND)

    return run(main)


@contextlib.contextmanager
def site_a(folder: Path) -> Iterator[There]:
    end_s = time.monotonic() + 30
    while not all(may_be_bound(port) for port in (80, 502, 1502, 4028)):
        if time.monotonic() > end_s:
            pytest.skip("the vendors' ports cannot be bound: in use, or kept for privileged programs")
        time.sleep(0.2)
    (folder / "a").mkdir()
    (folder / "a" / "there.toml").write_text(SITE_A)
    with started(folder / "a", "up", "there.toml", "--inventory", "site.json", "--seed", "1") as process:
        until(lambda: process.poll() is not None or (folder / "a" / "site.json").exists())
        assert process.poll() is None, (folder / "a" / "err.txt").read_text()
        yield There(inventory.read(folder / "a" / "site.json"), process, *physics(folder / "a" / "there.toml"))


def write_b(folder: Path, unit: int, provider: str, *, case: str = CASE) -> None:
    (folder / "here.toml").write_text(RIG_B.format(unit=unit, provider=provider))
    (folder / "profile.toml").write_text(PROFILE)
    (folder / "case.toml").write_text(case)
    (folder / "shedder.py").write_text(SHEDDER)


def events(folder: Path, kind: str) -> list[dict[str, object]]:
    lines = (folder / "out" / "dip" / "documents.jsonl").read_text().splitlines()
    return [document for document in map(json.loads, lines) if document.get("kind") == kind]


def level(facts: RunFacts, start_ns: int, stop_ns: int) -> float:
    inside = (facts.power.t_ns >= start_ns) & (facts.power.t_ns < stop_ns)
    assert inside.any()
    return float(np.mean(facts.power.value[inside]))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["tcp", "pty"])
def test_the_verdict_rests_on_what_another_process_draws(tmp_path: Path, way: str) -> None:
    with site_a(tmp_path) as there:
        wired = next(meter for meter in there.told.meters if meter.id == "meter-wired")
        assert wired.line is not None
        unit, provider = (1, TCP) if way == "tcp" else (wired.unit, RTU.format(path=wired.line.path))
        write_b(tmp_path, unit, provider)
        finished = done(tmp_path, "run", "case.toml", "--out", "out", "--json")
    assert finished.stderr == ""
    (one,) = json.loads(finished.stdout)["cases"]
    facts = read_run(tmp_path / "out" / "dip")
    class_1 = 0.01

    # the levels are A's, within the class of its meter
    opened = events(tmp_path, "outlet")
    assert sorted(str(event["outlet"]) for event in opened) == ["pdu-01.1", "pdu-01.2", "pdu-01.3", "pdu-01.4"]
    assert not any(event["closed"] for event in opened)
    seen_ns = int(opened[0]["t_ns"])  # type: ignore[call-overload]
    assert level(facts, SECOND, seen_ns - SECOND) == pytest.approx(there.before_w, rel=class_1)
    assert level(facts, seen_ns + SECOND, facts.stop_ns) == pytest.approx(there.after_w, rel=class_1)
    assert facts.power.u == pytest.approx(class_1 / np.sqrt(3) * facts.power.value.max(), rel=0.01)

    # the step is where the relays were seen open, within a poll of the PDU, the delay of A's contactors and the lag
    half_w = (there.before_w + there.after_w) / 2
    step_ns = int(facts.power.t_ns[np.argmax(facts.power.value < half_w)])
    poll_pdu_ns, contactor_ns, poll_ns = 50e6, 60e6, 50e6 if way == "tcp" else 100e6
    trips_ns = 4 * float(max(event["received_ns"] - event["sent_ns"] for event in opened))  # type: ignore[operator]
    assert 20e6 / np.sqrt(3) <= facts.power.u_time_ns < 200e6
    assert abs(step_ns - seen_ns) < poll_pdu_ns + contactor_ns + poll_ns + trips_ns + 3 * facts.power.u_time_ns

    # the verdict is of these samples, and says so
    assert facts.judged_by == "meter-poi"
    assert "a real eastron_sdm630 at" in str(facts.info["power"])
    alive = next(gate for gate in one["gates"] if gate["id"] == "meter")
    assert alive["value"].startswith("meter-poi: ")
    assert "a real eastron_sdm630 at" in (tmp_path / "out" / "dip" / "report.html").read_text()
    reach = next(check for check in one["checks"] if check["id"] == "reach")
    assert 0.0 < reach["value"] < 2000.0
    busy = any("Bench on time" in reason or "stood still" in reason for reason in one["reasons"])
    if not busy:
        assert alive["validity"] == "VALID"
        assert (one["outcome"], one["validity"]) == ("PASS", "VALID"), one["reasons"]


@pytest.mark.slow
def test_a_meter_that_dies_in_the_middle_voids_the_run(tmp_path: Path) -> None:
    with site_a(tmp_path) as there:
        write_b(tmp_path, 1, TCP, case=CASE.replace('"python"\nfactory = "shedder.py:controller"', '"null"'))
        (tmp_path / "profile.toml").write_text(dip.profile("2 s", "9 s"))
        documents = tmp_path / "out" / "dip" / "documents.jsonl"
        with started(tmp_path, "run", "case.toml", "--out", "out", "--json") as playing:
            until(lambda: documents.exists() and "sut_ready" in documents.read_text())
            there.process.terminate()  # type: ignore[attr-defined]
            assert playing.wait(40) == 3
    (one,) = json.loads((tmp_path / "out.txt").read_text())["cases"]
    meter = next(gate for gate in one["gates"] if gate["id"] == "meter")
    assert meter["validity"] == "VOID"
    assert {event["device"] for event in events(tmp_path, "real_silent")} == {"meter-poi", "meter-f", "pdu-01"}


def test_a_meter_that_does_not_answer_is_an_error_of_the_rig_that_names_the_remedy(tmp_path: Path) -> None:
    write_b(tmp_path, 1, TCP)
    finished = done(tmp_path, "run", "case.toml", "--out", "out")
    assert finished.returncode == 2
    assert finished.stderr.startswith(
        "ramprig: meter-poi: the real eastron_sdm630 at 127.91.250.1:1502 (tcp, unit 1) does not answer: "
    )
    assert "check its power, its cable, and address" in finished.stderr
