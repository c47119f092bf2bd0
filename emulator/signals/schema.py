"""Checks of what clients send, against the schemas of the OpenAPI document that is served.

Owns the keywords those documents use (JSON Schema, draft 2020-12) and no others, so that contract and behaviour cannot
part; `unknown_keywords` finds one that would go unheard.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

_KEYWORDS = frozenset({
    "$ref", "type", "required", "properties", "items", "enum", "const", "minLength", "maxLength", "pattern", "minimum",
    "maximum", "anyOf", "oneOf", "allOf", "format", "description", "default",
})  # fmt: skip


def problems(value: object, schema: Mapping[str, Any], document: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """Every reason why `value` is not what `schema` asks for, with the place it is at."""
    schema = resolved(schema, document)
    here = at or "the body"
    kinds = schema.get("type")
    if kinds is not None and not any(_is(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        yield f"{here} is no {kinds if isinstance(kinds, str) else ' or '.join(kinds)}"
        return
    for word in ("anyOf", "oneOf"):
        if word in schema:
            found = [list(problems(value, one, document, at)) for one in schema[word]]
            good = sum(not one for one in found)
            if good == 0 or (word == "oneOf" and good > 1):
                yield min(found, key=len)[0] if good == 0 else f"{here} fits more than one form"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{here} is none of {', '.join(map(str, schema['enum']))}"
    if isinstance(value, str):
        yield from _text(value, schema, here)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if value < schema.get("minimum", value) or value > schema.get("maximum", value):
            yield f"{here} = {value} is out of range"
    elif isinstance(value, list) and "items" in schema:
        for place, one in enumerate(value):
            yield from problems(one, schema["items"], document, f"{at}[{place}]")
    elif isinstance(value, dict):
        for key in schema.get("required", ()):
            if key not in value:
                yield f"{f'{at}.' if at else ''}{key} is missing"
        for key, one in schema.get("properties", {}).items():
            if key in value:
                yield from problems(value[key], one, document, f"{at}.{key}" if at else key)


def resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema itself, or the one it refers to."""
    while "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = document["components"]["schemas"][name]
    return schema


def unknown_keywords(document: Mapping[str, Any]) -> set[str]:
    """Keywords in the document's schemas that this module does not know."""
    found: set[str] = set()

    def look(schema: object) -> None:
        if not isinstance(schema, Mapping):
            return
        found.update(schema.keys() - _KEYWORDS)
        for key in ("items",):
            look(schema.get(key))
        for key in ("anyOf", "oneOf", "allOf"):
            for one in schema.get(key, ()):
                look(one)
        for one in schema.get("properties", {}).values():
            look(one)

    for schema in document["components"]["schemas"].values():
        look(schema)
    return found


def _text(value: str, schema: Mapping[str, Any], here: str) -> Iterator[str]:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        yield f"{here} has {len(value)} characters"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{here} = {value!r} does not have the form asked for"
    if schema.get("format") == "date-time" and not _is_date(value):
        yield f"{here} = {value!r} is no date and time of RFC 3339"


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is(value: object, kind: str) -> bool:
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    types = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    return isinstance(value, types[kind])
