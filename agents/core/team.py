"""Teams: agents whose architecture is made of other agents, built in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from agents.core.agent import Agent
from agents.core.architectures.actor_critic import ActorCritic
from agents.core.architectures.base import Architecture
from agents.core.architectures.blackboard import BlackboardArchitecture
from agents.core.architectures.debate import MultiAgentDebate
from agents.core.architectures.router import Router, RouterRoute
from agents.core.architectures.supervisor import Supervisor
from agents.core.architectures.swarm import Handoff, Swarm

if TYPE_CHECKING:
    from agents.core.context_policy import ContextPolicy
    from agents.core.llm.base import Model
    from agents.core.result import RunResult
    from agents.core.runtime.base import Runtime
    from agents.core.stop_hooks import StopHook
    from agents.core.tools.base import ToolHost
    from agents.core.tools.tool import Tool
    from audit.core.log import AuditLog
    from audit.core.telemetry import Telemetry
    from governance.core.budget import Budget
    from governance.core.hooks import HookRegistry
    from governance.core.permissions import Permissions
    from memory.core.protocol import Memory

__all__ = ["Handoff", "Team", "run_architecture"]


class AgentOptions(TypedDict, total=False):
    """What a team takes besides its workers: the arguments of the `Agent` that it is, with their defaults."""

    name: str
    model: Model | str | dict[str, Any] | None
    memory: Memory | None
    runtime: Runtime | None
    budget: Budget | None
    permissions: Permissions | None
    hooks: HookRegistry | None
    tools: list[Tool | Callable[..., object]] | ToolHost | Tool | Callable[..., object] | None
    telemetry: Telemetry | None
    audit_log: AuditLog | None
    max_turns: int
    auto_consolidate: bool
    approval_handler: Any
    skills: list[Any] | None
    workspace: Any | None
    living_plan: Any
    context_window: int | ContextPolicy | None
    stop_hooks: list[StopHook] | None
    max_stop_hook_iterations: int
    prompt_caching: bool | Mapping[str, Any] | None


class Team:
    """Builders of agents that are teams. Each returns an `Agent`, so teams run, stream and nest like agents.

    With `persistent_subagents`, the default, each worker keeps a conversation for every user and session of the team;
    a team serves any number of users at once.
    """

    @staticmethod
    def supervisor(
        workers: dict[str, Agent],
        *,
        instructions: str = "",
        instructions_template: str | None = None,
        delegate_tool_name: str = "delegate",
        forward_tool_name: str = "forward_message",
        persistent_subagents: bool = True,
        **agent: Unpack[AgentOptions],
    ) -> Agent:
        """A manager that delegates to workers. See `Supervisor`."""
        architecture = Supervisor(
            workers=workers,
            instructions_template=instructions_template,
            delegate_tool_name=delegate_tool_name,
            forward_tool_name=forward_tool_name,
            role_to_worker_id=_ids(workers, persistent_subagents),
        )
        return Agent(instructions, architecture=architecture, **agent)

    @staticmethod
    def swarm(
        agents: dict[str, Agent | Handoff],
        entry_agent: str,
        *,
        instructions: str = "",
        max_handoffs: int = 8,
        detect_cycles: bool = True,
        pass_full_history: bool = True,
        handoff_tool_name: str = "handoff",
        persistent_subagents: bool = True,
        **agent: Unpack[AgentOptions],
    ) -> Agent:
        """Peers that hand over to each other. See `Swarm`."""
        architecture = Swarm(
            agents=agents,
            entry_agent=entry_agent,
            max_handoffs=max_handoffs,
            detect_cycles=detect_cycles,
            pass_full_history=pass_full_history,
            handoff_tool_name=handoff_tool_name,
            role_to_worker_id=_ids(agents, persistent_subagents),
        )
        return Agent(instructions, architecture=architecture, **agent)

    @staticmethod
    def router(
        routes: list[RouterRoute],
        *,
        instructions: str = "",
        fallback_route: str | None = None,
        require_confidence_above: float = 0.0,
        classifier_prompt: str | None = None,
        persistent_subagents: bool = True,
        **agent: Unpack[AgentOptions],
    ) -> Agent:
        """A classifier in front of specialists. See `Router`."""
        architecture = Router(
            routes=routes,
            fallback_route=fallback_route,
            require_confidence_above=require_confidence_above,
            classifier_prompt=classifier_prompt,
            role_to_worker_id=_ids((route.name for route in routes), persistent_subagents),
        )
        return Agent(instructions, architecture=architecture, **agent)

    @staticmethod
    def debate(
        debaters: list[Agent],
        *,
        judge: Agent | None = None,
        instructions: str = "",
        rounds: int = 2,
        convergence_check: bool = True,
        convergence_similarity: float = 0.85,
        debater_instructions: str | None = None,
        judge_instructions: str | None = None,
        persistent_subagents: bool = True,
        **agent: Unpack[AgentOptions],
    ) -> Agent:
        """Debaters and a judge. See `MultiAgentDebate`."""
        roles = [f"debater_{number}" for number in range(1, len(debaters) + 1)]
        architecture = MultiAgentDebate(
            debaters=debaters,
            judge=judge,
            rounds=rounds,
            convergence_check=convergence_check,
            convergence_similarity=convergence_similarity,
            debater_instructions=debater_instructions,
            judge_instructions=judge_instructions,
            role_to_worker_id=_ids([*roles, *(["judge"] if judge else [])], persistent_subagents),
        )
        return Agent(instructions, architecture=architecture, **agent)

    @staticmethod
    def actor_critic(
        actor: Agent,
        critic: Agent,
        *,
        instructions: str = "",
        max_rounds: int = 3,
        approval_threshold: float = 0.9,
        critique_template: str | None = None,
        refine_template: str | None = None,
        persistent_subagents: bool = True,
        **agent: Unpack[AgentOptions],
    ) -> Agent:
        """One that writes and one that judges. See `ActorCritic`."""
        architecture = ActorCritic(
            actor=actor,
            critic=critic,
            max_rounds=max_rounds,
            approval_threshold=approval_threshold,
            critique_template=critique_template,
            refine_template=refine_template,
            role_to_worker_id=_ids(("actor", "critic"), persistent_subagents),
        )
        return Agent(instructions, architecture=architecture, **agent)

    @staticmethod
    def blackboard(
        agents: dict[str, Agent],
        *,
        coordinator: Agent | None = None,
        decider: Agent | None = None,
        instructions: str = "",
        max_rounds: int = 10,
        coordinator_instructions: str | None = None,
        decider_instructions: str | None = None,
        persistent_subagents: bool = True,
        **agent: Unpack[AgentOptions],
    ) -> Agent:
        """Agents around a shared board. See `BlackboardArchitecture`."""
        roles = [*agents, *(["coordinator"] if coordinator else []), *(["decider"] if decider else [])]
        architecture = BlackboardArchitecture(
            agents=agents,
            coordinator=coordinator,
            decider=decider,
            max_rounds=max_rounds,
            coordinator_instructions=coordinator_instructions,
            decider_instructions=decider_instructions,
            role_to_worker_id=_ids(roles, persistent_subagents),
        )
        return Agent(instructions, architecture=architecture, **agent)


async def run_architecture(
    architecture: Architecture, prompt: str, *, instructions: str = "", **agent: Unpack[AgentOptions]
) -> RunResult:
    """Run a strategy once, as an agent made for it."""
    return await Agent(instructions, architecture=architecture, **agent).run(prompt)


def _ids(roles: Iterable[str], persistent: bool) -> dict[str, str] | None:
    """Stable ids, so that a conversation goes on after a restart."""
    return {role: f"worker_{role}" for role in roles} if persistent else None
