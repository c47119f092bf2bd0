"""The reference controller, unchanged, against a whole emulated site in virtual time.

The site: 8 stock Antminers and 8 LuxOS machines, two behind each of eight contactors; it has sold 20 kW of about 53 kW.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from bench.config import validate
from bench.layout import lay_out
from bench.rig import Rig
from bench.rig_file import RigFile
from emulator.catalogue import Phase
from emulator.clock import Clock, run
from emulator.seed import Seed
from emulator.timeline import Signal
from emulator.wire import SECOND, Action, Conversation, Device, Reach
from firmware_mocks.controllers import drivers, reference
from firmware_mocks.controllers.faulty import (
    no_retry,
    restores_all_at_once,
    returns_early,
    skips_ten_percent,
    sleeps_where_contactor_needed,
    slow_poll,
)

SOLD_W = 20e3
SITE: Mapping[str, Any] = {
    "schema": 1,
    "name": "small",
    "commitment": "20 kW",
    "network": {"subnet": "127.77.0.0/16"},
    "feeder": (
        {
            "id": "stock",
            "pdu": {"count": 1},
            "miners": ({"model": "S19j Pro", "firmware": "antminer-stock", "count": 8},),
        },
        {"id": "lux", "pdu": {"count": 1}, "miners": ({"model": "S21", "firmware": "luxos", "count": 8},)},
    ),
}
POLL: Mapping[str, Any] = {"meter_s": 0.1, "dispatch_s": 1.0}
UFR: Mapping[str, Any] = {"frequency": {"trip_hz": 59.70}, "return": {"stage_share": 0.2}, "poll": POLL}
DISPATCH: Mapping[str, Any] = {"frequency": {"follow": False}, "return": {"stage_share": 0.2}, "poll": POLL}
NO_CONTACTOR: Mapping[str, Any] = {**UFR, "paths": {"allowed": ["firmware"]}}
ZERO_S = 10.0

Points = Sequence[tuple[float, float]]


class Bench:
    """A running site. Times are seconds after `ZERO_S`, the instant at which the profile begins to move."""

    def __init__(self, clock: Clock, rig: Rig) -> None:
        self.clock, self.rig = clock, rig
        self.was_ready_s = -1.0

    async def until(self, after_s: float) -> None:
        await self.clock.sleep_until(round((ZERO_S + after_s) * SECOND))

    def share(self, after_s: float) -> float:
        """Reduction delivered as a share of what was sold."""
        instant = round((ZERO_S + after_s) * SECOND)
        return (self.rig.site.poi.power_w(0) - self.rig.site.poi.power_w(instant)) / SOLD_W

    def phases(self) -> set[Phase]:
        return {unit.phase(self.clock.now()) for unit in self.rig.units}

    def step(self, name: str, points: Points) -> None:
        instants = [round((ZERO_S + after_s) * SECOND) for after_s, _ in points]
        self.rig.grid.signals[name] = Signal(np.array(instants), np.array([value for _, value in points]))


def play(
    config: Mapping[str, Any],
    act: Callable[[Bench], Awaitable[None]],
    frequency: Points = ((0.0, 60.0),),
    change: Callable[[Rig], None] = lambda rig: None,
    controller: Callable[..., Coroutine[Any, Any, None]] = reference.controller,
) -> None:
    """Bring the site up, run the controller beside `act`; the controller must be running still when `act` is done."""

    async def main(clock: Clock) -> None:
        rig = Rig(lay_out(validate(SITE, RigFile, "small.toml"), "small.toml"), clock, Seed(7), 60.0)
        bench = Bench(clock, rig)
        bench.step("frequency", frequency)
        change(rig)
        await rig.open()

        def ready() -> None:
            bench.was_ready_s = clock.now() / SECOND

        task = asyncio.create_task(controller(rig.inventory(), config, ready=ready))
        playing = asyncio.ensure_future(act(bench))
        try:
            await asyncio.wait([task, playing], return_when=asyncio.FIRST_COMPLETED)
            assert not task.done(), task.exception()
            await playing
        finally:
            for either in (task, playing):
                either.cancel()
            await asyncio.wait([task, playing])
            await rig.close()
        assert rig.network.defects == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main)


class Hung(Device):
    """Accepts every connection and never says a word."""

    def __init__(self, device: Device, from_s: float = 0.0) -> None:
        self.ports, self._device, self._from_ns = device.ports, device, round(from_s * SECOND)

    def reach(self, port: int, now: int) -> Reach:
        return Reach.ANSWERS

    def converse(self, port: int, peer: str, now: int) -> Conversation:
        return _Mute(self._device.converse(port, peer, now), self._from_ns)


class _Mute(Conversation):
    idle_timeout_ns = None

    def __init__(self, conversation: Conversation, from_ns: int) -> None:
        self._conversation, self._from_ns = conversation, from_ns

    def received(self, data: bytes, now: int) -> Sequence[Action]:
        return () if now >= self._from_ns else self._conversation.received(data, now)

    def ended(self, now: int) -> Sequence[Action]:
        return self._conversation.ended(now)


def hang(name: str, from_s: float = 0.0) -> Callable[[Rig], None]:
    """Make the named device of the rig fall silent."""

    def change(rig: Rig) -> None:
        (address,) = (where for device, _, where, _ in rig.endpoints() if device == name)
        rig.network._devices[address] = Hung(rig.network._devices[address], from_s)

    return change


COLLAPSE: Points = ((0.0, 60.0), (0.0, 59.6), (10.0, 59.6), (10.0, 59.8), (20.0, 59.8), (20.0, 60.0))


def test_contactors_deliver_within_half_a_second_and_load_stays_off_until_recalled() -> None:
    async def act(bench: Bench) -> None:
        bench.step("recall", [(0.0, 0.0), (40.0, 0.0), (40.0, 1.0)])
        await bench.until(39.0)
        assert bench.share(-0.5) == pytest.approx(0.0, abs=0.01)
        assert min(bench.share(t) for t in (0.5, 1.0, 10.0, 30.0, 39.0)) >= 0.95
        await bench.until(300.0)
        assert bench.share(41.0) > 0.9
        assert bench.share(300.0) == pytest.approx(0.0, abs=0.08)
        assert bench.phases() == {Phase.HASHING}
        back = outlet_moves(bench, closed=True)
        assert len(back) == len(outlet_moves(bench, closed=False)) > 1
        assert len({round(after_s) for after_s in back}) == len(back), "outlets return one stage at a time"

    play(UFR, act, COLLAPSE)


def outlet_moves(bench: Bench, closed: bool) -> list[float]:
    """When relays moved, seconds after zero."""
    moves = [move for outlet in bench.rig.site.outlets.values() for move in outlet.relay.moves()]
    return sorted(at / SECOND - ZERO_S for at, state in moves if state is closed)


def test_both_firmwares_sleep_and_wake_again_where_contactors_are_not_allowed() -> None:
    async def act(bench: Bench) -> None:
        bench.step("recall", [(0.0, 0.0), (40.0, 0.0), (40.0, 1.0)])
        await bench.until(39.0)
        assert bench.share(0.5) < 0.2
        assert bench.share(30.0) >= 0.95
        assert bench.phases() == {Phase.HASHING, Phase.SLEEP}
        assert not outlet_moves(bench, closed=False)
        await bench.until(240.0)
        assert bench.phases() == {Phase.HASHING}

    play(NO_CONTACTOR, act, COLLAPSE)


def test_dispatch_puts_miners_to_sleep_until_the_set_point_rises() -> None:
    async def act(bench: Bench) -> None:
        nominal_w = bench.rig.nominal_w
        bench.step("dispatch", [(0.0, nominal_w), (0.0, 0.5 * nominal_w), (40.0, 0.5 * nominal_w), (40.0, nominal_w)])
        await bench.until(40.0)
        assert all(bench.share(t) * SOLD_W >= 0.5 * nominal_w for t in (30.0, 39.0))
        await bench.until(240.0)
        assert bench.phases() == {Phase.HASHING}

    play(DISPATCH, act)


def test_a_miner_that_slept_when_its_outlet_opened_mines_after_the_return() -> None:
    async def act(bench: Bench) -> None:
        nominal_w = bench.rig.nominal_w
        bench.step("dispatch", [(-5.0, nominal_w), (-5.0, 0.6 * nominal_w), (60.0, 0.6 * nominal_w), (60.0, nominal_w)])
        bench.step("recall", [(0.0, 0.0), (50.0, 0.0), (50.0, 1.0)])
        await bench.until(30.0)
        assert bench.phases() >= {Phase.OFF, Phase.SLEEP}
        await bench.until(360.0)
        assert bench.phases() == {Phase.HASHING}

    play(UFR, act, ((20.0, 60.0), (20.0, 59.6), (30.0, 59.6), (30.0, 60.0)))


def test_a_silent_pdu_is_replaced_by_firmware_and_by_the_other_pdu() -> None:
    async def act(bench: Bench) -> None:
        await bench.until(60.0)
        assert bench.share(59.0) >= 0.95
        assert bench.was_ready_s >= 0.0

    play(UFR, act, COLLAPSE, hang("pdu-01", from_s=5.0))


def test_a_hung_miner_holds_up_no_other() -> None:
    async def act(bench: Bench) -> None:
        await bench.until(30.0)
        assert bench.share(15.0) >= 0.95 - 3.1e3 / SOLD_W
        await bench.until(120.0)
        assert bench.share(119.0) >= 0.95

    play(NO_CONTACTOR, act, COLLAPSE, hang("miner-0001"))


def test_a_lost_connection_to_a_pdu_is_made_again_for_the_next_command() -> None:
    async def act(bench: Bench) -> None:
        await bench.until(-1.0)
        for name, _, address, _ in bench.rig.endpoints():
            if name.startswith("pdu"):
                bench.rig.network.drop(address)
        await bench.until(2.0)
        assert bench.share(0.5) >= 0.95

    play(UFR, act, COLLAPSE)


def test_while_the_meter_is_silent_nothing_is_switched() -> None:
    async def act(bench: Bench) -> None:
        await bench.until(60.0)
        assert bench.was_ready_s >= 0.0
        assert not outlet_moves(bench, closed=False)

    play(UFR, act, COLLAPSE, hang("meter-poi", from_s=5.0))


def test_a_controller_whose_meter_never_answers_is_never_ready() -> None:
    async def act(bench: Bench) -> None:
        await bench.until(20.0)
        assert bench.was_ready_s == -1.0

    play(UFR, act, change=hang("meter-poi"))


def test_a_relay_that_somebody_else_closes_is_opened_again() -> None:
    async def act(bench: Bench) -> None:
        await bench.until(5.0)
        outlet = next(o for o in bench.rig.site.outlets.values() if not o.closed(bench.clock.now()))
        outlet.switch(True, bench.clock.now())
        await bench.until(60.0)
        assert not outlet.closed(bench.clock.now())

    play(UFR, act, COLLAPSE)


def test_an_outlet_that_was_open_at_the_start_is_left_alone() -> None:
    def open_one(rig: Rig) -> None:
        rig.site.outlets["pdu-01.1"].switch(False, 1)

    async def act(bench: Bench) -> None:
        bench.step("recall", [(0.0, 0.0), (20.0, 0.0), (20.0, 1.0)])
        await bench.until(120.0)
        assert not bench.rig.site.outlets["pdu-01.1"].closed(bench.clock.now())

    play(UFR, act, COLLAPSE, open_one)


def test_a_foreign_session_on_luxos_does_not_prevent_a_shed() -> None:
    async def act(bench: Bench) -> None:
        (address,) = (where for name, _, where, _ in bench.rig.endpoints() if name == "miner-0016")
        stranger = drivers.LuxOs(address, 4028, 5.0)
        assert (await stranger._ask("logon"))["STATUS"][0]["STATUS"] == "S"
        await drivers.LuxOs(address, 4028, 5.0).set_mode("sleep")
        await drivers.LuxOs(address, 4028, 5.0).set_mode("sleep")
        assert (await stranger._ask("session"))["SESSION"][0]["SessionID"]
        await bench.until(10.0)
        assert Phase.SLEEP in bench.phases()

    play(UFR, act)


def test_a_frequency_no_grid_can_have_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def blind(self: drivers.Sdm630) -> drivers.Reading:
        return drivers.Reading(frequency_hz=0.0, power_w=50e3)

    async def act(bench: Bench) -> None:
        await bench.until(10.0)
        assert not outlet_moves(bench, closed=False)

    monkeypatch.setattr(drivers.Sdm630, "read", blind)
    play(UFR, act)


# ---- the faulty ones ----------------------------------------------------------------------------------------------


def test_slow_poll_misses_the_half_second() -> None:
    async def act(bench: Bench) -> None:
        await bench.until(10.0)
        assert bench.share(0.5) < 0.05
        assert bench.share(9.0) >= 0.95

    play(UFR, act, COLLAPSE, controller=slow_poll.controller)


def test_sleeps_where_contactor_needed_misses_the_half_second() -> None:
    async def act(bench: Bench) -> None:
        await bench.until(20.0)
        assert bench.share(0.5) < 0.2
        assert bench.share(15.0) >= 0.95

    play(UFR, act, COLLAPSE, controller=sleeps_where_contactor_needed.controller)


def test_returns_early_closes_contactors_without_a_recall() -> None:
    async def act(bench: Bench) -> None:
        await bench.until(40.0)
        assert bench.share(1.0) >= 0.95
        assert outlet_moves(bench, closed=True)

    play(UFR, act, COLLAPSE, controller=returns_early.controller)


def test_restores_all_at_once_closes_all_contactors_together() -> None:
    async def act(bench: Bench) -> None:
        bench.step("recall", [(0.0, 0.0), (30.0, 0.0), (30.0, 1.0)])
        await bench.until(40.0)
        back = outlet_moves(bench, closed=True)
        assert len(back) == len(outlet_moves(bench, closed=False)) > 2
        assert back[-1] - back[0] < 0.1

    play(UFR, act, COLLAPSE, controller=restores_all_at_once.controller)


def test_skips_ten_percent_delivers_too_little_until_the_meter_tells() -> None:
    async def act(bench: Bench) -> None:
        await bench.until(10.0)
        assert 0.5 < bench.share(1.0) * SOLD_W / four_outlets_w < 0.95

    four_outlets_w = 24e3
    play({**UFR, "commitment": {"power_w": four_outlets_w}}, act, COLLAPSE, controller=skips_ten_percent.controller)


@pytest.mark.parametrize(("controller", "delivers"), [(reference.controller, True), (no_retry.controller, False)])
def test_no_retry_loses_what_one_lost_command_would_have_shed(
    controller: Callable[..., Coroutine[Any, Any, None]], delivers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = 0
    switch = drivers.NetioPdu.switch

    async def lossy(self: drivers.NetioPdu, wanted: Mapping[int, bool]) -> None:
        nonlocal losses
        losses += 1
        if losses == 1:
            raise drivers.DeviceError("lost")
        await switch(self, wanted)

    async def act(bench: Bench) -> None:
        await bench.until(5.0)
        assert (bench.share(1.0) >= 0.95) is delivers

    monkeypatch.setattr(drivers.NetioPdu, "switch", lossy)
    play(UFR, act, COLLAPSE, controller=controller)
