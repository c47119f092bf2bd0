"""Faults of the hardware: reboots, deaf firmware, welded contacts, tripped feeders, each at its own instant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator import catalogue
from emulator.catalogue import Phase
from emulator.clock import Clock, run
from emulator.faults import Fault, FaultPlan, Value
from emulator.faulty_site import FaultyMiner, FaultyOutlet, apply_site_faults, miner_unit, outlet_port
from emulator.fleet import Fleet, MinerSpec, MinerUnit
from emulator.grid import Grid
from emulator.seed import Seed
from emulator.site import COIL_W, FeederSpec, OutletSpec, PduSpec, Site, SiteSpec
from emulator.wire import Instant

S = 1_000_000_000
MS = 1_000_000


def site_of(miners: int = 8, *, contactor: bool = True, seed: int = 3) -> Site:
    """Two feeders with a PDU each, two outlets a PDU, miners dealt in order."""
    specs = [MinerSpec(f"miner-{i}", catalogue.model("s21"), catalogue.family("luxos")) for i in range(miners)]
    groups = np.array_split(np.arange(miners), 4)
    feeders = tuple(
        FeederSpec(
            f"feeder-{n}",
            (
                PduSpec(
                    f"pdu-{n}",
                    tuple(OutletSpec(f"pdu-{n}.{i}", tuple(groups[2 * n + i].tolist())) for i in range(2)),
                    contactor=contactor,
                ),
            ),
        )
        for n in range(2)
    )
    return Site(SiteSpec("test", feeders), Fleet(specs, Seed(seed)), Grid(60.0, 1e6), Seed(seed))


def play(
    site: Site, plan: FaultPlan, *acts: tuple[Instant, Callable[[Instant], None]], until: Instant = 600 * S
) -> list[str]:
    """Run the plan in virtual time with `acts` at their instants; what was heard, as text."""
    heard: list[str] = []

    async def main(clock: Clock) -> None:
        hook = lambda now, fault, target: heard.append(f"{now / S:g} s {fault.kind} {target}")  # noqa: E731
        apply_site_faults(plan, clock, site.fleet, site, hook)
        for at, act in acts:
            clock.call_at(at, act, at)
        await clock.sleep_until(until)

    run(main)
    site.fleet.advance(until)
    return heard


def plan_of(*faults: Fault, seed: int = 1) -> FaultPlan:
    return FaultPlan(faults, Seed(seed))


# ---- miners --------------------------------------------------------------------------------------------------------


def test_a_miner_reboots_by_itself() -> None:
    site = site_of()
    heard = play(site, plan_of(Fault("miner-[12]", "miner_reboot", 30 * S)))
    assert heard == ["30 s miner_reboot miner-1", "30 s miner_reboot miner-2"]
    phases = site.fleet.phases(60 * S)
    assert [i for i in range(8) if phases[i] != Phase.HASHING] == [1, 2]
    assert (site.fleet.phases(600 * S) == Phase.HASHING).all()


def test_a_part_of_the_fleet_reboots_each_at_its_own_instant_and_adding_miners_changes_no_other() -> None:
    fault = Fault("*", "miner_reboot", 30 * S, parameters={"probability": 0.5, "spread_ns": 20 * S})
    few, many = play(site_of(40), plan_of(fault)), play(site_of(60), plan_of(fault))
    assert 8 < len(few) < 32
    assert len({line.split()[0] for line in few}) == len(few)
    assert few == [line for line in many if int(line.rpartition("-")[2]) < 40]
    assert few == play(site_of(40), plan_of(Fault("feeder-1", "feeder_trip", 900 * S), fault))
    assert few != play(site_of(40), plan_of(fault, seed=2))


def test_a_deaf_miner_takes_commands_and_does_nothing() -> None:
    fleet = site_of().fleet
    plan = plan_of(Fault("miner-1", "ignore_commands", 10 * S, 20 * S, {"scripts": "sleep re*"}))
    told: list[str] = []
    unit = miner_unit(plan, fleet, 1, lambda now, fault, target: told.append(f"{now // S} {fault.kind} {target}"))
    assert isinstance(unit, FaultyMiner)
    assert type(miner_unit(plan, fleet, 2)) is MinerUnit
    unit.run("sleep", 12 * S)
    unit.run("reboot", 13 * S)
    assert unit.phase(19 * S) is Phase.HASHING
    assert told == ["12 ignore_commands miner-1", "13 ignore_commands miner-1"]
    unit.run("sleep", 20 * S)
    assert unit.phase(100 * S) is Phase.SLEEP
    unit.run("wake", 100 * S)
    assert unit.phase(300 * S) is Phase.HASHING


def test_a_deaf_miner_hears_what_the_fault_does_not_name() -> None:
    fleet = site_of().fleet
    unit = miner_unit(plan_of(Fault("*", "ignore_commands", parameters={"scripts": "wake*"})), fleet, 0)
    unit.run("sleep", S)
    unit.run("wake", 100 * S)
    assert unit.phase(500 * S) is Phase.SLEEP


def test_slow_hardware_follows_the_firmware_late() -> None:
    fleet = site_of().fleet
    fault = Fault("*", "slow_commands", 0, 50 * S, {"scripts": "sleep", "delay_ns": 60 * S})
    unit = miner_unit(plan_of(fault), fleet, 0)
    unit.run("sleep", 10 * S)
    assert unit.phase(69 * S) is Phase.HASHING
    assert unit.hash_ths(69 * S) > 100
    assert unit.phase(100 * S) is Phase.SLEEP
    unit.run("wake", 100 * S)
    assert unit.phase(101 * S) is not Phase.SLEEP


def test_a_limit_below_the_floor_is_taken_and_stops_at_the_floor() -> None:
    fleet, told = site_of().fleet, list[str]()
    plan = plan_of(Fault("*", "clamped_limit", parameters={"floor": 0.7}))
    unit = miner_unit(plan, fleet, 0, lambda now, fault, target: told.append(fault.kind))
    full_w = unit.power_w(0)
    for share, kept in ((0.8, 0.8), (0.5, 0.7), (0.7, 0.7)):
        unit.run("retune", S, setpoint=share)
        assert unit.setpoint(200 * S) == kept
    assert unit.power_w(400 * S) == pytest.approx(0.7 * full_w, rel=0.01)
    assert told == ["clamped_limit"]
    unit.run("sleep", 500 * S)
    assert unit.phase(600 * S) is Phase.SLEEP


def test_a_miner_wakes_or_sleeps_by_itself_unless_it_is_so_already() -> None:
    site = site_of()
    plan = plan_of(
        Fault("miner-[01]", "miner_acts", 100 * S),
        Fault("miner-[23]", "miner_acts", 100 * S, parameters={"script": "sleep", "spread_ns": 10 * S}),
        Fault("miner-4", "miner_acts", 100 * S, parameters={"script": "restart"}),
    )
    heard = play(site, plan, (S, lambda at: MinerUnit(site.fleet, 0).run("sleep", at)))
    assert [line.partition(" s ")[2] for line in heard if "miner-0" in line] == ["miner_acts miner-0"]
    assert sorted(line.rpartition(" ")[2] for line in heard) == ["miner-0", "miner-2", "miner-3", "miner-4"]
    asleep = [i for i in range(8) if site.fleet.phases(99 * S)[i] == Phase.SLEEP]
    assert asleep == [0]
    assert site.fleet.phases(103 * S)[4] != Phase.HASHING
    assert [i for i in range(8) if site.fleet.phases(600 * S)[i] == Phase.SLEEP] == [2, 3]


@pytest.mark.parametrize("kind", ["slow_commands", "clamped_limit", "miner_acts", "ignore_commands"])
def test_hardware_faults_of_probability_zero_are_no_faults(kind: str) -> None:
    still, other = site_of(), site_of()
    plan = plan_of(Fault("*", kind, parameters={"probability": 0.0}))
    acts = [(S, "retune", 0.4), (100 * S, "sleep", None), (200 * S, "wake", 1.0)]
    for site, faults in ((still, plan_of()), (other, plan)):
        assert play(site, faults) == []
        for at, script, share in acts:
            for row in range(8):
                miner_unit(faults, site.fleet, row).run(script, 600 * S + at, setpoint=share)
        site.fleet.advance(1200 * S)
    for at in range(600, 1200, 7):
        assert (still.fleet.power_w(at * S) == other.fleet.power_w(at * S)).all()


# ---- outlets -------------------------------------------------------------------------------------------------------


def test_an_outlet_opens_by_itself_and_closes_again() -> None:
    site = site_of()
    heard = play(site, plan_of(Fault("pdu-0.1", "outlet_opens", 10 * S, 20 * S)))
    assert heard == ["10 s outlet_opens pdu-0.1", "20 s outlet_opens pdu-0.1"]
    outlet = site.outlets["pdu-0.1"]
    assert [outlet.closed(at) for at in (10 * S - 1, 10 * S, 20 * S)] == [True, False, True]
    assert outlet.load_w(15 * S) == 0.0
    assert outlet.load_w(600 * S) > 6000.0
    assert site.outlets["pdu-0.0"].load_w(15 * S) > 6000.0


def test_a_pdu_stands_for_its_outlets() -> None:
    heard = play(site_of(), plan_of(Fault("pdu-1", "outlet_opens", 10 * S)))
    assert heard == ["10 s outlet_opens pdu-1.0", "10 s outlet_opens pdu-1.1"]


@pytest.mark.parametrize("contactor", [True, False])
def test_a_welded_contact_does_not_follow_its_relay(contactor: bool) -> None:
    site = site_of(contactor=contactor)
    inner = site.outlets["pdu-0.0"]
    outlet = outlet_port(plan_of(Fault("pdu-0", "outlet_welded", 5 * S, 30 * S)), inner, "pdu-0", contactor=contactor)
    assert isinstance(outlet, FaultyOutlet)
    load = inner.load_w(0)
    outlet.switch(False, 10 * S)
    assert not outlet.closed(10 * S)
    assert outlet.closed(10 * S - 1)
    assert inner.load_w(20 * S) == load
    assert outlet.power_w(20 * S) == (0.0 if contactor else load)
    assert outlet.energy_j(8 * S, 12 * S) == pytest.approx(2 * COIL_W if contactor else 4 * load)
    assert outlet.voltage_v(20 * S) == inner.voltage_v(20 * S)
    outlet.switch(False, 40 * S)  # after the fault: the same command works
    assert not outlet.closed(41 * S)
    assert inner.load_w(41 * S) == 0.0


def test_closing_a_welded_contact_leaves_no_trace_at_the_miners() -> None:
    site = site_of()
    inner = site.outlets["pdu-0.0"]
    outlet = outlet_port(plan_of(Fault("pdu-0.0", "outlet_welded")), inner, "pdu-0")
    outlet.switch(False, 10 * S)
    outlet.switch(True, 20 * S)
    assert [outlet.closed(at) for at in (5 * S, 10 * S, 20 * S - 1, 20 * S)] == [True, False, False, True]
    assert site.fleet.log.size == len(site.fleet)
    other = outlet_port(plan_of(Fault("pdu-1", "outlet_welded")), inner, "pdu-0")
    assert other is inner


def test_a_relay_that_does_not_follow_reads_as_it_stands_and_obeys_later() -> None:
    site, heard = site_of(), []
    inner = site.outlets["pdu-0.0"]
    plan = plan_of(Fault("pdu-0", "outlet_ignores", 5 * S, 30 * S))
    outlet = outlet_port(plan, inner, "pdu-0", heard=lambda at, fault, target: heard.append((at, fault.kind, target)))
    load = inner.load_w(0)
    outlet.switch(False, 10 * S)
    assert outlet.closed(20 * S)
    assert outlet.power_w(20 * S) == inner.power_w(20 * S)
    assert inner.load_w(20 * S) == load
    outlet.switch(False, 30 * S)
    assert not outlet.closed(31 * S)
    assert heard == [(10 * S, "outlet_ignores", "pdu-0.0")]


def test_a_slow_relay_reads_as_it_stands_until_it_moves() -> None:
    site = site_of()
    outlet = outlet_port(
        plan_of(Fault("pdu-0.0", "outlet_slow", parameters={"delay_ns": 2 * S})), site.outlets["pdu-0.0"], "pdu-0"
    )
    outlet.switch(False, 10 * S)
    assert [outlet.closed(at) for at in (10 * S, 12 * S - 1, 12 * S)] == [True, True, False]
    both = plan_of(Fault("pdu-0", "outlet_slow", parameters={"delay_ns": S}), Fault("pdu-0", "outlet_welded"))
    slow = outlet_port(both, site.outlets["pdu-0.1"], "pdu-0")
    load = site.outlets["pdu-0.1"].load_w(0)
    slow.switch(False, 10 * S)
    assert [slow.closed(at) for at in (11 * S - 1, 11 * S)] == [True, False]
    assert site.outlets["pdu-0.1"].load_w(20 * S) == load


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=8), st.booleans())
def test_a_weld_of_probability_zero_or_another_time_is_no_weld(moves: list[tuple[int, bool]], never: bool) -> None:
    parameters: dict[str, Value] = {"probability": 0.0} if never else {}
    fault = Fault("*", "outlet_welded", 0 if never else 100 * S, parameters=parameters)
    plain, faulty = site_of(), site_of()
    outlet = outlet_port(plan_of(fault), faulty.outlets["pdu-0.0"], "pdu-0")
    for at, closed in sorted(moves, key=lambda move: move[0]):
        plain.outlets["pdu-0.0"].switch(closed, at * S)
        outlet.switch(closed, at * S)
    for at in range(0, 80 * S, 7 * S):
        assert outlet.closed(at) == plain.outlets["pdu-0.0"].closed(at)
        assert outlet.power_w(at) == plain.outlets["pdu-0.0"].power_w(at)
    assert outlet.energy_j(0, 80 * S) == plain.outlets["pdu-0.0"].energy_j(0, 80 * S)


# ---- feeders -------------------------------------------------------------------------------------------------------


def test_a_feeder_trips_and_comes_back() -> None:
    site = site_of()
    moved: list[tuple[Instant, list[int], bool]] = []
    site.on_mains = lambda at, rows, closed: moved.append((at, sorted(rows.tolist()), closed))
    heard = play(site, plan_of(Fault("feeder-1", "feeder_trip", 10 * S, 100 * S)))
    assert heard == ["10 s feeder_trip feeder-1", "100 s feeder_trip feeder-1"]
    assert moved == [(10 * S, [4, 5, 6, 7], False), (100 * S, [4, 5, 6, 7], True)]
    assert site.feeders["feeder-1"].power_w(50 * S) == 0.0
    assert site.feeders["feeder-0"].power_w(50 * S) > 12_000.0
    assert site.feeders["feeder-1"].power_w(600 * S) > 12_000.0


def test_an_outlet_that_closes_below_an_open_breaker_gives_no_mains() -> None:
    site = site_of()
    first, second = site.outlets["pdu-1.0"], site.outlets["pdu-1.1"]
    play(
        site,
        plan_of(Fault("feeder-1", "feeder_trip", 10 * S, 100 * S)),
        (20 * S, lambda at: first.switch(False, at)),
        (30 * S, lambda at: first.switch(True, at)),
        (40 * S, lambda at: second.switch(False, at)),
    )
    assert first.load_w(60 * S) == second.load_w(60 * S) == 0.0
    assert first.load_w(600 * S) > 6000.0  # its relay was closed when the breaker closed
    assert second.load_w(600 * S) == 0.0  # its relay was not


@settings(deadline=None, max_examples=15)
@given(st.lists(st.sampled_from(["miner_reboot", "outlet_opens", "feeder_trip"]), max_size=4))
def test_site_faults_of_probability_zero_are_no_faults(kinds: list[str]) -> None:
    plain, faulty = site_of(), site_of()
    play(plain, plan_of(), until=30 * S)
    heard = play(
        faulty, plan_of(*[Fault("*", kind, S, parameters={"probability": 0.0}) for kind in kinds]), until=30 * S
    )
    assert heard == []
    assert plain.fleet.log.size == faulty.fleet.log.size
    assert plain.poi.energy_j(0, 30 * S) == faulty.poi.energy_j(0, 30 * S)


def test_nothing_is_left_running_when_the_run_ends_early() -> None:
    async def main(clock: Clock) -> None:
        site = site_of()
        apply_site_faults(plan_of(Fault("*", "miner_reboot", 900 * S)), clock, site.fleet, site)
        await clock.sleep(S)
        assert len(asyncio.all_tasks()) == 1

    run(main)
