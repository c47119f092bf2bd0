"""WhatsMiner API V2: tokens and the envelope, every read and write, and when and how the miner follows."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import md5
from typing import Any

import pytest

from emulator.catalogue import Phase
from emulator.wire import MINUTE, SECOND, Close, Send
from firmware_mocks.miners.whatsminer_v2 import READS, REPORTS, WRITES
from tests.firmware_mocks.miners.whatsminer_hand import Hand, crypt, encrypt

MakeBench = Callable[..., Any]


@pytest.fixture
def make(bench: MakeBench) -> Callable[..., Hand]:
    return lambda model="m50s", **knobs: Hand(bench("whatsminer", model, **knobs))


@pytest.fixture
def wm(make: Callable[..., Hand]) -> Hand:
    return make()


def code(reply: dict[str, Any]) -> tuple[str, int]:
    head = reply["STATUS"][0] if isinstance(reply["STATUS"], list) else reply
    return head["STATUS"], head["Code"]


OK, FAILED, CLOSED, BAD_TOKEN = ("S", 131), ("E", 132), ("E", 45), ("E", 135)
READINGS = {"summary": 11, "devs": 9, "edevs": 9, "pools": 7, "devdetails": 69}


def scripts(wm: Hand) -> list[str]:
    return [script for script, _, _ in wm.bench.unit.ran]


# ---- reads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_has_a_list_for_a_status_and_may_be_joined(wm: Hand, name: str) -> None:
    reply = wm.read(name)
    assert code(reply) == ("S", READINGS[name])
    joined = wm.read(f"{name}+summary+{name}")
    assert joined[name] == [reply]
    assert set(joined) == {name, "summary", "id"}


@pytest.mark.parametrize("name", READS)
def test_an_answer_of_the_api_itself_has_a_text_for_a_status_and_is_asked_singly(wm: Hand, name: str) -> None:
    reply = wm.read(name)
    assert code(reply) == OK
    assert isinstance(reply["Msg"], dict)
    assert code(wm.read(f"summary+{name}")) == ("E", 45)


@pytest.mark.parametrize("key", ["cmd", "command"])
def test_both_keys_of_a_command_are_understood(wm: Hand, key: str) -> None:
    sent, delay, closed = wm.bench.send(json.dumps({key: "summary"}).encode())
    assert json.loads(sent)["SUMMARY"][0]["Factory GHS"] == 126_000
    assert closed
    assert 0 < delay < SECOND


def test_what_is_no_command_gets_the_firmwares_own_words(wm: Hand) -> None:
    broken, unknown = (b"summary", b"{", b"[1]"), (b"{}", b'{"cmd":"version"}', b'{"cmd":7}', b'{"cmd":"a+b"}')
    for said in (*broken, *unknown):
        sent, _, closed = wm.bench.send(said)
        assert code(json.loads(sent)) == ("E", 23 if said in broken else 14)
        assert closed


def test_a_request_in_two_segments_is_parsed_half_unless_the_server_is_patient(make: Callable[..., Hand]) -> None:
    for patient in (False, True):
        wm = make(one_recv=not patient)
        talk = wm.bench.device.converse(4028, "127.0.0.1", wm.bench.start)
        first = talk.received(b'{"cmd":"sum', wm.bench.start)
        second = talk.received(b'mary"}', wm.bench.start + SECOND)
        actions = second if patient else first
        assert isinstance(actions[0], Send)
        assert code(json.loads(actions[0].data)) == (("S", 11) if patient else ("E", 23))
        assert list(first if patient else second) == []


def test_a_silent_caller_is_let_go_after_ten_seconds_and_requests_are_served_one_after_the_other(wm: Hand) -> None:
    assert wm.bench.device.converse(4028, "127.0.0.1", wm.bench.start).idle_timeout_ns == 10 * SECOND
    waits = [wm.bench.send(b'{"cmd":"status"}')[1] for _ in range(5)]
    assert [wait // waits[0] for wait in waits] == [1, 2, 3, 4, 5]


def test_readings_move_together(wm: Hand) -> None:
    unit = wm.bench.unit
    unit.watts, unit.hash_steps = 1645.0, [(0, 126.0), (wm.bench.start, 63.0)]
    later = wm.bench.start + 20 * SECOND
    row = wm.read("summary", later)["SUMMARY"][0]
    psu = wm.read("get_psu", later)["Msg"]
    assert row["freq_avg"] == 358
    assert int(psu["pin"]) == row["Power"] == pytest.approx(1645, rel=0.08)
    assert int(psu["iin"]) * int(psu["vin"]) / 1e5 == pytest.approx(row["Power"], rel=0.01)
    assert 63e6 < row["MHS 5s"] < row["HS RT"] < row["MHS 1m"] < row["MHS 5m"] < row["MHS 15m"] < row["MHS av"] < 127e6
    devs = wm.read("devs", later)["DEVS"]
    assert sum(dev["MHS 1m"] for dev in devs) == pytest.approx(row["MHS 1m"])
    assert max(dev["Temperature"] for dev in devs) == row["Temperature"]
    assert row["Chip Temp Min"] < row["Temperature"] < row["Chip Temp Avg"] < row["Chip Temp Max"]


def test_the_page_on_port_80_sends_everybody_to_https(wm: Hand) -> None:
    status, headers, body, _ = wm.bench.web(b"GET /cgi-bin/luci HTTP/1.1\r\nHost: m\r\n\r\n")
    assert (status, headers["location"], body) == (307, "https://127.7.1.5/cgi-bin/luci", b"")


# ---- access ---------------------------------------------------------------------------------------------------------


def test_a_token_has_a_four_digit_time_a_lasting_salt_and_a_fresh_one(wm: Hand) -> None:
    first, second = wm.read("get_token"), wm.read("get_token")
    assert code(first) == ("S", 134)
    assert len(first["Msg"]["time"]) == 4
    assert first["Msg"]["salt"] == second["Msg"]["salt"]
    assert first["Msg"]["newsalt"] != second["Msg"]["newsalt"]


@pytest.mark.parametrize("command", WRITES)
def test_no_write_works_in_plain_text_or_under_another_password_or_with_another_token(wm: Hand, command: str) -> None:
    before, doors = wm.bench.device.conf, wm.bench.device.access.doors
    assert code(wm.read(command, respbefore="true", token="x")) == CLOSED
    wrong = wm.write(command, password="guess")
    assert (wrong["Code"], wrong["Msg"], wrong["Description"]) == (23, "enc json load err", "")
    aes_key, _ = wm.token()
    assert code(wm.write(command, token=(aes_key, "0" * 22))) == BAD_TOKEN
    assert code(wm.write(command, token=(aes_key, ""))) == BAD_TOKEN
    assert (wm.bench.device.conf, wm.bench.device.access.doors) == (before, doors)
    assert wm.bench.unit.ran == []


@pytest.mark.parametrize("command", WRITES)
def test_no_write_works_while_the_switch_is_off_or_the_password_is_the_factorys(
    make: Callable[..., Hand], command: str
) -> None:
    for knobs in ({"api_switch": False}, {"password_changed": False}):
        wm = make(**knobs)
        reply = wm.write(command)
        assert (code(reply), reply["Msg"]) == (CLOSED, "can't access write cmd")
        assert wm.bench.unit.ran == []


def test_an_envelope_that_is_no_base64_is_told_so_in_plain_text(wm: Hand) -> None:
    for data in ("!!", "AAAA", 7, None):
        sent, _, _ = wm.bench.send(json.dumps({"enc": 1, "data": data}).encode())
        assert code(json.loads(sent)) == ("E", 137)


def test_reads_may_be_sent_in_the_envelope_too(wm: Hand) -> None:
    assert wm.write("summary")["SUMMARY"] == wm.read("summary")["SUMMARY"]
    assert code(wm.write("nonsense")) == ("E", 14)


def test_a_token_holds_for_half_an_hour(wm: Hand) -> None:
    token = wm.token()
    start = wm.bench.start
    assert code(wm.write("set_led", start + 30 * MINUTE - 1, token=token, param="auto")) == OK
    assert code(wm.write("set_led", start + 30 * MINUTE, token=token, param="auto")) == BAD_TOKEN


def test_one_caller_holds_32_tokens_and_16_callers_may_hold_any(wm: Hand) -> None:
    def ask(peer: str, now: int) -> tuple[str, int]:
        actions = wm.bench.device.converse(4028, peer, now).received(b'{"cmd":"get_token"}', now)
        return code(json.loads(actions[0].data))

    start = wm.bench.start
    assert [ask("10.0.0.1", start) for _ in range(33)] == [("S", 134)] * 32 + [("E", 136)]
    assert [ask(f"10.0.0.{n}", start) for n in range(2, 18)] == [("S", 134)] * 15 + [("E", 136)]
    assert ask("10.0.0.1", start + 30 * MINUTE) == ("S", 134)


def test_the_password_can_be_changed_and_then_only_the_new_one_opens(wm: Hand) -> None:
    old = wm.token()
    assert code(wm.write("update_pwd", old="wrong", new="secret_1")) == FAILED
    for new in ("", "ninechars", "a b", "ä"):
        assert code(wm.write("update_pwd", old="admin", new=new)) == FAILED
    assert code(wm.write("update_pwd", old="admin", new="secret_1")) == OK
    assert wm.write("power_off", token=old)["Msg"] == "enc json load err"
    assert wm.write("power_off", password="admin")["Msg"] == "enc json load err"
    assert code(wm.write("power_off", password="secret_1")) == OK
    assert code(wm.write("update_pwd", password="secret_1", old="secret_1", new="admin")) == OK
    assert code(wm.write("set_led", param="auto")) == OK


def test_the_write_api_challenge_turns_the_switch_on(make: Callable[..., Hand]) -> None:
    wm = make(api_switch=False, password_changed=False)
    start, opening = wm.bench.start, {"command": "open_write_api", "client": "heatcore", "enable": True}

    def answer(magic: str) -> dict[str, Any]:
        talk = wm.bench.device.converse(4028, "127.0.0.1", start)
        (first,) = talk.received(json.dumps(opening).encode(), start)
        msg = json.loads(first.data)["Msg"]
        text = f"{msg['time']}{msg['newsalt']}{magic}{crypt('admin', msg['salt'])}"
        token = md5(text.encode(), usedforsecurity=False).hexdigest()
        second, close = talk.received(json.dumps({"token": token}).encode(), start)
        assert isinstance(close, Close)
        found: dict[str, Any] = json.loads(second.data)
        return found

    assert code(answer("0" * 32)) == BAD_TOKEN
    assert code(wm.write("power_off")) == CLOSED
    assert code(answer("3804fe31981418ce711a31d94bc69651")) == OK
    assert code(wm.write("power_off")) == OK
    assert code(wm.read("open_write_api", client="someone", enable=True)) == FAILED
    assert code(make(open_write_api=False).read("open_write_api")) == ("E", 14)


def test_a_factory_reset_shuts_the_door_again(wm: Hand) -> None:
    wm.write("adjust_power_limit", power_limit="2500")
    assert code(wm.write("factory_reset")) == OK
    assert scripts(wm)[-1] == "factory_reset"
    assert wm.bench.device.conf.limit_w is None
    assert code(wm.write("power_off")) == CLOSED


# ---- on and off -----------------------------------------------------------------------------------------------------


def test_power_off_starts_when_the_reply_leaves_or_the_reply_comes_when_it_is_done(wm: Hand) -> None:
    assert code(wm.write("power_off", respbefore="true")) == OK
    ((script, at, _),) = wm.bench.unit.ran
    assert script == "sleep"
    assert 0 < at - wm.bench.start < SECOND / 10
    status = wm.read("status", wm.bench.start + SECOND)["Msg"]
    assert (status["mineroff"], status["mineroff_reason"]) == ("true", "by whatsminer API")
    assert status["mineroff_time"] == "2026-05-28 10:00:00"
    assert code(wm.write("power_off", respbefore="true")) == OK
    assert len(wm.bench.unit.ran) == 1, "again is no more"


def test_power_off_that_answers_afterwards_takes_as_long_as_the_boards(wm: Hand) -> None:
    token = wm.token()
    start = wm.bench.start + SECOND
    inner = encrypt(token[0], json.dumps({"cmd": "power_off", "respbefore": "false", "token": token[1]}))
    _, delay, _ = wm.bench.send(json.dumps({"enc": 1, "data": inner}).encode(), start)
    assert 3 * SECOND < delay < 4 * SECOND
    assert wm.bench.unit.ran[0][1] < start + SECOND / 10


def test_stopped_in_the_idle_way_the_averages_fall_and_the_limit_reads_nothing(wm: Hand) -> None:
    wm.write("power_off")
    wm.bench.unit.sleeps(wm.bench.start)
    later = wm.bench.start + 60 * SECOND
    row = wm.read("summary", later)["SUMMARY"][0]
    assert (row["Power"], row["Power Limit"], row["freq_avg"], row["Upfreq Complete"]) == (13, 0, 0, 0)
    assert row["MHS 5s"] < 0.01 * row["MHS av"]
    assert 0.3 < row["MHS 1m"] / 126e6 < 0.45
    assert row["MHS 15m"] > 0.9 * 126e6
    assert {dev["Status"] for dev in wm.read("devs", later)["DEVS"]} == {"Initialising"}
    assert wm.read("edevs", later)["DEVS"] == []
    assert {(pool["Status"], pool["Stratum Active"]) for pool in wm.read("pools", later)["POOLS"]} == {("Dead", False)}
    assert wm.read("get_psu", later)["Msg"]["enable"] == "0"


def test_stopped_in_the_other_way_there_is_no_process_to_ask(make: Callable[..., Hand]) -> None:
    wm = make(asleep_style="error")
    wm.write("power_off")
    for asked in ("summary", "devs+summary+pools"):
        reply = wm.read(asked)
        assert (code(reply), reply["Msg"]) == (FAILED, "btminer process is down err")
    assert wm.read("status")["Msg"]["mineroff"] == "true"


@pytest.mark.parametrize(
    ("settings", "script"),
    [
        ([], "wake"), ([("adjust_upfreq_speed", {"upfreq_speed": 2})], "wake"),
        ([("adjust_upfreq_speed", {"upfreq_speed": "5"})], "wake_medium"),
        ([("adjust_upfreq_speed", {"upfreq_speed": 9})], "wake_quick"),
        ([("enable_btminer_fast_boot", {})], "wake_fast"),
        ([("enable_btminer_fast_boot", {}), ("disable_btminer_fast_boot", {})], "wake"),
        ([("enable_btminer_fast_boot", {}), ("adjust_upfreq_speed", {"upfreq_speed": 9})], "wake_quick"),
    ],
)  # fmt: skip
def test_power_on_goes_at_the_speed_that_was_chosen(wm: Hand, settings: list[Any], script: str) -> None:
    for command, given in settings:
        assert code(wm.write(command, **given)) == OK
    wm.write("power_off")
    wm.bench.unit.sleeps(wm.bench.start)
    assert code(wm.write("power_on")) == OK
    assert scripts(wm) == ["sleep", script]
    assert wm.bench.unit.ran[1][2] == 1.0
    assert code(wm.write("power_on")) == OK
    assert len(wm.bench.unit.ran) == 2


def test_the_process_that_power_on_starts_counts_from_nothing(wm: Hand) -> None:
    wm.write("power_off")
    later = wm.bench.start + 100 * SECOND
    assert wm.read("summary", later)["SUMMARY"][0]["Elapsed"] == 36_100
    wm.write("power_on", later)
    assert code(wm.read("summary", later + 3 * SECOND)) == FAILED, "it is not there yet"
    assert wm.read("get_version", later + 3 * SECOND)["Msg"]["api_ver"] == "2.0.5", "the API is"
    row = wm.read("summary", later + 15 * SECOND)["SUMMARY"][0]
    assert (row["Elapsed"], row["Uptime"]) == (9, 36_115)


def test_a_pre_heated_miner_comes_back_fast(wm: Hand) -> None:
    start = wm.bench.start
    assert wm.write("pre_power_on")["Msg"]["complete"] == "true", "nothing to do for one that mines"
    wm.write("power_off")
    assert wm.write("pre_power_on")["Msg"] == {"complete": "false", "msg": "wait for adjust temp"}
    assert wm.write("pre_power_on", start + 60 * SECOND)["Msg"] == {"complete": "false", "msg": "adjust continue"}
    assert wm.write("pre_power_on", start + 120 * SECOND)["Msg"] == {"complete": "true", "msg": "adjust complete"}
    wm.write("power_on", start + 121 * SECOND)
    assert scripts(wm) == ["sleep", "preheat", "wake_fast"]


def test_after_a_boot_it_mines_unless_its_service_was_told_not_to_start(wm: Hand) -> None:
    wm.write("power_off")
    wm.bench.unit.boots(wm.bench.start + 60 * SECOND)
    later = wm.bench.start + 90 * SECOND
    assert wm.read("status", later)["Msg"]["mineroff"] == "false"
    assert code(wm.write("disable_btminer_init", later)) == OK
    wm.bench.unit.boots(later + 60 * SECOND)
    assert wm.read("status", later + 90 * SECOND)["Msg"]["mineroff"] == "true"
    assert code(wm.write("enable_btminer_init", later + 90 * SECOND)) == OK
    assert scripts(wm) == ["sleep", "init_off", "init_on_stopped"]


def test_on_its_way_up_it_takes_no_change_of_its_start(wm: Hand) -> None:
    wm.bench.unit.now_phase = Phase.WAKE
    assert code(wm.write("disable_btminer_init")) == FAILED
    assert wm.bench.device.conf.init


def test_a_reboot_forgets_what_is_only_in_memory(wm: Hand) -> None:
    token = wm.token()
    wm.write("set_led", color="red", period=200, duration=100, start=0)
    assert wm.read("get_miner_info")["Msg"]["ledstat"] == "manual"
    assert code(wm.write("reboot")) == OK
    ((script, at, setpoint),) = wm.bench.unit.ran
    assert (script, setpoint) == ("reboot", 1.0)
    assert at - wm.bench.start > SECOND
    wm.bench.unit.boots(wm.bench.start + 60 * SECOND)
    later = wm.bench.start + 70 * SECOND
    assert wm.read("get_miner_info", later)["Msg"]["ledstat"] == "auto"
    assert code(wm.write("power_off", later, token=token)) == BAD_TOKEN


def test_some_commands_may_not_be_answered_and_happen_all_the_same(make: Callable[..., Hand]) -> None:
    wm = make(reboot_answers=False)
    assert wm.write("set_low_power") == {}
    assert wm.write("reboot") == {}
    assert scripts(wm) == ["restart", "reboot"]
    assert code(make(mode_answers=True).write("set_low_power")) == OK


# ---- the three power knobs ------------------------------------------------------------------------------------------


def test_the_fast_knob_moves_roughly_and_at_once(make: Callable[..., Hand]) -> None:
    reached = []
    wm = make()
    token = wm.token()
    for _ in range(40):
        assert code(wm.write("set_power_pct", token=token, percent="70")) == OK
        script, _, setpoint = wm.bench.unit.ran[-1]
        assert script == "trim"
        reached.append(setpoint / 0.7 - 1.0)
    assert 0.01 < (sum(miss**2 for miss in reached) / 40) ** 0.5 < 0.03
    assert wm.read("status")["Msg"]["power_pct"] == "70"
    assert wm.read("summary")["SUMMARY"][0]["Power Limit"] == 3500, "that is another knob"


def test_the_slow_knob_goes_exactly_and_may_be_restored(wm: Hand) -> None:
    assert code(wm.write("set_power_pct_v2", percent="60")) == OK
    assert code(wm.write("restore_power_pct")) == OK
    assert [(script, share) for script, _, share in wm.bench.unit.ran] == [("trim_slow", 0.6), ("trim_slow", 1.0)]


def test_a_percentage_is_of_the_stable_power_and_lost_on_restart(wm: Hand) -> None:
    wm.write("set_power", power="2632")
    later = wm.bench.start + SECOND
    wm.write("set_power_pct_v2", later, percent="75")
    assert wm.bench.unit.ran[-1][2] == pytest.approx(0.75 * 2632 / 3290)
    wm.write("restart_btminer", later)
    assert (wm.bench.unit.ran[-1][0], wm.bench.unit.ran[-1][2]) == ("restart", pytest.approx(0.8))
    assert wm.read("status", later)["Msg"]["power_pct"] == "100"


def test_too_low_a_percentage_restarts_the_miner(wm: Hand) -> None:
    assert code(wm.write("set_power_pct", percent="49")) == OK
    assert [(script, share) for script, _, share in wm.bench.unit.ran] == [("restart", 1.0)]


@pytest.mark.parametrize(
    ("command", "given"),
    [
        ("set_power_pct", {"percent": "101"}), ("set_power_pct", {"percent": "-1"}), ("set_power_pct", {}),
        ("set_power_pct", {"percent": "x"}), ("set_power_pct_v2", {"percent": "0"}),
        ("set_power_pct_v2", {"percent": "150"}), ("set_power", {"power": "0"}), ("set_power", {"power": "99999"}),
        ("adjust_power_limit", {"power_limit": "100000"}), ("adjust_power_limit", {"power_limit": "-1"}),
        ("adjust_power_limit", {}), ("set_target_freq", {"percent": "5"}), ("set_target_freq", {"percent": "-101"}),
        ("adjust_upfreq_speed", {"upfreq_speed": 10}), ("set_temp_offset", {"temp_offset": 1}),
        ("set_temp_offset", {"temp_offset": -31}), ("set_poweroff_cool", {"poweroff_cool": 2}),
        ("set_fan_zero_speed", {}), ("set_heat_mode", {"mode": "heating"}),
        ("set_led", {"color": "blue", "period": 1}), ("set_led", {"param": "on"}), ("update_pools", {}),
        ("update_pools", {"pool1": "x" * 256}), ("net_config", {"ip": "1.2.3.4"}),
        ("set_hostname", {"hostname": ""}), ("set_zone", {"timezone": "CST-8"}), ("update_firmware", {}),
        ("download_logs", {}),
    ],
)  # fmt: skip
def test_a_parameter_that_makes_no_sense_changes_nothing(wm: Hand, command: str, given: dict[str, Any]) -> None:
    before = wm.bench.device.conf
    assert code(wm.write(command, **given)) == FAILED
    assert wm.bench.device.conf == before
    assert wm.bench.unit.ran == []


def test_no_percentage_is_taken_before_the_up_frequency_run_is_over(wm: Hand) -> None:
    for phase in (Phase.BOOT, Phase.WAKE, Phase.RETUNE):
        wm.bench.unit.now_phase = phase
        assert code(wm.write("set_power_pct", percent="70")) == FAILED
        assert code(wm.write("set_power_pct_v2", percent="70")) == FAILED
    assert wm.bench.unit.ran == []


def test_a_percentage_right_behind_a_stop_does_not_wake_the_miner(wm: Hand) -> None:
    wm.write("power_off")
    assert code(wm.write("set_power_pct", percent="70")) == FAILED
    assert scripts(wm) == ["sleep"]


def test_modes_are_other_levels_and_limit_the_other_knobs(make: Callable[..., Hand]) -> None:
    wm = make(mode_answers=True)
    wm.write("set_high_power")
    assert wm.read("summary")["SUMMARY"][0]["Power Mode"] == "High"
    for command in ("set_power_pct", "set_power_pct_v2"):
        assert code(wm.write(command, wm.bench.start + SECOND, percent="90")) == FAILED
    wm.write("set_low_power")
    assert [(script, share) for script, _, share in wm.bench.unit.ran] == [("restart", 1.21), ("restart", 0.79)]
    later = wm.bench.start + 2 * SECOND
    assert code(wm.write("set_power_pct", later, percent="90")) == FAILED
    assert code(wm.write("set_power_pct_v2", later, percent="90")) == OK


@pytest.mark.parametrize(
    ("before", "limit", "script", "share"),
    [
        (1.0, "2500", "limit_down", 2500 / 3290),
        (1.0, "1000", "limit_floor", 1000 / 3290),
        (1.0, "500", "limit_floor", 0.29),
        (0.3, "3290", "limit_lift", 1.0),
        (0.8, "3290", "retune", 1.0),
        (1.0, "99999", "retune", 1.0),
        (1.0, "0", "retune", 1.0),
    ],
)
def test_a_new_limit_restarts_the_process_and_takes_the_shape_of_its_step(
    wm: Hand, before: float, limit: str, script: str, share: float
) -> None:
    wm.bench.unit.share = before
    assert code(wm.write("adjust_power_limit", power_limit=limit)) == OK
    ((ran, at, setpoint),) = wm.bench.unit.ran
    assert (ran, setpoint) == (script, pytest.approx(share))
    assert at - wm.bench.start < SECOND / 10
    assert wm.read("summary", wm.bench.start + 20 * SECOND)["SUMMARY"][0]["Elapsed"] in (13, 14)


def test_each_limit_during_the_way_up_begins_the_way_anew(wm: Hand) -> None:
    wm.bench.unit.now_phase = Phase.WAKE
    for minute in range(3):
        assert (
            code(wm.write("adjust_power_limit", wm.bench.start + minute * MINUTE, power_limit=str(3000 - minute))) == OK
        )
    assert scripts(wm) == ["restart"] * 3


def test_a_limit_for_a_stopped_miner_waits_for_its_start(wm: Hand) -> None:
    wm.write("power_off")
    wm.bench.unit.sleeps(wm.bench.start)
    wm.write("adjust_power_limit", power_limit="2500")
    assert scripts(wm) == ["sleep"]
    wm.write("power_on")
    assert wm.bench.unit.ran[-1][2] == pytest.approx(2500 / 3290)
    assert wm.read("status")["Msg"]["power_limit_set"] == "2500"


def test_a_target_clock_restarts_and_the_miner_aims_lower(wm: Hand) -> None:
    assert code(wm.write("set_target_freq", percent="-10")) == OK
    assert [(script, share) for script, _, share in wm.bench.unit.ran] == [("restart", pytest.approx(0.9**1.3))]
    row = wm.read("summary", wm.bench.start + 60 * SECOND)["SUMMARY"][0]
    assert (row["Target Freq"], row["Target MHS"]) == (644, 113_400_000)


def test_watts_asked_for_on_the_way_up_are_for_the_next_start(wm: Hand) -> None:
    wm.bench.unit.now_phase = Phase.WAKE
    assert code(wm.write("set_power", power="2600")) == OK
    assert wm.bench.unit.ran == []
    wm.bench.unit.now_phase = Phase.HASHING
    wm.write("set_power", power="2600")
    assert [(script, share) for script, _, share in wm.bench.unit.ran] == [("watts", pytest.approx(2600 / 3290))]


# ---- settings -------------------------------------------------------------------------------------------------------


def test_pools_are_used_at_once_and_outlive_a_boot(wm: Hand) -> None:
    given = {"pool1": "stratum+tcp://new:1", "worker1": "me", "passwd1": "p", "pool2": "", "pool3": "stratum+tcp://b:2"}
    assert code(wm.write("update_pools", **given)) == OK
    wm.bench.unit.boots(wm.bench.start + SECOND)
    pools = wm.read("pools", wm.bench.start + 10 * SECOND)["POOLS"]
    assert [(pool["POOL"], pool["URL"], pool["User"]) for pool in pools] == [
        (1, "stratum+tcp://new:1", "me"),
        (2, "stratum+tcp://b:2", ""),
    ]
    assert wm.bench.unit.ran == []


def test_settings_are_kept_and_shown(wm: Hand) -> None:
    for command, given in (
        ("set_temp_offset", {"temp_offset": -5}), ("set_poweroff_cool", {"poweroff_cool": 0}),
        ("disable_web_pools", {}), ("set_fan_zero_speed", {"fan_zero_speed": 1}),
        ("set_fast_mining", {"fast_mining": 1}), ("set_hostname", {"hostname": "north-17"}),
        ("set_zone", {"timezone": "UTC", "zonename": "Etc/UTC"}),
    ):  # fmt: skip
        assert code(wm.write(command, **given)) == OK
    conf = wm.bench.device.conf
    assert (conf.temp_offset, conf.fan_zero_speed, conf.web_pools, conf.timezone) == (-5, True, False, "UTC")
    assert wm.read("get_miner_info")["Msg"]["hostname"] == "north-17"
    assert wm.read("status")["Msg"]["fast_mining"] == "enable"
    wm.write("power_off")
    assert scripts(wm) == ["sleep_no_cool"]


def test_a_network_configuration_is_kept_and_reboots(wm: Hand) -> None:
    assert (
        code(wm.write("net_config", ip="10.0.0.2", mask="255.0.0.0", gate="10.0.0.1", dns="10.0.0.1", host="m")) == OK
    )
    assert wm.read("get_miner_info")["Msg"]["proto"] == "static"
    assert wm.read("get_miner_info")["Msg"]["ip"] == "127.7.1.5", "the rig owns the address plan"
    assert code(wm.write("net_config", param="dhcp")) == OK
    assert wm.read("get_miner_info")["Msg"]["proto"] == "dhcp"
    assert scripts(wm) == ["reboot", "reboot"]


def test_errors_are_listed_with_their_time_in_either_spelling(make: Callable[..., Hand]) -> None:
    wm = make(error_codes=(218, 110))
    listed = wm.read("get_error_code")["Msg"]["error_code"]
    assert listed == [{"218": "2026-05-28 00:00:00"}, {"110": "2026-05-28 00:00:00"}]
    assert wm.read("summary")["SUMMARY"][0]["Error Code Count"] == 2
    sent, _, _ = make(error_codes=(218, 110), broken_error_list=True).bench.send(b'{"cmd":"get_error_code"}')
    assert b'"error_code":["218":"2026-05-28 00:00:00","110":"2026-05-28 00:00:00"]' in sent
