"""Limits of consumption: the operator's word, a failsafe when he is silent, and windows of local time."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from firmware_mocks.controllers.drivers import DispatchReading
from firmware_mocks.controllers.limits import Limits
from firmware_mocks.controllers.memory import Memory
from firmware_mocks.controllers.settings import ConfigError, load

NOMINAL_W = 100e3
CHICAGO = {"zone": "America/Chicago", "windows": ["2026-03-08T03:00/2026-03-08T03:15"], "lead_s": 60.0}


def limits(config: dict[str, object], utc: Callable[[], datetime] = lambda: datetime(2026, 1, 1, tzinfo=UTC)) -> Limits:
    settings = load(config)
    return Limits(settings.dispatch, settings.calendar, NOMINAL_W, utc)


def test_before_anything_was_heard_nothing_is_known() -> None:
    assert limits({}).setpoint_w(5.0) is None


def test_without_a_failsafe_the_last_word_holds_for_ever() -> None:
    one = limits({})
    one.hear(DispatchReading(60e3, 0, heartbeat=1), 0.0)
    assert one.setpoint_w(1e6) == 60e3


def test_a_silent_signal_gives_way_to_the_failsafe_and_comes_back() -> None:
    one = limits({"dispatch": {"dead_s": 30.0, "failsafe_share": 0.45}})
    one.hear(DispatchReading(math.inf, 0, heartbeat=1), 0.0)
    assert [one.setpoint_w(at) for at in (0.0, 29.9, 30.0)] == [math.inf, math.inf, 45e3]
    one.hear(DispatchReading(math.inf, 0, heartbeat=40), 40.0)
    assert one.setpoint_w(41.0) == math.inf


def test_a_heartbeat_that_stands_still_is_no_sign_of_life() -> None:
    one = limits({"dispatch": {"dead_s": 30.0}})
    for at_s in range(0, 40, 5):
        one.hear(DispatchReading(80e3, 0, heartbeat=7), float(at_s))
    assert one.setpoint_w(35.0) == 50e3


@pytest.mark.parametrize(
    ("at", "is_down"),
    [
        ("2026-03-08T07:58:59", False),
        ("2026-03-08T07:59:00", True),
        ("2026-03-08T08:14:59", True),
        ("2026-03-08T08:15:00", False),
        ("2026-03-08T09:05:00", False),
    ],
)
def test_a_window_is_of_the_clock_on_the_wall_the_day_it_is_changed(at: str, is_down: bool) -> None:
    one = limits({"calendar": CHICAGO}, lambda: datetime.fromisoformat(at).replace(tzinfo=UTC))
    one.hear(DispatchReading(70e3, 0), 0.0)
    assert one.setpoint_w(0.0) == (40e3 if is_down else 70e3)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"calendar": {"windows": ["tomorrow"]}}, "calendar.windows: .*write local times like"),
        ({"calendar": {"windows": ["2026-03-08T04:00/2026-03-08T03:00"]}}, "is no window"),
        ({"calendar": {"windows": "2026"}}, "write a list of texts"),
        ({"calendar": {"zone": "Texas"}}, 'calendar.zone = "Texas": no such time zone'),
        ({"trial": {"utc_at_start": "noon"}}, 'trial.utc_at_start = "noon": is no time'),
        ({"memory": {"file": 7}}, "memory.file = 7: write a text"),
        ({"dispatch": {"dead_s": 0}}, "dispatch.dead_s = 0: must be above 0"),
    ],
)
def test_what_cannot_be_is_said_with_its_remedy(config: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(config)


def test_memory_in_a_file_outlives_the_object(tmp_path: Path) -> None:
    file = tmp_path / "held.json"
    Memory(file).keep({"held": {"pdu-01.1": 3e3}})
    assert Memory(file).kept() == {"held": {"pdu-01.1": 3e3}}
    file.write_text("{")
    assert Memory(file).kept() is None


def test_memory_without_a_file_is_the_objects_own() -> None:
    memory = Memory(None)
    assert memory.kept() is None
    memory.keep({"a": 1})
    assert memory.kept() == {"a": 1}
    assert Memory(None).kept() is None
