"""Self-Refine: draft, criticize, improve, until the critic has nothing left to say."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

from agents.core.architectures.asking import ask, assistant, backdrop_for, below, told, user
from agents.core.architectures.base import AgentSession, Architecture, Dependencies
from agents.core.architectures.react import ReAct
from loom.events import Event

if TYPE_CHECKING:
    from agents.core.agent import Agent

CRITIC = (
    "You review the output of an agent. Name each thing that is wrong, missing or unclear in it, and say how to put it "
    "right. Do not rewrite it."
)
_VERDICT = 'When nothing needs to change, answer with exactly "{}" and nothing else.'
REFINER = (
    "Improve your last output by the critique you are given: put right all that it names and keep what is good. Answer "
    "with the new output alone, without remarks about the changes."
)

_LEAD = r"(?:i (?:see|find|found|have)|there (?:are|were)|(?:the|this|your) \w+ has|found)?"
_TRAIL = r"(?:found|remain|remaining|left|here|at all)?"
_BUT = re.compile(r"\b(?:but|however|except|although|though|yet)\b", re.IGNORECASE)


class SelfRefine:
    """Let a base strategy answer, then let the same model criticize and improve the answer, at most `max_rounds` times.

    Source: Madaan et al., "Self-Refine: Iterative Refinement with Self-Feedback", 2023 (arXiv:2303.17651); as there,
    the refiner sees all earlier outputs and critiques. Costs two model calls a round after the base, one in the last
    when the critic is content: when its verdict, not just some part of what it says, is `stop_phrase`.
    """

    name = "self-refine"

    def __init__(
        self,
        *,
        base: Architecture | None = None,
        max_rounds: int = 3,
        critic_prompt: str | None = None,
        refiner_prompt: str | None = None,
        stop_phrase: str = "no issues",
    ) -> None:
        if max_rounds < 1:
            raise ValueError(f"max_rounds is at least 1, not {max_rounds}")
        if not stop_phrase.strip():
            raise ValueError("stop_phrase is what a critic says when it is content; it cannot be empty")
        self.base = base or ReAct()
        self.max_rounds = max_rounds
        self.stop_phrase = stop_phrase
        self._critic = f"{critic_prompt or CRITIC}\n{_VERDICT.format(stop_phrase)}"
        self._refiner = refiner_prompt or REFINER

    def declared_workers(self) -> Mapping[str, Agent]:
        return self.base.declared_workers()

    async def run(self, session: AgentSession, deps: Dependencies, prompt: str) -> AsyncIterator[Event]:
        backdrop = await backdrop_for(session, deps, prompt)
        async for event in self.base.run(session, below(deps, "round:0"), prompt):
            yield event
        said = [user(f"Original task:\n{prompt}"), assistant(session.output)]
        for number in range(1, self.max_rounds + 1):
            if session.interrupted:
                return
            yield told(session, deps, "self_refine.round_started", round=number, role="critic")
            question = user(f"Original task:\n{prompt}\n\nOutput:\n{session.output}")
            critique = await ask(
                session, deps, backdrop.about(self._critic, question), step=f"round:{number}/critic/model"
            )
            if critique is None:
                return
            yield told(session, deps, "self_refine.critique", round=number, critique=critique)
            if is_verdict(critique, self.stop_phrase):
                yield told(session, deps, "self_refine.converged", round=number)
                return
            yield told(session, deps, "self_refine.round_started", round=number, role="refiner")
            said.append(user(f"Critique:\n{critique}\n\nAnswer with the improved output."))
            refined = await ask(
                session,
                deps,
                backdrop.answering(self._refiner, *said),
                step=f"round:{number}/refiner/model",
                output_schema=deps.output_schema,
            )
            if refined is None:
                return
            session.output = refined
            said.append(assistant(refined))
            session.messages += said[-2:]
            yield told(session, deps, "self_refine.refined", round=number, output=refined)
        yield told(session, deps, "self_refine.max_rounds_reached", rounds=self.max_rounds)


def is_verdict(critique: str, phrase: str) -> bool:
    """Whether a critique comes down to the phrase: its first or last sentence is the phrase, and no "but" follows.

    "No issues with grammar, but every number is wrong" is not the verdict "no issues".
    """
    verdict = re.compile(rf"{_LEAD}\s*{_words(phrase)}\s*{_TRAIL}", re.IGNORECASE)
    sentences = [plain for part in re.split(r"(?<=[.!?])\s+|\n+", critique) if (plain := _plain(part))]
    if not sentences:
        return False
    if verdict.fullmatch(sentences[-1]):
        return True
    return verdict.fullmatch(sentences[0]) is not None and not _BUT.search(" ".join(sentences[1:]))


def _plain(text: str) -> str:
    """A sentence without markup and punctuation around it."""
    return re.sub(r"^[\W_]+|[\W_]+$", "", text)


def _words(phrase: str) -> str:
    return r"\s+".join(map(re.escape, _plain(phrase).split())) or re.escape(phrase.strip())
