"""`python -m benchmarks.load.modbus_site METERS REGISTERS`: a site of so many meters, each on its address, until ended.

Every meter stands at the head of a feeder with a rack of miners and is overheard by a tap, as in a rig. It is
Eastron's SDM630 with two changes, so that a request for 100 registers reaches the same work on every server: function
3 reads the measured values that the product has under function 4, and its limit of 80 registers a request and its
turn-around of 10 ms are lifted. Prints one line of JSON when every address answers.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.collection import standing
from bench.tap import Tap, Traffic
from emulator import catalogue
from emulator import clock as clocks
from emulator.fleet import Fleet, MinerSpec
from emulator.grid import Grid
from emulator.meters.meter import Meter
from emulator.meters.product import MeterProduct, load_product
from emulator.modbus.link import Link, UnitPolicy
from emulator.modbus.pdu import READ_INPUT_REGISTERS
from emulator.network import Network
from emulator.seed import Seed
from emulator.site import FeederSpec, OutletSpec, PduSpec, Site, SiteSpec

if TYPE_CHECKING:
    from emulator.clock import Clock
    from emulator.wire import Instant

PORT = 5020
RACK = 25
"""Miners behind a meter."""


class _Twin(Meter):
    """The measured values under function 3 as well, as many products have them."""

    def read_holding_registers(self, address: int, count: int, now: Instant) -> bytes:
        return self.read_input_registers(address, count, now)

    def lasts_until(self, function: int, address: int, count: int, now: Instant) -> Instant:
        return super().lasts_until(READ_INPUT_REGISTERS, address, count, now)


def product() -> MeterProduct:
    """The SDM630's map and its update ticks; what is lifted stands in this module's docstring."""
    return replace(load_product("eastron_sdm630"), max_registers=125, link=Link(UnitPolicy.IGNORE))


def address_of(meter: int) -> str:
    """The meters' addresses, 250 in each block."""
    return f"127.9.{meter // 250}.{meter % 250 + 1}"


def network(clock: Clock, meters: int) -> Network:
    """A fleet of racks, one meter each, on a network that is not yet open."""
    seed, grid = Seed(1), Grid(60.0, 0.0)
    model = catalogue.model("s19j_pro")
    specs = [MinerSpec(f"m{row}", model, catalogue.family("bitmain_stock")) for row in range(RACK * meters)]
    feeders = []
    for meter in range(meters):
        outlet = OutletSpec(f"o{meter}", tuple(range(RACK * meter, RACK * (meter + 1))))
        feeders.append(FeederSpec(f"f{meter}", (PduSpec(f"p{meter}", (outlet,)),)))
    site = Site(SiteSpec("racks", tuple(feeders)), Fleet(specs, seed), grid, seed)
    made, traffic = Network(clock), Traffic()
    for meter, feeder in enumerate(feeders):
        own = seed / "meter" / meter
        phase_ns = int((own / "phase").uniform() * 200_000_000)
        shown = _Twin(product(), site.feeders[feeder.id], grid, phase_ns, 1, own)
        made.attach(address_of(meter), Tap(shown.device(PORT), f"meter{meter}", "meter", traffic))
    return made


async def _serve(clock: Clock) -> None:
    meters, began = int(sys.argv[1]), time.perf_counter()
    with standing(prompt=True):
        served = network(clock, meters)
    await served.open()
    said = {"startup_s": time.perf_counter() - began, "addresses": [address_of(meter) for meter in range(meters)]}
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    clocks.run(_serve, mode="real")
