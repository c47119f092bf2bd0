"""`ramprig doctor` on the machine that runs the tests, however busy it is: what it says, never how fast it was."""

from __future__ import annotations

import json
import os
import tty

import pytest

from bench.doctor import line
from bench.services import list_services
from tests.bench.small import ramprig

pytestmark = pytest.mark.system

SPREAD = {"count", "lost", "p50_ms", "p99_ms", "max_ms"}


def test_one_object_tells_the_machine_its_lateness_its_round_trips_and_every_service(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended = ramprig(capsys, "doctor", "--json", "--seconds", "2")
    assert ended.code == 0, ended.out
    assert ended.err == ""
    found = json.loads(ended.out)
    assert found["ok"] is True
    ids = [one["id"] for one in found["conditions"]]
    assert ids == [
        "software", "processors", "load", "frequency", "clock", "tick", "files", "loopback", "low-ports", "namespaces",
    ]  # fmt: skip
    assert {one["status"] for one in found["conditions"]} <= {"ok", "limited"}
    assert all(one["remedy"] for one in found["conditions"] if one["status"] == "limited")
    assert found["miners"] == 1000
    assert found["lateness"].keys() == {"idle", "serving"}
    assert found["lateness"]["idle"]["count"] > 50
    assert found["lateness"]["serving"]["count"] > 100
    assert found["round_trip"].keys() == {"meter", "miner"}
    assert found["round_trip"]["meter"]["count"] == 24, "20 a second for 1.2 s"
    assert found["round_trip"]["miner"]["count"] == 240
    (pty,) = found["serial"]
    assert (pty["port"], pty["format"], pty["problem"]) == ("pty", "9600 8N1", "")
    assert pty["late"]["count"] >= 5
    for one in (*found["lateness"].values(), *found["round_trip"].values(), pty["late"]):
        assert one.keys() == SPREAD
        assert one["lost"] == 0
        assert 0 < one["p50_ms"] <= one["p99_ms"] <= one["max_ms"]
    assert [gate["id"] for gate in found["gates"]] == ["lateness", "freeze"]
    assert found["validity"] == max(
        (gate["validity"] for gate in found["gates"]), key=["VALID", "SUSPECT", "VOID"].index
    )
    assert [one["service"] for one in found["services"]] == list(list_services())
    best = {"VALID": "yes", "SUSPECT": "only just", "VOID": "no"}[found["validity"]]
    order = ["no", "only just", "yes"]
    assert all(order.index(one["fit"]) <= order.index(best) for one in found["services"])


def test_people_get_tables_and_hear_what_is_being_done(capsys: pytest.CaptureFixture[str]) -> None:
    ended = ramprig(capsys, "doctor", "--seconds", "1", "--serial", "/dev/ramprig-none")
    assert ended.code == 0
    assert "a site of 1000 miners, served and polled" in ended.err
    assert "/dev/ramprig-none: there is no such port; plug it in, or name another one" in ended.out
    assert "timers late, with 1000 miners served and polled" in ended.out


def test_an_exchange_on_a_pty_never_ends_before_its_time() -> None:
    found = line.on_a_pty(0.2)
    assert found.problem == ""
    # 8 characters there, 9 back, 10 bits each at 9600 baud, and the meter's own turnaround of 10 ms
    assert found.exchange_ns == round(17 * 10 * 1e9 / 9600 + 10e6)
    assert found.late.lost == 0
    assert found.late.p50_ns > 0, "one that came early would be counted as none"


def test_a_port_without_a_plug_is_told_and_one_with_a_plug_is_measured() -> None:
    near, far = os.openpty()
    tty.setraw(far)
    try:
        silent = line.looped_back(os.ttyname(far), 0.1)
        assert silent.late.lost == 1
        assert "what was sent did not come back; join pins 2 and 3" in silent.problem
    finally:
        os.close(near)
        os.close(far)
