"""Every product shows the physics within its class, its window and its resolution, over any fleet at any instant."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator import catalogue
from emulator.fleet import Fleet, MinerSpec
from emulator.grid import Grid
from emulator.meters.meter import Meter
from emulator.meters.product import list_products, load_product
from emulator.seed import Seed
from emulator.site import FeederSpec, OutletSpec, PduSpec, Site, SiteSpec, split
from emulator.timeline import Signal
from emulator.wire import MILLISECOND, SECOND
from tests.emulator.meters.physics import Truth, close, exponent, measured, shown

MODELS = ("s21", "s19j_pro", "s19k_pro")
LONGEST_S = 90


@st.composite
def sites(draw) -> Site:
    """A site of a few miners on two feeders whose outlets are switched at any time, on a grid that moves."""
    miners = draw(st.lists(st.sampled_from(MODELS), min_size=2, max_size=12))
    specs = [
        MinerSpec(f"m{i}", catalogue.model(name), catalogue.family("luxos")) for i, name in enumerate(miners)
    ]  # fmt: skip
    groups = split(range(len(specs)), 4)
    feeders = tuple(
        FeederSpec(f"f{n}", (PduSpec(f"p{n}", tuple(OutletSpec(f"p{n}.{i}", groups[2 * n + i]) for i in (0, 1))),))
        for n in (0, 1)
    )
    grid = Grid(60.0, 50_000.0)
    levels = draw(st.lists(st.floats(59.0, 61.0), min_size=2, max_size=4))
    gaps = draw(st.lists(st.integers(0, 30 * SECOND), min_size=len(levels) - 1, max_size=len(levels) - 1))
    instants = [0]
    for gap in gaps:
        instants.append(instants[-1] + gap)
    grid.play({"frequency": Signal(instants, levels)}, 0)
    site = Site(SiteSpec("any", feeders, idle_w=100.0), Fleet(specs, Seed(3)), grid, Seed(3))
    moves = st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, LONGEST_S * SECOND)), max_size=6)
    outlets = list(site.outlets.values())
    for index, closed, at in sorted(draw(moves), key=lambda move: move[2]):
        outlets[index].switch(closed, at)
    site.fleet.advance((LONGEST_S + 1) * SECOND)
    return site


@pytest.mark.parametrize("name", list_products())
@settings(deadline=None, max_examples=12)
@given(
    site=sites(),
    seed=st.integers(0, 2**32),
    phase=st.integers(0, SECOND),
    feeder=st.sampled_from([None, "f0", "f1"]),
    moments=st.lists(st.integers(0, LONGEST_S * SECOND), min_size=1, max_size=2),
    which_base=st.integers(0, 2),
)
def test_every_register_shows_the_physics(name, site, seed, phase, feeder, moments, which_base):
    product = load_product(name)
    base = product.bases[which_base % len(product.bases)]
    point = site.poi if feeder is None else site.feeders[feeder]
    meter = Meter(product, point, site.grid, phase, seed=Seed(seed), base=base, rated_w=site.nominal_w())
    for now in sorted(moments):
        truth = Truth(product, point, site.grid, phase, now)
        for table, row in measured(product):
            found, expected = shown(meter, table, row, base, now), truth(row.quantity)
            scale = row.scale * 10.0 ** exponent(meter, table, row, base, now)
            assert close(row, found, expected, scale), (row.quantity, row.address, found, expected)


def test_the_fast_blocks_of_the_acuvim_follow_a_step_twenty_and_a_hundred_milliseconds_later():
    grid = Grid(60.0, 1e6)
    grid.play({"frequency": Signal([0, 1005 * MILLISECOND, 1005 * MILLISECOND], [60.0, 60.0, 59.7])}, 0)

    class Point:
        def power_w(self, at):
            return 1e6

        def energy_j(self, start, stop):
            return 1e6 * (stop - start) / SECOND

        def voltage_v(self, at):
            return 240.0

    meter = Meter(load_product("accuenergy_acuvim_ii"), Point(), grid)
    rows = {row.address: row for row in meter.product.holding.rows}
    seen = {}
    for now in range(SECOND, 2 * SECOND, MILLISECOND):
        for address in (0x3000, 0x3400, 0x4000):
            if shown(meter, "holding", rows[address], 0, now) <= 59.85:
                seen.setdefault(address, now // MILLISECOND)
    assert seen == {0x3400: 1020, 0x3000: 1100, 0x4000: 1200}
