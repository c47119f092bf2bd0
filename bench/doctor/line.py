"""How long after its time an answer comes over a serial line: a pseudo-terminal of the bench, or a real port.

Owns both measurements. On the pseudo-terminal a meter answers as on a rig, and the same exchange in virtual time says
when its answer was due. On a real port a loop-back plug sends every character back, which the line's own pace times.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.config import validate
from bench.doctor.spread import Spread
from bench.layout import lay_out
from bench.rig import Rig
from bench.rig_file import RigFile
from emulator import clock as clocks
from emulator.clock import VirtualLoop
from emulator.modbus import rtu
from emulator.modbus.serial_format import SerialFormat
from emulator.network import NetworkError
from emulator.seed import Seed
from emulator.serial_port import open_port
from emulator.wire import SECOND

if TYPE_CHECKING:
    from emulator.clock import Clock
    from emulator.wire import Instant

FORM = SerialFormat(9600)
"""What most meters are delivered with. GK"""
_LINE = "doctor"
_UNIT = 1
_READ = rtu.encode(_UNIT, bytes.fromhex("0400000002"))
"""Function 4, the SDM630's voltage of phase 1."""
_REPLY_BYTES = 3 + 4 + 2
_PATIENCE_NS = SECOND
_FEWEST = 5
"""Exchanges, however short the time."""


@dataclass(frozen=True, slots=True)
class TurnAround:
    """What came of one port: `exchange_ns` is how long an exchange has to take, `late` how much longer it took.

    `problem` says why nothing was measured; it is empty where something was.
    """

    port: str
    form: str
    exchange_ns: Instant = 0
    late: Spread = field(default_factory=Spread)
    problem: str = ""


def on_a_pty(seconds: float) -> TurnAround:
    """A meter on a pseudo-terminal, read for so long. The exchange is the same, to the character, in virtual time."""

    async def measured(clock: Clock) -> list[Instant]:
        file = _rig_file()
        rig = Rig(lay_out(file, file.name), clock, Seed(1), 60.0)
        await rig.open()
        try:
            return await _exchanges(clock, rig.wiring.paths[_LINE], seconds)
        finally:
            await rig.close()

    exact = clocks.run(measured)[-1]
    took = clocks.run(measured, mode="real")
    lost = sum(one < 0 for one in took)
    return TurnAround("pty", FORM.text, exact, Spread.of((one - exact for one in took if one >= 0), lost))


def looped_back(path: str, seconds: float) -> TurnAround:
    """A real port with a plug that joins its two data lines, written to for so long."""
    length = len(_READ)
    due_ns = FORM.span_ns(length)

    async def measured(clock: Clock) -> list[Instant]:
        port = open_port(clock, _LINE, path, FORM)
        try:
            heard = _Heard(clock)
            port.begin(heard.take)
            took: list[Instant] = []
            end = clock.now() + round(seconds * SECOND)
            while clock.now() < end or len(took) < _FEWEST:
                began = clock.now()
                heard.expect(length)
                port.write(_READ)
                took.append(await heard.when() - began)
                if took[-1] < 0 or heard.data != _READ:
                    break  # no plug: the next one would not come back either
            return took if heard.data == _READ else [*took[:-1], -1]
        finally:
            port.close()

    try:
        took = clocks.run(measured, mode="real")
    except NetworkError as error:
        return TurnAround(path, FORM.text, due_ns, problem=str(error))
    lost = sum(one < 0 for one in took)
    problem = ""
    if lost:
        problem = f"{path}: what was sent did not come back; join pins 2 and 3 (TX and RX) by a loop-back plug"
    return TurnAround(path, FORM.text, due_ns, Spread.of((one - due_ns for one in took if one >= 0), lost), problem)


class _Heard:
    """What a port has heard since a question, and the instant at which that was enough."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.data = b""
        self._wanted = 0
        self._came: asyncio.Future[Instant]

    def expect(self, length: int) -> None:
        """Begin anew."""
        self.data, self._wanted = b"", length
        self._came = self._clock.loop.create_future()

    def take(self, data: bytes) -> None:
        """Bytes have come."""
        if self._wanted:
            self.data += data
            if len(self.data) >= self._wanted and not self._came.done():
                self._came.set_result(self._clock.now())

    async def when(self) -> Instant:
        """When it was enough; -1 where it was not within a second."""
        timer = self._clock.call_at(self._clock.now() + _PATIENCE_NS, self._give_up)
        try:
            return await self._came
        finally:
            timer.cancel()

    def _give_up(self) -> None:
        if not self._came.done():
            self._came.set_result(-1)


async def _exchanges(clock: Clock, path: str, seconds: float) -> list[Instant]:
    """How long each question took until its answer was there; in virtual time two are enough."""
    loop = clock.loop
    virtual = isinstance(loop, VirtualLoop)
    near = loop.serial_ports[_LINE]() if isinstance(loop, VirtualLoop) else None
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK) if near is None else near.fileno()
    heard = _Heard(clock)
    loop.add_reader(descriptor, lambda: heard.take(os.read(descriptor, 4096)))
    took: list[Instant] = []
    end = clock.now() + round(seconds * SECOND)
    try:
        while len(took) < _FEWEST or (not virtual and clock.now() < end):
            began = clock.now()
            heard.expect(_REPLY_BYTES)
            os.write(descriptor, _READ)
            came = await heard.when()
            took.append(came - began if came >= 0 else -1)
            await clock.sleep(FORM.t35_ns)
    finally:
        loop.remove_reader(descriptor)
        if near is None:
            os.close(descriptor)
        else:
            near.close()
    return took


def _rig_file() -> RigFile:
    """The least rig with a meter on a line."""
    feeder = {"id": "feeder", "pdu": {"count": 1, "port": 5020}, "meter": None, "miners": [
        {"model": "a1466", "firmware": "avalon", "count": 1}]}  # fmt: skip
    line = {"id": _LINE, "baud": FORM.baud}
    table = {
        "schema": 1, "name": "doctor's line", "commitment": "1 kW", "network": {"subnet": "127.61.0.0/16"},
        "meter": {"product": "eastron_sdm630", "line": _LINE, "unit": _UNIT}, "dispatch": False,
        "feeder": [feeder], "line": [line],
    }  # fmt: skip
    return validate(table, RigFile, "the doctor's line")
