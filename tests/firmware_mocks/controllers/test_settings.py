"""Settings and start of the reference controller: what cannot be is one sentence with its remedy, and exit code 2."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.settings import ConfigError, load


@pytest.fixture
def inventory() -> dict[str, Any]:
    """As much of a site as the settings are held against."""
    device = {"address": "127.0.0.1", "port": 502, "unit": 1}
    return {
        "site": {"name": "small", "nominal_hz": 60.0, "nominal_w": 50e3, "commitment_w": 20e3},
        "miners": [],
        "meters": [{**device, "id": "meter-poi", "product": "eastron_sdm630", "measures": "poi"}],
        "pdus": [],
        "signals": [{**device, "id": "dispatch", "product": "ramprig_dispatch", "kind": "dispatch"}],
    }


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"frequancy": {}}, "config: frequancy: unknown key; did you mean 'frequency'?"),
        ({"frequency": {"trip": 59.7}}, "config: frequency.trip: unknown key; did you mean 'trip_hz'?"),
        ({"frequency": {"trip_hz": "59.7 Hz"}}, "write a number; its unit stands in the key"),
        ({"frequency": {"trip_hz": float("nan")}}, "must be above 0 and finite"),
        ({"frequency": {"steps": 7}}, "a staircase needs full_hz below trip_hz"),
        ({"frequency": {"full_hz": 59.9}}, "lies above trip_hz"),
        ({"frequency": {"trip_hz": 49.7}}, "frequency.trip_hz = 49.7: does not fit a 60 Hz site"),
        ({"return": {"on": "recal"}}, "return.on = 'recal': did you mean 'recall'?"),
        ({"return": {"above_hz": 59.0}}, "load would return into the event"),
        ({"return": {"stage_share": 2.0}}, "is a fraction"),
        ({"paths": {"allowed": []}}, "write a list of one or more of 'contactor', 'firmware'"),
        ({"paths": {"allowed": ["contacter"]}}, "did you mean 'contactor'?"),
        ({"poll": {"meter_s": -0.05}}, "poll.meter_s = -0.05: must be above 0"),
        ({"retry": {"attempts": 2.5}}, "write a whole number"),
        ({"commitment": {"target_share": 0.9}}, "aims too low"),
        ({"dispatch": 3}, "is not a table; write [dispatch]"),
    ],
)
def test_a_wrong_setting_is_one_sentence_with_its_remedy(
    config: Mapping[str, Any], sentence: str, inventory: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError) as caught:
        reference.check(inventory, load(config))
    assert sentence in str(caught.value)


def test_a_site_the_settings_do_not_fit_is_named(inventory: dict[str, Any]) -> None:
    for change, sentence in (
        ({"signals": []}, 'return.on = "recall": the site has no dispatch signal'),
        ({"meters": []}, 'none has "measures": "poi"'),
        (
            {"pdus": [{"id": "pdu-01", "product": "netio_4"}]},
            "pdu-01: no driver for product 'netio_4'; there is one for netio_powerpdu_4ps",
        ),
        ({"site": {"nominal_hz": 60.0}}, "key 'commitment_w' is missing"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            reference.check({**inventory, **change}, load())


def test_the_program_ends_with_2_and_one_sentence_on_bad_input(
    inventory: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site, bad = tmp_path / "site.json", tmp_path / "bad.toml"
    site.write_text(json.dumps(inventory))
    bad.write_text("[frequency]\ntrip_hz = fifty\n")
    monkeypatch.delenv("RAMPRIG_INVENTORY", raising=False)
    for arguments, sentence in (
        ([], "RAMPRIG_INVENTORY is not set"),
        (["--inventory", str(tmp_path / "none.json")], "none.json: cannot be read"),
        (["--inventory", str(site), "--config", str(bad)], "bad.toml: is not TOML"),
        (["--inventory", str(site), "--config", str(tmp_path / "none.toml")], "none.toml: cannot be read"),
    ):
        assert reference.main(arguments) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("reference: ")
        assert sentence in err
        assert err.count("\n") == 1


def test_the_defaults_are_written_down_and_complete() -> None:
    text = (Path(reference.__file__).parent / "reference.toml").read_text()
    for key in ("full_hz", "pause_hz", "power_w"):
        assert f"# {key} = " in text
