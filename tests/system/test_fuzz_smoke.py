"""A few thousand runs of the coverage-guided fuzzer over every codec; `make fuzz` goes on from there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
RUNS = 2000


def test_a_few_thousand_guided_runs_break_no_law(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris has no wheel for this Python or processor")
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "everything", f"-runs={RUNS}", "-seed=1"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(re.findall(r"Done (\d+) runs", done.stderr)[0]) >= RUNS
    assert int(re.findall(r"cov: (\d+)", done.stderr)[-1]) > 500, "the codecs are not instrumented"
