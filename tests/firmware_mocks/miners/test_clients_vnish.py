"""pyasic, unchanged, in virtual time against VNish on the real fleet physics."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from emulator import catalogue
from firmware_mocks import miners
from tests.clients.site import Site, units_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
pyasic = pytest.importorskip("pyasic", reason="pyasic is not installed", exc_type=ImportError)
MODELS = sorted(miners.load("vnish").models)


def vnish(what: Any, **knobs: Any) -> Any:
    return Site.run(units_of("vnish"), what, {"vnish": knobs})


async def state(miner: Any) -> str:
    return str((await miner.web.status())["miner_state"])


@pytest.mark.parametrize("model_id", MODELS)
def test_pyasic_names_the_miner_and_reads_it(model_id: str) -> None:
    async def what(site: Site) -> Any:
        miner = await pyasic.get_miner(site.address(model_id))
        return await miner.get_data(), site.true_ths(model_id), site.true_w(model_id), site.mac(model_id)

    data, true_ths, true_w, mac = vnish(what)
    model = catalogue.model(model_id)
    assert (data.make, str(data.model), data.firmware) == ("AntMiner", model.name, "VNish")
    assert float(data.hashrate) == pytest.approx(true_ths, rel=0.08)
    assert float(data.expected_hashrate) == pytest.approx(model.nominal_ths)
    assert [board.chips for board in data.hashboards] == [model.chips_per_board] * model.boards
    assert not any(board.missing for board in data.hashboards)
    # the client calls the chip's temperature the board's, and the other way round
    assert all(25 < board.chip_temp < board.temp < 95 for board in data.hashboards)
    assert len(data.fans) == model.fans
    assert all(1000 < fan.speed < 8000 for fan in data.fans)
    assert 0.8 * true_w < data.wattage < 1.08 * true_w
    assert data.wattage_limit < model.nominal_w
    assert (data.mac, data.fw_ver, data.api_ver) == (mac, "1.2.6", "3.7")
    assert data.is_mining
    assert data.uptime > 0
    assert data.errors == []
    assert [(pool.alive, pool.active) for pool in data.pools] == [(True, True), (True, False)]


def test_identification_is_the_same_every_time_of_twenty_five() -> None:
    async def what(site: Site) -> set[str]:
        seen = set()
        for _ in range(25):
            found = await asyncio.gather(*(pyasic.get_miner(site.address(model)) for model in MODELS))
            seen |= {str(miner).rsplit(":", 1)[0] for miner in found}
        return seen

    assert vnish(what) == {f"{catalogue.model(model).name} (VNish)" for model in MODELS}


@pytest.mark.parametrize("model_id", MODELS)
def test_pyasic_stops_and_resumes_and_what_it_reads_follows_late(model_id: str) -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address(model_id))
        full_w, full_ths = site.true_w(model_id), site.true_ths(model_id)
        assert await miner.stop_mining()
        await site.wait_s(1.1)
        assert await state(miner) == "shutting-down"
        assert not (await miner.get_data()).is_mining
        assert site.true_w(model_id) > 0.9 * full_w, "the rail is still on"
        await site.wait_s(10)
        data = await miner.get_data()
        assert await state(miner) == "stopped"
        assert site.true_w(model_id) < 0.06 * full_w
        assert data.wattage == 0, "the boards' watts know nothing of fans and control board"
        assert float(data.hashrate) > 0.1 * full_ths, "the socket's average lags"
        assert (await miner.web.summary())["miner"]["hr_realtime"] == 0.0, "the web's does not"
        await site.wait_s(120)
        assert float((await miner.get_data()).hashrate) < 0.01 * full_ths
        assert await miner.resume_mining()
        words = set()
        for _ in range(40):
            await site.wait_s(2)
            words.add(await state(miner))
        assert words == {"starting", "initializing", "mining"}
        assert site.true_w(model_id) == pytest.approx(full_w, rel=0.02)
        await site.wait_s(60)
        data = await miner.get_data()
        assert data.is_mining
        assert float(data.hashrate) == pytest.approx(full_ths, rel=0.08)

    vnish(what)


def test_a_second_stop_and_a_start_while_mining_are_errors_and_change_nothing() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address("s21"))
        with pytest.raises(pyasic.APIError):
            await miner.resume_mining()
        assert await miner.stop_mining()
        await site.wait_s(20)
        with pytest.raises(pyasic.APIError):
            await miner.stop_mining()
        assert await state(miner) == "stopped"

    vnish(what)


def test_an_empty_body_makes_pyasic_raise_although_the_miner_stops() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address("s21"))
        with pytest.raises(pyasic.APIError):
            await miner.stop_mining()
        await site.wait_s(12)
        assert site.true_w("s21") < 200

    vnish(what, empty_mining_body=True)


def test_pyasics_power_limit_asks_for_nothing_and_its_preset_call_does() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address("s19j_pro"))
        full_w = site.true_w("s19j_pro")
        assert not await miner.set_power_limit(2600)  # its config never holds presets: a defect of the client
        assert (await miner.get_data()).wattage_limit == 2970
        assert await miner.web.set_power_limit(2500) == {"restart_required": True, "reboot_required": False}
        await site.wait_s(8)
        assert site.true_w("s19j_pro") < 100, "another preset restarts mining"
        assert await state(miner) == "starting"
        await site.wait_s(90)
        data = await miner.get_data()
        assert data.wattage_limit == 2500
        assert data.uptime < 90
        assert site.true_w("s19j_pro") == pytest.approx(full_w * 2500 / 2970, rel=0.01)
        with pytest.raises(pyasic.APIError):
            await miner.web.set_power_limit(2600)
        assert (await miner.get_data()).wattage_limit == 2500

    vnish(what)


def test_pyasic_switches_the_light_and_reboots_though_it_says_false() -> None:
    async def what(site: Site) -> None:
        address = site.address("s21")
        miner = await pyasic.get_miner(address)
        assert await miner.fault_light_on()
        assert (await miner.web.status())["find_miner"]
        assert await miner.fault_light_off()
        assert not await miner.reboot()  # it looks for "success" where the miner says when
        await site.wait_s(8)
        assert await pyasic.get_miner(address) is None
        await site.wait_s(60)
        again = await pyasic.get_miner(address)
        assert str(again) == str(miner)
        assert (await again.get_data()).uptime < 60
        assert await again.restart_backend()
        await site.wait_s(10)
        assert site.true_w("s21") < 200

    vnish(what)


def test_pyasic_sets_the_pools_and_the_miner_mines_on() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address("s19"))
        full_w = site.true_w("s19")
        config = await miner.get_config()
        assert str(config.pools.groups[0].pools[0].url) == "stratum+tcp://pool-a.example:3333"
        config.pools.groups[0].pools[0].url = "stratum+tcp://other.example:3333"
        await miner.send_config(config)
        await site.wait_s(5)
        assert str((await miner.get_data()).pools[0].url) == "stratum+tcp://other.example:3333"
        again = await miner.get_config()
        assert str(again.pools.groups[0].pools[0].url) == "stratum+tcp://other.example:3333"
        assert site.true_w("s19") == full_w

    vnish(what)


def test_a_token_that_expired_costs_pyasic_one_call() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address("s21"))
        await miner.get_data()
        await site.wait_s(1801)
        with pytest.raises(pyasic.APIError):
            await miner.stop_mining()
        assert site.true_w("s21") > 3000
        assert await miner.stop_mining()

    vnish(what)


def test_the_wrong_password_opens_nothing() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address("s21"))
        miner.web.pwd = "guess"
        with pytest.raises(pyasic.APIError):
            await miner.stop_mining()
        await site.wait_s(30)
        assert site.true_w("s21") > 3000

    vnish(what)


@pytest.mark.parametrize("remains", [False, True])
def test_a_stop_outlives_an_outage_only_where_that_is_set(remains: bool) -> None:
    async def what(site: Site) -> None:
        address, rows = site.address("s21"), site.unit("s21")._row
        async with httpx.AsyncClient(base_url=f"http://{address}/api/v1/") as client:
            token = (await client.post("unlock", content=json.dumps({"pw": "admin"}))).json()["token"]
            headers = {"Authorization": f"Bearer {token}"}
            misc = {"miner": {"misc": {"remain_stopped_on_reboot": remains}}}
            assert (await client.post("mining/stop", headers=headers)).status_code == 200
            await site.wait_s(20)
            assert (await client.post("settings", headers=headers, json=misc)).status_code == 200
        site.fleet.switch_mains(rows, False, site.clock.now())
        await site.wait_s(10)
        assert await pyasic.get_miner(address) is None
        site.fleet.switch_mains(rows, True, site.clock.now())
        await site.wait_s(140)
        miner = await pyasic.get_miner(address)
        assert await state(miner) == ("stopped" if remains else "mining")
        assert (site.true_w("s21") > 3000) is not remains
        if remains:
            assert await miner.resume_mining()
            await site.wait_s(80)
            assert site.true_w("s21") > 3000

    vnish(what)
