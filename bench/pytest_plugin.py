"""pytest plug-in: `*.case.toml` files are collected as items, one a seed, and the fixture `bench` plays from Python.

Owns how pytest, JUnit and the terminal see a verdict: a FAIL is a failure, an experiment that did not take place is an
error, never a failure (the controller is not to blame) and never a skip (it must not look green). It judges nothing,
and imports only pytest and the standard library until a case is played.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from bench.case_file import Case
    from bench.facts import RunFacts
    from bench.pytest_bench import Bench
    from bench.verdict import CaseVerdict

SUFFIX = ".case.toml"
_MARKERS = (
    "rig(name): the rig that the test's `bench` plays on, rig:bench40 or a path relative to the test file",
    "profile(name): the grid event it plays, profile:ercot_rrs_ffr_short or a path relative to the test file",
    "faults(*tables): faults of the run, each a table as a case file has it",
)


class NoVerdict(Exception):  # noqa: N818 what the bench says, not what a program did wrong
    """Nothing can be said about the controller; JUnit shows it as an error."""


class BenchVoid(NoVerdict):
    """The experiment did not take place."""


class BenchBroke(NoVerdict):
    """The bench could not play: a file, a port, or a defect of its own."""


class CaseFailed(Exception):  # noqa: N818 an outcome of a case
    """The controller did not do what was asked of it."""


# ------------------------------------------------------------------------------------------------- options and markers


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("ramprig", "ramprig: controllers of flexible load on an emulated site")
    group.addoption(
        "--ramprig-out", "--ramprig-runs-dir", metavar="DIR", dest="ramprig_out",
        default=os.path.join("runs", "pytest"),  # noqa: PTH118 text for the help
        help="folder for run folders and reports, from where pytest's root is (default: %(default)s)",
    )  # fmt: skip
    group.addoption(
        "--ramprig-strict", action="store_true", default=False,
        help="a test that asked for `bench` and judged nothing fails",
    )  # fmt: skip
    group.addoption(
        "--ramprig-seeds", "--ramprig-seed", metavar="SEEDS", dest="ramprig_seeds",
        help="play every case and every test of `bench` once with each of these seeds instead, for example 1,2,10-19",
    )  # fmt: skip
    group.addoption("--ramprig-rig", metavar="RIG", help="play on this rig instead")
    group.addoption("--ramprig-sut", metavar="SUT", help="attach this controller instead, written as for `ramprig run`")
    group.addoption("--ramprig-time", choices=("virtual", "real"), help="play in this time instead")


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(Hooks)


class Hooks:
    """What a conftest may implement."""

    @pytest.hookspec
    def pytest_ramprig_judged(self, item: pytest.Item, verdict: CaseVerdict) -> None:
        """A run has its verdict, and its reports stand in `verdict.folder`. Called in the process that played it."""


def pytest_configure(config: pytest.Config) -> None:
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    config.stash[_CHANGES] = _changes(config)


_CHANGES = pytest.StashKey["Mapping[str, Any]"]()
_MOST_SEEDS = 10_000


def _changes(config: pytest.Config) -> dict[str, Any]:
    """Keys of a case that the options say instead of every file and test. Raises UsageError naming the option."""
    changes: dict[str, Any] = {}
    rig, sut, time = (config.getoption(f"ramprig_{name}") for name in ("rig", "sut", "time"))
    if rig or sut or time:
        from bench.case_file import overrides
        from bench.config import ConfigError

        try:
            changes = overrides(rig, sut, time)
        except ConfigError as error:
            raise pytest.UsageError(str(error).replace("--sut", "--ramprig-sut", 1)) from None
    text = config.getoption("ramprig_seeds")
    if text is not None:
        changes["seeds"] = _seeds(text)
    return changes


def _seeds(text: str) -> tuple[int, ...]:
    seeds: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,18})(?:\s*-\s*(\d{1,18}))?\s*", part)
        if found is None:
            raise pytest.UsageError(f"--ramprig-seeds: {part!r} is no seed; write whole numbers, for example 1,2,10-19")
        first, last = int(found[1]), int(found[2] or found[1])
        if not 0 <= last - first < _MOST_SEEDS:
            raise pytest.UsageError(
                f"--ramprig-seeds: {part.strip()}: write the lower one first, and {_MOST_SEEDS} at most"
            )
        seeds += range(first, last + 1)
    return tuple(dict.fromkeys(seeds))


def changes_of(config: pytest.Config) -> Mapping[str, Any]:
    """What the options say instead of every case file and every test."""
    return config.stash[_CHANGES]


def run_folder(item: pytest.Item) -> Path:
    """Where an item's run goes: one folder for each node id, and for each worker of xdist."""
    config = item.config
    root = config.rootpath / str(config.getoption("ramprig_out"))
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", item.nodeid).strip("_")[-80:]
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    return root / "-".join(filter(None, (name, f"{zlib.crc32(item.nodeid.encode()):08x}", worker)))


# --------------------------------------------------------------------------------------------------- declarative cases


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> CaseFile | None:
    return CaseFile.from_parent(parent, path=file_path) if file_path.name.endswith(SUFFIX) else None


class CaseFile(pytest.File):
    """A case or suite file."""

    def collect(self) -> Iterator[CaseItem]:
        from bench.case_file import load_cases
        from bench.config import ConfigError

        try:
            _, cases = load_cases(str(self.path), changes_of(self.config))
        except ConfigError as error:
            raise self.CollectError(str(error)) from None
        for case in cases:
            yield CaseItem.from_parent(self, name=f"{case.table.id}[{case.seed}]", case=case)


class CaseItem(pytest.Item):
    """A case with one seed."""

    def __init__(self, *, case: Case, **rest: Any) -> None:
        super().__init__(**rest)
        self.case = case

    def runtest(self) -> None:
        verdict, facts = play(self.case, run_folder(self))
        record(self, self.case, verdict, facts)
        conclude(verdict)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, (NoVerdict, CaseFailed)):
            return str(excinfo.value)  # the lines of the plug-in in between tell nobody anything
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.name


def play(case: Case, folder: Path) -> tuple[CaseVerdict, RunFacts | None]:
    """Play and judge `case` into `folder`. Raises BenchBroke for what only the user can mend."""
    from bench.config import ConfigError
    from bench.play import plan
    from bench.session import run_case
    from emulator.network import NetworkError

    try:
        with _alone(folder.parent) if case.table.time == "real" else contextlib.nullcontext():
            return run_case(plan(case), folder)
    except (ConfigError, NetworkError) as error:
        raise BenchBroke(str(error)) from None


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One run in real time after another, also among the workers of xdist: all want the vendors' own ports."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".real-time.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def record(item: pytest.Item, case: Case, verdict: CaseVerdict, facts: RunFacts | None, number: int = 1) -> None:
    """Put on the item what JUnit and the report of a failure shall tell about its run, the `number`-th from 1."""
    from bench.report.words import case_word

    info = {} if facts is None else facts.info
    versions = info.get("versions")
    told = {
        "run_id": verdict.id if facts is None else facts.run_id,
        "case": case.id,
        "rig": case.table.rig,
        "profile": case.table.profile,
        "sut": info.get("sut", case.table.sut.kind),
        "time": case.table.time,
        "folder": verdict.folder,
        "seed": verdict.seed,
        "outcome": verdict.outcome.name,
        "validity": verdict.validity.name,
        "trace_sha256": verdict.trace_sha256,
        "commit": info.get("commit", ""),
        **{f"version.{name}": text for name, text in (versions.items() if isinstance(versions, dict) else ())},
    }
    prefix = "ramprig." if number == 1 else f"ramprig.{number}."
    item.user_properties += [(f"{prefix}{name}", str(value)) for name, value in told.items()]
    word, report = case_word(verdict), Path(verdict.folder) / "report.html"
    item.add_report_section("call", "ramprig", f"{case.id}, seed {verdict.seed}: {word}; {report}\n")
    item.ihook.pytest_ramprig_judged(item=item, verdict=verdict)


def conclude(verdict: CaseVerdict) -> None:
    """Return for a pass, or for a case that ended as it declared. Raises CaseFailed, BenchVoid or BenchBroke."""
    __tracebackhide__ = True
    from bench.report.words import case_headline, case_word
    from bench.verdict import Outcome, Verdict

    if verdict.as_expected:
        return
    word = case_word(verdict)
    said = "\n".join([f"{word}: {verdict.id}: {case_headline(verdict).sentence}", *verdict.reasons])
    said += f"\nreport: {Path(verdict.folder) / 'report.html'}"
    if word == "VOID":
        raise BenchVoid(said)
    if verdict.outcome >= Outcome.ABORTED:
        raise BenchBroke(said)
    if Verdict(verdict.title, (verdict,)).outcome is not Outcome.PASS:
        raise CaseFailed(said)


# --------------------------------------------------------------------------------------------------------- the fixture

_BENCH = pytest.StashKey["Bench"]()


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Bench:
    """A bench to play grid events on and to judge the site with: `play`, `verify`, `measure`, `observe`."""
    from bench.pytest_bench import Bench

    item: pytest.Item = request.node
    defaults: dict[str, Any] = {}
    for key in ("rig", "profile"):
        marker = item.get_closest_marker(key)
        if marker is not None:
            defaults[key] = marker.args[0]
    faults = [table for marker in item.iter_markers("faults") for table in marker.args]
    if faults:
        defaults["fault"] = tuple(faults)
    changes = dict(changes_of(item.config))
    if "seeds" in changes:
        changes["seeds"] = (request.param,)
    made = Bench(item, run_folder(item), defaults, changes)
    item.stash[_BENCH] = made
    return made


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    seeds = changes_of(metafunc.config).get("seeds")
    if seeds and "bench" in metafunc.fixturenames:
        metafunc.parametrize("bench", seeds, indirect=True)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    __tracebackhide__ = True
    result = yield
    made = pyfuncitem.stash.get(_BENCH, None)
    if made is not None:
        made.conclude(strict=pyfuncitem.config.getoption("--ramprig-strict"))
    return result


# ----------------------------------------------------------------------------------------------------------- reporting


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    problem = None if call.excinfo is None else call.excinfo.value
    if report.when == "call" and isinstance(problem, NoVerdict):
        report.when = "setup"  # to pytest's JUnit writer a problem is an <error> outside the call phase only
        if isinstance(problem, BenchVoid):
            vars(report)["ramprig_void"] = str(problem)  # an attribute of its own survives the way from a worker
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    if report.failed and "ramprig_void" in vars(report):
        return "void", "V", ("VOID", {"purple": True})
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = terminalreporter.stats.get("void", [])
    if reports:
        terminalreporter.section("VOID: the experiment did not take place", purple=True)
    for report in reports:
        terminalreporter.write_line(report.nodeid, purple=True, bold=True)
        terminalreporter.write_line(report.ramprig_void)
