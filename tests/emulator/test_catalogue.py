"""Catalogue files: everything that ships can be read and carries its source; what cannot be read names the remedy."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any

import pytest

from emulator import catalogue
from emulator.catalogue import CatalogueError


@pytest.mark.parametrize("model_id", catalogue.model_ids())
def test_every_model_carries_sources_and_sane_figures(model_id: str) -> None:
    model = catalogue.model(model_id)
    assert model.type_string == f"{model.make} {model.name}"
    assert 10 < model.nominal_w / model.nominal_ths < 45, "J/TH"
    assert model.sleep_w < 0.2 * model.nominal_w
    assert all(figure.source and figure.grade in catalogue.GRADES for figure in model.figures.values())


@pytest.mark.parametrize("family_id", catalogue.family_ids())
def test_every_phase_step_carries_a_source(family_id: str) -> None:
    for script in catalogue.family(family_id).scripts.values():
        assert all(step.source and step.grade in catalogue.GRADES for step in script.steps)


def test_a_model_is_found_by_its_name_and_a_typo_gets_a_hint() -> None:
    assert catalogue.model("S19j Pro") is catalogue.model("Antminer S19j Pro")
    with pytest.raises(CatalogueError, match="did you mean 'S19k Pro'"):
        catalogue.model("S19 Prp")


def _model() -> dict[str, Any]:
    return tomllib.loads((files("emulator.catalogue") / "models" / "s21.toml").read_text())


def test_errors_of_a_model_name_file_and_key() -> None:
    data = _model()
    del data["chip"]
    with pytest.raises(CatalogueError, match=r"my\.toml: chip is missing"):
        catalogue.read_model("my.toml", data)
    data = _model()
    data["figures"]["nominal_w"]["value"] = "3500 Wt"
    with pytest.raises(CatalogueError, match=r"my\.toml: figures\.nominal_w\.value: .*did you mean 'W'"):
        catalogue.read_model("my.toml", data)
    data = _model()
    data["figures"]["nominal_w"]["grade"] = "sure"
    with pytest.raises(CatalogueError, match="is not a grade"):
        catalogue.read_model("my.toml", data)


def test_a_misspelt_key_of_a_model_gets_a_hint() -> None:
    data = _model()
    data["chps_per_board"] = data.pop("chips_per_board")
    with pytest.raises(CatalogueError, match="unknown key 'chps_per_board'; did you mean 'chips_per_board'"):
        catalogue.read_model("my.toml", data)


def test_a_phase_script_must_end_open() -> None:
    raw = tomllib.loads((files("emulator.catalogue") / "phases" / "luxos.toml").read_text())
    raw["script"]["sleep"]["step"][-1]["for"] = "1 s"
    with pytest.raises(CatalogueError, match=r"script\.sleep: the last step must have no `for`"):
        catalogue.read_family("my.toml", raw)
