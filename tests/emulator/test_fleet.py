"""The fleet: closed forms, laws of energy, independence of miners, commands and mains."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator import catalogue
from emulator.catalogue import Phase
from emulator.fleet import Fleet, MinerSpec, MinerUnit
from emulator.seed import Seed

S = 1_000_000_000
MODELS = {
    "bitmain_stock": "s19j_pro", "luxos": "s21", "whatsminer": "m60s", "avalon": "a1566", "esp_miner": "bitaxe_gamma",
}  # fmt: skip


def fleet_of(*families: str, seed: int = 7) -> Fleet:
    specs = [
        MinerSpec(f"miner-{i}", catalogue.model(MODELS[name]), catalogue.family(name))
        for i, name in enumerate(families)
    ]
    return Fleet(specs, Seed(seed))


def rows(*index: int) -> np.ndarray:
    return np.array(index, dtype=np.int64)


commands = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["sleep", "wake", "restart", "reboot", "retune", "off", "on"]),
        st.integers(0, 2000),
        st.floats(0.4, 1.2),
    ),
    max_size=12,
)


def play(fleet: Fleet, plan: list[tuple[int, str, int, float]]) -> None:
    for row, what, after, setpoint in plan:
        at = after * S // 2
        if what in ("on", "off"):
            fleet.switch_mains(rows(row), what == "on", at)
        else:
            fleet.run(rows(row), what, at, setpoint=setpoint if what == "retune" else None)


@settings(deadline=None, max_examples=40)
@given(commands)
def test_energy_is_the_integral_of_power(plan: list[tuple[int, str, int, float]]) -> None:
    fleet = fleet_of("bitmain_stock", "luxos", "whatsminer")
    play(fleet, plan)
    fleet.advance(3000 * S)
    t = np.arange(0, 3000 * S, S // 5, dtype=np.int64)
    power = fleet.log.power_series(t)
    integral = float(np.trapezoid(power, t * 1e-9))
    exact = float(fleet.energy_j(int(t[-1])).sum())
    jumps = np.abs(np.diff(power)).sum() * 0.2
    assert integral == pytest.approx(exact, abs=jumps + 1e-6 * abs(exact))


@settings(deadline=None, max_examples=40)
@given(commands, st.lists(st.integers(0, 3000), max_size=6))
def test_asking_in_between_changes_nothing(plan: list[tuple[int, str, int, float]], asks: list[int]) -> None:
    asked, left_alone = (
        fleet_of("bitmain_stock", "luxos", "whatsminer"),
        fleet_of("bitmain_stock", "luxos", "whatsminer"),
    )
    for fleet in (asked, left_alone):
        play(fleet, plan)
    for at in sorted(asks):
        asked.power_w(at * S)
    t = np.arange(0, 3100 * S, S, dtype=np.int64)
    for fleet in (asked, left_alone):
        fleet.advance(3100 * S)
    np.testing.assert_array_equal(asked.log.power_series(t), left_alone.log.power_series(t))


@settings(deadline=None, max_examples=40)
@given(commands)
def test_adding_a_miner_changes_no_other(plan: list[tuple[int, str, int, float]]) -> None:
    small, large = fleet_of("luxos", "luxos", "luxos"), fleet_of("luxos", "luxos", "luxos", "whatsminer")
    for fleet in (small, large):
        play(fleet, plan)
    for at in range(0, 3000, 37):
        np.testing.assert_array_equal(small.power_w(at * S), large.power_w(at * S)[:3])


@settings(deadline=None, max_examples=40)
@given(commands)
def test_power_is_never_negative_and_zero_without_mains(plan: list[tuple[int, str, int, float]]) -> None:
    fleet = fleet_of("bitmain_stock", "luxos", "whatsminer")
    play(fleet, plan)
    for at in range(0, 1200, 7):
        power, phases = fleet.power_w(at * S), fleet.phases(at * S)
        assert (power >= -1e-6).all()
        assert (power[phases == Phase.OFF] == 0.0).all()
        assert (power < 6000).all()


def test_luxos_sleep_reaches_its_claim_within_five_seconds_and_fast_wake_within_ten() -> None:
    fleet = fleet_of(*["luxos"] * 100)
    everyone = np.arange(100)
    fleet.run(everyone, "sleep", 10 * S)
    assert np.median(fleet.power_w(15 * S)) < 60
    fleet.run(everyone, "wake_fast", 100 * S)
    assert np.median(fleet.power_w(110 * S)) > 0.95 * 3500


def test_a_stock_miner_needs_about_115_seconds_to_wake_and_comes_as_a_step() -> None:
    fleet = fleet_of(*["bitmain_stock"] * 50)
    everyone = np.arange(50)
    fleet.run(everyone, "sleep", 0)
    fleet.run(everyone, "wake", 200 * S)
    assert (fleet.power_w(290 * S) < 300).all()
    since = np.array([MinerUnit(fleet, i).mining_since_ns(400 * S) for i in range(50)]) - 200 * S
    assert 105 * S < np.median(since) < 125 * S
    after = fleet.power_w(int(200 * S + since[0] + 2 * S), rows(0))
    assert after[0] > 0.9 * 3068


def test_a_hash_rate_may_be_told_apart_from_the_power_and_otherwise_follows_the_presets() -> None:
    fleet = fleet_of("luxos", "luxos")
    before_ths, before_w = fleet.hash_ths(0), fleet.power_w(0)
    fleet.run(rows(0), "retune", 0, setpoint=0.8)
    fleet.run(rows(1), "retune", 0, setpoint=0.8, hash_share=0.5)
    assert fleet.power_w(100 * S) / before_w == pytest.approx([0.8, 0.8])
    assert fleet.hash_ths(100 * S) / before_ths == pytest.approx([0.8 ** (1 / 1.3), 0.5])


def test_an_avalon_wakes_in_a_minute_and_a_half_and_a_boot_wakes_it_too() -> None:
    fleet = fleet_of(*["avalon"] * 50)
    everyone = np.arange(50)
    fleet.run(everyone, "sleep", 0)
    assert (fleet.power_w(10 * S) < 60).all()
    fleet.run(everyone, "wake", 100 * S)
    assert (fleet.hash_ths(125 * S) == 0.0).all()
    assert np.median(fleet.power_w(190 * S)) > 0.98 * 3420
    fleet.run(everyone, "sleep", 300 * S)
    fleet.switch_mains(everyone, False, 400 * S)
    fleet.switch_mains(everyone, True, 410 * S)
    assert np.median(fleet.power_w(540 * S)) > 0.98 * 3420


def test_a_bitaxe_is_a_load_of_watts_that_ramps_as_its_clock_does() -> None:
    fleet = fleet_of(*["esp_miner"] * 50)
    everyone = np.arange(50)
    assert fleet.power_w(0).sum() == pytest.approx(50 * 19, rel=0.01)
    fleet.run(everyone, "sleep", 0)
    assert fleet.power_w(int(3.6 * S)).sum() == pytest.approx(50 * 19 * (1 - 0.81 / 2), rel=0.03)
    assert fleet.hash_ths(7 * S).sum() == pytest.approx(50 * 1.071 * 0.115, rel=0.1)
    assert fleet.power_w(8 * S) == pytest.approx(np.full(50, 2.0))
    fleet.run(everyone, "wake", 20 * S)
    assert (fleet.hash_ths(28 * S) == 0.0).all()
    assert fleet.power_w(30 * S).sum() == pytest.approx(50 * 19, rel=0.01)
    assert fleet.energy_j(3620 * S).sum() == pytest.approx(50 * 19 * 3600, rel=0.02)


def test_a_retune_of_a_whatsminer_collapses_before_it_settles() -> None:
    fleet = fleet_of("whatsminer")
    fleet.run(rows(0), "retune", 0, setpoint=0.95)
    at = np.arange(0, 60 * S, S // 2, dtype=np.int64)
    fleet.advance(400 * S)
    assert 900 < fleet.log.power_series(at).min() < 1300
    assert fleet.power_w(390 * S)[0] == pytest.approx(0.95 * fleet.power_w(-S)[0], rel=0.03)


def test_a_retune_while_a_miner_boots_changes_its_goal_and_not_its_boot() -> None:
    fleet, left_alone = fleet_of("luxos"), fleet_of("luxos")
    for one in (fleet, left_alone):
        one.switch_mains(rows(0), False, S)
        one.switch_mains(rows(0), True, 10 * S)
    fleet.run(rows(0), "retune", 50 * S, setpoint=0.8)
    np.testing.assert_array_equal(fleet.power_w(100 * S), left_alone.power_w(100 * S))
    assert MinerUnit(fleet, 0).phase(100 * S) is Phase.BOOT
    assert fleet.power_w(600 * S)[0] == pytest.approx(0.8 * left_alone.power_w(600 * S)[0])


def test_an_open_outlet_takes_the_api_away_and_a_closed_one_boots_the_miner() -> None:
    fleet = fleet_of("luxos")
    unit = MinerUnit(fleet, 0)
    fleet.switch_mains(rows(0), False, 10 * S)
    assert unit.powered_since_ns(11 * S) is None
    assert unit.power_w(11 * S) == 0.0
    fleet.run(rows(0), "wake", 12 * S)
    assert unit.phase(13 * S) is Phase.OFF
    fleet.switch_mains(rows(0), True, 20 * S)
    assert unit.powered_since_ns(21 * S) == 20 * S
    assert unit.api_since_ns(21 * S) == 50 * S
    assert unit.phase(400 * S) is Phase.HASHING


def test_sleep_survives_a_power_cycle_and_waking_forgets_it() -> None:
    fleet = fleet_of("luxos")
    unit = MinerUnit(fleet, 0)
    fleet.run(rows(0), "sleep", 0)
    fleet.switch_mains(rows(0), False, 10 * S)
    fleet.switch_mains(rows(0), True, 20 * S)
    assert unit.phase(300 * S) is Phase.SLEEP
    fleet.run(rows(0), "wake", 300 * S)
    fleet.switch_mains(rows(0), False, 500 * S)
    fleet.switch_mains(rows(0), True, 510 * S)
    assert unit.phase(900 * S) is Phase.HASHING


def test_a_sleep_accepted_just_before_the_mains_goes_is_obeyed_by_the_next_boot() -> None:
    fleet = fleet_of("bitmain_stock")
    fleet.run(rows(0), "sleep", 2 * S)
    fleet.switch_mains(rows(0), False, S)
    fleet.switch_mains(rows(0), True, 20 * S)
    assert MinerUnit(fleet, 0).phase(400 * S) is Phase.SLEEP


def test_a_mean_hash_rate_is_the_integral_of_work() -> None:
    fleet = fleet_of("luxos")
    unit = MinerUnit(fleet, 0)
    full = unit.hash_ths(0)
    fleet.run(rows(0), "sleep", 0)
    assert unit.mean_hash_ths(-10 * S, 0) == pytest.approx(full)
    assert unit.mean_hash_ths(100 * S, 160 * S) == pytest.approx(0.0, abs=1e-9)
    assert 0 < unit.mean_hash_ths(-5 * S, 5 * S) < full


def test_a_board_cools_as_a_first_order_lag_does_and_its_counter_never_steps_back() -> None:
    fleet = fleet_of("luxos")
    unit = MinerUnit(fleet, 0)
    warm, air = unit.temperature_c(0), unit.inlet_c(0)
    assert warm - air == pytest.approx(38.0 * unit.power_w(0) / unit.model.nominal_w)
    fleet.switch_mains(rows(0), False, S)
    for seconds in (10, 60, 180):
        rise = unit.temperature_c((1 + seconds) * S) - air
        assert rise == pytest.approx((warm - air) * np.exp(-seconds / 60.0), rel=1e-9)
    work = [unit.work_th(-100 * S, at * S) for at in range(2, 5000)]
    assert work == sorted(work)


def test_a_fleet_at_rest_has_nothing_to_do() -> None:
    fleet = fleet_of("luxos", "whatsminer")
    fleet.advance(3600 * S)
    assert fleet.log.size == 2


def test_an_unknown_script_names_the_known_ones() -> None:
    with pytest.raises(KeyError, match="has no script 'wake_fast'; it has boot, boot_asleep"):
        fleet_of("bitmain_stock").run(rows(0), "wake_fast", 0)


def test_an_empty_fleet_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one miner"):
        Fleet([], Seed(1))
