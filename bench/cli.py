"""The command line: one thin function for each verb.

Exit codes: 0 pass, 1 fail, 2 usage or configuration, 3 void or inconclusive, 4 the bench itself broke, 130 and 143
stopped by SIGINT and SIGTERM. Results go to stdout, progress and messages to stderr. Heavy imports stand inside the
functions, so that `--help` is quick.
"""

from __future__ import annotations

import threading
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.kernels.command import kernels_app
from bench.terminal import Screen, errors, leave, results, told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.verdict import CaseVerdict

app = typer.Typer(
    name="ramprig",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help and plain usage errors: quick to import, one form for people and logs
)
profile_app = typer.Typer(help="Look at grid-event profiles.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(kernels_app, name="kernels", short_help="List, prove and measure the hash kernels.")
app.add_typer(profile_app, name="profile")

_ROOM_FOR_SOURCES = 110
"""Columns below which a list leaves its sources out, which would be a word a line."""
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
    relays = "relays"
    services = "services"
    profiles = "profiles"
    rigs = "rigs"
    suites = "suites"


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"ramprig {version('ramprig')}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Try controllers of flexible mining load on an emulated site, and judge them by the market's rules."""


@app.command(short_help="Write a small project that runs green.")
def init(
    folder: Annotated[Path, typer.Argument(help="Where; it is made if there is none.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Write a small project that runs green: rig, event, cases, a controller to begin with, tests, CI."""
    with errors():
        import json

        from bench.init import init as write

        written = write(folder)
        if as_json:
            typer.echo(json.dumps({"folder": str(folder), "files": [str(path) for path in written]}))
            return
        for path in written:
            typer.echo(path)
        typer.echo(f"next: {'' if folder == Path() else f'cd {folder} && '}pytest", err=True)


@app.command()
def run(
    case: Annotated[str, typer.Argument(help="A case or suite: suite:demo, or a file.")],
    rig: Annotated[str | None, typer.Option(help="Play it on this rig instead.")] = None,
    sut: Annotated[
        str | None,
        typer.Option(
            help="controller:NAME, python:MODULE:FACTORY, subprocess:COMMAND, lockstep:PROGRAM, serial:LINE, network "
            "or null."
        ),
    ] = None,
    time: Annotated[TimeMode | None, typer.Option(help="Virtual time or real time.")] = None,
    speed: Annotated[float | None, typer.Option(help="Play real time this many times as fast.")] = None,
    seed: Annotated[int | None, typer.Option(help="Play every case with this seed.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for run folders and reports; else runs/CASE.")] = None,
    as_json: AsJson = False,
) -> None:
    """Play a case or a suite, judge it, write the report."""
    with errors():
        from bench import report, session
        from bench.case_file import load_cases, overrides

        title, cases = load_cases(case, overrides(rig, sut, time and time.value, seed, speed))
        folder = out or Path("runs") / Path(case.rpartition(":")[2]).stem
        with Screen(as_json, len(cases)) as screen:
            verdict = session.run_cases(title, cases, folder, screen.begin, screen.judged)
        if as_json:
            typer.echo(report.dumps(verdict))
        else:
            report.print_console(verdict, results())
            typer.echo(f"report: {folder / 'report.html'}")
    raise typer.Exit(verdict.exit_code)


@app.command(short_help="Judge old runs again.")
def judge(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders of runs.")],
    service: Annotated[list[str] | None, typer.Option(help="Judge under this service instead (repeatable).")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Judge old runs again, under the services they were run for or under others."""
    with errors():
        from bench import report, session

        verdict, facts = session.judge_again(runs, service or [])
        if html is not None:
            html.write_text(report.render_html(verdict, facts), encoding="utf-8")
        if as_json:
            typer.echo(report.dumps(verdict))
        else:
            report.print_console(verdict, results())
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
    with errors():
        from bench.serve import serve

        serve(rig, inventory, seed, hz, as_json)


@app.command(short_help="Say what is wrong with files; runs nothing.")
def check(
    files: Annotated[list[str], typer.Argument(help="Rigs, profiles, cases, suites, services and matrices.")],
    as_json: AsJson = False,
) -> None:
    """Read files and say what is wrong with them, without running anything."""
    with errors():
        import json

        from bench.checkup import check_file

        found = [check_file(name) for name in files]
        if as_json:
            told = [{"file": file.name, "kind": file.kind, "problems": list(file.problems)} for file in found]
            typer.echo(json.dumps({"files": told}))
        for file in () if as_json else found:
            for problem in file.problems:
                typer.echo(problem, err=True)
            if not file.problems:
                typer.echo(f"{file.name}: a good {file.kind}")
    raise typer.Exit(2 if any(file.problems for file in found) else 0)


@app.command("list", short_help="List what ships.")
def list_things(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    as_json: AsJson = False,
) -> None:
    """List what ships: models, firmware, meters, PDUs, relays, services, profiles, rigs, suites."""
    with errors():
        from bench.listing import listing

        _show(kind.value, *listing(kind.value), as_json=as_json)


@app.command(short_help="Show the register map of a meter, PDU or relay.")
def registers(
    product: Annotated[str, typer.Argument(help="An id of `ramprig list meters`, `pdus` or `relays`.")],
    as_json: AsJson = False,
) -> None:
    """Show what stands where on a product: function, wire address from 0, type, unit, quantity and how sure it is."""
    with errors():
        from bench.register_list import COLUMNS, sources
        from bench.register_list import registers as found

        rows = found(product)
        if as_json:
            _show("registers", COLUMNS, rows, as_json=True)
            return
        _show("registers", COLUMNS[:-1], [row[:-1] for row in rows], as_json=False)
        for source in sources(rows):
            typer.echo(f"source: {source}", err=True)


def _show(what: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, as_json: bool) -> None:
    """A table, or one JSON object with its rows under `what`."""
    import json

    if as_json:
        typer.echo(json.dumps({what: [dict(zip(columns, row, strict=True)) for row in rows]}))
        return
    from rich.table import Table
    from rich.text import Text

    console = results()
    table = Table(box=None, header_style="bold", pad_edge=False)
    told = [column for column in columns if column != "source" or console.width >= _ROOM_FOR_SOURCES]
    for column in told:
        table.add_column(column, overflow="fold", no_wrap=column == columns[0])  # ids are for copying: in one piece
    for row in rows:
        table.add_row(*map(Text, row[: len(told)]))  # as it is: rich would take [estimate] for a style
    console.print(table)
    if len(told) < len(columns):
        typer.echo("sources: with --json, or in a wider window", err=True)


@app.command(short_help="Say what this machine can judge in real time.")
def doctor(
    seconds: Annotated[float, typer.Option(min=1.0, max=3600.0, help="How long to measure, about.")] = 5.0,
    serial: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="A serial port with a loop-back plug (repeatable).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure this machine, and say which services it can judge in real time."""
    with errors():
        import json

        from bench.doctor.session import examine
        from bench.doctor.text import printed, to_json

        found = examine(seconds, serial or (), lambda what: None if as_json else typer.echo(what, err=True))
        if as_json:
            typer.echo(json.dumps(to_json(found), indent=2))
        else:
            printed(found, results())
    raise typer.Exit(found.exit_code)


@app.command(short_help="Prove that the bench can fail.")
def selftest(
    quick: Annotated[
        bool, typer.Option(help="One faulty controller for each check, one limit for each formula.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the report; else runs/selftest.")] = None,
    as_json: AsJson = False,
) -> None:
    """Prove that the bench can fail: the reference passes, every faulty controller is caught, a cut wire is noticed."""
    import json

    from bench import campaign, selftest
    from bench.selftest import report

    with errors(), campaign.processes() as executor:
        folder = out or Path("runs") / "selftest"
        folder.mkdir(parents=True, exist_ok=True)  # now: to find after minutes that it cannot be written is too late
        result = selftest.run(executor, quick=quick, told=lambda line: None if as_json else typer.echo(line, err=True))
        report.write(result, folder)
        if as_json:
            typer.echo(json.dumps(result.to_json(), indent=2))
        else:
            selftest.print_matrix(result, results())
            typer.echo(f"report: {folder / 'report.html'}")
    raise typer.Exit(1 if result.problems else 0)


@app.command(short_help="Play every combination of a matrix.")
def campaign(
    matrix: Annotated[Path, typer.Argument(help="A matrix file: cases, rigs, profiles, controllers, seeds.")],
    processes: Annotated[int | None, typer.Option("-n", min=1, help="Runs at a time; one for each core.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for run folders and the summary; else runs/MATRIX.")] = None,
    as_json: AsJson = False,
) -> None:
    """Play every combination of a matrix; runs that are finished are not played again."""
    import json

    from bench import campaign, report

    with errors():
        title, cells = campaign.load_matrix(matrix)
        folder = out or Path("runs") / matrix.name.removesuffix(".toml").removesuffix(".matrix")
        kept: list[str] = []

        def judged(cell: campaign.Cell, case: CaseVerdict, old: bool) -> None:
            kept.extend([cell.id] * old)
            if not as_json:
                typer.echo(f"{told(case)}{' (kept)' if old else ''}", err=True)

        with campaign.processes(processes) as executor:
            verdict = campaign.run_campaign(title, cells, folder, executor, judged)
        table = campaign.rows(cells, verdict)
        if as_json:
            typer.echo(json.dumps({**report.to_json(verdict), "kept": kept, "table": table}, indent=2))
        else:
            campaign.print_table(table, results())
            typer.echo(f"report: {folder / 'report.html'}")
    raise typer.Exit(verdict.exit_code)


@app.command(short_help="Make certificates for Modbus behind TLS.")
def certificates(
    folder: Annotated[Path, typer.Argument(help="Where the files go; nothing that is there is overwritten.")],
    role: Annotated[
        list[str] | None,
        typer.Option(help='A client with this role (repeatable); "" is one without. The first writes.'),
    ] = None,
) -> None:
    """Make certificates for trials of Modbus behind TLS, and print the table that a rig file needs for them."""
    with errors():
        from bench.certificates import make, rig_table

        roles = role or ["operator", "viewer"]
        for file in make(folder, roles):
            typer.echo(str(file), err=True)
        typer.echo(rig_table(folder.absolute(), roles), nl=False)


@profile_app.command("show")
def profile_show(
    file: Annotated[str, typer.Argument(help="A profile: profile:gb_2019_08_09, or a file.")],
    as_json: AsJson = False,
) -> None:
    """Draw a profile in the terminal."""
    with errors():
        import json

        from bench import library
        from bench.profile import load_profile
        from bench.profile_text import summary

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


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the `ramprig` command, or of a program that has its own `arguments`; ends in SystemExit."""
    before = set(threading.enumerate())
    try:
        app(arguments, prog_name="ramprig")
    except SystemExit as ended:
        leave(ended.code, before)
        raise


if __name__ == "__main__":
    main()
