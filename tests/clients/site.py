"""Miners of any faces on addresses of their own, on the fleet's physics, in virtual time or on real sockets.

Owns the standing of the miners, the truth about each of them, and waiting: in virtual time an ordinary sleep, on real
sockets a leap of the clock that is taken when nobody is talking to a miner.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Self, TypeVar
from unittest import mock

import pytest

from emulator import catalogue, clock
from emulator.catalogue import MinerModel
from emulator.clock import Clock, RealLoop
from emulator.fleet import Fleet, MinerSpec, MinerUnit
from emulator.network import Network, PortInUseError, PortPermissionError
from emulator.seed import Seed
from emulator.wire import MILLISECOND, SECOND, Instant
from firmware_mocks import miners
from firmware_mocks.miners.base import HostInfo
from tests.clients.leaps import Leaps

T = TypeVar("T")

Unit = tuple[str, str]
"""Firmware and model."""

_HOSTS = 250
_LOOK_NS = 50 * MILLISECOND


@dataclass(frozen=True, slots=True)
class Standing:
    """One miner of the site and the truth about it."""

    site: Site
    row: int
    firmware: str
    model: MinerModel
    host: HostInfo
    device: Any
    """Its firmware at work, of the class of its face."""
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
    """An address for each of `units`, 127.9.1.1 and on; to be used as `async with`, or by `run`.

    `scatter` is that of one reading of the hash rate by firmware, where it is not next to nothing; `knobs` are by
    firmware, too. Raises AssertionError at the end when a device or a conversation raised an error.
    """

    def __init__(
        self,
        clock: Clock,
        units: Sequence[Unit],
        scatter: Mapping[str, float] | None = None,
        knobs: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.clock = clock
        self.network = Network(clock)
        self.requests: Counter[str] = Counter()
        self.network.on_request = lambda address, _port, _peer, _now: self.requests.update((address,))
        firmwares = {name: miners.load(name).tuned(**(knobs or {}).get(name, {})) for name, _ in units}
        specs = [
            MinerSpec(f"m{row}", catalogue.model(model), catalogue.family(firmwares[name].phases))
            for row, (name, model) in enumerate(units)
        ]
        root = Seed(7)
        self.fleet = Fleet(specs, root)
        self.miners: list[Standing] = []
        self._named: dict[str | Unit, Standing] = {}
        for row, (name, model) in enumerate(units):
            third, fourth = divmod(row, _HOSTS)
            mac = f"02:5e:10:00:{row >> 8:02x}:{row & 255:02x}"
            host = HostInfo(f"127.9.{third + 1}.{fourth + 1}", mac, f"rig{row}", f"SN{row:06}", self.date)
            device = firmwares[name].boot(MinerUnit(self.fleet, row), host, root / "miner" / row)
            self.network.attach(host.address, device)
            standing = Standing(self, row, name, specs[row].model, host, device, (scatter or {}).get(name, 0.0))
            self.miners.append(standing)
            self._named |= {model: standing, (name, model): standing}
        self._leaps = Leaps(clock.loop) if isinstance(clock.loop, RealLoop) else None
        # Some clients ask their machine for the date and send it to the miner: in virtual time, too, it is the miner's.
        self._date: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        if self._leaps is None:
            self._date = mock.patch("time.time", new=self._unix_s)

    @classmethod
    def run(
        cls,
        units: Sequence[Unit],
        what: Callable[[Self], Awaitable[T]],
        knobs: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        mode: str = "virtual",
    ) -> T:
        """Do `what` on a site of its own and return what comes of it; in real time, skip where ports are not to be had.

        `mode` is that of `clock.run`.
        """

        async def main(running: Clock) -> T:
            async with cls(running, units, knobs=knobs) as site:
                [came] = await site.together([partial(what, site)])
                return came

        try:
            return clock.run(main, mode=mode)
        except (PortInUseError, PortPermissionError) as error:
            pytest.skip(str(error))

    def __getitem__(self, named: str | Unit) -> Standing:
        """The miner of a model, or of a firmware and a model where the site has the model more than once."""
        return self._named[named]

    @property
    def now(self) -> Instant:
        """The present instant."""
        return self.clock.now()

    def date(self, at: Instant | None = None) -> datetime:
        """The miners' date. It does not leap: clients that bring a clock of their own send its date to the miner."""
        leapt_ns = 0 if self._leaps is None else self._leaps.leapt_ns
        return self.clock.wall(at) - timedelta(microseconds=leapt_ns // 1000)

    def _unix_s(self) -> float:
        return self.date().timestamp()

    # ---- by model, or by firmware and model --------------------------------------------------------------------------

    def address(self, named: str | Unit) -> str:
        """Where it answers."""
        return self[named].address

    def mac(self, named: str | Unit) -> str:
        """Its MAC address, as clients write it."""
        return self[named].host.mac.upper()

    def device(self, named: str | Unit) -> Any:
        """Its firmware at work."""
        return self[named].device

    def unit(self, named: str | Unit) -> MinerUnit:
        """What its firmware sees of the physics."""
        return self[named].unit

    def true_w(self, named: str | Unit) -> float:
        """True power at the wall now."""
        return self[named].power_w

    def true_ths(self, named: str | Unit) -> float:
        """True hash rate now."""
        return self[named].hash_ths

    # ---- time --------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.network.open()
        self._date.__enter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._date.__exit__(None, None, None)
        await self.network.close()
        assert self.network.defects == 0, f"{self.network.defects} errors inside the devices; the log names them"

    async def wait_s(self, seconds: float) -> None:
        """Let `seconds` go by. On real sockets only inside `together`, where several are at it rounded up to a grid."""
        if self._leaps is None:
            await self.clock.sleep(round(seconds * SECOND))
        else:
            await self._leaps.sleep(round(seconds * SECOND))

    async def until(self, so: Callable[[], bool], patience_s: float = 10.0) -> float:
        """Wait until it is so; the seconds that took. Raises AssertionError after `patience_s`."""
        began = self.now
        while not so():
            assert self.now - began < patience_s * SECOND, f"it did not come to that in {patience_s} s"
            await self.wait_s(_LOOK_NS / SECOND)
        return (self.now - began) / SECOND

    async def together(self, what: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
        """Do everything at once and return what came of each."""
        if self._leaps is None:
            return list(await asyncio.gather(*(one() for one in what)))
        return list(await asyncio.gather(*self._leaps.alive(what)))


def units_of(*firmwares: str) -> list[Unit]:
    """These firmwares on every model that they run on."""
    return [(name, model) for name in firmwares for model in sorted(miners.load(name).models)]


def many(firmware: str, count: int) -> list[Unit]:
    """`count` miners of one firmware, its models in turn."""
    return list(itertools.islice(itertools.cycle(units_of(firmware)), count))
