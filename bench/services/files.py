"""Service files into services: every figure has a unit, a grade and a source, every check a formula that takes it.

Owns the file format and its errors. A file may build on a family (`extends`) and change only what differs.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from bench.config import ConfigError, Document, FrequencyHz, Table, did_you_mean, read_toml, validate
from bench.services.checks import FORMULAS
from bench.services.model import FACTORS, Check, Clock, Figure, Service
from bench.verdict import Source

Grade = Literal["S", "S2", "GK", "D", "T", "M", "estimate"]
Kind = Literal["deployment", "dispatch", "disturbance", "return", "quiet", "linearity"]


class FigureTable(Table):
    value: float
    unit: str
    grade: Grade
    source: str
    method: bool = False


class ClockTable(Table):
    starts: Literal["frequency", "dispatch", "event"]
    release: Literal["recall", "recall_or_event", "frequency", "dispatch", "event"]
    level: str | None = None
    strict: bool = False
    reaches: str | None = None
    within: str | None = None
    release_level: str | None = None
    release_for: str | None = None
    baseline: Literal["event", "run"] = "event"


class LimitTable(Table):
    low: str | None = None
    high: str | None = None


class CheckTable(Table):
    id: str
    title: str
    sentence: str
    formula: str
    arguments: dict[str, str] = Field(default_factory=dict, alias="with")
    limit: LimitTable
    events: tuple[Kind, ...] | None = None
    clock: ClockTable | None = None


class ServiceFile(Document):
    title: str
    market: str
    summary: str
    events: tuple[Kind, ...]
    nominal_frequency: FrequencyHz | None = None
    clock: ClockTable
    figure: dict[str, FigureTable]
    check: tuple[CheckTable, ...] = Field(min_length=1)
    not_judged: tuple[str, ...] = ()


def read_service(path: Path) -> Service:
    """Read one service file. Raises ConfigError naming file, key, value and remedy."""
    table = _extended(path)
    return _Assembly(str(path), validate(table, ServiceFile, str(path))).service(path.stem)


def _extended(path: Path) -> dict[str, Any]:
    """The table of `path`, laid over that of the family it extends."""
    table = read_toml(path)
    base = table.pop("extends", None)
    if base is None:
        return table
    if not isinstance(base, str):
        raise ConfigError(f"{path}: extends: {base!r} is no file name; name the family's file")
    return _over(_extended(path.parent / base), table)


def _over(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in top.items():
        under = merged.get(key)
        merged[key] = _over(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


class _Assembly:
    """From the validated file to a Service: names of figures become figures, units are held against formulas."""

    def __init__(self, origin: str, file: ServiceFile) -> None:
        self.origin = origin
        self.file = file
        self.figures = {name: self._figure(name, table) for name, table in file.figure.items()}

    def service(self, name: str) -> Service:
        file = self.file
        clock = self._clock("clock", file.clock)
        ids = [table.id for table in file.check]
        for index, one in enumerate(ids):
            if one in ids[:index]:
                raise self._bad(f"check[{index}].id", f'"{one}" is used twice', "give each check its own id")
        return Service(
            id=name,
            title=self._filled("title", file.title),
            market=file.market,
            summary=self._filled("summary", file.summary),
            nominal_hz=file.nominal_frequency,
            kinds=file.events,
            clock=clock,
            checks=tuple(self._check(f"check[{i}]", table, clock) for i, table in enumerate(file.check)),
            not_judged=tuple(self._filled("not_judged", text) for text in file.not_judged),
            figures=self.figures,
        )

    def _figure(self, name: str, table: FigureTable) -> Figure:
        if table.unit not in FACTORS:
            raise self._bad(
                f"figure.{name}.unit", f'unknown unit "{table.unit}"{did_you_mean(table.unit, FACTORS)}', ""
            )
        unit, factor = FACTORS[table.unit]
        source = Source(table.source, table.grade)
        return Figure(name, table.value, table.unit, table.value * factor, unit, source, table.method)

    def _named(self, key: str, name: str | None, unit: str) -> Figure | None:
        """The figure called `name`, which must be in base unit `unit`."""
        if name is None:
            return None
        if name not in self.figures:
            raise self._bad(key, f'unknown figure "{name}"{did_you_mean(name, self.figures)}', "")
        figure = self.figures[name]
        if figure.unit != unit:
            raise self._bad(key, f'"{name}" is in {figure.shown_unit}', f"a figure in units of {unit} is needed")
        return figure

    def _clock(self, key: str, table: ClockTable) -> Clock:
        clock = Clock(
            starts=table.starts,
            release=table.release,
            level=self._named(f"{key}.level", table.level, "Hz"),
            strict=table.strict,
            reaches=self._named(f"{key}.reaches", table.reaches, "Hz"),
            within=self._named(f"{key}.within", table.within, "s"),
            release_level=self._named(f"{key}.release_level", table.release_level, "Hz"),
            release_for=self._named(f"{key}.release_for", table.release_for, "s"),
            baseline=table.baseline,
        )
        if clock.starts == "frequency" and clock.level is None:
            raise self._bad(f"{key}.level", "is missing", "name the figure with the trigger frequency")
        if clock.release == "frequency" and clock.release_level is None:
            raise self._bad(f"{key}.release_level", "is missing", "name the figure with the frequency of return")
        if clock.release_for is not None and clock.release != "frequency":
            raise self._bad(f"{key}.release_for", "is for a release by frequency", "remove it")
        if (clock.reaches is None) != (clock.within is None):
            raise self._bad(key, "has only one of reaches and within", "give both or neither")
        return clock

    def _check(self, key: str, table: CheckTable, clock: Clock) -> Check:
        formula = FORMULAS.get(table.formula)
        if formula is None:
            hint = did_you_mean(table.formula, FORMULAS)
            raise self._bad(f"{key}.formula", f'unknown formula "{table.formula}"{hint}', "")
        units = {**formula.needs, **formula.takes}
        for name in table.arguments:
            if name not in units:
                hint = did_you_mean(name, units) or "; it takes nothing"
                raise self._bad(f"{key}.with.{name}", f"{table.formula} takes no such figure{hint}", "")
        for name in formula.needs:
            if name not in table.arguments:
                raise self._bad(f"{key}.with", f"{table.formula} needs {name}", "name a figure for it")
        low = self._named(f"{key}.limit.low", table.limit.low, formula.unit)
        high = self._named(f"{key}.limit.high", table.limit.high, formula.unit)
        shown = {figure.shown_unit for figure in (low, high) if figure is not None}
        if len(shown) != 1:
            raise self._bad(f"{key}.limit", "needs a low or a high figure, both in one unit", "name it")
        figures = {
            name: self._named(f"{key}.with.{name}", figure, units[name]) for name, figure in table.arguments.items()
        }
        return Check(
            id=table.id,
            title=self._filled(f"{key}.title", table.title),
            sentence=self._filled(f"{key}.sentence", table.sentence),
            formula=table.formula,
            figures={name: figure for name, figure in figures.items() if figure is not None},
            low=low,
            high=high,
            kinds=self.file.events if table.events is None else table.events,
            clock=clock if table.clock is None else self._clock(f"{key}.clock", table.clock),
        )

    def _filled(self, key: str, text: str) -> str:
        """The text with {figure} replaced by the figure."""
        for _, name, _, _ in string.Formatter().parse(text):
            if name is not None and name not in self.figures:
                raise self._bad(key, f'unknown figure "{name}" in the text{did_you_mean(name, self.figures)}', "")
        return text.format(**{name: str(figure) for name, figure in self.figures.items()})

    def _bad(self, key: str, what: str, remedy: str) -> ConfigError:
        return ConfigError(f"{self.origin}: {key}: {what}{'; ' if remedy else ''}{remedy}")
