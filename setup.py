"""Builds the compiled part of fastpath with setuptools alone; all else about the project stands in pyproject.toml.

Each C file is compiled with the instruction-set flags of its own line below and no other, so one build runs on every
processor of the architecture. Where Cython or the C compiler fails, the install goes on without the extension and says
so.
"""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import shorten

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

FOLDER = Path("fastpath")
ISA_FLAGS: dict[str, list[str]] = {
    "sha256d.c": [],
}
"""C source -> its instruction-set flags. Never -march=native: the wheel would crash on another machine."""

OPTIMISE = ["-O3"]


class BuildEachFileWithItsOwnFlags(build_ext):
    """Compiles the C files one by one, then lets setuptools build the Cython module and link all of it."""

    def build_extension(self, ext: Extension) -> None:
        try:
            for name, flags in ISA_FLAGS.items():
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
    """The Cython module, or nothing where Cython is missing or fails."""
    module = Extension(
        "fastpath._sha256d",
        sources=[str(FOLDER / "_sha256d.pyx")],
        include_dirs=[str(FOLDER)],
        depends=[str(FOLDER / "sha256d.h")],
        extra_compile_args=OPTIMISE,
    )
    try:
        from Cython.Build import cythonize

        built: list[Extension] = cythonize([module], build_dir="build/cython", quiet=True)
    except Exception as error:  # noqa: BLE001 - whatever keeps Cython from working, the fallback still installs
        say_pure(error)
        return []
    for extension in built:
        extension.optional = True  # a compiler that fails is no install that fails; cythonize drops the argument
    return built


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildEachFileWithItsOwnFlags})
