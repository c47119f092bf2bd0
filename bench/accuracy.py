"""How accurate the bench is: a controller whose delays are known exactly, measured as any other is.

Owns the experiment: a staircase of dispatch steps, each answered after its own delay by opening one PDU outlet, and
three errors of the reaction that the bench measures. In virtual time all of them are zero within the analyser's model;
what they are in real time is what the machine makes of it. Benchmarks and tests draw the conclusions.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench import measure
from bench.collection import let_go, standing
from bench.doctor import site
from bench.doctor.spread import Spread
from bench.judge import punctuality
from bench.layout import lay_out
from bench.rig import Rig
from bench.rig_file import AnalyserTable
from bench.verdict import Quantity, Validity
from emulator import clock as clocks
from emulator.clock import Lateness
from emulator.seed import Seed
from emulator.timeline import Signal
from emulator.wire import MILLISECOND, SECOND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.facts import Series
    from bench.layout import Layout
    from emulator.clock import Clock
    from emulator.wire import Instant

MINERS = site.MINERS
SHORTEST_NS, LONGEST_NS = MILLISECOND, 10 * SECOND
"""The delays that are tried."""
APART_NS = 80 * MILLISECOND
"""From one opening to the next: contactors differ by 25 ms, the analyser's window is 10 ms, and steps stay apart."""
_LEAD_NS = 300 * MILLISECOND
"""From the zero to the first opening, and from the last one to the end."""
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


class NoReactionError(RuntimeError):
    """An outlet that was told to open did not, or not to be seen in the site's power."""


@dataclass(frozen=True, slots=True)
class Move:
    """One step of the grid, `event_ns` after the zero, and the delay of its answer; `outlet` counts along the site."""

    event_ns: Instant
    delay_ns: int
    outlet: int

    @property
    def due_ns(self) -> Instant:
        """When an exact controller sends its command."""
        return self.event_ns + self.delay_ns


@dataclass(frozen=True, slots=True)
class Reaction:
    """What became of a move, all after the zero: when the command was sent, when the miners' power changed by the log
    of segments, and the reaction that the bench measured from the step of the grid on, with its uncertainty."""

    move: Move
    sent_ns: Instant
    switched_ns: Instant
    measured_ns: float
    u_ns: float


@dataclass(frozen=True, slots=True)
class Trial:
    """All reactions of one run, and its lateness; `polled` by device where a client polled the site meanwhile."""

    reactions: tuple[Reaction, ...]
    lateness: Spread
    polled: dict[str, Spread]

    @property
    def validity(self) -> Validity:
        """What the run says of itself."""
        gates = punctuality(self.lateness.p99_ns, self.lateness.max_ns)
        return max(gate.validity for gate in gates)


@dataclass(frozen=True, slots=True)
class Errors:
    """Three errors of every measured reaction, ns, in the order of the moves.

    `whole`: against the exact delay plus what PDU and contactor take. `meter`: against the log of segments, so of the
    measuring alone. `command`: how much later than PDU and contactor account for the power changed after the command.
    """

    whole: tuple[float, ...]
    meter: tuple[float, ...]
    command: tuple[float, ...]


def plan(count: int, longest_ns: int = LONGEST_NS) -> list[Move]:
    """`count` moves whose openings follow one another, with delays from the shortest to the longest, in even decades.

    A delay is no longer than the run before its opening; the longest belong to the last ones.
    """
    moves = []
    for number in range(count):
        # opened off the beat: what is periodic on the machine must not fall into step with it
        due_ns = _LEAD_NS + number * APART_NS + round(number * _GOLDEN % 1.0 * 10 * MILLISECOND)
        most_ns = min(longest_ns, due_ns)
        share = (number * _GOLDEN) % 1.0
        delay_ns = round(SHORTEST_NS * (most_ns / SHORTEST_NS) ** share)
        moves.append(Move(due_ns - delay_ns, delay_ns, number))
    first, last = moves[0], moves[-1]
    moves[0] = Move(first.due_ns - SHORTEST_NS, SHORTEST_NS, 0)
    longest_ns = min(longest_ns, last.due_ns)
    moves[-1] = Move(last.due_ns - longest_ns, longest_ns, last.outlet)
    return moves


def trial(moves: Sequence[Move], *, mode: str, polled: bool = False) -> Trial:
    """Play the moves on the doctor's site of a thousand miners; in real time a client may poll it meanwhile.

    Raises ClientError where that fails, NoReactionError where an outlet did not open.
    """
    try:
        return clocks.run(lambda clock: _played(clock, moves, polled=polled), mode=mode)
    finally:
        let_go()


def errors(found: Trial, exact: Trial) -> Errors:
    """The errors of a trial; `exact` is the same one in virtual time, which knows what PDU and contactor take."""
    whole, meter, command = [], [], []
    for real, virtual in zip(found.reactions, exact.reactions, strict=True):
        takes_ns = virtual.switched_ns - virtual.sent_ns
        whole.append(real.measured_ns - (real.move.delay_ns + takes_ns))
        meter.append(real.measured_ns - (real.switched_ns - real.move.event_ns))
        command.append(float(real.switched_ns - takes_ns - real.sent_ns))
    return Errors(tuple(whole), tuple(meter), tuple(command))


def p99_ns(of: Sequence[float]) -> float:
    """The 99th percentile of the errors' sizes."""
    return float(np.percentile(np.abs(of), 99, method="inverted_cdf"))


async def _played(clock: Clock, moves: Sequence[Move], *, polled: bool) -> Trial:
    file = site.rig_file()
    with standing(prompt=clock.mode == "real"):
        layout = lay_out(file, file.name)
        rig = Rig(layout, clock, Seed(1), 60.0)
    length_ns = moves[-1].due_ns + _LEAD_NS
    trips: dict[str, Spread] = {}
    async with AsyncExitStack() as stack:
        await rig.open()
        stack.push_async_callback(rig.close)
        hand = await stack.enter_async_context(_Hand(clock, layout))
        client = None
        if polled:
            client = await stack.enter_async_context(site.polling(clock, rig, length_ns / SECOND))
        # whole seconds, so that the analyser samples at the same instants whatever the clock showed
        zero_ns = (clock.now() // SECOND + 1) * SECOND
        steps = [(move.event_ns, -1.0 - number) for number, move in enumerate(sorted(moves, key=lambda m: m.event_ns))]
        rig.play({"dispatch": Signal.steps([(0, 0.0), *steps]).scaled(1e3)}, zero_ns)
        await clock.sleep_until(zero_ns)
        clock.lateness = Lateness()
        clock.watch_lateness(zero_ns, zero_ns + length_ns)
        if client is not None:
            await client.begin()
        sent = [await hand.opens(move, zero_ns) for move in moves]
        await clock.sleep_until(zero_ns + length_ns)
        lateness = Spread.of_lateness(clock.lateness)
        if client is not None:
            trips = await client.result()
    rig.fleet.advance(zero_ns + length_ns)
    return Trial(tuple(_reactions(rig, moves, sent, zero_ns, zero_ns + length_ns)), lateness, trips)


class _Hand:
    """The controller: a connection to every PDU, and one frame written to it at the instant."""

    def __init__(self, clock: Clock, layout: Layout) -> None:
        self._clock = clock
        self._outlets = [(place, number) for place in layout.pdus for number in range(len(place.outlets))]
        self._links: dict[str, asyncio.StreamWriter] = {}

    async def __aenter__(self) -> _Hand:
        for place, _ in self._outlets:
            if place.id not in self._links:
                _, self._links[place.id] = await asyncio.open_connection(place.way.address, place.way.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        for link in self._links.values():
            link.close()

    async def opens(self, move: Move, zero_ns: Instant) -> Instant:
        """Open the move's outlet when it is due; when it was sent, after the zero."""
        place, number = self._outlets[move.outlet]
        coil = place.product.coils.first_output + number
        frame = bytes.fromhex("000100000006") + bytes((place.way.unit, 5)) + coil.to_bytes(2, "big") + b"\0\0"
        await self._clock.sleep_until(zero_ns + move.due_ns)
        sent_ns = self._clock.now() - zero_ns
        self._links[place.id].write(frame)
        return sent_ns


def _reactions(
    rig: Rig, moves: Sequence[Move], sent: Sequence[Instant], zero_ns: Instant, end_ns: Instant
) -> list[Reaction]:
    """Each move's reaction as a run's verdict measures one: from samples of the power at the point of interconnection.

    The site's power is a staircase; a move is over when its own step is half done.
    """
    truth, analyser = rig.truth(), AnalyserTable()
    power = truth.power(zero_ns, end_ns, analyser.rate, analyser.window)
    before = measure.value_at(power, zero_ns + analyser.window)
    assert isinstance(before, Quantity)  # noqa: S101 it has a sample there
    reduction = measure.delivered(power, before)
    outlets = [outlet for place in rig.layout.pdus for outlet in place.outlets]
    row, t0_ns = truth.log.column("row"), truth.log.column("t0_ns")
    found, done_w = [], 0.0
    for move, sent_ns in zip(moves, sent, strict=True):
        rows = np.array(outlets[move.outlet].rows)
        entries = truth.log.entries_at(rows, zero_ns + sent_ns)
        step_w = float((truth.log.evaluate(entries, zero_ns + sent_ns) * truth.weight[rows]).sum())
        later = t0_ns[np.isin(row, rows) & (t0_ns > zero_ns + sent_ns)]
        took = _reached(reduction, zero_ns + move.event_ns, end_ns, done_w + step_w / 2)
        found.append(
            Reaction(move, sent_ns, int(later.min()) - zero_ns, took.value * SECOND, took.u * SECOND)
        )  # fmt: skip
        done_w += step_w
    return found


def _reached(reduction: Series, start_ns: Instant, end_ns: Instant, level_w: float) -> Quantity:
    """The reaction. Raises NoReactionError."""
    took = measure.reach_time(reduction, start_ns, end_ns, level_w)
    if isinstance(took, Quantity):
        return took
    raise NoReactionError(f"the site did not react: {took.reason}")
