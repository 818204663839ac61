"""Router: decide who is right for a request, and let that one answer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agents.core.architectures.asking import ask, backdrop_for, user
from agents.core.architectures.base import AgentSession, Dependencies
from agents.core.architectures.scores import read_score
from agents.core.architectures.workers import Crew, about, enlist, fill
from loom.events import Event

if TYPE_CHECKING:
    from agents.core.agent import Agent

CLASSIFIER = (
    "You decide which specialist takes a request. Do not answer the request yourself. The routes are:\n{routes}"
)
_FORMAT = "Answer with these two lines and nothing else:\nroute: <name of the route>\nconfidence: <0 to 1>"
_ROUTE = re.compile(r"\broute\b[\"'`*_]*\s*[:=]\s*(.+)", re.IGNORECASE)


@dataclass(frozen=True)
class RouterRoute:
    """A specialist, and what it is for."""

    name: str
    agent: Agent
    description: str = ""


class Router:
    """Ask the model once which specialist fits, and run that one; its answer is the answer.

    Costs one model call besides the specialist. Below `require_confidence_above`, without a readable confidence where
    one is required, or for a route that does not exist, `fallback_route` answers; without one, a text that says that
    nobody fits. `{routes}` and `{prompt}` in `classifier_prompt` are filled in.
    """

    name = "router"

    def __init__(
        self,
        *,
        routes: list[RouterRoute],
        fallback_route: str | None = None,
        require_confidence_above: float = 0.0,
        classifier_prompt: str | None = None,
        worker_registry: dict[str, Any] | None = None,
        role_to_worker_id: dict[str, str] | None = None,
    ) -> None:
        if not routes:
            raise ValueError("a router needs at least one route")
        if twice := [name for name, count in Counter(route.name for route in routes).items() if count > 1]:
            raise ValueError(f"two routes are named {twice[0]!r}; give one of them another name")
        self.routes = {route.name: route for route in routes}
        if fallback_route is not None and fallback_route not in self.routes:
            raise ValueError(f"fallback_route {fallback_route!r} is none of {', '.join(self.routes)}")
        if not 0 <= require_confidence_above <= 1:
            raise ValueError(f"require_confidence_above is between 0 and 1, not {require_confidence_above}")
        self.fallback_route = fallback_route
        self.require_confidence_above = require_confidence_above
        self._prompt = classifier_prompt or CLASSIFIER
        self._ids = enlist(self.declared_workers(), worker_registry, role_to_worker_id)

    def declared_workers(self) -> Mapping[str, Agent]:
        return {name: route.agent for name, route in self.routes.items()}

    async def run(self, session: AgentSession, deps: Dependencies, prompt: str) -> AsyncIterator[Event]:
        backdrop = await backdrop_for(session, deps, prompt)
        crew = Crew(session, deps, backdrop, self._ids, tuple(self.routes))
        question = backdrop.about(self._directive(prompt), user(prompt))
        said = await ask(session, deps, question, step=f"classify:{session.turns + 1}/model")
        if said is None:
            return
        named, confidence = self._read(said)
        yield crew.told("router.classified", route=named, confidence=confidence)
        route = self._choose(named, confidence)
        if route is None:
            yield crew.told("router.unresolved", route=named, confidence=confidence)
            crew.answer(prompt, f"No specialist fits this request. There are: {', '.join(self.routes)}.")
            return
        yield crew.told("router.dispatched", route=route.name, fallback=route.name != named)
        result = await crew.turn(route.name, route.agent, prompt)
        crew.answer(prompt, result.output)
        if not crew.stopped(result, "specialist"):
            yield crew.told("router.completed", route=route.name)

    def _directive(self, prompt: str) -> str:
        routes = "\n".join(f"- {r.name}: {r.description or about(r.agent)}" for r in self.routes.values())
        text = fill(self._prompt, routes=routes, prompt=prompt)
        if "{routes}" not in self._prompt:
            text = f"{text}\n\nThe routes are:\n{routes}"
        return f"{text}\n\n{_FORMAT}"

    def _read(self, said: str) -> tuple[str, float]:
        """The route that an answer names and its confidence. One that cannot be read is 0."""
        found = _ROUTE.search(said)
        named = _plain(found[1] if found else said)
        exact = {name.casefold(): name for name in self.routes}
        for candidate in (named, _plain(re.split(r"[,;}]", named)[0])):
            if candidate.casefold() in exact:
                named = exact[candidate.casefold()]
        return named, read_score(said, labels=("confidence",)) or 0.0

    def _choose(self, named: str, confidence: float) -> RouterRoute | None:
        if named in self.routes and confidence >= self.require_confidence_above:
            return self.routes[named]
        return self.routes[self.fallback_route] if self.fallback_route is not None else None


def _plain(text: str) -> str:
    """A name without quotes and markup around it."""
    return text.strip().strip("\"'`*.,}{<> \t")
