"""Auradine FluxOS: tokens, modes and their power, gcminer's reads, and what a wrong request leaves alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.catalogue import Phase
from emulator.wire import SECOND, Close, Reach, Send
from firmware_mocks import miners
from firmware_mocks.miners.auradine import ACTIONS, LEDS, READ_COMMANDS, REPORTS
from firmware_mocks.miners.auradine_conf import EDITS, FACTORY

MakeBench = Callable[..., Any]
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PASSWORD = miners.load("auradine").credentials.password
WRITES = sorted([*EDITS, *ACTIONS])


@pytest.fixture
def rig(bench: MakeBench) -> Any:
    return bench("auradine", "at1500")


def call(
    rig: Any, method: str, path: str, asked: Any = None, *, token: str | None = None, now: int | None = None
) -> tuple[int, dict[str, Any], int]:
    """Status, JSON and the instant of the reply; without `asked` the body is empty."""
    body = b"" if asked is None else asked if isinstance(asked, bytes) else json.dumps(asked).encode()
    lines = [f"{method} /{path} HTTP/1.1", "Host: m", f"Content-Length: {len(body)}"]
    lines += [] if token is None else [f"Token: {token}"]
    request = "\r\n".join([*lines, "", ""]).encode() + body
    status, _, said, done = rig.web(request, rig.start if now is None else now, 8080)
    return status, json.loads(said), done


def log_in(rig: Any, now: int | None = None, **changes: Any) -> Any:
    asked = {"command": "token", "user": "admin", "password": PASSWORD} | changes
    _, said, _ = call(rig, "POST", "token", asked, now=now)
    return said["Token"][0]["Token"] if "Token" in said else None


def get(rig: Any, path: str, now: int | None = None) -> dict[str, Any]:
    status, said, _ = call(rig, "GET", path, token=log_in(rig, now), now=now)
    assert (status, said["STATUS"][0]["STATUS"], said["id"]) == (200, "S", 1)
    return said


def post(rig: Any, path: str, now: int | None = None, **fields: Any) -> tuple[dict[str, Any], int]:
    status, said, done = call(rig, "POST", path, {"command": path} | fields, token=log_in(rig, now), now=now)
    assert status == 200
    return said, done


def state(reply: dict[str, Any]) -> tuple[str, int]:
    return reply["STATUS"][0]["STATUS"], reply["STATUS"][0]["Code"]


@pytest.mark.parametrize("model_id", ["at1500", "at2880"])
def test_every_report_is_there_awake_and_asleep(bench: MakeBench, model_id: str) -> None:
    rig = bench("auradine", model_id)
    for path in sorted(REPORTS):
        assert get(rig, path)["STATUS"][0]["Description"].startswith("FluxOS-2024-06.11-")
    rig.unit.sleeps(rig.start)
    for path in sorted(REPORTS):
        get(rig, path, rig.start + 60 * SECOND)
    status, said, _ = call(rig, "POST", "mode", {"command": "mode"}, token=log_in(rig))
    assert (status, said["Mode"][0]["Sleep"]) == (200, "off"), "a POST without fields is a read"


def test_codes_are_those_of_the_captures(rig: Any) -> None:
    codes = {path: state(get(rig, path))[1] for path in REPORTS}
    captured = {
        "version": 22, "summary": 11, "devs": 9, "asccount": 104, "pools": 7, "fan": 510, "led": 530, "mode": 540,
        "psu": 570, "temperature": 590, "ipreport": 620, "voltage": 630, "frequency": 640,
    }  # fmt: skip
    assert codes | captured == codes


def test_gcminer_answers_its_reads_alone_or_joined(rig: Any) -> None:
    for name in READ_COMMANDS:
        reply = rig.ask(name)
        assert reply["STATUS"][0]["Description"].startswith("GCMiner-2024-06.11-")
        assert rig.ask(f"{name}+version")[name][0] == reply
    assert rig.ask("devdetails")["DEVDETAILS"][0]["Model"] == "AT1500"
    assert rig.ask("asccount")["ASCCount"] == [{"AsicCount": 396, "BoardCount": 3}]
    assert state(rig.ask("restart")) == ("E", 14)
    assert rig.ask("check", "devs")["CHECK"] == [{"Exists": "Y", "Access": "Y"}]


def test_a_token_opens_the_door_until_it_expires(rig: Any) -> None:
    token = log_in(rig)
    for age_s, status in ((0, 200), (3599, 200), (3600, 401)):
        got, said, _ = call(rig, "GET", "mode", token=token, now=rig.start + age_s * SECOND)
        assert got == status
        assert state(said)[0] == ("S" if status == 200 else "E")
    assert "token" in said["STATUS"][0]["Msg"].lower()
    assert log_in(rig, rig.start + 3600 * SECOND) != token


def test_a_token_does_not_survive_a_boot_or_another_password(rig: Any) -> None:
    token = log_in(rig)
    assert state(post(rig, "password", user="admin", old=PASSWORD, new="other")[0])[0] == "S"
    assert call(rig, "GET", "mode", token=token)[0] == 401
    assert log_in(rig) is None
    token = log_in(rig, password="other")
    assert call(rig, "GET", "mode", token=token)[0] == 200
    rig.unit.boots(rig.start + 60 * SECOND)
    assert call(rig, "GET", "mode", token=token, now=rig.start + 90 * SECOND)[0] == 401


@pytest.mark.parametrize("path", [*WRITES, *sorted(REPORTS)])
def test_without_a_token_nothing_is_told_and_nothing_changed(rig: Any, path: str) -> None:
    fields = {"command": path, "sleep": "on", "code": 3, "percentage": 10, "parameter": "on", "voltage": 11.4}
    forged = log_in(rig)[:-1] + "x"
    for token in (None, "", "x", forged, "f" * 64, "é"):
        for method, asked in (("POST", fields), ("GET", None)):
            status, said, _ = call(rig, method, path, asked, token=token)
            assert (status, state(said)) == (401, ("E", 401))
    assert (rig.device.conf, rig.device.led, rig.device.password) == (FACTORY, LEDS[2], PASSWORD)
    assert rig.unit.ran == []


@pytest.mark.parametrize("changes", [{"user": "root"}, {"password": "guess"}, {"password": None}, {"user": ["admin"]}])
def test_a_wrong_account_gets_no_token(bench: MakeBench, changes: dict[str, Any]) -> None:
    assert log_in(bench("auradine"), **changes) is None
    assert log_in(bench("auradine", token_status=200), **changes) is None
    assert call(bench("auradine", token_status=200), "GET", "mode")[0] == 200


def test_sleep_starts_when_the_reply_leaves_and_is_shown_at_once(rig: Any) -> None:
    reply, done = post(rig, "mode", sleep="on")
    assert reply["Mode"][0]["Sleep"] == "on"
    assert rig.unit.ran == [("sleep", done, None)]
    assert 0 < done - rig.start < SECOND
    post(rig, "mode", sleep="on")
    assert len(rig.unit.ran) == 1
    post(rig, "mode", sleep="off")
    assert [(script, setpoint) for script, _, setpoint in rig.unit.ran[1:]] == [("wake", 1.0)]


@pytest.mark.parametrize(
    ("fields", "share", "shown"),
    [
        ({"mode": "eco"}, 0.75, ("eco", 2025, 120)),
        ({"mode": "turbo"}, 1.2, ("turbo", 3240, 173)),
        ({"mode": "custom", "tune": "power", "power": 1800}, 1800 / 2700, ("custom", 1800, 110)),
        ({"mode": "custom", "tune": "ths", "ths": 100}, (100 / 150) ** 1.3, ("custom", 1594, 100)),
    ],
)
def test_a_mode_is_a_share_of_power(rig: Any, fields: dict[str, Any], share: float, shown: tuple[Any, ...]) -> None:
    reply, done = post(rig, "mode", **fields)
    row = reply["Mode"][0]
    assert (row["Mode"], row["Power"], row["Ths"]) == shown
    ((script, at, setpoint),) = rig.unit.ran
    assert (script, at) == ("retune", done)
    assert setpoint == pytest.approx(share)
    post(rig, "mode", **fields)
    assert len(rig.unit.ran) == 1, "the present mode again moves nothing"
    post(rig, "mode", mode="normal")
    assert rig.unit.ran[1][2] == 1.0


def test_a_mode_chosen_asleep_is_for_the_next_wake_up(rig: Any) -> None:
    post(rig, "mode", sleep="on")
    post(rig, "mode", mode="eco")
    post(rig, "mode", sleep="off")
    assert [(script, setpoint) for script, _, setpoint in rig.unit.ran] == [("sleep", None), ("wake", 0.75)]


@pytest.mark.parametrize(
    "fields",
    [
        {"sleep": "maybe"}, {"mode": "fast"}, {"mode": "custom"}, {"mode": "custom", "tune": "power"},
        {"mode": "custom", "tune": "power", "power": 100}, {"mode": "custom", "tune": "power", "power": 9999},
        {"mode": "custom", "tune": "power", "power": "1800"}, {"mode": "custom", "tune": "ths", "ths": 5},
        {"mode": "custom", "tune": "ths", "ths": True}, {"other": 1},
    ],
)  # fmt: skip
def test_a_mode_that_cannot_be_is_refused_and_changes_nothing(rig: Any, fields: dict[str, Any]) -> None:
    reply, _ = post(rig, "mode", **fields)
    assert state(reply) == ("E", 400)
    assert rig.device.conf == FACTORY
    assert rig.unit.ran == []


def test_one_board_may_run_at_its_own_clock(rig: Any) -> None:
    post(rig, "mode", mode="eco")
    reply, _ = post(rig, "frequency", board=2, frequency=300.0)
    means = [
        sum(chip["Frequency"] for chip in board["ChipFrequency"]) / len(board["ChipFrequency"])
        for board in reply["Frequency"]
    ]
    eco_mhz = 400 * 0.75 ** (1 / 1.3)
    assert means == [pytest.approx(mhz, rel=0.03) for mhz in (eco_mhz, 300, eco_mhz)]
    assert rig.unit.ran[-1][2] == pytest.approx((2 * 0.75 + 0.75**1.3) / 3)
    for wrong in ({"board": 0, "frequency": 300}, {"board": 1, "frequency": 9000}, {"frequency": 300}):
        assert state(post(rig, "frequency", **wrong)[0]) == ("E", 400)


def test_chips_are_tuned_one_by_one_on_a_grid(rig: Any) -> None:
    for board in get(rig, "frequency")["Frequency"]:
        clocks = [chip["Frequency"] for chip in board["ChipFrequency"]]
        assert len(clocks) == 132
        assert all((mhz / 1.25).is_integer() for mhz in clocks)
        assert 0.05 < (max(clocks) - min(clocks)) / (sum(clocks) / len(clocks)) < 1.0
    for board in get(rig, "voltage")["Voltage"]:
        assert all(0.2 < chip["Voltage"] < 0.3 for chip in board["ChipVoltage"])


def test_short_averages_scatter_and_the_long_one_does_not(rig: Any) -> None:
    rows = [rig.ask("summary", now=rig.start + n * 5 * SECOND)["SUMMARY"][0] for n in range(60)]

    def spread(key: str) -> float:
        rates = [row[key] / 150e6 for row in rows]
        mean = sum(rates) / len(rates)
        return float((sum((rate - mean) ** 2 for rate in rates) / len(rates)) ** 0.5)

    assert 0.15 < spread("MHS 5s") < 0.31
    assert 0.04 < spread("MHS 1m") < 0.14
    assert spread("MHS av") < 1e-3
    assert sum(board["MHS 5s"] for board in rig.ask("devs")["DEVS"]) == pytest.approx(rows[0]["MHS 5s"], rel=1e-6)


def test_telemetry_of_the_psu_is_text_with_units(rig: Any) -> None:
    awake = get(rig, "psu")["PSU"][0]
    assert float(awake["PowerIn"].removesuffix("W")) == pytest.approx(3000, rel=0.05)
    assert float(awake["PowerOut"].removesuffix("W")) == pytest.approx(0.95 * 3000, rel=0.05)
    assert awake["PoutMax"] == "3452.00W"
    rig.unit.sleeps(rig.start)
    rig.unit.watts = 59.0
    asleep = get(rig, "psu", rig.start + 60 * SECOND)["PSU"][0]
    assert float(asleep["PowerIn"].removesuffix("W")) == pytest.approx(59, rel=0.05)
    assert (asleep["PowerOut"], asleep["Iout"]) == ("0.00W", "0.00A")
    assert asleep["FanSpeed1"] == "4052.00 RPM"
    assert (asleep["Vout"], asleep["VoutSet"]) == ("11.53V", "11.50V")


def test_lights_fans_and_voltage_are_kept_and_shown(rig: Any) -> None:
    assert post(rig, "led", code=3)[0]["LED"][0]["Code"] == 3
    own = post(rig, "led", code=101, led1=6, led2=2, msg="hello")[0]["LED"][0]
    assert own == {"Code": 101, "LED1": 6, "LED2": 2, "Msg": "hello"}
    assert [fan["Target"] for fan in post(rig, "fan", index=2, percentage=50)[0]["Fan"]] == [5775, 3850, 5775, 5775]
    assert {fan["Target"] for fan in post(rig, "fan", percentage=100)[0]["Fan"]} == {7700}
    assert post(rig, "psu", voltage=11.2)[0]["PSU"][0]["VoutSet"] == "11.20V"
    assert post(rig, "register", parameter="Acme")[0]["Register"] == [{"Company": "Acme"}]
    assert post(rig, "ztp", parameter="on")[0]["ZTP"] == [{"ZTP": "on"}]
    assert state(post(rig, "timedate", ntp="pool.example", timezone="UTC")[0])[0] == "S"
    post(rig, "network", hostname="yard-7")
    assert get(rig, "ipreport")["IPReport"][0]["hostname"] == "yard-7"
    for path, fields in (("led", {"code": 50}), ("fan", {"percentage": 101}), ("psu", {"voltage": 15.0})):
        assert state(post(rig, path, **fields)[0]) == ("E", 400)
    assert rig.unit.ran == []
    rig.unit.boots(rig.start + 60 * SECOND)
    later = rig.start + 90 * SECOND
    assert get(rig, "led", later)["LED"][0]["Code"] == 2
    assert get(rig, "psu", later)["PSU"][0]["VoutSet"] == "11.20V"


def test_pools_are_up_to_three(rig: Any) -> None:
    pools = [{"url": f"stratum+tcp://p{n}.example:3333", "user": "a.b", "pass": "x"} for n in range(4)]
    assert state(post(rig, "updatepools", pools=pools[:2])[0])[0] == "S"
    assert [pool["URL"] for pool in rig.ask("pools")["POOLS"]] == [pool["url"] for pool in pools[:2]]
    for wrong in (pools, [], "x", [{"url": ""}], [7]):
        assert state(post(rig, "updatepools", pools=wrong)[0]) == ("E", 400)
    assert len(rig.device.pools) == 2


def test_the_three_restarts(rig: Any) -> None:
    _, done = post(rig, "restart")
    assert rig.unit.ran == [("reboot", done + SECOND, None)]
    rig.unit.ran.clear()
    _, done = post(rig, "restart", parameter="api-server")
    assert rig.unit.ran == []
    assert rig.device.reach(8080, done + 3 * SECOND) is Reach.REFUSES
    assert rig.device.reach(4028, done + 3 * SECOND) is Reach.ANSWERS
    assert rig.device.reach(8080, done + 7 * SECOND) is Reach.ANSWERS
    _, done = post(rig, "restart", parameter="gcminer", now=rig.start + 30 * SECOND)
    assert rig.unit.ran == [("restart", done, None)]
    assert rig.device.reach(4028, done + 3 * SECOND) is Reach.REFUSES
    assert rig.device.reach(8080, done + 3 * SECOND) is Reach.ANSWERS
    assert rig.ask("summary", now=done + 27 * SECOND)["SUMMARY"][0]["Elapsed"] == 20
    assert state(post(rig, "restart", parameter="toaster", now=done + 30 * SECOND)[0]) == ("E", 400)


def test_a_sleeping_miner_stays_asleep_over_a_restart_of_gcminer_and_wakes_on_a_factory_reset(rig: Any) -> None:
    post(rig, "mode", sleep="on")
    post(rig, "restart", parameter="gcminer")
    assert [script for script, _, _ in rig.unit.ran] == ["sleep"]
    assert state(post(rig, "factory-reset", now=rig.start + 20 * SECOND)[0])[0] == "S"
    assert [script for script, _, _ in rig.unit.ran] == ["sleep", "wake"]
    assert rig.device.conf == FACTORY
    assert state(post(rig, "firmware-upgrade", version="latest", now=rig.start + 20 * SECOND)[0]) == ("E", 400)


def test_asleep_the_chips_have_no_clock_and_the_pools_are_dead(rig: Any) -> None:
    post(rig, "mode", sleep="on")
    rig.unit.sleeps(rig.start)
    later = rig.start + 600 * SECOND
    assert {chip["Frequency"] for chip in get(rig, "frequency", later)["Frequency"][0]["ChipFrequency"]} == {0.0}
    assert {pool["Status"] for pool in rig.ask("pools", now=later)["POOLS"]} == {"Dead"}
    rig.unit.now_phase, rig.unit.watts = Phase.WAKE, 300.0
    assert get(rig, "frequency", later)["Frequency"][0]["ChipFrequency"][0]["Frequency"] > 100


def test_an_unknown_path_is_an_error_and_the_page_is_known_by_its_title(rig: Any) -> None:
    for method in ("GET", "POST", "PUT"):
        status, said, _ = call(rig, method, "nothing", {"command": "nothing"}, token=log_in(rig))
        assert (status, state(said)) == (404, ("E", 14))
    assert b"<title>Miner UI</title>" in rig.web(b"GET / HTTP/1.1\r\nHost: m\r\n\r\n")[2]
    assert rig.web(b"GET /mode HTTP/1.1\r\nHost: m\r\n\r\n")[0] == 404


@pytest.mark.parametrize("body", [b'{"command":', b"sleep=on", b"[1]", b"null", b"\xff"])
@pytest.mark.parametrize("path", ["token", *WRITES])
def test_a_body_that_is_no_json_object_is_an_error_and_changes_nothing(rig: Any, path: str, body: bytes) -> None:
    status, said, _ = call(rig, "POST", path, body, token=log_in(rig))
    assert (status, state(said)) == (200, ("E", 23))
    assert rig.unit.ran == []
    assert (rig.device.conf, rig.device.led, rig.device.password) == (FACTORY, LEDS[2], PASSWORD)
    assert call(rig, "POST", path, body, token="guess")[0] == (200 if path == "token" else 401)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
fields = st.dictionaries(
    st.sampled_from(["mode", "tune", "power", "ths", "sleep", "board", "frequency", "index", "percentage", "voltage",
                     "pools", "code", "led1", "msg", "parameter", "user", "old", "new", "ntp", "command"]),
    scalars | st.lists(scalars | st.dictionaries(st.sampled_from(["url", "user", "pass"]), scalars), max_size=3)
    | st.sampled_from(["custom", "power", "ths", "on", "off", "eco"]), max_size=5,
)  # fmt: skip


@QUICK
@given(path=st.sampled_from([*WRITES, "token", "x", ""]), asked=fields | st.binary(max_size=40))
def test_any_fields_with_a_token_are_answered_and_leave_the_reports_whole(
    bench: MakeBench, path: str, asked: Any
) -> None:
    rig = bench("auradine", "at2880")
    _, said, _ = call(rig, "POST", path, asked, token=log_in(rig))
    assert said["STATUS"][0]["STATUS"] in "SE"
    rig.device.password = PASSWORD
    for report in REPORTS:
        get(rig, report, rig.start + 60 * SECOND)
    assert all(setpoint is None or 0.3 < setpoint < 1.5 for _, _, setpoint in rig.unit.ran)


@QUICK
@given(data=st.binary(max_size=300), cut=st.integers(0, 300), port=st.sampled_from([80, 4028, 8080, 9]))
def test_any_bytes_raise_nothing_and_change_nothing(bench: MakeBench, data: bytes, cut: int, port: int) -> None:
    rig = bench("auradine", "at1500")
    talk = rig.device.converse(port, "127.0.0.1", rig.start)
    actions = [*talk.received(data[:cut], rig.start), *talk.received(data[cut:], rig.start + 1), *talk.ended(rig.start)]
    assert all(isinstance(action, Send | Close) and action.delay_ns >= 0 for action in actions)
    assert rig.unit.ran == []
    assert (rig.device.conf, rig.device.password) == (FACTORY, PASSWORD)
