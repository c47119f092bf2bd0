"""asic-rs (pyasic_rs), unchanged, over real sockets against the ePIC and Auradine faces."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from emulator import catalogue
from emulator.catalogue import Phase
from firmware_mocks import miners
from tests.clients.site import Site, units_of

pyasic_rs = pytest.importorskip("pyasic_rs", reason="pyasic_rs is not installed", exc_type=ImportError)
HashRate = pytest.importorskip("pyasic_rs.data").HashRate
pytestmark = pytest.mark.system

EPIC = sorted(miners.load("epic").models)
AURADINE = sorted(miners.load("auradine").models)
SHOWN = {
    "s19_xp": "S19XP", "s19j_pro": "S19jPro", "s19k_pro": "S19KPro", "s21": "S21", "s21_pro": "S21Pro", "t21": "T21",
    "at1500": "AT1500", "at2880": "AT2880",
}  # fmt: skip


def real(name: str, what: Callable[[Site], Awaitable[Any]], **knobs: Any) -> Any:
    return Site.run(units_of(name), what, {name: knobs}, mode="real")


async def find(site: Site, model_id: str) -> Any:
    return await pyasic_rs.MinerFactory().get_miner(site.address(model_id))


def check_common(data: Any, model_id: str, n: int) -> None:
    model = catalogue.model(model_id)
    assert (data.device_info.make, data.device_info.model) == (model.make, SHOWN[model_id])
    assert (str(data.mac), data.hostname) == (f"02:5E:10:00:00:{n:02X}", f"rig{n}")
    assert data.serial_number == f"SN{n:06}"
    assert float(data.expected_hashrate) == pytest.approx(model.nominal_ths)
    assert data.wattage == pytest.approx(model.nominal_w, rel=0.12)
    assert (data.expected_chips, data.total_chips) == (model.boards * model.chips_per_board,) * 2
    assert len([fan for fan in data.fans if 3000 < fan.rpm < 8000]) == model.fans
    assert [board.serial_number for board in data.hashboards] == [f"SN{n:06}B{b}" for b in (1, 2, 3)]
    assert all(board.active and board.working_chips == model.chips_per_board for board in data.hashboards)
    assert all(20 < board.board_temperature < 80 for board in data.hashboards)
    assert all(board.inlet_chip_temperature < board.outlet_chip_temperature for board in data.hashboards)
    pools = data.pools[0].pools
    assert (str(pools[0].url), pools[0].alive, pools[0].active) == ("stratum+tcp://pool-a.example:3333", True, True)
    assert pools[0].accepted_shares > 0
    assert data.uptime > timedelta(seconds=0)
    assert data.is_mining
    assert not data.light_flashing
    assert data.control_board_version.known


def test_epic_is_named_and_read_in_every_field() -> None:
    async def what(site: Site) -> None:
        for n, model_id in enumerate(EPIC):
            miner = await find(site, model_id)
            data, model = await miner.get_data(), catalogue.model(model_id)
            check_common(data, model_id, n)
            assert (data.device_info.firmware, data.firmware_version) == ("UMC OS", "PowerPlay-BMS v1.30.0")
            assert float(data.hashrate) == pytest.approx(site.true_ths(model_id), rel=0.03)
            assert float(data.tuning_target.target_hashrate) == pytest.approx(model.nominal_ths)
            for board in data.hashboards:
                assert board.tuned
                assert board.frequency == pytest.approx(model.frequency_mhz, abs=6.3)
                assert board.voltage == pytest.approx(model.voltage_v, abs=0.02)
                total = sum(float(chip.hashrate) for chip in board.chips)
                assert total == pytest.approx(float(board.hashrate), rel=0.06)
            assert "Mining" in await miner.read_logs()

    real("epic", what)


def test_auradine_is_named_and_read_in_every_field() -> None:
    async def what(site: Site) -> None:
        for n, model_id in enumerate(AURADINE):
            data, model = await (await find(site, model_id)).get_data(), catalogue.model(model_id)
            check_common(data, model_id, n)
            assert (data.device_info.firmware, data.firmware_version) == ("Auradine Stock", "2024-06.11")
            assert data.api_version == "1.0"
            assert float(data.hashrate) == pytest.approx(site.true_ths(model_id), rel=0.7), "counted from few nonces"
            assert data.tuning_target.watts == model.nominal_w
            assert len(data.psu_fans) == 2
            for board in data.hashboards:
                assert board.frequency == pytest.approx(model.frequency_mhz, rel=0.03)
                assert board.voltage == pytest.approx(0.245, abs=0.01), "the mean of the chips"

    real("auradine", what)


def test_a_scan_finds_both_makes() -> None:
    async def what(site: Site) -> set[str]:
        found = await pyasic_rs.MinerFactory.from_subnet("127.9.1.0/29").scan()
        return {str(miner) for miner in found}

    assert real("epic", what) == {f"Antminer {SHOWN[m]} (UMC OS): 127.9.1.{n + 1}" for n, m in enumerate(EPIC)}
    assert real("auradine", what) == {
        f"Auradine {SHOWN[m]} (Auradine Stock): 127.9.1.{n + 1}" for n, m in enumerate(AURADINE)
    }


def test_epic_stops_starts_and_takes_a_target_from_the_library() -> None:
    async def what(site: Site) -> None:
        miner = await find(site, "s21")
        full_w = site.true_w("s21")
        assert await miner.set_fault_light(True)
        assert (await miner.get_data()).light_flashing
        assert await miner.pause()
        assert site.true_w("s21") < 0.05 * full_w, "the reply comes when it is done"
        data = await miner.get_data()
        assert not data.is_mining
        assert float(data.hashrate) == 0.0
        config = pyasic_rs.TuningConfig.hashrate(HashRate(150.0), algorithm="VoltageOptimizer")
        assert await miner.set_tuning_config(config, pyasic_rs.ScalingConfig(step=5, minimum=90))
        assert await miner.resume()
        assert (await miner.get_data()).is_mining
        assert site.unit("s21").setpoint(site.clock.now()) == pytest.approx((150 / 200) ** 1.3)
        assert float((await miner.get_data()).tuning_target.target_hashrate) == pytest.approx(150.0)
        with pytest.raises(RuntimeError):
            await miner.set_power_limit(2000)

    real("epic", what)


def test_auradine_stops_starts_and_takes_a_limit_from_the_library() -> None:
    async def what(site: Site) -> None:
        miner = await find(site, "at1500")
        full_w = site.true_w("at1500")
        assert await miner.set_fault_light(True)
        assert (await miner.get_data()).light_flashing
        assert await miner.set_power_limit(1800)
        assert (await miner.get_data()).tuning_target.watts == 1800
        assert await miner.pause()
        assert not (await miner.get_data()).is_mining
        await site.until(lambda: site.true_w("at1500") < 0.1 * full_w)
        assert float((await miner.get_data()).hashrate) > 10, "the average lags behind the boards"
        assert await miner.resume()
        assert (await miner.get_data()).is_mining
        assert site.unit("at1500").phase(site.clock.now()) is Phase.WAKE
        assert site.unit("at1500").setpoint(site.clock.now()) == pytest.approx(1800 / 2700)

    real("auradine", what)


@pytest.mark.parametrize(("name", "model_id"), [("epic", "t21"), ("auradine", "at2880")])
def test_pools_are_written_and_a_restart_takes_the_miner_away(name: str, model_id: str) -> None:
    async def what(site: Site) -> None:
        miner = await find(site, model_id)
        pool = pyasic_rs.PoolConfig(url="stratum+tcp://other.example:3333", username="a.b", password="x")
        assert await miner.set_pools_config([pyasic_rs.PoolGroupConfig(name="", quota=1, pools=[pool])])
        assert str((await miner.get_data()).pools[0].pools[0].url) == "stratum+tcp://other.example:3333"
        assert await miner.restart()
        unit = site.unit(model_id)
        await site.until(lambda: (unit.api_since_ns(site.clock.now()) or 0) > site.clock.now())
        assert await find(site, model_id) is None

    real(name, what)


def test_a_wrong_account_is_refused_by_both() -> None:
    async def epic(site: Site) -> None:
        miner = await find(site, "s21")
        miner.set_auth("", "guess")
        assert not await miner.pause()
        assert site.unit("s21").phase(site.clock.now()) is Phase.HASHING

    async def auradine(site: Site) -> None:
        miner = await find(site, "at1500")
        miner.set_auth("admin", "guess")
        with pytest.raises(RuntimeError, match=r"401|Invalid"):
            await miner.pause()
        assert site.unit("at1500").phase(site.clock.now()) is Phase.HASHING

    real("epic", epic)
    real("auradine", auradine)


def test_an_expired_token_is_renewed_by_the_library_itself() -> None:
    async def what(site: Site) -> None:
        miner = await find(site, "at1500")
        assert await miner.set_fault_light(True)
        await site.wait_s(0.6)
        assert await miner.pause()

    for status in (401, 200):
        real("auradine", what, token_life_ns=500_000_000, token_status=status)
