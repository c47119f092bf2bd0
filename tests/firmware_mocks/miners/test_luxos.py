"""LuxOS: the session, curtailment, profiles, pools, and when the miner follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from emulator.catalogue import Phase
from emulator.wire import SECOND, Reach
from firmware_mocks.miners.luxos import COMMANDS, PRIVILEGED, REPORTS

MakeBench = Callable[..., Any]


@pytest.fixture
def lux(bench: MakeBench) -> Any:
    return bench("luxos", "s21")


def code(reply: dict[str, Any]) -> tuple[str, int]:
    return reply["STATUS"][0]["STATUS"], reply["STATUS"][0]["Code"]


def privileged(lux: Any, command: str, parameters: str = "", now: int | None = None) -> dict[str, Any]:
    """Logon, command, logoff, as the vendor's own library does it."""
    at = lux.start if now is None else now
    sid = lux.ask("logon", now=at)["SESSION"][0]["SessionID"]
    reply: dict[str, Any] = lux.ask(command, ",".join(filter(None, [sid, parameters])), now=at)
    lux.ask("logoff", sid, now=at)
    return reply


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_is_a_success_and_may_be_joined(lux: Any, name: str) -> None:
    reply = lux.ask(name)
    assert reply["STATUS"][0]["STATUS"] == "S"
    assert reply["STATUS"][0]["Description"].startswith("LUXminer ")
    assert lux.ask(f"{name}+version")[name][0] == reply


def test_there_is_one_session_and_it_is_no_secret(lux: Any) -> None:
    assert lux.ask("session")["SESSION"][0]["SessionID"] == ""
    reply = lux.ask("logon")
    sid = reply["SESSION"][0]["SessionID"]
    assert code(reply) == ("S", 316)
    assert len(sid) == 8
    assert lux.ask("session")["SESSION"][0]["SessionID"] == sid
    assert code(lux.ask("logon")) == ("E", 402)
    assert code(lux.ask("logoff", sid))[0] == "S"
    assert lux.ask("logon")["SESSION"][0]["SessionID"] != sid


def test_a_session_ends_a_minute_after_its_last_use(lux: Any) -> None:
    sid = lux.ask("logon")["SESSION"][0]["SessionID"]
    used = lux.start + 59 * SECOND
    assert code(lux.ask("ledset", f"{sid},red,on", now=used))[0] == "S"
    assert lux.ask("session", now=used + 59 * SECOND)["SESSION"][0]["SessionID"] == sid
    assert lux.ask("session", now=used + 60 * SECOND)["SESSION"][0]["SessionID"] == ""
    assert code(lux.ask("ledset", f"{sid},red,off", now=used + 60 * SECOND)) == ("E", 401)
    assert lux.ask("config", now=used)["CONFIG"][0]["RedLed"] == "on"


@pytest.mark.parametrize("command", PRIVILEGED)
def test_without_the_session_nothing_is_changed(lux: Any, command: str) -> None:
    before = lux.device.conf
    for parameter in (None, "sleep", "WRONGSID,sleep", ",sleep", 7):
        assert code(lux.ask(command, parameter)) == ("E", 401)
    lux.ask("logon")
    assert code(lux.ask(command, "WRONGSID,sleep")) == ("E", 401)
    assert lux.device.conf == before
    assert lux.unit.ran == []


def test_sleep_starts_when_the_reply_leaves(lux: Any) -> None:
    reply = privileged(lux, "curtail", "sleep")
    assert code(reply) == ("S", 335)
    assert reply["CURTAIL"] == [{"Action": "sleep mode"}]
    (script, at, _) = lux.unit.ran[0]
    assert (script, len(lux.unit.ran)) == ("sleep", 1)
    assert 0 < at - lux.start < SECOND
    assert lux.ask("config")["CONFIG"][0]["CurtailMode"] == "Sleep"


def test_waking_is_slow_unless_told_to_be_unsafe(lux: Any) -> None:
    privileged(lux, "curtail", "sleep")
    reply = privileged(lux, "curtail", "wakeup")
    assert reply["CURTAIL"] == [{"Action": "wake up"}]
    privileged(lux, "curtail", "sleep")
    privileged(lux, "curtail", "wakeup,mode=unsafe")
    privileged(lux, "curtail", "sleep")
    privileged(lux, "curtail", "wakeup,frequency_step=100,voltage_step=1")
    scripts = [(script, setpoint) for script, _, setpoint in lux.unit.ran if script != "sleep"]
    assert scripts == [("wake", 1.0), ("wake_fast", 1.0), ("wake", 1.0)]


def test_a_repeated_command_is_an_error_that_says_already(lux: Any) -> None:
    assert "already" in privileged(lux, "curtail", "wakeup")["STATUS"][0]["Msg"]
    privileged(lux, "curtail", "sleep")
    again = privileged(lux, "curtail", "sleep")
    assert code(again)[0] == "E"
    assert "already" in again["STATUS"][0]["Msg"]
    assert len(lux.unit.ran) == 1


def test_curtailment_survives_a_boot_and_then_the_first_wake_up_must_be_safe(lux: Any) -> None:
    privileged(lux, "curtail", "sleep")
    lux.unit.boots(lux.start + 60 * SECOND)
    later = lux.start + 90 * SECOND
    assert lux.ask("config", now=later)["CONFIG"][0]["CurtailMode"] == "Sleep"
    assert code(privileged(lux, "curtail", "wakeup,mode=unsafe", later))[0] == "E"
    privileged(lux, "curtail", "wakeup", later)
    privileged(lux, "curtail", "sleep", later)
    assert code(privileged(lux, "curtail", "wakeup,mode=unsafe", later))[0] == "S"


def test_the_uptime_survives_sleep_and_not_a_reset(lux: Any) -> None:
    privileged(lux, "curtail", "sleep")
    lux.unit.sleeps(lux.start + 4 * SECOND)
    assert lux.ask("summary", now=lux.start + 60 * SECOND)["SUMMARY"][0]["Elapsed"] == 36060
    privileged(lux, "resetminer", now=lux.start + 60 * SECOND)
    assert [script for script, _, _ in lux.unit.ran] == ["sleep"]
    assert lux.device.reach(4028, lux.start + 63 * SECOND) is Reach.REFUSES
    assert lux.ask("summary", now=lux.start + 77 * SECOND)["SUMMARY"][0]["Elapsed"] in (10, 11)


def test_a_reset_restarts_a_miner_that_mines_and_a_reboot_the_board(lux: Any) -> None:
    privileged(lux, "resetminer")
    privileged(lux, "rebootdevice")
    (restart, at, _), (reboot, then, _) = lux.unit.ran
    assert (restart, reboot) == ("restart", "reboot")
    assert then - at > SECOND


def test_asleep_the_boards_live_and_the_pools_are_dead(lux: Any) -> None:
    privileged(lux, "curtail", "sleep")
    lux.unit.sleeps(lux.start)
    later = lux.start + 600 * SECOND
    board = lux.ask("devs", now=later)["DEVS"][0]
    assert (board["Status"], board["MHS 5s"], board["IsRamping"]) == ("Alive", 0.0, False)
    assert {pool["Status"] for pool in lux.ask("pools", now=later)["POOLS"]} == {"Dead"}
    assert lux.ask("config", now=later)["CONFIG"][0]["IsPowerSupplyOn"] is False
    assert lux.ask("power", now=later)["POWER"][0]["Watts"] == pytest.approx(25, abs=3)


def test_a_ramp_can_be_seen(lux: Any) -> None:
    lux.unit.now_phase = Phase.WAKE
    assert lux.ask("devs")["DEVS"][0]["IsRamping"] is True


def test_watts_are_a_model_with_an_error_of_its_own(bench: MakeBench) -> None:
    lux = bench("luxos", "s21")
    shown = [lux.ask("power", now=lux.start + n * SECOND)["POWER"][0] for n in range(20)]
    assert {row["PSU"] for row in shown} == {False}
    watts = [row["Watts"] for row in shown]
    gain = sum(watts) / len(watts) / 3000
    assert abs(gain - 1) < 0.12
    assert max(watts) - min(watts) < 0.02 * 3000


@pytest.mark.parametrize(
    ("wanted", "step"),
    [
        ("default", 0),
        ("434MHz", -2),
        ("-2", -2),
        ("+1", 1),
        ("0", 0),
        ("3500W", 0),
        ("3.5kW", 0),
        ("200THs", 0),
        ("0,434MHz", -2),
    ],
)
def test_a_profile_is_chosen_by_name_step_watts_or_rate(lux: Any, wanted: str, step: int) -> None:
    privileged(lux, "profileset", "+3")
    reply = privileged(lux, "profileset", wanted)
    assert code(reply) == ("S", 321)
    assert lux.device.profile.step == step
    assert reply["PROFILE"][0]["Profile"] == lux.ask("config")["CONFIG"][0]["Profile"] == lux.device.profile.name
    script, _, setpoint = lux.unit.ran[-1]
    assert script == "retune"
    assert setpoint == pytest.approx(lux.device.profile.watts / 3500)


def test_the_present_profile_again_moves_nothing(lux: Any) -> None:
    assert code(privileged(lux, "profileset", "default")) == ("S", 321)
    assert lux.unit.ran == []


def test_a_profile_chosen_asleep_is_for_the_next_wake_up(lux: Any) -> None:
    privileged(lux, "curtail", "sleep")
    privileged(lux, "profileset", "-4")
    privileged(lux, "curtail", "wakeup")
    assert [script for script, _, _ in lux.unit.ran] == ["sleep", "wake"]
    assert lux.unit.ran[1][2] == pytest.approx(lux.device.profile.watts / 3500)


def test_a_power_target_is_held_within_the_ladder(lux: Any) -> None:
    assert code(privileged(lux, "powertargetset", "power=2600"))[0] == "S"
    assert lux.unit.ran[0][2] == pytest.approx(2600 / 3500)
    for wrong in ("power=100", "power=99999", "power=nan", "power", ""):
        assert code(privileged(lux, "powertargetset", wrong)) == ("E", 400)
    assert len(lux.unit.ran) == 1


def test_one_board_may_run_at_its_own_clock_but_not_asleep(lux: Any) -> None:
    reply = privileged(lux, "frequencyset", "1,434")
    assert reply["RAMP"] == [{"Board": 1, "Frequency": 434, "FrequencyStep": 5, "TargetChip": "all"}]
    assert 0.94 < lux.unit.ran[0][2] < 0.97
    assert code(privileged(lux, "frequencyset", "9,434"))[0] == "E"
    privileged(lux, "curtail", "sleep")
    assert code(privileged(lux, "frequencyset", "1,459"))[0] == "E"


def test_the_clock_that_is_shown_is_the_clock_that_was_set(lux: Any) -> None:
    privileged(lux, "profileset", "384MHz")
    row = lux.ask("stats")["STATS"][1]
    assert (row["frequency"], row["freq1"]) == (384, 384)
    assert row["total_rateideal"] == pytest.approx(200_000 * 384 / 484, abs=50)
    privileged(lux, "frequencyset", "1,434")
    row = lux.ask("stats")["STATS"][1]
    assert [row[f"freq{n}"] for n in (1, 2, 3)] == [384, 434, 384]
    assert lux.ask("frequencyget", "1,5")["FREQS"] == [{"Board": 1, "Chip": 5, "Frequency": 434}]


def test_settings_are_kept_and_shown(lux: Any) -> None:
    assert code(privileged(lux, "atmset", "enabled=false,temp_window=3,min_profile=-3,max_profile=")) == ("S", 340)
    assert lux.ask("atm")["ATM"][0] == {
        "Enabled": False, "MaxProfile": "", "MinProfile": "-3", "PostRampMinutes": 15, "StartupMinutes": 15,
        "TempWindow": 3,
    }  # fmt: skip
    assert code(privileged(lux, "tempctrlset", "60,70,80")) == ("S", 330)
    assert code(privileged(lux, "tempctrlset", "hot_temp=75")) == ("S", 330)
    assert lux.ask("tempctrl")["TEMPCTRL"][0] == {"Mode": "Automatic", "Target": 60.0, "Hot": 75.0, "Dangerous": 80.0}
    assert code(privileged(lux, "fanset", "speed=80,min_fans=2"))[0] == "S"
    assert lux.ask("fans")["FANCTRL"][0]["MinFans"] == 2
    assert code(privileged(lux, "ledset", "red,blink"))[0] == "S"
    assert code(privileged(lux, "psuset", "fan_enabled=true")) == ("E", 434)


@pytest.mark.parametrize(
    ("command", "parameters"),
    [
        ("curtail", ""), ("curtail", "doze"), ("curtail", "wakeup,unsafe"), ("profileset", "fast"), ("profileset", ""),
        ("profileset", "+99"), ("atmset", ""), ("atmset", "enabled=perhaps"), ("atmset", "min_profile=x"),
        ("ledset", "blue,on"),
        ("tempctrlset", "80,70,60"), ("tempctrlset", "nan,nan,nan"), ("fanset", "speed=200"), ("fanset", "speed"),
    ],
)  # fmt: skip
def test_a_parameter_that_makes_no_sense_changes_nothing(lux: Any, command: str, parameters: str) -> None:
    before = lux.device.conf
    assert code(privileged(lux, command, parameters))[0] == "E"
    assert lux.device.conf == before
    assert lux.unit.ran == []


def test_pool_commands_need_no_session(lux: Any) -> None:
    assert lux.ask("addpool", "stratum+tcp://new:1,me,x")["STATUS"][0]["Msg"] == "Added pool 2: 'stratum+tcp://new:1'"
    assert code(lux.ask("switchpool", 2)) == ("S", 27)
    assert [pool["Stratum Active"] for pool in lux.ask("pools")["POOLS"]] == [False, False, True]
    assert code(lux.ask("disablepool", "0")) == ("S", 48)
    assert lux.ask("pools")["POOLS"][0]["Status"] == "Disabled"
    assert code(lux.ask("enablepool", "0")) == ("S", 47)
    assert code(lux.ask("removepool", "0")) == ("S", 68)
    assert [pool["Stratum Active"] for pool in lux.ask("pools")["POOLS"]] == [False, True]
    assert code(lux.ask("removepool", "9")) == ("E", 26)
    assert code(lux.ask("removepool")) == ("E", 25)
    assert code(lux.ask("addpool", "url")) == ("E", 52)
    lux.ask("removepool", "0")
    assert code(lux.ask("removepool", "0"))[0] == "E"
    assert len(lux.ask("pools")["POOLS"]) == 1


def test_difficulty_is_a_whole_number(lux: Any) -> None:
    rows = [lux.ask("summary")["SUMMARY"][0], lux.ask("devs")["DEVS"][0], *lux.ask("pools")["POOLS"]]
    kinds = {type(entry) for row in rows for key, entry in row.items() if "Difficulty" in key or key == "Diff1 Shares"}
    assert kinds == {int}


def test_groups_divide_the_pools(lux: Any) -> None:
    assert code(lux.ask("addgroup", "split,2"))[0] == "S"
    lux.ask("addpool", "stratum+tcp://new:1,me,x,1")
    assert code(lux.ask("groupquota", "1,5"))[0] == "S"
    assert lux.ask("groups")["GROUPS"] == [
        {"GROUP": 0, "Name": "default", "Quota": 1},
        {"GROUP": 1, "Name": "split", "Quota": 5},
    ]
    assert lux.ask("pools")["POOLS"][2]["GROUP"] == 1
    assert code(lux.ask("removegroup", "2"))[0] == "E"


def test_a_group_takes_its_pools_along_and_a_client_can_build_them_anew(lux: Any) -> None:
    lux.ask("addgroup", "split,2")
    lux.ask("addpool", "stratum+tcp://new:1,me,x,1")
    lux.ask("switchpool", "2")
    assert code(lux.ask("removegroup", "0"))[0] == "S"
    assert [(pool["URL"], pool["GROUP"], pool["Stratum Active"]) for pool in lux.ask("pools")["POOLS"]] == [
        ("stratum+tcp://new:1", 0, True)
    ]
    assert code(lux.ask("removegroup", "0"))[0] == "S"
    assert lux.ask("pools")["POOLS"] == lux.ask("groups")["GROUPS"] == []
    assert code(lux.ask("addpool", "stratum+tcp://newer:1,me,x"))[0] == "E"
    lux.ask("addgroup", "all,1")
    assert code(lux.ask("addpool", "stratum+tcp://newer:1,me,x,0"))[0] == "S"
    assert lux.ask("pools")["POOLS"][0]["Stratum Active"]


def test_callers_cannot_grow_the_pool_list_without_end(lux: Any) -> None:
    for n in range(100):
        lux.ask("addpool", f"stratum+tcp://p{n}:1,me,x")
        lux.ask("addgroup", f"g{n}")
    assert len(lux.device.pools) == len(lux.device.conf.groups) == 32


def test_boards_and_chips_are_asked_by_number(lux: Any) -> None:
    assert lux.ask("voltageget", "0")["VOLTAGE"] == [{"Board": 0, "IsOnBoard": False, "Voltage": 13.8}]
    assert len(lux.ask("healthchipget", "0")["CHIPS"]) == 108
    assert lux.ask("healthchipget", "0,20")["CHIPS"][0]["Chip"] == 20
    assert lux.ask("frequencyget", 2)["FREQS"][0]["Frequency"] == 484
    for wrong in (None, "3", "x", "0,108", "0,-1"):
        assert code(lux.ask("healthchipget", wrong))[0] == "E"


def test_the_page_on_port_80_names_the_maker(lux: Any) -> None:
    assert b"Luxor Firmware" in lux.web(b"GET / HTTP/1.1\r\nHost: m\r\n\r\n")[2]
    assert lux.web(b"GET /api HTTP/1.1\r\nHost: m\r\n\r\n")[0] == 404


def test_check_knows_every_command(lux: Any) -> None:
    assert all(lux.ask("check", name)["CHECK"][0]["Exists"] == "Y" for name in COMMANDS)
    assert lux.ask("check", "nonsense")["CHECK"][0]["Exists"] == "N"
