"""WhatsMiner API V3: frames, tokens and accounts, every read and write, and the reduced V2 beside it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from emulator.wire import SECOND, Close, Send
from firmware_mocks.miners.whatsminer_v3 import ENCRYPTED, PLAIN_READS, WRITES
from tests.firmware_mocks.miners.whatsminer_hand import Hand, framed, replies

MakeBench = Callable[..., Any]
STATIC = {"ip": "1.2.3.4", "netmask": "255.0.0.0", "gateway": "1.0.0.1", "dns": "1.0.0.1"}
POOLS = [{"pool": "stratum+tcp://new:1", "worker": "me", "passwd": "p"}]


@pytest.fixture
def make(bench: MakeBench) -> Callable[..., Hand]:
    return lambda model="m60s", **knobs: Hand(bench("whatsminer-v3", model, **knobs))


@pytest.fixture
def wm(make: Callable[..., Hand]) -> Hand:
    return make()


def scripts(wm: Hand) -> list[str]:
    return [script for script, _, _ in wm.bench.unit.ran]


# ---- frames ---------------------------------------------------------------------------------------------------------


def test_a_reply_carries_code_time_message_and_the_commands_name(wm: Hand) -> None:
    reply = wm.ask("get.miner.setting")
    assert list(reply) == ["code", "when", "msg", "desc"]
    assert (reply["code"], reply["when"], reply["desc"]) == (0, 1_779_962_400, "get.miner.setting")


def test_a_connection_takes_many_frames_however_they_are_cut_and_stays_open(wm: Hand) -> None:
    start = wm.bench.start
    talk = wm.bench.device.converse(4433, "127.0.0.1", start)
    sent = framed({"cmd": "get.fan.setting"}) + bytes(4) + framed({"cmd": "get.system.setting"})
    found = []
    for n in range(len(sent)):
        found += replies(talk.received(sent[n : n + 1], start + n))
    assert [reply["desc"] for reply in found] == ["get.fan.setting", "get.system.setting"]
    actions = talk.received(sent, start + SECOND)
    assert [reply["desc"] for reply in replies(actions)] == ["get.fan.setting", "get.system.setting"]
    assert not any(isinstance(action, Close) for action in actions)
    assert talk.idle_timeout_ns == 300 * SECOND


def test_a_length_beyond_a_mebibyte_ends_the_connection(wm: Hand) -> None:
    for length, ends in ((1 << 20, False), ((1 << 20) + 1, True)):
        talk = wm.bench.device.converse(4433, "127.0.0.1", wm.bench.start)
        actions = talk.received(struct.pack("<I", length), wm.bench.start)
        assert [isinstance(action, Close) for action in actions] == [True] * ends
        assert list(talk.received(framed({"cmd": "get.device.info"}), wm.bench.start)) == []


def test_what_is_no_command_gets_the_firmwares_own_code(wm: Hand) -> None:
    asked = (b"{", b"\xff", [1], {}, {"cmd": 7}, {"cmd": "get.nonsense"}, {"cmd": "set.miner.mode", "param": "low"})
    assert [reply["code"] for reply in wm.frame(*asked)] == [-2] * 7


def test_ten_callers_are_served_and_the_eleventh_is_not(wm: Hand) -> None:
    start, hello = wm.bench.start, framed({"cmd": "get.fan.setting"})
    talks = [wm.bench.device.converse(4433, "127.0.0.1", start) for _ in range(11)]
    assert [isinstance(talk.received(hello, start)[0], Send) for talk in talks] == [True] * 10 + [False]
    talks[3].ended(start)
    again = wm.bench.device.converse(4433, "127.0.0.1", start)
    assert isinstance(again.received(hello, start)[0], Send)
    late = start + 301 * SECOND  # the others have said nothing for too long
    assert isinstance(wm.bench.device.converse(4433, "127.0.0.1", late).received(hello, late)[0], Send)


# ---- reads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", PLAIN_READS)
def test_a_plain_read_gives_an_object(wm: Hand, command: str) -> None:
    assert wm.ask(command)["code"] == 0
    assert wm.ask(command)["msg"]


def test_the_device_tells_all_of_itself_or_one_section(wm: Hand) -> None:
    everything = wm.ask("get.device.info")["msg"]
    assert list(everything) == ["network", "miner", "system", "power", "salt", "error-code"]
    for section, found in everything.items():
        assert wm.ask("get.device.info", section)["msg"] == {section: found}
    assert wm.ask("get.device.info", "pools")["code"] == -2
    assert everything["miner"]["type"] == "M60S_VK10"
    assert everything["miner"]["pcbsn2"] == "SMTTYEX0123B3"
    assert len(everything["salt"]) == 8


def test_the_status_must_be_told_what_of_and_may_be_joined(wm: Hand) -> None:
    assert wm.frame({"cmd": "get.miner.status"})[0]["code"] == -3
    assert wm.ask("get.miner.status", None)["code"] == -3
    for wrong in ("", "summary+x", 7, ["summary"]):
        assert wm.ask("get.miner.status", wrong)["code"] == -2
    joined = wm.ask("get.miner.status", "edevs+summary+pools")["msg"]
    assert list(joined) == ["edevs", "summary", "pools"]
    assert [board["id"] for board in joined["edevs"]] == [0, 1, 2]
    assert sum(board["hash-average"] for board in joined["edevs"]) == pytest.approx(
        joined["summary"]["hash-average"], 1e-4
    )
    assert [pool["id"] for pool in joined["pools"]] == [1, 2, 3]
    assert joined["summary"]["factory-hash"] == 186.0


def test_power_comes_now_and_as_a_mean_of_five_minutes(wm: Hand) -> None:
    summary = wm.ask("get.miner.status", "summary")["msg"]["summary"]
    assert summary["power-realtime"] == pytest.approx(3000, rel=0.08)
    assert summary["power-5min"] == pytest.approx(3000, rel=0.08)
    assert summary["power-on-stats"]["energy-ws"] == pytest.approx(3000 * 36_000, rel=0.08)


def test_a_stopped_miner_refuses_its_pools_alone_and_leaves_them_out_beside_others(wm: Hand) -> None:
    wm.tell("set.miner.service", "stop")
    wm.bench.unit.sleeps(wm.bench.start)
    later = wm.bench.start + 600 * SECOND
    assert wm.ask("get.device.info", "miner", later)["msg"]["miner"]["working"] == "false"
    assert wm.ask("get.miner.status", "pools", later)["code"] == -1
    found = wm.ask("get.miner.status", "summary+pools", later)["msg"]
    assert list(found) == ["summary"]
    summary = found["summary"]
    assert (summary["power-realtime"], summary["up-freq-finish"]) == (13.0, 0)
    assert summary["hash-realtime"] < 0.01
    assert summary["hash-average"] > 150, "the mean since the process started: full for hours"


def test_while_the_process_is_away_the_words_say_so(wm: Hand) -> None:
    wm.tell("set.miner.service", "restart")
    away = wm.bench.start + 3 * SECOND
    assert wm.ask("get.device.info", "error-code", away)["msg"]["error-code"] == "btminer process is down err"
    reply = wm.ask("get.miner.status", "summary", away)
    assert (reply["code"], reply["msg"]) == (-1, "btminer process is down err")
    assert wm.ask("get.miner.status", "summary", away + 10 * SECOND)["msg"]["summary"]["elapsed"] == 6


def test_errors_carry_their_reason(make: Callable[..., Hand]) -> None:
    listed = make(error_codes=(531, 999)).ask("get.device.info", "error-code")["msg"]["error-code"]
    assert listed == [
        {"531": "2026-05-28 00:00:00", "reason": "Slot1 not found."},
        {"999": "2026-05-28 00:00:00", "reason": "Unknown error."},
    ]


# ---- access ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", WRITES)
def test_no_write_works_without_the_right_token_account_or_switch(make: Callable[..., Hand], command: str) -> None:
    wm = make()
    before, doors = wm.bench.device.conf, wm.bench.device.access.doors
    asked = [
        wm.tell(command, "stop", password="guess"),
        wm.tell(command, "stop", account="admin"),
        wm.tell(command, "stop", account="user1"),
        wm.tell(command, "stop", token="AAAAAAAA"),
        wm.tell(command, "stop", token=7),
        wm.tell(command, "stop", ts=1),
        wm.tell(command, "stop", ts="1780000000"),
        wm.frame({"cmd": command, "param": "stop"})[0],
    ]
    assert [(reply["code"], reply["msg"]) for reply in asked] == [(-4, "no permission")] * len(asked)
    assert (wm.bench.device.conf, wm.bench.device.access.doors, wm.bench.unit.ran) == (before, doors, [])
    assert make(api_switch=False).tell(command, "stop")["code"] == -4
    assert make(password_changed=False).tell(command, "stop")["code"] == -4


def test_a_user_may_what_he_was_permitted_and_no_more(wm: Hand) -> None:
    permitted = {"user": "user1", "permission": "set.system.led,set.user.permission"}
    assert wm.tell("set.user.permission", permitted)["code"] == 0
    assert wm.tell("set.system.led", "auto", account="user1")["code"] == 0
    assert wm.tell("set.miner.service", "stop", account="user1")["code"] == -4
    assert wm.tell("set.system.led", "auto", account="user2")["code"] == -4
    assert wm.tell("set.user.permission", permitted, account="user1")["code"] == -4, (
        "only the super account gives rights"
    )
    assert wm.tell("set.user.permission", {"user": "super", "permission": ""})["code"] == -1


def test_a_password_is_changed_in_the_envelope_and_then_only_the_new_one_opens(wm: Hand) -> None:
    new = {"account": "super", "old": "super", "new": "secret_1"}
    assert wm.tell("set.user.change_passwd", new)["msg"] == "invalid encrypted param"
    assert wm.tell("set.user.change_passwd", new | {"old": "x"}, sealed=True)["code"] == -1
    assert wm.tell("set.user.change_passwd", new | {"new": ""}, sealed=True)["code"] == -1
    assert wm.tell("set.user.change_passwd", new, sealed=True)["code"] == 0
    assert wm.tell("set.system.led", "auto")["code"] == -4
    assert wm.tell("set.system.led", "auto", password="secret_1")["code"] == 0


def test_a_factory_reset_shuts_the_door(wm: Hand) -> None:
    assert wm.tell("set.system.factory_reset")["code"] == 0
    assert scripts(wm) == ["factory_reset"]
    assert wm.tell("set.miner.service", "stop")["code"] == -4
    assert wm.ask("get.device.info", "system")["msg"]["system"]["apiswitch"] == "0"


# ---- writes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "param", "script"),
    [
        ("set.miner.service", "stop", "sleep"), ("set.miner.service", "restart", "restart"),
        ("set.miner.service", "disable", "init_off"), ("set.miner.power_limit", 2500, "limit_down"),
        ("set.miner.power_limit", 2500.0, "limit_down"), ("set.miner.power", 3000, "watts"),
        ("set.miner.power_percent", {"percent": "70", "mode": "fast"}, "trim"),
        ("set.miner.power_percent", {"percent": "70", "mode": "normal"}, "trim_slow"),
        ("set.miner.target_freq", -10, "restart"), ("set.miner.restore_setting", None, "restart"),
        ("set.system.reboot", None, "reboot"), ("set.system.net_config", "dhcp", "reboot"),
        ("set.system.net_config", STATIC, "reboot"),
    ],
)  # fmt: skip
def test_a_write_that_acts_starts_its_script_when_the_reply_leaves(
    wm: Hand, command: str, param: Any, script: str
) -> None:
    reply = wm.tell(command, param)
    assert (reply["code"], reply["msg"], reply["desc"]) == (0, "ok", command)
    ((ran, at, _),) = wm.bench.unit.ran
    assert ran == script
    assert 0 < at - wm.bench.start < 2 * SECOND


@pytest.mark.parametrize(
    ("command", "param"),
    [
        ("set.miner.service", "sleep"), ("set.miner.power_limit", "2500"), ("set.miner.power_limit", 100_000),
        ("set.miner.power_limit", True), ("set.miner.power_limit", 2500.5), ("set.miner.power", 0),
        ("set.miner.power_percent", {"percent": 70, "mode": "fast"}), ("set.miner.power_percent", {"percent": "70"}),
        ("set.miner.power_percent", "70"), ("set.miner.power_percent", {"percent": "101", "mode": "fast"}),
        ("set.miner.power_mode", "sleep"), ("set.miner.target_freq", 5), ("set.miner.upfreq_speed", 11),
        ("set.miner.fastboot", 1), ("set.miner.fast_hash", 2), ("set.miner.heat_mode", "heating"),
        ("set.system.led", []), ("set.system.led", [{"color": "red"}]), ("set.system.hostname", "x"),
        ("set.system.net_config", {"ip": "1.2.3.4"}), ("set.system.timezone", {}), ("set.system.ntp_server", ""),
        ("set.system.time_randomized", {"start": 0, "stop": 121}), ("set.system.webpools", True),
        ("set.system.update_firmware", None), ("set.fan.temp_offset", 1), ("set.fan.zero_speed", 2),
        ("set.device.custom_data", {"key": "msg10", "value": "x"}),
        ("set.device.custom_data", {"key": "msg1", "value": "x" * 128}),
    ],
)  # fmt: skip
def test_a_parameter_that_makes_no_sense_changes_nothing(wm: Hand, command: str, param: Any) -> None:
    before = wm.bench.device.conf
    assert wm.tell(command, param)["code"] == -1
    assert (wm.bench.device.conf, wm.bench.unit.ran) == (before, [])


def test_a_missing_parameter_has_a_code_of_its_own(wm: Hand) -> None:
    for command in ("set.miner.service", "set.system.led", *ENCRYPTED):
        assert wm.tell(command)["code"] == -3


def test_pools_come_encrypted_and_are_used_at_once(wm: Hand) -> None:
    assert wm.tell("set.miner.pools", POOLS)["msg"] == "invalid encrypted param"
    assert wm.tell("set.miner.pools", [], sealed=True)["code"] == -1
    assert wm.tell("set.miner.pools", POOLS, sealed=True)["code"] == 0
    (pool,) = wm.ask("get.miner.status", "pools")["msg"]["pools"]
    assert (pool["url"], pool["account"], pool["stratum-active"]) == ("stratum+tcp://new:1", "me", True)


def test_settings_are_kept_and_shown(wm: Hand) -> None:
    for command, param in (
        ("set.miner.upfreq_speed", 10), ("set.miner.fast_hash", 1), ("set.fan.poweroff_cool", 0),
        ("set.fan.zero_speed", 1), ("set.fan.temp_offset", -10), ("set.system.hostname", {"hostname": "north-17"}),
        ("set.system.webpools", "disable"), ("set.system.timezone", {"timezone": "UTC", "zonename": "Etc/UTC"}),
        ("set.system.ntp_server", "a.example,b.example"),
        ("set.system.led", [{"color": "red", "period": 200, "duration": 100, "start": 0}]),
        ("set.device.custom_data", {"key": "msg3", "value": "row 7"}),
    ):  # fmt: skip
        assert wm.tell(command, param)["code"] == 0
    assert wm.ask("get.miner.setting")["msg"]["upfreq-speed"] == 10
    assert wm.ask("get.miner.setting")["msg"]["fast-hash"] == "enable"
    assert wm.ask("get.fan.setting")["msg"] == {"fan-poweroff-cool": 0, "fan-zero-speed": 1, "fan-temp-offset": -10}
    system = wm.ask("get.system.setting")["msg"]
    assert (system["hostname"], system["web-pool"], system["zonename"]) == ("north-17", 0, "Etc/UTC")
    assert system["ntp-server"] == ["a.example", "b.example"]
    assert wm.ask("get.device.info", "system")["msg"]["system"]["ledstatus"] == "manual"
    assert wm.ask("get.device.custom_data")["msg"]["msg3"] == "row 7"
    wm.tell("set.miner.service", "stop")
    wm.tell("set.miner.service", "start")
    assert scripts(wm) == ["sleep_no_cool", "wake_quick"]


def test_a_randomised_stop_comes_up_to_so_many_seconds_later(wm: Hand) -> None:
    assert wm.tell("set.system.time_randomized", {"start": 0, "stop": 100})["code"] == 0
    delays = []
    for n in range(20):
        at = wm.bench.start + n * 1000 * SECOND
        wm.tell("set.miner.service", "stop", at)
        delays.append((wm.bench.unit.ran[-1][1] - at) / SECOND)
        wm.tell("set.miner.service", "start", at + 500 * SECOND)
    assert 0 < min(delays) < 30
    assert 70 < max(delays) < 101


def test_a_water_cooled_machine_may_what_others_may_not(make: Callable[..., Hand]) -> None:
    wm = make("m63s")
    assert wm.tell("set.miner.power_percent", {"percent": "120", "mode": "normal"})["code"] == 0
    assert wm.bench.unit.ran[-1][2] == pytest.approx(1.2)
    assert wm.tell("set.miner.heat_mode", "anti-freezing")["code"] == 0
    assert wm.ask("get.miner.setting")["msg"]["heat-mode"] == "anti-freezing"
    assert wm.tell("set.fan.temp_offset", -5)["code"] == -1
    assert wm.tell("set.miner.target_freq", 10)["code"] == 0
    assert wm.bench.unit.ran[-1][2] == pytest.approx(1.1**1.3)
    summary = wm.ask("get.miner.status", "summary", wm.bench.start + 60 * SECOND)["msg"]["summary"]
    assert (summary["fan-speed-in"], len(summary["board-temperature"])) == (0, 4)


def test_some_builds_answer_with_an_object(make: Callable[..., Hand]) -> None:
    wm = make(v3_reply_style="object")
    assert wm.tell("set.miner.service", "stop")["msg"] == {"service": "stop"}
    assert scripts(wm) == ["sleep"]


def test_a_mode_may_not_be_answered_and_a_reboot_neither(make: Callable[..., Hand]) -> None:
    wm = make(reboot_answers=False)
    assert wm.tell("set.miner.power_mode", "low") == {}
    assert wm.tell("set.system.reboot") == {}
    assert scripts(wm) == ["restart", "reboot"]


# ---- the reduced V2 -------------------------------------------------------------------------------------------------


def test_v2_beside_v3_is_reduced_and_has_the_share_counts(wm: Hand) -> None:
    row, dev = wm.read("summary")["SUMMARY"][0], wm.read("devs")["DEVS"][0]
    assert not {"MHS 5s", "MHS 5m", "Target MHS"} & set(row)
    assert not {"MHS 5s", "MHS 5m", "Chip Temp Min", "Chip Temp Avg", "Chip Temp Max"} & set(dev)
    assert {"MHS 1m", "MHS av", "HS RT"} <= set(row) & set(dev)
    assert row["Accepted"] > 0
    assert wm.read("get_version")["Msg"]["fw_ver"] == "20251209.16.Rel2"
    assert wm.write("power_off")["Code"] == 131
    assert wm.ask("get.device.info", "miner")["msg"]["miner"]["working"] == "false"
