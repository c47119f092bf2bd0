"""The three power knobs of WhatsMiner firmware as load: within a second, in minutes, through a collapse."""

from __future__ import annotations

import numpy as np
import pytest

from emulator import catalogue
from emulator.catalogue import Phase
from emulator.fleet import Fleet, MinerSpec, MinerUnit
from emulator.seed import Seed

S = 1_000_000_000
UNITS = 60


@pytest.fixture
def fleet() -> Fleet:
    family = catalogue.family("whatsminer")
    return Fleet([MinerSpec(f"m{n}", catalogue.model("m60s"), family) for n in range(UNITS)], Seed(5))


def everyone() -> np.ndarray:
    return np.arange(UNITS)


def shares(fleet: Fleet, at_s: float) -> np.ndarray:
    """Power as a share of each unit's own full power; no test gives a command before second 10."""
    return np.asarray(fleet.power_w(round(at_s * S)) / fleet.power_w(0))


def test_a_percentage_is_there_within_a_second_and_forgotten_without_mains(fleet: Fleet) -> None:
    fleet.run(everyone(), "trim", 10 * S, setpoint=0.6)
    assert (shares(fleet, 11.2) < 0.63).all()
    assert np.allclose(shares(fleet, 60), 0.6)
    fleet.switch_mains(everyone(), False, 100 * S)
    fleet.switch_mains(everyone(), True, 110 * S)
    assert np.allclose(shares(fleet, 7200), 1.0)


def test_a_control_board_that_reboots_by_itself_forgets_a_percentage(fleet: Fleet) -> None:
    fleet.run(everyone(), "trim", 10 * S, setpoint=0.6)
    fleet.run(everyone(), "reboot", 100 * S)
    assert np.allclose(shares(fleet, 7200), 1.0)


def test_a_limit_outlives_the_mains(fleet: Fleet) -> None:
    fleet.run(everyone(), "limit_down", 10 * S, setpoint=0.6)
    fleet.run(everyone(), "trim", 1000 * S, setpoint=0.5)
    fleet.switch_mains(everyone(), False, 1100 * S)
    fleet.switch_mains(everyone(), True, 1110 * S)
    assert np.allclose(shares(fleet, 9000), 0.6)


def test_the_gradual_knob_takes_minutes(fleet: Fleet) -> None:
    fleet.run(everyone(), "trim_slow", 10 * S, setpoint=0.6)
    assert (shares(fleet, 40) > 0.8).all()
    assert np.allclose(shares(fleet, 370), 0.6)


def settled_s(fleet: Fleet, goal: float, from_s: int, for_s: int) -> np.ndarray:
    """Seconds after `from_s` until each unit is within 5 % of its goal for good."""
    outside = np.array([np.abs(shares(fleet, from_s + n) / goal - 1.0) > 0.05 for n in range(for_s)])
    return for_s - np.argmax(outside[::-1], axis=0)


@pytest.mark.parametrize(
    ("script", "before", "after", "band_s"),
    [
        ("limit_down", 3500, 2500, (410, 460)),  # measured, three units each
        ("limit_floor", 3500, 1000, (22, 36)),
        ("limit_lift", 1000, 3500, (60, 90)),
        ("retune", 3000, 3500, (95, 130)),
    ],
)
def test_a_new_limit_enters_its_band_when_the_measured_miners_did(
    fleet: Fleet, script: str, before: float, after: float, band_s: tuple[float, float]
) -> None:
    fleet.run(everyone(), "trim", 10 * S, setpoint=before / 3500)
    fleet.run(everyone(), script, 1000 * S, setpoint=after / 3500)
    assert band_s[0] <= np.median(settled_s(fleet, after / 3500, 1000, 700)) <= band_s[1]
    held = np.abs(shares(fleet, 1003) / shares(fleet, 999) - 1.0)
    assert (held < 0.001).mean() > 0.9, "nothing happens for three seconds"


def test_power_off_is_gone_within_seconds_and_forgotten_after_an_outage(fleet: Fleet) -> None:
    fleet.run(everyone(), "sleep", 10 * S)
    assert (fleet.power_w(18 * S) < 100).all()
    assert (fleet.power_w(600 * S) < 31).all()
    fleet.switch_mains(everyone(), False, 700 * S)
    fleet.switch_mains(everyone(), True, 710 * S)
    assert (fleet.phases(5000 * S) == Phase.HASHING).all()


def test_a_service_that_does_not_start_leaves_a_feeder_dark_after_an_outage(fleet: Fleet) -> None:
    fleet.run(everyone()[:30], "init_off", 10 * S)
    assert np.allclose(shares(fleet, 60), 1.0), "for now it mines on"
    fleet.switch_mains(everyone(), False, 100 * S)
    fleet.switch_mains(everyone(), True, 110 * S)
    assert (fleet.phases(5000 * S)[:30] == Phase.SLEEP).all()
    assert (fleet.phases(5000 * S)[30:] == Phase.HASHING).all()
    fleet.run(everyone()[:30], "wake", 5000 * S)
    fleet.switch_mains(everyone(), False, 9000 * S)
    fleet.switch_mains(everyone(), True, 9010 * S)
    assert (fleet.phases(9400 * S)[:30] == Phase.SLEEP).all(), "a wake-up does not change that"


@pytest.mark.parametrize(
    ("suffix", "full_s"), [("_fast", (35, 75)), ("_quick", (350, 430)), ("_medium", (480, 600)), ("", (900, 2600))]
)
def test_a_start_takes_as_long_as_its_speed(fleet: Fleet, suffix: str, full_s: tuple[float, float]) -> None:
    fleet.run(everyone(), "sleep", 10 * S)
    fleet.run(everyone(), f"wake{suffix}", 600 * S)
    reached = [n for n in range(3000) if np.median(shares(fleet, 600 + n)) > 0.97]
    assert full_s[0] <= reached[0] <= full_s[1]
    assert MinerUnit(fleet, 0).phase(4000 * S) is Phase.HASHING
