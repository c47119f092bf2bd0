from __future__ import annotations

import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from emulator.dispatch import BELOW_NOMINAL, DispatchBlock
from emulator.grid import Grid
from emulator.timeline import Signal
from emulator.wire import MILLISECOND, SECOND

NOMINAL_W = 1e6


def make(dispatch: Signal | None = None, recall: Signal | None = None, price: Signal | None = None) -> DispatchBlock:
    grid = Grid(60.0, NOMINAL_W)
    named = {"dispatch": dispatch, "recall": recall, "price": price}
    grid.play({name: signal for name, signal in named.items() if signal is not None}, 0)
    return DispatchBlock(grid, NOMINAL_W)


def shown(block: DispatchBlock, now: int) -> tuple:
    """Sequence, recall count, set-point in kW, price, heartbeat, flags."""
    return struct.unpack(">HHffHH", block.read_holding_registers(0, 8, now))


def ask(block: DispatchBlock, request: str, now: int = 0) -> str:
    body = bytes.fromhex(request)
    frame = struct.pack(">HHHB", 1, 0, len(body) + 1, 1) + body
    (sent,) = block.device().converse(502, "", now).received(frame, now)
    return sent.data[7:].hex(" ")


def test_without_an_instruction_the_set_point_is_the_nominal_power():
    assert shown(make(), 3 * SECOND) == (0, 0, 1000.0, 0.0, 3, 0)


def test_a_set_point_is_published_with_the_next_tick_and_counted():
    block = make(Signal.steps([(0, NOMINAL_W), (1050 * MILLISECOND, 4e5), (5 * SECOND, NOMINAL_W)]))
    assert shown(block, 1099 * MILLISECOND)[0::2] == (0, 1000.0, 1)
    assert shown(block, 1100 * MILLISECOND) == (1, 0, 400.0, 0.0, 1, BELOW_NOMINAL)
    assert shown(block, 5 * SECOND) == (2, 0, 1000.0, 0.0, 5, 0)


def test_recalls_and_prices_are_served_as_they_are():
    block = make(recall=Signal.steps([(0, 0), (SECOND, 1), (2 * SECOND, 2)]), price=Signal([0, 10 * SECOND], [-50, 50]))
    assert shown(block, 5 * SECOND)[1:4] == (2, 1000.0, 0.0)
    assert shown(block, 0)[3] == -50.0


@given(
    st.lists(st.tuples(st.integers(0, 20 * SECOND), st.floats(0, 2e6)), min_size=1, max_size=8),
    st.lists(st.integers(0, 25 * SECOND), max_size=8),
    st.integers(0, 25 * SECOND),
)
def test_the_sequence_counts_published_changes_whoever_reads_in_between(points, reads, now):
    signal = Signal.steps(sorted(points))
    read_often, read_once = make(signal), make(signal)
    for moment in sorted(moment for moment in reads if moment <= now):
        shown(read_often, moment)
    ticks = np.arange(0, now + 1, 100 * MILLISECOND)
    changes = int(np.count_nonzero(np.diff(signal.sample(ticks))))
    assert shown(read_often, now)[0] == shown(read_once, now)[0] == changes % 65536


def test_a_profile_that_starts_later_is_counted_from_what_was_published_before():
    grid = Grid(60.0, NOMINAL_W)
    block = DispatchBlock(grid, NOMINAL_W)
    grid.play({"dispatch": Signal.constant(5e5)}, 10 * SECOND)
    assert shown(block, 12 * SECOND)[0] == 1


def test_the_sequence_and_the_heartbeat_wrap():
    ramp = Signal([0, 70_000 * SECOND], [NOMINAL_W, 0.0])
    assert shown(make(ramp), 7_000 * SECOND)[0] == 70_000 % 65536
    assert shown(make(), 65_537 * SECOND)[4] == 1


def test_both_register_functions_serve_the_same_map_and_nothing_can_be_written():
    block = make()
    assert ask(block, "03 0000 0008")[3:] == ask(block, "04 0000 0008")[3:]
    assert ask(block, "04 0002 0002") == "04 04 44 7a 00 00"
    assert ask(block, "03 0000 0009") == "83 02"
    assert ask(block, "06 0000 0001") == "86 01"
    assert ask(block, "10 0000 0001 02 0001") == "90 01"


def test_the_block_names_itself():
    assert bytes.fromhex(ask(make(), "2b 0e 01 00")).endswith(b"ramprig\x01\x10ramprig_dispatch\x02\x011")
