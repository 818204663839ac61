"""Schemas that somebody brings."""

from __future__ import annotations

import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from agents.core.agent import Agent
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.tools.tool import Tool
from governance.core import json_schema
from loom.errors import InvalidArguments, OutputValidationError

BOMB = "(x+x+)+y|(x|xx)+z"


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    """A server with a schema, and what was asked of it."""
    asked: list[str] = []

    class Schema(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"type": "object"}')

    with HTTPServer(("127.0.0.1", 0), Schema) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/schema", asked
        server.shutdown()


async def test_nothing_that_a_schema_refers_to_is_fetched(elsewhere: tuple[str, list[str]]) -> None:
    url, asked = elsewhere
    model = ScriptedModel([ScriptedTurn('{"a": 1}')])

    with pytest.raises(OutputValidationError, match="nothing is fetched") as caught:
        await Agent("", model=model, output_schema={"$ref": url}).run("x")
    with pytest.raises(InvalidArguments, match="which is not in it"):
        Tool(name="far", description="", fn=dict, input_schema={"$ref": url}).check({})

    assert caught.value.cause is None
    assert model.remaining == 1
    assert asked == []


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "objct"}, "type: 'objct'"),
        ({"type": "object", "properties": 3}, "properties: 3"),
        ({"properties": {"a": {"$ref": "#/$defs/nope"}}}, "'#/$defs/nope', which is not in it"),
        ({"pattern": "("}, "pattern"),
    ],
)
def test_what_is_no_schema_is_refused_in_words(schema: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        json_schema.check(schema)
    assert problem in str(caught.value)


def test_a_schema_that_is_nested_without_end_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(5000):
        schema = {"items": schema}

    with pytest.raises(ValueError, match="nested too deeply"):
        json_schema.check(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"a": {"type": "string"}}, "$ref": "#/$defs/a"},
        {"properties": {"$ref": {"type": "string"}}},
        {"const": {"$ref": "https://example.com"}},
        {"$id": "https://example.com/x", "$defs": {"a": {"$id": "a"}}, "$ref": "a"},
        {"$defs": {"n": {"items": {"$ref": "#/$defs/n"}}}, "$ref": "#/$defs/n"},
    ],
)
def test_what_refers_to_itself_or_to_nothing_is_a_schema(schema: dict[str, Any]) -> None:
    json_schema.check(schema)


@pytest.mark.parametrize("schema", [{"pattern": BOMB}, {"patternProperties": {BOMB: {}}}])
def test_a_pattern_that_runs_away_is_stopped(schema: dict[str, Any]) -> None:
    text = "x" * 4000 + "!"
    began = time.monotonic()

    with pytest.raises(ValueError, match="takes too long"):
        list(json_schema.misfits({text: 1} if "patternProperties" in schema else text, schema))

    assert time.monotonic() - began < 30  # it would be longer than the universe is old


def test_a_type_that_json_has_not_is_named() -> None:
    with pytest.raises(ValueError, match="the type 'objct', which JSON has not"):
        list(json_schema.misfits({}, {"type": "objct"}))


def test_patterns_count() -> None:
    schema = {"properties": {"a": {"pattern": "^x"}}, "patternProperties": {"^n_": {"type": "integer"}}}

    found = [(list(e.absolute_path), e.message) for e in json_schema.misfits({"a": "y", "n_1": "z", "b": "z"}, schema)]

    assert found == [(["a"], "'y' does not match '^x'"), (["n_1"], "'z' is not of type 'integer'")]
