"""What a small model may write: a JSON Schema, made finite, as a grammar that its engine is held to.

A model of a hundred million parameters can fill in a form, but left alone it rambles. So every string and list gets
an end, a recursive schema a depth, and nothing is written between the values but one space. What the engine cannot
enforce is said with what it can: dates by a pattern that has no 31st of February, shares between 0 and 1 by their
hundredths. What nothing can say (`not`, a pattern that looks ahead) is left to whoever validates the answer.
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from agents.core.llm.schemas import Schema
from loom.errors import InvalidRequestError


@dataclass(frozen=True)
class Bounds:
    """The most that a value may have: characters of a text, items of a list, nested copies of a type."""

    text: int
    items: int
    depth: int


_LADDER = (Bounds(200, 8, 3), Bounds(120, 4, 2), Bounds(60, 3, 2), Bounds(30, 2, 1))
_LARGEST = 10**12
_LAYOUT = {"whitespace_flexible": False, "key_separator": ": ", "item_separator": ", ", "lenient": True}
_NUMERIC = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
_NARROW = 10
_KEY = "[A-Za-z0-9][A-Za-z0-9 _-]{0,30}"
_DATE = "(19|20)[0-9]{2}-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_HEX = "[0-9a-f]"
_FORMATS = {
    "date": _DATE,
    "time": _TIME + "Z?",
    "date-time": f"{_DATE}T{_TIME}Z",
    "duration": "P([1-9][0-9]{0,2}D|T[1-9][0-9]?H|T[1-9][0-9]?M)",
    "uuid": f"{_HEX}{{8}}-{_HEX}{{4}}-4{_HEX}{{3}}-[89ab]{_HEX}{{3}}-{_HEX}{{12}}",
    "email": r"[a-z0-9]{1,20}([._][a-z0-9]{1,20})?@[a-z][a-z0-9]{1,20}(\.[a-z]{2,10}){1,2}",
    "uri": r"https?://[a-z][a-z0-9]{0,30}(\.[a-z]{2,15}){1,3}(/[A-Za-z0-9_-]{1,30}){0,4}",
    "ipv4": r"(1?[0-9]?[0-9]\.){3}1?[0-9]?[0-9]",
}
_LOOKAROUND = re.compile(r"\(\?(?:[=!]|<[=!])|\\[1-9]")


def grammar(schema: Schema) -> str:
    """The schema in the engine's own language (llguidance)."""
    return "%llguidance {}\nstart: %json " + json.dumps({**schema, "x-guidance": _LAYOUT})


def bounded(schema: Schema, *, characters: int, fill: bool = True) -> Schema:
    """The schema without references and without anything endless, as tight as the number of characters asks for.

    `fill` makes optional properties required: a small model leaves out whatever it may.
    Raises InvalidRequestError when every value of the schema is endless.
    """
    finite: Schema = {}
    for bounds in _LADDER:
        try:
            finite = _Bounding(schema, bounds, fill).node(schema, ())
        except _Endless:
            raise InvalidRequestError("no finite value fits the output schema: it always contains itself") from None
        if _longest(finite) <= characters:
            break
    return finite


class _Endless(Exception):
    """Every value of a schema contains itself."""


class _Bounding:
    def __init__(self, root: Schema, bounds: Bounds, fill: bool) -> None:
        self.root, self.bounds, self.fill = root, bounds, fill

    def node(self, schema: Any, inside: tuple[str, ...]) -> Schema:
        """The finite form of a schema that is found inside the given references."""
        if not isinstance(schema, dict):
            schema = {}
        if "$ref" in schema:
            return self._reference(schema, inside)
        if "const" in schema or "enum" in schema:
            return {"enum": schema.get("enum", [schema.get("const")])}
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self._choice(schema[key], inside)
        if "allOf" in schema:
            return self.node(_merged(schema), inside)
        kind = schema.get("type") or _implied(schema)
        if isinstance(kind, list):
            return self._choice([{**schema, "type": one} for one in kind], inside)
        return self._of_kind(kind, schema, inside)

    def _of_kind(self, kind: str | None, schema: Schema, inside: tuple[str, ...]) -> Schema:
        match kind:
            case "object":
                return self._object(schema, inside)
            case "array":
                return self._array(schema, inside)
            case "string":
                return self._string(schema)
            case "integer":
                return _integer(schema)
            case "number":
                return _number(schema)
            case "boolean" | "null":
                return {"type": kind}
            case _:
                return self._choice([{"type": one} for one in ("string", "number", "boolean", "null")], inside)

    def _reference(self, schema: Schema, inside: tuple[str, ...]) -> Schema:
        ref = str(schema["$ref"])
        if inside.count(ref) >= self.bounds.depth:
            raise _Endless
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return self.node({**_resolve(self.root, ref), **beside}, (*inside, ref))

    def _choice(self, options: list[Any], inside: tuple[str, ...]) -> Schema:
        finite = []
        for option in [one for one in options if not _looks_around(one)] or options:
            try:
                finite.append(self.node(option, inside))
            except _Endless:
                continue
        if not finite:
            raise _Endless
        return {"anyOf": finite} if len(finite) > 1 else finite[0]

    def _object(self, schema: Schema, inside: tuple[str, ...]) -> Schema:
        if not schema.get("properties") and schema.get("additionalProperties", True) is not False:
            return self._mapping(schema, inside)
        needed, properties = set(schema.get("required", ())), {}
        for name, value in schema.get("properties", {}).items():
            try:
                properties[name] = self.node(value, inside)
            except _Endless:
                if name in needed:
                    raise
        required = [name for name in properties if self.fill or name in needed]
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}

    def _mapping(self, schema: Schema, inside: tuple[str, ...]) -> Schema:
        least = schema.get("minProperties", 0)
        most = max(least, min(schema.get("maxProperties", self.bounds.items), self.bounds.items))
        keys = schema.get("propertyNames", {})
        keys = _resolve(self.root, keys["$ref"]) if "$ref" in keys else keys
        pattern = "|".join(re.escape(str(key)) for key in keys.get("enum", ())) or _unanchored(keys.get("pattern"))
        value = self.node(schema.get("additionalProperties", {}), inside)
        return {
            "type": "object",
            "patternProperties": {f"^({pattern or _KEY})$": value},
            "additionalProperties": False,
            "minProperties": least,
            "maxProperties": most,
        }

    def _array(self, schema: Schema, inside: tuple[str, ...]) -> Schema:
        first = [self.node(one, inside) for one in schema.get("prefixItems", ())]
        least = schema.get("minItems", 0)
        most = max(least, len(first), min(schema.get("maxItems", self.bounds.items), self.bounds.items))
        finite: Schema = {"type": "array", "minItems": least, "maxItems": most}
        if first:
            finite["prefixItems"] = first
        if most > len(first):
            try:
                finite["items"] = self.node(schema.get("items", {}), inside)
            except _Endless:
                if least > len(first):
                    raise
                finite["maxItems"] = len(first)
        return finite

    def _string(self, schema: Schema) -> Schema:
        given, form = schema.get("pattern"), _FORMATS.get(schema.get("format", ""))
        if form and not given:
            return {"type": "string", "pattern": f"^({form})$"}
        least = schema.get("minLength", 0)
        most = max(least, min(schema.get("maxLength", self.bounds.text), self.bounds.text))
        finite: Schema = {"type": "string", "minLength": least, "maxLength": most}
        if given and not _looks_around(schema):
            finite["pattern"] = given
        return finite


def _integer(schema: Schema) -> Schema:
    low, high = _range(schema)
    low = -_LARGEST if low is None else low
    finite: Schema = {
        "type": "integer",
        "minimum": math.ceil(low),
        "maximum": math.floor(_LARGEST if high is None else high),
    }
    if schema.get("exclusiveMinimum") == finite["minimum"]:
        finite["minimum"] += 1
    if schema.get("exclusiveMaximum") == finite["maximum"]:
        finite["maximum"] -= 1
    if "multipleOf" in schema:
        finite["multipleOf"] = schema["multipleOf"]
    return finite


def _number(schema: Schema) -> Schema:
    low, high = _range(schema)
    if low is None and high is None:
        return {"type": "number", "minimum": -_LARGEST, "maximum": _LARGEST, "multipleOf": 0.000001}
    if low is None or high is None or high - low > _NARROW:
        return {key: schema[key] for key in _NUMERIC if key in schema} | {"type": "number"}
    # The engine would go on writing decimals; a share or a score needs two of them.
    grid = (round(low + (high - low) * step / 100, 6) for step in range(101))
    excluded = {schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")}
    return {"enum": [value for value in grid if value not in excluded]}


def _range(schema: Schema) -> tuple[float | None, float | None]:
    lows = [schema[key] for key in ("minimum", "exclusiveMinimum") if key in schema]
    highs = [schema[key] for key in ("maximum", "exclusiveMaximum") if key in schema]
    return max(lows, default=None), min(highs, default=None)


def _implied(schema: Schema) -> str | None:
    """The type of a schema that names none but uses the words of one."""
    words = {"properties": "object", "items": "array", "prefixItems": "array", "pattern": "string", "format": "string"}
    return next((kind for word, kind in words.items() if word in schema), None)


def _merged(schema: Schema) -> Schema:
    """The parts of an allOf as one schema."""
    merged: Schema = {key: value for key, value in schema.items() if key != "allOf"}
    for part in schema["allOf"]:
        properties = {**merged.get("properties", {}), **part.get("properties", {})}
        required = [*merged.get("required", ()), *part.get("required", ())]
        merged |= part
        if properties:
            merged |= {"properties": properties, "required": required}
    return merged


def _resolve(root: Schema, ref: str) -> Schema:
    found: Any = root
    for part in ref.removeprefix("#").split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict) or key not in found:
            raise InvalidRequestError(f"the output schema refers to {ref!r}, which is not in it")
        found = found[key]
    return found if isinstance(found, dict) else {}


def _looks_around(schema: Any) -> bool:
    """Whether a text must match a pattern that no grammar can say."""
    return isinstance(schema, dict) and bool(_LOOKAROUND.search(str(schema.get("pattern", ""))))


def _unanchored(pattern: str | None) -> str:
    return (pattern or "").removeprefix("^").removesuffix("$")


def _longest(schema: Schema) -> int:
    """About how many characters the longest value of a finite schema has."""
    if "enum" in schema:
        return max((len(json.dumps(value)) for value in schema["enum"]), default=0)
    if "anyOf" in schema:
        return max(map(_longest, schema["anyOf"]))
    match schema.get("type"):
        case "string":
            return int(schema.get("maxLength", 60)) + 2
        case "array":
            first = schema.get("prefixItems", [])
            more = int(schema["maxItems"]) - len(first)
            return 2 + sum(map(_longest, first)) + (more * (2 + _longest(schema["items"])) if more > 0 else 0)
        case "object":
            pairs = int(schema.get("maxProperties", 1))
            values = schema.get("patternProperties") or schema["properties"]
            return 2 + pairs * sum(len(name) + 6 + _longest(value) for name, value in values.items())
        case _:
            return 20
