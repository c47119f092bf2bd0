"""Builds `differential.c` with the kernels of one machine, each with its own flags, and runs it.

Owns nothing but that: the flags stand in setup.py. Also what `make sanitize`, `emulate` and `aarch64` call. With
--emulate `emulate.c` executes the generated loops, so that kernels are proved where the processor lacks instructions.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import platform
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
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
    flags: dict[str, list[str]] = table["any"] | table.get(machine, {})
    return flags


def object_files(machine: str, folder: Path) -> dict[str, Path]:
    """Source -> where its object file is in `folder`."""
    return {source: folder / (source.replace("/", "_") + ".o") for source in isa_flags(machine)}


def objects(machine: str, compiler: str, flags: list[str], folder: Path) -> dict[str, Path]:
    """Compile every source of a machine; source -> object file."""
    found = object_files(machine, folder)
    for source, isa in isa_flags(machine).items():
        extra = WARNINGS if source.endswith(".c") else []
        kept = [flag for flag in flags if flag != "-static"]
        subprocess.run(
            [compiler, *extra, *kept, *isa, "-c", str(ROOT / "fastpath" / source), "-o", str(found[source])], check=True
        )
    return found


def emulated_objects(compiler: str, flags: list[str], folder: Path) -> dict[str, Path]:
    """The same for x86-64 with every generated loop executed by `emulate.c`.

    What C there is around a loop is compiled without AVX-512 and AVX2; SHA-NI stays, because batches have it in C.
    """
    reading = module("emulate")
    found = {"emulate.c": folder / "emulate.o"}
    common = [compiler, *WARNINGS, *flags, f"-I{HERE}", "-c"]
    subprocess.run([*common, str(HERE / "emulate.c"), "-o", str(found["emulate.c"])], check=True)
    for source, isa in isa_flags("x86_64").items():
        found[source] = folder / (source.replace("/", "_") + ".o")
        path, kept = ROOT / "fastpath" / source, ["-msha", "-mavx"] if "-msha" in isa else []
        if source.endswith(".S"):
            path = folder / (source.replace("/", "_") + ".c")
            path.write_text(reading.emulated((ROOT / "fastpath" / source).read_text()))
        elif source == "dispatch.c":
            kept = ["-Dfastpath_processor=fastpath_real_processor"]
        subprocess.run([*common, *kept, str(path), "-o", str(found[source])], check=True)
    return found


def module(stem: str) -> ModuleType:
    """A module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(f"fastpath_native_{stem}", HERE / f"{stem}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def main() -> int:
    """Compile, link, run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machine", default=platform.machine())
    parser.add_argument("--compiler", default="gcc")
    parser.add_argument("--flags", default="-O3")
    parser.add_argument("--run", default="", help="a program to run it under")
    parser.add_argument("--trials", default="4")
    parser.add_argument("--objects", type=Path, help="a folder with the object files that `objects` has made already")
    parser.add_argument("--emulate", action="store_true", help="execute the generated loops by their meaning")
    given = parser.parse_args()
    flags = shlex.split(given.flags)
    with tempfile.TemporaryDirectory() as folder:
        if given.objects is not None:
            built = object_files(given.machine, given.objects)
        elif given.emulate:
            built = emulated_objects(given.compiler, flags, Path(folder))
        else:
            built = objects(given.machine, given.compiler, flags, Path(folder))
        program = str(Path(folder) / "differential")
        source = str(Path(__file__).with_name("differential.c"))
        subprocess.run(
            [given.compiler, *WARNINGS, *flags, source, *map(str, built.values()), "-o", program], check=True
        )
        return subprocess.run([*shlex.split(given.run), program, given.trials], check=False, timeout=120).returncode


if __name__ == "__main__":
    sys.exit(main())
