"""Reactions of an unchanged pyasic to named faults, as the reference sheet measured them, in virtual time."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest

from emulator.faulty_replies import malformations
from tests.firmware_mocks.miners.yard import LUX, RPC, WEB, APIError, S, Yard, cgi, fault, on, read

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


# ---- reactions of the client as the reference sheet measured them ----------------------------------------------------


def test_without_4028_data_come_from_the_web_only() -> None:
    data, _ = on(read, fault("refuse", **RPC))
    assert float(data.hashrate) > 90, "the client takes the rate from the web now"
    assert [board.chips for board in data.hashboards] == [126] * 3
    assert ([fan.speed for fan in data.fans], data.uptime, data.is_mining) == ([None] * 4, None, True)


def test_without_the_web_there_is_no_address_and_no_temperature() -> None:
    data, _ = on(read, fault("refuse", **WEB))
    assert float(data.hashrate) > 90
    assert (data.mac, [board.temp for board in data.hashboards]) == (None, [None] * 3)
    assert data.uptime > 0


def test_a_host_that_refuses_everything_is_nobody() -> None:
    async def what(yard: Yard) -> None:
        assert await yard.miner() is None
        assert yard.now_s < 1

    on(what, fault("refuse"))


def test_an_asleep_unit_that_shows_nothing_has_no_rate() -> None:
    async def what(yard: Yard) -> Any:
        await (await yard.miner()).stop_mining()
        await yard.wait_s(60)
        return await yard.data()

    data = on(what, asleep_style="empty")
    assert (data.hashrate, data.is_mining) == (None, False)


def test_a_missing_comma_in_stats_is_repaired() -> None:
    data, _ = on(read, fault("malformed", how="missing_comma", requests="stats", **RPC))
    assert len([fan.speed for fan in data.fans if fan.speed]) == 4
    assert data.uptime > 0
    assert float(data.expected_hashrate) == 104


def test_stats_cut_at_seventy_per_cent_lose_fans_uptime_and_expectation() -> None:
    data, _ = on(read, fault("truncate", keep=0.7, requests="stats", **RPC))
    assert ([fan.speed for fan in data.fans], data.uptime, data.expected_hashrate) == ([None] * 4, None, None)
    assert float(data.hashrate) > 90


@pytest.mark.parametrize(("delay_s", "takes_s"), [(2, 4), (6, 12)])
def test_slow_replies_are_waited_for_twice_one_joined_and_one_single(delay_s: int, takes_s: int) -> None:
    data, took_s = on(read, fault("delay", delay_ns=delay_s * S, **RPC))
    assert takes_s <= took_s < takes_s + 0.3
    assert data.uptime > 0


def test_13_a_call_that_is_accepted_and_never_answered_costs_a_hundred_seconds() -> None:
    async def what(yard: Yard) -> None:
        miner = await yard.miner()
        began = yard.now_s
        assert await miner.rpc.summary() == {}
        assert yard.now_s - began == pytest.approx(100)
        data = await miner.get_data()
        assert yard.now_s - began > 200, "13: and again for each further call"
        assert data.uptime is None

    on(what, fault("hang", **RPC))


def test_a_miner_that_takes_one_caller_and_resets_others_makes_the_client_raise() -> None:
    async def what(yard: Yard) -> None:
        miner = await yard.miner()
        with pytest.raises((ConnectionResetError, APIError)):
            await miner.get_data()

    on(what, fault("few_connections", **RPC))


REPAIRED = {
    "trailing_comma", "missing_comma", "extra_comma", "missing_comma_temp0", "missing_brace", "newline",
    "newline_inside", "leading_comma", "nul_missing", "nan", "inf", "length_short", "length_long", "error_list",
}  # fmt: skip


@pytest.mark.parametrize("how", sorted(malformations()))
def test_a_damage_is_repaired_by_the_client_or_costs_it_what_4028_knows(how: str) -> None:
    data, _ = on(read, fault("malformed", how=how, **RPC))
    assert float(data.hashrate) > 90
    assert (data.uptime is not None) == (how in REPAIRED)


# ---- further injections of the sheet ---------------------------------------------------------------------------------


def test_two_segments_half_a_second_apart_are_one_reply() -> None:
    data, took_s = on(read, fault("slow_loris", slice_bytes=400, interval_ns=S // 2, requests="summary", **RPC))
    assert took_s > 0.5
    assert float(data.hashrate) > 90


def test_a_password_that_was_changed_is_asked_for_again_and_again() -> None:
    async def what(yard: Yard) -> Any:
        reply = await cgi(yard.address, "get_system_info")
        assert (reply.status_code, len(reply.history)) == (401, 1)
        assert "Digest realm" in reply.headers["WWW-Authenticate"]
        return await yard.data()

    data = on(what, fault("http_status", status=401, **WEB))
    assert (data.mac, data.is_mining, data.uptime > 0) == (None, True, True)


def test_the_web_is_not_ready_for_half_a_minute_after_a_reboot() -> None:
    async def what(yard: Yard) -> None:
        assert (await cgi(yard.address, "get_system_info")).status_code == 503
        await yard.wait_s(30)
        assert (await yard.data()).mac == "02:5E:10:00:00:00"

    on(what, fault("http_status", 0, 30, status=503, requests="/cgi-bin/*"))


def test_an_empty_address_is_none_and_the_clock_of_1970_is_nobodys_business() -> None:
    faults = fault("misread", how="put", keys="macaddr serinum serial_no", value=""), fault("misread", keys="When when")
    data, _ = on(read, *faults)
    assert not data.mac
    assert not data.serial_number
    assert float(data.hashrate) > 90


def test_a_board_that_is_gone_is_missing_and_its_rate_is_not_counted() -> None:
    keys = "chain_acn3 chain_rate3 freq3 temp3"
    data, _ = on(read, fault("misread", keys=keys), fault("misread", how="shorten", keys="chain"))
    assert [board.missing for board in data.hashboards] == [False, False, True]
    assert 60 < float(data.hashrate) < 75


def test_a_fan_stands_still() -> None:
    data, _ = on(read, fault("misread", keys="fan2", requests="stats"))
    assert [fan.speed == 0 for fan in data.fans] == [False, True, False, False]


@pytest.mark.parametrize(("value", "shown"), [("0", 0), ("-40", -40)])
def test_a_sensor_shows_nothing_or_frost(value: str, shown: int) -> None:
    data, _ = on(read, fault("misread", keys="temp_* temp*", value=value))
    assert [board.temp for board in data.hashboards] == [shown] * 3


@pytest.mark.parametrize(("given", "watts"), [({}, 0), ({"how": "scale", "factor": 9.0}, 31_500)])
def test_watts_are_nothing_or_wild(given: dict[str, Any], watts: int) -> None:
    data, _ = on(read, fault("misread", keys="Watts *ower*", requests="power", **given), unit=LUX)
    assert data.wattage == pytest.approx(watts, rel=0.15)


def test_the_short_average_overshoots_in_the_first_minute() -> None:
    async def what(yard: Yard) -> tuple[float, float]:
        early = float((await yard.data()).hashrate)
        await yard.wait_s(60)
        return early, float((await yard.data()).hashrate)

    early, later = on(what, fault("misread", 0, 60, how="scale", keys="*5s rate_real", factor=1.3))
    assert early == pytest.approx(1.3 * later, rel=0.05)


def test_the_socket_restarts_inside_a_ramp() -> None:
    async def what(yard: Yard) -> list[bool]:
        miner, seen = await yard.miner(), []
        for _ in range(4):
            seen.append(bool(await miner.rpc.summary()))
            await yard.wait_s(10)
        return seen

    assert on(what, fault("refuse", 15, 25, **RPC)) == [True, True, False, True]


def test_a_limit_is_taken_and_stops_at_the_floor() -> None:
    async def what(yard: Yard) -> None:
        before_w = yard.watts()
        assert await (await yard.miner()).set_power_limit(2400)
        await yard.wait_s(120)
        assert (await yard.data()).wattage_limit <= 2400
        assert yard.watts() == pytest.approx(0.8 * before_w, rel=0.01)

    on(what, fault("clamped_limit", floor=0.8), unit=LUX)


def test_a_stopped_miner_wakes_by_itself_and_its_mode_still_reads_sleep() -> None:
    async def what(yard: Yard) -> None:
        assert await (await yard.miner()).stop_mining()
        await yard.wait_s(60)
        assert yard.watts() < 200
        await yard.wait_s(400)
        assert yard.watts() > 2500
        assert not (await yard.data()).is_mining

    on(what, fault("miner_acts", 100))


def test_two_miners_on_one_address_are_now_one_now_the_other() -> None:
    async def what(yard: Yard) -> set[str]:
        seen = set()
        for _ in range(12):
            seen.add((await yard.data()).mac)
            await yard.wait_s(60)
        return seen

    taken = fault("duplicate_address", other="m1", every_ns=60 * S, probability=0.5)
    assert on(what, taken) == {"02:5E:10:00:00:00", "02:5E:10:00:00:01"}


def test_a_connection_that_was_open_dies_without_a_word_and_a_new_one_works() -> None:
    async def what(yard: Yard) -> None:
        url = f"http://{yard.address}/"
        async with httpx.AsyncClient(timeout=20) as client:
            await yard.wait_s(8)
            assert (await client.get(url)).status_code == 401
            await yard.wait_s(3)
            with pytest.raises(httpx.ReadTimeout):
                await client.get(url)
            assert yard.now_s == pytest.approx(31, abs=0.1)
            assert (await client.get(url)).status_code == 401

    on(what, fault("half_open", 10))
