"""From a name to an architecture."""

from __future__ import annotations

import logging
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from agents.core.architectures.base import Architecture
from agents.core.architectures.react import ReAct
from loom.errors import ConfigError

# The ones that need no workers can be named; the others are given as instances or made by `Team`.
BY_NAME = {
    "react": "agents.core.architectures.react:ReAct",
    "self-refine": "agents.core.architectures.self_refine:SelfRefine",
    "reflexion": "agents.core.architectures.reflexion:Reflexion",
    "plan-and-execute": "agents.core.architectures.plan_and_execute:PlanAndExecute",
    "rewoo": "agents.core.architectures.rewoo:ReWOO",
    "tree-of-thoughts": "agents.core.architectures.tree_of_thoughts:TreeOfThoughts",
}
# The builder of `Team` that makes each of the others.
WITH_WORKERS = {
    "router": "router",
    "supervisor": "supervisor",
    "actor-critic": "actor_critic",
    "debate": "debate",
    "swarm": "swarm",
    "blackboard": "blackboard",
}
_GROUP = "loom.architecture"

log = logging.getLogger(__name__)


def resolve_architecture(spec: Architecture | str | None) -> Architecture:
    """The architecture that a spec names: None is ReAct, an instance is itself.

    Names are Loom's own or those of plugins in the entry point group `loom.architecture`. Raises ConfigError.
    """
    if spec is None:
        return ReAct()
    if isinstance(spec, str):
        made: Architecture = _load(spec)()
        return made
    if isinstance(spec, Architecture):
        return spec
    raise ConfigError(f"an architecture is a name or has `name`, `run` and `declared_workers`; {spec!r} has not")


def _load(name: str) -> Any:
    if name in BY_NAME:
        module, _, attribute = BY_NAME[name].partition(":")
        return getattr(import_module(module), attribute)
    if name in _plugins():
        return _plugins()[name]
    names = sorted({*BY_NAME, *_plugins()})
    known = f"by name there are {', '.join(names)}"
    if name in WITH_WORKERS:
        builder = f"Team.{WITH_WORKERS[name]}"
        raise ConfigError(f"the architecture {name!r} needs workers: give an instance, or use {builder}; {known}")
    close = get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ConfigError(f"no architecture {name!r}{hint}; {known}")


@cache
def _plugins() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for point in entry_points(group=_GROUP):
        try:
            found[point.name] = point.load()
        except Exception:  # other people's code: a broken plugin must not take the agents down
            log.exception("the architecture plugin %s does not load; it is skipped", point.name)
    return found
