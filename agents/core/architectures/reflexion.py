"""Reflexion: try, judge the attempt, learn a lesson in words, try again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from agents.core.architectures.asking import Backdrop, ask, backdrop_for, below, told, user
from agents.core.architectures.base import AgentSession, Architecture, Dependencies
from agents.core.architectures.react import ReAct
from agents.core.architectures.scores import FORMAT, Score, ask_score
from loom.events import Event
from loom.messages import Message, Role
from memory.core.loaders.base import Chunk
from memory.core.vector_stores.base import SearchResult

if TYPE_CHECKING:
    from agents.core.agent import Agent

EVALUATOR = (
    "You judge the output of an agent: is it right, is it complete, does it follow the agent's instructions? Give your "
    "reasons in a few sentences, then the score."
)
REFLECTOR = (
    "An attempt of an agent fell short. From the task, the output and its evaluation, say in one sentence what to do "
    "differently next time: a lesson that helps with tasks of this kind, not only with this one. Answer with the "
    "sentence alone."
)
_LESSONS = "Lessons from earlier attempts:\n"


class LessonStore(Protocol):
    """What Reflexion needs of a vector store."""

    async def add(self, chunks: list[Chunk], ids: list[str] | None = None) -> list[str]: ...

    async def search(
        self, query: str, *, k: int = 4, filter: Mapping[str, Any] | None = None, diversity: float | None = None
    ) -> list[SearchResult]: ...


class Reflexion:
    """Run a base strategy until an evaluator gives `threshold` or more, at most `max_attempts` times.

    Source: Shinn et al., "Reflexion: Language Agents with Verbal Reinforcement Learning", 2023 (arXiv:2303.11366). Each
    attempt starts afresh with the lessons of the ones before. Lessons are kept for the user the run is for: in the
    memory block `lessons_block_name`, or in `lesson_store`, of which the `top_k_lessons` nearest to the prompt are put
    into the block. Costs up to two model calls an attempt besides the base. An evaluation that twice has no score in it
    counts as 0, and its event says so. A base that is interrupted ends the run.
    """

    name = "reflexion"

    def __init__(
        self,
        *,
        base: Architecture | None = None,
        max_attempts: int = 3,
        threshold: float = 0.8,
        evaluator_prompt: str | None = None,
        reflector_prompt: str | None = None,
        lessons_block_name: str = "reflexion_lessons",
        lesson_store: LessonStore | None = None,
        top_k_lessons: int = 5,
    ) -> None:
        if max_attempts < 1:
            raise ValueError(f"max_attempts is at least 1, not {max_attempts}")
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold is between 0 and 1, not {threshold}")
        if top_k_lessons < 1:
            raise ValueError(f"top_k_lessons is at least 1, not {top_k_lessons}")
        self.base = base or ReAct()
        self.max_attempts = max_attempts
        self.threshold = threshold
        self._evaluator = f"{evaluator_prompt or EVALUATOR}\n{FORMAT}"
        self._reflector = reflector_prompt or REFLECTOR
        self.lessons_block_name = lessons_block_name
        self.lesson_store = lesson_store
        self.top_k_lessons = top_k_lessons

    def declared_workers(self) -> Mapping[str, Agent]:
        return self.base.declared_workers()

    async def run(self, session: AgentSession, deps: Dependencies, prompt: str) -> AsyncIterator[Event]:
        trial = _Trial(session, await backdrop_for(session, deps, prompt), list(session.messages))
        try:
            async for event in self._attempts(trial, deps, prompt):
                yield event
        finally:
            session.instructions = trial.backdrop.instructions

    async def _attempts(self, trial: _Trial, deps: Dependencies, prompt: str) -> AsyncIterator[Event]:
        session = trial.session
        for number in range(1, self.max_attempts + 1):
            here = f"attempt:{number}"
            yield told(session, deps, "reflexion.attempt_started", attempt=number)
            if self.lesson_store is not None:
                count = await self._recall_lessons(trial, deps, prompt, f"{deps.path}{here}/lessons")
                yield told(session, deps, "reflexion.lessons_recalled", attempt=number, count=count)
            trial.begin_attempt(await self._block(trial, deps, f"{deps.path}{here}/block"))
            async for event in self.base.run(session, below(deps, f"{here}/base"), prompt):
                yield event
            if session.interrupted:
                return
            score = await self._evaluate(trial, deps, prompt, here)
            if score is None:
                return
            yield told(
                session,
                deps,
                "reflexion.evaluated",
                attempt=number,
                score=score.value,
                readable=score.readable,
                evaluation=score.text,
            )
            if score.value >= self.threshold:
                yield told(session, deps, "reflexion.threshold_met", attempt=number, score=score.value)
                return
            if number == self.max_attempts:
                yield told(session, deps, "reflexion.max_attempts_reached", attempts=number, score=score.value)
                return
            lesson = await self._reflect(trial, deps, prompt, score, here)
            if lesson is None:
                return
            yield told(session, deps, "reflexion.lesson_produced", attempt=number, lesson=lesson)
            if lesson:
                trial.lessons.append(lesson)
                where = await self._persist(deps, lesson, f"{deps.path}{here}/lesson/remember")
                yield told(session, deps, "reflexion.lesson_persisted", attempt=number, where=where)

    async def _evaluate(self, trial: _Trial, deps: Dependencies, prompt: str, here: str) -> Score | None:
        question = user(f"Task:\n{prompt}\n\nOutput:\n{trial.session.output}")
        asked = trial.backdrop.about(self._evaluator, question)
        return await ask_score(trial.session, deps, asked, step=f"{here}/evaluate")

    async def _reflect(self, trial: _Trial, deps: Dependencies, prompt: str, score: Score, here: str) -> str | None:
        question = user(
            f"Task:\n{prompt}\n\nOutput:\n{trial.session.output}\n\nEvaluation (score {score.value:.2f}):\n{score.text}"
        )
        asked = trial.backdrop.about(self._reflector, question)
        said = await ask(trial.session, deps, asked, step=f"{here}/reflect/model")
        return None if said is None else " ".join(said.split())

    # --- lessons ------------------------------------------------------------------------------------------------------
    # Each access is a step: a replay must neither learn a lesson twice nor know one before its time.

    async def _recall_lessons(self, trial: _Trial, deps: Dependencies, prompt: str, key: str) -> int:
        """Put the stored lessons nearest to the prompt into the user's block; how many there are."""
        store, user_id = self.lesson_store, deps.context.user_id
        assert store is not None

        async def search(query: str) -> list[str]:
            found = await store.search(query, k=self.top_k_lessons, filter={"owner": _owner(user_id)})
            return [result.chunk.content for result in found]

        async def update(lessons: str) -> None:
            await deps.memory.update_block(self.lessons_block_name, lessons, user_id=user_id)

        lessons: list[str] = await deps.runtime.step(f"{key}/recall", search, prompt)
        if lessons:
            await deps.runtime.step(f"{key}/remember", update, _listed(lessons))
        trial.lessons += [lesson for lesson in lessons if lesson not in trial.lessons]
        return len(lessons)

    async def _block(self, trial: _Trial, deps: Dependencies, key: str) -> str:
        """What memory will show of the lessons. There are memories without blocks."""
        if not trial.lessons:
            return ""

        async def read(name: str) -> str:
            blocks = await deps.memory.working(user_id=deps.context.user_id)
            return "".join(block.content for block in blocks if block.name == name)

        block: str = await deps.runtime.step(f"{key}/recall", read, self.lessons_block_name)
        return block

    async def _persist(self, deps: Dependencies, lesson: str, key: str) -> str:
        store, user_id = self.lesson_store, deps.context.user_id

        async def remember(lesson: str) -> None:
            if store is None:
                await deps.memory.append_block(self.lessons_block_name, _listed([lesson]), user_id=user_id)
            else:
                await store.add([Chunk(lesson, {"owner": _owner(user_id), "kind": "reflexion_lesson"})])

        await deps.runtime.step(key, remember, lesson)
        return "memory" if store is None else "store"


@dataclass
class _Trial:
    """The attempts at one prompt. `start` is the conversation that each begins with."""

    session: AgentSession
    backdrop: Backdrop
    start: list[Message]
    lessons: list[str] = field(default_factory=list)

    def begin_attempt(self, block: str) -> None:
        """Forget the last attempt but for its lessons. Those that memory does not show are told to the agent here."""
        session, instructions = self.session, self.backdrop.instructions
        session.messages = list(self.start)
        if self.start and self.lessons:  # this conversation has begun: what memory says now is not read any more
            session.messages.append(Message(role=Role.SYSTEM, content=_LESSONS + _listed(self.lessons)))
        elif unseen := [lesson for lesson in self.lessons if lesson not in block]:
            session.instructions = f"{instructions}\n\n{_LESSONS}{_listed(unseen)}".strip()
        else:
            session.instructions = instructions


def _owner(user_id: str | None) -> str:
    """The partition of a user in a store that many share; nobody's is none that a user can have."""
    return "nobody" if user_id is None else f"user:{user_id}"


def _listed(lessons: Sequence[str]) -> str:
    return "".join(f"- {lesson}\n" for lesson in lessons)
