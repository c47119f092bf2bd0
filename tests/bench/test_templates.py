"""Placeholders in a controller's texts: what they stand for, and one sentence for each that cannot be filled."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench import templates
from bench.config import ConfigError
from bench.layout import lay_out
from bench.lockstep.peer import CHILD
from bench.rig_file import load_rig
from tests.bench.small import write


@pytest.fixture
def inventory(tmp_path: Path) -> dict[str, object]:
    write(tmp_path)
    file, path = load_rig(str(tmp_path / "rig.toml"))
    return lay_out(file, str(path)).inventory(1.0, 60.0)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{python} {lockstep}", f"{sys.executable} {CHILD}"),
        ("--site={inventory} --in {folder} --seed {seed}", "--site=/run/site.json --in /run/sut --seed 7"),
        ("{config}", "/ctl.toml"),
        ("{address:meter-poi}:{port:meter-poi}", "127.88.250.1:502"),
        ("{address:pdu-02} {address:dispatch} {address:meter-feeder-1}", "127.88.251.2 127.88.252.1 127.88.250.2"),
        ("http://{address:miner-0005}:{port:miner-0005/web}/", "http://127.88.1.5:80/"),
        ('{"json": "{seed}", "x": {}}', '{"json": "7", "x": {}}'),
        ("nothing", "nothing"),
    ],
)
def test_a_text_is_filled_in(text: str, filled: str, inventory: dict[str, object]) -> None:
    templates.check([("sut.args[0]", text)], True, lambda: inventory)
    fill = templates.filler(Path("/run/site.json"), Path("/ctl.toml"), Path("/run/sut"), 7, inventory)
    assert fill(text) == filled


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{inventry}", "unknown placeholder {inventry}; did you mean {inventory}?"),
        (
            "{home}",
            "unknown placeholder {home}; known are inventory, config, python, lockstep, folder, seed,",
        ),
        ("{config}", "{config} needs the key sut.config, the path of a file"),
        ("{address}", "{address} needs the id of a device, for example {address:meter-poi}"),
        ("{addres:pdu-01}", "unknown placeholder {addres}; did you mean {address}?"),
        ("{address:meter-pio}", "no device 'meter-pio' stands on this rig; did you mean \"meter-poi\"?"),
        ("{port:miner-0005}", "names no port of miner-0005; write {port:miner-0005/api}, {port:miner-0005/web}"),
        ("{address:pdu-01/web}", "only the port of a miner has a face; write {address:pdu-01}"),
    ],
)
def test_one_that_cannot_be_filled_is_one_sentence_with_its_key(
    text: str, sentence: str, inventory: dict[str, object]
) -> None:
    with pytest.raises(ConfigError) as caught:
        templates.check([("sut.env.SITE", text)], False, lambda: inventory)
    assert str(caught.value).startswith(f"sut.env.SITE: {text!r}: ")
    assert sentence in str(caught.value)


def test_without_an_inventory_ids_are_left_for_later(inventory: dict[str, object]) -> None:
    templates.check([("sut.command", "{address:anything}")], False)
    fill = templates.filler(Path("/site.json"), None, Path("/sut"), 1, inventory)
    with pytest.raises(ValueError, match="no device 'anything' stands on this rig"):
        fill("{address:anything}")
