"""Controllers on serial lines, in real time and on pseudo-terminals: other people's programs as master and as slave.

The stand-ins are programs of their own. One asks the rig's meter and relays with minimalmodbus; the other is a slave of
modbus-tk, whose supply is an outlet of the rig.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench.small import ramprig
from tests.system import dip
from tests.system.test_cli_real import may_be_bound, started, until

pytestmark = pytest.mark.system

RIG = """
schema = 1
name = "wired"
commitment = "14 kW"
network.subnet = "127.93.0.0/16"

[meter]
line = "rs485"
unit = 1
refresh = { frequency = "50 ms", power = "50 ms" }

[[line]]
id = "rs485"
baud = 115200

[[line]]
id = "plc"
baud = 115200

[[load]]
id = "house"
kind = "house"
power = "2 kW"

[[feeder]]
id = "f"
meter = { port = 1502 }
pdu = { product = "waveshare_relay_8", count = 1, line = "rs485", unit = 20 }

[[feeder.miners]]
model = "S21"
firmware = "mute"
phases = "luxos"
count = 4

[[feeder]]
id = "office"
meter = { port = 1502 }
pdu = { product = "netio_powerpdu_4ps", count = 1, port = 1502 }

[[feeder.miners]]
model = "S21"
firmware = "mute"
phases = "luxos"
count = 1
"""
"""The four miners hang on every second relay of the board on the line; an outlet of the other PDU feeds the slave."""
OUTLETS = ["pdu-01.2", "pdu-01.4", "pdu-01.6", "pdu-01.8"]
POWER = "pdu-02.1"

PROFILE, SHORT = dip.profile("1 s", "4500 ms"), dip.profile("1 s", "1100 ms")
CASE = """
schema = 1
id = "dip"
rig = "rig.toml"
profile = "profile.toml"
services = ["service:ercot_rrs_ufr"]
lead_in = "2500 ms"
time = "real"

[sut]
kind = "serial"
"""

MASTER = '''
"""Polls the frequency of the meter on the line and opens all relays of the board when it is low."""

import json
import pathlib
import sys
import time

import minimalmodbus

folder = pathlib.Path(sys.argv[1])
while not (folder / "line.json").exists():
    time.sleep(0.02)
site = json.loads((folder / "inventory.json").read_text())
meter = next(one for one in site["meters"] if one["id"] == "meter-poi")
board = site["pdus"][0]
instruments = []
for device in (meter, board):
    one = minimalmodbus.Instrument(device["line"]["path"], device["unit"])
    one.serial.baudrate, one.serial.timeout = device["line"]["baud"], 0.3
    instruments.append(one)
meter, board = instruments
shed = False
while True:
    try:
        if not shed and meter.read_float(70, functioncode=4) < 59.8:
            board.write_bits(0, [0] * 8)
            shed = True
    except (minimalmodbus.ModbusException, OSError) as error:
        print(error, flush=True)
    time.sleep(0.02)
'''

SLAVE = '''
"""A PLC behind an outlet: a slave of modbus-tk whose coils open when the frequency in its register is low.

arguments: folder of the run, host and port of the PDU that feeds it, number of its coil, answers for so many seconds
"""

import json
import pathlib
import sys
import time

import modbus_tk.defines as tk
import serial
from modbus_tk import modbus_rtu
from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException

folder, host = pathlib.Path(sys.argv[1]), sys.argv[2]
port, coil, life_s = int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
while not (folder / "inventory.json").exists():
    time.sleep(0.02)
pdu = ModbusTcpClient(host, port=port, timeout=1)


def fed():
    try:
        reply = pdu.read_coils(coil, count=1) if pdu.connected or pdu.connect() else None
    except (ModbusException, OSError):  # the site is down
        return False
    return reply is not None and not reply.isError() and reply.bits[0]


while True:
    while not fed():
        time.sleep(0.02)
    while not (folder / "line.json").exists():
        time.sleep(0.02)
    time.sleep(0.2)  # it boots
    print("boots", flush=True)
    line = json.loads((folder / "line.json").read_text())
    server = modbus_rtu.RtuServer(serial.Serial(line["path"], line["baud"]))
    server.start()
    slave = server.add_slave(line["unit"])
    slave.add_block("registers", tk.HOLDING_REGISTERS, 0, 8)
    slave.add_block("relays", tk.COILS, 0, 8)
    slave.set_values("relays", 0, [1] * 8)
    born = time.monotonic()
    while fed() and time.monotonic() - born < life_s:
        centihertz = slave.get_values("registers", 0, 1)[0]
        if 0 < centihertz < 5980:
            slave.set_values("relays", 0, [0] * 8)
        time.sleep(0.005)
    server.stop()
    print("dies", flush=True)
    while time.monotonic() - born >= life_s:
        time.sleep(1.0)
'''
MAP = f"""
role = "slave"
line = "plc"
unit = 7
poll = "20 ms"
power = "{POWER}"
cold = "200 ms"
lost_after = "1500 ms"
write = [
    {{ signal = "frequency", address = 0, type = "u16", scale = 100.0 }},
    {{ signal = "dispatch", address = 1, scale = 0.001 }},
]
read = [{{ table = "coil", address = 0, outlets = {json.dumps(OUTLETS)} }}]
"""


@pytest.fixture(autouse=True)
def _ports() -> None:
    end_s = time.monotonic() + 30
    while not all(may_be_bound(port) for port in (502, 1502)):
        if time.monotonic() > end_s:
            pytest.skip("the vendors' ports cannot be bound: in use, or kept for privileged programs")
        time.sleep(0.2)


def files(folder: Path, sut: str, *, profile: str = PROFILE) -> Path:
    """The files of the case in `folder`; where its controller finds the line."""
    for name, text in (("rig", RIG), ("profile", profile), ("case", CASE + sut)):
        (folder / f"{name}.toml").write_text(text)
    return folder / "out" / "dip" / "sut"


@contextlib.contextmanager
def controller(folder: Path, text: str, *words: object) -> Iterator[Path]:
    """A program that stands for a board on the line; what it prints is in the file, its libraries' words in another."""
    (folder / "board.py").write_text(text)
    said = folder / "board.txt"
    with said.open("w") as out, (folder / "board.err").open("w") as err:
        process = subprocess.Popen([sys.executable, "board.py", *map(str, words)], cwd=folder, stdout=out, stderr=err)
    try:
        yield said
        assert process.poll() is None, (folder / "board.err").read_text()[-2000:]
    finally:
        process.kill()
        process.wait()


def plc(folder: Path, sut: Path, life_s: float = 60.0) -> contextlib.AbstractContextManager[Path]:
    return controller(folder, SLAVE, sut, "127.93.251.2", 1502, 101, life_s)


def run(capsys: pytest.CaptureFixture[str], folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Play the case: the verdict on it, and the events of its run."""
    ended = ramprig(capsys, "run", folder / "case.toml", "--out", folder / "out", "--json")
    assert ended.err == ""
    (one,) = json.loads(ended.out)["cases"]
    lines = (folder / "out" / "dip" / "documents.jsonl").read_text().splitlines()
    return one, [json.loads(line) for line in lines]


def told(documents: list[dict[str, Any]], *kinds: str) -> list[tuple[str, str]]:
    return [(one["kind"], one["reason"]) for one in documents if one.get("kind") in kinds]


def gate(one: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(gate for gate in one["gates"] if gate["id"] == name)
    return found


def passed(one: dict[str, Any]) -> None:
    """It passed; a machine that was too busy to be the bench may say so."""
    reach = next(check for check in one["checks"] if check["id"] == "reach")
    assert 0.0 < reach["value"] < 2000.0
    busy = any("Bench on time" in reason or "stood still" in reason for reason in one["reasons"])
    if not busy:
        assert (one["outcome"], one["validity"]) == ("PASS", "VALID"), one["reasons"]


def test_a_master_on_the_line_sheds_by_what_it_reads_there_and_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sut = files(tmp_path, 'role = "master"\nline = "rs485"\n')
    with controller(tmp_path, MASTER, sut):
        one, documents = run(capsys, tmp_path)
    passed(one)
    assert told(documents, "sut_ready") == [("sut_ready", "request on line rs485")]
    stop = documents[-1]
    assert stop["contacts"]["meter"] > 20
    assert stop["contacts"]["pdu"] == 1
    assert stop["sut"]["requests"] == stop["contacts"]["meter"] + 1
    assert stop["sut"]["requests_for_others"] == {}


def test_a_master_that_never_speaks_voids_the_case_with_line_path_and_format(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files(tmp_path, 'role = "master"\nline = "rs485"\n', profile=SHORT)
    one, _ = run(capsys, tmp_path)
    assert one["validity"] == "VOID"
    ready = gate(one, "controller")
    assert ready["validity"] == "VOID"
    assert "nothing was heard on line rs485 (/dev/pts/" in ready["value"]
    assert ", rtu 115200 8N1); check its supply" in ready["value"]


def test_a_slave_is_told_the_frequency_and_its_coils_shed_also_after_a_restart_by_its_outlet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sut = files(tmp_path, MAP + 'restart = [{ at = "50 ms", down = "200 ms" }]\n')
    with plc(tmp_path, sut) as said:
        one, documents = run(capsys, tmp_path)
        until(lambda: said.read_text().split() == ["boots", "dies", "boots", "dies"], 5.0)
    passed(one)
    assert told(documents, "sut_ready", "sut_exit") == [("sut_ready", "answer to a whole poll")]
    kinds = [kind for kind, _ in told(documents, "sut_restart", "sut_power", "sut_ready_again")]
    power = "sut_power"
    assert kinds == [power, power, "sut_restart", power, power, "sut_ready_again", power]
    assert [why for _, why in told(documents, power)] == [
        f"{POWER} is switched {state}" for state in ("off", "on", "off", "on", "off")
    ]
    assert [why for _, why in told(documents, "sut_outlet")] == [f"opens {outlet}" for outlet in OUTLETS]
    stop = documents[-1]
    assert stop["contacts"]["answers"] > 200
    assert stop["sut"]["restarts"] == 1
    descriptor = next(one for one in documents if "analyser" in one)
    assert descriptor["analyser"]["u_time_ns"] == pytest.approx(20e6 * (2 / 3) ** 0.5)


def test_a_slave_that_stops_answering_fails_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sut = files(tmp_path, MAP)
    with plc(tmp_path, sut, 3.0):
        one, documents = run(capsys, tmp_path)
    assert one["outcome"] == "FAIL"
    (reason,) = [why for _, why in told(documents, "sut_exit")]
    assert reason.startswith("controller stopped answering as unit 7 on line plc (/dev/pts/")
    assert any("the controller ended before the run did: controller stopped answering" in why for why in one["reasons"])


def test_a_slave_that_never_answers_voids_the_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files(tmp_path, MAP + 'timeout = "100 ms"\nready_within = "500 ms"\n', profile=SHORT)
    one, _ = run(capsys, tmp_path)
    assert one["validity"] == "VOID"
    assert "unit 7 on line plc (/dev/pts/" in gate(one, "controller")["value"]
    assert gate(one, "contact")["validity"] == "VOID"


def test_a_port_that_cannot_be_had_ends_the_command_with_its_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for line, sut in (("rs485", 'role = "master"\nline = "rs485"\n'), ("plc", MAP)):
        files(tmp_path, sut)
        rig = RIG.replace(f'id = "{line}"\n', f'id = "{line}"\nport = "/dev/ttyUSB77"\n')
        (tmp_path / "rig.toml").write_text(rig)
        ended = ramprig(capsys, "run", tmp_path / "case.toml", "--out", tmp_path / "out")
        assert ended.code == 2
        assert ended.err == ("ramprig: /dev/ttyUSB77: there is no such port; plug it in, or name another one\n")


def test_an_outlet_of_a_real_pdu_is_a_power_switch_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The PDU that feeds the controller is another process's; the bench commands it through the slot of its rig."""
    (tmp_path / "there").mkdir()
    there = RIG.replace("127.93.", "127.95.").replace("port = 1502", "port = 1503")
    there = there.replace("[meter]", "dispatch = false\n\n[meter]")
    (tmp_path / "there" / "rig.toml").write_text(there)
    sut = files(tmp_path, MAP)
    real = 'provider = { kind = "real", address = "127.95.251.2", port = 1503, poll = "50 ms" }'
    (tmp_path / "rig.toml").write_text(RIG.replace("count = 1, port = 1502 }", f"count = 1, {real} }}"))
    with started(tmp_path / "there", "up", "rig.toml") as site:
        until(lambda: site.poll() is not None or "is up" in (tmp_path / "there" / "out.txt").read_text())
        assert site.poll() is None, (tmp_path / "there" / "err.txt").read_text()
        with controller(tmp_path, SLAVE, sut, "127.95.251.2", 1503, 101, 60.0) as said:
            one, documents = run(capsys, tmp_path)
            until(lambda: said.read_text().split()[-2:] == ["boots", "dies"], 5.0)
    assert [why for _, why in told(documents, "sut_power")] == [
        f"{POWER} is switched {state}" for state in ("off", "on", "off")
    ]
    passed(one)
