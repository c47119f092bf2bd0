"""What a case and a suite file may say: which rig, which profile, which controller, which services, which seeds.

Owns the form of these files and what the command line may say instead; playing a case is `bench/play.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from bench import library
from bench.attach import SutTable, from_text
from bench.config import (
    ConfigError,
    Document,
    DurationNs,
    PowerW,
    Table,
    did_you_mean,
    positive,
    read_toml,
    validate,
)
from bench.verdict import Outcome
from bench.watchdog import PATIENCE_NS

if TYPE_CHECKING:
    from collections.abc import Mapping

_FILES_BESIDE = ("verdict.json", "junit.xml", "report.html", "table.csv")
"""What stands beside the run folders."""


def _folder_name(name: str) -> str:
    if name in _FILES_BESIDE:
        raise ValueError(f"{name!r} is the name of a report that stands beside the run folders; choose another")
    return name


CaseId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$"), AfterValidator(_folder_name)]


class CaseTable(Table):
    """One case. Paths are relative to the file that says them; `kind:name` names something shipped."""

    id: CaseId
    title: str = ""
    rig: str
    profile: str
    services: tuple[str, ...] = Field(min_length=1)
    sut: SutTable
    commitment: Annotated[PowerW, positive] | None = None
    seeds: tuple[int, ...] = Field(default=(1,), min_length=1)
    time: Literal["virtual", "real"] = "virtual"
    speed: Annotated[float, Field(gt=0, le=100)] = 1.0
    """In real time: how many times as fast as the wall clock."""
    lead_in: DurationNs = 20_000_000_000
    """From the start of the run to the profile's zero: the controller must be ready by then."""
    patience: Annotated[DurationNs, positive] = PATIENCE_NS
    """Real time that a controller in virtual time, or in the bench's own loop, may run without giving way."""
    expect: Literal["PASS", "FAIL", "INCONCLUSIVE"] | None = None
    fault: tuple[dict[str, Any], ...] = ()
    """Faults (docs/reference/faults.md); their times count from the profile's zero."""

    @model_validator(mode="after")
    def _paced(self) -> Self:
        if self.speed != 1.0 and self.time != "real":
            raise ValueError('speed: only real time has one; write time = "real", or remove it')
        return self


class CaseFile(Document, CaseTable):
    """A file with one case."""


class SuiteFile(Document):
    """A file with several cases; `defaults` holds keys for every case that does not say them itself."""

    title: str
    defaults: dict[str, Any] = {}
    case: tuple[dict[str, Any], ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Case:
    """A case with one seed, ready to be played. `origin` is the file that described it."""

    table: CaseTable
    seed: int
    origin: Path

    @property
    def id(self) -> str:
        """The case's id, with its seed where there are several."""
        return self.table.id if len(self.table.seeds) == 1 else f"{self.table.id}.s{self.seed}"

    @property
    def expected(self) -> Outcome | None:
        """How the case was declared to end."""
        return None if self.table.expect is None else Outcome[self.table.expect]


def load_cases(reference: str, changes: Mapping[str, Any] | None = None) -> tuple[str, list[Case]]:
    """Title and cases of a case or suite file (`suite:demo`, or a path); `changes` override keys of every case.

    Raises ConfigError with the problems of every case.
    """
    path = library.resolve("case" if reference.startswith("case:") else "suite", reference)
    raw = read_toml(path)
    library.expect("suite", raw, path)
    cases: list[Case] = []
    problems: list[str] = []
    title, tables = _tables(raw, path)
    for origin, table, model in tables:
        try:
            checked = validate({**table, **(changes or {})}, model, origin)
        except ConfigError as error:
            problems += error.problems
            continue
        cases += [Case(checked, seed, path) for seed in checked.seeds]
    ids = [case.id for case in cases]
    problems += [
        f"{path}: case id {twice!r} is used twice; ids name the run folders and must differ"
        for twice in dict.fromkeys(ids)
        if ids.count(twice) > 1
    ]
    if problems:
        raise ConfigError(*problems)
    return title, cases


def overrides(
    rig: str | None = None,
    sut: str | None = None,
    time: str | None = None,
    seed: int | None = None,
    speed: float | None = None,
) -> dict[str, Any]:
    """What the command line says instead of the file, as `changes` of `load_cases`.

    Paths in it are relative to where the user stands, not to the case file. Raises ConfigError naming the option.
    """
    changes: dict[str, Any] = {}
    if rig is not None:
        shipped = rig.partition(":")[0] in library.KINDS
        changes["rig"] = rig if shipped else str(Path(rig).absolute())
    if sut is not None:
        changes["sut"] = _sut_here(sut)
    if time is not None:
        changes["time"] = time
    if seed is not None:
        changes["seeds"] = (seed,)
    if speed is not None:
        changes["speed"] = speed
    return changes


def _sut_here(text: str) -> Mapping[str, Any]:
    try:
        table = from_text(text)
    except ValueError as error:
        raise ConfigError(f"--sut: {error}") from None
    assert isinstance(table, dict)  # noqa: S101 every text form gives a table
    factory = str(table.get("factory", ""))
    if ".py:" in factory:
        return {**table, "factory": str(Path(factory).absolute())}
    return {**table, "cwd": str(Path.cwd())} if table["kind"] == "subprocess" else table


def _tables(raw: Mapping[str, Any], path: Path) -> tuple[str, list[tuple[str, dict[str, Any], type[CaseTable]]]]:
    """Title, and for each case its place for messages, its keys and its model."""
    if "case" not in raw:
        return str(raw.get("title", path.stem)), [(str(path), dict(raw), CaseFile)]
    suite = validate(raw, SuiteFile, str(path))
    for key in suite.defaults:
        if key not in CaseTable.model_fields:
            raise ConfigError(f"{path}: defaults.{key}: unknown key{did_you_mean(key, CaseTable.model_fields)}")
    merged = [{**suite.defaults, **case} for case in suite.case]
    return suite.title, [(f"{path}: case[{place}]", table, CaseTable) for place, table in enumerate(merged)]
