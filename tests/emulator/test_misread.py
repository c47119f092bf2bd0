"""Wrong values in well-formed replies: the right ones are found, and no other byte moves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.faults import Fault, Value, read_fault
from emulator.misread import Memory, misread, note, spans

STATS = (
    '{"STATUS":[{"STATUS":"S","When":17,"Code":70}],"STATS":[{"Type":"Antminer S19j Pro"},'
    '{"GHS 5s":104377.12,"fan1":5640,"fan2":5700,"temp_chip1":"52-55-64-66","chain_rate1":"34790.11",'
    '"chain_rate4":"","chain":[{"rate":1.5},{"rate":2.5},{"rate":3}]}],"id":1}'
)
AVALON = '{"STATS":[{"STATS":0,"MM ID0":"Ver[1566-x] GHSmm[185000.12] Temp[31] Fan1[4200] PS[0 1214 1290]"}],"id":1}'
ROWS = "STATUS=S,When=17,Code=11|SUMMARY,Elapsed=5,MHS av=104000.25|"


def fault(how: str, keys: str = "*", **given: Value) -> Fault:
    return Fault("m", "misread", parameters={"how": how, "keys": keys, **given})


def edit(text: str, *args: Any, **given: Value) -> str:
    return misread(text, fault(*args, **given), (), {})


trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
json_texts = (st.lists(trees, max_size=4) | st.dictionaries(st.text(), trees, max_size=4)).flatmap(
    lambda tree: st.sampled_from([None, 1]).map(lambda indent: json.dumps(tree, indent=indent))
)


@given(json_texts)
def test_every_value_of_a_json_text_is_found_where_it_stands(text: str) -> None:
    for span in spans(text):
        at: Any = json.loads(text)
        for step in span.path:
            if isinstance(at, str):
                break  # a key[value] inside a text
            at = at[step]
        else:
            assert json.loads(text[span.start : span.end]) == at
    assert text[spans(text)[0].start : spans(text)[0].end] == text


@given(json_texts | st.text(), st.sampled_from(["set", "scale", "put", "remove", "shorten", "freeze"]))
def test_names_that_do_not_occur_change_nothing(text: str, how: str) -> None:
    assert edit(text, how, "no_such_name") == text


@given(json_texts, st.sampled_from(["set", "put", "remove", "shorten", "freeze"]))
def test_the_text_stays_well_formed(text: str, how: str) -> None:
    json.loads(edit(text, how, "*"))


@given(json_texts)
def test_what_was_never_seen_before_is_frozen_as_it_is(text: str) -> None:
    assert edit(text, "freeze") == text


def test_numbers_under_a_name_are_set_in_the_shape_they_have() -> None:
    wrong = json.loads(edit(STATS, "set", "GHS_5s fan* temp_chip1 chain_rate* chain"))["STATS"][1]
    assert wrong == {
        "GHS 5s": 0, "fan1": 0, "fan2": 0, "temp_chip1": "0-0-0-0", "chain_rate1": "0", "chain_rate4": "",
        "chain": [{"rate": 0}, {"rate": 0}, {"rate": 0}],
    }  # fmt: skip
    assert edit(STATS, "set", "STATS.1.fan1", value="-40") == STATS.replace("5640", "-40")


def test_values_are_scaled_with_the_decimals_they_have() -> None:
    assert edit(STATS, "scale", "GHS_5s", factor=1.3) == STATS.replace("104377.12", "135690.26")
    assert edit(STATS, "scale", "temp_chip1", factor=2.0) == STATS.replace("52-55-64-66", "104-110-128-132")


def test_values_are_put_removed_and_shortened() -> None:
    assert edit(STATS, "put", "Type", value="S19 Prp") == STATS.replace("Antminer S19j Pro", "S19 Prp")
    assert edit(STATS, "put", "GHS_5s", value='"nan"') == STATS.replace("104377.12", '"nan"')
    assert edit(STATS, "put", "Type", value="null") == STATS.replace('"Antminer S19j Pro"', "null")
    assert edit(STATS, "put", "chain_rate1", value="") == STATS.replace('"34790.11"', '""')
    assert edit(STATS, "put", "GHS_5s", value="nan") == STATS.replace("104377.12", "nan")
    assert edit(STATS, "put", "GHS_5s", value="104 TH") == STATS.replace("104377.12", '"104 TH"')
    assert edit(STATS, "remove", "GHS_5s") == STATS.replace('"GHS 5s":104377.12,', "")
    assert edit(STATS, "remove", "id") == STATS.replace(',"id":1', "")
    assert json.loads(edit(STATS, "remove", "fan* chain*"))["STATS"][1] == {
        "GHS 5s": 104377.12, "temp_chip1": "52-55-64-66",
    }  # fmt: skip
    assert edit(STATS, "shorten", "chain", elements=2) == STATS.replace(',{"rate":2.5},{"rate":3}]', "]")
    assert edit(STATS, "shorten", "chain", elements=9) == STATS.replace('[{"rate":1.5},{"rate":2.5},{"rate":3}]', "[]")


def test_the_other_two_forms_are_read_too() -> None:
    assert edit(AVALON, "set", "GHSmm PS") == AVALON.replace("185000.12", "0").replace("0 1214 1290", "0 0 0")
    assert edit(ROWS, "set", "MHS_av") == ROWS.replace("104000.25", "0")
    assert edit("<html><h1>401</h1></html>", "set") == "<html><h1>401</h1></html>"


def test_a_frozen_value_is_the_last_one_before_the_fault_and_other_values_go_on() -> None:
    frozen, memory = fault("freeze", "GHS_5s"), Memory()
    note(STATS, frozen, ("stats",), memory)
    later = STATS.replace("104377.12", "0.0").replace('"When":17', '"When":99')
    assert misread(later, frozen, ("stats",), memory) == STATS.replace('"When":17', '"When":99')
    assert misread(later, fault("freeze", "GHS_5s"), ("stats",), {}) == later, "unseen before: the first one seen"


def test_a_joined_reply_and_a_single_one_share_what_is_frozen() -> None:
    frozen, memory = fault("freeze", "GHS_5s"), Memory()
    note(STATS, frozen, ("stats",), memory)
    joined = f'{{"stats":[{STATS.replace("104377.12", "0.0")}],"id":1}}'
    assert misread(joined, frozen, ("stats+pools", "stats", "pools"), memory) == joined.replace("0.0", "104377.12")


@pytest.mark.parametrize("keys", ["GHS 5s", "GHS_5s"])
def test_names_in_a_list_may_have_blanks(keys: str) -> None:
    read = read_fault({"where": "m", "kind": "misread", "keys": [keys, "fan1"]}, "here")
    assert read.globs("keys") == ("GHS_5s", "fan1")
