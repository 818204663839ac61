"""From rows to programs: what a pinned version says, made runnable."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings

from agents.core.agent import Agent
from agents.core.config import read_config
from agents.core.kit import server_of
from agents.core.registry import registry
from agents.core.runtime.engine import Program
from agents.core.tools.mcp.connection import Door
from agents.core.tools.mcp.registry import MCPRegistry
from agents.models import AgentVersion
from governance.core.egress import Egress
from loom.errors import ConfigError, LoomError

if TYPE_CHECKING:
    import httpx2

_KEPT = 500

_programs: OrderedDict[UUID, Program] = OrderedDict()
_lock = Lock()


def load_modules() -> None:
    """Take up what LOOM_MODULES declares."""
    registry.load(settings.LOOM.modules)


def find_program(version_id: UUID) -> Program | None:
    """The program of a version, if this process has made it already."""
    return _programs.get(version_id)


def program_for(version_id: UUID) -> Program:
    """The agent or workflow of a version. Versions never change, so it is made once in a process.

    Runs in the tenant's scope. Raises ConfigError for a version that names what this deployment does not have.
    """
    program = make_program(AgentVersion.objects.values_list("spec", flat=True).get(pk=version_id))
    with _lock:
        _programs[version_id] = program
        if len(_programs) > _KEPT:
            _programs.popitem(last=False)
    return program


def check_spec(spec: dict[str, Any]) -> None:
    """Raise ConfigError when no program can be made of a spec; its `errors` point to what is wrong.

    Names of programs and tools are looked up in LOOM_MODULES here, as in the workers.
    """
    try:
        if spec.keys() & {"program", "tools"}:
            load_modules()
        make_program(spec)
    except (LoomError, TypeError, ValueError) as error:
        found = error.facts.get("errors", ()) if isinstance(error, LoomError) else ()
        errors = [{**each, "pointer": f"/spec{each['pointer']}"} for each in found]
        raise ConfigError(str(error), errors=errors or [{"pointer": "/spec", "detail": str(error)}]) from error


def make_program(spec: dict[str, Any]) -> Program:
    """The program that a spec describes: `{"program": name}` for a registered one, else an agent's declarative config.

    Raises ConfigError, also for what reaches the host: a spec comes from a tenant.
    """
    if "program" in spec:
        if unknown := sorted(set(spec) - {"program"}):
            raise ConfigError(f"a spec with `program` has no {unknown[0]!r}: the code says the rest")
        return registry.program(spec["program"])
    _keep_off_the_host(spec)
    tools = [registry.tool(name) for name in _names(spec.get("tools"))]
    said = {key: value for key, value in spec.items() if key != "tools"}
    if not said.get("mcp"):
        return Agent.from_dict(said, tools=tools or None)
    read_config(said)
    servers = _guarded(said.pop("mcp"))
    return Agent.from_dict(said, tools=tools or None, mcp=servers)


# What is kept in the process, or goes where the deployment says.
_HARMLESS: dict[str, tuple[str, ...]] = {
    "memory": ("inmemory",),
    "runtime": ("inproc",),
    "telemetry": ("none", "noop", "memory", "inmemory", "otel"),
    "workspace": ("memory", "inmemory"),
}


def _keep_off_the_host(spec: dict[str, Any]) -> None:
    for name, said in spec.items():
        if _reaches_the_host(name, said):
            detail = (
                f"{name} reaches files or programs of the host, which a specification may not; "
                "say it in a module of LOOM_MODULES and name that agent as `program`"
            )
            raise ConfigError(detail, errors=[{"pointer": f"/{name}", "detail": detail}])


def _reaches_the_host(name: str, said: Any) -> bool:
    if not said:
        return False
    if name in _HARMLESS:
        named = [said[key] for key in ("backend", "type", "name") if key in said] if isinstance(said, dict) else [said]
        return len(named) != 1 or named[0] not in _HARMLESS[name]
    if name == "mcp" and isinstance(said, list):
        return any(not isinstance(server, dict) or server.get("transport") == "stdio" for server in said)
    return name in ("audit_log", "skills")


def _guarded(servers: list[Any]) -> MCPRegistry:
    """MCP servers whose addresses a tenant chose: what is not public is not connected to."""

    def client(headers: dict[str, str]) -> httpx2.AsyncClient:
        import httpx2  # slow to import: only when a server is really connected to

        return Egress().client(headers=headers, timeout=httpx2.Timeout(30, read=300))

    return MCPRegistry([server_of(server) for server in servers], door=Door(http_client=client))


def _names(tools: Any) -> list[str]:
    if tools is None:
        return []
    if not isinstance(tools, list) or not all(isinstance(name, str) for name in tools):
        detail = f"tools is a list of names, not {tools!r}"
        raise ConfigError(detail, errors=[{"pointer": "/tools", "detail": detail}])
    return tools
