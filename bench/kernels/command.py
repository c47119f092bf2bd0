"""`ramprig kernels`: list the tiers, prove them, measure them.

Owns the options and the exit codes: 0 done, 1 a tier is wrong or became slower, 2 usage, 130 stopped by Ctrl-C. Heavy
imports stand inside the functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from bench.kernels.recording import Recording
    from bench.kernels.session import Measurement, Options

kernels_app = typer.Typer(
    help="List, prove and measure the SHA-256d kernels of this machine.", invoke_without_command=True
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]


class By(StrEnum):
    """What two measurements are compared by."""

    ratio = "ratio"
    rate = "rate"


@kernels_app.callback()
def tiers(
    context: typer.Context,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Measure each tier for some milliseconds first.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the tiers: what each needs, whether it runs here, what it is used for and why."""
    if context.invoked_subcommand is not None:
        return
    with _errors():
        import fastpath
        from bench.kernels import tiers as listing

        if calibrate:
            fastpath.calibrate()
        kernels = fastpath.kernels()
        if as_json:
            _print_json(listing.as_json(kernels))
            return
        from rich.console import Console

        from bench.kernels.text import plain, rate

        rows, columns = listing.rows(kernels), list(listing.COLUMNS)
        if calibrate:
            columns.insert(4, "MH/s")
            rates = [" ".join(f"{w} {rate(r)}" for w, r in kernel.hashes_per_s.items()) or "-" for kernel in kernels]
            rows = [(*row[:4], found, row[4]) for row, found in zip(rows, rates, strict=True)]
        Console().print(plain(columns, rows))


@kernels_app.command()
def verify(
    seed: Annotated[int, typer.Option(help="What is made up follows from it.")] = 1,
    hashes: Annotated[int, typer.Option(min=100, help="Hashes to compare with hashlib, each tier and work.")] = 40_000,
    as_json: AsJson = False,
) -> None:
    """Prove every tier that runs here: FIPS 180-4 and CAVP vectors, real headers, runs against hashlib."""
    with _errors():
        import fastpath
        from bench.kernels import verify as proving

        proof = proving.verify(fastpath.kernels(), seed, hashes)
        if as_json:
            _print_json(proving.as_json(proof))
        else:
            from rich.console import Console

            from bench.kernels import text

            Console().print(text.proof(proof))
    raise typer.Exit(0 if proof.passed else 1)


@kernels_app.command()
def bench(
    rounds: Annotated[int, typer.Option(min=2, help="Rounds; everything takes part in each.")] = 100,
    threads: Annotated[int, typer.Option(min=1, help="Also run on 2 .. N threads.")] = 1,
    slice_ms: Annotated[float, typer.Option(min=0.1, help="Length of a slice.")] = 3.0,
    peer: Annotated[str, typer.Option(help="Whom ratios are taken to: hashlib, hashlib-scan, a tier.")] = "hashlib",
    work: Annotated[list[str] | None, typer.Option(help="Only scan, versions, batch64, batch80 (repeatable).")] = None,
    kernel: Annotated[list[str] | None, typer.Option(help="Only this tier (repeatable).")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write every record here; - is stdout.")
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with plots here.")] = None,
    compare: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Exit 1 where a kernel is slower than in this --json file.")
    ] = None,
    by: Annotated[By, typer.Option(help="Compare ratios to the peer, or rates.")] = By.ratio,
    tolerance: Annotated[float, typer.Option(min=0.0, max=0.99, help="A loss that is none yet.")] = 0.05,
    against: Annotated[str, typer.Option(metavar="CMD", help="Time this miner's benchmark between the rounds.")] = "",
    against_rate: Annotated[
        str | None, typer.Option(metavar="REGEX", help="Its rate: group 1 number, group 2 prefix (k, M, G).")
    ] = None,
    against_runs: Annotated[int, typer.Option(min=1, help="How often it runs.")] = 5,
    against_seconds: Annotated[float, typer.Option(min=0.1, help="How long it may run each time.")] = 30.0,
) -> None:
    """Measure every tier and its peers in turns, in one process."""
    with _errors():
        from bench.kernels import recording, session
        from bench.kernels.against import RATE

        for name, path in (("--json", json_file), ("--html", html)):
            if path is not None and not path.parent.is_dir():
                raise session.OptionError(f"{name}: there is no folder {path.parent}; make it first")
        earlier = None if compare is None else recording.load(compare)
        options = session.Options(
            rounds=rounds,
            threads=threads,
            slice_s=slice_ms / 1e3,
            peer=peer,
            works=tuple(work or ()),
            kernels=tuple(kernel or ()),
            against=against,
            against_rate=RATE if against_rate is None else against_rate,
            against_runs=against_runs,
            against_limit_s=against_seconds,
        )
        found = _measured(options)
        regressions = _show(found, options, json_file, html, earlier, by, tolerance)
    raise typer.Exit(1 if regressions else 0)


def _measured(options: Options) -> Measurement:
    """Run the session with a bar on stderr."""
    from rich.console import Console
    from rich.progress import Progress

    from bench.kernels import session

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("measuring", total=options.rounds)
        return session.bench(options, lambda done: bar.update(task, completed=done))


def _show(
    found: Measurement,
    options: Options,
    json_file: Path | None,
    html: Path | None,
    earlier: Recording | None,
    by: By,
    tolerance: float,
) -> bool:
    """Write and print everything; returns whether a kernel became slower."""
    from rich.console import Console

    from bench.kernels import compare as comparing
    from bench.kernels import page, recording, text

    to_stdout = json_file is not None and str(json_file) == "-"
    console = Console(stderr=to_stdout)
    for line in text.heading(found.machine, found.measured_hz):
        console.print(line, highlight=False, markup=False)
    for title, table in text.measurement(found.rows, found.against):
        console.print(f"\n{title}", highlight=False, markup=False)
        console.print(table)
    console.print()
    for each in found.entered:
        if each.is_peer:
            console.print(f"{each.key}: {each.what}", highlight=False, markup=False)
    changes = []
    if earlier is not None:
        changes = comparing.compare(found.records, earlier.records, options.peer, by=by.value, tolerance=tolerance)
        console.print(f"\ncompared with {earlier.file}, by {by.value}", highlight=False, markup=False)
        if earlier.cpu != found.machine.cpu:
            console.print(f"{earlier.file} is of another processor: {earlier.cpu}", highlight=False, markup=False)
        console.print(text.changes(changes))
        if not changes:
            raise recording.RecordingError(f"{earlier.file}: records: no kernel of this measurement is in it")
    if json_file is not None:
        data = recording.to_json(
            found.machine, options.as_json(), found.entered, found.rows, found.records, found.against
        )
        if earlier is not None:
            import dataclasses

            data["compare"] = [dataclasses.asdict(change) for change in changes]
        if to_stdout:
            _print_json(data)
        else:
            _write(json_file, _json(data) + "\n")
    if html is not None:
        about = [(each.key, each.what) for each in found.entered if each.threads == 1]
        _write(html, page.page(found.machine, found.measured_hz, found.rows, found.records, about, found.against))
    return any(change.regression for change in changes)


def _json(data: dict[str, Any]) -> str:
    import json

    return json.dumps(data, indent=1)


def _print_json(data: dict[str, Any]) -> None:
    typer.echo(_json(data))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    typer.echo(f"written: {path}", err=True)


@contextmanager
def _errors() -> Iterator[None]:
    """What only the user can mend becomes one message and exit code 2."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("ramprig: stopped; nothing was measured", err=True)
        raise typer.Exit(130) from None
    except (ValueError, OSError, RuntimeError) as error:
        if not _of_the_user(error):
            raise
        typer.echo(f"ramprig: {error}", err=True)
        raise typer.Exit(2) from None


def _of_the_user(error: Exception) -> bool:
    from bench.kernels.against import AgainstError
    from bench.kernels.recording import RecordingError
    from bench.kernels.session import OptionError
    from bench.kernels.summary import NoSuchPeerError

    return isinstance(error, (AgainstError, NoSuchPeerError, OptionError, OSError, RecordingError))
