"""Where log records of the bench go: one line each to stderr, in full and with bench time into the run folder.

What a controller logs is kept apart, see `bench/attach_python.py`.
"""

from __future__ import annotations

import contextlib
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.watchdog import under_test
from emulator.wire import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO

    from emulator.clock import Clock

_MOST_UNWRITTEN = 1000
_OURS = ("ramprig", "bench", "emulator", "firmware_mocks", "fastpath")


def _ours(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] in _OURS


class _OneLine(logging.Formatter):
    """The message alone: a traceback is for the run folder."""

    def format(self, record: logging.LogRecord) -> str:
        return f"ramprig: {record.getMessage()}"


class _RunLog(logging.Handler):
    """Warnings and errors of the bench during one run. The file is made with the first of them."""

    def __init__(self, file: Path, clock: Clock) -> None:
        super().__init__(logging.WARNING)
        self._file, self._clock = file, clock
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        self.addFilter(lambda record: _ours(record) or not under_test.get())
        self._unwritten: list[str] = []
        """Lines for which the file could not be opened: a controller may have taken every descriptor."""

    def emit(self, record: logging.LogRecord) -> None:
        if len(self._unwritten) < _MOST_UNWRITTEN:
            self._unwritten.append(f"{self._clock.now() / SECOND:14.6f} {self.format(record)}\n")
        with contextlib.suppress(OSError):
            self._write()

    def _write(self) -> None:
        if self._unwritten:
            with self._file.open("a", encoding="utf-8", errors="replace") as file:
                file.writelines(self._unwritten)
            self._unwritten.clear()

    def close(self) -> None:
        self._write()
        super().close()


@contextmanager
def told_on(stream: TextIO) -> Iterator[None]:
    """Warnings of the bench as one line each on `stream`, and nothing else of Python's logging there."""
    handler = logging.StreamHandler(stream)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(_OneLine())
    handler.addFilter(_ours)
    with _on_root(handler):
        yield


@contextmanager
def kept_in(file: Path, clock: Clock) -> Iterator[None]:
    """Warnings and errors with their tracebacks in `file`, stamped with bench time."""
    with _on_root(_RunLog(file, clock)):
        yield


@contextmanager
def _on_root(handler: logging.Handler) -> Iterator[None]:
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
