"""GraphQL documents, read: text in, operations and fragments out, within bounds.

Owns the grammar of executable documents (S: GraphQL specification of October 2021, chapter 2); types and values are
`graphql.py`'s.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, TypeAlias

MAX_TOKENS = 2_000
MAX_DEPTH = 40
"""Selections, lists and objects within one another. estimate"""
_TOKEN = re.compile(
    r"[\s,\ufeff]+|#[^\n\r]*|(?P<punct>\.\.\.|[!$()&:=@\[\]{|}])|(?P<name>[_A-Za-z]\w*)"
    r'|(?P<number>-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])|(?P<block>"""(?:[^"\\]|\\"""|\\|"(?!""))*""")'
    r'|(?P<string>"(?:[^"\\\n\r]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")',
    re.ASCII,
)
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class GraphError(Exception):
    """What is wrong, and where in the document (line, column) or in the answer (path)."""

    def __init__(self, message: str, at: tuple[int, int] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.at = at


@dataclass(frozen=True, slots=True)
class Variable:
    """`$name` as a value."""

    name: str


@dataclass(frozen=True, slots=True)
class EnumValue:
    """A bare word as a value."""

    name: str


@dataclass(frozen=True, slots=True)
class Field:
    """A field asked for, under its alias."""

    alias: str
    name: str
    arguments: dict[str, Any]
    directives: dict[str, dict[str, Any]]
    selections: tuple[Selection, ...]
    at: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Spread:
    """A fragment: a named one, or selections under a type condition (empty: the type at hand)."""

    fragment: str
    on: str
    directives: dict[str, dict[str, Any]]
    selections: tuple[Selection, ...]
    at: tuple[int, int]


Selection: TypeAlias = Field | Spread


@dataclass(frozen=True, slots=True)
class Operation:
    """A query or mutation; `variables` maps a name to its type and its default, if it has one."""

    kind: str
    name: str
    variables: dict[str, tuple[str, tuple[Any, ...]]]
    selections: tuple[Selection, ...]


@dataclass(frozen=True, slots=True)
class Fragment:
    """A named fragment."""

    on: str
    selections: tuple[Selection, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """What was sent."""

    operations: list[Operation]
    fragments: dict[str, Fragment]


def parse(text: str) -> Document:
    """Read a document. Raises GraphError."""
    return _Parser(text).document()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._index = 0
        self._depth = 0

    # ---- tokens ---------------------------------------------------------------------------------------------------

    @property
    def _kind(self) -> str:
        return self._tokens[self._index][0]

    @property
    def _text(self) -> str:
        return self._tokens[self._index][1]

    @property
    def _at(self) -> tuple[int, int]:
        return self._tokens[self._index][2]

    def _take(self) -> str:
        text = self._text
        self._index += self._kind != "end"
        return text

    def _is(self, punct: str) -> bool:
        return self._kind == "punct" and self._text == punct

    def _skip(self, punct: str) -> bool:
        found = self._is(punct)
        self._index += found
        return found

    def _expect(self, punct: str) -> None:
        if not self._skip(punct):
            raise self._unexpected(punct)

    def _name(self) -> str:
        if self._kind != "name":
            raise self._unexpected("a name")
        return self._take()

    def _unexpected(self, wanted: str) -> GraphError:
        found = "end of document" if self._kind == "end" else f'"{self._text[:40]}"'
        return GraphError(f"Syntax error: expected {wanted}, found {found}", self._at)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise GraphError("The recursion depth of the query is too high.", self._at)

    # ---- grammar --------------------------------------------------------------------------------------------------

    def document(self) -> Document:
        operations: list[Operation] = []
        fragments: dict[str, Fragment] = {}
        while self._kind != "end":
            if self._is("{"):
                operations.append(Operation("query", "", {}, self._selections()))
            elif self._text == "fragment":
                self._take()
                name = self._name()
                if self._name() != "on":
                    raise self._unexpected("on")
                on = self._name()
                self._directives()
                fragments[name] = Fragment(on, self._selections())
            elif self._text in ("query", "mutation", "subscription"):
                kind = self._take()
                name = self._take() if self._kind == "name" else ""
                variables = self._variables() if self._skip("(") else {}
                self._directives()
                operations.append(Operation(kind, name, variables, self._selections()))
            else:
                raise self._unexpected("an operation")
        if not operations:
            raise self._unexpected("an operation")
        return Document(operations, fragments)

    def _variables(self) -> dict[str, tuple[str, tuple[Any, ...]]]:
        found = {}
        while not self._skip(")"):
            self._expect("$")
            name = self._name()
            self._expect(":")
            kind = self._type()
            found[name] = (kind, (self._value(),) if self._skip("=") else ())
            self._directives()
        return found

    def _type(self) -> str:
        if self._skip("["):
            self._deeper()
            kind = f"[{self._type()}]"
            self._expect("]")
            self._depth -= 1
        else:
            kind = self._name()
        return kind + "!" * self._skip("!")

    def _selections(self) -> tuple[Selection, ...]:
        self._deeper()
        self._expect("{")
        found: list[Selection] = []
        while not self._skip("}"):
            at = self._at
            if self._skip("..."):
                found.append(self._spread(at))
            else:
                name = alias = self._name()
                if self._skip(":"):
                    name = self._name()
                arguments = self._arguments()
                directives = self._directives()
                found.append(Field(alias, name, arguments, directives, self._selections() if self._is("{") else (), at))
        if not found:
            raise self._unexpected("a selection")
        self._depth -= 1
        return tuple(found)

    def _spread(self, at: tuple[int, int]) -> Spread:
        if self._kind == "name" and self._text != "on":
            return Spread(self._take(), "", self._directives(), (), at)
        on = ""
        if self._kind == "name":
            self._take()
            on = self._name()
        return Spread("", on, self._directives(), self._selections(), at)

    def _arguments(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self._skip("("):
            while not self._skip(")"):
                name = self._name()
                self._expect(":")
                found[name] = self._value()
        return found

    def _directives(self) -> dict[str, dict[str, Any]]:
        found = {}
        while self._skip("@"):
            name = self._name()
            found[name] = self._arguments()
        return found

    def _value(self) -> Any:
        self._deeper()
        value: Any
        if self._skip("$"):
            value = Variable(self._name())
        elif self._skip("["):
            value = []
            while not self._skip("]"):
                value.append(self._value())
        elif self._skip("{"):
            value = {}
            while not self._skip("}"):
                name = self._name()
                self._expect(":")
                value[name] = self._value()
        elif self._kind == "number":
            text = self._take()
            value = float(text) if set(text) & set(".eE") else int(text)
        elif self._kind in ("string", "block"):
            value = _unquoted(self._take())
        elif self._kind == "name":
            word = self._take()
            value = {"true": True, "false": False, "null": None}.get(word, EnumValue(word))
        else:
            raise self._unexpected("a value")
        self._depth -= 1
        return value


def _tokens(text: str) -> list[tuple[str, str, tuple[int, int]]]:
    found: list[tuple[str, str, tuple[int, int]]] = []
    at, line, line_start = 0, 1, 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        where = (line, at - line_start + 1)
        if match is None or match.end() == at:
            raise GraphError(f"Syntax error: unexpected {text[at : at + 10]!r}", where)
        if match.lastgroup is not None:
            found.append((match.lastgroup, match.group(), where))
            if len(found) > MAX_TOKENS:
                raise GraphError("Query is too complex.", where)
        breaks = match.group().count("\n")
        if breaks:
            line += breaks
            line_start = at + match.group().rindex("\n") + 1
        at = match.end()
    found.append(("end", "", (line, at - line_start + 1)))
    return found


def _unquoted(text: str) -> str:
    if text.startswith('"""'):
        return text[3:-3].replace('\\"""', '"""').strip()
    return re.sub(r"\\(u[0-9a-fA-F]{4}|.)", _unescaped, text[1:-1])


def _unescaped(match: re.Match[str]) -> str:
    mark = match[1]
    return chr(int(mark[1:], 16)) if len(mark) == 5 else _ESCAPES.get(mark, mark)
