"""Reading product files: TOML tables in which every figure carries its grade and its source.

Owns the checks and the error texts that name file, key, value and remedy; what the figures mean is said by the modules
that ask for them (`emulator/meters/product.py`, `emulator/pdus/product.py`).
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Any

from emulator.modbus.link import Link, UnitPolicy
from emulator.modbus.registers import TEXT, TYPES, Hole, Row, WordOrder
from emulator.units import UnitError, duration_ns

GRADES = ("S", "S2", "GK", "D", "T", "M", "estimate")
"""Source, secondary source, general knowledge, derived, tested, measured, estimate."""


class ProductError(ValueError):
    """A product that does not exist or a product file that cannot be used; says which file, key and value, and why."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure as its file states it, for listings and reports."""

    name: str
    value: str
    grade: str
    source: str


class Table:
    """A TOML table being read. Every key that is asked for counts as known; `finish` reports the others."""

    def __init__(self, file: str, path: str, content: Mapping[str, Any], sources: Mapping[str, str]) -> None:
        self.file = file
        self.path = path
        self._content = content
        self._sources = sources
        self._known: set[str] = set()
        self._parts: dict[str, Table] = {}
        self._facts: dict[str, Fact] = {}

    @classmethod
    def load(cls, file: Traversable) -> Table:
        """Parse `file`; its `[sources]` table gives the meaning of every `source` key."""
        try:
            content = tomllib.loads(file.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise ProductError(f"{file.name}: not valid TOML: {error}") from error
        sources = content.pop("sources", {})
        if not isinstance(sources, dict) or not all(isinstance(text, str) for text in sources.values()):
            raise ProductError(f"{file.name}: sources: a table of short names and texts is expected")
        return cls(file.name, "", content, sources)

    @property
    def facts(self) -> tuple[Fact, ...]:
        """The figures read so far, of this table and of those inside it."""
        return (*self._facts.values(), *(fact for part in self._parts.values() for fact in part.facts))

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of this table, in the order of the file."""
        return tuple(self._content)

    def error(self, key: str, text: str) -> ProductError:
        """A ProductError that names the place."""
        return ProductError(f"{self.file}: {self._name(key)}: {text}")

    def _name(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def has(self, key: str) -> bool:
        """Whether `key` is given."""
        return key in self._content

    def raw(self, key: str) -> Any:
        """What the file has for `key`, unchecked; empty when it is missing."""
        return self._content.get(key, "")

    def get(self, key: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        """The raw value of `key`, of type `kind`; an error when it is missing and there is no default."""
        self._known.add(key)
        if key not in self._content:
            if default is None:
                near = difflib.get_close_matches(key, set(self._content) - self._known, n=1)
                raise self.error(key, "is missing" + (f"; did you mean it by {near[0]!r}?" if near else ""))
            return default
        found = self._content[key]
        if not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool):
            names = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
            raise self.error(key, f"{found!r} is not of type {names}")
        return found

    def text(self, key: str, default: str | None = None) -> str:
        """A string."""
        return str(self.get(key, str, default))

    def integer(self, key: str, default: int | None = None, low: int = 0, high: int = 0xFFFF) -> int:
        """An integer of `low` to `high`."""
        number = int(self.get(key, int, default))
        if not low <= number <= high:
            raise self.error(key, f"{number} is outside {low} to {high}")
        return number

    def number(self, key: str, default: float | None = None, low: float = -math.inf, high: float = math.inf) -> float:
        """A finite number of `low` to `high`."""
        number = float(self.get(key, (int, float), default))
        if not math.isfinite(number):
            raise self.error(key, f"{number} is not finite")
        if not low <= number <= high:
            raise self.error(key, f"{number} is outside {low} to {high}")
        return number

    def integers(self, key: str) -> tuple[int, ...]:
        """An array of integers."""
        found = self.get(key, list)
        if not all(type(item) is int for item in found):
            raise self.error(key, f"{found!r}: only integers are expected")
        return tuple(found)

    def texts(self, key: str) -> tuple[str, ...]:
        """An array of strings."""
        found = self.get(key, list)
        if not all(isinstance(item, str) for item in found):
            raise self.error(key, f"{found!r}: only texts are expected")
        return tuple(found)

    def choice(self, key: str, among: Iterable[str], default: str | None = None) -> str:
        """One of the given words."""
        word, words = self.text(key, default), list(among)
        if word not in words:
            near = difflib.get_close_matches(word, words, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(words)} is expected"
            raise self.error(key, f"unknown word {word!r}; {hint}")
        return word

    def choice_key(self, key: str, among: Iterable[str]) -> None:
        """Refuse `key` unless it is one of the given words; it counts as known then."""
        self._known.add(key)
        words = list(among)
        if key not in words:
            near = difflib.get_close_matches(key, words, n=1)
            raise self.error(
                key, "unknown key" + (f"; did you mean {near[0]!r}?" if near else f"; one of {', '.join(words)}")
            )

    def boolean(self, key: str, default: bool | None = None) -> bool:
        """True or false."""
        return bool(self.get(key, bool, default))

    def duration_ns(self, key: str, default: str | None = None) -> int:
        """A duration with its unit, in nanoseconds."""
        try:
            return duration_ns(self.text(key, default))
        except UnitError as error:
            raise self.error(key, str(error)) from error

    def table(self, key: str) -> Table:
        """A table inside this one; an empty one when it is missing."""
        return self._part(key, self.get(key, dict, {}))

    def tables(self, key: str) -> list[Table]:
        """An array of tables; empty when it is missing."""
        found = self.get(key, list, [])
        if not all(isinstance(item, dict) for item in found):
            raise self.error(key, "an array of tables is expected")
        return [self._part(f"{key}[{i}]", item) for i, item in enumerate(found)]

    def fact(self, key: str) -> Table:
        """A figure with provenance, `{ value = ..., grade = ..., source = ... }`; its Fact is kept for listings."""
        part = self.table(key)
        grade, source = part.provenance()
        self._facts[key] = Fact(self._name(key), str(part.raw("value")), grade, source)
        return part

    def provenance(self, grade: str = "", source: str = "") -> tuple[str, str]:
        """Grade and source text of this table. Raises ProductError unless both are known."""
        found = self.choice("grade", GRADES, grade or None)
        short = self.text("source", source or None)
        if short not in self._sources:
            raise self.error("source", f"unknown source {short!r}; name it in [sources]")
        return found, self._sources[short]

    def finish(self) -> None:
        """Raise ProductError when a key of this table or of one inside it has not been asked for."""
        for key in self._content:
            if key not in self._known:
                near = difflib.get_close_matches(key, self._known, n=1)
                raise self.error(key, "unknown key" + (f"; did you mean {near[0]!r}?" if near else ""))
        for part in self._parts.values():
            part.finish()

    def _part(self, key: str, content: Mapping[str, Any]) -> Table:
        if key not in self._parts:
            self._parts[key] = Table(self.file, self._name(key), content, self._sources)
        return self._parts[key]


def read_link(table: Table) -> Link:
    """The `[link]` table: unit policy, turnaround, idle time-out, what becomes of a broadcast (`act`, `ignore`)."""
    policy = table.fact("unit_policy").choice("value", [p.value for p in UnitPolicy])
    turnaround_ns = table.fact("turnaround").duration_ns("value")
    idle_ns = table.fact("idle_timeout").duration_ns("value") if table.has("idle_timeout") else None
    broadcast = table.fact("broadcast").choice("value", ["act", "ignore"]) if table.has("broadcast") else "act"
    return Link(UnitPolicy(policy), turnaround_ns, idle_ns, broadcast == "act")


def read_hole(table: Table, key: str) -> Hole:
    """What registers outside the map read."""
    return Hole(table.fact(key).choice("value", [hole.value for hole in Hole]))


def read_row(defaults: Table, table: Table) -> Row:
    """One row of a register table; `defaults` holds type, word order and absent patterns of rows that name none."""
    grade, source = table.provenance()
    orders = [order.value for order in WordOrder]
    order = defaults.choice("order", orders, WordOrder.HIGH_FIRST.value)
    kind = table.choice("type", (*TYPES, TEXT), defaults.choice("type", TYPES))
    absent = defaults.table("absent")
    for key in absent.keys:
        absent.choice_key(key, TYPES)
    patterns = table if table.has("absent") else absent
    key = "absent" if table.has("absent") else kind
    bits = 0 if kind == TEXT else 16 * TYPES[kind][1]
    return Row(
        address=table.integer("address"),
        quantity=table.text("quantity"),
        type=kind,
        unit=table.text("unit", ""),
        scale=table.number("scale", 1.0, low=1e-9),
        absent=patterns.integer(key, high=2**bits - 1) if patterns.has(key) else None,
        order=WordOrder(table.choice("order", orders, order)),
        grade=grade,
        source=source,
        length=table.integer("length", low=1, high=125) if kind == TEXT else 0,
        factor=table.text("factor", ""),
        text=table.text("text") if kind == TEXT else "",
    )


def list_files(folder: Traversable) -> tuple[str, ...]:
    """The product ids of a folder of maps: the names of its TOML files, sorted."""
    return tuple(sorted(file.name[:-5] for file in folder.iterdir() if file.name.endswith(".toml")))


def find_file(folder: Traversable, product: str, kind: str) -> Traversable:
    """The file of `product`. Raises ProductError that lists the `kind` products there are."""
    known = list_files(folder)
    if product not in known:
        near = difflib.get_close_matches(product, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
        raise ProductError(f"unknown {kind} {product!r}; {hint}")
    return folder / f"{product}.toml"
