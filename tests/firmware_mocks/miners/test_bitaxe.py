"""Bitaxe: three builds, settings that are checked or not, pause, statistics, places, and the log as a WebSocket."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.catalogue import Phase
from emulator.wire import SECOND, Close, Reach, Send
from firmware_mocks import miners
from firmware_mocks.miners import bitaxe_conf, websocket
from firmware_mocks.miners.bitaxe import ROUTES
from firmware_mocks.miners.bitaxe_readings import with_suffix

MakeBench = Callable[..., Any]
QUICK = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
BUILDS = ("2.9.0", "2.12.2", "2.14.2")
UPGRADE = (
    b"GET /api/ws HTTP/1.1\r\nHost: m\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.fixture
def make(bench: MakeBench) -> MakeBench:
    def make(model_id: str = "bitaxe_gamma", **knobs: Any) -> Any:
        made = bench("bitaxe", model_id, **knobs)
        made.unit.watts = made.unit.model.nominal_w
        return made

    return make


def call(axe: Any, method: str, path: str, body: Any = None, now: int | None = None) -> tuple[int, Any, int]:
    """Status, the body (an object where it is JSON), and the instant of the reply."""
    text = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    length = f"Content-Length: {len(text)}\r\n" if body is not None else ""
    request = f"{method} {path} HTTP/1.1\r\nHost: m\r\n{length}\r\n".encode() + text
    status, headers, said, done = axe.web(request, axe.start if now is None else now)
    return status, json.loads(said) if headers.get("content-type") == "application/json" else said.decode(), done


def info(axe: Any, now: int | None = None) -> dict[str, Any]:
    found: dict[str, Any] = call(axe, "GET", "/api/system/info", now=now)[1]
    return found


# ---- builds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_id", sorted(bitaxe_conf.MODELS))
@pytest.mark.parametrize("build", BUILDS)
def test_every_board_says_what_it_is_in_every_build(make: MakeBench, model_id: str, build: str) -> None:
    axe = make(model_id, build=build)
    model, found = axe.unit.model, info(axe)
    assert (found["ASICModel"], found["version"], found["boardVersion"]) == (model.chip, f"v{build}", model.variant)
    assert found["frequency"] == model.frequency_mhz
    assert found["coreVoltage"] == pytest.approx(model.voltage_v * 1000)
    assert found["expectedHashrate"] == pytest.approx(1000 * model.nominal_ths, rel=0.002)
    assert found["power"] == pytest.approx(model.nominal_w, rel=0.1)
    assert "asicCount" not in found
    chip = call(axe, "GET", "/api/system/asic")[1]
    assert (chip["asicCount"], chip["defaultFrequency"]) == (1, model.frequency_mhz)
    assert chip["defaultVoltage"] in chip["voltageOptions"]
    assert chip["defaultFrequency"] in chip["frequencyOptions"]


def test_what_a_build_has_shows_in_what_it_writes(make: MakeBench) -> None:
    old, middle, new = (info(make(build=build)) for build in BUILDS)
    assert isinstance(old["bestDiff"], str)
    assert old["bestDiff"][-1] == "M"
    assert isinstance(middle["bestDiff"], int)
    assert "hashRate_1m" not in old
    assert "hashRate_1m" in middle
    assert "miningPaused" not in middle
    assert new["miningPaused"] is False
    assert middle["stratumExtranonceSubscribe"] == 0
    assert new["stratumExtranonceSubscribe"] is False
    assert len(str(old["power"])) > 10 > len(str(new["power"])), "the older one prints the noise of single precision"


def test_routes_come_and_go_with_the_builds(make: MakeBench) -> None:
    served = {build: [] for build in BUILDS}  # type: ignore[var-annotated]
    for build in BUILDS:
        for method, path in ROUTES:
            status, said, _ = call(make(build=build), method, f"/api/{path}", b"{}" if method != "GET" else None)
            if status != 404:
                served[build].append(path.removeprefix("system/"))
            else:
                assert said == {"error": "unknown route"}
    assert set(served["2.9.0"]) - set(served["2.14.2"]) == {"statistics/dashboard"}
    assert set(served["2.12.2"]) - set(served["2.9.0"]) == {"identify"}
    assert set(served["2.14.2"]) - set(served["2.12.2"]) == {"pause", "resume", "blockFound/dismiss"}


def test_a_build_that_does_not_exist_is_named_with_those_that_do(bench: MakeBench) -> None:
    with pytest.raises(ValueError, match=r"build '2\.15\.0' is not known; one of 2\.9\.0, 2\.12\.2, 2\.14\.2"):
        bench("bitaxe", "bitaxe_max", build="2.15.0")


@pytest.mark.parametrize(
    ("number", "text"),
    [(999, "999"), (1000, "1.00k"), (483_120, "483.12k"), (48_300_000, "48.30M"), (5 * 10**18, "5.00E")],
)
def test_difficulties_are_written_with_a_letter(number: int, text: str) -> None:
    assert with_suffix(number) == text


# ---- pages ----------------------------------------------------------------------------------------------------------


def test_the_page_is_packed_and_every_other_address_leads_to_it(make: MakeBench) -> None:
    axe = make()
    status, headers, said, _ = axe.web(b"GET / HTTP/1.1\r\nHost: m\r\n\r\n")
    assert (status, headers["content-encoding"]) == (200, "gzip")
    assert b"<title>AxeOS</title>" in gzip.decompress(said)
    assert "server" not in headers
    assert "date" not in headers
    status, headers, _, _ = axe.web(b"GET /settings HTTP/1.1\r\nHost: m\r\n\r\n")
    assert (status, headers["location"]) == (302, "/")
    assert call(axe, "POST", "/", b"x")[0] == 405
    status, headers, _, _ = axe.web(b"OPTIONS /api/system HTTP/1.1\r\nHost: m\r\n\r\n")
    assert status == 200
    assert headers["access-control-allow-origin"] == "*"


def test_only_private_addresses_are_served_where_the_knob_says_so(make: MakeBench) -> None:
    axe = make(private_only=True)
    assert call(axe, "GET", "/api/system/info")[:2] == (401, "Unauthorized")
    assert call(axe, "POST", "/api/system/pause")[0] == 401
    assert axe.unit.ran == []
    inside, outside = ("10.1.2.3", "172.31.0.1", "192.168.7.9"), ("172.32.0.1", "127.0.0.1", "x")
    assert all(axe.device.allows(peer) for peer in inside)
    assert not any(axe.device.allows(peer) for peer in outside)
    talk = axe.device.converse(80, "192.168.7.9", axe.start)
    assert b'"ASICModel"' in talk.received(b"GET /api/system/info HTTP/1.1\r\nHost: m\r\n\r\n", axe.start)[0].data
    status, *_ = axe.web(UPGRADE)
    assert status == 401


def test_requests_are_served_one_after_the_other(make: MakeBench) -> None:
    axe = make()
    first, second = (call(axe, "GET", "/api/system/info")[2] for _ in range(2))
    assert second - axe.start == 2 * (first - axe.start)


# ---- settings -------------------------------------------------------------------------------------------------------


def test_a_change_of_clock_is_carried_out_when_the_reply_leaves(make: MakeBench) -> None:
    axe = make()
    status, said, done = call(axe, "PATCH", "/api/system", {"frequency": 400.5, "unknown": [1]})
    assert (status, said) == (200, "")
    (ran,) = axe.unit.ran
    assert ran == ("retune", done, pytest.approx(2 / 19 + 17 / 19 * 400.5 / 525))
    assert axe.unit.hash_shares == [pytest.approx(400.5 / 525)]
    assert info(axe)["frequency"] == 400.5
    call(axe, "PATCH", "/api/system", {"frequency": 400.5, "hostname": "other"})
    assert len(axe.unit.ran) == 1, "nothing moves"
    assert info(axe)["hostname"] == "other"


@pytest.mark.parametrize(
    "asked",
    [
        {"frequency": 0}, {"frequency": True}, {"frequency": "525"}, {"coreVoltage": 70_000}, {"temptarget": 20},
        {"hostname": ""},
        {"hostname": "x" * 33}, {"rotation": 45}, {"overheat_mode": 1}, {"autofanspeed": 2}, {"stratumURL": 7},
        {"stratumPort": None},
    ],
)  # fmt: skip
def test_newer_builds_take_all_or_nothing(make: MakeBench, asked: dict[str, Any]) -> None:
    axe = make()
    assert call(axe, "PATCH", "/api/system", {"ssid": "other", **asked})[:2] == (400, "Wrong API input")
    assert axe.device.conf == {}


def test_an_older_build_takes_what_it_understands_of_anything(make: MakeBench) -> None:
    axe = make(build="2.9.0")
    asked = {
        "frequency": 0,
        "coreVoltage": "1200",
        "stratumPort": 70_000,
        "stratumURL": 5,
        "fanspeed": True,
        "ssid": "",
        "displayTimeout": -1,
    }
    assert call(axe, "PATCH", "/api/system", asked)[:2] == (200, "")
    assert axe.device.conf == {"stratumPort": 70_000 - 65_536, "fanspeed": 1, "ssid": "", "displayTimeout": -1}
    assert axe.unit.ran == []


@pytest.mark.parametrize("build", BUILDS)
def test_what_is_no_json_is_refused_and_what_is_no_object_changes_nothing(make: MakeBench, build: str) -> None:
    axe = make(build=build)
    assert call(axe, "PATCH", "/api/system", b'{"frequency":')[:2] == (400, "Invalid JSON")
    assert call(axe, "PATCH", "/api/system", [1, 2])[:2] == (200, "")
    assert call(axe, "PATCH", "/api/system", b" " * 10_240)[:2] == (500, "content too long")
    assert axe.device.conf == {}


def test_a_clock_beyond_reason_is_shown_and_not_followed(make: MakeBench) -> None:
    axe = make()
    call(axe, "PATCH", "/api/system", {"frequency": 60_000, "coreVoltage": 60_000})
    assert info(axe)["frequency"] == 60_000
    ((_, _, setpoint),) = axe.unit.ran
    assert setpoint == pytest.approx(2 / 19 + 17 / 19 * (1.3 * 625 / 525) * (1.2 * 1.25 / 1.15) ** 2)


def test_fans_follow_what_is_set_by_hand(make: MakeBench) -> None:
    axe = make()
    assert info(axe)["fanspeed"] == 75
    call(axe, "PATCH", "/api/system", {"autofanspeed": False, "manualFanSpeed": 42})
    found = info(axe)
    assert (found["fanspeed"], found["autofanspeed"]) == (42, 0)
    assert found["fanrpm"] == pytest.approx(0.42 * 9150, rel=0.04)


# ---- pause, identify, restart ---------------------------------------------------------------------------------------


def test_a_pause_is_one_however_often_it_is_asked_for(make: MakeBench) -> None:
    axe = make()
    for _ in range(3):
        assert call(axe, "POST", "/api/system/pause")[:2] == (200, {"message": "Mining paused"})
    assert [script for script, _, _ in axe.unit.ran] == ["sleep"]
    assert call(axe, "POST", "/api/system/resume", now=axe.start + 60 * SECOND)[1] == {"message": "Mining resumed"}
    call(axe, "POST", "/api/system/resume", now=axe.start + 61 * SECOND)
    assert [(script, setpoint) for script, _, setpoint in axe.unit.ran] == [("sleep", None), ("wake", 1.0)]


def test_the_power_task_takes_no_order_while_it_winds_down_or_sets_up(make: MakeBench) -> None:
    axe = make()
    for path in ("pause", "resume", "pause"):
        call(axe, "POST", f"/api/system/{path}")
    (_, slept, _), (_, woke, _), (_, again, _) = axe.unit.ran
    assert woke - slept == pytest.approx(7.8 * SECOND)
    assert again - woke == pytest.approx(8.9 * SECOND)
    assert info(axe)["miningPaused"] is True


def test_averages_leave_a_pause_out(make: MakeBench) -> None:
    axe = make()
    call(axe, "POST", "/api/system/pause")
    held = axe.start + 8 * SECOND
    axe.unit.hash_steps.append((held, 0.0))
    axe.unit.mining, axe.unit.now_phase = None, Phase.SLEEP
    paused = info(axe, held + 1800 * SECOND)
    assert (paused["hashRate"], paused["hashRate_1m"]) == (0.0, pytest.approx(1071, rel=0.01))
    call(axe, "POST", "/api/system/resume", now=held + 1800 * SECOND)
    back = held + 1809 * SECOND
    axe.unit.hash_steps.append((back, 0.5))
    axe.unit.mining, axe.unit.now_phase = back, Phase.HASHING
    resumed = info(axe, back + 30 * SECOND)
    assert resumed["hashRate"] == pytest.approx(500, rel=0.02)
    assert resumed["hashRate_1m"] == pytest.approx((1071 + 500) / 2, rel=0.03), "half from before the pause"
    assert resumed["hashRate_10m"] == pytest.approx((570 * 1071 + 30 * 500) / 600, rel=0.02)


def test_a_unit_says_hello_for_half_a_minute_unless_asked_again(make: MakeBench) -> None:
    axe = make()
    said = [
        call(axe, "POST", "/api/system/identify", now=axe.start + s * SECOND)[1]["message"] for s in (0, 10, 20, 51)
    ]
    assert [text.endswith("for 30 seconds.") for text in said] == [True, False, True, True]
    assert call(make(build="2.12.2"), "POST", "/api/system/identify")[1] == 'The device says "Hi!" for 30 seconds.'


def test_a_restart_answers_keeps_silent_for_a_second_and_goes(make: MakeBench) -> None:
    axe = make()
    status, said, done = call(axe, "POST", "/api/system/restart")
    assert (status, said) == (200, {"message": "System will restart shortly."})
    assert axe.unit.ran == [("reboot", done + SECOND, 1.0)]
    assert call(axe, "GET", "/api/system/info")[2] > done + SECOND
    assert call(make(build="2.9.0"), "POST", "/api/system/restart")[1] == "System will restart shortly."


def test_a_boot_forgets_the_pause_and_keeps_the_settings(make: MakeBench) -> None:
    axe = make()
    call(axe, "POST", "/api/system/pause")
    call(axe, "PATCH", "/api/system", {"hostname": "other", "statsFrequency": 1})
    axe.unit.boots(axe.start + 60 * SECOND)
    later = axe.start + 90 * SECOND
    found = info(axe, later)
    assert (found["miningPaused"], found["hostname"], found["uptimeSeconds"]) == (False, "other", 30)
    assert found["resetReason"] == "Reset due to power-on event"
    assert len(call(axe, "GET", "/api/system/statistics?columns=power", now=later)[1]["statistics"]) == 30


def test_a_board_without_power_is_silent_and_refuses_while_it_starts(make: MakeBench) -> None:
    axe = make()
    axe.unit.powered = axe.unit.api = None
    assert axe.device.reach(80, axe.start) is Reach.SILENT
    axe.unit.boots(axe.start + 8 * SECOND)
    assert axe.device.reach(80, axe.start + 7 * SECOND) is Reach.REFUSES
    assert axe.device.reach(80, axe.start + 8 * SECOND) is Reach.ANSWERS
    assert axe.device.reach(4028, axe.start + 8 * SECOND) is Reach.REFUSES


# ---- statistics -----------------------------------------------------------------------------------------------------


def test_nothing_is_noted_until_it_is_asked_for(make: MakeBench) -> None:
    axe = make()
    assert call(axe, "GET", "/api/system/statistics")[1]["statistics"] == []
    call(axe, "PATCH", "/api/system", {"statsFrequency": 10})
    for after_s, rows in ((5, 4), (600, 599), (1440, 719), (86_400, 720)):
        found = call(axe, "GET", "/api/system/statistics", now=axe.start + after_s * SECOND)[1]
        assert len(found["statistics"]) == pytest.approx(rows, abs=1)
        assert all(len(row) == len(found["labels"]) == 19 for row in found["statistics"])
        times = [row[-1] for row in found["statistics"]]
        assert times == sorted(set(times))
        assert times[-1] <= found["currentTimestamp"]
    call(axe, "PATCH", "/api/system", {"statsFrequency": 0}, now=axe.start + 86_400 * SECOND)
    assert call(axe, "GET", "/api/system/statistics", now=axe.start + 86_410 * SECOND)[1]["statistics"] == []


def test_columns_can_be_chosen_and_wrong_ones_choose_all(make: MakeBench) -> None:
    axe = make()
    call(axe, "PATCH", "/api/system", {"statsFrequency": 1})
    later = axe.start + 10 * SECOND
    found = call(axe, "GET", "/api/system/statistics?columns=power,hashrate", now=later)[1]
    assert found["labels"] == ["hashrate", "power", "timestamp"]
    assert found["statistics"][0][:2] == [pytest.approx(1071, rel=0.02), pytest.approx(18.3, rel=0.05)]
    assert len(call(axe, "GET", "/api/system/statistics?columns=x", now=later)[1]["labels"]) == 19


def test_an_older_build_notes_twelve_columns_and_four_for_its_page(make: MakeBench) -> None:
    axe = make(build="2.9.0")
    call(axe, "PATCH", "/api/system", {"statsFrequency": 30})
    later = axe.start + 305 * SECOND
    found = call(axe, "GET", "/api/system/statistics", now=later)[1]
    assert len(found["labels"]) == 12
    assert len(found["statistics"]) == 10
    page = call(axe, "GET", "/api/system/statistics/dashboard", now=later)[1]
    assert [len(row) for row in page["statistics"]] == [4] * 10
    assert "labels" not in page


# ---- places and the log ---------------------------------------------------------------------------------------------


def attended(axe: Any) -> tuple[Any, list[int]]:
    """A conversation whose connection stands, and how often it was roused."""
    talk, roused = axe.device.converse(80, "127.0.0.1", axe.start), []
    talk.attend(lambda: roused.append(1))
    return talk, roused


GET = b"GET /api/system/asic HTTP/1.1\r\nHost: m\r\n\r\n"


def test_the_least_recently_used_connection_makes_room(make: MakeBench) -> None:
    axe = make()
    talks = [attended(axe) for _ in range(20)]
    talks[0][0].received(GET, axe.start)
    _, roused = attended(axe)
    assert roused == []
    assert [bool(seen) for _, seen in talks[:3]] == [False, True, False]
    assert talks[1][0].woken(axe.start) == [Close()]
    talks[1][0].lost(axe.start)
    talks[1][0].lost(axe.start)
    assert talks[2][0].received(GET, axe.start), "who has a place keeps it"


def test_without_eviction_six_more_wait_five_in_the_backlog(make: MakeBench) -> None:
    axe = make(build="2.9.0")
    talks = [attended(axe) for _ in range(16)]
    assert talks[10][0].received(GET, axe.start) == []
    assert talks[15][0].woken(axe.start) == [Close()], "the backlog holds five"
    talks[4][0].lost(axe.start)
    assert talks[10][1] == [1]
    (answer,) = talks[10][0].woken(axe.start)
    assert b"BM1370" in answer.data
    assert talks[11][0].received(GET, axe.start) == []
    talks[11][0].lost(axe.start)
    talks[5][0].lost(axe.start)
    assert talks[12][1] == [1]
    assert talks[12][0].woken(axe.start) == [], "he has said nothing yet"
    assert talks[12][0].received(GET, axe.start)


def log_of(actions: Any) -> str:
    """The text of log messages."""
    text = b""
    for action in actions:
        if isinstance(action, Send) and action.data[0] == 0x81:
            size = action.data[1]
            text += action.data[{126: 4, 127: 10}.get(size, 2) :]
    return text.decode()


def test_the_log_comes_once_a_second_with_a_line_for_each_nonce_and_order(make: MakeBench) -> None:
    axe = make()
    talk, _ = attended(axe)
    (switch,) = talk.received(UPGRADE, axe.start)
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method="GET", target="/", headers=[("Host", "m"), ("Upgrade", "websocket")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(switch.data)
    head = reader.next_event()
    assert isinstance(head, h11.InformationalResponse)
    assert (head.status_code, dict(head.headers)[b"sec-websocket-accept"]) == (101, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    lines = ""
    for n in range(1, 301):
        assert talk.wake_ns == axe.start + n * SECOND
        lines += log_of(talk.woken(talk.wake_ns))
    nonces = [line for line in lines.splitlines() if "asic_result: ID: " in line]
    assert len(nonces) == pytest.approx(300 * 1.071e12 / (256 * 2**32), rel=0.25)
    assert all("diff " in line and "of 1000." in line and "Core: " in line for line in nonces)
    now = axe.start + 300 * SECOND
    call(axe, "POST", "/api/system/pause", now=now)
    assert "Mining paused by API request" in log_of(talk.woken(now + SECOND))
    axe.unit.mining = None
    assert talk.woken(now + 20 * SECOND) == []


def test_a_listener_may_ping_and_close_and_is_dropped_for_nonsense(make: MakeBench) -> None:
    axe = make()
    talk, _ = attended(axe)
    talk.received(UPGRADE + b"\x89\x82\x00\x00\x00\x00", axe.start)
    assert talk.received(b"hi", axe.start) == [Send(websocket.frame(websocket.PONG, b"hi"))]
    assert talk.received(b"\x81\x81\x00\x00\x00\x00x", axe.start) == [], "what it says is read and forgotten"
    close = talk.received(b"\x88\x82\x00\x00\x00\x00\x03\xe8", axe.start)
    assert close == [Send(websocket.frame(websocket.CLOSE, b"\x03\xe8")), Close()]
    assert talk.wake_ns is None
    assert talk.woken(axe.start + SECOND) == []
    talk, _ = attended(axe)
    talk.received(UPGRADE, axe.start)
    assert talk.received(b"GET / HTTP/1.1\r\n\r\n", axe.start) == [Close()]


def test_a_log_without_a_handshake_is_refused_and_an_eleventh_one_too(make: MakeBench) -> None:
    axe = make()
    assert call(axe, "GET", "/api/ws")[0] == 400
    for _ in range(10):
        talk, _ = attended(axe)
        assert b" 101 " in talk.received(UPGRADE, axe.start)[0].data
    status, _, said, _ = axe.web(UPGRADE)
    assert (status, said) == (429, b"Max WebSocket clients reached")


def test_a_listener_counts_as_quiet_and_is_the_first_to_go(make: MakeBench) -> None:
    axe = make()
    listener, roused = attended(axe)
    listener.received(UPGRADE, axe.start)
    others = [attended(axe)[0] for _ in range(19)]
    listener.woken(axe.start + SECOND)
    for other in others:
        other.received(GET, axe.start + SECOND)
    attended(axe)
    assert roused == [1]
    assert listener.woken(axe.start + 2 * SECOND) == [Close()]


def test_a_listener_of_an_earlier_boot_is_reset(make: MakeBench) -> None:
    axe = make()
    talk, _ = attended(axe)
    talk.received(UPGRADE, axe.start)
    axe.unit.boots(axe.start + 60 * SECOND)
    assert talk.woken(axe.start + 61 * SECOND) == [Close(reset=True)]


# ---- any bytes ------------------------------------------------------------------------------------------------------

values = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40) | st.lists(st.integers(), max_size=2)
)
names = st.sampled_from([*bitaxe_conf.settings(9), *bitaxe_conf.settings(14), "x"])
bodies = st.binary(max_size=60) | st.dictionaries(names, values, max_size=5).map(
    lambda asked: json.dumps(asked).encode()
)
paths = st.sampled_from(["/", "/x", "*", "/api/ws", *(f"/api/{path}" for _, path in ROUTES)])


@st.composite
def web_requests(draw: st.DrawFn) -> bytes:
    method = draw(st.sampled_from(["GET", "POST", "PATCH", "HEAD", "OPTIONS", "CONNECT", "get"]))
    body = draw(bodies)
    headers = draw(st.lists(st.sampled_from([
        "Host: m", "Connection: close", "Transfer-Encoding: chunked", "Expect: 100-continue", "Upgrade: websocket",
        "Sec-WebSocket-Key: x", f"Content-Length: {len(body)}", "Content-Length: 3", "X: \xff",
    ]), max_size=6))  # fmt: skip
    version = draw(st.sampled_from(["1.1", "1.1", "1.0", "2.0"]))
    return "\r\n".join([f"{method} {draw(paths)} HTTP/{version}", *headers, "", ""]).encode("latin-1") + body


anything = (
    st.binary(max_size=200) | web_requests() | st.just(UPGRADE) | st.binary(max_size=20).map(lambda b: UPGRADE + b)
)


@QUICK
@given(
    pieces=st.lists(anything, max_size=4),
    build=st.sampled_from(BUILDS),
    model_id=st.sampled_from(sorted(bitaxe_conf.MODELS)),
    private=st.booleans(),
)
def test_any_bytes_raise_nothing_and_without_leave_change_nothing(
    make: MakeBench, pieces: list[bytes], build: str, model_id: str, private: bool
) -> None:
    axe = make(model_id, build=build, private_only=private)
    talk, _ = attended(axe)
    closed = False
    for n, piece in enumerate([*pieces, None]):
        at = axe.start + n * SECOND
        actions = list(talk.ended(at) if piece is None else talk.received(piece, at))
        if talk.wake_ns is not None and piece is not None:
            actions += talk.woken(at)
        for action in actions:
            assert isinstance(action, Send | Close)
            assert action.delay_ns >= 0
            assert not closed
            closed = isinstance(action, Close)
    if private:
        assert axe.unit.ran == []
        assert axe.device.conf == {}
        assert not axe.device.paused
        return
    assert info(axe, axe.start + 600 * SECOND)["ASICModel"] == axe.unit.model.chip
    for _, _, setpoint in axe.unit.ran:
        assert setpoint is None or 0 < setpoint < 4


@QUICK
@given(asked=st.dictionaries(names, values, max_size=6), rank=st.sampled_from([9, 12, 14]))
def test_what_is_taken_fits_what_was_there(asked: dict[str, Any], rank: int) -> None:
    known = bitaxe_conf.settings(rank)
    changes = bitaxe_conf.patched(asked, rank)
    if changes is None:
        assert rank >= 11
        return
    assert set(changes) <= set(asked) & set(known)
    for name, value in changes.items():
        if known[name].kind == "text":
            assert isinstance(value, str)
        elif rank >= 11:
            assert known[name].least <= value <= known[name].most


def test_the_face_is_offered_for_four_bitaxes_on_port_80_only() -> None:
    firmware = miners.load("bitaxe")
    assert firmware.ports == {"web": 80}
    assert firmware.models == {"bitaxe_max", "bitaxe_ultra", "bitaxe_supra", "bitaxe_gamma"}
