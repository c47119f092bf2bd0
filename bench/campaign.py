"""Many runs: the product of cases, rigs, profiles, controllers and seeds, played side by side, judged as one.

Owns the matrix file, which runs are finished already, and the summary. Where the runs are played is an Executor's
business: processes of this machine, or whatever else has `submit` (a Dask cluster's client gives such an object).
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
import re
import signal
from collections import Counter
from concurrent.futures import CancelledError, Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from pydantic import Field

from bench import library, out_folder
from bench.attach import PythonSut, SubprocessSut, SutTable
from bench.case_file import Case, CaseTable, load_cases
from bench.config import ConfigError, Document, load_toml
from bench.play import Plan, plan, plan_all
from bench.record import RunFolderError, read_run
from bench.report.words import case_word
from bench.services import load_service
from bench.session import judge_folder, run_case, write_reports
from bench.verdict import CaseVerdict, Outcome, Validity, Verdict
from emulator.network import NetworkError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rich.console import Console

    from bench.facts import RunFacts

R = TypeVar("R")

_DONE = "campaign.json"
"""Written into a run folder last of all: a run without it is played again."""
_MOST_PLOTS = 12
_LOG = logging.getLogger(__name__)


class Executor(Protocol):
    """Where work is done. Whatever it is given can be pickled."""

    def submit(self, function: Callable[..., R], /, *arguments: Any) -> Future[R]:
        """Have `function(*arguments)` called, some time and somewhere."""
        ...


@contextmanager
def processes(count: int | None = None) -> Iterator[Executor]:
    """`count` fresh processes of this machine, one for each core by default. Leaving early ends them.

    Runs in virtual time open no port, so they do not meet.
    """
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import active_children, get_context

    others = set(active_children())
    with ProcessPoolExecutor(count or os.cpu_count() or 1, get_context("spawn"), _deaf) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            ours = set(active_children()) - others
            for child in ours:
                child.terminate()
            for child in ours:
                child.join()
            raise


def _deaf() -> None:
    """Ctrl-C is for the process that started this one, which ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


# ---------------------------------------------------------------------------------------------------------- the matrix


class MatrixFile(Document):
    """What is multiplied. An axis that is left out stays as the cases say it; paths are relative to this file."""

    title: str = "campaign"
    cases: tuple[str, ...] = Field(min_length=1)
    """Case and suite files, or `suite:NAME`."""
    rigs: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    controllers: dict[str, SutTable] = {}
    """Name in tables and folders, and what stands after `sut` in a case file."""
    seeds: tuple[int, ...] = ()


Axis: TypeAlias = tuple[str, str, Any]
"""Key of a case, name for people, value."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of the matrix. `axes`: the value of each axis, by name, for tables."""

    what: Plan
    axes: Mapping[str, str]

    @property
    def id(self) -> str:
        """Name of the run folder."""
        return self.what.case.id

    def fingerprint(self) -> str:
        """Hash of everything the run was asked to do; a finished run with the same one need not be played again.

        Covers the bench's version, case, rig, profile, services, and the files of the controller that the case names:
        not what those import.
        """
        case = self.what.case
        digest = hashlib.sha256()
        tables = [model.model_dump(mode="json") for model in (case.table, self.what.layout.file)]
        told = [version("ramprig"), *tables, case.seed]
        digest.update(json.dumps(told, sort_keys=True, default=str).encode())
        sut, base = case.table.sut, case.origin.parent
        files = [self.what.profile_path, *self.what.services]
        if isinstance(sut, PythonSut):
            files.append(_source(base, sut.factory.rpartition(":")[0]))
        if isinstance(sut, SubprocessSut):
            files += [base / sut.cwd / word for word in (sut.command, *sut.args)]
        if isinstance(sut, (PythonSut, SubprocessSut)) and isinstance(sut.config, str):
            files.append(base / sut.config)
        for file in files:
            if file.is_file():
                digest.update(file.read_bytes())
        return digest.hexdigest()


def load_matrix(path: Path) -> tuple[str, list[Cell]]:
    """Title and runs of a matrix file; everything it names is read. Raises ConfigError."""
    matrix = load_toml(path, MatrixFile, partial(library.expect, "matrix"))
    base = path.parent
    axes: list[Sequence[Axis]] = [
        [("rig", _name(text), _absolute(text, base)) for text in matrix.rigs],
        [("profile", _name(text), _absolute(text, base)) for text in matrix.profiles],
        [("sut", name, sut) for name, sut in matrix.controllers.items()],
    ]
    found: list[tuple[Case, Mapping[str, str]]] = []
    for reference, point in product(matrix.cases, product(*filter(None, axes))):
        changes = {key: value for key, _, value in point}
        names = {"controller" if key == "sut" else key: name for key, name, _ in point}
        _, cases = load_cases(_absolute(reference, base), changes)
        for one in {case.table.id: case for case in cases}.values():
            found += [_combined(one, names, seed, base) for seed in matrix.seeds or one.table.seeds]
    _differ(path, [case.id for case, _ in found])
    plans = plan_all(case for case, _ in found)
    return matrix.title, [Cell(what, axes) for what, (_, axes) in zip(plans, found, strict=True)]


def _combined(one: Case, names: Mapping[str, str], seed: int, base: Path) -> tuple[Case, Mapping[str, str]]:
    """One case with one seed, and its axes. A controller from the matrix is found from the matrix file's folder."""
    axes = {"case": one.table.id, **names, "seed": str(seed)}
    name = ".".join([*(_slug(text) for key, text in axes.items() if key != "seed"), f"s{seed}"])
    table = one.table.model_copy(update={"id": name, "seeds": (seed,)})
    origin = base / one.origin.name if "controller" in axes else one.origin
    return Case(_anchored(table, one.origin.parent), seed, origin), axes


def _anchored(table: CaseTable, base: Path) -> CaseTable:
    """The case with paths that hold wherever it is said to come from."""
    anchored = {key: _absolute(getattr(table, key), base) for key in ("rig", "profile")}
    services = tuple(_absolute(name, base) for name in table.services)
    return table.model_copy(update={**anchored, "services": services})


def _differ(path: Path, ids: Sequence[str]) -> None:
    for name, count in Counter(ids).items():
        if count > 1:
            raise ConfigError(f"{path}: {count} runs would be called {name!r}; give cases, rigs and profiles own names")


def _source(base: Path, module: str) -> Path:
    """The file of a controller in this process."""
    spec = None if module.endswith(".py") else find_spec(module)
    return base / module if spec is None else Path(spec.origin or module)


def _absolute(reference: str, base: Path) -> str:
    return reference if ":" in reference else str((base / reference).absolute())


def _name(reference: str) -> str:
    return Path(reference.rpartition(":")[2]).name.removesuffix(".toml")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_") or "x"


# ------------------------------------------------------------------------------------------------------------- playing


def run_campaign(
    title: str, cells: Sequence[Cell], out: Path, executor: Executor,
    judged: Callable[[Cell, CaseVerdict, bool], None] = lambda *_: None,
) -> Verdict:  # fmt: skip
    """Play every run that is not finished, judge all, write the summary into `out`. Raises ConfigError where `out` is
    no place for runs.

    `judged` hears of each run, and whether it was taken over from before. Runs in real time go one by one, after the
    others: they share ports, and a busy machine makes them late.
    """
    out_folder.prepare(out, ())
    out.mkdir(parents=True, exist_ok=True)
    found: dict[str, CaseVerdict] = {}
    todo: list[Cell] = []
    for cell in cells:
        verdict = _finished(cell, out / cell.id)
        if verdict is None:
            todo.append(cell)
            continue
        found[cell.id] = verdict
        judged(cell, verdict, True)
    virtual = [cell for cell in todo if cell.what.case.table.time == "virtual"]
    for batch in (virtual, *([cell] for cell in todo if cell not in virtual)):
        for cell, verdict in _played(batch, out, executor):
            found[cell.id] = verdict
            judged(cell, verdict, False)
    whole = Verdict(title, tuple(found[cell.id] for cell in cells))
    write_reports(whole, _worth_a_plot(whole), out)
    _write_table(out / "table.csv", cells, found)
    return whole


def _played(cells: Sequence[Cell], out: Path, executor: Executor) -> Iterator[tuple[Cell, CaseVerdict]]:
    """Runs in the order in which they end."""
    waiting = {executor.submit(play_cell, c.what.case, out / c.id, c.fingerprint()): c for c in cells}
    for future in as_completed(waiting):
        cell = waiting[future]
        try:
            yield cell, future.result()
        except (BrokenProcessPool, CancelledError, OSError) as error:
            reason = f"the process that played it ended ({error}); start the campaign again, finished runs are kept"
            yield cell, broken(cell.what.case, out / cell.id, reason)


def play_cell(case: Case, folder: Path, fingerprint: str) -> CaseVerdict:
    """Play one run in the process this is called in."""
    try:
        verdict, _ = run_case(plan(case), folder)
    except (ConfigError, NetworkError) as error:
        return broken(case, folder, str(error))
    if verdict.outcome is not Outcome.ERROR:
        (folder / _DONE).write_text(json.dumps({"fingerprint": fingerprint}) + "\n", encoding="utf-8")
    return verdict


def _finished(cell: Cell, folder: Path) -> CaseVerdict | None:
    """The verdict on a run that was played before with the same input."""
    try:
        done = json.loads((folder / _DONE).read_text(encoding="utf-8"))
        if done["fingerprint"] != cell.fingerprint():
            return None
        return judge_folder(folder, [load_service(path) for path in cell.what.services], cell.what.case)[0]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RunFolderError) as error:
        _LOG.warning("%s: played again, what is there cannot be used: %s", folder, error)
        return None


def broken(case: Case, folder: Path, reason: str) -> CaseVerdict:
    """The verdict where the bench could not play: nothing is said about the controller."""
    return CaseVerdict(
        case.id, case.table.title or case.id, Outcome.ERROR, Validity.VOID, reasons=(reason,), expected=case.expected,
        seed=case.seed, folder=str(folder),
    )  # fmt: skip


# --------------------------------------------------------------------------------------------------------- the summary


def rows(cells: Sequence[Cell], verdict: Verdict) -> list[dict[str, str]]:
    """The table: a row for each combination but for the seed, with how many runs came out how."""
    words: dict[tuple[tuple[str, str], ...], Counter[str]] = {}
    for cell, case in zip(cells, verdict.cases, strict=True):
        key = tuple((name, text) for name, text in cell.axes.items() if name != "seed")
        words.setdefault(key, Counter())[_word(case)] += 1
    return [
        {**dict(key), "runs": str(count.total()), "outcomes": ", ".join(f"{n} {word}" for word, n in count.items())}
        for key, count in words.items()
    ]


def print_table(table: Sequence[Mapping[str, str]], console: Console) -> None:
    """The rows for people."""
    from rich.table import Table

    shown = Table(box=None, header_style="bold", pad_edge=False)
    columns = list(dict.fromkeys(name for row in table for name in row))
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in table:
        shown.add_row(*(row.get(column, "") for column in columns))
    console.print(shown)


def _word(case: CaseVerdict) -> str:
    declared = case.as_expected and case.outcome is not Outcome.PASS
    return f"{case_word(case)} as declared" if declared else case_word(case)


def _worth_a_plot(verdict: Verdict) -> dict[str, RunFacts]:
    """Facts of the first runs that somebody has to look at; with every plot in it the page would open in no browser."""
    bad = [case for case in verdict.cases if not case.as_expected and case_word(case) not in ("PASS", "ERROR")]
    return {case.id: read_run(Path(case.folder)) for case in bad[:_MOST_PLOTS]}


def _write_table(file: Path, cells: Sequence[Cell], found: Mapping[str, CaseVerdict]) -> None:
    """One row a run."""
    names = list(dict.fromkeys(name for cell in cells for name in cell.axes))
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([*names, "outcome", "validity", "reason", "trace_sha256", "run"])
        for cell in cells:
            one = found[cell.id]
            reason = one.reasons[0] if one.reasons else ""
            told = (_word(one), one.validity.name, reason, one.trace_sha256, cell.id)
            writer.writerow([*(cell.axes.get(name, "") for name in names), *told])
