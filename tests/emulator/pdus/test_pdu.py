from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.grid import Grid
from emulator.pdus.pdu import Pdu
from emulator.pdus.product import load_product
from emulator.seed import Seed
from emulator.timeline import Signal
from emulator.wire import MILLISECOND, SECOND

PS, KS = load_product("netio_powerpdu_4ps"), load_product("netio_powerpdu_4ks")
LATENCY = PS.latency_ns


class Outlet:
    """An outlet with a load of `watts` behind it; a new move drops those planned for later."""

    def __init__(self, watts: float = 1000.0) -> None:
        self.id = "outlet"
        self.watts = watts
        self.moves: list[tuple[int, bool]] = []
        self.calls = 0

    def closed(self, at):
        return next((closed for moved, closed in reversed(self.moves) if moved <= at), True)

    def switch(self, closed, at):
        self.calls += 1
        self.moves = [move for move in self.moves if move[0] < at] + [(at, closed)]

    def power(self) -> Signal:
        points = [(0, self.watts), *((at, self.watts if closed else 0.0) for at, closed in self.moves)]
        return Signal.steps(points)

    def power_w(self, at):
        return self.power().at(at)

    def energy_j(self, start, stop):
        assert 0 <= start <= stop
        return self.power().integral(start, stop)

    def voltage_v(self, at):
        return 230.0


def make(product=KS, **options) -> tuple[Pdu, list[Outlet]]:
    outlets = [Outlet(1000.0 * number) for number in (1, 2, 3, 4)]
    return Pdu(product, outlets, Grid(50.0, 1e6), **options), outlets


def ask(pdu: Pdu, request: str, now: int = 0) -> str:
    body = bytes.fromhex(request)
    frame = struct.pack(">HHHB", 1, 0, len(body) + 1, 1) + body
    (sent,) = pdu.device().converse(502, "", now).received(frame, now)
    return sent.data[7:].hex(" ")


@pytest.mark.parametrize("product", [PS, KS])
def test_every_output_begins_closed_and_can_be_switched_alone(product):
    pdu, outlets = make(product)
    assert ask(pdu, "01 0065 0004") == "01 01 0f"
    assert ask(pdu, "05 0066 0000", SECOND) == "05 00 66 00 00"
    assert ask(pdu, "01 0065 0004", SECOND) == "01 01 0f"
    assert ask(pdu, "01 0065 0004", SECOND + LATENCY) == "01 01 0d"
    assert [outlet.moves for outlet in outlets] == [[], [(SECOND + LATENCY, False)], [], []]
    assert ask(pdu, "05 0066 ff00", 2 * SECOND) == "05 00 66 ff 00"
    assert ask(pdu, "01 0065 0004", 3 * SECOND) == "01 01 0f"


def test_a_press_at_the_pdu_moves_an_output_as_its_coil_does():
    pdu, outlets = make(PS)
    pdu.press(2, False, SECOND)
    assert [outlet.moves for outlet in outlets] == [[], [], [(SECOND + LATENCY, False)], []]
    assert ask(pdu, "01 0065 0004", SECOND + LATENCY) == "01 01 0b"


def test_all_outputs_are_switched_by_one_request_that_covers_exactly_them():
    pdu, outlets = make()
    assert ask(pdu, "0f 0065 0004 01 05") == "0f 00 65 00 04"
    assert [outlet.closed(SECOND) for outlet in outlets] == [True, False, True, False]


@pytest.mark.parametrize(
    "request_hex", ["0f 0065 0003 01 00", "0f 0066 0003 01 00", "0f 0065 0005 01 00", "0f 0064 0004 01 00"]
)
def test_a_multiple_write_that_does_not_cover_all_outputs_does_nothing(request_hex):
    pdu, outlets = make()
    assert ask(pdu, request_hex) == "8f 02"
    assert all(outlet.moves == [] for outlet in outlets)


@pytest.mark.parametrize(("action", "after"), [(0, False), (1, True), (4, False), (5, True)])
def test_an_action_register_switches_its_output(action, after):
    pdu, outlets = make()
    assert ask(pdu, f"06 0067 {action:04x}") == f"06 00 67 00 0{action}"
    assert outlets[2].closed(SECOND) is after
    assert ask(pdu, "03 0067 0001", SECOND) == f"03 02 00 0{int(after)}"


def test_short_off_opens_for_the_short_time_and_closes_again():
    pdu, outlets = make()
    assert ask(pdu, "03 00c9 0001") == "03 02 00 14"
    assert ask(pdu, "06 00c9 001e") == "06 00 c9 00 1e"
    assert ask(pdu, "03 00c9 0004") == "03 08 00 1e 00 14 00 14 00 14"
    ask(pdu, "06 0065 0002", SECOND)
    assert outlets[0].moves == [(SECOND + LATENCY, False), (4 * SECOND + LATENCY, True)]


def test_short_on_closes_for_the_short_time_and_opens_again():
    pdu, outlets = make()
    ask(pdu, "05 0065 0000")
    ask(pdu, "06 0065 0003", SECOND)
    assert outlets[0].moves[1:] == [(SECOND + LATENCY, True), (3 * SECOND + LATENCY, False)]


def test_a_command_replaces_a_short_action_that_is_under_way():
    pdu, outlets = make()
    ask(pdu, "06 0065 0002", 0)
    ask(pdu, "05 0065 0000", SECOND)
    assert not outlets[0].closed(10 * SECOND)


def test_repeating_a_command_moves_nothing_twice():
    pdu, outlets = make()
    for now in range(0, 10 * SECOND, 10 * MILLISECOND):
        ask(pdu, "05 0065 0000", now)
    assert outlets[0].calls == 1


def test_two_toggles_in_quick_succession_cancel_each_other():
    pdu, outlets = make()
    ask(pdu, "06 0065 0004", 0)
    ask(pdu, "06 0065 0004", 5 * MILLISECOND)
    assert outlets[0].closed(SECOND)


@pytest.mark.parametrize(
    ("request_hex", "reply_hex", "why"),
    [
        ("03 0000 0003", "03 06 00 00 00 04 00 04", "no input, four outputs, all metered"),
        ("04 0000 0003", "04 06 13 88 08 fc 03 b6", "50.00 Hz, 230.0 V, 0.950"),
        ("04 00c8 0005", "04 0a 27 10 03 e8 07 d0 0b b8 0f a0", "watts, total first"),
        ("04 0064 0002", "04 04 b2 c7 11 e1", "milliamperes, total first"),
        ("04 01f5 0001", "04 02 07 1b", "18.19 degrees"),
        ("04 00c8 0006", "84 02", "there is no fifth output"),
        ("01 0064 0001", "81 02", "coils begin at 101"),
        ("01 0069 0001", "81 02", "there is no fifth output"),
        ("05 0065 1234", "85 03", "neither on nor off"),
        ("05 0069 ff00", "85 02", "there is no fifth output"),
        ("02 0321 0001", "82 02", "no digital input"),
        ("06 0065 0006", "86 03", "no such action"),
        ("06 0000 0001", "86 02", "the number of inputs cannot be written"),
        ("06 0069 0001", "86 02", "there is no fifth output"),
        ("10 0065 0001 02 0000", "90 01", "function 16 is not in the manual"),
        ("2b 0e 01 00", "ab 01", "no identification"),
    ],
)
def test_the_metered_pdu_answers_as_its_manual_says(request_hex, reply_hex, why):
    pdu, _ = make(KS)
    assert ask(pdu, request_hex, 5 * SECOND) == reply_hex, why


def test_the_model_without_metering_shows_none():
    pdu, _ = make(PS)
    assert ask(pdu, "03 0002 0001") == "03 02 00 00"
    assert ask(pdu, "04 0000 0006", 5 * SECOND) == "04 0c" + 12 * " 00"
    assert ask(pdu, "04 00c9 0001", 5 * SECOND) == "84 02"


def test_energy_counts_watt_hours_of_what_the_outlet_carries():
    pdu, _ = make()
    assert ask(pdu, "04 012c 0004", 3600 * SECOND) == "04 08 00 00 27 10 00 00 03 e8"
    ask(pdu, "05 0065 0000", 3600 * SECOND)
    assert pdu.value("output_energy_wh:1", 7200 * SECOND) == pytest.approx(1000.0, abs=0.1)


def test_measured_values_are_means_that_stand_for_a_second():
    pdu, _ = make()
    ask(pdu, "05 0065 0000", 2 * SECOND + SECOND // 2 - LATENCY)
    shown = [pdu.value("output_power_w:1", now) for now in range(0, 5 * SECOND, SECOND // 2)]
    assert shown == pytest.approx([1000, 1000, 1000, 1000, 1000, 1000, 500, 500, 0, 0])


def test_units_differ_by_their_seed_alone():
    def opened(seed):
        pdu, outlets = make(seed=seed)
        ask(pdu, "0f 0065 0004 01 00")
        return [outlet.moves[0][0] for outlet in outlets], pdu.value("power_w", SECOND)

    assert opened(Seed(1) / "pdu" / 1) == opened(Seed(1) / "pdu" / 1)
    assert opened(Seed(1) / "pdu" / 1) != opened(Seed(1) / "pdu" / 2)
    latencies = opened(Seed(1))[0]
    assert all(abs(latency - LATENCY) <= PS.spread_ns for latency in latencies)


ENDS = {0: False, 1: True, 2: True, 3: False}


@given(st.lists(st.tuples(st.integers(0, 10 * SECOND), st.integers(0, 3), st.sampled_from([*ENDS, 5])), max_size=20))
def test_the_relay_ends_where_the_last_command_sends_it(commands):
    pdu, outlets = make()
    expected = [True] * 4
    for now, output, action in sorted(commands):
        pdu.write_register(101 + output, action, now)
        expected[output] = ENDS.get(action, expected[output])
    assert [outlet.closed(100 * SECOND) for outlet in outlets] == expected


@given(st.binary(min_size=1, max_size=253))
def test_any_request_is_answered(pdu_bytes):
    pdu, _ = make()
    reply = ask(pdu, pdu_bytes.hex())
    assert reply


def test_the_number_of_outlets_must_be_the_products():
    with pytest.raises(ValueError, match="4 outputs, 1 are given"):
        Pdu(PS, [Outlet()], Grid(50.0, 1e6))
