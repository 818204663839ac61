"""Typed answers: from a schema to a directive, and from a model's text to a value."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from governance.core import json_schema
from loom.errors import OutputValidationError

_FENCE = re.compile(r"```(?:[a-zA-Z0-9_-]*)\s*\n?(.*?)```", re.DOTALL)
_DECODER = json.JSONDecoder()
_MAX_ERRORS = 10
_MAX_BRACKETS = 200  # a text of nothing but brackets must not take quadratic time


@dataclass(frozen=True)
class Output:
    """What an answer must be: a Pydantic model, a union of them, or a JSON Schema.

    `spec` is what the caller gave and what adapters with native structured output get.
    """

    spec: Any
    schema: dict[str, Any]
    members: tuple[type[BaseModel], ...]

    def directive(self) -> str:
        """What a model without native structured output reads."""
        return (
            "STRUCTURED OUTPUT REQUIRED. Answer with one JSON value that satisfies this JSON Schema, and nothing else: "
            f"no prose, no code fence.\n{json.dumps(self.schema, indent=2)}"
        )

    def feedback(self, error: OutputValidationError) -> str:
        """What a model reads after an answer that does not fit."""
        return (
            f"Your previous response failed schema validation:\n{error}\n"
            f"Answer again with one JSON value that satisfies this JSON Schema:\n{json.dumps(self.schema)}"
        )

    def read(self, text: str) -> tuple[str, Any]:
        """The JSON text and the value of an answer; fences and prose around the JSON are tolerated.

        A JSON Schema gives plain JSON values, a model its instance. Raises OutputValidationError.
        """
        problem: Exception | None = None
        is_told = False
        for candidate in _candidates(text):
            try:
                return candidate, self._validate(candidate)
            except ValueError as error:  # pydantic's ValidationError is one
                # What is wrong with the JSON in a text tells more than that the text around it is none.
                if problem is None or (not is_told and _is_json(candidate)):
                    problem, is_told = error, _is_json(candidate)
        raise OutputValidationError(_explain(problem), raw=text, schema=self.spec, cause=problem)

    def _validate(self, text: str) -> Any:
        if not self.members:
            return _valid(_loaded(text), self.schema)
        first: ValidationError | None = None
        for member in self.members:
            try:
                return member.model_validate_json(text)
            except ValidationError as error:
                first = first or error
        assert first is not None
        raise first


def output_for(spec: Any) -> Output:
    """The output that a model class, a union of them or a JSON Schema describes.

    Raises OutputValidationError, without a cause, for anything else.
    """
    if isinstance(spec, dict):
        _check_schema(spec)
        return Output(spec, spec, ())
    return _output_for_type(spec) if isinstance(spec, Hashable) else _made(spec)


def json_values(text: str) -> Iterator[Any]:
    """The JSON values in a model's answer, the likeliest first: the whole, what is fenced, the first among prose."""
    for candidate in _candidates(text):
        try:
            yield _loaded(candidate)
        except ValueError:
            continue


@lru_cache(maxsize=256)
def _output_for_type(spec: Any) -> Output:
    return _made(spec)


def _made(spec: Any) -> Output:
    members = get_args(spec) if get_origin(spec) in (Union, UnionType) else (spec,)
    if not all(isinstance(member, type) and issubclass(member, BaseModel) for member in members):
        raise OutputValidationError(
            f"an output schema is a Pydantic model, a union of them or a JSON Schema, not {spec!r}", schema=spec
        )
    return Output(spec, TypeAdapter(spec).json_schema(), members)


def _check_schema(schema: dict[str, Any]) -> None:
    try:
        _check_text(json.dumps(schema))
    except (TypeError, ValueError, RecursionError) as error:
        raise OutputValidationError(f"the output schema is no JSON Schema: {error}", schema=schema) from error


@lru_cache(maxsize=256)
def _check_text(schema: str) -> None:
    json_schema.check(json.loads(schema))


def _candidates(text: str) -> Iterator[str]:
    """Where the JSON may be: the whole text, what is fenced, then whatever parses from one of its brackets on."""
    yield text.strip()
    for fenced in _FENCE.findall(text):
        yield fenced.strip()
    end = 0
    for match in itertools.islice(re.finditer(r"[{\[]", text), _MAX_BRACKETS):
        if match.start() < end:
            continue
        try:
            _, end = _DECODER.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            continue
        yield text[match.start() : end]


def _is_json(text: str) -> bool:
    try:
        _loaded(text)
    except ValueError:
        return False
    return True


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _explain(problem: Exception | None) -> str:
    if isinstance(problem, ValidationError):
        lines = [
            f"- {'.'.join(map(str, e['loc'])) or '(root)'}: {e['msg']} (type={e['type']})"
            for e in problem.errors(include_url=False)[:_MAX_ERRORS]
        ]
        return "\n".join(lines)
    return f"- {problem}"


def _valid(value: Any, schema: dict[str, Any]) -> Any:
    for error in json_schema.misfits(value, schema):
        raise ValueError(f"{'.'.join(map(str, error.absolute_path)) or '(root)'}: {error.message}")
    return value
