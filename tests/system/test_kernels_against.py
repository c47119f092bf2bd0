"""An external miner that runs until it is stopped: what it printed counts, and nothing of it stays behind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.kernels.against import RATE, run

pytestmark = pytest.mark.system


def runs(process: int) -> bool:
    """Whether it is there and no zombie, which only its parent can take away."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_miner_that_does_not_end_is_stopped_with_all_it_started(tmp_path: Path) -> None:
    note, script = tmp_path / "child", tmp_path / "miner.sh"
    script.write_text(f"sleep 600 &\necho $! > {note}\necho 7 MH/s\nwait\n")
    assert run(f"sh {script}", re.compile(RATE), 1.0) == (7e6, "7 MH/s")
    assert not runs(int(note.read_text()))


def test_a_miner_that_ignores_the_polite_signal_is_stopped_too(tmp_path: Path) -> None:
    note, script = tmp_path / "own", tmp_path / "miner.sh"
    script.write_text(f"trap '' TERM\necho $$ > {note}\necho 7 MH/s\nwhile :; do sleep 600; done\n")
    assert run(f"sh {script}", re.compile(RATE), 1.0) == (7e6, "7 MH/s")
    assert not runs(int(note.read_text()))
