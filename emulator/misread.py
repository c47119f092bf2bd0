"""Wrong values in a well-formed reply: finds the values under a name, in place, and puts others there.

Reads the three forms miners write (JSON, `key[value]` inside JSON texts, `key=value` rows) and touches no other byte.
When it happens is the fault's business.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from emulator.asked import named, page_of
from emulator.faults import Fault

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_ATOM = re.compile(r"[^\s,\]}{\[:\"\x00]+")
_LITERAL = re.compile(r"(?i)null|true|false|-?nan|-?inf|-?\d+(\.\d+)?(e[+-]?\d+)?|\".*\"|\[.*\]|\{.*\}")
_COMMA = re.compile(r"\s*,\s*")
_BLANK = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.(\d+))?(?:[eE][+-]?\d+)?(?!\w)")
_BRACKETED = re.compile(r"([A-Za-z_]\w*)\[([^\[\]\"]*)\]")
_ROW = re.compile(r"([^,|=]+)=([^,|]*)")


@dataclass(frozen=True, slots=True)
class Span:
    """One value of a reply: where it stands, where its key begins, and the keys and indices that lead to it."""

    path: tuple[str | int, ...]
    key_start: int
    start: int
    end: int
    leaf: bool = True


def spans(text: str) -> list[Span]:
    """Every value of a reply, outer ones before those within; none where the text is in no known form."""
    if not text.lstrip().startswith(("{", "[")):
        return [Span((row[1].strip(),), row.start(1), row.start(2), row.end(2)) for row in _ROW.finditer(text)]
    found: list[Span] = []
    try:
        _walk(text + "\x00", 0, (), 0, found)
    except (ValueError, RecursionError):
        return []
    return sorted(found, key=lambda span: (span.start, -span.end))


def _walk(text: str, at: int, path: tuple[str | int, ...], key_start: int, found: list[Span]) -> int:
    """Take down the value at `at`; where it ends. Raises ValueError for text that is no JSON."""
    start = at = _skip(text, at)
    if text[at] in "{[":
        end, in_object = ("}", True) if text[at] == "{" else ("]", False)
        at, count = _skip(text, at + 1), 0
        while text[at] != end:
            begins, step = at, count
            if in_object:
                key = _match(_STRING, text, at)
                at = _skip(text, key.end())
                if text[at] != ":":
                    raise ValueError(at)
                at += 1
            at = _walk(text, at, (*path, json.loads(key[0]) if in_object else step), begins, found)
            at, count = _skip(text, at), count + 1
            if text[at] == ",":
                at = _skip(text, at + 1)
            elif text[at] != end:
                raise ValueError(at)
        found.append(Span(path, key_start, start, at + 1, leaf=False))
        return at + 1
    token = _match(_STRING if text[at] == '"' else _ATOM, text, at)
    found.append(Span(path, key_start, start, token.end()))
    if text[at] == '"':
        for part in _BRACKETED.finditer(text, at, token.end()):
            found.append(Span((*path, part[1]), part.start(), part.start(2), part.end(2)))  # noqa: PERF401
    return token.end()


def _skip(text: str, at: int) -> int:
    return _match(_BLANK, text, at).end()


def _match(pattern: re.Pattern[str], text: str, at: int) -> re.Match[str]:
    found = pattern.match(text, at)
    if found is None:
        raise ValueError(at)
    return found


# ---- what becomes of a value ----------------------------------------------------------------------------------------

Memory = dict[tuple[str, tuple[str | int, ...]], str]
"""What a frozen value was last, by page and path."""


def misread(text: str, fault: Fault, names: tuple[str, ...], memory: Memory) -> str:
    """The reply with the fault's values in it; `memory` holds what `note` saw before."""
    how = str(fault.text("how"))
    pieces, done = [], 0
    for span, path in _meant(text, fault, names):
        if span.start < done:
            continue
        raw = text[span.start : span.end]
        if how == "remove":
            pieces.append(text[done : max(done, span.key_start)])
            comma = _COMMA.match(text, span.end)
            if comma is None:  # the last pair: the comma before it goes
                pieces = ["".join(pieces).rstrip().removesuffix(",")]
            done = span.end if comma is None else comma.end()
            continue
        new = memory.setdefault((page_of(names), path), raw) if how == "freeze" else _EDITS[how](raw, fault)
        pieces += [text[done : span.start], new]
        done = span.end
    return "".join([*pieces, text[done:]])


def note(text: str, fault: Fault, names: tuple[str, ...], memory: Memory) -> None:
    """Keep the values that the fault will freeze."""
    if fault.text("how") == "freeze":
        page = page_of(names)
        for span, path in _meant(text, fault, names):
            memory[page, path] = text[span.start : span.end]


def _meant(text: str, fault: Fault, names: tuple[str, ...]) -> Iterator[tuple[Span, tuple[str | int, ...]]]:
    """The values that the fault means, with their paths: for numbers what stands below a name, else what has it."""
    keys, below = fault.globs("keys"), fault.text("how") in ("set", "scale")
    for span in spans(text):
        path = span.path[2:] if span.path[:1] and span.path[0] in names else span.path  # a slot of a joined reply
        if path and (span.leaf or not below) and any(_named(path[:n], keys) for n in _depths(path, below)):
            yield span, path


def _depths(path: tuple[str | int, ...], below: bool) -> range:
    return range(1 if below else len(path), len(path) + 1)


def _named(path: tuple[str | int, ...], keys: tuple[str, ...]) -> bool:
    whole = ".".join(map(str, path)).replace(" ", "_")
    return named(whole, keys) or (isinstance(path[-1], str) and named(path[-1].replace(" ", "_"), keys))


def _set(raw: str, fault: Fault) -> str:
    return _NUMBER.sub(lambda _: str(fault.text("value")), raw)


def _scale(raw: str, fault: Fault) -> str:
    return _NUMBER.sub(partial(_scaled, factor=fault.number("factor")), raw)


def _scaled(found: re.Match[str], factor: float) -> str:
    return f"{float(found[0]) * factor:.{len(found[1] or '')}f}"


def _put(raw: str, fault: Fault) -> str:
    text = str(fault.text("value"))
    stays_text = raw.startswith('"') and text != "null"
    return json.dumps(text) if stays_text or not _LITERAL.fullmatch(text) else text


def _shorten(raw: str, fault: Fault) -> str:
    if not raw.startswith("["):
        return raw
    elements = json.loads(raw)
    return json.dumps(elements[: max(0, len(elements) - fault.nanoseconds("elements"))], separators=(",", ":"))


_EDITS: dict[str, Callable[[str, Fault], str]] = {"set": _set, "scale": _scale, "put": _put, "shorten": _shorten}
