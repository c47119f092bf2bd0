"""What users of miner clients complain of, reproduced with named faults against an unchanged pyasic in virtual time.

The numbers are those of docs/reference/field-complaints.md, which says what each complaint is.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from emulator import catalogue
from emulator.catalogue import Phase
from emulator.faults import Dice
from emulator.faulty_replies import Occasion, malformed
from emulator.seed import Seed
from tests.firmware_mocks.miners.yard import (
    LUX,
    RPC,
    STOCK,
    WEB,
    APIError,
    BaseMinerRPCAPI,
    S,
    Yard,
    cgi,
    fault,
    on,
    pyasic,
    read,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


# ---- the complaints --------------------------------------------------------------------------------------------------


def test_01_a_mode_written_under_the_wrong_key_is_acknowledged_and_nothing_changes() -> None:
    async def what(yard: Yard) -> None:
        reply = await cgi(yard.address, "set_miner_conf", {"bitmain-work-mode": 1})
        assert reply.json()["code"] == "M000"
        await yard.wait_s(60)
        assert yard.watts() > 2500
        assert (await cgi(yard.address, "get_miner_conf")).json()["bitmain-work-mode"] == "0"

    on(what, write_key="miner-mode")


def test_02_a_write_that_takes_21_s_is_reported_before_it_is_done() -> None:
    async def what(yard: Yard) -> None:
        miner = await yard.miner()
        began = yard.now_s
        assert await miner.stop_mining()
        assert yard.now_s - began < 7
        await yard.wait_s(60)
        assert yard.watts() < 200

    on(what, fault("delay", delay_ns=21 * S, requests="signed:POST/cgi-bin/set_miner_conf.cgi"))


def test_03_the_mode_reads_sleep_while_the_miner_hashes_on() -> None:
    async def what(yard: Yard) -> None:
        assert await (await yard.miner()).stop_mining()
        await yard.wait_s(60)
        data = await yard.data()
        assert not data.is_mining
        assert yard.unit.hash_ths(yard.clock.now()) > 90
        await yard.wait_s(60)
        assert yard.watts() < 200

    on(what, fault("slow_commands", scripts="sleep", delay_ns=90 * S))


def test_04_sleep_reboot_and_pools_are_acknowledged_and_ignored() -> None:
    async def what(yard: Yard) -> None:
        miner = await yard.miner()
        before = (await yard.data()).uptime
        assert await miner.stop_mining()
        assert await miner.reboot()
        config = await miner.get_config()
        config.pools.groups[0].pools[0].url = "stratum+tcp://other.example:3333"
        await miner.send_config(config)
        assert (await cgi(yard.address, "set_miner_conf", {"miner-mode": 1})).json()["code"] == "M000"
        await yard.wait_s(60)
        data = await yard.data()
        assert data.is_mining
        assert data.uptime > before + 60
        assert "other.example" not in str(data.pools[0].url)
        assert yard.watts() > 2500

    on(what, fault("acknowledge_only", requests="POST* GET/cgi-bin/reboot.cgi"))


def test_05_a_toggle_has_no_effect_and_an_asleep_unit_still_lists_its_chips() -> None:
    async def what(yard: Yard) -> None:
        miner = await yard.miner()
        assert await miner.stop_mining()
        await yard.wait_s(300)  # the boards have cooled, so that the fans are at their slowest
        data = await yard.data()
        assert (float(data.hashrate), data.is_mining) == (0.0, False)
        assert [board.chips for board in data.hashboards] == [126] * 3
        assert all(fan.speed == 960 for fan in data.fans)
        assert await miner.resume_mining()
        await yard.wait_s(300)
        assert yard.unit.phase(yard.clock.now()) is Phase.SLEEP

    on(what, fault("acknowledge_only", start_s=50, requests="POST*"), asleep_style="idle")


def test_06_waking_with_mode_zero_forgets_the_mode_before() -> None:
    async def what(yard: Yard) -> None:
        await cgi(yard.address, "set_miner_conf", {"miner-mode": 2})
        await yard.wait_s(200)
        before_w = yard.watts()
        miner = await yard.miner()
        await miner.stop_mining()
        await yard.wait_s(60)
        await miner.resume_mining()
        await yard.wait_s(600)
        assert before_w == pytest.approx(0.8 * 3500, rel=0.05)
        assert yard.watts() > 1.15 * before_w

    on(what, unit=("antminer-stock", "s21"))


def test_07_12_30_an_endpoint_that_this_image_does_not_have_is_no_error_to_the_client() -> None:
    async def what(yard: Yard) -> None:
        assert (await cgi(yard.address, "set_miner_conf", {"miner-mode": 1})).status_code == 404
        assert await (await yard.miner()).stop_mining()
        await yard.wait_s(60)
        assert yard.watts() > 2500

    on(what, fault("http_status", status=404, requests="*/cgi-bin/set_miner_conf.cgi"))


def test_08_devdetails_are_denied_and_a_rate_in_the_wrong_unit_is_believed() -> None:
    async def what(yard: Yard) -> None:
        with pytest.raises(APIError, match="Access denied"):
            await (await yard.miner()).rpc.devdetails()
        assert float((await yard.data()).hashrate) > 90_000

    on(what, fault("misread", how="scale", keys="GHS* rate_*", factor=1000.0))


def test_09_a_joined_command_is_an_invalid_one_and_the_client_asks_singly() -> None:
    async def what(yard: Yard) -> None:
        miner = await yard.miner()
        with pytest.raises(APIError, match="Invalid command"):
            await miner.rpc.send_command("summary+stats")
        return await miner.get_data()

    for unit, faults in ((STOCK, ()), (LUX, (fault("api_error", code=14, msg="Invalid command", requests="*+*"),))):
        assert float(on(what, *faults, unit=unit).hashrate) > 90


def test_10_statistics_under_another_index_leave_fans_and_uptime_empty() -> None:
    data, _ = on(read, fault("misread", how="shorten", keys="STATS", requests="stats", **RPC))
    assert ([fan.speed for fan in data.fans], data.uptime) == ([None] * 4, None)


def test_11_a_web_that_hangs_leaves_only_the_socket_to_be_known_by() -> None:
    async def what(yard: Yard) -> None:
        assert "S19j Pro" in str(await yard.miner())
        assert yard.now_s < 4

    on(what, fault("hang", **WEB))


def test_14_one_hung_miner_holds_up_whoever_waits_for_all() -> None:
    async def what(yard: Yard) -> None:
        found = [await pyasic.get_miner(address) for address in (yard.address, yard.sound)]
        began = yard.now_s
        took: list[float] = []

        async def collect(miner: Any) -> None:
            await miner.get_data()
            took.append(yard.now_s - began)

        await asyncio.gather(*map(collect, found))
        assert took[0] < 1 < 200 < took[1]

    on(what, fault("hang", **RPC))


def test_15_a_reply_of_another_form_makes_the_client_say_no_though_it_was_done() -> None:
    async def what(yard: Yard) -> None:
        miner = await yard.miner()
        assert not await miner.stop_mining()
        await yard.wait_s(10)
        assert yard.watts() < 100

    on(what, fault("misread", how="put", keys="STATUS.0.STATUS", value="OK", requests="curtail"), unit=LUX)


def test_16_a_stopped_miner_is_mining_to_the_client() -> None:
    async def what(yard: Yard) -> None:
        assert await (await yard.miner()).stop_mining()
        await yard.wait_s(60)
        assert (await yard.data()).is_mining
        assert yard.watts() < 100

    on(what, unit=LUX)


def test_17_a_stopped_miner_without_its_socket_cannot_be_told_what_it_is() -> None:
    async def what(yard: Yard) -> None:
        assert "S21" in str(await yard.miner())
        await yard.wait_s(10)
        assert "S21" not in str(await yard.miner())

    on(what, fault("refuse", start_s=5, **RPC), unit=LUX)


def test_18_not_ready_after_a_change_of_limit_then_the_connection_is_lost() -> None:
    async def what(yard: Yard) -> None:
        miner = await yard.miner()
        await yard.wait_s(10 - yard.now_s)
        with pytest.raises(APIError, match="Not ready"):
            await miner.rpc.summary()
        await yard.wait_s(10)
        assert await miner.rpc.summary() == {}
        await yard.wait_s(20)
        assert (await miner.rpc.summary())["STATUS"][0]["STATUS"] == "S"

    on(what, fault("api_error", 5, 15, msg="Not ready"), fault("refuse", 15, 35, **RPC), unit=LUX)


def test_19_a_path_of_another_image_is_405() -> None:
    async def what(yard: Yard) -> None:
        assert (await cgi(yard.address, "get_system_info")).status_code == 405
        data = await yard.data()
        assert (data.serial_number, data.hostname) == (None, None)

    on(what, fault("http_status", status=405, requests="/cgi-bin/get_system_info.cgi"))


def test_20_28_a_limit_is_taken_and_changes_nothing() -> None:
    async def what(yard: Yard) -> None:
        before_w = yard.watts()
        assert await (await yard.miner()).set_power_limit(2600)
        await yard.wait_s(120)
        assert yard.watts() == pytest.approx(before_w, rel=0.01)

    on(what, fault("acknowledge_only", requests="profileset"), unit=LUX)


def test_21_fields_that_an_update_took_away_are_unknown() -> None:
    data, _ = on(read, fault("misread", how="remove", keys="GHS_5s rate_5s Elapsed"))
    assert data.uptime is None


def test_22_a_reboot_without_a_reply_happens_all_the_same() -> None:
    async def what(yard: Yard) -> None:
        assert not await (await yard.miner()).reboot()
        await yard.wait_s(15)
        assert yard.unit.phase(yard.clock.now()) is Phase.BOOT

    on(what, fault("hang_up", requests="rebootdevice"), unit=LUX)


def test_23_a_write_is_never_answered_and_done() -> None:
    async def what(yard: Yard) -> None:
        miner = await yard.miner()
        stopping = asyncio.create_task(miner.stop_mining())
        await yard.wait_s(20)
        assert yard.watts() < 100
        assert not stopping.done()
        assert await stopping, "a time-out is a success to the client"
        assert yard.now_s > 100

    on(what, fault("no_answer", requests="curtail"), unit=LUX)


def test_24_errors_in_a_list_written_like_an_object_are_read_all_the_same() -> None:
    told = {"STATUS": "S", "Code": 131, "Msg": {"error_code": [{"530": "2024-01-05 10:22:11"}]}}
    whole = json.dumps(told, separators=(",", ":")).encode()
    occasion = Occasion(fault("malformed", how="error_list"), Dice(Seed(1)), (), {}, {})
    sent = malformed(occasion, whole)
    with pytest.raises(json.JSONDecodeError):
        json.loads(sent)
    assert BaseMinerRPCAPI._load_api_data(sent)["Msg"] == {"error_code": {"530": "2024-01-05 10:22:11"}}


def test_25_35_a_rate_stands_still_though_the_miner_does_not_hash() -> None:
    async def what(yard: Yard) -> None:
        miner = await yard.miner()
        before = await miner.get_data()
        await yard.wait_s(10 - yard.now_s)
        await miner.stop_mining()
        await yard.wait_s(2 * 3600)
        after = await miner.get_data()
        assert float(after.hashrate) == float(before.hashrate) > 90
        assert after.pools[0].accepted == before.pools[0].accepted
        assert max(board.temp for board in after.hashboards) < 30, "cold"
        assert yard.watts() < 200

    on(what, fault("misread", 10, how="freeze", keys="GHS* rate* Accepted* *[Aa]ccepted"))


def test_26_an_older_profile_is_shown_than_the_one_that_rules() -> None:
    async def what(yard: Yard) -> None:
        miner = await yard.miner()
        before = (await miner.get_data()).wattage_limit
        await yard.wait_s(10 - yard.now_s)
        assert await miner.set_power_limit(2600)
        await yard.wait_s(120)
        assert (await miner.get_data()).wattage_limit == before
        assert yard.watts() < 0.8 * before

    on(what, fault("misread", 10, how="freeze", keys="Profile*", requests="config"), unit=LUX)


def test_27_no_profile_to_choose_from_makes_the_limit_fail() -> None:
    async def what(yard: Yard) -> None:
        miner = await yard.miner()
        with pytest.raises(KeyError):
            await miner.set_power_limit(2600)
        assert yard.watts() > 3000

    on(what, fault("misread", how="shorten", keys="PROFILES", elements=999, requests="profiles"), unit=LUX)


@pytest.mark.parametrize("unit", [STOCK, LUX])
def test_29_31_an_unknown_model_has_no_boards(unit: tuple[str, str]) -> None:
    async def what(yard: Yard) -> None:
        data = await yard.data()
        assert data.model != catalogue.model(unit[1]).name
        assert len(data.hashboards) == 0

    on(what, fault("misread", how="put", keys="Type minertype miner_type", value="Antminer S99 Ultra"), unit=unit)


def test_31_rate_and_temperatures_are_missing_after_an_update() -> None:
    data, _ = on(read, fault("misread", how="remove", keys="MHS* GHS* *emp*"), unit=LUX)
    assert [board.temp for board in data.hashboards] == [None] * 3
    assert [board.hashrate is None for board in data.hashboards] == [False, True, True], "it stops at the first hole"
    assert float(data.hashrate) < 70


def test_32_fans_at_full_after_a_restart() -> None:
    async def what(yard: Yard) -> None:
        before = [fan.speed for fan in (await yard.data()).fans]
        await yard.wait_s(10)
        assert min(fan.speed for fan in (await yard.data()).fans) > 1.4 * max(before)

    on(what, fault("misread", 5, how="scale", keys="RPM", factor=1.7, requests="fans"), unit=LUX)


def test_33_a_short_average_far_below_the_truth_is_believed() -> None:
    data, _ = on(read, fault("misread", how="scale", keys="GHS_5s rate_5s rate_real", factor=0.3))
    assert 25 < float(data.hashrate) < 40


def test_34_unparsable_statistics_leave_holes() -> None:
    data, _ = on(read, fault("malformed", how="bare_nan", requests="stats", **RPC))
    assert data.uptime is None


def test_36_a_miner_that_stopped_hashing_draws_little_until_it_is_restarted() -> None:
    async def what(yard: Yard) -> None:
        await yard.wait_s(120)
        data = await yard.data()
        assert float(data.hashrate) < 5
        assert data.is_mining, "nobody told the firmware"
        assert yard.watts() < 100
        await (await yard.miner()).reboot()
        await yard.wait_s(400)
        assert yard.watts() > 2500

    on(what, fault("miner_acts", 5, script="sleep"))


def test_37_a_rate_is_shown_and_the_boards_are_cold() -> None:
    async def what(yard: Yard) -> None:
        await yard.data()
        await yard.wait_s(400)
        data = await yard.data()
        assert float(data.hashrate) > 90
        assert max(board.temp for board in data.hashboards) < 30

    on(what, fault("misread", 5, how="freeze", keys="GHS* rate*"), fault("miner_acts", 10, script="sleep"))


@pytest.mark.parametrize("body", ["html", "empty"])
def test_38_a_page_or_nothing_in_the_place_of_json_is_no_data(body: str) -> None:
    data, _ = on(read, fault("other_body", body=body, requests="/cgi-bin/*"))
    assert (data.mac, float(data.hashrate) > 90) == (None, True)
    data, _ = on(read, fault("other_body", body=body, **RPC))
    assert data.uptime is None


def test_39_a_write_refused_for_its_password_is_a_success_to_the_client() -> None:
    async def what(yard: Yard) -> None:
        assert (await cgi(yard.address, "get_miner_conf")).status_code == 401
        assert await (await yard.miner()).stop_mining()
        await yard.wait_s(60)
        assert yard.watts() > 2500

    on(what, fault("acknowledge_only", requests="POST*"), fault("http_status", status=401))
