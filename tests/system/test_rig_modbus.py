"""`ramprig up rig:modbus` as a process: the clients of others reach what the inventory lists, by what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sunspec2.modbus.client import SunSpecModbusClientDeviceRTU, SunSpecModbusClientDeviceTCP

from bench import inventory
from tests.system.test_cli_real import may_be_bound, started, until

pytestmark = pytest.mark.system

SUNSPEC = [f"sunspec_{model}" for model in (201, 202, 203, 204, 211, 212, 213, 214)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("modbus")


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[inventory.Inventory]:
    """The inventory of the rig, which is up."""
    end_s = time.monotonic() + 30
    while not all(may_be_bound(port) for port in (80, 502, 4001, 4028)):
        if time.monotonic() > end_s:
            pytest.skip("the vendors' ports cannot be bound: in use, or kept for privileged programs")
        time.sleep(0.2)
    with started(folder, "up", "rig:modbus", "--inventory", "site.json") as process:
        until(lambda: process.poll() is not None or "is up" in (folder / "out.txt").read_text())
        assert process.poll() is None, (folder / "err.txt").read_text()
        yield inventory.read(folder / "site.json")
        process.terminate()
        assert process.wait(20) == 0
    assert (folder / "err.txt").read_text() == "ramprig: the site is down\n"


def mbpoll(device: inventory.ModbusDevice, *what: str) -> list[float]:
    """The values that the Debian tool reads of a device it reaches by what the inventory says."""
    program = shutil.which("mbpoll")
    if program is None:
        pytest.skip("mbpoll is not installed (Debian package mbpoll)")
    if device.line is None:
        assert device.address is not None
        way, where = ["-m", "tcp", "-p", str(device.port)], device.address
    else:
        line = device.line
        way, where = ["-m", "rtu", "-b", str(line.baud), "-P", line.parity, "-s", str(line.stop_bits)], line.path
    done = subprocess.run(
        [program, "-0", "-1", "-q", "-o", "3.0", "-a", str(device.unit), *way, *what, where],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return [float(value) for value in re.findall(r"^\[\d+\]:\s+(\S+)", done.stdout, re.MULTILINE)]


def named(site: inventory.Inventory, name: str) -> inventory.ModbusDevice:
    return next(device for device in (*site.meters, *site.pdus, *site.relays) if device.id == name)


def test_the_inventory_lists_address_port_unit_and_product_of_all_and_the_pty_of_the_line(
    site: inventory.Inventory, folder: Path
) -> None:
    said = (folder / "out.txt").read_text()
    for device in (*site.meters, *site.pdus, *site.relays):
        assert device.product
        assert device.unit >= 1
        if device.line is None:
            assert re.search(rf"^{device.id} +{device.product} +{device.address} +{device.port}\b", said, re.MULTILINE)
        else:
            assert Path(device.line.path).is_char_device()
            assert re.search(rf"^{device.line.id} +serial line, rtu +{device.line.path} ", said, re.MULTILINE)


def test_mbpoll_reads_the_frequency_over_tcp_through_the_gateway_and_on_the_printed_pty(
    site: inventory.Inventory,
) -> None:
    read = {
        "meter-poi": ("-t4:float", "-B", "-r55"),  # PAC3200: function 3, frequency at 55
        "meter-umg96rm": ("-t4:float", "-B", "-r19050"),
        "meter-moxa": ("-t4:float", "-B", "-r3109"),  # iEM3155: Schneider's 3110 counts from 1
        "meter-waveshare": ("-t3:float", "-B", "-r70"),  # SDM630 on the line
        "meter-sdm120": ("-t3:float", "-B", "-r70"),
    }
    for name, what in read.items():
        (value,) = mbpoll(named(site, name), *what, "-c1")
        assert value == pytest.approx(60.0, rel=1e-3), name


def test_mbpoll_reads_and_switches_the_relays_of_the_board_on_the_pty(site: inventory.Inventory) -> None:
    board = named(site, "pdu-07")
    assert board.product == "waveshare_relay_8"
    assert mbpoll(board, "-t0", "-r0", "-c8") == [1.0] * 8
    program = shutil.which("mbpoll")
    assert program is not None
    assert board.line is not None
    for state in (0.0, 1.0):
        write = [program, "-0", "-1", "-q", "-m", "rtu", "-b", str(board.line.baud), "-P", "none"]
        write += ["-a", str(board.unit), "-t0", "-r2", board.line.path, str(int(state))]
        assert subprocess.run(write, capture_output=True, timeout=20, check=False).returncode == 0
        until(lambda wanted=state: mbpoll(board, "-t0", "-r2", "-c1") == [wanted], 5.0)


@pytest.mark.parametrize("product", SUNSPEC)
def test_pysunspec2_scans_every_sunspec_meter_wherever_it_is(site: inventory.Inventory, product: str) -> None:
    entry = next(meter for meter in site.meters if meter.product == product)
    if entry.line is None:
        device = SunSpecModbusClientDeviceTCP(slave_id=entry.unit, ipaddr=entry.address, ipport=entry.port, timeout=3)
    else:
        device = SunSpecModbusClientDeviceRTU(
            slave_id=entry.unit, name=entry.line.path, baudrate=entry.line.baud, timeout=3
        )
    try:
        if entry.line is None:
            device.connect()
        else:
            device.open()
        device.scan()
        model = int(product.removeprefix("sunspec_"))
        assert [key for key in device.models if isinstance(key, int)] == [1, model]
        assert device.models[model][0].W.cvalue == pytest.approx(site.site.nominal_w, rel=0.02)
        assert device.models[model][0].Hz.cvalue == pytest.approx(60.0, rel=1e-3)
    finally:
        device.close()
