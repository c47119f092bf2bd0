"""Protocol Buffers messages as the JSON of a REST gateway: the same trees as `protobuf.py`, under serde's rules.

Owns both directions. The gateway writes every field (null where nothing is set), enums as numbers, a `oneof` as an
object of its own whose one key is the member's name in lower case without underscores
(S: the OpenAPI document of BOS 25.07).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firmware_mocks.miners.protobuf import Field, Messages, Tree

_RANGE = {"uint32": (0, 1 << 32), "uint64": (0, 1 << 64), "int32": (-(1 << 31), 1 << 31)}
_RANGE |= {"enum": _RANGE["int32"], "int64": (-(1 << 63), 1 << 63)}
_WRAPPERS = {"UInt32Value": "value"}


class ShapeError(ValueError):
    """JSON that is not the message asked for; says where."""


def to_json(messages: Messages, name: str, tree: Mapping[str, Any]) -> dict[str, Any]:
    """A message tree as a JSON object."""
    shown: dict[str, Any] = {}
    for field in messages[name].fields.values():
        given = tree.get(field.name)
        if field.oneof:
            shown.setdefault(field.oneof, None)
            if given is not None:
                shown[field.oneof] = {_variant(field): value_to_json(messages, field, given)}
        elif field.label == "repeated":
            shown[field.name] = [value_to_json(messages, field, entry) for entry in given or ()]
        elif given is None:
            shown[field.name] = None if field.shows_absence else field.default
        else:
            shown[field.name] = value_to_json(messages, field, given)
    return shown


def value_to_json(messages: Messages, field: Field, given: Any) -> Any:
    """One value of a field as JSON."""
    if field.kind in _WRAPPERS:
        inner = messages[field.kind].fields[_WRAPPERS[field.kind]]
        return given.get(inner.name, inner.default)
    return to_json(messages, field.kind, given) if field.is_message else given


def from_json(messages: Messages, name: str, given: object) -> Tree:
    """A JSON object as a message tree. Raises ShapeError; keys that are no fields are ignored, as serde does."""
    if not isinstance(given, dict):
        raise ShapeError(f"invalid type: expected struct {name}")
    tree: Tree = {}
    for field in messages[name].fields.values():
        if field.oneof:
            member = given.get(field.oneof)
            if member is not None and not isinstance(member, dict):
                raise ShapeError(f"{field.oneof}: invalid type: expected an object with one key")
            entry = None if member is None else member.get(_variant(field))
        else:
            entry = given.get(field.name)
        if entry is not None:
            tree[field.name] = field_from_json(messages, field, entry)
        elif field.label == "" and not field.shows_absence and field.kind != "enum":
            raise ShapeError(f"missing field `{field.name}`")
    for group in {field.oneof for field in messages[name].fields.values()} - {""}:
        member = given.get(group)
        known = {_variant(field) for field in messages[name].fields.values() if field.oneof == group}
        if member is not None and (len(member) != 1 or not known.issuperset(member)):
            raise ShapeError(f"{group}: unknown variant, expected one of {', '.join(sorted(known))}")
    return tree


def field_from_json(messages: Messages, field: Field, given: object) -> Any:
    """JSON for one field, which may be a list. Raises ShapeError."""
    if field.label == "repeated":
        if not isinstance(given, list):
            raise ShapeError(f"{field.name}: invalid type: expected a sequence")
        return [_one(messages, field, entry) for entry in given]
    return _one(messages, field, given)


def _one(messages: Messages, field: Field, given: object) -> Any:
    if field.kind in _WRAPPERS:
        return {_WRAPPERS[field.kind]: _one(messages, messages[field.kind].fields["value"], given)}
    if field.is_message:
        return from_json(messages, field.kind, given)
    if field.kind == "string":
        fits = isinstance(given, str)
    elif field.kind == "bool":
        fits = isinstance(given, bool)
    elif field.kind == "double":
        fits = isinstance(given, int | float) and not isinstance(given, bool)
    else:
        low, high = _RANGE[field.kind]
        fits = isinstance(given, int) and not isinstance(given, bool) and low <= given < high
    if not fits:
        raise ShapeError(f"{field.name}: invalid value: {str(given)[:40]!r}, expected {field.kind}")
    if field.kind != "double":
        return given
    try:
        return float(given)  # type: ignore[arg-type]
    except OverflowError:
        raise ShapeError(f"{field.name}: number out of range") from None


def _variant(field: Field) -> str:
    return field.name.replace("_", "")
