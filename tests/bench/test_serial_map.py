"""Signals as registers, bits as outlets: encoding against pymodbus', what is due, tables that make no sense."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.client import ModbusTcpClient

from bench.config import ConfigError, validate
from bench.serial_map import Outbox, decode, encode, limits
from bench.serial_tables import TYPES, ReadTable, SerialSut, WriteTable, exchanges
from emulator.modbus import rtu
from emulator.wire import MILLISECOND, SECOND

ORACLE = {
    "u16": ModbusTcpClient.DATATYPE.UINT16, "i16": ModbusTcpClient.DATATYPE.INT16,
    "u32": ModbusTcpClient.DATATYPE.UINT32, "i32": ModbusTcpClient.DATATYPE.INT32,
    "f32": ModbusTcpClient.DATATYPE.FLOAT32,
}  # fmt: skip
ORDER: dict[str, Any] = {"high-first": "big", "low-first": "little"}
REST = {"frequency": 60.0, "voltage": 1.0, "dispatch": 650_000.0, "recall": 0.0, "price": 35.0, "heartbeat": 0.0}


def writes(*tables: dict[str, Any]) -> tuple[WriteTable, ...]:
    return tuple(validate({"signal": "dispatch", **table}, WriteTable, "case.toml") for table in tables)


def sut(**keys: Any) -> SerialSut:
    table = {"kind": "serial", "role": "slave", "line": "plc", "write": [{"signal": "frequency", "address": 0}], **keys}
    return validate({key: value for key, value in table.items() if value is not None}, SerialSut, "case.toml")


# ---- encoding --------------------------------------------------------------------------------------------------------


@given(
    kind=st.sampled_from(sorted(TYPES)),
    words=st.sampled_from(sorted(ORDER)),
    value=st.floats(-1e6, 1e6),
    scale=st.sampled_from([0.001, 0.5, 1.0, 10.0, -1.0]),
)
def test_another_library_reads_the_value_that_was_written(kind: str, words: str, value: float, scale: float) -> None:
    (table,) = writes({"address": 7, "type": kind, "words": words, "scale": scale})
    registers = encode(table, value)
    assert len(registers) == len(table.span)
    read = ModbusTcpClient.convert_from_registers(list(registers), ORACLE[kind], word_order=ORDER[words])
    assert isinstance(read, (int, float))
    low, high = limits(table)
    held = min(max(value, low), high)
    if kind == "f32":
        assert read == pytest.approx(held * scale, rel=1e-6, abs=1e-30)
    else:
        assert abs(read - held * scale) <= 0.5 + 1e-6


@given(
    table=st.sampled_from(["coil", "discrete-input", "holding-register", "input-register"]),
    states=st.lists(st.booleans(), min_size=1, max_size=70),
    inverted=st.booleans(),
)
def test_every_outlet_has_a_bit_of_its_own_in_order(table: str, states: list[bool], inverted: bool) -> None:
    names = [f"pdu-01.{number}" for number in range(1, len(states) + 1)]
    read = validate(
        {"table": table, "address": 0, "outlets": names, "inverted": inverted}, ReadTable, "case.toml"
    )  # fmt: skip
    bits = [state != inverted for state in states]
    if table in ("coil", "discrete-input"):
        answer = [int(bit) for bit in bits] + [0] * (-len(bits) % 8)  # as pymodbus hands them over
    else:
        padded = bits + [False] * (-len(bits) % 16)
        answer = [
            sum(bit << place for place, bit in enumerate(padded[at : at + 16])) for at in range(0, len(padded), 16)
        ]
    assert decode(read, answer) == dict(zip(names, states, strict=True))
    with pytest.raises(ValueError, match="were asked for"):
        decode(read, answer[: read.count - 1])


# ---- what is due -----------------------------------------------------------------------------------------------------


def test_what_has_changed_is_due_and_what_has_not_after_its_refresh_only() -> None:
    outbox = Outbox(writes({"address": 0, "refresh": "1 s"}, {"address": 2, "signal": "frequency"}))
    (first,) = outbox.due(REST, 0)  # neighbours go together
    assert (first.address, len(first.words), first.signals) == (0, 4, "dispatch, frequency")
    assert outbox.due(REST, 1)[0] == first  # not acknowledged: it is due again
    outbox.acknowledged(first, 0)
    assert [one.signals for one in outbox.due(REST, 100 * MILLISECOND)] == ["frequency"]  # at each poll
    assert [one.signals for one in outbox.due({**REST, "dispatch": 3e5}, 1)] == ["dispatch, frequency"]
    assert [one.signals for one in outbox.due(REST, SECOND)] == ["dispatch, frequency"]
    outbox.forget()
    assert [one.signals for one in outbox.due(REST, 1)] == ["dispatch, frequency"]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12, unique=True))
def test_requests_carry_every_due_register_once(registers: list[int]) -> None:
    tables = writes(*({"address": register, "type": "u16", "scale": 0.001} for register in registers))
    due = Outbox(tables).due(REST, 0)
    carried = [write.address + place for write in due for place in range(len(write.words))]
    assert carried == sorted(registers)
    assert all(after.address > before.address + len(before.words) for before, after in pairwise(due))


def test_the_length_of_exchanges_is_that_of_frames() -> None:
    table = sut(
        write=[{"signal": "frequency", "address": 0}, {"signal": "recall", "address": 9, "type": "u16"}],
        read=[{"address": 0, "outlets": ["a", "b"]}, {"table": "holding-register", "address": 0, "outlets": ["c"]}],
    )
    frames = [
        (rtu.encode(1, bytes.fromhex("10 0000 0002 04 4270 0000")), rtu.encode(1, bytes.fromhex("10 0000 0002"))),
        (rtu.encode(1, bytes.fromhex("06 0009 0000")), rtu.encode(1, bytes.fromhex("06 0009 0000"))),
        (rtu.encode(1, bytes.fromhex("01 0000 0002")), rtu.encode(1, bytes.fromhex("01 01 03"))),
        (rtu.encode(1, bytes.fromhex("03 0000 0001")), rtu.encode(1, bytes.fromhex("03 02 0001"))),
    ]
    assert list(exchanges(table)) == [(len(asked), len(answered)) for asked, answered in frames]


# ---- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"write": None}, 'role = "slave" needs a map of its registers: at least one [[sut.write]]'),
        ({"role": "master"}, 'write is for a controller that is asked; remove it, or write role = "slave"'),
        ({"restart": [{"at": "1 s"}]}, "restart needs the outlet that feeds the controller; add power = "),
        ({"role": "slav"}, 'sut.role: unknown value "slav"; did you mean "slave"?'),
        ({"unit": 0}, "unit: 0 is too small; 1 or more is expected"),
        (
            {"write": [{"signal": "frequency", "address": 4}, {"signal": "price", "address": 5}]},
            "write: frequency and price are both in register 5; move one",
        ),
        ({"write": [{"signal": "frequency", "address": 65_535}]}, "a f32 takes two; 65534 is the last"),
        ({"write": [{"signal": "price", "address": 0, "scale": 0.0}]}, "scale = 0 makes every value zero"),
        ({"write": [{"signal": "frequncy", "address": 0}]}, 'unknown value "frequncy"; did you mean "frequency"?'),
        ({"read": [{"address": 0, "outlets": []}]}, "outlets: is empty; give at least one"),
        ({"read": [{"address": 65_535, "outlets": ["a", "b"]}]}, "address = 65535: 2 from there on leave the 65536"),
        (
            {"read": [{"address": 0, "outlets": ["a"]}, {"address": 5, "outlets": ["a"]}]},
            "the outlet 'a' is named twice; one bit commands one outlet",
        ),
        ({"power": "a", "read": [{"address": 0, "outlets": ["a"]}]}, "the outlet 'a' feeds the controller (power)"),
    ],
)
def test_a_table_that_cannot_be_meant_is_one_sentence_with_its_remedy(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sut(**change)
    assert len(caught.value.problems) == 1
    assert sentence.removeprefix("sut.") in caught.value.problems[0]


def test_limits_are_those_of_the_type() -> None:
    small, signed, wide = writes(
        {"address": 0, "type": "u16", "scale": 100.0}, {"address": 0, "type": "i16", "scale": -1.0},
        {"address": 0},
    )  # fmt: skip
    assert limits(small) == (0.0, 655.35)
    assert limits(signed) == (-32767.0, 32768.0)
    assert limits(wide)[1] > 1e38
    assert not math.isinf(limits(wide)[1])
