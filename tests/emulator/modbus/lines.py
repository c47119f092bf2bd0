"""Helpers for tests that play a serial line in time of their own."""

from __future__ import annotations

from emulator.modbus import rtu
from emulator.modbus.link import Link
from emulator.modbus.serial_bus import SerialBus, Slave
from emulator.modbus.serial_device import ModbusSerialDevice, SerialKind
from emulator.modbus.serial_format import SerialFormat
from tests.emulator.modbus.store import Store

FORM = SerialFormat(9600)
TURNAROUND_NS = 20_000_000


def slave(
    unit: int = 1, model=None, kind=SerialKind.RTU, turnaround_ns: int = TURNAROUND_NS, form=FORM, **link
) -> Slave:
    silence_ns = kind.receiver(form).silence_ns
    device = ModbusSerialDevice(unit, model or Store(), Link(turnaround_ns=turnaround_ns, **link), kind, silence_ns)
    return Slave(unit, device, turnaround_ns)


def bus(*slaves: Slave, kind=SerialKind.RTU, form=FORM, instant: bool = True, slack_ns: int = 0) -> SerialBus:
    return SerialBus(slaves or (slave(),), kind.receiver(form, slack_ns), kind.codec[1], form, instant=instant)


def play(line, *said: tuple[int, bytes], until: int = 10**13) -> list[tuple[int, bytes]]:
    """What the master hears, with instants, when it says each of `said` at its instant."""
    heard: list[tuple[int, bytes]] = []

    def note(now: int, actions) -> None:
        heard.extend((now, action.data) for action in actions)

    def run_to(limit: int) -> None:
        for _ in range(100_000):
            wake = line.wake_ns
            if wake is None or wake > limit:
                return
            note(wake, line.woken(wake))
        raise AssertionError("the line never rests")

    for at, data in said:
        run_to(at)
        note(at, line.received(data, at))
    run_to(until)
    return heard


def frames(heard: list[tuple[int, bytes]]) -> bytes:
    return b"".join(data for _, data in heard)


READ_PDU = bytes.fromhex("03 0000 0002")
READ = rtu.encode(1, READ_PDU)
ANSWER = rtu.encode(1, bytes.fromhex("03 04 0001 0102"))
