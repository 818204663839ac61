"""Swarm: peers that hand a conversation over to each other, with nobody above them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from agents.core.architectures.asking import backdrop_for, user
from agents.core.architectures.base import AgentSession, Dependencies
from agents.core.architectures.team_tools import TeamTool, TeamTools, order_of, team_tool
from agents.core.architectures.workers import Crew, about, enlist, transcript
from agents.core.tools.base import ToolHost
from loom.events import Event
from loom.messages import Message, Role, ToolDef

if TYPE_CHECKING:
    from agents.core.agent import Agent

# Takes the conversation and what was handed over (the typed value, or the message) and gives the conversation that the
# next agent sees: messages, or a text.
InputFilter = Callable[[list[Message], Any], Sequence[Message] | str]


@dataclass(frozen=True)
class Handoff:
    """An agent with how control is handed to it: a typed payload, a filter of the history, a tool of its own name."""

    agent: Agent
    input_type: type[BaseModel] | None = None
    input_filter: InputFilter | None = None
    description: str | None = None
    tool_name: str | None = None


@dataclass(frozen=True, slots=True)
class _Taken:
    """A handoff that an agent has asked for, with the place of the tool call."""

    key: str
    target: str
    payload: Any
    text: str


class Swarm:
    """Let the active agent answer or hand over; the answer of the one that hands over to nobody is the answer.

    Agents hand over with one tool, `handoff(target, message)`; as soon as one peer has an `input_type` or a
    `tool_name`, with a tool for each peer, `transfer_to_<name>`. The first handoff of a run counts. The next agent sees
    the whole conversation, or with `pass_full_history=False` only the message. A going to and fro, A>B>A>B, and more
    than `max_handoffs` interrupt the run.
    """

    name = "swarm"

    def __init__(
        self,
        *,
        agents: dict[str, Agent | Handoff],
        entry_agent: str,
        max_handoffs: int = 8,
        detect_cycles: bool = True,
        pass_full_history: bool = True,
        handoff_tool_name: str = "handoff",
        worker_registry: dict[str, Any] | None = None,
        role_to_worker_id: dict[str, str] | None = None,
    ) -> None:
        if not agents:
            raise ValueError("a swarm needs at least one agent")
        if entry_agent not in agents:
            raise ValueError(f"entry_agent {entry_agent!r} is none of {', '.join(agents)}")
        if max_handoffs < 0:
            raise ValueError(f"max_handoffs is 0 or more, not {max_handoffs}")
        self.peers = {name: peer if isinstance(peer, Handoff) else Handoff(peer) for name, peer in agents.items()}
        self.entry_agent = entry_agent
        self.max_handoffs = max_handoffs
        self.detect_cycles = detect_cycles
        self.pass_full_history = pass_full_history
        self._tool_name = handoff_tool_name
        self._typed = any(peer.input_type is not None or peer.tool_name for peer in self.peers.values())
        names = Counter(_tool_name(name, peer) for name, peer in self.peers.items())
        if twice := [name for name, count in names.items() if self._typed and count > 1]:
            raise ValueError(f"two agents are handed to by the tool {twice[0]!r}; give one another tool_name")
        self._ids = enlist(self.declared_workers(), worker_registry, role_to_worker_id)

    def declared_workers(self) -> Mapping[str, Agent]:
        return {name: peer.agent for name, peer in self.peers.items()}

    async def run(self, session: AgentSession, deps: Dependencies, prompt: str) -> AsyncIterator[Event]:
        crew = Crew(session, deps, await backdrop_for(session, deps, prompt), self._ids, tuple(self.peers))
        history, trail, text = [user(prompt)], [self.entry_agent], prompt
        while True:
            active = trail[-1]
            taken: list[_Taken] = []
            yield crew.told("swarm.agent_started", agent=active)
            around = partial(self._around, crew, active, taken)
            result = await crew.turn(active, self.peers[active].agent, text, around=around)
            crew.answer(prompt, result.output)
            history.append(Message(role=Role.ASSISTANT, content=result.output, name=active))
            if crew.stopped(result, "swarm"):
                return
            if not taken:
                yield crew.told("swarm.completed", agent=active, handoffs=len(trail) - 1)
                return
            handoff = min(taken, key=lambda one: order_of(one.key))
            if stop := self._stop(trail, handoff.target):
                yield crew.told(f"swarm.{stop}", trail=trail, target=handoff.target)
                session.interrupt(f"swarm:{stop}")
                return
            yield crew.told("swarm.handoff", source=active, target=handoff.target, message=handoff.text)
            trail.append(handoff.target)
            history, text = self._hand_over(history, active, handoff)

    def _stop(self, trail: Sequence[str], target: str) -> str | None:
        """Why control may not go to the target."""
        if len(trail) > self.max_handoffs:
            return "max_handoffs_reached"
        last = [*trail[-3:], target]
        if self.detect_cycles and len(last) == 4 and last[:2] == last[2:] and last[0] != last[1]:
            return "cycle_detected"
        return None

    def _hand_over(self, history: list[Message], source: str, handoff: _Taken) -> tuple[list[Message], str]:
        """The conversation as it goes on, and what the next agent is told."""
        message = f"{source} hands over to you{': ' if handoff.text else '.'}{handoff.text}"
        filtered = self.peers[handoff.target].input_filter
        if filtered is not None:
            seen = filtered(list(history), handoff.payload)
            kept = [user(seen)] if isinstance(seen, str) else list(seen)
            return kept, f"{transcript(kept)}\n\n{message}" if kept else message
        if not self.pass_full_history:
            return history, handoff.text or history[-1].content
        return history, f"The conversation so far:\n{transcript(history)}\n\n{message}"

    # --- the tools ----------------------------------------------------------------------------------------------------

    def _around(self, crew: Crew, active: str, taken: list[_Taken], own: ToolHost) -> ToolHost:
        return TeamTools(self._tools(active, taken), crew.lend(own))

    def _tools(self, active: str, taken: list[_Taken]) -> list[TeamTool]:
        others = {name: peer for name, peer in self.peers.items() if name != active}
        if not others:
            return []
        if not self._typed:
            return [self._handoff_tool(others, taken)]
        return [_transfer_tool(name, peer, taken) for name, peer in others.items()]

    def _handoff_tool(self, others: Mapping[str, Handoff], taken: list[_Taken]) -> TeamTool:
        async def handoff(args: Mapping[str, Any], key: str) -> str:
            target, message = args["target"], args["message"]
            if target not in others:
                return f"Error: unknown agent {target!r}; there are {', '.join(others)}"
            taken.append(_Taken(key, target, message, message))
            return _handed_to(target)

        listed = "; ".join(f"{name}: {peer.description or about(peer.agent)}" for name, peer in others.items())
        description = f"Hand the conversation over to another agent. {listed}"
        return team_tool(self._tool_name, description, ("target", "message"), handoff)


def _transfer_tool(name: str, peer: Handoff, taken: list[_Taken]) -> TeamTool:
    async def transfer(args: Mapping[str, Any], key: str) -> str:
        if peer.input_type is None:
            taken.append(_Taken(key, name, args["message"], args["message"]))
            return _handed_to(name)
        try:
            payload = peer.input_type.model_validate(dict(args))
        except ValidationError as error:
            return f"Error: {error}"
        text = json.dumps(payload.model_dump(mode="json"), ensure_ascii=False)
        taken.append(_Taken(key, name, payload, text))
        return _handed_to(name)

    description = f"Hand the conversation over to {name}: {peer.description or about(peer.agent)}"
    tool_name = _tool_name(name, peer)
    if peer.input_type is None:
        return team_tool(tool_name, description, ("message",), transfer)
    schema = peer.input_type.model_json_schema()
    return TeamTool(
        ToolDef(name=tool_name, description=description, input_schema=schema, effect="idempotent"), transfer
    )


def _handed_to(name: str) -> str:
    return f"{name} takes over. End now, without an answer of your own."


def _tool_name(name: str, peer: Handoff) -> str:
    return peer.tool_name or f"transfer_to_{re.sub(r'[^a-zA-Z0-9_-]', '_', name)}"
