"""MARA firmware: the digest, work modes, targets, maintenance, and when the miner follows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.catalogue import Phase
from emulator.wire import SECOND, Close, Reach, Send
from firmware_mocks.miners import mara
from firmware_mocks.miners.mara_conf import FACTORY

MakeBench = Callable[..., Any]
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ROOT = "root"
DONE = (200, {"error": False, "msg": "success"})


class Unit:
    """A caller who knows the password."""

    def __init__(self, made: Any) -> None:
        self.made = made

    def call(self, name: str, body: Any = None, now: float = 0, password: str = ROOT) -> tuple[int, Any, int]:
        at = int(self.made.start + now * SECOND)
        status, said, done = self.made.cgi(f"/kaonsu/v1/{name}", body, at, password=password)
        return status, said, done

    def get(self, name: str, now: float = 0) -> Any:
        return self.call(name, now=now)[1]

    def post(self, name: str, body: Any, now: float = 0) -> tuple[int, Any]:
        return self.call(name, body, now)[:2]

    def mode(self, mode: str, now: float = 0, **part: Any) -> tuple[int, Any]:
        return self.post("miner_config", {"mode": {"work-mode-selector": mode, **part}}, now)

    @property
    def scripts(self) -> list[tuple[str, float | None]]:
        return [(script, share) for script, _, share in self.made.unit.ran]


@pytest.fixture
def unit(bench: MakeBench) -> Unit:
    return Unit(bench("mara", "s21"))


def test_the_challenge_is_that_of_stock_and_names_md5(unit: Unit) -> None:
    status, headers, _, _ = unit.made.web(b"GET / HTTP/1.1\r\nHost: m\r\n\r\n")
    assert status == 401
    assert headers["www-authenticate"].startswith('Digest realm="antMiner Configuration"')
    assert headers["www-authenticate"].endswith("algorithm=MD5")


@pytest.mark.parametrize("name", mara.PAGES)
def test_every_page_is_behind_the_password(unit: Unit, name: str) -> None:
    assert unit.call(name)[0] == 200
    assert unit.call(name, password="guess")[0] == 401


def test_sleep_is_answered_first_and_carried_out_then(unit: Unit) -> None:
    status, said, done = unit.call("miner_config", {"mode": {"work-mode-selector": "Sleep"}})
    assert (status, said) == DONE
    assert unit.made.unit.ran == [("sleep", done, None)]
    unit.made.unit.now_phase = Phase.STOPPING
    assert unit.get("brief", 5)["status"] == "Stopping"
    unit.made.unit.sleeps(int(unit.made.start + 6 * SECOND))
    brief = unit.get("brief", 60)
    assert (brief["status"], brief["work_mode"], brief["power_consumption_estimated"]) == ("Sleep", "Sleep", 25.0)
    assert (brief["hashrate_ideal"], brief["hashrate_stock"]) == (0.0, 200.0)
    assert {fan["current_speed"] for fan in unit.get("fans", 60)["fans"]} == {0}
    assert {board["asic_num"] for board in unit.get("hashboards", 60)["hashboards"]} == {108}
    assert {board["frequency_avg"] for board in unit.get("details", 60)["hashboard_infos"]} == {0.0}


def test_the_mode_before_sleep_can_be_read_back(unit: Unit) -> None:
    unit.mode("Fixed")
    unit.mode("Sleep", 10)
    history = unit.get("log?type=miner_config_history", 20)
    changes = [change for entry in history for change in next(iter(entry.values()))]
    assert [(change["from"], change["to"]) for change in changes] == [("Auto", "Fixed"), ("Fixed", "Sleep")]
    assert {(change["type"], tuple(change["path"])) for change in changes} == {("update", ("Mode", "WorkModeSelector"))}
    assert unit.get("event_chart", 20)["event_flags"][-1]["message"] == "Work mode changed from Fixed to Sleep"
    assert unit.call("log")[0] == 404


def test_the_same_configuration_again_moves_nothing(unit: Unit) -> None:
    whole = unit.get("miner_config")
    assert unit.post("miner_config", whole) == DONE
    assert unit.get("miner_config") == whole
    unit.mode("Sleep")
    unit.mode("Sleep")
    assert unit.scripts == [("sleep", None)]


@pytest.mark.parametrize(
    ("mode", "part", "share"),
    [
        ("Stock", {}, 1.0),
        ("Auto", {"concorde": {"mode-select": "PowerTarget", "power-target": 2800}}, 0.8),
        ("Auto", {"concorde": {"mode-select": "Hashrate", "hash-target": 100}}, 0.5**1.3),
        ("Fixed", {"fixed": {"frequency": "242", "voltage": 13.8}}, 0.5),
        ("Fixed", {"fixed": {"frequency": "484", "voltage": 12.42}}, 0.81),
    ],
)
def test_a_mode_wakes_and_retunes_to_its_target(unit: Unit, mode: str, part: dict[str, Any], share: float) -> None:
    if share != 1.0:
        unit.mode(mode, **part)
        assert unit.scripts == [("retune", pytest.approx(share))]
    unit.mode("Sleep")
    unit.mode(mode, **part)
    assert unit.scripts[-1] == ("wake", pytest.approx(share))


def test_a_target_set_asleep_is_for_the_next_wake_up(unit: Unit) -> None:
    unit.mode("Sleep")
    unit.mode("Sleep", concorde={"power-target": 1750})
    unit.mode("Auto")
    assert unit.scripts == [("sleep", None), ("wake", 0.5)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": {"work-mode-selector": "Doze"}}, {"mode": {"work-mode-selector": ["Sleep"]}},
        {"mode": {"concorde": {"mode-select": "Percent"}}}, {"mode": {"concorde": {"power-target": 100}}},
        {"mode": {"concorde": {"power-target": "nan"}}}, {"mode": {"concorde": {"hash-target": 9e99}}},
        {"mode": {"fixed": {"frequency": "fast"}}}, {"mode": {"fixed": {"voltage": 99}}},
        {"general-config": {"environment-profile": "Lava"}}, {"advance-config": {"fan-fixed-percent": 101}},
        {"advance-config": {"override-fan-control": 1}}, {"pools": {}}, {"pools": [1]}, {"pools": [{"url": 1}]},
        {"pools": [{"url": "a", "gid": 7}]}, {"pool-group": [{"alias": "a", "percent": 101}]}, b"[]", b"{",
    ],
)  # fmt: skip
def test_a_configuration_that_makes_no_sense_is_refused_whole(unit: Unit, wrong: Any) -> None:
    status, said = unit.post("miner_config", wrong)
    assert (status, said["error"]) == (200, True)
    assert unit.made.device.conf == FACTORY
    assert unit.scripts == []


def test_pools_and_groups_are_kept_and_shown(unit: Unit) -> None:
    groups = [{"gid": 0, "alias": "a", "percent": 80}, {"gid": 1, "alias": "b", "percent": 20}]
    pools = [{"url": "stratum+tcp://x:1", "user": "me", "pass": "x", "gid": 1}]
    assert unit.post("miner_config", {"pool-group": groups, "pools": pools}) == DONE
    assert unit.get("miner_config")["pools"] == pools
    assert unit.get("miner_config")["pool-group"] == groups
    assert [pool["url"] for pool in unit.get("pools")] == ["stratum+tcp://x:1"]
    assert unit.made.ask("pools")["POOLS"][0]["Status"] == "Alive"
    assert unit.scripts == []


def test_maintenance_reboots_reloads_resets_and_changes_the_password(unit: Unit) -> None:
    assert unit.post("maintenance", {"type": "reload"}) == DONE
    assert unit.made.device.reach(4028, unit.made.start + 3 * SECOND) is Reach.REFUSES
    assert unit.get("brief", 20)["elapsed"] < 15
    assert unit.post("maintenance", {"type": "reboot"}, 20) == DONE
    assert unit.scripts == [("restart", None), ("reboot", None)]
    change = {"curPwd": "root", "newPwd": "new", "confirmPwd": "new"}
    assert unit.post("maintenance", {"type": "passwd", "params": change | {"confirmPwd": "root"}})[1]["error"]
    assert unit.post("maintenance", {"type": "passwd", "params": change | {"curPwd": "guess"}})[1]["error"]
    assert unit.post("maintenance", {"type": "passwd", "params": change}) == DONE
    assert unit.call("brief")[0] == 401
    assert unit.call("brief", password="new")[0] == 200
    assert unit.call("maintenance", {"type": "reset"}, password="new")[:2] == DONE
    assert unit.call("brief")[0] == 200
    assert unit.post("maintenance", {"type": "explode"})[1]["error"]


def test_a_reload_leaves_a_sleeper_asleep_and_a_reset_wakes_him(unit: Unit) -> None:
    unit.mode("Sleep")
    unit.post("maintenance", {"type": "reload"})
    unit.post("maintenance", {"type": "reset"})
    assert unit.scripts == [("sleep", None), ("wake", 1.0)]


def test_light_and_host_name(unit: Unit) -> None:
    assert unit.post("locate_miner", {"blinking": True}) == (200, {"blinking": True})
    assert unit.get("locate_miner") == {"blinking": True}
    assert unit.post("locate_miner", {"blinking": "yes"})[1]["error"]
    assert unit.post("network_config", {"hostname": "rack7"}) == DONE
    assert unit.get("network_config")["hostname"] == "rack7"
    assert unit.post("network_config", {"hostname": ""})[1]["error"]
    unit.made.unit.boots(int(unit.made.start + 60 * SECOND))
    assert unit.get("locate_miner", 70) == {"blinking": False}


def test_temperatures_carry_their_offsets(unit: Unit) -> None:
    for board in unit.get("hashboards")["hashboards"]:
        for raw, pcb, chip in zip(
            board["temperature_raw"], board["temperature_pcb"], board["temperature_chip"], strict=True
        ):
            assert (pcb - raw, chip - raw) == (pytest.approx(10), pytest.approx(15))
    assert unit.get("brief")["temperature_max"] == max(
        max(board["temperature_raw"]) for board in unit.get("hashboards")["hashboards"]
    )


def test_the_units_of_the_rates_differ_as_the_genuine_ones_do(unit: Unit) -> None:
    brief = unit.get("brief")
    assert brief["hashrate_realtime"] == pytest.approx(200, rel=0.05)
    assert brief["hashrate_ideal"] == pytest.approx(200_000)
    boards = unit.get("details")["hashboard_infos"]
    assert sum(board["hashrate_avg"] for board in boards) == pytest.approx(200_000, rel=0.001)
    chips = boards[0]["asic_infos"]
    assert len(chips) == 108
    assert sum(chip["hashrate_avg"] for chip in chips) == pytest.approx(boards[0]["hashrate_avg"], rel=0.001)


def test_the_socket_says_kaonsu_and_only_reads(unit: Unit) -> None:
    version = unit.made.ask("version")["VERSION"][0]
    assert (version["Type"], version["Model"]) == ("Antminer S21", "Antminer S21")
    assert "kaonsu" in json.dumps(version)
    for name in mara.REPORTS:
        assert unit.made.ask(name)["STATUS"][0]["STATUS"] == "S"
    assert unit.made.ask("devdetails")["STATUS"][0]["Code"] == 14


# ---- any bytes -------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(sorted({*mara.PAGES, *mara.WRITES, "log?type=miner_config_history", "log"}))
KEYS = st.sampled_from([
    "mode", "work-mode-selector", "concorde", "mode-select", "power-target", "hash-target", "fixed", "frequency",
    "voltage", "pools", "url", "user", "pass", "gid", "pool-group", "alias", "percent", "general-config",
    "environment-profile", "advance-config", "override-fan-control", "fan-fixed-percent", "blinking", "type", "params",
    "curPwd", "newPwd", "confirmPwd", "hostname",
])  # fmt: skip
WORDS = st.sampled_from(["Sleep", "Auto", "Fixed", "Stock", "Hashrate", "PowerTarget", "reboot", "reload", "reset"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | WORDS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
BODIES = st.binary(max_size=60) | st.dictionaries(KEYS, VALUES, max_size=4).map(lambda body: json.dumps(body).encode())


@QUICK
@given(name=NAMES, body=st.none() | BODIES)
def test_the_wrong_password_changes_nothing(bench: MakeBench, name: str, body: bytes | None) -> None:
    unit = Unit(bench("mara"))
    assert unit.call(name, body, password="guess")[0] == 401
    assert unit.scripts == []
    assert (unit.made.device.conf, unit.made.device.blinking, unit.made.device.password) == (FACTORY, False, "root")


@QUICK
@given(name=NAMES, body=BODIES)
def test_any_body_with_the_password_is_answered(bench: MakeBench, name: str, body: bytes) -> None:
    unit = Unit(bench("mara"))
    assert unit.call(name, body)[0] in (200, 404)
    for page in mara.PAGES:
        assert unit.call(page, now=1)[0] == 200
    for command in mara.REPORTS:
        assert unit.made.ask(command)["STATUS"][0]["STATUS"] == "S"


@QUICK
@given(pieces=st.lists(st.binary(max_size=200), max_size=4), port=st.sampled_from([80, 4028]))
def test_any_bytes_raise_nothing(bench: MakeBench, pieces: list[bytes], port: int) -> None:
    made = bench("mara")
    talk = made.device.converse(port, "127.0.0.1", made.start)
    for n, piece in enumerate([*pieces, None]):
        at = made.start + n * SECOND
        actions = talk.ended(at) if piece is None else talk.received(piece, at)
        assert all(isinstance(action, Send | Close) for action in actions)
    assert made.unit.ran == []
    assert made.device.conf == FACTORY
