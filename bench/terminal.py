"""How the command line speaks to people: progress, tables, and one message for whatever goes wrong.

Owns the choice of stream and the exit codes of mishaps; what a verdict looks like is `bench/report/`. Heavy imports
stand inside the functions, because the command line imports this to print its help.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from bench.case_file import Case
    from bench.play import Progress
    from bench.verdict import CaseVerdict

_SIGTERM_EXIT = 143
"""What a run ends with that was told to end: 128 and the number of the signal."""
_LAST_WAIT_S = 3.0
"""How long threads that a controller left behind may keep the program from ending (estimate)."""
_ROOM_FOR_A_BAR = 110
"""Columns below which the numbers beside the bar would be cut."""
_WIDTH = 120
"""Columns of results that go to no terminal."""


def results() -> Console:
    """Where results go: stdout. A file or a pipe has no width of its own, and 80 columns would cut the tables up."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, _WIDTH))


def told(case: CaseVerdict) -> str:
    """One case in one line."""
    from bench.report.words import case_word

    return f"{case.id}: {case_word(case)}"


class Screen:
    """Progress on stderr: one line a case, with simulated time, real time and an estimate of what is left."""

    def __init__(self, quiet: bool, cases: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        console = Console(file=sys.stderr)  # this very stream: during a run, sys.stderr is the controller's
        bar = [BarColumn(bar_width=24)] if console.width >= _ROOM_FOR_A_BAR else []
        self._quiet = quiet
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"), *bar, TextColumn("{task.fields[played]}"),
            TextColumn("in"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
            console=console, transient=True, disable=quiet or not console.is_terminal,
        )  # fmt: skip
        self._task: Any = None
        self._begun, self._cases = 0, cases

    def __enter__(self) -> Screen:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, case: Case) -> Progress:
        """A new case; returns what the run reports its progress to."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._begun += 1
        name = case.id if self._cases == 1 else f"{case.id} ({self._begun} of {self._cases})"
        self._task = self._bar.add_task(name, total=1.0, played="")

        def moved(done_ns: int, whole_ns: int) -> None:
            played = f"{done_ns / 1e9:.0f} of {whole_ns / 1e9:.0f} s simulated"
            share = done_ns / whole_ns if whole_ns else 1.0
            self._bar.update(self._task, completed=share, played=played)

        return moved

    def judged(self, case: CaseVerdict) -> None:
        """A case has its verdict."""
        if not self._quiet:
            self._console.print(told(case), highlight=False, markup=False)


@contextmanager
def errors() -> Iterator[None]:
    """Whatever is raised inside becomes one message on stderr and an exit code, never a traceback.

    2 for what the user can mend, 130 and 143 for SIGINT and SIGTERM, 4 for a defect of the bench, whose traceback goes
    into a file.
    """
    try:
        from bench.logs import told_on

        with told_on(sys.stderr):
            yield
    except KeyboardInterrupt:
        typer.echo("ramprig: stopped; a run that was under way is void", err=True)
        raise typer.Exit(130) from None
    except (SystemExit, BrokenPipeError) as error:
        if isinstance(error, SystemExit) and error.code == _SIGTERM_EXIT:
            typer.echo("ramprig: told to end; a run that was under way is void", err=True)
            raise typer.Exit(_SIGTERM_EXIT) from None
        # else whoever read the results has enough of them, which changes nothing about them
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - stays open to the end
    except Exception as error:  # noqa: BLE001 the last line of defence
        raise typer.Exit(_mishap(error)) from None


def leave(code: object, before: set[threading.Thread]) -> None:
    """Called last: the interpreter waits for every thread, and one that a controller has left behind may never end."""
    left = [thread for thread in set(threading.enumerate()) - before if not thread.daemon]
    if not left:
        return

    def abandon() -> None:
        names = ", ".join(sorted(thread.name for thread in left if thread.is_alive()))
        typer.echo(f"ramprig: threads of the controller do not end and are abandoned: {names}", err=True)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))

    timer = threading.Timer(_LAST_WAIT_S, abandon)
    timer.daemon = True  # an end in good time is not held up by it
    timer.start()


def _mishap(error: Exception) -> int:
    """Say what went wrong; the exit code for it."""
    from bench.config import ConfigError
    from bench.record import RunFolderError
    from emulator.catalogue import CatalogueError
    from emulator.modbus.products import ProductError
    from emulator.network import NetworkError

    if isinstance(error, (ConfigError, RunFolderError, NetworkError, CatalogueError, ProductError)):
        for line in str(error).splitlines():
            typer.echo(f"ramprig: {line}", err=True)
        return 2
    if isinstance(error, OSError) and error.filename is not None:
        typer.echo(f"ramprig: {error.filename}: {error.strerror}; mend this, or name another place", err=True)
        return 2
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="ramprig-", suffix=".txt", delete=False, encoding="utf-8") as file:
        file.writelines(traceback.format_exception(error))
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    typer.echo(f"ramprig: the bench broke: {what}; this is a defect of ramprig, report it with {file.name}", err=True)
    return 4
