"""Agents from data: TOML files, dictionaries, rows."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from agents.core import output
from agents.core.context_policy import ContextPolicy, context_policy
from governance.core.budget import BudgetConfig
from governance.core.permissions import resolve_permissions
from governance.core.retry import RetryPolicy
from governance.core.standard_budget import StandardBudget
from loom.errors import ConfigError, OutputValidationError, unknown
from loom.messages import Effort

T = TypeVar("T")

_CODE = frozenset({"tools", "hooks", "approval_handler", "secrets", "stop_hooks"})
_WALL_CLOCKS = {
    "max_wall_clock_minutes": "max_wall_clock",
    "per_user_max_wall_clock_minutes": "per_user_max_wall_clock",
}


class McpServer(BaseModel):
    """An MCP server as data."""

    model_config = ConfigDict(extra="forbid")

    name: str
    transport: Literal["stdio", "http"]
    command: str | None = None
    args: list[str] = Field(default_factory=list)
    env: dict[str, str] = Field(default_factory=dict)
    url: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    description: str = ""
    timeout_seconds: float = Field(default=30.0, gt=0)

    @model_validator(mode="after")
    def _leads_somewhere(self) -> McpServer:
        if not (self.command if self.transport == "stdio" else self.url):
            raise ValueError(f"a {self.transport} server needs a {'command' if self.transport == 'stdio' else 'url'}")
        return self


class AgentConfig(BaseModel):
    """Everything of an agent that data can say. What is left out has the constructor's default."""

    model_config = ConfigDict(extra="forbid")

    instructions: str
    name: str = "agent"
    model: str | dict[str, Any] | None = None
    max_turns: int = Field(default=50, ge=1)
    context_window: int | dict[str, Any] | None = None
    architecture: str | None = None
    effort: Effort | None = None
    strict_effort: bool = False
    response_tone: str | None = None
    prompt_caching: bool | dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None
    memory: str | dict[str, Any] | None = None
    auto_consolidate: bool = False
    auto_extract: bool | None = None
    runtime: str | dict[str, Any] | None = None
    telemetry: str | dict[str, Any] | None = None
    audit_log: str | dict[str, Any] | None = None
    permissions: Any = None
    budget: dict[str, Any] | None = None
    retry_policy: dict[str, Any] | None = None
    skills: list[str | dict[str, Any]] | None = None
    mcp: list[McpServer] | None = None
    workspace: str | dict[str, Any] | None = None
    living_plan: bool | str | dict[str, Any] | None = None
    max_stop_hook_iterations: int = Field(default=15, ge=0)


def read_config(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """The constructor's arguments that a config says. Raises ConfigError that names each wrong key and value."""
    if not isinstance(cfg, Mapping):
        raise ConfigError(f"a config is a table of keys and values, not {type(cfg).__name__}")
    try:
        config = AgentConfig.model_validate(dict(cfg))
    except ValidationError as error:
        errors = [{"pointer": _pointer(e["loc"]), "detail": _problem(e)} for e in error.errors(include_url=False)]
        raise ConfigError("; ".join(each["detail"] for each in errors), errors=errors) from error
    given = {name: getattr(config, name) for name in config.model_fields_set}
    for name, build in _BUILDERS.items():
        if given.get(name) is not None:
            given[name] = _built(name, build, given[name])
    return given


def _built(name: str, build: Callable[[Any], Any], value: Any) -> Any:
    try:
        return build(value)
    except ConfigError as error:
        raise ConfigError(str(error), errors=[{"pointer": _pointer((name,)), "detail": str(error)}]) from error


def _pointer(place: Iterable[int | str]) -> str:
    """A place in the config as a JSON Pointer."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in place)


def read_server(cfg: Mapping[str, Any]) -> McpServer:
    """An MCP server from a mapping. Raises ConfigError."""
    _check_keys("an MCP server", cfg, set(McpServer.model_fields))
    return _made(McpServer, "mcp", cfg)


def read_toml(path: str | Path) -> dict[str, Any]:
    """A TOML file as a config. Raises ConfigError, with the path, for a file that is missing or no TOML."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def _budget(cfg: dict[str, Any]) -> StandardBudget:
    known = {field.name for field in fields(BudgetConfig)} - set(_WALL_CLOCKS.values()) | set(_WALL_CLOCKS)
    _check_keys("budget", cfg, known)
    values = dict(cfg)
    for minutes, name in _WALL_CLOCKS.items():
        if (limit := values.pop(minutes, None)) is not None:
            values[name] = _minutes(f"budget.{minutes}", limit)
    return StandardBudget(_made(BudgetConfig, "budget", values))


def _minutes(name: str, limit: Any) -> timedelta:
    try:
        return timedelta(minutes=_made(float, name, limit))
    except (OverflowError, ValueError) as error:  # infinity, or none at all
        raise ConfigError(f"{name}: {error}, not {limit!r}") from error


def _retry_policy(cfg: dict[str, Any]) -> RetryPolicy:
    _check_keys("retry_policy", cfg, {field.name for field in fields(RetryPolicy)})
    return _made(RetryPolicy, "retry_policy", cfg)


def _context_window(spec: int | dict[str, Any]) -> ContextPolicy:
    try:
        return context_policy(spec)
    except ValueError as error:
        raise ConfigError(f"context_window: {error}") from error


def _skills(specs: list[str | dict[str, Any]]) -> list[Any]:
    return [spec if isinstance(spec, str) else _skill(spec) for spec in specs]


def _skill(spec: dict[str, Any]) -> tuple[str, str]:
    _check_keys("skills", spec, {"path", "label"})
    if not spec.get("path"):
        raise ConfigError("skills: each is a path or {path, label}, and one has no path")
    return spec["path"], spec.get("label") or spec["path"]


def _output_schema(schema: dict[str, Any]) -> dict[str, Any]:
    try:
        output.output_for(schema)
    except OutputValidationError as error:
        raise ConfigError(str(error)) from error
    return schema


def _audit_log(spec: Any) -> Any:
    if isinstance(spec, dict):
        _check_keys("audit_log", spec, {"name", "scope_full", "secret", "fsync"})
    return spec


def _check_keys(what: str, cfg: Mapping[str, Any], known: Iterable[str]) -> None:
    for key in cfg:
        if key not in known:
            raise unknown(what, key, known)


def _made(kind: type[T], what: str, value: Any) -> T:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise ConfigError("; ".join(_problem(e, f"{what}.") for e in error.errors(include_url=False))) from error


_BUILDERS: dict[str, Any] = {
    "budget": _budget,
    "retry_policy": _retry_policy,
    "permissions": resolve_permissions,
    "context_window": _context_window,
    "skills": _skills,
    "audit_log": _audit_log,
    "output_schema": _output_schema,
}


def _problem(error: Any, within: str = "") -> str:
    where = (within + ".".join(map(str, error["loc"]))).rstrip(".")
    if error["type"] == "extra_forbidden":
        return _unexpected(where, error["loc"])
    if error["type"] == "missing":
        return f"{where} is missing"
    return f"{where}: {error['msg'].removeprefix('Value error, ')}, not {error['input']!r}"


def _unexpected(where: str, place: Sequence[int | str]) -> str:
    if where in _CODE:
        return f"{where!r} is code and no data: give it as a keyword, from_dict(cfg, {where}=…)"
    known = AgentConfig.model_fields if len(place) == 1 else McpServer.model_fields
    near = get_close_matches(str(place[-1]), list(known), n=1)
    return f"no key {where!r}; " + (f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}")
