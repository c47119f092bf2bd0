"""pyasic, unchanged, in virtual time against ePIC PowerPlay on the real fleet physics."""

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

MODELS = sorted(miners.load("epic").models)


def epic(what: Callable[[Site], Awaitable[Any]], **knobs: Any) -> Any:
    return Site.run(units_of("epic"), what, {"epic": knobs})


@pytest.mark.parametrize("model_id", MODELS)
def test_pyasic_names_the_miner_and_reads_every_field(model_id: str) -> None:
    async def what(site: Site) -> Any:
        miner = await pyasic.get_miner(site.address(model_id))
        return await miner.get_data(), site.true_ths(model_id), site.true_w(model_id)

    data, true_ths, true_w = epic(what)
    model, n = catalogue.model(model_id), MODELS.index(model_id)
    assert (data.make, str(data.model), data.firmware) == ("AntMiner", model.name, "ePIC")
    assert (data.mac, data.hostname, data.fw_ver) == (f"02:5E:10:00:00:{n:02X}", f"rig{n}", "1.30.0")
    assert float(data.hashrate) == pytest.approx(true_ths, rel=0.03)
    assert float(data.expected_hashrate) == pytest.approx(model.nominal_ths, rel=0.02)
    assert data.wattage == pytest.approx(true_w, rel=0.1)
    assert data.wattage != round(true_w), "the firmware does not know the truth"
    assert [board.chips for board in data.hashboards] == [model.chips_per_board] * model.boards
    assert [board.serial_number for board in data.hashboards] == [f"SN{n:06}B{b}" for b in (1, 2, 3)]
    assert all(50 < board.temp < 80 and board.tuned and board.active for board in data.hashboards)
    assert [fan.speed is not None for fan in data.fans] == [True] * 4 + [False] * 8
    assert all(3000 < fan.speed < 7300 for fan in data.fans[:4])
    assert (str(data.pools[0].url), data.pools[0].user) == ("stratum+tcp://pool-a.example:3333", f"farm.rig{n}")
    assert data.pools[0].alive
    assert data.pools[0].accepted > 0
    assert data.uptime > 0
    assert data.is_mining
    assert not data.fault_light
    assert data.errors == []
    assert data.wattage_limit is None, "pyasic has no limit for this firmware"


def test_identification_is_the_same_every_time_and_a_scan_finds_all() -> None:
    async def what(site: Site) -> tuple[set[str], list[str]]:
        seen: set[str] = set()
        for _ in range(10):
            found = await asyncio.gather(*(pyasic.get_miner(site.address(model_id)) for model_id in MODELS))
            seen |= {str(miner) for miner in found}
        scanned = await pyasic.MinerNetwork.from_subnet("127.9.1.0/28").scan()
        return seen, sorted(miner.ip for miner in scanned)

    seen, scanned = epic(what)
    assert seen == {f"{catalogue.model(m).name} (ePIC): 127.9.1.{n + 1}" for n, m in enumerate(MODELS)}
    assert scanned == [f"127.9.1.{n + 1}" for n in range(len(MODELS))]


@pytest.mark.parametrize("model_id", MODELS)
def test_a_stop_is_obeyed_though_pyasic_reads_false_out_of_the_reply(model_id: str) -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address(model_id))
        full_w, began = site.true_w(model_id), site.clock.now()
        assert await miner.stop_mining() is False, "it looks for a key that PowerPlay does not send"
        assert site.clock.now() - began >= 2e9, "the reply comes when it is done"
        assert site.true_w(model_id) < 0.05 * full_w
        data = await miner.get_data()
        assert not data.is_mining
        assert float(data.hashrate) == 0.0
        assert all(board.missing for board in data.hashboards), "an idle miner lists no boards"
        assert data.uptime > 100, "the mining program runs on"
        await site.wait_s(120)
        assert site.true_w(model_id) == pytest.approx(site.unit(model_id).model.sleep_w, rel=0.05)

    epic(what)


def test_a_resume_follows_the_timeline_and_the_reported_rate_lags_behind_it() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address("s21"))
        full_w = site.true_w("s21")
        await miner.stop_mining()
        await site.wait_s(60)
        await miner.resume_mining()
        await site.wait_s(10)
        data = await miner.get_data()
        assert 200 < site.true_w("s21") < 400
        assert data.is_mining, "only Idling counts as stopped"
        assert float(data.hashrate) == 0.0
        await site.wait_s(80)
        assert site.true_w("s21") == pytest.approx(full_w, rel=0.01)
        lagging = float((await miner.get_data()).hashrate)
        assert 0.2 * site.true_ths("s21") < lagging < 0.9 * site.true_ths("s21")
        await site.wait_s(300)
        data = await miner.get_data()
        assert float(data.hashrate) == pytest.approx(site.true_ths("s21"), rel=0.03)
        assert data.wattage == pytest.approx(full_w, rel=0.1)

    epic(what)


@pytest.mark.parametrize("algo", ["voltage_optimizer", "board_tune", "chip_tune"])
def test_a_hash_rate_target_sent_as_configuration_moves_the_power(algo: str) -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address("s19_xp"))
        full_w = site.true_w("s19_xp")
        config = await miner.get_config()
        assert config.mining_mode.hashrate == 140
        config.mining_mode = pyasic.config.MiningModeConfig.hashrate_tuning(
            hashrate=100, algo=getattr(pyasic.config.mining.TunerAlgo, algo)()
        )
        await miner.send_config(config)
        await site.wait_s(60)
        again = await miner.get_config()
        assert (again.mining_mode.hashrate, again.mining_mode.algo.mode) == (100, algo)
        assert site.true_w("s19_xp") == pytest.approx(full_w * (100 / 140) ** 1.3, rel=0.01)
        assert not (await miner.get_data()).hashboards[0].tuned, "the search goes on"
        await site.wait_s(300)
        data = await miner.get_data()
        assert float(data.hashrate) == pytest.approx(100, rel=0.05)
        assert data.hashboards[0].tuned
        assert not await miner.set_power_limit(2000), "pyasic offers none"

    epic(what)


def test_pools_temperatures_and_light_are_written_and_read_back() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address("s19j_pro"))
        config = await miner.get_config()
        config.pools.groups[0].pools[0].url = "stratum+tcp://other.example:3333"
        config.temperature.hot = 80
        await miner.send_config(config)
        data = await miner.get_data()
        assert str(data.pools[0].url) == "stratum+tcp://other.example:3333"
        assert data.config.temperature.hot == 80
        assert site.true_w("s19j_pro") > 2500, "the miner hashes on"
        assert not await miner.fault_light_on(), "pyasic offers no light for this firmware"
        await miner.web.send_command("identify", param=True)
        assert (await miner.get_data()).fault_light

    epic(what)


def test_a_reboot_takes_the_interface_away_and_keeps_the_stop() -> None:
    async def what(site: Site) -> None:
        address = site.address("s21")
        miner = await pyasic.get_miner(address)
        await miner.stop_mining()
        await miner.reboot()
        await site.wait_s(10)
        assert await pyasic.get_miner(address) is None
        await site.wait_s(60)
        again = await pyasic.get_miner(address)
        data = await again.get_data()
        assert data.uptime < 60
        assert not data.is_mining
        assert site.true_w("s21") < 30

    epic(what)


def test_a_soft_reboot_keeps_the_interface_and_restarts_the_session() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address("s21"))
        await miner.restart_backend()
        await site.wait_s(5)
        data = await miner.get_data()
        assert data.uptime == 0
        assert site.true_w("s21") < 100
        await site.wait_s(115)
        assert 90 < (await miner.get_data()).uptime < 130
        assert site.true_w("s21") > 3000

    epic(what)


def test_a_wrong_password_changes_nothing() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address("s21"))
        miner.web.pwd = "guess"
        before_w = site.true_w("s21")
        assert (await miner.web.stop_mining()) == {"result": False, "error": "Bad password"}
        await site.wait_s(30)
        assert site.true_w("s21") == before_w
        assert (await miner.get_data()).is_mining

    epic(what)


def test_a_reply_later_than_five_seconds_is_an_error_to_pyasic_and_the_miner_sleeps_all_the_same() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address("s21"))
        with pytest.raises(pyasic.APIError, match="Failed to send"):
            await miner.stop_mining()
        assert site.true_w("s21") < 100

    epic(what, command_reply_ns=20_000_000_000)


def test_pyasic_cannot_read_a_miner_whose_power_is_held() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address("s21"))
        full_w = site.true_w("s21")
        assert (await miner.web.set_ptune_algo({"algo": "Power", "target": 2500}))["result"]
        with pytest.raises(pyasic.APIError, match="Failed to call hashboards"):
            await miner.get_data()
        await site.wait_s(90)
        assert site.true_w("s21") == pytest.approx(full_w * 2500 / 3500, rel=0.01)

    epic(what)
