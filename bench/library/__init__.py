"""Shipped rigs, profiles, suites and services, and how a name in a file or on the command line becomes a path.

`kind:name` names something shipped (`rig:yard`); anything else is a path, relative to the file that says it.
"""

from __future__ import annotations

import difflib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.config import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS = ("rig", "profile", "suite", "case", "service")
TELLTALE = {
    "feeder": "rig", "channel": "profile", "case": "suite", "sut": "case", "figure": "service", "cases": "matrix",
}  # fmt: skip
"""A top-level key that only one kind of file has."""


def folder(kind: str) -> Path:
    """Where the shipped files of a kind stand."""
    if kind == "service":
        return Path(str(files("bench.services")))
    return Path(str(files("bench.library"))) / f"{kind}s"


def names(kind: str) -> list[str]:
    """Names of everything of a kind that ships, sorted."""
    return sorted(path.stem for path in folder(kind).glob("*.toml"))


def expect(wanted: str, table: Mapping[str, Any], path: Path) -> None:
    """Raises ConfigError for a file of another kind: one sentence in place of one for each of its keys."""
    found = {kind for key, kind in TELLTALE.items() if key in table}
    if found and wanted not in found and not (wanted == "suite" and "case" in found):
        needed = "case or suite" if wanted == "suite" else wanted
        raise ConfigError(f"{path}: is a {min(found)}; a {needed} is needed here")


def resolve(kind: str, reference: str, base: Path | None = None) -> Path:
    """The file that `reference` names. Raises ConfigError with a near match where there is none."""
    prefix, colon, name = reference.partition(":")
    if colon and prefix in KINDS:
        if prefix != kind:
            raise ConfigError(f"{reference}: a {kind} is needed here, this names a {prefix}")
        if name not in names(kind):
            raise ConfigError(f"{reference}: no such {kind} ships with ramprig{did_you_mean(name, names(kind))}")
        return folder(kind) / f"{name}.toml"
    path = Path(reference)
    if base is not None and not path.is_absolute():
        path = base / path
    if path.is_file():
        return path
    if reference in names(kind):
        raise ConfigError(f"{reference}: no such file; the shipped {kind} is called {kind}:{reference}")
    siblings = [entry.name for entry in path.parent.glob(f"*{path.suffix}")] if path.suffix else []
    near = difflib.get_close_matches(path.name, siblings, n=1, cutoff=0.75)
    if near:
        raise ConfigError(f'{path}: no such file; did you mean "{near[0]}"?')
    raise ConfigError(f"{path}: no such file; shipped {kind}s are named {kind}:NAME (see `ramprig list {kind}s`)")
