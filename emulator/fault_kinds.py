"""The kinds of faults: what each one is called, what can have it, which parameters it takes.

Owns the reading of `fault_kinds.toml` and what a parameter may be; faults of a run are in `emulator/faults.py`.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from importlib.resources import files
from types import MappingProxyType
from typing import Any, TypeAlias

from emulator.units import UnitError, duration_ns, parse

Value: TypeAlias = float | int | str
"""A parameter: plain number in the unit its name ends in, or text."""


class FaultError(ValueError):
    """A fault that cannot be; the message names the key, the value and the remedy."""


class Type(Enum):
    """What a parameter may be."""

    DURATION = "duration"
    SHARE = "share"
    COUNT = "count"
    NUMBER = "number"
    GLOBS = "globs"
    CHOICE = "choice"
    TEXT = "text"
    SPANS = "spans"


_EXPECTED = {
    Type.DURATION: "a duration, not negative, in whole nanoseconds",
    Type.SHARE: "a share from 0 to 1",
    Type.COUNT: "a whole number from 1",
    Type.NUMBER: "a finite number",
    Type.GLOBS: "names or globs with blanks between",
    Type.TEXT: "text",
    Type.SPANS: 'whole numbers and ranges of them, like [5, 15] or "70-71"',
}
_SPAN = re.compile(r"(\*)|(\d{1,5})(?:-(\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One setting of a kind. `key` is how it is written (with a unit), `name` how code sees it (a plain number)."""

    key: str
    type: Type
    default: Value
    what: str
    of: tuple[str, ...] = ()
    most: int | None = None
    """The largest count; None: there is none."""

    @property
    def name(self) -> str:
        """The key, with the unit where code sees one."""
        return f"{self.key}_ns" if self.type is Type.DURATION else self.key

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        expected = _EXPECTED.get(self.type, f"one of {', '.join(self.of)}")
        return expected if self.most is None else f"{expected} to {self.most}"

    def read(self, text: object) -> Value:
        """The value as people write it. Raises UnitError where it has a unit that does not fit."""
        if self.type is Type.DURATION:
            return duration_ns(text)
        if self.type is Type.SHARE:
            return parse(text, "fraction")
        if self.type is Type.GLOBS and isinstance(text, list | tuple) and all(isinstance(name, str) for name in text):
            return " ".join(name.replace(" ", "_") for name in text)
        if self.type is Type.SPANS and not isinstance(text, bool):
            return " ".join(map(str, text)) if isinstance(text, list) else str(text)
        if not isinstance(text, int | float | str):
            raise UnitError(f"{text!r} is not {self.expected}")
        return text

    def refusal(self, value: object) -> str | None:
        """Why `value` cannot be; None when it can."""
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
        whole = isinstance(number, int)
        good = {
            Type.DURATION: whole and number >= 0,
            Type.SHARE: 0.0 <= number <= 1.0,
            Type.COUNT: whole and 1 <= number <= (math.inf if self.most is None else self.most),
            Type.NUMBER: math.isfinite(number),
            Type.GLOBS: isinstance(value, str) and value.split() != [],
            Type.CHOICE: value in self.of,
            Type.TEXT: isinstance(value, str),
            Type.SPANS: isinstance(value, str) and value.split() != [] and all(map(_SPAN.fullmatch, value.split())),
        }[self.type]
        return None if good else f"{value!r} is not {self.expected}"


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to fail. `boundary` says where it bites, `targets` which sorts of things can have it."""

    name: str
    boundary: str
    targets: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    """By the names that code sees."""
    what: str
    grade: str
    source: str


_PROBABILITY = Parameter("probability", Type.SHARE, 1.0, "chance of each occasion to be hit; 0 is no fault")
FILTERS: Mapping[str, Parameter] = MappingProxyType({
    "ports": Parameter("ports", Type.GLOBS, "*", "ports of the target that are hit"),
    "requests": Parameter("requests", Type.GLOBS, "*", "requests that are hit, by the names of emulator/asked.py"),
    "functions": Parameter("functions", Type.SPANS, "*", "function codes of Modbus requests that are hit"),
    "registers": Parameter("registers", Type.SPANS, "*", "Modbus requests that touch one of these addresses are hit"),
    "units": Parameter("units", Type.SPANS, "*", "unit ids of Modbus requests that are hit"),
})  # fmt: skip
"""Parameters that narrow a fault down; a kind that has one names it under `filters`."""

_TOGETHER = {"modbus": ("functions", "registers", "units")}
"""What `filters` may say in one word."""


def spans(text: str) -> tuple[range, ...]:
    """The numbers of a parameter of type `spans`; empty for `*`, which stands for all of them."""
    found = [_SPAN.fullmatch(word) for word in text.split()]
    if any(span is not None and span[1] for span in found):
        return ()
    return tuple(range(int(span[2]), int(span[3] or span[2]) + 1) for span in found if span is not None)


def _kinds() -> Mapping[str, Kind]:
    """The table, from its file."""
    text = (files(__package__) / "fault_kinds.toml").read_text(encoding="utf-8")
    kinds = {}
    for name, raw in tomllib.loads(text).items():
        parameters = [_parameter(key, entry) for key, entry in raw.get("parameters", {}).items()]
        filters = [FILTERS[key] for word in raw.get("filters", ()) for key in _TOGETHER.get(word, (word,))]
        kinds[name] = Kind(
            name, raw["boundary"], tuple(raw["targets"]),
            MappingProxyType({p.name: p for p in (*parameters, *filters, _PROBABILITY)}),
            raw["what"], raw["grade"], raw["source"],
        )  # fmt: skip
    return MappingProxyType(kinds)


def _parameter(key: str, raw: Mapping[str, Any]) -> Parameter:
    of = raw.get("of", ())
    if isinstance(of, str):  # the names of the tables of a neighbouring file
        of = tomllib.loads((files(__package__) / of).read_text(encoding="utf-8"))
    bare = Parameter(key, Type(raw["is"]), 0, raw["what"], tuple(of), raw.get("most"))
    return replace(bare, default=bare.read(raw["default"]))


KINDS: Mapping[str, Kind] = _kinds()
"""Every kind by name."""


def kind_named(name: str) -> Kind:
    """The kind called `name`. Raises FaultError with a near match."""
    kind = KINDS.get(name)
    if kind is None:
        raise FaultError(f"unknown fault kind {name!r}; {near(name, KINDS)}")
    return kind


def near(word: str, known: Iterable[str]) -> str:
    """A remedy for a word that is not among the known ones: the nearest of them, or all."""
    names = list(known)
    match = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"did you mean {match[0]!r}?" if match else f"known: {', '.join(names) or 'none'}"
