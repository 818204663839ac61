"""What an agent may bring besides its own tools: skills, MCP servers, a workspace, a living plan.

A `Kit` is what is given at construction: text for the instructions, tools, stop hooks. A `Desk` is what one run makes
of it: the tool host with the skills that this run has loaded, its plan, and what the loaded skills restrict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from agents.core.architectures.base import AgentSession
from agents.core.config import McpServer, read_server
from agents.core.plan import PlanStopHook, plan_of_run
from agents.core.plan_resolver import ResolvedLivingPlan, resolve_living_plan
from agents.core.plan_tools import living_plan_prompt_section, make_plan_tools, make_recall_past_plans_tool
from agents.core.skills.registry import SkillRegistry
from agents.core.skills.requests import is_requested, requested_tools
from agents.core.skills.tools import (
    LOAD,
    READ,
    loaded_skills,
    make_load_skill_tool,
    make_read_skill_file_tool,
    restore_skills,
    shows_skill,
)
from agents.core.stop_hooks import StopHook
from agents.core.tools.base import ToolHost
from agents.core.tools.host import InProcessToolHost
from agents.core.tools.joined import Joined
from agents.core.tools.mcp.client import MCPClient
from agents.core.tools.mcp.registry import MCPRegistry
from agents.core.tools.mcp.spec import MCPServerSpec
from agents.core.tools.tool import Tool
from agents.core.workspace.prompt import workspace_prompt_section
from agents.core.workspace.resolver import resolve_workspace
from agents.core.workspace.tools import make_workspace_tools
from agents.core.workspace.values import WorkspaceMembership
from governance.core.sandbox.base import around
from loom.context import RunContext
from loom.errors import ConfigError
from loom.messages import Message, ToolCall, ToolResult

# With these a model finds its way in the skills: no skill takes them away.
_ALWAYS = frozenset({LOAD, READ})


@dataclass(frozen=True)
class Kit:
    """Everything optional that an agent was given, ready to use."""

    skills: SkillRegistry | None = None
    mcp: MCPRegistry | None = None
    workspace: Any | None = None
    plan: ResolvedLivingPlan | None = None
    tools: tuple[Tool, ...] = ()
    section: str = ""
    stop_hooks: tuple[StopHook, ...] = ()

    def with_workspace(self, spec: Any) -> Kit:
        """The kit with a workspace that surrounds the run, where it has none of its own."""
        if self.workspace is not None:
            return self
        lent = make_kit(workspace=spec)
        section = "\n\n".join(filter(None, (lent.section, self.section)))
        return Kit(self.skills, self.mcp, lent.workspace, self.plan, lent.tools + self.tools, section, self.stop_hooks)


class Desk:
    """A kit in use by one run."""

    def __init__(self, kit: Kit, own: ToolHost) -> None:
        self._kit = kit
        self._loaded = InProcessToolHost(list(kit.tools))
        self._brought = InProcessToolHost()  # by skills
        self._in_use: dict[str, None] = {}  # the skills that were loaded
        hosts: list[ToolHost] = [own, self._loaded]
        if kit.skills is not None:
            self._loaded.register(make_load_skill_tool(kit.skills, host=self._brought))
            self._loaded.register(make_read_skill_file_tool(kit.skills))
            hosts.append(around(own, self._brought))  # no less walled than the tools that the agent was given
        if kit.mcp is not None:
            hosts.append(kit.mcp)
        self.tools: ToolHost = Joined(*hosts)

    async def open(self, own: ToolHost, session: AgentSession, stack: ExitStack) -> None:
        """Begin: the run gets a plan of its own, and the servers learn which names are taken; see `reserve`."""
        plan = self._kit.plan
        if plan is not None and plan.enabled:
            stack.enter_context(plan_of_run(seed=plan.seed_plan, messages=lambda: session.messages))
        await self.reserve(own)

    async def reserve(self, own: ToolHost) -> None:
        """Let the servers name their tools so that none has the name of another tool of the agent."""
        if self._kit.mcp is not None:
            names = [tool.name for host in (own, self._loaded) for tool in await host.list_tools()]
            self._kit.mcp.reserve(names)

    def restore(self, messages: Sequence[Message]) -> None:
        """Have the skills that the conversation has loaded, also an earlier run of it."""
        if self._kit.skills is not None:
            self._restore(loaded_skills(messages))

    def heard(self, call: ToolCall, result: ToolResult, *, was_run: bool) -> None:
        """Take note of a call: a skill that was loaded stays in use when the conversation is cut, or is another's.

        A call that was only replayed has brought no tools; they are brought now.
        """
        if self._kit.skills is None or call.tool != LOAD or not shows_skill(result.text()):
            return
        name = str(call.args.get("name"))
        if was_run:
            self._in_use[name] = None
        else:
            self._restore([name])

    def _restore(self, names: Iterable[str]) -> None:
        new = [name for name in names if name not in self._in_use]
        if new and self._kit.skills is not None:
            restore_skills(self._kit.skills, new, self._brought)
            self._in_use.update(dict.fromkeys(new))

    def objection(self, call: ToolCall, messages: Sequence[Message]) -> str | None:
        """Why the loaded skills speak against a call: they list the tools they work with, and it is none of them."""
        if self._kit.skills is None or call.tool in _ALWAYS:
            return None
        loaded = [*dict.fromkeys([*loaded_skills(messages), *self._in_use])]
        if is_requested(requested_tools(self._kit.skills, loaded), call.tool):
            return None
        return f"{call.tool}: not among the allowed-tools of the loaded skills ({', '.join(loaded)})"

    def cited_slugs(self, context: RunContext) -> list[str]:
        """The notes that this run has read."""
        if self._kit.workspace is None:
            return []
        return list(self._kit.workspace.cited_slugs(user_id=context.user_id, run_id=context.run_id))


async def all_tools(kit: Kit, own: ToolHost) -> ToolHost:
    """The tools that a run would begin with: an agent's own, and those of its kit."""
    desk = Desk(kit, own)
    await desk.reserve(own)
    return desk.tools


def make_kit(*, skills: Any = None, mcp: Any = None, workspace: Any = None, living_plan: Any = None) -> Kit:
    """Read the specs of an agent's constructor. Raises ConfigError, SkillError or MCPError for what makes no sense."""
    registry = skills if isinstance(skills, SkillRegistry) else SkillRegistry(skills or ())
    desk, author, teammates = _workspace(workspace)
    plan = resolve_living_plan(living_plan, workspace_present=desk is not None)
    mirror = desk if plan.mirror_to_workspace else None
    tools: list[Tool] = [] if desk is None else make_workspace_tools(desk, author=author)
    sections = [registry.catalog_section()] if len(registry) else []
    if desk is not None:
        sections.append(workspace_prompt_section(author=author, teammates=teammates))
    if plan.enabled:
        plan_author = plan.author or author
        tools += make_plan_tools(workspace=mirror, task_id=plan.task_id, author=plan_author)
        if plan.include_recall and desk is not None:
            tools.append(make_recall_past_plans_tool(desk, author=plan_author))
        sections.append(living_plan_prompt_section(has_workspace_mirror=mirror is not None))
    return Kit(
        skills=registry if len(registry) else None,
        mcp=None if mcp is None else _mcp(mcp),
        workspace=desk,
        plan=plan if plan.enabled else None,
        tools=tuple(tools),
        section="\n\n".join(sections),
        stop_hooks=(PlanStopHook(),) if plan.enabled and plan.auto_stop_hook else (),
    )


def _workspace(spec: Any) -> tuple[Any | None, str, list[str] | None]:
    found = resolve_workspace(spec)
    if isinstance(found, WorkspaceMembership):
        return found.workspace, found.name or "agent", found.teammates
    return found, "agent", None


def _mcp(spec: Any) -> MCPRegistry:
    """A registry as it is; else a list of servers as specs, clients or mappings."""
    if isinstance(spec, MCPRegistry):
        return spec
    items = spec if isinstance(spec, Iterable) and not isinstance(spec, Mapping) else [spec]
    return MCPRegistry([server_of(item) for item in items])


def server_of(item: Any) -> MCPServerSpec | MCPClient:
    """An MCP server as a spec, a client or a mapping. Raises ConfigError."""
    if isinstance(item, MCPServerSpec | MCPClient):
        return item
    if not isinstance(item, Mapping | McpServer):
        raise ConfigError(f"an MCP server is a spec, a client or a mapping, not {item!r}")
    said = item if isinstance(item, McpServer) else read_server(item)
    about: dict[str, Any] = {"description": said.description, "timeout_seconds": said.timeout_seconds}
    if said.transport == "stdio":
        return MCPServerSpec.stdio(said.name, said.command or "", said.args or None, said.env or None, **about)
    return MCPServerSpec.http(said.name, said.url or "", said.headers or None, **about)
