"""Actor and critic: one agent writes, another judges, until the judge is content."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from agents.core.architectures.asking import backdrop_for
from agents.core.architectures.base import AgentSession, Dependencies
from agents.core.architectures.scores import read_score
from agents.core.architectures.workers import Crew, enlist, fill
from agents.core.output import json_values
from loom.events import Event

if TYPE_CHECKING:
    from agents.core.agent import Agent

CRITIQUE = (
    "Judge this output for this task.\n\nTask:\n{prompt}\n\nOutput:\n{output}\n\nAnswer with one JSON object and "
    'nothing else: {"issues": ["each thing that must change"], "score": 0.0 to 1.0, "summary": "one sentence"}'
)
AGAIN = (
    "I could not read a score in that. Answer again, with the JSON object alone: "
    '{"issues": [...], "score": 0.0 to 1.0, "summary": "one sentence"}'
)
REFINE = (
    "Improve your output for this task.\n\nTask:\n{prompt}\n\nYour output:\n{output}\n\nWhat must change:\n{issues}\n\n"
    "Answer with the new output alone."
)


@dataclass(frozen=True, slots=True)
class Critique:
    """What a critic said. A score that cannot be read is 0; where there is no JSON the text is the issue."""

    score: float
    issues: tuple[str, ...]
    summary: str = ""
    readable: bool = True


class ActorCritic:
    """Let the actor answer and the critic judge; below `approval_threshold` the actor tries again, `max_rounds` times.

    Two models see more than one: give the two agents different ones. Costs two runs a round. A critic that gives no
    score is asked once more; when there is none again it counts as 0, and the event says so. `{prompt}`, `{output}`,
    `{issues}` and `{summary}` in the templates are filled in.
    """

    name = "actor-critic"

    def __init__(
        self,
        *,
        actor: Agent,
        critic: Agent,
        max_rounds: int = 3,
        approval_threshold: float = 0.9,
        critique_template: str | None = None,
        refine_template: str | None = None,
        worker_registry: dict[str, Any] | None = None,
        role_to_worker_id: dict[str, str] | None = None,
    ) -> None:
        if max_rounds < 1:
            raise ValueError(f"max_rounds is at least 1, not {max_rounds}")
        if not 0 <= approval_threshold <= 1:
            raise ValueError(f"approval_threshold is between 0 and 1, not {approval_threshold}")
        self.actor, self.critic = actor, critic
        self.max_rounds = max_rounds
        self.approval_threshold = approval_threshold
        self._critique = critique_template or CRITIQUE
        self._refine = refine_template or REFINE
        self._ids = enlist(self.declared_workers(), worker_registry, role_to_worker_id)

    def declared_workers(self) -> Mapping[str, Agent]:
        return {"actor": self.actor, "critic": self.critic}

    async def run(self, session: AgentSession, deps: Dependencies, prompt: str) -> AsyncIterator[Event]:
        crew = Crew(session, deps, await backdrop_for(session, deps, prompt), self._ids, ("actor", "critic"))
        text = prompt
        for number in range(1, self.max_rounds + 1):
            yield crew.told("actor_critic.round_started", round=number)
            draft = await crew.turn("actor", self.actor, text)
            crew.answer(prompt, draft.output)
            if crew.stopped(draft, "actor"):
                return
            judged = await self._judge(crew, fill(self._critique, prompt=prompt, output=draft.output))
            if judged is None:
                return
            critique = judged
            yield crew.told(
                "actor_critic.critiqued",
                round=number,
                score=critique.score,
                readable=critique.readable,
                issues=list(critique.issues),
                summary=critique.summary,
            )
            if critique.score >= self.approval_threshold:
                yield crew.told("actor_critic.approved", round=number, score=critique.score)
                return
            issues = "\n".join(
                f"- {issue}" for issue in critique.issues or (critique.summary or "it is not good enough",)
            )
            text = fill(self._refine, prompt=prompt, output=draft.output, issues=issues, summary=critique.summary)
        yield crew.told("actor_critic.max_rounds_reached", rounds=self.max_rounds, score=critique.score)

    async def _judge(self, crew: Crew, question: str) -> Critique | None:
        """What the critic says of a draft, asked twice if need be. None when it is cut short, and so is the run."""
        said = await crew.turn("critic", self.critic, question, answers=False)
        if crew.stopped(said, "critic"):
            return None
        critique = read_critique(said.output)
        if critique.readable:
            return critique
        again = f"{question}\n\nYour answer was:\n{said.output}\n\n{AGAIN}"
        repeated = await crew.turn("critic", self.critic, again, answers=False)
        if crew.stopped(repeated, "critic"):
            return None
        second = read_critique(repeated.output)
        return replace(second, issues=second.issues or critique.issues, summary=second.summary or critique.summary)


def read_critique(text: str) -> Critique:
    """The critique in an answer: its JSON, or else the score in the text."""
    for value in json_values(text):
        if isinstance(value, dict) and "score" in value:
            issues = value.get("issues") or []
            listed = [issues] if isinstance(issues, str) else issues if isinstance(issues, list) else []
            score = read_score(f"score: {value['score']}")
            summary = str(value.get("summary") or "")
            return Critique(score or 0.0, tuple(map(str, listed)), summary, readable=score is not None)
    score = read_score(text)
    return Critique(score or 0.0, (text.strip(),) if text.strip() else (), readable=score is not None)
