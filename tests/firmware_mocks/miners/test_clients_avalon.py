"""pyasic, unchanged, in virtual time against the Avalon face on the real fleet physics."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from emulator import catalogue
from emulator.wire import SECOND
from tests.clients.site import Site as AnySite
from tests.clients.site import units_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
pyasic = pytest.importorskip("pyasic", reason="pyasic is not installed", exc_type=ImportError)

MODELS = ("a1246", "a1466", "a1566")
A1466, A1566 = "a1466", "a1566"


class Site(AnySite):
    """One Avalon of each model."""

    async def say(self, model_id: str, text: str | dict[str, Any]) -> str:
        """A raw request, as a shell would send it."""
        reader, writer = await asyncio.open_connection(self.address(model_id), 4028)
        writer.write((text if isinstance(text, str) else json.dumps(text)).encode())
        said = await reader.read()
        writer.close()
        return said.decode()


def on_site(what: Callable[[Site], Awaitable[Any]], **knobs: Any) -> Any:
    return Site.run(units_of("avalon"), what, {"avalon": knobs})


@pytest.mark.parametrize("model_id", ["a1246", "a1566"])
def test_pyasic_names_an_avalon_it_knows_and_reads_it(model_id: str) -> None:
    async def what(site: Site) -> Any:
        miner = await pyasic.get_miner(site.address(model_id))
        return await miner.get_data(), site.true_ths(model_id), site.true_w(model_id)

    data, true_ths, true_w = on_site(what)
    model = catalogue.model(model_id)
    assert (data.make, str(data.model), data.fw_ver) == ("AvalonMiner", f"Avalon {model.name[1:]}", "4.11.1")
    assert float(data.hashrate) == pytest.approx(true_ths, rel=0.05)
    assert float(data.expected_hashrate) == pytest.approx(model.nominal_ths, rel=0.03)
    assert [board.chips for board in data.hashboards] == [model.chips_per_board] * model.boards
    assert sum(float(board.hashrate) for board in data.hashboards) == pytest.approx(float(data.hashrate))
    assert all(40 < board.inlet_temp < board.temp < 95 for board in data.hashboards)
    assert not any(board.missing for board in data.hashboards)
    assert data.env_temp == 25
    assert len(data.fans) == model.fans
    assert all(1000 < fan.speed < 8000 for fan in data.fans)
    assert data.mac == f"02:5E:10:00:00:{MODELS.index(model_id):02X}"
    assert data.api_ver == "3.7"
    assert data.uptime > 0
    assert len(data.pools) == 3
    assert data.pools[0].alive
    assert data.pools[0].active
    assert not data.fault_light
    assert data.wattage_limit == pytest.approx(0.93 * model.nominal_w, rel=0.03), "the limit it shows is DC"
    if model_id == "a1566":
        assert data.wattage == pytest.approx(true_w, rel=0.08)
    else:
        assert data.wattage is None, "an A12 has no WALLPOWER, and the client looks nowhere else"


def test_pyasic_does_not_know_an_a1466() -> None:
    async def what(site: Site) -> Any:
        miner = await pyasic.get_miner(site.address(A1466))
        return miner, await miner.get_data()

    miner, data = on_site(what)
    assert type(miner).__name__ == "AvalonUnknown"
    assert data.make == "AvalonMiner"
    assert data.hashboards == []


def test_identification_is_the_same_every_time_of_twenty_five() -> None:
    async def what(site: Site) -> set[str]:
        seen = set()
        for _ in range(25):
            seen |= {str(await pyasic.get_miner(site.address(model_id))) for model_id in ("a1246", "a1566")}
        return {text.rsplit(":", 1)[0] for text in seen}

    assert sorted(on_site(what)) == ["Avalon 1246 (Stock)", "Avalon 1566 (Stock)"]


def test_pyasic_stops_an_avalon_at_the_planned_second_whatever_it_makes_of_the_reply() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address(A1566))
        full_w = site.true_w(A1566)
        assert not await miner.stop_mining(), "it looks for a word that A models do not say"
        await site.wait_s(4)
        assert site.true_w(A1566) == full_w, "the stop is planned 5 s ahead"
        await site.wait_s(6)
        assert site.true_w(A1566) < 60
        await site.wait_s(10)
        data = await miner.get_data()
        assert data.wattage < 40
        assert float(data.hashrate) > 0.9 * 185, "the boards' rate is the mean since the start"
        assert [fan.speed for fan in data.fans] == [0, 0]
        assert data.is_mining, "it says so of every Avalon"
        with pytest.raises(pyasic.APIError):
            await miner.rpc.ascset(0, "softon", f"1:{int(site.clock.wall().timestamp()) + 5}")
        await site.wait_s(40)
        assert 100 < site.true_w(A1566) < 500
        await site.wait_s(75)
        assert site.true_w(A1566) == pytest.approx(full_w, rel=0.01)

    on_site(what)


def test_pyasic_believes_firmware_that_answers_in_words() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address(A1566))
        full_w = site.true_w(A1566)
        assert await miner.stop_mining()
        await site.wait_s(12)
        assert site.true_w(A1566) < 60
        assert await miner.resume_mining()
        await site.wait_s(130)
        assert site.true_w(A1566) == pytest.approx(full_w, rel=0.01)

    on_site(what, softoff_reply="info", softon_reply="info")


def test_what_is_read_back_after_a_stop_falls_at_different_speeds() -> None:
    async def what(site: Site) -> list[tuple[float, float, float, float]]:
        await site.say(A1566, "ascset|0,softoff")
        seen = []
        for after_s in (5, 60, 180, 1800):
            await site.clock.sleep_until(after_s * SECOND)
            devs = json.loads((await site.say(A1566, {"command": "devs"}))[:-1])["DEVS"][0]
            mm = json.loads((await site.say(A1566, {"command": "litestats"}))[:-1])["STATS"][0]["MM ID0"]
            spd = float(mm.partition("GHSspd[")[2].partition("]")[0]) * 1e3
            assert "Work: In Idle" in mm
            assert "SoftOFF[1]" in mm
            seen.append(tuple(rate / 185e6 for rate in (spd, devs["MHS 30s"], devs["MHS 15m"], devs["MHS av"])))
        return seen

    (spd5, s5, m5, _), (spd60, s60, m60, _), (_, s180, m180, _), (_, s1800, m1800, av1800) = on_site(what)
    assert 0 < spd5 < 0.85
    assert spd60 == 0.0
    assert 0.8 < s5 < 1.1
    assert 0.1 < s60 < 0.3
    assert s180 < 0.01
    assert m5 > 0.95
    assert 0.9 < m60 < 1.0
    assert 0.75 < m180 < 0.9
    assert m1800 < 0.2
    assert s1800 == 0.0
    assert av1800 > 0.5, "the mean since the start hardly moves"


def test_pyasic_sets_a_level_where_it_says_limit() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address(A1566))
        full_w = site.true_w(A1566)
        assert await miner.set_power_limit(2500)
        await site.wait_s(60)
        assert site.true_w(A1566) == pytest.approx(1.10 * full_w, rel=0.01), "any wattage above 100 is level 2"
        assert await miner.set_power_limit(90)
        await site.wait_s(60)
        assert site.true_w(A1566) == pytest.approx(1.05 * full_w, rel=0.01), "81 to 100 is level 1"
        assert not await miner.set_power_limit(50), "level 0 it leaves out of the command"
        old = await pyasic.get_miner(site.address("a1246"))
        assert not await old.set_power_limit(2500), "an A12 has no levels"

    on_site(what)


def test_a_work_mode_waits_for_the_reboot() -> None:
    async def what(site: Site) -> None:
        full_w, full_ths = site.true_w(A1566), site.true_ths(A1566)
        assert "WORKMODE[0] success" in await site.say(A1566, "ascset|0,workmode,0")
        await site.wait_s(60)
        assert site.true_w(A1566) == full_w
        assert await site.say(A1566, "ascset|0,reboot,0") == ""
        await site.wait_s(2)
        with pytest.raises(ConnectionRefusedError):
            await site.say(A1566, "version")
        await site.wait_s(180)
        assert site.true_w(A1566) == pytest.approx(0.81 * full_w, rel=0.01)
        assert site.true_ths(A1566) == pytest.approx(0.82 * full_ths, rel=0.01)
        data = await (await pyasic.get_miner(site.address(A1566))).get_data()
        assert float(data.expected_hashrate) == pytest.approx(0.82 * 185, rel=0.03)
        assert data.uptime < 180

    on_site(what)


def test_a_work_mode_set_before_a_power_cut_rules_after_it() -> None:
    async def what(site: Site) -> None:
        full_w, rows = site.true_w(A1566), site.unit(A1566)._row
        await site.say(A1566, "ascset|0,workmode,0")
        site.fleet.switch_mains(rows, False, site.clock.now())
        await site.wait_s(10)
        assert await pyasic.get_miner(site.address(A1566)) is None
        site.fleet.switch_mains(rows, True, site.clock.now())
        await site.wait_s(60)
        assert "WORKMODE[0]" in await site.say(A1566, "litestats")
        await site.wait_s(120)
        assert site.true_w(A1566) == pytest.approx(0.81 * full_w, rel=0.01)

    on_site(what)


def test_a_reboot_wakes_what_was_switched_off() -> None:
    async def what(site: Site) -> None:
        full_w = site.true_w(A1466)
        assert "ASC 0 set OK" in await site.say(A1466, "ascset|0,softoff")
        await site.wait_s(20)
        assert site.true_w(A1466) < 35
        await site.say(A1466, "ascset|0,reboot,0")
        await site.wait_s(150)
        assert "SoftOFF[0]" in await site.say(A1466, "litestats")
        assert site.true_w(A1466) == pytest.approx(full_w, rel=0.01)

    on_site(what)


def test_pyasic_switches_the_light_and_restarts() -> None:
    async def what(site: Site) -> None:
        address = site.address(A1566)
        miner = await pyasic.get_miner(address)
        assert await miner.fault_light_on()
        assert (await (await pyasic.get_miner(address)).get_data()).fault_light
        assert await miner.fault_light_off()
        assert not (await (await pyasic.get_miner(address)).get_data()).fault_light
        assert await miner.reboot()
        await site.wait_s(3)
        assert await pyasic.get_miner(address) is None
        await site.wait_s(20)
        again = await pyasic.get_miner(address)
        assert str(again) == str(miner)
        assert (await again.get_data()).uptime < 20

    on_site(what)


def test_pools_are_in_use_after_the_reboot_and_the_client_sees_them_then() -> None:
    async def what(site: Site) -> None:
        new = "stratum+tcp://other.example:3333"
        said = await site.say(A1566, f"ascset|0,setpool,root,root,0,{new},farm.a,x")
        assert "success" in said
        assert "Auth Failed" in await site.say(A1566, f"ascset|0,setpool,root,guess,1,{new},farm.a,x")
        miner = await pyasic.get_miner(site.address(A1566))
        assert str((await miner.get_data()).pools[0].url) == "stratum+tcp://pool-a.example:3333"
        await site.say(A1566, "ascset|0,reboot,0")
        await site.wait_s(60)
        pools = (await miner.get_data()).pools
        assert [str(pool.url) for pool in pools] == [
            new, "stratum+tcp://pool-b.example:3333", "stratum+tcp://pool-c.example:3333",
        ]  # fmt: skip
        assert pools[0].user == "farm.a"

    on_site(what)


def test_a_clock_that_is_ahead_stops_the_miner_early() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address(A1566))
        await miner.stop_mining()
        await site.wait_s(4)
        assert site.true_w(A1566) < 0.05 * 3420

    on_site(what, clock_skew_ns=60 * SECOND)


def test_a_silent_caller_keeps_everybody_waiting_until_he_goes() -> None:
    async def what(site: Site) -> None:
        address = site.address(A1566)
        _, silent = await asyncio.open_connection(address, 4028)
        asked = asyncio.create_task(site.say(A1566, "version"))
        also = asyncio.create_task(site.say(A1566, "summary"))
        await site.wait_s(2)
        assert not asked.done()
        silent.close()
        await site.wait_s(0.1)
        assert "VERSION" in await asked
        assert "SUMMARY" in await also
        _, silent = await asyncio.open_connection(address, 4028)
        began = site.clock.now()
        assert "VERSION" in await site.say(A1566, "version")
        assert 59 < (site.clock.now() - began) / SECOND < 61, "until the bench gives the silent one up"
        silent.close()

    on_site(what)


def test_pyasic_fails_where_all_but_one_caller_are_reset() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address(A1566))
        said = await asyncio.gather(*(miner.rpc.summary() for _ in range(5)), return_exceptions=True)
        assert sum(isinstance(reply, Exception) for reply in said) == 4
        assert "SUMMARY" in await miner.rpc.summary()

    on_site(what, when_busy="reset")
