"""pyasic and a plain HTTP client, unchanged, in virtual time against the Bitaxe face on the real fleet physics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from emulator import catalogue
from tests.clients.site import Site as AnySite
from tests.clients.site import units_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
pyasic = pytest.importorskip("pyasic", reason="pyasic is not installed", exc_type=ImportError)

MODELS = ("bitaxe_gamma", "bitaxe_max", "bitaxe_supra", "bitaxe_ultra")
BUILDS = ("2.9.0", "2.12.2", "2.14.2")
GAMMA, MAX = "bitaxe_gamma", "bitaxe_max"


class Site(AnySite):
    """One Bitaxe of each model."""

    async def call(self, method: str, path: str, json: Any = None, model_id: str = GAMMA) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.request(method, f"http://{self.address(model_id)}/api/system{path}", json=json)

    async def info(self, model_id: str = GAMMA) -> dict[str, Any]:
        found: dict[str, Any] = (await self.call("GET", "/info", model_id=model_id)).json()
        return found


def on_site(what: Callable[[Site], Awaitable[Any]], **knobs: Any) -> Any:
    return Site.run(units_of("bitaxe"), what, {"bitaxe": knobs})


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("model_id", MODELS)
def test_pyasic_names_a_bitaxe_and_reads_it(model_id: str, build: str) -> None:
    async def what(site: Site) -> Any:
        miner = await pyasic.get_miner(site.address(model_id))
        return await miner.get_data(), site.true_ths(model_id), site.true_w(model_id)

    data, true_ths, true_w = on_site(what, build=build)
    model = catalogue.model(model_id)
    assert (data.make, str(data.model)) == ("BitAxe", model.name)
    assert data.fw_ver == data.api_ver == f"v{build}"
    noise = 0.35 if build == "2.9.0" else 0.03
    assert float(data.hashrate) == pytest.approx(true_ths, rel=noise)
    assert float(data.expected_hashrate) == pytest.approx(model.nominal_ths, rel=0.002)
    assert data.wattage == pytest.approx(true_w, abs=1.6)
    assert data.wattage < 25
    (hashboard,) = data.hashboards
    assert (hashboard.chips, hashboard.expected_chips, hashboard.missing) == (1, 1, False)
    assert 50 < hashboard.chip_temp < 75
    assert hashboard.voltage == pytest.approx(5050, abs=60)
    (fan,) = data.fans
    assert 4000 < fan.speed < 9200
    assert data.mac == f"02:5E:10:00:00:{MODELS.index(model_id):02X}"
    assert data.hostname == f"rig{MODELS.index(model_id)}"
    assert data.uptime > 0
    assert data.is_mining


def test_identification_is_the_same_every_time_of_twenty_five() -> None:
    async def what(site: Site) -> set[str]:
        seen = set()
        for _ in range(25):
            found = await asyncio.gather(*(pyasic.get_miner(site.address(model_id)) for model_id in MODELS))
            seen |= {str(miner).rsplit(":", 1)[0] for miner in found}
        return seen

    assert sorted(on_site(what)) == ["Gamma (Stock)", "Max (Stock)", "Supra (Stock)", "Ultra (Stock)"]


def test_a_scan_of_the_subnet_finds_every_bitaxe_and_nothing_else() -> None:
    async def what(site: Site) -> list[str]:
        return sorted(miner.ip for miner in await pyasic.MinerNetwork.from_subnet("127.9.1.0/28").scan())

    assert on_site(what) == [f"127.9.1.{n}" for n in range(1, len(MODELS) + 1)]


def test_pyasic_reboots_a_build_that_answers_in_json_and_stumbles_over_plain_text() -> None:
    async def what(site: Site) -> bool:
        miner = await pyasic.get_miner(site.address(GAMMA))
        full_w = site.true_w(GAMMA)
        try:
            believed = bool(await miner.reboot())
        except pyasic.APIError:
            believed = False
        await site.wait_s(3)
        assert site.true_w(GAMMA) < 3, "it restarts all the same"
        assert await pyasic.get_miner(site.address(GAMMA)) is None
        await site.wait_s(27)
        again = await pyasic.get_miner(site.address(GAMMA))
        assert (await again.get_data()).uptime < 25
        assert site.true_w(GAMMA) == pytest.approx(full_w, rel=0.01)
        return believed

    assert on_site(what) is True
    assert on_site(what, build="2.12.2") is False


def test_pyasic_writes_the_pool_and_takes_the_empty_answer_for_a_failure() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address(GAMMA))
        config = await miner.get_config()
        assert [str(pool.url) for pool in config.pools.groups[0].pools] == ["stratum+tcp://pool-a.example:3333"]
        config.pools.groups[0].pools[0].url = "stratum+tcp://other.example:3334"
        with pytest.raises(pyasic.APIError):
            await miner.send_config(config)
        info = await site.info()
        written = (info["stratumURL"], info["stratumPort"])
        assert written == ("stratum+tcp://other.example:3334", 3333), "it writes the whole URL where the host belongs"

    on_site(what)


def test_a_paused_bitaxe_winds_down_and_what_it_shows_says_half_of_it() -> None:
    async def what(site: Site) -> None:
        full_w, before = site.true_w(GAMMA), await site.info()
        reply = await site.call("POST", "/pause")
        assert (reply.status_code, reply.json()) == (200, {"message": "Mining paused"})
        await site.wait_s(3)
        assert 0.4 * full_w < site.true_w(GAMMA) < 0.8 * full_w, "the clock goes down by 62.5 MHz a second"
        assert 100 < (await site.info())["actualFrequency"] < 450
        await site.wait_s(7)
        after = await site.info()
        assert site.true_w(GAMMA) == pytest.approx(2.0)
        assert after["power"] == 5.0, "the constant that stands for the rest of the board"
        assert (after["hashRate"], after["miningPaused"], after["expectedHashrate"]) == (0.0, True, 0.0)
        assert (after["temp"], after["fanspeed"], after["coreVoltageActual"]) == (-1, 30, 0)
        assert after["hashRate_1m"] > 0.8 * before["hashRate_1m"], "averages stand still, they do not fall"
        await site.wait_s(3600)
        much_later = await site.info()
        assert much_later["hashRate_1m"] == after["hashRate_1m"]
        assert much_later["hashRate_1h"] == after["hashRate_1h"]
        assert much_later["uptimeSeconds"] > 3600
        miner = await pyasic.get_miner(site.address(GAMMA))
        data = await miner.get_data()
        assert (float(data.hashrate), data.wattage, data.is_mining) == (0.0, 5, True)
        assert (await site.call("POST", "/resume")).json() == {"message": "Mining resumed"}
        await site.wait_s(6)
        assert 2 < site.true_w(GAMMA) < 0.5 * full_w
        assert site.true_ths(GAMMA) == 0.0
        await site.wait_s(6)
        assert site.true_w(GAMMA) == pytest.approx(full_w, rel=0.01)
        await site.wait_s(60)
        assert (await site.info())["hashRate"] == pytest.approx(before["hashRate"], rel=0.03)

    on_site(what)


def test_a_board_that_measures_its_input_tells_the_truth_while_paused() -> None:
    async def what(site: Site) -> None:
        await site.call("POST", "/pause", model_id=MAX)
        await site.wait_s(10)
        info = await site.info(MAX)
        assert info["power"] == pytest.approx(2.0, abs=0.1)
        assert info["vrTemp"] == 0

    on_site(what)


def test_a_resume_during_the_wind_down_waits_for_its_end() -> None:
    async def what(site: Site) -> None:
        full_w = site.true_w(GAMMA)
        await site.call("POST", "/pause")
        await site.wait_s(1)
        await site.call("POST", "/resume")
        await site.wait_s(6.5)
        assert site.true_w(GAMMA) == pytest.approx(2.0)
        assert (await site.info())["miningPaused"] is False
        await site.wait_s(11)
        assert site.true_w(GAMMA) == pytest.approx(full_w, rel=0.01)

    on_site(what)


def test_a_pause_is_forgotten_by_a_restart_and_by_a_power_cut() -> None:
    async def what(site: Site) -> None:
        full_w, rows = site.true_w(GAMMA), site.unit(GAMMA)._row
        for how in ("restart", "cut"):
            await site.call("POST", "/pause")
            await site.wait_s(20)
            assert site.true_w(GAMMA) < 3
            if how == "restart":
                await site.call("POST", "/restart")
            else:
                site.fleet.switch_mains(rows, False, site.clock.now())
                await site.wait_s(5)
                site.fleet.switch_mains(rows, True, site.clock.now())
            await site.wait_s(35)
            info = await site.info()
            assert info["miningPaused"] is False
            assert info["resetReason"].startswith("Software" if how == "restart" else "Reset due to power-on")
            assert site.true_w(GAMMA) == pytest.approx(full_w, rel=0.01)

    on_site(what)


def test_clock_and_voltage_move_watts_by_f_times_v_squared_and_the_rate_by_f() -> None:
    async def what(site: Site) -> None:
        full_w, full_ths = site.true_w(GAMMA), site.true_ths(GAMMA)
        reply = await site.call("PATCH", "", {"frequency": 400, "coreVoltage": 1060})
        assert (reply.status_code, reply.content) == (200, b"")
        await site.wait_s(5)
        share, volts = 400 / 525, 1.06 / 1.15
        assert site.true_ths(GAMMA) == pytest.approx(share * full_ths)
        assert site.true_w(GAMMA) / full_w == pytest.approx(2 / 19 + 17 / 19 * share * volts**2)
        await site.wait_s(120)
        info = await site.info()
        assert (info["frequency"], info["coreVoltage"]) == (400, 1060)
        assert info["hashRate_1m"] == pytest.approx(1000 * site.true_ths(GAMMA), rel=0.01)
        assert info["power"] == pytest.approx(site.true_w(GAMMA), abs=1.6)
        assert (await site.call("PATCH", "", {"frequency": "400", "hostname": "x"})).text == "Wrong API input"
        assert (await site.info())["hostname"] == "rig0", "all or nothing"

    on_site(what)


def test_settings_outlive_everything_and_are_obeyed_after_a_restart() -> None:
    async def what(site: Site) -> None:
        await site.call("POST", "/pause")
        await site.wait_s(15)
        await site.call("PATCH", "", {"frequency": 400})
        await site.wait_s(5)
        assert site.true_w(GAMMA) == pytest.approx(2.0)
        await site.call("POST", "/restart")
        await site.wait_s(35)
        assert (await site.info())["frequency"] == 400
        assert site.true_ths(GAMMA) == pytest.approx(1.071 * 400 / 525, rel=0.04)

    on_site(what)


def test_the_twenty_first_connection_costs_the_one_that_was_quiet_longest_its_place() -> None:
    async def what(site: Site) -> None:
        async def get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
            writer.write(b"GET /api/system/asic HTTP/1.1\r\nHost: m\r\n\r\n")
            return await reader.readuntil(b"}")

        held = [await asyncio.open_connection(site.address(GAMMA), 80) for _ in range(20)]
        assert b"BM1370" in await get(*held[0])
        assert b"BM1370" in (await site.call("GET", "/asic")).content
        assert await held[1][0].read() == b"", "the second: the first has just been used"
        assert b"BM1370" in await get(*held[0])
        assert site.network.live(site.address(GAMMA)) == 19
        await site.wait_s(600)
        assert b"BM1370" in await get(*held[2]), "no connection is closed for being idle"
        for _, writer in held:
            writer.close()

    on_site(what)


def test_an_old_build_keeps_the_eleventh_waiting_until_somebody_goes() -> None:
    async def what(site: Site) -> None:
        held = [await asyncio.open_connection(site.address(GAMMA), 80) for _ in range(10)]
        asked = asyncio.create_task(site.call("GET", "/asic"))
        await site.wait_s(4)
        assert not asked.done()
        held[3][1].close()
        await site.wait_s(0.5)
        assert (await asked).json()["ASICModel"] == "BM1370"
        for _, writer in held:
            writer.close()

    on_site(what, build="2.9.0")
