"""Reply templates and parameters of a face, as data: JSON for replies, TOML for figures, each with source and grade.

Owns the small template language and the reading of both files; it knows no vendor and no physics.

In a template a string "$name" stands for the attribute `name` of the readings (or the key of the present row), with its
type; "$host.mac" goes on into an object or a mapping; "${name}" inside longer text or a key is replaced by its text.
`{"$each": "boards", "of": T}` is a list with one T for each row of `boards`; a key "$each boards" in an object merges
one object for each row into it.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec

from emulator.catalogue import GRADES
from emulator.units import UnitError, duration_ns

Row: TypeAlias = Mapping[str, Any]
Render: TypeAlias = Callable[[object, Row], Any]
_WHOLE = re.compile(r"\$([\w.]+)")
_EMBEDDED = re.compile(r"\$\{([\w.]+)\}")
_NO_ROW: Row = {}
_plain_json = json.JSONEncoder(separators=(",", ":")).encode
_quick_json = msgspec.json.Encoder().encode


class FaceDataError(ValueError):
    """A data file of a face that cannot be used; names file, key and remedy."""


@dataclass(frozen=True, slots=True)
class Template:
    """One reply and where it is from: `code`, `msg` and sections of a cgminer reply, or the `body` of a web reply."""

    name: str
    grade: str
    source: str
    status: str
    code: int
    msg: Render
    sections: Mapping[str, Render]
    body: Render

    def text(self, readings: object, row: Row = _NO_ROW) -> bytes:
        """The web body as compact JSON."""
        return compact(self.body(readings, row)).encode()


@dataclass(frozen=True, slots=True)
class Figure:
    """A parameter and where it is from; durations are in nanoseconds."""

    value: Any
    grade: str
    source: str


def compact(tree: object) -> str:
    """JSON without blanks, as every one of these firmwares writes it."""
    try:
        return _quick_json(tree).decode()
    except (TypeError, UnicodeEncodeError):  # a number of NumPy's, or half of a surrogate pair that a caller has sent
        return _plain_json(tree)


def compile_template(template: Any) -> Render:
    """Turn a template into a function of (readings, row)."""
    if isinstance(template, str) and "$" in template:
        return _lookup(template)
    if isinstance(template, list):
        items = [compile_template(item) for item in template]
        return lambda readings, row: [item(readings, row) for item in items]
    if isinstance(template, dict) and "$each" in template:
        rows, of = template["$each"], compile_template(template["of"])
        return lambda readings, row: [of(readings, {**row, **each}) for each in getattr(readings, rows)]
    if isinstance(template, dict):
        return _object(template)
    return lambda _readings, _row: template


@cache
def templates(package: str, name: str) -> Mapping[str, Template]:
    """The reply templates in `name` (a JSON file in `package`). Raises FaceDataError naming the entry."""
    raw = json.loads((files(package) / name).read_text(encoding="utf-8"))
    found = {}
    for key, entry in raw.items():
        grade, source = _sourced(f"{name}: {key}", entry)
        sections = {section: compile_template(rows) for section, rows in entry.get("sections", {}).items()}
        msg, body = compile_template(entry.get("msg", "")), compile_template(entry.get("body"))
        found[key] = Template(key, grade, source, entry.get("status", "S"), entry.get("code", 0), msg, sections, body)
    return found


@cache
def figures(package: str, name: str) -> Mapping[str, Figure]:
    """The parameters in `name` (a TOML file in `package`), keyed "table.key"; a key ending in `_ns` is a duration."""
    raw = tomllib.loads((files(package) / name).read_text(encoding="utf-8"))
    found = {}
    for table, entries in raw.items():
        for key, entry in entries.items():
            where = f"{name}: {table}.{key}"
            value = entry.get("value")
            if key.endswith("_ns"):
                try:
                    value = duration_ns(value)
                except UnitError as error:
                    raise FaceDataError(f"{where}.value: {error}") from None
            elif value is None:
                raise FaceDataError(f"{where}: value is missing; write {{ value = ..., grade = ..., source = ... }}")
            found[f"{table}.{key}"] = Figure(value, *_sourced(where, entry))
    return found


def values(found: Mapping[str, Figure], table: str) -> dict[str, Any]:
    """The bare values of one table of `figures`."""
    return {key.removeprefix(f"{table}."): figure.value for key, figure in found.items() if key.startswith(f"{table}.")}


def models_with(found: Mapping[str, Figure], key: str) -> frozenset[str]:
    """Ids of the models that have a table with `key` in `figures`: to add one to a face is to add its table."""
    return frozenset(name.removesuffix(f".{key}") for name in found if name.endswith(f".{key}"))


def _sourced(where: str, entry: Mapping[str, Any]) -> tuple[str, str]:
    grade, source = entry.get("grade"), entry.get("source")
    if grade not in GRADES or not source:
        raise FaceDataError(f"{where}: needs a source and a grade (one of {', '.join(GRADES)}), not {grade!r}")
    return str(grade), str(source)


def _path(name: str) -> Render:
    first, *rest = name.split(".")
    if not rest:
        return lambda readings, row: row[first] if first in row else getattr(readings, first)
    return lambda readings, row: _follow(row[first] if first in row else getattr(readings, first), rest)


def _follow(found: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        # Nearly always a dict; isinstance of an abstract class takes half a microsecond.
        of_mapping = type(found) is dict or isinstance(found, Mapping)
        found = found[step] if of_mapping else getattr(found, step)
    return found


def _lookup(text: str) -> Render:
    whole = _WHOLE.fullmatch(text)
    if whole is not None:
        return _path(whole[1])
    pieces = _EMBEDDED.split(text)  # text, name, text, name, ..., text
    names = [_path(name) for name in pieces[1::2]]
    if len(names) == 1:
        before, name, after = pieces[0], names[0], pieces[2]
        return lambda readings, row: f"{before}{name(readings, row)}{after}"

    def fill(readings: object, row: Row) -> str:
        found = [str(name(readings, row)) for name in names]
        return "".join(piece + value for piece, value in zip(pieces[::2], [*found, ""], strict=True))

    return fill


def _object(template: Mapping[str, Any]) -> Render:
    fixed: dict[str, Any] = {}
    moving: list[tuple[str, Render]] = []
    plain: dict[str, str] = {}
    others: list[tuple[str, Render]] = []
    keyed: list[tuple[Render, Render]] = []
    merged: list[tuple[int, str, Render]] = []
    for key, entry in template.items():
        if key.startswith("$each "):
            merged.append((len(fixed), key.removeprefix("$each "), compile_template(entry)))
        elif "${" in key:
            keyed.append((_lookup(key), compile_template(entry)))
        elif _is_fixed(entry):
            fixed[key] = entry
        else:
            fixed[key] = None
            of = compile_template(entry)
            moving.append((key, of))
            whole = _WHOLE.fullmatch(entry) if isinstance(entry, str) else None
            if whole is not None:
                plain[key] = whole[1]
            else:
                others.append((key, of))
    fill = _filling(plain)

    def render(readings: object, row: Row) -> dict[str, Any]:
        made = fixed.copy()
        if not row:
            fill(made, readings)
        for name, of in moving if row else others:
            made[name] = of(readings, row)
        for name_of, of in keyed:
            made[name_of(readings, row)] = of(readings, row)
        return _interleaved(made, merged, readings, row) if merged else made

    return render


def _interleaved(
    made: dict[str, Any], merged: Sequence[tuple[int, str, Render]], readings: object, row: Row
) -> dict[str, Any]:
    """`made` with the rows of each (place, rows, template) where the template has them."""
    entries = list(made.items())
    whole: dict[str, Any] = {}
    begin = 0
    for place, rows, of in merged:
        whole.update(entries[begin:place])
        begin = place
        for each in getattr(readings, rows):
            whole.update(of(readings, {**row, **each}))
    whole.update(entries[begin:])
    return whole


def _filling(plain: Mapping[str, str]) -> Callable[[dict[str, Any], object], None]:
    """How the entries of an object that are but a name are filled in where there is no row: most of a reply.

    What are attributes is looked up in one call, what is in a mapping one mapping after the other.
    """
    keys = [key for key, name in plain.items() if "." not in name]
    # with one more name that every object has, for of a single one attrgetter makes no tuple
    attributes = attrgetter(*(plain[key] for key in keys), "__class__") if keys else None
    nested: dict[str, list[tuple[str, list[str]]]] = {}
    for key, name in plain.items():
        first, *rest = name.split(".")
        if rest:
            nested.setdefault(first, []).append((key, rest))

    def fill(made: dict[str, Any], readings: object) -> None:
        if attributes is not None:
            made.update(zip(keys, attributes(readings), strict=False))
        for first, entries in nested.items():
            found = getattr(readings, first)
            for key, rest in entries:
                made[key] = _follow(found, rest)

    return fill


def _is_fixed(entry: Any) -> bool:
    return not isinstance(entry, dict | list) and not (isinstance(entry, str) and "$" in entry)
