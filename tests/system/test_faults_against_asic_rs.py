"""Faults against pyasic-rs, unchanged, on real sockets: its reactions as the reference sheet measured them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from emulator import catalogue, clock
from emulator.clock import Clock
from emulator.faults import Fault, FaultPlan, Value
from emulator.faulty_link import with_faults
from emulator.fleet import Fleet, MinerSpec, MinerUnit
from emulator.network import Network
from emulator.seed import Seed
from emulator.wire import SECOND
from firmware_mocks import miners

pytestmark = pytest.mark.system
pyasic_rs = pytest.importorskip("pyasic_rs", reason="pyasic-rs is not installed", exc_type=ImportError)

RPC: dict[str, Value] = {"ports": "4028"}
CASES: dict[str, tuple[str, dict[str, Value]]] = {
    "sound": ("refuse", {"probability": 0.0}),
    "4028 refused": ("refuse", RPC),
    "web refused": ("refuse", {"ports": "80"}),
    "web hangs": ("hang", {"ports": "80"}),
    "pages for JSON": ("other_body", {"body": "html", "requests": "/cgi-bin/*"}),
    "all refused": ("refuse", {}),
    "missing comma": ("malformed", {"how": "missing_comma", "requests": "stats", **RPC}),
    "stats cut": ("truncate", {"keep": 0.7, "requests": "stats", **RPC}),
    "newlines": ("malformed", {"how": "newline", **RPC}),
    "no NUL": ("malformed", {"how": "nul_missing", **RPC}),
    "2 s": ("delay", {"delay_ns": 2 * SECOND, **RPC}),
    "6 s": ("delay", {"delay_ns": 6 * SECOND, **RPC}),
    "4028 hangs": ("hang", RPC),
    "one caller": ("few_connections", RPC),
}


@dataclass
class Seen:
    """What the client made of one miner; `data` is None where it found nobody."""

    found_s: float
    model: str = ""
    data_s: float = 0.0
    data: Any = None

    @property
    def boards(self) -> list[bool]:
        return [board.hashrate is not None for board in self.data.hashboards]


@pytest.fixture(scope="module")
def seen() -> dict[str, Seen]:
    """All cases at once, each on an S19j Pro of its own: the longest takes as long as the client is patient."""

    async def look(time: Clock, address: str) -> Seen:
        began = time.now()
        miner = await pyasic_rs.MinerFactory().get_miner(address)
        found = Seen((time.now() - began) / SECOND)
        if miner is not None:
            found.model, began = f"{miner.make} {miner.model} {miner.firmware}", time.now()
            found.data = await miner.get_data()
            found.data_s = (time.now() - began) / SECOND
        return found

    async def main(time: Clock) -> dict[str, Seen]:
        seed, firmware = Seed(7), miners.load("antminer-stock")
        spec = [catalogue.model("s19j_pro"), catalogue.family(firmware.phases)]
        fleet = Fleet([MinerSpec(f"m{n}", *spec) for n in range(len(CASES))], seed)
        plan = FaultPlan([Fault(f"m{n}", kind, 0, None, p) for n, (kind, p) in enumerate(CASES.values())], seed)
        network = Network(time)
        for n in range(len(CASES)):
            host = miners.HostInfo(f"127.9.3.{n + 1}", f"02:5e:10:00:00:{n:02x}", f"rig{n}", f"SN{n}", time.wall)
            device = firmware.boot(MinerUnit(fleet, n), host, seed / "miner" / n)
            network.attach(host.address, with_faults(plan, f"m{n}", "miner", device))
        await network.open()
        try:
            looks = [look(time, f"127.9.3.{n + 1}") for n in range(len(CASES))]
            return dict(zip(CASES, await asyncio.gather(*looks), strict=True))
        finally:
            await network.close()
            assert network.defects == 0

    return clock.run(main, mode="real")


def test_without_a_fault_everything_is_read(seen: dict[str, Seen]) -> None:
    assert seen["sound"].model == "Antminer S19jPro AntMiner Stock"
    assert seen["sound"].boards == [True] * 3
    assert seen["sound"].data.is_mining


@pytest.mark.parametrize("case", ["web refused", "web hangs", "pages for JSON", "all refused"])
def test_without_its_web_a_stock_miner_is_nobody(seen: dict[str, Seen], case: str) -> None:
    assert seen[case].data is None


@pytest.mark.parametrize("case", ["4028 refused", "6 s", "4028 hangs"])
def test_without_4028_there_is_no_rate_and_it_is_mining(seen: dict[str, Seen], case: str) -> None:
    data = seen[case].data
    assert (data.hashrate, data.uptime, data.is_mining, seen[case].boards) == (None, None, True, [False] * 3)


def test_where_one_caller_is_served_at_a_time_something_is_missing(seen: dict[str, Seen]) -> None:
    data = seen["one caller"].data
    assert data.is_mining
    assert None in (data.hashrate, data.uptime), "it calls for both at once; which call comes first is left to chance"


@pytest.mark.parametrize("case", ["missing comma", "stats cut"])
def test_damaged_statistics_lose_the_boards(seen: dict[str, Seen], case: str) -> None:
    assert seen[case].boards == [False] * 3
    assert seen[case].data.hashrate is not None


@pytest.mark.parametrize("case", ["newlines", "no NUL", "2 s"])
def test_what_the_client_takes_costs_nothing(seen: dict[str, Seen], case: str) -> None:
    assert seen[case].boards == [True] * 3


def test_it_waits_two_seconds_and_gives_up_after_five(seen: dict[str, Seen]) -> None:
    assert 2 <= seen["2 s"].data_s < 5
    assert all(5 <= seen[case].data_s < 8 for case in ("6 s", "4028 hangs"))
