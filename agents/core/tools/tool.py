"""`@tool`: a Python function that a model may call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from types import MethodType
from typing import Any, get_args, overload

import anyio

from agents.core.threads import in_thread
from agents.core.tools.parameters import Parameters, check_schema, parameters_of
from loom.errors import ConfigError, ToolError
from loom.ids import snake
from loom.messages import Effect, ToolDef

EFFECTS: tuple[str, ...] = get_args(Effect)


@dataclass
class Tool:
    """A function with what a model and a gate must know about it.

    `effect` says what a crash in the middle means: `read` and `idempotent` calls are made again, `keyed` ones with the
    same idempotency key, `irreversible` ones only after a person decided. What a `transactional` one does in the
    platform's database is committed together with its result. It follows `destructive` when not given.
    `timeout` is in seconds. `compensate` undoes a call that was made (see `undo`). `approval` True asks a person before
    every call, False never does, None leaves it to the rules. A Tool is still callable like the function it was.
    """

    name: str
    description: str
    fn: Callable[..., Any]
    input_schema: dict[str, Any] = field(default_factory=dict)
    destructive: bool = False
    effect: Effect | None = None
    timeout: float | None = None
    compensate: Callable[..., Any] | None = None
    approval: bool | None = None
    parameters: Parameters | None = field(default=None, repr=False, compare=False)
    _def: ToolDef | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.effect is None:
            self.effect = "irreversible" if self.destructive else "keyed"
        elif self.effect not in EFFECTS:
            raise ConfigError(f"tool {self.name!r}: no effect {self.effect!r}; {_choice(str(self.effect), EFFECTS)}")
        elif self.destructive and self.effect == "read":
            raise ConfigError(f"tool {self.name!r} cannot be destructive and only read")
        elif self.effect == "transactional" and _is_async(self.fn):
            raise ConfigError(f"tool {self.name!r} is async, and a transaction is not: make it a plain function")
        if self.timeout is not None and not (isinstance(self.timeout, int | float) and self.timeout > 0):
            raise ConfigError(f"tool {self.name!r}: a timeout is a number of seconds above 0, not {self.timeout!r}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.fn(*args, **kwargs)

    def __get__(self, owner: object, kind: type | None = None) -> Tool:
        """A tool declared on a method belongs to the object it is taken from."""
        if owner is None or self.parameters is None or not self.parameters.of_method:
            return self
        return replace(self, fn=MethodType(self.fn, owner), parameters=replace(self.parameters, of_method=False))

    def to_def(self) -> ToolDef:
        """The tool as a model sees it; the same object until something about the tool changes."""
        known = self._def
        if (
            known is None
            or known.name != self.name
            or known.description != self.description
            or known.input_schema is not self.input_schema
            or known.destructive != self.destructive
            or known.effect != self.effect
            or known.approval != self.approval
        ):
            known = self._def = ToolDef.model_construct(
                name=self.name,
                description=self.description,
                input_schema=self.input_schema,
                server=None,
                destructive=self.destructive,
                effect=self.effect or "keyed",
                approval=self.approval,
            )
        return known

    def check(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments, validated and coerced, as the function will get them.

        Raises InvalidArguments with every wrong value in `errors`.
        """
        if self.parameters is not None:
            return self.parameters.check(self.name, args)
        if self.input_schema:
            check_schema(self.name, self.input_schema, args)
        return dict(args)

    async def execute(self, args: Mapping[str, Any]) -> Any:
        """Check the arguments and call the function: an async one here, another one in a worker thread.

        Raises InvalidArguments, ToolError after the timeout, and whatever the function raises. The timeout and a
        cancellation do not wait for the thread of a sync function; it is left behind, and what it does may still
        happen.
        """
        values = self.check(args)
        if self.timeout is None:
            return await self._call(self.fn, values)
        with anyio.move_on_after(self.timeout):
            return await self._call(self.fn, values)
        raise ToolError(self._too_late(), tool=self.name, timeout=self.timeout)

    async def undo(self, args: Mapping[str, Any], output: Any = None) -> Any:
        """Call `compensate` with those arguments of the call that it takes, and the call's output as `result`.

        Raises ConfigError when the tool has no `compensate`.
        """
        if self.compensate is None:
            raise ConfigError(f"tool {self.name!r} cannot be undone: it has no compensate=", tool=self.name)
        offered = {**self.check(args), "result": output}
        taken = inspect.signature(self.compensate).parameters.values()
        if any(p.kind is p.VAR_KEYWORD for p in taken):
            return await _run(partial(self.compensate, **offered), self.compensate)
        chosen = {p.name: offered[p.name] for p in taken if p.name in offered}
        return await _run(partial(self.compensate, **chosen), self.compensate)

    async def _call(self, fn: Callable[..., Any], values: dict[str, Any]) -> Any:
        call = partial(fn, **values) if self.parameters is None else partial(self.parameters.call, fn, values)
        return await _run(call, fn)

    def _too_late(self) -> str:
        late = f"tool {self.name!r} did not finish within {self.timeout:g} s"
        return late if _is_async(self.fn) else f"{late}; its thread was left behind, and what it does may still happen"


@overload
def tool(fn: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    fn: None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    destructive: bool = False,
    effect: Effect | None = None,
    timeout: float | None = None,
    compensate: Callable[..., Any] | None = None,
    approval: bool | None = None,
) -> Callable[[Callable[..., Any]], Tool]: ...
@overload
def tool(
    fn: Callable[..., Any],
    *,
    name: str | None = None,
    description: str | None = None,
    destructive: bool = False,
    effect: Effect | None = None,
    timeout: float | None = None,
    compensate: Callable[..., Any] | None = None,
    approval: bool | None = None,
) -> Tool: ...
def tool(
    fn: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    destructive: bool = False,
    effect: Effect | None = None,
    timeout: float | None = None,
    compensate: Callable[..., Any] | None = None,
    approval: bool | None = None,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a function a tool, bare (`@tool`) or with options (`@tool(destructive=True)`).

    The name is the function's, the description the first sentence of its docstring, the schema comes from its type
    hints and what the docstring says about the arguments. All of it is read once, here. Raises ConfigError for a
    parameter whose type JSON cannot express.
    """
    if fn is None:
        return partial(
            tool,
            name=name,
            description=description,
            destructive=destructive,
            effect=effect,
            timeout=timeout,
            compensate=compensate,
            approval=approval,
        )
    name = name or _name_of(fn)
    parameters = parameters_of(fn, tool=name)
    return Tool(
        name=name,
        description=_summary(fn) if description is None else description,
        fn=fn,
        input_schema=parameters.schema,
        destructive=destructive,
        effect=effect,
        timeout=timeout,
        compensate=compensate,
        approval=approval,
        parameters=parameters,
    )


def as_tool(item: Tool | Callable[..., Any]) -> Tool:
    """A tool as it is; a plain function made one, and remembered on it, so that many agents may share it cheaply."""
    if isinstance(item, Tool):
        return item
    if not callable(item):
        raise ConfigError(f"{item!r} is neither a tool nor a function")
    known = getattr(item, "__loom_tool__", None)
    if isinstance(known, Tool) and known.fn is item:  # `functools.wraps` copies the mark onto another function
        return known
    made = tool(item)
    if inspect.isfunction(item):
        item.__loom_tool__ = made  # type: ignore[attr-defined]
    return made


async def _run(call: Callable[[], Any], fn: Callable[..., Any]) -> Any:
    """Run a call of `fn`: here when it is async, else in a thread that a cancellation does not wait for."""
    if _is_async(fn):
        return await call()
    result = await in_thread(call)
    return await result if inspect.isawaitable(result) else result


def _is_async(fn: Callable[..., Any]) -> bool:
    while isinstance(fn, partial):
        fn = fn.func
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004


def _name_of(fn: Callable[..., Any]) -> str:
    while isinstance(fn, partial):
        fn = fn.func
    name: str = getattr(fn, "__name__", None) or snake(type(fn).__name__)
    if name == "<lambda>":
        raise ConfigError("a lambda has no name that a model could call; give it one: tool(fn, name=...)")
    return name


def _summary(fn: Callable[..., Any]) -> str:
    """The first line of the docstring, with the lines that its sentence runs on to."""
    said: list[str] = []
    for line in (inspect.getdoc(fn.func if isinstance(fn, partial) else fn) or "").splitlines():
        if not line.strip():
            break
        said.append(line.strip())
        if line.rstrip().endswith((".", "!", "?", ":")):
            break
    return " ".join(said)


def _choice(given: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(given, known, 1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
