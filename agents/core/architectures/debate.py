"""Debate: several agents answer, read each other, answer again, until they agree or a judge decides."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from agents.core.architectures.asking import backdrop_for
from agents.core.architectures.base import AgentSession, Dependencies
from agents.core.architectures.workers import Crew, enlist
from agents.core.concurrency import together
from agents.core.result import RunResult
from loom.events import Event

if TYPE_CHECKING:
    from agents.core.agent import Agent

DEBATER = (
    "You debate with others. Weigh what they say, change your mind where they are right, hold on where they are not, "
    "and answer with your position as it is now."
)
JUDGE = "Several debaters have argued. Weigh what they say, and answer the task with the best of it."


class MultiAgentDebate:
    """Debaters answer apart, then for `rounds` rounds with all positions before them; a judge makes the answer of them.

    Source: Du et al., "Improving Factuality and Reasoning in Language Models through Multiagent Debate", 2023
    (arXiv:2305.14325). The debaters of a round run at the same time. The debate ends early when the words of every two
    positions overlap by `convergence_similarity` (Jaccard). Without a judge the position that most debaters take wins,
    the first of equally many.
    """

    name = "debate"

    def __init__(
        self,
        *,
        debaters: list[Agent],
        judge: Agent | None = None,
        rounds: int = 2,
        convergence_check: bool = True,
        convergence_similarity: float = 0.85,
        debater_instructions: str | None = None,
        judge_instructions: str | None = None,
        worker_registry: dict[str, Any] | None = None,
        role_to_worker_id: dict[str, str] | None = None,
    ) -> None:
        if len(debaters) < 2:
            raise ValueError(f"a debate needs at least 2 debaters, not {len(debaters)}")
        if rounds < 1:
            raise ValueError(f"rounds is at least 1, not {rounds}")
        if not 0 <= convergence_similarity <= 1:
            raise ValueError(f"convergence_similarity is between 0 and 1, not {convergence_similarity}")
        self.debaters = {f"debater_{number}": agent for number, agent in enumerate(debaters, start=1)}
        self.judge = judge
        self.rounds = rounds
        self.convergence_check = convergence_check
        self.convergence_similarity = convergence_similarity
        self._debater = debater_instructions or DEBATER
        self._judge = judge_instructions or JUDGE
        self._ids = enlist(self.declared_workers(), worker_registry, role_to_worker_id)

    def declared_workers(self) -> Mapping[str, Agent]:
        return {**self.debaters, **({"judge": self.judge} if self.judge is not None else {})}

    async def run(self, session: AgentSession, deps: Dependencies, prompt: str) -> AsyncIterator[Event]:
        crew = Crew(session, deps, await backdrop_for(session, deps, prompt), self._ids, tuple(self.declared_workers()))
        text, transcript = prompt, ""
        for number in range(self.rounds + 1):
            yield crew.told("debate.round_started", round=number)
            results = await together([partial(crew.turn, name, agent, text) for name, agent in self.debaters.items()])
            positions = [result.output for result in results]
            crew.answer(prompt, majority(positions))
            if self._cut_short(crew, results):
                return
            transcript += _round(number, dict(zip(self.debaters, positions, strict=True)))
            text = f"{self._debater}\n\nTask:\n{prompt}\n\nThe debate so far:\n{transcript}"
            if self.convergence_check and agree(positions, self.convergence_similarity):
                yield crew.told("debate.converged", round=number)
                break
        if self.judge is not None:
            question = f"{self._judge}\n\nTask:\n{prompt}\n\nThe debate:\n{transcript}"
            verdict = await crew.turn("judge", self.judge, question)
            crew.answer(prompt, verdict.output)
            if crew.stopped(verdict, "judge"):
                return
            yield crew.told("debate.judged")
        yield crew.told("debate.completed", rounds=number)

    def _cut_short(self, crew: Crew, results: Sequence[RunResult]) -> bool:
        pairs = zip(self.debaters, results, strict=True)
        return any(crew.stopped(result, f"worker:{name}") for name, result in pairs)


def agree(positions: Sequence[str], similarity: float) -> bool:
    """Whether the words of every two positions overlap by that much."""
    words = [set(re.findall(r"\w+", position.casefold())) for position in positions]
    return all(_jaccard(one, other) >= similarity for one, other in itertools.combinations(words, 2))


def majority(positions: Sequence[str]) -> str:
    """The position that most take, by its words, and as the first of them put it; the first of equally many."""
    votes = Counter(_normal(position) for position in positions)
    return max(positions, key=lambda position: votes[_normal(position)])


def _normal(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold())) or text.strip()


def _jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other) if one or other else 1.0


def _round(number: int, positions: Mapping[str, str]) -> str:
    said = "\n\n".join(f"{name}: {position}" for name, position in positions.items())
    return f"--- round {number} ---\n{said}\n\n"
