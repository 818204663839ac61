"""The JSON Schema of an answer, and the form of it that providers can hold a model to."""

import re
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter

Schema = dict[str, Any]


def schema_of(output_schema: Any) -> Schema:
    """The JSON Schema of what the caller asked for: a Pydantic model, any other type, or a JSON Schema already."""
    return output_schema if isinstance(output_schema, dict) else _schema_of_type(output_schema)


def schema_name(output_schema: Any) -> str:
    """A name that providers accept: letters, digits, `_` and `-`, at most 64."""
    title = output_schema.get("title") if isinstance(output_schema, dict) else getattr(output_schema, "__name__", "")
    return re.sub(r"[^A-Za-z0-9_-]", "_", str(title or "answer"))[:64]


@lru_cache(maxsize=256)
def _schema_of_type(output_type: Any) -> Schema:
    return TypeAdapter(output_type).json_schema()


def strict_schema(schema: Schema) -> Schema | None:
    """The schema in the subset that OpenAI's strict mode takes, or None where the subset cannot say it.

    Every property is required and no other is allowed; words that only narrow a value (`minLength`, `uniqueItems`) are
    left out, so the answer still has to be validated. Open objects, values of any kind and tuples cannot be said.
    """
    root = dict(schema)
    if "$ref" in root:
        root = {**_definition(root, str(root["$ref"])), "$defs": root.get("$defs", {})}
    try:
        strict = _strict(root)
        if strict.get("type") != "object":
            return None
        if root.get("$defs"):
            strict["$defs"] = {name: _strict(one) for name, one in root["$defs"].items()}
    except _NotStrict:
        return None
    return strict


class _NotStrict(Exception):
    """Strict mode has no words for it."""


_KEPT = frozenset({
    "type", "title", "description", "enum", "const", "pattern", "multipleOf", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "minItems", "maxItems",
})  # fmt: skip
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
_UNSAYABLE = frozenset({
    "allOf", "not", "if", "dependentRequired", "dependentSchemas", "prefixItems", "patternProperties",
})  # fmt: skip
_LOOKAROUND = re.compile(r"\(\?<?[=!]|\\[1-9]")


def _strict(node: Any) -> Schema:
    if not isinstance(node, dict) or _UNSAYABLE & node.keys():
        raise _NotStrict
    if "$ref" in node:
        if not str(node["$ref"]).startswith("#/$defs/"):
            raise _NotStrict
        return {"$ref": node["$ref"]}
    strict = {key: value for key, value in node.items() if key in _KEPT}
    if _LOOKAROUND.search(str(node.get("pattern", ""))):
        del strict["pattern"]
    if node.get("format") in _FORMATS:
        strict["format"] = node["format"]
    options = node.get("anyOf") or node.get("oneOf")
    if options:
        return strict | {"anyOf": [_strict(option) for option in options]}
    if node.get("type") == "object" or "properties" in node:
        return strict | _strict_object(node)
    if node.get("type") == "array":
        return strict | {"items": _strict(node.get("items"))}
    if not {"type", "enum", "const"} & node.keys():
        raise _NotStrict
    return strict


def _strict_object(node: Schema) -> Schema:
    properties = node.get("properties", {})
    if node.get("additionalProperties", not properties) is not False:
        raise _NotStrict
    return {
        "type": "object",
        "properties": {name: _strict(value) for name, value in properties.items()},
        "required": list(properties),
        "additionalProperties": False,
    }


def _definition(schema: Schema, ref: str) -> Schema:
    found = schema.get("$defs", {}).get(ref.removeprefix("#/$defs/"), {})
    return found if isinstance(found, dict) else {}
