"""pyasic, unchanged, in virtual time against Auradine FluxOS on the real fleet physics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
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

MODELS = sorted(miners.load("auradine").models)


def auradine(what: Callable[[Site], Awaitable[Any]], **knobs: Any) -> Any:
    return Site.run(units_of("auradine"), what, {"auradine": knobs})


@pytest.mark.parametrize("model_id", MODELS)
def test_pyasic_names_the_miner_and_reads_every_field(model_id: str) -> None:
    async def what(site: Site) -> Any:
        miner = await pyasic.get_miner(site.address(model_id))
        return await miner.get_data(), await miner.get_config(), site.true_ths(model_id), site.true_w(model_id)

    data, config, true_ths, true_w = auradine(what)
    model, n = catalogue.model(model_id), MODELS.index(model_id)
    assert (data.make, str(data.model), data.firmware) == ("Auradine", model.name, "Stock")
    assert (data.mac, data.hostname, data.fw_ver) == (f"02:5E:10:00:00:{n:02X}", f"rig{n}", "2024-06.11")
    assert float(data.hashrate) == pytest.approx(true_ths, rel=0.5), "the short average scatters by a fifth"
    assert data.wattage == pytest.approx(true_w, rel=0.04)
    assert data.wattage_limit == model.nominal_w
    assert [board.serial_number for board in data.hashboards] == [f"SN{n:06}B{b}" for b in (1, 2, 3)]
    assert all(25 < board.temp < 60 and not board.missing for board in data.hashboards)
    assert [board.expected_chips for board in data.hashboards] == [132 if model_id == "at1500" else None] * 3
    assert all(3000 < fan.speed < 7700 for fan in data.fans)
    assert len(data.fans) == 4
    assert [str(pool.url) for pool in config.pools.groups[0].pools] == [
        f"stratum+tcp://pool-{letter}.example:3333" for letter in "abc"
    ]
    assert data.uptime > 0
    assert data.is_mining
    assert not data.fault_light
    assert (data.errors, data.expected_hashrate, data.pools) == ([], None, []), "what pyasic does not ask for"


def test_identification_is_the_same_every_time_and_a_scan_finds_all() -> None:
    async def what(site: Site) -> tuple[set[str], list[str]]:
        seen: set[str] = set()
        for _ in range(10):
            found = await asyncio.gather(*(pyasic.get_miner(site.address(model_id)) for model_id in MODELS))
            seen |= {str(miner) for miner in found}
        scanned = await pyasic.MinerNetwork.from_subnet("127.9.1.0/29").scan()
        return seen, sorted(miner.ip for miner in scanned)

    seen, scanned = auradine(what)
    assert seen == {"AT1500 (Stock): 127.9.1.1", "AT2880 (Stock): 127.9.1.2"}
    assert scanned == ["127.9.1.1", "127.9.1.2"]


@pytest.mark.parametrize("model_id", MODELS)
def test_a_stop_is_shown_at_once_while_power_and_rate_follow_later(model_id: str) -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address(model_id))
        full_w = site.true_w(model_id)
        assert await miner.stop_mining()
        data = await miner.get_data()
        assert not data.is_mining
        assert site.true_w(model_id) == full_w, "the boards have not heard of it yet"
        await site.wait_s(8)
        assert site.true_w(model_id) < 0.05 * full_w
        data = await miner.get_data()
        assert float(data.hashrate) > 10, "the average lags behind the boards"
        await site.wait_s(200)
        data = await miner.get_data()
        assert float(data.hashrate) == 0.0
        assert data.wattage == pytest.approx(site.unit(model_id).model.sleep_w, rel=0.06)
        assert len(data.fans) == 4
        assert await miner.resume_mining()
        assert (await miner.get_data()).is_mining
        await site.wait_s(10)
        assert site.true_w(model_id) < 0.15 * full_w
        await site.wait_s(110)
        assert site.true_w(model_id) == pytest.approx(full_w, rel=0.01)

    auradine(what)


@pytest.mark.parametrize(("model_id", "limit_w"), [("at1500", 1800), ("at2880", 3000)])
def test_a_power_limit_is_held_and_read_back(model_id: str, limit_w: int) -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address(model_id))
        nominal_w, full_w = site.unit(model_id).model.nominal_w, site.true_w(model_id)
        assert await miner.set_power_limit(limit_w)
        assert (await miner.get_data()).wattage_limit == limit_w
        await site.wait_s(90)
        assert site.true_w(model_id) == pytest.approx(full_w * limit_w / nominal_w, rel=0.01)
        assert not await miner.set_power_limit(300), "below what the machine can do"
        assert (await miner.get_data()).wattage_limit == limit_w

    auradine(what)


@pytest.mark.parametrize(("config", "share"), [("low", 0.75), ("high", 1.2), ("normal", 1.0), ("sleep", 0.02)])
def test_the_named_modes_sent_as_configuration_move_the_power(config: str, share: float) -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address("at1500"))
        full_w, conf = site.true_w("at1500"), await miner.get_config()
        conf.mining_mode = getattr(pyasic.config.MiningModeConfig, config)()
        conf.pools.groups[0].pools[0].url = "stratum+tcp://other.example:3333"
        await miner.send_config(conf)
        await site.wait_s(200)
        assert site.true_w("at1500") == pytest.approx(full_w * share, rel=0.02, abs=10)
        again = await miner.get_config()
        assert again.mining_mode.mode == config
        assert again.pools.groups[0].pools[0].url == "stratum+tcp://other.example:3333"

    auradine(what)


def test_light_reboot_and_restart_of_gcminer() -> None:
    async def what(site: Site) -> None:
        address = site.address("at2880")
        miner = await pyasic.get_miner(address)
        assert await miner.fault_light_on()
        assert (await miner.get_data()).fault_light
        assert await miner.fault_light_off()
        assert not (await miner.get_data()).fault_light
        assert await miner.restart_backend()
        await site.wait_s(20)
        assert (await miner.get_data()).uptime < 20
        assert site.true_w("at2880") < 500
        await site.wait_s(100)
        assert await miner.reboot()
        await site.wait_s(10)
        assert await pyasic.get_miner(address) is None
        await site.wait_s(60)
        again = await pyasic.get_miner(address)
        assert (await again.get_data()).uptime < 60

    auradine(what)


@pytest.mark.parametrize("token_status", [401, 200])
def test_an_expired_token_fails_one_call_and_the_next_has_a_new_one(token_status: int) -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address("at1500"))
        full_w = site.true_w("at1500")
        assert await miner.fault_light_on()
        await site.wait_s(3601)
        assert not await miner.stop_mining(), "pyasic fetches a new token and gives up"
        await site.wait_s(30)
        assert site.true_w("at1500") == full_w
        assert await miner.stop_mining()
        await site.wait_s(30)
        assert site.true_w("at1500") < 200

    auradine(what, token_status=token_status)


def test_a_wrong_password_gets_no_token_and_changes_nothing() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address("at1500"))
        miner.web.pwd = "guess"
        before_w = site.true_w("at1500")
        assert not await miner.stop_mining()
        assert not await miner.fault_light_on()
        await site.wait_s(30)
        assert site.true_w("at1500") == before_w

    auradine(what)
