"""The tools with which a model uses skills."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from agents.core.skills.errors import SkillError
from agents.core.skills.registry import SkillRegistry
from agents.core.skills.skill import Skill
from agents.core.tools.base import ToolHost
from agents.core.tools.beneath import PathEscapeError
from agents.core.tools.tool import Tool, tool
from loom.context import RunContext, get_run_context
from loom.messages import Message, ToolCall, ToolResult

if TYPE_CHECKING:
    from agents.core.architectures.base import AgentSession, Dependencies

LOAD = "load_skill"
READ = "read_skill_file"

_PAGE = 50_000
_MAX_CONTEXTS = 100


def make_load_skill_tool(registry: SkillRegistry, *, host: ToolHost | None = None, tool_name: str = LOAD) -> Tool:
    """The tool that shows a model the body of a skill and adds the skill's tools to `host`.

    The tools of a `build_tools(ctx)` are added in a form that builds them for whoever calls, so a host may be shared
    by users. To keep what one run loaded out of the next, give every run a host of its own; `restore_skills` fills it
    again after a restart.
    """

    @tool(name=tool_name, effect="read")
    async def load_skill(name: str) -> str:
        """Load a skill: its instructions, and the tools it brings. Do this before you work on a task that it fits.

        Args:
            name: The name of the skill, as in the list of available skills.
        """
        try:
            body, tools = await anyio.to_thread.run_sync(_loaded, registry, name, get_run_context())
        except SkillError as problem:
            return f"Error: {problem}"
        added = _added(tools, host)
        return "\n\n".join(part for part in (body, _files_of(registry, name), added) if part)

    return load_skill


def make_read_skill_file_tool(registry: SkillRegistry, *, tool_name: str = READ) -> Tool:
    """The tool that shows a model a file of a skill. It cannot leave the skill's folder."""

    @tool(name=tool_name, effect="read")
    def read_skill_file(skill: str, path: str, offset: int = 0) -> str:
        """Read a file that came with a skill.

        Args:
            skill: The name of the skill.
            path: The path of the file, as the skill names it.
            offset: Where to begin, in characters.
        """
        found = registry.get(skill)
        if found is None:
            return f"Error: unknown skill {skill!r}"
        try:
            return _page(found.read_file(path).decode(), offset)
        except UnicodeDecodeError:
            return f"Error: {path!r} is not a text"
        except (SkillError, PathEscapeError) as problem:
            return f"Error: {problem}"
        except OSError as problem:
            return f"Error: {path!r}: {problem.strerror}; there are: {_names(found)}"

    return read_skill_file


def loaded_skills(messages: Iterable[Message], *, tool_name: str = LOAD) -> list[str]:
    """The skills that a conversation shows as loaded, in that order."""
    asked: dict[str, str] = {}
    loaded: dict[str, None] = {}
    for message in messages:
        asked.update({call.id: str(call.args.get("name")) for call in message.tool_calls if call.tool == tool_name})
        name = asked.get(message.tool_call_id or "")
        if name is not None and shows_skill(message.content):
            loaded[name] = None
    return list(loaded)


def shows_skill(text: str) -> bool:
    """Whether what a model reads of a loading is the skill, and not why it was not loaded."""
    return not text.startswith(("Error:", "ERROR:", "DENIED:"))


def restore_skills(registry: SkillRegistry, names: Iterable[str], host: ToolHost) -> None:
    """Add the tools of skills that were loaded before this process began, as when a run is resumed elsewhere.

    A skill that is not there any more is left out.
    """
    for name in names:
        if name in registry:
            _added(_loaded(registry, name, get_run_context())[1], host)


@dataclass
class _ForCaller(Tool):
    """A tool that `build_tools` makes: every call goes to one that was built for the context it is made in."""

    own: Callable[[], Tool] = field(kw_only=True)

    def check(self, args: Mapping[str, Any]) -> dict[str, Any]:
        return self.own().check(args)

    async def execute(self, args: Mapping[str, Any]) -> Any:
        return await self.own().execute(args)

    async def undo(self, args: Mapping[str, Any], output: Any = None) -> Any:
        return await self.own().undo(args, output)


@dataclass
class _NestedForCaller(_ForCaller):
    """The same for one that runs within the run that calls it, such as a workflow."""

    async def call_at(self, call: ToolCall, key: str, session: AgentSession, deps: Dependencies) -> ToolResult | None:
        own: Any = self.own()
        result: ToolResult | None = await own.call_at(call, key, session, deps)
        return result


class _Built:
    """The tools of one skill by context, so that the calls of one run meet the same objects."""

    def __init__(self, registry: SkillRegistry, skill: Skill) -> None:
        self._registry = registry
        self._skill = skill
        self._known: OrderedDict[str, tuple[RunContext, dict[str, Tool]]] = OrderedDict()

    def tools(self, context: RunContext) -> dict[str, Tool]:
        context = context.with_overrides(idempotency_key=None)
        known = self._known.get(context.run_id)
        if known is None or known[0] != context:
            built = {tool.name: tool for tool in self._registry.tools_of(self._skill, context)}
            known = self._known[context.run_id] = (context, built)
            if len(self._known) > _MAX_CONTEXTS:
                self._known.popitem(last=False)
        return known[1]

    def own(self, name: str) -> Tool:
        found = self.tools(get_run_context()).get(name)
        if found is None:
            raise SkillError(f"skill {self._skill.name!r} has no tool {name!r} for you")
        return found


def _loaded(registry: SkillRegistry, name: str, context: RunContext) -> tuple[str, list[Tool]]:
    text = registry.load(name)
    tools: list[Tool] = []
    for skill in registry.with_required(name):
        tools += _shareable(registry, skill, context)
    return text, tools


def _shareable(registry: SkillRegistry, skill: Skill, context: RunContext) -> list[Tool]:
    if not registry.builds_for_context(skill):
        return registry.tools_of(skill, context)
    built = _Built(registry, skill)
    return [_for_caller(tool, partial(built.own, tool.name)) for tool in built.tools(context).values()]


def _for_caller(tool: Tool, own: Callable[[], Tool]) -> Tool:
    def call(*args: Any, **kwargs: Any) -> Any:
        return own()(*args, **kwargs)

    values = {one.name: getattr(tool, one.name) for one in fields(Tool) if one.init}
    kind = _NestedForCaller if hasattr(tool, "call_at") else _ForCaller
    return kind(**{**values, "fn": call}, own=own)


def _added(tools: list[Tool], host: ToolHost | None) -> str:
    register = getattr(host, "register", None)
    if register is None or not tools:
        return ""
    for item in tools:
        register(item)
    return f"_{len(tools)} tool(s) now available: {', '.join(item.name for item in tools)}_"


def _files_of(registry: SkillRegistry, name: str) -> str:
    skill = registry.get(name)
    names = _names(skill) if skill is not None else ""
    return f"_Files, for {READ}: {names}_" if names else ""


def _names(skill: Skill) -> str:
    return ", ".join(str(path) for path in skill.list_files())


def _page(text: str, offset: int) -> str:
    page = text[offset : offset + _PAGE]
    rest = len(text) - offset - len(page)
    return f"{page}\n… ({rest} more characters; read again with offset={offset + len(page)})" if rest > 0 else page
