"""luxos, the vendor's own library, in its synchronous form: it blocks its thread, so it has real sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from emulator import catalogue, clock
from emulator.clock import Clock
from emulator.faults import Fault, FaultPlan
from emulator.faulty_link import with_faults
from emulator.fleet import Fleet, MinerSpec, MinerUnit
from emulator.network import Network
from emulator.seed import Seed
from firmware_mocks import miners

pytestmark = pytest.mark.system
syncops = pytest.importorskip("luxos.syncops", reason="luxos is not installed", exc_type=ImportError)
exceptions = pytest.importorskip("luxos.exceptions", reason="luxos is not installed", exc_type=ImportError)

ADDRESS = "127.93.1.1"


def said(share: float) -> str:
    """What its `rexec` makes of a miner that leaves out the NUL in this share of its replies."""

    async def main(time: Clock) -> str:
        seed, firmware = Seed(7), miners.load("luxos")
        fleet = Fleet([MinerSpec("m0", catalogue.model("s21"), catalogue.family(firmware.phases))], seed)
        device = firmware.boot(
            MinerUnit(fleet, 0), miners.HostInfo(ADDRESS, "02:5e:10:00:00:00", "m0", "SN0", time.wall), seed / 0
        )
        fault = Fault("m0", "malformed", 0, None, {"how": "nul_missing", "ports": "4028", "probability": share})
        network = Network(time)
        network.attach(ADDRESS, with_faults(FaultPlan([fault], seed), "m0", "miner", device))
        await network.open()
        try:
            reply: dict[str, Any] = await asyncio.to_thread(syncops.rexec, ADDRESS, 4028, "curtail", ["sleep"], 3.0)
            return str(syncops.validate(reply, "CURTAIL", 1, 1)["Action"])
        except exceptions.MinerConnectionError as error:
            return f"{type(error).__name__}: {type(error.__cause__).__name__}"
        finally:
            await network.close()
            assert network.defects == 0

    return clock.run(main, mode="real")


def test_it_takes_the_closing_nul_for_json_and_so_reads_nothing() -> None:
    assert said(0.0).startswith("MinerCommandTimeoutError: ")


def test_it_curtails_a_miner_that_sends_none() -> None:
    assert said(1.0) == "sleep mode"
