"""Bitmain stock: what it lets one read, what its web server changes, and when the miner follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from emulator.wire import SECOND, Reach
from firmware_mocks.miners.antminer_stock import MODELS, identity

MakeBench = Callable[..., Any]
POOLS = [{"url": "stratum+tcp://a:1", "user": "u", "pass": "p"}]


@pytest.fixture
def stock(bench: MakeBench) -> Any:
    return bench("antminer-stock")


def test_only_five_commands_are_answered(stock: Any) -> None:
    for command, section in (
        ("version", "VERSION"),
        ("summary", "SUMMARY"),
        ("stats", "STATS"),
        ("pools", "POOLS"),
        ("devs", "DEVS"),
    ):
        assert section in stock.ask(command)
    for command in ("devdetails", "config", "addpool", "quit"):
        status = stock.ask(command)["STATUS"][0]
        assert (status["STATUS"], status["Code"], status["Msg"]) == ("E", 45, f"Access denied to '{command}' command")
    for command in ("summary+devs", "frobnicate", ""):
        assert stock.ask(command)["STATUS"][0]["Code"] == 14


def test_check_tells_what_exists_and_what_is_allowed(stock: Any) -> None:
    answers = {name: stock.ask("check", name)["CHECK"][0] for name in ("stats", "quit", "nonsense")}
    assert answers == {
        "stats": {"Exists": "Y", "Access": "Y"}, "quit": {"Exists": "Y", "Access": "N"},
        "nonsense": {"Exists": "N", "Access": "N"},
    }  # fmt: skip


def test_the_genuine_misspellings_are_kept(stock: Any) -> None:
    assert "Tenperature" in stock.ask("devs")["DEVS"][0]
    assert "Pool Stale%%" in stock.ask("pools")["POOLS"][0]


def test_chip_and_board_temperatures_are_the_sensor_and_a_constant(stock: Any) -> None:
    chain = stock.cgi("stats")[1]["STATS"][0]["chain"]
    for board in chain:
        assert [chip - pic for chip, pic in zip(board["temp_chip"], board["temp_pic"], strict=True)] == [15] * 4
        assert [pcb - pic for pcb, pic in zip(board["temp_pcb"], board["temp_pic"], strict=True)] == [10] * 4
    assert max(max(board["temp_pic"]) for board in chain) == 60


def test_socket_and_web_tell_the_same(stock: Any) -> None:
    web, api = stock.cgi("summary")[1]["SUMMARY"][0], stock.ask("summary")["SUMMARY"][0]
    assert (web["rate_5s"], web["rate_30m"], web["rate_avg"]) == (api["GHS 5s"], api["GHS 30m"], api["GHS av"])
    assert (
        stock.cgi("get_system_info")[1]["minertype"]
        == stock.ask("version")["VERSION"][0]["Type"]
        == "Antminer S19j Pro"
    )


@pytest.mark.parametrize(
    "page",
    [
        "get_system_info",
        "miner_type",
        "summary",
        "stats",
        "pools",
        "get_miner_conf",
        "get_network_info",
        "get_blink_status",
        "log",
    ],
)
def test_every_page_wants_the_password(stock: Any, page: str) -> None:
    status, headers, _, _ = stock.web(f"GET /cgi-bin/{page}.cgi HTTP/1.1\r\nHost: m\r\n\r\n".encode())
    assert status == 401
    assert headers["www-authenticate"].startswith('Digest realm="antMiner Configuration", nonce="')
    assert stock.cgi(page)[0] == 200
    assert stock.cgi(page, password="wrong")[0] == 401


def test_another_firmwares_paths_are_not_found_even_with_the_password(stock: Any) -> None:
    assert stock.cgi("/kaonsu/v1/brief")[0] == 404
    assert stock.cgi("nothing")[0] == 404
    assert stock.cgi("/")[0] == 200


def test_sleep_replies_then_restarts_the_process_then_the_miner_stops(stock: Any) -> None:
    status, reply, done = stock.cgi("set_miner_conf", {"miner-mode": 1, "pools": POOLS})
    assert (status, reply["code"]) == (200, "M000")
    assert done == stock.start + SECOND
    assert stock.unit.ran == [("sleep", done, None)]
    device = stock.device
    assert device.reach(4028, done) is Reach.ANSWERS
    assert device.reach(4028, done + 1 * SECOND) is Reach.REFUSES
    assert device.reach(80, done + 1 * SECOND) is Reach.ANSWERS
    assert device.reach(4028, done + 6 * SECOND) is Reach.ANSWERS
    assert stock.ask("summary", now=done + 16 * SECOND)["SUMMARY"][0]["Elapsed"] == 10


def test_the_reply_may_take_twenty_one_seconds(bench: MakeBench) -> None:
    stock = bench("antminer-stock", set_conf_reply_ns=21 * SECOND)
    _, _, done = stock.cgi("set_miner_conf", {"miner-mode": 1})
    assert done == stock.start + 21 * SECOND
    assert stock.unit.ran == [("sleep", done, None)]


def test_the_configuration_is_ahead_of_the_process(stock: Any) -> None:
    _, _, done = stock.cgi("set_miner_conf", {"miner-mode": 1})
    assert stock.cgi("get_miner_conf", now=done)[1]["bitmain-work-mode"] == "1"
    assert stock.cgi("stats", now=done)[1]["STATS"][0]["miner-mode"] == 0
    assert stock.cgi("stats", now=done + 10 * SECOND)[1]["STATS"][0]["miner-mode"] == 1


def test_while_the_process_is_away_the_web_has_nothing_to_tell(stock: Any) -> None:
    _, _, done = stock.cgi("set_miner_conf", {"miner-mode": 1})
    assert stock.cgi("summary", now=done + 3 * SECOND)[1]["SUMMARY"] == []


def test_asleep_everything_answers_with_all_chips_and_no_rate(stock: Any) -> None:
    _, _, done = stock.cgi("set_miner_conf", {"miner-mode": 1})
    stock.unit.sleeps(done + 3 * SECOND)
    stock.unit.board_c, stock.unit.fans = 19.0, 0.0
    stock.unit.air_c = 19.0
    later = done + 60 * SECOND
    row = stock.ask("stats", now=later)["STATS"][1]
    assert row["GHS 5s"] == row["GHS av"] == 0.0
    assert (row["total_acn"], row["fan1"], row["temp_chip1"]) == (378, 960, "19-19-19-19")
    assert stock.ask("pools", now=later)["POOLS"][0]["Status"] == "Alive"


def test_a_process_started_asleep_counts_nothing_while_the_rail_still_falls(stock: Any) -> None:
    _, _, done = stock.cgi("set_miner_conf", {"miner-mode": 1})
    row = stock.ask("summary", now=done + 20 * SECOND)["SUMMARY"][0]
    assert (row["GHS 5s"], row["GHS av"], row["Accepted"]) == (0.0, 0.0, 0)
    assert stock.ask("summary", now=done + SECOND - 1)["SUMMARY"][0]["GHS 5s"] > 90_000


def test_asleep_in_the_other_reported_way_nothing_is_told(bench: MakeBench) -> None:
    stock = bench("antminer-stock", asleep_style="empty")
    _, _, done = stock.cgi("set_miner_conf", {"miner-mode": 1})
    later = done + 60 * SECOND
    assert stock.cgi("summary", now=later)[1]["SUMMARY"] == []
    assert stock.cgi("stats", now=later)[1]["STATS"] == []
    assert stock.ask("pools", now=later)["POOLS"][0]["Status"] == "Disabled"


def test_waking_restarts_the_process_at_the_power_of_the_mode(stock: Any) -> None:
    _, _, slept = stock.cgi("set_miner_conf", {"miner-mode": 1})
    _, _, woken = stock.cgi("set_miner_conf", {"miner-mode": 0}, now=slept + 100 * SECOND)
    _, _, low = stock.cgi("set_miner_conf", {"miner-mode": 3}, now=woken + 600 * SECOND)
    assert stock.unit.ran == [("sleep", slept, None), ("wake", woken, 1.0), ("retune", low, 0.688)]


def test_a_call_that_changes_no_mode_only_reloads(stock: Any) -> None:
    _, reply, done = stock.cgi("set_miner_conf", {"miner-mode": 0, "pools": POOLS, "bitmain-fan-pwn": "80"})
    assert reply["code"] == "M000"
    assert stock.unit.ran == []
    assert stock.device.reach(4028, done + 2 * SECOND) is Reach.ANSWERS
    conf = stock.cgi("get_miner_conf", now=done)[1]
    assert conf["pools"] == [*POOLS, {"url": "", "user": "", "pass": ""}, {"url": "", "user": "", "pass": ""}]
    assert conf["bitmain-fan-pwm"] == "80"
    assert stock.ask("pools", now=done)["POOLS"][0]["URL"] == "stratum+tcp://a:1"


def test_a_lower_frequency_level_is_a_restart_at_less_power(stock: Any) -> None:
    _, _, done = stock.cgi("set_miner_conf", {"freq-level": "80"})
    assert stock.unit.ran == [("retune", done, pytest.approx(0.8**1.3))]


@pytest.mark.parametrize(
    ("knobs", "model_id", "asked", "obeys"),
    [
        ({}, "s19j_pro", {"miner-mode": 1}, True),
        ({}, "s19j_pro", {"bitmain-work-mode": 1}, False),
        ({}, "s21", {"bitmain-work-mode": "1"}, True),
        ({}, "s21", {"miner-mode": "1"}, True),
        ({"write_key": "bitmain-work-mode"}, "s19j_pro", {"miner-mode": 1}, False),
        ({"write_key": "both"}, "s19j_pro", {"bitmain-work-mode": 1}, True),
        ({"accept_type": "int"}, "s19j_pro", {"miner-mode": "1"}, False),
        ({"accept_type": "str"}, "s19j_pro", {"miner-mode": 1}, False),
    ],
)
def test_each_generation_obeys_its_own_key_and_thanks_for_the_other(
    bench: MakeBench, knobs: dict[str, str], model_id: str, asked: dict[str, Any], obeys: bool
) -> None:
    stock = bench("antminer-stock", model_id, **knobs)
    assert stock.cgi("set_miner_conf", asked)[1]["code"] == "M000"
    assert [script for script, _, _ in stock.unit.ran] == (["sleep"] if obeys else [])
    assert stock.device.conf.mode == (1 if obeys else 0)


@pytest.mark.parametrize("model_id", sorted(MODELS))
@pytest.mark.parametrize("generation", ["model", "miner-mode", "bitmain-work-mode", "both"])
def test_on_every_model_both_generations_of_keys_are_read_and_the_right_one_obeyed(
    bench: MakeBench, model_id: str, generation: str
) -> None:
    """A write that is thanked for and ignored must leave both read keys as they were."""
    obeyed = identity(model_id).write_key if generation == "model" else generation
    for key in ("miner-mode", "bitmain-work-mode"):
        for value in (1, "1"):
            stock = bench("antminer-stock", model_id, write_key=generation)
            _, reply, done = stock.cgi("set_miner_conf", {key: value})
            assert reply["code"] == "M000"
            mode = 1 if obeyed in (key, "both") else 0
            assert [script for script, _, _ in stock.unit.ran] == ["sleep"] * mode
            later = done + 20 * SECOND
            assert stock.cgi("get_miner_conf", now=later)[1]["bitmain-work-mode"] == str(mode)
            assert stock.cgi("stats", now=later)[1]["STATS"][0]["miner-mode"] == mode


@pytest.mark.parametrize("model_id", sorted(MODELS))
def test_a_model_takes_the_modes_it_has_and_refuses_the_others(bench: MakeBench, model_id: str) -> None:
    for mode in range(6):
        stock = bench("antminer-stock", model_id)
        code = stock.cgi("set_miner_conf", {"miner-mode": mode})[1]["code"]
        assert code == ("M000" if mode in identity(model_id).modes else "M004")
        assert stock.device.conf.mode == (mode if code == "M000" else 0)


def test_an_s19k_pro_knows_three_modes_and_a_wake_up_names_the_one_it_had(bench: MakeBench) -> None:
    stock = bench("antminer-stock", "s19k_pro")
    at = stock.start
    for mode in (2, 1, 2):
        _, reply, at = stock.cgi("set_miner_conf", {"miner-mode": mode}, now=at + 600 * SECOND)
        assert reply["code"] == "M000"
    assert [(script, setpoint) for script, _, setpoint in stock.unit.ran] == [
        ("retune", 0.8), ("sleep", None), ("wake", 0.8)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"not json", "M001"), (b"[]", "M001"), ({"pools": "x"}, "M001"), ({"pools": [{"url": 7}]}, "M001"),
        ({"pools": POOLS * 4}, "M001"), ({"miner-mode": 9}, "M004"), ({"miner-mode": 2}, "M004"),
    ],
)  # fmt: skip
def test_a_faulty_configuration_changes_nothing(stock: Any, body: Any, code: str) -> None:
    before = stock.device.conf
    assert stock.cgi("set_miner_conf", body)[1]["code"] == code
    assert stock.device.conf == before
    assert stock.unit.ran == []


def test_an_image_that_wants_whole_objects_refuses_parts(bench: MakeBench) -> None:
    stock = bench("antminer-stock", partial_ok=False)
    assert stock.cgi("set_miner_conf", {"miner-mode": 1})[1]["code"] == "M001"
    assert stock.unit.ran == []


def test_two_commands_in_one_restart_end_in_the_last_one(stock: Any) -> None:
    _, _, slept = stock.cgi("set_miner_conf", {"miner-mode": 1})
    _, _, woken = stock.cgi("set_miner_conf", {"miner-mode": 0}, now=stock.start + SECOND // 2)
    assert [script for script, _, _ in stock.unit.ran] == ["sleep", "wake"]
    assert slept < woken
    assert stock.cgi("stats", now=woken)[1]["STATS"][0]["miner-mode"] == 0
    assert stock.cgi("stats", now=woken + 30 * SECOND)[1]["STATS"][0]["miner-mode"] == 0


def test_the_light_blinks_and_says_so_with_the_vendors_codes(stock: Any) -> None:
    assert stock.cgi("blink", {"blink": "true"})[1] == {"code": "B000"}
    assert stock.cgi("get_blink_status")[1] == {"blink": True}
    assert stock.cgi("blink", {"blink": False})[1] == {"code": "B100"}
    assert stock.cgi("blink", {"blink": 7})[1] == {"code": "B001"}
    assert stock.cgi("get_blink_status")[1] == {"blink": False}


def test_reboot_answers_before_the_link_drops(stock: Any) -> None:
    status, _, done = stock.cgi("reboot")
    assert status == 200
    assert stock.unit.ran == [("reboot", done + SECOND, None)]


def test_what_is_in_memory_dies_with_a_boot_and_the_configuration_lives(stock: Any) -> None:
    stock.cgi("blink", {"blink": True})
    _, _, done = stock.cgi("set_miner_conf", {"miner-mode": 1, "pools": POOLS})
    stock.unit.boots(done + 60 * SECOND)
    later = done + 70 * SECOND
    assert stock.cgi("get_blink_status", now=later)[1] == {"blink": False}
    assert stock.cgi("get_miner_conf", now=later)[1]["bitmain-work-mode"] == "1"
    assert 5 <= stock.ask("summary", now=later)["SUMMARY"][0]["Elapsed"] <= 10


def test_the_password_can_be_changed_and_only_with_the_old_one(stock: Any) -> None:
    change = {"curPwd": "root", "newPwd": "s3cret", "confirmPwd": "s3cret"}
    assert stock.cgi("passwd", change | {"curPwd": "no"})[1]["code"] == "P001"
    assert stock.cgi("passwd", change | {"confirmPwd": "other"})[1]["code"] == "P002"
    assert stock.cgi("passwd", change)[1]["code"] == "P000"
    assert stock.cgi("summary")[0] == 401
    assert stock.cgi("summary", password="s3cret")[0] == 200


def test_network_settings_are_kept_and_shown(stock: Any) -> None:
    asked = {
        "ipHost": "rig017",
        "ipPro": 2,
        "ipAddress": "10.0.0.7",
        "ipSub": "255.0.0.0",
        "ipGateway": "10.0.0.1",
        "ipDns": "",
    }
    assert stock.cgi("set_network_conf", {})[1]["code"] == "N001"
    assert stock.cgi("set_network_conf", asked)[1]["code"] == "N000"
    shown = stock.cgi("get_network_info")[1]
    assert (shown["nettype"], shown["conf_hostname"], shown["conf_ipaddress"]) == ("Static", "rig017", "10.0.0.7")
    assert shown["ipaddress"] == "127.7.1.5"


def test_a_factory_reset_wakes_a_sleeping_miner(stock: Any) -> None:
    _, _, slept = stock.cgi("set_miner_conf", {"miner-mode": 1})
    _, _, done = stock.cgi("reset_conf", {}, now=slept + 60 * SECOND)
    assert stock.unit.ran[1:] == [("wake", done, 1.0)]
    assert stock.cgi("get_miner_conf", now=done)[1]["bitmain-work-mode"] == "0"


def test_no_image_is_ever_taken(stock: Any) -> None:
    assert stock.cgi("upgrade", b"\x00" * 1000)[1]["stats"] == "error"


def test_some_models_give_their_watts_on_a_port_of_its_own(bench: MakeBench) -> None:
    s21 = bench("antminer-stock", "s21")
    told = {
        path: s21.web(f"GET {path} HTTP/1.1\r\nHost: m\r\n\r\n".encode(), port=6060)[2]
        for path in ("/miner_power", "/warning", "/x")
    }
    name, watts = told["/miner_power"].split(b":")
    assert name == b"miner power"
    assert int(watts) == pytest.approx(3000, rel=0.08)
    assert told["/warning"] == b'{"error_message":"None"}'
    assert told["/x"] == b"error 6060 cmd"
    assert bench("antminer-stock", "s19j_pro").device.reach(6060, 10) is Reach.REFUSES
