"""Avalon: both dialects, the bracketed items, the verbs of ascset, and callers one at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.catalogue import Phase
from emulator.wire import SECOND, Close, Send
from firmware_mocks.miners.avalon import COMMANDS, DENIED, REPORTS
from firmware_mocks.miners.avalon_ascset import NEED_VALUE, VERBS
from firmware_mocks.miners.avalon_conf import FACTORY

MakeBench = Callable[..., Any]
QUICK = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def ava(bench: MakeBench) -> Any:
    return bench("avalon", "a1566")


def said(reply: dict[str, Any]) -> tuple[str, int, str]:
    """Status, code, and what follows "ASC 0 set"."""
    status = reply["STATUS"][0]
    return status["STATUS"], status["Code"], status["Msg"].removeprefix("ASC 0 set ")


def ascset(ava: Any, text: str, now: int | None = None) -> tuple[str, int, str]:
    return said(ava.ask("ascset", f"0,{text}", ava.start if now is None else now))


def items(ava: Any, now: int | None = None, command: str = "estats") -> dict[str, str]:
    """The items of MM ID0."""
    text = ava.ask(command, now=ava.start if now is None else now)["STATS"][0]["MM ID0"]
    return dict(re.findall(r"(\w+)\[([^\]]*)\]", text))


# ---- reports --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*REPORTS, "stats", "edevs"])
@pytest.mark.parametrize("model_id", ["a1246", "a1466", "a1566"])
def test_every_report_is_a_success_and_counts_when_from_the_boot(bench: MakeBench, model_id: str, name: str) -> None:
    status = bench("avalon", model_id).ask(name)["STATUS"][0]
    assert (status["STATUS"], status["When"], status["Description"]) == ("S", 36_000, "cgminer 4.11.1")


@pytest.mark.parametrize("name", DENIED)
def test_pools_are_not_edited_the_way_of_cgminer(ava: Any, name: str) -> None:
    assert ava.ask(name)["STATUS"][0]["Code"] == 45


def test_text_is_answered_in_text_with_a_blank_before_the_nul(ava: Any) -> None:
    sent, _, closed = ava.send(b"version")
    assert closed
    assert sent.startswith(
        b"STATUS=S,When=36000,Code=22,Msg=CGMiner versions,Description=cgminer 4.11.1|VERSION,CGMiner="
    )
    assert b",MODEL=15-194," in sent
    assert sent.endswith(b"| \x00")
    sent, _, _ = ava.send(b"estats|")
    assert b",MM ID0=Ver[15-194-" in sent


def test_items_agree_with_one_another_as_in_the_captures(ava: Any) -> None:
    found = items(ava)
    boards = [float(rate) for rate in found["MGHS"].split()]
    assert sum(boards) == pytest.approx(float(found["GHSavg"]), abs=0.05)
    assert float(found["WU"]) == pytest.approx(float(found["GHSavg"]) * 60e9 / 2**32, rel=1e-6)
    assert float(found["GHSmm"]) * (1 - float(found["DH"][:-1]) / 100) == pytest.approx(185_000, rel=1e-4)
    _, _, volts, amps, dc_w, _, wall_w = map(int, found["PS"].split())
    assert volts * amps / 100 == pytest.approx(dc_w, rel=0.01)
    assert dc_w / wall_w == pytest.approx(0.945, rel=0.01)
    assert int(found["WALLPOWER"]) == wall_w == pytest.approx(3000, rel=0.1)
    for board in range(3):
        degrees = [int(part) for part in found[f"PVT_T{board}"].split()]
        assert len(degrees) == len(found[f"PVT_V{board}"].split()) == len(found[f"MW{board}"].split()) == 160
        assert max(degrees) <= int(found["MTmax"].split()[board])
        assert sum(degrees) / 160 == pytest.approx(int(found["MTavg"].split()[board]), abs=2)
        assert len(found[f"SF{board}"].split()) == 4
    assert int(found["TMax"]) == max(int(part) for part in found["MTmax"].split())
    assert found["SYSTEMSTATU"] == "Work: In Work, Hash Board: 3 "
    assert (found["TA"], found["SoftOFF"], found["Led"], found["WORKMODE"]) == ("480", "0", "0", "1")


def test_the_short_stats_leave_out_the_chips_and_an_a12_what_it_never_had(bench: MakeBench) -> None:
    old, new = bench("avalon", "a1246"), bench("avalon", "a1566")
    short = json.dumps(new.ask("litestats"))
    assert "PVT_T0" not in short
    assert "WALLPOWER" in short
    assert len(short) < 2500 < 8000 < len(json.dumps(new.ask("stats")))
    assert not {"WALLPOWER", "WORKLEVEL"} & set(items(old))
    assert {f"Fan{n}" for n in range(1, 5)} <= set(items(old))
    assert bench("avalon", "a1566").send(b"estats")[1] > bench("avalon", "a1566").send(b"version")[1]


def test_stats_list_the_pools_and_estats_do_not(ava: Any) -> None:
    rows = ava.ask("stats")["STATS"]
    assert [row["ID"] for row in rows] == ["AVA100", "POOL0", "POOL1", "POOL2"]
    assert [row["STATS"] for row in rows] == [0, 1, 2, 3]
    assert rows[1]["Elapsed"] == 36_000
    assert len(ava.ask("estats")["STATS"]) == 1


def test_switched_off_the_present_rate_is_zero_and_the_mean_is_not(ava: Any) -> None:
    ascset(ava, "softoff")
    ava.unit.sleeps(ava.start + 3 * SECOND)
    found = items(ava, ava.start + 60 * SECOND)
    assert found["SYSTEMSTATU"].startswith("Work: In Idle")
    assert (found["SoftOFF"], found["GHSspd"], found["Fan1"], found["FanR"]) == ("1", "0.00", "0", "0%")
    assert found["PS"].split()[2:5] == ["4", "0", "0"]
    assert float(found["GHSavg"]) > 180_000
    assert float(found["GHSmm"]) > 185_000
    assert (found["TMax"], found["MTavg"], found["Vo"]) == ("0", "0 0 0", "0")
    assert ava.ask("pools", now=ava.start + 60 * SECOND)["POOLS"][0]["Status"] == "Alive"
    ava.unit.now_phase = Phase.WAKE
    assert items(ava, ava.start + 61 * SECOND)["SYSTEMSTATU"].startswith("Work: In Init")


def test_rates_are_zero_from_the_restart_until_the_boards_work(ava: Any) -> None:
    assert ava.ask("restart") == {"STATUS": "RESTART", "id": 1}
    (script, at, setpoint) = ava.unit.ran[0]
    assert (script, setpoint) == ("restart", 1.0)
    assert at > ava.start
    ava.unit.sleeps(at)
    later = ava.start + 30 * SECOND
    summary = ava.ask("summary", now=later)["SUMMARY"][0]
    assert 18 <= summary["Elapsed"] <= 22
    assert {summary[key] for key in ("MHS av", "MHS 30s", "MHS 1m", "MHS 5m", "MHS 15m")} == {0.0}


# ---- ascset ---------------------------------------------------------------------------------------------------------


def test_an_order_needs_device_option_and_where_it_says_so_a_value(ava: Any) -> None:
    assert ava.ask("ascset")["STATUS"][0]["Code"] == 15
    assert ava.ask("ascset", "1,softoff")["STATUS"][0]["Msg"] == "Invalid ASC id 1 - range is 0 - 0"
    assert ava.ask("ascset", "0")["STATUS"][0]["Code"] == 115
    assert ascset(ava, "sleep") == ("E", 120, "failed: Unknown option: sleep")
    for name in NEED_VALUE:
        assert ascset(ava, name) == ("E", 120, f"failed: missing {name} setting")
    assert ava.unit.ran == []


def test_help_lists_every_verb(ava: Any) -> None:
    status, code, text = ascset(ava, "help")
    assert (status, code) == ("I", 118)
    assert text.removeprefix("info: ").strip("|").split("|") == list(VERBS)


def test_a_stop_without_a_time_is_at_once_and_a_second_one_nothing(ava: Any) -> None:
    assert ascset(ava, "softoff") == ("S", 119, "OK")
    assert ascset(ava, "softoff", ava.start + SECOND) == ("S", 119, "OK")
    ((script, at, _),) = ava.unit.ran
    assert script == "sleep"
    assert 0 < at - ava.start < SECOND


def test_a_planned_stop_and_start_come_at_their_seconds(ava: Any) -> None:
    unix = ava.device.host.unix_s(ava.start)
    assert ascset(ava, f"softoff,1:{unix + 5}") == ("S", 119, "OK")
    sent, _, closed = ava.send(f"ascset|0,softon,1: {unix + 65}".encode())
    assert (sent, closed) == (b"", True), "it hangs up without a word"
    assert [(script, at - ava.start) for script, at, _ in ava.unit.ran] == [
        ("sleep", 5 * SECOND),
        ("wake", 65 * SECOND),
    ]
    assert [items(ava, ava.start + after * SECOND)["SoftOFF"] for after in (4, 6, 64, 66)] == ["0", "1", "1", "0"]


def test_a_plan_for_the_past_is_for_now_and_one_for_the_next_century_for_nobody(ava: Any) -> None:
    ascset(ava, "softoff,1:1000000000")
    assert ava.unit.ran[0][1] - ava.start < SECOND
    for when in ("1:999999999999", "1:-5", "2:1800000000", "x", "1:"):
        assert ascset(ava, f"softon,{when}") == ("E", 120, "failed: softon unknown argument")
    assert len(ava.unit.ran) == 1
    ascset(ava, f"softoff,0:{ava.device.host.unix_s(ava.start) + 5}")
    assert len(ava.unit.ran) == 1, "0: plans nothing"


def test_answers_in_words_name_the_second(bench: MakeBench) -> None:
    ava = bench("avalon", "a1466", softoff_reply="info", softon_reply="ok")
    assert ascset(ava, "softoff,1:1780000005") == ("I", 118, "info: success softoff:1780000005")
    assert ascset(ava, "softon,1:1780000005") == ("S", 119, "OK")


def test_hash_power_tells_and_switches(ava: Any) -> None:
    assert ascset(ava, "hashpower")[2].startswith("info: PS[0 12")
    assert ascset(ava, "hashpower,0") == ("S", 119, "OK")
    assert ascset(ava, "hashpower,1", ava.start + SECOND) == ("S", 119, "OK")
    assert ascset(ava, "hashpower,2")[0] == "E"
    assert [script for script, _, _ in ava.unit.ran] == ["sleep", "wake"]


def test_a_work_mode_is_shown_at_once_and_ruled_by_at_the_next_start(ava: Any) -> None:
    assert ascset(ava, "workmode,255") == ("I", 118, "info: WORKMODE[1] success")
    assert ascset(ava, "workmode,0") == ("I", 118, "info: WORKMODE[0] success")
    assert ascset(ava, "workmode,get") == ("I", 118, "info: workmode 0")
    assert ascset(ava, "workmode,set,9") == ("E", 120, "failed: error:1 not support set workmode max_mode[2]")
    assert items(ava)["WORKMODE"] == "0"
    assert ava.unit.ran == []
    ava.send(b"ascset|0,reboot,10")
    ((script, at, setpoint),) = ava.unit.ran
    assert (script, setpoint, ava.unit.hash_shares) == ("reboot", 0.81, [0.82])
    assert at - ava.start > 10 * SECOND


def test_a_work_mode_may_rule_at_once(bench: MakeBench) -> None:
    ava = bench("avalon", "a1566", mode_needs_reboot=False)
    assert ascset(ava, "workmode,set,0") == ("S", 119, "OK")
    assert [(script, setpoint) for script, _, setpoint in ava.unit.ran] == [("retune", 0.81)]
    assert int(items(ava)["MPO"]) == pytest.approx(0.81 * 3420 * 0.945, abs=1)


@pytest.mark.parametrize(
    ("given", "level"),
    [("2", 2), ("-1", -1), ("2.5 kW", 2), ("1 W", 1), ("257", 1), ("2500", None), ("3", None), ("W", None)],
)
def test_a_level_is_read_as_c_reads_a_small_number(ava: Any, given: str, level: int | None) -> None:
    answer = ascset(ava, f"worklevel,set,{given}")
    if level is None:
        assert answer == ("E", 120, "failed: worklevel unknown argument")
        assert ava.unit.ran == []
        return
    assert answer == ("S", 119, "OK")
    assert ascset(ava, "worklevel,get") == ("I", 118, f"info: worklevel {level}")
    assert [(script, setpoint) for script, _, setpoint in ava.unit.ran] == [("retune", pytest.approx(1 + 0.05 * level))]


def test_clock_and_voltage_move_power_by_their_own_laws(ava: Any) -> None:
    assert ascset(ava, "frequency,250:265:283:300-1-0") == ("S", 119, "OK")
    assert ascset(ava, "voltage,1200", ava.start + SECOND) == ("S", 119, "OK")
    (_, _, clocked), (_, _, raised) = ava.unit.ran
    share = (250 + 265 + 283 + 300) / 4 / (317 * (0.867 + 0.919 + 0.98 + 1.041) / 4)
    assert clocked == pytest.approx(share)
    assert ava.unit.hash_shares == pytest.approx([share, share])
    assert raised == pytest.approx(share * (1200 / 1187) ** 2)
    for bad in ("frequency,5000", "frequency,300:300", "frequency,a:b:c:d"):
        assert ascset(ava, bad)[2] == "failed: Invalid value passed to set_avalon_device_freq"
    assert ascset(ava, "voltage,1500") == ("E", 120, "failed: Setting invalid: voltage range 1128~1246")
    assert ascset(ava, "voltage")[2].startswith("info: PS[")


def test_fans_light_and_small_questions(ava: Any) -> None:
    assert [ascset(ava, f"fan-spd,{value}")[0] for value in ("-1", "15", "100", "14", "101", "x")] == [*"SSSEEE"]
    assert ascset(ava, "led,1-1") == ("S", 119, "OK")
    assert items(ava)["Led"] == "1"
    assert ascset(ava, "led,1-255") == ("I", 118, "info: LED[1]")
    assert ascset(ava, "led,7-1")[0] == "E"
    assert ascset(ava, "bootby") == ("I", 118, "info: BOOTBY[0x04.00000000]")
    assert ascset(ava, "loop") == ("I", 118, "info: LOOP[160 160 160 ]")
    assert ascset(ava, "ip,dhcp") == ("S", 119, "OK")
    assert ascset(ava, "ip,static,10.0.0.9,255.255.0.0,10.0.0.1") == (
        "I",
        118,
        "info: IP[S 10.0.0.9 255.255.0.0 10.0.0.1]",
    )
    assert ascset(ava, "ip,static,10.0.0.9")[0] == "E"
    assert ascset(ava, "dns,1.1.1.1,9.9.9.9") == ("I", 118, "info: DNS[1.1.1.1 9.9.9.9]")
    assert ava.unit.ran == []


def test_a_reboot_hangs_up_and_comes_when_told(ava: Any) -> None:
    sent, _, closed = ava.send(b"ascset|0,reboot,0")
    assert (sent, closed) == (b"", True)
    assert ascset(ava, "reboot,301") == ("E", 120, "failed: reboot value should be 0~300 seconds")
    assert ascset(ava, "reboot,soon") == ("E", 120, "failed: reboot value not number")
    ((script, at, _),) = ava.unit.ran
    assert script == "reboot"
    assert 0 < at - ava.start < 2 * SECOND


def test_a_pool_is_kept_with_the_password_and_used_after_the_boot(ava: Any) -> None:
    status, _, text = ascset(ava, "setpool,root,root,1,stratum+tcp://b.example:1,w.1,x")
    assert status == "I"
    assert "success" in text
    assert ascset(ava, "setpool,root,root,stratum+tcp://a.example:1,w.0,x")[0] == "I"
    assert ascset(ava, "setpool,root,root,3,stratum+tcp://c.example:1,w.1,x")[0] == "E"
    assert ava.ask("pools")["POOLS"][1]["URL"] == "stratum+tcp://pool-b.example:3333"
    ava.unit.boots(ava.start + 60 * SECOND)
    pools = ava.ask("pools", now=ava.start + 90 * SECOND)["POOLS"]
    assert [(pool["URL"], pool["User"]) for pool in pools[:2]] == [
        ("stratum+tcp://a.example:1", "w.0"), ("stratum+tcp://b.example:1", "w.1"),
    ]  # fmt: skip
    assert [pool["Stratum Active"] for pool in pools] == [True, False, False]


def test_a_new_password_is_asked_for_and_the_factory_one_comes_back_unasked(ava: Any) -> None:
    denied = ("E", 120, "failed: Auth Failed! password invalid!")
    assert ascset(ava, "password,guess,new") == denied
    assert ascset(ava, "password,one") == ("E", 120, "failed: we need 2 arguments, your input is 1 arguments.")
    assert ascset(ava, "password,root,new") == ("I", 118, "info: new password success set.")
    assert ascset(ava, "setpool,root,root,0,stratum+tcp://a.example:1,w,x") == denied
    assert ascset(ava, "setpool,root,new,0,stratum+tcp://a.example:1,w,x")[0] == "I"
    assert ascset(ava, "password,default") == ("S", 119, "OK")
    assert ascset(ava, "setpool,root,root,0,stratum+tcp://a.example:1,w,x")[0] == "I"


def test_restore_forgets_everything_and_reboots(ava: Any) -> None:
    ascset(ava, "workmode,0")
    ascset(ava, "password,root,new")
    assert ascset(ava, "restore") == ("S", 119, "OK")
    assert ava.device.conf == FACTORY
    assert [(script, setpoint) for script, _, setpoint in ava.unit.ran] == [("reboot", 1.0)]


def test_a_boot_forgets_the_stop_and_the_light_and_keeps_the_configuration(ava: Any) -> None:
    ascset(ava, "softoff")
    ascset(ava, "led,1-1")
    ascset(ava, "worklevel,set,1")
    ava.unit.share = 1.05
    ava.unit.boots(ava.start + 60 * SECOND)
    found = items(ava, ava.start + 90 * SECOND)
    assert (found["SoftOFF"], found["Led"], found["WORKLEVEL"]) == ("0", "0", "1")
    assert [script for script, _, _ in ava.unit.ran] == ["sleep", "retune"]


# ---- one at a time --------------------------------------------------------------------------------------------------


def attended(ava: Any) -> tuple[Any, list[int]]:
    """A conversation whose connection stands, and how often it was roused."""
    talk, roused = ava.device.converse(4028, "127.0.0.1", ava.start), []
    talk.attend(lambda: roused.append(1))
    return talk, roused


def test_callers_are_heard_in_the_order_in_which_they_came(ava: Any) -> None:
    (first, _), (second, roused), (third, _) = attended(ava), attended(ava), attended(ava)
    assert second.received(b"version", ava.start) == []
    assert third.received(b"version", ava.start) == []
    assert second.idle_timeout_ns is None, "who has asked may wait"
    assert first.idle_timeout_ns is not None
    assert isinstance(first.received(b"version", ava.start)[0], Send)
    assert roused == [1]
    assert second.wake_ns == 0
    assert [type(action) for action in second.woken(ava.start)] == [Send, Close]
    assert second.wake_ns is None
    assert [type(action) for action in third.woken(ava.start)] == [Send, Close]
    assert third.woken(ava.start) == []


def test_whoever_leaves_lets_the_next_one_through(ava: Any) -> None:
    (first, _), (second, roused), (third, _) = attended(ava), attended(ava), attended(ava)
    second.received(b"version", ava.start)
    third.lost(ava.start)
    assert roused == []
    first.lost(ava.start)
    first.lost(ava.start)
    assert roused == [1]
    assert second.woken(ava.start)


def test_who_hangs_up_before_his_turn_gets_nothing_and_blocks_nobody(ava: Any) -> None:
    (first, _), (second, _), (third, roused) = attended(ava), attended(ava), attended(ava)
    second.received(b"version", ava.start)
    assert second.ended(ava.start) == [Close()]
    assert first.ended(ava.start) == [Close()]
    assert roused == [1]
    assert third.received(b"version", ava.start)


def test_half_a_request_is_served_when_the_peer_goes(bench: MakeBench) -> None:
    ava = bench("avalon", "a1566", one_recv=False)
    talk, _ = attended(ava)
    assert talk.received(b'{"command":', ava.start) == []
    assert b"Invalid JSON" in talk.ended(ava.start)[0].data


def test_a_reboot_empties_the_line(ava: Any) -> None:
    (first, _), (second, _) = attended(ava), attended(ava)
    second.received(b"version", ava.start)
    ava.unit.boots(ava.start + 60 * SECOND)
    later = ava.start + 70 * SECOND
    assert ava.send(b"version", later)[0]
    assert first.received(b"version", later) == [Close(reset=True)]
    assert second.woken(later) == [Close(reset=True)]


def test_where_callers_are_turned_away_the_second_is_reset(bench: MakeBench) -> None:
    ava = bench("avalon", "a1566", when_busy="reset")
    (first, _), (second, roused) = attended(ava), attended(ava)
    assert roused == [1]
    assert second.woken(ava.start) == [Close(reset=True)]
    assert isinstance(first.received(b"version", ava.start)[0], Send)


# ---- any bytes ------------------------------------------------------------------------------------------------------

verbs = st.sampled_from([*VERBS, "x", ""])
values = st.lists(
    st.text("0123456789:-.abW ", max_size=8)
    | st.sampled_from(["set", "get", "static", "dhcp", "root", "1:1780000000"]),
    max_size=7,
)
orders = st.builds(lambda verb, given: ",".join(["0", verb, *given]), verbs, values)
requests = (
    st.binary(max_size=200)
    | st.builds(lambda text: f"ascset|{text}".encode(), orders)
    | st.builds(
        lambda name, parameter: json.dumps({"command": name, "parameter": parameter}).encode(),
        st.sampled_from(sorted(COMMANDS)) | st.text(max_size=9),
        orders | st.none() | st.integers() | st.floats() | st.lists(st.text(max_size=3)) | st.text(max_size=20),
    )
)  # fmt: skip


@QUICK
@given(pieces=st.lists(requests, max_size=3), model_id=st.sampled_from(["a1246", "a1466", "a1566"]))
def test_any_bytes_raise_nothing_and_change_nothing_that_asks_for_the_password(
    bench: MakeBench, pieces: list[bytes], model_id: str
) -> None:
    made = bench("avalon", model_id)
    made.device.conf = kept = type(FACTORY)(password="secret", pools=made.device.pools)
    talks = [attended(made)[0] for _ in range(2)]
    for n, piece in enumerate([*pieces, None]):
        at = made.start + n * SECOND
        for talk in talks:
            closed = False
            actions = list(talk.ended(at) if piece is None else talk.received(piece, at)) + list(talk.woken(at))
            for action in actions:
                assert isinstance(action, Send | Close)
                assert action.delay_ns >= 0
                assert not closed
                closed = isinstance(action, Close)
    after = made.device.conf
    erased = any(b"restore" in piece.lower() for piece in pieces)
    assert after.pools == kept.pools or erased
    assert after.password == "secret" or erased or any(b"password" in piece.lower() for piece in pieces)
    for name in ("summary", "litestats", "pools"):
        assert made.ask(name, now=made.start + 600 * SECOND)["STATUS"][0]["STATUS"] == "S"


@QUICK
@given(old=st.text(max_size=8).filter(lambda text: text.strip() != "secret"), url=st.text(max_size=8))
def test_no_password_but_the_right_one_opens(bench: MakeBench, old: str, url: str) -> None:
    made = bench("avalon", "a1566")
    made.device.conf = kept = type(FACTORY)(password="secret")
    for order in (f"password,{old},new", f"setpool,root,{old},0,{url},w,x", f"setpool,{old},secret ,0,{url},w"):
        made.send(json.dumps({"command": "ascset", "parameter": f"0,{order}"}).encode())
    assert made.device.conf == kept
