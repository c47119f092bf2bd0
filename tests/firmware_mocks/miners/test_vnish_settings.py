"""VNish: presets, settings, and what is shown of the miner now and of what it did."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from firmware_mocks.miners import vnish
from firmware_mocks.miners.vnish_conf import FACTORY, PRESETS, ladder, present
from tests.firmware_mocks.miners.vnish_rest import Rest, seconds

MakeBench = Callable[..., Any]


@pytest.fixture
def rest(bench: MakeBench) -> Rest:
    return Rest(bench("vnish", "s19j_pro")).unlock()


@pytest.mark.parametrize("model_id", sorted(vnish.FIRMWARE.models))
def test_every_ladder_rises_has_a_source_and_holds_the_rung_the_model_comes_with(model_id: str) -> None:
    rungs = ladder(model_id)
    assert [rung.watts for rung in rungs] == sorted({rung.watts for rung in rungs})
    assert [rung.ths for rung in rungs] == sorted({rung.ths for rung in rungs})
    assert present(model_id) in rungs
    assert PRESETS[f"{model_id}.rungs"].grade == ("S2" if model_id in ("s19", "s19j_pro") else "estimate")


def test_a_preset_is_the_rung_of_its_label(rest: Rest) -> None:
    presets = rest.get("autotune/presets")
    assert presets[0] == {"name": "disabled", "pretty": "Disabled", "status": "untuned", "modded_psu_required": False}
    assert presets[-1]["pretty"] == "2970 watt ~ 100 TH"
    saved = rest.call("POST", "settings", {"miner": {"overclock": {"preset": "2500"}}})
    assert saved[1] == {"restart_required": True, "reboot_required": False}
    assert rest.made.unit.ran == [("retune", saved[2], pytest.approx(2500 / 2970))]
    assert rest.get("perf-summary")["current_preset"]["pretty"] == "2500 watt ~ 92 TH"
    assert rest.get("settings")["miner"]["overclock"]["preset"] == "2500"
    assert rest.get("settings")["miner"]["overclock"]["globals"]["freq"] == pytest.approx(
        545 * (2500 / 2970) ** 0.77, abs=2
    )


@pytest.mark.parametrize("wrong", ["2600", "0", "", "fast", 2600, None, ["2500"]])
def test_a_preset_off_the_ladder_is_400_and_changes_nothing(rest: Rest, wrong: Any) -> None:
    status, said = rest.post("settings", {"miner": {"overclock": {"preset": wrong}}})
    assert (status, list(said)) == (400, ["err"])
    assert rest.made.unit.ran == []
    assert rest.made.device.conf == FACTORY


def test_the_present_preset_again_restarts_nothing(rest: Rest) -> None:
    assert rest.post("settings", {"miner": {"overclock": {"preset": "2970"}}})[1]["restart_required"] is False
    assert rest.made.unit.ran == []


def test_a_preset_chosen_while_stopped_is_for_the_next_start(rest: Rest) -> None:
    rest.post("mining/stop")
    rest.post("settings", {"miner": {"overclock": {"preset": "1740"}}})
    assert [script for script, _, _ in rest.made.unit.ran] == ["sleep"]


def test_an_untuned_preset_is_accepted_and_ignored(bench: MakeBench) -> None:
    caller = Rest(bench("vnish", "s19j_pro", tuned=("2970", "2000"))).unlock()
    assert [row["name"] for row in caller.get("autotune/presets") if row["status"] == "tuned"] == ["2000", "2970"]
    assert caller.post("settings", {"miner": {"overclock": {"preset": "1740"}}})[0] == 200
    assert caller.get("settings")["miner"]["overclock"]["preset"] == "2970"
    assert caller.made.unit.ran == []


def test_an_untuned_preset_is_tuned_where_the_firmware_does_that(bench: MakeBench) -> None:
    caller = Rest(bench("vnish", "s19j_pro", tuned=("2970",), untuned_preset="tunes")).unlock()
    caller.post("settings", {"miner": {"overclock": {"preset": "1740"}}})
    assert caller.made.unit.ran[0][0] == "retune"
    caller.made.unit.mining = seconds(caller, 60)
    assert caller.get("status", seconds(caller, 70))["miner_state"] == "auto-tuning"
    assert "Tuning preset 1740" in caller.get("logs/autotune", seconds(caller, 70))
    later = seconds(caller, 60 + 1801)
    assert caller.get("status", later)["miner_state"] == "mining"
    assert caller.get("perf-summary", later)["current_preset"]["status"] == "tuned"
    caller.unlock(later)
    caller.post("settings", {"miner": {"overclock": {"preset": "2970"}}}, later)
    tuned = [row["name"] for row in caller.get("autotune/presets", later) if row["status"] == "tuned"]
    assert tuned == ["1740", "2970"]


def test_tuning_can_be_forgotten(rest: Rest) -> None:
    assert rest.post("autotune/reset", {"presets": ["9999"]})[0] == 400
    assert rest.post("autotune/reset", {"presets": ["2970"], "restart": True})[0] == 200
    assert rest.made.unit.ran[0][0] == "restart"
    rest.made.unit.mining = seconds(rest, 60)
    assert rest.get("status", seconds(rest, 61))["miner_state"] == "auto-tuning"
    assert rest.post("autotune/reset-all", {"restart": False})[0] == 200
    assert {row["status"] for row in rest.get("autotune/presets")} == {"untuned"}


def test_without_a_preset_clock_and_voltage_are_set_by_hand(rest: Rest) -> None:
    by_hand = {"preset": "disabled", "globals": {"freq": 500, "volt": 1320}}
    assert rest.post("settings", {"miner": {"overclock": by_hand}})[0] == 200
    script, _, share = rest.made.unit.ran[0]
    assert (script, share) == ("retune", pytest.approx((500 / 545) ** 1.3))
    overclock = rest.get("settings")["miner"]["overclock"]
    assert (overclock["preset"], overclock["globals"]) == ("disabled", {"freq": 500, "volt": 1320})
    for wrong in ({"freq": 1001}, {"freq": 49}, {"volt": 1600}, {"volt": 100}):
        assert rest.post("settings", {"miner": {"overclock": {"globals": wrong}}})[0] == 400


def test_settings_are_kept_and_shown(rest: Rest) -> None:
    asked = {
        "miner": {
            "cooling": {"mode": {"name": "manual", "param": 80}, "fan_min_count": 2, "fan_min_duty": 30},
            "misc": {"quiet_mode": True, "quick_start": True, "restart_temp": 85},
            "pools": [{"url": "stratum+tcp://new.example:1", "user": "me", "pass": "x", "order": 0, "id": 0}],
        },
        "regional": {"timezone": {"current": "GMT+2"}}, "network": {"hostname": "rack7"}, "post": True,
    }  # fmt: skip
    assert rest.post("settings", asked) == (200, {"restart_required": False, "reboot_required": False})
    shown = rest.get("settings")
    assert shown["miner"]["cooling"]["mode"] == {"name": "manual", "param": 80}
    assert shown["miner"]["misc"]["quiet_mode"] is True
    assert shown["miner"]["misc"]["restart_temp"] == 85
    assert shown["miner"]["pools"] == [{"id": 0, "order": 0, "url": "new.example:1", "user": "me", "pass": "x"}]
    assert shown["regional"]["timezone"]["current"] == "GMT+2"
    assert rest.get("info")["system"]["network_status"]["hostname"] == "rack7"
    assert rest.made.unit.ran == []


def test_the_password_can_be_changed_by_who_knows_it(rest: Rest) -> None:
    assert rest.post("settings", {"password": {"current": "guess", "pw": "new"}})[0] == 403
    assert rest.post("settings", {"password": {"current": "admin", "pw": "new"}})[0] == 200
    assert rest.post("unlock", {"pw": "admin"})[0] == 403
    assert rest.post("unlock", {"pw": "new"})[0] == 200


def test_to_remain_stopped_can_be_set_before_or_while_stopped(rest: Rest) -> None:
    misc = {"miner": {"misc": {"remain_stopped_on_reboot": True}}}
    rest.post("settings", misc)
    rest.post("mining/stop")
    misc["miner"]["misc"]["remain_stopped_on_reboot"] = False
    rest.post("settings", misc)
    misc["miner"]["misc"]["remain_stopped_on_reboot"] = True
    rest.post("settings", misc)
    assert [script for script, _, _ in rest.made.unit.ran] == ["sleep_kept", "forget_stopped", "stay_stopped"]
    rest.made.unit.sleeps(seconds(rest, 5))
    rest.made.unit.boots(seconds(rest, 60))
    assert rest.get("status", seconds(rest, 70))["miner_state"] == "stopped"


# ---- what is shown ---------------------------------------------------------------------------------------------------


def test_the_watts_are_those_of_the_boards_with_an_error_of_the_unit(rest: Rest) -> None:
    shown = [rest.get("summary", seconds(rest, n))["miner"] for n in range(20)]
    watts = [row["power_consumption"] for row in shown]
    assert all(row["power_usage"] == row["power_consumption"] for row in shown)
    assert all(row["power_consumption"] == sum(chain["power_consumption"] for chain in row["chains"]) for row in shown)
    assert abs(sum(watts) / len(watts) / (3000 * 2970 / 3068) - 1) < 0.12
    assert 0 < max(watts) - min(watts) < 0.02 * 3000


def test_metrics_are_means_of_what_was_and_end_at_the_boot(rest: Rest) -> None:
    rest.made.unit.hash_steps.append((seconds(rest, -1800), 52.0))
    rows = rest.get("metrics?time_slice=7200&step=1800")["metrics"]
    assert [row["data"]["hashrate"] for row in rows] == [52.0, 104.0, 104.0, 104.0]
    assert len(rest.get("metrics")["metrics"]) == 10 * 4, "ten hours since the boot"
    assert len(rest.get("metrics?step=1&time_slice=x")["metrics"]) == 10 * 12
    rest.post("mining/stop")
    assert rest.get("metrics", seconds(rest, 60))["annotations"][0]["data"] == {"type": "stop"}


def test_the_logs_tell_what_happened(rest: Rest) -> None:
    rest.post("mining/stop")
    rest.post("mining/start", now=seconds(rest, 30))
    lines = rest.get("logs/status", seconds(rest, 60)).splitlines()
    assert [line.split("INFO: ")[1] for line in lines] == [
        "Mining stopped",
        "Initializing [Antminer S19j Pro AML (1.2.6)]",
    ]
    assert "chain#3 - connected" in rest.get("logs/miner", seconds(rest, 60))
    assert '"POST /api/v1/mining/stop" 200' in rest.get("logs/api", seconds(rest, 60))
    assert rest.call("GET", "logs/secret")[0] == 404


def test_the_socket_reads_and_writes_nothing(rest: Rest) -> None:
    for name in vnish.REPORTS:
        assert rest.made.ask(name)["STATUS"][0]["STATUS"] == "S"
        assert rest.made.ask(f"{name}+version")[name][0]["STATUS"][0]["STATUS"] == "S"
    assert "ntminer" not in json.dumps(rest.made.ask("version"))
    assert rest.made.ask("stats")["STATS"][0]["Type"] == "Antminer S19j Pro (Vnish 1.2.6)"
    assert rest.made.ask("ascset", "0,x")["STATUS"][0]["Code"] == 14


def test_the_page_names_the_system_and_other_paths_are_refused(rest: Rest) -> None:
    assert b"AnthillOS" in rest.made.web(b"GET / HTTP/1.1\r\nHost: m\r\n\r\n")[2]
    assert rest.made.web(b"GET /x HTTP/1.1\r\nHost: m\r\n\r\n")[0] == 404
    assert rest.made.web(b"POST /cgi-bin/blink.cgi HTTP/1.1\r\nHost: m\r\nContent-Length: 0\r\n\r\n")[0] == 405
    assert rest.call("PUT", "settings", {})[0] == 404
