"""What a conversation begins with: the instructions, what memory knows, and what was said before."""

from __future__ import annotations

from functools import lru_cache

from agents.core.architectures.base import AgentSession, Dependencies
from agents.core.architectures.lent_memory import PERSISTENT
from agents.core.loop.telling import audit_soon
from loom.events import Event, EventKind
from loom.messages import Message, Role

_FACTS, _EPISODES, _HISTORY = 5, 3, 20
_LONG_SESSION = 50  # episodes of its own that a session may have before they take the places of others


async def opening(session: AgentSession, deps: Dependencies, prompt: str) -> list[Message]:
    """Instructions, memory, the earlier turns of the session, and the prompt."""
    messages = [_instructions(session.instructions)] if session.instructions else []
    messages += await _recalled(session, deps, prompt)
    messages.append(Message(role=Role.USER, content=prompt))
    return messages


async def _recalled(session: AgentSession, deps: Dependencies, prompt: str) -> list[Message]:
    if deps.fast_runtime or getattr(deps.memory, "answers_alike", False):
        return await _recall(session, deps, prompt)

    async def recall(query: str) -> list[Message]:
        return await _recall(session, deps, query)

    # Memory may know more when the run is replayed; the run goes on from what it knew the first time.
    messages: list[Message] = await deps.runtime.step(f"{deps.path}recall", recall, prompt)
    return messages


async def _recall(session: AgentSession, deps: Dependencies, query: str) -> list[Message]:
    memory, user_id = deps.memory, deps.context.user_id
    messages: list[Message] = []
    if blocks := await memory.working(user_id=user_id):
        messages.append(_system("\n\n".join([block.format() for block in blocks])))
    if facts := await memory.recall_facts(query, limit=_FACTS, user_id=user_id):
        messages.append(_system("Known facts:\n" + "\n".join([f"- {fact.format()}" for fact in facts])))
    history = await memory.session_messages(session.id, user_id=user_id, limit=_HISTORY)
    # Its own episodes are not recalled, but may be found first. There are more of them than the history tells of when
    # that is full.
    own = sum(message.role is Role.USER for message in history) if len(history) < _HISTORY else _LONG_SESSION
    episodes = await memory.recall(query, limit=_EPISODES + max(own, 1), user_id=user_id)
    # The talk with a persistent worker is how an answer came about; the episode of the answer says it again.
    told = [episode for episode in episodes if not episode.session_id.startswith(PERSISTENT)]
    if others := [episode for episode in told if episode.session_id != session.id][:_EPISODES]:
        messages.append(_system("Relevant past episodes:\n" + "\n\n".join([episode.format() for episode in others])))
    if messages and (deps.audit_log is not None or deps.emit is not None):
        await _tell(session, deps, {"facts": len(facts), "episodes": len(others), "blocks": len(blocks)})
    return messages + history


async def _tell(session: AgentSession, deps: Dependencies, found: dict[str, int]) -> None:
    await audit_soon(session, deps, "system", "memory_recall", dict(found))
    if deps.emit is not None:
        worker = deps.path.rstrip("/")
        await deps.emit(Event(kind=EventKind.MEMORY_RECALL, session_id=session.id, payload=found, worker=worker))


def _system(text: str) -> Message:
    return Message(role=Role.SYSTEM, content=text)


_instructions = lru_cache(maxsize=256)(_system)  # the runs of an agent begin with the same message
