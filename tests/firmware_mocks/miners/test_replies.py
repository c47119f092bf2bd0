"""The template language and the provenance of the data files."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.catalogue import GRADES
from emulator.wire import SECOND
from firmware_mocks.miners import replies
from firmware_mocks.miners.replies import FaceDataError, compile_template, figures, templates

READINGS = SimpleNamespace(
    rate=1.5, who=SimpleNamespace(name="ant"), ghs={"5s": 7}, boards=[{"n": 1, "hw": 3}, {"n": 2, "hw": 4}]
)


def shown(template: Any) -> Any:
    return compile_template(template)(READINGS, {})


def test_a_name_keeps_the_type_of_its_reading() -> None:
    assert shown({"a": "$rate", "b": "$who.name", "c": "$ghs.5s", "d": True}) == {
        "a": 1.5,
        "b": "ant",
        "c": 7,
        "d": True,
    }


def test_a_name_inside_longer_text_becomes_text() -> None:
    assert shown("${who.name}: ${rate} TH/s") == "ant: 1.5 TH/s"


def test_rows_become_a_list_or_are_merged_into_an_object() -> None:
    assert shown({"$each": "boards", "of": {"hw": "$hw", "rate": "$rate"}}) == [
        {"hw": 3, "rate": 1.5},
        {"hw": 4, "rate": 1.5},
    ]
    merged = shown({"x": 0, "$each boards": {"hw${n}": "$hw"}, "y": "$rate"})
    assert list(merged.items()) == [("x", 0), ("hw1", 3), ("hw2", 4), ("y", 1.5)]  # where the template has them


def test_a_value_of_the_row_hides_the_reading_of_the_same_name() -> None:
    assert compile_template("$rate")(READINGS, {"rate": 9}) == 9


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text("ab {}"),
        lambda t: st.lists(t) | st.dictionaries(st.text("ab"), t),
    )
)
def test_a_template_without_a_dollar_is_its_own_reply(template: Any) -> None:
    assert shown(template) == template


def test_rendering_leaves_the_template_as_it_was() -> None:
    render = compile_template({"a": "$rate", "b": {"c": 1}})
    render(READINGS, {})["b"]["c"] = 2
    assert render(READINGS, {}) == {"a": 1.5, "b": {"c": 1}}


@pytest.mark.parametrize("face", ["antminer_stock", "luxos"])
def test_every_reply_and_every_figure_says_where_it_is_from(face: str) -> None:
    package = "firmware_mocks.miners"
    entries = [*templates(package, f"{face}.json").values(), *figures(package, f"{face}.toml").values()]
    assert entries
    assert all(entry.grade in GRADES and entry.source for entry in entries)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("json", json.dumps({"summary": {"body": 1}}), "face.json: summary: needs a source and a grade"),
        ("toml", "[knobs]\nx = { value = 1, grade = 'rumour', source = 'x' }", r"knobs.x: .*not 'rumour'"),
        (
            "toml",
            "[knobs]\nwait_ns = { value = '1 sec', grade = 'S', source = 'x' }",
            "knobs.wait_ns.value: .*unknown unit",
        ),
        ("toml", "[knobs]\nx = { grade = 'S', source = 'x' }", "knobs.x: value is missing"),
    ],
)
def test_a_faulty_data_file_is_named_with_its_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, text: str, message: str
) -> None:
    (tmp_path / f"face.{kind}").write_text(text)
    monkeypatch.setattr(replies, "files", lambda package: tmp_path)
    reader = templates if kind == "json" else figures
    with pytest.raises(FaceDataError, match=message):
        reader(str(tmp_path), f"face.{kind}")


def test_durations_are_read_into_nanoseconds() -> None:
    assert figures("firmware_mocks.miners", "luxos.toml")["knobs.session_idle_ns"].value == 60 * SECOND
