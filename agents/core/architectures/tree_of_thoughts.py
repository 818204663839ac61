"""Tree of Thoughts: breadth-first search with a beam over candidate thoughts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from pydantic import BaseModel

from agents.core.architectures.asking import Backdrop, ask, backdrop_for, told, user
from agents.core.architectures.base import AgentSession, Dependencies
from agents.core.architectures.scores import FORMAT, Score, ask_score
from agents.core.concurrency import together
from loom.events import Event
from loom.messages import FROZEN, Message

if TYPE_CHECKING:
    from agents.core.agent import Agent

PROPOSER = (
    "You search for the best answer by building on thoughts, several in parallel. Propose one next thought: carry the "
    "line of thought you are given a step further, in a way that the other candidates are unlikely to. A thought must "
    "stand by itself, since the best one becomes the answer: repeat in it what the answer needs of the thoughts "
    "before. Answer with the thought alone."
)
EVALUATOR = (
    "You judge how far a line of thought has come to a right and complete answer to the task. 1 means that its last "
    "thought is the answer, 0 that it leads nowhere. Give your reasons in a sentence, then the score."
)


class ThoughtNode(BaseModel):
    """One thought. The id is the way from the root, counted from 0: `2.0` is the first child of the third thought."""

    model_config = FROZEN

    id: str
    parent_id: str | None
    content: str
    score: float = 0.0
    depth: int


class TreeOfThoughts:
    """Propose `branch_factor` thoughts for each of the best `beam_width`, score them, go on from the best.

    Source: Yao et al., "Tree of Thoughts: Deliberate Problem Solving with Large Language Models", 2023
    (arXiv:2305.10601): breadth-first search, thoughts sampled independently, each valued by itself. It ends at
    `max_depth`, or when a thought reaches `solved_threshold`, or when none reaches `min_score`; the best thought of all
    is the answer. Costs at most `2 * branch_factor * (1 + beam_width * (max_depth - 1))` model calls. A thought whose
    evaluation twice has no score in it counts as 0. `parallel=False` makes one call at a time.
    """

    name = "tree-of-thoughts"

    def __init__(
        self,
        *,
        branch_factor: int = 3,
        max_depth: int = 3,
        beam_width: int = 2,
        solved_threshold: float = 1.0,
        min_score: float = 0.0,
        parallel: bool = True,
        proposer_prompt: str | None = None,
        evaluator_prompt: str | None = None,
    ) -> None:
        for name, count in (("branch_factor", branch_factor), ("max_depth", max_depth), ("beam_width", beam_width)):
            if count < 1:
                raise ValueError(f"{name} is at least 1, not {count}")
        for name, share in (("solved_threshold", solved_threshold), ("min_score", min_score)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} is between 0 and 1, not {share}")
        self.branch_factor = branch_factor
        self.max_depth = max_depth
        self.beam_width = beam_width
        self.solved_threshold = solved_threshold
        self.min_score = min_score
        self.parallel = parallel
        self._proposer = proposer_prompt or PROPOSER
        self._evaluator = f"{evaluator_prompt or EVALUATOR}\n{FORMAT}"

    def declared_workers(self) -> Mapping[str, Agent]:
        return {}

    async def run(self, session: AgentSession, deps: Dependencies, prompt: str) -> AsyncIterator[Event]:
        search = _Search(session, deps, prompt, await backdrop_for(session, deps, prompt))
        yield told(
            session,
            deps,
            "tot.started",
            branch_factor=self.branch_factor,
            max_depth=self.max_depth,
            beam_width=self.beam_width,
        )
        async for event in self._levels(search):
            yield event
        winner = search.winner()
        session.metadata["tot_nodes"] = [node.model_dump() for node in search.nodes.values()]
        session.metadata["tot_winner_id"] = winner.id if winner else None
        if winner is None:
            return
        session.output = winner.content
        session.messages = search.backdrop.conversation(prompt, winner.content)
        yield told(session, deps, "tot.completed", winner_id=winner.id, score=winner.score, nodes=len(search.nodes))

    async def _levels(self, search: _Search) -> AsyncIterator[Event]:
        tell = partial(told, search.session, search.deps)
        frontier: list[ThoughtNode] = []
        for depth in range(1, self.max_depth + 1):
            yield tell("tot.level_started", depth=depth, frontier=[node.id for node in frontier])
            proposed = await self._propose(search, frontier, depth)
            if search.session.interrupted:
                return
            if not proposed:
                yield tell("tot.no_thoughts", depth=depth)
                return
            yield tell("tot.proposed", depth=depth, thoughts=[node.id for node in proposed])
            scores = await self._evaluate(search, proposed)
            judged = search.keep(proposed, scores)
            if search.session.interrupted:
                return
            unreadable = [n.id for n, score in zip(proposed, scores, strict=True) if score and not score.readable]
            yield tell(
                "tot.evaluated", depth=depth, scores={node.id: node.score for node in judged}, unreadable=unreadable
            )
            ranked = sorted(judged, key=lambda node: -node.score)
            frontier = [node for node in ranked if node.score >= self.min_score][: self.beam_width]
            dropped = [node.id for node in judged if node not in frontier]
            if dropped:
                yield tell("tot.pruned", depth=depth, dropped=dropped, kept=[node.id for node in frontier])
            if not frontier:
                yield tell("tot.empty_beam", depth=depth)
                return
            if frontier[0].score >= self.solved_threshold:
                yield tell("tot.solved", depth=depth, node_id=frontier[0].id, score=frontier[0].score)
                return

    async def _propose(self, search: _Search, frontier: Sequence[ThoughtNode], depth: int) -> list[ThoughtNode]:
        """New thoughts below each of the frontier, or at the root; what was left empty is left out."""
        parents: Sequence[ThoughtNode | None] = frontier or (None,)
        slots = [(parent, branch) for parent in parents for branch in range(self.branch_factor)]

        async def propose(parent: ThoughtNode | None, branch: int) -> ThoughtNode | None:
            node_id = f"{parent.id}.{branch}" if parent else str(branch)
            line = search.line(parent)
            question = user(f"{line}\n\nPropose thought {branch + 1} of {self.branch_factor} for the next step.")
            said = await search.ask(self._proposer, question, step=f"level:{depth}/thought:{node_id}/propose/model")
            if said is None or not said.strip():
                return None
            return ThoughtNode(id=node_id, parent_id=parent and parent.id, content=said.strip(), depth=depth)

        thoughts = await together([partial(propose, *slot) for slot in slots], limit=self._limit)
        return [thought for thought in thoughts if thought is not None]

    async def _evaluate(self, search: _Search, nodes: Sequence[ThoughtNode]) -> list[Score | None]:
        async def evaluate(node: ThoughtNode) -> Score | None:
            asked = search.backdrop.about(self._evaluator, user(search.line(node)))
            step = f"level:{node.depth}/thought:{node.id}/score"
            return await ask_score(search.session, search.deps, asked, step=step)

        return await together([partial(evaluate, node) for node in nodes], limit=self._limit)

    @property
    def _limit(self) -> int | None:
        return None if self.parallel else 1


@dataclass
class _Search:
    """The tree so far: the thoughts that were scored."""

    session: AgentSession
    deps: Dependencies
    prompt: str
    backdrop: Backdrop
    nodes: dict[str, ThoughtNode] = field(default_factory=dict)

    async def ask(self, directive: str, question: Message, *, step: str) -> str | None:
        return await ask(self.session, self.deps, self.backdrop.answering(directive, question), step=step)

    def keep(self, nodes: Sequence[ThoughtNode], scores: Sequence[Score | None]) -> list[ThoughtNode]:
        """Add the nodes that got a score."""
        pairs = zip(nodes, scores, strict=True)
        judged = [node.model_copy(update={"score": score.value}) for node, score in pairs if score is not None]
        self.nodes |= {node.id: node for node in judged}
        return judged

    def line(self, node: ThoughtNode | None) -> str:
        """The task and the thoughts from the root to this one."""
        thoughts: list[str] = []
        while node is not None:
            thoughts.append(f"Thought {node.depth}:\n{node.content}")
            node = self.nodes.get(node.parent_id) if node.parent_id else None
        return "\n\n".join([f"Task:\n{self.prompt}", *reversed(thoughts)])

    def winner(self) -> ThoughtNode | None:
        """The best thought of all; of equal ones the most developed, then the first."""
        return max(self.nodes.values(), key=lambda node: (node.score, node.depth), default=None)
