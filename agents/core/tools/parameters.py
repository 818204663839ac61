"""What a function takes: JSON Schema for the model that calls it, and a check of what the model sends."""

from __future__ import annotations

import functools
import inspect
import operator
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, NotRequired, Required

import typing_extensions
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import ErrorDetails, PydanticSerializationError, to_jsonable_python

from governance.core import json_schema
from loom.errors import ConfigError, InvalidArguments

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_EMPTY = inspect.Parameter.empty
_typed_dict: Any = (
    typing_extensions.TypedDict
)  # a type checker wants its keys written out; ours are read from functions


@dataclass(frozen=True, slots=True, eq=False)
class Parameters:
    """The parameters of one function. `self`, `cls`, `*args` and `**kw` are left out: a model cannot give them."""

    schema: dict[str, Any]
    of_method: bool
    positional: tuple[str, ...]
    adapter: TypeAdapter[dict[str, Any]]

    def check(self, tool: str, args: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as the function wants them: coerced (`"5"` → 5), without those that were not given.

        Raises InvalidArguments, which names every wrong value by its JSON Pointer.
        """
        try:
            return self.adapter.validate_python(args)
        except ValidationError as exc:
            raise _misfit(tool, exc, args, list(self.schema["properties"])) from None

    def call(self, fn: Callable[..., Any], values: Mapping[str, Any]) -> Any:
        """Call the function with checked values, the positional-only ones by position."""
        if not self.positional:
            return fn(**values)
        rest = dict(values)
        return fn(*[rest.pop(name) for name in self.positional if name in rest], **rest)


def parameters_of(fn: Callable[..., Any], *, tool: str) -> Parameters:
    """Read the parameters of a function from its type hints and its docstring.

    Raises ConfigError for a type that is not known where the tool is declared, or that JSON cannot express.
    """
    code, given = _code_of(fn), list(inspect.signature(fn).parameters.values())
    of_method = bool(given) and given[0].name in ("self", "cls") and not isinstance(fn, types.MethodType)
    given = [p for p in given[of_method:] if p.kind not in _VARIADIC]
    names = _names_around(code)
    adapter = _adapter(tool, {p.name: _key(p, _hint(p, code, names, tool)) for p in given}, names)
    return Parameters(
        schema=_schema(tool, adapter, given, _documented(inspect.getdoc(code) or "")),
        of_method=of_method,
        positional=tuple(p.name for p in given if p.kind is p.POSITIONAL_ONLY),
        adapter=adapter,
    )


def check_schema(tool: str, schema: Mapping[str, Any], args: Mapping[str, Any]) -> None:
    """Check arguments against a JSON Schema: for tools whose schema was given and not read from a function.

    Raises InvalidArguments, which names every wrong value by its JSON Pointer.
    """
    try:
        errors = [
            {"pointer": _pointer(error.absolute_path), "detail": error.message}
            for error in json_schema.misfits(dict(args), schema)
        ]
    except ValueError as error:
        raise InvalidArguments(f"the arguments of {tool!r} cannot be checked: {error}", tool=tool) from error
    if errors:
        raise _invalid(tool, errors)


def _code_of(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The plain function behind partials, methods, decorators and callable objects: it has the globals and the doc."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    fn = inspect.unwrap(fn)
    if not inspect.isroutine(fn) and not inspect.isclass(fn):
        fn = inspect.unwrap(type(fn).__call__)
    return getattr(fn, "__func__", fn)


def _names_around(fn: Callable[..., Any]) -> dict[str, Any]:
    """The local names of the functions that are still running around this one, and what it closes over.

    With `from __future__ import annotations` an annotation is text, and a type declared inside a function can be
    found nowhere else than in that function's frame.
    """
    around, qualname = [], getattr(fn, "__qualname__", "")
    frame = sys._getframe(1) if "." in qualname else None
    while frame is not None:
        same_module = frame.f_globals is getattr(fn, "__globals__", None)
        if same_module and qualname.startswith(f"{frame.f_code.co_qualname}."):
            around.append(frame.f_locals)
        frame = frame.f_back
    names = {name: value for local in reversed(around) for name, value in local.items()}
    return names | dict(inspect.getclosurevars(fn).nonlocals if inspect.isfunction(fn) else {})


def _hint(parameter: inspect.Parameter, fn: Callable[..., Any], names: dict[str, Any], tool: str) -> Any:
    if parameter.annotation is _EMPTY:
        return Any
    holder = types.SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    scope = getattr(fn, "__globals__", {})
    try:
        hint = typing.get_type_hints(holder, globalns=scope, localns=names, include_extras=True)[parameter.name]
        default = parameter.default.default if isinstance(parameter.default, FieldInfo) else parameter.default
        if default is None and not _takes_none(hint):
            hint |= None  # `tags: list[str] = None`: a model that sends the default it was told must not be refused
        return _portable(hint, names)
    except NameError as exc:
        raise ConfigError(
            f"tool {tool!r}: the type {parameter.annotation!r} of {parameter.name!r} is not known where the tool is"
            f" declared ({exc}); import or declare it above the tool",
            tool=tool,
            parameter=parameter.name,
        ) from None


def _takes_none(hint: Any) -> bool:
    """Whether a hint says of itself that it may be None; a second None would only bury its description."""
    if typing.get_origin(hint) is Annotated:
        return _takes_none(typing.get_args(hint)[0])
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return hint in (Any, object, None, types.NoneType) or (is_union and any(map(_takes_none, typing.get_args(hint))))


def _portable(hint: Any, names: dict[str, Any]) -> Any:
    """The hint with `typing.TypedDict` classes made anew: before Python 3.12 Pydantic cannot read those."""
    if sys.version_info >= (3, 12):
        return hint
    if typing.is_typeddict(hint) and type(hint).__module__ == "typing":
        return _remade(hint, names)
    args, origin = typing.get_args(hint), typing.get_origin(hint)
    if not args or origin is typing.Literal:
        return hint
    if origin is Annotated:
        return Annotated[(_portable(args[0], names), *args[1:])]
    new = tuple(_portable(arg, names) for arg in args)
    if new == args:
        return hint
    if origin in (typing.Union, types.UnionType):
        return functools.reduce(operator.or_, new)
    return origin[new]


def _remade(typed: Any, names: dict[str, Any]) -> Any:
    keys = {}
    for key, value in typing.get_type_hints(typed, localns=names, include_extras=True).items():
        marker, bare = typing.get_origin(value), value
        if marker in (Required, NotRequired):
            bare = typing.get_args(value)[0]
        else:
            marker = Required if key in typed.__required_keys__ else NotRequired
        keys[key] = marker[_portable(bare, names)]
    return _typed_dict(typed.__name__, keys)


def _key(parameter: inspect.Parameter, hint: Any) -> Any:
    """One key of the typed dictionary that stands for the arguments.

    A plain default stays with the function, which knows it; one in a `Field(...)` is Pydantic's to fill in.
    """
    if isinstance(parameter.default, FieldInfo):
        return (Required if parameter.default.is_required() else NotRequired)[Annotated[hint, parameter.default]]
    return (Required if parameter.default is _EMPTY else NotRequired)[hint]


def _adapter(tool: str, keys: dict[str, Any], names: dict[str, Any]) -> TypeAdapter[dict[str, Any]]:
    # A typed dictionary and not a model: its keys may have any name (`copy`, `schema`, `_x`), and only what was
    # given comes out of it.
    typed = _typed_dict("Arguments", keys)
    typed.__pydantic_config__ = ConfigDict(extra="forbid", defer_build=True)
    adapter: TypeAdapter[dict[str, Any]] = TypeAdapter(typed)
    try:
        adapter.rebuild(force=True, _types_namespace=names)
    except (PydanticSchemaGenerationError, PydanticUserError) as exc:
        raise _inexpressible(tool, exc) from exc
    return adapter


class _PlainSchema(GenerateJsonSchema):
    """Without the titles that repeat the names: each model call would pay for them."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - the base class's form

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _schema(
    tool: str, adapter: TypeAdapter[dict[str, Any]], given: Sequence[inspect.Parameter], documented: Mapping[str, str]
) -> dict[str, Any]:
    try:
        schema = adapter.json_schema(schema_generator=_PlainSchema)
    except PydanticUserError as exc:
        raise _inexpressible(tool, exc) from exc
    schema.pop("title", None)
    properties = schema.setdefault("properties", {})
    for parameter in given:
        prop = properties.get(parameter.name, {})
        if parameter.name in documented:
            prop.setdefault("description", documented[parameter.name])
        if parameter.default is not _EMPTY and not isinstance(parameter.default, FieldInfo):
            prop.update(_default(parameter.default))
    return schema


def _default(value: Any) -> dict[str, Any]:
    try:
        return {"default": to_jsonable_python(value)}
    except PydanticSerializationError:  # a default that JSON cannot say is still one: the parameter is not required
        return {}


def _documented(doc: str) -> dict[str, str]:
    """What a docstring in Google, NumPy or Sphinx style says about each argument."""
    if "\n" not in doc:
        return {}
    from docstring_parser import ParseError, parse  # slow to import, and one-line docstrings do not need it

    try:
        params = parse(doc).params
    except ParseError:  # prose that only looks like one of the styles says nothing about arguments
        return {}
    return {p.arg_name: " ".join(p.description.split()) for p in params if p.description}


def _inexpressible(tool: str, exc: PydanticSchemaGenerationError | PydanticUserError) -> ConfigError:
    first = exc.message.splitlines()[0]
    return ConfigError(f"tool {tool!r} has a parameter whose type JSON cannot express: {first}", tool=tool)


def _misfit(tool: str, exc: ValidationError, args: Any, known: Sequence[str]) -> InvalidArguments:
    details: dict[str, list[str]] = {}
    for error in exc.errors(include_url=False, include_context=False):
        details.setdefault(_pointer(_place(error, args)), []).append(_detail(error, known))
    return _invalid(tool, [{"pointer": at, "detail": " or ".join(dict.fromkeys(d))} for at, d in details.items()])


def _place(error: ErrorDetails, value: Any) -> list[int | str]:
    """Where in the arguments the error is. Pydantic's location also names union members, which are not there."""
    place: list[int | str] = []
    for step in error["loc"]:
        if _has(value, step):
            value = value[step]
            place.append(step)
        elif error["type"] == "missing" and step is error["loc"][-1]:
            place.append(step)
    return place


def _has(value: Any, step: int | str) -> bool:
    if isinstance(value, Mapping):
        return step in value
    return isinstance(value, list | tuple) and isinstance(step, int) and step < len(value)


def _detail(error: ErrorDetails, known: Sequence[str]) -> str:
    if error["type"] == "missing":
        return "is required"
    if error["type"] == "extra_forbidden":
        near = get_close_matches(str(error["loc"][-1]), known, 1) if len(error["loc"]) == 1 else []
        return f"no such argument; did you mean {near[0]!r}?" if near else "no such argument"
    got = repr(error["input"])
    return f"{error['msg']}, got {got if len(got) <= 60 else f'{got[:57]}…'}"


def _pointer(place: typing.Iterable[int | str]) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in place)


def _invalid(tool: str, errors: list[dict[str, str]]) -> InvalidArguments:
    said = "; ".join(f"{e['pointer'] or '(all)'}: {e['detail']}" for e in errors)
    return InvalidArguments(f"the arguments of {tool!r} do not fit: {said}", errors=errors, tool=tool)
