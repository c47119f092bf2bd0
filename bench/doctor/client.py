"""`python -m bench.doctor.client`: the client that polls the doctor's site, a program of its own as a controller is.

Reads its plan (`Plan`) as a line of JSON from stdin, says `ready`, begins with the next line, and ends with a line of
JSON: how long every answer took. Owns pacing and times; what an answer should have taken is the asker's to know.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from emulator import clock as clocks
from emulator.wire import SECOND

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from emulator.clock import Clock
    from emulator.wire import Instant

REQUEST = b'{"command":"summary"}'
_GIVES_UP_S = 5.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Whom to ask, how often a second, for how long. `read` is the meter's request, hex, `reply_bytes` its answer."""

    meter: tuple[str, int]
    read: str
    reply_bytes: int
    miners: tuple[tuple[str, int], ...]
    seconds: float
    reads_per_s: float
    calls_per_s: float


@dataclass(slots=True)
class Found:
    """Round trips by device, ns, and what went unanswered. `on` is the device's kind, `meter` or `miner`."""

    took_ns: dict[str, list[int]] = field(default_factory=lambda: {"meter": [], "miner": []})
    lost: dict[str, int] = field(default_factory=lambda: {"meter": 0, "miner": 0})


async def poll(clock: Clock, plan: Plan) -> Found:
    """Read the meter on one connection and call miner after miner on new ones, each at its own pace."""
    found = Found()
    begin = clock.now()
    end = begin + round(plan.seconds * SECOND)
    reader, writer = await asyncio.open_connection(*plan.meter)

    async def read(_number: int) -> None:
        writer.write(bytes.fromhex(plan.read))
        await reader.readexactly(plan.reply_bytes)

    async def call(number: int) -> None:
        said, asks = await asyncio.open_connection(*plan.miners[number % len(plan.miners)])
        asks.write(REQUEST)
        answer = await said.read()
        asks.close()
        if not answer:
            raise ConnectionError("closed without an answer")

    async with asyncio.TaskGroup() as group:
        group.create_task(_in_turn(clock, "meter", read, begin, end, plan.reads_per_s, found))
        calls = round(plan.seconds * plan.calls_per_s)
        for number in range(calls):
            await clock.sleep_until(begin + round(number / plan.calls_per_s * SECOND))
            group.create_task(_timed(clock, "miner", call(number), found))
    writer.close()
    return found


async def _in_turn(
    clock: Clock, on: str, ask: Callable[[int], Awaitable[None]], begin: Instant, end: Instant, per_s: float,
    found: Found,
) -> None:  # fmt: skip
    """One question after the other, at their instants."""
    number = 0
    while (due := begin + round(number / per_s * SECOND)) < end:
        await clock.sleep_until(due)
        await _timed(clock, on, ask(number), found)
        number += 1


async def _timed(clock: Clock, on: str, asked: Awaitable[None], found: Found) -> None:
    began = clock.now()
    try:
        async with asyncio.timeout(_GIVES_UP_S):
            await asked
    except (OSError, EOFError):
        found.lost[on] += 1
    else:
        found.took_ns[on].append(clock.now() - began)


def _plan(line: str) -> Plan:
    raw = json.loads(line)
    miners = tuple((str(address), int(port)) for address, port in raw.pop("miners"))
    address, port = raw.pop("meter")
    return Plan(meter=(address, port), miners=miners, **raw)


def main() -> None:
    """Entry point of the program."""
    plan = _plan(sys.stdin.readline())
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if not sys.stdin.readline():
        return  # whoever asked has gone
    found = clocks.run(lambda clock: poll(clock, plan), mode="real")
    sys.stdout.write(json.dumps(asdict(found)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt, BrokenPipeError):
        main()
