"""What one run works with: the agent's own layers, those that surround the run, and which of them do nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from agents.core import output as outputs
from agents.core import tone
from agents.core.ambient import Ambient
from agents.core.architectures.base import Dependencies
from agents.core.kit import Desk, Kit
from agents.core.runtime.base import InProcRuntime, Runtime, Steps
from agents.core.runtime.journaled import JournaledRuntime
from agents.core.tools.base import ToolHost
from agents.core.tools.host import InProcessToolHost
from agents.core.tools.joined import Joined
from agents.core.tools.tool import Tool
from audit.core.log import AuditLog, resolve_audit_log
from audit.core.telemetry import NoTelemetry, Telemetry, resolve_telemetry
from governance.core import hooks as hooking
from governance.core.budget import Budget, NoBudget
from governance.core.gate import Gate, StandardGate
from governance.core.hooks import HookRegistry
from governance.core.permissions import AllowAll, Permissions
from loom.errors import ConfigError
from loom.messages import Message
from memory.core.nothing import Nothing
from memory.core.protocol import Memory

if TYPE_CHECKING:
    from agents.core.agent import Agent


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller may set for one run."""

    extra_tools: tuple[Tool, ...] = ()
    output_schema: Any | None = None
    output_validation_retries: int = 1
    response_tone: str | None = None
    effort: str | None = None


DEFAULTS = Options()


def steps_at_hand(agent: Agent, ambient: Ambient) -> Steps | None:
    """Where the run takes its steps, unless a session has to be opened for that."""
    if ambient.runtime is not None:
        return ambient.runtime
    return agent.runtime if type(agent.runtime) is InProcRuntime else None


def steps_of(runtime: Runtime, input: Any, ambient: Ambient) -> AbstractAsyncContextManager[Steps]:
    """The runtime's session of this run."""
    if isinstance(runtime, JournaledRuntime):
        is_new = ambient.is_new and not ambient.path
        return runtime.run(ambient.context, input, path=ambient.path, is_new=is_new)
    return _session_of(runtime, ambient.context.session_id or "")


@asynccontextmanager
async def _session_of(runtime: Runtime, session_id: str) -> AsyncIterator[Steps]:
    """A session of a foreign runtime. One that runs steps itself is the runtime from here on."""
    async with runtime.session(session_id) as session:
        steps: Any = session if hasattr(session, "step") else runtime
        yield steps


def dependencies_of(
    agent: Agent, ambient: Ambient, options: Options, output: outputs.Output | None, runtime: Steps, kit: Kit | None
) -> Dependencies:
    """Everything the run works with, and which of it does nothing."""
    native = output is not None and getattr(agent.model, "supports_native_structured_output", False)
    layers = agent if ambient.parent is None else _layers(agent, ambient.parent)
    desk = Desk(kit, agent.tool_host) if kit is not None else None
    tools = agent.tool_host if desk is None else desk.tools
    if options.extra_tools:
        tools = Joined(InProcessToolHost(list(options.extra_tools)), tools)
    return Dependencies(
        model=agent.asked_model,
        memory=_memory(agent, ambient),
        runtime=runtime,
        tools=ambient.around_tools(tools) if ambient.around_tools is not None else tools,
        budget=layers.budget,
        permissions=layers.permissions,
        hooks=layers.hooks,
        telemetry=layers.telemetry,
        audit_log=layers.audit_log,
        max_turns=agent.max_turns,
        gate=layers.gate,
        approval_handler=layers.approval_handler,
        output_schema=output.spec if output is not None and native else None,
        effort=options.effort or agent.effort,
        strict_effort=agent.strict_effort,
        prompt_caching=agent.prompt_caching,
        context_policy=agent.context_policy,
        streaming=ambient.streaming,
        fast_audit=layers.audit_log is None,
        fast_telemetry=type(layers.telemetry) is NoTelemetry,
        fast_permissions=type(layers.permissions) is AllowAll,
        fast_hooks=layers.hooks.is_empty,
        fast_runtime=type(runtime) is InProcRuntime,
        fast_budget=type(layers.budget) is NoBudget,
        fast_stop_hooks=not agent.stop_hooks or agent.max_stop_hook_iterations == 0,
        fast_gate=layers.gate.is_open,
        context=ambient.context,
        emit=ambient.emit,
        path=ambient.path,
        desk=desk,
        response_tone=options.response_tone or agent.response_tone or ambient.response_tone,
        workspace=kit.workspace if kit is not None else None,
    )


def _memory(agent: Agent, ambient: Ambient) -> Memory:
    if agent.own_memory is not None:
        return agent.own_memory
    return agent.memory if ambient.memory is None else ambient.memory


@dataclass(frozen=True, slots=True)
class _Layers:
    """What watches over a run."""

    budget: Budget
    permissions: Permissions
    hooks: HookRegistry
    approval_handler: Any | None
    gate: Gate
    telemetry: Telemetry
    audit_log: AuditLog | None


def _layers(agent: Agent, parent: Dependencies) -> _Layers:
    """The agent's own layers; what it has none of is that of the run it works for. Hooks add up."""
    budget = parent.budget if type(agent.budget) is NoBudget else agent.budget
    permissions = parent.permissions if type(agent.permissions) is AllowAll else agent.permissions
    hooks = hooking.joined(parent.hooks, agent.hooks)
    approval_handler = parent.approval_handler if agent.approval_handler is None else agent.approval_handler
    telemetry, audit_log = parent.telemetry, parent.audit_log
    if agent.redactor is not None:  # its secrets are written down by those it works for as little as by itself
        telemetry = resolve_telemetry(telemetry, redactor=agent.redactor)
        audit_log = resolve_audit_log(audit_log, redactor=agent.redactor)
    return _Layers(
        budget,
        permissions,
        hooks,
        approval_handler,
        gate=_gate(parent, budget, permissions, hooks, approval_handler),
        telemetry=telemetry if type(agent.telemetry) is NoTelemetry else agent.telemetry,
        audit_log=audit_log if agent.audit_log is None else agent.audit_log,
    )


def _gate(
    parent: Dependencies, budget: Budget, permissions: Permissions, hooks: HookRegistry, approval_handler: Any | None
) -> Gate:
    """The gate of these layers: the parent's where they are the parent's."""
    if (
        budget is parent.budget
        and permissions is parent.permissions
        and hooks is parent.hooks
        and approval_handler is parent.approval_handler
    ):
        return parent.gate
    return StandardGate(permissions=permissions, hooks=hooks, budget=budget, approval_handler=approval_handler)


def kit_of(agent: Agent, ambient: Ambient) -> Kit | None:
    """What the agent brings, and the surrounding workspace where it has none."""
    if ambient.workspace is None:
        return agent.kit
    return (agent.kit or Kit()).with_workspace(ambient.workspace)


def instructions_of(
    agent: Agent,
    ambient: Ambient,
    options: Options,
    output: outputs.Output | None,
    deps: Dependencies,
    kit: Kit | None,
) -> str:
    text = agent.own_instructions
    if kit is not None and kit.section:
        text = f"{text}\n\n{kit.section}"
    if ambient.briefing:
        text = f"{text}\n\n{ambient.briefing}".strip()
    if output is not None and deps.output_schema is None:
        text = f"{text}\n\n{output.directive()}"
    return tone.append_tone_directive(
        text, tone.resolve_response_tone(options.response_tone or agent.response_tone or ambient.response_tone)
    )


class _NoModel:
    """Stands where a model would be in something that has none."""

    name = "none"

    def stream(self, messages: list[Message], **options: Any) -> Any:
        raise ConfigError("a workflow has no model of its own: make the step an agent")


def bare_dependencies(ambient: Ambient, tools: ToolHost) -> Dependencies:
    """What calling a tool takes outside of any agent: the gate is that of the surrounding run, where there is one."""
    if ambient.parent is not None:
        return replace(
            ambient.parent,
            tools=tools,
            memory=ambient.memory or ambient.parent.memory,
            context=ambient.context,
            emit=ambient.emit,
            path=ambient.path,
            desk=None,
        )
    return Dependencies(
        model=_NoModel(),
        memory=ambient.memory or Nothing(),
        runtime=ambient.runtime or InProcRuntime(),
        tools=tools,
        budget=NoBudget(),
        permissions=AllowAll(),
        hooks=HookRegistry(),
        telemetry=NoTelemetry(),
        audit_log=None,
        max_turns=1,
        gate=StandardGate(),
        fast_runtime=ambient.runtime is None,
        context=ambient.context,
        emit=ambient.emit,
        streaming=ambient.streaming,
        path=ambient.path,
        response_tone=ambient.response_tone,
        workspace=ambient.workspace,
    )


def under_budget(ambient: Ambient, budget: Budget) -> Ambient:
    """The surroundings with a budget for whatever in them has none."""
    around = ambient.parent or bare_dependencies(ambient, InProcessToolHost())
    gate = StandardGate(
        permissions=around.permissions, hooks=around.hooks, budget=budget, approval_handler=around.approval_handler
    )
    fast_budget = type(budget) is NoBudget
    return replace(ambient, parent=replace(around, budget=budget, gate=gate, fast_budget=fast_budget, fast_gate=False))
