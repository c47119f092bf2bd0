"""Clients that others wrote read and switch the same devices over every transport, on sockets and pseudo-terminals."""

from __future__ import annotations

import contextlib
import functools
import re
import shutil
import socket
import ssl
import struct
import subprocess
import time

import minimalmodbus
import modbus_tk.defines as tk
import modbus_tk.exceptions
import pytest
import serial
from modbus_tk import modbus_rtu, modbus_tcp
from pymodbus import FramerType
from pymodbus.client import ModbusSerialClient, ModbusTcpClient, ModbusTlsClient, ModbusUdpClient
from pymodbus.exceptions import ModbusException
from pyModbusTCP.client import ModbusClient

from bench.certificates import make, rig_table
from bench.config import read_toml, validate
from bench.layout import lay_out
from bench.rig_file import RigFile
from emulator.modbus import rtu
from tests.system.modbus_site import free_port, rig_up

pytestmark = pytest.mark.system

RIG = """
schema = 1
name = "ways"
commitment = "1 kW"
dispatch = false
network.subnet = "127.78.0.0/16"

[meter]
port = {port}

[[line]]
id = "rtu"
baud = 19200

[[line]]
id = "slow"
baud = 2400

[[line]]
id = "ascii"
kind = "ascii"
baud = 19200

[[line]]
id = "clash"
baud = 19200
collisions = true

[[gateway]]
id = "gate"
port = {port}
baud = 115200
timeout = "200 ms"

[[submeter]]
id = "rtu-1"
line = "rtu"
unit = 1

[[submeter]]
id = "rtu-2"
line = "rtu"
unit = 2
at = "f"

[[submeter]]
id = "slow"
line = "slow"

[[submeter]]
id = "ascii"
line = "ascii"

[[submeter]]
id = "clash-1"
line = "clash"

[[submeter]]
id = "clash-2"
line = "clash"
at = "f"

[[submeter]]
id = "gate"
gateway = "gate"
unit = 5

[[submeter]]
id = "udp"
transport = "udp"
port = {port}

[[submeter]]
id = "tls"
transport = "tls"
port = {port}

[[submeter]]
id = "over-rtu"
transport = "rtu-over-tcp"
port = {port}

[[submeter]]
id = "over-ascii"
transport = "ascii-over-tcp"
port = {port}

[[feeder]]
id = "f"
pdu = {{ count = 1, line = "rtu", unit = 10, drives = "load" }}
meter = {{ port = {port} }}

[[feeder.miners]]
model = "S21"
firmware = "mute"
phases = "luxos"
count = 4
"""
TIMEOUT_S = 2.0
RELAY_S = 0.15
"""Longer than the relay of the PDU takes."""
FREQUENCY, POWER, FIRST_OUTPUT = 0x46, 0x34, 101


class Site:
    """The served rig: its inventory by id, and the rig itself for what only it knows."""

    def __init__(self, rig, folder):
        self.rig, self.folder = rig, folder
        told = rig.inventory()
        self.by_id = {entry["id"]: entry for entry in [*told["meters"], *told["pdus"]]}

    def address(self, name):
        return self.by_id[name]["address"], self.by_id[name]["port"]

    def path(self, name):
        return self.by_id[name]["line"]["path"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ways")
    port = free_port()
    make(folder / "tls", ["operator", "viewer", ""])
    file = folder / "ways.toml"
    file.write_text(RIG.format(port=port) + rig_table(folder / "tls", ["operator", "viewer"]))
    layout = lay_out(validate(read_toml(file), RigFile, str(file)), str(file))
    with rig_up(layout) as rig:
        yield Site(rig, folder / "tls")


def as_float(words):
    return struct.unpack(">f", struct.pack(">HH", *words[:2]))[0]


@contextlib.contextmanager
def connected(client):
    assert client.connect()
    try:
        yield client
    finally:
        client.close()


def on_a_line(site, name, framer=FramerType.RTU):
    line = site.by_id[name]["line"]
    return ModbusSerialClient(line["path"], framer=framer, baudrate=line["baud"], timeout=TIMEOUT_S, retries=0)


def over_tcp(site, name, framer=FramerType.SOCKET):
    host, port = site.address(name)
    return ModbusTcpClient(host, port=port, framer=framer, timeout=TIMEOUT_S, retries=0)


def over_udp(site, name):
    host, port = site.address(name)
    return ModbusUdpClient(host, port=port, timeout=TIMEOUT_S, retries=0)


def over_tls(site, name, role="operator", version=None):
    host, port = site.address(name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(site.folder / "ca.pem")
    context.check_hostname = False
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if role is not None:
        context.load_cert_chain(site.folder / f"{role}.pem", site.folder / f"{role}.key")
    return ModbusTlsClient(host, port=port, sslctx=context, timeout=TIMEOUT_S, retries=0)


PYMODBUS = {
    "meter-poi": over_tcp,
    "meter-gate": over_tcp,
    "meter-over-rtu": functools.partial(over_tcp, framer=FramerType.RTU),
    "meter-over-ascii": functools.partial(over_tcp, framer=FramerType.ASCII),
    "meter-udp": over_udp,
    "meter-tls": over_tls,
    "meter-rtu-1": on_a_line,
    "meter-rtu-2": on_a_line,
    "meter-slow": on_a_line,
    "meter-ascii": functools.partial(on_a_line, framer=FramerType.ASCII),
}


@pytest.mark.parametrize("name", PYMODBUS)
def test_pymodbus_reads_a_meter_over_every_transport(site, name):
    unit = site.by_id[name]["unit"]
    with connected(PYMODBUS[name](site, name)) as client:
        for _ in range(3):
            reply = client.read_input_registers(FREQUENCY, count=2, device_id=unit)
            assert as_float(reply.registers) == pytest.approx(60.0, rel=1e-3)
        assert as_float(client.read_input_registers(POWER, count=2, device_id=unit).registers) > 10_000
        assert client.read_input_registers(0, count=81, device_id=unit).exception_code == 3
        assert client.read_coils(0, count=1, device_id=unit).exception_code == 1


# ---- lines -----------------------------------------------------------------------------------------------------------


def strict(site, name, mode=minimalmodbus.MODE_RTU):
    entry = site.by_id[name]
    port = serial.Serial(entry["line"]["path"], entry["line"]["baud"], timeout=TIMEOUT_S)
    return minimalmodbus.Instrument(port, entry["unit"], mode)


@pytest.mark.parametrize(
    ("name", "mode"),
    [("meter-rtu-1", "rtu"), ("meter-rtu-2", "rtu"), ("meter-slow", "rtu"), ("meter-ascii", "ascii")],
)
def test_the_strict_serial_client_reads_meters(site, name, mode):
    client = strict(site, name, mode)
    try:
        for _ in range(3):
            assert client.read_float(FREQUENCY, functioncode=4) == pytest.approx(60.0, rel=1e-3)
        with pytest.raises(minimalmodbus.IllegalRequestError):
            client.read_bit(0, functioncode=1)
    finally:
        client.serial.close()


def test_the_strict_serial_client_switches_an_outlet_and_meets_silence_at_a_foreign_unit(site):
    client = strict(site, "pdu-01")
    try:
        for state in (0, 1):
            client.write_bit(FIRST_OUTPUT, state)
            time.sleep(RELAY_S)
            assert client.read_bit(FIRST_OUTPUT, functioncode=1) == state
        client.address, client.serial.timeout = 77, 0.3
        with pytest.raises(minimalmodbus.NoResponseError):
            client.read_bit(FIRST_OUTPUT, functioncode=1)
    finally:
        client.serial.close()


def mbpoll(*options):
    program = shutil.which("mbpoll")
    if program is None:
        pytest.skip("mbpoll is not installed (Debian package mbpoll)")
    done = subprocess.run(
        [program, "-0", "-1", "-o", "2.0", *options], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return float(re.search(r"\]:\s*(\S+)", done.stdout)[1])


def test_mbpoll_reads_over_tcp_behind_the_gateway_and_on_the_line(site):
    what = ["-t3:float", "-B", f"-r{FREQUENCY}", "-c1"]
    for name in ("meter-poi", "meter-gate"):
        host, port = site.address(name)
        unit = str(site.by_id[name]["unit"])
        assert mbpoll("-m", "tcp", "-a", unit, "-p", str(port), *what, host) == pytest.approx(60.0, rel=1e-3)
    for unit in ("1", "2"):
        options = ["-m", "rtu", "-a", unit, "-b", "19200", "-P", "none"]
        assert mbpoll(*options, *what, site.path("meter-rtu-1")) == pytest.approx(60.0, rel=1e-3)


def test_mbpoll_with_its_own_even_parity_gets_through_too(site):
    what = ["-t3:float", "-B", f"-r{FREQUENCY}", "-c1"]
    assert mbpoll("-m", "rtu", "-a", "1", *what, site.path("meter-rtu-1")) == pytest.approx(60.0, rel=1e-3)


def test_modbus_tk_reads_over_tcp_and_on_the_line_and_broadcasts(site):
    host, port = site.address("meter-poi")
    over = modbus_tcp.TcpMaster(host, port, timeout_in_sec=TIMEOUT_S)
    line = modbus_rtu.RtuMaster(serial.Serial(site.path("meter-rtu-1"), 19200))
    line.set_timeout(TIMEOUT_S)
    try:
        for master in (over, line):
            words = master.execute(1, tk.READ_INPUT_REGISTERS, FREQUENCY, 2)
            assert as_float(words) == pytest.approx(60.0, rel=1e-3)
            with pytest.raises(modbus_tk.exceptions.ModbusError) as caught:
                master.execute(1, tk.READ_INPUT_REGISTERS, 0, 81)
            assert caught.value.get_exception_code() == 3
        line.set_timeout(RELAY_S)  # the master's turnaround delay: this client waits for an answer to a broadcast too
        with pytest.raises(modbus_tk.exceptions.ModbusInvalidResponseError, match="length is invalid 0"):
            line.execute(0, tk.WRITE_SINGLE_COIL, FIRST_OUTPUT + 1, output_value=0)
        line.set_timeout(TIMEOUT_S)
        assert line.execute(10, tk.READ_COILS, FIRST_OUTPUT + 1, 1) == (0,)
        line.execute(10, tk.WRITE_SINGLE_COIL, FIRST_OUTPUT + 1, output_value=1)
    finally:
        over.close()
        line.close()


def test_a_reply_comes_at_line_speed_and_not_before(site):
    with serial.Serial(site.path("meter-slow"), 2400, timeout=TIMEOUT_S) as port:
        request = rtu.encode(1, bytes.fromhex("04 0000 0028"))
        began = time.monotonic()
        port.write(request)
        reply = port.read(85)
        took = time.monotonic() - began
    assert rtu.decode(reply) is not None
    at_least = (8 + 85) * 10 / 2400
    assert at_least <= took < at_least + 1.0


@pytest.mark.parametrize("junk", [b"\x00\xff\x10", rtu.encode(1, b"\x03\x00\x00")[:4], rtu.encode(99, b"\x83\x02")])
def test_the_line_recovers_from_junk_after_a_silence(site, junk):
    with serial.Serial(site.path("meter-rtu-1"), 19200, timeout=TIMEOUT_S) as port:
        port.write(junk)
        time.sleep(0.1)
        port.write(rtu.encode(1, bytes.fromhex("04 0046 0002")))
        reply = rtu.decode(port.read(9))
    assert reply is not None
    assert reply[1][:2] == b"\x04\x04"


def test_two_slaves_of_one_id_garble_what_differs(site):
    with serial.Serial(site.path("meter-clash-1"), 19200, timeout=0.5) as port:
        port.write(rtu.encode(1, bytes.fromhex("04 0034 0002")))
        assert rtu.decode(port.read(64)) is None


def test_programs_may_leave_the_line_and_come_again(site):
    for _ in range(3):
        with connected(on_a_line(site, "meter-rtu-1")) as client:
            assert not client.read_input_registers(FREQUENCY, count=2, device_id=1).isError()


# ---- TLS -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_viewer_reads_and_may_not_write(site, version):
    words = [0x4270, 0x0000]
    """A demand period of 60 min."""
    for role, code in (("viewer", 1), ("norole", 1)):
        with connected(over_tls(site, "meter-tls", role, version)) as client:
            assert client.write_registers(2, words, device_id=1).exception_code == code
            reply = client.read_input_registers(FREQUENCY, count=2, device_id=1)
            assert reply.isError() is (role == "norole")
    with connected(over_tls(site, "meter-tls", "operator", version)) as client:
        assert not client.write_registers(2, words, device_id=1).isError()
        assert client.read_holding_registers(2, count=2, device_id=1).registers == words


def test_a_client_without_a_certificate_gets_no_answer(site):
    client = over_tls(site, "meter-tls", role=None)
    try:
        # With TLS 1.3 the client only learns with its first read that it is not let in.
        if client.connect():
            with pytest.raises((ModbusException, OSError)):
                client.read_input_registers(FREQUENCY, count=2, device_id=1)
    finally:
        client.close()


def test_a_frame_over_two_records_and_two_frames_in_one_are_answered(site):
    host, port = site.address("meter-tls")
    context = ssl.create_default_context(cafile=site.folder / "ca.pem")
    context.load_cert_chain(site.folder / "viewer.pem", site.folder / "viewer.key")
    request = bytes.fromhex("0001 0000 0006 01 04 0046 0002")
    with (
        socket.create_connection((host, port), timeout=TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname="ramprig") as secure,
    ):
        secure.sendall(request[:5])
        secure.sendall(request[5:] + request + request)
        data = b""
        while len(data) < 3 * 13:
            part = secure.recv(4096)
            assert part
            data += part
    assert [data[i : i + 2] for i in range(0, 39, 13)] == [b"\x00\x01"] * 3


# ---- TCP and UDP -----------------------------------------------------------------------------------------------------


def test_the_strict_tcp_client_reads_behind_the_gateway_and_is_told_of_a_missing_slave(site):
    host, port = site.address("meter-gate")
    client = ModbusClient(host=host, port=port, unit_id=5, timeout=TIMEOUT_S)
    assert client.open()
    try:
        assert as_float(client.read_input_registers(FREQUENCY, 2)) == pytest.approx(60.0, rel=1e-3)
        client.unit_id = 6
        began = time.monotonic()
        assert client.read_input_registers(FREQUENCY, 2) is None
        assert client.last_except == 11
        assert time.monotonic() - began >= 0.2
    finally:
        client.close()


def test_junk_datagrams_stop_nobody(site):
    host, port = site.address("meter-udp")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rude:
        for junk in (b"\x00\x01\x02", bytes(400), bytes.fromhex("0001 0001 0006 01 04 0046 0002")):
            rude.sendto(junk, (host, port))
    with connected(over_udp(site, "meter-udp")) as client:
        assert not client.read_input_registers(FREQUENCY, count=2, device_id=1).isError()


def test_the_tap_counts_requests_of_every_way(site):
    frames = site.rig.traffic.frames
    for name, connect in PYMODBUS.items():
        with connected(connect(site, name)) as client:
            before = site.rig.traffic.requests["meter"]
            client.read_input_registers(FREQUENCY, count=2, device_id=site.by_id[name]["unit"])
            assert site.rig.traffic.requests["meter"] == before + 1
            assert name in {device for _, device, _, direction, _ in frames if direction == "in"}
    switch = strict(site, "pdu-01")
    try:
        switch.read_bit(FIRST_OUTPUT, functioncode=1)
    finally:
        switch.serial.close()
    assert "pdu-01" in {device for _, device, _, direction, _ in frames if direction == "in"}
