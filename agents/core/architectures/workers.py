"""How an agent works for a team: run inside the team's run, for the team's user, under the team's path.

    crew = Crew(session, deps, backdrop=backdrop)
    result = await crew.run("writer", agent, "Write …")

What a worker has of its own counts: memory, budget, permissions, approval handler, audit log, telemetry, tone,
workspace. What it has none of is the team's, so nothing that the team may not do is done by its workers unwatched. The
team's hooks are asked and told besides a worker's own: to watch a worker takes no guard away.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agents.core import execution
from agents.core.ambient import Ambient
from agents.core.architectures.asking import Backdrop, told
from agents.core.architectures.base import AgentSession, Dependencies, Emit
from agents.core.architectures.lent_memory import PERSISTENT, Lent
from agents.core.result import RunResult
from agents.core.tools.base import ToolHost
from agents.core.tools.joined import Joined
from loom.errors import LoomError
from loom.events import Event, EventKind
from loom.messages import Message, Role

if TYPE_CHECKING:
    from agents.core.agent import Agent

_RUNS = "worker_runs"  # in the session's metadata: how often each worker has run, for the numbers in the paths
_OWN = frozenset({EventKind.STARTED, EventKind.COMPLETED})
_ABOUT = 200


@dataclass(frozen=True, slots=True)
class Crew:
    """The workers of a team, in one run of it. Nothing of it outlives the run.

    `ids` names the workers that keep a conversation: one for each user and each session of the team. The others begin
    afresh each time. With a `backdrop`, workers are told the team's instructions and what its session has said.
    """

    session: AgentSession
    deps: Dependencies
    backdrop: Backdrop | None = None
    ids: Mapping[str, str] = field(default_factory=dict)
    names: Sequence[str] = ()

    async def run(
        self,
        name: str,
        agent: Agent,
        prompt: str,
        *,
        number: str | None = None,
        answers: bool = True,
        around: Callable[[ToolHost], ToolHost] | None = None,
    ) -> RunResult:
        """Run a worker; its usage is the team's.

        `number` tells its runs apart and is counted when it is not given. `answers` says that its words may become the
        team's answer: then it follows the team's instructions and may use its tools. Raises what the worker raises,
        with its path in `facts["worker"]` of a LoomError and in a note of any other.
        """
        deps = self.deps
        path = f"{deps.path}worker:{name.replace('/', '_')}#{number or self._next_number(name)}/"
        session_id = self._session_id(name, path)
        passing = None if name in self.ids else session_id
        ambient = Ambient(
            context=deps.context.with_overrides(session_id=session_id),
            runtime=None if deps.fast_runtime else deps.runtime,
            memory=Lent(deps.memory, self.session.id, passing),
            emit=None if deps.emit is None else without_ends(deps.emit),
            streaming=deps.streaming,
            path=path,
            response_tone=deps.response_tone,
            workspace=self._membership(name),
            parent=deps,
            around_tools=around or (self.lend if answers and self.backdrop is not None else None),
            briefing=briefing(self.backdrop, answers=answers) if self.backdrop is not None else "",
        )
        try:
            result = await execution.execute(agent, prompt, ambient)
        except Exception as error:
            place = path.rstrip("/")
            if isinstance(error, LoomError):
                error.facts.setdefault("worker", place)
            elif not hasattr(error, "__notes__"):
                error.add_note(f"in {place}")
            raise
        self.session.cumulative_usage += result.usage
        return result

    async def turn(self, name: str, agent: Agent, prompt: str, **options: Any) -> RunResult:
        """Run a worker as a turn of the team."""
        self.session.turns += 1
        return await self.run(name, agent, prompt, **options)

    def lend(self, own: ToolHost) -> ToolHost:
        """A worker's own tools, then the team's."""
        return Joined(own, self.deps.tools)

    def told(self, name: str, **data: Any) -> Event:
        return told(self.session, self.deps, name, **data)

    def answer(self, prompt: str, output: str) -> None:
        """Make this the team's answer, and the last word of its conversation."""
        self.session.output = output
        if self.backdrop is not None:
            self.session.messages = self.backdrop.conversation(prompt, output)

    def stopped(self, result: RunResult, prefix: str) -> bool:
        """Whether a worker was interrupted; then the team is, for the same reason."""
        if result.interrupted:
            self.session.interrupt(f"{prefix}:{result.interruption_reason}")
        return result.interrupted

    def _next_number(self, name: str) -> str:
        runs: dict[str, int] = self.session.metadata.setdefault(_RUNS, {})
        runs[name] = runs.get(name, 0) + 1
        return str(runs[name])

    def _session_id(self, name: str, path: str) -> str:
        if name in self.ids:
            return f"{PERSISTENT}{self.ids[name]}:{self.session.id}"
        return f"{self.session.id}:{self.deps.context.run_id}:{path.rstrip('/')}"

    def _membership(self, name: str) -> Any | None:
        """The team's workspace, in which the worker writes under its own name."""
        if self.deps.workspace is None:
            return None
        return self.deps.workspace.member(name, teammates=[other for other in self.names if other != name])


def without_ends(emit: Emit) -> Emit:
    """A listener that hears of all that happens in a nested run but its beginning and its end."""

    async def forward(event: Event) -> None:
        if event.kind not in _OWN:
            await emit(event)

    return forward


def enlist(
    agents: Mapping[str, Agent], registry: dict[str, Any] | None, ids: Mapping[str, str] | None
) -> Mapping[str, str]:
    """The ids of the workers that keep a conversation. Each is entered into the registry, where there is one.

    Raises ValueError for an id of nobody.
    """
    for role, worker_id in (ids or {}).items():
        if role not in agents:
            raise ValueError(f"role_to_worker_id names {role!r}, which is none of {', '.join(agents)}")
        if registry is not None:
            registry.setdefault(worker_id, agents[role])
    return dict(ids or {})


def briefing(backdrop: Backdrop, *, answers: bool) -> str:
    """What a worker reads of its team. What memory knows is left out: the worker recalls for itself."""
    parts = []
    if backdrop.instructions and answers:
        parts.append(f"You work for a team with these instructions, follow them:\n{backdrop.instructions}")
    elif backdrop.instructions:
        parts.append(
            "The answer that is being worked on must follow these instructions; they do not say how you write:\n"
            f"<instructions>\n{backdrop.instructions}\n</instructions>"
        )
    if lines := transcript([m for m in backdrop.said if m.role is not Role.SYSTEM]):
        parts.append(f"The conversation so far:\n{lines}")
    return "\n\n".join(parts)


def transcript(messages: Sequence[Message]) -> str:
    """A conversation as text, each message after its speaker."""
    return "\n".join(f"{message.name or message.role.value}: {message.content}" for message in messages)


def about(agent: Agent) -> str:
    """An agent in a line: how its instructions begin."""
    first = next((line.strip() for line in agent.own_instructions.splitlines() if line.strip()), "")
    return first if len(first) <= _ABOUT else f"{first[:_ABOUT].rstrip()}…"


def fill(template: str, **values: str) -> str:
    """A template with its `{name}`s replaced; other braces stay, and so do those in the values."""
    names = "|".join(map(re.escape, values))
    return re.sub(rf"\{{({names})\}}", lambda match: values[match[1]], template)
