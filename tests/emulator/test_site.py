"""The electrical tree: sums, losses, contactors, and what must not be built."""

from __future__ import annotations

from operator import itemgetter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator import catalogue, loads
from emulator.fleet import INRUSH_TAU_S, Fleet, MinerSpec
from emulator.grid import Grid, SwingResponse
from emulator.seed import Seed
from emulator.site import COIL_W, FeederSpec, OutletSpec, PduSpec, Site, SiteSpec, split
from emulator.timeline import Signal

S = 1_000_000_000
MS = 1_000_000


def site_of(miners: int = 12, *, contactor: bool = True, outlets: int = 4) -> Site:
    specs = [MinerSpec(f"m{i}", catalogue.model("s21"), catalogue.family("luxos")) for i in range(miners)]
    groups = split(range(miners), outlets)
    half = outlets // 2
    feeders = tuple(
        FeederSpec(
            f"f{n}",
            (PduSpec(f"p{n}", tuple(OutletSpec(f"p{n}.{i}", g) for i, g in enumerate(part)), contactor=contactor),),
            loads={"fans": Signal.constant(500.0)},
        )
        for n, part in enumerate((groups[:half], groups[half:]))
    )
    spec = SiteSpec("test", feeders, idle_w=1000.0, loads={"house": loads.house(5000.0)})
    grid = Grid(60.0, 50_000.0)
    return Site(spec, Fleet(specs, Seed(3)), grid, Seed(3))


def test_the_site_is_the_sum_of_its_miners_with_losses() -> None:
    site = site_of()
    miners = float(site.fleet.power_w(0).sum())
    assert site.poi.power_w(0) == pytest.approx(1.01 * (1.015 * (miners + 1000.0) + 5000.0) + 1000.0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 300)), max_size=8))
def test_series_from_row_weights_equal_the_point_of_interconnection(moves: list[tuple[int, bool, int]]) -> None:
    site = site_of()
    outlets = list(site.outlets.values())
    for index, closed, at in moves:
        outlets[index].switch(closed, at * S)
    site.fleet.advance(400 * S)
    t = np.arange(0, 400 * S, 11 * S, dtype=np.int64)
    others_w = site.spec.idle_w + sum(gain * signal.sample(t) for signal, gain in site.loads())
    series = site.fleet.log.power_series(t, site.row_weights()) + others_w
    np.testing.assert_allclose(series, [site.poi.power_w(int(at)) for at in t], rtol=1e-9)
    others_j = t * (site.spec.idle_w * 1e-9) + sum(gain * signal.integrals(t) for signal, gain in site.loads())
    energy = site.fleet.log.energy_series(t, site.row_weights()) + others_j
    np.testing.assert_allclose(energy - energy[0], [site.poi.energy_j(0, int(at)) for at in t], rtol=1e-9, atol=1e-3)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 40)), max_size=6),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=12),
)
def test_energies_asked_for_again_and_again_are_those_of_a_site_that_is_asked_once(
    moves: list[tuple[int, bool, int]], spans: list[tuple[int, int]]
) -> None:
    def moved(until: int, site: Site, since: int) -> None:
        for index, closed, at in sorted(moves, key=itemgetter(2)):
            if since < at <= until:
                list(site.outlets.values())[index].switch(closed, at * S)

    site, now = site_of(), -1
    for start, stop in sorted((min(span), max(span)) for span in spans):
        moved(stop, site, now)
        now = max(now, stop)
        fresh = site_of()
        moved(now, fresh, -1)
        for name, feeder in site.feeders.items():
            expected = fresh.feeders[name].energy_j(start * S, stop * S)
            for _ in range(3):  # the first answer is a sum over miners, later ones are one closed form
                assert feeder.energy_j(start * S, stop * S) == pytest.approx(expected, rel=1e-12, abs=1e-6)


def test_a_contactor_follows_its_relay_after_its_own_delay() -> None:
    site = site_of()
    outlet = next(iter(site.outlets.values()))
    before = outlet.load_w(0)
    outlet.switch(False, S)
    assert not outlet.closed(S)
    assert outlet.load_w(S + outlet.open_ns - 1) == before
    assert outlet.load_w(S + outlet.open_ns) == 0.0
    assert 15 * MS < outlet.open_ns < 35 * MS


def test_an_outlet_with_a_contactor_carries_its_coil_and_one_without_its_miners() -> None:
    driven, direct = site_of(), site_of(contactor=False)
    coil, load = (next(iter(s.outlets.values())) for s in (driven, direct))
    assert coil.power_w(0) == COIL_W
    coil.switch(False, 10 * S)
    assert coil.energy_j(0, 20 * S) == pytest.approx(COIL_W * 10)
    assert load.power_w(0) == pytest.approx(load.load_w(0))


def test_switching_tells_the_listener_when_the_contacts_move() -> None:
    site = site_of()
    heard: list[tuple[int, int, bool]] = []
    site.on_mains = lambda at, rows, closed: heard.append((at, rows.size, closed))
    outlet = next(iter(site.outlets.values()))
    outlet.switch(False, S)
    outlet.switch(True, 5 * S)
    assert heard == [(S + outlet.open_ns, 3, False), (5 * S + outlet.close_ns, 3, True)]


def test_a_new_move_drops_what_was_planned_for_later() -> None:
    site = site_of()
    outlet = next(iter(site.outlets.values()))
    outlet.switch(False, S)
    outlet.switch(True, 10 * S)
    outlet.switch(False, 2 * S)
    assert not outlet.closed(20 * S)
    assert outlet.load_w(20 * S) == 0.0


def test_a_miner_on_two_outlets_or_on_none_is_refused() -> None:
    specs = [MinerSpec(f"m{i}", catalogue.model("s21"), catalogue.family("luxos")) for i in range(2)]
    fleet, grid = Fleet(specs, Seed(1)), Grid(60.0, 1.0)

    def tree(*groups: tuple[int, ...]) -> SiteSpec:
        outlets = tuple(OutletSpec(f"o{i}", group) for i, group in enumerate(groups))
        return SiteSpec("x", (FeederSpec("f", (PduSpec("p", outlets),)),))

    with pytest.raises(ValueError, match="fed twice"):
        Site(tree((0, 1), (1,)), fleet, grid, Seed(1))
    with pytest.raises(ValueError, match="1 miners hang on no outlet"):
        Site(tree((0,)), fleet, grid, Seed(1))


def test_a_profile_is_placed_on_the_axis_of_the_run() -> None:
    grid = Grid(60.0, 1e6)
    grid.play({"frequency": Signal.steps([(0, 60.0), (10 * S, 59.8)])}, at=100 * S)
    assert grid.frequency_hz(109 * S) == 60.0
    assert grid.frequency_hz(110 * S) == 59.8
    assert grid.mean_frequency_hz(109 * S, 111 * S) == pytest.approx(59.9)


def test_a_shedding_site_lifts_the_frequency_of_a_small_system_and_settles_by_its_damping() -> None:
    response = SwingResponse(60.0, 100e6, 5e6, lambda start, _stop: 0.0 if start < 10 * S else -1e6)
    assert response(10 * S) == 0.0
    assert 0.0 < response(11 * S) < 0.2
    assert response(200 * S) == pytest.approx(0.2, rel=1e-3)


def test_an_ai_job_alternates_between_its_levels_and_is_drawn_from_the_seed() -> None:
    signal = loads.ai_training(1e6, 60 * S, Seed(1) / "ai")
    values = signal.sample(np.arange(5 * S, 55 * S, S // 100))
    assert values.min() == pytest.approx(0.5e6)
    assert values.max() == pytest.approx(1e6)
    again = loads.ai_training(1e6, 60 * S, Seed(1) / "ai")
    np.testing.assert_array_equal(signal.t_ns, again.t_ns)
    with pytest.raises(ValueError, match="longer than their edges"):
        loads.ai_training(1e6, S, Seed(1), iteration_s=0.3)


def test_sun_and_wind_feed_in() -> None:
    sun = loads.solar(2e6, 6 * 3600 * S, 18 * 3600 * S)
    assert sun.at(12 * 3600 * S) == pytest.approx(-2e6)
    assert sun.at(0) == pytest.approx(0.0, abs=1e-6)
    assert (loads.wind(1e6, 3600 * S, Seed(2)).value <= 0.0).all()
    assert loads.cooling(Signal.constant(1e6)).at(0) == pytest.approx(5e4)


# ---- contactors, breakers, inrush ----------------------------------------------------------------------------------


def test_a_pulse_of_the_relay_shorter_than_the_contactors_delay_leaves_the_miners_on() -> None:
    site = site_of()
    outlet = next(iter(site.outlets.values()))
    before = outlet.load_w(0)
    outlet.switch(False, S)
    outlet.switch(True, S + outlet.open_ns - 1)
    site.fleet.advance(10 * S)
    assert outlet.load_w(10 * S) == before
    assert site.fleet.log.size == len(site.fleet)
    assert outlet.relay.closed_ns(0, 2 * S) == 2 * S - outlet.open_ns + 1
    outlet.switch(False, 20 * S)
    outlet.switch(True, 20 * S + outlet.open_ns)
    assert outlet.load_w(20 * S + outlet.open_ns) == 0.0
    assert outlet.load_w(20 * S + outlet.open_ns + outlet.close_ns) > 0.0


def test_a_breaker_takes_miners_and_loads_of_its_feeder_and_gives_them_back() -> None:
    site = site_of()
    heard: list[tuple[int, int, bool]] = []
    site.on_mains = lambda at, rows, closed: heard.append((at, rows.size, closed))
    branch, other = site.feeders["f0"], site.feeders["f1"]
    before, whole_w = other.power_w(0), site.poi.power_w(0)
    parts = branch.breaker.trip(10 * S)
    assert parts == 10 * S + branch.breaker.spec.open_ns
    assert branch.power_w(parts - 1) > 20_000.0
    assert branch.power_w(parts) == 0.0
    assert other.power_w(parts) == before
    assert site.poi.power_w(parts) < whole_w - 20_000.0
    meet = branch.breaker.close(20 * S)
    assert meet == 20 * S + branch.breaker.spec.close_ns
    assert branch.power_w(600 * S) > 20_000.0
    assert branch.energy_j(parts, meet) == 0.0
    assert heard == [(parts, 6, False), (meet, 6, True)]
    assert branch.voltage_v(15 * S) == 240.0


def test_the_recorders_loads_are_cut_as_the_meters_see_it() -> None:
    site = site_of()
    site.feeders["f0"].breaker.trip(10 * S)
    site.feeders["f0"].breaker.close(20 * S)
    site.fleet.advance(100 * S)
    t = np.arange(0, 100 * S, 7 * S, dtype=np.int64)
    others_w = site.spec.idle_w + sum(gain * signal.sample(t) for signal, gain in site.loads())
    series = site.fleet.log.power_series(t, site.row_weights()) + others_w
    np.testing.assert_allclose(series, [site.poi.power_w(int(at)) for at in t], rtol=1e-9)


def test_an_outlet_is_on_only_where_its_own_contacts_and_the_breaker_are() -> None:
    site = site_of()
    first, second = (site.outlets[f"p0.{i}"] for i in range(2))
    breaker = site.feeders["f0"].breaker
    first.switch(False, S)
    breaker.trip(10 * S)
    second.switch(False, 20 * S)
    first.switch(True, 30 * S)
    assert first.load_w(40 * S) == second.load_w(40 * S) == 0.0
    meet = breaker.close(50 * S)
    assert meet is not None
    assert first.load_w(meet) > 0.0
    assert second.load_w(600 * S) == 0.0


def staggered(miners: int = 12) -> Site:
    specs = [MinerSpec(f"m{i}", catalogue.model("s21"), catalogue.family("luxos")) for i in range(miners)]
    outlets = tuple(OutletSpec(f"p.{i}", g) for i, g in enumerate(split(range(miners), 4)))
    pdu = PduSpec("p", outlets, contactor=False, return_ns=2 * S, return_step_ns=3 * S)
    return Site(SiteSpec("staggered", (FeederSpec("f", (pdu,)),)), Fleet(specs, Seed(3)), Grid(60.0, 1.0), Seed(3))


def test_outlets_return_one_after_another_when_the_mains_come_back() -> None:
    site = staggered()
    breaker, outlets = site.feeders["f"].breaker, list(site.outlets.values())
    parts, meet = breaker.trip(10 * S), breaker.close(20 * S)
    assert parts is not None
    assert meet is not None
    assert [outlet.closed(parts) for outlet in outlets] == [False] * 4
    assert [list(outlet.mains.moves(meet)) for outlet in outlets] == [
        [(meet + (2 + 3 * n) * S, True)] for n in range(4)
    ]
    assert [bool(outlet.load_w(meet + 6 * S)) for outlet in outlets] == [True, True, False, False]
    assert outlets[0].voltage_v(15 * S) == 0.0


def test_a_second_trip_during_the_return_takes_back_what_had_not_returned() -> None:
    site = staggered()
    breaker, outlets = site.feeders["f"].breaker, list(site.outlets.values())
    breaker.trip(10 * S)
    meet = breaker.close(20 * S)
    assert meet is not None
    parts = breaker.trip(meet + 6 * S)
    assert parts is not None
    assert [len(outlet.mains.instants) for outlet in outlets] == [3, 3, 1, 1]
    assert site.feeders["f"].power_w(parts + 60 * S) == 0.0


def test_a_miner_that_gets_its_mains_draws_an_inrush_that_is_gone_in_ten_milliseconds() -> None:
    site = site_of(contactor=False)
    outlet = next(iter(site.outlets.values()))
    outlet.switch(False, S)
    outlet.switch(True, 10 * S)
    n = outlet.rows.size
    peak_w = n * 240.0 * site.spec.inrush_a / 2**0.5
    assert outlet.power_w(10 * S) == pytest.approx(n * 15.0 + peak_w)
    assert outlet.power_w(10 * S + 10 * MS) == pytest.approx(n * 15.0 + peak_w * np.exp(-4.0))
    assert outlet.power_w(11 * S) == pytest.approx(n * 15.0)
    extra_j = outlet.energy_j(10 * S, 11 * S) - n * 15.0
    assert extra_j == pytest.approx(peak_w * INRUSH_TAU_S)
    assert outlet.inrush_a(9 * S) == 0.0
    assert outlet.inrush_a(11 * S) == n * site.spec.inrush_a


moves = st.lists(
    st.tuples(st.sampled_from(["p0.0", "p0.1", "p1.0", "f0"]), st.booleans(), st.integers(1, 300)), max_size=10
)


@settings(deadline=None, max_examples=40)
@given(moves)
def test_outlets_sum_to_their_feeder_and_inrush_is_never_negative_and_all_in_the_energy(
    moves: list[tuple[str, bool, int]],
) -> None:
    site, calm = site_of(contactor=False), site_of(contactor=False)
    calm.fleet.inrush_w[:] = 0.0
    for one in (site, calm):
        for what, closed, at in sorted(moves, key=lambda move: move[2]):
            if what == "f0":
                (one.feeders[what].breaker.close if closed else one.feeders[what].breaker.trip)(at * S)
            else:
                one.outlets[what].switch(closed, at * S)
    end = 400 * S
    for name, branch in site.feeders.items():
        outlets_j = sum(outlet.energy_j(0, end) for outlet in branch.outlets)
        loads_j = sum(load.integral(0, end) for load in branch.loads)
        assert branch.energy_j(0, end) == pytest.approx(1.015 * (outlets_j + loads_j)), name
        closings = sum(outlet.rows.size * outlet.mains.closings(0, end) for outlet in branch.outlets)
        extra_j = branch.energy_j(0, end) - calm.feeders[name].energy_j(0, end)
        each_j = 240.0 * site.spec.inrush_a / 2**0.5 * INRUSH_TAU_S
        assert extra_j == pytest.approx(1.015 * closings * each_j, abs=1e-3)
        for at in range(0, 400, 13):
            assert branch.power_w(at * S) >= calm.feeders[name].power_w(at * S) - 1e-6
