"""Braiins OS: targets and the tuner, DPS, boards, cooling, and pools."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.wire import SECOND
from firmware_mocks.miners.braiins_conf import FACTORY
from tests.firmware_mocks.miners.braiins_hand import POOL, Hand, MakeBench, pause


@pytest.fixture
def bos(bench: MakeBench) -> Hand:
    hand = Hand(bench("braiins", "s19j_pro"))
    hand.login()
    return hand


# ---- targets -------------------------------------------------------------------------------------------------------


def test_a_power_target_is_tuned_once_and_then_known(bos: Hand) -> None:
    def go(watts: int, now: int) -> None:
        assert bos.rest("PUT", "performance/power-target", {"watt": watts}, now=now)[:2] == (200, {"watt": watts})

    at = bos.start
    go(2300, at)
    assert bos.unit.ran[-1][0] == "retune_new"
    assert bos.unit.ran[-1][2] == pytest.approx(2300 / 3068)
    state = bos.rest("GET", "performance/tuner-state", now=at + 60 * SECOND)[1]
    assert state["overall_tuner_state"] == 3
    assert state["mode_state"]["powertargetmodestate"] == {"profile": None, "current_target": {"watt": 2300}}
    tuned = at + 1801 * SECOND
    state = bos.rest("GET", "performance/tuner-state", now=tuned)[1]
    profile = state["mode_state"]["powertargetmodestate"]["profile"]
    assert (state["overall_tuner_state"], profile["target"]) == (2, {"watt": 2300})
    assert profile["measured_hashrate"]["gigahash_per_second"] == pytest.approx(
        104e3 * (2300 / 3068) ** (1 / 1.3), rel=1e-6
    )
    go(3068, tuned)
    go(2300, tuned + SECOND)
    assert [ran[0] for ran in bos.unit.ran[1:]] == ["retune", "retune"]
    listed = bos.rest("GET", "performance/target-profiles", now=tuned)[1]
    assert [entry["target"]["watt"] for entry in listed["power_target_profiles"]] == [2300, 3068]
    assert bos.rest("DELETE", "performance/tuned-profiles", now=tuned)[0] == 204
    assert bos.rest("GET", "performance/target-profiles", now=tuned)[1]["power_target_profiles"] == []


def test_a_pause_breaks_the_tuning_off_and_a_resume_begins_it_anew(bos: Hand) -> None:
    bos.rest("PUT", "performance/power-target", {"watt": 2300})
    bos.rest("PUT", "actions/pause", now=bos.start + 1000 * SECOND)
    bos.rest("PUT", "actions/resume", now=bos.start + 2000 * SECOND)
    assert bos.unit.ran[-1][2] == pytest.approx(2300 / 3068)
    assert bos.rest("GET", "performance/tuner-state", now=bos.start + 3700 * SECOND)[1]["overall_tuner_state"] == 3
    assert bos.rest("GET", "performance/tuner-state", now=bos.start + 3900 * SECOND)[1]["overall_tuner_state"] == 2


def test_the_same_target_again_moves_nothing(bos: Hand) -> None:
    assert bos.rest("PUT", "performance/power-target", {"watt": 3068})[0] == 200
    assert bos.rest("PUT", "performance/power-target/default")[1] == {"watt": 3068}
    assert bos.unit.ran == []


def test_targets_go_up_down_and_relative(bos: Hand) -> None:
    assert bos.rest("PATCH", "performance/power-target/decrement", {"watt": 300})[1] == {"watt": 2768}
    assert bos.rest("PATCH", "performance/power-target/increment", {"watt": 100})[1] == {"watt": 2868}
    assert bos.rest("PATCH", "performance/power-target/relative", {"percentage": 50.0, "reference": 1})[1] == {
        "watt": 1534
    }
    assert bos.rest("PATCH", "performance/power-target/relative", {"percentage": 110.0, "reference": 4})[1] == {
        "watt": 1687
    }
    name, asked = "PerformanceService/DecrementPowerTarget", {"save_action": 2, "power_target_decrement": {"watt": 87}}
    assert bos.grpc(name, asked)[1] == {"power_target": {"watt": 1600}}
    assert bos.ask("tunerstatus")["TUNERSTATUS"][0]["PowerLimit"] == 1600
    assert len(bos.unit.ran) == 5


def test_a_hash_rate_target_is_another_mode(bos: Hand) -> None:
    assert bos.rest("PUT", "performance/hashrate-target", {"terahash_per_second": 52.0})[1] == {
        "terahash_per_second": 52.0
    }
    assert bos.unit.ran[-1][2] == pytest.approx(0.5**1.3)
    mode = bos.rest("GET", "performance/mode")[1]
    assert mode == {"tunermode": {"target": {"hashratetarget": {"hashrate_target": {"terahash_per_second": 52.0}}}}}
    assert bos.rest("GET", "configuration/miner")[1]["tuner"] == {
        "enabled": True, "tuner_mode": 2, "power_target": {"watt": 3068},
        "hashrate_target": {"terahash_per_second": 52.0},
    }  # fmt: skip
    assert (
        bos.rest("PATCH", "performance/hashrate-target/increment", {"terahash_per_second": 8})[1]["terahash_per_second"]
        == 60
    )
    assert (
        bos.rest("PATCH", "performance/hashrate-target/decrement", {"terahash_per_second": 5})[1]["terahash_per_second"]
        == 55
    )
    relative = {"percentage": 200.0, "reference": 2}
    assert bos.rest("PATCH", "performance/hashrate-target/relative", relative)[1][
        "terahash_per_second"
    ] == pytest.approx(19.7)
    assert bos.rest("PUT", "performance/hashrate-target/default")[1] == {"terahash_per_second": 104.0}


@pytest.mark.parametrize("watts", [0, 100, 856, 7154, 1 << 63])
def test_a_target_outside_the_constraints_is_refused_with_the_range(bos: Hand, watts: int) -> None:
    status, said = bos.grpc("PerformanceService/SetPowerTarget", {"save_action": 3, "power_target": {"watt": watts}})
    assert (status, "857..=7153 W" in said) == (3, True)
    assert bos.rest("PUT", "performance/power-target", {"watt": watts})[0] == 400
    assert bos.device.saved == FACTORY
    assert bos.unit.ran == []


@pytest.mark.parametrize("ths", [-1.0, 0.0, 9.8, 240.0, float("nan"), float("inf")])
def test_a_hash_rate_that_makes_no_sense_is_refused(bos: Hand, ths: float) -> None:
    asked = {"save_action": 2, "hashrate_target": {"terahash_per_second": ths}}
    assert bos.grpc("PerformanceService/SetHashrateTarget", asked)[0] == 3
    assert bos.device.saved == FACTORY


def test_more_than_the_psu_gives_is_accepted_and_not_reached(bos: Hand) -> None:
    assert bos.rest("PUT", "performance/power-target", {"watt": 6000})[0] == 200
    assert bos.unit.ran[-1][2] == 1.2


def test_the_save_action_decides_when(bos: Hand) -> None:
    name = "PerformanceService/SetPowerTarget"
    assert bos.grpc(name, {"power_target": {"watt": 2000}}) == (3, "Invalid save action")
    assert bos.grpc(name, {"save_action": 2}) == (3, "Missing power_target")
    assert bos.grpc(name, {"save_action": 1, "power_target": {"watt": 2000}})[0] == 0
    assert bos.unit.ran == []
    active = bos.grpc("PerformanceService/GetActivePerformanceMode")[1]
    assert active["tuner_mode"]["power_target"]["power_target"] == {"watt": 3068}
    assert bos.grpc("ConfigurationService/GetMinerConfiguration")[1]["tuner"]["power_target"] == {"watt": 2000}
    bos.rest("PUT", "actions/restart")
    assert bos.unit.ran[-1][2] == pytest.approx(2000 / 3068)


def test_paused_a_target_is_for_the_resume(bos: Hand) -> None:
    done = pause(bos)
    bos.rest("PUT", "performance/power-target", {"watt": 2000}, now=done + 30 * SECOND)
    assert len(bos.unit.ran) == 1
    bos.rest("PUT", "actions/resume", now=done + 60 * SECOND)
    assert bos.unit.ran[-1][0] == "wake"
    assert bos.unit.ran[-1][2] == pytest.approx(2000 / 3068)


def test_the_firmware_whose_increments_do_nothing(bench: MakeBench) -> None:
    bos = Hand(bench("braiins", "s21", increments_apply=False))
    bos.login()
    assert bos.rest("PATCH", "performance/power-target/decrement", {"watt": 500})[1] == {"watt": 3000}
    assert bos.ask("tunerstatus")["TUNERSTATUS"][0]["PowerLimit"] == 3000
    assert bos.unit.ran == []
    assert bos.rest("PUT", "performance/power-target", {"watt": 2900})[0] == 200
    assert len(bos.unit.ran) == 1


def test_the_manual_mode_runs_at_a_clock(bos: Hand) -> None:
    body = {
        "manualmode": {"global_frequency": {"hertz": 436e6}, "hashboards": [{"id": "2", "frequency": {"hertz": 545e6}}]}
    }
    assert bos.rest("PUT", "performance/mode", body)[0] == 200
    assert bos.unit.ran[-1][:1] == ("retune",)
    assert bos.unit.ran[-1][2] == pytest.approx((2 * 0.8**1.3 + 1) / 3)
    assert bos.rest("GET", "performance/tuner-state")[1] == {"overall_tuner_state": 1, "mode_state": None}
    assert bos.rest("GET", "configuration/miner")[1]["tuner"]["enabled"] is False
    shown = bos.rest("GET", "performance/mode")[1]["manualmode"]
    assert shown["hashboards"] == [{"id": "2", "frequency": {"hertz": 545e6}, "voltage": None}]
    for wrong in ({"hertz": 0.0}, {"hertz": 2e9}):
        assert bos.rest("PUT", "performance/mode", {"manualmode": {"global_frequency": wrong}})[0] == 400
    other = {"manualmode": {"hashboards": [{"id": "9", "frequency": {"hertz": 5e8}}]}}
    assert bos.rest("PUT", "performance/mode", other)[0] == 400
    assert bos.grpc("PerformanceService/SetPerformanceMode", {"save_action": 2}) == (3, "Missing performance mode")


def test_dps_is_kept_and_shown(bos: Hand) -> None:
    target = {"powertarget": {"power_step": {"watt": 200}, "min_power_target": {"watt": 1500}}}
    body = {"save_action": 2, "enable": True, "enable_shutdown": True, "shutdown_duration": {"hours": 4}, "mode": 2,
            "target": {"target": target}}  # fmt: skip
    status, said, _ = bos.rest("PUT", "performance/dps", body)
    assert (status, said["enabled"], said["mode"], said["power_target"]) == (200, True, 2, target["powertarget"])
    assert bos.rest("GET", "configuration/miner")[1]["dps"]["min_power_target"] == {"watt": 1500}
    assert bos.ask("tunerstatus")["TUNERSTATUS"][0]["DynamicPowerScaling"] == "InitialPowerTarget"
    assert bos.rest("PUT", "performance/dps", {"enable": False})[1]["power_target"] == target["powertarget"]
    for wrong in (
        {"shutdown_duration": {"hours": 0}}, {"mode": 3},
        {"target": {"target": {"powertarget": {"power_step": {"watt": 0}}}}},
        {"target": {"target": {"hashratetarget": {"hashrate_step": {"terahash_per_second": -1.0}}}}},
    ):  # fmt: skip
        assert bos.rest("PUT", "performance/dps", wrong)[0] == 400
    assert bos.unit.ran == []


def test_a_hash_board_can_be_switched_off(bos: Hand) -> None:
    said = bos.rest("PATCH", "miner/hw/hashboards", {"hashboard_ids": ["3"], "enable": False})[1]
    assert [state["is_enabled"] for state in said["hashboards"]] == [True, True, False]
    assert bos.unit.ran[-1][2] == pytest.approx(0.8), "two boards take what they can"
    boards = bos.rest("GET", "miner/hw/hashboards")[1]["hashboards"]
    assert [board["stats"]["real_hashrate"]["last_5s"]["gigahash_per_second"] > 0 for board in boards] == [
        True,
        True,
        False,
    ]
    assert bos.grpc("MinerService/DisableHashboards", {"save_action": 2, "hashboard_ids": ["1", "2"]})[0] == 3
    assert bos.grpc("MinerService/DisableHashboards", {"save_action": 2, "hashboard_ids": ["7"]})[0] == 3
    assert bos.grpc("MinerService/EnableHashboards", {"save_action": 2, "hashboard_ids": ["3"]})[0] == 0
    assert bos.unit.ran[-1][2] == pytest.approx(1.0)


def test_cooling_is_kept_and_shown(bos: Hand) -> None:
    body = {"auto": {"target_temperature": {"degree_c": 55.0}, "max_fan_speed": 90}}
    assert bos.rest("PUT", "cooling/mode", body)[1]["auto"]["target_temperature"] == {"degree_c": 55.0}
    assert bos.ask("tempctrl")["TEMPCTRL"][0] == {"Mode": "Automatic", "Target": 55.0, "Hot": 75.0, "Dangerous": 85.0}
    assert bos.rest("PUT", "cooling/mode", {"manual": {"fan_speed_ratio": 0.5}})[0] == 200
    assert bos.rest("GET", "configuration/miner")[1]["temperature"]["mode"]["manual"]["fan_speed_ratio"] == 0.5
    for wrong in ({"manual": {"fan_speed_ratio": 1.5}}, {"auto": {"hot_temperature": {"degree_c": 20.0}}},
                  {"auto": {"min_fan_speed": 90, "max_fan_speed": 80}}):  # fmt: skip
        assert bos.rest("PUT", "cooling/mode", wrong)[0] == 400
    asked = {"save_action": 2, "enable_immersion_mode": True}
    assert bos.grpc("CoolingService/SetImmersionMode", asked)[1] == {"immersion_mode": True}


# ---- pools ---------------------------------------------------------------------------------------------------------


def test_new_pools_restart_bosminer(bos: Hand) -> None:
    body = [{"name": "one", "load_balance_strategy": {"quota": {"value": 3}}, "pools": [POOL]}]
    status, said, done = bos.rest("PUT", "pools/batch", body)
    assert (status, said[0]["load_balance_strategy"], said[0]["pools"][0]["url"]) == (
        200,
        {"quota": {"value": 3}},
        POOL["url"],
    )
    assert [ran[0] for ran in bos.unit.ran] == ["restart"]
    pools = bos.rest("GET", "pools/", now=done + 30 * SECOND)[1]
    assert [pool["url"] for pool in pools[0]["pools"]] == [POOL["url"]]
    assert pools[0]["strategy"] == {"quota": {"value": 3}}
    assert bos.ask("pools", now=done + 30 * SECOND)["POOLS"][0]["URL"] == POOL["url"]


def test_saved_pools_wait_for_the_restart(bos: Hand) -> None:
    group = {"name": "one", "pools": [POOL], "fixed_share_ratio": {"value": 0.5}}
    status, said = bos.grpc("PoolService/SetPoolGroups", {"save_action": 1, "pool_groups": [group]})
    assert (status, said["pool_groups"][0]["fixed_share_ratio"]) == (0, {"value": 0.5})
    assert bos.unit.ran == []
    assert bos.grpc("PoolService/GetPoolGroups")[1]["pool_groups"][0]["pools"][0]["url"].endswith("pool-a.example:3333")
    bos.rest("PUT", "actions/restart")
    later = bos.start + 30 * SECOND
    assert bos.grpc("PoolService/GetPoolGroups", now=later)[1]["pool_groups"][0]["pools"][0]["url"] == POOL["url"]


def test_groups_are_made_changed_and_removed(bos: Hand) -> None:
    def urls(now: int) -> list[list[str]]:
        return [[pool["url"] for pool in group["pools"]] for group in bos.rest("GET", "pools", now=now)[1]]

    at = [bos.start + n * 60 * SECOND for n in range(5)]
    status, made, _ = bos.rest("POST", "pools/", {"name": "two", "pools": [POOL]}, now=at[0])
    assert status == 201
    assert urls(at[1])[1] == [POOL["url"]]
    changed = {"name": "two", "pools": [made["pools"][0] | {"url": "stratum+tcp://other:1"}]}
    assert bos.rest("PUT", f"pools/{made['uid']}", changed, now=at[1])[1]["uid"] == made["uid"]
    assert urls(at[2])[1] == ["stratum+tcp://other:1"]
    assert bos.rest("DELETE", f"pools/{made['uid']}", now=at[2])[0] == 204
    assert len(urls(at[3])) == 1
    assert bos.rest("DELETE", "pools/nothing", now=at[3])[:2] == (404, "Pool group not found")
    assert bos.rest("PUT", "pools/nothing", changed, now=at[3])[0] == 404
    assert bos.rest("DELETE", "pools/0", now=at[3])[0] == 400, "the last one stays"


@pytest.mark.parametrize(
    "group",
    [
        {"name": "", "pools": [POOL]}, {"name": "a", "pools": []}, {"name": "a", "pools": [POOL | {"url": "no"}]},
        {"name": "a", "pools": [POOL | {"user": ""}]}, {"name": "a", "pools": [POOL] * 9},
        {"name": "a" * 300, "pools": [POOL]},
        {"name": "a", "pools": [POOL], "load_balance_strategy": {"fixedshareratio": {"value": 2.0}}},
        {"name": "a", "pools": [POOL | {"uid": "strange"}]},
    ],
)  # fmt: skip
def test_a_group_that_makes_no_sense_changes_nothing(bos: Hand, group: dict[str, Any]) -> None:
    assert bos.rest("PUT", "pools/batch", [group])[0] == 400
    assert bos.rest("PUT", "pools/batch", [group] * 20)[0] == 400
    assert bos.device.saved == FACTORY
    assert bos.unit.ran == []


def test_pool_commands_of_the_socket_last_until_the_restart(bos: Hand) -> None:
    assert bos.ask("addpool", "stratum+tcp://new:1,me,x")["STATUS"][0]["Msg"] == "Added pool 2: 'stratum+tcp://new:1'"
    assert bos.ask("disablepool", "0")["STATUS"][0]["Code"] == 48
    assert bos.ask("pools")["POOLS"][0]["Status"] == "Disabled"
    assert bos.ask("enablepool", 0)["STATUS"][0]["Code"] == 47
    assert bos.ask("switchpool", "2")["STATUS"][0]["Code"] == 27
    assert bos.ask("pools")["POOLS"][0]["Stratum Active"] is True, "it moves no work"
    assert bos.ask("removepool", "0")["STATUS"][0]["Code"] == 68
    assert [bos.ask(name, wrong)["STATUS"][0]["Code"] for name, wrong in (
        ("removepool", None), ("removepool", "9"), ("addpool", "a,b"),
    )] == [25, 26, 52]  # fmt: skip
    for n in range(40):
        bos.ask("addpool", f"stratum+tcp://p{n}:1,me,x")
    assert len(bos.ask("pools")["POOLS"]) == 16
    bos.rest("PUT", "actions/restart")
    assert len(bos.ask("pools", now=bos.start + 30 * SECOND)["POOLS"]) == 2
    assert bos.device.saved == FACTORY


def test_the_last_pool_stays(bos: Hand) -> None:
    bos.ask("removepool", "0")
    assert bos.ask("removepool", "0")["STATUS"][0]["STATUS"] == "E"
