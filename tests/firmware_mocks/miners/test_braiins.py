"""Braiins OS: one miner behind four doors; logins, pause, targets, tuner, pools, and what lags behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from emulator.catalogue import Phase
from emulator.wire import SECOND, Reach
from firmware_mocks.miners.braiins_api import MESSAGES, METHODS, REST
from firmware_mocks.miners.braiins_calls import OPEN
from firmware_mocks.miners.braiins_conf import FACTORY
from firmware_mocks.miners.braiins_graphql_query import SCHEMA
from firmware_mocks.miners.braiins_socket import COMMANDS, EDITS, REPORTS
from tests.firmware_mocks.miners.grpc_caller import LOGIN, Caller

MakeBench = Callable[..., Any]
V1 = "/braiins.bos.v1."
ROOT = {"username": "root", "password": "root"}


@dataclass
class Hand:
    """A bench with a token, and ways to use every door."""

    bench: Any
    token: str = ""
    cookie: str = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bench, name)

    def rest(self, verb: str, path: str, body: Any = None, *, now: int | None = None, token: str | None = None) -> Any:
        """Status, parsed body (or text), and when the answer was out."""
        text = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        head = (
            f"{verb} /api/v1/{path} HTTP/1.1\r\nHost: m\r\nAuthorization: {self.token if token is None else token}\r\n"
        )
        at = self.bench.start if now is None else now
        status, _, said, done = self.bench.web(f"{head}Content-Length: {len(text)}\r\n\r\n".encode() + text, at)
        try:
            return status, json.loads(said), done
        except ValueError:
            return status, said.decode(), done

    def login(self, now: int | None = None) -> None:
        self.token = self.rest("POST", "auth/login", ROOT, now=now)[1]["token"]

    def grpc(
        self, name: str, tree: dict[str, Any] | None = None, *, now: int | None = None, token: str | None = None
    ) -> Any:
        """A gRPC call on a connection of its own: (status, reply tree or detail)."""
        method = METHODS[V1 + name if not name.startswith("/") else name]
        at = self.bench.start if now is None else now
        caller = Caller(self.bench.device.converse(50051, "127.0.0.1", at), at)
        heard = caller.call(
            method.path, MESSAGES.encode(method.asks, tree or {}), token=self.token if token is None else token
        )
        if heard.status:
            return heard.status, heard.detail
        return 0, MESSAGES.full(method.gives, MESSAGES.decode(method.gives, heard.messages[0]))

    def ql(self, query: str, variables: dict[str, Any] | None = None, *, now: int | None = None) -> dict[str, Any]:
        text = json.dumps({"query": query, "variables": variables}).encode()
        head = f"POST /graphql HTTP/1.1\r\nHost: m\r\nCookie: {self.cookie}\r\nContent-Length: {len(text)}\r\n\r\n"
        at = self.bench.start if now is None else now
        status, headers, said, _ = self.bench.web(head.encode() + text, at)
        assert status == 200
        self.cookie = headers.get("set-cookie", self.cookie).partition(";")[0]
        answer: dict[str, Any] = json.loads(said)
        return answer


@pytest.fixture
def bos(bench: MakeBench) -> Hand:
    hand = Hand(bench("braiins", "s19j_pro"))
    hand.login()
    return hand


def pause(bos: Hand) -> int:
    """Pause, let the physics follow, and say when it was."""
    _, _, done = bos.rest("PUT", "actions/pause")
    bos.unit.sleeps(done + 10 * SECOND)
    return int(done)


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

POOL = {"url": "stratum+tcp://new.example:1", "user": "me", "password": "x"}


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


# ---- the doors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["version", *REPORTS])
def test_every_report_is_a_success_and_may_be_joined(bos: Hand, name: str) -> None:
    reply = bos.ask(name)
    assert reply["STATUS"][0]["STATUS"] == "S"
    assert reply["STATUS"][0]["Description"].startswith("BOSer boser-buildroot ")
    assert bos.ask(f"{name}+version")[name][0] == reply


def test_check_knows_every_command(bos: Hand) -> None:
    assert all(bos.ask("check", name)["CHECK"][0]["Exists"] == "Y" for name in COMMANDS)
    assert bos.ask("check", "privileged")["CHECK"][0]["Exists"] == "N"
    assert {"pause", "resume", *EDITS} <= COMMANDS.keys()


def test_rates_on_the_socket_are_megahashes(bos: Hand) -> None:
    summary = bos.ask("summary")["SUMMARY"][0]
    assert summary["MHS av"] == pytest.approx(104e6)
    boards = bos.ask("devs")["DEVS"]
    assert sum(board["MHS av"] for board in boards) == pytest.approx(104e6)
    assert [board["ID"] for board in boards] == [1, 2, 3]
    assert bos.ask("devdetails")["DEVDETAILS"][0]["Frequency"] == 545


@pytest.mark.parametrize("line", [line for line in REST if line.startswith("GET ")])
def test_every_page_of_the_gateway_is_a_page_with_or_without_a_slash(bos: Hand, line: str) -> None:
    path = line.removeprefix("GET ")
    status, said, _ = bos.rest("GET", path)
    assert status == 200
    assert bos.rest("GET", path + "/")[1] == said
    assert bos.rest("GET", path, token="")[0] == 401
    assert bos.rest("POST", path, {})[0] in (405, 400, 422)


def test_what_the_gateway_refuses(bos: Hand) -> None:
    for verb, path, body, status in (
        ("GET", "nothing", None, 404), ("PUT", "miner/details", None, 405), ("PUT", "actions/locate", b"{", 400),
        ("PUT", "actions/locate", "yes", 422), ("PUT", "performance/power-target", {}, 422),
        ("PUT", "performance/power-target", {"watt": 2.5}, 422), ("PUT", "performance/power-target", {"watt": -1}, 422),
        ("PUT", "performance/power-target", b"[" * 5000, 400), ("PATCH", "miner/hw/hashboards", {"enable": 1}, 422),
        ("PATCH", "miner/hw/hashboards", {"enable": True, "hashboard_ids": 3}, 422), ("GET", "pools/abc", None, 405),
    ):  # fmt: skip
        assert bos.rest(verb, path, body)[0] == status, (verb, path)
    assert bos.device.saved == FACTORY


def test_the_page_on_port_80_names_the_maker_and_not_the_rest(bos: Hand) -> None:
    status, _, said, _ = bos.web(b"GET / HTTP/1.1\r\nHost: m\r\n\r\n")
    assert (status, b"<title>Braiins OS</title>" in said, b"luci" in said) == (200, True, False)
    assert bos.web(b"GET /kaonsu/v1/brief HTTP/1.1\r\nHost: m\r\n\r\n")[0] == 404
    assert bos.web(b"GET /cgi-bin/get_system_info.cgi HTTP/1.1\r\nHost: m\r\n\r\n")[0] == 404


def test_luci_wants_its_form(bos: Hand) -> None:
    def post(form: str) -> tuple[int, dict[str, str]]:
        head = f"POST /cgi-bin/luci HTTP/1.1\r\nHost: m\r\nContent-Length: {len(form)}\r\n\r\n{form}"
        status, headers, _, _ = bos.web(head.encode())
        return status, headers

    page = "GET /cgi-bin/luci/admin/network/iface_status/lan HTTP/1.1\r\nHost: m\r\nCookie: {}\r\n\r\n"
    assert bos.web(page.format("sysauth=x").encode())[0] == 403
    assert post("luci_username=root&luci_password=no")[0] == 403
    assert post("&" * 50)[0] == 403
    status, headers = post("luci_username=root&luci_password=root")
    assert status == 302
    status, _, said, _ = bos.web(page.format(headers["set-cookie"].partition(";")[0]).encode())
    assert (status, json.loads(said)[0]["macaddr"]) == (200, "02:5e:10:00:00:17")


# ---- GraphQL -------------------------------------------------------------------------------------------------------

SIGN_IN = 'mutation { auth { login(username: "root", password: "root") { ... on VoidResult { void } } } }'


def everything(name: str, depth: int = 0) -> str:
    """A selection of every field of a type that needs no arguments."""
    if name in SCHEMA.unions:
        return "{ __typename " + " ".join(f"... on {m} {everything(m, depth + 1)}" for m in SCHEMA.unions[name]) + " }"
    asked = ["__typename"]
    for field, kind in SCHEMA.objects[name].items():
        inner = kind.type.strip("[]!")
        if not kind.arguments and (inner in SCHEMA.scalars or inner in SCHEMA.enums):
            asked.append(f"{field}")
        elif not kind.arguments and not (depth > 5 and inner == name):
            asked.append(f"{field} {everything(inner, depth + 1)}")
    return "{ " + " ".join(asked) + " }"


def test_every_field_of_the_schema_has_a_value_behind_it(bos: Hand) -> None:
    bos.rest("PUT", "pools/batch", [
        {"name": "a", "pools": [POOL]},
        {"name": "b", "pools": [POOL], "load_balance_strategy": {"fixedshareratio": {"value": 0.5}}},
    ])  # fmt: skip
    for now in (bos.start, bos.start + 60 * SECOND):
        answer = bos.ql(everything("Query"), now=now)
        assert "errors" not in answer
        assert answer["data"]["bosminer"]["info"]["modelName"] == "Antminer S19j Pro"
        assert answer["data"]["bos"]["info"]["version"]["full"].endswith("-25.11-plus")
    assert bos.ql("{ bos { log(target: BOSMINER) } }")["data"]["bos"]["log"] == []


def test_enums_and_numbers_fit_their_types(bos: Hand) -> None:
    def look(kind: str, value: Any) -> None:
        inner = kind.rstrip("!")
        if value is None:
            assert not kind.endswith("!")
        elif inner.startswith("["):
            for entry in value:
                look(inner[1:-1], entry)
        elif inner in SCHEMA.enums:
            assert value in SCHEMA.enums[inner]
        elif inner in SCHEMA.scalars:
            wanted = {"Int": int, "Float": (int, float), "String": str, "Boolean": bool, "ID": str}.get(
                inner, (int, str)
            )
            assert isinstance(value, wanted), (inner, value)
        else:
            name = value["__typename"]
            for field, entry in value.items():
                if field != "__typename":
                    look(SCHEMA.objects[name][field].type, entry)

    look("Query", bos.ql(everything("Query"))["data"])


def test_queries_are_open_and_mutations_are_not(bos: Hand) -> None:
    for query in (
        "mutation { bos { reboot { __typename } } }", "mutation { bosminer { stop { __typename } } }",
        "mutation { bos { setFaultLight(enable: true) { enabled } } }",
        "mutation { bos { setPassword { __typename } } }",
        'mutation { bosminer { config { updateAutotuning(input: {powerTarget: 2000}, apply: true) { __typename } } } }',
        'mutation { bosminer { config { updateGroups(groups: []) { __typename } } } }',
    ):  # fmt: skip
        answer = bos.ql(query)
        assert (answer["data"], answer["errors"][0]["message"]) == (None, "Unauthorized")
    assert bos.unit.ran == []
    assert (bos.device.saved, bos.device.light) == (FACTORY, False)


def test_a_session_stops_and_starts_and_reboots(bos: Hand) -> None:
    bos.ql(SIGN_IN)
    assert bos.cookie.startswith("session_id=")
    assert bos.ql("mutation { bosminer { stop { ... on VoidResult { void } } } }")["data"]["bosminer"]["stop"] == {
        "void": ""
    }
    away = bos.ql("{ bosminer { info { modelName workSolver { nominalMhs } } } }", now=bos.start + 60 * SECOND)
    assert (away["data"], away["errors"][0]["message"]) == (None, "BOSminer is not running")
    name = bos.ql("{ bosminer { info { modelName } } }", now=bos.start + 60 * SECOND)["data"]["bosminer"]["info"]
    assert name == {"modelName": "Antminer S19j Pro"}
    bos.ql("mutation { bosminer { start { __typename } } bos { reboot { __typename } } }", now=bos.start + 60 * SECOND)
    assert [ran[0] for ran in bos.unit.ran] == ["stop", "start", "reboot"]
    assert bos.ql("mutation { bos { setFaultLight(enable: true) { enabled } } }")["data"]["bos"]["setFaultLight"][
        "enabled"
    ]
    bos.ql("mutation { auth { logout { __typename } } }")
    assert "errors" in bos.ql("mutation { bosminer { start { __typename } } }")


def test_a_session_tunes(bos: Hand) -> None:
    bos.ql(SIGN_IN)
    mutation = (
        "mutation ($limit: Int!) { bosminer { config { updateAutotuning(input: {powerTarget: $limit}, apply: true) {"
        " ... on AutotuningOut { autotuning { mode powerTarget enabled } } ... on Error { __typename } } } } }"
    )
    said = bos.ql(mutation, {"limit": 2500})["data"]["bosminer"]["config"]["updateAutotuning"]
    assert said == {"autotuning": {"mode": "POWER_TARGET", "powerTarget": 2500, "enabled": True}}
    assert bos.unit.ran[0][2] == pytest.approx(2500 / 3068)
    said = bos.ql(mutation, {"limit": 10})["data"]["bosminer"]["config"]["updateAutotuning"]
    assert said == {"__typename": "AutotuningError"}
    scaling = "{enabled: true, shutdownDuration: 2.0, powerStep: 150, dpsMode: BOOST}"
    more = f"{{hashrateTarget: 60.0, performanceScaling: {scaling}}}"
    bos.ql(f"mutation {{ bosminer {{ config {{ updateAutotuning(input: {more}, apply: false) {{ __typename }} }} }} }}")
    assert len(bos.unit.ran) == 1
    shown = bos.ql(
        "{ bosminer { config { ... on BosminerConfig {"
        " autotuning { mode } performanceScaling { dpsMode powerStep } } } } }"
    )
    assert shown["data"]["bosminer"]["config"] == {
        "autotuning": {"mode": "HASHRATE_TARGET"}, "performanceScaling": {"dpsMode": "BOOST", "powerStep": 150},
    }  # fmt: skip


def test_a_session_changes_pools_host_name_and_password(bos: Hand) -> None:
    bos.ql(SIGN_IN)
    mutation = (
        "mutation ($groups: [Group!]!) { bosminer { config { updateGroups(groups: $groups) {"
        " ... on GroupList { groups { name } } ... on GroupListError { message } } } } }"
    )
    said = bos.ql(mutation, {"groups": [{"name": "g", "quota": 1, "pools": [POOL]}]})["data"]["bosminer"]["config"]
    assert said == {"updateGroups": {"groups": [{"name": "g"}]}}
    assert bos.unit.ran == []
    said = bos.ql(mutation, {"groups": []})["data"]["bosminer"]["config"]
    assert "pool groups" in said["updateGroups"]["message"]
    assert bos.ql('mutation { bos { setHostname(hostname: "rig-9") { __typename } } }')["data"]["bos"][
        "setHostname"
    ] == {"__typename": "HostnameOk"}
    assert bos.rest("GET", "miner/details")[1]["hostname"] == "rig-9"
    assert bos.ql('mutation { bos { setHostname(hostname: "a b") { __typename } } }')["data"]["bos"]["setHostname"] == {
        "__typename": "HostnameError"
    }
    bos.ql('mutation { bos { setPassword(newPassword: "new") { __typename } } }')
    assert bos.rest("POST", "auth/login", ROOT)[0] == 401


def test_graphql_wants_a_post_with_an_object(bos: Hand) -> None:
    assert bos.web(b"GET /graphql HTTP/1.1\r\nHost: m\r\n\r\n")[0] == 405
    assert bos.web(b"POST /graphql HTTP/1.1\r\nHost: m\r\nContent-Length: 2\r\n\r\n[]")[0] == 400
