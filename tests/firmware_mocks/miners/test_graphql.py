"""GraphQL over a small schema: what is read, what is refused, and that any text is an answer."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_mocks.miners.braiins_graphql_query import SCHEMA as SHIPPED
from firmware_mocks.miners.graphql import Schema, SchemaError, execute
from firmware_mocks.miners.graphql_syntax import GraphError, parse

QUICK = settings(max_examples=150, deadline=None)
SCHEMA = Schema({
    "object": {
        "Query": {
            "name": "String!", "boards": "[Board!]!", "add": "(a: Int!, b: Int) Int!", "broken": "Int", "dead": "Board",
            "result": "Result!", "echo": "(given: Ask!) String!", "gone": "Int!",
        },
        "Board": {"id": "ID!", "rate": "Float!", "twin": "Board", "fails": "Int!"},
        "Mutation": {"set": "(to: Mode!) Mode!"}, "Ok": {"void": "String!"}, "Bad": {"message": "String!"},
    },
    "union": {"Result": ["Ok", "Bad"]}, "enum": {"Mode": ["ON", "OFF"]},
    "input": {"Ask": {"words": "[String!]!", "mode": "Mode"}},
})  # fmt: skip


def fails(_: Any) -> Any:
    raise GraphError("it does not work")


BOARD = {"id": "1", "rate": 2.5, "twin": None, "fails": fails}
ROOTS: dict[str, dict[str, Any]] = {
    "query": {
        "name": "m1", "boards": [BOARD, BOARD | {"id": "2"}], "add": lambda given: given["a"] + (given["b"] or 0),
        "broken": fails, "dead": None, "result": {"__typename": "Bad", "message": "no"}, "gone": fails,
        "echo": lambda given: json.dumps(given["given"]),
    },
    "mutation": {"set": lambda given: given["to"]},
}  # fmt: skip


def ask(query: str, variables: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return execute(SCHEMA, ROOTS, {"query": query, "variables": variables, **more})


def why(query: str, variables: dict[str, Any] | None = None, **more: Any) -> str:
    answer = ask(query, variables, **more)
    assert answer["data"] is None
    return " | ".join(error["message"] for error in answer["errors"])


def test_fields_come_in_the_order_asked_under_their_alias() -> None:
    answer = ask("{ n: name, boards { rate id } __typename }")
    assert json.dumps(answer["data"]) == json.dumps({
        "n": "m1", "boards": [{"rate": 2.5, "id": "1"}, {"rate": 2.5, "id": "2"}], "__typename": "Query",
    })  # fmt: skip


def test_a_field_asked_twice_is_one_field() -> None:
    assert ask("{ boards { id } boards { rate } }")["data"]["boards"][0] == {"id": "1", "rate": 2.5}


def test_variables_arguments_and_defaults() -> None:
    query = "query Sum($a: Int!, $b: Int = 5) { add(a: $a, b: $b) }"
    assert ask(query, {"a": 2})["data"] == {"add": 7}
    assert ask(query, {"a": 2, "b": None})["data"] == {"add": 2}
    assert ask("{ add(a: 2) }")["data"] == {"add": 2}
    assert ask("mutation { set(to: OFF) }")["data"] == {"set": "OFF"}
    assert ask('query($m: Mode) { echo(given: {words: ["a"], mode: $m}) }', {"m": "ON"})["data"] == {
        "echo": '{"words": ["a"], "mode": "ON"}'
    }


def test_fragments_choose_by_type() -> None:
    assert ask("{ result { ... on Ok { void } ... on Bad { message } } }")["data"] == {"result": {"message": "no"}}
    assert ask("{ result { __typename ...F } } fragment F on Bad { message }")["data"]["result"] == {
        "__typename": "Bad", "message": "no",
    }  # fmt: skip
    assert ask("{ ... { name } }")["data"] == {"name": "m1"}


def test_skip_and_include() -> None:
    query = "query($x: Boolean!) { name @skip(if: $x) add(a: 1) @include(if: $x) ... @include(if: false) { gone } }"
    assert ask(query, {"x": True})["data"] == {"add": 1}
    assert ask(query, {"x": False})["data"] == {"name": "m1"}


def test_an_error_makes_the_nearest_nullable_field_null() -> None:
    answer = ask("{ name broken }")
    assert answer["data"] == {"name": "m1", "broken": None}
    assert answer["errors"] == [
        {"message": "it does not work", "locations": [{"line": 1, "column": 8}], "path": ["broken"]}
    ]
    assert ask("{ boards { fails } }")["data"] is None
    assert ask("{ name gone }") == {"data": None, "errors": [{"message": "it does not work"}]}
    assert ask("{ dead { id } }")["data"] == {"dead": None}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("{ nam }", 'Unknown field "nam" on type "Query". Did you mean "name"?'),
        ("{ boards { id { x } } }", "must not have a selection"),
        ("{ boards }", "must have a selection"),
        ("{ result { message } }", 'Unknown field "message" on type "Result"'),
        ("{ add }", 'argument "a"'),
        ("{ add(a: 1, c: 2) }", 'Unknown argument "c"'),
        ("{ add(a: $a) }", 'Variable "$a" is not defined'),
        ("{ add(a: 1.5) }", "expected type Int"),
        ("{ add(a: 3000000000) }", "expected type Int"),
        ("{ add(a: null) }", "must not be null"),
        ('{ echo(given: {word: ["a"]}) }', "is no Ask"),
        ('{ echo(given: {words: ["a"], mode: UP}) }', 'does not contain the value "UP"'),
        ("mutation { set(to: 3) }", "does not contain"),
        ("{ ...F }", 'Unknown fragment: "F"'),
        ("{ ...F } fragment F on Query { ...G } fragment G on Query { ...F }", "within itself"),
        ("{ ... on Bad { message } }", "can never be"),
        ("{ ... on Nothing { x } }", 'Unknown type "Nothing"'),
        ("{ name @upper }", 'Unknown directive "upper"'),
        ("{ name @skip }", 'argument "if"'),
        ("query($a: Strange) { name }", 'Unknown type "Strange"'),
        ("query($a: Int!) { add(a: $a) }", "$a is not defined"),
        ("subscription { name }", "not configured for subscriptions"),
        ("query A { name } query B { name }", "Operation name required"),
        ("", "expected an operation"), ("{", "expected"), ("{ name", "expected"), ("{ name(", "expected"),
        ("{ name ? }", "unexpected"), ('{ add(a: "x) }', "unexpected"), ("{ }", "expected a selection"),
        ("fragment F on Query { name }", "expected an operation"), ("{ add(a: 007) }", "unexpected"),
    ],
)  # fmt: skip
def test_what_is_refused_is_named(query: str, said: str) -> None:
    assert said in why(query)


def test_requests_that_are_none() -> None:
    assert "no query" in why(None)  # type: ignore[arg-type]
    assert execute(SCHEMA, ROOTS, {"query": "{ name }", "variables": []})["data"] == {"name": "m1"}
    assert execute(SCHEMA, ROOTS, {"query": "{ name }", "variables": [1]})["data"] is None
    assert "Unknown operation" in why("query A { name }", operationName="B")
    assert ask("query A { name } query B { add(a: 1) }", operationName="B")["data"] == {"add": 1}


def test_a_refused_document_resolves_nothing() -> None:
    touched: list[Any] = []
    roots = {"mutation": {"set": lambda given: touched.append(given) or "ON"}}
    execute(SCHEMA, roots, {"query": "mutation { set(to: ON) sett(to: ON) }"})
    assert touched == []


def test_strings_are_unescaped() -> None:
    words = ask(r'{ echo(given: {words: ["a\"\u0041\n", """block \""" here"""]}) }')["data"]["echo"]
    assert json.loads(words)["words"] == ['a"A\n', 'block """ here']


def test_bounds() -> None:
    assert "too high" in why("{ boards " * 1 + "{ twin " * 60 + "}" * 61)
    assert "too complex" in why("{ " + "name " * 3000 + "}")
    bomb = "fragment F0 on Query { name name name name name }"
    bomb += "".join(f" fragment F{n} on Query {{ ...F{n - 1} ...F{n - 1} ...F{n - 1} }}" for n in range(1, 20))
    assert "too complex" in why("{ ...F19 } " + bomb)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"object": {"A": {"x": "Strange"}}}, "A.x: no type 'Strange'"), ({"object": {"A": {"x": "Int Int"}}}, "A.x"),
        ({"object": {"A": {"x": "Int"}}, "union": {"U": ["B"]}}, "U: no object 'B'"),
    ],
)  # fmt: skip
def test_a_broken_schema_names_type_and_field(table: dict[str, Any], said: str) -> None:
    with pytest.raises(SchemaError, match=said):
        Schema(table)


words = st.sampled_from([
    "{", "}", "(", ")", "[", "]", ":", "!", "$", "@", "...", "on", "query", "mutation", "fragment", "name", "boards",
    "id", "result", "add", "a", "Query", "Bad", "Int", "$a", "1", "-2.5e3", '"s"', '"""b"""', "null", "true", "ON",
    "#c\n", "skip(if: true)", "=", "|", "&",
])  # fmt: skip


@QUICK
@given(query=st.text(max_size=60) | st.lists(words, max_size=25).map(" ".join), variables=st.none() | st.dictionaries(
    st.sampled_from(["a", "b"]), st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
))  # fmt: skip
def test_any_text_is_answered(query: str, variables: dict[str, Any] | None) -> None:
    answer = json.loads(json.dumps(ask(query, variables)))
    assert "data" in answer
    assert answer["data"] is not None or answer["errors"]


@QUICK
@given(text=st.text(max_size=80))
def test_any_text_is_a_document_or_a_graph_error(text: str) -> None:
    with suppress(GraphError):
        assert parse(text).operations


def test_the_shipped_schema_is_whole() -> None:
    assert {"Query", "Mutation"} <= SHIPPED.objects.keys()
