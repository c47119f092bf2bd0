"""asic-rs (pyasic_rs, a client in Rust) over real sockets against Avalons and Bitaxes on the real fleet physics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from emulator import catalogue
from tests.clients.site import Site as AnySite

pytestmark = pytest.mark.system
factory = pytest.importorskip("pyasic_rs.factory", reason="pyasic_rs is not installed", exc_type=ImportError)

AVALONS = {"a1246": "Avalon1246", "a1466": "Avalon1466", "a1566": "Avalon15"}
"""Model -> what the client calls it; of an A1566 it reads "15-194" and cuts at the dash."""
AXES = {"bitaxe_max": "Max", "bitaxe_ultra": "Ultra", "bitaxe_supra": "Supra", "bitaxe_gamma": "Gamma"}
UNITS = [*(("avalon", model_id) for model_id in AVALONS), *(("bitaxe", model_id) for model_id in AXES)]
PATIENCE_S = 20.0


class Site(AnySite):
    """One unit of each model."""

    async def client(self, model_id: str) -> Any:
        return await asyncio.wait_for(factory.MinerFactory().get_miner(self.address(model_id)), PATIENCE_S)


def on_site(what: Callable[[Site], Awaitable[Any]], build: str = "2.14.2", **knobs: Any) -> Any:
    """Run `what` on real sockets; `build` goes to the Bitaxes, other knobs to the Avalons."""
    return Site.run(UNITS, what, {"avalon": knobs, "bitaxe": {"build": build}}, mode="real")


def test_every_avalon_is_named_and_read_to_the_last_field() -> None:
    async def what(site: Site) -> None:
        for model_id, name in AVALONS.items():
            miner, model = await site.client(model_id), catalogue.model(model_id)
            assert (miner.make, miner.model, miner.firmware) == ("Avalonminer", name, "AvalonMiner Stock")
            data = await asyncio.wait_for(miner.get_data(), PATIENCE_S)
            true_ths = site.unit(model_id).hash_ths(site.clock.now())
            assert data.hashrate.value == pytest.approx(true_ths, rel=0.06)
            assert data.expected_hashrate.value == pytest.approx(model.nominal_ths, rel=0.03)
            assert len(data.hashboards) == 3
            for board in data.hashboards:
                assert board.working_chips == board.expected_chips == len(board.chips) == model.chips_per_board
                assert 40 < board.board_temperature < board.outlet_chip_temperature < 95
                assert board.frequency == pytest.approx(model.frequency_mhz, rel=0.06)
                assert board.active
                assert all(0.2 < chip.voltage < 0.4 for chip in board.chips)
            assert sum(board.hashrate.value for board in data.hashboards) == pytest.approx(true_ths, rel=0.01)
            assert len(data.fans) == model.fans
            true_w = site.true_w(model_id)
            assert 0.85 * true_w < data.wattage < true_w, "it reads what the power supply puts out, not the wall"
            assert data.mac == f"02:5E:10:00:00:{list(AVALONS).index(model_id):02X}"
            assert data.api_version == "3.7"
            assert data.firmware_version.count("_") == 2
            assert data.control_board_version.known
            assert len(data.serial_number) == 16
            assert data.uptime.total_seconds() > 0
            assert not data.light_flashing
            (group,) = data.pools
            assert [pool.active for pool in group.pools] == [True, False, False]
            assert data.is_mining

    on_site(what)


def test_every_bitaxe_is_named_and_read_to_the_last_field() -> None:
    async def what(site: Site) -> None:
        for model_id, name in AXES.items():
            miner, model = await site.client(model_id), catalogue.model(model_id)
            assert (miner.make, miner.model, miner.firmware) == ("Bitaxe", name, "Bitaxe Stock")
            data = await asyncio.wait_for(miner.get_data(), PATIENCE_S)
            assert data.hashrate.value == pytest.approx(site.unit(model_id).hash_ths(site.clock.now()), rel=0.03)
            assert data.expected_hashrate.value == pytest.approx(model.nominal_ths, rel=0.003)
            assert data.wattage == pytest.approx(site.true_w(model_id), abs=1.6)
            (board,) = data.hashboards
            assert (board.working_chips, board.expected_chips, len(board.chips), board.active) == (1, 1, 1, True)
            assert 50 < board.outlet_chip_temperature < 75
            assert board.frequency == model.frequency_mhz
            assert data.fans[0].rpm > 4000
            assert data.hostname == f"rig{UNITS.index(('bitaxe', model_id))}"
            assert data.firmware_version == data.api_version == "v2.14.2"
            assert data.control_board_version.known
            assert data.control_board_version.name == f"B{model.variant}"
            assert data.mac.startswith("02:5E:10:")
            assert data.uptime.total_seconds() > 0
            assert [str(pool.url) for pool in data.pools[0].pools] == [
                "stratum+tcp://pool-a.example:3333", "stratum+tcp://pool-b.example:3333",
            ]  # fmt: skip

    on_site(what)


def test_a_scan_finds_all_of_them_and_nothing_else() -> None:
    async def what(site: Site) -> list[str]:
        found = await asyncio.wait_for(factory.MinerFactory.from_subnet("127.9.1.0/28").scan(), PATIENCE_S)
        return sorted(str(miner.ip) for miner in found)

    assert on_site(what) == [f"127.9.1.{n}" for n in range(1, len(UNITS) + 1)]


def test_an_avalon_is_paused_at_the_planned_second_and_resumed() -> None:
    async def what(site: Site) -> None:
        miner = await site.client("a1566")
        full_w = site.true_w("a1566")
        assert await miner.pause()
        took_s = await site.until(lambda: site.true_w("a1566") < 60, PATIENCE_S)
        assert 4 < took_s < 12
        await site.wait_s(5)
        data = await asyncio.wait_for(miner.get_data(), PATIENCE_S)
        assert data.wattage == 1189, "with nothing under watts it reads on: the set voltage, 11.89 V"
        assert data.hashrate.value > 0.5 * 185, "the average of a minute lags"
        assert data.hashboards[0].hashrate.value > 0.9 * 185 / 3, "the board's is the mean since the start"
        assert data.is_mining, "it has nothing to tell by"
        assert await miner.resume(), "silence it takes for success"
        await site.until(lambda: site.true_w("a1566") > 35, PATIENCE_S)
        assert site.true_w("a1566") < 0.1 * full_w

    on_site(what)


def test_an_answer_in_words_is_no_success_to_it_although_the_miner_obeys() -> None:
    async def what(site: Site) -> None:
        miner = await site.client("a1466")
        assert not await miner.pause(1)
        await site.until(lambda: site.true_w("a1466") < 60, PATIENCE_S)

    on_site(what, softoff_reply="info")


def test_light_and_limit_and_a_restart_it_does_not_understand() -> None:
    async def what(site: Site) -> None:
        miner, full_w = await site.client("a1566"), site.true_w("a1566")
        assert await miner.set_fault_light(True)
        assert await miner.get_light_flashing()
        assert await miner.set_fault_light(False)
        assert not await miner.get_light_flashing()
        assert await miner.set_power_limit(2500.0), "2.5 kW is level 2 to C's scanf"
        await site.until(lambda: site.true_w("a1566") > 1.005 * full_w, PATIENCE_S)
        with pytest.raises(RuntimeError, match="unknown argument"):
            await miner.set_power_limit(3420.0)
        with pytest.raises(RuntimeError, match="STATUS"):
            await miner.restart()
        await site.until(lambda: site.true_w("a1566") < 100, PATIENCE_S)

    on_site(what)


def test_a_bitaxe_is_paused_and_resumed_and_nothing_else() -> None:
    async def what(site: Site) -> None:
        miner, full_w = await site.client("bitaxe_gamma"), site.true_w("bitaxe_gamma")
        assert await miner.pause()
        took_s = await site.until(lambda: site.true_w("bitaxe_gamma") < 2.5, PATIENCE_S)
        assert 6.5 < took_s < 9
        await site.wait_s(0.5)  # the power task looks ten times a second
        data = await asyncio.wait_for(miner.get_data(), PATIENCE_S)
        assert (data.hashrate.value, data.wattage) == (0.0, 5.0)
        assert await miner.resume()
        assert 8 < await site.until(lambda: site.true_w("bitaxe_gamma") > 0.98 * full_w, PATIENCE_S) < 11
        for refused in (miner.restart(), miner.set_fault_light(True), miner.set_power_limit(15.0)):
            with pytest.raises(RuntimeError, match="not supported"):
                await refused

    on_site(what)


def test_a_build_without_a_pause_answers_that_it_knows_no_such_route() -> None:
    async def what(site: Site) -> None:
        miner = await site.client("bitaxe_max")
        with pytest.raises(RuntimeError):
            await miner.pause()
        assert site.true_w("bitaxe_max") > 11

    on_site(what, build="2.12.2")
