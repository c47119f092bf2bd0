"""pyasic, unchanged, in virtual time against the Braiins OS face on the real fleet physics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from emulator import catalogue, clock
from emulator.clock import Clock
from emulator.fleet import Fleet, MinerSpec, MinerUnit
from emulator.network import Network
from emulator.seed import Seed
from emulator.wire import SECOND
from firmware_mocks import miners

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
pyasic = pytest.importorskip("pyasic", reason="pyasic is not installed", exc_type=ImportError)

FIRMWARE = miners.load("braiins")
MODELS = sorted(FIRMWARE.models)


@dataclass
class Site:
    """One miner of each model, on its own address."""

    clock: Clock
    fleet: Fleet
    network: Network

    def address(self, model_id: str) -> str:
        return f"127.9.2.{MODELS.index(model_id) + 1}"

    def unit(self, model_id: str) -> MinerUnit:
        return MinerUnit(self.fleet, MODELS.index(model_id))

    def true_w(self, model_id: str) -> float:
        return self.unit(model_id).power_w(self.clock.now())

    async def wait_s(self, seconds: float) -> None:
        await self.clock.sleep(round(seconds * SECOND))


def on_site(what: Callable[[Site], Awaitable[Any]], **knobs: Any) -> Any:
    """Run `what` in virtual time."""

    async def main(time: Clock) -> Any:
        seed = Seed(7)
        family = catalogue.family(FIRMWARE.phases)
        specs = [MinerSpec(f"m{n}", catalogue.model(model_id), family) for n, model_id in enumerate(MODELS)]
        site = Site(time, Fleet(specs, seed), Network(time))
        for n, model_id in enumerate(MODELS):
            address = site.address(model_id)
            host = miners.HostInfo(address, f"02:5e:10:00:00:{n:02x}", f"rig{n}", f"SN{n:06}", time.wall)
            device = FIRMWARE.tuned(**knobs).boot(MinerUnit(site.fleet, n), host, seed / "miner" / n)
            site.network.attach(address, device)
        await site.network.open()
        try:
            return await what(site)
        finally:
            await site.network.close()
            assert site.network.defects == 0

    return clock.run(main)


@pytest.mark.parametrize("model_id", MODELS)
def test_pyasic_names_the_miner_and_reads_it(model_id: str) -> None:
    async def what(site: Site) -> Any:
        miner = await pyasic.get_miner(site.address(model_id))
        data = await miner.get_data()
        print(miner, data)
        return data, site.unit(model_id).hash_ths(site.clock.now()), site.true_w(model_id)

    data, true_ths, true_w = on_site(what)
