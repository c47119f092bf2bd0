"""`ramprig registers`: the map of every product, as a controller's author reads it."""

from __future__ import annotations

import json

import pytest

from bench.config import ConfigError
from bench.register_list import COLUMNS, registers, sources
from emulator.meters import product as meters
from emulator.pdus import product as pdus
from emulator.protection import product as relays
from tests.bench.small import ramprig

PRODUCTS = (*meters.list_products(), *pdus.list_products(), *relays.list_products())


@pytest.mark.parametrize("product", PRODUCTS)
def test_every_product_shows_a_map_with_grades_and_sources(product: str) -> None:
    rows = registers(product)
    assert rows
    for row in rows:
        told = dict(zip(COLUMNS, row, strict=True))
        assert set(told["function"].split(", ")) <= {"1", "2", "3", "4"}
        assert told["hex"] == f"{int(told['address']):04X}h"
        assert told["grade"]
        assert told["source"]
    assert all(sources(rows))


@pytest.mark.parametrize("product", meters.list_products())
def test_no_value_of_a_meter_is_left_out_and_none_told_twice(product: str) -> None:
    meter = meters.load_product(product)
    shown = [(function, int(row[1]), row[6]) for row in registers(product) for function in row[0].split(", ")]
    there = [("4", row.address, row.quantity) for row in meter.input.rows]
    there += [("3", row.address, row.quantity) for row in meter.holding.rows]
    assert sorted(shown) == sorted(there)


def test_what_the_readme_reads_with_mbpoll_stands_where_the_map_says() -> None:
    (row,) = (row for row in registers("eastron_sdm630") if row[6] == "frequency_hz")
    assert row[:6] == ("4", "70", "0046h", "f32 hi-lo", "Hz", "")
    outlets = [row[:2] for row in registers("gude_epc_8045") if row[6].startswith("output:")]
    assert outlets == [("1", str(number)) for number in range(12)]


def test_the_command_prints_a_table_or_one_object_and_names_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    shown = ramprig(capsys, "registers", "eastron_sdm120")
    assert shown.code == 0
    assert "frequency_hz" in shown.out
    assert "source: " in shown.err
    rows = json.loads(ramprig(capsys, "registers", "eastron_sdm120", "--json").out)["registers"]
    assert set(rows[0]) == set(COLUMNS)
    mistaken = ramprig(capsys, "registers", "eastron_sdm63")
    assert mistaken.code == 2
    assert 'did you mean "eastron_sdm630"?' in mistaken.err
    with pytest.raises(ConfigError, match="no meter, PDU or relay"):
        registers("S21")
