"""The Protocol Buffers codec, beside betterproto and pyasic's generated classes."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_mocks.miners.braiins_api import MESSAGES
from firmware_mocks.miners.protobuf import Field, Messages, TableError, WireError
from firmware_mocks.miners.protobuf_json import ShapeError, from_json, to_json

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
v1 = pytest.importorskip("pyasic.web.braiins_os.proto.braiins.bos.v1", exc_type=ImportError)
QUICK = settings(max_examples=40, deadline=None)
THEIRS = {name.lower(): getattr(v1, name) for name in dir(v1)}
SHARED = sorted(name for name in MESSAGES if name.lower() in THEIRS)


def scalars(field: Field) -> st.SearchStrategy[Any]:
    return {
        "bool": st.booleans(), "double": st.floats(allow_nan=False), "enum": st.integers(0, 3),
        "int32": st.integers(-(1 << 31), (1 << 31) - 1), "int64": st.integers(-(1 << 40), 1 << 40),
        "string": st.text(st.characters(codec="utf-8"), max_size=12), "uint32": st.integers(0, (1 << 32) - 1),
        "uint64": st.integers(0, (1 << 64) - 1),
    }[field.kind]  # fmt: skip


def one(field: Field, depth: int) -> st.SearchStrategy[Any]:
    if field.kind == "Timestamp":  # betterproto makes a datetime of it: microseconds, and the epoch is absence
        moments = st.integers(1, 1 << 31), st.integers(1, 999_999)
        return st.builds(lambda seconds, micros: {"seconds": seconds, "nanos": 1000 * micros}, *moments)
    if field.kind == "UInt32Value":
        return st.integers(1, 99).map(lambda number: {"value": number})
    return trees(field.kind, depth + 1) if field.is_message else scalars(field)


@st.composite
def trees(draw: st.DrawFn, name: str, depth: int = 0) -> dict[str, Any]:
    """Any message as a tree: at most one member of a oneof, absent fields left out."""
    tree: dict[str, Any] = {}
    taken: set[str] = set()
    for field in MESSAGES[name].fields.values():
        if (field.oneof and field.oneof in taken) or not draw(st.booleans()) or depth > 4:
            continue
        taken.add(field.oneof)
        if field.label == "repeated":
            entries = draw(st.lists(one(field, depth), min_size=1, max_size=3))
            tree[field.name] = entries
        else:
            entry = draw(one(field, depth))
            if field.shows_absence or entry != field.default:
                tree[field.name] = entry
    return tree


@pytest.mark.parametrize("name", SHARED)
def test_every_message_has_the_fields_and_numbers_of_the_generated_classes(name: str) -> None:
    theirs = {
        field.metadata["betterproto"].number: (field.name, field.metadata["betterproto"])
        for field in dataclasses.fields(THEIRS[name.lower()])
    }
    assert theirs.keys() <= MESSAGES[name].by_number.keys()
    for number, (their_name, meta) in theirs.items():
        field = MESSAGES[name].by_number[number]
        assert field.name.replace("_", "") == their_name.replace("_", "")
        kind = "message" if field.is_message else field.kind
        assert kind == meta.proto_type
        assert field.oneof == (meta.group or "")


@QUICK
@given(name=st.sampled_from(sorted(MESSAGES)), data=st.data())
def test_a_tree_comes_back_as_it_was(name: str, data: st.DataObject) -> None:
    tree = data.draw(trees(name))
    assert MESSAGES.decode(name, MESSAGES.encode(name, tree)) == tree


@QUICK
@given(name=st.sampled_from(SHARED), data=st.data())
def test_betterproto_reads_what_is_written_and_writes_what_is_read(name: str, data: st.DataObject) -> None:
    tree = data.draw(trees(name))
    written = MESSAGES.encode(name, tree)
    theirs = THEIRS[name.lower()]().parse(written)
    again = bytes(theirs)
    assert plain(name, MESSAGES.decode(name, again)) == plain(name, tree)


def plain(name: str, tree: dict[str, Any]) -> dict[str, Any]:
    """The tree without optional defaults: fields that became optional after pyasic's classes were made."""
    shown = {}
    for key, entry in tree.items():
        field = MESSAGES[name].fields[key]
        if field.is_message:
            shown[key] = [plain(field.kind, e) for e in entry] if field.label else plain(field.kind, entry)
        elif field.label == "repeated" or entry != field.default:
            shown[key] = entry
    return shown


@QUICK
@given(name=st.sampled_from(sorted(MESSAGES)), data=st.data())
def test_a_message_comes_back_from_its_json(name: str, data: st.DataObject) -> None:
    tree = data.draw(trees(name))
    shown = json.loads(json.dumps(to_json(MESSAGES, name, tree)))
    assert MESSAGES.encode(name, from_json(MESSAGES, name, shown)) == MESSAGES.encode(name, tree)


@QUICK
@given(name=st.sampled_from(sorted(MESSAGES)), data=st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_wire_error(name: str, data: bytes) -> None:
    try:
        tree = MESSAGES.decode(name, data)
    except WireError:
        return
    MESSAGES.encode(name, tree)
    MESSAGES.full(name, tree)


@QUICK
@given(name=st.sampled_from(sorted(MESSAGES)), data=st.data())
def test_any_json_is_a_message_or_a_shape_error(name: str, data: st.DataObject) -> None:
    keys = st.sampled_from([*MESSAGES[name].fields, *(f.oneof for f in MESSAGES[name].fields.values()), "x"])
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    inner = st.recursive(leaves, lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=4), some))
    given_json = data.draw(st.dictionaries(keys, inner, max_size=6) | inner)
    try:
        tree = from_json(MESSAGES, name, given_json)
    except ShapeError:
        return
    MESSAGES.encode(name, tree)


SMALL = Messages({
    "Inner": {"number": "1 int32", "text": "2 string"},
    "Outer": {
        "inner": "1 Inner", "many": "2 Inner repeated", "numbers": "3 uint32 repeated", "rates": "4 double repeated",
        "left": "5 Inner oneof side", "right": "6 string oneof side", "seen": "7 bool optional", "deep": "8 Outer",
    },
})  # fmt: skip


def test_defaults_are_not_on_the_wire_unless_their_absence_could_be_seen() -> None:
    assert SMALL.encode("Inner", {"number": 0, "text": ""}) == b""
    assert SMALL.encode("Outer", {"seen": False}) == b"\x38\x00"
    assert SMALL.encode("Outer", {"inner": {}}) == b"\x0a\x00"
    assert SMALL.full("Outer", {})["seen"] is None
    assert SMALL.full("Inner", {}) == {"number": 0, "text": ""}


def test_negative_numbers_take_ten_bytes_and_come_back() -> None:
    assert len(SMALL.encode("Inner", {"number": -1})) == 11
    assert SMALL.decode("Inner", SMALL.encode("Inner", {"number": -5})) == {"number": -5}


def test_numbers_may_come_packed_or_one_by_one() -> None:
    assert SMALL.encode("Outer", {"numbers": [1, 300]}) == b"\x1a\x03\x01\xac\x02"
    assert SMALL.decode("Outer", b"\x18\x01\x18\xac\x02") == {"numbers": [1, 300]}
    assert SMALL.decode("Outer", SMALL.encode("Outer", {"rates": [1.5, -2.0]})) == {"rates": [1.5, -2.0]}


def test_the_last_of_a_oneof_wins_and_equal_messages_merge() -> None:
    both = SMALL.encode("Outer", {"left": {"number": 1}}) + SMALL.encode("Outer", {"right": "x"})
    assert SMALL.decode("Outer", both) == {"right": "x"}
    parts = SMALL.encode("Outer", {"inner": {"number": 1}}) + SMALL.encode("Outer", {"inner": {"text": "a"}})
    assert SMALL.decode("Outer", parts) == {"inner": {"number": 1, "text": "a"}}


def test_unknown_fields_are_skipped() -> None:
    assert SMALL.decode("Inner", b"\xf8\x07\x05\x08\x02\xf2\x07\x01a\xf5\x07abcd\xf1\x07abcdefgh") == {"number": 2}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x08", "underflow"), (b"\x12\x05ab", "underflow"), (b"\x08" + b"\xff" * 11, "varint"),
        (b"\x0b", "wire type"), (b"\x12\x01\xff", "UTF-8"), (b"\x0d\0\0\0\0", "wire type"), (b"\x00\x01", "tag"),
    ],
)  # fmt: skip
def test_broken_bytes_are_named(data: bytes, why: str) -> None:
    with pytest.raises(WireError, match=why):
        SMALL.decode("Inner", data)


def test_depth_is_bounded() -> None:
    tree: dict[str, Any] = {}
    for _ in range(40):
        tree = {"deep": tree}
    with pytest.raises(WireError, match="recursion"):
        SMALL.decode("Outer", SMALL.encode("Outer", tree))


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({"A": {"x": "one uint32"}}, "A.x: 'one uint32' is no field"), ({"A": {"x": "1 Missing"}}, "A.x: no message"),
        ({"A": {"x": "1 bool", "y": "1 bool"}}, "A: two fields"), ({"A": {"x": "1 bool oneof"}}, "A.x"),
    ],
)  # fmt: skip
def test_a_broken_table_names_message_and_field(table: dict[str, dict[str, str]], why: str) -> None:
    with pytest.raises(TableError, match=why):
        Messages(table)


def test_a_tree_with_a_key_that_is_no_field_is_a_mistake_of_ours() -> None:
    with pytest.raises(TableError, match=r"Inner: has no field 'nmber'; it has number, text"):
        SMALL.encode("Inner", {"nmber": 1})


def test_json_is_written_whole_and_read_strictly() -> None:
    assert to_json(SMALL, "Outer", {"left": {"number": 2}}) == {
        "inner": None, "many": [], "numbers": [], "rates": [], "side": {"left": {"number": 2, "text": ""}},
        "seen": None, "deep": None,
    }  # fmt: skip
    for wrong in ({}, {"number": "1", "text": ""}, {"number": True, "text": ""}, {"number": 1 << 40, "text": ""}, []):
        with pytest.raises(ShapeError):
            from_json(SMALL, "Inner", wrong)
    for wrong in ({"side": {"up": {}}}, {"side": 3}, {"side": {}}, {"many": {}}, {"rates": [10**400]}):
        with pytest.raises(ShapeError):
            from_json(SMALL, "Outer", wrong)
    assert math.isinf(from_json(SMALL, "Outer", {"rates": [math.inf]})["rates"][0])
