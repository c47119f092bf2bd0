"""The inventory: what is written is what its schema promises, and what contradicts itself is named."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from bench import inventory
from bench.config import ConfigError

PUBLISHED = Path(__file__).parents[2] / "docs" / "reference" / "inventory.schema.json"


@pytest.fixture
def table() -> dict[str, Any]:
    """A site with one PDU whose first outlet switches both miners."""
    miner = {
        "address": "127.1.1.1", "ports": {"api": 4028, "web": 80}, "make": "Antminer", "model": "S21",
        "firmware": "luxos", "credentials": {"username": "root", "password": "root"}, "feeder": "feeder-1",
        "pdu": "pdu-01", "outlet": "pdu-01.1", "nominal_w": 3500.0, "nominal_ths": 200.0,
    }  # fmt: skip
    device = {"transport": "tcp", "address": "127.1.250.1", "port": 502, "unit": 1, "line": None}
    line = {"id": "rs485", "path": "/dev/pts/7", "baud": 9600, "parity": "none", "data_bits": 8, "stop_bits": 1}
    hung = {"transport": "rtu", "address": None, "port": None, "unit": 7, "line": line}
    return {
        "schema": 1,
        "site": {"name": "yard", "nominal_w": 7100.0, "nominal_hz": 60.0, "commitment_w": 7000},
        "miners": [{**miner, "id": "miner-0001"}, {**miner, "id": "miner-0002", "address": "127.1.1.2"}],
        "meters": [
            {**device, "id": "meter-poi", "product": "eastron_sdm630", "measures": "poi"},
            {**hung, "id": "meter-2", "product": "eastron_sdm630", "measures": "feeder-1"},
        ],
        "pdus": [
            {**device, "id": "pdu-01", "product": "netio_powerpdu_4ps",
             "outlets": [{"id": "pdu-01.1", "index": 1, "miners": ["miner-0001", "miner-0002"], "loads": []}]},
        ],
        "relays": [{**device, "id": "relay-feeder-1", "product": "sel_751a", "protects": "feeder-1"}],
        "signals": [{**device, "id": "dispatch", "kind": "dispatch", "product": "ramprig_dispatch"}],
    }  # fmt: skip


def test_a_file_reads_back_as_it_was_written(table: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "site.json"
    inventory.write(inventory.parse(table), path)
    assert inventory.as_table(inventory.read(path)) == json.loads(path.read_text())
    assert [entry.name for entry in tmp_path.iterdir()] == ["site.json"]


def test_the_file_has_the_key_names_of_the_table(table: dict[str, Any]) -> None:
    assert inventory.as_table(inventory.parse(table)) == table


def test_the_published_schema_is_the_one_of_the_model() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == inventory.schema_text(), (
        "docs/reference/inventory.schema.json is stale; write it anew with bench.inventory.schema_text()"
    )


def test_every_key_that_is_written_stands_in_the_schema(table: dict[str, Any]) -> None:
    described = inventory.schema()

    def look(value: Any, shape: dict[str, Any]) -> None:
        if "oneOf" in shape:  # told apart by a key
            told = shape["discriminator"]
            shape = {"$ref": told["mapping"][value[told["propertyName"]]]}
        shape = described["$defs"][shape["$ref"].rpartition("/")[2]] if "$ref" in shape else shape
        if isinstance(value, dict) and "properties" in shape:
            assert set(value) == set(shape["required"]) == set(shape["properties"])
            for key, item in value.items():
                look(item, shape["properties"][key])
        elif isinstance(value, list):
            for item in value:
                look(item, shape["items"])

    look(inventory.as_table(inventory.parse(table)), described)


def _set(table: dict[str, Any], keys: list[str | int], value: object) -> dict[str, Any]:
    changed: Any = copy.deepcopy(table)
    here = changed
    for key in keys[:-1]:
        here = here[key]
    here[keys[-1]] = value
    return dict(changed)


@pytest.mark.parametrize(
    ("keys", "value", "sentence"),
    [
        (["site", "nominal_w"], -1.0, "site.nominal_w"),
        (["miners", 0, "nominal_wat"], 1.0, 'nominal_wat: unknown key; did you mean "nominal_w"?'),
        (["miners", 1, "id"], "miner-0001", "'miner-0001' stands twice"),
        (["miners", 1, "outlet"], None, "miner 'miner-0002': its outlet None"),
        (["miners", 0, "ports", "web"], 70000, "miners[0].ports.web"),
        (["pdus", 0, "outlets", 0, "miners"], ["miner-0001"], "miner 'miner-0002': its outlet 'pdu-01.1'"),
        (["pdus", 0, "id"], "meter-poi", "devices: 'meter-poi' stands twice"),
        (["signals", 0, "kind"], "dispach", 'did you mean "dispatch"?'),
    ],
)
def test_a_contradiction_names_key_and_value(
    table: dict[str, Any], keys: list[str | int], value: object, sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        inventory.parse(_set(table, keys, value), "site.json")
    assert "site.json" in str(caught.value)
    assert sentence in str(caught.value)


def test_a_miner_behind_two_outlets_is_refused(table: dict[str, Any]) -> None:
    table["pdus"][0]["outlets"].append({"id": "pdu-01.2", "index": 2, "miners": ["miner-0001"], "loads": []})
    with pytest.raises(ConfigError, match="miners of outlets: 'miner-0001' stands twice"):
        inventory.parse(table)


def test_an_outlet_with_an_unknown_miner_is_refused(table: dict[str, Any]) -> None:
    table["pdus"][0]["outlets"][0]["miners"].append("miner-0003")
    with pytest.raises(ConfigError, match="miner 'miner-0003' of an outlet is not among miners"):
        inventory.parse(table)


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_file_that_is_no_inventory_is_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "site.json").write_text(text)
    with pytest.raises(ConfigError, match=r"site\.json"):
        inventory.read(tmp_path / "site.json")
