"""Builds the compiled part of fastpath with setuptools alone; all else about the project stands in pyproject.toml.

Each C file is compiled with the instruction-set flags of its own line below and no other, so one build runs on every
processor of the architecture. Where Cython or the C compiler fails, the install goes on without the extension and says
so.
"""

from __future__ import annotations

import sys
from pathlib import Path
from sysconfig import get_platform
from textwrap import shorten

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

FOLDER = Path("fastpath")
TUNE = "-mtune=znver3"
"""Order of instructions only: gcc 12 knows no newer Zen; its default costs the batch kernels 5 % (measured)."""
ISA_FLAGS: dict[str, dict[str, list[str]]] = {
    "any": {
        "sha256d.c": [],
        "dispatch.c": [],
        "kernels/portable.c": [],
    },
    "x86_64": {
        "kernels/avx2.c": ["-mavx2"],
        "kernels/avx512.c": ["-mavx512f"],
        "kernels/shani.c": ["-mavx", "-msha", TUNE],
        "kernels/shani_xmm.c": ["-mavx512f", "-mavx512vl", "-msha", TUNE],
        "kernels/shani_ymm.c": ["-mavx512f", "-mavx512vl"],
        "kernels/shani_zmm.c": ["-mavx512f", "-mavx512vl"],
        "kernels/avx2_scan.S": [],
        "kernels/avx2_versions.S": [],
        "kernels/avx512_scan.S": [],
        "kernels/avx512_versions.S": [],
        "kernels/shani_batch64.S": [],
        "kernels/shani_batch80.S": [],
        "kernels/shani_scan.S": [],
        "kernels/shani_xmm_batch64.S": [],
        "kernels/shani_xmm_batch80.S": [],
        "kernels/shani_versions.S": [],
        "kernels/shani_xmm_versions.S": [],
        "kernels/shani_ymm_scan.S": [],
        "kernels/shani_ymm_versions.S": [],
        "kernels/shani_zmm_scan.S": [],
        "kernels/shani_zmm_versions.S": [],
    },
    "aarch64": {
        "kernels/arm.c": ["-march=armv8-a+crypto"],
    },
}
"""Machine -> source -> its instruction-set flags; an assembly file says itself what it needs. Never -march=native: the
wheel would crash on another machine."""

OPTIMISE = ["-O3"]
EXACT = "-ffp-contract=off"
"""A product and a sum are rounded each, as Python does, also where the processor can round them together."""
KERNELS = "fastpath._sha256d"
"""The module that is linked with the files above."""


def sources() -> dict[str, list[str]]:
    """The sources for the machine this is built for, with their flags."""
    machine = get_platform().rsplit("-", 1)[-1]
    return ISA_FLAGS["any"] | ISA_FLAGS.get({"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine), {})


class BuildEachFileWithItsOwnFlags(build_ext):
    """Compiles the C files one by one, then lets setuptools build the Cython module and link all of it."""

    def build_extension(self, ext: Extension) -> None:
        try:
            if ".S" not in self.compiler.src_extensions:
                self.compiler.src_extensions.append(".S")
            for name, flags in sources().items() if ext.name == KERNELS else ():
                ext.extra_objects += self.compiler.compile(
                    [str(FOLDER / name)],
                    output_dir=self.build_temp,
                    include_dirs=ext.include_dirs,
                    extra_postargs=[*OPTIMISE, *flags],
                    depends=ext.depends,
                )
            super().build_extension(ext)
        except Exception as error:
            say_pure(error)
            raise


def say_pure(error: Exception) -> None:
    """One line on why the extension is missing and what is used instead."""
    reason = shorten(str(error) or type(error).__name__, 120, placeholder=" ...")
    print(f"ramprig: no compiled kernels, fastpath runs on its pure Python fallback ({reason})", file=sys.stderr)


def extensions() -> list[Extension]:
    """The Cython modules, or nothing where Cython is missing or fails."""
    kernels = Extension(
        KERNELS,
        sources=[str(FOLDER / "_sha256d.pyx")],
        include_dirs=[str(FOLDER)],
        depends=[str(path) for pattern in ("*.[ch]", "*.pxi", "kernels/*") for path in sorted(FOLDER.glob(pattern))],
        extra_compile_args=OPTIMISE,
    )
    others = [
        Extension(f"fastpath.{name}", sources=[str(FOLDER / f"{name}.pyx")], extra_compile_args=[*OPTIMISE, EXACT])
        for name in ("_exchange", "_single")
    ]
    try:
        from Cython.Build import cythonize

        built: list[Extension] = cythonize([kernels, *others], build_dir="build/cython", quiet=True)
    except Exception as error:  # noqa: BLE001 - whatever keeps Cython from working, the fallback still installs
        say_pure(error)
        return []
    for extension in built:
        extension.optional = True  # a compiler that fails is no install that fails; cythonize drops the argument
    return built


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildEachFileWithItsOwnFlags})
