"""The ways to Modbus devices of a rig: what a file may say, what is wrong with it, and that every way leads there."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient, AsyncModbusUdpClient

from bench import inventory
from bench.config import ConfigError, validate
from bench.layout import lay_out
from bench.rig import Rig
from bench.rig_file import RigFile
from emulator.clock import Clock, run
from emulator.network import NetworkError
from emulator.seed import Seed
from emulator.timeline import Signal
from emulator.wire import SECOND
from firmware_mocks.controllers import reference
from tests.bench.small import ramprig

WAYS = """
schema = 1
name = "ways"
commitment = "1 kW"
network.subnet = "127.79.0.0/16"

[[line]]
id = "rs485"

[[line]]
id = "old"
kind = "ascii"
baud = 19200

[[gateway]]
id = "gate"

[meter]
line = "rs485"
unit = 1

[[submeter]]
id = "ascii"
line = "old"

[[submeter]]
id = "gate"
gateway = "gate"
unit = 5
at = "f"

[[submeter]]
id = "udp"
transport = "udp"

[[submeter]]
id = "over-rtu"
transport = "rtu-over-tcp"
port = 4001

[[submeter]]
id = "over-ascii"
transport = "ascii-over-tcp"

[[feeder]]
id = "f"
pdu = { count = 2, line = "rs485", unit = 10, drives = "load" }

[[feeder.miners]]
model = "S21"
firmware = "luxos"
count = 8
"""


def laid_out(text: str = WAYS, origin: str = "rig.toml"):
    return lay_out(validate(tomllib.loads(text), RigFile, origin), origin)


def problems(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        laid_out(text)
    return "\n".join(caught.value.problems)


def client_of(entry: dict[str, Any]):
    common: dict[str, Any] = {"timeout": 1, "retries": 0}
    if entry["line"] is not None:
        return AsyncModbusSerialClient(entry["line"]["path"], framer=FramerType(entry["transport"]), **common)
    if entry["transport"] == "udp":
        return AsyncModbusUdpClient(entry["address"], port=entry["port"], **common)
    framer = {"tcp": FramerType.SOCKET, "rtu-over-tcp": FramerType.RTU, "ascii-over-tcp": FramerType.ASCII}
    return AsyncModbusTcpClient(entry["address"], port=entry["port"], framer=framer[entry["transport"]], **common)


def test_pymodbus_reaches_every_device_by_what_the_inventory_says_in_virtual_time():
    async def main(clock: Clock) -> dict[str, int]:
        rig = Rig(laid_out(), clock, Seed(1), 60.0)
        await rig.open()
        told = rig.inventory()
        inventory.parse(told)
        took = {}
        for entry in [*told["meters"], *told["pdus"], *told["signals"]]:
            client = client_of(entry)
            assert await client.connect()
            began = clock.now()
            if "outlets" in entry:
                reply = await client.read_coils(101, count=4, device_id=entry["unit"])
                assert reply.bits[:4] == [True] * 4
            else:
                reply = await client.read_input_registers(0, count=2, device_id=entry["unit"])
                assert not reply.isError()
            took[entry["id"]] = clock.now() - began
            client.close()
            await clock.sleep(SECOND)
        assert rig.traffic.requests == {"meter": 7, "pdu": 2, "signal": 1}
        assert rig.network.defects == 0
        await rig.close()
        return took

    took = run(main)
    assert run(main) == took
    assert took["meter-poi"] > took["meter-udp"]
    assert took["meter-gate"] > took["meter-udp"]


def test_the_inventory_says_where_each_device_is():
    told = laid_out().inventory(1000.0, 60.0, {"rs485": "/dev/pts/5"})
    by_id = {entry["id"]: entry for entry in [*told["meters"], *told["pdus"], *told["signals"]]}
    line = {"id": "rs485", "path": "/dev/pts/5", "baud": 9600, "parity": "none", "data_bits": 8, "stop_bits": 1}
    assert by_id["meter-poi"] == {
        "id": "meter-poi", "product": "eastron_sdm630", "transport": "rtu", "address": None, "port": None, "unit": 1,
        "line": line, "measures": "poi",
    }  # fmt: skip
    assert [(by_id[name]["unit"], by_id[name]["line"]) for name in ("pdu-01", "pdu-02")] == [(10, line), (11, line)]
    gate = by_id["meter-gate"]
    assert (gate["transport"], gate["address"], gate["port"], gate["unit"], gate["measures"]) == (
        "tcp", "127.79.254.1", 502, 5, "f",
    )  # fmt: skip
    assert (by_id["meter-over-rtu"]["transport"], by_id["meter-over-rtu"]["port"]) == ("rtu-over-tcp", 4001)


def test_people_are_told_the_port_of_a_line_and_the_unit():
    told = {name: (what, where, how) for name, what, where, how in laid_out().endpoints({"rs485": "/dev/pts/5"})}
    assert told["rs485"] == ("serial line, rtu", "/dev/pts/5", "9600 8N1")
    assert told["meter-poi"] == ("eastron_sdm630", "/dev/pts/5", "rtu, unit 1")
    assert told["meter-gate"] == ("eastron_sdm630", "127.79.254.1", "502, unit 5")
    assert told["meter-udp"][2] == "502 udp"
    assert told["dispatch"][2] == "502"


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('line = "rs485"\nunit = 1', 'line = "rs458"', "meter.line: there is no line 'rs458'; did you mean \"rs485\"?"),
        ('gateway = "gate"', 'gateway = "gat"', "submeter[1].gateway: there is no gateway 'gat'; did you mean"),
        ("unit = 10", "unit = 1", "pdu-01 are both unit 1 on rs485; give one of them another unit"),
        ("unit = 10", "unit = 247", "pdu-02 would be unit 248; 247 is the last one, begin lower"),
        ("unit = 1\n", 'unit = 1\naddress = "127.79.1.1"\n', "address belongs to a device on an address of its own"),
        ("unit = 1\n", 'unit = 1\ngateway = "gate"\n', "line and gateway are two ways to one device"),
        ('transport = "udp"', 'transport = "tls"', '"tls" needs a [tls] table'),
        ('transport = "udp"', 'transport = "upd"', 'unknown value "upd"; did you mean "udp"?'),
        ("baud = 19200", "baud = 100", "line[1].baud: 100 is too small; 300 or more is expected"),
        ("baud = 19200", 'parity = "even"', "a pseudo-terminal has no parity"),
        ('id = "rs485"', 'id = "rs485"\nport = "/dev/ttyS0"\ndata_bits = 7', "data_bits = 7: RTU needs 8"),
        ('id = "old"', 'id = "rs485"', "the id 'rs485' is used twice"),
        ('at = "f"', 'at = "g"', "submeter 'gate': at = 'g' is neither"),
        ('id = "udp"', 'id = "ascii"', "the id 'meter-ascii' is a meter and a meter"),
        ('id = "gate"\n\n[meter]', 'id = "dispatch"\n\n[meter]', "the id 'dispatch' is a gateway and"),
    ],
)  # fmt: skip
def test_a_mistake_names_key_value_and_remedy(old, new, sentence):
    assert old in WAYS
    assert sentence in problems(WAYS.replace(old, new, 1))


def test_units_that_are_meant_to_collide_are_allowed_when_the_line_says_so():
    text = WAYS.replace("unit = 10", "unit = 1").replace('id = "rs485"', 'id = "rs485"\ncollisions = true', 1)
    layout = laid_out(text)
    assert [place.way.unit for place in (*layout.meters[:1], *layout.pdus)] == [1, 1, 2]


def test_a_real_port_is_refused_in_virtual_time_with_the_remedy():
    async def main(clock: Clock) -> None:
        with pytest.raises(NetworkError, match="--time real"):
            Rig(laid_out(WAYS.replace('id = "rs485"', 'id = "rs485"\nport = "/dev/ttyUSB0"', 1)), clock, Seed(1), 60.0)

    run(main)


CONFIG = {"frequency": {"follow": False}, "poll": {"meter_s": 0.2, "dispatch_s": 1.0}, "return": {"stage_share": 0.5}}


def test_the_reference_controller_works_over_a_serial_line_and_a_gateway():
    """Its meter and its PDUs share one line; the set-point falls, and the miners behind contactors are shed."""
    text = WAYS.replace(', drives = "load"', "").replace('commitment = "1 kW"', 'commitment = "20 kW"')

    async def main(clock: Clock) -> tuple[float, float]:
        rig = Rig(laid_out(text), clock, Seed(1), 60.0)
        await rig.open()
        full_w = rig.site.poi.power_w(0)
        at = 20 * SECOND
        rig.grid.signals["dispatch"] = Signal(np.array([0, at]), np.array([full_w, full_w - 20e3]))
        told = json.loads(json.dumps(rig.inventory()))
        task = clock.loop.create_task(reference.controller(told, CONFIG, ready=lambda: None))
        await clock.sleep_until(at + 15 * SECOND)
        shed_w = rig.site.poi.power_w(clock.now())
        task.cancel()
        await rig.close()
        return full_w, shed_w

    full_w, shed_w = run(main)
    assert full_w - shed_w >= 0.95 * 20e3


def test_certificates_are_made_once_and_the_table_that_names_them_is_good(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "tls"
    done = ramprig(capsys, "certificates", str(folder), "--role", "operator", "--role", "viewer")
    assert done.code == 0
    text = WAYS.replace('transport = "udp"', 'transport = "tls"') + done.out
    layout = laid_out(text)
    assert layout.tls is not None
    (way,) = [place.way for place in layout.meters if place.id == "meter-udp"]
    assert (way.transport, way.port) == ("tls", 802)
    again = ramprig(capsys, "certificates", str(folder))
    assert again.code == 2
    assert "is there already" in again.err
    missing = text.replace("server.key", "absent.key")
    assert "tls: " in problems(missing)
    assert "absent.key" in problems(missing)


def test_a_role_that_cannot_name_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    done = ramprig(capsys, "certificates", str(tmp_path), "--role", "a/b")
    assert done.code == 2
    assert "letters and digits" in done.err
