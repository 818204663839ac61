"""The least that fits a JSON Schema."""

from collections.abc import Callable
from typing import Any

from agents.core.llm.schemas import Schema


def least_that_fits(schema: Schema, text: str) -> Any:
    """The smallest value of a schema, with `text` wherever a text may stand.

    The first of several options, no property and no item that is not required. A text's `pattern` and `format` and a
    number's `multipleOf` are not looked at.
    """
    definitions = schema.get("$defs", {})

    def least(node: Any, within: tuple[str, ...] = ()) -> Any:
        if not isinstance(node, dict):
            return None
        if ref := node.get("$ref"):
            if ref in within:
                return None
            return least(definitions.get(str(ref).removeprefix("#/$defs/")), (*within, ref))
        for word in ("const", "default"):
            if word in node:
                return node[word]
        if "enum" in node:
            return node["enum"][0]
        if options := node.get("anyOf") or node.get("oneOf") or node.get("allOf"):
            # An option that is a part of itself has no end.
            return least(next((one for one in options if one.get("$ref") not in within), options[0]), within)
        return _LEAST.get(_type_of(node), _least_object)(node, text, lambda part: least(part, within))

    return least(schema)


_Least = Callable[[Any], Any]


def _least_object(node: Schema, text: str, least: _Least) -> Any:
    properties = node.get("properties", {})
    return {name: least(properties.get(name)) for name in node.get("required", ())}


def _least_list(node: Schema, text: str, least: _Least) -> Any:
    items = [least(item) for item in node.get("prefixItems", ())]
    return items + [least(node.get("items")) for _ in range(node.get("minItems", 0) - len(items))]


def _least_text(node: Schema, text: str, least: _Least) -> Any:
    return text[: node.get("maxLength", len(text))].ljust(node.get("minLength", 0), ".")


def _least_number(node: Schema, text: str, least: _Least) -> Any:
    lowest = node.get("minimum", node["exclusiveMinimum"] + 1 if "exclusiveMinimum" in node else None)
    highest = node.get("maximum", node["exclusiveMaximum"] - 1 if "exclusiveMaximum" in node else None)
    return max(0, lowest) if lowest is not None else min(0, highest) if highest is not None else 0


_LEAST: dict[str, Callable[[Schema, str, _Least], Any]] = {
    "object": _least_object,
    "array": _least_list,
    "string": _least_text,
    "integer": _least_number,
    "number": _least_number,
    "boolean": lambda *_: False,
    "null": lambda *_: None,
}


def _type_of(node: Schema) -> str:
    types = node.get("type", "object" if "properties" in node else "null")
    return str(types[0] if isinstance(types, list) else types)
