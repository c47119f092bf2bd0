"""What a rig may have beyond the plain site: a small power system, a pool, meters renewed at another pace."""

from __future__ import annotations

import tomllib
from typing import Any

import numpy as np
import pytest

from bench.config import ConfigError, validate
from bench.layout import lay_out
from bench.rig import Rig
from bench.rig_file import RigFile
from emulator.clock import Clock, run
from emulator.meters.product import list_products
from emulator.seed import Seed
from emulator.timeline import Signal
from emulator.wire import MILLISECOND, SECOND
from tests.bench.small import RIG


def small(**more: Any) -> RigFile:
    return validate({**tomllib.loads(RIG), **more}, RigFile, "rig.toml")


def shed_at_ten(file: RigFile, until_s: int = 60) -> Rig:
    """The small rig after every miner was put to sleep at 10 s, played until `until_s`."""

    async def main(clock: Clock) -> Rig:
        rig = Rig(lay_out(file, "rig.toml"), clock, Seed(1), 60.0)
        rig.play({"frequency": Signal.steps([(0, 60.0), (5 * SECOND, 59.5)])}, 0)
        rig.fleet.run(np.arange(len(rig.fleet)), "sleep", 10 * SECOND)
        await clock.sleep_until(until_s * SECOND)
        return rig

    return run(main)


def test_a_site_in_a_small_system_lifts_the_frequency_that_its_meter_shows_and_that_is_recorded() -> None:
    rig = shed_at_ten(small(system={"kinetic_energy": "2 MWs", "damping": "100 kW/Hz"}))
    shed_w = rig.nominal_w - rig.site.poi.power_w(60 * SECOND)
    lifted = 59.5 + shed_w / 100e3
    assert rig.grid.frequency_hz(9 * SECOND) == pytest.approx(59.5)
    assert rig.meters["meter-poi"].value("frequency_hz", 60 * SECOND) == pytest.approx(lifted, abs=0.005)
    observed = rig.grid.observed(60 * SECOND)["frequency"]
    assert observed.at(5 * SECOND - 1) == pytest.approx(60.0, abs=1e-6)
    assert observed.at(5 * SECOND) == pytest.approx(59.5, abs=1e-6)
    assert observed.at(60 * SECOND) == pytest.approx(lifted, abs=0.005)


def test_a_site_in_a_large_system_moves_nothing() -> None:
    rig = shed_at_ten(small())
    assert rig.grid.frequency_hz(60 * SECOND) == 59.5
    assert rig.grid.observed(60 * SECOND)["frequency"] is rig.grid.signals["frequency"]


def test_the_pool_sees_the_hash_rate_of_the_site_within_its_own_standard_error() -> None:
    file = small(pool=True)

    async def main(clock: Clock) -> Rig:
        await clock.sleep_until(3600 * SECOND)
        return Rig(lay_out(file, "rig.toml"), clock, Seed(1), 60.0)

    rig = run(main)
    seen = rig.pool_report(0, 3600 * SECOND)
    assert seen is not None
    true_ths = float(rig.fleet.hash_ths(0).sum())
    assert seen["shares"] == pytest.approx(18 * 60 * 8, rel=0.05)
    assert seen["hash_rate_ths"] == pytest.approx(true_ths, rel=4 / np.sqrt(seen["shares"]))
    assert dict.fromkeys(rig.layout.sorts().values()).keys() >= {"pool"}
    assert ("pool", "stratum", "127.88.253.1", "3333") in list(rig.endpoints())


def test_a_rig_without_a_pool_reports_none() -> None:
    assert shed_at_ten(small(), 11).pool_report(0, SECOND) is None


def test_a_rig_may_say_how_fast_its_meter_renews_a_group_of_values() -> None:
    plain, fast = small(), small(meter={"refresh": {"frequency": "40 ms"}})
    product, changed = (shed_at_ten(file, 11).meters["meter-poi"].refresh for file in (plain, fast))
    assert changed["frequency"].period_ns == changed["frequency"].window_ns == 40 * MILLISECOND
    assert changed["power"] == product["power"]
    assert product["frequency"].period_ns != 40 * MILLISECOND


def test_a_rig_may_say_where_a_meters_map_begins_and_how_the_installer_left_it() -> None:
    file = small(meter={"product": "sunspec_203", "base": 50000})
    rig = shed_at_ten(file, 11)
    meter = rig.meters["meter-poi"]
    assert meter.read_holding_registers(50000, 2, SECOND) == b"SunS"
    exponent = int.from_bytes(meter.read_holding_registers(50092, 1, SECOND), "big")
    assert 2 * rig.nominal_w / 10**exponent <= 32767 < 2 * rig.nominal_w / 10 ** (exponent - 1)
    clamped = shed_at_ten(small(meter={"product": "abb_b24", "settings": {"ct_primary": 400}}), 11)
    assert clamped.meters["meter-poi"].read_holding_registers(0x8C04, 2, SECOND) == (400).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("meter", "message"),
    [
        ({"product": "sunspec_203", "base": 1}, "meter.base: the map of sunspec_203 does not begin at 1; write one of"),
        ({"product": "abb_b23", "settings": {"ct_primary": 400}}, "meter.settings: unknown setting 'ct_primary'"),
        ({"product": "abb_b24", "settings": {"ct_primary": 0}}, "meter.settings: setting 'ct_primary': the meter does"),
        ({"product": "abb_b25"}, "meter.product: unknown meter 'abb_b25'; did you mean"),
    ],
)
def test_a_meter_that_cannot_be_so_is_named_in_the_rig_file(meter: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        lay_out(small(meter=meter), "rig.toml")
    assert f"rig.toml: {message}" in str(refused.value)


@pytest.mark.parametrize("product", list_products())
def test_every_meter_stands_in_a_rig_under_its_own_name(product: str) -> None:
    layout = lay_out(small(meter={"product": product}), "rig.toml")
    assert layout.inventory(1e6, 60.0)["meters"][0]["product"] == product
    assert layout.meters[0].product.id == product


AI = ({"id": "ai", "kind": "ai_training", "power": "4 kW", "outlet": "pdu-01.1"},)


def test_a_load_behind_an_outlet_is_told_is_cut_with_it_and_its_moves_are_kept() -> None:
    file = small(load=AI)
    told = lay_out(file, "rig.toml").inventory(1e5, 60.0)
    outlets = {outlet["id"]: outlet["loads"] for pdu in told["pdus"] for outlet in pdu["outlets"]}
    assert outlets.pop("pdu-01.1") == [{"id": "ai", "kind": "ai_training", "nominal_w": 4000.0}]
    assert not any(outlets.values())

    async def main(clock: Clock) -> None:
        rig = Rig(lay_out(file, "rig.toml"), clock, Seed(1), 60.0)
        load, outlet = rig.switched_loads["ai"], rig.site.outlets["pdu-01.1"]
        assert load.at(5 * SECOND) > 1000.0
        outlet.switch(False, 10 * SECOND)
        ((at, closed),) = load.moves
        assert 10 * SECOND <= at <= 10 * SECOND + 60 * MILLISECOND
        assert not closed
        assert load.at(at) == 0.0
        before, after = rig.site.poi.power_w(at - 1), rig.site.poi.power_w(at + 1)
        assert before - after > 1000.0

    run(main)


def test_a_load_on_a_feeder_goes_with_its_outlet_and_with_the_breaker() -> None:
    file = small(load=({**AI[0], "at": "feeder-1"},))

    async def main(clock: Clock) -> None:
        rig = Rig(lay_out(file, "rig.toml"), clock, Seed(1), 60.0)
        load, breaker = rig.switched_loads["ai"], rig.site.feeders["feeder-1"].breaker
        breaker.trip(5 * SECOND)
        breaker.close(8 * SECOND)
        rig.site.outlets["pdu-01.1"].switch(False, 10 * SECOND)
        assert [load.at(at * SECOND) > 1000.0 for at in (4, 7, 9, 11)] == [True, False, True, False]
        assert [closed for _, closed in load.moves] == [False, True, False]
        (counted,) = rig.site.feeders["feeder-1"].loads
        assert [counted.at(at * SECOND) for at in (4, 7, 9, 11)] == [load.at(at * SECOND) for at in (4, 7, 9, 11)]

    run(main)


def test_a_load_is_not_cut_by_an_outlet_of_another_feeder() -> None:
    (table,) = tomllib.loads(RIG)["feeder"]
    file = small(load=({**AI[0], "at": "other"},), feeder=[table, {**table, "id": "other"}])
    words = """'pdu-01.1' is on feeder "feeder-1" and the load is at "other"; write at = "feeder-1\""""
    with pytest.raises(ConfigError, match=words):
        lay_out(file, "rig.toml")


def test_an_outlet_that_is_not_there_is_named_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r"load\[0\].outlet: no outlet 'pdu-01.11' on this rig; did you mean"):
        lay_out(small(load=({**AI[0], "outlet": "pdu-01.11"},)), "rig.toml")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "solar", "points": (("0 s", "1 kW"),)}, "only a house load takes them"),
        ({"kind": "house", "points": (("9 s", "1 kW"), ("1 s", "2 kW"))}, "an instant lies before the one above it"),
    ],
)
def test_points_of_a_load_are_those_of_a_house_and_in_order(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        small(load=({"id": "l", "power": "1 kW", **change},))


def test_a_house_load_follows_its_points() -> None:
    points = (("0 s", "1 kW"), ("10 s", "1 kW"), ("20 s", "5 kW"))
    rig = shed_at_ten(small(load=({"id": "house", "kind": "house", "power": "1 kW", "points": points},)))
    assert sum(signal.at(15 * SECOND) for signal in rig.site.spec.loads.values()) == 3000.0


def test_a_commitment_beyond_all_that_the_site_draws_is_refused_and_a_load_beside_the_miners_counts() -> None:
    miners_w = sum(place.model.nominal_w for place in lay_out(small(), "rig.toml").miners)
    lay_out(small(commitment=f"{miners_w} W"), "rig.toml")
    more = f"{2 * miners_w / 1e3} kW"
    with pytest.raises(
        ConfigError, match=r"rig.toml: commitment: .* kW is more than all that stands on this rig draws"
    ):
        lay_out(small(commitment=more), "rig.toml")
    house: dict[str, Any] = {"id": "halls", "kind": "house", "power": f"{miners_w} W"}
    lay_out(small(commitment=more, load=[house]), "rig.toml")
    with pytest.raises(ConfigError, match="commitment"):
        lay_out(small(commitment=more, load=[{**house, "kind": "solar"}]), "rig.toml")
