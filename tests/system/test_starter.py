"""The project that `ramprig init` writes is green with and without xdist; cases in real time take turns."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.init import init
from tests.bench.four import NOBODY, PROFILE, lay_out

pytestmark = pytest.mark.system


def run_pytest(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=110, check=False)


@pytest.mark.parametrize("options", [(), ("-n", "2")])
def test_the_starter_project_is_green(tmp_path: Path, options: tuple[str, ...]) -> None:
    init(tmp_path / "project")
    done = run_pytest(tmp_path / "project", *options)
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout
    reports = sorted((tmp_path / "project" / "runs" / "pytest").glob("*/report.html"))
    assert len(reports) == 5


def test_runs_in_real_time_wait_for_one_another_among_workers(tmp_path: Path) -> None:
    lay_out(tmp_path)
    short = PROFILE.replace('"30 s"', '"2 s"').replace('"10 s"', '"0.5 s"').replace('"22 s"', '"1 s"')
    (tmp_path / "step.toml").write_text(short)
    for name in ("a", "b"):
        text = NOBODY.replace('"nobody"', f'"{name}"').replace('"8 s"', '"500 ms"')
        (tmp_path / f"{name}.case.toml").write_text('time = "real"\n' + text)
    done = run_pytest(tmp_path, "-n", "2", "--junit-xml=junit.xml")
    if "privileged" in done.stdout:
        pytest.skip("the vendors' ports cannot be bound here")
    assert "2 void" in done.stdout, done.stdout  # nobody was attached: void, and neither found a port in use
    assert "in use" not in done.stdout
