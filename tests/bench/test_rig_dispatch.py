"""Where the operator's register block stands: an address, a line, behind a gateway; and what is wrong with a place."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from bench import inventory
from bench.config import ConfigError, validate
from bench.layout import lay_out
from bench.rig_file import RigFile
from tests.bench.small import RIG


def small(**more: Any) -> RigFile:
    return validate({**tomllib.loads(RIG), **more}, RigFile, "rig.toml")


@pytest.mark.parametrize(
    ("dispatch", "way"),
    [
        (True, ("tcp", "127.88.252.1", 502, 1, None)),
        ({}, ("tcp", "127.88.252.1", 502, 1, None)),
        ({"address": "127.88.252.9", "unit": 4, "port": 1502}, ("tcp", "127.88.252.9", 1502, 4, None)),
        ({"line": "rs485", "unit": 10}, ("rtu", None, None, 10, "rs485")),
        ({"gateway": "moxa", "unit": 3}, ("tcp", "127.88.254.1", 502, 3, None)),
    ],
)
def test_the_dispatch_block_stands_where_the_rig_says(dispatch: Any, way: tuple[Any, ...]) -> None:
    file = small(dispatch=dispatch, line=[{"id": "rs485"}], gateway=[{"id": "moxa"}])
    told = lay_out(file, "rig.toml").inventory(1.0, 60.0)
    (entry,) = inventory.parse(told, "site.json").signals
    assert isinstance(entry, inventory.Signal)
    line = None if entry.line is None else entry.line.id
    assert (entry.transport, entry.address, entry.port, entry.unit, line) == way


@pytest.mark.parametrize(
    ("dispatch", "problem"),
    [
        ("on", "dispatch: 'on' is not true or false; write true or false without quotes"),
        ({"lin": "rs485"}, 'dispatch.lin: unknown key; did you mean "line"?'),
        ({"line": "rs485", "port": 502}, "dispatch: port belongs to a device on an address of its own; with `line`, "),
        ({"provider": {"kind": "real", "address": "192.0.2.1"}}, "dispatch: provider: the block is the bench's own"),
    ],
)
def test_what_is_wrong_with_the_place_of_the_dispatch_block_is_told(dispatch: Any, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        small(dispatch=dispatch)
    assert len(caught.value.problems) == 1
    assert problem in caught.value.problems[0]


def test_a_line_that_does_not_exist_and_a_unit_that_is_taken_are_told_of_the_dispatch_block() -> None:
    for dispatch, problem in (
        ({"line": "rs48"}, "dispatch.line: there is no line 'rs48'; did you mean \"rs485\"?"),
        ({"line": "rs485", "unit": 1}, "are both unit 1 on rs485; give one of them another unit"),
    ):
        with pytest.raises(ConfigError) as caught:
            lay_out(small(dispatch=dispatch, line=[{"id": "rs485"}], meter={"line": "rs485"}), "rig.toml")
        assert problem in str(caught.value)
