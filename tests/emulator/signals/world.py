"""An operator, a profile of twenty minutes and a network in virtual time, for tests of his interfaces."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from emulator.clock import VIRTUAL_EPOCH, Clock, run
from emulator.faults import FaultPlan, read_fault
from emulator.faulty_link import with_faults
from emulator.faulty_notices import delivered
from emulator.grid import Grid
from emulator.network import Network
from emulator.seed import Seed
from emulator.signals.notices import Bulletin, Notice, Terms, notices
from emulator.timeline import Signal
from emulator.wire import MINUTE, SECOND, Device, Instant

T = TypeVar("T")
NOMINAL_W = 1e6
ADDRESS = "127.5.252.2"
STOP_NS = 60 * MINUTE


def profile() -> dict[str, Signal]:
    """1 MW; from 60 s 400 kW, from 600 s 700 kW, from 900 s nominal again. A price that rises with the first order."""
    return {
        "frequency": Signal([0, 60 * SECOND, 61 * SECOND, 900 * SECOND], [60.0, 60.0, 59.7, 60.0]),
        "voltage": Signal.constant(1.0),
        "dispatch": Signal.steps(
            [(0, NOMINAL_W), (60 * SECOND, 4e5), (600 * SECOND, 7e5), (900 * SECOND, NOMINAL_W)]
        ),
        "recall": Signal.steps([(0, 0.0), (900 * SECOND, 1.0)]),
        "price": Signal.steps([(0, 30.0), (300 * SECOND, 2500.0), (900 * SECOND, -5.0)]),
    }  # fmt: skip


def grid() -> Grid:
    """The grid that plays the profile."""
    played = Grid(60.0, NOMINAL_W)
    played.play(profile(), 0)
    return played


def plan(*faults: dict[str, Any]) -> FaultPlan:
    """A plan as people write it."""
    return FaultPlan([read_fault(fault, f"fault[{place}]") for place, fault in enumerate(faults)], Seed(7))


def told(terms: Terms | None = None) -> list[Notice]:
    """The messages of the profile."""
    return notices(profile(), NOMINAL_W, terms or Terms(), STOP_NS, VIRTUAL_EPOCH)


def bulletin(
    faults: FaultPlan | None = None, interface: str = "feed", terms: Terms | None = None, *, texts: bool = False
) -> Bulletin:
    """What reaches an interface."""
    sent = told(terms)
    return Bulletin(sent if faults is None else delivered(faults, interface, sent, texts=texts))


def live(
    make: Callable[[Clock], Device],
    during: Callable[[Clock], Awaitable[T]],
    faults: FaultPlan | None = None,
    interface: str = "feed",
) -> T:
    """Put a device on ADDRESS in virtual time and do something with it."""

    async def main(clock: Clock) -> T:
        network = Network(clock)
        device = make(clock)
        network.attach(ADDRESS, device if faults is None else with_faults(faults, interface, "signal", device))
        await network.open()
        try:
            done = await during(clock)
        finally:
            await network.close()
        assert network.defects == 0
        return done

    return run(main)


def seconds(found: Sequence[Notice]) -> list[tuple[float, str]]:
    """When what arrives."""
    return [(at_s(notice.at_ns), notice.body.id) for notice in found]


def at_s(instant: Instant) -> float:
    """Seconds."""
    return instant / SECOND
