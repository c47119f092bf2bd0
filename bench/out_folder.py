"""The folder that runs are written into: what of an earlier run is replaced, and what must never be touched.

Owns every deletion in the bench. A folder is emptied only where each thing in it is known to be part of a run.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from bench.config import ConfigError
from bench.record import RUN_FILES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

REPORTS = ("junit.xml", "report.html", "verdict.json")
"""Renderings of a verdict, in a run folder and beside run folders. In the order in which they are removed: what says
whose they are goes last."""
_KNOWN = {*RUN_FILES, *REPORTS, "campaign.json"}


def prepare(out: Path, runs: Iterable[str]) -> None:
    """Make `out` ready for a suite: no report and no run of these names is left of an earlier one.

    So nothing old can be taken for the result of a suite that is interrupted. Raises ConfigError where `out` is no
    place for runs; then nothing has been removed.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: is a file; choose a folder with --out")
    if _is_a_run(out):
        raise ConfigError(f"{out}: is itself a run; name the folder above it with --out")
    reports = [out / name for name in REPORTS if (out / name).exists()]
    if reports and not _tells(out / "verdict.json", "schema", "cases"):
        names = ", ".join(path.name for path in reports)
        raise ConfigError(f"{out}: {names} there is no report of ramprig; choose another folder with --out")
    folders = [out / run for run in runs]
    for folder in folders:
        _refuse_strangers(folder)
    for report in reports:
        report.unlink()
    for folder in folders:
        fresh(folder)


def fresh(folder: Path) -> None:
    """Make `folder`, or empty it of an earlier run. Raises ConfigError where it is, or holds, anything else."""
    _refuse_strangers(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # run.json goes last: until then the folder is known for what it is
        for path in sorted(folder.iterdir(), key=lambda path: path.name == "run.json"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    except OSError as error:
        raise ConfigError(
            f"{error.filename or folder}: {error.strerror}; choose another folder with --out, or mend its permissions"
        ) from None


def _refuse_strangers(folder: Path) -> None:
    if folder.is_symlink():
        raise ConfigError(f"{folder}: is a link; remove it, or choose another folder with --out")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConfigError(f"{folder}: is a file where a run folder is wanted; choose another folder with --out")
    names = {path.name for path in folder.iterdir()}
    if names <= {"run.json.part"}:
        return
    if not _is_a_run(folder):
        raise ConfigError(f"{folder}: is not empty and holds no run; choose another folder with --out")
    strangers = sorted(names - _KNOWN)
    if strangers:
        shown = ", ".join(strangers[:3]) + (", ..." if len(strangers) > 3 else "")
        raise ConfigError(
            f"{folder}: holds {shown}, which is no part of a run, and would be emptied; move it, or choose another "
            "folder with --out"
        )


def _is_a_run(folder: Path) -> bool:
    return _tells(folder / "run.json", "schema", "case")


def _tells(file: Path, *keys: str) -> bool:
    """Whether `file` is a JSON object with these keys."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and all(key in found for key in keys)
