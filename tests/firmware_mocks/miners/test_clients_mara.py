"""pyasic, unchanged, in virtual time against MARA firmware on the real fleet physics."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from emulator import catalogue
from firmware_mocks import miners
from tests.clients.site import Site, units_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
pyasic = pytest.importorskip("pyasic", reason="pyasic is not installed", exc_type=ImportError)
MODELS = sorted(miners.load("mara").models)


def mara(what: Any, **knobs: Any) -> Any:
    return Site.run(units_of("mara"), what, {"mara": knobs})


@pytest.mark.parametrize("model_id", MODELS)
def test_pyasic_names_the_miner_and_reads_it(model_id: str) -> None:
    async def what(site: Site) -> Any:
        miner = await pyasic.get_miner(site.address(model_id))
        return await miner.get_data(), await miner.web.brief(), site.true_ths(model_id), site.true_w(model_id), site

    data, brief, true_ths, true_w, site = mara(what)
    model = catalogue.model(model_id)
    assert (data.make, str(data.model).lower(), data.firmware) == ("AntMiner", model.name.lower(), "MaraFW")
    assert float(data.hashrate) == pytest.approx(true_ths, rel=0.02)
    assert float(data.expected_hashrate) == pytest.approx(model.nominal_ths)
    assert [board.chips for board in data.hashboards] == [model.chips_per_board] * model.boards
    assert not any(board.missing for board in data.hashboards)
    assert all(25 < board.temp == board.chip_temp - 5 < 95 for board in data.hashboards)
    assert len({board.serial_number for board in data.hashboards}) == model.boards
    assert len(data.fans) == model.fans
    assert all(1000 < fan.speed < 8000 for fan in data.fans)
    assert data.wattage_limit == model.nominal_w
    assert (data.mac, data.fw_ver) == (site.mac(model_id), "1.0.3")
    assert data.hostname == f"rig{MODELS.index(model_id)}"
    assert not data.fault_light
    assert [(pool.alive, pool.active) for pool in data.pools] == [(True, True), (True, False)]
    assert (data.wattage, data.uptime) == (None, None)  # the client never returns what it read
    assert brief["power_consumption_estimated"] == pytest.approx(true_w, rel=0.12)
    assert (brief["status"], brief["power_source"]) == ("Mining", "EST")
    assert brief["hashrate_realtime"] == pytest.approx(true_ths, rel=0.08)


def test_identification_is_the_same_every_time_of_twenty_five() -> None:
    async def what(site: Site) -> set[str]:
        seen = set()
        for _ in range(25):
            found = await asyncio.gather(*(pyasic.get_miner(site.address(model)) for model in MODELS))
            seen |= {str(miner).rsplit(":", 1)[0].lower() for miner in found}
        return seen

    assert mara(what) == {f"{catalogue.model(model).name} (MaraFW)".lower() for model in MODELS}


@pytest.mark.parametrize("model_id", MODELS)
def test_pyasic_sleeps_and_wakes_and_what_it_reads_follows_late(model_id: str) -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address(model_id))
        full_w, full_ths = site.true_w(model_id), site.true_ths(model_id)
        assert await miner.stop_mining()
        brief = await miner.web.brief()
        assert (brief["work_mode"], brief["status"]) == ("Sleep", "Mining"), "the configuration is ahead of the miner"
        await site.wait_s(12)
        brief = await miner.web.brief()
        assert site.true_w(model_id) == pytest.approx(90, abs=1), "fans run on"
        assert (brief["status"], brief["power_consumption_estimated"]) == ("Sleep", 25.0)
        data = await miner.get_data()
        assert {fan.speed for fan in data.fans} == {0}
        assert float(data.hashrate) > 0.95 * full_ths, "the client adds up ten-minute means"
        assert float(data.expected_hashrate) == 0.0
        await site.wait_s(620)
        assert float((await miner.get_data()).hashrate) == 0.0
        assert site.true_w(model_id) == pytest.approx(25, abs=1)
        assert await miner.resume_mining()
        await site.wait_s(50)
        assert site.true_w(model_id) == pytest.approx(280)
        await site.wait_s(90)
        assert site.true_w(model_id) == pytest.approx(full_w, rel=0.02)
        assert (await miner.web.brief())["status"] == "Mining"

    mara(what)


def test_pyasic_limits_power_by_the_target_of_the_tuner() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address("s21"))
        full_w = site.true_w("s21")
        assert await miner.set_power_limit(2600)
        await site.wait_s(20)
        assert 2700 < site.true_w("s21") < 0.99 * full_w, "on its way"
        await site.wait_s(100)
        assert (await miner.get_data()).wattage_limit == 2600
        assert site.true_w("s21") == pytest.approx(full_w * 2600 / 3500, rel=0.001)
        assert await miner.set_power_limit(200)  # the client does not read the answer
        assert (await miner.get_data()).wattage_limit == 2600
        assert (await miner.get_config()).mining_mode.power == 2600

    mara(what)


def test_pyasic_switches_the_light_reloads_and_reboots() -> None:
    async def what(site: Site) -> None:
        address = site.address("s19k_pro")
        miner = await pyasic.get_miner(address)
        assert await miner.fault_light_on()
        assert (await miner.get_data()).fault_light
        assert await miner.fault_light_off()
        assert await miner.restart_backend()
        await site.wait_s(10)
        assert (await miner.web.brief())["elapsed"] < 10
        assert site.true_w("s19k_pro") < 100
        assert await miner.reboot()
        await site.wait_s(10)
        assert await pyasic.get_miner(address) is None
        await site.wait_s(60)
        assert str(await pyasic.get_miner(address)) == str(miner)

    mara(what)


def test_pyasic_sets_the_pools_and_the_miner_mines_on() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address("s19j_pro"))
        config = await miner.get_config()
        config.pools.groups[0].pools[0].url = "stratum+tcp://other.example:3333"
        await miner.send_config(config)
        assert str((await miner.get_data()).pools[0].url) == "stratum+tcp://other.example:3333"
        await site.wait_s(10)
        assert site.true_w("s19j_pro") > 2900

    mara(what)


def test_the_wrong_password_is_refused_and_sleep_outlives_an_outage() -> None:
    async def what(site: Site) -> None:
        address, rows = site.address("s21"), site.unit("s21")._row
        miner = await pyasic.get_miner(address)
        miner.web.pwd = "guess"
        with pytest.raises(pyasic.APIError):
            await miner.stop_mining()
        assert site.true_w("s21") > 3000
        miner.web.pwd = "root"
        await miner.stop_mining()
        await site.wait_s(10)
        site.fleet.switch_mains(rows, False, site.clock.now())
        await site.wait_s(10)
        assert await pyasic.get_miner(address) is None
        site.fleet.switch_mains(rows, True, site.clock.now())
        await site.wait_s(120)
        assert (await (await pyasic.get_miner(address)).web.brief())["status"] == "Sleep"
        assert site.true_w("s21") == pytest.approx(25)

    mara(what)
