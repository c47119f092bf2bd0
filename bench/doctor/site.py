"""The site that the doctor serves: a thousand miners, a meter, PDUs, and a client in another process that polls them.

Owns what that site is and how hard it is polled; what is measured meanwhile is its users'. No port of it is below 1024,
so that it stands on every machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bench.collection import keep
from bench.config import validate
from bench.doctor.client import REQUEST, Plan
from bench.doctor.spread import Spread
from bench.rig_file import RigFile
from emulator.wire import Send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from bench.rig import Rig
    from emulator.clock import Clock
    from emulator.wire import Instant

MINERS = 1000
FEEDERS = 4
PDUS = 50
"""On each feeder; four outlets each."""
PORT = 5020
_MINER_PORT = 4028
READS_PER_S = 20.0
"""As often as the reference controller reads its meter."""
CALLS_PER_S = 200.0
"""Each miner every 5 s, the usual beat of fleet software. estimate"""
_READ = bytes.fromhex("0001 0000 0006 01 03 0019 0006".replace(" ", ""))
"""Modbus TCP: function 3, the PAC3200's three active powers (two registers each from 25 on)."""
_REPLY_BYTES = 9 + 12
_LONGEST_LINE_BYTES = 1 << 26
"""The client's result after an hour. estimate"""


class ClientError(RuntimeError):
    """The client ended without a result; what it said last has gone to stderr."""


def rig_file(miners: int = MINERS) -> RigFile:
    """The rig: Avalons, whose only port is 4028, on feeders with PDUs of four contactor outlets."""
    feeder = {
        "pdu": {"product": "netio_powerpdu_4ps", "count": PDUS, "port": PORT},
        "meter": {"product": "siemens_pac3200", "port": PORT},
        "miners": [{"model": "a1466", "firmware": "avalon", "count": miners // FEEDERS}],
    }
    table = {
        "schema": 1, "name": "doctor", "commitment": "1 MW", "network": {"subnet": "127.61.0.0/16"},
        "meter": {"product": "siemens_pac3200", "port": PORT}, "dispatch": False,
        "feeder": [{"id": f"feeder-{number + 1}", **feeder} for number in range(FEEDERS)],
    }  # fmt: skip
    return validate(table, RigFile, "the doctor's rig")


class Polling:
    """A client under way. `result` waits for its end."""

    def __init__(self, clock: Clock, rig: Rig, seconds: float) -> None:
        self._clock, self._rig, self._seconds = clock, rig, seconds
        self._process: asyncio.subprocess.Process
        self._thinks: dict[str, Instant] = {}
        """By kind of device, how long the emulated one takes for its answer."""

    async def start(self) -> None:
        """Begin the program; done when it is ready, and every device has answered once as after a lead-in."""
        rig = self._rig
        self._thinks = {"meter": self._thinks_ns("meter-poi", PORT, _READ)}
        for place in rig.layout.miners:
            self._thinks["miner"] = self._thinks_ns(place.id, _MINER_PORT, REQUEST)
        meter = rig.inventory()["meters"][0]
        plan = Plan(
            (meter["address"], meter["port"]), _READ.hex(), _REPLY_BYTES,
            tuple((place.address, _MINER_PORT) for place in rig.layout.miners),
            self._seconds, READS_PER_S, CALLS_PER_S,
        )  # fmt: skip
        paths = [path for path in sys.path if path]
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.doctor.client", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, limit=_LONGEST_LINE_BYTES,
        )  # fmt: skip
        await self._say(json.dumps(asdict(plan)))
        await self._line()
        keep()

    async def begin(self) -> None:
        """Let it poll."""
        await self._say("go")

    async def result(self) -> dict[str, Spread]:
        """By kind of device: round trips beyond what the device itself takes to think. Raises ClientError."""
        said: dict[str, dict[str, Any]] = json.loads(await self._line())
        return {
            kind: Spread.of((took - thinks for took in said["took_ns"][kind]), said["lost"][kind])
            for kind, thinks in self._thinks.items()
        }

    async def stop(self) -> None:
        """End it."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    def _thinks_ns(self, device: str, port: int, request: bytes) -> Instant:
        """Ask it once; how long it takes for its answer is a property of the product, not of the machine."""
        now = self._clock.now()
        actions = self._rig.devices[device].converse(port, "127.0.0.1", now).received(request, now)
        return sum(action.delay_ns for action in actions if isinstance(action, Send))

    async def _say(self, line: str) -> None:
        assert self._process.stdin is not None  # noqa: S101 it has a pipe
        with _its_end():
            self._process.stdin.write(line.encode() + b"\n")
            await self._process.stdin.drain()

    async def _line(self) -> str:
        assert self._process.stdout is not None  # noqa: S101 it has a pipe
        with _its_end():
            return (await self._process.stdout.readuntil(b"\n")).decode()


@contextmanager
def _its_end() -> Iterator[None]:
    """A pipe that breaks is a client that has ended."""
    try:
        yield
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise ClientError(
            "the client of the doctor's site ended before its time; its last words stand above"
        ) from error


@asynccontextmanager
async def polling(clock: Clock, rig: Rig, seconds: float) -> AsyncIterator[Polling]:
    """A client of an open rig that is ready to poll for `seconds`; it has ended when the block is left.

    Raises ClientError where the program fails.
    """
    client = Polling(clock, rig, seconds)
    try:
        await client.start()
        yield client
    finally:
        await client.stop()
