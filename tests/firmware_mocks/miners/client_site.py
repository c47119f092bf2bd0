"""A site of one miner for each model that a firmware runs on, for clients which others wrote to be tried against."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from emulator import catalogue, clock
from emulator.clock import Clock
from emulator.fleet import Fleet, MinerSpec, MinerUnit
from emulator.network import Network
from emulator.seed import Seed
from emulator.wire import SECOND
from firmware_mocks import miners


@dataclass
class Site:
    """One miner of each model, on its own address."""

    clock: Clock
    fleet: Fleet
    network: Network
    models: tuple[str, ...]
    subnet: str

    def address(self, model_id: str) -> str:
        return f"{self.subnet}.{self.models.index(model_id) + 1}"

    def mac(self, model_id: str) -> str:
        return f"02:5E:10:00:01:{self.models.index(model_id):02X}"

    def unit(self, model_id: str) -> MinerUnit:
        return MinerUnit(self.fleet, self.models.index(model_id))

    def true_w(self, model_id: str) -> float:
        return self.unit(model_id).power_w(self.clock.now())

    def true_ths(self, model_id: str) -> float:
        return self.unit(model_id).hash_ths(self.clock.now())

    async def wait_s(self, seconds: float) -> None:
        await self.clock.sleep(round(seconds * SECOND))


def models_of(firmware: str) -> tuple[str, ...]:
    """The models of the catalogue on which a firmware runs."""
    return tuple(sorted(miners.load(firmware).models))


def on_site(
    firmware: str, subnet: str, what: Callable[[Site], Awaitable[Any]], *, mode: str = "virtual", **knobs: Any
) -> Any:
    """Run `what` on a site of its own; `mode` is that of `clock.run`, `knobs` go to the firmware."""

    async def main(time: Clock) -> Any:
        seed = Seed(7)
        made = miners.load(firmware).tuned(**knobs)
        family, models = catalogue.family(made.phases), models_of(firmware)
        specs = [MinerSpec(f"m{n}", catalogue.model(model_id), family) for n, model_id in enumerate(models)]
        site = Site(time, Fleet(specs, seed), Network(time), models, subnet)
        for n, model_id in enumerate(models):
            host = miners.HostInfo(
                site.address(model_id), site.mac(model_id).lower(), f"rig{n}", f"SN{n:06}", time.wall
            )
            site.network.attach(host.address, made.boot(MinerUnit(site.fleet, n), host, seed / "miner" / n))
        await site.network.open()
        try:
            return await what(site)
        finally:
            await site.network.close()
            assert site.network.defects == 0

    return clock.run(main, mode=mode)
