"""A site of one firmware, one miner of each of its models on its own address, in virtual or in real time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from emulator import catalogue, clock
from emulator.clock import Clock
from emulator.fleet import Fleet, MinerSpec, MinerUnit
from emulator.network import Network
from emulator.seed import Seed
from emulator.wire import SECOND
from firmware_mocks import miners

T = TypeVar("T")


@dataclass
class Site:
    """The miners, in the order of their models' ids."""

    clock: Clock
    fleet: Fleet
    models: list[str]
    subnet: str

    def address(self, model_id: str) -> str:
        return f"{self.subnet}.{self.models.index(model_id) + 1}"

    def unit(self, model_id: str) -> MinerUnit:
        return MinerUnit(self.fleet, self.models.index(model_id))

    def true_w(self, model_id: str) -> float:
        return self.unit(model_id).power_w(self.clock.now())

    def true_ths(self, model_id: str) -> float:
        return self.unit(model_id).hash_ths(self.clock.now())

    async def wait_s(self, seconds: float) -> None:
        await self.clock.sleep(round(seconds * SECOND))


def on_site(name: str, subnet: str, what: Callable[[Site], Awaitable[T]], *, mode: str = "virtual", **knobs: Any) -> T:
    """Run `what` on a site of the firmware `name`; no device may have raised anything."""

    async def main(time: Clock) -> T:
        seed, firmware = Seed(7), miners.load(name).tuned(**knobs)
        models, family = sorted(firmware.models), catalogue.family(firmware.phases)
        specs = [MinerSpec(f"m{n}", catalogue.model(model_id), family) for n, model_id in enumerate(models)]
        site, network = Site(time, Fleet(specs, seed), models, subnet), Network(time)
        for n, model_id in enumerate(models):
            address = site.address(model_id)
            host = miners.HostInfo(address, f"02:5e:10:00:00:{n:02x}", f"rig{n}", f"SN{n:06}", time.wall)
            network.attach(address, firmware.boot(site.unit(model_id), host, seed / "miner" / n))
        await network.open()
        try:
            return await what(site)
        finally:
            await network.close()
            assert network.defects == 0

    return clock.run(main, mode=mode)
