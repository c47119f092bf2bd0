"""A server under load: started, ready when it has said its line of JSON, and watched from outside until it is ended.

Owns the child process and what the kernel says of its processor time; what is asked of it is the load's.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Served:
    """A server that answers; `said` is its line of JSON."""

    process: subprocess.Popen[str]
    said: dict[str, Any]

    def cpu_s(self) -> float:
        """Processor time its main thread has had, in user and kernel mode."""
        spent = Path(f"/proc/{self.process.pid}/schedstat").read_text(encoding="ascii").split()[0]
        return int(spent) * 1e-9

    def resident_bytes(self) -> int:
        """Memory of it that is in RAM."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1]) * 4096


@contextmanager
def serving(program: str | Path, *arguments: object) -> Iterator[Served]:
    """Run a program, or a module of `benchmarks.load` by its name, until the block is left.

    Raises RuntimeError where it ends before it is ready.
    """
    own = isinstance(program, str)
    command = [sys.executable, "-m", f"benchmarks.load.{program}"] if own else [str(program)]
    process = subprocess.Popen([*command, *map(str, arguments)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(command)} ended before it answered; its message stands above")
        yield Served(process, json.loads(line))
    finally:
        process.kill()
        process.wait()
