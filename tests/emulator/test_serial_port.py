"""Ports of serial lines: an end inside the process in virtual time, a pseudo-terminal in real time."""

from __future__ import annotations

import os
import pty

import pytest
import serial
from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient

from emulator.clock import Clock, run
from emulator.modbus.serial_device import SerialKind
from emulator.modbus.serial_format import SerialFormat
from emulator.serial_port import PTY, REAL_SLACK_NS, SerialLine, SerialPortError, open_port
from emulator.wire import MILLISECOND, SECOND
from tests.emulator.modbus.lines import FORM, TURNAROUND_NS, bus, slave


def line(clock: Clock, kind: SerialKind = SerialKind.RTU, name: str = "a", heard=None) -> SerialLine:
    port = open_port(clock, name, PTY, FORM)
    up = SerialLine(clock, port, bus(slave(1, kind=kind), slave(2, kind=kind), kind=kind, instant=port.instant), heard)
    up.open()
    return up


@pytest.mark.parametrize(("kind", "characters"), [(SerialKind.RTU, 8 + 9), (SerialKind.ASCII, 17 + 19)])
def test_pymodbus_reads_slaves_of_a_line_at_line_speed_in_virtual_time(kind, characters):
    async def main(clock: Clock) -> list[int]:
        heard: list[int] = []
        up = line(clock, kind, heard=heard.append)
        client = AsyncModbusSerialClient(up.path, framer=FramerType(kind.value), baudrate=9600, timeout=1, retries=0)
        assert up.path == "ramprig://a"
        assert await client.connect()
        took = []
        for unit in (1, 2):
            began = clock.now()
            reply = await client.read_holding_registers(0, count=2, device_id=unit)
            assert reply.registers == [1, 0x0102]
            took.append(clock.now() - began)
            await clock.sleep(SECOND)
        client.close()
        up.close()
        assert len(heard) == 2
        return took

    assert run(main) == pytest.approx([FORM.span_ns(characters) + TURNAROUND_NS] * 2, abs=2000)


def test_the_same_run_takes_the_same_time_twice():
    async def main(clock: Clock) -> int:
        up = line(clock)
        client = AsyncModbusSerialClient(up.path, framer=FramerType.RTU, timeout=1, retries=0)
        assert await client.connect()
        for count in range(1, 40):
            await client.read_holding_registers(0, count=count, device_id=1)
        client.close()
        up.close()
        return clock.now()

    assert run(main) == run(main)


def test_a_line_takes_one_program_at_a_time_and_the_next_one_afterwards():
    async def main(clock: Clock) -> None:
        up = line(clock)
        first = serial.serial_for_url(up.path)
        with pytest.raises(OSError, match="somebody else is on the line"):
            serial.serial_for_url(up.path)
        first.close()
        second = serial.serial_for_url(up.path)
        assert second.read(10) == b""
        assert second.in_waiting == 0
        second.write(b"x")
        second.reset_input_buffer()
        second.close()
        with pytest.raises(serial.PortNotOpenError):
            second.read()
        await clock.settle()
        third = serial.serial_for_url(up.path)
        up.close()
        with pytest.raises(serial.SerialException, match="the line is gone"):
            third.read()

    run(main)


def test_a_wrong_name_is_told_what_there_is():
    async def main(clock: Clock) -> None:
        up = line(clock)
        with pytest.raises(serial.SerialException, match="there are: ramprig://a"):
            serial.serial_for_url("ramprig://b")
        with pytest.raises(SerialPortError, match="choose another"):
            open_port(clock, "a", PTY, FORM)
        up.close()
        line(clock).close()

    run(main)
    with pytest.raises(serial.SerialException, match="outside an event loop"):
        serial.serial_for_url("ramprig://a")


def test_a_real_port_is_refused_in_virtual_time_with_the_remedy():
    async def main(clock: Clock) -> None:
        with pytest.raises(SerialPortError, match="--time real"):
            open_port(clock, "a", "/dev/ttyUSB0", FORM)

    run(main)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [("/dev/ttyUSB77", "there is no such port"), (__file__, "is no serial port"), ("/dev/null", "cannot be opened")],
)
def test_a_port_that_cannot_be_had_is_named_with_the_remedy(path, sentence):
    async def main(clock: Clock) -> None:
        with pytest.raises(SerialPortError, match=sentence) as caught:
            open_port(clock, "a", path, FORM)
        assert path in str(caught.value)

    run(main, mode="real")


def test_pyserial_opens_a_real_port_whose_silences_are_taken_with_slack():
    async def main(clock: Clock) -> None:
        master, other = pty.openpty()
        port = open_port(clock, "a", os.ttyname(other), SerialFormat(19200))
        assert (port.instant, port.slack_ns) == (False, REAL_SLACK_NS)
        port.close()
        os.close(master)
        os.close(other)

    run(main, mode="real")


def test_a_real_port_that_is_unplugged_says_so_and_its_line_is_silent():
    async def main(clock: Clock) -> tuple[str, str]:
        adapter, other = pty.openpty()
        path = os.ttyname(other)
        port = open_port(clock, "a", path, FORM)
        up = SerialLine(clock, port, bus(slave(1), instant=port.instant))
        up.open()
        os.close(other)
        assert port.gone == ""
        os.close(adapter)
        for _ in range(1000):
            await clock.sleep(MILLISECOND)
            if port.gone:
                break
        up.close()
        return path, port.gone

    path, gone = run(main, mode="real")
    assert gone.startswith(f"{path} is gone (")


def test_what_nobody_reads_is_lost_and_the_line_goes_on():
    async def main(clock: Clock) -> None:
        up = line(clock)
        plugged = serial.serial_for_url(up.path)
        for _ in range(100):
            up.port.write(bytes(4096))
        plugged.reset_input_buffer()
        up.port.write(b"still here")
        assert plugged.read(100) == b"still here"
        plugged.close()
        up.close()
        up.port.write(b"nobody")

    run(main)
