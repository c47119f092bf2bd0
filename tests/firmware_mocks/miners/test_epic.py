"""ePIC PowerPlay: what each path says, what each POST does and when, and what a wrong one leaves alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.catalogue import Phase, model
from emulator.wire import SECOND, Close, Reach, Send
from firmware_mocks import miners
from firmware_mocks.miners.epic import COMMANDS, LOGS, REPORTS
from firmware_mocks.miners.epic_conf import EDITS, FACTORY
from firmware_mocks.miners.epic_readings import MODELS

MakeBench = Callable[..., Any]
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
POSTS = sorted([*EDITS, *COMMANDS])
PASSWORD = miners.load("epic").credentials.password


@pytest.fixture
def rig(bench: MakeBench) -> Any:
    return bench("epic", "s19_xp")


def get(rig: Any, path: str, now: int | None = None) -> Any:
    at = rig.start if now is None else now
    status, headers, body, _ = rig.web(f"GET /{path} HTTP/1.1\r\nHost: m\r\n\r\n".encode(), at, 4028)
    assert status == 200
    return json.loads(body) if headers["content-type"] == "application/json" else body.decode()


def post(
    rig: Any, path: str, param: Any = None, now: int | None = None, *, password: Any = PASSWORD
) -> tuple[dict[str, Any], int]:
    """The reply and the instant it leaves."""
    asked = {"password": password} | ({} if param is None else {"param": param})
    body = json.dumps(asked).encode()
    head = f"POST /{path} HTTP/1.1\r\nHost: m\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    status, _, said, done = rig.web(head + body, rig.start if now is None else now, 4028)
    assert status == 200
    reply: dict[str, Any] = json.loads(said)
    return reply, done


OK = {"result": True, "error": None}


@pytest.mark.parametrize("model_id", sorted(MODELS))
def test_every_report_is_there_without_a_password(bench: MakeBench, model_id: str) -> None:
    rig = bench("epic", model_id)
    paths = sorted([*REPORTS, *LOGS])
    awake = [get(rig, path) for path in paths]
    rig.unit.sleeps(rig.start)
    for path, before in zip(paths, awake, strict=True):
        assert type(get(rig, path, rig.start + 60 * SECOND)) is type(before)


def test_the_summary_has_the_parts_that_the_interface_file_requires(rig: Any) -> None:
    needed = {
        "Disable Board On Failure", "Enable Boards On Idle", "Fans", "Fans Rpm", "HBStatus", "HBs", "Hostname",
        "HwConfig", "IdleOnConnectionLost", "Mining", "Misc", "OS Type", "Overdrive", "PerpetualTune",
        "Power Supply Stats", "PreInitCooldown Max Duration", "PresetInfo", "Session", "Software", "Status", "Stratum",
        "StratumConfigs",
    }  # fmt: skip
    summary = get(rig, "summary")
    assert needed <= set(summary)
    assert summary["Status"]["Operating State"] == "Mining"
    assert summary["Session"]["Uptime"] == 36_000
    assert summary["Session"]["Submitted"] == summary["Session"]["Accepted"] + summary["Session"]["Rejected"]
    assert summary["Fans Rpm"]["Fans Speed 4"] > 3000
    assert summary["Fans Rpm"]["Fans Speed 5"] is None


def test_rates_are_mega_hashes_with_their_share_of_the_ideal(rig: Any) -> None:
    boards = get(rig, "summary")["HBs"]
    capabilities = get(rig, "capabilities")
    estimator = capabilities["Performance Estimator"]
    assert sum(board["Hashrate"][0] for board in boards) / 1e6 == pytest.approx(140, rel=0.03)
    for board in boards:
        ideal = estimator["Chip Count"] * estimator["Hashes Per Second Per Chip"] * board["Core Clock Avg"]
        assert board["Hashrate"][1] == pytest.approx(100 * board["Hashrate"][0] / ideal, abs=0.1)
        assert board["Core Clock Avg"] % 12.5 == 0
        assert board["Temperature"] == pytest.approx(round(board["Temperature"] * 16) / 16, abs=1e-3)


def test_chips_scatter_by_a_sixth_and_sum_to_their_board(rig: Any) -> None:
    for board in get(rig, "hashrate"):
        rates = [chip[0] for chip in board["Data"]]
        assert len(rates) == 110
        mean = sum(rates) / len(rates)
        assert mean * len(rates) == pytest.approx(board["Total"][0], rel=0.06)
        spread = (sum((rate - mean) ** 2 for rate in rates) / len(rates)) ** 0.5 / mean
        assert 0.11 < spread < 0.21


def test_the_presets_of_the_captured_model_are_the_captured_ones(bench: MakeBench) -> None:
    presets = get(bench("epic", "s19_xp"), "capabilities")["Tune Presets"]
    assert presets[0] == {"clk": 272, "hashrate": 80.0, "power": 1700, "voltage": 12300}
    assert presets[-1] == {"clk": 575, "hashrate": 169.0, "power": 4400, "voltage": 13500}
    s21 = get(bench("epic", "s21"), "capabilities")["Tune Presets"][3]
    assert (s21["hashrate"], s21["power"], s21["clk"]) == (200.0, 3500, round(model("s21").frequency_mhz))


def test_a_stop_acts_before_its_reply_and_a_start_wakes_at_the_target(rig: Any) -> None:
    reply, done = post(rig, "miner", "Stop")
    assert reply == OK
    ((script, at, _),) = rig.unit.ran
    assert script == "sleep"
    assert at == rig.start
    assert done - at == 2 * SECOND
    assert get(rig, "summary")["Status"]["Last Command"] == "Stop"
    reply, _ = post(rig, "miner", "Autostart", done)
    assert reply == OK
    assert [(script, setpoint) for script, _, setpoint in rig.unit.ran[1:]] == [("wake", 1.0)]


def test_a_command_while_another_runs_is_refused(rig: Any) -> None:
    _, done = post(rig, "miner", "Stop")
    for path, param in (("miner", "Autostart"), ("coin", {"coin": "BTC", "stratum_configs": []})):
        reply, _ = post(rig, path, param, done - 1)
        assert reply == {"result": False, "error": "Last command still pending: Stop"}
    assert rig.device.conf.stopped
    assert len(rig.unit.ran) == 1


def test_a_repeated_stop_or_start_is_thanked_for_and_moves_nothing(rig: Any) -> None:
    assert post(rig, "miner", "Autostart")[0] == OK
    at = rig.start + 10 * SECOND
    assert post(rig, "miner", "Stop", at)[0] == OK
    assert post(rig, "miner", "Stop", at + 10 * SECOND)[0] == OK
    assert [script for script, _, _ in rig.unit.ran] == ["sleep"]


@pytest.mark.parametrize(
    ("phase", "hashes", "state"),
    [
        (Phase.HASHING, True, "Mining"), (Phase.STOPPING, True, "Stopping"), (Phase.SLEEP, False, "Idling"),
        (Phase.WAKE, False, "Initializing"), (Phase.WAKE, True, "AdjustingClockVoltage"),
        (Phase.RETUNE, True, "AdjustingClockVoltage"), (Phase.BOOT, False, "Loading"),
    ],
)  # fmt: skip
def test_the_operating_state_follows_the_miner(rig: Any, phase: Phase, hashes: bool, state: str) -> None:
    rig.unit.now_phase = phase
    if not hashes:
        rig.unit.hash_steps.append((rig.start - SECOND, 0.0))
    summary = get(rig, "summary")
    assert summary["Status"]["Operating State"] == state
    assert len(summary["HBs"]) == summary["Session"]["Active HBs"] == (3 if hashes else 0)
    assert len(summary["HBStatus"]) == len(get(rig, "temps")) == 3


def test_an_idle_miner_may_also_list_its_boards_with_a_rate_that_lags(bench: MakeBench) -> None:
    rig = bench("epic", "s21", idle_style="zeros")
    rig.unit.sleeps(rig.start)
    rates = [
        sum(board["Hashrate"][0] for board in get(rig, "summary", rig.start + after * SECOND)["HBs"]) / 1e6
        for after in (5, 60, 600)
    ]
    assert rates[0] > 170
    assert 60 < rates[1] < 90
    assert rates[2] < 1


def test_the_last_hour_is_shown_long_after_a_stop(rig: Any) -> None:
    rig.unit.sleeps(rig.start)
    session = get(rig, "summary", rig.start + 1800 * SECOND)["Session"]
    assert session["LastAverageMHs"]["Hashrate"] == pytest.approx(140e6)
    assert session["LastAverageMHs"]["Timestamp"] % 3600 == 0
    assert len(get(rig, "history")["History"]) == 10
    points = get(rig, "hashrate/history/continuous", rig.start + 100 * SECOND)
    assert len(points) == 360
    assert [point["hashrate"] > 0 for point in points[-12:]] == [True] * 2 + [False] * 10
    post(rig, "clearhashrate", now=rig.start + 3600 * SECOND)
    assert get(rig, "history", rig.start + 3700 * SECOND)["History"] == []
    assert get(rig, "summary", rig.start + 3700 * SECOND)["Session"]["LastAverageMHs"] is None


@pytest.mark.parametrize(
    ("algo", "target", "share", "unit"),
    [
        ("VoltageOptimizer", 100, (100 / 140) ** 1.3, "TH/s"), ("ChipTune", 120, (120 / 140) ** 1.3, "TH/s"),
        ("BoardTune", 60, (60 / 140) ** 1.3, "TH/s"), ("Power", 2000, 2000 / 3010, "W"),
        ("PowerTune", 2500, 2500 / 3010, "W"), ("VoltageOptimizer", 300, 1.313, "TH/s"),
    ],
)  # fmt: skip
def test_a_tuning_target_becomes_a_share_of_power(rig: Any, algo: str, target: int, share: float, unit: str) -> None:
    asked = {"algo": algo, "target": target, "min_throttle": 50, "throttle_step": 5}
    reply, done = post(rig, "perpetualtune/algo", asked)
    assert reply == OK
    ((script, at, setpoint),) = rig.unit.ran
    assert (script, at) == ("retune", done)
    assert setpoint == pytest.approx(share)
    shown = get(rig, "summary")["PerpetualTune"]["Algorithm"][algo]
    assert (shown["Target"], shown["Unit"], shown["Throttle Step"]) == (target, unit, 5)
    assert not shown["Optimized"]
    late = get(rig, "perpetualtune", done + 200 * SECOND)["Algorithms"][algo]
    assert late["Optimized"] == (target != 300), "beyond its reach the search never ends"


def test_a_target_out_of_range_is_refused(rig: Any) -> None:
    options = {option["algorithm"]: option for option in get(rig, "capabilities")["PerpetualTune"]}
    assert (options["VoltageOptimizer"]["min"], options["VoltageOptimizer"]["max"]) == (60, 300)
    for algo, option in options.items():
        for target in (option["min"] - 1, option["max"] + 1, -5, None, "x", True):
            assert not post(rig, "perpetualtune/algo", {"algo": algo, "target": target})[0]["result"]
    assert not post(rig, "perpetualtune/algo", {"algo": "Sleep", "target": 100})[0]["result"]
    assert rig.unit.ran == []
    assert rig.device.conf == FACTORY


def test_a_target_set_while_stopped_is_for_the_next_start(rig: Any) -> None:
    _, done = post(rig, "miner", "Stop")
    post(rig, "perpetualtune/algo", {"algo": "ChipTune", "target": 100}, done)
    post(rig, "miner", "Autostart", done + SECOND)
    assert [script for script, _, _ in rig.unit.ran] == ["sleep", "wake"]
    assert rig.unit.ran[1][2] == pytest.approx((100 / 140) ** 1.3)


def test_the_manual_clock_rules_while_tuning_is_off(rig: Any) -> None:
    assert post(rig, "tune", {"clks": "400", "voltage": "12500"})[0] == OK
    assert rig.unit.ran[-1][2] == pytest.approx((400 / 485) ** 1.3)
    summary = get(rig, "summary")
    assert summary["PerpetualTune"]["Running"] is False
    assert summary["Power Supply Stats"]["Target Voltage"] == 12500
    post(rig, "tune/clock/all", 450.5)
    assert rig.unit.ran[-1][2] == pytest.approx((450.5 / 485) ** 1.3)
    post(rig, "tune/voltage", 99_000)
    assert get(rig, "summary")["Power Supply Stats"]["Target Voltage"] == 15_000
    post(rig, "perpetualtune", True)
    assert rig.unit.ran[-1][2] == 1.0
    assert [script for script, _, _ in rig.unit.ran] == ["retune"] * 3


def test_watts_without_metering_are_a_model_that_knows_no_standby(bench: MakeBench) -> None:
    modelled, metered = bench("epic", "s19_xp"), bench("epic", "s21")
    for rig, asleep_w in ((modelled, 0.0), (metered, 25.0)):
        assert get(rig, "summary")["Power Supply Stats"]["Input Power"] == pytest.approx(3000, rel=0.1)
        rig.unit.sleeps(rig.start)
        stats = get(rig, "summary", rig.start + 60 * SECOND)["Power Supply Stats"]
        assert stats["Input Power"] == pytest.approx(asleep_w, rel=0.1)
    assert get(modelled, "summary")["Power Supply Stats"]["Input Voltage"] == 0.0
    assert get(metered, "summary")["Power Supply Stats"]["Input Voltage"] == 240.0


def test_a_reboot_waits_as_long_as_it_is_told(rig: Any) -> None:
    for param, delay_s in ((None, 0), (0, 0), ("0", 0), (30, 30)):
        _, done = post(rig, "reboot", param)
        assert rig.unit.ran.pop()[:2] == ("reboot", done + (1 + delay_s) * SECOND)
    assert not post(rig, "reboot", -1)[0]["result"]


def test_a_soft_reboot_restarts_the_session_and_not_the_interface(rig: Any) -> None:
    _, done = post(rig, "softreboot")
    assert rig.unit.ran == [("restart", done, None)]
    during = get(rig, "summary", done + 5 * SECOND)
    assert during["Status"]["Operating State"] == "SoftRebooting"
    assert not during["Stratum"]["IsPoolConnected"]
    assert rig.device.reach(4028, done + 5 * SECOND) is Reach.ANSWERS
    assert get(rig, "summary", done + 25 * SECOND)["Session"]["Uptime"] == 10


def test_settings_are_kept_and_shown(rig: Any) -> None:
    for path, param in (
        ("fanspeed", {"Manual": 70}), ("fans/minimum", 2), ("shutdowntemp", 80), ("criticaltemp", "95"), ("id", True),
        ("id/variant", "MacAddress"), ("idleonconnectionlost", False), ("overdrive", True), ("identify", True),
        ("preinitcooldownmaxduration", 60), ("timezone", "America/Chicago"),
    ):  # fmt: skip
        assert post(rig, path, param)[0] == OK
    summary = get(rig, "summary")
    assert summary["Fans"]["Fan Mode"] == {"Manual": 70}
    assert summary["Fans"]["Minimum Working Fans"] == 2
    assert summary["Misc"] == {"Locate Miner State": True, "Shutdown Temp": 80.0, "Critical Temp": 95.0}
    assert summary["Stratum"]["Current User"] == "farm.Antminer-025e10000017"
    assert (summary["IdleOnConnectionLost"], summary["Overdrive"]) == (False, True)
    assert summary["PreInitCooldown Max Duration"] == 60
    assert get(rig, "timezone") == "America/Chicago"
    post(rig, "fanspeed", {"Auto": {"Target Temperature": 65, "Idle Speed": 30}})
    assert get(rig, "summary")["Fans"]["Fan Mode"] == {"Auto": {"Target Temperature": 65, "Idle Speed": 30}}
    post(rig, "id/variant", "IpAddress")
    assert get(rig, "summary")["Stratum"]["Current User"] == "farm.Antminer-7x1x5"
    rig.unit.boots(rig.start + 60 * SECOND)
    later = get(rig, "summary", rig.start + 90 * SECOND)
    assert later["Misc"] == {"Locate Miner State": False, "Shutdown Temp": 80.0, "Critical Temp": 95.0}


def test_pools_are_up_to_three_addresses(rig: Any) -> None:
    pools = [{"pool": f"stratum+tcp://p{n}.example:3333", "login": "a.b", "password": "x"} for n in range(4)]
    for coin in ("BTC", "Btc"):
        assert post(rig, "coin", {"coin": coin, "stratum_configs": pools[:3], "unique_id": False})[0] == OK
        rig.device._pending_ns = None
    assert get(rig, "summary")["StratumConfigs"] == pools[:3]
    assert get(rig, "summary")["Stratum"]["Current Pool"] == "p0.example:3333"
    wrong = [
        {"coin": "LTC", "stratum_configs": pools[:1]}, {"coin": "BTC", "stratum_configs": pools},
        {"coin": "BTC", "stratum_configs": []}, {"coin": "BTC", "stratum_configs": [{"pool": "nowhere", "login": "a"}]},
        {"coin": "BTC", "stratum_configs": [{"pool": "stratum+tcp://p:99999", "login": "a"}]}, "BTC", None,
    ]  # fmt: skip
    assert not any(post(rig, "coin", param)[0]["result"] for param in wrong)
    assert get(rig, "summary")["StratumConfigs"] == pools[:3]


def test_a_static_network_is_shown_and_moves_nothing(rig: Any) -> None:
    static = {"address": "10.1.1.9", "netmask": "255.0.0.0", "gateway": "10.1.1.1", "dns": "10.1.1.1"}
    assert post(rig, "network", {"static": static})[0] == OK
    assert get(rig, "network")["static"]["address"] == "10.1.1.9"
    assert get(rig, "network")["static"]["mac_address"] == "02:5E:10:00:00:17"
    assert post(rig, "network", "dhcp")[0] == OK
    assert get(rig, "ethernet")["dhcp"]["address"] == "127.7.1.5"


def test_a_new_password_ends_the_old_one(rig: Any) -> None:
    assert post(rig, "password", "secret")[0] == OK
    assert post(rig, "authenticate")[0] == {"result": False, "error": "Bad password"}
    assert post(rig, "authenticate", password="secret")[0] == OK


def test_factory_settings_start_a_stopped_miner(rig: Any) -> None:
    _, done = post(rig, "miner", "Stop")
    post(rig, "defaultconfig", now=done)
    assert [script for script, _, _ in rig.unit.ran] == ["sleep", "wake"]
    assert rig.device.conf == FACTORY


@pytest.mark.parametrize("path", POSTS)
def test_without_the_password_nothing_is_changed(rig: Any, path: str) -> None:
    before = get(rig, "summary")
    for wrong in ("guess", "", None, 7, [PASSWORD]):
        for param in ("Stop", True, 50, {"Manual": 50}):
            assert post(rig, path, param, password=wrong)[0] == {"result": False, "error": "Bad password"}
    assert (rig.device.conf, rig.device.password, rig.device.locate) == (FACTORY, "letmein", False)
    assert rig.unit.ran == []
    assert get(rig, "summary") == before


def test_errors_are_answered_with_status_200(rig: Any) -> None:
    assert get(rig, "nothing") == {"result": False, "error": "Invalid URL: /nothing"}
    assert post(rig, "summary")[0] == {"result": False, "error": "Invalid URL: /summary"}
    assert post(rig, "miner")[0] == {"result": False, "error": "Missing param"}
    assert post(rig, "shutdowntemp")[0] == {"result": False, "error": "Missing param"}
    status, _, body, _ = rig.web(b"POST /miner HTTP/1.1\r\nHost: m\r\nContent-Length: 1\r\n\r\n{", rig.start, 4028)
    assert (status, json.loads(body)) == (200, {"result": False, "error": "Invalid JSON"})
    status, _, body, _ = rig.web(b"PUT /miner HTTP/1.1\r\nHost: m\r\nContent-Length: 0\r\n\r\n", rig.start, 4028)
    assert json.loads(body)["error"] == "Invalid method: PUT"


def test_who_speaks_cgminer_to_it_is_refused_at_once_and_the_page_is_a_dashboard(rig: Any) -> None:
    sent, _, closed = rig.send(b'{"command":"version"}', port=4028)
    assert sent.startswith(b"HTTP/1.1 400 ")
    assert closed
    assert b"<title>Miner Web Dashboard</title>" in rig.web(b"GET / HTTP/1.1\r\nHost: m\r\n\r\n")[2]
    assert rig.web(b"GET /summary HTTP/1.1\r\nHost: m\r\n\r\n")[0] == 404


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["algo", "target", "clks", "voltage", "coin", "stratum_configs", "pool", "login", "Auto",
                         "Manual", "static", "dhcp", "Target Temperature"]), inner, max_size=4),
    max_leaves=6,
)  # fmt: skip


@QUICK
@given(path=st.sampled_from([*POSTS, "x", ""]), param=values)
def test_any_value_with_the_password_is_answered_and_leaves_the_reports_whole(
    bench: MakeBench, path: str, param: Any
) -> None:
    rig = bench("epic", "s21")
    reply, _ = post(rig, path, param)
    assert set(reply) == {"result", "error"}
    assert reply["result"] is (reply["error"] is None)
    for report in REPORTS:
        get(rig, report, rig.start + 60 * SECOND)
    assert all(setpoint is None or 0.3 < setpoint < 2.6 for _, _, setpoint in rig.unit.ran)


@QUICK
@given(data=st.binary(max_size=300), cut=st.integers(0, 300), port=st.sampled_from([80, 4028, 9]))
def test_any_bytes_raise_nothing_and_change_nothing(bench: MakeBench, data: bytes, cut: int, port: int) -> None:
    rig = bench("epic", "s21")
    talk = rig.device.converse(port, "127.0.0.1", rig.start)
    actions = [*talk.received(data[:cut], rig.start), *talk.received(data[cut:], rig.start + 1), *talk.ended(rig.start)]
    assert all(isinstance(action, Send | Close) and action.delay_ns >= 0 for action in actions)
    assert rig.unit.ran == []
    assert (rig.device.conf, rig.device.password) == (FACTORY, "letmein")
