"""pyasic, unchanged, in virtual time against both WhatsMiner faces on the real fleet physics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from emulator import catalogue
from emulator.catalogue import Phase
from tests.clients.site import Site as AnySite
from tests.clients.site import Unit, units_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
pyasic = pytest.importorskip("pyasic", reason="pyasic is not installed", exc_type=ImportError)

FACES = ("whatsminer", "whatsminer-v3")
UNITS = units_of(*FACES)
V2, V3 = ("whatsminer", "m50s"), ("whatsminer-v3", "m60s")


class Site(AnySite):
    """One miner of each face and model."""

    async def miner(self, unit: Unit) -> Any:
        return await pyasic.get_miner(self.address(unit))


def on_site(what: Callable[[Site], Awaitable[Any]], **knobs: Any) -> Any:
    """Run `what` in virtual time with these knobs on both faces."""
    return Site.run(UNITS, what, dict.fromkeys(FACES, knobs))


@pytest.mark.parametrize("unit", UNITS)
def test_pyasic_names_the_miner_and_reads_every_field(unit: Unit) -> None:
    async def what(site: Site) -> Any:
        miner = await site.miner(unit)
        return await miner.get_data(), site.true_ths(unit), site.true_w(unit), site.device(unit)

    data, true_ths, true_w, device = on_site(what)
    model, number, is_v3 = catalogue.model(unit[1]), UNITS.index(unit), unit[0] == "whatsminer-v3"
    boards = min(model.boards, 3) if is_v3 else model.boards  # its V3 class takes three boards for granted
    seen = boards / model.boards
    assert (data.make, data.firmware) == ("WhatsMiner", "Stock")
    assert str(data.model) == f"{model.name} {model.variant[:-1]}0"
    assert float(data.hashrate) == pytest.approx(true_ths * seen, rel=0.08)
    assert float(data.expected_hashrate) == pytest.approx(model.nominal_ths)
    assert [board.chips for board in data.hashboards] == [model.chips_per_board] * boards
    assert [board.serial_number for board in data.hashboards] == [f"SN{number:06}B{n + 1}" for n in range(boards)]
    assert not any(board.missing for board in data.hashboards)
    assert all(25 < board.temp < 95 for board in data.hashboards)
    assert data.wattage == pytest.approx(true_w, rel=0.06)
    assert data.wattage_limit == device.conf.limit_w or data.wattage_limit > model.nominal_w
    assert [fan.speed > 1000 for fan in data.fans] == ([True] * model.fans or [False] * len(data.fans))
    assert (data.mac, data.hostname, data.serial_number) == (
        f"02:5E:10:00:00:{number:02X}",
        f"rig{number}",
        f"SN{number:06}",
    )
    assert data.fw_ver == ("20251209.16.Rel2" if is_v3 else "20230714.15.Rel")
    assert data.env_temp == 25.0
    assert data.is_mining
    assert not data.fault_light
    assert data.uptime > 0
    assert data.errors == []
    if not is_v3:  # its V3 class looks for pools where the summary is
        assert [(pool.alive, pool.active) for pool in data.pools] == [(True, True), (True, False), (True, False)]
        assert data.pools[0].accepted > 0


def test_identification_is_the_same_every_time_of_twenty_five() -> None:
    async def what(site: Site) -> set[tuple[int, str]]:
        seen = set()
        for _ in range(25):
            found = await asyncio.gather(*(site.miner(unit) for unit in UNITS))
            seen |= {(n, type(miner).__mro__[1].__name__) for n, miner in enumerate(found)}
        return seen

    assert sorted(on_site(what)) == [(0, "BTMinerV2"), (1, "BTMinerV2"), (2, "BTMinerV3"), (3, "BTMinerV3")]


def test_a_scan_of_the_subnet_finds_every_miner_and_nothing_else() -> None:
    async def what(site: Site) -> list[str]:
        found = await pyasic.MinerNetwork.from_subnet("127.9.1.0/28").scan()
        return sorted(miner.ip for miner in found)

    assert on_site(what) == [f"127.9.1.{n}" for n in range(1, len(UNITS) + 1)]


@pytest.mark.parametrize("unit", UNITS)
def test_pyasic_stops_and_what_it_then_reads_lags_behind_the_load(unit: Unit) -> None:
    async def what(site: Site) -> None:
        miner = await site.miner(unit)
        full_ths = site.true_ths(unit)
        assert await miner.stop_mining()
        await site.wait_s(8)
        assert site.true_ths(unit) < 1e-6
        assert site.true_w(unit) < 150, "the load is gone"
        data = await miner.get_data()
        assert float(data.hashrate) > 0.5 * full_ths * (0.75 if unit[1] == "m63s" else 1.0), "the averages are not"
        assert data.wattage == 13, "with its output off the PSU sees next to nothing"
        if unit[0] == "whatsminer":
            assert not data.is_mining
            assert data.wattage_limit == 0
        await site.wait_s(600)
        data, true_w = await miner.get_data(), site.true_w(unit)
        assert true_w == pytest.approx(catalogue.model(unit[1]).sleep_w, rel=0.05)
        assert data.wattage == 13
        if unit[0] == "whatsminer":
            assert float(data.hashrate) < 0.001 * full_ths, "the 1 m rate"
        else:
            assert float(data.hashrate) > 0.5 * full_ths, "V3: the mean since the process started, for hours"

    on_site(what)


@pytest.mark.parametrize("unit", UNITS)
def test_pyasic_resumes_and_the_miner_takes_a_quarter_of_an_hour(unit: Unit) -> None:
    async def what(site: Site) -> None:
        miner = await site.miner(unit)
        full_w = site.true_w(unit)
        await miner.stop_mining()
        await site.wait_s(30)
        assert await miner.resume_mining()
        await site.wait_s(30)
        assert site.true_w(unit) < 0.2 * full_w
        await site.wait_s(270)
        data = await miner.get_data()
        assert 0.55 * full_w < site.true_w(unit) < 0.85 * full_w
        assert data.wattage == pytest.approx(site.true_w(unit), rel=0.06)
        assert data.is_mining
        assert data.uptime < 330
        await site.wait_s(900)
        assert site.unit(unit).phase(site.clock.now()) is Phase.HASHING
        assert site.true_w(unit) == pytest.approx(full_w, rel=0.1)
        await site.wait_s(1800)
        data = await miner.get_data()
        assert site.true_w(unit) == pytest.approx(full_w, rel=0.01)
        assert float(data.hashrate) > 0

    on_site(what)


@pytest.mark.parametrize("unit", [V2, V3])
def test_pyasic_limits_power_and_the_miner_collapses_before_it_creeps_to_the_limit(unit: Unit) -> None:
    async def what(site: Site) -> None:
        miner = await site.miner(unit)
        model = site.unit(unit).model
        gain = site.true_w(unit) / model.nominal_w
        assert await miner.set_power_limit(2500)
        await site.wait_s(3)
        assert site.true_w(unit) > 0.9 * model.nominal_w, "nothing happens yet"
        lowest_w = site.true_w(unit)
        for _ in range(26):
            await site.wait_s(1)
            lowest_w = min(lowest_w, site.true_w(unit))
        assert 1100 < lowest_w < 1500, "measured: 1.13 to 1.48 kW at 18 to 20 s"
        data = await miner.get_data()
        assert data.wattage_limit == 2500
        assert data.wattage == pytest.approx(site.true_w(unit), rel=0.08)
        assert 0 < data.uptime < 30
        await site.wait_s(200)
        assert 1800 < site.true_w(unit) / gain < 2150, "the plateau"
        await site.wait_s(330)
        assert site.true_w(unit) == pytest.approx(2500 * gain, rel=0.02)

    on_site(what)


@pytest.mark.parametrize("unit", [V2, V3])
def test_pyasic_switches_the_light_restarts_and_reboots(unit: Unit) -> None:
    async def what(site: Site) -> None:
        miner = await site.miner(unit)
        assert await miner.fault_light_on()
        assert (await miner.get_data()).fault_light
        assert await miner.fault_light_off()
        assert not (await miner.get_data()).fault_light
        assert await miner.restart_backend()
        await site.wait_s(20)
        assert (await miner.get_data()).uptime < 20
        assert await miner.reboot()
        await site.wait_s(10)
        assert await site.miner(unit) is None
        await site.wait_s(60)
        again = await site.miner(unit)
        assert str(again) == str(miner)
        assert (await again.get_data()).uptime < 60

    on_site(what)


def test_pyasic_calls_an_unanswered_reboot_a_failure_and_it_happens_all_the_same() -> None:
    async def what(site: Site) -> None:
        assert not await (await site.miner(V2)).reboot()
        await site.wait_s(10)
        assert await site.miner(V2) is None

    on_site(what, reboot_answers=False)


def test_pyasic_sets_the_pools_of_v2_and_a_mode_without_a_reply() -> None:
    async def what(site: Site) -> None:
        miner = await site.miner(V2)
        config = await miner.get_config()
        assert config.mining_mode.power == 3500
        config.pools.groups[0].pools[0].url = "stratum+tcp://other.example:3333"
        config.mining_mode = type(config.mining_mode).__mro__[0](power=2600)
        await miner.send_config(config)
        data = await miner.get_data()
        assert str(data.pools[0].url) == "stratum+tcp://other.example:3333"
        await site.wait_s(20)
        assert (await miner.get_data()).wattage_limit == 2600
        await miner.rpc.set_low_power()

    with pytest.raises(pyasic.errors.APIError, match="No data"):
        on_site(what)


def test_pyasic_moves_the_fast_knob_within_a_second_and_the_slow_one_in_minutes() -> None:
    async def what(site: Site) -> None:
        miner = await site.miner(V2)
        full_w = site.true_w(V2)
        await miner.rpc.set_power_pct(70)
        await site.wait_s(1.2)
        assert site.true_w(V2) == pytest.approx(0.7 * full_w, rel=0.06)
        assert site.device(V2).process_since_ns(site.clock.now()) < 0, "no restart"
        await miner.rpc.send_privileged_command("restore_power_pct")
        await site.wait_s(60)
        assert 0.75 * full_w < site.true_w(V2) < 0.95 * full_w
        await site.wait_s(240)
        assert site.true_w(V2) == pytest.approx(full_w, rel=0.001)
        await miner.rpc.set_power_pct_v2(60)
        await site.wait_s(30)
        assert site.true_w(V2) > 0.8 * full_w
        await site.wait_s(270)
        assert site.true_w(V2) == pytest.approx(0.6 * full_w, rel=0.001)

    on_site(what)


def test_a_trim_is_forgotten_in_an_outage_and_so_is_power_off() -> None:
    async def what(site: Site) -> None:
        miner = await site.miner(V2)
        full_w, rows = site.true_w(V2), site.unit(V2)._row
        await miner.rpc.set_power_pct(60)
        await site.wait_s(5)
        await miner.stop_mining()
        await site.wait_s(60)
        site.fleet.switch_mains(rows, False, site.clock.now())
        await site.wait_s(10)
        assert await site.miner(V2) is None
        site.fleet.switch_mains(rows, True, site.clock.now())
        await site.wait_s(100)
        data = await (await site.miner(V2)).get_data()
        assert data.is_mining
        await site.wait_s(3600)
        assert site.true_w(V2) == pytest.approx(full_w, rel=0.01)

    on_site(what)


@pytest.mark.parametrize("unit", [V2, V3])
def test_pyasic_cannot_write_where_the_switch_is_off(unit: Unit) -> None:
    async def what(site: Site) -> None:
        miner = await site.miner(unit)
        assert not await miner.stop_mining()
        assert not await miner.fault_light_on()
        assert not await miner.reboot()
        assert await miner.set_power_limit(2500) is (unit is V3), "its V3 class looks at no code"
        await site.wait_s(60)
        assert site.device(unit).conf.limit_w is None
        assert site.true_w(unit) > 3000

    on_site(what, api_switch=False)


def test_pyasic_reads_errors_and_repairs_the_broken_list() -> None:
    async def what(site: Site) -> list[list[int]]:
        found = [(await (await site.miner(unit)).get_data()).errors for unit in (V2, V3)]
        return [[error.error_code for error in errors] for errors in found]

    assert on_site(what, error_codes=(110, 531)) == [[110, 531]] * 2
    assert on_site(what, error_codes=(110, 531), broken_error_list=True) == [[110, 531]] * 2


def test_pyasic_reads_next_to_nothing_of_a_stopped_miner_whose_process_is_down() -> None:
    async def what(site: Site) -> None:
        miner = await site.miner(V2)
        assert await miner.stop_mining()
        await site.wait_s(20)
        data = await miner.get_data()
        assert data.is_mining is False
        assert (data.hashrate, data.wattage, data.uptime, data.mac, data.pools) == (None, None, None, None, [])
        assert all(board.missing for board in data.hashboards)
        assert await miner.resume_mining()
        await site.wait_s(20)
        assert (await miner.get_data()).is_mining

    on_site(what, asleep_style="error")
