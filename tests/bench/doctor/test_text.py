"""What the doctor says, from figures that are given."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from bench.doctor import machine, rule, text
from bench.doctor.line import TurnAround
from bench.doctor.machine import Condition, Status
from bench.doctor.session import Examination
from bench.doctor.spread import Spread
from bench.services import list_services, load_service

MS = 1_000_000
IDLE = Spread(1200, 60_000, 90_000, 910_000)
SERVING = Spread(960, 70_000, 440_000, 1_340_000)
TRIPS = {"meter": Spread(60, 510_000, 1_350_000, 1_350_000), "miner": Spread(600, MS, 2 * MS, 6 * MS, lost=1)}
PTY = TurnAround("pty", "9600 8N1", 27_708_333, Spread(23, 450_000, 4_040_000, 4_040_000))


def examination(**other: object) -> Examination:
    services = [load_service(name) for name in list_services()]
    found = Examination(
        conditions=(Condition("clock", "clock", "tells 1 ns apart"),),
        miners=1000,
        lateness={"idle": IDLE, "serving": SERVING},
        trips=TRIPS,
        serial=(PTY,),
        gates=rule.gates(SERVING),
        services=tuple(rule.judged(services, SERVING, TRIPS["meter"])),
    )
    return replace(found, **other)  # type: ignore[arg-type]


def said(found: Examination) -> list[str]:
    console = Console(width=140, file=io.StringIO(), force_terminal=False)
    text.printed(found, console)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_the_tables_have_a_line_for_everything_that_was_measured() -> None:
    lines = said(examination())
    assert "clock    tells 1 ns apart  ok" in lines
    words = [" ".join(line.split()) for line in lines]
    assert "timers late, bench idle 0.06 0.09 0.91 1200" in words
    assert "timers late, with 1000 miners served and polled 0.07 0.44 1.34 960" in words
    assert any(
        line.startswith("round trip: cgminer summary") and line.endswith("2.00 6.00 600, 1 lost") for line in words
    )
    assert any(line.startswith("serial line pty at 9600 8N1, beyond the 27.7 ms") for line in words)
    assert any(line.startswith("ercot_rrs_ffr 250 ms reach 33.") and line.endswith("yes") for line in words)
    assert {name for name in list_services() if not any(line.startswith(f"{name} ") for line in words)} == set()
    assert "a run in real time would be VALID here by its own gates:" in lines


def test_a_remedy_stands_below_the_table_and_a_silent_port_is_told() -> None:
    limited = Condition("low-ports", "ports below 1024", "cannot be bound", Status.LIMITED, "do this")
    silent = TurnAround("/dev/ttyS9", "9600 8N1", 8_333_333, problem="/dev/ttyS9: there is no such port")
    lines = said(examination(conditions=(limited,), serial=(PTY, silent)))
    assert "ports below 1024: do this" in lines
    assert "/dev/ttyS9: there is no such port" in lines
    assert not any(line.startswith("serial line /dev/ttyS9") for line in lines)


def test_without_what_every_run_needs_nothing_is_said_of_services_and_the_exit_code_is_1() -> None:
    missing = Condition("loopback", "127.0.0.0/8", "cannot be bound", Status.MISSING, "bring it up")
    found = Examination((missing,), 0, {}, {}, (), (), ())
    assert found.exit_code == 1
    lines = said(found)
    assert "127.0.0.0/8: bring it up" in lines
    assert lines[-1] == "something is missing that every run needs; nothing was measured"
    assert text.to_json(found)["ok"] is False


def test_what_is_only_limited_is_no_error() -> None:
    limited = Condition("load", "load", "9", Status.LIMITED, "wait")
    assert examination(conditions=(limited,)).exit_code == 0


def test_the_object_for_programs_has_every_figure_and_is_json() -> None:
    told = json.loads(json.dumps(text.to_json(examination())))
    assert told["schema"] == 1
    assert told["ok"] is True
    assert told["validity"] == "VALID"
    assert told["lateness"]["serving"] == {
        "count": 960, "lost": 0, "p50_ms": 0.07, "p99_ms": 0.44, "max_ms": 1.34,
    }  # fmt: skip
    assert told["round_trip"]["miner"]["lost"] == 1
    assert told["serial"][0]["late"]["p99_ms"] == 4.04
    assert {one["service"] for one in told["services"]} == set(list_services())
    ffr = next(one for one in told["services"] if one["service"] == "ercot_rrs_ffr")
    assert ffr["limit_s"] == 0.25
    assert ffr["times"] == pytest.approx(0.25 / ffr["doubt_s"])
    assert ffr["fit"] == "yes"


@pytest.mark.parametrize(("usable", "status"), [
    (150, Status.MISSING), (1024, Status.LIMITED), (20_000, Status.OK),
])  # fmt: skip
def test_open_files_are_told_in_connections_of_a_rig(usable: int, status: Status) -> None:
    found = machine.files(usable, usable, usable)
    assert found.status is status
    assert f"{usable - 128} connections at once in real time" in found.value
    assert bool(found.remedy) == (status is not Status.OK)


def test_an_early_duration_counts_as_none_and_an_empty_list_has_no_percentiles() -> None:
    assert Spread.of([-5, 10, 20]) == Spread(3, 10, 20, 20)
    assert Spread.of([], lost=2) == Spread(lost=2)
