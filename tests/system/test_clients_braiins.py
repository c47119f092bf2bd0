"""pyasic-rs, a fleet library in Rust, unchanged, over real sockets against the Braiins OS face."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from emulator import catalogue
from emulator.catalogue import Phase
from emulator.wire import SECOND
from firmware_mocks import miners
from tests.clients.site import Site as AnySite
from tests.clients.site import units_of

pytestmark = [pytest.mark.system, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
pyasic_rs = pytest.importorskip("pyasic_rs", reason="pyasic-rs is not installed", exc_type=ImportError)

MODELS = sorted(miners.load("braiins").models)
NAMES = {"s19_xp": "S19XP", "s19j_pro": "S19jPro", "s19k_pro": "S19KPro", "s21": "S21"}


class Site(AnySite):
    """One miner of each model."""

    async def miner(self, model_id: str) -> Any:
        return await pyasic_rs.MinerFactory().get_miner(self.address(model_id))


def on_site(what: Callable[[Site], Awaitable[Any]], **knobs: Any) -> Any:
    return Site.run(units_of("braiins"), what, {"braiins": knobs}, mode="real")


def test_it_names_every_model_and_reads_every_field() -> None:
    async def what(site: Site) -> list[tuple[str, Any, float]]:
        return [(model, await (await site.miner(model)).get_data(), site.true_w(model)) for model in MODELS]

    for n, (model_id, data, true_w) in enumerate(on_site(what)):
        model = catalogue.model(model_id)
        shown = data.device_info
        assert (shown.make, shown.model, shown.firmware) == ("Antminer", NAMES[model_id], "Braiins")
        assert (data.mac, data.hostname, data.serial_number) == (f"02:5E:10:00:00:{n:02X}", f"rig{n}", f"SN{n:06}")
        assert (data.api_version, data.firmware_version) == ("1.1.0", "2025-11-21-0-1a2b3c4d-25.11-plus")
        assert data.hashrate.value == pytest.approx(model.nominal_ths, rel=0.15)
        assert data.expected_hashrate.value == model.nominal_ths
        assert [board.working_chips for board in data.hashboards] == [model.chips_per_board] * 3
        assert all(board.active and board.board_temperature < board.inlet_chip_temperature for board in data.hashboards)
        assert all(board.frequency == round(model.frequency_mhz) for board in data.hashboards)
        assert len(data.fans) == model.fans
        assert data.wattage == pytest.approx(true_w, rel=0.1)
        assert (data.is_mining, data.light_flashing) == (True, False)
        assert [pool.active for pool in data.pools[0].pools] == [True, False]
        assert str(data.tuning_target) == str(data.scaled_tuning_target)
        if model_id == "s19k_pro":
            power = data.tuning_capabilities.power
            assert [str(power.default), str(power.minimum), str(power.maximum)] == [
                f"TuningTarget.power(watts={watts})" for watts in ("2760.0", "771.0", "6435.0")
            ]


def test_it_pauses_reads_back_resumes_limits_lights_and_reboots() -> None:
    async def what(site: Site) -> None:
        miner, full_w = await site.miner("s19j_pro"), site.true_w("s19j_pro")
        before = await miner.get_data()
        assert await miner.set_fault_light(True)
        assert (await miner.get_data()).light_flashing
        assert await miner.pause()
        await site.wait_s(11.5)
        assert 80 < site.true_w("s19j_pro") < 115
        data = await miner.get_data()
        assert not data.is_mining, "the status is paused"
        assert data.wattage == pytest.approx(before.wattage, rel=0.02), "the tuner has not noticed yet"
        await site.wait_s(2)
        data = await miner.get_data()
        assert data.wattage is None
        assert data.hashrate.value < 60
        assert data.uptime > before.uptime
        assert await miner.set_power_limit(2600)
        assert str((await miner.get_data()).tuning_target) == "TuningTarget.power(watts=2600.0)"
        assert await miner.resume()
        await site.wait_s(12.5)
        assert site.true_w("s19j_pro") == pytest.approx(full_w * 2600 / 3068, rel=0.05)
        assert (await miner.get_data()).is_mining
        assert not await miner.restart(), "it looks for JSON in the empty body of a 204; the miner reboots all the same"
        await site.wait_s(3)
        assert await site.miner("s19j_pro") is None, "the control board boots"

    on_site(what)


def test_it_is_refused_with_a_wrong_password_and_changes_nothing() -> None:
    async def what(site: Site) -> None:
        miner, full_w = await site.miner("s21"), site.true_w("s21")
        miner.set_auth("root", "guess")
        assert not await said(miner.pause())
        assert not await said(miner.set_power_limit(2000))
        assert not await said(miner.set_fault_light(True))
        await site.wait_s(4)
        assert site.true_w("s21") == pytest.approx(full_w, rel=0.001)
        miner.set_auth("root", "root")
        assert (await miner.get_data()).light_flashing is False
        assert not await said(miner.set_power_limit(100)), "outside the constraints"
        assert str((await miner.get_data()).tuning_target) == "TuningTarget.power(watts=3500.0)"

    async def said(calling: Awaitable[Any]) -> bool:
        """What a write returned; this library raises for some and returns False for others."""
        try:
            return bool(await calling)
        except Exception:  # noqa: BLE001 - the library's own errors have no common base
            return False

    on_site(what)


def test_it_writes_pools_and_bosminer_restarts() -> None:
    async def what(site: Site) -> None:
        miner = await site.miner("s19_xp")
        groups = await miner.get_pools_config()
        pools = [pyasic_rs.Pool(url="stratum+tcp://other.example:3333", username="me", password="x")]
        await miner.set_pools_config([pyasic_rs.PoolGroupConfig(name="one", quota=1, pools=pools)])
        assert len(groups) == 1
        await site.wait_s(1)
        assert not (await miner.get_data()).is_mining
        await site.wait_s(2)
        data = await miner.get_data()
        assert [str(pool.url) for pool in data.pools[0].pools] == ["stratum+tcp://other.example:3333"]
        assert site.unit("s19_xp").phase(site.clock.now()) is Phase.STOPPING

    on_site(what, process_stop_ns=SECOND // 2, process_start_ns=2 * SECOND)
