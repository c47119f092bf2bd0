"""The tutorial is true: its commands are run, its edits made, and what it says they print is looked for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(600)]

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "find-a-defect.md"
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def fences() -> Iterator[tuple[str, str]]:
    """(language, text) of every code block, in order."""
    for found in _FENCE.finditer(PAGE.read_text(encoding="utf-8")):
        yield found[1], found[2]


class Reader:
    """Somebody who does what the page says."""

    def __init__(self, home: Path) -> None:
        self.folder = home
        self.said = ""
        self._path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def sh(self, commands: str) -> None:
        """Run the commands; what they print is looked at by the next `text`."""
        self.said = ""
        for command in commands.splitlines():
            if command.startswith("cd "):
                self.folder /= command.removeprefix("cd ")
                continue
            done = subprocess.run(
                ["bash", "-c", command], cwd=self.folder, env={**os.environ, "PATH": self._path, "COLUMNS": "200"},
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False,
            )  # fmt: skip
            self.said += done.stdout

    def text(self, lines: str) -> None:
        """Each line was printed; `…` stands for anything."""
        for line in lines.splitlines():
            pattern = r"[ \t]*" + ".*".join(re.escape(part.strip()) for part in line.split("…"))
            assert re.search(pattern.replace(r"\ ", r"\s+"), self.said), f"{line!r} is not in:\n{self.said}"

    def diff(self, change: str) -> None:
        """Replace one line of a file."""
        name, old, new = change.splitlines()
        file = self.folder / name.removeprefix("--- ")
        text = file.read_text()
        assert text.count(old[1:] + "\n") == 1, f"{old[1:]!r} is not once in {file.name}"
        file.write_text(text.replace(old[1:], new[1:]))

    def python(self, program: str) -> None:
        """Write a file, whose name stands in its first line."""
        (self.folder / program.splitlines()[0].removeprefix("# ")).write_text(program)


def test_every_command_of_the_tutorial_does_what_the_page_says(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    kinds = set()
    for kind, text in fences():
        kinds.add(kind)
        getattr(reader, kind)(text)
    assert kinds == {"sh", "text", "diff", "python"}
