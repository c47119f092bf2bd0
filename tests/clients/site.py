"""Miners of any faces on addresses of their own, on the fleet's physics, in virtual time or on real sockets.

Owns the standing of the miners, the truth about each of them, and waiting: in virtual time an ordinary sleep, on real
sockets a leap of the clock that is taken when nobody is talking to a miner.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar
from unittest import mock

from emulator import catalogue
from emulator.catalogue import MinerModel
from emulator.clock import Clock, RealLoop
from emulator.fleet import Fleet, MinerSpec, MinerUnit
from emulator.network import Network
from emulator.seed import Seed
from emulator.wire import SECOND, Instant
from firmware_mocks import miners
from firmware_mocks.miners.base import HostInfo

T = TypeVar("T")

_HOSTS = 250
_GRID_S = 5
"""On real sockets sleepers wake on a grid, so that many wake together and talk at the same time."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One miner of the site and the truth about it."""

    site: Site
    row: int
    firmware: str
    model: MinerModel
    host: HostInfo
    scatter: float = 0.0
    """Standard deviation of one reading of its hash rate, as a share."""

    @property
    def address(self) -> str:
        """Where it answers."""
        return self.host.address

    @property
    def unit(self) -> MinerUnit:
        """What its firmware sees of the physics."""
        return MinerUnit(self.site.fleet, self.row)

    @property
    def power_w(self) -> float:
        """True power at the wall now."""
        return self.unit.power_w(self.site.now)

    @property
    def hash_ths(self) -> float:
        """True hash rate now."""
        return self.unit.hash_ths(self.site.now)

    @property
    def requests(self) -> int:
        """How many times bytes have come in for it."""
        return self.site.requests[self.address]


class Site:
    """An address for each of `units`, pairs of firmware and model; to be used as `async with`.

    `scatter` is that of one reading of the hash rate by firmware, where it is not next to nothing.
    Raises AssertionError at the end when a device or a conversation raised an error.
    """

    def __init__(
        self,
        clock: Clock,
        units: Sequence[tuple[str, str]],
        scatter: Mapping[str, float] | None = None,
        block: str = "127.9",
        seed: int = 7,
    ) -> None:
        self.clock = clock
        self.network = Network(clock)
        self.requests: Counter[str] = Counter()
        self.network.on_request = lambda address, _port, _peer, _now: self.requests.update((address,))
        firmwares = {name: miners.load(name) for name, _ in units}
        specs = [
            MinerSpec(f"m{row}", catalogue.model(model), catalogue.family(firmwares[name].phases))
            for row, (name, model) in enumerate(units)
        ]
        root = Seed(seed)
        self.fleet = Fleet(specs, root)
        self.miners: list[Standing] = []
        for row, (name, _) in enumerate(units):
            third, fourth = divmod(row, _HOSTS)
            address = f"{block}.{third + 1}.{fourth + 1}"
            mac = f"02:5e:10:00:{row >> 8:02x}:{row & 255:02x}"
            host = HostInfo(address, mac, f"rig{row}", f"SN{row:06}", clock.wall)
            standing = Standing(self, row, name, specs[row].model, host, (scatter or {}).get(name, 0.0))
            self.network.attach(address, firmwares[name].boot(standing.unit, host, root / "miner" / row))
            self.miners.append(standing)
        # Some clients ask the machine for the date and send it to the miner: it must be the miner's.
        self._date = mock.patch("time.time", side_effect=lambda: clock.wall().timestamp())
        self._leaps = _Leaps(clock.loop) if isinstance(clock.loop, RealLoop) else None

    @property
    def now(self) -> Instant:
        """The present instant."""
        return self.clock.now()

    async def __aenter__(self) -> Self:
        await self.network.open()
        self._date.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._date.stop()
        await self.network.close()
        assert self.network.defects == 0, f"{self.network.defects} errors inside the devices; the log names them"

    async def wait_s(self, seconds: float) -> None:
        """Let `seconds` go by. On real sockets only inside `together`, and rounded up to the grid."""
        if self._leaps is None:
            await self.clock.sleep(round(seconds * SECOND))
        else:
            await self._leaps.sleep(seconds)

    async def together(self, what: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
        """Do everything at once and return what came of each."""
        if self._leaps is None:
            return list(await asyncio.gather(*(one() for one in what)))
        return list(await asyncio.gather(*self._leaps.alive(what)))


class _Leaps:
    """Sleeping on a real loop without waiting: once all who are alive sleep, the clock leaps to the first of them."""

    def __init__(self, loop: RealLoop) -> None:
        self._loop = loop
        self._busy = 0
        self._order = itertools.count()
        self._asleep: list[tuple[Instant, int, asyncio.Future[None]]] = []

    def alive(self, what: Sequence[Callable[[], Awaitable[T]]]) -> list[Awaitable[T]]:
        self._busy += len(what)
        return [self._live(one) for one in what]

    async def _live(self, one: Callable[[], Awaitable[T]]) -> T:
        try:
            return await one()
        finally:
            self._busy -= 1
            self._leap()

    async def sleep(self, seconds: float) -> None:
        grid = _GRID_S * SECOND
        due = -(-(self._loop.now_ns + round(seconds * SECOND)) // grid) * grid
        awake: asyncio.Future[None] = self._loop.create_future()
        heapq.heappush(self._asleep, (due, next(self._order), awake))
        self._busy -= 1
        self._leap()
        await awake

    def _leap(self) -> None:
        if self._busy or not self._asleep:
            return
        due = max(self._asleep[0][0], self._loop.now_ns)
        self._loop.origin_ns -= due - self._loop.now_ns
        while self._asleep and self._asleep[0][0] <= due:
            _, _, awake = heapq.heappop(self._asleep)
            self._busy += 1
            awake.set_result(None)


def every_unit() -> list[tuple[str, str]]:
    """Every shipped firmware on every model that it runs on, the first model of a firmware first."""
    return [(name, model) for name in sorted(miners.SHIPPED) for model in sorted(miners.load(name).models)]


def many(firmware: str, count: int) -> list[tuple[str, str]]:
    """`count` miners of one firmware, its models in turn."""
    models = itertools.cycle(sorted(miners.load(firmware).models))
    return [(firmware, next(models)) for _ in range(count)]
