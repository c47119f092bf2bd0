"""The command line: one thin function for each verb.

Exit codes: 0 pass, 1 fail, 2 usage or configuration, 3 void or inconclusive, 4 the bench itself broke. Results go to
stdout, progress and messages to stderr. Heavy imports stand inside the functions, so that `--help` is quick.
"""

from __future__ import annotations

from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.case_file import Case
    from bench.play import Progress
    from bench.verdict import CaseVerdict, Verdict

app = typer.Typer(
    name="ramprig",
    help="Try controllers of flexible mining load on an emulated site, and judge them by the market's rules.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
profile_app = typer.Typer(help="Look at grid-event profiles.", no_args_is_help=True)
app.add_typer(profile_app, name="profile")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]


class TimeMode(StrEnum):
    """Whose clock a run follows."""

    virtual = "virtual"
    real = "real"


class Kind(StrEnum):
    """What can be listed."""

    models = "models"
    firmware = "firmware"
    meters = "meters"
    pdus = "pdus"
    services = "services"
    profiles = "profiles"
    rigs = "rigs"
    suites = "suites"


@app.command()
def run(
    case: Annotated[str, typer.Argument(help="A case or suite: suite:demo, or a file.")],
    rig: Annotated[str | None, typer.Option(help="Play it on this rig instead.")] = None,
    sut: Annotated[
        str | None,
        typer.Option(
            help="Controller: controller:reference, python:MODULE:FACTORY, subprocess:COMMAND, network or null."
        ),
    ] = None,
    time: Annotated[TimeMode | None, typer.Option(help="Virtual time or real time.")] = None,
    seed: Annotated[int | None, typer.Option(help="Play every case with this seed.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for run folders and reports.")] = None,
    as_json: AsJson = False,
) -> None:
    """Play a case or a suite, judge it, write the report."""
    from bench import session
    from bench.case_file import load_cases

    with _errors():
        changes: dict[str, Any] = {
            key: value
            for key, value in (
                ("rig", rig and str(_absolute(rig))),
                ("time", time and time.value),
                ("seeds", seed is not None and (seed,)),
                ("sut", sut),
            )
            if value
        }
        title, cases = load_cases(case, changes)
        folder = out or Path("runs") / case.removeprefix("suite:").replace("/", "_").removesuffix(".toml")
        with _Screen(as_json) as screen:
            verdict = session.run_cases(title, cases, folder, screen.begin, screen.judged)
        _show(verdict, as_json)
        if not as_json:
            typer.echo(f"report: {folder / 'report.html'}")
    raise typer.Exit(verdict.exit_code)


@app.command()
def judge(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders of runs.")],
    service: Annotated[list[str] | None, typer.Option(help="Judge under this service instead (repeatable).")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Judge old runs again, under the services they were run for or under others."""
    from bench import report, session

    with _errors():
        verdict, facts = session.judge_again(runs, service or [])
        if html is not None:
            html.write_text(report.render_html(verdict, facts), encoding="utf-8")
        _show(verdict, as_json)
    raise typer.Exit(verdict.exit_code)


@app.command()
def up(
    rig: Annotated[str, typer.Argument(help="A rig: rig:yard, or a file.")],
    inventory: Annotated[Path | None, typer.Option(help="Write the inventory here once everything answers.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the emulated site.")] = 1,
    hz: Annotated[float, typer.Option(help="Nominal frequency of the grid.")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Serve the emulated site in real time until Ctrl-C."""
    from bench.serve import serve

    with _errors():
        serve(rig, inventory, seed, hz, as_json)


@app.command()
def check(
    files: Annotated[list[str], typer.Argument(help="Rigs, profiles, cases, suites, services: names or files.")],
    as_json: AsJson = False,
) -> None:
    """Read files and say what is wrong with them, without running anything."""
    import json

    from bench.checkup import check_file

    found = [check_file(name) for name in files]
    if as_json:
        typer.echo(
            json.dumps({"files": [{"file": f.name, "kind": f.kind, "problems": list(f.problems)} for f in found]})
        )
    else:
        for file in found:
            for problem in file.problems:
                typer.echo(problem, err=True)
            if not file.problems:
                typer.echo(f"{file.name}: a good {file.kind}")
    raise typer.Exit(2 if any(file.problems for file in found) else 0)


@app.command("list")
def list_things(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    as_json: AsJson = False,
) -> None:
    """List what ships: models, firmware, meters, PDUs, services, profiles, rigs, suites."""
    import json

    from bench.listing import listing

    with _errors():
        columns, rows = listing(kind.value)
        if as_json:
            typer.echo(json.dumps({kind.value: [dict(zip(columns, row, strict=True)) for row in rows]}))
            return
        from rich.console import Console
        from rich.table import Table

        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*row)
        Console().print(table)


@profile_app.command("show")
def profile_show(
    file: Annotated[str, typer.Argument(help="A profile: profile:gb_2019_08_09, or a file.")],
    as_json: AsJson = False,
) -> None:
    """Draw a profile in the terminal."""
    import json

    from bench import library
    from bench.profile import load_profile
    from bench.profile_text import summary

    with _errors():
        profile = load_profile(library.resolve("profile", file))
        if not as_json:
            typer.echo(summary(profile))
            return
        channels = {
            name: {"unit": c.unit, "t_s": (c.signal.t_ns / 1e9).tolist(), "value": c.signal.value.tolist()}
            for name, c in profile.channels.items()
        }
        events = [
            {"id": e.id, "kind": e.kind, "start_s": e.start_ns / 1e9, "stop_s": e.stop_ns / 1e9, "label": e.label}
            for e in profile.events
        ]
        typer.echo(
            json.dumps(
                {
                    "name": profile.name,
                    "title": profile.title,
                    "source": {"text": profile.source.text, "grade": profile.source.grade},
                    "approximation": profile.approximation,
                    "nominal_hz": profile.nominal_hz,
                    "duration_s": profile.duration_ns / 1e9,
                    "channels": channels,
                    "events": events,
                }
            )
        )


def main() -> None:
    """Entry point of the `ramprig` command."""
    app()


class _Screen:
    """Progress on stderr: one line a case, with simulated time, real time and an estimate of what is left."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._quiet = quiet
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[played]}"),
            TextColumn("in"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
            console=console, transient=True, disable=quiet or not console.is_terminal,
        )  # fmt: skip
        self._task: Any = None

    def __enter__(self) -> _Screen:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, case: Case) -> Progress:
        """A new case; returns what the run reports its progress to."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(case.id, total=1.0, played="")

        def moved(done_ns: int, whole_ns: int) -> None:
            self._bar.update(
                self._task,
                completed=done_ns / whole_ns,
                played=f"{done_ns / 1e9:.0f} of {whole_ns / 1e9:.0f} s simulated",
            )

        return moved

    def judged(self, case: CaseVerdict) -> None:
        """A case has its verdict."""
        if not self._quiet:
            from bench.report.words import case_word

            self._console.print(f"{case.id}: {case_word(case)}", highlight=False)


def _show(verdict: Verdict, as_json: bool) -> None:
    from bench import report

    if as_json:
        typer.echo(report.dumps(verdict))
        return
    from rich.console import Console

    report.print_console(verdict, Console())


def _absolute(reference: str) -> str | Path:
    """A path from the command line is relative to where the user stands, not to the case file."""
    return reference if ":" in reference else Path(reference).absolute()


@contextmanager
def _errors() -> Iterator[None]:
    """What only the user can mend becomes one message and exit code 2."""
    from bench.config import ConfigError
    from bench.record import RunFolderError
    from emulator.network import NetworkError

    try:
        yield
    except (ConfigError, RunFolderError, NetworkError) as error:
        typer.echo(f"ramprig: {error}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("ramprig: stopped; a run that was under way is void", err=True)
        raise typer.Exit(130) from None


if __name__ == "__main__":
    main()
