"""A kernel that lies is found out: the extension built anew with one that proposes every nonce."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastpath

ROOT = Path(__file__).resolve().parents[2]
CONDITION = "if ((portable_last_word(constants, swap32(start + i)) & job->filter) == 0) "
OPTIMISED = "-O3"
PROGRAM = "import fastpath; print(fastpath.BACKEND); fastpath.scan(bytes(80), 100, 50, 0, kernel='portable')"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(fastpath.BACKEND != "c", reason="the extension was not built: no C compiler")
def test_a_candidate_that_fails_its_own_hash_raises(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "fastpath", tmp_path / "fastpath", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    recipe = (ROOT / "setup.py").read_text()
    assert OPTIMISED in recipe
    (tmp_path / "setup.py").write_text(recipe.replace(OPTIMISED, "-O0"))  # built sooner by far
    kernel = tmp_path / "fastpath" / "kernels" / "portable.c"
    source = kernel.read_text()
    assert CONDITION in source
    kernel.write_text(source.replace(CONDITION, ""))
    build = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True)
    run = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.stdout.split() == ["c"]
    assert "RuntimeError: kernel 'portable' proposed nonce 100" in run.stderr
