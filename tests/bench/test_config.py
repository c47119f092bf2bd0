"""The reader of files people write: every problem is one sentence with file, key and remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from bench.config import ConfigError, Document, DurationNs, PowerW, Table, load_toml, validate


class Miner(Table):
    kind: Literal["miner"]
    power: PowerW


class Pause(Table):
    kind: Literal["pause"]
    hold: DurationNs = 0


class Yard(Document):
    name: str
    parts: tuple[Annotated[Miner | Pause, Field(discriminator="kind")], ...] = ()
    spare: dict[str, Miner] = Field(default_factory=dict)


def problems(table: dict[str, object]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        validate(table, Yard, "yard.toml")
    return caught.value.problems


def test_quantities_become_plain_numbers_in_one_unit() -> None:
    parts = [{"kind": "miner", "power": "3.25 kW"}, {"kind": "pause", "hold": "250 ms"}]
    yard = validate({"schema": 1, "name": "yard", "parts": parts}, Yard, "yard.toml")
    assert [part.model_dump() for part in yard.parts] == [
        {"kind": "miner", "power": 3250.0},
        {"kind": "pause", "hold": 250_000_000},
    ]


def test_all_problems_of_a_file_are_named_at_once() -> None:
    assert len(problems({"schema": 1, "parts": [{"kind": "miner", "power": 3}], "extra": 1})) == 3


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"nme": "x"}, 'yard.toml: nme: unknown key; did you mean "name"?'),
        ({"schema": 2}, 'yard.toml: schema: unknown value "2"; known are 1'),
        ({}, "yard.toml: name: is missing; add this key"),
        ({"name": 5}, "yard.toml: name: 5 is not text; put it in quotes"),
        ({"parts": 3}, "yard.toml: parts: 3 is not an array; write it in square brackets"),
        (
            {"parts": {"kind": "miner"}},
            "yard.toml: parts: is one table where a list of tables is expected; write [[parts]]",
        ),
        ({"parts": [3]}, "yard.toml: parts[0]: 3 is not a table; write { key = value } or a [section]"),
        ({"parts": [{}]}, "yard.toml: parts[0]: the key kind is missing; it says which form of table this is"),
        ({"parts": [{"kind": "minr"}]}, 'yard.toml: parts[0]: unknown kind "minr"; did you mean "miner"?'),
        ({"parts": [{"kind": "miner", "powr": 1}]}, 'yard.toml: parts[0].powr: unknown key; did you mean "power"?'),
        (
            {"parts": [{"kind": "pause", "hold": "-3 s"}]},
            "yard.toml: parts[0].hold: '-3 s': a duration cannot be negative",
        ),
        (
            {"spare": {"one": {"kind": "miner", "power": "3 kWh"}}},
            "yard.toml: spare.one.power: '3 kWh': unknown unit 'kWh'; did you mean 'kW'?",
        ),
        (
            {"spare": {"one": {"kind": "miner", "power": "3"}}},
            "yard.toml: spare.one.power: '3': no unit; one of 'mW', 'W', 'kW', 'MW', 'GW' is expected",
        ),
    ],
)
def test_a_problem_names_file_key_value_and_remedy(table: dict[str, object], sentence: str) -> None:
    assert sentence in problems({"schema": 1, **table})


def test_a_list_whose_entries_are_wrong_is_not_called_empty() -> None:
    class Full(Table):
        parts: tuple[Miner, ...] = Field(min_length=1)

    with pytest.raises(ConfigError) as caught:
        validate({"parts": [{"kind": "miner", "power": "3"}]}, Full, "yard.toml")
    (problem,) = caught.value.problems
    assert problem.startswith("yard.toml: parts[0].power: ")
    with pytest.raises(ConfigError, match=r"yard\.toml: parts: is empty; give at least one"):
        validate({"parts": []}, Full, "yard.toml")


def test_a_value_is_repeated_as_the_file_has_it_and_not_at_length() -> None:
    (problem,) = problems({"schema": 1, "name": "x", "spare": {"one": [{"kind": "miner"}] * 9}})
    assert problem.startswith("yard.toml: spare.one: [{'kind': 'miner'}, {'kind':")
    assert len(problem) < 150


def test_a_file_that_is_no_toml_is_one_sentence_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "yard.toml").write_text("schema = 1\nname = yard\n")
    with pytest.raises(ConfigError, match=r"yard\.toml: not valid TOML: .*line 2.*quotes"):
        load_toml(tmp_path / "yard.toml", Yard)


def test_a_missing_file_is_answered_with_its_nearest_neighbour(tmp_path: Path) -> None:
    (tmp_path / "yard.toml").write_text("")
    with pytest.raises(ConfigError, match=r'yrd\.toml: no such file; did you mean "yard\.toml"\?'):
        load_toml(tmp_path / "yrd.toml", Yard)


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "yard.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(ConfigError, match="save the file as UTF-8"):
        load_toml(tmp_path / "yard.toml", Yard)


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_toml(tmp_path, Yard)
