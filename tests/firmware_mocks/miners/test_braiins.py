"""Braiins OS: who may, pause and resume, the BOSminer process, and what lags behind."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.catalogue import Phase
from emulator.wire import SECOND, Reach
from firmware_mocks.miners.braiins_api import MESSAGES, METHODS
from firmware_mocks.miners.braiins_calls import OPEN
from firmware_mocks.miners.braiins_conf import FACTORY
from firmware_mocks.miners.braiins_socket import REPORTS
from tests.firmware_mocks.miners.braiins_hand import ROOT, V1, Hand, MakeBench, pause
from tests.firmware_mocks.miners.grpc_caller import LOGIN, Caller


@pytest.fixture
def bos(bench: MakeBench) -> Hand:
    hand = Hand(bench("braiins", "s19j_pro"))
    hand.login()
    return hand


# ---- who may -------------------------------------------------------------------------------------------------------


def test_a_login_gives_a_token_in_body_and_metadata(bos: Hand) -> None:
    caller = Caller(bos.device.converse(50051, "127.0.0.1", bos.start), bos.start)
    heard = caller.call(LOGIN, MESSAGES.encode("LoginRequest", ROOT))
    told = MESSAGES.decode("LoginResponse", heard.messages[0])
    assert heard.headers["authorization"] == told["token"] != bos.token
    assert told["timeout_s"] == 3600
    assert bos.rest("GET", "miner/stats", token=told["token"])[0] == 200
    assert bos.rest("GET", "miner/stats", token=f"Bearer {told['token']}")[0] == 401


@pytest.mark.parametrize(
    "given", [{"username": "root", "password": "x"}, {"username": "admin", "password": "root"}, {}]
)
def test_a_wrong_login_is_bad_credentials(bos: Hand, given: dict[str, str]) -> None:
    assert bos.grpc("AuthenticationService/Login", given, token="") == (16, "Bad credentials")
    status, said, _ = bos.rest("POST", "auth/login", given, token="")
    assert (status, said) == (401, "Bad credentials") if given else (422, said)
    cookie = bos.cookie
    answer = bos.ql('mutation { auth { login(username: "root", password: "no") { ... on AuthError { message } } } }')
    assert answer["data"]["auth"]["login"] == {"message": "Bad credentials"}
    assert bos.cookie == cookie


@pytest.mark.parametrize("path", [path for path in METHODS if path not in OPEN])
def test_no_method_works_without_a_token_and_none_changes_anything(bos: Hand, path: str) -> None:
    for token in ("", "guess", f"Bearer {bos.token}"):
        assert bos.grpc(path, token=token) == (16, "Bad credentials")
    assert bos.unit.ran == []
    assert (bos.device.saved, bos.device.light, bos.device.password) == (FACTORY, False, "root")


def test_the_version_is_open(bos: Hand) -> None:
    assert bos.grpc("/braiins.bos.ApiVersionService/GetApiVersion", token="")[1]["minor"] == 8
    assert bos.rest("GET", "version/", token="")[1] == {"major": 1, "minor": 1, "patch": 0}
    assert "/api/v1/actions/pause" in bos.rest("GET", "docs/openapi.json", token="")[1]["paths"]


def test_a_token_lives_an_hour_from_its_last_use_and_not_over_a_boot(bos: Hand) -> None:
    later = bos.start + 3599 * SECOND
    assert bos.rest("GET", "miner/stats", now=later)[0] == 200
    assert bos.rest("GET", "miner/stats", now=later + 3599 * SECOND)[0] == 200
    assert bos.rest("GET", "miner/stats", now=later + 7199 * SECOND)[0] == 401
    bos.login(later + 7200 * SECOND)
    bos.unit.boots(later + 7300 * SECOND)
    assert bos.rest("GET", "miner/stats", now=later + 7400 * SECOND)[0] == 401


def test_tokens_do_not_grow_without_end(bos: Hand) -> None:
    for n in range(200):
        bos.login(bos.start + n * SECOND)
        bos.ql(
            'mutation { auth { login(username: "root", password: "root") { __typename } } }', now=bos.start + n * SECOND
        )
    assert len(bos.device.tokens) == len(bos.device.sessions) == 64
    assert bos.rest("GET", "miner/stats", now=bos.start + 200 * SECOND)[0] == 200


def test_the_password_can_be_changed(bos: Hand) -> None:
    assert bos.rest("PUT", "auth/password", {"password": "s3cret"})[0] == 204
    assert bos.rest("POST", "auth/login", ROOT)[0] == 401
    assert bos.rest("POST", "auth/login", ROOT | {"password": "s3cret"})[0] == 200
    assert bos.grpc("AuthenticationService/SetPassword", {})[0] == 0
    assert bos.rest("POST", "auth/login", ROOT | {"password": ""})[0] == 200


# ---- pause and resume ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["rest", "grpc", "socket"])
def test_pause_and_resume_through_every_door(bos: Hand, door: str) -> None:
    def act(name: str, now: int) -> bool:
        """True when it had an effect."""
        if door == "rest":
            return bos.rest("PUT", f"actions/{name}", now=now)[1] is False
        if door == "grpc":
            title = {"pause": "PauseMining", "resume": "ResumeMining"}[name]
            return not any(bos.grpc(f"ActionsService/{title}", now=now)[1].values())
        return bool(bos.ask(name, now=now)[name.upper()][0])

    at = bos.start
    assert not act("resume", at)
    assert act("pause", at + SECOND)
    assert not act("pause", at + 2 * SECOND)
    assert act("resume", at + 3 * SECOND)
    assert [(script, goal) for script, _, goal in bos.unit.ran] == [("sleep", None), ("wake", 1.0)]
    assert 0 < bos.unit.ran[0][1] - at - SECOND < SECOND // 2


def test_the_status_follows_the_boards(bos: Hand) -> None:
    assert bos.rest("GET", "miner/details")[1]["status"] == 2
    done = bos.rest("PUT", "actions/pause")[2]
    assert bos.rest("GET", "miner/details", now=done + SECOND)[1]["status"] == 2
    bos.unit.sleeps(done + 10 * SECOND)
    later = done + 11 * SECOND
    assert bos.rest("GET", "miner/details", now=later)[1]["status"] == 3
    assert bos.rest("GET", "miner/status", now=later)[1] == {"status": 3}


def test_a_status_stream_tells_of_the_pause(bos: Hand) -> None:
    caller = Caller(bos.device.converse(50051, "127.0.0.1", bos.start), bos.start)
    number = caller.open(f"{V1}MinerService/GetMinerStatus", token=bos.token)
    caller.wake()
    done = bos.rest("PUT", "actions/pause", now=caller.now)[2]
    bos.unit.sleeps(done)
    while caller.now < done + 2 * SECOND:
        caller.wake()
    seen = [MESSAGES.decode("GetMinerStatusResponse", message) for message in caller.streams[number].messages]
    assert seen == [{"status": 2}, {"status": 3}]


def test_after_a_pause_the_estimate_stays_and_then_is_gone(bos: Hand) -> None:
    def watts(now: int) -> Any:
        stats = bos.rest("GET", "miner/stats", now=now)[1]["power_stats"]
        return stats["approximated_consumption"], stats["efficiency"]

    before = watts(bos.start)[0]["watt"]
    assert before == pytest.approx(3000, rel=0.12)
    done = bos.rest("PUT", "actions/pause")[2]
    bos.unit.power_w = lambda now: 3000.0 if now <= done else 25.0
    assert watts(done + 12 * SECOND)[0]["watt"] == pytest.approx(before, rel=0.02), "the miner draws 25 W by now"
    assert watts(done + 13 * SECOND) == (None, None)
    assert bos.ask("tunerstatus", now=done + 13 * SECOND)["TUNERSTATUS"][0]["ApproximateMinerPowerConsumption"] == 0
    status = bos.ask("tunerstatus", now=done + 13 * SECOND)["TUNERSTATUS"][0]["TunerChainStatus"][0]
    assert ("paused" in status["Status"], status["TunerRunning"]) == (True, False)


def test_after_a_pause_short_averages_fall_before_long_ones_and_the_clock_is_parked(bos: Hand) -> None:
    done = pause(bos)
    rates = bos.rest("GET", "miner/stats", now=done + 21 * SECOND)[1]["miner_stats"]["real_hashrate"]
    assert rates["last_5s"]["gigahash_per_second"] == 0.0
    assert 0 < rates["last_1m"]["gigahash_per_second"] < 104_000
    assert rates["last_24h"]["gigahash_per_second"] == pytest.approx(104_000, rel=0.01)
    board = bos.rest("GET", "miner/hw/hashboards", now=done + 21 * SECOND)[1]["hashboards"][0]
    assert (board["current_frequency"]["hertz"], board["current_voltage"]["volt"], board["enabled"]) == (
        50e6,
        0.0,
        True,
    )
    assert bos.ask("devs", now=done + 21 * SECOND)["DEVS"][0]["MHS 5s"] == 0.0
    assert bos.ask("summary", now=done + 21 * SECOND)["SUMMARY"][0]["Elapsed"] == 36021


def test_after_a_resume_an_average_climbs_over_its_whole_span(bos: Hand) -> None:
    done = pause(bos)
    bos.rest("PUT", "actions/resume", now=done + 100 * SECOND)
    back = done + 110 * SECOND
    bos.unit.now_phase, bos.unit.mining = Phase.HASHING, back
    bos.unit.hash_steps.append((back, 104.0))

    def last(name: str, now: int) -> float:
        rates = bos.rest("GET", "miner/stats", now=now)[1]["miner_stats"]["real_hashrate"]
        return float(rates[name]["gigahash_per_second"])

    assert last("last_1m", back + 30 * SECOND) == pytest.approx(52_000, rel=0.1)
    assert last("last_1m", back + 90 * SECOND) == pytest.approx(104_000, rel=0.1)


def test_the_old_firmware_freezes_after_a_pause(bench: MakeBench) -> None:
    bos = Hand(bench("braiins", "s19j_pro", paused_style="frozen"))
    bos.login()
    before = bos.ask("devs")["DEVS"][0]["MHS 5s"]
    done = bos.rest("PUT", "actions/pause")[2]
    bos.unit.now_phase = Phase.SLEEP
    bos.unit.hash_steps.append((done, 0.0))
    later = bos.ask("devs", now=done + 600 * SECOND)["DEVS"][0]["MHS 5s"]
    assert later == pytest.approx(before, rel=0.5)
    assert later > 1e7
    tuner = bos.ask("tunerstatus", now=done + 600 * SECOND)["TUNERSTATUS"][0]
    assert (tuner["TunerChainStatus"][0]["Status"], tuner["TunerChainStatus"][0]["TunerRunning"]) == ("Stable", True)
    assert tuner["ApproximateMinerPowerConsumption"] > 2500


def test_a_pause_is_not_kept_over_a_boot(bos: Hand) -> None:
    pause(bos)
    bos.unit.boots(bos.start + 100 * SECOND)
    assert bos.ask("resume", now=bos.start + 200 * SECOND)["RESUME"] == [False]


@pytest.mark.parametrize(
    ("down_s", "script"), [(1, "sleep_1"), (6, "sleep"), (8, "sleep"), (50, "sleep_60"), (300, "sleep_300")]
)
def test_quick_ramping_chooses_the_ramp(bos: Hand, down_s: int, script: str) -> None:
    assert bos.rest("PUT", "performance/quick-ramping", {"up_s": 30, "down_s": down_s})[1] == {
        "up_s": 30,
        "down_s": down_s,
    }
    bos.rest("PUT", "actions/pause")
    bos.rest("PUT", "actions/resume")
    assert [ran[0] for ran in bos.unit.ran] == [script, "wake_30"]
    assert bos.rest("PUT", "performance/quick-ramping/default")[1] == {"up_s": 6, "down_s": 6}
    for wrong in ({"up_s": 0, "down_s": 5}, {"up_s": 5, "down_s": 301}):
        assert bos.rest("PUT", "performance/quick-ramping", wrong)[0] == 400


# ---- the process ---------------------------------------------------------------------------------------------------


def test_stopped_the_socket_knows_only_its_version(bos: Hand) -> None:
    assert bos.rest("PUT", "actions/stop")[1] is False
    later = bos.start + 20 * SECOND
    assert bos.unit.ran[0][0] == "stop"
    assert bos.device.reach(4028, later) is Reach.ANSWERS
    assert bos.ask("version", now=later)["VERSION"][0]["BOSer"].startswith("boser-")
    for name in REPORTS:
        assert bos.ask(name, now=later)["STATUS"][0]["Msg"] == "Unavailable"
    assert bos.ask("pause", now=later)["STATUS"][0]["STATUS"] == "E"
    details = bos.rest("GET", "miner/details", now=later)[1]
    assert (details["status"], details["bosminer_uptime_s"], details["system_uptime_s"]) == (1, 0, 36020)
    assert bos.rest("GET", "miner/hw/hashboards", now=later)[1] == {"hashboards": []}
    assert bos.rest("GET", "pools", now=later)[1] == []
    assert bos.rest("PUT", "actions/stop", now=later)[1] is True
    assert bos.rest("PUT", "actions/pause", now=later)[:2] == (503, "Not ready")
    asked = {"save_action": 3, "power_target": {"watt": 2500}}
    assert bos.grpc("PerformanceService/SetPowerTarget", asked, now=later) == (14, "Not ready")
    assert bos.device.saved == FACTORY


def test_a_start_brings_bosminer_back_with_the_saved_configuration(bos: Hand) -> None:
    bos.rest("PUT", "actions/stop")
    later = bos.start + 60 * SECOND
    saved = {"save_action": 1, "power_target": {"watt": 2454}}
    assert bos.grpc("PerformanceService/SetPowerTarget", saved, now=later)[0] == 0
    assert bos.rest("PUT", "actions/start", now=later)[1] is False
    assert bos.unit.ran[-1][0] == "start"
    assert bos.unit.ran[-1][2] == pytest.approx(0.8, rel=1e-3)
    assert bos.ask("summary", now=later + 5 * SECOND)["STATUS"][0]["Msg"] == "Unavailable"
    assert bos.ask("summary", now=later + 18 * SECOND)["SUMMARY"][0]["Elapsed"] in (9, 10)
    assert bos.rest("PUT", "actions/start", now=later + 18 * SECOND)[1] is True


def test_a_start_right_after_a_stop_is_not_lost(bos: Hand) -> None:
    assert bos.rest("PUT", "actions/stop")[1] is False
    assert bos.rest("PUT", "actions/stop", now=bos.start + SECOND)[1] is True
    assert bos.rest("PUT", "actions/start", now=bos.start + 2 * SECOND)[1] is False
    assert bos.rest("PUT", "actions/start", now=bos.start + 3 * SECOND)[1] is True
    assert [ran[0] for ran in bos.unit.ran] == ["stop", "start"]
    assert bos.ask("summary", now=bos.start + 12 * SECOND)["STATUS"][0]["Msg"] == "Unavailable"
    assert bos.ask("summary", now=bos.start + 30 * SECOND)["SUMMARY"][0]["Elapsed"] in (12, 13)


def test_a_restart_ends_a_pause_and_begins_a_new_uptime(bos: Hand) -> None:
    done = pause(bos)
    assert bos.rest("PUT", "actions/restart", now=done + 20 * SECOND)[1] is True
    assert bos.unit.ran[-1][0] == "restart"
    assert bos.rest("GET", "miner/details", now=done + 32 * SECOND)[1]["status"] == 1
    assert bos.ask("summary", now=done + 40 * SECOND)["SUMMARY"][0]["Elapsed"] in (2, 3)


def test_a_reboot_answers_first(bos: Hand) -> None:
    status, said, done = bos.rest("PUT", "actions/reboot")
    assert (status, said) == (204, "")
    assert bos.unit.ran == [("reboot", done + SECOND, 1.0)]


def test_the_light(bos: Hand) -> None:
    assert bos.rest("PUT", "actions/locate", True)[:2] == (200, True)
    assert bos.grpc("ActionsService/GetLocateDeviceStatus")[1] == {"enabled": True}
    assert bos.ql("{ bos { faultLight } }")["data"]["bos"]["faultLight"] is True
    assert bos.grpc("ActionsService/SetLocateDeviceStatus", {"enable": False})[1] == {"enabled": False}
