"""`ramprig init`: a small project that runs green, to change into one's own.

Owns which files it consists of and that none is overwritten; what stands in them is in `bench/starter/`.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from bench.config import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_RENAMED = {"gitignore": ".gitignore", "github.yml": ".github/workflows/bench.yml", "gitlab.yml": ".gitlab-ci.yml"}
"""Files whose names would hide them, or mean something, where they are kept."""


def starter() -> dict[str, str]:
    """The files of the project by their path in it, sorted."""
    kept = [file for file in files("bench").joinpath("starter").iterdir() if file.is_file()]
    return dict(sorted((_RENAMED.get(file.name, file.name), file.read_text(encoding="utf-8")) for file in kept))


def init(folder: Path) -> list[Path]:
    """Write the project into `folder`, which is made where there is none; returns its files.

    Raises ConfigError where one of them is there already: nothing is written then.
    """
    project = {folder / name: text for name, text in starter().items()}
    there = [path for path in project if path.exists() or path.is_symlink()]
    if there:
        raise ConfigError(*(f"{path}: is there already and is not overwritten; name an empty folder" for path in there))
    for path, text in project.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(project)
