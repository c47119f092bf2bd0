"""Two miners of one kind in virtual time, one of them with faults: where clients that others wrote meet them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from emulator import catalogue, clock
from emulator.clock import Clock
from emulator.faults import Fault, FaultPlan, Value
from emulator.faulty_link import with_faults
from emulator.faulty_site import apply_site_faults, miner_unit
from emulator.fleet import Fleet, MinerSpec, MinerUnit
from emulator.grid import Grid
from emulator.network import Network
from emulator.seed import Seed
from emulator.site import FeederSpec, OutletSpec, PduSpec, Site, SiteSpec
from emulator.wire import SECOND, Device
from firmware_mocks import miners

pyasic = pytest.importorskip("pyasic", reason="pyasic is not installed", exc_type=ImportError)
BaseMinerRPCAPI = pytest.importorskip("pyasic.rpc.base", exc_type=ImportError).BaseMinerRPCAPI
APIError: type[Exception] = pytest.importorskip("pyasic.errors", exc_type=ImportError).APIError

S = SECOND
STOCK, LUX = ("antminer-stock", "s19j_pro"), ("luxos", "s21")
RPC, WEB = {"ports": "4028"}, {"ports": "80"}


@dataclass
class Yard:
    """Two miners of one kind: `m0` with faults at 127.9.2.1, `m1` without at 127.9.2.2."""

    clock: Clock
    fleet: Fleet

    address = "127.9.2.1"
    sound = "127.9.2.2"

    @property
    def unit(self) -> MinerUnit:
        return MinerUnit(self.fleet, 0)

    @property
    def now_s(self) -> float:
        return self.clock.now() / S

    def watts(self) -> float:
        return self.unit.power_w(self.clock.now())

    async def wait_s(self, seconds: float) -> None:
        await self.clock.sleep(round(seconds * S))

    async def miner(self) -> Any:
        return await pyasic.get_miner(self.address)

    async def data(self) -> Any:
        return await (await self.miner()).get_data()


def on(
    what: Callable[[Yard], Awaitable[Any]], *faults: Fault, unit: tuple[str, str] = STOCK, seed: int = 7, **knobs: Any
) -> Any:
    """Run `what` in virtual time against the two miners."""

    async def main(time: Clock) -> Any:
        root = Seed(seed)
        firmware = miners.load(unit[0]).tuned(**knobs)
        model, family = catalogue.model(unit[1]), catalogue.family(firmware.phases)
        fleet = Fleet([MinerSpec(f"m{n}", model, family) for n in range(2)], root)
        feeder = FeederSpec("f", (PduSpec("p", (OutletSpec("p.1", (0, 1)),)),))
        site = Site(SiteSpec("yard", (feeder,)), fleet, Grid(60.0, 1e4), root)
        plan, network = FaultPlan(faults, root), Network(time)
        plan.check(["m0", "m1"])
        devices: dict[str, Device] = {}
        for n, address in enumerate((Yard.address, Yard.sound)):
            host = miners.HostInfo(address, f"02:5e:10:00:00:{n:02x}", f"rig{n}", f"SN{n:06}", time.wall)
            device = devices[f"m{n}"] = firmware.boot(miner_unit(plan, fleet, n), host, root / "miner" / n)
            network.attach(address, with_faults(plan, f"m{n}", "miner", device, find=devices.get))
        apply_site_faults(plan, time, fleet, site)
        await network.open()
        try:
            return await what(Yard(time, fleet))
        finally:
            await network.close()
            assert network.defects == 0

    return clock.run(main)


def fault(kind: str, start_s: float = 0, stop_s: float | None = None, **given: Value) -> Fault:
    return Fault("m0", kind, round(start_s * S), None if stop_s is None else round(stop_s * S), given)


async def read(yard: Yard) -> tuple[Any, float]:
    """Data of the faulty miner and how long it took, with the identification before."""
    miner = await yard.miner()
    began = yard.now_s
    return await miner.get_data(), yard.now_s - began


async def cgi(address: str, name: str, body: Any = None) -> Any:
    async with httpx.AsyncClient(auth=httpx.DigestAuth("root", "root"), timeout=60) as client:
        url = f"http://{address}/cgi-bin/{name}.cgi"
        return await (client.get(url) if body is None else client.post(url, json=body))
