"""What a case and a suite file may say: which rig, which profile, which controller, which services, which seeds.

Owns the form of these files; playing a case is `bench/play.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from bench import library
from bench.attach import SutTable
from bench.config import ConfigError, Document, DurationNs, PowerW, Table, did_you_mean, read_toml, validate
from bench.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CaseId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]


class CaseTable(Table):
    """One case. Paths are relative to the file that says them; `kind:name` names something shipped."""

    id: CaseId
    title: str = ""
    rig: str
    profile: str
    services: tuple[str, ...] = Field(min_length=1)
    sut: SutTable
    commitment: PowerW | None = None
    seeds: tuple[int, ...] = (1,)
    time: Literal["virtual", "real"] = "virtual"
    lead_in: DurationNs = 20_000_000_000
    """From the start of the run to the profile's zero: the controller must be ready by then."""
    expect: Literal["PASS", "FAIL", "INCONCLUSIVE"] | None = None
    fault: tuple[dict[str, Any], ...] = ()
    """Faults (docs/reference/faults.md); their times count from the profile's zero."""


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

    Raises ConfigError.
    """
    kind = "case" if reference.startswith("case:") else "suite"
    path = library.resolve(kind, reference)
    raw = read_toml(path)
    if "case" in raw:
        suite = validate(raw, SuiteFile, str(path))
        tables = [{**suite.defaults, **case} for case in suite.case]
        title = suite.title
        _check_defaults(suite, path)
    else:
        document = {key: value for key, value in raw.items() if key != "schema"}
        if raw.get("schema") != 1:
            raise ConfigError(f"{path}: schema: {raw.get('schema')!r} is not 1; write schema = 1 at the top")
        tables, title = [document], str(raw.get("title", path.stem))
    cases = []
    for place, table in enumerate(tables):
        name = f"{path}" if len(tables) == 1 else f"{path}: case[{place}]"
        checked = validate({**table, **(changes or {})}, CaseTable, name)
        cases += [Case(checked, seed, path) for seed in checked.seeds]
    ids = [case.id for case in cases]
    for twice in {name for name in ids if ids.count(name) > 1}:
        raise ConfigError(f"{path}: case id {twice!r} is used twice; ids name the run folders and must differ")
    return title, cases


def _check_defaults(suite: SuiteFile, path: Path) -> None:
    for key in suite.defaults:
        if key not in CaseTable.model_fields:
            raise ConfigError(f"{path}: defaults.{key}: unknown key{did_you_mean(key, CaseTable.model_fields)}")
