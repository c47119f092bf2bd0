"""GraphQL, evaluated: a document over a schema kept as data and a tree of values; unknown fields are GraphQL errors.

Owns types, validation, variables and execution with null propagation (S: GraphQL specification of October 2021); the
schema and what stands behind its fields are the face's. Introspection beyond `__typename` is not served.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from firmware_mocks.miners.graphql_syntax import (
    Document,
    EnumValue,
    Field,
    Fragment,
    GraphError,
    Operation,
    Selection,
    Spread,
    Variable,
    parse,
)

MAX_FIELDS = 5_000
"""Fields of one answer; fragments can ask for one part many times. estimate"""
MAX_ERRORS = 16
_ARGUMENTS = re.compile(r"(?:\((?P<arguments>[^)]*)\)\s*)?(?P<type>[\w\[\]!]+)")
_SCALARS = frozenset({"Int", "Float", "String", "Boolean", "ID"})
Resolve = Callable[[Mapping[str, Any]], Any]


class SchemaError(ValueError):
    """A schema table that cannot be used; names type and field."""


@dataclass(frozen=True, slots=True)
class FieldType:
    """A field of an object: its type and its arguments with theirs."""

    type: str
    arguments: Mapping[str, str]


class Schema:
    """The types of an API: objects (NAME.FIELD = "(ARGUMENT: TYPE) TYPE"), inputs, unions, enums and scalars."""

    __slots__ = ("enums", "inputs", "objects", "scalars", "unions")

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.objects = {
            name: {key: _field_type(f"{name}.{key}", text) for key, text in fields.items()}
            for name, fields in table["object"].items()
        }
        self.inputs: Mapping[str, Mapping[str, str]] = table.get("input", {})
        self.unions: Mapping[str, list[str]] = table.get("union", {})
        self.enums: Mapping[str, list[str]] = table.get("enum", {})
        self.scalars = _SCALARS | set(table.get("scalars", ()))
        known = self.scalars | set(self.objects) | set(self.inputs) | set(self.unions) | set(self.enums)
        for name, fields in self.objects.items():
            for key, kind in fields.items():
                for needed in (kind.type, *kind.arguments.values()):
                    if _named(needed) not in known:
                        raise SchemaError(f"{name}.{key}: no type {_named(needed)!r}; add it to the schema")
        for name, members in self.unions.items():
            for member in members:
                if member not in self.objects:
                    raise SchemaError(f"{name}: no object {member!r}; add it to the schema")

    def possible(self, name: str) -> frozenset[str]:
        """The objects that a value of the named type can be."""
        return frozenset(self.unions.get(name, (name,) if name in self.objects else ()))


def execute(schema: Schema, roots: Mapping[str, Mapping[str, Any]], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a request (`query`, `variables`, `operationName`); `roots` maps "query" and "mutation" to their values.

    A value is a mapping of field names; a callable in it is called with the arguments. A union's value says its
    `__typename`. Nothing is resolved unless the whole document is valid. A resolver refuses with GraphError.
    """
    query, given = asked.get("query"), asked.get("variables") or {}
    if not isinstance(query, str) or not isinstance(given, dict):
        return _refused(GraphError("Request has no query, or its variables are no object"))
    try:
        document = parse(query)
        operation = _chosen(document, asked.get("operationName"))
        root = roots.get(operation.kind)
        if root is None:
            raise GraphError(f"Schema is not configured for {operation.kind}s.")
        validator = _Validator(schema, document, operation)
        validator.selections(operation.kind.capitalize(), operation.selections)
        if validator.errors:
            return _refused(*validator.errors)
        run = _Run(schema, document.fragments, _coerced_variables(schema, operation, given))
        data = run.root(operation.kind.capitalize(), operation.selections, root)
    except GraphError as error:
        return _refused(error)
    return {"data": data} | ({"errors": run.errors} if run.errors else {})


@dataclass(slots=True)
class _Validator:
    schema: Schema
    document: Document
    operation: Operation
    errors: list[GraphError] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def selections(self, name: str, selections: tuple[Selection, ...], within: tuple[str, ...] = ()) -> None:
        for selection in selections:
            if len(self.errors) >= MAX_ERRORS:
                return
            if isinstance(selection, Field):
                self._field(name, selection, within)
            else:
                self._spread(name, selection, within)

    def _field(self, name: str, asked: Field, within: tuple[str, ...]) -> None:
        self._directives(asked)
        if asked.name == "__typename":
            return
        fields = self.schema.objects.get(name, {})
        known = fields.get(asked.name)
        if known is None:
            near = difflib.get_close_matches(asked.name, fields, n=1)
            hint = f' Did you mean "{near[0]}"?' if near else ""
            self.errors.append(GraphError(f'Unknown field "{asked.name}" on type "{name}".{hint}', asked.at))
            return
        for argument in asked.arguments:
            if argument not in known.arguments:
                why = f'Unknown argument "{argument}" on field "{asked.name}" of type "{name}".'
                self.errors.append(GraphError(why, asked.at))
        for argument, kind in known.arguments.items():
            if argument in asked.arguments:
                self._variables_in(asked.arguments[argument], asked.at)
            elif kind.endswith("!"):
                why = f'Field "{asked.name}" argument "{argument}" of type "{name}" is required but not provided'
                self.errors.append(GraphError(why, asked.at))
        inner = _named(known.type)
        is_leaf = inner in self.schema.scalars or inner in self.schema.enums
        if is_leaf and asked.selections:
            why = f'Field "{asked.name}" must not have a selection since type "{known.type}" has no subfields'
            self.errors.append(GraphError(why, asked.at))
        elif not is_leaf and not asked.selections:
            why = f'Field "{asked.name}" of type "{known.type}" must have a selection of subfields'
            self.errors.append(GraphError(why, asked.at))
        elif not is_leaf:
            self.selections(inner, asked.selections, within)

    def _spread(self, name: str, spread: Spread, within: tuple[str, ...]) -> None:
        self._directives(spread)
        on, selections = spread.on or name, spread.selections
        if spread.fragment:
            fragment = self.document.fragments.get(spread.fragment)
            if fragment is None or spread.fragment in within:
                what = "Unknown fragment" if fragment is None else "Cannot spread within itself, fragment"
                self.errors.append(GraphError(f'{what}: "{spread.fragment}"', spread.at))
                return
            on, selections = fragment.on, fragment.selections
            within = (*within, spread.fragment)
            if f"{name} {spread.fragment}" in self.seen:
                return
            self.seen.add(f"{name} {spread.fragment}")
        if not self.schema.possible(on):
            self.errors.append(GraphError(f'Unknown type "{on}"', spread.at))
        elif not self.schema.possible(on) & self.schema.possible(name):
            self.errors.append(
                GraphError(
                    f'Fragment cannot be spread here as objects of type "{name}" can never be of type "{on}"', spread.at
                )
            )
        else:
            self.selections(on, selections, within)

    def _directives(self, asked: Field | Spread) -> None:
        for name, arguments in asked.directives.items():
            if name not in ("skip", "include"):
                self.errors.append(GraphError(f'Unknown directive "{name}"', asked.at))
            elif "if" not in arguments:
                self.errors.append(GraphError(f'Directive "{name}" argument "if" is required', asked.at))
            else:
                self._variables_in(arguments["if"], asked.at)

    def _variables_in(self, given: Any, at: tuple[int, int]) -> None:
        if isinstance(given, Variable):
            if given.name not in self.operation.variables:
                self.errors.append(GraphError(f'Variable "${given.name}" is not defined', at))
        elif isinstance(given, list | dict):
            for entry in given.values() if isinstance(given, dict) else given:
                self._variables_in(entry, at)


@dataclass(slots=True)
class _Run:
    schema: Schema
    fragments: Mapping[str, Fragment]
    variables: Mapping[str, Any]
    errors: list[dict[str, Any]] = field(default_factory=list)
    fields: int = 0

    def root(self, name: str, selections: tuple[Selection, ...], value: Mapping[str, Any]) -> dict[str, Any] | None:
        try:
            return self._object(name, selections, value, ())
        except GraphError as error:
            self._note(error, ())
            return None

    def _object(
        self, name: str, selections: tuple[Selection, ...], value: Mapping[str, Any], path: tuple[str | int, ...]
    ) -> dict[str, Any]:
        merged: dict[str, list[Field]] = {}
        for asked in self._collected(name, selections):
            merged.setdefault(asked.alias, []).append(asked)
        shown: dict[str, Any] = {}
        for alias, group in merged.items():
            first = group[0]
            if first.name == "__typename":
                shown[alias] = name
                continue
            kind = self.schema.objects[name][first.name]
            inner = tuple(selection for asked in group for selection in asked.selections)
            here = (*path, alias)
            try:
                arguments = self._arguments(first, kind)
                found = value[first.name]
                shown[alias] = self._complete(kind.type, inner, found(arguments) if callable(found) else found, here)
            except GraphError as error:
                if kind.type.endswith("!"):
                    raise
                self._note(error, here, first.at)
                shown[alias] = None
        return shown

    def _collected(self, name: str, selections: tuple[Selection, ...]) -> Iterator[Field]:
        for selection in selections:
            self.fields += 1
            if self.fields > MAX_FIELDS:
                raise GraphError("Query is too complex.", selection.at)
            if not self._wanted(selection):
                continue
            if isinstance(selection, Field):
                yield selection
                continue
            fragment = self.fragments.get(selection.fragment)
            on, inner = (
                (selection.on or name, selection.selections) if fragment is None else (fragment.on, fragment.selections)
            )
            if name in self.schema.possible(on):
                yield from self._collected(name, inner)

    def _wanted(self, selection: Selection) -> bool:
        for name, arguments in selection.directives.items():
            on = _coerced(self.schema, "Boolean!", arguments["if"], self.variables)
            if on is (name == "skip"):
                return False
        return True

    def _arguments(self, asked: Field, kind: FieldType) -> dict[str, Any]:
        given: dict[str, Any] = {}
        for name, wanted in kind.arguments.items():
            entry = asked.arguments.get(name)
            if isinstance(entry, Variable) and entry.name not in self.variables:
                entry = None
            given[name] = _coerced(self.schema, wanted, entry, self.variables)
        return given

    def _complete(self, kind: str, selections: tuple[Selection, ...], found: Any, path: tuple[str | int, ...]) -> Any:
        if kind.endswith("!"):
            shown = self._complete(kind[:-1], selections, found, path)
            if shown is None:
                raise GraphError("internal: non-null types require a return value")
            return shown
        if found is None:
            return None
        if kind.startswith("["):
            return [self._item(kind[1:-1], selections, entry, (*path, n)) for n, entry in enumerate(found)]
        if not selections:
            return found
        return self._object(found["__typename"] if kind in self.schema.unions else kind, selections, found, path)

    def _item(self, kind: str, selections: tuple[Selection, ...], found: Any, path: tuple[str | int, ...]) -> Any:
        try:
            return self._complete(kind, selections, found, path)
        except GraphError as error:
            if kind.endswith("!"):
                raise
            self._note(error, path)
            return None

    def _note(self, error: GraphError, path: tuple[str | int, ...], at: tuple[int, int] | None = None) -> None:
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(_shown(error, at) | ({"path": list(path)} if path else {}))


def _chosen(document: Document, name: object) -> Operation:
    if name is None or name == "":
        if len(document.operations) != 1:
            raise GraphError("Operation name required in request.")
        return document.operations[0]
    found = next((operation for operation in document.operations if operation.name == name), None)
    if found is None:
        raise GraphError(f'Unknown operation named "{str(name)[:40]}"')
    return found


def _coerced_variables(schema: Schema, operation: Operation, given: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, (kind, default) in operation.variables.items():
        inner = _named(kind)
        if inner not in schema.scalars and inner not in schema.enums and inner not in schema.inputs:
            raise GraphError(f'Unknown type "{inner}"')
        if name in given:
            found[name] = _coerced(schema, kind, given[name], {}, f"Variable ${name}")
        elif default:
            found[name] = _coerced(schema, kind, default[0], {}, f"Variable ${name}")
        elif kind.endswith("!"):
            raise GraphError(f"Variable ${name} is not defined")
    return found


def _coerced(schema: Schema, kind: str, given: Any, variables: Mapping[str, Any], what: str = "Value") -> Any:
    """An input value as the type wants it. Raises GraphError."""
    if isinstance(given, Variable):
        given = variables.get(given.name)
    if given is None:
        if kind.endswith("!"):
            raise GraphError(f"{what} must not be null, expected {kind}")
        return None
    if kind.endswith("!"):
        kind = kind[:-1]
    if kind.startswith("["):
        entries = given if isinstance(given, list) else [given]
        return [_coerced(schema, kind[1:-1], entry, variables, what) for entry in entries]
    if kind in schema.inputs:
        fields = schema.inputs[kind]
        if not isinstance(given, dict) or not fields.keys() >= given.keys():
            raise GraphError(f"{what} is no {kind}: its fields are {', '.join(fields)}")
        return {key: _coerced(schema, wanted, given.get(key), variables, what) for key, wanted in fields.items()}
    if kind in schema.enums:
        word = given.name if isinstance(given, EnumValue) else given
        if word not in schema.enums[kind]:
            raise GraphError(f'{what}: enumeration type "{kind}" does not contain the value "{str(word)[:40]}"')
        return word
    return _scalar(kind, given, what)


def _scalar(kind: str, given: Any, what: str) -> Any:
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if kind == "Int" and is_number and isinstance(given, int) and -(1 << 31) <= given < 1 << 31:
        return given
    if kind == "Float" and is_number and abs(given) < 1e300 and math.isfinite(given):
        return float(given)
    if kind == "Boolean" and isinstance(given, bool):
        return given
    if kind == "String" and isinstance(given, str):
        return given
    if kind == "ID" and (isinstance(given, str) or (is_number and isinstance(given, int))):
        return str(given)
    raise GraphError(f"{what}: invalid value, expected type {kind}")


def _named(kind: str) -> str:
    return kind.strip("[]!")


def _field_type(where: str, text: str) -> FieldType:
    match = _ARGUMENTS.fullmatch(text)
    if match is None:
        raise SchemaError(f'{where}: {text!r} is no type; write "(ARGUMENT: TYPE, ...) TYPE"')
    pairs = [part.split(":") for part in (match["arguments"] or "").split(",") if part.strip()]
    return FieldType(match["type"], {name.strip(): kind.strip() for name, kind in pairs})


def _shown(error: GraphError, at: tuple[int, int] | None = None) -> dict[str, Any]:
    where = error.at or at
    return {"message": error.message} | ({"locations": [{"line": where[0], "column": where[1]}]} if where else {})


def _refused(*errors: GraphError) -> dict[str, Any]:
    return {"data": None, "errors": [_shown(error) for error in errors[:MAX_ERRORS]]}
