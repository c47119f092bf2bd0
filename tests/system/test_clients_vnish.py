"""pyasic_rs, unchanged, over real sockets against VNish and MARA firmware; it is Rust, so there is no virtual time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.clients.site import Site, units_of

pytestmark = pytest.mark.system
pyasic_rs = pytest.importorskip("pyasic_rs", reason="pyasic_rs is not installed", exc_type=ImportError)


def real(firmware: str, what: Any, **knobs: Any) -> Any:
    return Site.run(units_of(firmware), what, {firmware: knobs}, mode="real")


async def found(site: Site, model_id: str) -> Any:
    return await pyasic_rs.MinerFactory().get_miner(site.address(model_id))


def same(shown: str, name: str) -> bool:
    """Whether the client's spelling of a model is ours without its blanks."""
    return shown.replace(" ", "").lower() == name.replace(" ", "").lower()


@pytest.mark.parametrize("firmware", ["vnish", "mara"])
def test_each_model_is_named_and_read(firmware: str) -> None:
    async def what(site: Site) -> list[Any]:
        rows = []
        for _, model_id in units_of(firmware):
            data = await (await found(site, model_id)).get_data()
            rows.append((site[model_id], data, site.true_ths(model_id), site.true_w(model_id)))
        return rows

    for miner, data, true_ths, true_w in real(firmware, what):
        model = miner.model
        info = data.device_info
        assert (info.make, info.firmware) == ("Antminer", "VNish" if firmware == "vnish" else "Marathon")
        assert same(info.model, model.name)
        ths = data.hashrate.value if firmware == "vnish" else 1000.0 * data.hashrate.value  # it takes TH/s for GH/s
        assert ths == pytest.approx(true_ths, rel=0.08)
        assert data.expected_hashrate.value == pytest.approx(model.nominal_ths)
        assert [board.working_chips for board in data.hashboards] == [model.chips_per_board] * model.boards
        assert all(len(board.chips) == model.chips_per_board for board in data.hashboards)
        assert all(25 < board.board_temperature < 95 for board in data.hashboards)
        assert sum(board.hashrate.value for board in data.hashboards) == pytest.approx(true_ths, rel=0.08)
        assert all(board.frequency == pytest.approx(model.frequency_mhz, abs=1) for board in data.hashboards)
        assert len(data.fans) == model.fans
        assert all(1000 < fan.rpm < 8000 for fan in data.fans)
        assert 0.8 * true_w < data.wattage < 1.12 * true_w
        assert data.mac.lower() == miner.host.mac
        assert data.hostname.startswith("rig")
        assert data.firmware_version == ("1.2.6" if firmware == "vnish" else "1.0.3")
        assert data.is_mining
        assert not data.light_flashing
        assert data.uptime > timedelta(0)
        pools = data.pools[0].pools
        assert pools[0].alive
        assert pools[0].active
        if firmware == "vnish":
            assert data.serial_number.startswith("SN")


def test_vnish_is_curtailed_limited_lit_and_restarted() -> None:
    async def what(site: Site) -> None:
        miner, full_w = await found(site, "s21"), site.true_w("s21")
        assert await miner.pause()
        assert site.true_w("s21") > 3000, "the process is told to stop; the rail falls seconds later"
        await site.until(lambda: site.true_w("s21") < 100, patience_s=20)
        await site.wait_s(1.5)
        assert not await miner.get_is_mining()
        assert await miner.get_wattage() == 0
        assert (await miner.get_hashrate()).value == 0.0
        assert await miner.set_power_limit(3000)
        assert "2850" in str(await miner.get_tuning_target())
        assert await miner.set_fault_light(True)
        assert await miner.get_light_flashing()
        assert await miner.set_fault_light(False)
        assert not await miner.get_light_flashing()
        assert await miner.resume()
        await site.wait_s(2)
        assert site.unit("s21").setpoint(site.clock.now()) == pytest.approx(2850 / 3390)
        assert await miner.restart()
        await site.until(lambda: site.true_w("s21") < 0.1 * full_w, patience_s=20)

    real("vnish", what)


def test_vnish_with_empty_bodies_stops_and_the_client_says_it_did_not() -> None:
    async def what(site: Site) -> None:
        miner = await found(site, "s19")
        assert not await miner.pause()
        await site.until(lambda: site.true_w("s19") < 100, patience_s=20)

    real("vnish", what, empty_mining_body=True)


def test_mara_sleeps_and_wakes_into_the_mode_it_came_from() -> None:
    async def what(site: Site) -> None:
        miner = await found(site, "s19j_pro")
        assert await miner.pause()
        await site.until(lambda: site.true_w("s19j_pro") < 100, patience_s=20)
        await site.wait_s(5.5)
        data = await miner.get_data()
        assert not data.is_mining
        assert data.wattage == 25
        assert {fan.rpm for fan in data.fans} == {0}
        assert await miner.resume()
        await site.wait_s(1)
        assert site.true_w("s19j_pro") == pytest.approx(60)
        assert await miner.pause()

    real("mara", what)
