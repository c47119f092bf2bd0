"""Clients that insist on real sockets against both WhatsMiner faces: the Rust library and the synchronous one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from emulator import catalogue
from emulator.catalogue import Phase
from emulator.wire import MILLISECOND
from tests.clients.site import Site as AnySite
from tests.clients.site import Unit, units_of

pytestmark = [pytest.mark.system, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
pyasic_rs = pytest.importorskip("pyasic_rs", reason="pyasic-rs is not installed", exc_type=ImportError)
whatsminer = pytest.importorskip("whatsminer", reason="whatsminer is not installed", exc_type=ImportError)

FACES = ("whatsminer", "whatsminer-v3")
UNITS = units_of(*FACES)
V2 = ("whatsminer", "m50s")
ADMIN = "admin"
OTHER = "stratum+tcp://other.example:3333"


class Site(AnySite):
    """One miner of each face and model."""

    def phase(self, unit: Unit) -> Phase:
        return self.unit(unit).phase(self.now)


def on_site(what: Callable[[Site], Awaitable[None]], **knobs: Any) -> None:
    """Run `what` on real sockets with these knobs on both faces."""
    Site.run(UNITS, what, dict.fromkeys(FACES, knobs), mode="real")


@pytest.mark.parametrize("unit", UNITS)
def test_the_rust_library_names_reads_and_drives_the_miner(unit: Unit) -> None:
    async def what(site: Site) -> None:
        factory, model, number = pyasic_rs.MinerFactory(), catalogue.model(unit[1]), UNITS.index(unit)
        is_v3, device = unit[0] == "whatsminer-v3", site.device(unit)
        miner = await factory.get_miner(site.address(unit))
        assert (miner.make, miner.firmware) == ("Whatsminer", "WhatsMiner Stock")
        assert miner.model == f"{model.name.replace('+', 'Plus')}{model.variant[:-1]}0"
        data = await miner.get_data()
        now = site.clock.now()
        true_ths, true_w = site.unit(unit).hash_ths(now), site.unit(unit).power_w(now)
        assert float(data.hashrate) == pytest.approx(true_ths, rel=0.06)
        assert float(data.expected_hashrate) == pytest.approx(model.nominal_ths)
        assert data.wattage == pytest.approx(true_w, rel=0.06)
        assert [board.working_chips for board in data.hashboards] == [model.chips_per_board] * model.boards
        assert [board.expected_chips for board in data.hashboards] == [model.chips_per_board] * model.boards
        assert sum(float(board.hashrate) for board in data.hashboards) == pytest.approx(true_ths, rel=0.06)
        assert all(25 < board.inlet_chip_temperature < board.outlet_chip_temperature < 95 for board in data.hashboards)
        assert [fan.rpm > 1000 for fan in data.fans] == ([True] * model.fans or [False, False])
        assert (str(data.mac).upper(), data.hostname) == (f"02:5E:10:00:00:{number:02X}", f"rig{number}")
        assert data.firmware_version == ("20251209.16.Rel2" if is_v3 else "20230714.15.Rel")
        assert data.api_version == ("3.0.2" if is_v3 else "2.0.5")
        assert data.is_mining
        assert not data.light_flashing
        assert data.messages == []
        assert data.uptime.total_seconds() > 0
        assert [(pool.alive, pool.active) for pool in data.pools[0].pools] == [
            (True, True),
            (True, False),
            (True, False),
        ]

        assert await miner.set_fault_light(True)
        assert await miner.get_light_flashing()
        assert await miner.set_fault_light(False)
        assert not await miner.get_light_flashing()
        pool = pyasic_rs.Pool(url=OTHER, username="me", password="x")
        assert await miner.set_pools_config([pyasic_rs.PoolGroup(name="default", quota=1, pools=[pool])])
        assert str((await miner.get_pools())[0].pools[0].url) == OTHER
        assert await miner.set_power_limit(2500.0)
        assert device.conf.limit_w == 2500
        await site.until(lambda: site.phase(unit) is Phase.RETUNE)
        await site.until(lambda: (device.process_since_ns(site.clock.now()) or -1) > 0)
        assert (await miner.get_tuning_target()).watts == 2500.0

        assert await miner.pause()
        assert not await miner.get_is_mining()
        await site.until(lambda: site.phase(unit) is Phase.SLEEP)
        await site.wait_s(2.1)  # until the PSU is looked at again
        assert await miner.get_wattage() == 13.0
        assert await miner.resume()
        assert await miner.get_is_mining()
        await site.until(lambda: site.phase(unit) is Phase.WAKE)
        assert await miner.restart()
        await site.until(lambda: site.phase(unit) is Phase.BOOT)
        assert await factory.get_miner(site.address(unit)) is None

    on_site(what, process_stop_ns=MILLISECOND, process_start_ns=MILLISECOND)


def test_the_rust_library_opens_a_closed_switch_by_itself() -> None:
    async def what(site: Site) -> None:
        for unit in UNITS:
            miner = await pyasic_rs.MinerFactory().get_miner(site.address(unit))
            assert await miner.pause()
            assert site.device(unit).is_stopped

    on_site(what, api_switch=False, password_changed=False)


def test_the_rust_library_calls_a_pause_that_was_refused_a_failure() -> None:
    async def what(site: Site) -> None:
        for unit in UNITS:
            miner = await pyasic_rs.MinerFactory().get_miner(site.address(unit))
            with contextlib.suppress(RuntimeError):
                assert not await miner.resume()
            assert not site.device(unit).access.doors.is_open
            assert not site.device(unit).is_stopped

    on_site(what, api_switch=False, open_write_api=False)


def test_the_sync_client_reads_and_drives_v2() -> None:
    async def what(site: Site) -> None:
        token = await asyncio.to_thread(whatsminer.WhatsminerAccessToken, site.address(V2), 4028, ADMIN)

        async def read(command: str) -> Any:
            return await asyncio.to_thread(whatsminer.WhatsminerAPI.get_read_only_info, token, command)

        async def write(command: str, **given: Any) -> Any:
            return await asyncio.to_thread(whatsminer.WhatsminerAPI.exec_command, token, command, given)

        assert (await read("summary"))["SUMMARY"][0]["Factory GHS"] == 126_000
        assert (await read("get_version"))["Msg"]["api_ver"] == "2.0.5"
        assert len((await read("devs"))["DEVS"]) == 3
        assert (await write("set_led", color="red", period=200, duration=100, start=0))["Code"] == 131
        assert (await read("get_miner_info"))["Msg"]["ledstat"] == "manual"
        assert (await write("set_power_pct", percent="70"))["Msg"] == "API command OK"
        await site.until(lambda: site.unit(V2).power_w(site.clock.now()) < 0.75 * 3290)
        assert (await write("update_pools", pool1=OTHER, worker1="me", passwd1="x"))["Code"] == 131
        assert (await read("pools"))["POOLS"][0]["URL"] == OTHER
        assert (await write("set_power_pct", percent="101"))["Code"] == 132
        assert (await write("adjust_power_limit", power_limit="2500"))["Code"] == 131
        assert site.device(V2).conf.limit_w == 2500
        assert (await write("power_off", respbefore="true"))["Code"] == 131
        assert (await read("status"))["Msg"]["mineroff"] == "true"
        assert (await write("power_on"))["Code"] == 131
        assert (await read("status"))["Msg"]["mineroff"] == "false"
        with pytest.raises(AttributeError):  # it takes for granted that every write is answered
            await write("set_low_power")
        assert site.device(V2).conf.mode == "low"
        assert (await write("reboot"))["Code"] == 131
        await site.until(lambda: site.phase(V2) is Phase.BOOT)

    logging.getLogger("whatsminer.api").setLevel(logging.CRITICAL)
    on_site(what)


def test_the_sync_client_says_in_the_firmwares_words_why_it_may_not() -> None:
    async def refused(site: Site, password: str) -> str:
        token = await asyncio.to_thread(whatsminer.WhatsminerAccessToken, site.address(V2), 4028, password)
        with pytest.raises(Exception, match=r"err|cmd") as caught:
            await asyncio.to_thread(whatsminer.WhatsminerAPI.exec_command, token, "power_off", {"respbefore": "true"})
        assert not site.device(V2).is_stopped
        return str(caught.value).splitlines()[-1]

    async def wrong(site: Site) -> None:
        assert await refused(site, "guess") == "enc json load err"

    async def closed(site: Site) -> None:
        assert await refused(site, ADMIN) == "can't access write cmd"

    logging.getLogger("whatsminer.api").setLevel(logging.CRITICAL)
    on_site(wrong)
    on_site(closed, api_switch=False)
