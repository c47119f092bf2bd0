"""Clients that others wrote, unchanged, in virtual time against the faces on the real fleet physics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from emulator import catalogue
from emulator.wire import SECOND
from tests.clients.site import Site, units_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
pyasic = pytest.importorskip("pyasic", reason="pyasic is not installed", exc_type=ImportError)
luxos = pytest.importorskip("luxos.asyncops", reason="luxos is not installed", exc_type=ImportError)

UNITS = units_of("antminer-stock", "luxos")
SHOWN = {"antminer-stock": "Stock", "luxos": "LuxOS"}


def on_site(what: Callable[[Site], Awaitable[Any]], **knobs: Any) -> Any:
    """Run `what` in virtual time; `knobs` go to the stock firmware."""
    return Site.run(UNITS, what, {"antminer-stock": knobs})


@pytest.mark.parametrize(("firmware", "model_id"), UNITS)
def test_pyasic_names_the_miner_and_reads_it(firmware: str, model_id: str) -> None:
    async def what(site: Site) -> Any:
        miner = await pyasic.get_miner(site.address((firmware, model_id)))
        return await miner.get_data(), site.unit((firmware, model_id)).hash_ths(site.clock.now())

    data, true_ths = on_site(what)
    model = catalogue.model(model_id)
    assert (data.make, data.firmware) == ("AntMiner", SHOWN[firmware])
    assert str(data.model).lower() == model.name.lower(), "pyasic spells S19K Pro under stock, S19k Pro elsewhere"
    assert float(data.hashrate) == pytest.approx(true_ths, rel=0.08)
    assert float(data.expected_hashrate) == pytest.approx(model.nominal_ths)
    assert [board.chips for board in data.hashboards] == [model.chips_per_board] * model.boards
    assert not any(board.missing for board in data.hashboards)
    assert all(25 < board.temp < board.chip_temp < 95 for board in data.hashboards)
    assert len(data.fans) == model.fans
    assert all(1000 < fan.speed < 8000 for fan in data.fans)
    assert data.pools[0].alive
    assert data.pools[0].active
    assert data.is_mining
    assert data.uptime > 0
    assert data.errors == []
    if firmware == "luxos":
        assert data.wattage == pytest.approx(model.nominal_w, rel=0.15)
        assert data.wattage_limit == model.nominal_w
    else:
        assert data.wattage is None
        assert data.mac == f"02:5E:10:00:00:{UNITS.index((firmware, model_id)):02X}"
        assert data.serial_number == f"SN{UNITS.index((firmware, model_id)):06}"


def test_identification_is_the_same_every_time_of_twenty_five() -> None:
    async def what(site: Site) -> set[tuple[int, str]]:
        seen = set()
        for _ in range(25):
            found = await asyncio.gather(*(pyasic.get_miner(site.address(unit)) for unit in UNITS))
            seen |= {(n, str(miner).rsplit(":", 1)[0].lower()) for n, miner in enumerate(found)}
        return seen

    named = [f"{catalogue.model(model_id).name} ({SHOWN[firmware]})" for firmware, model_id in UNITS]
    assert sorted(on_site(what)) == list(enumerate(name.lower() for name in named))


def test_a_scan_of_the_subnet_finds_every_miner_and_nothing_else() -> None:
    async def what(site: Site) -> list[str]:
        found = await pyasic.MinerNetwork.from_subnet("127.9.1.0/28").scan()
        return sorted(miner.ip for miner in found)

    assert on_site(what) == sorted(f"127.9.1.{n}" for n in range(1, len(UNITS) + 1))


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit[0] == "antminer-stock"])
def test_pyasic_stops_and_resumes_stock_through_a_process_restart(unit: tuple[str, str]) -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address(unit))
        full_w = site.true_w(unit)
        assert await miner.stop_mining()
        await site.wait_s(30)
        data = await miner.get_data()
        assert site.true_w(unit) < 0.05 * full_w
        assert float(data.hashrate) == 0.0
        assert not data.is_mining
        assert data.uptime < 30
        assert len(data.fans) == 4
        await site.wait_s(170)
        assert await miner.resume_mining()
        await site.wait_s(90)
        assert site.true_w(unit) < 0.2 * full_w
        assert float((await miner.get_data()).hashrate) == 0.0
        await site.wait_s(60)
        assert site.true_w(unit) > 0.9 * full_w
        await site.wait_s(180)
        data = await miner.get_data()
        assert float(data.hashrate) == pytest.approx(site.unit(unit).hash_ths(site.clock.now()), rel=0.08)
        assert data.is_mining

    on_site(what)


def test_pyasic_gives_up_waiting_for_a_slow_stock_reply_and_the_miner_sleeps_all_the_same() -> None:
    async def what(site: Site) -> None:
        unit = ("antminer-stock", "s19j_pro")
        miner = await pyasic.get_miner(site.address(unit))
        began = site.clock.now()
        assert await miner.stop_mining()
        assert 4 < (site.clock.now() - began) / SECOND < 7
        assert site.true_w(unit) > 1000
        await site.wait_s(40)
        assert site.true_w(unit) < 200

    on_site(what, set_conf_reply_ns=21 * SECOND)


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit[0] == "luxos"])
def test_pyasic_stops_and_resumes_luxos(unit: tuple[str, str]) -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address(unit))
        full_w = site.true_w(unit)
        assert await miner.stop_mining()
        await site.wait_s(6)
        assert site.true_w(unit) < 30
        data = await miner.get_data()
        assert data.wattage < 40
        assert 0 < float(data.hashrate) < site.unit(unit).model.nominal_ths, "the average lags behind the boards"
        await site.wait_s(34)
        assert await miner.resume_mining()
        await site.wait_s(100)
        assert site.true_w(unit) == pytest.approx(full_w, rel=0.02)
        data = await miner.get_data()
        assert float(data.hashrate) == pytest.approx(site.unit(unit).hash_ths(site.clock.now()), rel=0.15)

    on_site(what)


def test_pyasic_cannot_resume_luxos_with_a_session_it_let_expire() -> None:
    async def what(site: Site) -> None:
        address = site.address(("luxos", "s21"))
        miner = await pyasic.get_miner(address)
        assert await miner.stop_mining()
        await site.wait_s(61)
        assert not await miner.resume_mining()
        assert await (await pyasic.get_miner(address)).resume_mining()

    on_site(what)


def test_pyasic_limits_power_on_luxos_by_the_best_profile_below() -> None:
    async def what(site: Site) -> None:
        unit = ("luxos", "s21")
        miner = await pyasic.get_miner(site.address(unit))
        full_w = site.true_w(unit)
        assert await miner.set_power_limit(2600)
        await site.wait_s(60)
        data = await miner.get_data()
        assert 2400 < data.wattage_limit <= 2600
        assert site.true_w(unit) == pytest.approx(full_w * data.wattage_limit / 3500, rel=0.01)

    on_site(what)


@pytest.mark.parametrize("unit", [("antminer-stock", "s21"), ("luxos", "s21")])
def test_pyasic_switches_the_light_and_reboots(unit: tuple[str, str]) -> None:
    async def what(site: Site) -> None:
        address = site.address(unit)
        miner = await pyasic.get_miner(address)
        assert await miner.fault_light_on()
        assert (await miner.get_data()).fault_light
        assert await miner.fault_light_off() in (False, True)
        assert await miner.reboot()
        await site.wait_s(10)
        assert await pyasic.get_miner(address) is None
        await site.wait_s(60)
        again = await pyasic.get_miner(address)
        assert str(again) == str(miner)
        assert (await again.get_data()).uptime < 60

    on_site(what)


def test_pyasic_sets_the_pools_of_stock_and_the_miner_mines_on() -> None:
    async def what(site: Site) -> None:
        unit = ("antminer-stock", "s19j_pro")
        miner = await pyasic.get_miner(site.address(unit))
        config = await miner.get_config()
        config.pools.groups[0].pools[0].url = "stratum+tcp://other.example:3333"
        await miner.send_config(config)
        await site.wait_s(10)
        assert str((await miner.get_data()).pools[0].url) == "stratum+tcp://other.example:3333"
        assert site.true_w(unit) > 2500

    on_site(what)


def test_the_vendors_library_curtails_and_wakes() -> None:
    async def what(site: Site) -> None:
        unit = ("luxos", "s19k_pro")
        address, full_w = site.address(unit), site.true_w(unit)
        asleep = await luxos.rexec(address, 4028, "curtail", ["sleep"])
        assert luxos.validate(asleep, "CURTAIL", 1, 1)["Action"] == "sleep mode"
        await site.wait_s(6)
        assert site.true_w(unit) == pytest.approx(25, abs=2)
        config = luxos.validate(await luxos.rexec(address, 4028, "config"), "CONFIG", 1, 1)
        assert config["CurtailMode"] == "Sleep"
        await luxos.rexec(address, 4028, "curtail", ["wakeup", "mode=unsafe"])
        await site.wait_s(12)
        assert site.true_w(unit) == pytest.approx(full_w, rel=0.02)
        assert len(luxos.validate(await luxos.rexec(address, 4028, "profiles"), "PROFILES", 1, None)) == 25

    on_site(what)


def test_two_controllers_collide_on_the_one_session() -> None:
    async def what(site: Site) -> None:
        address = site.address(("luxos", "s21"))
        miner = await pyasic.get_miner(address)
        assert await miner.fault_light_on()
        with pytest.raises(Exception, match="connection active"):
            await luxos.rexec(address, 4028, "curtail", ["sleep"])
        await site.wait_s(61)
        assert (await luxos.rexec(address, 4028, "curtail", ["sleep"]))["STATUS"][0]["STATUS"] == "S"

    on_site(what)


def test_without_power_there_is_nobody_and_curtailment_outlives_the_outage() -> None:
    async def what(site: Site) -> None:
        unit = ("luxos", "s21")
        address = site.address(unit)
        rows = site.unit(unit)._row
        await luxos.rexec(address, 4028, "curtail", ["sleep"])
        await site.wait_s(10)
        site.fleet.switch_mains(rows, False, site.clock.now())
        await site.wait_s(10)
        assert await pyasic.get_miner(address) is None
        site.fleet.switch_mains(rows, True, site.clock.now())
        await site.wait_s(5)
        assert await pyasic.get_miner(address) is None
        await site.wait_s(120)
        config = luxos.validate(await luxos.rexec(address, 4028, "config"), "CONFIG", 1, 1)
        assert config["CurtailMode"] == "Sleep"
        assert site.true_w(unit) == pytest.approx(25)

    on_site(what)
