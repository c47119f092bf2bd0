"""What a firmware believes of its miner: late, split over boards, and tied to the physics."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.seed import Seed
from emulator.wire import SECOND
from firmware_mocks.miners.antminer_stock import StockReadings
from firmware_mocks.miners.luxos_readings import LuxReadings, default_profile, ladder, watts_share
from firmware_mocks.miners.readings import Readings, character, chip_marks, clock_text

MakeBench = Callable[..., Any]


class Exact(Readings):
    """Readings of the stock windows without the noise of counting."""

    windows = StockReadings.windows


def step_response(bench: MakeBench, after_s: float) -> float:
    """Share of the true rate that the stock "5 s" average shows `after_s` after full power came on as a step."""
    made = bench("antminer-stock")
    on = made.start
    made.unit.hash_steps = [(0, 0.0), (on, 100.0)]
    made.device.reach(80, on)
    readings = Exact(made.device, on)
    return readings._exponential(on + round(after_s * SECOND), StockReadings.windows["5s"].span_ns or 0) / 100.0


@pytest.mark.parametrize(("after_s", "measured"), [(7, 0.26), (19, 0.55), (29, 0.60), (32, 0.64)])
def test_the_stock_short_average_is_as_slow_as_the_measured_one(
    bench: MakeBench, after_s: float, measured: float
) -> None:
    assert step_response(bench, after_s) == pytest.approx(measured, abs=0.08)


def test_a_steady_rate_is_shown_as_it_is_but_for_noise(bench: MakeBench) -> None:
    for name, readings in (("antminer-stock", StockReadings), ("luxos", LuxReadings)):
        made = bench(name)
        made.device.reach(80, made.start)
        rates = readings(made.device, made.start).rates_ths
        truth = made.unit.model.nominal_ths
        assert rates["5s"] == pytest.approx(truth, rel=0.08)
        assert rates["30m"] == pytest.approx(truth)
        assert rates["av"] == pytest.approx(truth)


def test_averages_are_renewed_every_five_seconds_and_not_between(bench: MakeBench) -> None:
    made = bench("antminer-stock")
    seen = [made.ask("summary", now=made.start + s * SECOND)["SUMMARY"][0]["GHS 5s"] for s in (0, 1, 4.9, 5, 9)]
    assert seen[0] == seen[1] == seen[2] != seen[3] == seen[4]


def test_what_happens_between_two_ticks_is_seen_at_the_next(bench: MakeBench) -> None:
    made = bench("luxos")
    made.unit.hash_steps.append((made.start + SECOND, 0.0))
    before, after = (made.ask("summary", now=made.start + s * SECOND)["SUMMARY"][0]["GHS 5m"] for s in (3, 6))
    assert before == 104_000.0
    assert after == pytest.approx(104_000 * (1 - 4 / 300))


def test_a_new_process_knows_nothing_of_the_work_before_it(bench: MakeBench) -> None:
    made = bench("luxos")
    sid = made.ask("logon")["SESSION"][0]["SessionID"]
    made.ask("resetminer", sid)
    row = made.ask("summary", now=made.start + 17 * SECOND)["SUMMARY"][0]
    assert row["Elapsed"] == 10
    assert row["GHS 5s"] == pytest.approx(104_000 * 0.63, rel=0.1)
    assert row["GHS 24h"] == row["GHS av"] == 104_000.0
    assert row["Accepted"] < 3


@given(st.integers(0, 2**63), st.integers(1, 6), st.integers(0, 6))
def test_board_shares_sum_to_the_whole_and_one_board_is_hottest(root: int, boards: int, fans: int) -> None:
    drawn = character(Seed(root), boards, fans)
    assert sum(drawn.board_share) == pytest.approx(1.0)
    assert max(drawn.board_heat) == 1.0
    assert min(drawn.board_heat) > 0.9


def test_units_differ_and_each_stays_itself() -> None:
    one, other = Seed(1) / "miner" / 1, Seed(1) / "miner" / 2
    assert character(one, 3, 4) != character(other, 3, 4)
    assert character(one, 3, 4) == character(Seed(1) / "miner" / 1, 3, 4)


def test_the_boards_of_a_unit_make_its_rate(bench: MakeBench) -> None:
    for name in ("antminer-stock", "luxos"):
        row = bench(name).ask("stats")["STATS"][1]
        boards = sum(float(row[f"chain_rate{n}"]) for n in (1, 2, 3))
        assert boards == pytest.approx(row["GHS 5s"], abs=0.05)
        assert row["chain_acn1"] == 126
        assert row["chain_acs1"].count("o") == 126


def test_shares_grow_with_the_work_done(bench: MakeBench) -> None:
    made = bench("antminer-stock")
    hour = 3600 * SECOND
    first, second = (made.ask("summary", now=made.start + after)["SUMMARY"][0]["Accepted"] for after in (0, hour))
    assert second - first == pytest.approx(104e12 * 3600 / (262144 * 2**32), rel=0.01)
    made.unit.sleeps(made.start + hour)
    assert made.ask("summary", now=made.start + 3 * hour)["SUMMARY"][0]["Accepted"] == second


@pytest.mark.parametrize("model_id", ["s19j_pro", "s19_xp", "s21", "s19k_pro"])
def test_the_ladder_rises_in_clock_voltage_rate_and_watts(bench: MakeBench, model_id: str) -> None:
    model = bench("luxos", model_id).unit.model
    rungs = ladder(model)
    assert [rung.step for rung in rungs] == list(range(-rungs.index(default_profile(model)), 9))
    assert len(rungs) == 25
    for low, high in pairwise(rungs):
        assert high.frequency_mhz == low.frequency_mhz + 25
        assert high.voltage_v >= low.voltage_v
        assert high.hash_ths > low.hash_ths
        assert high.watts > low.watts
    assert default_profile(model).watts == round(model.nominal_w)
    assert watts_share(model, model.frequency_mhz) == 1.0


def test_the_ladder_of_an_s19k_pro_is_the_captured_one(bench: MakeBench) -> None:
    captured = {
        190: (11.88, 784),
        390: (12.3, 1657),
        565: (13.35, 2637),
        590: (13.5, 2794),
        690: (14.1, 3461),
        790: (14.7, 4195),
    }
    by_clock = {rung.frequency_mhz: rung for rung in ladder(bench("luxos", "s19k_pro").unit.model)}
    for mhz, (volts, watts) in captured.items():
        assert by_clock[mhz].voltage_v == volts
        assert by_clock[mhz].watts == pytest.approx(
            watts * 2760 / 2794, abs=2
        )  # the unit's EEPROM against the nameplate


def test_small_words() -> None:
    assert chip_marks(7, 3) == " ooo ooo o"
    assert [clock_text(age) for age in (None, 7, 3671)] == ["0", "0:00:07", "1:01:11"]
