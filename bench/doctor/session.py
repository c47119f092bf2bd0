"""One examination: the machine looked at, its timers measured idle and serving a site, and what follows from it.

Owns the order and how the time is shared out; each measurement is a module of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.collection import let_go, standing
from bench.doctor import line, machine, rule, site
from bench.doctor.machine import Condition, Status
from bench.doctor.spread import Spread
from bench.layout import lay_out
from bench.rig import Rig
from bench.services import list_services, load_service
from bench.verdict import Validity
from emulator import clock as clocks
from emulator.clock import Lateness
from emulator.seed import Seed
from emulator.wire import MILLISECOND, SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.doctor.line import TurnAround
    from bench.doctor.rule import Judged
    from bench.verdict import Gate
    from emulator.clock import Clock

    Told = Callable[[str], object]

IDLE, SERVED, SERIAL = 0.25, 0.6, 0.15
"""How the time is shared out among the measurements."""
_EVERY_NS = MILLISECOND
"""How closely an idle machine's timers follow one another, so that a second of them has a 99th percentile."""


@dataclass(frozen=True, slots=True)
class Examination:
    """Everything that was found. `lateness` is by state of the bench (`idle`, `serving`), `trips` by kind of device."""

    conditions: tuple[Condition, ...]
    miners: int
    lateness: dict[str, Spread]
    trips: dict[str, Spread]
    serial: tuple[TurnAround, ...]
    gates: tuple[Gate, ...]
    services: tuple[Judged, ...]

    @property
    def validity(self) -> Validity:
        """What a run would be that was as late as the served site was."""
        return max((gate.validity for gate in self.gates), default=Validity.VALID)

    @property
    def exit_code(self) -> int:
        """1 where something is missing that every run needs."""
        return int(any(one.status is Status.MISSING for one in self.conditions))


def examine(seconds: float, ports: Sequence[str] = (), told: Told = lambda _: None) -> Examination:
    """Measure for about `seconds`, on the real serial `ports` as well; `told` hears what is being done.

    Where something is missing that every run needs, nothing is measured.
    """
    told("looking at the machine")
    found = tuple(machine.conditions())
    if any(one.status is Status.MISSING for one in found):
        return Examination(found, 0, {}, {}, (), (), ())
    told("timers of an idle bench")
    idle = clocks.run(lambda clock: idling(clock, IDLE * seconds), mode="real")
    told(f"a site of {site.MINERS} miners, served and polled")
    try:
        serving, trips = clocks.run(lambda clock: _served(clock, SERVED * seconds), mode="real")
    finally:
        let_go()
    told("serial lines")
    share = SERIAL * seconds / (1 + len(ports))
    serial = (line.on_a_pty(share), *(line.looped_back(path, share) for path in ports))
    services = [load_service(name) for name in list_services()]
    judged = rule.judged(services, serving, trips["meter"])
    lateness = {"idle": idle, "serving": serving}
    return Examination(found, site.MINERS, lateness, trips, serial, rule.gates(serving), tuple(judged))


async def idling(clock: Clock, seconds: float) -> Spread:
    """Timers one after the other, with nothing else to do."""
    end = clock.now() + round(seconds * SECOND)
    clock.watch_lateness(clock.now(), end)
    while clock.now() < end:
        await clock.sleep(_EVERY_NS)
    return Spread.of_lateness(clock.lateness)


async def _served(clock: Clock, seconds: float) -> tuple[Spread, dict[str, Spread]]:
    """The bench as in a run: a rig, a client in another process, and the lateness that a run would record."""
    with standing(prompt=True):
        file = site.rig_file()
        rig = Rig(lay_out(file, file.name), clock, Seed(1), 60.0)
    await rig.open()
    try:
        async with site.polling(clock, rig, seconds) as client:
            clock.lateness = Lateness()  # what it cost to get there is no part of it
            clock.watch_lateness(clock.now(), clock.now() + round(seconds * SECOND))
            await client.begin()
            trips = await client.result()
            return Spread.of_lateness(clock.lateness), trips
    finally:
        await rig.close()
