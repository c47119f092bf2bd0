"""The rigs that ship stand, and the mixed one has every firmware on every model."""

from __future__ import annotations

import pytest

from bench import inventory, library
from bench.layout import Layout, lay_out
from bench.listing import listing
from bench.rig_file import load_rig
from firmware_mocks import miners

RIGS = library.names("rig")


def layout(name: str) -> Layout:
    file, path = load_rig(f"rig:{name}")
    return lay_out(file, str(path))


@pytest.mark.parametrize("name", RIGS)
def test_every_shipped_rig_can_be_laid_out_and_told(name: str) -> None:
    told = inventory.parse(layout(name).inventory(1e6, 60.0))
    assert told.site.name == name
    assert told.miners
    assert told.meters
    assert told.pdus


def test_the_mixed_rig_has_every_firmware_on_every_model_once() -> None:
    placed = [(miner.firmware.name, miner.model.id) for miner in layout("mixed").miners if miner.firmware is not None]
    ships = [(name, model) for name in sorted(miners.SHIPPED) for model in sorted(miners.load(name).models)]
    lacks = [
        f'  {{ model = "{model}", firmware = "{name}", count = 1 }},'
        for name, model in ships
        if (name, model) not in placed
    ]
    assert not lacks, "bench/library/rigs/mixed.toml lacks\n" + "\n".join(lacks)
    assert sorted(placed) == ships


def test_the_modbus_rig_has_every_meter_pdu_and_relay_that_is_listed() -> None:
    placed = layout("modbus")
    found = {
        "meters": {place.product.id for place in placed.meters},
        "pdus": {place.product.id for place in placed.pdus},
        "relays": {place.product.id for place in placed.relays},
    }
    listed = {kind: {row[0] for row in listing(kind)[1]} for kind in found}
    assert found == listed, "bench/library/rigs/modbus.toml lacks a product"
    assert {"tcp", "udp", "rtu", "rtu-over-tcp"} <= {place.way.transport for place in placed.meters}
    assert any(place.way.bus == "gateway" for place in placed.meters)
    assert sum(place.way.bus == "rs485" for place in (*placed.meters, *placed.pdus)) >= 5
