"""A form for the arguments of a call, made from its tool's JSON Schema.

What has a type of its own gets a field of its own; lists, objects and whatever else there may be are written as JSON.
The schema itself has the last word: what fits no field's idea but the schema is taken, and the other way round.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from django import forms

from governance import services
from governance.core.differences import readable
from loom.errors import Invalid, InvalidArguments

LONG = 70  # a text of more characters gets more than a line
MOST_CHARACTERS = 100_000
OTHERS = "others"


class ArgumentsForm(forms.Form):
    """The arguments as fields. `arguments()` are the new ones, once the form is valid."""

    def __init__(self, schema: Mapping[str, Any], args: Mapping[str, Any], data: Any = None) -> None:
        super().__init__(data)
        self._schema = schema
        self._properties = {name: _resolved(schema, schema["properties"][name]) for name in declared(schema)}
        required = set(schema.get("required", ()))
        for name, below in self._properties.items():
            self.fields[_field_name(name)] = _field(name, below, args, is_required=name in required)
        others = {name: value for name, value in args.items() if name not in self._properties}
        if others or not self._properties:
            self.fields[OTHERS] = _Object({}, others, is_required=False)
            self.fields[OTHERS].label = "other arguments" if self._properties else "arguments"

    def arguments(self) -> dict[str, Any]:
        given = {name: self.cleaned_data.get(_field_name(name), _LEFT_OUT) for name in self._properties}
        return {**{n: v for n, v in given.items() if v is not _LEFT_OUT}, **(self.cleaned_data.get(OTHERS) or {})}

    def clean(self) -> None:
        if self.errors:
            return
        try:
            services.check_arguments(dict(self._schema), self.arguments())
        except InvalidArguments as error:
            for one in error.errors:
                self._say(one["pointer"], one["detail"])
        except Invalid as error:
            self.add_error(None, f"{error}.")

    def _say(self, pointer: str, detail: str) -> None:
        """Put what the schema says beside the field that it is about."""
        _, _, *path = pointer.split("/")
        field = _field_name(path[0]) if path and path[0] in self._properties else None
        within = "/".join(path[1:])
        self.add_error(
            field or (OTHERS if OTHERS in self.fields else None), f"{within}: {detail}" if within else detail
        )


def declared(schema: Mapping[str, Any]) -> list[str]:
    """The names of a schema's properties, those that are required first and in its order."""
    known = schema.get("properties", {})
    return list(dict.fromkeys([*(name for name in schema.get("required", ()) if name in known), *known]))


def _field_name(name: str) -> str:
    return f"arg-{name}"


class _LeftOut:
    """Stands for an optional argument that is not given."""


_LEFT_OUT = _LeftOut()


def _resolved(schema: Mapping[str, Any], below: Any) -> dict[str, Any]:
    """A property's schema with what it refers to, as far as that is in the schema itself."""
    found = dict(below) if isinstance(below, Mapping) else {}
    for _ in range(10):  # a reference may lead to another
        reference = found.pop("$ref", None)
        if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
            break
        found = {**schema.get("$defs", {}).get(reference.removeprefix("#/$defs/"), {}), **found}
    options = found.get("anyOf", ())
    others = [option for option in options if option.get("type") != "null"]
    if len(others) == 1:  # `str | None` and its like
        found = {**_resolved(schema, others[0]), **{k: v for k, v in found.items() if k != "anyOf"}}
        found["nullable"] = len(options) > 1
    if isinstance(kinds := found.get("type"), list) and len(set(kinds) - {"null"}) == 1:
        [found["type"]] = set(kinds) - {"null"}
        found["nullable"] = "null" in kinds
    return found


def _field(name: str, schema: Mapping[str, Any], args: Mapping[str, Any], *, is_required: bool) -> forms.Field:
    kind = _KINDS.get(schema.get("type", ""), _Json) if isinstance(schema.get("type", ""), str) else _Json
    kind = _Choice if "enum" in schema or "const" in schema else kind
    field: forms.Field = kind(schema, args.get(name, _LEFT_OUT), is_required=is_required)
    field.label, field.help_text = name, str(schema.get("description", ""))
    field.widget.attrs["aria-label"] = name
    return field


class _Argument(forms.Field):
    """One argument. `was` is what it is now, which an untouched field gives back, to the last digit."""

    hint = ""

    def __init__(self, schema: Mapping[str, Any], was: Any, *, is_required: bool) -> None:
        super().__init__(required=False, widget=self.widget_for(schema, was))
        self.schema, self.was, self.is_required = schema, was, is_required
        self.initial = "" if was is _LEFT_OUT or was is None else self.shown(was)

    def widget_for(self, schema: Mapping[str, Any], was: Any) -> forms.Widget:
        return forms.TextInput(attrs={"autocomplete": "off"})

    def shown(self, value: Any) -> str:
        return readable(value)

    def clean(self, value: Any) -> Any:
        text = "" if value is None else str(value).replace("\r\n", "\n")
        if text == self.initial and self.was is not _LEFT_OUT:
            return self.was
        return _storable(self.read(text)) if text.strip() else self.nothing()

    def nothing(self) -> Any:
        if not self.is_required:
            return _LEFT_OUT
        if self.schema.get("nullable"):
            return None
        raise forms.ValidationError("This argument is required.")

    def read(self, text: str) -> Any:
        return text


class _Text(_Argument):
    hint = "text"

    def widget_for(self, schema: Mapping[str, Any], was: Any) -> forms.Widget:
        if schema.get("format") == "date":
            return forms.DateInput(attrs={"type": "date"})
        long = isinstance(was, str) and (len(was) > LONG or "\n" in was)
        return forms.Textarea(attrs={"rows": 4}) if long else super().widget_for(schema, was)

    def nothing(self) -> Any:
        """An empty text is one where the call needs the argument; the schema may say that it has to be longer."""
        return "" if self.is_required and not self.schema.get("nullable") else super().nothing()


class _Integer(_Argument):
    hint = "whole number"

    def widget_for(self, schema: Mapping[str, Any], was: Any) -> forms.Widget:
        return forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"})

    def read(self, text: str) -> Any:
        try:
            return int(text)
        except ValueError:
            raise forms.ValidationError(f"{text!r} is no whole number.") from None


class _Number(_Argument):
    hint = "number"

    def widget_for(self, schema: Mapping[str, Any], was: Any) -> forms.Widget:
        return forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})

    def read(self, text: str) -> Any:
        try:
            number = float(text)
        except ValueError:
            raise forms.ValidationError(f"{text!r} is no number.") from None
        if not math.isfinite(number):
            raise forms.ValidationError(f"{text!r} is no number that JSON has.")
        return int(text) if text.strip().lstrip("+-").isdecimal() else number


class _Choice(_Argument):
    """One of several values, which keep their types: options are JSON."""

    hint = ""

    def options(self, schema: Mapping[str, Any]) -> list[Any]:
        return list(schema["enum"]) if "enum" in schema else [schema["const"]]

    def widget_for(self, schema: Mapping[str, Any], was: Any) -> forms.Widget:
        options = self.options(schema)
        if was is not _LEFT_OUT and was not in options:
            options = [was, *options]
        return forms.Select(choices=[("", "—"), *((self.shown(value), readable(value)) for value in options)])

    def shown(self, value: Any) -> str:
        return json.dumps(value)

    def read(self, text: str) -> Any:
        for value in self.options(self.schema):
            if self.shown(value) == text:
                return value
        raise forms.ValidationError("That is none of the choices.")


class _Boolean(_Choice):
    hint = "yes or no"

    def options(self, schema: Mapping[str, Any]) -> list[Any]:
        return [True, False]


class _Json(_Argument):
    hint = "JSON"

    def widget_for(self, schema: Mapping[str, Any], was: Any) -> forms.Widget:
        lines = 1 if was is _LEFT_OUT else len(self.shown(was).splitlines())
        return forms.Textarea(attrs={"rows": min(max(lines, 3), 14), "spellcheck": "false", "class": "json"})

    def shown(self, value: Any) -> str:
        return json.dumps(value, indent=2, ensure_ascii=False)

    def read(self, text: str) -> Any:
        try:
            return json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError(f"This is no JSON: {error}") from error


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no number that JSON has")


def _storable(value: Any) -> Any:
    """Raises ValidationError for what the database's JSON has no place for, though Python's has."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except ValueError as error:
        raise forms.ValidationError(f"This cannot be stored: {error}") from error
    if "\\u0000" in text:
        raise forms.ValidationError("This cannot be stored: it holds a NUL character.")
    return value


class _Object(_Json):
    def read(self, text: str) -> Any:
        value = super().read(text)
        if not isinstance(value, dict):
            raise forms.ValidationError('Write a JSON object: {"name": "value"}.')
        return value


_KINDS: dict[str, type[_Argument]] = {"string": _Text, "integer": _Integer, "number": _Number, "boolean": _Boolean}
