from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.bit_message import (
    ReadCoilsRequest,
    ReadDiscreteInputsRequest,
    WriteMultipleCoilsRequest,
    WriteSingleCoilRequest,
)
from pymodbus.pdu.mei_message import ReadDeviceInformationRequest
from pymodbus.pdu.register_message import (
    MaskWriteRegisterRequest,
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    ReadWriteMultipleRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from emulator.modbus.identity import Identity
from emulator.modbus.pdu import Model, Responder
from tests.emulator.modbus.store import Store


def answer(request: str, model: Store | None = None) -> str:
    return Responder(model or Store()).answer(bytes.fromhex(request), 0).hex(" ")


@pytest.mark.parametrize(
    ("request_hex", "reply_hex", "why"),
    [
        ("03 0000 0000", "83 03", "quantity 0"),
        ("03 0000 007e", "83 03", "quantity 126"),
        ("04 0000 0000", "84 03", "quantity 0"),
        ("04 0000 007e", "84 03", "quantity 126"),
        ("01 0000 07d1", "81 03", "2001 coils"),
        ("02 0000 0000", "82 03", "no input"),
        ("03 00c7 0002", "83 02", "past the end of the table"),
        ("01 00c8 0001", "81 02", "past the end of the table"),
        ("03 ffff 0002", "83 02", "past the end of the address space"),
        ("05 0000 1234", "85 03", "a coil value that is neither on nor off"),
        ("05 ffff 1234", "85 03", "the value is checked before the address"),
        ("05 00c8 ff00", "85 02", "no such coil"),
        ("0f 0000 07b1 f7" + 247 * "00", "8f 03", "1969 coils"),
        ("0f 0000 0009 01 ff", "8f 03", "too few bytes for nine coils"),
        ("0f 0000 0000 00", "8f 03", "no coil"),
        ("10 0000 007c f8" + 248 * "00", "90 03", "124 registers"),
        ("10 0000 0002 03 010203", "90 03", "odd byte count"),
        ("10 0000 0002 04 010203", "90 03", "fewer bytes than announced"),
        ("10 0000 0002 04 0102030405", "90 03", "more bytes than announced"),
        ("10 00c7 0002 04 01020304", "90 02", "past the end of the table"),
        ("16 00c8 ffff 0000", "96 02", "no such register"),
        ("17 0000 007e 0000 0001 02 0001", "97 03", "126 registers to read"),
        ("17 0000 0001 0000 007a f4" + 244 * "00", "97 03", "122 registers to write"),
        ("17 0000 0001 0000 0001 03 000102", "97 03", "byte count"),
        ("17 00c8 0001 0000 0001 02 0001", "97 02", "reading past the end"),
        ("2b 0d 00 00", "ab 01", "another encapsulated interface"),
        ("2b 0e 05 00", "ab 03", "unknown read code"),
        ("2b 0e 00 00", "ab 03", "read code 0"),
        ("2b 0e 04 77", "ab 02", "unknown object"),
        ("07", "87 01", "exception status is not supported"),
        ("08 0000 0000", "88 01", "diagnostics are not supported"),
        ("0b", "8b 01", "event counter is not supported"),
        ("0c", "8c 01", "event log is not supported"),
        ("11", "91 01", "server id is not supported"),
        ("14 07 06 0001 0000 0001", "94 01", "file record is not supported"),
        ("18 0000", "98 01", "queue is not supported"),
        ("41", "c1 01", "unknown function"),
        ("83 01", "83 01", "error bit set in a request"),
        ("00", "80 01", "function 0"),
        ("03", "83 03", "short request"),
        ("03 0000 00", "83 03", "short request"),
        ("06 00", "86 03", "short request"),
        ("0f 0000", "8f 03", "short request"),
        ("17 0000 0001", "97 03", "short request"),
        ("2b", "ab 03", "short request"),
        ("03 0000 0001 00", "83 03", "long request"),
    ],
)
def test_a_bad_request_is_refused_as_the_specification_says(request_hex, reply_hex, why):
    assert answer(request_hex.replace(" ", "")) == reply_hex, why


@pytest.mark.parametrize(
    ("request_hex", "reply_hex"),
    [
        ("01 0000 000a", "01 02 49 02"),
        ("02 0000 0006", "02 01 21"),
        ("03 0001 0002", "03 04 01 02 02 03"),
        ("04 0000 0001", "04 02 00 05"),
        ("05 0001 ff00", "05 00 01 ff 00"),
        ("06 0001 abcd", "06 00 01 ab cd"),
        ("0f 0000 000a 02 cd01", "0f 00 00 00 0a"),
        ("10 0001 0002 04 000a0102", "10 00 01 00 02"),
        ("16 0004 00f2 0025", "16 00 04 00 f2 00 25"),
    ],
)
def test_a_good_request_is_answered_as_the_specification_says(request_hex, reply_hex):
    assert answer(request_hex.replace(" ", "")) == reply_hex


def test_what_was_written_is_read_back():
    store = Store()
    for request in ("05 0001 ff00", "0f 0004 0003 01 05", "10 0010 0002 04 cafebabe", "06 0012 1234"):
        answer(request.replace(" ", ""), store)
    assert store.coils[1]
    assert store.coils[4:7] == [True, False, True]
    assert store.holding[0x10:0x13] == [0xCAFE, 0xBABE, 0x1234]


def test_mask_write_follows_the_formula_of_the_specification():
    store = Store()
    store.holding[4] = 0x12
    answer("16000400f20025", store)
    assert store.holding[4] == 0x17


def test_read_write_writes_first_and_writes_nothing_when_it_cannot_read():
    store = Store()
    assert answer("17 0000 0001 0000 0001 02 abcd".replace(" ", ""), store) == "17 02 ab cd"
    answer("17 00c8 0001 0000 0001 02 1111".replace(" ", ""), store)
    assert store.holding[0] == 0xABCD


def test_a_product_answers_only_the_functions_it_has():
    class MeterOnly(Store):
        functions = frozenset({4})

    assert answer("030000 0001".replace(" ", ""), MeterOnly()) == "83 01"
    assert answer("040000 0001".replace(" ", ""), MeterOnly()) == "04 02 00 05"


def test_a_function_without_data_behind_it_is_an_illegal_function():
    class Empty(Model):
        functions = frozenset({*range(1, 7), 15, 16, 22, 23, 43, 0x41})

    empty = Responder(Empty())
    assert {
        empty.answer(bytes.fromhex(request), 0)[1]
        for request in (
            "0100000001", "0200000001", "0300000001", "0400000001", "05000000ff", "0600000001",
            "0f000000010101", "10000000010200ff", "160000ffff0000", "1700000001000000010200ff", "2b0e0100", "41",
        )
    } == {1}  # fmt: skip


def test_a_product_may_add_functions_of_its_own():
    class WithDiagnostics(Store):
        functions = frozenset({8})

        def other(self, pdu, now):
            return pdu

    assert answer("08 0000 a537".replace(" ", ""), WithDiagnostics()) == "08 00 00 a5 37"


@given(st.binary(min_size=1, max_size=253))
def test_any_request_gets_a_reply_that_fits_and_names_its_function(pdu):
    reply = Responder(Store()).answer(pdu, 0)
    assert 2 <= len(reply) <= 253
    assert reply[0] in (pdu[0], pdu[0] | 0x80)


def bits_of(reply: bytes, count: int) -> list[bool]:
    decoded = DecodePDU(False).decode(reply)
    return decoded.bits[:count]


def registers_of(reply: bytes) -> list[int]:
    decoded = DecodePDU(False).decode(reply)
    return decoded.registers


def encoded(request) -> bytes:
    return bytes([request.function_code]) + request.encode()


@given(st.data())
def test_pymodbus_understands_every_read_and_sees_what_is_stored(data):
    store = Store(2100)
    count = data.draw(st.integers(1, 125))
    bits = data.draw(st.integers(1, 2000))
    at = data.draw(st.integers(0, 2100 - 2000))
    ask = Responder(store).answer
    holding = registers_of(ask(encoded(ReadHoldingRegistersRequest(address=at, count=count)), 0))
    measured = registers_of(ask(encoded(ReadInputRegistersRequest(address=at, count=count)), 0))
    assert holding == store.holding[at : at + count]
    assert measured == store.measured[at : at + count]
    assert bits_of(ask(encoded(ReadCoilsRequest(address=at, count=bits)), 0), bits) == store.coils[at : at + bits]
    assert (
        bits_of(ask(encoded(ReadDiscreteInputsRequest(address=at, count=bits)), 0), bits)
        == store.inputs[at : at + bits]
    )


WORDS = st.integers(0, 0xFFFF)


@given(
    at=st.integers(0, 50),
    words=st.lists(WORDS, min_size=1, max_size=121),
    states=st.lists(st.booleans(), min_size=1, max_size=1968),
    word=WORDS,
    mask=WORDS,
)
def test_what_pymodbus_writes_is_stored_and_confirmed(at, words, states, word, mask):
    store = Store(2100)
    ask, before = Responder(store).answer, list(store.holding)
    client = DecodePDU(False)
    confirmed = client.decode(ask(encoded(WriteMultipleRegistersRequest(address=at, registers=words)), 0))
    assert (confirmed.address, confirmed.count) == (at, len(words))
    assert store.holding[at : at + len(words)] == words
    assert store.holding[:at] == before[:at]
    assert store.holding[at + len(words) :] == before[at + len(words) :]
    confirmed = client.decode(ask(encoded(WriteMultipleCoilsRequest(address=at, bits=states)), 0))
    assert (confirmed.address, confirmed.count) == (at, len(states))
    assert store.coils[at : at + len(states)] == states
    client.decode(ask(encoded(WriteSingleCoilRequest(address=at, bits=[states[0]])), 0))
    assert store.coils[at] == states[0]
    client.decode(ask(encoded(WriteSingleRegisterRequest(address=at, registers=[word])), 0))
    assert store.holding[at] == word
    client.decode(ask(encoded(MaskWriteRegisterRequest(address=at, and_mask=mask, or_mask=0xA5A5)), 0))
    assert store.holding[at] == (word & mask) | (0xA5A5 & ~mask)
    request = ReadWriteMultipleRegistersRequest(
        read_address=at, read_count=len(words), write_address=at, write_registers=words
    )
    assert registers_of(ask(encoded(request), 0)) == words


def read_identity(identity: Identity, read_code: int) -> tuple[dict[int, bytes], int]:
    class Named(Store):
        pass

    Named.identity = identity
    ask, found, object_id, pages = Responder(Named()).answer, {}, 0, 0
    while True:
        reply = ask(encoded(ReadDeviceInformationRequest(read_code, object_id)), 0)
        decoded = DecodePDU(False).decode(reply)
        assert len(reply) <= 253
        found.update(decoded.information)
        pages += 1
        if not decoded.more_follows:
            return found, pages
        object_id = decoded.next_object_id


@given(
    st.dictionaries(st.integers(0, 255), st.binary(min_size=1, max_size=244), max_size=12).map(
        lambda extra: {0: b"ramprig", 1: b"x", 2: b"1", **extra}
    )
)
def test_paging_shows_every_object_of_a_level_exactly_once(objects):
    for read_code, last in ((1, 2), (2, 0x7F), (3, 0xFF)):
        found, _ = read_identity(Identity(objects), read_code)
        assert found == {number: text for number, text in objects.items() if number <= last}


def test_a_stream_from_an_unknown_object_begins_at_the_first_one():
    assert answer("2b0e0150") == answer("2b0e0100")


def test_a_single_object_can_be_asked_for_where_the_level_allows_it():
    assert answer("2b0e0401") == "2b 0e 04 81 00 00 01 01 05 73 74 6f 72 65"

    class StreamOnly(Store):
        identity = Identity({0: b"a", 1: b"b", 2: b"c"}, conformity=0x01)

    assert answer("2b0e0401", StreamOnly()) == "ab 03"


def test_devices_in_one_process_keep_their_own_identity():
    class Other(Store):
        identity = Identity({0: b"someone", 1: b"else", 2: b"2"})

    assert answer("2b0e0100") != answer("2b0e0100", Other())


@pytest.mark.parametrize("objects", [{256: b"x"}, {-1: b"x"}, {0: b"x" * 245}])
def test_an_identity_that_cannot_be_served_is_refused_when_it_is_made(objects):
    with pytest.raises(ValueError, match="identity object"):
        Identity(objects)
