"""A site in a process of its own, for tests that hold thousands of connections against it; ends with its input.

Prints the port of its Modbus devices, then the number of defects of the network when it ends.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import sys

from emulator import catalogue
from emulator.clock import Clock, run
from emulator.fleet import Fleet, MinerSpec, MinerUnit
from emulator.network import Network
from emulator.seed import Seed
from firmware_mocks import miners
from tests.emulator.modbus.reactions import meter

METERS = "127.77.240"
MINERS = "127.77.241"
DEVICES = 25
"""Meters, on .1 and so on."""
CROWDED = DEVICES + 1
"""One more of them, whose callers are counted."""
FACES = ("antminer-stock", "luxos", "vnish", "whatsminer", "epic", "mara", "auradine", "whatsminer-v3")
"""Miners, likewise."""


async def serve(clock: Clock) -> None:
    """Stand there until the input ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    network, seed = Network(clock), Seed(7)
    for number in range(CROWDED):
        network.attach(f"{METERS}.{number + 1}", meter().device(port))
    loaded = [miners.load(name) for name in FACES]
    specs = [
        MinerSpec(name, catalogue.model(sorted(f.models)[0]), catalogue.family(f.phases))
        for name, f in zip(FACES, loaded, strict=True)
    ]
    fleet = Fleet(specs, seed)
    for row, firmware in enumerate(loaded):
        address = f"{MINERS}.{row + 1}"
        host = miners.HostInfo(address, f"02:00:00:00:00:{row:02x}", specs[row].id, f"SN{row}", clock.wall)
        network.attach(address, firmware.boot(MinerUnit(fleet, row), host, seed / row))
    await network.open()
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await network.close()
    print(network.defects, flush=True)


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    run(serve, mode="real")
