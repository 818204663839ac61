"""The agent: instructions, a model and a strategy, with as much around them as is wired up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from agents.core import execution
from agents.core.ambient import Ambient, stream_events
from agents.core.architectures.base import Architecture, Emit
from agents.core.architectures.resolver import resolve_architecture
from agents.core.checks import check_count, check_effort, check_parts, check_text
from agents.core.config import read_config, read_toml
from agents.core.context_policy import ContextPolicy, context_policy
from agents.core.graph.writing import build_graph, write_graph
from agents.core.kit import Kit, all_tools, make_kit
from agents.core.llm.base import Model
from agents.core.llm.resolver import resolve_model
from agents.core.parts import NETWORK_MODELS, prompt_caching_of, redactor_of, tool_host_of, with_retries
from agents.core.result import RunResult
from agents.core.runtime.base import InProcRuntime, Runtime
from agents.core.runtime.engine import Answer
from agents.core.runtime.journaled import JournaledRuntime
from agents.core.runtime.resolver import resolve_runtime
from agents.core.skills.registry import SkillRegistry
from agents.core.stop_hooks import StopHook
from agents.core.tools.base import ToolHost
from agents.core.tools.host import InProcessToolHost
from agents.core.tools.tool import Tool
from agents.core.wiring import DEFAULTS, Options
from audit.core.log import AuditLog, resolve_audit_log
from audit.core.telemetry import NoTelemetry, Telemetry, resolve_telemetry
from governance.core.budget import Budget, NoBudget
from governance.core.gate import StandardGate
from governance.core.hooks import HookRegistry, PostToolHook, PreToolHook
from governance.core.permissions import AllowAll, Permissions, resolve_permissions
from governance.core.retry import RetryPolicy
from loom.context import RunContext
from loom.errors import ConfigError
from loom.events import Event
from loom.ids import canonical, new_id
from memory.core.protocol import Memory
from memory.core.resolver import resolve_memory

_INPROC = InProcRuntime()
_NO_TELEMETRY = NoTelemetry()
_NO_BUDGET = NoBudget()
_ALLOW_ALL = AllowAll()


class Agent:
    """A language model in a loop, with tools.

    One agent serves many users at once: what belongs to a run stays in the run, and `user_id` partitions memory,
    budget and permissions. Every argument but `instructions` and `model` has a default that costs nothing.
    """

    def __init__(
        self,
        instructions: str,
        *,
        name: str = "agent",
        model: Model | str | dict[str, Any] | None = None,
        memory: Memory | str | Mapping[str, Any] | None = None,
        runtime: Runtime | str | Mapping[str, Any] | None = None,
        budget: Budget | None = None,
        permissions: Permissions | None = None,
        hooks: HookRegistry | None = None,
        tools: list[Tool | Callable[..., object]] | ToolHost | Tool | Callable[..., object] | None = None,
        telemetry: Telemetry | str | Mapping[str, Any] | None = None,
        audit_log: AuditLog | str | Path | dict[str, Any] | None = None,
        max_turns: int = 50,
        auto_consolidate: bool = False,
        architecture: Architecture | str | None = None,
        skills: Any | None = None,
        mcp: Any | None = None,
        retry_policy: RetryPolicy | None = None,
        auto_extract: bool | None = None,
        approval_handler: Any | None = None,
        secrets: Any | None = None,
        output_schema: Any | None = None,
        response_tone: str | None = None,
        effort: str | None = None,
        strict_effort: bool = False,
        prompt_caching: bool | Mapping[str, Any] | None = None,
        workspace: Any | None = None,
        living_plan: Any = None,
        context_window: int | Mapping[str, Any] | ContextPolicy | None = None,
        stop_hooks: list[StopHook] | None = None,
        max_stop_hook_iterations: int = 15,
    ) -> None:
        check_text("instructions", instructions)
        check_parts(
            budget=budget,
            retry_policy=retry_policy,
            secrets=secrets,
            hooks=hooks,
            approval_handler=approval_handler,
            stop_hooks=stop_hooks,
        )
        check_count("max_turns", max_turns, 1)
        check_count("max_stop_hook_iterations", max_stop_hook_iterations, 0)
        check_effort(effort)
        self.name = name
        self._instructions = instructions
        self._model, model_options = resolve_model(model, secrets=secrets)
        self.asked_model = with_retries(self._model, retry_policy)
        self.own_memory = None if memory is None else resolve_memory(memory)
        self._runtime = _INPROC if runtime is None else resolve_runtime(runtime)
        self._budget = _NO_BUDGET if budget is None else budget
        self._permissions = _ALLOW_ALL if permissions is None else resolve_permissions(permissions)
        self._hooks = HookRegistry() if hooks is None else hooks
        self._approval_handler = approval_handler
        self._tool_host = tool_host_of(tools)
        self.redactor = redactor_of(secrets)
        self.telemetry = _NO_TELEMETRY if telemetry is None else resolve_telemetry(telemetry, redactor=self.redactor)
        self.audit_log = None if audit_log is None else resolve_audit_log(audit_log, redactor=self.redactor)
        self.max_turns = max_turns
        self.auto_consolidate = auto_consolidate
        self._architecture = resolve_architecture(architecture)
        self.output_schema = output_schema
        self.response_tone = response_tone
        self.effort = effort or model_options.get("effort")
        self.strict_effort = strict_effort or bool(model_options.get("strict_effort"))
        self.prompt_caching = prompt_caching_of(prompt_caching)
        self.context_policy = context_policy(context_window)
        self.kit: Kit | None = None
        if not (skills is None and mcp is None and workspace is None and living_plan is None):
            self.kit = make_kit(skills=skills, mcp=mcp, workspace=workspace, living_plan=living_plan)
        self.stop_hooks = [*(self.kit.stop_hooks if self.kit else ()), *(stop_hooks or ())]
        self.auto_extract = type(self._model).__name__ in NETWORK_MODELS if auto_extract is None else auto_extract
        self.max_stop_hook_iterations = max_stop_hook_iterations
        self._memory: Memory | None = self.own_memory
        self._gate: StandardGate | None = None

    @classmethod
    def from_dict(cls, cfg: dict[str, Any], **given: Any) -> Agent:
        """An agent from data; keyword arguments of the constructor win over it.

        Raises ConfigError for an unknown key, with a suggestion, and for a value that does not fit.
        """
        said = read_config(cfg)
        if given.get("tools") is not None and said.get("mcp"):
            raise ConfigError("give either mcp servers in the config or tools=, not both")
        return cls(**{**said, **{key: value for key, value in given.items() if value is not None}})

    @classmethod
    def from_config(cls, path: str | Path, **given: Any) -> Agent:
        """An agent from a TOML file; see `from_dict`. ConfigErrors begin with the path."""
        try:
            return cls.from_dict(read_toml(path), **given)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}" if not str(error).startswith(f"{path}: ") else str(error)) from error

    # --- what it is made of ---------------------------------------------------------------------------------------

    @property
    def instructions(self) -> str:
        """The system prompt: what was given, and what skills, workspace and plan say about themselves."""
        section = self.kit.section if self.kit is not None else ""
        return f"{self._instructions}\n\n{section}" if section else self._instructions

    @property
    def own_instructions(self) -> str:
        """The system prompt as it was given."""
        return self._instructions

    @property
    def skills(self) -> SkillRegistry | None:
        return self.kit.skills if self.kit is not None else None

    @property
    def model(self) -> Model:
        return self._model

    @property
    def memory(self) -> Memory:
        if self._memory is None:
            self._memory = resolve_memory(None)
        return self._memory

    @property
    def runtime(self) -> Runtime:
        return self._runtime

    @property
    def tool_host(self) -> ToolHost:
        return self._tool_host

    @property
    def budget(self) -> Budget:
        return self._budget

    @property
    def permissions(self) -> Permissions:
        return self._permissions

    @property
    def hooks(self) -> HookRegistry:
        return self._hooks

    @property
    def _audit_log(self) -> AuditLog | None:
        """The name under which programs ask for the entries of a user."""
        return self.audit_log

    @property
    def architecture(self) -> Architecture:
        return self._architecture

    @property
    def approval_handler(self) -> Any | None:
        return self._approval_handler

    @property
    def gate(self) -> StandardGate:
        """Permissions, hooks, budget and approvals as one question."""
        if self._gate is None:
            self._gate = StandardGate(
                permissions=self._permissions,
                hooks=self._hooks,
                budget=self._budget,
                approval_handler=self._approval_handler,
            )
        return self._gate

    def __repr__(self) -> str:
        return (
            f"Agent(model={self._model.name!r}, memory={type(self.memory).__name__}, "
            f"runtime={type(self._runtime).__name__}, tool_host={type(self._tool_host).__name__}, "
            f"max_turns={self.max_turns})"
        )

    # --- running --------------------------------------------------------------------------------------------------

    async def run(
        self,
        prompt: str,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        context: RunContext | None = None,
        extra_tools: list[Tool] | None = None,
        emit: Emit | None = None,
        output_schema: Any | None = None,
        output_validation_retries: int = 1,
        response_tone: str | None = None,
        effort: str | None = None,
    ) -> RunResult:
        """Answer a prompt.

        With `emit`, every event is awaited on it and the model is streamed. Raises the model's `ModelError` and
        `OutputValidationError`; a tool that fails, a budget that is spent and a turn cap do not raise.
        """
        check_text("prompt", prompt)
        context = context_for(context, user_id=user_id, session_id=session_id, metadata=metadata)
        options = _options(extra_tools, output_schema, output_validation_retries, response_tone, effort)
        return await self._run(prompt, context, emit, options)

    async def _run(
        self, prompt: str, context: RunContext, emit: Emit | None, options: Options, *, is_new: bool = True
    ) -> RunResult:
        ambient = Ambient(context, emit=emit, streaming=emit is not None, is_new=is_new)
        return await execution.execute(self, prompt, ambient, options)

    def stream(self, prompt: str, **options: Any) -> AsyncIterator[Event]:
        """The events of `run` as they happen; takes the same arguments but `emit`.

        A slow reader slows the run; leaving the loop early cancels it. What the run raises comes as an ERROR event and
        is then raised from the iterator.
        """

        async def run(emit: Emit) -> RunResult:
            return await self.run(prompt, emit=emit, **options)

        return stream_events(run)

    async def answer(self, input: Any, ambient: Ambient, *, output_schema: Any = None) -> Answer:
        """Run within something larger: a durable run, a workflow, a team."""
        options = Options(output_schema=output_schema)
        result = await execution.execute(self, prompt_of(input), ambient, options)
        return Answer(result.output, result.parsed, result.interruption_reason)

    async def resume(
        self,
        session_id: str,
        prompt: str,
        *,
        user_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        context: RunContext | None = None,
        extra_tools: list[Tool] | None = None,
        emit: Emit | None = None,
        output_schema: Any | None = None,
        output_validation_retries: int = 1,
    ) -> RunResult:
        """Go on where the last run of this user's session was cut off: what its journal holds is not done again.

        If that run was asked something else, it is finished first, and then the prompt is run; an empty prompt only
        finishes it. Without an unfinished run this is `run`. Metadata is not kept: give it again. Raises what the
        unfinished run raises, which stays unfinished then; `run` begins a new one.
        """
        check_text("prompt", prompt)
        context = context_for(context, user_id=user_id, session_id=session_id, metadata=metadata)
        options = _options(extra_tools, output_schema, output_validation_retries)
        if isinstance(self._runtime, JournaledRuntime):
            for cut_off in await self._runtime.unfinished(user_id=context.user_id, session_id=session_id):
                there = context.with_overrides(run_id=cut_off.id)
                result = await self._run(cut_off.input, there, emit, options, is_new=False)
                if prompt in ("", cut_off.input):
                    return result
        return await self._run(prompt, context, emit, options)

    # --- memory and tools -----------------------------------------------------------------------------------------

    async def recall(
        self, query: str, *, kind: str = "episodic", limit: int = 5, user_id: str | None = None
    ) -> list[Any]:
        """What memory knows about a text, for one user."""
        return list(await self.memory.recall(query, kind=kind, limit=limit, user_id=user_id))

    async def consolidate(self) -> int:
        """Read facts out of what was remembered; how many were found."""
        return await self.memory.consolidate() or 0

    def before_tool(self, fn: PreToolHook) -> PreToolHook:
        """Decorator: ask this function before each tool call."""
        return self._hooks.register_pre_tool(fn)

    def after_tool(self, fn: PostToolHook) -> PostToolHook:
        """Decorator: tell this function of each tool result."""
        return self._hooks.register_post_tool(fn)

    def add_tool(self, item: Tool | Callable[..., object]) -> Tool:
        return self._own_tools().register(item)

    def with_tool(self, fn: Callable[..., object]) -> Callable[..., object]:
        """Decorator: give the agent this function as a tool."""
        self._own_tools().register(fn)
        return fn

    def remove_tool(self, name: str) -> bool:
        return self._own_tools().unregister(name)

    async def tools_list(self) -> list[str]:
        """The names of its tools: its own, and those of its skills, workspace, plan and MCP servers."""
        host = self._tool_host if self.kit is None else await all_tools(self.kit, self._tool_host)
        return [tool.name for tool in await host.list_tools()]

    async def generate_graph(self, path: str | Path | None = None, *, title: str | None = None) -> str:
        """The agent with everything in it as a Mermaid flowchart, and with a path as a file too; see `write_graph`."""
        if path is not None:
            return await write_graph(self, path, title=title)
        return (await build_graph(self, title=title or self.name)).to_mermaid()

    def _own_tools(self) -> InProcessToolHost:
        if isinstance(self._tool_host, InProcessToolHost):
            return self._tool_host
        raise ConfigError(f"tools are added to the {type(self._tool_host).__name__} that the agent was given, not here")


def prompt_of(value: Any) -> str:
    """What an agent reads of an input: a text as it is, any other value as JSON."""
    return value if isinstance(value, str) else canonical(value)


def _options(
    extra_tools: list[Tool] | None,
    output_schema: Any | None,
    output_validation_retries: int,
    response_tone: str | None = None,
    effort: str | None = None,
) -> Options:
    if output_validation_retries == 1 and effort is None and not (extra_tools or output_schema or response_tone):
        return DEFAULTS
    check_count("output_validation_retries", output_validation_retries, 0)
    check_effort(effort)
    return Options(tuple(extra_tools or ()), output_schema, output_validation_retries, response_tone, effort)


def context_for(
    context: RunContext | None,
    *,
    user_id: str | None = None,
    session_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> RunContext:
    """The context of a new run. What is named wins over what `context` says; a missing session is a new one.

    Raises TypeError for a user or a session that is no text: memory would refuse it when all has been done and paid.
    """
    given = context or RunContext()
    user_id = given.user_id if user_id is None else user_id
    session_id = session_id or given.session_id or new_id("sess")
    check_text("user_id", "" if user_id is None else user_id)
    check_text("session_id", session_id)
    return RunContext(user_id, session_id, new_id("run"), given.metadata if metadata is None else metadata)
