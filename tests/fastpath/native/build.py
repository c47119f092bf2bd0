"""Builds `differential.c` with the kernels of one machine, each with its own flags, and runs it.

Owns nothing but that: the flags stand in setup.py. Also what `make sanitize` and `make aarch64` call.
"""

from __future__ import annotations

import argparse
import ast
import platform
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
WARNINGS = ["-std=gnu11", "-Wall", "-Wextra", "-Werror"]


def isa_flags(machine: str) -> dict[str, list[str]]:
    """Source -> flags, out of setup.py without running it."""
    values: dict[str, object] = {}
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and target.id in ("TUNE", "ISA_FLAGS"):
                values[target.id] = eval(compile(ast.Expression(node.value), "setup.py", "eval"), dict(values))  # noqa: S307
    table = values["ISA_FLAGS"]
    assert isinstance(table, dict)
    return table["any"] | table.get(machine, {})


def objects(machine: str, compiler: str, flags: list[str], folder: Path) -> dict[str, Path]:
    """Compile every source of a machine; source -> object file."""
    found = {}
    for source, isa in isa_flags(machine).items():
        found[source] = folder / (source.replace("/", "_") + ".o")
        extra = WARNINGS if source.endswith(".c") else []
        kept = [flag for flag in flags if flag != "-static"]
        subprocess.run(
            [compiler, *extra, *kept, *isa, "-c", str(ROOT / "fastpath" / source), "-o", str(found[source])], check=True
        )
    return found


def main() -> int:
    """Compile, link, run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machine", default=platform.machine())
    parser.add_argument("--compiler", default="gcc")
    parser.add_argument("--flags", default="-O3")
    parser.add_argument("--run", default="", help="a program to run it under")
    parser.add_argument("--trials", default="4")
    given = parser.parse_args()
    flags = shlex.split(given.flags)
    with tempfile.TemporaryDirectory() as folder:
        built = objects(given.machine, given.compiler, flags, Path(folder))
        program = str(Path(folder) / "differential")
        source = str(Path(__file__).with_name("differential.c"))
        subprocess.run(
            [given.compiler, *WARNINGS, *flags, source, *map(str, built.values()), "-o", program], check=True
        )
        return subprocess.run([*shlex.split(given.run), program, given.trials], check=False, timeout=120).returncode


if __name__ == "__main__":
    sys.exit(main())
