"""`python -m benchmarks [NAME...]`: run every `bench_*.py` (or those named), print the table, write `latest.json`.

Owns discovery and output. A benchmark is a module `benchmarks/bench_NAME.py` with a function `rows() -> list[Row]`.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import platform
from pathlib import Path

from rich.console import Console

from benchmarks.rows import Row

FOLDER = Path(__file__).parent
LATEST = FOLDER / "latest.json"


def names() -> list[str]:
    """The benchmarks there are, in alphabetical order."""
    return sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))


def run(name: str) -> list[Row]:
    """The rows of one benchmark."""
    rows: list[Row] = importlib.import_module(f"benchmarks.bench_{name}").rows()
    return rows


def told(rows: list[Row]) -> str:
    """The rows for people: what was measured, and below it the value, its ratio, and against what."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    lines = [f"{machine}; a ratio above 1 is better than the other one"]
    for row in rows:
        value, peer = f"{row.value:.4g} {row.unit}", f"{row.peer}: {row.peer_value:.4g}"
        lines += [row.name, f"    {value:<30}ratio {row.ratio:<8.3g} against {peer}"]
    return "\n".join(lines)


def main() -> None:
    """Run, print, write. A part of the benchmarks prints only, so that `latest.json` is always one whole run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"which ones of {', '.join(names())}; all without a name")
    chosen = parser.parse_args().name or names()
    if unknown := sorted(set(chosen) - set(names())):
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(names())}")
    progress = Console(stderr=True)
    rows: list[Row] = []
    for name in chosen:
        with progress.status(f"measuring {name}"):
            rows += run(name)
    print(told(rows))
    if chosen == names():
        LATEST.write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=2) + "\n")
        print(f"written: {LATEST.relative_to(FOLDER.parent)}")


if __name__ == "__main__":
    main()
