"""pyasic, unchanged, in virtual time against the Braiins OS face on the real fleet physics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from emulator import catalogue
from emulator.wire import SECOND
from firmware_mocks import miners
from tests.clients.site import Site, units_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
pyasic = pytest.importorskip("pyasic", reason="pyasic is not installed", exc_type=ImportError)
from grpclib import GRPCError, Status  # noqa: E402 - pyasic brings it
from grpclib.client import Channel  # noqa: E402
from pyasic.web.braiins_os.proto.braiins.bos import v1  # noqa: E402

MODELS = sorted(miners.load("braiins").models)
MODEL = "s19j_pro"


def on_site(what: Callable[[Site], Awaitable[Any]], **knobs: Any) -> Any:
    return Site.run(units_of("braiins"), what, {"braiins": knobs})


@pytest.mark.parametrize("model_id", MODELS)
def test_pyasic_names_the_miner_and_reads_every_field(model_id: str) -> None:
    async def what(site: Site) -> Any:
        miner = await pyasic.get_miner(site.address(model_id))
        return await miner.get_data(), site.unit(model_id).hash_ths(site.clock.now()), site.true_w(model_id)

    data, true_ths, true_w = on_site(what)
    model, n = catalogue.model(model_id), MODELS.index(model_id)
    assert (data.make, data.firmware, data.fw_ver, data.api_ver) == ("AntMiner", "BOS+", "25.11", "3.7")
    assert str(data.model) == {"s19k_pro": "S19k Pro No PIC"}.get(model_id, model.name)
    assert (data.mac, data.hostname, data.serial_number) == (f"02:5E:10:00:00:{n:02X}", f"rig{n}", f"SN{n:06}")
    assert float(data.hashrate) == pytest.approx(true_ths, rel=0.15)
    assert float(data.expected_hashrate) == pytest.approx(model.nominal_ths)
    assert data.wattage == pytest.approx(true_w, rel=0.1)
    assert data.wattage != round(true_w), "it is an estimate"
    assert data.wattage_limit == model.nominal_w
    assert [board.chips for board in data.hashboards] == [model.chips_per_board] * model.boards
    assert [board.serial_number for board in data.hashboards] == [f"SN{n:06}B{slot}" for slot in (1, 2, 3)]
    assert all(25 < board.temp < board.chip_temp < 95 for board in data.hashboards)
    assert [1000 < fan.speed < 8000 for fan in data.fans] == [True] * model.fans
    assert (data.pools[0].alive, data.pools[0].active, data.pools[1].active) == (True, True, False)
    assert data.pools[0].accepted > 1000 * data.pools[1].accepted
    assert (data.is_mining, data.fault_light, data.errors) == (True, False, [])
    assert data.uptime > 0
    assert data.config.mining_mode.power == model.nominal_w
    assert str(data.config.pools.groups[0].pools[0].url) == "stratum+tcp://pool-a.example:3333"


def test_identification_is_the_same_every_time_of_ten() -> None:
    async def what(site: Site) -> set[tuple[str, str]]:
        seen = set()
        for _ in range(10):
            found = await asyncio.gather(*(pyasic.get_miner(site.address(model_id)) for model_id in MODELS))
            seen |= {(model_id, type(miner).__name__) for model_id, miner in zip(MODELS, found, strict=True)}
        return seen

    names = {"s19_xp": "S19XP", "s19j_pro": "S19jPro", "s19k_pro": "S19kProNoPIC", "s21": "S21"}
    assert on_site(what) == {(model_id, f"BOSMiner{name}") for model_id, name in names.items()}


def test_pyasic_stops_and_what_it_reads_back_lags_as_the_firmware_does() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address(MODEL))
        before = await miner.get_data()
        assert await miner.stop_mining()
        began = site.clock.now()
        full_w = site.true_w(MODEL)
        await site.wait_s(3)
        assert 0.2 * full_w < site.true_w(MODEL) < 0.9 * full_w, "the clock goes down step by step"
        await site.wait_s(8.5)
        assert 80 < site.true_w(MODEL) < 115, "boards are off, fans are not"
        data = await miner.get_data()
        assert (site.clock.now() - began) < 12.5 * SECOND
        assert data.wattage == pytest.approx(before.wattage, rel=0.02), "the tuner has not noticed yet"
        assert data.is_mining
        await site.wait_s(20)
        data = await miner.get_data()
        assert data.wattage is None
        assert not data.is_mining
        assert 30 < float(data.hashrate) < 90, "boards without a rate: pyasic takes the average over a minute"
        assert data.uptime == pytest.approx(before.uptime + 32, abs=2), "a pause is no restart"
        assert data.wattage_limit == before.wattage_limit
        assert [error.error_message for error in data.errors] == [f"Slot {n} tuner is paused" for n in (1, 2, 3)]
        minute = (await miner.rpc.summary())["SUMMARY"][0]
        assert minute["MHS 5s"] == 0.0
        assert 0 < minute["MHS 1m"] < 1e8
        assert minute["MHS 15m"] > 0.9e8
        await site.wait_s(300)
        assert site.true_w(MODEL) == pytest.approx(25, abs=1)
        assert float((await miner.get_data()).hashrate) == 0.0

    on_site(what)


def test_pyasic_resumes_and_the_miner_is_back_within_twelve_seconds() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address(MODEL))
        full_w = site.true_w(MODEL)
        assert await miner.stop_mining()
        await site.wait_s(60)
        assert await miner.resume_mining()
        await site.wait_s(4)
        assert site.true_w(MODEL) < 300
        await site.wait_s(8.5)
        assert site.true_w(MODEL) > 0.96 * full_w
        data = await miner.get_data()
        assert data.is_mining
        assert data.wattage < 0.8 * full_w, "the estimate is renewed each five seconds"
        await site.wait_s(15)
        data = await miner.get_data()
        assert float(data.hashrate) == pytest.approx(site.unit(MODEL).hash_ths(site.clock.now()), rel=0.15)
        assert data.wattage == pytest.approx(site.true_w(MODEL), rel=0.1)
        assert data.errors == []

    on_site(what)


def test_pyasic_believes_the_old_firmware_that_it_mines_on() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address(MODEL))
        assert await miner.stop_mining()
        await site.wait_s(600)
        data = await miner.get_data()
        assert site.true_w(MODEL) < 30
        assert data.is_mining
        assert data.wattage > 2500

    on_site(what, paused_style="frozen")


def test_pyasic_limits_power_and_the_miner_follows_in_seconds_and_settles_in_minutes() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address(MODEL))
        full_w = site.true_w(MODEL)
        assert await miner.set_power_limit(2300)
        goal_w = full_w * 2300 / 3068
        await site.wait_s(8)
        assert 0.93 * goal_w < site.true_w(MODEL) < 0.97 * goal_w
        assert (await miner.get_data()).wattage_limit == 2300
        assert (await miner.web.get_tuner_state())["overallTunerState"] == 3
        await site.wait_s(2000)
        assert site.true_w(MODEL) == pytest.approx(goal_w, rel=0.01)
        assert (await miner.web.get_tuner_state())["overallTunerState"] == 2
        profiles = (await miner.web.list_target_profiles())["powerTargetProfiles"]
        assert [profile["target"]["watt"] for profile in profiles] == [2300, 3068]
        assert await miner.set_power_limit(3068)
        assert await miner.set_power_limit(2300)
        await site.wait_s(120)
        assert site.true_w(MODEL) == pytest.approx(goal_w, rel=0.005), "the second visit is quick"

    on_site(what)


def test_pyasic_is_told_of_a_limit_that_is_refused() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address(MODEL))
        full_w = site.true_w(MODEL)
        assert not await miner.set_power_limit(500)
        await site.wait_s(30)
        assert site.true_w(MODEL) == pytest.approx(full_w, rel=0.001)
        assert (await miner.get_data()).wattage_limit == 3068

    on_site(what)


def test_pyasic_steps_targets_and_sets_dps() -> None:
    async def what(site: Site) -> None:
        web = (await pyasic.get_miner(site.address(MODEL))).web
        assert (await web.decrement_power_target(300))["powerTarget"] == {"watt": 2768}
        assert (await web.increment_power_target(100))["powerTarget"] == {"watt": 2868}
        assert (await web.set_default_power_target())["powerTarget"] == {"watt": 3068}
        assert (await web.set_hashrate_target(80))["hashrateTarget"] == {"terahashPerSecond": 80.0}
        assert (await web.set_performance_mode(wattage_target=2500))["tunerMode"]["powerTarget"]["powerTarget"][
            "watt"
        ] == 2500
        constraints = (await web.get_constraints())["tunerConstraints"]["powerTarget"]
        assert (constraints["min"]["watt"], constraints["max"]["watt"]) == (857, 7153)
        assert (await web.get_miner_configuration())["tuner"]["powerTarget"] == {"watt": 2500}
        assert (await web.get_license_state())["valid"]["devFee"] == {"bsp": 250}
        assert (await web.disable_hashboards(["2"]))["hashboards"][1] == {"id": "2"}
        assert (await web.get_api_version())["minor"] == "8" or (await web.get_api_version())["minor"] == 8

    on_site(what)


def test_pyasic_sends_a_whole_configuration() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address(MODEL))
        full_w = site.true_w(MODEL)
        config = await miner.get_config()
        config.pools.groups[0].pools[0].url = "stratum+tcp://other.example:3333"
        config.mining_mode = pyasic.config.MiningModeConfig.power_tuning(power=2000)
        await miner.send_config(config)
        await site.wait_s(15)
        assert site.true_w(MODEL) < 0.2 * full_w, "new pools restart BOSminer"
        await site.wait_s(90)
        data = await miner.get_data()
        assert str(data.pools[0].url) == "stratum+tcp://other.example:3333"
        assert data.uptime < 110
        assert data.wattage_limit == 2000
        assert site.true_w(MODEL) == pytest.approx(full_w * 2000 / 3068, rel=0.05)

    on_site(what)


def test_pyasic_switches_the_light_restarts_and_reboots() -> None:
    async def what(site: Site) -> None:
        address = site.address("s21")
        miner = await pyasic.get_miner(address)
        assert await miner.fault_light_on()
        assert (await miner.web.get_locate_device_status()) == {"enabled": True}
        assert await miner.fault_light_off()
        assert await miner.restart_backend()
        await site.wait_s(30)
        assert (await miner.rpc.summary())["SUMMARY"][0]["Elapsed"] < 20
        assert await miner.reboot()
        await site.wait_s(10)
        assert await pyasic.get_miner(address) is None
        await site.wait_s(60)
        again = await pyasic.get_miner(address)
        assert str(again) == str(miner)
        assert (await again.get_data()).uptime < 60

    on_site(what)


def test_pyasic_with_a_wrong_password_changes_nothing() -> None:
    async def what(site: Site) -> None:
        miner = await pyasic.get_miner(site.address(MODEL))
        miner.web.pwd = "guess"
        full_w = site.true_w(MODEL)
        with pytest.raises(GRPCError) as refused:
            await miner.web.pause_mining()
        assert (refused.value.status, refused.value.message) == (Status.UNAUTHENTICATED, "Bad credentials")
        await site.wait_s(30)
        assert site.true_w(MODEL) == pytest.approx(full_w, rel=0.001)

    on_site(what)


def test_pyasic_cannot_read_a_miner_whose_bosminer_is_stopped() -> None:
    async def what(site: Site) -> None:
        address = site.address(MODEL)
        miner = await pyasic.get_miner(address)
        await miner.web.stop()
        await site.wait_s(30)
        assert site.true_w(MODEL) < 40
        with pytest.raises(pyasic.errors.APIError):
            await miner.get_data()
        assert type(await pyasic.get_miner(address)).__name__ == "BOSMiner", "no model without BOSminer"
        await miner.web.start()
        await site.wait_s(70)
        assert (await miner.get_data()).is_mining

    on_site(what)


def test_a_power_cut_ends_a_pause() -> None:
    async def what(site: Site) -> None:
        address, rows = site.address(MODEL), site.unit(MODEL)._row
        miner, full_w = await pyasic.get_miner(address), site.true_w(MODEL)
        assert await miner.stop_mining()
        await site.wait_s(30)
        site.fleet.switch_mains(rows, False, site.clock.now())
        await site.wait_s(10)
        assert await pyasic.get_miner(address) is None
        site.fleet.switch_mains(rows, True, site.clock.now())
        await site.wait_s(150)
        assert site.true_w(MODEL) > 0.95 * full_w
        assert (await (await pyasic.get_miner(address)).get_data()).is_mining

    on_site(what)


# ---- grpclib and betterproto, as an oracle of the wire --------------------------------------------------------------


async def signed_in(channel: Channel) -> dict[str, str]:
    said = await v1.AuthenticationServiceStub(channel).login(v1.LoginRequest(username="root", password="root"))
    assert said.timeout_s == 3600
    return {"authorization": said.token}


def test_many_calls_share_one_connection() -> None:
    async def what(site: Site) -> None:
        async with Channel(site.address(MODEL), 50051) as channel:
            key = await signed_in(channel)
            stub = v1.MinerServiceStub(channel)
            stats = await asyncio.gather(
                *(stub.get_miner_stats(v1.GetMinerStatsRequest(), metadata=key) for _ in range(20))
            )
            assert {said.miner_stats.nominal_hashrate.gigahash_per_second for said in stats} == {104_000.0}
            boards = await stub.get_hashboards(v1.GetHashboardsRequest(), metadata=key)
            assert [(board.id, board.enabled, board.chips_count) for board in boards.hashboards] == [
                (str(n), True, 126) for n in (1, 2, 3)
            ]
            details = await stub.get_miner_details(v1.GetMinerDetailsRequest(), metadata=key)
            assert (details.miner_identity.miner_model, details.status) == ("Antminer S19j Pro", v1.MinerStatus.NORMAL)
            assert details.psu_info.min_voltage.volt == 11.96

    on_site(what)


def test_a_status_stream_follows_pause_and_resume_while_other_calls_go_on() -> None:
    async def what(site: Site) -> list[int]:
        async with Channel(site.address(MODEL), 50051) as channel:
            key = await signed_in(channel)
            seen: list[int] = []

            async def watch() -> None:
                stub = v1.MinerServiceStub(channel)
                async for said in stub.get_miner_status(v1.GetMinerStatusRequest(), metadata=key):
                    seen.append(int(said.status))  # noqa: PERF401 - what was seen before the end counts

            watching = asyncio.ensure_future(watch())
            await site.wait_s(2)
            actions = v1.ActionsServiceStub(channel)
            began = site.clock.now()
            assert not (await actions.pause_mining(v1.PauseMiningRequest(), metadata=key)).already_paused
            assert site.clock.now() - began < 0.1 * SECOND, "the stream does not delay a call"
            assert (await actions.pause_mining(v1.PauseMiningRequest(), metadata=key)).already_paused
            await site.wait_s(20)
            assert not (await actions.resume_mining(v1.ResumeMiningRequest(), metadata=key)).already_mining
            await site.wait_s(20)
            watching.cancel()
            return seen

    assert on_site(what) == [2, 3, 2]


def test_errors_reach_the_caller_as_grpc_errors() -> None:
    async def what(site: Site) -> list[tuple[Status, str | None]]:
        found = []
        async with Channel(site.address(MODEL), 50051) as channel:
            login, performance = v1.AuthenticationServiceStub(channel), v1.PerformanceServiceStub(channel)
            key = await signed_in(channel)
            far = v1.SetPowerTargetRequest(save_action=v1.SaveAction.SAVE_AND_APPLY, power_target=v1.Power(watt=1))
            for calling in (
                login.login(v1.LoginRequest(username="root", password="no")),
                performance.get_tuner_state(v1.GetTunerStateRequest()),
                performance.set_power_target(far, metadata=key),
                v1.MinerServiceStub(channel)
                .get_support_archive(v1.GetSupportArchiveRequest(), metadata=key)
                .__anext__(),
            ):
                with pytest.raises(GRPCError) as refused:
                    await calling
                found.append((refused.value.status, refused.value.message))
        return found

    assert on_site(what) == [
        (Status.UNAUTHENTICATED, "Bad credentials"), (Status.UNAUTHENTICATED, "Bad credentials"),
        (Status.INVALID_ARGUMENT, "Invalid power target: 1 W is not in range 857..=7153 W"),
        (Status.UNIMPLEMENTED, None),
    ]  # fmt: skip
