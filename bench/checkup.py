"""`ramprig check`: reads a file as what it is and collects everything that is wrong with it. Runs nothing."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench import library
from bench.config import ConfigError, read_toml

if TYPE_CHECKING:
    from collections.abc import Callable

_ALIKE = 0.8
"""How alike a misspelt key and the one that was meant are (estimate)."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One file with its problems, none when it is good."""

    name: str
    kind: str
    problems: tuple[str, ...]


def check_file(name: str) -> Checked:
    """Check one file by path or shipped name; every problem is one sentence with file, key and remedy."""
    kind = name.partition(":")[0] if name.partition(":")[0] in library.KINDS else ""
    try:
        path = library.resolve(kind, name) if kind else Path(name)
        kind = kind or _kind(path)
        _CHECKS[kind](path)
    except ConfigError as error:
        return Checked(name, kind or "file", error.problems)
    return Checked(name, kind, ())


def _kind(path: Path) -> str:
    table = read_toml(path)
    for key, kind in library.TELLTALE.items():
        if key in table:
            return kind
    for key, kind in library.TELLTALE.items():
        if difflib.get_close_matches(key, table, n=1, cutoff=_ALIKE):
            return kind  # whose model names the key as it should be
    keys = ", ".join(f"[{key}] ({kind})" for key, kind in library.TELLTALE.items())
    raise ConfigError(
        f"{path}: cannot tell what this file is; a rig, profile, suite, case, service or matrix has one of {keys}"
    )


def _rig(path: Path) -> None:
    from bench.layout import lay_out
    from bench.rig_file import load_rig

    file, _ = load_rig(str(path))
    lay_out(file, str(path))


def _profile(path: Path) -> None:
    from bench.profile import load_profile

    load_profile(path)


def _service(path: Path) -> None:
    from bench.services import load_service

    load_service(path)


def _cases(path: Path) -> None:
    from bench.case_file import load_cases
    from bench.play import plan_all

    plan_all(load_cases(str(path))[1])


def _matrix(path: Path) -> None:
    from bench.campaign import load_matrix

    load_matrix(path)


_CHECKS: dict[str, Callable[[Path], None]] = {
    "rig": _rig,
    "profile": _profile,
    "service": _service,
    "case": _cases,
    "suite": _cases,
    "matrix": _matrix,
}
