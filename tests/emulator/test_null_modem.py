"""A null modem: what a master says at one end a device hears at the other, whatever the ports are."""

from __future__ import annotations

import os

import pytest
import serial

from emulator.clock import Clock, run
from emulator.modbus.serial_format import SerialFormat
from emulator.null_modem import NullModem
from emulator.serial_port import PTY, SerialPortError
from emulator.wire import MILLISECOND

FORM = SerialFormat(115200)


@pytest.mark.parametrize("mode", ["virtual", "real"])
def test_bytes_pass_both_ways_and_the_ends_may_come_and_go(mode):
    async def main(clock: Clock) -> list[bytes]:
        modem = NullModem(clock, "plc", PTY, FORM)
        modem.open()
        heard = []
        for _ in range(2):
            with (
                serial.serial_for_url(modem.near, timeout=0) as near,
                serial.serial_for_url(modem.far, timeout=0) as far,
            ):
                near.write(b"asked")
                far.write(b"said")
                for end, size in ((far, 5), (near, 4)):
                    data = b""
                    while len(data) < size:
                        await clock.sleep(MILLISECOND)
                        data += end.read(size)
                    heard.append(data)
            await clock.settle()
        modem.close()
        modem.close()
        return heard

    assert run(main, mode=mode) == [b"asked", b"said"] * 2


def test_a_real_port_is_the_same_path_at_both_ends_and_is_given_back():
    master, slave = os.openpty()
    path = os.ttyname(slave)

    async def main(clock: Clock) -> None:
        modem = NullModem(clock, "plc", path, FORM)
        assert modem.near == modem.far == path
        modem.open()
        with serial.Serial(path, exclusive=True):  # nobody else has it
            pass
        modem.close()

    try:
        run(main, mode="real")
    finally:
        os.close(master)
        os.close(slave)


def test_a_port_that_is_not_there_is_named_with_its_remedy():
    async def main(clock: Clock) -> None:
        NullModem(clock, "plc", "/dev/ttyUSB77", FORM)

    with pytest.raises(SerialPortError, match="/dev/ttyUSB77: there is no such port; plug it in, or name another one"):
        run(main, mode="real")
