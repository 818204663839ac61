"""JSON Schemas that somebody brings: they may come from a tenant or from a stranger's server.

Nothing that a schema refers to is fetched, and no pattern of its holds up the process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

_PATTERN_SECONDS = 0.2


def check(schema: Mapping[str, Any]) -> None:
    """Raises ValueError, in words, for what is no JSON Schema or refers to something that is not in it."""
    from jsonschema import SchemaError

    try:
        _validator().check_schema(schema)
        _check_references(schema)
    except SchemaError as error:
        raise ValueError(f"{'.'.join(map(str, error.absolute_path)) or '(root)'}: {error.message}") from error
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def misfits(value: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
    """Where a value does not fit, as `jsonschema.ValidationError`s.

    Raises ValueError for a schema that cannot be used.
    """
    from jsonschema.exceptions import UnknownType
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        yield from _validator()(schema, registry=Registry()).iter_errors(value)
    except Unresolvable as error:
        raise ValueError(f"the schema refers to {error.ref!r}, which is not in it") from error
    except UnknownType as error:
        raise ValueError(f"the schema has the type {error.type!r}, which JSON has not") from error
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator, validators  # slow to import: only where somebody brings a schema

    return validators.extend(Draft202012Validator, {"pattern": _pattern, "patternProperties": _pattern_properties})


def _pattern(validator: Any, pattern: str, value: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
    from jsonschema import ValidationError

    if validator.is_type(value, "string") and not _matches(pattern, value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Mapping[str, Any], value: Any, schema: Any) -> Iterator[Any]:
    if not validator.is_type(value, "object"):
        return
    for pattern, below in patterns.items():
        for name in value:
            if _matches(pattern, name):
                yield from validator.descend(value[name], below, path=name, schema_path=pattern)


def _matches(pattern: str, text: str) -> bool:
    """Raises ValueError for a pattern that is none, or that runs away."""
    import regex  # unlike `re` it can stop a pattern that runs away

    try:
        return regex.search(pattern, text, timeout=_PATTERN_SECONDS) is not None
    except regex.error as error:
        raise ValueError(f"the pattern {pattern!r} is no regular expression: {error}") from error
    except TimeoutError:
        raise ValueError(f"the pattern {pattern!r} takes too long to match; use a simpler one") from None


def _check_references(schema: Mapping[str, Any]) -> None:
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    whole = DRAFT202012.create_resource(dict(schema))
    waiting = [(whole, Registry().resolver_with_root(whole))]
    while waiting:
        resource, resolver = waiting.pop()
        contents = resource.contents
        for word in ("$ref", "$dynamicRef"):
            reference = contents.get(word) if isinstance(contents, dict) else None
            if not isinstance(reference, str):
                continue
            try:
                resolver.lookup(reference)
            except Unresolvable as error:
                raise ValueError(f"it refers to {reference!r}, which is not in it; nothing is fetched") from error
        waiting += [(below, resolver.in_subresource(below)) for below in resource.subresources()]
